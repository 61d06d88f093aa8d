/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/* /dev/mnbench: subscribers by the dozen, for bench.c; see mnbench_mod.c. */
#ifndef MNBENCH_H
#define MNBENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum mnbench_kind {
	MNBENCH_LIST,		/* start and end, empty */
	MNBENCH_PAGE,		/* invalidate_page, too */
	MNBENCH_LIMITED,	/* start and end, the n-th for [addr + n * stride, + size) */
	MNBENCH_INTERVAL,	/* an interval each, likewise */
	MNBENCH_YOUNG,		/* clear_young and test_young, which say no */
	MNBENCH_SLOW,		/* a start that sleeps @size ms, for what hits @addr */
};

/**
 * struct mnbench_add - subscribe to the caller's mm
 * @kind: enum mnbench_kind
 * @nr: how many subscribers
 * @addr: bytes
 * @size: bytes (or ms)
 * @stride: bytes
 * @first: TSC cycles that the first registration took
 * @last: the last
 * @least: the quickest
 * @total: all of them
 */
struct mnbench_add {
	__u32 kind;
	__u32 nr;
	__u64 addr;
	__u64 size;
	__u64 stride;
	__u64 first;
	__u64 last;
	__u64 least;
	__u64 total;
};

/**
 * struct mnbench_del - unsubscribe the newest ones
 * @nr: how many; 0: all
 * @first: TSC cycles that it took for the first of them
 * @least: for the quickest
 */
struct mnbench_del {
	__u32 nr;
	__u32 pad;
	__u64 first;
	__u64 least;
};

/* -EOPNOTSUPP: this kernel's notifiers do not have that kind. */
#define MNBENCH_ADD	_IOWR('m', 1, struct mnbench_add)
#define MNBENCH_DEL	_IOWR('m', 2, struct mnbench_del)
/* Returns how often a callback came since the last time. */
#define MNBENCH_CALLS	_IO('m', 3)

#endif
