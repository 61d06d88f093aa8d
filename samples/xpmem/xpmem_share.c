// SPDX-License-Identifier: GPL-2.0
/*
 * The owner's side: shows memory to other processes until its input ends.
 *
 *	$ xpmem_share -m 0600 65536
 *	4823984501274892340
 *
 * The number is for xpmem_copy(1).  At the end it says what has been written there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "xpmem.h"

int main(int argc, char **argv)
{
	size_t size = 65536, page = sysconf(_SC_PAGESIZE);
	unsigned long mode = 0600;
	xpmem_segid_t segid;
	char *mem;
	int opt;

	while ((opt = getopt(argc, argv, "m:")) != -1) {
		if (opt != 'm')
			goto usage;
		mode = strtoul(optarg, NULL, 8);
	}
	if (optind < argc)
		size = strtoul(argv[optind++], NULL, 0);
	if (optind < argc || !size)
		goto usage;

	/* Any memory will do, whole pages of it: the heap, a stack, a file. */
	size = (size + page - 1) / page * page;
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	snprintf(mem, page, "Hello from process %d\n", (int)getpid());

	segid = xpmem_make(mem, size, XPMEM_PERMIT_MODE, (void *)mode);
	if (segid < 0) {
		perror("xpmem_make");
		return 1;
	}
	printf("%lld\n", (long long)segid);
	fflush(stdout);

	/* Nothing has to be done for the attachers. */
	while (getchar() != EOF)
		;

	/* From here on their accesses end in SIGBUS. */
	if (xpmem_remove(segid)) {
		perror("xpmem_remove");
		return 1;
	}
	printf("%.*s", (int)strnlen(mem, size), mem);
	munmap(mem, size);
	return 0;

usage:
	fprintf(stderr, "usage: %s [-m MODE] [BYTES]\n", argv[0]);
	return 2;
}
