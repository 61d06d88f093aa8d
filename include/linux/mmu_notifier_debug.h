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
 * struct mmu_notifier_debug_section - a section that a task has open
 * @range: whose it is.  Only compared: it may be gone, if its end is missing
 * @mm: as the section was opened
 * @start: as the section was opened
 * @end: as the section was opened
 * @page: it has MMU_NOTIFIER_RANGE_PAGE
 * @pending: with @page: an entry was cleared, mmu_notifier_invalidate_page()
 *	has not followed yet
 * @ip: who opened it
 */
struct mmu_notifier_debug_section {
	struct mmu_notifier_range *range;
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	bool page;
	bool pending;
	unsigned long ip;
};

/**
 * struct mmu_notifier_debug_task - the sections that a task has open
 * @nr: how many; only the task itself looks at any of this
 * @off: nesting of mmu_notifier_debug_disable()
 * @section: the sections
 */
struct mmu_notifier_debug_task {
	unsigned int nr;
	unsigned int off;
	struct mmu_notifier_debug_section section[MMU_NOTIFIER_DEBUG_DEPTH];
};

/**
 * enum mmu_notifier_debug_kind - what is wrong
 * @MMU_NOTIFIER_DEBUG_CLEAR: a present entry is cleared outside a section
 * @MMU_NOTIFIER_DEBUG_PROTECT: it loses write permission outside a section
 * @MMU_NOTIFIER_DEBUG_REPLACE: it is pointed elsewhere outside a section
 * @MMU_NOTIFIER_DEBUG_DETACH: a page table with present entries is taken away
 *	outside a section
 * @MMU_NOTIFIER_DEBUG_NO_PAGE: mmu_notifier_invalidate_page() does not follow
 * @MMU_NOTIFIER_DEBUG_RANGE: a section is empty, unaligned or out of bounds
 * @MMU_NOTIFIER_DEBUG_LOCK: none of the locks that protect a section is held
 * @MMU_NOTIFIER_DEBUG_END: an end, or an invalidate_page, without a start of
 *	the same task
 * @MMU_NOTIFIER_DEBUG_CHANGED: a range is not what it was at the start
 * @MMU_NOTIFIER_DEBUG_OPEN: a section is left open
 * @MMU_NOTIFIER_DEBUG_CONTEXT: invalidate_page where one could sleep
 */
enum mmu_notifier_debug_kind {
	MMU_NOTIFIER_DEBUG_CLEAR,
	MMU_NOTIFIER_DEBUG_PROTECT,
	MMU_NOTIFIER_DEBUG_REPLACE,
	MMU_NOTIFIER_DEBUG_DETACH,
	MMU_NOTIFIER_DEBUG_NO_PAGE,
	MMU_NOTIFIER_DEBUG_RANGE,
	MMU_NOTIFIER_DEBUG_LOCK,
	MMU_NOTIFIER_DEBUG_END,
	MMU_NOTIFIER_DEBUG_CHANGED,
	MMU_NOTIFIER_DEBUG_OPEN,
	MMU_NOTIFIER_DEBUG_CONTEXT,
};

void __mmu_notifier_debug_entry(struct mm_struct *mm, unsigned long addr,
				void *entry, enum mmu_notifier_level level,
				unsigned long old, unsigned long new);
void mmu_notifier_debug_detach(struct mm_struct *mm, unsigned long addr,
			       void *entry, enum mmu_notifier_level level);
void mmu_notifier_debug_start(struct mmu_notifier_range *range);
void mmu_notifier_debug_end(struct mmu_notifier_range *range);
void mmu_notifier_debug_page(struct mmu_notifier_range *range);
void mmu_notifier_debug_unlock(void);
void mmu_notifier_debug_return(void);
void mmu_notifier_debug_disable(void);
void mmu_notifier_debug_enable(void);
unsigned long mmu_notifier_debug_reports(void);

/*
 * An entry changes.  @old and @new are raw values; where the hardware may set
 * bits meanwhile, @old is what was read when it was changed.
 */
#define mmu_notifier_debug_pte(mm, addr, ptep, old, new)		\
	__mmu_notifier_debug_entry(mm, addr, ptep, MMU_NOTIFIER_PTE,	\
				   pte_val(old), pte_val(new))
#define mmu_notifier_debug_pmd(mm, addr, pmdp, old, new)		\
	__mmu_notifier_debug_entry(mm, addr, pmdp, MMU_NOTIFIER_PMD,	\
				   pmd_val(old), pmd_val(new))
#define mmu_notifier_debug_pud(mm, addr, pudp, old, new)		\
	__mmu_notifier_debug_entry(mm, addr, pudp, MMU_NOTIFIER_PUD,	\
				   pud_val(old), pud_val(new))

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
