// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: subscribers that are shared by reference, one for an mm and a set of
 * operations.
 *
 * mmu_notifier_put() may be called under spinlocks: it marks the subscriber as gone and
 * leaves the grace periods, and the freeing, to a work item.
 *
 * Locks and barriers: see mm/mmu_notifier.c.
 */
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>

#include "mmu_notifier_internal.h"

/* Free those that were put: two grace periods for all of them. */
void mn_put_work(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs =
		container_of(work, struct mmu_notifier_subscriptions, put);
	struct mmu_notifier *gone, *sub, *next;
	struct mm_struct *mm = subs->mm;

	spin_lock(&subs->lock);
	gone = subs->gone;
	subs->gone = NULL;
	spin_unlock(&subs->lock);
	if (!gone)
		return;

	mn_might_wait_for_fork(mm);
	mn_sync(subs);
	spin_lock(&subs->lock);
	for (sub = gone; sub; sub = sub->gone)
		mn_unlink(subs, sub);
	spin_unlock(&subs->lock);
	mn_sync(subs);

	for (sub = gone; sub; sub = next) {
		next = sub->gone;
		WRITE_ONCE(sub->self, NULL);
		sub->ops->free_notifier(sub);
		spin_lock(&subs->lock);
		mn_put_locked(subs);
		spin_unlock(&subs->lock);
		/* The last reference may free @subs, once we have returned. */
		mmdrop(mm);
	}
}

/**
 * mmu_notifier_get_locked - mmu_notifier_get() with mmap_lock held
 * @ops: of the subscriber
 * @mm: the mm
 *
 * Context: may sleep.  mmap_lock held for writing.
 * Return: as mmu_notifier_get().
 */
struct mmu_notifier *mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
					     struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);
	struct mmu_notifier *sub, *found = NULL;
	int ret;

	mmap_assert_write_locked(mm);

	if (WARN_ONCE(!ops->alloc_notifier || !ops->free_notifier,
		      "%pS can neither be allocated nor freed\n", ops))
		return ERR_PTR(-EINVAL);

	if (subs) {
		spin_lock(&subs->lock);
		mn_for_each(sub, subs) {
			if (sub->ops != ops || !sub->users)
				continue;
			found = sub;
			if (sub->users == UINT_MAX)
				found = ERR_PTR(-EOVERFLOW);
			else
				sub->users++;
			break;
		}
		spin_unlock(&subs->lock);
	}
	if (found)
		return found;

	sub = ops->alloc_notifier(mm);
	if (IS_ERR(sub))
		return sub;
	sub->ops = ops;
	ret = __mmu_notifier_register(sub, mm);
	if (ret) {
		ops->free_notifier(sub);
		return ERR_PTR(ret);
	}
	return sub;
}
EXPORT_SYMBOL_GPL(mmu_notifier_get_locked);

/**
 * mmu_notifier_get - the one subscriber with these operations in an mm
 * @ops: of the subscriber; with alloc_notifier and free_notifier
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * Allocates and registers a subscriber, or takes another reference to the one that is
 * there.  Each is dropped by mmu_notifier_put().
 *
 * Context: may sleep.  Takes mmap_lock for writing.
 * Return: the subscriber; an ERR_PTR() as from alloc_notifier, mmu_notifier_register(),
 * or -EOVERFLOW for too many references.
 */
struct mmu_notifier *mmu_notifier_get(const struct mmu_notifier_ops *ops,
				      struct mm_struct *mm)
{
	struct mmu_notifier *sub;

	mmap_write_lock(mm);
	sub = mmu_notifier_get_locked(ops, mm);
	mmap_write_unlock(mm);
	return sub;
}
EXPORT_SYMBOL_GPL(mmu_notifier_get);

/**
 * mmu_notifier_put - drop a reference from mmu_notifier_get()
 * @subscription: the subscriber
 *
 * With the last reference &mmu_notifier_ops.release is not called any more for
 * @subscription, and mmu_notifier_get() does not find it.  Invalidations in flight may
 * call it until, soon, a worker calls free_notifier.  A module that has used this calls
 * mmu_notifier_synchronize() before it is unloaded.
 *
 * Context: process context, spinlocks may be held; does not wait.
 */
void mmu_notifier_put(struct mmu_notifier *subscription)
{
	struct mmu_notifier_subscriptions *subs;

	if (WARN_ONCE(!subscription->mm, "%pS were never subscribed\n",
		      subscription->ops) ||
	    WARN_ONCE(!subscription->ops->free_notifier, "%pS cannot be freed\n",
		      subscription->ops))
		return;
	subs = mn_subs(subscription->mm);

	spin_lock(&subs->lock);
	if (!WARN_ONCE(!subscription->users, "%pS were put too often\n",
		       subscription->ops) && !--subscription->users) {
		if (subscription->release == MN_RELEASE_TO_CALL)
			WRITE_ONCE(subscription->release, MN_RELEASE_DONE);
		mn_kill(subs, subscription);
		subscription->gone = subs->gone;
		subs->gone = subscription;
		queue_work(mn_wq, &subs->put);
	}
	spin_unlock(&subs->lock);
}
EXPORT_SYMBOL_GPL(mmu_notifier_put);

/**
 * mmu_notifier_synchronize - wait until everything that was put is freed
 *
 * When it returns, free_notifier has returned for each mmu_notifier_put() before the
 * call, in any mm.
 *
 * Context: may sleep; not in a callback, nor in free_notifier.
 */
void mmu_notifier_synchronize(void)
{
	flush_workqueue(mn_wq);
}
EXPORT_SYMBOL_GPL(mmu_notifier_synchronize);
