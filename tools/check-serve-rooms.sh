#!/bin/sh
# The rooms of src/serve, as a TAP test: a room calls only rooms before it in the list below, and a
# member of a structure that is "private to FILE" is named in that file alone.
# Usage: tools/check-serve-rooms.sh BUILD_ROOT [SOURCE_ROOT]
set -eu
build=$(cd "$1" && pwd)
cd "${2:-$(dirname "$0")/..}"

# In this order (tools/check-includes.sh has it, too). What is on top calls every room.
rooms="process channel client account shared session find fault watch remote"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
nm -A "$build"/libumemcg-serve.a.p/*.o >"$tmp/symbols"

# Which object of which room refers to what is defined in which other: lines "from to symbol".
awk -v rooms="$rooms" '
BEGIN {
	n = split(rooms, list, " ")
	for (i = 1; i <= n; i++)
		rank[list[i]] = i
}
{
	file = $1
	sub(/:.*/, "", file)
	sub(/^.*\/src_serve_/, "", file)
	sub(/\.c\.o$/, "", file)
	room = file
	sub(/_.*/, "", room)
	if (!(room in rank)) {
		room = "top"
	} else {
		sub(/^[a-z]*_/, "", file)
	}
	type = $(NF - 1)
	if (type ~ /^[TDBRC]$/) {
		home[$NF] = room
		home_file[$NF] = file
	} else if (type == "U") {
		uses[++nr] = room " " file " " $NF
	}
}
END {
	rank["top"] = n + 1
	for (i = 1; i <= nr; i++) {
		split(uses[i], u, " ")
		if (!(u[3] in home))
			continue
		edges++
		if (rank[home[u[3]]] > rank[u[1]])
			print "# " u[1] "/" u[2] ".c calls " home[u[3]] "/" home_file[u[3]] ".c: " u[3]
	}
	if (edges < 100)
		print "# only " edges + 0 " calls were found"
}' "$tmp/symbols" | LC_ALL=C sort -u >"$tmp/upward"

# "member private to ROOM/FILE.c"
awk '/private to [a-z]+\/[a-z_]+\.c/ && !/^ \*/ {
	file = $0
	sub(/.*private to /, "", file)
	sub(/[^a-z_\/.].*/, "", file)
	name = $0
	sub(/;.*/, "", name)
	sub(/\[.*/, "", name)
	sub(/.*[ *}\t]/, "", name)
	print name, file
}' src/serve/client/client.h >"$tmp/private"
while read -r name file; do
	# client.c sets members up and takes them down.
	grep -nE -- "->$name\\b" src/serve/*/*.[ch] src/serve/*.[ch] |
	grep -vE "^src/serve/($file|client/client\\.[ch]):" |
	sed "s#^#\\# private to $file: #" || true
done <"$tmp/private" >"$tmp/named"
[ "$(wc -l <"$tmp/private")" -ge 10 ] || echo "# fewer than ten private members were found" >>"$tmp/named"

# test_of NUMBER TITLE FILE
failed=0
test_of() {
	if [ -s "$3" ]; then
		echo "not ok $1 - $2"
		cat "$3"
		failed=1
	else
		echo "ok $1 - $2"
	fi
}

echo "1..2"
test_of 1 "a room of serve calls only rooms before it" "$tmp/upward"
test_of 2 "a private member is named by its file only" "$tmp/named"
exit "$failed"
