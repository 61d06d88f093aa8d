// SPDX-License-Identifier: GPL-2.0
/*
 * CONFIG_DEBUG_MMU_NOTIFIER: is every change of a page table announced?
 *
 * Each task notes the sections that it has open.  Whenever a present entry of
 * user space is cleared, write-protected or pointed elsewhere, or a page table
 * with such entries is taken away, the task that does it must be inside a
 * section of that mm that covers what changes.  Another task's section does not
 * count: that it is open just now would be luck.  So a missing notification is
 * found the first time that its code is run, by any workload, and without a
 * secondary MMU.
 *
 * Not changes: an entry that gains permissions, or young, dirty and software
 * bits in either direction; an entry that user space cannot use (PROT_NONE, the
 * kernel's text-poking mm); an entry of a page table that is not attached any
 * more, its detaching having been judged.
 *
 * What it cannot see: a page table written without the accessors below; another
 * mm that shares a hugetlb page table; a TLB flush that does not reach secondary
 * MMUs; an end that comes before the flush; a wrong event.
 *
 * Locks: current->mmu_notifier_debug is the task's own.  debug_lock protects
 * what has been reported; irqs off, innermost.
 */
#include <linux/debugfs.h>
#include <linux/hugetlb.h>
#include <linux/jhash.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/panic.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/stacktrace.h>
#include <linux/uaccess.h>
#include <kunit/static_stub.h>

#include "mmu_notifier_debug.h"

static DEFINE_RAW_SPINLOCK(debug_lock);
static u32 debug_seen[256];
static unsigned int debug_nr_seen;
static atomic_long_t debug_reports;
static DEFINE_PER_CPU(unsigned long, debug_changes);

static const char * const kinds[] = {
	[MMU_NOTIFIER_DEBUG_CLEAR] = "a present entry is cleared outside a section",
	[MMU_NOTIFIER_DEBUG_PROTECT] = "an entry is write-protected outside a section",
	[MMU_NOTIFIER_DEBUG_REPLACE] = "a present entry is pointed elsewhere outside a section",
	[MMU_NOTIFIER_DEBUG_DETACH] = "a page table in use is taken away outside a section",
	[MMU_NOTIFIER_DEBUG_NO_PAGE] = "invalidate_page does not follow the clearing of an entry",
	[MMU_NOTIFIER_DEBUG_RANGE] = "a section is empty, unaligned or out of bounds",
	[MMU_NOTIFIER_DEBUG_LOCK] = "a section without mmap_lock, VMA lock or reverse-map lock",
	[MMU_NOTIFIER_DEBUG_END] = "an end or invalidate_page without its start",
	[MMU_NOTIFIER_DEBUG_CHANGED] = "a range has changed since its start",
	[MMU_NOTIFIER_DEBUG_OPEN] = "a section is left open",
	[MMU_NOTIFIER_DEBUG_CONTEXT] = "invalidate_page without the page-table lock",
};

static const char * const levels[] = { "PTE", "PMD", "PUD" };

/**
 * mmu_notifier_debug_reports - how much was found wrong since boot
 *
 * Context: any.
 * Return: the number of faults, those included that were too alike to print.
 */
unsigned long mmu_notifier_debug_reports(void)
{
	return atomic_long_read(&debug_reports);
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_reports);

/* Is this the first of its kind from this stack? */
static bool first_of(enum mmu_notifier_debug_kind kind)
{
	unsigned long stack[24], flags;
	unsigned int nr, i;
	bool first = true;
	u32 hash;

	nr = stack_trace_save(stack, ARRAY_SIZE(stack), 2);
	hash = jhash(stack, nr * sizeof(*stack), kind);

	raw_spin_lock_irqsave(&debug_lock, flags);
	for (i = 0; i < debug_nr_seen && first; i++)
		first = debug_seen[i] != hash;
	if (first && debug_nr_seen == ARRAY_SIZE(debug_seen))
		first = false;
	else if (first)
		debug_seen[debug_nr_seen++] = hash;
	raw_spin_unlock_irqrestore(&debug_lock, flags);
	return first;
}

