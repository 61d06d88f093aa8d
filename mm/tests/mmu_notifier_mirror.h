/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/mmu_notifier_mirror: a secondary MMU in software, for self-tests only.
 *
 * A file is one mirror of one range of the caller's address space. It maps pages
 * without holding them, and checks at every notification that it maps nothing
 * that the CPU does not.
 */
#ifndef _MM_TESTS_MMU_NOTIFIER_MIRROR_H
#define _MM_TESTS_MMU_NOTIFIER_MIRROR_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* How the mirror is told of what happens to the range. */
enum mirror_flavour {
	MIRROR_LIST,		/* start and end */
	MIRROR_PAGE,		/* start and end, and invalidate_page */
	MIRROR_INTERVAL,	/* an interval subscriber */
	MIRROR_TLB,		/* arch_invalidate_secondary_tlbs: it shares the
				 * CPU's page tables and caches what they say
				 */
	MIRROR_FLAVOURS,
};

/* Be told of fork(), and check that parent, child and mirror agree then. */
#define MIRROR_FORK		1
/* Then break CoW in the parent, and map all of the range writable. */
#define MIRROR_FORK_COW		2
/* Then subscribe to the child; only one until MIRROR_DETACH. */
#define MIRROR_FORK_CHILD	4
/* Before all that, watch for a while whether what is write-protected is written to. */
#define MIRROR_FORK_STILL	8
/* Subscribe to the range alone. */
#define MIRROR_LIMITED		16

/**
 * struct mirror_attach - mirror [@start, @end) of the caller's mm
 * @start: first byte, page-aligned
 * @end: exclusive, page-aligned
 * @flavour: enum mirror_flavour
 * @flags: MIRROR_LIMITED, and MIRROR_FORK*, the others with the first; not for an
 *	interval
 */
struct mirror_attach {
	__u64 start;
	__u64 end;
	__u32 flavour;
	__u32 flags;
};

/**
 * struct mirror_access - touch pages through the mirror
 * @start: first byte, page-aligned
 * @end: exclusive, page-aligned
 * @write: 0: read; 1: add 1 to the __u64 at @offset of each page
 * @nofault: 1: only through entries that are there
 * @offset: in each page, a multiple of 8
 * @pages: out: how many were touched
 * @sum: out: of the __u64 at @offset of the pages touched, as read (before the
 *	addition)
 */
struct mirror_access {
	__u64 start;
	__u64 end;
	__u32 write;
	__u32 nofault;
	__u64 offset;
	__u64 pages;
	__u64 sum;
};

/**
 * struct mirror_threads - let kernel threads work on the range
 * @nr: threads, 1 to 8
 * @seed: of their random numbers
 * @ops: accesses by each thread, 0: until MIRROR_STOP
 * @writes: percentage of accesses that write (as @write above)
 * @follow: 1: no accesses. They go through the range again and again, @ops times,
 *	and map what the CPU maps, without a fault and without touching it
 * @offset: in each page, a multiple of 8
 */
struct mirror_threads {
	__u32 nr;
	__u32 seed;
	__u64 ops;
	__u32 writes;
	__u32 follow;
	__u64 offset;
};

/**
 * struct mirror_stats - what the mirror has seen and done
 * @starts: invalidate_range_start, or invalidate for an interval
 * @ends: invalidate_range_end
 * @pages: invalidate_page
 * @flushes: arch_invalidate_secondary_tlbs
 * @clear_flush_young: calls
 * @clear_young: calls
 * @test_young: calls
 * @releases: release, or MMU_NOTIFY_RELEASE for an interval
 * @dropped: entries dropped by notification
 * @protected: entries write-protected by notification
 * @faults: entries established
 * @retries: lookups thrown away by the retry protocol
 * @reads: accesses that read
 * @writes: accesses that wrote
 * @checks: entries compared with the CPU's
 * @live: entries mapped now
 * @violations: of this mirror
 * @reports: of CONFIG_DEBUG_MMU_NOTIFIER since boot, any mm
 * @last_event: enum mmu_notifier_event of the last invalidation
 * @forks: calls of fork
 * @child_starts: invalidate_range_start in a child (MIRROR_FORK_CHILD)
 * @child_releases: release of a child
 */
struct mirror_stats {
	__u64 starts;
	__u64 ends;
	__u64 pages;
	__u64 flushes;
	__u64 clear_flush_young;
	__u64 clear_young;
	__u64 test_young;
	__u64 releases;
	__u64 dropped;
	__u64 protected;
	__u64 faults;
	__u64 retries;
	__u64 reads;
	__u64 writes;
	__u64 checks;
	__u64 live;
	__u64 violations;
	__u64 reports;
	__u64 last_event;
	__u64 forks;
	__u64 child_starts;
	__u64 child_releases;
};

/* What a subscriber can be called for. */
enum mirror_call { MIRROR_STARTS, MIRROR_ENDS, MIRROR_ONE_PAGE, MIRROR_FLUSHES };

/**
 * struct mirror_record - one call, whether it concerns the mirror's range or not
 * @start: first byte
 * @end: exclusive; ~0 in place of the end of the address space
 * @call: enum mirror_call; an interval has no ends
 * @event: enum mmu_notifier_event, but for flushes
 */
struct mirror_record {
	__u64 start;
	__u64 end;
	__u32 call;
	__u32 event;
};

#define MIRROR_RECORDS		2048

/**
 * struct mirror_log - the calls since MIRROR_ATTACH or the last MIRROR_LOG
 * @nr: how many of @record are valid
 * @lost: how many calls found no place
 * @record: in order
 */
struct mirror_log {
	__u32 nr;
	__u32 lost;
	struct mirror_record record[MIRROR_RECORDS];
};

#define MIRROR_ATTACH		_IOW('m', 0, struct mirror_attach)
#define MIRROR_ACCESS		_IOWR('m', 1, struct mirror_access)
#define MIRROR_THREADS	_IOW('m', 2, struct mirror_threads)
/* Stop the threads and wait for them; without MIRROR_THREADS -EINVAL. */
#define MIRROR_STOP		_IO('m', 3)
/* Wait until the threads have done their @ops each (-EINTR on a signal). */
#define MIRROR_WAIT		_IO('m', 4)
/* Compare every live entry with the CPU's; out: @violations so far. */
#define MIRROR_CHECK		_IOR('m', 5, __u64)
#define MIRROR_STATS		_IOR('m', 6, struct mirror_stats)
/* Unsubscribe; closing the file does it too. */
#define MIRROR_DETACH		_IO('m', 7)

/* Write-protect the shared file mapping by wp_shared_mapping_range(). */
#define MIRROR_CLEAN		_IO('m', 8)
/* The next fork() that the mirror is told of is to fail with this errno. */
#define MIRROR_FORK_ERROR	_IOW('m', 9, __u32)
/* The log, a struct mirror_log, of which @nr records are written; empty afterwards. */
#define MIRROR_LOG		_IO('m', 10)

#endif /* _MM_TESTS_MMU_NOTIFIER_MIRROR_H */
