{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "bootstrap" "help bootstrap"}{...}
{vieweralsosee "set" "help set"}{...}
{p2colset 1 13 15 2}{...}
{p2col:{bf:simulate} {hline 2}}Repeat a command and collect what it returns (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmd:simulate} [{it:name}{cmd:=}{it:exp} ...]{cmd:,} {opt reps(#)} [{it:options}]{cmd::} {it:command}

{synoptset 20}{...}
{synopt:{opt reps(#)}}number of repetitions{p_end}
{synopt:{opt seed(#)}}start of the random numbers{p_end}
{synopt:{opt dots(#)}}one dot for so many repetitions{p_end}
{synopt:{opt nodots}}no dots{p_end}
{synopt:{opt nolegend}}no list of the expressions{p_end}
{synopt:{opt noisily}}show what the command prints{p_end}
{synopt:{opt saving(file, replace)}}save the results, too{p_end}

{marker description}{...}
{title:Description}

{pstd}
{cmd:simulate} runs a command again and again, such as a program defined in the do-file. The results take the place of
the data: one variable for each expression, one observation for each repetition. Without expressions they are the
coefficients of a command that estimates, and else every number in {cmd:r()}. A repetition that fails is shown as
{cmd:x} and is missing.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. simulate mean=r(mean), reps(100) seed(1): myprogram}{p_end}