/* KUnit cases take the reports that they provoke. */
void mmu_notifier_debug_report(const struct mmu_notifier_debug_fault *fault)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	unsigned int i;

	KUNIT_STATIC_STUB_REDIRECT(mmu_notifier_debug_report, fault);

	atomic_long_inc(&debug_reports);
	if (!first_of(fault->kind))
		return;

	pr_err("==================================================================\n");
	pr_err("WARNING: mmu_notifier: %s\n", kinds[fault->kind]);
	pr_err("mm %p, %s at %#lx-%#lx, old entry %#lx, new entry %#lx\n",
	       fault->mm, levels[fault->level], fault->start, fault->end,
	       fault->old, fault->new);
	for (i = 0; i < task->nr; i++)
		pr_err("open: mm %p, %#lx-%#lx%s, since %pS\n",
		       task->section[i].mm, task->section[i].start,
		       task->section[i].end,
		       task->section[i].page ? " (one page)" : "",
		       (void *)task->section[i].ip);
	dump_stack();
	pr_err("==================================================================\n");
	add_taint(TAINT_WARN, LOCKDEP_STILL_OK);
	check_panic_on_warn("mmu_notifier");
}

static void report_section(enum mmu_notifier_debug_kind kind,
			   const struct mmu_notifier_range *range)
{
	mmu_notifier_debug_report(&(struct mmu_notifier_debug_fault) {
		.kind = kind,
		.mm = range->mm,
		.start = range->start,
		.end = range->end,
	});
}

static bool debug_off(void)
{
	/* In an interrupt it is not the task that does things. */
	return current->mmu_notifier_debug.off || !in_task();
}

/**
 * mmu_notifier_debug_disable - page tables are changed that nobody uses
 *
 * Until mmu_notifier_debug_enable(), for this task.  For self-tests of page
 * tables, and where an architecture takes an entry apart to put it together
 * again before the page-table lock is dropped.
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

/* Could user space, and so a secondary MMU, use it? */
static bool entry_mapped(unsigned long val)
{
#ifdef CONFIG_X86
	return (val & (_PAGE_PRESENT | _PAGE_USER)) ==
	       (_PAGE_PRESENT | _PAGE_USER);
#else
	return pte_valid(__pte(val));
#endif
}

/* Does the entry of a PMD or PUD map memory, and not a table? */
static bool entry_leaf(unsigned long val)
{
#ifdef CONFIG_X86
	return val & _PAGE_PSE;
#else
	return !(val & PTE_TABLE_BIT);
#endif
}

static bool entry_write(unsigned long val)
{
	return pte_write(__pte(val));
}

/* All levels have it in the same place, but for x86's PAT bit. */
static unsigned long entry_pfn(enum mmu_notifier_level level, unsigned long val)
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

static unsigned long level_size(enum mmu_notifier_level level)
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
static bool entry_find(struct mm_struct *mm, unsigned long addr, void *entry,
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

static struct mmu_notifier_debug_section *
covering(struct mm_struct *mm, unsigned long start, unsigned long end)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	struct mmu_notifier_debug_section *found = NULL;
	unsigned int i;

	for (i = 0; i < task->nr; i++) {
		struct mmu_notifier_debug_section *s = &task->section[i];

		if (s->mm != mm || s->start > start || s->end < end)
			continue;
		/* Who gets a pair needs no invalidate_page. */
		if (!s->page)
			return s;
		found = s;
	}
	return found;
}

/* Does a page table, taken out of the entry @table, map anything? */
static bool table_maps(enum mmu_notifier_level level, unsigned long table)
{
	unsigned long *entry;
	unsigned int i;

	if (level == MMU_NOTIFIER_PUD) {
		entry = (unsigned long *)pud_pgtable(__pud(table));
		for (i = 0; i < PTRS_PER_PMD; i++) {
			unsigned long val = READ_ONCE(entry[i]);

			if (entry_mapped(val) &&
			    (entry_leaf(val) ||
			     table_maps(MMU_NOTIFIER_PMD, val)))
				return true;
		}
		return false;
	}

	entry = (unsigned long *)pmd_page_vaddr(__pmd(table));
	for (i = 0; i < PTRS_PER_PTE; i++)
		if (entry_mapped(READ_ONCE(entry[i])))
			return true;
	return false;
}

static void check_detach(struct mm_struct *mm, unsigned long addr,
			 enum mmu_notifier_level level, unsigned long table)
{
	unsigned long size = level_size(level);

	addr &= ~(size - 1);
	if (covering(mm, addr, addr + size) || !table_maps(level, table))
		return;
	mmu_notifier_debug_report(&(struct mmu_notifier_debug_fault) {
		.kind = MMU_NOTIFIER_DEBUG_DETACH,
		.mm = mm,
		.start = addr,
		.end = addr + size,
		.level = level,
		.old = table,
	});
}

