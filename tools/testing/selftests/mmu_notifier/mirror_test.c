// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can happen to a page, to each kind of page, as a secondary MMU sees it.
 *
 * A scenario maps memory, lets a mirror (/dev/mmu_notifier_mirror) fault all of
 * it in, does one thing to it, and then checks whether the mirror was told, in
 * the way that its flavour has, whether it has let go of what it had to, and
 * whether CPU and mirror see the same, and the right, contents. What leaves the
 * contents alone is done again while kernel threads work through the mirror:
 * none of their additions may be lost.
 *
 * Skipped is only what the kernel or the machine does not have.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/compiler.h>
#include <linux/fs.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "lib/test_hmm_uapi.h"
#include "mirror_util.h"

/* Aligned to everything; nothing else is mapped around there. */
#define BASE		((char *)0x100000000000)
#define ELSEWHERE	((char *)0x110000000000)

/* Offsets in a page of numbers, by the one that keeps them. */
#define PATTERN		0	/* written by the CPU, once */
#define COUNT		8	/* the mirror's additions, of all pages alike */
#define BUSY		16	/* those of the mirror's threads */
#define OWN		32	/* a process's that has forked, or was */

#define CGROUP		"/sys/fs/cgroup/mirror_test"
#define KSM		"/sys/kernel/mm/ksm/"

/* As in the kernel. */
enum mmu_notifier_event {
	MMU_NOTIFY_UNMAP,
	MMU_NOTIFY_CLEAR,
	MMU_NOTIFY_PROTECTION_VMA,
	MMU_NOTIFY_PROTECTION_PAGE,
	MMU_NOTIFY_SOFT_DIRTY,
	MMU_NOTIFY_RELEASE,
	MMU_NOTIFY_MIGRATE,
	MMU_NOTIFY_EXCLUSIVE,
	ANY_EVENT,
};

/* A start/end pair, or where the kernel changes one page: invalidate_page. */
enum how { PAIR, ONE_PAGE };

enum effect { DROPS, PROTECTS };

/* What the CPU finds where something was taken away. */
enum after { GONE, ZERO, KEPT };

struct world {
	struct __test_metadata *test;
	const struct kind *kind;
	unsigned int flavour;
	unsigned int flags;	/* of the mirror */
	int mirror;
	int file;
	int pagemap;
	char *mem;
	size_t len;		/* of what has contents */
	uint64_t count;		/* expected at COUNT */
	uint64_t busy;		/* expected at BUSY, of all pages together */
	bool alike;		/* all pages have the same PATTERN */
	struct mirror_stats before;
	/* Since mark(), at most: see expect_no_more(). */
	char *lo, *hi;		/* bytes that may be told of */
	char *goes_lo, *goes_hi;	/* and of those, with MMU_NOTIFY_UNMAP */
	unsigned int events;	/* bits of other events than the expected one */
	unsigned int most;	/* starts, 0: what expect_told() takes for normal */
};

static volatile uint64_t *word(char *mem, size_t page, size_t offset)
{
	return (volatile uint64_t *)(mem + page * PAGE + offset);
}

static uint64_t pattern(const struct world *w, size_t page)
{
	return 0x9e3779b97f4a7c15ull * (w->alike ? 1 : page + 1);
}

/* The entry of a page in /proc/self/pagemap. */
#define PM_PRESENT	0x8000000000000000ull
#define PM_SOFT_DIRTY	0x0080000000000000ull
#define PM_PFN		0x007fffffffffffffull

static uint64_t pagemap(struct world *w, const char *addr)
{
	uint64_t entry = 0;

	if (pread(w->pagemap, &entry, 8, (uintptr_t)addr / PAGE * 8) != 8)
		return 0;
	return entry;
}

static bool is_huge(struct world *w, char *addr)
{
	struct page_region region;
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.start = (uintptr_t)addr,
		.end = (uintptr_t)addr + PAGE,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_HUGE,
		.return_mask = PAGE_IS_HUGE,
	};

	return ioctl(w->pagemap, PAGEMAP_SCAN, &scan) == 1;
}

/* Memory that is accounted in the whole system, in KiB; or -1. */
static long committed(void)
{
	char text[4096], *found;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[len > 0 ? len : 0] = 0;
	found = strstr(text, "Committed_AS:");
	return found ? strtol(found + strlen("Committed_AS:"), NULL, 10) : -1;
}

/* Folios that wait in the per-CPU batches of the LRU are not found by many. */
static void drain_lru(void)
{
	put("/proc/sys/vm/drop_caches", "1");
}

static struct mirror_stats stats(struct world *w)
{
	struct __test_metadata *_metadata = w->test;
	struct mirror_stats s = {};

	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_STATS, &s));
	return s;
}

static struct mirror_log *take_log(struct world *w)
{
	struct __test_metadata *_metadata = w->test;
	static struct mirror_log log;

	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_LOG, &log));
	return &log;
}

/* From here on the mirror is to be told, and of no more than this. */
static void mark(struct world *w)
{
	w->lo = w->mem;
	w->hi = w->mem + (w->mem == BASE && w->len < w->kind->len ? w->kind->len : w->len);
	w->goes_lo = w->lo;
	w->goes_hi = w->hi;
	w->events = 0;
	w->most = 0;
	take_log(w);
	w->before = stats(w);
}

/* How many pages the mirror could touch; with @sum of what it read there. */
static uint64_t mirror(struct world *w, char *mem, size_t len, bool write, bool nofault,
		       size_t offset, uint64_t *sum)
{
	struct mirror_access access = {
		.start = (uintptr_t)mem,
		.end = (uintptr_t)mem + len,
		.write = write,
		.nofault = nofault,
		.offset = offset,
	};

	/* An error says that it did not touch all of them. */
	if (ioctl(w->mirror, MIRROR_ACCESS, &access) && access.pages == len / PAGE)
		access.pages = 0;
	if (sum)
		*sum = access.sum;
	return access.pages;
}

static uint64_t mirror_reads(struct world *w, char *mem, size_t len)
{
	return mirror(w, mem, len, false, false, COUNT, NULL);
}

/* How many pages the mirror has entries for: writable ones, or any. */
static uint64_t entries(struct world *w, bool writable)
{
	/* The number there is not used. */
	return mirror(w, w->mem, w->len, writable, true, BUSY + 8, NULL);
}

static void attach_range(struct world *w, char *start, size_t len)
{
	struct __test_metadata *_metadata = w->test;
	struct mirror_attach attach = {
		.start = (uintptr_t)start,
		.end = (uintptr_t)start + len,
		.flavour = w->flavour,
		.flags = w->flags,
	};

	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_ATTACH, &attach));
	mark(w);
}

static void attach(struct world *w)
{
	attach_range(w, w->mem, w->kind->len);
}

/* Every page is written to through the mirror, and so mapped by it. */
static void touch(struct world *w)
{
	struct __test_metadata *_metadata = w->test;

	ASSERT_EQ(w->len / PAGE, mirror(w, w->mem, w->len, true, false, COUNT, NULL));
	w->count++;
}

/* Nothing of the mirror's is stale, and no checker has found anything. */
static void check(struct world *w)
{
	struct __test_metadata *_metadata = w->test;
	struct mirror_stats s;
	uint64_t violations;

	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_CHECK, &violations));
	s = stats(w);
	EXPECT_EQ(0, violations);
	EXPECT_EQ(0, s.violations);
	EXPECT_EQ(w->before.reports, s.reports);
}

/* The contents of all pages, which may have moved to @mem, as the CPU sees them. */
static void verify_cpu(struct world *w, char *mem)
{
	struct __test_metadata *_metadata = w->test;
	size_t page, wrong = 0, lost = 0;
	uint64_t busy = 0;

	for (page = 0; page < w->len / PAGE; page++) {
		wrong += *word(mem, page, PATTERN) != pattern(w, page);
		lost += *word(mem, page, COUNT) != w->count;
		busy += *word(mem, page, BUSY);
	}
	EXPECT_EQ(0, wrong);
	EXPECT_EQ(0, lost);
	EXPECT_EQ(w->busy, busy);
}

static void verify(struct world *w)
{
	struct __test_metadata *_metadata = w->test;
	uint64_t sum;

	verify_cpu(w, w->mem);
	EXPECT_EQ(w->len / PAGE, mirror(w, w->mem, w->len, false, false, COUNT, &sum));
	EXPECT_EQ(w->count * (w->len / PAGE), sum);
	check(w);
}

/* All pages are as if they had never been written to. */
static void verify_zero(struct world *w)
{
	struct __test_metadata *_metadata = w->test;
	size_t page, wrong = 0;
	uint64_t sum;

	EXPECT_EQ(w->len / PAGE, mirror(w, w->mem, w->len, false, false, COUNT, &sum));
	EXPECT_EQ(0, sum);
	for (page = 0; page < w->len / PAGE; page++)
		wrong += !!*word(w->mem, page, PATTERN);
	EXPECT_EQ(0, wrong);
	check(w);
}

static bool told(struct world *w, const struct mirror_stats *s, enum how by)
{
	if (w->flavour == MIRROR_TLB)
		return s->flushes > w->before.flushes;
	if (w->flavour == MIRROR_PAGE && by == ONE_PAGE)
		return s->pages > w->before.pages;
	return s->starts > w->before.starts;
}

#define BIT(nr)		(1u << (nr))

static bool overlaps(const struct mirror_record *r, const char *lo, const char *hi)
{
	return r->start < (uintptr_t)hi && r->end > (uintptr_t)lo;
}

/*
 * Nor was the mirror told of more: of other bytes, of a mapping that goes when it
 * stays, or more often. Nothing but the test's memory is near BASE; elsewhere only
 * what touches it counts.
 */
static void expect_no_more(struct world *w, enum how by, enum mmu_notifier_event event)
{
	struct __test_metadata *_metadata = w->test;
	size_t near = w->mem == BASE ? GIGA : 0;
	unsigned int most = w->most, allowed = w->events, starts = 0, i;
	struct mirror_log *log = take_log(w);

	if (w->flavour == MIRROR_TLB)
		return;
	if (!most && event != ANY_EVENT)
		most = by == ONE_PAGE ? (w->hi - w->lo) / PAGE : 1;
	if (event == ANY_EVENT)
		allowed |= ~BIT(MMU_NOTIFY_UNMAP);
	else
		allowed |= BIT(event);
	for (i = 0; i < log->nr; i++) {
		const struct mirror_record *r = &log->record[i];
		bool inside, goes;

		if (r->call == MIRROR_ENDS || !overlaps(r, w->lo - near, w->hi + near))
			continue;
		starts++;
		inside = r->start >= (uintptr_t)w->lo && r->end <= (uintptr_t)w->hi;
		goes = r->start >= (uintptr_t)w->goes_lo && r->end <= (uintptr_t)w->goes_hi;
		if (r->event == MMU_NOTIFY_SOFT_DIRTY)
			inside = !r->start && r->end == ~0ull;
		EXPECT_TRUE(inside && BIT(r->event) & allowed &&
			    (goes || r->event != MMU_NOTIFY_UNMAP)) {
			TH_LOG("told [%llx, %llx), event %u: more than [%p, %p), events %x",
			       r->start, r->end, r->event, w->lo, w->hi, allowed);
		}
	}
	if (most)
		EXPECT_GE(most, starts);
}

/* Since mark(), the mirror was told in the way that its flavour has, and not more. */
static void expect_told(struct world *w, enum how by, enum mmu_notifier_event event)
{
	struct __test_metadata *_metadata = w->test;
	struct mirror_stats s = stats(w);

	EXPECT_TRUE(told(w, &s, by)) {
		TH_LOG("starts +%llu pages +%llu flushes +%llu",
		       s.starts - w->before.starts, s.pages - w->before.pages,
		       s.flushes - w->before.flushes);
	}
	if (w->flavour == MIRROR_LIST || w->flavour == MIRROR_PAGE)
		EXPECT_EQ(s.starts, s.ends);
	if (w->flavour == MIRROR_PAGE && by == ONE_PAGE)
		EXPECT_EQ(w->before.starts, s.starts);
	if (w->flavour != MIRROR_PAGE)
		EXPECT_EQ(0, s.pages);
	if (w->flavour != MIRROR_TLB)
		EXPECT_EQ(0, s.flushes);
	if (w->flavour != MIRROR_TLB && event != ANY_EVENT)
		EXPECT_EQ(event, s.last_event);
	expect_no_more(w, by, event);
}

static void expect_effect(struct world *w, enum effect effect)
{
	struct __test_metadata *_metadata = w->test;

	EXPECT_EQ(0, entries(w, effect == PROTECTS));
}

/* Kernel threads read and write through the mirror, from here to idle(). */
static void busy(struct world *w)
{
	struct __test_metadata *_metadata = w->test;
	struct mirror_threads threads = {
		.nr = 2,
		.seed = 1,
		.writes = 50,
		.offset = BUSY,
	};
	struct mirror_stats s;
	double end = now() + 5;

	mark(w);
	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_THREADS, &threads));
	do {
		s = stats(w);
	} while (s.writes == w->before.writes && now() < end && !usleep(500));
	ASSERT_NE(s.writes, w->before.writes);
}

static void idle(struct world *w)
{
	struct __test_metadata *_metadata = w->test;
	struct mirror_stats s;

	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_STOP));
	s = stats(w);
	w->busy += s.writes - w->before.writes;
}

static char *map_at(struct world *w, char *where)
{
	return mmap(where, w->kind->len, PROT_READ | PROT_WRITE,
		    w->kind->flags | MAP_FIXED_NOREPLACE, w->file, 0);
}

static void fill(struct world *w)
{
	size_t page;

	for (page = 0; page < w->len / PAGE; page++)
		*word(w->mem, page, PATTERN) = pattern(w, page);
}

static int collapse(char *mem)
{
	int tries = 20, ret;

	/* EAGAIN: a page was just being used. */
	do {
		ret = madvise(mem, HUGE, MADV_COLLAPSE);
	} while (ret && errno == EAGAIN && tries-- && !usleep(1000));
	return ret;
}

/* The mirror's device, but neither memory nor a mirror of it yet. */
static void begin(struct world *w, struct __test_metadata *_metadata, unsigned int flavour)
{
	w->test = _metadata;
	w->flavour = flavour;
	w->file = -1;
	w->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, w->pagemap);
	w->mirror = open("/dev/mmu_notifier_mirror", O_RDWR | O_CLOEXEC);
	if (w->mirror < 0)
		SKIP(return, "needs CONFIG_MMU_NOTIFIER_MIRROR");
}

static void make_memory(struct world *w, unsigned int kind)
{
	struct __test_metadata *_metadata = w->test;
	const char *what = missing(kind);

	if (what)
		SKIP(return, "%s", what);
	w->kind = &kinds[kind];
	if (w->kind->backing != NO_FILE) {
		w->file = memory_file(w->kind);
		ASSERT_LE(0, w->file);
	}
	w->mem = map_at(w, BASE);
	ASSERT_EQ(BASE, w->mem);
	w->len = kind == HUGETLB_GIGA ? HUGE : w->kind->len;
	if (w->kind->huge || kind == MTHP)
		ASSERT_EQ(0, madvise(w->mem, w->len, MADV_HUGEPAGE));
	fill(w);
	if (w->kind->huge) {
		ASSERT_EQ(0, collapse(w->mem));
		/* A file's huge page is mapped when it is used. */
		verify_cpu(w, w->mem);
		ASSERT_TRUE(is_huge(w, w->mem));
	}
}

