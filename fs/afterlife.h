/*
 * afterlife.h - auto_unmount: a process that takes the mount away when the
 * daemon has died.
 *
 * fusermount3 has such a process, too, but it first looks whether the mount
 * is dead, and a daemon with an io_uring dies a moment later than its other
 * descriptors close: asked in that moment the mount seems alive, and stays.
 * Ours goes by the device number.
 */
#ifndef FS_AFTERLIFE_H
#define FS_AFTERLIFE_H

#include <sys/types.h>

/*
 * Watch this process, which serves @dev at @mountpoint. Before there are
 * other threads. => 0 or -errno.
 */
int afterlife_start(const char *mountpoint, dev_t dev);

/* The mount has been taken away, by whomever: what is there now is another. */
void afterlife_end(void);

#endif
