/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is true of the sample drivers of both kinds: the device and the process see the
 * same memory, whatever happens to it, and nothing is pinned.  A file that includes this defines
 * DEVICE, KIND_PARAM, KIND_RACES, kind_prepare() and the variants.
 */
#ifndef KIND_TESTS_H
#define KIND_TESTS_H

#include <pthread.h>

#include "kind_util.h"

FIXTURE(kind) {
	int dev;
	char *mem;
};

FIXTURE_VARIANT(kind) {
	unsigned int loss_percent;
};

FIXTURE_SETUP(kind)
{
	kind_prepare(variant->loss_percent);
	self->dev = open(DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_GE(self->dev, 0) {
		TH_LOG("no " DEVICE ", see samples/mmu_notifier");
	}
	self->mem = map_anon(NULL, PROT_READ | PROT_WRITE);
	ASSERT_NE(MAP_FAILED, self->mem);
}

FIXTURE_TEARDOWN(kind)
{
	if (self->dev >= 0)
		close(self->dev);
	munmap(self->mem, LEN);
}

TEST_F(kind, both_ways)
{
	char buf[64], *mid = self->mem + PAGE - 20;
	int i;

	/* Nothing is there yet, then the zero page, then a page. */
	EXPECT_EQ(0, dev_get(self->dev, self->mem));
	cpu_put(self->mem, 1);
	EXPECT_EQ(1, dev_get(self->dev, self->mem));
	for (i = 2; i < 10; i += 2) {
		ASSERT_EQ(0, dev_put(self->dev, self->mem, i));
		EXPECT_EQ(i, cpu_get(self->mem));
		cpu_put(self->mem, i + 1);
		EXPECT_EQ(i + 1, dev_get(self->dev, self->mem));
	}

	/* Across two pages, the second of which only the device has touched. */
	memset(buf, 'x', sizeof(buf));
	ASSERT_EQ(sizeof(buf), dev_write(self->dev, mid, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(mid, buf, sizeof(buf)));
	memset(mid, 'y', sizeof(buf));
	ASSERT_EQ(sizeof(buf), dev_read(self->dev, mid, buf, sizeof(buf)));
	EXPECT_EQ(0, memcmp(mid, buf, sizeof(buf)));
	EXPECT_EQ(0, mid[-1]);
	EXPECT_EQ(0, mid[sizeof(buf)]);
}

TEST_F(kind, never_sees_old_memory)
{
	char *other;

	/* Mapped anew at the same address, with and without a hole in time. */
	ASSERT_EQ(0, dev_put(self->dev, self->mem, 1));
	munmap(self->mem, LEN);
	EXPECT_ERRNO(EFAULT, dev_read(self->dev, self->mem, &other, 8));
	EXPECT_ERRNO(EFAULT, dev_write(self->dev, self->mem, &other, 8));
	ASSERT_EQ(self->mem, map_anon(self->mem, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, dev_get(self->dev, self->mem));
	ASSERT_EQ(0, dev_put(self->dev, self->mem, 2));
	EXPECT_EQ(2, cpu_get(self->mem));
	ASSERT_EQ(self->mem, map_anon(self->mem, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, dev_get(self->dev, self->mem));

	/* Zapped. */
	ASSERT_EQ(0, dev_put(self->dev, self->mem, 3));
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DONTNEED));
	EXPECT_EQ(0, dev_get(self->dev, self->mem));
	EXPECT_EQ(0, cpu_get(self->mem));

	/* Moved. */
	ASSERT_EQ(0, dev_put(self->dev, self->mem, 4));
	other = mremap(self->mem, LEN, LEN, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	ASSERT_NE(MAP_FAILED, other);
	EXPECT_EQ(0, dev_get(self->dev, self->mem));
	EXPECT_EQ(4, dev_get(self->dev, other));
	ASSERT_EQ(0, dev_put(self->dev, other, 5));
	EXPECT_EQ(5, cpu_get(other));
	munmap(other, LEN);
}

TEST_F(kind, swapped_and_not_pinned)
{
	int i, round;

	if (!swap_is_on())
		SKIP(return, "no swap, see mirror.sh");
	for (round = 1; round < 4; round++) {
		for (i = 0; i < PAGES; i++)
			ASSERT_EQ(0, dev_put(self->dev, self->mem + i * PAGE,
					     round * 1000 + i));
		ASSERT_EQ(PAGES, page_out(self->mem, PAGES));
		for (i = 0; i < PAGES; i += 2)
			EXPECT_EQ(round * 1000 + i,
				  dev_get(self->dev, self->mem + i * PAGE));
		for (i = 0; i < PAGES; i++)
			EXPECT_EQ(round * 1000 + i, cpu_get(self->mem + i * PAGE));
	}
}

TEST_F(kind, two_openers)
{
	int second = open(DEVICE, O_RDWR | O_CLOEXEC);
	struct child child;

	ASSERT_GE(second, 0);
	ASSERT_EQ(0, dev_put(self->dev, self->mem, 1));
	EXPECT_EQ(1, dev_get(second, self->mem));
	ASSERT_EQ(0, dev_put(second, self->mem, 2));
	EXPECT_EQ(2, dev_get(self->dev, self->mem));

	/* The same address in another process. */
	ASSERT_GE(child_fork(&child), 0);
	if (!child.pid) {
		int own = open(DEVICE, O_RDWR | O_CLOEXEC);

		if (dev_put(own, self->mem, 3) || cpu_get(self->mem) != 3)
			_exit(1);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&child));
	EXPECT_EQ(2, dev_get(second, self->mem));

	/* The one that stays is told of everything. */
	close(second);
	ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DONTNEED));
	EXPECT_EQ(0, dev_get(self->dev, self->mem));
}

