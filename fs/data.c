/*
 * data.c - read and write: the page traffic.
 *
 * The way of a read: look in the page cache below without waiting; what is
 * there is answered at once, out of the slot's aligned buffer. The rest goes
 * to the serving thread's ring and is answered when it completes. A write is
 * the same with the payload where the kernel put it, page aligned.
 *
 * What goes how:
 *	O_DIRECT that fits the alignment	the ring
 *	O_DIRECT that does not			as buffered, on the twin
 *	file in memory (tmpfs)			at once: it cannot wait
 *	 and a large read of one		without a copy, by a pipe
 *	buffered read				at once if cached, else ring
 *	buffered write				at once while that is quick
 *	appending write that is recorded	at once
 *
 * A buffered write is a copy into the page cache and is quicker done than
 * handed to the ring's worker threads, until the file system makes its
 * writers wait for the disk. So after one that took long, writes of this
 * thread go through the ring for a while.
 *
 * Short transfers are continued until the file ends. A slot belongs to one
 * serving thread, so there are no locks, but for one: while it is recorded
 * what is done, appending is done here and now, and file->place_lock held over
 * it, to see where the bytes went. The kernel locks the same of its own accord.
 */
#include "fs/file.h"
#include "fs/gate.h"
#include "fs/loop.h"
#include "fs/operations.h"
#include "fs/pipe.h"
#include "fs/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DATA_PASSED	32768		/* bytes; less is copied sooner */
#define DATA_SLOW_NS	2000000		/* a write that waited */
#define DATA_SHUN_NS	100000000	/* and how long we remember it */
#define DATA_SYNC	(RWF_DSYNC | RWF_SYNC)
#define DATA_TRYING	4	/* threads: as many as take requests, at most */

static atomic_uint data_trying;	/* data_tries() */

static void data_continue(struct slot *slot);

static char *data_at(const struct slot *slot)
{
	return slot->payload + slot->done;
}

static size_t data_left(const struct slot *slot)
{
	return slot->length - slot->done;
}

static bool data_is_direct(const struct slot *slot)
{
	return slot->fd == slot->file->fd && slot->file->align > 1;
}

static void data_reply(struct slot *slot, int err)
{
	if (slot->done && !slot->whole)
		err = 0;	/* what was moved counts; the rest asks again */
	if (err)
		fuse_reply_err(slot->req, err);
	else if (slot->write)
		fuse_reply_write(slot->req, slot->done);
	else
		fuse_reply_buf(slot->req, slot->payload, slot->done);
	loop_finish(slot);
}

/* Leave the direct descriptor: what is left does not fit it. */
static int data_go_buffered(struct slot *slot)
{
	int fd;

	loop_slow_enter();
	fd = file_twin(slot->file);
	loop_slow_leave();
	if (fd >= 0)
		slot->fd = fd;
	return fd < 0 ? fd : 0;
}

/* Did a short read, of @done bytes, end where the file does? Otherwise, or if
 * it does not say, ask for the rest. */
static bool data_at_end(const struct slot *slot, size_t done)
{
	struct stat st;

	return !file_stat(slot->file, slot->fd, &st) &&
	       slot->offset + (off_t)done >= st.st_size;
}

/*
 * One transfer brought @result bytes or -errno.
 * => true: the request is complete and answered.
 */
static bool data_account(struct slot *slot, ssize_t result)
{
	bool direct = data_is_direct(slot);

	if (result == -EAGAIN || result == -EINTR)
		return false;
	if (result == -EINVAL && direct && !data_go_buffered(slot))
		return false;
	if (result <= 0) {
		data_reply(slot, -result);
		return true;
	}
	slot->done += result;
	if (!data_left(slot) ||
	    (!slot->write && data_at_end(slot, slot->done))) {
		data_reply(slot, 0);
		return true;
	}
	if (direct && !file_fits(slot->file, slot->done, 0))
		data_go_buffered(slot);
	return false;
}

static void data_done(struct slot *slot, int result)
{
	if (!data_account(slot, result))
		data_continue(slot);
}

/*
 * On a file system that others must be asked about, submitting may wait, and
 * we with it: buffered, because the ring takes one whose files can be polled
 * (FUSE) at its word that it does not; direct, when there is as much on the
 * way as it allows. A thread of the ring's waits instead. But it is dear, and
 * direct ones rarely wait: some of us try, and are replaced if they do.
 * => true: try, and data_tried() after it.
 */
