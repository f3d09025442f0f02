{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "simulate" "help simulate"}{...}
{p2colset 1 8 10 2}{...}
{p2col:{bf:set} {hline 2}}Settings (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmd:set} {it:name} {it:value}

{synoptset 20}{...}
{synopt:{opt obs} {it:#}}number of observations{p_end}
{synopt:{opt seed} {it:#}}start of the random numbers{p_end}
{synopt:{opt rmsg} {cmd:on}|{cmd:off}}how long each command took{p_end}
{synopt:{opt linesize} {it:#}}width of the output{p_end}
{synopt:{opt processors} {it:#}}remembered; one is all that is used{p_end}
{synopt:{opt type} {it:type}}storage type of new variables{p_end}
{synopt:{opt level} {it:#}}level of intervals{p_end}
{synopt:{opt varabbrev} {cmd:on}|{cmd:off}}whether variables may be abbreviated{p_end}

{marker description}{...}
{title:Description}

{pstd}
{cmd:set} changes how the stand-in behaves. Settings of Stata that would change nothing here are accepted. The value of
a setting is in {cmd:c(}{it:name}{cmd:)}.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. set rmsg on}{p_end}
