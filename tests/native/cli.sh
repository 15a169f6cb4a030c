#!/bin/sh
# The command line of the real program: what it refuses, how programs end under it, what it reports.
. "$(dirname "$0")/lib.sh"

top=$(cd "$(dirname "$0")/../.." && pwd)

# Limits of the shell (ulimit) that `refused` and `limited` run umemcg with.
limits=:

# limited ARGUMENTS: umemcg run, with $limits.
limited() {
	bounded sh -c "$limits"' || exit 9; exec "$0" run "$@"' "$UMEMCG" "$@"
}

# refused NAMES... -- ARGUMENTS: exit status 125, nothing started, one line, and every one of NAMES in it.
refused() {
	names=
	while [ "$1" != -- ]; do
		names="$names$1
"
		shift
	done
	shift
	limited "$@" >"$TMP/out" 2>"$TMP/err"
	expect 125 $? "exit status" || return 1
	expect "" "$(cat "$TMP/out")" "standard output" || return 1
	expect 1 "$(wc -l <"$TMP/err")" "lines" || return 1
	printf %s "$names" | while IFS= read -r name; do
		grep -qF -e "$name" "$TMP/err" || {
			echo "no \"$name\" in: $(cat "$TMP/err")"
			exit 1
		}
	done
}

all_refused() {
	refused -m/--memory-max "'64Q'" 64M -- -m 64Q -- echo started &&
	refused -m/--memory-max "'-1'" 64M -- -m -1 -- echo started &&
	refused -m/--memory-max "'0'" 1M -- -m 0 -- echo started &&
	refused -m/--memory-max "'100K'" 1M -- -m 100K -- echo started &&
	refused -m/--memory-max "too large" -- -m 9223372036854775808 -- echo started &&
	refused -m/--memory-max missing -- echo started &&
	refused "no program" -- -m 64M &&
	refused "'--frob'" -- -m 64M --frob echo started &&
	refused --memsw-max "32.0 MiB" "64.0 MiB" -- -m 64M --memsw-max 32M echo started &&
	refused --report "'yaml'" "text and json" -- -m 64M --report yaml echo started &&
	refused --swap-max "'100000T'" 8T max -- -m 64M --swap-max 100000T echo started &&
	refused --swap-max "'512'" 4K 0 -- -m 64M --swap-max 512 echo started &&
	refused -m/--memory-max "''" 64M -- -m "" echo started &&
	refused "'--mem'" unknown "the memory limit is -m SIZE" -- --mem 1G echo started &&
	refused "'--me'" ambiguous --memory-max --memsw-max -- -m 64M --me 1G echo started &&
	refused --swap "'1G' is not a directory" --swap-max 1G -- -m 64M --swap 1G echo started &&
	refused -m/--memory-max "'0'" -- -m 64M -m 0 echo started
}

