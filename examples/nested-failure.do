* Fails two do-files down: steps/prepare.do asks steps/check.do, and that finds a value that must not be there.
clear
set obs 10
generate income = 1000 * _n
display "preparing"
do "steps/prepare.do" 9000
display "this line is never reached"
