// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tap on the MMU notifier calls that one subscriber of a process gets.
 *
 * The tap registers a subscriber of its own. The core adds at the head, so the
 * next one on the list is the one that was there before, a KVM virtual machine
 * for example. Its ops pointer is exchanged for a copy in which start, end, the
 * aging calls and release lead here first. Nothing inside the core is touched.
 *
 * Locking
 *
 *	tap_mutex	the life cycle: opened, attached, detached. Held across
 *			(un)registration, hence above mmap_lock; no callback
 *			takes it, since unregistering waits for callbacks.
 *	tap.lock	target, in_flight, stats, bust. Innermost: taken in
 *			callbacks, under any lock that mm invalidates under.
 *	tap.orig	stable from before the exchange until all callbacks have
 *			returned after the restoration; read without a lock.
 *
 * The target must not be freed while tap.target points to it. Its release has
 * been called before it is freed, and that clears tap.target under tap.lock. Of
 * the two ways in which release could be missed, one is refused (a subscriber
 * that is dropped with mmu_notifier_put(), or has no release), and the other,
 * an unregister that runs while the tap attaches, is left to the caller: it has
 * to be single-threaded, and hold the target's file descriptor.
 */
#include <linux/bitops.h>
#include <linux/cleanup.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

#include "mmu_notifier_tap.h"

/* More than tasks can be between start and end at once, a few deep, in a test. */
#define TAP_MAX_IN_FLIGHT	256

/* How often, and how far apart, an unexplained reference is checked. */
#define TAP_PIN_TRIES		5
#define TAP_PIN_WAIT_MS		20

/* The longest range for MMU_NOTIFIER_TAP_PINNED: its bitmap takes 2 MiB. */
#define TAP_PIN_MAX_LEN		SZ_64G

/**
 * struct tap_invalidation - what lies between a start and its end
 * @task: the one that called start, and has to call end; NULL if the slot is free
 * @start: start of the range
 * @end: end of the range
 * @depth: number of the invalidation, to find the innermost first
 * @passed: the target saw the start, so it has to see the end
 */
struct tap_invalidation {
	struct task_struct *task;
	unsigned long start;
	unsigned long end;
	u64 depth;
	bool passed;
};

/**
 * struct tap - the one tap
 * @mn: our subscriber, ahead of the target on the list
 * @mm: the address space; NULL while not attached
 * @orig: the target's own operations
 * @wrap: the copy of @orig that leads here
 * @lock: see the top of this file
 * @target: the tapped subscriber; NULL after its release
 * @in_flight: invalidations, for pairing
 * @stats: counters under @lock; the aging counters are apart
 * @clear_flush_young: number of calls
 * @clear_young: number of calls
 * @test_young: number of calls
 * @withheld: number of calls that @bust kept from the target
 * @bust: do not pass calls on
 * @keep_unmap: pass MMU_NOTIFY_UNMAP on all the same
 */
struct tap {
	struct mmu_notifier mn;
	struct mm_struct *mm;
	const struct mmu_notifier_ops *orig;
	struct mmu_notifier_ops wrap;

	spinlock_t lock;	/* target, in_flight, stats, bust, keep_unmap */
	struct mmu_notifier *target;
	struct tap_invalidation in_flight[TAP_MAX_IN_FLIGHT];
	struct mmu_notifier_tap_stats stats;

	atomic64_t clear_flush_young;
	atomic64_t clear_young;
	atomic64_t test_young;
	atomic64_t withheld;
	bool bust;
	bool keep_unmap;
};

static struct tap tap = {
	.lock = __SPIN_LOCK_UNLOCKED(tap.lock),
};

static DEFINE_MUTEX(tap_mutex);
static bool tap_opened;

/* A slot for a new invalidation, or the innermost of @task with the range. */
static struct tap_invalidation *tap_find(struct task_struct *task,
					 const struct mmu_notifier_range *range)
{
	struct tap_invalidation *s, *found = NULL;

	lockdep_assert_held(&tap.lock);

	for (s = tap.in_flight; s < tap.in_flight + TAP_MAX_IN_FLIGHT; s++) {
		if (s->task != task)
			continue;
		if (!task)
			return s;
		if (s->start == range->start && s->end == range->end &&
		    (!found || s->depth > found->depth))
			found = s;
	}
	return found;
}

