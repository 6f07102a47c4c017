/*
 * held.c - requests on a file that has held writes.
 *
 * An extent is a piece of a write. Extents of a file never overlap: a later
 * write cuts what it covers out of the earlier ones, as it does in the cache
 * of a disk. What a reader sees is the real file with the extents laid over
 * it; its size is the real one or the end of the last extent, whichever is
 * larger.
 *
 * All that reads or changes such a file is done under its lock, the I/O too,
 * so that nobody can read the real file before and lay the extents over it
 * after they were written and are gone. Waiting for it is bracketed.
 */
#include "fs/held_int.h"
#include "fs/file.h"
#include "fs/gate.h"
#include "fs/inject.h"
#include "fs/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

/* => Bytes, fewer only at the end of the file, or -errno. */
static ssize_t held_pread(int fd, char *data, size_t length, uint64_t offset)
{
	size_t done = 0;
	ssize_t moved = 1;

	while (moved && done < length) {
		moved = pread(fd, data + done, length - done, offset + done);
		if (moved < 0 && errno == EINTR)
			continue;
		if (moved < 0)
			return -errno;
		done += moved;
	}
	return done;
}

static void held_reply(struct slot *slot, int err)
{
	gate_reply(slot, -err, NULL, 0);
}

static void held_lay_over(struct held *held, char *to, uint64_t offset,
			  size_t length)
{
	struct held_extent *extent = held_tree_first(&held->tree, offset);
	uint64_t from, end;

	for (; extent && extent->offset < offset + length;
	     extent = held_tree_next(&held->tree, extent)) {
		from = extent->offset > offset ? extent->offset : offset;
		end = extent->offset + extent->length;
		if (end > offset + length)
			end = offset + length;
		memcpy(to + (from - offset), held_extent_data(extent) +
		       (from - extent->offset), end - from);
	}
}

static bool held_read(struct held *held, struct slot *slot)
{
	const struct fuse_read_in *in = (void *)(loop_message(slot) + 1);
	uint64_t offset = in->offset, end = held_tree_end(&held->tree);
	size_t size = in->size;
	char *to = (char *)(in + 1);
	ssize_t length;

	if (size > SLOT_PAYLOAD) {
		held_reply(slot, -EINVAL);
		return true;
	}
	length = held_pread(held->fd, to, size, offset);
	if (length < 0) {
		held_reply(slot, length);
		return true;
	}
	if (end > offset + size)
		end = offset + size;
	if (end > offset + length) {
		memset(to + length, 0, end - offset - length);
		length = end - offset;
	}
	held_lay_over(held, to, offset, length);
	gate_reply(slot, 0, to, length);
	return true;
}

/* What the real write will do to the file besides is done now. */
static int held_keep(struct held *held, const char *data, size_t length,
		     uint64_t offset)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW },
	};
	int err = held_tree_put(&held->tree, data, length, offset);

	held_account(held);
	if (err)
		return err;
	/* To set one of them alone takes more than leave to write. */
	if (futimens(held->fd, times))
		futimens(held->fd, NULL);
	fremovexattr(held->fd, XATTR_NAME_CAPS);
	return 0;
}

/* *@done: what of it is written, or held, also if the rest failed. */
static int held_write_at(struct held *held, const struct fuse_write_in *in,
			 uint64_t offset, int sync, bool hold, size_t *done)
{
	const char *data = (const char *)(in + 1);
	int err, failed;

	*done = in->size;
	if (hold && !sync && !held_is_full(in->size) &&
	    !held_keep(held, data, in->size, offset))
		return 0;
	err = held_pwrite_part(held->fd, data, in->size, offset, sync, done);
	/* So much is in the file, and is not to be written over. */
	failed = held_drop(held, offset, offset + *done);
	return err ? err : failed;
}

/* As file_kill_setid_now(). */
static void held_kill_setid(struct held *held, struct slot *slot)
{
	const struct fuse_in_header *in = loop_message(slot);

	if (file_kill_setid(held->fd, in->gid))
		fuse_lowlevel_notify_inval_inode(held->volume->se, in->nodeid,
						 -1, 0);
}

struct held_how {
	bool hold;
	uint64_t window, random;
};

static bool held_write(struct held *held, struct slot *slot,
		       const struct held_how *how)
{
	const struct fuse_write_in *in = (void *)(loop_message(slot) + 1);
	struct file *file = (struct file *)(uintptr_t)in->fh;
	struct fuse_write_out out = { .size = in->size };
	int64_t offset = in->offset;
	bool at_end;
	int err;

	if (append_asked(file, in)) {
		offset = held_size(held);
		if (offset >= 0)
			offset = append_place(file, in, offset, &at_end);
	}
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		held_kill_setid(held, slot);
	file->written = true;
	slot->place = offset;
	err = offset < 0 ? (int)offset :
		file->no_grow && offset + in->size > held_size(held) ?
		-EFBIG :
		held_write_at(held, in, offset, file_sync_flags(file, in),
			      how->hold, &slot->done);
	/* What fails of these is not this write's: it stays held, and its fsync
	 * says so. */
	if (!err)
		held_spill(held, how->window, how->random);
	/* The rule may be gone, or we; then nobody else flushes it. */
	if (!err && how->hold && (!inject_holds() || held_ends()))
		held_flush(held);
	if (err)
		held_reply(slot, err);
	else
		gate_reply(slot, 0, &out, sizeof(out));
	return true;
}

/* The real file gets @size first; then nothing is held behind it. The handler
 * does it again, and all else of it. */
