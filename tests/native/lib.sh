# tests/native/lib.sh - what the tests of the whole program share. Sourced, not run.
#
#     . "$(dirname "$0")/lib.sh"
#     require_uffd
#     plan 3
#     check "a sentence that should be true" command argument...
#     check "another" function_of_the_test
#     skip "a third" "why it cannot run here"
#
# plan N              N tests follow. Without it the plan is written at the end.
# check NAME CMD...   one test: CMD ends with 0, within $BOUND_S seconds when it is a program (a
#                     shell function bounds its own commands: `bounded`). Its output is shown, as
#                     comments, when it fails.
# ok NAME, not_ok NAME [WHY]   one test whose result is known
# skip NAME WHY       one test that cannot run here
# skip_all WHY        none of them can; ends the script
# expect WANT GOT [WHAT]       for use inside functions: true when equal, else says what differs
# bounded CMD...      CMD under `timeout`; 124 or 137 when the time was up
# until_true CMD...   wait for an event and not for a time: CMD again and again until it is true; false after $BOUND_S
#                     seconds, in which it comes on any machine, however busy
# over PID            the process is gone, or a zombie that somebody else has to collect
#
# check_tool TOOL NAME CMD...  a test that is skipped where TOOL is not installed
# skippable NAME CMD...        a test whose CMD ends with 77 where it cannot run, and says why in its last line
#
# $report             the JSON report of the latest run
# under LIMIT CMD...  CMD under umemcg with that limit, and $report
# value PATH...       a value of $report
# at_most MOST NUMBER WHAT, at_least LEAST NUMBER WHAT    as expect, for numbers
# swapped_at_least MIB         that much went out; unless it did, nothing was tested
# sampled LIMIT CMD...         as under; the sampler looks on from outside and writes $samples
# held LIMIT_MIB               no sample was above the limit by more than $slack_kb. held_max_kb needs named memory; without
#                              it only the clients are compared
#
# require_uffd        skip_all unless this process may create a full userfaultfd
# require_tool T...   skip_all unless the programs are there
# require_prog P...   skip_all unless the test programs are built
#
# $UMEMCG_MODE        in the environment: kernel or user. The whole script then runs as an ordinary user without
#                     capabilities and without new privileges, who may open a /dev/userfaultfd of a mount namespace of his
#                     own: mode kernel; or none, and each `run` has --mode user
# ordinary            does it?
# in_user_mode        in mode user?
# as_root NAME CMD... a test that is skipped then, since it needs root itself
#
# $test_mount         what a test has mounted, if anything: unmounted at the end, also when the script is interrupted
#
# sanitized           is the program built with the address sanitizer, whose memory is in its own then?
#
# $UMEMCG the program, $BIN the test programs, $TMP a directory of this test, removed at the end;
# umemcg's swap files go there too (TMPDIR).