static void setup(struct world *w, struct __test_metadata *test, unsigned int kind,
		  unsigned int flavour)
{
	begin(w, test, flavour);
	if (test->exit_code)
		return;
	make_memory(w, kind);
	if (test->exit_code)
		return;
	attach(w);
	touch(w);
}

static void finish(struct world *w)
{
	close(w->mirror);
	close(w->pagemap);
	if (w->file >= 0)
		close(w->file);
}

static enum how rmap_how(const struct world *w)
{
	/* What works on a folio tells of all of it. */
	return w->kind->page == PAGE ? ONE_PAGE : PAIR;
}

typedef int (*operation)(struct world *w);

static int do_pageout(struct world *w);
static int do_soft_dirty(struct world *w);
static int do_truncate(struct world *w);
static int do_punch(struct world *w);
static int do_remove(struct world *w);
static int do_move_pages(struct world *w);

/* What leaves the contents as they are. */
static void keeps(struct world *w, operation op, enum how by, enum mmu_notifier_event event,
		  enum effect effect)
{
	struct __test_metadata *_metadata = w->test;
	int i;

	mark(w);
	/* What works on folios tells of each. */
	if (w->kind->page > PAGE)
		w->most = w->len / w->kind->page;
	/* A huge page that does not fit into swap is split, and goes in parts. */
	if (op == do_pageout && w->kind->page > PAGE)
		w->most += 1 + w->len / PAGE;
	/* A folio that finds no place as a whole is split, and moves in parts. */
	if (op == do_move_pages && w->kind == &kinds[MTHP])
		w->most += w->len / PAGE;
	if (op == do_soft_dirty)
		w->most = 1;
	ASSERT_EQ(0, op(w)) {
		TH_LOG("%s", strerror(errno));
	}
	expect_told(w, by, event);
	expect_effect(w, effect);
	verify(w);
	touch(w);
	verify(w);

	busy(w);
	for (i = 0; i < 5; i++)
		op(w);
	idle(w);
	verify(w);
}

/* What takes pages, or their mapping, away. */
static void loses(struct world *w, operation op, enum mmu_notifier_event event,
		  enum after after)
{
	struct __test_metadata *_metadata = w->test;

	mark(w);
	/* For copies that faults may have made in between. */
	if (op == do_truncate)
		w->most = 2;
	/* ext4 first writes what is dirty. */
	if (w->kind->backing == EXT4_FILE && (op == do_punch || op == do_remove)) {
		w->events = BIT(MMU_NOTIFY_PROTECTION_PAGE);
		w->most = 1 + w->len / PAGE;
	}
	ASSERT_EQ(0, op(w)) {
		TH_LOG("%s", strerror(errno));
	}
	expect_told(w, PAIR, event);
	expect_effect(w, DROPS);
	check(w);
	switch (after) {
	case GONE:
		EXPECT_EQ(0, mirror_reads(w, w->mem, w->len));
		break;
	case ZERO:
		verify_zero(w);
		break;
	case KEPT:
		verify(w);
		break;
	}
	check(w);
}

/* A child that waits, with all that fork() left it, until told to check. */
struct child {
	pid_t pid;
	int pipe[2];
};

/* In the child: false; it calls child_waits() before it exits. */
static bool fork_child(struct world *w, struct child *child)
{
	struct __test_metadata *_metadata = w->test;

	ASSERT_EQ(0, pipe(child->pipe));
	child->pid = fork();
	ASSERT_LE(0, child->pid);
	if (!child->pid) {
		close(child->pipe[1]);
		return false;
	}
	close(child->pipe[0]);
	return true;
}

static void child_waits(struct child *child)
{
	char c;

	while (read(child->pipe[0], &c, 1) < 0 && errno == EINTR)
		;
}

static int child_ends(struct child *child)
{
	int status = -1;

	if (child->pid <= 0)
		return 0;
	close(child->pipe[1]);
	waitpid(child->pid, &status, 0);
	child->pid = 0;
	return status;
}

/* Variants: each of the flavours, with one kind of memory. */
#define FLAVOURS(fixture, name, k)						\
	struct world;								\
	FIXTURE_VARIANT_ADD(fixture, name##_list)				\
	{ .kind = k, .flavour = MIRROR_LIST };					\
	FIXTURE_VARIANT_ADD(fixture, name##_page)				\
	{ .kind = k, .flavour = MIRROR_PAGE };					\
	FIXTURE_VARIANT_ADD(fixture, name##_interval)				\
	{ .kind = k, .flavour = MIRROR_INTERVAL };				\
	FIXTURE_VARIANT_ADD(fixture, name##_tlb)				\
	{ .kind = k, .flavour = MIRROR_TLB }

/* A fixture of memory that is filled, mirrored and mapped by the mirror. */
#define MIRRORED(fixture)							\
	FIXTURE(fixture) { struct world w; };					\
	FIXTURE_VARIANT(fixture) { unsigned int kind; unsigned int flavour; };	\
	FIXTURE_SETUP(fixture)							\
	{ setup(&self->w, _metadata, variant->kind, variant->flavour); }	\
	FIXTURE_TEARDOWN(fixture)						\
	{ finish(&self->w); }							\
	struct world

static int do_munmap(struct world *w)
{
	return munmap(w->mem, w->kind->len);
}

static int do_map_over(struct world *w)
{
	char *p = mmap(w->mem, w->len, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	return p == w->mem ? 0 : -1;
}

static int do_dontneed(struct world *w)
{
	return madvise(w->mem, w->len, MADV_DONTNEED);
}

static int protect(struct world *w, int prot)
{
	return mprotect(w->mem, w->len, prot);
}

/* The entries are cleared, then what is left of the mapping goes. */
static void moves(struct world *w)
{
	w->events = BIT(MMU_NOTIFY_CLEAR);
	w->most = 2;
}

static int move(struct world *w, char *from, char *to)
{
	char *p = mremap(from, w->kind->len, w->kind->len, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	return p == to ? 0 : -1;
}

/* Reclaim leaves the TLB flush for later only if another CPU has to take part. */
static void run_on_all_cpus(void)
{
	cpu_set_t all, one;
	int cpu;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	sched_setaffinity(0, sizeof(all), &all);
}

static int do_pageout(struct world *w)
{
	run_on_all_cpus();
	return madvise(w->mem, w->len, MADV_PAGEOUT);
}

static int do_soft_dirty(struct world *w)
{
	return put("/proc/self/clear_refs", "4");
}

static int node;

/* To the other node, and back at the next call. */
static int do_move_pages(struct world *w)
{
	static void *pages[512];
	static int nodes[512], status[512];
	size_t i, step = w->kind->page, nr = w->len / step;
	int moved = 0;

	node = !node;
	for (i = 0; i < nr; i++) {
		pages[i] = w->mem + i * step;
		nodes[i] = node;
	}
	if (syscall(__NR_move_pages, 0, nr, pages, nodes, status, MPOL_MF_MOVE_ALL) < 0)
		return -1;
	for (i = 0; i < nr; i++)
		moved += status[i] == node;
	errno = EBUSY;
	return moved == nr ? 0 : -1;
}

/* fixture any: what can be done to all kinds of memory alike */
MIRRORED(any);
FLAVOURS(any, anon, ANON);
FLAVOURS(any, file_private, FILE_PRIVATE);
FLAVOURS(any, file_shared, FILE_SHARED);
FLAVOURS(any, shmem, SHMEM);
FLAVOURS(any, memfd, MEM_FD);
FLAVOURS(any, mthp, MTHP);
FLAVOURS(any, thp, ANON_THP);
FLAVOURS(any, shmem_thp, SHMEM_THP);
FLAVOURS(any, hugetlb_private, HUGETLB_PRIVATE);
FLAVOURS(any, hugetlb_shared, HUGETLB_SHARED);

TEST_F(any, munmap)
{
	loses(&self->w, do_munmap, MMU_NOTIFY_UNMAP, GONE);
}

TEST_F(any, munmap_busy)
{
	struct world *w = &self->w;

	busy(w);
	ASSERT_EQ(0, do_munmap(w));
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	idle(w);
	expect_effect(w, DROPS);
	check(w);
}

TEST_F(any, map_over)
{
	loses(&self->w, do_map_over, MMU_NOTIFY_UNMAP, ZERO);
}

TEST_F(any, dontneed)
{
	loses(&self->w, do_dontneed, MMU_NOTIFY_CLEAR, self->w.kind->shared ? KEPT : ZERO);
}

TEST_F(any, mprotect_readonly)
{
	struct world *w = &self->w;
	int i;

	mark(w);
	ASSERT_EQ(0, protect(w, PROT_READ));
	expect_told(w, PAIR, MMU_NOTIFY_PROTECTION_VMA);
	expect_effect(w, PROTECTS);
	EXPECT_EQ(0, mirror(w, w->mem, w->len, true, false, COUNT, NULL));
	verify(w);
	ASSERT_EQ(0, protect(w, PROT_READ | PROT_WRITE));
	touch(w);
	verify(w);

	busy(w);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, protect(w, PROT_READ));
		ASSERT_EQ(0, protect(w, PROT_READ | PROT_WRITE));
	}
	idle(w);
	verify(w);
}

TEST_F(any, mprotect_none)
{
	struct world *w = &self->w;
	int i;

	mark(w);
	ASSERT_EQ(0, protect(w, PROT_NONE));
	expect_told(w, PAIR, MMU_NOTIFY_PROTECTION_VMA);
	expect_effect(w, DROPS);
	EXPECT_EQ(0, mirror_reads(w, w->mem, w->len));
	check(w);
	ASSERT_EQ(0, protect(w, PROT_READ | PROT_WRITE));
	touch(w);
	verify(w);

	busy(w);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, protect(w, PROT_NONE));
		ASSERT_EQ(0, protect(w, PROT_READ | PROT_WRITE));
	}
	idle(w);
	verify(w);
}

TEST_F(any, mremap_move)
{
	struct world *w = &self->w;
	int i;

	mark(w);
	moves(w);
	ASSERT_EQ(0, move(w, w->mem, ELSEWHERE));
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	expect_effect(w, DROPS);
	EXPECT_EQ(0, mirror_reads(w, w->mem, w->len));
	verify_cpu(w, ELSEWHERE);
	check(w);
	ASSERT_EQ(0, move(w, ELSEWHERE, w->mem));
	verify(w);

	busy(w);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, move(w, w->mem, ELSEWHERE));
		ASSERT_EQ(0, move(w, ELSEWHERE, w->mem));
	}
	idle(w);
	verify(w);
}

TEST_F(any, move_pages)
{
	if (!two_nodes())
		SKIP(return, "needs two nodes (numa=fake=2)");
	drain_lru();
	/* Now all are on one node, wherever they were. */
	do_move_pages(&self->w);
	touch(&self->w);
	keeps(&self->w, do_move_pages, rmap_how(&self->w), MMU_NOTIFY_CLEAR, DROPS);
}

/* The child goes with all it has; the mirror is open in its parent too. */
TEST_F(any, exit)
{
	struct world *w = &self->w;
	struct world other = *w;
	struct child child;
	struct mirror_stats s;
	int i;

	other.mirror = open("/dev/mmu_notifier_mirror", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, other.mirror);
	if (!fork_child(w, &child)) {
		attach(&other);
		touch(&other);
		busy(&other);
		_exit(0);
	}
	EXPECT_EQ(0, child_ends(&child));
	ASSERT_EQ(0, ioctl(other.mirror, MIRROR_STOP));
	/* A thread of the mirror may have had the last reference: a worker's then. */
	for (i = 0; i < 10000 && !stats(&other).releases; i++)
		usleep(1000);
	s = stats(&other);
	EXPECT_EQ(1, s.releases);
	EXPECT_EQ(0, s.live);
	EXPECT_EQ(0, s.violations);
	EXPECT_EQ(0, mirror_reads(&other, w->mem, w->len));
	/* Telling it a second time would be a violation. */
	EXPECT_EQ(0, ioctl(other.mirror, MIRROR_DETACH));
	close(other.mirror);
}

TEST_F(any, detach_busy)
{
	struct world *w = &self->w;
	int i;

	for (i = 0; i < 3; i++) {
		busy(w);
		ASSERT_EQ(0, protect(w, PROT_READ));
		ASSERT_EQ(0, protect(w, PROT_READ | PROT_WRITE));
		idle(w);
		check(w);
		ASSERT_EQ(0, ioctl(w->mirror, MIRROR_DETACH));
		verify_cpu(w, w->mem);
		attach(w);
		touch(w);
	}
}

/* fixture lru: what is on the LRU lists, and in soft-dirty's sight: no hugetlb */
MIRRORED(lru);
FLAVOURS(lru, anon, ANON);
FLAVOURS(lru, file_private, FILE_PRIVATE);
FLAVOURS(lru, file_shared, FILE_SHARED);
FLAVOURS(lru, shmem, SHMEM);
FLAVOURS(lru, memfd, MEM_FD);
FLAVOURS(lru, mthp, MTHP);
FLAVOURS(lru, thp, ANON_THP);
FLAVOURS(lru, shmem_thp, SHMEM_THP);

TEST_F(lru, pageout)
{
	if (!swap_is_on())
		SKIP(return, "needs swap, see mirror.sh");
	drain_lru();
	keeps(&self->w, do_pageout, rmap_how(&self->w), MMU_NOTIFY_CLEAR, DROPS);
}

TEST_F(lru, soft_dirty)
{
	struct world *w = &self->w;
	size_t page, dirty = 0;

	if (!(pagemap(w, w->mem) & PM_SOFT_DIRTY))
		SKIP(return, "needs CONFIG_MEM_SOFT_DIRTY");
	keeps(w, do_soft_dirty, PAIR, MMU_NOTIFY_SOFT_DIRTY, PROTECTS);

	/* A write through the mirror is a write. */
	touch(w);
	ASSERT_EQ(0, do_soft_dirty(w));
	for (page = 0; page < w->len / PAGE; page++)
		dirty += !!(pagemap(w, w->mem + page * PAGE) & PM_SOFT_DIRTY);
	EXPECT_EQ(0, dirty);
	touch(w);
	for (page = 0; page < w->len / PAGE; page++)
		dirty += !!(pagemap(w, w->mem + page * PAGE) & PM_SOFT_DIRTY);
	EXPECT_EQ(w->len / PAGE, dirty);
}

static int do_compact(struct world *w)
{
	return put("/proc/sys/vm/compact_memory", "1");
}

/* It cannot be said whose pages compaction moves. */
TEST_F(lru, compaction)
{
	struct world *w = &self->w;

	if (do_compact(w))
		SKIP(return, "needs CONFIG_COMPACTION");
	verify(w);
	busy(w);
	do_compact(w);
	idle(w);
	verify(w);
}

static int do_soft_offline(struct world *w)
{
	return madvise(w->mem, PAGE, MADV_SOFT_OFFLINE);
}

/* The page that fails, and all others of its folio, are replaced. */
TEST_F(lru, soft_offline)
{
	struct world *w = &self->w;

	if (access("/proc/sys/vm/memory_failure_recovery", F_OK))
		SKIP(return, "needs CONFIG_MEMORY_FAILURE");
	drain_lru();
	mark(w);
	/* A huge page is split first. */
	if (w->kind->page > PAGE)
		w->most = 3;
	ASSERT_EQ(0, do_soft_offline(w));
	/* The page cache's clean pages are dropped, all else migrates. */
	expect_told(w, rmap_how(w), MMU_NOTIFY_CLEAR);
	verify(w);
}

