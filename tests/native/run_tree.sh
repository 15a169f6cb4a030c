#!/bin/sh
# tests/native/run_tree.sh - there is no way around the limit by way of the process tree.
#
# Random trees of processes, made by every way there is (prog/tree.c), are compared with what umemcg has found (--processes).
# UMEMCG_LONG=1 makes 20,000 of them; UMEMCG_SEED chooses which. Then single ways, each with a process at its end that takes
# three times the limit: it is killed for it, and named.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog tree tree-static escape escape-static late orphan fill reportget

plan 18
: "${UMEMCG_SEED:=1}"

short_or_long() { # SHORT LONG
	if [ "${UMEMCG_LONG:-0}" = 1 ]; then echo "$2"; else echo "$1"; fi
}

# Which of the processes that lived for LEAST ms are not in the list; and how many there were, as comments. When the machine
# gave nobody a CPU (prog/late.c) does not count as life.
cat >"$TMP/compare.awk" <<'AWK'
FNR == 1 { file++ }
file == 1 && /^#/ { sub(/.*start: /, ""); start = $0 + 0; next }
file == 1 { at[$1, ++n[$1]] = start + $3; next }
# RT throttling lets go after 950 ms: such a time is one of our own.
/^# late/ && $4 - $3 > 500 { next }
/^# late/ { from[++lates] = $3; to[lates] = $4; late += $4 - $3; next }
{
	found = 0
	for (i = 1; i <= n[$1]; i++)
		found += at[$1, i] >= $3 - 5 && at[$1, i] <= $5 + 5
	made++
	all += found > 0
	if ($2 < least)
		next
	life = $2
	for (i = 1; i <= lates; i++)
		if (from[i] < $5 && to[i] > $4)
			life -= (to[i] < $5 ? to[i] : $5) - (from[i] > $4 ? from[i] : $4)
	if (life < least) {
		short++
		next
	}
	long++
	if (!found && life <= said)
		unvouched++
	else if (!found) {
		missed++
		print "missed: process " $1 ", made by " $6 ", which lived " life " ms"
	}
}
END {
	print "# " made " processes, " all " found; " long " lived for " least " ms, " missed + 0 " of them missed, " \
		unvouched + 0 " more that the run says it was too late for; " \
		short + 0 " did not, as the machine stood still for " late + 0 " ms in all"
	exit !long || missed
}
AWK

# all_found TREES AT_ONCE
all_found() {
	"$BIN/late" "$TMP/late" &
	late=$!
	timeout -k 5 $((BOUND_S * $(short_or_long 1 20))) "$UMEMCG" run -m 256M --processes "$TMP/found" \
		--report json --report-file "$report" -- \
		"$BIN/tree" "$UMEMCG_SEED" "$1" "$2" "$TMP/made" 2>"$TMP/said"
	code=$?
	kill "$late"
	[ $code -eq 0 ] || return $code
	# Where there is far more to run than CPUs; then the run has to say so.
	said=$(value umemcg/found_late_ms)
	[ "$said" -le 500 ] || said=0  # no machine is so busy: somebody of our own keeps the CPU
	awk -v least=100 -v said="$said" -f "$TMP/compare.awk" "$TMP/found" "$TMP/late" "$TMP/made" >"$TMP/compared"
	code=$?
	grep '^#' "$TMP/compared"
	grep -v '^#' "$TMP/compared" | head -n 20
	! grep 'cannot read how much' "$TMP/said" && return $code
}

all_found_alone() { UMEMCG_NO_EVENTS=1 all_found "$@"; }

# limited NAME COMMAND...: a process that is not managed, and is called so, is killed at the limit.
limited() {
	name=$1
	shift
	bounded "$UMEMCG" run -m 32M --swap-max 256M --report json --report-file "$report" -- "$@"
	status=$?
	case $status in 77) return 0 ;; esac
	expect 1 "$(value memory.events/oom_kill)" "OOM kills" || return
	expect 137 "$status" "exit status" || return
	[ -z "$name" ] && return
	grep -q "\"$name ([0-9]*)\"" "$report" || { cat "$report"; return 1; }
}

