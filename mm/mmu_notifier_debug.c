// SPDX-License-Identifier: GPL-2.0
/*
 * CONFIG_DEBUG_MMU_NOTIFIER: is every change of a page table announced?
 *
 * Each task notes the invalidations that it has in flight.  Whenever an entry of
 * user space that maps something is cleared, write-protected or pointed elsewhere,
 * or a page table with such entries is taken away, the task that does it must have
 * an invalidation of that mm in flight that covers what changes.  Another task's
 * invalidation does not count: it would be in flight just now by luck.  So a missing
 * notification is found the first time that its code is run, by any workload, and
 * without a secondary MMU.
 *
 * An entry that is PROT_NONE maps something, too: get_user_pages() finds its page
 * unless the caller honours NUMA hinting faults, or with FOLL_FORCE.
 *
 * Not changes: an entry that gains permissions, or young, dirty and software
 * bits in either direction; an entry that is not user space's (the kernel's
 * text-poking mm); an entry of a page table that is not attached any more: its
 * detaching has been judged.
 *
 * An invalidation whose end is missing must not cover for others for ever.  It is
 * found when the task returns to user space, exits, or is done with a piece of work;
 * and when the task starts another invalidation, changes an entry or sleeps after the
 * stack frame with the range has returned or was used for something else.
 *
 * What it cannot see is listed in Documentation/mmu_notifier.rst.
 *
 * Locks: current->mmu_notifier_debug is the task's own.  mnd_seen has a lock
 * of its own; irqs off, innermost.
 */
#include <linux/debugfs.h>
#include <linux/hugetlb.h>
#include <linux/jhash.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/mm.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/tlb.h>
#include <kunit/static_stub.h>

#include "mmu_notifier_debug.h"

struct static_key_true mmu_notifier_debug_key = STATIC_KEY_TRUE_INIT;
EXPORT_SYMBOL_GPL(mmu_notifier_debug_key);

static struct mmu_notifier_debug_seen mnd_seen = {
	.lock = __RAW_SPIN_LOCK_UNLOCKED(mnd_seen.lock),
};

static atomic_long_t mnd_reports;
static DEFINE_PER_CPU(unsigned long, mnd_changes);

static const char * const mnd_kinds[] = {
	[MMU_NOTIFIER_DEBUG_CLEAR] =
		"an entry is cleared or made PROT_NONE, and no invalidation covers it",
	[MMU_NOTIFIER_DEBUG_PROTECT] =
		"an entry is write-protected, and no invalidation covers it",
	[MMU_NOTIFIER_DEBUG_REPLACE] =
		"an entry is pointed elsewhere, and no invalidation covers it",
	[MMU_NOTIFIER_DEBUG_DETACH] =
		"a page table in use is taken away, and no invalidation covers it",
	[MMU_NOTIFIER_DEBUG_NO_PAGE] =
		"invalidate_page does not follow the clearing of an entry",
	[MMU_NOTIFIER_DEBUG_EMPTY] =
		"an invalidation of an empty range, of which no subscriber is told",
	[MMU_NOTIFIER_DEBUG_RANGE] =
		"an invalidation of a range that is unaligned or out of bounds",
	[MMU_NOTIFIER_DEBUG_LOCK] =
		"an invalidation without mmap_lock, VMA lock or reverse-map lock",
	[MMU_NOTIFIER_DEBUG_END] =
		"an end or invalidate_page without its start",
	[MMU_NOTIFIER_DEBUG_CHANGED] =
		"a range has changed since its start, or is gone",
	[MMU_NOTIFIER_DEBUG_OPEN] =
		"an invalidation is left in flight",
	[MMU_NOTIFIER_DEBUG_CONTEXT] =
		"invalidate_page without the page-table lock",
};

static const char * const mnd_levels[] = { "PTE", "PMD", "PUD" };

/**
 * mmu_notifier_debug_reports - how much was found wrong since boot
 *
 * Context: any.
 * Return: the number of faults, those included that were not printed.
 */
unsigned long mmu_notifier_debug_reports(void)
{
	return atomic_long_read(&mnd_reports);
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_reports);

