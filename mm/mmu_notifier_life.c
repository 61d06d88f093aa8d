// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: the life of an mm's structure and of its list subscribers.
 *
 * The first subscriber passes through all locks under which the mm's page tables change,
 * so that no invalidation is in flight that has not seen MMU_NOTIFIER_ACTIVE.  Each that
 * comes later waits for the invalidations in flight alone.  When the last has gone, the
 * bit stays for linger_ms: a driver that comes and goes pays for the locks once.
 *
 * A subscriber leaves by mmu_notifier_unregister() or mmu_notifier_put(), before or after
 * the mm dies.  exit_mmap() or an earlier unregister runs release.  The subscriber stays in
 * the list until it leaves, so that exit_mmap() waits for no invalidation: an end that
 * is still to come finds it.
 *
 * Locks and barriers: see mm/mmu_notifier.c.
 */
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "internal.h"
#include "vma.h"
#include "mmu_notifier_internal.h"

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "mmu_notifier."

unsigned int mmu_notifier_linger_ms = 1000;
module_param_named(linger_ms, mmu_notifier_linger_ms, uint, 0644);
MODULE_PARM_DESC(linger_ms, "how long an mm stays ready for subscribers, ms");

/* For work of any mm; flushed by mmu_notifier_synchronize(). */
struct workqueue_struct *mn_wq;

/*
 * The structure.
 */

/* Tell the hooks what there is to do. */
static void mn_publish(struct mmu_notifier_subscriptions *subs)
{
	unsigned long bits = 0;
	void *word;

	lockdep_assert_held(&subs->lock);

	if (subs->state == MN_STARTING || subs->state == MN_READY || subs->nr)
		bits |= MMU_NOTIFIER_ACTIVE;
	if (subs->nr_ages)
		bits |= MMU_NOTIFIER_AGES;
	if (subs->nr_tlbs)
		bits |= MMU_NOTIFIER_TLBS;
	word = (void *)((unsigned long)subs | bits);
	/* Every hook reads this line: do not write to it for nothing. */
	if (READ_ONCE(subs->mm->notifier_subscriptions) == word)
		return;
	/* E: pairs with mn_subs().  The structure is complete. */
	smp_store_release(&subs->mm->notifier_subscriptions, word);
}

static void mn_idle(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs =
		container_of(to_delayed_work(work), struct mmu_notifier_subscriptions,
			     idle);

	spin_lock(&subs->lock);
	if (!subs->nr && subs->state == MN_READY) {
		subs->state = MN_IDLE;
		mn_publish(subs);
	}
	spin_unlock(&subs->lock);
}

static void mn_free(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs =
		container_of(work, struct mmu_notifier_subscriptions, free);

	cancel_delayed_work_sync(&subs->idle);
	flush_work(&subs->put);
	cleanup_srcu_struct(&subs->srcu);
	kfree(subs);
}

/*
 * From __mmdrop(), in any context.  Nothing is in flight: there is no VMA any more, and
 * each subscriber had a reference to the mm.
 */
void __mmu_notifier_subscriptions_destroy(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);

	WARN_ONCE(subs->nr, "an mm is freed with %u subscribers\n", subs->nr);
	queue_work(mn_wq, &subs->free);
}

static struct mmu_notifier_subscriptions *mn_alloc(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;

	subs = kzalloc(sizeof(*subs), GFP_KERNEL_ACCOUNT);
	if (!subs)
		return NULL;
	if (init_srcu_struct(&subs->srcu)) {
		kfree(subs);
		return NULL;
	}
	spin_lock_init(&subs->lock);
	subs->mm = mm;
	subs->hull_start = ULONG_MAX;
	subs->itree = RB_ROOT_CACHED;
	init_waitqueue_head(&subs->wait);
	INIT_WORK(&subs->put, mn_put_work);
	INIT_DELAYED_WORK(&subs->idle, mn_idle);
	INIT_WORK(&subs->free, mn_free);
	return subs;
}

/**
 * mn_get - the structure of an mm, for one more subscriber
 * @mm: the mm
 *
 * Context: may sleep.  mmap_lock held for writing, which serialises MN_STARTING.
 * Return: the structure, MN_READY; ERR_PTR() of -ENOMEM, or of -EINTR on a fatal signal.
 */
