/* SPDX-License-Identifier: GPL-2.0 */
/*
 * MMU notifiers: the VM tells a secondary MMU before a page is unmapped,
 * write-protected, moved or freed, so that it need not pin what it maps.
 *
 * Concept, locking, events and guides: Documentation/mmu_notifier.rst.
 */
#ifndef _LINUX_MMU_NOTIFIER_H
#define _LINUX_MMU_NOTIFIER_H

#include <linux/bits.h>
#include <linux/interval_tree.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier_debug.h>
#include <linux/spinlock.h>

struct mmu_interval_notifier;
struct mmu_notifier;
struct mmu_notifier_range;
struct mmu_notifier_subscriptions;

/**
 * enum mmu_notifier_event - what is about to happen to a range
 * @MMU_NOTIFY_UNMAP: the mapping itself goes away (munmap), or its pages go to
 *	another address (mremap)
 * @MMU_NOTIFY_CLEAR: entries are cleared or replaced, the mapping stays:
 *	reclaim, zap, CoW, KSM, collapse, split
 * @MMU_NOTIFY_PROTECTION_VMA: entries follow a new protection of their VMA;
 *	the pages stay (mprotect, NUMA hinting)
 * @MMU_NOTIFY_PROTECTION_PAGE: entries lose write permission, their VMA
 *	keeps it (writeback, fork, userfaultfd write protection)
 * @MMU_NOTIFY_SOFT_DIRTY: entries are write-protected to track writes; the
 *	pages stay
 * @MMU_NOTIFY_RELEASE: the mm dies; only interval subscribers see this event,
 *	a list subscriber has &mmu_notifier_ops.release for it
 * @MMU_NOTIFY_MIGRATE: entries are cleared to collect pages for a device;
 *	&mmu_notifier_range.owner tells the device that asked for it
 * @MMU_NOTIFY_EXCLUSIVE: entries are cleared to give
 *	&mmu_notifier_range.owner atomic access
 *
 * A subscriber that does not care drops its mappings whatever the event is:
 * this is always right.
 */
enum mmu_notifier_event {
	MMU_NOTIFY_UNMAP = 0,
	MMU_NOTIFY_CLEAR,
	MMU_NOTIFY_PROTECTION_VMA,
	MMU_NOTIFY_PROTECTION_PAGE,
	MMU_NOTIFY_SOFT_DIRTY,
	MMU_NOTIFY_RELEASE,
	MMU_NOTIFY_MIGRATE,
	MMU_NOTIFY_EXCLUSIVE,
};

/* For mmu_notifier_register_range(). */
#define MMU_NOTIFIER_ALL_EVENTS		(BIT(MMU_NOTIFY_EXCLUSIVE + 1) - 1)

/* The callbacks for this range may sleep: set but in a non-blocking start. */
#define MMU_NOTIFIER_RANGE_BLOCKABLE	BIT(0)
/*
 * The range is one page, and mmu_notifier_invalidate_page() follows under the
 * page-table lock: a subscriber that has @invalidate_page gets that in place of the
 * pair.
 */
#define MMU_NOTIFIER_RANGE_PAGE		BIT(1)

/**
 * struct mmu_notifier_ops - what a list subscriber is told
 *
 * Any of them may be NULL, but for the combinations named below.  None may take
 * mmap_lock, nor, down to @arch_invalidate_secondary_tlbs, wait for memory: these
 * can run in reclaim.  None may subscribe or mmu_notifier_unregister(), as that waits for
 * callbacks, but for a fork callback with the child; mmu_notifier_put() is allowed.
 */
struct mmu_notifier_ops {
	/**
	 * @release: the mm is going away, or the subscriber is.
	 *
	 * Called exactly once, by exit_mmap() before any page is freed or by
	 * mmu_notifier_unregister(), whichever comes first.  A subscriber
	 * from mmu_notifier_get() sees it only if the mm dies before the last
	 * mmu_notifier_put().  Every secondary mapping has to be gone when it
	 * returns, and none may be established afterwards.  Other callbacks
	 * can run at the same time, and the ends of invalidations in flight
	 * still come.  Must not drop the last user reference to @mm.  May
	 * sleep; no lock is held.
	 */
	void (*release)(struct mmu_notifier *subscription,
			struct mm_struct *mm);

