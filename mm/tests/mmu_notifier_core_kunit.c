// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of list subscribers of MMU notifiers that come and go: what registration
 * must not do, which calls a subscriber gets that comes or goes while an
 * invalidation is in flight, and what the exit of an mm waits for.
 *
 * Each case is about one fault that a core can have.  The comment above a case names
 * it.
 */
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "mmu_notifier_core.h"
#include "mmu_notifier_warnings.h"

#define EXPECT_CALLS(test, sub, nr_starts, nr_ends) do {			\
	KUNIT_EXPECT_EQ(test, atomic_read(&(sub)->starts), nr_starts);		\
	KUNIT_EXPECT_EQ(test, atomic_read(&(sub)->ends), nr_ends);		\
} while (0)

/*
 * Registration.
 */

#ifdef CONFIG_HOTPLUG_CPU
static bool offline_sleeps, offline_is_over;
static struct completion offline_began;

static int going_offline(unsigned int cpu)
{
	if (READ_ONCE(offline_sleeps)) {
		complete_all(&offline_began);
		msleep(2000);
		WRITE_ONCE(offline_is_over, true);
	}
	return 0;
}

static int cpu_off_and_on(void *unused)
{
	int ret = remove_cpu(1);

	WRITE_ONCE(offline_sleeps, false);
	return ret ?: add_cpu(1);
}

static int register_locked(void *data)
{
	struct core_sub *sub = data;
	int ret;

	mmap_write_lock(sub->mm);
	ret = __mmu_notifier_register(&sub->mn, sub->mm);
	mmap_write_unlock(sub->mm);
	return ret;
}

/*
 *	CPU 1 goes offline		the mm's first subscriber
 *
 *	cpus_write_lock()
 *	a callback sleeps
 *					mmap_write_lock()
 *					registers or inserts: 0
 *					mmap_write_unlock()
 *	cpus_write_unlock()
 *
 * SGX, gntdev, nouveau and GRU subscribe under mmap_lock, and cannot cope with
 * -EAGAIN.  These cases come first: a core that patches its hooks when the first subscriber
 * in the system comes has to do that here.
 */
static void register_beside_cpu_hotplug(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub;
	static struct core_interval in;
	struct core_job *hotplug;
	int state, ret, i;

	if (num_online_cpus() < 2 || !cpu_online(1))
		kunit_skip(test, "needs a second CPU");
	core_sub_init(&sub, c->mm[0]);
	core_interval_init(&in, c->mm[1], 0, 2);
	init_completion(&offline_began);
	state = cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "mm/mmu_notifier_core",
					  NULL, going_offline);
	KUNIT_ASSERT_GT(test, state, 0);
	offline_sleeps = true;
	offline_is_over = false;
	hotplug = core_job_start(test, cpu_off_and_on, NULL, 0);
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&offline_began, CORE_HANGS));

	for (i = 0; i < 2; i++) {
		ret = i ? core_run(test, core_insert_locked, &in, 0) :
			  core_run(test, register_locked, &sub, 0);
		KUNIT_EXPECT_EQ_MSG(test, ret, 0, "%s", i ? "insert" : "register");
		KUNIT_EXPECT_FALSE(test, READ_ONCE(offline_is_over));
		if (!ret)
			core_run(test, i ? core_remove : core_unregister,
				 i ? (void *)&in : (void *)&sub, 0);
	}
	KUNIT_EXPECT_EQ(test, core_job_finish(test, hotplug), 0);
	cpuhp_remove_state_nocalls(state);
}
#endif

/*
 * A subscriber of pages 0 and 1 is refused when it registers once more, with another
 * range: it is still told of pages 0 and 1, and of nothing else.  The third one
 * makes a core that keeps copies of the ranges renew them.
 */
