#!/bin/sh
# tests/native/run_busy.sh - nobody is killed for memory while somebody else has some that he does not use, or can give
# some soon; and nothing is lost when a process dies while its memory is taken out.
#
# What goes wrong here goes wrong now and then, and more often beside load: each test does it many times.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog fill leftover reportget

out=$TMP/out

# often N COMMAND...: N times; false with what the first said that failed.
often() {
	left=$1
	shift
	while [ "$left" -gt 0 ]; do
		"$@" >"$out" 2>&1 || { echo "$left left: $*"; cat "$out"; return 1; }
		left=$((left - 1))
	done
}

# What fits does, to within half of what a process that is not managed may have in reserve: as soon as somebody would be
# killed the reserves are given back.
tight() {
	often 30 bounded "$UMEMCG" run -m 8M --swap-max 1M -- "$BIN/fill" 8
}

check "nobody is killed while others have pages in reserve" tight

# killed: out of memory, by itself; what it had is counted no second time while its process ends.
killed_once() {
	bounded "$UMEMCG" run -m 8M --swap-max 1M --report json --report-file "$TMP/report.json" -- "$BIN/fill" 12 f
	expect 137 $? "exit status" || return
	peak=$("$BIN/reportget" "$TMP/report.json" memory.peak)
	[ "$peak" -lt $((12 << 20)) ] || { echo "memory.peak: $peak"; return 1; }
}

victims() { often 25 killed_once; }

# unmanaged MIB: the sum of the peaks of what is not managed, in five runs, in pages.
unmanaged() {
	sum=0
	for run in 1 2 3 4 5; do
		bounded "$UMEMCG" run -m 8M --swap-max 1G --report json --report-file "$TMP/report.json" -- "$BIN/fill" "$1" fsr >"$out" 2>&1 ||
			return
		sum=$((sum + $("$BIN/reportget" "$TMP/report.json" umemcg/unmanaged_peak) / 4096))
	done
	echo $sum
}

# Nothing is unmanaged in the one that was not in the other. What has left its place waits for the helper to drop it.
on_the_way_out() {
	in_memory=$(unmanaged 2) && swapped=$(unmanaged 24) || { cat "$out"; return 1; }
	[ "$swapped" -lt $((in_memory + 5 * 96)) ] || { echo "pages: $swapped, without swapping $in_memory"; return 1; }
}

# Ended while pages of it were on their way, and another has the memory: which of them had left their place is found out.
left_over() {
	often 2 bounded "$UMEMCG" run -m 16M --swap-max 1G -- "$BIN/leftover" 24 30
}

check "a victim's memory is counted once while it ends" victims
check "pages on their way out are not counted beside the books" on_the_way_out

if unshare -u true 2>/dev/null; then
	check "a killed process leaves to whoever shares its memory what was on its way out" left_over
else
	skip "a killed process leaves to whoever shares its memory what was on its way out" "it takes root"
fi
