// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of what the MMU notifier core promises.  A suite for each promise:
 *
 *	1 pairing	a subscriber that saw a start sees its end, once; no other does
 *	2 no stale	between start and end no subscriber maps the range: pairing, too
 *	3 release	exactly once; nothing after unregister
 *	4 page		one call in place of the pair where one page changes
 *	5 sleeping	everything else may sleep
 *	6 registration	what it fails with, and that nothing has changed then
 *	7 isolation	a slow callback in one mm delays no other
 *	8 cost		the last to go leaves nothing behind
 *	9 misuse	is warned of, and survived
 *	  interval	all that, for interval subscribers
 *	  fork		a subscriber that asks is told of it, and can refuse it
 *
 * Subscribers are called parties here.  A to D are on the list; a, b and so on
 * are intervals of two pages each, from page 0 on.  What they are called for is
 * logged:
 *
 *	A( A)	start and end		A-	start refused
 *	A.	invalidate_page		A*	release
 *	A~	arch_invalidate_secondary_tlbs
 *	AF	fork
 *	Af Ac At	clear_flush_young, clear_young, test_young
 *	A+ A#	alloc_notifier, free_notifier
 *	a( a- a*	invalidate: done, refused, for MMU_NOTIFY_RELEASE
 *
 * The list is called newest first, and intervals by address: not promised, but the
 * logs have to say something.
 *
 * Most cases are stories: steps, each with the log that it must bring.
 *
 *	+A -A	register, unregister; +a -a insert, remove
 *	^A %A	mmu_notifier_get(), which must find A; mmu_notifier_put()
 *	?a _a	read_begin(); insert and read_begin()
 *	=a ~a	read_retry() must say false, true
 *	[1 ]1	start and end of an invalidation, see @spans; .1 its invalidate_page
 *	{1 {1!	non-blocking start; the same, refused
 *	s	a whole invalidation
 *	f0 c0 t1	clear_flush_young, clear_young, test_young; what they must say
 *	T	the TLBs are flushed
 *	x y	the mm dies, the other one dies
 *	F	the mm is copied to the other one
 *	$	synchronize
 *	M	map a page, by a file and anonymous
 *	w W	the mm lingers after its last subscriber; that time passes
 *	L0 U0	take and drop a lock under which page tables change, see lock()
 *	kA	kill the thread that does something to A
 *	@A( /A	A will stop in its next start; it may go on
 *	< >1	there must be one warning in between
 *	0 1	the mm has a subscriber: no, yes
 *	:Ap	A is of another kind, see set()
 *
 * What can wait runs in threads, so that a hang is a failure and no more.  Races are
 * forced: "-A&" must begin to wait, with "-A?" it must be waiting still, with
 * "-A;" it must come to its end, with "-A#" fail.  "+A!" must fail at once.  After
 * a comma the log is left to the next step.
 *
 * Whatever a case is about, the parties and ctx_exit() also check pairing,
 * ranges, whether sleeping is allowed, calls out of season and that nothing is
 * left in the mm.
 */
#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "mmu_notifier_warnings.h"

static unsigned int seed;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "of the stress cases; 0 for a random one");

/* Far beyond what anything here takes: it only ends a hang. */
#define HANGS		(30 * HZ)
/* A thread that has not come back after this much sleep is waiting. */
#define WAITS_MS	20
#define LINGERS_MS	200

#define NR_LIST		4
#define NR_INTERVALS	16
#define NR_PARTIES	(NR_LIST + NR_INTERVALS)
#define NR_THREADS	8
#define NR_OPEN		8
#define NR_RANGES	10

#define ADDR(page)	(0x10000000UL + (page) * PAGE_SIZE)

struct ctx;

/* A subscriber, of either kind. */
struct party {
	union {
		struct mmu_notifier mn;
		struct mmu_interval_notifier mni;
	};
	struct ctx *c;
	struct mm_struct *mm;	/* to subscribe to */
	char name;
	unsigned long start;	/* of an interval */
	unsigned long length;
	unsigned long seq;	/* from the last read_begin() */

	int err;		/* of a non-blocking start; any refuses */
	int err_block;		/* of a blocking start */
	int err_fork;		/* of fork */
	int young;		/* what the aging callbacks return */
	bool sleeps;		/* where it may */
	bool locked;		/* subscribes with mmap_lock held */
	unsigned int events;	/* if not 0, it asks for these and the range of */
	unsigned int page;	/* @nr_pages from this one on */
	unsigned int nr_pages;
	bool other_ops;		/* for get() */
	int sig;		/* pending while its thread runs */
	char gate_at;		/* the call that stops at the gate, or 0 */
	struct completion reached;
	struct completion go;
	char hook_at;		/* the call from which @hook is called, or 0 */
	void (*hook)(struct party *p);

	bool live;		/* may be called */
	bool released;
	unsigned int calls;
	unsigned int nr_open;	/* invalidations without their end yet */
	struct mmu_notifier_range open[NR_OPEN];
	struct task_struct *task[NR_OPEN];
	struct mmu_notifier_range seen;
	u64 mapped;		/* pages from ADDR(0), by the secondary MMU */
	struct rnd_state rnd;
};

struct thread {
	struct task_struct *task;
	struct completion done;
	int (*fn)(struct party *p);
	struct party *p;
	int ret;
};

/* Of a case. */
struct ctx {
	spinlock_t lock;	/* what the parties write */
	struct party parties[NR_PARTIES]; /* the last two stand for the mms */
	struct thread threads[NR_THREADS]; /* free where there is no ->task */
	struct mmu_notifier_range ranges[NR_RANGES];
	struct party *gate;	/* the one that will stop at its gate next */
	struct mm_struct *mm[2];
	bool alive[2];
	struct vm_area_struct *vma;
	char log[256];
	char taken[256];
	size_t len;
	bool quiet;		/* no log */
	char wrong[64];		/* what a party found wrong first */
	int alloc_err;		/* of alloc_notifier */
	atomic_t running;	/* threads of a stress case that come and go */
	atomic_t invalidations;	/* in a stress case, so far */
	unsigned int linger_ms;	/* what it was before */
};

/* alloc_notifier() is told the mm only. */
static struct ctx *alloc_ctx;

/* Where A, or a, of the case is. */
static struct party *party(struct ctx *c, char name)
{
	return &c->parties[name >= 'a' ? NR_LIST + name - 'a' : name - 'A'];
}

static bool is_interval(const struct party *p)
{
	return p->name >= 'a';
}

/*
 * The parties.
 */

static void wrong(struct party *p, const char *what)
{
	lockdep_assert_held(&p->c->lock);
	if (!p->c->wrong[0])
		scnprintf(p->c->wrong, sizeof(p->c->wrong), "%c %s", p->name,
			  what);
}

static void wrong_if(struct party *p, bool is_so, const char *what)
{
	if (!is_so)
		return;
	spin_lock(&p->c->lock);
	wrong(p, what);
	spin_unlock(&p->c->lock);
}

static bool sleeping_allowed(void)
{
#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
	return !current->non_block_count;
#else
	return true;
#endif
}

/* might_sleep() shall complain where a callback must not sleep, only there. */
static void check_sleeping(struct party *p, bool allowed)
{
	if (IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP))
		wrong_if(p, sleeping_allowed() != allowed,
			 allowed ? "may not sleep" : "could sleep unnoticed");
}

static void note(struct party *p, char what)
{
	struct ctx *c = p->c;

	spin_lock(&c->lock);
	p->calls++;
	if (!p->live)
		wrong(p, "is called while not subscribed");
	if (!c->quiet)
		c->len += scnprintf(c->log + c->len, sizeof(c->log) - c->len,
				    "%s%c%c", c->len ? " " : "", p->name, what);
	spin_unlock(&c->lock);

	if (p->hook_at == what)
		p->hook(p);
	if (READ_ONCE(p->gate_at) == what) {
		complete_all(&p->reached);
		wrong_if(p, !wait_for_completion_timeout(&p->go, 3 * HANGS),
			 "is stuck at its gate");
	}
}

static u64 pages_of(const struct mmu_notifier_range *range)
{
	unsigned long first = max(range->start, ADDR(0));
	unsigned long last = min(range->end - 1, ADDR(64) - 1);

	if (first > last)
		return 0;
	return GENMASK_ULL((last - ADDR(0)) >> PAGE_SHIFT,
			   (first - ADDR(0)) >> PAGE_SHIFT);
}

static void on_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct party *p = container_of(mn, struct party, mn);

	spin_lock(&p->c->lock);
	if (p->released)
		wrong(p, "is released twice");
	p->released = true;
	p->mapped = 0;
	spin_unlock(&p->c->lock);
	note(p, '*');
	check_sleeping(p, true);
	if (p->sleeps)
		fsleep(1000);
}

static int on_start(struct mmu_notifier *mn,
		    const struct mmu_notifier_range *range)
{
	struct party *p = container_of(mn, struct party, mn);

	check_sleeping(p, mmu_notifier_range_blockable(range));
	if (!mmu_notifier_range_blockable(range) && p->err) {
		note(p, '-');
		return p->err;
	}

	spin_lock(&p->c->lock);
	p->seen = *range;
	p->mapped &= ~pages_of(range);
	if (p->nr_open < NR_OPEN) {
		p->open[p->nr_open] = *range;
		p->task[p->nr_open++] = current;
	} else {
		wrong(p, "sees more starts than there are invalidations");
	}
	spin_unlock(&p->c->lock);
	note(p, '(');
	if (p->sleeps && mmu_notifier_range_blockable(range))
		fsleep(1000);
	return mmu_notifier_range_blockable(range) ? p->err_block : 0;
}

static void on_end(struct mmu_notifier *mn,
		   const struct mmu_notifier_range *range)
{
	struct party *p = container_of(mn, struct party, mn);
	int i;

	check_sleeping(p, mmu_notifier_range_blockable(range));
	spin_lock(&p->c->lock);
	for (i = p->nr_open - 1; i >= 0; i--) {
		struct mmu_notifier_range *r = &p->open[i];

		if (p->task[i] == current && r->mm == range->mm &&
		    r->start == range->start && r->end == range->end &&
		    r->flags == range->flags && r->event == range->event &&
		    r->owner == range->owner)
			break;
	}
	if (i < 0) {
		wrong(p, "sees an end without its start");
	} else {
		p->nr_open--;
		p->open[i] = p->open[p->nr_open];
		p->task[i] = p->task[p->nr_open];
	}
	spin_unlock(&p->c->lock);
	note(p, ')');
	if (p->sleeps && mmu_notifier_range_blockable(range))
		fsleep(1000);
}

static void on_page(struct mmu_notifier *mn,
		    const struct mmu_notifier_range *range)
{
	struct party *p = container_of(mn, struct party, mn);

	check_sleeping(p, false);
	wrong_if(p, range->end - range->start != PAGE_SIZE,
		 "is told of another range");
	note(p, '.');
}

static int aged(struct mmu_notifier *mn, char what, unsigned long start,
		unsigned long end)
{
	struct party *p = container_of(mn, struct party, mn);

	wrong_if(p, start != ADDR(1) || end != ADDR(2), "is told of another range");
	note(p, what);
	return p->young;
}

static int on_clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
				unsigned long start, unsigned long end)
{
	return aged(mn, 'f', start, end);
}

