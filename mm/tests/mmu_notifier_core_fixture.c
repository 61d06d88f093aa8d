// SPDX-License-Identifier: GPL-2.0
/*
 * The fixture of the KUnit suites of the MMU notifier core: see mmu_notifier_core.h.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/kthread.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <trace/events/kmem.h>

#include "mmu_notifier_core.h"

int core_init(struct kunit *test)
{
	struct core *c = kzalloc(sizeof(*c), GFP_KERNEL);
	int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
	test->priv = c;
	/* The invalidations here protect no page table, and hold no lock. */
	mmu_notifier_debug_disable();
	for (i = 0; i < ARRAY_SIZE(c->mm); i++) {
		c->mm[i] = mm_alloc();
		KUNIT_ASSERT_NOT_NULL(test, c->mm[i]);
		mmgrab(c->mm[i]);
		c->alive[i] = true;
	}
	return 0;
}

void core_mm_exit(struct core *c, int nr)
{
	mmput(core_mm_steal(c, nr));
}

struct mm_struct *core_mm_steal(struct core *c, int nr)
{
	WARN_ON(!c->alive[nr]);
	c->alive[nr] = false;
	return c->mm[nr];
}

static int core_mms_exit(void *data)
{
	struct core *c = data;
	int i;

	for (i = 0; i < ARRAY_SIZE(c->mm); i++)
		if (c->mm[i] && c->alive[i])
			core_mm_exit(c, i);
	return 0;
}

/* A subscriber that was put gives its reference back with some delay. */
static bool core_mm_is_unused(struct mm_struct *mm)
{
	int i;

	for (i = 0; i < 2000; i++) {
		if (atomic_read(&mm->mm_count) == 1)
			return true;
		fsleep(1000);
	}
	return false;
}

void core_exit(struct kunit *test)
{
	struct core *c = test->priv;
	int i;

	if (!c || c->leak)
		return;
	/* In a thread: an exit that hangs is to fail, and no more. */
	if (core_run(test, core_mms_exit, c, 0))
		return;
	for (i = 0; i < ARRAY_SIZE(c->mm); i++) {
		if (!c->mm[i])
			continue;
		KUNIT_EXPECT_TRUE_MSG(test, core_mm_is_unused(c->mm[i]),
				      "mm %d is still used", i);
		mmdrop(c->mm[i]);
	}
	kfree(c);
}

bool core_map_page(struct core *c)
{
	struct file *file = shmem_file_setup("mmu_notifier_core", PAGE_SIZE, 0);
	struct vm_area_struct *vma = vm_area_alloc(c->mm[0]);
	int ret = -ENOMEM;

	if (IS_ERR(file) || !vma)
		goto err;
	vma->vm_start = CORE_ADDR(0);
	vma->vm_end = CORE_ADDR(1);
	vma->vm_file = file;
	vm_flags_init(vma, VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE);
	vma->vm_page_prot = vm_get_page_prot(vma->vm_flags);
	mmap_write_lock(c->mm[0]);
	ret = insert_vm_struct(c->mm[0], vma);
	if (!ret) {
		c->vma = vma;
		ret = anon_vma_prepare(vma);
	}
	mmap_write_unlock(c->mm[0]);
	if (c->vma)
		return !ret;
err:
	if (vma)
		vm_area_free(vma);
	if (!IS_ERR(file))
		fput(file);
	return false;
}

/*
 * Jobs.
 */

static int core_job_main(void *data)
{
	struct core_job *job = data;

	allow_signal(SIGUSR1);
	allow_signal(SIGKILL);
	if (job->sig)
		send_sig(job->sig, current, 1);
	mmu_notifier_debug_disable();
	job->ret = job->fn(job->arg);
	flush_signals(current);
	complete_all(&job->done);
	return 0;
}

