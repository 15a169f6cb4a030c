#!/bin/sh
# tests/native/run_entry.sh - the agent is invisible where it cannot work, and never in the way where it does.
#
# Tracers inside the tree, other preloaded libraries, sanitizers, other libraries of C, programs of 32 bits, other roots:
# each program does what it does without umemcg, its standard error too. What is compiled here skips where the
# compiler cannot.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog apart crossed fill lastexit refuse reporter reportget smallstacks starter staticprog sweep

. "$(dirname "$0")/same.sh"

# ---- tracers ----

# Larger than the limit, so that what the tracer reads is in swap.
tracer() {
	under 16M "$BIN/reporter" 32 "$@" || shown || return
	at_least $((16 << 20)) "$(value memory.swap.peak)" memory.swap.peak
}

# Where umemcg may not follow the helper the tracer stops it too. It ends, whatever it has got to.
tracer_of_helpers() {
	prefix="$BIN/refuse ptrace-seize"
	under 16M "$BIN/reporter" 24 fork attach
	code=$?
	prefix=
	[ $code = 0 ] || [ $code = 137 ] || { echo "exit code $code"; shown; return; }
	grep 'a tracer has stopped the thread that gives its memory back; until that goes on the limit may be exceeded$' "$err" ||
		shown
}

# anon PID: its resident anonymous memory, in kB
anon() { sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }

is_stopped() { grep -q '^State:.*T (stopped)' "/proc/$1/status" 2>/dev/null; }

# Half of what it has goes to others while it is stopped; it has everything when it goes on.
stopped_gives() {
	job='"$1/fill" 24 fsvhv >&2 & kid=$!
	until [ "$(sed -n "s/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p" /proc/$kid/status)" -gt 20000 ]; do sleep 0.05; done
	kill -STOP $kid
	"$1/fill" 40 >&2 || exit 1
	echo $(sed -n "s/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p" /proc/$kid/status)
	kill -CONT $kid; wait $kid'
	under 32M sh -c "$job" x "$BIN" || shown || return
	[ "$(cat "$out")" -lt 12288 ] && return
	echo "a stopped process keeps $(cat "$out") kB"
	return 1
}

# It comes in, reads, and leaves; then the helper is ours again.
debugger_outside() {
	timeout -k 5 "$BOUND_S" "$UMEMCG" run -m 64M -- sleep 1000 >"$out" 2>"$err" &
	test_pid=$!
	until_true has_child || return
	timeout -k 5 "$BOUND_S" gdb -p "$kid" -batch -ex 'info threads' -ex 'print 6 * 7' -ex detach >"$out" 2>&1
	until_true is_followed
	code=$?
	kill "$kid"
	wait "$test_pid"
	test_pid=
	[ $code = 0 ] && grep -q '= 42$' "$out" || shown
}

is_followed() {
	for task in /proc/"$kid"/task/*; do
		grep -q umemcg-helper "$task/comm" && ! grep -q 'TracerPid:[^0-9]*0$' "$task/status" && return
	done
	return 1
}

# The program's process, once it has its helper.
has_child() {
	for up in $(cat /proc/$test_pid/task/*/children); do
		for kid in $(cat "/proc/$up"/task/*/children 2>/dev/null); do
			grep -qs umemcg-helper "/proc/$kid"/task/*/comm && return
		done
	done
	return 1
}

# ---- other preloaded libraries ----

# The library tells that it was called.
was_crossed() {
	grep -q '^crossed: ok' "$out" && grep -q '^cross: called' "$err" || shown
}

# In front of the agent, and behind it.
crossed() {
	CROSS_TELL=1 LD_PRELOAD=$BIN/cross.so under 64M "$BIN/crossed" "$TMP/file" && was_crossed || shown || return
	under 64M sh -c 'CROSS_TELL=1 LD_PRELOAD=$1/cross.so:$LD_PRELOAD exec "$1/crossed" "$2"' x "$BIN" "$TMP/file" &&
		was_crossed || shown
}

file_job='echo hi; cd "$0" && : >f && chown 3:4 f; stat -c %u:%g f; ls -ln . | wc -l; rm f; date +%Y'

# wrapped TOOL...: it around umemcg, and umemcg around it.
wrapped() {
	want=$("$@" sh -c "$file_job" "$TMP" 2>&1)
	got=$(bounded "$@" "$UMEMCG" run -m 64M -- sh -c "$file_job" "$TMP" 2>&1)
	expect "$want" "$got" "$1 outside" || return
	got=$(bounded "$UMEMCG" run -m 64M -- "$@" sh -c "$file_job" "$TMP" 2>&1)
	expect "$want" "$got" "$1 inside"
}

