# tests/native/same.sh - for scripts that compare a program with itself without umemcg. Source it after lib.sh.

out=$TMP/out
err=$TMP/err
LC_ALL=C
export LC_ALL

# under LIMIT COMMAND...: to $out and $err
under() {
	limit=$1
	shift
	rm -f "$report"
	bounded $prefix "$UMEMCG" run -m "$limit" --swap-max 1G --report json --report-file "$report" -- "$@" >"$out" 2>"$err"
}
prefix=

shown() { cat "$out" "$err"; return 1; }

enough=256M

# same COMMAND...: the same output, standard error and exit status as without umemcg.
same() {
	bounded "$@" >"$TMP/want" 2>"$TMP/want.err"
	want=$?
	under "$enough" "$@"
	expect $want $? "exit status" && cmp "$TMP/want" "$out" && cmp "$TMP/want.err" "$err" && return
	shown
}
