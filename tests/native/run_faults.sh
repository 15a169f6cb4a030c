#!/bin/sh
# tests/native/run_faults.sh - what happens when something breaks: no wrong byte, no hang, and a
# word about it.
#
# The programs check their memory all the time (steady). Whatever is killed, stopped, full or
# spoiled around them, they print no "FAILED", and nothing of a program tree outlives its
# supervisor.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog steady freeze spoil identity fill oomhog reportget knock knock-static refuse proto_fuzz
plan 28

log=$TMP/log
out=$TMP/out
err=$TMP/err
direct=
prefix=

# start LIMIT SWAP COMMAND...: umemcg in the background; $up is its pid.
start() {
	limit=$1 swap=$2
	shift 2
	[ -z "$test_pid" ] || kill -KILL "$test_pid"  # of a test that gave up
	rm -f "$out" "$err" "$report"
	: >"$log"
	$prefix "$UMEMCG" run -m "$limit" --swap-max "$swap" --swap "${swap_dir:-$TMP}" $direct --report json \
		--report-file "$report" -- "$@" >"$out" 2>"$err" &
	up=$!
	test_pid=$up
}

# The exit code of what was started; 124 when it hangs, and then it is killed.
finish() {
	until_true over "$up"
	hangs=$?
	test_pid=
	if [ $hangs -ne 0 ]; then
		echo "umemcg hangs:"
		ps -o pid,stat,wchan:20,comm -g "$up"
		kill -KILL "$up"
		return 124
	fi
	wait "$up"
}

has_begun() { [ "$(grep -c '^start' "$log" 2>/dev/null)" -ge "$1" ]; }

# wait_for N: N processes have begun.
wait_for() {
	until_true has_begun "$1" && return
	echo "only $(cat "$log") has begun"
	return 1
}

right() {
	! grep -a FAILED "$out" "$log"
}

# The processes in $log that live, zombies left out.
living() {
	for pid in $(sed -n 's/^start //p' "$log"); do
		case $(ps -o stat= -p "$pid" 2>/dev/null) in '' | Z*) ;; *) echo "$pid" ;; esac
	done
}

nobody_lives() { [ -z "$(living)" ]; }

all_die() {
	until_true nobody_lives || { echo "still there: $(living)"; kill -KILL $(living); return 1; }
	right
}

# kill_supervisor KEEPER PROCESSES ARGUMENT...: KEEPER is what happens to the keeper before.
kill_supervisor() {
	what=$1 begun=$2
	shift 2
	start 24M 512M "$BIN/steady" -l "$log" "$@"
	wait_for "$begun" || return
	sleep 0.3
	keeper=$(ps -o pid=,comm= --ppid "$up" | sed -n 's/^ *\([0-9]*\) *umemcg-keeper$/\1/p')
	[ "$what" = none ] || kill "-$what" "$keeper"
	kill -KILL "$up"
	test_pid=
	wait "$up" 2>/dev/null
	all_die
	code=$?
	[ "$what" != STOP ] || kill -KILL "$keeper"
	return $code
}

three='for i in 1 2 3; do "$0" -l "$1" 24 5 & done; wait'

# gap PID: the longest wait of process PID, in ms.
gap() { sed -n "s/.*pid $1: .*max gap \([0-9]*\) ms.*/\1/p" "$out"; }

have_ended() { [ "$(grep -c '^end' "$log")" -ge "$1" ]; }

# others_go_on STOP CONTINUE: of three, one cannot answer; meanwhile the others do all that they have to. 2: they did, but waited
# 1.5 s for something.
others_go_on() {
	start 32M 512M sh -c "$three" "$BIN/steady" "$log"
	wait_for 3 || return 1
	victim=$(sed -n 's/^start //p' "$log" | head -n 1)
	"$1" "$victim" || return 1
	until_true have_ended 2 || { "$2" "$victim"; return 1; }
	"$2" "$victim"
	finish || { echo "exit code $?"; cat "$err" "$out"; return 1; }
	right || return 1
	for pid in $(sed -n 's/^start //p' "$log"); do
		[ -n "$(gap "$pid")" ] || { echo "$pid has no result"; return 1; }
		[ "$pid" = "$victim" ] || [ "$(gap "$pid")" -lt 1500 ] || { cat "$out"; return 2; }
	done
}

