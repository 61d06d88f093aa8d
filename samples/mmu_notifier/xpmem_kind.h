/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver of the XPMEM kind, to be copied.
 *
 * Another host maps pages of a process.  The driver holds a reference to each, and has a
 * reverse map of its own.  To take a page away it sends a message and sleeps until the
 * other host has acknowledged.  Two subscriptions share the work:
 *
 *	MMU notifier	by address: the other host drops, or write-protects, what it
 *			maps there, before the process's page tables change
 *	export notifier	by page, which is locked: the reference and the mark go, and
 *			who writes the page back learns whether it is dirty
 *
 * Where no export notifier follows (munmap), a worker locks the page in its place.
 *
 * pread() and pwrite() on /dev/xpmem_kind are loads and stores of the other host in
 * memory of the process that opened it; the file offset is the address.
 *
 *	xpmem_map.c	the callbacks, and the reverse map
 *	xpmem_main.c	faults, the device
 *	xpmem_host.c	the other host, in software
 *
 * Locks, outermost first:
 *
 *	folio lock	of a page that is given to the other host; held by who calls
 *			xpmem_invalidate()
 *	xpmem_lock	segments and entries.  No callback sleeps with it
 *	host_lock	the other host
 */
#ifndef XPMEM_KIND_H
#define XPMEM_KIND_H

#include <linux/hashtable.h>
#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* A page that the other host maps.  All under host_lock. */
struct host_page {
	/* What this host has requested, and what has come back. */
	bool unmap;		/* otherwise write-protect */
	unsigned int request;	/* its number */
	unsigned int ack;	/* the last one acknowledged */
	bool ack_dirty;		/* and whether the page had been written to */
	struct delayed_work message;
	/* What the other host knows. */
	bool mapped, write, dirty;
	unsigned int done;	/* the last request that it has carried out */
	bool done_dirty;	/* and what it answered: it may have to again */
};

/* The memory of a process: an open file. */
struct segment {
	struct mmu_notifier mn;
	unsigned int active;	/* sections in flight */
	unsigned long seq;	/* changes whenever one ends */
	DECLARE_HASHTABLE(entries, 6);	/* those mapped, by address */
};

/* A page that the other host maps, or that has its reference still: then it is gone. */
struct entry {
	struct hlist_node node;		/* in segment.entries, unless gone */
	struct hlist_node rnode;	/* in reverse_map */
	struct list_head list;		/* of who shoots it down; gone_entries */
	unsigned long addr;
	struct page *page;		/* referenced, and its folio is marked */
	bool write, dirty;		/* as far as we know */
	bool busy, gone;		/* is being shot down; was */
	struct host_page host;
};

/* xpmem_host.c */
int host_start(void);
void host_stop(void);
void host_init(struct host_page *h);
void host_map(struct host_page *h, bool write);
void host_request(struct host_page *h, bool unmap);
bool host_wait(struct host_page *h);
bool host_access(struct host_page *h, struct page *page, size_t offset, void *buf,
		 size_t len, bool write);

/* xpmem_map.c */
extern spinlock_t xpmem_lock;		/* see the legend above */
extern wait_queue_head_t xpmem_wait;	/* for ->active and ->busy to change */
extern const struct mmu_notifier_ops xpmem_ops;
extern struct export_notifier xpmem_exports;
struct entry *entry_at(struct segment *s, unsigned long addr);
int xpmem_give(struct segment *s, unsigned long addr, struct page *page, bool write,
	       unsigned long seq);
void xpmem_flush(void);

#endif /* XPMEM_KIND_H */
