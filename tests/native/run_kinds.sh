#!/bin/sh
# tests/native/run_kinds.sh - memory that comes past the library is managed; what cannot be is named.
#
# .bss of libraries that are loaded later, what is mapped by the system call instruction itself, mappings of /dev/zero, stacks of
# coroutines: the same results under a limit as without, and pages go to swap. What stays unmanaged is in the report by kind and by
# process, and in the sentence about a kill.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog devzero fibers fill latebss ownstacks past pastfork reportget staticprog takes
plan 25

text=$TMP/report.txt
lib=$BIN/latelib.so
python=/usr/bin/python3

late() { # HOW ROUNDS MIB
	under 12M "$BIN/latebss" "$lib" "$1" "$2" && swapped_at_least "$3"
}

# A module of Python's, and a library that it loads.
late_python() {
	[ -x "$python" ] || return 77
	under 24M "$python" -c '
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
bss = (ctypes.c_ubyte * (32 << 20)).in_dll(lib, "late_bss")
for i in range(0, 32 << 20, 4096):
	bss[i] = (i >> 12) % 251
sys.exit(any(bss[i] != (i >> 12) % 251 for i in range(0, 32 << 20, 4096)))' "$lib" && swapped_at_least 8
}

past() { # MIB THREADS ROUNDS SEED
	under 24M "$BIN/past" "$@" && swapped_at_least 16
}

zero_device() { # private|shared
	under 16M "$BIN/devzero" 24 "$1" && swapped_at_least 16
}

# Shared memory is managed where the kernel keeps it in small pages.
shared_pages_small() {
	file=/sys/kernel/mm/transparent_hugepage/shmem_enabled
	[ ! -e $file ] || grep -q '\[never\]\|\[deny\]' $file
}

fibers() { # FIBERS KIB ROUNDS LIMIT: what they would keep in memory is more than the limit
	under "$4" "$BIN/fibers" "$1" "$2" "$3"
}

# More than there are places to note the records of: each is joined.
many_own_stacks() {
	under 48M env GLIBC_TUNABLES=glibc.pthread.rseq=0 "$BIN/ownstacks" 600 64 1 && swapped_at_least 32
}

# named KIND MIB: the report of the most has so much of it at least, and its largest process is NAME.
named() { # KIND MIB NAME
	bytes=$(value "umemcg/unmanaged_most/kinds/$1")
	[ -n "$bytes" ] && [ "$bytes" -ge $(($2 << 20)) ] || { echo "$1: '$bytes' bytes"; return 1; }
	value umemcg/unmanaged_most/processes | grep -q "\"name\":[^\"]*\"$3\"" && return
	value umemcg/unmanaged_most/processes
	return 1
}

stack_named() {
	under 64M "$BIN/takes" stack 16 500 && named main_stacks 12 exe
}

shared_named() {
	under 64M "$BIN/takes" shared 16 900 && named shared_memory 12 takes
}

file_named() {
	under 64M "$BIN/takes" file 16 500 "$TMP/file" && named private_file_pages 12 takes
}

static_named() {
	under 64M "$BIN/staticprog" 16 900 && named static_programs 12 staticprog
}

# Kinds that are there add up to what there is, for people and for programs.
text_named() {
	bounded "$UMEMCG" run -m 64M --swap-max 1G --report text --report-file "$text" -- "$BIN/takes" file 16 500 "$TMP/file" || return
	cat "$text"
	grep -q '^    of it      1[2-9].* MiB changed pages of private file mappings' "$text" &&
		grep -q '^    most of it 1[2-9].* MiB in takes (' "$text"
}

# killed_for KIND MIB PHRASE [FILE]
killed_for() {
	bounded "$UMEMCG" run -m 16M --swap-max 1G --report json --report-file "$report" -- "$BIN/takes" "$1" "$2" 3000 $4 \
		2>"$TMP/err" >"$TMP/out"
	expect 137 $? "exit code" || return
	cat "$TMP/err"
	grep -q "not managed and cannot be swapped, .* of it $3, most in [a-z]* ([0-9]*): raise -m" "$TMP/err"
}