	/**
	 * @clear_flush_young: test and clear the accessed bits of
	 * [@start, @end), bytes, and flush the secondary TLB.
	 *
	 * Called under the page-table lock after the CPU's accessed bit was
	 * cleared; must not sleep.  Returns whether any bit was set.
	 */
	int (*clear_flush_young)(struct mmu_notifier *subscription,
				 struct mm_struct *mm,
				 unsigned long start, unsigned long end);

	/**
	 * @clear_young: as @clear_flush_young, but no flush is needed: a
	 * stale "not accessed" does no harm to the caller.
	 */
	int (*clear_young)(struct mmu_notifier *subscription,
			   struct mm_struct *mm,
			   unsigned long start, unsigned long end);

	/**
	 * @test_young: whether the page at @address was accessed through the
	 * secondary MMU.  Changes nothing.  Under the page-table lock; must
	 * not sleep.
	 */
	int (*test_young)(struct mmu_notifier *subscription,
			  struct mm_struct *mm, unsigned long address);

	/**
	 * @invalidate_range_start: the entries of @range are about to change.
	 *
	 * When it returns, no secondary mapping in the range may be left in
	 * use that the event makes stale, and until the matching
	 * @invalidate_range_end none may be established.  Invalidations overlap
	 * and nest: count them.
	 *
	 * Called with mmap_lock, the VMA's lock or a reverse-map lock held.
	 * May sleep if mmu_notifier_range_blockable(); if not, it returns
	 * -EAGAIN in place of sleeping, and then has changed nothing and sees
	 * no end.  Otherwise it returns 0.
	 */
	int (*invalidate_range_start)(struct mmu_notifier *subscription,
				      const struct mmu_notifier_range *range);

	/**
	 * @invalidate_range_end: the invalidation that @invalidate_range_start
	 * announced is over; mappings can be established again.
	 *
	 * Exactly once for each start that returned 0, with the same range,
	 * by the same task; also when a later subscriber refused a
	 * non-blocking start.  May sleep if mmu_notifier_range_blockable().
	 */
	void (*invalidate_range_end)(struct mmu_notifier *subscription,
				     const struct mmu_notifier_range *range);

	/**
	 * @invalidate_page: the entry of the one page [@range->start,
	 * @range->start + PAGE_SIZE) has been cleared.
	 *
	 * Called in place of a start/end pair where one page changes: under
	 * the page-table lock, before the new entry is visible and before the
	 * page can be freed.  The secondary mapping has to be gone when it
	 * returns.  Must not sleep.
	 *
	 * Requires @invalidate_range_start and @invalidate_range_end, for
	 * everything else.
	 */
	void (*invalidate_page)(struct mmu_notifier *subscription,
				const struct mmu_notifier_range *range);

	/**
	 * @arch_invalidate_secondary_tlbs: the CPU's TLBs are being flushed for
	 * [@start, @end), bytes.  The entries have been changed.
	 *
	 * For hardware that walks the CPU's own page tables (IOMMU SVA) and
	 * has only a TLB to invalidate.  Page-aligned bounds, or exactly
	 * (0, -1UL) for everything.  One address of a huge entry stands for all
	 * of it, as on the CPU.  May be called under the page-table lock; must
	 * not sleep.  Excludes @invalidate_range_start and @invalidate_range_end.
	 */
	void (*arch_invalidate_secondary_tlbs)(struct mmu_notifier *subscription,
					       struct mm_struct *mm,
					       unsigned long start,
					       unsigned long end);

