// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of CONFIG_DEBUG_MMU_NOTIFIER: it reports each kind of omission, and
 * none of what is legal.
 *
 * Each case has an address space of its own with four pages of memory, and an
 * area of 2 GiB where it can play with entries of any level: nothing else maps
 * or touches anything there.  Reports are taken before they are printed.
 */
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/pgalloc.h>
#include <linux/rmap.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/shmem_fs.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>
#include <asm/tlbflush.h>

#include "../mmu_notifier_debug.h"

#define PAGES	4

struct dctx {
	struct mm_struct *mm;
	unsigned long addr;		/* the memory */
	unsigned long area;		/* aligned to 1 GiB */
	struct mmu_notifier_range range;
	spinlock_t *ptl;		/* of the entry that lock_pte() found */
	struct completion opened;
	unsigned int nr;		/* reports */
	unsigned int kinds;		/* of them, by bit */
	struct mmu_notifier_debug_fault last;
	struct kunit *test;
	struct kthread_work kwork;
	struct work_struct work;
};

static void take_report(const struct mmu_notifier_debug_fault *fault)
{
	struct dctx *c = kunit_get_current_test()->priv;

	c->nr++;
	c->kinds |= 1u << fault->kind;
	c->last = *fault;
	/* A worker that other work uses, too, see left_by_work(). */
	if (current->flags & PF_WQ_WORKER)
		current->kunit_test = NULL;
}

/* Since the last check there was one report, of @kind, about [start, end). */
#define EXPECT_REPORT(test, c, k, s, e) do {				\
	KUNIT_EXPECT_EQ(test, (c)->nr, 1);				\
	if ((c)->nr) {							\
		KUNIT_EXPECT_EQ(test, (c)->last.kind, k);		\
		KUNIT_EXPECT_EQ(test, (c)->last.start, s);		\
		KUNIT_EXPECT_EQ(test, (c)->last.end, e);		\
		KUNIT_EXPECT_PTR_EQ(test, (c)->last.mm, (c)->mm);	\
	}								\
	(c)->nr = 0;							\
	(c)->kinds = 0;							\
} while (0)

/* There were two, of these kinds. */
#define EXPECT_BOTH(test, c, k, l) do {					\
	KUNIT_EXPECT_EQ(test, (c)->nr, 2);				\
	KUNIT_EXPECT_EQ(test, (c)->kinds, 1u << (k) | 1u << (l));	\
	(c)->nr = 0;							\
	(c)->kinds = 0;							\
} while (0)

#define EXPECT_QUIET(test, c) do {					\
	KUNIT_EXPECT_EQ(test, (c)->nr, 0);				\
	if ((c)->nr)							\
		KUNIT_EXPECT_EQ(test, (c)->last.kind, -1);		\
	(c)->nr = 0;							\
	(c)->kinds = 0;							\
} while (0)

static int dctx_init(struct kunit *test)
{
	struct dctx *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	unsigned long area;

	KUNIT_ASSERT_NOT_NULL(test, c);
	test->priv = c;
	c->test = test;
	c->addr = kunit_vm_mmap(test, NULL, 0, PAGES * PAGE_SIZE,
				PROT_READ | PROT_WRITE,
				MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, c->addr, 0);
	c->mm = current->mm;
	KUNIT_ASSERT_EQ(test, 0, clear_user((void __user *)c->addr,
					    PAGES * PAGE_SIZE));
	area = kunit_vm_mmap(test, NULL, 0, 3 * PUD_SIZE, PROT_NONE,
			     MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, 0);
	KUNIT_ASSERT_NE(test, area, 0);
	c->area = ALIGN(area, PUD_SIZE);

	kunit_activate_static_stub(test, mmu_notifier_debug_report, take_report);
	return 0;
}

/* A case that runs with mmap_lock held, and may leave invalidations in flight. */
#define LOCKED(name)							\
static void name##_locked(struct kunit *test);				\
static void name(struct kunit *test)					\
{									\
	struct dctx *c = test->priv;					\
									\
	mmap_write_lock(c->mm);						\
	name##_locked(test);						\
	mmap_write_unlock(c->mm);					\
	current->mmu_notifier_debug.nr = 0;				\
}									\
static void name##_locked(struct kunit *test)

static void start_one(struct dctx *c, unsigned int flags,
		      unsigned long start, unsigned long size)
{
	mmu_notifier_range_init(&c->range, MMU_NOTIFY_CLEAR, flags, c->mm,
				start, start + size);
	mmu_notifier_invalidate_range_start(&c->range);
}

static void end_one(struct dctx *c)
{
	mmu_notifier_invalidate_range_end(&c->range);
}

/* The locked entry of a page of the memory, or of the area. */
static pte_t *lock_pte(struct kunit *test, unsigned long addr)
{
	struct dctx *c = test->priv;
	pte_t *ptep;

	ptep = __get_locked_pte(c->mm, addr, &c->ptl);
	KUNIT_ASSERT_NOT_NULL(test, ptep);
	return ptep;
}

static void unlock_pte(struct dctx *c, pte_t *ptep)
{
	/* By lock_pte(). */
	__acquire(RCU);
	__acquire(c->ptl);
	pte_unmap_unlock(ptep, c->ptl);
}

static pud_t *area_pud(struct kunit *test)
{
	struct dctx *c = test->priv;
	p4d_t *p4d = p4d_alloc(c->mm, pgd_offset(c->mm, c->area), c->area);
	pud_t *pud;

	KUNIT_ASSERT_NOT_NULL(test, p4d);
	pud = pud_alloc(c->mm, p4d, c->area);
	KUNIT_ASSERT_NOT_NULL(test, pud);
	return pud;
}

static pmd_t *area_pmd(struct kunit *test)
{
	struct dctx *c = test->priv;
	pmd_t *pmd = pmd_alloc(c->mm, area_pud(test), c->area);

	KUNIT_ASSERT_NOT_NULL(test, pmd);
	return pmd;
}

