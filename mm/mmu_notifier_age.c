// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: aging and TLB flushes, single calls without a start and an end.
 *
 * No callback may sleep: the page-table lock is held, or a flush is under way.
 *
 * Locks and barriers: see mm/mmu_notifier.c.
 */
#include <linux/mm.h>
#include <linux/mmu_notifier.h>

#include "mmu_notifier_internal.h"

enum mn_age {
	MN_CLEAR_FLUSH,
	MN_CLEAR,
	MN_TEST,
};

static __always_inline int mn_age_one(struct mmu_notifier *sub, struct mm_struct *mm,
				      unsigned long start, unsigned long end,
				      enum mn_age what)
{
	const struct mmu_notifier_ops *ops = sub->ops;

	switch (what) {
	case MN_CLEAR_FLUSH:
		return ops->clear_flush_young ? ops->clear_flush_young(sub, mm, start, end) : 0;
	case MN_CLEAR:
		return ops->clear_young ? ops->clear_young(sub, mm, start, end) : 0;
	case MN_TEST:
		return ops->test_young ? ops->test_young(sub, mm, start) : 0;
	}
	return 0;
}

/* Each subscriber clears its own accessed bits; a test ends with the first one set. */
static __always_inline int mn_age(struct mm_struct *mm, unsigned long start,
				  unsigned long end, enum mn_age what)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);
	struct mmu_notifier *sub;
	unsigned long gen;
	int young = 0, idx;

	idx = mn_enter(subs, &gen);
	mn_for_each(sub, subs) {
		if (mn_wants(sub, gen, start, end, ~0))
			young |= mn_age_one(sub, mm, start, end, what);
		if (what == MN_TEST && young)
			break;
	}
	mn_exit(subs, idx);
	return young;
}

/* See mmu_notifier_clear_flush_young(). */
int __mmu_notifier_clear_flush_young(struct mm_struct *mm,
				     unsigned long start, unsigned long end)
{
	return mn_age(mm, start, end, MN_CLEAR_FLUSH);
}

/* See mmu_notifier_clear_young(). */
int __mmu_notifier_clear_young(struct mm_struct *mm,
			       unsigned long start, unsigned long end)
{
	return mn_age(mm, start, end, MN_CLEAR);
}

/* See mmu_notifier_test_young(). */
int __mmu_notifier_test_young(struct mm_struct *mm, unsigned long address)
{
	return mn_age(mm, address, address + 1, MN_TEST);
}

/*
 * See mmu_notifier_arch_invalidate_secondary_tlbs().  Not filtered by the range that a
 * subscriber asked for: one address of a huge entry stands for all of it.
 */
void __mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						   unsigned long start,
						   unsigned long end)
{
	struct mmu_notifier_subscriptions *subs = mn_subs(mm);
	struct mmu_notifier *sub;
	unsigned long gen;
	int idx;

	idx = mn_enter(subs, &gen);
	mn_non_block_start();
	mn_for_each(sub, subs)
		if (sub->ops->arch_invalidate_secondary_tlbs &&
		    mn_wants(sub, gen, 0, ULONG_MAX, ~0))
			sub->ops->arch_invalidate_secondary_tlbs(sub, mm, start, end);
	mn_non_block_end();
	mn_exit(subs, idx);
}
