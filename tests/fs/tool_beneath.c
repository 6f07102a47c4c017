/*
 * tool_beneath.c - races that would lead out of SOURCE.
 *
 *	tool_beneath MOUNT SOURCE OUTSIDE SECONDS
 *
 * In SOURCE, directly, the directory d is all the time exchanged with the
 * symbolic link l, which leads to OUTSIDE. Through MOUNT, where the kernel is
 * asked to follow no link (openat2), files in d are read, made, renamed,
 * linked and removed. Whatever succeeds must have happened in d: OUTSIDE has
 * one file, x, that says "outside", and is the same afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *source;
static atomic_bool over;

static void *exchange(void *arg)
{
	char d[4096], l[4096];

	snprintf(d, sizeof(d), "%s/d", source);
	snprintf(l, sizeof(l), "%s/l", source);
	while (!over)
		renameat2(AT_FDCWD, d, AT_FDCWD, l, RENAME_EXCHANGE);
	return arg;
}

static int open_beneath(int dir, const char *path, int flags)
{
	struct open_how how = {
		.flags = flags,
		.mode = flags & O_CREAT ? 0600 : 0,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};

	return syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

static unsigned long reads, makes;

/* => Did it show what is outside? */
static int try_read(int mount)
{
	int fd = open_beneath(mount, "d/x", O_RDONLY), wrong = 0;
	char text[16] = "";

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) > 0) {
		reads++;
		wrong = strncmp(text, "inside", 6);
	}
	close(fd);
	return wrong;
}

static void try_change(int mount, unsigned int i)
{
	char name[32];
	int dir = open_beneath(mount, "d", O_PATH | O_DIRECTORY), fd;

	if (dir < 0)
		return;
	snprintf(name, sizeof(name), "n%u", i % 50);
	fd = open_beneath(dir, name, O_CREAT | O_WRONLY);
	if (fd >= 0) {
		makes++;
		close(fd);
	}
	linkat(dir, "x", dir, "link", 0);
	renameat(dir, "link", dir, "moved");
	unlinkat(dir, "moved", 0);
	mkdirat(dir, "sub", 0700);
	unlinkat(dir, "sub", AT_REMOVEDIR);
	close(dir);
}

int main(int argc, char **argv)
{
	time_t end;
	pthread_t thread;
	unsigned int i, wrong = 0;
	int mount;

	if (argc != 5)
		return 2;
	source = argv[2];
	mount = open(argv[1], O_PATH | O_DIRECTORY);
	if (mount < 0 || pthread_create(&thread, NULL, exchange, NULL))
		return 2;
	end = time(NULL) + atoi(argv[4]);
	for (i = 0; time(NULL) < end; i++) {
		wrong += !!try_read(mount);
		try_change(mount, i);
	}
	over = true;
	pthread_join(thread, NULL);
	printf("%lu reads, %lu files made, %u wrong\n", reads, makes, wrong);
	return wrong || reads < 20 || makes < 20;
}
