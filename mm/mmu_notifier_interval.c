// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: subscribers to an interval of an mm, with a sequence count.
 *
 * An invalidation that overlaps the hull of all intervals takes ->lock, counts itself in
 * ->active of each interval that it hits, and calls that; its end counts back.  While
 * ->active is not 0, mmu_interval_read_begin() waits.  ->invalidate_seq is the number of
 * the last invalidation that the owner has acknowledged under its own lock; if that
 * changes between mmu_interval_read_begin() and mmu_interval_read_retry(), what was
 * looked up in between is stale:
 *
 *	lookup                          invalidation
 *	------                          ------------
 *	seq = read_begin()              active++
 *	look the page up                invalidate: take the driver's lock,
 *	take the driver's lock            set_seq(), drop the mapping
 *	read_retry(seq)? look up again  change the entry
 *	map it                          active--, wake
 *
 * Insertion waits for nothing.  An invalidation that was in flight then, and has read an
 * older hull, does not know the interval: the first mmu_interval_read_begin() waits for
 * a grace period, once ("settle").  One that does know it was born before, and
 * does not count back what it has not counted:
 *
 *	insert                          invalidation
 *	------                          ------------
 *	birth = ++seq                   lock, range->seq = ++seq, active++, unlock
 *	link it, write the hull         ...
 *	cookie = grace period   (I)     lock, for each with birth < range->seq: active--
 *
 * Removal waits until no walk is inside the callback: a walk that dropped ->lock for a
 * callback goes on from that node, which @pins keeps in the tree.
 *
 * Locks: see mm/mmu_notifier.c.
 */
#include <linux/export.h>
#include <linux/interval_tree.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>

#include "mmu_notifier_internal.h"

static struct mmu_interval_notifier *mn_itree_entry(struct interval_tree_node *node)
{
	return node ? container_of(node, struct mmu_interval_notifier, interval_tree) :
		      NULL;
}

static struct mmu_interval_notifier *
mn_itree_first(struct mmu_notifier_subscriptions *subs,
	       const struct mmu_notifier_range *range)
{
	return mn_itree_entry(interval_tree_iter_first(&subs->itree, range->start,
						       range->end - 1));
}

static struct mmu_interval_notifier *
mn_itree_next(struct mmu_interval_notifier *mni,
	      const struct mmu_notifier_range *range)
{
	return mn_itree_entry(interval_tree_iter_next(&mni->interval_tree,
						      range->start, range->end - 1));
}

static void mn_hull_update(struct mmu_notifier_subscriptions *subs)
{
	struct rb_node *left = rb_first_cached(&subs->itree);
	struct rb_node *root = subs->itree.rb_root.rb_node;
	unsigned long start = ULONG_MAX, last = 0;

	if (root) {
		start = rb_entry(left, struct interval_tree_node, rb)->start;
		last = rb_entry(root, struct interval_tree_node, rb)->__subtree_last;
	}
	/* Every invalidation reads this line: do not write to it for nothing. */
	if (start != subs->hull_start)
		WRITE_ONCE(subs->hull_start, start);
	if (last != subs->hull_last)
		WRITE_ONCE(subs->hull_last, last);
}

/*
 * Count back from those that were there at the start, or from those up to @stop.
 * Returns whether a task may be waiting for that.
 */
static bool mn_itree_uncount(struct mmu_notifier_subscriptions *subs,
			     struct mmu_notifier_range *range,
			     struct mmu_interval_notifier *stop)
{
	struct mmu_interval_notifier *mni;
	bool wake = false;

	lockdep_assert_held(&subs->lock);

	for (mni = mn_itree_first(subs, range); mni; mni = mn_itree_next(mni, range)) {
		if (mni->birth < range->seq) {
			WRITE_ONCE(mni->active, mni->active - 1);
			wake |= !mni->active;
		}
		if (mni == stop)
			break;
	}
	return wake;
}

/* The end of an invalidation that hit an interval. */
void mn_itree_end(struct mmu_notifier_subscriptions *subs,
		  struct mmu_notifier_range *range)
{
	bool wake;

