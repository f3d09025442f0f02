{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "standin" "help standin"}{...}
{p2colset 1 6 8 2}{...}
{p2col:{bf:do} {hline 2}}Run the commands of a do-file (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{c -(}{cmd:do} | {cmdab:ru:n}{c )-} {it:filename} [{it:arguments}]

{synoptset 20 tabbed}{...}
{synopthdr}
{synoptline}
{synopt:{opt nostop}}go on after errors{p_end}
{synoptline}

{marker description}{...}
{title:Description}

{pstd}
{cmd:do} runs the commands of a file and shows them; {cmd:run} shows nothing. Arguments are {cmd:{c 'g}1'},
{cmd:{c 'g}2'}, ... in the file. The first error ends it, unless the option {opt nostop} is given.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. do main.do 2024}{p_end}
