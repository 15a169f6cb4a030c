#!/bin/sh
# bench/run.sh - umemcg, the kernel's memory controller and no limit: same work, same limit.
#
#     sh bench/run.sh [-r REPEATS] [-q] [-w WORK,...] [-d DIR] [-t SECONDS] [-o DIR] [--direct]
#
#   -r  repeats of everything (3). Columns take turns, and another one begins each time.
#   -q  quick: 64 MiB in 16 MiB instead of 256 MiB in 64 MiB
#   -w  a selection of pages,redis,sort (those three); hash,xz,zstd: programs that thrash, at limits of their own; huge: 1 GiB that
#       wants huge pages, read at random below its limit; workers,changers,bgsave: memory in common since a fork
#   -d  where the swap files and the input go (/var/tmp); both swap files are on that disk
#   -t  bound of one run in seconds (300)
#   -o  where results.tsv, raw.tsv, machine.txt, bench.svg and bench.png go (bench/out)
#   --direct  one more column: umemcg with --swap-direct
#
# $UMEMCG is the program (build/umemcg), $UMEMCG_BENCH_BIN holds the bench programs
# (build-bench/bench). Nothing is left behind, also when interrupted: swap off, cgroup removed,
# files removed, processes ended.

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
. "$here/kernel.sh"

repeats=3 bound=300
size_mib=256 limit_mib=64 swap_mib=1024
works=pages,redis,sort
base=/var/tmp out=$here/out
direct=
page_works="fill seq random check" redis_works="redis-load redis-get redis-set"
dir=
child=
server=
columns=

say() { echo "bench: $*" >&2; }
die() { say "$*"; exit 1; }

usage() {
	sed -n '4,13s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

options() {
	while [ $# -gt 0 ]; do
		case $1 in
		-q) size_mib=64 limit_mib=16 ;;
		--direct) direct=yes ;;
		-r | -w | -d | -t | -o)
			[ $# -gt 1 ] || usage
			case $1 in
			-r) repeats=$2 ;;
			-w) works=$2 ;;
			-d) base=$2 ;;
			-t) bound=$2 ;;
			-o) out=$2 ;;
			esac
			shift ;;
		*) usage ;;
		esac
		shift
	done
	[ "$repeats" -ge 1 ] && [ "$repeats" -le 64 ] && [ "$bound" -ge 1 ] || usage
	mkdir -p "$out" && out=$(cd "$out" && pwd) || exit 1
	base=$(cd "$base" && pwd) || exit 1
}

# ---- setting up and clearing away ----------------------------------------------------------------

stop() { # PID
	[ -n "$1" ] || return 0
	kill -TERM "$1" 2>/dev/null
	wait "$1" 2>/dev/null
}

cleanup() {
	trap '' INT TERM HUP
	trap - EXIT
	stop "$child"
	stop "$server"
	kernel_end
	cd / && [ -n "$dir" ] && rm -rf "$dir"
}

programs() {
	build=$(realpath "${UMEMCG_BENCH_BIN:-$top/build-bench/bench}")
	umemcg=$(realpath -m "${UMEMCG:-$top/build/umemcg}")
	for p in fill gen hugepages limited table workers; do
		[ -x "$build/bench-$p" ] || die "no $build/bench-$p: run 'make bench'"
	done
}

choose_columns() {
	: >notes
	if [ -x "$umemcg" ]; then
		columns="umemcg ${direct:+umemcg-direct}"
	else
		echo "The umemcg columns are left out: no program at $umemcg." >>notes
	fi
	kernel_probe "$dir"
	if [ -z "$kernel_reason" ]; then
		columns="$columns kernel"
	else
		echo "The kernel column is left out: $kernel_reason." >>notes
	fi
	columns="$columns none"
	case $works in
	*redis* | *bgsave*)
		command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null || {
			echo "The redis rows are left out: redis is not installed." >>notes
			works=$(echo "$works" | sed 's/redis//; s/bgsave//')
		} ;;
	esac
}

