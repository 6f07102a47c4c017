/*
 * remount.h - mount -o remount,...: other options for a mount that is there.
 *
 * mount(8) hands a remount to the helper like any other mount. No daemon is
 * started: the options which are the kernel's (ro, nosuid, noexec, noatime,
 * ...) are changed on the mount, and the daemon which serves it goes on with
 * its own.
 */
#ifndef FS_REMOUNT_H
#define FS_REMOUNT_H

#include "fs/options.h"

/* => 0, or -errno after having reported what is wrong. */
int remount(const struct options *options);

#endif
