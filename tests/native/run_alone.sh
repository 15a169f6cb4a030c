#!/bin/sh
# tests/native/run_alone.sh - calls that only a process of one thread may make: entering a user namespace, and a time
# namespace. The agent's helper is a second thread; it ends for the call, and another starts (src/agent/alone.c).

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog alone fill reportget

. "$(dirname "$0")/same.sh"

# Everything is managed, and what was in swap is right afterwards.
alone() {
	for how; do
		under 16M "$BIN/alone" "$how" 24 || { echo "by $how"; shown; return; }
		expect 0 "$(value umemcg/unmanaged_total)" "unmanaged_total by $how" && swapped_at_least 32 || return
	done
}

# As they are called by hand.
in_namespaces() {
	for options in -Ur "-Urpf --mount-proc" -UrTn "-Ur unshare -Ur"; do
		# shellcheck disable=SC2086
		unshare $options true || continue
		# shellcheck disable=SC2086
		under 16M unshare $options "$BIN/alone" all 24 || { echo "in $options"; shown; return; }
		expect 0 "$(value umemcg/unmanaged_total)" "unmanaged_total in $options" && swapped_at_least 32 || return
	done
}

joined() {
	job='unshare -Ur sleep 1000 & kid=$!
	until [ "$(readlink /proc/$kid/ns/user)" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.05; done
	nsenter -t $kid -U "$1/fill" 48; code=$?; kill $kid; exit $code'
	under 16M sh -c "$job" x "$BIN" || shown || return
	expect 0 "$(value umemcg/unmanaged_total)" unmanaged_total && swapped_at_least 32
}

refused_calls() {
	same "$BIN/alone" errors 4
}

loop_of() {
	under 16M "$BIN/alone" "$1" 24 200 || shown || return
	expect 0 "$(value umemcg/unmanaged_total)" unmanaged_total && swapped_at_least 16
}

# It cannot have a helper any more: it keeps what it has.
without_helper() {
	under 14M "$BIN/alone" after 4 || shown || return
	swapped_at_least 4 || return
	grep ' is not managed: its memory is counted, and not swapped$' "$err" || shown
}

# At whatever moment umemcg dies, no process stays.
lost() {
	for after in 0.5 0.61 0.73 0.87; do
		timeout -k 5 "$BOUND_S" "$UMEMCG" run -m 16M --swap-max 1G -- sh -c 'echo $$; exec "$0" again 24 1000000' "$BIN/alone" \
			>"$out" 2>"$err" &
		test_pid=$!
		until_true test -s "$out" || return
		sleep $after
		run=$(cat "/proc/$test_pid/task/$test_pid/children")
		kill -KILL $run
		wait $test_pid
		test_pid=
		until_true over "$(head -n 1 "$out")" || return
		expect 1 "$(wc -l <"$out")" "lines of output" || shown || return
	done
}

if unshare -U true 2>/dev/null; then
	check "a process enters a user namespace, alone or with others" alone user pid time net all
	check "it does so by syscall(2), and by libc's own function" alone raw libc
	check "it joins the user namespace or the time namespace of another" alone setns any pidfd settime
	check "it makes one in the other, and does not need its privileges for it" alone deep
	check "one of two threads is refused, and the last one is not" alone crowd
	check "a child of vfork does it, and then its parent" alone vfork
	check "calls that fail do so as without umemcg, and nothing is lost" refused_calls
	check "what unshare executes is managed" in_namespaces
	check_tool nsenter "what nsenter executes is managed" joined
	check "200 children enter namespaces of their own" loop_of forks
	check "200 are killed on the way" loop_of killed
	check "one that can have no more threads goes on" without_helper
	check "no process stays when umemcg dies in between" lost
else
	skip "calls that only a process of one thread may make" "no user namespace can be made here"
fi
