// SPDX-License-Identifier: GPL-2.0-only
/*
 * Break each hook in turn, in the ways that its kind allows, and see whether it
 * is noticed: by the checker (CONFIG_DEBUG_MMU_NOTIFIER), by the mirror, by an
 * assertion of a self-test or by KUnit.
 *
 * run_mutants SCENARIOS EQUIVALENT [SITE]: each line of SCENARIOS is a command. All
 * are run once on the intact kernel, where they have to pass, to learn which
 * sites each passes; then each mutant gets the commands that pass its site, until
 * one notices. EQUIVALENT lists the mutants that cannot be
 * noticed, with the reason. SITE: only the sites whose name contains it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEBUGFS		"/sys/kernel/debug/"
#define MUTANTS		DEBUGFS "mmu_notifier_mutants/"
#define MAX_SITES	512
#define MAX_SCENARIOS	2048
#define MAX_TRIES	250
#define MAX_EQUIVALENT	256
/* A command hangs if it takes that long and three times what the intact kernel takes. */
#define HANGS_MS	20000

static const char * const kinds[] = {
	"none", "dropped", "a page short", "begins late", "ends early",
	"comes late", "weaker event", "end dropped", "broken", "a page too wide",
	"says UNMAP", "told twice",
};

#define KIND_HEAD	3
#define KIND_WEAK	6
#define KIND_OPEN	7
#define KIND_WIDE	9
#define KIND_UNMAP	10
#define NR_KINDS	12

/* What takes longer comes last. */
#define SLOW_MS		3000

struct site {
	char name[120];
	unsigned int kinds;
	long hits;
	unsigned long events;
	int longer;
	int bounded;
};

struct scenario {
	char command[200];
	char group[100];	/* of a test, which its variants have in common */
	int ms;
	int limit_ms;
	bool passes[MAX_SITES];
	bool noticed[MAX_SITES];	/* a mutant of the site */
	int round;		/* while it is sorted for a site */
};

struct equivalent {
	char name[120];
	int kind;
	char why[300];
};

static struct site sites[MAX_SITES];
static int nr_sites;
static struct scenario scenarios[MAX_SCENARIOS];
static int nr_scenarios;
static struct equivalent equivalent[MAX_EQUIVALENT];
static int nr_equivalent;

