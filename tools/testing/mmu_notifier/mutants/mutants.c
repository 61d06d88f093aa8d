// SPDX-License-Identifier: GPL-2.0
/*
 * Which hook is broken, and how; and which have been passed.
 *
 * debugfs, mmu_notifier_mutants/: "sites" lists them; "select" takes the number
 * of a site and of a kind, 0 0 mends everything; "reset" forgets the passes.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mmu_notifier_mutants.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

/**
 * struct mutant_info - one call
 * @name: file:function:call, and which of several alike
 * @kinds: bits of enum mutant_kind that make sense for such a call
 */
struct mutant_info {
	const char *name;
	unsigned int kinds;
};

static const struct mutant_info sites[] = {
#include "mmu_notifier_mutants_sites.h"
};

unsigned int mutant_site;
EXPORT_SYMBOL_GPL(mutant_site);
unsigned int mutant_kind;
EXPORT_SYMBOL_GPL(mutant_kind);

static atomic_long_t hits[ARRAY_SIZE(sites)];
/* Events that were seen; ranges longer than a page, and other than everything. */
static unsigned long events[ARRAY_SIZE(sites)];
static bool longer[ARRAY_SIZE(sites)], bounded[ARRAY_SIZE(sites)];

void mutant_hit(unsigned int site)
{
	atomic_long_inc(&hits[site]);
}
EXPORT_SYMBOL_GPL(mutant_hit);

void mutant_hit_range(unsigned int site, struct mmu_notifier_range *range)
{
	mutant_hit(site);
	set_bit(range->event, &events[site]);
	if (range->end - range->start > PAGE_SIZE)
		WRITE_ONCE(longer[site], true);
	if (range->end < TASK_SIZE_MAX)
		WRITE_ONCE(bounded[site], true);
}
EXPORT_SYMBOL_GPL(mutant_hit_range);

static int sites_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	for (i = 1; i < ARRAY_SIZE(sites); i++)
		seq_printf(m, "%u %s %#x %ld %#lx %d %d\n", i, sites[i].name,
			   sites[i].kinds, atomic_long_read(&hits[i]),
			   READ_ONCE(events[i]), READ_ONCE(longer[i]),
			   READ_ONCE(bounded[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sites);

static ssize_t select_write(struct file *file, const char __user *buf,
			    size_t len, loff_t *pos)
{
	unsigned int site, kind;
	char text[32];

	if (len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, len))
		return -EFAULT;
	text[len] = 0;
	if (sscanf(text, "%u %u", &site, &kind) != 2 ||
	    site >= ARRAY_SIZE(sites) || kind >= MUTANT_KINDS)
		return -EINVAL;
	WRITE_ONCE(mutant_site, 0);
	WRITE_ONCE(mutant_kind, kind);
	/* A new site does not meet the old kind. */
	smp_wmb();
	WRITE_ONCE(mutant_site, site);
	return len;
}

static const struct file_operations select_fops = {
	.owner = THIS_MODULE,
	.write = select_write,
};

static ssize_t reset_write(struct file *file, const char __user *buf,
			   size_t len, loff_t *pos)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sites); i++)
		atomic_long_set(&hits[i], 0);
	return len;
}

static const struct file_operations reset_fops = {
	.owner = THIS_MODULE,
	.write = reset_write,
};

static int __init mutants_init(void)
{
	struct dentry *dir = debugfs_create_dir("mmu_notifier_mutants", NULL);

	debugfs_create_file("sites", 0400, dir, NULL, &sites_fops);
	debugfs_create_file("select", 0200, dir, NULL, &select_fops);
	debugfs_create_file("reset", 0200, dir, NULL, &reset_fops);
	return 0;
}
late_initcall(mutants_init);
