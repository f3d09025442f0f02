{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "list" "help list"}{...}
{p2colset 1 13 15 2}{...}
{p2col:{bf:summarize} {hline 2}}Summary statistics (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:su:mmarize} [{varlist}] {ifin} [{cmd:,} {opt mean:only}]

{synoptset 20 tabbed}{...}
{synopthdr}
{synoptline}
{synopt:{opt mean:only}}show nothing; only store results{p_end}
{synoptline}

{marker description}{...}
{title:Description}

{pstd}
{cmd:summarize} shows the number of observations, mean, standard deviation, minimum and maximum of variables.

{marker results}{...}
{title:Stored results}

{synopt:{cmd:r(N)}}number of observations{p_end}
{synopt:{cmd:r(mean)}}mean{p_end}
{synopt:{cmd:r(sd)}}standard deviation{p_end}
{synopt:{cmd:r(min)}}minimum{p_end}
{synopt:{cmd:r(max)}}maximum{p_end}
{synopt:{cmd:r(sum)}}sum{p_end}

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. summarize x}{p_end}
