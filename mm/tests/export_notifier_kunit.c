// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of export notifiers: a subscriber that maps a page on another host
 * is told of all that happens to it.
 *
 * The other host is a struct host.  It has one folio at most, holds a reference
 * to it, and "maps" it, writable or not.  Each case does something to the folio and
 * expects how often the host was called, in which state it found the folio, and
 * what has become of what it wrote.
 *
 * Folios come from a shared mapping of shmem, from anonymous memory, and from the page
 * cache of a RAM disk, which has writeback.
 */
#include <kunit/test.h>
#include <linux/blkdev.h>
#include <linux/buffer_head.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/export_notifier.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/kthread.h>
#include <linux/major.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/shmem_fs.h>
#include <linux/swap.h>
#include <linux/uaccess.h>

#include "../internal.h"
#include "mmu_notifier_warnings.h"

#define PAGES		4
/* Far beyond what anything here takes: it only ends a hang. */
#define HANGS		(30 * HZ)
/* A thread that has not come back after this much sleep is waiting. */
#define WAITS_MS	20

struct host {
	struct export_notifier en;
	bool registered;
	struct mutex lock;		/* the mapping: the next three */
	struct folio *folio;		/* that it exports */
	bool writable;
	bool written;			/* since the last call */
	unsigned int calls;		/* for any folio */
	unsigned int cleans, unmaps;	/* for its own */
	bool unlocked;			/* a call without the folio lock */
	bool was_mapped;		/* by a CPU, in the last call */
	bool was_writable;		/* the entry at @addr, in the last call */
	unsigned long addr;
	bool gate;			/* stop in the next call */
	struct completion reached, go;
};

struct ectx {
	struct host a, b;
	struct file *file;
	struct address_space *mapping;
	unsigned long addr;
	struct folio *folio;		/* in hand, no reference */
	u32 value;			/* that was written last */
};

static int note_writable(pte_t *ptep, unsigned long addr, void *writable)
{
	pte_t pte = ptep_get(ptep);

	*(bool *)writable = pte_present(pte) && pte_write(pte);
	return 0;
}

static bool cpu_may_write(unsigned long addr)
{
	bool writable = false;

	apply_to_existing_page_range(current->mm, addr, PAGE_SIZE, note_writable,
				     &writable);
	return writable;
}

static bool host_invalidate(struct export_notifier *en, struct folio *folio,
			    enum export_notifier_event event)
{
	struct host *h = container_of(en, struct host, en);
	bool written;

	might_sleep();
	h->calls++;
	if (h->gate) {
		h->gate = false;
		complete(&h->reached);
		wait_for_completion(&h->go);
	}

	mutex_lock(&h->lock);
	if (h->folio != folio) {
		mutex_unlock(&h->lock);
		return false;
	}
	h->unlocked |= !folio_test_locked(folio);
	h->was_mapped = folio_mapped(folio);
	h->was_writable = h->addr && cpu_may_write(h->addr);
	written = h->written;
	h->written = false;
	h->writable = false;
	if (event == EXPORT_NOTIFY_UNMAP)
		h->folio = NULL;
	mutex_unlock(&h->lock);

	if (event == EXPORT_NOTIFY_CLEAN) {
		h->cleans++;
	} else {
		h->unmaps++;
		folio_clear_exported(folio);
		folio_put(folio);
	}
	return written;
}

static bool host_exports(struct export_notifier *en, struct folio *folio)
{
	return READ_ONCE(container_of(en, struct host, en)->folio) == folio;
}

static const struct export_notifier_ops host_ops = {
	.invalidate	= host_invalidate,
	.exports	= host_exports,
};

static void join(struct kunit *test, struct host *h)
{
	h->en.ops = &host_ops;
	KUNIT_ASSERT_EQ(test, 0, export_notifier_register(&h->en));
	h->registered = true;
}

static void export(struct kunit *test, struct host *h, struct folio *folio)
{
	folio_lock(folio);
	KUNIT_EXPECT_EQ(test, 0, folio_set_exported(folio));
	folio_get(folio);
	h->folio = folio;
	folio_unlock(folio);
	KUNIT_EXPECT_TRUE(test, folio_test_exported(folio));
}

/* Of its own accord. */
static void drop(struct host *h)
{
	struct folio *folio = h->folio;

	if (!folio)
		return;
	folio_lock(folio);
	h->folio = NULL;
	folio_clear_exported(folio);
	folio_unlock(folio);
	folio_put(folio);
}