/*
 * A present entry appears where one was cleared: who was to hear of it by
 * invalidate_page() would have both.
 */
static void check_pending(struct mm_struct *mm, unsigned long addr,
			  unsigned long new)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	unsigned int i;

	for (i = 0; i < task->nr; i++) {
		struct mmu_notifier_debug_section *s = &task->section[i];

		if (!s->pending || s->mm != mm ||
		    addr < s->start || addr >= s->end)
			continue;
		s->pending = false;
		mmu_notifier_debug_report(&(struct mmu_notifier_debug_fault) {
			.kind = MMU_NOTIFIER_DEBUG_NO_PAGE,
			.mm = mm,
			.start = s->start,
			.end = s->end,
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
	struct mmu_notifier_debug_section *section;
	enum mmu_notifier_debug_kind kind;
	enum mmu_notifier_level real = level;
	unsigned long size;

	if (mm == &init_mm)
		return;
	if (!entry_mapped(old)) {
		if (entry_mapped(new) && current->mmu_notifier_debug.nr)
			check_pending(mm, addr, new);
		return;
	}
	if (debug_off())
		return;
	if (level != MMU_NOTIFIER_PTE && !entry_leaf(old)) {
		if (!entry_mapped(new) || entry_leaf(new))
			check_detach(mm, addr, level, old);
		return;
	}

	if (!entry_mapped(new))
		kind = MMU_NOTIFIER_DEBUG_CLEAR;
	else if (entry_pfn(level, old) != entry_pfn(level, new))
		kind = MMU_NOTIFIER_DEBUG_REPLACE;
	else if (entry_write(old) && !entry_write(new))
		kind = MMU_NOTIFIER_DEBUG_PROTECT;
	else
		return;
	this_cpu_inc(debug_changes);

	/* For a PTE the leaf's bit has another meaning: look where it is. */
	if (level == MMU_NOTIFIER_PTE && entry_leaf(old) &&
	    !entry_find(mm, addr, entry, &real))
		return;
	size = level_size(real);
	addr &= ~(size - 1);
	section = covering(mm, addr, addr + size);
	if (section) {
		section->pending = section->page;
		return;
	}
	if (!entry_find(mm, addr, entry, &real))
		return;
	mmu_notifier_debug_report(&(struct mmu_notifier_debug_fault) {
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
	unsigned long val = READ_ONCE(*(unsigned long *)entry);

	if (debug_off() || !entry_mapped(val))
		return;
	if (entry_leaf(val))
		__mmu_notifier_debug_entry(mm, addr, entry, level, val, 0);
	else
		check_detach(mm, addr, level, val);
}

/*
 * Sections.
 */

#ifdef CONFIG_LOCKDEP
/*
 * Is something held that keeps a subscriber from coming half-way?  Which VMA it
 * belongs to cannot be told: munmap() and mremap() take VMAs out of the tree
 * while a reverse-map walk still finds them.  So any of these locks will do.
 */
static bool section_locked(const struct mmu_notifier_range *range)
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
static bool section_locked(const struct mmu_notifier_range *range)
{
	return true;
}
#endif

static bool range_ok(const struct mmu_notifier_range *range)
{
	/* exit_mmap() says "everything" so. */
	unsigned long end = range->end == ULONG_MAX ? TASK_SIZE_MAX : range->end;

	return range->start < end && end <= TASK_SIZE_MAX &&
	       PAGE_ALIGNED(range->start) &&
	       (PAGE_ALIGNED(end) || range->end == ULONG_MAX);
}

/**
 * mmu_notifier_debug_start - the task opens a section
 * @range: the section
 *
 * Context: that of mmu_notifier_invalidate_range_start().
 */
void mmu_notifier_debug_start(struct mmu_notifier_range *range)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	struct mmu_notifier_debug_section *section;

	if (task->off)
		return;
	if (!range_ok(range))
		report_section(MMU_NOTIFIER_DEBUG_RANGE, range);
	if (!section_locked(range))
		report_section(MMU_NOTIFIER_DEBUG_LOCK, range);
	if (task->nr == MMU_NOTIFIER_DEBUG_DEPTH) {
		/* A kernel thread never returns to user space. */
		report_section(MMU_NOTIFIER_DEBUG_OPEN, range);
		task->nr = 0;
	}
	section = &task->section[task->nr++];
	section->range = range;
	section->mm = range->mm;
	section->start = range->start;
	section->end = range->end;
	section->page = range->flags & MMU_NOTIFIER_RANGE_PAGE;
	section->pending = false;
	section->ip = _RET_IP_;
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_start);

static struct mmu_notifier_debug_section *
section_of(struct mmu_notifier_range *range)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	struct mmu_notifier_debug_section *section;
	unsigned int i = task->nr;

	while (i--) {
		section = &task->section[i];
		if (section->range != range)
			continue;
		if (section->mm != range->mm || section->start != range->start ||
		    section->end != range->end)
			report_section(MMU_NOTIFIER_DEBUG_CHANGED, range);
		return section;
	}
	/* Else mmu_notifier_range_init_none() was all there was. */
	if (range->mm)
		report_section(MMU_NOTIFIER_DEBUG_END, range);
	return NULL;
}

/**
 * mmu_notifier_debug_end - the task closes a section
 * @range: the section
 *
 * Context: that of mmu_notifier_invalidate_range_end().
 */
void mmu_notifier_debug_end(struct mmu_notifier_range *range)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	struct mmu_notifier_debug_section *section;

	if (task->off)
		return;
	section = section_of(range);
	if (!section)
		return;
	if (section->pending)
		report_section(MMU_NOTIFIER_DEBUG_NO_PAGE, range);
	/* Nearly always the last one. */
	memmove(section, section + 1,
		(char *)&task->section[task->nr] - (char *)(section + 1));
	task->nr--;
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_end);

/**
 * mmu_notifier_debug_page - the task invalidates the page of a section
 * @range: the section
 *
 * Context: that of mmu_notifier_invalidate_page().
 */
void mmu_notifier_debug_page(struct mmu_notifier_range *range)
{
	struct mmu_notifier_debug_section *section;

	if (current->mmu_notifier_debug.off ||
	    !(range->flags & MMU_NOTIFIER_RANGE_PAGE))
		return;
	section = section_of(range);
	if (section)
		section->pending = false;
	/* With PREEMPT_RT one can be preempted under a spinlock. */
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT) && !IS_ENABLED(CONFIG_PREEMPT_RT) &&
	    preemptible())
		report_section(MMU_NOTIFIER_DEBUG_CONTEXT, range);
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_page);

