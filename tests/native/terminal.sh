#!/bin/sh
# tests/native/terminal.sh - the status line of -v on a real terminal: 80x24 in tmux, looked at as a person would.
. "$(dirname "$0")/lib.sh"
require_uffd
require_tool tmux

limit=256M
term=
terminals=0

end_terminal() {
	[ -z "$term" ] || $term kill-server 2>/dev/null
	lib_end
}
trap end_terminal EXIT

# terminal [ROWS COLUMNS]: a new one, with a shell that shows nothing but "$ "
terminal() {
	[ -z "$term" ] || $term kill-server 2>/dev/null
	terminals=$((terminals + 1))
	term="tmux -L umemcg-test.$$.$terminals -f /dev/null"
	$term new-session -d -x "${2:-80}" -y "${1:-24}" "env -i PATH='$PATH' TERM=screen TMPDIR='$TMP' PS1='\$ ' sh" &&
		until_true shows '^\$ *$' || { screen; return 1; }
}

screen() { $term capture-pane -p -t 0; }
# shows REGEX [ROW]: somewhere, or in that row
shows() {
	if [ $# -gt 1 ]; then screen | sed -n "$2p" | grep -q -e "$1"; else screen | grep -q -e "$1"; fi
}
type_line() { $term send-keys -t 0 -l "$1" && $term send-keys -t 0 Enter; }
key() { $term send-keys -t 0 "$@"; }
# The screen as comments, and false.
looks_wrong() { echo "$1; the screen:"; screen | sed 's/^/|/'; return 1; }
row_of() { screen | grep -n -e "$1" | tail -n 1 | cut -d: -f1; }

status='^memory [0-9.]* [KMGi]*B / 256\.0 MiB  swap'

# begin COMMAND: the command under umemcg -v, with its status line shown
begin() {
	type_line "clear; '$UMEMCG' run -m $limit -v -- $1"
	until_true shows "$status" "${2:-24}" || looks_wrong "no status line in row ${2:-24}"
}

# ended: the terminal has its whole size and scrolls to its last row
ended() {
	until_true shows 'supervisor .* metadata' || { looks_wrong "no report"; return 1; }
	type_line "clear; stty size"
	until_true shows "^${1:-24} ${2:-80}\$" || { looks_wrong "the terminal's size was not given back"; return 1; }
	type_line "seq 200"
	until_true shows '^\$ *$' "${1:-24}" && shows '^200$' "$((${1:-24} - 1))" ||
		looks_wrong "the last row is not scrolled any more"
}

lines_and_status() {
	terminal && begin "sh -c 'for i in 1 2 3 4 5 6; do echo line \$i; sleep 0.4; done; read go'" || return 1
	until_true shows '^line 6$' || { looks_wrong "a line is missing"; return 1; }
	for i in 1 2 3 4 5 6; do
		shows "^line $i\$" || { looks_wrong "line $i is missing"; return 1; }
	done
	shows "$status" 24 || { looks_wrong "the status line is not in the last row"; return 1; }
	key Enter
	ended
}

scrolling() {
	terminal && begin "sh -c 'seq 300; printf unfinished; sleep 1; echo , finished; read go'" || return 1
	until_true shows '^unfinished, finished$' || { looks_wrong "a line was torn"; return 1; }
	shows '^300$' "$(($(row_of '^unfinished') - 1))" && shows '^281$' && shows "$status" 24 ||
		{ looks_wrong "the lines are not one after the other"; return 1; }
	key Enter
	ended
}

a_build() {
	mkdir -p "$TMP/make" || return 1
	printf 'all: a b c d\n\t@echo built; read go\n%%:\n\t@echo making $@; sleep 0.3\n' >"$TMP/make/Makefile"
	terminal && begin "make -C $TMP/make" || return 1
	until_true shows '^built$' || { looks_wrong "it is not built"; return 1; }
	for i in a b c d; do
		shows "^making $i\$" || { looks_wrong "making $i is missing"; return 1; }
	done
	key Enter
	ended
}

a_prompt() {
	terminal && begin "python3 -q" || return 1
	until_true shows '^>>>' || { looks_wrong "no prompt"; return 1; }
	type_line "for i in range(60): print(i)"
	key Enter
	until_true shows '^59$' && until_true shows '^>>> *$' 23 || { looks_wrong "the loop's output"; return 1; }
	type_line "import time; time.sleep(1); print('slept')"
	until_true shows '^slept$' && until_true shows '^>>> *$' 23 && shows "$status" 24 ||
		{ looks_wrong "after the pause"; return 1; }
	type_line "exit()"
	ended
}

an_editor() {
	seq 100 >"$TMP/hundred"
	terminal || return 1
	type_line "clear; '$UMEMCG' run -m $limit -v -- vim -u NONE $TMP/hundred"
	until_true shows '100 lines' 23 || { looks_wrong "vim does not take 23 rows"; return 1; }
	key G
	until_true shows '^100$' 22 || { looks_wrong "the end of the file"; return 1; }
	$term resize-window -x 40 -y 15
	until_true shows '^100$' 13 || { looks_wrong "after a change of size"; return 1; }
	key C-z
	until_true shows '^\$ *$' || { looks_wrong "it is not stopped"; return 1; }
	type_line "stty size"
	until_true shows '^15 40$' || { looks_wrong "a stopped run keeps the row"; return 1; }
	type_line fg
	until_true shows '^100$' 13 || { looks_wrong "after fg"; return 1; }
	type_line ":q!"
	ended 15 40
}

# It leaves the cursor in the row that is the status line's.
whole_screen() {
	cat >"$TMP/whole" <<-'END'
		stty -icanon
		printf '\033[r\033[24;1H\033[2Klast'
		sleep 1
		stty icanon
		sleep 1
		echo
		seq 3
		read go
	END
	terminal && begin "sh $TMP/whole" || return 1
	until_true shows '^3$' || { looks_wrong "its end"; return 1; }
	for row in last:19 1:20 2:21 3:22; do
		shows "^${row%:*}$" "${row#*:}" || { looks_wrong "no $row"; return 1; }
	done
	shows "$status" 24 || { looks_wrong "the status line"; return 1; }
	key Enter
	ended
}

small() {
	terminal 24 40 && begin "sh -c 'seq 50; read go'" || return 1
	until_true shows '^50$' 22 && shows '^memory [^ ]* [^ ]* / 256\.0 MiB *[^ ]*' 24 && ! shows 'faults' ||
		{ looks_wrong "in 40 columns"; return 1; }
	key Enter
	ended 24 40
}

# Its keeper gives the row back.
killed_run() {
	terminal && begin "sh -c 'echo \$PPID >$TMP/ppid; exec sleep 1000'" || return 1
	until_true test -s "$TMP/ppid" || return 1
	kill -9 "$(cat "$TMP/ppid")"
	until_true shows '^Killed' || { looks_wrong "it is not killed"; return 1; }
	whole() { type_line "clear; stty size" && sleep 0.3 && shows '^24 80$'; }
	until_true whole || { looks_wrong "the terminal's size was not given back"; return 1; }
	type_line "seq 200"
	until_true shows '^200$' 23 || looks_wrong "the last row is not scrolled any more"
}

elsewhere() {
	terminal || return 1
	type_line "clear; TERM=dumb '$UMEMCG' run -m $limit -v -- sh -c 'stty size; read go'"
	until_true shows '^24 80$' || { looks_wrong "a dumb terminal"; return 1; }
	! shows "$status" || { looks_wrong "a dumb terminal has a status line"; return 1; }
	key Enter
	ended
}

plan 9
check "a program's lines stand above the status line" lines_and_status
check "they scroll, and none is torn or lost" scrolling
check_tool make "so do a build's" a_build
check_tool python3 "a prompt stands above it" a_prompt
check_tool vim "an editor has the rest of the screen: with a change of size, Ctrl-Z and fg" an_editor
check "the row is taken back from a program that used it" whole_screen
check "40 columns show whole parts of it" small
check "a killed umemcg leaves a whole terminal" killed_run
check "a terminal that is called dumb has none" elsewhere
