// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sample driver of the GRU and KVM kind.
 */
#include <sched.h>

#include "../kselftest_harness.h"

#define DEVICE		"/dev/gru_kind"
#define KIND_PARAM	"/sys/module/gru_kind/parameters/"
#define KIND_RACES	300

static void kind_prepare(unsigned int loss_percent)
{
}

#include "kind_tests.h"

FIXTURE_VARIANT_ADD(kind, gru) {};

/* The bit of the page in the bitmap of idle pages, as it is then. */
static bool idle(int fd, char *mem, bool set)
{
	uint64_t pfn = pagemap(mem) & ((1ull << 55) - 1);
	uint64_t bit = 1ull << (pfn % 64), word = 0;

	if (!pfn || (set && pwrite(fd, &bit, 8, pfn / 64 * 8) != 8) ||
	    pread(fd, &word, 8, pfn / 64 * 8) != 8)
		return false;
	return word & bit;
}

/*
 * A page that can be tracked, or NULL.  Only pages on an LRU list are, and the ones here
 * are on their way there, in a CPU's batch: compaction drains all CPUs'.  Those in the
 * last 64 of memory, if they are less, have no bit: more than that are asked.
 */
#define CANDIDATES	128

static char *tracked(int fd, int dev, char *mem)
{
	int compact = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);
	char *p;
	int i;

	for (i = 0; i < 10; i++) {
		for (p = mem; p < mem + CANDIDATES * PAGE; p += PAGE) {
			if (!i && dev_put(dev, p, 1))
				return NULL;
			if (idle(fd, p, true))
				break;
		}
		if (p < mem + CANDIDATES * PAGE)
			break;
		if (compact < 0 || write(compact, "1", 1) != 1)
			usleep(1000);
	}
	if (compact >= 0)
		close(compact);
	return i < 10 ? p : NULL;
}

/* A page that only the device uses is not idle. */
TEST_F(kind, ages)
{
	char *mem, *p;
	int fd;

	fd = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "no idle page tracking");
	mem = mmap(NULL, CANDIDATES * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	p = tracked(fd, self->dev, mem);
	ASSERT_NE(NULL, p);
	EXPECT_TRUE(idle(fd, p, false));
	EXPECT_EQ(1, dev_get(self->dev, p));
	EXPECT_FALSE(idle(fd, p, false));
	EXPECT_TRUE(idle(fd, p, true));
	munmap(mem, CANDIDATES * PAGE);
	close(fd);
}

/* After a fork each has its own copy, and the device the parent's. */
TEST_F(kind, fork_and_cow)
{
	char *a = self->mem, *b = a + PAGE, *c = b + PAGE;
	struct child child;
	long value;

	ASSERT_EQ(0, dev_put(self->dev, a, 1));
	ASSERT_EQ(0, dev_put(self->dev, b, 1));
	ASSERT_EQ(0, dev_put(self->dev, c, 1));
	ASSERT_GE(child_fork(&child), 0);
	if (!child.pid) {
		/* The device is not the child's. */
		if (dev_read(self->dev, a, &value, 8) != -1 || errno != EIO)
			_exit(1);
		cpu_put(a, 2);
		child_go(child.to);
		if (!child_wait(child.from))
			_exit(2);
		if (cpu_get(a) != 2 || cpu_get(b) != 1 || cpu_get(c) != 1)
			_exit(3);
		_exit(0);
	}
	ASSERT_TRUE(child_wait(child.from));
	/* What the child has written no other process sees. */
	EXPECT_EQ(1, dev_get(self->dev, a));
	/* What the device writes the child does not see. */
	ASSERT_EQ(0, dev_put(self->dev, b, 3));
	EXPECT_EQ(3, cpu_get(b));
	/* What the parent writes, to a page that the device reads, it sees. */
	EXPECT_EQ(1, dev_get(self->dev, c));
	cpu_put(c, 4);
	EXPECT_EQ(4, dev_get(self->dev, c));
	child_go(child.to);
	EXPECT_EQ(0, child_end(&child));
}

/* The file outlives the memory: another process has inherited it. */
TEST_F(kind, exit_while_mapped)
{
	struct child child;
	int i;

	for (i = 0; i < 5; i++) {
		ASSERT_GE(child_fork(&child), 0);
		if (!child.pid) {
			int dev = open(DEVICE, O_RDWR), fds[2];
			long value;

			if (dev_put(dev, self->mem, 1) || pipe(fds))
				_exit(1);
			if (i % 2 == 0)
				_exit(0);
			/* The grandchild's answer is the exit status that counts. */
			if (fork())
				_exit(0);
			close(fds[1]);
			if (read(fds[0], &value, 1))
				_exit(1);
			/* Its parent is gone, or about to. */
			usleep(20000);
			if (dev_read(dev, self->mem, &value, 8) != -1 || errno != EIO)
				_exit(1);
			child_go(child.to);
			_exit(0);
		}
		if (i % 2)
			EXPECT_TRUE(child_wait(child.from));
		EXPECT_EQ(0, child_end(&child));
	}
}

TEST_HARNESS_MAIN