static void refused_second_keeps_range(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub, third;
	struct mmu_notifier_range range;

	core_sub_init(&sub, c->mm[0]);
	core_sub_init(&third, c->mm[0]);
	sub.start = CORE_ADDR(0);
	sub.last = CORE_ADDR(2) - 1;
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &sub, 0), 0);

	sub.start = CORE_ADDR(16);
	sub.last = CORE_ADDR(18) - 1;
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, core_run(test, core_register, &sub, 0), -EBUSY);
	warnings_end(test, 1);
	KUNIT_EXPECT_EQ(test, core_run(test, core_register, &third, 0), 0);

	core_start(&range, c->mm[0], 0, 2);
	mmu_notifier_invalidate_range_end(&range);
	EXPECT_CALLS(test, &sub, 1, 1);
	core_start(&range, c->mm[0], 16, 2);
	mmu_notifier_invalidate_range_end(&range);
	EXPECT_CALLS(test, &sub, 1, 1);

	core_run(test, core_unregister, &third, 0);
	core_run(test, core_unregister, &sub, 0);
}

/*
 * One structure, two mms: the second registration is refused with a warning, and
 * the first one stays as it is.
 */
static void two_mms_refused(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub;
	int ret;

	core_sub_init(&sub, c->mm[0]);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &sub, 0), 0);
	sub.mm = c->mm[1];
	warnings_begin(test);
	ret = core_run(test, core_register, &sub, 0);
	warnings_end(test, 1);
	KUNIT_EXPECT_TRUE_MSG(test, ret == -EBUSY || ret == -EINVAL, "%d", ret);
	if (!ret) {
		/* It stands in two lists, and can leave neither. */
		c->leak = true;
		return;
	}
	KUNIT_EXPECT_PTR_EQ(test, sub.mn.mm, c->mm[0]);
	core_invalidate(c->mm[1]);
	EXPECT_CALLS(test, &sub, 0, 0);
	core_invalidate(c->mm[0]);
	EXPECT_CALLS(test, &sub, 1, 1);
	sub.mm = c->mm[0];
	core_run(test, core_unregister, &sub, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&sub.releases), 1);
}

/* An ordinary signal is nothing to registration; a fatal one leaves nothing behind. */
static void register_with_signal(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub, second;

	core_sub_init(&sub, c->mm[0]);
	core_sub_init(&second, c->mm[0]);
	KUNIT_ASSERT_TRUE(test, core_map_page(c));
	KUNIT_EXPECT_EQ(test, core_run(test, core_register, &sub, SIGKILL), -EINTR);
	KUNIT_EXPECT_NULL(test, sub.mn.mm);
	core_invalidate(c->mm[0]);
	EXPECT_CALLS(test, &sub, 0, 0);

	KUNIT_EXPECT_EQ(test, core_run(test, core_register, &sub, SIGUSR1), 0);
	KUNIT_EXPECT_EQ(test, core_run(test, core_register, &second, SIGUSR1), 0);
	core_invalidate(c->mm[0]);
	EXPECT_CALLS(test, &sub, 1, 1);
	EXPECT_CALLS(test, &second, 1, 1);
	core_run(test, core_unregister, &second, 0);
	core_run(test, core_unregister, &sub, 0);
}

/* Unregister is reliable: it asks for no memory, whether others stay or not. */
static void unregister_allocates_nothing(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub subs[2];
	int i;

	for (i = 0; i < 2; i++) {
		core_sub_init(&subs[i], c->mm[0]);
		KUNIT_ASSERT_EQ(test, core_run(test, core_register, &subs[i], 0), 0);
	}
	for (i = 0; i < 2; i++) {
		core_count_allocs();
		core_unregister(&subs[i]);
		KUNIT_EXPECT_EQ(test, core_counted_allocs(), 0);
	}
}

/*
 * The same number of subscribers in many mms and in one: the time of registration,
 * exit and unregistration must not depend on how many are there.  Half of them ask
 * for a range.
 */
#define MANY_MMS	8
#define MANY_EACH	1000

static int many_register(struct core_sub *subs, struct mm_struct *mm, int nr)
{
	int i, ret = 0;

	for (i = 0; i < nr && !ret; i++) {
		core_sub_init(&subs[i], mm);
		if (i & 1) {
			subs[i].start = CORE_ADDR(i);
			subs[i].last = CORE_ADDR(i + 1) - 1;
		}
		ret = core_register(&subs[i]);
		cond_resched();
	}
	return ret;
}

struct many_times {
	u64 registered;
	u64 exited;
	u64 left;
};