struct core_job *core_job_start(struct kunit *test, int (*fn)(void *arg), void *arg,
				int sig)
{
	struct core_job *job = kzalloc(sizeof(*job), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->fn = fn;
	job->arg = arg;
	job->sig = sig;
	init_completion(&job->done);
	job->task = kthread_create(core_job_main, job, "mmu_notifier_core");
	KUNIT_ASSERT_FALSE(test, IS_ERR(job->task));
	get_task_struct(job->task);
	wake_up_process(job->task);
	return job;
}

bool core_job_waits(struct core_job *job)
{
	int i;

	for (i = 0; i < 1000 && !completion_done(&job->done); i++) {
		if (READ_ONCE(job->task->__state) & TASK_UNINTERRUPTIBLE)
			break;
		fsleep(1000);
	}
	msleep(CORE_WAITS_MS);
	return !completion_done(&job->done);
}

int core_job_finish(struct kunit *test, struct core_job *job)
{
	struct core *c = test->priv;
	int ret;

	if (!wait_for_completion_timeout(&job->done, CORE_HANGS)) {
		KUNIT_FAIL(test, "%ps hangs", job->fn);
		c->leak = true;
		return -ETIMEDOUT;
	}
	kthread_stop_put(job->task);
	ret = job->ret;
	kfree(job);
	return ret;
}

int core_run(struct kunit *test, int (*fn)(void *arg), void *arg, int sig)
{
	return core_job_finish(test, core_job_start(test, fn, arg, sig));
}

/*
 * List subscribers.
 */

static void core_on_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	atomic_inc(&container_of(mn, struct core_sub, mn)->releases);
}

static int core_on_start(struct mmu_notifier *mn,
			 const struct mmu_notifier_range *range)
{
	struct core_sub *sub = container_of(mn, struct core_sub, mn);
	bool blockable = mmu_notifier_range_blockable(range);

	if (blockable ? sub->refuse_blocking : sub->refuse) {
		atomic_inc(&sub->refusals);
		if (sub->in_start)
			sub->in_start(sub);
		return -EAGAIN;
	}
	atomic_inc(&sub->starts);
	if (sub->in_start)
		sub->in_start(sub);
	if (blockable && READ_ONCE(sub->gated)) {
		WRITE_ONCE(sub->gated, false);
		complete_all(&sub->entered);
		wait_for_completion_timeout(&sub->go, 3 * CORE_HANGS);
	}
	return 0;
}

static void core_on_end(struct mmu_notifier *mn,
			const struct mmu_notifier_range *range)
{
	atomic_inc(&container_of(mn, struct core_sub, mn)->ends);
}

const struct mmu_notifier_ops core_sub_ops = {
	.release		= core_on_release,
	.invalidate_range_start	= core_on_start,
	.invalidate_range_end	= core_on_end,
};

struct core_sub *core_get_next;

static struct mmu_notifier *core_on_alloc(struct mm_struct *mm)
{
	return &core_get_next->mn;
}

static void core_on_free(struct mmu_notifier *mn)
{
	atomic_inc(&container_of(mn, struct core_sub, mn)->frees);
}

const struct mmu_notifier_ops core_get_ops = {
	.release		= core_on_release,
	.invalidate_range_start	= core_on_start,
	.invalidate_range_end	= core_on_end,
	.alloc_notifier		= core_on_alloc,
	.free_notifier		= core_on_free,
};

void core_sub_init(struct core_sub *sub, struct mm_struct *mm)
{
	memset(sub, 0, sizeof(*sub));
	sub->mn.ops = &core_sub_ops;
	sub->mm = mm;
	init_completion(&sub->entered);
	init_completion(&sub->go);
}

int core_register(void *data)
{
	struct core_sub *sub = data;

	if (sub->last)
		return mmu_notifier_register_range(&sub->mn, sub->mm, sub->start,
						   sub->last, MMU_NOTIFIER_ALL_EVENTS);
	return mmu_notifier_register(&sub->mn, sub->mm);
}

int core_unregister(void *data)
{
	struct core_sub *sub = data;

	mmu_notifier_unregister(&sub->mn, sub->mm);
	return 0;
}

int core_put(void *data)
{
	mmu_notifier_put(&((struct core_sub *)data)->mn);
	return 0;
}

/*
 * Interval subscribers.
 */

static bool core_on_invalidate(struct mmu_interval_notifier *mni,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	struct core_interval *in = container_of(mni, struct core_interval, mni);

	if (!mmu_notifier_range_blockable(range) && in->refuse)
		return false;
	spin_lock(&in->lock);
	if (!in->forget_seq)
		mmu_interval_set_seq(mni, cur_seq);
	spin_unlock(&in->lock);
	atomic_inc(range->event == MMU_NOTIFY_RELEASE ? &in->releases : &in->calls);
	if (in->in_invalidate)
		in->in_invalidate(in);
	if (READ_ONCE(in->gated)) {
		WRITE_ONCE(in->gated, false);
		complete_all(&in->entered);
		wait_for_completion_timeout(&in->go, 3 * CORE_HANGS);
	}
	return true;
}

