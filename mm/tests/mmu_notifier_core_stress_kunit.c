// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit stress of the MMU notifier core: subscribers of all kinds come and go while two
 * threads invalidate and a third one ages, and perhaps the mm dies.
 *
 * Three things are checked.  A subscriber that saw a start sees its end, once, before its
 * owner may free it.  No callback comes before registration or after its end.  In the
 * middle of an invalidation no subscriber maps a page of the range.
 *
 * mmu_notifier_core_stress_kunit.seed=N on the command line repeats what the threads ask
 * for, but not the order in which they run.
 */
#include <linux/bits.h>
#include <linux/delay.h>
#include <linux/moduleparam.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "mmu_notifier_core.h"

static unsigned int seed;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "of the stress cases; 0 for a random one");

#define PAGES		16	/* that are invalidated and mapped */
#define DEPTH		3	/* invalidations of a thread, one in another */
#define INVALIDATORS	2
#define SLOTS		(INVALIDATORS * DEPTH)

enum role { REGISTERS, GETS, INSERTS };

struct stress;

/* A subscriber. */
struct party {
	union {
		struct mmu_notifier mn;
		struct mmu_interval_notifier mni;
	};
	struct stress *s;
	bool live;		/* may be called */
	bool open[SLOTS];	/* has seen the start of */
	bool refuse;
	u32 mapped;		/* bit n: page n */
	unsigned int released;
};

/* A thread that comes and goes. */
struct comer {
	struct stress *s;
	enum role role;
	struct party party;
	struct rnd_state rnd;
};

struct invalidator {
	struct stress *s;
	unsigned int nr;
	struct rnd_state rnd;
};

#define COMERS	5

struct stress {
	spinlock_t lock;	/* all that callbacks write */
	struct core *core;
	struct mm_struct *mm;
	const char *wrong;	/* what was found wrong first */
	atomic_t running;	/* comers */
	atomic_t done;		/* invalidations */
	atomic_t called;
	int rounds;
	bool locks;		/* invalidate under the locks that registration passes */
	struct comer comers[COMERS];
	struct invalidator invalidators[INVALIDATORS];
	struct rnd_state rnd;
};

static struct stress *the_stress;	/* for alloc_notifier */

static void wrong(struct stress *s, const char *what)
{
	lockdep_assert_held(&s->lock);
	if (!s->wrong)
		s->wrong = what;
}

static u32 pages_of(const struct mmu_notifier_range *range)
{
	unsigned long first = max(range->start, CORE_ADDR(0));
	unsigned long last = min(range->end - 1, CORE_ADDR(PAGES) - 1);

	if (first > last)
		return 0;
	return GENMASK((last - CORE_ADDR(0)) >> PAGE_SHIFT,
		       (first - CORE_ADDR(0)) >> PAGE_SHIFT);
}

/* Each invalidation names its slot by the owner. */
static unsigned int slot_of(const struct mmu_notifier_range *range)
{
	return (unsigned long)range->owner - 1;
}

static bool in_flight(const struct party *p)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++)
		if (p->open[i])
			return true;
	return false;
}

/*
 * Callbacks.
 */

static void on_release(struct mmu_notifier *mn, struct mm_struct *mm)
{
	struct party *p = container_of(mn, struct party, mn);

	spin_lock(&p->s->lock);
	if (!p->live)
		wrong(p->s, "released while it is not subscribed");
	if (p->released++)
		wrong(p->s, "released twice");
	p->mapped = 0;
	spin_unlock(&p->s->lock);
}

static int on_start(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct party *p = container_of(mn, struct party, mn);
	int ret = 0;

	spin_lock(&p->s->lock);
	if (!p->live)
		wrong(p->s, "start while it is not subscribed");
	if (p->open[slot_of(range)])
		wrong(p->s, "two starts");
	if (!mmu_notifier_range_blockable(range) && p->refuse) {
		ret = -EAGAIN;
	} else {
		p->open[slot_of(range)] = true;
		p->mapped &= ~pages_of(range);
	}
	spin_unlock(&p->s->lock);
	atomic_inc(&p->s->called);
	return ret;
}

static void on_end(struct mmu_notifier *mn, const struct mmu_notifier_range *range)
{
	struct party *p = container_of(mn, struct party, mn);

	spin_lock(&p->s->lock);
	if (!p->live)
		wrong(p->s, "end while it is not subscribed");
	if (!p->open[slot_of(range)])
		wrong(p->s, "end without a start");
	p->open[slot_of(range)] = false;
	spin_unlock(&p->s->lock);
}

