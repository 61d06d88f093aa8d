/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CONFIG_DEBUG_MMU_NOTIFIER: finds changes of page tables that secondary MMUs
 * are not told of.  No subscriber is needed for that.
 *
 * This is included by sched.h and by the architectures' pgtable.h, and so
 * includes next to nothing.  See mm/mmu_notifier_debug.c.
 */
#ifndef _LINUX_MMU_NOTIFIER_DEBUG_H
#define _LINUX_MMU_NOTIFIER_DEBUG_H

#include <linux/compiler_attributes.h>
#include <linux/jump_label.h>
#include <linux/types.h>

struct mm_struct;
struct mmu_notifier_range;

/* Which kind of entry; a hugetlb page's PMD or PUD entry comes as a PTE. */
enum mmu_notifier_level {
	MMU_NOTIFIER_PTE,
	MMU_NOTIFIER_PMD,
	MMU_NOTIFIER_PUD,
};

#ifdef CONFIG_DEBUG_MMU_NOTIFIER

#define MMU_NOTIFIER_DEBUG_DEPTH	6

/**
 * struct mmu_notifier_debug_inflight - an invalidation of a task, in flight
 * @range: whose it is.  Only compared, or read while it is known to be in
 *	the task's own stack: it may be gone, if its end is missing
 * @mm: as it was at the start
 * @start: as it was at the start
 * @end: as it was at the start
 * @page: it has MMU_NOTIFIER_RANGE_PAGE
 * @pending: with @page: an entry was cleared, mmu_notifier_invalidate_page()
 *	has not followed yet
 * @lost: @range says something else by now.  This was reported, and the
 *	invalidation covers nothing any more
 * @ip: the code that started it
 */
struct mmu_notifier_debug_inflight {
	struct mmu_notifier_range *range;
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	bool page;
	bool pending;
	bool lost;
	unsigned long ip;
};

/**
 * struct mmu_notifier_debug_task - the invalidations that a task has in flight
 * @nr: how many; only the task itself reads any of this
 * @asked: the next report was asked for, see mmu_notifier_debug_try()
 * @off: nesting of mmu_notifier_debug_disable()
 * @inflight: the invalidations
 */
struct mmu_notifier_debug_task {
	unsigned short nr;
	bool asked;
	unsigned int off;
	struct mmu_notifier_debug_inflight inflight[MMU_NOTIFIER_DEBUG_DEPTH];
};

/**
 * enum mmu_notifier_debug_kind - what is wrong
 * @MMU_NOTIFIER_DEBUG_CLEAR: an entry is cleared, or made PROT_NONE, and no
 *	invalidation covers it
 * @MMU_NOTIFIER_DEBUG_PROTECT: it loses write permission, uncovered
 * @MMU_NOTIFIER_DEBUG_REPLACE: it is pointed elsewhere, uncovered
 * @MMU_NOTIFIER_DEBUG_DETACH: a page table that maps something is taken away,
 *	uncovered
 * @MMU_NOTIFIER_DEBUG_NO_PAGE: mmu_notifier_invalidate_page() does not follow
 * @MMU_NOTIFIER_DEBUG_EMPTY: an invalidation of an empty range
 * @MMU_NOTIFIER_DEBUG_RANGE: a range that is unaligned or out of bounds
 * @MMU_NOTIFIER_DEBUG_LOCK: none of the locks is held that exclude registration
 * @MMU_NOTIFIER_DEBUG_END: an end, or an invalidate_page, without a start of
 *	the same task
 * @MMU_NOTIFIER_DEBUG_CHANGED: a range is not what it was at the start
 * @MMU_NOTIFIER_DEBUG_OPEN: an invalidation is left in flight
 * @MMU_NOTIFIER_DEBUG_CONTEXT: invalidate_page where one could sleep
 */
enum mmu_notifier_debug_kind {
	MMU_NOTIFIER_DEBUG_CLEAR,
	MMU_NOTIFIER_DEBUG_PROTECT,
	MMU_NOTIFIER_DEBUG_REPLACE,
	MMU_NOTIFIER_DEBUG_DETACH,
	MMU_NOTIFIER_DEBUG_NO_PAGE,
	MMU_NOTIFIER_DEBUG_EMPTY,
	MMU_NOTIFIER_DEBUG_RANGE,
	MMU_NOTIFIER_DEBUG_LOCK,
	MMU_NOTIFIER_DEBUG_END,
	MMU_NOTIFIER_DEBUG_CHANGED,
	MMU_NOTIFIER_DEBUG_OPEN,
	MMU_NOTIFIER_DEBUG_CONTEXT,
};

