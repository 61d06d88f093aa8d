// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linked into a program, or preloaded as a shared object: attaches mirrors to it
 * before main(), one of each flavour in $MMU_NOTIFIER_ATTACH ("list,interval"),
 * and to its children.  They map what the program maps in the upper 128 MiB of its
 * mappings, without faulting anything in and without a reference to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/mmu_notifier_mirror.h"

static const char * const names[] = { "list", "page", "interval", "tlb" };
static int fds[MIRROR_FLAVOURS];

static void fail(const char *what)
{
	fprintf(stderr, "attach: %s: %s\n", what, strerror(errno));
	_exit(1);
}

/* The first free address from above: what the program maps will lie below. */
static void attach(int flavour)
{
	struct mirror_threads job = { .nr = 1, .follow = 1 };
	struct mirror_attach where = { .flavour = flavour };
	size_t size = 128UL << 20;
	char *probe;

	probe = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (probe == MAP_FAILED)
		fail("mmap");
	munmap(probe, 1);
	where.end = ((uintptr_t)probe + (2UL << 20)) & -(2UL << 20);
	where.start = where.end - size;
	fds[flavour] = open("/dev/mmu_notifier_mirror", O_RDWR | O_CLOEXEC);
	if (fds[flavour] < 0)
		fail("/dev/mmu_notifier_mirror");
	/* Tests may count on low descriptors. */
	if (fds[flavour] < 900) {
		int fd = fcntl(fds[flavour], F_DUPFD_CLOEXEC, 900);

		if (fd >= 0) {
			close(fds[flavour]);
			fds[flavour] = fd;
		}
	}
	if (ioctl(fds[flavour], MIRROR_ATTACH, &where))
		fail("MIRROR_ATTACH");
	if (ioctl(fds[flavour], MIRROR_THREADS, &job))
		fail("MIRROR_THREADS");
}

static void attach_all(void)
{
	const char *wanted = getenv("MMU_NOTIFIER_ATTACH");
	int i;

	for (i = 0; wanted && i < MIRROR_FLAVOURS; i++)
		if (strstr(wanted, names[i]))
			attach(i);
}

/* The parent's are not the child's: they would outlive the parent with it. */
static void in_child(void)
{
	int i;

	for (i = 0; i < MIRROR_FLAVOURS; i++) {
		if (fds[i])
			close(fds[i]);
		fds[i] = 0;
	}
	attach_all();
}

static __attribute__((constructor)) void at_start(void)
{
	attach_all();
	if (getenv("MMU_NOTIFIER_ATTACH"))
		pthread_atfork(NULL, NULL, in_child);
}
