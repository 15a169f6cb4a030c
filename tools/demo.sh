#!/bin/sh
# The demo: sort works on 190 MiB in a buffer of 256 MiB, first as it is, then with 64 MiB of memory. The output is the
# same. Takes about 700 MB below $TMPDIR (/var/tmp) while it runs, and leaves nothing behind, also when interrupted.
# Usage: tools/demo.sh PROGRAM
set -eu

umemcg=$(realpath "${1:-build/umemcg}")
LC_ALL=C
export LC_ALL
tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/umemcg-demo.XXXXXX")
TMPDIR=$tmp
export TMPDIR
job=

end() {
	trap '' INT TERM HUP
	trap - EXIT
	if [ -n "$job" ]; then
		kill -TERM "$job" 2>/dev/null || true
		wait "$job" 2>/dev/null || true
	fi
	rm -rf "$tmp"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# In the background, so that a signal to this script is answered at once.
step() {
	"$@" &
	job=$!
	code=0
	wait "$job" || code=$?
	job=
	[ "$code" -eq 0 ] || exit "$code"
}

seconds() {
	date +%s.%N
}

since() {
	echo "$1 $(seconds)" | awk '{ printf "  %.1f s\n", $2 - $1 }'
}

cd "$tmp"
echo "400000 lines of 500 characters, in random order:"
step awk 'BEGIN {
	srand(1)
	for (i = 0; i < 490; i++)
		rest = rest "x"
	for (i = 0; i < 400000; i++)
		printf "%08x %s\n", int(rand() * 2147483647), rest > "lines"
}'
echo "  $(($(wc -c <lines) / 1048576)) MiB"

start=$(seconds)
echo "\$ sort -S 256M --parallel=2 lines"
step sort -S 256M --parallel=2 -o free lines
since "$start"

start=$(seconds)
echo "\$ umemcg run -m 64M -v -- sort -S 256M --parallel=2 lines"
step "$umemcg" run -m 64M -v --report-file report -- sort -S 256M --parallel=2 -o limited lines
since "$start"
cat report

if ! cmp free limited; then
	echo "FAIL: the output differs" >&2
	exit 1
fi
if ! grep -q ' pages in, [1-9][0-9]* out' report; then
	echo "FAIL: nothing was swapped: the limit was not in force" >&2
	exit 1
fi
echo "PASS: sort in 64 MiB of memory wrote, byte for byte, what it writes without a limit."
