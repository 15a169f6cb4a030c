#!/bin/sh
# Install the packages of `make deb` in a new Debian 12, use them there as root and as somebody else, purge them, and see
# that nothing stays. Needs root, debootstrap and a mirror: $MIRROR, or what apt uses here. Takes about two minutes and
# 500 MB below $TMPDIR (/var/tmp). Usage: tools/deb-test.sh DIRECTORY
set -eu
cd "$(dirname "$0")/.."

debs=$(cd "${1:-build-deb}" && pwd)
[ "$(id -u)" -eq 0 ] || { echo "deb-test: needs root, for debootstrap and chroot" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "deb-test: needs the package debootstrap" >&2; exit 1; }
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep debian | sed 1q)}
[ -n "$mirror" ] || { echo "deb-test: no mirror is known; name one in MIRROR" >&2; exit 1; }
root=$(mktemp -d "${TMPDIR:-/var/tmp}/umemcg-root.XXXXXX")
chmod 755 "$root"
tests=0 failed=0

end() {
	trap '' INT TERM HUP
	trap - EXIT
	for place in dev proc sys; do
		! mountpoint -q "$root/$place" || umount -l "$root/$place"
	done
	rm -rf --one-file-system "$root"
	exit "$1"
}
trap 'end $?' EXIT
trap 'end 130' INT
trap 'end 143' TERM HUP

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }

# check NAME COMMAND...
check() {
	name=$1
	shift
	tests=$((tests + 1))
	if "$@" >"$root/tmp/out" 2>&1; then
		echo "ok $tests - $name"
	else
		failed=$((failed + 1))
		echo "not ok $tests - $name"
		sed 's/^/# /' "$root/tmp/out"
	fi
}

everything() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./var/cache \
	-o -path ./var/log -o -path ./var/lib/dpkg -o -path ./var/lib/apt \) -prune -o -print | sort); }

echo "# a new Debian 12 in $root"
debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 || {
	tail -5 "$root.log" >&2
	rm -f "$root.log"
	exit 1
}
rm -f "$root.log"
cp /etc/resolv.conf "$root/etc/" 2>/dev/null || true
for place in dev proc sys; do
	mount --rbind "/$place" "$root/$place"
	mount --make-rslave "$root/$place"
done
mkdir "$root/tmp/debs"
cp "$debs"/umemcg_*.deb "$debs"/umemcg-agent_*.deb "$root/tmp/debs"
# What they depend on stays; it is there before, so that only theirs can be left over.
inside sh -c 'apt-get update -q && apt-get install -y -q --no-install-recommends bash-completion zsh-common man-db $(
	dpkg-deb -f /tmp/debs/umemcg_*.deb Depends | tr , "\n" | sed "s/(.*//; /umemcg-agent/d")' >"$root/tmp/apt" 2>&1 || {
	tail -5 "$root/tmp/apt" >&2
	exit 1
}
everything >"$root/tmp/before"

check "they install" inside sh -c 'apt-get install -y -q --no-install-recommends /tmp/debs/*.deb'
check "a program runs in its limit" inside sh -c \
	'seq 3000000 | rev >/tmp/big && umemcg run -m 32M --swap-max 512M --report json --report-file /tmp/r -- \
	sort -S 128M -o /tmp/limited /tmp/big && sort /tmp/big | cmp - /tmp/limited && grep -q "\"pswpout\":.[1-9]" /tmp/r'
check "the checker runs for somebody without rights" inside setpriv --reuid 65534 --regid 65534 --clear-groups \
	umemcg check uncharge-twice
check "somebody without rights is told what this place permits" inside sh -c 'setpriv --reuid 65534 --regid 65534 --clear-groups \
	--no-new-privs --bounding-set=-all --inh-caps=-all umemcg doctor | grep "^mode "'
check "the manual is there" inside sh -c 'man -w umemcg umemcg-run umemcg-check umemcg-doctor umemcg-migrate'
check "bash completes commands and options" inside bash -c '. /usr/share/bash-completion/bash_completion &&
	_completion_loader umemcg; COMP_WORDS=(umemcg run --memory-h) COMP_CWORD=2; _umemcg umemcg &&
	[ "${COMPREPLY[*]}" = --memory-high ]'
check "they are purged" inside apt-get purge -y -q umemcg umemcg-agent
everything >"$root/tmp/after"
check "nothing of them is left" diff "$root/tmp/before" "$root/tmp/after"
echo "1..$tests"
[ "$failed" -eq 0 ]
