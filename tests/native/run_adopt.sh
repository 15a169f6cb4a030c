#!/bin/sh
# tests/native/run_adopt.sh - everything that a process uses is measured and counted, from its first instruction on: what it has reserved
# before it can speak, a handshake that fails, memory that its kernel fills by itself, page tables, a stack that grows.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog deep fill lockfuture reportget reserve sampler sparse

MIB=$((1024 * 1024))
# What measuring may be late by, on a machine that has other things to do.
SLACK=$((4 * MIB))

# 16 TiB, of which a few pages are there, at both ends and in the middle: managed like any other, and right.
reserved() {
	under 64M "$BIN/reserve" 16384 96 || return
	expect 0 "$(value umemcg/unmanaged_total)" umemcg/unmanaged_total || return
	expect 1 "$(value umemcg/clients_total)" umemcg/clients_total || return
	at_most $((64 * MIB + SLACK)) "$(value memory.peak)" memory.peak &&
		at_least $((32 * MIB)) "$(value memory.swap.peak)" memory.swap.peak
}

# The agent gives up, as when nobody answers it for ten seconds: what the program has is counted, said and named.
given_up() {
	UMEMCG_AGENT_GIVE_UP=1 under 64M "$BIN/fill" 30 fhhv 2>"$TMP/err" || { cat "$TMP/err"; return 1; }
	cat "$TMP/err"
	expect 1 "$(value umemcg/unmanaged_total)" umemcg/unmanaged_total || return
	expect 0 "$(value umemcg/clients_total)" umemcg/clients_total || return
	value umemcg/unmanaged_processes | grep -q 'fill (' || { echo "not named"; return 1; }
	expect 1 "$(grep -c 'fill ([0-9]*) was not answered in time and is not managed' "$TMP/err")" notices || return
	at_least $((30 * MIB)) "$(value memory.peak)" memory.peak
}

given_up_too_large() {
	UMEMCG_AGENT_GIVE_UP=1 under 24M "$BIN/fill" 200 fhh
	expect 137 $? "exit status" || return
	at_least 1 "$(value memory.events/oom_kill)" memory.events/oom_kill
}

# What it is refused is never there; what it gets is locked, and charged before its kernel fills it.
locked_future() {
	under 64M "$BIN/lockfuture" 500 90 || return
	expect 0 "$(value memory.events/oom_kill)" memory.events/oom_kill || return
	at_most $((64 * MIB + SLACK)) "$(value memory.peak)" memory.peak
}

# A page of tables for every page of memory: they count, and what fits beside them runs.
tables_counted() {
	under 64M "$BIN/sparse" 4096 || return
	# 4096 pages of the kernel's, and as much of ours.
	at_least $((31 * MIB)) "$(value umemcg/tables_peak)" umemcg/tables_peak || return
	at_least "$(value umemcg/tables_peak)" "$(value umemcg/unmanaged_peak)" umemcg/unmanaged_peak || return
	at_most $((40 * MIB)) "$(value umemcg/tables_peak)" umemcg/tables_peak || return
	at_most $((64 * MIB + SLACK)) "$(value memory.peak)" memory.peak || return
	expect "0 0" "$(echo $(value memory.stat/pagetables) $(value memory.stat/pagetables_umemcg))" "tables at the end"
}

tables_too_large() {
	under 32M "$BIN/sparse" 16384 2>"$TMP/err"
	code=$?
	[ $code -ne 77 ] || return 77
	cat "$TMP/err"
	expect 137 $code "exit status" || return
	grep -q 'of that memory is page tables' "$TMP/err" || return
	at_most $((32 * MIB + SLACK)) "$(value memory.peak)" memory.peak
}

# In the first process of a program, and in another: measured late, it is stopped until there is room.
deep_stacks() {
	bounded "$BIN/sampler" -i 2 -o "$samples" -- \
		"$UMEMCG" run -m 64M --swap-max 1G --report json --report-file "$report" -- "$BIN/deep" 12 40 || return
	expect 0 "$(value memory.events/oom_kill)" memory.events/oom_kill || return
	at_least $((20 * MIB)) "$(value umemcg/unmanaged_peak)" umemcg/unmanaged_peak || return
	at_most $((64 * MIB + 4 * SLACK)) "$(value memory.peak)" memory.peak || return  # 24 above it where nobody stops them
	# What was charged by force is in the peak: nothing was there that it does not say, but for what a look is late by.
	seen=$(($(sed -n 's/^clients_max_kb //p' "$samples") * 1024))
	at_most $(($(value memory.peak) + SLACK)) "$seen" "memory of the processes"
}

plan 7
skippable "what is reserved before the program can speak costs nothing, and its limit holds" reserved
check "a process whose agent gives up is counted, named, and said to be so" given_up
check "one that takes too much then is killed" given_up_too_large
skippable "memory that is locked as it comes is charged before it is filled, or refused" locked_future
skippable "page tables count" tables_counted
skippable "a program that its page tables alone take over the limit is killed, and told so" tables_too_large
skippable "a stack that grows at full speed stays near the limit, and the peak tells the truth" deep_stacks
