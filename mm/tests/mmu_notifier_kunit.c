// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of what the MMU notifier core promises.
 *
 * The suites follow the promises:
 *
 *	1 pairing	who saw a start sees its end, once; nobody else does
 *	2 no stale	between start and end nobody maps the range
 *	3 release	exactly once; nothing after unregister
 *	4 page		one call in place of the pair where one page changes
 *	5 sleeping	everything else may sleep
 *	6 registration	what it fails with, and that nothing has changed then
 *	7 isolation	a slow callback in one mm delays no other
 *	8 cost		the last to go leaves nothing behind
 *	9 misuse	is warned of, and survived
 *
 * Subscribers are called parties here.  A to D are on the list, a and so on are
 * intervals; each writes what it is called for into a log, which is compared as
 * text:
 *
 *	A( A)	start and end		A-	start refused
 *	A.	invalidate_page		A*	release
 *	Af Ac At	clear_flush_young, clear_young, test_young
 *	A~	arch_invalidate_secondary_tlbs
 *	A+ A#	alloc_notifier, free_notifier
 *	a( a- a*	invalidate: done, refused, for MMU_NOTIFY_RELEASE
 *
 * The list is called newest first and intervals by address: not promised, but
 * the expected logs have to say something.
 *
 * Whatever the case is about, the parties and ctx_exit() also check pairing,
 * ranges, calls out of season and that nothing is left in the mm.
 *
 * Races are forced: a callback stops at a gate until the other side has got to
 * where it has to be.  Who must wait is a thread, so that a hang is a failed
 * expectation.
 */
#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/bug.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/sections.h>
#include <trace/events/error_report.h>

static unsigned int seed;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "of the stress cases; 0 for a random one");

/* Far beyond what anything here takes: it only ends a hang. */
#define HANGS		(10 * HZ)
/* Who has not come back after this much sleep is waiting. */
#define WAITS_MS	20

#define NR_LIST		4
#define NR_INTERVALS	16
#define NR_PARTIES	(NR_LIST + NR_INTERVALS)
#define NR_THREADS	8
#define NR_OPEN		8

#define ADDR(page)	(0x10000000UL + (page) * PAGE_SIZE)

struct ctx;

/**
 * struct party - a subscriber, of either kind
 * @mn: of A to D
 * @mni: of a and so on
 * @c: whose log it writes
 * @mm: to subscribe to
 * @name: in the log
 * @start: of an interval
 * @length: of an interval
 * @seq: from the last read_begin()
 * @err: what a non-blocking start returns; any refuses
 * @err_block: what a blocking start returns
 * @young: what the aging callbacks return
 * @sleeps: where it may
 * @gate_at: the call that stops at the gate, or 0
 * @reached: it has
 * @go: and may go on
 * @hook_at: the call from which @hook is called, or 0
 * @hook: see @hook_at
 * @live: may be called
 * @released: was called for its release
 * @calls: how often it was called
 * @nr_open: sections whose start it saw, and not yet the end
 * @open: those sections
 * @task: who started them
 * @seen: the last range it was called for
 * @non_block: by call: current->non_block_count
 * @mapped: pages from ADDR(0) that its secondary MMU maps
 * @rnd: for the stress cases
 */
struct party {
	union {
		struct mmu_notifier mn;
		struct mmu_interval_notifier mni;
	};
	struct ctx *c;
	struct mm_struct *mm;
	char name;
	unsigned long start;
	unsigned long length;
	unsigned long seq;
	int err;
	int err_block;
	int young;
	bool sleeps;
	char gate_at;
	struct completion reached;
	struct completion go;
	char hook_at;
	void (*hook)(struct party *p);
	bool live;
	bool released;
	unsigned int calls;
	unsigned int nr_open;
	struct mmu_notifier_range open[NR_OPEN];
	struct task_struct *task[NR_OPEN];
	struct mmu_notifier_range seen;
	u8 non_block[128];
	u64 mapped;
	struct rnd_state rnd;
};

struct thread {
	struct task_struct *task;
	struct completion done;
	int (*fn)(struct party *p);
	struct party *p;
	int sig;
	int ret;
};

/**
 * struct ctx - of a case
 * @lock: everything that the parties write
 * @parties: A to D, a and so on
 * @threads: of the case; @threads.task is NULL where there is none
 * @mm: the mms: the parties' own, and another one
 * @alive: the mm has a user yet
 * @file: what map_page() maps
 * @log: see the top of the file
 * @taken: by take_log()
 * @len: of @log
 * @quiet: do not log
 * @wrong: what a party found wrong first, and its name
 * @got: by get()
 * @nr_alloc: parties handed out by alloc_notifier
 * @alloc_err: what alloc_notifier fails with
 * @running: threads of a stress case that come and go
 */
struct ctx {
	spinlock_t lock; /* protects what the parties write */
	struct party parties[NR_PARTIES];
	struct thread threads[NR_THREADS];
	struct mm_struct *mm[2];
	bool alive[2];
	struct file *file;
	char log[256];
	char taken[256];
	size_t len;
	bool quiet;
	char wrong[64];
	struct mmu_notifier *got;
	unsigned int nr_alloc;
	int alloc_err;
	atomic_t running;
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
 * Warnings that a case provokes.  The two lines on the console tell whoever
 * searches it for warnings that those between them are wanted.
 */
static atomic_t warnings;
static int saved_panic_on_warn;

static void warning_probe(void *data, enum error_detector detector,
			  unsigned long id)
{
	if (detector == ERROR_DETECTOR_WARN)
		atomic_inc(&warnings);
}

static void warnings_begin(struct kunit *test)
{
	pr_info("mmu_notifier_test: expecting a warning {\n");
	saved_panic_on_warn = panic_on_warn;
	panic_on_warn = 0;
	/* What warns once shall warn here, as debugfs' clear_warn_once does. */
	generic_bug_clear_once();
	memset(__start_once, 0, __end_once - __start_once);
	atomic_set(&warnings, 0);
	KUNIT_EXPECT_EQ(test, 0, register_trace_error_report_end(warning_probe,
								 NULL));
}

/* Expects that there were @nr. */
static void warnings_end(struct kunit *test, int nr)
{
	unregister_trace_error_report_end(warning_probe, NULL);
	panic_on_warn = saved_panic_on_warn;
	pr_info("mmu_notifier_test: } end of expected warning\n");
	KUNIT_EXPECT_EQ(test, atomic_read(&warnings), nr);
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
#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
	p->non_block[(u8)what] = current->non_block_count;
#endif
	spin_unlock(&c->lock);

	if (p->hook_at == what)
		p->hook(p);
	if (READ_ONCE(p->gate_at) == what) {
		complete_all(&p->reached);
		if (!wait_for_completion_timeout(&p->go, 3 * HANGS)) {
			spin_lock(&c->lock);
			wrong(p, "is stuck at its gate");
			spin_unlock(&c->lock);
		}
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
	if (p->sleeps)
		fsleep(1000);
}

static int on_start(struct mmu_notifier *mn,
		    const struct mmu_notifier_range *range)
{
	struct party *p = container_of(mn, struct party, mn);

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
		wrong(p, "sees more starts than there are sections");
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

	p->seen = *range;
	note(p, '.');
}

static int on_clear_flush_young(struct mmu_notifier *mn, struct mm_struct *mm,
				unsigned long start, unsigned long end)
{
	struct party *p = container_of(mn, struct party, mn);

	p->seen.start = start;
	p->seen.end = end;
	note(p, 'f');
	return p->young;
}

static int on_clear_young(struct mmu_notifier *mn, struct mm_struct *mm,
			  unsigned long start, unsigned long end)
{
	struct party *p = container_of(mn, struct party, mn);

	p->seen.start = start;
	p->seen.end = end;
	note(p, 'c');
	return p->young;
}

static int on_test_young(struct mmu_notifier *mn, struct mm_struct *mm,
			 unsigned long address)
{
	struct party *p = container_of(mn, struct party, mn);

	p->seen.start = address;
	note(p, 't');
	return p->young;
}

static void on_tlbs(struct mmu_notifier *mn, struct mm_struct *mm,
		    unsigned long start, unsigned long end)
{
	struct party *p = container_of(mn, struct party, mn);

	p->seen.start = start;
	p->seen.end = end;
	note(p, '~');
}

static struct mmu_notifier *on_alloc(struct mm_struct *mm)
{
	struct ctx *c = alloc_ctx;
	struct party *p;

	if (c->alloc_err)
		return ERR_PTR(c->alloc_err);
	if (c->nr_alloc == NR_LIST)
		return ERR_PTR(-ENOMEM);
	p = &c->parties[c->nr_alloc++];
	p->mm = mm;
	p->live = true;
	note(p, '+');
	return &p->mn;
}

static void on_free(struct mmu_notifier *mn)
{
	struct party *p = container_of(mn, struct party, mn);

	note(p, '#');
	spin_lock(&p->c->lock);
	if (p->nr_open)
		wrong(p, "is freed between start and end");
	p->live = false;
	spin_unlock(&p->c->lock);
	/* It is not the core's any more. */
	memset(mn, 0x6b, sizeof(*mn));
}

static bool on_invalidate(struct mmu_interval_notifier *mni,
			  const struct mmu_notifier_range *range,
			  unsigned long cur_seq)
{
	struct party *p = container_of(mni, struct party, mni);

	if (!mmu_notifier_range_blockable(range) && p->err) {
		note(p, '-');
		return false;
	}

	spin_lock(&p->c->lock);
	if (range->end <= p->start || range->start > p->start + p->length - 1)
		wrong(p, "is called for a range outside");
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

static const struct mmu_notifier_ops get_ops = { PAIR_OPS, GET_OPS };
static const struct mmu_notifier_ops get_ops2 = { PAIR_OPS, GET_OPS };

static const struct mmu_interval_notifier_ops interval_ops = {
	.invalidate = on_invalidate,
};

/*
 * What a case does, or lets a thread do.
 */

static int reg(struct party *p)
{
	int ret;

	p->live = true;
	p->released = false;
	ret = mmu_notifier_register(&p->mn, p->mm);
	p->live = !ret;
	return ret;
}

static int unreg(struct party *p)
{
	mmu_notifier_unregister(&p->mn, p->mm);
	spin_lock(&p->c->lock);
	if (p->nr_open)
		wrong(p, "is unregistered between start and end");
	if (p->mn.ops->release && !p->released)
		wrong(p, "is unregistered without a release");
	p->live = false;
	spin_unlock(&p->c->lock);
	return 0;
}

static int get(struct party *p)
{
	p->c->got = mmu_notifier_get(&get_ops, p->mm);
	return PTR_ERR_OR_ZERO(p->c->got);
}

static int put_and_wait(struct party *p)
{
	mmu_notifier_put(&p->mn);
	mmu_notifier_synchronize();
	return 0;
}

static void place(struct party *p, unsigned int page, unsigned int nr)
{
	p->start = ADDR(page);
	p->length = nr * PAGE_SIZE;
}

static int insert(struct party *p)
{
	int ret;

	p->live = true;
	ret = mmu_interval_notifier_insert(&p->mni, p->mm, p->start, p->length,
					   &interval_ops);
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

static void section_start(struct mmu_notifier_range *range,
			  struct mm_struct *mm, unsigned int page,
			  unsigned int nr)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, ADDR(page),
				ADDR(page + nr));
	mmu_notifier_invalidate_range_start(range);
}

static int section_start_nonblock(struct mmu_notifier_range *range,
				  struct mm_struct *mm, unsigned int page,
				  unsigned int nr)
{
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, ADDR(page),
				ADDR(page + nr));
	return mmu_notifier_invalidate_range_start_nonblock(range);
}

static void section_end(struct mmu_notifier_range *range)
{
	mmu_notifier_invalidate_range_end(range);
}

/* A whole one, over the first eight pages. */
static int section(struct party *p)
{
	struct mmu_notifier_range range;

	section_start(&range, p->mm, 0, 8);
	section_end(&range);
	return 0;
}

static void page_section(struct mm_struct *mm, unsigned int flags)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, flags, mm, ADDR(0),
				ADDR(1));
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_page(&range);
	section_end(&range);
}

