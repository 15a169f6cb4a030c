#!/bin/sh
# Configure a build directory, or change its options when they are others than last time.
# Usage: tools/configure.sh DIRECTORY [-Doption=value ...]
set -eu
cd "$(dirname "$0")/.."

dir=$1
shift
options=$*
if [ ! -f "$dir/build.ninja" ]; then
	meson setup "$dir" "$@" >"$dir.log" 2>&1 || {
		cat "$dir.log"
		rm -f "$dir.log"
		exit 1
	}
	rm -f "$dir.log"
elif [ "$options" != "$(cat "$dir/options.txt" 2>/dev/null)" ]; then
	[ $# -eq 0 ] || meson configure "$dir" "$@"
fi
echo "$options" >"$dir/options.txt"
