/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kinds of memory that mirror_test and mirror_random work on, and how to get
 * at them.
 */
#ifndef MIRROR_UTIL_H
#define MIRROR_UTIL_H

#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/mmu_notifier_mirror.h"

#include "system.h"

#define PAGE		4096ul
#define SMALL		(32 * PAGE)
#define HUGE		(512 * PAGE)
#define GIGA		(512 * HUGE)

/* Directories on ext4 that mirror.sh sets up. */
#define EXT4		"/tmp/mirror_ext4"
#define EXT4_DAX	"/tmp/mirror_dax"
#define THP		"/sys/kernel/mm/transparent_hugepage/"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#ifndef MPOL_BIND
#define MPOL_BIND		2
#endif
#define MPOL_MF_MOVE		2
#define MPOL_MF_MOVE_ALL	4

enum backing { NO_FILE, EXT4_FILE, DAX_FILE, MEMFD, HUGETLB_MEMFD };

struct kind {
	const char *name;
	size_t len;
	int flags;
	enum backing backing;
	bool huge;		/* MADV_HUGEPAGE, and huge it has to become */
	size_t page;		/* what one page-table entry, or folio, maps */
	bool shared;
};

enum {
	ANON, FILE_PRIVATE, FILE_SHARED, FILE_DAX, SHMEM, MEM_FD, MTHP, ANON_THP, SHMEM_THP,
	HUGETLB_PRIVATE, HUGETLB_SHARED, HUGETLB_GIGA, KINDS,
};

static const struct kind kinds[] = {
	[ANON] = { "anon", SMALL, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, false, PAGE, false },
	[FILE_PRIVATE] = { "file_private", SMALL, MAP_PRIVATE, EXT4_FILE, false, PAGE, false },
	[FILE_SHARED] = { "file_shared", SMALL, MAP_SHARED, EXT4_FILE, false, PAGE, true },
	[FILE_DAX] = { "file_dax", SMALL, MAP_SHARED, DAX_FILE, false, PAGE, true },
	[SHMEM] = { "shmem", SMALL, MAP_SHARED | MAP_ANONYMOUS, NO_FILE, false, PAGE, true },
	[MEM_FD] = { "memfd", SMALL, MAP_SHARED, MEMFD, false, PAGE, true },
	[MTHP] = { "mthp", SMALL, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, false, 16 * PAGE, false },
	[ANON_THP] = { "thp", HUGE, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, true, HUGE, false },
	[SHMEM_THP] = { "shmem_thp", HUGE, MAP_SHARED, MEMFD, true, HUGE, true },
	[HUGETLB_PRIVATE] = { "hugetlb_private", HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
			      NO_FILE, false, HUGE, false },
	[HUGETLB_SHARED] = { "hugetlb_shared", HUGE, MAP_SHARED, HUGETLB_MEMFD, false, HUGE, true },
	[HUGETLB_GIGA] = { "hugetlb_giga", GIGA, MAP_SHARED | MAP_NORESERVE, HUGETLB_MEMFD,
			   false, HUGE, true },
};

static inline int memory_file(const struct kind *kind)
{
	char name[32];
	int fd;

	switch (kind->backing) {
	case EXT4_FILE:
	case DAX_FILE:
		snprintf(name, sizeof(name), "%s/XXXXXX",
			 kind->backing == DAX_FILE ? EXT4_DAX : EXT4);
		fd = mkstemp(name);
		if (fd >= 0)
			unlink(name);
		break;
	case MEMFD:
		fd = memfd_create("mirror", 0);
		break;
	default:
		fd = memfd_create("mirror", MFD_HUGETLB);
	}
	if (fd >= 0 && ftruncate(fd, kind->len)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static inline const char *missing(unsigned int kind)
{
	switch (kind) {
	case FILE_PRIVATE:
	case FILE_SHARED:
		return access(EXT4, W_OK) ? "no ext4, see mirror.sh" : NULL;
	case FILE_DAX:
		return access(EXT4_DAX, W_OK) ? "no DAX, see mirror.sh" : NULL;
	case MTHP:
		return put(THP "hugepages-64kB/enabled", "madvise") ? "no mTHP" : NULL;
	case ANON_THP:
	case SHMEM_THP:
		return access(THP "enabled", F_OK) ? "no THP" : NULL;
	case HUGETLB_PRIVATE:
	case HUGETLB_SHARED:
	case HUGETLB_GIGA:
		if (number_of("/proc/sys/vm/nr_hugepages") < 12)
			put("/proc/sys/vm/nr_hugepages", "16");
		return number_of("/proc/sys/vm/nr_hugepages") < 8 ? "no huge pages" : NULL;
	default:
		return NULL;
	}
}

#endif /* MIRROR_UTIL_H */
