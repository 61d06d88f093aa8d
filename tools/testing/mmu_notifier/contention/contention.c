// SPDX-License-Identifier: GPL-2.0
/*
 * What two CPUs cost each other that invalidate in one mm: the real sources of the MMU
 * notifiers, stock or ours, in user space.  Two threads, pinned to CPUs 0 and 1, do the
 * same operation, back to back or with some work of their own beside it; the time of an
 * operation is compared with that of each thread alone.  A result is a line
 * "= WHAT PHASE NUMBER", times in picoseconds.  bin/contention builds this and runs it
 * many times.
 *
 *	contention [WORKLOAD]
 *
 * With CONFIG_SHARED each operation also increments a counter that both threads share,
 * to see that contention is noticed.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <linux/mmu_notifier.h>

#define BATCH		256	/* operations between two looks at the clock */
#define TURNS		9	/* of each thread, and of both; the median counts */
#define TURN_NS		1000000
#define TRIES		10	/* for a turn in which no thread is preempted */
#define WORK_NS		230
#define ADDR		0x100000000000UL
#define FAR		0x010000000000UL

struct thread {
	unsigned int cpu;
	unsigned int work;	/* how much of its own beside each operation */
	const struct workload *workload;
	struct mm_struct *mm;
	unsigned long addr;
	uint64_t ps;		/* the result: the time of an operation */
	bool preempted;		/* it is not to be trusted */
} __aligned(CACHE_LINE);

struct workload {
	const char *name;
	void (*batch)(struct thread *t);	/* BATCH operations */
	unsigned int calls;		/* back, in each; counted, as none is the fastest */
	const struct mmu_notifier_ops *ops;	/* of a list subscriber */
	unsigned long interval[2];	/* where interval subscribers are */
	bool own_mm;			/* each thread has an mm of its own */
};

static struct thread threads[SHIM_CPUS];
static __thread unsigned long calls;
static __thread unsigned long counters[2] __aligned(CACHE_LINE);
static uint64_t deadline __aligned(CACHE_LINE);	/* 0: the other is not there yet */
static bool ready;
static unsigned long shared __aligned(CACHE_LINE);

