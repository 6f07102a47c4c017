/*
 * mountpoint.c - checks before mounting, and unmounting.
 *
 * Runs in the main thread, before the mount is there or while other threads
 * serve it. Calls that MOUNTPOINT's file system has to answer are made before
 * we mount; later it is asked for nothing but what the kernel knows by itself.
 */
#include "fs/mountpoint.h"
#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOUNTPOINT_FUSE	makedev(10, 229)	/* in all kernels */

extern char **environ;

static int mountpoint_check_device(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), err = errno;
	struct stat st;

	if (fd >= 0) {
		err = fstat(fd, &st) ? errno : !S_ISCHR(st.st_mode) ||
			st.st_rdev != MOUNTPOINT_FUSE ? ENODEV : 0;
		close(fd);
		if (!err)
			return 0;
		report("/dev/fuse is there, but is not FUSE's device: remove "
		       "it and make it ('mknod -m 666 /dev/fuse c 10 229')");
		return -err;
	}
	report("/dev/fuse: %s: %s", strerror(err),
	       err == ENOENT || err == ENODEV || err == ENXIO ?
	       "load it with 'modprobe fuse', or give the container the "
	       "device (--device /dev/fuse)" :
	       "this user must be able to read and write it");
	return -err;
}

/* What keeps @path (our argument @what) from being used. */
static int mountpoint_refuse(const char *what, const char *path, int err)
{
	/* The first one to ask after its death is told the second; the third
	 * if it died, or was refused, before it began. */
	if (err == ENOTCONN || err == ECONNABORTED || err == ECONNREFUSED)
		report("%s %s: a daemon that served it is gone: clear it "
		       "with 'fusermount3 -uz %s' (root: 'umount -l %s')",
		       what, path, path, path);
	else if (err == ENOENT)
		report("%s %s: there is no such directory: make it first "
		       "(mkdir -p %s)", what, path, path);
	else if (err == ENOTDIR)
		report("%s %s: not a directory: pagerfs serves a directory "
		       "at a directory", what, path);
	else
		report("%s %s: %s", what, path, strerror(err));
	return -err;
}

/* Make *@path absolute. It must be a directory that answers. */
static int mountpoint_resolve(const char *what, char **path)
{
	struct stat st;
	char *resolved;
	int err = 0;

	if (stat(*path, &st))
		err = errno;
	else if (!S_ISDIR(st.st_mode))
		err = ENOTDIR;
	resolved = err ? NULL : realpath(*path, NULL);
	if (!resolved)
		return mountpoint_refuse(what, *path, err ? err : errno);
	free(*path);
	*path = resolved;
	return 0;
}

int mountpoint_is_below(const char *path, const struct stat *top)
{
	struct stat st, last = { 0 };
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), up;
	int found = 0;

	while (fd >= 0 && !fstat(fd, &st)) {
		found = st.st_dev == top->st_dev && st.st_ino == top->st_ino;
		if (found || (st.st_dev == last.st_dev &&
			      st.st_ino == last.st_ino))
			break;
		last = st;
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = up;
	}
	if (fd >= 0)
		close(fd);
	return found;
}

static int mountpoint_check_apart(const struct options *options)
{
	struct stat top;

	if (stat(options->source, &top))
		return mountpoint_refuse("SOURCE", options->source, errno);
	if (!mountpoint_is_below(options->mountpoint, &top))
		return 0;
	report("MOUNTPOINT %s is SOURCE %s or lies in it: the daemon would "
	       "serve itself: choose a directory outside SOURCE",
	       options->mountpoint, options->source);
	return -EINVAL;
}

/* => Is that the last mount at @path? @unknown: nobody can tell. */
static bool mountpoint_has_pagerfs(const char *path, bool unknown)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *mount;
	bool found = false;

	if (!mounts)
		return unknown;
	while ((mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_dir, path))
			found = !strcmp(mount->mnt_type, "fuse.pagerfs");
	endmntent(mounts);
	return found;
}

bool mountpoint_is_pagerfs(const char *mountpoint)
{
	char *path = realpath(mountpoint, NULL);
	bool is = !path || mountpoint_has_pagerfs(path, true);

	free(path);
	return is;
}

static int mountpoint_check_free(const struct options *options)
{
	if (!mountpoint_has_pagerfs(options->mountpoint, false))
		return 0;
	report("MOUNTPOINT %s: pagerfs is mounted there already: unmount it "
	       "first (fusermount3 -u %s)", options->mountpoint,
	       options->mountpoint);
	return -EBUSY;
}

int mountpoint_check(struct options *options)
{
	return mountpoint_resolve("SOURCE", &options->source) ?:
	       mountpoint_resolve("MOUNTPOINT", &options->mountpoint) ?:
	       mountpoint_check_free(options) ?:
	       mountpoint_check_apart(options) ?:
	       mountpoint_check_device();
}

/*
 * By the system call itself: where that is refused, libc would ask in a way
 * that waits for an answer, and it may be us who are to give it.
 */
int mountpoint_device(const char *mountpoint, dev_t *dev)
{
	struct statx stx;

	if (syscall(SYS_statx, AT_FDCWD, mountpoint, AT_SYMLINK_NOFOLLOW |
		    AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &stx))
		return -errno;
	*dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	return 0;
}

static int mountpoint_ask_helper(const char *mountpoint)
{
	char *argv[] = { "fusermount3", "-u", "-z", "-q", "--",
			 (char *)mountpoint, NULL };
	int err, status = 0;
	pid_t pid;

	err = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPERM;
}

int mountpoint_detach(const char *mountpoint)
{
	int err = 0;

	if (umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW))
		err = errno == EPERM ? mountpoint_ask_helper(mountpoint) :
				       -errno;
	if (err)
		report("%s: cannot unmount: %s: do it with 'fusermount3 -u "
		       "%s'", mountpoint, strerror(-err), mountpoint);
	return err;
}
