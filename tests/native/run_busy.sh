#!/bin/sh
# tests/native/run_busy.sh - nobody is killed for memory while somebody else has some that he does not use, or can give
# some soon; and nothing is lost when a process dies while its memory is taken out.
#
# What goes wrong here goes wrong now and then, and more often beside load: each test does it many times.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog fill leftover

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

# Ended while pages of it were on their way, and another has the memory: which of them had left their place is found out.
left_over() {
	often 2 bounded "$UMEMCG" run -m 16M --swap-max 1G -- "$BIN/leftover" 24 30
}

if unshare -u true 2>/dev/null; then
	check "a killed process leaves to whoever shares its memory what was on its way out" left_over
else
	skip "a killed process leaves to whoever shares its memory what was on its way out" "it takes root"
fi
