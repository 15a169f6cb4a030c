#!/bin/sh
# tests/native/run_memfd.sh - memfds: shared memory of which the program has descriptors, under a limit that it does not fit into.
#
# Each program runs without umemcg first: it must be right there, too.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog memfd memfdcalls memfdleave memfdmany memfdpass sampler reportget
plan 21

# 24 MiB and as much of a shadow, in 16: mappings, its size and its holes.
random_steps() { # SEED
	bounded "$BIN/memfd" 24 3000 "$1" && sampled 16M "$BIN/memfd" 24 3000 "$1" && swapped_at_least 32
}

ways() { # PROGRAM
	bounded "$BIN/$1" 16 24 && sampled 28M "$BIN/$1" 16 24 && swapped_at_least 64
}

# Result, errno and content of every call are compared. There is room for all of it, but not for anything else beside it.
calls() { # SEED...
	for seed in "$@"; do
		bounded "$BIN/memfdcalls" "$seed" 400 >"$TMP/want" 9<&- || return
		under 24M "$BIN/memfdcalls" "$seed" 400 >"$TMP/got" && cmp "$TMP/want" "$TMP/got" && swapped_at_least 1 && continue
		echo "seed $seed:"
		diff "$TMP/want" "$TMP/got" | head -n 8
		return 1
	done
}

# Four processes, 16 MiB in 8: a store of any of them is found by the same one later.
many() { # LIMIT MIB [leave [PRESSURE]]
	limit=$1 mib=$2
	shift 2
	bounded "$BIN/memfdmany" "$mib" 4 20000 "$@" && sampled "$limit" "$BIN/memfdmany" "$mib" 4 20000 "$@" &&
		swapped_at_least 32
}

too_much() {
	sampled 12M "$BIN/memfdleave" 16 8 too-much && swapped_at_least 8
}

# Whoever opens it finds nothing, and its process does not go on.
outside() {
	under 12M "$BIN/memfdpass" 16 8 outside >"$TMP/out" 2>"$TMP/err" && grep -q "opened, and read 0" "$TMP/out" &&
		grep -q "is killed: another process opens a memfd" "$TMP/err" && return
	cat "$TMP/out" "$TMP/err"
	return 1
}

# Eight of 16 MiB, each closed and unmapped, in 48 MiB of memory and swap.
freed() {
	bounded "$UMEMCG" run -m 20M --swap-max 28M -- "$BIN/memfdleave" 16 8 close
}

few_descriptors() {
	(
		ulimit -n 64 && bounded "$UMEMCG" run -m 64M --swap-max 1G -- "$BIN/memfdleave" 16 4
	)
}

# The option leaves it to the kernel: it is not managed, and it is killed if it has too much mapped at a time.
kernels() {
	rm -f "$report"
	bounded "$UMEMCG" run -m 12M --swap-max 1G --report json --report-file "$report" --kernel-memfd -- \
		"$BIN/memfd" 24 10000 1 2>"$TMP/err"
	code=$?
	[ $code = 0 ] || [ $code = 137 ] || { echo "exit code $code"; cat "$TMP/err"; return 1; }
	[ "$(value umemcg/unmanaged_peak)" -ge $((6 << 20)) ] || { echo "$(value umemcg/unmanaged_peak) unmanaged"; return 1; }
	under 12M "$BIN/memfd" 24 3000 1 && at_most $((4 << 20)) "$(value umemcg/unmanaged_peak)" "unmanaged bytes without it"
}

# ---- languages ----

java_source='import java.util.*;
public class Live {
	static byte[] fill(long s) { byte[] b = new byte[65536 - 32]; new Random(s).nextBytes(b); return b; }
	static void check(byte[] b, long s) {
		if (!Arrays.equals(b, fill(s))) throw new Error("wrong content");
	}
	public static void main(String[] a) {
		int n = 16 * Integer.parseInt(a[0]);
		byte[][] live = new byte[n][];
		long[] seed = new long[n];
		Random r = new Random(1);
		for (int i = 0; i < n; i++) live[i] = fill(seed[i] = r.nextLong());
		for (int k = 0; k < n; k++) {
			int i = r.nextInt(n);
			check(live[i], seed[i]);
			live[i] = fill(seed[i] = r.nextLong());
		}
		for (int i = 0; i < n; i++) check(live[i], seed[i]);
		System.out.println("live " + n);
	}
}'