/**
 * mmu_notifier_debug_see - is a report to be printed?
 * @seen: what has been printed
 * @hash: of the report's call stack and kind
 *
 * Context: any.
 * Return: what is to be done.  The limit is told once, when the first report is
 * not printed for its sake.
 */
enum mmu_notifier_debug_verdict
mmu_notifier_debug_see(struct mmu_notifier_debug_seen *seen, u32 hash)
{
	enum mmu_notifier_debug_verdict verdict = MMU_NOTIFIER_DEBUG_COUNT;
	unsigned long flags;
	unsigned int i;

	raw_spin_lock_irqsave(&seen->lock, flags);
	for (i = 0; i < seen->nr; i++)
		if (seen->hash[i] == hash)
			break;
	if (i < seen->nr) {
		seen->repeated++;
	} else if (seen->nr < ARRAY_SIZE(seen->hash)) {
		seen->hash[seen->nr++] = hash;
		verdict = MMU_NOTIFIER_DEBUG_PRINT;
	} else {
		seen->unprinted++;
		if (!seen->full)
			verdict = MMU_NOTIFIER_DEBUG_LIMIT;
		seen->full = true;
	}
	raw_spin_unlock_irqrestore(&seen->lock, flags);
	return verdict;
}

/* Is the report the first of its kind from this stack? */
static bool mnd_first(enum mmu_notifier_debug_kind kind)
{
	unsigned long stack[24];
	unsigned int nr;

	nr = stack_trace_save(stack, ARRAY_SIZE(stack), 3);
	switch (mmu_notifier_debug_see(&mnd_seen, jhash(stack, nr * sizeof(*stack), kind))) {
	case MMU_NOTIFIER_DEBUG_PRINT:
		return true;
	case MMU_NOTIFIER_DEBUG_LIMIT:
		pr_err("mmu_notifier: %zu different reports have been printed; further ones are counted only (unprinted in debugfs: mmu_notifier_debug)\n",
		       ARRAY_SIZE(mnd_seen.hash));
		return false;
	default:
		return false;
	}
}

/* KUnit cases take the reports that they provoke. */
void mmu_notifier_debug_report(const struct mmu_notifier_debug_fault *fault)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	unsigned int i;

	KUNIT_STATIC_STUB_REDIRECT(mmu_notifier_debug_report, fault);

	if (!fault->asked) {
		atomic_long_inc(&mnd_reports);
		if (!mnd_first(fault->kind))
			return;
	}

	pr_err("==================================================================\n");
	pr_err("WARNING: mmu_notifier: %s\n", mnd_kinds[fault->kind]);
	if (fault->asked)
		pr_err("This was asked for through debugfs: the checker works.\n");
	pr_err("mm %p, %s at %#lx-%#lx, old entry %#lx, new entry %#lx\n",
	       fault->mm, mnd_levels[fault->level], fault->start, fault->end,
	       fault->old, fault->new);
	for (i = 0; i < task->nr; i++)
		pr_err("in flight: mm %p, %#lx-%#lx%s%s, since %pS\n",
		       task->inflight[i].mm, task->inflight[i].start,
		       task->inflight[i].end,
		       task->inflight[i].page ? " (one page)" : "",
		       task->inflight[i].lost ? " (its range is gone)" : "",
		       (void *)task->inflight[i].ip);
	dump_stack();
	pr_err("==================================================================\n");
	if (fault->asked)
		return;
	add_taint(TAINT_WARN, LOCKDEP_STILL_OK);
	check_panic_on_warn("mmu_notifier");
}

static void mnd_report(struct mmu_notifier_debug_fault *fault)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;

	if (!static_branch_likely(&mmu_notifier_debug_key))
		return;
	fault->asked = task->asked;
	task->asked = false;
	mmu_notifier_debug_report(fault);
}

static void mnd_report_range(enum mmu_notifier_debug_kind kind,
			     struct mm_struct *mm, unsigned long start,
			     unsigned long end)
{
	mnd_report(&(struct mmu_notifier_debug_fault) {
		.kind = kind,
		.mm = mm,
		.start = start,
		.end = end,
	});
}

