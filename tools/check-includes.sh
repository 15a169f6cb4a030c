#!/bin/sh
# The direction of includes, as a TAP test: a file may use its own folder and the folders above it in the
# list below, never those below it. And what makes the engine portable to the simulated machine: it sees
# the machine only through the contract, src/plat/*.h. The agent and its room for mode user use each other.
# Usage: tools/check-includes.sh [SOURCE_ROOT]
set -eu
cd "${1:-$(dirname "$0")/..}"

find src check -name '*.[ch]' -o -name '*.def' | LC_ALL=C sort | xargs grep -nE '^[ 	]*#[ 	]*include' |
awk '
BEGIN {
	# The rooms of serve (tools/check-serve-rooms.sh has them, too). Its headers on top are what other
	# folders may use, so that its rooms may, too; its sources on top use every room.
	rooms = "serve serve/process serve/channel serve/client serve/account serve/shared " \
		"serve/session serve/find serve/fault serve/watch serve/remote serve/top"
	n = split("base plat plat/native plat/sim memcg mm mmu/soft mmu/host audit ctl " rooms " agent cli scenario search draw command", order, " ")
	for (i = 1; i <= n; i++)
		rank[order[i]] = i
	rank["agent/user"] = rank["agent"]
	split("memcg mm mmu/soft audit", list, " ")
	for (i in list)
		engine[list[i]] = 1

	# What the engine may use of libc: what a simulated machine has as well.
	split("errno.h inttypes.h limits.h stdarg.h stdbool.h stddef.h stdint.h stdio.h string.h strings.h stdlib.h xxhash.h", list, " ")
	for (i in list)
		portable[list[i]] = 1
	tests = split("direction spelling contract libc", test, " ")
	title["direction"] = "no file includes a folder below its own"
	title["spelling"] = "includes are written from src/"
	title["contract"] = "the engine sees the machine only through plat/*.h"
	title["libc"] = "the engine uses only the portable part of libc"
}

function folder_of(path) {
	sub(/\/[^\/]*$/, "", path)
	return path
}

function violation(kind, text) {
	found[kind] = found[kind] "# " text "\n"
}

{
	split($0, field, ":")
	file = field[1]
	sub(/^(src|check)\//, "", file)
	from = folder_of(file)
	if (file ~ /^serve\/[a-z]+\.c$/)
		from = "serve/top"
	where = field[1] ":" field[2]
	match($0, /[<"][^>"]*[>"]/)
	# The contract includes the machine that the build has chosen, by a macro.
	if (!RSTART && file == "plat/plat.h")
		next
	header = substr($0, RSTART + 1, RLENGTH - 2)
	from_system = substr($0, RSTART, 1) == "<"
	files++

	if (from_system) {
		if (from in engine && !(header in portable))
			violation("libc", where ": <" header ">")
		next
	}
	to = folder_of(header)
	if (to == header || header ~ /\.\./ || !(to in rank)) {
		violation("spelling", where ": \"" header "\"")
		next
	}
	if (!(from in rank))
		violation("direction", where ": src/" from " is not in the list of folders")
	else if (rank[to] > rank[from])
		violation("direction", where ": " from " uses \"" header "\"")
	if (from in engine && to ~ /^plat\// && to != from)
		violation("contract", where ": \"" header "\"")
}

END {
	print "1.." tests
	for (i = 1; i <= tests; i++) {
		bad = found[test[i]] != "" || files == 0
		print (bad ? "not ok " : "ok ") i " - " title[test[i]]
		printf "%s", found[test[i]]
		status = status || bad
	}
	exit status
}'
