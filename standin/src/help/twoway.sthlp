{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "histogram" "help histogram"}{...}
{vieweralsosee "graph" "help graph"}{...}
{p2colset 1 11 13 2}{...}
{p2col:{bf:twoway} {hline 2}}Draw points and lines (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
[{cmdab:tw:oway}] {c -(}{cmdab:sc:atter}|{cmd:line}|{cmdab:con:nected}{c )-} {it:yvars} {it:xvar} {ifin} [{cmd:,} {it:options}]

{p 8 15 2}
{cmdab:tw:oway} {cmd:(}{it:plot}{cmd:)} {cmd:(}{it:plot}{cmd:)} ... [{cmd:,} {it:options}]

{synoptset 20}{...}
{synopt:{opt title(text)}}title of the graph{p_end}
{synopt:{opt xtitle(text)}}title of the x axis{p_end}
{synopt:{opt ytitle(text)}}title of the y axis{p_end}
{synopt:{opt sort}}join points in the order of x{p_end}

{marker description}{...}
{title:Description}

{pstd}
{cmd:twoway} draws variables against another, each value where it belongs. Options about looks are taken and change
nothing. {helpb graph:graph export} writes the picture.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. scatter y x}{p_end}
{phang2}{cmd:. twoway (scatter y x) (line z x, sort)}{p_end}
