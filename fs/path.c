/*
 * path.c - what a file is called below the mount: /proc/self/fd, read.
 */
#include "fs/path.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* => Its length, 0 if there is none. @to is PATH_MAX and ended. */
static size_t path_read(struct volume *volume, int fd, char *to)
{
	char number[16];
	ssize_t length;

	snprintf(number, sizeof(number), "%d", fd);
	length = readlinkat(volume->proc_fd, number, to, PATH_MAX - 1);
	if (length < 0)
		length = 0;
	to[length] = '\0';
	return length;
}

const char *path_of_fd(struct volume *volume, int fd, char *to)
{
	char root[PATH_MAX];
	size_t length, below;

	length = path_read(volume, volume->inodes.root.fd, root);
	if (length == 1)
		length = 0;	/* SOURCE is / */
	below = path_read(volume, fd, to);
	if (!below)
		strcpy(to, PATH_TOO_LONG);
	else if (below > length && !memcmp(to, root, length) && to[length] == '/')
		memmove(to, to + length + 1, below - length);
	else if (below == length)
		to[0] = '\0';
	return to;
}

static bool path_is_gone(struct volume *volume, int fd)
{
	static const char gone[] = " (deleted)";
	char path[PATH_MAX];
	size_t length = path_read(volume, fd, path);

	return length >= sizeof(gone) - 1 &&
	       !strcmp(path + length - (sizeof(gone) - 1), gone);
}

static bool path_is_same(int fd, int other)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstat(other, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

void path_renew(struct volume *volume, struct inode *inode, int dir_fd,
		const char *name)
{
	int fd;

	if (inode->fd < 0 || !path_is_gone(volume, inode->fd))
		return;
	fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	/* In one step: others use the descriptor meanwhile. */
	if (path_is_same(fd, inode->fd))
		dup3(fd, inode->fd, O_CLOEXEC);
	close(fd);
}

int path_fd(struct volume *volume, fuse_ino_t ino)
{
	return volume_fd(volume, volume_inode(volume, ino));
}

const char *path_of(struct volume *volume, fuse_ino_t ino, const char *name,
		    char *to)
{
	size_t length;

	path_of_fd(volume, path_fd(volume, ino), to);
	if (!name)
		return to;
	length = strlen(to);
	snprintf(to + length, PATH_ROOM - length, "%s%s", length ? "/" : "",
		 name);
	return to;
}
