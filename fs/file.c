/*
 * file.c - open files: opening, closing, fsync.
 *
 * open and create end in file_start(), which finds out once what the data
 * path wants to know for every request. fsync may take long and goes through
 * the serving thread's ring; the rest is one system call.
 *
 * The kernel releases a file only when all its requests are answered, so no
 * request can meet a closed one. No locks: two threads that open the twin at
 * once settle it with one compare-and-swap.
 */
#include "fs/file.h"
#include "fs/again.h"
#include "fs/caller.h"
#include "fs/loop.h"
#include "fs/operations.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/stat.h>
#include <unistd.h>

/* Without a word from the kernel: what no device exceeds. */
#define FILE_ALIGN_DEFAULT	4096

#ifndef STATX_DIOALIGN		/* Linux 6.1, newer than Debian 12's headers */
#define STATX_DIOALIGN		0x2000u
#endif

/* struct statx up to the fields which came with STATX_DIOALIGN. */
struct file_statx {
	uint32_t mask;
	uint8_t before[148];
	uint32_t dio_mem_align;
	uint32_t dio_offset_align;
	uint8_t after[96];
};

static uint32_t file_find_align(int fd)
{
	struct file_statx stx = { 0 };

	_Static_assert(offsetof(struct file_statx, dio_mem_align) == 152,
		       "where the kernel puts it");
	_Static_assert(sizeof(stx) == 256, "what the kernel writes");
	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) ||
	    !(stx.mask & STATX_DIOALIGN) || !stx.dio_offset_align ||
	    stx.dio_mem_align > FILE_ALIGN_DEFAULT)
		return FILE_ALIGN_DEFAULT;
	return stx.dio_offset_align;
}

/* The flags for the file below, from those of the client. */
static int file_flags(const struct volume *volume, int flags)
{
	/* Only regular files get here; a ring would take it for "never wait" */
	flags &= ~(O_APPEND | O_NONBLOCK);
	/* Writing back part of a page starts with reading all of it. */
	if (volume->options.writeback && (flags & O_ACCMODE) == O_WRONLY)
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	/* Reading on behalf of somebody who does not want to be noticed. */
	if (volume->options.noatime && volume->privileged)
		flags |= O_NOATIME;
	return flags;
}

static struct file *file_start(struct volume *volume,
			       const struct inode *inode, int fd, int flags)
{
	struct file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->fd = fd;
	file->twin = -1;
	file->inode = inode;
	file->volume = volume;
	file->flags = flags;
	file->append_only = flags & O_APPEND;
	pthread_mutex_init(&file->place_lock, NULL);
	file->in_memory = volume_in_memory(volume, inode, fd);
	file->align = flags & O_DIRECT && !file->in_memory ?
		file_find_align(fd) : 1;
	/* Says nothing there, but that pages are not to be shared: data_pass()
	 * would get copies. */
	if (flags & O_DIRECT && file->in_memory)
		fcntl(fd, F_SETFL, flags & ~O_DIRECT);
	return file;
}

void file_goes_past_cache(struct file *file, struct inode *inode)
{
	struct inode *none = NULL;

	if (file->past_cache)
		return;
	keep_past_cache(inode, true);
	if (!atomic_compare_exchange_strong(&file->past_cache, &none, inode))
		keep_past_cache(inode, false);
}

/*
 * A client who opens @inode with @flags may write past the page cache; or, by
 * a mapping, into it.
 */
static void file_note_writer(struct file *file, struct inode *inode, int flags)
{
	if (flags & O_DIRECT && (flags & O_ACCMODE) != O_RDONLY)
		file_goes_past_cache(file, inode);
	if ((flags & O_ACCMODE) == O_RDWR) {
		file->may_store = inode;
		atomic_fetch_add(&inode->may_store, 1);
	}
}

static void file_end(struct file *file)
{
	if (file->past_cache)
		keep_past_cache(file->past_cache, false);
	if (file->may_store)
		atomic_fetch_sub(&file->may_store->may_store, 1);
	if (file->twin >= 0)
		volume_close_fd(file->volume, file->twin);
	volume_close_fd(file->volume, file->fd);
	pthread_mutex_destroy(&file->place_lock);
	free(file);
}

int file_twin(struct file *file)
{
	int flags = file->flags & ~(O_DIRECT | O_TRUNC), fd, none = -1;

	if (file->twin >= 0)
		return file->twin;
	fd = volume_reopen(file->volume, file->inode, flags);
	if (fd < 0)
		return fd;
	if (!atomic_compare_exchange_strong(&file->twin, &none, fd)) {
		volume_close_fd(file->volume, fd);
		return none;
	}
	return fd;
}

