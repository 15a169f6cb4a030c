#!/bin/sh
# The demo: sort works on 190 MiB in a buffer of 256 MiB, and may have half of the memory that it needs. It runs as it is;
# within the limit in a control group, which has no swap: it is killed; within the limit under umemcg: the output is the
# same; and, to compare, in a control group that gets a swap file. The two with control groups need root and a memory
# controller. Takes a minute or two, 1.5 GB below $TMPDIR (/var/tmp) while it runs, and leaves nothing behind, also when
# interrupted. Usage: tools/demo.sh PROGRAM
set -eu

here=$(cd "$(dirname "$0")" && pwd)
umemcg=$(realpath "${1:-build/umemcg}")
. "$here/../bench/kernel.sh"
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/umemcg-demo.XXXXXX")
TMPDIR=$tmp
export TMPDIR
limit=128
bound=300
job=

end() {
	trap '' INT TERM HUP
	trap - EXIT
	if [ -n "$job" ]; then
		kill -TERM "$job" 2>/dev/null || true
		wait "$job" 2>/dev/null || true
	fi
	kernel_end
	rm -rf "$tmp"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# step NAME COMMAND...: sets $code and $took, and shows both. In the background, so that a signal to this script is
# answered at once.
step() {
	name=$1
	shift
	started=$(date +%s.%N)
	printf '  %-34s' "$name"
	"$@" 2>"$tmp/said" &
	job=$!
	code=0
	wait "$job" 2>/dev/null || code=$?
	job=
	took=$(echo "$started $(date +%s.%N)" | awk '{ printf "%.1f", $2 - $1 }')
	case $code in
	0) echo "$took s" ;;
	137) echo "killed after $took s" ;;
	124) echo "not done in $took s" ;;
	*) echo "exit status $code after $took s"; cat "$tmp/said" ;;
	esac
}

# The same command each time; $output is what it writes.
sorts() { "$@" sort -S 256M --parallel=2 -o "$output" lines; }
in_cgroup() { sorts timeout -k 5 "$bound" sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$kernel_cgroup"; }

# in_kernel NAME SWAP_MIB
in_kernel() {
	output=$tmp/kernel
	if ! kernel_begin $((limit << 20)) $(($2 << 20)) "$tmp" 2>"$tmp/said"; then
		printf '  %-34s%s\n' "$1" "cannot be made here: $(sed -n '$p' "$tmp/said")"
		kernel_end
		return
	fi
	step "$1" in_cgroup
	kernel_end
}

cd "$tmp"
awk 'BEGIN {
	srand(1)
	for (i = 0; i < 490; i++)
		rest = rest "x"
	for (i = 0; i < 400000; i++)
		printf "%08x %s\n", int(rand() * 2147483647), rest > "lines"
}' &
job=$!
wait "$job"
job=
echo "sort -S 256M --parallel=2 lines     ($(($(wc -c <lines) / 1048576)) MiB, in random order)"
output=$tmp/free
step "without a limit" sorts
[ "$code" -eq 0 ] || exit 1
kernel_probe "$tmp"
[ -n "$kernel_reason" ] || in_kernel "$limit MiB, control group, no swap" 0
output=$tmp/limited
step "$limit MiB, umemcg run -m ${limit}M" sorts "$umemcg" run -m "${limit}M" --report text --report-file "$tmp/report" --
[ "$code" -eq 0 ] || exit 1
ours=$took
if [ -z "$kernel_reason" ]; then
	in_kernel "$limit MiB, control group, swap file" 1024
	[ "$code" -ne 0 ] || echo "$ours $took" | awk '{ printf "  umemcg took %.2f of the time of the last\n", $1 / $2 }'
else
	echo "  (no comparison with the kernel's controller: $kernel_reason)"
fi
echo
cat "$tmp/report"
if ! cmp free limited; then
	echo "FAIL: the output differs" >&2
	exit 1
fi
if ! grep -q ' pages in, [1-9][0-9]* out' "$tmp/report"; then
	echo "FAIL: nothing was swapped: the limit was not in force" >&2
	exit 1
fi
echo "PASS: sort in $limit MiB of memory wrote, byte for byte, what it writes without a limit."