# What people bring from elsewhere, or type by mistake: ARGUMENTS | what the one line has to say.
wrong_uses() {
	while IFS="|" read -r arguments want; do
		# shellcheck disable=SC2086
		bounded "$UMEMCG" $arguments >"$TMP/out" 2>"$TMP/err"
		code=$?
		[ "$code" -eq 125 ] || [ "$code" -eq 126 ] || { echo "$code after: $arguments"; return 1; }
		expect "" "$(cat "$TMP/out")" "standard output of $arguments" &&
			expect 1 "$(wc -l <"$TMP/err")" "lines after $arguments" || return 1
		grep -qF -e "${want# }" "$TMP/err" || { echo "no ${want# } in: $(cat "$TMP/err")"; return 1; }
	done <<-END
		run | -m/--memory-max is missing
		run true -m 64M | what comes after the program is the program's
		run true --memory 64M | what comes after the program is the program's
		run 64M true | a limit alone is no program
		run -m | needs a value
		run -m 64M -- | no program to run
		run -m 1.5.2G true | '1.5.2G' is not a size
		run -m 1e9 true | '1e9' is not a size
		run -m 0x40 true | '0x40' is not a size
		run -m 64 true | with a unit it is 64M
		run -m 150% true | 1% to 100%
		run -m 0% true | 1% to 100%
		run -m unlimited true | or max
		run -m =64M true | '=64M' is not a size
		run -m 64M --swap-max true | 'true' is not a size
		run -m 64M --swap-max=-5 true | '-5' is not a size
		run -m 64M --memory-high x true | 'x' is not a size
		run --memory 64m --memory-swap 32m true | --swap-max counts swap alone
		run --memory 64m --memory-swap 1g --swap-max 1g true | exclude each other
		run -p CPUQuota=20% -m 64M true | MemoryMax=SIZE
		run -p MemoryLow=20M -m 64M true | MemoryHigh=SIZE
		run --property=MemoryMax true | MemoryMax=SIZE
		run --cpus 2 -m 64M true | limits nothing but memory
		run --cpuset-cpus 0 -m 64M true | limits nothing but memory
		run --pids-limit 9 -m 64M true | limits nothing but memory
		run --memory-reservation 20m -m 64M true | --memory-high SIZE
		run --oom-kill-disable -m 64M true | is killed
		run --memory-swappiness 10 -m 64M true | --swap-max 0
		run --shm-size 1g -m 64M true | counts like the rest of -m
		run --rm -m 64M true | leave it out
		run --user -m 64M true | leave it out
		run --scope -m 64M true | leave it out
		run --slice x -m 64M true | leave it out
		run --unit x -m 64M true | --name NAME
		run --env A=B -m 64M true | use env(1)
		run --ulimit x -m 64M true | prlimit(1)
		run -it -m 64M true | leave it out
		run -d -m 64M true | & for the background
		run --mem 64M true | the memory limit is -m SIZE
		run --swap-size 1G -m 64M true | --swap-max SIZE
		run --timeout 5 -m 64M true | use timeout(1)
		run --json -m 64M true | --report json
		run --stats -m 64M true | --report text
		run --log-file x -m 64M true | --report-file FILE
		run -m 64M --mode fast true | kernel-fork
		run -m 64M --report xml true | text and json
		run -m 64M --report-file /none/x true | name a file in a directory
		run -m 64M --processes /none/x true | name a file in a directory
		run -m 64M --name 1abc true | give a letter
		run -m 64M --verbose=3 true | takes no value
		run -m 64M --no-spin=1 true | takes no value
		run -m 64M --memory-m 1 true | '1'
		run -m 64M -z true | unknown option '-z'
		run -m 64M / | it is a directory
		run -m 64M /etc/passwd | Permission denied
		-m 64M true | umemcg run -m 64M PROGRAM
		runn -m 64M true | the commands are: run
		help runn | the commands are: run
		help run run | one command
		migrate | no PID or GROUP
		migrate 1 --from 0 | --to is missing
		migrate 1 --from x --to 1 | not the number of a memory node
		migrate 1 --from 0 --to 0 | both node 0
		doctor now | --json or nothing
		check nosuch | --list
		check --bug nosuch | --list-bugs
		check --random 0 | from 1 to
		check --format pdf | text and html
		check --jobs 0 | from 1 to 64
	END
}

bad_files() {
	touch "$TMP/file"
	refused --swap "'$TMP/none'" "No such file" -- -m 64M --swap "$TMP/none" echo started &&
	refused --swap "'$TMP/file'" "Not a directory" -- -m 64M --swap "$TMP/file" echo started &&
	refused --swap "'/proc'" "no swap file can be made" -- -m 64M --swap /proc echo started &&
	refused --swap "'/proc'" -- -m 64M --swap-max 1G --swap /proc echo started &&
	refused --swap "'/proc'" -- -m max --swap /proc echo started &&
	refused --report-file "'$TMP/none/r'" "No such file" -- -m 64M --report-file "$TMP/none/r" echo started
}

# Each message names the limit that is met, and its value.
low_limits() {
	limits="ulimit -n 20"
	refused "ulimit -n" "is 20" 64 -- -m 64M echo started || return 1
	limits="ulimit -f 2000"
	refused --swap-max 1G "ulimit -f" "1000.0 KiB" -- -m 64M --swap-max 1G echo started || return 1
	limits="ulimit -v 200000"
	refused "ulimit -v" "195.3 MiB" -m -- -m 64M echo started || return 1
	limits="ulimit -d 200000"
	refused "ulimit -d" "195.3 MiB" -m -- -m 64M echo started
}

# Each arena of malloc reserves 64 MiB of addresses, and glibc makes up to eight per CPU. Two threads that make one at the
# same time may exceed the maximum by one.
few_arenas() {
	limits=true
	limited -m 64M sh -c 'sleep 0.3; cat "/proc/$PPID/maps"' >"$TMP/maps" 2>"$TMP/err" || return
	arenas=$(grep -cE '^[0-9a-f]*[048c]000000-[0-9a-f]* rw-p 00000000 00:00 0 *$' "$TMP/maps")
	[ "$arenas" -gt 0 ] && [ "$arenas" -le 5 ] && return
	echo "$arenas arenas"
	return 1
}

