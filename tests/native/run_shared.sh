#!/bin/sh
# tests/native/run_shared.sh - memory that processes share, under a limit that it does not fit into.
#
# Every store is checked by all; what the tree holds is looked at from outside, the shared memory by the blocks of its files. The
# last tests are PostgreSQL with buffers larger than its limit: its own books have to balance.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog inorder shared sharedcalls shmobjects sysv sampler reportget
plan 18

no_store_is_lost() {
	sampled 16M "$BIN/shared" 64 8 4 && swapped_at_least 48
}

# 64 MiB, filled, read from the first page to the last and back, in 16. A fault a page would be 49152.
few_faults() {
	sampled 16M "$BIN/inorder" 64 1 shared && swapped_at_least 64 || return
	faults=$("$BIN/reportget" "$report" memory.stat/pgfault)
	[ "$faults" -lt 8192 ] && return
	echo "$faults faults"
	return 1
}

killed_member() {
	sampled 12M "$BIN/shared" 48 8 4 kill && held 12
}

some_unmap() {
	sampled 12M "$BIN/shared" 48 8 4 unmap && held 12
}

calls() {
	sampled 8M "$BIN/sharedcalls" 16 && swapped_at_least 16
}

segments() {
	SYSV_MANAGED=1 sampled 8M "$BIN/sysv" 16 16 && swapped_at_least 16
}

# The same program finds the kernel's segments, and says so where it expects ours.
kernel_segments() {
	bounded "$UMEMCG" run -m 64M --swap-max 64M --kernel-sysv -- "$BIN/sysv" 4 0 || return
	SYSV_MANAGED=1 bounded "$UMEMCG" run -m 64M --swap-max 64M --kernel-sysv -- "$BIN/sysv" 4 0 && return 1
	return 0
}

# Three objects of 8 MiB and five processes, which have little else. The figure is late by some tenths of a second.
objects_counted() {
	sampled 96M "$BIN/shmobjects" 8 4 3 || return
	peak=$("$BIN/reportget" "$report" memory.peak)
	[ "$peak" -ge $((24 << 20)) ] && [ "$peak" -le $((32 << 20)) ] && return
	echo "memory.peak is $peak"
	return 1
}

objects_limited() {
	sampled 16M "$BIN/shmobjects" 8 4 20
	expect 137 $? "exit code"
}

# Of the thousand objects that are there at once some 920 get no descriptor, and hold 7.2 MiB that cannot be swapped.
few_descriptors() {
	(
		ulimit -n 256 && sampled 12M "$BIN/sharedcalls" 12
	)
}

# ---- PostgreSQL ----

pg_user=nobody
pg_bin=
for dir in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin; do
	[ -x "$dir/postgres" ] && [ -x "$dir/pgbench" ] && pg_bin=$dir
done

# As a user it accepts: it refuses root.
as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid "$pg_user" --regid "$(id -g "$pg_user")" --clear-groups "$@"
	else
		"$@"
	fi
}

pg_missing() {
	if [ -z "$pg_bin" ]; then
		echo "postgres and pgbench are not installed"
	elif ! as_user test -r "$(dirname "$UMEMCG")/libumemcg-agent.so"; then
		echo "user $pg_user cannot read the agent, and postgres refuses root"
	fi
}

pg() { # PROGRAM ARGUMENT...
	program=$1
	shift
	as_user "$pg_bin/$program" -h "$TMP/pg" -U bench "$@"
}

pg_up() { # mmap|sysv
	rm -rf "$samples" "$report" "$TMP/pg"
	mkdir "$TMP/pg" && chmod 755 "$TMP" && chmod 777 "$TMP/pg" || return
	as_user "$pg_bin/initdb" -D "$TMP/pg/data" -A trust -U bench -N >"$TMP/initdb.log" 2>&1 || return
	(
		cd "$TMP/pg" || exit 1
		set -- "$pg_bin/postgres" -D "$TMP/pg/data" -k "$TMP/pg" -c listen_addresses= \
			-c shared_memory_type="$1" -c shared_buffers=128MB -c huge_pages=off -c fsync=off \
			-c max_connections=20
		[ "$(id -u)" != 0 ] ||
			set -- setpriv --reuid "$pg_user" --regid "$(id -g "$pg_user")" --clear-groups "$@"
		exec timeout -k 5 900 "$BIN/sampler" -1 -i 50 -o "$samples" -- "$UMEMCG" run -m 64M --swap-max 1G \
			--report json --report-file "$report" -- "$@"
	) >"$TMP/pg/log" 2>&1 &
	pg_pid=$!
	test_pid=$pg_pid
	until_true pg pg_isready -q -d postgres && return
	cat "$TMP/pg/log"
	return 1
}

pg_works() { # mmap|sysv
	pg_up "$1" || return
	timeout "$BOUND_S" "$pg_bin/pgbench" -h "$TMP/pg" -U bench -i -s 20 -q postgres || return
	timeout "$BOUND_S" "$pg_bin/pgbench" -h "$TMP/pg" -U bench -c 4 -T 10 postgres
}

# What was added to accounts, branches and tellers is what the history says was added.
pg_balances() {
	sums=$(pg psql -At -F ' ' postgres -c "select (select sum(abalance) from pgbench_accounts),
		(select sum(bbalance) from pgbench_branches), (select sum(tbalance) from pgbench_tellers),
		(select sum(delta) from pgbench_history), (select count(*) from pgbench_accounts)")
	echo "accounts, branches, tellers, history, rows: $sums"
	set -- $sums
	[ $# = 5 ] && [ "$1" = "$4" ] && [ "$2" = "$4" ] && [ "$3" = "$4" ] && [ "$5" = 2000000 ]
}

# It writes its buffers out at the end, from swap where they are there.
pg_ends() {
	kill -INT "$(head -n 1 "$TMP/pg/data/postmaster.pid")"
	wait "$pg_pid"
	code=$?
	test_pid=
	expect 0 $code "exit code" && held 64 && swapped_at_least 32
}

check "nine processes store to 64 MiB in 16 MiB, and no store is lost" no_store_is_lost
check "what they held stayed below the limit" held 16
check "what is touched in order comes many pages a fault" few_faults
check "a member that is killed leaves the others their memory" killed_member
check "members that give up a part leave it to the others" some_unmap
check "system calls, moves, advice, locks and semaphores work on it" calls
as_root "System V segments have the ids, keys, rights and ends of the manual" segments
check "--kernel-sysv leaves them to the kernel" kernel_segments
check "what was attached stayed below the limit" held 8
check "shared objects that are not managed count, and once" objects_counted
check "a limit that they exceed ends the program" objects_limited
check "shared memory that we have no descriptor for is shared all the same" few_descriptors
why=$(pg_missing)
if [ -n "$why" ]; then
	skip "PostgreSQL runs pgbench with buffers larger than its limit" "$why"
	skip "its balances add up" "$why"
	skip "it stops in order, and the limit was held" "$why"
	skip "PostgreSQL does the same with a System V segment" "$why"
	skip "its balances add up there" "$why"
	skip "it stops in order there, and the limit was held" "$why"
else
	check "PostgreSQL runs pgbench with buffers larger than its limit" pg_works mmap
	check "its balances add up" pg_balances
	check "it stops in order, and the limit was held" pg_ends
	check "PostgreSQL does the same with a System V segment" pg_works sysv
	check "its balances add up there" pg_balances
	check "it stops in order there, and the limit was held" pg_ends
fi