static void leave(struct host *h)
{
	if (!h->registered)
		return;
	h->registered = false;
	drop(h);
	export_notifier_unregister(&h->en);
}

/* As a driver does: a writable mapping only of what is known to be dirty. */
static void remote_write(struct host *h, u32 value)
{
	u32 *p;

	mutex_lock(&h->lock);
	while (!h->writable) {
		struct folio *folio = h->folio;

		folio_get(folio);
		mutex_unlock(&h->lock);
		folio_lock(folio);
		folio_mark_dirty(folio);
		mutex_lock(&h->lock);
		h->writable = h->folio == folio;
		folio_unlock(folio);
		folio_put(folio);
	}
	p = kmap_local_folio(h->folio, 0);
	*p = value;
	kunmap_local(p);
	h->written = true;
	mutex_unlock(&h->lock);
}

/* Expects what the host was told since the last time. */
static void expect(struct kunit *test, struct host *h, unsigned int cleans,
		   unsigned int unmaps)
{
	KUNIT_EXPECT_EQ(test, h->cleans, cleans);
	KUNIT_EXPECT_EQ(test, h->unmaps, unmaps);
	KUNIT_EXPECT_FALSE(test, h->unlocked);
	h->cleans = 0;
	h->unmaps = 0;
}

static int ectx_init(struct kunit *test)
{
	struct ectx *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct host *h;

	KUNIT_ASSERT_NOT_NULL(test, c);
	test->priv = c;
	for (h = &c->a; h <= &c->b; h++) {
		mutex_init(&h->lock);
		init_completion(&h->reached);
		init_completion(&h->go);
	}
	join(test, &c->a);
	return 0;
}

static void ectx_exit(struct kunit *test)
{
	struct ectx *c = test->priv;

	if (!c)
		return;
	leave(&c->a);
	leave(&c->b);
	if (c->file)
		fput(c->file);
}

/*
 * Folios.  The page cache, or the CPU's mapping, has the only reference.
 */

