#!/bin/sh
# tests/native/run_programs.sh - real programs under a quarter of what they need: same results.
#
# Everything runs with -m 64M --swap-max 1G unless its name says otherwise. UMEMCG_LONG=1 runs the
# long versions: full sizes, a minute of stress-ng, ten thousand program starts.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog brkgrow bss debugger execs fill forks madvise mlock mmapstorm mremap netns odirect \
	oomhog ownstacks rawcalls reportget robust slowstart stacks staticprog syscalls tasks threads

long=${UMEMCG_LONG:-0}
[ "$long" != 1 ] || BOUND_S=600
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3)
LC_ALL=C
export LC_ALL

# short_or_long SHORT LONG
short_or_long() {
	if [ "$long" = 1 ]; then echo "$2"; else echo "$1"; fi
}

# program NAME ARGUMENT...: one of the test programs
program() {
	name=$1
	shift
	under 64M "$BIN/$name" "$@"
}

stress_vm() {
	under 64M stress-ng --vm 2 --vm-bytes 256M --vm-method all --verify \
		-t "$(short_or_long 10 60)s" --temp-path "$TMP"
}

# Its mlock is refused; then it tries with less, a page at a time.
memory_tester() {
	under "$(short_or_long 8 64)M" memtester "$(short_or_long 12 200)M" 1
}

python_structure() {
	job="a = list(range($(short_or_long 2000000 4500000)))
b = {i: str(i) for i in a}
print(sum(a), sum(len(v) for v in b.values()), sum(b))"
	want=$("$python" -c "$job") || return
	expect "$want" "$(under 64M "$python" -c "$job")" || return
	at_least "$(short_or_long 150000000 350000000)" "$(value memory.swap.peak)" memory.swap.peak
}

sort_file() {
	seq "$(short_or_long 2000000 5000000)" | rev >"$TMP/shuffled"
	sort "$TMP/shuffled" >"$TMP/want" || return
	under 64M sort -S 256M -T "$TMP" "$TMP/shuffled" >"$TMP/got" || return
	cmp "$TMP/want" "$TMP/got" || return
	at_least 20000000 "$(value memory.swap.peak)" memory.swap.peak
	code=$?
	rm "$TMP/shuffled" "$TMP/want" "$TMP/got"
	return $code
}

# 4 KiB a key, the key eight digits long and the value made of it.
redis_value='function value(k, v) {
	v = sprintf("%08d", k)
	while (length(v) < 4096)
		v = v v
	return v
}'

redis_load() {
	awk -v n="$1" "$redis_value"' BEGIN {
		for (k = 0; k < n; k++)
			printf "*3\r\n$3\r\nSET\r\n$8\r\n%08d\r\n$4096\r\n%s\r\n", k, value(k)
	}' | bounded redis-cli -s "$TMP/redis" --pipe
}

redis_compare() {
	awk -v n="$1" 'BEGIN { for (k = 0; k < n; k++) printf "GET %08d\n", k }' |
		bounded redis-cli -s "$TMP/redis" >"$TMP/got" || return
	awk -v n="$1" "$redis_value"' BEGIN { for (k = 0; k < n; k++) print value(k) }' |
		cmp - "$TMP/got"
}

redis_answers() { [ "$(redis-cli -s "$TMP/redis" ping 2>/dev/null)" = PONG ]; }

redis_wait() { until_true redis_answers; }

redis_keys() {
	keys=$(short_or_long 24576 65536)
	timeout -k 5 "$BOUND_S" "$UMEMCG" run -m 64M --swap-max 1G --report json \
		--report-file "$report" -- redis-server --port 0 --unixsocket "$TMP/redis" \
		--save '' --appendonly no --dir "$TMP" >"$TMP/redis.log" 2>&1 &
	server=$!
	redis_wait && redis_load "$keys" && redis_compare "$keys" && redis_compare "$keys"
	code=$?
	redis-cli -s "$TMP/redis" shutdown nosave 2>/dev/null
	wait $server || code=1
	[ $code = 0 ] || tail -n 20 "$TMP/redis.log"
	rm -f "$TMP/got"
	[ $code = 0 ] && at_least $((keys * 2048)) "$(value memory.swap.peak)" memory.swap.peak
}

shell_pipeline() {
	job='for i in 1 2 3 4 5; do
		seq $((i * 20000)) | rev | sort -r | awk "{ s += \$1 } END { printf \"%d\", s }"
		echo " $(echo $i | cat | wc -c) $(head -c 100000 /dev/zero | tr "\0" x | wc -c)"
	done'
	want=$(bash -c "$job")
	expect "$want" "$(under 16M bash -c "$job")"
}

