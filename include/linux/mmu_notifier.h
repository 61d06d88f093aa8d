/* SPDX-License-Identifier: GPL-2.0 */
/*
 * MMU notifiers: a secondary MMU hears from the VM before a page is unmapped,
 * write-protected, moved or freed, so that it need not pin what it maps.
 *
 * Concept, locking, events and guides: Documentation/mmu_notifier.rst.
 */
#ifndef _LINUX_MMU_NOTIFIER_H
#define _LINUX_MMU_NOTIFIER_H

#include <linux/bits.h>
#include <linux/interval_tree.h>
#include <linux/jump_label.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mmap_lock.h>
#include <linux/mmu_notifier_debug.h>
#include <linux/spinlock.h>

struct mmu_interval_notifier;
struct mmu_notifier;
struct mmu_notifier_age;
struct mmu_notifier_range;
struct limited;
struct section_waiter;
struct mmu_notifier_subscriptions;
struct sub_table;

/**
 * enum mmu_notifier_event - what is about to happen to a range
 * @MMU_NOTIFY_UNMAP: the mapping itself goes away (munmap) or to another
 *	address (mremap)
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
 * page-table lock: who has @invalidate_page gets that in place of the pair.
 */
#define MMU_NOTIFIER_RANGE_PAGE		BIT(1)
/* All of them. */
#define MMU_NOTIFIER_RANGE_FLAGS	(BIT(2) - 1)

/**
 * struct mmu_notifier_ops - what a list subscriber wants to hear
 *
 * Any of them may be NULL, but for the combinations named below.  None may take
 * mmap_lock, nor, down to @arch_invalidate_secondary_tlbs, wait for memory: these
 * can run in reclaim.  None may subscribe to its own mm or mmu_notifier_unregister()
 * from it, as that waits for callbacks; mmu_notifier_put() it may call.
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
	 * can run at the same time.  May sleep; no lock is held.
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
	 * @age: which of many pages were accessed?
	 *
	 * One call in place of many of @clear_young or @test_young, with the
	 * same result; see &struct mmu_notifier_age.  Under the page-table
	 * lock; must not sleep.  Requires both of them, for single pages.
	 */
	void (*age)(struct mmu_notifier *subscription, struct mm_struct *mm,
		    struct mmu_notifier_age *age);

	/**
	 * @invalidate_range_start: the entries of @range are about to change.
	 *
	 * When it returns, no secondary mapping in the range may be left in
	 * use that the event makes stale, and until the matching
	 * @invalidate_range_end none may be established.  Sections overlap
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
	 * @invalidate_range_end: the section that @invalidate_range_start
	 * opened is over; mappings can be established again.
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
	 * has only a TLB to invalidate.  One address of a huge entry stands
	 * for all that was cached from it, as on the CPU.  May be called
	 * under the page-table lock; must not sleep.  Excludes @invalidate_range_start and
	 * @invalidate_range_end.
	 */
	void (*arch_invalidate_secondary_tlbs)(struct mmu_notifier *subscription,
					       struct mm_struct *mm,
					       unsigned long start,
					       unsigned long end);

	/**
	 * @fork: fork() has copied @mm to @child, which does not run yet.
	 *
	 * The sections of the copying are over.  What the two share
	 * copy-on-write is write-protected in both, and no CPU writes to it
	 * through an old TLB entry.  @child has nothing of a VMA with
	 * MADV_DONTFORK, and a VMA without pages for one with MADV_WIPEONFORK;
	 * nor does fork() copy entries that a fault can find again (files,
	 * shared memory).  Called whatever range or events the subscriber
	 * asked for; not for threads, vfork() and exec, which copy no mm.
	 *
	 * An error makes fork() fail with it; who was not called yet is not.
	 * Who was called is not called again, as fork() can still fail for
	 * other reasons, too: who keeps anything for @child subscribes to it,
	 * and is told by @release however @child ends.
	 *
	 * Called with mmap_lock of both held for writing.  May sleep and wait
	 * for memory, but not for anybody who takes one of the two.  It may
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

/* mmu_notifier_age.flags: the accessed bits are cleared, too. */
#define MMU_NOTIFIER_AGE_CLEAR		BIT(0)
/* A subscriber may leave out what it would have to wait for. */
#define MMU_NOTIFIER_AGE_BEST_EFFORT	BIT(1)

