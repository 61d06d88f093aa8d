// SPDX-License-Identifier: GPL-2.0
/*
 * MMU notifiers: the VM tells secondary MMUs what it does to an mm.
 *
 * An mm has a struct mmu_notifier_subscriptions from the first subscriber's
 * coming until some time after the last one's going, else a NULL pointer.  To
 * get it costs a pass through all reverse-map locks: who comes and goes again and
 * again, as a driver with one buffer does, is to pay that once.  Without it the
 * mm is as cheap as before the first; and while no mm has one, mmu_notifier_key
 * keeps all hooks from looking.
 *
 * An invalidation is a section, from start to end.  Who is inside one, or inside
 * another callback, is counted in ->sections, together with the era it began in.
 * To wait for those in flight, in this mm and in no other, is to begin an era and
 * to wait for as many exits from older ones as were counted at that moment: the
 * two share an atomic.  An exit looks for waiters only if the era has changed.
 *
 * Who belongs to a section?  It must be the same subscribers at the start and
 * at the end, whoever comes and goes meanwhile.  So a section goes by the table
 * that it found at its start; each coming and going of a list subscriber
 * replaces the table.  When the sections that may have the old one are over, it
 * is freed, who joined is told of all that is in flight, and who left of nothing.
 *
 * Locks, outermost first:
 *
 *	mmap_lock (write)	allocation of the structure; register and get
 *	reverse-map locks	passed through once by the first to register,
 *				see mm_pass_all_locks()
 *	section_map		for lockdep: a section.  Waited for under
 *				mmap_lock, so that inside it nobody may take
 *				mmap_lock
 *	fork_map		for lockdep: a fork callback, under mmap_lock.  Who
 *				registers holds that, too, and waits for none: so
 *				the callback may register with the child
 *	watched_mutex		the list of all structures, for the watchdog
 *	subscriptions->lock	everything in the structure.  Innermost; no
 *				callback runs under it
 *
 *	cpu_hotplug_lock	to change mmu_notifier_key, with arm_mutex inside.
 *				Outside mmap_lock, and only tried inside it
 *	rcu			mm->notifier_subscriptions, just long enough
 *				to be counted in it
 */
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/interval_tree.h>
#include <linux/jump_label.h>
#include <linux/kallsyms.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/moduleparam.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/srcu.h>
#include <linux/stacktrace.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <asm/tlbflush.h>

#include "internal.h"

/* mmu_notifier.release: whoever comes first calls it, others wait for it. */
enum {
	RELEASE_TO_CALL,
	RELEASE_RUNS,
	RELEASE_DONE,
};

/* mmu_interval_notifier.pins: to be removed, not to be called any more. */
#define PINS_DEAD		INT_MIN

/* mmu_notifier_range.hit: more intervals than one. */
#define SEVERAL_HITS		((struct mmu_interval_notifier *)1)

/* mmu_notifier_subscriptions.sections: the era above, how many below. */
#define ERA_SHIFT		32
#define ERA_STEP		BIT_ULL(ERA_SHIFT)

/* mmu_notifier_subscriptions.hull_start and .hull_last, without an interval. */
#define NO_INTERVAL_START	ULONG_MAX
#define NO_INTERVAL_LAST	0UL

/*
 * What the start and the end of a section have to do for those in the table: nothing;
 * call all that is in @start and @end, neither of them empty; call who in @limited
 * wants it; look at everything.  Once started: end it for intervals alone, or for the
 * one in @limited.
 */
enum {
	CALLS_NONE,
	CALLS_PLAIN,
	CALLS_LIMITED,
	CALLS_LOOK,
	CALLS_INTERVALS,
	CALLS_ONE,
};

/* A callback, and for whom. */
struct start_call {
	int (*fn)(struct mmu_notifier *sub, const struct mmu_notifier_range *range);
	struct mmu_notifier *sub;
};

struct end_call {
	void (*fn)(struct mmu_notifier *sub, const struct mmu_notifier_range *range);
	struct mmu_notifier *sub;
};

/*
 * A subscriber that asked for a range.  They are sorted by @start; @reach is the
 * greatest @last up to here, so that it is sorted, too.
 */
struct limited {
	unsigned long start;
	unsigned long last;
	unsigned long reach;
	unsigned long events;
	struct mmu_notifier *sub;
};

/**
 * struct sub_table - the list subscribers of an mm, at some time
 * @capacity: how many it has room for
 * @nr_limited: in @limited
 * @calls: whom a section has to call: CALLS_*, by its flags
 * @has_page: somebody has invalidate_page
 * @sub: those that hear of the whole mm; first those without invalidate_page
 * @sub_page: the first with it
 * @sub_stop: behind the last
 * @start: their invalidate_range_start, in the same order
 * @start_page: behind those without invalidate_page
 * @start_stop: behind the last; its @fn is NULL
 * @end: their invalidate_range_end, in the same order
 * @end_page: behind those without invalidate_page
 * @end_stop: behind the last; its @fn is NULL
 * @limited: those that asked for a range or for events.  One in front of them ends
 *	before everything, one behind them starts after it
 * @hint: where the last search in @limited ended
 *
 * Nothing but @hint changes once it is published.
 */
struct sub_table {
	unsigned int capacity;
	unsigned int nr_limited;
	u8 calls[MMU_NOTIFIER_RANGE_FLAGS + 1];
	bool has_page;
	struct mmu_notifier **sub, **sub_page, **sub_stop;
	struct start_call *start, *start_page, *start_stop;
	struct end_call *end, *end_page, *end_stop;
	struct limited *limited, *hint;
};

/* Nobody is in the list. */
static struct sub_table no_table;

/**
 * struct section_waiter - waits for the sections that were open at some time
 * @list: in subscriptions->waiters
 * @era: they are older
 * @nr: how many of them are left
 * @done: completed with the last
 * @mni: was inserted while they were open, and counts them as one in ->active
 * @free: with the last
 */
struct section_waiter {
	struct list_head list;
	u32 era;
	u32 nr;
	struct completion *done;
	struct mmu_interval_notifier *mni;
	bool free;
};

/**
 * struct mmu_notifier_subscriptions - everybody who listens to an mm
 * @sections: who is inside one or inside a callback, and the era; see above
 * @table: the list subscribers; read inside a section
 * @hull_start: no interval starts below; read inside a section
 * @hull_last: no interval ends above; read inside a section
 * @lock: see the legend above
 * @nr: subscribers of both kinds, plus __mmu_notifier_release() while it runs
 * @nr_list: in @list
 * @dying: the mm is: not to linger
 * @detached: @mm does not point here any more
 * @ready: no section is in flight that does not know this structure
 * @list: struct mmu_notifier
 * @gone: those that were put and are in @table still
 * @mm: whose it is; referenced while @linger is queued
 * @itree: struct mmu_interval_notifier
 * @nr_intervals: in @itree
 * @seq: of the newest section that overlapped some of @itree, or change of it
 * @changed: of the newest change
 * @waiters: struct section_waiter
 * @wait: for an interval's @active or @pins to fall, for a release to be done,
 *	for @waiters to be empty
 * @releaser: the task inside __mmu_notifier_release(); read locklessly
 * @forker: the task inside __mmu_notifier_fork(); read locklessly
 * @watched: among all structures
 * @watch: for the sections that were open at the watchdog's last look
 * @watch_since: when that was, jiffies
 * @update: frees what is in @gone
 * @linger: detaches the structure if @nr is 0
 * @retire: frees it, once it is detached
 */
struct mmu_notifier_subscriptions {
	atomic64_t sections;
	struct sub_table *table;
	unsigned long hull_start;
	unsigned long hull_last;

	spinlock_t lock;	/* see the legend above */
	unsigned int nr;
	unsigned int nr_list;
	bool dying;
	bool detached;
	bool ready;
	struct hlist_head list;
	struct hlist_head gone;
	struct mm_struct *mm;
	struct rb_root_cached itree;
	unsigned int nr_intervals;
	u64 seq;
	u64 changed;
	struct list_head waiters;
	wait_queue_head_t wait;
	struct task_struct *releaser;
	struct task_struct *forker;
	struct list_head watched;
	struct section_waiter watch;
	unsigned long watch_since;
	struct work_struct update;
	struct delayed_work linger;
	struct rcu_work retire;
} __aligned(MMU_NOTIFIER_HEARS_MASK + 1);	/* the pointer is tagged */

static struct kmem_cache *subscriptions_cache;

unsigned int mmu_notifier_linger_ms = 1000;
module_param_named(linger_ms, mmu_notifier_linger_ms, uint, 0644);
MODULE_PARM_DESC(linger_ms, "how long an mm stays ready for subscribers, ms");

static unsigned int armed_ms = 10000;
module_param(armed_ms, uint, 0644);
MODULE_PARM_DESC(armed_ms, "how long all hooks stay armed after the last subscriber, ms");

unsigned int mmu_notifier_watchdog_ms = 10000;
module_param_named(watchdog_ms, mmu_notifier_watchdog_ms, uint, 0644);
MODULE_PARM_DESC(watchdog_ms, "after what time a callback is worth a message, ms; 0: never");

/* The callback that was named last. */
unsigned long mmu_notifier_watchdog_found;

static LIST_HEAD(watched);
static DEFINE_MUTEX(watched_mutex);
static void watchdog_look(struct work_struct *work);
static DECLARE_DELAYED_WORK(watchdog_work, watchdog_look);

/* Held from mmu_notifier_put() until free_notifier() has returned. */
DEFINE_STATIC_SRCU(mmu_notifier_put_srcu);

#ifdef CONFIG_LOCKDEP
/* Held around callbacks, and by fs_reclaim_acquire(): none may allocate. */
struct lockdep_map __mmu_notifier_invalidate_range_start_map =
	STATIC_LOCKDEP_MAP_INIT("mmu_notifier_invalidate_range_start",
				&__mmu_notifier_invalidate_range_start_map);
EXPORT_SYMBOL_GPL(__mmu_notifier_invalidate_range_start_map);

/* Held for reading inside a section, if somebody listens. */
static struct lockdep_map section_map =
	STATIC_LOCKDEP_MAP_INIT("mmu_notifier_section", &section_map);

/* Held for reading inside a fork callback. */
static struct lockdep_map fork_map =
	STATIC_LOCKDEP_MAP_INIT("mmu_notifier_fork", &fork_map);
#endif

/*
 * As if tried for: else what a callback takes would be connected with this map alone,
 * and who allocates under such a lock would not be found.
 */
#define map_acquire_read(map)	lock_acquire(map, 0, 1, 2, 1, NULL, _THIS_IP_)

/*
 * The key: off until the first subscriber in the system comes, on until some time
 * after the last structure is freed.  So no section that somebody was told of is
 * in flight when it goes off; and when it comes on, that is before the first
 * subscriber's structure is published, and registration waits for who has not
 * seen it, with the locks.
 */
struct static_key_false mmu_notifier_key = STATIC_KEY_FALSE_INIT;
EXPORT_SYMBOL_GPL(mmu_notifier_key);