	/**
	 * @fork: fork() has copied @mm to @child, which does not run yet.
	 *
	 * The invalidations of the copying are over.  What the two share
	 * copy-on-write is write-protected in both, and no CPU writes to it
	 * through an old TLB entry.  @child has nothing of a VMA with
	 * MADV_DONTFORK, and a VMA without pages for one with MADV_WIPEONFORK;
	 * nor does fork() copy entries that a fault can find again (files,
	 * shared memory).  Called whatever range or events the subscriber
	 * asked for; not for threads, vfork() and exec, which copy no mm.
	 *
	 * An error makes fork() fail with it, and no further subscriber is
	 * called.  Those that were called are not called again, as fork() can
	 * still fail for other reasons, too: a driver that keeps anything for
	 * @child subscribes to it, and is told by @release however @child ends.
	 *
	 * Called with mmap_lock of both held for writing.  May sleep and wait
	 * for memory, but not for a task that takes one of the two.  It may
	 * break CoW in @mm by get_user_pages_remote(), for a device that has to
	 * write; it must not fault in pages of @child, which is in no cgroup
	 * yet.  It may subscribe to @child, with those functions that want
	 * mmap_lock held, and unsubscribe from it.
	 */
	int (*fork)(struct mmu_notifier *subscription, struct mm_struct *mm,
		    struct mm_struct *child);

	/**
	 * @alloc_notifier: allocate a subscriber for mmu_notifier_get().
	 *
	 * Called with mmap_lock held for writing; may sleep.  Returns zeroed
	 * memory, or an ERR_PTR() that mmu_notifier_get() hands on.
	 */
	struct mmu_notifier *(*alloc_notifier)(struct mm_struct *mm);

	/**
	 * @free_notifier: free what @alloc_notifier allocated.
	 *
	 * Called some time after the last mmu_notifier_put(), when no
	 * callback runs or will, by a worker; may sleep.
	 */
	void (*free_notifier)(struct mmu_notifier *subscription);
};

/**
 * struct mmu_notifier - a list subscriber: is told of everything in one mm
 * @hlist: in the mm's list; the core's
 * @ops: set by the owner before mmu_notifier_register()
 * @mm: the mm subscribed to; holds a reference (mmgrab()) while subscribed.
 *	The core's; the owner may read it
 * @special: private; MN_COMING, MN_GOING, MN_LIMITED: what to test before it is
 *	called
 * @birth: private; the first generation of invalidations that it is told of
 * @death: private; the first that it is not told of any more
 * @start: private; first byte that it is told of
 * @last: private; last byte, inclusive
 * @events: private; BIT() of each event that it is told of
 * @users: private; references by mmu_notifier_get(), 0 when not subscribed
 * @release: private; how far @ops->release has got
 * @self: private; points to itself while it is subscribed, which a structure that was
 *	never zeroed does not
 * @gone: private; the next of those that were put
 */
struct mmu_notifier {
	struct hlist_node hlist;
	const struct mmu_notifier_ops *ops;
	struct mm_struct *mm;
	unsigned int special;
	unsigned int users;
	unsigned long birth;
	unsigned long death;
	unsigned long start;
	unsigned long last;
	unsigned int events;
	unsigned int release;
	struct mmu_notifier *self;
	struct mmu_notifier *gone;
};

/**
 * struct mmu_interval_notifier_ops - what an interval subscriber does
 * @invalidate: the entries of @range, which overlaps the interval, are about
 *	to change.  Takes the lock under which the owner calls
 *	mmu_interval_read_retry(), calls mmu_interval_set_seq() with @cur_seq
 *	and drops the secondary mappings.  Sleeps only if
 *	mmu_notifier_range_blockable(); returns false where it would have had
 *	to sleep and may not, otherwise true.
 */
struct mmu_interval_notifier_ops {
	bool (*invalidate)(struct mmu_interval_notifier *interval_sub,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq);
};

/**
 * struct mmu_interval_notifier - is told of invalidations in one interval
 * @interval_tree: its bounds: start, and last inclusive, in bytes
 * @ops: as given on insertion
 * @mm: as given on insertion; holds a reference (mmgrab()) while inserted
 * @invalidate_seq: the last invalidation that the owner acknowledged
 * @birth: private; when it was inserted: younger than what was in flight then
 * @cookie: private; of the grace period that ends what was in flight then
 * @active: private; invalidations in flight that overlap the interval
 * @pins: private; of those, the ones that are inside @ops->invalidate
 * @dead: private; being removed: not to be called any more
 * @settled: private; what was in flight at the insertion has ended
 */
