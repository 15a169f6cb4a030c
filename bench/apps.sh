#!/bin/sh
# bench/apps.sh - applications in half the memory that they need: under umemcg, and under the kernel's controller.
#
#     sh bench/apps.sh [-w WORK,...] [-p PERCENT] [-d DIR] [-t SECONDS] [-o FILE]
#
#   -w  a selection of postgres,chromium,zgc,live,pretouch,tsan,asan,redis,workers,python (all)
#   -p  the limit, in percent of what the application needs without one (50)
#   -d  where data and both swap files go (/var/tmp)
#   -t  bound of one run in seconds (180)
#   -o  the table goes there too
#
# Each work runs without a limit first: that is what it needs, and the result that the others must have. Then it runs at
# the limit under umemcg, and in a cgroup with a swap file of its own (bench/kernel.sh). $UMEMCG is the program
# (build/umemcg). Needs root and the memory controller. A program that is not installed is named and left out. Nothing is
# left behind, also when interrupted: processes ended, cgroups removed, swap off, files removed.

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
. "$here/kernel.sh"

works=postgres,chromium,zgc,live,pretouch,tsan,asan,redis,workers,python
base=/var/tmp bound=180 percent=50
swap_mib=2048 guard_mib=4096
umemcg=${UMEMCG:-$top/build/umemcg}
python=/usr/bin/python3 # not a shim in front of it, which would be what is measured
out=
dir=
child=
sampler=

say() { echo "apps: $*" >&2; }
die() { say "$*"; exit 1; }

usage() {
	sed -n '4,10s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

# ---- setting up and clearing away ----------------------------------------------------------------

# All of the run's processes are in the cgroup, which is ours alone: kernel_end ends them.
stop_all() {
	[ -z "$sampler" ] || { kill "$sampler"; wait "$sampler"; } 2>/dev/null
	sampler=
	[ -z "$kernel_cgroup" ] || kernel_end
	[ -z "$child" ] || wait "$child" 2>/dev/null
	child=
}

cleanup() {
	trap '' INT TERM HUP
	trap - EXIT
	stop_all
	kernel_end
	cd / && [ -n "$dir" ] && rm -rf "$dir"
}

# ---- one run in one column -----------------------------------------------------------------------

# COMMAND in the column's cgroup and, in umemcg's column, under it. Ends with COMMAND.
enter() {
	if [ "$column" = umemcg ]; then
		set -- "$umemcg" run -m "${limit_mib}M" --swap-max "${swap_mib}M" --swap "$dir" \
			--report json --report-file "$dir/report.json" -- "$@"
	fi
	exec timeout -k 5 "$bound" sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' x "$kernel_cgroup" "$@"
}

# The same as somebody without rights: Postgres refuses root, Chromium's sandbox does.
as_nobody() { echo setpriv --reuid=nobody --regid=nogroup --clear-groups; }

# COMMAND in the background, with its output in "output" and "errors".
start() {
	(enter "$@") >output 2>errors </dev/null &
	child=$!
}

finish() {
	wait "$child"
	code=$?
	child=
	return $code
}

# A client of a server, outside the limit but bounded.
client() { timeout -k 5 "$bound" "$@" >>client 2>&1; }

until_true() { # COMMAND: at most for a third of the bound, and while the server is there
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		[ $tries -lt $((bound * 2)) ] && kill -0 "$child" 2>/dev/null || return 1
		sleep 0.15
	done
}

# Anonymous and shared memory of all that is in the cgroup, umemcg's own included, and swap: the most of each, in MiB.
sample() {
	most=0 most_swap=0
	trap 'echo $((most >> 20)) $((most_swap >> 20)) >sampled; exit 0' TERM
	while :; do
		total=0 swapped=0
		while read -r key bytes; do
			case $key in
			rss | anon | shmem) total=$((total + bytes)) ;;
			swap) swapped=$bytes ;;
			esac
		done <"$kernel_cgroup/memory.stat"
		[ -z "$kernel_v2" ] || [ -n "$kernel_v1" ] || read -r swapped <"$kernel_cgroup/memory.swap.current"
		[ "$total" -le "$most" ] || most=$total
		[ "$swapped" -le "$most_swap" ] || most_swap=$swapped
		sleep 0.05
	done 2>/dev/null
}

reported_mib() { # KEY of umemcg's report
	awk -v key="\"$1\":" '$1 == key { n = $2 + 0; exit } END { printf "%.0f", n / 1048576 }' report.json
}

