* Prints nothing for twelve minutes, then its result: the kind of run whose result clients used to lose.
* Argument: milliseconds of silence (default 720000).
args pause
if "`pause'" == "" {
    local pause = 720000
}
display "going silent"
quietly {
    sleep `pause'
}
display "the result of a silent run"