/* Every call that the VM has, but for release. */
static void everything(struct kunit *test, struct mm_struct *mm)
{
	struct mmu_notifier_range range;

	section_start(&range, mm, 0, 8);
	section_end(&range);
	KUNIT_EXPECT_EQ(test, 0, section_start_nonblock(&range, mm, 0, 8));
	section_end(&range);
	page_section(mm, MMU_NOTIFIER_RANGE_PAGE);
	mmu_notifier_clear_flush_young(mm, ADDR(0), ADDR(1));
	mmu_notifier_clear_young(mm, ADDR(0), ADDR(1));
	mmu_notifier_test_young(mm, ADDR(0));
	mmu_notifier_arch_invalidate_secondary_tlbs(mm, ADDR(0), ADDR(1));
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
	if (t->sig)
		send_sig(t->sig, current, 1);
	t->ret = t->fn(t->p);
	flush_signals(current);
	complete(&t->done);
	return 0;
}

/* Calls fn(p) in a thread that has a signal pending. */
static struct thread *spawn_signalled(struct kunit *test,
				      int (*fn)(struct party *p),
				      struct party *p, int sig)
{
	struct thread *t = p->c->threads;

	while (t->task)
		KUNIT_ASSERT_LT(test, ++t - p->c->threads, NR_THREADS);
	t->fn = fn;
	t->p = p;
	t->sig = sig;
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

static struct thread *spawn(struct kunit *test, int (*fn)(struct party *p),
			    struct party *p)
{
	return spawn_signalled(test, fn, p, 0);
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

/* Let @p stop in a call, and a thread that does @fn run into that. */
static struct thread *stop_at(struct kunit *test, struct party *p, char what,
			      int (*fn)(struct party *p))
{
	struct thread *t;

	WRITE_ONCE(p->gate_at, what);
	t = spawn(test, fn, p);
	KUNIT_EXPECT_TRUE(test, wait_for_completion_timeout(&p->reached, HANGS));
	return t;
}

static void let_go(struct party *p)
{
	WRITE_ONCE(p->gate_at, 0);
	complete_all(&p->go);
}

/*
 * The fixture: two empty mms, and parties who are not subscribed yet.
 */

static int ctx_init(struct kunit *test)
{
	struct ctx *c = kzalloc(sizeof(*c), GFP_KERNEL);
	struct party *p;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, c);
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
		if (!is_interval(p))
			p->mn.ops = &pair_ops;
		place(p, 0, 8);
		init_completion(&p->reached);
		init_completion(&p->go);
	}
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
	}
	return 0;
}

/* Does what a subscriber takes go again?  A put one's with some delay. */
static bool mm_is_idle(struct ctx *c, struct mm_struct *mm)
{
	int i;

	/* kthread_use_mm() leaves references behind, until a CPU switches. */
	for (i = 0; i < 2000; i++) {
		if (!mm_has_notifiers(mm) &&
		    (c->file || atomic_read(&mm->mm_count) == 1))
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
	for (p = c->parties; p < c->parties + NR_PARTIES; p++)
		let_go(p);
	for (t = c->threads; t < c->threads + NR_THREADS; t++)
		stuck |= t->task && !finishes(t);
	/* In a thread, lest a subscriber who cannot leave blocks everything. */
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
	if (c->file)
		fput(c->file);
	alloc_ctx = NULL;
	kfree(c);
}

/* A page of a private file mapping, written: it has both reverse maps. */
static void map_page(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mm_struct *mm = c->mm[0];
	unsigned long addr, left;
	struct file *file;

	file = shmem_file_setup("mmu_notifier_test", PAGE_SIZE, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR(file));
	c->file = file;
	mm->task_size = TASK_SIZE;

	kthread_use_mm(mm);
	addr = vm_mmap(file, ADDR(0), PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_FIXED, 0);
	left = clear_user((void __user *)ADDR(0), 1);
	kthread_unuse_mm(mm);
	KUNIT_ASSERT_EQ(test, addr, ADDR(0));
	KUNIT_ASSERT_EQ(test, left, 0);
}

static struct vm_area_struct *mapped_vma(struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, ADDR(0));
	mmap_read_unlock(mm);
	return vma;
}

/* A lock under which page tables change, and which registration passes. */
struct pt_lock {
	const char *name;
	void (*lock)(struct vm_area_struct *vma);
	void (*unlock)(struct vm_area_struct *vma);
};

static void lock_mmap(struct vm_area_struct *vma)
{
	mmap_read_lock(vma->vm_mm);
}

static void unlock_mmap(struct vm_area_struct *vma)
{
	mmap_read_unlock(vma->vm_mm);
}

static void lock_file(struct vm_area_struct *vma)
{
	i_mmap_lock_read(vma->vm_file->f_mapping);
}

static void unlock_file(struct vm_area_struct *vma)
{
	i_mmap_unlock_read(vma->vm_file->f_mapping);
}

static void lock_anon(struct vm_area_struct *vma)
{
	anon_vma_lock_read(vma->anon_vma);
}

static void unlock_anon(struct vm_area_struct *vma)
{
	anon_vma_unlock_read(vma->anon_vma);
}

static const struct pt_lock rmap_locks[] = {
	{ "file_rmap", lock_file, unlock_file },
	{ "anon_rmap", lock_anon, unlock_anon },
};

KUNIT_ARRAY_PARAM_DESC(rmap_lock, rmap_locks, name);

#ifdef CONFIG_PER_VMA_LOCK
static void lock_vma(struct vm_area_struct *vma)
{
	WARN_ON(lock_vma_under_rcu(vma->vm_mm, ADDR(0)) != vma);
}

static void unlock_vma(struct vm_area_struct *vma)
{
	vma_end_read(vma);
}
#endif

static const struct pt_lock pt_locks[] = {
	{ "mmap_lock", lock_mmap, unlock_mmap },
#ifdef CONFIG_PER_VMA_LOCK
	{ "vma_lock", lock_vma, unlock_vma },
#endif
	{ "file_rmap", lock_file, unlock_file },
	{ "anon_rmap", lock_anon, unlock_anon },
};

KUNIT_ARRAY_PARAM_DESC(pt_lock, pt_locks, name);

/*
 * 1 and 2: pairing, and nobody maps in between.
 */

/* Every start comes before the section's work, every end after it. */
static void pairing_order(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;
	char name;

	for (name = 'A'; name <= 'C'; name++)
		KUNIT_ASSERT_EQ(test, 0, reg(party(c, name)));

	section_start(&range, c->mm[0], 0, 8);
	EXPECT_LOG(test, c, "C( B( A(");
	section_end(&range);
	EXPECT_LOG(test, c, "C) B) A)");
}

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
	section_end(&range);
	EXPECT_LOG(test, c, "A( A)");

	KUNIT_EXPECT_PTR_EQ(test, a->seen.mm, c->mm[0]);
	KUNIT_EXPECT_EQ(test, a->seen.start, ADDR(3));
	KUNIT_EXPECT_EQ(test, a->seen.end, ADDR(5));
	KUNIT_EXPECT_EQ(test, a->seen.event, rc->event);
	KUNIT_EXPECT_PTR_EQ(test, a->seen.owner, owner);
	KUNIT_EXPECT_EQ(test, mmu_notifier_range_blockable(&a->seen),
			!rc->nonblock);
}

/* Sections of a task can nest, and need not; each has its own end. */
static void pairing_overlapping(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range outer, inner, next;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	section_start(&outer, c->mm[0], 0, 8);
	section_start(&inner, c->mm[0], 2, 2);
	section_start(&next, c->mm[0], 4, 8);
	section_end(&inner);
	section_end(&outer);
	EXPECT_LOG(test, c, "A( A( A( A) A)");
	section_end(&next);
	EXPECT_LOG(test, c, "A)");
}

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
 * B sees the sections that begin after it came, and neither start nor end of
 * those from before; it could map what they free, so it must not come back
 * while there are any.
 */
static void pairing_register(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range before, after;
	struct thread *t;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	section_start(&before, c->mm[0], 0, 8);
	t = spawn(test, reg, party(c, 'B'));
	EXPECT_WAITS(test, t);
	EXPECT_LOG(test, c, "A(");

	section_start(&after, c->mm[0], 4, 8);
	section_end(&after);
	EXPECT_LOG(test, c, "B( A( B) A)");
	EXPECT_WAITS(test, t);

	section_end(&before);
	EXPECT_FINISHES(test, t);
	EXPECT_LOG(test, c, "A)");
}

