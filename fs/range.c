/*
 * range.c - ranges of files: allocated, copied, searched for data and holes.
 *
 * fallocate may take long and goes through the serving thread's ring, and a
 * copy is made by pieces; a search is one system call. No locks.
 */
#include "fs/again.h"
#include "fs/caller.h"
#include "fs/file.h"
#include "fs/loop.h"
#include "fs/operations.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The ring cannot copy, so the thread itself does: a piece, a look at what
 * else there is, the next piece. So long and so much by one request.
 */
#define RANGE_COPY_PIECE	(256u << 10)
#define RANGE_COPY_MAX		(4u << 20)

/* For calls of which the kernel does not say that the caller lacks it. */
static void range_change(fuse_req_t req, fuse_ino_t ino, struct file *file)
{
	file->written = true;
	if (!caller_keeps_setid(req))
		file_kill_setid_now(req, ino, file->fd);
}

static int range_may_allocate(const struct file *file, int mode,
			      uint64_t offset, uint64_t length)
{
	if (mode & (FALLOC_FL_KEEP_SIZE | FALLOC_FL_COLLAPSE_RANGE))
		return 0;
	if (mode & FALLOC_FL_INSERT_RANGE)
		return file->no_grow ? -EFBIG : 0;
	return file_may_reach(file, offset + length);
}

static void range_allocate_in(struct slot *slot)
{
	const struct fuse_fallocate_in *in = (void *)(loop_message(slot) + 1);
	const struct file *file = (void *)(uintptr_t)in->fh;
	struct io_uring_sqe *sqe = loop_sqe(slot);

	io_uring_prep_fallocate(sqe, file->fd, in->mode, in->offset,
				in->length);
	loop_submit(slot, sqe);
}

static void range_allocated(struct slot *slot, int result)
{
	loop_end_with(slot, result, range_allocate_in);
}

static void range_allocate(fuse_req_t req, fuse_ino_t ino, int mode,
			   off_t offset, off_t length,
			   struct fuse_file_info *fi)
{
	int err = range_may_allocate(file_of(fi), mode, offset, length);

	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	range_change(req, ino, file_of(fi));
	range_allocate_in(loop_claim(req, range_allocated));
}

/* => Bytes or -errno. */
static ssize_t range_copy_fd(int in, off_t off_in, int out, off_t off_out,
			     size_t length, int flags)
{
	ssize_t copied;

	/* No twin: @in or @out is the error. */
	if (in < 0 || out < 0)
		return in < 0 ? in : out;
	copied = AGAIN(copy_file_range(in, &off_in, out, &off_out, length,
				       flags));
	return copied < 0 ? -errno : copied;
}

static int range_buffered(struct file *file)
{
	return file->align > 1 ? file_twin(file) : file->fd;
}

/*
 * How much of @length may be copied? Of a file that is not to grow, no more
 * than there is at @off_in just now. => 0 or -errno.
 */
static int range_may_copy(const struct file *in, off_t off_in,
			  const struct file *out, off_t off_out,
			  size_t *length)
{
	struct stat st;

	if (!out->no_grow)
		return 0;
	if (file_stat(in, in->fd, &st))
		return -errno;
	if (off_in >= st.st_size)
		*length = 0;
	else if (*length > (uint64_t)(st.st_size - off_in))
		*length = st.st_size - off_in;
	return *length ? file_may_reach(out, off_out + *length) : 0;
}

/* Copy @length bytes from @done bytes behind the start. => As above. */
static ssize_t range_copy(const struct fuse_copy_file_range_in *copy,
			  size_t done, size_t length)
{
	struct file *in = (struct file *)(uintptr_t)copy->fh_in;
	struct file *out = (struct file *)(uintptr_t)copy->fh_out;
	off_t off_in = copy->off_in + done, off_out = copy->off_out + done;
	ssize_t copied;

	copied = range_copy_fd(in->fd, off_in, out->fd, off_out, length,
			       copy->flags);
	/* What does not fit O_DIRECT, be it only the end of the file. */
	if (copied == -EINVAL && (in->align > 1 || out->align > 1))
		copied = range_copy_fd(range_buffered(in), off_in,
				       range_buffered(out), off_out, length,
				       copy->flags);
	return copied;
}

static void range_copy_end(struct slot *slot, int err)
{
	if (err && !slot->done)
		fuse_reply_err(slot->req, err);
	else
		fuse_reply_write(slot->req, slot->done);
	loop_finish(slot);
}

/* The next piece; what has completed meanwhile comes before the one after. */
static void range_copy_on(struct slot *slot, int result)
{
	size_t length = slot->length - slot->done;
	struct io_uring_sqe *sqe;
	ssize_t copied;

	(void)result;
	if (length > RANGE_COPY_PIECE)
		length = RANGE_COPY_PIECE;
	loop_slow_enter();
	copied = range_copy((const void *)(loop_message(slot) + 1), slot->done,
			    length);
	loop_slow_leave();
	if (copied > 0)
		slot->done += copied;
	if (copied < (ssize_t)length || slot->done == slot->length ||
	    loop_phase(slot) == LOOP_STOPPED) {
		range_copy_end(slot, copied < 0 ? -copied : 0);
		return;
	}
	sqe = loop_sqe(slot);
	io_uring_prep_nop(sqe);
	loop_submit(slot, sqe);
}

/* Never to a file which is open for appending: here and below the kernel
 * itself refuses that. */
static void range_copy_begin(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			     struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			     off_t off_out, struct fuse_file_info *fi_out,
			     size_t length, int flags)
{
	struct file *in = file_of(fi_in), *out = file_of(fi_out);
	int err = range_may_copy(in, off_in, out, off_out, &length);
	struct slot *slot;

	(void)ino_in;
	(void)flags;
	if (err) {
		fuse_reply_err(req, -err);
		return;
	}
	range_change(req, ino_out, out);
	slot = loop_claim(req, range_copy_on);
	slot->length = length < RANGE_COPY_MAX ? length : RANGE_COPY_MAX;
	slot->done = 0;
	range_copy_on(slot, 0);
}

/* As a file system may that knows no holes: one, at the end. */
static off_t range_seek_plain(const struct file *file, off_t offset, int whence)
{
	struct stat st;

	if (AGAIN(fstat(file->fd, &st)))
		return -1;
	if ((uint64_t)offset >= (uint64_t)st.st_size) {
		errno = ENXIO;
		return -1;
	}
	return whence == SEEK_DATA ? offset : st.st_size;
}

/*
 * What was stored through a mapping may be in the client's page cache only:
 * the kernel does not write it back before it asks where there is data, and a
 * copy would leave out what is a hole below. To have the kernel write it back
 * (FUSE_NOTIFY_INVAL_INODE) would be to wait for ourselves: if we were killed
 * then, the thread that waits could not end, nor the mount with it. So while
 * anybody can store so, all is data. (A mapping outlives the descriptor, but
 * the file is open as long as it is, and its pages are written back before
 * that ends. With a writeback cache we are not asked: session_new().)
 */
static void range_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset,
			int whence, struct fuse_file_info *fi)
{
	const struct file *file = file_of(fi);
	bool plain = (whence == SEEK_DATA || whence == SEEK_HOLE) &&
		     atomic_load(&volume_target(req, ino)->may_store);
	off_t found = plain ? range_seek_plain(file, offset, whence) :
			      AGAIN(lseek(file->fd, offset, whence));

	if (found < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_lseek(req, found);
}

void range_install(struct fuse_lowlevel_ops *ops)
{
	ops->fallocate = range_allocate;
	ops->copy_file_range = range_copy_begin;
	ops->lseek = range_lseek;
}