# Whatever a limit of address space leaves: a run, or one line and 125; never an abort.
narrow_space() {
	for limits in "ulimit -v 400000" "ulimit -v 500000" "ulimit -v 550000" "ulimit -v 600000" "ulimit -v 650000" \
		"ulimit -v 800000" "ulimit -v 1000000"; do
		limited -m 64M true >"$TMP/out" 2>"$TMP/err"
		code=$?
		[ "$code" -eq 0 ] && continue
		expect 125 "$code" "exit status with $limits" && expect 1 "$(wc -l <"$TMP/err")" lines || return 1
	done
	expect 0 "$code" "exit status with the last"
}

# What umemcg changes for itself is as it was in the program: open files, and to die of a file that may not grow.
limits_of_the_program() {
	limits="ulimit -f 8000; ulimit -S -n 30"
	show="ulimit -f; ulimit -S -n; sed -n s/^SigIgn://p /proc/self/status"
	limited -m 64M sh -c "$show" >"$TMP/out" || return 1
	bounded sh -c "$limits; $show" >"$TMP/want" || return 1
	diff "$TMP/want" "$TMP/out" || return 1
	limited -m 8M "$BIN/fill" 10 || return 1
	limits=:
	limited -m 64M --swap-max 4M sh -c 'kill -XFSZ $$; echo survived'
	expect 153 $? "exit status after SIGXFSZ"
}

# ended STATUS ARGUMENTS: `umemcg run -m 64M ARGUMENTS` ends so.
ended() {
	want=$1
	shift
	bounded "$UMEMCG" run -m 64M "$@" >"$TMP/out" 2>"$TMP/err"
	expect "$want" $? "exit status of $*" || { cat "$TMP/err"; return 1; }
}

statuses() {
	ended 0 -- true && ended 7 sh -c 'exit 7' &&
	ended 143 sh -c 'kill -TERM $$' && ended 139 sh -c 'kill -SEGV $$' &&
	ended 127 -- "$TMP/none" && ended 126 -- "$TMP"
}

# What is not there, or not ours, is told at once: the program would run with its memory unknown.
wrong_proc() {
	unshare -m sh -c 'mount -t tmpfs none /proc && exec "$@"' sh "$UMEMCG" run -m 64M echo started >"$TMP/out" 2>&1
	expect "125 umemcg: run: there is no /proc" "$? $(cut -c 1-30 "$TMP/out")" "without /proc" || return 1
	unshare --fork --pid "$UMEMCG" run -m 64M echo started >"$TMP/out" 2>&1
	expect "125 umemcg: run: /proc is that of another" "$? $(cut -c 1-37 "$TMP/out")" "with another" || return 1
	unshare --fork --pid --mount-proc "$UMEMCG" run -m 64M echo started >"$TMP/out" 2>&1
	expect "0 started" "$? $(cat "$TMP/out")" "with our own"
}

# What is swapped out to a tmpfs stays in memory: that is said before the program starts, and only there.
swap_in_memory() {
	unshare -m sh -c 'mount -t tmpfs none "$1" && shift && exec "$@"' sh "$TMP/memory" \
		"$UMEMCG" run -m 64M --swap "$TMP/memory" echo started >"$TMP/out" 2>&1
	expect 0 $? "status with swap on a tmpfs" || return 1
	expect "umemcg: swap directory '$TMP/memory' is a tmpfs, which keeps its files in memory" \
		"$(head -n 1 "$TMP/out" | cut -d: -f 1-2)" "what is said" || return 1
	"$UMEMCG" run -m 64M --swap "$TMP/memory" echo started >"$TMP/out" 2>&1
	expect "0 started" "$? $(cat "$TMP/out")" "without a tmpfs"
}

# A report in the file that the program writes to comes behind what it wrote, and takes nothing away.
report_behind_output() {
	for name in /dev/stdout "$TMP/out"; do
		"$UMEMCG" run -m 64M --report-file "$name" -- echo started >"$TMP/out" || return
		expect started "$(head -n 1 "$TMP/out")" "first line" &&
			expect "umemcg: echo ended with status 0" "$(sed -n '2s/ after.*//p' "$TMP/out")" "second line" || return
	done
	"$UMEMCG" run -m 64M --report-file "$TMP/out" -- sh -c 'echo started >&2' 2>"$TMP/out" &&
		expect started "$(head -n 1 "$TMP/out")" "first line of standard error"
}