/* As pairing_register(), but B's registration is over before its section is. */
static void pairing_register_meanwhile(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range before, after;
	struct thread *t;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	section_start(&before, c->mm[0], 0, 8);
	t = spawn(test, reg, party(c, 'B'));
	EXPECT_WAITS(test, t);
	section_start(&after, c->mm[0], 4, 8);
	section_end(&before);
	section_end(&after);
	EXPECT_FINISHES(test, t);
	EXPECT_LOG(test, c, "A( B( A( A) B) A)");
}

/*
 *	the VM			A
 *
 *	takes a lock
 *	start: nobody
 *				register: waits for the lock
 *	start: A
 *	end: A
 *	end: nobody
 *	drops the lock
 *				registered
 *
 * The first one's registration has no section to wait for that knows of it:
 * it waits for the locks under which sections are.
 */
static void pairing_register_first(struct kunit *test)
{
	const struct pt_lock *pt = test->param_value;
	struct ctx *c = test->priv;
	struct mmu_notifier_range before, after;
	struct vm_area_struct *vma;
	struct thread *t;

	map_page(test);
	vma = mapped_vma(c->mm[0]);

	pt->lock(vma);
	section_start(&before, c->mm[0], 0, 8);
	t = spawn(test, reg, party(c, 'A'));
	EXPECT_WAITS(test, t);
	/* Only who has passed mmap_lock has made itself known. */
	section_start(&after, c->mm[0], 0, 8);
	section_end(&after);
	EXPECT_LOG(test, c, pt->lock == lock_mmap ? "" : "A( A)");
	section_end(&before);
	EXPECT_WAITS(test, t);
	pt->unlock(vma);

	EXPECT_FINISHES(test, t);
	EXPECT_LOG(test, c, "");
	section(party(c, 'A'));
	EXPECT_LOG(test, c, "A( A)");
}

/*
 *	the VM			A			B
 *
 *	holds the reverse map
 *				register: waits
 *							register: waits
 *				is killed
 *							goes on waiting
 *	lets go
 *							registered
 *
 * A's failure must not take B with it.  In between A sees a start, so it has
 * to stay for the end.
 */
static void pairing_register_killed(struct kunit *test)
{
	const struct pt_lock *pt = test->param_value;
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;
	struct vm_area_struct *vma;
	struct thread *ta, *tb;

	map_page(test);
	vma = mapped_vma(c->mm[0]);

	pt->lock(vma);
	ta = spawn(test, reg, party(c, 'A'));
	EXPECT_WAITS(test, ta);
	tb = spawn(test, reg, party(c, 'B'));
	EXPECT_WAITS(test, tb);
	section_start(&range, c->mm[0], 0, 8);
	EXPECT_LOG(test, c, "A(");
	send_sig(SIGKILL, ta->task, 1);
	EXPECT_WAITS(test, ta);
	section_end(&range);
	EXPECT_LOG(test, c, "A)");
	EXPECT_FINISHES(test, ta);
	KUNIT_EXPECT_EQ(test, ta->ret, -EINTR);
	EXPECT_WAITS(test, tb);
	pt->unlock(vma);
	EXPECT_FINISHES(test, tb);
	KUNIT_EXPECT_EQ(test, tb->ret, 0);
	section(party(c, 'B'));
	EXPECT_LOG(test, c, "B( B)");
}

/*
 *	the VM			A
 *
 *	start: A and B
 *				unregister: its release, waits
 *	start: B
 *	end: B
 *	end: A and B
 *				unregistered
 */
static void pairing_unregister(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range before, after;
	struct thread *t;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'B')));
	section_start(&before, c->mm[0], 0, 8);
	t = spawn(test, unreg, party(c, 'A'));
	EXPECT_WAITS(test, t);
	EXPECT_LOG(test, c, "B( A( A*");

	section_start(&after, c->mm[0], 0, 8);
	section_end(&after);
	EXPECT_LOG(test, c, "B( B)");

	section_end(&before);
	EXPECT_LOG(test, c, "B) A)");
	EXPECT_FINISHES(test, t);
	section(party(c, 'B'));
	EXPECT_LOG(test, c, "B( B)");
}

static const struct order_case {
	const char *name;
	const char *order;
	const char *log;
} order_cases[] = {
	/* B has started when it begins to leave */
	{ "after_its_start", "AB", "B( A( B* B) A)" },
	/* ... and has not: the section is older, so it still belongs to it */
	{ "before_its_start", "BA", "A( B* B( A) B)" },
};

KUNIT_ARRAY_PARAM_DESC(order, order_cases, name);

/* B leaves while A sleeps in its start, in the same section. */
static void pairing_unregister_other(struct kunit *test)
{
	const struct order_case *oc = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	struct thread *vm, *t;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, oc->order[0])));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, oc->order[1])));
	vm = stop_at(test, a, '(', section);
	t = spawn(test, unreg, party(c, 'B'));
	EXPECT_WAITS(test, t);
	let_go(a);
	EXPECT_FINISHES(test, vm);
	EXPECT_FINISHES(test, t);
	EXPECT_LOG(test, c, oc->log);
}

/*
 *	reverse-map walk	exit
 *
 *	start: A
 *				release: A, waits
 *	end: A
 *				frees pages
 *	start, end: nobody
 */
static void pairing_exit(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;
	struct thread *t;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	section_start(&range, c->mm[0], 0, 8);
	t = spawn(test, die, party(c, 'A'));
	EXPECT_WAITS(test, t);
	EXPECT_LOG(test, c, "A( A*");
	section_end(&range);
	EXPECT_FINISHES(test, t);
	EXPECT_LOG(test, c, "A)");
	section(party(c, 'A'));
	EXPECT_LOG(test, c, "");
}

/* mmu_notifier_put() does not wait, but the end comes before the free. */
static void pairing_put(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, get(party(c, 'A')));
	section_start(&range, c->mm[0], 0, 8);
	mmu_notifier_put(c->got);
	section(party(c, 'A'));
	EXPECT_LOG(test, c, "A+ A(");
	section_end(&range);
	mmu_notifier_synchronize();
	EXPECT_LOG(test, c, "A) A#");
}

/* A section that began before there was anybody ends without anybody. */
static void pairing_nobody(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	section_start(&range, c->mm[0], 0, 8);
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	mmu_notifier_invalidate_page(&range);
	section_end(&range);
	EXPECT_LOG(test, c, "");
}

static const struct refusal {
	const char *name;
	char who;
	unsigned int page;
	bool intervals;
	const char *log;
	const char *later;
} refusals[] = {
	{ "first", 'C', 0, false, "C-", "d( C( B( A( C) B) A)" },
	{ "middle", 'B', 0, false, "C( B- C)", "d( C( B( A( C) B) A)" },
	{ "last", 'A', 0, false, "C( B( A- C) B)", "d( C( B( A( C) B) A)" },
	{ "first_intervals_inside", 'C', 0, true, "a( b( C-",
	  "a( b( d( C( B( A( C) B) A)" },
	{ "last_intervals_inside", 'A', 0, true, "a( b( C( B( A- C) B)",
	  "a( b( d( C( B( A( C) B) A)" },
	{ "last_intervals_outside", 'A', 16, true, "C( B( A- C) B)",
	  "d( C( B( A( C) B) A)" },
	{ "interval_first", 'a', 0, true, "a-", "a( b( d( C( B( A( C) B) A)" },
	{ "interval_last", 'b', 0, true, "a( b-",
	  "a( b( d( C( B( A( C) B) A)" },
};

KUNIT_ARRAY_PARAM_DESC(refusal, refusals, name);

/*
 * Somebody refuses a start that may not sleep: who had started is ended once,
 * the others hear nothing, and nothing stays in flight.
 */
static void pairing_refused(struct kunit *test)
{
	const struct refusal *rc = test->param_value;
	struct ctx *c = test->priv;
	struct party *d = party(c, 'd');
	struct mmu_notifier_range range;
	char name;

	for (name = 'A'; name <= 'C'; name++)
		KUNIT_ASSERT_EQ(test, 0, reg(party(c, name)));
	for (name = 'a'; name <= 'b' && rc->intervals; name++) {
		place(party(c, name), 2 * (name - 'a'), 2);
		KUNIT_ASSERT_EQ(test, 0, insert(party(c, name)));
	}

	party(c, rc->who)->err = -EAGAIN;
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			section_start_nonblock(&range, c->mm[0], rc->page, 8));
	EXPECT_LOG(test, c, rc->log);
	KUNIT_EXPECT_NULL(test, range.subscriptions);

	for (name = 'a'; name <= 'b' && rc->intervals; name++)
		EXPECT_FINISHES(test, spawn(test, read_begin, party(c, name)));
	place(d, rc->page + 4, 2);
	EXPECT_FINISHES(test, spawn(test, insert, d));
	EXPECT_FINISHES(test, spawn(test, read_begin, d));

	/* A blocking one is not refused. */
	section_start(&range, c->mm[0], rc->page, 8);
	section_end(&range);
	EXPECT_LOG(test, c, rc->later);
	KUNIT_EXPECT_TRUE(test, read_retry(d));
	for (name = 'a'; name <= 'b' && rc->intervals; name++)
		EXPECT_FINISHES(test, spawn(test, remove, party(c, name)));
}

/*
 * Stress: two who come and go on the list, two as intervals, two who invalidate
 * under the two kinds of lock.  Each subscriber maps a page now and then, when
 * the protocol allows it, and drops it when told.  The oracle: in the middle of
 * a section nobody maps a page of its range.
 */
#define STRESS_PAGES	16

static int stress_list(struct party *p)
{
	int i, j, ret = 0;

	for (i = 0; i < 30 && !ret; i++) {
		ret = reg(p);
		p->err = prandom_u32_state(&p->rnd) % 4 ? 0 : -EAGAIN;
		for (j = 0; j < 8 && !ret; j++) {
			spin_lock(&p->c->lock);
			/* Who has invalidate_page needs the page-table lock. */
			if (!p->nr_open && !p->mn.ops->invalidate_page)
				p->mapped |= BIT_ULL(prandom_u32_state(&p->rnd) %
						     STRESS_PAGES);
			spin_unlock(&p->c->lock);
			cond_resched();
		}
		if (!ret)
			unreg(p);
	}
	atomic_dec(&p->c->running);
	return ret;
}

