// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/mnbench: subscribes to the caller's mm, with callbacks that do nothing.  The
 * same source for the stock kernel's notifiers and for ours.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/uaccess.h>

#include "mnbench.h"

#define MAX_SUBS	16384

struct sub {
	union {
		struct mmu_notifier mn;
		struct mmu_interval_notifier mni;
	};
	bool interval;
	unsigned long addr;	/* MNBENCH_SLOW */
	unsigned int ms;
};

/* An open file. */
struct bench {
	struct mutex mutex;	/* the rest */
	struct mm_struct *mm;
	unsigned int nr;
	struct sub *subs[MAX_SUBS];
};

static atomic_t calls;

static int bench_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	return 0;
}

static void bench_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
}

static int slow_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct sub *s = container_of(mn, struct sub, mn);

	if (range->start <= s->addr && s->addr < range->end &&
	    mmu_notifier_range_blockable(range))
		msleep(s->ms);
	return 0;
}

static bool bench_invalidate(struct mmu_interval_notifier *mni,
			     const struct mmu_notifier_range *range, unsigned long seq)
{
	mmu_interval_set_seq(mni, seq);
	return true;
}

static int bench_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
			     unsigned long start, unsigned long end)
{
	atomic_inc(&calls);
	return 0;
}

static int bench_test_young(struct mmu_notifier *mn, struct mm_struct *mm, unsigned long addr)
{
	atomic_inc(&calls);
	return 0;
}

static const struct mmu_notifier_ops list_ops = {
	.invalidate_range_start = bench_start,
	.invalidate_range_end = bench_end,
};

static const struct mmu_notifier_ops slow_ops = {
	.invalidate_range_start = slow_start,
	.invalidate_range_end = bench_end,
};

static const struct mmu_notifier_ops young_ops = {
	.clear_flush_young = bench_clear_young,
	.clear_young = bench_clear_young,
	.test_young = bench_test_young,
};

static const struct mmu_interval_notifier_ops interval_ops = {
	.invalidate = bench_invalidate,
};

/* What the stock kernel's have not. */
#ifdef MMU_NOTIFIER_ALL_EVENTS
static void bench_page(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
}

static const struct mmu_notifier_ops page_ops = {
	.invalidate_range_start = bench_start,
	.invalidate_range_end = bench_end,
	.invalidate_page = bench_page,
};

#endif

/* By kind; NULL for what this kernel's have not. */
static const struct mmu_notifier_ops * const kinds[] = {
	[MNBENCH_LIST] = &list_ops,
	[MNBENCH_YOUNG] = &young_ops,
	[MNBENCH_SLOW] = &slow_ops,
#ifdef MMU_NOTIFIER_ALL_EVENTS
	[MNBENCH_LIMITED] = &list_ops,
	[MNBENCH_PAGE] = &page_ops,
#endif
};

static int add_one(struct sub *s, struct mm_struct *mm, const struct mnbench_add *a,
		   unsigned long addr)
{
	if (a->kind > MNBENCH_SLOW)
		return -EINVAL;
	if (a->kind == MNBENCH_INTERVAL) {
		s->interval = true;
		return mmu_interval_notifier_insert(&s->mni, mm, addr, a->size, &interval_ops);
	}
	s->mn.ops = kinds[a->kind];
	if (!s->mn.ops)
		return -EOPNOTSUPP;
	s->addr = a->addr;
	s->ms = a->size;
#ifdef MMU_NOTIFIER_ALL_EVENTS
	if (a->kind == MNBENCH_LIMITED)
		return mmu_notifier_register_range(&s->mn, mm, addr, addr + a->size - 1,
						   MMU_NOTIFIER_ALL_EVENTS);
#endif
	return mmu_notifier_register(&s->mn, mm);
}

static void del_newest(struct bench *b)
{
	struct sub *s = b->subs[--b->nr];

	if (s->interval)
		mmu_interval_notifier_remove(&s->mni);
	else
		mmu_notifier_unregister(&s->mn, b->mm);
	kfree(s);
}

static long bench_add(struct bench *b, struct mnbench_add *a)
{
	cycles_t begin;
	struct sub *s;
	unsigned int i;
	int ret;

	a->least = ~0ull;
	a->total = 0;
	if (b->mm && b->mm != current->mm)
		return -EBUSY;
	if (!a->nr || a->nr > MAX_SUBS - b->nr)
		return -EINVAL;
	if (!b->mm) {
		b->mm = current->mm;
		mmgrab(b->mm);
	}
	for (i = 0; i < a->nr; i++) {
		s = kzalloc(sizeof(*s), GFP_KERNEL);
		if (!s)
			return -ENOMEM;
		begin = get_cycles();
		ret = add_one(s, b->mm, a, a->addr + i * a->stride);
		a->last = get_cycles() - begin;
		a->least = min(a->least, a->last);
		a->total += a->last;
		if (!i)
			a->first = a->last;
		if (ret) {
			kfree(s);
			return ret;
		}
		b->subs[b->nr++] = s;
	}
	return 0;
}

static long bench_del(struct bench *b, struct mnbench_del *d)
{
	unsigned int i, nr = d->nr ?: b->nr;
	cycles_t begin;
	u64 took;

	if (nr > b->nr)
		return -EINVAL;
	d->least = ~0ull;
	for (i = 0; i < nr; i++) {
		begin = get_cycles();
		del_newest(b);
		took = get_cycles() - begin;
		d->least = min(d->least, took);
		if (!i)
			d->first = took;
	}
	return 0;
}

static long bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct bench *b = file->private_data;
	struct mnbench_add add;
	struct mnbench_del del;
	long ret;

	switch (cmd) {
	case MNBENCH_ADD:
		if (copy_from_user(&add, user, sizeof(add)))
			return -EFAULT;
		mutex_lock(&b->mutex);
		ret = bench_add(b, &add);
		mutex_unlock(&b->mutex);
		if (!ret && copy_to_user(user, &add, sizeof(add)))
			ret = -EFAULT;
		return ret;
	case MNBENCH_DEL:
		if (copy_from_user(&del, user, sizeof(del)))
			return -EFAULT;
		mutex_lock(&b->mutex);
		ret = bench_del(b, &del);
		mutex_unlock(&b->mutex);
		if (!ret && copy_to_user(user, &del, sizeof(del)))
			ret = -EFAULT;
		return ret;
	case MNBENCH_CALLS:
		return atomic_xchg(&calls, 0);
	default:
		return -ENOTTY;
	}
}

static int bench_open(struct inode *inode, struct file *file)
{
	struct bench *b = kvzalloc(sizeof(*b), GFP_KERNEL);

	if (!b)
		return -ENOMEM;
	mutex_init(&b->mutex);
	file->private_data = b;
	return 0;
}

static int bench_release(struct inode *inode, struct file *file)
{
	struct bench *b = file->private_data;

	while (b->nr)
		del_newest(b);
	if (b->mm)
		mmdrop(b->mm);
	kvfree(b);
	return 0;
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.open = bench_open,
	.release = bench_release,
	.unlocked_ioctl = bench_ioctl,
};

static struct miscdevice bench_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "mnbench",
	.fops = &bench_fops,
};
module_misc_device(bench_device);

MODULE_DESCRIPTION("Subscribers for make bench");
MODULE_LICENSE("GPL");
