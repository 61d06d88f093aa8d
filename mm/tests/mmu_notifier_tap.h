/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * ioctls of /dev/mmu_notifier_tap, shared with the self-tests. Test code: not
 * installed, and free to change.
 */
#ifndef _MMU_NOTIFIER_TAP_H
#define _MMU_NOTIFIER_TAP_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * struct mmu_notifier_tap_stats - calls to the tapped subscriber
 * @starts: invalidate_range_start calls that succeeded
 * @ends: invalidate_range_end calls that had such a start
 * @open: invalidations that have started and not ended yet; @starts is always
 *	@ends + @open
 * @failed: invalidate_range_start calls that the subscriber refused
 * @unpaired: ends that no start of the same task and range came before
 * @clear_flush_young: clear_flush_young calls
 * @clear_young: clear_young calls
 * @test_young: test_young calls
 * @released: release calls
 * @withheld: start, end and aging calls that were not passed on
 */
struct mmu_notifier_tap_stats {
	__u64 starts;
	__u64 ends;
	__u64 open;
	__u64 failed;
	__u64 unpaired;
	__u64 clear_flush_young;
	__u64 clear_young;
	__u64 test_young;
	__u64 released;
	__u64 withheld;
};

/**
 * struct mmu_notifier_tap_pinned - pages of the caller that something holds on to
 * @addr: in: first address, page-aligned
 * @len: in: length in bytes, a multiple of the page size
 * @present: out: pages with a present entry in the caller's page table
 * @pinned: out: those of them with references that nothing accounts for
 */
struct mmu_notifier_tap_pinned {
	__u64 addr;
	__u64 len;
	__u64 present;
	__u64 pinned;
};

/* For MMU_NOTIFIER_TAP_BUST: pass on what MMU_NOTIFY_UNMAP brings all the same. */
#define MMU_NOTIFIER_TAP_KEEP_UNMAP	0x1

#define MMU_NOTIFIER_TAP_ATTACH	_IO('N', 0xe0)
#define MMU_NOTIFIER_TAP_BUST	_IO('N', 0xe1)
#define MMU_NOTIFIER_TAP_STATS	_IOR('N', 0xe2, struct mmu_notifier_tap_stats)
#define MMU_NOTIFIER_TAP_PINNED	_IOWR('N', 0xe3, struct mmu_notifier_tap_pinned)

#endif /* _MMU_NOTIFIER_TAP_H */