static int many(struct kunit *test, struct core_sub *subs, int nr, struct many_times *t)
{
	struct mm_struct *mm = mm_alloc();
	u64 then = ktime_get_ns();
	int i, ret;

	if (!mm)
		return -ENOMEM;
	mmgrab(mm);
	ret = many_register(subs, mm, nr);
	t->registered += ktime_get_ns() - then;

	then = ktime_get_ns();
	mmput(mm);
	t->exited += ktime_get_ns() - then;

	then = ktime_get_ns();
	for (i = 0; i < nr && !ret; i++) {
		KUNIT_EXPECT_EQ(test, atomic_read(&subs[i].releases), 1);
		core_unregister(&subs[i]);
		cond_resched();
	}
	t->left += ktime_get_ns() - then;
	mmdrop(mm);
	return ret;
}

static void many_in_proportion(struct kunit *test)
{
	struct core_sub *subs = vcalloc(MANY_MMS * MANY_EACH, sizeof(*subs));
	struct many_times few = {}, all = {};
	int i;

	KUNIT_ASSERT_NOT_NULL(test, subs);
	for (i = 0; i < MANY_MMS; i++)
		KUNIT_EXPECT_EQ(test, many(test, subs, MANY_EACH, &few), 0);
	KUNIT_EXPECT_EQ(test, many(test, subs, MANY_MMS * MANY_EACH, &all), 0);
	kunit_info(test, "%u ms and %u ms to register, %u and %u to exit, %u and %u to leave\n",
		   (u32)(few.registered / NSEC_PER_MSEC),
		   (u32)(all.registered / NSEC_PER_MSEC),
		   (u32)(few.exited / NSEC_PER_MSEC), (u32)(all.exited / NSEC_PER_MSEC),
		   (u32)(few.left / NSEC_PER_MSEC), (u32)(all.left / NSEC_PER_MSEC));
	/* What is n² takes MANY_MMS times as long.  50 ms: noise. */
	KUNIT_EXPECT_LT(test, all.registered, few.registered * 3 / 2 + 50 * NSEC_PER_MSEC);
	KUNIT_EXPECT_LT(test, all.exited, few.exited * 2 + 50 * NSEC_PER_MSEC);
	KUNIT_EXPECT_LT(test, all.left, few.left * 3 / 2 + 50 * NSEC_PER_MSEC);
	vfree(subs);
}

static struct kunit_case register_cases[] = {
#ifdef CONFIG_HOTPLUG_CPU
	KUNIT_CASE_SLOW(register_beside_cpu_hotplug),
#endif
	KUNIT_CASE(refused_second_keeps_range),
	KUNIT_CASE(two_mms_refused),
	KUNIT_CASE(register_with_signal),
	KUNIT_CASE(unregister_allocates_nothing),
	KUNIT_CASE_SLOW(many_in_proportion),
	{}
};

static struct kunit_suite register_suite = {
	.name = "mmu_notifier_core_register",
	.init = core_init,
	.exit = core_exit,
	.test_cases = register_cases,
};

/*
 * Birth and death: an invalidation is told to the subscribers that were there when it began.
 */

/*
 *	invalidation		newcomer
 *
 *	start: old
 *				registers: waits
 *	end: old
 *				registered
 *	start: both
 *	end: both
 */
static void newcomer_hears_no_end(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub old, newcomer;
	struct mmu_notifier_range range;
	struct core_job *job;

	core_sub_init(&old, c->mm[0]);
	core_sub_init(&newcomer, c->mm[0]);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &old, 0), 0);
	core_start(&range, c->mm[0], 0, 8);
	job = core_job_start(test, core_register, &newcomer, 0);
	KUNIT_EXPECT_TRUE(test, core_job_waits(job));
	mmu_notifier_invalidate_range_end(&range);
	KUNIT_EXPECT_EQ(test, core_job_finish(test, job), 0);
	EXPECT_CALLS(test, &old, 1, 1);
	EXPECT_CALLS(test, &newcomer, 0, 0);
	core_invalidate(c->mm[0]);
	EXPECT_CALLS(test, &old, 2, 2);
	EXPECT_CALLS(test, &newcomer, 1, 1);
	core_run(test, core_unregister, &newcomer, 0);
	core_run(test, core_unregister, &old, 0);
}

