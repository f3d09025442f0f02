{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "generate" "help generate"}{...}
{p2colset 1 8 10 2}{...}
{p2col:{bf:list} {hline 2}}List values of variables (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:l:ist} [{varlist}] {ifin}

{marker description}{...}
{title:Description}

{pstd}
{cmd:list} shows a table of the values of variables, with the number of each observation.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. list x in 1/5}{p_end}