static int stress_interval(struct party *p)
{
	unsigned int page, nr;
	int i, j, ret = 0;

	for (i = 0; i < 40 && !ret; i++) {
		page = prandom_u32_state(&p->rnd) % STRESS_PAGES;
		nr = 1 + prandom_u32_state(&p->rnd) % (STRESS_PAGES - page);
		place(p, page, nr);
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

static int stress_sections(struct party *p)
{
	struct vm_area_struct *vma = mapped_vma(p->mm);
	const struct pt_lock *pt = &pt_locks[p->name == 'C' ? 0 :
					     ARRAY_SIZE(pt_locks) - 1];
	struct mmu_notifier_range ranges[3];
	unsigned int nr, i;
	bool lifo;

	while (atomic_read(&p->c->running)) {
		pt->lock(vma);
		for (nr = 0; nr < ARRAY_SIZE(ranges); nr++) {
			if (!stress_start(p, &ranges[nr]))
				break;
		}
		/* By turns properly nested and not. */
		lifo = prandom_u32_state(&p->rnd) % 2;
		for (i = 0; i < nr; i++)
			section_end(&ranges[lifo ? nr - 1 - i : i]);
		pt->unlock(vma);
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

static void pairing_stress(struct kunit *test)
{
	static const struct {
		char name;
		int (*fn)(struct party *p);
	} roles[] = {
		{ 'C', stress_sections },
		{ 'D', stress_sections },
		{ 'A', stress_list },
		{ 'B', stress_list },
		{ 'a', stress_interval },
		{ 'b', stress_interval },
	};
	struct ctx *c = test->priv;
	struct thread *t[ARRAY_SIZE(roles)];
	int i;

	stress_seed(test);
	map_page(test);
	party(c, 'B')->mn.ops = &page_ops;
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
		tc = spawn(test, section, a);
		udelay(prandom_u32_state(&a->rnd) % 500);
		ta = spawn(test, unreg, a);
		EXPECT_FINISHES(test, ta);
		EXPECT_FINISHES(test, tb);
		EXPECT_FINISHES(test, tc);
		KUNIT_EXPECT_TRUE(test, a->released);
		EXPECT_FINISHES(test, spawn(test, remove, party(c, 'b')));
		KUNIT_EXPECT_FALSE(test, mm_has_notifiers(c->mm[1]));
	}
}

static struct kunit_case pairing_cases[] = {
	KUNIT_CASE(pairing_order),
	KUNIT_CASE_PARAM(pairing_range, range_gen_params),
	KUNIT_CASE(pairing_overlapping),
	KUNIT_CASE(pairing_register),
	KUNIT_CASE(pairing_register_meanwhile),
	KUNIT_CASE_PARAM(pairing_register_first, pt_lock_gen_params),
	KUNIT_CASE_PARAM(pairing_register_killed, rmap_lock_gen_params),
	KUNIT_CASE(pairing_unregister),
	KUNIT_CASE_PARAM(pairing_unregister_other, order_gen_params),
	KUNIT_CASE(pairing_exit),
	KUNIT_CASE(pairing_put),
	KUNIT_CASE(pairing_nobody),
	KUNIT_CASE_PARAM(pairing_refused, refusal_gen_params),
	KUNIT_CASE_SLOW(pairing_stress),
	KUNIT_CASE_SLOW(pairing_stress_exit),
	{}
};

static struct kunit_suite pairing_suite = {
	.name = "mmu_notifier_pairing",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = pairing_cases,
};

/*
 * 3: release.
 */

/* By unregister; the exit that follows has nobody to call. */
static void release_by_unregister(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	unreg(party(c, 'A'));
	EXPECT_LOG(test, c, "A*");
	die(party(c, 'A'));
	EXPECT_LOG(test, c, "");
}

/* By exit; unregister, which has to follow, does not call it again. */
static void release_by_exit(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'B')));
	die(party(c, 'A'));
	EXPECT_LOG(test, c, "B* A*");
	unreg(party(c, 'A'));
	unreg(party(c, 'B'));
	EXPECT_LOG(test, c, "");
}

static const struct race {
	const char *name;
	int (*first)(struct party *p);
	int (*second)(struct party *p);
} races[] = {
	{ "exit_first", die, unreg },
	{ "unregister_first", unreg, die },
};

KUNIT_ARRAY_PARAM_DESC(race, races, name);

/*
 *	exit			unregister
 *
 *	release: sleeps
 *				waits: the callback still runs
 *	release: returns
 *	frees pages		returns: A can be freed
 *
 * and the other way round: exit must not free pages while A still maps them.
 */
static void release_race(struct kunit *test)
{
	const struct race *race = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	struct thread *first, *second;

	KUNIT_ASSERT_EQ(test, 0, reg(a));
	first = stop_at(test, a, '*', race->first);
	second = spawn(test, race->second, a);
	EXPECT_WAITS(test, second);
	let_go(a);
	EXPECT_FINISHES(test, first);
	EXPECT_FINISHES(test, second);
	EXPECT_LOG(test, c, "A*");
}

/* Exit goes on to B while A, whose release has been called, is unregistered. */
static void release_race_others(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *b = party(c, 'B');
	struct thread *exit, *t;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(b));
	exit = stop_at(test, b, '*', die);
	t = spawn(test, unreg, party(c, 'A'));
	EXPECT_WAITS(test, t);
	let_go(b);
	EXPECT_FINISHES(test, t);
	EXPECT_FINISHES(test, exit);
	EXPECT_LOG(test, c, "B* A*");
}

/* A section that begins while release sleeps is a pair like any other. */
static void release_during_section(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	struct mmu_notifier_range range;
	struct thread *exit;

	KUNIT_ASSERT_EQ(test, 0, reg(a));
	exit = stop_at(test, a, '*', die);
	section_start(&range, c->mm[0], 0, 8);
	let_go(a);
	EXPECT_WAITS(test, exit);
	section_end(&range);
	EXPECT_FINISHES(test, exit);
	EXPECT_LOG(test, c, "A* A( A)");
}

/* Nothing is called any more, neither on the list nor as an interval. */
static void release_no_call_after(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A'), *b = party(c, 'B');

	a->mn.ops = &full_ops;
	b->mn.ops = &tlb_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(a));
	KUNIT_ASSERT_EQ(test, 0, reg(b));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'a')));
	everything(test, c->mm[0]);
	EXPECT_LOG(test, c, "a( A( A) a( A( A) a( A. Af Ac At B~");

	unreg(a);
	unreg(b);
	remove(party(c, 'a'));
	EXPECT_LOG(test, c, "A* B*");
	everything(test, c->mm[0]);
	EXPECT_LOG(test, c, "");
}

/* The same with somebody else left, so that the callbacks are still looked for. */
static void release_no_call_after_others(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A'), *b = party(c, 'B');

	a->mn.ops = &full_ops;
	b->mn.ops = &full_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(a));
	KUNIT_ASSERT_EQ(test, 0, reg(b));
	unreg(b);
	take_log(c);
	everything(test, c->mm[0]);
	EXPECT_LOG(test, c, "A( A) A( A) A. Af Ac At");
}

static void put_hook(struct party *p)
{
	mmu_notifier_put(&p->mn);
}

/* A subscriber may drop itself when the mm dies. */
static void release_put_inside(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');

	KUNIT_ASSERT_EQ(test, 0, get(a));
	a->hook = put_hook;
	a->hook_at = '*';
	die(a);
	mmu_notifier_synchronize();
	EXPECT_LOG(test, c, "A+ A* A#");
}

/* Who was put is released no more: its owner has turned away. */
static void release_not_after_put(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, get(party(c, 'A')));
	mmu_notifier_put(c->got);
	die(party(c, 'A'));
	mmu_notifier_synchronize();
	EXPECT_LOG(test, c, "A+ A#");
}

/* Put after the mm has died. */
static void release_before_put(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, get(party(c, 'A')));
	die(party(c, 'A'));
	EXPECT_LOG(test, c, "A+ A*");
	mmu_notifier_put(c->got);
	mmu_notifier_synchronize();
	EXPECT_LOG(test, c, "A#");
}

static struct kunit_case release_cases[] = {
	KUNIT_CASE(release_by_unregister),
	KUNIT_CASE(release_by_exit),
	KUNIT_CASE_PARAM(release_race, race_gen_params),
	KUNIT_CASE(release_race_others),
	KUNIT_CASE(release_during_section),
	KUNIT_CASE(release_no_call_after),
	KUNIT_CASE(release_no_call_after_others),
	KUNIT_CASE(release_put_inside),
	KUNIT_CASE(release_not_after_put),
	KUNIT_CASE(release_before_put),
	{}
};

static struct kunit_suite release_suite = {
	.name = "mmu_notifier_release",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = release_cases,
};

/*
 * 4: invalidate_page; and the other calls under the page-table lock.
 */

/* B has invalidate_page and gets that alone, A has not and gets the pair. */
static void page_in_place_of_pair(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *b = party(c, 'B');

	b->mn.ops = &page_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(b));
	page_section(c->mm[0], MMU_NOTIFIER_RANGE_PAGE);
	EXPECT_LOG(test, c, "A( B. A)");
	KUNIT_EXPECT_EQ(test, b->seen.start, ADDR(0));
	KUNIT_EXPECT_EQ(test, b->seen.end - b->seen.start, PAGE_SIZE);
}

/* Where the caller does not promise to call it, all get the pair. */
static void page_without_flag(struct kunit *test)
{
	struct ctx *c = test->priv;

	party(c, 'B')->mn.ops = &page_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'B')));
	page_section(c->mm[0], 0);
	EXPECT_LOG(test, c, "B( A( B) A)");
}