/* While one waits to be registered, it is told of what begins, start and end. */
static void newcomer_hears_what_begins(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub old, newcomer;
	struct mmu_notifier_range first, second;
	struct core_job *job;

	core_sub_init(&old, c->mm[0]);
	core_sub_init(&newcomer, c->mm[0]);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &old, 0), 0);
	core_start(&first, c->mm[0], 0, 8);
	job = core_job_start(test, core_register, &newcomer, 0);
	KUNIT_EXPECT_TRUE(test, core_job_waits(job));
	core_start(&second, c->mm[0], 0, 8);
	EXPECT_CALLS(test, &newcomer, 1, 0);
	mmu_notifier_invalidate_range_end(&first);
	EXPECT_CALLS(test, &newcomer, 1, 0);
	KUNIT_EXPECT_EQ(test, core_job_finish(test, job), 0);
	mmu_notifier_invalidate_range_end(&second);
	EXPECT_CALLS(test, &newcomer, 1, 1);
	EXPECT_CALLS(test, &old, 2, 2);
	core_run(test, core_unregister, &newcomer, 0);
	core_run(test, core_unregister, &old, 0);
}

/*
 *	invalidation		leaver
 *
 *	start: both
 *				unregisters: release, waits
 *	another one: stays
 *	end: both
 *				unregistered
 */
static void leaver_hears_its_end(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub stays, leaver;
	struct mmu_notifier_range range;
	struct core_job *job;

	core_sub_init(&stays, c->mm[0]);
	core_sub_init(&leaver, c->mm[0]);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &stays, 0), 0);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &leaver, 0), 0);
	core_start(&range, c->mm[0], 0, 8);
	job = core_job_start(test, core_unregister, &leaver, 0);
	KUNIT_EXPECT_TRUE(test, core_job_waits(job));
	KUNIT_EXPECT_EQ(test, atomic_read(&leaver.releases), 1);
	core_invalidate(c->mm[0]);
	EXPECT_CALLS(test, &leaver, 1, 0);
	EXPECT_CALLS(test, &stays, 2, 1);
	mmu_notifier_invalidate_range_end(&range);
	KUNIT_EXPECT_EQ(test, core_job_finish(test, job), 0);
	EXPECT_CALLS(test, &leaver, 1, 1);
	core_invalidate(c->mm[0]);
	EXPECT_CALLS(test, &leaver, 1, 1);
	core_run(test, core_unregister, &stays, 0);
}

/* A put does not wait; the free that follows comes after the end. */
static void put_hears_its_end(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub;
	struct mmu_notifier_range range;
	struct mmu_notifier *mn;

	core_sub_init(&sub, c->mm[0]);
	core_get_next = &sub;
	mn = mmu_notifier_get(&core_get_ops, c->mm[0]);
	KUNIT_ASSERT_PTR_EQ(test, mn, &sub.mn);
	core_start(&range, c->mm[0], 0, 8);
	mmu_notifier_put(mn);
	core_invalidate(c->mm[0]);
	EXPECT_CALLS(test, &sub, 1, 0);
	msleep(CORE_WAITS_MS);
	KUNIT_EXPECT_EQ(test, atomic_read(&sub.frees), 0);
	mmu_notifier_invalidate_range_end(&range);
	EXPECT_CALLS(test, &sub, 1, 1);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_EQ(test, atomic_read(&sub.frees), 1);
	/* The owner gave it up: the mm's death is nothing to it any more. */
	KUNIT_EXPECT_EQ(test, atomic_read(&sub.releases), 0);
}

static struct core_job *refusal_job;
static struct completion refusal_go;
static bool refusal_began;

static int comes_when_refused(void *sub)
{
	wait_for_completion(&refusal_go);
	WRITE_ONCE(refusal_began, true);
	return core_register(sub);
}

static int goes_when_refused(void *sub)
{
	wait_for_completion(&refusal_go);
	WRITE_ONCE(refusal_began, true);
	return core_unregister(sub);
}

/* A callback of a non-blocking start: poll until the other thread waits, at most half a second. */
static void until_other_waits(struct core_sub *sub)
{
	u64 end = ktime_get_ns() + 500 * NSEC_PER_MSEC;

	complete_all(&refusal_go);
	while (ktime_get_ns() < end) {
		if (READ_ONCE(refusal_began) &&
		    READ_ONCE(refusal_job->task->__state) & TASK_UNINTERRUPTIBLE)
			break;
		cpu_relax();
	}
}