static int enter_cgroup(void)
{
	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return -1;
	if (access(CGROUP "/memory.reclaim", W_OK))
		return -1;
	return put(CGROUP "/cgroup.procs", "%d", getpid());
}

static void leave_cgroup(void)
{
	put("/sys/fs/cgroup/cgroup.procs", "%d", getpid());
	rmdir(CGROUP);
}

static int do_reclaim(struct world *w)
{
	run_on_all_cpus();
	/* Reading brings up to date what reclaim believes of the group's lists. */
	number_of(CGROUP "/memory.stat");
	/* It may find less than that: no failure. */
	put(CGROUP "/memory.reclaim", "256K");
	return 0;
}

TEST_F(lru, memcg_reclaim)
{
	struct world *w = &self->w;
	struct mirror_stats s;
	int i;

	if (!swap_is_on())
		SKIP(return, "needs swap, see mirror.sh");
	if (enter_cgroup())
		SKIP(return, "needs CONFIG_MEMCG");
	/* Pages belong to the group that first touched them: start anew. */
	ASSERT_EQ(0, do_munmap(w));
	if (w->file >= 0)
		close(w->file);
	w->file = -1;
	w->count = 0;
	make_memory(w, w->kind - kinds);
	touch(w);
	drain_lru();
	mark(w);
	/* First it tests their age, and then, or much later, takes them. */
	for (i = 0; i < 50; i++) {
		do_reclaim(w);
		s = stats(w);
		if (told(w, &s, rmap_how(w)))
			break;
	}
	expect_told(w, rmap_how(w), ANY_EVENT);
	verify(w);
	busy(w);
	do_reclaim(w);
	do_reclaim(w);
	idle(w);
	verify(w);
	leave_cgroup();
}

/* fixture cow: what fork() shares copy-on-write */
MIRRORED(cow);
FLAVOURS(cow, anon, ANON);
FLAVOURS(cow, file_private, FILE_PRIVATE);
FLAVOURS(cow, mthp, MTHP);
FLAVOURS(cow, thp, ANON_THP);
FLAVOURS(cow, hugetlb_private, HUGETLB_PRIVATE);

TEST_F(cow, break)
{
	struct world *w = &self->w;
	struct child child;

	mark(w);
	if (!fork_child(w, &child)) {
		child_waits(&child);
		verify_cpu(w, w->mem);
		_exit(0);
	}
	w->most = 1;
	expect_told(w, PAIR, ANY_EVENT);
	expect_effect(w, PROTECTS);

	/* Reading copies nothing; the child must not see what is written. */
	verify(w);
	mark(w);
	/* Each page, and before that the split of a huge one; hugetlb has no other. */
	w->most = w->kind->huge || w->kind->page < HUGE ?
		  w->len / PAGE + w->kind->huge : 1;
	touch(w);
	if (w->flavour == MIRROR_PAGE && w->kind->page < HUGE)
		expect_told(w, ONE_PAGE, MMU_NOTIFY_CLEAR);
	else
		expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	verify(w);
	EXPECT_EQ(0, child_ends(&child));
	verify(w);
}

/* The child has a snapshot, though the mirror's threads never stop writing. */
TEST_F(cow, snapshot)
{
	struct world *w = &self->w;
	struct child child;
	size_t page;
	int i;

	busy(w);
	for (i = 0; i < 3; i++) {
		if (!fork_child(w, &child)) {
			static uint64_t saw[512];
			int wrong = 0;

			for (page = 0; page < w->len / PAGE; page++) {
				saw[page] = *word(w->mem, page, BUSY);
				wrong += *word(w->mem, page, PATTERN) != pattern(w, page);
				wrong += *word(w->mem, page, COUNT) != w->count;
			}
			usleep(5000);
			for (page = 0; page < w->len / PAGE; page++)
				wrong += saw[page] != *word(w->mem, page, BUSY);
			_exit(!!wrong);
		}
		EXPECT_EQ(0, child_ends(&child));
	}
	idle(w);
	verify(w);
}

/* fixture fork: the mirror is told of fork() */
FIXTURE(fork) {
	struct world w;
	struct child child;
	volatile int *step;	/* shared with the child */
};

FIXTURE_VARIANT(fork) {
	unsigned int kind;
	unsigned int flavour;
};

/* An interval is not told of it. */
#define LISTS(fixture, name, k)							\
	struct world;								\
	FIXTURE_VARIANT_ADD(fixture, name##_list)				\
	{ .kind = k, .flavour = MIRROR_LIST };					\
	FIXTURE_VARIANT_ADD(fixture, name##_page)				\
	{ .kind = k, .flavour = MIRROR_PAGE };					\
	FIXTURE_VARIANT_ADD(fixture, name##_tlb)				\
	{ .kind = k, .flavour = MIRROR_TLB }

LISTS(fork, anon, ANON);
LISTS(fork, file_private, FILE_PRIVATE);
LISTS(fork, thp, ANON_THP);
LISTS(fork, hugetlb, HUGETLB_PRIVATE);
LISTS(fork, shmem, SHMEM);

FIXTURE_SETUP(fork)
{
	self->w.flags = MIRROR_FORK;
	setup(&self->w, _metadata, variant->kind, variant->flavour);
	self->step = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->step);
}

FIXTURE_TEARDOWN(fork)
{
	finish(&self->w);
}

static void wait_step(volatile int *step, int nr)
{
	double end = now() + 20;

	while (*step < nr && now() < end)
		usleep(500);
}

/* The mirror with other flags, and as much mapped as before. */
static void attach_again(struct world *w, unsigned int flags)
{
	struct __test_metadata *_metadata = w->test;

	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_DETACH));
	w->flags = flags;
	attach(w);
	touch(w);
	mark(w);
}

static void expect_forks(struct world *w, uint64_t forks)
{
	struct __test_metadata *_metadata = w->test;
	struct mirror_stats s = stats(w);

	EXPECT_EQ(forks, s.forks - w->before.forks);
}

/* In the child, which is not the one to report. */
static bool is_right(struct world *w, uint64_t count, size_t offset, uint64_t value)
{
	size_t page, wrong = 0;

	for (page = 0; page < w->len / PAGE; page++) {
		wrong += *word(w->mem, page, PATTERN) != pattern(w, page);
		wrong += *word(w->mem, page, COUNT) != count;
		wrong += *word(w->mem, page, offset) != value;
	}
	return !wrong;
}

static void set_all(struct world *w, size_t offset, uint64_t value)
{
	size_t page;

	for (page = 0; page < w->len / PAGE; page++)
		*word(w->mem, page, offset) = value;
}

/* What the child, its parent and the parent's device write stays with each. */
TEST_F(fork, writes)
{
	struct world *w = &self->w;
	bool shared = w->kind->shared;
	size_t page, wrong = 0;

	mark(w);
	if (!fork_child(w, &self->child)) {
		bool ok = is_right(w, w->count, OWN, 0);

		set_all(w, OWN, 1);
		*self->step = 1;
		wait_step(self->step, 2);
		_exit(!ok || !is_right(w, w->count + 2 * shared, OWN, 1 + shared));
	}
	expect_forks(w, 1);
	wait_step(self->step, 1);
	touch(w);
	for (page = 0; page < w->len / PAGE; page++)
		wrong += *word(w->mem, page, OWN) != shared;
	EXPECT_EQ(0, wrong);
	set_all(w, OWN, 2);
	touch(w);
	*self->step = 2;
	verify(w);
	EXPECT_EQ(0, child_ends(&self->child));
	verify(w);
	expect_forks(w, 1);
}

/* The subscriber's errno is fork()'s, and nothing else has changed. */
TEST_F(fork, error)
{
	struct world *w = &self->w;
	uint32_t error = EUCLEAN;
	int i;

	busy(w);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, ioctl(w->mirror, MIRROR_FORK_ERROR, &error));
		errno = 0;
		self->child.pid = fork();
		if (!self->child.pid)
			_exit(1);
		EXPECT_EQ(-1, self->child.pid);
		EXPECT_EQ(EUCLEAN, errno);
	}
	expect_forks(w, i);
	idle(w);
	verify(w);
	touch(w);
	verify(w);
	/* There is no child. */
	EXPECT_EQ(-1, waitpid(-1, NULL, WNOHANG));
	EXPECT_EQ(ECHILD, errno);

	if (!fork_child(w, &self->child))
		_exit(!is_right(w, w->count, OWN, 0));
	EXPECT_EQ(0, child_ends(&self->child));
	verify(w);
}

/* What the child is not to have it does not get, and no mirror is told of. */
TEST_F(fork, madv_dontfork)
{
	struct world *w = &self->w;
	struct mirror_stats s;

	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_DONTFORK));
	mark(w);
	if (!fork_child(w, &self->child)) {
		unsigned char vec[512];

		child_waits(&self->child);
		_exit(mincore(w->mem, w->len, vec) != -1 || errno != ENOMEM);
	}
	expect_forks(w, 1);
	s = stats(w);
	EXPECT_EQ(w->before.starts, s.starts);
	if (w->flavour != MIRROR_TLB)
		EXPECT_EQ(w->len / PAGE, entries(w, true));
	touch(w);
	EXPECT_EQ(0, child_ends(&self->child));
	verify(w);
}

/* Children that exit before their parent waits for them. */
TEST_F(fork, exit_at_once)
{
	struct world *w = &self->w;
	int i, status;
	pid_t pid;

	busy(w);
	for (i = 0; i < 30; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid)
			_exit(0);
		if (i % 3)
			continue;
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
	while (waitpid(-1, &status, 0) > 0)
		EXPECT_EQ(0, status);
	expect_forks(w, 30);
	idle(w);
	verify(w);
}

/*
 * Hardware that cannot fault: CoW is broken before the child runs. The child has
 * the pages as they were, the device never stops writing to the parent's.
 */
TEST_F(fork, cow)
{
	struct world *w = &self->w;
	uint64_t sum;

	attach_again(w, MIRROR_FORK | MIRROR_FORK_COW);
	if (!fork_child(w, &self->child)) {
		child_waits(&self->child);
		_exit(!is_right(w, w->count + w->kind->shared, OWN, 0));
	}
	expect_forks(w, 1);
	/* fork() flushes it once more, with all that it caches. */
	if (w->flavour != MIRROR_TLB) {
		EXPECT_EQ(w->len / PAGE,
			  mirror(w, w->mem, w->len, true, true, COUNT, &sum));
		EXPECT_EQ(w->count * (w->len / PAGE), sum);
		w->count++;
	} else {
		touch(w);
	}
	verify(w);
	EXPECT_EQ(0, child_ends(&self->child));
	verify(w);

	busy(w);
	if (!fork_child(w, &self->child)) {
		child_waits(&self->child);
		_exit(!is_right(w, w->count, OWN, 0));
	}
	usleep(5000);
	EXPECT_EQ(0, child_ends(&self->child));
	idle(w);
	verify(w);
}

struct writer {
	struct world *w;
	volatile uint64_t passes;
	volatile bool stop;
};

static void *write_all(void *arg)
{
	struct writer *writer = arg;

	while (!writer->stop)
		set_all(writer->w, OWN, ++writer->passes);
	return NULL;
}

/* Nor does the CPU write to what is shared, by what its TLB has from before. */
TEST_F(fork, thread_writes)
{
	struct world *w = &self->w;
	struct writer writer = { .w = w };
	pthread_t thread;
	uint64_t passes;
	int i;

	attach_again(w, MIRROR_FORK | MIRROR_FORK_STILL);
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_all, &writer));
	for (i = 0; i < 10; i++) {
		passes = writer.passes;
		while (writer.passes < passes + 2)
			usleep(500);
		if (!fork_child(w, &self->child)) {
			child_waits(&self->child);
			_exit(0);
		}
		EXPECT_EQ(0, child_ends(&self->child));
	}
	writer.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	expect_forks(w, 10);
	verify(w);
}

/* A mirror of the parent alone is not told of what the child does. */
TEST_F(fork, child_alone)
{
	struct world *w = &self->w;
	struct mirror_stats s;

	if (!fork_child(w, &self->child)) {
		wait_step(self->step, 1);
		set_all(w, OWN, 1);
		if (mprotect(w->mem, w->len, PROT_READ) || munmap(w->mem, w->kind->len))
			_exit(1);
		*self->step = 2;
		child_waits(&self->child);
		_exit(0);
	}
	touch(w);
	mark(w);
	*self->step = 1;
	wait_step(self->step, 2);
	EXPECT_EQ(0, child_ends(&self->child));
	s = stats(w);
	EXPECT_EQ(w->before.starts, s.starts);
	EXPECT_EQ(w->before.pages, s.pages);
	EXPECT_EQ(w->before.releases, s.releases);
	expect_forks(w, 0);
	verify(w);
}

/* One that subscribes to the child, too, does; and of its end. */
TEST_F(fork, child_followed)
{
	struct world *w = &self->w;
	struct mirror_stats s;

	attach_again(w, MIRROR_FORK | MIRROR_FORK_CHILD);
	if (!fork_child(w, &self->child)) {
		wait_step(self->step, 1);
		if (munmap(w->mem, w->kind->len))
			_exit(1);
		*self->step = 2;
		child_waits(&self->child);
		_exit(0);
	}
	s = stats(w);
	EXPECT_EQ(0, s.child_releases);
	*self->step = 1;
	wait_step(self->step, 2);
	s = stats(w);
	EXPECT_LT(0, s.child_starts);
	EXPECT_EQ(0, child_ends(&self->child));
	s = stats(w);
	EXPECT_EQ(1, s.child_releases);
	EXPECT_EQ(0, s.releases);
	verify(w);
}

/* Two mirrors: when the one refuses, the other was told all of it or nothing. */
TEST_F(fork, child_refused)
{
	struct world *w = &self->w, other = *w;
	struct mirror_stats s[2];
	uint32_t error = EUCLEAN;
	int i;

	attach_again(w, MIRROR_FORK | MIRROR_FORK_CHILD);
	other.mirror = open("/dev/mmu_notifier_mirror", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, other.mirror);
	other.flags = w->flags;
	attach(&other);
	for (i = 0; i < 2; i++) {
		struct world *refuses = i ? &other : w;

		ASSERT_EQ(0, ioctl(refuses->mirror, MIRROR_FORK_ERROR, &error));
		self->child.pid = fork();
		if (!self->child.pid)
			_exit(1);
		EXPECT_EQ(-1, self->child.pid);
		EXPECT_EQ(EUCLEAN, errno);
	}
	s[0] = stats(w);
	s[1] = stats(&other);
	/* The older one is called last. */
	EXPECT_EQ(1, s[0].forks);
	EXPECT_EQ(2, s[1].forks);
	EXPECT_EQ(0, s[0].child_releases);
	EXPECT_EQ(1, s[1].child_releases);
	close(other.mirror);
	verify(w);
}

/* fixture fork_anon: and with one kind of memory */
FIXTURE(fork_anon) {
	struct world w;
	struct child child;
};

FIXTURE_VARIANT(fork_anon) {
	unsigned int kind;
	unsigned int flavour;
};

