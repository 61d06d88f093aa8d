// SPDX-License-Identifier: GPL-2.0-only
/*
 * What mm operations cost, with and without subscribers.  "bench ops" counts
 * instructions (TSC ticks, under QEMU's -icount), the minimum over the repetitions;
 * "bench kvm" the same with a VM; "bench wait" and "bench vms" measure waiting in wall
 * time; "bench memory" bytes.  A result is a
 * line "= WHAT PHASE NUMBER"; bin/bench makes tables of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mnbench.h"

#define PAGE		4096UL
#define PAGES		1000
#define HUGE		(2UL << 20)
#define LINGER		"/sys/module/mmu_notifier/parameters/linger_ms"

static char *mem;		/* PAGES, touched */
static char *spot;		/* where the small operations happen: SPOT_PAGES */
#define SPOT_PAGES	64
static char *file_map;		/* a page of a file on ext4 */
static char *private_map;	/* the same, private */
static char *huge;
static const char *phase = "none";
static int has_module;

static void die(const char *what)
{
	printf("bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline uint64_t tsc(void)
{
	uint32_t lo, hi;

	asm volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) :: "memory");
	return (uint64_t)hi << 32 | lo;
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static void result(const char *what, uint64_t value)
{
	printf("= %s %s %llu\n", what, phase, (unsigned long long)value);
	fflush(stdout);
}

static void *map(void *at, size_t size, int flags)
{
	char *p = mmap(at, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* The minimum of @body, @n times; @before is not counted. */
#define MEASURE(what, n, before, body) do {				\
	uint64_t best = ~0ULL, took;					\
	int round;							\
									\
	for (round = 0; round < (n); round++) {				\
		before;							\
		took = tsc();						\
		body;							\
		took = tsc() - took;					\
		best = took < best ? took : best;			\
	}								\
	result(what, best);						\
} while (0)

static void touch(char *p, int pages)
{
	for (int i = 0; i < pages; i++)
		((volatile char *)p)[i * PAGE] = i;
}

static void fork_exit(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		die("fork");
}

/* The one to which most goals refer, alone. */
static void op_munmap(void)
{
	MEASURE("munmap", 300, map(spot, 16 * PAGE, MAP_FIXED); touch(spot, 1),
		munmap(spot, 16 * PAGE));
	map(spot, 16 * PAGE, MAP_FIXED);
}

static void op_mprotect(void)
{
	MEASURE("mprotect x2", 300, touch(spot, 1),
		mprotect(spot, PAGE, PROT_READ);
		mprotect(spot, PAGE, PROT_READ | PROT_WRITE));
}

static void op_cow(void)
{
	volatile char sink;

	MEASURE("CoW fault", 300,
		madvise(private_map, PAGE, MADV_DONTNEED); sink = *private_map,
		*(volatile char *)private_map = 1);
	(void)sink;
}

/* What passes single-page and range hooks, young hooks and the TLB's. */
static void ops(void)
{
	int fd;

	op_munmap();
	op_mprotect();
	MEASURE("mmap, touch, munmap of 1", 300, {},
		map(spot, PAGE, MAP_FIXED); touch(spot, 1); munmap(spot, PAGE));
	MEASURE("mmap, touch, munmap of 16", 100, {},
		map(spot, 16 * PAGE, MAP_FIXED); touch(spot, 16); munmap(spot, 16 * PAGE));
	map(spot, 16 * PAGE, MAP_FIXED);
	MEASURE("MADV_DONTNEED", 300, touch(spot, 1), madvise(spot, PAGE, MADV_DONTNEED));
	MEASURE("mremap", 100, touch(spot, 1),
		if (mremap(spot, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   spot + 32 * PAGE) == MAP_FAILED)
			die("mremap");
		if (mremap(spot + 32 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			   spot) == MAP_FAILED)
			die("mremap"));
	map(spot, SPOT_PAGES * PAGE, MAP_FIXED);
	op_cow();
	MEASURE("shared write, writeback", 30, {},
		*(volatile char *)file_map += 1; msync(file_map, PAGE, MS_SYNC));
	MEASURE("fork, exit", 30, touch(mem, PAGES), fork_exit());
	MEASURE("fork, touch again", 20, {},
		fork_exit(); touch(mem, 100));
	MEASURE("swap out, in", 5, touch(mem, PAGES),
		madvise(mem, PAGES * PAGE, MADV_PAGEOUT); touch(mem, PAGES));
	fd = open("/proc/self/clear_refs", O_WRONLY);
	if (fd < 0)
		die("clear_refs");
	MEASURE("soft-dirty clear", 20, touch(mem, PAGES),
		if (write(fd, "4", 1) != 1)
			die("clear_refs"));
	close(fd);
	MEASURE("THP split", 20,
		map(huge, HUGE, MAP_FIXED); madvise(huge, HUGE, MADV_HUGEPAGE); touch(huge, 1),
		madvise(huge, PAGE, MADV_DONTNEED));
}

/* One page is marked as idle: the accessed bits of all that map it are cleared. */
static void op_idle(void)
{
	int map_fd = open("/proc/self/pagemap", O_RDONLY);
	int fd = open("/sys/kernel/mm/page_idle/bitmap", O_RDWR);
	uint64_t entry, pfn, bit;

	/* It has to be on an LRU list, and to stay where it is. */
	touch(spot, 1);
	write_file("/proc/sys/vm/compact_memory", "1");
	if (map_fd < 0 || fd < 0 ||
	    pread(map_fd, &entry, 8, (uintptr_t)spot / PAGE * 8) != 8)
		die("page_idle");
	pfn = entry & ((1ull << 55) - 1);
	bit = 1ull << pfn % 64;
	MEASURE("page idle", 300, touch(spot, 1),
		if (pwrite(fd, &bit, 8, pfn / 64 * 8) != 8)
			die("page_idle"));
	if (pread(fd, &entry, 8, pfn / 64 * 8) != 8 || !(entry & bit))
		die("page_idle: the page is not idle");
	close(fd);
	close(map_fd);
}

static uint64_t number_in(const char *path)
{
	unsigned long long n = 0;
	FILE *f = fopen(path, "r");

	if (!f || fscanf(f, "%llu", &n) != 1)
		die(path);
	fclose(f);
	return n;
}

/* ksmd merges 32 equal pages with each other; it runs while we let it. */
static void op_ksm(void)
{
	uint64_t until;
	int i;

	write_file("/sys/kernel/mm/ksm/sleep_millisecs", "0");
	write_file("/sys/kernel/mm/ksm/pages_to_scan", "1000");
	MEASURE("KSM merge", 5,
		write_file("/sys/kernel/mm/ksm/run", "2");
		map(spot, 32 * PAGE, MAP_FIXED);
		for (i = 0; i < 32; i++)
			memset(spot + i * PAGE, 7, PAGE);
		madvise(spot, 32 * PAGE, MADV_MERGEABLE),
		until = number_in("/sys/kernel/mm/ksm/full_scans") + 3;
		write_file("/sys/kernel/mm/ksm/run", "1");
		while (number_in("/sys/kernel/mm/ksm/full_scans") < until)
			sched_yield());
	if (number_in("/sys/kernel/mm/ksm/pages_sharing") < 30)
		die("ksmd did not merge");
	write_file("/sys/kernel/mm/ksm/run", "2");
	map(spot, SPOT_PAGES * PAGE, MAP_FIXED);
}

/* /dev/mnbench */

static int open_device(void)
{
	int fd = open("/dev/mnbench", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/mnbench");
	return fd;
}

/* False if these notifiers have no such kind. */
static int try_add(int fd, struct mnbench_add *a)
{
	if (!ioctl(fd, MNBENCH_ADD, a))
		return 1;
	if (errno != EOPNOTSUPP)
		die("MNBENCH_ADD");
	return 0;
}

static int add(int fd, int kind, int nr, char *addr, size_t size, size_t stride)
{
	struct mnbench_add a = { .kind = kind, .nr = nr, .addr = (uintptr_t)addr,
				 .size = size, .stride = stride };

	return try_add(fd, &a);
}

/* Generations of MGLRU of the root cgroup: what is young moves to a new one. */
static void lru_gen_age(void)
{
	char line[256], command[64];
	unsigned long memcg = 0, seq = 0, last = 0;
	FILE *f = fopen("/sys/kernel/debug/lru_gen", "r");

	if (!f)
		die("lru_gen");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "memcg %lu", &memcg) == 1) {
			if (last)
				break;	/* the root comes first */
		} else if (sscanf(line, " %lu %*u", &seq) == 1 && !strstr(line, "node")) {
			last = seq;
		}
	}
	fclose(f);
	snprintf(command, sizeof(command), "+1 0 %lu 1 1", last);
	write_file("/sys/kernel/debug/lru_gen", command);
}

