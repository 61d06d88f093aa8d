/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * XPMEM between two hosts, a prototype: the ioctls of /dev/xpmem_link, and what
 * goes over the wire.  See xpmem_link.c.
 */
#ifndef _XPMEM_LINK_H
#define _XPMEM_LINK_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Each host writes its own side of the mailbox only, and believes nothing that
 * it reads from the other: messages are copied, then checked.
 */
#define LINK_RING		256	/* a power of two: indices wrap */

enum link_type {
	LINK_HELLO = 1,		/* importer: I am new, and map nothing */
	LINK_WELCOME,		/* exporter: a = pages, b = its incarnation */
	LINK_FETCH,		/* importer: a = page, b = for writing */
	LINK_REPLY,		/* exporter: a = pfn or LINK_NO_PFN, b = writable */
	LINK_INVALIDATE,	/* exporter: unmap pages a to b, inclusive */
	LINK_ACK,		/* importer: done */
};

#define LINK_NO_PFN		(~0ULL)

struct link_msg {
	__u64 incarnation;	/* of the importer, in both directions */
	__u64 id;		/* an answer has that of its question */
	__u64 a;
	__u64 b;
	__u32 type;
	__u32 unused;
};

struct link_side {
	__u64 incarnation;	/* random, of this session; 0: there is none */
	__u64 beats;		/* counts while this host is alive */
	__u64 dead;		/* the incarnation that it last gave up */
	__u32 head;		/* messages sent */
	__u32 tail;		/* messages read from the other side's ring */
	struct link_msg ring[LINK_RING];
};

#define LINK_EXPORTER		0
#define LINK_IMPORTER		1

struct link_mailbox {
	struct link_side side[2];
};

/*
 * Behind that the mailbox is for the programs on both hosts: at this offset of
 * the device, and at that one of /dev/xpmem_link.
 */
#define LINK_USER		0x10000
#define LINK_USER_SIZE		0x10000
#define LINK_USER_OFFSET	0x10000000000ULL

/* Counted since the session began. */
enum link_stat {
	LINK_FETCHES,		/* exporter: answered; importer: asked */
	LINK_UPGRADES,		/* importer: of them, read-only to writable */
	LINK_INVALIDATIONS,	/* exporter: sent; importer: received */
	LINK_ACKS,		/* exporter: received and waited for; importer: sent */
	LINK_RESENT,		/* as no answer came in time */
	LINK_DROPPED,		/* received, and dropped on purpose: loss= */
	LINK_TAKEN,		/* exporter: pages that the importer had to unmap */
	LINK_REFUSED,		/* exporter: non-blocking invalidations */
	LINK_DEATHS,		/* exporter: of the importer */
	LINK_RETRIES,		/* exporter: lookups that an invalidation overtook */
	LINK_UNCACHED,		/* importer: entries that are not write-back */
	LINK_MARKED,		/* exporter: pages that the importer may map, now */
	LINK_NR_STATS,
};

struct xpmem_link_export {
	__u64 vaddr;
	__u64 len;
};

struct xpmem_link_import {
	__u64 len;
};

struct xpmem_link_stats {
	__u64 stat[LINK_NR_STATS];
};

#define XPMEM_LINK_EXPORT	_IOW('x', 0x40, struct xpmem_link_export)
#define XPMEM_LINK_IMPORT	_IOW('x', 0x41, struct xpmem_link_import)
#define XPMEM_LINK_STATS	_IOR('x', 0x42, struct xpmem_link_stats)

#endif /* _XPMEM_LINK_H */
