#!/bin/sh
# Run the tests of a build directory: a line a test, and last of all `N passed, N failed, N skipped`.
# Usage: tools/run-tests.sh DIRECTORY [argument of `meson test` ...]
# Meson runs the programs; the counts are of the single tests inside them (TAP). A program that dies, or
# ends with an error although its tests passed (a sanitizer's report), counts as a failure.
set -u
cd "$(dirname "$0")/.."

dir=$1
shift
: "${ASAN_OPTIONS:=detect_leaks=1:abort_on_error=0}"
: "${UBSAN_OPTIONS:=print_stacktrace=1:halt_on_error=1}"
: "${TSAN_OPTIONS:=halt_on_error=0:second_deadlock_stack=1}"
export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS

log=$dir/meson-logs/testlog.txt
rm -f "$log"
ninja -C "$dir" >"$dir/ninja.log" 2>&1 || {
	cat "$dir/ninja.log"
	echo "FAIL  the build"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
}
programs=$(meson test -C "$dir" --no-rebuild --list "$@" 2>/dev/null | grep -c .)
echo "$programs programs; a line when one has ended. Single tests follow."
# In the background of a script, or under nohup, signals are ignored, and no shell below can change that; tests send them.
env --default-signal=HUP,INT,QUIT meson test -C "$dir" --no-rebuild "$@" 2>&1 | tee "$dir/test.log" | sed -u -n '/^ *[0-9]*\/[0-9]* /p'
if [ ! -s "$log" ]; then
	cat "$dir/test.log"
	echo "FAIL  meson test wrote no log"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
fi
exec awk -f tools/tap-summary.awk "$log"
