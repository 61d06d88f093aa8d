// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of misuse of MMU notifiers: the core warns of it, the warning names whose fault
 * it is, and nothing else happens.
 */
#include <linux/debug_locks.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "mmu_notifier_core.h"
#include "mmu_notifier_warnings.h"

static bool provoke_lockdep;
module_param(provoke_lockdep, bool, 0444);
MODULE_PARM_DESC(provoke_lockdep, "run the cases after which lockdep is off");

/*
 * mmu_interval_set_seq().
 */

static const struct seq_case {
	const char *name;
	bool forget;		/* mmu_interval_set_seq() */
	bool pins;		/* never looks up: it does without sequence numbers */
	bool refuse;		/* return false: nothing was invalidated */
	enum mmu_notifier_event event;
	bool owned;
	bool exit;
	int warnings;
} seq_cases[] = {
	{ "acknowledged", .event = MMU_NOTIFY_CLEAR },
	{ "forgotten", .forget = true, .event = MMU_NOTIFY_CLEAR, .warnings = 1 },
	/* gntdev and radeon pin what they map. */
	{ "forgotten_without_lookup", .forget = true, .pins = true,
	  .event = MMU_NOTIFY_CLEAR },
	/* What is not owned is meant for every subscriber. */
	{ "forgotten_migrate", .forget = true, .event = MMU_NOTIFY_MIGRATE,
	  .warnings = 1 },
	/* An owner ignores what it does itself. */
	{ "ignored_migrate", .forget = true, .event = MMU_NOTIFY_MIGRATE, .owned = true },
	{ "ignored_exclusive", .forget = true, .event = MMU_NOTIFY_EXCLUSIVE,
	  .owned = true },
	/* Nothing happened, so there is nothing to acknowledge. */
	{ "refused", .forget = true, .refuse = true, .event = MMU_NOTIFY_CLEAR },
	/* No lookup in a dead mm can succeed. */
	{ "release", .forget = true, .exit = true },
};

KUNIT_ARRAY_PARAM_DESC(seq, seq_cases, name);

/*
 * invalidate() returns true and has not called mmu_interval_set_seq(): what its owner is
 * looking up at the time is mapped, though it is freed.  The page is then found bad in
 * another process.
 */
static void invalidate_without_set_seq(struct kunit *test)
{
	const struct seq_case *sc = test->param_value;
	struct core *c = test->priv;
	static struct core_interval in;
	struct mmu_notifier_range range;
	struct kmsg_dump_iter iter;

	core_interval_init(&in, c->mm[0], 0, 2);
	in.forget_seq = sc->forget;
	in.refuse = sc->refuse;
	KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &in, 0), 0);
	if (!sc->pins)
		mmu_interval_read_begin(&in.mni);
	warnings_begin(test);
	core_text_begin(&iter);
	if (sc->exit) {
		core_mm_exit(c, 0);
	} else {
		mmu_notifier_range_init_owner(&range, sc->event, 0, c->mm[0],
					      CORE_ADDR(0), CORE_ADDR(1),
					      sc->owned ? test : NULL);
		if (sc->refuse) {
			KUNIT_EXPECT_EQ(test, -EAGAIN,
					mmu_notifier_invalidate_range_start_nonblock(&range));
		} else {
			mmu_notifier_invalidate_range_start(&range);
			mmu_notifier_invalidate_range_end(&range);
		}
	}
	warnings_end(test, sc->warnings);
	if (sc->warnings)
		KUNIT_EXPECT_TRUE_MSG(test, core_warning_says(&iter, "core_on_invalidate"),
				      "the callback is not named");
	core_run(test, core_remove, &in, 0);
}

/*
 * Whose fault is it?
 */

static int register_twice(struct core *c, struct core_sub *sub)
{
	core_register(sub);
	return core_register(sub);
}

static int register_in_two_mms(struct core *c, struct core_sub *sub)
{
	int ret;

	core_register(sub);
	sub->mm = c->mm[1];
	ret = core_register(sub);
	sub->mm = c->mm[0];
	/* It stands in two lists now. */
	if (!ret)
		c->leak = true;
	return ret;
}

static int core_register_without_ops(struct core *c, struct core_sub *sub)
{
	int ret;

	sub->mn.ops = NULL;
	ret = core_register(sub);
	/* No tail call: we are the caller that is named. */
	barrier();
	return ret;
}

static int register_with_dead_mm(struct core *c, struct core_sub *sub)
{
	core_mm_exit(c, 0);
	return core_register(sub);
}

static int insert_in_dead_mm(struct core *c, struct core_sub *sub)
{
	static struct core_interval in;

	core_interval_init(&in, c->mm[0], 0, 2);
	core_mm_exit(c, 0);
	return core_insert(&in);
}