static int tap_start(struct mmu_notifier *mn,
		     const struct mmu_notifier_range *range)
{
	struct tap_invalidation *s;
	bool pass;
	int ret;

	/* Before the target is told of it, so that no end can come first. */
	spin_lock(&tap.lock);
	pass = !tap.bust || (tap.keep_unmap &&
			     range->event == MMU_NOTIFY_UNMAP);
	tap.stats.starts++;
	s = tap_find(NULL, range);
	if (!WARN_ON_ONCE(!s)) {
		s->task = current;
		s->start = range->start;
		s->end = range->end;
		s->depth = tap.stats.starts;
		s->passed = pass;
	}
	spin_unlock(&tap.lock);

	if (!pass) {
		atomic64_inc(&tap.withheld);
		return 0;
	}

	ret = tap.orig->invalidate_range_start(mn, range);
	if (ret) {
		/* It refused, so the core will not call its end. */
		spin_lock(&tap.lock);
		tap.stats.starts--;
		tap.stats.failed++;
		if (s)
			s->task = NULL;
		spin_unlock(&tap.lock);
	}
	return ret;
}

static void tap_end(struct mmu_notifier *mn,
		    const struct mmu_notifier_range *range)
{
	struct tap_invalidation *s;
	bool pass = true;

	spin_lock(&tap.lock);
	s = tap_find(current, range);
	if (s) {
		tap.stats.ends++;
		pass = s->passed;
		s->task = NULL;
	} else {
		/* The target did see a start, before we came. */
		tap.stats.unpaired++;
	}
	spin_unlock(&tap.lock);

	if (pass)
		tap.orig->invalidate_range_end(mn, range);
	else
		atomic64_inc(&tap.withheld);
}

static bool tap_withholds_aging(void)
{
	if (!READ_ONCE(tap.bust))
		return false;
	atomic64_inc(&tap.withheld);
	return true;
}

static int tap_clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
				 unsigned long start, unsigned long end)
{
	atomic64_inc(&tap.clear_flush_young);
	if (tap_withholds_aging())
		return 0;
	return tap.orig->clear_flush_young(mn, mm, start, end);
}

static int tap_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
			   unsigned long start, unsigned long end)
{
	atomic64_inc(&tap.clear_young);
	if (tap_withholds_aging())
		return 0;
	return tap.orig->clear_young(mn, mm, start, end);
}

static int tap_test_young(struct mmu_notifier *mn, struct mm_struct *mm,
			  unsigned long address)
{
	atomic64_inc(&tap.test_young);
	if (tap_withholds_aging())
		return 0;
	return tap.orig->test_young(mn, mm, address);
}

/* Passed on whatever happens: after it the target may be freed. */
static void tap_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	tap.orig->release(mn, mm);

	spin_lock(&tap.lock);
	tap.stats.released++;
	if (tap.target == mn) {
		WRITE_ONCE(mn->ops, tap.orig);
		tap.target = NULL;
	}
	spin_unlock(&tap.lock);
}

/* Our own subscriber only marks the place on the list. */
static void tap_own_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
}

static const struct mmu_notifier_ops tap_own_ops = {
	.release = tap_own_release,
};

/*
 * Exchange the ops of the subscriber behind ours. Only its absence and its kind
 * are checked here; that it stays is the caller's business, see the top.
 */
static int tap_exchange(void)
{
	const struct mmu_notifier_ops *orig;
	struct mmu_notifier *target;
	struct hlist_node *next;
	int ret = -ENOENT;

	rcu_read_lock();
	next = rcu_dereference(hlist_next_rcu(&tap.mn.hlist));
	if (!next)
		goto unlock;
	target = hlist_entry(next, struct mmu_notifier, hlist);

	ret = -EOPNOTSUPP;
	orig = READ_ONCE(target->ops);
	if (!orig->release || orig->free_notifier ||
	    !orig->invalidate_range_start || !orig->invalidate_range_end)
		goto unlock;

	tap.orig = orig;
	tap.wrap = *orig;
	tap.wrap.release = tap_release;
	tap.wrap.invalidate_range_start = tap_start;
	tap.wrap.invalidate_range_end = tap_end;
	if (orig->clear_flush_young)
		tap.wrap.clear_flush_young = tap_clear_flush_young;
	if (orig->clear_young)
		tap.wrap.clear_young = tap_clear_young;
	if (orig->test_young)
		tap.wrap.test_young = tap_test_young;

	spin_lock(&tap.lock);
	tap.target = target;
	/* Pairs with the core's dependent load of ops: wrap is complete. */
	smp_store_release(&target->ops, &tap.wrap);
	spin_unlock(&tap.lock);
	ret = 0;
unlock:
	rcu_read_unlock();
	return ret;
}