/**
 * struct mmu_notifier_age - a question about the accessed bits of many pages
 * @start: first byte of page 0
 * @nr: pages
 * @flags: MMU_NOTIFIER_AGE_*
 * @ask: bit n: page n is asked about; of the others nothing is to change
 * @young: bit n is set by a subscriber through which page n was accessed, and
 *	left alone by others
 */
struct mmu_notifier_age {
	unsigned long start;
	unsigned int nr;
	unsigned int flags;
	const unsigned long *ask;
	unsigned long *young;
};

/**
 * struct mmu_notifier - a list subscriber: hears of everything in one mm
 * @hlist: in the mm's list; the core's
 * @ops: set by the owner before mmu_notifier_register()
 * @mm: the mm subscribed to; holds a reference (mmgrab()) while subscribed.
 *	The core's; the owner may read it
 * @start: private; first byte that it hears of
 * @last: private; last byte, inclusive
 * @users: private; references by mmu_notifier_get(), 0 when not subscribed
 * @events: private; BIT() of each event that it hears of
 * @release: private; how far @ops->release has got
 * @put_idx: private; for mmu_notifier_synchronize()
 */
struct mmu_notifier {
	struct hlist_node hlist;
	const struct mmu_notifier_ops *ops;
	struct mm_struct *mm;
	unsigned long start;
	unsigned long last;
	unsigned int users;
	u16 events;
	u8 release;
	u8 put_idx;
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
 * struct mmu_interval_notifier - hears of invalidations in one interval
 * @interval_tree: its bounds: start, and last inclusive, in bytes
 * @ops: as given on insertion
 * @mm: as given on insertion; holds a reference (mmgrab()) while inserted
 * @invalidate_seq: the last invalidation that the owner acknowledged
 * @active: private; sections in flight that overlap the interval, and 1 for those
 *	that were when it was inserted
 * @pins: private; walkers inside @ops->invalidate
 * @birth: private; when it was inserted
 * @waiter: private; for the sections that were open then
 */
struct mmu_interval_notifier {
	struct interval_tree_node interval_tree;
	const struct mmu_interval_notifier_ops *ops;
	struct mm_struct *mm;
	unsigned long invalidate_seq;
	unsigned int active;
	atomic_t pins;
	u64 birth;
	struct section_waiter *waiter;
};

#ifdef CONFIG_MMU_NOTIFIER

/* Off while nobody in the system listens: then no hook looks at its mm. */
DECLARE_STATIC_KEY_FALSE(mmu_notifier_key);

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
/* For tests: the watchdog's patience, and the address in a callback that it named. */
extern unsigned int mmu_notifier_watchdog_ms;
extern unsigned long mmu_notifier_watchdog_found;

/**
 * struct mmu_notifier_range - an invalidation section
 * @mm: whose entries change; NULL: nobody listens
 * @start: first byte, page-aligned
 * @end: exclusive
 * @flags: MMU_NOTIFIER_RANGE_*
 * @event: why
 * @owner: with MMU_NOTIFY_MIGRATE and MMU_NOTIFY_EXCLUSIVE: who asked for it,
 *	so that it can ignore what it does itself; otherwise NULL
 * @subscriptions: private; what counts the section, between start and end.  NULL:
 *	nobody is told; unset where @mm is NULL
 * @table: private; the list subscribers that the section is for
 * @limited: private; where to look for those of them that asked for a range
 * @hit: private; the interval that has counted it, or that there are several
 * @seq: private; with @hit: its number
 * @entered: private; the era of @subscriptions when the section began
 * @calls: private; what there is to do
 *
 * Set up only while somebody listens; else @mm is NULL.
 */
struct mmu_notifier_range {
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	unsigned int flags;
	enum mmu_notifier_event event;
	void *owner;

