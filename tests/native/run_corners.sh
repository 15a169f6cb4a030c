#!/bin/sh
# tests/native/run_corners.sh - programs in unusual places: the lowest addresses, few descriptors, one umemcg in another,
# valgrind, a tracer; and memory that the kernel pins.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog fill forks lowest oddcalls reportget staticprog steady xdpframes
plan 10

lowest() {
	under 16M "$BIN/lowest" 24 && swapped_at_least 64
}

xdp_frames() {
	under 16M "$BIN/xdpframes" 24 && swapped_at_least 64
}

registered() {
	under 16M "$BIN/registered" 24 && swapped_at_least 64
}

# Result and errno of every call, and what the memory holds, are compared. A seed that ends with a signal natively ends so here.
odd_calls() {
	for seed in 1 4 12 16 19 25 31 89 111 223; do
		calls=1000
		[ $seed -ne 223 ] || calls=1500
		"$BIN/oddcalls" $seed $calls >"$TMP/want"
		want_code=$?
		under 16M "$BIN/oddcalls" $seed $calls >"$TMP/got"
		expect $want_code $? "exit status with seed $seed" && cmp "$TMP/want" "$TMP/got" && continue
		diff "$TMP/want" "$TMP/got" | head -n 8
		return 1
	done
}

# At every number of descriptors with which it runs at all: the same with us. There is room for all of it.
few_descriptors() {
	same=0
	for n in 4 5 6 7 8 9 10 12 16; do
		(ulimit -n "$n" && exec "$BIN/forks" 2 2 1) >"$TMP/without" 2>&1 9<&-
		without=$?
		under 256M sh -c 'ulimit -n "$1" && exec "$2" 2 2 1' x "$n" "$BIN/forks" >"$TMP/under" 2>&1
		expect "$without" $? "status with $n descriptors" || { cat "$TMP/without" "$TMP/under"; return 1; }
		[ "$without" -ne 0 ] || same=$((same + 1))
	done
	[ "$same" -ge 4 ]
}

# Another file of the same name: the dynamic linker loads both.
inside_another() {
	library=$(dirname "$UMEMCG")/libumemcg-agent.so
	mkdir -p "$TMP/other" && cp "$UMEMCG" "$library" "$TMP/other" || return
	under 128M "$TMP/other/umemcg" run -m 16M --swap-max 1G --report json --report-file "$TMP/inner.json" -- \
		"$BIN/fill" 32 2>"$TMP/err" || { cat "$TMP/err"; return 1; }
	expect "" "$(cat "$TMP/err")" "standard error" || return
	pages=$("$BIN/reportget" "$TMP/inner.json" memory.stat/pswpout)
	[ "$pages" -ge 4096 ]
}

# A debugger that comes to a process of the same run and goes. gdb lists its threads until there is
# none that it is not attached to.
attached() {
	cat >"$TMP/attach" <<-'END'
		"$1/steady" 24 0 &
		timeout -k 5 60 gdb -nx -batch -ex 'print 6 * 7' -ex detach -p $! >"$2/gdb" 2>&1
		code=$?
		kill $! && wait $!
		[ $? -eq 143 ] && exit $code
	END
	under 16M sh "$TMP/attach" "$BIN" "$TMP" || { echo "status $?"; cat "$TMP/gdb"; return 1; }
	grep -q '= 42$' "$TMP/gdb" || { cat "$TMP/gdb"; return 1; }
}

# It says what it thinks of system calls that it does not know on the program's standard error.
in_valgrind() {
	under 1G valgrind -q "$BIN/fill" 2 >"$TMP/out" 2>"$TMP/err" || { cat "$TMP/err"; return 1; }
	expect "" "$(cat "$TMP/err")" "standard error"
}

# traced SWAP: its debugger's process cannot be stopped by us. Two hundred MiB in a second are 4 MiB in 20 ms.
traced_once() {
	rm -f "$report"
	bounded "$UMEMCG" run -m 24M --swap-max "$1" --report json --report-file "$report" -- \
		strace -f -o "$TMP/trace" "$BIN/staticprog" 160 500 5000 >"$TMP/out" 2>&1
	expect 137 $? "status" || { cat "$TMP/out"; return 1; }
	peak=$("$BIN/reportget" "$report" memory.peak)
	echo "memory.peak $peak"
	[ "$peak" -le $((44 << 20)) ]
}

# Nobody stops it, so its peak says how soon somebody got a processor: one try of three has to be near.
traced() {
	traced_once "$1" || traced_once "$1" || traced_once "$1"
}

check "memory at the lowest addresses keeps what is stored there" lowest
"$BIN/xdpframes" 1 >"$TMP/out"
if [ $? -eq 77 ]; then
	skip "a socket for XDP gets frames that were swapped out" "$(cat "$TMP/out")"
else
	check "a socket for XDP gets frames that were swapped out" xdp_frames
fi
if [ ! -x "$BIN/registered" ]; then
	skip "what is registered with io_uring stays what the kernel has" "liburing is not there"
elif "$BIN/registered" 1 >"$TMP/out"; [ $? -eq 77 ]; then
	skip "what is registered with io_uring stays what the kernel has" "$(cat "$TMP/out")"
else
	check "what is registered with io_uring stays what the kernel has" registered
fi
check "memory calls with odd arguments end as they do without umemcg" odd_calls
check "with few descriptors forks do as without us" few_descriptors
if [ -e "$(dirname "$UMEMCG")/libumemcg-agent.so" ] && ! sanitized; then
	check "one umemcg runs in another, of another place" inside_another
else
	skip "one umemcg runs in another, of another place" "the library is not beside the program, or is another one"
fi
if [ -x "$(command -v gdb)" ]; then
	check "a debugger inside attaches to a program that runs, and goes" attached
else
	skip "a debugger inside attaches to a program that runs, and goes" "gdb is not installed"
fi
if [ -x "$(command -v valgrind)" ]; then
	check "a program in valgrind hears nothing of us" in_valgrind
else
	skip "a program in valgrind hears nothing of us" "valgrind is not installed"
fi
if [ -x "$(command -v strace)" ]; then
	check "a static program that is traced does not go on above the limit" traced 0
	check "nor does it where there is swap" traced 1G
else
	skip "a static program that is traced does not go on above the limit" "strace is not installed"
	skip "nor does it where there is swap" "strace is not installed"
fi
