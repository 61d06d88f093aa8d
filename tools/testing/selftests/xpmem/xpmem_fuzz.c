// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes of several threads do what comes to their mind with /dev/xpmem, with their
 * memory and with what they have attached, while some of them are killed.
 *
 * Each thread has a region of memory that it shows, and stamps: the first word of a page
 * says whose it is, which page, and how often its place has been mapped anew.  An
 * attacher knows what it may see there: nothing yet, or a stamp that is not older than
 * what the owner had announced before.  And it writes in each page to a word of its own,
 * where the owner expects nothing else.  Children of an owner write garbage to their
 * copies, which no other process may ever see.
 *
 * An access may end by SIGBUS, as there may be nothing; but never by SIGSEGV where the
 * attacher has a mapping that allows it.  What the ioctls return is checked, too.
 *
 * The seed makes each thread do the same again, if not at the same time.
 */
#define _GNU_SOURCE
#include <dirent.h>

#include "../kselftest.h"
#include "xpmem_util.h"

#define MAX_PROCESSES	8
#define THREADS		2
#define SLOTS		(MAX_PROCESSES * THREADS)
#define SEGMENTS	6	/* of a thread */
#define PERMITS		8
#define PIECES		32

/* A region: half of it can be huge pages. */
#define REGION		1024
#define REGION_LEN	(REGION * PAGE)
#define SPACING		(128ul << 20)
#define AREAS		8	/* places for attachments at an address of choice */

/* Words of a page. */
#define STAMP		0
#define WRITTEN		8	/* and on: each thread's own */

#define STAMP_MAGIC	0x5a5aul
#define WRITE_MAGIC	0x3c3cul
#define GARBAGE		0xdeaddeaddeaddeadul

struct segment {
	volatile long id;	/* 0: none, or not yet */
	volatile unsigned int first, nr;
};

static struct shared {
	volatile long operations;	/* done, by all */
	volatile long accesses, signals, attached, wrong_shapes;
	volatile int stop, failed;
	struct {
		volatile unsigned long progress;
		volatile unsigned int incarnation;
		volatile double died;
		struct segment segments[SEGMENTS];
		/* How often each page has been mapped anew. */
		volatile unsigned int gen[REGION];
	} slots[SLOTS];
} *shared;

/* A part of an attachment, as far as it is where it is and has the rights it has. */
struct piece {
	char *at;
	unsigned int nr;	/* pages; 0: none */
	unsigned int first;	/* of the owner's region */
	unsigned int owner, incarnation;
	unsigned int permit;
	unsigned long attachment;
	int prot;
};

struct permit {
	long id;
	bool write;
	unsigned int owner, incarnation;
	unsigned int first, nr;
};

struct thread {
	pthread_t thread;
	unsigned int slot;
	uint64_t random;
	int fd;
	unsigned long attachments;
	bool is_shared[REGION];
	struct permit permits[PERMITS];
	struct piece pieces[PIECES];
};

static __thread struct thread *self;
static unsigned int processes = 4;
static unsigned long seed;
static long operations = 20000;
static bool killing = true;

static void wrong(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!__atomic_exchange_n(&shared->failed, 1, __ATOMIC_SEQ_CST)) {
		printf("# thread %u: %s\n", self ? self->slot : 0, text);
		fflush(stdout);
	}
	shared->stop = 1;
}

static unsigned int any(unsigned int nr)
{
	/* xorshift64 */
	self->random ^= self->random << 13;
	self->random ^= self->random >> 7;
	self->random ^= self->random << 17;
	return (self->random >> 20) % nr;
}

static char *region(unsigned int slot)
{
	return BASE + slot * SPACING;
}

static char *area(unsigned int slot, unsigned int nr)
{
	/* Where the last page's neighbour is unused. */
	return ELSEWHERE + slot * SPACING + nr * 2 * REGION_LEN;
}

static uint64_t stamp_of(unsigned int slot, unsigned int page, unsigned int gen)
{
	return STAMP_MAGIC << 48 | (uint64_t)slot << 40 | (uint64_t)page << 28 |
	       (gen & 0xfffffff);
}

