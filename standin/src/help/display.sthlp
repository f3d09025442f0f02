{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "standin" "help standin"}{...}
{p2colset 1 11 13 2}{...}
{p2col:{bf:display} {hline 2}}Print text and values of expressions (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:di:splay} [{it:text} | {it:expression} ...]

{synoptset 20 tabbed}{...}
{synopthdr}
{synoptline}
{synopt:{cmd:as text}|{cmd:result}|{cmd:error}}style of what follows{p_end}
{synopt:{opt _c:ontinue}}no new line at the end{p_end}
{synopt:{opt _s:kip(#)}}# blanks{p_end}
{synopt:{opt _col:umn(#)}}go on at column #{p_end}
{synoptline}

{marker description}{...}
{title:Description}

{pstd}
{cmd:display} prints strings in quotes and the values of expressions, side by side. A {help format:format} such as
{cmd:%9.2f} before an expression says how it is printed.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. display 6 * 7}{p_end}
{phang2}{cmd:. display "half: " %4.1f 1/2}{p_end}
