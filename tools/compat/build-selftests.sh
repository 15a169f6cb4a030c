#!/bin/sh
# tools/compat/build-selftests.sh - the kernel's own tests that tools/compat/selftests.list names, from Debian's linux-source-6.1.
#
#     build-selftests.sh DIRECTORY     programs go to DIRECTORY/bin. Does nothing where they are.
#
# One that does not compile is named in DIRECTORY/missing, and its entry is skipped as not found. Nothing of it becomes part
# of this repository.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(ls /usr/src/linux-source-6.*.tar.xz 2>/dev/null | tail -n 1)

mkdir -p "$1"
cd "$1"
names=$(sed -n '/^[a-z]/{s/[[:space:]].*//;p;}' "$here/selftests.list")
[ ! -e built ] || [ "$(cat built)" != "$names" ] || exit 0
[ -n "$source" ] || { echo "linux-source-6.1 is not installed"; exit 1; }

if [ ! -e src/tools ]; then
	mkdir -p src.new
	from=$(basename "$source" .tar.xz)
	tar xJf "$source" -C src.new --strip-components=1 "$from/tools/testing/selftests" "$from/tools/include" \
		"$from/mm/gup_test.h" "$from/include/vdso" "$from/arch/x86/include/asm/desc_defs.h"
	mv src.new src
fi
mkdir -p bin
top=src/tools/testing/selftests

# What a test's own Makefile adds to it.
helpers() { # DIRECTORY NAME
	case $1 in
	vm) echo "$top/vm/vm_util.c" ;;
	memfd) [ "$2" = memfd_test ] && echo "$top/memfd/common.c" ;;
	openat2) echo "$top/openat2/helpers.c" ;;
	rseq) echo "$top/rseq/rseq.c -Isrc/tools/include" ;;
	x86) echo "-no-pie" ;;
	esac
	case $2 in
	protection_keys) echo "-mxsave" ;;
	ksm_tests) echo "-Isrc -lnuma" ;;
	migration) echo "-lnuma" ;;
	memfd_secret | mlock-random-test | mlock2-tests | clone3_cap_checkpoint_restore | seccomp_bpf) echo "-lcap" ;;
	esac
}

compile() { # NAME FILE OPTION...
	compiled=$1 file=$2
	shift 2
	cc -O2 -g -w -D_GNU_SOURCE -I"$(dirname "$file")" -o "bin/$compiled" "$file" "$@" -pthread -lrt -ldl 2>"bin/$compiled.log"
}

: >missing
for name in $names; do
	[ ! -x "bin/$name" ] || continue
	file=$(find "$top" -name "$name.c" | head -n 1)
	[ -n "$file" ] || { echo "$name not in the source" >>missing; continue; }
	directory=${file#"$top/"}
	directory=${directory%%/*}
	compile "$name" "$file" -I"$top" -I"$top/futex/include" $(helpers "$directory" "$name") ||
		echo "$name $(grep -m 1 -E 'error|undefined|cannot find' "bin/$name.log")" >>missing
done
echo "$names" >built
