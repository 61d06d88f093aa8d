// SPDX-License-Identifier: GPL-2.0-only
/*
 * A secondary MMU in software, which is its own oracle.
 *
 * A mirror has an spte for each page of a range of a process's address space:
 * which page is there, and whether it may be written.  It holds no reference to
 * any page.  It faults entries in as KVM or a GPU driver would, and drops them
 * when it is notified; kernel threads read and write through them meanwhile.
 *
 * The oracle: where an spte is, the CPU's entry maps the same page, and allows
 * to write if the spte does; and no page goes back to the allocator that an spte
 * maps.  The comparison locks the CPU's entry, so that no task is between the
 * clearing of the entry and invalidate_page().  What violates this is reported
 * and dropped: a test can go on, and nothing else is harmed.
 *
 * Locks, outermost first:
 *
 *	mirror.mutex	the life cycle: attached, with threads.  No callback
 *			takes it
 *	mmap_lock	to fault in, and to compare other than at an end
 *	hugetlb's lock	of the VMA, to compare there: shared tables go under
 *			it, without mmap_lock
 *	page-table lock	of an entry that is compared
 *	mirror_lock	every spte of every mirror, all_mirrors, live_pfns,
 *			in_flight, stats and log.  Interrupts off: pages are
 *			freed anywhere.  Memory is touched under it, as hardware
 *			does not use an entry any more once a shootdown is over
 */
#include <linux/bitops.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/jump_label.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/panic.h>
#include <linux/prandom.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "mmu_notifier_mirror.h"
#include "mmu_notifier_mirror_free.h"

/* An spte: the page's number, and what can be done with it. */
#define SPTE_PRESENT	BIT(0)
#define SPTE_WRITE	BIT(1)
#define SPTE_ACCESSED	BIT(2)
/* MIRROR_TLB: cached from a huge entry, of which a flush takes all or nothing. */
#define SPTE_HUGE	BIT(3)

#define MAX_RANGE	SZ_1G
#define MAX_THREADS	8
#define MAX_PRINTED	10
/*
 * A thread that follows the CPU's table rests between two passes, this many times as
 * long as the pass took, and at least so many ms: the program is to get on.
 */
#define FOLLOW_REST	8
#define FOLLOW_MS	10

/* How many pages a thread's access, or an interval's fault, has compared. */
#define CHECK_PAGES	8

/**
 * struct mirror - one file
 * @mn: flavours other than MIRROR_INTERVAL
 * @mni: MIRROR_INTERVAL
 * @ops: of @mn
 * @mutex: see the legend
 * @attached: subscribed
 * @mm: the process's; referenced by the subscription
 * @start: first byte
 * @end: exclusive
 * @flavour: how it is notified
 * @spte: one for each page of the range
 * @all: in all_mirrors
 * @dead: released; nothing is mapped any more
 * @in_flight: invalidations that overlap the range
 * @seq: grows with each invalidation that a lookup may have missed
 * @fork_flags: MIRROR_FORK*
 * @fork_error: with which the next fork() is to fail; under mirror_lock
 * @child: subscribed to a child, if it has an mm
 * @stats: for the user
 * @log: for the user; under mirror_lock
 * @job: what the threads shall do
 * @threads: running, or done and not yet waited for
 * @nr_threads: how many
 * @done: those of them that have done their job
 * @wait: for @done
 */
struct mirror {
	union {
		struct mmu_notifier mn;
		struct mmu_interval_notifier mni;
	};
	struct mmu_notifier_ops ops;
	struct mutex mutex;	/* see the legend above */
	bool attached;
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	u32 flavour;
	unsigned long *spte;
	struct list_head all;
	bool dead;
	unsigned int in_flight;
	unsigned long seq;
	u32 fork_flags;
	u32 fork_error;
	struct mmu_notifier child;
	struct mirror_stats stats;
	struct mirror_log log;
	struct mirror_threads job;
	struct task_struct *threads[MAX_THREADS];
	unsigned int nr_threads;
	atomic_t done;
	wait_queue_head_t wait;
};

/* What the CPU has at an address, with the lock that keeps it so. */
struct cpu_entry {
	bool present;
	bool write;
	bool dirty;
	unsigned long pfn;
	unsigned long raw;
	const char *level;
	spinlock_t *ptl;	/* held, unless NULL */
	pte_t *map;		/* to be unmapped, unless NULL */
};

static DEFINE_SPINLOCK(mirror_lock);
static LIST_HEAD(all_mirrors);
/* How many sptes map a page; so that there is no search in vain. */
static DEFINE_XARRAY_FLAGS(live_pfns, XA_FLAGS_LOCK_IRQ);
static atomic_long_t all_violations;
/* Of the mirrors that are detached: how many, and the sums of their stats. */
static atomic_long_t all_attached, all_notified, all_entries, all_checks;
DEFINE_STATIC_KEY_FALSE(mmu_notifier_mirrors);

static const char * const flavours[] = { "list", "page", "interval", "tlb" };

static unsigned long spte_pfn(unsigned long spte)
{
	return spte >> PAGE_SHIFT;
}

static unsigned long spte_addr(struct mirror *m, unsigned long i)
{
	return m->start + (i << PAGE_SHIFT);
}

/*
 * The table.
 */

static void spte_drop(struct mirror *m, unsigned long i)
{
	unsigned long spte = m->spte[i];
	unsigned long users;

	lockdep_assert_held(&mirror_lock);
	if (!spte)
		return;
	WRITE_ONCE(m->spte[i], 0);
	m->stats.live--;
	users = xa_to_value(xa_load(&live_pfns, spte_pfn(spte))) - 1;
	if (users)
		xa_store(&live_pfns, spte_pfn(spte), xa_mk_value(users),
			 GFP_ATOMIC);
	else
		xa_erase(&live_pfns, spte_pfn(spte));
}

static bool spte_set(struct mirror *m, unsigned long i, unsigned long pfn,
		     unsigned long bits)
{
	unsigned long spte = pfn << PAGE_SHIFT | bits | SPTE_PRESENT;
	unsigned long users = 0;
	void *entry;

	lockdep_assert_held(&mirror_lock);
	if ((m->spte[i] & ~SPTE_ACCESSED) == spte)
		return true;
	spte_drop(m, i);
	entry = xa_load(&live_pfns, pfn);
	if (entry)
		users = xa_to_value(entry);
	if (xa_err(xa_store(&live_pfns, pfn, xa_mk_value(users + 1),
			    GFP_ATOMIC | __GFP_NOWARN)))
		return false;
	WRITE_ONCE(m->spte[i], spte);
	m->stats.live++;
	m->stats.faults++;
	return true;
}