/* Structures, plus 1 for disarm_work while it waits; 0: the key is off. */
static atomic_t arm_users;
static DEFINE_MUTEX(arm_mutex);		/* arm_users from and to 0 */

/* How often to try for cpu_hotplug_lock, a ms apart. */
#define ARM_TRIES	100

static void disarm(struct work_struct *work)
{
	cpus_read_lock();
	mutex_lock(&arm_mutex);
	/* If somebody has come: the last of them will be back here. */
	if (atomic_dec_and_test(&arm_users))
		static_branch_disable_cpuslocked(&mmu_notifier_key);
	mutex_unlock(&arm_mutex);
	cpus_read_unlock();
}

static DECLARE_DELAYED_WORK(disarm_work, disarm);

static void arm_put(void)
{
	if (!atomic_add_unless(&arm_users, -1, 1))
		queue_delayed_work(system_unbound_wq, &disarm_work,
				   msecs_to_jiffies(READ_ONCE(armed_ms)));
}

static void arm(void)
{
	mutex_lock(&arm_mutex);
	if (!atomic_read(&arm_users))
		static_branch_enable_cpuslocked(&mmu_notifier_key);
	atomic_inc(&arm_users);
	mutex_unlock(&arm_mutex);
}

static void arm_get(void)
{
	if (atomic_inc_not_zero(&arm_users))
		return;
	cpus_read_lock();
	arm();
	cpus_read_unlock();
}

/*
 * The same under mmap_lock, which is taken inside cpu_hotplug_lock elsewhere
 * (cpuset_attach()).  A CPU that comes or goes may wait for who waits for us, so
 * that we do not wait for ever.
 */
static int arm_get_locked(void)
{
	unsigned int tries = 0;

	if (atomic_inc_not_zero(&arm_users))
		return 0;
	while (!cpus_read_trylock()) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (++tries == ARM_TRIES)
			return -EAGAIN;
		fsleep(1000);
	}
	arm();
	cpus_read_unlock();
	return 0;
}

/*
 * The structure, and who is inside.
 */

/* mm->notifier_subscriptions has MMU_NOTIFIER_HEARS_* in its low bits. */
static struct mmu_notifier_subscriptions *untagged(void *tagged)
{
	return (void *)((unsigned long)tagged & ~MMU_NOTIFIER_HEARS_MASK);
}

/* For a subscriber's own calls: it is counted in ->nr, which keeps it there. */
static struct mmu_notifier_subscriptions *
subscriptions_of(struct mm_struct *mm)
{
	return untagged(rcu_dereference_protected(mm->notifier_subscriptions,
						  true));
}

/*
 * Be counted in the structure of the mm, if somebody listens (for one of @hears).
 * RCU keeps it until we are; from then on subscriptions_retire() waits.
 */
static __always_inline struct mmu_notifier_subscriptions *
subscriptions_enter(struct mm_struct *mm, unsigned long hears, u64 *entered)
{
	struct mmu_notifier_subscriptions *subs;
	void *tagged;

	rcu_read_lock();
	tagged = rcu_dereference(mm->notifier_subscriptions);
	subs = untagged(tagged);
	if (hears && !((unsigned long)tagged & hears))
		subs = NULL;
	if (subs)
		/*
		 * Fully ordered, as is atomic64_fetch_add() in waiter_begin(): who
		 * is not counted there sees what was published before.
		 */
		*entered = atomic64_fetch_inc(&subs->sections);
	rcu_read_unlock();
	return subs;
}

/* One that has counted itself in ->active has left.  True if it was the last. */
static bool interval_less(struct mmu_interval_notifier *mni)
{
	WRITE_ONCE(mni->active, mni->active - 1);
	return !mni->active;
}

/*
 * One that came in the era @era has left in the era @now: who has counted it?
 * Waiters may have come since, and have not.
 */
static noinline void subscriptions_left(struct mmu_notifier_subscriptions *subs,
					u32 era, u32 now)
{
	struct section_waiter *w, *next;

	spin_lock(&subs->lock);
	list_for_each_entry_safe(w, next, &subs->waiters, list) {
		if ((s32)(w->era - era) <= 0 || (s32)(w->era - now) > 0 ||
		    --w->nr)
			continue;
		list_del_init(&w->list);
		if (w->mni) {
			w->mni->waiter = NULL;
			if (interval_less(w->mni))
				wake_up_all(&subs->wait);
		}
		/* What is completed is on its owner's stack, and gone. */
		if (w->done)
			complete(w->done);
		else if (w->free)
			kfree(w);
	}
	/* Under the lock: subscriptions_retire() frees it thereafter. */
	if (list_empty(&subs->waiters))
		wake_up_all(&subs->wait);
	spin_unlock(&subs->lock);
}

static __always_inline void
subscriptions_exit(struct mmu_notifier_subscriptions *subs, u64 entered)
{
	u32 now = (u64)atomic64_dec_return(&subs->sections) >> ERA_SHIFT;
	u32 era = entered >> ERA_SHIFT;

	/* In a newer era we have been counted by who began it. */
	if (unlikely(now != era))
		subscriptions_left(subs, era, now);
}

/* Begin an era.  True if somebody is inside: then @w is queued. */
static bool waiter_begin(struct mmu_notifier_subscriptions *subs,
			 struct section_waiter *w)
{
	u64 old;

	lockdep_assert_held(&subs->lock);

	old = atomic64_fetch_add(ERA_STEP, &subs->sections);
	w->nr = old;
	w->era = (old >> ERA_SHIFT) + 1;
	if (!w->nr)
		return false;
	/* Who leaves has to take the lock to tell us. */
	list_add_tail(&w->list, &subs->waiters);
	return true;
}

/*
 * The watchdog: says which callback it is that takes so long.
 *
 * The sections do not keep a record of that, for it would cost each of them.  Who
 * waits too long, or watchdog_look() every so often on behalf of everybody, looks for
 * it in the stacks of those that sleep: behind a frame of a function that calls
 * callbacks there is the callback's.
 */

#if defined(CONFIG_STACKTRACE) && defined(CONFIG_KALLSYMS)
static int plain_start(struct mmu_notifier_range *range, struct sub_table *t);
static void plain_end(struct mmu_notifier_range *range);
static int limited_start(struct mmu_notifier_range *range, struct sub_table *t);
static void limited_end(struct mmu_notifier_range *range);
static void one_end(struct mmu_notifier_range *range);
static bool itree_call_all(struct mmu_notifier_subscriptions *subs,
			   struct mmu_notifier_range *range,
			   struct mmu_interval_notifier *mni);
static int itree_only_start(struct mmu_notifier_range *range,
			    struct mmu_notifier_subscriptions *subs);
static int look_start(struct mmu_notifier_range *range,
		      struct mmu_notifier_subscriptions *subs);
static void look_end(struct mmu_notifier_range *range);
static void sub_release(struct mmu_notifier_subscriptions *subs,
			struct mmu_notifier *sub, struct mm_struct *mm);

/* Is @addr in a function that calls callbacks? */
static bool watchdog_is_caller(unsigned long addr)
{
	void *const callers[] = {
		plain_start, plain_end, limited_start, limited_end, one_end,
		itree_call_all, itree_only_start, look_start, look_end,
		sub_release, __mmu_notifier_fork,
	};
	unsigned long size, offset;
	unsigned int i;

	if (!kallsyms_lookup_size_offset(addr, &size, &offset))
		return false;
	for (i = 0; i < ARRAY_SIZE(callers); i++)
		if (addr - offset == (unsigned long)callers[i])
			return true;
	return false;
}

static void watchdog_find_callback(void)
{
	unsigned long entries[32];
	struct task_struct *g, *t;
	unsigned int i, nr;

	rcu_read_lock();
	for_each_process_thread(g, t) {
		if (t == current || task_is_running(t))
			continue;
		nr = stack_trace_save_tsk(t, entries, ARRAY_SIZE(entries), 0);
		for (i = 1; i < nr; i++) {
			if (!watchdog_is_caller(entries[i]))
				continue;
			pr_warn("mmu_notifier: %s/%d is in %pS\n", t->comm,
				task_pid_nr(t), (void *)entries[i - 1]);
			mmu_notifier_watchdog_found = entries[i - 1];
			break;
		}
	}
	rcu_read_unlock();
}
#else
static void watchdog_find_callback(void)
{
}
#endif

/* Sections of @subs are open for @since, jiffies. */
static void watchdog_report(struct mmu_notifier_subscriptions *subs,
			    unsigned long since)
{
	struct task_struct *p;
	pid_t pid = 0;

	rcu_read_lock();
	for_each_process(p) {
		if (READ_ONCE(p->mm) == subs->mm) {
			pid = task_pid_nr(p);
			break;
		}
	}
	rcu_read_unlock();
	pr_warn("mmu_notifier: a section in mm %p (pid %d) is open for %u ms\n",
		subs->mm, pid, jiffies_to_msecs(since));
}

/* No effect while it is queued already. */
static void watchdog_queue(void)
{
	unsigned int ms = READ_ONCE(mmu_notifier_watchdog_ms);

	if (ms)
		queue_delayed_work(system_unbound_wq, &watchdog_work,
				   msecs_to_jiffies(ms));
}

static void watchdog_look(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs;
	bool late, any = false;

	mutex_lock(&watched_mutex);
	list_for_each_entry(subs, &watched, watched) {
		spin_lock(&subs->lock);
		/* Open since the last look?  Else those that are now. */
		late = !list_empty(&subs->watch.list);
		if (!late) {
			subs->watch_since = jiffies;
			waiter_begin(subs, &subs->watch);
		}
		spin_unlock(&subs->lock);
		if (late)
			watchdog_report(subs, jiffies - subs->watch_since);
		any |= late;
	}
	if (!list_empty(&watched))
		watchdog_queue();
	mutex_unlock(&watched_mutex);
	/* Once for all, and with nobody waiting for the mutex. */
	if (any)
		watchdog_find_callback();
}

static void watchdog_add(struct mmu_notifier_subscriptions *subs)
{
	INIT_LIST_HEAD(&subs->watch.list);
	mutex_lock(&watched_mutex);
	list_add(&subs->watched, &watched);
	mutex_unlock(&watched_mutex);
	watchdog_queue();
}

static void watchdog_del(struct mmu_notifier_subscriptions *subs)
{
	mutex_lock(&watched_mutex);
	list_del(&subs->watched);
	mutex_unlock(&watched_mutex);
}

/* Wait for all sections and callbacks in flight. */
static void subscriptions_sync(struct mmu_notifier_subscriptions *subs)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct section_waiter w = { .done = &done };
	unsigned long begin = jiffies;
	bool wait;

	might_sleep();
	lock_map_acquire(&section_map);
	lock_map_release(&section_map);

	spin_lock(&subs->lock);
	wait = waiter_begin(subs, &w);
	spin_unlock(&subs->lock);
	if (!wait)
		return;
	for (;;) {
		unsigned int ms = READ_ONCE(mmu_notifier_watchdog_ms);
		long left = ms ? msecs_to_jiffies(ms) : MAX_SCHEDULE_TIMEOUT;

		if (wait_for_completion_timeout(&done, left))
			break;
		watchdog_report(subs, jiffies - begin);
		watchdog_find_callback();
	}
}

