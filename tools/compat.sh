#!/bin/sh
# tools/compat.sh - the same programs without umemcg and under it: do they come to the same verdict?
#
#     tools/compat.sh [-u UMEMCG] [-w DIR] [-m LIMIT] [-p MIB] [-x SECONDS] SUITE|LIST [NAME...]
#
#   SUITE  stress-ng, selftests, glibc, python or debian: tools/compat/SUITE.list; or LIST, a file of that form
#   NAME   only these entries of it
#   -u     the program (build/umemcg, or $UMEMCG)
#   -w     work directory: what the suites selftests and glibc are built in, and the output of every run. Kept.
#          Without it one in /var/tmp, removed at the end
#   -m     this memory limit for all entries, instead of the list's
#   -p     pressure: beside each program another one, niced, goes on touching MIB MiB in the order of chance, so that what
#          the program does not touch for a moment is swapped out. With -m well below it, small programs swap, too
#   -x     add that many seconds to the bound of each run under umemcg (60): it swaps, and the machine may be busy
#
# Each entry runs natively, then under `umemcg run`, each time in an empty directory, as its list says. What is compared
# is the exit status, and what the entry's mode takes from the output. Where they differ both run once more: a program
# whose native verdict changes is skipped as unsteady. A table, and last `N same, N differ, N skipped`; ends with 1 when
# something differs, 2 when nothing could run.
#
# A line of a list:
#   NAME LIMIT SECONDS MODE COMMAND...   COMMAND is for `sh`; $BUILD is where the suite is built, $LIST the list's folder
#   @ LIMIT SECONDS MODE COMMAND...      from here on a line is NAME ARGUMENT...; %n in COMMAND is NAME, %a the arguments
#   -NAME REASON                         not run, and why
#   = PROGRAM                            the whole suite is skipped where PROGRAM is missing
# MODE: status   nothing but the exit status
#       output   standard output, byte for byte
#       tests    the lines with a verdict (ok, not ok, [ OK ], ... ok, ... FAIL and the like), times and numbers of processes
#                taken out
#       stress   what stress-ng says after `fail:`, numbers taken out
#
# A run is bounded in time by SECONDS and, as root with a memory controller, in memory by a cgroup of 3 GiB ($GUARD, bytes)
# that also holds what it leaves behind: all of that is ended after each run, and when this script is interrupted.

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
umemcg=${UMEMCG:-$top/build/umemcg}
GUARD=${GUARD:-3221225472}
work=
keep=
limit_all=
place=
pressure=
extra=60
cgroup=
child=
same=0 differ=0 skipped=0
LC_ALL=C
export LC_ALL

say() { echo "compat: $*" >&2; }
die() { say "$*"; exit 2; }