/*
 *	non-blocking start		newcomer or leaver
 *
 *	start: refuser
 *					comes, or goes: waits
 *	refused
 *	end: those called before
 *
 * The walk back meets one that was not there at the start, or is about to go.  The
 * refuser is the oldest, so that those before it in the list are called first.
 */
static void refused_start_ends_those_called(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub refuser, called, other;
	struct mmu_notifier_range range;
	int leaves;

	for (leaves = 0; leaves < 2; leaves++) {
		core_sub_init(&refuser, c->mm[0]);
		core_sub_init(&called, c->mm[0]);
		core_sub_init(&other, c->mm[0]);
		refuser.refuse = true;
		refuser.in_start = until_other_waits;
		KUNIT_ASSERT_EQ(test, core_run(test, core_register, &refuser, 0), 0);
		KUNIT_ASSERT_EQ(test, core_run(test, core_register, &called, 0), 0);
		if (leaves)
			KUNIT_ASSERT_EQ(test, core_run(test, core_register, &other, 0), 0);

		init_completion(&refusal_go);
		refusal_began = false;
		refusal_job = core_job_start(test, leaves ? goes_when_refused :
					     comes_when_refused, &other, 0);
		KUNIT_EXPECT_EQ(test, core_start_nonblock(&range, c->mm[0], 0, 8), -EAGAIN);
		KUNIT_EXPECT_EQ(test, core_job_finish(test, refusal_job), 0);
		KUNIT_EXPECT_EQ(test, atomic_read(&refuser.refusals), 1);
		EXPECT_CALLS(test, &refuser, 0, 0);
		/* The others are pairs, if they were called. */
		KUNIT_EXPECT_EQ(test, atomic_read(&called.starts),
				atomic_read(&called.ends));
		KUNIT_EXPECT_EQ(test, atomic_read(&other.starts),
				atomic_read(&other.ends));

		if (!leaves)
			core_run(test, core_unregister, &other, 0);
		core_run(test, core_unregister, &called, 0);
		core_run(test, core_unregister, &refuser, 0);
	}
}

static struct kunit_case birth_cases[] = {
	KUNIT_CASE(newcomer_hears_no_end),
	KUNIT_CASE(newcomer_hears_what_begins),
	KUNIT_CASE(leaver_hears_its_end),
	KUNIT_CASE(put_hears_its_end),
	KUNIT_CASE(refused_start_ends_those_called),
	{}
};

static struct kunit_suite birth_suite = {
	.name = "mmu_notifier_core_birth",
	.init = core_init,
	.exit = core_exit,
	.test_cases = birth_cases,
};

/*
 * The exit of an mm.
 */

static int exit_first(void *data)
{
	core_mm_exit(data, 0);
	return 0;
}

/*
 *	reverse-map walk	exit
 *
 *	start: the interval
 *				calls the interval for its release
 *				returns
 *	end
 *
 * No interval is told of the end of an invalidation, so exit need not wait for it.
 */
static void exit_of_intervals_waits_for_nothing(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval in;
	struct mmu_notifier_range range;
	struct core_job *job;

	core_interval_init(&in, c->mm[0], 0, 2);
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &in, 0), 0);
	core_start(&range, c->mm[0], 0, 8);
	job = core_job_start(test, exit_first, c, 0);
	KUNIT_EXPECT_TRUE_MSG(test, wait_for_completion_timeout(&job->done, HZ),
			      "exit waits for an invalidation");
	mmu_notifier_invalidate_range_end(&range);
	core_job_finish(test, job);
	KUNIT_EXPECT_EQ(test, atomic_read(&in.releases), 1);
	core_run(test, core_remove, &in, 0);
}