static int on_young(struct mmu_notifier *mn, struct mm_struct *mm,
		    unsigned long start, unsigned long end)
{
	struct party *p = container_of(mn, struct party, mn);

	spin_lock(&p->s->lock);
	if (!p->live)
		wrong(p->s, "aged while it is not subscribed");
	spin_unlock(&p->s->lock);
	return 0;
}

static const struct mmu_notifier_ops list_ops = {
	.release		= on_release,
	.invalidate_range_start	= on_start,
	.invalidate_range_end	= on_end,
	.clear_flush_young	= on_young,
	.clear_young		= on_young,
};

static struct mmu_notifier *on_alloc(struct mm_struct *mm)
{
	struct party *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (!p)
		return ERR_PTR(-ENOMEM);
	p->s = the_stress;
	p->live = true;
	return &p->mn;
}

static void on_free(struct mmu_notifier *mn)
{
	struct party *p = container_of(mn, struct party, mn);
	struct stress *s = p->s;

	spin_lock(&s->lock);
	if (in_flight(p))
		wrong(s, "freed between start and end");
	spin_unlock(&s->lock);
	memset(p, 0x6b, sizeof(*p));
	kfree(p);
}

static const struct mmu_notifier_ops get_ops = {
	.release		= on_release,
	.invalidate_range_start	= on_start,
	.invalidate_range_end	= on_end,
	.alloc_notifier		= on_alloc,
	.free_notifier		= on_free,
};

static bool on_invalidate(struct mmu_interval_notifier *mni,
			  const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	struct party *p = container_of(mni, struct party, mni);
	bool ret = true;

	spin_lock(&p->s->lock);
	if (!p->live)
		wrong(p->s, "interval called while it is not inserted");
	if (!mmu_notifier_range_blockable(range) && p->refuse) {
		ret = false;
	} else {
		mmu_interval_set_seq(mni, cur_seq);
		p->mapped &= ~pages_of(range);
	}
	spin_unlock(&p->s->lock);
	atomic_inc(&p->s->called);
	return ret;
}

static const struct mmu_interval_notifier_ops interval_ops = {
	.invalidate = on_invalidate,
};

/*
 * Threads that come and go.
 */

static void set_live(struct party *p, bool live)
{
	spin_lock(&p->s->lock);
	if (!live && in_flight(p))
		wrong(p->s, "unsubscribed between start and end");
	p->live = live;
	p->mapped = 0;
	spin_unlock(&p->s->lock);
}

/* Until something was invalidated, but not for ever. */
static void stay(struct stress *s)
{
	int was = atomic_read(&s->done), i;

	for (i = 0; i < 50 && atomic_read(&s->done) == was; i++)
		fsleep(50);
}

static int registers(struct comer *c, unsigned int page, unsigned int nr)
{
	struct party *p = &c->party;
	int i, ret;

	memset(&p->mn, 0, sizeof(p->mn));
	p->mn.ops = &list_ops;
	p->released = 0;
	set_live(p, true);
	if (prandom_u32_state(&c->rnd) & 1) {
		ret = mmu_notifier_register_range(&p->mn, c->s->mm, CORE_ADDR(page),
						  CORE_ADDR(page + nr) - 1,
						  MMU_NOTIFIER_ALL_EVENTS);
	} else {
		page = 0;
		nr = PAGES;
		ret = mmu_notifier_register(&p->mn, c->s->mm);
	}
	if (ret) {
		set_live(p, false);
		return ret;
	}
	for (i = 0; i < 4; i++) {
		spin_lock(&c->s->lock);
		if (!in_flight(p) && !p->released)
			p->mapped |= BIT(page + prandom_u32_state(&c->rnd) % nr);
		spin_unlock(&c->s->lock);
		cond_resched();
	}
	return 0;
}

static void unregisters(struct comer *c)
{
	mmu_notifier_unregister(&c->party.mn, c->s->mm);
	spin_lock(&c->s->lock);
	if (c->party.released != 1)
		wrong(c->s, "unregistered without a release");
	spin_unlock(&c->s->lock);
	set_live(&c->party, false);
}

static int inserts(struct comer *c, unsigned int page, unsigned int nr)
{
	struct party *p = &c->party;
	unsigned long seq;
	int i, ret;

	memset(&p->mni, 0, sizeof(p->mni));
	set_live(p, true);
	ret = mmu_interval_notifier_insert(&p->mni, c->s->mm, CORE_ADDR(page),
					   nr * PAGE_SIZE, &interval_ops);
	if (ret) {
		set_live(p, false);
		return ret;
	}
	for (i = prandom_u32_state(&c->rnd) % 4; i > 0; i--) {
		seq = mmu_interval_read_begin(&p->mni);
		cond_resched();
		spin_lock(&c->s->lock);
		if (!mmu_interval_read_retry(&p->mni, seq))
			p->mapped |= BIT(page + prandom_u32_state(&c->rnd) % nr);
		spin_unlock(&c->s->lock);
	}
	return 0;
}