TEST_F(kind, closed_while_mapped)
{
	int i;

	for (i = 1; i < 20; i++) {
		ASSERT_EQ(0, dev_put(self->dev, self->mem, i));
		close(self->dev);
		EXPECT_EQ(i, cpu_get(self->mem));
		self->dev = open(DEVICE, O_RDWR | O_CLOEXEC);
		ASSERT_GE(self->dev, 0);
		EXPECT_EQ(i, dev_get(self->dev, self->mem));
	}
}

TEST_F(kind, bad_arguments)
{
	char *end = self->mem + LEN - PAGE;
	char buf[2 * PAGE];

	/* No memory there. */
	munmap(end, PAGE);
	EXPECT_ERRNO(EFAULT, dev_read(self->dev, end, buf, 1));
	EXPECT_ERRNO(EFAULT, dev_write(self->dev, end, buf, 1));
	EXPECT_ERRNO(EFAULT, dev_read(self->dev, NULL, buf, 1));
	/* As much as there is. */
	EXPECT_EQ(10, dev_read(self->dev, end - 10, buf, sizeof(buf)));
	EXPECT_EQ(10, dev_write(self->dev, end - 10, buf, sizeof(buf)));
	EXPECT_EQ(0, dev_read(self->dev, end, buf, 0));

	/* The kernel's addresses. */
	EXPECT_ERRNO(EFAULT, dev_read(self->dev, (void *)(1ul << 47), buf, 1));
	EXPECT_ERRNO(EFAULT, dev_write(self->dev, (void *)(1ul << 62), buf, 1));
	EXPECT_ERRNO(EINVAL, dev_read(self->dev, (void *)0xffff888000000000, buf, 1));

	/* The device can do what the process can. */
	ASSERT_EQ(0, dev_put(self->dev, self->mem, 1));
	ASSERT_EQ(0, mprotect(self->mem, PAGE, PROT_READ));
	EXPECT_EQ(1, dev_get(self->dev, self->mem));
	EXPECT_ERRNO(EFAULT, dev_write(self->dev, self->mem, buf, 1));
	ASSERT_EQ(0, mprotect(self->mem, PAGE, PROT_NONE));
	EXPECT_ERRNO(EFAULT, dev_read(self->dev, self->mem, buf, 1));
	ASSERT_EQ(0, mprotect(self->mem, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(1, cpu_get(self->mem));

	/* A buffer that is none. */
	EXPECT_ERRNO(EFAULT, dev_read(self->dev, self->mem, end, 8));
	EXPECT_ERRNO(EFAULT, dev_write(self->dev, self->mem, end, 8));
	EXPECT_EQ(1, cpu_get(self->mem));
}

/* What only the device has written is written back, the first time and again. */
TEST_F(kind, written_back)
{
	int fd = ext4_file();
	char *mem;

	if (fd < 0)
		SKIP(return, "no ext4, see mirror.sh");
	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, dev_put(self->dev, mem, 1));
	ASSERT_EQ(0, msync(mem, LEN, MS_SYNC));
	/* The page is clean now: the device has to ask for it anew. */
	ASSERT_EQ(0, dev_put(self->dev, mem, 2));
	munmap(mem, LEN);
	ASSERT_EQ(0, fsync(fd));
	EXPECT_EQ(2, disk_get(fd, 0));
	close(fd);
}

struct lookup {
	int dev;
	char *mem;
};

static void *lookup_thread(void *arg)
{
	struct lookup *l = arg;

	dev_get(l->dev, l->mem);
	return NULL;
}

/*
 *	device			CPU
 *	looks the page up
 *				gets another page there, and writes to it
 *	maps the page: may not
 */
TEST_F(kind, looked_up_too_early)
{
	struct lookup l = { .dev = self->dev, .mem = self->mem };
	struct child child;
	pthread_t thread;
	int cow;

	for (cow = 0; cow < 2; cow++) {
		/* The device has nothing there. */
		ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DONTNEED));
		cpu_put(self->mem, 1);
		/* Another process shares the page: a write copies it. */
		ASSERT_GE(child_fork(&child), 0);
		if (!child.pid)
			_exit(!child_wait(child.from));
		/* So long that it lasts on a busy machine, too. */
		put(KIND_PARAM "fault_delay_us", "1000000");
		ASSERT_EQ(0, pthread_create(&thread, NULL, lookup_thread, &l));
		usleep(100000);
		if (!cow)
			ASSERT_EQ(0, madvise(self->mem, LEN, MADV_DONTNEED));
		cpu_put(self->mem, 2);
		put(KIND_PARAM "fault_delay_us", "0");
		pthread_join(thread, NULL);
		EXPECT_EQ(2, dev_get(self->dev, self->mem));
		child_go(child.to);
		EXPECT_EQ(0, child_end(&child));
	}
}