/* A target that has been released gets no end any more: nothing to wait for. */
static bool tap_has_withheld(void)
{
	const struct tap_invalidation *s;
	bool ret = false;

	spin_lock(&tap.lock);
	for (s = tap.in_flight; s < tap.in_flight + TAP_MAX_IN_FLIGHT; s++)
		ret |= tap.target && s->task && !s->passed;
	spin_unlock(&tap.lock);
	return ret;
}

static void tap_detach(void)
{
	lockdep_assert_held(&tap_mutex);

	if (!tap.mm)
		return;

	/* Whose start was withheld must not get the end: wait for those. */
	spin_lock(&tap.lock);
	WRITE_ONCE(tap.bust, false);
	spin_unlock(&tap.lock);
	while (tap_has_withheld())
		fsleep(1000);

	spin_lock(&tap.lock);
	if (tap.target)
		WRITE_ONCE(tap.target->ops, tap.orig);
	tap.target = NULL;
	spin_unlock(&tap.lock);

	/* Waits for every callback on this mm, also for those in our copy. */
	mmu_notifier_unregister(&tap.mn, tap.mm);
	tap.mm = NULL;
}

static int tap_attach(void)
{
	struct mmu_notifier barrier = { .ops = &tap_own_ops };
	struct mm_struct *mm = current->mm;
	int ret;

	lockdep_assert_held(&tap_mutex);

	if (tap.mm)
		return -EBUSY;
	/* Another thread might unregister the target under our hands. */
	if (!thread_group_empty(current))
		return -EBUSY;

	memset(&tap.mn, 0, sizeof(tap.mn));
	memset(&tap.stats, 0, sizeof(tap.stats));
	memset(tap.in_flight, 0, sizeof(tap.in_flight));
	atomic64_set(&tap.clear_flush_young, 0);
	atomic64_set(&tap.clear_young, 0);
	atomic64_set(&tap.test_young, 0);
	atomic64_set(&tap.withheld, 0);
	tap.bust = false;
	tap.keep_unmap = false;

	tap.mn.ops = &tap_own_ops;
	ret = mmu_notifier_register(&tap.mn, mm);
	if (ret)
		return ret;
	tap.mm = mm;

	ret = tap_exchange();
	if (!ret)
		/*
		 * Registration waits for what is in flight: after one, all
		 * invalidations are over whose start came before the exchange,
		 * and an end without a start is a mistake.
		 */
		ret = mmu_notifier_register(&barrier, mm);
	if (ret) {
		tap_detach();
		return ret;
	}
	mmu_notifier_unregister(&barrier, mm);

	spin_lock(&tap.lock);
	tap.stats.unpaired = 0;
	spin_unlock(&tap.lock);
	return 0;
}

static int tap_bust(unsigned long flags)
{
	lockdep_assert_held(&tap_mutex);

	if (flags & ~MMU_NOTIFIER_TAP_KEEP_UNMAP)
		return -EINVAL;
	if (!tap.mm)
		return -ENXIO;

	spin_lock(&tap.lock);
	tap.keep_unmap = flags & MMU_NOTIFIER_TAP_KEEP_UNMAP;
	WRITE_ONCE(tap.bust, true);
	spin_unlock(&tap.lock);
	return 0;
}

static int tap_stats(struct mmu_notifier_tap_stats __user *arg)
{
	struct mmu_notifier_tap_stats stats;

	lockdep_assert_held(&tap_mutex);

	if (!tap.mm)
		return -ENXIO;

	spin_lock(&tap.lock);
	stats = tap.stats;
	stats.open = stats.starts - stats.ends;
	spin_unlock(&tap.lock);
	stats.clear_flush_young = atomic64_read(&tap.clear_flush_young);
	stats.clear_young = atomic64_read(&tap.clear_young);
	stats.test_young = atomic64_read(&tap.test_young);
	stats.withheld = atomic64_read(&tap.withheld);

	return copy_to_user(arg, &stats, sizeof(stats)) ? -EFAULT : 0;
}

