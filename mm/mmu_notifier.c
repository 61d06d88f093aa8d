// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: the VM tells secondary MMUs what it does to an mm.
 *
 * An mm has a struct mmu_notifier_subscriptions from the first subscriber's
 * coming until some time after the last one's going, else a NULL pointer.  To
 * get it costs a pass through all reverse-map locks: who comes and goes again and
 * again, as a driver with one buffer does, is to pay that once.  Without it the
 * mm is as cheap as before the first.
 *
 * An invalidation is a section, from start to end, and is one SRCU read section
 * of that structure: to wait for a grace period is to wait for every section in
 * flight, in this mm and in no other.
 *
 * Who belongs to a section?  It must be the same subscribers at the start and
 * at the end, whoever comes and goes meanwhile.  So a section notes the era it
 * began in, and each coming and going of a list subscriber begins a new one:
 *
 *	joining since era j:	called by the sections of era >= j
 *	live:			called by all
 *	leaving since era l:	called by the sections of era < l
 *
 * A grace period after it joined no older section is left, and it is live.  A
 * grace period after it began to leave nobody calls it any more, and it is
 * unlinked; another one later nobody looks at it, and its owner may free it.
 *
 * Locks, outermost first:
 *
 *	mmap_lock (write)	allocation of the structure; register and get
 *	reverse-map locks	passed through once by the first to register,
 *				see mm_pass_all_locks()
 *	subscriptions->srcu	read: a section, or another callback.
 *				Waited for under mmap_lock, so that inside it
 *				nobody may take mmap_lock
 *	subscriptions->lock	everything in the structure.  Innermost; no
 *				callback runs under it
 *
 *	rcu			mm->notifier_subscriptions, just long enough
 *				to enter its srcu
 */
#include <linux/export.h>
#include <linux/interval_tree.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/moduleparam.h>
#include <linux/overflow.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "internal.h"

/* Which operations the list subscribers of an mm have. */
#define SUB_RANGE		BIT(0)
#define SUB_PAGE		BIT(1)
#define SUB_CLEAR_FLUSH_YOUNG	BIT(2)
#define SUB_CLEAR_YOUNG		BIT(3)
#define SUB_TEST_YOUNG		BIT(4)
#define SUB_TLBS		BIT(5)

/* mmu_notifier.era: an era, a multiple of ERA_STEP, and what happened in it. */
#define ERA_LIVE		0UL
#define ERA_JOINING		1UL
#define ERA_LEAVING		2UL
#define ERA_STATE		3UL
#define ERA_STEP		4UL

/* mmu_notifier.release: whoever comes first calls it, others wait for it. */
enum {
	RELEASE_TO_CALL,
	RELEASE_RUNS,
	RELEASE_DONE,
};

/* mmu_interval_notifier.pins: to be removed, not to be called any more. */
#define PINS_DEAD		BIT(31)

/**
 * struct mmu_notifier_subscriptions - everybody who listens to an mm
 * @srcu: read-held by sections and callbacks
 * @lock: see the legend above
 * @list: struct mmu_notifier; changes under @lock, walked under @srcu
 * @ops: SUB_*, what the members of @list implement; read locklessly
 * @era: the current one; read locklessly
 * @mm: whose it is; referenced while @linger is queued
 * @nr: subscribers of both kinds, plus __mmu_notifier_release() while it runs
 * @dying: the mm is: not to linger
 * @detached: @mm does not point here any more
 * @ready: no section is in flight that does not know this structure
 * @itree_ready: no section is in flight that does not know of intervals
 * @nr_intervals: in @itree; read locklessly
 * @itree: struct mmu_interval_notifier
 * @inflight: sections that have to do with @itree
 * @seq: of the newest of them
 * @wait: for an interval's @active or @pins to fall, for a release to be done
 * @releaser: the task inside __mmu_notifier_release(); read locklessly
 * @linger: detaches the structure if @nr is 0
 * @retire: frees it, once it is detached
 */
struct mmu_notifier_subscriptions {
	struct srcu_struct srcu;
	spinlock_t lock;	/* see the legend above */
	struct hlist_head list;
	unsigned int ops;
	unsigned long era;
	struct mm_struct *mm;
	unsigned int nr;
	bool dying;
	bool detached;
	bool ready;
	bool itree_ready;
	unsigned int nr_intervals;
	struct rb_root_cached itree;
	struct list_head inflight;
	unsigned long seq;
	wait_queue_head_t wait;
	struct task_struct *releaser;
	struct delayed_work linger;
	struct rcu_work retire;
};

unsigned int mmu_notifier_linger_ms = 1000;
module_param_named(linger_ms, mmu_notifier_linger_ms, uint, 0644);
MODULE_PARM_DESC(linger_ms, "how long an mm stays ready for subscribers, ms");

/* Held from mmu_notifier_put() until free_notifier() has returned. */
DEFINE_STATIC_SRCU(mmu_notifier_put_srcu);

#ifdef CONFIG_LOCKDEP
/* Held around callbacks, and by fs_reclaim_acquire(): none may allocate. */
struct lockdep_map __mmu_notifier_invalidate_range_start_map =
	STATIC_LOCKDEP_MAP_INIT("mmu_notifier_invalidate_range_start",
				&__mmu_notifier_invalidate_range_start_map);
#endif

/* For a subscriber's own calls: it is counted in ->nr, which keeps it there. */
static struct mmu_notifier_subscriptions *
subscriptions_of(struct mm_struct *mm)
{
	return rcu_dereference_protected(mm->notifier_subscriptions, true);
}

/*
 * Enter a read section on behalf of the mm, if somebody listens (for one of
 * @ops).  RCU keeps the structure until its srcu is entered; from then on
 * subscriptions_retire() waits.
 */