/* A list subscriber that saw a start sees its end, though the mm dies between. */
static void exit_between_start_and_end(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub;
	struct mmu_notifier_range range;
	struct core_job *job;

	core_sub_init(&sub, c->mm[0]);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &sub, 0), 0);
	core_start(&range, c->mm[0], 0, 8);
	job = core_job_start(test, exit_first, c, 0);
	core_job_waits(job);
	KUNIT_EXPECT_EQ(test, atomic_read(&sub.releases), 1);
	EXPECT_CALLS(test, &sub, 1, 0);
	mmu_notifier_invalidate_range_end(&range);
	EXPECT_CALLS(test, &sub, 1, 1);
	core_job_finish(test, job);
	core_run(test, core_unregister, &sub, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&sub.releases), 1);
}

/*
 * Exit takes mmap_lock, which a callback may not take.  No other task can hold the mmap_lock of a
 * dead mm, but lockdep cannot know that: it is off in here.
 */
static void put_mm(struct mm_struct *mm)
{
	if (!mm)
		return;
	lockdep_off();
	mmput(mm);
	lockdep_on();
}

static void sub_puts_mm(struct core_sub *sub)
{
	put_mm(xchg((struct mm_struct **)&sub->data, NULL));
}

static void interval_puts_mm(struct core_interval *in)
{
	put_mm(xchg((struct mm_struct **)&in->data, NULL));
}

/*
 *	invalidation		(the same task)
 *
 *	start
 *	  invalidate()
 *	    mmput(): the last one
 *	      exit: calls invalidate() for the release
 *
 * amdgpu did that in 2025.  Exit has nothing to wait for.
 */
static void last_mmput_in_invalidate(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_interval in;

	core_interval_init(&in, c->mm[0], 0, 2);
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &in, 0), 0);
	in.data = core_mm_steal(c, 0);
	in.in_invalidate = interval_puts_mm;
	KUNIT_EXPECT_EQ(test, core_run(test, core_invalidate, c->mm[0], 0), 0);
	if (c->leak)
		return;
	KUNIT_EXPECT_EQ(test, atomic_read(&in.calls), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&in.releases), 1);
	core_run(test, core_remove, &in, 0);
}

/*
 * The same in invalidate_range_start() of a list subscriber.  It sees the end of this
 * invalidation, too; unregister waits for that, so exit need not.
 */
static void last_mmput_in_start(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub;

	core_sub_init(&sub, c->mm[0]);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &sub, 0), 0);
	sub.data = core_mm_steal(c, 0);
	sub.in_start = sub_puts_mm;
	KUNIT_EXPECT_EQ(test, core_run(test, core_invalidate, c->mm[0], 0), 0);
	if (c->leak)
		return;
	EXPECT_CALLS(test, &sub, 1, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&sub.releases), 1);
	core_run(test, core_unregister, &sub, 0);
}

/* Another mm's last reference: its subscribers are told, and nothing is waited for. */
static void last_mmput_of_other_mm(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub, other;
	static struct core_interval in;

	core_sub_init(&sub, c->mm[0]);
	core_sub_init(&other, c->mm[1]);
	core_interval_init(&in, c->mm[1], 0, 2);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &sub, 0), 0);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &other, 0), 0);
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &in, 0), 0);
	sub.data = core_mm_steal(c, 1);
	sub.in_start = sub_puts_mm;
	KUNIT_EXPECT_EQ(test, core_run(test, core_invalidate, c->mm[0], 0), 0);
	if (c->leak)
		return;
	EXPECT_CALLS(test, &sub, 1, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&other.releases), 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&in.releases), 1);
	core_run(test, core_remove, &in, 0);
	core_run(test, core_unregister, &other, 0);
	core_run(test, core_unregister, &sub, 0);
}

static struct kunit_case exit_cases[] = {
	KUNIT_CASE(exit_of_intervals_waits_for_nothing),
	KUNIT_CASE(exit_between_start_and_end),
	KUNIT_CASE(last_mmput_of_other_mm),
	KUNIT_CASE(last_mmput_in_invalidate),
	KUNIT_CASE(last_mmput_in_start),
	{}
};

static struct kunit_suite exit_suite = {
	.name = "mmu_notifier_core_exit",
	.init = core_init,
	.exit = core_exit,
	.test_cases = exit_cases,
};

kunit_test_suites(&register_suite, &birth_suite, &exit_suite);

MODULE_DESCRIPTION("KUnit tests for MMU notifiers: list subscribers that come and go");
MODULE_LICENSE("GPL");
