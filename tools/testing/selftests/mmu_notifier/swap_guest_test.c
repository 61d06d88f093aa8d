// SPDX-License-Identifier: GPL-2.0-only
/*
 * A KVM guest whose memory is swapped out and back while it runs.
 *
 * A memory cgroup holds this process to a fraction of the guest's memory. In
 * each round the guest verifies in every page what it wrote there in the round
 * before, and writes something new. At last the host does the same through its
 * own mapping, and the guest verifies what the host wrote. A page that went out
 * or came back without KVM being told would show: the guest would go on with
 * the old frame.
 *
 * The control (-b) shows that it would. From the host's turn on, the tap keeps
 * the notifications from KVM; the guest, which only reads then, so that it does
 * not write to frames that are no longer its own, has to find wrong pages.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kvm_util.h"
#include "processor.h"
#include "test_util.h"
#include "gup_test.h"
#include "tests/mmu_notifier_tap.h"

#define PAGE		4096ul
#define GUEST_BASE	0x40000000ul
#define GUEST_SLOT	10
#define WORDS		8
#define CGROUP		"/sys/fs/cgroup/mmu_notifier"
#define SELFCHECK_PAGES	16

/* What the guest shall do next: 0 for a round means not to. */
static struct {
	uint64_t pages;
	uint64_t verify;
	uint64_t write;
} task;

