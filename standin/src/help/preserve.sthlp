{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "collapse" "help collapse"}{...}
{p2colset 1 13 15 2}{...}
{p2col:{bf:preserve} {hline 2}}Put the data aside and back (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmd:preserve}

{p 8 15 2}
{cmd:restore} [{cmd:,} {opt not} | {opt preserve}]

{marker description}{...}
{title:Description}

{pstd}
{cmd:preserve} keeps a copy of the data, and {cmd:restore} brings it back, at the latest when the do-file or program
that preserved it ends. {cmd:restore, not} forgets the copy.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. preserve}{p_end}
{phang2}{cmd:. restore}{p_end}
