{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "do" "help do"}{...}
{p2colset 1 7 9 2}{...}
{p2col:{bf:log} {hline 2}}Write output to a file of its own (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmd:log using} {it:filename} [{cmd:,} {opt t:ext} {opt s:mcl} {opt replace} {opt append} {opt name(logname)}]

{p 8 15 2}
{cmd:log close} [{it:logname} | {cmd:_all}]

{marker description}{...}
{title:Description}

{pstd}
{cmd:log using} opens a log, to which everything is written from then on, and {cmd:log close} closes it.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. log using out.log, text replace}{p_end}
{phang2}{cmd:. log close}{p_end}
