#!/bin/sh
# `umemcg migrate` on a machine with two memory nodes: a virtual one, in software (qemu), with Debian's kernel and an
# initramfs of busybox, umemcg and test programs. What runs there is tools/numa-vm-guest.sh. Takes some minutes, and
# 1 GiB of memory.
# Usage: tools/numa-vm.sh [BUILD_DIRECTORY]
# Installs the packages below when root, else names them. The kernel is unpacked, not installed; it and all else is
# below $TMPDIR (/var/tmp) while this runs. $NUMA_VM_ACCEL: what qemu runs it with, default tcg.
set -eu

packages="qemu-system-x86 busybox-static cpio"
build=$(realpath "${1:-$(dirname "$0")/../build-test}")
guest=$(realpath "$(dirname "$0")/numa-vm-guest.sh")
tmp=$(mktemp -d "${TMPDIR:-/var/tmp}/umemcg-numa-vm.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

missing=
for package in $packages; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ] && [ "$(id -u)" -ne 0 ]; then
	echo "numa-vm: packages are missing. As root, run: apt-get install -y --no-install-recommends$missing" >&2
	exit 1
fi
if [ -n "$missing" ]; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -q
	# shellcheck disable=SC2086
	apt-get install -q -y --no-install-recommends $missing
fi

# The kernel.
cd "$tmp"
kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
apt-get download -q -o APT::Sandbox::User=root "$kernel"
dpkg-deb -x "$kernel"_*.deb kernel

# The file system.
for dir in bin proc sys dev tmp lib64; do
	mkdir -p "root/$dir"
done
busybox=$(command -v busybox)
cp "$busybox" root/bin/busybox
for tool in sh mount cat sleep grep sed awk kill seq tail cut rm poweroff; do
	ln -s busybox "root/bin/$tool"
done
cp "$build/umemcg" "$build/libumemcg-agent.so" root/bin/
for prog in fill steady shared reportget; do
	cp "$build/tests/native/prog/$prog" root/bin/
done
for lib in $(ldd root/bin/umemcg root/bin/fill root/bin/reportget |
	sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[ 	]*\(\/[^ ]*\) (.*/\1/p' | sort -u); do
	mkdir -p "root$(dirname "$lib")"
	cp -L "$lib" "root$lib"
done
cp "$guest" root/init
chmod 755 root/init
(cd root && find . | cpio -o -H newc --quiet) | gzip -1 >initramfs

# Kernel messages and the results come over the serial line; its line ends are a terminal's.
timeout -k 5 900 qemu-system-x86_64 -accel "${NUMA_VM_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 1G \
	-object memory-backend-ram,id=m0,size=512M -numa node,nodeid=0,cpus=0,memdev=m0 \
	-object memory-backend-ram,id=m1,size=512M -numa node,nodeid=1,cpus=1,memdev=m1 \
	-kernel "$(ls kernel/boot/vmlinuz-*)" -initrd initramfs -append "console=ttyS0 panic=-1 quiet" \
	-nodefaults -display none -serial stdio -no-reboot </dev/null | sed -u 's/\r$//' |
	tee serial | sed -un '/^\(# \|ok \|not ok \|1\.\.\)/p'
grep -q '^1\.\.' serial || {
	echo "numa-vm: the machine did not get to the end:" >&2
	tail -n 20 serial >&2
	exit 1
}
! grep -q '^not ok ' serial
