/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stand-ins for what the MMU notifiers use of the kernel, so that mm/mmu_notifier*.c
 * compiles for user space.  Lists, trees, barriers and READ_ONCE() are the kernel's own,
 * from tools/include and include/linux/rculist.h.  bin/contention includes this header
 * first and makes an empty file of each other header that the sources name.
 *
 * The stand-ins write to shared memory where the kernel does, and nowhere else.  What
 * the benchmark never reaches ends the program.
 */
#ifndef _CONTENTION_SHIM_H
#define _CONTENTION_SHIM_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <asm/barrier.h>
#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/interval_tree.h>
#include <linux/kconfig.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/overflow.h>
#include <linux/types.h>

#define SHIM_CPUS	2
#define PAGE_SIZE	4096UL
#define CACHE_LINE	64
#define ____cacheline_aligned_in_smp	__aligned(CACHE_LINE)

void __noreturn shim_unused(const char *what);

/* The CPU that the thread is pinned to. */
extern __thread unsigned int shim_cpu;

#define current		((struct task_struct *)&shim_cpu)

/* Annotations, and what does nothing in a kernel without debugging options. */
#define __init
#define might_sleep()			do { } while (0)
#define __might_sleep(...)		do { } while (0)
#define might_lock(...)			do { } while (0)
#define non_block_start()		do { } while (0)
#define non_block_end()			do { } while (0)
#define lockdep_assert_held(...)	do { } while (0)
#define lock_map_acquire(...)		do { } while (0)
#define lock_map_release(...)		do { } while (0)
#define lock_acquire(...)		do { } while (0)
#define fs_reclaim_acquire(...)		do { } while (0)
#define fs_reclaim_release(...)		do { } while (0)

#define MODULE_PARM_DESC(...)
#define module_param_named(...)
#define core_initcall(fn)						\
	static void __attribute__((constructor)) shim_initcall(void)	\
	{								\
		fn();							\
	}
#define pr_info(...)	fprintf(stderr, __VA_ARGS__)
#define panic(...)	shim_unused("panic")

/* RCU: the walks are those of include/linux/rculist.h, which wants __KERNEL__. */
struct rcu_head {
	void (*func)(struct rcu_head *head);
};

#define rcu_dereference_raw(p)		READ_ONCE(p)
#define rcu_assign_pointer(p, v)	smp_store_release(&(p), v) /* as the kernel's */
#define __list_add_valid(...)		true
#define ASSERT_EXCLUSIVE_ACCESS(...)	do { } while (0)
#define __KERNEL__
#include <linux/rculist.h>
#undef __KERNEL__

/*
 * A ticket lock: four bytes, fair, and one atomic operation where nobody else wants it,
 * as the kernel's.  Where the other CPU wants it, how they pass it on is not the same.
 */
#define spinlock_t struct spinlock

struct spinlock {
	u16 owner;
	u16 next;
};

#define spin_lock_init(lock)	(*(lock) = (struct spinlock){ })

static inline void spin_lock(spinlock_t *lock)
{
	u16 ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket)
#ifdef __x86_64__
		__builtin_ia32_pause();
#else
		;
#endif
}

static inline void spin_unlock(spinlock_t *lock)
{
	__atomic_store_n(&lock->owner, lock->owner + 1, __ATOMIC_RELEASE);
}

/*
 * SRCU: a reader writes to counters of its CPU alone, with a full barrier.  They have a
 * page for each CPU, as the kernel's per-CPU areas lie far apart.
 */
struct srcu_data {
	unsigned long lock_count[2];
	unsigned long unlock_count[2];
} __aligned(PAGE_SIZE);

struct srcu_struct {
	unsigned int srcu_idx;
	struct srcu_data *sda;
};