static void held_truncate(struct held *held, uint64_t size)
{
	if (ftruncate(held->fd, size))
		return;
	held_drop(held, size, UINT64_MAX);
	held_shorten(held, size);
}

/* As long as it is shown. Not if it is: that would cut off what its client
 * has allocated behind the end. */
static int held_grow(struct held *held)
{
	int64_t size = held_size(held);
	struct stat st;

	if (size < 0)
		return size;
	if (fstat(held->fd, &st))
		return -errno;
	return st.st_size < size && ftruncate(held->fd, size) ? -errno : 0;
}

static bool held_fallocate(struct held *held, struct slot *slot,
			   const struct op_target *target)
{
	const struct file *file = (struct file *)(uintptr_t)target->fh;
	uint64_t end = target->offset + target->length;
	int err;

	/* Its handler looks at the real size of what is not to grow. */
	if (target->mode & (FALLOC_FL_COLLAPSE_RANGE |
			    FALLOC_FL_INSERT_RANGE) ||
	    (file->no_grow && !(target->mode & FALLOC_FL_KEEP_SIZE))) {
		err = held_flush(held);
		if (err)
			held_reply(slot, err);
		return err;
	}
	if (!(target->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		return false;
	if (loop_message(slot)->uid)
		held_kill_setid(held, slot);
	/* The size must not go with the extents. */
	err = held_grow(held);
	if (!err && fallocate(held->fd, target->mode, target->offset,
			      target->length))
		err = -errno;
	if (!err)
		err = held_drop(held, target->offset, end);
	held_reply(slot, err);
	return true;
}

/* As a file system may that knows no holes: one, at the end. */
static bool held_lseek(struct held *held, struct slot *slot)
{
	const struct fuse_lseek_in *in = (void *)(loop_message(slot) + 1);
	struct fuse_lseek_out out;
	int64_t size = held_size(held);

	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return false;
	if (size < 0 || in->offset >= (uint64_t)size) {
		held_reply(slot, size < 0 ? (int)size : -ENXIO);
		return true;
	}
	out.offset = in->whence == SEEK_DATA ? in->offset : (uint64_t)size;
	gate_reply(slot, 0, &out, sizeof(out));
	return true;
}

static bool held_write_back(struct held *held, struct slot *slot)
{
	int err = held_flush(held);

	if (err)
		held_reply(slot, err);
	return err;
}

/* Opening it is to empty it: by its handler, which may fail. So nothing is
 * dropped before its answer (held_answer()). */
static __thread struct held *held_opened;

static bool held_open(struct held *held, struct slot *slot)
{
	const struct fuse_open_in *in = (void *)(loop_message(slot) + 1);

	if (!(in->flags & O_TRUNC))
		return false;
	held_opened = held;
	loop_serve(slot);
	held_opened = NULL;
	return true;
}

void held_answer(bool failed)
{
	if (held_opened && !failed)
		held_drop(held_opened, 0, UINT64_MAX);
}

/* The handler changes attributes: not while a flush puts them back. */
static bool held_change(struct slot *slot)
{
	loop_serve(slot);
	return true;
}

/* => true: answered. held->lock is held. */
static bool held_serve_one(struct held *held, struct slot *slot,
			   unsigned int opcode,
			   const struct op_target *target,
			   const struct held_how *how)
{
	switch (opcode) {
	case FUSE_READ:
		return held_read(held, slot);
	case FUSE_WRITE:
		return held_write(held, slot, how);
	case FUSE_FSYNC:
	case FUSE_COPY_FILE_RANGE:
		return held_write_back(held, slot);
	case FUSE_SETATTR:
		if (target->ranged)
			held_truncate(held, target->offset);
		return held_change(slot);
	case FUSE_SETXATTR:
	case FUSE_REMOVEXATTR:
		return held_change(slot);
	case FUSE_OPEN:
		return held_open(held, slot);
	case FUSE_FALLOCATE:
		return held_fallocate(held, slot, target) || held_change(slot);
	case FUSE_LSEEK:
		return held_lseek(held, slot);
	default:
		return false;
	}
}

#define HELD_OPS (OP_DATA | OP_BIT(FUSE_FSYNC) | OP_BIT(FUSE_SETATTR) | \
		  OP_BIT(FUSE_OPEN) | OP_BIT(FUSE_FALLOCATE) | \
		  OP_BIT(FUSE_LSEEK) | OP_BIT(FUSE_COPY_FILE_RANGE) | \
		  OP_BIT(FUSE_SETXATTR) | OP_BIT(FUSE_REMOVEXATTR))

static bool held_serve_file(struct slot *slot, unsigned int opcode,
			    fuse_ino_t ino, const struct op_target *target,
			    const struct held_how *how)
{
	struct volume *volume = gate_volume();
	bool answered = false;
	struct held *held;

	/* Its lock may be held by one who waits for SOURCE. */
	loop_slow_enter();
	held = held_enter(volume, volume_inode(volume, ino), how->hold);
	if (held) {
		answered = held_serve_one(held, slot, opcode, target, how);
		held_leave(held);
	}
	loop_slow_leave();
	return answered;
}

bool held_serve(struct slot *slot, unsigned int opcode,
		const struct op_target *target, bool hold, uint64_t window,
		uint64_t random)
{
	struct held_how how = { hold, window, random };
	fuse_ino_t ino = loop_message(slot)->nodeid;

	if (opcode >= OP_MAX || !(HELD_OPS & OP_BIT(opcode)))
		return false;
	if (held_serve_file(slot, opcode, ino, target, &how))
		return true;
	return opcode == FUSE_COPY_FILE_RANGE &&
	       held_serve_file(slot, opcode, target->other, target, &how);
}