static uint64_t written_of(unsigned int slot, unsigned int page)
{
	return WRITE_MAGIC << 48 | (uint64_t)slot << 40 | (uint64_t)page << 28;
}

static volatile uint64_t *word(char *mem, unsigned int page, unsigned int nr)
{
	return (volatile uint64_t *)(mem + page * PAGE) + nr;
}

/* A range of the region; often all of a huge page. */
static unsigned int some_pages(unsigned int *nr)
{
	unsigned int first = any(REGION);

	switch (any(4)) {
	case 0:
		*nr = REGION / 2;
		return any(2) * REGION / 2;
	case 1:
		*nr = 1;
		break;
	case 2:
		*nr = 1 + any(32);
		break;
	default:
		*nr = 1 + any(REGION);
	}
	if (*nr > REGION - first)
		*nr = REGION - first;
	return first;
}

/* --- the owner --- */

static long op_load(const long *a)
{
	*(uint64_t *)a[1] = *(volatile uint64_t *)a[0];
	return 0;
}

static long op_store(const long *a)
{
	*(volatile uint64_t *)a[0] = a[1];
	return 0;
}

static void stamp_pages(unsigned int first, unsigned int nr)
{
	unsigned int page;

	for (page = first; page < first + nr; page++)
		*word(region(self->slot), page, STAMP) =
			stamp_of(self->slot, page, shared->slots[self->slot].gen[page]);
}

/* What was there is gone: a read after this may not see it. */
static void announce(unsigned int first, unsigned int nr)
{
	unsigned int page;

	for (page = first; page < first + nr; page++)
		__atomic_add_fetch(&shared->slots[self->slot].gen[page], 1, __ATOMIC_SEQ_CST);
}

static void verify_own(unsigned int first, unsigned int nr)
{
	struct thread *t = self;
	unsigned int page, i;
	uint64_t value;

	for (page = first; page < first + nr; page++) {
		value = *word(region(t->slot), page, STAMP);
		if (value && value != stamp_of(t->slot, page, shared->slots[t->slot].gen[page])) {
			wrong("owner finds %#lx in page %u", value, page);
			return;
		}
		for (i = 0; i < SLOTS; i++) {
			value = *word(region(t->slot), page, WRITTEN + i);
			if (value && value >> 28 != written_of(i, page) >> 28) {
				wrong("owner finds %#lx in page %u, where %u writes", value, page,
				      i);
				return;
			}
		}
	}
}

static void map_region(unsigned int first, unsigned int nr)
{
	char *mem = region(self->slot) + first * PAGE;
	bool share = any(4) == 0;
	unsigned int i;

	if (mmap(mem, nr * PAGE, PROT_READ | PROT_WRITE,
		 MAP_ANONYMOUS | MAP_FIXED | (share ? MAP_SHARED : MAP_PRIVATE), -1, 0) != mem) {
		wrong("mmap: %s", strerror(errno));
		return;
	}
	for (i = first; i < first + nr; i++)
		self->is_shared[i] = share;
	announce(first, nr);
	if (any(2))
		madvise(mem, nr * PAGE, MADV_HUGEPAGE);
	if (any(4))
		stamp_pages(first, nr);
}

/* Writes garbage to a copy of the memory. */
static void fork_child(unsigned int first, unsigned int nr)
{
	unsigned int page, i;
	pid_t pid = fork();
	int status;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (page = first; page < first + nr; page++) {
			if (self->is_shared[page])
				continue;
			for (i = 0; i < WRITTEN + SLOTS; i++)
				*word(region(self->slot), page, i) = GARBAGE;
		}
		_exit(0);
	}
	if (pid < 0)
		return;
	if (any(2))
		stamp_pages(first, nr);
	if (any(4) == 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) != pid && errno == EINTR)
		;
}