#define DEFINE_STATIC_SRCU(name)					\
	static struct srcu_data name##_data[SHIM_CPUS];			\
	static struct srcu_struct name = { .sda = name##_data }

int init_srcu_struct(struct srcu_struct *ssp);
int srcu_read_lock(struct srcu_struct *ssp);
void srcu_read_unlock(struct srcu_struct *ssp, int idx);
void synchronize_srcu(struct srcu_struct *ssp);
unsigned long get_state_synchronize_srcu(struct srcu_struct *ssp);

#define srcu_down_read(ssp)			srcu_read_lock(ssp)
#define srcu_up_read(ssp, idx)			srcu_read_unlock(ssp, idx)
#define synchronize_srcu_expedited(ssp)		synchronize_srcu(ssp)
#define poll_state_synchronize_srcu(...)	({ shim_unused(__func__); true; })
#define cleanup_srcu_struct(...)		shim_unused(__func__)

static inline void call_srcu(struct srcu_struct *ssp, struct rcu_head *head,
			     void (*func)(struct rcu_head *head))
{
	shim_unused(__func__);
}

/* Nobody ever waits; but a wakeup takes the lock to see that. */
#define wait_queue_head_t struct wait_queue_head

struct wait_queue_head {
	spinlock_t lock;	/* of @head */
	struct list_head head;
};

#define init_waitqueue_head(wq)						\
	(spin_lock_init(&(wq)->lock), INIT_LIST_HEAD(&(wq)->head))

static inline bool wq_has_sleeper(struct wait_queue_head *wq)
{
	smp_mb();	/* as in the kernel, where it pairs with the sleeper's */
	return !list_empty(&wq->head);
}

static inline void wake_up_all(struct wait_queue_head *wq)
{
	spin_lock(&wq->lock);
	if (!list_empty(&wq->head))
		shim_unused(__func__);
	spin_unlock(&wq->lock);
}

#define wait_event(wq, cond)		((void)&(wq), (cond) ? (void)0 : shim_unused(__func__))
#define wait_event_killable(wq, cond)	({ wait_event(wq, cond); 0; })

/* Work is for subscribers that go; here they stay. */
struct work_struct {
	void (*func)(struct work_struct *work);
};

struct delayed_work {
	struct work_struct work;
};

#define system_unbound_wq		NULL
#define alloc_workqueue(name, ...)	((struct workqueue_struct *)(name))
#define INIT_WORK(w, fn)		((w)->func = (fn))
#define INIT_DELAYED_WORK(w, fn)	((w)->work.func = (fn))
#define to_delayed_work(w)		container_of(w, struct delayed_work, work)
#define queue_work(...)			shim_unused(__func__)
#define mod_delayed_work(...)		shim_unused(__func__)
#define cancel_delayed_work_sync(...)	shim_unused(__func__)
#define flush_work(...)			shim_unused(__func__)
#define flush_workqueue(...)		shim_unused(__func__)

/* Memory: no two objects share a cache line. */
#define GFP_KERNEL_ACCOUNT	GFP_KERNEL
#define kfree(p)		free(p)

void *kzalloc(size_t size, gfp_t gfp);

/* The mm.  Its locks are not taken: all subscribe before the first invalidation. */
struct mm_struct {
	atomic_t mm_users;
	atomic_t mm_count;
	struct mmu_notifier_subscriptions *notifier_subscriptions;
};

#define atomic_read(v)			READ_ONCE((v)->counter)
#define mmgrab(mm)			((mm)->mm_count.counter++)
#define mmdrop(mm)			((void)(mm), shim_unused(__func__))
#define flush_tlb_mm(...)		shim_unused(__func__)
#define mmap_write_lock(...)		do { } while (0)
#define mmap_write_unlock(...)		do { } while (0)
#define mmap_assert_write_locked(...)	do { } while (0)
#define mm_pass_all_locks(...)		0
#define mm_take_all_locks(...)		0
#define mm_drop_all_locks(...)		do { } while (0)

#endif /* _CONTENTION_SHIM_H */
