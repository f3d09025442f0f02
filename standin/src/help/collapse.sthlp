{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "summarize" "help summarize"}{...}
{vieweralsosee "preserve" "help preserve"}{...}
{p2colset 1 13 15 2}{...}
{p2col:{bf:collapse} {hline 2}}One observation for each group (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:coll:apse} [{cmd:(}{it:stat}{cmd:)}] [{it:new}{cmd:=}]{varlist} ... {ifin} [{cmd:,} {opt by(varlist)} {opt cw}]

{marker description}{...}
{title:Description}

{pstd}
{cmd:collapse} replaces the data by statistics of each group: {cmd:mean}, {cmd:median}, {cmd:p1} to {cmd:p99}, {cmd:sd},
{cmd:semean}, {cmd:sum}, {cmd:count}, {cmd:min}, {cmd:max}, {cmd:iqr}, {cmd:first}, {cmd:last}, {cmd:firstnm} and
{cmd:lastnm}. It has no weights.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. collapse (mean) price (count) n=price, by(year)}{p_end}
