// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/xpmem: what its calls accept and refuse, and that owner and attacher see the same
 * memory whatever happens to it, or to them.
 *
 * The test's process does nothing with the device.  It has peers, processes that do one
 * thing after another as they are told; so the order is always the same.  What an
 * operation returns tells how it has ended, by a signal, too.
 */
#define _GNU_SOURCE
#include <glob.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <sys/klog.h>
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "xpmem.h"
#include "xpmem_util.h"

#define EXPECT_ERRNO(error, call) do {	\
	errno = 0;			\
	EXPECT_EQ(-1, (call));		\
	EXPECT_EQ(error, errno);	\
} while (0)

#define CGROUP		"/sys/fs/cgroup/xpmem_test"
#define RW		(PROT_READ | PROT_WRITE)
#define NEW		(MAP_PRIVATE | MAP_ANONYMOUS)

static long make(struct peer *p, const void *vaddr, long size, long mode)
{
	return call(p, op_make, L(vaddr), size, XPMEM_PERMIT_MODE, mode);
}

static long get(struct peer *p, long segid, long flags)
{
	return call(p, op_get, segid, flags, XPMEM_PERMIT_MODE, 0);
}

static long attach(struct peer *p, long apid, long offset, long size)
{
	return call(p, op_attach, apid, offset, size, 0, 0);
}

static long attach_at(struct peer *p, long apid, long offset, long size, long vaddr)
{
	return call(p, op_attach, apid, offset, size, vaddr, 0);
}

static long detach(struct peer *p, long vaddr)
{
	return call(p, op_detach, vaddr);
}

static long release(struct peer *p, long apid)
{
	return call(p, op_release, apid);
}

static long seg_remove(struct peer *p, long segid)
{
	return call(p, op_remove, segid);
}

static long peek(struct peer *p, long addr)
{
	return call(p, op_peek, addr);
}

static long poke(struct peer *p, long addr, long value)
{
	return call(p, op_poke, addr, value);
}

static long fill(struct peer *p, long mem, long pages, long seed)
{
	return call(p, op_fill, mem, pages, seed, 0);
}

static long check(struct peer *p, long mem, long pages, long seed)
{
	return call(p, op_check, mem, pages, seed, 0);
}

static long map_new(struct peer *p, long addr, long len)
{
	return call(p, op_mmap, addr, len, RW, NEW | (addr ? MAP_FIXED : 0), -1, 0);
}

static long unmap(struct peer *p, long addr, long len)
{
	return call(p, op_sys, __NR_munmap, addr, len);
}

static long protect(struct peer *p, long addr, long len, long prot)
{
	return call(p, op_sys, __NR_mprotect, addr, len, prot);
}

static long advise(struct peer *p, long addr, long len, long advice)
{
	return call(p, op_sys, __NR_madvise, addr, len, advice);
}

static long move_to(struct peer *p, long from, long len, long to)
{
	return call(p, op_sys, __NR_mremap, from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
}

/* How many of them could not be killed, or had died. */
static int peers_end(struct peer *peers, int nr)
{
	int i, bad = 0;

	for (i = 0; i < nr; i++)
		bad += !peer_kill(&peers[i]);
	return bad;
}

/* === fixture page: what can happen to memory, to each kind of memory === */

#define page_test	_test_data_page		/* FIXTURE_DATA(page) */

FIXTURE(page) {
	struct peer owner, attacher, child;
	struct control *control;
	const struct kind *kind;
	int file;
	long pages;
	long mem;		/* the owner's */
	long segid, apid;
	long at;		/* the attacher's */
};

FIXTURE_VARIANT(page) {
	unsigned int kind;
};

FIXTURE_VARIANT_ADD(page, anon) { .kind = ANON };
FIXTURE_VARIANT_ADD(page, thp) { .kind = THP };
FIXTURE_VARIANT_ADD(page, ksm) { .kind = KSM_PAGES };
FIXTURE_VARIANT_ADD(page, shmem) { .kind = SHMEM };
FIXTURE_VARIANT_ADD(page, shmem_thp) { .kind = SHMEM_THP };
FIXTURE_VARIANT_ADD(page, hugetlb_private) { .kind = HUGETLB_PRIVATE };
FIXTURE_VARIANT_ADD(page, hugetlb_shared) { .kind = HUGETLB_SHARED };
FIXTURE_VARIANT_ADD(page, ext4_shared) { .kind = EXT4_SHARED };
FIXTURE_VARIANT_ADD(page, ext4_private) { .kind = EXT4_PRIVATE };
FIXTURE_VARIANT_ADD(page, ext4_text) { .kind = EXT4_TEXT };

/* The owner's memory gets new contents; by the file if the owner may not write. */
static long owner_fills(struct page_test *self, long seed)
{
	long page, word;

	if (!self->kind->read_only)
		return call(&self->owner, op_fill, self->mem, self->pages, seed,
			    self->kind->alike);
	for (page = 0; page < self->pages; page++) {
		word = stamp(seed, page, self->kind->alike);
		if (pwrite(self->file, &word, 8, page * PAGE) != 8 ||
		    pwrite(self->file, &word, 8, (page + 1) * PAGE - 8) != 8)
			return -1;
	}
	return 0;
}

static long attacher_fills(struct page_test *self, long seed)
{
	return call(&self->attacher, op_fill, self->at, self->pages, seed, self->kind->alike);
}

static long attacher_checks(struct page_test *self, long seed)
{
	return call(&self->attacher, op_check, self->at, self->pages, seed, self->kind->alike);
}

static long owner_checks(struct page_test *self, long seed)
{
	return call(&self->owner, op_check, self->mem, self->pages, seed, self->kind->alike);
}

static bool is_hugetlb(unsigned int kind)
{
	return kind == HUGETLB_PRIVATE || kind == HUGETLB_SHARED;
}

static bool enter_cgroup(pid_t pid)
{
	put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return false;
	if (access(CGROUP "/memory.max", W_OK))
		return false;
	return !put(CGROUP "/cgroup.procs", "%d", pid);
}

FIXTURE_SETUP(page)
{
	const char *what = missing(variant->kind);

	if (what)
		SKIP(return, "%s", what);
	self->kind = &kinds[variant->kind];
	self->pages = self->kind->len / PAGE;
	self->file = kind_file(self->kind);
	if (self->kind->backing != NO_FILE)
		ASSERT_LE(0, self->file);
	self->control = control_new();
	ASSERT_EQ(0, peer_prepare(&self->child));
	ASSERT_EQ(0, peer_new(&self->owner));
	ASSERT_EQ(0, peer_new(&self->attacher));
	if (variant->kind == KSM_PAGES)
		enter_cgroup(self->owner.pid);

	self->mem = call(&self->owner, op_map, variant->kind, L(BASE), self->file);
	ASSERT_EQ(L(BASE), self->mem);
	ASSERT_EQ(0, owner_fills(self, 1));
	ASSERT_EQ(0, owner_checks(self, 1));
	if (variant->kind == KSM_PAGES)
		ASSERT_EQ(self->pages, call(&self->owner, op_merge, self->mem, self->kind->len));

	self->segid = make(&self->owner, BASE, self->kind->len, 0600);
	ASSERT_LT(0, self->segid);
	self->apid = get(&self->attacher, self->segid, XPMEM_RDWR);
	ASSERT_LT(0, self->apid);
	self->at = attach(&self->attacher, self->apid, 0, self->kind->len);
	ASSERT_LT(0, self->at);
}

FIXTURE_TEARDOWN(page)
{
	EXPECT_TRUE(pinned_nothing());
	EXPECT_TRUE(peer_kill(&self->attacher));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_TRUE(peer_kill(&self->child));
	EXPECT_TRUE(pinned_nothing());
	close(self->file);
	if (variant->kind == KSM_PAGES)
		rmdir(CGROUP);
}

/* Both see these contents, the attacher first: it has to ask for them. */
#define EXPECT_CONTENTS(seed) do {			\
	EXPECT_EQ(0, attacher_checks(self, seed));	\
	EXPECT_EQ(0, owner_checks(self, seed));		\
} while (0)

/* The contents were kept, and what either writes reaches the other. */
#define EXPECT_COHERENT(seed) do {					\
	EXPECT_CONTENTS(seed);						\
	if (!self->kind->read_only) {					\
		EXPECT_EQ(0, attacher_fills(self, (seed) + 1));		\
		EXPECT_EQ(0, owner_checks(self, (seed) + 1));		\
	}								\
	EXPECT_EQ(0, owner_fills(self, (seed) + 2));			\
	EXPECT_CONTENTS((seed) + 2);					\
} while (0)

TEST_F(page, both_ways)
{
	EXPECT_COHERENT(1);
	EXPECT_COHERENT(3);
	EXPECT_EQ(0, detach(&self->attacher, self->at));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(&self->attacher, self->at));
	self->at = attach(&self->attacher, self->apid, 0, self->kind->len);
	ASSERT_LT(0, self->at);
	EXPECT_COHERENT(5);
}

/* The owner has never touched it; with file kinds it is a hole. */
TEST_F(page, attacher_is_first)
{
	if (self->file >= 0) {
		ASSERT_EQ(0, ftruncate(self->file, 0));
		ASSERT_EQ(0, ftruncate(self->file, self->kind->len));
	}
	ASSERT_EQ(self->mem, call(&self->owner, op_map, variant->kind, self->mem, self->file));
	EXPECT_EQ(0, peek(&self->attacher, self->at + PAGE));
	if (self->kind->read_only)
		return;
	EXPECT_EQ(0, attacher_fills(self, 2));
	EXPECT_EQ(0, owner_checks(self, 2));

	/* Written to at once, too. */
	if (self->file >= 0) {
		ASSERT_EQ(0, ftruncate(self->file, 0));
		ASSERT_EQ(0, ftruncate(self->file, self->kind->len));
	}
	ASSERT_EQ(self->mem, call(&self->owner, op_map, variant->kind, self->mem, self->file));
	EXPECT_EQ(0, attacher_fills(self, 3));
	EXPECT_EQ(0, owner_checks(self, 3));
	EXPECT_COHERENT(3);
}

TEST_F(page, read_only_permit)
{
	long apid = get(&self->attacher, self->segid, XPMEM_RDONLY), at;

	ASSERT_LT(0, apid);
	at = attach(&self->attacher, apid, 0, self->kind->len);
	ASSERT_LT(0, at);
	/* There is a writable mapping of the same pages beside it. */
	EXPECT_CONTENTS(1);
	EXPECT_EQ(stamp(1, 0, self->kind->alike), peek(&self->attacher, at));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), poke(&self->attacher, at, 1));
	EXPECT_ERRNO(EACCES, protect(&self->attacher, at, self->kind->len, RW));
	EXPECT_ERRNO(EACCES, protect(&self->attacher, at, PAGE, PROT_WRITE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), poke(&self->attacher, at, 1));
	EXPECT_CONTENTS(1);
	EXPECT_EQ(0, owner_fills(self, 2));
	EXPECT_EQ(0, call(&self->attacher, op_check, at, self->pages, 2, self->kind->alike));
}

/* What the owner may not write, no process does: the page cache stays as it is. */
TEST_F(page, owner_may_not_write)
{
	long page, word, own, apid;

	if (!self->kind->read_only) {
		ASSERT_EQ(0, protect(&self->owner, self->mem, self->kind->len, PROT_READ));
		EXPECT_EQ(0, attacher_checks(self, 1));
	}
	/* Read first, then at once. */
	EXPECT_EQ(stamp(1, 0, self->kind->alike), peek(&self->attacher, self->at));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(&self->attacher, self->at, 99));
	EXPECT_EQ(BY_SIGNAL(SIGBUS),
		  poke(&self->attacher, self->at + self->kind->len - PAGE, 99));
	EXPECT_CONTENTS(1);

	/* By the owner itself: its own library. */
	apid = get(&self->owner, self->segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	own = attach(&self->owner, apid, 0, self->kind->len);
	ASSERT_LT(0, own);
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(&self->owner, own, 99));
	EXPECT_EQ(0, call(&self->owner, op_check, own, self->pages, 1, self->kind->alike));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(&self->owner, own, 99));
	EXPECT_EQ(0, detach(&self->owner, own));
	EXPECT_CONTENTS(1);

	if (self->file >= 0 && !is_hugetlb(variant->kind) && self->kind->shared) {
		for (page = 0; page < self->pages; page++) {
			ASSERT_EQ(8, pread(self->file, &word, 8, page * PAGE));
			EXPECT_EQ(stamp(1, page, self->kind->alike), word);
		}
	}
	if (!self->kind->read_only) {
		ASSERT_EQ(0, protect(&self->owner, self->mem, self->kind->len, RW));
		EXPECT_COHERENT(1);
	}
}

static long op_in_core(const long *a)
{
	unsigned char in_core[HUGE / PAGE];
	long i, nr = 0;

	if (mincore((void *)a[0], a[1], in_core))
		return -1;
	for (i = 0; i < a[1] / PAGE; i++)
		nr += in_core[i] & 1;
	return nr;
}

/* How many pages have left memory.  Merged pages are only taken by reclaim proper. */
static long swap_out(struct page_test *self)
{
	int tries;
	long left;

	/* Dirty pages of a file are not for reclaim to write. */
	if (self->kind->backing == EXT4_FILE)
		fsync(self->file);
	if (self->kind != &kinds[KSM_PAGES]) {
		for (tries = 0; tries < 10; tries++) {
			left = self->pages - call(&self->owner, op_page_out, self->mem,
						  self->kind->len);
			if (!left)
				break;
			/* They are in another CPU's batch for the LRU: it drains all. */
			put("/proc/sys/vm/compact_memory", "1");
		}
		return self->pages - left;
	}
	for (tries = 0; tries < 500; tries++) {
		left = call(&self->owner, op_in_core, self->mem, self->kind->len);
		if (!left)
			break;
		put("/proc/sys/vm/compact_memory", "1");
		put(CGROUP "/memory.reclaim", "1M");
		usleep(10000);
	}
	return self->pages - left;
}

/* A reference to a page would keep it in memory. */
TEST_F(page, swapped_out)
{
	if (is_hugetlb(variant->kind))
		SKIP(return, "huge pages of hugetlbfs are not swapped");
	if (!swap_is_on())
		SKIP(return, "no swap, see xpmem.sh");
	if (variant->kind == KSM_PAGES && access(CGROUP "/memory.reclaim", W_OK))
		SKIP(return, "needs CONFIG_MEMCG");

	/* Mapped for reading: the attacher is the first to miss them. */
	EXPECT_CONTENTS(1);
	EXPECT_EQ(self->pages, swap_out(self));
	if (variant->kind == ANON)
		EXPECT_NE(0, call(&self->owner, op_page_flags, self->mem) & PM_SWAPPED);
	EXPECT_EQ(0, attacher_checks(self, 1));
	if (self->kind->read_only)
		return;

	/* Only the attacher's entries know that they are dirty. */
	EXPECT_EQ(0, attacher_fills(self, 2));
	EXPECT_EQ(self->pages, swap_out(self));
	EXPECT_EQ(0, owner_checks(self, 2));
	EXPECT_EQ(0, attacher_checks(self, 2));
	EXPECT_EQ(0, attacher_fills(self, 3));
	EXPECT_EQ(self->pages, swap_out(self));
	EXPECT_EQ(0, attacher_checks(self, 3));

	/* It misses them for writing. */
	EXPECT_EQ(self->pages, swap_out(self));
	EXPECT_EQ(0, attacher_fills(self, 4));
	EXPECT_CONTENTS(4);
}

TEST_F(page, migrated)
{
	long nr = self->kind->len / self->kind->page, node, seed = 1;

	if (!two_nodes())
		SKIP(return, "needs two nodes: numa=fake=2");
	for (node = 0; node < 4; node++) {
		EXPECT_EQ(nr, call(&self->owner, op_move, self->mem, self->kind->len,
				   self->kind->page, node & 1));
		EXPECT_COHERENT(seed);
		seed += 2;
	}
}

TEST_F(page, compacted)
{
	EXPECT_CONTENTS(1);
	ASSERT_EQ(0, put("/proc/sys/vm/compact_memory", "1"));
	EXPECT_COHERENT(1);
}

/* Offlining moves exactly this page, or fails if there is a reference to it. */
TEST_F(page, offlined)
{
	long before, seed = 1, i;

	if (variant->kind != ANON && variant->kind != SHMEM && variant->kind != EXT4_SHARED)
		SKIP(return, "takes too much memory out of service");
	for (i = 0; i < 2; i++) {
		EXPECT_CONTENTS(seed);
		before = call(&self->owner, op_pfn, self->mem + i * PAGE);
		if (advise(&self->owner, self->mem + i * PAGE, PAGE, MADV_SOFT_OFFLINE)) {
			if (errno == EINVAL)
				SKIP(return, "needs CONFIG_MEMORY_FAILURE");
			EXPECT_EQ(0, errno);
		}
		EXPECT_COHERENT(seed);
		seed += 2;
		EXPECT_NE(before, call(&self->owner, op_pfn, self->mem + i * PAGE));
	}
}

static long op_mapcount(const long *a)
{
	int fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	long count;

	if (pread(fd, &count, 8, op_pfn(a) * 8) != 8)
		count = -1;
	close(fd);
	return count;
}

/* Neither do the attacher's entries count as mappings of the page. */
TEST_F(page, not_counted)
{
	long page, step = self->pages / 16, mapped[16];

	if (access("/proc/kpagecount", R_OK))
		SKIP(return, "needs CONFIG_PROC_PAGE_MONITOR");
	EXPECT_CONTENTS(1);
	for (page = 0; page < 16; page++) {
		mapped[page] = call(&self->owner, op_mapcount, self->mem + page * step * PAGE);
		EXPECT_EQ(variant->kind == KSM_PAGES ? self->pages : 1, mapped[page]);
	}
	EXPECT_EQ(0, detach(&self->attacher, self->at));
	for (page = 0; page < 16; page++)
		EXPECT_EQ(mapped[page], call(&self->owner, op_mapcount,
					     self->mem + page * step * PAGE));
}

TEST_F(page, unmapped_and_mapped_anew)
{
	EXPECT_CONTENTS(1);
	ASSERT_EQ(0, unmap(&self->owner, self->mem, self->kind->len));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(&self->attacher, self->at, 1));

	/* Of another kind, with and without a hole in time. */
	ASSERT_EQ(self->mem, map_new(&self->owner, self->mem, self->kind->len));
	EXPECT_EQ(0, peek(&self->attacher, self->at));
	EXPECT_EQ(0, attacher_fills(self, 2));
	EXPECT_EQ(0, owner_checks(self, 2));
	ASSERT_EQ(self->mem, map_new(&self->owner, self->mem, self->kind->len));
	EXPECT_EQ(0, peek(&self->attacher, self->at));
	EXPECT_EQ(0, poke(&self->attacher, self->at, 3));
	EXPECT_EQ(3, peek(&self->owner, self->mem));

	ASSERT_EQ(self->mem, call(&self->owner, op_map, variant->kind, self->mem, self->file));
	EXPECT_EQ(0, owner_fills(self, 4));
	EXPECT_COHERENT(4);
}

TEST_F(page, zapped)
{
	EXPECT_CONTENTS(1);
	ASSERT_EQ(0, advise(&self->owner, self->mem, self->kind->len, MADV_DONTNEED));
	EXPECT_EQ(self->kind->shared ? stamp(1, 0, self->kind->alike) : 0,
		  peek(&self->attacher, self->at));
	if (self->kind->shared)
		EXPECT_CONTENTS(1);
	EXPECT_EQ(0, owner_fills(self, 2));
	EXPECT_COHERENT(2);
}

TEST_F(page, protected)
{
	EXPECT_CONTENTS(1);
	ASSERT_EQ(0, protect(&self->owner, self->mem, self->kind->len, PROT_NONE));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(&self->attacher, self->at, 99));
	ASSERT_EQ(0, protect(&self->owner, self->mem, self->kind->len, PROT_READ));
	EXPECT_EQ(0, attacher_checks(self, 1));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(&self->attacher, self->at, 99));
	EXPECT_EQ(0, attacher_checks(self, 1));
	if (self->kind->read_only)
		return;
	ASSERT_EQ(0, protect(&self->owner, self->mem, self->kind->len, RW));
	EXPECT_COHERENT(1);

	/* From writable, and written to, to not. */
	EXPECT_EQ(0, attacher_fills(self, 4));
	ASSERT_EQ(0, protect(&self->owner, self->mem, self->kind->len, PROT_READ));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(&self->attacher, self->at, 99));
	EXPECT_CONTENTS(4);
}