static void change_own(void)
{
	static const int harmless[] = {
		MADV_PAGEOUT, MADV_PAGEOUT, MADV_COLD, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
		MADV_COLLAPSE, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_WILLNEED,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	unsigned int nr, first = some_pages(&nr), i;
	char *mem = region(self->slot) + first * PAGE;
	char *away = area(self->slot, AREAS);
	size_t len = nr * PAGE;

	switch (any(12)) {
	case 0:
		map_region(first, nr);
		break;
	case 1:
		/* Only what is private is gone by this. */
		for (i = first; i < first + nr; i++) {
			if (self->is_shared[i])
				return;
		}
		if (madvise(mem, len, MADV_DONTNEED))
			wrong("MADV_DONTNEED: %s", strerror(errno));
		announce(first, nr);
		break;
	case 2:
	case 3:
	case 4:
		madvise(mem, len, harmless[any(ARRAY_SIZE(harmless))]);
		break;
	case 5:
		mprotect(mem, len, any(2) ? PROT_READ : PROT_NONE);
		if (any(2))
			sched_yield();
		if (mprotect(mem, len, PROT_READ | PROT_WRITE))
			wrong("mprotect: %s", strerror(errno));
		break;
	case 6:
		fork_child(first, nr);
		break;
	case 7:
		/* Away and back, one mapping at a time: a page. */
		if (mremap(mem, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) != away)
			break;
		if (mremap(away, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, mem) != mem)
			wrong("mremap back: %s", strerror(errno));
		break;
	case 8:
		/* A hole for a while. */
		if (munmap(mem, len))
			wrong("munmap: %s", strerror(errno));
		announce(first, nr);
		if (any(2))
			sched_yield();
		map_region(first, nr);
		break;
	case 9:
		if (any(20) == 0)
			put("/proc/sys/vm/compact_memory", "1");
		else if (any(4) == 0)
			put("/proc/self/clear_refs", "4");
		break;
	case 10:
		stamp_pages(first, nr);
		break;
	case 11:
		verify_own(first, nr);
	}
}

static void make_segment(void)
{
	unsigned int nr, first = some_pages(&nr), i = any(SEGMENTS);
	struct segment *seg = &shared->slots[self->slot].segments[i];
	struct xpmem_cmd_remove remove = { .segid = seg->id };
	struct xpmem_cmd_make make = {
		.vaddr = (uintptr_t)region(self->slot) + first * PAGE, .size = nr * PAGE,
		.permit_type = XPMEM_PERMIT_MODE, .permit_value = 0600,
	};

	if (seg->id) {
		if (any(4))
			return;
		seg->id = 0;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (ioctl(self->fd, XPMEM_CMD_REMOVE, &remove))
			wrong("remove: %s", strerror(errno));
		if (ioctl(self->fd, XPMEM_CMD_REMOVE, &remove) != -1 || errno != ENOENT)
			wrong("removed twice");
		return;
	}
	if (any(4) == 0) {
		make.size = XPMEM_MAXADDR_SIZE;
		nr = REGION - first;
	}
	if (ioctl(self->fd, XPMEM_CMD_MAKE, &make)) {
		wrong("make: %s", strerror(errno));
		return;
	}
	if (make.segid <= 0)
		wrong("make gives %lld", make.segid);
	seg->first = first;
	seg->nr = nr;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	seg->id = make.segid;
}

/* --- the attacher --- */

static void forget(unsigned int permit, unsigned long attachment)
{
	unsigned int i;

	for (i = 0; i < PIECES; i++) {
		if (attachment ? self->pieces[i].attachment == attachment :
		    self->pieces[i].permit == permit)
			self->pieces[i].nr = 0;
	}
}

static struct piece *free_piece(void)
{
	unsigned int i;

	for (i = 0; i < PIECES; i++) {
		if (!self->pieces[i].nr)
			return &self->pieces[i];
	}
	return NULL;
}

static struct piece *some_piece(void)
{
	unsigned int i, start = any(PIECES);

	for (i = 0; i < PIECES; i++) {
		if (self->pieces[(start + i) % PIECES].nr)
			return &self->pieces[(start + i) % PIECES];
	}
	return NULL;
}

/* Is one of ours in the way? */
static bool taken(char *at, size_t len)
{
	unsigned int i;

	for (i = 0; i < PIECES; i++) {
		struct piece *p = &self->pieces[i];

		if (p->nr && p->at < at + len && at < p->at + p->nr * PAGE)
			return true;
	}
	return false;
}

static void get_permit(void)
{
	unsigned int i = any(PERMITS), owner = any(processes * THREADS);
	struct segment *seg = &shared->slots[owner].segments[any(SEGMENTS)];
	struct permit *permit = &self->permits[i];
	struct xpmem_cmd_release release = { .apid = permit->id };
	struct xpmem_cmd_get get = {
		.segid = seg->id, .flags = any(3) ? XPMEM_RDWR : XPMEM_RDONLY,
		.permit_type = XPMEM_PERMIT_MODE,
	};

	if (permit->id) {
		if (any(8) && shared->slots[permit->owner].incarnation == permit->incarnation)
			return;
		permit->id = 0;
		if (ioctl(self->fd, XPMEM_CMD_RELEASE, &release))
			wrong("release: %s", strerror(errno));
		forget(i, 0);
		if (ioctl(self->fd, XPMEM_CMD_RELEASE, &release) != -1 || errno != ENOENT)
			wrong("released twice");
		return;
	}
	permit->incarnation = shared->slots[owner].incarnation;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	permit->first = seg->first;
	permit->nr = seg->nr;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!get.segid || seg->id != get.segid)
		return;
	if (ioctl(self->fd, XPMEM_CMD_GET, &get)) {
		/* Removed in between, or its owner has died. */
		if (errno != ENOENT)
			wrong("get: %s", strerror(errno));
		return;
	}
	if (get.apid <= 0)
		wrong("get gives %lld", get.apid);
	permit->id = get.apid;
	permit->write = get.flags == XPMEM_RDWR;
	permit->owner = owner;
}