# A segment that the option leaves to the kernel is a kind of its own, with a remedy of its own.
segment_named() {
	bounded "$UMEMCG" run -m 64M --kernel-sysv --report json --report-file "$report" -- "$BIN/takes" sysv 16 900 &&
		named sysv_segments 12 takes || return
	bounded "$UMEMCG" run -m 16M --kernel-sysv -- "$BIN/takes" sysv 48 3000 2>"$TMP/err" >"$TMP/out"
	expect 137 $? "exit code" || return
	cat "$TMP/err"
	grep -q "of it System V segments of the kernel's, most in takes ([0-9]*): raise -m, or leave out --kernel-sysv$" "$TMP/err"
}

# More swap, or a smaller working set, would not have helped: the children's memory cannot be taken.
forks_named() {
	bounded "$UMEMCG" run -m 16M --swap-max 256M -- "$BIN/pastfork" 4 8 30000 2>"$TMP/err" >"$TMP/out"
	cat "$TMP/err"
	grep -q "of processes \(that were \)*forked past libc.* cannot be swapped" "$TMP/err" && ! grep -q ' (0)' "$TMP/err"
}

# bytes TEXT: "34.2 MiB" as a number, in KiB.
kib() {
	echo "$1" | awk '{ n = $1; if ($2 == "MiB") n *= 1024; if ($2 == "GiB") n *= 1048576; print int(n) }'
}

# A part is no more than its whole, in the sentence and in what programs read.
parts_fit() {
	for kind in "shared 48" "stack 48"; do
		bounded "$UMEMCG" run -m 16M --swap-max 1G --report json --report-file "$report" -- "$BIN/takes" $kind 3000 \
			2>"$TMP/err" >"$TMP/out"
		expect 137 $? "exit code" || return
		cat "$TMP/err"
		used=$(kib "$(sed -n 's/.*memory (\([0-9.]* .iB\) used.*/\1/p' "$TMP/err")")
		part=$(kib "$(sed -n 's/.*; \([0-9.]* .iB\) of that memory.*/\1/p' "$TMP/err")")
		most=$(kib "$(sed -n 's/.*swapped, \([0-9.]* .iB\) of it.*/\1/p' "$TMP/err")")
		[ "$used" -ge "$part" ] && [ "$part" -ge "$most" ] && [ "$most" -gt 0 ] ||
			{ echo "$used used, $part of it, $most of that"; return 1; }
		for look in unmanaged_oom unmanaged_most; do
			value umemcg/$look/kinds | tr ',' '\n' | awk -F : -v total="$(value umemcg/$look/total)" '
				{ n += $2 } END { if (n > total) { print n, "of", total; exit 1 } }' || return
		done
	done
}

# A program that has just started may still be managed: until that is known it is nobody's, and is listed once. On
# a machine so slow that it has not spoken in 0.3 s it is called what it is then.
started_is_no_stranger() {
	good=0
	under 64M sh -c 'for i in 1 2 3; do sleep 0.1; done' || return
	expect 0 "$(value umemcg/unmanaged_most/kinds/forked_past)" "forked past libc" || return
	for i in 1 2 3 4 5; do
		under 64M "$BIN/fill" 8 || return
		value umemcg/unmanaged_most/processes | tr '{' '\n' | sed -n 's/.*"pid":\([0-9]*\).*/\1/p' | sort | uniq -d >"$TMP/twice"
		expect "" "$(cat "$TMP/twice")" "listed twice" || return
		[ "$(value umemcg/unmanaged_most/kinds/foreign_programs)" -ne 0 ] || good=$((good + 1))
	done
	[ "$good" -ge 3 ] || { echo "$good of 5"; return 1; }
}

