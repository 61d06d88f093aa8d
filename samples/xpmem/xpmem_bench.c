// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to read and write another process's memory: by an attachment, by
 * process_vm_readv() and process_vm_writev(), and, if the memory was made to be
 * shared, as POSIX shared memory.
 *
 *	$ xpmem_bench [-s LARGEST] [-t MILLISECONDS] [-q]
 *
 * One line a measure, "name value unit":
 *
 *	METHOD.PAGES.HOW.ACCESS.BYTES
 *
 *	METHOD	xpmem, vm (process_vm_*), shm
 *	PAGES	small, huge: of the owner
 *	HOW	warm: the mapping was used before; first: it was not, what is measured
 *		is to attach, to touch each page and to detach; copy: warm, into or from
 *		another buffer, as process_vm_* does
 *	ACCESS	read, write
 *
 * The xpmem_nohuge method is xpmem with huge pages not wanted by the attacher.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "xpmem.h"

#define PAGE	4096ul
#define HUGE	(2ul << 20)

enum method { XPMEM, XPMEM_NOHUGE, VM, SHM };

static const char * const method_names[] = { "xpmem", "xpmem_nohuge", "vm", "shm" };

/* What the owner shows, twice: as a segment, and as a file. */
struct shown {
	pid_t pid;
	char *mem;
	xpmem_segid_t segid;
	int fd;
};

