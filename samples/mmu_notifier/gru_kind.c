// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver of the GRU and KVM kind, to be copied.
 *
 * The device reads and writes a process's memory through a TLB.  The driver keeps no
 * reference to a page: an MMU notifier has the entry (spte) dropped before the page
 * goes.  That is atomic, so that it can have invalidate_page.
 *
 * pread() and pwrite() on /dev/gru_kind are DMA from and to the memory of the process
 * that opened it; the file offset is the address.
 *
 * Locks, outermost first:
 *
 *	page-table lock	around invalidate_page and aging; the core's caller has it
 *	gru.lock	everything else.  DMA is done under it: an entry that was
 *			dropped is not used any more
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "device_rw.h"

/* Between looking a page up and mapping it: to be raised by tests. */
static unsigned int fault_delay_us;
module_param(fault_delay_us, uint, 0644);

#define TLB_ENTRIES	64

struct spte {
	unsigned long addr;
	struct page *page;	/* not referenced; NULL: unused */
	bool write, accessed, dirty;
};

struct gru {
	struct mmu_notifier mn;	/* subscribed to the opener's mm */
	spinlock_t lock;	/* see the legend above */
	unsigned int active;	/* invalidations in flight */
	unsigned long seq;	/* changes whenever something was invalidated */
	bool dead;		/* released: nothing may be mapped any more */
	wait_queue_head_t wait;	/* for @active to be 0 */
	struct spte tlb[TLB_ENTRIES];	/* by page number, modulo its size */
};

static struct gru *to_gru(struct mmu_notifier *mn)
{
	return container_of(mn, struct gru, mn);
}

static struct spte *spte_of(struct gru *g, unsigned long addr)
{
	return &g->tlb[(addr >> PAGE_SHIFT) % TLB_ENTRIES];
}

static bool spte_in(const struct spte *s, unsigned long start, unsigned long end)
{
	return s->page && s->addr >= start && s->addr < end;
}

/* The page is still mapped, or not freed yet: it can be touched. */
static void spte_drop(struct spte *s)
{
	if (s->page && s->dirty)
		set_page_dirty(s->page);
	s->page = NULL;
}

static void drop_range(struct gru *g, unsigned long start, unsigned long end)
{
	int i;

	for (i = 0; i < TLB_ENTRIES; i++)
		if (spte_in(&g->tlb[i], start, end))
			spte_drop(&g->tlb[i]);
}

static int gru_start(struct mmu_notifier *mn,
		     const struct mmu_notifier_range *range)
{
	struct gru *g = to_gru(mn);

	spin_lock(&g->lock);
	g->active++;
	drop_range(g, range->start, range->end);
	spin_unlock(&g->lock);
	return 0;
}

static void gru_end(struct mmu_notifier *mn,
		    const struct mmu_notifier_range *range)
{
	struct gru *g = to_gru(mn);

	spin_lock(&g->lock);
	/* A lookup that began inside the invalidation may end after it. */
	g->seq++;
	if (!--g->active)
		wake_up_all(&g->wait);
	spin_unlock(&g->lock);
}

/* In place of the two, where the entry of one page was cleared. */
static void gru_page(struct mmu_notifier *mn,
		     const struct mmu_notifier_range *range)
{
	struct gru *g = to_gru(mn);

	spin_lock(&g->lock);
	g->seq++;
	drop_range(g, range->start, range->end);
	spin_unlock(&g->lock);
}

static void gru_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct gru *g = to_gru(mn);

	spin_lock(&g->lock);
	g->dead = true;
	drop_range(g, 0, ULONG_MAX);
	spin_unlock(&g->lock);
}

/* Aging: what only the device uses is in use. */
static int gru_young(struct gru *g, unsigned long start, unsigned long end,
		     bool clear)
{
	int i, young = 0;

	spin_lock(&g->lock);
	for (i = 0; i < TLB_ENTRIES; i++)
		if (spte_in(&g->tlb[i], start, end)) {
			young |= g->tlb[i].accessed;
			g->tlb[i].accessed &= !clear;
		}
	spin_unlock(&g->lock);
	return young;
}

static int gru_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
			   unsigned long start, unsigned long end)
{
	return gru_young(to_gru(mn), start, end, true);
}

