#!/bin/sh
# The length of files and functions, as a TAP test: a C file has at most 500 lines, a function at most 70, from the line
# of its name to its closing brace.
# Usage: tools/check-lengths.sh [SOURCE_ROOT]
set -eu
cd "${1:-$(dirname "$0")/..}"

find src check tests bench -name '*.[ch]' | LC_ALL=C sort | xargs awk '
BEGIN {
	FILE_MOST = 500
	FUNCTION_MOST = 70
}

function end_of_file() {
	if (lines > FILE_MOST)
		files = files "# " path ": " lines " lines\n"
}

FNR == 1 {
	end_of_file()
	path = FILENAME
	head = start = 0
}

{ lines = FNR }

# A function begins in column 0 with its type and name, and its body with a brace alone in column 0.
/^[A-Za-z_].*\(/ && !/^#/ { head = FNR; name = $0 }
/^{$/ && head { start = head }
/^}/ {
	seen++
	if (start && FNR - start + 1 > FUNCTION_MOST) {
		sub(/\(.*/, "", name)
		sub(/.*[ *]/, "", name)
		functions = functions "# " path ":" start ": " name " has " FNR - start + 1 " lines\n"
	}
	head = start = 0
}

END {
	end_of_file()
	print "1..2"
	print (files != "" || !seen ? "not ok" : "ok") " 1 - no file has more than " FILE_MOST " lines"
	printf "%s", files
	print (functions != "" || !seen ? "not ok" : "ok") " 2 - no function has more than " FUNCTION_MOST " lines"
	printf "%s", functions
	exit files != "" || functions != "" || !seen
}'
