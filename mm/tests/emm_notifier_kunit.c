// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the EMM notifiers: that the one callback is told what the core
 * promises its subscribers, and what the layer adds: the sum, the first error, and
 * which notifiers are called where sleeping is not allowed.
 *
 * What the notifiers A to C are called for is logged:
 *
 *	A( A)	emm_invalidate_start, emm_invalidate_end
 *	A?	emm_referenced
 *	A*	emm_release
 *
 * The newest is called first: not promised, but the logs have to say something.  Each
 * call's mm and range are checked by the callback, whatever the case is about, and
 * emm_exit() checks that nothing is left in the mm.
 */
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/emm_notifier.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "mmu_notifier_warnings.h"

/* Far beyond what anything here takes: it only ends a hang. */
#define HANGS		(30 * HZ)
/* A thread that has not come back after this much sleep is waiting. */
#define WAITS_MS	20

#define START		0x10000000UL
#define END		(START + 3 * PAGE_SIZE)

struct ctx;

struct party {
	struct emm_notifier emm;
	struct ctx *c;
	char name;
	int ret;		/* for emm_referenced */
	int wrong_ret;		/* for everything else */
	unsigned int slow_ms;	/* how long emm_referenced takes */
	bool sleeps;		/* where it may */
	bool inside;
};

struct ctx {
	spinlock_t lock;	/* the log, written by threads too */
	struct party a, b, c;
	struct mm_struct *mm;
	bool alive;
	char log[128];
	char taken[128];
	size_t len;
	const char *wrong;
	unsigned int linger_ms;
	/* The thread, and what it does. */
	struct task_struct *task;
	struct completion done;
	int (*fn)(struct party *p);
	struct party *p;
	int sig;
	int err;
};

static void wrong_if(struct party *p, bool is_so, const char *what)
{
	if (is_so && !p->c->wrong)
		p->c->wrong = what;
}

static bool sleeping_allowed(void)
{
#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
	return !current->non_block_count;
#else
	return true;
#endif
}

static int party_callback(struct emm_notifier *e, struct mm_struct *mm,
			  enum emm_operation op, unsigned long start,
			  unsigned long end)
{
	struct party *p = container_of(e, struct party, emm);
	struct ctx *c = p->c;

	spin_lock(&c->lock);
	c->len += scnprintf(c->log + c->len, sizeof(c->log) - c->len, "%s%c%c",
			    c->len ? " " : "", p->name, "*()?"[op]);
	spin_unlock(&c->lock);

	wrong_if(p, mm != c->mm, "another mm");
	if (op == emm_release)
		wrong_if(p, start || end != ULONG_MAX, "released in part");
	else
		wrong_if(p, start != START || end != END, "another range");

	WRITE_ONCE(p->inside, true);
	if (op == emm_referenced) {
		mdelay(p->slow_ms);
		WRITE_ONCE(p->inside, false);
		return p->ret;
	}
	if (p->sleeps) {
		wrong_if(p, !sleeping_allowed(), "may not sleep");
		fsleep(1000);
	}
	WRITE_ONCE(p->inside, false);
	return p->wrong_ret;
}

/* What was called since the last time. */
static const char *take_log(struct ctx *c)
{
	spin_lock(&c->lock);
	memcpy(c->taken, c->log, sizeof(c->log));
	c->log[0] = '\0';
	c->len = 0;
	spin_unlock(&c->lock);
	return c->taken;
}

#define EXPECT_LOG(test, expected) \
	KUNIT_EXPECT_STREQ(test, take_log((test)->priv), expected)

static int reg(struct party *p)
{
	return emm_register_notifier(&p->emm, p->c->mm);
}

static int unreg(struct party *p)
{
	emm_unregister_notifier(&p->emm, p->c->mm);
	return 0;
}

static int age(struct party *p)
{
	return mmu_notifier_clear_flush_young(p->c->mm, START, END);
}

static int ask(struct party *p)
{
	return emm_notify_referenced(&p->emm, START, END);
}

/* They register in this order. */
static void reg_all(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	KUNIT_ASSERT_EQ(test, 0, reg(&c->b));
	KUNIT_ASSERT_EQ(test, 0, reg(&c->c));
}

