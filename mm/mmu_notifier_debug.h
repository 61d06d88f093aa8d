/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _MM_MMU_NOTIFIER_DEBUG_H
#define _MM_MMU_NOTIFIER_DEBUG_H

#include <linux/mmu_notifier_debug.h>
#include <linux/spinlock_types.h>

/**
 * struct mmu_notifier_debug_fault - what was found wrong
 * @kind: what
 * @level: of the entry
 * @mm: whose
 * @start: what the entry, the table or the range covers: first byte
 * @end: exclusive
 * @old: the raw entry before, if it is about an entry
 * @new: the raw entry after
 * @asked: mmu_notifier_debug_try() asked for it: nothing is wrong
 */
struct mmu_notifier_debug_fault {
	enum mmu_notifier_debug_kind kind;
	enum mmu_notifier_level level;
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	unsigned long old;
	unsigned long new;
	bool asked;
};

/* KUnit cases redirect it, to examine what they provoke. */
void mmu_notifier_debug_report(const struct mmu_notifier_debug_fault *fault);

/**
 * struct mmu_notifier_debug_seen - which reports have been printed
 * @lock: protects the rest; irqs off, innermost
 * @nr: how many there are in @hash
 * @full: that no more will be printed has been said
 * @repeated: how many were not printed because one like them was
 * @unprinted: how many were not printed because @hash was full
 * @hash: of the call stack and the kind of each
 */
struct mmu_notifier_debug_seen {
	raw_spinlock_t lock;
	unsigned int nr;
	bool full;
	unsigned long repeated;
	unsigned long unprinted;
	u32 hash[256];
};

/**
 * enum mmu_notifier_debug_verdict - what to do with a report
 * @MMU_NOTIFIER_DEBUG_PRINT: print it, it is the first of its kind
 * @MMU_NOTIFIER_DEBUG_LIMIT: say that no more will be printed
 * @MMU_NOTIFIER_DEBUG_COUNT: it has been counted, that is all
 */
enum mmu_notifier_debug_verdict {
	MMU_NOTIFIER_DEBUG_PRINT,
	MMU_NOTIFIER_DEBUG_LIMIT,
	MMU_NOTIFIER_DEBUG_COUNT,
};

enum mmu_notifier_debug_verdict
mmu_notifier_debug_see(struct mmu_notifier_debug_seen *seen, u32 hash);
void mmu_notifier_debug_switch(bool on);
int mmu_notifier_debug_try(void);

#endif /* _MM_MMU_NOTIFIER_DEBUG_H */