LISTS(fork_anon, anon, ANON);
LISTS(fork_anon, thp, ANON_THP);

FIXTURE_SETUP(fork_anon)
{
	self->w.flags = MIRROR_FORK;
	setup(&self->w, _metadata, variant->kind, variant->flavour);
}

FIXTURE_TEARDOWN(fork_anon)
{
	finish(&self->w);
}

/* The child finds nothing, and what it puts there is its own. */
TEST_F(fork_anon, madv_wipeonfork)
{
	struct world *w = &self->w;

	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_WIPEONFORK));
	mark(w);
	if (!fork_child(w, &self->child)) {
		size_t page, wrong = 0;

		child_waits(&self->child);
		for (page = 0; page < w->len / PAGE; page++)
			wrong += *word(w->mem, page, PATTERN) || *word(w->mem, page, COUNT);
		set_all(w, COUNT, 1000);
		_exit(!!wrong);
	}
	expect_forks(w, 1);
	if (w->flavour != MIRROR_TLB)
		EXPECT_EQ(w->len / PAGE, entries(w, true));
	touch(w);
	EXPECT_EQ(0, child_ends(&self->child));
	verify(w);
}

/* What is accounted for a child that does not come is given back. */
TEST_F(fork_anon, error_accounting)
{
	struct world *w = &self->w;
	uint32_t error = EUCLEAN;
	long before, after;
	int i;

	before = committed();
	ASSERT_LT(0, before);
	for (i = 0; i < 50; i++) {
		ASSERT_EQ(0, ioctl(w->mirror, MIRROR_FORK_ERROR, &error));
		if (!fork())
			_exit(1);
	}
	after = committed();
	/* In KiB; each would leave @len behind, at least. */
	EXPECT_GT(25 * (long)w->len / 1024, after - before);
	expect_forks(w, 50);
	verify(w);
}

static void *nothing(void *arg)
{
	return arg;
}

/* Threads, vfork() and exec copy no mm. */
TEST_F(fork_anon, not_for_others)
{
	struct world *w = &self->w;
	pthread_t thread;
	int status;
	pid_t pid;

	mark(w);
	ASSERT_EQ(0, pthread_create(&thread, NULL, nothing, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	pid = vfork();
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	expect_forks(w, 0);

	pid = fork();
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	expect_forks(w, 1);
	verify(w);
}

/* fixture file: what can be done to a file that is mapped shared */
MIRRORED(file);
FLAVOURS(file, ext4, FILE_SHARED);
FLAVOURS(file, memfd, MEM_FD);
FLAVOURS(file, shmem_thp, SHMEM_THP);
FLAVOURS(file, hugetlb, HUGETLB_SHARED);

static int do_punch(struct world *w)
{
	return fallocate(w->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, w->len);
}

static int do_truncate(struct world *w)
{
	return ftruncate(w->file, 0);
}

static int do_remove(struct world *w)
{
	return madvise(w->mem, w->len, MADV_REMOVE);
}

TEST_F(file, punch_hole)
{
	loses(&self->w, do_punch, MMU_NOTIFY_CLEAR, ZERO);
}

TEST_F(file, madv_remove)
{
	loses(&self->w, do_remove, MMU_NOTIFY_CLEAR, ZERO);
}

TEST_F(file, truncate)
{
	struct world *w = &self->w;

	loses(w, do_truncate, MMU_NOTIFY_CLEAR, GONE);
	ASSERT_EQ(0, ftruncate(w->file, w->len));
	verify_zero(w);
}

TEST_F(file, punch_busy)
{
	struct world *w = &self->w;
	int i;

	busy(w);
	for (i = 0; i < 5; i++)
		ASSERT_EQ(0, do_punch(w));
	ASSERT_EQ(0, do_truncate(w));
	ASSERT_EQ(0, ftruncate(w->file, w->len));
	idle(w);
	check(w);
}

/* CLEAR around UNMAP, both of all that is replaced. */
static void expect_bracket(struct world *w, char *lo, char *hi)
{
	static const struct { uint32_t call, event; } order[] = {
		{ MIRROR_STARTS, MMU_NOTIFY_CLEAR }, { MIRROR_STARTS, MMU_NOTIFY_UNMAP },
		{ MIRROR_ENDS, MMU_NOTIFY_UNMAP }, { MIRROR_ENDS, MMU_NOTIFY_CLEAR },
	};
	struct __test_metadata *_metadata = w->test;
	struct mirror_log *log = take_log(w);
	unsigned int i, n = 0;

	for (i = 0; i < log->nr && n < 4; i++) {
		const struct mirror_record *r = &log->record[i];

		/* The split of a huge page is longer. */
		if (!overlaps(r, lo, hi) || r->end > (uintptr_t)hi)
			continue;
		EXPECT_EQ(order[n].call, r->call);
		EXPECT_EQ(order[n].event, r->event);
		EXPECT_EQ((uintptr_t)lo, r->start);
		EXPECT_EQ((uintptr_t)hi, r->end);
		n++;
	}
	EXPECT_EQ(4, n);
}

/* The kernel refuses in the middle: all is as it was, and was never said to go. */
TEST_F(file, remap_refused)
{
	long maps = number_of("/proc/sys/vm/max_map_count");
	struct world *w = &self->w;
	int ret, error;

	mark(w);
	ASSERT_EQ(0, put("/proc/sys/vm/max_map_count", "1"));
	ret = syscall(__NR_remap_file_pages, w->mem, w->len, 0, 0, 0);
	error = errno;
	put("/proc/sys/vm/max_map_count", "%ld", maps);
	EXPECT_EQ(-1, ret);
	EXPECT_EQ(ENOMEM, error);
	if (w->flavour != MIRROR_TLB)
		expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	verify(w);
}

TEST_F(file, remap)
{
	struct world *w = &self->w;
	size_t half = w->len / 2;

	if (w->kind->page == HUGE && w->kind->backing == HUGETLB_MEMFD)
		half = 0;
	mark(w);
	ASSERT_EQ(0, syscall(__NR_remap_file_pages, w->mem, w->len - half, 0, half / PAGE, 0)) {
		TH_LOG("%s", strerror(errno));
	}
	/* Around it all nothing goes for good; the unmapping is inside. */
	w->goes_hi = w->mem + w->len - half;
	w->events = BIT(MMU_NOTIFY_CLEAR);
	w->most = 2 + w->kind->huge;
	if (w->flavour == MIRROR_LIST || w->flavour == MIRROR_PAGE) {
		expect_bracket(w, w->lo, w->goes_hi);
		EXPECT_EQ(w->before.starts + w->most, stats(w).starts);
	}
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	check(w);
	if (half)
		EXPECT_EQ(pattern(w, half / PAGE), *word(w->mem, 0, PATTERN));
	EXPECT_EQ(w->len / PAGE, mirror_reads(w, w->mem, w->len));
	check(w);
	if (half) {
		/* The same page twice: the mirror's addition is in both. */
		EXPECT_EQ(1, mirror(w, w->mem, PAGE, true, false, COUNT, NULL));
		EXPECT_EQ(w->count + 1, *word(w->mem, half / PAGE, COUNT));
	}
	busy(w);
	syscall(__NR_remap_file_pages, w->mem, w->len - half, 0, 0, 0);
	idle(w);
	check(w);
}

/* fixture writeback: files whose dirty pages have to be written */
MIRRORED(writeback);
FLAVOURS(writeback, ext4, FILE_SHARED);
FLAVOURS(writeback, dax, FILE_DAX);

static int do_msync(struct world *w)
{
	return msync(w->mem, w->len, MS_SYNC);
}

static int do_sync_range(struct world *w)
{
	return sync_file_range(w->file, 0, w->len, SYNC_FILE_RANGE_WAIT_BEFORE |
			       SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

static int do_track(struct world *w)
{
	return ioctl(w->mirror, MIRROR_CLEAN);
}

TEST_F(writeback, msync)
{
	keeps(&self->w, do_msync, ONE_PAGE, MMU_NOTIFY_PROTECTION_PAGE, PROTECTS);
}

TEST_F(writeback, sync_file_range)
{
	keeps(&self->w, do_sync_range, ONE_PAGE, MMU_NOTIFY_PROTECTION_PAGE, PROTECTS);
}

/* As drivers do to learn which of a file's pages are written to. */
TEST_F(writeback, dirty_tracking)
{
	keeps(&self->w, do_track, PAIR, MMU_NOTIFY_PROTECTION_PAGE, PROTECTS);
}

/* What the mirror wrote after the pages were clean gets to the disk as well. */
TEST_F(writeback, dirty_again)
{
	struct world *w = &self->w;
	size_t page, wrong = 0;
	uint64_t count;

	ASSERT_EQ(0, do_msync(w));
	touch(w);
	verify(w);
	ASSERT_EQ(0, do_msync(w));
	ASSERT_EQ(0, do_munmap(w));
	/* Only pages that are clean leave the page cache. */
	ASSERT_EQ(0, posix_fadvise(w->file, 0, w->len, POSIX_FADV_DONTNEED));
	for (page = 0; page < w->len / PAGE; page++) {
		ASSERT_EQ(8, pread(w->file, &count, 8, page * PAGE + COUNT));
		wrong += count != w->count;
	}
	EXPECT_EQ(0, wrong);
}

/* fixture anon: what is done to anonymous memory in small pages */
MIRRORED(anon);
FLAVOURS(anon, small, ANON);

TEST_F(anon, mremap_shrink)
{
	struct world *w = &self->w;
	size_t half = w->len / 2;

	mark(w);
	ASSERT_EQ(w->mem, mremap(w->mem, w->len, half, 0));
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	/* The x86 flushes all rather than many. */
	if (w->flavour != MIRROR_TLB)
		EXPECT_EQ(half / PAGE, entries(w, true));
	EXPECT_EQ(0, mirror_reads(w, w->mem + half, half));
	w->len = half;
	verify(w);
}

TEST_F(anon, mremap_grow)
{
	struct world *w = &self->w;
	char *p;

	/* What is behind it keeps it from growing where it is. */
	ASSERT_NE(MAP_FAILED, mmap(w->mem + w->len, PAGE, PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	mark(w);
	moves(w);
	p = mremap(w->mem, w->len, 2 * w->len, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(w->mem, p);
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	expect_effect(w, DROPS);
	EXPECT_EQ(0, mirror_reads(w, w->mem, w->len));
	verify_cpu(w, p);
	check(w);
}

TEST_F(anon, mremap_dontunmap)
{
	struct world *w = &self->w;
	char *p;

	mark(w);
	p = mremap(w->mem, w->len, w->len, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	ASSERT_NE(MAP_FAILED, p);
	/* The mapping stays, but its pages have gone. */
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	expect_effect(w, DROPS);
	verify_cpu(w, p);
	verify_zero(w);
}

static int do_free(struct world *w)
{
	return madvise(w->mem, w->len, MADV_FREE);
}

TEST_F(anon, madv_free)
{
	struct world *w = &self->w;

	mark(w);
	ASSERT_EQ(0, do_free(w));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	expect_effect(w, PROTECTS);
	check(w);
	if (!swap_is_on())
		SKIP(return, "needs swap, see mirror.sh");

	/* What the mirror writes afterwards, reclaim must not throw away. */
	touch(w);
	drain_lru();
	ASSERT_EQ(0, do_pageout(w));
	verify(w);
}

TEST_F(anon, dontneed_locked)
{
	struct world *w = &self->w;

	ASSERT_EQ(0, mlock(w->mem, w->len));
	mark(w);
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_DONTNEED_LOCKED));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	verify_zero(w);
}

static int do_pkey(struct world *w)
{
	static int key = -1;

	if (key < 0)
		key = pkey_alloc(0, 0);
	return pkey_mprotect(w->mem, w->len, PROT_READ, key);
}

TEST_F(anon, pkey_mprotect)
{
	struct world *w = &self->w;

	mark(w);
	if (do_pkey(w))
		SKIP(return, "no protection keys");
	expect_told(w, PAIR, MMU_NOTIFY_PROTECTION_VMA);
	expect_effect(w, PROTECTS);
	EXPECT_EQ(0, mirror(w, w->mem, w->len, true, false, COUNT, NULL));
	verify(w);
}

/* Writing where the process may not: ptrace and /proc/self/mem, by forced CoW. */
TEST_F(anon, forced_write)
{
	struct world *w = &self->w;
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	uint64_t count = w->count + 1;
	struct child child;

	ASSERT_LE(0, fd);
	if (!fork_child(w, &child)) {
		child_waits(&child);
		_exit(0);
	}
	ASSERT_EQ(0, protect(w, PROT_READ));
	EXPECT_EQ(w->len / PAGE, mirror_reads(w, w->mem, w->len));
	mark(w);
	ASSERT_EQ(8, pwrite(fd, &count, 8, (uintptr_t)w->mem + COUNT));
	expect_told(w, ONE_PAGE, MMU_NOTIFY_CLEAR);
	EXPECT_EQ(count, *word(w->mem, 0, COUNT));
	EXPECT_EQ(0, mirror(w, w->mem, PAGE, false, true, COUNT, NULL));
	check(w);
	EXPECT_EQ(0, child_ends(&child));
	close(fd);
}

static int do_swapoff(struct world *w)
{
	char line[256] = "", *device = line;
	FILE *f;
	int ret;

	if (do_pageout(w))
		return -1;
	f = fopen("/proc/swaps", "r");
	while (f && fgets(line, sizeof(line), f) && line[0] != '/')
		;
	if (f)
		fclose(f);
	strtok(device, " \t");
	ret = swapoff(device);
	return ret ?: swapon(device, 0);
}

TEST_F(anon, swapoff)
{
	struct world *w = &self->w;

	if (!swap_is_on())
		SKIP(return, "needs swap, see mirror.sh");
	drain_lru();
	mark(w);
	ASSERT_EQ(0, do_swapoff(w));
	expect_told(w, ONE_PAGE, MMU_NOTIFY_CLEAR);
	verify(w);
	busy(w);
	do_swapoff(w);
	idle(w);
	verify(w);
}

static void survive(int sig)
{
}

TEST_F(anon, hwpoison)
{
	struct world *w = &self->w;

	if (access("/proc/sys/vm/memory_failure_recovery", F_OK))
		SKIP(return, "needs CONFIG_MEMORY_FAILURE");
	mark(w);
	signal(SIGBUS, survive);
	ASSERT_EQ(0, madvise(w->mem, PAGE, MADV_HWPOISON));
	expect_told(w, ONE_PAGE, MMU_NOTIFY_CLEAR);
	EXPECT_EQ(0, mirror(w, w->mem, PAGE, false, true, COUNT, NULL));
	EXPECT_EQ(0, mirror_reads(w, w->mem, PAGE));
	check(w);
	/* The others are not concerned. */
	EXPECT_EQ(w->len / PAGE - 1, mirror_reads(w, w->mem + PAGE, w->len - PAGE));
	check(w);
}

static int do_mbind(struct world *w)
{
	unsigned long nodes;

	node = !node;
	nodes = 1ul << node;
	return syscall(__NR_mbind, w->mem, w->len, MPOL_BIND, &nodes, 64, MPOL_MF_MOVE);
}

static int do_migrate_pages(struct world *w)
{
	unsigned long from = 1ul << node, to = 1ul << !node;

	node = !node;
	return syscall(__NR_migrate_pages, 0, 64, &from, &to);
}

TEST_F(anon, mbind)
{
	if (!two_nodes())
		SKIP(return, "needs two nodes (numa=fake=2)");
	do_mbind(&self->w);
	touch(&self->w);
	keeps(&self->w, do_mbind, ONE_PAGE, MMU_NOTIFY_CLEAR, DROPS);
}

TEST_F(anon, migrate_pages)
{
	if (!two_nodes())
		SKIP(return, "needs two nodes (numa=fake=2)");
	/* All pages on one node, whichever it was. */
	do_migrate_pages(&self->w);
	do_migrate_pages(&self->w);
	touch(&self->w);
	keeps(&self->w, do_migrate_pages, ONE_PAGE, MMU_NOTIFY_CLEAR, DROPS);
}

TEST_F(anon, numa_hinting)
{
	struct world *w = &self->w;
	double end = now() + (w->flavour == MIRROR_TLB ? 2 : 15);
	struct mirror_stats s;

	if (!two_nodes())
		SKIP(return, "needs two nodes (numa=fake=2)");
	put("/sys/kernel/debug/sched/numa_balancing/scan_delay_ms", "1");
	if (put("/proc/sys/kernel/numa_balancing", "1"))
		SKIP(return, "needs CONFIG_NUMA_BALANCING");
	/* On both nodes: the entries of a page that is where it is used stay. */
	do_move_pages(w);
	w->len /= 2;
	do_move_pages(w);
	w->len *= 2;
	touch(w);
	mark(w);
	/* The scanner lives on CPU time that the process uses. */
	do {
		verify_cpu(w, w->mem);
		s = stats(w);
	} while (!told(w, &s, PAIR) && now() < end);
	put("/proc/sys/kernel/numa_balancing", "0");
	/* A page may have been moved to where it is used by now, with nothing to flush. */
	if (w->flavour != MIRROR_TLB)
		expect_told(w, PAIR, ANY_EVENT);
	verify(w);
}

/* How many pages are one and the same. */
static size_t merged(struct world *w)
{
	uint64_t first = pagemap(w, w->mem) & PM_PFN;
	size_t page, same = 0;

	for (page = 0; page < w->len / PAGE; page++)
		same += (pagemap(w, w->mem + page * PAGE) & PM_PFN) == first;
	return same;
}

TEST_F(anon, ksm)
{
	struct world *w = &self->w;
	size_t nr = w->len / PAGE;
	double end = now() + 30;

	if (put(KSM "sleep_millisecs", "1"))
		SKIP(return, "needs CONFIG_KSM");
	put(KSM "pages_to_scan", "1000");
	put(KSM "smart_scan", "0");
	w->alike = true;
	fill(w);
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_MERGEABLE));
	mark(w);
	put(KSM "run", "1");
	/* Each is first write-protected, then replaced. */
	while (merged(w) < nr && now() < end)
		usleep(1000);
	EXPECT_EQ(nr, merged(w));
	put(KSM "run", "0");
	w->most = 2 * nr;
	expect_told(w, ONE_PAGE, ANY_EVENT);
	expect_effect(w, PROTECTS);
	verify(w);

	/* One is written to: the others stay. */
	mark(w);
	touch(w);
	expect_told(w, ONE_PAGE, MMU_NOTIFY_CLEAR);
	verify(w);

	put(KSM "run", "1");
	busy(w);
	usleep(50000);
	idle(w);
	put(KSM "run", "0");
	verify(w);
	EXPECT_EQ(0, madvise(w->mem, w->len, MADV_UNMERGEABLE));
	EXPECT_EQ(1, merged(w));
	verify(w);
}

static int uffd_open(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int uffd_register(int fd, char *mem, size_t len, uint64_t mode)
{
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)mem, .len = len },
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_REGISTER, &reg);
}

static int uffd_protect(int fd, char *mem, size_t len, bool protect)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)mem, .len = len },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
}