static void range_init(struct ctx *c, struct mmu_notifier_range *range)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, c->mm, START, END);
}

static void invalidate(struct ctx *c)
{
	struct mmu_notifier_range range;

	range_init(c, &range);
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
}

static int thread_main(void *arg)
{
	struct ctx *c = arg;

	allow_signal(SIGKILL);
	if (c->sig)
		send_sig(c->sig, current, 1);
	mmu_notifier_debug_disable();
	c->err = c->fn(c->p);
	flush_signals(current);
	complete(&c->done);
	return 0;
}

static void spawn(struct kunit *test, int (*fn)(struct party *p),
		  struct party *p)
{
	struct ctx *c = test->priv;

	c->fn = fn;
	c->p = p;
	init_completion(&c->done);
	c->task = kthread_create(thread_main, c, "emm_notifier_test");
	KUNIT_ASSERT_FALSE(test, IS_ERR(c->task));
	get_task_struct(c->task);
	wake_up_process(c->task);
}

/* Does the thread wait, and not come to its end? */
static void expect_waits(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_EXPECT_FALSE(test, wait_for_completion_timeout(&c->done,
							     msecs_to_jiffies(WAITS_MS)));
}

static int finish(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_TRUE(test, wait_for_completion_timeout(&c->done, HANGS));
	kthread_stop_put(c->task);
	return c->err;
}

static int emm_init(struct kunit *test)
{
	struct ctx *c = kzalloc(sizeof(*c), GFP_KERNEL);
	struct party *p;

	if (!c)
		return -ENOMEM;
	spin_lock_init(&c->lock);
	for (p = &c->a; p <= &c->c; p++) {
		p->emm.callback = party_callback;
		p->c = c;
		p->name = 'A' + (p - &c->a);
	}
	c->mm = mm_alloc();
	if (!c->mm) {
		kfree(c);
		return -ENOMEM;
	}
	c->alive = true;
	mmgrab(c->mm);
	c->linger_ms = mmu_notifier_linger_ms;
	mmu_notifier_linger_ms = 0;
	/* The invalidations here change no page table. */
	mmu_notifier_debug_disable();
	test->priv = c;
	return 0;
}

/* What was registered is gone, the shared subscriber with some delay. */
static bool mm_is_idle(struct mm_struct *mm)
{
	int i;

	for (i = 0; i < 2000; i++) {
		if (!mm_has_notifiers(mm))
			return true;
		fsleep(1000);
	}
	return false;
}

static void emm_exit(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *p;

	if (!c)
		return;
	for (p = &c->a; p <= &c->c; p++)
		if (p->emm.emm_mm)
			unreg(p);
	mmu_notifier_synchronize();
	KUNIT_EXPECT_NULL(test, c->wrong);
	if (c->alive) {
		KUNIT_EXPECT_TRUE(test, mm_is_idle(c->mm));
		mmput(c->mm);
	}
	mmdrop(c->mm);
	mmu_notifier_linger_ms = c->linger_ms;
	kfree(c);
}

/*
 * What the core promises.
 */

static void emm_operations(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	KUNIT_ASSERT_EQ(test, 0, reg(&c->b));
	EXPECT_LOG(test, "");
	invalidate(c);
	EXPECT_LOG(test, "B( A( B) A)");
	unreg(&c->a);
	EXPECT_LOG(test, "A*");
	invalidate(c);
	EXPECT_LOG(test, "B( B)");
	unreg(&c->b);
	EXPECT_LOG(test, "B*");
	invalidate(c);
	EXPECT_LOG(test, "");

	/* They can come again. */
	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	invalidate(c);
	EXPECT_LOG(test, "A( A)");
}

static void emm_release_once(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	KUNIT_ASSERT_EQ(test, 0, reg(&c->b));
	c->alive = false;
	mmput(c->mm);
	EXPECT_LOG(test, "B* A*");
	/* No notifier is told of aging any more. */
	KUNIT_EXPECT_EQ(test, 0, age(&c->a));
	unreg(&c->a);
	unreg(&c->b);
	EXPECT_LOG(test, "");
}