static void shm_folio(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct folio *folio;

	c->file = shmem_kernel_file_setup("export_notifier", PAGES * PAGE_SIZE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(c->file));
	c->mapping = c->file->f_mapping;
	c->addr = kunit_vm_mmap(test, c->file, 0, PAGES * PAGE_SIZE,
				PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	KUNIT_ASSERT_NE(test, c->addr, 0);
	c->a.addr = c->addr;
	KUNIT_ASSERT_EQ(test, 0, put_user(1, (int __user *)c->addr));
	folio = filemap_get_folio(c->mapping, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	lru_add_drain_all();
	folio_put(folio);
	c->folio = folio;
}

static void unmap(struct kunit *test)
{
	struct ectx *c = test->priv;

	KUNIT_EXPECT_EQ(test, 0, vm_munmap(c->addr, PAGES * PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, folio_mapped(c->folio));
}

static void anon_folio(struct kunit *test, bool huge)
{
	struct ectx *c = test->priv;
	size_t size = huge ? 2 * PMD_SIZE : PAGES * PAGE_SIZE;
	struct page *page;

	c->addr = kunit_vm_mmap(test, NULL, 0, size, PROT_READ | PROT_WRITE,
				MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, c->addr, 0);
	if (huge) {
		c->addr = ALIGN(c->addr, PMD_SIZE);
		if (do_madvise(current->mm, c->addr, PMD_SIZE, MADV_HUGEPAGE))
			kunit_skip(test, "no huge pages");
	}
	KUNIT_ASSERT_EQ(test, 0, put_user(1, (int __user *)c->addr));
	KUNIT_ASSERT_EQ(test, 1, get_user_pages_fast(c->addr, 1, FOLL_WRITE,
						     &page));
	c->folio = page_folio(page);
	lru_add_drain_all();
	if (huge && !folio_test_large(c->folio)) {
		folio_put(c->folio);
		kunit_skip(test, "no huge page");
	}
	folio_put(c->folio);
}

static void disk_folio(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct file *file;

	/* The first one may be mounted. */
	file = bdev_file_open_by_dev(MKDEV(RAMDISK_MAJOR, 1),
				     BLK_OPEN_READ | BLK_OPEN_WRITE, NULL, NULL);
	if (IS_ERR(file))
		kunit_skip(test, "no RAM disk");
	c->file = file;
	c->mapping = file->f_mapping;
	/* Nothing is left of the last case. */
	KUNIT_ASSERT_EQ(test, 0, invalidate_inode_pages2(c->mapping));
	c->folio = read_mapping_folio(c->mapping, 0, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(c->folio));
	lru_add_drain_all();
	folio_put(c->folio);
}

/* What the disk has. */
static u32 on_disk(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct folio *folio;
	u32 value, *p;

	KUNIT_EXPECT_EQ(test, 0, invalidate_inode_pages2(c->mapping));
	folio = read_mapping_folio(c->mapping, 0, NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(folio));
	p = kmap_local_folio(folio, 0);
	value = *p;
	kunmap_local(p);
	folio_put(folio);
	return value;
}

/*
 * Registration.
 */

static void register_refuses(struct kunit *test)
{
	static const struct export_notifier_ops no_ops;
	struct ectx *c = test->priv;
	struct export_notifier en = { .ops = &no_ops };

	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, export_notifier_register(&en), -EINVAL);
	KUNIT_EXPECT_EQ(test, export_notifier_register(&c->a.en), -EBUSY);
	export_notifier_unregister(&en);
	warnings_end(test, 3);
}

/* Another subscriber may be registered all the time. */
static void key_counts_subscribers(struct kunit *test)
{
	struct static_key *key = &export_notifier_key.key;
	struct ectx *c = test->priv;
	int with_a = static_key_count(key);

	KUNIT_EXPECT_GT(test, with_a, 0);
	leave(&c->a);
	KUNIT_EXPECT_EQ(test, static_key_count(key), with_a - 1);
	join(test, &c->b);
	join(test, &c->a);
	KUNIT_EXPECT_EQ(test, static_key_count(key), with_a + 1);
	leave(&c->b);
	KUNIT_EXPECT_EQ(test, static_key_count(key), with_a);
}

static void unregistered_is_not_called(struct kunit *test)
{
	struct ectx *c = test->priv;

	shm_folio(test);
	join(test, &c->b);
	export(test, &c->b, c->folio);
	export(test, &c->a, c->folio);
	leave(&c->b);
	folio_lock(c->folio);
	folio_mkclean(c->folio);
	folio_unlock(c->folio);
	expect(test, &c->a, 1, 0);
	expect(test, &c->b, 0, 0);
}

struct job {
	struct task_struct *task;
	struct completion done;
	void (*fn)(struct ectx *c);
	struct ectx *c;
};

static int job_thread(void *data)
{
	struct job *job = data;

	job->fn(job->c);
	complete(&job->done);
	return 0;
}

static void start(struct kunit *test, struct job *job, void (*fn)(struct ectx *c))
{
	init_completion(&job->done);
	job->fn = fn;
	job->c = test->priv;
	job->task = kthread_run(job_thread, job, "export_notifier");
	KUNIT_ASSERT_FALSE(test, IS_ERR(job->task));
}

static bool finishes(struct job *job)
{
	return wait_for_completion_timeout(&job->done, HANGS);
}

static bool waits(struct job *job)
{
	return !wait_for_completion_timeout(&job->done,
					    msecs_to_jiffies(WAITS_MS));
}

static void clean_it(struct ectx *c)
{
	folio_lock(c->folio);
	folio_mkclean(c->folio);
	folio_unlock(c->folio);
}

static void leave_a(struct ectx *c)
{
	export_notifier_unregister(&c->a.en);
}

static void join_and_leave_b(struct ectx *c)
{
	c->b.en.ops = &host_ops;
	if (!export_notifier_register(&c->b.en))
		export_notifier_unregister(&c->b.en);
}

static void unregister_waits_for_own_callback(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct job clean, other, own;
	struct folio *second;

	shm_folio(test);
	KUNIT_ASSERT_EQ(test, 0, put_user(1, (int __user *)(c->addr + PAGE_SIZE)));
	second = filemap_get_folio(c->mapping, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(second));
	unmap(test);
	export(test, &c->a, c->folio);
	c->a.addr = 0;
	c->a.gate = true;
	start(test, &clean, clean_it);
	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&c->a.reached, HANGS));

	/* Another subscriber comes and goes. */
	start(test, &other, join_and_leave_b);
	KUNIT_EXPECT_TRUE(test, finishes(&other));

	/* A itself waits.  As a rule it has dropped everything; not here. */
	start(test, &own, leave_a);
	KUNIT_EXPECT_TRUE(test, waits(&own));
	/* It is not called any more, but for what runs. */
	join(test, &c->b);
	export(test, &c->b, second);
	folio_lock(second);
	folio_mkclean(second);
	folio_unlock(second);
	drop(&c->b);
	folio_put(second);
	expect(test, &c->b, 1, 0);
	KUNIT_EXPECT_EQ(test, c->a.calls, 1);
	complete(&c->a.go);
	KUNIT_EXPECT_TRUE(test, finishes(&clean));
	KUNIT_EXPECT_TRUE(test, finishes(&own));
	c->a.registered = false;
	expect(test, &c->a, 1, 0);
	clean_it(c);
	expect(test, &c->a, 0, 0);
	drop(&c->a);
	KUNIT_EXPECT_FALSE(test, folio_test_exported(c->folio));
}

