// SPDX-License-Identifier: GPL-2.0
/* Of the stand-ins of shim.h, those that the kernel has out of line, too. */
#include <sched.h>
#include <string.h>

__thread unsigned int shim_cpu;

void shim_unused(const char *what)
{
	fprintf(stderr, "contention: %s: not in the benchmark\n", what);
	abort();
}

void *kzalloc(size_t size, gfp_t gfp)
{
	size_t align = size < PAGE_SIZE ? CACHE_LINE : PAGE_SIZE;
	void *p;

	size = (size + align - 1) & -align;
	p = aligned_alloc(align, size);
	return p ? memset(p, 0, size) : NULL;
}

int init_srcu_struct(struct srcu_struct *ssp)
{
	size_t size = SHIM_CPUS * sizeof(*ssp->sda);

	ssp->srcu_idx = 0;
	ssp->sda = kzalloc(size, GFP_KERNEL);
	return ssp->sda ? 0 : -1;
}

/* Not atomic, like this_cpu_inc(): no other thread writes to this CPU's counters. */
int srcu_read_lock(struct srcu_struct *ssp)
{
	int idx = READ_ONCE(ssp->srcu_idx) & 1;

	ssp->sda[shim_cpu].lock_count[idx]++;
	smp_mb();	/* A: pairs with C.  It is counted before it reads. */
	return idx;
}

void srcu_read_unlock(struct srcu_struct *ssp, int idx)
{
	smp_mb();	/* B: pairs with C.  It has read before it is counted. */
	ssp->sda[shim_cpu].unlock_count[idx]++;
}

static bool srcu_has_readers(struct srcu_struct *ssp, int idx)
{
	unsigned long nr = 0;
	int cpu;

	for (cpu = 0; cpu < SHIM_CPUS; cpu++)
		nr -= READ_ONCE(ssp->sda[cpu].unlock_count[idx]);
	smp_mb();	/* C: pairs with A and B. */
	for (cpu = 0; cpu < SHIM_CPUS; cpu++)
		nr += READ_ONCE(ssp->sda[cpu].lock_count[idx]);
	return nr;
}

/* Twice: a reader may have read the index just before it changed.  One caller at a time. */
void synchronize_srcu(struct srcu_struct *ssp)
{
	int i, idx;

	for (i = 0; i < 2; i++) {
		smp_mb();	/* C */
		idx = ssp->srcu_idx & 1;
		WRITE_ONCE(ssp->srcu_idx, ssp->srcu_idx + 1);
		while (srcu_has_readers(ssp, idx))
			sched_yield();
	}
	smp_mb();	/* C */
}

unsigned long get_state_synchronize_srcu(struct srcu_struct *ssp)
{
	smp_mb();	/* C */
	return ssp->srcu_idx;
}