check_wrapped() {
	name=$1
	shift
	if command -v "$1" >/dev/null; then check "$name" wrapped "$@"; else skip "$name" "$1 is not installed"; fi
}

# ---- sanitizers and other compilers ----

leaky=$(dirname "$0")/prog/leaky.c

# check_compiled NAME TEST COMPILER...: TEST PROGRAM, of leaky.c
check_compiled() {
	name=$1 test=$2
	shift 2
	if ! command -v "$1" >/dev/null; then
		skip "$name" "$1 is not installed"
	elif ! "$@" -o "$TMP/leaky" "$leaky" >"$TMP/cc.out" 2>&1 || ! "$TMP/leaky" >/dev/null 2>&1; then
		skip "$name" "'$*' makes no program here"
	else
		check "$name" "$test" "$TMP/leaky"
	fi
}

# The same output, with and without a leak; which the sanitizer finds or not, as without umemcg.
sanitized_program() {
	same "$1" || return
	bounded "$1" leak >"$TMP/want" 2>"$TMP/want.err"
	want=$?
	under "$enough" "$1" leak
	expect $want $? "exit status" && cmp "$TMP/want" "$out" || shown || return
	expect "$(grep -c 'SUMMARY:' "$TMP/want.err")" "$(grep -c 'SUMMARY:' "$err")" "leaks found" || shown
}

# By each way to execute a program; from a managed shell, too; and what it starts.
silent() {
	same "$1" || return
	printf '#!%s\n' "$1" >"$TMP/script"
	chmod +x "$TMP/script"
	same "$TMP/script" || return
	for how in execve execveat fexecve spawn vfork syscall thread; do
		same "$BIN/starter" $how "$1" || { echo "by $how"; return 1; }
	done
}

# ---- other roots ----

# copy_program PROGRAM: it and what it loads, to $root
copy_program() {
	for file in "$1" $(ldd "$1" | grep -o '/[^ )]*'); do
		mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file" || return
	done
}

make_root() {
	root=$TMP/root
	mkdir -p "$root/tmp" && copy_program /bin/sh && copy_program /bin/echo
}

other_root() {
	make_root || return
	same chroot "$root" /bin/sh -c 'echo in; /bin/echo out >&2; exec /bin/echo more' || return
	same sh -c "chroot '$root' /bin/sh -c /bin/echo; chroot '$root' /bin/echo x"
}

# The agent is found there, too.
same_file_in_another_root() {
	make_root && copy_program "$BIN/fill" || return
	agent=$(under 64M sh -c 'echo "$LD_PRELOAD"' && cat "$out")
	mkdir -p "$root$(dirname "$agent")" && cp "$agent" "$root$agent" || return
	under 16M chroot "$root" "$BIN/fill" 24 || shown || return
	expect 0 "$(value umemcg/unmanaged_total)" umemcg/unmanaged_total || return
	at_least $((12 << 20)) "$(value memory.swap.peak)" memory.swap.peak
}

# ---- environments ----

# new_environment COMMAND...: which makes one; the program below it is managed all the same, and sees what it was given.
new_environment() {
	same "$@" env || return
	same "$@" sh -c 'env; env -u PWD env' || return
	under 16M "$@" "$BIN/fill" 24 || shown || return
	expect "0 []" "$(value umemcg/unmanaged_total) $(value umemcg/unmanaged_processes)" unmanaged || return
	at_least $((12 << 20)) "$(value memory.swap.peak)" memory.swap.peak
}

# The environment may be as large as it likes, and LD_PRELOAD be the program's own.
environments() {
	new_environment env -i || return
	new_environment env -i A=1 PATH="$PATH" B=2 || return
	new_environment env -u LD_PRELOAD -u UMEMCG_SOCKET -u UMEMCG_DOOR || return
	new_environment env -i LD_PRELOAD="$BIN/cross.so" PATH="$PATH" || return
	new_environment "$BIN/starter" spawn /usr/bin/env -i || return
	new_environment env -i LONG="$(head -c 50000 /dev/zero | tr '\0' x)" PATH="$PATH"
}

# ---- descriptors ----

swept() {
	for how in closefrom range raw each listed empty; do
		under 16M "$BIN/sweep" $how 24 "$BIN/fill" 20 || { echo "by $how"; shown; return; }
		at_least $((8 << 20)) "$(value memory.swap.peak)" "memory.swap.peak by $how" || return
	done
}

# ---- ends ----

# same_end HOW...: as without umemcg, and by itself: killed, a run leaves no report. A shell may tell what killed its child.
same_end() {
	bounded "$BIN/lastexit" "$@" >"$TMP/want" 2>/dev/null
	want=$?
	under 16M "$BIN/lastexit" "$@"
	expect $want $? "exit status" && cmp "$TMP/want" "$out" && [ -s "$report" ] && return
	echo "by $*"
	shown
}

