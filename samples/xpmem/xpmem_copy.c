// SPDX-License-Identifier: GPL-2.0
/*
 * The attacher's side: copies a segment's memory to its output, or its input there.
 *
 *	$ xpmem_copy -s 64 4823984501274892340
 *	$ echo Goodbye | xpmem_copy -w -s 64 4823984501274892340
 *
 * A user of the memory trusts the owner that it stays: when it goes there is SIGBUS.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xpmem.h"

static sigjmp_buf gone;

static void on_sigbus(int sig)
{
	siglongjmp(gone, sig);
}

/* Through a buffer: a read(2) or write(2) cannot be made to fault, it fails with EFAULT. */
static int copy(char *mem, size_t size, int write)
{
	char buf[4096];
	size_t done, len;

	for (done = 0; done < size; done += len) {
		len = size - done < sizeof(buf) ? size - done : sizeof(buf);
		if (write) {
			len = fread(buf, 1, len, stdin);
			if (!len)
				break;
			memcpy(mem + done, buf, len);
		} else {
			memcpy(buf, mem + done, len);
			if (fwrite(buf, 1, len, stdout) != len)
				return 1;
		}
	}
	return fflush(stdout) ? 1 : 0;
}

static int copy_while_there(char *mem, size_t size, int write)
{
	signal(SIGBUS, on_sigbus);
	if (sigsetjmp(gone, 1)) {
		fprintf(stderr, "xpmem_copy: the owner has gone, or has no memory there\n");
		return 1;
	}
	return copy(mem, size, write);
}

int main(int argc, char **argv)
{
	size_t size = 4096, page = sysconf(_SC_PAGESIZE), skip;
	struct xpmem_addr addr = {};
	xpmem_segid_t segid;
	int opt, ret, write = 0;
	char *mem;

	while ((opt = getopt(argc, argv, "o:s:w")) != -1) {
		switch (opt) {
		case 'o':
			addr.offset = strtol(optarg, NULL, 0);
			break;
		case 's':
			size = strtoul(optarg, NULL, 0);
			break;
		case 'w':
			write = 1;
			break;
		default:
			goto usage;
		}
	}
	if (optind + 1 != argc || addr.offset < 0 || !size)
		goto usage;
	segid = strtoll(argv[optind], NULL, 0);

	/* The right to attach, which can be used again and again. */
	addr.apid = xpmem_get(segid, write ? XPMEM_RDWR : XPMEM_RDONLY, XPMEM_PERMIT_MODE, NULL);
	if (addr.apid < 0) {
		perror("xpmem_get");
		return 1;
	}
	skip = addr.offset % page;
	addr.offset -= skip;
	mem = xpmem_attach(addr, skip + size, NULL);
	if (mem == (char *)-1) {
		perror("xpmem_attach");
		return 1;
	}

	ret = copy_while_there(mem + skip, size, write);

	/* An exit does that, too. */
	if (xpmem_detach(mem) || xpmem_release(addr.apid)) {
		perror("xpmem_detach, xpmem_release");
		return 1;
	}
	return ret;

usage:
	fprintf(stderr, "usage: %s [-o OFFSET] [-s BYTES] [-w] SEGID\n", argv[0]);
	return 2;
}