/* To be called before subscriptions_sync() by who may wait for a fork callback. */
static void might_wait_for_fork(struct mm_struct *mm)
{
#ifdef CONFIG_LOCKDEP
	/* Nobody else is in one; and who is himself is caught elsewhere. */
	if (lockdep_is_held(&mm->mmap_lock))
		return;
#endif
	lock_map_acquire(&fork_map);
	lock_map_release(&fork_map);
}

static void subscriptions_retire(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs =
		container_of(to_rcu_work(work),
			     struct mmu_notifier_subscriptions, retire);

	watchdog_del(subs);
	if (cancel_delayed_work_sync(&subs->linger))
		mmdrop(subs->mm);
	/* It may be on its way out. */
	flush_work(&subs->update);
	/* Sections that found the structure before it was detached ... */
	subscriptions_sync(subs);
	/* ... and those on behalf of an interval that has been removed. */
	spin_lock(&subs->lock);
	while (!list_empty(&subs->waiters)) {
		spin_unlock(&subs->lock);
		wait_event(subs->wait, list_empty_careful(&subs->waiters));
		spin_lock(&subs->lock);
	}
	spin_unlock(&subs->lock);
	kmem_cache_free(subscriptions_cache, subs);
	arm_put();
}

static void subscriptions_detach(struct mmu_notifier_subscriptions *subs)
{
	lockdep_assert_held(&subs->lock);
	subs->detached = true;
	rcu_assign_pointer(subs->mm->notifier_subscriptions, NULL);
	queue_rcu_work(system_unbound_wq, &subs->retire);
}

static void subscriptions_linger(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs =
		container_of(to_delayed_work(work),
			     struct mmu_notifier_subscriptions, linger);
	struct mm_struct *mm = subs->mm;

	/* subscriptions_retire() waits for us. */
	spin_lock(&subs->lock);
	if (!subs->nr && !subs->detached)
		subscriptions_detach(subs);
	spin_unlock(&subs->lock);
	mmdrop(mm);
}

static void subscriptions_update(struct work_struct *work);

/* For the first subscriber.  Its caller is a user of the key; so is what it gets. */
static struct mmu_notifier_subscriptions *
subscriptions_alloc(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;

	subs = kmem_cache_zalloc(subscriptions_cache, GFP_KERNEL_ACCOUNT);
	if (!subs)
		return NULL;
	atomic64_set(&subs->sections, 0);
	subs->table = &no_table;
	subs->hull_start = NO_INTERVAL_START;
	subs->hull_last = NO_INTERVAL_LAST;
	spin_lock_init(&subs->lock);
	INIT_HLIST_HEAD(&subs->list);
	INIT_HLIST_HEAD(&subs->gone);
	subs->mm = mm;
	subs->nr = 1;
	atomic_inc(&arm_users);
	subs->itree = RB_ROOT_CACHED;
	INIT_LIST_HEAD(&subs->waiters);
	init_waitqueue_head(&subs->wait);
	INIT_WORK(&subs->update, subscriptions_update);
	INIT_DELAYED_WORK(&subs->linger, subscriptions_linger);
	INIT_RCU_WORK(&subs->retire, subscriptions_retire);
	watchdog_add(subs);
	return subs;
}

/* Count one more subscriber; NULL if there is nothing it could join yet. */
static struct mmu_notifier_subscriptions *
subscriptions_tryget(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;
	bool joined = false;

	rcu_read_lock();
	subs = untagged(rcu_dereference(mm->notifier_subscriptions));
	if (subs) {
		spin_lock(&subs->lock);
		joined = subs->ready && !subs->detached;
		if (joined)
			subs->nr++;
		spin_unlock(&subs->lock);
	}
	rcu_read_unlock();
	return joined ? subs : NULL;
}

/*
 * One subscriber less.  Some time after the last one the mm becomes as cheap as it
 * was before the first.
 */
static void subscriptions_put(struct mmu_notifier_subscriptions *subs)
{
	unsigned int ms = READ_ONCE(mmu_notifier_linger_ms);

	spin_lock(&subs->lock);
	if (--subs->nr) {
		/* There are others. */
	} else if (subs->dying || !subs->ready || !ms) {
		subscriptions_detach(subs);
	} else {
		mmgrab(subs->mm);
		if (mod_delayed_work(system_unbound_wq, &subs->linger,
				     msecs_to_jiffies(ms)))
			mmdrop(subs->mm);	/* it has a reference */
	}
	spin_unlock(&subs->lock);
}

/*
 * The table of the list subscribers.
 */

static bool sub_is_limited(const struct mmu_notifier *sub)
{
	return sub->start || sub->last != ULONG_MAX ||
	       sub->events != MMU_NOTIFIER_ALL_EVENTS;
}

static struct sub_table *table_alloc(unsigned int capacity, gfp_t gfp)
{
	struct sub_table *t;

	/*
	 * A limited one takes as much room as another, and what stands behind @start
	 * and @end, and around @limited, as three; see table_fill().
	 */
	BUILD_BUG_ON(sizeof(*t->limited) != sizeof(*t->start) + sizeof(*t->end) +
					    sizeof(*t->sub));
	t = kvmalloc(sizeof(*t) + (capacity + 3UL) * sizeof(*t->limited), gfp);
	if (t) {
		memset(t, 0, sizeof(*t));
		t->capacity = capacity;
	}
	return t;
}

static void table_add(struct sub_table *t, struct mmu_notifier *sub)
{
	const struct mmu_notifier_ops *ops = sub->ops;

	*t->sub_stop++ = sub;
	if (ops->invalidate_range_start)
		*t->start_stop++ = (struct start_call){
			ops->invalidate_range_start, sub };
	if (ops->invalidate_range_end)
		*t->end_stop++ = (struct end_call){
			ops->invalidate_range_end, sub };
}

static int limited_cmp(const void *a, const void *b)
{
	const struct limited *l = a, *r = b;

	return l->start < r->start ? -1 : l->start > r->start;
}

static void table_fill(struct sub_table *t,
		       struct mmu_notifier_subscriptions *subs)
{
	struct mmu_notifier *sub;
	unsigned int unlimited = 0;
	unsigned long reach = 0;
	u8 calls, page_calls;
	struct limited *l;

	hlist_for_each_entry(sub, &subs->list, hlist) {
		unlimited += !sub_is_limited(sub);
		t->has_page |= !!sub->ops->invalidate_page;
	}
	t->start = (void *)(t + 1);
	t->end = (void *)(t->start + unlimited + 1);
	t->sub = (void *)(t->end + unlimited + 1);
	t->limited = (struct limited *)(t->sub + unlimited) + 1;
	t->start_stop = t->start;
	t->end_stop = t->end;
	t->sub_stop = t->sub;

	hlist_for_each_entry(sub, &subs->list, hlist)
		if (sub_is_limited(sub))
			t->limited[t->nr_limited++] = (struct limited){
				.start = sub->start, .last = sub->last,
				.events = sub->events, .sub = sub };
		else if (!sub->ops->invalidate_page)
			table_add(t, sub);
	t->start_page = t->start_stop;
	t->end_page = t->end_stop;
	t->sub_page = t->sub_stop;
	if (t->has_page)
		hlist_for_each_entry(sub, &subs->list, hlist)
			if (!sub_is_limited(sub) && sub->ops->invalidate_page)
				table_add(t, sub);
	t->start_stop->fn = NULL;
	t->end_stop->fn = NULL;

	if (t->start_stop == t->start && t->end_stop == t->end)
		calls = t->nr_limited ? CALLS_LIMITED : CALLS_NONE;
	else if (t->nr_limited || t->start_stop == t->start || t->end_stop == t->end)
		calls = CALLS_LOOK;
	else
		calls = CALLS_PLAIN;
	if (!t->has_page)
		page_calls = calls;
	else if (t->nr_limited || t->start_page != t->start || t->end_page != t->end)
		page_calls = CALLS_LOOK;
	else
		page_calls = CALLS_NONE;
	t->calls[MMU_NOTIFIER_RANGE_BLOCKABLE] = calls;
	t->calls[0] = calls ? CALLS_LOOK : CALLS_NONE;
	t->calls[MMU_NOTIFIER_RANGE_BLOCKABLE | MMU_NOTIFIER_RANGE_PAGE] = page_calls;
	t->calls[MMU_NOTIFIER_RANGE_PAGE] = page_calls ? CALLS_LOOK : CALLS_NONE;

	if (t->nr_limited > 1)
		sort(t->limited, t->nr_limited, sizeof(*l), limited_cmp, NULL);
	for (l = t->limited; l < t->limited + t->nr_limited; l++) {
		reach = max(reach, l->last);
		l->reach = reach;
	}
	*l = (struct limited){ .start = ULONG_MAX, .reach = ULONG_MAX };
	t->limited[-1] = (struct limited){ .reach = 0 };
	t->hint = t->limited;
}

/* Which hooks outside sections somebody listens to. */
static unsigned long subs_hear(struct mmu_notifier_subscriptions *subs)
{
	struct mmu_notifier *sub;
	unsigned long hears = 0;

	lockdep_assert_held(&subs->lock);

	hlist_for_each_entry(sub, &subs->list, hlist) {
		const struct mmu_notifier_ops *ops = sub->ops;

		if (ops->clear_flush_young)
			hears |= MMU_NOTIFIER_HEARS_CLEAR_FLUSH_YOUNG;
		if (ops->clear_young)
			hears |= MMU_NOTIFIER_HEARS_CLEAR_YOUNG;
		if (ops->test_young)
			hears |= MMU_NOTIFIER_HEARS_TEST_YOUNG;
		if (ops->arch_invalidate_secondary_tlbs)
			hears |= MMU_NOTIFIER_HEARS_TLBS;
		if (ops->fork)
			hears |= MMU_NOTIFIER_HEARS_FORK;
	}
	return hears;
}

static void subs_publish_pointer(struct mmu_notifier_subscriptions *subs)
{
	void *tagged = (void *)((unsigned long)subs | subs_hear(subs));

	lockdep_assert_held(&subs->lock);

	/* Pairs with rcu_dereference() in subscriptions_enter(). */
	rcu_assign_pointer(subs->mm->notifier_subscriptions, tagged);
}

/*
 * Make a new structure known, and wait for the sections that did not know it.
 * On failure (-EINTR, a fatal signal) it stays known: the caller puts it.
 */
static int subscriptions_publish(struct mmu_notifier_subscriptions *subs,
				 struct mm_struct *mm)
{
	int ret;

	mmap_assert_write_locked(mm);

	spin_lock(&subs->lock);
	subs_publish_pointer(subs);
	spin_unlock(&subs->lock);
	ret = mm_pass_all_locks(mm);
	if (ret)
		return ret;

