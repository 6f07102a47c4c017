/*
 * view_mount.c - what is mounted at a path, and how to get rid of it.
 *
 * Paths are resolved without their last component, because that may be the
 * root of a dead view, of which every call says ENOTCONN. Who is mounted is
 * read from /proc/self/mountinfo, which also lists mounts that no path leads
 * to any more, because another covers where they are. So the way is walked as
 * the kernel walks it: from mount to mount, each time to the child that is met
 * first. It takes no touch, and the store below need not answer. Only to see
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

/* A mount on the way to a path, or that would be if nothing covered it. */
struct way {
	int id, parent;
	size_t depth;			/* of the path, so many bytes */
	long connection;		/* -1: not of a view */
};

/* => how much of @path leads to @at; -1: it is not on the way. */
static ssize_t path_depth(const char *path, const char *at)
{
	size_t n = strlen(at);

	if (!strcmp(at, "/"))
		return 0;
	return !strncmp(path, at, n) && (!path[n] || path[n] == '/') ?
		(ssize_t)n : -1;
}

/* "36 35 0:52 / /mnt/vm/a rw,... shared:1 - fuse.pagervm pagervm rw,..."
 * => is it on the way to @path? Then it is in *way. */
static bool mount_line(char *line, const char *path, struct way *way)
{
	char *at[6], *type, *rest = line;
	unsigned dev_major, dev_minor;
	ssize_t depth;

	for (int i = 0; i < 6; i++) {
		at[i] = strsep(&rest, " ");
		if (!rest)
			return false;
	}
	unescape(at[4]);
	depth = path_depth(path, at[4]);
	type = strstr(rest, "- ");
	if (depth < 0 || !type ||
	    sscanf(at[2], "%u:%u", &dev_major, &dev_minor) != 2)
		return false;
	way->id = atoi(at[0]);
	way->parent = atoi(at[1]);
	way->depth = depth;
	way->connection = -1;
	if (!strncmp(type + 2, VIEW_MOUNT_TYPE " ",
		     strlen(VIEW_MOUNT_TYPE " ")))
		way->connection = dev_minor;
	return true;
}

/* => all mounts on the way to @path, which the caller frees; NULL: not known */
static struct way *ways_read(const char *path, size_t *n)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	struct way *ways = NULL, *more, way;
	char *line = NULL;
	size_t size = 0;

	*n = 0;
	while (mounts && getline(&line, &size, mounts) > 0) {
		if (!mount_line(line, path, &way))
			continue;
		more = reallocarray(ways, *n + 1, sizeof(way));
		if (!more) {
			free(ways);
			ways = NULL;
			*n = 0;
			break;
		}
		ways = more;
		ways[(*n)++] = way;
	}
	free(line);
	if (mounts)
		fclose(mounts);
	return ways;
}

/* Is @way's parent @of? NULL: outside, where we cannot see. */
static bool way_is_child(const struct way *way, const struct way *of,
			 const struct way *ways, size_t n)
{
	if (of)
		return way != of && way->parent == of->id;
	for (size_t i = 0; i < n; i++)
		if (&ways[i] != way && ways[i].id == way->parent)
			return false;
	return true;
}

/* => where who comes from @from gets to next; NULL: nowhere else. */
static const struct way *way_next(const struct way *from,
				  const struct way *ways, size_t n)
{
	const struct way *next = NULL;

	for (size_t i = 0; i < n; i++)
		if (way_is_child(&ways[i], from, ways, n) &&
		    (!next || ways[i].depth <= next->depth))
			next = &ways[i];
	return next;
}

long view_mount_find(const char *path)
{
	size_t n;
	struct way *ways = ways_read(path, &n);
	const struct way *at = NULL, *next;
	long found;

	while ((next = way_next(at, ways, n)))
		at = next;
	found = at && at->depth == strlen(path) ? at->connection : -1;
	free(ways);
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
