#!/bin/sh
# tests/native/run_limits.sh - the limit holds at every instant, whatever runs under it.
#
# Every 10 ms: the RssAnon of the group's processes and the frames that umemcg holds for them are
# together at most memory.max and the stated 4 MiB. Where it cannot be told which memory is the
# frames, the most there ever were is added to the most the processes ever had, which is more than
# both had at once.
#
# Each case says what it saw, in a comment. UMEMCG_LONG=1 runs the long versions.

. "$(dirname "$0")/lib.sh"
require_uffd
once=
require_prog crowd fill forks forkstorm threads execs staticprog threadexec sampler reportget

SLACK_KB=4096

# short_or_long SHORT LONG
short_or_long() {
	if [ "${UMEMCG_LONG:-0}" = 1 ]; then echo "$2"; else echo "$1"; fi
}

# Numbers, fit for arithmetic; a run that ended early has left none.

value() { # PATH
	number=$("$BIN/reportget" "$report" "$1" 2>&1) || number=
	case $number in '' | *[!0-9]*) echo 0 ;; *) echo "$number" ;; esac
}

sample_of() { # NAME
	number=$(sed -n "s/^$1 //p" "$TMP/sampled" 2>/dev/null)
	echo "${number:--1}"
}

# sampled_run LIMIT_MIB COMMAND...: its exit code. $once: what its processes share since a fork counts once.
sampled_run() {
	limit_kb=$(($1 << 10))
	shift
	rm -f "$report"
	bounded "$BIN/sampler" ${once:+-1} -i 10 -o "$TMP/sampled" -- "$UMEMCG" run -m ${limit_kb}K \
		--swap-max 1G --report json --report-file "$report" -- "$@"
}

# What the group held at most, in kB.
held_kb() {
	held=$(sample_of held_max_kb)
	[ "$held" -ge 0 ] || held=$(($(sample_of clients_max_kb) + $(value umemcg/home_peak) / 1024))
	echo "$held"
}

# held_once LIMIT_MIB COMMAND...: it ends well, and the limit holds.
held_once() {
	sampled_run "$@" || { echo "exit code $?"; return 1; }
	over=$(($(held_kb) - limit_kb))
	diag "$(held_kb) kB held of $limit_kb kB, $(($(value memory.peak) / 1024)) kB by the books;" \
		"umemcg itself $(sample_of supervisor_max_kb) kB," \
		"$(($(value umemcg/home_peak) / 1024)) kB of them frames;" \
		"$(sample_of samples) samples" >>"$TMP/seen"
	[ $over -le $SLACK_KB ] && return
	echo "$over kB over the limit of $limit_kb kB"
	cat "$TMP/sampled"
	return 1
}

# holds SAMPLES_MIN LIMIT_MIB COMMAND...: it ends well, and the limit holds, each time it runs until there are so many samples: a
# fast machine is soon through, and on a busy one the sampler has to wait.
holds() {
	samples_min=$1
	shift
	samples=0
	for run in 1 2 3 4 5; do
		held_once "$@" || return
		samples=$((samples + $(sample_of samples)))
		[ $samples -lt "$samples_min" ] || return 0
	done
	cat "$TMP/sampled"
	return 1
}

# case_of NAME CHECK...: a check, and what was seen.
case_of() {
	: >"$TMP/seen"
	check "$@"
	cat "$TMP/seen"
}

python_sum() {
	n=$(short_or_long 1500000 4000000)
	holds 20 64 "$python" -c "a = [str(i * 7) for i in range($n)]; print(sum(map(len, a)))"
}

# Four files of a thousand lines each, so that the compilers need more than the limit together.
make_sources() {
	mkdir -p "$TMP/project" || return
	for file in 1 2 3 4; do
		awk -v f=$file 'BEGIN {
			for (i = 0; i < 1000; i++)
				printf "int f%d_%d(int x) { for (int i = 0; i < x; i++) x ^= x * %d + i; " \
				       "return x; }\n", f, i, i
		}' >"$TMP/project/$file.c"
	done
	printf 'all: 1.o 2.o 3.o 4.o\n%%.o: %%.c\n\tcc -O1 -c -o $@ $<\n' \
		>"$TMP/project/Makefile"
}

make_two() {
	make_sources && holds 20 24 make -j2 -C "$TMP/project"
}

stress_vm() {
	holds 100 64 stress-ng --vm 2 --vm-bytes 256M --vm-method all --verify \
		-t "$(short_or_long 5 60)s" --temp-path "$TMP"
}

# A process with data of its own, which is not managed, has many children at once, beside one that fills the group.
crowd_beside_fill() {
	once=1
	holds 20 64 sh -c '"$1/fill" 96 "$2" & sleep 0.5; "$1/crowd" 40 150 50 300 && wait' x "$BIN" \
		"$(short_or_long fsss fssssssss)"
	crowd_code=$?
	once=
	return $crowd_code
}

# A program that cannot be managed is measured; the others make room for it.
static_beside_fill() {
	holds 50 64 sh -c '"$1/staticprog" 24 2000 & sleep 0.7; "$1/fill" 128 fsv && wait' x "$BIN"
}