static void attach_permit(void)
{
	struct permit *permit = &self->permits[any(PERMITS)];
	struct piece *piece = free_piece();
	unsigned int offset, nr, i;
	struct xpmem_cmd_attach attach = { .apid = permit->id, .fd = -1 };

	if (!permit->id || !piece)
		return;
	offset = any(2) ? 0 : any(permit->nr);
	nr = any(2) ? permit->nr - offset : 1 + any(permit->nr - offset);
	attach.offset = offset * PAGE;
	attach.size = nr * PAGE - any(2) * any(PAGE);
	if (any(3) == 0) {
		char *at = area(self->slot, any(AREAS)) + any(2) * any(16) * PAGE;

		attach.vaddr = (uintptr_t)at;
		if (taken(at, nr * PAGE)) {
			if (ioctl(self->fd, XPMEM_CMD_ATTACH, &attach) != -1 ||
			    (errno != EINVAL && errno != ENOENT))
				wrong("attached on an attachment, or %s", strerror(errno));
			return;
		}
	}
	if (ioctl(self->fd, XPMEM_CMD_ATTACH, &attach)) {
		/* No segment any more. */
		if (errno != ENOENT)
			wrong("attach: %s", strerror(errno));
		return;
	}
	i = permit - self->permits;
	*piece = (struct piece){
		.at = (char *)(uintptr_t)attach.vaddr, .nr = nr, .first = permit->first + offset,
		.owner = permit->owner, .incarnation = permit->incarnation, .permit = i,
		.attachment = ++self->attachments,
		.prot = permit->write ? PROT_READ | PROT_WRITE : PROT_READ,
	};
	__atomic_add_fetch(&shared->attached, 1, __ATOMIC_RELAXED);
}

static void detach_piece(struct piece *piece)
{
	struct xpmem_cmd_detach detach;

	if (!piece)
		return;
	detach.vaddr = (uintptr_t)piece->at + any(piece->nr * PAGE);
	if (ioctl(self->fd, XPMEM_CMD_DETACH, &detach))
		wrong("detach: %s", strerror(errno));
	forget(0, piece->attachment);
}

