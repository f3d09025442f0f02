{smcl}
{* *! version 1.0.0  28nov2026}{...}
{vieweralsosee "[R] weigh" "mansection R weigh"}{...}
{vieweralsosee "" "--"}{...}
{vieweralsosee "scale" "help scale"}{...}
{vieweralsosee "[D] measure" "help measuring"}{...}
{viewerjumpto "Syntax" "weigh##syntax"}{...}
{viewerdialog weigh "dialog weigh"}{...}
{p2colset 1 14 16 2}{...}
{p2col:{bf:[R] weigh} {hline 2}}Weighs things{p_end}
{p2col:}({mansection R weigh:View complete PDF manual entry}){p_end}
{p2colreset}{...}

{marker syntax}{...}
{title:Syntax}

{p 8 15 2}
{cmdab:we:igh}
{depvar}
[{indepvars}]
{ifin}
{weight}
[{cmd:,} {it:{help weigh##options:options}}]

{synoptset 24 tabbed}{...}
{synopthdr}
{synoptline}
{syntab:Main}
{p2coldent:* {opth by(varlist)}}groups{p_end}
{synopt:{opt noc:onstant}}no constant{p_end}
{synopt:{opth gen:erate(newvar:name)}}a new variable, see
{help weigh##remarks:the remarks}{p_end}
{synopt:{cmdab:f:mt:(}{it:%fmt}{cmd:)}}{p_end}
{syntab:Reporting}
{synopt:{opt l:evel(#)}}level; default {cmd:level(95)}{p_end}
{synoptline}
{p 4 6 2}* {opt by()} is required.{p_end}
INCLUDE help weightnote
INCLUDE help nowhere

{title:Description}

{pstd}
{cmd:weigh} weighs {it:things} with {bf:care}, {hi:twice}; cost 5{c S|}, {c 'g}macro' caf{c e'}, {c 0x41},
{c -(}braces{c )-}, 2*3*4. See {helpb scale}, {help measuring:how to measure}, {manhelp scale R},
{manhelp numbers U:12.2 Numbers}, {manlink R weigh}, {browse "http://example.org/w":our page},
{browse "http://example.org"} and {stata "sysuse auto, clear":sysuse auto, clear};
click {stata `"do "it""':here}.

{pmore}
One{break}two {bind:a  b} {ul:under} {unknown text} {odd:thing} \frac{a}{b}
{cmd:over
lines}.

{phang}
{opt level(#)} again;
{cmd:vce(}{it:type}{cmd:,} {it:more}{cmd:)} and {it:x}{cmd:=}{it:exp}.
An {cmd:`x' of code}.

{dlgtab:Details}

{pin}
{error:wrong} {res:5} {txt}plain {input:typed}{p_end}

{title:Remarks}

    {c TLC}{hline 5}{c TT}{hline 6}{c TRC}
    {c |} {cmd:a}   {c |}{ralign 5:one} {c |}
    {c BLC}{hline 5}{c BT}{hline 6}{c BRC}

{col 5}left{col 20}right{space 3}end

{asis}
{cmd:as it is}
{smcl}
{pstd}After it.

{title:Examples}

{phang2}{cmd:. weigh price mpg}{p_end}
{phang2}{cmd:. weigh price, by(rep78)}{p_end}

    foreach x in a b {
        weigh `x'
    }

{title:Stored results}

{p2col 5 20 24 2: Scalars}{p_end}
{synopt:{cmd:r(N)}}number of things{p_end}

{title:Author}

    A. Person
    {browse "mailto:a@example.org":a@example.org}
{hline}