	struct mmu_notifier_subscriptions *subscriptions;
	struct sub_table *table;
	struct limited *limited;
	struct mmu_interval_notifier *hit;
	u64 seq;
	u64 entered;
	u8 calls;
};

/*
 * In the low bits of mm->notifier_subscriptions: what somebody listens to, outside
 * sections.  All hooks of other kinds are left after one test.
 */
#define MMU_NOTIFIER_HEARS_CLEAR_FLUSH_YOUNG	BIT(0)
#define MMU_NOTIFIER_HEARS_CLEAR_YOUNG		BIT(1)
#define MMU_NOTIFIER_HEARS_TEST_YOUNG		BIT(2)
#define MMU_NOTIFIER_HEARS_TLBS			BIT(3)
#define MMU_NOTIFIER_HEARS_FORK			BIT(4)
#define MMU_NOTIFIER_HEARS_MASK			(BIT(5) - 1)

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
void __mmu_notifier_age(struct mm_struct *mm, struct mmu_notifier_age *age);
int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range);
void __mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range);
void __mmu_notifier_invalidate_page(struct mmu_notifier_range *range);
void __mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						   unsigned long start,
						   unsigned long end);
int __mmu_notifier_fork(struct mm_struct *mm, struct mm_struct *child);

/**
 * mm_has_notifiers - does anybody listen to this mm?
 * @mm: the mm
 *
 * Return: false is stable only for who excludes registration: by mmap_lock,
 * a VMA's lock or a reverse-map lock.
 */
static inline int mm_has_notifiers(struct mm_struct *mm)
{
	return static_branch_unlikely(&mmu_notifier_key) &&
	       unlikely(rcu_access_pointer(mm->notifier_subscriptions));
}

/* Does somebody listen to a hook outside sections?  MMU_NOTIFIER_HEARS_* */
static __always_inline bool mmu_notifier_hears(struct mm_struct *mm,
					       unsigned long hooks)
{
	return static_branch_unlikely(&mmu_notifier_key) &&
	       unlikely((unsigned long)rcu_access_pointer(mm->notifier_subscriptions) &
			hooks);
}

/**
 * mmu_notifier_range_blockable - may the callbacks for a section sleep?
 * @range: the section
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
	range->flags = (flags & MMU_NOTIFIER_RANGE_FLAGS) |
		       MMU_NOTIFIER_RANGE_BLOCKABLE;
	range->event = event;
	range->owner = owner;
	range->subscriptions = NULL;
}

/* Where @mm is at hand only behind the key: so that nobody loads it for nobody. */
static __always_inline void
__mmu_notifier_range_init(struct mmu_notifier_range *range,
			  enum mmu_notifier_event event, unsigned int flags,
			  struct mm_struct *mm, unsigned long start,
			  unsigned long end, void *owner)
{
	/* Whoever comes after this waits for our lock. */
	if (IS_ENABLED(CONFIG_DEBUG_MMU_NOTIFIER) ||
	    unlikely(rcu_access_pointer(mm->notifier_subscriptions)))
		__mmu_notifier_range_fill(range, event, flags, mm, start, end,
					  owner);
}

/**
 * mmu_notifier_range_init_none - no section yet
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
 * mmu_notifier_range_init_owner - describe a section, on behalf of an owner
 * @range: the section to set up
 * @event: what will happen
 * @flags: 0, or MMU_NOTIFIER_RANGE_PAGE
 * @mm: whose entries
 * @start: first byte
 * @end: exclusive
 * @owner: see &struct mmu_notifier_range
 *
 * A macro, for that the arguments but @range are evaluated only if somebody in
 * the system listens: they must have no side effects.
 *
 * Context: as mmu_notifier_invalidate_range_start(), which has to follow: once
 * for each, and under the same lock.
 */
