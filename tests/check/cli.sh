#!/bin/sh
# umemcg check from outside: its arguments, its statuses, and the drawing of every named bug, compared with
# tests/check/golden. `$UMEMCG` is the program.
. "$(dirname "$0")/../native/lib.sh"

golden=$lib_dir/golden
[ -d "$golden" ] || golden=$(cd "$(dirname "$0")" && pwd)/golden
BOUND_S=900

# The status of umemcg check with these arguments; its output in $TMP/out and $TMP/err.
status_of() {
	bounded "$UMEMCG" check "$@" >"$TMP/out" 2>"$TMP/err"
	code=$?
}

# wrong WORD ARGUMENT...: refused, in one line that has the word, and nothing is run.
wrong() {
	word=$1
	shift
	status_of "$@"
	expect 125 "$code" "status of '$*'" || return 1
	expect 1 "$(wc -l <"$TMP/err")" "lines of '$*'" || return 1
	expect 0 "$(wc -c <"$TMP/out")" "standard output of '$*'" || return 1
	grep -q -e "$word" "$TMP/err" || { cat "$TMP/err"; return 1; }
}

wrong_uses() {
	wrong "no such scenario" nonesuch &&
	wrong "no such bug" --bug nonesuch &&
	wrong "needs a value" --bug &&
	wrong "unknown option" --nonesuch &&
	wrong "takes no value" --quick=1 &&
	wrong "0 to 100" --preemptions -1 &&
	wrong "whole number" --preemptions 1x &&
	wrong "whole number" --random 0 &&
	wrong "whole number" --budget 99999999999999999999999 &&
	wrong "1 to 64" --jobs 0 &&
	wrong "--random N" --seed 3 &&
	wrong "one of them" --preemptions 1 --random 5 &&
	wrong "one of them" --list --list-bugs &&
	wrong "one of them" --json --format html &&
	wrong "one of them" --list --json &&
	wrong "one of them" --bench --format html &&
	wrong "one of them" --list-bugs --budget 5 &&
	wrong "takes no scenario" --list uncharge-twice &&
	wrong "takes one scenario" --bug uncharge-test-then-set uncharge-twice limit-and-charge &&
	wrong "text and html" --format pdf &&
	wrong "auto, always and never" --color red &&
	wrong "sc and tso" --memory-model pso &&
	wrong "one of them" --replay uncharge-twice/-/a1/00000000 --memory-model tso &&
	wrong "one of them" --list --memory-model sc
}

wrong_replays() {
	wrong "four parts" --replay x &&
	wrong "no such scenario" --replay nonesuch/-/a1/00000000 &&
	wrong "no such bug" --replay uncharge-twice/nonesuch/a1/00000000 &&
	wrong "third part" --replay uncharge-twice/-/1a/00000000 &&
	wrong "third part" --replay uncharge-twice/-//00000000 &&
	wrong "third part" --replay uncharge-twice/-/a99999999/00000000 &&
	wrong "hexadecimal" --replay uncharge-twice/-/a1/xyz &&
	wrong "does not fit" --replay uncharge-twice/-/a1/00000000 &&
	wrong "does not fit" --replay uncharge-twice@tso/-/a1/00000000 &&
	wrong "no such scenario" --replay uncharge-twice@pso/-/a1/00000000 &&
	wrong "does not fit" --replay uncharge-twice/-/z1/00000000
}

lists() {
	status_of --list
	expect 0 "$code" status || return 1
	awk -F '\t' 'NF != 2 || $1 !~ /^[a-z0-9-]+$/ || $2 == "" || seen[$1]++ { print; bad = 1 } END { exit bad || NR == 0 }' \
		"$TMP/out" || return 1
	status_of --list-bugs
	expect 0 "$code" status || return 1
	awk -F '\t' 'NF != 3 || $1 !~ /^[a-z0-9-]+$/ || $2 == "" || $3 == "" || seen[$1]++ { print; bad = 1 }
		END { exit bad || NR == 0 }' "$TMP/out"
}

help_is_one() {
	"$UMEMCG" help check >"$TMP/help1" && "$UMEMCG" check --help >"$TMP/help2" && cmp "$TMP/help1" "$TMP/help2" &&
		"$UMEMCG" check --version | grep -q '^umemcg check [0-9]'
}

# quick MODEL: sc or tso.
quick() {
	status_of --quick --memory-model "$1"
	cat "$TMP/out"
	expect 0 "$code" status || return 1
	cp "$TMP/out" "$TMP/quick"
	expect "$(tail -n +2 "$TMP/out" | wc -l)" "$(grep -ci " $1  *EXHAUSTED\$" "$TMP/out")" "exhausted scenarios"
}

