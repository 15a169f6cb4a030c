#!/bin/sh
# Sentences of comments in src and check, picked at random, for somebody who reads how they sound.
# Usage: tools/random-sentences.sh [SEED [HOW_MANY]]    (1, 20). The same seed picks the same from the same tree.
set -eu
cd "$(dirname "$0")/.."

seed=${1:-1}
bytes=$(mktemp)
trap 'rm -f "$bytes"' EXIT
# A source that repeats itself, as the seed over and over would, picks much the same for every seed.
LC_ALL=C awk -v seed="$seed" 'BEGIN {
	x = (seed * 7919 + 12345) % 2147483647
	for (i = 0; i < 100000; i++) {
		x = x * 48271 % 2147483647
		printf "%c", int(x / 65536) % 255 + 1
	}
}' >"$bytes"
find src check -name '*.[ch]' | LC_ALL=C sort | xargs awk '
FNR == 1 { inside = 0; text = "" }
!inside && /\/\*/ { inside = 1; sub(/.*\/\*+/, "") }
inside {
	line = $0
	ends = line ~ /\*\//
	sub(/\*\/.*/, "", line)
	sub(/^[ \t]*\* ?/, "", line)
	text = text " " line
	if (ends) {
		print text
		inside = 0
		text = ""
	}
}' | sed 's/  */ /g; s/\. \([A-Z@]\)/.\n\1/g' | sed 's/^ //' | grep -E '^[A-Z@].{40,200}\.$' |
	LC_ALL=C shuf --random-source=/dev/fd/3 -n "${2:-20}" 3<"$bytes"
