#!/bin/sh
# tests/native/run_user.sh - mode user: an ordinary user without capabilities, who may not open /dev/userfaultfd.
#
# The kernel does not wait for pages that it touches itself. So every system call is made with its memory in each state
# and compared with a run without umemcg; and programs that make many under a limit far below their need.

UMEMCG_MODE=user
export UMEMCG_MODE
. "$(dirname "$0")/lib.sh"
require_uffd
require_prog usercalls
[ "$(uname -m)" = x86_64 ] || skip_all "mode user is built for x86-64 only"

. "$(dirname "$0")/same.sh"

cd "$TMP" || exit 1

# calls: each call of the list in each state of its memory.
calls() {
	"$BIN/usercalls" >want && under 64M "$BIN/usercalls" || shown || return
	expect 558 "$(wc -l <want)" lines && cmp want "$out" && return
	diff want "$out" | head -40
	return 1
}

mode_is_told() {
	under 64M true && expect user "$(value umemcg/mode)" mode
}

# swapped LIMIT COMMAND...: the same output, of a program that was swapped.
swapped() {
	enough=$1
	shift
	same "$@" && at_least 1000 "$(value memory.stat/pswpout)" "pages swapped out"
}

sorted() {
	awk 'BEGIN { srand(7); for (i = 0; i < 400000; i++) print int(rand() * 1e9), i }' >numbers
	swapped 10M sort --parallel=2 -S 40M numbers
}

objects() {
	swapped 12M python3 -c '
import hashlib, json, threading
def work(n, out):
    d = json.dumps([{"a": i * n, "b": str(i) * 3} for i in range(20000)])
    out.append(hashlib.md5(d.encode()).hexdigest() + str(len(json.loads(d))))
lists = [[], [], []]
threads = [threading.Thread(target=work, args=(i + 1, lists[i])) for i in range(3)]
for t in threads: t.start()
for t in threads: t.join()
print(lists)'
}

shell() {
	swapped 6M bash -c '
for i in $(seq 60000); do a[$i]=$i$i$i; done
for i in $(seq 50); do x=$(echo $i | sed s/1/one/); printf "%s " "$x"; done
echo "${a[59999]}"; echo "${a[@]}" | md5sum; (exit 3) || echo $?'
}

# Without what mode user does, its own system calls on swapped memory would fail.
held_to_limit() {
	sorted && at_most $((14 << 20)) "$(value memory.peak)" memory.peak
}

check "the mode is user, and the report says so" mode_is_told
check "every call returns and leaves the same, whatever state its memory is in" calls
check_tool sort "sort is right under a third of its memory" sorted
check_tool sort "... and held to the limit" held_to_limit
check_tool python3 "python with threads is right" objects
check_tool bash "a shell that forks is right" shell