# In place of this script, as root: the same script as that user, with a node of the device.
become_ordinary() {
	if [ "$UMEMCG_MODE" = user ]; then
		ordinary_drop="setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
		[ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && $ordinary_drop test -r "$1" || {
			echo "1..0 # SKIP mode user is tested by root, with setpriv and sources that everybody may read"
			exit 0
		}
		umask 022
		HOME=/var/tmp PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin exec $ordinary_drop sh "$@"
	fi
	number=$(sed -n 's/ userfaultfd$//p' /proc/misc 2>/dev/null | tr -d ' ')
	[ "$(id -u)" = 0 ] && [ -n "$number" ] && command -v setpriv >/dev/null && [ -e /dev/userfaultfd ] || {
		echo "1..0 # SKIP mode kernel is tested by root, with /dev/userfaultfd and setpriv"
		exit 0
	}
	ordinary_drop="setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
	$ordinary_drop test -r "$1" || {
		echo "1..0 # SKIP an ordinary user may not read $1"
		exit 0
	}
	umask 022
	ordinary_dev=$(mktemp -d "${TMPDIR:-/var/tmp}/umemcg-dev.XXXXXX") && mknod "$ordinary_dev/u" c 10 "$number" &&
		chmod 666 "$ordinary_dev/u" || exit 1
	exec 8<&0
	unshare -m sh -c '
		mount --bind "$1/u" /dev/userfaultfd && rm -rf "$1" || exit 1
		drop=$2
		shift 2
		HOME=/var/tmp PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin exec $drop sh "$@"' sh \
		"$ordinary_dev" "$ordinary_drop" "$@" <&8 8<&-
	exit $?
}

ordinary() { [ -n "${UMEMCG_MODE-}" ]; }
in_user_mode() { [ "${UMEMCG_MODE-}" = user ]; }

if ordinary && [ -z "${UMEMCG_ORDINARY-}" ]; then
	UMEMCG_ORDINARY=1
	export UMEMCG_ORDINARY
	case $0 in
	/*) become_ordinary "$0" "$@" ;;
	*) become_ordinary "$PWD/$0" "$@" ;;
	esac
fi

lib_dir=$(cd "$(dirname "$0")" && pwd)
lib_top=$(cd "$lib_dir/../.." && pwd)
UMEMCG=${UMEMCG:-$lib_top/build/umemcg}
BIN=${UMEMCG_TEST_BIN:-$lib_top/build/tests/native/prog}
case $UMEMCG in /*) ;; *) UMEMCG=$PWD/$UMEMCG ;; esac
case $BIN in /*) ;; *) BIN=$PWD/$BIN ;; esac
# What ends at all ends long before that, on a slow machine and beside other load: it only finds what hangs.
BOUND_S=${BOUND_S:-240}

# Who has closed its standard input starts us all the same; the programs under test shall find one.
(: 9<&0) 2>/dev/null || exec </dev/null

tests_run=0
tests_failed=0
tests_planned=
test_pid=
test_mount=

TMP=$(mktemp -d "${TMPDIR:-/var/tmp}/umemcg-test.XXXXXX") || exit 1
TMPDIR=$TMP
export TMPDIR
report=$TMP/report.json
samples=$TMP/samples
slack_kb=4096
# In mode user: what each script calls says so.
if in_user_mode; then
	cat >"$TMP/umemcg-user" <<-END
		#!/bin/sh
		case \$1 in run) shift; set -- run --mode user "\$@" ;; esac
		exec "$UMEMCG" "\$@"
	END
	chmod +x "$TMP/umemcg-user"
	UMEMCG=$TMP/umemcg-user
fi
# The directory of the sources is not his.
! ordinary || cd "$TMP" || exit 1

# The shell runs this at its end, whatever the reason.
lib_end() {
	code=$?
	trap '' INT TERM HUP
	trap - EXIT
	[ -z "$test_pid" ] || kill -TERM "$test_pid" 2>/dev/null
	[ -z "$test_mount" ] || umount -l "$test_mount"
	rm -rf "$TMP"
	[ "$code" -eq 0 ] || exit "$code"
	[ -n "$tests_planned" ] || echo "1..$tests_run"
	[ "$tests_failed" -eq 0 ] || exit 1
	exit 0
}
trap lib_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

plan() {
	tests_planned=$1
	echo "1..$1"
}

diag() { printf '%s\n' "$*" | sed 's/^/# /'; }

ok() {
	tests_run=$((tests_run + 1))
	echo "ok $tests_run - $1"
}

not_ok() {
	tests_run=$((tests_run + 1))
	tests_failed=$((tests_failed + 1))
	echo "not ok $tests_run - $1"
	[ $# -lt 2 ] || diag "$2"
}

skip() {
	tests_run=$((tests_run + 1))
	echo "ok $tests_run - $1 # SKIP $2"
}

skip_all() {
	echo "1..0 # SKIP $1"
	tests_planned=0
	exit 0
}

# In the background, so that a signal to this script is answered at once; with our standard input,
# which the shell would take away from a background job.
bounded() {
	exec 9<&0
	timeout -k 5 "$BOUND_S" "$@" <&9 9<&- &
	test_pid=$!
	exec 9<&-
	wait "$test_pid"
	bounded_code=$?
	test_pid=
	return $bounded_code
}

until_true() {
	looks=0
	until "$@"; do
		looks=$((looks + 1))
		[ $looks -lt $((BOUND_S * 10)) ] || { echo "waited in vain for: $*"; return 1; }
		sleep 0.1
	done
}

over() {
	case $(sed -n 's/^State:[^A-Za-z]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) in '' | Z | X) return 0 ;; esac
	return 1
}

expect() {
	[ "$1" = "$2" ] && return 0
	echo "${3:-value}: want '$1', got '$2'"
	return 1
}

check() {
	check_name=$1
	shift
	case $(command -v "$1") in
	*/*) bounded "$@" >"$TMP/check.out" 2>&1 ;;
	*) "$@" >"$TMP/check.out" 2>&1 ;;
	esac
	check_code=$?
	if [ "$check_code" -eq 0 ]; then
		ok "$check_name"
		return
	fi
	not_ok "$check_name" "$* ended with $check_code"
	tail -n 40 "$TMP/check.out" | cut -c 1-200 | sed 's/^/#   /'
}