static int unregister_unknown(struct core *c, struct core_sub *sub)
{
	return core_unregister(sub);
}

static int put_unknown(struct core *c, struct core_sub *sub)
{
	return core_put(sub);
}

static int start_without_a_byte(struct core *c, struct core_sub *sub)
{
	struct mmu_notifier_range range;
	int ret = core_register(sub);

	core_start(&range, c->mm[0], 4, 0);
	mmu_notifier_invalidate_range_end(&range);
	return ret;
}

static int refuses_blocking_start(struct core *c, struct core_sub *sub)
{
	int ret = core_register(sub);

	sub->refuse_blocking = true;
	core_invalidate(c->mm[0]);
	sub->refuse_blocking = false;
	return ret;
}

static const struct named_case {
	const char *name;
	int (*misuse)(struct core *c, struct core_sub *sub);
	int ret;
	const char *culprit;
} named_cases[] = {
	{ "register_twice", register_twice, -EBUSY, "core_" },
	{ "register_in_two_mms", register_in_two_mms, -EBUSY, "core_" },
	{ "register_without_ops", core_register_without_ops, -EINVAL, "core_" },
	{ "register_with_dead_mm", register_with_dead_mm, -EINVAL, "core_" },
	{ "insert_in_dead_mm", insert_in_dead_mm, -EINVAL, "core_" },
	{ "unregister_unknown", unregister_unknown, 0, "core_" },
	{ "put_unknown", put_unknown, 0, "core_" },
	{ "start_without_a_byte", start_without_a_byte, 0, "core_" },
	{ "refuses_blocking_start", refuses_blocking_start, 0, "core_on_start" },
};

KUNIT_ARRAY_PARAM_DESC(named, named_cases, name);

/*
 * A warning without a text names a line of the core, which is not at fault.  It has to
 * name a callback of the subscriber or the function that called: either begins with
 * "core_" here.
 */
static void warning_names_culprit(struct kunit *test)
{
	const struct named_case *nc = test->param_value;
	struct core *c = test->priv;
	struct kmsg_dump_iter iter;
	static struct core_sub sub;
	int ret;

	core_sub_init(&sub, c->mm[0]);
	warnings_begin(test);
	core_text_begin(&iter);
	ret = nc->misuse(c, &sub);
	warnings_end(test, 1);
	KUNIT_EXPECT_EQ(test, ret, nc->ret);
	KUNIT_EXPECT_TRUE_MSG(test, core_warning_says(&iter, nc->culprit),
			      "no culprit is named");
	if (sub.mn.mm && !c->leak)
		core_run(test, core_unregister, &sub, 0);
}

/*
 *	fork()				reclaim
 *
 *	start				lock of the driver's
 *	allocates: waits for reclaim	unregisters: waits for the invalidation
 *	end
 *
 * Lockdep reports that at the first call, be there a fork() or not.  After the report it
 * is off, so this case has a boot of its own.
 */
static int unregister_in_reclaim(void *sub)
{
	fs_reclaim_acquire(GFP_KERNEL);
	core_unregister(sub);
	fs_reclaim_release(GFP_KERNEL);
	return 0;
}

static void unregister_in_reclaim_reported(struct kunit *test)
{
	struct core *c = test->priv;
	static struct core_sub sub;

	if (!IS_ENABLED(CONFIG_PROVE_LOCKING) || !debug_locks)
		kunit_skip(test, "needs lockdep");
	core_sub_init(&sub, c->mm[0]);
	KUNIT_ASSERT_EQ(test, core_run(test, core_register, &sub, 0), 0);
	if (!provoke_lockdep) {
		/* Nothing is wrong without reclaim. */
		core_run(test, core_unregister, &sub, 0);
		KUNIT_EXPECT_TRUE(test, debug_locks);
		return;
	}
	warnings_begin(test);
	core_run(test, unregister_in_reclaim, &sub, 0);
	warnings_end(test, 0);
	KUNIT_EXPECT_FALSE_MSG(test, debug_locks, "lockdep has not reported it");
}

static struct kunit_case misuse_cases[] = {
	KUNIT_CASE_PARAM(invalidate_without_set_seq, seq_gen_params),
	KUNIT_CASE_PARAM(warning_names_culprit, named_gen_params),
	KUNIT_CASE(unregister_in_reclaim_reported),
	{}
};

static struct kunit_suite misuse_suite = {
	.name = "mmu_notifier_core_misuse",
	.init = core_init,
	.exit = core_exit,
	.test_cases = misuse_cases,
};

kunit_test_suites(&misuse_suite);

MODULE_DESCRIPTION("KUnit tests for MMU notifiers: misuse");
MODULE_LICENSE("GPL");