static uint64_t pattern(uint64_t page, uint64_t round, uint64_t word)
{
	uint64_t x = page << 20 ^ round << 8 ^ word;

	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

/* One word in each eighth of a page, at a place that differs between pages. */
static volatile uint64_t *place(void *mem, uint64_t page, uint64_t word)
{
	uint64_t *p = mem + page * PAGE;

	return p + word * 64 + page % 64;
}

static uint64_t visit(void *mem, uint64_t pages, uint64_t verify, uint64_t write)
{
	uint64_t page, word, mismatches = 0;

	for (page = 0; page < pages; page++) {
		bool bad = false;

		for (word = 0; word < WORDS; word++) {
			volatile uint64_t *p = place(mem, page, word);

			if (verify && *p != pattern(page, verify, word))
				bad = true;
			if (write)
				*p = pattern(page, write, word);
		}
		mismatches += bad;
	}
	return mismatches;
}

static void guest_code(void)
{
	for (;;) {
		uint64_t pages = READ_ONCE(task.pages);
		uint64_t verify = READ_ONCE(task.verify);
		uint64_t write = READ_ONCE(task.write);

		GUEST_SYNC2(verify, visit((void *)GUEST_BASE, pages, verify, write));
	}
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* The number behind @name, at the beginning of a line of @file. */
static uint64_t value(const char *file, const char *name)
{
	size_t len = strlen(name);
	uint64_t ret = 0;
	char line[256];
	FILE *f = fopen(file, "r");
	bool found = false;

	TEST_ASSERT(f, "cannot open %s", file);
	while (!found && fgets(line, sizeof(line), f)) {
		found = !strncmp(line, name, len) &&
			(line[len] == ' ' || line[len] == ':');
		if (found)
			ret = strtoull(line + len + 1, NULL, 10);
	}
	fclose(f);
	TEST_ASSERT(found, "no %s in %s", name, file);
	return ret;
}

static uint64_t vmstat(const char *name)
{
	return value("/proc/vmstat", name);
}

static void put(const char *file, uint64_t number)
{
	FILE *f = fopen(file, "w");

	TEST_ASSERT(f, "cannot open %s", file);
	fprintf(f, "%lu\n", number);
	TEST_ASSERT(!fclose(f), "cannot write %lu to %s", number, file);
}

/* FOLL_PIN references that have not been given back yet, in the whole system. */
static uint64_t foll_pins(void)
{
	/* The two counters drift apart by what is still in per-CPU batches. */
	put("/proc/sys/vm/stat_refresh", 1);
	return vmstat("nr_foll_pin_acquired") - vmstat("nr_foll_pin_released");
}

static uint64_t count_pinned(int tap, void *mem, uint64_t pages)
{
	struct mmu_notifier_tap_pinned p = {
		.addr = (uintptr_t)mem,
		.len = pages * PAGE,
	};

	TEST_ASSERT(!ioctl(tap, MMU_NOTIFIER_TAP_PINNED, &p), "PINNED");
	return p.pinned;
}

/* "0 pages pinned" means something only if pinned pages would be counted. */
static void check_pin_counter(int tap)
{
	struct pin_longterm_test pin = { .size = SELFCHECK_PAGES * PAGE };
	int gup = open("/sys/kernel/debug/gup_test", O_RDWR);
	uint64_t before, during, after;
	void *mem;

	TEST_ASSERT(gup >= 0, "cannot open gup_test: CONFIG_GUP_TEST and debugfs?");
	mem = mmap(NULL, 2 * pin.size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	TEST_ASSERT(mem != MAP_FAILED, "mmap");

	before = count_pinned(tap, mem, 2 * SELFCHECK_PAGES);
	pin.addr = (uintptr_t)mem;
	pin.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE;
	TEST_ASSERT(!ioctl(gup, PIN_LONGTERM_TEST_START, &pin), "pin");
	during = count_pinned(tap, mem, 2 * SELFCHECK_PAGES);
	TEST_ASSERT(!ioctl(gup, PIN_LONGTERM_TEST_STOP), "unpin");
	after = count_pinned(tap, mem, 2 * SELFCHECK_PAGES);

	TEST_ASSERT(!before && during == SELFCHECK_PAGES && !after,
		    "of %u pages pinned for a while, the tap counted %lu, %lu, %lu",
		    SELFCHECK_PAGES, before, during, after);
	munmap(mem, 2 * pin.size);
	close(gup);
}

/* Invalidations of reclaim in the background end soon: wait until none is in flight. */
static struct mmu_notifier_tap_stats settled_stats(int tap)
{
	struct mmu_notifier_tap_stats stats;
	int try;

	for (try = 0; try < 200; try++) {
		TEST_ASSERT(!ioctl(tap, MMU_NOTIFIER_TAP_STATS, &stats), "STATS");
		if (!stats.open)
			break;
		usleep(10000);
	}
	return stats;
}

static void run_in_cgroup(uint64_t high)
{
	TEST_ASSERT(!mkdir(CGROUP, 0755) || errno == EEXIST, "mkdir " CGROUP);
	put(CGROUP "/memory.high", high);
	put(CGROUP "/cgroup.procs", getpid());
}

/* One run of the test, as far as it has come. */
struct run {
	int tap;
	void *mem;
	uint64_t pages;
	uint64_t swpout0;
	uint64_t swpin0;
	double start;
	uint64_t verified;
	uint64_t mismatches;
	uint64_t pinned;
};

static uint64_t swapped_out(const struct run *run)
{
	return vmstat("pswpout") - run->swpout0;
}

static uint64_t swapped_in(const struct run *run)
{
	return vmstat("pswpin") - run->swpin0;
}

static void account(struct run *run, const char *who, uint64_t round,
		    uint64_t verified, uint64_t bad)
{
	run->verified += verified;
	run->mismatches += bad;
	run->pinned += count_pinned(run->tap, run->mem, run->pages);
	printf("%-5s %lu: %7lu pages verified, %lu wrong; ", who, round, verified, bad);
	printf("swapped out %7lu, in %7lu; VmSwap %6lu kB; %5.1f s\n", swapped_out(run),
	       swapped_in(run), value("/proc/self/status", "VmSwap"), now() - run->start);
}

static uint64_t guest_turn(struct kvm_vm *vm, struct kvm_vcpu *vcpu,
			   uint64_t verify, uint64_t write)
{
	struct ucall uc;

	task.verify = verify;
	task.write = write;
	sync_global_to_guest(vm, task);
	vcpu_run(vcpu);
	TEST_ASSERT(get_ucall(vcpu, &uc) == UCALL_SYNC && uc.args[0] == verify,
		    "the guest stopped elsewhere: ucall %lu", uc.cmd);
	return uc.args[1];
}

static int result_pipe[2];

/*
 * Tearing down a virtual machine with stale entries marks pages dirty that have
 * long been freed, and may bring the kernel down before the result is known.
 * So the control runs in a child that hands the result over and then stays, until
 * the machine is switched off.
 */
static void fork_control(void)
{
	unsigned char result;
	pid_t pid;

	TEST_ASSERT(!pipe(result_pipe), "pipe");
	fflush(stdout);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork");
	if (!pid) {
		close(result_pipe[0]);
		return;
	}
	close(result_pipe[1]);
	if (read(result_pipe[0], &result, 1) == 1)
		_exit(result);
	printf("control: died before it had a result\n");
	exit(1);
}

static void __noreturn leave_result(unsigned char result)
{
	TEST_ASSERT(write(result_pipe[1], &result, 1) == 1, "write");
	for (;;)
		pause();
}

static int failures;

static void require(bool ok, const char *what)
{
	if (ok)
		return;
	printf("failed: %s\n", what);
	failures++;
}

static void row(const char *name, uint64_t number)
{
	printf("%-20s %10lu\n", name, number);
}

static void help(const char *name)
{
	printf("%s [-m MiB] [-r rounds] [-p percent] [-b]\n", name);
	printf("  -m  guest memory\n  -p  of it may be in RAM\n  -b  control: KVM is not told\n");
	exit(1);
}

int main(int argc, char **argv)
{
	uint64_t mib = 32, rounds = 3, percent = 30, round, bad, pins, aging;
	struct mmu_notifier_tap_stats stats;
	struct run run = {};
	bool control = false;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	int opt;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt(argc, argv, "m:r:p:b")) > 0) {
		switch (opt) {
		case 'm':
			mib = strtoull(optarg, NULL, 10);
			break;
		case 'r':
			rounds = strtoull(optarg, NULL, 10);
			break;
		case 'p':
			percent = strtoull(optarg, NULL, 10);
			break;
		case 'b':
			control = true;
			break;
		default:
			help(argv[0]);
		}
	}
	if (optind != argc || !mib || mib > 1024 || !rounds || !percent || percent > 99)
		help(argv[0]);

	if (control)
		fork_control();
	run_in_cgroup((mib << 20) * percent / 100);

	run.pages = (mib << 20) / PAGE;
	task.pages = run.pages;
	vm = __vm_create_with_one_vcpu(&vcpu, run.pages, guest_code);
	vm_userspace_mem_region_add(vm, VM_MEM_SRC_ANONYMOUS, GUEST_BASE,
				    GUEST_SLOT, run.pages, 0);
	virt_map(vm, GUEST_BASE, GUEST_BASE, run.pages);
	run.mem = addr_gpa2hva(vm, GUEST_BASE);

	run.tap = open("/dev/mmu_notifier_tap", O_RDWR | O_CLOEXEC);
	TEST_ASSERT(run.tap >= 0, "cannot open the tap");
	check_pin_counter(run.tap);
	TEST_ASSERT(!ioctl(run.tap, MMU_NOTIFIER_TAP_ATTACH), "ATTACH");

	run.swpout0 = vmstat("pswpout");
	run.swpin0 = vmstat("pswpin");
	run.start = now();
	pins = foll_pins();

	for (round = 1; round <= rounds; round++) {
		bad = guest_turn(vm, vcpu, round - 1, round);
		account(&run, "guest", round, round > 1 ? run.pages : 0, bad);
	}

	if (control) {
		/*
		 * The guest's code, stack and page tables must survive, or it
		 * fails before it has verified anything.
		 */
		struct userspace_mem_region *own = memslot2region(vm, 0);

		TEST_ASSERT(!mlock(own->host_mem, own->region.memory_size), "mlock");
		TEST_ASSERT(!ioctl(run.tap, MMU_NOTIFIER_TAP_BUST,
				   MMU_NOTIFIER_TAP_KEEP_UNMAP), "BUST");
	}

	bad = visit(run.mem, run.pages, rounds, round);
	account(&run, "host", round, run.pages, bad);
	bad = guest_turn(vm, vcpu, round, 0);
	account(&run, "guest", round, run.pages, bad);

	if (control) {
		if (bad)
			printf("control: caught (%lu mismatches)\n", bad);
		else
			printf("control: NOT caught, a lost page would go unnoticed\n");
		leave_result(!bad);
	}

	stats = settled_stats(run.tap);
	aging = stats.clear_flush_young + stats.clear_young + stats.test_young;
	pins = foll_pins() - pins;
	row("guest pages", run.pages);
	row("pages swapped out", swapped_out(&run));
	row("pages swapped in", swapped_in(&run));
	row("starts", stats.starts);
	row("ends", stats.ends);
	row("aging calls", aging);
	row("pages verified", run.verified);
	row("pages pinned", run.pinned + pins);
	row("mismatches", run.mismatches);

	require(!run.mismatches, "guest memory was lost");
	require(!run.pinned && !pins, "pages were pinned");
	require(swapped_out(&run) >= run.pages,
		"fewer pages went out than the guest has, this proves nothing");
	require(swapped_in(&run), "no page came back, this proves nothing");
	require(stats.starts, "no start, this proves nothing");
	require(aging, "no aging call, this proves nothing");
	require(stats.starts == stats.ends && !stats.unpaired && !stats.failed,
		"starts and ends do not pair");

	/* The tap sees the release that closing the VM brings. */
	kvm_vm_free(vm);
	TEST_ASSERT(!ioctl(run.tap, MMU_NOTIFIER_TAP_STATS, &stats), "STATS");
	require(stats.released == 1, "not exactly one release");
	close(run.tap);

	printf("swapped guest: %s\n", failures ? "FAILED" : "passed");
	return !!failures;
}