struct mmu_notifier_subscriptions *mn_get(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);
	bool ready;
	int ret;

	mmap_assert_write_locked(mm);

	if (!subs)
		subs = mn_alloc(mm);
	if (!subs)
		return ERR_PTR(-ENOMEM);

	spin_lock(&subs->lock);
	subs->nr++;
	ready = subs->state == MN_READY;
	if (!ready) {
		subs->state = MN_STARTING;
		mn_publish(subs);
	}
	spin_unlock(&subs->lock);
	if (ready)
		return subs;

	/* F: a hook that has not seen the bit holds one of these. */
	ret = mm_pass_all_locks(mm);

	spin_lock(&subs->lock);
	subs->state = ret ? MN_IDLE : MN_READY;
	if (ret) {
		subs->nr--;
		mn_publish(subs);
	}
	spin_unlock(&subs->lock);
	return ret ? ERR_PTR(ret) : subs;
}

/* One subscriber less; it still has its reference to the mm. */
void mn_put_locked(struct mmu_notifier_subscriptions *subs)
{
	lockdep_assert_held(&subs->lock);

	if (--subs->nr)
		return;
	if (subs->state == MN_READY)
		mod_delayed_work(mn_wq, &subs->idle,
				 msecs_to_jiffies(READ_ONCE(mmu_notifier_linger_ms)));
	else
		mn_publish(subs);
}

/*
 * List subscribers.
 */

static bool mn_ages(const struct mmu_notifier_ops *ops)
{
	return ops->clear_flush_young || ops->clear_young || ops->test_young;
}

static void mn_link(struct mmu_notifier_subscriptions *subs, struct mmu_notifier *sub)
{
	lockdep_assert_held(&subs->lock);

	sub->birth = subs->gen + 1;
	hlist_add_head_rcu(&sub->hlist, &subs->list);
	/* A: pairs with B. */
	smp_store_release(&subs->gen, sub->birth);
	subs->nr_ages += mn_ages(sub->ops);
	subs->nr_tlbs += !!sub->ops->arch_invalidate_secondary_tlbs;
	mn_publish(subs);
}

/* After a grace period since mn_kill().  Another has to follow, as walks may stand on it. */
void mn_unlink(struct mmu_notifier_subscriptions *subs, struct mmu_notifier *sub)
{
	lockdep_assert_held(&subs->lock);

	hlist_del_rcu(&sub->hlist);
	subs->nr_ages -= mn_ages(sub->ops);
	subs->nr_tlbs -= !!sub->ops->arch_invalidate_secondary_tlbs;
	mn_publish(subs);
}

/* An invalidation that starts from now on does not call @sub. */
void mn_kill(struct mmu_notifier_subscriptions *subs, struct mmu_notifier *sub)
{
	lockdep_assert_held(&subs->lock);

	if (sub->special & MN_GOING)
		return;
	sub->death = subs->gen + 1;
	/* C: pairs with D. */
	smp_store_release(&sub->special, sub->special | MN_GOING);
	/* A: pairs with B. */
	smp_store_release(&subs->gen, subs->gen + 1);
}

/*
 * Before mn_sync(), if a fork callback may be in flight.  It is not while we hold
 * mmap_lock; the forking task itself is caught by the ->inside check.
 */
void mn_might_wait_for_fork(struct mm_struct *mm)
{
#ifdef CONFIG_LOCKDEP
	if (lockdep_is_held(&mm->mmap_lock))
		return;
#endif
	mn_map_might_wait(&mn_fork_map);
}

/*
 * Call release, unless another task has: then wait until that has returned.  Then no
 * invalidation that starts calls @sub.
 */
static void mn_release(struct mmu_notifier_subscriptions *subs, struct mmu_notifier *sub)
{
	bool ours;

	spin_lock(&subs->lock);
	ours = sub->release == MN_RELEASE_TO_CALL;
	if (ours)
		WRITE_ONCE(sub->release, MN_RELEASE_RUNS);
	spin_unlock(&subs->lock);

	if (!ours) {
		mn_map_might_wait(&mn_release_map);
		wait_event(subs->wait, /* H: pairs with G. */
			   smp_load_acquire(&sub->release) == MN_RELEASE_DONE);
		return;
	}
	if (sub->ops->release) {
		mn_map_acquire_read(&mn_release_map);
		sub->ops->release(sub, subs->mm);
		lock_map_release(&mn_release_map);
	}
	spin_lock(&subs->lock);
	mn_kill(subs, sub);
	/* G: pairs with H. */
	smp_store_release(&sub->release, MN_RELEASE_DONE);
	spin_unlock(&subs->lock);
	wake_up_all(&subs->wait);
}

