/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DEVICE_RW_H
#define DEVICE_RW_H

#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/uio.h>

/*
 * pread() and pwrite() of the samples' devices: accesses at the address that the file
 * offset says.
 * @access: a load or a store within a page; false: it faults
 * @fault: of the page at an address; then @access is tried again
 */
static inline ssize_t
device_rw(struct kiocb *iocb, struct iov_iter *iter,
	  bool (*access)(void *device, unsigned long addr, void *buf, size_t len, bool write),
	  int (*fault)(void *device, unsigned long addr, bool write))
{
	void *device = iocb->ki_filp->private_data;
	bool write = iov_iter_rw(iter) == WRITE;
	loff_t begin = iocb->ki_pos;
	void *buf;
	int ret = 0;

	buf = (void *)__get_free_page(GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	while (!ret && iov_iter_count(iter)) {
		unsigned long addr = iocb->ki_pos;
		size_t n = min(iov_iter_count(iter), PAGE_SIZE - offset_in_page(addr));

		if (write && copy_from_iter(buf, n, iter) != n)
			ret = -EFAULT;
		while (!ret && !access(device, addr, buf, n, write))
			ret = fault(device, addr & PAGE_MASK, write);
		if (!ret && !write && copy_to_iter(buf, n, iter) != n)
			ret = -EFAULT;
		if (!ret)
			iocb->ki_pos += n;
	}
	free_page((unsigned long)buf);
	return iocb->ki_pos - begin ?: ret;
}

#endif /* DEVICE_RW_H */