static const struct mmu_interval_notifier_ops core_interval_ops = {
	.invalidate = core_on_invalidate,
};

void core_interval_init(struct core_interval *in, struct mm_struct *mm,
			unsigned int page, unsigned int nr_pages)
{
	memset(in, 0, sizeof(*in));
	in->mm = mm;
	in->start = CORE_ADDR(page);
	in->length = nr_pages * PAGE_SIZE;
	spin_lock_init(&in->lock);
	init_completion(&in->entered);
	init_completion(&in->go);
}

int core_insert(void *data)
{
	struct core_interval *in = data;

	return mmu_interval_notifier_insert(&in->mni, in->mm, in->start, in->length,
					    &core_interval_ops);
}

int core_insert_locked(void *data)
{
	struct core_interval *in = data;
	int ret;

	mmap_write_lock(in->mm);
	ret = mmu_interval_notifier_insert_locked(&in->mni, in->mm, in->start,
						  in->length, &core_interval_ops);
	mmap_write_unlock(in->mm);
	return ret;
}

int core_remove(void *data)
{
	mmu_interval_notifier_remove(&((struct core_interval *)data)->mni);
	return 0;
}

int core_read_begin(void *data)
{
	struct core_interval *in = data;

	in->seq = mmu_interval_read_begin(&in->mni);
	return 0;
}

/*
 * Invalidations.
 */

static void core_range(struct mmu_notifier_range *range, struct mm_struct *mm,
		       unsigned int page, unsigned int nr)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, CORE_ADDR(page),
				CORE_ADDR(page + nr));
}

void core_start(struct mmu_notifier_range *range, struct mm_struct *mm,
		unsigned int page, unsigned int nr)
{
	core_range(range, mm, page, nr);
	mmu_notifier_invalidate_range_start(range);
}

int core_start_nonblock(struct mmu_notifier_range *range, struct mm_struct *mm,
			unsigned int page, unsigned int nr)
{
	core_range(range, mm, page, nr);
	return mmu_notifier_invalidate_range_start_nonblock(range);
}

int core_invalidate(void *mm)
{
	struct mmu_notifier_range range;

	core_start(&range, mm, 0, 8);
	mmu_notifier_invalidate_range_end(&range);
	return 0;
}

/*
 * Probes.
 */

static struct task_struct *allocs_of;
static int nr_allocs;

static void core_count(void)
{
	if (in_task() && current == READ_ONCE(allocs_of))
		nr_allocs++;
}

static void core_kmalloc_probe(void *data, unsigned long call_site, const void *ptr,
			       size_t bytes_req, size_t bytes_alloc, gfp_t gfp_flags,
			       int node)
{
	core_count();
}

static void core_cache_probe(void *data, unsigned long call_site, const void *ptr,
			     struct kmem_cache *s, gfp_t gfp_flags, int node)
{
	core_count();
}

void core_count_allocs(void)
{
	nr_allocs = 0;
	WARN_ON(register_trace_kmalloc(core_kmalloc_probe, NULL));
	WARN_ON(register_trace_kmem_cache_alloc(core_cache_probe, NULL));
	WRITE_ONCE(allocs_of, current);
}

int core_counted_allocs(void)
{
	WRITE_ONCE(allocs_of, NULL);
	unregister_trace_kmem_cache_alloc(core_cache_probe, NULL);
	unregister_trace_kmalloc(core_kmalloc_probe, NULL);
	tracepoint_synchronize_unregister();
	return nr_allocs;
}

static bool core_next_line(struct kmsg_dump_iter *iter, char *line, size_t size)
{
	size_t len;

	if (!kmsg_dump_get_line(iter, false, line, size - 1, &len))
		return false;
	line[min(len, size - 1)] = '\0';
	return true;
}

void core_text_begin(struct kmsg_dump_iter *iter)
{
	char line[256];

	kmsg_dump_rewind(iter);
	while (core_next_line(iter, line, sizeof(line)))
		;
}

/* A warning: "cut here", its own text if it has one, the line with the place. */
bool core_warning_says(struct kmsg_dump_iter *iter, const char *word)
{
	bool in_text = false, found = false;
	char line[256];

	while (core_next_line(iter, line, sizeof(line))) {
		if (strstr(line, "cut here"))
			in_text = true;
		else if (strstr(line, "WARNING:"))
			in_text = false;
		else if (in_text && strstr(line, word))
			found = true;
	}
	return found;
}