static int on_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
			  unsigned long start, unsigned long end)
{
	return aged(mn, 'c', start, end);
}

static int on_test_young(struct mmu_notifier *mn, struct mm_struct *mm,
			 unsigned long address)
{
	return aged(mn, 't', address, address + PAGE_SIZE);
}

static void on_tlbs(struct mmu_notifier *mn, struct mm_struct *mm,
		    unsigned long start, unsigned long end)
{
	aged(mn, '~', start, end);
}

static int on_fork(struct mmu_notifier *mn, struct mm_struct *mm,
		   struct mm_struct *child)
{
	struct party *p = container_of(mn, struct party, mn);

	wrong_if(p, mm != p->mm || child != p->c->mm[1], "is told of other mms");
	mmap_assert_write_locked(mm);
	mmap_assert_write_locked(child);
	check_sleeping(p, true);
	/* Lockdep is to see that it may. */
	kfree(kmalloc(1, GFP_KERNEL));
	note(p, 'F');
	return p->err_fork;
}

static struct mmu_notifier *on_alloc(struct mm_struct *mm)
{
	struct party *p = alloc_ctx->parties;

	if (alloc_ctx->alloc_err)
		return ERR_PTR(alloc_ctx->alloc_err);
	while (p->live)
		if (++p == alloc_ctx->parties + NR_LIST)
			return ERR_PTR(-ENOMEM);
	memset(&p->mn, 0, sizeof(p->mn));
	p->mm = mm;
	p->live = true;
	note(p, '+');
	return &p->mn;
}

static void on_free(struct mmu_notifier *mn)
{
	struct party *p = container_of(mn, struct party, mn);

	note(p, '#');
	/* It is not the core's any more. */
	memset(mn, 0x6b, sizeof(*mn));
	spin_lock(&p->c->lock);
	if (p->nr_open)
		wrong(p, "is freed between start and end");
	p->live = false;
	spin_unlock(&p->c->lock);
}

static bool on_invalidate(struct mmu_interval_notifier *mni,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	struct party *p = container_of(mni, struct party, mni);

	check_sleeping(p, mmu_notifier_range_blockable(range));
	if (!mmu_notifier_range_blockable(range) && p->err) {
		note(p, '-');
		return false;
	}

	spin_lock(&p->c->lock);
	if (range->end <= p->start || range->start > p->start + p->length - 1)
		wrong(p, "is called for a range outside");
	if (range->event == MMU_NOTIFY_RELEASE &&
	    (range->start || range->end != ULONG_MAX))
		wrong(p, "is released in part");
	mmu_interval_set_seq(mni, cur_seq);
	p->seen = *range;
	p->mapped &= ~pages_of(range);
	spin_unlock(&p->c->lock);
	note(p, range->event == MMU_NOTIFY_RELEASE ? '*' : '(');
	if (p->sleeps && mmu_notifier_range_blockable(range))
		fsleep(1000);
	return !p->err_block || !mmu_notifier_range_blockable(range);
}

#define PAIR_OPS						\
	.release		= on_release,			\
	.invalidate_range_start	= on_start,			\
	.invalidate_range_end	= on_end

#define YOUNG_OPS						\
	.clear_flush_young	= on_clear_flush_young,		\
	.clear_young		= on_clear_young,		\
	.test_young		= on_test_young

#define GET_OPS							\
	.alloc_notifier		= on_alloc,			\
	.free_notifier		= on_free

static const struct mmu_notifier_ops pair_ops = { PAIR_OPS };
static const struct mmu_notifier_ops page_ops = {
	PAIR_OPS, .invalidate_page = on_page,
};

static const struct mmu_notifier_ops full_ops = {
	PAIR_OPS, YOUNG_OPS, .invalidate_page = on_page,
};

static const struct mmu_notifier_ops tlb_ops = {
	.release = on_release,
	.arch_invalidate_secondary_tlbs = on_tlbs,
};

static const struct mmu_notifier_ops fork_ops = { PAIR_OPS, .fork = on_fork };

static const struct mmu_notifier_ops get_ops[2] = {
	{ PAIR_OPS, GET_OPS, .invalidate_page = on_page },
	{ PAIR_OPS, GET_OPS },
};

static const struct mmu_interval_notifier_ops interval_ops = {
	.invalidate = on_invalidate,
};

/*
 * What a case does, or lets a thread do.
 */

static int reg(struct party *p)
{
	bool was = p->live;
	int ret;

	p->live = true;
	if (p->locked) {
		mmap_write_lock(p->mm);
		ret = __mmu_notifier_register(&p->mn, p->mm);
		mmap_write_unlock(p->mm);
	} else if (p->events) {
		ret = mmu_notifier_register_range(&p->mn, p->mm, ADDR(p->page),
						  ADDR(p->page + p->nr_pages) - 1,
						  p->events);
	} else {
		ret = mmu_notifier_register(&p->mn, p->mm);
	}
	if (ret)
		p->live = was;
	return ret;
}

static int unreg(struct party *p)
{
	bool mine = p->live && p->mn.mm == p->mm;

	mmu_notifier_unregister(&p->mn, p->mm);
	if (!mine)
		return 0;
	spin_lock(&p->c->lock);
	if (p->nr_open)
		wrong(p, "is unregistered between start and end");
	if (p->mn.ops->release && !p->released)
		wrong(p, "is unregistered without a release");
	p->released = false;
	p->live = false;
	spin_unlock(&p->c->lock);
	return 0;
}

static int get(struct party *p)
{
	const struct mmu_notifier_ops *ops = &get_ops[p->other_ops];
	struct mmu_notifier *mn;

	if (p->locked) {
		mmap_write_lock(p->mm);
		mn = mmu_notifier_get_locked(ops, p->mm);
		mmap_write_unlock(p->mm);
	} else {
		mn = mmu_notifier_get(ops, p->mm);
	}
	if (IS_ERR(mn))
		return PTR_ERR(mn);
	return mn == &p->mn ? 0 : -EXDEV;
}

static int put(struct party *p)
{
	mmu_notifier_put(&p->mn);
	return 0;
}

static int synchronize(struct party *p)
{
	mmu_notifier_synchronize();
	rcu_barrier();
	return 0;
}

static int insert(struct party *p)
{
	int ret;

	p->live = true;
	if (p->locked) {
		mmap_write_lock(p->mm);
		ret = mmu_interval_notifier_insert_locked(&p->mni, p->mm, p->start,
							  p->length,
							  &interval_ops);
		mmap_write_unlock(p->mm);
	} else {
		ret = mmu_interval_notifier_insert(&p->mni, p->mm, p->start,
						   p->length, &interval_ops);
	}
	p->live = !ret;
	return ret;
}

static int remove(struct party *p)
{
	mmu_interval_notifier_remove(&p->mni);
	p->live = false;
	return 0;
}

static int join(struct party *p)
{
	return is_interval(p) ? insert(p) : reg(p);
}

static int leave(struct party *p)
{
	return is_interval(p) ? remove(p) : unreg(p);
}

static int read_begin(struct party *p)
{
	p->seq = mmu_interval_read_begin(&p->mni);
	return 0;
}

static bool read_retry(struct party *p)
{
	bool ret;

	spin_lock(&p->c->lock);
	ret = mmu_interval_read_retry(&p->mni, p->seq);
	spin_unlock(&p->c->lock);
	return ret;
}

static int insert_and_read(struct party *p)
{
	return insert(p) ?: read_begin(p);
}

/* The mm loses its only user, as when the last task exits. */
static int die(struct party *p)
{
	struct ctx *c = p->c;
	int i = p->mm == c->mm[1];

	if (c->alive[i]) {
		c->alive[i] = false;
		mmput(c->mm[i]);
	}
	return 0;
}

/* What fork() does when it has copied all. */
static int fork_mm(struct party *p)
{
	struct ctx *c = p->c;
	int ret;

	mmap_write_lock(c->mm[0]);
	mmap_write_lock_nested(c->mm[1], SINGLE_DEPTH_NESTING);
	ret = mmu_notifier_fork(c->mm[0], c->mm[1]);
	mmap_write_unlock(c->mm[1]);
	mmap_write_unlock(c->mm[0]);
	return ret;
}

static void invalidation_start(struct mmu_notifier_range *range,
			       struct mm_struct *mm, unsigned int page,
			       unsigned int nr)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, ADDR(page),
				ADDR(page + nr));
	mmu_notifier_invalidate_range_start(range);
}

static void invalidation_end(struct mmu_notifier_range *range)
{
	mmu_notifier_invalidate_range_end(range);
}

/* A whole one, over the first eight pages. */
static int invalidation(struct party *p)
{
	struct mmu_notifier_range range;

	invalidation_start(&range, p->mm, 0, 8);
	invalidation_end(&range);
	return 0;
}

/* What was written since the last time. */
static const char *take_log(struct ctx *c)
{
	spin_lock(&c->lock);
	memcpy(c->taken, c->log, sizeof(c->log));
	c->len = 0;
	c->log[0] = '\0';
	spin_unlock(&c->lock);
	return c->taken;
}

#define EXPECT_LOG(test, c, expected)					\
	KUNIT_EXPECT_STREQ(test, take_log(c), expected)

/*
 * Threads.
 */

static int thread_main(void *arg)
{
	struct thread *t = arg;

	allow_signal(SIGUSR1);
	allow_signal(SIGKILL);
	if (t->p->sig)
		send_sig(t->p->sig, current, 1);
	mmu_notifier_debug_disable();
	t->ret = t->fn(t->p);
	flush_signals(current);
	complete_all(&t->done);
	return 0;
}

/* Calls fn(p) in a thread. */
static struct thread *spawn(struct kunit *test, int (*fn)(struct party *p),
			    struct party *p)
{
	struct thread *t = p->c->threads;

	while (t->task)
		KUNIT_ASSERT_LT(test, ++t - p->c->threads, NR_THREADS);
	t->fn = fn;
	t->p = p;
	t->ret = -EINPROGRESS;
	init_completion(&t->done);
	t->task = kthread_create(thread_main, t, "mmu_notifier_test");
	if (IS_ERR(t->task))
		t->task = NULL;
	KUNIT_ASSERT_NOT_NULL(test, t->task);
	get_task_struct(t->task);
	wake_up_process(t->task);
	return t;
}

