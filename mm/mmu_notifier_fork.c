// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: fork.
 *
 * The callbacks run in the parent, with mmap_lock of both mms held for writing, after
 * the page tables have been copied.  One that follows the child registers there.
 *
 * Locks and barriers: see mm/mmu_notifier.c.
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <asm/tlbflush.h>

#include "mmu_notifier_internal.h"

/* See mmu_notifier_fork(). */
int __mmu_notifier_fork(struct mm_struct *mm, struct mm_struct *child)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);
	struct mmu_notifier *sub;
	bool flushed = false;
	unsigned long gen;
	int ret = 0, idx;

	might_sleep();
	mmap_assert_write_locked(mm);
	mmap_assert_write_locked(child);

	idx = srcu_down_read(&subs->srcu);
	gen = smp_load_acquire(&subs->gen);	/* B */
	mn_map_acquire_read(&mn_fork_map);
	WRITE_ONCE(subs->inside, current);
	mn_for_each(sub, subs) {
		if (!sub->ops->fork || !mn_wants(sub, gen, 0, ULONG_MAX, ~0))
			continue;
		/* fork() itself does so later: no thread may write to what is shared. */
		if (!flushed)
			flush_tlb_mm(mm);
		flushed = true;
		ret = sub->ops->fork(sub, mm, child);
		if (WARN_ONCE(ret > 0 || ret < -MAX_ERRNO, "%pS returns %d\n",
			      sub->ops->fork, ret))
			ret = -EINVAL;
		if (ret)
			break;
	}
	WRITE_ONCE(subs->inside, NULL);
	lock_map_release(&mn_fork_map);
	srcu_up_read(&subs->srcu, idx);
	return ret;
}