# What the dynamic linker has mapped for the first thread did not come past anybody. Shared memory, so that the look is taken while
# the program runs, and not at its start.
record_named() {
	under 64M "$BIN/takes" shared 4 900 || return
	value umemcg/unmanaged_most/kinds
	[ "$(value umemcg/unmanaged_most/kinds/thread_records)" -gt 0 ] &&
		expect 0 "$(value umemcg/unmanaged_most/kinds/mapped_past)" "mapped past"
}

# counted N COMMAND...: so many programs were not managed, and are named, though each was over at once.
counted() {
	want=$1
	shift
	under 64M "$@" || return
	expect "$want" "$(value umemcg/unmanaged_total)" "not managed" || return
	value umemcg/unmanaged_processes
	[ "$(value umemcg/unmanaged_processes | grep -o '([0-9]*)' | wc -l)" -eq "$want" ]
}

short_lived() { # PROGRAM
	counted 1 "$@" && counted 5 sh -c 'for i in 1 2 3 4 5; do "$@" || exit; done' sh "$@" &&
		value umemcg/unmanaged_processes | grep -q "${1##*/} ("
}

# In a root directory without umemcg's library.
short_lived_chroot() {
	root=$TMP/root
	mkdir -p "$root/lib64" && cp "$BIN/fill" "$root/fill" || return
	ldd "$BIN/fill" | grep -o '/[^ ]*' | while read -r file; do
		mkdir -p "$root${file%/*}" && cp "$file" "$root$file" || exit
	done || return
	counted 3 sh -c 'for i in 1 2 3; do chroot "$0" /fill 1 || exit; done' "$root"
}

kills_named() {
	killed_for file 48 'changed pages of private file mappings' "$TMP/file" &&
		killed_for shared 48 'shared memory with a name or a descriptor'
}

head -c $((48 << 20)) /dev/zero >"$TMP/file" || exit 1

check ".bss of a library that is loaded later keeps what is stored there" late dlopen 1 16
check "so do two libraries in namespaces of their own" late dlmopen 1 40
check "a library that is loaded again is new each time" late again 4 40
check "forks while such memory is taken over have the same content" late fork 6 24
if [ -x "$python" ]; then
	check "so has a library that Python loads" late_python
else
	skip "so has a library that Python loads" "$python is not installed"
fi
check "memory mapped by the instruction itself keeps what two threads store" past 16 2 60 1
check "so does that of one thread whose children look at it" past 24 1 60 "$$"
check "private mappings of /dev/zero are anonymous memory" zero_device private
if shared_pages_small; then
	check "shared mappings of /dev/zero are shared anonymous memory" zero_device shared
else
	skip "shared mappings of /dev/zero are shared anonymous memory" "shared memory comes in huge pages here"
fi
check "stacks of coroutines go to swap whole" fibers 6000 16 2 12M
check "the smallest ones, too" fibers 6000 8 1 12M
check "of six hundred threads on stacks of the program's own each is joined" many_own_stacks
check "the main stack is named" stack_named
check "shared memory with a descriptor is named" shared_named
check "changed pages of private file mappings are named" file_named
check "the report for people says so, too" text_named
check "who is killed for memory that is not managed is told which" kills_named
check "so is who is killed for segments that were left to the kernel" segment_named
check "and for processes that were forked past libc" forks_named
check "a part is no more than its whole" parts_fit
check "a program that has just started is not called a stranger, nor listed twice" started_is_no_stranger
check "what libc has mapped for the first thread is libc's" record_named
check "static programs that are over at once are counted" short_lived "$BIN/staticprog" 1
if command -v musl-gcc >/dev/null; then
	echo 'int main(void) { return 0; }' >"$TMP/musl.c" && musl-gcc -o "$TMP/muslprog" "$TMP/musl.c" || exit 1
	check "so are programs of musl's" short_lived "$TMP/muslprog"
else
	skip "so are programs of musl's" "musl-gcc is not installed"
fi
if chroot / true 2>/dev/null && command -v ldd >/dev/null; then
	check "so are programs in a root directory without the library" short_lived_chroot
else
	skip "so are programs in a root directory without the library" "it takes root"
fi
