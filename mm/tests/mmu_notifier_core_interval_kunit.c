// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of interval subscribers of MMU notifiers: where there is a subscriber already,
 * insertion allocates nothing, waits for nothing, cannot fail and leaves nothing behind.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "mmu_notifier_core.h"

/* The shortest of 50 invalidations that call no subscriber, in ns. */
static u64 invalidation_time(struct mm_struct *mm)
{
	struct mmu_notifier_range range;
	u64 then, best = U64_MAX;
	int i;

	for (i = 0; i < 50; i++) {
		then = ktime_get_ns();
		core_start(&range, mm, 32, 1);
		mmu_notifier_invalidate_range_end(&range);
		best = min(best, ktime_get_ns() - then);
		cond_resched();
	}
	return best;
}

/* The same for aging, which can come under a page-table lock. */
static u64 aging_time(struct mm_struct *mm)
{
	u64 then, best = U64_MAX;
	int i;

	for (i = 0; i < 50; i++) {
		then = ktime_get_ns();
		mmu_notifier_clear_young(mm, CORE_ADDR(32), CORE_ADDR(33));
		best = min(best, ktime_get_ns() - then);
		cond_resched();
	}
	return best;
}

static int on_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
			  unsigned long start, unsigned long end)
{
	return 0;
}

static const struct mmu_notifier_ops young_ops = { .clear_young = on_clear_young };

static int insert_and_remove_often(void *in)
{
	int i, ret = 0;

	for (i = 0; i < 10000 && !ret; i++) {
		ret = core_insert(in);
		if (!ret)
			core_remove(in);
		cond_resched();
	}
	return ret;
}

/*
 *	one invalidation	interval		other invalidations
 *
 *	start
 *				insert, remove
 *				... 10,000 times
 *							as fast as before
 *	end
 */
static void pairs_inside_leave_nothing(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval in, bystander;
	static struct mmu_notifier young;
	u64 invalidates, ages;
	struct mmu_notifier_range range;

	young = (struct mmu_notifier) { .ops = &young_ops };
	core_interval_init(&in, c->mm[0], 0, 2);
	core_interval_init(&bystander, c->mm[0], 8, 2);
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &bystander, 0), 0);
	KUNIT_ASSERT_EQ(test, mmu_notifier_register(&young, c->mm[0]), 0);

	core_start(&range, c->mm[0], 0, 2);
	invalidates = invalidation_time(c->mm[0]);
	ages = aging_time(c->mm[0]);
	KUNIT_EXPECT_EQ(test, core_run(test, insert_and_remove_often, &in, 0), 0);
	KUNIT_EXPECT_LT(test, invalidation_time(c->mm[0]),
			10 * invalidates + 50 * NSEC_PER_USEC);
	KUNIT_EXPECT_LT(test, aging_time(c->mm[0]), 10 * ages + 50 * NSEC_PER_USEC);
	mmu_notifier_invalidate_range_end(&range);

	mmu_notifier_unregister(&young, c->mm[0]);
	core_run(test, core_remove, &bystander, 0);
}

static int nr_allocs;

static int insert_counted(void *in)
{
	int ret;

	core_count_allocs();
	ret = core_insert(in);
	nr_allocs = core_counted_allocs();
	return ret;
}

static int insert_locked_counted(void *in)
{
	int ret;

	core_count_allocs();
	ret = core_insert_locked(in);
	nr_allocs = core_counted_allocs();
	return ret;
}

static int remove_counted(void *in)
{
	core_count_allocs();
	core_remove(in);
	nr_allocs = core_counted_allocs();
	return 0;
}

