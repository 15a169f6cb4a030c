#!/bin/sh
# Run the tests of a build directory again and again, until the time is over or a test fails.
# Usage: tools/soak.sh DIRECTORY MINUTES
set -eu
cd "$(dirname "$0")/.."

dir=$1
end=$(($(date +%s) + $2 * 60))
round=0
while [ "$(date +%s)" -lt "$end" ]; do
	round=$((round + 1))
	if ! tools/run-tests.sh "$dir" --no-suite shape >"$dir/soak.log" 2>&1; then
		cat "$dir/soak.log"
		echo "soak: round $round failed"
		exit 1
	fi
	echo "soak: round $round: $(tail -n 1 "$dir/soak.log")"
done
echo "soak: $round rounds without a failure"