/* An entry of a page that no process uses, at any level. */
static pte_t some_pte(pgprot_t prot)
{
	return pte_mkyoung(pfn_pte(page_to_pfn(ZERO_PAGE(0)), prot));
}

static pmd_t some_pmd(void)
{
	return pmd_mkhuge(pfn_pmd(0, PAGE_SHARED));
}

/*
 * Reports.
 */

LOCKED(clear_pte)
{
	struct dctx *c = test->priv;
	pte_t *ptep = lock_pte(test, c->addr);
	pte_t old = ptep_get_and_clear(c->mm, c->addr, ptep);

	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->addr,
		      c->addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, c->last.level, MMU_NOTIFIER_PTE);
	KUNIT_EXPECT_EQ(test, c->last.old, pte_val(old));
	KUNIT_EXPECT_EQ(test, c->last.new, 0);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
	EXPECT_QUIET(test, c);
}

/* It returns nothing, so its caller believes that nothing is there. */
LOCKED(clear_by_pte_clear)
{
	struct dctx *c = test->priv;
	pte_t *ptep = lock_pte(test, c->addr);
	pte_t old = ptep_get(ptep);

	pte_clear(c->mm, c->addr, ptep);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->addr,
		      c->addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, c->last.old, pte_val(old));
	pte_clear(c->mm, c->addr, ptep);
	set_pte_at(c->mm, c->addr, ptep, old);
	EXPECT_QUIET(test, c);
	unlock_pte(c, ptep);

	start_one(c, 0, c->addr, PAGE_SIZE);
	ptep = lock_pte(test, c->addr);
	pte_clear(c->mm, c->addr, ptep);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
	end_one(c);
	EXPECT_QUIET(test, c);
}

LOCKED(clear_pmd)
{
	struct dctx *c = test->priv;
	pmd_t *pmd = area_pmd(test);

	set_pmd_at(c->mm, c->area, pmd, some_pmd());
	EXPECT_QUIET(test, c);
	pmdp_huge_get_and_clear(c->mm, c->area, pmd);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->area,
		      c->area + PMD_SIZE);
	KUNIT_EXPECT_EQ(test, c->last.level, MMU_NOTIFIER_PMD);
}

/* Hugetlb changes PMDs by the functions for PTEs. */
LOCKED(clear_hugetlb)
{
	struct dctx *c = test->priv;
	pmd_t *pmd = area_pmd(test);

	set_pmd_at(c->mm, c->area, pmd, some_pmd());
	start_one(c, 0, c->area, PMD_SIZE - PAGE_SIZE);
	ptep_get_and_clear(c->mm, c->area, (pte_t *)pmd);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->area,
		      c->area + PMD_SIZE);
	end_one(c);

	set_pmd_at(c->mm, c->area, pmd, some_pmd());
	start_one(c, 0, c->area, PMD_SIZE);
	ptep_get_and_clear(c->mm, c->area, (pte_t *)pmd);
	end_one(c);
	EXPECT_QUIET(test, c);
}

LOCKED(clear_by_huge_pte_clear)
{
#ifdef CONFIG_HUGETLB_PAGE
	struct dctx *c = test->priv;
	pmd_t *pmd = area_pmd(test);

	set_pmd_at(c->mm, c->area, pmd, some_pmd());
	start_one(c, 0, c->area, PMD_SIZE - PAGE_SIZE);
	huge_pte_clear(c->mm, c->area, (pte_t *)pmd, PMD_SIZE);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->area,
		      c->area + PMD_SIZE);
	KUNIT_EXPECT_EQ(test, c->last.level, MMU_NOTIFIER_PMD);
	end_one(c);

	set_pmd_at(c->mm, c->area, pmd, some_pmd());
	start_one(c, 0, c->area, PMD_SIZE);
	huge_pte_clear(c->mm, c->area, (pte_t *)pmd, PMD_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
#else
	kunit_mark_skipped(test, "needs HUGETLB_PAGE");
#endif
}

LOCKED(clear_pud)
{
	struct dctx *c = test->priv;
	pud_t *pud = area_pud(test);

	if (!IS_ENABLED(CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE_PUD)) {
		kunit_mark_skipped(test, "no huge PUDs here");
		return;
	}
	if (!pud_none(*pud)) {
		kunit_mark_skipped(test, "a page table is there");
		return;
	}
	set_pud_at(c->mm, c->area, pud, pud_mkhuge(pfn_pud(0, PAGE_SHARED)));
	EXPECT_QUIET(test, c);
	pudp_huge_get_and_clear(c->mm, c->area, pud);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->area,
		      c->area + PUD_SIZE);
	KUNIT_EXPECT_EQ(test, c->last.level, MMU_NOTIFIER_PUD);
}

LOCKED(protect_pte)
{
	struct dctx *c = test->priv;
	pte_t *ptep = lock_pte(test, c->addr);
	pte_t old = ptep_get(ptep);

	ptep_set_wrprotect(c->mm, c->addr, ptep);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_PROTECT, c->addr,
		      c->addr + PAGE_SIZE);
	/* Once more it loses nothing; and to get it back is no loss either. */
	ptep_set_wrprotect(c->mm, c->addr, ptep);
	set_pte_at(c->mm, c->addr, ptep, old);
	EXPECT_QUIET(test, c);
	unlock_pte(c, ptep);
}

LOCKED(protect_pmd)
{
	struct dctx *c = test->priv;
	pmd_t *pmd = area_pmd(test);

	set_pmd_at(c->mm, c->area, pmd, some_pmd());
	pmdp_set_wrprotect(c->mm, c->area, pmd);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_PROTECT, c->area,
		      c->area + PMD_SIZE);
	start_one(c, 0, c->area, PMD_SIZE);
	pmdp_huge_get_and_clear(c->mm, c->area, pmd);
	end_one(c);
	EXPECT_QUIET(test, c);
}