/* Does the thread come to its end? */
static bool finishes(struct thread *t)
{
	if (!wait_for_completion_timeout(&t->done, HANGS))
		return false;
	kthread_stop_put(t->task);
	t->task = NULL;
	return true;
}

/* Has it gone to sleep short of its end, and stays asleep? */
static bool waits(struct thread *t)
{
	int i;

	for (i = 0; i < 1000 && !completion_done(&t->done); i++) {
		if (READ_ONCE(t->task->__state) & TASK_UNINTERRUPTIBLE)
			break;
		fsleep(1000);
	}
	msleep(WAITS_MS);
	return !completion_done(&t->done);
}

#define EXPECT_FINISHES(test, t)	KUNIT_EXPECT_TRUE(test, finishes(t))
#define EXPECT_WAITS(test, t)		KUNIT_EXPECT_TRUE(test, waits(t))

static void let_go(struct party *p)
{
	WRITE_ONCE(p->gate_at, 0);
	complete_all(&p->go);
}

/*
 * The fixture: two empty mms, and parties that are not subscribed yet.
 */

static int ctx_init(struct kunit *test)
{
	struct ctx *c = kzalloc(sizeof(*c), GFP_KERNEL);
	struct party *p;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
	/* The invalidations here protect no page table, and hold no lock. */
	mmu_notifier_debug_disable();
	/* What is left behind is tested at once, but where a case says so. */
	c->linger_ms = mmu_notifier_linger_ms;
	mmu_notifier_linger_ms = 0;
	test->priv = c;
	alloc_ctx = c;
	spin_lock_init(&c->lock);
	for (i = 0; i < 2; i++) {
		c->mm[i] = mm_alloc();
		KUNIT_ASSERT_NOT_NULL(test, c->mm[i]);
		c->alive[i] = true;
		mmgrab(c->mm[i]);
	}
	for (p = c->parties; p < c->parties + NR_PARTIES; p++) {
		p->c = c;
		p->mm = c->mm[0];
		i = p - c->parties;
		p->name = i < NR_LIST ? 'A' + i : 'a' + i - NR_LIST;
		if (!is_interval(p)) {
			p->mn.ops = &pair_ops;
		} else {
			p->start = ADDR(2 * (i - NR_LIST));
			p->length = 2 * PAGE_SIZE;
		}
		init_completion(&p->reached);
		init_completion(&p->go);
	}
	c->parties[NR_PARTIES - 1].mm = c->mm[1];
	return 0;
}

static int ctx_leave(struct party *any)
{
	struct ctx *c = any->c;
	struct party *p;
	int i;

	for (p = c->parties; p < c->parties + NR_PARTIES; p++) {
		if (!p->live)
			continue;
		if (!is_interval(p) && p->mn.ops->free_notifier)
			mmu_notifier_put(&p->mn);
		else
			leave(p);
	}
	mmu_notifier_synchronize();
	for (i = 0; i < 2; i++) {
		if (c->alive[i])
			mmput(c->mm[i]);
		c->alive[i] = false;
	}
	return 0;
}

/* Does what a subscriber takes go again?  A put one's with some delay. */
static bool mm_is_idle(struct ctx *c, struct mm_struct *mm)
{
	int i;

	for (i = 0; i < 2000; i++) {
		if (!mm_has_notifiers(mm) &&
		    (c->alive[mm == c->mm[1]] ||
		     atomic_read(&mm->mm_count) == 1))
			return true;
		fsleep(1000);
	}
	return false;
}

static void ctx_exit(struct kunit *test)
{
	struct ctx *c = test->priv;
	bool stuck = false;
	struct thread *t;
	struct party *p;
	int i;

	if (!c)
		return;
	mmu_notifier_linger_ms = c->linger_ms;
	for (p = c->parties; p < c->parties + NR_PARTIES; p++)
		let_go(p);
	for (t = c->threads; t < c->threads + NR_THREADS; t++)
		stuck |= t->task && !finishes(t);
	/* In a thread, lest a subscriber that cannot leave blocks everything. */
	if (!stuck && c->mm[1])
		stuck = !finishes(spawn(test, ctx_leave, c->parties));
	if (stuck) {
		/* It still uses all this: better to leak it. */
		KUNIT_FAIL(test, "a thread hangs");
		return;
	}

	KUNIT_EXPECT_STREQ(test, c->wrong, "");
	for (p = c->parties; p < c->parties + NR_PARTIES; p++)
		KUNIT_EXPECT_EQ_MSG(test, p->nr_open, 0, "%c", p->name);
	for (i = 0; i < 2; i++) {
		if (!c->mm[i])
			continue;
		KUNIT_EXPECT_TRUE(test, mm_is_idle(c, c->mm[i]));
		mmdrop(c->mm[i]);
	}
	alloc_ctx = NULL;
	kfree(c);
}

/* A private file mapping, ready to be written: it has both reverse maps. */
static bool map_page(struct ctx *c)
{
	struct file *file = shmem_file_setup("mmu_notifier_test", PAGE_SIZE, 0);
	struct vm_area_struct *vma = vm_area_alloc(c->mm[0]);
	int ret = -ENOMEM;

	if (IS_ERR(file) || !vma)
		goto err;
	vma->vm_start = ADDR(0);
	vma->vm_end = ADDR(1);
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

/* The locks under which page tables change, and which registration passes. */
static void lock(struct ctx *c, int nr, bool on)
{
	struct vm_area_struct *vma = c->vma;

	switch (nr) {
	case 0:
		if (on)
			mmap_read_lock(vma->vm_mm);
		else
			mmap_read_unlock(vma->vm_mm);
		break;
	case 1:
#ifdef CONFIG_PER_VMA_LOCK
		if (!on)
			vma_end_read(vma);
		else
			WARN_ON(lock_vma_under_rcu(vma->vm_mm, ADDR(0)) != vma);
#endif
		break;
	case 2:
		if (on)
			i_mmap_lock_read(vma->vm_file->f_mapping);
		else
			i_mmap_unlock_read(vma->vm_file->f_mapping);
		break;
	case 3:
		if (on)
			anon_vma_lock_read(vma->anon_vma);
		else
			anon_vma_unlock_read(vma->anon_vma);
		break;
	}
}

/*
 * Stories.
 */

struct story {
	const char *name;
	const char *play;
	int err;
};

static const struct {
	unsigned int page;
	int nr;
	unsigned int flags;
} spans[NR_RANGES] = {
	[1] = { 0, 8 },
	[2] = { 4, 8 },
	[3] = { 2, 2 },
	[4] = { 16, 8 },
	[5] = { 0, 1, MMU_NOTIFIER_RANGE_PAGE },
	[6] = { 0, 1 },
	/* For misuse */
	[7] = { 0, 2, MMU_NOTIFIER_RANGE_PAGE },
	[8] = { 1, 0 },
	[9] = { 2, -1 },
};

static void put_hook(struct party *p)
{
	mmu_notifier_put(&p->mn);
}

static void unregister_hook(struct party *p)
{
	mmu_notifier_unregister(&p->mn, p->mm);
}

/* From fork(), D subscribes to the child, */
static void child_hook(struct party *p)
{
	struct party *d = party(p->c, 'D');

	d->mm = p->c->mm[1];
	d->live = true;
	wrong_if(d, __mmu_notifier_register(&d->mn, d->mm), "cannot subscribe");
}

/* and leaves it again; */
static void child_leaves_hook(struct party *p)
{
	child_hook(p);
	unreg(party(p->c, 'D'));
}

/* it tries to subscribe to the parent. */
static void parent_hook(struct party *p)
{
	struct party *d = party(p->c, 'D');

	wrong_if(d, __mmu_notifier_register(&d->mn, p->mm) != -EINVAL,
		 "has subscribed");
}

/* The kinds of parties. */
static bool set(struct party *p, char kind)
{
	switch (kind) {
	case 'p': /* with invalidate_page */
		p->mn.ops = &page_ops;
		break;
	case 'f': /* with all that goes together */
		p->mn.ops = &full_ops;
		break;
	case 't': /* with secondary TLBs only */
		p->mn.ops = &tlb_ops;
		break;
	case 'o': /* in the other mm, */
	case 'm': /* and back */
		p->mm = p->c->mm[kind == 'o'];
		break;
	case 'n': /* refuses where it may not sleep, */
	case 'N': /* with another errno, */
		p->err = kind == 'n' ? -EAGAIN : -ENOMEM;
		break;
	case 'b': /* and where it may */
		p->err_block = -EAGAIN;
		break;
	case 'z': /* sleeps */
		p->sleeps = true;
		break;
	case 'y': /* has found its page young */
		p->young = 1;
		break;
	case 'l': /* subscribes with mmap_lock held */
		p->locked = true;
		break;
	case 'd': /* asks for pages 2 and 3, */
	case 'D': /* for 8 to 31, */
	case 'e': /* for an event that does not come, */
	case 'v': /* for nothing, */
	case 'V': /* for an event that there is not */
		p->page = kind == 'D' ? 8 : 2;
		p->nr_pages = kind == 'D' ? 24 : kind == 'v' ? 0 : 2;
		p->events = kind == 'e' ? BIT(MMU_NOTIFY_MIGRATE) :
			    kind == 'V' ? MMU_NOTIFIER_ALL_EVENTS + 1 :
			    MMU_NOTIFIER_ALL_EVENTS;
		break;
	case 'i': /* has one byte more */
		p->length++;
		break;
	case 'h': /* gets other operations */
		p->other_ops = true;
		break;
	case 'E': /* alloc_notifier fails */
		p->c->alloc_err = -ENODEV;
		break;
	case '0': /* has no signal pending, */
		p->sig = 0;
		break;
	case '1': /* an ordinary one, */
		p->sig = SIGUSR1;
		break;
	case '9': /* a fatal one */
		p->sig = SIGKILL;
		break;
	case 'r': /* puts itself in release, */
	case 's': /* in start */
		p->hook = put_hook;
		p->hook_at = kind == 'r' ? '*' : '(';
		break;
	case 'u': /* unregisters itself in release, */
	case 'U': /* in fork */
		p->hook = unregister_hook;
		p->hook_at = kind == 'u' ? '*' : 'F';
		break;
	case 'F': /* is told of fork, */
		p->mn.ops = &fork_ops;
		break;
	case 'x': /* refuses it, */
	case 'X': /* with what is no errno, */
		p->err_fork = kind == 'x' ? -EDQUOT : 1;
		break;
	case 'c': /* has D subscribe to the child, */
	case 'C': /* and leave it, */
	case 'w': /* or to its own mm */
		p->hook = kind == 'c' ? child_hook :
			  kind == 'C' ? child_leaves_hook : parent_hook;
		p->hook_at = 'F';
		break;
	default:
		return false;
	}
	return true;
}

static const struct action {
	char step;
	int (*fn)(struct party *p);
} actions[] = {
	{ '+', join }, { '-', leave }, { '^', get }, { '%', put },
	{ '?', read_begin }, { '_', insert_and_read }, { '$', synchronize },
	{ 's', invalidation }, { 'x', die }, { 'y', die }, { 'F', fork_mm },
};

/* What runs in a thread. */
static bool act(struct kunit *test, const char *step, char how, int err)
{
	const struct action *action = actions;
	struct ctx *c = test->priv;
	struct party *p;
	struct thread *t;

	while (action->step != step[0])
		if (++action == actions + ARRAY_SIZE(actions))
			return false;
	p = step[1] ? party(c, step[1]) :
		      &c->parties[NR_PARTIES - (step[0] == 'y' ? 1 : 2)];

	if (how && strchr(";?#", how)) {
		t = c->threads;
		while (!t->task || t->fn != action->fn || t->p != p)
			if (++t == c->threads + NR_THREADS)
				return false;
	} else {
		t = spawn(test, action->fn, p);
	}
	if (how == '?')
		return waits(t);
	if (how == '&') {
		p = c->gate;
		c->gate = NULL;
		if (p && !wait_for_completion_timeout(&p->reached, HANGS))
			return false;
		return waits(t);
	}
	return finishes(t) && t->ret == (how == '!' || how == '#' ? err : 0);
}

/* A step but for its suffix.  Returns whether it went as it must. */
static bool take_step(struct kunit *test, const char *step, char how, int err)
{
	struct ctx *c = test->priv;
	struct mm_struct *mm = c->mm[0];
	unsigned int nr = step[1] - '0';
	struct thread *t = c->threads;
	struct mmu_notifier_range *range = &c->ranges[nr < NR_RANGES ? nr : 0];
	struct party *p = isalpha(step[1]) ? party(c, step[1]) : NULL;

	switch (step[0]) {
	case '[':
	case '{':
		if (!range->mm || range->idx < 0)
			mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR,
						spans[nr].flags, mm,
						ADDR(spans[nr].page),
						ADDR(spans[nr].page +
						     spans[nr].nr));
		if (step[0] == '{')
			return mmu_notifier_invalidate_range_start_nonblock(range) ==
			       (how == '!' ? -EAGAIN : 0);
		mmu_notifier_invalidate_range_start(range);
		return true;
	case ']':
		invalidation_end(range);
		return true;
	case '.':
		mmu_notifier_invalidate_page(range);
		return true;
	case ':':
		return set(p, step[2]);
	case '@':
		c->gate = p;
		WRITE_ONCE(p->gate_at, step[2]);
		return true;
	case '/':
		let_go(p);
		return true;
	case '=':
	case '~':
		return read_retry(p) == (step[0] == '~') &&
		       mmu_interval_check_retry(&p->mni, p->seq) ==
		       (step[0] == '~');
	case '<':
		warnings_begin(test);
		return true;
	case '>':
		warnings_end(test, nr);
		return true;
	case '0':
		return mm_is_idle(c, mm);
	case '1':
		return mm_has_notifiers(mm);
	case 'w':
		mmu_notifier_linger_ms = LINGERS_MS;
		return true;
	case 'W':
		msleep(3 * LINGERS_MS);
		return true;
	case 'f':
		return mmu_notifier_clear_flush_young(mm, ADDR(1), ADDR(2)) == nr;
	case 'c':
		return mmu_notifier_clear_young(mm, ADDR(1), ADDR(2)) == nr;
	case 't':
		return mmu_notifier_test_young(mm, ADDR(1)) == nr;
	case 'T':
		mmu_notifier_arch_invalidate_secondary_tlbs(mm, ADDR(1), ADDR(2));
		return true;
	case 'M':
		return map_page(c);
	case 'L':
	case 'U':
		lock(c, nr, step[0] == 'L');
		return true;
	case 'k':
		while (!t->task || t->p != p)
			if (++t == c->threads + NR_THREADS)
				return false;
		send_sig(SIGKILL, t->task, 1);
		return true;
	default:
		return act(test, step, how, err);
	}
}

