#!/bin/sh
# Write the drawings of named bugs to tests/check/golden, for tests/check/cli.sh to compare with. A drawing that
# differs in line numbers and counts of steps only is left as it is. Look at what changed before it is committed.
# Usage: tools/update-golden.sh [-f] [UMEMCG] [BUG...]     -f: write all of them anew
#        tools/update-golden.sh -c [UMEMCG]                the numbers of executions of all scenarios, and of the quick ones
#                                                   with store buffers: minutes
set -eu
cd "$(dirname "$0")/.."

force= counts=
[ "${1:-}" != -f ] || { force=1; shift; }
[ "${1:-}" != -c ] || { counts=1; shift; }
umemcg=${1:-build-test/umemcg}
[ $# -eq 0 ] || shift
golden=tests/check/golden
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

if [ -n "$counts" ]; then
	"$umemcg" check >"$tmp/table"
	"$umemcg" check --quick --memory-model tso >"$tmp/table-tso"
	for model in "" -tso; do
		{
			echo "# scenario, executions, sleep-blocked: what tests/check/cli.sh compares with"
			awk 'NR > 1 && /EXHAUSTED/ { print $1, $3, $4 }' "$tmp/table$model"
		} >"$golden/counts$model.txt"
	done
	exit 0
fi

[ $# -gt 0 ] || set -- $("$umemcg" check --list-bugs | cut -f 1)
for bug; do
	code=0
	timeout 600 "$umemcg" check --bug "$bug" >"$tmp/new" 2>"$tmp/err" || code=$?
	if [ "$code" -ne 1 ]; then
		echo "$bug: not drawn, status $code: $(cat "$tmp/err" "$tmp/new" | head -n 1)"
		continue
	fi
	if [ -z "$force" ] && [ -f "$golden/$bug.txt" ]; then
		sed -f $golden/mask.sed "$golden/$bug.txt" >"$tmp/old.masked"
		sed -f $golden/mask.sed "$tmp/new" >"$tmp/new.masked"
		cmp -s "$tmp/old.masked" "$tmp/new.masked" && continue
	fi
	cp "$tmp/new" "$golden/$bug.txt"
	echo "$bug: written"
done
