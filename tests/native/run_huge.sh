#!/bin/sh
# tests/native/run_huge.sh - memory that wants huge pages gets them, as far as the limit has room, and no other memory does.
#
# How much of it is in huge pages is compared with what the same program gets without umemcg: the kernel may have few. What the kernel
# really keeps, with what is left of huge pages that are used in part, is seen from a control group, where one can be made.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog hugepages sampler

SLACK_KB=4096
mib=32
reads=100  # few of the pages, and all of the places for huge ones
settings=/sys/kernel/mm/transparent_hugepage
. "$lib_top/bench/kernel.sh"
kernel_mounts
group=

leave_group() {
	[ -z "$group" ] || rmdir "$group" 2>/dev/null
	lib_end
}
trap leave_group EXIT

figure() { # NAME, of the last run
	number=$(sed -n "s/.* $1 \([0-9]*\).*/\1/p" "$TMP/out")
	echo "${number:--1}"
}

alone() { # ARGUMENT...
	bounded "$BIN/hugepages" "$@" >"$TMP/out" || { cat "$TMP/out"; return 1; }
}

limited() { # LIMIT ARGUMENT...
	limit=$1
	shift
	bounded "$UMEMCG" run -m "$limit" --swap-max 1G -- "$BIN/hugepages" "$@" >"$TMP/out" || { cat "$TMP/out"; return 1; }
}

# A late helper or a busy kernel costs a huge page here and there.
most_of() { # WANT_KB
	[ "$(figure huge_end)" -ge $(($1 / 2)) ] && [ "$(figure huge_end)" -gt 0 ] && return
	echo "huge pages: $(figure huge_end) kB where $1 kB are had without umemcg"
	return 1
}

# A helper that gets no CPU for 200 ms is late: one of three.
gets_as_many() { # ARGUMENT...
	for try in 1 2 3; do
		alone -r 2000 "$@" $mib || return
		want=$(figure huge_end)
		limited 128M -r 2000 -c "$@" $mib || return
		most_of "$want" && return
	done
	return 1
}

gets_none() { # ARGUMENT...
	limited 128M -r 2000 -c "$@" $mib && expect 0 "$(figure huge_written)" "kB of huge pages"
}

# A few pages come where a few are read, and not the places of huge ones.
few_came() {
	[ "$(figure present_read)" -lt $((mib << 8)) ] && return
	echo "$(figure present_read) kB came with $reads pages"
	return 1
}

switched_off() {
	limited 128M -r $reads -c -k off $mib && few_came && expect 0 "$(figure huge_written)" "kB of huge pages"
}

half_of_it() {
	limited 128M -r 2000 -c -k twoparts $mib && most_of $((mib << 9)) || return
	[ "$(figure huge_end)" -le $((mib << 9)) ] || { echo "$(figure huge_end) kB are huge, where half the area may"; return 1; }
}

# The supervisor sees another setting than the kernel has.
machine_says() { # WORD COMMAND...
	echo "$1" >"$TMP/setting"
	shift
	unshare -m sh -c 'for f in hugepages-2048kB/enabled enabled; do
		[ ! -e "$1/$f" ] || mount --bind "$2" "$1/$f" || exit 99; done
		shift 2; exec "$@"' sh "$settings" "$TMP/setting" "$@"
}


says() { # WORD ADVICE
	machine_says "$1" timeout -k 5 "$BOUND_S" "$UMEMCG" run -m 128M --swap-max 1G -- \
		"$BIN/hugepages" -r $reads -a "$2" -c $mib >"$TMP/out" || { cat "$TMP/out"; return 1; }
}

# The kernel, which has not said so, has begun with small pages where the first one was missing; but all of them come at once.
# A helper that gets no CPU for 200 ms is late, and a program that reads so little has ended before it answers: one of three.
always() {
	for try in 1 2 3; do
		says "[always] madvise never" none || return
		[ "$(figure present_read)" -lt $((mib << 9)) ] || return 0
		echo "$(figure present_read) kB came with $reads pages"
	done
	return 1
}

