#!/bin/sh
# tests/native/run_mode.sh - the modes of `umemcg run`, and `umemcg doctor`; forks in every way a program can make them, while its
# memory is swapped: in every process each page has what it had.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog forkways reportget
plan 9

# in_mode MODE CMD...: under 6 MiB.
in_mode() {
	mode=$1
	shift
	rm -f "$report"
	bounded "$UMEMCG" run -m 6M --swap-max 1G --mode "$mode" --report json --report-file "$report" -- "$@"
}

# A page in eight fits. A third of a process's forks has something beside it that is unusual.
ways() {
	for seed in ${UMEMCG_SEEDS:-1 2 3}; do
		in_mode "$1" "$BIN/forkways" "$seed" 8 1 4 || { echo "seed $seed"; return 1; }
		expect kernel "$(value umemcg/mode)" mode && swapped_at_least 8 || return
	done
}

# One seed, but children of children of children.
deep_tree() { in_mode kernel "$BIN/forkways" 9 8 3 2 && swapped_at_least 16; }

# Where the kernel reports forks, one past libc is in the books and cannot be swapped: there must be room.
ways_reported() {
	rm -f "$report"
	bounded "$UMEMCG" run -m 40M --swap-max 1G --mode kernel-fork --report json --report-file "$report" -- "$BIN/forkways" 1 8 1 4
}

# The copies of a parent that is swapped out add up, and to the limit.
limit_holds() {
	in_mode kernel "$BIN/forkways" 5 8 1 4 && at_most $((10 << 20)) "$(value memory.peak)" "bytes of memory"
}

# best MODE: without --mode, and doctor names the same.
best() {
	rm -f "$report"
	"$UMEMCG" run -m 64M -v --report json --report-file "$report" -- true 2>"$TMP/err" || return
	expect "$1" "$(value umemcg/mode)" mode && grep -qx "umemcg: mode $1" "$TMP/err" || return
	"$UMEMCG" doctor >"$TMP/doctor" && grep -qx "mode  *$1" "$TMP/doctor" || return
	"$UMEMCG" doctor --json >"$TMP/doctor.json" && grep -q "\"mode\":[[:space:]]*\"$1\"" "$TMP/doctor.json"
}

# Where the device may not even be opened.
user_runs() {
	TMPDIR=/var/tmp "$UMEMCG" run -m 64M -v --mode user -- echo started >"$TMP/out" 2>"$TMP/err"
	expect 0 $? status && expect started "$(cat "$TMP/out")" output && grep -qx 'umemcg: mode user' "$TMP/err"
}

# Not even the device: nothing runs, and both say what would help.
nothing_works() {
	set -- "$UMEMCG"
	ordinary || set -- setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$UMEMCG"
	TMPDIR=/var/tmp "$@" doctor >"$TMP/out"
	expect 1 $? "status of doctor" && grep -qx 'mode  *none' "$TMP/out" && grep -q userfaultfd=1 "$TMP/out" || return
	TMPDIR=/var/tmp "$@" run -m 64M -- echo started >"$TMP/out" 2>"$TMP/err"
	expect 125 $? "status of run" && expect "" "$(cat "$TMP/out")" output && grep -q 'setfacl -m u:NAME:rw /dev/userfaultfd' "$TMP/err"
}

# The address space of 80 columns: whatever is found.
table_is_narrow() {
	"$UMEMCG" doctor >"$TMP/doctor" || return
	expect 0 "$(awk 'length > 80' "$TMP/doctor" | wc -l)" "lines wider than 80 columns"
}

usage() {
	"$UMEMCG" doctor --frob >"$TMP/out" 2>"$TMP/err"
	expect 125 $? status && grep -q "'--frob' is not understood" "$TMP/err" && "$UMEMCG" help doctor | grep -q -e --json
}

case $(uname -m) in
x86_64)
	check "every way to fork finds its pages, where the kernel reports none" ways kernel
	check "so do the children of children of children" deep_tree
	check "the limit holds meanwhile" limit_holds
	;;
*)
	skip "every way to fork finds its pages, where the kernel reports none" "mode kernel is for x86-64"
	skip "so do the children of children of children" "mode kernel is for x86-64"
	skip "the limit holds meanwhile" "mode kernel is for x86-64"
	;;
esac
if ordinary; then
	skip "every way to fork finds its pages, where the kernel reports them" "it needs CAP_SYS_PTRACE"
	check "the best mode is taken, and doctor says the same" best kernel
	skip "where no mode works nothing runs, and the remedy is named" "the device can be opened"
else
	check "every way to fork finds its pages, where the kernel reports them" ways_reported
	check "the best mode is taken, and doctor says the same" best kernel-fork
	check_tool setpriv "where no mode works nothing runs, and the remedy is named" nothing_works
fi
check "mode user needs no permission" user_runs
check "doctor's table has 80 columns" table_is_narrow
check "doctor takes --json and nothing else" usage