static struct mmu_notifier_subscriptions *
subscriptions_enter(struct mm_struct *mm, unsigned int ops, int *idx)
{
	struct mmu_notifier_subscriptions *subs;

	rcu_read_lock();
	subs = rcu_dereference(mm->notifier_subscriptions);
	if (subs && ops && !(READ_ONCE(subs->ops) & ops))
		subs = NULL;
	if (subs) {
		*idx = srcu_read_lock(&subs->srcu);
		/* Sparse cannot follow a lock that is taken on a condition. */
		__release(&subs->srcu);
	}
	rcu_read_unlock();
	return subs;
}

static void subscriptions_exit(struct mmu_notifier_subscriptions *subs, int idx)
{
	__acquire(&subs->srcu);
	srcu_read_unlock(&subs->srcu, idx);
}

static void subscriptions_retire(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs =
		container_of(to_rcu_work(work),
			     struct mmu_notifier_subscriptions, retire);

	if (cancel_delayed_work_sync(&subs->linger))
		mmdrop(subs->mm);
	/* Sections that found the structure before it was detached ... */
	synchronize_srcu(&subs->srcu);
	/* ... and the put that brought us here, which may still be running. */
	srcu_barrier(&subs->srcu);
	cleanup_srcu_struct(&subs->srcu);
	kfree(subs);
}

static void subscriptions_detach(struct mmu_notifier_subscriptions *subs)
{
	lockdep_assert_held(&subs->lock);
	subs->detached = true;
	rcu_assign_pointer(subs->mm->notifier_subscriptions, NULL);
	queue_rcu_work(system_unbound_wq, &subs->retire);
}

static void subscriptions_linger(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs =
		container_of(to_delayed_work(work),
			     struct mmu_notifier_subscriptions, linger);
	struct mm_struct *mm = subs->mm;

	/* subscriptions_retire() waits for us. */
	spin_lock(&subs->lock);
	if (!subs->nr && !subs->detached)
		subscriptions_detach(subs);
	spin_unlock(&subs->lock);
	mmdrop(mm);
}

static struct mmu_notifier_subscriptions *
subscriptions_alloc(struct mm_struct *mm)
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
	INIT_HLIST_HEAD(&subs->list);
	subs->mm = mm;
	subs->nr = 1;
	subs->itree = RB_ROOT_CACHED;
	INIT_LIST_HEAD(&subs->inflight);
	init_waitqueue_head(&subs->wait);
	INIT_DELAYED_WORK(&subs->linger, subscriptions_linger);
	INIT_RCU_WORK(&subs->retire, subscriptions_retire);
	return subs;
}

/* Count one more subscriber; NULL if there is nothing it could join yet. */
static struct mmu_notifier_subscriptions *
subscriptions_tryget(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;
	bool joined = false;

	rcu_read_lock();
	subs = rcu_dereference(mm->notifier_subscriptions);
	if (subs) {
		spin_lock(&subs->lock);
		joined = subs->ready && !subs->detached;
		if (joined)
			subs->nr++;
		spin_unlock(&subs->lock);
	}
	rcu_read_unlock();
	return joined ? subs : NULL;
}

/*
 * One subscriber less.  Some time after the last one the mm becomes as cheap as it
 * was before the first.
 */
static void subscriptions_put(struct mmu_notifier_subscriptions *subs)
{
	unsigned int ms = READ_ONCE(mmu_notifier_linger_ms);

	spin_lock(&subs->lock);
	if (--subs->nr) {
		/* There are others. */
	} else if (subs->dying || !subs->ready || !ms) {
		subscriptions_detach(subs);
	} else {
		mmgrab(subs->mm);
		if (mod_delayed_work(system_unbound_wq, &subs->linger,
				     msecs_to_jiffies(ms)))
			mmdrop(subs->mm);	/* it has a reference */
	}
	spin_unlock(&subs->lock);
}

/*
 * Make a new structure known, and wait for the sections that did not know it.
 * On failure (-EINTR, a fatal signal) it stays known: the caller takes its
 * subscriber out again like any other.
 */
static int subscriptions_publish(struct mmu_notifier_subscriptions *subs,
				 struct mm_struct *mm)
{
	int ret;

	mmap_assert_write_locked(mm);

	/* Pairs with rcu_dereference() in subscriptions_enter(). */
	rcu_assign_pointer(mm->notifier_subscriptions, subs);
	ret = mm_pass_all_locks(mm);
	if (ret)
		return ret;

	spin_lock(&subs->lock);
	subs->ready = true;
	subs->itree_ready = subs->nr_intervals;
	spin_unlock(&subs->lock);
	return 0;
}

/* Wait for all sections and callbacks in flight. */
static void subscriptions_sync(struct mmu_notifier_subscriptions *subs)
{
	synchronize_srcu_expedited(&subs->srcu);
}

/*
 * The list.
 */

/*
 * A new era begins, for @sub with @state.  First @sub has to be in that state;
 * then what goes with it is done (linked, operations noted); subs_begin_era()
 * makes it known.
 */
static void sub_set_era(struct mmu_notifier_subscriptions *subs,
			struct mmu_notifier *sub, unsigned long state)
{
	lockdep_assert_held(&subs->lock);
	WRITE_ONCE(sub->era, (subs->era + ERA_STEP) | state);
}

static void subs_begin_era(struct mmu_notifier_subscriptions *subs)
{
	lockdep_assert_held(&subs->lock);
	/*
	 * Pairs with smp_load_acquire() in subs_era(): who is in the new era
	 * finds the subscriber in the list, in its state, and in ->ops.
	 */
	smp_store_release(&subs->era, subs->era + ERA_STEP);
}

