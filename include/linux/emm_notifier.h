/* SPDX-License-Identifier: GPL-2.0 */
/*
 * EMM notifiers: one callback that is told what happens to an mm.
 *
 * The short form of <linux/mmu_notifier.h>, for a driver that drops its mappings
 * whatever the reason is::
 *
 *	static int my_callback(struct emm_notifier *e, struct mm_struct *mm,
 *			       enum emm_operation op,
 *			       unsigned long start, unsigned long end)
 *	{
 *		switch (op) {
 *		case emm_release:		drop everything, for good
 *		case emm_invalidate_start:	active++, drop [start, end)
 *		case emm_invalidate_end:	active--, wake up faults
 *		case emm_referenced:		return how many were accessed
 *		}
 *		return 0;
 *	}
 *
 *	my->emm.callback = my_callback;
 *	err = emm_register_notifier(&my->emm, current->mm);
 *	...
 *	emm_unregister_notifier(&my->emm, mm);
 *
 * CONFIG_EMM_NOTIFIER has no prompt: a driver selects it.
 */
#ifndef _LINUX_EMM_NOTIFIER_H
#define _LINUX_EMM_NOTIFIER_H

#include <linux/mmu_notifier.h>

struct emm_notifier;
struct emm_mm;

/**
 * enum emm_operation - what an EMM notifier is told
 * @emm_release: the mm dies, or the notifier is unregistered: whichever comes first,
 *	and once.  No mapping may be left or be established.  May sleep
 * @emm_invalidate_start: entries of the range are about to change.  On return no
 *	mapping of it is left, and until the end none is established; invalidations
 *	overlap and nest, so count them.  May sleep, but see &emm_notifier.never_sleeps
 * @emm_invalidate_end: the invalidation is over.  Exactly once for each start, with
 *	the same range, by the same task.  May sleep if its start could
 * @emm_referenced: which pages of the range were accessed since the last time?  Return
 *	how many, and forget it, or an errno.  Must not sleep
 */
enum emm_operation {
	emm_release,
	emm_invalidate_start,
	emm_invalidate_end,
	emm_referenced,
};

/**
 * struct emm_notifier - a subscriber with one callback
 * @callback: set before emm_register_notifier().  @start is the first byte, @end is
 *	exclusive; for emm_release they are 0 and ULONG_MAX.  Returns 0, other than for
 *	emm_referenced.  It may run in reclaim: it takes no mmap_lock and does not
 *	wait for memory, nor for emm_register_notifier() and emm_unregister_notifier()
 * @never_sleeps: set before emm_register_notifier() if no start or end sleeps, nor
 *	waits for a task that does.  Then they are also called where sleeping is not
 *	allowed (OOM reaper); otherwise the start is refused on their behalf (-EAGAIN)
 *	and tried again
 * @mn: private
 * @emm_mm: private; what all EMM notifiers of the mm have in common
 * @node: private; in there
 */
struct emm_notifier {
	int (*callback)(struct emm_notifier *e, struct mm_struct *mm,
			enum emm_operation op,
			unsigned long start, unsigned long end);
	bool never_sleeps;

	struct mmu_notifier mn;
	struct emm_mm *emm_mm;
	struct hlist_node node;
};

int emm_register_notifier(struct emm_notifier *e, struct mm_struct *mm);
void emm_unregister_notifier(struct emm_notifier *e, struct mm_struct *mm);
int emm_notify_referenced(struct emm_notifier *e, unsigned long start,
			  unsigned long end);

#endif /* _LINUX_EMM_NOTIFIER_H */