/* Beside a list subscriber or another interval, with something in flight or not. */
static void insert_allocates_nothing(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval in, other;
	static struct core_sub sub;
	struct mmu_notifier_range range;
	int i;

	core_interval_init(&in, c->mm[0], 0, 2);
	core_interval_init(&other, c->mm[0], 8, 2);
	core_sub_init(&sub, c->mm[0]);
	for (i = 0; i < 8; i++) {
		bool in_flight = i & 1, locked = i & 2, list = i & 4;

		KUNIT_EXPECT_EQ(test, 0, list ? core_run(test, core_register, &sub, 0) :
			       core_run(test, core_insert, &other, 0));
		if (in_flight)
			core_start(&range, c->mm[0], 0, 2);
		KUNIT_EXPECT_EQ(test, 0, core_run(test, locked ? insert_locked_counted :
						  insert_counted, &in, 0));
		KUNIT_EXPECT_EQ_MSG(test, nr_allocs, 0,
				    "%s, %s, beside %s", in_flight ? "in flight" : "quiet",
				    locked ? "locked" : "unlocked",
				    list ? "a list subscriber" : "an interval");
		core_run(test, remove_counted, &in, 0);
		KUNIT_EXPECT_EQ(test, nr_allocs, 0);
		if (in_flight)
			mmu_notifier_invalidate_range_end(&range);
		core_run(test, list ? core_unregister : core_remove,
			 list ? (void *)&sub : (void *)&other, 0);
	}
}

/*
 * Some owners test start and last, to know whether they have to remove the interval.
 * An insertion that fails leaves them as they were.
 */
static void failed_insert_leaves_bounds(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval in;

	core_interval_init(&in, c->mm[0], 4, 2);
	KUNIT_ASSERT_TRUE(test, core_map_page(c));
	KUNIT_EXPECT_EQ(test, core_run(test, core_insert, &in, SIGKILL), -EINTR);
	KUNIT_EXPECT_EQ(test, in.mni.interval_tree.start, 0);
	KUNIT_EXPECT_EQ(test, in.mni.interval_tree.last, 0);
	KUNIT_EXPECT_NULL(test, in.mni.mm);

	in.length = ULONG_MAX;
	KUNIT_EXPECT_EQ(test, core_run(test, core_insert, &in, 0), -EOVERFLOW);
	KUNIT_EXPECT_EQ(test, in.mni.interval_tree.last, 0);
	KUNIT_EXPECT_NULL(test, in.mni.mm);

	in.length = PAGE_SIZE;
	KUNIT_EXPECT_EQ(test, core_run(test, core_insert, &in, SIGUSR1), 0);
	core_invalidate(c->mm[0]);
	KUNIT_EXPECT_EQ(test, atomic_read(&in.calls), 1);
	core_run(test, core_remove, &in, 0);
}

/* Where there is a subscriber, even a killed task can insert: nothing is waited for. */
static void insert_beside_cannot_fail(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval in, other;
	struct mmu_notifier_range range;

	core_interval_init(&in, c->mm[0], 0, 2);
	core_interval_init(&other, c->mm[0], 8, 2);
	KUNIT_ASSERT_TRUE(test, core_map_page(c));
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &other, 0), 0);
	core_start(&range, c->mm[0], 0, 2);
	KUNIT_EXPECT_EQ(test, core_run(test, core_insert, &in, SIGKILL), 0);
	KUNIT_EXPECT_EQ(test, core_run(test, core_remove, &in, SIGKILL), 0);
	KUNIT_EXPECT_EQ(test, core_run(test, core_insert_locked, &in, SIGKILL), 0);
	KUNIT_EXPECT_EQ(test, core_run(test, core_remove, &in, 0), 0);
	mmu_notifier_invalidate_range_end(&range);
	core_run(test, core_remove, &other, 0);
}

/*
 *	invalidation		interval
 *
 *	start
 *				insert: returns
 *				read_begin: waits
 *	end
 *				goes on; the page that it looks up is not that of before
 *
 * With nothing in flight it does not wait, and it waits for nothing that begins later
 * elsewhere.
 */