/**
 * mmu_notifier_debug_switch - turn the checker on or off
 * @on: on
 *
 * Invalidations are noted while it is off: it can be turned on while some are in
 * flight.
 *
 * Context: may sleep; not under a lock inside which CPUs come or go.
 */
void mmu_notifier_debug_switch(bool on)
{
	if (on)
		static_branch_enable(&mmu_notifier_debug_key);
	else
		static_branch_disable(&mmu_notifier_debug_key);
}

static bool mnd_off(void)
{
	/* In an interrupt it is not the task that does things. */
	return current->mmu_notifier_debug.off || !in_task();
}

/**
 * mmu_notifier_debug_disable - page tables are changed that are not in use
 *
 * Until mmu_notifier_debug_enable(), for this task.  For self-tests of page
 * tables, and where code takes an entry apart to put it together again before the
 * page-table lock is dropped.
 *
 * Context: any.
 */
void mmu_notifier_debug_disable(void)
{
	current->mmu_notifier_debug.off++;
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_disable);

/**
 * mmu_notifier_debug_enable - undo mmu_notifier_debug_disable()
 *
 * Context: any.
 */
void mmu_notifier_debug_enable(void)
{
	current->mmu_notifier_debug.off--;
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_enable);

/*
 * Entries, of any level, as raw values.
 */

/* What can a secondary MMU find there?  In ascending order of rights. */
enum mnd_state { MND_NONE, MND_PROT_NONE, MND_USER };

static enum mnd_state mnd_state(unsigned long val)
{
#ifdef CONFIG_X86
	if (val & _PAGE_PRESENT)
		return val & _PAGE_USER ? MND_USER : MND_NONE;
	return val & _PAGE_PROTNONE ? MND_PROT_NONE : MND_NONE;
#else
	if (pte_valid(__pte(val)))
		return MND_USER;
	return pte_present_invalid(__pte(val)) ? MND_PROT_NONE : MND_NONE;
#endif
}

/* Does the entry of a PMD or PUD map memory, and not a table? */
static bool mnd_leaf(unsigned long val)
{
#ifdef CONFIG_X86
	return val & _PAGE_PSE;
#else
	return !(val & PTE_TABLE_BIT);
#endif
}

static bool mnd_writable(unsigned long val)
{
	return pte_write(__pte(val));
}

/* Every level has the pfn in the same place, but for x86's PAT bit. */
static unsigned long mnd_pfn(enum mmu_notifier_level level, unsigned long val)
{
	switch (level) {
	case MMU_NOTIFIER_PUD:
		return pud_pfn(__pud(val));
	case MMU_NOTIFIER_PMD:
		return pmd_pfn(__pmd(val));
	default:
		return pte_pfn(__pte(val));
	}
}

static unsigned long mnd_size(enum mmu_notifier_level level)
{
	switch (level) {
	case MMU_NOTIFIER_PUD:
		return PUD_SIZE;
	case MMU_NOTIFIER_PMD:
		return PMD_SIZE;
	default:
		return PAGE_SIZE;
	}
}

/*
 * Where is @entry in the page tables of @mm?  Its level, or false if it is not
 * in them.  The caller has locked the entry; what is above it may go meanwhile,
 * but not be freed: irqs are off, as for a lockless walk.
 */
static bool mnd_find(struct mm_struct *mm, unsigned long addr, void *entry,
		     enum mmu_notifier_level *level)
{
	unsigned long flags;
	bool found = false;
	p4d_t *p4dp, p4d;
	pgd_t *pgdp;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;

	local_irq_save(flags);
	pgdp = pgd_offset(mm, addr);
	if (!pgd_present(READ_ONCE(*pgdp)))
		goto out;
	p4dp = p4d_offset(pgdp, addr);
	p4d = READ_ONCE(*p4dp);
	if (!p4d_present(p4d))
		goto out;
	pudp = pud_offset(p4dp, addr);
	pud = READ_ONCE(*pudp);
	if (pudp == entry) {
		*level = MMU_NOTIFIER_PUD;
		found = true;
		goto out;
	}
	if (!pud_present(pud) || pud_leaf(pud))
		goto out;
	pmdp = pmd_offset(pudp, addr);
	pmd = READ_ONCE(*pmdp);
	if (pmdp == entry) {
		*level = MMU_NOTIFIER_PMD;
		found = true;
		goto out;
	}
	if (!pmd_present(pmd) || pmd_leaf(pmd))
		goto out;
	*level = MMU_NOTIFIER_PTE;
	found = pte_offset_kernel(&pmd, addr) == entry;
out:
	local_irq_restore(flags);
	return found;
}

