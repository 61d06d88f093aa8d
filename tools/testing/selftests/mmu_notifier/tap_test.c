// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tap itself: what it refuses, and the orders in which it, the subscriber
 * that it taps and the process can go away. Its counters are the evidence in
 * the other tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "tests/mmu_notifier_tap.h"

#define PAGE	4096ul

static int open_tap(void)
{
	return open("/dev/mmu_notifier_tap", O_RDWR | O_CLOEXEC);
}

/* A virtual machine is a subscriber of the process that created it. */
static int create_vm(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	close(kvm);
	return vm;
}

/* One invalidation at least (copy on write adds more): a page that is there goes. */
static void touch_and_unmap(void)
{
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	munmap(p, PAGE);
}

FIXTURE(tap) {
	int tap;
	int vm;
};

FIXTURE_SETUP(tap)
{
	self->tap = open_tap();
	ASSERT_GE(self->tap, 0);
	self->vm = create_vm();
	ASSERT_GE(self->vm, 0);
}

FIXTURE_TEARDOWN(tap)
{
	if (self->tap >= 0)
		close(self->tap);
	if (self->vm >= 0)
		close(self->vm);
}

#define EXPECT_ERRNO(error, call) do {	\
	EXPECT_EQ(-1, (call));		\
	EXPECT_EQ(error, errno);	\
} while (0)

TEST_F(tap, one_at_a_time)
{
	EXPECT_ERRNO(EBUSY, open_tap());
	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
	EXPECT_ERRNO(EBUSY, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
}

TEST_F(tap, no_subscriber_to_tap)
{
	close(self->vm);
	self->vm = -1;
	EXPECT_ERRNO(ENOENT, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));

	/* The failure left nothing behind. */
	self->vm = create_vm();
	EXPECT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
}

TEST_F(tap, not_attached)
{
	struct mmu_notifier_tap_stats stats;

	EXPECT_ERRNO(ENXIO, ioctl(self->tap, MMU_NOTIFIER_TAP_STATS, &stats));
	EXPECT_ERRNO(ENXIO, ioctl(self->tap, MMU_NOTIFIER_TAP_BUST, 0));
}

TEST_F(tap, bad_arguments)
{
	struct mmu_notifier_tap_pinned bad[] = {
		{ .addr = PAGE, .len = 0 },
		{ .addr = PAGE + 1, .len = PAGE },
		{ .addr = PAGE, .len = PAGE + 1 },
		{ .addr = -PAGE, .len = PAGE },
		{ .addr = PAGE, .len = -PAGE },
	};
	struct mmu_notifier_tap_pinned big = { .addr = PAGE, .len = 1ull << 40 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_ERRNO(EINVAL, ioctl(self->tap, MMU_NOTIFIER_TAP_PINNED, &bad[i]));
	EXPECT_ERRNO(E2BIG, ioctl(self->tap, MMU_NOTIFIER_TAP_PINNED, &big));
	EXPECT_ERRNO(EFAULT, ioctl(self->tap, MMU_NOTIFIER_TAP_PINNED, NULL));
	EXPECT_ERRNO(ENOTTY, ioctl(self->tap, _IO('N', 0xef)));

	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
	EXPECT_ERRNO(EINVAL, ioctl(self->tap, MMU_NOTIFIER_TAP_BUST, 0x80));
	EXPECT_ERRNO(EFAULT, ioctl(self->tap, MMU_NOTIFIER_TAP_STATS, NULL));
}

TEST_F(tap, counts_present_pages)
{
	struct mmu_notifier_tap_pinned p = { .len = 4 * PAGE };
	char *mem = mmap(NULL, p.len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, mem);
	p.addr = (unsigned long)mem;
	mem[0] = 1;
	mem[2 * PAGE] = 1;
	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_PINNED, &p));
	EXPECT_EQ(2, p.present);
	EXPECT_EQ(0, p.pinned);
}