LOCKED(replace_pte)
{
	struct dctx *c = test->priv;
	pte_t *ptep, old;

	if (IS_ENABLED(CONFIG_ARM64) && IS_ENABLED(CONFIG_DEBUG_VM)) {
		kunit_mark_skipped(test, "set_pte_at() warns of it itself");
		return;
	}
	ptep = lock_pte(test, c->addr);
	old = ptep_get(ptep);
	set_pte_at(c->mm, c->addr, ptep, some_pte(PAGE_READONLY));
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_REPLACE, c->addr,
		      c->addr + PAGE_SIZE);
	unlock_pte(c, ptep);

	start_one(c, 0, c->addr, PAGE_SIZE);
	ptep = lock_pte(test, c->addr);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
	end_one(c);
	EXPECT_QUIET(test, c);
}

/* A page table goes, by pmdp_collapse_flush() and its like or by pmd_clear(). */
LOCKED(detach_table)
{
	struct dctx *c = test->priv;
	pmd_t *pmd = area_pmd(test), table;
	pte_t *ptep = lock_pte(test, c->area);

	/* Empty: there is nothing to report. */
	table = pmdp_huge_get_and_clear(c->mm, c->area, pmd);
	EXPECT_QUIET(test, c);
	set_pmd(pmd, table);

	set_pte_at(c->mm, c->area, ptep, some_pte(PAGE_READONLY));
	mmu_notifier_debug_detach(c->mm, c->area, pmd, MMU_NOTIFIER_PMD);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_DETACH, c->area,
		      c->area + PMD_SIZE);
	mmu_notifier_debug_detach(c->mm, c->area + PAGE_SIZE, area_pud(test),
				  MMU_NOTIFIER_PUD);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_DETACH, c->area,
		      c->area + PUD_SIZE);
	table = pmdp_huge_get_and_clear(c->mm, c->area, pmd);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_DETACH, c->area,
		      c->area + PMD_SIZE);

	/* What is in it now is out of reach. */
	ptep_get_and_clear(c->mm, c->area, ptep);
	EXPECT_QUIET(test, c);
	set_pmd(pmd, table);
	unlock_pte(c, ptep);

	/* A range that is too short is as bad, one that covers the table is not. */
	set_pte_at(c->mm, c->area, ptep, some_pte(PAGE_READONLY));
	start_one(c, 0, c->area + PAGE_SIZE, PMD_SIZE - PAGE_SIZE);
	mmu_notifier_debug_detach(c->mm, c->area, pmd, MMU_NOTIFIER_PMD);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_DETACH, c->area,
		      c->area + PMD_SIZE);
	end_one(c);
	start_one(c, 0, c->area, PMD_SIZE);
	mmu_notifier_debug_detach(c->mm, c->area, pmd, MMU_NOTIFIER_PMD);
	ptep_get_and_clear(c->mm, c->area, ptep);
	end_one(c);
	EXPECT_QUIET(test, c);
}

struct cover_case {
	const char *name;
	long start, end;	/* pages, of the invalidation; the first one changes */
	bool other_mm, closed, quiet;
};

static const struct cover_case cover_cases[] = {
	{ "exact", 0, 1, .quiet = true },
	{ "wider", -1, 3, .quiet = true },
	{ "behind", 1, 2 },
	{ "before", -1, 0 },
	{ "other_mm", 0, 1, .other_mm = true },
	{ "closed", 0, 1, .closed = true },
};

KUNIT_ARRAY_PARAM_DESC(cover, cover_cases, name);

LOCKED(cover)
{
	const struct cover_case *cc = test->param_value;
	struct dctx *c = test->priv;
	unsigned long addr = c->addr + PAGE_SIZE;
	struct mm_struct *mm = cc->other_mm ? mm_alloc() : c->mm;
	pte_t *ptep, old;

	KUNIT_ASSERT_NOT_NULL(test, mm);
	if (mm != c->mm)
		mmap_write_lock_nested(mm, SINGLE_DEPTH_NESTING);
	mmu_notifier_range_init(&c->range, MMU_NOTIFY_CLEAR, 0, mm,
				addr + cc->start * PAGE_SIZE,
				addr + cc->end * PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&c->range);
	if (cc->closed)
		end_one(c);

	ptep = lock_pte(test, addr);
	old = ptep_get_and_clear(c->mm, addr, ptep);
	if (cc->quiet)
		EXPECT_QUIET(test, c);
	else
		EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, addr,
			      addr + PAGE_SIZE);
	set_pte_at(c->mm, addr, ptep, old);
	unlock_pte(c, ptep);

	if (!cc->closed)
		end_one(c);
	if (mm != c->mm) {
		mmap_write_unlock(mm);
		/* Not here, under another mmap_lock. */
		mmput_async(mm);
	}
	EXPECT_QUIET(test, c);
}

/* Invalidations of one page, and where invalidate_page comes. */
enum { NEVER, IN_TIME, AFTER_SET, AFTER_UNLOCK };

struct page_case {
	const char *name;
	int when;
	bool set, nested;
	unsigned int reports;
};

static const struct page_case page_cases[] = {
	{ "in_time", IN_TIME, .set = true },
	{ "in_time_nothing_set", IN_TIME },
	{ "never", NEVER, .reports = 1 },
	{ "never_set", NEVER, .set = true, .reports = 1 },
	{ "after_set", AFTER_SET, .set = true, .reports = 1 },
	{ "never_in_a_pair", NEVER, .set = true, .nested = true },
};

KUNIT_ARRAY_PARAM_DESC(page, page_cases, name);

