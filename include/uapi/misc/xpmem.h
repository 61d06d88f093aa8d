/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
#ifndef _UAPI_MISC_XPMEM_H
#define _UAPI_MISC_XPMEM_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * /dev/xpmem: a process shows a part of its address space to others, which map it.
 * 64-bit callers only.  See Documentation/misc-devices/xpmem.rst.
 */
#define XPMEM_DEV_PATH		"/dev/xpmem"

/* What XPMEM_CMD_VERSION returns: major, minor, revision. */
#define XPMEM_CURRENT_VERSION	0x00027000

/* struct xpmem_cmd_make, @size: up to the end of the address space */
#define XPMEM_MAXADDR_SIZE	(~(__u64)0)

/* @permit_type: @permit_value is a mode as of chmod(2), or for a get 0 */
#define XPMEM_PERMIT_MODE	0x1

/* struct xpmem_cmd_get, @flags: one of these */
#define XPMEM_RDONLY		0x1
#define XPMEM_RDWR		0x2

/* The errno of a process with a descriptor that another process has opened. */
#define XPMEM_ERRNO_NOPROC	2004

/* A segment: what is shown.  An id is never valid again once it is gone. */
struct xpmem_cmd_make {
	__u64 vaddr;		/* page-aligned */
	__u64 size;		/* bytes, whole pages, or XPMEM_MAXADDR_SIZE */
	__s32 permit_type;	/* XPMEM_PERMIT_MODE */
	__u32 reserved;		/* ignored */
	__u64 permit_value;	/* at most 0777 */
	__s64 segid;		/* out */
};

struct xpmem_cmd_remove {
	__s64 segid;
};

/* A permit: the right to map a segment, of the process that asked for it. */
struct xpmem_cmd_get {
	__s64 segid;
	__s32 flags;
	__s32 permit_type;	/* XPMEM_PERMIT_MODE */
	__u64 permit_value;	/* 0 */
	__s64 apid;		/* out */
};

struct xpmem_cmd_release {
	__s64 apid;
};

/* An attachment: a mapping of a part of a segment. */
struct xpmem_cmd_attach {
	__s64 apid;
	__s64 offset;		/* bytes into the segment, page-aligned */
	__u64 size;		/* bytes, rounded up to whole pages */
	__u64 vaddr;		/* in: where, page-aligned, or 0; out: where it is */
	__s32 fd;		/* ignored */
	__s32 flags;		/* 0 */
};

struct xpmem_cmd_detach {
	__u64 vaddr;		/* anywhere in the attachment */
};

#define XPMEM_CMD_VERSION	_IO('x', 0)
#define XPMEM_CMD_MAKE		_IO('x', 1)
#define XPMEM_CMD_REMOVE	_IO('x', 2)
#define XPMEM_CMD_GET		_IO('x', 3)
#define XPMEM_CMD_RELEASE	_IO('x', 4)
#define XPMEM_CMD_ATTACH	_IO('x', 5)
#define XPMEM_CMD_DETACH	_IO('x', 6)
/* For old callers: nothing has to be done around a fork(). */
#define XPMEM_CMD_FORK_BEGIN	_IO('x', 7)
#define XPMEM_CMD_FORK_END	_IO('x', 8)

#endif /* _UAPI_MISC_XPMEM_H */
