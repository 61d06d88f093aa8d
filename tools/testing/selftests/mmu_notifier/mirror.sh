#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What mirror_test and mirror_random want to find: swap, an ext4 file system, and
# one with DAX if there is persistent memory. Then the test, with the options
# given; mirror.sh random OPTION... runs mirror_random, mirror.sh gru OPTION... and
# mirror.sh xpmem OPTION... the tests of the sample drivers.
set -eu

dir=$(dirname "$0")
skip() {
	echo "skip: $*"
	exit 4
}

mkfs() {
	mke2fs -F -b 4096 "$1" >/dev/null 2>&1 || mke2fs -F "$1" >/dev/null
}

[ "$(id -u)" = 0 ] || skip "must be root"
case ${1-} in
random) test=mirror_random ;;
gru | xpmem) test=${1}_kind_test ;;
*) test=mirror_test ;;
esac
case $test in
mirror_*)
	[ -c /dev/mmu_notifier_mirror ] || skip "needs CONFIG_MMU_NOTIFIER_MIRROR" ;;
*)
	[ -c "/dev/${test%_test}" ] || skip "needs ${test%_test} from samples/mmu_notifier" ;;
esac
if [ -b /dev/zram0 ] && ! grep -q zram0 /proc/swaps; then
	echo 256M >/sys/block/zram0/disksize
	mkswap /dev/zram0 >/dev/null
	swapon /dev/zram0
fi
if [ -b /dev/ram0 ] && [ ! -d /tmp/mirror_ext4 ]; then
	mkdir /tmp/mirror_ext4
	{ mkfs /dev/ram0 && mount -t ext4 /dev/ram0 /tmp/mirror_ext4; } ||
		rmdir /tmp/mirror_ext4
fi
if [ -b /dev/pmem0 ] && [ ! -d /tmp/mirror_dax ]; then
	mkdir /tmp/mirror_dax
	{ mkfs /dev/pmem0 && mount -t ext4 -o dax /dev/pmem0 /tmp/mirror_dax; } ||
		rmdir /tmp/mirror_dax
fi

# NUMA balancing changes entries unasked; a test that wants it turns it on.
[ ! -f /proc/sys/kernel/numa_balancing ] || echo 0 >/proc/sys/kernel/numa_balancing

case ${1-} in
random | gru | xpmem) shift ;;
esac
exec "$dir/$test" "$@"