# Without these nothing could be taken out of the program, or the program not be killed when memory runs out.
calls_refused() {
	for call in process_vm_readv pidfd_open pidfd_send_signal; do
		bounded "$BIN/refuse" $call "$UMEMCG" run -m 64M echo started >"$TMP/out" 2>&1
		expect "125 umemcg: run: $call(2) is refused here" "$? $(cut -d' ' -f 1-6 "$TMP/out")" || return 1
	done
}

# The kernel's word for it is "No such file or directory", of a file that is there.
no_interpreter() {
	printf '#! /no/such/sh -e\n' >"$TMP/no-interp"
	printf '#!/bin/sh\r\n' >"$TMP/dos"
	LC_ALL=C sed 's|/ld-linux|/no-linux|' "$(command -v env)" >"$TMP/binary"
	chmod +x "$TMP/no-interp" "$TMP/dos" "$TMP/binary"
	ended 126 -- "$TMP/no-interp" &&
	expect "umemcg: cannot run '$TMP/no-interp': its interpreter '/no/such/sh' does not exist" "$(cat "$TMP/err")" &&
	ended 126 -- "$TMP/dos" && grep -qF "its interpreter '/bin/sh\\x0d' does not exist" "$TMP/err" &&
	ended 126 -- "$TMP/binary" && grep -q 'its dynamic loader does not exist' "$TMP/err" &&
	(PATH=/no/where:$TMP:$PATH && ended 126 -- no-interp) && grep -q "'no-interp': its interpreter" "$TMP/err"
}

# The longest names that are refused, or that end a run: the reason stands behind them, and is said.
long_names() {
	part=$(printf '%0100d' 0)
	name=$TMP/none/$part/$part/$part/$part/$part/$part/$part/end
	ended 127 -- "$name" && expect 1 "$(wc -l <"$TMP/err")" lines &&
		grep -q "^umemcg: cannot run '$TMP/.*\.\.\..*/end': No such file or directory$" "$TMP/err" || return 1
	refused --swap "No such file" "give one that can" -- -m 64M --swap "$name" echo started &&
	refused --report-file "No such file" "can be written" -- -m 64M --report-file "$name" echo started &&
	refused -m/--memory-max "64M" -- -m "$name" echo started &&
	refused unknown "umemcg help run" -- -m 64M "--$name" echo started
}

# Bytes that are no text get escaped, in sentences and in reports; text in any language stays as it is.
strange_names() {
	odd=$(printf 'h\303\244ll\377\033[2J')
	cp "$BIN/staticprog" "$TMP/$odd" || return 1
	ended 127 -- "$TMP/none/$odd" && cat "$TMP/err" &&
		grep -qF "$(printf 'h\303\244ll\\xff\\x1b[2J')': No such file" "$TMP/err" || return 1
	ended 0 --report json --report-file "$TMP/r" --processes "$TMP/list" -- "$TMP/$odd" 4 500 || return 1
	cat "$TMP/r" "$TMP/list"
	iconv -f UTF-8 -t UTF-8 <"$TMP/r" >"$TMP/same" && cmp "$TMP/r" "$TMP/same" &&
		iconv -f UTF-8 -t UTF-8 <"$TMP/list" >"$TMP/same" || return 1
	"$BIN/reportget" "$TMP/r" umemcg/unmanaged_processes | grep -qF "$(printf 'h\303\244ll\\\\xff')" &&
		grep -qF "$(printf 'h\303\244ll\\xff\\x1b[2J')" "$TMP/list"
}

# The program's exit status stays its own; that there is no report is said.
full_device() {
	ended 7 --report-file /dev/full -- sh -c 'exit 7' && expect 1 "$(wc -l <"$TMP/err")" lines &&
		grep -q "^umemcg: option --report-file: cannot write '/dev/full': No space left on device$" "$TMP/err" || return 1
	ended 7 --processes /dev/full -- sh -c 'exit 7' &&
		grep -q "^umemcg: option --processes: cannot write .*No space left on device; it is not complete$" "$TMP/err"
}