/* A whole pass; @again: what makes the pages young in a secondary MMU. */
static void op_age(void (*again)(void))
{
	write_file("/sys/kernel/mm/lru_gen/enabled", "y");
	MEASURE("MGLRU pass", 9, touch(mem, PAGES); again(), lru_gen_age());
	write_file("/sys/kernel/mm/lru_gen/enabled", "n");
}

static void nothing(void)
{
}

static void with(const char *name, int kind, int nr, char *addr, size_t size, size_t stride,
		 int all)
{
	int fd = open_device();

	phase = name;
	if (add(fd, kind, nr, addr, size, stride)) {
		if (all)
			ops(), op_idle();
		else
			op_munmap(), op_mprotect(), op_cow();
	}
	close(fd);
}

/* @nr VMAs, each with an anon_vma of its own: not adjacent. */
static char *many_vmas(int nr)
{
	char *base = mmap(NULL, nr * 2 * PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		die("mmap");
	munmap(base, nr * 2 * PAGE);
	for (int i = 0; i < nr; i++)
		touch(map(base + i * 2 * PAGE, PAGE, MAP_FIXED), 1);
	return base;
}

/* Registration, in the module, on an mm of @nr VMAs. */
static void registration(int nr)
{
	struct mnbench_add a = { .kind = MNBENCH_LIST, .nr = 1 };
	struct mnbench_del d = { .nr = 1 };
	static char name[32];
	pid_t pid = fork();
	char *base;
	int fd;

	if (pid) {
		int status;

		if (waitpid(pid, &status, 0) != pid || status)
			die("registration");
		return;
	}
	base = many_vmas(nr);
	snprintf(name, sizeof(name), "%d_VMAs", nr);
	phase = name;
	fd = open_device();
	try_add(fd, &a);
	result("register, first", a.first);
	try_add(fd, &a);
	result("register, second", a.first);
	a.nr = 98;
	try_add(fd, &a);
	result("register, hundredth", a.last);
	a.nr = 900;
	try_add(fd, &a);
	result("register, thousandth", a.last);
	a.kind = MNBENCH_INTERVAL;
	a.nr = 1;
	a.addr = (uintptr_t)base;
	a.size = PAGE;
	try_add(fd, &a);
	result("interval insert, first beside a list subscriber", a.first);
	ioctl(fd, MNBENCH_DEL, &d);
	ioctl(fd, MNBENCH_DEL, &d);
	result("unregister", d.first);
	exit(0);
}

/* Interval insertion and removal, where there is a list subscriber. */
static void intervals(void)
{
	struct mnbench_add list = { .kind = MNBENCH_LIST, .nr = 1 };
	struct mnbench_add a = { .kind = MNBENCH_INTERVAL, .nr = 64, .size = PAGE,
				 .stride = 2 * PAGE, .addr = (uintptr_t)mem };
	struct mnbench_del d = { .nr = 64 };
	int fd = open_device();

	phase = "list_1";
	try_add(fd, &list);
	try_add(fd, &a);
	result("interval insert", a.least);
	ioctl(fd, MNBENCH_DEL, &d);
	result("interval remove", d.least);
	close(fd);
}

/* @nr registrations with one mm. */
static void many_registrations(int nr)
{
	struct mnbench_add a = { .kind = MNBENCH_LIST, .nr = nr };
	static char name[32];
	int fd = open_device();

	snprintf(name, sizeof(name), "%d", nr);
	phase = name;
	try_add(fd, &a);
	result("registrations", a.total);
	close(fd);
}

/* Starts @child, and returns when that has called ready(). */
static pid_t start_child(void (*child)(int ready, int arg), int arg)
{
	int pipes[2];
	pid_t pid;
	char c;

	if (pipe(pipes))
		die("pipe");
	pid = fork();
	if (!pid) {
		child(pipes[1], arg);
		_exit(0);
	}
	if (read(pipes[0], &c, 1) != 1)
		die("read");
	close(pipes[0]);
	close(pipes[1]);
	return pid;
}

static void ready(int fd)
{
	if (write(fd, "", 1) != 1)
		die("write");
}

static void elsewhere(int fd, int arg)
{
	(void)arg;
	add(open_device(), MNBENCH_LIST, 1, NULL, 0, 0);
	ready(fd);
	pause();
}

static void set_up(void)
{
	int fd, i;

	/* Far from everything, so that it can be unmapped and mapped again there. */
	spot = map((void *)0x100000000000, SPOT_PAGES * PAGE, MAP_FIXED);
	mem = map((void *)0x200000000000, PAGES * PAGE, MAP_FIXED);
	huge = map((void *)0x300000000000, HUGE, MAP_FIXED);
	if (madvise(mem, PAGES * PAGE, MADV_NOHUGEPAGE))
		die("MADV_NOHUGEPAGE");
	for (i = 0; i < PAGES; i++)
		memset(mem + i * PAGE, i, 16);
	fd = open("/mnt/file", O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 2 * PAGE))
		die("/mnt/file");
	file_map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private_map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, PAGE);
	if (file_map == MAP_FAILED || private_map == MAP_FAILED)
		die("mmap");
	has_module = !access("/dev/mnbench", F_OK);
}