int file_stat(const struct file *file, int fd, struct stat *st)
{
	int err;

	if (volume_is_local(file->volume, file->inode))
		return fstat(fd, st);
	loop_slow_enter();
	err = AGAIN(fstat(fd, st));
	loop_slow_leave();
	return err;
}

int file_may_reach(const struct file *file, uint64_t end)
{
	struct stat st;

	if (!file->no_grow)
		return 0;
	if (file_stat(file, file->fd, &st))
		return -errno;
	return end > (uint64_t)st.st_size ? -EFBIG : 0;
}

int file_sync_flags(const struct file *file, const struct fuse_write_in *in)
{
	bool direct = in->flags & O_DIRECT || file->uncached;
	uint32_t flags = file->flags;

	if (direct && !(in->write_flags & FUSE_WRITE_CACHE))
		flags |= in->flags;
	if (!(flags & O_DSYNC))
		return 0;
	return (flags & O_SYNC) == O_SYNC ? RWF_SYNC : RWF_DSYNC;
}

/*
 * The group bit of a file which its group may not execute stays for those in
 * the group. Of the caller's groups we know one: one too many goes, none too
 * few.
 */
bool file_kill_setid(int fd, gid_t caller)
{
	mode_t kill = S_ISUID;
	struct stat st;

	if (fstat(fd, &st))
		return false;
	if (st.st_mode & S_IXGRP || st.st_gid != caller)
		kill |= S_ISGID;
	return st.st_mode & kill && !fchmod(fd, st.st_mode & ~kill & 07777);
}

void file_kill_setid_now(fuse_req_t req, fuse_ino_t ino, int fd)
{
	bool killed;

	loop_slow_enter();
	killed = file_kill_setid(fd, fuse_req_ctx(req)->gid);
	loop_slow_leave();
	if (killed)
		fuse_lowlevel_notify_inval_inode(volume_of(req)->se, ino, -1,
						 0);
}

/* Open @inode; where there is no O_DIRECT below, without it. */
static int file_open_below(struct volume *volume, const struct inode *inode,
			   int *flags)
{
	int fd = volume_reopen(volume, inode, *flags);

	if (fd != -EINVAL || !(*flags & O_DIRECT))
		return fd;
	*flags &= ~O_DIRECT;
	return volume_reopen(volume, inode, *flags);
}

/* The same, and for a file which may only be appended to, so. */
static int file_open_any(struct volume *volume, const struct inode *inode,
			 int asked, int *flags)
{
	int fd = file_open_below(volume, inode, flags);

	if (fd != -EPERM || !(asked & O_APPEND))
		return fd;
	*flags |= O_APPEND;
	return file_open_below(volume, inode, flags);
}

/* ... and as if nobody had read it, unless only its owner may ask for that. */
static int file_open_unseen(struct volume *volume, const struct inode *inode,
			    int asked, int *flags)
{
	int tried = *flags, fd = file_open_any(volume, inode, asked, &tried);

	if (fd == -EPERM && *flags & O_NOATIME) {
		tried = *flags & ~O_NOATIME;
		fd = file_open_any(volume, inode, asked, &tried);
	}
	*flags = tried;
	return fd;
}

static struct file *file_make(struct volume *volume,
			      const struct inode *inode, int flags, int *err)
{
	struct file *file;
	int fd, asked = flags;

	flags = file_flags(volume, flags);
	fd = file_open_unseen(volume, inode, asked, &flags);
	if (fd == -EACCES && volume->options.writeback) {
		flags = (flags & ~O_ACCMODE) | O_WRONLY;
		fd = file_open_unseen(volume, inode, asked, &flags);
	}
	if (fd < 0) {
		*err = fd;
		return NULL;
	}
	file = file_start(volume, inode, fd, flags);
	if (!file) {
		volume_close_fd(volume, fd);
		*err = -ENOMEM;
	}
	return file;
}

/*
 * Before it submits a read or write of a file open with O_DIRECT, the kernel
 * may wait for us: to ask for attributes whose time is over, or for the xattr
 * security.capability. So a store that stands still would stop who submits,
 * although his I/O is asynchronous. FOPEN_DIRECT_IO spares both. (Before
 * Linux 6.6 it would also forbid mappings, and leave old bytes in the page
 * cache of who has the file open without. With a writeback cache the file may
 * be longer for the kernel than for us, and the read that we cut short is
 * then completed from the page cache only without the flag.)
 */
static bool file_goes_direct(const struct volume *volume, int flags)
{
	return flags & O_DIRECT && volume->direct_mapped &&
	       !volume->options.writeback;
}