/*
 * What is in flight.
 */

static void mnd_forget(struct mmu_notifier_debug_inflight *inflight)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;

	/* Nearly always the last one. */
	memmove(inflight, inflight + 1,
		(char *)&task->inflight[task->nr] - (char *)(inflight + 1));
	task->nr--;
}

/*
 * Does the range, in the task's own stack, still say what it said at the start?
 * If it is gone, another function's variables may be there.
 */
static bool mnd_same(const struct mmu_notifier_debug_inflight *inflight)
{
	const struct mmu_notifier_range *range = inflight->range;

	return READ_ONCE_NOCHECK(range->mm) == inflight->mm &&
	       READ_ONCE_NOCHECK(range->start) == inflight->start &&
	       READ_ONCE_NOCHECK(range->end) == inflight->end;
}

/*
 * The end of an invalidation is missing if its range was in a stack frame that has
 * returned.  Stacks grow down, here: @frame is the checker's own, and all frames
 * that are left of its callers are above.
 */
static void mnd_find_lost(unsigned long frame)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	unsigned int i = 0;

	while (i < task->nr) {
		struct mmu_notifier_debug_inflight *inflight = &task->inflight[i];

		if (!object_is_on_stack(inflight->range)) {
			i++;
		} else if ((unsigned long)inflight->range < frame) {
			if (!inflight->lost)
				mnd_report_range(MMU_NOTIFIER_DEBUG_OPEN,
						 inflight->mm, inflight->start,
						 inflight->end);
			mnd_forget(inflight);
		} else {
			if (!inflight->lost && !mnd_same(inflight)) {
				inflight->lost = true;
				mnd_report_range(MMU_NOTIFIER_DEBUG_CHANGED,
						 inflight->mm, inflight->start,
						 inflight->end);
			}
			i++;
		}
	}
}

static struct mmu_notifier_debug_inflight *
mnd_covering(struct mm_struct *mm, unsigned long start, unsigned long end,
	     unsigned long frame)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	struct mmu_notifier_debug_inflight *found = NULL;
	unsigned int i;

	mnd_find_lost(frame);
	for (i = 0; i < task->nr; i++) {
		struct mmu_notifier_debug_inflight *inflight = &task->inflight[i];

		if (inflight->lost || inflight->mm != mm ||
		    inflight->start > start || inflight->end < end)
			continue;
		/* A start/end pair needs no invalidate_page. */
		if (!inflight->page)
			return inflight;
		found = inflight;
	}
	return found;
}

/*
 * Changes.
 */

/* Does a page table, taken out of the entry @table, map anything? */
static bool mnd_table_maps(enum mmu_notifier_level level, unsigned long table)
{
	unsigned long *entry;
	unsigned int i;

	if (level == MMU_NOTIFIER_PUD) {
		entry = (unsigned long *)pud_pgtable(__pud(table));
		for (i = 0; i < PTRS_PER_PMD; i++) {
			unsigned long val = READ_ONCE(entry[i]);

			if (mnd_state(val) != MND_NONE &&
			    (mnd_leaf(val) ||
			     mnd_table_maps(MMU_NOTIFIER_PMD, val)))
				return true;
		}
		return false;
	}

	entry = (unsigned long *)pmd_page_vaddr(__pmd(table));
	for (i = 0; i < PTRS_PER_PTE; i++)
		if (mnd_state(READ_ONCE(entry[i])) != MND_NONE)
			return true;
	return false;
}

