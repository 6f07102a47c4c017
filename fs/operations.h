/*
 * operations.h - the file-system operations, by family.
 *
 * Each family is one file that enters its handlers in libfuse's table:
 *
 *	meta	lookup, forget, attributes, links' targets, xattrs, statfs
 *	name	making, linking, renaming and removing names
 *	dir	open directories and reading them
 *	file	open files: open, create, flush, fsync, release
 *	range	fallocate, copy_file_range, lseek
 *	data	read and write
 *	ioctl	inode flags (lsattr, chattr), and one ioctl of our own
 */
#ifndef FS_OPERATIONS_H
#define FS_OPERATIONS_H

#include <fuse_lowlevel.h>

void meta_install(struct fuse_lowlevel_ops *ops);
void name_install(struct fuse_lowlevel_ops *ops);
void dir_install(struct fuse_lowlevel_ops *ops);
void file_install(struct fuse_lowlevel_ops *ops);
void range_install(struct fuse_lowlevel_ops *ops);
void data_install(struct fuse_lowlevel_ops *ops);
void ioctl_install(struct fuse_lowlevel_ops *ops);

/* The descriptor of an open directory. */
int dir_fd(struct fuse_file_info *fi);
/* Answer @req when @fd, a file or directory, is synced. */
void file_sync(fuse_req_t req, int fd, int datasync);

#endif