static bool is_logged(const char *s)
{
	return isalpha(s[0]) && s[1] && strchr("()-.*~fct+#F", s[1]) &&
	       (!s[2] || s[2] == ' ');
}

static void stories(struct kunit *test)
{
	const struct story *story = test->param_value;
	struct ctx *c = test->priv;
	const char *s = story->play;
	char step[8], log[64], how;
	bool later;
	size_t len;

	while (*s) {
		len = strcspn(s, " ");
		KUNIT_ASSERT_LT(test, len, sizeof(step));
		strscpy(step, s, len + 1);
		s = skip_spaces(s + len);

		later = step[len - 1] == ',';
		if (later)
			step[--len] = '\0';
		how = '\0';
		if (len > 1 && strchr("&?;!#", step[len - 1])) {
			how = step[--len];
			step[len] = '\0';
		}
		KUNIT_EXPECT_TRUE_MSG(test, take_step(test, step, how, story->err),
				      "%s%c before \"%s\"", step, how, s);
		KUNIT_EXPECT_TRUE(test, sleeping_allowed());
		if (later)
			continue;

		for (len = 0; is_logged(s); s = skip_spaces(s + 2))
			len += scnprintf(log + len, sizeof(log) - len, "%s%.2s",
					 len ? " " : "", s);
		log[len] = '\0';
		KUNIT_EXPECT_STREQ_MSG(test, take_log(c), log,
				       "after %s%c before \"%s\"", step, how, s);
	}
}

#define SUITE(suite)							\
	static struct kunit_suite suite##_suite = {			\
		.name = "mmu_notifier_" #suite,				\
		.init = ctx_init,					\
		.exit = ctx_exit,					\
		.test_cases = suite##_cases,				\
	}

/*
 * 1 and 2: pairing, and no subscriber maps in between.
 */

static const struct story pairing_stories[] = {
	/* Every start comes before the change, every end after it. */
	{ "order", "+A +B +C [1 C( B( A( ]1 C) B) A)" },

	/* Invalidations of a task can nest, and need not; each has its own end. */
	{ "overlapping", "+A [1 A( [3 A( [2 A( ]3 A) ]1 A) ]2 A)" },

	/*
	 *	the VM			B
	 *
	 *	start: A
	 *				register: waits
	 *	start: A and B
	 *	end: A and B
	 *	end: A
	 *				registered
	 *
	 * B sees neither start nor end of an invalidation from before it came.  It
	 * could map what that frees, so it must not come back meanwhile.
	 */
	{ "register", "+A [1 A( +B& [2 B( A( ]2 B) A) +B? ]1 A) +B;" },
	/* The newer one ends last. */
	{ "register_between", "+A [1 A( +B& [2 B( A( ]1 A) ]2 B) A) +B;" },
	/* There was no subscriber at the start, so none is told of the end. */
	{ "register_first", "[5 +A .5 ]5" },
	/* ... but for an interval, so that the invalidation knows of subscribers. */
	{ "register_first_on_list", "+a [1 a( +A& ]1 +A; s a( A( A)" },

	/*
	 *	the VM			A
	 *
	 *	takes a lock
	 *	start: none
	 *				register: waits for the lock
	 *	start, end: none
	 *	end: none
	 *	drops the lock
	 *				registered
	 *	start, end: A
	 *
	 * No invalidation knows of the first subscriber: that waits for the locks
	 * that they are under.  None is called before: a callback may wait for A.
	 */
	{ "register_mmap_lock", "M L0 [1 +A& s ]1 +A? U0 +A; s A( A)" },
#ifdef CONFIG_PER_VMA_LOCK
	{ "register_vma_lock", "M L1 [1 +A& s ]1 +A? U1 +A; s A( A)" },
#endif
	{ "register_file_rmap", "M L2 [1 +A& s ]1 +A? U2 +A; s A( A)" },
	{ "register_anon_rmap", "M L3 [1 +A& s ]1 +A? U3 +A; s A( A)" },
	/*
	 *	takes a lock
	 *				register: waits for the lock
	 *	start: none
	 *	drops the lock
	 *				waits for the invalidation
	 *	end: none
	 *				registered
	 *
	 * An invalidation that has found the mm's first subscriptions, but not A.
	 */
	{ "register_file_rmap_open", "M L2 +A& [1 U2 +A? ]1 +A; s A( A)" },
	{ "register_anon_rmap_open", "M L3 +A& [1 U3 +A? ]1 +A; s A( A)" },
	{ "insert_file_rmap_open", "M L2 +a& [1 U2 +a; ?a& ]1 ?a; s a(" },
	/*
	 *	the VM			A			B
	 *
	 *	takes a lock
	 *				register: waits
	 *							register: waits
	 *	start: none
	 *				is killed
	 *				-EINTR
	 *							waits
	 *	end: none
	 *	drops the lock
	 *							registered
	 *
	 * The invalidation outlives the subscriptions that count it; and A's
	 * failure does not take B with it.
	 */
	{ "killed_file_rmap",
	  "M L2 +A& +B& [1 kA +A# +B? ]1 +B? U2 +B; s B( B)", -EINTR },
	{ "killed_anon_rmap",
	  "M L3 +A& +B& [1 kA +A# +B? ]1 +B? U3 +B; s B( B)", -EINTR },

	/*
	 *	the VM			A
	 *
	 *	start: A and B
	 *				unregister: its release, waits
	 *	start, end: B
	 *	end: A and B
	 *				unregistered
	 */
	{ "unregister",
	  "+A +B [1 B( A( -A& A* [2 B( ]2 B) -A? ]1 B) A) -A; s B( B)" },
	/* B goes while A sleeps in start; B was told of the start already. */
	{ "unregister_other_started",
	  "+A +B @A( s& B( A( -B& B* /A, s;, -B; B) A)" },
	/* It was not, but the invalidation is the older one: B belongs to it. */
	{ "unregister_other_not_started",
	  "+B +A @A( s& A( -B& B* /A, s;, -B; B( A) B)" },

	/*
	 *	reverse-map walk	exit
	 *
	 *	start: A
	 *				release: A
	 *				frees pages
	 *	end: A
	 *	start, end: none
	 */
	{ "exit", "+A [1 A( x A* ]1 A) s" },
	/* An invalidation that begins while release sleeps is a pair like any other. */
	{ "exit_start_in_release", "+A @A* x& A* [1 A( /A, x; ]1 A)" },
	/* One that begins when it has returned is none of A's any more. */
	{ "exit_start_after_release", "+A [1 A( x A* [2 ]1 A) ]2" },

	/* Put does not wait, and A has gone; but A's end comes before its free. */
	{ "put", "^A A+ [1 A( %A s ]1, $ A) A#" },

	/*
	 * A subscriber refuses a start that may not sleep.  Those that had started
	 * are ended once, the others are not called, and nothing stays in flight:
	 * read_begin returns, a new interval is called, the old ones can go.
	 */
	{ "refused_by_first",
	  "+A +B +C :Cn {1! C- +d ?d [1 d( C( B( A( ]1 C) B) A)" },
	{ "refused_by_second",
	  "+A +B +C :Bn {1! C( B- C) +d ?d [1 d( C( B( A( ]1 C) B) A)" },
	{ "refused_by_last",
	  "+A +B +C :An {1! C( B( A- C) B) +d ?d [1 d( C( B( A( ]1 C) B) A)" },
	{ "refused_by_first_intervals",
	  "+A +B +a +b :Bn {1! a( b( B- +d ?a ?b ?d [1 a( b( d( B( A( ]1 B) A) -a -b -d" },
	{ "refused_by_last_intervals",
	  "+A +B +a +b :An {1! a( b( B( A- B) +d ?a ?b ?d [1 a( b( d( B( A( ]1 B) A) -a -b -d" },
	{ "refused_intervals_outside",
	  "+A +B +a +b :An {4! B( A- B) +i ?a ?b ?i [4 i( B( A( ]4 B) A) -a -b -i" },
	{ "refused_by_interval_first",
	  "+A +a +b :an {1! a- +d ?a ?b ?d [1 a( b( d( A( ]1 A) -a -b -d" },
	{ "refused_by_interval_last",
	  "+A +a +b :bn {1! a( b- +d ?a ?b ?d [1 a( b( d( A( ]1 A) -a -b -d" },
	/* In an invalidation that goes on. */
	{ "refused_inside",
	  "+A +B +a :An [1 a( B( A( {3! B( A- B) {6! a( B( A- B) ?a& ]1 B) A) ?a;" },
};