killed_orphan() {
	bounded "$UMEMCG" run -m 32M --swap-max 256M --report json --report-file "$report" -- \
		"$BIN/escape-static" orphan 96 || return
	expect 1 "$(value memory.events/oom_kill)" "OOM kills"
}

swaps_inside() {
	bounded "$UMEMCG" run -m 32M --swap-max 256M --report json --report-file "$report" -- "$BIN/escape" inner 96
	status=$?
	case $status in 77) return 0 ;; esac
	expect 0 "$status" "exit status" && expect 0 "$(value umemcg/unmanaged_total)" "not managed"
}

child_swaps() {
	under 32M "$BIN/escape" clone 96 && swapped_at_least 32
}

in_sandbox() {
	limited escape-static bwrap --bind / / --dev /dev --proc /proc "$@" "$BIN/escape-static" clone 96
}

same_parent() {
	without=$("$BIN/orphan") || return
	expect "$without" "$(bounded "$UMEMCG" run -m 32M "$BIN/orphan")" "of a fork" &&
		expect "$without" "$(bounded "$UMEMCG" run -m 32M "$BIN/orphan" raw)" "of a clone"
}

# What was listed is what ran: a managed program, and a static one with its child.
listed() {
	bounded "$UMEMCG" run -m 64M --processes "$TMP/list" -- sh -c "'$BIN/fill' 4; '$BIN/escape-static' clone 1; :" &&
		awk -F '\t' '/^#/ { next } { n[$5 " " $2]++; kib[$5 " " $2] = $4 }
			END { exit !(n["fill managed"] == 1 && kib["fill managed"] >= 4096 && n["escape-static measured"] == 2) }' \
			"$TMP/list" && return
	cat "$TMP/list"
	return 1
}

managed_late() {
	bounded "$UMEMCG" run -m 64M --processes "$TMP/list" -- "$BIN/escape" late 1 "$BIN/fill" 2 || return
	expect 10 "$(grep -c 'managed.*fill$' "$TMP/list")" "programs"
}

managed_late_alone() { UMEMCG_NO_EVENTS=1 managed_late; }

# A stopped umemcg sees nothing, and a static program goes on meanwhile.
lateness_said() {
	rm -f "$TMP/made"
	"$UMEMCG" run -m 64M --report json --report-file "$report" -- "$BIN/tree-static" 1 60 2 "$TMP/made" &
	test_pid=$!
	until_true test -e "$TMP/made" || return
	kill -STOP "$test_pid" && sleep 0.5 && kill -CONT "$test_pid"
	wait "$test_pid"
	status=$?
	test_pid=
	expect 0 "$status" "exit status" || return
	late=$(value umemcg/found_late_total) ms=$(value umemcg/found_late_ms)
	[ "$late" -gt 0 ] && [ "$ms" -ge 100 ] && return
	echo "late: $late, $ms ms"
	return 1
}

# Of a process that asks nobody, and is not the root: there is only what it takes in the moment until it is stopped.
bounded_peak() {
	bounded "$UMEMCG" run -m 32M --swap-max 256M --report json --report-file "$report" -- \
		sh -c "'$BIN/escape-static' clone 96; :" >/dev/null 2>&1
	peak=$(value memory.peak)
	echo "# peak $peak bytes of 33554432" >"$TMP/peak"
	[ "$peak" -le $((33554432 * 5 / 4)) ] && return
	cat "$TMP/peak"
	return 1
}