/* The first live spte in [i, end), or @end; without the lock, just a hint. */
static unsigned long next_live(struct mirror *m, unsigned long i,
			       unsigned long end)
{
	while (i < end && !READ_ONCE(m->spte[i]))
		i++;
	return i;
}

/* What [start, end) is in the mirror; false if it is nothing. */
static bool clip(struct mirror *m, unsigned long start, unsigned long end,
		 unsigned long *first, unsigned long *last)
{
	start = max(start, m->start);
	end = min(end, m->end);
	if (start >= end)
		return false;
	*first = (start - m->start) >> PAGE_SHIFT;
	*last = (end - m->start + PAGE_SIZE - 1) >> PAGE_SHIFT;
	return true;
}

static void drop_range(struct mirror *m, unsigned long i, unsigned long end)
{
	for (i = next_live(m, i, end); i < end; i = next_live(m, i + 1, end)) {
		/* What was accessed is not to be forgotten with the entry. */
		if (m->spte[i] & SPTE_ACCESSED)
			folio_set_referenced(pfn_folio(spte_pfn(m->spte[i])));
		spte_drop(m, i);
		m->stats.dropped++;
	}
}

static void protect_range(struct mirror *m, unsigned long i, unsigned long end)
{
	for (i = next_live(m, i, end); i < end; i = next_live(m, i + 1, end)) {
		if (!(m->spte[i] & SPTE_WRITE))
			continue;
		WRITE_ONCE(m->spte[i], m->spte[i] & ~SPTE_WRITE);
		m->stats.protected++;
	}
}

/* As little as the event allows: an event that says too little is found so. */
static void obey(struct mirror *m, const struct mmu_notifier_range *range,
		 unsigned long first, unsigned long last)
{
	m->stats.last_event = range->event;
	if (range->event == MMU_NOTIFY_PROTECTION_PAGE ||
	    range->event == MMU_NOTIFY_SOFT_DIRTY)
		protect_range(m, first, last);
	else
		drop_range(m, first, last);
}

/*
 * The oracle.
 */

static void violation(struct mirror *m, const char *what, unsigned long addr,
		      unsigned long spte, const struct cpu_entry *cpu,
		      const char *when)
{
	atomic_long_inc(&all_violations);
	if (m->stats.violations++ >= MAX_PRINTED)
		return;
	pr_err("==================================================================\n");
	pr_err("WARNING: mmu_notifier_mirror: VIOLATION: %s\n", what);
	pr_err("address %#lx, flavour %s, %s, last event %llu\n", addr,
	       flavours[m->flavour], when, m->stats.last_event);
	if (spte)
		pr_err("spte: pfn %#lx%s\n", spte_pfn(spte),
		       spte & SPTE_WRITE ? ", writable" : "");
	if (cpu)
		pr_err("CPU: %s %#lx%s%s\n", cpu->level, cpu->raw,
		       cpu->present ? ", present" : "",
		       cpu->write ? ", writable" : "");
	dump_stack();
	pr_err("==================================================================\n");
	add_taint(TAINT_WARN, LOCKDEP_STILL_OK);
	check_panic_on_warn("mmu_notifier_mirror");
}

static void entry_of_pte(struct cpu_entry *cpu, pte_t pte)
{
	cpu->raw = pte_val(pte);
	cpu->level = "PTE";
	cpu->present = pte_present(pte) && !pte_protnone(pte);
	cpu->pfn = pte_pfn(pte);
	cpu->write = cpu->present && pte_write(pte);
	cpu->dirty = pte_dirty(pte);
}

/*
 * Find and lock the CPU's entry.  The upper tables stay: the caller holds a lock
 * that is needed to free them, see mirror_end() and check_mapped().
 */
static void entry_lock(struct mm_struct *mm, unsigned long addr,
		       struct cpu_entry *cpu)
{
	p4d_t *p4dp, p4d;
	pgd_t *pgdp;
	pud_t *pudp, pud;
	pmd_t *pmdp, pmd;

	memset(cpu, 0, sizeof(*cpu));
	cpu->level = "no table";
	pgdp = pgd_offset(mm, addr);
	if (pgd_none_or_clear_bad(pgdp))
		return;
	p4dp = p4d_offset(pgdp, addr);
	p4d = READ_ONCE(*p4dp);
	if (!p4d_present(p4d))
		return;
	pudp = pud_offset(p4dp, addr);
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud))
		return;
	if (pud_leaf(pud)) {
		cpu->ptl = pud_lock(mm, pudp);
		pud = READ_ONCE(*pudp);
		cpu->raw = pud_val(pud);
		cpu->level = "PUD";
		cpu->present = pud_present(pud) && pud_leaf(pud);
		cpu->write = cpu->present && pud_write(pud);
		cpu->dirty = pte_dirty(__pte(pud_val(pud)));
		cpu->pfn = pud_pfn(pud) + ((addr & ~PUD_MASK) >> PAGE_SHIFT);
		__release(cpu->ptl);	/* held until entry_unlock() */
		return;
	}
	pmdp = pmd_offset(pudp, addr);
again:
	cpu->ptl = pmd_lock(mm, pmdp);
	pmd = READ_ONCE(*pmdp);
	if (pmd_none(pmd) || !pmd_present(pmd) || pmd_leaf(pmd)) {
		cpu->raw = pmd_val(pmd);
		cpu->level = "PMD";
		cpu->present = pmd_present(pmd) && pmd_leaf(pmd) &&
			       !pmd_protnone(pmd);
		cpu->write = cpu->present && pmd_write(pmd);
		cpu->dirty = pmd_dirty(pmd);
		cpu->pfn = pmd_pfn(pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT);
		__release(cpu->ptl);	/* held until entry_unlock() */
		return;
	}
	spin_unlock(cpu->ptl);
	/* Without the underscores sparse would want it unlocked here. */
	cpu->map = __pte_offset_map_lock(mm, pmdp, addr, &cpu->ptl);
	if (!cpu->map) {
		cpu->ptl = NULL;
		goto again;
	}
	entry_of_pte(cpu, ptep_get(cpu->map));
}