/* The segment is a range of addresses: what moves away is no longer in it. */
TEST_F(page, moved_away)
{
	EXPECT_CONTENTS(1);
	ASSERT_EQ(L(ELSEWHERE), move_to(&self->owner, self->mem, self->kind->len, L(ELSEWHERE)));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	EXPECT_EQ(0, call(&self->owner, op_check, L(ELSEWHERE), self->pages, 1,
			  self->kind->alike));
	ASSERT_EQ(self->mem, move_to(&self->owner, L(ELSEWHERE), self->kind->len, self->mem));
	EXPECT_COHERENT(1);
}

TEST_F(page, fork_and_cow)
{
	bool alike = self->kind->alike, shared = self->kind->shared;
	struct peer *child = &self->child;
	long word[4], i;

	for (i = 0; i < 4; i++)
		word[i] = stamp(1, i, alike);
	EXPECT_CONTENTS(1);
	child->pid = call(&self->owner, op_fork, L(child));
	ASSERT_LT(0, child->pid);
	peer_started(child);
	EXPECT_EQ(word[0], peek(child, self->mem));
	if (self->kind->read_only) {
		EXPECT_CONTENTS(1);
		return;
	}

	/* Each writes to a page that the two others have read. */
	EXPECT_EQ(0, poke(&self->attacher, self->at, 20));
	EXPECT_EQ(20, peek(&self->owner, self->mem));
	EXPECT_EQ(shared ? 20 : word[0], peek(child, self->mem));

	EXPECT_EQ(word[1], peek(&self->attacher, self->at + PAGE));
	EXPECT_EQ(0, poke(child, self->mem + PAGE, 21));
	EXPECT_EQ(21, peek(child, self->mem + PAGE));
	EXPECT_EQ(shared ? 21 : word[1], peek(&self->attacher, self->at + PAGE));
	EXPECT_EQ(shared ? 21 : word[1], peek(&self->owner, self->mem + PAGE));

	EXPECT_EQ(word[2], peek(&self->attacher, self->at + 2 * PAGE));
	EXPECT_EQ(0, poke(&self->owner, self->mem + 2 * PAGE, 22));
	EXPECT_EQ(22, peek(&self->attacher, self->at + 2 * PAGE));
	EXPECT_EQ(shared ? 22 : word[2], peek(child, self->mem + 2 * PAGE));

	/* The page has one user again. */
	EXPECT_EQ(word[3], peek(&self->attacher, self->at + 3 * PAGE));
	begin(child, op_exit, 0);
	EXPECT_EQ(child->pid, call(&self->owner, op_sys, __NR_wait4, child->pid, 0, 0, 0));
	child->pid = 0;
	EXPECT_EQ(0, poke(&self->attacher, self->at + 3 * PAGE, 23));
	EXPECT_EQ(23, peek(&self->owner, self->mem + 3 * PAGE));
	EXPECT_EQ(0, owner_fills(self, 2));
	EXPECT_COHERENT(2);
}

TEST_F(page, truncated)
{
	if (self->file < 0)
		SKIP(return, "no file");
	EXPECT_CONTENTS(1);
	ASSERT_EQ(0, ftruncate(self->file, 0));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(&self->attacher, self->at, 1));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->owner, self->mem));
	ASSERT_EQ(0, ftruncate(self->file, self->kind->len));
	EXPECT_EQ(0, peek(&self->attacher, self->at));
	EXPECT_EQ(0, owner_fills(self, 2));
	EXPECT_COHERENT(2);

	ASSERT_EQ(0, fallocate(self->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			       self->kind->len));
	if (self->kind->shared)
		EXPECT_EQ(0, peek(&self->attacher, self->at));
	EXPECT_EQ(0, owner_fills(self, 5));
	EXPECT_COHERENT(5);
}

/* What only the attacher has written is written back, the first time and again. */
TEST_F(page, written_back)
{
	long word, value;

	if (variant->kind != EXT4_SHARED)
		SKIP(return, "nothing to be written back to");
	for (value = 1; value < 6; value++) {
		EXPECT_EQ(0, poke(&self->attacher, self->at, value));
		/* The page is clean afterwards: the attacher has to ask for it anew. */
		EXPECT_EQ(0, call(&self->owner, op_sys, __NR_msync, self->mem, self->kind->len,
				  MS_SYNC));
	}
	EXPECT_EQ(0, poke(&self->attacher, self->at, 6));
	EXPECT_EQ(0, unmap(&self->owner, self->mem, self->kind->len));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	ASSERT_EQ(0, fsync(self->file));
	ASSERT_EQ(0, posix_fadvise(self->file, 0, 0, POSIX_FADV_DONTNEED));
	ASSERT_EQ(8, pread(self->file, &word, 8, 0));
	EXPECT_EQ(6, word);
}

TEST_F(page, soft_dirty)
{
	char file[64];
	long round;

	if (is_hugetlb(variant->kind) || self->kind->read_only)
		SKIP(return, "soft-dirty is not kept");
	snprintf(file, sizeof(file), "/proc/%d/clear_refs", self->owner.pid);
	EXPECT_CONTENTS(1);
	for (round = 0; round < 3; round++) {
		EXPECT_EQ(0, poke(&self->attacher, self->at + 3 * PAGE, 1));
		if (put(file, "4"))
			SKIP(return, "needs CONFIG_MEM_SOFT_DIRTY");
		EXPECT_EQ(0, call(&self->owner, op_page_flags, self->mem + 3 * PAGE) &
			  PM_SOFT_DIRTY);
		EXPECT_EQ(1, peek(&self->attacher, self->at + 3 * PAGE));
		EXPECT_EQ(0, call(&self->owner, op_page_flags, self->mem + 3 * PAGE) &
			  PM_SOFT_DIRTY);
		/* It has to tell the owner's page tables that it writes. */
		EXPECT_EQ(0, poke(&self->attacher, self->at + 3 * PAGE, 2));
		EXPECT_NE(0, call(&self->owner, op_page_flags, self->mem + 3 * PAGE) &
			  PM_SOFT_DIRTY);
		if (self->kind->page == PAGE)
			EXPECT_EQ(0, call(&self->owner, op_page_flags, self->mem + 4 * PAGE) &
				  PM_SOFT_DIRTY);
	}
}

/* memory, pages, control: adds one to a word of each page, all over again */
static long op_count(const long *a)
{
	struct control *control = (struct control *)a[2];
	long i;

	while (!control->stop) {
		for (i = 0; i < a[1]; i++)
			((volatile long *)(a[0] + i * PAGE))[8]++;
		control->count++;
	}
	return 0;
}

/* memory, pages, word, value: the number of pages where it is another */
static long op_compare(const long *a)
{
	long i, wrong = 0;

	for (i = 0; i < a[1]; i++)
		wrong += ((volatile long *)(a[0] + i * PAGE))[a[2]] != a[3];
	return wrong;
}

static long op_add(const long *a)
{
	long i;

	for (i = 0; i < a[1]; i++)
		((volatile long *)(a[0] + i * PAGE))[a[2]]++;
	return 0;
}

static long op_fork_and_write(const long *a)
{
	pid_t pid = fork();
	long i;
	int status;

	if (!pid) {
		for (i = 0; i < a[1]; i++)
			((volatile long *)(a[0] + i * PAGE))[16] = ~0l;
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

/* The attacher adds while all that can happen does: it loses nothing, nor does the owner. */
TEST_F(page, nothing_lost_in_races)
{
	struct peer *o = &self->owner;
	char file[64];
	double end = now() + 6;
	long round, nr = self->kind->page == PAGE ? self->pages : 16, before;

	if (self->kind->read_only)
		SKIP(return, "nothing can be written");
	snprintf(file, sizeof(file), "/proc/%d/clear_refs", o->pid);
	begin(&self->attacher, op_count, self->at, nr, L(self->control));
	for (round = 0; round < 60 && now() < end; round++) {
		switch (round % 6) {
		case 0:
			advise(o, self->mem, self->kind->len, MADV_PAGEOUT);
			break;
		case 1:
			call(o, op_move, self->mem, self->kind->len, self->kind->page,
			     round / 6 & 1);
			break;
		case 2:
			put(file, "4");
			break;
		case 3:
			EXPECT_EQ(0, call(o, op_fork_and_write, self->mem, nr));
			break;
		case 4:
			if (variant->kind == KSM_PAGES) {
				put(KSM "run", "1");
				usleep(10000);
				put(KSM "run", "0");
			} else {
				protect(o, self->mem, self->kind->len, RW | PROT_EXEC);
			}
			break;
		case 5:
			if (variant->kind == THP || variant->kind == SHMEM_THP)
				advise(o, self->mem, self->kind->len, MADV_COLLAPSE);
			else
				put("/proc/sys/vm/compact_memory", "1");
		}
		EXPECT_EQ(0, call(o, op_add, self->mem, nr, 9));
		/* So that each round meets an attacher that has come back. */
		before = self->control->count;
		while (self->control->count == before && now() < end)
			usleep(1000);
	}
	self->control->stop = 1;
	EXPECT_EQ(0, peer_end(&self->attacher));
	EXPECT_LT(12, round);
	EXPECT_LT(12, self->control->count);
	EXPECT_EQ(0, call(o, op_compare, self->mem, nr, 8, self->control->count));
	EXPECT_EQ(0, call(&self->attacher, op_compare, self->at, nr, 9, round));
}

/* === fixture ksm: merged while attached === */

FIXTURE(ksm) {
	struct peer owner, attacher;
	long apid, at;
};

FIXTURE_SETUP(ksm)
{
	const char *what = missing(KSM_PAGES);

	if (what)
		SKIP(return, "%s", what);
	ASSERT_EQ(0, peer_new(&self->owner));
	ASSERT_EQ(0, peer_new(&self->attacher));
	ASSERT_EQ(L(BASE), map_new(&self->owner, L(BASE), SMALL));
	self->apid = get(&self->attacher, make(&self->owner, BASE, SMALL, 0600), XPMEM_RDWR);
	ASSERT_LT(0, self->apid);
	self->at = attach(&self->attacher, self->apid, 0, SMALL);
	ASSERT_LT(0, self->at);
}

FIXTURE_TEARDOWN(ksm)
{
	put(KSM "run", "0");
	EXPECT_TRUE(peer_kill(&self->attacher));
	EXPECT_TRUE(peer_kill(&self->owner));
}

/* Equal to each other by what the attacher wrote; then one is not any more. */
TEST_F(ksm, merged_while_attached)
{
	long nr = SMALL / PAGE;

	EXPECT_EQ(0, call(&self->attacher, op_fill, self->at, nr, 1, 1));
	ASSERT_EQ(nr, call(&self->owner, op_merge, L(BASE), SMALL));
	EXPECT_EQ(0, call(&self->attacher, op_check, self->at, nr, 1, 1));

	EXPECT_EQ(0, poke(&self->attacher, self->at + PAGE, 2));
	EXPECT_EQ(2, peek(&self->owner, L(BASE) + PAGE));
	EXPECT_EQ(stamp(1, 0, 1), peek(&self->owner, L(BASE)));
	EXPECT_EQ(stamp(1, 0, 1), peek(&self->owner, L(BASE) + 2 * PAGE));
	EXPECT_EQ(stamp(1, 0, 1), peek(&self->attacher, self->at));

	/* The other way around. */
	EXPECT_EQ(0, poke(&self->owner, L(BASE) + 3 * PAGE, 4));
	EXPECT_EQ(4, peek(&self->attacher, self->at + 3 * PAGE));
	EXPECT_EQ(stamp(1, 0, 1), peek(&self->attacher, self->at + 4 * PAGE));

	ASSERT_EQ(0, advise(&self->owner, L(BASE), SMALL, MADV_UNMERGEABLE));
	EXPECT_EQ(2, peek(&self->attacher, self->at + PAGE));
	EXPECT_EQ(0, call(&self->attacher, op_fill, self->at, nr, 5, 0));
	EXPECT_EQ(0, check(&self->owner, L(BASE), nr, 5));
}

/* The writable entry of the attacher goes before the pages are compared for good. */
TEST_F(ksm, written_while_merged)
{
	struct control *control = control_new();
	long nr = SMALL / PAGE, rounds;
	double end = now() + 4;

	EXPECT_EQ(0, call(&self->attacher, op_fill, self->at, nr, 1, 1));
	ASSERT_EQ(nr, call(&self->owner, op_merge, L(BASE), SMALL));
	put(KSM "run", "1");
	begin(&self->attacher, op_count, self->at, nr, L(control));
	for (rounds = 0; now() < end; rounds++)
		EXPECT_EQ(0, call(&self->owner, op_add, L(BASE), nr, 9));
	control->stop = 1;
	EXPECT_EQ(0, peer_end(&self->attacher));
	put(KSM "run", "0");
	EXPECT_EQ(0, call(&self->owner, op_compare, L(BASE), nr, 8, control->count));
	EXPECT_EQ(0, call(&self->attacher, op_compare, self->at, nr, 9, rounds));
}

/* === fixture huge: huge pages of the owner are mapped as such === */

FIXTURE(huge) {
	struct peer owner, attacher, child;
	int file;
	long mem, apid, at;
};

FIXTURE_VARIANT(huge) {
	unsigned int kind;
};

FIXTURE_VARIANT_ADD(huge, thp) { .kind = THP };
FIXTURE_VARIANT_ADD(huge, shmem_thp) { .kind = SHMEM_THP };
FIXTURE_VARIANT_ADD(huge, hugetlb_private) { .kind = HUGETLB_PRIVATE };
FIXTURE_VARIANT_ADD(huge, hugetlb_shared) { .kind = HUGETLB_SHARED };

/* A fault maps sixteen pages at most where there is no huge page. */
#define SMALL_FAULTS	((long)(HUGE / PAGE / 16))

FIXTURE_SETUP(huge)
{
	const char *what = missing(variant->kind);

	if (what)
		SKIP(return, "%s", what);
	self->file = kind_file(&kinds[variant->kind]);
	ASSERT_EQ(0, peer_prepare(&self->child));
	ASSERT_EQ(0, peer_new(&self->owner));
	ASSERT_EQ(0, peer_new(&self->attacher));
	self->mem = call(&self->owner, op_map, variant->kind, L(BASE), self->file);
	ASSERT_EQ(L(BASE), self->mem);
	ASSERT_EQ(0, fill(&self->owner, self->mem, HUGE / PAGE, 1));
	if (!is_hugetlb(variant->kind))
		ASSERT_EQ(0, call(&self->owner, op_collapse, self->mem, HUGE));
	self->apid = get(&self->attacher, make(&self->owner, BASE, HUGE, 0600), XPMEM_RDWR);
	ASSERT_LT(0, self->apid);
	self->at = attach(&self->attacher, self->apid, 0, HUGE);
	ASSERT_LT(0, self->at);
}

FIXTURE_TEARDOWN(huge)
{
	EXPECT_TRUE(peer_kill(&self->attacher));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_TRUE(peer_kill(&self->child));
	close(self->file);
}

TEST_F(huge, one_fault)
{
	long apid, at;

	EXPECT_EQ(0, self->at % HUGE);
	EXPECT_EQ(1, call(&self->attacher, op_touch, self->at, HUGE, 0));
	EXPECT_EQ(0, check(&self->attacher, self->at, HUGE / PAGE, 1));
	EXPECT_EQ(0, call(&self->attacher, op_touch, self->at, HUGE, 0));
	EXPECT_GE(1, call(&self->attacher, op_touch, self->at, HUGE, 1));
	EXPECT_EQ(0, fill(&self->attacher, self->at, HUGE / PAGE, 2));
	EXPECT_EQ(0, check(&self->owner, self->mem, HUGE / PAGE, 2));

	/* Written to at once; and mapped a second time. */
	at = attach(&self->attacher, self->apid, 0, HUGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, at % HUGE);
	EXPECT_EQ(1, call(&self->attacher, op_touch, at, HUGE, 1));

	apid = get(&self->attacher, make(&self->owner, BASE, HUGE, 0600), XPMEM_RDONLY);
	ASSERT_LT(0, apid);
	at = attach(&self->attacher, apid, 0, HUGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(1, call(&self->attacher, op_touch, at, HUGE, 0));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), poke(&self->attacher, at, 1));
}

/* Congruent addresses are the kernel's choice also where the offset is odd. */
TEST_F(huge, congruent)
{
	long before = map_new(&self->owner, L(BASE) - HUGE, HUGE), segid, apid, at;

	ASSERT_EQ(L(BASE) - (long)HUGE, before);
	segid = make(&self->owner, BASE - 3 * PAGE, HUGE + 3 * PAGE, 0600);
	apid = get(&self->attacher, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	at = attach(&self->attacher, apid, 0, HUGE + 3 * PAGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, (at + 3 * PAGE) % HUGE);
	EXPECT_EQ(1, call(&self->attacher, op_touch, at + 3 * PAGE, HUGE, 0));
	EXPECT_EQ(0, check(&self->attacher, at + 3 * PAGE, HUGE / PAGE, 1));
	at = attach(&self->attacher, apid, PAGE, HUGE + 2 * PAGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, (at + 2 * PAGE) % HUGE);
}

/* Huge pages that the attacher does not want, or that its addresses forbid. */
TEST_F(huge, not_wanted)
{
	long at = attach_at(&self->attacher, self->apid, 0, HUGE, L(ELSEWHERE) + PAGE);

	ASSERT_EQ(L(ELSEWHERE) + PAGE, at);
	EXPECT_LE(SMALL_FAULTS, call(&self->attacher, op_touch, at, HUGE, 0));
	EXPECT_EQ(0, check(&self->attacher, at, HUGE / PAGE, 1));
	EXPECT_EQ(0, fill(&self->attacher, at, HUGE / PAGE, 2));
	EXPECT_EQ(0, check(&self->owner, self->mem, HUGE / PAGE, 2));

	ASSERT_EQ(0, advise(&self->attacher, self->at, HUGE, MADV_NOHUGEPAGE));
	EXPECT_LE(SMALL_FAULTS, call(&self->attacher, op_touch, self->at, HUGE, 0));
	EXPECT_EQ(0, fill(&self->attacher, self->at, HUGE / PAGE, 3));
	EXPECT_EQ(0, check(&self->owner, self->mem, HUGE / PAGE, 3));
	EXPECT_EQ(0, check(&self->attacher, at, HUGE / PAGE, 3));
}

/* Part of it only is attached. */
TEST_F(huge, a_part)
{
	long at = attach(&self->attacher, self->apid, PAGE, HUGE - PAGE);

	ASSERT_LT(0, at);
	EXPECT_LE(SMALL_FAULTS, call(&self->attacher, op_touch, at, HUGE - PAGE, 1));
	EXPECT_EQ(0, poke(&self->attacher, at, 7));
	EXPECT_EQ(7, peek(&self->owner, self->mem + PAGE));
	/* The end of it is the end. */
	EXPECT_EQ(stamp(1, 511, 0), peek(&self->attacher, at + HUGE - 2 * PAGE));
}

TEST_F(huge, owner_changes_a_part)
{
	struct peer *o = &self->owner, *a = &self->attacher;

	if (is_hugetlb(variant->kind))
		SKIP(return, "a huge page of hugetlbfs is not split");
	EXPECT_EQ(1, call(a, op_touch, self->at, HUGE, 1));
	EXPECT_EQ(0, check(a, self->at, HUGE / PAGE, 1));

	ASSERT_EQ(0, protect(o, self->mem, PAGE, PROT_READ));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(a, self->at, 9));
	EXPECT_EQ(stamp(1, 0, 0), peek(a, self->at));
	EXPECT_EQ(0, poke(a, self->at + PAGE, 10));
	EXPECT_EQ(10, peek(o, self->mem + PAGE));

	ASSERT_EQ(0, unmap(o, self->mem + 2 * PAGE, PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, self->at + 2 * PAGE));
	EXPECT_EQ(stamp(1, 3, 0), peek(a, self->at + 3 * PAGE));
	ASSERT_EQ(self->mem + 2 * (long)PAGE, map_new(o, self->mem + 2 * PAGE, PAGE));
	EXPECT_EQ(0, peek(a, self->at + 2 * PAGE));

	ASSERT_EQ(0, advise(o, self->mem + 4 * PAGE, PAGE, MADV_DONTNEED));
	EXPECT_EQ(variant->kind == THP ? 0 : stamp(1, 4, 0), peek(a, self->at + 4 * PAGE));
	EXPECT_EQ(0, poke(a, self->at + 4 * PAGE, 11));
	EXPECT_EQ(11, peek(o, self->mem + 4 * PAGE));
	EXPECT_EQ(stamp(1, 511, 0), peek(a, self->at + HUGE - PAGE));
}

TEST_F(huge, attacher_changes_a_part)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long to = L(ELSEWHERE);

	EXPECT_EQ(1, call(a, op_touch, self->at, HUGE, 1));
	EXPECT_EQ(0, check(a, self->at, HUGE / PAGE, 1));

	ASSERT_EQ(0, unmap(a, self->at + 5 * PAGE, PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, self->at + 5 * PAGE));
	EXPECT_EQ(stamp(1, 4, 0), peek(a, self->at + 4 * PAGE));
	EXPECT_EQ(stamp(1, 6, 0), peek(a, self->at + 6 * PAGE));

	ASSERT_EQ(0, protect(a, self->at + 7 * PAGE, PAGE, PROT_READ));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), poke(a, self->at + 7 * PAGE, 1));
	EXPECT_EQ(0, poke(a, self->at + 8 * PAGE, 18));
	EXPECT_EQ(18, peek(o, self->mem + 8 * PAGE));
	EXPECT_EQ(stamp(1, 7, 0), peek(a, self->at + 7 * PAGE));

	ASSERT_EQ(to, move_to(a, self->at + 9 * PAGE, 2 * PAGE, to));
	EXPECT_EQ(stamp(1, 9, 0), peek(a, to));
	EXPECT_EQ(stamp(1, 10, 0), peek(a, to + PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, self->at + 9 * PAGE));
	EXPECT_EQ(0, poke(a, to, 19));
	EXPECT_EQ(19, peek(o, self->mem + 9 * PAGE));
	EXPECT_EQ(0, detach(a, self->at));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, to));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, self->at + HUGE - PAGE));
}

