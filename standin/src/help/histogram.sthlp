{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "twoway" "help twoway"}{...}
{vieweralsosee "graph" "help graph"}{...}
{p2colset 1 14 16 2}{...}
{p2col:{bf:histogram} {hline 2}}Draw how often values are there (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:hist:ogram} {varname} {ifin} [{cmd:,} {opt bin(#)} {opt w:idth(#)} {opt start(#)} {opt density} {opt frequency}
{opt fraction} {opt percent}]

{marker description}{...}
{title:Description}

{pstd}
{cmd:histogram} draws a bar for each part of the range of a variable, and says how many there are and how wide.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. histogram price, frequency bin(10)}{p_end}
