#!/bin/sh
# tests/native/run_compat.sh - programs that are not ours come to the same verdict with and without umemcg: a selection of the
# suites of tools/compat/, and that tools/compat.sh sees a difference where there is one.
#
# A test is an entry. One that is not installed, or whose own verdict changes, skips.

. "$(dirname "$0")/lib.sh"
require_uffd

compat() { # LIST-OR-SUITE NAME...
	bounded "$lib_top/tools/compat.sh" -u "$UMEMCG" -w "$TMP/compat" -x "$BOUND_S" "$@" >"$TMP/table" 2>"$TMP/said"
}

# A test for each line of the table that the last compat wrote.
each_entry() { # SUITE NAME...
	suite=$1
	shift
	for entry; do
		words=$(sed -n "s/^$entry  *\([^ ]*\)  *\([^ ]*\) .*  \(same\|DIFFER\|skipped\)\(: \(.*\)\)\{0,1\}$/\3 \1 \2 \5/p" "$TMP/table")
		case $words in
		same*) ok "$suite: $entry" ;;
		skipped*) skip "$suite: $entry" "${words#* - }" ;;
		*) not_ok "$suite: $entry" "$words $(cat "$TMP/said")"
			tail -n 4 "$TMP/compat/logs/$suite/$entry".*err 2>/dev/null | cut -c 1-200 | sed 's/^/#   /' ;;
		esac
	done
}

selection() { # SUITE NAME...
	compat "$@"
	each_entry "$@"
}

# What a program can see of umemcg: its environment.
told_apart() {
	cat >"$TMP/told.list" <<-'END'
		environment 16M 20 status test -z "$UMEMCG_SOCKET"
		words 16M 20 output echo "${UMEMCG_SOCKET:+under} it"
		equal 16M 20 output echo the same; exit 3
		-never it would take too long
		missing 16M 20 status no-such-program
		chance 16M 20 output echo $$
	END
	compat "$TMP/told.list"
	expect 1 $? "exit status" || return
	cat "$TMP/table"
	expect "DIFFER DIFFER same skipped: skipped: skipped:" \
		"$(echo $(sed -n '2,7s/^.\{72\} *\(DIFFER\|same\|skipped:\).*/\1/p' "$TMP/table"))" verdicts || return
	expect "1 same, 2 differ, 3 skipped" "$(tail -n 1 "$TMP/table")" "last line"
}

# Interrupted in the middle of a run, it leaves no process and no cgroup.
interrupted() {
	echo "long 16M 60 status echo \$\$ >$TMP/pid; sleep 60; true" >"$TMP/long.list"
	"$lib_top/tools/compat.sh" -u "$UMEMCG" -w "$TMP/compat" "$TMP/long.list" >"$TMP/table" 2>&1 &
	started=$!
	until_true test -s "$TMP/pid" || return
	kill -TERM $started
	wait $started
	expect 143 $? "exit status" || return
	until_true over "$(cat "$TMP/pid")" || return
	for left in /sys/fs/cgroup/memory/umemcg-compat.$started /sys/fs/cgroup/umemcg-compat.$started \
		"$TMP/compat/run.$started"; do
		[ ! -e "$left" ] || { echo "$left is left"; return 1; }
	done
}

check "compat.sh tells programs apart that see a difference, and skips with a reason" told_apart
check "compat.sh leaves nothing behind when it is interrupted" interrupted

selection stress-ng vm mremap shm-sysv fork pthread sigsegv ptrace seccomp
selection debian bash sort-threads xz-threads perl perl-threads python-fork gcc openmp sqlite setpriv ulimit strace