#define mmu_notifier_range_init_owner(range, event, flags, mm, start, end,	\
				      owner)					\
do {										\
	struct mmu_notifier_range *__range = (range);				\
										\
	mmu_notifier_range_init_none(__range);					\
	if (IS_ENABLED(CONFIG_DEBUG_MMU_NOTIFIER) ||				\
	    static_branch_unlikely(&mmu_notifier_key))				\
		__mmu_notifier_range_init(__range, event, flags, mm, start,	\
					  end, owner);				\
} while (0)

/**
 * mmu_notifier_range_init - describe a section
 * @range: the section to set up
 * @event: what will happen
 * @flags: 0, or MMU_NOTIFIER_RANGE_PAGE
 * @mm: whose entries
 * @start: first byte
 * @end: exclusive
 *
 * Context: see mmu_notifier_range_init_owner(), of which this is a case.
 */
#define mmu_notifier_range_init(range, event, flags, mm, start, end)		\
	mmu_notifier_range_init_owner(range, event, flags, mm, start, end, NULL)

/**
 * mmu_notifier_range_init_late - describe a section, when something is found
 * @range: from mmu_notifier_range_init_none()
 * @event: what will happen
 * @mm: whose entries
 * @start: first byte
 * @end: exclusive
 * @owner: see &struct mmu_notifier_range
 *
 * For loops that open a section at the first entry that is there.
 *
 * Context: as mmu_notifier_range_init_owner().
 * Return: true if mmu_notifier_invalidate_range_start() is to follow; false if it
 * has, or nobody listens.
 */
static __always_inline bool
mmu_notifier_range_init_late(struct mmu_notifier_range *range,
			     enum mmu_notifier_event event,
			     struct mm_struct *mm, unsigned long start,
			     unsigned long end, void *owner)
{
	/* lockdep wants to see a start, whoever listens. */
	if (!IS_ENABLED(CONFIG_DEBUG_MMU_NOTIFIER) &&
	    !IS_ENABLED(CONFIG_LOCKDEP) && !mm_has_notifiers(mm))
		return false;
	if (range->mm)
		return false;
	__mmu_notifier_range_fill(range, event, 0, mm, start, end, owner);
	return true;
}

/**
 * mmu_notifier_invalidate_range_start - open a section
 * @range: set up by mmu_notifier_range_init()
 *
 * Context: may sleep.  mmap_lock, the VMA's lock or a reverse-map lock is
 * held, and stays held until mmu_notifier_invalidate_range_end(): that is what
 * keeps a subscriber from registering half-way.
 */
static __always_inline void
mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	/* No preemption point: nothing is to be paid for nobody. */
	__might_sleep(__FILE__, __LINE__);

	/* Taken for everybody: a callback that allocates is found without one. */
	mmu_notifier_map_acquire();
	/* Set only with the key on, but for debugging.  The compiler often knows it. */
	if (unlikely(range->mm))
		__mmu_notifier_invalidate_range_start(range);
	mmu_notifier_map_release();
	mmu_notifier_debug_start(range);
}

/**
 * mmu_notifier_invalidate_range_start_nonblock - open a section, or fail
 * @range: set up by mmu_notifier_range_init()
 *
 * Context: as mmu_notifier_invalidate_range_start(), but no callback sleeps.
 * Return: 0, or -EAGAIN if a subscriber would have had to sleep: then the
 * section is not open, and must not be ended.
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
 * mmu_notifier_invalidate_range_end - close a section
 * @range: as it was when the section was opened, by the same task
 *
 * Context: every entry of the range is as it shall be.  The CPU's TLBs may be
 * flushed, and the pages freed, later.
 */
static inline void
mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	mmu_notifier_debug_end(range);
	/* @subscriptions is set only with it. */
	if (static_branch_unlikely(&mmu_notifier_key) && unlikely(range->mm))
		__mmu_notifier_invalidate_range_end(range);
}

