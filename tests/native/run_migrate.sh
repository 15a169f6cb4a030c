#!/bin/sh
# tests/native/run_migrate.sh - `umemcg migrate` from outside: whom it finds, what it refuses, what it says on a machine
# with one memory node. Where there are two, pages really go; tools/numa-vm.sh makes such a machine.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog steady staticprog

top=$(cd "$(dirname "$0")/../.." && pwd)
first=0
other=1
one_node=1
nodes=$(ls -d /sys/devices/system/node/node[0-9]* 2>/dev/null | wc -l)
[ "$nodes" -le 1 ] || one_node=
has_numa=
ldd "$UMEMCG" | grep -q libnuma && has_numa=1

sentence="this machine has one memory node: all pages are on it, and stay where they are"
name=job$$
runs=

# It has executed its program. One without a name has ended: umemcg makes short-lived children when it starts.
member_runs() {
	member=$(members | head -n 1)
	[ -n "$member" ] && comm=$(cat "/proc/$member/comm" 2>/dev/null) && [ -n "$comm" ] && [ "$comm" != umemcg ]
}

# start ARGUMENTS of umemcg run: $run, once its program is there. Has it been heard of? `until_true answered`.
start() {
	"$UMEMCG" run -m 32M "$@" >"$TMP/program" 2>&1 &
	run=$!
	runs="$runs $run"
	until_true member_runs
}

# The run's processes, not its keeper.
members() {
	for pid in $(cat "/proc/$run/task/$run/children"); do
		[ "$(cat "/proc/$pid/comm")" = umemcg-keeper ] || echo "$pid"
	done
}

stop() {
	for pid in $runs; do
		kill -CONT "$pid" 2>/dev/null
		kill -TERM "$pid" 2>/dev/null
		wait "$pid"
	done
	runs=
}

migrate() {
	bounded "$UMEMCG" migrate "$@" >"$TMP/out" 2>"$TMP/err"
}

# answered TARGET: it was found, and asked.
answered() {
	migrate "$1" --from $first --to $other
	code=$?
	if [ -z "$has_numa" ]; then
		expect 125 $code "status for $1" && grep -q "without libnuma" "$TMP/err"
	elif [ -n "$one_node" ]; then
		expect 1 $code "status for $1" || { cat "$TMP/err"; return 1; }
		expect "umemcg: migrate: $sentence" "$(cat "$TMP/err")" "standard error" &&
			expect "" "$(cat "$TMP/out")" "standard output"
	else
		[ $code -le 1 ] && grep -q '^moved [0-9]* pages ([0-9]* failed, [0-9]* were not resident)$' "$TMP/out"
	fi
}

# refused WORDS -- ARGUMENTS: status 125 and one line with all WORDS (separated by |).
refused() {
	words=$1
	shift 2
	migrate "$@"
	expect 125 $? "status of $*" || return 1
	expect 1 "$(wc -l <"$TMP/err")" "lines of $*" || return 1
	echo "$words" | tr '|' '\n' | while IFS= read -r word; do
		grep -qF -e "$word" "$TMP/err" || {
			echo "no \"$word\" in: $(cat "$TMP/err")"
			exit 1
		}
	done
}

bad_options() {
	refused "no PID or GROUP" -- --from 0 --to 1 &&
		refused "no PID or GROUP" -- "" --from 0 --to 1 &&
		refused "'two'|one PID or GROUP" -- one two --from 0 --to 1 &&
		refused "--from is missing" -- x --to 1 &&
		refused "--to is missing" -- x --from 0 &&
		refused "--to needs" -- x --from 0 --to &&
		refused "--from|'one'|number" -- x --from one --to 1 &&
		refused "--to|'-1'|number" -- x --from 0 --to -1 &&
		refused "--to|''|number" -- x --from 0 --to "" &&
		refused "--from and --to are both node 0" -- x --from 0 --to 0 &&
		refused "'--node'" -- x --node 1 &&
		refused "'-x'" -- x -x &&
		refused "'0' is not the number of a process" -- 0 --from 0 --to 1 &&
		refused "'99999999999'" -- 99999999999 --from 0 --to 1
}

bad_names() {
	for bad in "" 12 1st a/b .. -x "a b" "$(printf '%064d' 0 | tr 0 a)"; do
		"$UMEMCG" run -m 16M --name "$bad" -- true 2>"$TMP/err"
		expect 125 $? "status with the name '$bad'" && grep -q -e "--name: '$bad' is not a name" "$TMP/err" || return 1
	done
	"$UMEMCG" run -m 16M --name "$(printf '%063d' 0 | tr 0 a)" -- true
}

two_children() {
	children=$(cat "/proc/$member/task/$member/children")
	[ "$(echo $children | wc -w)" = 2 ]
}

# Looked up each time: one that was there between fork and exec may be gone.
both_answered() {
	two_children || return 1
	for pid in $children; do
		answered "$pid" || return 1
	done
}

found() {
	start --name "$name" -- sh -c "$BIN/steady 2 600 & $BIN/steady 2 600"
	until_true answered "$member" && answered "$name" && answered "$run" && until_true both_answered
}

