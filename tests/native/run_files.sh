#!/bin/sh
# tests/native/run_files.sh - `umemcg ls`, `umemcg get` and `umemcg set`: the control files of a running group, while its program
# works on memory that it checks.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog steady
plan 19

name=files$$

# start MIB ARGUMENT of umemcg run...: $run and $member, once the program is there.
start() {
	mib=$1
	shift
	: >"$TMP/started"
	"$UMEMCG" run --swap "$TMP" "$@" -- "$BIN/steady" -l "$TMP/started" "$mib" 0 >"$TMP/program" 2>&1 &
	run=$!
	until_true grep -q start "$TMP/started" && member=$(sed -n 's/^start //p;q' "$TMP/started")
}

stop() {
	kill -TERM "$run" 2>/dev/null
	wait "$run"
	ended=$?
}

get() { bounded "$UMEMCG" get "$@"; }
set_to() { bounded "$UMEMCG" set "$@"; }
# said TEXT CMD...: it fails, and its only line is TEXT.
said() {
	text=$1
	shift
	"$@" >"$TMP/out" 2>"$TMP/err" && { echo "it succeeded"; return 1; }
	[ "$(cat "$TMP/err")" = "umemcg: $text" ] && [ ! -s "$TMP/out" ] || { cat "$TMP/out" "$TMP/err"; return 1; }
}
# file_at_most FILE BYTES
file_at_most() {
	value=$(get $name "$1") && [ "$value" -le "$2" ] || { echo "$1: $value, more than $2"; return 1; }
}
right() { ! grep FAILED "$TMP/program" "$TMP/started"; }