static int move_by_uffd(int fd, char *to, char *from, size_t len)
{
	struct uffdio_move op = {};
	size_t done = 0;
	int tries = 100;

	while (done < len) {
		op.dst = (uintptr_t)to + done;
		op.src = (uintptr_t)from + done;
		op.len = len - done;
		op.move = 0;
		if (ioctl(fd, UFFDIO_MOVE, &op) && errno != EAGAIN && errno != EBUSY)
			return -1;
		if (op.move > 0)
			done += op.move;
		else if (!tries--)
			return -1;
	}
	return 0;
}

/* fixture uffd: userfaultfd's write protection and page moves */
MIRRORED(uffd);
FLAVOURS(uffd, anon, ANON);
FLAVOURS(uffd, memfd, MEM_FD);
FLAVOURS(uffd, thp, ANON_THP);
FLAVOURS(uffd, hugetlb, HUGETLB_SHARED);

TEST_F(uffd, write_protect)
{
	struct world *w = &self->w;
	int uffd = uffd_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP);

	if (uffd < 0)
		SKIP(return, "needs CONFIG_USERFAULTFD");
	if (uffd_register(uffd, w->mem, w->len, UFFDIO_REGISTER_MODE_WP))
		SKIP(return, "no write protection of this memory");
	touch(w);
	mark(w);
	ASSERT_EQ(0, uffd_protect(uffd, w->mem, w->len, true));
	expect_told(w, PAIR, MMU_NOTIFY_PROTECTION_PAGE);
	expect_effect(w, PROTECTS);
	verify(w);
	ASSERT_EQ(0, uffd_protect(uffd, w->mem, w->len, false));
	touch(w);
	verify(w);
	close(uffd);
	verify(w);
}

/* How many pages were written to since they were last write-protected. */
static long scan_written(struct world *w)
{
	static struct page_region regions[512];
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)w->mem,
		.end = (uintptr_t)w->mem + w->len,
		.vec = (uintptr_t)regions,
		.vec_len = 512,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	long i, nr = ioctl(w->pagemap, PAGEMAP_SCAN, &scan), written = 0;

	if (nr < 0)
		return -1;
	for (i = 0; i < nr; i++)
		written += (regions[i].end - regions[i].start) / PAGE;
	return written;
}

static int do_pagemap_scan(struct world *w)
{
	return scan_written(w) < 0 ? -1 : 0;
}

TEST_F(uffd, pagemap_scan)
{
	struct world *w = &self->w;
	int uffd = uffd_open(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	long nr = w->len / PAGE;

	if (uffd < 0)
		SKIP(return, "needs CONFIG_PTE_MARKER_UFFD_WP");
	ASSERT_EQ(0, uffd_register(uffd, w->mem, w->len, UFFDIO_REGISTER_MODE_WP));
	touch(w);
	keeps(w, do_pagemap_scan, PAIR, MMU_NOTIFY_PROTECTION_PAGE, PROTECTS);

	/* A write through the mirror is a write. */
	touch(w);
	EXPECT_EQ(nr, scan_written(w));
	EXPECT_EQ(0, scan_written(w));
	EXPECT_EQ(1, mirror(w, w->mem, PAGE, true, false, BUSY + 8, NULL));
	EXPECT_EQ(w->kind->page == HUGE && w->kind->backing ? nr : 1, scan_written(w));
	close(uffd);
}

/* fixture uffd_move: only anonymous memory moves */
MIRRORED(uffd_move);
FLAVOURS(uffd_move, anon, ANON);
FLAVOURS(uffd_move, thp, ANON_THP);

TEST_F(uffd_move, pages)
{
	struct world *w = &self->w;
	int uffd = uffd_open(UFFD_FEATURE_MOVE);
	bool huge;

	if (uffd < 0)
		SKIP(return, "no UFFDIO_MOVE");
	ASSERT_EQ(ELSEWHERE, map_at(w, ELSEWHERE));
	huge = is_huge(w, w->mem);
	ASSERT_EQ(0, uffd_register(uffd, ELSEWHERE, w->len, UFFDIO_REGISTER_MODE_MISSING));
	mark(w);
	ASSERT_EQ(0, move_by_uffd(uffd, ELSEWHERE, w->mem, w->len));
	expect_told(w, huge ? PAIR : ONE_PAGE, MMU_NOTIFY_CLEAR);
	EXPECT_EQ(huge, is_huge(w, ELSEWHERE));
	expect_effect(w, DROPS);
	verify_cpu(w, ELSEWHERE);
	verify_zero(w);

	/* Now it is the zero page that moves. */
	ASSERT_EQ(0, munmap(ELSEWHERE, w->len));
	ASSERT_EQ(ELSEWHERE, map_at(w, ELSEWHERE));
	ASSERT_EQ(0, uffd_register(uffd, ELSEWHERE, w->len, UFFDIO_REGISTER_MODE_MISSING));
	ASSERT_EQ(w->len / PAGE, mirror_reads(w, w->mem, w->len));
	mark(w);
	ASSERT_EQ(0, move_by_uffd(uffd, ELSEWHERE, w->mem, w->len));
	expect_told(w, is_huge(w, ELSEWHERE) ? PAIR : ONE_PAGE, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	verify_zero(w);
	close(uffd);
}

/* fixture thp: from huge to small and back */
MIRRORED(thp);
FLAVOURS(thp, anon, ANON_THP);
FLAVOURS(thp, shmem, SHMEM_THP);

static int do_split(struct world *w)
{
	return put("/sys/kernel/debug/split_huge_pages", "%d,0x%lx,0x%lx", getpid(),
		   (uintptr_t)w->mem, (uintptr_t)w->mem + w->len);
}

TEST_F(thp, split_debugfs)
{
	struct world *w = &self->w;

	if (access("/sys/kernel/debug/split_huge_pages", F_OK))
		SKIP(return, "needs debugfs");
	drain_lru();
	mark(w);
	/* Of anonymous memory the PMD is split within the folio's unmapping. */
	if (!w->kind->shared)
		w->most = 2;
	ASSERT_EQ(0, do_split(w));
	EXPECT_FALSE(is_huge(w, w->mem));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	verify(w);
}

static int do_mremap_part(struct world *w);

static void split_partial(struct world *w, operation op, enum mmu_notifier_event event)
{
	struct __test_metadata *_metadata = w->test;

	mark(w);
	/* The split, and what it was for; a move has an unmapping, too. */
	w->events = BIT(MMU_NOTIFY_CLEAR);
	w->most = op == do_mremap_part ? 3 : 2;
	w->goes_lo = w->mem + w->len / 2;
	ASSERT_EQ(0, op(w));
	EXPECT_FALSE(is_huge(w, w->mem));
	expect_told(w, PAIR, event);
	check(w);
}

static int do_munmap_part(struct world *w)
{
	return munmap(w->mem + w->len / 2, w->len / 2);
}

static int do_mprotect_part(struct world *w)
{
	return mprotect(w->mem + w->len / 2, w->len / 2, PROT_READ);
}

static int do_dontneed_part(struct world *w)
{
	return madvise(w->mem + w->len / 2, w->len / 2, MADV_DONTNEED);
}

static int do_pageout_part(struct world *w)
{
	return madvise(w->mem + w->len / 2, w->len / 2, MADV_PAGEOUT);
}

static int do_mremap_part(struct world *w)
{
	char *p = mremap(w->mem + w->len / 2, w->len / 2, w->len / 2,
			 MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE + PAGE);

	return p == MAP_FAILED ? -1 : 0;
}

TEST_F(thp, split_munmap)
{
	split_partial(&self->w, do_munmap_part, MMU_NOTIFY_UNMAP);
	EXPECT_EQ(0, mirror_reads(&self->w, self->w.mem + HUGE / 2, HUGE / 2));
	self->w.len /= 2;
	verify(&self->w);
}

TEST_F(thp, split_mprotect)
{
	split_partial(&self->w, do_mprotect_part, MMU_NOTIFY_PROTECTION_VMA);
	EXPECT_EQ(0, mirror(&self->w, self->w.mem + HUGE / 2, HUGE / 2, true, false, COUNT, NULL));
	verify(&self->w);
	self->w.len /= 2;
	touch(&self->w);
	verify(&self->w);
}

TEST_F(thp, split_dontneed)
{
	split_partial(&self->w, do_dontneed_part, MMU_NOTIFY_CLEAR);
	EXPECT_EQ(HUGE / PAGE / 2, mirror_reads(&self->w, self->w.mem + HUGE / 2, HUGE / 2));
	check(&self->w);
	self->w.len /= 2;
	verify(&self->w);
}

TEST_F(thp, split_mremap)
{
	split_partial(&self->w, do_mremap_part, MMU_NOTIFY_UNMAP);
	EXPECT_EQ(0, mirror_reads(&self->w, self->w.mem + HUGE / 2, HUGE / 2));
	self->w.len /= 2;
	verify(&self->w);
}

TEST_F(thp, split_pageout)
{
	if (!swap_is_on())
		SKIP(return, "needs swap, see mirror.sh");
	drain_lru();
	mark(&self->w);
	ASSERT_EQ(0, do_pageout_part(&self->w));
	verify(&self->w);
}

TEST_F(thp, split_busy)
{
	struct world *w = &self->w;
	int i;

	busy(w);
	for (i = 0; i < 3; i++) {
		do_split(w);
		do_mprotect_part(w);
		protect(w, PROT_READ | PROT_WRITE);
		collapse(w->mem);
	}
	idle(w);
	verify(w);
}

TEST_F(thp, collapse)
{
	struct world *w = &self->w;

	/* In small pages, all of them the mirror's. */
	ASSERT_EQ(0, madvise(w->mem, w->len, w->kind->shared ? MADV_REMOVE : MADV_DONTNEED));
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_NOHUGEPAGE));
	w->count = 0;
	fill(w);
	touch(w);
	ASSERT_FALSE(is_huge(w, w->mem));
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_HUGEPAGE));
	drain_lru();
	mark(w);
	/* Of a file each small page is unmapped before. */
	if (w->kind->shared)
		w->most = w->len / PAGE + 2;
	ASSERT_EQ(0, collapse(w->mem));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	verify(w);
	EXPECT_TRUE(is_huge(w, w->mem));
}

/* fixture anon_thp: what only anonymous huge pages have */
MIRRORED(anon_thp);
FLAVOURS(anon_thp, huge, ANON_THP);

TEST_F(anon_thp, madv_free)
{
	struct world *w = &self->w;

	mark(w);
	/* Two more for the split: of the folio, and within it of the PMD. */
	w->most = 3;
	ASSERT_EQ(0, madvise(w->mem, PAGE, MADV_FREE));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	check(w);
	mark(w);
	ASSERT_EQ(0, do_free(w));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	expect_effect(w, PROTECTS);
	touch(w);
	check(w);
}

TEST_F(anon_thp, zero_page)
{
	struct world *w = &self->w;

	ASSERT_EQ(0, do_dontneed(w));
	w->count = 0;
	verify_zero(w);
	/* Each of the writes takes a page of its own, or the whole huge one. */
	mark(w);
	touch(w);
	EXPECT_EQ(w->count, *word(w->mem, 0, COUNT));
	check(w);
	fill(w);
	verify(w);
}

/* fixture shmem_thp: and what only those of a file have */
MIRRORED(shmem_thp);
FLAVOURS(shmem_thp, huge, SHMEM_THP);

/* The huge page is there, this mapping of it is in small pages. */
TEST_F(shmem_thp, collapse_mapped)
{
	struct world *w = &self->w;

	/* The entries are gone with the huge PMD, and come back one by one. */
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, do_dontneed(w));
	touch(w);
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_HUGEPAGE));
	ASSERT_FALSE(is_huge(w, w->mem));
	mark(w);
	ASSERT_EQ(0, collapse(w->mem));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	verify(w);
}

