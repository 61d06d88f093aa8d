/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _XPMEM_H
#define _XPMEM_H

#include <linux/cred.h>
#include <linux/file.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct xpmem_entry;

/* What an id stands for. */
enum xpmem_kind {
	XPMEM_SEGMENT,
	XPMEM_PERMIT,
	XPMEM_KINDS,
};

/**
 * struct xpmem_id - what a segment and a permit have in common
 * @hash: by @id, while the id is valid; under xpmem_lock
 * @list: of its @proc; under xpmem_lock
 * @id: positive, random; with 63 bits none is given twice
 * @kind: what it is a part of
 * @proc: whose; only while the id is valid
 * @ref: one for as long as the id is valid
 */
struct xpmem_id {
	struct hlist_node hash;
	struct list_head list;
	s64 id;
	enum xpmem_kind kind;
	struct xpmem_proc *proc;
	struct kref ref;
};

/**
 * struct xpmem_proc - a process, that is an mm
 * @notifier: the subscription to its mm.  Its references are those of the proc: one for
 *	each open descriptor
 * @opened: descriptors; under xpmem_lock, as all that follows
 * @procs: in xpmem_procs while there are any
 * @ids: its segments and permits
 * @nr: how many there are of each
 * @file: what the attachments to its segments are mappings of.  From the first
 *	segment until the last descriptor is closed
 * @entry: /proc/xpmem/<tgid> of the first to open; NULL for lack of memory
 * @released: the mm has gone
 */
struct xpmem_proc {
	struct mmu_notifier notifier;
	unsigned int opened;
	struct list_head procs;
	struct list_head ids;
	unsigned int nr[XPMEM_KINDS];
	struct file *file;
	struct xpmem_entry *entry;
	bool released;
};

/**
 * struct xpmem_segment - a part of an address space that is shown to others
 * @id: the segid
 * @notifier: is told what happens to the owner's pages, until it is removed
 * @mm: the owner's; a reference to the structure, not to its memory
 * @file: the owner's; a reference.  The offset of an attachment is the owner's
 *	address, so that all mappings of a page are found by it
 * @start: the owner's address
 * @end: exclusive
 * @cred: the owner's
 * @mode: as of chmod()
 * @sem: held for reading while @notifier is in use, having seen that it is not @gone
 * @gone: to be removed; under @sem
 * @vmas: that map the segment; any number of attachments' pieces
 * @lock: between an invalidation and a fault: a fault checks, before it sets an entry,
 *	that what it has looked up is valid still
 */
struct xpmem_segment {
	struct xpmem_id id;
	struct mmu_interval_notifier notifier;
	struct mm_struct *mm;
	struct file *file;
	unsigned long start;
	unsigned long end;
	const struct cred *cred;
	umode_t mode;
	struct rw_semaphore sem;
	bool gone;
	atomic_t vmas;
	spinlock_t lock;	/* see above */
};

/**
 * struct xpmem_permit - the right to attach a segment
 * @id: the apid
 * @seg: the segment; a reference
 * @write: not for reading alone
 * @gone: released; under @seg->lock
 */
struct xpmem_permit {
	struct xpmem_id id;
	struct xpmem_segment *seg;
	bool write;
	bool gone;
};

/**
 * struct xpmem_attachment - what xpmem_attach() maps
 * @ref: one for each VMA that is a piece of it
 * @permit: a reference
 * @huge: held for reading while a page table is made sure of, for writing to
 *	map a huge page where there is none
 */
struct xpmem_attachment {
	struct kref ref;
	struct xpmem_permit *permit;
	struct rw_semaphore huge;
};

/* main.c */
void xpmem_permit_put(struct xpmem_permit *permit);

/* attach.c */
extern const struct mmu_interval_notifier_ops xpmem_segment_ops;

struct file *xpmem_file_open(void);
void xpmem_unmap(struct file *file, unsigned long start, unsigned long end);
long xpmem_attach(struct xpmem_permit *permit, unsigned long offset,
		  unsigned long size, unsigned long vaddr);
int xpmem_detach(unsigned long vaddr);
int xpmem_detach_all(struct xpmem_permit *permit);

#endif /* _XPMEM_H */
