// SPDX-License-Identifier: GPL-2.0
/*
 * libxpmem: one descriptor of /dev/xpmem for the process, opened when it is needed.
 *
 * There is no lock, for a fork() in one thread would leave it locked in the child when
 * another thread has it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "xpmem.h"

static atomic_int device = -1;

static int open_device(void)
{
	return open(XPMEM_DEV_PATH, O_RDWR | O_CLOEXEC);
}

static int descriptor(void)
{
	int fd = atomic_load(&device), none = -1;

	if (fd >= 0)
		return fd;
	fd = open_device();
	if (fd < 0)
		return -1;
	/* A thread that was faster has won: what it opened may be in use. */
	if (!atomic_compare_exchange_strong(&device, &none, fd)) {
		close(fd);
		fd = none;
	}
	return fd;
}

/*
 * fd is our parent's, or that of the program that was here before an exec.  Put another
 * one in its place: its number is never free, so a thread that has read it reaches
 * no other file.  When several threads do this at once, each but the last one's
 * descriptor goes; but never the last of the process, on which the segments hang.
 */
static bool reopen(int fd)
{
	int fresh = open_device();
	bool done;

	if (fresh < 0)
		return false;
	done = dup3(fresh, fd, O_CLOEXEC) == fd;
	close(fresh);
	return done;
}

int xpmem_ioctl(unsigned long cmd, void *arg)
{
	int tries, fd, ret;

	for (tries = 0;; tries++) {
		fd = descriptor();
		if (fd < 0)
			return -1;
		ret = ioctl(fd, cmd, arg);
		if (ret >= 0 || tries == 3)
			return ret;

		switch (errno) {
		case XPMEM_ERRNO_NOPROC:
			if (!reopen(fd))
				return -1;
			break;
		case EBADF:
		case ENOTTY:
			/*
			 * The program has closed it, and perhaps opened something else
			 * there, as daemons do: not ours to close.
			 */
			atomic_compare_exchange_strong(&device, &fd, -1);
			break;
		default:
			return ret;
		}
	}
}

int xpmem_init(void)
{
	return descriptor() < 0 ? -1 : 0;
}

int xpmem_version(void)
{
	return xpmem_ioctl(XPMEM_CMD_VERSION, NULL);
}

xpmem_segid_t xpmem_make(void *vaddr, size_t size, int permit_type, void *permit_value)
{
	struct xpmem_cmd_make make = {
		.vaddr = (uintptr_t)vaddr,
		.size = size,
		.permit_type = permit_type,
		.permit_value = (uintptr_t)permit_value,
	};

	return xpmem_ioctl(XPMEM_CMD_MAKE, &make) < 0 ? -1 : make.segid;
}

int xpmem_remove(xpmem_segid_t segid)
{
	struct xpmem_cmd_remove remove = { .segid = segid };

	return xpmem_ioctl(XPMEM_CMD_REMOVE, &remove);
}

xpmem_apid_t xpmem_get(xpmem_segid_t segid, int flags, int permit_type, void *permit_value)
{
	struct xpmem_cmd_get get = {
		.segid = segid,
		.flags = flags,
		.permit_type = permit_type,
		.permit_value = (uintptr_t)permit_value,
	};

	return xpmem_ioctl(XPMEM_CMD_GET, &get) < 0 ? -1 : get.apid;
}

int xpmem_release(xpmem_apid_t apid)
{
	struct xpmem_cmd_release release = { .apid = apid };

	return xpmem_ioctl(XPMEM_CMD_RELEASE, &release);
}

void *xpmem_attach(struct xpmem_addr addr, size_t size, void *vaddr)
{
	struct xpmem_cmd_attach attach = {
		.apid = addr.apid,
		.offset = addr.offset,
		.size = size,
		.vaddr = (uintptr_t)vaddr,
		.fd = -1,
	};

	if (xpmem_ioctl(XPMEM_CMD_ATTACH, &attach) < 0)
		return (void *)-1;
	return (void *)(uintptr_t)attach.vaddr;
}

int xpmem_detach(void *vaddr)
{
	struct xpmem_cmd_detach detach = { .vaddr = (uintptr_t)vaddr };

	return xpmem_ioctl(XPMEM_CMD_DETACH, &detach);
}