/*
 * The mark.
 */

static void mark(struct kunit *test)
{
	struct ectx *c = test->priv;

	shm_folio(test);
	KUNIT_EXPECT_FALSE(test, folio_test_exported(c->folio));
	export(test, &c->a, c->folio);
	drop(&c->a);
	KUNIT_EXPECT_FALSE(test, folio_test_exported(c->folio));
	expect(test, &c->a, 0, 0);
}

static void mark_refused(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct folio *zero = page_folio(ZERO_PAGE(0));

	shm_folio(test);
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, folio_set_exported(c->folio), -EINVAL);
	warnings_end(test, 1);
	KUNIT_EXPECT_FALSE(test, folio_test_exported(c->folio));

	folio_lock(zero);
	KUNIT_EXPECT_EQ(test, folio_set_exported(zero), -EOPNOTSUPP);
	folio_unlock(zero);
}

static void unmarked_is_not_told(struct kunit *test)
{
	struct ectx *c = test->priv;

	shm_folio(test);
	c->a.folio = c->folio;
	folio_lock(c->folio);
	folio_mkclean(c->folio);
	try_to_unmap(c->folio, 0);
	folio_unlock(c->folio);
	c->a.folio = NULL;
	expect(test, &c->a, 0, 0);
}

static void two_hosts_one_folio(struct kunit *test)
{
	struct ectx *c = test->priv;

	shm_folio(test);
	join(test, &c->b);
	export(test, &c->a, c->folio);
	export(test, &c->b, c->folio);
	/* The first to go leaves the mark to the other. */
	drop(&c->a);
	KUNIT_EXPECT_TRUE(test, folio_test_exported(c->folio));
	export(test, &c->a, c->folio);
	/* And if both are told to go, both are told. */
	folio_lock(c->folio);
	try_to_unmap(c->folio, 0);
	KUNIT_EXPECT_FALSE(test, folio_test_exported(c->folio));
	folio_unlock(c->folio);
	expect(test, &c->a, 0, 1);
	expect(test, &c->b, 0, 1);
}

static void freed_while_marked(struct kunit *test, unsigned int order)
{
	struct folio *folio = folio_alloc(GFP_KERNEL, order);

	KUNIT_ASSERT_NOT_NULL(test, folio);
	folio_lock(folio);
	KUNIT_EXPECT_EQ(test, 0, folio_set_exported(folio));
	folio_unlock(folio);
	folio_put(folio);
	/* Only reads struct page. */
	KUNIT_EXPECT_FALSE(test, test_bit(PG_exported, &folio->page.flags));
}

static void freed_while_marked_is_caught_once(struct kunit *test)
{
	warnings_begin(test);
	freed_while_marked(test, 0);
	warnings_end(test, 1);
	/* No further report, but it is undone again: ectx_exit() counts. */
	freed_while_marked(test, 0);
	freed_while_marked(test, 2);
}

static void mark_left_behind_is_caught(struct kunit *test)
{
	/* Or there is a driver, and it is not the last that leaves. */
	bool last = static_key_count(&export_notifier_key.key) == 1;
	struct ectx *c = test->priv;
	struct folio *folio = folio_alloc(GFP_KERNEL, 0);

	KUNIT_ASSERT_NOT_NULL(test, folio);
	folio_lock(folio);
	KUNIT_EXPECT_EQ(test, 0, folio_set_exported(folio));
	folio_unlock(folio);
	warnings_begin(test);
	leave(&c->a);
	folio_put(folio);
	warnings_end(test, last ? 2 : 1);
	if (!last)
		return;
	/* Left on, to find out which it is. */
	KUNIT_EXPECT_TRUE(test, static_key_enabled(&export_notifier_key));
	static_branch_dec(&export_notifier_key);
}

