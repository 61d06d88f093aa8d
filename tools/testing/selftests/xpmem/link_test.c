// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of a process on one host, used by a process on another, while it is swapped
 * out again and again: samples/xpmem/xpmem_link.c.  bin/hosts runs this on both.
 *
 * A word with an even index belongs to the exporter, one with an odd index to the
 * importer.  Each value tells whose it is, where and of which round.  In a round the
 * exporter writes its words, then the importer compares all words, writes its own,
 * and compares all again; then the exporter does.  Meanwhile a thread of the exporter
 * pages out what it can.  The rounds are agreed on in memory that is in no danger: the
 * mailbox.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "xpmem_link.h"

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT	21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define PAGE		4096UL
#define WORDS		(PAGE / sizeof(__u64))
#define HUGE		(2UL << 20)
#define EXPORTER	0
#define IMPORTER	1

/* In the mailbox.  Each member has one writer. */
struct ctl {
	/* exporter */
	__u32 scene;		/* its segment is open; written last */
	__u32 go;		/* the importer's turn, in this round */
	__u32 touch;		/* nothing is paged out: it is to map everything */
	/* importer */
	__u32 done;
	__u32 touched;
	__u64 words, wrong;
	struct xpmem_link_stats stats;
};

static struct {
	const char *name;
	unsigned int scene, rounds, seed, seconds;
	size_t pages;
	bool huge, control, death, asleep, lossy;
} opt = { .name = "plain", .scene = 1, .rounds = 4, .pages = 1024, .seed = 1, .seconds = 480 };

static volatile struct ctl *ctl;
static volatile __u64 *mem;
static int dev, pagemap;
static __u64 words, wrong;
static sigjmp_buf left;
static volatile sig_atomic_t leaving;

