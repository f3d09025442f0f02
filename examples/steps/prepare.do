* Prepares the data and has it checked. Argument: the largest income allowed.
args limit
replace income = income + 500 if _n == 10
do "steps/check.do" `limit'
display "checked"