	spin_lock(&subs->lock);
	subs->ready = true;
	spin_unlock(&subs->lock);
	return 0;
}

static void table_free(struct sub_table *t)
{
	if (t != &no_table)
		kvfree(t);
}

/*
 * Take the lock, with a table at hand for @more subscribers more.  False if there
 * is no memory; with __GFP_NOFAIL there is.
 */
static bool subs_lock_with_table(struct mmu_notifier_subscriptions *subs,
				 int more, struct sub_table **table, gfp_t gfp)
	__acquires(&subs->lock)
{
	long nr;

	*table = NULL;
	for (;;) {
		spin_lock(&subs->lock);
		/* Exit may have emptied the list: then it is -1. */
		nr = (long)subs->nr_list + more;
		if (nr <= 0 || (*table && (*table)->capacity >= nr))
			return true;
		spin_unlock(&subs->lock);

		kvfree(*table);
		*table = table_alloc(nr, gfp);
		if (!*table) {
			spin_lock(&subs->lock);
			return false;
		}
	}
}

/*
 * The list has changed: from now on sections find @new, which has room for it.
 * Returns what those in flight may have, to be freed after subscriptions_sync().
 * @unused is @new if nobody is left, to be freed outside the lock.
 */
static struct sub_table *
subs_replace_table(struct mmu_notifier_subscriptions *subs,
		   struct sub_table *new, struct sub_table **unused)
{
	struct sub_table *old = subs->table;

	lockdep_assert_held(&subs->lock);

	*unused = NULL;
	if (subs->nr_list) {
		table_fill(new, subs);
	} else {
		*unused = new;
		new = &no_table;
	}
	/* Pairs with READ_ONCE() in subs_table(), which depends on it. */
	smp_store_release(&subs->table, new);
	if (!subs->detached && subscriptions_of(subs->mm) == subs)
		subs_publish_pointer(subs);
	return old;
}

/* Inside a section: it stays until the section is over. */
static struct sub_table *subs_table(struct mmu_notifier_subscriptions *subs)
{
	return READ_ONCE(subs->table);
}

static void sub_unlink(struct mmu_notifier_subscriptions *subs,
		       struct mmu_notifier *sub)
{
	lockdep_assert_held(&subs->lock);
	hlist_del_init(&sub->hlist);
	subs->nr_list--;
}

/*
 * Take @sub out; when it returns, no callback runs or will.  @sub->mm stays: its
 * owner may look for the mm later on.
 */
static void sub_leave(struct mmu_notifier_subscriptions *subs,
		      struct mmu_notifier *sub)
{
	struct sub_table *table, *unused, *old = &no_table;
	struct mm_struct *mm = sub->mm;

	/* Who leaves cannot be refused. */
	subs_lock_with_table(subs, -1, &table, GFP_KERNEL | __GFP_NOFAIL);
	unused = table;
	/* The dead mm's were taken out. */
	if (!hlist_unhashed(&sub->hlist)) {
		sub_unlink(subs, sub);
		old = subs_replace_table(subs, table, &unused);
	}
	spin_unlock(&subs->lock);
	kvfree(unused);

	/* It sees the end of each section whose start it saw. */
	might_wait_for_fork(mm);
	subscriptions_sync(subs);
	table_free(old);

	sub->users = 0;
	subscriptions_put(subs);
	mmdrop(mm);
}

/*
 * Call release, or wait until who got here first has done so.  Not inside a
 * section as lockdep knows it: that is waited for under mmap_lock, and release
 * may take locks under which others take mmap_lock.
 */
static noinline __noclone void
sub_release(struct mmu_notifier_subscriptions *subs, struct mmu_notifier *sub,
	    struct mm_struct *mm)
{
	bool mine;

	spin_lock(&subs->lock);
	mine = sub->release == RELEASE_TO_CALL;
	if (mine)
		WRITE_ONCE(sub->release, RELEASE_RUNS);
	spin_unlock(&subs->lock);

	if (!mine) {
		/* Pairs with the release below: what the callback did is seen. */
		wait_event(subs->wait, smp_load_acquire(&sub->release) ==
				       RELEASE_DONE);
		return;
	}
	if (sub->ops->release)
		sub->ops->release(sub, mm);
	/* Pairs with the acquire above. */
	smp_store_release(&sub->release, RELEASE_DONE);
	wake_up_all(&subs->wait);
}

/*
 * Sections, for those in the table.
 */

/* Does @sub get the pair, or mmu_notifier_invalidate_page() in its place? */
static bool sub_wants_pair(struct mmu_notifier *sub,
			   const struct mmu_notifier_range *range)
{
	return !(range->flags & MMU_NOTIFIER_RANGE_PAGE) ||
	       !sub->ops->invalidate_page;
}

/* The first that can overlap what begins at @start: no other before it does. */
static struct limited *limited_first(struct sub_table *t, unsigned long start)
{
	unsigned int nr = t->nr_limited, half;
	struct limited *l = READ_ONCE(t->hint);

	/* It may well be where it was the last time. */
	if (l->reach >= start && l[-1].reach < start)
		return l;
	l = t->limited;

	for (; nr; nr = half) {
		half = nr / 2;
		if (l[half].reach < start) {
			l += half + 1;
			half = nr - half - 1;
		}
	}
	WRITE_ONCE(t->hint, l);
	return l;
}

/* @l or the next behind it that wants to hear of [@start, @end) and one of @events. */
static __always_inline struct limited *
limited_next(struct limited *l, unsigned long start, unsigned long end,
	     unsigned long events)
{
	/* The one behind them starts at ULONG_MAX, which is not below @end. */
	for (; l->start < end; l++)
		if (l->last >= start && (l->events & events))
			return l;
	return NULL;
}

static __always_inline struct limited *
limited_next_range(struct limited *l, const struct mmu_notifier_range *range)
{
	return limited_next(l, range->start, range->end, BIT(range->event));
}

/*
 * All that listen to something, in the order of the callbacks.
 */
struct walk {
	struct sub_table *t;
	struct mmu_notifier **sub;
	u64 entered;
	struct limited *l;
	unsigned long start;
	unsigned long end;
	unsigned long events;
};

static void walk_init(struct walk *w, struct sub_table *t,
		      unsigned long start, unsigned long end,
		      unsigned long events)
{
	w->t = t;
	w->sub = t->sub;
	w->l = NULL;
	w->start = start;
	w->end = end;
	w->events = events;
}

static void walk_range(struct walk *w, struct sub_table *t,
		       const struct mmu_notifier_range *range)
{
	walk_init(w, t, range->start, range->end, BIT(range->event));
}

/* The next one; NULL at the end. */
static struct mmu_notifier *walk_next(struct walk *w)
{
	if (w->sub < w->t->sub_stop)
		return *w->sub++;
	if (!w->t->nr_limited)
		return NULL;
	w->l = limited_next(w->l ? w->l + 1 : limited_first(w->t, w->start),
			    w->start, w->end, w->events);
	return w->l ? w->l->sub : NULL;
}

static void refused(struct mmu_notifier *sub, int ret)
{
	WARN_ONCE(1, "%pS refuses a start that may sleep: %d\n",
		  sub->ops->invalidate_range_start, ret);
}

/* End a non-blocking section for all who started it: before @stop, or all. */
static void table_end_nonblock(struct sub_table *t,
			       const struct mmu_notifier_range *range,
			       struct mmu_notifier *stop)
{
	struct mmu_notifier *sub;
	struct walk w;

	walk_range(&w, t, range);
	while ((sub = walk_next(&w)) && sub != stop) {
		if (!sub->ops->invalidate_range_end || !sub_wants_pair(sub, range))
			continue;
		non_block_start();
		sub->ops->invalidate_range_end(sub, range);
		non_block_end();
	}
}

static int table_start_nonblock(struct sub_table *t,
				const struct mmu_notifier_range *range)
{
	struct mmu_notifier *sub;
	struct walk w;
	int ret;

	walk_range(&w, t, range);
	while ((sub = walk_next(&w))) {
		if (!sub->ops->invalidate_range_start || !sub_wants_pair(sub, range))
			continue;
		non_block_start();
		ret = sub->ops->invalidate_range_start(sub, range);
		non_block_end();
		if (!ret)
			continue;
		WARN_ONCE(ret != -EAGAIN, "%pS returns %d, not -EAGAIN\n",
			  sub->ops->invalidate_range_start, ret);
		table_end_nonblock(t, range, sub);
		return -EAGAIN;
	}
	return 0;
}

/* The limited ones, from @l on; where there is none, it is the one behind them. */
static __always_inline void
table_start_limited(struct limited *l, struct mmu_notifier_range *range)
{
	int ret;

	range->limited = l;
	for (; (l = limited_next_range(l, range)); l++) {
		if (!l->sub->ops->invalidate_range_start ||
		    !sub_wants_pair(l->sub, range))
			continue;
		ret = l->sub->ops->invalidate_range_start(l->sub, range);
		if (unlikely(ret))
			refused(l->sub, ret);
	}
}

static __always_inline void table_end_limited(struct mmu_notifier_range *range)
{
	struct limited *l = range->limited;

	for (; (l = limited_next_range(l, range)); l++)
		if (l->sub->ops->invalidate_range_end &&
		    sub_wants_pair(l->sub, range))
			l->sub->ops->invalidate_range_end(l->sub, range);
}

static __always_inline void table_start(struct sub_table *t,
					struct mmu_notifier_range *range)
{
	struct start_call *call = t->start, *stop = t->start_stop;
	int ret;

	if (unlikely(range->flags & MMU_NOTIFIER_RANGE_PAGE))
		stop = t->start_page;
	for (; call != stop; call++) {
		ret = call->fn(call->sub, range);
		if (unlikely(ret))
			refused(call->sub, ret);
	}
	table_start_limited(limited_first(t, range->start), range);
}

static __always_inline void table_end(struct sub_table *t,
				      struct mmu_notifier_range *range)
{
	struct end_call *call = t->end, *stop = t->end_stop;

	if (unlikely(range->flags & MMU_NOTIFIER_RANGE_PAGE))
		stop = t->end_page;
	for (; call != stop; call++)
		call->fn(call->sub, range);
	table_end_limited(range);
}

/*
 * The interval tree.
 *
 * A section that overlaps none of it is counted in ->sections only.  One that does
 * counts itself in ->active of the intervals that it overlaps, and its end takes
 * that back.  For all sections that were open when an interval was inserted, whatever
 * they know of it, a section_waiter counts one more.  Where ->active is 0, nothing is
 * being invalidated.
 */

static struct mmu_interval_notifier *
itree_entry(struct interval_tree_node *node)
{
	return node ? container_of(node, struct mmu_interval_notifier,
				   interval_tree) : NULL;
}

