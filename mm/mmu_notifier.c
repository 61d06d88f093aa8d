// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: the VM tells secondary MMUs what it does to an mm.
 *
 * An mm has a struct mmu_notifier_subscriptions from its first subscriber on.  Bit 0
 * of mm->notifier_subscriptions says whether it has a subscriber now; without one the
 * hooks do nothing else.
 *
 * An invalidation reads under SRCU from its start to its end, in a domain of the mm's
 * own.  So synchronize_srcu() waits for the invalidations in flight on this mm and on
 * no other, and nothing is written that another CPU's invalidation reads, unless it
 * overlaps the smallest range that contains all intervals.
 *
 * The end must call the same list subscribers as the start, even if some come or go
 * in between.  Each has a birth and a death in the generations that ->gen counts, and
 * an invalidation belongs to the generation that it read at its start:
 *
 *	register                        invalidation
 *	--------                        ------------
 *	sub->birth = gen + 1            srcu_down_read()
 *	link it                         range->gen = subs->gen             (B)
 *	subs->gen = gen + 1  (A)        walk: call it if birth <= range->gen
 *	synchronize_srcu()              walk again at the end
 *	                                srcu_up_read()
 *
 * If B reads what A wrote, the subscriber is in the list; if it does not, the grace
 * period waits for the end.  Unregistration is the mirror image: death = gen + 1, a
 * grace period until the last invalidation that called it has ended, unlink, and a
 * grace period until no walk stands on it.
 *
 * This file has the list and the invalidations.  Beside it stand
 *
 *	mm/mmu_notifier_interval.c	interval subscribers
 *	mm/mmu_notifier_life.c		the structure, registration, exit
 *	mm/mmu_notifier_get.c		subscribers that are shared by reference
 *	mm/mmu_notifier_age.c		aging and TLB flushes
 *	mm/mmu_notifier_fork.c		fork
 *
 * Barriers:
 *
 *	A  mn_link(), mn_kill()		B  mn_enter(): the list is as of the generation
 *	C  mn_kill()			D  mn_wants_special(): the death is set
 *	E  mn_publish()			mn_subs(), by the address that it reads
 *	F  mm_pass_all_locks()		the locks under which hooks read the bit
 *	G  mn_release()			H  mn_release(), another caller: it is done
 *	I  mn_itree_insert()		J  srcu_down_read(): the hull is the new one
 *	K  mn_itree_settle()		L  mn_itree_wait(), another lookup: it is settled
 *
 * Locks, outermost first:
 *
 *	mmap_lock (write)	an mm's structure is allocated; register and get
 *	reverse-map locks	taken and dropped by the first to subscribe, see
 *				mm_pass_all_locks()
 *	mn_release_map		lockdep's name for a release callback
 *	mn_fork_map		lockdep's name for a fork callback, under mmap_lock.  The
 *				callback may register with the child: a task that
 *				registers holds mmap_lock, too, and waits for no fork
 *	mn_map			lockdep's name for an invalidation in flight, and for
 *				other callbacks.  Waited for under mmap_lock, so that
 *				no callback may take mmap_lock; can allocate (fork), so
 *				that it is not waited for in reclaim
 *	subscriptions->lock	what is written in the structure.  Innermost; no callback
 *				runs under it
 */
#include <linux/export.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/srcu.h>

#include "mmu_notifier_internal.h"

#ifdef CONFIG_LOCKDEP
/* Held around callbacks, and by fs_reclaim_acquire(): a callback may not allocate. */
struct lockdep_map __mmu_notifier_invalidate_range_start_map =
	STATIC_LOCKDEP_MAP_INIT("mmu_notifier_invalidate_range_start",
				&__mmu_notifier_invalidate_range_start_map);
EXPORT_SYMBOL_GPL(__mmu_notifier_invalidate_range_start_map);

struct lockdep_map mn_map =
	STATIC_LOCKDEP_MAP_INIT("mmu_notifier_in_flight", &mn_map);
struct lockdep_map mn_fork_map =
	STATIC_LOCKDEP_MAP_INIT("mmu_notifier_fork", &mn_fork_map);
struct lockdep_map mn_release_map =
	STATIC_LOCKDEP_MAP_INIT("mmu_notifier_release", &mn_release_map);
#endif

/* Wait until the invalidations in flight on this mm have ended. */
void mn_sync(struct mmu_notifier_subscriptions *subs)
{
	mn_map_might_wait(&mn_map);
	synchronize_srcu_expedited(&subs->srcu);
}

/* See mn_wants(). */
bool mn_wants_special(const struct mmu_notifier *sub, unsigned long gen,
		      unsigned long start, unsigned long end, unsigned int events)
{
	/* D: pairs with C.  @sub->death is set. */
	unsigned int special = smp_load_acquire(&sub->special);

	/* Differences: on 32 bits generations wrap. */
	if ((special & MN_COMING) && (long)(gen - sub->birth) < 0)
		return false;
	if ((special & MN_GOING) && (long)(gen - sub->death) >= 0)
		return false;
	return !(special & MN_LIMITED) ||
	       (start <= sub->last && end > sub->start && (sub->events & events));
}