now() { date +%s.%N; }

since() { echo "$1 $(now)" | awk '{ printf "%.1f", $2 - $1 }'; }

set_up() { # in $column
	case $column in
	kernel) kernel_begin $((limit_mib << 20)) $((swap_mib << 20)) "$dir" ;;
	*) kernel_make_cgroup $((guard_mib << 20)) 0 ;;
	esac
}

# Sets $status (finished, or why not), $took, $peak and $swap.
one_run() {
	say "$work, $column${limit_mib:+ in $limit_mib MiB}"
	rm -f output errors client report.json sampled result
	set_up 2>errors || { status="no cgroup: $(tail -n 1 errors)" took=- peak=0 swap=0; stop_all; return; }
	sample &
	sampler=$!
	began=$(now)
	if "work_$work"; then
		status=finished
	else
		code=$?
		status="failed ($code)"
		case $code in 124 | 137) status="not in $bound s, or killed ($code)" ;; esac
	fi
	took=$(since "$began")
	kill "$sampler" 2>/dev/null
	wait "$sampler"
	sampler=
	[ "$column" = umemcg ] || ! kernel_oom || status="$status; the kernel's OOM killer was at work"
	read -r peak swap <sampled
	stop_all
	judge
}

# The result has to be that of the run without a limit; umemcg's own report has to show a limit at work.
judge() {
	if [ "$status" = finished ]; then
		if [ "$column" = none ]; then
			cp result want
		elif ! cmp -s result want; then
			status="another result"
		fi
	fi
	own=-
	[ "$status" = finished ] || {
		sed 's/^/apps:   /' errors | tail -n 4 >&2
		tail -n 2 client 2>/dev/null | sed 's/^/apps:   /' >&2
	}
	[ "$column" = umemcg ] || return
	[ -s report.json ] || { own="no report"; return; }
	swap=$(reported_mib memory.swap.peak)
	own=$(reported_mib memory.peak)
	[ "$own" -le $((limit_mib + 4)) ] || status="$status, above the limit"
	[ "$swap" -gt 0 ] || status="$status, not limited: nothing was swapped"
}

row() {
	printf '%-10s %-8s %7s %8s %6s %6s %7s  %s\n' "$work" "$column" "${limit_mib:--}" "$took" "$peak" "$own" \
		"$swap" "$status" | tee -a table
}

# ---- the works -----------------------------------------------------------------------------------
# need_X says on standard output what is missing, if anything; make_X prepares once, outside any limit; work_X runs it and
# writes its result to the file "result".

missing() { # PROGRAM...
	for p; do
		command -v "$p" >/dev/null || { echo "$p is not installed"; return; }
	done
}

pg=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)

need_postgres() { [ -x "$pg/initdb" ] && missing setpriv pgbench || echo "postgresql is not installed"; }

# Postgres's directory is nobody's; it has 64 MiB of shared buffers.
pg_server() { "$@" $(as_nobody) "$pg/postgres" -D "$dir/pg" -k "$dir/pg" -c listen_addresses= -c shared_buffers=64MB; }

pg_ask() { psql -h "$dir/pg" -U nobody -d postgres -Atc "$1" 2>>client; }

make_postgres() {
	mkdir pg && chown nobody:nogroup pg && chmod 700 pg &&
		$(as_nobody) "$pg/initdb" -D "$dir/pg" -U nobody -A trust >/dev/null
}

pg_answers() { pg_ask 'select 1' >/dev/null; }

# TPC-B keeps three sums the same, whatever runs at once.
work_postgres() {
	pg_server start
	until_true pg_answers || { stop_pg; return 1; }
	client pgbench -h "$dir/pg" -U nobody -i -q -s 4 postgres &&
		client pgbench -h "$dir/pg" -U nobody -n -c 8 -j 2 -t 250 postgres &&
		pg_ask 'set work_mem = "48MB"; select count(*), sum(length(repeat(md5(aid::text), 3))) from
			(select aid, filler from pgbench_accounts order by md5(aid::text)) x' >result &&
		pg_ask 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),
			(select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers),
			(select count(*) from pgbench_history)' >>result
	pg_code=$?
	stop_pg
	return $pg_code
}

stop_pg() {
	pg_pid=$(head -n 1 pg/postmaster.pid 2>/dev/null)
	[ -z "$pg_pid" ] || kill -INT "$pg_pid" 2>/dev/null
	finish
}