static void mnd_check_detach(struct mm_struct *mm, unsigned long addr,
			     enum mmu_notifier_level level, unsigned long table,
			     unsigned long frame)
{
	unsigned long size = mnd_size(level);

	addr &= ~(size - 1);
	if (mnd_covering(mm, addr, addr + size, frame) ||
	    !mnd_table_maps(level, table))
		return;
	mnd_report(&(struct mmu_notifier_debug_fault) {
		.kind = MMU_NOTIFIER_DEBUG_DETACH,
		.mm = mm,
		.start = addr,
		.end = addr + size,
		.level = level,
		.old = table,
	});
}

/*
 * An entry appears where one was cleared: a subscriber that was to be told by
 * invalidate_page() would have both.
 */
static void mnd_check_pending(struct mm_struct *mm, unsigned long addr,
			      unsigned long new)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	unsigned int i;

	for (i = 0; i < task->nr; i++) {
		struct mmu_notifier_debug_inflight *inflight = &task->inflight[i];

		if (!inflight->pending || inflight->mm != mm ||
		    addr < inflight->start || addr >= inflight->end)
			continue;
		inflight->pending = false;
		mnd_report(&(struct mmu_notifier_debug_fault) {
			.kind = MMU_NOTIFIER_DEBUG_NO_PAGE,
			.mm = mm,
			.start = inflight->start,
			.end = inflight->end,
			.new = new,
		});
	}
}

/**
 * __mmu_notifier_debug_entry - an entry changes
 * @mm: whose
 * @addr: what it maps
 * @entry: where it is
 * @level: what it was taken for; a hugetlb page's comes as a PTE
 * @old: the raw value before
 * @new: the raw value after
 *
 * Context: any; the entry is locked.
 */
void __mmu_notifier_debug_entry(struct mm_struct *mm, unsigned long addr,
				void *entry, enum mmu_notifier_level level,
				unsigned long old, unsigned long new)
{
	unsigned long frame = (unsigned long)__builtin_frame_address(0);
	enum mnd_state was = mnd_state(old), is = mnd_state(new);
	struct mmu_notifier_debug_inflight *inflight;
	enum mmu_notifier_debug_kind kind;
	enum mmu_notifier_level real = level;
	unsigned long size;

	if (mm == &init_mm)
		return;
	if (was == MND_NONE) {
		if (is != MND_NONE && current->mmu_notifier_debug.nr)
			mnd_check_pending(mm, addr, new);
		return;
	}
	if (mnd_off())
		return;
	if (level != MMU_NOTIFIER_PTE && !mnd_leaf(old)) {
		if (is == MND_NONE || mnd_leaf(new))
			mnd_check_detach(mm, addr, level, old, frame);
		return;
	}

	if (is < was)
		kind = MMU_NOTIFIER_DEBUG_CLEAR;
	else if (mnd_pfn(level, old) != mnd_pfn(level, new))
		kind = MMU_NOTIFIER_DEBUG_REPLACE;
	else if (mnd_writable(old) && !mnd_writable(new))
		kind = MMU_NOTIFIER_DEBUG_PROTECT;
	else
		return;
	this_cpu_inc(mnd_changes);

	/* For a PTE the leaf's bit has another meaning: find where it is. */
	if (level == MMU_NOTIFIER_PTE && mnd_leaf(old) &&
	    !mnd_find(mm, addr, entry, &real))
		return;
	size = mnd_size(real);
	addr &= ~(size - 1);
	inflight = mnd_covering(mm, addr, addr + size, frame);
	if (inflight) {
		inflight->pending = inflight->page;
		return;
	}
	if (!mnd_find(mm, addr, entry, &real))
		return;
	mnd_report(&(struct mmu_notifier_debug_fault) {
		.kind = kind,
		.mm = mm,
		.start = addr,
		.end = addr + size,
		.level = real,
		.old = old,
		.new = new,
	});
}
EXPORT_SYMBOL_GPL(__mmu_notifier_debug_entry);

/**
 * mmu_notifier_debug_detach - a page table will be taken away
 * @mm: whose
 * @addr: in what it maps
 * @entry: the PMD or PUD that points to it
 * @level: of @entry
 *
 * For code that uses pmd_clear() or pud_clear(), which know neither the mm nor
 * the address.
 *
 * Context: any; the entry is locked.
 */