usage() {
	sed -n '4,15s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# ---- the fence around a run ----------------------------------------------------------------------

fence_make() {
	[ "$(id -u)" -eq 0 ] || return 0
	v1=$(awk '$3 == "cgroup" && ("," $4 ",") ~ /,memory,/ { print $2; exit }' /proc/mounts)
	v2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	if [ -n "$v1" ]; then
		cgroup=$v1/umemcg-compat.$$
		mkdir "$cgroup" && echo "$GUARD" >"$cgroup/memory.limit_in_bytes" && return
	elif grep -qw memory "$v2/cgroup.subtree_control" 2>/dev/null; then
		cgroup=$v2/umemcg-compat.$$
		mkdir "$cgroup" && echo "$GUARD" >"$cgroup/memory.max" && return
	fi
	fence_end
	say "no memory cgroup here: runs are bounded in time only"
}

# How often the kernel had to kill something in the fence.
fence_kills() {
	[ -n "$cgroup" ] || { echo 0; return; }
	cat "$cgroup/memory.oom_control" "$cgroup/memory.events" 2>/dev/null |
		awk '$1 == "oom_kill" { n = $2 } END { print n + 0 }'
}

# End what a run left behind. Only processes in the cgroup that is ours alone.
fence_clear() {
	[ -n "$cgroup" ] || return 0
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
		left=$(cat "$cgroup/cgroup.procs" 2>/dev/null)
		[ -n "$left" ] || return 0
		for pid in $left; do
			kill -KILL "$pid" 2>/dev/null
		done
		sleep 0.2
	done
	say "could not end what is in $cgroup"
}

fence_end() {
	[ -n "$cgroup" ] || return 0
	fence_clear
	rmdir "$cgroup" 2>/dev/null || { sleep 1; rmdir "$cgroup"; }
	cgroup=
}

cleanup() {
	trap '' INT TERM HUP
	trap - EXIT
	[ -z "$child" ] || { kill -TERM "$child"; wait "$child"; } 2>/dev/null
	fence_end
	cd / || exit 2
	[ -z "$place" ] || rm -rf "$place"
	[ -n "$keep" ] || [ -z "$work" ] || rm -rf "$work"
}

# ---- one run -------------------------------------------------------------------------------------

# run SIDE SECONDS COMMAND...: sets $code and $took (seconds); its output is at $log.SIDE.out and .err.
run() {
	side=$1 bound=$2
	shift 2
	rm -rf "$place"
	mkdir -p "$place" && cd "$place" || die "cannot make $place"
	start=$(date +%s.%N)
	(
		[ -z "$cgroup" ] || sh -c 'echo $PPID >"$1/cgroup.procs"' x "$cgroup"
		BUILD=$build LIST=$lists TMPDIR=$place HOME=$place
		export BUILD LIST TMPDIR HOME
		exec timeout -k 5 "$bound" "$@"
	) >"$log.$side.out" 2>"$log.$side.err" </dev/null &
	child=$!
	wait "$child"
	code=$?
	child=
	took=$(echo "$start $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')
	fence_clear
	cd / || exit 2
}

native() { run "native$1" "$seconds" sh -c "$command"; }

under() {
	rm -f "$log.json"
	run "umemcg$1" $((seconds + extra)) "$umemcg" run -m "$limit" --swap-max 1G --swap "$place" \
		--report json --report-file "$log.json" -- sh -c "$command"
}

# The verdict of the run that has just ended, in one file.
verdict() { # SIDE
	echo "status $code" >"$log.$1.verdict"
	case $mode in
	output) cat "$log.$1.out" ;;
	tests) cat "$log.$1.out" "$log.$1.err" |
		grep -aE '^[# ]*(not )?ok[ :]|^\[ *(OK|FAIL|PASS|SKIP|RUN)|\.\.\. *(ok|FAIL|ERROR|skipped)|^(PASS|FAIL|SKIP)' |
		sed 's/(\{0,1\}[0-9.]* *[mun]\{0,1\}s)\{0,1\}$//; s/[pP][iI][dD][ =:]*[0-9]*/pid/g; s/0x[0-9a-f]*/0x/g
			s/\[[0-9]*\]/[]/g; s/([0-9]*)/()/g' ;;
	stress) sed -n 's/^stress-ng: fail: *\[[0-9]*\] *//p' "$log.$1.err" "$log.$1.out" |
		sed 's/[0-9][0-9]*/N/g' | sort -u ;;
	esac >>"$log.$1.verdict"
}

reported() { # KEY
	value=$(sed -n "s/.*\"$1\":[[:space:]]*\([0-9]*\).*/\1/p" "$log.json" 2>/dev/null | head -n 1)
	echo "${value:-0}"
}

mib() { awk -v n="$1" 'BEGIN { printf "%.0f", n / 1048576 }'; }

row() { # NATIVE UMEMCG WORD WHY
	printf '%-24s %-8s %-8s %7s %7s %6s %6s  %s\n' "$name" "$1" "$2" "$native_s" "$umemcg_s" \
		"$peak" "$swap" "$3${4:+: $4}"
}

skip() { # NATIVE WHY
	skipped=$((skipped + 1))
	row "$1" - skipped "$2"
}

# What is unusual about the run that has just ended, although its verdict is the same.
remark() {
	bytes=$(numfmt --from=iec "$limit" 2>/dev/null || echo 0)
	over=$(($(reported memory.peak) - bytes))
	[ "$bytes" -eq 0 ] || [ "$over" -le 4194304 ] || printf '%s MiB over the limit; ' "$(mib $over)"
	[ "$(reported unmanaged_total)" -eq 0 ] || printf '%s not managed; ' "$(reported unmanaged_total)"
}

entry() { # $name $limit $seconds $mode $command are set
	log=$logs/$name
	native_s=- umemcg_s=- peak=- swap=-
	kills=$(fence_kills)
	native
	native_code=$code native_s=$took
	verdict native
	case $native_code in
	126 | 127) skip "$native_code" "$(tail -n 1 "$log.native.err" | cut -c 1-80)"; return ;;
	124 | 137) skip "$native_code" "does not end natively in $seconds s"; return ;;
	esac
	[ "$(fence_kills)" = "$kills" ] || { skip "$native_code" "takes all of the fence natively"; return; }
	under
	umemcg_code=$code umemcg_s=$took
	verdict umemcg
	peak=$(mib "$(reported memory.peak)") swap=$(mib "$(reported memory.swap.peak)")
	if cmp -s "$log.native.verdict" "$log.umemcg.verdict"; then
		same=$((same + 1))
		row "$native_code" "$umemcg_code" same "$(remark)"
		return
	fi
	again
}