/*
 * With a writeback cache the kernel reads the page before it writes part of
 * it, and whom we run as may only write this file: file_make(). (Before Linux
 * 6.6 a write past the cache would not wait for pages which others have yet
 * to write back over it: rather such a write fails, with EBADF.)
 */
static bool file_cannot_read(const struct file *file)
{
	return file->volume->options.writeback && file->volume->direct_mapped &&
	       (file->flags & O_ACCMODE) == O_WRONLY;
}

/*
 * Does the kernel have to tell us when a client closes the file? Only other
 * machines' file systems keep an error back until then, and only a writeback
 * cache a write; it is a round trip for each close(2). (Not told, the kernel
 * leaves pages of a shared mapping where they are until the mapping ends.)
 */
static bool file_needs_flush(const struct file *file)
{
	return file->volume->options.writeback ||
	       !volume_is_local(file->volume, file->inode);
}

/*
 * Is it a client who opens the file, and not the kernel itself? For FS_IOC_
 * GETFLAGS and its like (fs/ioctl.c) it does so, without any flag, and then
 * drops no page, whatever we answer. All others open with O_LARGEFILE; but a
 * 32-bit program may not, and for that the kernel keeps nothing, if it only
 * reads.
 */
static bool file_is_clients(int flags)
{
	return flags != O_RDONLY;
}

/* By hand: libfuse 3.14 does not know the second flag. */
static int file_reply_open(fuse_req_t req, const struct fuse_file_info *fi)
{
	struct fuse_open_out out = { .fh = fi->fh };

	if (fi->direct_io)
		out.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
	else if (fi->keep_cache)
		out.open_flags = FOPEN_KEEP_CACHE;
	if (fi->noflush)
		out.open_flags |= FOPEN_NOFLUSH;
	return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}

static void file_open(fuse_req_t req, fuse_ino_t ino,
		      struct fuse_file_info *fi)
{
	struct inode *inode = volume_target(req, ino);
	struct volume *volume = volume_of(req);
	struct file *file;
	int err;

	file = file_make(volume, inode, fi->flags, &err);
	if (!file) {
		fuse_reply_err(req, -err);
		return;
	}
	if (((const struct fuse_open_in *)loop_request())->open_flags &
	    FUSE_OPEN_KILL_SUIDGID)
		file_kill_setid_now(req, ino, file->fd);
	fi->fh = (uintptr_t)file;
	file_note_writer(file, inode, fi->flags);
	file->uncached = file_goes_direct(volume, fi->flags) ||
			 file->append_only || file_cannot_read(file);
	fi->direct_io = file->uncached;
	fi->keep_cache = !fi->direct_io && file_is_clients(fi->flags) &&
			 keep_open(volume, inode, file);
	/* What the open showed of the cache is settled by the close. */
	fi->noflush = !file_needs_flush(file) && !file->keep_round;
	if (file_reply_open(req, fi))
		file_end(file);
}

/* O_TMPFILE: a file of the caller's, below @parent, with no name yet. */
static int file_create_unnamed(fuse_req_t req, int parent, mode_t mode,
			       int *flags)
{
	int fd, only_below = *flags & O_EXCL;
	struct caller caller;

	*flags = file_flags(volume_of(req), *flags) &
		~(O_CREAT | O_EXCL | O_TRUNC | O_TMPFILE);
	caller = caller_enter(req);
	fd = AGAIN(openat(parent, ".", *flags | only_below | O_TMPFILE |
			  O_CLOEXEC, mode));
	fd = fd < 0 ? -errno : fd;
	caller_leave(caller);
	return fd;
}

/*
 * Make the file in the caller's name. It must be new: the kernel has checked
 * only that the caller may make it, not whether it may open one which came
 * into SOURCE behind the kernel's back. For that one ESTALE makes the kernel
 * look again. => A descriptor or -errno.
 */
static int file_create_below(fuse_req_t req, int parent, const char *name,
			     mode_t mode, int *flags)
{
	int fd, extra = O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY;
	bool exclusive = *flags & O_EXCL;
	struct caller caller;

	*flags = file_flags(volume_of(req), *flags) &
		~(O_CREAT | O_EXCL | O_TRUNC);
	caller = caller_enter(req);
	fd = AGAIN(openat(parent, name, *flags | extra, mode));
	if (fd < 0 && errno == EINVAL && *flags & O_DIRECT) {
		/* Made all the same, but there is no O_DIRECT below. */
		*flags &= ~O_DIRECT;
		fd = openat(parent, name, (*flags | extra | O_NOFOLLOW) &
			    ~O_EXCL, mode);
	}
	fd = fd < 0 ? -errno : fd;
	caller_leave(caller);
	return fd == -EEXIST && !exclusive ? -ESTALE : fd;
}

