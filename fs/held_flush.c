/*
 * held_flush.c - how held writes come to the real files, or are lost: by an
 * fsync, for a window, on command. (At the end: held_end.c.)
 *
 * A write changes the time of a file and takes its privileges. That was due
 * when the client wrote (held.c); what he has set since must not change
 * because we write now, so it is put back. The time of the change of the
 * inode cannot be, and not all can be by who is not root.
 *
 * No locks of its own; a file's is held, the I/O too (held.c).
 */
#include "fs/held_int.h"
#include "fs/gate.h"
#include "fs/report.h"
#include "fs/rule.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * Bytes that are written at a time. Small ones, so that one can see that they
 * move where they do slowly, and where they do not, larger ones.
 */
#define HELD_PIECE	4096u
#define HELD_PIECE_MAX	(1u << 20)
#define HELD_QUICK_NS	10000000
#define HELD_SLOW_NS	40000000

int held_pwrite_part(int fd, const char *data, size_t length, uint64_t offset,
		     int flags, size_t *done)
{
	struct iovec iov;
	ssize_t moved;

	for (*done = 0; *done < length; *done += moved) {
		iov = (struct iovec){ (char *)data + *done, length - *done };
		moved = pwritev2(fd, &iov, 1, offset + *done, flags);
		if (moved < 0 && errno == EINTR)
			moved = 0;
		if (moved < 0)
			return -errno;
	}
	return 0;
}

int held_pwrite(int fd, const char *data, size_t length, uint64_t offset,
		int flags)
{
	size_t done;

	return held_pwrite_part(fd, data, length, offset, flags, &done);
}

/* ---- what writing changes besides, and did when the client wrote ---- */

void held_note(struct held *held, struct held_attr *attr)
{
	attr->known = !fstat(held->fd, &attr->st);
	attr->ncaps = fgetxattr(held->fd, XATTR_NAME_CAPS, attr->caps,
				sizeof(attr->caps));
}

/* As well as we may: it is not the clients' data. */
void held_put_back(struct held *held, const struct held_attr *attr)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT }, attr->st.st_mtim,
	};
	struct stat st;

	if (!attr->known || fstat(held->fd, &st))
		return;
	if (attr->st.st_mode & ~st.st_mode & (S_ISUID | S_ISGID))
		fchmod(held->fd, attr->st.st_mode & 07777);
	if (attr->ncaps > 0)
		fsetxattr(held->fd, XATTR_NAME_CAPS, attr->caps, attr->ncaps,
			  0);
	futimens(held->fd, times);
}

/* ---- one file ---- */

/* How much at a time, after so many as @piece took @ns. */
static size_t held_next_piece(size_t piece, uint64_t ns)
{
	if (ns < HELD_QUICK_NS)
		return piece < HELD_PIECE_MAX ? piece * 2 : piece;
	return ns > HELD_SLOW_NS && piece > HELD_PIECE ? piece / 2 : piece;
}

int held_write_part(struct held *held, struct held_extent *extent,
		    uint64_t from, uint64_t to)
{
	static __thread size_t piece = HELD_PIECE;
	uint64_t begin;
	size_t length;
	int err = 0;

	for (; !err && from < to; from += length) {
		length = to - from < piece ? to - from : piece;
		begin = gate_now();
		err = held_pwrite(held->fd, held_extent_data(extent) +
				  (from - extent->offset), length, from, 0);
		if (!err)
			held_move(length);
		if (length == piece)
			piece = held_next_piece(piece, gate_now() - begin);
	}
	return err;
}

/* Write one extent and let go of it. Its file must not leave the table before
 * the rest of it is put back. => 0 or -errno. */
static int held_write_out(struct held *held, struct held_extent *extent)
{
	int err = held_write_part(held, extent, extent->offset,
				  extent->offset + extent->length);

	if (err)
		return err;
	held_count(extent->length, 0);
	held_tree_remove(&held->tree, extent);
	return 0;
}

int held_flush(struct held *held)
{
	struct held_extent *extent = held_tree_first(&held->tree, 0), *next;
	struct held_attr attr;
	int err = 0, failed;

	held_note(held, &attr);
	for (; extent; extent = next) {
		next = held_tree_next(&held->tree, extent);
		failed = held_write_out(held, extent);
		if (!err)
			err = failed;
	}
	held_put_back(held, &attr);
	held_account(held);
	return err;
}

void held_spill(struct held *held, uint64_t window, uint64_t random)
{
	struct held_attr attr;
	int err = 0;

	if (!window || held->tree.count <= window)
		return;
	held_note(held, &attr);
	while (!err && held->tree.count > window)
		err = held_write_out(held,
				     held_tree_pick(&held->tree,
						    rule_next_random(&random)));
	held_put_back(held, &attr);
	held_account(held);
}

/* ---- all files ---- */

void held_lose(struct held *held)
{
	held_count(0, held->tree.bytes);
	held_drop(held, 0, UINT64_MAX);
}

int held_flush_told(struct held *held, const char *fate)
{
	int err = held_flush(held);

	if (err)
		report("held writes, inode %lu: %s: %lu bytes %s", held->ino,
		       strerror(-err), held->tree.bytes, fate);
	return err;
}

int held_flush_all(void)
{
	struct held_walk walk = HELD_WALK;
	struct held *held;
	int err = 0, failed;

	while ((held = held_next(&walk))) {
		failed = held_flush_told(held, "stay held");
		if (!err)
			err = failed;
		held_leave(held);
	}
	return err;
}

void held_drop_all(void)
{
	struct held_walk walk = HELD_WALK;
	struct held *held;
	uint64_t bytes = 0;

	while ((held = held_next(&walk))) {
		bytes += held->tree.bytes;
		held_lose(held);
		held_leave(held);
	}
	report("held writes: %lu bytes are dropped", bytes);
}