static void entry_unlock(struct cpu_entry *cpu)
{
	if (cpu->ptl) {
		__acquire(cpu->ptl);	/* by entry_lock() */
		spin_unlock(cpu->ptl);
	}
	if (cpu->map) {
		__acquire(RCU);
		pte_unmap(cpu->map);
	}
}

/* Why may the spte not be as it is?  NULL if it may. */
static const char *wrong(unsigned long spte, const struct cpu_entry *cpu)
{
	if (!cpu->present)
		return "the CPU maps nothing there";
	if (cpu->pfn != spte_pfn(spte))
		return "the CPU maps another page";
	if ((spte & SPTE_WRITE) && !cpu->write)
		return "the CPU may not write";
	return NULL;
}

static void check_one(struct mirror *m, unsigned long i, const char *when)
{
	unsigned long addr = spte_addr(m, i), flags, spte;
	const char *what = NULL;
	struct cpu_entry cpu;

	entry_lock(m->mm, addr, &cpu);
	spin_lock_irqsave(&mirror_lock, flags);
	spte = m->spte[i];
	if (spte) {
		m->stats.checks++;
		what = wrong(spte, &cpu);
		if (what)
			spte_drop(m, i);
	}
	spin_unlock_irqrestore(&mirror_lock, flags);
	entry_unlock(&cpu);
	if (what)
		violation(m, what, addr, spte, &cpu, when);
}

static void check_range(struct mirror *m, unsigned long i, unsigned long end,
			const char *when)
{
	for (i = next_live(m, i, end); i < end; i = next_live(m, i + 1, end))
		check_one(m, i, when);
}

/*
 * As check_one(), not within an invalidation.  A VMA's tables are not freed under
 * mmap_lock, those of one that is being unmapped can be.
 */
static bool check_mapped(struct mirror *m, unsigned long i, const char *when)
{
	struct vm_area_struct *vma = vma_lookup(m->mm, spte_addr(m, i));
	bool hugetlb = vma && is_vm_hugetlb_page(vma);

	mmap_assert_locked(m->mm);
	if (!vma)
		return false;
	if (hugetlb)
		hugetlb_vma_lock_read(vma);
	check_one(m, i, when);
	if (hugetlb)
		hugetlb_vma_unlock_read(vma);
	return true;
}

/*
 * A few around an access, while others invalidate.  What is live is mapped at
 * any time, but for a TLB: between the CPU's entry and its flush it is stale.
 */
static void check_some(struct mirror *m, unsigned long i, const char *when)
{
	unsigned long nr = (m->end - m->start) >> PAGE_SHIFT;
	unsigned long end = min(i + CHECK_PAGES, nr);

	if (m->flavour == MIRROR_TLB)
		return;
	for (i = next_live(m, i, end); i < end; i = next_live(m, i + 1, end))
		check_mapped(m, i, when);
}

/* All of it, while nothing else happens to the range. */
static void check_all(struct mirror *m)
{
	unsigned long i, nr = (m->end - m->start) >> PAGE_SHIFT;
	struct mm_struct *mm = m->mm;

	if (!mmget_not_zero(mm))
		return;
	mmap_read_lock(mm);
	for (i = next_live(m, 0, nr); i < nr; i = next_live(m, i + 1, nr)) {
		unsigned long flags, spte;

		cond_resched();
		if (check_mapped(m, i, "on demand"))
			continue;
		spin_lock_irqsave(&mirror_lock, flags);
		spte = m->spte[i];
		spte_drop(m, i);
		spin_unlock_irqrestore(&mirror_lock, flags);
		if (spte)
			violation(m, "there is no VMA", spte_addr(m, i), spte,
				  NULL, "on demand");
	}
	mmap_read_unlock(mm);
	mmput_async(mm);
}

/*
 * A page goes back to the allocator: no spte may map it.  Any context.
 */
void __mmu_notifier_mirror_free(struct page *page, unsigned int order)
{
	unsigned long pfn = page_to_pfn(page), last = pfn + (1UL << order) - 1;
	unsigned long i, nr, flags, spte;
	struct mirror *m;

	for (; xa_find(&live_pfns, &pfn, last, XA_PRESENT); pfn++) {
		/* Under the lock: no mirror can go meanwhile. */
		spin_lock_irqsave(&mirror_lock, flags);
		list_for_each_entry(m, &all_mirrors, all) {
			nr = (m->end - m->start) >> PAGE_SHIFT;
			for (i = next_live(m, 0, nr); i < nr;
			     i = next_live(m, i + 1, nr)) {
				spte = m->spte[i];
				if (spte_pfn(spte) != pfn)
					continue;
				spte_drop(m, i);
				violation(m, "the page is freed",
					  spte_addr(m, i), spte, NULL,
					  "at free");
			}
		}
		spin_unlock_irqrestore(&mirror_lock, flags);
		if (pfn == last)
			break;
	}
}

/*
 * Notifications.
 */

/* For tests that say what a subscriber may be told at most. */
static void record(struct mirror *m, enum mirror_call call, unsigned long start,
		   unsigned long end, unsigned int event)
{
	struct mirror_log *log = &m->log;

	lockdep_assert_held(&mirror_lock);
	if (log->nr == MIRROR_RECORDS) {
		log->lost++;
		return;
	}
	log->record[log->nr++] = (struct mirror_record) {
		.start = start,
		.end = end,
		.call = call,
		.event = event,
	};
}

static void record_range(struct mirror *m, enum mirror_call call,
			 const struct mmu_notifier_range *range)
{
	unsigned long flags;

	spin_lock_irqsave(&mirror_lock, flags);
	record(m, call, range->start, range->end, range->event);
	spin_unlock_irqrestore(&mirror_lock, flags);
}

static int mirror_start(struct mmu_notifier *mn,
			const struct mmu_notifier_range *range)
{
	struct mirror *m = container_of(mn, struct mirror, mn);
	unsigned long first, last, flags;

	record_range(m, MIRROR_STARTS, range);
	if (!clip(m, range->start, range->end, &first, &last))
		return 0;
	spin_lock_irqsave(&mirror_lock, flags);
	m->stats.starts++;
	m->in_flight++;
	obey(m, range, first, last);
	spin_unlock_irqrestore(&mirror_lock, flags);
	return 0;
}

/*
 * The caller still holds mmap_lock, the VMA's or a reverse-map lock: the tables
 * stay, as free_pgtables() comes after all of these.
 */
