// SPDX-License-Identifier: GPL-2.0
/*
 * EMM notifiers: one callback for everything, on top of the MMU notifiers.
 *
 * Each is a subscriber of the core's, which promises it what it promises others.  But
 * the core does not add up accesses: so aging goes through one more subscriber, which
 * all EMM notifiers of an mm share.
 *
 * Locks, outermost first:
 *
 *	page-table lock	around aging; the core's caller has it
 *	emm_mm.lock	the list.  Read around the callbacks, which are atomic
 *			there; written by register and unregister
 */
#include <linux/emm_notifier.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/slab.h>

/* The EMM notifiers of an mm. */
struct emm_mm {
	struct mmu_notifier mn;	/* is told of aging, and of nothing else */
	rwlock_t lock;		/* see the legend above */
	struct hlist_head list;	/* struct emm_notifier */
};

static struct emm_notifier *emm_of(struct mmu_notifier *mn)
{
	return container_of(mn, struct emm_notifier, mn);
}

/* There is no caller to take an error. */
static void emm_call(struct emm_notifier *e, struct mm_struct *mm,
		     enum emm_operation op, unsigned long start, unsigned long end)
{
	int ret = e->callback(e, mm, op, start, end);

	WARN_ONCE(ret, "%pS returns %d for operation %d\n", e->callback, ret, op);
}

static void emm_on_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	emm_call(emm_of(mn), mm, emm_release, 0, ULONG_MAX);
}

static int emm_on_start(struct mmu_notifier *mn,
			const struct mmu_notifier_range *range)
{
	struct emm_notifier *e = emm_of(mn);

	if (!mmu_notifier_range_blockable(range) && !e->never_sleeps)
		return -EAGAIN;
	emm_call(e, range->mm, emm_invalidate_start, range->start, range->end);
	return 0;
}

static void emm_on_end(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	emm_call(emm_of(mn), range->mm, emm_invalidate_end, range->start, range->end);
}

static const struct mmu_notifier_ops emm_ops = {
	.release		= emm_on_release,
	.invalidate_range_start	= emm_on_start,
	.invalidate_range_end	= emm_on_end,
};

/* Ask each of them: the sum, or the first error. */
static int emm_ask(struct emm_mm *em, unsigned long start, unsigned long end)
{
	struct emm_notifier *e;
	int ret, sum = 0;

	read_lock(&em->lock);
	hlist_for_each_entry(e, &em->list, node) {
		ret = e->callback(e, em->mn.mm, emm_referenced, start, end);
		if (sum >= 0)
			sum = ret < 0 ? ret : sum + min(ret, INT_MAX - sum);
	}
	read_unlock(&em->lock);
	return sum;
}

/*
 * An error is no access: a driver that cannot tell shall not keep pages in memory.
 * And the core combines by OR what it gets from others, so that no errno would survive.
 */
static int emm_on_age(struct mmu_notifier *mn, struct mm_struct *mm,
		      unsigned long start, unsigned long end)
{
	return max(0, emm_ask(container_of(mn, struct emm_mm, mn), start, end));
}

static struct mmu_notifier *emm_alloc(struct mm_struct *mm)
{
	struct emm_mm *em = kzalloc(sizeof(*em), GFP_KERNEL_ACCOUNT);

	if (!em)
		return ERR_PTR(-ENOMEM);
	rwlock_init(&em->lock);
	return &em->mn;
}

static void emm_free(struct mmu_notifier *mn)
{
	kfree(container_of(mn, struct emm_mm, mn));
}

static const struct mmu_notifier_ops emm_age_ops = {
	.clear_flush_young	= emm_on_age,
	.clear_young		= emm_on_age,
	.alloc_notifier		= emm_alloc,
	.free_notifier		= emm_free,
};

/**
 * emm_register_notifier - subscribe to an mm
 * @e: with @e->callback set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * When it returns, nothing is in flight that @e was not told of; callbacks can come
 * before it returns.  emm_unregister_notifier() has to follow, even if @mm dies first.
 *
 * Context: may sleep; takes mmap_lock for writing, and waits for what is in flight
 * on @mm: not inside an invalidation, nor from a callback, nor under a lock that a
 * callback takes.
 * Return: 0; -ENOMEM; -EINTR on a fatal signal; for misuse -EINVAL (no callback, a
 * dying mm) or -EBUSY (registered already).  After an error nothing has changed.
 */
int emm_register_notifier(struct emm_notifier *e, struct mm_struct *mm)
{
	struct mmu_notifier *mn;
	struct emm_mm *em;
	int ret;

	if (WARN_ON_ONCE(!e->callback))
		return -EINVAL;
	mn = mmu_notifier_get(&emm_age_ops, mm);
	if (IS_ERR(mn))
		return PTR_ERR(mn);
	e->mn.ops = &emm_ops;
	ret = mmu_notifier_register(&e->mn, mm);
	if (ret) {
		mmu_notifier_put(mn);
		return ret;
	}
	em = container_of(mn, struct emm_mm, mn);
	e->emm_mm = em;
	write_lock(&em->lock);
	hlist_add_head(&e->node, &em->list);
	write_unlock(&em->lock);
	return 0;
}
EXPORT_SYMBOL_GPL(emm_register_notifier);

/**
 * emm_unregister_notifier - unsubscribe from an mm
 * @e: registered by emm_register_notifier()
 * @mm: the mm that it was registered with
 *
 * Calls @e->callback with emm_release unless the mm's death was first.  When it
 * returns, no callback runs or will, every invalidation that @e saw the start of has
 * been ended, and its owner can free it.
 *
 * Context: may sleep; waits as emm_register_notifier() does.
 */
void emm_unregister_notifier(struct emm_notifier *e, struct mm_struct *mm)
{
	struct emm_mm *em = e->emm_mm;

	if (WARN_ON_ONCE(!em || e->mn.mm != mm))
		return;
	write_lock(&em->lock);
	hlist_del(&e->node);
	write_unlock(&em->lock);
	e->emm_mm = NULL;
	mmu_notifier_unregister(&e->mn, mm);
	mmu_notifier_put(&em->mn);
}
EXPORT_SYMBOL_GPL(emm_unregister_notifier);

/**
 * emm_notify_referenced - ask all EMM notifiers of an mm what was accessed
 * @e: one of them; the caller keeps it registered
 * @start: first byte
 * @end: exclusive
 *
 * What the VM's aging does, for a caller that wants the number of pages.
 *
 * Context: any that a spinlock can be taken in, other than an interrupt or
 * emm_referenced.
 * Return: the sum of what they return, or the first error; all are asked anyway.
 */
int emm_notify_referenced(struct emm_notifier *e, unsigned long start,
			  unsigned long end)
{
	return emm_ask(e->emm_mm, start, end);
}
EXPORT_SYMBOL_GPL(emm_notify_referenced);
