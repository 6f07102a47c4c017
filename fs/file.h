/*
 * file.h - an open file: the descriptors its data goes through.
 *
 * A client which opens with O_DIRECT gets a real descriptor with O_DIRECT if
 * the file system below has it. Requests which do not fit the alignment it
 * asks for go through a second, buffered descriptor, the twin, opened when
 * the first such request comes. The kernel keeps the two coherent.
 *
 * O_APPEND is not kept on the descriptors: the kernel writes pages of a
 * shared mapping back through any descriptor, at their own offsets, and
 * appending those would tear the file. It goes with each write instead
 * (fs/append.c). Only a file which the file system below opens in no other way (chattr +a) keeps
 * it; then the kernel is told not to cache it.
 */
#ifndef FS_FILE_H
#define FS_FILE_H

#include "fs/append.h"
#include "fs/volume.h"

#include <pthread.h>
#include <stdatomic.h>

struct file {
	int fd;
	atomic_int twin;	/* -1 until it is needed */
	const struct inode *inode;
	struct volume *volume;
	int flags;		/* the client's, as opened below */
	uint32_t align;		/* of offsets and lengths on @fd; 1: any */
	bool append_only;	/* O_APPEND is on the descriptors */
	bool uncached;		/* the kernel was told FOPEN_DIRECT_IO */
	bool in_memory;		/* tmpfs, ramfs: a read cannot wait */
	atomic_bool no_grow;	/* swap/nogrow.h */
	atomic_bool written;	/* since the last flush */
	unsigned int keep_round;	/* keep_settle() */
	struct inode *_Atomic past_cache; /* keep_past_cache(), or NULL */
	struct inode *may_store;	/* where it is counted, or NULL */
	struct append append;	/* fs/append.c */
	pthread_mutex_t place_lock; /* data_append_now() */
};

static inline struct file *file_of(struct fuse_file_info *fi)
{
	return (struct file *)(uintptr_t)fi->fh;
}

/* May [@offset, @offset + @length) go through the direct descriptor? */
static inline bool file_fits(const struct file *file, off_t offset,
			     size_t length)
{
	return !(((uint64_t)offset | length) & (file->align - 1));
}

/*
 * A caller without CAP_FSETID changes what @fd shows: as for any file, its
 * set-id bits go; @caller is his group. (File capabilities go by themselves.)
 * => Did it have any?
 */
bool file_kill_setid(int fd, gid_t caller);

/*
 * The same within a request on @ino whose reply does not bring attributes:
 * the kernel is told that those it knows are out of date.
 */
void file_kill_setid_now(fuse_req_t req, fuse_ino_t ino, int fd);

/* fstat(2) of @fd, open as @file: others may have to be asked, and that may
 * take long. */
int file_stat(const struct file *file, int fd, struct stat *st);

/* The buffered descriptor. => A descriptor or -errno. */
int file_twin(struct file *file);

/*
 * Is this write to be durable when it is answered, because @file was opened so
 * or it asks for it itself? After those through its cache that do the kernel
 * asks for an fsync instead. => RWF_DSYNC, RWF_SYNC or 0.
 */
int file_sync_flags(const struct file *file, const struct fuse_write_in *in);

/* A client writes, or may, to @file of @inode past the page cache; he need not
 * have opened it so. */
void file_goes_past_cache(struct file *file, struct inode *inode);

/*
 * May @file, by this handle of a client's, come to reach to @end? => 0;
 * -EFBIG: he asked for it not to grow (swap/nogrow.h); -errno.
 */
int file_may_reach(const struct file *file, uint64_t end);

#endif