static void bench_ops(void)
{
	int fd;
	pid_t pid;

	/* Twice: the tick may fall into every round of one. */
	ops();
	ops();
	op_ksm();
	op_idle();
	op_age(nothing);
	if (!has_module)
		return;

	pid = start_child(elsewhere, 0);
	phase = "elsewhere";
	ops();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	with("list_1", MNBENCH_LIST, 1, NULL, 0, 0, 1);
	phase = "after_list_at_once";
	op_munmap();
	/* Longer than anything lingers. */
	sleep(15);
	phase = "after_list";
	ops();
	with("list_16", MNBENCH_LIST, 16, NULL, 0, 0, 1);
	with("list_256", MNBENCH_LIST, 256, NULL, 0, 0, 1);
	with("page_1", MNBENCH_PAGE, 1, NULL, 0, 0, 1);
	/* One of them overlaps the spot. */
	with("limited_256", MNBENCH_LIMITED, 256, spot - 100 * 16 * PAGE, 16 * PAGE,
	     16 * PAGE, 1);
	with("limited_1", MNBENCH_LIMITED, 1, spot, 16 * PAGE, 0, 1);
	with("interval_miss", MNBENCH_INTERVAL, 1, mem, PAGE, 0, 1);
	with("interval_miss_256", MNBENCH_INTERVAL, 256, spot - 128 * 64 * PAGE + 32 * PAGE,
	     PAGE, 64 * PAGE, 0);
	with("interval_hit", MNBENCH_INTERVAL, 1, spot, 16 * PAGE, 0, 1);
	with("interval_256", MNBENCH_INTERVAL, 256, spot - 100 * 16 * PAGE, 16 * PAGE,
	     16 * PAGE, 1);
	sleep(15);
	phase = "after_interval";
	ops();

	phase = "list_1";
	fd = open_device();
	add(fd, MNBENCH_LIST, 1, NULL, 0, 0);
	op_age(nothing);
	close(fd);
	phase = "young_1";
	fd = open_device();
	add(fd, MNBENCH_YOUNG, 1, NULL, 0, 0);
	op_idle();
	ioctl(fd, MNBENCH_CALLS);
	op_age(nothing);
	if (ioctl(fd, MNBENCH_CALLS) < PAGES)
		die("aging asks no subscriber");
	phase = "young_16";
	add(fd, MNBENCH_YOUNG, 15, NULL, 0, 0);
	op_idle();
	close(fd);

	intervals();
	many_registrations(1000);
	many_registrations(8000);
	registration(10);
	registration(1000);
	registration(10000);
	registration(65000);
}