/* A process that mirrors the pages that another one collapses. */
TEST_F(shmem_thp, collapse_other)
{
	struct world *w = &self->w;
	struct child child;
	size_t page;

	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_REMOVE));
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_NOHUGEPAGE));
	fill(w);
	w->count = 0;
	touch(w);
	mark(w);
	if (!fork_child(w, &child)) {
		/* Of its page tables the child knows only what it touches. */
		if (madvise(w->mem, w->len, MADV_HUGEPAGE))
			_exit(1);
		for (page = 0; page < w->len / PAGE; page++) {
			if (*word(w->mem, page, COUNT) != w->count)
				_exit(2);
		}
		_exit(collapse(w->mem) ? 3 : 0);
	}
	EXPECT_EQ(0, child_ends(&child));
	/* Each page is unmapped, then the table goes. */
	w->most = w->len / PAGE + 1;
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	verify(w);
}

/* fixture hugetlb: what only huge pages have; the rest is in any, cow, file, uffd */
MIRRORED(hugetlb);
FLAVOURS(hugetlb, private, HUGETLB_PRIVATE);
FLAVOURS(hugetlb, shared, HUGETLB_SHARED);

TEST_F(hugetlb, soft_offline)
{
	struct world *w = &self->w;

	if (access("/proc/sys/vm/memory_failure_recovery", F_OK))
		SKIP(return, "needs CONFIG_MEMORY_FAILURE");
	mark(w);
	if (do_soft_offline(w))
		SKIP(return, "no huge page to put it in");
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	verify(w);
}

/* fixture pmd_share: hugetlb page tables that two processes have in common */
FIXTURE(pmd_share) {
	struct world w;
	struct child child;
	int ready[2];
};

FIXTURE_VARIANT(pmd_share) {
	unsigned int kind;
	unsigned int flavour;
};

FLAVOURS(pmd_share, two, HUGETLB_GIGA);

/* The page that each test works on, which is not the one that is checked. */
#define OTHER_PAGE	(2 * HUGE)

FIXTURE_SETUP(pmd_share)
{
	struct world *w = &self->w;
	char c;

	setup(w, _metadata, variant->kind, variant->flavour);
	if (_metadata->exit_code)
		return;
	w->mem[OTHER_PAGE] = 1;
	ASSERT_EQ(0, pipe(self->ready));
	if (!fork_child(w, &self->child)) {
		/* A fault is what makes it share the table. */
		c = *(volatile char *)w->mem;
		c = *(volatile char *)(w->mem + OTHER_PAGE);
		if (write(self->ready[1], &c, 1) == 1)
			child_waits(&self->child);
		_exit(*word(w->mem, 0, PATTERN) != pattern(w, 0));
	}
	ASSERT_EQ(1, read(self->ready[0], &c, 1));
	touch(w);
	mark(w);
	ASSERT_TRUE(pagemap(w, w->mem) & PM_PRESENT);
}

FIXTURE_TEARDOWN(pmd_share)
{
	child_ends(&self->child);
	finish(&self->w);
}

/* What is done to the other page takes this one's entry away too. */
static void unshares(struct world *w, struct child *child, int ret,
		     enum mmu_notifier_event event, unsigned int most)
{
	struct __test_metadata *_metadata = w->test;

	ASSERT_EQ(0, ret) {
		TH_LOG("%s", strerror(errno));
	}
	/* What goes is one page.  The others leave the table, but stay mapped. */
	w->goes_lo = w->mem + OTHER_PAGE;
	w->goes_hi = w->goes_lo + HUGE;
	w->events = BIT(MMU_NOTIFY_CLEAR);
	w->most = most;
	expect_told(w, PAIR, event);
	EXPECT_FALSE(pagemap(w, w->mem) & PM_PRESENT);
	expect_effect(w, DROPS);
	verify(w);
	touch(w);
	verify(w);
	EXPECT_EQ(0, child_ends(child));
	verify(w);
}

TEST_F(pmd_share, mprotect)
{
	unshares(&self->w, &self->child,
		 mprotect(self->w.mem + OTHER_PAGE, HUGE, PROT_READ), ANY_EVENT, 2);
}

TEST_F(pmd_share, mprotect_all)
{
	ASSERT_EQ(0, mprotect(self->w.mem, GIGA, PROT_READ));
	unshares(&self->w, &self->child,
		 mprotect(self->w.mem, GIGA, PROT_READ | PROT_WRITE),
		 MMU_NOTIFY_PROTECTION_VMA, 2);
}

TEST_F(pmd_share, munmap)
{
	unshares(&self->w, &self->child, munmap(self->w.mem + OTHER_PAGE, HUGE),
		 MMU_NOTIFY_UNMAP, 2);
}

TEST_F(pmd_share, dontneed)
{
	unshares(&self->w, &self->child,
		 madvise(self->w.mem + OTHER_PAGE, HUGE, MADV_DONTNEED), MMU_NOTIFY_CLEAR, 1);
}

TEST_F(pmd_share, punch_hole)
{
	unshares(&self->w, &self->child,
		 fallocate(self->w.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   OTHER_PAGE, HUGE), MMU_NOTIFY_CLEAR, 1);
}

TEST_F(pmd_share, userfaultfd)
{
	int ret, uffd = uffd_open(UFFD_FEATURE_MINOR_HUGETLBFS);

	if (uffd < 0)
		SKIP(return, "needs CONFIG_USERFAULTFD");
	ret = uffd_register(uffd, self->w.mem, GIGA, UFFDIO_REGISTER_MODE_MINOR);
	/* Else all that reads the pages would wait for an answer. */
	close(uffd);
	unshares(&self->w, &self->child, ret, MMU_NOTIFY_CLEAR, 1);
}

TEST_F(pmd_share, mremap)
{
	struct world *w = &self->w;

	moves(w);
	ASSERT_EQ(0, move(w, w->mem, ELSEWHERE));
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	expect_effect(w, DROPS);
	check(w);
	ASSERT_EQ(0, move(w, ELSEWHERE, w->mem));
	verify(w);
	EXPECT_EQ(0, child_ends(&self->child));
}

TEST_F(pmd_share, mremap_part)
{
	char *p = mremap(self->w.mem + OTHER_PAGE, HUGE, HUGE,
			 MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE);

	/*
	 * The mapping is not split before its entries are moved, which unshares the
	 * table. Then it is, which unshares in vain, and a part goes.
	 */
	unshares(&self->w, &self->child, p == ELSEWHERE ? 0 : -1, MMU_NOTIFY_UNMAP, 3);
	ASSERT_EQ(1, ELSEWHERE[0]);
}

TEST_F(pmd_share, migrate)
{
	struct world *w = &self->w;

	if (!two_nodes())
		SKIP(return, "needs two nodes (numa=fake=2)");
	/* It goes to one of them, wherever it is. */
	w->most = 2;
	do_move_pages(w);
	do_move_pages(w);
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	verify(w);
}

TEST_F(pmd_share, hwpoison)
{
	struct world *w = &self->w;

	if (access("/proc/sys/vm/memory_failure_recovery", F_OK))
		SKIP(return, "needs CONFIG_MEMORY_FAILURE");
	signal(SIGBUS, survive);
	ASSERT_EQ(0, madvise(w->mem + OTHER_PAGE, PAGE, MADV_HWPOISON));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	check(w);
	/* The table is gone, and so what was in it beside. */
	verify(w);
}

TEST_F(pmd_share, busy)
{
	struct world *w = &self->w;
	int i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, mprotect(w->mem + OTHER_PAGE, HUGE, PROT_READ));
		ASSERT_EQ(0, mprotect(w->mem, GIGA, PROT_READ | PROT_WRITE));
		touch(w);
		verify(w);
	}
	EXPECT_EQ(0, child_ends(&self->child));
}

/* fixture limited: the mirror subscribes to the second half of the memory alone */
#define LIMITED(fixture)							\
	FIXTURE(fixture) { struct world w, all; };				\
	FIXTURE_VARIANT(fixture) { unsigned int kind; unsigned int flavour; };	\
	FIXTURE_SETUP(fixture)							\
	{ setup_half(&self->w, &self->all, _metadata, variant->kind, variant->flavour); } \
	FIXTURE_TEARDOWN(fixture)						\
	{ finish(&self->w); }							\
	struct world

static void setup_half(struct world *w, struct world *all, struct __test_metadata *_metadata,
		       unsigned int kind, unsigned int flavour)
{
	begin(w, _metadata, flavour);
	if (_metadata->exit_code)
		return;
	make_memory(w, kind);
	if (_metadata->exit_code)
		return;
	*all = *w;
	w->len /= 2;
	w->mem += w->len;
	fill(w);
	w->flags = MIRROR_LIMITED;
	attach_range(w, w->mem, w->len);
	touch(w);
	mark(w);
	/* A range is as wide for it as for all others. */
	w->lo = all->mem;
	w->hi = w->mem + w->len;
	w->goes_lo = w->lo;
	w->goes_hi = w->hi;
}

LIMITED(limited);
LISTS(limited, anon, ANON);
LISTS(limited, thp, ANON_THP);
LISTS(limited, shmem_thp, SHMEM_THP);
LISTS(limited, hugetlb_private, HUGETLB_PRIVATE);
LISTS(limited, hugetlb_shared, HUGETLB_SHARED);
LIMITED(limited_cow);
LISTS(limited_cow, anon, ANON);
LISTS(limited_cow, thp, ANON_THP);
LISTS(limited_cow, hugetlb, HUGETLB_PRIVATE);
LIMITED(limited_small);
LISTS(limited_small, anon, ANON);
LISTS(limited_small, shmem, SHMEM);

/* By one address of a huge entry all of it changes, and the mirror's half. */
TEST_F(limited_cow, break)
{
	struct world *w = &self->w;
	struct child child;
	uint64_t starts;

	if (!fork_child(w, &child)) {
		child_waits(&child);
		_exit(!is_right(w, w->count, OWN, 0));
	}
	expect_effect(w, PROTECTS);
	verify(w);
	starts = stats(w).starts;
	*word(self->all.mem, 0, OWN) = 1;
	check(w);
	if (w->kind->page == HUGE)
		expect_effect(w, DROPS);
	else
		EXPECT_EQ(starts, stats(w).starts);
	verify(w);
	touch(w);
	verify(w);
	EXPECT_EQ(0, child_ends(&child));
	verify(w);
}

TEST_F(limited, munmap)
{
	struct world *w = &self->w;

	ASSERT_EQ(0, do_munmap(&self->all));
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	expect_effect(w, DROPS);
	EXPECT_EQ(0, mirror_reads(w, w->mem, w->len));
	check(w);
}

TEST_F(limited, dontneed)
{
	struct world *w = &self->w;

	ASSERT_EQ(0, do_dontneed(&self->all));
	expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	check(w);
	EXPECT_EQ(w->len / PAGE, mirror_reads(w, w->mem, w->len));
	check(w);
}

TEST_F(limited, move_pages)
{
	struct world *w = &self->w;

	if (!two_nodes())
		SKIP(return, "needs two nodes (numa=fake=2)");
	drain_lru();
	do_move_pages(&self->all);
	touch(w);
	take_log(w);
	ASSERT_EQ(0, do_move_pages(&self->all));
	expect_told(w, rmap_how(w), MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	verify(w);
}

TEST_F(limited, hwpoison)
{
	struct world *w = &self->w;

	if (access("/proc/sys/vm/memory_failure_recovery", F_OK))
		SKIP(return, "needs CONFIG_MEMORY_FAILURE");
	signal(SIGBUS, survive);
	ASSERT_EQ(0, madvise(self->all.mem, PAGE, MADV_HWPOISON));
	check(w);
	if (w->kind->page == HUGE)
		expect_effect(w, DROPS);
}

/* What is done to the other half is not told, where it does not concern this one. */
TEST_F(limited_small, other_half)
{
	struct world *w = &self->w;

	ASSERT_EQ(0, madvise(self->all.mem, w->len, MADV_DONTNEED));
	ASSERT_EQ(0, munmap(self->all.mem, w->len));
	EXPECT_EQ(0, stats(w).starts);
	if (w->flavour != MIRROR_TLB)
		EXPECT_EQ(0, take_log(w)->nr);
	verify(w);
}

/* fixture place: memory that is somewhere in particular */
FIXTURE(place) {
	struct world w;
};

FIXTURE_VARIANT(place) {
	unsigned int kind;
	unsigned int flavour;
};

FLAVOURS(place, any, ANON);

FIXTURE_SETUP(place)
{
	begin(&self->w, _metadata, variant->flavour);
	self->w.kind = &kinds[variant->kind];
	self->w.len = SMALL;
}

FIXTURE_TEARDOWN(place)
{
	finish(&self->w);
}

static void use(struct world *w, char *mem)
{
	w->mem = mem;
	fill(w);
	attach_range(w, mem, w->len);
	touch(w);
	mark(w);
}

static void gone(struct world *w)
{
	struct __test_metadata *_metadata = w->test;

	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	expect_effect(w, DROPS);
	EXPECT_EQ(0, mirror_reads(w, w->mem, w->len));
	check(w);
}

TEST_F(place, brk)
{
	struct world *w = &self->w;
	uintptr_t old = (uintptr_t)sbrk(0);
	uintptr_t start = (old + PAGE - 1) / PAGE * PAGE;

	ASSERT_EQ(0, brk((void *)start + w->len));
	use(w, (char *)start);
	ASSERT_EQ(0, brk((void *)old));
	gone(w);
}

TEST_F(place, shmdt)
{
	struct world *w = &self->w;
	int id = shmget(IPC_PRIVATE, w->len, IPC_CREAT | 0600);
	char *mem;

	if (id < 0)
		SKIP(return, "needs CONFIG_SYSVIPC");
	mem = shmat(id, NULL, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, shmctl(id, IPC_RMID, NULL));
	use(w, mem);
	ASSERT_EQ(0, shmdt(mem));
	gone(w);
}

/*
 * One munmap() of several mappings with holes between them, of which each has its own
 * way to be flushed: of all that the mirror has cached nothing may be left.
 */
static void unmap_several(struct world *w, size_t each, bool work)
{
	int flags[] = {
		MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	};
	struct __test_metadata *_metadata = w->test;
	unsigned int i, nr = ARRAY_SIZE(flags);
	char *mem;

	w->mem = BASE;
	w->len = 2 * nr * each;
	for (i = 0; i < nr; i++) {
		mem = w->mem + 2 * i * each;
		ASSERT_EQ(mem, mmap(mem, each, PROT_READ | PROT_WRITE,
				    flags[i] | MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0));
	}
	attach_range(w, w->mem, w->len);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(each / PAGE, mirror(w, w->mem + 2 * i * each, each, true, false,
					      COUNT, NULL));
	EXPECT_EQ(nr * each / PAGE, entries(w, true));
	if (work)
		busy(w);
	mark(w);
	ASSERT_EQ(0, munmap(w->mem, w->len));
	if (work)
		idle(w);
	else
		expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	expect_effect(w, DROPS);
	for (i = 0; i < nr; i++)
		EXPECT_EQ(0, mirror_reads(w, w->mem + 2 * i * each, each));
	check(w);
	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_DETACH));
}

