#!/bin/sh
# tests/agent/syscalls_test.sh - every system call of the kernel's headers is in the table of mode user, or was looked
# at and follows its rule (src/agent/user/syscalls.def).
# Usage: syscalls_test.sh SYSCALLS.DEF COMPILER...
set -u
def=$1
shift
echo 1..2
names=$(echo '#include <asm/unistd.h>' | "$@" -E -dM - | sed -n 's/^#define __NR_\([a-z0-9_]*\) [0-9]*$/\1/p' | sort)
listed=$(sed -n -e 's/^CALL(\([a-z0-9_]*\),.*/\1/p' -e '/^RULE(/{s/^RULE(//;s/)$//;s/, /\n/g;p;}' "$def" | sort)
missing=$(printf '%s\n' "$names" | while read -r name; do
	printf '%s\n' "$listed" | grep -qx "$name" || echo "$name"
done)
if [ -n "$names" ] && [ -z "$missing" ]; then
	echo "ok 1 - every system call of the headers is known"
else
	echo "not ok 1 - every system call of the headers is known"
	echo "# missing:" $missing
fi
twice=$(printf '%s\n' "$listed" | uniq -d)
if [ -z "$twice" ]; then
	echo "ok 2 - none is listed twice"
else
	echo "not ok 2 - none is listed twice"
	echo "# twice:" $twice
fi
