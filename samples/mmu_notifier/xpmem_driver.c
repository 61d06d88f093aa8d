// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver of the XPMEM kind, to be copied.
 *
 * Another host maps pages of a process.  The driver holds a reference to each, and has
 * a reverse map of its own.  To take pages away it sends a message and sleeps until the
 * other host has acknowledged.  Two subscriptions share the work:
 *
 *	MMU notifier	by address: the other host drops, or write-protects, what it
 *			maps there, before the process's page tables change
 *	export notifier	by page, which is locked: the reference and the mark go, and
 *			writeback learns whether the page is dirty
 *
 * Where no export notifier follows (munmap), a worker locks the page in its place.
 *
 * Locks, outermost first:
 *
 *	folio lock	of a page that is given away; xpmem_invalidate()'s caller has it
 *	link_lock	the way to the other host: one message at a time, to be simple
 *	xpmem_lock	segments and entries.  Innermost; never held over a sleep
 */
#include <linux/delay.h>
#include <linux/export_notifier.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "xpmem_kind.h"

/* Between looking a page up and giving it: to be raised by tests. */
static unsigned int fault_delay_us;
module_param(fault_delay_us, uint, 0644);
/* Page references held. */
static unsigned long exported;
module_param(exported, ulong, 0444);

DEFINE_SPINLOCK(xpmem_lock);
static DEFINE_MUTEX(link_lock);
static DEFINE_HASHTABLE(reverse_map, 8);	/* by folio */
static LIST_HEAD(gone_entries);
static DECLARE_WAIT_QUEUE_HEAD(xpmem_wait);	/* for these, and ->active, to go */

/* The folio is locked: let go of it where it is gone.  True if it was written to. */
static bool put_gone(struct folio *folio)
{
	bool dirty = false;
	struct hlist_node *next;
	struct entry *e;
	int refs = 0;

	spin_lock(&xpmem_lock);
	hash_for_each_possible_safe(reverse_map, e, next, rnode, (unsigned long)folio) {
		if (page_folio(e->page) != folio)
			continue;
		dirty |= e->dirty;
		e->dirty = false;
		if (!e->gone)
			continue;
		hash_del(&e->rnode);
		list_del(&e->list);
		kfree(e);
		refs++;
	}
	exported -= refs;
	spin_unlock(&xpmem_lock);
	wake_up_all(&xpmem_wait);
	/* Asks xpmem_has(), and other drivers. */
	folio_clear_exported(folio);
	if (refs)
		folio_put_refs(folio, refs);
	return dirty;
}

/*
 * As xpmem_invalidate(), for pages that it is not called for.  Where another task has
 * locked one it may be just about to be: no reference is to be in its way then.
 */
static void put_worker(struct work_struct *work)
{
	struct folio *folio = NULL;
	struct entry *e;

	spin_lock(&xpmem_lock);
	list_for_each_entry(e, &gone_entries, list) {
		if (folio_trylock(page_folio(e->page))) {
			folio = page_folio(e->page);
			folio_get(folio);
			break;
		}
	}
	if (!list_empty(&gone_entries))
		queue_delayed_work(system_unbound_wq, to_delayed_work(work), folio ? 0 : 2);
	spin_unlock(&xpmem_lock);
	if (!folio)
		return;
	if (put_gone(folio))
		folio_mark_dirty(folio);
	folio_unlock(folio);
	folio_put(folio);
}

static DECLARE_DELAYED_WORK(put_work, put_worker);

/* Until no reference to what is gone is held. */
void xpmem_flush(void)
{
	wait_event(xpmem_wait, list_empty_careful(&gone_entries));
	flush_delayed_work(&put_work);
}

/*
 * Have the other host unmap or write-protect [start, end) of @s or, without @s, all of
 * @folio.  Sleeps until it has, even if another task has asked it.
 */
static void shoot_down(struct segment *s, unsigned long start, unsigned long end,
		       struct folio *folio, bool unmap)
{
	struct entry *e;
	LIST_HEAD(list);
	int i;

	mutex_lock(&link_lock);
	spin_lock(&xpmem_lock);
	if (s) {
		hash_for_each(s->entries, i, e, node)
			if (e->addr >= start && e->addr < end && (unmap || e->write))
				list_add(&e->list, &list);
	} else {
		hash_for_each_possible(reverse_map, e, rnode, (unsigned long)folio)
			if (page_folio(e->page) == folio && !e->gone && (unmap || e->write))
				list_add(&e->list, &list);
	}
	spin_unlock(&xpmem_lock);
	if (!list_empty(&list))
		host_tell(&list, unmap);
	spin_lock(&xpmem_lock);
	if (unmap && !list_empty(&list)) {
		list_for_each_entry(e, &list, list) {
			hash_del(&e->node);
			e->gone = true;
		}
		list_splice(&list, &gone_entries);
		queue_delayed_work(system_unbound_wq, &put_work, 0);
	}
	spin_unlock(&xpmem_lock);
	mutex_unlock(&link_lock);
}

