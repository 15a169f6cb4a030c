#!/bin/sh
# What documents name exists, as a TAP test: source files, functions of a file (`file.c:function`), decisions by number.
# A path is written from the root, from src/, from tests/ or as the bare name of a file that is there.
# Usage: tools/check-documents.sh [SOURCE_ROOT]
set -eu
cd "${1:-$(dirname "$0")/..}"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
documents="README.md ARCHITECTURE.md HACKING.md $(find docs -name '*.md' | LC_ALL=C sort)"
find . -path ./.git -prune -o -path './build*' -prune -o -type f -print | sed 's#^\./##' >"$tmp/files"

# named PATTERN: what documents have between backquotes that matches it whole, with its place.
named() {
	# shellcheck disable=SC2086
	grep -noE '`[^` ]+`' $documents | tr -d '`' | grep -E "^[^:]*:[0-9]*:$1\$" || true
}

# there PATH: its file, or nothing.
there() {
	awk -v p="$1" '$0 == p || $0 == "src/" p || $0 == "tests/" p || $0 ~ ("(^|/)" gensub_dot(p) "$") { print; exit }
		function gensub_dot(s) { gsub(/\./, "\\.", s); return s }' "$tmp/files"
}

files() {
	named '[a-z0-9_./-]+\.(c|h|def|sh|build|awk)' | while IFS=: read -r document line path; do
		[ -n "$(there "$path")" ] || echo "# $document:$line: there is no $path"
	done
}

functions() {
	# shellcheck disable=SC2086
	grep -noE '`[a-z_0-9]+(\(\))?`(,| \()\s?\(?`[a-z0-9_./-]+\.[ch]`' $documents | tr -d '`(),' |
	sed -E 's/^([^:]*:[0-9]*):([a-z_0-9]+) *([^ ]+)$/\1 \2 \3/' | while read -r place function path; do
		file=$(there "$path")
		[ -z "$file" ] || grep -qE "(^|[^a-z_0-9])$function([^a-z_0-9]|$)" "$file" || echo "# $place: there is no $function in $path"
	done
}

decisions() {
	# shellcheck disable=SC2086
	grep -noE '\(?(docs/decisions/|decisions?,? |[( ])(00[0-9]{2})\b' $documents |
	sed -E 's/^([^:]*:[0-9]*):.*(00[0-9]{2})$/\1 \2/' | sort -u | while read -r place number; do
		grep -q "^docs/decisions/$number-" "$tmp/files" || echo "# $place: there is no decision $number"
	done
}

# test NUMBER TITLE FUNCTION
test_of() {
	"$3" >"$tmp/found"
	if [ -s "$tmp/found" ]; then
		echo "not ok $1 - $2"
		cat "$tmp/found"
		failed=1
	else
		echo "ok $1 - $2"
	fi
}

failed=0
echo "1..3"
test_of 1 "every file that a document names exists" files
test_of 2 "every function that a document names is in its file" functions
test_of 3 "every decision that a document names exists" decisions
exit "$failed"