# counts FILE: a count that changed is a set of scheduling points that changed: look at why, then tools/update-golden.sh -c.
counts() {
	awk 'NR > 1 { print $1, $3, $4 }' "$TMP/quick" | LC_ALL=C sort >"$TMP/counts"
	cut -d ' ' -f 1 "$TMP/counts" >"$TMP/names"
	grep -v '^#' "$golden/$1" | LC_ALL=C sort | LC_ALL=C join "$TMP/names" - >"$TMP/pinned"
	diff "$TMP/pinned" "$TMP/counts"
}

other_searches() {
	status_of --preemptions 0 uncharge-twice limit-and-charge
	expect 0 "$code" status || return 1
	expect 2 "$(grep -c ' BOUNDED(0)$' "$TMP/out")" "scenarios" || return 1
	status_of --random=50 --seed=7 uncharge-twice
	expect 0 "$code" status || return 1
	grep -q ' 50 .* RANDOM(50, 7)$' "$TMP/out"
}

shared_search() {
	status_of --jobs 2 limit-and-charge
	cat "$TMP/out" "$TMP/err"
	expect 0 "$code" status && grep -q ' EXHAUSTED$' "$TMP/out"
}

budget_ends() {
	status_of --budget 3 limit-and-charge
	expect 2 "$code" status || return 1
	grep -q ' BUDGET(3)$' "$TMP/out" || return 1
	status_of --bug uncharge-test-then-set --budget 1
	expect 2 "$code" "status of a bug" && grep -q 'not found in 1 execution of uncharge-twice' "$TMP/out"
}

json() {
	status_of --json limit-and-charge uncharge-twice
	expect 0 "$code" status || return 1
	expect 2 "$(grep -c '"verdict":.*"EXHAUSTED"' "$TMP/out")" verdicts || return 1
	status_of --json --bug uncharge-test-then-set
	expect 1 "$code" "status of a bug" || return 1
	grep -q '"replay":.*"uncharge-twice/uncharge-test-then-set/' "$TMP/out" || return 1
	string=$(sed -n 's/.*"replay":[^"]*"\(.*\)".*/\1/p' "$TMP/out")
	sed -n '/"finding"/,$p' "$TMP/out" >"$TMP/finding"
	status_of --json --replay "$string"
	expect 1 "$code" "status of a replay" && grep -q '"verdict":.*"WRONG"' "$TMP/out" || return 1
	sed -n '/"finding"/,$p' "$TMP/out" | diff "$TMP/finding" -
}

html() {
	status_of --format html --bug uncharge-test-then-set
	expect 1 "$code" status || return 1
	expect 1 "$(grep -c '^</body></html>$' "$TMP/out")" "end of the page" || return 1
	! grep -E '<script|<link|src=|https?:' "$TMP/out" || return 1
	status_of --format html uncharge-twice
	expect 0 "$code" "status without findings" && grep -q '^uncharge-twice .* EXHAUSTED$' "$TMP/out"
}

# Whoever cannot be told does not get status 0, and nothing more is searched.
full_output() {
	for what in --list --help "--json uncharge-twice" "--bug uncharge-test-then-set"; do
		code=0
		bounded "$UMEMCG" check $what >/dev/full 2>"$TMP/err" || code=$?
		expect 125 "$code" "status of $what" || return 1
		expect 1 "$(wc -l <"$TMP/err")" "lines of $what" || return 1
	done
	code=0
	bounded "$UMEMCG" check >/dev/full 2>"$TMP/err" || code=$?
	expect 125 "$code" "status of all scenarios"
}

# Or has ended: then it never had one.
has_a_child() {
	child=$(ps -o pid= --ppid "$1" | awk 'NR == 1 { print $1 }')
	[ -n "$child" ] || over "$1"
}

# A search that is killed leaves none of its processes behind.
killed_with_jobs() {
	"$UMEMCG" check --jobs 2 swap-in-by-two >"$TMP/out" 2>&1 &
	pid=$!
	until_true has_a_child "$pid"
	kill -9 "$pid"
	wait "$pid" 2>"$TMP/err"
	[ -n "$child" ] || { echo "no search was shared"; return 1; }
	until_true over "$child" && return
	kill -9 "$child"
	return 1
}

# Who interrupts it is told how far it came, and sees it end by the signal.
interrupted() {
	"$UMEMCG" check >"$TMP/out" 2>"$TMP/err" &
	pid=$!
	for i in $(seq 600); do
		[ "$(wc -l <"$TMP/out")" -ge 2 ] && break
		sleep 0.1
	done
	kill -TERM "$pid"
	code=0
	wait "$pid" 2>"$TMP/err" || code=$?
	tail -n 3 "$TMP/out"
	expect 143 "$code" status && grep -q '^interrupted: [0-9]* of [0-9]* scenarios were begun$' "$TMP/out"
}

colors() {
	esc=$(printf '\033')
	status_of --color always --bug uncharge-test-then-set
	grep -q "$esc" "$TMP/out" || { echo "no color with always"; return 1; }
	status_of --bug uncharge-test-then-set
	! grep "$esc" "$TMP/out"
}