static unsigned long subs_era(struct mmu_notifier_subscriptions *subs)
{
	/* Pairs with smp_store_release() in subs_begin_era(). */
	return smp_load_acquire(&subs->era);
}

/* Is @sub called by what began in @era? */
static bool sub_in_era(struct mmu_notifier *sub, unsigned long era)
{
	unsigned long since = READ_ONCE(sub->era);
	unsigned long state = since & ERA_STATE;

	if (likely(state == ERA_LIVE))
		return true;
	return (state == ERA_LEAVING) == ((long)(era - (since - state)) < 0);
}

static struct mmu_notifier *
sub_skip(struct mmu_notifier_subscriptions *subs, struct hlist_node *node,
	 unsigned long era)
{
	struct mmu_notifier *sub;

	while (node) {
		sub = hlist_entry(node, struct mmu_notifier, hlist);
		if (sub_in_era(sub, era))
			return sub;
		node = srcu_dereference(hlist_next_rcu(node), &subs->srcu);
	}
	return NULL;
}

static struct mmu_notifier *
sub_first(struct mmu_notifier_subscriptions *subs, unsigned long era)
{
	return sub_skip(subs, srcu_dereference(hlist_first_rcu(&subs->list),
					       &subs->srcu), era);
}

static struct mmu_notifier *
sub_next(struct mmu_notifier_subscriptions *subs, struct mmu_notifier *sub,
	 unsigned long era)
{
	return sub_skip(subs, srcu_dereference(hlist_next_rcu(&sub->hlist),
					       &subs->srcu), era);
}

/* Those that are called by what began in @era.  Under srcu. */
#define for_each_sub(sub, subs, era)					\
	for (sub = sub_first(subs, era); sub; sub = sub_next(subs, sub, era))

static void subs_update_ops(struct mmu_notifier_subscriptions *subs)
{
	struct mmu_notifier *sub;
	unsigned int ops = 0;

	lockdep_assert_held(&subs->lock);

	hlist_for_each_entry(sub, &subs->list, hlist) {
		const struct mmu_notifier_ops *o = sub->ops;

		if (o->invalidate_range_start || o->invalidate_range_end)
			ops |= SUB_RANGE;
		if (o->invalidate_page)
			ops |= SUB_PAGE;
		if (o->clear_flush_young)
			ops |= SUB_CLEAR_FLUSH_YOUNG;
		if (o->clear_young)
			ops |= SUB_CLEAR_YOUNG;
		if (o->test_young)
			ops |= SUB_TEST_YOUNG;
		if (o->arch_invalidate_secondary_tlbs)
			ops |= SUB_TLBS;
	}
	WRITE_ONCE(subs->ops, ops);
}

static void sub_begin_leave(struct mmu_notifier_subscriptions *subs,
			    struct mmu_notifier *sub)
{
	lockdep_assert_held(&subs->lock);

	/* Only the first to say so: a later era would mean more sections. */
	if ((sub->era & ERA_STATE) != ERA_LEAVING) {
		sub_set_era(subs, sub, ERA_LEAVING);
		subs_begin_era(subs);
	}
}

static void sub_unlink(struct mmu_notifier_subscriptions *subs,
		       struct mmu_notifier *sub)
{
	spin_lock(&subs->lock);
	if (!hlist_unhashed(&sub->hlist)) {
		hlist_del_init_rcu(&sub->hlist);
		subs_update_ops(subs);
	}
	spin_unlock(&subs->lock);
}

/*
 * Take @sub out; when it returns, no callback runs or will.  @remains is
 * what stays in @sub->mm.
 */
static void sub_leave(struct mmu_notifier_subscriptions *subs,
		      struct mmu_notifier *sub, struct mm_struct *remains)
{
	struct mm_struct *mm = sub->mm;
	bool linked;

	spin_lock(&subs->lock);
	linked = !hlist_unhashed(&sub->hlist);
	if (linked)
		sub_begin_leave(subs, sub);
	spin_unlock(&subs->lock);

	if (linked) {
		/* It sees the end of each section whose start it saw. */
		subscriptions_sync(subs);
		sub_unlink(subs, sub);
	}
	/* Walkers of later sections may still stand on it. */
	subscriptions_sync(subs);

	sub->users = 0;
	sub->mm = remains;
	subscriptions_put(subs);
	mmdrop(mm);
}

/*
 * Call release, or wait until who got here first has done so.  Not inside srcu
 * as lockdep knows it: that is waited for under mmap_lock, and release may take
 * locks under which others take mmap_lock.
 */
static void sub_release(struct mmu_notifier_subscriptions *subs,
			struct mmu_notifier *sub, struct mm_struct *mm)
{
	bool mine;

	spin_lock(&subs->lock);
	mine = sub->release == RELEASE_TO_CALL;
	if (mine)
		WRITE_ONCE(sub->release, RELEASE_RUNS);
	spin_unlock(&subs->lock);

	if (!mine) {
		/* Pairs with the release below: what the callback did is seen. */
		wait_event(subs->wait, smp_load_acquire(&sub->release) ==
				       RELEASE_DONE);
		return;
	}
	if (sub->ops->release)
		sub->ops->release(sub, mm);
	/* Pairs with the acquire above. */
	smp_store_release(&sub->release, RELEASE_DONE);
	wake_up_all(&subs->wait);
}

/* Does @sub get the pair, or mmu_notifier_invalidate_page() in its place? */
static bool sub_wants_pair(struct mmu_notifier *sub,
			   const struct mmu_notifier_range *range)
{
	return !(range->flags & MMU_NOTIFIER_RANGE_PAGE) ||
	       !sub->ops->invalidate_page;
}