	spin_lock(&subs->lock);
	wake = mn_itree_uncount(subs, range, NULL);
	spin_unlock(&subs->lock);
	if (wake && wq_has_sleeper(&subs->wait))
		wake_up_all(&subs->wait);
}

static bool mn_itree_call(struct mmu_interval_notifier *mni,
			  const struct mmu_notifier_range *range, unsigned long seq)
{
	bool blockable = mmu_notifier_range_blockable(range);
	unsigned long old = READ_ONCE(mni->invalidate_seq);
	bool ok;

	if (!blockable)
		mn_non_block_start();
	ok = mni->ops->invalidate(mni, range, seq);
	if (!blockable)
		mn_non_block_end();
	WARN_ONCE(!ok && blockable, "%pS refuses an invalidation that may block\n",
		  mni->ops->invalidate);
	/*
	 * Numbers are used once: if it has not changed, no invalidation has been
	 * acknowledged meanwhile, and a lookup does not notice this one.
	 */
	if (IS_ENABLED(CONFIG_DEBUG_MMU_NOTIFIER) && ok && READ_ONCE(mni->settled) &&
	    range->event != MMU_NOTIFY_RELEASE && !range->owner)
		WARN_ONCE(READ_ONCE(mni->invalidate_seq) == old,
			  "%pS returns true without mmu_interval_set_seq()\n",
			  mni->ops->invalidate);
	return ok || blockable;
}

/* Sets @range->seq if an interval is hit. */
int mn_itree_start(struct mmu_notifier_subscriptions *subs,
		   struct mmu_notifier_range *range)
{
	struct mmu_interval_notifier *mni, *next;
	bool wake = false, ok = true;

	spin_lock(&subs->lock);
	mni = mn_itree_first(subs, range);
	if (mni)
		range->seq = ++subs->seq;
	for (; mni && ok; mni = next) {
		/* It came while the lock was dropped below. */
		if (mni->birth > range->seq) {
			next = mn_itree_next(mni, range);
			continue;
		}
		WRITE_ONCE(mni->active, mni->active + 1);
		if (mni->dead) {
			next = mn_itree_next(mni, range);
			continue;
		}
		WRITE_ONCE(mni->pins, mni->pins + 1);
		spin_unlock(&subs->lock);

		ok = mn_itree_call(mni, range, range->seq);

		spin_lock(&subs->lock);
		if (unlikely(!ok))
			wake |= mn_itree_uncount(subs, range, mni);
		/* Our pin has kept it in the tree. */
		next = mn_itree_next(mni, range);
		WRITE_ONCE(mni->pins, mni->pins - 1);
		wake |= mni->dead && !mni->pins;
	}
	spin_unlock(&subs->lock);
	if (unlikely(wake))
		wake_up_all(&subs->wait);
	if (likely(ok))
		return 0;
	range->seq = 0;
	return -EAGAIN;
}

/* The mm dies: every interval is told, before any page is freed. */
void mn_itree_release(struct mmu_notifier_subscriptions *subs)
{
	struct mmu_notifier_range range = {
		.mm = subs->mm,
		.end = ULONG_MAX,
		.flags = MMU_NOTIFIER_RANGE_BLOCKABLE,
		.event = MMU_NOTIFY_RELEASE,
	};

	if (!mn_hull_overlaps(subs, &range))
		return;
	mn_itree_start(subs, &range);
	if (range.seq)
		mn_itree_end(subs, &range);
}

static void mn_itree_insert(struct mmu_interval_notifier *mni,
			    struct mmu_notifier_subscriptions *subs,
			    unsigned long start, unsigned long length,
			    const struct mmu_interval_notifier_ops *ops)
{
	lockdep_assert_held(&subs->lock);

	mmgrab(subs->mm);
	mni->mm = subs->mm;
	mni->ops = ops;
	mni->interval_tree.start = start;
	mni->interval_tree.last = start + length - 1;
	mni->active = 0;
	mni->pins = 0;
	mni->dead = false;
	mni->settled = false;
	mni->birth = ++subs->seq;
	/* Unequal to that of every invalidation to come. */
	mni->invalidate_seq = mni->birth;
	interval_tree_insert(&mni->interval_tree, &subs->itree);
	mn_hull_update(subs);
	/*
	 * I: a full barrier, pairs with J.  An invalidation that this grace period does
	 * not wait for reads the new hull.
	 */
	mni->cookie = get_state_synchronize_srcu(&subs->srcu);
}