void mmu_notifier_debug_detach(struct mm_struct *mm, unsigned long addr,
			       void *entry, enum mmu_notifier_level level)
{
	unsigned long frame = (unsigned long)__builtin_frame_address(0);
	unsigned long val = READ_ONCE(*(unsigned long *)entry);

	if (!static_branch_likely(&mmu_notifier_debug_key) || mnd_off() ||
	    mnd_state(val) == MND_NONE)
		return;
	if (mnd_leaf(val))
		__mmu_notifier_debug_entry(mm, addr, entry, level, val, 0);
	else
		mnd_check_detach(mm, addr, level, val, frame);
}

/*
 * Starts and ends.
 */

#ifdef CONFIG_LOCKDEP
/*
 * Is something held that keeps a subscriber from coming half-way?  Which VMA it
 * belongs to cannot be told: munmap() and mremap() take VMAs out of the tree
 * while a reverse-map walk still finds them.  So any of these locks will do.
 */
static bool mnd_locked(const struct mmu_notifier_range *range)
{
	int i;

	if (!debug_locks || lockdep_is_held(&range->mm->mmap_lock))
		return true;
	for (i = 0; i < current->lockdep_depth; i++) {
		const char *name = current->held_locks[i].instance->name;

		if (name && (strstr(name, "i_mmap_rwsem") ||
			     strstr(name, "anon_vma->rwsem") ||
			     strstr(name, "vm_lock->lock")))
			return true;
	}
	return false;
}
#else
static bool mnd_locked(const struct mmu_notifier_range *range)
{
	return true;
}
#endif

static void mnd_check_range(const struct mmu_notifier_range *range)
{
	/* exit_mmap() says "everything" so. */
	unsigned long end = range->end == ULONG_MAX ? TASK_SIZE_MAX : range->end;

	if (range->start == range->end)
		mnd_report_range(MMU_NOTIFIER_DEBUG_EMPTY, range->mm,
				 range->start, range->end);
	else if (range->start > end || end > TASK_SIZE_MAX ||
		 !PAGE_ALIGNED(range->start) ||
		 (!PAGE_ALIGNED(end) && range->end != ULONG_MAX))
		mnd_report_range(MMU_NOTIFIER_DEBUG_RANGE, range->mm,
				 range->start, range->end);
	if (!mnd_locked(range))
		mnd_report_range(MMU_NOTIFIER_DEBUG_LOCK, range->mm,
				 range->start, range->end);
}

/**
 * mmu_notifier_debug_start - the task starts an invalidation
 * @range: what is invalidated
 *
 * Context: that of mmu_notifier_invalidate_range_start().
 */
void mmu_notifier_debug_start(struct mmu_notifier_range *range)
{
	unsigned long frame = (unsigned long)__builtin_frame_address(0);
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	struct mmu_notifier_debug_inflight *inflight;
	unsigned int i;

	if (task->off)
		return;
	if (unlikely(task->nr)) {
		mnd_find_lost(frame);
		/* The same function again: it has left its range in flight. */
		for (i = 0; i < task->nr; i++) {
			inflight = &task->inflight[i];
			if (inflight->range != range)
				continue;
			if (!inflight->lost)
				mnd_report_range(MMU_NOTIFIER_DEBUG_OPEN,
						 inflight->mm, inflight->start,
						 inflight->end);
			mnd_forget(inflight);
			break;
		}
	}
	if (static_branch_likely(&mmu_notifier_debug_key))
		mnd_check_range(range);
	if (task->nr == MMU_NOTIFIER_DEBUG_DEPTH) {
		/* None nests so deeply: ranges that are not on the stack are lost. */
		mnd_report_range(MMU_NOTIFIER_DEBUG_OPEN, range->mm,
				 range->start, range->end);
		task->nr = 0;
	}
	inflight = &task->inflight[task->nr++];
	inflight->range = range;
	inflight->mm = range->mm;
	inflight->start = range->start;
	inflight->end = range->end;
	inflight->page = range->flags & MMU_NOTIFIER_RANGE_PAGE;
	inflight->pending = false;
	inflight->lost = false;
	inflight->ip = _RET_IP_;
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_start);

