{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "standin" "help standin"}{...}
{p2colset 1 9 11 2}{...}
{p2col:{bf:timer} {hline 2}}Measure time (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmd:timer on}|{cmd:off}|{cmd:clear} [{it:#}]

{p 8 15 2}
{cmd:timer list} [{it:#}]

{marker description}{...}
{title:Description}

{pstd}
{cmd:timer} has one hundred stopwatches, by number.

{marker results}{...}
{title:Stored results}

{synopt:{cmd:r(t#)}}seconds of timer #{p_end}
{synopt:{cmd:r(nt#)}}how often it ran{p_end}

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. timer on 1}{p_end}
