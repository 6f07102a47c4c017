/*
 * view_mount.h - the mount point of a live view, seen from outside: what is
 * mounted there, and how to get rid of it.
 */
#ifndef FS_VIEW_MOUNT_H
#define FS_VIEW_MOUNT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* The type the kernel shows, and what makes it. */
#define VIEW_MOUNT_NAME "pagervm"
#define VIEW_MOUNT_TYPE "fuse." VIEW_MOUNT_NAME

/*
 * Make @mountpoint fit to be mounted on: clear away the view of a machine
 * that died. @path: the same place without links or dots. => 0; -EBUSY: a
 * living view is there; another -errno; then @why says what.
 */
int view_mount_prepare(const char *mountpoint, char path[PATH_MAX], char *why,
		       size_t size);
/* The connection number of the view which @path leads to, or -1. @path has no
 * links or dots. Touches no mount. */
long view_mount_find(const char *path);
/* Does nobody serve the view at @path any more? Asks who does. */
bool view_mount_is_dead(const char *path);
/* Detach the view at @path whoever uses it. => 0 or -errno. */
int view_mount_clear(const char *path);

#endif
