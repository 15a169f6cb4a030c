#!/bin/sh
# tests/native/run_view.sh - `umemcg run --view`: programs see the group's limit where they look for the machine's memory or their
# control group's.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog sysinfos steady staticprog
[ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || skip_all "mounting is root's"
plan 18

view() {
	kind=$1
	shift
	bounded "$UMEMCG" run -m 64M --swap-max 1G --swap "$TMP" --view "$kind" "$@"
}

# Where programs look: the directory of this shell's memory control group, its names, and is it the group's own?
v1=$(sed -n 's/^[0-9]*:\([^:]*,\)*memory\(,[^:]*\)*:\(.*\)$/\3/p' /proc/self/cgroup | head -n 1)
if [ -n "$v1" ]; then
	path=$v1 limit=memory.limit_in_bytes usage=memory.usage_in_bytes other=memory.swappiness
	mount=$(awk '{ for (i = 7; i < NF; i++) if ($i == "-") break } $(i + 1) == "cgroup" && $(i + 3) ~ /(^|,)memory(,|$)/ { print $5 }' /proc/self/mountinfo | tail -n 1)
else
	path=$(sed -n 's/^0:://p' /proc/self/cgroup) limit=memory.max usage=memory.current other=cpu.max
	mount=$(awk '{ for (i = 7; i < NF; i++) if ($i == "-") break } $(i + 1) == "cgroup2" { print $5 }' /proc/self/mountinfo | tail -n 1)
fi
dir=$mount$path
has_group=
[ -n "$mount" ] && [ "$path" != / ] && [ -e "$dir/$limit" ] && has_group=1

in_group() {
	[ -n "$has_group" ] && { check "$@"; return; }
	skip "$1" "this shell is in no memory control group of its own that a mount shows"
}

own_files() {
	[ "$(view cgroup -- cat "$dir/$limit")" = 67108864 ] && [ "$(view cgroup -- sh -c "cat </proc/meminfo" | head -n 1)" = "$(head -n 1 /proc/meminfo)" ]
}
static_program() { view all -- "$BIN/staticprog" 1 >/dev/null && [ "$(view all -- sh -c "exec cat $dir/$limit")" = 67108864 ]; }
others_stay() { [ ! -e "$dir/$other" ] || [ "$(view cgroup -- cat "$dir/$other")" = "$(cat "$dir/$other")" ]; }

meminfo() {
	view proc -- cat /proc/meminfo >"$TMP/meminfo" || return
	[ "$(sed -n 's/^MemTotal: *//p' "$TMP/meminfo")" = "65536 kB" ] && [ "$(sed -n 's/^SwapTotal: *//p' "$TMP/meminfo")" = "1048576 kB" ] &&
		[ "$(cut -d: -f1 "$TMP/meminfo")" = "$(cut -d: -f1 /proc/meminfo)" ]
}
swaps() { view proc -- cat /proc/swaps | grep -q '^/umemcg  *file		1048576		[0-9]*		-2$'; }
free_agrees() { view all -- free -m | awk '/^Mem:/ { m = $2 } /^Swap:/ { s = $2 } END { print m, s; exit !(m == 64 && s == 1024) }'; }
libc_agrees() {
	view proc -- "$BIN/sysinfos" >"$TMP/out" || return
	cat "$TMP/out"
	grep -q '^total 64 free [0-9]* swap 1024 ' "$TMP/out" && grep -q '^pages 64 available [0-9]* phys 64 ' "$TMP/out"
}
without_it_nothing_changes() {
	"$BIN/sysinfos" | cut -d' ' -f1,2,5,6 >"$TMP/native" && bounded "$UMEMCG" run -m 64M --swap "$TMP" -- "$BIN/sysinfos" | cut -d' ' -f1,2,5,6 | diff "$TMP/native" -
}
one_total() { view proc --view-total max+swap -- "$BIN/sysinfos" | grep '^total 1088 .* swap 0 '; }

# Usage follows, and so does a limit that is changed.
follows() {
	"$UMEMCG" run -m 64M --swap-max 1G --swap "$TMP" --view all --name "view$$" -- "$BIN/steady" -l "$TMP/started" 32 0 >/dev/null 2>&1 &
	run=$!
	until_true grep -q start "$TMP/started" && member=$(sed -n 's/^start //p;q' "$TMP/started") && until_true used 32 &&
		bounded "$UMEMCG" set "view$$" memory.max=48M && until_true total 49152
	result=$?
	kill -TERM $run
	wait $run
	return $result
}
inside() { nsenter -m -t "$member" "$@"; }
used() { inside awk -v least="$1" '/^MemTotal/ { t = $2 } /^MemFree/ { f = $2 } END { exit !(t - f >= least * 1024) }' /proc/meminfo; }
# A page more where the limit is shown besides.
total() { inside awk -v want="$1" '/^MemTotal/ { exit !($2 == want || $2 == want + 4) }' /proc/meminfo; }

nothing_outside() {
	mounts=$(cat /proc/self/mountinfo)
	"$UMEMCG" run -m 64M --swap "$TMP" --view all -- sleep 1000 >/dev/null 2>&1 &
	run=$!
	until_true grep -q sleep "/proc/$run/task/$run/children" 2>/dev/null || until_true [ -n "$(cat "/proc/$run/task/$run/children")" ]
	[ "$mounts" = "$(cat /proc/self/mountinfo)" ] && ! ls -d /tmp/umemcg-view.* 2>/dev/null
	result=$?
	kill -KILL $run
	wait $run
	[ "$mounts" = "$(cat /proc/self/mountinfo)" ] && return $result
}
nested() { view all -- "$UMEMCG" run -m 32M --swap "$TMP" --view all -- sed -n 1p /proc/meminfo | grep ' 3277[26] kB\| 32768 kB'; }
environment() {
	GOMEMLIMIT=off view env -- env >"$TMP/out" && grep -q '^GOMEMLIMIT=off$' "$TMP/out" && grep -q '^NODE_OPTIONS=--max-old-space-size=48$' "$TMP/out" &&
		grep -q '^JAVA_TOOL_OPTIONS=-XX:MaxRAM=67108864$' "$TMP/out" && [ "$(view env -- sed -n 1p /proc/meminfo)" = "$(sed -n 1p /proc/meminfo)" ]
}
no_permission() {
	setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --inh-caps=-all "$UMEMCG" run -m 64M --mode user --swap /var/tmp --view all true 2>"$TMP/err"
	[ $? = 125 ] && grep -q '^umemcg: run: --view: a mount namespace of its own is not permitted (.*); run as root, or give --view=env$' "$TMP/err"
}
wrong_values() {
	bounded "$UMEMCG" run -m 64M --view yes true 2>"$TMP/err"
	[ $? = 125 ] && grep -q "^umemcg: run: option --view: 'yes' is no view; give none, cgroup, proc, all or env$" "$TMP/err" || return
	bounded "$UMEMCG" run -m 64M --view-total=2 true 2>"$TMP/err"
	[ $? = 125 ] && grep -q "^umemcg: run: option --view-total: '2' is no total; give max or max+swap$" "$TMP/err"
}
# The mount shows the group alone, as in a container: single files are covered.
container() {
	unshare -C -m sh -c '
		umount -l "$1" && mount -t cgroup -o memory cgroup "$1" || exit 9
		grep -q ":memory:/$" /proc/self/cgroup || exit 9
		"$2" run -m 64M --swap "$3" --view all -- cat "$1/memory.limit_in_bytes"' sh "$mount" "$UMEMCG" "$TMP" >"$TMP/out"
	[ "$(cat "$TMP/out")" = 67108864 ]
}
java_sees_it() { view all -- java -XshowSettings:system -version 2>&1 | grep -E 'Memory( & Swap)? Limit'  >"$TMP/out"; cat "$TMP/out"; grep -q 'Memory Limit: 64.00M' "$TMP/out" && grep -q 'Swap Limit: 1.06G' "$TMP/out"; }
node_sees_it() { [ "$(view all -- node -p 'process.constrainedMemory()')" = 67108864 ]; }

in_group "the group's own files show the limit, and /proc stays" own_files
in_group "a static program sees them, too" static_program
in_group "other files of the control group stay" others_stay
check "/proc/meminfo shows the group in the machine's lines" meminfo
check "/proc/swaps has one line" swaps
check_tool free "free agrees" free_agrees
check "sysinfo and sysconf agree" libc_agrees
check "without a view they are the machine's" without_it_nothing_changes
check "memory and swap may be one total" one_total
check_tool nsenter "usage is followed, and so is a limit that is changed" follows
check "nothing is mounted outside, nor left by a killed run" nothing_outside
check "a run in a run sees its own" nested
check "--view=env sets variables that are not set" environment
check "without permission the remedy is said" no_permission
check "wrong values are refused" wrong_values
[ -n "$has_group" ] && [ -n "$v1" ] && check "in a container single files are covered" container ||
	{ [ -n "$has_group" ] && [ -n "$v1" ] || skip "in a container single files are covered" "there is no control group of version 1 to mount"; }
check_tool node "node sees it" node_sees_it
check_tool java "java sees it" java_sees_it