/* A VM with @mem as its memory, and a guest that writes to each page of it. */
static int vcpu = -1;

static int touching_vm(int kvm)
{
	static const uint8_t code[] = {
		0xbf, 0, 0, 0x10, 0,			/* mov $0x100000, %edi */
		0xb9, PAGES & 0xff, PAGES >> 8, 0, 0,	/* mov $PAGES, %ecx */
		0xfe, 0x07,				/* incb (%edi) */
		0x81, 0xc7, 0, 0x10, 0, 0,		/* add $0x1000, %edi */
		0xe2, 0xf6,				/* loop to incb */
		0xf4,					/* hlt */
		0xeb, 0xe9,				/* jmp to the beginning */
	};
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = 0x100000, .memory_size = PAGES * PAGE,
		.userspace_addr = (uintptr_t)mem,
	};
	struct kvm_userspace_memory_region text = { .slot = 1, .memory_size = PAGE };
	char *page = map(NULL, PAGE, 0);
	struct kvm_segment flat = { .limit = ~0u, .s = 1, .present = 1, .db = 1, .g = 1 };
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);

	memcpy(page, code, sizeof(code));
	text.userspace_addr = (uintptr_t)page;
	if (vm < 0 || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) ||
	    ioctl(vm, KVM_SET_USER_MEMORY_REGION, &text))
		die("a VM");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	if (vcpu < 0 || ioctl(vcpu, KVM_GET_SREGS, &sregs))
		die("a vCPU");
	/* Protected mode, without paging. */
	sregs.cr0 |= 1;
	flat.type = 3;
	flat.selector = 16;
	sregs.ds = sregs.es = sregs.ss = flat;
	flat.type = 11;
	flat.selector = 8;
	sregs.cs = flat;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		die("registers");
	return vm;
}