KUNIT_ARRAY_PARAM_DESC(pairing, pairing_stories, name);

static const struct range_case {
	const char *name;
	enum mmu_notifier_event event;
	bool owned;
	bool nonblock;
} range_cases[] = {
	{ "unmap", MMU_NOTIFY_UNMAP },
	{ "protection_page", MMU_NOTIFY_PROTECTION_PAGE },
	{ "soft_dirty_nonblock", MMU_NOTIFY_SOFT_DIRTY, .nonblock = true },
	{ "migrate_owned", MMU_NOTIFY_MIGRATE, .owned = true },
	{ "exclusive_owned_nonblock", MMU_NOTIFY_EXCLUSIVE, true, true },
};

KUNIT_ARRAY_PARAM_DESC(range, range_cases, name);

/* Callbacks get the caller's range; on_end() compares it with the start's. */
static void pairing_range(struct kunit *test)
{
	const struct range_case *rc = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	void *owner = rc->owned ? test : NULL;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, reg(a));
	mmu_notifier_range_init_owner(&range, rc->event, 0, c->mm[0], ADDR(3),
				      ADDR(5), owner);
	if (rc->nonblock)
		KUNIT_EXPECT_EQ(test, 0, mmu_notifier_invalidate_range_start_nonblock(&range));
	else
		mmu_notifier_invalidate_range_start(&range);
	invalidation_end(&range);
	EXPECT_LOG(test, c, "A( A)");

	KUNIT_EXPECT_PTR_EQ(test, a->seen.mm, c->mm[0]);
	KUNIT_EXPECT_EQ(test, a->seen.start, ADDR(3));
	KUNIT_EXPECT_EQ(test, a->seen.end, ADDR(5));
	KUNIT_EXPECT_EQ(test, a->seen.event, rc->event);
	KUNIT_EXPECT_PTR_EQ(test, a->seen.owner, owner);
	KUNIT_EXPECT_EQ(test, mmu_notifier_range_blockable(&a->seen),
			!rc->nonblock);
}

/* An invalidation that begins when something is found: once, or not at all. */
static void pairing_late(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	struct mmu_notifier_range range;
	unsigned int page;

	KUNIT_ASSERT_EQ(test, 0, reg(a));
	mmu_notifier_range_init_none(&range);
	invalidation_end(&range);
	EXPECT_LOG(test, c, "");

	mmu_notifier_range_init_none(&range);
	for (page = 3; page < 5; page++)
		if (mmu_notifier_range_init_late(&range, MMU_NOTIFY_CLEAR,
						 c->mm[0], ADDR(page), ADDR(5), test))
			mmu_notifier_invalidate_range_start(&range);
	invalidation_end(&range);
	EXPECT_LOG(test, c, "A( A)");
	KUNIT_EXPECT_EQ(test, a->seen.start, ADDR(3));
	KUNIT_EXPECT_EQ(test, a->seen.end, ADDR(5));
	KUNIT_EXPECT_PTR_EQ(test, a->seen.owner, (void *)test);
}

/* An invalidation of the other mm, as of a driver that maps pages there; once. */
static void invalidate_other(struct party *p)
{
	struct mmu_notifier_range range;

	p->hook_at = 0;
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, p->c->mm[1],
				ADDR(0), ADDR(1));
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
}

/* A callback may invalidate another mm, with all its subscribers. */
static void pairing_nested(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A'), *b = party(c, 'B');
	struct mmu_notifier_range range;

	b->mm = c->mm[1];
	a->hook = invalidate_other;
	a->hook_at = '(';
	KUNIT_ASSERT_EQ(test, 0, reg(a));
	KUNIT_ASSERT_EQ(test, 0, reg(b));
	invalidation_start(&range, c->mm[0], 0, 1);
	EXPECT_LOG(test, c, "A( B( B)");
	a->hook_at = ')';
	invalidation_end(&range);
	EXPECT_LOG(test, c, "A) B( B)");
}

/*
 * Stress: two come and go on the list, two as intervals, and two invalidate
 * under the two kinds of lock.  Each subscriber maps a page now and then, when
 * the protocol allows it, and drops it when told.  The oracle: in the middle of
 * an invalidation no subscriber maps a page of its range.
 */
#define STRESS_PAGES	16

/* Let an invalidation happen, while @p is there. */
static void stress_wait(struct party *p)
{
	int was = atomic_read(&p->c->invalidations);
	int i;

	for (i = 0; i < 100 && atomic_read(&p->c->invalidations) == was; i++)
		fsleep(50);
}

static int stress_list(struct party *p)
{
	int i, j, ret = 0;

	/* A is alone on the list in the end. */
	for (i = 0; i < (p->name == 'A' ? 20 : 6) && !ret; i++) {
		p->err = prandom_u32_state(&p->rnd) % 4 ? 0 : -EAGAIN;
		ret = reg(p);
		for (j = 0; j < 8 && !ret; j++) {
			spin_lock(&p->c->lock);
			/* With invalidate_page it would need the page-table lock. */
			if (!p->nr_open && !p->mn.ops->invalidate_page)
				p->mapped |= BIT_ULL(prandom_u32_state(&p->rnd) %
						     STRESS_PAGES);
			spin_unlock(&p->c->lock);
			cond_resched();
		}
		if (!ret) {
			stress_wait(p);
			unreg(p);
		}
	}
	atomic_dec(&p->c->running);
	return ret;
}

static int stress_interval(struct party *p)
{
	unsigned int page, nr;
	int i, j, ret = 0;

	for (i = 0; i < 15 && !ret; i++) {
		page = prandom_u32_state(&p->rnd) % STRESS_PAGES;
		nr = 1 + prandom_u32_state(&p->rnd) % (STRESS_PAGES - page);
		p->start = ADDR(page);
		p->length = nr * PAGE_SIZE;
		p->err = prandom_u32_state(&p->rnd) % 4 ? 0 : -EAGAIN;
		ret = insert(p);
		for (j = 0; j < 4 && !ret; j++) {
			read_begin(p);
			cond_resched();
			spin_lock(&p->c->lock);
			if (!mmu_interval_read_retry(&p->mni, p->seq))
				p->mapped |= BIT_ULL(page +
						     prandom_u32_state(&p->rnd) % nr);
			spin_unlock(&p->c->lock);
			stress_wait(p);
		}
		spin_lock(&p->c->lock);
		p->mapped = 0;
		spin_unlock(&p->c->lock);
		if (!ret)
			remove(p);
	}
	atomic_dec(&p->c->running);
	return ret;
}

static bool stress_start(struct party *p, struct mmu_notifier_range *range)
{
	struct ctx *c = p->c;
	struct party *q;
	unsigned int page = prandom_u32_state(&p->rnd) % STRESS_PAGES;
	unsigned int nr = 1 + prandom_u32_state(&p->rnd) % (STRESS_PAGES - page);

	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR,
				nr == 1 ? MMU_NOTIFIER_RANGE_PAGE : 0,
				c->mm[0], ADDR(page), ADDR(page + nr));
	if (prandom_u32_state(&p->rnd) % 2)
		mmu_notifier_invalidate_range_start(range);
	else if (mmu_notifier_invalidate_range_start_nonblock(range))
		return false;
	mmu_notifier_invalidate_page(range);

	spin_lock(&c->lock);
	for (q = c->parties; q < c->parties + NR_PARTIES; q++) {
		if (q->mapped & pages_of(range))
			wrong(q, "maps what is being invalidated");
	}
	spin_unlock(&c->lock);
	return true;
}

static int stress_invalidate(struct party *p)
{
	int nr_lock = p->name == 'C' ? 0 : 3;
	struct mmu_notifier_range ranges[3];
	unsigned int nr, i;
	bool lifo;

	while (atomic_read(&p->c->running)) {
		lock(p->c, nr_lock, true);
		for (nr = 0; nr < ARRAY_SIZE(ranges); nr++) {
			if (!stress_start(p, &ranges[nr]))
				break;
		}
		atomic_inc(&p->c->invalidations);
		/* By turns properly nested and not. */
		lifo = prandom_u32_state(&p->rnd) % 2;
		for (i = 0; i < nr; i++)
			invalidation_end(&ranges[lifo ? nr - 1 - i : i]);
		lock(p->c, nr_lock, false);
		cond_resched();
	}
	return 0;
}

static void stress_seed(struct kunit *test)
{
	struct ctx *c = test->priv;
	u32 first = seed ?: get_random_u32();
	struct party *p;

	kunit_info(test, "mmu_notifier_kunit.seed=%u\n", first);
	for (p = c->parties; p < c->parties + NR_PARTIES; p++)
		prandom_seed_state(&p->rnd, first + p->name);
	c->quiet = true;
}

static const struct stress {
	const char *name;
	bool beside;
} stresses[] = {
	/* The mm is idle now and then, */
	{ "alone" },
	/* or has a subscriber all the time. */
	{ "beside_interval", .beside = true },
};

KUNIT_ARRAY_PARAM_DESC(stress, stresses, name);

