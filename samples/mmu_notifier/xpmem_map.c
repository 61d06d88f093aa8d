// SPDX-License-Identifier: GPL-2.0-only
/*
 * The callbacks of the XPMEM kind, and its reverse map.  See xpmem_kind.h.
 */
#include <linux/export_notifier.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/pagemap.h>
#include <linux/slab.h>

#include "xpmem_kind.h"

DEFINE_SPINLOCK(xpmem_lock);
static DEFINE_HASHTABLE(reverse_map, 8);	/* by folio */
static LIST_HEAD(gone_entries);
static unsigned long changes;			/* of these, ->busy, ->active */
DECLARE_WAIT_QUEUE_HEAD(xpmem_wait);

static unsigned long exported;
module_param(exported, ulong, 0444);
MODULE_PARM_DESC(exported, "page references held");

static void changed(void)
{
	lockdep_assert_held(&xpmem_lock);
	WRITE_ONCE(changes, changes + 1);
	wake_up_all(&xpmem_wait);
}

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
	changed();
	spin_unlock(&xpmem_lock);
	/* Asks xpmem_has(), and other drivers. */
	folio_clear_exported(folio);
	if (refs)
		folio_put_refs(folio, refs);
	return dirty;
}

/*
 * As xpmem_invalidate(), for pages that it is not called for.  Where somebody has locked
 * one it may be just about to be: no reference is to be in its way then.
 */
static void put_worker(struct work_struct *work)
{
	struct folio *folio;
	struct entry *e;

	do {
		folio = NULL;
		spin_lock(&xpmem_lock);
		list_for_each_entry(e, &gone_entries, list) {
			if (folio_trylock(page_folio(e->page))) {
				folio = page_folio(e->page);
				folio_get(folio);
				break;
			}
		}
		if (!folio && !list_empty(&gone_entries))
			queue_delayed_work(system_unbound_wq, to_delayed_work(work),
					   msecs_to_jiffies(10));
		spin_unlock(&xpmem_lock);
		if (folio) {
			if (put_gone(folio))
				folio_mark_dirty(folio);
			folio_unlock(folio);
			folio_put(folio);
		}
	} while (folio);
}

static DECLARE_DELAYED_WORK(put_work, put_worker);

/* Until nobody holds a reference to what is gone. */
void xpmem_flush(void)
{
	wait_event(xpmem_wait, list_empty_careful(&gone_entries));
	flush_delayed_work(&put_work);
}

/* False: somebody else shoots it down just now. */
static bool claim(struct entry *e, struct list_head *list, bool unmap)
{
	if (e->busy)
		return false;
	if (!e->gone && (unmap || e->write)) {
		e->busy = true;
		list_add_tail(&e->list, list);
	}
	return true;
}

/*
 * Have the other host unmap or write-protect [start, end) of @s or, without @s, all of
 * @folio.  Sleeps until it has, even if somebody else has asked it.
 */
static void shoot_down(struct segment *s, unsigned long start, unsigned long end,
		       struct folio *folio, bool unmap)
{
	struct entry *e, *next;
	unsigned long seen;
	LIST_HEAD(list);
	bool dirty, all;
	int i;

	do {
		all = true;
		spin_lock(&xpmem_lock);
		seen = changes;
		if (s) {
			hash_for_each(s->entries, i, e, node)
				if (e->addr >= start && e->addr < end)
					all &= claim(e, &list, unmap);
		} else {
			hash_for_each_possible(reverse_map, e, rnode, (unsigned long)folio)
				if (page_folio(e->page) == folio)
					all &= claim(e, &list, unmap);
		}
		spin_unlock(&xpmem_lock);
		/* All at once, so that the delays overlap. */
		list_for_each_entry(e, &list, list)
			host_request(&e->host, unmap);
		list_for_each_entry_safe(e, next, &list, list) {
			dirty = host_wait(&e->host);
			spin_lock(&xpmem_lock);
			list_del(&e->list);
			e->dirty |= dirty;
			e->write = false;
			e->busy = false;
			if (unmap) {
				e->gone = true;
				hash_del(&e->node);
				list_add_tail(&e->list, &gone_entries);
				queue_delayed_work(system_unbound_wq, &put_work, 0);
			}
			changed();
			spin_unlock(&xpmem_lock);
		}
		if (!all)
			wait_event(xpmem_wait, READ_ONCE(changes) != seen);
	} while (!all);
}

static int xpmem_start(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	struct segment *s = container_of(mn, struct segment, mn);
	bool unmap = range->event != MMU_NOTIFY_PROTECTION_PAGE &&
		     range->event != MMU_NOTIFY_SOFT_DIRTY;
	struct entry *e;
	int i, ret = 0;

	spin_lock(&xpmem_lock);
	if (!mmu_notifier_range_blockable(range))
		hash_for_each(s->entries, i, e, node)
			if (e->addr >= range->start && e->addr < range->end)
				ret = -EAGAIN;
	if (!ret)
		s->active++;
	spin_unlock(&xpmem_lock);
	if (mmu_notifier_range_blockable(range))
		shoot_down(s, range->start, range->end, NULL, unmap);
	return ret;
}

static void xpmem_end(struct mmu_notifier *mn,
		      const struct mmu_notifier_range *range)
{
	struct segment *s = container_of(mn, struct segment, mn);

	spin_lock(&xpmem_lock);
	/* Who looked a page up inside the section may come after it. */
	s->seq++;
	s->active--;
	changed();
	spin_unlock(&xpmem_lock);
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

struct entry *entry_at(struct segment *s, unsigned long addr)
{
	struct entry *e;

	hash_for_each_possible(s->entries, e, node, addr & PAGE_MASK)
		if (e->addr == (addr & PAGE_MASK))
			return e;
	return NULL;
}

/* Give a page to the other host, unless it is being taken away: then it asks again. */
int xpmem_give(struct segment *s, unsigned long addr, struct page *page, bool write,
	       unsigned long seq)
{
	struct entry *e = kzalloc(sizeof(*e), GFP_KERNEL), *old;
	struct folio *folio = page_folio(page);
	int ret;

	if (!e)
		return -ENOMEM;
	/* The mark is first, and both are stable under the lock. */
	folio_lock(folio);
	ret = folio_set_exported(folio);
	spin_lock(&xpmem_lock);
	old = entry_at(s, addr);
	if (!ret && !s->active && s->seq == seq && !(old && old->busy)) {
		if (!old) {
			old = e;
			e = NULL;
			old->addr = addr;
			old->page = page;
			host_init(&old->host);
			hash_add(s->entries, &old->node, addr);
			hash_add(reverse_map, &old->rnode, (unsigned long)folio);
			folio_get(folio);
			exported++;
		}
		old->write |= write;
		host_map(&old->host, write);
	}
	spin_unlock(&xpmem_lock);
	/* If nobody has it after all, the mark goes. */
	if (put_gone(folio))
		folio_mark_dirty(folio);
	folio_unlock(folio);
	kfree(e);
	return ret;
}