static int gru_test_young(struct mmu_notifier *mn, struct mm_struct *mm,
			  unsigned long addr)
{
	addr &= PAGE_MASK;
	return gru_young(to_gru(mn), addr, addr + PAGE_SIZE, false);
}

static const struct mmu_notifier_ops gru_ops = {
	.release		= gru_release,
	.invalidate_range_start	= gru_start,
	.invalidate_range_end	= gru_end,
	.invalidate_page	= gru_page,
	.clear_flush_young	= gru_clear_young,
	.clear_young		= gru_clear_young,
	.test_young		= gru_test_young,
};

/* Look the page up, and map it unless it was invalidated meanwhile. */
static int gru_fault(void *device, unsigned long addr, bool write)
{
	struct gru *g = device;
	struct page *page;
	unsigned long seq;
	struct spte *s;
	int ret;

	/* In an invalidation nothing can be mapped: no lookup in vain. */
	ret = wait_event_killable(g->wait, !READ_ONCE(g->active));
	if (ret || fatal_signal_pending(current))
		return -EINTR;
	spin_lock(&g->lock);
	seq = g->seq;
	spin_unlock(&g->lock);

	ret = get_user_pages_fast(addr, 1, write ? FOLL_WRITE : 0, &page);
	if (ret != 1)
		return ret < 0 ? ret : -EFAULT;
	fsleep(fault_delay_us);

	spin_lock(&g->lock);
	/* Otherwise the device misses again, and we are called again. */
	if (!g->dead && !g->active && g->seq == seq) {
		s = spte_of(g, addr);
		spte_drop(s);
		*s = (struct spte) { addr, page, write };
	}
	ret = g->dead ? -ESRCH : 0;
	spin_unlock(&g->lock);
	/* If it is mapped, the notifier protects it from here on. */
	put_page(page);
	return ret;
}

/* What the hardware does, within a page: false is a TLB miss. */
static bool gru_dma(void *device, unsigned long addr, void *buf, size_t len, bool write)
{
	struct gru *g = device;
	struct spte *s = spte_of(g, addr);
	bool hit;

	spin_lock(&g->lock);
	hit = spte_in(s, addr & PAGE_MASK, addr + 1) && (s->write || !write);
	if (hit) {
		if (write)
			memcpy_to_page(s->page, offset_in_page(addr), buf, len);
		else
			memcpy_from_page(buf, s->page, offset_in_page(addr), len);
		s->accessed = true;
		s->dirty |= write;
	}
	spin_unlock(&g->lock);
	return hit;
}

static ssize_t gru_rw(struct kiocb *iocb, struct iov_iter *iter)
{
	struct gru *g = iocb->ki_filp->private_data;

	/* Inherited by a child?  get_user_pages_fast() walks current->mm. */
	if (current->mm != g->mn.mm)
		return -EIO;
	return device_rw(iocb, iter, gru_dma, gru_fault);
}

static int gru_open(struct inode *inode, struct file *file)
{
	struct gru *g = kzalloc(sizeof(*g), GFP_KERNEL);
	int ret;

	if (!g)
		return -ENOMEM;
	spin_lock_init(&g->lock);
	init_waitqueue_head(&g->wait);
	g->mn.ops = &gru_ops;
	file->private_data = g;
	ret = mmu_notifier_register(&g->mn, current->mm);
	if (ret)
		kfree(g);
	return ret;
}

/* Maybe long after the process has died. */
static int gru_close(struct inode *inode, struct file *file)
{
	struct gru *g = file->private_data;

	mmu_notifier_unregister(&g->mn, g->mn.mm);
	kfree(g);
	return 0;
}

static const struct file_operations gru_fops = {
	.owner		= THIS_MODULE,
	.open		= gru_open,
	.release	= gru_close,
	.read_iter	= gru_rw,
	.write_iter	= gru_rw,
	.llseek		= default_llseek,
};

static struct miscdevice gru_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "gru_kind",
	.fops	= &gru_fops,
};
module_misc_device(gru_device);

MODULE_DESCRIPTION("MMU notifier sample: a driver of the GRU and KVM kind");
MODULE_LICENSE("GPL");