again() {
	native 2
	verdict native2
	if ! cmp -s "$log.native.verdict" "$log.native2.verdict"; then
		skip "$native_code" "unsteady: the native verdict changes from run to run"
		return
	fi
	under 2
	verdict umemcg2
	differ=$((differ + 1))
	if cmp -s "$log.native.verdict" "$log.umemcg2.verdict"; then
		row "$native_code" "$umemcg_code" DIFFER "in one of two runs"
	else
		row "$native_code" "$umemcg_code" DIFFER "$(diff "$log.native.verdict" "$log.umemcg.verdict" |
			sed -n '/^[<>] *status/d; /^[<>]/{p;q;}' | cut -c 1-70)"
	fi
}

# ---- a list --------------------------------------------------------------------------------------

wanted() { # NAME
	[ -n "$only" ] || return 0
	case " $only " in *" $1 "*) return 0 ;; esac
	return 1
}

# %n and %a of the list's @ line.
fill_in() { # NAME ARGUMENTS
	awk -v c="$pattern" -v n="$1" -v a="$2" 'BEGIN {
		while (i = index(c, "%n")) c = substr(c, 1, i - 1) n substr(c, i + 2)
		while (i = index(c, "%a")) c = substr(c, 1, i - 1) a substr(c, i + 2)
		print c
	}'
}

# The entry's command beside a program that goes on touching $pressure MiB.
pressed() {
	cat <<-END
		nice -n 19 perl -e 'my \$n = $pressure << 20; my \$s = "x" x \$n; open my \$f, ">.pressed";
			substr(\$s, rand(\$n), 1) = "y" while getppid() > 1' &
		until [ -e .pressed ]; do sleep 0.05; done
		( $command )
		code=\$?; kill \$! && wait \$! 2>/dev/null; exit \$code
	END
}

line() { # one line of the list, in words
	case $1 in
	'' | '#'*) return ;;
	=) command -v "$2" >/dev/null || die "$list: $2 is not installed"; return ;;
	@)
		limit_of=$2 seconds_of=$3 mode_of=$4
		shift 4
		pattern=$*
		return ;;
	-*)
		name=${1#-}
		wanted "$name" || return
		shift
		native_s=- umemcg_s=- peak=- swap=-
		skip - "$*"
		return ;;
	esac
	wanted "$1" || return
	name=$1
	shift
	if [ -n "$pattern" ]; then
		limit=$limit_of seconds=$seconds_of mode=$mode_of command=$(fill_in "$name" "$*")
	else
		limit=$1 seconds=$2 mode=$3
		shift 3
		command=$*
	fi
	limit=${limit_all:-$limit}
	[ -z "$pressure" ] || command=$(pressed)
	entry
}

each_line() {
	pattern=
	while read -r words <&8; do
		set -f
		# A command keeps its quotes, but not its runs of spaces.
		# shellcheck disable=SC2086
		set -- $words
		set +f
		line "$@"
	done 8<"$list"
}

options() {
	while getopts u:w:m:p:x: option; do
		case $option in
		u) umemcg=$OPTARG ;;
		w) work=$OPTARG keep=yes ;;
		m) limit_all=$OPTARG ;;
		p) pressure=$OPTARG ;;
		x) extra=$OPTARG ;;
		*) usage ;;
		esac
	done
	shift $((OPTIND - 1))
	[ $# -ge 1 ] || usage
	list=$here/compat/$1.list
	[ -f "$list" ] || list=$1
	[ -f "$list" ] || die "$1 is neither a suite of $here/compat nor a file"
	list=$(realpath "$list")
	suite=$(basename "$list" .list)
	shift
	only=$*
	umemcg=$(realpath "$umemcg") && [ -x "$umemcg" ] || die "no program at $umemcg: run 'make', or use -u"
}

options "$@"
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ -n "$work" ]; then
	mkdir -p "$work" && work=$(realpath "$work") || exit 2
else
	work=$(mktemp -d /var/tmp/umemcg-compat.XXXXXX) || exit 2
fi
lists=$(dirname "$list")
build=$work/$suite
logs=$work/logs/$suite
place=$work/run.$$ # of this script alone, in whatever work directory
mkdir -p "$logs" || exit 2
fence_make
if [ -x "$lists/build-$suite.sh" ]; then
	"$lists/build-$suite.sh" "$build" >"$logs/build.log" 2>&1 || {
		tail -n 5 "$logs/build.log" >&2
		die "cannot build the suite $suite in $build"
	}
fi
printf '%-24s %-8s %-8s %7s %7s %6s %6s  %s\n' "$suite" native umemcg "s" "s" "peak" "swap" verdict
each_line
echo "$same same, $differ differ, $skipped skipped"
[ $((same + differ)) -gt 0 ] || exit 2
[ "$differ" -eq 0 ]