static void fresh_interval_settles(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval in, other;
	struct mmu_notifier_range range;
	struct core_job *job;

	core_interval_init(&in, c->mm[0], 0, 2);
	core_interval_init(&other, c->mm[0], 8, 2);
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &other, 0), 0);
	core_start(&range, c->mm[0], 0, 2);
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &in, 0), 0);
	job = core_job_start(test, core_read_begin, &in, 0);
	KUNIT_EXPECT_TRUE(test, core_job_waits(job));
	KUNIT_EXPECT_EQ(test, atomic_read(&in.calls), 0);
	mmu_notifier_invalidate_range_end(&range);
	core_job_finish(test, job);
	KUNIT_EXPECT_FALSE(test, mmu_interval_read_retry(&in.mni, in.seq));

	core_start(&range, c->mm[0], 32, 1);
	core_run(test, core_read_begin, &in, 0);
	mmu_notifier_invalidate_range_end(&range);
	core_invalidate(c->mm[0]);
	KUNIT_EXPECT_TRUE(test, mmu_interval_read_retry(&in.mni, in.seq));
	core_run(test, core_remove, &in, 0);
	core_run(test, core_remove, &other, 0);
}

/* A second task that reads an interval that has not settled waits as the first does. */
static void fresh_interval_settles_for_all(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval in, other;
	struct mmu_notifier_range range;
	struct core_job *jobs[3];
	int i;

	core_interval_init(&in, c->mm[0], 0, 2);
	core_interval_init(&other, c->mm[0], 8, 2);
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &other, 0), 0);
	core_start(&range, c->mm[0], 0, 2);
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &in, 0), 0);
	for (i = 0; i < 3; i++) {
		jobs[i] = core_job_start(test, core_read_begin, &in, 0);
		KUNIT_EXPECT_TRUE(test, core_job_waits(jobs[i]));
	}
	mmu_notifier_invalidate_range_end(&range);
	for (i = 0; i < 3; i++)
		core_job_finish(test, jobs[i]);
	core_run(test, core_remove, &in, 0);
	core_run(test, core_remove, &other, 0);
}

/*
 * An interval that comes while an invalidation waits in another one's callback, and
 * goes again: the invalidation's end takes nothing from the one that comes next.
 */
static void end_counts_what_its_start_counted(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval first, in;
	struct mmu_notifier_range range;
	struct core_job *job;

	core_interval_init(&first, c->mm[0], 0, 2);
	core_interval_init(&in, c->mm[0], 2, 2);
	first.gated = true;
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &first, 0), 0);
	job = core_job_start(test, core_invalidate, c->mm[0], 0);
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&first.entered, CORE_HANGS));
	KUNIT_EXPECT_EQ(test, core_run(test, core_insert, &in, 0), 0);
	core_start(&range, c->mm[0], 2, 2);
	complete_all(&first.go);
	core_job_finish(test, job);

	/* This one is in flight still, so it waits. */
	job = core_job_start(test, core_read_begin, &in, 0);
	KUNIT_EXPECT_TRUE(test, core_job_waits(job));
	mmu_notifier_invalidate_range_end(&range);
	core_job_finish(test, job);
	core_run(test, core_remove, &in, 0);
	core_run(test, core_remove, &first, 0);
}

static struct kunit_case interval_cases[] = {
	KUNIT_CASE_SLOW(pairs_inside_leave_nothing),
	KUNIT_CASE(insert_allocates_nothing),
	KUNIT_CASE(failed_insert_leaves_bounds),
	KUNIT_CASE(insert_beside_cannot_fail),
	KUNIT_CASE(fresh_interval_settles),
	KUNIT_CASE(fresh_interval_settles_for_all),
	KUNIT_CASE(end_counts_what_its_start_counted),
	{}
};

static struct kunit_suite interval_suite = {
	.name = "mmu_notifier_core_interval",
	.init = core_init,
	.exit = core_exit,
	.test_cases = interval_cases,
};

kunit_test_suites(&interval_suite);

MODULE_DESCRIPTION("KUnit tests for MMU notifiers: intervals");
MODULE_LICENSE("GPL");