describe_machine() {
	echo "date           $(date -u +%Y-%m-%dT%H:%M:%SZ)"
	echo "kernel         $(uname -rm)"
	echo "processors     $(nproc),$(sed -n 's/^model name[^:]*://p' /proc/cpuinfo | head -n 1)"
	echo "memory         $(awk '/^MemTotal/ { print int($2 / 1024) " MiB" }' /proc/meminfo)"
	echo "work, limit    $size_mib MiB in $limit_mib MiB, swap $swap_mib MiB"
	echo "swap on        $(stat -f -c %T "$dir"), $(df -P "$dir" | awk 'NR == 2 { print $1 }')"
	echo "huge pages     $(cat /sys/kernel/mm/transparent_hugepage/enabled 2>/dev/null)"
	controller=$([ -n "$kernel_v1" ] && echo 1 || echo 2)
	[ -n "$kernel_reason" ] || echo "kernel column  memory controller version $controller," \
		"swappiness $(cat /proc/sys/vm/swappiness)"
	[ ! -x "$umemcg" ] || echo "umemcg         $(timeout 10 "$umemcg" --version 2>/dev/null)"
}

# ---- one run in one column -----------------------------------------------------------------------

record() { # WORK VALUE
	printf '%s\t%s\t%s\t%s\n' "$1" "$column" "$repeat" "$2" >>raw.tsv
}

failed() { # REASON WORK...
	say "$column: $1"
	[ "$column" != kernel ] || ! kernel_oom || say "the kernel's OOM killer was at work"
	[ ! -s errors ] || sed 's/^/bench:   /' errors >&2
	shift
	for w in "$@"; do
		record "$w" failed
	done
}

# Start COMMAND under the limit of $column in the background. The times go to the file "times".
limited() { # COMMAND...
	case $column in
	umemcg | umemcg-direct)
		set -- "$umemcg" run -m "${limit_mib}M" --swap-max "${swap_mib}M" --swap "$dir" \
			$([ "$column" = umemcg ] || echo --swap-direct) \
			--report json --report-file report.json -- "$@" ;;
	esac
	if [ "$column" = kernel ]; then
		set -- -c "$kernel_cgroup" -t "$bound" -o times -- "$@"
	else
		set -- -t "$bound" -o times -- "$@"
	fi
	exec "$build/bench-limited" "$@"
}

# Wait for the background process $child; its exit code.
finish() {
	wait "$child"
	code=$?
	child=
	return $code
}

wall_us_per() { # COUNT
	awk -v n="$1" '{ printf "%.4f\n", $1 * 1e6 / n }' times
}

# The figure called KEY in umemcg's report, 0 when there is none.
reported() { # KEY
	value=$(sed -n "s/.*\"$1\":[[:space:]]*\([0-9]*\).*/\1/p" report.json 2>/dev/null)
	echo "${value:-0}"
}

# A run that was never limited would look splendid: let umemcg's own report say that it was. Charges
# that must not fail may pass the limit by the stated 4 MiB.
limit_held() {
	case $column in umemcg*) ;; *) return 0 ;; esac
	[ "$(reported memory.swap.peak)" -gt 0 ] && [ "$(reported memory.peak)" -gt 0 ] &&
		[ "$(reported memory.peak)" -le $(((limit_mib + 4) << 20)) ]
	held=$?
	cp report.json "$out/report-$work-$column.json" 2>/dev/null
	return $held
}

# ---- the works -----------------------------------------------------------------------------------

# The program says "fill: ok 256 MiB, us/page: fill 1.234 seq 2.345 ...".
work_pages() {
	limited "$build/bench-fill" "$size_mib" fsrv >pages.out 2>errors </dev/null &
	child=$!
	finish || {
		code=$?
		cat pages.out >>errors
		failed "fill ended with $code" $page_works
		return
	}
	limit_held || { failed "the report shows no limit at work" $page_works; return; }
	set -- $(sed -n 's/.*us\/page: //p' pages.out)
	while [ $# -gt 1 ]; do
		record "$1" "$2"
		shift 2
	done
}

sort_input() {
	"$build/bench-gen" lines $((size_mib * 1024 * 1024 / 8 * 7)) >lines &
	child=$!
	finish || die "cannot write the input of sort to $dir"
	mkfifo sorted
	sort -S "${size_mib}M" -T . lines >sorted &
	child=$!
	sort_sum=$(cksum <sorted)
	finish || die "sort failed without a limit"
}

# The output goes through a pipe to a check that is outside the limit.
work_sort() {
	cksum <sorted >sum &
	check=$!
	limited sort -S "${size_mib}M" -T . lines >sorted 2>errors </dev/null &
	child=$!
	finish || { code=$?; stop $check; failed "sort ended with $code" sort; return; }
	wait $check
	[ "$(cat sum)" = "$sort_sum" ] || { failed "sort gave another result" sort; return; }
	limit_held || { failed "the report shows no limit at work" sort; return; }
	record sort "$(wall_us_per 1000000)"
}

# Value and key together take about 1360 bytes of the server's memory.
redis_keys() { echo $((size_mib * 1024 * 1024 / 1360)); }

# A client of the server, outside the limit but bounded: the server may be thrashing.
redis_client() { # COMMAND...
	"$build/bench-limited" -t "$bound" -o times -- "$@" >redis.out 2>errors </dev/null &
	child=$!
	finish
}

redis_up() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		redis_client redis-cli -s redis.sock ping && grep -q PONG redis.out && return 0
		sleep 0.25
	done
	return 1
}