struct race {
	int dev;
	char *mem;
	volatile bool stop;
	long rounds;
	bool failed;
};

/* Counts in memory, by the device alone: each step reads what the last one wrote. */
static void *race_thread(void *arg)
{
	struct race *r = arg;

	for (; !r->stop && !r->failed; r->rounds++) {
		char *at = r->mem + r->rounds % PAGES * PAGE;

		r->failed = dev_get(r->dev, at) != r->rounds / PAGES ||
			    dev_put(r->dev, at, r->rounds / PAGES + 1);
	}
	return NULL;
}

TEST_F_TIMEOUT(kind, nothing_lost_in_races, 300)
{
	struct race r = { .dev = self->dev, .mem = self->mem };
	struct child child;
	pthread_t thread;
	int i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, race_thread, &r));
	for (i = 0; i < KIND_RACES; i++) {
		madvise(self->mem, LEN, MADV_PAGEOUT);
		put("/proc/self/clear_refs", "4");
		mprotect(self->mem, LEN, PROT_READ | PROT_WRITE | (i & 1) * PROT_EXEC);
		if (i % 20)
			continue;
		ASSERT_GE(child_fork(&child), 0);
		if (!child.pid) {
			memset(self->mem, 0xff, LEN);
			_exit(0);
		}
		EXPECT_EQ(0, child_end(&child));
	}
	r.stop = true;
	pthread_join(thread, NULL);
	EXPECT_FALSE(r.failed);
	EXPECT_LT(PAGES, r.rounds);
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ((r.rounds + PAGES - 1 - i) / PAGES,
			  cpu_get(self->mem + i * PAGE));
}

/*
 * The CPU has only read the page, a hole in a file: its entry says that it is clean.
 * Taken for clean, it would be dropped, and read as zero.
 */
TEST_F(kind, dirty_by_the_device_alone)
{
	int fd = memfd_create("kind", 0), i;
	char *mem;

	if (!swap_is_on())
		SKIP(return, "no swap, see mirror.sh");
	ASSERT_EQ(0, ftruncate(fd, LEN));
	mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	for (i = 0; i < PAGES; i++) {
		EXPECT_EQ(0, cpu_get(mem + i * PAGE));
		ASSERT_EQ(0, dev_put(self->dev, mem + i * PAGE, i + 1));
	}
	EXPECT_EQ(PAGES, page_out(mem, PAGES));
	for (i = 0; i < PAGES; i++)
		EXPECT_EQ(i + 1, cpu_get(mem + i * PAGE));
	munmap(mem, LEN);
	close(fd);
}

#endif /* KIND_TESTS_H */