/* All of it, by its huge entry. */
TEST_F(huge, attacher_moves_it)
{
	struct peer *a = &self->attacher;

	EXPECT_EQ(1, call(a, op_touch, self->at, HUGE, 1));
	ASSERT_EQ(L(ELSEWHERE), move_to(a, self->at, HUGE, L(ELSEWHERE)));
	EXPECT_EQ(0, check(a, L(ELSEWHERE), HUGE / PAGE, 1));
	EXPECT_EQ(0, fill(a, L(ELSEWHERE), HUGE / PAGE, 2));
	EXPECT_EQ(0, check(&self->owner, self->mem, HUGE / PAGE, 2));
	/* And to where it is not congruent. */
	ASSERT_EQ(self->at + (long)PAGE, move_to(a, L(ELSEWHERE), HUGE, self->at + PAGE));
	EXPECT_EQ(0, check(a, self->at + PAGE, HUGE / PAGE, 2));
	ASSERT_EQ(0, protect(a, self->at + PAGE, HUGE, PROT_READ));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), poke(a, self->at + PAGE, 1));
	ASSERT_EQ(0, protect(a, self->at + PAGE, HUGE, RW));
	EXPECT_EQ(0, fill(a, self->at + PAGE, HUGE / PAGE, 3));
	EXPECT_EQ(0, check(&self->owner, self->mem, HUGE / PAGE, 3));
}

TEST_F(huge, fork_and_cow)
{
	struct peer *o = &self->owner, *a = &self->attacher, *child = &self->child;
	bool shared = kinds[variant->kind].shared;

	EXPECT_EQ(1, call(a, op_touch, self->at, HUGE, 1));
	child->pid = call(o, op_fork, L(child));
	ASSERT_LT(0, child->pid);
	peer_started(child);
	EXPECT_EQ(0, fill(a, self->at, HUGE / PAGE, 2));
	EXPECT_EQ(0, check(o, self->mem, HUGE / PAGE, 2));
	EXPECT_EQ(0, check(child, self->mem, HUGE / PAGE, shared ? 2 : 1));
	EXPECT_EQ(0, fill(child, self->mem, HUGE / PAGE, 3));
	EXPECT_EQ(0, check(a, self->at, HUGE / PAGE, shared ? 3 : 2));
}

/*
 * A huge entry is split under the attachment file's locks, and the attacher's own segments
 * are told, which contain the attachment: here that is of the same process.
 */
TEST_F(huge, own_attachment_in_own_segment)
{
	struct peer *o = &self->owner;
	long segid = make(o, NULL, -1, 0600), apid, at;

	ASSERT_LT(0, segid);
	apid = get(o, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	at = attach(o, apid, self->mem, HUGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(1, call(o, op_touch, at, HUGE, 1));
	EXPECT_EQ(0, protect(o, at + 5 * PAGE, PAGE, PROT_READ));
	EXPECT_EQ(0, check(o, at, HUGE / PAGE, 1));
	EXPECT_EQ(0, unmap(o, at + 7 * PAGE, PAGE));
	EXPECT_EQ(stamp(1, 6, 0), peek(o, at + 6 * PAGE));
	EXPECT_EQ(L(ELSEWHERE), move_to(o, at + 9 * PAGE, PAGE, L(ELSEWHERE)));
	EXPECT_EQ(stamp(1, 9, 0), peek(o, L(ELSEWHERE)));
	EXPECT_EQ(0, detach(o, at));
	EXPECT_EQ(0, check(o, self->mem, HUGE / PAGE, 1));
}

/* Small pages, attached and in use, become a huge one. */
TEST_F(huge, collapsed_while_attached)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long at;

	if (is_hugetlb(variant->kind))
		SKIP(return, "huge from the start");
	if (self->file >= 0)
		ASSERT_EQ(0, ftruncate(self->file, 0) | ftruncate(self->file, HUGE));
	ASSERT_EQ(self->mem, call(o, op_map, variant->kind, self->mem, self->file));
	ASSERT_EQ(0, advise(o, self->mem, HUGE, MADV_NOHUGEPAGE));
	EXPECT_EQ(0, fill(o, self->mem, HUGE / PAGE, 2));
	EXPECT_LE(SMALL_FAULTS, call(a, op_touch, self->at, HUGE, 1));
	EXPECT_EQ(0, check(a, self->at, HUGE / PAGE, 2));

	ASSERT_EQ(0, advise(o, self->mem, HUGE, MADV_HUGEPAGE));
	ASSERT_EQ(0, call(o, op_collapse, self->mem, HUGE));
	EXPECT_EQ(0, check(a, self->at, HUGE / PAGE, 2));
	EXPECT_EQ(0, fill(a, self->at, HUGE / PAGE, 3));
	EXPECT_EQ(0, check(o, self->mem, HUGE / PAGE, 3));
	at = attach(a, self->apid, 0, HUGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(1, call(a, op_touch, at, HUGE, 1));
	EXPECT_EQ(0, fill(o, self->mem, HUGE / PAGE, 4));
	EXPECT_EQ(0, check(a, at, HUGE / PAGE, 4));
	EXPECT_EQ(0, check(a, self->at, HUGE / PAGE, 4));
}

/* === fixture calls: the ioctls and what they refuse === */

#define calls_test	_test_data_calls	/* FIXTURE_DATA(calls) */

FIXTURE(calls) {
	struct peer owner, attacher, child;
	struct control *control;
	long mem, segid, apid, at;
};

#define PAGES	64l
#define LEN	(PAGES * (long)PAGE)

FIXTURE_SETUP(calls)
{
	self->control = control_new();
	ASSERT_EQ(0, peer_prepare(&self->child));
	ASSERT_EQ(0, peer_new(&self->owner));
	ASSERT_EQ(0, peer_new(&self->attacher));
	self->mem = map_new(&self->owner, L(BASE), LEN);
	ASSERT_EQ(L(BASE), self->mem);
	ASSERT_EQ(0, fill(&self->owner, self->mem, PAGES, 1));
	self->segid = make(&self->owner, BASE, LEN, 0600);
	ASSERT_LT(0, self->segid);
	self->apid = get(&self->attacher, self->segid, XPMEM_RDWR);
	ASSERT_LT(0, self->apid);
	self->at = attach(&self->attacher, self->apid, 0, LEN);
	ASSERT_LT(0, self->at);
}

FIXTURE_TEARDOWN(calls)
{
	EXPECT_TRUE(peer_kill(&self->attacher));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_TRUE(peer_kill(&self->child));
	EXPECT_TRUE(pinned_nothing());
}

TEST_F(calls, device)
{
	struct peer *a = &self->attacher;
	struct stat st;
	char text[256];
	long fd;

	ASSERT_EQ(0, stat(XPMEM_DEV_PATH, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0666, st.st_mode & 0777);
	EXPECT_LE(0x26005, XPMEM_CURRENT_VERSION);
	EXPECT_EQ(XPMEM_CURRENT_VERSION, call(a, op_ioctl, XPMEM_CMD_VERSION, 0));
	EXPECT_EQ(XPMEM_CURRENT_VERSION, call(a, op_ioctl, XPMEM_CMD_VERSION, -1));

	/* Nothing but ioctls. */
	fd = call(a, op_sys, __NR_openat, AT_FDCWD, L(XPMEM_DEV_PATH), O_RDWR);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, call(a, op_sys, __NR_read, fd, L(text), sizeof(text)));
	EXPECT_EQ(-1, call(a, op_sys, __NR_write, fd, L(text), sizeof(text)));
	EXPECT_EQ(-1, call(a, op_mmap, 0, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(-1, call(a, op_mmap, 0, PAGE, RW, MAP_PRIVATE, fd, 0));
	EXPECT_EQ(0, call(a, op_sys, __NR_close, fd));
	EXPECT_EQ(stamp(1, 0, 0), peek(a, self->at));
}

TEST_F(calls, unknown_ioctl)
{
	int cmd;

	for (cmd = 9; cmd < 300; cmd += cmd < 20 ? 1 : 13)
		EXPECT_ERRNO(ENOTTY, call(&self->attacher, op_ioctl, _IO('x', cmd), 0));
	EXPECT_ERRNO(ENOTTY, call(&self->attacher, op_ioctl, _IO('y', 1), 0));
	cmd = _IOWR('x', 1, struct xpmem_cmd_make);
	EXPECT_ERRNO(ENOTTY, call(&self->attacher, op_ioctl, cmd, 0));
}

TEST_F(calls, fork_begin_and_end)
{
	EXPECT_EQ(0, call(&self->attacher, op_ioctl, XPMEM_CMD_FORK_BEGIN, 0));
	EXPECT_EQ(0, call(&self->attacher, op_ioctl, XPMEM_CMD_FORK_END, 0));
	EXPECT_EQ(stamp(1, 0, 0), peek(&self->attacher, self->at));
}

TEST_F(calls, proc_files)
{
	char name[64];
	struct stat st;

	ASSERT_EQ(0, stat(PROC "global_pages", &st));
	EXPECT_EQ(0444, st.st_mode & 0444);
	EXPECT_TRUE(pinned_nothing());
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 1));
	EXPECT_TRUE(pinned_nothing());

	snprintf(name, sizeof(name), PROC "%d", self->attacher.pid);
	ASSERT_EQ(0, stat(name, &st));
	EXPECT_EQ(0444, st.st_mode & 0444);
	EXPECT_LE(0, number_at(name, "pages pinned:"));
	EXPECT_EQ(number_at(name, "pages pinned:"), number_at(name, "pages unpinned:"));
	snprintf(name, sizeof(name), PROC "%d", self->owner.pid);
	EXPECT_LE(0, number_at(name, "pages pinned:"));
	EXPECT_EQ(number_at(name, "pages pinned:"), number_at(name, "pages unpinned:"));

	/* Of no more use than the process. */
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_EQ(-1, access(name, F_OK));
	snprintf(name, sizeof(name), PROC "%d", getpid());
	EXPECT_EQ(-1, access(name, F_OK));
}

TEST_F(calls, make_refuses)
{
	struct peer *o = &self->owner;
	long type = XPMEM_PERMIT_MODE;
	/* The end of what a process can map. */
	long top = 0x7ffffffff000;

	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem + 1, PAGE, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem + 2048, PAGE, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem + 1, -1, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, 0, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, 1, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, PAGE + 1, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, -2, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, -L(PAGE), type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, LONG_MIN, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, -L(PAGE), PAGE, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, -L(PAGE), -1, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, 0xffff888000000000, PAGE, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, 1l << 62, PAGE, type, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, top, 1l << 50, type, 0600));

	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, PAGE, 0, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, PAGE, 2, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, PAGE, -1, 0600));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, PAGE, type, 01000));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, PAGE, type, 01777));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, PAGE, type, -1));
	EXPECT_ERRNO(EINVAL, call(o, op_make, self->mem, PAGE, type, 1l << 32));

	/* These it does not. */
	EXPECT_LT(0, call(o, op_make, self->mem, PAGE, type, 0));
	EXPECT_LT(0, call(o, op_make, self->mem, PAGE, type, 0777));
	EXPECT_LT(0, call(o, op_make, self->mem, -1, type, 0600));
	EXPECT_LT(0, call(o, op_make, 0, -1, type, 0600));
	EXPECT_LT(0, call(o, op_make, 0, PAGE, type, 0600));
	EXPECT_LT(0, call(o, op_make, top - PAGE, PAGE, type, 0600));
	EXPECT_LT(0, call(o, op_make, top - PAGE, -1, type, 0600));
	EXPECT_LT(0, call(o, op_make, self->mem, 1l << 40, type, 0600));
}

TEST_F(calls, remove_refuses)
{
	long segid = make(&self->owner, BASE, LEN, 0600);

	EXPECT_ERRNO(EINVAL, seg_remove(&self->owner, 0));
	EXPECT_ERRNO(EINVAL, seg_remove(&self->owner, -1));
	EXPECT_ERRNO(EINVAL, seg_remove(&self->owner, LONG_MIN));
	EXPECT_ERRNO(ENOENT, seg_remove(&self->owner, segid + 1));
	EXPECT_ERRNO(ENOENT, seg_remove(&self->owner, 1));
	EXPECT_ERRNO(ENOENT, seg_remove(&self->owner, LONG_MAX));
	/* A permit's id is none of a segment. */
	EXPECT_EQ(-1, seg_remove(&self->attacher, self->apid));
	EXPECT_ERRNO(EACCES, seg_remove(&self->attacher, segid));
	EXPECT_EQ(0, seg_remove(&self->owner, segid));
	EXPECT_ERRNO(ENOENT, seg_remove(&self->owner, segid));
	EXPECT_ERRNO(ENOENT, seg_remove(&self->attacher, segid));
	EXPECT_EQ(stamp(1, 0, 0), peek(&self->attacher, self->at));
}

TEST_F(calls, get_refuses)
{
	struct peer *a = &self->attacher;
	long type = XPMEM_PERMIT_MODE, segid = self->segid;

	EXPECT_ERRNO(EINVAL, call(a, op_get, segid, 0, type, 0));
	EXPECT_ERRNO(EINVAL, call(a, op_get, segid, 3, type, 0));
	EXPECT_ERRNO(EINVAL, call(a, op_get, segid, 4, type, 0));
	EXPECT_ERRNO(EINVAL, call(a, op_get, segid, -1, type, 0));
	EXPECT_ERRNO(EINVAL, call(a, op_get, segid, XPMEM_RDWR, 0, 0));
	EXPECT_ERRNO(EINVAL, call(a, op_get, segid, XPMEM_RDWR, 2, 0));
	EXPECT_ERRNO(EINVAL, call(a, op_get, segid, XPMEM_RDWR, type, 0600));
	EXPECT_ERRNO(EINVAL, call(a, op_get, segid, XPMEM_RDWR, type, 1l << 32));
	EXPECT_ERRNO(EINVAL, get(a, 0, XPMEM_RDWR));
	EXPECT_ERRNO(EINVAL, get(a, -1, XPMEM_RDWR));
	EXPECT_ERRNO(ENOENT, get(a, segid + 1, XPMEM_RDWR));
	EXPECT_ERRNO(ENOENT, get(a, 1, XPMEM_RDWR));
	EXPECT_ERRNO(ENOENT, get(a, LONG_MAX, XPMEM_RDONLY));
	EXPECT_EQ(-1, get(a, self->apid, XPMEM_RDWR));

	/* Not twice the same, not after it was removed, not after its owner has gone. */
	EXPECT_NE(get(a, segid, XPMEM_RDWR), get(a, segid, XPMEM_RDWR));
	EXPECT_EQ(0, seg_remove(&self->owner, segid));
	EXPECT_ERRNO(ENOENT, get(a, segid, XPMEM_RDWR));
	segid = make(&self->owner, BASE, LEN, 0666);
	EXPECT_LT(0, get(a, segid, XPMEM_RDONLY));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_ERRNO(ENOENT, get(a, segid, XPMEM_RDWR));
	EXPECT_ERRNO(ENOENT, get(a, segid, XPMEM_RDONLY));
}

TEST_F(calls, release_refuses)
{
	struct peer *a = &self->attacher;

	EXPECT_ERRNO(EINVAL, release(a, 0));
	EXPECT_ERRNO(EINVAL, release(a, -1));
	EXPECT_ERRNO(EINVAL, release(a, LONG_MIN));
	EXPECT_ERRNO(ENOENT, release(a, self->apid + 1));
	EXPECT_ERRNO(ENOENT, release(a, 1));
	EXPECT_ERRNO(EACCES, release(&self->owner, self->apid));
	EXPECT_EQ(stamp(1, 0, 0), peek(a, self->at));
	EXPECT_EQ(0, release(a, self->apid));
	EXPECT_ERRNO(ENOENT, release(a, self->apid));
}

/* The attachments of a permit go with it, and only they. */
TEST_F(calls, release_unmaps)
{
	struct peer *a = &self->attacher;
	long apid = get(a, self->segid, XPMEM_RDONLY), at[3], i;

	for (i = 0; i < 3; i++) {
		at[i] = attach(a, apid, i * PAGE, (3 - i) * PAGE);
		ASSERT_LT(0, at[i]);
		EXPECT_EQ(stamp(1, i, 0), peek(a, at[i]));
	}
	EXPECT_EQ(0, unmap(a, at[0] + PAGE, PAGE));
	EXPECT_EQ(0, detach(a, at[1]));
	EXPECT_EQ(0, release(a, apid));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at[i]));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at[0] + 2 * PAGE));
	EXPECT_EQ(0, check(a, self->at, PAGES, 1));
	EXPECT_ERRNO(ENOENT, attach(a, apid, 0, PAGE));
}