listed() {
	# Of another version: not listed, and the status says so.
	bounded "$UMEMCG" ls >"$TMP/out" 2>"$TMP/err" || grep "another version" "$TMP/err" || return
	grep -q "^PID .*GROUP .*PROGRAM .*MEMORY .*MAX" "$TMP/out" && grep "^$run  *$name  *steady .* MiB  *64.0 MiB .* 256.0 MiB" "$TMP/out"
}
without_header() { ! bounded "$UMEMCG" ls --no-header | grep PID; }
by_all_names() {
	for who in $name "$run" "$member"; do
		[ "$(get "$who" memory.max)" = 67108864 ] || { echo "by $who: $(get "$who" memory.max)"; return 1; }
	done
}
the_kernels_formats() {
	[ "$(get $name memory.high)" = max ] && [ "$(get $name memory.low)" = 0 ] && [ "$(get $name cgroup.procs)" = "$member" ] &&
		[ "$(get $name cgroup.events)" = "populated 1
frozen 0" ] && get $name memory.events | grep -q '^oom_kill 0$' && get $name memory.stat | grep -q '^anon [1-9]' &&
		get $name cgroup.threads | grep -q "^$member\$"
}
all_files() {
	get $name >"$TMP/out" || return
	for file in memory.current memory.stat memory.swap.max cgroup.procs; do
		grep -q "^$file:" "$TMP/out" || { echo "no $file"; return 1; }
	done
	! grep memory.reclaim "$TMP/out"
}
version_1() {
	[ "$(get $name --v1 memory.limit_in_bytes)" = 67108864 ] && [ "$(get --v1 $name tasks | head -n 1)" = "$member" ] &&
		get $name --v1 memory.stat | grep -q '^hierarchical_memory_limit 67108864$'
}
# The write returns when the limit holds; the program's own copies may pass it by what README states.
lowered() {
	set_to $name memory.max=24M || return
	[ "$(get $name memory.max)" = 25165824 ] && file_at_most memory.current $((28 << 20)) &&
		[ "$(get $name memory.swap.current)" -ge $((12 << 20)) ] || return
	sleep 1
	file_at_most memory.current $((28 << 20)) && right
}
all_in() { [ "$(get $name memory.current)" -ge $((40 << 20)) ]; }
raised() { set_to $name memory.max=1G memory.low=8M && until_true all_in && right && [ "$(get $name memory.low)" = 8388608 ]; }
high() { set_to $name memory.high=20M && until_true file_at_most memory.current $((24 << 20)) && set_to $name memory.high=max && right; }
reclaimed() {
	until_true all_in && before=$(get $name memory.stat | sed -n 's/^pswpout //p') && set_to $name memory.reclaim=8M || return
	[ "$(get $name memory.stat | sed -n 's/^pswpout //p')" -ge $((before + 1000)) ] && right
}
# More is in use than there is room in memory and swap together.
refused_as_version_1_does() {
	set_to $name memory.swap.max=1M && until_true all_in || return
	said "set: memory.limit_in_bytes: more is in use than 4M, and cannot be swapped out; the limit stays as it was" \
		set_to --v1 $name memory.limit_in_bytes=4M && [ "$(get $name memory.max)" = 1073741824 ] &&
		set_to $name memory.swap.max=256M && right
}
wrong_uses() {
	said "get: no PID or GROUP was given; 'umemcg ls' lists them" get &&
		said "set: 'memory.max' is not FILE=VALUE, as in memory.max=128M" set_to $name memory.max &&
		said "set: memory.max: '64MB' is not accepted; give bytes, as in 67108864 or 64M, or max" set_to $name memory.max=64MB &&
		said "set: memory.current can only be read" set_to $name memory.current=1 &&
		said "get: memory.reclaim can only be written" get $name memory.reclaim &&
		said "get: 'memory.usage_in_bytes' is a name of version 1; give --v1" get $name memory.usage_in_bytes &&
		said "get: 'memory.current' is a name of version 2; leave out --v1" get --v1 $name memory.current &&
		said "get: there is no file 'memory.foo'; 'umemcg get $name' shows all" get $name memory.foo &&
		said "set: memory.memsw.limit_in_bytes: 1M is refused: memory may not have more than memory+swap (memory.memsw.limit_in_bytes)" \
			set_to --v1 $name memory.memsw.limit_in_bytes=1M &&
		said "ls: it takes no argument, and was given 'x'" bounded "$UMEMCG" ls x &&
		said "get: '0' is not the number of a process" get 0 && no_member
}
no_member() {
	! get $$ 2>"$TMP/err" && grep -q "^umemcg: get: process $$ is not a member of any umemcg run" "$TMP/err"
}
nobody() { said_of_group get no-such-group; }
said_of_group() {
	"$@" 2>"$TMP/err" && return 1
	grep -q "^umemcg: get: no umemcg run has a group 'no-such-group'; there is .*$name (steady)" "$TMP/err"
}
# Others see that there is a run, and nothing of it.
another_user() {
	! setpriv --reuid 65534 --regid 65534 --clear-groups "$UMEMCG" get "$run" memory.max 2>"$TMP/err" &&
		grep -q "no permission: umemcg run ($run) belongs to another user" "$TMP/err" &&
		! setpriv --reuid 65534 --regid 65534 --clear-groups "$UMEMCG" set "$run" cgroup.kill=1 2>/dev/null && kill -0 "$run"
}
# Ten at once: a write waits for the one before it.
many_writers() {
	for i in 1 2 3 4 5 6 7 8 9 10; do
		set_to $name memory.reclaim=1M memory.max=$((60 + i))M memory.high=$((50 + i))M 2>"$TMP/writer.$i" &
		writers="$writers $!"
	done
	for pid in $writers; do wait "$pid" || { cat "$TMP"/writer.*; return 1; }; done
	right
}
writers=
killed_in_the_group() {
	set_to $name cgroup.kill=1 && wait "$run"
	[ $? = 137 ] || { cat "$TMP/program"; return 1; }
}
limit_that_kills() {
	start 48 -m 96M --swap-max 0 --name $name || return
	until_true all_in && set_to $name memory.max=16M
	wait "$run"
	[ $? = 137 ] && grep 'out of memory' "$TMP/program"
}
stopped_run() {
	start 4 -m 64M --name $name || return
	kill -STOP "$run"
	said "get: umemcg run ($run) does not answer; is it stopped?" get "$run" memory.max
	result=$?
	kill -CONT "$run"
	stop
	return $result
}

# rows VERSION: the names in the table of the document.
rows() { awk -F'`' -v v="## Version $1" '/^## / { here = $0 == v } here && /^\| `/ { print $2 }' "$lib_top/docs/semantics.md" | LC_ALL=C sort; }
documented() {
	for version in 1 2; do
		[ "$(rows $version)" = "$(sed -n "s/^	{ \"\([a-z_.]*\)\", CTL_V$version,.*/\1/p" "$lib_top/src/ctl/files.c" | LC_ALL=C sort)" ] ||
			{ echo "version $version: $(rows $version)"; return 1; }
	done
}

start 48 -m 64M --swap-max 256M --name $name
check "running groups are listed" listed
check "a list without its header" without_header
check "a group's name, umemcg's PID and a process's mean the same" by_all_names
check "files have the kernel's formats" the_kernels_formats
check "without a name all files are printed" all_files
check "names of version 1" version_1
check "a lower memory.max holds when the write returns" lowered
check "a higher one lets all in, above what the run began with" raised
check "memory.high swaps out" high
check "memory.reclaim swaps out" reclaimed
check "a limit of version 1 that usage does not fit in is refused" refused_as_version_1_does
check "wrong uses are answered with a sentence" wrong_uses
check "a group that is not there" nobody
as_root "another user may neither read nor write" another_user
check "ten writers at once" many_writers
check "cgroup.kill ends the processes" killed_in_the_group
check "a limit that cannot be met kills" limit_that_kills
check "a stopped run" stopped_run
check "docs/semantics.md has every file, and no other" documented