static void pairing_stress(struct kunit *test)
{
	const struct stress *stress = test->param_value;
	static const struct {
		char name;
		int (*fn)(struct party *p);
	} roles[] = {
		{ 'C', stress_invalidate },
		{ 'D', stress_invalidate },
		{ 'A', stress_list },
		{ 'B', stress_list },
		{ 'a', stress_interval },
		{ 'b', stress_interval },
	};
	struct ctx *c = test->priv;
	struct thread *t[ARRAY_SIZE(roles)];
	int i;

	stress_seed(test);
	KUNIT_ASSERT_TRUE(test, map_page(c));
	party(c, 'B')->mn.ops = &page_ops;
	if (stress->beside)
		KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'c')));
	atomic_set(&c->running, 4);
	for (i = 0; i < ARRAY_SIZE(roles); i++)
		t[i] = spawn(test, roles[i].fn, party(c, roles[i].name));
	for (i = ARRAY_SIZE(roles) - 1; i >= 0; i--) {
		EXPECT_FINISHES(test, t[i]);
		KUNIT_EXPECT_EQ(test, t[i]->ret, 0);
	}
	KUNIT_EXPECT_GT(test, party(c, 'A')->calls, 0);
	KUNIT_EXPECT_GT(test, party(c, 'a')->calls, 0);
}

/* Unregister against exit, at any moment; on_release() counts. */
static void pairing_stress_exit(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	struct thread *ta, *tb, *tc;
	int i;

	stress_seed(test);
	a->mm = c->mm[1];
	party(c, 'B')->mm = c->mm[1];
	party(c, 'b')->mm = c->mm[1];
	for (i = 0; i < 15; i++) {
		if (!c->alive[1]) {
			mmdrop(c->mm[1]);
			c->mm[1] = mm_alloc();
			KUNIT_ASSERT_NOT_NULL(test, c->mm[1]);
			mmgrab(c->mm[1]);
			c->alive[1] = true;
			a->mm = c->mm[1];
			party(c, 'b')->mm = c->mm[1];
		}
		KUNIT_EXPECT_EQ(test, 0, reg(a));
		KUNIT_EXPECT_EQ(test, 0, insert(party(c, 'b')));
		tb = spawn(test, die, a);
		tc = spawn(test, invalidation, a);
		udelay(prandom_u32_state(&a->rnd) % 500);
		ta = spawn(test, unreg, a);
		EXPECT_FINISHES(test, ta);
		EXPECT_FINISHES(test, tb);
		EXPECT_FINISHES(test, tc);
		EXPECT_FINISHES(test, spawn(test, remove, party(c, 'b')));
		KUNIT_EXPECT_FALSE(test, mm_has_notifiers(c->mm[1]));
	}
}

static struct kunit_case pairing_cases[] = {
	KUNIT_CASE_PARAM(stories, pairing_gen_params),
	KUNIT_CASE_PARAM(pairing_range, range_gen_params),
	KUNIT_CASE(pairing_late),
	KUNIT_CASE(pairing_nested),
	KUNIT_CASE_PARAM(pairing_stress, stress_gen_params),
	KUNIT_CASE_SLOW(pairing_stress_exit),
	{}
};

SUITE(pairing);

/*
 * 3: release.
 */

/* All that the VM can call. */
#define ALL " s {1 ]1 [5 .5 ]5 f0 c0 t0 T"

static const struct story release_stories[] = {
	/* By unregister; the exit that follows has no subscriber to call. */
	{ "by_unregister", "+A -A A* x" },
	/* By exit; unregister, which has to follow, does not call it again. */
	{ "by_exit", "+A +B x B* A* -A -B" },

	/*
	 *	exit			unregister
	 *
	 *	release: sleeps
	 *				waits: the callback still runs
	 *	release: returns
	 *	frees pages		returns: A can be freed
	 */
	{ "unregister_waits_for_exit", "+A @A* x& A* -A& /A, x;, -A;" },
	/* The other way round: A maps pages until its release returns. */
	{ "exit_waits_for_unregister", "+A @A* -A& A* x& /A, -A;, x;" },
	/* A is unregistered before exit gets to it. */
	{ "unregister_other_in_exit", "+A +B @B* x& B* -A& A* /B, x;, -A;" },

	/* Nothing is called afterwards, neither on the list nor as an interval. */
	{ "no_call_after_unregister", ":Af :Bt +A +B +a -A A* -B B* -a" ALL },
	{ "no_call_after_exit", ":Af :Bt +A +B x B* A*" ALL },
	/* Another subscriber keeps the callbacks busy. */
	{ "no_call_after_others",
	  ":Af :Bf +A +B -B B* s A( A) [5 .5 A. ]5 f0 Af c0 Ac t0 At" },

	/* A subscriber may drop itself when the mm dies, */
	{ "put_inside", "^A A+ :Ar x, $ A* A#" },
	/* or has to later; */
	{ "before_put", "^A A+ x A* %A, $ A#" },
	/* if it did before, it is released no more: its owner has turned away. */
	{ "not_after_put", "^A A+ %A, x, $ A#" },
};

KUNIT_ARRAY_PARAM_DESC(release, release_stories, name);

static struct kunit_case release_cases[] = {
	KUNIT_CASE_PARAM(stories, release_gen_params),
	{}
};

SUITE(release);

/*
 * 4: invalidate_page; and the other calls under the page-table lock.
 */

static const struct story page_stories[] = {
	/* B has invalidate_page and gets that alone, A has not: the pair. */
	{ "in_place_of_pair", ":Bp +A +B [5 A( .5 B. ]5 A)" },
	/* Where the caller does not promise to call it, all get the pair. */
	{ "without_flag", ":Bp +A +B [6 B( A( .6 ]6 B) A)" },
	/* No subscriber, or none that has it: the call does nothing. */
	{ "no_subscriber", "[5 .5 ]5 +A [5 A( .5 ]5 A)" },
	/* A subscriber that gets no start can neither refuse it nor be ended. */
	{ "refused", ":Cp :Cn +A +B +C {5 B( A( ]5 B) A) :An {5! B( A- B)" },
	/* B comes in the middle, and can have mapped nothing yet. */
	{ "register_between", ":Bp +A [5 A( +B& .5 ]5 A) +B;" },
	/* A has begun to leave, but maps the page until it is told. */
	{ "put_between", "^A A+ [5 %A .5 A. ]5, $ A#" },
	/* Every secondary MMU is asked and cleared; any makes the page young. */
	{ "clear_young", ":Af :Bf +A +B f0 Bf Af c0 Bc Ac :By f1 Bf Af c1 Bc Ac" },
	{ "clear_young_other", ":Af :Bf :Ay +A +B f1 Bf Af c1 Bc Ac" },
	/* Nothing changes, so the first yes is enough. */
	{ "test_young", ":Af :Bf +A +B t0 Bt At :Ay t1 Bt At :By t1 Bt" },
	/* What walks the CPU's page tables is told of TLB flushes, of no invalidation. */
	{ "secondary_tlbs", ":At +A s [5 .5 ]5 T A~" },
};

KUNIT_ARRAY_PARAM_DESC(page, page_stories, name);

static struct kunit_case page_cases[] = {
	KUNIT_CASE_PARAM(stories, page_gen_params),
	{}
};

SUITE(page);

/*
 * 5: sleeping.
 */

static const struct story sleeping_stories[] = {
	/* Start, end, invalidate and release do sleep here, by either road. */
	{ "blockable",
	  ":Az :Bz :az +A +B +a s a( B( A( B) A) -A A* x a* B*" },
};

KUNIT_ARRAY_PARAM_DESC(sleeping, sleeping_stories, name);

/* check_sleeping() does the work. */
static const struct story checked_stories[] = {
	{ "blockable", "+A +a s a( A( A) x a* A*" },
	{ "nonblock", "+A +B +a {1 a( B( A( ]1 B) A)" },
	{ "nonblock_refused", "+A +B +a :An {1! a( B( A- B)" },
	{ "page", ":Ap +A [5 .5 A. ]5" },
};

KUNIT_ARRAY_PARAM_DESC(checked, checked_stories, name);

/* Where sleeping is forbidden, might_sleep() complains. */
static void sleeping_checked(struct kunit *test)
{
	if (!IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP))
		kunit_skip(test, "needs CONFIG_DEBUG_ATOMIC_SLEEP");
	stories(test);
}

static struct kunit_case sleeping_cases[] = {
	KUNIT_CASE_PARAM(stories, sleeping_gen_params),
	KUNIT_CASE_PARAM(sleeping_checked, checked_gen_params),
	{}
};

SUITE(sleeping);

/*
 * 6: registration.
 */

static const struct story registration_stories[] = {
	/* Once unregistered it can be registered again, with another mm too. */
	{ "again",
	  "+A s A( A) -A A* +A s A( A) -A A* :Ao +A s -A A* :Am +A s A( A)" },
	/* As many references as were got; the first allocates, the last frees. */
	{ "get", "^A A+ ^A ^A %A %A $ s A( A) %A, $ A# ^A A+" },
	/* One for each pair of mm and operations. */
	{ "get_distinct", "^A A+ :Bh ^B B+ :Co ^C C+ s B( A( B) A)" },
	/* What alloc_notifier says is handed on. */
	{ "get_fails", ":AE ^A! 0", -ENODEV },
	/*
	 *	the VM			A's owner
	 *
	 *	start: A
	 *				put: the last, A leaves
	 *				get: not A any more; waits for the invalidation
	 *	end: A
	 *				frees A, has B
	 */
	{ "get_after_put", "^A A+ [1 A( %A ^B& B+ ]1, ^B;, $ A) A#" },
	/* Put does not wait, so a callback may; it sees its invalidation's end. */
	{ "put_inside", "^A A+ :As s, s, $ A( A) A#" },
	/* The variants for a caller that holds mmap_lock already. */
	{ "locked", ":Al :Bl :al +A ^B B+ +a s a( B( A( B) A)" },

	/* An ordinary signal is none of our business, */
	{ "signal_register", "M :A1 :B1 +A +B s B( A( B) A)" },
	{ "signal_insert", "M :a1 :b1 +a +b s a( b(" },
	{ "signal_get", "M :A1 :B1 ^A A+ +B s B( A( B) A)" },
	/* a fatal one fails the passing of the locks; nothing has changed then, */
	{ "killed_register", "M :A9 +A! 0 s :A0 +A 1 s A( A)", -EINTR },
	{ "killed_insert", "M :a9 +a! 0 s :a0 +a 1 s a(", -EINTR },
	{ "killed_get", "M :A9 ^A! A+ A# 0 s :A0 ^A A+ 1 s A( A)", -EINTR },
};

KUNIT_ARRAY_PARAM_DESC(registration, registration_stories, name);

static struct kunit_case registration_cases[] = {
	KUNIT_CASE_PARAM(stories, registration_gen_params),
	{}
};

SUITE(registration);

/*
 * 7: isolation.  While a callback sleeps in one mm, the other mm's subscribers
 * come and go, and it can die.
 */