LOCKED(page)
{
	const struct page_case *pc = test->param_value;
	struct dctx *c = test->priv;
	struct mmu_notifier_range pair;
	pte_t *ptep, old;

	mmu_notifier_range_init(&pair, MMU_NOTIFY_CLEAR, 0, c->mm, c->addr,
				c->addr + 2 * PAGE_SIZE);
	if (pc->nested)
		mmu_notifier_invalidate_range_start(&pair);
	start_one(c, MMU_NOTIFIER_RANGE_PAGE, c->addr, PAGE_SIZE);

	ptep = lock_pte(test, c->addr);
	old = ptep_get_and_clear(c->mm, c->addr, ptep);
	EXPECT_QUIET(test, c);
	if (pc->when == IN_TIME)
		mmu_notifier_invalidate_page(&c->range);
	if (pc->set)
		set_pte_at(c->mm, c->addr, ptep, old);
	if (pc->when == AFTER_SET)
		mmu_notifier_invalidate_page(&c->range);
	unlock_pte(c, ptep);
	if (pc->reports)
		EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_NO_PAGE, c->addr,
			      c->addr + PAGE_SIZE);
	end_one(c);
	if (pc->nested)
		mmu_notifier_invalidate_range_end(&pair);
	EXPECT_QUIET(test, c);

	if (!pc->set) {
		ptep = lock_pte(test, c->addr);
		set_pte_at(c->mm, c->addr, ptep, old);
		unlock_pte(c, ptep);
	}
}

/* A lock dropped by spin_unlock() is noticed at the end. */
LOCKED(page_at_end)
{
	struct dctx *c = test->priv;
	pte_t *ptep, old;

	start_one(c, MMU_NOTIFIER_RANGE_PAGE, c->addr, PAGE_SIZE);
	ptep = lock_pte(test, c->addr);
	old = ptep_get_and_clear(c->mm, c->addr, ptep);
	/* By lock_pte(). */
	__acquire(RCU);
	__acquire(c->ptl);
	spin_unlock(c->ptl);
	pte_unmap(ptep);
	EXPECT_QUIET(test, c);
	end_one(c);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_NO_PAGE, c->addr,
		      c->addr + PAGE_SIZE);
	ptep = lock_pte(test, c->addr);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
}

LOCKED(page_context)
{
	struct dctx *c = test->priv;

	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT)) {
		kunit_mark_skipped(test, "needs PREEMPT_COUNT");
		return;
	}
	start_one(c, MMU_NOTIFIER_RANGE_PAGE, c->addr, PAGE_SIZE);
	mmu_notifier_invalidate_page(&c->range);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CONTEXT, c->addr,
		      c->addr + PAGE_SIZE);
	preempt_disable();
	mmu_notifier_invalidate_page(&c->range);
	preempt_enable();
	end_one(c);
	EXPECT_QUIET(test, c);
}

struct bounds_case {
	const char *name;
	unsigned long start, end;
	enum mmu_notifier_debug_kind kind;
	bool quiet;
};

static const struct bounds_case bounds_cases[] = {
	{ "empty", PAGE_SIZE, PAGE_SIZE, MMU_NOTIFIER_DEBUG_EMPTY },
	/* What mm->task_size makes of it while a process executes another program. */
	{ "nothing_of_nothing", 0, 0, MMU_NOTIFIER_DEBUG_EMPTY },
	{ "backwards", 2 * PAGE_SIZE, PAGE_SIZE, MMU_NOTIFIER_DEBUG_RANGE },
	{ "start_unaligned", PAGE_SIZE + 8, 2 * PAGE_SIZE, MMU_NOTIFIER_DEBUG_RANGE },
	{ "end_unaligned", PAGE_SIZE, 2 * PAGE_SIZE + 8, MMU_NOTIFIER_DEBUG_RANGE },
	{ "kernel", PAGE_SIZE, ~0UL & PAGE_MASK, MMU_NOTIFIER_DEBUG_RANGE },
	{ "everything", 0, ULONG_MAX, .quiet = true },
};

KUNIT_ARRAY_PARAM_DESC(bounds, bounds_cases, name);

LOCKED(bounds)
{
	const struct bounds_case *bc = test->param_value;
	struct dctx *c = test->priv;

	start_one(c, 0, bc->start, bc->end - bc->start);
	if (bc->quiet)
		EXPECT_QUIET(test, c);
	else
		EXPECT_REPORT(test, c, bc->kind, bc->start, bc->end);
	end_one(c);
	EXPECT_QUIET(test, c);
}

/* Each of the locks that keep a subscriber from coming half-way is enough. */
LOCKED(locks)
{
	struct dctx *c = test->priv;
	struct vm_area_struct *vma;

	if (!IS_ENABLED(CONFIG_LOCKDEP) || !debug_locks) {
		kunit_mark_skipped(test, "needs lockdep");
		return;
	}
	vma = vma_lookup(c->mm, c->addr);
	KUNIT_ASSERT_NOT_NULL(test, vma);
	KUNIT_ASSERT_NOT_NULL(test, vma->anon_vma);

	start_one(c, 0, c->addr, PAGE_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
	mmap_write_unlock(c->mm);

	mmap_read_lock(c->mm);
	start_one(c, 0, c->addr, PAGE_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
	mmap_read_unlock(c->mm);

	anon_vma_lock_read(vma->anon_vma);
	start_one(c, 0, c->addr, PAGE_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
	anon_vma_unlock_read(vma->anon_vma);

	vma = lock_vma_under_rcu(c->mm, c->addr);
	KUNIT_EXPECT_NOT_NULL(test, vma);
	if (vma) {
		start_one(c, 0, c->addr, PAGE_SIZE);
		end_one(c);
		EXPECT_QUIET(test, c);
		vma_end_read(vma);
	}

	start_one(c, 0, c->addr, PAGE_SIZE);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_LOCK, c->addr,
		      c->addr + PAGE_SIZE);
	end_one(c);
	mmap_write_lock(c->mm);
}

LOCKED(lock_of_file)
{
	struct dctx *c = test->priv;
	struct file *file;
	unsigned long addr;

	if (!IS_ENABLED(CONFIG_LOCKDEP) || !debug_locks) {
		kunit_mark_skipped(test, "needs lockdep");
		return;
	}
	file = shmem_kernel_file_setup("mmu_notifier_debug", PAGE_SIZE, 0);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file);
	mmap_write_unlock(c->mm);
	addr = kunit_vm_mmap(test, file, 0, PAGE_SIZE, PROT_READ, MAP_SHARED, 0);
	KUNIT_EXPECT_NE(test, addr, 0);

	i_mmap_lock_read(file->f_mapping);
	start_one(c, 0, addr, PAGE_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
	i_mmap_unlock_read(file->f_mapping);
	start_one(c, 0, addr, PAGE_SIZE);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_LOCK, addr, addr + PAGE_SIZE);
	end_one(c);
	fput(file);
	mmap_write_lock(c->mm);
}

LOCKED(end_without_start)
{
	struct dctx *c = test->priv;

	mmu_notifier_range_init(&c->range, MMU_NOTIFY_CLEAR, 0, c->mm, c->addr,
				c->addr + PAGE_SIZE);
	end_one(c);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_END, c->addr,
		      c->addr + PAGE_SIZE);

	start_one(c, 0, c->addr, PAGE_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
	end_one(c);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_END, c->addr,
		      c->addr + PAGE_SIZE);
}

