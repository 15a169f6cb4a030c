#!/bin/sh
# tools/compat/build-glibc.sh - the tests of glibc that tools/compat/glibc.list names, from Debian's glibc-source.
#
#     build-glibc.sh DIRECTORY     programs go to DIRECTORY/bin. Does nothing where they are.
#
# The tests are compiled against the installed C library, one by one: their support library as far as it compiles that way,
# then each test. One that needs the insides of a glibc build does not compile, is named in DIRECTORY/missing, and its entry is
# skipped as not found. Nothing of it becomes part of this repository.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$(ls /usr/src/glibc/glibc-2.*.tar.xz 2>/dev/null | tail -n 1)
parts='support nptl malloc rt posix stdlib misc io sysdeps/pthread sysdeps/unix/sysv/linux test-skeleton.c include
	sysdeps/x86_64/stackinfo.h sysdeps/generic'

mkdir -p "$1"
cd "$1"
names=$(sed -n '/^[a-z]/{s/[[:space:]].*//;p;}' "$here/glibc.list")
[ ! -e built ] || [ "$(cat built)" != "$names" ] || exit 0
[ -n "$source" ] || { echo "glibc-source is not installed"; exit 1; }

if [ ! -e src/include ]; then
	mkdir -p src.new
	wanted=
	for part in $parts; do
		wanted="$wanted $(basename "$source" .tar.xz)/$part"
	done
	tar xJf "$source" -C src.new --strip-components=1 $wanted
	mv src.new src
fi

# Only these headers of glibc's own, or those of the system would be hidden.
mkdir -p inc bin lib
for h in support test-skeleton.c include/array_length.h include/libc-diag.h include/scratch_buffer.h include/intprops.h \
	include/libc-pointer-arith.h include/set-freeres.h include/allocate_once.h sysdeps/x86_64/stackinfo.h malloc; do
	[ ! -e "src/$h" ] || ln -sfn "$PWD/src/$h" "inc/$(basename "$h")"
done
: >inc/libc-symbols.h
: >inc/config.h
flags='-O2 -g -w -std=gnu11 -D_GNU_SOURCE -include limits.h -Iinc -iquote src/support -idirafter src/support -DMODULE_NAME=testsuite -DIS_IN(x)=0
	-DTIMEOUTFACTOR=1 -Dattribute_hidden= -Dlibc_hidden_proto(x)= -Dlibc_hidden_def(x)='
for path in $(grep -oE 'error please -D[A-Z_]+' src/support/support_paths.c | sed 's/.*-D//'); do
	flags="$flags -D$path=\"/\"" # what these tests do not use
done

for c in src/support/*.c; do
	name=$(basename "$c" .c)
	case $name in tst-* | test-* | *-main | links-dso-program* | shell-container | true-container | echo-container) continue ;; esac
	[ -e "lib/$name.o" ] || cc $flags -c -o "lib/$name.o" "$c" 2>"lib/$name.log" || continue
done
rm -f lib/libsupport.a
ar rc lib/libsupport.a lib/*.o

: >missing
for name in $names; do
	[ ! -x "bin/$name" ] || continue
	found=
	for part in sysdeps/pthread nptl malloc rt sysdeps/unix/sysv/linux posix stdlib misc io; do
		[ -z "$found" ] && [ -e "src/$part/$name.c" ] || continue
		found=$part
		cc $flags -iquote "src/$part" -iquote src/nptl -iquote src/sysdeps/pthread -iquote src -o "bin/$name" "src/$part/$name.c" lib/libsupport.a -pthread -lrt -ldl -lm \
			2>"bin/$name.log" || echo "$name $(grep -m 1 -E 'error|undefined' "bin/$name.log")" >>missing
	done
	[ -n "$found" ] || echo "$name not in the source" >>missing
done
echo "$names" >built