/* Nobody has it, or nobody is there: the call does nothing. */
static void page_nobody(struct kunit *test)
{
	struct ctx *c = test->priv;

	page_section(c->mm[0], MMU_NOTIFIER_RANGE_PAGE);
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	page_section(c->mm[0], MMU_NOTIFIER_RANGE_PAGE);
	EXPECT_LOG(test, c, "A( A)");
}

/* Who gets no start can neither refuse it nor be ended. */
static void page_refused(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	party(c, 'C')->mn.ops = &page_ops;
	party(c, 'C')->err = -EAGAIN;
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'B')));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'C')));
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR,
				MMU_NOTIFIER_RANGE_PAGE, c->mm[0], ADDR(0),
				ADDR(1));
	KUNIT_EXPECT_EQ(test, 0, mmu_notifier_invalidate_range_start_nonblock(&range));
	section_end(&range);
	EXPECT_LOG(test, c, "B( A( B) A)");

	party(c, 'A')->err = -EAGAIN;
	KUNIT_EXPECT_EQ(test, -EAGAIN,
			mmu_notifier_invalidate_range_start_nonblock(&range));
	EXPECT_LOG(test, c, "B( A- B)");
}

/*
 * B comes in the middle of a section: neither the pair nor the page is its, and
 * registration has not returned, so there is nothing that B could have mapped.
 */
static void page_register_meanwhile(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;
	struct thread *t;

	party(c, 'B')->mn.ops = &page_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR,
				MMU_NOTIFIER_RANGE_PAGE, c->mm[0], ADDR(0),
				ADDR(1));
	mmu_notifier_invalidate_range_start(&range);
	t = spawn(test, reg, party(c, 'B'));
	EXPECT_WAITS(test, t);
	mmu_notifier_invalidate_page(&range);
	section_end(&range);
	EXPECT_FINISHES(test, t);
	EXPECT_LOG(test, c, "A( A)");
}

/* B begins to leave in the middle of a section: it maps the page until then. */
static void page_put_meanwhile(struct kunit *test)
{
	static const struct mmu_notifier_ops ops = {
		PAIR_OPS, GET_OPS, .invalidate_page = on_page,
	};
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;
	struct mmu_notifier *mn;

	mn = mmu_notifier_get(&ops, c->mm[0]);
	KUNIT_ASSERT_FALSE(test, IS_ERR(mn));
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR,
				MMU_NOTIFIER_RANGE_PAGE, c->mm[0], ADDR(0),
				ADDR(1));
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_put(mn);
	mmu_notifier_invalidate_page(&range);
	section_end(&range);
	mmu_notifier_synchronize();
	EXPECT_LOG(test, c, "A+ A. A#");
}

/* Every secondary MMU is asked and cleared; any makes the page young. */
static void page_clear_young(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mm_struct *mm = c->mm[0];
	struct party *a = party(c, 'A'), *b = party(c, 'B');
	int i;

	a->mn.ops = &full_ops;
	b->mn.ops = &full_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(a));
	KUNIT_ASSERT_EQ(test, 0, reg(b));
	for (i = 0; i < 4; i++) {
		a->young = i & 1;
		b->young = i >> 1;
		KUNIT_EXPECT_EQ(test, mmu_notifier_clear_flush_young(mm, ADDR(1), ADDR(3)),
				i != 0);
		EXPECT_LOG(test, c, "Bf Af");
		KUNIT_EXPECT_EQ(test, mmu_notifier_clear_young(mm, ADDR(1), ADDR(3)),
				i != 0);
		EXPECT_LOG(test, c, "Bc Ac");
	}
	KUNIT_EXPECT_EQ(test, a->seen.start, ADDR(1));
	KUNIT_EXPECT_EQ(test, a->seen.end, ADDR(3));
}

/* Nothing changes, so the first yes is enough. */
static void page_test_young(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mm_struct *mm = c->mm[0];
	struct party *a = party(c, 'A'), *b = party(c, 'B');

	a->mn.ops = &full_ops;
	b->mn.ops = &full_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(a));
	KUNIT_ASSERT_EQ(test, 0, reg(b));
	KUNIT_EXPECT_FALSE(test, mmu_notifier_test_young(mm, ADDR(1)));
	EXPECT_LOG(test, c, "Bt At");
	a->young = 1;
	KUNIT_EXPECT_TRUE(test, mmu_notifier_test_young(mm, ADDR(1)));
	EXPECT_LOG(test, c, "Bt At");
	b->young = 1;
	KUNIT_EXPECT_TRUE(test, mmu_notifier_test_young(mm, ADDR(1)));
	EXPECT_LOG(test, c, "Bt");
	KUNIT_EXPECT_EQ(test, b->seen.start, ADDR(1));
}

/* Who walks the CPU's page tables hears of its TLB flushes, and of no section. */
static void page_secondary_tlbs(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');

	a->mn.ops = &tlb_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(a));
	section(a);
	page_section(c->mm[0], MMU_NOTIFIER_RANGE_PAGE);
	EXPECT_LOG(test, c, "");
	mmu_notifier_arch_invalidate_secondary_tlbs(c->mm[0], ADDR(1), ADDR(3));
	EXPECT_LOG(test, c, "A~");
	KUNIT_EXPECT_EQ(test, a->seen.start, ADDR(1));
	KUNIT_EXPECT_EQ(test, a->seen.end, ADDR(3));
}

static struct kunit_case page_cases[] = {
	KUNIT_CASE(page_in_place_of_pair),
	KUNIT_CASE(page_without_flag),
	KUNIT_CASE(page_nobody),
	KUNIT_CASE(page_refused),
	KUNIT_CASE(page_register_meanwhile),
	KUNIT_CASE(page_put_meanwhile),
	KUNIT_CASE(page_clear_young),
	KUNIT_CASE(page_test_young),
	KUNIT_CASE(page_secondary_tlbs),
	{}
};

static struct kunit_suite page_suite = {
	.name = "mmu_notifier_page",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = page_cases,
};

/*
 * 5: sleeping.
 */

/* Start, end, invalidate and release do sleep here, by either road. */
static void sleeping_blockable(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *p;

	for (p = c->parties; p < c->parties + NR_PARTIES; p++)
		p->sleeps = true;
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'B')));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'a')));
	section(party(c, 'A'));
	EXPECT_LOG(test, c, "a( B( A( B) A)");
	unreg(party(c, 'A'));
	die(party(c, 'B'));
	EXPECT_LOG(test, c, "A* a* B*");
}

enum how { BLOCKING, NONBLOCK, PAGE, EXIT };

static const struct sleep_case {
	const char *name;
	enum how how;
	char who;
	char what;
	int non_block;
} sleep_cases[] = {
	{ "start", BLOCKING, 'A', '(', 0 },
	{ "end", BLOCKING, 'A', ')', 0 },
	{ "interval", BLOCKING, 'a', '(', 0 },
	{ "release", EXIT, 'A', '*', 0 },
	{ "interval_release", EXIT, 'a', '*', 0 },
	{ "start_nonblock", NONBLOCK, 'A', '(', 1 },
	{ "end_nonblock", NONBLOCK, 'A', ')', 1 },
	{ "interval_nonblock", NONBLOCK, 'a', '(', 1 },
	{ "page", PAGE, 'B', '.', 1 },
};

KUNIT_ARRAY_PARAM_DESC(sleep, sleep_cases, name);

/*
 * Where sleeping is forbidden, might_sleep() complains: it does as long as
 * current->non_block_count is raised.
 */
static void sleeping_checked(struct kunit *test)
{
#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
	const struct sleep_case *sc = test->param_value;
	struct ctx *c = test->priv;
	struct party *p = party(c, sc->who);
	struct mmu_notifier_range range;

	party(c, 'B')->mn.ops = &page_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'B')));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'a')));
	memset(p->non_block, 0xff, sizeof(p->non_block));
	switch (sc->how) {
	case BLOCKING:
		section(p);
		break;
	case NONBLOCK:
		KUNIT_EXPECT_EQ(test, 0, section_start_nonblock(&range, p->mm, 0, 8));
		KUNIT_EXPECT_EQ(test, current->non_block_count, 0);
		section_end(&range);
		break;
	case PAGE:
		page_section(p->mm, MMU_NOTIFIER_RANGE_PAGE);
		break;
	case EXIT:
		die(p);
		break;
	}
	KUNIT_EXPECT_EQ(test, p->non_block[(u8)sc->what], sc->non_block);
	KUNIT_EXPECT_EQ(test, current->non_block_count, 0);
#else
	kunit_skip(test, "needs CONFIG_DEBUG_ATOMIC_SLEEP");
#endif
}

static struct kunit_case sleeping_cases[] = {
	KUNIT_CASE(sleeping_blockable),
	KUNIT_CASE_PARAM(sleeping_checked, sleep_gen_params),
	{}
};

static struct kunit_suite sleeping_suite = {
	.name = "mmu_notifier_sleeping",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = sleeping_cases,
};

/*
 * 6: registration.
 */

static const struct road {
	const char *name;
	int (*fn)(struct party *p);
	char who;
	const char *log;
} roads[] = {
	{ "register", reg, 'A', "" },
	{ "insert", insert, 'a', "" },
	{ "get", get, 'A', "A+ A#" },
};

KUNIT_ARRAY_PARAM_DESC(road, roads, name);