# The same, started while the group is full: others make room before its first page. It takes 24 MiB within some 30 ms, and asks
# nobody: how soon it is stopped depends on when the watcher gets a CPU, so one time of three is enough.
static_into_full() {
	for try in 1 2 3; do
		holds 20 64 sh -c '"$1/fill" 128 "$2" & sleep 0.5; "$1/staticprog" 24 300 1000 && wait' x "$BIN" \
			"$(short_or_long fssss fssssssss)" && return
	done
	return 1
}

# Stopped at any moment, the thread that executes a program goes on, under its new number.
exec_by_second_thread() {
	bounded "$UMEMCG" run -m 64M --swap-max 1G -- \
		sh -c '"$1/fill" 128 fsss & sleep 0.5; "$1/threadexec" "$2" 16 && wait' x "$BIN" "$(short_or_long 40 2000)"
}

# Copies that thirty processes share since a fork, 24 MiB in the sum, do not keep what is below memory.high from staying.
shared_copies() {
	bounded "$UMEMCG" run -m max --memory-high 12M --swap-max 1G --report json --report-file "$report" -- \
		sh -c '"$1/crowd" 30 200 0 2000 & sleep 0.7; "$1/fill" 4 fssssssss && wait' x "$BIN" || return
	brought=$(value memory.stat/pswpin)
	diag "$brought pages came back from swap" >"$TMP/seen"
	[ "$brought" -lt 2048 ]
}

# What the engine itself needs: its own count, and all that the supervisor has besides frames,
# which under a sanitizer is mostly the sanitizer's.
metadata() {
	sampled_run 64 "$BIN/fill" 256 || return
	managed=$(($(value memory.peak) + $(value memory.swap.peak)))
	own=$(value umemcg/metadata_bytes)
	all=$((($(sample_of supervisor_max_kb) << 10) - $(value umemcg/home_peak)))
	diag "metadata $own bytes, all but frames $all bytes, for $managed bytes" >"$TMP/seen"
	[ "$own" -gt 0 ] && [ $((own * 50)) -le $managed ] &&
		{ sanitized || [ $((all * 50)) -le $managed ]; } && return
	echo "more than 2 % of $managed: $own by its own count, $all in all"
	return 1
}

# Threads fork over swapped-out memory, many at once, while little of it is in reach: nobody is killed, nothing stays stuck.
fork_storm() {
	runs=$(short_or_long 2 40)
	while [ "$runs" -gt 0 ]; do
		bounded "$UMEMCG" run -m 6M --swap-max 2G -- "$BIN/forkstorm" 12 4 3 2 "$runs" || return
		runs=$((runs - 1))
	done
}

# What cannot be written is not looked at again and again: a program that fills memory and swap is killed at once, and few
# more pages are scanned than were written.
full_swap() {
	bounded "$UMEMCG" run -m 16M --swap-max 16M --report json --report-file "$report" -- "$BIN/fill" 200 >"$TMP/out" 2>&1
	expect 137 $? "exit code" || return
	scanned=$(value memory.stat/pgscan) stolen=$(value memory.stat/pgsteal)
	diag "$scanned pages scanned, $stolen reclaimed" >"$TMP/seen"
	[ "$scanned" -le $((stolen * 3)) ]
}

plan 16
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3)
[ "${UMEMCG_LONG:-0}" != 1 ] || BOUND_S=600
mib=$(short_or_long 192 256)

case_of "the limit holds: a program that fills four times as much" holds 20 64 "$BIN/fill" "$mib"
case_of "the limit holds: children of a parent that is mostly swapped out" \
	holds 20 64 "$BIN/forks" 128 "$(short_or_long 5 50)"
case_of "the limit holds: four children at once" holds 20 64 "$BIN/forks" 48 8 4
case_of "the limit holds: four threads" holds 20 64 "$BIN/threads" "$mib" "$(short_or_long 1 5)"
case_of "the limit holds: many short processes" holds 20 64 "$BIN/execs" \
	"$(short_or_long 200 10000)" fork 40
if [ -n "$python" ]; then
	case_of "the limit holds: python3" python_sum
else
	skip "the limit holds: python3" "python3 is not installed"
fi
if command -v make >/dev/null && command -v cc >/dev/null; then
	case_of "the limit holds: make -j2" make_two
else
	skip "the limit holds: make -j2" "make or cc is not installed"
fi
if command -v stress-ng >/dev/null; then
	case_of "the limit holds: stress-ng --vm 2" stress_vm
else
	skip "the limit holds: stress-ng --vm 2" "stress-ng is not installed"
fi
case_of "the limit holds: forty children at once, with data of their own" crowd_beside_fill
case_of "the limit holds: a static program beside one that fills" static_beside_fill
case_of "a static program that starts when the group is full is held up" static_into_full
check "a static program is executed by its second thread when the group is full" exec_by_second_thread
case_of "what processes share since a fork counts once for memory.high" shared_copies
case_of "metadata is at most 2 % of the memory managed" metadata
case_of "threads fork under a tiny limit" fork_storm
case_of "full swap is noticed" full_swap