struct mmu_interval_notifier {
	struct interval_tree_node interval_tree;
	const struct mmu_interval_notifier_ops *ops;
	struct mm_struct *mm;
	unsigned long invalidate_seq;
	u64 birth;
	unsigned long cookie;
	unsigned int active;
	unsigned int pins;
	bool dead;
	bool settled;
};

#ifdef CONFIG_MMU_NOTIFIER

#ifdef CONFIG_LOCKDEP
extern struct lockdep_map __mmu_notifier_invalidate_range_start_map;

/* A callback may invalidate what its driver maps in another mm; that one may not. */
static __always_inline void mmu_notifier_map_acquire(void)
{
	struct lockdep_map *map = &__mmu_notifier_invalidate_range_start_map;

	lock_acquire(map, lock_is_held(map) ? SINGLE_DEPTH_NESTING : 0, 0, 0, 1,
		     NULL, _THIS_IP_);
}

static __always_inline void mmu_notifier_map_release(void)
{
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);
}
#else
static inline void mmu_notifier_map_acquire(void)
{
}

static inline void mmu_notifier_map_release(void)
{
}
#endif

/* How long an mm stays ready for the next subscriber when the last has gone. */
extern unsigned int mmu_notifier_linger_ms;
/**
 * struct mmu_notifier_range - an invalidation
 * @mm: whose entries change; NULL if it has no subscriber
 * @start: first byte, page-aligned
 * @end: exclusive
 * @flags: MMU_NOTIFIER_RANGE_*
 * @event: why
 * @owner: with MMU_NOTIFY_MIGRATE and MMU_NOTIFY_EXCLUSIVE, the driver that asked
 *	for it, so that it can ignore what it does itself; otherwise NULL
 * @gen: private; the generation of the invalidation: which subscribers are told
 * @seq: private; its number among those that hit an interval, 0 if it hit none
 * @idx: private; of the SRCU reader from start to end, -1 outside it
 *
 * While there is no subscriber only @mm is set up.
 */
struct mmu_notifier_range {
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	unsigned int flags;
	enum mmu_notifier_event event;
	void *owner;

	unsigned long gen;
	u64 seq;
	int idx;
};

/*
 * In the low bits of mm->notifier_subscriptions, so that a hook needs one load to see
 * that it has nothing to do: is anything subscribed, does anything have an aging
 * operation, does anything follow TLB flushes?
 */
#define MMU_NOTIFIER_ACTIVE	BIT(0)
#define MMU_NOTIFIER_AGES	BIT(1)
#define MMU_NOTIFIER_TLBS	BIT(2)
#define MMU_NOTIFIER_BITS	(BIT(3) - 1)

int mmu_notifier_register(struct mmu_notifier *subscription,
			  struct mm_struct *mm);
int __mmu_notifier_register(struct mmu_notifier *subscription,
			    struct mm_struct *mm);
int mmu_notifier_register_range(struct mmu_notifier *subscription,
				struct mm_struct *mm, unsigned long start,
				unsigned long last, unsigned int events);
void mmu_notifier_unregister(struct mmu_notifier *subscription,
			     struct mm_struct *mm);
struct mmu_notifier *mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
					     struct mm_struct *mm);
struct mmu_notifier *mmu_notifier_get(const struct mmu_notifier_ops *ops,
				      struct mm_struct *mm);
void mmu_notifier_put(struct mmu_notifier *subscription);
void mmu_notifier_synchronize(void);

int mmu_interval_notifier_insert(struct mmu_interval_notifier *interval_sub,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long length,
				 const struct mmu_interval_notifier_ops *ops);
int mmu_interval_notifier_insert_locked(struct mmu_interval_notifier *interval_sub,
					struct mm_struct *mm,
					unsigned long start,
					unsigned long length,
					const struct mmu_interval_notifier_ops *ops);
