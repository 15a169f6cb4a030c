#!/bin/sh
# The engine calls nothing but the machine contract, as a TAP test: what the objects of src/memcg and src/mm
# leave undefined is defined by the engine or the layers above it, or is on the list below. And the
# agent, which lives in other people's processes, needs no library but libc.
# Usage: tools/check-engine-symbols.sh BUILD_DIRECTORY
set -eu
cd "$1"

# Allowed from outside: strings, snprintf and checksums; what the inline functions of plat/native/machine.h
# are made of; what the compiler and the sanitizers put in by themselves.
allowed='^(mem(cpy|move|set|cmp|chr)|str(len|nlen|cmp|ncmp|chr|spn|cspn|pbrk)|v?snprintf|__(v?snprintf|mem(cpy|move|set))_chk
|XXH3_(64|128)bits|XXH3_128bits_withSecret|abort
|pthread_mutex_(init|destroy|lock|trylock|unlock)|pthread_rwlock_(rdlock|wrlock|tryrdlock|trywrlock|unlock)
|__(u?div|u?mod|mul)[dt]i[34]|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__tls_get_addr|__errno_location
|__(asan|ubsan|tsan|sanitizer)_.*|_?__sanitizer_.*)$'
allowed=$(echo "$allowed" | tr -d '\n')

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

defined() {
	for layer in base plat_native memcg mm mmu_soft mmu_host audit; do
		[ ! -f "libumemcg-$layer.a" ] || nm --defined-only "libumemcg-$layer.a"
	done | awk 'NF == 3 { print $3 }' | sort -u
}

# check NUMBER LAYER
check() {
	if [ ! -f "libumemcg-$2.a" ]; then
		echo "ok $1 - $2 # SKIP libumemcg-$2.a is not built"
		return
	fi
	nm --undefined-only "libumemcg-$2.a" | awk 'NF == 2 { print $2 }' | sort -u >"$tmp/undefined"
	comm -23 "$tmp/undefined" "$tmp/defined" | grep -vE "$allowed" >"$tmp/foreign" || true
	if [ -s "$tmp/foreign" ]; then
		echo "not ok $1 - src/$2 calls nothing but the machine contract"
		sed 's/^/# /' "$tmp/foreign"
	else
		echo "ok $1 - src/$2 calls nothing but the machine contract"
	fi
}

check_agent() {
	if [ ! -f libumemcg-agent.so ]; then
		echo "ok $1 - agent # SKIP libumemcg-agent.so is not built"
		return
	fi
	needed=$(readelf -d libumemcg-agent.so | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
		grep -vE '^(libc|libdl|ld-linux.*)\.so' || true)
	if [ -n "$needed" ]; then
		echo "not ok $1 - the agent needs no library but libc"
		echo "$needed" | sed 's/^/# /'
	else
		echo "ok $1 - the agent needs no library but libc"
	fi
}

defined >"$tmp/defined"
echo "1..3"
{
	check 1 memcg
	check 2 mm
	check_agent 3
} | tee "$tmp/result"
! grep -q '^not ok' "$tmp/result"