LOCKED(page_without_start)
{
	struct dctx *c = test->priv;

	mmu_notifier_range_init(&c->range, MMU_NOTIFY_CLEAR,
				MMU_NOTIFIER_RANGE_PAGE, c->mm, c->addr,
				c->addr + PAGE_SIZE);
	preempt_disable();
	mmu_notifier_invalidate_page(&c->range);
	preempt_enable();
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_END, c->addr,
		      c->addr + PAGE_SIZE);
}

static int other_start(void *data)
{
	struct dctx *c = data;

	mmap_read_lock(c->mm);
	start_one(c, 0, c->addr, PAGE_SIZE);
	mmap_read_unlock(c->mm);
	/* Not to be reported when this thread exits. */
	current->mmu_notifier_debug.nr = 0;
	complete(&c->opened);
	return 0;
}

/* What another task has in flight covers nothing, and is not ours to end. */
LOCKED(other_task)
{
	struct dctx *c = test->priv;
	struct task_struct *task;
	pte_t *ptep, old;

	init_completion(&c->opened);
	task = kthread_run(other_start, c, "mmu_notifier_debug");
	KUNIT_EXPECT_FALSE(test, IS_ERR(task));
	if (IS_ERR(task))
		return;
	mmap_write_unlock(c->mm);
	wait_for_completion(&c->opened);
	mmap_write_lock(c->mm);

	ptep = lock_pte(test, c->addr);
	old = ptep_get_and_clear(c->mm, c->addr, ptep);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->addr,
		      c->addr + PAGE_SIZE);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
	end_one(c);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_END, c->addr,
		      c->addr + PAGE_SIZE);
}

LOCKED(changed)
{
	struct dctx *c = test->priv;

	start_one(c, 0, c->addr, 2 * PAGE_SIZE);
	c->range.end -= PAGE_SIZE;
	end_one(c);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CHANGED, c->addr,
		      c->addr + PAGE_SIZE);
	EXPECT_QUIET(test, c);
}

/* Such a range may have an end without a start; a start must not be forgotten. */
LOCKED(none)
{
	struct dctx *c = test->priv;

	mmu_notifier_range_init_none(&c->range);
	end_one(c);
	EXPECT_QUIET(test, c);
	start_one(c, 0, c->addr, PAGE_SIZE);
	mmu_notifier_range_init_none(&c->range);
	end_one(c);
	KUNIT_EXPECT_EQ(test, c->nr, 1);
	KUNIT_EXPECT_EQ(test, c->last.kind, MMU_NOTIFIER_DEBUG_CHANGED);
	c->nr = 0;
	mmu_notifier_debug_return();
	EXPECT_QUIET(test, c);
}

LOCKED(left_open)
{
	struct dctx *c = test->priv;

	mmu_notifier_debug_return();
	EXPECT_QUIET(test, c);
	start_one(c, 0, c->addr, PAGE_SIZE);
	mmu_notifier_debug_return();
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_OPEN, c->addr,
		      c->addr + PAGE_SIZE);
	mmu_notifier_debug_return();
	EXPECT_QUIET(test, c);
}

/* A kernel thread never returns: what is not in its stack piles up. */
LOCKED(too_many_open)
{
	struct mmu_notifier_range *ranges;
	struct dctx *c = test->priv;
	int i;

	ranges = kunit_kcalloc(test, MMU_NOTIFIER_DEBUG_DEPTH, sizeof(*ranges),
			       GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ranges);
	for (i = 0; i < MMU_NOTIFIER_DEBUG_DEPTH; i++) {
		mmu_notifier_range_init(&ranges[i], MMU_NOTIFY_CLEAR, 0, c->mm,
					c->addr, c->addr + PAGE_SIZE);
		mmu_notifier_invalidate_range_start(&ranges[i]);
	}
	EXPECT_QUIET(test, c);
	start_one(c, 0, c->addr, PAGE_SIZE);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_OPEN, c->addr,
		      c->addr + PAGE_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
}

LOCKED(started_twice)
{
	struct dctx *c = test->priv;

	start_one(c, 0, c->addr, PAGE_SIZE);
	start_one(c, 0, c->addr + PAGE_SIZE, PAGE_SIZE);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_OPEN, c->addr,
		      c->addr + PAGE_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
	mmu_notifier_debug_return();
	EXPECT_QUIET(test, c);
}

/*
 * Leaves an invalidation of the whole memory in flight, with its range so deep in the
 * stack that the callers' next function does not reach it:
 *
 *	test         | leave() | leave() | leave(): range
 *	test         | checker |
 */
static noinline void leave(struct dctx *c, int depth)
{
	struct mmu_notifier_range range;
	char room[200];

	/* Neither the recursion nor the room is optimized away. */
	memset(room, depth, sizeof(room));
	OPTIMIZER_HIDE_VAR(depth);
	if (depth) {
		leave(c, depth - 1);
	} else {
		mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, c->mm,
					c->addr, c->addr + PAGES * PAGE_SIZE);
		mmu_notifier_invalidate_range_start(&range);
	}
	barrier_data(room);
}