static const struct story isolation_stories[] = {
	{ "register", ":Co :Do +A +C @A( s& A( +D s? /A, s; A)" },
	{ "unregister", ":Co +A +C @A( s& A( -C C* s? /A, s; A)" },
	{ "exit", ":Co +A +C @A( s& A( y C* s? /A, s; A)" },
	{ "put", ":Ao ^A A+ +B @B( s& B( %A, $ A# s? /B, s; B)" },
	{ "interval", ":co :do +A +c @A( s& A( +d ?c ?d -c s? /A, s; A)" },
	{ "end_unregister", ":Co +A +C @A) s& A( A) -C C* s? /A, s;" },
	{ "end_exit", ":Co +A +C @A) s& A( A) y C* s? /A, s;" },
	{ "release_unregister", ":Co +A +C @A* x& A* -C C* x? /A, x;" },
	{ "release_exit", ":Co +A +C @A* x& A* y C* x? /A, x;" },
	{ "unregister_exit", ":Co +A +C @A* -A& A* y C* -A? /A, -A;" },
	{ "invalidate_unregister", ":Co +a +C @a( s& a( -C C* s? /a, s;" },
	{ "invalidate_exit", ":Co :co +a +C +c @a( s& a( y c* C* s? /a, s;" },
};

KUNIT_ARRAY_PARAM_DESC(isolation, isolation_stories, name);

static struct kunit_case isolation_cases[] = {
	KUNIT_CASE_PARAM(stories, isolation_gen_params),
	{}
};

SUITE(isolation);

/*
 * 9: misuse.
 */

static const struct story misuse_stories[] = {
	/* Registered is registered, and stays as it was. */
	{ "register_twice", "+A +B < +A! >1 s B( A( B) A)", -EBUSY },
	/* No subscriber can join an mm whose last user has gone, */
	{ "register_dead_mm", "x < +A! >1", -EINVAL },
	{ "insert_dead_mm", "x < +a! >1", -EINVAL },
	{ "get_dead_mm", "x < ^A! A+ A# >1", -EINVAL },
	/* nor while a release still runs. */
	{ "register_in_release", "+A @A* x& A* < +B! +b! >2 /A, x;", -EINVAL },

	/* Not registered, not with this mm, not any more: nothing happens. */
	{ "unregister", "< -A >1" },
	{ "unregister_other_mm", "+A :Ao < -A >1 :Am s A( A) -A A*" },
	{ "unregister_twice", "+A -A A* < -A >1" },
	/*
	 * From its own release at exit it would wait for itself.  It returns,
	 * the mm dies, and the real one can follow.
	 */
	{ "unregister_in_release", "+A :Au < x A* >1 -A" },
	/* What was not got, or put already. */
	{ "put", "< %A >1" },
	{ "put_twice", "^A A+ [1 A( %A < %A >1 ]1, $ A) A#" },

	/* An invalidation without a byte, or less, is none. */
	{ "empty_range", "+A +a < [8 >1 ]8 < {8 >1 ]8 ?a" },
	{ "negative_range", "+A +a < [9 >1 ]9 ?a" },
	/* The second start of the same range is ignored, so one end is enough. */
	{ "start_twice", "+A [1 A( < [1 >1 ]1 A) ]1" },
	/* Nothing to be told of, or something that there is not. */
	{ "limited_to_nothing", ":Av +A! 0 :AV +A! 0", -EINVAL },
	/* More than a page cannot be answered by invalidate_page. */
	{ "page_range", ":Ap +A < [7 A( >1 .7 ]7 A)" },
	/* A callback that may sleep cannot refuse: it is counted, and is ended. */
	{ "refusal", "+A +B +a :Ab < [1 a( B( A( >1 ]1 B) A) ?a" },
	{ "refusal_interval", "+A +B +a :ab < [1 a( B( A( >1 ]1 B) A) ?a" },
	/* Another errno is a refusal like -EAGAIN. */
	{ "refusal_errno", "+A +B +a :AN < {1! a( B( A- B) >1 ?a" },
	/* From fork they would wait for themselves. */
	{ "fork_register", ":AF :Aw +A < F AF >1 s A( A) -A A*" },
	{ "fork_unregister", ":AF :AU +A < F AF >1 s A( A)" },
	/* fork() can return an errno only. */
	{ "fork_no_errno", ":AF :AX +A < F! AF >1", -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(misuse, misuse_stories, name);

static const struct ops_case {
	const char *name;
	bool none;
	bool get;
	struct mmu_notifier_ops ops;
} ops_cases[] = {
	{ "none", .none = true },
	{ "page_alone", .ops = { .invalidate_page = on_page } },
	{ "page_without_end", .ops = {
		.invalidate_page = on_page,
		.invalidate_range_start = on_start } },
	{ "page_without_start", .ops = {
		.invalidate_page = on_page,
		.invalidate_range_end = on_end } },
	{ "tlbs_with_start", .ops = {
		.arch_invalidate_secondary_tlbs = on_tlbs,
		.invalidate_range_start = on_start } },
	{ "tlbs_with_end", .ops = {
		.arch_invalidate_secondary_tlbs = on_tlbs,
		.invalidate_range_end = on_end } },
	{ "get_without_alloc", .get = true, .ops = {
		.free_notifier = on_free } },
	{ "get_without_free", .get = true, .ops = {
		.alloc_notifier = on_alloc } },
};

KUNIT_ARRAY_PARAM_DESC(ops, ops_cases, name);

/* Operations that contradict each other: -EINVAL, and nothing has changed. */
static void misuse_ops(struct kunit *test)
{
	const struct ops_case *oc = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	int ret;

	a->mn.ops = oc->none ? NULL : &oc->ops;
	warnings_begin(test);
	if (oc->get)
		ret = PTR_ERR_OR_ZERO(mmu_notifier_get(&oc->ops, a->mm));
	else
		ret = reg(a);
	warnings_end(test, 1);
	KUNIT_EXPECT_EQ(test, ret, -EINVAL);
	KUNIT_EXPECT_NULL(test, a->mn.mm);
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(a->mm));
	EXPECT_LOG(test, c, "");
}

static struct kunit_case misuse_cases[] = {
	KUNIT_CASE_PARAM(stories, misuse_gen_params),
	KUNIT_CASE_PARAM(misuse_ops, ops_gen_params),
	{}
};

SUITE(misuse);

/*
 * Interval subscribers: 1, 2, 3 and 6 for them.
 */

static const struct story interval_stories[] = {
	/*
	 *	invalidation		a
	 *
	 *	start
	 *				insert, read_begin: waits
	 *	end
	 *				returns
	 *
	 * What a looks up could be freed by the invalidation, so it waits though it
	 * is not called; afterwards nothing is counted in vain.
	 */
	{ "insert_between", "+b [1 b( _a& ]1 _a; =a s a( b( ~a ?a" },
	/* As the first one: the invalidation has seen none. */
	{ "insert_between_first", "+A [1 A( _a& ]1 A) _a; =a s a( A( A) ~a ?a" },
	/* With the last byte in common. */
	{ "insert_between_last_byte", "+d :ai [3 _a& ]3 _a; =a" },
	/* Two at once, and an invalidation that knows of them within one that does not. */
	{ "insert_between_two",
	  "+A [1 A( _a& _b& [2 A( [3 b( A( ]3 A) ]2 A) _a? _b? ]1 A) _a; _b;" },
	/* After one has come and gone again. */
	{ "insert_between_again",
	  "+A +a -a [1 A( _a& ]1 A) _a; =a s a( A( A) ~a ?a" },
	/* While the invalidation sleeps in b: before b, where the walk has been, */
	{ "insert_in_callback_before", "+b @b( s& b( _a& /b, s;, _a; ?b" },
	/* or behind: it is too young. */
	{ "insert_in_callback_of_several", "+a +b @a( s& a( _c& /a, s; b( _c; ?b" },
	{ "insert_in_callback_behind", "+b @b( s& b( _c& /b, s; _c; ?b" },

	/* Remove waits for no invalidation; the end has to do with what is left, */
	{ "remove_between", "+a +b [1 a( b( -a ]1 ?b" },
	/* be it nothing: the invalidation keeps what it needs to end. */
	{ "remove_last_between", "+a 1 [1 a( -a 0 $ ]1 _b" },
	{ "remove_last_between_list", "+A +a [1 a( A( -a +b ?b& ]1 A) ?b;" },
	/* It does wait for the callback.  Others pass by, and leave a out. */
	{ "remove_in_callback", "+a +b @a( s& a( -a& [1 b( ]1 /a, s;, -a; b(" },

	/*
	 * Each waits for its own: 1 covers a and b, 3 covers b.  The first lookup
	 * waits for whatever is in flight.
	 */
	{ "read_nested", "+a +b ?a ?b [1 a( b( [3 b( ?a& ?b& ]1 ?a; ?b? ]3 ?b;" },
	/* In vain, as nothing was invalidated. */
	{ "read_elsewhere", "+a ?a =a [4 ?a ]4 =a" },
	/* The lookup begins before the invalidation. */
	{ "read_retry", "+a ?a =a [1 a( ~a ]1 ~a ?a =a" },
	/* A refused start may have invalidated some. */
	{ "read_refused", "+a +b :bn ?a ?b {1! a( b- ~a =b" },

	/* What overlaps is called, once, whatever the order of coming. */
	{ "many",
	  "+d +b +g +a +e +c +h +f [2 c( d( e( f( ]2 -d [2 c( e( f( ]2 ?a ?c ?f" },

	/* 3: at exit all are invalidated as a whole, with an event of its own. */
	{ "release", "+a +A ?a x a* A* ~a ?a" },
};

KUNIT_ARRAY_PARAM_DESC(interval, interval_stories, name);

static const struct overlap {
	const char *name;
	unsigned long start;
	unsigned long last;
	unsigned int page;
	unsigned int nr;
	bool hit;
} overlaps[] = {
	{ "before", ADDR(8), ADDR(16) - 1, 2, 4, false },
	{ "up_to_its_first_byte", ADDR(8), ADDR(16) - 1, 4, 4, false },
	{ "its_first_page", ADDR(8), ADDR(16) - 1, 8, 1, true },
	{ "over_its_first_byte", ADDR(8), ADDR(16) - 1, 7, 2, true },
	{ "inside", ADDR(8), ADDR(16) - 1, 10, 2, true },
	{ "the_same", ADDR(8), ADDR(16) - 1, 8, 8, true },
	{ "around", ADDR(8), ADDR(16) - 1, 4, 16, true },
	{ "its_last_page", ADDR(8), ADDR(16) - 1, 15, 1, true },
	{ "from_behind_its_last_byte", ADDR(8), ADDR(16) - 1, 16, 4, false },
	{ "only_its_first_byte", ADDR(8) - 1, ADDR(16) - 1, 7, 1, true },
	{ "only_its_last_byte", ADDR(8), ADDR(16), 16, 1, true },
	{ "of_one_byte", ADDR(8) + 100, ADDR(8) + 100, 8, 1, true },
};

KUNIT_ARRAY_PARAM_DESC(overlap, overlaps, name);

/* Called, waited for and retried only if there is a byte in common. */
static void interval_overlap(struct kunit *test)
{
	const struct overlap *o = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a');
	struct mmu_notifier_range range;
	struct thread *t;

	a->start = o->start;
	a->length = o->last - o->start + 1;
	KUNIT_ASSERT_EQ(test, 0, insert(a));
	/* The first lookup waits for whatever is in flight. */
	read_begin(a);
	invalidation_start(&range, c->mm[0], o->page, o->nr);
	EXPECT_LOG(test, c, o->hit ? "a(" : "");
	t = spawn(test, read_begin, a);
	if (o->hit)
		EXPECT_WAITS(test, t);
	else
		KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&t->done, HANGS));
	invalidation_end(&range);
	EXPECT_FINISHES(test, t);
	KUNIT_EXPECT_FALSE(test, read_retry(a));

	invalidation_start(&range, c->mm[0], o->page, o->nr);
	invalidation_end(&range);
	KUNIT_EXPECT_EQ(test, read_retry(a), o->hit);
}

