{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "simulate" "help simulate"}{...}
{vieweralsosee "regress" "help regress"}{...}
{p2colset 1 14 16 2}{...}
{p2col:{bf:bootstrap} {hline 2}}Standard errors by resampling (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:boot:strap} [{it:name}{cmd:=}{it:exp} ...] [{cmd:,} {it:options}]{cmd::} {it:command}

{synoptset 20}{...}
{synopt:{opt reps(#)}}number of repetitions; 50 if not said{p_end}
{synopt:{opt seed(#)}}start of the random numbers{p_end}
{synopt:{opt size(#)}}observations to draw each time; as many as there are if not said{p_end}
{synopt:{opt dots(#)}}one dot for so many repetitions{p_end}
{synopt:{opt nodots}}no dots{p_end}
{synopt:{opt level(#)}}level of the intervals{p_end}

{marker description}{...}
{title:Description}

{pstd}
{cmd:bootstrap} draws observations with replacement, runs the command on them, and takes the standard deviation of its
results over all repetitions for their standard errors. The command is {cmd:regress}, {cmd:summarize} or a program of
the do-file; an estimator that the stand-in does not have is {err:unrecognized} here too.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. bootstrap, reps(200) seed(1): regress y x}{p_end}
{phang2}{cmd:. bootstrap mean=r(mean): summarize x}{p_end}