need_chromium() { missing chromium setpriv; }

make_chromium() {
	cat >page.html <<-'PAGE'
		<body><script>
		var kept = [], sum = 0;
		for (var i = 0; i < 48; i++) { var a = new Float64Array(131072); a.fill(i); kept.push(a); }
		for (var i = 0; i < 20000; i++) { var d = document.createElement('p'); d.textContent = 'line ' + i;
			document.body.appendChild(d); }
		for (var r = 0; r < 3; r++) kept.forEach(function (a) { for (var j = 0; j < a.length; j += 64) sum += a[j]; });
		document.title = 'sum ' + sum;
		</script></body>
	PAGE
	chmod 644 page.html
}

# With its broker and its sandbox: as somebody without rights, in user namespaces.
work_chromium() {
	rm -rf profile
	mkdir profile && chown nobody:nogroup profile || return
	start $(as_nobody) env HOME="$dir/profile" chromium --headless --disable-gpu --disable-dev-shm-usage \
		--user-data-dir="$dir/profile" --dump-dom "file://$dir/page.html"
	finish || return
	grep -c '<p>line' output >result && grep -o '<title>.*</title>' output >>result
}

need_zgc() { missing java javac; }
need_pretouch() { need_zgc; }

make_zgc() {
	[ ! -e Work.class ] || return 0
	cat >Work.java <<-'SOURCE'
		public class Work {
			public static void main(String[] a) {
				java.util.HashMap<Integer, byte[]> map = new java.util.HashMap<>();
				long sum = 0;
				for (int i = 0; i < 300000; i++) {
					byte[] b = new byte[1024];
					b[i % 1024] = (byte) i;
					map.put(i % 60000, b);
				}
				for (int i = 0; i < 60000; i++)
					for (byte x : map.get(i))
						sum += x;
				System.out.println(map.size() + " " + sum);
			}
		}
	SOURCE
	javac Work.java
}
make_pretouch() { make_zgc; }

# Every byte of a live set is checked, at random and in the end; its heap is a memfd, mapped three times.
need_live() { need_zgc; }
make_live() {
	[ ! -e Live.class ] || return 0
	cat >Live.java <<-'SOURCE'
		import java.util.*;
		public class Live {
			static byte[] fill(long s) { byte[] b = new byte[65536 - 32]; new Random(s).nextBytes(b); return b; }
			static void check(byte[] b, long s) {
				if (!Arrays.equals(b, fill(s)))
					throw new Error("wrong content");
			}
			public static void main(String[] a) {
				int n = 16 * Integer.parseInt(a[0]);
				byte[][] live = new byte[n][];
				long[] seed = new long[n];
				Random r = new Random(1);
				for (int i = 0; i < n; i++)
					live[i] = fill(seed[i] = r.nextLong());
				for (int k = 0; k < n; k++) {
					int i = r.nextInt(n);
					check(live[i], seed[i]);
					live[i] = fill(seed[i] = r.nextLong());
				}
				for (int i = 0; i < n; i++)
					check(live[i], seed[i]);
				System.out.println("live " + n);
			}
		}
	SOURCE
	javac Live.java
}

work_java() {
	start java "$@" -cp "$dir" Work
	finish && cp output result
}
work_zgc() { work_java -XX:+UseZGC -Xmx256m; }
work_live() { start java -XX:+UseZGC -Xmx640m -cp "$dir" Live 320 && finish && cp output result; }
work_pretouch() { work_java -XX:+AlwaysPreTouch -Xms192m -Xmx192m; }

compile() { # COMPILER PROGRAM OPTION...
	compiler=$1 program=$2
	shift 2
	"$compiler" -O1 -g -w -D_GNU_SOURCE "$@" -pthread -o "$program" "$top/tests/native/prog/$program.c" 2>errors ||
		{ tail -n 1 errors; return 1; }
}

need_tsan() { missing gcc; }
make_tsan() { compile gcc threads -fsanitize=thread; }
work_tsan() { start "$dir/threads" 32 2 4; finish && echo right >result; }

need_asan() { missing clang; }
make_asan() { compile clang fill -fsanitize=address; }
work_asan() { start "$dir/fill" 128; finish && echo right >result; }

need_workers() { missing gcc; }
make_workers() { compile gcc shared; }
work_workers() { start "$dir/shared" 64 16 2; finish && echo right >result; }

