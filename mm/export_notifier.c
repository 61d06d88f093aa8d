// SPDX-License-Identifier: GPL-2.0
/*
 * Export notifiers: a subscriber that maps pages on another host, and keeps a
 * reverse map of its own, is told what happens to a page, from whichever mm.
 *
 * An exported folio has a mark, the page flag PG_exported.  It is set and cleared
 * under the folio lock, and all code that changes the folio's mappings holds that:
 * what it sees of the mark holds until it is done.  A subscriber that sets the mark
 * has a reference for as long as it is set.
 *
 * All subscribers are on one list and are told of all exported folios: there are few.
 * One that is being called is counted in its ->calls, and no lock is held: so
 * each waits for its own callbacks only when it goes, and stays on the list, for
 * the walk to go on from, until then.
 *
 * Locks, outermost first:
 *
 *	folio lock		the mark
 *	__export_notifier_map	for lockdep: inside a callback.  Reclaim takes it,
 *				so nothing inside it may wait for memory
 *	cpu_hotplug_lock	to change export_notifier_key, when nothing else
 *				is held: not inside the above
 *	export_notifier_lock	the list.  Innermost; no callback runs under it
 */
#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/export.h>
#include <linux/export_notifier.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/mmdebug.h>
#include <linux/once_lite.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

/* On while there is a subscriber. */
struct static_key_false export_notifier_key = STATIC_KEY_FALSE_INIT;
EXPORT_SYMBOL_GPL(export_notifier_key);

#ifdef CONFIG_LOCKDEP
struct lockdep_map __export_notifier_map =
	STATIC_LOCKDEP_MAP_INIT("export_notifier_invalidate",
				&__export_notifier_map);
#endif

static LIST_HEAD(export_notifiers);
static DEFINE_SPINLOCK(export_notifier_lock);
/* The ->calls of a subscriber became 0. */
static DECLARE_WAIT_QUEUE_HEAD(export_notifier_idle);
/* Folios with the mark. */
static atomic_long_t export_notifier_marks;

static bool is_registered(struct export_notifier *en)
{
	struct export_notifier *other;

	lockdep_assert_held(&export_notifier_lock);
	list_for_each_entry(other, &export_notifiers, list)
		if (other == en)
			return true;
	return false;
}

/**
 * export_notifier_register - be told of exported folios
 * @en: the subscriber, with its ops.  It stays the caller's, and has to stay until
 *	it is unregistered
 *
 * Context: process context, may sleep; not from a callback, and under no lock
 * that a callback takes, nor under mmap_lock or cpu_hotplug_lock.  Does not wait
 * for callbacks.
 * Return: 0, or for misuse, with a warning, -EINVAL (no invalidate) or -EBUSY
 * (registered already).
 */
int export_notifier_register(struct export_notifier *en)
{
	bool busy;

	if (WARN_ON_ONCE(!en->ops || !en->ops->invalidate))
		return -EINVAL;
	spin_lock_irq(&export_notifier_lock);
	busy = is_registered(en);
	if (!busy) {
		en->calls = 0;
		en->gone = false;
		list_add_tail(&en->list, &export_notifiers);
	}
	spin_unlock_irq(&export_notifier_lock);
	if (WARN_ON_ONCE(busy))
		return -EBUSY;
	static_branch_inc(&export_notifier_key);
	return 0;
}
EXPORT_SYMBOL_GPL(export_notifier_register);

/**
 * export_notifier_unregister - be told no more
 * @en: the subscriber.  It has dropped all of its exports, mark and reference
 *
 * When it returns no callback of @en runs or will.
 *
 * Context: process context, may sleep; not from a callback, not with a folio
 * locked, and under no lock that a callback takes.  Waits for @en's callbacks,
 * for no other's.
 */
void export_notifier_unregister(struct export_notifier *en)
{
	bool known;
	long left = 0;

	/* This waits for callbacks. */
	lock_map_acquire(&__export_notifier_map);
	lock_map_release(&__export_notifier_map);

	spin_lock_irq(&export_notifier_lock);
	known = is_registered(en) && !en->gone;
	if (known) {
		en->gone = true;
		wait_event_lock_irq(export_notifier_idle, !en->calls,
				    export_notifier_lock);
		list_del(&en->list);
		if (list_empty(&export_notifiers))
			left = atomic_long_read(&export_notifier_marks);
	}
	spin_unlock_irq(&export_notifier_lock);
	if (WARN_ON_ONCE(!known))
		return;
	/* With the key off nothing would check whether they are freed. */
	if (!WARN_ONCE(left, "export notifier: %ld folios keep a mark without a subscriber",
		       left))
		static_branch_dec(&export_notifier_key);
}
EXPORT_SYMBOL_GPL(export_notifier_unregister);