TEST_F(calls, attach_refuses)
{
	struct peer *a = &self->attacher;
	long apid = self->apid, i;
	static const long bad_flags[] = { 1, 2, 4, 0x10, INT_MIN, -1 };

	EXPECT_ERRNO(EINVAL, attach(a, 0, 0, PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, -1, 0, PAGE));
	EXPECT_ERRNO(ENOENT, attach(a, apid + 1, 0, PAGE));
	EXPECT_ERRNO(ENOENT, attach(a, 1, 0, PAGE));
	EXPECT_EQ(-1, attach(a, self->segid, 0, PAGE));
	EXPECT_ERRNO(EACCES, attach(&self->owner, apid, 0, PAGE));

	EXPECT_ERRNO(EINVAL, attach(a, apid, 1, PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, -1, PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, -L(PAGE), PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, -L(PAGE), 2 * PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, LONG_MIN, PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, 0, 0));
	EXPECT_ERRNO(EINVAL, attach(a, apid, 0, LEN + 1));
	EXPECT_ERRNO(EINVAL, attach(a, apid, 0, LEN + PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, PAGE, LEN));
	EXPECT_ERRNO(EINVAL, attach(a, apid, LEN, 1));
	EXPECT_ERRNO(EINVAL, attach(a, apid, LEN, PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, 1l << 50, PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, LONG_MAX & -PAGE, PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, 0, -1));
	EXPECT_ERRNO(EINVAL, attach(a, apid, 0, -L(PAGE)));
	EXPECT_ERRNO(EINVAL, attach(a, apid, PAGE, -L(PAGE)));
	EXPECT_ERRNO(EINVAL, attach(a, apid, PAGE, LONG_MIN));
	EXPECT_ERRNO(EINVAL, attach(a, apid, LEN - PAGE, -L(LEN)));
	EXPECT_ERRNO(EINVAL, attach_at(a, apid, 0, PAGE, L(ELSEWHERE) + 1));
	EXPECT_ERRNO(EINVAL, attach_at(a, apid, 0, PAGE, L(ELSEWHERE) + 2048));
	for (i = 0; i < ARRAY_SIZE(bad_flags); i++)
		EXPECT_ERRNO(EINVAL, call(a, op_attach, apid, 0, PAGE, 0, bad_flags[i]));

	/* Where nothing can be mapped. */
	EXPECT_EQ(-1, attach_at(a, apid, 0, PAGE, 0x7ffffffff000));
	EXPECT_EQ(-1, attach_at(a, apid, 0, 2 * PAGE, 0x7fffffffe000));
	EXPECT_EQ(-1, attach_at(a, apid, 0, PAGE, -L(PAGE)));
	EXPECT_EQ(-1, attach_at(a, apid, 0, PAGE, 0xffff888000000000));
	EXPECT_EQ(-1, attach_at(a, apid, 0, PAGE, 1l << 62));
	EXPECT_EQ(0, check(a, self->at, PAGES, 1));
}

TEST_F(calls, attach_rounds_up)
{
	static const struct { long size, pages; } sizes[] = {
		{ 1, 1 }, { PAGE - 1, 1 }, { PAGE, 1 }, { PAGE + 1, 2 }, { 2 * PAGE, 2 },
		{ LEN - 1, PAGES },
	};
	struct peer *a = &self->attacher;
	long at, i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		at = attach_at(a, self->apid, 0, sizes[i].size, L(ELSEWHERE));
		ASSERT_EQ(L(ELSEWHERE), at);
		EXPECT_EQ(0, check(a, at, sizes[i].pages, 1));
		EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + sizes[i].pages * PAGE));
		EXPECT_EQ(0, detach(a, at + sizes[i].pages * PAGE - 1));
		EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at));
	}
	/* The last page of it. */
	at = attach(a, self->apid, LEN - PAGE, 1);
	ASSERT_LT(0, at);
	EXPECT_EQ(stamp(1, PAGES - 1, 0), peek(a, at));
}

TEST_F(calls, attach_at_an_address)
{
	struct peer *a = &self->attacher;
	long to = L(ELSEWHERE);

	/* In place of what is there, part of it. */
	ASSERT_EQ(to, map_new(a, to, 4 * PAGE));
	EXPECT_EQ(0, fill(a, to, 4, 9));
	EXPECT_EQ(to + (long)PAGE, attach_at(a, self->apid, 0, 2 * PAGE, to + PAGE));
	EXPECT_EQ(stamp(9, 0, 0), peek(a, to));
	EXPECT_EQ(0, check(a, to + PAGE, 2, 1));
	EXPECT_EQ(stamp(9, 3, 0), peek(a, to + 3 * PAGE));

	/* But not of another attachment, or part of one, nor of several. */
	EXPECT_ERRNO(EINVAL, attach_at(a, self->apid, 0, PAGE, to + PAGE));
	EXPECT_ERRNO(EINVAL, attach_at(a, self->apid, 0, PAGE, to + 2 * PAGE));
	EXPECT_ERRNO(EINVAL, attach_at(a, self->apid, 0, 2 * PAGE, to));
	EXPECT_ERRNO(EINVAL, attach_at(a, self->apid, 0, 4 * PAGE, to));
	EXPECT_ERRNO(EINVAL, attach_at(a, self->apid, 0, 2 * PAGE, to + 2 * PAGE));
	/* A refused one leaves all as it was. */
	EXPECT_EQ(stamp(9, 0, 0), peek(a, to));
	EXPECT_EQ(0, check(a, to + PAGE, 2, 1));
	EXPECT_EQ(stamp(9, 3, 0), peek(a, to + 3 * PAGE));
	EXPECT_EQ(to + 3 * (long)PAGE, attach_at(a, self->apid, 0, PAGE, to + 3 * PAGE));
	EXPECT_EQ(0, check(a, to + PAGE, 2, 1));
	EXPECT_EQ(stamp(1, 0, 0), peek(a, to + 3 * PAGE));
}

TEST_F(calls, detach_rules)
{
	struct peer *a = &self->attacher;
	long at = self->at;

	/* Nothing there, or something that is none of ours. */
	EXPECT_EQ(0, detach(a, L(ELSEWHERE)));
	EXPECT_EQ(0, detach(a, 0));
	ASSERT_EQ(L(ELSEWHERE), map_new(a, L(ELSEWHERE), PAGE));
	EXPECT_ERRNO(EINVAL, detach(a, L(ELSEWHERE)));
	EXPECT_ERRNO(EINVAL, detach(a, L(ELSEWHERE) + 100));
	EXPECT_EQ(0, detach(a, L(ELSEWHERE) - 1));
	EXPECT_EQ(0, peek(a, L(ELSEWHERE)));

	/* Any address inside, aligned or not; then nothing is there. */
	EXPECT_EQ(0, detach(a, at + LEN / 2 + 123));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + LEN - PAGE));
	EXPECT_EQ(0, detach(a, at));

	/* The permit is still good, and the owner's detach is not ours. */
	at = attach(a, self->apid, 0, LEN);
	ASSERT_LT(0, at);
	EXPECT_ERRNO(EINVAL, detach(&self->owner, self->mem));
	EXPECT_EQ(0, check(a, at, PAGES, 1));
}

/* All pieces of an attachment, wherever the attacher has moved them. */
TEST_F(calls, detach_pieces)
{
	struct peer *a = &self->attacher;
	long at = self->at, to = L(ELSEWHERE);

	ASSERT_EQ(0, unmap(a, at + 4 * PAGE, PAGE));
	ASSERT_EQ(0, protect(a, at + 8 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(to, move_to(a, at + 12 * PAGE, PAGE, to));
	EXPECT_EQ(0, check(a, at, 4, 1));
	EXPECT_EQ(stamp(1, 12, 0), peek(a, to));
	EXPECT_EQ(stamp(1, 13, 0), peek(a, at + 13 * PAGE));
	/* In a hole of it nothing is attached. */
	EXPECT_EQ(0, detach(a, at + 4 * PAGE));
	EXPECT_EQ(stamp(1, 5, 0), peek(a, at + 5 * PAGE));

	EXPECT_EQ(0, detach(a, at + 5 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + 5 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + 8 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + LEN - PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, to));
}

/* Where an attachment was, what is mapped there now is left alone. */
TEST_F(calls, detach_spares_others)
{
	struct peer *a = &self->attacher;
	long at = self->at, i;

	ASSERT_EQ(at + 4 * (long)PAGE, map_new(a, at + 4 * PAGE, PAGE));
	EXPECT_EQ(0, poke(a, at + 4 * PAGE, 5));
	EXPECT_ERRNO(EINVAL, detach(a, at + 4 * PAGE));
	EXPECT_EQ(0, detach(a, at));
	EXPECT_EQ(5, peek(a, at + 4 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + 3 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + 5 * PAGE));

	for (i = 0; i < 3; i++) {
		at = attach(a, self->apid, 0, LEN);
		ASSERT_LT(0, at);
		ASSERT_EQ(0, unmap(a, at, LEN));
		ASSERT_EQ(at, map_new(a, at, LEN));
		EXPECT_EQ(0, poke(a, at, 5));
		EXPECT_ERRNO(EINVAL, detach(a, at));
		EXPECT_EQ(5, peek(a, at));
		ASSERT_EQ(0, unmap(a, at, LEN));
	}
	EXPECT_EQ(0, release(a, self->apid));
}

/* The device's bad pointers: nothing happens, and nothing is left. */
static const long nowhere[] = {
	0, 8, 0x7ffffffff000, 0x7fffffffeff8, 1l << 47, 1l << 62, 0xffff888000000000, -8, -4096,
};

TEST_F(calls, bad_pointers)
{
	long cmd, i;

	for (cmd = 1; cmd <= 6; cmd++) {
		for (i = 0; i < ARRAY_SIZE(nowhere); i++) {
			errno = 0;
			EXPECT_EQ(-1, call(&self->attacher, op_ioctl, _IO('x', cmd), nowhere[i]));
			EXPECT_EQ(EFAULT, errno) {
				TH_LOG("ioctl %ld at %#lx", cmd, nowhere[i]);
			}
		}
	}
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 1));
}

/* cmd, source, length, offset, protection: with the argument at the end of a page */
static long op_ioctl_at(const long *a)
{
	char *page = mmap(NULL, 2 * PAGE, RW, NEW, -1, 0);
	int ret, error;

	if (ready() || page == MAP_FAILED)
		return -2;
	munmap(page + PAGE, PAGE);
	memcpy(page + a[3], (void *)a[1], a[3] + a[2] > PAGE ? PAGE - a[3] : a[2]);
	mprotect(page, PAGE, a[4]);
	ret = ioctl(dev, a[0], page + a[3]);
	error = errno;
	munmap(page, PAGE);
	errno = error;
	return ret;
}

/* Half of the argument is there; or all of it, but there is no place for the result. */
TEST_F(calls, bad_arguments)
{
	struct xpmem_cmd_make make = { self->mem, LEN, XPMEM_PERMIT_MODE, 0, 0600, 0 };
	struct xpmem_cmd_get get = { self->segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, 0, 0 };
	struct xpmem_cmd_attach attach = { .apid = self->apid, .size = LEN,
					   .vaddr = L(ELSEWHERE), .fd = -1 };
	struct { struct peer *p; long cmd; void *arg; long size; } calls[] = {
		{ &self->owner, XPMEM_CMD_MAKE, &make, sizeof(make) },
		{ &self->attacher, XPMEM_CMD_GET, &get, sizeof(get) },
		{ &self->attacher, XPMEM_CMD_ATTACH, &attach, sizeof(attach) },
	};
	long i, cut;

	EXPECT_EQ(40, sizeof(make));
	EXPECT_EQ(32, sizeof(get));
	EXPECT_EQ(40, sizeof(attach));
	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		memcpy(self->control->buf, calls[i].arg, calls[i].size);
		for (cut = 4; cut < calls[i].size; cut += 4) {
			EXPECT_ERRNO(EFAULT, call(calls[i].p, op_ioctl_at, calls[i].cmd,
						  L(self->control->buf), calls[i].size,
						  PAGE - calls[i].size + cut, RW));
		}
		EXPECT_ERRNO(EFAULT, call(calls[i].p, op_ioctl_at, calls[i].cmd,
					  L(self->control->buf), calls[i].size, 0, PROT_READ));
		EXPECT_ERRNO(EFAULT, call(calls[i].p, op_ioctl_at, calls[i].cmd,
					  L(self->control->buf), calls[i].size, 0, PROT_NONE));
		EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(&self->attacher, L(ELSEWHERE)));
		/* At any address, also an odd one. */
		EXPECT_EQ(0, call(calls[i].p, op_ioctl_at, calls[i].cmd,
				  L(self->control->buf), calls[i].size, 1, RW));
	}
	EXPECT_EQ(0, check(&self->attacher, L(ELSEWHERE), PAGES, 1));
}

/* cmd, source, length, number: an ioctl with no place for its result */
static long op_ioctl_repeat(const long *a)
{
	char *page = mmap(NULL, PAGE, RW, NEW, -1, 0);
	long i, bad = 0;

	if (ready() || page == MAP_FAILED)
		return -2;
	memcpy(page, (void *)a[1], a[2]);
	mprotect(page, PAGE, PROT_READ);
	for (i = 0; i < a[3]; i++)
		bad += ioctl(dev, a[0], page) != -1 || errno != EFAULT;
	munmap(page, PAGE);
	return bad;
}

/* In KiB.  Not what is free: KASAN keeps that for a while. */
static long slabs_in_use(void)
{
	glob_t files;
	long i;

	if (!glob("/sys/kernel/slab/*/shrink", 0, NULL, &files)) {
		for (i = 0; i < files.gl_pathc; i++)
			put(files.gl_pathv[i], "1");
		globfree(&files);
	}
	return number_at("/proc/meminfo", "SUnreclaim:");
}

/* In KiB, what so many of something of 64 bytes or more would exceed. */
#define REPEAT	6000
#define LEAK	300l

TEST_F_TIMEOUT(calls, failed_calls_leave_nothing, 120)
{
	struct xpmem_cmd_make make = { self->mem, LEN, XPMEM_PERMIT_MODE, 0, 0600, 0 };
	struct xpmem_cmd_get get = { self->segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, 0, 0 };
	struct xpmem_cmd_attach attach = { .apid = self->apid, .size = LEN, .fd = -1 };
	struct { long cmd; void *arg; long size; } calls[] = {
		{ XPMEM_CMD_MAKE, &make, sizeof(make) },
		{ XPMEM_CMD_GET, &get, sizeof(get) },
		{ XPMEM_CMD_ATTACH, &attach, sizeof(attach) },
	};
	long i, before, after;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		memcpy(self->control->buf, calls[i].arg, calls[i].size);
		EXPECT_EQ(0, call(&self->attacher, op_ioctl_repeat, calls[i].cmd,
				  L(self->control->buf), calls[i].size, 100));
		before = slabs_in_use();
		EXPECT_EQ(0, call(&self->attacher, op_ioctl_repeat, calls[i].cmd,
				  L(self->control->buf), calls[i].size, REPEAT));
		after = slabs_in_use();
		EXPECT_GT(before + LEAK, after) {
			TH_LOG("ioctl %ld leaks", calls[i].cmd & 0xff);
		}
	}
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 1));
}

static int compare_ids(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return x < y ? -1 : x > y;
}

/* number, ids: makes and removes them, or gets and releases if there is a segid */
static long op_many_ids(const long *a)
{
	long make_args[] = { L(BASE), LEN, XPMEM_PERMIT_MODE, 0600 };
	long get_args[] = { a[1], XPMEM_RDWR, XPMEM_PERMIT_MODE, 0 };
	long *ids = calloc(a[0], sizeof(long)), i, bad = 0;

	for (i = 0; i < a[0]; i++) {
		ids[i] = a[1] ? op_get(get_args) : op_make(make_args);
		bad += ids[i] <= 0;
		/* Not all: free ids are not taken again either. Segments are limited. */
		if (i % (a[1] ? 2 : 50))
			bad += (a[1] ? op_release(&ids[i]) : op_remove(&ids[i])) != 0;
	}
	qsort(ids, a[0], sizeof(long), compare_ids);
	for (i = 1; i < a[0]; i++) {
		/* Knowing one does not help to find another. */
		bad += ids[i] - ids[i - 1] < 1000;
	}
	free(ids);
	return bad;
}

TEST_F(calls, ids)
{
	/* Of 63 random bits: two of 10,000 are closer than 1000 once in 10^8 times. */
	EXPECT_EQ(0, call(&self->owner, op_many_ids, 10000, 0));
	EXPECT_EQ(0, call(&self->attacher, op_many_ids, 10000, self->segid));
	EXPECT_LT(1l << 32, self->segid);
	EXPECT_LT(1l << 32, self->apid);
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 1));
}

#define MAX_SEGMENTS	1024

/* Makes segments as long as it can: how many; then one goes, and another comes. */
static long op_all_segments(const long *a)
{
	long args[] = { L(BASE), LEN, XPMEM_PERMIT_MODE, 0600 };
	long ids[MAX_SEGMENTS + 1], nr, i;

	for (nr = 0; nr <= MAX_SEGMENTS; nr++) {
		ids[nr] = op_make(args);
		if (ids[nr] < 0)
			break;
	}
	if (nr > MAX_SEGMENTS)
		return -1;
	if (errno != ENOSPC || op_remove(&ids[0]))
		return -2;
	ids[0] = op_make(args);
	for (i = 0; i < nr; i++) {
		if (ids[i] <= 0 || op_remove(&ids[i]))
			return -3;
	}
	return nr;
}

TEST_F(calls, segments_are_limited)
{
	/* The fixture has one. */
	EXPECT_EQ(MAX_SEGMENTS - 1, call(&self->owner, op_all_segments));
	EXPECT_EQ(MAX_SEGMENTS - 1, call(&self->owner, op_all_segments));
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 1));
}

/* A process with the process id of one that has gone inherits nothing. */
TEST_F(calls, process_id_reused)
{
	long segid = self->segid, apid;
	pid_t pid = self->owner.pid;
	struct clone_args args = {
		.set_tid = (uintptr_t)&pid, .set_tid_size = 1, .exit_signal = SIGCHLD,
	};
	struct peer again;

	apid = get(&self->owner, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	ASSERT_EQ(0, peer_prepare(&again));
	EXPECT_TRUE(peer_kill(&self->owner));
	again.pid = syscall(__NR_clone3, &args, sizeof(args));
	if (!again.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		peer_serve(&again);
	}
	if (again.pid < 0)
		SKIP(return, "needs CONFIG_CHECKPOINT_RESTORE");
	peer_started(&again);
	ASSERT_EQ(pid, again.pid);
	ASSERT_EQ(L(BASE), map_new(&again, L(BASE), LEN));
	EXPECT_EQ(0, fill(&again, L(BASE), PAGES, 2));
	EXPECT_LT(0, make(&again, BASE, LEN, 0600));
	EXPECT_ERRNO(ENOENT, seg_remove(&again, segid));
	EXPECT_ERRNO(ENOENT, get(&again, segid, XPMEM_RDWR));
	EXPECT_ERRNO(ENOENT, release(&again, apid));
	EXPECT_ERRNO(ENOENT, attach(&again, apid, 0, PAGE));
	EXPECT_ERRNO(ENOENT, get(&self->attacher, segid, XPMEM_RDWR));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	EXPECT_TRUE(peer_kill(&again));
}

static long op_dup(const long *a)
{
	int fd = dup(dev);

	close(dev);
	dev = fd;
	return fd;
}

/* How many descriptors a process has does not matter, as long as it has one. */
TEST_F(calls, descriptors)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long second = call(o, op_sys, __NR_openat, AT_FDCWD, L(XPMEM_DEV_PATH), O_RDWR);
	struct xpmem_cmd_remove *arg = (void *)self->control->buf;
	long segid;

	ASSERT_LE(0, second);
	EXPECT_LE(0, call(o, op_dup));
	EXPECT_EQ(stamp(1, 0, 0), peek(a, self->at));
	EXPECT_EQ(0, call(o, op_close));
	EXPECT_EQ(stamp(1, 0, 0), peek(a, self->at));
	EXPECT_LT(0, get(a, self->segid, XPMEM_RDWR));

	/* The other descriptor can do what the first can. */
	segid = make(o, BASE, LEN, 0600);
	ASSERT_LT(0, segid);
	arg->segid = segid;
	EXPECT_EQ(0, call(o, op_sys, __NR_ioctl, second, XPMEM_CMD_REMOVE, L(arg)));
	EXPECT_ERRNO(ENOENT, seg_remove(o, segid));
	arg->segid = self->segid;

	EXPECT_EQ(0, call(o, op_close));
	EXPECT_EQ(stamp(1, 1, 0), peek(a, self->at + PAGE));
	EXPECT_EQ(0, call(o, op_sys, __NR_close, second));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, self->at));
	EXPECT_ERRNO(ENOENT, get(a, self->segid, XPMEM_RDWR));

	/* Opened again it is a stranger to what it had made. */
	EXPECT_ERRNO(ENOENT, seg_remove(o, self->segid));
	EXPECT_LT(0, make(o, BASE, LEN, 0600));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, self->at));
}