static struct mmu_notifier_debug_inflight *
mnd_of(struct mmu_notifier_range *range)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	struct mmu_notifier_debug_inflight *inflight;
	unsigned int i = task->nr;

	while (i--) {
		inflight = &task->inflight[i];
		if (inflight->range != range)
			continue;
		if (!inflight->lost &&
		    (inflight->mm != range->mm || inflight->start != range->start ||
		     inflight->end != range->end))
			mnd_report_range(MMU_NOTIFIER_DEBUG_CHANGED, range->mm,
					 range->start, range->end);
		return inflight;
	}
	/* Else mmu_notifier_range_init_none() was all there was. */
	if (range->mm)
		mnd_report_range(MMU_NOTIFIER_DEBUG_END, range->mm,
				 range->start, range->end);
	return NULL;
}

/**
 * mmu_notifier_debug_end - the task ends an invalidation
 * @range: what was invalidated
 *
 * Context: that of mmu_notifier_invalidate_range_end().
 */
void mmu_notifier_debug_end(struct mmu_notifier_range *range)
{
	struct mmu_notifier_debug_inflight *inflight;

	if (current->mmu_notifier_debug.off)
		return;
	inflight = mnd_of(range);
	if (!inflight)
		return;
	if (inflight->pending)
		mnd_report_range(MMU_NOTIFIER_DEBUG_NO_PAGE, range->mm,
				 range->start, range->end);
	mnd_forget(inflight);
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_end);

/**
 * mmu_notifier_debug_page - the task invalidates the page of an invalidation
 * @range: what is invalidated
 *
 * Context: that of mmu_notifier_invalidate_page().
 */
void mmu_notifier_debug_page(struct mmu_notifier_range *range)
{
	struct mmu_notifier_debug_inflight *inflight;

	if (current->mmu_notifier_debug.off ||
	    !(range->flags & MMU_NOTIFIER_RANGE_PAGE))
		return;
	inflight = mnd_of(range);
	if (inflight)
		inflight->pending = false;
	/* With PREEMPT_RT one can be preempted under a spinlock. */
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT) && !IS_ENABLED(CONFIG_PREEMPT_RT) &&
	    preemptible())
		mnd_report_range(MMU_NOTIFIER_DEBUG_CONTEXT, range->mm,
				 range->start, range->end);
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_page);

/**
 * __mmu_notifier_debug_unlock - the task drops a page-table lock
 *
 * Before that, mmu_notifier_invalidate_page() must have followed each clearing
 * of an entry in an invalidation of one page.
 *
 * Context: atomic.
 */
void __mmu_notifier_debug_unlock(void)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	unsigned int i;

	if (task->off)
		return;
	for (i = 0; i < task->nr; i++) {
		struct mmu_notifier_debug_inflight *inflight = &task->inflight[i];

		if (!inflight->pending)
			continue;
		inflight->pending = false;
		mnd_report_range(MMU_NOTIFIER_DEBUG_NO_PAGE, inflight->mm,
				 inflight->start, inflight->end);
	}
}
EXPORT_SYMBOL_GPL(__mmu_notifier_debug_unlock);

/**
 * __mmu_notifier_debug_schedule - the task sleeps
 *
 * It may do so with an invalidation in flight, but for one that has lost its
 * stack frame: that was left in flight, as by a kernel thread that is back in its
 * main loop.
 *
 * Context: any.
 */
void __mmu_notifier_debug_schedule(void)
{
	mnd_find_lost((unsigned long)__builtin_frame_address(0));
}

/**
 * __mmu_notifier_debug_return - nothing may be in flight any more
 *
 * The task returns to user space, exits, or is done with a piece of work.
 *
 * Context: any.
 */
void __mmu_notifier_debug_return(void)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	unsigned int i;

	/* What is lost has been reported. */
	for (i = 0; i < task->nr && task->inflight[i].lost; i++)
		;
	if (i < task->nr)
		mnd_report_range(MMU_NOTIFIER_DEBUG_OPEN, task->inflight[i].mm,
				 task->inflight[i].start,
				 task->inflight[i].end);
	task->nr = 0;
}
EXPORT_SYMBOL_GPL(__mmu_notifier_debug_return);

