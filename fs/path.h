/*
 * path.h - what a file is called below the mount, for rules and for people.
 *
 * Found by the kernel from the inode's descriptor, so it is the present name,
 * also after a rename by somebody else. A file with several names has the one
 * by which it was found first; when that is gone, the one by which it is found
 * next. A removed file ends in " (deleted)".
 * One of more than PATH_MAX nobody tells: it is PATH_TOO_LONG, which has no
 * slash, and is not what the root has.
 */
#ifndef FS_PATH_H
#define FS_PATH_H

#include "fs/volume.h"

#define PATH_ROOM	4352	/* PATH_MAX, a name behind it, an end */

#define PATH_TOO_LONG	"(too long)"

/* A descriptor of @ino, which stays the inode's. */
int path_fd(struct volume *volume, fuse_ino_t ino);
/* @inode is also @name in @dir_fd: if the name it had is gone, that is its name
 * now. */
void path_renew(struct volume *volume, struct inode *inode, int dir_fd,
		const char *name);
/* The path of what @fd shows, "" for the root. => @to */
const char *path_of_fd(struct volume *volume, int fd, char *to);
/* ... of @ino, or with @name of that entry in it. => @to */
const char *path_of(struct volume *volume, fuse_ino_t ino, const char *name,
		    char *to);

#endif