static const struct bounds {
	const char *name;
	unsigned long start;
	unsigned long length;
	int ret;
} bounds[] = {
	{ "empty", ADDR(0), 0, -EOVERFLOW },
	{ "wraps", ADDR(0), ULONG_MAX, -EOVERFLOW },
	{ "wraps_by_one", ULONG_MAX, 2, -EOVERFLOW },
	{ "last_byte", ULONG_MAX, 1, 0 },
	{ "all", 0, ULONG_MAX, 0 },
};

KUNIT_ARRAY_PARAM_DESC(bounds, bounds, name);

/* 6: an interval without a byte, or beyond the last, changes nothing. */
static void interval_bounds(struct kunit *test)
{
	const struct bounds *b = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a');

	a->start = b->start;
	a->length = b->length;
	KUNIT_EXPECT_EQ(test, insert(a), b->ret);
	KUNIT_EXPECT_EQ(test, !!mm_has_notifiers(c->mm[0]), !b->ret);
}

static int read_begin_killable(struct party *p)
{
	return mmu_interval_read_begin_killable(&p->mni, &p->seq);
}

/* A task that waits for an invalidation can be killed, if it asks for that. */
static void interval_killable(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a');
	struct mmu_notifier_range range;
	struct thread *t;

	KUNIT_ASSERT_EQ(test, 0, insert(a));
	KUNIT_EXPECT_EQ(test, 0, read_begin_killable(a));
	KUNIT_EXPECT_FALSE(test, read_retry(a));

	invalidation_start(&range, c->mm[0], 0, 1);
	t = spawn(test, read_begin_killable, a);
	EXPECT_WAITS(test, t);
	send_sig(SIGKILL, t->task, 1);
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&t->done, HANGS));
	KUNIT_EXPECT_EQ(test, t->ret, -EINTR);
	invalidation_end(&range);
	EXPECT_FINISHES(test, t);
}

static struct kunit_case interval_cases[] = {
	KUNIT_CASE_PARAM(stories, interval_gen_params),
	KUNIT_CASE_PARAM(interval_overlap, overlap_gen_params),
	KUNIT_CASE_PARAM(interval_bounds, bounds_gen_params),
	KUNIT_CASE(interval_killable),
	{}
};

SUITE(interval);

/*
 * 8: cost.
 */

/* Each subscriber is called, and no other; with the last the mm is idle. */
static const struct story cost_stories[] = {
	{ "list", "0 +A 1 -A A* 0 s +A 1 s A( A) -A A* 0" },
	{ "interval", "0 +a 1 -a 0 s +a 1 s a( -a 0" },
	{ "list_twice", "+A +B -A A* 1 s B( B) -B B* 0 s" },
	{ "list_twice_reverse", "+A +B -B B* 1 s A( A) -A A* 0 s" },
	{ "interval_twice", "+a +b -a 1 s b( +a s a( b( -b 1 s a( -a 0 s" },
	{ "list_outlives", "+A +a s a( A( A) -a 1 s A( A) -A A* 0 s" },
	{ "interval_outlives", "+A +a s a( A( A) -A A* 1 s a( -a 0 s" },
	{ "interval_first", "+a +A s a( A( A) -a 1 s A( A) -A A* 0 s" },
	{ "interval_again", "+A +a -a +a s a( A( A) -A A* 1 s a( -a 0" },
	{ "exit_list", "+A x A* 1 s -A s" },
	{ "exit_both", "+A +a x a* A* 1 s a( -A 1 s a( -a s" },
	{ "exit_both_reverse", "+A +a x a* A* -a 1 s -A s" },
	/* Put leaves nothing behind, if not at once. */
	{ "put", "0 ^A A+ 1 %A, $ A# 0" },
	{ "put_after_exit", "^A A+ x A* %A, $ A# 0" },
	/*
	 * One that comes again soon passes no locks; nothing is left behind for
	 * long, and not at all by an mm that dies.
	 */
	{ "linger", "w M +A -A A* 1 L2 +B -B B* U2 1 s W 0" },
	{ "linger_interval", "w M +a -a 1 L3 +a U3 s a( -a 1 W 0" },
	{ "linger_in_flight", "w +A [1 A( -A& A* ]1 A) -A; 1 +B [1 B( ]1 B) -B B* W 0" },
	{ "linger_put", "w ^A A+ %A, $ A# 1 W 0" },
	{ "linger_exit", "w +A -A A* 1 x 0" },
	{ "linger_exit_interval", "w +a -a 1 x 0" },
	/* A subscriber that asks for a range, or for events, is told of nothing else. */
	{ "limited", ":Ad +A [3 A( ]3 A) [4 ]4 [1 A( ]1 A) [6 ]6 {4 ]4 {3 A( ]3 A) -A A* 0" },
	{ "limited_event", ":Ae +A [1 ]1 {3 ]3 -A A*" },
	{ "limited_refuses", ":Ad :An +A {3! A- {4 ]4 {6 ]6 -A A*" },
	{ "limited_ends_those_before", ":Ad :An +A +B {3! B( A- B) {4 B( ]4 B) -B B* -A A*" },
	{ "limited_among_others",
	  ":Ad +A +B :CD +C [3 B( A( ]3 B) A) [2 C( B( ]2 C) B) -A A* [3 B( ]3 B) -C C* -B B*" },
	{ "limited_sorted",
	  ":AD +A :Bd +B [1 B( ]1 B) [4 A( ]4 A) [3 B( ]3 B) -A A* [4 ]4 [3 B( ]3 B) -B B*" },
	{ "limited_several", ":Ad +A :Bd +B s B( A( B) A) -A A* s B( B) -B B*" },
	{ "limited_page", ":Ad :Ap +A :Bp +B [5 .5 B. ]5 -A A* -B B*" },
	{ "limited_young", ":Ad :Af :Ay +A f0 c0 t0 -A A*" },
	/* One address of a huge entry stands for all of it. */
	{ "limited_tlbs", ":Ad :At +A T A~ -A A*" },
	{ "limited_joins", "+B :Ad [3 B( +A& +A? ]3 B) +A; [3 A( B( ]3 A) B) -A A* -B B*" },
	{ "limited_leaves", "+B :Ad +A [3 A( B( -A& A* ]3 A) B) -A; [3 B( ]3 B) -B B*" },
	{ "limited_interval", ":Ad +A +b [3 b( A( ]3 A) [4 ]4 -b -A A*" },
	{ "limited_exit", ":Ad +A x A* [3 ]3 -A" },
	/* A subscriber elsewhere costs nothing here. */
	{ "elsewhere", ":Ao +A 0 s" },
};

KUNIT_ARRAY_PARAM_DESC(cost, cost_stories, name);

static struct kunit_case cost_cases[] = {
	KUNIT_CASE_PARAM(stories, cost_gen_params),
	{}
};

SUITE(cost);

/*
 * fork()
 */

static const struct story fork_stories[] = {
	/* Each subscriber with the operation is called, and no other. */
	{ "all", ":AF :BF +A +B +C F BF AF s C( B( A( C) B) A)" },
	{ "none_with_operation", "+A +a F" },
	{ "no_subscriber", "F" },
	{ "subscriber_of_child", ":AF :Ao +A F" },
	{ "no_more", ":AF :BF +A +B -A A* F BF -B B* F" },
	/* Whatever it has asked for. */
	{ "limited", ":AF :BF :BD :CF :Ce +A +B +C F CF BF AF" },

	/* The first error is fork()'s, and the last call; nothing else changes. */
	{ "refused_by_first", ":AF :BF :Bx +A +B F! BF s B( A( B) A) F! BF -B B* F AF",
	  -EDQUOT },
	{ "refused_by_last", ":AF :BF :Ax +A +B F! BF AF s B( A( B) A)", -EDQUOT },
	{ "refused_by_limited", ":AF :Ad :Ax +A F! AF", -EDQUOT },

	/*
	 *	fork()			A
	 *
	 *	fork: A
	 *				unregister: its release, waits
	 *	goes on
	 *				unregistered
	 */
	{ "unregister", ":AF +A @AF F& AF -A& A* -A? /A F; -A; F" },
	/* A belongs to the fork that B sleeps in. */
	{ "unregister_other", ":AF :BF +A +B @BF F& BF -A& A* -A? /B, F; AF -A;" },
	/* One that comes meanwhile waits for mmap_lock, or need not wait. */
	{ "register", ":AF :BF +A @AF F& AF +B& +B? /A F; +B; F BF AF" },
	{ "insert", ":AF +A @AF F& AF +a s a( A( A) /A F;" },
	/* It is no invalidation, and delays none; nor one that leaves another mm. */
	{ "invalidation", ":AF +A @AF F& AF [1 A( ]1 A) /A F;" },
	{ "elsewhere", ":AF :Bo +A +B @AF F& AF -B B* /A F;" },

	/* A subscriber of the child is told how it ends, and of nothing else. */
	{ "child", ":AF :Ac +A F AF s A( A) y D* -A A*" },
	{ "child_of_refused", ":AF :Ax :BF :Bc +A +B F! BF AF y D*", -EDQUOT },
	{ "child_left_again", ":AF :AC +A F AF D* F AF D* y" },
};

KUNIT_ARRAY_PARAM_DESC(fork, fork_stories, name);

static struct kunit_case fork_cases[] = {
	KUNIT_CASE_PARAM(stories, fork_gen_params),
	{}
};

SUITE(fork);

kunit_test_suites(&pairing_suite, &release_suite, &page_suite, &sleeping_suite,
		  &registration_suite, &isolation_suite, &misuse_suite,
		  &interval_suite, &cost_suite, &fork_suite);

MODULE_DESCRIPTION("KUnit tests for the MMU notifier core");
MODULE_LICENSE("GPL");
