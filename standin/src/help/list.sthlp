{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "generate" "help generate"}{...}
{p2colset 1 8 10 2}{...}
{p2col:{bf:list} {hline 2}}List values of variables (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:l:ist} [{varlist}] {ifin} [{cmd:,} {it:options}]

{synoptset 16}{...}
{synopt:{opt c:lean}}no lines around the table{p_end}
{synopt:{opt noh:eader}}no names of variables{p_end}
{synopt:{opt noo:bs}}no numbers of observations{p_end}

{marker description}{...}
{title:Description}

{pstd}
{cmd:list} shows a table of the values of variables, with the number of each observation. Other options end in r(198).

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. list x in 1/5}{p_end}
