// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads do to all kinds of memory whatever comes to their mind, with no regard
 * for each other, while mirrors of all flavours read and write it. It is not
 * known what the memory should contain; but whatever happens, a mirror may not
 * map what the CPU does not.
 *
 * The seed makes each thread do the same again, if not at the same time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "../kselftest.h"
#include "mirror_util.h"

/* Each kind has a slot, and each thread a place to move things to and from. */
#define BASE		((char *)0x100000000000)
#define ELSEWHERE	((char *)0x110000000000)
#define SLOT		(2 * HUGE)
#define MAX_THREADS	16
#define SKIPPED		4

struct worker {
	pthread_t thread;
	uint64_t random;
	char *elsewhere;
	unsigned long operations;
	unsigned long faults;
};

static struct slot {
	const struct kind *kind;
	char *mem;
	int file;
} slots[KINDS];

static unsigned int nr_slots;
static unsigned long operations = 2000;
static __thread sigjmp_buf survive;
static __thread struct worker *self;

/* What the CPU cannot touch, and the process survives. */
static void fault(int sig)
{
	self->faults++;
	siglongjmp(survive, 1);
}

static unsigned int any(unsigned int nr)
{
	/* xorshift64 */
	self->random ^= self->random << 13;
	self->random ^= self->random >> 7;
	self->random ^= self->random << 17;
	return (self->random >> 20) % nr;
}

/* A piece of the slot: often all of it, often small. */
static char *piece(const struct slot *slot, size_t *len)
{
	size_t unit = slot->kind->flags & MAP_HUGETLB || slot->kind->backing == HUGETLB_MEMFD ?
		      HUGE : PAGE;
	size_t nr = slot->kind->len / unit, first = any(2) ? any(nr) : 0;

	*len = any(2) ? nr - first : 1 + any(nr - first);
	*len *= unit;
	return slot->mem + first * unit;
}

static void map(const struct slot *slot)
{
	mmap(slot->mem, slot->kind->len, PROT_READ | PROT_WRITE,
	     slot->kind->flags | MAP_FIXED, slot->file, 0);
	if (slot->kind->huge || slot->kind == &kinds[MTHP])
		madvise(slot->mem, slot->kind->len, MADV_HUGEPAGE);
}

static void touch(char *mem, size_t len)
{
	bool write = any(2);
	size_t i;

	for (i = 0; i < len; i += PAGE) {
		volatile uint64_t *p = (volatile uint64_t *)(mem + i + any(64) * 64);

		if (write)
			*p = i;
		else
			(void)*p;
	}
}

static void advise(char *mem, size_t len)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_FREE, MADV_REMOVE, MADV_COLD, MADV_PAGEOUT, MADV_PAGEOUT,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLLAPSE, MADV_COLLAPSE, MADV_MERGEABLE,
		MADV_UNMERGEABLE, MADV_WILLNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
		MADV_DONTFORK, MADV_DOFORK,
	};

	madvise(mem, len, advice[any(ARRAY_SIZE(advice))]);
}

static void protect(char *mem, size_t len)
{
	static const int prot[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };

	mprotect(mem, len, prot[any(3)]);
	mprotect(mem, len, PROT_READ | PROT_WRITE);
}

static void move(char *mem, size_t len)
{
	/* Aligned alike, whole page tables move. */
	char *to = self->elsewhere + (mem - BASE) % HUGE + any(2) * HUGE;

	if (any(4) == 0)
		to = self->elsewhere;
	if (mremap(mem, len, len, MREMAP_MAYMOVE | MREMAP_FIXED |
		   (any(4) ? 0 : MREMAP_DONTUNMAP), to) != to)
		return;
	if (any(4))
		mremap(to, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, mem);
	else
		munmap(to, len);
}

