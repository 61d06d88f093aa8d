/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What there is in /proc and /sys, for these tests and those in ../xpmem.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline int put(const char *file, const char *format, ...)
{
	char text[256];
	va_list args;
	int fd, len, ret;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = write(fd, text, len) == len ? 0 : -1;
	close(fd);
	return ret;
}

/* Up to @size - 1 bytes of a file, as a string; -1 if there is none. */
static inline ssize_t text_of(const char *file, char *text, size_t size)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t len, all = 0;

	text[0] = 0;
	if (fd < 0)
		return -1;
	while ((len = read(fd, text + all, size - 1 - all)) > 0)
		all += len;
	text[all] = 0;
	close(fd);
	return all;
}

static inline long number_of(const char *file)
{
	char text[64];

	return text_of(file, text, sizeof(text)) > 0 ? strtol(text, NULL, 0) : -1;
}

static inline bool swap_is_on(void)
{
	char text[512];

	return text_of("/proc/swaps", text, sizeof(text)) > 0 && strchr(text, '/');
}

static inline bool two_nodes(void)
{
	return !access("/sys/devices/system/node/node1", F_OK);
}

static inline double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

#endif /* SYSTEM_H */