TEST_F(tap, counts_pairs_and_one_release)
{
	struct mmu_notifier_tap_stats before, after;

	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_STATS, &before));
	touch_and_unmap();
	close(self->vm);
	self->vm = -1;
	/* Nothing is tapped any more, the counters can still be read. */
	touch_and_unmap();
	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_STATS, &after));
	EXPECT_LT(before.starts, after.starts);
	EXPECT_EQ(after.starts, after.ends);
	EXPECT_EQ(0, after.unpaired);
	EXPECT_EQ(0, after.withheld);
	EXPECT_EQ(1, after.released);
}

TEST_F(tap, withholds_when_busted)
{
	struct mmu_notifier_tap_stats stats;
	int i;

	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_BUST, MMU_NOTIFIER_TAP_KEEP_UNMAP));
	for (i = 0; i < 1000; i++)
		touch_and_unmap();
	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_STATS, &stats));
	EXPECT_LT(stats.withheld, 1000);
	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_BUST, 0));
	for (i = 0; i < 1000; i++)
		touch_and_unmap();
	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_STATS, &stats));
	EXPECT_GE(stats.withheld, 2000);
	EXPECT_EQ(stats.starts, stats.ends);
}

TEST_F(tap, detach_and_attach_again)
{
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
		touch_and_unmap();
		close(self->tap);
		self->tap = open_tap();
		ASSERT_GE(self->tap, 0);
	}
}

/* The child leaves everything to exit: first the mm goes, then the files. */
static void exit_attached(struct __test_metadata *_metadata, bool tap_first,
			  unsigned long bust)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		/* Files are closed in the order of their numbers. */
		int first = tap_first ? open_tap() : create_vm();
		int second = tap_first ? create_vm() : open_tap();
		int tap = tap_first ? first : second;

		if (first < 0 || second < 0 || ioctl(tap, MMU_NOTIFIER_TAP_ATTACH))
			_exit(1);
		if (bust && ioctl(tap, MMU_NOTIFIER_TAP_BUST, 0))
			_exit(2);
		touch_and_unmap();
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(tap, process_exits)
{
	int i;

	close(self->tap);
	for (i = 0; i < 5; i++) {
		exit_attached(_metadata, false, 0);
		exit_attached(_metadata, true, 0);
		exit_attached(_metadata, false, 1);
		exit_attached(_metadata, true, 1);
	}
	self->tap = open_tap();
	EXPECT_GE(self->tap, 0);
}

/* Another process closes the tap, and the tapped process may be gone by then. */
TEST_F(tap, inherited_by_a_child)
{
	int fds[2], status;
	pid_t child;
	char c;

	ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
	ASSERT_EQ(0, pipe(fds));
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		close(fds[1]);
		/* Returns when the parent has closed its end. */
		_exit(read(fds[0], &c, 1));
	}
	close(self->tap);
	close(self->vm);
	self->vm = -1;
	touch_and_unmap();
	close(fds[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	close(fds[0]);
	self->tap = open_tap();
	EXPECT_GE(self->tap, 0);
}

/* Callbacks run on another CPU while the tap comes and goes. */
TEST_F_TIMEOUT(tap, attach_under_reclaim, 120)
{
	size_t len = 512 * PAGE;
	char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile char *ready = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct mmu_notifier_tap_stats stats;
	pid_t child;
	int i, j;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_NE(MAP_FAILED, ready);
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		close(self->tap);
		/* Punching holes invalidates the parent's mapping as well. */
		for (;;) {
			madvise(mem, len, MADV_REMOVE);
			*ready = 1;
		}
	}
	while (!*ready)
		usleep(1000);
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_ATTACH));
		for (j = 0; j < 512; j++)
			mem[j * PAGE] = 1;
		for (j = 0; j < 50; j++) {
			ASSERT_EQ(0, ioctl(self->tap, MMU_NOTIFIER_TAP_STATS, &stats));
			EXPECT_EQ(0, stats.unpaired);
			EXPECT_EQ(stats.starts, stats.ends + stats.open);
		}
		close(self->tap);
		self->tap = open_tap();
		ASSERT_GE(self->tap, 0);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

TEST_HARNESS_MAIN
