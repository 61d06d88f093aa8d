// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sample driver of the XPMEM kind, on a reliable network and on one that loses half
 * of the messages.
 */
#include "../kselftest_harness.h"

#include "mirror_util.h"

#define DEVICE		"/dev/xpmem_kind"
#define KIND_PARAM	"/sys/module/xpmem_kind/parameters/"
#define KIND_RACES	40

static void kind_prepare(unsigned int loss_percent)
{
	put(KIND_PARAM "latency_ms", "1");
	put(KIND_PARAM "loss_percent", "%u", loss_percent);
}

#include "kind_tests.h"

FIXTURE_VARIANT_ADD(kind, reliable) {};

FIXTURE_VARIANT_ADD(kind, lossy) {
	.loss_percent = 50,
};

/* References are dropped soon after the process has lost the pages. */
static bool exports(long pages)
{
	int i;

	for (i = 0; i < 500; i++) {
		if (number_of(KIND_PARAM "exported") == pages)
			return true;
		usleep(10000);
	}
	return false;
}

static int touch(int dev, char *mem, long value)
{
	int i, ret = 0;

	for (i = 0; i < PAGES; i++)
		ret |= dev_put(dev, mem + i * PAGE, value + i);
	return ret;
}

TEST_F(kind, references)
{
	ASSERT_TRUE(exports(0));
	ASSERT_EQ(0, touch(self->dev, self->mem, 1));
	EXPECT_EQ(PAGES, number_of(KIND_PARAM "exported"));
	ASSERT_EQ(0, munmap(self->mem, PAGE));
	EXPECT_TRUE(exports(PAGES - 1));
	ASSERT_EQ(0, madvise(self->mem + PAGE, LEN - PAGE, MADV_DONTNEED));
	EXPECT_TRUE(exports(0));

	ASSERT_EQ(self->mem, map_anon(self->mem, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, touch(self->dev, self->mem, 1));
	EXPECT_EQ(PAGES, number_of(KIND_PARAM "exported"));
	close(self->dev);
	EXPECT_EQ(0, number_of(KIND_PARAM "exported"));
	self->dev = open(DEVICE, O_RDWR | O_CLOEXEC);

	/* Reclaim does not wait for a worker that would drop them later. */
	if (!swap_is_on())
		return;
	ASSERT_EQ(0, touch(self->dev, self->mem, 1));
	ASSERT_EQ(PAGES, page_out(self->mem, PAGES));
	EXPECT_EQ(0, number_of(KIND_PARAM "exported"));
}

/* The child is another reader, and writer, of the parent's memory. */
TEST_F(kind, fork_and_cow)
{
	char *a = self->mem, *b = a + PAGE, *c = b + PAGE;
	struct child child;

	ASSERT_EQ(0, touch(self->dev, a, 1));
	ASSERT_GE(child_fork(&child), 0);
	if (!child.pid) {
		cpu_put(a, 20);
		if (dev_get(self->dev, a) != 1 || dev_put(self->dev, b, 30))
			_exit(1);
		child_go(child.to);
		if (!child_wait(child.from))
			_exit(2);
		if (cpu_get(a) != 20 || cpu_get(b) != 2 || cpu_get(c) != 3)
			_exit(3);
		if (dev_get(self->dev, c) != 40)
			_exit(4);
		_exit(0);
	}
	ASSERT_TRUE(child_wait(child.from));
	EXPECT_EQ(1, cpu_get(a));
	EXPECT_EQ(30, cpu_get(b));
	EXPECT_EQ(3, dev_get(self->dev, c));
	cpu_put(c, 40);
	EXPECT_EQ(40, dev_get(self->dev, c));
	child_go(child.to);
	EXPECT_EQ(0, child_end(&child));
}

TEST_F(kind, exit_while_mapped)
{
	struct child child;
	int i;

	for (i = 0; i < 4; i++) {
		ASSERT_GE(child_fork(&child), 0);
		if (!child.pid) {
			int dev = open(DEVICE, O_RDWR), fds[2];
			long value;

			if (touch(dev, self->mem, 1) || pipe(fds))
				_exit(1);
			if (i % 2 == 0)
				_exit(0);
			if (fork())
				_exit(0);
			close(fds[1]);
			if (read(fds[0], &value, 1))
				_exit(1);
			/* Its parent, whose memory it was, goes. */
			for (i = 0; i < 500 && dev_read(dev, self->mem, &value, 8) == 8; i++)
				usleep(1000);
			if (dev_read(dev, self->mem, &value, 8) != -1 || errno != ESRCH)
				_exit(1);
			if (exports(0))
				child_go(child.to);
			_exit(0);
		}
		if (i % 2)
			EXPECT_TRUE(child_wait(child.from));
		EXPECT_EQ(0, child_end(&child));
		EXPECT_TRUE(exports(0));
	}
}

/* Sent again until it is answered. */
TEST_F(kind, requests_lost)
{
	long resent = number_of(KIND_PARAM "resent");

	if (variant->loss_percent)
		return;
	ASSERT_EQ(0, dev_put(self->dev, self->mem, 1));
	put(KIND_PARAM "lose_requests", "3");
	ASSERT_EQ(0, madvise(self->mem, PAGE, MADV_DONTNEED));
	EXPECT_EQ(0, dev_get(self->dev, self->mem));
	EXPECT_EQ(0, number_of(KIND_PARAM "lose_requests"));
	EXPECT_LE(resent + 3, number_of(KIND_PARAM "resent"));
}

TEST_F(kind, acks_lost)
{
	long resent = number_of(KIND_PARAM "resent");
	int fd = memfd_create("kind", 0);
	char *mem;

	if (variant->loss_percent)
		return;
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, cpu_get(mem));
	ASSERT_EQ(0, dev_put(self->dev, mem, 1));
	put(KIND_PARAM "lose_acks", "3");
	EXPECT_EQ(1, page_out(mem, 1));
	EXPECT_EQ(0, number_of(KIND_PARAM "lose_acks"));
	EXPECT_LE(resent + 3, number_of(KIND_PARAM "resent"));
	EXPECT_EQ(1, cpu_get(mem));
	munmap(mem, PAGE);
	close(fd);
}

/*
 *	device				CPU
 *	looks page 1 up
 *					an invalidation of both pages, waits for page 0
 *	is given page 1: may not
 *					drops both
 */
TEST_F(kind, looked_up_before_invalidation)
{
	struct lookup l = { .dev = self->dev, .mem = self->mem + PAGE };
	pthread_t thread;

	if (variant->loss_percent)
		return;
	cpu_put(l.mem, 1);
	ASSERT_EQ(0, dev_put(self->dev, self->mem, 1));
	put(KIND_PARAM "fault_delay_us", "400000");
	put(KIND_PARAM "latency_ms", "500");
	ASSERT_EQ(0, pthread_create(&thread, NULL, lookup_thread, &l));
	usleep(100000);
	ASSERT_EQ(0, madvise(self->mem, 2 * PAGE, MADV_DONTNEED));
	put(KIND_PARAM "fault_delay_us", "0");
	put(KIND_PARAM "latency_ms", "1");
	pthread_join(thread, NULL);
	EXPECT_EQ(0, dev_get(self->dev, l.mem));
}

TEST_HARNESS_MAIN