static void die(const char *format, ...)
{
	va_list args;

	printf("scene %s: fail: ", opt.name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

static void on_signal(int nr)
{
	static char text[128];
	int len;

	if (nr == SIGBUS && leaving)
		siglongjmp(left, 1);
	len = snprintf(text, sizeof(text), "scene %s: fail: %s\n", opt.name,
		       nr == SIGALRM ? "no end" : "SIGBUS, the other host does not answer");
	_exit(write(1, text, len) == len ? 2 : 3);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static __u64 mix(__u64 x)
{
	x ^= x >> 31;
	x *= 0x7fb5d329728ea185ULL;
	x ^= x >> 27;
	x *= 0x81dadef4bc2dd44dULL;
	return x ^ x >> 33;
}

static __u64 value(int who, unsigned int round, size_t word)
{
	return mix(((__u64)opt.scene << 56 | (__u64)round << 33 | word) * 2 + who);
}

static __u64 draw(__u64 *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return mix(*state);
}

static void xlink_stats(struct xpmem_link_stats *s)
{
	if (ioctl(dev, XPMEM_LINK_STATS, s))
		die("STATS: %s", strerror(errno));
}

static void put(int who, unsigned int round, size_t word)
{
	mem[word] = value(who, round, word);
}

static void check(int who, unsigned int round, size_t word)
{
	__u64 is = mem[word];

	words++;
	if (is == value(who, round, word))
		return;
	if (!wrong++)
		printf("scene %s: page %zu word %zu is %016jx, the %s's of round %u is %016jx%s\n",
		       opt.name, word / WORDS, word % WORDS, (uintmax_t)is,
		       who ? "importer" : "exporter", round,
		       (uintmax_t)value(who, round, word),
		       round && is == value(who, round - 1, word) ?
		       "; it is that of the round before" : "");
}

static void check_page(int who, unsigned int round, size_t page)
{
	size_t i;

	for (i = who; i < WORDS; i += 2)
		check(who, round, page * WORDS + i);
}

static void wait_for(volatile __u32 *what, __u32 value)
{
	while (__atomic_load_n(what, __ATOMIC_ACQUIRE) != value)
		usleep(500);
}

static void post(volatile __u32 *what, __u32 value)
{
	__atomic_store_n(what, value, __ATOMIC_RELEASE);
}

/* The importer. */

static void import_round(unsigned int round)
{
	__u64 state = (__u64)opt.seed << 32 | round;
	size_t start = draw(&state), i, page, word;

	/* All pages, in an order that no readahead expects. */
	for (i = 0; i < opt.pages; i++) {
		page = (start + i * 389) % opt.pages;
		word = page * WORDS + 1;
		if (opt.control) {
			/* Only reads: what it still maps may have another owner by now. */
			check_page(EXPORTER, round, page);
			continue;
		}
		/* The first access to every other page is a write. */
		if (page & 1)
			put(IMPORTER, round, word);
		check_page(EXPORTER, round, page);
		for (; word < (page + 1) * WORDS; word += 2) {
			/* Not to be done before the page is taken away. */
			if (word % WORDS == WORDS / 2 + 1)
				usleep(1000);
			if (!(page & 1) || word % WORDS != 1)
				check(IMPORTER, round - 1, word);
			put(IMPORTER, round, word);
		}
	}
	for (page = 0; page < opt.pages; page++) {
		check_page(EXPORTER, round, page);
		if (!opt.control)
			check_page(IMPORTER, round, page);
	}
}

static int import(void)
{
	struct xpmem_link_import arg = { .len = opt.pages * PAGE };
	struct xpmem_link_stats s;
	unsigned int round;
	size_t page;
	double begin;

	wait_for(&ctl->scene, opt.scene);
	if (ioctl(dev, XPMEM_LINK_IMPORT, &arg))
		die("IMPORT: %s", strerror(errno));
	mem = mmap(NULL, opt.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev, 0);
	if (mem == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	for (round = 1; round <= opt.rounds; round++) {
		wait_for(&ctl->go, round);
		begin = now();
		if (opt.death && round == opt.rounds) {
			/* To the death.  The exporter checks its own words only. */
			post(&ctl->done, round);
			for (;;)
				import_round(round);
		}
		import_round(round);
		xlink_stats(&s);
		printf("scene %s: round %u: %ju words compared, %ju wrong; ",
		       opt.name, round, (uintmax_t)words, (uintmax_t)wrong);
		printf("%ju fetches, %ju of them upgrades, %ju invalidations; %.1f s\n",
		       (uintmax_t)s.stat[LINK_FETCHES], (uintmax_t)s.stat[LINK_UPGRADES],
		       (uintmax_t)s.stat[LINK_INVALIDATIONS], now() - begin);
		fflush(stdout);
		ctl->words = words;
		ctl->wrong = wrong;
		memcpy((void *)&ctl->stats, &s, sizeof(s));
		post(&ctl->done, round);
		wait_for(&ctl->touch, round);
		for (page = 0; page < opt.pages; page++)
			check(EXPORTER, round, page * WORDS);
		post(&ctl->touched, round);
	}
	/* The exporter leaves first: what it has shared is gone then. */
	wait_for(&ctl->go, opt.rounds + 1);
	if (!sigsetjmp(left, 1)) {
		leaving = 1;
		for (begin = now(); now() - begin < 15; usleep(1000))
			check(EXPORTER, opt.rounds, 0);
		die("the exporter has left, its memory has not");
	}
	if (opt.control && !wrong)
		die("nothing was invalidated, and it went unnoticed");
	if (!opt.control && wrong)
		die("%ju of %ju words are wrong", (uintmax_t)wrong, (uintmax_t)words);
	return 0;
}

/* The exporter. */

static pthread_mutex_t paging = PTHREAD_MUTEX_INITIALIZER;
static bool paging_stop;
static __u64 paged, collapsed;

static size_t swapped(size_t first, size_t nr)
{
	static __u64 entries[1 << 16];
	size_t i, n = 0;

	if (pread(pagemap, entries, nr * sizeof(*entries),
		  ((uintptr_t)mem / PAGE + first) * sizeof(*entries)) !=
	    (ssize_t)(nr * sizeof(*entries)))
		die("pagemap: %s", strerror(errno));
	for (i = 0; i < nr; i++)
		n += entries[i] >> 62 & 1;
	return n;
}

static void page_out(size_t first, size_t nr)
{
	if (madvise((char *)mem + first * PAGE, nr * PAGE, MADV_PAGEOUT))
		die("MADV_PAGEOUT: %s", strerror(errno));
}

static void *pager(void *unused)
{
	__u64 state = opt.seed;

	while (!__atomic_load_n(&paging_stop, __ATOMIC_RELAXED)) {
		size_t nr = 1 + draw(&state) % 32;
		size_t first = draw(&state) % (opt.pages - nr + 1);

		pthread_mutex_lock(&paging);
		if (opt.huge && draw(&state) % 8 == 0) {
			first = first * PAGE / HUGE * HUGE;
			/* Fails where pages are on their way out, or in. */
			collapsed += !madvise((char *)mem + first, HUGE, MADV_COLLAPSE);
		} else {
			page_out(first, nr);
			paged += swapped(first, nr);
		}
		pthread_mutex_unlock(&paging);
		usleep(2000);
	}
	return unused;
}

/*
 * All of it.  Returns how many pages at least the importer mapped before and are in
 * swap now: what is in both of two sets that are together larger than the whole.
 */
static size_t page_out_all(size_t *out)
{
	struct xpmem_link_stats s;
	size_t marked, i;

	xlink_stats(&s);
	marked = s.stat[LINK_MARKED];
	for (i = 0, *out = 0; i < 5 && *out < opt.pages; i++) {
		page_out(0, opt.pages);
		*out = swapped(0, opt.pages);
	}
	return *out + marked > opt.pages ? *out + marked - opt.pages : 0;
}

static void export_death(void)
{
	struct xpmem_link_stats s;
	double begin = now(), took, longest = 0;
	size_t page, out;

	printf("scene %s: kill the importer now\n", opt.name);
	fflush(stdout);
	/* Meanwhile it maps pages, so that there is something to wait for. */
	usleep(1000000);
	do {
		took = now();
		page_out(0, opt.pages);
		took = now() - took;
		if (took > longest)
			longest = took;
		usleep(2000);
		xlink_stats(&s);
	} while (!s.stat[LINK_DEATHS] && now() - begin < 120);
	if (!s.stat[LINK_DEATHS])
		die("the importer's death went unnoticed");
	took = now();
	page_out_all(&out);
	took = now() - took;
	xlink_stats(&s);
	printf("scene %s: the longest page-out waited %.2f s; the one after it took %.2f s, ",
	       opt.name, longest, took);
	printf("%zu of %zu pages are in swap, %ju marked\n", out, opt.pages,
	       (uintmax_t)s.stat[LINK_MARKED]);
	for (page = 0; page < opt.pages; page++)
		check_page(EXPORTER, opt.rounds, page);
	if (out < opt.pages * 9 / 10 || took > 10 || s.stat[LINK_MARKED] || longest < 0.5)
		die("page-out is not what it was");
	if (wrong)
		die("%ju words are wrong", (uintmax_t)wrong);
}

/* The script stops the importer for as long as it takes to be given up. */
static void export_asleep(void)
{
	struct xpmem_link_stats s;
	double begin = now();
	size_t out;

	printf("scene %s: stop the importer now\n", opt.name);
	fflush(stdout);
	do {
		page_out(0, opt.pages);
		usleep(100000);
		xlink_stats(&s);
		if (now() - begin > 60)
			die("the importer's sleep went unnoticed");
	} while (!s.stat[LINK_DEATHS]);
	page_out_all(&out);
	printf("scene %s: given up; %zu of %zu pages in swap; wake the importer now\n",
	       opt.name, out, opt.pages);
	fflush(stdout);
	/* Nothing there touches the memory until its thread has read the mailbox. */
	sleep(3);
}

static void export_summary(__u64 remote)
{
	struct xpmem_link_stats s;
	const volatile __u64 *peer = ctl->stats.stat;

	xlink_stats(&s);
	printf("scene %s: %zu KiB, %u rounds: words compared: %ju here, %ju there, ",
	       opt.name, opt.pages * PAGE / 1024, opt.rounds, (uintmax_t)words,
	       (uintmax_t)ctl->words);
	printf("wrong: %ju here, %ju there\n", (uintmax_t)wrong, (uintmax_t)ctl->wrong);
	printf("scene %s: %ju pages in swap that had been mapped remotely, ",
	       opt.name, (uintmax_t)remote);
	printf("%ju by the pager; %ju unmapped by the importer; %ju collapses\n",
	       (uintmax_t)paged, (uintmax_t)s.stat[LINK_TAKEN], (uintmax_t)collapsed);
	printf("scene %s: %ju invalidations, %ju acks awaited, %ju resent, ", opt.name,
	       (uintmax_t)s.stat[LINK_INVALIDATIONS], (uintmax_t)s.stat[LINK_ACKS],
	       (uintmax_t)s.stat[LINK_RESENT]);
	printf("%ju non-blocking refused; %ju fetches, %ju looked up again, %ju resent\n",
	       (uintmax_t)s.stat[LINK_REFUSED], (uintmax_t)s.stat[LINK_FETCHES],
	       (uintmax_t)s.stat[LINK_RETRIES], (uintmax_t)peer[LINK_RESENT]);
	printf("scene %s: messages dropped: %ju here, %ju there; entries not write-back: %ju\n",
	       opt.name, (uintmax_t)s.stat[LINK_DROPPED], (uintmax_t)peer[LINK_DROPPED],
	       (uintmax_t)peer[LINK_UNCACHED]);
	if (wrong)
		die("%ju words are wrong", (uintmax_t)wrong);
	if (opt.control)
		return;
	if (ctl->wrong)
		die("%ju words were wrong there", (uintmax_t)ctl->wrong);
	if (!remote || !paged || !s.stat[LINK_TAKEN] || !peer[LINK_UPGRADES] ||
	    (!opt.asleep && s.stat[LINK_ACKS] != s.stat[LINK_INVALIDATIONS]))
		die("this has shown nothing");
	if (opt.lossy && (!s.stat[LINK_RESENT] || !peer[LINK_RESENT] ||
			  !s.stat[LINK_DROPPED] || !peer[LINK_DROPPED]))
		die("nothing was lost");
	if (opt.huge && !collapsed)
		die("nothing was collapsed");
}

static int export(void)
{
	struct xpmem_link_export arg = { .len = opt.pages * PAGE };
	__u64 remote = 0, state = opt.seed;
	pthread_t thread;
	unsigned int round;
	size_t page, i, out;
	double begin;
	char *map;

	pagemap = open("/proc/self/pagemap", O_RDONLY);
	map = mmap(NULL, opt.pages * PAGE + HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pagemap < 0 || map == MAP_FAILED)
		die("memory: %s", strerror(errno));
	mem = (void *)(((uintptr_t)map + HUGE - 1) & -HUGE);
	if (madvise((void *)mem, opt.pages * PAGE, opt.huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("madvise: %s", strerror(errno));
	for (i = 1; i < opt.pages * WORDS; i += 2)
		put(IMPORTER, 0, i);
	arg.vaddr = (uintptr_t)mem;
	if (ioctl(dev, XPMEM_LINK_EXPORT, &arg))
		die("EXPORT: %s", strerror(errno));
	ctl->go = 0;
	ctl->touch = 0;
	ctl->done = 0;
	ctl->touched = 0;
	post(&ctl->scene, opt.scene);

	if (pthread_create(&thread, NULL, pager, NULL))
		die("no thread");
	for (round = 1; round <= opt.rounds; round++) {
		begin = now();
		for (i = 0; i < opt.pages * WORDS; i += 2)
			put(EXPORTER, round, i);
		post(&ctl->go, round);
		while (__atomic_load_n(&ctl->done, __ATOMIC_ACQUIRE) != round) {
			/* Brings pages in while the importer fetches them. */
			check_page(EXPORTER, round, draw(&state) % opt.pages);
			usleep(500);
		}
		if (opt.death && round == opt.rounds)
			break;
		for (page = 0; page < opt.pages; page++) {
			check_page(EXPORTER, round, page);
			if (!opt.control)
				check_page(IMPORTER, round, page);
		}
		pthread_mutex_lock(&paging);
		post(&ctl->touch, round);
		wait_for(&ctl->touched, round);
		if (opt.asleep && round == 1)
			export_asleep();
		remote += page_out_all(&out);
		pthread_mutex_unlock(&paging);
		printf("scene %s: round %u: %ju words compared, %ju wrong; ",
		       opt.name, round, (uintmax_t)words, (uintmax_t)wrong);
		printf("%zu of %zu pages in swap now, %ju by the pager before; %.1f s\n",
		       out, opt.pages, (uintmax_t)paged, now() - begin);
		fflush(stdout);
	}
	__atomic_store_n(&paging_stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (opt.death) {
		export_death();
	} else {
		export_summary(remote);
		post(&ctl->go, opt.rounds + 1);
	}
	return 0;
}

static void usage(void)
{
	fputs("usage: link_test export|import [-n NAME] [-s SCENE] [-p PAGES] [-r ROUNDS]\n"
	      "	[-S SEED] [-t SECONDS] [-H: huge] [-c: control] [-d: death] [-a: asleep] [-l: lossy]\n",
	      stderr);
	exit(1);
}

int main(int argc, char **argv)
{
	bool exporter;
	int c;

	if (argc < 2 || (strcmp(argv[1], "export") && strcmp(argv[1], "import")))
		usage();
	exporter = !strcmp(argv[1], "export");
	optind = 2;
	while ((c = getopt(argc, argv, "n:s:p:r:S:t:Hcdal")) != -1) {
		switch (c) {
		case 'n':
			opt.name = optarg;
			break;
		case 's':
			opt.scene = atoi(optarg);
			break;
		case 'p':
			opt.pages = atoi(optarg);
			break;
		case 'r':
			opt.rounds = atoi(optarg);
			break;
		case 'S':
			opt.seed = atoi(optarg);
			break;
		case 't':
			opt.seconds = atoi(optarg);
			break;
		case 'H':
			opt.huge = true;
			break;
		case 'c':
			opt.control = true;
			break;
		case 'd':
			opt.death = true;
			break;
		case 'a':
			opt.asleep = true;
			break;
		case 'l':
			opt.lossy = true;
			break;
		default:
			usage();
		}
	}
	if (opt.pages < 64 || opt.pages > 1 << 16 || (opt.huge && opt.pages % 512))
		usage();
	signal(SIGALRM, on_signal);
	signal(SIGBUS, on_signal);
	alarm(opt.seconds);
	dev = open("/dev/xpmem_link", O_RDWR);
	if (dev < 0)
		die("/dev/xpmem_link: %s", strerror(errno));
	ctl = mmap(NULL, LINK_USER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, dev,
		   LINK_USER_OFFSET);
	if (ctl == MAP_FAILED)
		die("the mailbox: %s", strerror(errno));
	c = exporter ? export() : import();
	/* The driver's part of the end, too; a mapping would hold the file. */
	munmap((void *)ctl, LINK_USER_SIZE);
	if (!exporter)
		munmap((void *)mem, opt.pages * PAGE);
	close(dev);
	printf("scene %s: pass\n", opt.name);
	return c;
}