/*
 * For the administrator.
 */

/**
 * mmu_notifier_debug_try - does the checker work here?
 *
 * Clears an entry of an address space that is not in use, without an invalidation.
 * That must be reported.  The report is marked and does not count as a fault.
 *
 * Context: may sleep; no lock.
 * Return: 0, -ENOMEM, or -ENODATA if there was no report.
 */
int mmu_notifier_debug_try(void)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	const unsigned long addr = PUD_SIZE;
	struct mm_struct *mm = mm_alloc();
	struct mmu_gather tlb;
	int ret = -ENOMEM;
	spinlock_t *ptl;	/* of the entry */
	pte_t *ptep;

	if (!mm)
		return ret;
	mmap_write_lock(mm);
	ptep = get_locked_pte(mm, addr, &ptl);
	if (ptep) {
		set_pte_at(mm, addr, ptep,
			   pte_mkspecial(pfn_pte(my_zero_pfn(addr),
						 PAGE_READONLY)));
		/* What else is wrong is reported first, and is not what was asked for. */
		mnd_find_lost((unsigned long)__builtin_frame_address(0));
		task->asked = true;
		ptep_get_and_clear(mm, addr, ptep);
		ret = task->asked ? -ENODATA : 0;
		task->asked = false;
		pte_unmap_unlock(ptep, ptl);
	}
	/* No VMA is there by which exit_mmap() would find the page table. */
	tlb_gather_mmu(&tlb, mm);
	free_pgd_range(&tlb, addr, addr + PAGE_SIZE, 0, 0);
	tlb_finish_mmu(&tlb);
	mmap_write_unlock(mm);
	mmput(mm);
	return ret;
}

static int mnd_show(struct seq_file *m, void *unused)
{
	unsigned long changes = 0, repeated, unprinted;
	int cpu;

	for_each_possible_cpu(cpu)
		changes += READ_ONCE(per_cpu(mnd_changes, cpu));
	raw_spin_lock_irq(&mnd_seen.lock);
	repeated = mnd_seen.repeated;
	unprinted = mnd_seen.unprinted;
	raw_spin_unlock_irq(&mnd_seen.lock);
	seq_printf(m, "enabled %d\nchanges %lu\nreports %lu\nrepeated %lu\nunprinted %lu\n",
		   static_key_enabled(&mmu_notifier_debug_key), changes,
		   mmu_notifier_debug_reports(), repeated, unprinted);
	return 0;
}

static int mnd_open(struct inode *inode, struct file *file)
{
	return single_open(file, mnd_show, NULL);
}

static ssize_t mnd_write(struct file *file, const char __user *buf,
			 size_t count, loff_t *pos)
{
	char word[8] = "";
	int ret;

	if (count >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, buf, count))
		return -EFAULT;
	if (strcmp(strim(word), "test"))
		return -EINVAL;
	ret = mmu_notifier_debug_try();
	return ret ?: count;
}

static const struct file_operations mnd_fops = {
	.owner = THIS_MODULE,
	.open = mnd_open,
	.read = seq_read,
	.write = mnd_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int mnd_set_enabled(const char *val, const struct kernel_param *kp)
{
	bool on;
	int ret = kstrtobool(val, &on);

	if (!ret)
		mmu_notifier_debug_switch(on);
	return ret;
}

static int mnd_get_enabled(char *buf, const struct kernel_param *kp)
{
	return scnprintf(buf, PAGE_SIZE, "%c\n",
			 static_key_enabled(&mmu_notifier_debug_key) ? 'Y' : 'N');
}

static const struct kernel_param_ops mnd_enabled_ops = {
	.set = mnd_set_enabled,
	.get = mnd_get_enabled,
};

module_param_cb(enabled, &mnd_enabled_ops, NULL, 0600);
MODULE_PARM_DESC(enabled, "Whether changes of page tables are judged (default Y)");

static int __init mnd_init(void)
{
	debugfs_create_file("mmu_notifier_debug", 0600, NULL, NULL, &mnd_fops);
	return 0;
}
late_initcall(mnd_init);
