# bash completion for umemcg. Commands and options are read from its own help, so that they are those of
# the version that is installed.

_umemcg_options() {
	"${COMP_WORDS[0]}" help "$1" 2>/dev/null | grep -o -E -e '(^|[ ,])-{1,2}[a-z][a-z-]*' | tr -d ' ,' | sort -u
}

# Where the program to run stands in the words; 0: not yet.
_umemcg_program() {
	local i takes=$'\n'-m$'\n'-p$'\n'
	takes+=$("${COMP_WORDS[0]}" help run 2>/dev/null | sed -n -E 's/^ .*(--[a-z-]+) [A-Z].*/\1/p')$'\n'
	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--) echo $((i + 1)); return ;;
		-*) [[ $takes != *$'\n'"${COMP_WORDS[i]}"$'\n'* ]] || ((i++)) ;;
		*) echo "$i"; return ;;
		esac
	done
	[[ ${COMP_WORDS[COMP_CWORD]} == -* || $i -gt $COMP_CWORD ]] && echo 0 || echo "$i"
}

_umemcg() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]-} words= at
	COMPREPLY=()
	if [[ $COMP_CWORD -eq 1 ]]; then
		words="$("$1" help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p') help --help --version"
		COMPREPLY=($(compgen -W "$words" -- "$cur"))
		return
	fi
	if [[ $command == run ]]; then
		at=$(_umemcg_program)
		if [[ $at -gt 0 ]] && declare -F _command_offset >/dev/null; then
			_command_offset "$at"
			return
		fi
	fi
	case $command:$prev in
	run:--mode) words="auto kernel-fork kernel user" ;;
	run:--view) words="none cgroup proc all env" ;;
	run:--view-total) words="max max+swap" ;;
	run:--report) words="text json" ;;
	run:--swap) COMPREPLY=($(compgen -d -- "$cur")); return ;;
	run:--report-file | run:--processes) COMPREPLY=($(compgen -f -- "$cur")); return ;;
	check:--bug) words=$("$1" check --list-bugs 2>/dev/null | cut -f1) ;;
	check:--format) words="text html" ;;
	check:--color) words="auto always never" ;;
	help:help) words=$("$1" help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p') ;;
	*)
		if [[ $cur == -* ]]; then
			words=$(_umemcg_options "$command")
		elif [[ $command == check ]]; then
			words=$("$1" check --list 2>/dev/null | cut -f1)
		elif [[ $command == get || $command == set || $command == migrate ]]; then
			if [[ $COMP_CWORD -eq 2 ]]; then
				words=$("$1" ls --no-header 2>/dev/null | awk '{ print $2 }')
			elif [[ $command != migrate ]]; then
				words=$("$1" get "${COMP_WORDS[2]}" 2>/dev/null | sed -n 's/^\([a-z_.]*\):.*/\1/p')
			fi
		elif [[ $command == run ]]; then
			COMPREPLY=($(compgen -c -- "$cur"))
			return
		fi
		;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}

complete -o bashdefault -o default -F _umemcg umemcg
