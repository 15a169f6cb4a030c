# bench/kernel.sh - the kernel's memory controller as a bench column. Sourced by bench/run.sh.
#
# kernel_probe DIR             sets kernel_reason: empty, or why it cannot be measured here
# kernel_begin LIMIT SWAP DIR  (bytes, bytes) a cgroup of our own at $kernel_cgroup, and a swap file unless SWAP is 0
# kernel_oom                   true when the OOM killer was at work in the cgroup
# kernel_end                   removes what kernel_begin made; harmless when there is nothing
# kernel_pswpout               pages that the machine has written to swap so far
#
# Version 1 of the controller is used where it is mounted, else version 2. zswap is switched off
# while we measure and put back afterwards: the comparison is swap file against swap file.
#
# Every variable is set before the thing it stands for is made, so that a signal between the two
# still finds it; kernel_end asks the system what is really there.

kernel_cgroup=
kernel_swapfile=
kernel_zswap=
kernel_subtree=
zswap_switch=/sys/module/zswap/parameters/enabled

kernel_mounts() {
	kernel_v1=$(awk '$3 == "cgroup" && ("," $4 ",") ~ /,memory,/ { print $2; exit }' \
		/proc/mounts)
	kernel_v2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -z "$kernel_v2" ] || grep -qw memory "$kernel_v2/cgroup.controllers" 2>/dev/null ||
		kernel_v2=
}

kernel_probe() {
	kernel_mounts
	kernel_reason=
	if [ "$(id -u)" -ne 0 ]; then
		kernel_reason="needs root"
	elif [ -z "$kernel_v1$kernel_v2" ]; then
		kernel_reason="no memory controller is mounted"
	elif [ -n "$kernel_v1" ] && [ ! -e "$kernel_v1/memory.memsw.limit_in_bytes" ]; then
		kernel_reason="the controller has no swap accounting (boot with swapaccount=1)"
	elif ! command -v mkswap >/dev/null || ! command -v swapon >/dev/null; then
		kernel_reason="mkswap and swapon are not installed"
	else
		case $(stat -f -c %T "$1") in
		tmpfs | ramfs | overlayfs | nfs | zfs)
			kernel_reason="no swap file is possible on the disk of $1 (use -d)" ;;
		esac
	fi
}

kernel_make_swap() { # BYTES DIR
	kernel_swapfile=$2/kernel.swap
	(umask 077 && : >"$kernel_swapfile") || return 1
	# Btrfs takes a swap file only without copy-on-write; others may refuse, which is fine.
	chattr +C "$kernel_swapfile" 2>/dev/null
	fallocate -l "$1" "$kernel_swapfile" 2>/dev/null ||
		head -c "$1" /dev/zero >"$kernel_swapfile" || return 1
	mkswap "$kernel_swapfile" >/dev/null 2>&1 || return 1
	swapon "$kernel_swapfile"
}

kernel_zswap_off() {
	if [ "$(cat "$zswap_switch" 2>/dev/null)" = Y ]; then
		kernel_zswap=Y
		echo N >"$zswap_switch"
	fi
}

kernel_make_cgroup() { # LIMIT SWAP
	if [ -n "$kernel_v1" ]; then
		kernel_cgroup=$kernel_v1/umemcg-bench.$$
		mkdir "$kernel_cgroup" &&
			echo "$1" >"$kernel_cgroup/memory.limit_in_bytes" &&
			echo $(($1 + $2)) >"$kernel_cgroup/memory.memsw.limit_in_bytes"
		return
	fi
	if ! grep -qw memory "$kernel_v2/cgroup.subtree_control"; then
		kernel_subtree=yes
		echo +memory >"$kernel_v2/cgroup.subtree_control" || return 1
	fi
	kernel_cgroup=$kernel_v2/umemcg-bench.$$
	mkdir "$kernel_cgroup" &&
		echo "$1" >"$kernel_cgroup/memory.max" &&
		echo "$2" >"$kernel_cgroup/memory.swap.max"
}

kernel_begin() {
	kernel_zswap_off
	{ [ "$2" -eq 0 ] || kernel_make_swap "$2" "$3"; } && kernel_make_cgroup "$1" "$2"
}

kernel_oom() {
	cat "$kernel_cgroup/memory.oom_control" "$kernel_cgroup/memory.events" 2>/dev/null |
		grep -q '^oom_kill [1-9]'
}

kernel_remove_cgroup() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -d "$kernel_cgroup" ] || break
		while read -r pid; do
			kill -KILL "$pid" 2>/dev/null
		done <"$kernel_cgroup/cgroup.procs"
		rmdir "$kernel_cgroup" 2>/dev/null && break
		sleep 0.3
	done
	[ ! -d "$kernel_cgroup" ] || echo "bench: could not remove $kernel_cgroup" >&2
	kernel_cgroup=
}

kernel_end() {
	[ -z "$kernel_cgroup" ] || kernel_remove_cgroup
	if [ -n "$kernel_swapfile" ] && grep -q "^${kernel_swapfile}[[:space:]]" /proc/swaps; then
		swapoff "$kernel_swapfile" || echo "bench: could not swapoff $kernel_swapfile" >&2
	fi
	[ -z "$kernel_swapfile" ] || rm -f "$kernel_swapfile"
	kernel_swapfile=
	[ -z "$kernel_zswap" ] || echo "$kernel_zswap" >"$zswap_switch"
	kernel_zswap=
	[ -z "$kernel_subtree" ] || echo -memory >"$kernel_v2/cgroup.subtree_control"
	kernel_subtree=
}

# Pages that the machine has written to swap: ours, where nothing else swaps.
kernel_pswpout() { sed -n 's/^pswpout //p' /proc/vmstat; }
