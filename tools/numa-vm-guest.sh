#!/bin/sh
# The first and only program of the virtual machine that tools/numa-vm.sh starts: two memory nodes, programs under umemcg
# that go on changing and checking their memory, and `umemcg migrate` at the same time. Speaks TAP. Where pages are the
# kernel is asked: /proc/PID/numa_maps.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
# The kernel's own balancing would move pages back to who uses them.
echo 0 >/proc/sys/kernel/numa_balancing
PATH=/bin
TMPDIR=/tmp
export PATH TMPDIR
n=0

# check SENTENCE COMMAND...
check() {
	n=$((n + 1))
	name=$1
	began=$(cut -d . -f 1 /proc/uptime)
	shift
	if "$@" >/tmp/out 2>&1; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
	fi
	echo "# $(($(cut -d . -f 1 /proc/uptime) - began)) s"
	sed 's/^/# /' /tmp/out
}

# children: of the run; its keeper is one.
children() {
	cat "/proc/$run/task/$run/children" 2>/dev/null
}

# start ARGUMENTS of umemcg run: $run, and $member once it has come up.
start() {
	rm -f /tmp/report
	umemcg run --name job --report json --report-file /tmp/report "$@" >/tmp/result 2>&1 &
	run=$!
	member=
	for _ in $(seq 100); do
		sleep 0.2
		for pid in $(children); do
			grep -q umemcg "/proc/$pid/comm" || member=$pid
		done
		[ -n "$member" ] && grep -q heap "/proc/$member/maps" && break
	done
	sleep "${settle:-3}"
}

# The programs go on until they are told to end, or find something wrong.
finish() {
	kill -0 $run || echo "it has ended by itself"
	kill -TERM $run
	wait $run
	code=$?
	cat /tmp/result
	[ $code = 143 ] && ! grep -q FAILED /tmp/result && return
	echo "exit status $code"
	return 1
}

# on NODE: anonymous pages that the members have there, as the kernel sees them.
on() {
	for pid in $(children); do
		grep -q umemcg "/proc/$pid/comm" || grep -v -e file= -e stack "/proc/$pid/numa_maps"
	done | grep anon= | sed -n "s/.* N$1=\([0-9]*\).*/\1/p" | awk '{ sum += $1 } END { print sum + 0 }'
}

# there NODE OTHER: at least 20 pages for one are on NODE. What was brought since, and what is not managed, may be
# elsewhere.
there() {
	here=$(on "$1")
	other=$(on "$2")
	echo "node $1: $here pages, node $2: $other"
	[ "$here" -gt $((other * 20)) ]
}

there_and_back() {
	start -m 64M -- steady 6 0
	echo "before: node 0: $(on 0), node 1: $(on 1)"
	umemcg migrate job --from 0 --to 1 -v && there 1 0 || return 1
	umemcg migrate $run --from 1 --to 0 -v && there 0 1 || return 1
	umemcg migrate $member --from 0 --to 1 -v && there 1 0 || return 1
}

counted() {
	finish || return 1
	moved=$(reportget /tmp/report memory.stat/pgmigrate_success)
	echo "pgmigrate_success $moved, pgmigrate_fail $(reportget /tmp/report memory.stat/pgmigrate_fail)"
	[ "$moved" -ge $((2 * 1536)) ] && [ "$(reportget /tmp/report memory.max)" = $((64 << 20)) ] &&
		[ "$(reportget /tmp/report memory.peak)" -lt $((48 << 20)) ]
}

# back_and_forth TIMES: some may be in use each time, none may be lost. How many went, in all.
back_and_forth() {
	from=0
	to=1
	all=0
	for _ in $(seq "$1"); do
		umemcg migrate job --from $from --to $to >/tmp/one 2>&1
		code=$?
		[ $code -le 1 ] || { cat /tmp/one /tmp/result; return 1; }
		one=$(sed -n 's/^moved \([0-9]*\) .*/\1/p' /tmp/one)
		all=$((all + ${one:-0}))
		from=$to
		to=$((1 - from))
	done
	tail -n 1 /tmp/one
	echo "moved $all pages in all"
	[ $all -gt 1000 ]
}

under_pressure() {
	start -m 16M --swap-max 64M -- steady 24 0
	back_and_forth 12 && finish
}

with_forks() {
	start -m 48M --swap-max 64M -- steady -f -c 2 8 0
	back_and_forth 12 && finish
}

shared_memory() {
	start -m 32M --swap-max 64M -- shared 16 3 1000000
	back_and_forth 6 && finish
}

shared_in_swap() {
	start -m 8M --swap-max 64M -- shared 16 3 1000000
	back_and_forth 6 && finish
}

# They come and go while their pages are looked for.
short_lives() {
	settle=0 start -m 64M -- sh -c 'for i in 1 2 3 4 5 6 7 8; do fill 4 fs || exit 1; done'
	code=0
	while [ $code -le 1 ] && kill -0 $run 2>/dev/null; do
		umemcg migrate job --from 0 --to 1 >/tmp/one 2>&1
		code=$?
		[ $code -gt 1 ] || umemcg migrate job --from 1 --to 0 >/dev/null 2>&1
	done
	wait $run
	code=$?
	cat /tmp/result
	return $code
}

refused() {
	start -m 16M -- steady 2 0
	umemcg migrate job --from 0 --to 5
	[ $? = 125 ] || return 1
	umemcg migrate job --from 0 --to 5 2>&1 | grep -q 'no memory node 5; there are 0, 1' && finish
}

echo "# $(cut -d ' ' -f 1-3 /proc/version), nodes $(cat /sys/devices/system/node/online)"
check "a group's pages go to another node and back, a process's too" there_and_back
check "they were counted, and no limit or charge changed" counted
check "pages that go to swap and come back meanwhile keep their content" under_pressure
check "forks meanwhile do, too" with_forks
check "shared memory moves, and loses no store" shared_memory
check "shared memory that is swapped meanwhile does, too" shared_in_swap
check "processes may come and go" short_lives
check "a node that is not there is refused, with those that are" refused
echo "1..$n"
poweroff -f
