# What may differ between two drawings of the same schedule in two states of the source: line numbers, how many steps
# nobody needs to see, and what is counted from them. Widths of columns follow.
s/\(\.[ch]\):[0-9][0-9]*/\1:N/g
s/^ *[0-9][0-9]* |/ N |/
s/\.\.\. [0-9][0-9]* steps/... N steps/g
s/^  [0-9][0-9]* operations, /  N operations, /
s/found in execution [0-9][0-9]*/found in execution N/
s/\(not drawn: .*, \)[0-9][0-9]* steps/\1N steps/
s,/[a-zA-Z0-9~]*/[0-9a-f]*'$,/RUNS/SUM',
s/--*/-/g
s/   */ /g