as_root() {
	if ordinary; then
		skip "$1" "it needs root"
	else
		check "$@"
	fi
}

check_tool() {
	check_needs=$1
	shift
	if [ -n "$check_needs" ] && command -v "$check_needs" >/dev/null; then
		check "$@"
	else
		skip "$1" "${check_needs:-it} is not installed"
	fi
}

skippable() {
	skippable_name=$1
	shift
	"$@" >"$TMP/check.out" 2>&1
	case $? in
	0) ok "$skippable_name" ;;
	77) skip "$skippable_name" "$(tail -n 1 "$TMP/check.out")" ;;
	*) not_ok "$skippable_name" "$(tail -n 40 "$TMP/check.out")" ;;
	esac
}

under() {
	limit=$1
	shift
	rm -f "$report"
	bounded "$UMEMCG" run -m "$limit" --swap-max 1G --report json --report-file "$report" -- "$@"
}

value() {
	"$BIN/reportget" "$report" "$@"
}

at_most() {
	[ -n "$2" ] && [ "$2" -le "$1" ] && return
	echo "$3: '$2' is not at most $1"
	return 1
}

at_least() {
	[ -n "$2" ] && [ "$2" -ge "$1" ] && return
	echo "$3: '$2' is not at least $1"
	return 1
}

swapped_at_least() {
	pages=$(value memory.stat/pswpout)
	[ -n "$pages" ] && [ "$pages" -ge $(($1 * 256)) ] && return
	echo "swapped out: '$pages' pages"
	return 1
}

sampled() {
	limit=$1
	shift
	bounded "$BIN/sampler" -o "$samples" -- "$UMEMCG" run -m "$limit" --swap-max 1G --report json \
		--report-file "$report" -- "$@"
}

held() {
	most=$(sed -n 's/^held_max_kb //p' "$samples")
	[ "$most" -ge 0 ] || most=$(sed -n 's/^clients_max_kb //p' "$samples")
	[ "$most" -le $(($1 * 1024 + slack_kb)) ] && return
	echo "the tree held $most KiB, the limit is $1 MiB"
	return 1
}

# CAP_SYS_PTRACE is bit 19 of the effective capabilities: the 5th hexadecimal digit from the right.
lib_may_ptrace() {
	caps=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
	digit=$(printf '%s' "$caps" | tail -c 5 | head -c 1)
	case $digit in [89a-fA-F]) return 0 ;; esac
	return 1
}

require_uffd() {
	[ -x "$UMEMCG" ] || skip_all "$UMEMCG is not built"
	[ -e /proc/sys/vm/unprivileged_userfaultfd ] || skip_all "the kernel has no userfaultfd"
	in_user_mode && return
	lib_may_ptrace && return
	[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 1 ] && return
	[ -r /dev/userfaultfd ] && [ -w /dev/userfaultfd ] && return
	skip_all "userfaultfd needs root, CAP_SYS_PTRACE, or vm.unprivileged_userfaultfd=1"
}

sanitized() {
	grep -q __asan_init "$UMEMCG"
}

require_tool() {
	for tool in "$@"; do
		command -v "$tool" >/dev/null || skip_all "$tool is not installed"
	done
}

require_prog() {
	for prog in "$@"; do
		[ -x "$BIN/$prog" ] || skip_all "$BIN/$prog is not built"
	done
}