static bool data_tries(const struct slot *slot)
{
	if (!data_is_direct(slot))
		return false;
	if (atomic_fetch_add(&data_trying, 1) < DATA_TRYING) {
		loop_slow_enter();
		return true;
	}
	atomic_fetch_sub(&data_trying, 1);
	return false;
}

static void data_tried(void)
{
	loop_slow_leave();
	atomic_fetch_sub(&data_trying, 1);
}

static void data_continue(struct slot *slot)
{
	bool foreign = !volume_is_local(slot->file->volume, slot->file->inode);
	bool tries = foreign && data_tries(slot);
	struct io_uring_sqe *sqe = loop_sqe(slot);
	off_t offset = slot->offset + slot->done;

	if (slot->write)
		io_uring_prep_write(sqe, slot->fd, data_at(slot),
				    data_left(slot), offset);
	else
		io_uring_prep_read(sqe, slot->fd, data_at(slot),
				   data_left(slot), offset);
	sqe->rw_flags = slot->rw_flags;
	if (foreign && !tries)
		sqe->flags |= IOSQE_ASYNC;
	loop_submit(slot, sqe);
	if (tries)
		data_tried();
}

/* Transfer here and now. => Bytes or -errno. */
static ssize_t data_now(struct slot *slot, int flags)
{
	struct iovec iov = { data_at(slot), data_left(slot) };
	ssize_t moved;

	flags |= slot->rw_flags;
	if (slot->write)
		moved = pwritev2(slot->fd, &iov, 1, slot->offset, flags);
	else
		moved = preadv2(slot->fd, &iov, 1, slot->offset, flags);
	return moved < 0 ? -errno : moved;
}

static uint64_t data_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* => What data_now() says; -EAGAIN: this one is for the ring. */
static ssize_t data_write_cached(struct slot *slot)
{
	static __thread uint64_t shun_until;
	uint64_t start = data_clock(), end;
	ssize_t moved;

	if (start < shun_until)
		return -EAGAIN;
	loop_slow_enter();
	moved = data_now(slot, 0);
	loop_slow_leave();
	end = data_clock();
	if (end - start > DATA_SLOW_NS)
		shun_until = end + DATA_SHUN_NS;
	return moved;
}

static ssize_t data_try(struct slot *slot)
{
	const struct file *file = slot->file;
	ssize_t moved;

	if (file->in_memory)
		return data_now(slot, 0);
	if (data_is_direct(slot))
		return -EAGAIN;
	/* With O_SYNC or O_DSYNC a write waits for the disk each time. */
	if (slot->write)
		return slot->rw_flags & DATA_SYNC ? -EAGAIN :
						    data_write_cached(slot);
	moved = data_now(slot, RWF_NOWAIT);
	return moved == -EOPNOTSUPP ? -EAGAIN : moved;
}

/* ---- appending, while that is recorded ---- */

/*
 * Only the position of a descriptor says where the bytes went, when somebody
 * else may have changed the file's size meanwhile: truncated it by opening it,
 * or written to it so late that it was told to have failed. => As data_now().
 */
static ssize_t data_append_now(struct slot *slot)
{
	struct iovec iov = { data_at(slot), data_left(slot) };
	ssize_t moved;

	loop_slow_enter();
	pthread_mutex_lock(&slot->file->place_lock);
	moved = pwritev2(slot->fd, &iov, 1, -1, slot->rw_flags);
	if (moved < 0)
		moved = -errno;
	else if (!slot->done)
		slot->place = lseek(slot->fd, 0, SEEK_CUR) - moved;
	pthread_mutex_unlock(&slot->file->place_lock);
	loop_slow_leave();
	return moved;
}

static bool data_append_is_seen(const struct slot *slot)
{
	return recorder_runs() && slot->write && slot->rw_flags & RWF_APPEND;
}

static void data_append(struct slot *slot)
{
	while (!data_account(slot, data_append_now(slot)))
		;
}

/* ---- without a copy here ---- */

static bool data_may_pass(const struct slot *slot)
{
	return slot->file->in_memory && !slot->write &&
	       slot->length >= DATA_PASSED && !gate_sees_data(slot) &&
	       slot->length <= pipe_room(loop_device(slot));
}