# alone OPTION: no argument is passed over in silence.
alone() {
	"$UMEMCG" "$1" extra >"$TMP/out" 2>"$TMP/err"
	expect 125 $? "exit status of $1" && expect "" "$(cat "$TMP/out")" "standard output" &&
		expect 1 "$(wc -l <"$TMP/err")" lines && grep -qF -e "$1" "$TMP/err" && grep -qF "'extra'" "$TMP/err"
}

stands_alone() {
	alone --version && alone --help && "$UMEMCG" -V >/dev/null && "$UMEMCG" -h >/dev/null || return 1
	"$UMEMCG" help help extra >"$TMP/out" 2>&1
	expect 125 $? "exit status of help help extra"
}

help_texts() {
	"$UMEMCG" --help | grep -q '^  run ' || return 1
	"$UMEMCG" help run >"$TMP/a" && "$UMEMCG" run --help >"$TMP/b" || return 1
	cmp "$TMP/a" "$TMP/b" || return 1
	"$UMEMCG" --version | grep -q '^umemcg [0-9]' || return 1
	# Every option of the help text is in the manual, and the other way round.
	grep -o -e '--[a-z-]*' "$TMP/a" | sort -u >"$TMP/in-help"
	sed 's/\\-/-/g; s/\\fR//g' "$top/docs/man/umemcg-run.1" | sed -n '/^.SH OPTIONS/,/^.SH SIG/p' |
		grep -o -e '--[a-z-]*[a-z]' | sort -u >"$TMP/in-man"
	sed -i '/^--$/d' "$TMP/in-help"
	diff "$TMP/in-help" "$TMP/in-man"
}

# Every key of the report is in the manual, and every key of memory.stat there is one of the report's.
keys_documented() {
	page=$top/docs/man/umemcg-run.1
	ended 0 --report json --report-file "$TMP/r" -- true || return 1
	sed 's/\\-/-/g; s/\\&//g; s/\\"//' "$page" | sed -n '/^.SH THE JSON REPORT/,/^.SH PERMISSIONS/p' >"$TMP/section"
	grep -o '^[[:space:]]*"[^"]*":' "$TMP/r" | tr -d '\t ":' | sort -u >"$TMP/keys"
	while read -r key; do
		grep -q "^\.\(B\|BR\|BI\) \(.* \)\{0,1\}$key\( \|$\)" "$TMP/section" || { echo "$key is not in the manual"; return 1; }
	done <"$TMP/keys"
	sed -n '/begin of stat keys/,/end of stat keys/p' "$TMP/section" | grep '^\.BR\{0,1\} ' |
		grep -o '\<[a-z_]*\>' | grep -v '^\(bytes\|pages\|microseconds\|umemcg\|s\|vmstat\)$' | sort -u >"$TMP/in-man"
	"$BIN/reportget" "$TMP/r" memory.stat | grep -o '"[a-z_]*"' | tr -d '"' | sort >"$TMP/in-report"
	[ "$(wc -l <"$TMP/in-report")" -gt 30 ] && diff "$TMP/in-report" "$TMP/in-man"
}

# A program that is killed for what it has unmanaged, so that no array is empty; an object of which only the numbers
# differ. "max" is what a size may be.
report_documented() {
	page=$top/docs/report.md
	ended 137 -m 12M --swap-max 8M --report json --report-file "$TMP/r" -- "$BIN/staticprog" 64 3000 1000 || return 1
	awk -f "$top/tests/native/report-paths.awk" "$TMP/r" | sed "/^memory.[a-z.]* number$/s/number/size/" | sort -u >"$TMP/printed"
	sed -n 's/^| `\(.*\)` | \([a-z]*\) | .*[a-z].* |$/\1 \2/p' "$page" |
		sed '/{most,oom}/{h;s//most/p;g;s//oom/}' | sort >"$TMP/documented"
	[ "$(wc -l <"$TMP/printed")" -gt 100 ] && diff "$TMP/documented" "$TMP/printed"
}

