* A short run that succeeds.
clear
set obs 100
generate x = _n
generate y = 2 * x + 1
summarize x y
count if y > 100
assert y > x

local total = 0
forvalues i = 1/5 {
    local total = `total' + `i'
    display "after `i': `total'"
}
display "done"
