// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the checker, CONFIG_DEBUG_MMU_NOTIFIER, costs: instructions (TSC ticks, under
 * QEMU's -icount) of operations that change page tables, the minimum over the
 * repetitions. A result is a line "= WHAT NUMBER".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	4096UL
#define PAGES	1000UL

static char *mem;		/* PAGES, touched */
static char *spot;		/* a mapping that comes and goes */

static void die(const char *what)
{
	printf("checker: %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline uint64_t tsc(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
	return (uint64_t)hi << 32 | lo;
}

static void touch(char *p, unsigned long pages)
{
	unsigned long i;

	for (i = 0; i < pages; i++)
		*(volatile char *)(p + i * PAGE) = 1;
}

static void map_touch_unmap(void)
{
	char *p = mmap(spot, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p != spot)
		die("mmap");
	touch(p, 1);
	if (munmap(p, PAGE))
		die("munmap");
}

static void protect(char *p, unsigned long pages)
{
	if (mprotect(p, pages * PAGE, PROT_READ) ||
	    mprotect(p, pages * PAGE, PROT_READ | PROT_WRITE))
		die("mprotect");
}

static void protect_one(void)
{
	protect(mem, 1);
}

static void protect_all(void)
{
	protect(mem, PAGES);
}

static void drop_and_fault(void)
{
	if (madvise(mem, PAGES * PAGE, MADV_DONTNEED))
		die("madvise");
	touch(mem, PAGES);
}

static void fork_exit(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		_exit(0);
	if (waitpid(pid, NULL, 0) != pid)
		die("waitpid");
}

/* After a fork, each page is copied, or taken back, when it is written to. */
static void fork_cow(void)
{
	fork_exit();
	touch(mem, PAGES);
}

static const struct {
	const char *name;
	void (*fn)(void);
	int repeat;
} ops[] = {
	{ "mmap, touch, munmap a page", map_touch_unmap, 2000 },
	{ "mprotect a page twice", protect_one, 2000 },
	{ "mprotect 1,000 pages twice", protect_all, 100 },
	{ "drop 1,000 pages, fault them in", drop_and_fault, 60 },
	{ "fork and exit, 1,000 pages", fork_exit, 200 },
	{ "the same, then write to each page", fork_cow, 60 },
	{ NULL, NULL, 0 }
};

int main(void)
{
	unsigned int i;
	int n;

	mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	spot = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED || spot == MAP_FAILED)
		die("mmap");
	touch(mem, PAGES);
	for (i = 0; ops[i].name; i++) {
		uint64_t best = UINT64_MAX, t;

		for (n = 0; n < ops[i].repeat; n++) {
			t = tsc();
			ops[i].fn();
			t = tsc() - t;
			if (t < best)
				best = t;
		}
		printf("= %s: %llu\n", ops[i].name, (unsigned long long)best);
	}
	return 0;
}