# The line that tells how far a search is stays within a narrow terminal: of one that wraps only the last part is cleared.
narrow_terminal() {
	bounded script -qec "stty cols 40; '$UMEMCG' check --random 30000 truncate-and-writeback >/dev/null" "$TMP/tty" \
		</dev/null >/dev/null || { cat "$TMP/tty"; return 1; }
	tr '\r' '\n' <"$TMP/tty" | grep executions >"$TMP/lines" || { echo "no line"; cat "$TMP/tty"; return 1; }
	esc=$(printf '\033')
	sed "s/$esc\[K//g" "$TMP/lines" | awk 'length($0) > 39 { print; wide = 1 } END { exit wide }'
}

full() {
	status_of --full --bug uncharge-test-then-set
	steps=$(sed -n 's/^  \([0-9]*\) operations.*/\1/p' "$TMP/out")
	expect 1 "$code" status && expect "$steps" "$(grep -c '^ *[0-9][0-9]* |' "$TMP/out")" "rows"
}

# Found within its budget, for what the table says, drawn as agreed, and its replay is the same drawing.
bug() {
	status_of --bug "$1"
	if [ "$code" -ne 1 ]; then
		cat "$TMP/out" "$TMP/err"
		expect 1 "$code" status
		return 1
	fi
	! grep 'not what the bug breaks\|did not end the same way' "$TMP/out" || return 1
	cp "$TMP/out" "$TMP/drawn"
	status_of --replay "$(sed -n "s/^  replay: .*'\(.*\)'$/\1/p" "$TMP/drawn")"
	expect 1 "$code" "status of the replay" || return 1
	sed 's/; found in execution .*//' "$TMP/drawn" | diff - "$TMP/out" || return 1
	"$UMEMCG" check --version | grep -q 'source lines: yes' || return 0
	[ -f "$golden/$1.txt" ] || { echo "tests/check/golden/$1.txt is missing: tools/update-golden.sh"; return 1; }
	sed -f "$golden/mask.sed" "$golden/$1.txt" >"$TMP/want"
	sed -f "$golden/mask.sed" "$TMP/drawn" | diff "$TMP/want" -
}

# readme_drawing BUG: the drawing in README.md is the one that is pinned.
readme_drawing() {
	sed -n 's/^    //; /^uncharge-twice: /,/^  replay: /p' "$golden/../../../README.md" >"$TMP/readme"
	sed -f "$golden/mask.sed" "$golden/$1.txt" >"$TMP/want"
	sed -f "$golden/mask.sed" "$TMP/readme" | diff "$TMP/want" -
}

# Not only where the table says: of pages of files as of anonymous ones, of what succeeds and what fails.
bugs_elsewhere() {
	while read -r name scenario; do
		status_of --bug "$name" "$scenario"
		expect 1 "$code" "status of $name in $scenario" || return 1
		grep -q "^$scenario: " "$TMP/out" || { head -n 1 "$TMP/out"; return 1; }
		! grep 'not what the bug breaks' "$TMP/out" || return 1
	done <<-END
		migrate-commit-after-remap migrate-and-unmap
		migrate-commit-after-remap migrate-file-and-fault
		migrate-commit-after-remap migrate-shmem-and-munmap
		migrate-failure-recharges migrate-file-fails-at-limit
	END
}

[ -x "$UMEMCG" ] || skip_all "$UMEMCG is not built"
check "wrong use is one line and status 125" wrong_uses
check "a replay string that does not fit is refused" wrong_replays
check "the lists are tab-separated, without doubles" lists
check "help and version come from both programs alike" help_is_one
check "other searches say what they are" other_searches
check "a search over two processes exhausts" shared_search
check "the drawing in README.md is today's" readme_drawing uncharge-test-then-set
check "a budget that runs out is status 2" budget_ends
check "JSON has verdicts and replay strings" json
check "a page of HTML stands alone" html
check "color is for terminals" colors
if command -v script >/dev/null; then
	check "the line of a search fits a narrow terminal" narrow_terminal
else
	skip "the line of a search fits a narrow terminal" "script is not installed"
fi
check "output that cannot be written is status 125" full_output
check "a search that is killed takes its processes with it" killed_with_jobs
check "a search that is interrupted says how far it came" interrupted
check "a full drawing has a row for each operation" full
check "the quick scenarios are exhausted" quick sc
check "with the pinned numbers of executions" counts counts.txt
check "the quick scenarios are exhausted with store buffers" quick tso
check "with their pinned numbers of executions" counts counts-tso.txt
check "bugs are found in other scenarios than their own" bugs_elsewhere
"$UMEMCG" check --list | cut -f 1 >"$TMP/scenarios"
"$UMEMCG" check --list-bugs >"$TMP/bugs"
while IFS='	' read -r name _ scenario <&3; do
	if grep -qx "$scenario" "$TMP/scenarios"; then
		check "$name is found, drawn and replayed" bug "$name"
	else
		skip "$name is found, drawn and replayed" "its scenario $scenario is not there yet"
	fi
done 3<"$TMP/bugs"