never() {
	says "always madvise [never]" huge && few_came
}

# More than the limit: whole and split huge pages go out and come back.
survives() { # KIND
	bounded "$BIN/sampler" -i 10 -o "$TMP/sampled" -- "$UMEMCG" run -m 24M --swap-max 1G -- \
		"$BIN/hugepages" -r 5000 -k "$1" -c 64 >"$TMP/out" || { cat "$TMP/out"; return 1; }
	held=$(sed -n 's/^held_max_kb //p' "$TMP/sampled")
	[ "${held:--1}" -ge 0 ] || held=$(sed -n 's/^clients_max_kb //p' "$TMP/sampled")
	diag "$held kB held of 24576 kB" >>"$TMP/seen"
	[ "$held" -le $(((24 << 10) + SLACK_KB)) ] || { cat "$TMP/sampled"; return 1; }
}

make_group() {
	for top in "$kernel_v1" "$kernel_v2"; do
		[ -n "$top" ] || continue
		group=$top/umemcg-huge-$$
		mkdir "$group" 2>/dev/null && [ -e "$group/memory.stat" ] && return
		rmdir "$group" 2>/dev/null
	done
	group=
	return 1
}

# keeps LIMIT_MIB MOST_KB KIND: the kernel keeps no more at the end, and never more than the limit.
keeps() {
	limited "${1}M" -r 2000 -g "$group" -k "$3" -c $mib || return
	diag "$3: $(figure kept_kb) kB kept at the end, $(figure most_kb) kB at most" >>"$TMP/seen"
	[ "$(figure kept_kb)" -le "$2" ] || { echo "the kernel keeps $(figure kept_kb) kB"; return 1; }
	[ "$(figure most_kb)" -le $((($1 << 10) + SLACK_KB)) ] || { echo "it kept $(figure most_kb) kB"; return 1; }
}

seen() { # NAME CHECK...
	: >"$TMP/seen"
	check "$@"
	cat "$TMP/seen"
}

alone -r 2000 $mib || skip_all "the program does not run alone"
[ "$(figure huge_end)" -gt 0 ] || skip_all "the kernel has no huge pages for memory that asks for them"
limited 128M -r 2000 $mib || skip_all "the program does not run under umemcg"
case $(uname -r) in [1-5].* | 6.[0-7].* | 6.[0-7]) skip_all "before Linux 6.8 no huge page can be moved" ;; esac

plan 16
check "memory that asks for huge pages gets them" gets_as_many
check "so does a fork's child, in an area of its parent's" gets_as_many -k fork
check "so does an area that has moved and grown" gets_as_many -k move
check "so do threads that touch it at once" gets_as_many -k threads
check "an area of which a part is advised against gets them in the other" half_of_it
check "memory that is advised against gets none" gets_none -a nohuge
check "a process that switches them off gets none" switched_off
if unshare -m true 2>/dev/null; then
	check "all memory gets them where the machine says always" always
	check "none does where the machine says never" never
else
	skip "all memory gets them where the machine says always" "unshare -m is not allowed"
	skip "none does where the machine says never" "unshare -m is not allowed"
fi
seen "what is more than the limit is taken out in parts, and comes back right" survives map
seen "so it is in a fork's child" survives fork
if make_group; then
	seen "what is discarded of huge pages is not kept" keeps 128 8192 discard
	seen "nor what is unmapped of them" keeps 128 8192 unmap
	seen "nor what is cut off by mremap" keeps 128 $(((mib << 9) + 8192)) shrink
	seen "nor what is taken out of them" keeps 16 $(((16 << 10) + SLACK_KB)) map
	seen "read-only ones are taken out, and come back right" keeps 40 $(((40 << 10) + SLACK_KB)) readonly
else
	for what in discarded unmapped "cut off by mremap" "taken out" "taken out while it is read-only"; do
		skip "what is $what of huge pages is not kept" "no control group can be made to see it"
	done
fi
