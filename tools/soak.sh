#!/bin/sh
# The stress tests for a long time: everything at once on 8 threads and 64 groups, the audit clean at every pause, nothing left at
# the end. Rounds with the plain build and under the thread sanitizer take turns, each with another seed.
# Usage: tools/soak.sh MINUTES DIRECTORY...   (build directories)
# A line a round, last of all `N passed, N failed, N skipped`; ends with 1 at the first round that fails, whose log and seed it shows.
set -u
cd "$(dirname "$0")/.."

ROUND_MAX=120 # seconds
passed=0

usage() {
	echo "Usage: tools/soak.sh MINUTES DIRECTORY..." >&2
	exit 2
}

[ $# -ge 2 ] || usage
minutes=$1
shift
case $minutes in
'' | 0 | *[!0-9]*) usage ;;
esac
for dir; do
	ninja -C "$dir" tests/mm_stress_test tests/memcg_stress_test >"$dir/ninja.log" 2>&1 || {
		cat "$dir/ninja.log"
		echo "FAIL  the build of $dir"
		echo "0 passed, 1 failed, 0 skipped"
		exit 1
	}
done

: "${TSAN_OPTIONS:=halt_on_error=1:second_deadlock_stack=1}"
: "${UMEMCG_STRESS_SEED:=1}"
export TSAN_OPTIONS UMEMCG_STRESS_SEED
start=$(date +%s)
end=$((start + minutes * 60))
length=$((minutes * 60 / $#))
[ "$length" -le "$ROUND_MAX" ] || length=$ROUND_MAX

# run PROGRAM SECONDS: one program of this round; beyond the time it may tear down and see what it has not seen yet.
run() {
	UMEMCG_STRESS_SECONDS=$2 timeout -k 10 $(($2 + 240)) "$dir/tests/$1" >"$dir/soak.log" 2>&1
	status=$?
	if [ $status -ne 0 ]; then
		cat "$dir/soak.log"
		echo "FAIL  $dir/tests/$1 ended with $status; UMEMCG_STRESS_SEED=$UMEMCG_STRESS_SEED UMEMCG_STRESS_SECONDS=$2"
		echo "$passed passed, 1 failed, 0 skipped"
		exit 1
	fi
	passed=$((passed + 1))
}

# total WORD: the last figure that the stress test printed for it.
total() {
	awk -v word="$1" '$1 == "#" && $2 == word { n = $3 } END { print n + 0 }' "$dir/soak.log"
}

while [ "$(date +%s)" -lt "$end" ]; do
	for dir; do
		left=$((end - $(date +%s)))
		[ "$left" -gt 0 ] || break
		[ "$left" -lt "$length" ] || left=$length
		run memcg_stress_test 2
		run mm_stress_test "$left"
		echo "soak: $(($(date +%s) - start)) s: $dir seed $UMEMCG_STRESS_SEED: $(total checks) checks, $(total forks) forks," \
			"$(total migrations) migrations, $(total changes) moves, $(total removals) groups removed"
		grep '^# left' "$dir/soak.log" | sort | uniq -c | sed 's/^ *\([0-9]*\) # /soak:   \1 times /'
		UMEMCG_STRESS_SEED=$((UMEMCG_STRESS_SEED + 1))
	done
done
echo "$passed passed, 0 failed, 0 skipped"