# On a busy machine who waits for nobody may still wait for a processor. Whoever waited for the one that is stopped would do so each
# time: one run of five has to be in time.
one_does_not_answer() {
	for try in 1 2 3 4 5; do
		others_go_on "$@" && return
		[ $? = 2 ] || return 1
	done
	return 1
}

stop_it() { kill -STOP "$1"; }
continue_it() { kill -CONT "$1"; }

is_frozen() { grep -q '^State:.*tracing stop' /proc/"$1"/task/*/status; }

freeze_helper() {
	"$BIN/freeze" "$1" umemcg-helper 600000 &
	freezer=$!
	until_true is_frozen "$1"
}

# Where umemcg may not follow helpers itself, others can stop them.
helper_does_not_answer() {
	prefix="$BIN/refuse ptrace-seize"
	one_does_not_answer freeze_helper let_helper_go
	code=$?
	prefix=
	return $code
}

# Whom a tracer held goes on when that ends.
let_helper_go() {
	kill -KILL "$freezer"
	wait "$freezer"
	return 0
}

one_is_killed() {
	start 32M 512M sh -c "$three" "$BIN/steady" "$log"
	wait_for 3 || return
	kill -KILL "$(sed -n 's/^start //p' "$log" | head -n 1)"
	finish
	expect 0 $? "exit code" && right && expect 2 "$(grep -c ': ok' "$out")" survivors
}

swap_file() {
	for fd in /proc/"$up"/fd/*; do
		[ -f "$fd" ] || continue  # nor the socket that is there, too
		case $(readlink "$fd") in "${swap_dir:-$TMP}"/*deleted*) echo "$fd" && return ;; esac
	done
	return 1
}

filled() { file=$(swap_file) && [ "$(stat -Lc %b "$file")" -gt 8192 ]; }

# Until there is something in it.
swap_file_in_use() {
	until_true filled || { echo "the swap file stays empty"; return 1; }
}

flipped_byte() {
	start 16M 128M "$BIN/steady" -l "$log" 40 0
	swap_file_in_use && "$BIN/spoil" "$file" || return
	finish
	code=$?
	right || return
	[ $code -eq 135 ] || [ $code -eq 139 ] || { echo "exit code $code"; return 1; }
	[ "$(value memory.swap.events/corrupt)" -gt 0 ] && grep checksum "$err"
}

cut_file() {
	start 16M 128M "$BIN/steady" -l "$log" 40 0
	swap_file_in_use && truncate -s 0 "$file" || return
	finish
	code=$?
	right || return
	[ $code -eq 135 ] || [ $code -eq 139 ] || { echo "exit code $code"; return 1; }
	[ $(($(value memory.swap.events/corrupt) + $(value memory.swap.events/read_error))) -gt 0 ]
}

# A file system of SIZE in memory, mounted on $swap_dir.
small_disk() {
	mkdir -p "$TMP/small" && mount -t tmpfs -o size="$1" none "$TMP/small" && test_mount=$TMP/small swap_dir=$TMP/small
}

# The same on a block device; false where there are no loop devices.
small_device() {
	mkdir -p "$TMP/small" && truncate -s "$1" "$TMP/disk" && mkfs.ext4 -qF -m 0 "$TMP/disk" &&
		mount -o loop "$TMP/disk" "$TMP/small" && test_mount=$TMP/small swap_dir=$TMP/small
}

no_disk() {
	[ -z "$test_mount" ] || umount "$test_mount"
	test_mount=
	swap_dir=
	rm -f "$TMP/disk"
}

# As much as fits stays; then there is no more swap than the disk has. That is known after one try a page: 16 MiB are 4096.
full_disk() {
	small_disk 8M || return
	start 16M 128M "$BIN/steady" -l "$log" 40 0
	finish
	code=$?
	no_disk
	expect 137 $code "exit code" && right && grep "disk under the swap file is full" "$err" || return
	tries=$(value memory.swap.events/write_error)
	[ "$tries" -gt 0 ] && [ "$tries" -lt 4096 ] || { echo "$tries writes were refused"; return 1; }
}

is_full() { grep -q "disk under the swap file is full" "$err" || over "$up"; }

# Of the first that has begun. Field 10 and 12: minor, and major; the name before them has no blanks.
faults() { awk '{ print $10 + $12 }' "/proc/$(sed -n 's/^start //p' "$log" | head -n 1)/stat"; }

goes_on() { over "$up" || [ "$(faults)" -ge "$enough" ]; }

# What is on the disk and in memory together is enough; slots there are many more. Once that is known the program goes on, with those
# slots that have blocks.
lives_on_a_full_disk() {
	small_device 16M || return
	direct=$1
	start 16M 128M "$BIN/steady" -l "$log" 24 0
	until_true is_full
	enough=$(($(faults) + 30000))
	until_true goes_on
	kill "$up"
	finish
	code=$?
	direct=
	no_disk
	expect 143 $code "exit code" && right && [ "$(value memory.swap.events/write_error)" -gt 0 ]
}

# One more program, for which there was no room before.
has_room_again() {
	rm -f "$TMP/more"
	small_disk 80M && head -c 66M /dev/zero >"$swap_dir/other" || return
	start 16M 128M sh -c '"$0" -l "$1" 24 0 & until [ -e "$2" ]; do sleep 0.1; done; "$0" -l "$1" 60 3; code=$?; kill $!; exit $code' \
		"$BIN/steady" "$log" "$TMP/more"
	until_true is_full
	rm "$swap_dir/other"
	touch "$TMP/more"
	finish
	code=$?
	no_disk
	expect 0 $code "exit code" && right && expect 0 "$(value memory.events/oom_kill)" oom_kill &&
		[ "$(value memory.swap.events/write_error)" -gt 0 ]
}

# A block device that fails: behind its end there is nothing any more. Nothing that was read comes from the page cache.
device_fails() {
	small_device 200M || return
	direct=--swap-direct
	start 16M 128M "$BIN/steady" -l "$log" 40 0
	swap_file_in_use && sync -f "$swap_dir" && truncate -s 1M "$TMP/disk"
	code=$?
	finish
	set -- $code $?
	direct=
	no_disk
	expect 0 "$1" "exit code of the preparation" && right || return
	[ "$2" -eq 135 ] || [ "$2" -eq 139 ] || { echo "exit code $2"; return 1; }
	# Most reads fail; one that the cut leaves in a block of the file system's may bring something else.
	grep -E 'reading the swap file failed|does not match its checksum' "$err" &&
		[ $(($(value memory.swap.events/read_error) + $(value memory.swap.events/corrupt))) -gt 0 ]
}

two_groups() {
	"$UMEMCG" run -m 24M --swap-max 256M -- "$BIN/steady" -f -c 1 24 4 >"$TMP/other" &
	other=$!
	start 24M 256M "$BIN/steady" -f -c 1 -l "$log" 24 4
	finish
	code=$?
	wait $other
	expect 0 $? "exit code of the other" && expect 0 $code "exit code" && right &&
		expect 4 "$(cat "$TMP/other" "$out" | grep -c ': ok')" "processes that ended well"
}

out_of_memory() {
	start 16M "$1" "$BIN/oomhog" 100
	finish
	expect 137 $? "exit code" || return
	expect 1 "$(value memory.events/oom_kill)" oom_kill || return
	grep 'ran out of memory (.*) and swap (.*); ' "$err"
}

only_the_hog() {
	start 48M 16M sh -c '"$0" -l "$1" 8 3 & sleep 0.5; "$2" 300; echo hog $?; wait' \
		"$BIN/steady" "$log" "$BIN/oomhog"
	finish
	expect 0 $? "exit code" && right && grep "hog 137" "$out" && grep ": ok" "$out" &&
		expect 1 "$(value memory.events/oom_kill)" oom_kill
}

# Whoever a process becomes has to be able to read the agent: the build may be where only its owner may enter.
for_everybody() {
	mkdir "$TMP/open" && chmod 711 "$TMP" && chmod 755 "$TMP/open" &&
		cp "$UMEMCG" "${UMEMCG%/*}/libumemcg-agent.so" "$TMP/open" && chmod 755 "$TMP/open"/* &&
		UMEMCG=$TMP/open/umemcg
}

identities() {
	for_everybody || return
	for steps in c C d u r t e ct ue te; do
		start 16M 256M "$BIN/identity" 20 $steps
		finish
		code=$?
		[ $code -eq 0 ] && right && expect 0 "$(value umemcg/unmanaged_total)" unmanaged && continue
		echo "steps $steps: exit code $code"
		cat "$out" "$err"
		return 1
	done
}

# Not SIGINT: a shell without job control has its background jobs ignore it.
signalled() {
	for sig in TERM HUP USR1; do
		start 16M 128M "$BIN/steady" -l "$log" 24 0
		wait_for 1 || return
		kill -$sig "$up"
		finish
		code=$?
		[ $code -gt 128 ] && [ -z "$(living)" ] && right && continue
		echo "SIG$sig: exit code $code, living: $(living)"
		return 1
	done
}

closed_stderr() {
	bounded "$UMEMCG" run -m 16M --swap-max 128M --report text -- "$BIN/fill" 24 2>&-
}

descriptors() { ls /proc/"$up"/fd | wc -l; }

few_descriptors() {
	after=$(descriptors)
	[ "$after" -le $((before + 10)) ]
}

# The shell stays until its supervisor's descriptors were looked at.
garbage() {
	rm -f "$TMP/told" "$TMP/seen"
	start 24M 256M sh -c '"$0" -f -l "$1" 32 6 & "$2" 5 || exit; : >"$3/told"
		while [ ! -e "$3/seen" ]; do sleep 0.1; done; wait $!' "$BIN/steady" "$log" "$BIN/proto_fuzz" "$TMP"
	wait_for 1 || return
	before=$(descriptors)
	until_true test -e "$TMP/told" -o ! -e /proc/"$up"/fd/0
	until_true few_descriptors
	few=$?
	: >"$TMP/seen"
	finish
	code=$?
	cat "$out" && expect 0 $code "exit code" && right && grep "steady: ok" "$out" || return
	[ "$few" -eq 0 ] && [ "$after" -gt 0 ] || { echo "descriptors: $before, then $after"; return 1; }
}

# The name is in /proc/net/unix for everybody. A member is answered, so that a refusal says something.
strangers() {
	start 16M 64M sh -c '"$0"; "$0" "${UMEMCG_DOOR#*:}"; echo "start $$" >"$1"; exec sleep 60' "$BIN/knock" "$log"
	wait_for 1 || return
	name=$(tr '\0' '\n' <"/proc/$(sed -n 's/^start //p' "$log")/environ" | sed -n 's/^UMEMCG_SOCKET=//p')
	told=$("$BIN/knock" "$name")
	path=$(tr '\0' '\n' <"/proc/$(sed -n 's/^start //p' "$log")/environ" | sed -n 's/^UMEMCG_DOOR=[^:]*://p')
	told=$told,$("$BIN/knock" "$path")
	if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
		cp "$BIN/knock" "$TMP/knock" && chmod 755 "$TMP" "$TMP/knock"
		told=$told,$(setpriv --reuid=nobody --regid=nogroup --clear-groups "$TMP/knock" "$path")
	else
		told=$told,refused
	fi
	kill "$up"
	finish
	expect "answered answered" "$(tr '\n' ' ' <"$out" | sed 's/ $//')" "a member, by name and by path" &&
		expect refused,refused,refused "$told" "a stranger, by name, by path, as another user"
}

# Below us, but no client: a static program has no agent. Its shell has one, and goes on.
no_client() {
	start 16M 64M sh -c '"$0-static" -c && "$0" -c && echo "start $$" >"$1"' "$BIN/knock" "$log"
	wait_for 1 || return
	finish
	expect 0 $? "exit code" && expect "Invalid argument Success" "$(tr '\n' ' ' <"$out" | sed 's/ $//')" "the replies"
}

# As in many containers.
no_io_uring() {
	: >"$log"
	bounded "$BIN/refuse" io_uring_setup "$UMEMCG" run -m 16M --swap-max 128M --swap "$TMP" --report json \
		--report-file "$report" -- "$BIN/steady" -c 2 -l "$log" 12 3 >"$out"
	expect 0 $? "exit code" && right && expect thread-pool "$(value umemcg/store)" store &&
		[ "$(value memory.stat/pswpin)" -gt 0 ]
}

# One more than the first number that is free: a connection is accepted, and there is none left for its request. Others come
# and go, so of several looks the least.
last_descriptor() {
	for look in 1 2 3 4 5 6 7 8 9 10; do
		ls "/proc/$up/fd" | sort -n | awk '$1 != n { exit } { n++ } END { print n + 1 }'
	done | sort -n | head -n 1
}

# The program would wait for its answer half a minute, with signals blocked.
no_descriptor() {
	rm -f "$TMP/go"
	UMEMCG_AGENT_DEBUG=1 start 16M 64M sh -c 'echo "start $$" >"$0"; until [ -e "$1" ]; do :; done; (:); echo $?' \
		"$log" "$TMP/go"
	wait_for 1 || return
	prlimit --pid "$up" --nofile="$(last_descriptor)":
	touch "$TMP/go"
	finish
	expect "0 0" "$? $(cat "$out")" "exit statuses" && grep "the child of a fork is not managed: -12" "$err" ||
		{ cat "$err"; return 1; }
}

doors() { ls -d /run/umemcg-* /tmp/umemcg-* /var/tmp/umemcg-* 2>/dev/null | grep -E '/umemcg-[0-9a-f]{32}$'; }

# Nobody was left to remove the socket's directory: a later run does, but for one that may just be made.
old_doors_go() {
	before=$(doors)
	kill_supervisor KILL 6 -d 20 4 0 || return
	left=$(doors | grep -vxF "$before")
	[ -d "$left" ] || { echo "left behind: '$left', beside '$before'"; return 1; }
	"$UMEMCG" run -m 16M --swap "$TMP" -- true && [ -d "$left" ] || { echo "a new one was removed"; return 1; }
	touch -d '2 minutes ago' "$left"
	"$UMEMCG" run -m 16M --swap "$TMP" -- true && [ ! -d "$left" ] || { echo "an old one stays"; return 1; }
}

check "a killed supervisor takes a forking program along" kill_supervisor none 1 -f 32 0
check "the same with many children" kill_supervisor none 4 -c 8 8 0
check "the same with a deep tree" kill_supervisor none 8 -d 30 4 0
check "the same with the keeper killed first" kill_supervisor KILL 6 -d 20 4 0
check "what both leave behind is removed by a later run" old_doors_go
check "the same with the keeper stopped" kill_supervisor STOP 6 -d 20 4 0
check "one member is killed, the others go on" one_is_killed
check "one member is stopped, the others go on" one_does_not_answer stop_it continue_it
check "one member's helper is stopped, the others go on" helper_does_not_answer
check "a flipped byte in the swap file reaches nobody" flipped_byte
check "a cut swap file gives nobody wrong bytes" cut_file
if [ "$(id -u)" -eq 0 ]; then
	check "a full disk under the swap file loses nothing" full_disk
	check "when it has room again, it is used" has_room_again
else
	skip "a full disk under the swap file loses nothing" "it takes root to make one"
	skip "when it has room again, it is used" "it takes root to make one"
fi
if small_device 16M 2>/dev/null; then
	no_disk
	check "a full disk is used to its last block" lives_on_a_full_disk
	check "the same with --swap-direct" lives_on_a_full_disk --swap-direct
	check "a device that fails feeds nobody wrong bytes" device_fails
else
	no_disk
	skip "a full disk is used to its last block" "it takes root, a loop device and mkfs.ext4"
	skip "the same with --swap-direct" "it takes root, a loop device and mkfs.ext4"
	skip "a device that fails feeds nobody wrong bytes" "it takes root, a loop device and mkfs.ext4"
fi
check "two groups under pressure do not disturb each other" two_groups
check "without swap, too much memory is 137 and a sentence" out_of_memory 0
check "with too little swap as well" out_of_memory 8M
check "only the hog is killed, the rest lives" only_the_hog
if [ "$(id -u)" -eq 0 ]; then
	check "a process stays managed whatever it becomes" identities
else
	skip "a process stays managed whatever it becomes" "it takes root to become anything"
fi
check "signals end the tree" signalled
check "a closed standard error does not matter" closed_stderr
check "a process outside the tree is not spoken to" strangers
check "a request of a process that is no client is refused" no_client
"$BIN/refuse" io_uring_setup true >/dev/null
if [ $? -ne 77 ]; then
	check "where io_uring is refused, threads do its work" no_io_uring
else
	skip "where io_uring is refused, threads do its work" "there is no seccomp here"
fi
if command -v prlimit >/dev/null; then
	check "a request that cannot be taken is answered" no_descriptor
else
	skip "a request that cannot be taken is answered" "prlimit is not installed"
fi
check "garbage on the socket harms nobody else" garbage
