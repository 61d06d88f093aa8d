/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libxpmem: the calls that programs use in place of the ioctls of /dev/xpmem.  Each
 * returns -1, or for an attachment (void *)-1, and errno when it fails.
 */
#ifndef XPMEM_H
#define XPMEM_H

#include <stddef.h>
#include <sys/types.h>

#include <misc/xpmem.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef __s64 xpmem_segid_t;
typedef __s64 xpmem_apid_t;

/* A place in a segment. */
struct xpmem_addr {
	xpmem_apid_t apid;
	off_t offset;
};

/* Opens the device.  Not needed: every other call does it. */
int xpmem_init(void);
int xpmem_version(void);

/* Owner.  @permit_value is a mode, cast to a pointer: (void *)0600. */
xpmem_segid_t xpmem_make(void *vaddr, size_t size, int permit_type, void *permit_value);
int xpmem_remove(xpmem_segid_t segid);

/* Attacher.  @flags is XPMEM_RDONLY or XPMEM_RDWR, @permit_value is NULL. */
xpmem_apid_t xpmem_get(xpmem_segid_t segid, int flags, int permit_type, void *permit_value);
int xpmem_release(xpmem_apid_t apid);
void *xpmem_attach(struct xpmem_addr addr, size_t size, void *vaddr);
int xpmem_detach(void *vaddr);

/* What the others are made of: @cmd is an XPMEM_CMD_*, @arg its struct. */
int xpmem_ioctl(unsigned long cmd, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* XPMEM_H */
