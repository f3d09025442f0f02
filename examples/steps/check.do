* Checks the data. Argument: the largest income allowed.
args limit
count if income > `limit'
assert income <= `limit'
display "all incomes are at most `limit'"