/* See mmu_notifier_release(). */
void __mmu_notifier_release(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);
	struct mmu_notifier *sub;
	int idx;

	spin_lock(&subs->lock);
	subs->state = MN_DEAD;
	mn_publish(subs);
	spin_unlock(&subs->lock);

	mn_itree_release(subs);

	/*
	 * SRCU keeps those that we reach: they may leave meanwhile.  Not mn_enter(): here
	 * a callback may wait for what an invalidation may not.
	 */
	idx = srcu_down_read(&subs->srcu);
	WRITE_ONCE(subs->inside, current);
	mn_for_each(sub, subs)
		mn_release(subs, sub);
	WRITE_ONCE(subs->inside, NULL);
	srcu_up_read(&subs->srcu, idx);
}

static bool mn_ops_are_valid(const struct mmu_notifier_ops *ops)
{
	bool start = ops->invalidate_range_start;
	bool end = ops->invalidate_range_end;

	/* Most of what happens to pages happens to ranges. */
	if (ops->invalidate_page && !(start && end))
		return false;
	/* The TLB flush comes between the two: it would be told twice. */
	return !(ops->arch_invalidate_secondary_tlbs && (start || end));
}

/* @ip: the caller of the interface, for a warning. */
static int mn_register(struct mmu_notifier *sub, struct mm_struct *mm,
		       unsigned long start, unsigned long last, unsigned int events,
		       unsigned long ip)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);
	bool limited = start || last != ULONG_MAX || events != MMU_NOTIFIER_ALL_EVENTS;

	mmap_assert_write_locked(mm);

	if (WARN_ONCE(!sub->ops, "%pS subscribes without operations\n", (void *)ip) ||
	    WARN_ONCE(!mn_ops_are_valid(sub->ops), "%pS do not go together\n", sub->ops) ||
	    WARN_ONCE(atomic_read(&mm->mm_users) <= 0, "%pS subscribe to a dead mm\n",
		      sub->ops))
		return -EINVAL;
	if (WARN_ONCE(READ_ONCE(sub->self) == sub, "%pS are subscribed already\n", sub->ops))
		return -EBUSY;

	/* In its fork callback the task would wait for itself. */
	if (WARN_ONCE(subs && READ_ONCE(subs->inside) == current,
		      "%pS subscribe in a fork callback\n", sub->ops))
		return -EINVAL;

	subs = mn_get(mm);
	if (IS_ERR(subs))
		return PTR_ERR(subs);
	mmgrab(mm);
	sub->mm = mm;
	sub->self = sub;
	sub->users = 1;
	sub->start = start;
	sub->last = last;
	sub->events = events;
	sub->release = MN_RELEASE_TO_CALL;
	sub->special = MN_COMING | (limited ? MN_LIMITED : 0);

	spin_lock(&subs->lock);
	mn_link(subs, sub);
	spin_unlock(&subs->lock);
	/* For the ends of invalidations that it has not been told of. */
	mn_sync(subs);
	/* From now on ->birth, which wraps on 32 bits, is not needed. */
	spin_lock(&subs->lock);
	WRITE_ONCE(sub->special, sub->special & ~MN_COMING);
	spin_unlock(&subs->lock);
	return 0;
}

/**
 * __mmu_notifier_register - subscribe to an mm, with mmap_lock held
 * @subscription: with @subscription->ops set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * As mmu_notifier_register(), but the caller holds mmap_lock for writing.
 *
 * Context: may sleep.  mmap_lock held for writing.  Takes and drops the reverse-map
 * locks if @mm has no subscriber yet.  Waits for the invalidations in flight on @mm: not
 * inside one, nor in a callback, nor under a lock that a callback takes, nor in reclaim.
 * Return: 0; -ENOMEM or, on a fatal signal, -EINTR if @mm has no subscriber yet; for
 * misuse -EINVAL (bad operations, a dying mm) or -EBUSY (subscribed already).  After an
 * error nothing has changed, and no callback has come.
 */
int __mmu_notifier_register(struct mmu_notifier *subscription,
			    struct mm_struct *mm)
{
	return mn_register(subscription, mm, 0, ULONG_MAX, MMU_NOTIFIER_ALL_EVENTS,
			   _RET_IP_);
}
EXPORT_SYMBOL_GPL(__mmu_notifier_register);