unnamed() {
	start -- "$BIN/steady" 2 600
	until_true answered "$member" && answered "run-$run"
}

no_such_node() {
	want="no memory node 63; there are 0"
	[ -z "$one_node" ] || want="one memory node"
	[ -n "$has_numa" ] || want="without libnuma"
	migrate "$name" --from $first --to 63
	[ $? -ne 0 ] && grep -qF "$want" "$TMP/err"
}

not_found() {
	sh -c : &
	gone=$!
	wait $gone
	refused "no process $gone" -- $gone --from 0 --to 1 &&
		refused "process $$ is not a member" -- $$ --from 0 --to 1 &&
		refused "group 'none$$'|$name (sh)|run-$run (steady)" -- "none$$" --from 0 --to 1 || return 1
	for pid in $(cat "/proc/$run/task/$run/children"); do
		[ "$(cat "/proc/$pid/comm")" != umemcg-keeper ] ||
			refused "process $pid is not a member" -- "$pid" --from 0 --to 1 || return 1
	done
}

ambiguous() {
	before=$runs
	set -- $runs
	start --name "$name" -- "$BIN/steady" 2 600
	refused "2 runs have a group '$name'|$1|$run" -- "$name" --from 0 --to 1 && answered "$run"
	code=$?
	kill -TERM "$run"
	wait "$run"
	runs=$before
	return $code
}

unmanaged() {
	before=$runs
	start --name "static$$" -- "$BIN/staticprog" 4 2000000
	pid=$(members)
	until_true refused "process $pid of group static$$ is not managed" -- "$pid" --from 0 --to 1 && answered "static$$"
	code=$?
	kill -TERM "$run"
	wait "$run"
	runs=$before
	return $code
}

others_run() {
	set -- $runs
	kill -STOP "$1"
	answered "run-$2" && refused "umemcg run ($1) does not answer" -- "$1" --from 0 --to 1 &&
		refused "no umemcg run has a group '$name'|(not every run answered)" -- "$name" --from 0 --to 1
	code=$?
	kill -CONT "$1"
	[ $code = 0 ] && answered "$1"
}

# nobody_hears TARGET WORDS
nobody_hears() {
	setpriv --reuid nobody --clear-groups "$TMP/umemcg" migrate "$1" --from 0 --to 1 2>"$TMP/err"
	expect 125 $? "status of $1" && grep -qF "$2" "$TMP/err" && return
	cat "$TMP/err"
	return 1
}

as_nobody() {
	set -- $runs
	run=$2
	member=$(members)
	cp "$UMEMCG" "$TMP/umemcg" && chmod 755 "$TMP" &&
		nobody_hears "$1" "no permission: umemcg run ($1) belongs to another user" &&
		nobody_hears "$member" "no permission: process $member belongs to another user" &&
		nobody_hears "$name" "no umemcg run has a group '$name' (runs of other users were not asked)"
}

names_gone() { ! grep -q -e "@umemcg-run.$1\$" -e "@umemcg-run.$2\$" /proc/net/unix; }

# However a run ends, its name goes with it.
nothing_left() {
	set -- $runs
	grep -q "@umemcg-run.$1\$" /proc/net/unix && grep -q "@umemcg-run.$2\$" /proc/net/unix || return 1
	kill -KILL "$1"
	kill -TERM "$2"
	wait "$1"
	wait "$2"
	runs=
	until_true names_gone "$1" "$2"
}

help_texts() {
	"$UMEMCG" help migrate >"$TMP/a" && "$UMEMCG" migrate --help >"$TMP/b" && cmp "$TMP/a" "$TMP/b" || return 1
	"$UMEMCG" --help | grep -q '^  migrate ' && "$UMEMCG" migrate -V | grep -q '^umemcg [0-9]' || return 1
	grep -o -e '--[a-z-]*' "$TMP/a" | grep -v -x -e --name | sort -u >"$TMP/in-help"
	sed 's/\\-/-/g; s/\\fR//g' "$top/docs/man/umemcg-migrate.1" | sed -n '/^.SH OPTIONS/,/^.SH OUT/p' |
		grep -o -e '--[a-z-]*[a-z]' | sort -u >"$TMP/in-man"
	diff "$TMP/in-help" "$TMP/in-man"
}

check "help and manual name the same options" help_texts
check "bad command lines are refused in one line" bad_options
check "a name that could be a number, an option or a path is refused" bad_names
check "a group is found by its name, its run and its members" found
check "a run that was not named is called run-PID" unnamed
check "a node that is not there is refused" no_such_node
check "what is no member of any run is told apart, and groups are listed" not_found
check "a name that two runs have is refused, with their PIDs" ambiguous
check "a process that is not managed is said to be so" unmanaged
check "a run that is stopped holds up nobody" others_run
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	check "another user is refused" as_nobody
else
	skip "another user is refused" "needs root and setpriv"
fi
check "a run that ends, or is killed, leaves no name behind" nothing_left
stop