static int sub_start(struct mmu_notifier *sub,
		     const struct mmu_notifier_range *range)
{
	int ret;

	if (!sub->ops->invalidate_range_start)
		return 0;

	if (mmu_notifier_range_blockable(range)) {
		ret = sub->ops->invalidate_range_start(sub, range);
		WARN_ONCE(ret, "%pS refuses a start that may sleep: %d\n",
			  sub->ops->invalidate_range_start, ret);
		return 0;
	}

	non_block_start();
	ret = sub->ops->invalidate_range_start(sub, range);
	non_block_end();
	WARN_ONCE(ret && ret != -EAGAIN, "%pS returns %d, not -EAGAIN\n",
		  sub->ops->invalidate_range_start, ret);
	return ret ? -EAGAIN : 0;
}

/* End the section for all who started it: those before @stop, or all. */
static void list_end(struct mmu_notifier_subscriptions *subs,
		     const struct mmu_notifier_range *range,
		     struct mmu_notifier *stop)
{
	struct mmu_notifier *sub;

	for_each_sub(sub, subs, range->era) {
		if (sub == stop)
			break;
		if (!sub->ops->invalidate_range_end ||
		    !sub_wants_pair(sub, range))
			continue;
		if (!mmu_notifier_range_blockable(range))
			non_block_start();
		sub->ops->invalidate_range_end(sub, range);
		if (!mmu_notifier_range_blockable(range))
			non_block_end();
	}
}

static int list_start(struct mmu_notifier_subscriptions *subs,
		      const struct mmu_notifier_range *range)
{
	struct mmu_notifier *sub;
	int ret;

	for_each_sub(sub, subs, range->era) {
		if (!sub_wants_pair(sub, range))
			continue;
		ret = sub_start(sub, range);
		if (ret) {
			list_end(subs, range, sub);
			return ret;
		}
	}
	return 0;
}

/*
 * The interval tree.
 *
 * While it has members, each section is linked in ->inflight.  A section
 * counts itself in ->active of the intervals that it overlaps, and so does an
 * interval that is inserted while sections are in flight; the end takes back
 * what it finds.  Where ->active is 0, nothing is being invalidated.
 */

static bool range_overlaps(const struct mmu_notifier_range *range,
			   const struct mmu_interval_notifier *mni)
{
	return range->start <= mni->interval_tree.last &&
	       range->end - 1 >= mni->interval_tree.start;
}

static struct mmu_interval_notifier *
itree_entry(struct interval_tree_node *node)
{
	return node ? container_of(node, struct mmu_interval_notifier,
				   interval_tree) : NULL;
}

static struct mmu_interval_notifier *
itree_first(struct mmu_notifier_subscriptions *subs,
	    const struct mmu_notifier_range *range)
{
	lockdep_assert_held(&subs->lock);
	return itree_entry(interval_tree_iter_first(&subs->itree, range->start,
						    range->end - 1));
}

static struct mmu_interval_notifier *
itree_next(struct mmu_interval_notifier *mni,
	   const struct mmu_notifier_range *range)
{
	return itree_entry(interval_tree_iter_next(&mni->interval_tree,
						   range->start,
						   range->end - 1));
}

#define itree_for_each(mni, subs, range)				\
	for (mni = itree_first(subs, range); mni; mni = itree_next(mni, range))

static void itree_end(struct mmu_notifier_subscriptions *subs,
		      struct mmu_notifier_range *range)
{
	struct mmu_interval_notifier *mni;
	bool wake = false;

	spin_lock(&subs->lock);
	list_del(&range->inflight);
	if (range->hit) {
		itree_for_each(mni, subs, range) {
			WRITE_ONCE(mni->active, mni->active - 1);
			wake |= !mni->active;
		}
	}
	spin_unlock(&subs->lock);
	if (wake)
		wake_up_all(&subs->wait);
}

static int itree_start(struct mmu_notifier_subscriptions *subs,
		       struct mmu_notifier_range *range)
{
	struct mmu_interval_notifier *mni;
	bool ok = true;

	spin_lock(&subs->lock);
	range->seq = ++subs->seq;
	range->tracked = true;
	range->hit = false;
	list_add(&range->inflight, &subs->inflight);
	itree_for_each(mni, subs, range) {
		WRITE_ONCE(mni->active, mni->active + 1);
		range->hit = true;
	}

	/* Intervals may come meanwhile; none goes while we stand on it. */
	itree_for_each(mni, subs, range) {
		if (mni->pins & PINS_DEAD)
			continue;
		WRITE_ONCE(mni->pins, mni->pins + 1);
		spin_unlock(&subs->lock);

		if (mmu_notifier_range_blockable(range)) {
			ok = mni->ops->invalidate(mni, range, range->seq);
			WARN_ONCE(!ok, "%pS refuses a start that may sleep\n",
				  mni->ops->invalidate);
			ok = true;
		} else {
			non_block_start();
			ok = mni->ops->invalidate(mni, range, range->seq);
			non_block_end();
		}

		spin_lock(&subs->lock);
		WRITE_ONCE(mni->pins, mni->pins - 1);
		if (mni->pins == PINS_DEAD)
			wake_up_all(&subs->wait);
		if (!ok)
			break;
	}
	spin_unlock(&subs->lock);

	if (ok)
		return 0;
	itree_end(subs, range);
	return -EAGAIN;
}

/*
 * What the VM calls.
 */