void mmu_interval_notifier_remove(struct mmu_interval_notifier *interval_sub);
unsigned long mmu_interval_read_begin(struct mmu_interval_notifier *interval_sub);
int mmu_interval_read_begin_killable(struct mmu_interval_notifier *interval_sub,
				     unsigned long *seq);

/**
 * mmu_interval_set_seq - acknowledge an invalidation
 * @interval_sub: the interval
 * @cur_seq: as passed to &mmu_interval_notifier_ops.invalidate
 *
 * Context: from @invalidate, under the lock that the owner holds around
 * mmu_interval_read_retry().
 */
static inline void
mmu_interval_set_seq(struct mmu_interval_notifier *interval_sub,
		     unsigned long cur_seq)
{
	/* WRITE_ONCE(): mmu_interval_check_retry() reads without the lock */
	WRITE_ONCE(interval_sub->invalidate_seq, cur_seq);
}

/**
 * mmu_interval_read_retry - was the interval invalidated since @seq?
 * @interval_sub: the interval
 * @seq: from mmu_interval_read_begin()
 *
 * Context: under the lock that @invalidate takes around
 * mmu_interval_set_seq(); the answer holds until that lock is dropped.
 * Return: true if what was looked up since mmu_interval_read_begin() must be
 * thrown away.
 */
static inline bool
mmu_interval_read_retry(struct mmu_interval_notifier *interval_sub,
			unsigned long seq)
{
	return interval_sub->invalidate_seq != seq;
}

/**
 * mmu_interval_check_retry - an early hint that @seq has become stale
 * @interval_sub: the interval
 * @seq: from mmu_interval_read_begin()
 *
 * Context: any; no lock.
 * Return: true if mmu_interval_read_retry() is sure to return true; false
 * says nothing.
 */
static inline bool
mmu_interval_check_retry(struct mmu_interval_notifier *interval_sub,
			 unsigned long seq)
{
	return READ_ONCE(interval_sub->invalidate_seq) != seq;
}

void __mmu_notifier_release(struct mm_struct *mm);
int __mmu_notifier_clear_flush_young(struct mm_struct *mm,
				     unsigned long start, unsigned long end);
int __mmu_notifier_clear_young(struct mm_struct *mm,
			       unsigned long start, unsigned long end);
int __mmu_notifier_test_young(struct mm_struct *mm, unsigned long address);
int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range);
void __mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range);
void __mmu_notifier_invalidate_page(struct mmu_notifier_range *range);
void __mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						   unsigned long start,
						   unsigned long end);
int __mmu_notifier_fork(struct mm_struct *mm, struct mm_struct *child);

static __always_inline bool mmu_notifier_has(struct mm_struct *mm,
					     unsigned long bits)
{
	return unlikely((unsigned long)READ_ONCE(mm->notifier_subscriptions) &
			bits);
}

/**
 * mm_has_notifiers - does this mm have a subscriber?
 * @mm: the mm
 *
 * Return: a false result is stable under mmap_lock.  Under a VMA's lock or a reverse-map
 * lock it can change, but no registration returns before that lock is dropped.
 */
static inline int mm_has_notifiers(struct mm_struct *mm)
{
	return mmu_notifier_has(mm, MMU_NOTIFIER_ACTIVE);
}

/**
 * mmu_notifier_ages - does a secondary MMU take part in aging?
 * @mm: the mm
 *
 * Return: true if a subscriber has an aging operation.  It may come or go at any
 * time.
 */
static inline bool mmu_notifier_ages(struct mm_struct *mm)
{
	return mmu_notifier_has(mm, MMU_NOTIFIER_AGES);
}

/**
 * mmu_notifier_range_blockable - may the callbacks for an invalidation sleep?
 * @range: the invalidation
 *
 * Return: true if they may.
 */
static inline bool
mmu_notifier_range_blockable(const struct mmu_notifier_range *range)
{
	return range->flags & MMU_NOTIFIER_RANGE_BLOCKABLE;
}