/**
 * mmu_notifier_debug_unlock - the task drops a page-table lock
 *
 * Before that, mmu_notifier_invalidate_page() must have followed each clearing
 * of an entry in a section of one page.
 *
 * Context: atomic.
 */
void mmu_notifier_debug_unlock(void)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;
	unsigned int i;

	if (likely(!task->nr) || task->off)
		return;
	for (i = 0; i < task->nr; i++) {
		struct mmu_notifier_debug_section *s = &task->section[i];

		if (!s->pending)
			continue;
		s->pending = false;
		mmu_notifier_debug_report(&(struct mmu_notifier_debug_fault) {
			.kind = MMU_NOTIFIER_DEBUG_NO_PAGE,
			.mm = s->mm,
			.start = s->start,
			.end = s->end,
		});
	}
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_unlock);

/**
 * mmu_notifier_debug_return - the task goes back to user space, or exits
 *
 * Context: any.
 */
void mmu_notifier_debug_return(void)
{
	struct mmu_notifier_debug_task *task = &current->mmu_notifier_debug;

	if (likely(!task->nr))
		return;
	mmu_notifier_debug_report(&(struct mmu_notifier_debug_fault) {
		.kind = MMU_NOTIFIER_DEBUG_OPEN,
		.mm = task->section[0].mm,
		.start = task->section[0].start,
		.end = task->section[0].end,
	});
	task->nr = 0;
}
EXPORT_SYMBOL_GPL(mmu_notifier_debug_return);

static int debug_show(struct seq_file *m, void *unused)
{
	unsigned long changes = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		changes += per_cpu(debug_changes, cpu);
	seq_printf(m, "changes %lu\nreports %lu\n", changes,
		   mmu_notifier_debug_reports());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(debug);

static int __init debug_init(void)
{
	debugfs_create_file("mmu_notifier_debug", 0400, NULL, NULL, &debug_fops);
	return 0;
}
late_initcall(debug_init);
