* A long simulation with progress dots: some two minutes, or as long as the arguments say.
* Arguments: repetitions (default 1000), milliseconds of each (default 120).
args reps pause
if "`reps'" == "" {
    local reps = 1000
}
if "`pause'" == "" {
    local pause = 120
}
set seed 20260401

program define simulate_pi
    args reps pause
    local inside = 0
    display "Simulations (`reps')"
    display "----+--- 1 ---+--- 2 ---+--- 3 ---+--- 4 ---+--- 5 "
    forvalues i = 1/`reps' {
        sleep `pause'
        local inside = `inside' + (runiform()^2 + runiform()^2 < 1)
        display "." _continue
        if mod(`i', 50) == 0 {
            display %6.0f `i'
        }
    }
    display ""
    display "pi is about " 4 * `inside' / `reps'
end

simulate_pi `reps' `pause'