static void die(const char *what)
{
	fprintf(stderr, "contention: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Subscribers, which do nothing. */

static int range_start(struct mmu_notifier *sub, const struct mmu_notifier_range *range)
{
	calls++;
	return 0;
}

static void range_end(struct mmu_notifier *sub, const struct mmu_notifier_range *range)
{
	calls++;
}

static int clear_young(struct mmu_notifier *sub, struct mm_struct *mm, unsigned long start,
		       unsigned long end)
{
	calls++;
	return 0;
}

static int test_young(struct mmu_notifier *sub, struct mm_struct *mm, unsigned long addr)
{
	calls++;
	return 0;
}

static void flush_tlb(struct mmu_notifier *sub, struct mm_struct *mm, unsigned long start,
		      unsigned long end)
{
	calls++;
}

/* A driver's would take a lock of the driver, too. */
static bool invalidate(struct mmu_interval_notifier *sub,
		       const struct mmu_notifier_range *range, unsigned long seq)
{
	calls++;
	mmu_interval_set_seq(sub, seq);
	return true;
}

static const struct mmu_notifier_ops list_ops = {
	.invalidate_range_start = range_start,
	.invalidate_range_end = range_end,
	.clear_young = clear_young,
	.test_young = test_young,
};

static const struct mmu_notifier_ops tlb_ops = {
	.arch_invalidate_secondary_tlbs = flush_tlb,
};

static const struct mmu_interval_notifier_ops interval_ops = {
	.invalidate = invalidate,
};

/* Operations. */

static __always_inline void op_invalidate(struct thread *t)
{
	struct mmu_notifier_range range;

	mmu_notifier_range_init(&range, MMU_NOTIFY_CLEAR, 0, t->mm, t->addr,
				t->addr + PAGE_SIZE);
	mmu_notifier_invalidate_range_start(&range);
	mmu_notifier_invalidate_range_end(&range);
}

static __always_inline void op_age(struct thread *t)
{
	mmu_notifier_test_young(t->mm, t->addr);
	mmu_notifier_clear_young(t->mm, t->addr, t->addr + PAGE_SIZE);
}

static __always_inline void op_flush(struct thread *t)
{
	mmu_notifier_arch_invalidate_secondary_tlbs(t->mm, t->addr, t->addr + PAGE_SIZE);
}

/* Counters and barriers as of an SRCU reader, but nothing of the notifiers. */
static __always_inline void op_count(struct thread *t)
{
	counters[0]++;
	smp_mb();	/* for its time alone */
	smp_mb();	/* likewise */
	counters[1]++;
}

/* It keeps all of a core busy, so that hyperthreads get into each other's way. */
static __always_inline void work(unsigned int n)
{
	unsigned long a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;

	while (n--) {
		a ^= n;
		b ^= n;
		c ^= n;
		d ^= n;
		e ^= n;
		f ^= n;
		asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
	}
}

#define DEFINE_BATCH(name)						\
static void batch_##name(struct thread *t)				\
{									\
	int i;								\
									\
	for (i = 0; i < BATCH; i++) {					\
		op_##name(t);						\
		if (IS_ENABLED(CONFIG_SHARED))				\
			__atomic_fetch_add(&shared, 1, __ATOMIC_RELAXED);\
		work(t->work);						\
	}								\
}

DEFINE_BATCH(invalidate)
DEFINE_BATCH(age)
DEFINE_BATCH(flush)
DEFINE_BATCH(count)

/*
 * control has nothing of the notifiers: it shows what the machine adds.  own_mm shows what
 * two mms share.  interval_between lies within the hull of two intervals and hits neither.
 */
static const struct workload workloads[] = {
	{ "control", batch_count },
	{ "own_mm", batch_invalidate, 2, &list_ops, .own_mm = true },
	{ "list_1", batch_invalidate, 2, &list_ops },
	{ "interval_miss", batch_invalidate, .interval = { ADDR + FAR } },
	{ "interval_between", batch_invalidate, .interval = { ADDR - FAR, ADDR + FAR } },
	{ "interval_hit", batch_invalidate, 1, .interval = { ADDR } },
	{ "aging", batch_age, 2, &list_ops },
	{ "tlb", batch_flush, 1, &tlb_ops },
};

static void pin(unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("CPUs 0 and 1 are needed");
	shim_cpu = cpu;
}

static long preemptions(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

static void run(struct thread *t)
{
	long before = preemptions();
	uint64_t end, now, ops = 0;

	calls = 0;
	do {
		end = __atomic_load_n(&deadline, __ATOMIC_ACQUIRE);
	} while (!end);
	do {
		t->workload->batch(t);
		ops += BATCH;
		now = now_ns();
	} while (now < end);
	t->ps = (now - end + TURN_NS) * 1000 / ops;
	t->preempted = preemptions() != before;
	if (calls == ops * t->workload->calls)
		return;
	fprintf(stderr, "contention: %s: %lu callbacks in %lu operations\n",
		t->workload->name, calls, ops);
	exit(1);
}

static void *run_second(void *arg)
{
	pin(threads[1].cpu);
	__atomic_store_n(&ready, true, __ATOMIC_RELEASE);
	run(&threads[1]);
	return NULL;
}

static void turn(bool first, bool second)
{
	pthread_t thread;

	deadline = 0;
	ready = !second;
	if (second) {
		errno = pthread_create(&thread, NULL, run_second, NULL);
		if (errno)
			die("pthread_create");
	}
	while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		;
	__atomic_store_n(&deadline, now_ns() + TURN_NS, __ATOMIC_RELEASE);
	if (first)
		run(&threads[0]);
	if (second)
		pthread_join(thread, NULL);
}

/* The time of an operation; of both threads, the mean. */
static uint64_t time_of(bool first, bool second)
{
	int i;

	for (i = 0; i < TRIES; i++) {
		turn(first, second);
		if (!(first && threads[0].preempted) && !(second && threads[1].preempted))
			break;
	}
	return (first * threads[0].ps + second * threads[1].ps) / (first + second);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * In turns, so that what else happens on the machine falls on all.  Alone on each CPU, as
 * one may be slower: its core may have other guests.
 */
static void measure(const char *phase)
{
	const char *name = threads[0].workload->name;
	uint64_t ps[3][TURNS], one, two;
	int i;

	for (i = 0; i < TURNS; i++) {
		ps[0][i] = time_of(true, false);
		ps[1][i] = time_of(false, true);
		ps[2][i] = time_of(true, true);
	}
	for (i = 0; i < 3; i++)
		qsort(ps[i], TURNS, sizeof(ps[i][0]), compare);
	one = (ps[0][TURNS / 2] + ps[1][TURNS / 2]) / 2;
	two = ps[2][TURNS / 2];
	printf("= contention, %s %s_1_cpu_ps %lu\n", name, phase, one);
	printf("= contention, %s %s_2_cpus_ps %lu\n", name, phase, two);
	printf("= contention, %s %s_percent %lu\n", name, phase, (two * 100 + one / 2) / one);
}

/* How much work takes WORK_NS?  The fastest of some attempts was not disturbed. */
static unsigned int calibrate(void)
{
	const unsigned int n = 20000;
	uint64_t best = UINT64_MAX, took;
	int i;

	for (i = 0; i < 20; i++) {
		took = now_ns();
		work(n);
		took = now_ns() - took;
		best = took < best ? took : best;
	}
	return n * WORK_NS / best;
}

static void *alloc(size_t size)
{
	void *p = kzalloc(size, GFP_KERNEL);

	if (!p)
		die("kzalloc");
	return p;
}

static struct mm_struct *new_mm(const struct workload *w)
{
	struct mm_struct *mm = alloc(sizeof(*mm));
	struct mmu_notifier *sub = alloc(sizeof(*sub));
	struct mmu_interval_notifier *interval;
	int i;

	mm->mm_users.counter = 1;
	mm->mm_count.counter = 1;
	sub->ops = w->ops;
	if (w->ops && mmu_notifier_register(sub, mm))
		die("mmu_notifier_register");
	for (i = 0; i < 2 && w->interval[i]; i++) {
		interval = alloc(sizeof(*interval));
		if (mmu_interval_notifier_insert(interval, mm, w->interval[i],
						 32 * PAGE_SIZE, &interval_ops))
			die("mmu_interval_notifier_insert");
	}
	return mm;
}

int main(int argc, char **argv)
{
	const struct workload *w;
	unsigned int n;

	pin(0);
	n = calibrate();
	for (w = workloads; w < workloads + ARRAY_SIZE(workloads); w++) {
		if (argc > 1 && strcmp(argv[1], w->name))
			continue;
		threads[0] = (struct thread){ .workload = w, .mm = new_mm(w), .addr = ADDR };
		threads[1] = threads[0];
		threads[1].cpu = 1;
		threads[1].addr += 16 * PAGE_SIZE;
		if (w->own_mm)
			threads[1].mm = new_mm(w);
		measure("back_to_back");
		threads[0].work = n;
		threads[1].work = n;
		measure("with_work");
	}
	return 0;
}
