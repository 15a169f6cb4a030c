#!/bin/sh
# The preloaded agent against a minimal supervisor that keeps taking pages away: programs must
# notice nothing. Speaks TAP. Usage: agent_test.sh AGENT.so AGENT_PEER AGENT_CLIENT
# Needs userfaultfd with fork events (root or CAP_SYS_PTRACE); skips without.
set -u
agent=$(realpath "$1") peer=$(realpath "$2") client=$(realpath "$3")
dir=$(mktemp -d) && cd "$dir" || exit 1
trap 'rm -rf "$dir"' EXIT
n=0

check() {
	name=$1
	shift
	n=$((n + 1))
	if "$@" > out 2> err; then
		echo "ok $n - $name"
	else
		echo "not ok $n - $name"
		sed 's/^/# /' err | tail -5
	fi
}

supervised() {
	timeout 600 "$peer" -n 16 "$agent" "$@"
}

same_result() {
	"$@" > plain && supervised "$@" > managed && cmp plain managed
}

# The process is over, or a zombie that somebody else has to collect.
over() {
	case $(sed -n 's/^State:[^A-Za-z]*\(.\).*/\1/p' "/proc/$1/status" 2> /dev/null) in '' | Z | X) return 0 ;; esac
	return 1
}

# The helper kills its process when the supervisor is gone. A program that speaks has its agent at work.
dies_with_supervisor() {
	mkfifo said never || return
	"$peer" "$agent" sh -c 'echo $$ > said; read line < never' &
	up=$!
	read -r child < said
	! over "$child" || return
	kill -9 $up
	tries=0
	until over "$child"; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || { kill -9 "$child"; return 1; }
		sleep 0.1
	done
}

no_supervisor() {
	[ "$(UMEMCG_SOCKET=nobody-$$ LD_PRELOAD=$agent sh -c 'echo unharmed' 2>&1)" = unharmed ]
}

if ! supervised true 2> /dev/null; then
	echo "1..0 # SKIP no userfaultfd with fork events here"
	exit 0
fi
for test in keep mremap dontneed populate brk fork_shared fork_storm fork_threads robust threads direct \
	    sweep signals raw_clone; do
	check "$test" supervised "$client" "$test"
done
seq 1 50000 | sed 's/.*\(.\)\(..\)$/\2\1&/' > numbers
check 'sort gives the same' same_result sort -n numbers
check 'a shell with pipes and subshells gives the same' same_result sh -c \
	'for i in 1 2 3 4 5; do echo $(echo $i | sed s/^/x/ | cat) $(seq $i | wc -l); done'
check 'a process dies with its supervisor' dies_with_supervisor
check 'without a supervisor a program runs as ever' no_supervisor
echo "1..$n"
