#!/bin/sh
# The checker itself under the address and undefined-behaviour sanitizers: the scenarios that have few executions, every named bug
# with its drawing in each form, a search by several processes. In a build with the address sanitizer instead of cli.sh,
# which would take too long there. `$UMEMCG` is the program.
. "$(dirname "$0")/../native/lib.sh"

golden=$(cd "$(dirname "$0")" && pwd)/golden
EXECUTIONS_MAX=2500
BOUND_S=900
# What a sanitizer finds is not to be taken for what the checker finds, which is 1.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}exitcode=99
UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}halt_on_error=1:exitcode=99
export ASAN_OPTIONS UBSAN_OPTIONS

# checked STATUS ARGUMENT...: ends so, and says nothing on standard error.
checked() {
	want=$1
	shift
	code=0
	bounded "$UMEMCG" check "$@" >"$TMP/out" 2>"$TMP/err" || code=$?
	[ "$code" -eq "$want" ] && [ ! -s "$TMP/err" ] && return 0
	head -n 30 "$TMP/err"
	expect "$want" "$code" "status of '$*'"
	return 1
}

# With the same numbers of executions as without a sanitizer.
few_executions() {
	awk -v most=$EXECUTIONS_MAX '!/^#/ && $2 + $3 <= most' "$golden/counts.txt" | LC_ALL=C sort >"$TMP/pinned"
	[ "$(wc -l <"$TMP/pinned")" -ge 100 ] || { echo "too few scenarios are small"; return 1; }
	checked 0 $(cut -d ' ' -f 1 "$TMP/pinned") || return 1
	awk 'NR > 1 && / EXHAUSTED$/ { print $1, $3, $4 }' "$TMP/out" | LC_ALL=C sort | diff "$TMP/pinned" -
}

shared_search() {
	checked 0 --jobs 3 limit-and-charge swap-in-and-zap && expect 2 "$(grep -c ' EXHAUSTED$' "$TMP/out")" "scenarios"
}

other_searches() {
	checked 0 --preemptions 1 uncharge-twice && checked 0 --random 200 --seed 3 swap-out-and-zap &&
		checked 0 --list && checked 0 --list-bugs && checked 125 nonesuch 2>/dev/null
	[ "$code" -eq 125 ]
}

bugs() {
	for bug in $("$UMEMCG" check --list-bugs | cut -f 1); do
		checked 1 --bug "$bug" || return 1
		string=$(sed -n "s/^  replay: .*'\(.*\)'$/\1/p" "$TMP/out")
		checked 1 --replay "$string" --full && checked 1 --replay "$string" --format html &&
			checked 1 --replay "$string" --json || return 1
	done
}

[ -x "$UMEMCG" ] || skip_all "$UMEMCG is not built"
sanitized || skip_all "$UMEMCG is built without the address sanitizer"
check "scenarios of few executions are exhausted, as without sanitizers" few_executions
check "several processes share a search" shared_search
check "other searches" other_searches
check "every named bug is found, drawn and replayed" bugs
