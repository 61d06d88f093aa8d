/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Each hook in a version that can be broken at run time.  "make mutants" puts
 * this file into a tree of its own, in which instrument.py has given each call a
 * number: no other kernel has any of it.
 */
#ifndef _LINUX_MMU_NOTIFIER_MUTANTS_H
#define _LINUX_MMU_NOTIFIER_MUTANTS_H

#include <linux/export_notifier.h>
#include <linux/mmu_notifier.h>

enum mutant_kind {
	MUTANT_NONE,
	MUTANT_DROP,	/* the call, and with a start what belongs to it */
	MUTANT_SHORT,	/* the range ends a page early; one page: the next one */
	MUTANT_HEAD,	/* the range begins a page late */
	MUTANT_EARLY,	/* the invalidation is over before anything has changed */
	MUTANT_LATE,	/* it begins, or the page follows, when all is done */
	MUTANT_WEAK,	/* an event by which the pages stay */
	MUTANT_OPEN,	/* the end alone is dropped */
	MUTANT_NAMED,	/* what the place itself says */
	MUTANT_WIDE,	/* the range ends a page late */
	MUTANT_UNMAP,	/* an event by which the mapping goes */
	MUTANT_TWICE,	/* a pair with nothing in it comes before */
	MUTANT_KINDS,
};

extern unsigned int mutant_site;
extern unsigned int mutant_kind;

void mutant_hit(unsigned int site);
void mutant_hit_range(unsigned int site, struct mmu_notifier_range *range);

/* What a start has done to its invalidation; above the core's flags. */
#define MUTANT_RANGE_SKIP	BIT(16)
#define MUTANT_RANGE_LATE	BIT(17)
#define MUTANT_RANGE_PAGE_LATE	BIT(18)

static inline enum mutant_kind mutant_at(unsigned int site)
{
	return READ_ONCE(mutant_site) == site ? READ_ONCE(mutant_kind) :
						MUTANT_NONE;
}

static inline bool mutant_named(unsigned int site)
{
	mutant_hit(site);
	return mutant_at(site) == MUTANT_NAMED;
}

/* True if the invalidation is to start; the range may have been changed. */
static inline bool mutant_prepare(unsigned int site,
				  struct mmu_notifier_range *range)
{
	bool one = range->end - range->start == PAGE_SIZE;

	range->flags &= ~(MUTANT_RANGE_SKIP | MUTANT_RANGE_LATE |
			  MUTANT_RANGE_PAGE_LATE);
	mutant_hit_range(site, range);
	switch (mutant_at(site)) {
	case MUTANT_DROP:
		range->flags |= MUTANT_RANGE_SKIP;
		return false;
	case MUTANT_LATE:
		range->flags |= MUTANT_RANGE_LATE;
		return false;
	case MUTANT_SHORT:
		if (one)
			range->start += PAGE_SIZE;
		range->end += one ? PAGE_SIZE : -PAGE_SIZE;
		return true;
	case MUTANT_HEAD:
		if (!one)
			range->start += PAGE_SIZE;
		return true;
	case MUTANT_WEAK:
		range->event = MMU_NOTIFY_PROTECTION_PAGE;
		return true;
	case MUTANT_WIDE:
		/* Not what is everything, see mutant_hit_range(). */
		if (range->end < TASK_SIZE_MAX)
			range->end += PAGE_SIZE;
		return true;
	case MUTANT_UNMAP:
		range->event = MMU_NOTIFY_UNMAP;
		return true;
	default:
		return true;
	}
}

/* On a copy: the core has notes of its own in a range. */
static __always_inline void mutant_twice(unsigned int site,
					 const struct mmu_notifier_range *range)
{
	struct mmu_notifier_range copy = *range;

	if (mutant_at(site) != MUTANT_TWICE)
		return;
	mmu_notifier_invalidate_range_start(&copy);
	mmu_notifier_invalidate_range_end(&copy);
}

static inline void mutant_started(unsigned int site,
				  struct mmu_notifier_range *range)
{
	if (mutant_at(site) != MUTANT_EARLY)
		return;
	mmu_notifier_invalidate_range_end(range);
	range->flags |= MUTANT_RANGE_SKIP;
}

static __always_inline void
mutant_start(unsigned int site, struct mmu_notifier_range *range)
{
	if (!mutant_prepare(site, range))
		return;
	mutant_twice(site, range);
	mmu_notifier_invalidate_range_start(range);
	mutant_started(site, range);
}

static __always_inline int
mutant_start_nonblock(unsigned int site, struct mmu_notifier_range *range)
{
	int ret;

	if (!mutant_prepare(site, range))
		return 0;
	mutant_twice(site, range);
	ret = mmu_notifier_invalidate_range_start_nonblock(range);
	if (!ret)
		mutant_started(site, range);
	return ret;
}