# A directory in the place of /dev, without userfaultfd.
bare_dev() {
	cat >"$TMP/bare_dev" <<-'SCRIPT'
		mkdir "$1" && mount -t tmpfs none "$1" || exit 77
		mknod -m 666 "$1/null" c 1 3 && mknod -m 666 "$1/zero" c 1 5 && mknod -m 666 "$1/urandom" c 1 9 || exit 77
		mount --bind "$1" /dev || exit 77
		shift
		exec "$@"
	SCRIPT
	dev=$TMP/dev.$1
	shift
	cp "$BIN/fill" "$TMP/fill" && chmod 755 "$TMP" "$TMP/fill"
	unshare -m sh "$TMP/bare_dev" "$dev" "$@"
}

own_device() {
	bare_dev 1 "$UMEMCG" run -m 32M --swap-max 256M --report json --report-file "$report" -- \
		setpriv --reuid=65534 --clear-groups "$TMP/fill" 64 2>"$TMP/err" || return
	expect "" "$(cat "$TMP/err")" "said" && expect 0 "$(value umemcg/unmanaged_total)" "not managed"
}

no_device() {
	bare_dev 2 setpriv --bounding-set=-mknod --inh-caps=-mknod "$UMEMCG" run -m 64M --swap-max 256M \
		--report json --report-file "$report" -- setpriv --reuid=65534 --clear-groups "$TMP/fill" 16 fsh 2>"$TMP/err" || return
	grep -c '^umemcg: programs that change their user .*/dev/userfaultfd' "$TMP/err" >"$TMP/count"
	expect 1 "$(cat "$TMP/count")" "said at the start" && grep -q '"fill ([0-9]*)"' "$report"
}

check "every process of random trees that lives for 100 ms is found" all_found "$(short_or_long 60 20000)" 6
[ -f "$TMP/compared" ] && grep '^#' "$TMP/compared"
check "and where the kernel does not tell of forks" all_found_alone "$(short_or_long 60 3000)" 6
[ -f "$TMP/compared" ] && grep '^#' "$TMP/compared"
check "a child of raw clone that executes a program late is managed" managed_late
check "and where the kernel does not tell of its exec" managed_late_alone
check "what was found late is said" lateness_said
if ordinary; then
	# syscall(2) comes to the agent, which makes the child itself.
	check "a child of raw clone is held to the limit" child_swaps
else
	check "a child of raw clone is held to the limit" limited "" "$BIN/escape" clone 96
fi
check "one in a PID namespace, too" limited "" "$BIN/escape" namespace 96
check "a static program that it executes, too, and is named" \
	limited escape-static "$BIN/escape" namespace 0 "$BIN/escape-static" clone 96
check "a thread of a static program whose first thread is over, too" limited escape-static "$BIN/escape-static" headless 96
check "what asks nobody takes little above the limit" bounded_peak
check "one of a managed program, in a PID namespace, swaps" swaps_inside
check "an orphan of a static program, too" killed_orphan
if command -v bwrap >/dev/null; then
	as_root "in a sandbox, too" in_sandbox --unshare-pid
	as_root "in one with all namespaces, too" in_sandbox --unshare-all
else
	skip "in a sandbox, too" "bwrap (bubblewrap) is not installed"
	skip "in one with all namespaces, too" "bwrap (bubblewrap) is not installed"
fi
check "an orphan sees the parent that it has without umemcg" same_parent
check "--processes lists what ran" listed
if sanitized; then
	skip "a program that has changed its user is managed without /dev/userfaultfd" "libasan wants /proc/self of the user"
	skip "where that cannot be, it is said, and named" "libasan wants /proc/self of the user"
elif [ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] && grep -q ' userfaultfd$' /proc/misc &&
	command -v setpriv >/dev/null && bare_dev 0 true 2>/dev/null; then
	check "a program that has changed its user is managed without /dev/userfaultfd" own_device
	check "where that cannot be, it is said, and named" no_device
else
	skip "a program that has changed its user is managed without /dev/userfaultfd" "no mount namespaces, or no need"
	skip "where that cannot be, it is said, and named" "no mount namespaces, or no need"
fi