static void fork_child(char *mem, size_t len)
{
	pid_t pid = fork();

	if (pid < 0)
		return;
	if (!pid) {
		if (!sigsetjmp(survive, 1))
			touch(mem, len);
		if (!sigsetjmp(survive, 1))
			advise(mem, len);
		_exit(0);
	}
	if (!sigsetjmp(survive, 1))
		touch(mem, len);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void migrate(char *mem, size_t len)
{
	void *pages[64];
	int nodes[64], status[64];
	unsigned long nr, from = 1 + any(2), to = 3 - from;

	if (any(8) == 0) {
		syscall(__NR_migrate_pages, 0, 64, &from, &to);
		return;
	}
	if (any(4) == 0) {
		syscall(__NR_mbind, mem, len, MPOL_BIND, &to, 64, MPOL_MF_MOVE);
		return;
	}
	for (nr = 0; nr < 64 && nr < len / PAGE; nr++) {
		pages[nr] = mem + any(len / PAGE) * PAGE;
		nodes[nr] = any(2);
	}
	syscall(__NR_move_pages, 0, nr, pages, nodes, status, MPOL_MF_MOVE_ALL);
}

static void change_file(const struct slot *slot, char *mem, size_t len)
{
	if (slot->file < 0)
		return;
	switch (any(6)) {
	case 0:
		ftruncate(slot->file, mem - slot->mem);
		ftruncate(slot->file, slot->kind->len);
		break;
	case 1:
		fallocate(slot->file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
			  mem - slot->mem, len);
		break;
	case 2:
		fallocate(slot->file, FALLOC_FL_KEEP_SIZE, mem - slot->mem, len);
		break;
	case 3:
		msync(mem, len, any(2) ? MS_SYNC : MS_ASYNC);
		break;
	case 4:
		sync_file_range(slot->file, mem - slot->mem, len, SYNC_FILE_RANGE_WRITE);
		break;
	case 5:
		syscall(__NR_remap_file_pages, mem, len, 0,
			any(slot->kind->len / PAGE), 0);
		break;
	}
}

/* What concerns the whole process, or the machine. */
static void disturb(char *mem, size_t len)
{
	switch (any(6)) {
	case 0:
		put("/proc/self/clear_refs", "%u", 1 + any(4));
		break;
	case 1:
		put("/proc/sys/vm/compact_memory", "1");
		break;
	case 2:
		put("/sys/kernel/debug/split_huge_pages", "%d,0x%lx,0x%lx", getpid(),
		    (uintptr_t)mem, (uintptr_t)mem + len);
		break;
	case 3:
		put("/proc/sys/vm/drop_caches", "%u", 1 + any(3));
		break;
	case 4:
		put("/sys/kernel/mm/ksm/run", "%u", any(3));
		break;
	case 5:
		put("/sys/kernel/mm/lru_gen/enabled", any(2) ? "y" : "n");
		break;
	}
}

static void userfault(char *mem, size_t len)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		/* No task resolves faults here: without this they would wait for ever. */
		.features = UFFD_FEATURE_WP_ASYNC,
	};
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)mem, .len = len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = { .start = (uintptr_t)mem, .len = len },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return;
	if (!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg)) {
		ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
		if (!sigsetjmp(survive, 1))
			touch(mem, len);
	}
	close(fd);
}

static void operate(void)
{
	const struct slot *slot = &slots[any(nr_slots)];
	size_t len;
	char *mem = piece(slot, &len);

	switch (any(16)) {
	case 0 ... 3:
		touch(mem, len);
		break;
	case 4 ... 6:
		advise(mem, len);
		break;
	case 7:
	case 8:
		protect(mem, len);
		break;
	case 9:
		move(mem, len);
		break;
	case 10:
		munmap(mem, len);
		map(slot);
		break;
	case 11:
		fork_child(mem, len);
		break;
	case 12:
		migrate(mem, len);
		break;
	case 13:
		change_file(slot, mem, len);
		break;
	case 14:
		userfault(mem, len);
		break;
	case 15:
		if (any(4) == 0)
			disturb(mem, len);
		else
			map(slot);
		break;
	}
}

static void *work(void *arg)
{
	self = arg;
	for (self->operations = 0; self->operations < operations; self->operations++) {
		if (!sigsetjmp(survive, 1))
			operate();
	}
	return NULL;
}

static bool wanted(const char *list, const char *name)
{
	size_t len = strlen(name);
	const char *p = list;

	while (p && *p) {
		if (!strncmp(p, name, len) && (!p[len] || p[len] == ','))
			return true;
		p = strchr(p, ',');
		p += !!p;
	}
	return !list;
}

static void make_slots(const char *list)
{
	unsigned int kind;

	for (kind = 0; kind < KINDS; kind++) {
		struct slot *slot = &slots[nr_slots];
		const char *what;

		if (kind == HUGETLB_GIGA || !wanted(list, kinds[kind].name))
			continue;
		what = missing(kind);
		if (what) {
			printf("mirror_random: without %s: %s\n", kinds[kind].name, what);
			continue;
		}
		slot->kind = &kinds[kind];
		slot->mem = BASE + nr_slots * SLOT;
		slot->file = -1;
		if (slot->kind->backing != NO_FILE)
			slot->file = memory_file(slot->kind);
		map(slot);
		nr_slots++;
	}
}