make_project() {
	mkdir -p "$TMP/project" || return
	for file in 1 2 3 4; do
		awk -v f=$file 'BEGIN {
			for (i = 0; i < 800; i++)
				printf "int f%d_%d(int x) { return x * %d + %d; }\n", f, i, i, f
		}' >"$TMP/project/$file.c"
	done
	echo 'int f1_3(int), f4_9(int); int main(void) { return f1_3(5) + f4_9(2) - 38; }' \
		>"$TMP/project/main.c"
	printf 'it: 1.o 2.o 3.o 4.o main.o\n\tcc -o $@ $^\n%%.o: %%.c\n\tcc -O2 -c -o $@ $<\n' \
		>"$TMP/project/Makefile"
	under 32M make -j2 -C "$TMP/project" && "$TMP/project/it"
}

# This project, without what was built of it before.
make_umemcg() {
	mkdir -p "$TMP/copy" || return
	(cd "$lib_top" && tar cf - --exclude='./build*' --exclude=./.git .) |
		tar xf - -C "$TMP/copy" || return
	under 64M make -j2 -C "$TMP/copy" && [ -x "$TMP/copy/build/umemcg" ]
}

# Without restartable sequences: with them the kernel touches libc's record whenever a thread goes on.
own_stacks() {
	under 16M env GLIBC_TUNABLES=glibc.pthread.rseq=0 "$BIN/ownstacks" 16 64 "$(short_or_long 2 10)" || return
	at_least $((64 << 20)) "$(value memory.swap.peak)" memory.swap.peak
}

net_namespace() {
	under 16M "$BIN/netns" 24 3 || return
	expect 0 "$(value umemcg/unmanaged_total)" umemcg/unmanaged_total || return
	at_least $((16 << 20)) "$(value memory.swap.peak)" memory.swap.peak
}

net_namespace_lost() {
	under 64M env -u UMEMCG_DOOR "$BIN/netns" 8 3
}

check_netns() {
	here=$(stat -c %d:%i /)
	if ! unshare -n true 2>/dev/null; then
		skip "$1" "unshare -n does not work here"
	elif [ "$(nsenter --mount=/proc/self/ns/mnt stat -c %d:%i / 2>/dev/null)" != "$here" ]; then
		skip "$1" "who joins a mount namespace leaves this chroot"
	else
		check "$@"
	fi
}

raw_calls() {
	under 16M "$BIN/rawcalls" "$(short_or_long 48 128)" || return
	at_most $((4 << 20)) "$(value umemcg/unmanaged_peak)" umemcg/unmanaged_peak
}