/* False if @mm has no subscriber yet: then its locks have to be passed first. */
static bool mn_itree_tryinsert(struct mmu_interval_notifier *mni, struct mm_struct *mm,
			       unsigned long start, unsigned long length,
			       const struct mmu_interval_notifier_ops *ops)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);
	bool ready;

	if (!subs)
		return false;
	spin_lock(&subs->lock);
	ready = subs->state == MN_READY;
	if (ready) {
		subs->nr++;
		mn_itree_insert(mni, subs, start, length, ops);
	}
	spin_unlock(&subs->lock);
	return ready;
}

static int mn_itree_check(struct mm_struct *mm, unsigned long start,
			  unsigned long length,
			  const struct mmu_interval_notifier_ops *ops)
{
	unsigned long last;

	if (WARN_ONCE(atomic_read(&mm->mm_users) <= 0, "%pS subscribes to a dead mm\n",
		      ops->invalidate))
		return -EINVAL;
	return length && !check_add_overflow(start, length - 1, &last) ? 0 : -EOVERFLOW;
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
 * As mmu_interval_notifier_insert(), but the caller holds mmap_lock for writing.
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

	ret = mn_itree_check(mm, start, length, ops);
	if (ret || mn_itree_tryinsert(interval_sub, mm, start, length, ops))
		return ret;

	subs = mn_get(mm);
	if (IS_ERR(subs)) {
		/* Some drivers test these to see whether it is inserted. */
		interval_sub->mm = NULL;
		interval_sub->interval_tree.start = 0;
		interval_sub->interval_tree.last = 0;
		return PTR_ERR(subs);
	}
	spin_lock(&subs->lock);
	mn_itree_insert(interval_sub, subs, start, length, ops);
	spin_unlock(&subs->lock);
	return 0;
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
 * Where @mm has a subscriber already, this allocates nothing, waits for nothing and
 * cannot fail but for a bad argument.  Invalidations may be in flight when it returns;
 * mmu_interval_read_begin() waits for them.  A reference to @mm (mmgrab()) is held until
 * mmu_interval_notifier_remove(), which has to follow even if @mm dies first.
 *
 * Context: may sleep; takes mmap_lock for writing and passes the reverse-map locks if
 * @mm has no subscriber yet.
 * Return: 0; -EOVERFLOW if the interval is empty or wraps; -EINVAL for a dying mm; and
 * for the first subscriber -ENOMEM, or -EINTR on a fatal signal.
 */
int mmu_interval_notifier_insert(struct mmu_interval_notifier *interval_sub,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long length,
				 const struct mmu_interval_notifier_ops *ops)
{
	int ret;

	might_lock(&mm->mmap_lock);

	ret = mn_itree_check(mm, start, length, ops);
	if (ret || mn_itree_tryinsert(interval_sub, mm, start, length, ops))
		return ret;

	mmap_write_lock(mm);
	ret = mmu_interval_notifier_insert_locked(interval_sub, mm, start, length, ops);
	mmap_write_unlock(mm);
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_insert);

/**
 * mmu_interval_notifier_remove - unsubscribe from an interval
 * @interval_sub: inserted by mmu_interval_notifier_insert()
 *
 * When it returns, @invalidate does not run and will not, and the owner can free
 * @interval_sub.  An invalidation that begins while it runs may not call @invalidate any
 * more: drop the secondary mappings before.
 *
 * Context: may sleep; waits for @invalidate, so not under a lock that it takes.
 */
void mmu_interval_notifier_remove(struct mmu_interval_notifier *interval_sub)
{
	struct mm_struct *mm = interval_sub->mm;
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);

	might_sleep();
	/* For its own callback, and for what that may take. */
	mn_map_might_wait(&__mmu_notifier_invalidate_range_start_map);

	spin_lock(&subs->lock);
	interval_sub->dead = true;
	while (interval_sub->pins) {
		spin_unlock(&subs->lock);
		wait_event(subs->wait, !READ_ONCE(interval_sub->pins));
		spin_lock(&subs->lock);
	}
	interval_tree_remove(&interval_sub->interval_tree, &subs->itree);
	mn_hull_update(subs);
	mn_put_locked(subs);
	spin_unlock(&subs->lock);
	mmdrop(mm);
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_remove);

