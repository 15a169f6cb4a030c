#!/bin/sh
# tests/native/run_kernel.sh - what the kernel touches, pins, clears and maps by itself, in memory that was swapped out.
#
# Each program checks every byte and every result itself, and is right without umemcg; what madvise returns is compared with what it
# returns there.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog advices exitwords futexes heirs lockstand outlive pins remaps reportget rewords splices twice
plan 14

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

rewords() {
	under 12M "$BIN/rewords" 16 && swapped_at_least 16
}

lockstand() {
	under 16M "$BIN/lockstand" 24 && swapped_at_least 16
}

advices() {
	bounded "$BIN/advices" 1 >"$TMP/without" || return
	under 48M "$BIN/advices" 64 >"$TMP/under" && swapped_at_least 64 || return
	diff "$TMP/without" "$TMP/under"
}

outlive() {
	under 16M "$BIN/outlive" 24 && swapped_at_least 64
}

# Where processes have other numbers than the supervisor's.
outlive_elsewhere() {
	under 16M unshare -fp "$BIN/outlive" 24 && swapped_at_least 64
}

# Three that share 40 MiB are 40 MiB.
several() {
	under 200M "$BIN/heirs" several 40 || return
	peak=$("$BIN/reportget" "$report" memory.peak)
	[ "$peak" -lt $((80 << 20)) ] && return
	echo "memory.peak $peak"
	return 1
}

heirs() {
	under 16M "$BIN/heirs" "$1" 24 && swapped_at_least 8 || return
	# One that cannot be asked for its memory goes far beyond the limit.
	peak=$("$BIN/reportget" "$report" memory.peak)
	[ "$peak" -lt $((22 << 20)) ] && return
	echo "memory.peak $peak"
	return 1
}

twice() {
	bounded "$UMEMCG" run -m 64M --swap-max 0 -- "$BIN/twice" 40
}

check "memory that is mapped once more, by whatever call, has what it had" remaps
check "what is stored after vmsplice the reader of the pipe sees" splices
check "what is no pipe, and nothing put into one, is kept for nobody" under 16M "$BIN/pins"
check "a thread holds what it named last, however often" rewords
check "words that the kernel clears when threads end are cleared" words
check "memory that outlives the process it began with stays within the limit" outlive
if unshare -fp true 2>/dev/null; then
	check "so it does in a PID namespace" outlive_elsewhere
else
	skip "so it does in a PID namespace" "none can be made here"
fi
check "those that outlive it are counted once" several
check "one that is made while its parent is killed stays within the limit" heirs late
check "so does one that is made after others were killed at once" heirs killed
check "a process that is killed for a second HELLO gives its memory back" twice
check "what mlockall has locked is not what a later survivor needs" lockstand
check "futex operations in which the kernel changes the word find its page" futexes
check "every advice has the result and the effect that it has without umemcg" advices