static size_t largest = 64ul << 20;
static long ms_each = 200;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *map(size_t len, int flags, int fd, int huge)
{
	char *mem, *aligned;

	/* Aligned, so that huge pages are possible; the rest is not given back. */
	mem = mmap(NULL, len + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		die("mmap");
	aligned = (char *)(((uintptr_t)mem + HUGE - 1) & ~(HUGE - 1));
	if (mmap(aligned, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
		die("mmap");
	/* Without CONFIG_TRANSPARENT_HUGEPAGE there are none. */
	madvise(aligned, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return aligned;
}

/* The owner: shows its memory, and waits until the pipe is closed. */
static void owner(int huge, int out, int in)
{
	struct shown shown = { .pid = getpid() };
	char *mem = map(largest, MAP_PRIVATE | MAP_ANONYMOUS, -1, huge), c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memset(mem, 1, largest);
	shown.mem = mem;
	shown.segid = xpmem_make(mem, largest, XPMEM_PERMIT_MODE, (void *)0600);
	if (shown.segid < 0)
		die("xpmem_make");
	if (write(out, &shown, sizeof(shown)) != sizeof(shown))
		_exit(1);
	while (read(in, &c, 1) > 0)
		;
	_exit(0);
}

static void read_all(const char *mem, size_t len)
{
	const unsigned long *p = (const unsigned long *)mem;
	const unsigned long *end = (const unsigned long *)(mem + len);
	unsigned long sum = 0;

	for (; p < end; p += 8)
		sum += p[0] + p[1] + p[2] + p[3] + p[4] + p[5] + p[6] + p[7];
	/* Or it would not be read. */
	asm volatile("" : : "r" (sum));
}

static void touch(char *mem, size_t len, int write)
{
	size_t i;

	for (i = 0; i < len; i += PAGE) {
		if (write)
			__atomic_store_n(&mem[i], 1, __ATOMIC_RELAXED);
		else
			__atomic_load_n(&mem[i], __ATOMIC_RELAXED);
	}
}

static char *attach(enum method method, const struct shown *shown, xpmem_apid_t apid, size_t len,
		    int huge)
{
	struct xpmem_addr addr = { .apid = apid };
	char *mem;

	if (method == SHM)
		return map(len, MAP_SHARED, shown->fd, huge);
	mem = xpmem_attach(addr, len, NULL);
	if (mem == (char *)-1)
		die("xpmem_attach");
	if (method == XPMEM_NOHUGE)
		madvise(mem, len, MADV_NOHUGEPAGE);
	return mem;
}

static void detach(enum method method, char *mem, size_t len)
{
	if (method == SHM)
		munmap(mem, len);
	else
		xpmem_detach(mem);
}

static void say(const char *method, const char *pages, const char *how, int write, size_t len,
		double seconds, long rounds)
{
	const char *access = write ? "write" : "read";

	printf("%s.%s.%s.%s.%zu %.0f MB/s\n", method, pages, how, access, len,
	       len * (double)rounds / seconds / 1e6);
	printf("%s.%s.%s.%s.%zu.latency %.3f us\n", method, pages, how, access, len,
	       seconds / rounds * 1e6);
}

/* Runs @statement again and again for a while, then says how fast that was. */
#define MEASURE(method, pages, how, write, len, statement) do {			\
	double begin, seconds;							\
	long rounds = 0, batch = 1, i;						\
										\
	statement;								\
	begin = now();								\
	do {									\
		for (i = 0; i < batch; i++)					\
			statement;						\
		rounds += batch;						\
		batch *= 2;							\
		seconds = now() - begin;					\
	} while (seconds < ms_each / 1e3);					\
	say(method, pages, how, write, len, seconds, rounds);			\
} while (0)

static void mapped(enum method method, const struct shown *shown, xpmem_apid_t apid, size_t len,
		   int huge, char *buf)
{
	const char *name = method_names[method], *pages = huge ? "huge" : "small";
	char *mem = attach(method, shown, apid, len, huge);
	struct rusage before, after;
	int write;

	getrusage(RUSAGE_SELF, &after);
	getrusage(RUSAGE_SELF, &before);
	touch(mem, len, 1);
	getrusage(RUSAGE_SELF, &after);
	printf("%s.%s.first.write.%zu.faults %ld faults\n", name, pages, len,
	       after.ru_minflt - before.ru_minflt);

	MEASURE(name, pages, "warm", 0, len, read_all(mem, len));
	MEASURE(name, pages, "warm", 1, len, memset(mem, rounds, len));
	MEASURE(name, pages, "copy", 0, len, memcpy(buf, mem, len));
	MEASURE(name, pages, "copy", 1, len, memcpy(mem, buf, len));
	detach(method, mem, len);

	for (write = 0; write < 2; write++)
		MEASURE(name, pages, "first", write, len, {
			mem = attach(method, shown, apid, len, huge);
			touch(mem, len, write);
			detach(method, mem, len);
		});
}

static int vm_copy(const struct shown *shown, char *buf, size_t len, int write)
{
	struct iovec local = { buf, len }, remote = { shown->mem, len };
	ssize_t done = write ? process_vm_writev(shown->pid, &local, 1, &remote, 1, 0) :
		       process_vm_readv(shown->pid, &local, 1, &remote, 1, 0);

	return done == (ssize_t)len ? 0 : -1;
}

static void copied(const struct shown *shown, size_t len, int huge, char *buf)
{
	const char *pages = huge ? "huge" : "small";
	int write;

	if (vm_copy(shown, buf, len, 0)) {
		fprintf(stderr, "# no process_vm_readv: %s\n", strerror(errno));
		return;
	}
	for (write = 0; write < 2; write++)
		MEASURE("vm", pages, "copy", write, len, vm_copy(shown, buf, len, write));
}

/* What is not proportional to the size. */
static void calls(const struct shown *shown, xpmem_apid_t apid)
{
	struct xpmem_addr addr = { .apid = apid };
	xpmem_apid_t other;
	xpmem_segid_t segid;
	char *mem;

#define CALL(name, statement) do {						\
	double begin = now(), seconds;						\
	long rounds = 0;							\
										\
	do {									\
		statement;							\
		rounds++;							\
		seconds = now() - begin;					\
	} while (seconds < ms_each / 1e3);					\
	printf("call.%s %.3f us\n", name, seconds / rounds * 1e6);		\
} while (0)

	CALL("version", xpmem_version());
	CALL("make_remove", {
		segid = xpmem_make((void *)PAGE, PAGE, XPMEM_PERMIT_MODE, (void *)0600);
		xpmem_remove(segid);
	});
	CALL("get_release", {
		other = xpmem_get(shown->segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, NULL);
		xpmem_release(other);
	});
	CALL("attach_detach", {
		mem = xpmem_attach(addr, PAGE, NULL);
		xpmem_detach(mem);
	});
}

static void bench(int huge)
{
	struct shown shown;
	int up[2], down[2];
	xpmem_apid_t apid;
	char *buf, *file;
	size_t len;

	if (pipe(up) || pipe(down))
		die("pipe");
	fflush(stdout);
	switch (fork()) {
	case -1:
		die("fork");
		break;
	case 0:
		close(down[1]);
		owner(huge, up[1], down[0]);
	}
	close(up[1]);
	close(down[0]);
	if (read(up[0], &shown, sizeof(shown)) != sizeof(shown)) {
		fprintf(stderr, "the owner has died\n");
		exit(1);
	}
	apid = xpmem_get(shown.segid, XPMEM_RDWR, XPMEM_PERMIT_MODE, NULL);
	if (apid < 0)
		die("xpmem_get");

	/* The shared memory that shm_open() would give, but for the name. */
	shown.fd = memfd_create("xpmem_bench", MFD_CLOEXEC);
	if (shown.fd < 0 || ftruncate(shown.fd, largest))
		die("memfd_create");
	file = map(largest, MAP_SHARED, shown.fd, huge);
	memset(file, 1, largest);

	buf = map(largest, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(buf, 2, largest);
	if (!huge)
		calls(&shown, apid);
	for (len = PAGE; len <= largest; len *= 4) {
		mapped(XPMEM, &shown, apid, len, huge, buf);
		if (huge && len >= HUGE)
			mapped(XPMEM_NOHUGE, &shown, apid, len, huge, buf);
		copied(&shown, len, huge, buf);
		mapped(SHM, &shown, apid, len, huge, buf);
		fflush(stdout);
	}

	xpmem_release(apid);
	munmap(buf, largest);
	munmap(file, largest);
	close(shown.fd);
	close(up[0]);
	close(down[1]);
	wait(NULL);
}

int main(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "qs:t:")) != -1) {
		switch (opt) {
		case 'q':
			ms_each = 20;
			largest = 4ul << 20;
			break;
		case 's':
			largest = strtoul(optarg, NULL, 0);
			break;
		case 't':
			ms_each = strtol(optarg, NULL, 0);
			break;
		default:
			goto usage;
		}
	}
	if (optind < argc || largest < PAGE || largest % PAGE || ms_each <= 0)
		goto usage;
	if (xpmem_init()) {
		perror(XPMEM_DEV_PATH);
		return 1;
	}
	bench(0);
	bench(1);
	return 0;

usage:
	fprintf(stderr, "usage: %s [-q] [-s LARGEST] [-t MILLISECONDS]\n", argv[0]);
	return 2;
}