/* Could an interval overlap?  Decided without the lock. */
static bool hull_overlaps(struct mmu_notifier_subscriptions *subs,
			  const struct mmu_notifier_range *range)
{
	/*
	 * Each bound by itself is right for all intervals that were there when
	 * we were counted in ->sections; who comes later waits for us.
	 */
	return range->start <= READ_ONCE(subs->hull_last) &&
	       range->end - 1 >= READ_ONCE(subs->hull_start);
}

static struct mmu_interval_notifier *
itree_first(struct mmu_notifier_subscriptions *subs,
	    const struct mmu_notifier_range *range)
{
	lockdep_assert_held(&subs->lock);
	/* A single one is the hull, and worth no search. */
	if (subs->nr_intervals == 1)
		return hull_overlaps(subs, range) ?
		       itree_entry(rb_entry(subs->itree.rb_root.rb_node,
					    struct interval_tree_node, rb)) : NULL;
	return itree_entry(interval_tree_iter_first(&subs->itree, range->start,
						    range->end - 1));
}

static struct mmu_interval_notifier *
itree_next(struct mmu_interval_notifier *mni,
	   const struct mmu_notifier_range *range)
{
	return itree_entry(interval_tree_iter_next(&mni->interval_tree,
						   range->start,
						   range->end - 1));
}

static void hull_update(struct mmu_notifier_subscriptions *subs)
{
	struct rb_node *first = rb_first_cached(&subs->itree);
	struct rb_node *root = subs->itree.rb_root.rb_node;
	unsigned long start = NO_INTERVAL_START, last = NO_INTERVAL_LAST;

	lockdep_assert_held(&subs->lock);

	if (first) {
		start = rb_entry(first, struct interval_tree_node, rb)->start;
		last = rb_entry(root, struct interval_tree_node,
				rb)->__subtree_last;
	}
	WRITE_ONCE(subs->hull_start, start);
	WRITE_ONCE(subs->hull_last, last);
}

static __always_inline bool
itree_call(struct mmu_interval_notifier *mni,
	   const struct mmu_notifier_range *range)
{
	bool ok;

	if (mmu_notifier_range_blockable(range)) {
		ok = mni->ops->invalidate(mni, range, range->seq);
		WARN_ONCE(!ok, "%pS refuses a start that may sleep\n",
			  mni->ops->invalidate);
		return true;
	}
	non_block_start();
	ok = mni->ops->invalidate(mni, range, range->seq);
	non_block_end();
	return ok;
}

static void itree_end(struct mmu_notifier_subscriptions *subs,
		      struct mmu_notifier_range *range)
{
	struct mmu_interval_notifier *mni = range->hit;
	bool wake = false;

	spin_lock(&subs->lock);
	if (likely(mni != SEVERAL_HITS && subs->changed < range->seq)) {
		wake = interval_less(mni);
	} else {
		for (mni = itree_first(subs, range); mni;
		     mni = itree_next(mni, range))
			if (mni->birth < range->seq)
				wake |= interval_less(mni);
	}
	spin_unlock(&subs->lock);
	/* Its barrier pairs with wait_event()'s, in mmu_interval_read_begin(). */
	if (wake && wq_has_sleeper(&subs->wait))
		wake_up_all(&subs->wait);
}

/* The callback has returned: the interval can go, and we do not look again. */
static void interval_unpin(struct mmu_notifier_subscriptions *subs,
			   struct mmu_interval_notifier *mni)
{
	/* Pairs with the acquire in mmu_interval_notifier_remove(). */
	if (unlikely(atomic_dec_return_release(&mni->pins) == PINS_DEAD))
		wake_up_all(&subs->wait);
}

/* Call the one that is counted.  Drops the lock. */
static __always_inline bool
itree_call_one(struct mmu_notifier_subscriptions *subs,
	       struct mmu_notifier_range *range,
	       struct mmu_interval_notifier *mni)
	__releases(&subs->lock)
{
	bool ok;

	if (atomic_read(&mni->pins) & PINS_DEAD) {
		spin_unlock(&subs->lock);
		return true;
	}
	atomic_inc(&mni->pins);
	spin_unlock(&subs->lock);
	ok = itree_call(mni, range);
	interval_unpin(subs, mni);
	return ok;
}

/* Call @mni and those behind it.  Drops the lock. */
static noinline __noclone bool
itree_call_all(struct mmu_notifier_subscriptions *subs,
	       struct mmu_notifier_range *range,
	       struct mmu_interval_notifier *mni)
	__releases(&subs->lock)
{
	struct mmu_interval_notifier *next;
	bool ok = true;

	/* Intervals may come meanwhile; none goes while we stand on it. */
	while (mni) {
		bool dead = atomic_read(&mni->pins) & PINS_DEAD;

		if (!dead) {
			atomic_inc(&mni->pins);
			spin_unlock(&subs->lock);
			ok = itree_call(mni, range);
			spin_lock(&subs->lock);
		}
		next = ok ? itree_next(mni, range) : NULL;
		if (!dead)
			interval_unpin(subs, mni);
		mni = next;
	}
	spin_unlock(&subs->lock);
	return ok;
}

static __always_inline int
itree_start(struct mmu_notifier_subscriptions *subs,
	    struct mmu_notifier_range *range)
{
	struct mmu_interval_notifier *mni, *next;
	bool ok;

	spin_lock(&subs->lock);
	mni = itree_first(subs, range);
	if (!mni) {
		spin_unlock(&subs->lock);
		range->hit = NULL;
		return 0;
	}
	range->seq = ++subs->seq;
	range->hit = mni;
	WRITE_ONCE(mni->active, mni->active + 1);
	next = subs->nr_intervals > 1 ? itree_next(mni, range) : NULL;
	for (; next; next = itree_next(next, range)) {
		WRITE_ONCE(next->active, next->active + 1);
		range->hit = SEVERAL_HITS;
	}
	if (likely(range->hit == mni))
		ok = itree_call_one(subs, range, mni);
	else
		ok = itree_call_all(subs, range, mni);
	if (likely(ok))
		return 0;
	itree_end(subs, range);
	range->hit = NULL;
	return -EAGAIN;
}

/*
 * What the VM calls.
 */

static bool range_is_valid(struct mmu_notifier_range *range)
{
	if (WARN_ON_ONCE(range->subscriptions) ||
	    WARN_ON_ONCE(range->start >= range->end))
		return false;
	if (WARN_ON_ONCE((range->flags & MMU_NOTIFIER_RANGE_PAGE) &&
			 range->end - range->start != PAGE_SIZE))
		range->flags &= ~MMU_NOTIFIER_RANGE_PAGE;
	return true;
}

static void section_exit(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs = range->subscriptions;

	range->subscriptions = NULL;
	lock_map_release(&section_map);
	subscriptions_exit(subs, range->entered);
}

/* noinline, here and below: not to burden who has nobody to call. */
static noinline __noclone int
plain_start(struct mmu_notifier_range *range, struct sub_table *t)
{
	struct start_call *call = t->start;
	int ret;

	do {
		ret = call->fn(call->sub, range);
		if (unlikely(ret))
			refused(call->sub, ret);
	} while ((++call)->fn);
	return 0;
}

static noinline __noclone void plain_end(struct mmu_notifier_range *range)
{
	struct end_call *call = range->table->end;

	mmu_notifier_map_acquire();
	do {
		call->fn(call->sub, range);
	} while ((++call)->fn);
	mmu_notifier_map_release();
	section_exit(range);
}

/* Nobody gets invalidate_page in its place, see table_fill(). */
static noinline __noclone int
limited_start(struct mmu_notifier_range *range, struct sub_table *t)
{
	struct limited *l = limited_first(t, range->start);
	const struct mmu_notifier_ops *ops;
	int ret;

	/* It is mostly one, who overlaps as it is the first that reaches so far. */
	if (likely(l->start < range->end && l[1].start >= range->end)) {
		ops = l->sub->ops;
		if (likely((l->events & BIT(range->event)) &&
			   ops->invalidate_range_start &&
			   ops->invalidate_range_end)) {
			range->limited = l;
			range->calls = CALLS_ONE;
			ret = ops->invalidate_range_start(l->sub, range);
			if (unlikely(ret))
				refused(l->sub, ret);
			return 0;
		}
	}
	table_start_limited(l, range);
	return 0;
}

static noinline __noclone void one_end(struct mmu_notifier_range *range)
{
	struct mmu_notifier *sub = range->limited->sub;

	mmu_notifier_map_acquire();
	sub->ops->invalidate_range_end(sub, range);
	mmu_notifier_map_release();
	section_exit(range);
}

static noinline __noclone void limited_end(struct mmu_notifier_range *range)
{
	mmu_notifier_map_acquire();
	table_end_limited(range);
	mmu_notifier_map_release();
	section_exit(range);
}

/* Nobody in the table; may sleep. */
static noinline __noclone int
itree_only_start(struct mmu_notifier_range *range,
		 struct mmu_notifier_subscriptions *subs)
{
	itree_start(subs, range);
	if (range->hit)
		range->calls = CALLS_INTERVALS;
	return 0;
}

static noinline void itree_only_end(struct mmu_notifier_range *range)
{
	itree_end(range->subscriptions, range);
	section_exit(range);
}

/* Everything at once. */
static noinline __noclone int
look_start(struct mmu_notifier_range *range,
	   struct mmu_notifier_subscriptions *subs)
{
	int ret = 0;

	range->hit = NULL;
	if (hull_overlaps(subs, range))
		ret = itree_start(subs, range);
	if (!ret && range->calls != CALLS_NONE) {
		if (mmu_notifier_range_blockable(range))
			table_start(range->table, range);
		else
			ret = table_start_nonblock(range->table, range);
		if (ret && range->hit)
			itree_end(subs, range);
	}
	if (unlikely(ret))
		section_exit(range);
	else if (range->calls != CALLS_NONE)
		range->calls = CALLS_LOOK;
	else if (range->hit)
		range->calls = CALLS_INTERVALS;
	return ret;
}

static noinline __noclone void look_end(struct mmu_notifier_range *range)
{
	mmu_notifier_map_acquire();
	if (range->hit)
		itree_end(range->subscriptions, range);
	if (mmu_notifier_range_blockable(range))
		table_end(range->table, range);
	else
		table_end_nonblock(range->table, range, NULL);
	mmu_notifier_map_release();
	section_exit(range);
}

/* See mmu_notifier_invalidate_range_start(). */
int __mmu_notifier_invalidate_range_start(struct mmu_notifier_range *range)
{
	struct mmu_notifier_subscriptions *subs;
	struct sub_table *t;

	if (IS_ENABLED(CONFIG_DEBUG_VM) && mm_has_notifiers(range->mm) &&
	    !range_is_valid(range))
		return 0;

	subs = subscriptions_enter(range->mm, 0, &range->entered);
	if (!subs)
		return 0;
	map_acquire_read(&section_map);

	t = subs_table(subs);
	range->subscriptions = subs;
	range->table = t;
	range->calls = t->calls[range->flags];
	if (unlikely(hull_overlaps(subs, range)))
		return range->calls == CALLS_NONE &&
		       mmu_notifier_range_blockable(range) ?
		       itree_only_start(range, subs) : look_start(range, subs);
	if (likely(range->calls == CALLS_PLAIN))
		return plain_start(range, t);
	if (range->calls == CALLS_NONE)
		return 0;
	if (range->calls == CALLS_LIMITED)
		return limited_start(range, t);
	return look_start(range, subs);
}