/* It covers nothing once its function has returned ... */
LOCKED(left_by_function)
{
	struct dctx *c = test->priv;
	pte_t *ptep, old;

	leave(c, 3);
	EXPECT_QUIET(test, c);
	ptep = lock_pte(test, c->addr);
	old = ptep_get_and_clear(c->mm, c->addr, ptep);
	EXPECT_BOTH(test, c, MMU_NOTIFIER_DEBUG_OPEN, MMU_NOTIFIER_DEBUG_CLEAR);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
	mmu_notifier_debug_return();
	EXPECT_QUIET(test, c);
}

/* ... and is found when the next one begins. */
LOCKED(left_by_function_before)
{
	struct dctx *c = test->priv;

	leave(c, 3);
	start_one(c, 0, c->addr, PAGE_SIZE);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_OPEN, c->addr,
		      c->addr + PAGES * PAGE_SIZE);
	end_one(c);
	EXPECT_QUIET(test, c);
}

/*
 * Its place in the stack is in use again, by a caller of the function that changes the
 * entry: the address alone does not tell.
 */
LOCKED(left_and_overwritten)
{
	struct mmu_notifier_range range;
	struct dctx *c = test->priv;
	pte_t *ptep, old;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, c->mm, c->addr,
				c->addr + PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&range);
	ptep = lock_pte(test, c->addr);
	old = ptep_get_and_clear(c->mm, c->addr, ptep);
	EXPECT_QUIET(test, c);
	set_pte_at(c->mm, c->addr, ptep, old);

	WRITE_ONCE(range.start, 0x1234);
	old = ptep_get_and_clear(c->mm, c->addr, ptep);
	EXPECT_BOTH(test, c, MMU_NOTIFIER_DEBUG_CHANGED, MMU_NOTIFIER_DEBUG_CLEAR);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
	/* Once is enough. */
	mmu_notifier_debug_return();
	EXPECT_QUIET(test, c);
}

static int leave_and_sleep(void *data)
{
	struct dctx *c = data;

	current->kunit_test = c->test;
	mmap_read_lock(c->mm);
	leave(c, 3);
	mmap_read_unlock(c->mm);
	schedule_timeout_uninterruptible(1);
	/* When it exits, it would be found in any case. */
	current->mmu_notifier_debug.nr = 0;
	current->kunit_test = NULL;
	complete(&c->opened);
	return 0;
}

/* A kernel thread that is back in its main loop. */
static void left_by_thread(struct kunit *test)
{
	struct dctx *c = test->priv;
	struct task_struct *task;

	init_completion(&c->opened);
	task = kthread_run(leave_and_sleep, c, "mmu_notifier_debug");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&c->opened);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_OPEN, c->addr,
		      c->addr + PAGES * PAGE_SIZE);
}

/* In work, with a range that is not in the stack. */
static void leave_in_work(struct dctx *c)
{
	current->kunit_test = c->test;
	mmap_read_lock(c->mm);
	start_one(c, 0, c->addr, PAGE_SIZE);
	mmap_read_unlock(c->mm);
}

static void leave_kwork(struct kthread_work *work)
{
	leave_in_work(container_of(work, struct dctx, kwork));
}

static void left_by_kthread_work(struct kunit *test)
{
	struct dctx *c = test->priv;
	struct kthread_worker *worker;

	worker = kthread_create_worker(0, "mmu_notifier_debug");
	KUNIT_ASSERT_FALSE(test, IS_ERR(worker));
	kthread_init_work(&c->kwork, leave_kwork);
	kthread_queue_work(worker, &c->kwork);
	kthread_flush_worker(worker);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_OPEN, c->addr,
		      c->addr + PAGE_SIZE);
	kthread_destroy_worker(worker);
	EXPECT_QUIET(test, c);
}

static void leave_work(struct work_struct *work)
{
	leave_in_work(container_of(work, struct dctx, work));
}

static void left_by_work(struct kunit *test)
{
	struct dctx *c = test->priv;

	INIT_WORK(&c->work, leave_work);
	queue_work(system_unbound_wq, &c->work);
	flush_work(&c->work);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_OPEN, c->addr,
		      c->addr + PAGE_SIZE);
}

/*
 * No reports.
 */

LOCKED(nested)
{
	struct dctx *c = test->priv;
	struct mmu_notifier_range outer;
	pte_t *ptep, old;

	mmu_notifier_range_init(&outer, MMU_NOTIFY_CLEAR, 0, c->mm, c->addr,
				c->addr + PAGES * PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&outer);
	start_one(c, 0, c->addr + PAGE_SIZE, PAGE_SIZE);
	ptep = lock_pte(test, c->addr);
	old = ptep_get_and_clear(c->mm, c->addr, ptep);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
	/* Not the last one first. */
	mmu_notifier_invalidate_range_end(&outer);
	EXPECT_QUIET(test, c);
	end_one(c);
	EXPECT_QUIET(test, c);
}

LOCKED(harmless)
{
	struct dctx *c = test->priv;
	pte_t pte = some_pte(PAGE_READONLY);
	pte_t *ptep;

	if (IS_ENABLED(CONFIG_ARM64) && IS_ENABLED(CONFIG_DEBUG_VM)) {
		kunit_mark_skipped(test, "set_pte_at() warns of it itself");
		return;
	}
	ptep = lock_pte(test, c->area);
	/* young and dirty, there and back; then more permissions */
	set_pte_at(c->mm, c->area, ptep, pte_mkdirty(pte_mkyoung(pte)));
	set_pte_at(c->mm, c->area, ptep, pte_mkclean(pte_mkold(pte)));
	set_pte_at(c->mm, c->area, ptep, pte_mkdirty(some_pte(PAGE_SHARED)));
	EXPECT_QUIET(test, c);
	unlock_pte(c, ptep);

	start_one(c, 0, c->area, PAGE_SIZE);
	ptep = lock_pte(test, c->area);
	ptep_get_and_clear(c->mm, c->area, ptep);
	unlock_pte(c, ptep);
	end_one(c);
	EXPECT_QUIET(test, c);
}