/*
 * CLEAN, and what is written by another host.
 */

static void mkclean_mapped(struct kunit *test)
{
	struct ectx *c = test->priv;

	shm_folio(test);
	export(test, &c->a, c->folio);
	KUNIT_EXPECT_TRUE(test, cpu_may_write(c->addr));
	folio_lock(c->folio);
	folio_mkclean(c->folio);
	expect(test, &c->a, 1, 0);
	KUNIT_EXPECT_TRUE(test, c->a.was_mapped);
	KUNIT_EXPECT_FALSE(test, c->a.was_writable);
	/* The CPU's are clean now. */
	KUNIT_EXPECT_EQ(test, folio_mkclean(c->folio), 0);
	c->a.written = true;
	KUNIT_EXPECT_NE(test, folio_mkclean(c->folio), 0);
	KUNIT_EXPECT_EQ(test, folio_mkclean(c->folio), 0);
	KUNIT_EXPECT_TRUE(test, folio_test_exported(c->folio));
	folio_unlock(c->folio);
	expect(test, &c->a, 3, 0);
}

static void mkclean_unmapped(struct kunit *test)
{
	struct ectx *c = test->priv;

	shm_folio(test);
	unmap(test);
	export(test, &c->a, c->folio);
	folio_lock(c->folio);
	KUNIT_EXPECT_EQ(test, folio_mkclean(c->folio), 0);
	c->a.written = true;
	KUNIT_EXPECT_NE(test, folio_mkclean(c->folio), 0);
	folio_unlock(c->folio);
	expect(test, &c->a, 2, 0);
}

static void writeback_loses_no_remote_write(struct kunit *test)
{
	struct ectx *c = test->priv;

	disk_folio(test);
	export(test, &c->a, c->folio);
	remote_write(&c->a, 1);
	KUNIT_EXPECT_EQ(test, 0, filemap_write_and_wait(c->mapping));
	expect(test, &c->a, 1, 0);
	KUNIT_EXPECT_FALSE(test, folio_test_dirty(c->folio));
	/* The other host had to ask again, else this would not be known. */
	remote_write(&c->a, 2);
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(c->folio));
	KUNIT_EXPECT_EQ(test, 0, filemap_write_and_wait(c->mapping));
	expect(test, &c->a, 1, 0);
	KUNIT_EXPECT_EQ(test, on_disk(test), 2);
	expect(test, &c->a, 0, 1);
}

static void writeback_heeds_the_result(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct buffer_head *head, *bh;

	disk_folio(test);
	export(test, &c->a, c->folio);
	remote_write(&c->a, 3);
	folio_lock(c->folio);
	/* As if the folio was dirty for something else. */
	head = folio_buffers(c->folio);
	KUNIT_EXPECT_NOT_NULL(test, head);
	bh = head;
	while (bh) {
		clear_buffer_dirty(bh);
		bh = bh->b_this_page == head ? NULL : bh->b_this_page;
	}
	folio_unlock(c->folio);
	KUNIT_EXPECT_EQ(test, 0, filemap_write_and_wait(c->mapping));
	expect(test, &c->a, 1, 0);
	KUNIT_EXPECT_EQ(test, on_disk(test), 3);
}

/* So often it has to ask again. */
#define TIMES	20

static void write_on(struct ectx *c)
{
	unsigned long end = jiffies + HANGS;

	while (READ_ONCE(c->a.cleans) < TIMES && time_before(jiffies, end)) {
		remote_write(&c->a, ++c->value);
		cond_resched();
	}
}

static void writeback_beside_a_remote_writer(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct job writer;

	disk_folio(test);
	export(test, &c->a, c->folio);
	start(test, &writer, write_on);
	while (!try_wait_for_completion(&writer.done)) {
		KUNIT_EXPECT_EQ(test, 0, filemap_write_and_wait(c->mapping));
		cond_resched();
	}
	KUNIT_EXPECT_GE(test, c->a.cleans, TIMES);
	KUNIT_EXPECT_EQ(test, 0, filemap_write_and_wait(c->mapping));
	KUNIT_EXPECT_EQ(test, on_disk(test), c->value);
}

/*
 * UNMAP.
 */

