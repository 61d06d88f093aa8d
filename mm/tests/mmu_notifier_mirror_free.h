/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _MM_TESTS_MMU_NOTIFIER_MIRROR_FREE_H
#define _MM_TESTS_MMU_NOTIFIER_MIRROR_FREE_H

#ifdef CONFIG_MMU_NOTIFIER_MIRROR
#include <linux/jump_label.h>

struct page;

DECLARE_STATIC_KEY_FALSE(mmu_notifier_mirrors);
void __mmu_notifier_mirror_free(struct page *page, unsigned int order);

/* Pages are freed: no mirror may map them. */
static inline void mmu_notifier_mirror_free(struct page *page,
					    unsigned int order)
{
	if (static_branch_unlikely(&mmu_notifier_mirrors))
		__mmu_notifier_mirror_free(page, order);
}
#else
static inline void mmu_notifier_mirror_free(struct page *page,
					    unsigned int order)
{
}
#endif

#endif /* _MM_TESTS_MMU_NOTIFIER_MIRROR_FREE_H */
