/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes that do what the test tells them, one thing after another, and memory of
 * all kinds for them to show to each other.
 */
#ifndef XPMEM_UTIL_H
#define XPMEM_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <misc/xpmem.h>

#include "../mmu_notifier/system.h"

#define PAGE		4096ul
#define SMALL		(16 * PAGE)
#define HUGE		(512 * PAGE)

/* Aligned to everything; nothing else is mapped around there. */
#define BASE		((char *)0x100000000000)
#define ELSEWHERE	((char *)0x110000000000)

/* A directory on ext4, which xpmem.sh sets up. */
#define EXT4		"/tmp/xpmem_ext4"
#define PROC		"/proc/xpmem/"
#define KSM		"/sys/kernel/mm/ksm/"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT		21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif
#define MPOL_MF_MOVE_ALL	4

/* /proc/PID/pagemap, shifted so that an entry's flags are no negative number */
#define PM_PRESENT		(1l << (63 - 55))
#define PM_SWAPPED		(1l << (62 - 55))
#define PM_FILE			(1l << (61 - 55))
#define PM_EXCLUSIVE		(1l << (56 - 55))
#define PM_SOFT_DIRTY		1l

/* The number after @label in a file, or -1. */
static inline long number_at(const char *file, const char *label)
{
	static char text[16384];
	char *found = text_of(file, text, sizeof(text)) > 0 ? strstr(text, label) : NULL;

	return found ? strtol(found + strlen(label), NULL, 10) : -1;
}

static inline bool pinned_nothing(void)
{
	long pinned = number_at(PROC "global_pages", "pages pinned:");

	return pinned >= 0 && pinned == number_at(PROC "global_pages", "pages unpinned:");
}

/* --- what a peer is told to do: any function of this type, which may fault --- */

#define NR_ARGS	7
typedef long (*op_t)(const long *a);

/* What it returned; or one of these, and errno is of no meaning. */
#define BY_SIGNAL(sig)	(-1000l - (sig))
#define HUNG		-2000l
#define DEAD		-3000l

static __thread sigjmp_buf *landing;