# The live set is twice the limit. The limit has room for what java has besides: 40 MiB.
java_zgc() {
	echo "$java_source" >"$TMP/Live.java" && javac -d "$TMP" "$TMP/Live.java" || return
	sampled 160M java -XX:+UseZGC -Xmx640m -cp "$TMP" Live 320 && swapped_at_least 160
}

python_memory() {
	sampled 64M python3 - <<-'EOF'
		import mmap, os, hashlib
		n = 24 << 20
		fd = os.memfd_create("heap")
		os.posix_fallocate(fd, 0, n)
		m = mmap.mmap(fd, n)
		want = hashlib.sha256()
		for i in range(0, n, 1 << 20):
		    b = hashlib.shake_128(str(i).encode()).digest(1 << 20)
		    m[i:i + len(b)] = b
		    want.update(b)
		other = [bytearray(os.urandom(1 << 20)) for _ in range(64)]
		got = hashlib.sha256()
		for i in range(0, n, 1 << 20):
		    got.update(os.pread(fd, 1 << 20, i))
		assert got.digest() == want.digest()
		assert hashlib.sha256(m).digest() == want.digest()
		pid = os.fork()
		if not pid:
		    os._exit(0 if hashlib.sha256(m).digest() == want.digest() else 1)
		assert os.waitpid(pid, 0)[1] == 0
	EOF
}

# Named shared memory is measured, not swapped; it must work all the same.
python_named() {
	bounded "$UMEMCG" run -m 96M --swap-max 1G -- python3 - <<-'EOF'
		from multiprocessing import shared_memory, Process
		import hashlib
		def child(name, want):
		    s = shared_memory.SharedMemory(name)
		    assert hashlib.sha256(s.buf).hexdigest() == want
		    s.buf[0] = 77
		    s.close()
		s = shared_memory.SharedMemory(create=True, size=16 << 20)
		for i in range(16):
		    s.buf[i << 20:(i + 1) << 20] = hashlib.shake_128(str(i).encode()).digest(1 << 20)
		p = Process(target=child, args=(s.name, hashlib.sha256(s.buf).hexdigest()))
		p.start()
		p.join()
		assert p.exitcode == 0 and s.buf[0] == 77
		s.close()
		s.unlink()
	EOF
}

check "3000 random operations on a heap leave what they leave on plain memory" random_steps 1
check "what it held stayed below the limit" held 16
check "so do 3000 others" random_steps 2
check "and 3000 more" random_steps 3
check "processes that store to the same pages lose none of it" many 8M 16
check "nor where a process needs all of it in memory, and there is no room" many 8M 16 leave
check "nor where it becomes the kernel's while the others go on" many 24M 20 leave 24
check "whatever reaches its content past a mapping finds all of it" ways memfdleave
check "what that held stayed below the limit" held 28
check "so does whoever else gets at it" ways memfdpass
check "400 random calls do what they do without umemcg" calls 1 2 3
check "so do 400 others of each" calls 37 39 103 118
check "a call that needs more of it than fits fails, and nothing is lost" too_much
check "where another process opens it and it does not fit, nobody reads holes" outside
check "a memfd that nobody has any more is free" freed
check "without descriptors it is the kernel's" few_descriptors
check "--kernel-memfd leaves it to the kernel" kernels
if command -v javac >/dev/null && java -XX:+UseZGC -version >/dev/null 2>&1; then
	check "java's ZGC works with a live set of twice its limit" java_zgc
	check "what java held stayed below the limit" held 160
else
	skip "java's ZGC works with a live set of twice its limit" "no java with ZGC"
	skip "what java held stayed below the limit" "no java with ZGC"
fi
if command -v python3 >/dev/null; then
	check "python finds its memfd by mapping, descriptor and fork" python_memory
	check "python's multiprocessing.shared_memory works" python_named
else
	skip "python finds its memfd by mapping, descriptor and fork" "no python3"
	skip "python's multiprocessing.shared_memory works" "no python3"
fi
