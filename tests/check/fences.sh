#!/bin/sh
# tests/check/fences.sh MUTATE - takes the fence out of each store and unlock that a scenario reaches. One is known to
# be needed: the one between the unlock of a page and the look whether its slot is still in use (swapcache_check_stale).
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
echo 1..1
if "$1" -t -m 1 -b 1600 swap-write-and-zap >"$out" 2>&1; then
	echo "ok 1 - the one fence that is known to be needed is missed"
else
	echo "not ok 1 - the one fence that is known to be needed is missed"
	sed 's/^/# /' "$out"
	exit 1
fi