/* An ordinary signal is none of our business. */
static void registration_signal(struct kunit *test)
{
	const struct road *road = test->param_value;
	struct ctx *c = test->priv;
	struct thread *t;

	map_page(test);
	t = spawn_signalled(test, road->fn, party(c, road->who), SIGUSR1);
	EXPECT_FINISHES(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	/* ... nor with somebody there already. */
	t = spawn_signalled(test, reg, party(c, 'C'), SIGUSR1);
	EXPECT_FINISHES(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
}

/* A fatal one fails it while it passes the locks, and nothing has changed. */
static void registration_killed(struct kunit *test)
{
	const struct road *road = test->param_value;
	struct ctx *c = test->priv;
	struct party *p = party(c, road->who);
	struct mm_struct *mm = c->mm[0];
	struct thread *t;
	int count;

	map_page(test);
	count = atomic_read(&mm->mm_count);
	t = spawn_signalled(test, road->fn, p, SIGKILL);
	EXPECT_FINISHES(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, -EINTR);
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(mm));
	/* A CPU may have dropped a lazy reference meanwhile. */
	KUNIT_EXPECT_LE(test, atomic_read(&mm->mm_count), count);
	EXPECT_LOG(test, c, road->log);
	section(p);
	EXPECT_LOG(test, c, "");
	if (road->fn == reg)
		KUNIT_EXPECT_NULL(test, p->mn.mm);

	/* The same subscriber, with no signal. */
	EXPECT_FINISHES(test, spawn(test, road->fn, p));
	KUNIT_EXPECT_TRUE(test, mm_has_notifiers(mm));
}

/* Once unregistered it can be registered again, with another mm too. */
static void registration_again(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	int i;

	for (i = 0; i < 4; i++) {
		a->mm = c->mm[i & 1];
		KUNIT_EXPECT_EQ(test, 0, reg(a));
		KUNIT_EXPECT_PTR_EQ(test, a->mn.mm, a->mm);
		section(a);
		unreg(a);
		EXPECT_LOG(test, c, "A( A) A*");
	}
}

/* The variants for who holds mmap_lock already. */
static void registration_locked(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A'), *b = party(c, 'b');
	int ret;

	c->nr_alloc = 1;
	mmap_write_lock(c->mm[0]);
	a->live = true;
	ret = __mmu_notifier_register(&a->mn, a->mm);
	KUNIT_EXPECT_EQ(test, ret, 0);
	b->live = true;
	ret = mmu_interval_notifier_insert_locked(&b->mni, b->mm, b->start,
						  b->length, &interval_ops);
	KUNIT_EXPECT_EQ(test, ret, 0);
	c->got = mmu_notifier_get_locked(&get_ops, c->mm[0]);
	KUNIT_EXPECT_PTR_EQ(test, c->got, &party(c, 'B')->mn);
	mmap_write_unlock(c->mm[0]);
	section(a);
	EXPECT_LOG(test, c, "B+ b( B( A( B) A)");
}

/* As many references as get() gave; the first allocates, the last frees. */
static void registration_get(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	int i;

	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, 0, get(a));
		KUNIT_EXPECT_PTR_EQ(test, c->got, &a->mn);
	}
	for (i = 0; i < 2; i++)
		mmu_notifier_put(&a->mn);
	mmu_notifier_synchronize();
	section(a);
	EXPECT_LOG(test, c, "A+ A( A)");

	mmu_notifier_put(&a->mn);
	mmu_notifier_synchronize();
	EXPECT_LOG(test, c, "A#");

	KUNIT_EXPECT_EQ(test, 0, get(a));
	KUNIT_EXPECT_PTR_EQ(test, c->got, &party(c, 'B')->mn);
	EXPECT_LOG(test, c, "B+");
}

/*
 *	the VM			A's owner
 *
 *	start: A
 *				put: the last, A leaves
 *				get: not A any more; waits for the section
 *	end: A
 *				frees A, has B
 */
static void registration_get_after_put(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	struct mmu_notifier_range range;
	struct thread *t;

	KUNIT_ASSERT_EQ(test, 0, get(a));
	section_start(&range, c->mm[0], 0, 8);
	mmu_notifier_put(&a->mn);
	t = spawn(test, get, a);
	EXPECT_WAITS(test, t);
	EXPECT_LOG(test, c, "A+ A( B+");
	section_end(&range);
	EXPECT_FINISHES(test, t);
	KUNIT_EXPECT_PTR_EQ(test, c->got, &party(c, 'B')->mn);
	mmu_notifier_synchronize();
	EXPECT_LOG(test, c, "A) A#");
}

/* One subscriber for each pair of mm and operations. */
static void registration_get_distinct(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier *a, *b, *d;

	a = mmu_notifier_get(&get_ops, c->mm[0]);
	b = mmu_notifier_get(&get_ops2, c->mm[0]);
	d = mmu_notifier_get(&get_ops, c->mm[1]);
	KUNIT_EXPECT_PTR_EQ(test, a, &party(c, 'A')->mn);
	KUNIT_EXPECT_PTR_EQ(test, b, &party(c, 'B')->mn);
	KUNIT_EXPECT_PTR_EQ(test, d, &party(c, 'C')->mn);
	EXPECT_LOG(test, c, "A+ B+ C+");
}

/* What alloc_notifier says is handed on. */
static void registration_get_fails(struct kunit *test)
{
	struct ctx *c = test->priv;

	c->alloc_err = -ENODEV;
	KUNIT_EXPECT_EQ(test, get(party(c, 'A')), -ENODEV);
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(c->mm[0]));
}

/* Put does not wait, so a callback may; it sees its section's end. */
static void registration_put_inside(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');

	KUNIT_ASSERT_EQ(test, 0, get(a));
	a->hook = put_hook;
	a->hook_at = '(';
	section(a);
	section(a);
	mmu_notifier_synchronize();
	EXPECT_LOG(test, c, "A+ A( A) A#");
}

static struct kunit_case registration_cases[] = {
	KUNIT_CASE_PARAM(registration_signal, road_gen_params),
	KUNIT_CASE_PARAM(registration_killed, road_gen_params),
	KUNIT_CASE(registration_again),
	KUNIT_CASE(registration_locked),
	KUNIT_CASE(registration_get),
	KUNIT_CASE(registration_get_after_put),
	KUNIT_CASE(registration_get_distinct),
	KUNIT_CASE(registration_get_fails),
	KUNIT_CASE(registration_put_inside),
	{}
};

static struct kunit_suite registration_suite = {
	.name = "mmu_notifier_registration",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = registration_cases,
};

/*
 * 7: isolation.
 */

static const struct isolation_case {
	const char *name;
	int (*slow)(struct party *p);
	char slow_who;
	char slow_at;
	int (*fn)(struct party *p);
	char who;
} isolation_cases[] = {
	{ "start_and_register", section, 'A', '(', reg, 'D' },
	{ "start_and_unregister", section, 'A', '(', unreg, 'C' },
	{ "start_and_put", section, 'A', '(', put_and_wait, 'B' },
	{ "start_and_insert", section, 'A', '(', insert, 'd' },
	{ "start_and_remove", section, 'A', '(', remove, 'c' },
	{ "start_and_read", section, 'A', '(', read_begin, 'c' },
	{ "start_and_section", section, 'A', '(', section, 'C' },
	{ "start_and_exit", section, 'A', '(', die, 'C' },
	{ "end_and_unregister", section, 'A', ')', unreg, 'C' },
	{ "end_and_exit", section, 'A', ')', die, 'C' },
	{ "release_and_unregister", die, 'A', '*', unreg, 'C' },
	{ "release_and_exit", die, 'A', '*', die, 'C' },
	{ "interval_and_unregister", section, 'a', '(', unreg, 'C' },
	{ "interval_and_exit", section, 'a', '(', die, 'C' },
};

KUNIT_ARRAY_PARAM_DESC(isolation, isolation_cases, name);

/* While a callback sleeps in one mm, the other mm's subscribers come and go. */
static void isolation(struct kunit *test)
{
	const struct isolation_case *ic = test->param_value;
	struct ctx *c = test->priv;
	struct party *slow = party(c, ic->slow_who);
	struct thread *t;
	char name;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'a')));
	for (name = 'C'; name <= 'D'; name++) {
		party(c, name)->mm = c->mm[1];
		party(c, name + 'a' - 'A')->mm = c->mm[1];
	}
	c->nr_alloc = 1;
	c->got = mmu_notifier_get(&get_ops, c->mm[1]);
	KUNIT_ASSERT_PTR_EQ(test, c->got, &party(c, 'B')->mn);
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'C')));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'c')));

	t = stop_at(test, slow, ic->slow_at, ic->slow);
	EXPECT_FINISHES(test, spawn(test, ic->fn, party(c, ic->who)));
	EXPECT_WAITS(test, t);
	let_go(slow);
	EXPECT_FINISHES(test, t);
}

static struct kunit_case isolation_cases_[] = {
	KUNIT_CASE_PARAM(isolation, isolation_gen_params),
	{}
};

static struct kunit_suite isolation_suite = {
	.name = "mmu_notifier_isolation",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = isolation_cases_,
};

/*
 * 9: misuse.
 */

static const struct ops_case {
	const char *name;
	bool none;
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
};

KUNIT_ARRAY_PARAM_DESC(ops, ops_cases, name);

/* Operations that contradict each other: -EINVAL, and nothing has changed. */
static void misuse_ops(struct kunit *test)
{
	const struct ops_case *oc = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');

	a->mn.ops = oc->none ? NULL : &oc->ops;
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, reg(a), -EINVAL);
	warnings_end(test, 1);
	KUNIT_EXPECT_NULL(test, a->mn.mm);
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(c->mm[0]));
}

/* mmu_notifier_get() without the means to allocate, or to free. */
static void misuse_get_ops(struct kunit *test)
{
	static const struct mmu_notifier_ops no_alloc = {
		.free_notifier = on_free,
	};
	static const struct mmu_notifier_ops no_free = {
		.alloc_notifier = on_alloc,
	};
	struct ctx *c = test->priv;

	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, PTR_ERR(mmu_notifier_get(&no_alloc, c->mm[0])),
			-EINVAL);
	warnings_end(test, 1);
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, PTR_ERR(mmu_notifier_get(&no_free, c->mm[0])),
			-EINVAL);
	warnings_end(test, 1);
	EXPECT_LOG(test, c, "");
}

/* Registered is registered, in another mm too: -EBUSY, and it stays as it was. */
static void misuse_register_twice(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');

	KUNIT_ASSERT_EQ(test, 0, reg(a));
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, mmu_notifier_register(&a->mn, c->mm[0]), -EBUSY);
	warnings_end(test, 1);
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, mmu_notifier_register(&a->mn, c->mm[1]), -EBUSY);
	warnings_end(test, 1);
	section(a);
	EXPECT_LOG(test, c, "A( A)");
}

/* Nobody can join an mm whose last user has gone. */
static void misuse_dying_mm(struct kunit *test)
{
	const struct road *road = test->param_value;
	struct ctx *c = test->priv;
	struct party *p = party(c, road->who);

	die(p);
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, road->fn(p), -EINVAL);
	warnings_end(test, 1);
	EXPECT_LOG(test, c, road->log);
}