/*
 *	test		thread
 *	start: A(
 *			register B: waits
 *	end: A)
 *			registered
 */
static void emm_joins_between(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	range_init(c, &range);
	mmu_notifier_invalidate_range_start(&range);
	spawn(test, reg, &c->b);
	expect_waits(test);
	mmu_notifier_invalidate_range_end(&range);
	KUNIT_EXPECT_EQ(test, 0, finish(test));
	EXPECT_LOG(test, "A( A)");
	invalidate(c);
	EXPECT_LOG(test, "B( A( B) A)");
}

/* The same with A, which leaves, is released at once, and has to see its end. */
static void emm_leaves_between(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	range_init(c, &range);
	mmu_notifier_invalidate_range_start(&range);
	spawn(test, unreg, &c->a);
	expect_waits(test);
	mmu_notifier_invalidate_range_end(&range);
	finish(test);
	EXPECT_LOG(test, "A( A* A)");
}

static void emm_may_sleep(struct kunit *test)
{
	struct ctx *c = test->priv;

	c->a.sleeps = true;
	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	invalidate(c);
	unreg(&c->a);
	EXPECT_LOG(test, "A( A) A*");
}

/*
 * Where sleeping is not allowed.
 */

static void emm_nonblock_refused(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	c->b.emm.never_sleeps = true;
	KUNIT_ASSERT_EQ(test, 0, reg(&c->b));
	range_init(c, &range);
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			mmu_notifier_invalidate_range_start_nonblock(&range));
	/* On behalf of A, which is not called; B, which was, sees the end. */
	EXPECT_LOG(test, "B( B)");
}

static void emm_nonblock_called(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	c->a.emm.never_sleeps = true;
	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	range_init(c, &range);
	KUNIT_ASSERT_EQ(test, 0,
			mmu_notifier_invalidate_range_start_nonblock(&range));
	EXPECT_LOG(test, "A(");
	mmu_notifier_invalidate_range_end(&range);
	EXPECT_LOG(test, "A)");
}

/*
 * emm_referenced.
 */

struct referenced {
	const char *name;
	int a, b, c;
	int result;	/* of emm_notify_referenced() */
	int young;	/* what the VM sees */
};

/* C is asked first. */
static const struct referenced referenced[] = {
	{ "none", 0, 0, 0, 0, 0 },
	/* By OR it would be 3. */
	{ "adds_up", 1, 3, 1, 5, 5 },
	{ "saturates", INT_MAX, 1, INT_MAX, INT_MAX, INT_MAX },
	{ "first_error", -EIO, -EBUSY, 7, -EBUSY, 0 },
	{ "error_and_young", 5, 0, -EIO, -EIO, 0 },
	{ "error_last", -EIO, 5, 5, -EIO, 0 },
};

KUNIT_ARRAY_PARAM_DESC(referenced, referenced, name);

static void emm_referenced_result(struct kunit *test)
{
	const struct referenced *r = test->param_value;
	struct ctx *c = test->priv;

	reg_all(test);
	c->a.ret = r->a;
	c->b.ret = r->b;
	c->c.ret = r->c;
	KUNIT_EXPECT_EQ(test, r->result, ask(&c->a));
	EXPECT_LOG(test, "C? B? A?");
	KUNIT_EXPECT_EQ(test, r->young,
			mmu_notifier_clear_flush_young(c->mm, START, END));
	EXPECT_LOG(test, "C? B? A?");
	KUNIT_EXPECT_EQ(test, r->young,
			mmu_notifier_clear_young(c->mm, START, END));
	EXPECT_LOG(test, "C? B? A?");

	/* A notifier that has gone does not count any more. */
	unreg(&c->b);
	unreg(&c->c);
	EXPECT_LOG(test, "B* C*");
	KUNIT_EXPECT_EQ(test, r->a, ask(&c->a));
	EXPECT_LOG(test, "A?");
}

/*
 *	test		thread
 *			asks by B: emm_referenced of A begins
 *	unregister A
 *			ends
 *	unregistered
 *
 * Asked by the VM it would be the core that waits.
 */
