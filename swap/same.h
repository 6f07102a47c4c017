/*
 * same.h - is a file, opened again on another mount, the same as before?
 *
 * A mount's number is its own, so it does not count; the inode's number does,
 * and when the inode was made, where the file system says so.
 */
#ifndef SWAP_SAME_H
#define SWAP_SAME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct same {
	uint64_t dev;		/* where it is now */
	uint64_t ino;
	struct statx_timestamp born;
	bool says_born;
};

/* Ask the file open as @fd, and not a cache. May wait.
 * => 0; -ENODEV: not a regular file; -errno. */
int same_ask(int fd, struct same *same);
/* @now was asked of what should be what @before was. */
bool same_is(const struct same *before, const struct same *now);

#endif