enum tap_page_state { TAP_ABSENT, TAP_PRESENT, TAP_PINNED };

/*
 * A folio that only page tables and caches use has as many references as
 *
 *	mappings + swap or page cache (one per page) + PG_private
 *
 * which folio_expected_ref_count() adds up, and the one that we have just taken
 * to examine it. More means that something else keeps it where it is. Fast GUP
 * neither faults a page in nor takes a lock; it marks the folio referenced, as
 * a read by the process would.
 */
static enum tap_page_state tap_page_state(unsigned long addr)
{
	enum tap_page_state state = TAP_PRESENT;
	struct folio *folio;
	struct page *page;

	if (get_user_pages_fast_only(addr, 1, 0, &page) != 1)
		return TAP_ABSENT;
	folio = page_folio(page);
	if (folio_ref_count(folio) > folio_expected_ref_count(folio) + 1)
		state = TAP_PINNED;
	folio_put(folio);
	return state;
}

static int tap_pinned(struct mmu_notifier_tap_pinned __user *arg)
{
	struct mmu_notifier_tap_pinned p;
	unsigned long addr, end, nr;
	enum tap_page_state state;
	unsigned long *suspects;
	int ret = 0, try;

	if (copy_from_user(&p, arg, sizeof(p)))
		return -EFAULT;
	if (!p.len || !PAGE_ALIGNED(p.addr) || !PAGE_ALIGNED(p.len))
		return -EINVAL;
	if (p.addr >= TASK_SIZE || p.len > TASK_SIZE - p.addr)
		return -EINVAL;
	if (p.len > TAP_PIN_MAX_LEN)
		return -E2BIG;

	p.present = 0;
	end = p.addr + p.len;
	suspects = kvcalloc(BITS_TO_LONGS(p.len >> PAGE_SHIFT), sizeof(long),
			    GFP_KERNEL_ACCOUNT);
	if (!suspects)
		return -ENOMEM;

	/*
	 * Reclaim, a per-CPU batch on its way to the LRU, swap read-ahead: all
	 * hold references for a moment. A pin is what is still there after
	 * several tries.
	 */
	for (try = 0; try < TAP_PIN_TRIES; try++) {
		if (try && msleep_interruptible(TAP_PIN_WAIT_MS)) {
			ret = -EINTR;
			break;
		}
		lru_add_drain_all();
		p.pinned = 0;
		for (addr = p.addr, nr = 0; addr < end; addr += PAGE_SIZE, nr++) {
			if (try && !test_bit(nr, suspects))
				continue;
			state = tap_page_state(addr);
			if (!try)
				p.present += state != TAP_ABSENT;
			__assign_bit(nr, suspects, state == TAP_PINNED);
			p.pinned += state == TAP_PINNED;
			cond_resched();
		}
		if (!p.pinned)
			break;
	}

	kvfree(suspects);
	if (!ret && copy_to_user(arg, &p, sizeof(p)))
		ret = -EFAULT;
	return ret;
}

static long tap_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	guard(mutex)(&tap_mutex);

	switch (cmd) {
	case MMU_NOTIFIER_TAP_ATTACH:
		return tap_attach();
	case MMU_NOTIFIER_TAP_BUST:
		return tap_bust(arg);
	case MMU_NOTIFIER_TAP_STATS:
		return tap_stats((void __user *)arg);
	case MMU_NOTIFIER_TAP_PINNED:
		return tap_pinned((void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static int tap_open(struct inode *inode, struct file *file)
{
	guard(mutex)(&tap_mutex);

	if (tap_opened)
		return -EBUSY;
	tap_opened = true;
	return nonseekable_open(inode, file);
}

/* At exit after exit_mmap(), or from another process that inherited the file. */
static int tap_close(struct inode *inode, struct file *file)
{
	guard(mutex)(&tap_mutex);

	tap_detach();
	tap_opened = false;
	return 0;
}

static const struct file_operations tap_fops = {
	.owner = THIS_MODULE,
	.open = tap_open,
	.release = tap_close,
	.unlocked_ioctl = tap_ioctl,
};

static struct miscdevice tap_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "mmu_notifier_tap",
	.fops = &tap_fops,
	.mode = 0600,
};

module_misc_device(tap_device);

MODULE_DESCRIPTION("Tap into a process's MMU notifier calls");
MODULE_LICENSE("GPL");