need_redis() { missing redis-server redis-cli redis-benchmark; }
make_redis() { :; }

redis_ask() { timeout 30 redis-cli -s "$dir/redis.sock" "$@" 2>>client; }
redis_answers() { redis_ask ping | grep -q PONG; }
redis_saved() { redis_ask info persistence | tr -d '\r' | grep -q rdb_bgsave_in_progress:0; }

# A snapshot is written by a forked child while clients store.
work_redis() {
	rm -f dump.rdb
	start redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --appendonly no --daemonize no --dir "$dir" \
		--enable-debug-command yes
	until_true redis_answers && client redis-cli -s "$dir/redis.sock" debug populate 100000 key 1024 &&
		redis_ask bgsave >/dev/null &&
		client redis-benchmark -s "$dir/redis.sock" -t set -n 40000 -r 40000 -d 512 -c 4 -q &&
		until_true redis_saved &&
		redis_ask info persistence | tr -d '\r' | grep rdb_last_bgsave_status >result &&
		redis_ask exists key:0 key:50000 key:99999 >>result
	redis_code=$?
	redis_ask shutdown nosave
	finish
	[ $redis_code -eq 0 ] && redis-check-rdb dump.rdb 2>/dev/null | grep -c 'RDB looks OK' >>result
}

need_python() { missing "$python"; }

make_python() {
	"$python" -c 'import numpy' 2>/dev/null || say "python: numpy is not installed, its array module is used"
	cat >work.py <<-'SOURCE'
		import random
		random.seed(5)
		try:
		    import numpy as np
		    a = np.arange(6000000, dtype=np.float64) * 7919 % 1000003
		    b = np.sort(a)
		    c = np.cumsum(b) + a
		    m = a[:1000000].reshape(1000, 1000)
		    print(int(b[3000000]), int(c.sum()), int((m @ m).trace()))
		except ImportError:
		    from array import array
		    a = array('d', (i * 7919 % 1000003 for i in range(4000000)))
		    b = array('d', sorted(a))
		    print(int(b[2000000]), int(sum(x * y for x, y in zip(a, b))))
	SOURCE
}

work_python() { start "$python" "$dir/work.py"; finish && cp output result; }

# ---- all of it -----------------------------------------------------------------------------------

one_work() { # $work
	reason=$("need_$work")
	[ -z "$reason" ] || { echo "$work is left out: $reason." >>notes; say "$work: $reason"; return; }
	reason=$("make_$work" 2>&1) || { echo "$work is left out: $reason" >>notes; return; }
	[ -z "$reason" ] || echo "$work: $reason" >>notes
	limit_mib= column=none
	one_run
	row
	[ "$status" = finished ] || return
	limit_mib=$((peak * percent / 100))
	for column in umemcg kernel; do
		one_run
		row
	done
	rm -rf pg profile dump.rdb want
}

options() {
	while getopts w:p:d:t:o: option; do
		case $option in
		w) works=$OPTARG ;;
		p) percent=$OPTARG ;;
		d) base=$OPTARG ;;
		t) bound=$OPTARG ;;
		o) out=$OPTARG ;;
		*) usage ;;
		esac
	done
	[ $# -lt $OPTIND ] && [ "$percent" -ge 1 ] && [ "$bound" -ge 1 ] || usage
	works=$(echo "$works" | tr ',' ' ')
	for work in $works; do
		command -v "work_$work" >/dev/null || die "-w $work: no such work; see -h"
	done
	[ -z "$out" ] || { : >"$out" && out=$(realpath "$out"); } || exit 1
	base=$(realpath "$base") && umemcg=$(realpath "$umemcg") || exit 1
	[ -x "$umemcg" ] || die "no program at $umemcg: run 'make', or set UMEMCG"
}

options "$@"
kernel_probe "$base"
[ -z "$kernel_reason" ] || die "$kernel_reason"
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
dir=$(mktemp -d "$base/umemcg-apps.XXXXXX") && chmod 755 "$dir" && cd "$dir" || exit 1
: >notes
printf '%-10s %-8s %7s %8s %6s %6s %7s  %s\n' work column limit s peak own swap result | tee table
for work in $works; do
	one_work
done
cat "$here/footnotes-apps.txt" notes | tee -a table.notes
[ -z "$out" ] || cat table table.notes >"$out"