static int attach(unsigned int flavour, unsigned int seed)
{
	struct mirror_attach attach = {
		.start = (uintptr_t)BASE,
		.end = (uintptr_t)BASE + nr_slots * SLOT,
		.flavour = flavour,
	};
	struct mirror_threads threads = {
		.nr = 1,
		.seed = seed,
		.writes = 50,
	};
	int fd = open("/dev/mmu_notifier_mirror", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		printf("mirror_random: skip: needs CONFIG_MMU_NOTIFIER_MIRROR\n");
		exit(SKIPPED);
	}
	if (ioctl(fd, MIRROR_ATTACH, &attach) || ioctl(fd, MIRROR_THREADS, &threads)) {
		perror("mirror_random: attach");
		exit(1);
	}
	return fd;
}

static int help(const char *name)
{
	unsigned int kind;

	printf("%s [-s seed] [-n operations] [-t threads] [-k kind,...]\nkinds:", name);
	for (kind = 0; kind < HUGETLB_GIGA; kind++)
		printf(" %s", kinds[kind].name);
	printf("\n");
	return 1;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = fault };
	struct worker workers[MAX_THREADS] = {};
	struct mirror_stats sum = {}, s = {};
	unsigned long seed = time(NULL), done = 0, faults = 0;
	unsigned int i, nr_threads = 4;
	int opt, mirrors[MIRROR_FLAVOURS], ret = 0;
	uint64_t reports = 0, violations;
	const char *list = NULL;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt(argc, argv, "s:n:t:k:")) > 0) {
		switch (opt) {
		case 's':
			seed = strtoul(optarg, NULL, 0);
			break;
		case 'n':
			operations = strtoul(optarg, NULL, 0);
			break;
		case 't':
			nr_threads = strtoul(optarg, NULL, 0);
			break;
		case 'k':
			list = optarg;
			break;
		default:
			return help(argv[0]);
		}
	}
	if (optind != argc || !nr_threads || nr_threads > MAX_THREADS)
		return help(argv[0]);
	printf("mirror_random: seed %lu\n", seed);

	make_slots(list);
	if (!nr_slots)
		return help(argv[0]);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	for (i = 0; i < MIRROR_FLAVOURS; i++)
		mirrors[i] = attach(i, seed + i);
	ioctl(mirrors[0], MIRROR_STATS, &s);
	reports = s.reports;

	for (i = 0; i < nr_threads; i++) {
		/* Never 0: from there xorshift does not get away. */
		workers[i].random = (seed + i + 1) * 0x9e3779b97f4a7c15ull | 1;
		workers[i].elsewhere = ELSEWHERE + i * GIGA;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i])) {
			perror("mirror_random: thread");
			return 1;
		}
	}
	for (i = 0; i < nr_threads; i++) {
		pthread_join(workers[i].thread, NULL);
		done += workers[i].operations;
		faults += workers[i].faults;
	}
	for (i = 0; i < MIRROR_FLAVOURS; i++) {
		memset(&s, 0, sizeof(s));
		if (ioctl(mirrors[i], MIRROR_STOP) ||
		    ioctl(mirrors[i], MIRROR_CHECK, &violations) ||
		    ioctl(mirrors[i], MIRROR_STATS, &s)) {
			perror("mirror_random: result");
			ret = 1;
		}
		sum.starts += s.starts + s.pages + s.flushes;
		sum.faults += s.faults;
		sum.retries += s.retries;
		sum.violations += s.violations;
		sum.checks += s.checks;
		close(mirrors[i]);
	}
	reports = s.reports - reports;
	printf("mirror_random: seed %lu: %lu operations (%lu signals), %llu invalidations, ",
	       seed, done, faults, sum.starts);
	printf("%llu faults, %llu retries, %llu checks, %llu violations, %lu reports\n",
	       sum.faults, sum.retries, sum.checks, sum.violations, reports);
	if (!sum.faults || !sum.starts) {
		printf("mirror_random: nothing was mirrored, this proves nothing\n");
		ret = 1;
	}
	return ret || sum.violations || reports;
}
