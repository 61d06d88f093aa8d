#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# intree.sh SUITE SECONDS COMMAND...: runs one of the kernel's own self-tests where
# it finds what it wants, in SUITE mm with mirrors attached to it if there are
# any. Ends with what came of it; its own status is 0.
set -u

suite=$1 seconds=$2
shift 2

echo 256M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null
swapon /dev/zram0
mkdir /tmp/ext4
mke2fs -F -b 4096 /dev/ram0 >/dev/null 2>&1
mount -t ext4 /dev/ram0 /tmp/ext4
mkdir -p /dev/shm
mount -t tmpfs none /dev/shm
mount -t tracefs none /sys/kernel/tracing
case $suite in
kvm*)
	# As many distributions have it.
	echo always >/sys/kernel/mm/transparent_hugepage/enabled
	echo always >/sys/kernel/mm/transparent_hugepage/shmem_enabled ;;
*)
	echo 64 >/proc/sys/vm/nr_hugepages ;;
esac
# Some map more than there is, and touch little of it.
echo 1 >/proc/sys/vm/overcommit_memory
if [ "$suite" = mm ] && [ -c /dev/mmu_notifier_mirror ]; then
	export MMU_NOTIFIER_ATTACH=list,page,interval,tlb
fi

cd /bin || exit 1
case $suite in
kvm*)
	# The exit status says it all; some fill the line while they wait.
	timeout -s KILL "$seconds" "$@" >/tmp/out 2>&1
	status=$?
	tail -n 20 /tmp/out | cut -c 1-120 ;;
*)
	timeout -s KILL "$seconds" "$@" 2>&1
	status=$? ;;
esac
echo "intree: status $status"
unset MMU_NOTIFIER_ATTACH
for file in mmu_notifier_mirror mmu_notifier_debug; do
	if [ -f /sys/kernel/debug/$file ]; then
		sed "s/^/intree: /" /sys/kernel/debug/$file
	fi
done
exit 0
