#!/bin/sh
# tests/native/run_kernel.sh - what the kernel touches, pins, clears and maps by itself, in memory that was swapped out.
#
# Each program checks every byte and every result itself, and is right without umemcg; what madvise returns is compared with what it
# returns there.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog advices exitwords futexes outlive remaps reportget splices
plan 6

report=$TMP/report.json

# under LIMIT COMMAND...
under() {
	limit=$1
	shift
	bounded "$UMEMCG" run -m "$limit" --swap-max 1G --report json --report-file "$report" -- "$@"
}

# Unless so many MiB went out, nothing was tested.
swapped_at_least() {
	pages=$("$BIN/reportget" "$report" memory.stat/pswpout)
	[ -n "$pages" ] && [ "$pages" -ge $(($1 * 256)) ] && return
	echo "swapped out: '$pages' pages"
	return 1
}

remaps() {
	under 16M "$BIN/remaps" 8 16 && swapped_at_least 64
}

splices() {
	under 12M "$BIN/splices" 16 && swapped_at_least 64
}

words() {
	under 12M "$BIN/exitwords" 16 && swapped_at_least 64
}

futexes() {
	under 16M "$BIN/futexes" 24 100 && swapped_at_least 64
}

advices() {
	bounded "$BIN/advices" 1 >"$TMP/without" || return
	under 48M "$BIN/advices" 64 >"$TMP/under" && swapped_at_least 64 || return
	diff "$TMP/without" "$TMP/under"
}

outlive() {
	under 16M "$BIN/outlive" 24 && swapped_at_least 64
}

check "memory that is mapped once more, by whatever call, has what it had" remaps
check "what is stored after vmsplice the reader of the pipe sees" splices
check "words that the kernel clears when threads end are cleared" words
check "memory that outlives the process it began with stays within the limit" outlive
check "futex operations in which the kernel changes the word find its page" futexes
check "every advice has the result and the effect that it has without umemcg" advices