/* An attacher's mapping keeps what it needs. */
TEST_F(calls, attacher_closes)
{
	struct peer *a = &self->attacher;
	long ret;

	EXPECT_EQ(0, call(a, op_close));
	ret = peek(a, self->at);
	/* Closing releases, or the mapping holds the file: no other end. */
	EXPECT_TRUE(ret == stamp(1, 0, 0) || ret == BY_SIGNAL(SIGSEGV) ||
		    ret == BY_SIGNAL(SIGBUS)) {
		TH_LOG("%ld", ret);
	}
	if (ret == stamp(1, 0, 0))
		EXPECT_EQ(0, check(a, self->at, PAGES, 1));
	EXPECT_EQ(0, check(&self->owner, self->mem, PAGES, 1));
	EXPECT_LT(0, get(a, self->segid, XPMEM_RDWR));
	EXPECT_LE(0, unmap(a, self->at, LEN));
}

static long start_child(struct calls_test *self, struct peer *parent)
{
	self->child.pid = call(parent, op_fork, L(&self->child));
	peer_started(&self->child);
	return self->child.pid;
}

#define NOPROC	XPMEM_ERRNO_NOPROC

TEST_F(calls, inherited_by_a_child)
{
	struct peer *child = &self->child;

	ASSERT_LT(0, start_child(self, &self->owner));
	EXPECT_EQ(XPMEM_CURRENT_VERSION, call(child, op_ioctl, XPMEM_CMD_VERSION, 0));
	EXPECT_ERRNO(NOPROC, make(child, BASE, LEN, 0600));
	EXPECT_ERRNO(NOPROC, seg_remove(child, self->segid));
	EXPECT_ERRNO(NOPROC, get(child, self->segid, XPMEM_RDWR));
	EXPECT_ERRNO(NOPROC, release(child, self->apid));
	EXPECT_ERRNO(NOPROC, attach(child, self->apid, 0, PAGE));
	EXPECT_ERRNO(NOPROC, detach(child, L(BASE)));
	EXPECT_ERRNO(NOPROC, call(child, op_ioctl, XPMEM_CMD_FORK_BEGIN, 0));
	EXPECT_EQ(stamp(1, 0, 0), peek(&self->attacher, self->at));

	/* With a descriptor of its own it is a process like any other. */
	EXPECT_EQ(0, call(child, op_open));
	EXPECT_ERRNO(EACCES, seg_remove(child, self->segid));
	EXPECT_LT(0, get(child, self->segid, XPMEM_RDWR));
	EXPECT_EQ(0, fill(child, L(BASE), PAGES, 2));
	EXPECT_LT(0, make(child, BASE, LEN, 0600));
	EXPECT_EQ(stamp(1, 0, 0), peek(&self->attacher, self->at));
}

/* The mm has gone, even if a descriptor of it has not. */
TEST_F(calls, owner_exits_and_leaves_a_descriptor)
{
	ASSERT_LT(0, start_child(self, &self->owner));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	EXPECT_ERRNO(ENOENT, get(&self->attacher, self->segid, XPMEM_RDWR));
	EXPECT_ERRNO(NOPROC, make(&self->child, BASE, LEN, 0600));
	EXPECT_EQ(0, call(&self->child, op_open));
	EXPECT_LT(0, make(&self->child, BASE, LEN, 0600));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	/* It has been ours since its parent died. */
	begin(&self->child, op_exit, 0);
	EXPECT_TRUE(peer_reap(&self->child, NULL));
}

/* A child has not what its parent has attached. */
TEST_F(calls, attachments_are_not_inherited)
{
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 1));
	ASSERT_LT(0, start_child(self, &self->attacher));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(&self->child, self->at));
	EXPECT_ERRNO(NOPROC, detach(&self->child, self->at));
	EXPECT_EQ(0, call(&self->child, op_open));
	EXPECT_ERRNO(EACCES, attach(&self->child, self->apid, 0, PAGE));
	EXPECT_ERRNO(EACCES, release(&self->child, self->apid));
	EXPECT_EQ(0, detach(&self->child, self->at));
	begin(&self->child, op_exit, 0);
	EXPECT_EQ(self->child.pid, call(&self->attacher, op_sys, __NR_wait4, self->child.pid,
					0, 0, 0));
	self->child.pid = 0;
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 1));
	/* It cannot be had by an madvise() either. */
	EXPECT_NE(0, advise(&self->attacher, self->at, LEN, MADV_DOFORK));
}

/* What an exec'd image says: see main(). */
static long op_exec(const long *a)
{
	char in[16], out[16], device[16];
	struct peer *p = (struct peer *)a[0];

	fcntl(dev, F_SETFD, 0);
	fcntl(p->in, F_SETFD, 0);
	fcntl(p->out, F_SETFD, 0);
	snprintf(in, sizeof(in), "%d", p->in);
	snprintf(out, sizeof(out), "%d", p->out);
	snprintf(device, sizeof(device), "%d", dev);
	execl("/proc/self/exe", "xpmem_test", "--peer", in, out, device, NULL);
	return -1;
}

static long op_nothing(const long *a)
{
	return 0;
}

TEST_F(calls, exec)
{
	struct peer *o = &self->owner, *child = &self->child;

	/* Its pipes are the prepared ones from now on. */
	begin(o, op_exec, L(child));
	EXPECT_EQ(DEAD, peer_end(o));
	peer_started(child);
	child->pid = o->pid;
	o->pid = 0;
	/* The addresses of its functions are the same: not position-independent. */
	EXPECT_EQ(0, call(child, op_nothing));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
	EXPECT_ERRNO(ENOENT, get(&self->attacher, self->segid, XPMEM_RDWR));
	EXPECT_EQ(XPMEM_CURRENT_VERSION, call(child, op_ioctl, XPMEM_CMD_VERSION, 0));
	EXPECT_ERRNO(NOPROC, make(child, BASE, LEN, 0600));
	EXPECT_EQ(0, call(child, op_open));
	EXPECT_LT(0, make(child, BASE, LEN, 0600));
	EXPECT_ERRNO(ENOENT, seg_remove(child, self->segid));
}

/* The ids are the process's, not a thread's. */
TEST_F(calls, threads)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long segid, apid, at;

	segid = call(o, op_in_thread, L(op_make), L(BASE), LEN, XPMEM_PERMIT_MODE, 0600);
	ASSERT_LT(0, segid);
	apid = call(a, op_in_thread, L(op_get), segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, 0);
	ASSERT_LT(0, apid);
	at = call(a, op_in_thread, L(op_attach), apid, 0, LEN, 0, 0);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, check(a, at, PAGES, 1));
	EXPECT_EQ(0, call(a, op_in_thread, L(op_poke), at, 7));
	EXPECT_EQ(7, peek(o, self->mem));
	EXPECT_EQ(0, call(o, op_in_thread, L(op_remove), segid));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), call(a, op_in_thread, L(op_peek), at));
	EXPECT_EQ(0, call(a, op_in_thread, L(op_detach), at));
	EXPECT_EQ(0, call(a, op_in_thread, L(op_release), apid));
	EXPECT_EQ(0, call(o, op_in_thread, L(op_remove), self->segid));
}

/* A vfork() shares the mm: it is the same owner. */
static long op_make_in_vfork(const long *a)
{
	volatile long segid = 0;
	pid_t pid;

	if (ready())
		return -1;
	pid = vfork();
	if (!pid) {
		segid = op_make(a);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	return segid;
}

TEST_F(calls, same_mm_in_another_process)
{
	long segid = call(&self->owner, op_make_in_vfork, L(BASE), LEN, XPMEM_PERMIT_MODE, 0600);
	long apid, at;

	ASSERT_LT(0, segid);
	apid = get(&self->attacher, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	at = attach(&self->attacher, apid, 0, LEN);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, check(&self->attacher, at, PAGES, 1));
	EXPECT_EQ(0, seg_remove(&self->owner, segid));
}

TEST_F(calls, removed_while_attached)
{
	struct peer *a = &self->attacher;

	EXPECT_EQ(0, check(a, self->at, PAGES, 1));
	EXPECT_EQ(0, seg_remove(&self->owner, self->segid));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, self->at));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(a, self->at + LEN - PAGE, 1));
	EXPECT_EQ(-1, attach(a, self->apid, 0, PAGE));
	EXPECT_EQ(0, protect(a, self->at, PAGE, PROT_READ));
	EXPECT_EQ(0, detach(a, self->at));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, self->at));
	EXPECT_EQ(0, release(a, self->apid));
	EXPECT_EQ(0, check(&self->owner, self->mem, PAGES, 1));
}

TEST_F(calls, holes)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long segid, apid, at;

	/* Nothing at all is there yet. */
	segid = make(o, ELSEWHERE, LEN, 0600);
	ASSERT_LT(0, segid);
	apid = get(a, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	at = attach(a, apid, 0, LEN);
	ASSERT_LT(0, at);
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, at));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(a, at, 1));
	ASSERT_EQ(L(ELSEWHERE), map_new(o, L(ELSEWHERE), LEN));
	EXPECT_EQ(0, peek(a, at));
	EXPECT_EQ(0, fill(a, at, PAGES, 5));
	EXPECT_EQ(0, check(o, L(ELSEWHERE), PAGES, 5));

	/* One page of it goes. */
	ASSERT_EQ(0, unmap(o, L(ELSEWHERE) + PAGE, PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, at + PAGE));
	EXPECT_EQ(stamp(5, 0, 0), peek(a, at));
	EXPECT_EQ(stamp(5, 2, 0), peek(a, at + 2 * PAGE));

	/* A mapping that grows when it is touched is none yet. */
	ASSERT_EQ(0, unmap(o, L(ELSEWHERE), LEN));
	ASSERT_EQ(L(ELSEWHERE) + LEN / 2,
		  call(o, op_mmap, L(ELSEWHERE) + LEN / 2, LEN / 2, RW,
		       NEW | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
	EXPECT_EQ(0, peek(a, at + LEN / 2));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, at + PAGE));
}

TEST_F(calls, all_of_the_address_space)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long segid, apid, at, offset = 1l << 30;

	segid = make(o, NULL, -1, 0600);
	ASSERT_LT(0, segid);
	apid = get(a, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	at = attach(a, apid, self->mem, LEN);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, check(a, at, PAGES, 1));
	EXPECT_EQ(0, detach(a, at));
	/* A gigabyte on each side of it. */
	at = attach(a, apid, self->mem - offset, 2 * offset);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, check(a, at + offset, PAGES, 1));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, at));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, at + 2 * offset - PAGE));
	EXPECT_EQ(0, detach(a, at));

	/* The last page that there is; nothing is mapped there. */
	at = attach(a, apid, 0x7fffffffe000, PAGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, at));
	EXPECT_ERRNO(EINVAL, attach(a, apid, 0x7fffffffe000, 2 * PAGE));
	EXPECT_ERRNO(EINVAL, attach(a, apid, 0x7ffffffff000, PAGE));

	/* The owner's stack, code and library are in it; the code stays as it is. */
	at = attach(a, apid, L(op_peek) & -PAGE, PAGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(*(long *)(L(op_peek) & -PAGE), peek(a, at));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(a, at, 0));
	EXPECT_EQ(*(long *)(L(op_peek) & -PAGE), peek(a, at));
}

TEST_F(calls, many)
{
	struct peer *a = &self->attacher;
	long i, at[200], apid[200], nr = ARRAY_SIZE(at);

	for (i = 0; i < nr; i++) {
		apid[i] = get(a, self->segid, i % 2 ? XPMEM_RDWR : XPMEM_RDONLY);
		ASSERT_LT(0, apid[i]);
		at[i] = attach(a, apid[i], i % PAGES * PAGE, PAGE);
		ASSERT_LT(0, at[i]);
		EXPECT_EQ(stamp(1, i % PAGES, 0), peek(a, at[i]));
	}
	EXPECT_EQ(0, fill(&self->owner, self->mem, PAGES, 2));
	for (i = 0; i < nr; i++)
		EXPECT_EQ(stamp(2, i % PAGES, 0), peek(a, at[i]));
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(0, i % 3 == 0 ? detach(a, at[i]) :
			     i % 3 == 1 ? release(a, apid[i]) : 0);
	}
	EXPECT_EQ(0, check(a, self->at, PAGES, 2));
}

/* --- what the attacher does with its mapping: as with any other --- */

TEST_F(calls, unmapped_in_part)
{
	struct peer *a = &self->attacher;
	long at = self->at;

	EXPECT_EQ(0, check(a, at, PAGES, 1));
	ASSERT_EQ(0, unmap(a, at, PAGE));
	ASSERT_EQ(0, unmap(a, at + 10 * PAGE, 2 * PAGE));
	ASSERT_EQ(0, unmap(a, at + LEN - PAGE, PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at));
	EXPECT_EQ(stamp(1, 1, 0), peek(a, at + PAGE));
	EXPECT_EQ(stamp(1, 9, 0), peek(a, at + 9 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + 10 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + 11 * PAGE));
	EXPECT_EQ(stamp(1, 12, 0), peek(a, at + 12 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + LEN - PAGE));

	/* What is left still follows the owner. */
	EXPECT_EQ(0, fill(&self->owner, self->mem, PAGES, 2));
	EXPECT_EQ(stamp(2, 12, 0), peek(a, at + 12 * PAGE));
	ASSERT_EQ(0, advise(&self->owner, self->mem, LEN, MADV_DONTNEED));
	EXPECT_EQ(0, peek(a, at + 12 * PAGE));
	EXPECT_EQ(0, peek(a, at + PAGE));
	ASSERT_EQ(0, unmap(a, at, LEN));
	EXPECT_EQ(0, detach(a, at));
	EXPECT_EQ(0, release(a, self->apid));
}

TEST_F(calls, moved_by_the_attacher)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long at = self->at, to = L(ELSEWHERE);

	EXPECT_EQ(0, check(a, at, PAGES, 1));
	ASSERT_EQ(to, move_to(a, at, LEN, to));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at));
	EXPECT_EQ(0, check(a, to, PAGES, 1));
	EXPECT_EQ(0, fill(a, to, PAGES, 2));
	EXPECT_EQ(0, check(o, self->mem, PAGES, 2));
	ASSERT_EQ(0, advise(o, self->mem, LEN, MADV_DONTNEED));
	EXPECT_EQ(0, peek(a, to + 3 * PAGE));
	EXPECT_EQ(0, fill(o, self->mem, PAGES, 3));

	/* A part of it, to the place where it was. */
	ASSERT_EQ(at, move_to(a, to + 8 * PAGE, 8 * PAGE, at));
	EXPECT_EQ(stamp(3, 7, 0), peek(a, to + 7 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, to + 8 * PAGE));
	EXPECT_EQ(stamp(3, 8, 0), peek(a, at));
	EXPECT_EQ(stamp(3, 16, 0), peek(a, to + 16 * PAGE));
	ASSERT_EQ(0, unmap(o, self->mem + 8 * PAGE, PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, at));
	EXPECT_EQ(stamp(3, 9, 0), peek(a, at + PAGE));
	EXPECT_EQ(0, detach(a, at + PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, to));
}

TEST_F(calls, resized_by_the_attacher)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long at, half = LEN / 2, grown;

	at = attach_at(a, self->apid, 0, half, L(ELSEWHERE));
	ASSERT_EQ(L(ELSEWHERE), at);
	EXPECT_EQ(0, check(a, at, PAGES / 2, 1));

	ASSERT_EQ(at, call(a, op_sys, __NR_mremap, at, half, half - PAGE, 0));
	EXPECT_EQ(stamp(1, PAGES / 2 - 2, 0), peek(a, at + half - 2 * PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + half - PAGE));

	/*
	 * More of the segment; and more than there is of it.  With special entries the
	 * kernel does not enlarge in place, but it moves what has no room to grow.
	 */
	errno = 0;
	grown = call(a, op_sys, __NR_mremap, at, half - PAGE, LEN, MREMAP_MAYMOVE);
	if (grown < 0) {
		EXPECT_EQ(ENOMEM, errno);
		ASSERT_EQ(at + half - (long)PAGE, map_new(a, at + half - PAGE, PAGE));
		grown = call(a, op_sys, __NR_mremap, at, half - PAGE, LEN, MREMAP_MAYMOVE);
		ASSERT_LT(0, grown);
		EXPECT_EQ(0, unmap(a, at + half - PAGE, PAGE));
		EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at));
	}
	at = grown;
	EXPECT_EQ(0, check(a, at, PAGES, 1));
	ASSERT_EQ(self->mem + LEN, map_new(o, self->mem + LEN, LEN));
	/* Whatever is there now, it has no room. */
	call(a, op_mmap, at + LEN, PAGE, RW, NEW | MAP_FIXED_NOREPLACE, -1, 0);
	grown = call(a, op_sys, __NR_mremap, at, LEN, 2 * LEN, MREMAP_MAYMOVE);
	ASSERT_LT(0, grown);
	EXPECT_EQ(0, check(a, grown, PAGES, 1));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, grown + LEN));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(a, grown + 2 * LEN - PAGE, 1));
	EXPECT_EQ(0, fill(a, grown, PAGES, 2));
	EXPECT_EQ(0, check(o, self->mem, PAGES, 2));
	EXPECT_EQ(0, peek(o, self->mem + LEN));
	EXPECT_EQ(0, detach(a, grown));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, grown));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, grown + LEN));
}

TEST_F(calls, protected_by_the_attacher)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long at = self->at;

	EXPECT_EQ(0, fill(a, at, PAGES, 2));
	ASSERT_EQ(0, protect(a, at + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(stamp(2, 1, 0), peek(a, at + PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), poke(a, at + PAGE, 1));
	EXPECT_EQ(0, poke(a, at + 2 * PAGE, 12));
	EXPECT_EQ(12, peek(o, self->mem + 2 * PAGE));
	ASSERT_EQ(0, protect(a, at + PAGE, PAGE, PROT_NONE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at + PAGE));
	ASSERT_EQ(0, protect(a, at, LEN, PROT_READ));
	EXPECT_EQ(stamp(2, 1, 0), peek(a, at + PAGE));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), poke(a, at + 2 * PAGE, 1));
	ASSERT_EQ(0, protect(a, at, LEN, RW));
	EXPECT_EQ(0, poke(a, at + PAGE, 11));
	EXPECT_EQ(11, peek(o, self->mem + PAGE));

	/* The owner's changes go on while the attacher may not read. */
	ASSERT_EQ(0, protect(a, at, LEN, PROT_NONE));
	ASSERT_EQ(0, advise(o, self->mem, LEN, MADV_DONTNEED));
	EXPECT_EQ(0, fill(o, self->mem, PAGES, 3));
	ASSERT_EQ(0, protect(a, at, LEN, PROT_READ));
	EXPECT_EQ(0, check(a, at, PAGES, 3));
}

/* What makes sense for other mappings may be refused, but not be the end. */
TEST_F(calls, advised_by_the_attacher)
{
	static const int advices[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
		MADV_REMOVE, MADV_DONTFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
		MADV_COLLAPSE, MADV_DONTDUMP, MADV_WIPEONFORK,
	};
	struct peer *a = &self->attacher;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		EXPECT_LE(-1, advise(a, self->at, LEN, advices[i]));
		EXPECT_EQ(0, check(a, self->at, PAGES, 1)) {
			TH_LOG("madvise %d", advices[i]);
		}
	}
	EXPECT_LE(-1, call(a, op_sys, __NR_mlock, self->at, LEN));
	EXPECT_LE(-1, call(a, op_sys, __NR_msync, self->at, LEN, MS_SYNC));
	EXPECT_LE(-1, call(a, op_sys, __NR_mincore, self->at, LEN, L(self->control->buf)));
	EXPECT_LE(-1, call(a, op_sys, __NR_mlockall, MCL_CURRENT | MCL_FUTURE));
	EXPECT_EQ(0, check(a, self->at, PAGES, 1));
	EXPECT_EQ(0, call(a, op_sys, __NR_munlockall));
	EXPECT_EQ(0, fill(a, self->at, PAGES, 2));
	EXPECT_EQ(0, check(&self->owner, self->mem, PAGES, 2));

	/* The owner's, too. */
	EXPECT_EQ(0, call(&self->owner, op_sys, __NR_mlock, self->mem, LEN));
	EXPECT_EQ(0, fill(a, self->at, PAGES, 3));
	EXPECT_EQ(0, check(&self->owner, self->mem, PAGES, 3));
	EXPECT_EQ(0, call(&self->owner, op_sys, __NR_munlock, self->mem, LEN));

	/* This one may have unmapped the page before it was refused. */
	EXPECT_LE(-1, call(a, op_sys, __NR_remap_file_pages, self->at, PAGE, 0, 3, 0));
	EXPECT_EQ(stamp(3, 1, 0), peek(a, self->at + PAGE));
	EXPECT_EQ(0, detach(a, self->at + PAGE));
}