manual_renders() {
	for page in "$top"/docs/man/*.1; do
		groff -man -Tutf8 -ww -z "$page" 2>"$TMP/err" || return 1
		expect "" "$(cat "$TMP/err")" "warnings of $page" || return 1
	done
}

stdio() {
	expect "two words" "$(echo two words | "$UMEMCG" run -m 64M -- cat)" "standard input and output" || return 1
	ended 0 sh -c 'echo out; echo err >&2' || return 1
	expect out "$(cat "$TMP/out")" "standard output" && expect err "$(cat "$TMP/err")" "standard error"
}

# Threads that keep CPUs awake are there unless they are unwanted. They get their names, as all else, when there is a CPU for them.
spinners() {
	ended 0 -- sh -c 'until grep -l umemcg-spin /proc/$PPID/task/*/comm; do sleep 0.1; done' || return 1
	ended 1 --no-spin -- sh -c 'grep -l umemcg-spin /proc/$PPID/task/*/comm' || return 1
	expect "" "$(cat "$TMP/err")" "standard error"
}

# reported PATH RELATION NUMBER_OR_TEXT: what the report says there.
reported() {
	got=$("$BIN/reportget" "$TMP/r" "$1") || return 1
	test "$got" "$2" "$3" && return
	echo "$1: $got is not $2 $3"
	return 1
}

# fill, as it must touch memory for there to be faults: `true` has all its pages before it starts.
json_on_stderr() {
	ended 0 --report json -- sh -c 'printf "no end of line" >&2' || return 1
	expect "no end of line" "$(head -n 1 "$TMP/err")" "the program's line" || return 1
	tail -n +2 "$TMP/err" >"$TMP/r"
	expect "}" "$(tail -n 1 "$TMP/r")" "the last line" && reported umemcg/exit_status -eq 0
}

out_of_memory() {
	ended 137 -m 8M --swap-max 4M -- "$BIN/fill" 64 || return 1
	expect 1 "$(wc -l <"$TMP/err")" "lines" &&
		grep -q "umemcg: '.*fill' was killed: .* of 8.0 MiB.* of 4.0 MiB); raise -m or --swap-max" "$TMP/err"
}

# It goes about its 100 MiB until it is told.
completion() {
	bash -c '. "$1" && PATH=${2%/*}:$PATH
		to() { COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _umemcg umemcg; echo "${COMPREPLY[*]}"; }
		to umemcg d; to umemcg run --memory-h; to umemcg run -m 64M --report ""; to umemcg check --bug uncharge-
		to umemcg check fork-unr; to umemcg help mig; to umemcg run -m 64M --mode kernel-f' bash "$top/completion/umemcg.bash" "$UMEMCG" >"$TMP/out"
	expect "doctor --memory-high text json uncharge-test-then-set fork-unreported-and-swapin migrate kernel-fork" \
		"$(tr "\n" " " <"$TMP/out" | sed "s/ $//")" completions
}

thrashing() {
	cat >"$TMP/wander" <<-'END'
		BEGIN {
			for (i = 0; i < 1500000; i++)
				a[i] = i
			while ((getline line <until) <= 0) {
				close(until)
				for (j = 0; j < 20000; j++)
					x += a[int(rand() * 1500000)]
			}
		}
	END
	ended 0 -m 16M --swap-max 512M -- timeout 200 awk -v until="$TMP/err" -f "$TMP/wander" || return 1
	expect 1 "$(wc -l <"$TMP/err")" lines &&
		grep -q "^umemcg: 'timeout' is thrashing: [0-9]* % of its time .* raise -m$" "$TMP/err" || return 1
	ended 124 -q -m 16M --swap-max 512M -- timeout 12 awk -v until=/dev/null -f "$TMP/wander" && expect "" "$(cat "$TMP/err")" "with -q"
}

json() {
	ended 0 --memory-high 48M --swap-max 128M --report json --report-file "$TMP/r" -- "$BIN/fill" 8 || return 1
	expect "" "$(cat "$TMP/err")" "standard error" || return 1
	reported memory.max -eq $((64 << 20)) &&
		reported memory.high -eq $((48 << 20)) &&
		reported memory.swap.max -eq $((128 << 20)) &&
		reported memory.memsw.max = max &&
		reported memory.current -eq 0 &&
		reported memory.swap.current -eq 0 &&
		reported memory.memsw.current -eq 0 &&
		reported memory.peak -ge $((8 << 20)) &&
		reported memory.peak -le $((64 << 20)) &&
		reported memory.stat/pgfault -gt 0 &&
		reported memory.events/oom_kill -eq 0 &&
		reported umemcg/exit_status -eq 0 &&
		reported umemcg/clients_total -ge 1 &&
		reported umemcg/unmanaged_processes = "[]"
}