static __always_inline void
__mmu_notifier_range_fill(struct mmu_notifier_range *range,
			  enum mmu_notifier_event event, unsigned int flags,
			  struct mm_struct *mm, unsigned long start,
			  unsigned long end, void *owner)
{
	range->mm = mm;
	range->start = start;
	range->end = end;
	range->flags = flags | MMU_NOTIFIER_RANGE_BLOCKABLE;
	range->event = event;
	range->owner = owner;
	range->idx = -1;
}

/**
 * mmu_notifier_range_init_none - no invalidation yet
 * @range: what mmu_notifier_range_init_late() may set up
 *
 * mmu_notifier_invalidate_range_end() does nothing for it.
 */
static __always_inline void
mmu_notifier_range_init_none(struct mmu_notifier_range *range)
{
	range->mm = NULL;
}

/**
 * mmu_notifier_range_init_owner - describe an invalidation, on behalf of an owner
 * @range: the invalidation to set up
 * @event: what will happen
 * @flags: 0, or MMU_NOTIFIER_RANGE_PAGE
 * @mm: whose entries
 * @start: first byte
 * @end: exclusive
 * @owner: see &struct mmu_notifier_range
 *
 * Context: as mmu_notifier_invalidate_range_start(), which has to follow: once
 * for each, and under the same lock.
 */
static __always_inline void
mmu_notifier_range_init_owner(struct mmu_notifier_range *range,
			      enum mmu_notifier_event event, unsigned int flags,
			      struct mm_struct *mm, unsigned long start,
			      unsigned long end, void *owner)
{
	range->mm = NULL;
	/* A subscriber that comes after this waits for our lock. */
	if (IS_ENABLED(CONFIG_DEBUG_MMU_NOTIFIER) || mm_has_notifiers(mm))
		__mmu_notifier_range_fill(range, event, flags, mm, start, end,
					  owner);
}

/**
 * mmu_notifier_range_init - describe an invalidation
 * @range: the invalidation to set up
 * @event: what will happen
 * @flags: 0, or MMU_NOTIFIER_RANGE_PAGE
 * @mm: whose entries
 * @start: first byte
 * @end: exclusive
 *
 * Context: see mmu_notifier_range_init_owner(), of which this is a case.
 */
static __always_inline void
mmu_notifier_range_init(struct mmu_notifier_range *range,
			enum mmu_notifier_event event, unsigned int flags,
			struct mm_struct *mm, unsigned long start,
			unsigned long end)
{
	mmu_notifier_range_init_owner(range, event, flags, mm, start, end, NULL);
}

/**
 * mmu_notifier_range_init_late - describe an invalidation, when something is found
 * @range: from mmu_notifier_range_init_none()
 * @event: what will happen
 * @mm: whose entries
 * @start: first byte
 * @end: exclusive
 * @owner: see &struct mmu_notifier_range
 *
 * For loops that start an invalidation at the first entry that is there.
 *
 * Context: as mmu_notifier_range_init_owner().
 * Return: true if mmu_notifier_invalidate_range_start() is to follow; false if it
 * has, or if there is no subscriber.
 */
static __always_inline bool
mmu_notifier_range_init_late(struct mmu_notifier_range *range,
			     enum mmu_notifier_event event,
			     struct mm_struct *mm, unsigned long start,
			     unsigned long end, void *owner)
{
	/* lockdep wants to see a start, with or without a subscriber. */
	if (!IS_ENABLED(CONFIG_DEBUG_MMU_NOTIFIER) &&
	    !IS_ENABLED(CONFIG_LOCKDEP) && !mm_has_notifiers(mm))
		return false;
	if (range->mm)
		return false;
	__mmu_notifier_range_fill(range, event, 0, mm, start, end, owner);
	return true;
}

/**
 * mmu_notifier_invalidate_range_start - start an invalidation
 * @range: set up by mmu_notifier_range_init()
 *
 * Context: may sleep.  mmap_lock, the VMA's lock or a reverse-map lock is
 * held, and stays held until mmu_notifier_invalidate_range_end(): that is what
 * keeps a subscriber from registering half-way.
 */