static inline void mutant_page(unsigned int site,
			       struct mmu_notifier_range *range)
{
	if (range->flags & (MUTANT_RANGE_SKIP | MUTANT_RANGE_LATE))
		return;
	if (range->flags & MMU_NOTIFIER_RANGE_PAGE)
		mutant_hit(site);
	switch (mutant_at(site)) {
	case MUTANT_DROP:
		break;
	case MUTANT_LATE:
		range->flags |= MUTANT_RANGE_PAGE_LATE;
		break;
	default:
		mmu_notifier_invalidate_page(range);
	}
}

static inline void mutant_end(unsigned int site,
			      struct mmu_notifier_range *range)
{
	unsigned int late = range->flags;

	/* mmu_notifier_range_init_none() */
	if (!range->mm)
		return;
	mutant_hit(site);
	if (range->flags & MUTANT_RANGE_SKIP)
		return;
	if (late & MUTANT_RANGE_LATE) {
		range->flags &= MMU_NOTIFIER_RANGE_BLOCKABLE | MMU_NOTIFIER_RANGE_PAGE;
		mmu_notifier_invalidate_range_start(range);
	}
	if (late & MUTANT_RANGE_PAGE_LATE)
		mmu_notifier_invalidate_page(range);
	if (mutant_at(site) != MUTANT_OPEN)
		mmu_notifier_invalidate_range_end(range);
}

static inline bool mutant_drops(unsigned int site)
{
	mutant_hit(site);
	return mutant_at(site) == MUTANT_DROP;
}

static inline int mutant_clear_flush_young(unsigned int site,
					   struct mm_struct *mm,
					   unsigned long start,
					   unsigned long end)
{
	return mutant_drops(site) ? 0 :
		mmu_notifier_clear_flush_young(mm, start, end);
}

static inline int mutant_clear_young(unsigned int site, struct mm_struct *mm,
				     unsigned long start, unsigned long end)
{
	return mutant_drops(site) ? 0 : mmu_notifier_clear_young(mm, start, end);
}

static inline int mutant_test_young(unsigned int site, struct mm_struct *mm,
				    unsigned long address)
{
	return mutant_drops(site) ? 0 : mmu_notifier_test_young(mm, address);
}

static inline int mutant_has_notifiers(unsigned int site, struct mm_struct *mm)
{
	return mutant_drops(site) ? 0 : mm_has_notifiers(mm);
}

static inline void mutant_release(unsigned int site, struct mm_struct *mm)
{
	if (!mutant_drops(site))
		mmu_notifier_release(mm);
}

static inline int mutant_fork(unsigned int site, struct mm_struct *mm,
			      struct mm_struct *child)
{
	/* Every process forks; only a subscriber could miss it. */
	if (mm_has_notifiers(mm) && mutant_drops(site))
		return 0;
	return mmu_notifier_fork(mm, child);
}

static inline void mutant_tlbs(unsigned int site, struct mm_struct *mm,
			       unsigned long start, unsigned long end)
{
	if (mutant_drops(site))
		return;
	if (mutant_at(site) == MUTANT_SHORT) {
		/* Of everything the upper half is left. */
		end = end == -1UL ? 0 : end - PAGE_SIZE;
		if (end <= start)
			return;
	}
	mmu_notifier_arch_invalidate_secondary_tlbs(mm, start, end);
}

static inline bool mutant_ages(unsigned int site, struct mm_struct *mm)
{
	return !mutant_drops(site) && mmu_notifier_ages(mm);
}

/* Macros: mm/internal.h, which has the real ones, comes later. */
#define mutant_ptep_clear_young_notify(site, vma, addr, ptep)		\
	(mutant_drops(site) ? ptep_test_and_clear_young(vma, addr, ptep) : \
	 ptep_clear_young_notify(vma, addr, ptep))
#define mutant_pmdp_clear_young_notify(site, vma, addr, pmdp)		\
	(mutant_drops(site) ? pmdp_test_and_clear_young(vma, addr, pmdp) : \
	 pmdp_clear_young_notify(vma, addr, pmdp))

static inline bool mutant_export_clean(unsigned int site, struct folio *folio)
{
	return !mutant_drops(site) && export_notifier_clean(folio);
}

static inline void mutant_export_unmap(unsigned int site, struct folio *folio)
{
	if (!mutant_drops(site))
		export_notifier_unmap(folio);
}

static inline void mutant_export_free(unsigned int site, struct folio *folio)
{
	if (!mutant_drops(site))
		export_notifier_free(folio);
}

#endif /* _LINUX_MMU_NOTIFIER_MUTANTS_H */