static void mirror_end(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	struct mirror *m = container_of(mn, struct mirror, mn);
	unsigned long first, last, flags;
	bool unbalanced;

	record_range(m, MIRROR_ENDS, range);
	if (!clip(m, range->start, range->end, &first, &last))
		return;
	check_range(m, first, last, "at an end");
	spin_lock_irqsave(&mirror_lock, flags);
	m->stats.ends++;
	unbalanced = !m->in_flight;
	if (!unbalanced)
		m->in_flight--;
	m->seq++;
	spin_unlock_irqrestore(&mirror_lock, flags);
	if (unbalanced)
		violation(m, "an end without a start", range->start, 0, NULL,
			  "at an end");
}

/* The entry is cleared, or about to be something less; its lock is held. */
static void mirror_page(struct mmu_notifier *mn,
			const struct mmu_notifier_range *range)
{
	struct mirror *m = container_of(mn, struct mirror, mn);
	unsigned long first, last, flags;

	record_range(m, MIRROR_ONE_PAGE, range);
	if (!clip(m, range->start, range->end, &first, &last))
		return;
	spin_lock_irqsave(&mirror_lock, flags);
	m->stats.pages++;
	m->seq++;
	obey(m, range, first, last);
	spin_unlock_irqrestore(&mirror_lock, flags);
}

static void mirror_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct mirror *m = container_of(mn, struct mirror, mn);
	unsigned long flags;
	bool twice;

	spin_lock_irqsave(&mirror_lock, flags);
	drop_range(m, 0, (m->end - m->start) >> PAGE_SHIFT);
	twice = m->dead;
	m->dead = true;
	m->stats.releases++;
	spin_unlock_irqrestore(&mirror_lock, flags);
	if (twice)
		violation(m, "released twice", m->start, 0, NULL, "at release");
}

static int young(struct mirror *m, unsigned long start, unsigned long end,
		 bool clear, u64 *calls)
{
	unsigned long i, last, flags;
	int found = 0;

	if (!clip(m, start, end, &i, &last))
		return 0;
	spin_lock_irqsave(&mirror_lock, flags);
	(*calls)++;
	for (i = next_live(m, i, last); i < last; i = next_live(m, i + 1, last)) {
		found |= m->spte[i] & SPTE_ACCESSED;
		if (clear)
			WRITE_ONCE(m->spte[i], m->spte[i] & ~SPTE_ACCESSED);
	}
	spin_unlock_irqrestore(&mirror_lock, flags);
	return !!found;
}

static int mirror_clear_flush_young(struct mmu_notifier *mn,
				    struct mm_struct *mm, unsigned long start,
				    unsigned long end)
{
	struct mirror *m = container_of(mn, struct mirror, mn);

	return young(m, start, end, true, &m->stats.clear_flush_young);
}

static int mirror_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
			      unsigned long start, unsigned long end)
{
	struct mirror *m = container_of(mn, struct mirror, mn);

	return young(m, start, end, true, &m->stats.clear_young);
}

static int mirror_test_young(struct mmu_notifier *mn, struct mm_struct *mm,
			     unsigned long addr)
{
	struct mirror *m = container_of(mn, struct mirror, mn);

	addr &= PAGE_MASK;
	return young(m, addr, addr + PAGE_SIZE, false, &m->stats.test_young);
}

static void mirror_tlbs(struct mmu_notifier *mn, struct mm_struct *mm,
			unsigned long start, unsigned long end)
{
	struct mirror *m = container_of(mn, struct mirror, mn);
	unsigned long first, last, i, huge_last, flags;
	bool inside = clip(m, start & PAGE_MASK, end, &first, &last);
	bool flushed = inside;

	spin_lock_irqsave(&mirror_lock, flags);
	record(m, MIRROR_FLUSHES, start, end, 0);
	/* By one address of a huge page all of it is flushed, as on the CPU. */
	end = end > PMD_MASK ? end : ALIGN(end, PMD_SIZE);
	if (!clip(m, start & PMD_MASK, end, &i, &huge_last))
		goto out;
	m->seq++;
	for (i = next_live(m, i, huge_last); i < huge_last;
	     i = next_live(m, i + 1, huge_last))
		if ((inside && i >= first && i < last) ||
		    (m->spte[i] & SPTE_HUGE)) {
			drop_range(m, i, i + 1);
			flushed = true;
		}
	m->stats.flushes += flushed;
out:
	spin_unlock_irqrestore(&mirror_lock, flags);
}

static bool mirror_invalidate(struct mmu_interval_notifier *mni,
			      const struct mmu_notifier_range *range,
			      unsigned long cur_seq)
{
	struct mirror *m = container_of(mni, struct mirror, mni);
	unsigned long first, last, flags;

	spin_lock_irqsave(&mirror_lock, flags);
	mmu_interval_set_seq(mni, cur_seq);
	record(m, MIRROR_STARTS, range->start, range->end, range->event);
	if (clip(m, range->start, range->end, &first, &last)) {
		if (range->event == MMU_NOTIFY_RELEASE) {
			m->stats.releases++;
			m->dead = true;
		} else {
			m->stats.starts++;
		}
		obey(m, range, first, last);
	}
	spin_unlock_irqrestore(&mirror_lock, flags);
	return true;
}

static const struct mmu_notifier_ops list_ops = {
	.release = mirror_release,
	.clear_flush_young = mirror_clear_flush_young,
	.clear_young = mirror_clear_young,
	.test_young = mirror_test_young,
	.invalidate_range_start = mirror_start,
	.invalidate_range_end = mirror_end,
};

static const struct mmu_notifier_ops page_ops = {
	.release = mirror_release,
	.clear_flush_young = mirror_clear_flush_young,
	.clear_young = mirror_clear_young,
	.test_young = mirror_test_young,
	.invalidate_range_start = mirror_start,
	.invalidate_range_end = mirror_end,
	.invalidate_page = mirror_page,
};

static const struct mmu_notifier_ops tlb_ops = {
	.release = mirror_release,
	.arch_invalidate_secondary_tlbs = mirror_tlbs,
};

static const struct mmu_interval_notifier_ops interval_ops = {
	.invalidate = mirror_invalidate,
};

/*
 * Faults.
 */