static __always_inline void
mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	/* Not might_sleep(): no preemption point when there is no subscriber. */
	__might_sleep(__FILE__, __LINE__);

	/* Also without a subscriber: lockdep then finds callers that allocate here. */
	mmu_notifier_map_acquire();
	if (unlikely(range->mm))
		__mmu_notifier_invalidate_range_start(range);
	mmu_notifier_map_release();
	mmu_notifier_debug_start(range);
}

/**
 * mmu_notifier_invalidate_range_start_nonblock - start an invalidation, or fail
 * @range: set up by mmu_notifier_range_init()
 *
 * Context: as mmu_notifier_invalidate_range_start(), but no callback sleeps.
 * Return: 0, or -EAGAIN if a subscriber would have had to sleep: then the
 * invalidation has not started, and must not be ended.
 */
static __always_inline int __must_check
mmu_notifier_invalidate_range_start_nonblock(struct mmu_notifier_range *range)
{
	int ret = 0;

	mmu_notifier_map_acquire();
	if (unlikely(range->mm)) {
		range->flags &= ~MMU_NOTIFIER_RANGE_BLOCKABLE;
		ret = __mmu_notifier_invalidate_range_start(range);
	}
	mmu_notifier_map_release();
	if (!ret)
		mmu_notifier_debug_start(range);
	return ret;
}

/**
 * mmu_notifier_invalidate_range_end - end an invalidation
 * @range: as it was at the start, by the same task
 *
 * Context: every entry of the range is as it shall be.  The CPU's TLBs may be
 * flushed, and the pages freed, later.
 */
static inline void
mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	mmu_notifier_debug_end(range);
	if (unlikely(range->mm))
		__mmu_notifier_invalidate_range_end(range);
}

/**
 * mmu_notifier_invalidate_page - the entry of a one-page invalidation is cleared
 * @range: started and not ended; does nothing unless it has MMU_NOTIFIER_RANGE_PAGE
 *
 * Context: under the page-table lock, after the entry was cleared (and
 * flushed, unless the flush is batched), before the next one is set.
 */
static inline void
mmu_notifier_invalidate_page(struct mmu_notifier_range *range)
{
	mmu_notifier_debug_page(range);
	if (unlikely(range->mm) && (range->flags & MMU_NOTIFIER_RANGE_PAGE))
		__mmu_notifier_invalidate_page(range);
}

/**
 * mmu_notifier_release - the mm dies
 * @mm: the mm; its last user has gone
 *
 * Context: may sleep; before any page of the mm is freed.
 */
static inline void mmu_notifier_release(struct mm_struct *mm)
{
	if (mm_has_notifiers(mm))
		__mmu_notifier_release(mm);
}

/**
 * mmu_notifier_clear_flush_young - age the secondary MMUs, with a flush
 * @mm: the mm
 * @start: first byte
 * @end: exclusive
 *
 * Context: atomic; under the page-table lock.
 * Return: whether any of them had accessed the range.
 */
static inline int mmu_notifier_clear_flush_young(struct mm_struct *mm,
						 unsigned long start,
						 unsigned long end)
{
	if (mmu_notifier_ages(mm))
		return __mmu_notifier_clear_flush_young(mm, start, end);
	return 0;
}

/**
 * mmu_notifier_clear_young - age the secondary MMUs, without a flush
 * @mm: the mm
 * @start: first byte
 * @end: exclusive
 *
 * Context: atomic; under the page-table lock.
 * Return: whether any of them had accessed the range.
 */
static inline int mmu_notifier_clear_young(struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	if (mmu_notifier_ages(mm))
		return __mmu_notifier_clear_young(mm, start, end);
	return 0;
}

/**
 * mmu_notifier_test_young - have the secondary MMUs accessed a page?
 * @mm: the mm
 * @address: in the page
 *
 * Context: atomic; under the page-table lock.
 * Return: whether any of them has.
 */
static inline int mmu_notifier_test_young(struct mm_struct *mm,
					  unsigned long address)
{
	if (mmu_notifier_ages(mm))
		return __mmu_notifier_test_young(mm, address);
	return 0;
}