/* Unmaps, moves, protects a part of it. */
static void change_piece(void)
{
	static const int prots[] = {
		PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE,
	};
	struct piece *piece = some_piece(), *rest, *part;
	unsigned int first, nr;
	char *at, *to;
	int prot, ret;

	if (!piece)
		return;
	first = any(piece->nr);
	nr = 1 + any(piece->nr - first);
	at = piece->at + first * PAGE;
	switch (any(4)) {
	case 0:
		rest = free_piece();
		if (!rest)
			return;
		if (munmap(at, nr * PAGE))
			wrong("munmap: %s", strerror(errno));
		break;
	case 1:
		to = area(self->slot, any(AREAS));
		rest = free_piece();
		if (!rest || taken(to, nr * PAGE))
			return;
		rest->nr = 1;
		part = free_piece();
		rest->nr = 0;
		if (!part)
			return;
		if (mremap(at, nr * PAGE, nr * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to) {
			/* Parts with other rights are other mappings: not in one go. */
			if (errno != EFAULT && errno != EINVAL)
				wrong("mremap: %s", strerror(errno));
			return;
		}
		*part = *piece;
		part->at = to;
		part->first += first;
		part->nr = nr;
		break;
	case 2:
		if (piece->nr < 2)
			return;
		/* In two: then they can have different rights. */
		rest = free_piece();
		if (!rest)
			return;
		*rest = *piece;
		piece->nr /= 2;
		rest->at += piece->nr * PAGE;
		rest->first += piece->nr;
		rest->nr -= piece->nr;
		return;
	default:
		prot = prots[any(ARRAY_SIZE(prots))];
		ret = mprotect(piece->at, piece->nr * PAGE, prot);
		if ((prot & PROT_WRITE) && !self->permits[piece->permit].write) {
			if (ret != -1 || errno != EACCES)
				wrong("a read-only permit was made writable");
			return;
		}
		if (ret)
			wrong("mprotect: %s", strerror(errno));
		piece->prot = prot;
		return;
	}

	/* A hole: what is behind it is a piece of its own. */
	*rest = *piece;
	rest->at += (first + nr) * PAGE;
	rest->first += first + nr;
	rest->nr -= first + nr;
	piece->nr = first;
}

static void access_piece(void)
{
	struct piece *piece = some_piece();
	unsigned int page, i, nr, gen, incarnation;
	long a[NR_ARGS], ret;
	uint64_t value;
	bool write;
	double died;

	if (!piece)
		return;
	/* There is not much to be had from the dead. */
	if (shared->slots[piece->owner].incarnation != piece->incarnation && any(8) == 0) {
		detach_piece(piece);
		return;
	}
	nr = any(3) ? 1 + any(8) : piece->nr;
	write = any(2);
	for (i = 0; i < nr && !shared->stop; i++) {
		page = nr == piece->nr ? i : any(piece->nr);
		incarnation = shared->slots[piece->owner].incarnation;
		died = shared->slots[piece->owner].died;
		gen = __atomic_load_n(&shared->slots[piece->owner].gen[piece->first + page],
				      __ATOMIC_SEQ_CST) & 0xfffffff;
		__atomic_add_fetch(&shared->accesses, 1, __ATOMIC_RELAXED);

		if (write) {
			a[0] = (long)word(piece->at, page, WRITTEN + self->slot);
			a[1] = written_of(self->slot, piece->first + page) | any(1 << 28);
			ret = guarded(op_store, a);
		} else {
			a[0] = (long)word(piece->at, page, STAMP);
			a[1] = (long)&value;
			ret = guarded(op_load, a);
		}

		if (ret) {
			__atomic_add_fetch(&shared->signals, 1, __ATOMIC_RELAXED);
			if (ret == BY_SIGNAL(SIGSEGV) &&
			    (piece->prot & (write ? PROT_WRITE : PROT_READ)))
				wrong("SIGSEGV at %p, page %u of a piece", piece->at, page);
			continue;
		}
		if (!(piece->prot & (write ? PROT_WRITE : PROT_READ))) {
			wrong("%s at %p, which is not allowed there", write ? "written" : "read",
			      piece->at);
			return;
		}
		/* A fault for the owner can delay its end, but not by seconds. */
		if (incarnation != piece->incarnation && now() > died + 10) {
			wrong("page %u of an owner that died long ago", piece->first + page);
			return;
		}
		if (write || !value)
			continue;
		if (value >> 28 != stamp_of(piece->owner, piece->first + page, 0) >> 28) {
			wrong("%#lx in page %u of %u", value, piece->first + page, piece->owner);
			return;
		}
		/* Of an owner that lives: its successor goes on counting. */
		if (shared->slots[piece->owner].incarnation == piece->incarnation &&
		    (value & 0xfffffff) < gen) {
			wrong("%#lx in page %u of %u: old, it was mapped anew %u times", value,
			      piece->first + page, piece->owner, gen);
			return;
		}
	}
}

/* --- what has to fail --- */

static void fails_with(int error, unsigned long cmd, void *arg, const char *what)
{
	__atomic_add_fetch(&shared->wrong_shapes, 1, __ATOMIC_RELAXED);
	errno = 0;
	if (ioctl(self->fd, cmd, arg) != -1)
		wrong("%s: accepted", what);
	else if (errno != error)
		wrong("%s: %s", what, strerror(errno));
}

static void wrong_shapes(void)
{
	struct permit *permit = &self->permits[any(PERMITS)];
	struct xpmem_cmd_make make = {
		.vaddr = (uintptr_t)region(self->slot), .size = PAGE,
		.permit_type = XPMEM_PERMIT_MODE, .permit_value = 0600,
	};
	struct xpmem_cmd_attach attach = { .apid = permit->id, .size = PAGE, .fd = -1 };
	struct xpmem_cmd_get get = {
		.segid = (self->random >> 1) | 1, .flags = XPMEM_RDWR,
		.permit_type = XPMEM_PERMIT_MODE,
	};
	struct xpmem_cmd_detach detach = { .vaddr = (uintptr_t)region(self->slot) + any(1000) };
	long id = (self->random >> 1) | 1;

	switch (any(16)) {
	case 0:
		make.vaddr += 1 + any(PAGE - 1);
		fails_with(EINVAL, XPMEM_CMD_MAKE, &make, "unaligned segment");
		break;
	case 1:
		make.size = any(PAGE);
		fails_with(EINVAL, XPMEM_CMD_MAKE, &make, "size of a segment");
		break;
	case 2:
		make.permit_value = 01000 + any(1 << 20);
		fails_with(EINVAL, XPMEM_CMD_MAKE, &make, "mode of a segment");
		break;
	case 3:
		make.vaddr = 0x7ffffffff000 + (unsigned long)any(1 << 30) * PAGE;
		fails_with(EINVAL, XPMEM_CMD_MAKE, &make, "segment outside");
		break;
	case 4:
		fails_with(ENOENT, XPMEM_CMD_GET, &get, "random segment");
		break;
	case 5:
		get.flags = 3 + any(1000);
		fails_with(EINVAL, XPMEM_CMD_GET, &get, "flags of a permit");
		break;
	case 6:
		get.permit_value = 1 + any(0777);
		fails_with(EINVAL, XPMEM_CMD_GET, &get, "value of a permit");
		break;
	case 7:
		fails_with(ENOENT, XPMEM_CMD_REMOVE, &id, "random segment");
		fails_with(ENOENT, XPMEM_CMD_RELEASE, &id, "random permit");
		break;
	case 8:
		attach.apid = id;
		fails_with(ENOENT, XPMEM_CMD_ATTACH, &attach, "random permit");
		break;
	case 9:
		id = -id;
		fails_with(EINVAL, XPMEM_CMD_REMOVE, &id, "negative segment");
		fails_with(EINVAL, XPMEM_CMD_RELEASE, &id, "negative permit");
		break;
	case 10:
		/* An owner's own memory is no attachment. */
		fails_with(EINVAL, XPMEM_CMD_DETACH, &detach, "not attached");
		break;
	case 11:
		fails_with(ENOTTY, _IO('x', 9 + any(200)), &make, "unknown ioctl");
		break;
	case 12:
		fails_with(EFAULT, _IO('x', 1 + any(6)), (void *)(0xffff800000000000 |
			   self->random), "kernel's address");
		break;
	case 13:
		if (!permit->id)
			break;
		attach.offset = 1 + any(PAGE - 1);
		fails_with(EINVAL, XPMEM_CMD_ATTACH, &attach, "unaligned attachment");
		break;
	case 14:
		if (!permit->id)
			break;
		attach.vaddr = (uintptr_t)area(self->slot, 0) + 1 + any(PAGE - 1);
		fails_with(EINVAL, XPMEM_CMD_ATTACH, &attach, "unaligned address");
		break;
	case 15:
		if (ioctl(self->fd, XPMEM_CMD_VERSION) != XPMEM_CURRENT_VERSION)
			wrong("version");
	}
}

static void *run(void *arg)
{
	struct thread *t = arg;
	unsigned int what, first;

	self = t;
	t->fd = open(XPMEM_DEV_PATH, O_RDWR | O_CLOEXEC);
	if (t->fd < 0) {
		wrong("open: %s", strerror(errno));
		return NULL;
	}
	for (first = 0; first < REGION; first += REGION / 2)
		map_region(first, REGION / 2);

	while (!shared->stop) {
		if (__atomic_fetch_add(&shared->operations, 1, __ATOMIC_RELAXED) >= operations)
			break;
		what = any(100);
		if (what < 40)
			access_piece();
		else if (what < 60)
			change_own();
		else if (what < 67)
			make_segment();
		else if (what < 75)
			get_permit();
		else if (what < 85)
			attach_permit();
		else if (what < 88)
			detach_piece(some_piece());
		else if (what < 96)
			change_piece();
		else
			wrong_shapes();
		shared->slots[t->slot].progress++;
	}
	verify_own(0, REGION);
	return NULL;
}

static pid_t start(unsigned int process)
{
	static struct thread threads[THREADS];
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	unsigned int i, slot;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (i = 0; i < THREADS; i++) {
		slot = process * THREADS + i;
		threads[i].slot = slot;
		threads[i].random = (seed + 1) * 0x9e3779b97f4a7c15ul +
			(slot + 1) * 0xbf58476d1ce4e5b9ul +
			shared->slots[slot].incarnation * 0x94d049bb133111ebul;
		threads[i].random |= 1;
		if (pthread_create(&threads[i].thread, NULL, run, &threads[i]))
			_exit(1);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i].thread, NULL);
	_exit(0);
}