/* --- attaching what is one's own, or another's --- */

TEST_F(calls, own_memory)
{
	struct peer *o = &self->owner;
	long apid = get(o, self->segid, XPMEM_RDWR), at, page;

	ASSERT_LT(0, apid);
	at = attach(o, apid, 0, LEN);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, check(o, at, PAGES, 1));
	EXPECT_EQ(0, fill(o, at, PAGES, 2));
	EXPECT_EQ(0, check(o, self->mem, PAGES, 2));
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 2));
	ASSERT_EQ(0, advise(o, self->mem, LEN, MADV_DONTNEED));
	EXPECT_EQ(0, peek(o, at));
	EXPECT_EQ(0, fill(o, self->mem, PAGES, 3));
	EXPECT_EQ(0, check(o, at, PAGES, 3));

	/* On top of itself, or of a part. */
	for (page = -1; page < 2; page++)
		EXPECT_ERRNO(EINVAL, attach_at(o, apid, PAGE, 2 * PAGE,
					       self->mem + (page + 1) * PAGE));
	EXPECT_EQ(0, check(o, self->mem, PAGES, 3));

	ASSERT_EQ(0, unmap(o, self->mem, LEN));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(o, at));
	ASSERT_EQ(self->mem, map_new(o, self->mem, LEN));
	EXPECT_EQ(0, fill(o, at, PAGES, 4));
	EXPECT_EQ(0, check(o, self->mem, PAGES, 4));
	EXPECT_EQ(0, seg_remove(o, self->segid));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(o, at));
}

/* An attachment is not memory that could be shown on; and no circle is closed. */
TEST_F(calls, attachment_of_an_attachment)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long segid, apid, at, again;

	segid = make(a, (void *)self->at, LEN, 0600);
	ASSERT_LT(0, segid);
	apid = get(o, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	at = attach(o, apid, 0, LEN);
	if (at > 0) {
		EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(o, at));
		EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(o, at, 1));
		EXPECT_EQ(0, check(a, self->at, PAGES, 1));
		EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(o, at));
	}

	/* The owner's segment contains an attachment of it: at the address of its memory. */
	ASSERT_EQ(0, unmap(o, self->mem, LEN));
	again = attach_at(o, apid, 0, LEN, self->mem);
	if (again > 0) {
		EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(o, again));
		EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, self->at));
		EXPECT_EQ(BY_SIGNAL(SIGBUS), poke(a, self->at, 1));
	}

	/* One's own. */
	apid = get(a, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	at = attach(a, apid, 0, LEN);
	if (at > 0)
		EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(a, at));
}

/* --- what wants a reference to a page gets none; what copies, copies --- */

TEST_F(calls, copied_by_the_kernel)
{
	struct peer *a = &self->attacher;
	int fds[2];
	long in, out, word = 0;

	ASSERT_EQ(0, pipe(fds));
	in = call(a, op_sys, __NR_openat, AT_FDCWD, L("/dev/zero"), O_RDWR);
	out = call(a, op_sys, __NR_memfd_create, L("xpmem"), 0);
	ASSERT_LE(0, in);
	ASSERT_LE(0, out);
	/* Nothing of it is mapped yet. */
	EXPECT_EQ(LEN, call(a, op_sys, __NR_write, out, self->at, LEN));
	EXPECT_EQ(8, call(a, op_sys, __NR_pread64, out, L(self->control->buf), 8, PAGE));
	memcpy(&word, self->control->buf, 8);
	EXPECT_EQ(stamp(1, 1, 0), word);
	EXPECT_EQ(LEN, call(a, op_sys, __NR_read, in, self->at, LEN));
	EXPECT_EQ(0, peek(&self->owner, self->mem + PAGE));
	EXPECT_EQ(8, call(a, op_sys, __NR_pread64, out, self->at, 8, 2 * PAGE));
	EXPECT_EQ(stamp(1, 2, 0), peek(&self->owner, self->mem));

	/* Where the memory has gone, it fails. */
	ASSERT_EQ(0, unmap(&self->owner, self->mem, LEN));
	EXPECT_ERRNO(EFAULT, call(a, op_sys, __NR_read, in, self->at, LEN));
	EXPECT_ERRNO(EFAULT, call(a, op_sys, __NR_pwrite64, out, self->at, LEN, 0));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(calls, direct_io)
{
	struct peer *a = &self->attacher;
	char name[] = EXT4 "/XXXXXX";
	long fd, word = 0;

	if (missing(EXT4_SHARED))
		SKIP(return, "%s", missing(EXT4_SHARED));
	fd = mkstemp(name);
	ASSERT_LE(0, fd);
	ASSERT_EQ(8, pwrite(fd, &self->segid, 8, 0));
	ASSERT_EQ(0, ftruncate(fd, LEN));
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	memcpy(self->control->buf, name, sizeof(name));
	fd = call(a, op_sys, __NR_openat, AT_FDCWD, L(self->control->buf), O_RDWR | O_DIRECT);
	ASSERT_LE(0, fd);
	EXPECT_ERRNO(EFAULT, call(a, op_sys, __NR_pread64, fd, self->at, PAGE, 0));
	EXPECT_ERRNO(EFAULT, call(a, op_sys, __NR_pwrite64, fd, self->at, PAGE, 0));
	EXPECT_EQ(0, check(a, self->at, PAGES, 1));
	EXPECT_ERRNO(EFAULT, call(a, op_sys, __NR_pread64, fd, self->at, PAGE, 0));
	EXPECT_ERRNO(EFAULT, call(a, op_sys, __NR_pwrite64, fd, self->at, PAGE, 0));
	EXPECT_EQ(0, check(a, self->at, PAGES, 1));
	EXPECT_EQ(0, call(a, op_sys, __NR_close, fd));
	fd = open(name, O_RDONLY | O_CLOEXEC);
	EXPECT_EQ(8, pread(fd, &word, 8, 0));
	EXPECT_EQ(self->segid, word);
	close(fd);
	unlink(name);
}

TEST_F(calls, futex)
{
	struct peer *a = &self->attacher;

	EXPECT_ERRNO(EFAULT, call(a, op_sys, __NR_futex, self->at, FUTEX_WAIT, 12345, 0));
	EXPECT_ERRNO(EFAULT, call(a, op_sys, __NR_futex, self->at, FUTEX_WAKE, 1));
	/* Of the addresses, not of the memory: no page is wanted. */
	EXPECT_ERRNO(EAGAIN, call(a, op_sys, __NR_futex, self->at, FUTEX_WAIT_PRIVATE, 12345, 0));
	EXPECT_EQ(0, check(a, self->at, PAGES, 1));
}

TEST_F(calls, vmsplice)
{
	struct iovec *iov = (void *)self->control->buf;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	*iov = (struct iovec){ (void *)self->at, PAGE };
	/* The attacher has the pipe's numbers only if it opens it. */
	EXPECT_EQ(0, call(&self->attacher, op_sys, __NR_pipe2, L(iov + 1), 0));
	EXPECT_ERRNO(EFAULT, call(&self->attacher, op_sys, __NR_vmsplice, ((int *)(iov + 1))[1],
				  L(iov), 1, 0));
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 1));
	close(fds[0]);
	close(fds[1]);
}

/* A debugger reads the attacher's attachment: or not, but it comes back. */
TEST_F(calls, memory_of_a_process)
{
	struct peer *who[2] = { &self->attacher, &self->owner };
	long addr[2] = { self->at, self->mem }, i, word;
	struct iovec local = { &word, 8 }, remote = { NULL, 8 };
	char name[64];
	ssize_t ret;
	int fd;

	for (i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "/proc/%d/mem", who[i]->pid);
		fd = open(name, O_RDWR | O_CLOEXEC);
		ASSERT_LE(0, fd);
		word = 0;
		ret = pread(fd, &word, 8, addr[i]);
		EXPECT_TRUE(ret == 8 ? word == stamp(1, 0, 0) : ret <= 0);
		if (i)
			EXPECT_EQ(8, ret);
		word = 77;
		ret = pwrite(fd, &word, 8, addr[i] + 128 + i * PAGE);
		if (ret == 8)
			EXPECT_EQ(77, peek(&self->attacher, self->at + 128 + i * PAGE));
		close(fd);
		remote.iov_base = (void *)addr[i] + 8;
		word = 1;
		ret = syscall(__NR_process_vm_readv, who[i]->pid, &local, 1, &remote, 1, 0);
		EXPECT_TRUE(ret == 8 ? word == 0 : ret == -1);
	}

	/* Stopped, or gone. */
	ASSERT_EQ(0, kill(self->owner.pid, SIGSTOP));
	EXPECT_EQ(stamp(1, 2, 0), peek(&self->attacher, self->at + 2 * PAGE));
	EXPECT_EQ(0, poke(&self->attacher, self->at + 3 * PAGE, 1));
	ASSERT_EQ(0, kill(self->owner.pid, SIGCONT));
	snprintf(name, sizeof(name), "/proc/%d/mem", self->attacher.pid);
	fd = open(name, O_RDWR | O_CLOEXEC);
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_GE(0, pread(fd, &word, 8, self->at));
	close(fd);
	snprintf(name, sizeof(name), "/proc/%d/smaps", self->attacher.pid);
	EXPECT_LE(0, number_at(name, "Rss:"));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->attacher, self->at));
}

/* The files in /proc that walk page tables do not stumble over these. */
TEST_F(calls, page_table_walkers)
{
	static const char * const files[] = {
		"smaps", "smaps_rollup", "maps", "numa_maps", "status", "oom_score",
	};
	struct peer *who[2] = { &self->attacher, &self->owner };
	static char text[65536];
	char name[64];
	unsigned int i, j;

	EXPECT_EQ(0, fill(&self->attacher, self->at, PAGES, 2));
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		for (j = 0; j < 2; j++) {
			snprintf(name, sizeof(name), "/proc/%d/%s", who[j]->pid, files[i]);
			if (access(name, R_OK))
				continue;
			EXPECT_LT(0, text_of(name, text, sizeof(text))) {
				TH_LOG("%s", name);
			}
		}
	}
	EXPECT_LE(0, call(&self->attacher, op_page_flags, self->at));
	snprintf(name, sizeof(name), "/proc/%d/clear_refs", self->attacher.pid);
	for (i = 1; i <= 5; i++)
		put(name, "%u", i);
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 2));
	EXPECT_EQ(0, fill(&self->attacher, self->at, PAGES, 3));
	EXPECT_EQ(0, check(&self->owner, self->mem, PAGES, 3));
	/* The attacher's entries are not to be moved, nor to be aged. */
	EXPECT_LE(-1, call(&self->attacher, op_move, self->at, LEN, PAGE, 0));
	EXPECT_EQ(0, check(&self->attacher, self->at, PAGES, 3));
}

/* An owner whose page faults wait for a third process. */
static long op_userfault(const long *a)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { a[0], a[1] }, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return -1;
	return fd;
}

static long op_uffd_zero(const long *a)
{
	struct uffdio_zeropage zero = { .range = { a[1], PAGE } };

	return ioctl(a[0], UFFDIO_ZEROPAGE, &zero);
}

TEST_F(calls, userfaultfd_in_the_owner)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long fd, ret;

	ASSERT_EQ(self->mem, map_new(o, self->mem, LEN));
	fd = call(o, op_userfault, self->mem, LEN);
	if (fd < 0)
		SKIP(return, "needs CONFIG_USERFAULTFD");

	/* It waits, or is told that there is nothing: both can be killed. */
	begin(a, op_peek, self->at);
	ret = peer_end_in(a, 300);
	if (ret == HUNG) {
		ASSERT_EQ(0, call(o, op_uffd_zero, fd, self->mem));
		EXPECT_EQ(0, peer_end(a));
	} else {
		EXPECT_EQ(BY_SIGNAL(SIGBUS), ret);
		ASSERT_EQ(0, call(o, op_uffd_zero, fd, self->mem));
		EXPECT_EQ(0, peek(a, self->at));
	}
	begin(a, op_poke, self->at + PAGE, 1);
	peer_end_in(a, 300);
	EXPECT_TRUE(peer_kill(a));
	EXPECT_EQ(0, call(o, op_sys, __NR_munmap, self->mem, LEN));
}

/* === fixture permit: the rights of each user, as with System V IPC === */

enum { OWNER, SAME_UID, SAME_GID, IN_GROUPS, OTHER, ROOT, ROOT_NO_CAP, CAPABLE, ACTORS };

static const struct actor {
	const char *name;
	int uid, gid, group;
	int class;		/* of the mode: 6, 3, 0; -1: all is allowed */
} actors[ACTORS] = {
	[OWNER] = { "owner", 1000, 2000, 2000, 6 },
	[SAME_UID] = { "same uid", 1000, 2999, 2999, 6 },
	[SAME_GID] = { "same gid", 1001, 2000, 2000, 3 },
	[IN_GROUPS] = { "in groups", 1002, 2002, 2000, 3 },
	[OTHER] = { "other", 1003, 2003, 2003, 0 },
	[ROOT] = { "root", 0, 0, 0, -1 },
	[ROOT_NO_CAP] = { "root without CAP_IPC_OWNER", 0, 0, 0, 0 },
	[CAPABLE] = { "other with CAP_IPC_OWNER", 1004, 2004, 2004, -1 },
};

struct cap_header {
	uint32_t version;
	int pid;
};

struct cap_data {
	uint32_t effective, permitted, inheritable;
};

#define CAP_IPC_OWNER_BIT	0x8000u

static int set_caps(uint32_t low)
{
	struct cap_header header = { 0x20080522, 0 };
	struct cap_data data[2] = { { low, low, 0 }, { 0, 0, 0 } };

	return syscall(__NR_capset, &header, data);
}

/* Becomes an actor. */
static long op_become(const long *a)
{
	const struct actor *me = &actors[a[0]];
	gid_t group = me->group;
	int ret = 0;

	if (a[0] == CAPABLE)
		prctl(PR_SET_KEEPCAPS, 1);
	if (syscall(__NR_setgroups, 1, &group) ||
	    syscall(__NR_setresgid, me->gid, me->gid, me->gid) ||
	    syscall(__NR_setresuid, me->uid, me->uid, me->uid))
		return -1;
	if (a[0] == CAPABLE)
		ret = set_caps(CAP_IPC_OWNER_BIT);
	if (a[0] == ROOT_NO_CAP)
		ret = set_caps(~CAP_IPC_OWNER_BIT);
	/* Changing ids has cleared it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return ret;
}

/* control: a segment of each mode */
static long op_make_all(const long *a)
{
	struct control *control = (struct control *)a[0];
	int mode;

	for (mode = 0; mode < 01000; mode++) {
		control->ids[mode] = op_make((long[]){ L(BASE), PAGE, XPMEM_PERMIT_MODE, mode });
		if (control->ids[mode] <= 0)
			return -1;
	}
	return 0;
}

/* control: tries to get each of them in both ways, and notes the error, or 0 */
static long op_get_all(const long *a)
{
	struct control *control = (struct control *)a[0];
	long flags, apid;
	int mode;

	for (mode = 0; mode < 01000; mode++) {
		for (flags = XPMEM_RDONLY; flags <= XPMEM_RDWR; flags++) {
			apid = op_get((long[]){ control->ids[mode], flags, XPMEM_PERMIT_MODE, 0 });
			control->results[flags - 1][mode] = apid > 0 ? 0 : errno;
			if (apid > 0 && op_release(&apid))
				return -1;
		}
	}
	return 0;
}

FIXTURE(permit) {
	struct peer owner, attacher;
	struct control *control;
};

FIXTURE_VARIANT(permit) {
	int who;
};

FIXTURE_VARIANT_ADD(permit, owner) { .who = OWNER };
FIXTURE_VARIANT_ADD(permit, same_uid) { .who = SAME_UID };
FIXTURE_VARIANT_ADD(permit, same_gid) { .who = SAME_GID };
FIXTURE_VARIANT_ADD(permit, in_groups) { .who = IN_GROUPS };
FIXTURE_VARIANT_ADD(permit, other) { .who = OTHER };
FIXTURE_VARIANT_ADD(permit, root) { .who = ROOT };
FIXTURE_VARIANT_ADD(permit, root_without_cap) { .who = ROOT_NO_CAP };
FIXTURE_VARIANT_ADD(permit, capable) { .who = CAPABLE };

FIXTURE_SETUP(permit)
{
	self->control = control_new();
	ASSERT_EQ(0, peer_new(&self->owner));
	ASSERT_EQ(0, peer_new(&self->attacher));
	ASSERT_EQ(0, call(&self->owner, op_become, OWNER));
	ASSERT_EQ(0, call(&self->attacher, op_become, variant->who));
	ASSERT_EQ(L(BASE), map_new(&self->owner, L(BASE), PAGE));
}

FIXTURE_TEARDOWN(permit)
{
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_TRUE(peer_kill(&self->attacher));
}

TEST_F(permit, every_mode)
{
	const struct actor *who = &actors[variant->who];
	int mode, rw, wanted, error;

	ASSERT_EQ(0, call(&self->owner, op_make_all, L(self->control)));
	ASSERT_EQ(0, call(&self->attacher, op_get_all, L(self->control)));
	for (mode = 0; mode < 01000; mode++) {
		for (rw = 0; rw < 2; rw++) {
			wanted = rw ? 6 : 4;
			error = who->class < 0 || (mode >> who->class & wanted) == wanted ?
				0 : EACCES;
			EXPECT_EQ(error, self->control->results[rw][mode]) {
				TH_LOG("%s, mode %o, %s", who->name, mode, rw ? "rw" : "ro");
			}
		}
	}
}

/* A permit is the process's own, whatever its user; and so is a segment. */
TEST_F(permit, ids_of_others)
{
	long segid = make(&self->owner, BASE, PAGE, 0666), apid = get(&self->owner, segid, 2);

	ASSERT_LT(0, apid);
	EXPECT_ERRNO(EACCES, seg_remove(&self->attacher, segid));
	EXPECT_ERRNO(EACCES, release(&self->attacher, apid));
	EXPECT_ERRNO(EACCES, attach(&self->attacher, apid, 0, PAGE));
	EXPECT_EQ(0, release(&self->owner, apid));
	EXPECT_EQ(0, seg_remove(&self->owner, segid));
}

/* Read-only is read-only, for root, too. */
TEST_F(permit, attached)
{
	struct peer *a = &self->attacher;
	long segid = make(&self->owner, BASE, PAGE, 0444), apid, at;
	bool all = actors[variant->who].class < 0;

	EXPECT_EQ(0, poke(&self->owner, L(BASE), 1));
	apid = get(a, segid, XPMEM_RDONLY);
	ASSERT_LT(0, apid);
	at = attach(a, apid, 0, PAGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(1, peek(a, at));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), poke(a, at, 2));
	EXPECT_ERRNO(EACCES, protect(a, at, PAGE, RW));
	errno = 0;
	EXPECT_EQ(all, get(a, segid, XPMEM_RDWR) > 0);
	EXPECT_EQ(all ? 0 : EACCES, errno);

	segid = make(&self->owner, BASE, PAGE, 0666);
	apid = get(a, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	at = attach(a, apid, 0, PAGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, poke(a, at, 3));
	EXPECT_EQ(3, peek(&self->owner, L(BASE)));
}

/* What was granted stays, as with a file. */
TEST_F(permit, granted_before)
{
	struct peer *a = &self->attacher;
	long segid = make(&self->owner, BASE, PAGE, 0666), apid, at;

	apid = get(a, segid, XPMEM_RDWR);
	ASSERT_LT(0, apid);
	if (variant->who == ROOT)
		ASSERT_EQ(0, call(a, op_become, OTHER));
	at = attach(a, apid, 0, PAGE);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, poke(a, at, 3));
	EXPECT_EQ(3, peek(&self->owner, L(BASE)));
}