/* The answer is in the pipe, and @out, by reference, its header. */
static void data_pass_answer(struct slot *slot, struct fuse_out_header *out)
{
	struct iovec iov[] = {
		{ out, sizeof(*out) }, { NULL, out->len - sizeof(*out) },
	};
	char *copy = slot->payload - sizeof(*out);
	int count = 2;

	if (!gate_answer(slot, iov, &count))
		pipe_take(copy, out->len);
	else if (pipe_send(loop_device(slot), out->len) &&
		 /* It is not there if nobody waits for it any more. */
		 pipe_take(copy, out->len) == out->len &&
		 write(loop_device(slot), copy, out->len) < 0)
		count = 0;	/* as well */
	fuse_reply_none(slot->req);
	loop_finish(slot);
}

/*
 * The pages go by reference from the file to who reads them. The header is in
 * the slot's first page, where nothing else is. A read that comes to an end
 * which is not the file's goes on as any other.
 */
static void data_pass(struct slot *slot)
{
	struct fuse_out_header *out = (void *)slot->page;
	ssize_t moved;

	*out = (struct fuse_out_header){
		.unique = loop_message(slot)->unique,
	};
	moved = pipe_fill(out, sizeof(*out), slot->fd, slot->offset,
			  slot->length);
	if (moved == (ssize_t)slot->length ||
	    (moved > 0 && data_at_end(slot, moved))) {
		out->len = sizeof(*out) + moved;
		data_pass_answer(slot, out);
		return;
	}
	pipe_take(slot->payload - sizeof(*out), sizeof(*out) + slot->length);
	data_done(slot, moved < 0 ? data_now(slot, 0) : moved);
}

/* ---- requests ---- */

/*
 * => 0; -EFBIG: the client was promised that this write fails; -EPERM: pages
 * of a mapping have a place, and the file can only be appended to.
 */
static int data_may_write(const struct file *file, const struct slot *slot,
			  off_t end)
{
	if (file->append_only && !(slot->rw_flags & RWF_APPEND))
		return -EPERM;
	return file_may_reach(file, end);
}

static void data_start(struct slot *slot, struct file *file, size_t size,
		       off_t offset)
{
	int err = slot->write ? data_may_write(file, slot, offset + size) : 0;

	slot->file = file;
	slot->fd = file->fd;
	slot->offset = offset;
	slot->length = size;
	slot->done = 0;
	slot->place = slot->rw_flags & RWF_APPEND ? -1 : offset;
	if (!err && !file_fits(file, offset, size))
		err = data_go_buffered(slot);
	if (err)
		data_reply(slot, -err);
	else if (data_append_is_seen(slot))
		data_append(slot);
	else if (data_may_pass(slot))
		data_pass(slot);
	else if (!data_account(slot, data_try(slot)))
		data_continue(slot);
}

static void data_read(fuse_req_t req, fuse_ino_t ino, size_t size,
		      off_t offset, struct fuse_file_info *fi)
{
	struct slot *slot;

	(void)ino;
	if (size > SLOT_PAYLOAD) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	slot = loop_claim(req, data_done);
	slot->write = false;
	/* Where the page cache is told less, the file ends for it. */
	slot->whole = !(fi->flags & O_DIRECT);
	slot->rw_flags = 0;
	data_start(slot, file_of(fi), size, offset);
}

/* => RWF_APPEND, or 0: it has its place, *@offset. */
static int data_append_flags(const struct slot *slot, struct file *file,
			     const struct fuse_write_in *in, off_t *offset)
{
	bool at_end = true;
	struct stat st;

	if (!append_asked(file, in))
		return 0;
	if (request_get(slot->request.appends) &&
	    !file_stat(file, file->fd, &st))
		*offset = append_place(file, in, st.st_size, &at_end);
	return at_end ? RWF_APPEND : 0;
}

static void data_write(fuse_req_t req, fuse_ino_t ino, const char *buf,
		       size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct fuse_write_in *in = loop_request();
	struct slot *slot = loop_claim(req, data_done);
	struct file *file = file_of(fi);

	slot->payload = (char *)buf;
	slot->write = true;
	/* The kernel makes EIO of an asynchronous direct write that came back
	 * short, and takes pages of a mapping for written. */
	slot->whole = fi->flags & O_DIRECT || fi->writepage;
	slot->rw_flags = data_append_flags(slot, file, in, &offset) |
			 file_sync_flags(file, in);
	file->written = true;
	/* By fcntl(2), or what can only be appended to. */
	if (!fi->writepage && (in->flags & O_DIRECT || file->uncached))
		file_goes_past_cache(file, volume_target(req, ino));
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		file_kill_setid_now(req, ino, file->fd);
	data_start(slot, file, size, offset);
}

void data_install(struct fuse_lowlevel_ops *ops)
{
	ops->read = data_read;
	ops->write = data_write;
}