/* Begin a lookup; false: wait a bit, something is being invalidated. */
static bool lookup_begin(struct mirror *m, unsigned long *seq)
{
	unsigned long flags;
	bool quiet;

	if (m->flavour == MIRROR_INTERVAL) {
		*seq = mmu_interval_read_begin(&m->mni);
		return true;
	}
	spin_lock_irqsave(&mirror_lock, flags);
	*seq = m->seq;
	quiet = !m->in_flight;
	spin_unlock_irqrestore(&mirror_lock, flags);
	return quiet;
}

/* Under mirror_lock: was it in vain? */
static bool lookup_retry(struct mirror *m, unsigned long seq)
{
	if (m->flavour == MIRROR_INTERVAL)
		return mmu_interval_read_retry(&m->mni, seq);
	return m->in_flight || m->seq != seq;
}

/*
 * Map what the CPU maps, as check_mapped() finds it.  @again: there may be more
 * in the same table.
 */
static bool copy_entry(struct mirror *m, unsigned long i, unsigned long seq,
		       bool *again)
{
	struct cpu_entry cpu;
	unsigned long flags;
	bool ok = false;

	entry_lock(m->mm, spte_addr(m, i), &cpu);
	*again = cpu.map || cpu.present;
	spin_lock_irqsave(&mirror_lock, flags);
	/* Not what is no memory: it could not be touched. */
	if (cpu.present && pfn_valid(cpu.pfn) && !m->dead &&
	    (m->flavour == MIRROR_TLB || !lookup_retry(m, seq)))
		ok = spte_set(m, i, cpu.pfn,
			      (cpu.write && cpu.dirty ? SPTE_WRITE : 0) |
			      (cpu.map ? 0 : SPTE_HUGE));
	spin_unlock_irqrestore(&mirror_lock, flags);
	entry_unlock(&cpu);
	return ok;
}

/*
 * Hardware that walks the CPU's tables, and has the CPU handle its faults.  What
 * it finds is what it caches; before it writes it wants the dirty bit set.
 */
static bool tlb_fill(struct mirror *m, unsigned long i, bool write, bool locked,
		     long *ret)
{
	bool unlocked, again;

	*ret = fixup_user_fault(m->mm, spte_addr(m, i),
				write ? FAULT_FLAG_WRITE : 0,
				locked ? NULL : &unlocked);
	if (*ret)
		return false;
	*ret = 1;
	return copy_entry(m, i, 0, &again);
}

/*
 * Fault an entry in.  The caller has a user reference to the mm; @locked: and
 * mmap_lock.  -EAGAIN: it could not be had for all the invalidations, or was gone
 * again.
 */
static int mirror_fault(struct mirror *m, unsigned long i, bool write,
			bool locked)
{
	unsigned int gup = FOLL_HONOR_NUMA_FAULT | (write ? FOLL_WRITE : 0);
	unsigned long addr = spte_addr(m, i), flags, seq;
	struct page *page;
	int tries = 100;
	long ret;

	while (tries--) {
		bool ok = false, retry;

		if (fatal_signal_pending(current))
			return -EINTR;
		if (!lookup_begin(m, &seq)) {
			schedule_timeout_uninterruptible(1);
			continue;
		}
		if (!locked)
			mmap_read_lock(m->mm);
		/* It is told of no end. */
		if (m->flavour == MIRROR_INTERVAL)
			check_some(m, i, "at a fault");
		if (m->flavour == MIRROR_TLB)
			ok = tlb_fill(m, i, write, locked, &ret);
		else
			ret = get_user_pages_remote(m->mm, addr, 1, gup, &page,
						    NULL);
		if (!locked)
			mmap_read_unlock(m->mm);
		if (ret != 1)
			return ret < 0 ? ret : -EFAULT;

		if (m->flavour != MIRROR_TLB) {
			spin_lock_irqsave(&mirror_lock, flags);
			retry = lookup_retry(m, seq);
			if (retry)
				m->stats.retries++;
			else if (!m->dead)
				ok = spte_set(m, i, page_to_pfn(page),
					      write ? SPTE_WRITE : 0);
			spin_unlock_irqrestore(&mirror_lock, flags);
			/* Only now: until then it stayed that page. */
			put_page(page);
		}
		if (ok)
			return 0;
		if (READ_ONCE(m->dead))
			return -ESRCH;
	}
	return -EAGAIN;
}

/*
 * fork().
 */

/* Does the child have what it is to have, and is what is shared write-protected? */
static void check_fork(struct mirror *m, struct mm_struct *child, unsigned long i)
{
	unsigned long addr = spte_addr(m, i), flags, spte;
	struct vm_area_struct *vma = vma_lookup(m->mm, addr);
	struct vm_area_struct *copy = vma_lookup(child, addr);
	struct cpu_entry ours, theirs;
	const char *what = NULL;
	struct folio *folio;

	if (!vma || (vma->vm_flags & VM_SHARED))
		return;
	entry_lock(child, addr, &theirs);
	entry_unlock(&theirs);
	entry_lock(m->mm, addr, &ours);
	spin_lock_irqsave(&mirror_lock, flags);
	spte = m->spte[i];
	m->stats.checks++;
	if (!copy != !!(vma->vm_flags & VM_DONTCOPY)) {
		what = copy ? "the child has the mapping" :
			      "the child lacks the mapping";
	} else if (!copy || (vma->vm_flags & VM_WIPEONFORK)) {
		if (theirs.present)
			what = "the child has the page";
	} else if (ours.present && theirs.present && ours.pfn == theirs.pfn) {
		if (ours.write || theirs.write || (spte & SPTE_WRITE))
			what = "shared with the child, and writable";
	} else if (ours.present && pfn_valid(ours.pfn) && !theirs.raw) {
		folio = pfn_folio(ours.pfn);
		/* Not what reclaim may have thrown away by now. */
		if (folio_test_anon(folio) &&
		    (folio_test_swapbacked(folio) || folio_test_hugetlb(folio)))
			what = "the child lacks the page";
	}
	spin_unlock_irqrestore(&mirror_lock, flags);
	entry_unlock(&ours);
	if (what)
		violation(m, what, addr, spte, &ours, "at fork");
}

/* Of the first words of all pages that the CPU may not write to. */
static u64 sum_protected(struct mirror *m)
{
	unsigned long i, n, nr = (m->end - m->start) >> PAGE_SHIFT;
	struct cpu_entry cpu;
	u64 sum = 0, *p;

	for (i = 0; i < nr; i++) {
		entry_lock(m->mm, spte_addr(m, i), &cpu);
		if (cpu.present && !cpu.write && pfn_valid(cpu.pfn)) {
			p = __va(cpu.pfn << PAGE_SHIFT);
			for (n = 0; n < 8; n++)
				sum += READ_ONCE(p[n]);
		}
		entry_unlock(&cpu);
	}
	return sum;
}