/* === fixture peers: several attachers of memory of several sizes === */

#define MAX_PEERS	10

FIXTURE(peers) {
	struct peer owner, peers[MAX_PEERS];
	long at[MAX_PEERS];
};

FIXTURE_VARIANT(peers) {
	int nr;
	long pages;
};

FIXTURE_VARIANT_ADD(peers, 1_and_1_pages) { .nr = 1, .pages = 1 };
FIXTURE_VARIANT_ADD(peers, 1_and_100_pages) { .nr = 1, .pages = 100 };
FIXTURE_VARIANT_ADD(peers, 1_and_10000_pages) { .nr = 1, .pages = 10000 };
FIXTURE_VARIANT_ADD(peers, 1_and_100000_pages) { .nr = 1, .pages = 100000 };
FIXTURE_VARIANT_ADD(peers, 3_and_1_pages) { .nr = 3, .pages = 1 };
FIXTURE_VARIANT_ADD(peers, 3_and_100_pages) { .nr = 3, .pages = 100 };
FIXTURE_VARIANT_ADD(peers, 3_and_10000_pages) { .nr = 3, .pages = 10000 };
FIXTURE_VARIANT_ADD(peers, 3_and_100000_pages) { .nr = 3, .pages = 100000 };
FIXTURE_VARIANT_ADD(peers, 5_and_1_pages) { .nr = 5, .pages = 1 };
FIXTURE_VARIANT_ADD(peers, 5_and_100_pages) { .nr = 5, .pages = 100 };
FIXTURE_VARIANT_ADD(peers, 5_and_10000_pages) { .nr = 5, .pages = 10000 };
FIXTURE_VARIANT_ADD(peers, 5_and_100000_pages) { .nr = 5, .pages = 100000 };
FIXTURE_VARIANT_ADD(peers, 10_and_1_pages) { .nr = 10, .pages = 1 };
FIXTURE_VARIANT_ADD(peers, 10_and_100_pages) { .nr = 10, .pages = 100 };
FIXTURE_VARIANT_ADD(peers, 10_and_10000_pages) { .nr = 10, .pages = 10000 };
FIXTURE_VARIANT_ADD(peers, 10_and_100000_pages) { .nr = 10, .pages = 100000 };

FIXTURE_SETUP(peers)
{
	long segid, apid, len = variant->pages * PAGE;
	int i;

	if (variant->pages > 10000)
		patience_ms *= 6;
	ASSERT_EQ(0, peer_new(&self->owner));
	ASSERT_EQ(L(BASE), map_new(&self->owner, L(BASE), len));
	ASSERT_EQ(0, fill(&self->owner, L(BASE), variant->pages, 1));
	segid = make(&self->owner, BASE, len, 0600);
	ASSERT_LT(0, segid);
	for (i = 0; i < variant->nr; i++) {
		ASSERT_EQ(0, peer_new(&self->peers[i]));
		apid = get(&self->peers[i], segid, XPMEM_RDWR);
		ASSERT_LT(0, apid);
		self->at[i] = attach(&self->peers[i], apid, 0, len);
		ASSERT_LT(0, self->at[i]);
	}
}

FIXTURE_TEARDOWN(peers)
{
	EXPECT_EQ(0, peers_end(self->peers, variant->nr));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_TRUE(pinned_nothing());
}

/* memory, pages, word, value: into each page */
static long op_mark(const long *a)
{
	long i;

	for (i = 0; i < a[1]; i++)
		((volatile long *)(a[0] + i * PAGE))[a[2]] = a[3] + i;
	return 0;
}

/* memory, pages, words, value: what several op_mark()s have left there */
static long op_marked(const long *a)
{
	long i, j, wrong = 0;

	for (i = 0; i < a[1]; i++) {
		for (j = 0; j < a[2]; j++)
			wrong += ((volatile long *)(a[0] + i * PAGE))[16 + j] !=
				 a[3] + i + (j << 32);
	}
	return wrong;
}

/* All at once, each to a word of its own in each page. */
TEST_F_TIMEOUT(peers, all_write, 300)
{
	long pages = variant->pages, value;
	int i, nr = variant->nr;

	for (value = 1; value <= (pages > 10000 ? 1 : 3); value++) {
		for (i = 0; i < nr; i++)
			begin(&self->peers[i], op_mark, self->at[i], pages, 16 + i,
			      value + ((long)i << 32));
		for (i = 0; i < nr; i++)
			EXPECT_EQ(0, peer_end(&self->peers[i]));
		EXPECT_EQ(0, call(&self->owner, op_marked, L(BASE), pages, nr, value));
		/* The last to come sees what all have written. */
		EXPECT_EQ(0, call(&self->peers[0], op_marked, self->at[0], pages, nr, value));
	}
	EXPECT_EQ(0, check(&self->peers[nr - 1], self->at[nr - 1], pages, 1));

	/* One invalidation for all of them. */
	ASSERT_EQ(0, advise(&self->owner, L(BASE), pages * PAGE, MADV_DONTNEED));
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(0, peek(&self->peers[i], self->at[i]));
		EXPECT_EQ(0, peek(&self->peers[i], self->at[i] + (pages - 1) * PAGE + 128));
	}
	/* Some go in the middle of it all, the others do not notice. */
	for (i = 1; i < nr; i += 2)
		EXPECT_TRUE(peer_kill(&self->peers[i]));
	EXPECT_EQ(0, poke(&self->peers[0], self->at[0] + (pages - 1) * PAGE, 5));
	for (i = 0; i < nr; i += 2)
		EXPECT_EQ(5, peek(&self->peers[i], self->at[i] + (pages - 1) * PAGE));
	ASSERT_EQ(0, unmap(&self->owner, L(BASE), pages * PAGE));
	for (i = 0; i < nr; i += 2)
		EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->peers[i], self->at[i]));
}

/* === fixture mutual: processes that have attached each other's memory === */

#define RING	4

FIXTURE(mutual) {
	struct peer peers[RING];
	struct control *control;
	long at[RING];
	int nr;
};

FIXTURE_VARIANT(mutual) {
	int nr;			/* each attaches its neighbour's; 1: its own */
	bool huge;
};

FIXTURE_VARIANT_ADD(mutual, self) { .nr = 1 };
FIXTURE_VARIANT_ADD(mutual, two) { .nr = 2 };
FIXTURE_VARIANT_ADD(mutual, two_huge) { .nr = 2, .huge = true };
FIXTURE_VARIANT_ADD(mutual, ring) { .nr = 4 };

#define MUTUAL_LEN	(variant->huge ? (long)HUGE : 32l * (long)PAGE)

FIXTURE_SETUP(mutual)
{
	long segid[RING], apid;
	int i;

	self->nr = variant->nr;
	self->control = control_new();
	for (i = 0; i < self->nr; i++) {
		ASSERT_EQ(0, peer_new(&self->peers[i]));
		ASSERT_EQ(L(BASE), map_new(&self->peers[i], L(BASE), MUTUAL_LEN));
		if (variant->huge)
			advise(&self->peers[i], L(BASE), HUGE, MADV_HUGEPAGE);
		segid[i] = make(&self->peers[i], BASE, MUTUAL_LEN, 0600);
		ASSERT_LT(0, segid[i]);
	}
	for (i = 0; i < self->nr; i++) {
		apid = get(&self->peers[i], segid[(i + 1) % self->nr], XPMEM_RDWR);
		ASSERT_LT(0, apid);
		self->at[i] = attach(&self->peers[i], apid, 0, MUTUAL_LEN);
		ASSERT_LT(0, self->at[i]);
	}
}

FIXTURE_TEARDOWN(mutual)
{
	EXPECT_EQ(0, peers_end(self->peers, self->nr));
	EXPECT_TRUE(pinned_nothing());
}

struct mutual_thread {
	pthread_t thread;
	struct control *control;
	long at, len, kind;
};

/* Each thread's work is in the way of every other's; faults may end either way. */
static void *mutual_thread(void *arg)
{
	struct mutual_thread *t = arg;
	long page, pages = t->len / PAGE, i, a[NR_ARGS];
	char *own = BASE;

	for (i = 0; !t->control->stop; i++) {
		page = i * 7 % pages;
		switch (t->kind) {
		case 0:
			a[0] = t->at + page * PAGE;
			guarded(op_peek, a);
			break;
		case 1:
			a[0] = t->at + page * PAGE;
			a[1] = i;
			guarded(op_poke, a);
			break;
		case 2:
			/* Takes the lock for writing, and tells the attachers. */
			munmap(own + page * PAGE, PAGE);
			mmap(own + page * PAGE, PAGE, RW, NEW | MAP_FIXED, -1, 0);
			*(volatile long *)(own + page * PAGE) = i;
			break;
		case 3:
			madvise(own, t->len, i % 2 ? MADV_DONTNEED : MADV_PAGEOUT);
			mprotect((void *)t->at, t->len, i % 2 ? PROT_READ : RW);
			break;
		}
		__atomic_add_fetch(&t->control->count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* attachment, length, control: until it is told to stop */
static long op_mutual(const long *a)
{
	struct mutual_thread t[4];
	int i;

	for (i = 0; i < 4; i++) {
		t[i] = (struct mutual_thread){
			.control = (struct control *)a[2], .at = a[0], .len = a[1], .kind = i,
		};
		if (pthread_create(&t[i].thread, NULL, mutual_thread, &t[i]))
			return -1;
	}
	for (i = 0; i < 4; i++)
		pthread_join(t[i].thread, NULL);
	return 0;
}

/* True if all of them go on doing something. */
static bool progress(struct control *control, double seconds)
{
	double end = now() + seconds, limit;
	long before;

	while (now() < end) {
		before = control->count;
		limit = now() + 10;
		while (control->count == before) {
			if (now() > limit)
				return false;
			usleep(1000);
		}
	}
	return true;
}

TEST_F(mutual, both_ways)
{
	int i, next;

	for (i = 0; i < self->nr; i++) {
		next = (i + 1) % self->nr;
		EXPECT_EQ(0, fill(&self->peers[i], self->at[i], MUTUAL_LEN / PAGE, i + 1));
		EXPECT_EQ(0, check(&self->peers[next], L(BASE), MUTUAL_LEN / PAGE, i + 1));
	}
}

TEST_F(mutual, no_deadlock)
{
	int i;

	for (i = 0; i < self->nr; i++)
		begin(&self->peers[i], op_mutual, self->at[i], MUTUAL_LEN, L(self->control));
	EXPECT_TRUE(progress(self->control, 5));
	self->control->stop = 1;
	for (i = 0; i < self->nr; i++)
		EXPECT_EQ(0, peer_end_in(&self->peers[i], 10000));
	/* Nothing of the old memory, and nothing wrong with the new. */
	for (i = 0; i < self->nr; i++)
		map_new(&self->peers[i], L(BASE), MUTUAL_LEN);
	for (i = 0; i < self->nr; i++) {
		EXPECT_EQ(0, protect(&self->peers[i], self->at[i], MUTUAL_LEN, RW));
		EXPECT_EQ(0, peek(&self->peers[i], self->at[i]));
		EXPECT_EQ(0, fill(&self->peers[i], self->at[i], MUTUAL_LEN / PAGE, i + 1));
	}
	for (i = 0; i < self->nr; i++)
		EXPECT_EQ(0, check(&self->peers[(i + 1) % self->nr], L(BASE), MUTUAL_LEN / PAGE,
				   i + 1));
}

static void on_cpu(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(pid, sizeof(set), &set);
}

/* A task that waits for a lock can be the next to run on the CPU where another spins. */
TEST_F(mutual, on_one_cpu)
{
	int i;

	for (i = 0; i < self->nr; i++) {
		on_cpu(self->peers[i].pid, 1);
		begin(&self->peers[i], op_mutual, self->at[i], MUTUAL_LEN, L(self->control));
	}
	EXPECT_TRUE(progress(self->control, 5));
	self->control->stop = 1;
	for (i = 0; i < self->nr; i++)
		EXPECT_EQ(0, peer_end_in(&self->peers[i], 10000));
}

/* attachment, length, control: splits and joins its mapping, or its huge entries */
static long op_split(const long *a)
{
	struct control *control = (struct control *)a[2];
	long i, page, b[NR_ARGS];

	for (i = 0; !control->stop; i++) {
		b[0] = a[0];
		b[1] = i;
		guarded(op_poke, b);
		page = 1 + i % (a[1] / PAGE - 1);
		if (mprotect((void *)(a[0] + page * PAGE), PAGE, PROT_READ) ||
		    mprotect((void *)a[0], a[1], RW))
			return -1;
		__atomic_add_fetch(&control->count, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* The segments contain the attachments: neither's change waits for the other's. */
TEST_F(mutual, attachments_in_segments)
{
	long segid[RING], apid, i, at[RING];

	for (i = 0; i < self->nr; i++) {
		segid[i] = make(&self->peers[i], NULL, -1, 0600);
		ASSERT_LT(0, segid[i]);
	}
	for (i = 0; i < self->nr; i++) {
		apid = get(&self->peers[i], segid[(i + 1) % self->nr], XPMEM_RDWR);
		ASSERT_LT(0, apid);
		at[i] = attach(&self->peers[i], apid, L(BASE), MUTUAL_LEN);
		ASSERT_LT(0, at[i]);
	}
	for (i = 0; i < self->nr; i++)
		begin(&self->peers[i], op_split, at[i], MUTUAL_LEN, L(self->control));
	EXPECT_TRUE(progress(self->control, 3));
	self->control->stop = 1;
	for (i = 0; i < self->nr; i++)
		EXPECT_EQ(0, peer_end_in(&self->peers[i], 10000));
}

/* All of them, one after another or at once. */
TEST_F(mutual, killed_while_busy)
{
	int i, round;

	for (i = 0; i < self->nr; i++)
		begin(&self->peers[i], op_mutual, self->at[i], MUTUAL_LEN, L(self->control));
	EXPECT_TRUE(progress(self->control, 1));
	for (i = 0; i < self->nr; i++) {
		kill(self->peers[i].pid, SIGKILL);
		if (i % 2)
			EXPECT_TRUE(peer_reap(&self->peers[i], NULL));
	}
	for (i = 0; i < self->nr; i++)
		EXPECT_TRUE(peer_kill(&self->peers[i]));

	/* Pairs are made and killed together. */
	for (round = 0; round < 10; round++) {
		struct peer p[2];
		long segid[2], at[2];

		for (i = 0; i < 2; i++) {
			ASSERT_EQ(0, peer_new(&p[i]));
			ASSERT_EQ(L(BASE), map_new(&p[i], L(BASE), MUTUAL_LEN));
			segid[i] = make(&p[i], BASE, MUTUAL_LEN, 0600);
		}
		for (i = 0; i < 2; i++) {
			at[i] = attach(&p[i], get(&p[i], segid[!i], 2), 0, MUTUAL_LEN);
			ASSERT_LT(0, at[i]);
		}
		for (i = 0; i < 2; i++)
			begin(&p[i], op_mutual, at[i], MUTUAL_LEN, L(self->control));
		EXPECT_TRUE(progress(self->control, 0.05));
		kill(p[round & 1].pid, SIGKILL);
		kill(p[!(round & 1)].pid, SIGKILL);
		EXPECT_TRUE(peer_reap(&p[0], NULL));
		EXPECT_TRUE(peer_reap(&p[1], NULL));
	}
}

/* === fixture end: of the owner, of attachers, by all means and in any order === */

FIXTURE(end) {
	struct peer owner, a, b;
	struct control *control;
	long segid, at, bt, len;
};

FIXTURE_VARIANT(end) {
	bool huge;
};

FIXTURE_VARIANT_ADD(end, small) { };
FIXTURE_VARIANT_ADD(end, huge) { .huge = true };

FIXTURE_SETUP(end)
{
	self->len = variant->huge ? HUGE : SMALL;
	self->control = control_new();
	ASSERT_EQ(0, peer_new(&self->owner));
	ASSERT_EQ(0, peer_new(&self->a));
	ASSERT_EQ(0, peer_new(&self->b));
	ASSERT_EQ(L(BASE), map_new(&self->owner, L(BASE), self->len));
	if (variant->huge)
		advise(&self->owner, L(BASE), HUGE, MADV_HUGEPAGE);
	ASSERT_EQ(0, fill(&self->owner, L(BASE), self->len / PAGE, 1));
	self->segid = make(&self->owner, BASE, self->len, 0600);
	ASSERT_LT(0, self->segid);
	self->at = attach(&self->a, get(&self->a, self->segid, XPMEM_RDWR), 0, self->len);
	ASSERT_LT(0, self->at);
	self->bt = attach(&self->b, get(&self->b, self->segid, XPMEM_RDONLY), 0, self->len);
	ASSERT_LT(0, self->bt);
	EXPECT_EQ(0, check(&self->a, self->at, self->len / PAGE, 1));
	EXPECT_EQ(0, check(&self->b, self->bt, self->len / PAGE, 1));
}

FIXTURE_TEARDOWN(end)
{
	EXPECT_TRUE(peer_kill(&self->a));
	EXPECT_TRUE(peer_kill(&self->b));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_TRUE(pinned_nothing());
}

/* By exit, by a signal; with its descriptor closed before, or not. */
TEST_F(end, every_order)
{
	static const char orders[][3] = { "oab", "oba", "aob", "abo", "bao", "boa" };
	struct peer *who[3] = { &self->owner, &self->a, &self->b };
	int order, i, how;
	long at, bt, segid;

	for (how = 0; how < 4; how++) {
		for (order = 0; order < 6; order++) {
			for (i = 0; i < 3; i++) {
				const char *name = strchr("oab", orders[order][i]);
				struct peer *p = who[name - "oab"];

				if (how & 1)
					EXPECT_EQ(0, call(p, op_close));
				if (how & 2)
					begin(p, op_exit, 0);
				else
					kill(p->pid, SIGKILL);
				EXPECT_TRUE(peer_reap(p, NULL));
				if (p == &self->owner) {
					at = self->a.pid ? peek(&self->a, self->at) : 0;
					bt = self->b.pid ? peek(&self->b, self->bt) : 0;
					EXPECT_TRUE(at == 0 || at == BY_SIGNAL(SIGBUS));
					EXPECT_TRUE(bt == 0 || bt == BY_SIGNAL(SIGBUS));
				} else if (self->owner.pid) {
					EXPECT_EQ(0, check(&self->owner, L(BASE),
							   self->len / PAGE, 1));
				}
			}
			for (i = 0; i < 3; i++)
				ASSERT_EQ(0, peer_new(who[i]));
			ASSERT_EQ(L(BASE), map_new(&self->owner, L(BASE), self->len));
			ASSERT_EQ(0, fill(&self->owner, L(BASE), self->len / PAGE, 1));
			segid = make(&self->owner, BASE, self->len, 0600);
			self->at = attach(&self->a, get(&self->a, segid, 2), 0, self->len);
			ASSERT_LT(0, self->at);
			self->bt = attach(&self->b, get(&self->b, segid, 1), 0, self->len);
			ASSERT_LT(0, self->bt);
			EXPECT_EQ(0, check(&self->a, self->at, self->len / PAGE, 1));
		}
	}
}

/* memory, length, control, write: faults and lets go until it gets a signal */
static long op_fault_until_signal(const long *a)
{
	struct control *control = (struct control *)a[2];
	long i, ret = 0;

	for (i = 0; ret >= 0 && !control->stop; i++) {
		long b[2] = { a[0] + i * 3 % (a[1] / PAGE) * PAGE, i };

		ret = guarded(a[3] ? op_poke : op_peek, b);
		__atomic_add_fetch(&control->count, 1, __ATOMIC_RELAXED);
		/* Drops the entries, so that the next access faults again. */
		if (i % 8 == 7)
			mprotect((void *)a[0], a[1], i % 16 == 7 ? PROT_NONE :
				 a[3] ? RW : PROT_READ);
		if (ret == BY_SIGNAL(SIGSEGV))
			ret = 0;
	}
	return ret;
}

TEST_F(end, owner_killed_while_they_fault)
{
	begin(&self->a, op_fault_until_signal, self->at, self->len, L(self->control), 1);
	begin(&self->b, op_fault_until_signal, self->bt, self->len, L(self->control), 0);
	EXPECT_TRUE(progress(self->control, 0.5));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->a));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->b));
	EXPECT_ERRNO(ENOENT, get(&self->a, self->segid, XPMEM_RDWR));
}

TEST_F(end, removed_while_they_fault)
{
	begin(&self->a, op_fault_until_signal, self->at, self->len, L(self->control), 1);
	begin(&self->b, op_fault_until_signal, self->bt, self->len, L(self->control), 0);
	EXPECT_TRUE(progress(self->control, 0.5));
	EXPECT_EQ(0, seg_remove(&self->owner, self->segid));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->a));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->b));
}

