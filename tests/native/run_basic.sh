#!/bin/sh
# tests/native/run_basic.sh - `umemcg run` around ordinary programs: what a user tries first.
#
# The programs must not notice: same output, same exit code, same standard input, also when they
# need more memory than the limit. The limit itself is looked at from outside once.

. "$(dirname "$0")/lib.sh"
require_uffd
require_prog fill sampler reportget
plan 13

# umemcg_run LIMIT COMMAND...
umemcg_run() {
	limit=$1
	shift
	bounded "$UMEMCG" run -m "$limit" --swap-max 512M --report json --report-file "$report" \
		-- "$@"
}

# reported VALUE PATH: the report says so.
reported() {
	expect "$1" "$(value "$2")" "$2"
}

echo_works() {
	expect "hello, world" "$(umemcg_run 64M echo "hello, world")"
}

arguments_and_environment() {
	export UMEMCG_TEST_WORD='two  words'
	expect "two  words|a b|*|" \
		"$(umemcg_run 64M sh -c 'printf "%s|" "$UMEMCG_TEST_WORD" "$@"' x 'a b' '*')"
}

exit_codes() {
	for want in 0 1 42 124 255; do
		umemcg_run 64M sh -c "exit $want"
		expect $want $? "exit code" || return
	done
}

death_by_signal() {
	umemcg_run 64M sh -c 'kill -TERM $$'
	expect 143 $? "exit code after SIGTERM" || return
	reported 143 umemcg/exit_status
}

no_program() {
	umemcg_run 64M "$TMP/there-is-no-such-program"
	expect 127 $? "exit code of a missing program" || return
	: >"$TMP/plain"
	umemcg_run 64M "$TMP/plain"
	expect 126 $? "exit code of a file that is no program"
}

pipeline() {
	expect 100000 "$(umemcg_run 64M bash -c 'seq 100000 | sort -n | tail -1')"
}

# 10 MiB through cat, byte for byte, and the end of file arrives.
standard_input() {
	seq 1500000 >"$TMP/numbers"
	umemcg_run 64M cat <"$TMP/numbers" >"$TMP/numbers.out" || return
	cmp "$TMP/numbers" "$TMP/numbers.out"
}

# A list of 2 million integers and as many strings: about 200 MiB.
python_sum() {
	job='a = [i * 7 for i in range(2000000)]
b = [str(x) for x in a]
print(sum(a), sum(map(len, b)))'
	want=$("$python" -c "$job")
	expect "$want" "$(umemcg_run 64M "$python" -c "$job")" || return
	at_least 50000000 "$(value memory.swap.peak)" memory.swap.peak
}

sort_equal() {
	seq 1000000 | rev >"$TMP/shuffled"
	LC_ALL=C sort "$TMP/shuffled" >"$TMP/want" || return
	LC_ALL=C umemcg_run 16M sort -S 64M -T "$TMP" "$TMP/shuffled" >"$TMP/got" || return
	cmp "$TMP/want" "$TMP/got"
}

# Charges that must not fail may pass the limit by the stated 4 MiB.
fill_over_limit() {
	umemcg_run 32M "$BIN/fill" 96 || return
	at_least $((64 << 20)) "$(value memory.swap.peak)" memory.swap.peak || return
	at_most $((36 << 20)) "$(value memory.peak)" memory.peak
}

# The clients alone; what umemcg holds for them besides is the acceptance test's business. Again until it was looked at ten
# times: a fast machine is soon through, and on a busy one the sampler has to wait.
limit_holds() {
	samples=0
	for run in 1 2 3 4 5 6 7 8 9 10; do
		bounded "$BIN/sampler" -i 5 -o "$TMP/sampled" -- \
			"$UMEMCG" run -m 32M --swap-max 512M -- "$BIN/fill" 96 || return
		cat "$TMP/sampled"
		at_most $((36 << 10)) "$(sed -n 's/^clients_max_kb //p' "$TMP/sampled")" clients_max_kb || return
		samples=$((samples + $(sed -n 's/^samples //p' "$TMP/sampled")))
		[ $samples -lt 10 ] || return 0
	done
	at_least 10 $samples samples
}

report_is_json() {
	umemcg_run 64M sh -c 'exit 3'
	expect 3 $? "exit code" || return
	"$BIN/reportget" "$report" memory.current memory.peak memory.max memory.high \
		memory.swap.current memory.swap.peak memory.swap.max memory.events/oom_kill \
		memory.events/max memory.stat/anon memory.stat/pgfault umemcg/elapsed_usec \
		umemcg/root_oom_killed umemcg/metadata_bytes umemcg/unmanaged_processes >/dev/null || return
	reported $((64 << 20)) memory.max && reported $((512 << 20)) memory.swap.max &&
		reported 3 umemcg/exit_status && reported 0 memory.events/oom_kill
}

# Nothing of umemcg is left: no process of ours, no file in the swap directory.
nothing_left() {
	mkdir "$TMP/swap" || return
	bounded "$UMEMCG" run -m 16M --swap-max 128M --swap "$TMP/swap" -- "$BIN/fill" 32 || return
	expect "" "$(ls -A "$TMP/swap")" "files in the swap directory"
}

check "echo prints" echo_works
check "arguments and environment arrive unchanged" arguments_and_environment
check "exit codes pass through" exit_codes
check "death by a signal is 128 + its number" death_by_signal
check "a missing program is 127, one that cannot run 126" no_program
check "a pipeline of several processes works" pipeline
check "standard input passes through" standard_input
# The system's own first: another may be a script that starts one.
python=$(PATH=/usr/bin:$PATH command -v python3)
if [ -n "$python" ]; then
	check "python3 with three times the limit gives the same sum" python_sum
else
	skip "python3 with three times the limit gives the same sum" "python3 is not installed"
fi
check "sort with more than the limit gives the same file" sort_equal
check "a program that fills three times the limit finds every page" fill_over_limit
check "the processes' RssAnon stays within the limit and 4 MiB" limit_holds
check "the report is JSON and has its keys" report_is_json
check "no file is left in the swap directory" nothing_left