static int come(struct comer *c, struct mmu_notifier **got)
{
	unsigned int page = prandom_u32_state(&c->rnd) % PAGES;
	unsigned int nr = 1 + prandom_u32_state(&c->rnd) % (PAGES - page);

	c->party.refuse = !(prandom_u32_state(&c->rnd) % 4);
	switch (c->role) {
	case REGISTERS:
		return registers(c, page, nr);
	case GETS:
		*got = mmu_notifier_get(&get_ops, c->s->mm);
		return PTR_ERR_OR_ZERO(*got);
	case INSERTS:
		return inserts(c, page, nr);
	}
	return -EINVAL;
}

static void go(struct comer *c, struct mmu_notifier *got)
{
	switch (c->role) {
	case REGISTERS:
		unregisters(c);
		break;
	case GETS:
		mmu_notifier_put(got);
		break;
	case INSERTS:
		/* An invalidation need not call it from here on: unmap first. */
		spin_lock(&c->s->lock);
		c->party.mapped = 0;
		spin_unlock(&c->s->lock);
		mmu_interval_notifier_remove(&c->party.mni);
		set_live(&c->party, false);
		break;
	}
}

static int comes_and_goes(void *data)
{
	struct comer *c = data;
	struct stress *s = c->s;
	struct mmu_notifier *got;
	int i, ret = 0;

	for (i = 0; i < s->rounds && !ret; i++) {
		/* It may be dead: then there is nothing to subscribe to. */
		if (!mmget_not_zero(s->mm))
			break;
		ret = come(c, &got);
		/* This can be the last reference: exit then meets subscribers. */
		mmput(s->mm);
		if (ret)
			break;
		if (prandom_u32_state(&c->rnd) & 1)
			stay(s);
		go(c, got);
	}
	atomic_dec(&s->running);
	return ret;
}

/*
 * Threads that invalidate and age.
 */

static bool invalidate(struct invalidator *inv, struct mmu_notifier_range *range,
		       unsigned int depth)
{
	struct stress *s = inv->s;
	unsigned int page = prandom_u32_state(&inv->rnd) % PAGES;
	unsigned int nr = 1 + prandom_u32_state(&inv->rnd) % (PAGES - page);
	unsigned long slot = inv->nr * DEPTH + depth + 1;
	int i;

	mmu_notifier_range_init_owner(range, MMU_NOTIFY_MIGRATE, 0, s->mm,
				      CORE_ADDR(page), CORE_ADDR(page + nr),
				      (void *)slot);
	if (prandom_u32_state(&inv->rnd) & 1)
		mmu_notifier_invalidate_range_start(range);
	else if (mmu_notifier_invalidate_range_start_nonblock(range))
		return false;

	/* ->start and so on are set up only if there is a subscriber. */
	spin_lock(&s->lock);
	for (i = 0; i < COMERS; i++)
		if (s->comers[i].party.mapped & GENMASK(page + nr - 1, page))
			wrong(s, "a page is mapped while it is invalidated");
	spin_unlock(&s->lock);
	return true;
}

static void lock(struct invalidator *inv, bool on)
{
	struct vm_area_struct *vma = inv->s->core->vma;

	if (!inv->s->locks)
		return;
	if (inv->nr && on)
		anon_vma_lock_read(vma->anon_vma);
	else if (inv->nr)
		anon_vma_unlock_read(vma->anon_vma);
	else if (on)
		mmap_read_lock(inv->s->mm);
	else
		mmap_read_unlock(inv->s->mm);
}

static int invalidates(void *data)
{
	struct invalidator *inv = data;
	struct mmu_notifier_range ranges[DEPTH];
	unsigned int nr, i;
	bool lifo;

	while (atomic_read(&inv->s->running)) {
		lock(inv, true);
		for (nr = 0; nr < DEPTH; nr++)
			if (!invalidate(inv, &ranges[nr], nr))
				break;
		mmu_notifier_clear_flush_young(inv->s->mm, CORE_ADDR(0), CORE_ADDR(1));
		mmu_notifier_clear_young(inv->s->mm, CORE_ADDR(1), CORE_ADDR(2));
		atomic_inc(&inv->s->done);
		/* Nested, or not. */
		lifo = prandom_u32_state(&inv->rnd) & 1;
		for (i = 0; i < nr; i++)
			mmu_notifier_invalidate_range_end(&ranges[lifo ? nr - 1 - i : i]);
		lock(inv, false);
		cond_resched();
	}
	return 0;
}