static int xpmem_start(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	struct segment *s = container_of(mn, struct segment, mn);
	bool unmap = range->event != MMU_NOTIFY_PROTECTION_PAGE &&
		     range->event != MMU_NOTIFY_SOFT_DIRTY;
	bool wait = mmu_notifier_range_blockable(range);
	struct entry *e;
	int i, ret = 0;

	spin_lock(&xpmem_lock);
	if (!wait)
		hash_for_each(s->entries, i, e, node)
			if (e->addr >= range->start && e->addr < range->end)
				ret = -EAGAIN;
	s->active += !ret;
	spin_unlock(&xpmem_lock);
	if (wait)
		shoot_down(s, range->start, range->end, NULL, unmap);
	return ret;
}

static void xpmem_end(struct mmu_notifier *mn,
		      const struct mmu_notifier_range *range)
{
	struct segment *s = container_of(mn, struct segment, mn);

	spin_lock(&xpmem_lock);
	/* A lookup that began inside the invalidation may end after it. */
	s->seq++;
	s->active--;
	spin_unlock(&xpmem_lock);
	wake_up_all(&xpmem_wait);
}

static void xpmem_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	shoot_down(container_of(mn, struct segment, mn), 0, ULONG_MAX, NULL, true);
}

const struct mmu_notifier_ops xpmem_ops = {
	.release		= xpmem_release,
	.invalidate_range_start	= xpmem_start,
	.invalidate_range_end	= xpmem_end,
};

static bool xpmem_invalidate(struct export_notifier *en, struct folio *folio,
			     enum export_notifier_event event)
{
	shoot_down(NULL, 0, 0, folio, event == EXPORT_NOTIFY_UNMAP);
	return put_gone(folio);
}

/* For other drivers that export pages: is the mark ours, too? */
static bool xpmem_has(struct export_notifier *en, struct folio *folio)
{
	struct entry *e;
	bool has = false;

	spin_lock(&xpmem_lock);
	hash_for_each_possible(reverse_map, e, rnode, (unsigned long)folio)
		has |= page_folio(e->page) == folio;
	spin_unlock(&xpmem_lock);
	return has;
}

static const struct export_notifier_ops xpmem_export_ops = {
	.invalidate	= xpmem_invalidate,
	.exports	= xpmem_has,
};

struct export_notifier xpmem_exports = { .ops = &xpmem_export_ops };

struct entry *xpmem_entry(struct segment *s, unsigned long addr)
{
	struct entry *e;

	hash_for_each_possible(s->entries, e, node, addr & PAGE_MASK)
		if (e->addr == (addr & PAGE_MASK))
			return e;
	return NULL;
}

/* Give a page to the other host, unless it is being taken away: then it asks again. */
static int give(struct segment *s, unsigned long addr, struct page *page, bool write,
		unsigned long seq)
{
	struct entry *e, *new = kzalloc(sizeof(*new), GFP_KERNEL);
	struct folio *folio = page_folio(page);
	int ret;

	if (!new)
		return -ENOMEM;
	/* The mark is first, and both are stable under the lock. */
	folio_lock(folio);
	ret = folio_set_exported(folio);
	spin_lock(&xpmem_lock);
	if (!ret && !s->active && s->seq == seq) {
		e = xpmem_entry(s, addr);
		if (!e) {
			e = new;
			new = NULL;
			e->addr = addr;
			e->page = page;
			hash_add(s->entries, &e->node, addr);
			hash_add(reverse_map, &e->rnode, (unsigned long)folio);
			folio_get(folio);
			exported++;
		}
		e->mapped = true;
		e->write |= write;
	}
	spin_unlock(&xpmem_lock);
	/* If no entry has it after all, the mark goes. */
	if (put_gone(folio))
		folio_mark_dirty(folio);
	folio_unlock(folio);
	kfree(new);
	return ret;
}

int xpmem_fault(struct segment *s, unsigned long addr, bool write)
{
	struct mm_struct *mm = s->mn.mm;
	struct page *page;
	unsigned long seq;
	long ret;

	/* In an invalidation nothing can be given: no lookup in vain. */
	if (wait_event_killable(xpmem_wait, !READ_ONCE(s->active)))
		return -EINTR;
	spin_lock(&xpmem_lock);
	seq = s->seq;
	spin_unlock(&xpmem_lock);
	/* To the end: while it is held, the mm is not released. */
	if (!mmget_not_zero(mm))
		return -ESRCH;
	mmap_read_lock(mm);
	ret = get_user_pages_remote(mm, addr, 1, write ? FOLL_WRITE : 0, &page, NULL);
	mmap_read_unlock(mm);
	if (ret == 1) {
		fsleep(fault_delay_us);
		ret = give(s, addr, page, write, seq);
		put_page(page);
	}
	mmput(mm);
	return ret;
}
