{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "display" "help display"}{...}
{vieweralsosee "do" "help do"}{...}
{vieweralsosee "list" "help list"}{...}
{p2colset 1 11 13 2}{...}
{p2col:{bf:standin} {hline 2}}Commands of the Longhaul stand-in (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{it:command} [{it:arguments}]

{marker description}{...}
{title:Description}

{pstd}
This engine has Stata's manners at the process boundary, and of estimators only {cmd:regress}: everything around a run can
be tried without a licence. It is not Stata, and is not affiliated with StataCorp LLC.

{pstd}
It has {cmd:display}, {cmd:do}, {cmd:run}, {cmd:include}, {cmd:exit}, {cmd:error}, {cmd:sleep}, {cmd:assert},
{cmd:confirm}, {cmd:local}, {cmd:global}, {cmd:scalar}, {cmd:tokenize}, {cmd:tempfile}, {cmd:program}, {cmd:forvalues},
{cmd:foreach}, {cmd:while}, {cmd:if}, {cmd:generate}, {cmd:replace}, {cmd:drop}, {cmd:keep}, {cmd:rename}, {cmd:sort},
{cmd:count}, {cmd:summarize}, {cmd:list}, {cmd:use}, {cmd:save}, {cmd:merge}, {cmd:append}, {cmd:collapse},
{cmd:preserve}, {cmd:restore}, {cmd:twoway}, {cmd:histogram}, {cmd:graph export}, {cmd:regress}, {cmd:simulate}, {cmd:bootstrap}, {cmd:matrix}, {cmd:file}, {cmd:log},
{cmd:set}, {cmd:timer} and {cmd:shell}.

{pstd}
Any other command is {err:unrecognized}, r(199): it never pretends to compute what it does not have.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. display 6 * 7}{p_end}