TEST_F(place, munmap_several)
{
	int i;

	/* Few enough that the x86 flushes them one by one, and not. */
	unmap_several(&self->w, 4 * PAGE, false);
	unmap_several(&self->w, SMALL, false);
	for (i = 0; i < 5; i++)
		unmap_several(&self->w, 16 * PAGE, true);
}

/* A process that execs has no size yet: what is told of it is sound all the same. */
TEST_F(place, soft_dirty_exec)
{
	const char *again = "[ $1 = 0 ] || exec sh -c \"$0\" \"$0\" $(($1 - 1))";
	struct world *w = &self->w;
	char path[64];
	int status, fd;
	long wrote = 0;
	pid_t pid;

	use(w, map_at(w, BASE));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		execl("/bin/sh", "sh", "-c", again, again, "60", NULL);
		_exit(127);
	}
	snprintf(path, sizeof(path), "/proc/%d/clear_refs", pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	while (!waitpid(pid, &status, WNOHANG))
		wrote += write(fd, "4", 1) == 1;
	close(fd);
	EXPECT_EQ(0, status);
	EXPECT_LT(0, wrote);
	check(w);
}

/* Soft-dirty is cleared from the first page of the address space to the last. */
TEST_F(place, soft_dirty_ends)
{
	struct world *w = &self->w;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	char *mem = mmap(NULL, w->len, PROT_READ | PROT_WRITE, flags, -1, 0);
	char *last = (char *)0x7fffffffe000;

	ASSERT_NE(MAP_FAILED, mem);
	use(w, mem);
	ASSERT_EQ(0, put("/proc/sys/vm/mmap_min_addr", "0"));
	ASSERT_NE(MAP_FAILED, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0));
	/* If that is taken, then by the stack: as good. */
	mmap(last, PAGE, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	put("/proc/sys/vm/mmap_min_addr", "4096");
	ASSERT_EQ(0, do_soft_dirty(w));
	expect_told(w, PAIR, MMU_NOTIFY_SOFT_DIRTY);
	verify(w);
}

/* An old size of 0: the mapping stays, and there is another one. */
TEST_F(place, mremap_duplicate)
{
	struct world *w = &self->w;
	char *copy, *mem = mmap(NULL, w->len, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mem);
	use(w, mem);
	copy = mremap(mem, 0, w->len, MREMAP_MAYMOVE);
	ASSERT_NE(MAP_FAILED, copy);
	EXPECT_EQ(w->len / PAGE, entries(w, true));
	verify(w);
	EXPECT_EQ(0, memcmp(mem, copy, w->len));
	check(w);
}

/* Whole page tables move at once when source and destination are aligned. */
static void move_table(struct world *w, size_t size)
{
	struct __test_metadata *_metadata = w->test;
	char *mem = mmap(BASE, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	ASSERT_EQ(BASE, mem);
	use(w, mem);
	w->hi = mem + size;
	w->goes_hi = w->hi;
	moves(w);
	ASSERT_EQ(ELSEWHERE, mremap(mem, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE));
	expect_told(w, PAIR, MMU_NOTIFY_UNMAP);
	expect_effect(w, DROPS);
	EXPECT_EQ(0, mirror_reads(w, mem, w->len));
	check(w);
	verify_cpu(w, ELSEWHERE);
	ASSERT_EQ(mem, mremap(ELSEWHERE, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, mem));
	verify(w);
	busy(w);
	ASSERT_EQ(ELSEWHERE, mremap(mem, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE));
	ASSERT_EQ(mem, mremap(ELSEWHERE, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, mem));
	idle(w);
	verify(w);
}

TEST_F(place, move_pmd)
{
	move_table(&self->w, HUGE);
}

TEST_F(place, move_pud)
{
	move_table(&self->w, GIGA);
}

static noinline __aligned(4096) int probed(int x)
{
	asm volatile("nop; nop; nop; nop" : "+r" (x));
	return x + 1;
}

/* Offset in the file of the code at @addr. */
static unsigned long file_offset(unsigned long addr)
{
	unsigned long start, end, offset, found = 0;
	FILE *f = fopen("/proc/self/maps", "r");
	char line[256];

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    start <= addr && addr < end)
			found = addr - start + offset;
	}
	if (f)
		fclose(f);
	return found;
}

TEST_F(place, uprobe)
{
	static char path[256];
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = number_of("/sys/bus/event_source/devices/uprobe/type"),
		.uprobe_path = (uintptr_t)path,
	};
	struct world *w = &self->w;
	uint64_t before, after;
	int fd;

	if ((int)attr.type < 0)
		SKIP(return, "needs CONFIG_UPROBE_EVENTS");
	ASSERT_LT(0, readlink("/proc/self/exe", path, sizeof(path) - 1));
	attr.probe_offset = file_offset((unsigned long)probed);
	w->mem = (char *)probed;
	w->len = PAGE;
	attach_range(w, w->mem, w->len);
	ASSERT_EQ(1, mirror(w, w->mem, PAGE, false, false, 0, &before));
	mark(w);
	fd = syscall(__NR_perf_event_open, &attr, 0, -1, -1, 0);
	ASSERT_LE(0, fd);
	expect_told(w, ONE_PAGE, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	check(w);
	ASSERT_EQ(1, mirror(w, w->mem, PAGE, false, false, 0, &after));
	EXPECT_NE(before, after);
	EXPECT_EQ(2, probed(1));
	mark(w);
	close(fd);
	expect_told(w, ONE_PAGE, MMU_NOTIFY_CLEAR);
	expect_effect(w, DROPS);
	ASSERT_EQ(1, mirror(w, w->mem, PAGE, false, false, 0, &after));
	EXPECT_EQ(before, after);
	check(w);
}

static void on_first_cpu(pid_t pid)
{
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(0, &cpu);
	sched_setaffinity(pid, sizeof(cpu), &cpu);
}

/*
 * The OOM reaper's work: a victim that was killed but does not get to run, as it
 * may only when no other task wants its CPU.  True if it did not.
 */
static bool reap(struct world *w)
{
	struct __test_metadata *_metadata = w->test;
	struct sched_param param = {};
	int ready[2], pidfd, ret, tries = 100;
	struct mirror_stats s;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		use(w, map_at(w, BASE));
		sched_setscheduler(0, SCHED_IDLE, &param);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(0);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	close(ready[0]);
	close(ready[1]);
	usleep(1000);
	pidfd = syscall(__NR_pidfd_open, pid, 0);
	ASSERT_LE(0, pidfd);
	mark(w);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	do {
		ret = syscall(__NR_process_mrelease, pidfd, 0);
	} while (ret && errno == EAGAIN && tries--);
	s = stats(w);
	if (!ret && !s.releases) {
		w->mem = BASE;
		w->lo = BASE;
		w->hi = BASE + w->len;
		w->goes_lo = w->lo;
		w->goes_hi = w->hi;
		expect_no_more(w, PAIR, MMU_NOTIFY_UNMAP);
	}
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	close(pidfd);
	if (ret || s.releases)
		return false;
	EXPECT_TRUE(told(w, &s, PAIR));
	EXPECT_EQ(0, s.live);
	if (w->flavour != MIRROR_TLB)
		EXPECT_EQ(MMU_NOTIFY_UNMAP, s.last_event);
	EXPECT_EQ(0, s.violations);
	s = stats(w);
	EXPECT_EQ(1, s.releases);
	EXPECT_EQ(0, s.violations);
	return true;
}

TEST_F(place, process_mrelease)
{
	struct world *w = &self->w;
	int tries = 20;

	on_first_cpu(0);
	while (!reap(w)) {
		ASSERT_NE(0, tries--);
		EXPECT_EQ(0, ioctl(w->mirror, MIRROR_DETACH));
	}
}

/* fixture device: a device with memory, or rights, of its own: lib/test_hmm.c */
FIXTURE(device) {
	struct world w;
	int hmm;
};

FIXTURE_VARIANT(device) {
	unsigned int kind;
	unsigned int flavour;
};

FLAVOURS(device, anon, ANON);

static int open_hmm(void)
{
	FILE *f = fopen("/proc/devices", "r");
	const char *name = "/dev/hmm_dmirror0";
	char line[128];
	int found = -1;

	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, "hmm_dmirror"))
			found = atoi(line);
	}
	if (f)
		fclose(f);
	if (access(name, F_OK) && found >= 0)
		mknod(name, S_IFCHR | 0600, makedev(found, 0));
	return open(name, O_RDWR | O_CLOEXEC);
}

FIXTURE_SETUP(device)
{
	self->hmm = open_hmm();
	if (self->hmm < 0)
		SKIP(return, "needs CONFIG_TEST_HMM");
	setup(&self->w, _metadata, variant->kind, variant->flavour);
}

FIXTURE_TEARDOWN(device)
{
	close(self->hmm);
	finish(&self->w);
}

static int hmm_ioctl(int hmm, struct world *w, unsigned long request)
{
	static char buffer[SMALL];
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)w->mem,
		.ptr = (uintptr_t)buffer,
		.npages = w->len / PAGE,
	};

	return ioctl(hmm, request, &cmd) || cmd.cpages != w->len / PAGE ? -1 : 0;
}

/* Does the device think that it has any of the pages to itself? */
static bool is_exclusive(int hmm, struct world *w)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)w->mem,
		.npages = w->len / PAGE,
	};

	return ioctl(hmm, HMM_DMIRROR_CHECK_EXCLUSIVE, &cmd);
}

TEST_F(device, migrate)
{
	struct world *w = &self->w;
	int i;

	drain_lru();
	mark(w);
	ASSERT_EQ(0, hmm_ioctl(self->hmm, w, HMM_DMIRROR_MIGRATE_TO_DEV));
	expect_told(w, PAIR, ANY_EVENT);
	expect_effect(w, DROPS);
	check(w);

	/* The mirror's access brings the pages back: nothing to flush. */
	mark(w);
	touch(w);
	if (w->flavour != MIRROR_TLB)
		expect_told(w, PAIR, ANY_EVENT);
	verify(w);
	ASSERT_EQ(0, hmm_ioctl(self->hmm, w, HMM_DMIRROR_MIGRATE_TO_DEV));
	ASSERT_EQ(0, hmm_ioctl(self->hmm, w, HMM_DMIRROR_MIGRATE_TO_SYS));
	verify(w);
	busy(w);
	for (i = 0; i < 5; i++)
		hmm_ioctl(self->hmm, w, HMM_DMIRROR_MIGRATE_TO_DEV);
	idle(w);
	verify(w);
}

TEST_F(device, migrate_zero)
{
	struct world *w = &self->w;

	/* The zero page, nothing at all, and after half of it the zero page. */
	ASSERT_EQ(0, do_dontneed(w));
	EXPECT_EQ(1, mirror_reads(w, w->mem, PAGE));
	EXPECT_EQ(w->len / PAGE / 2, mirror_reads(w, w->mem + w->len / 2, w->len / 2));
	mark(w);
	ASSERT_EQ(0, hmm_ioctl(self->hmm, w, HMM_DMIRROR_MIGRATE_TO_DEV));
	/* One to read what is there, one to put something in its place. */
	w->most = 2;
	expect_told(w, PAIR, MMU_NOTIFY_MIGRATE);
	expect_effect(w, DROPS);
	verify_zero(w);
}

TEST_F(device, exclusive)
{
	struct world *w = &self->w;
	int i;

	mark(w);
	ASSERT_EQ(0, hmm_ioctl(self->hmm, w, HMM_DMIRROR_EXCLUSIVE));
	expect_told(w, ONE_PAGE, MMU_NOTIFY_EXCLUSIVE);
	expect_effect(w, DROPS);
	check(w);
	EXPECT_TRUE(is_exclusive(self->hmm, w));

	/* The mirror's access takes it from the device, which is told of it. */
	mark(w);
	w->most = w->len / PAGE;
	touch(w);
	EXPECT_FALSE(is_exclusive(self->hmm, w));
	if (w->flavour != MIRROR_TLB)
		expect_told(w, PAIR, MMU_NOTIFY_CLEAR);
	verify(w);
	busy(w);
	for (i = 0; i < 5; i++)
		hmm_ioctl(self->hmm, w, HMM_DMIRROR_EXCLUSIVE);
	idle(w);
	verify(w);
	ASSERT_EQ(0, hmm_ioctl(self->hmm, w, HMM_DMIRROR_EXCLUSIVE));
	ASSERT_EQ(0, do_munmap(w));
	check(w);
}

/* fixture age: only an accessed bit of the mirror's says that a page is in use */
FIXTURE(age) {
	struct world w;
};

FIXTURE_VARIANT(age) {
	unsigned int kind;
	unsigned int flavour;
};

FIXTURE_VARIANT_ADD(age, anon_list) { .kind = ANON, .flavour = MIRROR_LIST };
FIXTURE_VARIANT_ADD(age, anon_page) { .kind = ANON, .flavour = MIRROR_PAGE };
FIXTURE_VARIANT_ADD(age, shmem_list) { .kind = SHMEM, .flavour = MIRROR_LIST };
FIXTURE_VARIANT_ADD(age, shmem_page) { .kind = SHMEM, .flavour = MIRROR_PAGE };
FIXTURE_VARIANT_ADD(age, thp_list) { .kind = ANON_THP, .flavour = MIRROR_LIST };
FIXTURE_VARIANT_ADD(age, thp_page) { .kind = ANON_THP, .flavour = MIRROR_PAGE };

FIXTURE_SETUP(age)
{
	begin(&self->w, _metadata, variant->flavour);
	if (_metadata->exit_code)
		return;
	/* In a group from the beginning: reclaim has only these pages to scan. */
	enter_cgroup();
	make_memory(&self->w, variant->kind);
	if (_metadata->exit_code)
		return;
	attach(&self->w);
	touch(&self->w);
	drain_lru();
	mark(&self->w);
}

FIXTURE_TEARDOWN(age)
{
	leave_cgroup();
	finish(&self->w);
}

/* Reads or writes the word of the idle bitmap that has the page's bit. */
static bool idle_bit(struct world *w, int fd, size_t page, bool set)
{
	uint64_t pfn = pagemap(w, w->mem + page * PAGE) & PM_PFN, bits = 1ull << pfn % 64;

	if (set)
		return pwrite(fd, &bits, 8, pfn / 64 * 8) == 8;
	return pread(fd, &bits, 8, pfn / 64 * 8) == 8 && bits & 1ull << pfn % 64;
}

static uint64_t mirror_looks(struct world *w, size_t page)
{
	return mirror(w, w->mem + page * PAGE, PAGE, false, true, COUNT, NULL);
}

TEST_F(age, page_idle)
{
	int fd = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR | O_CLOEXEC);
	struct world *w = &self->w;
	size_t page, nr = w->len / w->kind->page;

	if (fd < 0)
		SKIP(return, "needs CONFIG_IDLE_PAGE_TRACKING");
	for (page = 0; page < nr; page++)
		ASSERT_TRUE(idle_bit(w, fd, page, true));
	EXPECT_LT(w->before.clear_young, stats(w).clear_young);
	for (page = 0; page < nr; page++)
		EXPECT_TRUE(idle_bit(w, fd, page, false));
	for (page = 0; page < nr; page += 2)
		EXPECT_EQ(1, mirror_looks(w, page));
	for (page = 0; page < nr; page++)
		EXPECT_EQ(page % 2, idle_bit(w, fd, page, false));
	/* Nothing but age was touched. */
	EXPECT_EQ(w->len / PAGE, entries(w, true));
	verify(w);
	close(fd);
}