static int child_start(struct mmu_notifier *mn,
		       const struct mmu_notifier_range *range)
{
	struct mirror *m = container_of(mn, struct mirror, child);
	unsigned long flags;

	spin_lock_irqsave(&mirror_lock, flags);
	m->stats.child_starts++;
	spin_unlock_irqrestore(&mirror_lock, flags);
	return 0;
}

static void child_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct mirror *m = container_of(mn, struct mirror, child);
	unsigned long flags;

	spin_lock_irqsave(&mirror_lock, flags);
	m->stats.child_releases++;
	spin_unlock_irqrestore(&mirror_lock, flags);
}

static const struct mmu_notifier_ops child_ops = {
	.release = child_release,
	.invalidate_range_start = child_start,
};

static int mirror_fork(struct mmu_notifier *mn, struct mm_struct *mm,
		       struct mm_struct *child)
{
	struct mirror *m = container_of(mn, struct mirror, mn);
	unsigned long i, nr = (m->end - m->start) >> PAGE_SHIFT, flags;
	struct vm_area_struct *vma;
	int ret = 0;

	spin_lock_irqsave(&mirror_lock, flags);
	m->stats.forks++;
	swap(ret, m->fork_error);
	spin_unlock_irqrestore(&mirror_lock, flags);
	if (mm != m->mm || child == mm)
		violation(m, "another mm's fork", m->start, 0, NULL, "at fork");
	for (i = 0; i < nr; i++)
		check_fork(m, child, i);
	if (m->fork_flags & MIRROR_FORK_STILL) {
		u64 sum = sum_protected(m);

		fsleep(2000);
		if (sum_protected(m) != sum)
			violation(m, "shared with the child, and written to",
				  m->start, 0, NULL, "at fork");
	}
	if (ret)
		return -ret;

	if (m->fork_flags & MIRROR_FORK_COW) {
		for (i = 0; i < nr && !ret; i++) {
			vma = vma_lookup(mm, spte_addr(m, i));
			if (vma && (vma->vm_flags & VM_WRITE))
				ret = mirror_fault(m, i, true, true);
		}
	}
	if (!ret && (m->fork_flags & MIRROR_FORK_CHILD) && !m->child.mm) {
		m->child.ops = &child_ops;
		ret = __mmu_notifier_register(&m->child, child);
	}
	return ret;
}

/* Read, or add 1; false if there is no entry that allows it. */
static bool mirror_touch(struct mirror *m, unsigned long i, bool write,
			 unsigned long offset, u64 *value)
{
	unsigned long flags, spte;
	bool ok;
	u64 *p;

	spin_lock_irqsave(&mirror_lock, flags);
	spte = m->spte[i];
	ok = spte && (!write || (spte & SPTE_WRITE));
	if (ok) {
		p = (u64 *)__va((spte & PAGE_MASK) + offset);
		*value = READ_ONCE(*p);
		/* The process may write there too, to other bytes. */
		if (write)
			WRITE_ONCE(*p, *value + 1);
		WRITE_ONCE(m->spte[i], spte | SPTE_ACCESSED);
		if (write)
			m->stats.writes++;
		else
			m->stats.reads++;
	}
	spin_unlock_irqrestore(&mirror_lock, flags);
	return ok;
}

