#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What the tests want to find: the driver, swap, an ext4 file system, huge pages. Then
# xpmem_test, with the options given; xpmem.sh fuzz OPTION... runs xpmem_fuzz, and
# xpmem.sh soak [ROUNDS] both, again and again, with more patience: for a kernel with
# KASAN and the coverage checker.
set -eu

dir=$(dirname "$0")
skip() {
	echo "skip: $*"
	exit 4
}

load() {
	if [ -f "$dir/xpmem.ko" ]; then
		insmod "$dir/xpmem.ko"
	else
		modprobe xpmem 2>/dev/null || :
	fi
}

# A module has to go when it is unused, and not before.
unload() {
	grep -q '^xpmem ' /proc/modules 2>/dev/null || return 0
	if (exec 9</dev/xpmem && rmmod xpmem) 2>/dev/null; then
		echo "not ok: the module went while its device was open"
		return 1
	fi
	# The last mm drops its reference in the background.
	tries=0
	until rmmod xpmem 2>/dev/null; do
		tries=$((tries + 1))
		if [ $tries -gt 100 ]; then
			echo "not ok: rmmod xpmem"
			return 1
		fi
		sleep 0.1
	done
	if [ -e /dev/xpmem ] || [ -e /proc/xpmem ]; then
		echo "not ok: the module has left something"
		return 1
	fi
	load
	[ -c /dev/xpmem ] || {
		echo "not ok: the module does not load again"
		return 1
	}
	echo "ok: the module was unloaded and loaded again"
}

[ "$(id -u)" = 0 ] || skip "must be root"
[ -c /dev/xpmem ] || load
[ -c /dev/xpmem ] || skip "needs CONFIG_XPMEM"
if [ -b /dev/zram0 ] && ! grep -q zram0 /proc/swaps; then
	echo 512M >/sys/block/zram0/disksize
	mkswap /dev/zram0 >/dev/null
	swapon /dev/zram0
fi
if [ -b /dev/ram0 ] && [ ! -d /tmp/xpmem_ext4 ]; then
	mkdir /tmp/xpmem_ext4
	{ { mke2fs -F -b 4096 /dev/ram0 >/dev/null 2>&1 || mke2fs -F /dev/ram0 >/dev/null; } &&
		mount -t ext4 /dev/ram0 /tmp/xpmem_ext4; } || rmdir /tmp/xpmem_ext4
fi
if [ -f /proc/sys/vm/nr_hugepages ] && [ "$(cat /proc/sys/vm/nr_hugepages)" -lt 16 ]; then
	echo 16 >/proc/sys/vm/nr_hugepages
fi
# A test that goes wrong may not take the others' memory.
if [ -f /sys/fs/cgroup/cgroup.subtree_control ]; then
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || :
fi

rc=0
case ${1-} in
fuzz)
	shift
	"$dir/xpmem_fuzz" "$@" || rc=1
	;;
soak)
	rounds=${2-3}
	export XPMEM_PATIENCE_MS=60000
	round=0
	while [ $rc = 0 ] && [ $round -lt "$rounds" ]; do
		round=$((round + 1))
		echo "round $round of $rounds"
		"$dir/xpmem_test" || rc=1
		"$dir/xpmem_fuzz" -n 20000 || rc=1
	done
	;;
*)
	"$dir/xpmem_test" "$@" || rc=$?
	;;
esac
unload || rc=1
exit $rc
