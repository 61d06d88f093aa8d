#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Swap to compressed RAM, then swap_guest_test with the options given. Without
# any: a small guest, and the control.
set -eu

dir=$(dirname "$0")
skip() {
	echo "skip: $*"
	exit 4
}

[ "$(id -u)" = 0 ] || skip "must be root"
[ -c /dev/kvm ] || skip "no /dev/kvm"
[ -c /dev/mmu_notifier_tap ] || skip "needs CONFIG_MMU_NOTIFIER_TAP"
[ -b /dev/zram0 ] || skip "no zram"
grep -q zram0 /proc/swaps || {
	echo 768M >/sys/block/zram0/disksize
	mkswap /dev/zram0 >/dev/null
	swapon /dev/zram0
}
grep -qw memory /sys/fs/cgroup/cgroup.subtree_control ||
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control

if [ $# -gt 0 ]; then
	exec "$dir/swap_guest_test" "$@"
fi
"$dir/swap_guest_test" -m 32 -r 3
"$dir/swap_guest_test" -m 32 -r 1 -b
