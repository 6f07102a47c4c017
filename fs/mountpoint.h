/*
 * mountpoint.h - may we mount here, and away again.
 *
 * mountpoint_check() finds, before anything is mounted, what would make the
 * mount fail or hang, and says it in one line with what to do about it. It
 * puts the absolute paths into the options.
 */
#ifndef FS_MOUNTPOINT_H
#define FS_MOUNTPOINT_H

#include "fs/options.h"

#include <stdbool.h>
#include <sys/types.h>

/* => 0, or -errno after having reported what is wrong. */
int mountpoint_check(struct options *options);

/*
 * The device number of what is mounted at @mountpoint, or of the directory
 * itself. Waits for no file system, and takes no descriptor. => 0 or -errno.
 */
int mountpoint_device(const char *mountpoint, dev_t *dev);

/* Is pagerfs mounted at @mountpoint? If nobody can tell, it may be. */
bool mountpoint_is_pagerfs(const char *mountpoint);

/*
 * Take the mount out of the tree. Files that clients hold open stay served
 * until they are closed. => 0 or -errno after having reported.
 */
int mountpoint_detach(const char *mountpoint);

/* Is @path in the tree whose top is @top? By identity, not by name. */
struct stat;
int mountpoint_is_below(const char *path, const struct stat *top);

#endif