/* See mmu_notifier_invalidate_range_start(). */
int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs;
	int ret = 0;

	if (WARN_ON_ONCE(range->subscriptions) ||
	    WARN_ON_ONCE(range->start >= range->end))
		return 0;
	if (WARN_ON_ONCE((range->flags & MMU_NOTIFIER_RANGE_PAGE) &&
			 range->end - range->start != PAGE_SIZE))
		range->flags &= ~MMU_NOTIFIER_RANGE_PAGE;

	subs = subscriptions_enter(range->mm, 0, &range->srcu_idx);
	if (!subs)
		return 0;

	range->era = subs_era(subs);
	range->tracked = false;
	/* Whoever makes it non-zero waits for those who saw zero. */
	if (READ_ONCE(subs->nr_intervals))
		ret = itree_start(subs, range);
	if (!ret && (READ_ONCE(subs->ops) & SUB_RANGE)) {
		ret = list_start(subs, range);
		if (ret && range->tracked)
			itree_end(subs, range);
	}

	if (ret)
		subscriptions_exit(subs, range->srcu_idx);
	else
		range->subscriptions = subs;
	return ret;
}

/* See mmu_notifier_invalidate_range_end(). */
void __mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = range->subscriptions;

	if (mmu_notifier_range_blockable(range))
		might_sleep();

	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	if (range->tracked)
		itree_end(subs, range);
	if (READ_ONCE(subs->ops) & SUB_RANGE)
		list_end(subs, range, NULL);
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);

	range->subscriptions = NULL;
	subscriptions_exit(subs, range->srcu_idx);
}

/* See mmu_notifier_invalidate_page(); inside the section's srcu. */
void __mmu_notifier_invalidate_page(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = range->subscriptions;
	struct mmu_notifier *sub;

	if (!(READ_ONCE(subs->ops) & SUB_PAGE))
		return;

	non_block_start();
	for_each_sub(sub, subs, range->era)
		if (sub->ops->invalidate_page)
			sub->ops->invalidate_page(sub, range);
	non_block_end();
}

/* See mmu_notifier_clear_flush_young(). */
int __mmu_notifier_clear_flush_young(struct mm_struct *mm,
				     unsigned long start, unsigned long end)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	unsigned long era;
	int young = 0;
	int idx;

	subs = subscriptions_enter(mm, SUB_CLEAR_FLUSH_YOUNG, &idx);
	if (!subs)
		return 0;
	era = subs_era(subs);
	for_each_sub(sub, subs, era)
		if (sub->ops->clear_flush_young)
			young |= sub->ops->clear_flush_young(sub, mm, start, end);
	subscriptions_exit(subs, idx);
	return young;
}

/* See mmu_notifier_clear_young(). */
int __mmu_notifier_clear_young(struct mm_struct *mm,
			       unsigned long start, unsigned long end)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	unsigned long era;
	int young = 0;
	int idx;

	subs = subscriptions_enter(mm, SUB_CLEAR_YOUNG, &idx);
	if (!subs)
		return 0;
	era = subs_era(subs);
	for_each_sub(sub, subs, era)
		if (sub->ops->clear_young)
			young |= sub->ops->clear_young(sub, mm, start, end);
	subscriptions_exit(subs, idx);
	return young;
}

/* See mmu_notifier_test_young(). */
int __mmu_notifier_test_young(struct mm_struct *mm, unsigned long address)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	unsigned long era;
	int young = 0;
	int idx;

	subs = subscriptions_enter(mm, SUB_TEST_YOUNG, &idx);
	if (!subs)
		return 0;
	era = subs_era(subs);
	for_each_sub(sub, subs, era) {
		if (sub->ops->test_young)
			young = sub->ops->test_young(sub, mm, address);
		if (young)
			break;
	}
	subscriptions_exit(subs, idx);
	return young;
}

/* See mmu_notifier_arch_invalidate_secondary_tlbs(). */
void __mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						   unsigned long start,
						   unsigned long end)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	unsigned long era;
	int idx;

	subs = subscriptions_enter(mm, SUB_TLBS, &idx);
	if (!subs)
		return;
	era = subs_era(subs);
	for_each_sub(sub, subs, era)
		if (sub->ops->arch_invalidate_secondary_tlbs)
			sub->ops->arch_invalidate_secondary_tlbs(sub, mm, start,
								 end);
	subscriptions_exit(subs, idx);
}

/* See mmu_notifier_release(). */
void __mmu_notifier_release(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier_range range;
	struct mmu_notifier *sub;
	struct hlist_node *next;
	bool idle;
	int idx;

	/* Nobody can register any more; what is not @ready will leave again. */
	subs = subscriptions_tryget(mm);
	if (!subs)
		return;
	spin_lock(&subs->lock);
	subs->dying = true;
	idle = subs->nr == 1;
	spin_unlock(&subs->lock);
	if (idle) {
		subscriptions_put(subs);
		return;
	}

	if (READ_ONCE(subs->nr_intervals)) {
		mmu_notifier_range_init(&range, MMU_NOTIFY_RELEASE,
					MMU_NOTIFIER_RANGE_BLOCKABLE, mm, 0,
					ULONG_MAX);
		itree_start(subs, &range);
		itree_end(subs, &range);
	}

	/*
	 * Also waits for a release that mmu_notifier_unregister() got to call:
	 * the pages are freed when we return.  srcu keeps who we reach from
	 * being freed; it is not taken for lockdep, see sub_release().
	 */
	WRITE_ONCE(subs->releaser, current);
	idx = srcu_down_read(&subs->srcu);
	spin_lock(&subs->lock);
again:
	hlist_for_each_entry(sub, &subs->list, hlist) {
		if (sub->release != RELEASE_DONE) {
			spin_unlock(&subs->lock);
			sub_release(subs, sub, mm);
			spin_lock(&subs->lock);
			goto again;
		}
	}
	hlist_for_each_entry(sub, &subs->list, hlist)
		sub_begin_leave(subs, sub);
	spin_unlock(&subs->lock);
	srcu_up_read(&subs->srcu, idx);
	WRITE_ONCE(subs->releaser, NULL);

	/* Reverse-map walks in flight end for whom they started. */
	subscriptions_sync(subs);

	spin_lock(&subs->lock);
	hlist_for_each_entry_safe(sub, next, &subs->list, hlist)
		hlist_del_init_rcu(&sub->hlist);
	subs_update_ops(subs);
	spin_unlock(&subs->lock);
	subscriptions_put(subs);
}

