{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "merge" "help merge"}{...}
{p2colset 1 11 13 2}{...}
{p2col:{bf:append} {hline 2}}Add the observations of files (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:app:end} {cmd:using} {it:filename} [{it:filename} ...] [{cmd:,} {opt keep(varlist)} {opt gen:erate(name)} {opt force}]

{marker description}{...}
{title:Description}

{pstd}
{cmd:append} puts the observations of data files below those in memory. Variables that only one of them has are missing
in the others.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. append using wave2 wave3, generate(wave)}{p_end}