/* Waiting for anything, or cleaning up, could hang, too. */
static void hang(pid_t pid)
{
	char name[64], text[4096];
	struct dirent *entry;
	DIR *dir;

	snprintf(name, sizeof(name), "/proc/%d/task", pid);
	dir = opendir(name);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "/proc/%d/task/%.16s/stack", pid, entry->d_name);
		if (text_of(name, text, sizeof(text)) > 0)
			printf("# %s\n%s", name, text);
	}
	if (dir)
		closedir(dir);
	put("/proc/sysrq-trigger", "w");
	ksft_test_result_fail("fuzz with seed %lu: hung\n", seed);
	fflush(stdout);
	/* The others are killed with their parent, if they can be. */
	_exit(KSFT_FAIL);
}

/* Its ids are of no more use; its successors go on counting. */
static void buried(unsigned int process)
{
	unsigned int i, j;

	for (i = process * THREADS; i < (process + 1) * THREADS; i++) {
		for (j = 0; j < SEGMENTS; j++)
			shared->slots[i].segments[j].id = 0;
		shared->slots[i].died = now();
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		shared->slots[i].incarnation++;
		for (j = 0; j < REGION; j++)
			shared->slots[i].gen[j]++;
	}
}

static bool left_something(void)
{
	double end = now() + 10;
	struct dirent *entry;
	bool found;
	DIR *dir;

	do {
		found = false;
		dir = opendir("/proc/xpmem");
		while (dir && (entry = readdir(dir)))
			found |= entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
		if (dir)
			closedir(dir);
	} while (found && now() < end && !usleep(10000));
	return found;
}

