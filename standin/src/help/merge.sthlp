{smcl}
{* *! Longhaul stand-in}{...}
{vieweralsosee "append" "help append"}{...}
{p2colset 1 10 12 2}{...}
{p2col:{bf:merge} {hline 2}}Join two tables by their keys (stand-in, not Stata){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:mer:ge} {c -(}{cmd:1:1}|{cmd:m:1}|{cmd:1:m}{c )-} {varlist} {cmd:using} {it:filename} [{cmd:,} {it:options}]

{synoptset 24}{...}
{synopt:{opt keep(master using match)}}which observations stay{p_end}
{synopt:{opt assert(master using match)}}which there may be{p_end}
{synopt:{opt keepusing(varlist)}}variables to take from the file{p_end}
{synopt:{opt gen:erate(name)}}name of the marking variable instead of {cmd:_merge}{p_end}
{synopt:{opt nogen:erate}}no marking variable{p_end}
{synopt:{opt noreport}}no table of the result{p_end}
{synopt:{opt update}}fill missing values of variables that both have from the file{p_end}
{synopt:{opt replace}}with {cmd:update}, take all values that the file has{p_end}
{synopt:{opt force}}take a variable that is a string in one table and numbers in the other as missing{p_end}

{marker description}{...}
{title:Description}

{pstd}
{cmd:merge} joins the observations in memory to those of a file that have the same key. {cmd:_merge} is 1 for those of
the data in memory alone, 2 for those of the file alone, and 3 for those that match. With {cmd:update} it is 4 where
a missing value was filled, and 5 where both have values that differ. The key {cmd:_n} joins by position.

{marker examples}{...}
{title:Examples}

{phang2}{cmd:. merge m:1 id using people, keep(match) nogenerate}{p_end}