/**
 * mmu_notifier_register - subscribe to an mm
 * @subscription: with @subscription->ops set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * When it returns, no invalidation is in flight that @subscription was not told of.
 * Callbacks can come before it returns.  A reference to @mm (mmgrab(), not mmget()) is
 * held until the end of mmu_notifier_unregister(), which has to follow even if @mm dies
 * first.
 *
 * Context: may sleep.  Takes mmap_lock for writing, and see __mmu_notifier_register().
 * Return: as __mmu_notifier_register().
 */
int mmu_notifier_register(struct mmu_notifier *subscription,
			  struct mm_struct *mm)
{
	int ret;

	mmap_write_lock(mm);
	ret = mn_register(subscription, mm, 0, ULONG_MAX, MMU_NOTIFIER_ALL_EVENTS,
			  _RET_IP_);
	mmap_write_unlock(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_notifier_register);

/**
 * mmu_notifier_register_range - subscribe to a part of an mm
 * @subscription: with @subscription->ops set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 * @start: first byte
 * @last: last byte, inclusive
 * @events: BIT() of each enum mmu_notifier_event to be told of, or
 *	MMU_NOTIFIER_ALL_EVENTS
 *
 * As mmu_notifier_register(), but an invalidation that does not overlap the range, or
 * has another event, does not call @subscription.  One that does is not cut to the
 * range.  @events concerns invalidations alone, and the range also aging: TLB flushes,
 * fork and release come in any case.
 *
 * Context: as mmu_notifier_register().
 * Return: as mmu_notifier_register(); -EINVAL for an empty range or set of events, too.
 */
int mmu_notifier_register_range(struct mmu_notifier *subscription,
				struct mm_struct *mm, unsigned long start,
				unsigned long last, unsigned int events)
{
	int ret;

	if (start > last || !events || (events & ~MMU_NOTIFIER_ALL_EVENTS))
		return -EINVAL;

	mmap_write_lock(mm);
	ret = mn_register(subscription, mm, start, last, events, _RET_IP_);
	mmap_write_unlock(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_notifier_register_range);

/**
 * mmu_notifier_unregister - unsubscribe from an mm
 * @subscription: registered by mmu_notifier_register()
 * @mm: the mm that it was registered with
 *
 * Calls &mmu_notifier_ops.release unless the mm's death was first.  When it returns, no
 * callback runs or will, every invalidation that @subscription saw the start of has
 * been ended, and its owner can free it.  Allocates nothing.
 *
 * Context: may sleep; waits for the invalidations in flight on @mm: not inside one, nor
 * in a callback, nor under a lock that a callback takes, nor in reclaim.
 */
void mmu_notifier_unregister(struct mmu_notifier *subscription,
			     struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;

	might_sleep();

	if (WARN_ONCE(!mm || subscription->mm != mm || !subscription->users,
		      "%pS are not subscribed\n", subscription->ops))
		return;
	subs = mn_subs(mm);
	if (WARN_ONCE(READ_ONCE(subs->inside) == current,
		      "%pS unsubscribe in release or fork: they stay subscribed\n",
		      subscription->ops))
		return;

	/* exit_mmap() may be calling release; the grace periods wait for that, too. */
	mn_map_might_wait(&mn_release_map);
	mn_release(subs, subscription);
	mn_might_wait_for_fork(mm);
	mn_sync(subs);
	spin_lock(&subs->lock);
	mn_unlink(subs, subscription);
	spin_unlock(&subs->lock);
	mn_sync(subs);

	subscription->users = 0;
	WRITE_ONCE(subscription->self, NULL);
	spin_lock(&subs->lock);
	mn_put_locked(subs);
	spin_unlock(&subs->lock);
	mmdrop(mm);
}
EXPORT_SYMBOL_GPL(mmu_notifier_unregister);

static int __init mn_init(void)
{
	/* An item may wait as long as a callback of its mm sleeps: for no other mm's. */
	mn_wq = alloc_workqueue("mmu_notifier", WQ_UNBOUND, WQ_MAX_ACTIVE);
	if (!mn_wq)
		panic("mmu_notifier: no memory for a workqueue\n");
	if (IS_ENABLED(CONFIG_LOCKDEP)) {
		/* Fork allocates page tables while its invalidation is in flight. */
		mn_map_acquire_read(&mn_map);
		fs_reclaim_acquire(GFP_KERNEL);
		fs_reclaim_release(GFP_KERNEL);
		lock_map_release(&mn_map);
	}
	return 0;
}

/* Before there is a task that could have a subscriber. */
core_initcall(mn_init);
