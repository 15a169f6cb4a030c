#!/bin/sh
# tests/native/run_kinds.sh - memory that comes past the library is managed; what cannot be is named.
#
# .bss of libraries that are loaded later, what is mapped by the system call instruction itself, mappings of /dev/zero, stacks of
# coroutines: the same results under a limit as without, and pages go to swap. What stays unmanaged is in the report by kind and by
# process, and in the sentence about a kill.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog devzero fibers latebss ownstacks past reportget staticprog takes
plan 17

report=$TMP/report.json
text=$TMP/report.txt
lib=$BIN/latelib.so
python=/usr/bin/python3

# under LIMIT COMMAND...
under() {
	limit=$1
	shift
	rm -f "$report"
	bounded "$UMEMCG" run -m "$limit" --swap-max 1G --report json --report-file "$report" -- "$@"
}

value() { # PATH
	"$BIN/reportget" "$report" "$1"
}

# swapped_at_least MIB: so much went out. Unless it did, nothing was tested.
swapped_at_least() {
	pages=$(value memory.stat/pswpout)
	[ -n "$pages" ] && [ "$pages" -ge $(($1 * 256)) ] && return
	echo "swapped out: '$pages' pages"
	return 1
}

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