static void emm_unregister_waits(struct kunit *test)
{
	struct ctx *c = test->priv;
	int i;

	c->a.ret = 1;
	c->a.slow_ms = 50;
	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	KUNIT_ASSERT_EQ(test, 0, reg(&c->b));
	spawn(test, ask, &c->b);
	for (i = 0; i < 10000 && !READ_ONCE(c->a.inside); i++)
		usleep_range(50, 100);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(c->a.inside));
	unreg(&c->a);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(c->a.inside));
	KUNIT_EXPECT_EQ(test, 1, finish(test));
	EXPECT_LOG(test, "B? A? A*");
}

/*
 * Errors and misuse.
 */

/* A VMA, before whose locks registration tests for signals. */
static int map(struct mm_struct *mm)
{
	struct vm_area_struct *vma = vm_area_alloc(mm);
	int ret;

	if (!vma)
		return -ENOMEM;
	vma->vm_start = START;
	vma->vm_end = END;
	vma_set_anonymous(vma);
	vm_flags_init(vma, VM_READ | VM_MAYREAD);
	mmap_write_lock(mm);
	ret = insert_vm_struct(mm, vma);
	mmap_write_unlock(mm);
	if (ret)
		vm_area_free(vma);
	return ret;
}

static void emm_fatal_signal(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, map(c->mm));
	c->sig = SIGKILL;
	spawn(test, reg, &c->a);
	KUNIT_EXPECT_EQ(test, -EINTR, finish(test));
	KUNIT_EXPECT_NULL(test, c->a.emm.emm_mm);
	KUNIT_EXPECT_TRUE(test, mm_is_idle(c->mm));
	invalidate(c);
	EXPECT_LOG(test, "");
	KUNIT_EXPECT_EQ(test, 0, reg(&c->a));
}

/* What was taken before the error is given back: see emm_exit(). */
static void emm_registered_twice(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, -EBUSY, reg(&c->a));
	warnings_end(test, 1);
	invalidate(c);
	c->a.ret = 1;
	KUNIT_EXPECT_EQ(test, 1, age(&c->a));
	EXPECT_LOG(test, "A( A) A?");
}

static void emm_no_callback(struct kunit *test)
{
	struct ctx *c = test->priv;

	c->a.emm.callback = NULL;
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, -EINVAL, reg(&c->a));
	warnings_end(test, 1);
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(c->mm));
}

static void emm_not_registered(struct kunit *test)
{
	struct ctx *c = test->priv;

	warnings_begin(test);
	unreg(&c->a);
	warnings_end(test, 1);
	EXPECT_LOG(test, "");
}

static void emm_error_where_none_is_allowed(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, reg(&c->a));
	KUNIT_ASSERT_EQ(test, 0, reg(&c->b));
	c->b.wrong_ret = -EAGAIN;
	warnings_begin(test);
	invalidate(c);
	warnings_end(test, 1);
	/* It is a start all the same. */
	EXPECT_LOG(test, "B( A( B) A)");
	c->b.wrong_ret = 0;
}

static struct kunit_case emm_cases[] = {
	KUNIT_CASE(emm_operations),
	KUNIT_CASE(emm_release_once),
	KUNIT_CASE(emm_joins_between),
	KUNIT_CASE(emm_leaves_between),
	KUNIT_CASE(emm_may_sleep),
	KUNIT_CASE(emm_nonblock_refused),
	KUNIT_CASE(emm_nonblock_called),
	KUNIT_CASE_PARAM(emm_referenced_result, referenced_gen_params),
	KUNIT_CASE(emm_unregister_waits),
	KUNIT_CASE(emm_fatal_signal),
	KUNIT_CASE(emm_registered_twice),
	KUNIT_CASE(emm_no_callback),
	KUNIT_CASE(emm_not_registered),
	KUNIT_CASE(emm_error_where_none_is_allowed),
	{}
};

static struct kunit_suite emm_suite = {
	.name = "emm_notifier",
	.init = emm_init,
	.exit = emm_exit,
	.test_cases = emm_cases,
};

kunit_test_suite(emm_suite);

MODULE_DESCRIPTION("KUnit tests of the EMM notifiers");
MODULE_LICENSE("GPL");
