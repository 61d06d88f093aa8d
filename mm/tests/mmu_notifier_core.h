/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit suites of the MMU notifier core share: a fixture with mms of its
 * own, jobs that run in threads, subscribers that count their calls, and probes
 * for allocations and for what the kernel prints.
 */
#ifndef MMU_NOTIFIER_CORE_H
#define MMU_NOTIFIER_CORE_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/kmsg_dump.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>

/* No step of a case takes this long: it only ends a hang. */
#define CORE_HANGS		(20 * HZ)
/* A job that has not finished after this time is waiting. */
#define CORE_WAITS_MS		30

#define CORE_ADDR(page)		(0x10000000UL + (page) * PAGE_SIZE)

/* The fixture of a case, in test->priv. */
struct core {
	struct mm_struct *mm[2];
	bool alive[2];			/* the fixture has a user reference */
	bool leak;			/* something still uses all this */
	struct vm_area_struct *vma;	/* from core_map_page() */
};

int core_init(struct kunit *test);
void core_exit(struct kunit *test);
/* Drop the last user reference: the mm exits. */
void core_mm_exit(struct core *c, int nr);
/* The fixture's reference to mm[@nr] belongs to the case from now on. */
struct mm_struct *core_mm_steal(struct core *c, int nr);
/* Map a page of a file, with both kinds of reverse map, at CORE_ADDR(0). */
bool core_map_page(struct core *c);

/* A function that runs in a thread of its own. */
struct core_job {
	struct task_struct *task;
	struct completion done;
	int (*fn)(void *arg);
	void *arg;
	int sig;
	int ret;
};

/* Call @fn(@arg) in a thread, with the signal @sig pending unless it is 0. */
struct core_job *core_job_start(struct kunit *test, int (*fn)(void *arg), void *arg,
				int sig);
/* Has the job gone to sleep, and does it stay asleep? */
bool core_job_waits(struct core_job *job);
/*
 * Wait for the job's end and free it.  -ETIMEDOUT if it does not come: then the job, and
 * everything that the fixture has, is leaked.
 */
int core_job_finish(struct kunit *test, struct core_job *job);
/* Call @fn(@arg) in a thread, and wait for its end. */
int core_run(struct kunit *test, int (*fn)(void *arg), void *arg, int sig);

/* A list subscriber that counts its calls. */
struct core_sub {
	struct mmu_notifier mn;
	struct mm_struct *mm;		/* for core_register() and so on */
	unsigned long start, last;	/* if @last, it registers this range */
	atomic_t starts;
	atomic_t ends;
	atomic_t refusals;
	atomic_t releases;
	atomic_t frees;
	bool refuse;			/* non-blocking starts */
	bool refuse_blocking;
	bool gated;			/* the next blocking start waits for @go */
	struct completion entered;
	struct completion go;
	void (*in_start)(struct core_sub *sub);
	void *data;
};

extern const struct mmu_notifier_ops core_sub_ops;
extern const struct mmu_notifier_ops core_get_ops;

void core_sub_init(struct core_sub *sub, struct mm_struct *mm);
/* These take a struct core_sub, and fit core_job_start(). */
int core_register(void *sub);
int core_unregister(void *sub);
int core_put(void *sub);
/* The subscriber that core_get_ops.alloc_notifier returns next. */
extern struct core_sub *core_get_next;

/* An interval subscriber that counts its calls. */
struct core_interval {
	struct mmu_interval_notifier mni;
	struct mm_struct *mm;
	unsigned long start, length;
	spinlock_t lock;		/* held by invalidate(), for @seq */
	unsigned long seq;		/* from core_read_begin() */
	atomic_t calls;
	atomic_t releases;
	bool forget_seq;		/* no mmu_interval_set_seq() */
	bool refuse;			/* non-blocking invalidations */
	bool gated;			/* the next call waits for @go */
	struct completion entered;
	struct completion go;
	void (*in_invalidate)(struct core_interval *in);
	void *data;
};

void core_interval_init(struct core_interval *in, struct mm_struct *mm,
			unsigned int page, unsigned int nr_pages);
/* These take a struct core_interval. */
int core_insert(void *in);
int core_insert_locked(void *in);
int core_remove(void *in);
int core_read_begin(void *in);

/* An invalidation of @nr pages; between the two it is in flight. */
void core_start(struct mmu_notifier_range *range, struct mm_struct *mm,
		unsigned int page, unsigned int nr);
int core_start_nonblock(struct mmu_notifier_range *range, struct mm_struct *mm,
			unsigned int page, unsigned int nr);
/* A whole one of the first eight pages.  Takes a struct mm_struct. */
int core_invalidate(void *mm);

/* Count what this task allocates between the two. */
void core_count_allocs(void);
int core_counted_allocs(void);

/* What is printed from now on. */
void core_text_begin(struct kmsg_dump_iter *iter);
/*
 * Of a warning that was printed since: does it have a text of its own, before the line
 * with the place, and is @word in there?
 */
bool core_warning_says(struct kmsg_dump_iter *iter, const char *word);

#endif /* MMU_NOTIFIER_CORE_H */
