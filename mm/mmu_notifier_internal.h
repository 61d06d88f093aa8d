/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the MMU notifiers share.  mm/mmu_notifier.c has the locks, the
 * barriers and the design.
 */
#ifndef _MM_MMU_NOTIFIER_INTERNAL_H
#define _MM_MMU_NOTIFIER_INTERNAL_H

#include <linux/lockdep.h>
#include <linux/mmu_notifier.h>
#include <linux/rculist.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/**
 * enum mn_state - the life of an mm's structure
 * @MN_IDLE: no subscriber; MMU_NOTIFIER_ACTIVE is clear, the hooks pass by
 * @MN_STARTING: the bit is set, but an invalidation may be in flight that has not
 *	seen it.  Lasts while the first subscriber holds mmap_lock
 * @MN_READY: every invalidation in flight has seen the bit
 * @MN_DEAD: exit_mmap() has released the subscribers; they may unsubscribe
 *
 *	             the first        all locks
 *	 allocated   subscribes       passed
 *	     |          |                |
 *	     +-> IDLE ---> STARTING -------> READY --- exit_mmap() ---> DEAD
 *	           ^            |              |                          |
 *	           +- a signal -+              |                     __mmdrop()
 *	           +--- no subscriber for -----+                          |
 *	                  linger_ms                                     freed
 */
enum mn_state {
	MN_IDLE,
	MN_STARTING,
	MN_READY,
	MN_DEAD,
};

/* mmu_notifier.special: see mn_wants(). */
#define MN_COMING	BIT(0)	/* test ->birth */
#define MN_GOING	BIT(1)	/* test ->death */
#define MN_LIMITED	BIT(2)	/* test the range and the events */

/* mmu_notifier.release: the first to arrive calls it, others wait for that. */
enum mn_release {
	MN_RELEASE_TO_CALL,
	MN_RELEASE_RUNS,
	MN_RELEASE_DONE,
};

/**
 * struct mmu_notifier_subscriptions - the subscribers of an mm
 * @srcu: read-held by each invalidation from its start to its end, and by each other
 *	callback
 * @list: struct mmu_notifier
 * @gen: counts the comings and goings in @list
 * @hull_start: no interval starts below
 * @hull_last: no interval ends above
 * @lock: of everything that is written here, see mm/mmu_notifier.c
 * @state: see enum mn_state
 * @nr: subscribers of both kinds
 * @nr_ages: of those, the ones with an aging operation
 * @nr_tlbs: those that follow TLB flushes
 * @mm: whose structure it is.  Not referenced: @idle touches it in MN_READY only, which
 *	exit_mmap() ends, and subscribers have references of their own
 * @itree: struct mmu_interval_notifier
 * @seq: number of the newest invalidation that hit an interval, or of the newest
 *	insertion
 * @wait: for an interval's @active or @pins to fall, and for a release to be done
 * @inside: the task that calls release at exit, or the fork callbacks; read locklessly
 * @gone: were put; linked by mmu_notifier.gone
 * @put: frees @gone
 * @idle: leaves MN_READY if there is still no subscriber
 * @free: frees this structure
 *
 * Allocated by the first subscriber, freed with the mm.  The upper part is read by
 * every invalidation, and written only when a subscriber comes or goes.
 */
struct mmu_notifier_subscriptions {
	struct srcu_struct srcu;
	struct hlist_head list;
	unsigned long gen;
	unsigned long hull_start;
	unsigned long hull_last;

	spinlock_t lock ____cacheline_aligned_in_smp; /* see the legend */
	enum mn_state state;
	unsigned int nr;
	unsigned int nr_ages;
	unsigned int nr_tlbs;
	struct mm_struct *mm;
	struct rb_root_cached itree;
	u64 seq;
	wait_queue_head_t wait;
	struct task_struct *inside;
	struct mmu_notifier *gone;
	struct work_struct put;
	struct delayed_work idle;
	struct work_struct free;
};

#ifdef CONFIG_LOCKDEP
extern struct lockdep_map mn_map;
extern struct lockdep_map mn_fork_map;
extern struct lockdep_map mn_release_map;
#endif