/*
 * What is PROT_NONE in the CPU's page table was taken from secondary MMUs when it
 * became so.  But they can have got it back, read-only: by GUP without
 * FOLL_HONOR_NUMA_FAULT, or with FOLL_FORCE.
 */
LOCKED(prot_none)
{
	struct dctx *c = test->priv;
	pte_t *ptep = lock_pte(test, c->addr);
	pte_t old = ptep_get(ptep), none = pte_modify(old, PAGE_NONE);
	pmd_t *pmd;

	set_pte_at(c->mm, c->addr, ptep, none);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->addr,
		      c->addr + PAGE_SIZE);
	/* more rights */
	set_pte_at(c->mm, c->addr, ptep, pte_modify(none, PAGE_READONLY));
	EXPECT_QUIET(test, c);
	unlock_pte(c, ptep);

	start_one(c, 0, c->addr, PAGE_SIZE);
	ptep = lock_pte(test, c->addr);
	set_pte_at(c->mm, c->addr, ptep, none);
	unlock_pte(c, ptep);
	end_one(c);
	EXPECT_QUIET(test, c);

	ptep = lock_pte(test, c->addr);
	ptep_get_and_clear(c->mm, c->addr, ptep);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->addr,
		      c->addr + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, c->last.old, pte_val(none));

	set_pte_at(c->mm, c->addr, ptep, none);
	set_pte_at(c->mm, c->addr, ptep, some_pte(PAGE_READONLY));
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_REPLACE, c->addr,
		      c->addr + PAGE_SIZE);
	ptep_get_and_clear(c->mm, c->addr, ptep);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->addr,
		      c->addr + PAGE_SIZE);
	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);

	/* A page table with nothing else in it. */
	ptep = lock_pte(test, c->area);
	set_pte_at(c->mm, c->area, ptep, none);
	pmd = area_pmd(test);
	mmu_notifier_debug_detach(c->mm, c->area, pmd, MMU_NOTIFIER_PMD);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_DETACH, c->area,
		      c->area + PMD_SIZE);
	ptep_get_and_clear(c->mm, c->area, ptep);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->area,
		      c->area + PAGE_SIZE);
	unlock_pte(c, ptep);
}

/* The way back: clears the entry, then sets it with more rights. */
static void numa_hinting_fault(struct kunit *test)
{
	struct dctx *c = test->priv;
	pte_t *ptep, pte;

	if (!IS_ENABLED(CONFIG_NUMA_BALANCING)) {
		kunit_mark_skipped(test, "needs NUMA_BALANCING");
		return;
	}
	mmap_write_lock(c->mm);
	start_one(c, 0, c->addr, PAGE_SIZE);
	ptep = lock_pte(test, c->addr);
	set_pte_at(c->mm, c->addr, ptep,
		   pte_modify(ptep_get_and_clear(c->mm, c->addr, ptep), PAGE_NONE));
	unlock_pte(c, ptep);
	end_one(c);
	mmap_write_unlock(c->mm);
	/* It was in the TLB. */
	flush_tlb_mm(c->mm);
	EXPECT_QUIET(test, c);

	KUNIT_EXPECT_EQ(test, 0, clear_user((void __user *)c->addr, 1));
	EXPECT_QUIET(test, c);
	mmap_write_lock(c->mm);
	ptep = lock_pte(test, c->addr);
	pte = ptep_get(ptep);
	KUNIT_EXPECT_FALSE(test, pte_protnone(pte));
	unlock_pte(c, ptep);
	mmap_write_unlock(c->mm);
}

LOCKED(looks_away)
{
	struct dctx *c = test->priv;
	pte_t *ptep = lock_pte(test, c->addr);
	pte_t old;

	mmu_notifier_debug_disable();
	old = ptep_get_and_clear(c->mm, c->addr, ptep);
	set_pte_at(c->mm, c->addr, ptep, old);
	mmu_notifier_debug_enable();
	unlock_pte(c, ptep);
	EXPECT_QUIET(test, c);
}

static int refuse(struct mmu_notifier *mn,
		  const struct mmu_notifier_range *range)
{
	return -EAGAIN;
}

static void ended(struct mmu_notifier *mn,
		  const struct mmu_notifier_range *range)
{
}

static const struct mmu_notifier_ops refuse_ops = {
	.invalidate_range_start = refuse,
	.invalidate_range_end = ended,
};

LOCKED(refused)
{
	struct mmu_notifier mn = { .ops = &refuse_ops };
	struct dctx *c = test->priv;
	int ret;

	KUNIT_ASSERT_EQ(test, 0, __mmu_notifier_register(&mn, c->mm));
	mmu_notifier_range_init(&c->range, MMU_NOTIFY_UNMAP, 0, c->mm, c->addr,
				c->addr + PAGE_SIZE);
	ret = mmu_notifier_invalidate_range_start_nonblock(&c->range);
	mmap_write_unlock(c->mm);
	mmu_notifier_unregister(&mn, c->mm);
	mmap_write_lock(c->mm);
	KUNIT_EXPECT_EQ(test, ret, -EAGAIN);
	mmu_notifier_debug_return();
	EXPECT_QUIET(test, c);
}

/*
 * For the administrator.
 */