# What the supervisor has of descriptors and memory, seen from below it, before and after: the least of a few looks, as
# a process that has just ended may still have its own; what leaks is in all of them. The shell looks by itself: a
# program that did would be counted, and with it those beside it in a pipeline, as far as they have come. Under the
# address sanitizer without the freed memory that it keeps to find a use of it.
starts_leak_nothing() {
	job='look() {
		least=9999
		for try in 1 2 3 4 5 6 7 8; do
			sleep 0.3
			turn=0
			while [ $turn -lt 20000 ]; do turn=$((turn + 1)); done # the end of sleep is seen to
			set -- /proc/$PPID/fd/*
			[ $# -ge "$least" ] || least=$#
		done
		echo "$least" \
		     "$(sed -n "s/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p" /proc/$PPID/status)"
	}
	"$1/execs" 100 fork >&2; look; "$1/execs" "$2" fork >&2; look'
	options=${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=0:thread_local_quarantine_size_kb=0
	set -- $(ASAN_OPTIONS=$options under 64M sh -c "$job" x "$BIN" "$(short_or_long 500 10000)")
	echo "descriptors $1 -> $3, RssAnon $2 kB -> $4 kB"
	expect 4 $# numbers && at_most $(($1 + 1)) "$3" descriptors &&
		at_most $(($2 + 1024)) "$4" "RssAnon in kB" || return
	at_most $((2 << 20)) "$(value memory.current)" memory.current || return
	expect "0 0 0 0" "$(echo $(value memory.swap.current) $(value memory.stat/anon) \
		$(value memory.stat/unmanaged) $(value memory.stat/swapcached))" \
		"swap.current anon unmanaged swapcached"
}

oom_is_plain() {
	bounded "$UMEMCG" run -m 32M --swap-max 32M -- "$BIN/oomhog" 2>"$TMP/err" >"$TMP/out"
	expect 137 $? "exit code" || return
	cat "$TMP/err"
	expect 1 "$(grep -c 'ran out of memory (.* used of 32.0 MiB) and swap (.* of 32.0 MiB); raise -m or' \
		"$TMP/err")" "sentences that say why" || return
	expect 1 "$(wc -l <"$TMP/err")" "lines on standard error"
}

static_is_named() {
	program staticprog 24 1500 || return
	expect 1 "$(value umemcg/unmanaged_total)" umemcg/unmanaged_total || return
	value umemcg/unmanaged_processes | grep -q staticprog || return
	at_least $((24 << 20)) "$(value memory.peak)" memory.peak || return
	at_least $((24 << 20)) "$(value umemcg/unmanaged_peak)" umemcg/unmanaged_peak
}

# It has not spoken when it is looked for, and was only slow; the one that never speaks stays on the list.
slow_is_not_named() {
	program slowstart 1500 "$BIN/fill" 96 || return
	expect "0 []" "$(value umemcg/unmanaged_total) $(value umemcg/unmanaged_processes)" "unmanaged" || return
	at_least $((64 << 20)) "$(value memory.swap.peak)" memory.swap.peak || return
	program slowstart 700 "$BIN/staticprog" 4 300 || return
	expect 1 "$(value umemcg/unmanaged_total)" umemcg/unmanaged_total
}

# With the swap file as good as empty: more swap would not have helped.
static_beyond_the_limit_needs_memory() {
	bounded "$UMEMCG" run -m 16M --swap-max 64M -- "$BIN/staticprog" 24 1500 2>"$TMP/err" >"$TMP/out"
	expect 137 $? "exit code" || return
	cat "$TMP/err"
	expect 1 "$(grep -c "not managed and cannot be swapped, .* static programs, most in staticprog (.*): raise -m, or link" \
		"$TMP/err")" \
		"sentences that name what cannot be swapped"
}

# works_or_oom LIMIT COMMAND...: it ends, and is right or killed with the reason.
works_or_oom() {
	under "$@" >"$TMP/out" 2>"$TMP/err"
	code=$?
	[ $code = 0 ] && return
	cat "$TMP/err"
	expect 137 $code "exit code" && grep -q 'ran out of memory (.*) and swap (.*); ' "$TMP/err"
}

tiny_limits() {
	for size in 32M 16M 4M 1M; do
		echo "-m $size"
		works_or_oom $size true || return
		works_or_oom $size sh -c 'seq 20000 | sort -n | tail -1' || return
		[ -s "$TMP/err" ] || expect 20000 "$(cat "$TMP/out")" "-m $size: sort" || return
		[ -z "$python" ] || works_or_oom $size "$python" -c 'print(sum(range(1000)))' || return
		works_or_oom $size "$BIN/fill" 16 || return
		works_or_oom $size "$BIN/forks" 8 3 || return
	done
	# Nothing of these sizes may fail.
	under 4M "$BIN/fill" 16
}

plan 36
check_tool stress-ng "stress-ng --vm 2 --vm-bytes 256M --verify finds no error" stress_vm
check_tool memtester "memtester finds no error" memory_tester
check_tool "$python" "python3 sums a structure of several times the limit" python_structure
check "sort -S 256M gives the same file" sort_file
check_tool redis-server "redis-server answers every key right" redis_keys
check "four threads lose no change" program threads 256 "$(short_or_long 2 10)" 4
check "children of a swapped-out parent see its bytes" \
	program forks "$(short_or_long 128 256)" "$(short_or_long 10 50)"
check "eight children at once" program forks 48 16 8
check "mremap keeps what was written" program mremap 128 "$(short_or_long 2 10)"
check "madvise drops and keeps what it should" program madvise "$(short_or_long 96 256)"
skippable "locked memory stays, locking too much is refused" program mlock 8 128 128
check "direct I/O into memory that is swapped out" program odirect
check "system calls on swapped-out buffers" program syscalls 128
check "the heap grows and shrinks by brk" program brkgrow 160
check ".bss larger than the limit" program bss 100
check "thread stacks that together exceed the limit" program stacks 96 1024
check "threads on stacks that the program supplies can be joined" own_stacks
check "a robust mutex tells that its owner died" under 16M "$BIN/robust" 48
check "threads that map and unmap at random" program mmapstorm "$(short_or_long 5 60)" 4
check "memory that a runtime maps by system calls of its own" raw_calls
check "a debugger reads and writes what is swapped out, and stops nobody who is needed" \
	under 16M "$BIN/debugger" "$(short_or_long 24 128)"
check_netns "in another network namespace nothing changes" net_namespace
check_netns "in another network namespace without the descriptor nobody is killed" net_namespace_lost
check "a process finds as many threads as it made" program tasks
check "program starts by fork" program execs "$(short_or_long 100 2000)" fork 96
check "program starts by vfork" program execs "$(short_or_long 100 2000)" vfork 96
check "program starts by posix_spawn" program execs "$(short_or_long 100 2000)" spawn 96
check "program starts leak nothing" starts_leak_nothing
check "a program without end is killed, with one plain sentence" oom_is_plain
check "a static program is named and charged" static_is_named
check "a program that is slow to start is managed, and not named" slow_is_not_named
check "a static program beyond the limit is told what would help" static_beyond_the_limit_needs_memory
check_tool bash "pipelines of bash in 16 MiB" shell_pipeline
check_tool make "make -j2 in 32 MiB" make_project
if [ "$long" = 1 ]; then
	check_tool meson "make -j2 of this project" make_umemcg
else
	skip "make -j2 of this project" "only with UMEMCG_LONG=1"
fi
check "tiny limits work or kill, and never hang" tiny_limits