/*
 * The cases.
 */

static const struct kind {
	const char *name;
	bool beside;		/* an interval is there all the time */
	bool exits;		/* the mm dies meanwhile */
	int times;
} kinds[] = {
	{ "first_and_last", .times = 1 },
	{ "beside_interval", .beside = true, .times = 1 },
	{ "exit", .beside = true, .exits = true, .times = 10 },
};

KUNIT_ARRAY_PARAM_DESC(kind, kinds, name);

static void stress_once(struct kunit *test, const struct kind *kind, struct stress *s,
			u32 first)
{
	static const enum role roles[COMERS] = {
		REGISTERS, REGISTERS, GETS, INSERTS, INSERTS
	};
	static struct core_interval bystander;
	struct core_job *jobs[COMERS + INVALIDATORS];
	struct core *c = test->priv;
	int i;

	*s = (struct stress) {
		.core = c,
		.mm = c->mm[0],
		.rounds = 20,
		.locks = !kind->exits,
	};
	spin_lock_init(&s->lock);
	prandom_seed_state(&s->rnd, first);
	core_interval_init(&bystander, c->mm[0], 64, 1);
	if (kind->beside)
		KUNIT_ASSERT_EQ(test, core_run(test, core_insert, &bystander, 0), 0);
	atomic_set(&s->running, COMERS);
	for (i = 0; i < COMERS; i++) {
		s->comers[i].s = s;
		s->comers[i].role = roles[i];
		s->comers[i].party.s = s;
		prandom_seed_state(&s->comers[i].rnd, first + 1 + i);
		jobs[i] = core_job_start(test, comes_and_goes, &s->comers[i], 0);
	}
	for (i = 0; i < INVALIDATORS; i++) {
		s->invalidators[i].s = s;
		s->invalidators[i].nr = i;
		prandom_seed_state(&s->invalidators[i].rnd, first + 1 + COMERS + i);
		jobs[COMERS + i] = core_job_start(test, invalidates, &s->invalidators[i], 0);
	}
	if (kind->exits) {
		fsleep(prandom_u32_state(&s->rnd) % 20000);
		core_mm_exit(c, 0);
	}
	for (i = 0; i < COMERS + INVALIDATORS; i++)
		KUNIT_EXPECT_EQ(test, core_job_finish(test, jobs[i]), 0);
	if (c->leak)
		return;
	mmu_notifier_synchronize();
	if (kind->beside)
		core_run(test, core_remove, &bystander, 0);
	KUNIT_EXPECT_STREQ(test, s->wrong ?: "", "");
	KUNIT_EXPECT_GT(test, atomic_read(&s->done), 0);
}

static void come_and_go(struct kunit *test)
{
	const struct kind *kind = test->param_value;
	struct stress *s = kzalloc(sizeof(*s), GFP_KERNEL);
	u32 first = seed ?: get_random_u32();
	struct core *c = test->priv;
	int i;

	KUNIT_ASSERT_NOT_NULL(test, s);
	kunit_info(test, "mmu_notifier_core_stress_kunit.seed=%u\n", first);
	the_stress = s;
	if (!kind->exits)
		KUNIT_ASSERT_TRUE(test, core_map_page(c));
	for (i = 0; i < kind->times && !c->leak; i++) {
		if (!c->alive[0]) {
			mmdrop(c->mm[0]);
			c->mm[0] = mm_alloc();
			KUNIT_ASSERT_NOT_NULL(test, c->mm[0]);
			mmgrab(c->mm[0]);
			c->alive[0] = true;
		}
		stress_once(test, kind, s, first + 100 * i);
	}
	if (c->leak)
		return;
	if (!kind->exits)
		KUNIT_EXPECT_GT(test, atomic_read(&s->called), 0);
	kfree(s);
}

static struct kunit_case stress_cases[] = {
	KUNIT_CASE_PARAM_ATTR(come_and_go, kind_gen_params, { .speed = KUNIT_SPEED_SLOW }),
	{}
};

static struct kunit_suite stress_suite = {
	.name = "mmu_notifier_core_stress",
	.init = core_init,
	.exit = core_exit,
	.test_cases = stress_cases,
};

kunit_test_suites(&stress_suite);

MODULE_DESCRIPTION("KUnit tests for MMU notifiers: stress");
MODULE_LICENSE("GPL");