static void unmap_mapped(struct kunit *test)
{
	struct ectx *c = test->priv;

	shm_folio(test);
	export(test, &c->a, c->folio);
	folio_lock(c->folio);
	try_to_unmap(c->folio, 0);
	folio_unlock(c->folio);
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_FALSE(test, c->a.was_mapped);
	KUNIT_EXPECT_FALSE(test, folio_test_exported(c->folio));
}

static void unmap_makes_dirty(struct kunit *test)
{
	struct ectx *c = test->priv;

	disk_folio(test);
	export(test, &c->a, c->folio);
	KUNIT_EXPECT_FALSE(test, folio_test_dirty(c->folio));
	c->a.written = true;
	folio_lock(c->folio);
	try_to_unmap(c->folio, 0);
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(c->folio));
	folio_unlock(c->folio);
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_EQ(test, 0, filemap_write_and_wait(c->mapping));
}

static void truncate(struct kunit *test, bool mapped)
{
	struct ectx *c = test->priv;

	shm_folio(test);
	if (!mapped)
		unmap(test);
	c->a.addr = 0;
	export(test, &c->a, c->folio);
	shmem_truncate_range(file_inode(c->file), 0, -1);
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_FALSE(test, c->a.was_mapped);
}

/* A subscriber that is told by page is not told of the entries of one mm. */
static void one_mm_is_not_told(struct kunit *test)
{
	struct ectx *c = test->priv;

	anon_folio(test, false);
	export(test, &c->a, c->folio);
	KUNIT_EXPECT_EQ(test, 0, do_madvise(current->mm, c->addr, PAGE_SIZE,
					    MADV_DONTNEED));
	KUNIT_EXPECT_FALSE(test, folio_mapped(c->folio));
	expect(test, &c->a, 0, 0);
	KUNIT_EXPECT_TRUE(test, folio_test_exported(c->folio));
	drop(&c->a);
}

/* Copy-on-write leaves the old page to the other host, mark and all. */
static void cow_is_not_told(struct kunit *test)
{
	struct ectx *c = test->priv;
	unsigned long addr;
	int value;

	shm_folio(test);
	addr = kunit_vm_mmap(test, c->file, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_EQ(test, 0, get_user(value, (int __user *)addr));
	KUNIT_EXPECT_EQ(test, folio_mapcount(c->folio), 2);
	export(test, &c->a, c->folio);
	KUNIT_ASSERT_EQ(test, 0, put_user(value + 1, (int __user *)addr));
	KUNIT_EXPECT_EQ(test, folio_mapcount(c->folio), 1);
	expect(test, &c->a, 0, 0);
	KUNIT_EXPECT_TRUE(test, folio_test_exported(c->folio));
	/* The mark did not go along with the copy. */
	drop(&c->a);
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(addr, PAGE_SIZE));
}

static void truncate_mapped(struct kunit *test)
{
	truncate(test, true);
}

static void truncate_unmapped(struct kunit *test)
{
	truncate(test, false);
}

static void truncate_page_cache(struct kunit *test)
{
	struct ectx *c = test->priv;

	disk_folio(test);
	export(test, &c->a, c->folio);
	truncate_inode_pages(c->mapping, 0);
	expect(test, &c->a, 0, 1);
}

static void invalidate_fails_if_dirty(struct kunit *test)
{
	struct ectx *c = test->priv;

	disk_folio(test);
	export(test, &c->a, c->folio);
	c->a.written = true;
	KUNIT_EXPECT_EQ(test, invalidate_inode_pages2(c->mapping), -EBUSY);
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_EQ(test, 0, filemap_write_and_wait(c->mapping));
}

static void isolate(struct kunit *test, struct folio *folio, struct list_head *list)
{
	KUNIT_ASSERT_TRUE(test, folio_isolate_lru(folio));
	list_add(&folio->lru, list);
}

static void reclaim_unmapped(struct kunit *test)
{
	struct ectx *c = test->priv;
	LIST_HEAD(list);

	disk_folio(test);
	export(test, &c->a, c->folio);
	isolate(test, c->folio, &list);
	reclaim_pages(&list);
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_TRUE(test, IS_ERR(filemap_get_folio(c->mapping, 0)));
}

static void reclaim_munmapped_anon(struct kunit *test)
{
	struct ectx *c = test->priv;
	LIST_HEAD(list);

	anon_folio(test, false);
	export(test, &c->a, c->folio);
	/* One mm's business: the page is kept by the reference. */
	unmap(test);
	expect(test, &c->a, 0, 0);
	isolate(test, c->folio, &list);
	reclaim_pages(&list);
	expect(test, &c->a, 0, 1);
}