/* The same while somebody's release still runs. */
static void misuse_dying_mm_release(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');
	struct thread *t;

	KUNIT_ASSERT_EQ(test, 0, reg(a));
	t = stop_at(test, a, '*', die);
	warnings_begin(test);
	KUNIT_EXPECT_EQ(test, reg(party(c, 'B')), -EINVAL);
	KUNIT_EXPECT_EQ(test, insert(party(c, 'b')), -EINVAL);
	warnings_end(test, 2);
	let_go(a);
	EXPECT_FINISHES(test, t);
}

/* Unregistered, or registered elsewhere: nothing happens. */
static void misuse_unregister(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');

	warnings_begin(test);
	mmu_notifier_unregister(&a->mn, c->mm[0]);
	warnings_end(test, 1);
	KUNIT_ASSERT_EQ(test, 0, reg(a));
	warnings_begin(test);
	mmu_notifier_unregister(&a->mn, c->mm[1]);
	warnings_end(test, 1);
	section(a);
	unreg(a);
	EXPECT_LOG(test, c, "A( A) A*");
	warnings_begin(test);
	mmu_notifier_unregister(&a->mn, c->mm[0]);
	warnings_end(test, 1);
	EXPECT_LOG(test, c, "");
}

/* What was not got cannot be put. */
static void misuse_put(struct kunit *test)
{
	struct ctx *c = test->priv;

	warnings_begin(test);
	mmu_notifier_put(&party(c, 'A')->mn);
	warnings_end(test, 1);
}

static void unregister_hook(struct party *p)
{
	mmu_notifier_unregister(&p->mn, p->mm);
}

/*
 * At exit, unregister from the subscriber's own release would wait for itself.
 * It returns, the mm dies, and the real one can follow.
 */
static void misuse_unregister_in_release(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'A');

	KUNIT_ASSERT_EQ(test, 0, reg(a));
	a->hook = unregister_hook;
	a->hook_at = '*';
	warnings_begin(test);
	EXPECT_FINISHES(test, spawn(test, die, a));
	warnings_end(test, 1);
	EXPECT_LOG(test, c, "A*");
	EXPECT_FINISHES(test, spawn(test, unreg, a));
	EXPECT_LOG(test, c, "");
}

/* A section without a byte, or less, is none. */
static void misuse_empty_range(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'a')));
	warnings_begin(test);
	section_start(&range, c->mm[0], 1, 0);
	warnings_end(test, 1);
	section_end(&range);
	warnings_begin(test);
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, c->mm[0], ADDR(1),
				ADDR(0));
	KUNIT_EXPECT_EQ(test, 0, mmu_notifier_invalidate_range_start_nonblock(&range));
	warnings_end(test, 1);
	section_end(&range);
	EXPECT_LOG(test, c, "");
}

/* The second start of the same range is ignored, so one end is enough. */
static void misuse_start_twice(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	section_start(&range, c->mm[0], 0, 8);
	warnings_begin(test);
	mmu_notifier_invalidate_range_start(&range);
	warnings_end(test, 1);
	section_end(&range);
	section_end(&range);
	EXPECT_LOG(test, c, "A( A)");
}

/* More than a page cannot be answered by invalidate_page: all get the pair. */
static void misuse_page_range(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	party(c, 'A')->mn.ops = &page_ops;
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR,
				MMU_NOTIFIER_RANGE_PAGE, c->mm[0], ADDR(0),
				ADDR(2));
	warnings_begin(test);
	mmu_notifier_invalidate_range_start(&range);
	warnings_end(test, 1);
	mmu_notifier_invalidate_page(&range);
	section_end(&range);
	EXPECT_LOG(test, c, "A( A)");
}

static const struct rude_case {
	const char *name;
	char who;
	bool nonblock;
	int err;
	const char *log;
} rude_cases[] = {
	/* Who may sleep cannot refuse: the section is on, and ends for it. */
	{ "start", 'A', false, -EAGAIN, "a( B( A( B) A)" },
	{ "interval", 'a', false, -EAGAIN, "a( B( A( B) A)" },
	/* Another errno is a refusal like -EAGAIN. */
	{ "start_nonblock", 'A', true, -ENOMEM, "a( B( A- B)" },
};

KUNIT_ARRAY_PARAM_DESC(rude, rude_cases, name);

static void misuse_refusal(struct kunit *test)
{
	const struct rude_case *rc = test->param_value;
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'B')));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'a')));
	party(c, rc->who)->err = rc->err;
	party(c, rc->who)->err_block = rc->err;
	warnings_begin(test);
	if (rc->nonblock)
		KUNIT_EXPECT_EQ(test, -EAGAIN,
				section_start_nonblock(&range, c->mm[0], 0, 8));
	else
		section_start(&range, c->mm[0], 0, 8);
	warnings_end(test, 1);
	section_end(&range);
	EXPECT_LOG(test, c, rc->log);
	EXPECT_FINISHES(test, spawn(test, read_begin, party(c, 'a')));
}

static struct kunit_case misuse_cases[] = {
	KUNIT_CASE_PARAM(misuse_ops, ops_gen_params),
	KUNIT_CASE(misuse_get_ops),
	KUNIT_CASE(misuse_register_twice),
	KUNIT_CASE_PARAM(misuse_dying_mm, road_gen_params),
	KUNIT_CASE(misuse_dying_mm_release),
	KUNIT_CASE(misuse_unregister),
	KUNIT_CASE(misuse_put),
	KUNIT_CASE(misuse_unregister_in_release),
	KUNIT_CASE(misuse_empty_range),
	KUNIT_CASE(misuse_start_twice),
	KUNIT_CASE(misuse_page_range),
	KUNIT_CASE_PARAM(misuse_refusal, rude_gen_params),
	{}
};

static struct kunit_suite misuse_suite = {
	.name = "mmu_notifier_misuse",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = misuse_cases,
};

/*
 * Interval subscribers: 1, 2, 3 and 6 for them.
 */

static const struct overlap {
	const char *name;
	unsigned int page;
	unsigned int nr;
	bool hit;
} overlaps[] = {
	/* The interval is the bytes of pages 8 to 15. */
	{ "before", 2, 4, false },
	{ "up_to_its_first_byte", 4, 4, false },
	{ "its_first_page", 8, 1, true },
	{ "over_its_first_byte", 7, 2, true },
	{ "inside", 10, 2, true },
	{ "the_same", 8, 8, true },
	{ "around", 4, 16, true },
	{ "its_last_page", 15, 1, true },
	{ "over_its_last_byte", 15, 2, true },
	{ "from_behind_its_last_byte", 16, 4, false },
	{ "after", 20, 4, false },
};

KUNIT_ARRAY_PARAM_DESC(overlap, overlaps, name);

/*
 *	reader			section
 *
 *				start
 *	read_begin: waits if they overlap
 *				end
 *	returns
 *				start, end
 *	read_retry: true if they overlap
 */
static void interval_overlap(struct kunit *test)
{
	const struct overlap *o = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a');
	struct mmu_notifier_range range;
	struct thread *t;

	place(a, 8, 8);
	KUNIT_ASSERT_EQ(test, 0, insert(a));
	section_start(&range, c->mm[0], o->page, o->nr);
	EXPECT_LOG(test, c, o->hit ? "a(" : "");
	t = spawn(test, read_begin, a);
	if (o->hit)
		EXPECT_WAITS(test, t);
	else
		EXPECT_FINISHES(test, t);
	section_end(&range);
	if (o->hit)
		EXPECT_FINISHES(test, t);
	KUNIT_EXPECT_FALSE(test, read_retry(a));
	KUNIT_EXPECT_FALSE(test, mmu_interval_check_retry(&a->mni, a->seq));

	section_start(&range, c->mm[0], o->page, o->nr);
	KUNIT_EXPECT_EQ(test, read_retry(a), o->hit);
	KUNIT_EXPECT_EQ(test, mmu_interval_check_retry(&a->mni, a->seq), o->hit);
	section_end(&range);
	KUNIT_EXPECT_EQ(test, read_retry(a), o->hit);
}

/* Bounds are bytes: one byte in the middle of a page is invalidated with it. */
static void interval_of_a_byte(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a');
	struct mmu_notifier_range range;

	a->start = ADDR(3) + 100;
	a->length = 1;
	KUNIT_ASSERT_EQ(test, 0, insert(a));
	section_start(&range, c->mm[0], 3, 1);
	section_end(&range);
	EXPECT_LOG(test, c, "a(");
	section_start(&range, c->mm[0], 2, 1);
	section_end(&range);
	section_start(&range, c->mm[0], 4, 1);
	section_end(&range);
	EXPECT_LOG(test, c, "");
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

static const struct others {
	const char *name;
	char who;
} others[] = {
	/* Sections are in the tree's books already */
	{ "among_intervals", 'b' },
	/* ... and are not */
	{ "first_interval", 'A' },
};

KUNIT_ARRAY_PARAM_DESC(others, others, name);

static int insert_and_read(struct party *p)
{
	return insert(p) ?: read_begin(p);
}

/*
 *	section			a
 *
 *	start
 *				insert, read_begin: waits
 *	end
 *				returns
 *	start, end
 *				read_retry: true
 *
 * The section frees what a might look up, so a has to wait though it was not
 * called; afterwards nothing is counted in vain.
 */
static void interval_insert_in_section(struct kunit *test)
{
	const struct others *other = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a');
	struct mmu_notifier_range range;
	struct thread *t;

	KUNIT_ASSERT_EQ(test, 0, join(party(c, other->who)));
	section_start(&range, c->mm[0], 0, 8);
	take_log(c);
	t = spawn(test, insert_and_read, a);
	EXPECT_WAITS(test, t);
	section_end(&range);
	EXPECT_FINISHES(test, t);
	KUNIT_EXPECT_EQ(test, t->ret, 0);
	KUNIT_EXPECT_FALSE(test, read_retry(a));
	section(a);
	KUNIT_EXPECT_TRUE(test, read_retry(a));
	EXPECT_FINISHES(test, spawn(test, read_begin, a));
}

/* Two come as the first intervals, in the middle of an older section. */
static void interval_insert_two_in_section(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range, inner;
	struct thread *ta, *tb;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	section_start(&range, c->mm[0], 0, 8);
	ta = spawn(test, insert_and_read, party(c, 'a'));
	EXPECT_WAITS(test, ta);
	tb = spawn(test, insert_and_read, party(c, 'b'));
	EXPECT_WAITS(test, tb);
	/* One that they know of, within the one that they do not. */
	section_start(&inner, c->mm[0], 0, 8);
	section_end(&inner);
	EXPECT_WAITS(test, ta);
	EXPECT_WAITS(test, tb);
	section_end(&range);
	EXPECT_FINISHES(test, ta);
	EXPECT_FINISHES(test, tb);
}

static const struct neighbour {
	const char *name;
	unsigned int page;
} neighbours[] = {
	{ "below", 0 },
	{ "above", 6 },
};

KUNIT_ARRAY_PARAM_DESC(neighbour, neighbours, name);

/* b comes while the section sleeps in a's callback, before or behind a. */
static void interval_insert_in_callback(struct kunit *test)
{
	const struct neighbour *n = test->param_value;
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a'), *b = party(c, 'b');
	struct thread *vm, *t;

	place(a, 3, 2);
	place(b, n->page, 1);
	KUNIT_ASSERT_EQ(test, 0, insert(a));
	vm = stop_at(test, a, '(', section);
	t = spawn(test, insert_and_read, b);
	EXPECT_WAITS(test, t);
	let_go(a);
	EXPECT_FINISHES(test, vm);
	EXPECT_FINISHES(test, t);
	EXPECT_FINISHES(test, spawn(test, read_begin, a));
}

/* Remove waits for no section; the end has to do with those who are left. */
static void interval_remove_in_section(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'a')));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'b')));
	section_start(&range, c->mm[0], 0, 8);
	EXPECT_FINISHES(test, spawn(test, remove, party(c, 'a')));
	section_end(&range);
	EXPECT_FINISHES(test, spawn(test, read_begin, party(c, 'b')));
}

