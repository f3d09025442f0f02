{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "twoway" "help twoway"}{...}
{vieweralsosee "histogram" "help histogram"}{...}
{p2colset 1 10 12 2}{...}
{p2col:{bf:graph} {hline 2}}Write and forget graphs (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmd:graph export} {it:filename}{cmd:.svg} [{cmd:,} {opt replace} {opt as(svg)}]

{p 8 15 2}
{cmd:graph} {c -(}{cmd:display}|{cmd:dir}|{cmd:drop _all}{c )-}

{marker description}{...}
{title:Description}

{pstd}
{cmd:graph export} writes the graph that was drawn last as SVG. It has no other formats, and no {cmd:graph save}.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. graph export fit.svg, replace}{p_end}
