{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "list" "help list"}{...}
{vieweralsosee "summarize" "help summarize"}{...}
{p2colset 1 12 14 2}{...}
{p2col:{bf:generate} {hline 2}}Make a variable (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:g:enerate} [{it:type}] {newvar} {cmd:=} {it:exp} {ifin}

{marker description}{...}
{title:Description}

{pstd}
{cmd:generate} makes a variable of the values of an expression. Observations that {it:if} and {it:in} leave out are missing.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. set obs 10}{p_end}
{phang2}{cmd:. generate x = _n}{p_end}
