/*
 * view_mount.c - what is mounted at a path, and how to get rid of it.
 *
 * Paths are resolved without their last component, because that may be the
 * root of a dead view, of which every call says ENOTCONN. Who is mounted is
 * read from /proc/self/mountinfo, where the last line for a path wins. Only
 * that the view there is dead takes a touch, and it is another process's view
 * or nobody's: our own is not mounted yet, or closed already.
 *
 * No state and no locks.
 */
#include "fs/view_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

static int say(char *why, size_t size, int err, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static int say(char *why, size_t size, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, size, format, args);
	va_end(args);
	return err;
}

/* ---- what is there ---- */

/* mountinfo writes blanks and backslashes as \ooo. */
static void unescape(char *s)
{
	char *out = s;
	unsigned code;
	int used;

	while (*s) {
		if (*s == '\\' && sscanf(s, "\\%3o%n", &code, &used) == 1) {
			*out++ = (char)code;
			s += used;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

/* "36 35 0:52 / /mnt/vm/a rw,... shared:1 - fuse.pagervm pagervm rw,..."
 * => its connection if it is a mount of a view at @path, -1 if of something
 *    else, -2 if not at @path. */
static long mount_line(char *line, const char *path)
{
	char *at[6], *type, *rest = line;
	unsigned dev_major, dev_minor;

	for (int i = 0; i < 6; i++) {
		at[i] = strsep(&rest, " ");
		if (!rest)
			return -2;
	}
	unescape(at[4]);
	if (strcmp(at[4], path))
		return -2;
	type = strstr(rest, "- ");
	if (!type || sscanf(at[2], "%u:%u", &dev_major, &dev_minor) != 2)
		return -1;
	type += 2;
	if (strncmp(type, VIEW_MOUNT_TYPE " ", strlen(VIEW_MOUNT_TYPE " ")))
		return -1;
	return dev_minor;
}

long view_mount_find(const char *path)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	long found = -1, conn;

	if (!mounts)
		return -1;
	while (getline(&line, &size, mounts) > 0) {
		conn = mount_line(line, path);
		if (conn != -2)
			found = conn;
	}
	free(line);
	fclose(mounts);
	return found;
}

bool view_mount_is_dead(const char *path)
{
	struct statx st;

	/* The kernel may still know the attributes of a dead view's root. */
	return statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS,
		     &st) < 0 &&
	       (errno == ENOTCONN || errno == ECONNABORTED);
}

/* ---- getting rid of it ---- */

/* For users who may not umount(2); it is set-user-ID. */
static int run_fusermount(const char *path)
{
	const char *argv[] = {"fusermount3", "-u", "-q", "-z", "--", path,
			      NULL};
	int status, err;
	pid_t pid;

	err = posix_spawnp(&pid, argv[0], NULL, NULL, (char **)argv, environ);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPERM;
}

int view_mount_clear(const char *path)
{
	if (!umount2(path, MNT_DETACH))
		return 0;
	return errno == EPERM ? run_fusermount(path) : -errno;
}

/* ---- before mounting ---- */

/* "a/b/" -> *parent "a", => "b"; in place. */
static const char *split(char *path, const char **parent)
{
	char *slash;

	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	slash = strrchr(path, '/');
	*parent = !slash ? "." : slash == path ? "/" : path;
	if (!slash)
		return path;
	*slash = '\0';
	return slash + 1;
}

/* The true path of the parent, and the last component as it is. A link is
 * no root of a dead view and can be followed. => 0 or -errno. */
static int resolve(const char *mountpoint, char path[PATH_MAX])
{
	char *copy = strdup(mountpoint), dir[PATH_MAX];
	const char *last, *parent;
	struct stat st;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	last = split(copy, &parent);
	if (!realpath(parent, dir))
		err = -errno;
	else if (snprintf(path, PATH_MAX, "%s/%s", dir[1] ? dir : "", last) >=
		 PATH_MAX)
		err = -ENAMETOOLONG;
	else if (!*last || !strcmp(last, ".") || !strcmp(last, "..") ||
		 (!lstat(path, &st) && S_ISLNK(st.st_mode)))
		err = realpath(mountpoint, path) ? 0 : -errno;
	free(copy);
	return err;
}

static int clear_stale(const char *path, char *why, size_t size)
{
	int err;

	if (!view_mount_is_dead(path))
		return say(why, size, -EBUSY, "%s: the live view of a running "
			   "machine is mounted here; end that machine or "
			   "choose another name", path);
	err = view_mount_clear(path);
	if (err)
		return say(why, size, err, "%s: a dead machine's live view is "
			   "in the way (%s); clear it with: fusermount3 -uz %s",
			   path, strerror(-err), path);
	return 0;
}

int view_mount_prepare(const char *mountpoint, char path[PATH_MAX], char *why,
		       size_t size)
{
	struct stat st;
	int err = resolve(mountpoint, path);

	if (err)
		return say(why, size, err, "%s: cannot mount the live view "
			   "here: %s", mountpoint, strerror(-err));
	/* More than one if somebody mounted over the dead. */
	while (view_mount_find(path) >= 0) {
		err = clear_stale(path, why, size);
		if (err)
			return err;
	}
	if (stat(path, &st))
		return say(why, size, -errno, "%s: cannot mount the live view "
			   "here: %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return say(why, size, -ENOTDIR, "%s: cannot mount the live "
			   "view here: not a directory", path);
	return 0;
}
