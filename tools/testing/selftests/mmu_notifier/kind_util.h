/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What gru_kind_test and xpmem_kind_test have in common: some memory, a device that
 * is read and written at its addresses, and ways to examine a page.
 */
#ifndef KIND_UTIL_H
#define KIND_UTIL_H

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "mirror_util.h"

#define PAGES		16
#define LEN		(PAGES * PAGE)

#ifndef MADV_COLD
#define MADV_COLD	20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif

#define EXPECT_ERRNO(error, call) do {	\
	EXPECT_EQ(-1, (call));		\
	EXPECT_EQ(error, errno);	\
} while (0)

static inline char *map_anon(void *at, int prot)
{
	return mmap(at, LEN, prot, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0),
		    -1, 0);
}

static inline ssize_t dev_read(int dev, const void *addr, void *buf, size_t len)
{
	return pread(dev, buf, len, (off_t)(uintptr_t)addr);
}

static inline ssize_t dev_write(int dev, void *addr, const void *buf, size_t len)
{
	return pwrite(dev, buf, len, (off_t)(uintptr_t)addr);
}

/* One long; ~0 if the device cannot. */
static inline long dev_get(int dev, const void *addr)
{
	long value;

	return dev_read(dev, addr, &value, sizeof(value)) == sizeof(value) ? value : ~0l;
}

static inline int dev_put(int dev, void *addr, long value)
{
	return dev_write(dev, addr, &value, sizeof(value)) == sizeof(value) ? 0 : -1;
}

static inline long cpu_get(const void *addr)
{
	return *(volatile const long *)addr;
}

static inline void cpu_put(void *addr, long value)
{
	*(volatile long *)addr = value;
}

static inline uint64_t pagemap(const void *addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, (uintptr_t)addr / PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry;
}

/*
 * Reclaim, perhaps several times, and count the pages that have left memory: from swap
 * and page cache, too, where a page stays that is referenced elsewhere.
 */
static inline int page_out(char *mem, int pages)
{
	unsigned char in_core[PAGES];
	int i, tries, gone = 0;

	for (tries = 0; tries < 50 && gone < pages; tries++) {
		/* Pages on their way to an LRU list, in another CPU's batch: drain all. */
		if (tries) {
			put("/proc/sys/vm/compact_memory", "1");
			usleep(20000);
		}
		madvise(mem, pages * PAGE, MADV_PAGEOUT);
		if (mincore(mem, pages * PAGE, in_core))
			return -1;
		for (i = 0, gone = 0; i < pages; i++)
			gone += !(in_core[i] & 1);
	}
	return gone;
}

/* A child that runs until it is told to go on, in steps. */
struct child {
	pid_t pid;
	int to, from;
};

static inline bool child_wait(int fd)
{
	char c;

	return read(fd, &c, 1) == 1;
}

static inline void child_go(int fd)
{
	if (write(fd, "", 1) != 1)
		abort();
}

/* In the parent as fork(); the ends of the pipes are where either needs them. */
static inline pid_t child_fork(struct child *c)
{
	int down[2], up[2];

	if (pipe(down) || pipe(up))
		return -1;
	c->pid = fork();
	if (c->pid < 0)
		return -1;
	if (!c->pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	c->to = c->pid ? down[1] : up[1];
	c->from = c->pid ? up[0] : down[0];
	close(c->pid ? down[0] : down[1]);
	close(c->pid ? up[1] : up[0]);
	return c->pid;
}

/* Its exit status; -1 if it was killed. */
static inline int child_end(struct child *c)
{
	int status;

	close(c->to);
	close(c->from);
	if (waitpid(c->pid, &status, 0) != c->pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* A file on ext4 of LEN bytes, or -1. */
static inline int ext4_file(void)
{
	char name[] = EXT4 "/XXXXXX";
	int fd = mkstemp(name);

	if (fd < 0)
		return -1;
	unlink(name);
	if (ftruncate(fd, LEN)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* What is on the disk: nothing that is in the page cache only. */
static inline long disk_get(int fd, off_t off)
{
	long value;

	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ||
	    pread(fd, &value, sizeof(value), off) != sizeof(value))
		return ~0l;
	return value;
}

#endif /* KIND_UTIL_H */
