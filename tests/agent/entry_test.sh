#!/bin/sh
# The entry of system calls (src/agent/user) without a supervisor: a program that goes through it sees the same results, signals,
# threads and processes, line by line, as without. Speaks TAP. Usage: entry_test.sh ENTRY_PASS.so ENTRY_CALLS
# Needs Linux 5.11 on x86-64 (Syscall User Dispatch); skips without.
set -u
pass=$(realpath "$1") calls=$(realpath "$2")
dir=$(mktemp -d) && cd "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
n=0

check() {
	n=$((n + 1))
	title=$1
	shift
	if "$@" >out 2>err; then
		echo "ok $n - $title"
	else
		echo "not ok $n - $title"
		cat err out | head -20 | sed 's/^/# /'
	fi
}

through() { LD_PRELOAD=$pass timeout 300 "$@"; }

# same COMMAND...: what it prints and how it ends.
same() {
	timeout 300 "$@" >want 2>&1
	code=$?
	through "$@" >got 2>&1
	got=$?
	[ $got = $code ] || { echo "exit status $got instead of $code"; tail -n 3 got; return 1; }
	diff want got
}

# group NAME ROUNDS...
group() {
	name=$1
	shift
	for rounds in "$@"; do
		same "$calls" "$name" "$rounds" || return
	done
}

# A handler that is shown the program's instruction returns into the agent all the same.
calls_end() {
	ENTRY_COUNT=1
	export ENTRY_COUNT
	group waits 2
	code=$?
	unset ENTRY_COUNT
	return $code
}

# The instructions that a loop uses are jumps: no signal is needed any more, and a call takes a fraction of what it took.
becomes_jumps() { through "$calls" jumps; }

taken_over() { [ "$(through "$calls" active 2>&1)" = "goes through" ]; }

if [ "$("$calls" possible)" != yes ]; then
	echo "1..0 # SKIP no Syscall User Dispatch here"
	exit 0
fi
check "the program's calls go through the entry" taken_over
check "calls and their errors" group calls 1 40
check "pointers to nothing are EFAULT" group pointers 1 40
check "registers and the red zone are kept" group registers 1 2
check "actions are what the program said" group actions 1 2
check "masks have what the program blocks" group masks 1 40
check "handlers run on the program's stack, and may leave it" group frames 1 40
check "faults reach the program's handlers" group faults 1 2
check "alternate stacks are the program's" group stacks 1 2
check "calls that wait are interrupted or restarted" group waits 1 3
check "a call that a handler interrupts ends where it began" calls_end
check "threads have their own masks, stacks and storage" group threads 1 3
check "a cancelled thread unwinds" group cancelled 1 2
check "children by fork, vfork, clone and posix_spawn" group processes 1 2
check "an executed program inherits masks and ignored signals" group executes 1 2
check "a shell" same sh -c 'trap "echo got it" USR1; kill -USR1 $$; (exit 7) || echo $?; seq 1000 | sort -rn | head -n 1'
check "threads may use instructions that become jumps" group storm 1
check "instructions that are used often become jumps" becomes_jumps
echo "1..$n"
