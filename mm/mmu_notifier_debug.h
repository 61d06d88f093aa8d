/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _MM_MMU_NOTIFIER_DEBUG_H
#define _MM_MMU_NOTIFIER_DEBUG_H

#include <linux/mmu_notifier_debug.h>

/**
 * struct mmu_notifier_debug_fault - what was found wrong
 * @kind: what
 * @level: of the entry
 * @mm: whose
 * @start: what the entry, the table or the section covers: first byte
 * @end: exclusive
 * @old: the raw entry before, if it is about an entry
 * @new: the raw entry after
 */
struct mmu_notifier_debug_fault {
	enum mmu_notifier_debug_kind kind;
	enum mmu_notifier_level level;
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	unsigned long old;
	unsigned long new;
};

/* KUnit cases redirect it, to look at what they provoke. */
void mmu_notifier_debug_report(const struct mmu_notifier_debug_fault *fault);

#endif /* _MM_MMU_NOTIFIER_DEBUG_H */
