/*
 * handle.h - file handles: a file known without a descriptor.
 *
 * The kernel's name for a file, good for as long as the file exists and never
 * good for another one. Opening by handle needs CAP_DAC_READ_SEARCH and a
 * file system that can be exported; nearly all on disks, and tmpfs, can.
 */
#ifndef FS_HANDLE_H
#define FS_HANDLE_H

#include <stdbool.h>

struct handle;

/* => The handle of @fd (O_PATH will do), for free(); NULL: it has none. */
struct handle *handle_of(int fd);
/* The same of @name in @dir_fd, a symbolic link itself; if empty, of @dir_fd. */
struct handle *handle_at(int dir_fd, const char *name);

bool handle_equal(const struct handle *a, const struct handle *b);

/* Are both files seen through one mount? Only then does one open the other. */
bool handle_same_mount(const struct handle *a, const struct handle *b);

/*
 * Open the file with @flags. @mount_fd: an open directory of its mount, not
 * O_PATH. => A descriptor or -errno; -ESTALE: the file is gone.
 */
int handle_open(int mount_fd, const struct handle *handle, int flags);

#endif