/* See mmu_notifier_invalidate_range_end(). */
void __mmu_notifier_invalidate_range_end(struct mmu_notifier_range *range)
{
	/* There was nobody when it started. */
	if (!range->subscriptions)
		return;
	if (mmu_notifier_range_blockable(range))
		__might_sleep(__FILE__, __LINE__);

	if (likely(range->calls == CALLS_PLAIN))
		plain_end(range);
	else if (range->calls == CALLS_NONE)
		section_exit(range);
	else if (range->calls == CALLS_ONE)
		one_end(range);
	else if (range->calls == CALLS_LIMITED)
		limited_end(range);
	else if (range->calls == CALLS_INTERVALS)
		itree_only_end(range);
	else
		look_end(range);
}

/* See mmu_notifier_invalidate_page(); inside the section. */
void __mmu_notifier_invalidate_page(struct mmu_notifier_range *range)
{
	struct sub_table *t = range->table;
	struct mmu_notifier **sub;
	struct limited *l;

	if (!range->subscriptions || !t->has_page)
		return;

	non_block_start();
	for (sub = t->sub_page; sub != t->sub_stop; sub++)
		(*sub)->ops->invalidate_page(*sub, range);
	if (unlikely(t->nr_limited))
		for (l = limited_first(t, range->start);
		     (l = limited_next_range(l, range)); l++)
			if (l->sub->ops->invalidate_page)
				l->sub->ops->invalidate_page(l->sub, range);
	non_block_end();
}

/*
 * Other callbacks: inside a section of their own, for who listens to the kind.
 */
static struct mmu_notifier_subscriptions *
walk_begin(struct walk *w, struct mm_struct *mm, unsigned long hears,
	   unsigned long start, unsigned long end)
{
	struct mmu_notifier_subscriptions *subs;

	subs = subscriptions_enter(mm, hears, &w->entered);
	if (!subs)
		return NULL;
	map_acquire_read(&section_map);
	walk_init(w, subs_table(subs), start, end, MMU_NOTIFIER_ALL_EVENTS);
	return subs;
}

static void walk_end(struct walk *w, struct mmu_notifier_subscriptions *subs)
{
	lock_map_release(&section_map);
	subscriptions_exit(subs, w->entered);
}

/* See mmu_notifier_clear_flush_young(). */
int __mmu_notifier_clear_flush_young(struct mm_struct *mm,
				     unsigned long start, unsigned long end)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	struct walk w;
	int young = 0;

	subs = walk_begin(&w, mm, MMU_NOTIFIER_HEARS_CLEAR_FLUSH_YOUNG, start, end);
	if (!subs)
		return 0;
	while ((sub = walk_next(&w)))
		if (sub->ops->clear_flush_young)
			young |= sub->ops->clear_flush_young(sub, mm, start, end);
	walk_end(&w, subs);
	return young;
}

/* See mmu_notifier_clear_young(). */
int __mmu_notifier_clear_young(struct mm_struct *mm,
			       unsigned long start, unsigned long end)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	struct walk w;
	int young = 0;

	subs = walk_begin(&w, mm, MMU_NOTIFIER_HEARS_CLEAR_YOUNG, start, end);
	if (!subs)
		return 0;
	while ((sub = walk_next(&w)))
		if (sub->ops->clear_young)
			young |= sub->ops->clear_young(sub, mm, start, end);
	walk_end(&w, subs);
	return young;
}

/* See mmu_notifier_test_young(). */
int __mmu_notifier_test_young(struct mm_struct *mm, unsigned long address)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	struct walk w;
	int young = 0;

	subs = walk_begin(&w, mm, MMU_NOTIFIER_HEARS_TEST_YOUNG, address,
			  address + 1);
	if (!subs)
		return 0;
	while (!young && (sub = walk_next(&w)))
		if (sub->ops->test_young)
			young = sub->ops->test_young(sub, mm, address);
	walk_end(&w, subs);
	return young;
}

/* A batch, for a subscriber that knows of single pages only. */
static void age_pages(struct mmu_notifier *sub, struct mm_struct *mm,
		      struct mmu_notifier_age *age)
{
	unsigned long n, addr;
	int young;

	for_each_set_bit(n, age->ask, age->nr) {
		addr = age->start + n * PAGE_SIZE;
		if (age->flags & MMU_NOTIFIER_AGE_CLEAR)
			young = sub->ops->clear_young ?
				sub->ops->clear_young(sub, mm, addr,
						      addr + PAGE_SIZE) : 0;
		else
			young = sub->ops->test_young ?
				sub->ops->test_young(sub, mm, addr) : 0;
		if (young)
			__set_bit(n, age->young);
	}
}

/* See mmu_notifier_age(). */
void __mmu_notifier_age(struct mm_struct *mm, struct mmu_notifier_age *age)
{
	unsigned long end = age->start + age->nr * PAGE_SIZE;
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	struct walk w;

	subs = walk_begin(&w, mm, mmu_notifier_age_hears(age), age->start, end);
	if (!subs)
		return;
	while ((sub = walk_next(&w)))
		if (sub->ops->age)
			sub->ops->age(sub, mm, age);
		else
			age_pages(sub, mm, age);
	walk_end(&w, subs);
}

/* See mmu_notifier_arch_invalidate_secondary_tlbs(). */
void __mmu_notifier_arch_invalidate_secondary_tlbs(struct mm_struct *mm,
						   unsigned long start,
						   unsigned long end)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	struct walk w;

	subs = walk_begin(&w, mm, MMU_NOTIFIER_HEARS_TLBS, start, end);
	if (!subs)
		return;
	while ((sub = walk_next(&w)))
		if (sub->ops->arch_invalidate_secondary_tlbs)
			sub->ops->arch_invalidate_secondary_tlbs(sub, mm, start,
								 end);
	walk_end(&w, subs);
}

/* See mmu_notifier_fork(). */
int __mmu_notifier_fork(struct mm_struct *mm, struct mm_struct *child)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub;
	struct walk w;
	int ret = 0;

	might_sleep();
	mmap_assert_write_locked(mm);
	mmap_assert_write_locked(child);

	subs = subscriptions_enter(mm, MMU_NOTIFIER_HEARS_FORK, &w.entered);
	if (!subs)
		return 0;
	/* fork() itself does so later: no thread is to write to what is shared. */
	flush_tlb_mm(mm);
	map_acquire_read(&fork_map);
	WRITE_ONCE(subs->forker, current);
	walk_init(&w, subs_table(subs), 0, ULONG_MAX, MMU_NOTIFIER_ALL_EVENTS);
	while (!ret && (sub = walk_next(&w))) {
		if (!sub->ops->fork)
			continue;
		ret = sub->ops->fork(sub, mm, child);
		if (WARN_ONCE(ret > 0 || ret < -MAX_ERRNO, "%pS returns %d\n",
			      sub->ops->fork, ret))
			ret = -EINVAL;
	}
	WRITE_ONCE(subs->forker, NULL);
	lock_map_release(&fork_map);
	subscriptions_exit(subs, w.entered);
	return ret;
}

/* See mmu_notifier_release(). */
void __mmu_notifier_release(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier_range range;
	struct mmu_notifier *sub;
	struct sub_table *table, *unused;
	struct hlist_node *next;
	bool idle;
	u64 entered;

	/* Nobody can register any more; what is not @ready will leave again. */
	subs = subscriptions_tryget(mm);
	if (!subs)
		return;
	spin_lock(&subs->lock);
	subs->dying = true;
	idle = subs->nr == 1;
	spin_unlock(&subs->lock);
	if (idle) {
		subscriptions_put(subs);
		return;
	}

	subscriptions_enter(mm, 0, &entered);
	range = (struct mmu_notifier_range) {
		.mm = mm,
		.end = ULONG_MAX,
		.flags = MMU_NOTIFIER_RANGE_BLOCKABLE,
		.event = MMU_NOTIFY_RELEASE,
	};
	if (hull_overlaps(subs, &range)) {
		itree_start(subs, &range);
		if (range.hit)
			itree_end(subs, &range);
	}

	/*
	 * Also waits for a release that mmu_notifier_unregister() got to call:
	 * the pages are freed when we return.  As we are counted, who we reach is
	 * not freed; not for lockdep, see sub_release().
	 */
	WRITE_ONCE(subs->releaser, current);
	spin_lock(&subs->lock);
again:
	hlist_for_each_entry(sub, &subs->list, hlist) {
		if (sub->release != RELEASE_DONE) {
			spin_unlock(&subs->lock);
			sub_release(subs, sub, mm);
			spin_lock(&subs->lock);
			goto again;
		}
	}
	hlist_for_each_entry_safe(sub, next, &subs->list, hlist)
		sub_unlink(subs, sub);
	table = subs_replace_table(subs, NULL, &unused);
	spin_unlock(&subs->lock);
	WRITE_ONCE(subs->releaser, NULL);
	subscriptions_exit(subs, entered);

	/* Reverse-map walks in flight end for whom they started. */
	subscriptions_sync(subs);
	table_free(table);
	subscriptions_put(subs);
}

/*
 * What list subscribers call.
 */

static bool ops_valid(const struct mmu_notifier_ops *ops)
{
	bool start = ops->invalidate_range_start;
	bool end = ops->invalidate_range_end;

	/* Most of what happens to pages happens to ranges. */
	if (ops->invalidate_page && !(start && end))
		return false;
	/* The TLB flush comes between the two: it would be told twice. */
	if (ops->arch_invalidate_secondary_tlbs && (start || end))
		return false;
	/* Who is asked for one page has no batch. */
	if (ops->age && !(ops->clear_young && ops->test_young))
		return false;
	return true;
}

static bool sub_is_linked(struct mmu_notifier_subscriptions *subs,
			  struct mmu_notifier *sub)
{
	struct mmu_notifier *other;

	lockdep_assert_held(&subs->lock);

	/* What is not linked may never have been initialised: do not look. */
	hlist_for_each_entry(other, &subs->list, hlist)
		if (other == sub)
			return true;
	return false;
}

static int sub_check(struct mmu_notifier *sub, struct mm_struct *mm)
{
	if (WARN_ON_ONCE(atomic_read(&mm->mm_users) <= 0) ||
	    WARN_ON_ONCE(!sub->ops) || WARN_ON_ONCE(!ops_valid(sub->ops)))
		return -EINVAL;
	return 0;
}

static void sub_limit(struct mmu_notifier *sub, unsigned long start,
		      unsigned long last, unsigned int events)
{
	sub->start = start;
	sub->last = last;
	sub->events = events;
}

/*
 * What a subscriber joins, with the key on and mmap_lock held for writing.  A new one
 * is published while nobody is in it, so that the locks are not waited for while
 * somebody may be called already, who perhaps waits for the caller.
 */
