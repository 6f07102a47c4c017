/*
 * same.h - the same calls in two directories must get the same answers.
 *
 *	tool_same... MOUNT DIRECTORY
 *
 * Each case runs in a fresh directory below both arguments, which should be
 * a mount of pagerfs and a directory of the file system under it, and writes
 * down what every call said and what stat(2) says of the result. A case whose
 * two accounts differ is printed with both and fails. Run by root, cases also
 * act as another user. Included by the programs, one thread.
 */
#ifndef TESTS_FS_SAME_H
#define TESTS_FS_SAME_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

struct same_case {
	const char *name;
	void (*run)(void);
	bool root;		/* makes sense only for root */
};

#define SAME_CASE(name)		{ #name, case_##name, false }
#define SAME_ROOT_CASE(name)	{ #name, case_##name, true }

static char account[65536];
static size_t written;

static void note(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	written += vsnprintf(account + written, sizeof(account) - written,
			     format, args);
	va_end(args);
	if (written >= sizeof(account))
		abort();
}

/* A call's name and what it said. => Its value. */
static inline long said(const char *what, long value)
{
	note("%s: %ld%s%s\n", what, value < 0 ? -1 : value,
	     value < 0 ? " " : "",
	     value < 0 ? strerrorname_np(errno) : "");
	return value;
}

/* A descriptor's number is nobody's business. */
static inline int opened(const char *what, int fd)
{
	note("%s: %s\n", what, fd < 0 ? strerrorname_np(errno) : "ok");
	return fd;
}

static inline void note_stat(const char *name)
{
	struct stat st;

	if (lstat(name, &st)) {
		note("  %s: %s\n", name, strerrorname_np(errno));
		return;
	}
	note("  %s: %o %ld links, %d:%d, %ld bytes, dev %x\n", name,
	     st.st_mode, (long)st.st_nlink, st.st_uid, st.st_gid,
	     S_ISDIR(st.st_mode) ? 0 : (long)st.st_size,
	     (unsigned int)st.st_rdev);
}

static inline void make_file(const char *name, size_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0666);
	char block[4096];
	size_t i;

	for (i = 0; i < sizeof(block); i++)
		block[i] = i * 7 + i / 256;
	for (i = 0; i < size; i += sizeof(block))
		if (write(fd, block, size - i < sizeof(block) ? size - i :
			  sizeof(block)) < 0)
			abort();
	close(fd);
}

static inline void note_sum(const char *name)
{
	int fd = open(name, O_RDONLY);
	unsigned char block[4096];
	uint64_t sum = 1469598103934665603u;
	ssize_t got, i;

	while ((got = read(fd, block, sizeof(block))) > 0)
		for (i = 0; i < got; i++)
			sum = (sum ^ block[i]) * 1099511628211u;
	note("  %s: %016lx\n", name, sum);
	close(fd);
}

/* Run @body as a user who owns nothing here. */
static inline void as_user(uid_t uid, gid_t gid, void (*body)(void))
{
	if (geteuid())
		return;
	if (setegid(gid) || seteuid(uid))
		abort();
	body();
	if (seteuid(0) || setegid(0))
		abort();
}

/* => What the case says of @top, to be freed. */
static char *run_in(const char *top, const struct same_case *one)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", top, one->name);
	if (mkdir(path, 0777) || chdir(path)) {
		perror(path);
		exit(2);
	}
	chmod(".", 0777);
	written = 0;
	one->run();
	if (chdir("/"))
		exit(2);
	return strndup(account, written);
}

static void show_difference(char *there, char *here)
{
	char *a, *b, *there_at, *here_at;

	a = strtok_r(there, "\n", &there_at);
	b = strtok_r(here, "\n", &here_at);
	while (a || b) {
		if (!a || !b || strcmp(a, b))
			printf("    mount: %-40s directory: %s\n",
			       a ? a : "-", b ? b : "-");
		a = a ? strtok_r(NULL, "\n", &there_at) : NULL;
		b = b ? strtok_r(NULL, "\n", &here_at) : NULL;
	}
}

static int same_main(int argc, char **argv, const struct same_case *cases,
		     size_t count)
{
	unsigned int failed = 0, ran = 0;
	size_t i;

	if (argc != 3) {
		fprintf(stderr, "usage: %s MOUNT DIRECTORY\n", argv[0]);
		return 2;
	}
	umask(0);
	setgroups(0, NULL);
	for (i = 0; i < count; i++) {
		char *there, *here;

		if (cases[i].root && geteuid())
			continue;
		there = run_in(argv[1], &cases[i]);
		here = run_in(argv[2], &cases[i]);
		ran++;
		if (getenv("SAME_SHOW"))
			printf("%s:\n%s", cases[i].name, here);
		if (strcmp(there, here)) {
			printf("%s: differs\n", cases[i].name);
			show_difference(there, here);
			failed++;
		}
		free(there);
		free(here);
	}
	printf("%u cases, %u differ\n", ran, failed);
	return failed != 0;
}

#endif