static void reclaim_huge(struct kunit *test)
{
	struct ectx *c = test->priv;
	LIST_HEAD(list);

	anon_folio(test, true);
	export(test, &c->a, c->folio);
	isolate(test, c->folio, &list);
	reclaim_pages(&list);
	expect(test, &c->a, 0, 1);
}

/* Moves the folio of @c->mapping, and returns how many have failed. */
static int migrate(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct migration_target_control mtc = {
		.nid = folio_nid(c->folio),
		.gfp_mask = GFP_HIGHUSER_MOVABLE,
		.reason = MR_SYSCALL,
	};
	LIST_HEAD(list);
	int ret;

	isolate(test, c->folio, &list);
	node_stat_mod_folio(c->folio, NR_ISOLATED_ANON +
			    folio_is_file_lru(c->folio), 1);
	ret = migrate_pages(&list, alloc_migration_target, NULL,
			    (unsigned long)&mtc, MIGRATE_SYNC, MR_SYSCALL, NULL);
	if (ret)
		putback_movable_pages(&list);
	return ret;
}

static void migrate_shm(struct kunit *test, bool mapped)
{
	struct ectx *c = test->priv;
	struct folio *new;

	shm_folio(test);
	if (!mapped)
		unmap(test);
	c->a.addr = 0;
	folio_lock(c->folio);
	folio_mkclean(c->folio);
	folio_clear_dirty(c->folio);
	folio_unlock(c->folio);
	export(test, &c->a, c->folio);
	c->a.written = true;
	KUNIT_EXPECT_EQ(test, migrate(test), 0);
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_FALSE(test, c->a.was_mapped);
	new = filemap_get_folio(c->mapping, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(new));
	KUNIT_EXPECT_PTR_NE(test, new, c->folio);
	KUNIT_EXPECT_FALSE(test, folio_test_exported(new));
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(new));
	folio_put(new);
}

static void migration_entries(struct kunit *test)
{
	struct ectx *c = test->priv;

	anon_folio(test, false);
	export(test, &c->a, c->folio);
	folio_get(c->folio);
	folio_lock(c->folio);
	try_to_migrate(c->folio, 0);
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_FALSE(test, c->a.was_mapped);
	remove_migration_ptes(c->folio, c->folio, 0);
	folio_unlock(c->folio);
	folio_put(c->folio);
}

static void migrate_mapped(struct kunit *test)
{
	migrate_shm(test, true);
}

static void migrate_unmapped(struct kunit *test)
{
	migrate_shm(test, false);
}

static void split(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct page *page;
	long i, nr;

	anon_folio(test, true);
	page = &c->folio->page;
	nr = folio_nr_pages(c->folio);
	folio_get(c->folio);
	export(test, &c->a, c->folio);
	folio_lock(c->folio);
	KUNIT_EXPECT_EQ(test, 0, split_folio(c->folio));
	folio_unlock(c->folio);
	expect(test, &c->a, 0, 1);
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_FALSE(test, PageCompound(page + i));
		KUNIT_EXPECT_FALSE(test, test_bit(PG_exported, &page[i].flags));
	}
	folio_put(c->folio);
}

static void poison_unmapped(struct kunit *test)
{
	struct ectx *c = test->priv;

	if (!IS_ENABLED(CONFIG_MEMORY_FAILURE))
		kunit_skip(test, "no memory failure handling");
	disk_folio(test);
	export(test, &c->a, c->folio);
#ifdef CONFIG_MEMORY_FAILURE
	/* The page is lost until the next boot. */
	KUNIT_EXPECT_EQ(test, 0, memory_failure(folio_pfn(c->folio), 0));
#endif
	expect(test, &c->a, 0, 1);
}

#ifdef CONFIG_DEVICE_PRIVATE
static void device_exclusive(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct page *page = NULL;
	int got;

	anon_folio(test, false);
	export(test, &c->a, c->folio);
	mmap_read_lock(current->mm);
	got = make_device_exclusive_range(current->mm, c->addr,
					  c->addr + PAGE_SIZE, &page, c);
	mmap_read_unlock(current->mm);
	KUNIT_EXPECT_EQ(test, got, 1);
	if (page) {
		unlock_page(page);
		put_page(page);
	}
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_FALSE(test, c->a.was_mapped);
}