redis_measure() { # WORK TEST REQUESTS
	redis_client redis-benchmark -s redis.sock -t "$2" -n "$3" -r "$(redis_keys)" -c 4 -d 1024 \
		--csv || {
		failed "redis-benchmark $2 ended with $?" "$1"
		return
	}
	record "$1" "$(tail -n 1 redis.out | tr -d '"' | awk -F, '{ printf "%.3f\n", 1e6 / $2 }')"
}

redis_session() {
	requests=$((size_mib * 400))
	redis_up || { failed "redis-server does not answer" $redis_works; return 1; }
	redis_client sh -c "'$build/bench-gen' redis $(redis_keys) 1024 |
		redis-cli -s redis.sock --pipe" || {
		failed "redis-cli --pipe ended with $?" $redis_works
		return 1
	}
	record redis-load "$(wall_us_per "$(redis_keys)")"
	redis_measure redis-get get $requests
	redis_measure redis-set set $requests
	redis_client redis-cli -s redis.sock dbsize
	[ "$(cat redis.out)" = "$(redis_keys)" ] || failed "keys are missing" redis-set
	redis_client redis-cli -s redis.sock shutdown nosave
}

work_redis() {
	limited redis-server --port 0 --unixsocket redis.sock --save '' --appendonly no \
		--daemonize no --dir . --logfile redis.log >/dev/null 2>server.errors </dev/null &
	server=$!
	if redis_session; then
		wait "$server"
		limit_held || failed "the report shows no limit at work" $redis_works
	else
		stop "$server"
	fi
	server=
	rm -f redis.sock redis.log
}

# Programs that touch two to four times their limit in no order. The processor time is that of the program and of what
# serves it: on a busy machine it says more than the wall clock.
thrash() { # WORK COMMAND...
	thrash_work=$1
	shift
	limited "$@" <input >output 2>errors &
	child=$!
	finish || { failed "$thrash_work ended with $?" "$thrash_work" "$thrash_work-cpu"; return; }
	[ "$(cksum <output)" = "$(cat "sum.$thrash_work" 2>/dev/null || cksum <output | tee "sum.$thrash_work")" ] || {
		failed "$thrash_work gave another result" "$thrash_work" "$thrash_work-cpu"
		return
	}
	limit_held || { failed "the report shows no limit at work" "$thrash_work" "$thrash_work-cpu"; return; }
	record "$thrash_work" "$(wall_us_per 1000000)"
	record "$thrash_work-cpu" "$(awk '{ print $2 + $3 }' times)"
}

work_hash() {
	thrash hash perl -e '
		my (%h, $n);
		$h{"key$_"} = "value $_" for 1..400000;
		$n += length $h{"key" . ($_ * 7919 % 400000 + 1)} for 1..100000;
		print "$n\n"'
}

work_xz() { head -c 1M lines.thrash >input && thrash xz xz -9 -T1 -c; }

work_zstd() { head -c 4M lines.thrash >input && thrash zstd zstd -15 -q --single-thread -c; }

# Ten million reads, the first ones of memory that was never touched, and again. Nothing is swapped.
work_huge() {
	limited "$build/bench-hugepages" -r 10000000 1024 >huge.out 2>errors </dev/null &
	child=$!
	finish || { failed "hugepages ended with $?" huge-first huge-again; return; }
	for w in first:read again:again; do
		record "huge-${w%:*}" "$(sed -n "s/.* ${w#*:}_ms \([0-9]*\).*/\1/p" huge.out | awk '{ print $1 / 1000 }')"
	done
}

# Sixteen processes that read 64 MiB of their parent's twice, or change a tenth of it besides. The swap column is umemcg's own.
family() { # WORK PERCENT
	limited "$build/bench-workers" 16 64 "$2" 2 >family.out 2>errors </dev/null &
	child=$!
	finish || { code=$?; cat family.out >>errors; failed "$1 ended with $code" "$1"; return; }
	record "$1" "$(wall_us_per 1000000)"
	record_swap "$1"
}

# What was in swap at most, and what was written to it, in MiB; of the kernel's group from the start of the work on.
record_swap() { # WORK
	case $column in
	umemcg*)
		record "$1-swap" $(($(reported memory.swap.peak) >> 20))
		record "$1-written" $(($(reported pswpout) / 256)) ;;
	kernel)
		record "$1-written" $((($(kernel_pswpout) - kernel_pswpout) / 256)) ;;
	esac
}