int main(int argc, char **argv)
{
	pid_t pids[MAX_PROCESSES] = {};
	unsigned long progress[SLOTS] = {};
	double moved[MAX_PROCESSES], next;
	unsigned int i, j, alive, kills = 0;
	struct thread me = {};
	int opt, status;

	seed = time(NULL) ^ ((unsigned long)getpid() << 16);
	if (getenv("XPMEM_PATIENCE_MS"))
		patience_ms = atoi(getenv("XPMEM_PATIENCE_MS"));
	while ((opt = getopt(argc, argv, "kn:p:s:")) != -1) {
		switch (opt) {
		case 'k':
			killing = false;
			break;
		case 'n':
			operations = strtol(optarg, NULL, 0);
			break;
		case 'p':
			processes = strtoul(optarg, NULL, 0);
			break;
		case 's':
			seed = strtoul(optarg, NULL, 0);
			break;
		default:
			fprintf(stderr,
				"usage: %s [-k] [-n OPERATIONS] [-p PROCESSES] [-s SEED]\n"
				"  -k: no process is killed\n", argv[0]);
			return 2;
		}
	}
	ksft_print_header();
	ksft_set_plan(1);
	if (access(XPMEM_DEV_PATH, R_OK | W_OK))
		ksft_exit_skip("no " XPMEM_DEV_PATH ": needs CONFIG_XPMEM\n");
	if (processes < 1 || processes > MAX_PROCESSES)
		processes = MAX_PROCESSES;
	ksft_print_msg("seed %lu: %ld operations of %u processes\n", seed, operations, processes);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		ksft_exit_fail_msg("mmap\n");
	put(KSM "sleep_millisecs", "10");
	put(KSM "run", "1");

	me.random = seed * 2 + 1;
	self = &me;
	for (i = 0; i < processes; i++) {
		pids[i] = start(i);
		moved[i] = now();
	}
	next = now() + 0.3;
	do {
		usleep(20000);
		alive = 0;
		for (i = 0; i < processes; i++) {
			if (!pids[i])
				continue;
			if (waitpid(pids[i], &status, WNOHANG) == pids[i]) {
				pids[i] = 0;
				buried(i);
				if (!WIFEXITED(status) || WEXITSTATUS(status))
					wrong("a process died: status %#x", status);
				continue;
			}
			alive++;
			for (j = i * THREADS; j < (i + 1) * THREADS; j++) {
				if (shared->slots[j].progress != progress[j])
					moved[i] = now();
				progress[j] = shared->slots[j].progress;
			}
			if (now() > moved[i] + patience_ms / 1000.) {
				wrong("process %d hangs", pids[i]);
				hang(pids[i]);
			}
		}
		if (killing && now() > next && !shared->stop) {
			next = now() + 0.1 + any(4000) / 1000.;
			i = any(processes);
			if (!pids[i])
				continue;
			kill(pids[i], SIGKILL);
			kills++;
			if (!reaped(pids[i], &status)) {
				wrong("process %d cannot be killed", pids[i]);
				hang(pids[i]);
			}
			buried(i);
			pids[i] = start(i);
			moved[i] = now();
		}
	} while (alive);
	put(KSM "run", "2");
	put(KSM "run", "0");
	if (!shared->failed && left_something())
		wrong("something is left in /proc/xpmem");
	if (!shared->failed && !pinned_nothing())
		wrong("something is pinned");
	ksft_print_msg("%ld accesses, %ld of them ended by a signal\n", shared->accesses,
		       shared->signals);
	ksft_print_msg("%ld attached, %ld refused, %u killed\n", shared->attached,
		       shared->wrong_shapes, kills);
	ksft_test_result(!shared->failed, "fuzz with seed %lu\n", seed);
	ksft_finished();
}
