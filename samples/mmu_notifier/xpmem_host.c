// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other host of the XPMEM kind, in software.  Messages to it, and its
 * acknowledgements, take their time, and some are lost.
 *
 * pread() and pwrite() on /dev/xpmem_kind are its loads and stores in memory of the
 * process that opened the device; the file offset is the address.
 */
#include <linux/delay.h>
#include <linux/export_notifier.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "device_rw.h"
#include "xpmem_kind.h"

static unsigned int latency_ms = 1;
module_param(latency_ms, uint, 0644);
static unsigned int loss_percent = 10;
module_param(loss_percent, uint, 0644);
/* The next so many are lost, for tests. */
static unsigned int lose_requests;
module_param(lose_requests, uint, 0644);
static unsigned int lose_acks;
module_param(lose_acks, uint, 0644);
/* How often something was sent again. */
static unsigned long resent;
module_param(resent, ulong, 0444);

static bool is_lost(unsigned int *next)
{
	if (!*next)
		return get_random_u32_below(100) < min(loss_percent, 90U);
	(*next)--;
	return true;
}

/*
 * Have @entries unmapped, or write-protected: in one message, which is sent again until
 * it is acknowledged.  So it may arrive several times, and has to bear that.
 */
void host_tell(struct list_head *entries, bool unmap)
{
	struct entry *e;

	for (;; resent++) {
		msleep(latency_ms);
		if (!is_lost(&lose_requests)) {
			spin_lock(&xpmem_lock);
			list_for_each_entry(e, entries, list) {
				e->mapped &= !unmap;
				e->write = false;
			}
			spin_unlock(&xpmem_lock);
			msleep(latency_ms);
			if (!is_lost(&lose_acks))
				return;
		}
		/* Nothing comes back: wait for longer than it could take. */
		msleep(4 * latency_ms);
	}
}

/* A load or a store, within a page.  False: it faults. */
static bool host_access(void *device, unsigned long addr, void *buf, size_t len, bool write)
{
	struct segment *s = device;
	size_t offset = offset_in_page(addr);
	struct entry *e;
	bool ok;

	spin_lock(&xpmem_lock);
	e = xpmem_entry(s, addr - offset);
	ok = e && e->mapped && (e->write || !write);
	if (ok && write)
		memcpy_to_page(e->page, offset, buf, len);
	else if (ok)
		memcpy_from_page(buf, e->page, offset, len);
	if (ok)
		e->dirty |= write;
	spin_unlock(&xpmem_lock);
	return ok;
}

static int host_fault(void *device, unsigned long addr, bool write)
{
	int ret = xpmem_fault(device, addr, write);

	/* The zero page cannot be exported. */
	if (ret == -EOPNOTSUPP && !write)
		ret = xpmem_fault(device, addr, true);
	return ret;
}

static ssize_t host_rw(struct kiocb *iocb, struct iov_iter *iter)
{
	return device_rw(iocb, iter, host_access, host_fault);
}

static int host_open(struct inode *inode, struct file *file)
{
	struct segment *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int ret;

	if (!s)
		return -ENOMEM;
	s->mn.ops = &xpmem_ops;
	file->private_data = s;
	ret = mmu_notifier_register(&s->mn, current->mm);
	if (ret)
		kfree(s);
	return ret;
}

/* Maybe long after the process has died. */
static int host_close(struct inode *inode, struct file *file)
{
	struct segment *s = file->private_data;

	mmu_notifier_unregister(&s->mn, s->mn.mm);
	xpmem_flush();
	kfree(s);
	return 0;
}

static const struct file_operations host_fops = {
	.owner		= THIS_MODULE,
	.open		= host_open,
	.release	= host_close,
	.read_iter	= host_rw,
	.write_iter	= host_rw,
	.llseek		= default_llseek,
};

static struct miscdevice host_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "xpmem_kind",
	.fops	= &host_fops,
};

static int __init host_init(void)
{
	int ret = export_notifier_register(&xpmem_exports);

	if (ret)
		return ret;
	ret = misc_register(&host_device);
	if (ret)
		export_notifier_unregister(&xpmem_exports);
	return ret;
}

static void __exit host_exit(void)
{
	misc_deregister(&host_device);
	xpmem_flush();
	export_notifier_unregister(&xpmem_exports);
}

module_init(host_init);
module_exit(host_exit);

MODULE_DESCRIPTION("MMU notifier sample: a driver of the XPMEM kind");
MODULE_LICENSE("GPL");