static void run_vm(void)
{
	static struct kvm_run *run;

	if (!run) {
		run = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
		if (run == MAP_FAILED)
			die("kvm_run");
	}
	if (ioctl(vcpu, KVM_RUN, 0) || run->exit_reason != KVM_EXIT_HLT)
		die("KVM_RUN");
}

/* @total processes, each with a VM that is closed at once, @at_once of them at a time. */
static void many_vms(int total, int at_once)
{
	static char name[32];
	uint64_t t = now_us();
	int i, running = 0, status;

	for (i = 0; i < total || running; ) {
		if (i < total && running < at_once) {
			if (!fork()) {
				int kvm = open("/dev/kvm", O_RDWR);
				int vm = ioctl(kvm, KVM_CREATE_VM, 0);

				_exit(vm < 0 ? 1 : (close(vm), 0));
			}
			i++;
			running++;
			continue;
		}
		wait(&status);
		if (status)
			die("KVM_CREATE_VM");
		running--;
	}
	snprintf(name, sizeof(name), "%d_at_a_time", at_once);
	phase = name;
	result("a process with a VM, ns", (now_us() - t) * 1000 / total);
}

static void bench_kvm(void)
{
	int kvm = open("/dev/kvm", O_RDWR), vm;
	char *before;

	if (kvm < 0)
		die("/dev/kvm");
	phase = "no_vm";
	ops();
	op_age(nothing);
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		die("KVM_CREATE_VM");
	phase = "vm";
	ops();
	close(vm);
	before = malloc(PAGES);
	for (int i = 0; i < PAGES; i++)
		before[i] = mem[i * PAGE];
	vm = touching_vm(kvm);
	run_vm();
	for (int i = 0; i < PAGES; i++)
		if (mem[i * PAGE] != (char)(before[i] + 1))
			die("the guest did not touch its memory");
	phase = "vm_ran";
	op_age(run_vm);
	close(vcpu);
	close(vm);
	sleep(15);
	phase = "after_vm";
	ops();
	many_vms(100, 1);
	many_vms(200, 8);
	many_vms(400, 64);
}

/* The same in wall time; bin/bench alternates the kernels. */
static void bench_vms(void)
{
	many_vms(50, 1);
	many_vms(100, 1);
	many_vms(200, 8);
	many_vms(1000, 64);
}