/**
 * mmu_notifier_invalidate_page - the entry of a one-page section is cleared
 * @range: an open section; does nothing unless it has MMU_NOTIFIER_RANGE_PAGE
 *
 * Context: under the page-table lock, after the entry was cleared (and
 * flushed, unless the flush is batched), before the next one is set.
 */
static inline void
mmu_notifier_invalidate_page(struct mmu_notifier_range *range)
{
	mmu_notifier_debug_page(range);
	if (static_branch_unlikely(&mmu_notifier_key) &&
	    unlikely(range->mm) && (range->flags & MMU_NOTIFIER_RANGE_PAGE))
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
	if (mmu_notifier_hears(mm, MMU_NOTIFIER_HEARS_CLEAR_FLUSH_YOUNG))
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
	if (mmu_notifier_hears(mm, MMU_NOTIFIER_HEARS_CLEAR_YOUNG))
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
	if (mmu_notifier_hears(mm, MMU_NOTIFIER_HEARS_TEST_YOUNG))
		return __mmu_notifier_test_young(mm, address);
	return 0;
}

/**
 * mmu_notifier_ages - is it worth to ask mmu_notifier_age()?
 * @mm: the mm
 *
 * Return: whether anybody listens to MMU_NOTIFIER_AGE_CLEAR.
 */
static inline bool mmu_notifier_ages(struct mm_struct *mm)
{
	return mmu_notifier_hears(mm, MMU_NOTIFIER_HEARS_CLEAR_YOUNG);
}

static inline unsigned long
mmu_notifier_age_hears(const struct mmu_notifier_age *age)
{
	return age->flags & MMU_NOTIFIER_AGE_CLEAR ?
	       MMU_NOTIFIER_HEARS_CLEAR_YOUNG : MMU_NOTIFIER_HEARS_TEST_YOUNG;
}

/**
 * mmu_notifier_age - ask the secondary MMUs about many pages at once
 * @mm: the mm
 * @age: the question
 *
 * Sets those bits of @age->young that mmu_notifier_clear_young() or
 * mmu_notifier_test_young(), called for each page that @age->ask names, would return;
 * with MMU_NOTIFIER_AGE_BEST_EFFORT perhaps fewer.
 *
 * Context: atomic; under the page-table lock of all the pages.
 */
static inline void mmu_notifier_age(struct mm_struct *mm,
				    struct mmu_notifier_age *age)
{
	if (mmu_notifier_hears(mm, mmu_notifier_age_hears(age)))
		__mmu_notifier_age(mm, age);
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
	if (mmu_notifier_hears(mm, MMU_NOTIFIER_HEARS_TLBS))
		__mmu_notifier_arch_invalidate_secondary_tlbs(mm, start, end);
}

/**
 * mmu_notifier_fork - an mm has been copied
 * @mm: the mm
 * @child: its copy; nobody runs in it yet
 *
 * Context: may sleep.  mmap_lock of both held for writing, all VMAs and entries
 * copied.
 * Return: 0, or the error with which a subscriber makes the fork fail.
 */
static inline int mmu_notifier_fork(struct mm_struct *mm,
				    struct mm_struct *child)
{
	if (mmu_notifier_hears(mm, MMU_NOTIFIER_HEARS_FORK))
		return __mmu_notifier_fork(mm, child);
	return 0;
}

static inline void mmu_notifier_subscriptions_init(struct mm_struct *mm)
{
	RCU_INIT_POINTER(mm->notifier_subscriptions, NULL);
}

/* Each subscriber holds a reference to the mm, so none can be left. */
static inline void mmu_notifier_subscriptions_destroy(struct mm_struct *mm)
{
	WARN_ON_ONCE(rcu_access_pointer(mm->notifier_subscriptions));
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

static inline void mmu_notifier_age(struct mm_struct *mm,
				    struct mmu_notifier_age *age)
{
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
