#!/bin/sh
# Whether the C files of two commits are the same token by token: they differ in white space only, or in how a string
# or a comment is broken over lines. For a commit that formats and must change nothing.
# Usage: tools/same-tokens.sh OLD [NEW]    NEW: the working tree unless given
# Lists the files that differ, with the first differing token. Exit status 1: some do.
set -eu
cd "$(dirname "$0")/.."

old=$1
new=${2:-}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# tokens: one token a line. Of a comment its words, without the stars in front of its lines; adjacent strings are one.
# Comments that switch the formatter off and on are none.
tokens() {
	awk '
	{ text = text $0 "\n" }
	function token(t) {
		if (t ~ /^"/ && held != "") {
			held = substr(held, 1, length(held) - 1) substr(t, 2)
			return
		}
		if (held != "")
			print held
		held = ""
		if (t ~ /^"/)
			held = t
		else
			print t
	}
	function comment(t, n, i, word) {
		if (t ~ /^\/\* clang-format (on|off) \*\/$/)
			return
		n = split(t, word, /[ \t\n]+/)
		for (i = 1; i <= n; i++)
			if (word[i] != "*" && word[i] != "")
				print "comment " word[i]
	}
	END {
		gsub(/\\\n/, " ", text)
		directive = 0
		while (length(text)) {
			if (match(text, /^[ \t]+/))
				;
			else if (match(text, /^\n/)) {
				if (directive)
					token("end of line")
				directive = 0
			} else if (match(text, /^\/\*([^*]|\*+[^*\/])*\*+\//)) {
				comment(substr(text, 1, RLENGTH))
			} else if (match(text, /^"([^"\\]|\\.)*"/) || match(text, /^\047([^\047\\]|\\.)*\047/) ||
				   match(text, /^[A-Za-z_0-9.]+/) ||
				   match(text, /^(<<=|>>=|->|\+\+|--|<<|>>|[<>=!+*\/%&|^-]=|&&|\|\||##|.)/)) {
				t = substr(text, 1, RLENGTH)
				if (t == "#")
					directive = 1
				token(t)
			}
			text = substr(text, RLENGTH + 1)
		}
		token("end of file")
	}'
}

# content COMMIT PATH: of the working tree where COMMIT is empty.
content() {
	if [ -n "$1" ]; then git show "$1:$2"; else cat "$2"; fi
}

# shellcheck disable=SC2086
git diff --name-only "$old" $new -- '*.c' '*.h' '*.def' >"$tmp/files"
status=0
while read -r path; do
	content "$old" "$path" 2>"$tmp/error" | tokens >"$tmp/old"
	content "$new" "$path" 2>"$tmp/error" | tokens >"$tmp/new"
	if ! cmp -s "$tmp/old" "$tmp/new"; then
		echo "$path: $(diff "$tmp/old" "$tmp/new" | sed -n '2,3p' | tr '\n' ' ')"
		status=1
	fi
done <"$tmp/files"
echo "$(wc -l <"$tmp/files") files compared"
exit "$status"
