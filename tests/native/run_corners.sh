#!/bin/sh
# tests/native/run_corners.sh - programs in unusual places: the lowest addresses;
# and a device that wants its memory to be there.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog lowest reportget xdpframes
plan 2

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

lowest() {
	under 16M "$BIN/lowest" 24 && swapped_at_least 64
}

xdp_frames() {
	under 16M "$BIN/xdpframes" 24 && swapped_at_least 64
}

check "memory at the lowest addresses keeps what is stored there" lowest
"$BIN/xdpframes" 1 >"$TMP/out"
if [ $? -eq 77 ]; then
	skip "a socket for XDP gets frames that were swapped out" "$(cat "$TMP/out")"
else
	check "a socket for XDP gets frames that were swapped out" xdp_frames
fi
