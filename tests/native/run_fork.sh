#!/bin/sh
# tests/native/run_fork.sh - what processes have in common since a fork: it is swapped once, not once a process, and every one finds its
# own again. What cannot be swapped is charged once.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog family workers reportget
plan 10

# workers_in LIMIT SWAP WORKERS MIB PERCENT ROUNDS [OPTION...]: they find their memory as they left it.
workers_in() {
	limit=$1 swap=$2 workers=$3 mib=$4 percent=$5 rounds=$6
	shift 6
	rm -f "$report"
	bounded "$UMEMCG" run -m "${limit}M" --swap-max "${swap}M" --swap "$TMP" "$@" --report json --report-file "$report" \
		-- "$BIN/workers" "$workers" "$mib" "$percent" "$rounds"
}

# reported_at_most WHAT KEY PAGES: a figure of the report.
reported_at_most() {
	[ "$(value "$2")" -le "$3" ] || { echo "$1: $(value "$2"), more than $3"; return 1; }
}

# Eight times 16 MiB in 24, read twice: nearly everything goes out and comes back several times. Once written, a page is written no
# more; what remains are pages that two of them gave up at the same moment, and the few that the C library has.
read_only() {
	workers_in 24 512 8 16 0 2 "$@" || return
	[ "$(value memory.stat/swpout_shared)" -gt 4096 ] || { echo "nothing was shared"; return 1; }
	reported_at_most "pages written" memory.stat/pswpout $((4096 * 3 / 2)) && reported_at_most "bytes of swap" memory.swap.peak $((24 << 20))
}

# A tenth of each is its own: 16 + 8 * 1.6 MiB.
changing() {
	workers_in 24 512 8 16 10 2 || return
	reported_at_most "pages written" memory.stat/pswpout $((4096 * (100 + 8 * 10) / 100 * 3 / 2)) &&
		reported_at_most "bytes of swap" memory.swap.peak $((44 << 20))
}

# Once each it would not fit.
little_swap() { workers_in 24 32 8 16 0 2; }

# The children of children: those in the middle have ended, or have what both sides have.
generations() {
	rm -f "$report"
	bounded "$UMEMCG" run -m 24M --swap-max 512M --swap "$TMP" --report json --report-file "$report" \
		-- "$BIN/workers" 2 16 5 1 3 || return
	reported_at_most "bytes of swap" memory.swap.peak $((48 << 20))
}

# family_in LIMIT CHILDREN MIB ROUNDS [exits]: memory outside the books that all have since the fork.
family_in() {
	limit=$1
	shift
	rm -f "$report"
	bounded "$UMEMCG" run -m "${limit}M" --swap-max 256M --swap "$TMP" --report json --report-file "$report" \
		-- "$BIN/family" "$@" 2>"$TMP/err" >"$TMP/out"
	code=$?
	cat "$TMP/err" "$TMP/out"
	return $code
}

# Thirteen have 20 MiB; a third of the limit is left.
charged_once() { family_in 36 12 20 0 && reported_at_most "bytes of memory" memory.peak $((30 << 20)); }

# 201 have 20 MiB, and 150 KiB each of their own.
# A child has 80 KiB more of the agent's in mode user.
many_once() { family_in "$(in_user_mode && echo 76 || echo 60)" 200 20 0 && reported_at_most "bytes of memory" memory.peak $((84 << 20)); }

exits_once() { family_in 36 12 20 0 exits && reported_at_most "bytes of memory" memory.peak $((30 << 20)); }

# There is room for all copies: no more is charged than there is, and no less.
charged_each() {
	family_in 400 12 20 8 || return
	[ "$(value memory.peak)" -ge $((260 << 20)) ] || { echo "$(value memory.peak) for thirteen times 20 MiB"; return 1; }
	reported_at_most "bytes of memory" memory.peak $((280 << 20))
}

# There is not: somebody is killed for it, and the limit holds. While the machine gives umemcg no CPU (prog/late.c says how long),
# the children write on: at most 5 MiB per ms, two CPUs' worth of copies.
copies_limited() {
	for how in "" exits; do
		"$BIN/late" "$TMP/late" 1 &
		late=$!
		family_in 40 12 20 8 $how
		kill "$late"
		stalled=$(awk '$4 - $3 > most { most = $4 - $3 } END { printf "%d", most }' "$TMP/late")
		grep -q 'not managed and cannot be swapped' "$TMP/err" || { echo "nobody was killed for it"; return 1; }
		echo "longest time without a CPU: $stalled ms"
		reported_at_most "bytes of memory" memory.peak $(((ALLOWED_MIB + 5 * stalled) << 20)) || return
	done
}
# As main stacks are (docs/limits.md): measured every millisecond, more beside load. Copies that nobody counts are 260 MiB.
ALLOWED_MIB=64

check "workers that read what their parent made swap it once" read_only
check "the same with --swap-direct" read_only --swap-direct
check "those that change some of it swap that besides" changing
check "swap that holds it once is enough for all" little_swap
check "so it is for their children's children" generations
check "what parent and children share outside the books is charged once" charged_once
check "so it is for two hundred children" many_once
check "so it is when some of them end" exits_once
check "pages of their own are charged to each" charged_each
check "children that write to all of it are held to the limit" copies_limited