ends() {
	for how in raw inline int80 strict filter forks vm; do
		same_end $how || return
	done
	same_end later 24 && at_least $((8 << 20)) "$(value memory.swap.peak)" memory.swap.peak
}

asks_at_once() {
	for try in 1 2 3; do
		bounded "$UMEMCG" run -m 32M "$BIN/fresh" 100 || return
	done
}

little_stack() {
	same "$BIN/smallstacks"
}

# Who is not managed cannot be swapped, and is killed in a limit that it does not fit into.
apart() { # HOW MIB LIMIT
	under "$3" "$BIN/apart" "$1" "$2"
	code=$?
	[ "$code" -ne 77 ] || { cat "$out"; return 77; }
	[ "$code" -eq 0 ] || shown || return 1
	expect 0 "$(value umemcg/unmanaged_total)" umemcg/unmanaged_total &&
		at_least $((8 << 20)) "$(value memory.swap.peak)" memory.swap.peak
}

# The child is not managed.
filtered_fork() {
	under 160M "$BIN/apart" filter 24
	code=$?
	cat "$out" "$err"
	return $code
}

# The programs are seen there, wherever they were built.
in_bubble() {
	built=$(dirname "$UMEMCG")
	under 16M bwrap --ro-bind / / --dev /dev --proc /proc "$@" --ro-bind "$built" "$built" --ro-bind "$BIN" "$BIN" \
		"$BIN/apart" inside 24 || shown || return
	expect 0 "$(value umemcg/unmanaged_total)" umemcg/unmanaged_total &&
		at_least $((8 << 20)) "$(value memory.swap.peak)" memory.swap.peak
}

# The directory of the run is gone, also when nobody could remove it in order.
leaves_nothing() {
	rm -f "$TMP/place"
	"$UMEMCG" run -m 64M sh -c 'echo "${UMEMCG_DOOR#*:}" >"$0.new" && mv "$0.new" "$0" && sleep 600' "$TMP/place" &
	run=$!
	until_true test -s "$TMP/place" || return
	place=$(dirname "$(cat "$TMP/place")")
	[ -S "$place/door" ] || { echo "no socket in $place"; return 1; }
	kill -KILL $run
	wait $run 2>/dev/null
	gone() { [ ! -e "$place" ]; }
	until_true gone || return
	under 64M sh -c 'test -S "${UMEMCG_DOOR#*:}" && echo "${UMEMCG_DOOR#*:}"' || return
	[ ! -e "$(dirname "$(cat "$out")")" ]
}

check "a tracer of all threads reads what is swapped out" tracer fork attach
check "one that seizes them, and shares the memory, too" tracer vm seize 2
check "a tracer that stops helpers is not waited for without end" tracer_of_helpers
check "a stopped process gives its memory back" stopped_gives
check_tool gdb "a debugger outside attaches to the program" debugger_outside
check "a library whose functions call each other by name" crossed
check_wrapped "fakeroot around umemcg and inside" fakeroot
check_wrapped "eatmydata around umemcg and inside" eatmydata
check_wrapped "faketime around umemcg and inside" faketime -f +800d
check_compiled "a program with gcc's address sanitizer" sanitized_program gcc -g -pthread -fsanitize=address
check_compiled "a program with gcc's leak sanitizer" sanitized_program gcc -g -pthread -fsanitize=leak
check_compiled "a program with gcc's undefined-behaviour sanitizer" sanitized_program gcc -g -pthread -fsanitize=undefined
check_compiled "a program with clang's thread sanitizer" sanitized_program clang -g -pthread -fsanitize=thread
check_compiled "a program of musl's" silent musl-gcc -O2 -pthread
check_compiled "a program of 32 bits" silent gcc -m32 -O2 -pthread
check_compiled "a static program" silent gcc -static -O2 -pthread
check "a root without the agent" other_root
check "a root with the agent" same_file_in_another_root
check "a program with an environment of its own is managed, and sees no other" environments
check "a program is executed where there is little stack" little_stack
check "a program that was just executed is answered" asks_at_once
check "a program that closes all descriptors" swept
skippable "a child in namespaces of its own, without any descriptor, is managed" apart raw 24 16M
skippable "so is a sandbox of one thread in an empty root, and what it forks under a filter" apart clone 24 16M
skippable "a process forks under a filter that kills it for the agent's calls" filtered_fork
check_tool bwrap "and a program in a sandbox with all namespaces" in_bubble --unshare-all
check_tool bwrap "and in one that sees other directories" in_bubble --unshare-all --tmpfs /run --tmpfs /tmp
check "a run leaves no directory behind, killed or not" leaves_nothing
check "a program whose last thread ends by itself ends with its status" ends