/* Entry and open file for @fd, which was just made. */
static int file_enter(struct volume *volume, int fd, int flags,
		      struct fuse_entry_param *entry, struct file **file)
{
	int err = volume_adopt(volume, fd, entry);

	volume_made(volume);
	if (err)
		return err;
	*file = file_start(volume, volume_inode(volume, entry->ino), fd,
			   flags);
	if (*file)
		return 0;
	volume_unlookup(volume, entry);
	return -ENOMEM;
}

/*
 * The descriptor of the new file in @ino, open as @parent. => It, for
 * file_enter() or else volume_close_fd(), or -errno.
 */
static int file_create_fd(fuse_req_t req, fuse_ino_t ino, int parent,
			  const char *name, mode_t mode, int *flags)
{
	struct volume *volume = volume_of(req);
	bool unnamed = loop_newer()->opcode == FUSE_TMPFILE;
	int fd;

	if (!unnamed && !volume_name_ok(name))
		return -EINVAL;
	fd = volume_take_fd(volume);
	if (fd)
		return fd;
	fd = volume_make(volume, volume_target(req, ino), parent);
	if (!fd)
		fd = unnamed ? file_create_unnamed(req, parent, mode, flags) :
			file_create_below(req, parent, name, mode, flags);
	if (fd >= 0)
		return fd;
	volume_made(volume);
	volume_give_fd(volume);
	return volume_blame(volume, fd);
}

static void file_create(fuse_req_t req, fuse_ino_t ino, const char *name,
			mode_t mode, struct fuse_file_info *fi)
{
	struct volume *volume = volume_of(req);
	int parent = volume_use(req, ino), fd, flags = fi->flags, err;
	struct fuse_entry_param entry;
	struct file *file;

	if (parent < 0)
		return;
	fd = file_create_fd(req, ino, parent, name, mode, &flags);
	if (fd < 0) {
		fuse_reply_err(req, -fd);
		return;
	}
	err = file_enter(volume, fd, flags, &entry, &file);
	if (err) {
		volume_close_fd(volume, fd);
		fuse_reply_err(req, -err);
		return;
	}
	fi->fh = (uintptr_t)file;
	file_note_writer(file, volume_inode(volume, entry.ino), fi->flags);
	file->uncached = file_goes_direct(volume, fi->flags);
	fi->direct_io = file->uncached;
	fi->noflush = !file_needs_flush(file);
	if (fuse_reply_create(req, &entry, fi)) {
		file_end(file);
		volume_unlookup(volume, &entry);
	}
}

static void file_release(fuse_req_t req, fuse_ino_t ino,
			 struct fuse_file_info *fi)
{
	keep_settle(volume_target(req, ino), file_of(fi)->keep_round);
	file_end(file_of(fi));
	fuse_reply_err(req, 0);
}

static int file_close_copy(struct file *file)
{
	int copy = dup(file->fd);

	if (copy >= 0)
		return close(copy);
	file->written = true;	/* it has yet to be asked */
	return -1;
}

/*
 * close(2) of a client. Some file systems report late write errors only when
 * a descriptor is closed, so close a copy of ours.
 */
static void file_flush(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	struct file *file = file_of(fi);
	int err = 0;

	keep_settle(volume_target(req, ino), file->keep_round);
	if (atomic_exchange(&file->written, false) &&
	    AGAIN(file_close_copy(file)))
		err = volume_blame(file->volume, -errno);
	fuse_reply_err(req, -err);
}

static void file_sync_again(struct slot *slot)
{
	struct io_uring_sqe *sqe = loop_sqe(slot);

	io_uring_prep_fsync(sqe, slot->fd, slot->rw_flags);
	loop_submit(slot, sqe);
}

static void file_synced(struct slot *slot, int result)
{
	loop_end_with(slot, result, file_sync_again);
}

void file_sync(fuse_req_t req, int fd, int datasync)
{
	struct slot *slot = loop_claim(req, file_synced);

	slot->fd = fd;
	slot->rw_flags = datasync ? IORING_FSYNC_DATASYNC : 0;
	file_sync_again(slot);
}

static void file_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		       struct fuse_file_info *fi)
{
	(void)ino;
	file_sync(req, file_of(fi)->fd, datasync);
}

void file_install(struct fuse_lowlevel_ops *ops)
{
	ops->open = file_open;
	ops->create = file_create;
	ops->release = file_release;
	ops->flush = file_flush;
	ops->fsync = file_fsync;
}