static inline void on_fault(int sig)
{
	if (landing)
		siglongjmp(*landing, sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

static inline long guarded(op_t op, const long *a)
{
	sigjmp_buf *const outer = landing;
	sigjmp_buf here;
	long ret;
	int sig;

	sig = sigsetjmp(here, 1);
	if (sig) {
		landing = outer;
		return BY_SIGNAL(sig);
	}
	landing = &here;
	ret = op(a);
	landing = outer;
	return ret;
}

struct peer {
	pid_t pid;
	int to, from;		/* the test's ends */
	int in, out;		/* the peer's */
};

struct peer_call {
	op_t op;
	long a[NR_ARGS];
};

struct peer_reply {
	long ret;
	int error;
};

static inline void peer_serve(struct peer *p)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	struct peer_reply reply;
	struct peer_call call;

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	while (read(p->in, &call, sizeof(call)) == sizeof(call)) {
		errno = 0;
		reply.ret = guarded(call.op, call.a);
		reply.error = errno;
		if (write(p->out, &reply, sizeof(reply)) != sizeof(reply))
			break;
	}
	_exit(0);
}

/* Its pipes, for a peer that another one will fork: see op_fork(). */
static inline int peer_prepare(struct peer *p)
{
	int down[2], up[2];

	memset(p, 0, sizeof(*p));
	/* Whose parent dies is ours then. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (pipe2(down, O_CLOEXEC) || pipe2(up, O_CLOEXEC))
		return -1;
	p->to = down[1];
	p->in = down[0];
	p->from = up[0];
	p->out = up[1];
	return 0;
}

/* The test no longer needs what the peer has now, and wants to be told that it died. */
static inline void peer_started(struct peer *p)
{
	close(p->in);
	close(p->out);
}

static inline int peer_new(struct peer *p)
{
	if (peer_prepare(p))
		return -1;
	p->pid = fork();
	if (!p->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(p->to);
		close(p->from);
		peer_serve(p);
	}
	peer_started(p);
	return p->pid < 0 ? -1 : 0;
}

static inline void peer_begin(struct peer *p, op_t op, const long *a)
{
	struct peer_call call = { .op = op };

	memcpy(call.a, a, sizeof(call.a));
	if (write(p->to, &call, sizeof(call)) != sizeof(call))
		errno = EPIPE;
}

/* How long anything may take, on a busy machine, that does not hang. */
static int patience_ms = 20000;

static inline long peer_end_in(struct peer *p, int ms)
{
	struct pollfd fd = { .fd = p->from, .events = POLLIN };
	struct peer_reply reply;

	if (poll(&fd, 1, ms) != 1)
		return HUNG;
	if (read(p->from, &reply, sizeof(reply)) != sizeof(reply))
		return DEAD;
	errno = reply.error;
	return reply.ret;
}

static inline long peer_end(struct peer *p)
{
	return peer_end_in(p, patience_ms);
}

static inline long peer_call(struct peer *p, op_t op, const long *a)
{
	peer_begin(p, op, a);
	return peer_end(p);
}

#define L(x)			((long)(x))
#define begin(p, op, ...)	peer_begin(p, op, (const long [NR_ARGS]) { __VA_ARGS__ })
#define call(p, op, ...)	peer_call(p, op, (const long [NR_ARGS]) { __VA_ARGS__ })

/* True if it is gone in time. */
static inline bool reaped(pid_t pid, int *status)
{
	double end = now() + patience_ms / 1000.;
	struct pollfd fd = { .fd = syscall(__NR_pidfd_open, pid, 0), .events = POLLIN };
	bool gone;

	if (fd.fd >= 0) {
		poll(&fd, 1, patience_ms);
		close(fd.fd);
	}
	while (!(gone = waitpid(pid, status, WNOHANG) == pid) && now() < end)
		usleep(1000);
	return gone;
}

static inline bool peer_reap(struct peer *p, int *status)
{
	bool gone = true;

	if (p->pid > 0) {
		gone = reaped(p->pid, status);
		close(p->to);
		close(p->from);
	}
	p->pid = 0;
	return gone;
}

/* False if it cannot be killed. */
static inline bool peer_kill(struct peer *p)
{
	if (p->pid > 0)
		kill(p->pid, SIGKILL);
	return peer_reap(p, NULL);
}

/* Memory that all processes of a test share, other than by xpmem. */
struct control {
	volatile int stop;
	volatile int go;
	volatile long count;
	volatile long count2;
	volatile long failed;
	char buf[256];
	long ids[512];
	long results[2][512];
};

static inline struct control *control_new(void)
{
	return mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* --- the device, as a peer uses it --- */

static int dev = -1;

static inline long op_open(const long *a)
{
	if (dev >= 0)
		close(dev);
	dev = open(XPMEM_DEV_PATH, O_RDWR | O_CLOEXEC);
	return dev < 0 ? -1 : 0;
}

static inline long op_close(const long *a)
{
	int fd = dev;

	dev = -1;
	return close(fd);
}

static inline int ready(void)
{
	return dev >= 0 ? 0 : op_open(NULL);
}

/* cmd, argument */
static inline long op_ioctl(const long *a)
{
	return ready() ? -1 : ioctl(dev, a[0], a[1]);
}

/* vaddr, size, permit type and value */
static inline long op_make(const long *a)
{
	struct xpmem_cmd_make make = {
		.vaddr = a[0], .size = a[1], .permit_type = a[2], .permit_value = a[3],
	};

	if (ready() || ioctl(dev, XPMEM_CMD_MAKE, &make))
		return -1;
	return make.segid;
}

static inline long op_remove(const long *a)
{
	struct xpmem_cmd_remove remove = { .segid = a[0] };

	return ready() ? -1 : ioctl(dev, XPMEM_CMD_REMOVE, &remove);
}

/* segid, flags, permit type and value */
static inline long op_get(const long *a)
{
	struct xpmem_cmd_get get = {
		.segid = a[0], .flags = a[1], .permit_type = a[2], .permit_value = a[3],
	};

	if (ready() || ioctl(dev, XPMEM_CMD_GET, &get))
		return -1;
	return get.apid;
}

static inline long op_release(const long *a)
{
	struct xpmem_cmd_release release = { .apid = a[0] };

	return ready() ? -1 : ioctl(dev, XPMEM_CMD_RELEASE, &release);
}

/* apid, offset, size, vaddr, flags */
static inline long op_attach(const long *a)
{
	struct xpmem_cmd_attach attach = {
		.apid = a[0], .offset = a[1], .size = a[2], .vaddr = a[3],
		.fd = -1, .flags = a[4],
	};

	if (ready() || ioctl(dev, XPMEM_CMD_ATTACH, &attach))
		return -1;
	return attach.vaddr;
}

static inline long op_detach(const long *a)
{
	struct xpmem_cmd_detach detach = { .vaddr = a[0] };

	return ready() ? -1 : ioctl(dev, XPMEM_CMD_DETACH, &detach);
}

/* --- memory, as a peer uses it --- */

static inline long op_peek(const long *a)
{
	return *(volatile long *)a[0];
}

static inline long op_poke(const long *a)
{
	*(volatile long *)a[0] = a[1];
	return 0;
}

/* What a page contains: the same at its start and in its last word. */
static inline long stamp(long seed, long page, bool alike)
{
	return seed << 24 | (alike ? 0 : page + 1);
}

/* memory, pages, seed, alike */
static inline long op_fill(const long *a)
{
	long page;

	for (page = 0; page < a[1]; page++) {
		volatile long *word = (volatile long *)(a[0] + page * PAGE);

		word[0] = stamp(a[2], page, a[3]);
		word[PAGE / sizeof(long) - 1] = word[0];
	}
	return 0;
}

/* The number of pages that do not contain what op_fill() with these arguments leaves. */
static inline long op_check(const long *a)
{
	long page, wrong = 0;

	for (page = 0; page < a[1]; page++) {
		volatile long *word = (volatile long *)(a[0] + page * PAGE);

		wrong += word[0] != stamp(a[2], page, a[3]) ||
			 word[PAGE / sizeof(long) - 1] != stamp(a[2], page, a[3]);
	}
	return wrong;
}

/* memory, length, write: the number of page faults that it took */
static inline long op_touch(const long *a)
{
	struct rusage before, after;
	long i;

	/* What these calls need to run is there. */
	getrusage(RUSAGE_THREAD, &after);
	getrusage(RUSAGE_THREAD, &before);
	for (i = 0; i < a[1]; i += PAGE) {
		volatile long *word = (volatile long *)(a[0] + i);

		if (a[2])
			word[1] = i;
		else
			(void)word[1];
	}
	getrusage(RUSAGE_THREAD, &after);
	return after.ru_minflt - before.ru_minflt;
}

/* address, length, protection, flags, fd, offset */
static inline long op_mmap(const long *a)
{
	return L(mmap((void *)a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* number, arguments */
static inline long op_sys(const long *a)
{
	return syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
}

static inline long pagemap(long addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	long entry = 0;

	if (fd < 0 || pread(fd, &entry, 8, addr / PAGE * 8) != 8)
		entry = 0;
	close(fd);
	return entry;
}

static inline long op_page_flags(const long *a)
{
	return (unsigned long)pagemap(a[0]) >> 55;
}

static inline long op_pfn(const long *a)
{
	return pagemap(a[0]) & 0x7fffffffffffff;
}

/*
 * memory, length: reclaim, perhaps several times, and count the pages that have left
 * memory: from swap and page cache, too, where a page stays that has a reference.
 */
static inline long op_page_out(const long *a)
{
	unsigned char in_core[HUGE / PAGE];
	long i, tries, gone = 0, pages = a[1] / PAGE;

	for (tries = 0; tries < 50 && gone < pages; tries++) {
		/* Pages on their way to an LRU list, in another CPU's batch: drain all. */
		if (tries) {
			put("/proc/sys/vm/compact_memory", "1");
			usleep(20000);
		}
		madvise((void *)a[0], a[1], MADV_PAGEOUT);
		if (mincore((void *)a[0], a[1], in_core))
			return -1;
		for (i = 0, gone = 0; i < pages; i++)
			gone += !(in_core[i] & 1);
	}
	return gone;
}

/* memory, length, what one page is, node: the number of pages that are there then */
static inline long op_move(const long *a)
{
	static void *pages[HUGE / PAGE];
	static int nodes[HUGE / PAGE], status[HUGE / PAGE];
	long i, tries, nr = a[1] / a[2], moved = 0;

	for (i = 0; i < nr; i++) {
		pages[i] = (void *)(a[0] + i * a[2]);
		nodes[i] = a[3];
	}
	for (tries = 0; tries < 10 && moved < nr; tries++) {
		if (syscall(__NR_move_pages, 0, nr, pages, nodes, status, MPOL_MF_MOVE_ALL) < 0)
			return -1;
		for (i = 0, moved = 0; i < nr; i++)
			moved += status[i] == a[3];
	}
	return moved;
}

static inline long op_collapse(const long *a)
{
	int tries = 50, ret;

	/* EAGAIN, EBUSY: a page was just being used. */
	do {
		ret = madvise((void *)a[0], a[1], MADV_COLLAPSE);
	} while (ret && (errno == EAGAIN || errno == EBUSY) && tries-- && !usleep(2000));
	return ret;
}

/* A struct peer that was prepared before: a child that is told what to do by its pipes. */
static inline long op_fork(const long *a)
{
	struct peer *p = (struct peer *)a[0];
	pid_t pid = fork();

	if (!pid)
		peer_serve(p);
	return pid;
}

static inline long op_exit(const long *a)
{
	_exit(a[0]);
}

struct thread_call {
	op_t op;
	const long *a;
	long ret;
	int error;
};

static inline void *thread_run(void *arg)
{
	struct thread_call *c = arg;

	c->ret = guarded(c->op, c->a);
	c->error = errno;
	return NULL;
}

/* An operation, its arguments: in another thread, which then ends. */
static inline long op_in_thread(const long *a)
{
	struct thread_call c = { .op = (op_t)a[0], .a = a + 1 };
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_run, &c))
		return -1;
	pthread_join(thread, NULL);
	errno = c.error;
	return c.ret;
}

/* --- kinds of memory --- */

enum backing { NO_FILE, EXT4_FILE, MEMFD, HUGETLB_MEMFD };

struct kind {
	const char *name;
	size_t len;
	int flags;
	enum backing backing;
	size_t page;		/* what one page-table entry maps, when it is made */
	bool shared;		/* a child, or the file, sees what is written */
	bool read_only;		/* for the owner, too */
	bool alike;		/* all pages contain the same */
};

enum {
	ANON, THP, KSM_PAGES, SHMEM, SHMEM_THP, HUGETLB_PRIVATE, HUGETLB_SHARED, EXT4_SHARED,
	EXT4_PRIVATE, EXT4_TEXT, KINDS,
};

static const struct kind kinds[] = {
	[ANON] = { "anon", SMALL, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, PAGE, false, false, false },
	[THP] = { "thp", HUGE, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, HUGE, false, false, false },
	[KSM_PAGES] = { "ksm", SMALL, MAP_PRIVATE | MAP_ANONYMOUS, NO_FILE, PAGE, false, false,
			true },
	[SHMEM] = { "shmem", SMALL, MAP_SHARED, MEMFD, PAGE, true, false, false },
	[SHMEM_THP] = { "shmem_thp", HUGE, MAP_SHARED, MEMFD, HUGE, true, false, false },
	[HUGETLB_PRIVATE] = { "hugetlb_private", HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
			      NO_FILE, HUGE, false, false, false },
	[HUGETLB_SHARED] = { "hugetlb_shared", HUGE, MAP_SHARED, HUGETLB_MEMFD, HUGE, true, false,
			     false },
	[EXT4_SHARED] = { "ext4_shared", SMALL, MAP_SHARED, EXT4_FILE, PAGE, true, false, false },
	[EXT4_PRIVATE] = { "ext4_private", SMALL, MAP_PRIVATE, EXT4_FILE, PAGE, false, false,
			   false },
	/* As a library's text. */
	[EXT4_TEXT] = { "ext4_text", SMALL, MAP_PRIVATE, EXT4_FILE, PAGE, true, true, false },
};

static inline const char *missing(unsigned int kind)
{
	switch (kind) {
	case EXT4_SHARED:
	case EXT4_PRIVATE:
	case EXT4_TEXT:
		return access(EXT4, W_OK) ? "no ext4, see xpmem.sh" : NULL;
	case THP:
	case SHMEM_THP:
		return access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) ?
		       "needs CONFIG_TRANSPARENT_HUGEPAGE" : NULL;
	case KSM_PAGES:
		return access(KSM "run", W_OK) ? "needs CONFIG_KSM" : NULL;
	case HUGETLB_PRIVATE:
	case HUGETLB_SHARED:
		return number_of("/proc/sys/vm/nr_hugepages") < 8 ? "no huge pages, see xpmem.sh" :
		       NULL;
	default:
		return NULL;
	}
}

/* A new file of that size, nameless, for a kind that needs one; -1 for others. */
static inline int kind_file(const struct kind *kind)
{
	char name[] = EXT4 "/XXXXXX";
	int fd = -1;

	switch (kind->backing) {
	case EXT4_FILE:
		fd = mkstemp(name);
		if (fd >= 0)
			unlink(name);
		break;
	case MEMFD:
		fd = memfd_create("xpmem", MFD_CLOEXEC);
		break;
	case HUGETLB_MEMFD:
		fd = memfd_create("xpmem", MFD_CLOEXEC | MFD_HUGETLB);
		break;
	case NO_FILE:
		break;
	}
	if (fd >= 0 && ftruncate(fd, kind->len)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* kind, address, file: maps memory there, in place of what may be there */
static inline long op_map(const long *a)
{
	const struct kind *kind = &kinds[a[0]];
	int prot = kind->read_only ? PROT_READ | PROT_EXEC : PROT_READ | PROT_WRITE;
	void *mem = mmap((void *)a[1], kind->len, prot, kind->flags | MAP_FIXED, a[2], 0);

	if (mem == MAP_FAILED)
		return -1;
	if (a[0] == THP || a[0] == SHMEM_THP)
		madvise(mem, kind->len, MADV_HUGEPAGE);
	return L(mem);
}

/* One merged page for all of the memory: a[0], a[1] */
static inline long op_merge(const long *a)
{
	double end = now() + 15;
	size_t i, same = 0;

	if (madvise((void *)a[0], a[1], MADV_MERGEABLE))
		return -1;
	put(KSM "sleep_millisecs", "1");
	put(KSM "pages_to_scan", "1000");
	put(KSM "smart_scan", "0");
	put(KSM "run", "1");
	do {
		long first = pagemap(a[0]) & 0x7fffffffffffff;

		for (i = 0, same = 0; i < a[1] / PAGE; i++)
			same += (pagemap(a[0] + i * PAGE) & 0x7fffffffffffff) == first;
	} while (same < a[1] / PAGE && now() < end && !usleep(1000));
	put(KSM "run", "0");
	return same;
}

#endif /* XPMEM_UTIL_H */