/* Waiting, in wall time. */

static void slow_child(int fd, int ms)
{
	add(open_device(), MNBENCH_SLOW, 1, spot, ms, 0);
	touch(spot, 1);
	ready(fd);
	madvise(spot, PAGE, MADV_DONTNEED);
}

static pid_t slow_process(int ms)
{
	pid_t pid = start_child(slow_child, ms);

	/* It is asleep in its callback. */
	usleep(50000);
	return pid;
}

/* @slow: while a callback of another process sleeps. */
static uint64_t unregister_us(int slow)
{
	/* Before the descriptor is there to be inherited. */
	pid_t pid = slow ? slow_process(1000) : 0;
	int fd = open_device();
	uint64_t t;

	add(fd, MNBENCH_LIST, 1, NULL, 0, 0);
	t = now_us();
	close(fd);
	t = now_us() - t;
	if (pid)
		waitpid(pid, NULL, 0);
	return t;
}

static uint64_t exit_us(int slow)
{
	int pipes[2], done[2];
	pid_t pid = 0, c;
	uint64_t t;
	char b;

	if (pipe(pipes) || pipe(done))
		die("pipe");
	c = fork();
	if (!c) {
		add(open_device(), MNBENCH_LIST, 1, NULL, 0, 0);
		if (write(done[1], "", 1) != 1 || read(pipes[0], &b, 1) != 1)
			die("pipe");
		_exit(0);
	}
	if (read(done[0], &b, 1) != 1)
		die("read");
	if (slow)
		pid = slow_process(1000);
	t = now_us();
	if (write(pipes[1], "", 1) != 1)
		die("write");
	waitpid(c, NULL, 0);
	t = now_us() - t;
	if (pid)
		waitpid(pid, NULL, 0);
	close(pipes[0]), close(pipes[1]), close(done[0]), close(done[1]);
	return t;
}

static uint64_t close_vm_us(int slow)
{
	pid_t pid = slow ? slow_process(1000) : 0;
	int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
	uint64_t t;

	if (vm < 0)
		die("KVM_CREATE_VM");
	t = now_us();
	close(vm);
	t = now_us() - t;
	if (pid)
		waitpid(pid, NULL, 0);
	close(kvm);
	return t;
}

