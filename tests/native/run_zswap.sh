# tests/native/run_zswap.sh - real programs whose swapped pages are compressed in memory: their results are those without
# a limit, compressed memory is inside the limit and below its own.
. "$(dirname "$0")/lib.sh"
require_uffd
require_tool sort

MIB=$((1 << 20))

# tiered TIER LIMIT CMD...
tiered() {
	tier=$1 limit=$2
	shift 2
	: >"$report"
	bounded "$UMEMCG" run -m "$limit" --swap-max 512M --swap-tier "$tier" --report json --report-file "$report" -- "$@"
}

was_compressed() {
	at_least 1000 "$(value memory.stat/zswpout)" zswpout || return
	at_least 1 "$(value memory.zswap.peak)" memory.zswap.peak || return
	at_most "$1" "$(value memory.zswap.peak)" memory.zswap.peak || return
	at_most $(($2 + 4 * MIB)) "$(value memory.peak)" memory.peak
}

sorts() {
	seq 1000000 | rev >"$TMP/shuffled"
	LC_ALL=C sort "$TMP/shuffled" >"$TMP/want" || return
	LC_ALL=C tiered "$1" 16M sort -S 64M -T "$TMP" "$TMP/shuffled" >"$TMP/got" || return
	cmp "$TMP/want" "$TMP/got" || return
	was_compressed "$2" $((16 * MIB))
}

python_sums() {
	job='a = [i * 7 for i in range(1000000)]
b = [str(x) for x in a]
print(sum(a), sum(map(len, b)))'
	want=$("$python" -c "$job")
	expect "$want" "$(tiered "$1" 32M "$python" -c "$job")" || return
	was_compressed "$2" $((32 * MIB))
}

# Random bytes do not compress: all of it goes to the file, and comes back.
random_bytes() {
	job='import os, hashlib
a = [os.urandom(1 << 20) for i in range(64)]
want = [hashlib.sha1(x).digest() for x in a]
print(all(hashlib.sha1(x).digest() == w for x, w in zip(a, want)))'
	expect True "$(tiered lz4+file 24M "$python" -c "$job")" || return
	at_least 5000 "$(value memory.stat/pswpout)" pswpout || return
	at_most $((28 * MIB)) "$(value memory.peak)" memory.peak
}

refused() {
	bounded "$UMEMCG" run -m 16M --swap-tier gzip -- true 2>"$TMP/err" && return 1
	grep -q "'gzip' is not a tier" "$TMP/err"
}

python=$(PATH=/usr/bin:$PATH command -v python3)
check "sort with lz4 in front of the file" sorts lz4+file $((4 * MIB))
check "sort with zstd in front of the file" sorts zstd+file $((4 * MIB))
if [ -n "$python" ]; then
	check "python with lz4 in front of the file" python_sums lz4+file $((8 * MIB))
	check "incompressible data goes to the file" random_bytes
else
	skip "python with lz4 in front of the file" "no python3"
	skip "incompressible data goes to the file" "no python3"
fi
check "a tier that does not exist is refused" refused
