// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of the XPMEM kind, and its device.  See xpmem_kind.h.
 */
#include <linux/delay.h>
#include <linux/export_notifier.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "xpmem_kind.h"

/* Between looking a page up and mapping it: to be raised by tests. */
static unsigned int fault_delay_us;
module_param(fault_delay_us, uint, 0644);

static int xpmem_fault(struct segment *s, unsigned long addr, bool write)
{
	unsigned int gup = write ? FOLL_WRITE : 0;
	struct mm_struct *mm = s->mn.mm;
	struct page *page;
	unsigned long seq;
	long ret;

	if (wait_event_killable(xpmem_wait, !READ_ONCE(s->active)))
		return -EINTR;
	spin_lock(&xpmem_lock);
	seq = s->seq;
	spin_unlock(&xpmem_lock);
	/* To the end: who has it is not released. */
	if (!mmget_not_zero(mm))
		return -ESRCH;
	if (mm == current->mm) {
		ret = get_user_pages_fast(addr, 1, gup, &page);
	} else {
		mmap_read_lock(mm);
		ret = get_user_pages_remote(mm, addr, 1, gup, &page, NULL);
		mmap_read_unlock(mm);
	}
	if (ret == 1) {
		fsleep(fault_delay_us);
		ret = xpmem_give(s, addr, page, write, seq);
		put_page(page);
	} else if (!ret) {
		ret = -EFAULT;
	}
	mmput(mm);
	return ret;
}

static bool other_host_accesses(struct segment *s, unsigned long addr, void *buf,
				size_t len, bool write)
{
	struct entry *e;
	bool ok;

	spin_lock(&xpmem_lock);
	e = entry_at(s, addr);
	ok = e && host_access(&e->host, e->page, offset_in_page(addr), buf, len, write);
	spin_unlock(&xpmem_lock);
	return ok;
}

static ssize_t xpmem_rw(struct kiocb *iocb, struct iov_iter *iter)
{
	struct segment *s = iocb->ki_filp->private_data;
	bool write = iov_iter_rw(iter) == WRITE;
	loff_t begin = iocb->ki_pos;
	int ret = 0;
	void *buf;

	buf = (void *)__get_free_page(GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	while (!ret && iov_iter_count(iter)) {
		unsigned long addr = iocb->ki_pos;
		size_t n = min(iov_iter_count(iter), PAGE_SIZE - offset_in_page(addr));

		if (write && copy_from_iter(buf, n, iter) != n)
			ret = -EFAULT;
		while (!ret && !other_host_accesses(s, addr, buf, n, write)) {
			ret = xpmem_fault(s, addr & PAGE_MASK, write);
			/* The zero page cannot be exported. */
			if (ret == -EOPNOTSUPP && !write)
				ret = xpmem_fault(s, addr & PAGE_MASK, true);
		}
		if (!ret && !write && copy_to_iter(buf, n, iter) != n)
			ret = -EFAULT;
		if (!ret)
			iocb->ki_pos += n;
	}
	free_page((unsigned long)buf);
	return iocb->ki_pos - begin ?: ret;
}

static int xpmem_open(struct inode *inode, struct file *file)
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

static int xpmem_close(struct inode *inode, struct file *file)
{
	struct segment *s = file->private_data;

	mmu_notifier_unregister(&s->mn, s->mn.mm);
	xpmem_flush();
	kfree(s);
	return 0;
}

static const struct file_operations xpmem_fops = {
	.owner		= THIS_MODULE,
	.open		= xpmem_open,
	.release	= xpmem_close,
	.read_iter	= xpmem_rw,
	.write_iter	= xpmem_rw,
	.llseek		= default_llseek,
};

static struct miscdevice xpmem_device = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "xpmem_kind",
	.fops	= &xpmem_fops,
};

static int __init xpmem_init(void)
{
	int ret = host_start();

	if (ret)
		return ret;
	ret = export_notifier_register(&xpmem_exports);
	if (ret)
		goto err_host;
	ret = misc_register(&xpmem_device);
	if (!ret)
		return 0;
	export_notifier_unregister(&xpmem_exports);
err_host:
	host_stop();
	return ret;
}

static void __exit xpmem_exit(void)
{
	misc_deregister(&xpmem_device);
	xpmem_flush();
	export_notifier_unregister(&xpmem_exports);
	host_stop();
}

module_init(xpmem_init);
module_exit(xpmem_exit);

MODULE_DESCRIPTION("MMU notifier sample: a driver of the XPMEM kind");
MODULE_LICENSE("GPL");