static void median(const char *what, uint64_t (*fn)(int), int arg, const char *name, int n)
{
	char worst[64];
	uint64_t v[32], x;
	int i, j;

	for (i = 0; i < n; i++) {
		x = fn(arg);
		for (j = i; j && v[j - 1] > x; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
	phase = name;
	result(what, v[n / 2]);
	snprintf(worst, sizeof(worst), "%s, worst", what);
	result(worst, v[n - 1]);
}

/* Threads that change page tables as fast as they can, each its own VMA. */
struct hammer {
	pthread_t thread;
	volatile int *go;
	uint64_t ops;
	int cow;
	int cpu;
};

static void *hammer(void *arg)
{
	struct hammer *h = arg;
	cpu_set_t set;
	char *p;

	CPU_ZERO(&set);
	CPU_SET(h->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	/* A guard page on either side: VMAs of different threads must not merge. */
	p = map(NULL, 3 * PAGE, 0);
	mprotect(p, PAGE, PROT_NONE);
	mprotect(p + 2 * PAGE, PAGE, PROT_NONE);
	if (h->cow) {
		int fd = open("/mnt/file", O_RDWR);

		p = mmap(p + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, PAGE);
		if (p == MAP_FAILED)
			die("mmap");
		close(fd);
	} else {
		p += PAGE;
	}
	while (*h->go == 0)
		sched_yield();
	while (*h->go == 1) {
		if (h->cow)
			(void)*(volatile char *)p;
		*(volatile char *)p = 1;
		madvise(p, PAGE, MADV_DONTNEED);
		h->ops++;
	}
	return NULL;
}

static void start_hammers(struct hammer *h, volatile int *go, int n, int cow)
{
	for (int i = 0; i < n; i++) {
		h[i] = (struct hammer){ .go = go, .cow = cow, .cpu = i };
		if (pthread_create(&h[i].thread, NULL, hammer, &h[i]))
			die("pthread_create");
	}
	usleep(50000);
	*go = 1;
}

static uint64_t stop_hammers(struct hammer *h, volatile int *go, int n)
{
	uint64_t ops = 0;

	*go = 2;
	for (int i = 0; i < n; i++) {
		pthread_join(h[i].thread, NULL);
		ops += h[i].ops;
	}
	*go = 0;
	return ops;
}

static uint64_t unregister_beside_two(int arg)
{
	static volatile int go;
	struct hammer h[2];
	uint64_t t;

	(void)arg;
	start_hammers(h, &go, 2, 0);
	t = unregister_us(0);
	stop_hammers(h, &go, 2);
	return t;
}

/* Nanoseconds of an operation for each of the threads, with a list subscriber there. */
static uint64_t ns_per_op(int threads, int cow)
{
	static volatile int go;
	struct hammer h[2];
	uint64_t t;

	start_hammers(h, &go, threads, cow);
	t = now_us();
	usleep(300000);
	t = now_us() - t;
	return t * 1000 * threads / (stop_hammers(h, &go, threads) ?: 1);
}

static uint64_t dontneed_ns(int threads)
{
	return ns_per_op(threads, 0);
}

static uint64_t cow_ns(int threads)
{
	return ns_per_op(threads, 1);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* 200 times under a timer's signal, 1 kHz, with 10,000 VMAs: how many fail? */
static void under_signals(int vm)
{
	struct itimerval it = { { 0, 1000 }, { 0, 1000 } };
	struct sigaction sa = { .sa_handler = on_alarm };
	int i, fd, failed = 0, kvm = -1;
	struct mnbench_add a = { .kind = MNBENCH_LIST, .nr = 1 };

	many_vmas(10000);
	if (vm)
		kvm = open("/dev/kvm", O_RDWR);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	for (i = 0; i < 200; i++) {
		if (vm) {
			fd = ioctl(kvm, KVM_CREATE_VM, 0);
			failed += fd < 0;
		} else {
			fd = open("/dev/mnbench", O_RDWR);
			failed += fd < 0 || ioctl(fd, MNBENCH_ADD, &a);
		}
		if (fd >= 0)
			close(fd);
	}
	memset(&it, 0, sizeof(it));
	setitimer(ITIMER_REAL, &it, NULL);
	phase = "of_200";
	result(vm ? "KVM_CREATE_VM under signals, failed" : "register under signals, failed",
	       failed);
}

/* @n processes, each @rounds times: register and go, with 3,000 VMAs. */
static uint64_t at_once(int n, int rounds)
{
	int pipes[2], i, j;
	uint64_t t;

	if (pipe(pipes))
		die("pipe");
	for (i = 0; i < n; i++) {
		if (fork())
			continue;
		char c;
		struct mnbench_add a = { .kind = MNBENCH_LIST, .nr = 1 };

		many_vmas(3000);
		close(pipes[1]);
		if (read(pipes[0], &c, 1))
			die("read");
		for (j = 0; j < rounds; j++) {
			int fd = open_device();

			try_add(fd, &a);
			close(fd);
		}
		_exit(0);
	}
	usleep(n * 1000000);
	t = now_us();
	close(pipes[0]);
	close(pipes[1]);
	while (wait(NULL) > 0)
		;
	return now_us() - t;
}

static void bench_wait(void)
{
	int kvm = !access("/dev/kvm", F_OK);
	uint64_t one, two;

	/*
	 * For all the time a subscriber and a VM: nothing is patched then.  QEMU 7.2
	 * sometimes executes an int3 that has been patched away by another CPU.
	 */
	add(open_device(), MNBENCH_LIST, 1, NULL, 0, 0);
	if (kvm && ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0) < 0)
		die("KVM_CREATE_VM");
	median("unregister, us", unregister_us, 0, "idle", 31);
	median("unregister, us", unregister_us, 1, "slow_callback_elsewhere", 5);
	median("unregister, us", unregister_beside_two, 0, "beside_two_threads", 31);
	median("exit, us", exit_us, 0, "idle", 11);
	median("exit, us", exit_us, 1, "slow_callback_elsewhere", 5);
	if (kvm) {
		median("closing a VM, us", close_vm_us, 0, "idle", 11);
		median("closing a VM, us", close_vm_us, 1, "slow_callback_elsewhere", 5);
	}
	median("MADV_DONTNEED, ns", dontneed_ns, 1, "1_thread", 11);
	median("MADV_DONTNEED, ns", dontneed_ns, 2, "2_threads", 11);
	median("CoW fault, ns", cow_ns, 1, "1_thread", 11);
	median("CoW fault, ns", cow_ns, 2, "2_threads", 11);
	/* Each registration is to be the mm's first. */
	if (!access(LINGER, F_OK))
		write_file(LINGER, "0");
	one = at_once(1, 50);
	two = at_once(2, 50);
	if (!access(LINGER, F_OK))
		write_file(LINGER, "1000");
	phase = "2_of_1";
	result("registrations at once, percent of one", two * 100 / one);
	if (!fork()) {
		under_signals(0);
		_exit(0);
	}
	wait(NULL);
	if (kvm) {
		if (!fork()) {
			under_signals(1);
			_exit(0);
		}
		wait(NULL);
	}
}

/* Memory. */

static uint64_t used(void)
{
	char line[128];
	unsigned long long n, sum = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Slab: %llu", &n) == 1 ||
		    sscanf(line, "Percpu: %llu", &n) == 1)
			sum += n;
	fclose(f);
	return sum * 1024;
}

/*
 * What @nr subscribers (@kind < 0: a VM) in each of 1,000 processes take, by process,
 * but for @base.
 * Slabs are taken and kept as a whole: a figure can be wrong by some 100 bytes.
 */
static uint64_t memory(int kind, int nr, uint64_t base)
{
	enum { PROCESSES = 1000 };
	static pid_t pid[PROCESSES];
	uint64_t before, after;
	int go[2], done[2], i;
	char c;

	if (pipe(go) || pipe(done))
		die("pipe");
	for (i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		int fd = open_device();

		if (write(done[1], "", 1) != 1 || read(go[0], &c, 1) != 1)
			die("pipe");
		if (kind < 0)
			i = ioctl(open("/dev/kvm", O_RDWR), KVM_CREATE_VM, 0);
		else
			add(fd, kind, nr, spot, PAGE, PAGE);
		if (i < 0)
			die("KVM_CREATE_VM");
		if (write(done[1], "", 1) != 1)
			die("write");
		pause();
	}
	for (i = 0; i < PROCESSES; i++)
		if (read(done[0], &c, 1) != 1)
			die("read");
	sleep(1);
	before = used();
	for (i = 0; i < PROCESSES; i++)
		if (write(go[1], "", 1) != 1 || read(done[0], &c, 1) != 1)
			die("pipe");
	after = used();
	for (i = 0; i < PROCESSES; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
	close(go[0]), close(go[1]), close(done[0]), close(done[1]);
	sleep(3);
	return after > before + base * PROCESSES ?
	       (after - before) / PROCESSES - base : 0;
}

static void bench_memory(void)
{
	uint64_t one;

	phase = "list";
	one = memory(MNBENCH_LIST, 1, 0);
	result("bytes, first", one);
	result("bytes, 16 further", memory(MNBENCH_LIST, 17, one));
	phase = "interval";
	one = memory(MNBENCH_INTERVAL, 1, 0);
	result("bytes, first", one);
	result("bytes, 16 further", memory(MNBENCH_INTERVAL, 17, one));
	if (!access("/dev/kvm", F_OK)) {
		phase = "vm";
		result("bytes", memory(-1, 1, 0));
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	set_up();
	if (!strcmp(what, "ops"))
		bench_ops();
	else if (!strcmp(what, "kvm"))
		bench_kvm();
	else if (!strcmp(what, "wait"))
		bench_wait();
	else if (!strcmp(what, "vms"))
		bench_vms();
	else if (!strcmp(what, "memory"))
		bench_memory();
	else
		die("bench ops|kvm|wait|vms|memory");
	return 0;
}
