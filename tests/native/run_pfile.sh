#!/bin/sh
# tests/native/run_pfile.sh - private mappings of files that the program writes to are held to the limit, and keep what they have.
#
# filecopy goes through what can happen to such memory (and does the same without umemcg); then more of it than fits is changed, with
# Python's ACCESS_COPY where there is a Python. In each case pages have to go to swap, or nothing was tested.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog filecopy reportget
plan 6

python=/usr/bin/python3

plain() {
	bounded "$BIN/filecopy" "$TMP" 16
}

rules() { # LIMIT DIRECTORY
	under "$1" "$BIN/filecopy" "$2" 16 && swapped_at_least 16
}

# Nowhere to put what is changed: the mapping stays the kernel's, and works as far as there is memory.
without_swap() {
	bounded "$UMEMCG" run -m 128M --swap-max 0 -- "$BIN/filecopy" "$TMP" 8
}

access_copy() {
	[ -x "$python" ] || return 77
	under 32M "$python" -c '
import mmap, sys
n, page = 64 << 20, 4096
def line(i):
	return (b"%015d\n" % i) * (page // 16)
with open(sys.argv[1], "w+b") as f:
	for i in range(n // page):
		f.write(line(i))
	f.flush()
	m = mmap.mmap(f.fileno(), n, access=mmap.ACCESS_COPY)
	for i in range(0, n // page, 3):
		m[i * page:i * page + 8] = b"changed!"
	wrong = 0
	for i in range(n // page):
		want = line(i) if i % 3 else b"changed!" + line(i)[8:]
		wrong += m[i * page:(i + 1) * page] != want
		f.seek(i * page)
		wrong += f.read(page) != line(i)
	sys.exit(wrong != 0)' "$TMP/copy" && swapped_at_least 16
}

check "private mappings of files do the same without a limit" plain
check "and under one, with most of them in swap" rules 12M "$TMP"
check "and under another" rules 24M "$TMP"
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
	check "and of files in memory" rules 20M /dev/shm
else
	skip "and of files in memory" "there is no /dev/shm"
fi
check "without swap they stay the kernel's" without_swap
if [ -x "$python" ]; then
	check "Python's ACCESS_COPY, larger than the limit" access_copy
else
	skip "Python's ACCESS_COPY, larger than the limit" "there is no $python"
fi