work_workers() { family workers 0; }

work_changers() { family changers 10; }

# Redis writes its data to a file from a child, at half of what the server has, and takes writes meanwhile.
bgsave_session() {
	redis_up || { failed "redis-server does not answer" bgsave; return 1; }
	redis_client sh -c "'$build/bench-gen' redis $((limit_mib * 2 * 1024 * 1024 / 1360)) 1024 |
		redis-cli -s redis.sock --pipe" || { failed "redis-cli --pipe ended with $?" bgsave; return 1; }
	redis_client sh -c "redis-cli -s redis.sock bgsave &&
		redis-benchmark -s redis.sock -t set -n 2000 -r $((limit_mib * 2 * 1024 * 1024 / 1360)) -c 4 -d 1024 --csv &&
		until redis-cli -s redis.sock info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.05; done &&
		redis-cli -s redis.sock info persistence | grep -q rdb_last_bgsave_status:ok" || {
		failed "bgsave ended with $?" bgsave
		return 1
	}
	record bgsave "$(wall_us_per 1000000)"
	redis_client redis-cli -s redis.sock shutdown nosave
	redis_client redis-check-rdb dump.rdb || failed "the file is damaged" bgsave
}

work_bgsave() {
	limited redis-server --port 0 --unixsocket redis.sock --save '' --appendonly no \
		--daemonize no --dir . --logfile redis.log >/dev/null 2>server.errors </dev/null &
	server=$!
	if bgsave_session; then
		wait "$server"
		record_swap bgsave
	else
		stop "$server"
	fi
	server=
	rm -f redis.sock redis.log dump.rdb
}

limit_of() { # WORK
	case $1 in
	hash) echo 24 ;;
	xz | zstd) echo 32 ;;
	huge) echo 1152 ;;
	workers | changers) echo 96 ;;
	*) echo "$limit_mib_all" ;;
	esac
}

# ---- all of it -----------------------------------------------------------------------------------

one_run() { # WORK, in $column
	say "repeat $repeat of $repeats: $1, $column"
	: >errors
	rm -f report.json
	limit_mib=$(limit_of "$1")
	if [ "$column" = kernel ]; then
		if ! kernel_begin $((limit_mib << 20)) $((swap_mib << 20)) "$dir" 2>errors; then
			failed "the kernel's controller could not be set up"
			kernel_end
			return
		fi
		kernel_pswpout=$(kernel_pswpout)
		"work_$1"
		kernel_end
	else
		"work_$1"
	fi
}

rotate() {
	first=$1
	shift
	echo "$*" "$first"
}

measure() {
	works=$(echo "$works" | tr ',' ' ')
	limit_mib_all=$limit_mib
	repeat=1
	while [ "$repeat" -le "$repeats" ]; do
		for work in $works; do
			for column in $columns; do
				one_run "$work"
			done
		done
		columns=$(rotate $columns)
		repeat=$((repeat + 1))
	done
}

draw() { # TERMINAL FILE
	title="$size_mib MiB in $limit_mib MiB; less is better"
	gnuplot -e "set term $1; set output '$out/$2'; plot_title='$title'" chart.gp ||
		say "gnuplot could not draw $2"
}

report() {
	describe_machine >"$out/machine.txt"
	cp raw.tsv "$out/raw.tsv"
	cat "$out/machine.txt"
	echo
	"$build/bench-table" raw.tsv "$out/results.tsv" chart.gp || exit 1
	echo
	echo "Medians of $repeats (least-greatest); ! marks a failed run among them."
	cat "$here/footnotes.txt" notes
	if command -v gnuplot >/dev/null; then
		draw "svg size 1200,480" bench.svg
		draw "pngcairo size 1200,480" bench.png
	else
		say "no chart: gnuplot is not installed"
	fi
	echo "Files: $out"
}

options "$@"
programs
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
dir=$(mktemp -d "$base/umemcg-bench.XXXXXX") || exit 1
cd "$dir" || exit 1
: >raw.tsv
choose_columns
case $works in *sort*) sort_input ;; esac
: >input
"$build/bench-gen" lines $((4 << 20)) >lines.thrash
measure
report