static int mirror_access_one(struct mirror *m, unsigned long i, bool write,
			     unsigned long offset, u64 *value)
{
	int ret, tries = 20;

	while (!mirror_touch(m, i, write, offset, value)) {
		if (!tries--)
			return -EAGAIN;
		ret = mirror_fault(m, i, write, false);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Map what the CPU maps between @addr and the end of its page table.  No fault, no
 * reference, no accessed bit: the process does not see a difference.
 * Return: where to go on.
 */
static unsigned long follow_table(struct mirror *m, unsigned long addr)
{
	unsigned long next = min(ALIGN(addr + 1, PMD_SIZE), m->end), seq;
	struct vm_area_struct *vma;
	bool again = true;

	if (!lookup_begin(m, &seq))
		return next;
	mmap_read_lock(m->mm);
	vma = find_vma(m->mm, addr);
	if (!vma) {
		next = m->end;
	} else if (vma->vm_start >= next) {
		next = vma->vm_start;
	} else {
		next = min(next, vma->vm_end);
		if (is_vm_hugetlb_page(vma))
			hugetlb_vma_lock_read(vma);
		for (addr = max(addr, vma->vm_start); addr < next && again;
		     addr += PAGE_SIZE) {
			unsigned long i = (addr - m->start) >> PAGE_SHIFT;

			if (m->flavour != MIRROR_TLB)
				check_one(m, i, "when followed");
			copy_entry(m, i, seq, &again);
		}
		if (is_vm_hugetlb_page(vma))
			hugetlb_vma_unlock_read(vma);
	}
	mmap_read_unlock(m->mm);
	return next;
}

static void follow(struct mirror *m)
{
	unsigned long addr = m->start, begin = jiffies;

	while (addr < m->end && !kthread_should_stop() &&
	       mmget_not_zero(m->mm)) {
		addr = follow_table(m, addr);
		mmput_async(m->mm);
		cond_resched();
	}
	if (!kthread_should_stop())
		schedule_timeout_interruptible(FOLLOW_REST * (jiffies - begin) +
					       msecs_to_jiffies(FOLLOW_MS));
}

static int mirror_thread(void *data)
{
	struct mirror *m = data;
	unsigned long nr = (m->end - m->start) >> PAGE_SHIFT;
	struct mirror_threads *job = &m->job;
	struct rnd_state rnd;
	unsigned int n = 0;
	u64 op, value;

	while (m->threads[n] != current)
		n++;
	prandom_seed_state(&rnd, job->seed + n);
	for (op = 0; !kthread_should_stop() && (!job->ops || op < job->ops); op++) {
		unsigned long i = prandom_u32_state(&rnd) % nr;
		bool write = prandom_u32_state(&rnd) % 100 < job->writes;

		if (job->follow) {
			follow(m);
			continue;
		}
		if (!mmget_not_zero(m->mm))
			break;
		/* Nothing need be mapped there. */
		mirror_access_one(m, i, write, job->offset, &value);
		mmap_read_lock(m->mm);
		check_some(m, i, "after an access");
		mmap_read_unlock(m->mm);
		mmput_async(m->mm);
		cond_resched();
	}
	atomic_inc(&m->done);
	wake_up_all(&m->wait);
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static void stop_threads(struct mirror *m)
{
	while (m->nr_threads)
		kthread_stop_put(m->threads[--m->nr_threads]);
}

/*
 * The device.
 */

static long mirror_do_attach(struct mirror *m, struct mirror_attach __user *arg)
{
	struct mirror_attach a;
	unsigned long flags;
	int ret;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	if (a.flavour >= MIRROR_FLAVOURS || a.start >= a.end ||
	    a.flags & ~(MIRROR_FORK | MIRROR_FORK_COW | MIRROR_FORK_CHILD |
			MIRROR_FORK_STILL | MIRROR_LIMITED) ||
	    (a.flags & ~MIRROR_LIMITED && !(a.flags & MIRROR_FORK)) ||
	    (a.flags && a.flavour == MIRROR_INTERVAL) ||
	    !PAGE_ALIGNED(a.start) || !PAGE_ALIGNED(a.end) ||
	    a.end > TASK_SIZE || a.end - a.start > MAX_RANGE)
		return -EINVAL;
	if (m->attached)
		return -EBUSY;

	m->spte = kvcalloc((a.end - a.start) >> PAGE_SHIFT, sizeof(*m->spte),
			   GFP_KERNEL);
	if (!m->spte)
		return -ENOMEM;
	m->start = a.start;
	m->end = a.end;
	m->flavour = a.flavour;
	m->mm = current->mm;
	m->dead = false;
	m->in_flight = 0;
	m->fork_flags = a.flags & ~MIRROR_LIMITED;
	m->fork_error = 0;
	memset(&m->child, 0, sizeof(m->child));
	memset(&m->stats, 0, sizeof(m->stats));
	m->log.nr = 0;
	m->log.lost = 0;
	static_branch_inc(&mmu_notifier_mirrors);
	spin_lock_irqsave(&mirror_lock, flags);
	list_add(&m->all, &all_mirrors);
	spin_unlock_irqrestore(&mirror_lock, flags);

	if (a.flavour == MIRROR_INTERVAL) {
		ret = mmu_interval_notifier_insert(&m->mni, m->mm, a.start,
						   a.end - a.start,
						   &interval_ops);
	} else {
		memset(&m->mn, 0, sizeof(m->mn));
		m->ops = a.flavour == MIRROR_PAGE ? page_ops :
			 a.flavour == MIRROR_TLB ? tlb_ops : list_ops;
		if (a.flags & MIRROR_FORK)
			m->ops.fork = mirror_fork;
		m->mn.ops = &m->ops;
		if (a.flags & MIRROR_LIMITED)
			ret = mmu_notifier_register_range(&m->mn, m->mm, a.start,
							  a.end - 1,
							  MMU_NOTIFIER_ALL_EVENTS);
		else
			ret = mmu_notifier_register(&m->mn, m->mm);
	}
	if (!ret) {
		m->attached = true;
		return 0;
	}
	spin_lock_irqsave(&mirror_lock, flags);
	list_del(&m->all);
	spin_unlock_irqrestore(&mirror_lock, flags);
	static_branch_dec(&mmu_notifier_mirrors);
	kvfree(m->spte);
	return ret;
}

static long mirror_do_detach(struct mirror *m)
{
	unsigned long flags;

	if (!m->attached)
		return -EINVAL;
	stop_threads(m);
	if (m->flavour == MIRROR_INTERVAL)
		mmu_interval_notifier_remove(&m->mni);
	else
		mmu_notifier_unregister(&m->mn, m->mm);
	/* No fork is in flight any more that could subscribe. */
	if (m->child.mm)
		mmu_notifier_unregister(&m->child, m->child.mm);
	if (m->in_flight)
		violation(m, "a start without an end", m->start, 0, NULL,
			  "when unsubscribed");
	if (m->flavour != MIRROR_INTERVAL && !m->dead)
		violation(m, "not released", m->start, 0, NULL,
			  "when unsubscribed");
	spin_lock_irqsave(&mirror_lock, flags);
	drop_range(m, 0, (m->end - m->start) >> PAGE_SHIFT);
	list_del(&m->all);
	spin_unlock_irqrestore(&mirror_lock, flags);
	static_branch_dec(&mmu_notifier_mirrors);
	kvfree(m->spte);
	m->attached = false;
	atomic_long_inc(&all_attached);
	atomic_long_add(m->stats.starts + m->stats.pages + m->stats.flushes,
			&all_notified);
	atomic_long_add(m->stats.faults, &all_entries);
	atomic_long_add(m->stats.checks, &all_checks);
	return 0;
}

static long mirror_do_access(struct mirror *m, struct mirror_access __user *arg)
{
	struct mirror_access a;
	unsigned long i, last;
	long ret = 0;
	u64 value;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	if (a.start >= a.end || a.start < m->start || a.end > m->end ||
	    !PAGE_ALIGNED(a.start) || !PAGE_ALIGNED(a.end) || a.write > 1 ||
	    a.nofault > 1 || a.offset > PAGE_SIZE - 8 || a.offset % 8)
		return -EINVAL;
	if (!mmget_not_zero(m->mm))
		return -ESRCH;
	a.pages = 0;
	a.sum = 0;
	last = (a.end - m->start) >> PAGE_SHIFT;
	for (i = (a.start - m->start) >> PAGE_SHIFT; i < last && !ret; i++) {
		if (!a.nofault)
			ret = mirror_access_one(m, i, a.write, a.offset, &value);
		else if (!mirror_touch(m, i, a.write, a.offset, &value))
			continue;
		if (ret)
			break;
		a.pages++;
		a.sum += value;
		cond_resched();
	}
	mmput(m->mm);
	if (copy_to_user(arg, &a, sizeof(a)))
		return -EFAULT;
	return ret;
}

/* What a driver does that tracks which pages of a file are written. */
static long mirror_do_clean(struct mirror *m)
{
	struct vm_area_struct *vma;
	struct file *file = NULL;
	pgoff_t first = 0;

	if (!mmget_not_zero(m->mm))
		return -ESRCH;
	mmap_read_lock(m->mm);
	vma = vma_lookup(m->mm, m->start);
	if (vma && vma->vm_file && (vma->vm_flags & VM_SHARED)) {
		file = get_file(vma->vm_file);
		first = linear_page_index(vma, m->start);
	}
	mmap_read_unlock(m->mm);
	mmput(m->mm);
	if (!file)
		return -EINVAL;
	wp_shared_mapping_range(file->f_mapping, first,
				(m->end - m->start) >> PAGE_SHIFT);
	fput(file);
	return 0;
}

static long mirror_do_threads(struct mirror *m,
			      struct mirror_threads __user *arg)
{
	struct task_struct *task;
	unsigned int i;

	if (m->nr_threads)
		return -EBUSY;
	if (copy_from_user(&m->job, arg, sizeof(m->job)))
		return -EFAULT;
	if (!m->job.nr || m->job.nr > MAX_THREADS || m->job.writes > 100 ||
	    m->job.follow > 1 || m->job.offset > PAGE_SIZE - 8 || m->job.offset % 8)
		return -EINVAL;
	atomic_set(&m->done, 0);
	for (i = 0; i < m->job.nr; i++) {
		task = kthread_create(mirror_thread, m, "mirror/%u", i);
		if (IS_ERR(task)) {
			stop_threads(m);
			return PTR_ERR(task);
		}
		m->threads[m->nr_threads++] = get_task_struct(task);
	}
	for (i = 0; i < m->nr_threads; i++)
		wake_up_process(m->threads[i]);
	return 0;
}

static long mirror_do_fork_error(struct mirror *m, u32 __user *arg)
{
	unsigned long flags;
	u32 error;

	if (get_user(error, arg))
		return -EFAULT;
	if (!m->fork_flags || error > MAX_ERRNO)
		return -EINVAL;
	spin_lock_irqsave(&mirror_lock, flags);
	m->fork_error = error;
	spin_unlock_irqrestore(&mirror_lock, flags);
	return 0;
}

static long mirror_do_stats(struct mirror *m, struct mirror_stats __user *arg)
{
	struct mirror_stats stats;
	unsigned long flags;

	spin_lock_irqsave(&mirror_lock, flags);
	stats = m->stats;
	spin_unlock_irqrestore(&mirror_lock, flags);
#ifdef CONFIG_DEBUG_MMU_NOTIFIER
	stats.reports = mmu_notifier_debug_reports();
#endif
	return copy_to_user(arg, &stats, sizeof(stats)) ? -EFAULT : 0;
}

static long mirror_do_log(struct mirror *m, struct mirror_log __user *arg)
{
	struct mirror_log *log = kvmalloc(sizeof(*log), GFP_KERNEL);
	unsigned long flags;
	size_t len;
	long ret = 0;

	if (!log)
		return -ENOMEM;
	spin_lock_irqsave(&mirror_lock, flags);
	len = offsetof(struct mirror_log, record[m->log.nr]);
	memcpy(log, &m->log, len);
	m->log.nr = 0;
	m->log.lost = 0;
	spin_unlock_irqrestore(&mirror_lock, flags);
	if (copy_to_user(arg, log, len))
		ret = -EFAULT;
	kvfree(log);
	return ret;
}

/* Under the mutex. */
static long mirror_command(struct mirror *m, unsigned int cmd, void __user *arg)
{
	if (cmd == MIRROR_ATTACH)
		return mirror_do_attach(m, arg);
	if (!m->attached)
		return -EINVAL;

	switch (cmd) {
	case MIRROR_DETACH:
		return mirror_do_detach(m);
	case MIRROR_ACCESS:
		return mirror_do_access(m, arg);
	case MIRROR_THREADS:
		return mirror_do_threads(m, arg);
	case MIRROR_STOP:
		if (!m->nr_threads)
			return -EINVAL;
		stop_threads(m);
		return 0;
	case MIRROR_WAIT:
		if (!m->nr_threads || !m->job.ops)
			return -EINVAL;
		return wait_event_interruptible(m->wait,
				atomic_read(&m->done) == m->nr_threads);
	case MIRROR_CHECK:
		check_all(m);
		return put_user(READ_ONCE(m->stats.violations),
				(u64 __user *)arg);
	case MIRROR_CLEAN:
		return mirror_do_clean(m);
	case MIRROR_FORK_ERROR:
		return mirror_do_fork_error(m, arg);
	case MIRROR_STATS:
		return mirror_do_stats(m, arg);
	case MIRROR_LOG:
		return mirror_do_log(m, arg);
	}
	return -ENOTTY;
}

static long mirror_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct mirror *m = file->private_data;
	long ret;

	ret = mutex_lock_interruptible(&m->mutex);
	if (ret)
		return ret;
	ret = mirror_command(m, cmd, (void __user *)arg);
	mutex_unlock(&m->mutex);
	return ret;
}

static int mirror_open(struct inode *inode, struct file *file)
{
	struct mirror *m = kvzalloc(sizeof(*m), GFP_KERNEL);

	if (!m)
		return -ENOMEM;
	mutex_init(&m->mutex);
	init_waitqueue_head(&m->wait);
	file->private_data = m;
	return 0;
}

static int mirror_close(struct inode *inode, struct file *file)
{
	struct mirror *m = file->private_data;

	if (m->attached)
		mirror_do_detach(m);
	kvfree(m);
	return 0;
}

static const struct file_operations mirror_fops = {
	.owner = THIS_MODULE,
	.open = mirror_open,
	.release = mirror_close,
	.unlocked_ioctl = mirror_ioctl,
};

static struct miscdevice mirror_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "mmu_notifier_mirror",
	.fops = &mirror_fops,
};

static int mirrors_show(struct seq_file *s, void *unused)
{
	seq_printf(s, "violations %ld\n", atomic_long_read(&all_violations));
	seq_printf(s, "attached %ld\n", atomic_long_read(&all_attached));
	seq_printf(s, "notified %ld\n", atomic_long_read(&all_notified));
	seq_printf(s, "entries %ld\n", atomic_long_read(&all_entries));
	seq_printf(s, "checks %ld\n", atomic_long_read(&all_checks));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mirrors);

static int __init mirror_init(void)
{
	debugfs_create_file("mmu_notifier_mirror", 0400, NULL, NULL,
			    &mirrors_fops);
	return misc_register(&mirror_device);
}
device_initcall(mirror_init);