/* Once the table is full, each new report is counted, and the first one told. */
static void limit(struct kunit *test)
{
	struct mmu_notifier_debug_seen *seen;
	u32 i, max = ARRAY_SIZE(seen->hash);

	seen = kunit_kzalloc(test, sizeof(*seen), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, seen);
	raw_spin_lock_init(&seen->lock);
	for (i = 0; i < max; i++) {
		KUNIT_EXPECT_EQ(test, mmu_notifier_debug_see(seen, i),
				MMU_NOTIFIER_DEBUG_PRINT);
		KUNIT_EXPECT_EQ(test, mmu_notifier_debug_see(seen, i),
				MMU_NOTIFIER_DEBUG_COUNT);
	}
	KUNIT_EXPECT_EQ(test, seen->repeated, max);
	KUNIT_EXPECT_EQ(test, seen->unprinted, 0);

	KUNIT_EXPECT_EQ(test, mmu_notifier_debug_see(seen, max),
			MMU_NOTIFIER_DEBUG_LIMIT);
	KUNIT_EXPECT_EQ(test, mmu_notifier_debug_see(seen, max + 1),
			MMU_NOTIFIER_DEBUG_COUNT);
	KUNIT_EXPECT_EQ(test, mmu_notifier_debug_see(seen, 0),
			MMU_NOTIFIER_DEBUG_COUNT);
	KUNIT_EXPECT_EQ(test, seen->repeated, max + 1);
	KUNIT_EXPECT_EQ(test, seen->unprinted, 2);
}

static void change_unannounced(struct kunit *test)
{
	struct dctx *c = test->priv;
	pte_t *ptep = lock_pte(test, c->addr);
	pte_t old = ptep_get_and_clear(c->mm, c->addr, ptep);

	set_pte_at(c->mm, c->addr, ptep, old);
	unlock_pte(c, ptep);
}

/*
 *	off  |start    change|  end   start
 *	on                   |change            end  change
 */
static void switched_off(struct kunit *test)
{
	struct dctx *c = test->priv;

	mmu_notifier_debug_switch(false);
	mmap_write_lock(c->mm);
	change_unannounced(test);
	start_one(c, 0, c->addr, 0);
	end_one(c);
	end_one(c);
	EXPECT_QUIET(test, c);
	start_one(c, 0, c->addr, PAGE_SIZE);
	mmap_write_unlock(c->mm);

	/* Here and below something is in flight, which is known all the same. */
	mmu_notifier_debug_switch(true);
	mmap_write_lock(c->mm);
	change_unannounced(test);
	mmap_write_unlock(c->mm);
	EXPECT_QUIET(test, c);
	mmu_notifier_debug_switch(false);
	end_one(c);
	mmap_write_lock(c->mm);
	start_one(c, 0, c->addr, PAGE_SIZE);
	mmap_write_unlock(c->mm);

	mmu_notifier_debug_switch(true);
	end_one(c);
	EXPECT_QUIET(test, c);
	mmap_write_lock(c->mm);
	change_unannounced(test);
	mmap_write_unlock(c->mm);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->addr,
		      c->addr + PAGE_SIZE);
}

/* "Does it work here?" */
static void asked_for(struct kunit *test)
{
	unsigned long reports = mmu_notifier_debug_reports();
	struct dctx *c = test->priv;

	KUNIT_EXPECT_EQ(test, 0, mmu_notifier_debug_try());
	KUNIT_EXPECT_EQ(test, c->nr, 1);
	KUNIT_EXPECT_EQ(test, c->last.kind, MMU_NOTIFIER_DEBUG_CLEAR);
	KUNIT_EXPECT_TRUE(test, c->last.asked);
	c->nr = 0;
	KUNIT_EXPECT_EQ(test, reports, mmu_notifier_debug_reports());

	mmu_notifier_debug_switch(false);
	KUNIT_EXPECT_EQ(test, -ENODATA, mmu_notifier_debug_try());
	mmu_notifier_debug_switch(true);
	EXPECT_QUIET(test, c);

	mmap_write_lock(c->mm);
	change_unannounced(test);
	mmap_write_unlock(c->mm);
	KUNIT_EXPECT_FALSE(test, c->last.asked);
	EXPECT_REPORT(test, c, MMU_NOTIFIER_DEBUG_CLEAR, c->addr,
		      c->addr + PAGE_SIZE);
}

static struct kunit_case debug_cases[] = {
	KUNIT_CASE(clear_pte),
	KUNIT_CASE(clear_by_pte_clear),
	KUNIT_CASE(clear_pmd),
	KUNIT_CASE(clear_hugetlb),
	KUNIT_CASE(clear_by_huge_pte_clear),
	KUNIT_CASE(clear_pud),
	KUNIT_CASE(protect_pte),
	KUNIT_CASE(protect_pmd),
	KUNIT_CASE(replace_pte),
	KUNIT_CASE(detach_table),
	KUNIT_CASE_PARAM(cover, cover_gen_params),
	KUNIT_CASE_PARAM(page, page_gen_params),
	KUNIT_CASE(page_at_end),
	KUNIT_CASE(page_context),
	KUNIT_CASE_PARAM(bounds, bounds_gen_params),
	KUNIT_CASE(locks),
	KUNIT_CASE(lock_of_file),
	KUNIT_CASE(end_without_start),
	KUNIT_CASE(page_without_start),
	KUNIT_CASE(other_task),
	KUNIT_CASE(changed),
	KUNIT_CASE(none),
	KUNIT_CASE(left_open),
	KUNIT_CASE(too_many_open),
	KUNIT_CASE(started_twice),
	KUNIT_CASE(left_by_function),
	KUNIT_CASE(left_by_function_before),
	KUNIT_CASE(left_and_overwritten),
	KUNIT_CASE(left_by_thread),
	KUNIT_CASE(left_by_kthread_work),
	KUNIT_CASE(left_by_work),
	KUNIT_CASE(nested),
	KUNIT_CASE(harmless),
	KUNIT_CASE(prot_none),
	KUNIT_CASE(numa_hinting_fault),
	KUNIT_CASE(looks_away),
	KUNIT_CASE(refused),
	KUNIT_CASE(limit),
	KUNIT_CASE(switched_off),
	KUNIT_CASE(asked_for),
	{}
};

static struct kunit_suite debug_suite = {
	.name = "mmu_notifier_debug",
	.init = dctx_init,
	.test_cases = debug_cases,
};

kunit_test_suite(debug_suite);

MODULE_DESCRIPTION("KUnit tests of CONFIG_DEBUG_MMU_NOTIFIER");
MODULE_LICENSE("GPL");
