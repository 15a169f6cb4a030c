#!/bin/sh
# The demo: an unmodified python3 works on 192 MiB, first without a limit, then with 64 MiB. The result is the
# same; the memory it takes is not.
# Usage: tools/demo.sh PROGRAM
set -eu

umemcg=${1:-build/umemcg}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat >"$tmp/job.py" <<'END'
import time, zlib

MIB = 1 << 20
peak = 0

def look():
    """Remember the most anonymous memory this process had in RAM."""
    global peak
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                peak = max(peak, int(line.split()[1]))

start = time.monotonic()
chunks = []
for i in range(192):
    chunks.append(bytearray(i.to_bytes(4, "little") * (MIB // 4)))
    look()
check = 0
for sweep in range(2):
    for chunk in chunks:
        chunk[sweep::4096] = bytes([sweep + 1]) * (MIB // 4096)
        check = zlib.crc32(chunk, check)
        look()
print("  192 MiB written and read twice: checksum %08x, %.1f s, at most %d MiB in memory"
      % (check, time.monotonic() - start, peak // 1024))
END

echo "\$ python3 job.py"
python3 "$tmp/job.py" | tee "$tmp/free"
echo "\$ umemcg run -m 64M --swap-max 1G -- python3 job.py"
"$umemcg" run -m 64M --swap-max 1G -- python3 "$tmp/job.py" | tee "$tmp/limited"

result() {
	sed -n 's/.*checksum \([0-9a-f]*\).*/\1/p' "$1"
}
peak() {
	sed -n 's/.*at most \([0-9]*\) MiB.*/\1/p' "$1"
}
if [ -z "$(result "$tmp/free")" ] || [ "$(result "$tmp/free")" != "$(result "$tmp/limited")" ]; then
	echo "demo: the results differ" >&2
	exit 1
fi
if [ "$(peak "$tmp/limited")" -gt 68 ]; then
	echo "demo: more than the limit and its slack of 4 MiB was in memory" >&2
	exit 1
fi
echo "Same result, within 64 MiB."