static void die(const char *what)
{
	fprintf(stderr, "run_mutants: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

static void choose(int site, int kind)
{
	char text[32];

	snprintf(text, sizeof(text), "%d %d", site, kind);
	put(MUTANTS "select", text);
}

static void read_sites(void)
{
	FILE *f = fopen(MUTANTS "sites", "r");
	struct site s;
	int n;

	if (!f)
		die(MUTANTS "sites");
	while (fscanf(f, "%d %119s %x %ld %lx %d %d", &n, s.name, &s.kinds,
		      &s.hits, &s.events, &s.longer, &s.bounded) == 7) {
		if (n >= MAX_SITES)
			die("too many sites");
		sites[n] = s;
		nr_sites = n;
	}
	fclose(f);
}

/* The number behind a word in a file; 0 if there is no such file. */
static long counter(const char *path, const char *word)
{
	FILE *f = fopen(path, "r");
	char name[64];
	long value, found = 0;

	while (f && fscanf(f, "%63s %ld", name, &value) == 2)
		if (!strcmp(name, word))
			found = value;
	if (f)
		fclose(f);
	return found;
}

static long reports(void)
{
	return counter(DEBUGFS "mmu_notifier_debug", "reports");
}

static long violations(void)
{
	return counter(DEBUGFS "mmu_notifier_mirror", "violations");
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/*
 * Run a command; its exit status, or -1 if it had to be killed. Left alone when
 * it cannot even be killed: a broken kernel may keep it for ever.
 */
static int run(struct scenario *s, bool until_reported)
{
	long before = reports();
	long long start = now_ms();
	int status, left = 20;
	pid_t pid = fork();
	bool killed = false;

	if (pid < 0)
		die("fork");
	if (!pid) {
		int fd = open("/tmp/mutant.out", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		setpgid(0, 0);
		dup2(fd, 1);
		dup2(fd, 2);
		execl("/bin/sh", "sh", "-c", s->command, NULL);
		_exit(127);
	}
	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		poll(NULL, 0, 3);
		if (killed && !left--)
			return -1;
		if (!killed && (now_ms() - start > s->limit_ms ||
				(until_reported && reports() > before &&
				 now_ms() - start > 1000))) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			killed = true;
		}
	}
	s->ms = now_ms() - start;
	if (killed || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void show_output(void)
{
	FILE *f = fopen("/tmp/mutant.out", "r");
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "Expected") || strstr(line, "not ok"))
			printf("\t%s", line);
	if (f)
		fclose(f);
}

/* What is there to be learnt on the intact kernel. */
static int profile(void)
{
	int i, n, failed = 0;

	choose(0, 0);
	for (i = 0; i < nr_scenarios; i++) {
		struct scenario *s = &scenarios[i];
		long r = reports(), v = violations();
		int status;

		put(MUTANTS "reset", "1");
		s->limit_ms = 4 * HANGS_MS;
		status = run(s, false);
		s->limit_ms = s->ms * 3 > HANGS_MS ? s->ms * 3 : HANGS_MS;
		read_sites();
		for (n = 1; n <= nr_sites; n++)
			s->passes[n] = sites[n].hits > 0;
		if ((status && status != 4) || reports() != r ||
		    violations() != v) {
			printf("mutants: FAILED on the intact kernel (%d): %s\n",
			       status, s->command);
			show_output();
			failed++;
			/* It would notice anything. */
			memset(s->passes, 0, sizeof(s->passes));
		}
		if (i % 200 == 199)
			printf("mutants: %d of %d scenarios profiled\n", i + 1,
			       nr_scenarios);
		fflush(stdout);
	}
	return failed;
}

/*
 * What has noticed another mutant of the site; then one variant of each test, the
 * flavour that the site is about, then the next of each; the quickest first, and last
 * what is slow.
 */
static int by_round(const void *a, const void *b)
{
	const struct scenario *x = *(struct scenario * const *)a;
	const struct scenario *y = *(struct scenario * const *)b;

	return x->round != y->round ? x->round - y->round : x->ms - y->ms;
}

static int candidates(int site, struct scenario **list)
{
	const char *name = strrchr(sites[site].name, ':');
	const char *flavour = "list";
	int i, j, n = 0;

	if (name && !strncmp(name, ":page", 5))
		flavour = "page";
	if (name && !strncmp(name, ":tlbs", 5))
		flavour = "tlb";
	for (i = 0; i < nr_scenarios; i++)
		if (scenarios[i].passes[site])
			list[n++] = &scenarios[i];
	for (i = 0; i < n; i++) {
		list[i]->round = strstr(list[i]->command, flavour) ||
				 !*list[i]->group ? 0 : 1;
		for (j = 0; j < i; j++)
			if (*list[i]->group &&
			    !strcmp(list[i]->group, list[j]->group))
				list[i]->round += 2;
	}
	for (i = 0; i < n; i++) {
		if (list[i]->noticed[site])
			list[i]->round = -1;
		else if (list[i]->ms > SLOW_MS)
			list[i]->round = MAX_SCENARIOS;
	}
	qsort(list, n, sizeof(*list), by_round);
	/* The slow ones are tried in any case. */
	for (i = 0; i < n && list[i]->round < MAX_SCENARIOS; )
		i++;
	if (i > MAX_TRIES) {
		memmove(&list[MAX_TRIES], &list[i], (n - i) * sizeof(*list));
		n -= i - MAX_TRIES;
	}
	return n;
}

static struct equivalent *find_equivalent(int site, int kind)
{
	int i;

	for (i = 0; i < nr_equivalent; i++)
		if ((equivalent[i].kind == kind || equivalent[i].kind < 0) &&
		    !strcmp(equivalent[i].name, sites[site].name))
			return &equivalent[i];
	return NULL;
}

/* Does the kind change anything at the site, as far as it was passed? */
static bool applies(int site, int kind)
{
	/* PROTECTION_PAGE and SOFT_DIRTY: nothing is weaker. */
	if (kind == KIND_WEAK && !(sites[site].events & ~(1ul << 3 | 1ul << 4)))
		return false;
	if (kind == KIND_HEAD && !sites[site].longer)
		return false;
	if (kind == KIND_WIDE && !sites[site].bounded)
		return false;
	if (kind == KIND_UNMAP && !(sites[site].events & ~1ul))
		return false;
	return true;
}

/* What noticed, or NULL. */
static const char *try_mutant(int site, int kind, int *tried, char *where)
{
	static struct scenario *list[MAX_SCENARIOS];
	const char *by = NULL;
	int i, n = candidates(site, list);

	*tried = 0;
	for (i = 0; i < n && !by; i++) {
		struct scenario *s = list[i];
		int status, ms = s->ms;
		long r, v;

		r = reports();
		v = violations();
		choose(site, kind);
		status = run(s, true);
		choose(0, 0);
		s->ms = ms;
		(*tried)++;
		if (violations() > v)
			by = reports() > r ? "checker+mirror" : "mirror";
		else if (reports() > r)
			by = "checker";
		else if (status && status != 4)
			by = strstr(s->command, "kunit.sh") ? "KUnit" :
			      status < 0 ? "hang" : "self-test";
		if (by) {
			s->noticed[site] = true;
			snprintf(where, 80, "%.79s", s->command);
		}
	}
	return by;
}

static void read_lists(const char *list, const char *same)
{
	FILE *f = fopen(list, "r");
	char line[600], kind[40];
	int i;

	if (!f)
		die(list);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (*line && *line != '#' && nr_scenarios < MAX_SCENARIOS) {
			struct scenario *s = &scenarios[nr_scenarios++];
			char *dot = strchr(line, '.'), *last = strrchr(line, '.');

			snprintf(s->command, 200, "%.199s", line);
			/* ... fixture.variant.test */
			if (dot && dot != last)
				snprintf(s->group, 100, "%.*s%.60s",
					 (int)(dot - line), line, last);
		}
	}
	fclose(f);

	f = fopen(same, "r");
	if (!f)
		die(same);
	while (fgets(line, sizeof(line), f)) {
		struct equivalent *e = &equivalent[nr_equivalent];

		if (sscanf(line, "%119[^|]|%39[^|]|%299[^\n]", e->name, kind, e->why) != 3)
			continue;
		e->kind = -1;
		for (i = 1; i < NR_KINDS; i++)
			if (!strcmp(kinds[i], kind))
				e->kind = i;
		if (*line == '#' || ++nr_equivalent == MAX_EQUIVALENT)
			continue;
	}
	fclose(f);
}

struct sum {
	int caught, missed, argued, unreached, failed;
	int tried[NR_KINDS], noticed[NR_KINDS];
};

static void one_mutant(int site, int kind, struct sum *sum)
{
	struct equivalent *e = find_equivalent(site, kind);
	const char *name = sites[site].name, *how = kinds[kind], *by;
	int tried, rounds = e ? 1 : 4;
	char where[80];

	sum->tried[kind]++;
	/* What a scenario passes may depend on what runs on which CPU. */
	do {
		by = try_mutant(site, kind, &tried, where);
	} while (!by && tried && --rounds);
	if (by && e) {
		printf("NOT EQUIVALENT %s | %s: caught by %s: %s\n", name, how,
		       by, where);
		sum->failed++;
	} else if (by) {
		printf("caught %s | %s | %s | %d | %s\n", name, how, by, tried,
		       where);
		sum->caught++;
		sum->noticed[kind]++;
	} else if (e) {
		printf("equivalent %s | %s | %s\n", name, how, e->why);
		sum->argued++;
	} else if (tried) {
		printf("SURVIVED %s | %s | %d scenarios\n", name, how, tried);
		sum->missed++;
	} else {
		printf("UNREACHED %s | %s\n", name, how);
		sum->unreached++;
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sum sum = {};
	int site, kind, last, open;

	if (argc < 3)
		die("usage: run_mutants SCENARIOS EQUIVALENT [SITE]");
	signal(SIGPIPE, SIG_IGN);
	read_lists(argv[1], argv[2]);
	read_sites();
	printf("mutants: %d sites, %d scenarios\n", nr_sites, nr_scenarios);
	sum.failed = profile();

	/* An invalidation that is left open turns lockdep off, and so comes last. */
	for (last = 0; last < 2; last++) {
		for (site = 1; site <= nr_sites; site++) {
			if (argc > 3 && !strstr(sites[site].name, argv[3]))
				continue;
			for (kind = 1; kind < NR_KINDS; kind++) {
				open = kind == KIND_OPEN;
				if ((sites[site].kinds & 1u << kind) &&
				    applies(site, kind) && open == last)
					one_mutant(site, kind, &sum);
			}
		}
	}
	for (kind = 1; kind < NR_KINDS; kind++)
		if (sum.tried[kind])
			printf("kind: %s: %d of %d caught\n", kinds[kind],
			       sum.noticed[kind], sum.tried[kind]);
	printf("mutants: %d caught, %d equivalent, %d survived, %d unreached, ",
	       sum.caught, sum.argued, sum.missed, sum.unreached);
	printf("%d scenarios failed\n", sum.failed);
	return sum.missed || sum.unreached || sum.failed || !sum.caught;
}