/*
 * What list subscribers call.
 */

static bool ops_valid(const struct mmu_notifier_ops *ops)
{
	bool start = ops->invalidate_range_start;
	bool end = ops->invalidate_range_end;

	/* Most of what happens to pages happens to ranges. */
	if (ops->invalidate_page && !(start && end))
		return false;
	/* The TLB flush comes between the two: it would be told twice. */
	if (ops->arch_invalidate_secondary_tlbs && (start || end))
		return false;
	return true;
}

static bool sub_is_linked(struct mmu_notifier_subscriptions *subs,
			  struct mmu_notifier *sub)
{
	struct mmu_notifier *other;

	lockdep_assert_held(&subs->lock);

	/* What is not linked may never have been initialised: do not look. */
	hlist_for_each_entry(other, &subs->list, hlist)
		if (other == sub)
			return true;
	return false;
}

/**
 * __mmu_notifier_register - subscribe to an mm, with mmap_lock held
 * @subscription: with @subscription->ops set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * As mmu_notifier_register(), but the caller holds mmap_lock for writing.
 *
 * Context: may sleep.  mmap_lock held for writing.  Takes and drops the
 * reverse-map locks if @mm has no subscriber yet, otherwise waits for the
 * invalidations in flight on @mm: not inside one, nor from a callback, nor
 * under a lock that a callback takes.
 * Return: 0; -ENOMEM; -EINTR on a fatal signal; for misuse -EINVAL (bad
 * operations, a dying mm) or -EBUSY (registered already).
 */
int __mmu_notifier_register(struct mmu_notifier *subscription,
			    struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;
	bool busy, first;
	int ret = 0;

	mmap_assert_write_locked(mm);

	if (WARN_ON_ONCE(atomic_read(&mm->mm_users) <= 0) ||
	    WARN_ON_ONCE(!subscription->ops) ||
	    WARN_ON_ONCE(!ops_valid(subscription->ops)))
		return -EINVAL;

	subs = subscriptions_tryget(mm);
	first = !subs;
	if (first)
		subs = subscriptions_alloc(mm);
	if (!subs)
		return -ENOMEM;

	spin_lock(&subs->lock);
	busy = sub_is_linked(subs, subscription);
	if (!busy) {
		mmgrab(mm);
		subscription->mm = mm;
		subscription->users = 1;
		subscription->release = RELEASE_TO_CALL;
		sub_set_era(subs, subscription, ERA_JOINING);
		hlist_add_head_rcu(&subscription->hlist, &subs->list);
		subs_update_ops(subs);
		subs_begin_era(subs);
	}
	spin_unlock(&subs->lock);
	if (WARN_ON_ONCE(busy)) {
		subscriptions_put(subs);
		return -EBUSY;
	}

	if (first)
		ret = subscriptions_publish(subs, mm);
	else
		subscriptions_sync(subs);
	if (!ret)
		WRITE_ONCE(subscription->era, ERA_LIVE);
	else
		sub_leave(subs, subscription, NULL);
	return ret;
}
EXPORT_SYMBOL_GPL(__mmu_notifier_register);

/**
 * mmu_notifier_register - subscribe to an mm
 * @subscription: with @subscription->ops set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * When it returns, no invalidation is in flight that @subscription was not
 * told of.  Callbacks can come before it returns; after an error none comes.
 * A reference to @mm (mmgrab(), not mmget()) is held until the end of
 * mmu_notifier_unregister(), which has to follow even if @mm dies first.
 *
 * Context: may sleep.  Takes mmap_lock for writing, and see
 * __mmu_notifier_register().
 * Return: as __mmu_notifier_register().
 */
int mmu_notifier_register(struct mmu_notifier *subscription,
			  struct mm_struct *mm)
{
	int ret;

	mmap_write_lock(mm);
	ret = __mmu_notifier_register(subscription, mm);
	mmap_write_unlock(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_notifier_register);

/**
 * mmu_notifier_unregister - unsubscribe from an mm
 * @subscription: registered by mmu_notifier_register()
 * @mm: the mm that it was registered with
 *
 * Calls &mmu_notifier_ops.release unless the mm's death was first.  When it
 * returns, no callback runs or will, every section that @subscription saw the
 * start of has been ended, and its owner can free it.
 *
 * Context: may sleep; waits for the invalidations in flight on @mm: not inside
 * one, nor from a callback, nor under a lock that a callback takes.
 */
void mmu_notifier_unregister(struct mmu_notifier *subscription,
			     struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;

	might_sleep();

	if (WARN_ON_ONCE(!mm || subscription->mm != mm || !subscription->users))
		return;
	subs = subscriptions_of(mm);
	/* From its release at exit it would wait for itself: stays subscribed. */
	if (WARN_ON_ONCE(READ_ONCE(subs->releaser) == current))
		return;

	sub_release(subs, subscription, mm);
	/* Its owner may look for the mm later on. */
	sub_leave(subs, subscription, mm);
}
EXPORT_SYMBOL_GPL(mmu_notifier_unregister);

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
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	int idx, ret;

	mmap_assert_write_locked(mm);

	if (WARN_ON_ONCE(!ops->alloc_notifier || !ops->free_notifier))
		return ERR_PTR(-EINVAL);