static struct mmu_notifier_subscriptions *subscriptions_get(struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;
	int ret;

	subs = subscriptions_tryget(mm);
	if (subs)
		return subs;
	subs = subscriptions_alloc(mm);
	if (!subs)
		return ERR_PTR(-ENOMEM);
	ret = subscriptions_publish(subs, mm);
	if (ret) {
		subscriptions_put(subs);
		return ERR_PTR(ret);
	}
	return subs;
}

/* With the key on, and mmap_lock held for writing. */
static int sub_register(struct mmu_notifier *sub, struct mm_struct *mm)
{
	struct sub_table *table, *unused, *old;
	struct mmu_notifier_subscriptions *subs;

	subs = subscriptions_get(mm);
	if (IS_ERR(subs))
		return PTR_ERR(subs);
	/* From its fork callback it would wait for itself. */
	if (WARN_ON_ONCE(READ_ONCE(subs->forker) == current)) {
		subscriptions_put(subs);
		return -EINVAL;
	}
	if (!subs_lock_with_table(subs, 1, &table, GFP_KERNEL_ACCOUNT)) {
		spin_unlock(&subs->lock);
		subscriptions_put(subs);
		return -ENOMEM;
	}
	if (WARN_ON_ONCE(sub_is_linked(subs, sub))) {
		spin_unlock(&subs->lock);
		kvfree(table);
		subscriptions_put(subs);
		return -EBUSY;
	}
	mmgrab(mm);
	sub->mm = mm;
	sub->users = 1;
	sub->release = RELEASE_TO_CALL;
	hlist_add_head(&sub->hlist, &subs->list);
	subs->nr_list++;
	old = subs_replace_table(subs, table, &unused);
	spin_unlock(&subs->lock);

	subscriptions_sync(subs);
	table_free(old);
	return 0;
}

/**
 * __mmu_notifier_register - subscribe to an mm, with mmap_lock held
 * @subscription: with @subscription->ops set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * As mmu_notifier_register(), but the caller holds mmap_lock for writing.
 *
 * Context: may sleep.  mmap_lock held for writing.  Takes and drops the
 * reverse-map locks if @mm has no subscriber yet, otherwise waits for the
 * invalidations in flight on @mm: not inside one, nor from a callback, nor
 * under a lock that a callback takes.
 * Return: 0; -ENOMEM; -EINTR on a fatal signal; for misuse -EINVAL (bad
 * operations, a dying mm) or -EBUSY (registered already).  The first in the system
 * may see -EAGAIN, if a CPU comes or goes just then.
 */
int __mmu_notifier_register(struct mmu_notifier *subscription,
			    struct mm_struct *mm)
{
	int ret;

	mmap_assert_write_locked(mm);

	ret = sub_check(subscription, mm) ?: arm_get_locked();
	if (ret)
		return ret;
	sub_limit(subscription, 0, ULONG_MAX, MMU_NOTIFIER_ALL_EVENTS);
	ret = sub_register(subscription, mm);
	arm_put();
	return ret;
}
EXPORT_SYMBOL_GPL(__mmu_notifier_register);

/**
 * mmu_notifier_register - subscribe to an mm
 * @subscription: with @subscription->ops set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * When it returns, no invalidation is in flight that @subscription was not
 * told of.  Callbacks can come before it returns; after an error none comes.
 * A reference to @mm (mmgrab(), not mmget()) is held until the end of
 * mmu_notifier_unregister(), which has to follow even if @mm dies first.
 *
 * Context: may sleep.  Takes mmap_lock for writing, and see
 * __mmu_notifier_register().
 * Return: as __mmu_notifier_register().
 */
int mmu_notifier_register(struct mmu_notifier *subscription,
			  struct mm_struct *mm)
{
	return mmu_notifier_register_range(subscription, mm, 0, ULONG_MAX,
					   MMU_NOTIFIER_ALL_EVENTS);
}
EXPORT_SYMBOL_GPL(mmu_notifier_register);

/**
 * mmu_notifier_register_range - subscribe to a part of an mm
 * @subscription: with @subscription->ops set
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 * @start: first byte
 * @last: last byte, inclusive
 * @events: BIT() of each enum mmu_notifier_event to hear of, or
 *	MMU_NOTIFIER_ALL_EVENTS
 *
 * As mmu_notifier_register(), but sections that do not overlap the range, or have
 * another event, pass @subscription by: they do not call it, cannot be refused by
 * it, and do not cost more for it.  The range of a section is as wide as it is for
 * everybody.  @events concerns sections alone; aging and
 * TLB flushes go by the range, and release comes in any case.
 *
 * Context: as mmu_notifier_register().
 * Return: as mmu_notifier_register(); -EINVAL for an empty range or set of
 * events, too.
 */
int mmu_notifier_register_range(struct mmu_notifier *subscription,
				struct mm_struct *mm, unsigned long start,
				unsigned long last, unsigned int events)
{
	int ret;

	ret = sub_check(subscription, mm);
	if (ret)
		return ret;
	if (start > last || !events || (events & ~MMU_NOTIFIER_ALL_EVENTS))
		return -EINVAL;

	arm_get();
	mmap_write_lock(mm);
	sub_limit(subscription, start, last, events);
	ret = sub_register(subscription, mm);
	mmap_write_unlock(mm);
	arm_put();
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_notifier_register_range);

/**
 * mmu_notifier_unregister - unsubscribe from an mm
 * @subscription: registered by mmu_notifier_register()
 * @mm: the mm that it was registered with
 *
 * Calls &mmu_notifier_ops.release unless the mm's death was first.  When it
 * returns, no callback runs or will, every section that @subscription saw the
 * start of has been ended, and its owner can free it.
 *
 * Context: may sleep; waits for the invalidations in flight on @mm: not inside
 * one, nor from a callback, nor under a lock that a callback takes.
 */
void mmu_notifier_unregister(struct mmu_notifier *subscription,
			     struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;

	might_sleep();

	if (WARN_ON_ONCE(!mm || subscription->mm != mm || !subscription->users))
		return;
	subs = subscriptions_of(mm);
	/* From release at exit, or fork, it would wait for itself: stays subscribed. */
	if (WARN_ON_ONCE(READ_ONCE(subs->releaser) == current ||
			 READ_ONCE(subs->forker) == current))
		return;

	sub_release(subs, subscription, mm);
	sub_leave(subs, subscription);
}
EXPORT_SYMBOL_GPL(mmu_notifier_unregister);

/**
 * mmu_notifier_get_locked - mmu_notifier_get() with mmap_lock held
 * @ops: of the subscriber
 * @mm: the mm
 *
 * Context: may sleep.  mmap_lock held for writing.
 * Return: as mmu_notifier_get().
 */
struct mmu_notifier *mmu_notifier_get_locked(const struct mmu_notifier_ops *ops,
					     struct mm_struct *mm)
{
	struct mmu_notifier_subscriptions *subs;
	struct mmu_notifier *sub = NULL;
	int ret;

	mmap_assert_write_locked(mm);

	if (WARN_ON_ONCE(!ops->alloc_notifier || !ops->free_notifier))
		return ERR_PTR(-EINVAL);

	rcu_read_lock();
	subs = untagged(rcu_dereference(mm->notifier_subscriptions));
	if (subs) {
		spin_lock(&subs->lock);
		hlist_for_each_entry(sub, &subs->list, hlist)
			if (sub->ops == ops && sub->users)
				break;
		if (sub && sub->users == UINT_MAX)
			sub = ERR_PTR(-EOVERFLOW);
		else if (sub)
			sub->users++;
		spin_unlock(&subs->lock);
	}
	rcu_read_unlock();
	if (sub)
		return sub;

	sub = ops->alloc_notifier(mm);
	if (IS_ERR(sub))
		return sub;
	sub->ops = ops;
	ret = __mmu_notifier_register(sub, mm);
	if (ret) {
		ops->free_notifier(sub);
		return ERR_PTR(ret);
	}
	return sub;
}
EXPORT_SYMBOL_GPL(mmu_notifier_get_locked);

/**
 * mmu_notifier_get - the one subscriber with these operations in an mm
 * @ops: of the subscriber; with alloc_notifier and free_notifier
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 *
 * Allocates and registers a subscriber, or takes another reference to the one
 * that is there.  Each is dropped by mmu_notifier_put().
 *
 * Context: may sleep.  Takes mmap_lock for writing.
 * Return: the subscriber; an ERR_PTR() as from alloc_notifier,
 * mmu_notifier_register(), or -EOVERFLOW for too many references.
 */
struct mmu_notifier *mmu_notifier_get(const struct mmu_notifier_ops *ops,
				      struct mm_struct *mm)
{
	struct mmu_notifier *sub;

	arm_get();
	mmap_write_lock(mm);
	sub = mmu_notifier_get_locked(ops, mm);
	mmap_write_unlock(mm);
	arm_put();
	return sub;
}
EXPORT_SYMBOL_GPL(mmu_notifier_get);

/* Those that were put: take them out, and free them. */
static void subscriptions_update(struct work_struct *work)
{
	struct mmu_notifier_subscriptions *subs =
		container_of(work, struct mmu_notifier_subscriptions, update);
	struct sub_table *table, *unused;
	struct mmu_notifier *sub;
	struct hlist_node *next;
	struct mm_struct *mm;
	HLIST_HEAD(gone);
	int idx;

	subs_lock_with_table(subs, 0, &table, GFP_KERNEL | __GFP_NOFAIL);
	hlist_move_list(&subs->gone, &gone);
	if (hlist_empty(&gone)) {
		spin_unlock(&subs->lock);
		kvfree(table);
		return;
	}
	table = subs_replace_table(subs, table, &unused);
	spin_unlock(&subs->lock);
	kvfree(unused);

	might_wait_for_fork(subs->mm);
	subscriptions_sync(subs);
	table_free(table);
	hlist_for_each_entry_safe(sub, next, &gone, hlist) {
		mm = sub->mm;
		idx = sub->put_idx;
		sub->ops->free_notifier(sub);
		__acquire(&mmu_notifier_put_srcu);
		srcu_up_read(&mmu_notifier_put_srcu, idx);
		subscriptions_put(subs);
		mmdrop(mm);
	}
}

/**
 * mmu_notifier_put - drop a reference from mmu_notifier_get()
 * @subscription: the subscriber
 *
 * With the last reference &mmu_notifier_ops.release is not called any more for
 * @subscription, and mmu_notifier_get() does not find it.  Invalidations may call it
 * until, soon, a worker calls free_notifier, with none of them in flight.  A
 * module that has used this calls mmu_notifier_synchronize() before it is unloaded.
 *
 * Context: process context, spinlocks may be held; does not wait.
 */