/**
 * mmu_notifier_arch_invalidate_secondary_tlbs - flush TLBs that walk the
 * CPU's page tables
 * @mm: the mm
 * @start: first byte
 * @end: exclusive
 *
 * Context: any that a TLB flush can be in; does not sleep.
 */
static inline void
mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
					    unsigned long start,
					    unsigned long end)
{
	if (mmu_notifier_has(mm, MMU_NOTIFIER_TLBS))
		__mmu_notifier_arch_invalidate_secondary_tlbs(mm, start, end);
}

/**
 * mmu_notifier_fork - an mm has been copied
 * @mm: the mm
 * @child: its copy; no task runs in it yet
 *
 * Context: may sleep.  mmap_lock of both held for writing, all VMAs and entries
 * copied.
 * Return: 0, or the error with which a subscriber makes the fork fail.
 */
static inline int mmu_notifier_fork(struct mm_struct *mm,
				    struct mm_struct *child)
{
	if (mm_has_notifiers(mm))
		return __mmu_notifier_fork(mm, child);
	return 0;
}

void __mmu_notifier_subscriptions_destroy(struct mm_struct *mm);

static inline void mmu_notifier_subscriptions_init(struct mm_struct *mm)
{
	mm->notifier_subscriptions = NULL;
}

/* From __mmdrop(). */
static inline void mmu_notifier_subscriptions_destroy(struct mm_struct *mm)
{
	if (unlikely(mm->notifier_subscriptions))
		__mmu_notifier_subscriptions_destroy(mm);
}

#else /* !CONFIG_MMU_NOTIFIER */

struct mmu_notifier_range {
};

static inline int mm_has_notifiers(struct mm_struct *mm)
{
	return 0;
}

static inline bool
mmu_notifier_range_blockable(const struct mmu_notifier_range *range)
{
	return true;
}

static inline void
mmu_notifier_range_init_owner(struct mmu_notifier_range *range,
			      enum mmu_notifier_event event, unsigned int flags,
			      struct mm_struct *mm, unsigned long start,
			      unsigned long end, void *owner)
{
}

static inline void
mmu_notifier_range_init(struct mmu_notifier_range *range,
			enum mmu_notifier_event event, unsigned int flags,
			struct mm_struct *mm, unsigned long start,
			unsigned long end)
{
}

static inline void
mmu_notifier_range_init_none(struct mmu_notifier_range *range)
{
}

static inline bool
mmu_notifier_range_init_late(struct mmu_notifier_range *range,
			     enum mmu_notifier_event event,
			     struct mm_struct *mm, unsigned long start,
			     unsigned long end, void *owner)
{
	return false;
}

static inline void
mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
}

static inline int __must_check
mmu_notifier_invalidate_range_start_nonblock(struct mmu_notifier_range *range)
{
	return 0;
}

static inline void
mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
}

static inline void
mmu_notifier_invalidate_page(struct mmu_notifier_range *range)
{
}

static inline void mmu_notifier_release(struct mm_struct *mm)
{
}

static inline int mmu_notifier_clear_flush_young(struct mm_struct *mm,
						 unsigned long start,
						 unsigned long end)
{
	return 0;
}

static inline int mmu_notifier_clear_young(struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	return 0;
}

static inline int mmu_notifier_test_young(struct mm_struct *mm,
					  unsigned long address)
{
	return 0;
}

static inline bool mmu_notifier_ages(struct mm_struct *mm)
{
	return false;
}

static inline void
mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
					    unsigned long start,
					    unsigned long end)
{
}

static inline int mmu_notifier_fork(struct mm_struct *mm,
				    struct mm_struct *child)
{
	return 0;
}

static inline void mmu_notifier_subscriptions_init(struct mm_struct *mm)
{
}

static inline void mmu_notifier_subscriptions_destroy(struct mm_struct *mm)
{
}

static inline void mmu_notifier_synchronize(void)
{
}

#endif /* CONFIG_MMU_NOTIFIER */

#endif /* _LINUX_MMU_NOTIFIER_H */