/*
 * Acquire as a trylock.  Otherwise lockdep records locks taken in callbacks under this
 * map only and misses the dependency on fs_reclaim.
 */
#define mn_map_acquire_read(map)	lock_acquire(map, 0, 1, 2, 1, NULL, _THIS_IP_)

/* Before a wait for whatever holds @map. */
#define mn_map_might_wait(map)							\
do {										\
	lock_map_acquire(map);							\
	lock_map_release(map);							\
} while (0)

/* The structure stays until __mmdrop(): a hook, or a subscriber, needs no more. */
static inline struct mmu_notifier_subscriptions *mn_subs(struct mm_struct *mm)
{
	return (void *)((unsigned long)READ_ONCE(mm->notifier_subscriptions) &
			~MMU_NOTIFIER_BITS);
}

/*
 * Begin to walk @subs->list.  srcu_down_read(), which lockdep does not see, as it is to
 * see @mn_map in its place.
 */
static inline int mn_enter(struct mmu_notifier_subscriptions *subs,
			   unsigned long *gen)
	__acquires(&subs->srcu)
{
	int idx = srcu_down_read(&subs->srcu);

	mn_map_acquire_read(&mn_map);
	/*
	 * J, in srcu_down_read(): pairs with I.
	 * B: pairs with A.  A subscriber of this generation is in the list.
	 */
	*gen = smp_load_acquire(&subs->gen);
	return idx;
}

static inline void mn_exit(struct mmu_notifier_subscriptions *subs, int idx)
	__releases(&subs->srcu)
{
	lock_map_release(&mn_map);
	srcu_up_read(&subs->srcu, idx);
}

/*
 * Around callbacks that must not sleep.  Nothing on PREEMPT_RT, where the spinlocks that
 * they may take do.
 */
static inline void mn_non_block_start(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		non_block_start();
}

static inline void mn_non_block_end(void)
{
	if (!IS_ENABLED(CONFIG_PREEMPT_RT))
		non_block_end();
}

/* Between mn_enter() and mn_exit(), with @subs->lock, or where nothing is unlinked. */
#define mn_for_each(sub, subs) \
	hlist_for_each_entry_srcu(sub, &(subs)->list, hlist, true)

/* mm/mmu_notifier.c */
void mn_sync(struct mmu_notifier_subscriptions *subs);
bool mn_wants_special(const struct mmu_notifier *sub, unsigned long gen,
		      unsigned long start, unsigned long end, unsigned int events);

/* Is @sub told of something that happens to [@start, @end) in generation @gen? */
static __always_inline bool
mn_wants(const struct mmu_notifier *sub, unsigned long gen, unsigned long start,
	 unsigned long end, unsigned int events)
{
	return likely(!READ_ONCE(sub->special)) ||
	       mn_wants_special(sub, gen, start, end, events);
}

/* mm/mmu_notifier_interval.c */
int mn_itree_start(struct mmu_notifier_subscriptions *subs,
		   struct mmu_notifier_range *range);
void mn_itree_end(struct mmu_notifier_subscriptions *subs,
		  struct mmu_notifier_range *range);
void mn_itree_release(struct mmu_notifier_subscriptions *subs);

static inline bool mn_hull_overlaps(struct mmu_notifier_subscriptions *subs,
				    const struct mmu_notifier_range *range)
{
	return range->start <= READ_ONCE(subs->hull_last) &&
	       range->end > READ_ONCE(subs->hull_start);
}

/* mm/mmu_notifier_life.c */
extern struct workqueue_struct *mn_wq;

struct mmu_notifier_subscriptions *mn_get(struct mm_struct *mm);
void mn_put_locked(struct mmu_notifier_subscriptions *subs);
void mn_kill(struct mmu_notifier_subscriptions *subs, struct mmu_notifier *sub);
void mn_unlink(struct mmu_notifier_subscriptions *subs, struct mmu_notifier *sub);
void mn_might_wait_for_fork(struct mm_struct *mm);

/* mm/mmu_notifier_get.c */
void mn_put_work(struct work_struct *work);

#endif /* _MM_MMU_NOTIFIER_INTERNAL_H */