/* Off: nothing is judged.  What is in flight is noted all the same. */
DECLARE_STATIC_KEY_TRUE(mmu_notifier_debug_key);

void __mmu_notifier_debug_entry(struct mm_struct *mm, unsigned long addr,
				void *entry, enum mmu_notifier_level level,
				unsigned long old, unsigned long new);
void mmu_notifier_debug_detach(struct mm_struct *mm, unsigned long addr,
			       void *entry, enum mmu_notifier_level level);
void mmu_notifier_debug_start(struct mmu_notifier_range *range);
void mmu_notifier_debug_end(struct mmu_notifier_range *range);
void mmu_notifier_debug_page(struct mmu_notifier_range *range);
void __mmu_notifier_debug_unlock(void);
void __mmu_notifier_debug_schedule(void);
void __mmu_notifier_debug_return(void);
void mmu_notifier_debug_disable(void);
void mmu_notifier_debug_enable(void);
unsigned long mmu_notifier_debug_reports(void);

/*
 * An entry changes.  @old and @new are raw values; where the hardware may set
 * bits meanwhile, @old is what was read when it was changed.
 */
#define __mmu_notifier_debug_change(mm, addr, entry, level, old, new)	\
do {									\
	if (static_branch_likely(&mmu_notifier_debug_key))		\
		__mmu_notifier_debug_entry(mm, addr, entry, level,	\
					   old, new);			\
} while (0)
#define mmu_notifier_debug_pte(mm, addr, ptep, old, new)		\
	__mmu_notifier_debug_change(mm, addr, ptep, MMU_NOTIFIER_PTE,	\
				    pte_val(old), pte_val(new))
#define mmu_notifier_debug_pmd(mm, addr, pmdp, old, new)		\
	__mmu_notifier_debug_change(mm, addr, pmdp, MMU_NOTIFIER_PMD,	\
				    pmd_val(old), pmd_val(new))
#define mmu_notifier_debug_pud(mm, addr, pudp, old, new)		\
	__mmu_notifier_debug_change(mm, addr, pudp, MMU_NOTIFIER_PUD,	\
				    pud_val(old), pud_val(new))

/*
 * The task drops a page-table lock; sleeps; returns to user space, exits or is done
 * with a piece of work.  Macros: this header cannot have struct task_struct.
 */
#define __mmu_notifier_debug_if_inflight(check)				\
do {									\
	if (unlikely(current->mmu_notifier_debug.nr))			\
		check();						\
} while (0)
#define mmu_notifier_debug_unlock()					\
	__mmu_notifier_debug_if_inflight(__mmu_notifier_debug_unlock)
#define mmu_notifier_debug_schedule()					\
	__mmu_notifier_debug_if_inflight(__mmu_notifier_debug_schedule)
#define mmu_notifier_debug_return()					\
	__mmu_notifier_debug_if_inflight(__mmu_notifier_debug_return)

#else /* !CONFIG_DEBUG_MMU_NOTIFIER */

static inline void mmu_notifier_debug_detach(struct mm_struct *mm,
					     unsigned long addr, void *entry,
					     enum mmu_notifier_level level)
{
}

static inline void mmu_notifier_debug_start(struct mmu_notifier_range *range)
{
}

static inline void mmu_notifier_debug_end(struct mmu_notifier_range *range)
{
}

static inline void mmu_notifier_debug_page(struct mmu_notifier_range *range)
{
}

static inline void mmu_notifier_debug_unlock(void)
{
}

static inline void mmu_notifier_debug_schedule(void)
{
}

static inline void mmu_notifier_debug_return(void)
{
}

static inline void mmu_notifier_debug_disable(void)
{
}

static inline void mmu_notifier_debug_enable(void)
{
}

/* Macros, for @old often is an expression that reads the entry. */
#define mmu_notifier_debug_pte(...)	do { } while (0)
#define mmu_notifier_debug_pmd(...)	do { } while (0)
#define mmu_notifier_debug_pud(...)	do { } while (0)

#endif /* CONFIG_DEBUG_MMU_NOTIFIER */

#endif /* _LINUX_MMU_NOTIFIER_DEBUG_H */
