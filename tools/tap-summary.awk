# From Meson's testlog.txt: a line a test, then `N passed, N failed, N skipped`. Exit 1 when any failed.
#
# A program's part of the log is: "test:", "result:", its stdout (TAP), its stderr. What a TAP stream
# promised (the plan) and did not deliver has failed.

function reset() {
	name = result = plan_skip = note = errors = ""
	planned = -1
	seen = bad = ok_noted = in_out = in_err = 0
}

function say(verdict, what, why) {
	printf "%-5s %s: %s%s\n", verdict, name, what, why == "" ? "" : " (" why ")"
}

# One TAP result line. The reason of a skip is after its "# SKIP", or in the comment before it.
function test_line(line, verdict, what, why, at) {
	seen++
	verdict = line ~ /^not ok/ ? "FAIL" : "PASS"
	what = line
	sub(/^(not )?ok *[0-9]*( *-)? */, "", what)
	if (match(what, /# *[Ss][Kk][Ii][Pp][^ ]*/)) {
		why = substr(what, RSTART + RLENGTH + 1)
		what = substr(what, 1, RSTART - 1)
		if (what ~ /^ *$/) { # cmocka writes "# SKIP name"
			what = why
			why = skip_note
		}
		sub(/ +$/, "", what)
		verdict = "SKIP"
		skipped++
	} else if (verdict == "PASS") {
		passed++
	} else {
		failed++
		bad++
	}
	skip_note = ""
	say(verdict, what, why)
	show_comments = verdict == "FAIL"
}

function finish(missing) {
	if (name == "")
		return
	if (plan_skip != "" || (planned == 0 && seen == 0)) {
		skipped++
		say("SKIP", "all", plan_skip)
		return
	}
	missing = planned < 0 ? 0 : planned - seen
	if (missing > 0) {
		failed += missing
		bad += missing
		say("FAIL", missing " of " planned " tests did not finish", result)
	} else if (planned < 0 && seen == 0) {
		failed++
		bad++
		say("FAIL", "no test was run", result)
	} else if (result != "exit status 0" && bad == 0) {
		failed++
		bad++
		say("FAIL", "the program ended badly", result)
	}
	if (bad > 0 && errors != "")
		printf "%s", errors
}

BEGIN { reset() }
/^=+ [0-9]+\/[0-9]+ =+$/ { finish(); reset(); next }
/^Summary of Failures:/ { finish(); reset(); next }
/^==============================================================================$/ { in_out = in_err = 0; next }
/^-+ stdout -+$/ { in_out = 1; show_comments = 0; next }
/^-+ stderr -+$/ { in_out = 0; in_err = 1; next }
!in_out && !in_err && /^test: / { name = $NF; next }
!in_out && !in_err && /^result: / { result = $0; sub(/^result: */, "", result); next }
in_out && /^1\.\.[0-9]+/ {
	planned = substr($1, 4) + 0
	if (match($0, /# *[Ss][Kk][Ii][Pp][^ ]* */))
		plan_skip = substr($0, RSTART + RLENGTH)
	next
}
in_out && /^(not )?ok([ \t]|$)/ { test_line($0); next }
in_out && /^Bail out!/ { show_comments = 1; print "      " $0; next }
in_out && /^# skip: / { skip_note = substr($0, 9); next }
in_out && show_comments && /^#/ { print "      " $0; next }
in_err && ++error_lines[name] <= 60 { errors = errors "      " $0 "\n"; next }
END {
	finish()
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	exit failed > 0
}