/* Pages that the mirror uses stay longer than unused ones. */
static void reclaim(struct world *w, const char *lru_gen)
{
	struct __test_metadata *_metadata = w->test;
	size_t page, cold_len = 512 * PAGE, hot = 0, cold = 0;
	long old = number_of("/sys/kernel/mm/lru_gen/enabled");
	struct mirror_stats s;
	uint64_t asked;
	char *mem;
	int i;

	if (!swap_is_on())
		SKIP(return, "needs swap, see mirror.sh");
	if (access(CGROUP "/memory.reclaim", W_OK))
		SKIP(return, "needs CONFIG_MEMCG");
	if (put("/sys/kernel/mm/lru_gen/enabled", lru_gen) && *lru_gen == 'y')
		SKIP(return, "needs CONFIG_LRU_GEN");
	mem = mmap(ELSEWHERE, cold_len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	ASSERT_EQ(ELSEWHERE, mem);
	memset(mem, 1, cold_len);
	drain_lru();
	for (i = 0; i < 6; i++) {
		mirror_reads(w, w->mem, w->len);
		put(CGROUP "/memory.reclaim", "256K");
	}
	s = stats(w);
	asked = *lru_gen == 'y' ? s.clear_young - w->before.clear_young :
		s.clear_flush_young - w->before.clear_flush_young;
	EXPECT_LT(0, asked);
	for (page = 0; page < w->len / PAGE; page++)
		hot += !!(pagemap(w, w->mem + page * PAGE) & PM_PRESENT);
	for (page = 0; page < cold_len / PAGE; page++)
		cold += !!(pagemap(w, mem + page * PAGE) & PM_PRESENT);
	EXPECT_LT(cold, cold_len / PAGE);
	EXPECT_GE(hot * (cold_len / PAGE), cold * (w->len / PAGE)) {
		TH_LOG("%zu pages in use and %zu others are left", hot, cold);
	}
	verify(w);
	put("/sys/kernel/mm/lru_gen/enabled", "%ld", old);
}

TEST_F(age, reclaim_classic)
{
	reclaim(&self->w, "n");
}

TEST_F(age, reclaim_mglru)
{
	reclaim(&self->w, "y");
}

#define DAMON		"/sys/kernel/mm/damon/admin/kdamonds/"
#define DAMON_CTX	DAMON "0/contexts/0/"
#define DAMON_SCHEME	DAMON_CTX "schemes/0/"

/* How often DAMON found the region in use, in @ms. */
static long damon(struct world *w, const char *operations, uintptr_t start, unsigned int ms)
{
	long ret;
	int bad = 0;

	bad |= put(DAMON "nr_kdamonds", "1");
	bad |= put(DAMON "0/contexts/nr_contexts", "1");
	bad |= put(DAMON_CTX "operations", operations);
	bad |= put(DAMON_CTX "monitoring_attrs/intervals/sample_us", "2000");
	bad |= put(DAMON_CTX "monitoring_attrs/intervals/aggr_us", "20000");
	bad |= put(DAMON_CTX "targets/nr_targets", "1");
	if (*operations != 'p')
		bad |= put(DAMON_CTX "targets/0/pid_target", "%d", getpid());
	bad |= put(DAMON_CTX "targets/0/regions/nr_regions", "1");
	bad |= put(DAMON_CTX "targets/0/regions/0/start", "%lu", start);
	bad |= put(DAMON_CTX "targets/0/regions/0/end", "%lu", start + w->len);
	bad |= put(DAMON_CTX "schemes/nr_schemes", "1");
	bad |= put(DAMON_SCHEME "action", "stat");
	bad |= put(DAMON_SCHEME "access_pattern/sz/max", "%lu", ~0ul);
	bad |= put(DAMON_SCHEME "access_pattern/nr_accesses/min", "1");
	bad |= put(DAMON_SCHEME "access_pattern/nr_accesses/max", "1000");
	bad |= put(DAMON_SCHEME "access_pattern/age/max", "%lu", ~0ul);
	bad |= put(DAMON "0/state", "on");
	usleep(ms * 1000);
	bad |= put(DAMON "0/state", "update_schemes_stats");
	ret = number_of(DAMON_SCHEME "stats/nr_tried");
	bad |= put(DAMON "0/state", "off");
	put(DAMON "nr_kdamonds", "0");
	return bad ? -1 : ret;
}

static void damon_sees(struct world *w, const char *operations, uintptr_t start)
{
	struct mirror_threads threads = { .nr = 1, .seed = 1, .offset = BUSY };
	struct __test_metadata *_metadata = w->test;
	struct mirror_stats s;

	if (access(DAMON, F_OK))
		SKIP(return, "needs CONFIG_DAMON_SYSFS");
	EXPECT_EQ(0, damon(w, operations, start, 200));
	mark(w);
	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_THREADS, &threads));
	EXPECT_LT(0, damon(w, operations, start, 400));
	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_STOP));
	s = stats(w);
	EXPECT_LT(w->before.clear_young, s.clear_young);
	EXPECT_LT(w->before.test_young, s.test_young);
	EXPECT_EQ(w->len / PAGE, entries(w, true));
	verify(w);
}

TEST_F(age, damon_vaddr)
{
	damon_sees(&self->w, "fvaddr", (uintptr_t)self->w.mem);
}

TEST_F(age, damon_paddr)
{
	struct world *w = &self->w;

	/* One range of physical addresses: what a huge page has. */
	if (!w->kind->huge)
		w->len = PAGE;
	damon_sees(w, "paddr", (pagemap(w, w->mem) & PM_PFN) * PAGE);
}

/* fixture damon_huge: there is more to age than base pages and THP */
MIRRORED(damon_huge);
FIXTURE_VARIANT_ADD(damon_huge, list) { .kind = HUGETLB_PRIVATE, .flavour = MIRROR_LIST };
FIXTURE_VARIANT_ADD(damon_huge, page) { .kind = HUGETLB_PRIVATE, .flavour = MIRROR_PAGE };

TEST_F(damon_huge, vaddr)
{
	damon_sees(&self->w, "fvaddr", (uintptr_t)self->w.mem);
}

/* Ask MGLRU to walk all page tables, once. */
static int lru_gen_walk(void)
{
	FILE *f = fopen("/sys/kernel/debug/lru_gen", "r");
	unsigned long memcg = 0, node = 0;
	int ret = 0, seqs = 0;
	struct { unsigned long memcg, node, seq; } last[16];
	char line[200], *word;

	if (!f)
		return -1;
	/* A line for each memcg, one for each node of it, one for each generation. */
	while (fgets(line, sizeof(line), f) && seqs < 16) {
		word = line + strspn(line, " ");
		if (!strncmp(word, "memcg", 5)) {
			memcg = strtoul(word + 5, NULL, 10);
		} else if (!strncmp(word, "node", 4)) {
			node = strtoul(word + 4, NULL, 10);
		} else {
			/* The newest is the last. */
			if (seqs && last[seqs - 1].memcg == memcg && last[seqs - 1].node == node)
				seqs--;
			last[seqs].memcg = memcg;
			last[seqs].node = node;
			last[seqs++].seq = strtoul(word, NULL, 10);
		}
	}
	fclose(f);
	while (seqs--)
		ret |= put("/sys/kernel/debug/lru_gen", "+ %lu %lu %lu 200 1",
			   last[seqs].memcg, last[seqs].node, last[seqs].seq);
	return ret;
}

/* What only the mirror has accessed is asked for, entry by entry. */
TEST_F(age, lru_gen)
{
	struct world *w = &self->w;
	long old = number_of("/sys/kernel/mm/lru_gen/enabled");

	if (old < 0 || put("/sys/kernel/mm/lru_gen/enabled", "y"))
		SKIP(return, "needs CONFIG_LRU_GEN");
	ASSERT_EQ(0, lru_gen_walk());
	/* The CPU has accessed nothing. */
	ASSERT_EQ(0, put("/proc/self/clear_refs", "1"));
	EXPECT_EQ(w->len / PAGE, mirror(w, w->mem, w->len, false, true, COUNT, NULL));
	mark(w);
	ASSERT_EQ(0, lru_gen_walk());
	EXPECT_LE(w->before.clear_young + w->len / w->kind->page, stats(w).clear_young) {
		TH_LOG("asked %llu times", stats(w).clear_young - w->before.clear_young);
	}
	put("/sys/kernel/mm/lru_gen/enabled", "%ld", old);
	verify(w);
}

/* fixture young: the same, for code that wants a page to be in use before it acts */
MIRRORED(young);
FIXTURE_VARIANT_ADD(young, thp_list) { .kind = ANON_THP, .flavour = MIRROR_LIST };
FIXTURE_VARIANT_ADD(young, thp_page) { .kind = ANON_THP, .flavour = MIRROR_PAGE };

/* khugepaged collapses what is in use, if only by the mirror. */
TEST_F(young, khugepaged)
{
	int fd = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR | O_CLOEXEC);
	struct world *w = &self->w;
	double end;
	size_t page;

	if (fd < 0 || missing(ANON_THP))
		SKIP(return, "needs CONFIG_IDLE_PAGE_TRACKING and THP");
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_NOHUGEPAGE));
	w->count = 0;
	fill(w);
	touch(w);
	drain_lru();
	put(THP "enabled", "madvise");
	put(THP "khugepaged/alloc_sleep_millisecs", "10");
	put(THP "khugepaged/pages_to_scan", "4096");
	/* The mirror's accessed bits are cleared, then the CPU's. */
	for (page = 0; page < w->len / PAGE; page++)
		idle_bit(w, fd, page, true);
	close(fd);
	ASSERT_EQ(0, put("/proc/self/clear_refs", "1"));
	mark(w);
	ASSERT_EQ(0, madvise(w->mem, w->len, MADV_HUGEPAGE));
	put(THP "khugepaged/scan_sleep_millisecs", "10");
	usleep(300000);
	EXPECT_FALSE(is_huge(w, w->mem));
	EXPECT_LT(w->before.test_young, stats(w).test_young);

	EXPECT_EQ(1, mirror_looks(w, 7));
	for (end = now() + 10; !is_huge(w, w->mem) && now() < end; )
		usleep(10000);
	EXPECT_TRUE(is_huge(w, w->mem));
	put(THP "khugepaged/scan_sleep_millisecs", "10000");
	verify(w);
}

/*
 * The variants ..._tlb of all other fixtures test flushes: expect_told() wants them
 * there. Here are the cases that belong to none of those.
 */
FIXTURE(flush) {
	struct world w;
};

FIXTURE_SETUP(flush)
{
	setup(&self->w, _metadata, ANON, MIRROR_TLB);
}

FIXTURE_TEARDOWN(flush)
{
	finish(&self->w);
}

/* Reclaim flushes once for many pages, but the mirror must not wait for it. */
TEST_F(flush, batched)
{
	struct world *w = &self->w;

	if (!swap_is_on())
		SKIP(return, "needs swap, see mirror.sh");
	drain_lru();
	/* Both CPUs have used the mm: only then are flushes put off. */
	busy(w);
	usleep(10000);
	idle(w);
	touch(w);
	mark(w);
	ASSERT_EQ(0, do_pageout(w));
	expect_told(w, PAIR, ANY_EVENT);
	expect_effect(w, DROPS);
	verify(w);
}

/*
 * Flushes of the whole address space since the last call, and in *exact those of
 * [lo, hi). No flush may reach into the memory otherwise.
 */
static unsigned int flushes(struct world *w, char *lo, char *hi, unsigned int *exact)
{
	struct __test_metadata *_metadata = w->test;
	struct mirror_log *log = take_log(w);
	unsigned int i, all = 0;

	*exact = 0;
	for (i = 0; i < log->nr; i++) {
		const struct mirror_record *r = &log->record[i];

		if (r->call != MIRROR_FLUSHES || !overlaps(r, lo, hi))
			continue;
		if (!r->start && r->end == ~0ull) {
			all++;
			continue;
		}
		EXPECT_EQ((uintptr_t)lo, r->start);
		EXPECT_EQ((uintptr_t)hi, r->end);
		(*exact)++;
	}
	return all;
}

/*
 * Of few pages exactly these; what is long is not flushed page by page. Reclaim and
 * migration of any page of the process flush everything, at any time: that the few
 * are flushed by themselves is tried again.
 */
TEST_F(flush, exact_or_all)
{
	struct world *w = &self->w;
	size_t few = 16 * PAGE, many = 64 * PAGE;
	unsigned int i, all = 1, exact = 0;
	char *mem = w->mem + PAGE;

	mark(w);
	for (i = 0; i < 20 && (all || !exact); i++) {
		touch(w);
		take_log(w);
		ASSERT_EQ(0, mprotect(mem, few, PROT_READ));
		all = flushes(w, mem, mem + few, &exact);
		ASSERT_EQ(0, mprotect(mem, few, PROT_READ | PROT_WRITE));
	}
	EXPECT_EQ(0, all);
	EXPECT_EQ(1, exact);
	mem = mmap(ELSEWHERE, many, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
		   MAP_FIXED_NOREPLACE | MAP_POPULATE, -1, 0);
	ASSERT_EQ(ELSEWHERE, mem);
	take_log(w);
	ASSERT_EQ(0, mprotect(mem, many, PROT_READ));
	EXPECT_LT(0, flushes(w, mem, mem + many, &exact));
	EXPECT_EQ(0, exact);
	check(w);
}

struct punch {
	struct world *w;
	volatile bool stop;
	volatile uint64_t passes;
};

static void *punch_and_fill(void *arg)
{
	struct punch *punch = arg;
	struct world *w = punch->w;
	static char page[PAGE];
	size_t i;

	while (!punch->stop) {
		do_punch(w);
		for (i = 0; i < w->len; i += PAGE)
			if (pwrite(w->file, page, PAGE, i) != PAGE)
				break;
		punch->passes++;
	}
	return NULL;
}

/*
 * A page that has moved can be taken away, by the file, as soon as its table is
 * unlocked: by then it may not be cached at the old address.
 */
TEST_F(flush, moved_then_freed)
{
	struct world *w = &self->w;
	struct punch punch = { .w = w };
	pthread_t thread;
	double end;
	int i;

	ASSERT_EQ(0, ioctl(w->mirror, MIRROR_DETACH));
	ASSERT_EQ(0, do_munmap(w));
	make_memory(w, MEM_FD);
	attach(w);
	ASSERT_EQ(0, pthread_create(&thread, NULL, punch_and_fill, &punch));
	for (i = 0, end = now() + 2; i < 200 && now() < end; i++) {
		mirror(w, w->mem, w->len, true, false, COUNT, NULL);
		/* Not by whole tables, which are flushed at once. */
		ASSERT_EQ(ELSEWHERE + PAGE, mremap(w->mem, w->len, w->len,
						   MREMAP_MAYMOVE | MREMAP_FIXED,
						   ELSEWHERE + PAGE));
		ASSERT_EQ(w->mem, mremap(ELSEWHERE + PAGE, w->len, w->len,
					 MREMAP_MAYMOVE | MREMAP_FIXED, w->mem));
	}
	punch.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, punch.passes);
	check(w);
}

TEST_HARNESS_MAIN