	subs = subscriptions_enter(mm, 0, &idx);
	if (subs) {
		spin_lock(&subs->lock);
		hlist_for_each_entry(sub, &subs->list, hlist)
			if (sub->ops == ops && sub->users)
				break;
		if (sub && sub->users == UINT_MAX)
			sub = ERR_PTR(-EOVERFLOW);
		else if (sub)
			sub->users++;
		spin_unlock(&subs->lock);
		subscriptions_exit(subs, idx);
		if (sub)
			return sub;
	}

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
 * Allocates and registers a subscriber, or takes another reference to the one
 * that is there.  Each is dropped by mmu_notifier_put().
 *
 * Context: may sleep.  Takes mmap_lock for writing.
 * Return: the subscriber; an ERR_PTR() as from alloc_notifier,
 * mmu_notifier_register(), or -EOVERFLOW for too many references.
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

static void sub_put_free(struct rcu_head *rcu)
{
	struct mmu_notifier *sub = container_of(rcu, struct mmu_notifier, rcu);
	struct mm_struct *mm = sub->mm;
	int idx = sub->put_idx;

	sub->ops->free_notifier(sub);
	__acquire(&mmu_notifier_put_srcu);
	srcu_up_read(&mmu_notifier_put_srcu, idx);
	subscriptions_put(subscriptions_of(mm));
	mmdrop(mm);
}

static void sub_put_unlink(struct rcu_head *rcu)
{
	struct mmu_notifier *sub = container_of(rcu, struct mmu_notifier, rcu);
	struct mmu_notifier_subscriptions *subs = subscriptions_of(sub->mm);

	sub_unlink(subs, sub);
	call_srcu(&subs->srcu, &sub->rcu, sub_put_free);
}

/**
 * mmu_notifier_put - drop a reference from mmu_notifier_get()
 * @subscription: the subscriber
 *
 * With the last reference no new invalidation calls @subscription;
 * &mmu_notifier_ops.release is not called for it any more, and free_notifier
 * is called once the callbacks in flight have returned.  A module that has
 * used this calls mmu_notifier_synchronize() before it is unloaded.
 *
 * Context: process context, spinlocks may be held; does not wait.
 */
void mmu_notifier_put(struct mmu_notifier *subscription)
{
	struct mmu_notifier_subscriptions *subs;
	bool last;

	if (WARN_ON_ONCE(!subscription->mm))
		return;
	subs = subscriptions_of(subscription->mm);

	spin_lock(&subs->lock);
	last = !WARN_ON_ONCE(!subscription->users) && !--subscription->users;
	if (last) {
		if (subscription->release == RELEASE_TO_CALL)
			WRITE_ONCE(subscription->release, RELEASE_DONE);
		sub_begin_leave(subs, subscription);
	}
	spin_unlock(&subs->lock);
	if (!last)
		return;

	/* The same two grace periods as in sub_leave(). */
	subscription->put_idx = srcu_down_read(&mmu_notifier_put_srcu);
	__release(&mmu_notifier_put_srcu);	/* goes up in sub_put_free() */
	call_srcu(&subs->srcu, &subscription->rcu, sub_put_unlink);
}
EXPORT_SYMBOL_GPL(mmu_notifier_put);

/**
 * mmu_notifier_synchronize - wait until everything that was put is freed
 *
 * When it returns, free_notifier has returned for each mmu_notifier_put()
 * before the call, in any mm.
 *
 * Context: may sleep.
 */
void mmu_notifier_synchronize(void)
{
	synchronize_srcu(&mmu_notifier_put_srcu);
}
EXPORT_SYMBOL_GPL(mmu_notifier_synchronize);

/*
 * What interval subscribers call.
 */

static bool interval_valid(unsigned long start, unsigned long length)
{
	unsigned long last;

	return length && !check_add_overflow(start, length - 1, &last);
}

static void interval_link(struct mmu_notifier_subscriptions *subs,
			  struct mmu_interval_notifier *mni,
			  struct mm_struct *mm, unsigned long start,
			  unsigned long length,
			  const struct mmu_interval_notifier_ops *ops)
{
	struct mmu_notifier_range *range;
	unsigned int active = 0;

	mmgrab(mm);
	mni->mm = mm;
	mni->ops = ops;
	mni->interval_tree.start = start;
	mni->interval_tree.last = start + length - 1;
	mni->pins = 0;

	spin_lock(&subs->lock);
	list_for_each_entry(range, &subs->inflight, inflight) {
		if (range_overlaps(range, mni)) {
			range->hit = true;
			active++;
		}
	}
	/* Unequal to that of every section to come. */
	mni->invalidate_seq = subs->seq;
	WRITE_ONCE(mni->active, active);
	interval_tree_insert(&mni->interval_tree, &subs->itree);
	WRITE_ONCE(subs->nr_intervals, subs->nr_intervals + 1);
	spin_unlock(&subs->lock);
}

/* Insert where somebody listens already; false if nobody does. */
static bool interval_tryinsert(struct mmu_interval_notifier *mni,
			       struct mm_struct *mm, unsigned long start,
			       unsigned long length,
			       const struct mmu_interval_notifier_ops *ops)
{
	struct mmu_notifier_subscriptions *subs;
	bool ready;

	subs = subscriptions_tryget(mm);
	if (!subs)
		return false;
	interval_link(subs, mni, mm, start, length, ops);

	spin_lock(&subs->lock);
	ready = subs->itree_ready;
	spin_unlock(&subs->lock);
	if (ready)
		return true;

	/* Sections from before the first interval are not in ->inflight. */
	subscriptions_sync(subs);
	spin_lock(&subs->lock);
	subs->itree_ready = true;
	spin_unlock(&subs->lock);
	return true;
}

/**
 * mmu_interval_notifier_insert_locked - subscribe to an interval, with
 * mmap_lock held
 * @interval_sub: the subscriber
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 * @start: first byte
 * @length: bytes
 * @ops: of the subscriber
 *
 * As mmu_interval_notifier_insert(), but the caller holds mmap_lock for
 * writing.
 *
 * Context: may sleep.  mmap_lock held for writing.
 * Return: as mmu_interval_notifier_insert().
 */
int mmu_interval_notifier_insert_locked(struct mmu_interval_notifier *interval_sub,
					struct mm_struct *mm,
					unsigned long start,
					unsigned long length,
					const struct mmu_interval_notifier_ops *ops)
{
	struct mmu_notifier_subscriptions *subs;
	int ret;

	mmap_assert_write_locked(mm);

	if (WARN_ON_ONCE(atomic_read(&mm->mm_users) <= 0))
		return -EINVAL;
	if (!interval_valid(start, length))
		return -EOVERFLOW;

	if (interval_tryinsert(interval_sub, mm, start, length, ops))
		return 0;

	subs = subscriptions_alloc(mm);
	if (!subs)
		return -ENOMEM;
	interval_link(subs, interval_sub, mm, start, length, ops);
	ret = subscriptions_publish(subs, mm);
	if (ret) {
		mmu_interval_notifier_remove(interval_sub);
		/* Some owners go by these, to see whether it is inserted. */
		interval_sub->mm = NULL;
		interval_sub->interval_tree.start = 0;
		interval_sub->interval_tree.last = 0;
	}
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_insert_locked);

/**
 * mmu_interval_notifier_insert - subscribe to an interval of an mm
 * @interval_sub: the subscriber
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 * @start: first byte
 * @length: bytes
 * @ops: of the subscriber
 *
 * Invalidations may be in flight when it returns, and
 * mmu_interval_read_begin() waits for them.  Holds a reference to @mm
 * (mmgrab()) until mmu_interval_notifier_remove(), which has to follow even
 * if @mm dies first.
 *
 * Context: may sleep; may take mmap_lock for writing; may wait for the
 * invalidations in flight on @mm: see __mmu_notifier_register().
 * Return: 0; -ENOMEM; -EOVERFLOW if the interval is empty or wraps; -EINTR on a
 * fatal signal; -EINVAL for a dying mm.
 */
int mmu_interval_notifier_insert(struct mmu_interval_notifier *interval_sub,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long length,
				 const struct mmu_interval_notifier_ops *ops)
{
	int ret;

	might_lock(&mm->mmap_lock);

	if (WARN_ON_ONCE(atomic_read(&mm->mm_users) <= 0))
		return -EINVAL;
	if (!interval_valid(start, length))
		return -EOVERFLOW;

	if (interval_tryinsert(interval_sub, mm, start, length, ops))
		return 0;

	mmap_write_lock(mm);
	ret = mmu_interval_notifier_insert_locked(interval_sub, mm, start,
						  length, ops);
	mmap_write_unlock(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_insert);

/**
 * mmu_interval_notifier_remove - unsubscribe from an interval
 * @interval_sub: inserted by mmu_interval_notifier_insert()
 *
 * When it returns, @invalidate does not run and will not, and the owner can
 * free @interval_sub.  An invalidation that begins while it runs may not call
 * @invalidate any more: drop the secondary mappings before.
 *
 * Context: may sleep; waits for @invalidate, so not under a lock that it takes.
 */
void mmu_interval_notifier_remove(struct mmu_interval_notifier *interval_sub)
{
	struct mm_struct *mm = interval_sub->mm;
	struct mmu_notifier_subscriptions *subs = subscriptions_of(mm);

	might_sleep();

	spin_lock(&subs->lock);
	WRITE_ONCE(interval_sub->pins, interval_sub->pins | PINS_DEAD);
	while (interval_sub->pins != PINS_DEAD) {
		spin_unlock(&subs->lock);
		wait_event(subs->wait,
			   READ_ONCE(interval_sub->pins) == PINS_DEAD);
		spin_lock(&subs->lock);
	}
	interval_tree_remove(&interval_sub->interval_tree, &subs->itree);
	WRITE_ONCE(subs->nr_intervals, subs->nr_intervals - 1);
	if (!subs->nr_intervals)
		subs->itree_ready = false;
	spin_unlock(&subs->lock);

	subscriptions_put(subs);
	mmdrop(mm);
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_remove);

/**
 * mmu_interval_read_begin - begin to look up pages of an interval
 * @interval_sub: the subscriber
 *
 * Waits until no invalidation overlaps the interval.  Then look pages up,
 * take the lock that @invalidate takes, and use them only if
 * mmu_interval_read_retry() says false.
 *
 * Context: may sleep; not under a lock that @invalidate takes.
 * Return: the sequence number for mmu_interval_read_retry().
 */
unsigned long mmu_interval_read_begin(struct mmu_interval_notifier *interval_sub)
{
	struct mmu_notifier_subscriptions *subs =
		subscriptions_of(interval_sub->mm);
	unsigned long seq;

	might_sleep();
	/* We may wait for callbacks: whoever holds what they take is found. */
	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);

	spin_lock(&subs->lock);
	while (interval_sub->active) {
		spin_unlock(&subs->lock);
		wait_event(subs->wait, !READ_ONCE(interval_sub->active));
		spin_lock(&subs->lock);
	}
	/* Stable: only an active section acknowledges. */
	seq = READ_ONCE(interval_sub->invalidate_seq);
	spin_unlock(&subs->lock);
	return seq;
}
EXPORT_SYMBOL_GPL(mmu_interval_read_begin);