/* The subscriber behind @en, or the first, to be called. @en was called. */
static struct export_notifier *next_to_call(struct export_notifier *en)
{
	struct export_notifier *next = NULL, *pos;

	spin_lock_irq(&export_notifier_lock);
	pos = list_prepare_entry(en, &export_notifiers, list);
	list_for_each_entry_continue(pos, &export_notifiers, list) {
		if (!pos->gone) {
			next = pos;
			next->calls++;
			break;
		}
	}
	if (en && !--en->calls && en->gone)
		wake_up_all(&export_notifier_idle);
	spin_unlock_irq(&export_notifier_lock);
	return next;
}

/**
 * folio_set_exported - mark a folio: subscribers shall be told of it
 * @folio: the folio, locked.  The caller has a reference, and keeps one until
 *	it clears the mark
 *
 * With the folio lock held, and before it maps the page anywhere, the caller checks
 * whether the page that it looked up still is what it was, see "Exporting a page"
 * in Documentation/mmu_notifier.rst.
 *
 * The mark is the page flag PG_exported of the first page.  6.12 has room for it in
 * every 64-bit configuration.  In a few of them something has to make room:
 * arm64 with KASAN's tags, if CPUs and nodes take 15 to 17 bits together (MGLRU's
 * tiers; NUMA balancing's last CPU, then in a field of its own), and classic
 * SPARSEMEM (the node).
 *
 * Context: any, the folio locked.
 * Return: 0; -EOPNOTSUPP for what the core does not watch: hugetlb, ZONE_DEVICE, the
 * zero pages; -EINVAL, with a warning, if it is not locked or there is no subscriber.
 */
int folio_set_exported(struct folio *folio)
{
	if (WARN_ON_ONCE(!folio_test_locked(folio) ||
			 !static_key_enabled(&export_notifier_key)))
		return -EINVAL;
	if (folio_test_hugetlb(folio) || folio_is_zone_device(folio) ||
	    is_zero_folio(folio) || is_huge_zero_folio(folio))
		return -EOPNOTSUPP;
	if (!test_and_set_bit(PG_exported, folio_flags(folio, 0)))
		atomic_long_inc(&export_notifier_marks);
	return 0;
}
EXPORT_SYMBOL_GPL(folio_set_exported);

static bool clear_mark(struct folio *folio)
{
	if (!test_and_clear_bit(PG_exported, folio_flags(folio, 0)))
		return false;
	atomic_long_dec(&export_notifier_marks);
	return true;
}

/**
 * folio_clear_exported - the caller does not export a folio any more
 * @folio: the folio, locked
 *
 * Clears the mark, unless there is a subscriber that exports() it.  The caller, which
 * is asked too, drops its reference after this.
 *
 * Context: may sleep; the folio locked, and no lock held that exports() takes.  May be
 * called from invalidate().
 */
void folio_clear_exported(struct folio *folio)
{
	struct export_notifier *en;
	bool keep = false;

	if (WARN_ON_ONCE(!folio_test_locked(folio)) ||
	    !folio_test_exported(folio))
		return;
	for (en = next_to_call(NULL); en; en = next_to_call(en))
		keep |= en->ops->exports && en->ops->exports(en, folio);
	if (!keep)
		clear_mark(folio);
}
EXPORT_SYMBOL_GPL(folio_clear_exported);

/* Calls all subscribers.  True if @folio was written to. */
bool __export_notifier_invalidate(struct folio *folio,
				  enum export_notifier_event event)
{
	struct export_notifier *en;
	bool dirty = false;

	might_sleep();
	if (WARN_ON_ONCE(!folio_test_locked(folio)))
		return false;

	lock_map_acquire(&__export_notifier_map);
	for (en = next_to_call(NULL); en; en = next_to_call(en))
		dirty |= en->ops->invalidate(en, folio, event);
	lock_map_release(&__export_notifier_map);

	if (dirty && event == EXPORT_NOTIFY_UNMAP)
		folio_mark_dirty(folio);
	return dirty;
}

static void report_free(struct folio *folio)
{
	dump_page(&folio->page, "freed while it is exported");
	WARN(1, "export notifier: folio at pfn %#lx is freed while it is exported",
	     folio_pfn(folio));
}

/* The mark must not get to the page's next user. */
void __export_notifier_free(struct folio *folio)
{
	DO_ONCE_LITE(report_free, folio);
	clear_mark(folio);
}