/* A wait on subs->wait, which a fatal signal may end; 0 if it has not. */
#define mn_wait(subs, condition, killable)				\
	((killable) ? wait_event_killable((subs)->wait, condition) :	\
		      ({ wait_event((subs)->wait, condition); 0; }))

/* Wait for what was in flight at the insertion; 0, or -EINTR on a fatal signal. */
static int mn_itree_settle(struct mmu_interval_notifier *mni,
			   struct mmu_notifier_subscriptions *subs, bool killable)
{
	unsigned long cookie;

	/* A fork callback reads under SRCU, too: it would wait for itself. */
	if (WARN_ONCE(READ_ONCE(subs->inside) == current,
		      "%pS looks up for the first time in release or fork\n",
		      mni->ops->invalidate))
		return 0;
	mn_might_wait_for_fork(mni->mm);

	if (poll_state_synchronize_srcu(&subs->srcu, mni->cookie))
		goto settled;
	if (!killable) {
		synchronize_srcu_expedited(&subs->srcu);
		goto settled;
	}
	cookie = start_poll_synchronize_srcu(&subs->srcu);
	while (!poll_state_synchronize_srcu(&subs->srcu, cookie)) {
		schedule_timeout_killable(1);
		if (fatal_signal_pending(current))
			return -EINTR;
	}
settled:
	/* K: pairs with L. */
	smp_store_release(&mni->settled, true);
	return 0;
}

static int mn_itree_wait(struct mmu_interval_notifier *mni, unsigned long *seq,
			 bool killable)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mni->mm);
	int ret = 0;

	might_sleep();
	/* Callbacks may be waited for: do they take what the caller holds? */
	mn_map_might_wait(&__mmu_notifier_invalidate_range_start_map);
	mn_map_might_wait(&mn_map);

	/* L: pairs with K.  What another lookup has waited for has ended for us, too. */
	if (unlikely(!smp_load_acquire(&mni->settled)))
		ret = mn_itree_settle(mni, subs, killable);
	if (ret)
		return ret;

	spin_lock(&subs->lock);
	while (mni->active && !ret) {
		spin_unlock(&subs->lock);
		ret = mn_wait(subs, !READ_ONCE(mni->active), killable);
		spin_lock(&subs->lock);
	}
	/* Stable under the lock: only an invalidation that is counted acknowledges. */
	*seq = READ_ONCE(mni->invalidate_seq);
	spin_unlock(&subs->lock);
	return ret ? -EINTR : 0;
}

/**
 * mmu_interval_read_begin - begin to look up pages of an interval
 * @interval_sub: the subscriber
 *
 * Waits until no invalidation overlaps the interval.  Then look pages up, take the lock
 * that @invalidate takes, and use them only if mmu_interval_read_retry() says false.
 *
 * Context: may sleep; not in a callback, nor under a lock that @invalidate, another
 * callback of the mm or its fork or release callbacks take: the first call after the
 * insertion waits for all that are in flight.
 * Return: the sequence number for mmu_interval_read_retry().
 */
unsigned long mmu_interval_read_begin(struct mmu_interval_notifier *interval_sub)
{
	unsigned long seq;

	mn_itree_wait(interval_sub, &seq, false);
	return seq;
}
EXPORT_SYMBOL_GPL(mmu_interval_read_begin);

/**
 * mmu_interval_read_begin_killable - mmu_interval_read_begin(), unless killed
 * @interval_sub: the subscriber
 * @seq: where the sequence number goes
 *
 * For a task that waits at the mercy of another process: invalidations that overlap one
 * another can go on for as long as that process wants.
 *
 * Context: as mmu_interval_read_begin().
 * Return: 0, or -EINTR if a fatal signal came first.
 */
int mmu_interval_read_begin_killable(struct mmu_interval_notifier *interval_sub,
				     unsigned long *seq)
{
	return mn_itree_wait(interval_sub, seq, true);
}
EXPORT_SYMBOL_GPL(mmu_interval_read_begin_killable);