/* The same with nobody left: the section keeps what it needs to end. */
static void interval_remove_last_in_section(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'a')));
	section_start(&range, c->mm[0], 0, 8);
	EXPECT_FINISHES(test, spawn(test, remove, party(c, 'a')));
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(c->mm[0]));
	/* Grace periods pass, if nothing keeps them. */
	rcu_barrier();
	msleep(WAITS_MS);
	section_end(&range);
	EXPECT_FINISHES(test, spawn(test, insert_and_read, party(c, 'b')));
}

/* 3: remove waits for the callback, and there is none afterwards. */
static void interval_remove_in_callback(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a');
	struct thread *vm, *t;

	place(party(c, 'b'), 4, 4);
	KUNIT_ASSERT_EQ(test, 0, insert(a));
	KUNIT_ASSERT_EQ(test, 0, insert(party(c, 'b')));
	vm = stop_at(test, a, '(', section);
	t = spawn(test, remove, a);
	EXPECT_WAITS(test, t);
	/* Others need not wait for it, and are still called. */
	EXPECT_FINISHES(test, spawn(test, section, a));
	let_go(a);
	EXPECT_FINISHES(test, t);
	EXPECT_FINISHES(test, vm);
	EXPECT_LOG(test, c, "a( b( b(");
}

/* 3: at exit all intervals are invalidated as a whole, with an event of its own. */
static void interval_release(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a');

	KUNIT_ASSERT_EQ(test, 0, insert(a));
	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	read_begin(a);
	die(a);
	EXPECT_LOG(test, c, "a* A*");
	KUNIT_EXPECT_EQ(test, a->seen.start, 0);
	KUNIT_EXPECT_EQ(test, a->seen.end, ULONG_MAX);
	KUNIT_EXPECT_TRUE(test, mmu_notifier_range_blockable(&a->seen));
	KUNIT_EXPECT_TRUE(test, read_retry(a));
	EXPECT_FINISHES(test, spawn(test, read_begin, a));
}

/* Who has many is called for each that overlaps, once. */
static void interval_many(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;
	struct party *p;
	int i;

	for (i = 0; i < NR_INTERVALS; i++) {
		/* Not in the order of addresses. */
		p = party(c, 'a' + i);
		place(p, (i * 7) % NR_INTERVALS, 1);
		KUNIT_ASSERT_EQ(test, 0, insert(p));
	}
	section_start(&range, c->mm[0], 4, 8);
	section_end(&range);
	for (i = 0; i < NR_INTERVALS; i++) {
		p = party(c, 'a' + i);
		KUNIT_EXPECT_EQ(test, p->calls,
				p->start >= ADDR(4) && p->start < ADDR(12));
		EXPECT_FINISHES(test, spawn(test, read_begin, p));
	}
}

/* Intervals may overlap each other; a section in both is waited for by both. */
static void interval_nested_sections(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct party *a = party(c, 'a'), *b = party(c, 'b');
	struct mmu_notifier_range outer, inner;
	struct thread *ta, *tb;

	place(a, 0, 4);
	place(b, 2, 4);
	KUNIT_ASSERT_EQ(test, 0, insert(a));
	KUNIT_ASSERT_EQ(test, 0, insert(b));
	section_start(&outer, c->mm[0], 0, 4);
	section_start(&inner, c->mm[0], 5, 1);
	EXPECT_LOG(test, c, "a( b( b(");
	ta = spawn(test, read_begin, a);
	tb = spawn(test, read_begin, b);
	EXPECT_WAITS(test, ta);
	section_end(&outer);
	EXPECT_FINISHES(test, ta);
	EXPECT_WAITS(test, tb);
	section_end(&inner);
	EXPECT_FINISHES(test, tb);
}

static struct kunit_case interval_cases[] = {
	KUNIT_CASE_PARAM(interval_overlap, overlap_gen_params),
	KUNIT_CASE(interval_of_a_byte),
	KUNIT_CASE_PARAM(interval_bounds, bounds_gen_params),
	KUNIT_CASE_PARAM(interval_insert_in_section, others_gen_params),
	KUNIT_CASE(interval_insert_two_in_section),
	KUNIT_CASE_PARAM(interval_insert_in_callback, neighbour_gen_params),
	KUNIT_CASE(interval_remove_in_section),
	KUNIT_CASE(interval_remove_last_in_section),
	KUNIT_CASE(interval_remove_in_callback),
	KUNIT_CASE(interval_release),
	KUNIT_CASE(interval_many),
	KUNIT_CASE(interval_nested_sections),
	{}
};

static struct kunit_suite interval_suite = {
	.name = "mmu_notifier_interval",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = interval_cases,
};

/*
 * 8: cost.
 */

/* A letter comes, or goes if it is there; * is the mm's exit. */
static const struct script {
	const char *steps;
} scripts[] = {
	{ "AA" }, { "aa" }, { "AAAA" }, { "aaaa" }, { "AaAa" }, { "AaaA" },
	{ "aAAa" }, { "aAaA" }, { "ABAB" }, { "ABBA" }, { "abab" },
	{ "AaAAaA" }, { "A*A" }, { "a*a" }, { "Aa*Aa" }, { "aA*aA" },
};

KUNIT_ARRAY_PARAM_DESC(script, scripts, steps);

/*
 * Whoever is there is called, and nobody else; and when nobody is there, the
 * mm knows of nothing, at once.
 */
static void cost_orders(struct kunit *test)
{
	const struct script *script = test->param_value;
	struct ctx *c = test->priv;
	unsigned int nr = 0;
	struct party *p;
	const char *s;

	for (s = script->steps; *s; s++) {
		if (*s == '*') {
			die(c->parties);
		} else if (party(c, *s)->live) {
			leave(party(c, *s));
			nr--;
		} else {
			KUNIT_EXPECT_EQ(test, 0, join(party(c, *s)));
			nr++;
		}
		KUNIT_EXPECT_EQ_MSG(test, !!mm_has_notifiers(c->mm[0]), nr > 0,
				    "after step %zu", s - script->steps);

		for (p = c->parties; p < c->parties + NR_PARTIES; p++)
			p->calls = 0;
		section(c->parties);
		for (p = c->parties; p < c->parties + NR_PARTIES; p++) {
			bool called = p->live &&
				      (c->alive[0] || is_interval(p));

			KUNIT_EXPECT_EQ_MSG(test, p->calls,
					    called * (is_interval(p) ? 1 : 2),
					    "%c after step %zu", p->name,
					    s - script->steps);
		}
	}
}

/* The last mmu_notifier_put() leaves nothing behind, if not at once. */
static void cost_put(struct kunit *test)
{
	struct ctx *c = test->priv;

	KUNIT_ASSERT_EQ(test, 0, get(party(c, 'A')));
	KUNIT_EXPECT_TRUE(test, mm_has_notifiers(c->mm[0]));
	mmu_notifier_put(c->got);
	KUNIT_EXPECT_TRUE(test, mm_is_idle(c, c->mm[0]));
	EXPECT_LOG(test, c, "A+ A#");
}

/* Where nobody is, a section leaves no trace, though somebody is elsewhere. */
static void cost_elsewhere(struct kunit *test)
{
	struct ctx *c = test->priv;
	struct mmu_notifier_range range;

	KUNIT_ASSERT_EQ(test, 0, reg(party(c, 'A')));
	KUNIT_EXPECT_FALSE(test, mm_has_notifiers(c->mm[1]));
	section_start(&range, c->mm[1], 0, 8);
	KUNIT_EXPECT_NULL(test, range.subscriptions);
	section_end(&range);
	EXPECT_LOG(test, c, "");
}

static struct kunit_case cost_cases[] = {
	KUNIT_CASE_PARAM(cost_orders, script_gen_params),
	KUNIT_CASE(cost_put),
	KUNIT_CASE(cost_elsewhere),
	{}
};

static struct kunit_suite cost_suite = {
	.name = "mmu_notifier_cost",
	.init = ctx_init,
	.exit = ctx_exit,
	.test_cases = cost_cases,
};

kunit_test_suites(&pairing_suite, &release_suite, &page_suite, &sleeping_suite,
		  &registration_suite, &isolation_suite, &misuse_suite,
		  &interval_suite, &cost_suite);

MODULE_DESCRIPTION("KUnit tests for the MMU notifier core");
MODULE_LICENSE("GPL");
