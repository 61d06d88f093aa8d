/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver of the XPMEM kind, to be copied (xpmem_driver.c), and what it drives: another
 * host, in software, and a device by which that is asked to load and store
 * (xpmem_host.c).
 */
#ifndef XPMEM_KIND_H
#define XPMEM_KIND_H

#include <linux/hashtable.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/types.h>

/* The memory of a process: an open file.  Under xpmem_lock. */
struct segment {
	struct mmu_notifier mn;
	unsigned int active;	/* invalidations in flight */
	unsigned long seq;	/* changes whenever one ends */
	DECLARE_HASHTABLE(entries, 6);	/* by address, unless gone */
};

/* A page that the other host maps, or that has its reference still: then it is gone. */
struct entry {
	struct hlist_node node;		/* in segment.entries */
	struct hlist_node rnode;	/* in the reverse map */
	struct list_head list;		/* of a message; gone_entries */
	unsigned long addr;
	struct page *page;		/* referenced, and its folio is marked */
	bool mapped, write, dirty;	/* on the other host */
	bool gone;
};

/* xpmem_driver.c */
extern spinlock_t xpmem_lock;
extern const struct mmu_notifier_ops xpmem_ops;
extern struct export_notifier xpmem_exports;
struct entry *xpmem_entry(struct segment *s, unsigned long addr);
int xpmem_fault(struct segment *s, unsigned long addr, bool write);
void xpmem_flush(void);

/* xpmem_host.c */
void host_tell(struct list_head *entries, bool unmap);

#endif /* XPMEM_KIND_H */