static void device_migrate(struct kunit *test)
{
	struct ectx *c = test->priv;
	unsigned long src = 0, dst = 0;
	struct migrate_vma args = {
		.src = &src,
		.dst = &dst,
		.pgmap_owner = c,
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};

	anon_folio(test, false);
	export(test, &c->a, c->folio);
	mmap_read_lock(current->mm);
	args.vma = vma_lookup(current->mm, c->addr);
	args.start = c->addr;
	args.end = c->addr + PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, 0, migrate_vma_setup(&args));
	KUNIT_EXPECT_EQ(test, args.cpages, 1);
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	mmap_read_unlock(current->mm);
	expect(test, &c->a, 0, 1);
	KUNIT_EXPECT_FALSE(test, c->a.was_mapped);
}
#endif

/* What an export prevents, without a call. */
static void collapse_leaves_it_alone(struct kunit *test)
{
	struct ectx *c = test->priv;
	struct page *page;
	unsigned long addr;

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		kunit_skip(test, "no huge pages");
	addr = kunit_vm_mmap(test, NULL, 0, 2 * PMD_SIZE, PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	addr = ALIGN(addr, PMD_SIZE);
	KUNIT_ASSERT_EQ(test, 0, put_user(1, (int __user *)addr));
	KUNIT_ASSERT_EQ(test, 1, get_user_pages_fast(addr, 1, FOLL_WRITE, &page));
	c->folio = page_folio(page);
	if (folio_test_large(c->folio)) {
		folio_put(c->folio);
		kunit_skip(test, "huge already");
	}
	lru_add_drain_all();
	export(test, &c->a, c->folio);
	folio_put(c->folio);
	KUNIT_EXPECT_NE(test, 0, do_madvise(current->mm, addr, PMD_SIZE,
					    MADV_COLLAPSE));
	expect(test, &c->a, 0, 0);
	drop(&c->a);
	KUNIT_EXPECT_EQ(test, 0, do_madvise(current->mm, addr, PMD_SIZE,
					    MADV_COLLAPSE));
}

static struct kunit_case export_notifier_cases[] = {
	KUNIT_CASE(key_counts_subscribers),
	KUNIT_CASE(register_refuses),
	KUNIT_CASE(unregistered_is_not_called),
	KUNIT_CASE(unregister_waits_for_own_callback),
	KUNIT_CASE(mark),
	KUNIT_CASE(mark_refused),
	KUNIT_CASE(unmarked_is_not_told),
	KUNIT_CASE(two_hosts_one_folio),
	KUNIT_CASE(freed_while_marked_is_caught_once),
	KUNIT_CASE(mkclean_mapped),
	KUNIT_CASE(mkclean_unmapped),
	KUNIT_CASE(writeback_loses_no_remote_write),
	KUNIT_CASE(writeback_heeds_the_result),
	KUNIT_CASE(writeback_beside_a_remote_writer),
	KUNIT_CASE(unmap_mapped),
	KUNIT_CASE(unmap_makes_dirty),
	KUNIT_CASE(one_mm_is_not_told),
	KUNIT_CASE(cow_is_not_told),
	KUNIT_CASE(truncate_mapped),
	KUNIT_CASE(truncate_unmapped),
	KUNIT_CASE(truncate_page_cache),
	KUNIT_CASE(invalidate_fails_if_dirty),
	KUNIT_CASE(reclaim_unmapped),
	KUNIT_CASE(reclaim_munmapped_anon),
	KUNIT_CASE(reclaim_huge),
	KUNIT_CASE(migration_entries),
	KUNIT_CASE(migrate_mapped),
	KUNIT_CASE(migrate_unmapped),
	KUNIT_CASE(split),
	KUNIT_CASE(poison_unmapped),
#ifdef CONFIG_DEVICE_PRIVATE
	KUNIT_CASE(device_exclusive),
	KUNIT_CASE(device_migrate),
#endif
	KUNIT_CASE(collapse_leaves_it_alone),
	KUNIT_CASE(mark_left_behind_is_caught),
	{}
};

static struct kunit_suite export_notifier_suite = {
	.name = "export_notifier",
	.init = ectx_init,
	.exit = ectx_exit,
	.test_cases = export_notifier_cases,
};

kunit_test_suite(export_notifier_suite);

MODULE_DESCRIPTION("KUnit tests of export notifiers");
MODULE_LICENSE("GPL");