void mmu_notifier_put(struct mmu_notifier *subscription)
{
	struct mmu_notifier_subscriptions *subs;
	bool last;

	if (WARN_ON_ONCE(!subscription->mm))
		return;
	subs = subscriptions_of(subscription->mm);

	spin_lock(&subs->lock);
	last = !WARN_ON_ONCE(!subscription->users) && !--subscription->users;
	if (last) {
		if (subscription->release == RELEASE_TO_CALL)
			WRITE_ONCE(subscription->release, RELEASE_DONE);
		/* The dead mm's were taken out. */
		if (!hlist_unhashed(&subscription->hlist))
			sub_unlink(subs, subscription);
		hlist_add_head(&subscription->hlist, &subs->gone);
		subscription->put_idx = srcu_down_read(&mmu_notifier_put_srcu);
		__release(&mmu_notifier_put_srcu);	/* up with free_notifier */
		queue_work(system_unbound_wq, &subs->update);
	}
	spin_unlock(&subs->lock);
}
EXPORT_SYMBOL_GPL(mmu_notifier_put);

/**
 * mmu_notifier_synchronize - wait until everything that was put is freed
 *
 * When it returns, free_notifier has returned for each mmu_notifier_put()
 * before the call, in any mm.
 *
 * Context: may sleep.
 */
void mmu_notifier_synchronize(void)
{
	synchronize_srcu(&mmu_notifier_put_srcu);
}
EXPORT_SYMBOL_GPL(mmu_notifier_synchronize);

/*
 * What interval subscribers call.
 */

static bool interval_valid(unsigned long start, unsigned long length)
{
	unsigned long last;

	return length && !check_add_overflow(start, length - 1, &last);
}

static int interval_link(struct mmu_notifier_subscriptions *subs,
			 struct mmu_interval_notifier *mni,
			 struct mm_struct *mm, unsigned long start,
			 unsigned long length,
			 const struct mmu_interval_notifier_ops *ops)
{
	struct section_waiter *w;

	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return -ENOMEM;
	mmgrab(mm);
	mni->mm = mm;
	mni->ops = ops;
	mni->interval_tree.start = start;
	mni->interval_tree.last = start + length - 1;
	atomic_set(&mni->pins, 0);
	w->mni = mni;
	w->free = true;

	spin_lock(&subs->lock);
	mni->birth = ++subs->seq;
	subs->changed = subs->seq;
	/* Unequal to that of every section to come. */
	mni->invalidate_seq = subs->seq;
	interval_tree_insert(&mni->interval_tree, &subs->itree);
	subs->nr_intervals++;
	hull_update(subs);
	/* Whoever is inside may have found a smaller hull. */
	mni->active = waiter_begin(subs, w);
	mni->waiter = mni->active ? w : NULL;
	if (mni->active)
		w = NULL;
	spin_unlock(&subs->lock);
	kfree(w);
	return 0;
}

/* Insert where somebody listens already; -EAGAIN if nobody does. */
static int interval_tryinsert(struct mmu_interval_notifier *mni,
			      struct mm_struct *mm, unsigned long start,
			      unsigned long length,
			      const struct mmu_interval_notifier_ops *ops)
{
	struct mmu_notifier_subscriptions *subs;
	int ret;

	subs = subscriptions_tryget(mm);
	if (!subs)
		return -EAGAIN;
	ret = interval_link(subs, mni, mm, start, length, ops);
	if (ret)
		subscriptions_put(subs);
	return ret;
}

/**
 * mmu_interval_notifier_insert_locked - subscribe to an interval, with
 * mmap_lock held
 * @interval_sub: the subscriber
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 * @start: first byte
 * @length: bytes
 * @ops: of the subscriber
 *
 * As mmu_interval_notifier_insert(), but the caller holds mmap_lock for
 * writing.
 *
 * Context: may sleep.  mmap_lock held for writing.
 * Return: as mmu_interval_notifier_insert().
 */
int mmu_interval_notifier_insert_locked(struct mmu_interval_notifier *interval_sub,
					struct mm_struct *mm,
					unsigned long start,
					unsigned long length,
					const struct mmu_interval_notifier_ops *ops)
{
	struct mmu_notifier_subscriptions *subs;
	int ret;

	mmap_assert_write_locked(mm);

	if (WARN_ON_ONCE(atomic_read(&mm->mm_users) <= 0))
		return -EINVAL;
	if (!interval_valid(start, length))
		return -EOVERFLOW;

	ret = interval_tryinsert(interval_sub, mm, start, length, ops);
	if (ret != -EAGAIN)
		return ret;

	ret = arm_get_locked();
	if (ret)
		return ret;
	subs = subscriptions_get(mm);
	arm_put();
	if (IS_ERR(subs)) {
		ret = PTR_ERR(subs);
	} else {
		ret = interval_link(subs, interval_sub, mm, start, length, ops);
		if (ret)
			subscriptions_put(subs);
	}
	if (ret) {
		/* Some owners go by these, to see whether it is inserted. */
		interval_sub->mm = NULL;
		interval_sub->interval_tree.start = 0;
		interval_sub->interval_tree.last = 0;
	}
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_insert_locked);

/**
 * mmu_interval_notifier_insert - subscribe to an interval of an mm
 * @interval_sub: the subscriber
 * @mm: the mm; the caller has a user reference (mmget()) or is one of its tasks
 * @start: first byte
 * @length: bytes
 * @ops: of the subscriber
 *
 * Invalidations may be in flight when it returns, and
 * mmu_interval_read_begin() waits for them.  Holds a reference to @mm
 * (mmgrab()) until mmu_interval_notifier_remove(), which has to follow even
 * if @mm dies first.
 *
 * Context: may sleep; takes mmap_lock for writing and passes the reverse-map locks if
 * @mm has no subscriber yet, otherwise takes no lock.
 * Return: 0; -ENOMEM; -EOVERFLOW if the interval is empty or wraps; -EINTR on a
 * fatal signal; -EINVAL for a dying mm; mmu_interval_notifier_insert_locked() may
 * return -EAGAIN as __mmu_notifier_register() does.
 */
int mmu_interval_notifier_insert(struct mmu_interval_notifier *interval_sub,
				 struct mm_struct *mm, unsigned long start,
				 unsigned long length,
				 const struct mmu_interval_notifier_ops *ops)
{
	int ret;

	might_lock(&mm->mmap_lock);

	if (WARN_ON_ONCE(atomic_read(&mm->mm_users) <= 0))
		return -EINVAL;
	if (!interval_valid(start, length))
		return -EOVERFLOW;

	ret = interval_tryinsert(interval_sub, mm, start, length, ops);
	if (ret != -EAGAIN)
		return ret;

	arm_get();
	mmap_write_lock(mm);
	ret = mmu_interval_notifier_insert_locked(interval_sub, mm, start,
						  length, ops);
	mmap_write_unlock(mm);
	arm_put();
	return ret;
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_insert);

/**
 * mmu_interval_notifier_remove - unsubscribe from an interval
 * @interval_sub: inserted by mmu_interval_notifier_insert()
 *
 * When it returns, @invalidate does not run and will not, and the owner can
 * free @interval_sub.  An invalidation that begins while it runs may not call
 * @invalidate any more: drop the secondary mappings before.
 *
 * Context: may sleep; waits for @invalidate, so not under a lock that it takes.
 */
void mmu_interval_notifier_remove(struct mmu_interval_notifier *interval_sub)
{
	struct mm_struct *mm = interval_sub->mm;
	struct mmu_notifier_subscriptions *subs = subscriptions_of(mm);

	might_sleep();

	/* Under the lock: who pins it has looked for PINS_DEAD under it. */
	spin_lock(&subs->lock);
	atomic_or(PINS_DEAD, &interval_sub->pins);
	spin_unlock(&subs->lock);
	/* Pairs with the release in interval_unpin(). */
	wait_event(subs->wait,
		   atomic_read_acquire(&interval_sub->pins) == PINS_DEAD);

	spin_lock(&subs->lock);
	subs->changed = ++subs->seq;
	interval_tree_remove(&interval_sub->interval_tree, &subs->itree);
	subs->nr_intervals--;
	hull_update(subs);
	/* It stays queued: its last section looks for it. */
	if (interval_sub->waiter)
		interval_sub->waiter->mni = NULL;
	spin_unlock(&subs->lock);

	subscriptions_put(subs);
	mmdrop(mm);
}
EXPORT_SYMBOL_GPL(mmu_interval_notifier_remove);

static int interval_wait(struct mmu_interval_notifier *interval_sub,
			 unsigned long *seq, bool killable)
{
	struct mmu_notifier_subscriptions *subs =
		subscriptions_of(interval_sub->mm);
	int err = 0;

	might_sleep();
	/* We may wait for callbacks: whoever holds what they take is found. */
	lock_map_acquire(&__mmu_notifier_invalidate_range_start_map);
	lock_map_release(&__mmu_notifier_invalidate_range_start_map);

	spin_lock(&subs->lock);
	while (interval_sub->active && !err) {
		spin_unlock(&subs->lock);
		if (killable)
			err = wait_event_killable(subs->wait,
						  !READ_ONCE(interval_sub->active));
		else
			wait_event(subs->wait, !READ_ONCE(interval_sub->active));
		spin_lock(&subs->lock);
	}
	/* Stable: only an active section acknowledges. */
	*seq = READ_ONCE(interval_sub->invalidate_seq);
	spin_unlock(&subs->lock);
	return err ? -EINTR : 0;
}

/**
 * mmu_interval_read_begin - begin to look up pages of an interval
 * @interval_sub: the subscriber
 *
 * Waits until no invalidation overlaps the interval.  Then look pages up,
 * take the lock that @invalidate takes, and use them only if
 * mmu_interval_read_retry() says false.
 *
 * Context: may sleep; not under a lock that @invalidate takes.
 * Return: the sequence number for mmu_interval_read_retry().
 */
unsigned long mmu_interval_read_begin(struct mmu_interval_notifier *interval_sub)
{
	unsigned long seq;

	interval_wait(interval_sub, &seq, false);
	return seq;
}
EXPORT_SYMBOL_GPL(mmu_interval_read_begin);

/**
 * mmu_interval_read_begin_killable - mmu_interval_read_begin(), if nobody kills us
 * @interval_sub: the interval; inserted
 * @seq: where the sequence number goes
 *
 * For who waits at the mercy of another process: sections that overlap one another
 * can go on for as long as that wants.
 *
 * Context: as mmu_interval_read_begin().
 * Return: 0, or -EINTR if a fatal signal came first.
 */
int mmu_interval_read_begin_killable(struct mmu_interval_notifier *interval_sub,
				     unsigned long *seq)
{
	return interval_wait(interval_sub, seq, true);
}
EXPORT_SYMBOL_GPL(mmu_interval_read_begin_killable);

static int __init mmu_notifier_init(void)
{
	subscriptions_cache =
		KMEM_CACHE(mmu_notifier_subscriptions,
			   SLAB_HWCACHE_ALIGN | SLAB_ACCOUNT | SLAB_PANIC);
	return 0;
}

/* Before there is a task that could have a subscriber. */
core_initcall(mmu_notifier_init);