TEST_F(end, closed_while_they_fault)
{
	begin(&self->a, op_fault_until_signal, self->at, self->len, L(self->control), 1);
	begin(&self->b, op_fault_until_signal, self->bt, self->len, L(self->control), 0);
	EXPECT_TRUE(progress(self->control, 0.5));
	EXPECT_EQ(0, call(&self->owner, op_close));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->a));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->b));
}

/* memory, length, control: changes its memory until it is told to stop */
static long op_churn(const long *a)
{
	struct control *control = (struct control *)a[2];
	long i, b[2];

	for (i = 0; !control->stop; i++) {
		switch (i % 4) {
		case 0:
			if (mmap((void *)a[0], a[1], RW, NEW | MAP_FIXED, -1, 0) == MAP_FAILED)
				return -1;
			break;
		case 1:
			madvise((void *)a[0], a[1], MADV_PAGEOUT);
			break;
		case 2:
			madvise((void *)a[0], a[1], MADV_DONTNEED);
			break;
		case 3:
			b[0] = a[0];
			b[1] = a[1] / PAGE;
			op_fork_and_write(b);
		}
		*(volatile long *)a[0] = i;
		control->count2++;
	}
	return 0;
}

TEST_F(end, attachers_killed_while_owner_changes)
{
	int round;
	long count;

	begin(&self->owner, op_churn, L(BASE), self->len, L(self->control));
	for (round = 0; round < 10; round++) {
		begin(&self->a, op_fault_until_signal, self->at, self->len, L(self->control), 1);
		begin(&self->b, op_fault_until_signal, self->bt, self->len, L(self->control), 0);
		EXPECT_TRUE(progress(self->control, 0.1));
		EXPECT_TRUE(peer_kill(round & 1 ? &self->a : &self->b));
		EXPECT_TRUE(peer_kill(round & 1 ? &self->b : &self->a));
		count = self->control->count2;
		ASSERT_EQ(0, peer_new(&self->a));
		ASSERT_EQ(0, peer_new(&self->b));
		self->at = attach(&self->a, get(&self->a, self->segid, 2), 0, self->len);
		ASSERT_LT(0, self->at);
		self->bt = attach(&self->b, get(&self->b, self->segid, 1), 0, self->len);
		ASSERT_LT(0, self->bt);
	}
	/* The owner does not wait for processes that have gone. */
	count = self->control->count2;
	while (self->control->count2 < count + 4)
		usleep(1000);
	self->control->stop = 1;
	EXPECT_EQ(0, peer_end(&self->owner));
}

/* An attacher that detaches, in one thread, what others use. */
static long op_attach_and_detach(const long *a)
{
	struct control *control = (struct control *)a[2];
	long i, at, rest;

	for (i = 0; !control->stop; i++) {
		at = op_attach((long[]){ a[0], 0, a[1], 0, 0 });
		if (at < 0)
			return -1;
		*(volatile long *)at = i;
		*(volatile long *)(at + a[1] - PAGE) = i;
		switch (i % 3) {
		case 0:
			if (op_detach(&at))
				return -2;
			break;
		case 1:
			if (munmap((void *)at, a[1]))
				return -3;
			break;
		case 2:
			rest = at + PAGE;
			if (munmap((void *)at, PAGE) || op_detach(&rest))
				return -4;
		}
		__atomic_add_fetch(&control->count, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

TEST_F(end, attached_and_detached_while_owner_changes)
{
	long apid = get(&self->a, self->segid, XPMEM_RDWR);

	begin(&self->owner, op_churn, L(BASE), self->len, L(self->control));
	begin(&self->a, op_attach_and_detach, apid, self->len, L(self->control));
	begin(&self->b, op_fault_until_signal, self->bt, self->len, L(self->control), 0);
	EXPECT_TRUE(progress(self->control, 4));
	self->control->stop = 1;
	EXPECT_EQ(0, peer_end(&self->a));
	EXPECT_LE(0, peer_end(&self->b));
	EXPECT_EQ(0, peer_end(&self->owner));
	/* Where it was stopped it may not have been allowed to read. */
	EXPECT_EQ(0, protect(&self->b, self->bt, self->len, PROT_READ));
	EXPECT_EQ(0, fill(&self->owner, L(BASE), self->len / PAGE, 3));
	EXPECT_EQ(0, check(&self->b, self->bt, self->len / PAGE, 3));
}

/*
 * The OOM reaper's work, by process_mrelease(): the owner is killed but does not get to
 * run, as it may only when no other task wants its CPU.
 */
TEST_F(end, owner_reaped)
{
	struct sched_param param = {};
	int pidfd, ret, tries = 100;

	on_cpu(self->owner.pid, 0);
	on_cpu(0, 0);
	sched_setscheduler(self->owner.pid, SCHED_IDLE, &param);
	begin(&self->a, op_fault_until_signal, self->at, self->len, L(self->control), 1);
	EXPECT_TRUE(progress(self->control, 0.3));
	pidfd = syscall(__NR_pidfd_open, self->owner.pid, 0);
	ASSERT_LE(0, pidfd);
	ASSERT_EQ(0, kill(self->owner.pid, SIGKILL));
	do {
		ret = syscall(__NR_process_mrelease, pidfd, 0);
	} while (ret && errno == EAGAIN && tries--);
	/* Reaped memory does not come back as zeroes. */
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->a));
	EXPECT_TRUE(peer_reap(&self->owner, NULL));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->b, self->bt));
	close(pidfd);
}

/* What the kernel says about its victim is no report of a fault: not to the console. */
static void console_quiet(bool quiet)
{
	klogctl(8, NULL, quiet ? 1 : 7);
}

/* But what it has to report is searched for. */
static bool kernel_complains(void)
{
	static const char * const bad[] = { "BUG:", "WARNING:", "possible circular", "Oops",
					    "INFO: possible", "INFO: task", "Bad page", "Bad rss" };
	static char log[1 << 18];
	int len = klogctl(3, log, sizeof(log) - 1);
	unsigned int i;

	if (len < 0)
		return true;
	log[len] = 0;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		if (strstr(log, bad[i]))
			return true;
	}
	return false;
}

static bool limit_memory(const char *limit)
{
	return !put(CGROUP "/memory.max", "%s", limit) &&
	       (access(CGROUP "/memory.swap.max", W_OK) || !put(CGROUP "/memory.swap.max", "0"));
}

static long oom_kills(void)
{
	return number_at(CGROUP "/memory.events", "oom_kill ");
}

/* address, length: takes memory without end */
static long op_consume(const long *a)
{
	char *mem = mmap(NULL, a[1], RW, NEW, -1, 0);
	long i;

	for (i = 0; i < a[1]; i += PAGE)
		mem[i] = 1;
	return 0;
}

#define MIB	0x100000l

TEST_F(end, owner_out_of_memory)
{
	int status = 0;

	if (!enter_cgroup(self->owner.pid) || !limit_memory("16M"))
		SKIP(return, "needs CONFIG_MEMCG");
	console_quiet(true);
	begin(&self->a, op_fault_until_signal, self->at, self->len, L(self->control), 1);
	begin(&self->b, op_fault_until_signal, self->bt, self->len, L(self->control), 0);
	EXPECT_TRUE(progress(self->control, 0.2));
	EXPECT_EQ(DEAD, call(&self->owner, op_consume, 0, 64 * MIB));
	EXPECT_TRUE(peer_reap(&self->owner, &status));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_EQ(1, oom_kills());
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->a));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peer_end(&self->b));
	console_quiet(false);
	EXPECT_FALSE(kernel_complains());
	rmdir(CGROUP);
}

/* Memory that the attacher asks for is the owner's, and so is the bill. */
TEST_F(end, owner_out_of_memory_by_the_attacher)
{
	long len = 64 * MIB, segid, at, ret;

	if (!enter_cgroup(self->owner.pid) || !limit_memory("16M"))
		SKIP(return, "needs CONFIG_MEMCG");
	ASSERT_EQ(L(ELSEWHERE), map_new(&self->owner, L(ELSEWHERE), len));
	segid = make(&self->owner, ELSEWHERE, len, 0600);
	at = attach(&self->a, get(&self->a, segid, XPMEM_RDWR), 0, len);
	ASSERT_LT(0, at);
	console_quiet(true);
	ret = call(&self->a, op_touch, at, len, 1);
	console_quiet(false);
	/* The owner dies of it, or the attacher is told that there is no more. */
	EXPECT_EQ(BY_SIGNAL(SIGBUS), ret);
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_EQ(BY_SIGNAL(SIGBUS), peek(&self->a, at));
	EXPECT_FALSE(kernel_complains());
	rmdir(CGROUP);
}

TEST_F(end, attacher_out_of_memory)
{
	int status = 0;

	if (!enter_cgroup(self->a.pid) || !limit_memory("16M"))
		SKIP(return, "needs CONFIG_MEMCG");
	begin(&self->owner, op_churn, L(BASE), self->len, L(self->control));
	console_quiet(true);
	EXPECT_EQ(DEAD, call(&self->a, op_consume, 0, 64 * MIB));
	EXPECT_TRUE(peer_reap(&self->a, &status));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	self->control->stop = 1;
	EXPECT_EQ(0, peer_end(&self->owner));
	console_quiet(false);
	EXPECT_EQ(0, fill(&self->owner, L(BASE), self->len / PAGE, 2));
	EXPECT_EQ(0, check(&self->b, self->bt, self->len / PAGE, 2));
	EXPECT_FALSE(kernel_complains());
	rmdir(CGROUP);
}

/* Under a limit that is tight, but not too tight, no process dies. */
TEST_F_TIMEOUT(end, memory_pressure, 120)
{
	long len = 10 * MIB, segid, at, pages = len / PAGE, round, before;

	if (!swap_is_on())
		SKIP(return, "no swap, see xpmem.sh");
	if (!enter_cgroup(self->owner.pid) || put(CGROUP "/memory.max", "8M"))
		SKIP(return, "needs CONFIG_MEMCG");
	put(CGROUP "/memory.swap.max", "max");
	before = number_at("/proc/vmstat", "pswpout ");
	ASSERT_EQ(L(ELSEWHERE), map_new(&self->owner, L(ELSEWHERE), len));
	segid = make(&self->owner, ELSEWHERE, len, 0600);
	at = attach(&self->a, get(&self->a, segid, XPMEM_RDWR), 0, len);
	ASSERT_LT(0, at);
	for (round = 1; round < 3; round++) {
		EXPECT_EQ(0, fill(&self->a, at, pages, round));
		EXPECT_EQ(0, check(&self->owner, L(ELSEWHERE), pages, round));
		EXPECT_EQ(0, check(&self->a, at, pages, round));
	}
	EXPECT_GE(0, oom_kills());
	EXPECT_LT(before, number_at("/proc/vmstat", "pswpout "));
	EXPECT_TRUE(peer_kill(&self->owner));
	rmdir(CGROUP);
}

/* === fixture library: libxpmem from samples/xpmem === */

FIXTURE(library) {
	struct peer owner, attacher, child;
	struct control *control;
};

FIXTURE_SETUP(library)
{
	self->control = control_new();
	ASSERT_EQ(0, peer_prepare(&self->child));
	ASSERT_EQ(0, peer_new(&self->owner));
	ASSERT_EQ(0, peer_new(&self->attacher));
	ASSERT_EQ(L(BASE), map_new(&self->owner, L(BASE), SMALL));
	ASSERT_EQ(0, fill(&self->owner, L(BASE), 16, 1));
}

FIXTURE_TEARDOWN(library)
{
	EXPECT_TRUE(peer_kill(&self->attacher));
	EXPECT_TRUE(peer_kill(&self->owner));
	EXPECT_TRUE(peer_kill(&self->child));
}

static long lib_init(const long *a)
{
	return xpmem_init();
}

static long lib_version(const long *a)
{
	return xpmem_version();
}

static long lib_make(const long *a)
{
	return xpmem_make((void *)a[0], a[1], a[2], (void *)a[3]);
}

static long lib_remove(const long *a)
{
	return xpmem_remove(a[0]);
}

static long lib_get(const long *a)
{
	return xpmem_get(a[0], a[1], a[2], (void *)a[3]);
}

static long lib_release(const long *a)
{
	return xpmem_release(a[0]);
}

static long lib_attach(const long *a)
{
	struct xpmem_addr addr = { .apid = a[0], .offset = a[1] };

	return L(xpmem_attach(addr, a[2], (void *)a[3]));
}

static long lib_detach(const long *a)
{
	return xpmem_detach((void *)a[0]);
}

TEST_F(library, nine_calls)
{
	struct peer *o = &self->owner, *a = &self->attacher;
	long segid, apid, at;

	EXPECT_EQ(0, call(o, lib_init));
	EXPECT_EQ(XPMEM_CURRENT_VERSION, call(a, lib_version));
	segid = call(o, lib_make, L(BASE), SMALL, XPMEM_PERMIT_MODE, 0600);
	ASSERT_LT(0, segid);
	apid = call(a, lib_get, segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, 0);
	ASSERT_LT(0, apid);
	at = call(a, lib_attach, apid, PAGE, SMALL - PAGE, 0);
	ASSERT_LT(0, at);
	EXPECT_EQ(stamp(1, 1, 0), peek(a, at));
	EXPECT_EQ(0, call(a, lib_detach, at + 100));
	EXPECT_EQ(BY_SIGNAL(SIGSEGV), peek(a, at));
	EXPECT_EQ(L(ELSEWHERE), call(a, lib_attach, apid, 0, PAGE, L(ELSEWHERE)));
	EXPECT_EQ(0, call(a, lib_release, apid));
	EXPECT_EQ(0, call(o, lib_remove, segid));

	EXPECT_ERRNO(ENOENT, call(o, lib_remove, segid));
	EXPECT_ERRNO(ENOENT, call(a, lib_release, apid));
	EXPECT_ERRNO(ENOENT, call(a, lib_get, segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, 0));
	EXPECT_ERRNO(EINVAL, call(o, lib_make, L(BASE), 0, XPMEM_PERMIT_MODE, 0600));
	EXPECT_ERRNO(ENOENT, call(a, lib_attach, apid, 0, PAGE, 0));
	EXPECT_LT(0, call(o, lib_make, L(BASE), L(XPMEM_MAXADDR_SIZE), XPMEM_PERMIT_MODE, 0600));
}

/* A child opens the device anew, and does not disturb its parent. */
TEST_F(library, child)
{
	struct peer *o = &self->owner, *a = &self->attacher, *child = &self->child;
	long segid, apid, at;

	segid = call(o, lib_make, L(BASE), SMALL, XPMEM_PERMIT_MODE, 0600);
	ASSERT_LT(0, segid);
	child->pid = call(o, op_fork, L(child));
	ASSERT_LT(0, child->pid);
	peer_started(child);
	apid = call(child, lib_get, segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, 0);
	ASSERT_LT(0, apid);
	at = call(child, lib_attach, apid, 0, SMALL, 0);
	ASSERT_LT(0, at);
	EXPECT_EQ(0, poke(child, at, 7));
	EXPECT_EQ(7, peek(o, L(BASE)));
	EXPECT_ERRNO(EACCES, call(child, lib_remove, segid));
	begin(child, op_exit, 0);
	EXPECT_EQ(child->pid, call(o, op_sys, __NR_wait4, child->pid, 0, 0, 0));
	child->pid = 0;
	EXPECT_LT(0, call(a, lib_get, segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, 0));
	EXPECT_EQ(0, call(o, lib_remove, segid));
}

static long op_close_all(const long *a)
{
	struct peer *keep = (struct peer *)a[0];
	int fd;

	for (fd = 3; fd < 64; fd++) {
		if (fd != keep->in && fd != keep->out)
			close(fd);
	}
	return 0;
}

/* Daemons close what they do not know, and have something else there then. */
TEST_F(library, descriptor_was_closed)
{
	struct peer *a = &self->attacher;
	long fd;

	EXPECT_EQ(0, call(a, lib_init));
	EXPECT_EQ(0, call(a, op_close_all, L(a)));
	EXPECT_LT(0, call(a, lib_make, L(BASE), SMALL, XPMEM_PERMIT_MODE, 0600));
	EXPECT_EQ(0, call(a, op_close_all, L(a)));
	do {
		fd = call(a, op_sys, __NR_openat, AT_FDCWD, L("/dev/null"), O_RDWR);
	} while (fd >= 0 && fd < 20);
	EXPECT_LT(0, call(a, lib_make, L(BASE), SMALL, XPMEM_PERMIT_MODE, 0600));
	/* That file is still there. */
	EXPECT_EQ(0, call(a, op_sys, __NR_close, fd));
}

struct lib_thread {
	pthread_t thread;
	pthread_barrier_t *together;
	long segid;
};

static void *lib_thread(void *arg)
{
	struct lib_thread *t = arg;

	pthread_barrier_wait(t->together);
	t->segid = xpmem_make(BASE, SMALL, XPMEM_PERMIT_MODE, (void *)0600);
	return NULL;
}

/* Threads that are all the first to use it: one process, all segments live. */
static long lib_threads(const long *a)
{
	struct lib_thread t[8];
	pthread_barrier_t together;
	long i, bad = 0;

	pthread_barrier_init(&together, NULL, 8);
	for (i = 0; i < 8; i++) {
		t[i].together = &together;
		if (pthread_create(&t[i].thread, NULL, lib_thread, &t[i]))
			return -1;
	}
	for (i = 0; i < 8; i++) {
		pthread_join(t[i].thread, NULL);
		bad += t[i].segid <= 0;
	}
	for (i = 0; i < 8; i++)
		bad += xpmem_remove(t[i].segid) != 0;
	return bad;
}

TEST_F(library, threads)
{
	struct peer *o = &self->owner, *child = &self->child;

	EXPECT_EQ(0, call(o, lib_threads));
	child->pid = call(o, op_fork, L(child));
	ASSERT_LT(0, child->pid);
	peer_started(child);
	/* All of them find that the descriptor is their parent's. */
	EXPECT_EQ(0, call(child, lib_threads));
	EXPECT_EQ(0, call(child, lib_threads));
	EXPECT_EQ(0, call(o, lib_threads));
}

/* What op_exec() has started: serves on the pipes that it is given. */
static int exec_peer(char **argv)
{
	struct peer p = { .in = atoi(argv[2]), .out = atoi(argv[3]) };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dev = atoi(argv[4]);
	peer_serve(&p);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "--peer"))
		return exec_peer(argv);
	if (access(XPMEM_DEV_PATH, F_OK)) {
		ksft_print_header();
		ksft_exit_skip("no " XPMEM_DEV_PATH ": needs CONFIG_XPMEM\n");
	}
	/* NUMA balancing changes entries unasked; a test that wants it turns it on. */
	put("/proc/sys/kernel/numa_balancing", "0");
	if (getenv("XPMEM_PATIENCE_MS"))
		patience_ms = atoi(getenv("XPMEM_PATIENCE_MS"));
	return test_harness_run(argc, argv);
}