static __always_inline bool mn_wants_range(const struct mmu_notifier *sub,
					   const struct mmu_notifier_range *range)
{
	return mn_wants(sub, range->gen, range->start, range->end,
			BIT(range->event));
}

/* With invalidate_page, a one-page invalidation has no start and end. */
static __always_inline bool mn_wants_pair(const struct mmu_notifier *sub,
					  const struct mmu_notifier_range *range)
{
	if ((range->flags & MMU_NOTIFIER_RANGE_PAGE) && sub->ops->invalidate_page)
		return false;
	return mn_wants_range(sub, range);
}

/* All of them, or those before @stop. */
static void mn_list_end(struct mmu_notifier_subscriptions *subs,
			struct mmu_notifier_range *range,
			struct mmu_notifier *stop)
{
	bool blockable = mmu_notifier_range_blockable(range);
	struct mmu_notifier *sub;

	/* The OOM reaper waits for the end of a non-blocking one, too. */
	if (!blockable)
		mn_non_block_start();
	mn_for_each(sub, subs) {
		if (sub == stop)
			break;
		if (sub->ops->invalidate_range_end && mn_wants_pair(sub, range))
			sub->ops->invalidate_range_end(sub, range);
	}
	if (!blockable)
		mn_non_block_end();
}

static int mn_list_start(struct mmu_notifier_subscriptions *subs,
			 struct mmu_notifier_range *range)
{
	bool blockable = mmu_notifier_range_blockable(range);
	struct mmu_notifier *sub;
	int ret = 0;

	if (!blockable)
		mn_non_block_start();
	mn_for_each(sub, subs) {
		if (!sub->ops->invalidate_range_start || !mn_wants_pair(sub, range))
			continue;
		ret = sub->ops->invalidate_range_start(sub, range);
		if (likely(!ret))
			continue;
		WARN_ONCE(blockable || ret != -EAGAIN,
			  "%pS returns %d for an invalidation that %s block\n",
			  sub->ops->invalidate_range_start, ret,
			  blockable ? "may" : "must not");
		if (!blockable)
			break;
		ret = 0;
	}
	if (!blockable)
		mn_non_block_end();
	if (unlikely(ret)) {
		mn_list_end(subs, range, sub);
		return -EAGAIN;
	}
	return 0;
}

static bool mn_range_is_valid(struct mmu_notifier_range *range, unsigned long ip)
{
	if (!IS_ENABLED(CONFIG_DEBUG_VM))
		return true;
	if (WARN_ONCE(range->idx >= 0, "%pS starts an invalidation twice\n",
		      (void *)ip) ||
	    WARN_ONCE(range->start >= range->end, "%pS invalidates nothing: [%lx, %lx)\n",
		      (void *)ip, range->start, range->end))
		return false;
	if (WARN_ONCE((range->flags & MMU_NOTIFIER_RANGE_PAGE) &&
		      range->end - range->start != PAGE_SIZE,
		      "%pS: [%lx, %lx) is not a page\n", (void *)ip, range->start,
		      range->end))
		range->flags &= ~MMU_NOTIFIER_RANGE_PAGE;
	return true;
}

/* See mmu_notifier_invalidate_range_start(). */
int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs;
	int ret = 0;

	/* There may be none: with the checker all ranges are set up. */
	if (!mm_has_notifiers(range->mm) || !mn_range_is_valid(range, _RET_IP_))
		return 0;

	subs = mn_subs(range->mm);
	range->idx = mn_enter(subs, &range->gen);
	range->seq = 0;
	if (unlikely(mn_hull_overlaps(subs, range)))
		ret = mn_itree_start(subs, range);
	if (likely(!ret)) {
		ret = mn_list_start(subs, range);
		if (unlikely(ret) && range->seq)
			mn_itree_end(subs, range);
	}
	if (unlikely(ret)) {
		mn_exit(subs, range->idx);
		range->idx = -1;
	}
	return ret;
}

/* See mmu_notifier_invalidate_range_end(). */
void __mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(range->mm);
	int idx = range->idx;

	/* There was no subscriber when it started. */
	if (idx < 0)
		return;
	if (mmu_notifier_range_blockable(range))
		__might_sleep(__FILE__, __LINE__);

	mmu_notifier_map_acquire();
	if (unlikely(range->seq))
		mn_itree_end(subs, range);
	mn_list_end(subs, range, NULL);
	mmu_notifier_map_release();
	range->idx = -1;
	mn_exit(subs, idx);
}

/* See mmu_notifier_invalidate_page(); between start and end. */
void __mmu_notifier_invalidate_page(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(range->mm);
	struct mmu_notifier *sub;

	if (range->idx < 0)
		return;
	mn_non_block_start();
	mn_for_each(sub, subs)
		if (sub->ops->invalidate_page && mn_wants_range(sub, range))
			sub->ops->invalidate_page(sub, range);
	mn_non_block_end();
}
