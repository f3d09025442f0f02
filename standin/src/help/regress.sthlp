{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "bootstrap" "help bootstrap"}{...}
{vieweralsosee "summarize" "help summarize"}{...}
{p2colset 1 12 14 2}{...}
{p2col:{bf:regress} {hline 2}}Ordinary least squares (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:reg:ress} {depvar} [{indepvars}] {ifin} [{cmd:,} {opt nocons:tant} {opt l:evel(#)}]

{marker description}{...}
{title:Description}

{pstd}
{cmd:regress} computes ordinary least squares and leaves the results in {cmd:e()} and {cmd:r()}. It has no factor
variables, weights or robust errors, and refuses them.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. regress y x1 x2}{p_end}