# A killed umemcg leaves nobody behind.
killed() {
	"$UMEMCG" run -m 64M -- sh -c 'sleep 1000 & echo $$ $! >"$0"; wait' "$TMP/pids" &
	pid=$!
	until_true test -s "$TMP/pids" || return 1
	read -r root child <"$TMP/pids" || return 1
	kill -KILL "$pid"
	wait "$pid"
	until_true over "$root" && until_true over "$child" && return
	kill -KILL "$root" "$child" 2>/dev/null
	return 1
}

terminated() {
	"$UMEMCG" run -m 64M -- sh -c 'trap "exit 9" TERM; echo >"$0"; while :; do sleep 0.1; done' "$TMP/up" &
	pid=$!
	until_true test -e "$TMP/up" || return 1
	kill -TERM "$pid"
	wait "$pid"
	expect 9 $? "exit status"
}

# What is installed works from there: program, agent and manual, wherever the prefix was moved to.
installed() {
	DESTDIR=$TMP/dest meson install -C "$(dirname "$UMEMCG")" --no-rebuild >"$TMP/out" 2>&1 || {
		cat "$TMP/out"
		return 1
	}
	program=$(find "$TMP/dest" -path '*/bin/umemcg')
	prefix=${program%/bin/umemcg}
	[ -f "$prefix/share/man/man1/umemcg-run.1" ] || return 1
	bounded "$program" run -m 64M -- sh -c 'echo "$LD_PRELOAD"' >"$TMP/out" || return 1
	case $(cat "$TMP/out") in
	"$prefix"/lib*umemcg/libumemcg-agent.so) ;;
	*) cat "$TMP/out"; return 1 ;;
	esac
}

[ -x "$UMEMCG" ] || skip_all "$UMEMCG is not built"
check "help and manual name the same options" help_texts
check_tool groff "the manual pages render without warnings" manual_renders
if in_user_mode; then
	skip "bash completes commands, options and their values" "the program has another name here"
else
	check_tool bash "bash completes commands, options and their values" completion
fi
check "bad options are refused in one line that names them" all_refused
check "nearly seventy wrong uses have an answer that helps" wrong_uses
check "bad files are refused in one line that names them" bad_files
check "what an option does not take is refused" stands_alone
require_uffd
require_prog fill refuse reportget staticprog
limits=:
check "names of any length leave room for the reason" long_names
check_tool iconv "bytes that are no text are escaped" strange_names
if [ -w /dev/full ]; then
	check "a report that finds no room is no failure of the program's, and said" full_device
else
	skip "a report that finds no room is no failure of the program's, and said" "there is no /dev/full"
fi
check "a limit that is too low is named, with its value" low_limits
check "little address space is an error or enough" narrow_space
if sanitized; then
	skip "malloc reserves little of it" "a sanitizer has a malloc of its own"
else
	check "malloc reserves little of it" few_arenas
fi
limits=:
check "the program's limits are its own" limits_of_the_program
check "out of memory is one sentence with limits, usage and remedy" out_of_memory
check "a program that waits for its memory most of the time is told so, once" thrashing
check "exit statuses are the program's, 126 and 127" statuses
check "a program without its interpreter is found, and cannot run" no_interpreter
if unshare --fork --pid --mount-proc true 2>/dev/null; then
	check "without a /proc of ours nothing is run" wrong_proc
else
	skip "without a /proc of ours nothing is run" "it takes root to make one"
fi
"$BIN/refuse" io_uring_setup true >/dev/null
if [ $? -ne 77 ]; then
	check "a system call that is needed and refused is named" calls_refused
else
	skip "a system call that is needed and refused is named" "there is no seccomp here"
fi
check "standard input, output and error are the program's" stdio
check "--no-spin leaves the threads out that keep CPUs awake" spinners
check "a signal to umemcg reaches the program" terminated
check "the processes of a killed umemcg end" killed
check "the JSON report holds what the controller's files would" json
check "every key of the JSON report is in the manual" keys_documented
check "docs/report.md has the keys and types that are printed, and no others" report_documented
check "a report in the program's output is behind it" report_behind_output
mkdir "$TMP/memory"
as_root "swap on a tmpfs is warned of" swap_in_memory
check "the JSON report on standard error has lines of its own, and the last" json_on_stderr
if command -v meson >/dev/null; then
	as_root "an installed umemcg finds its agent" installed
else
	skip "an installed umemcg finds its agent" "meson is not in PATH"
fi
