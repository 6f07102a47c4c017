/*
 * transfer.c - how one store_io becomes system calls.
 *
 *	read	move... until all is there, or a piece of 0 bytes: the end
 *	write	[size, if the file may change size] move... up to the size
 *		guarded: move..., only if that is refused: size, move...
 *	sync	fsync
 *
 * A read is believed to be at the end of the file only when a read from there
 * gives nothing, so an intermediate short transfer is just resumed. A write
 * asks for the size each time and is cut to it, since no flag of write(2)
 * says "do not extend"; a truncation between the two is undone by the write,
 * as it is for any program that writes at an offset. Where the file system
 * refuses to extend the file for us (nogrow.h), nothing needs asking until it
 * does.
 *
 * O_DIRECT with a length or offset that is not a multiple of the block: some
 * file systems take it, some say EINVAL. The first EINVAL is remembered in
 * the file; from then on the odd part goes by the buffered descriptor, whose
 * pages the kernel keeps coherent with direct I/O.
 *
 * Invariant: moved <= want <= npages * STORE_PAGE_SIZE.
 */
#include "swap/transfer.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define PAGE		STORE_PAGE_SIZE
#define TRIES_MAX	1000	/* no progress so often: it is an error */

static uint64_t offset(const struct transfer *t)
{
	return (t->io->page - t->file->first_page) * PAGE;
}

static uint32_t pages(uint32_t bytes)
{
	return (bytes + PAGE - 1) / PAGE;
}

void transfer_start(struct transfer *t, struct store_io *io,
		    struct aio_file *file, void *ram)
{
	assert(io->npages <= STORE_MAX_PAGES);
	assert((io->op == STORE_SYNC) == (io->npages == 0));
	*t = (struct transfer) {
		.io = io, .file = file, .ram = ram,
		.want = io->npages * PAGE,
	};
	if (io->op == STORE_SYNC)
		t->step = TRANSFER_SYNC;
	else if (io->op == STORE_WRITE && file->trim && !file->guarded)
		t->step = TRANSFER_SIZE;
	else
		t->step = TRANSFER_MOVE;
}

/* How much to ask for next, and by which descriptor. */
static void choose_piece(struct transfer *t)
{
	uint32_t left = t->want - t->moved;
	uint32_t odd = t->moved % PAGE;

	t->asked = left;
	t->tail = false;
	if (!t->file->split)
		return;
	if (odd) {
		t->tail = true;
		if (left > PAGE - odd)
			t->asked = PAGE - odd;
	} else if (left < PAGE) {
		t->tail = true;
	} else {
		t->asked = left - left % PAGE;
	}
}

void transfer_piece(struct transfer *t, struct iovec *iov,
		    struct piece *piece)
{
	const uint32_t *pfn = t->io->pfn + t->moved / PAGE;
	uint32_t skip = t->moved % PAGE, left;
	struct iovec *last = NULL;

	choose_piece(t);
	for (left = t->asked; left; pfn++) {
		uint8_t *at = t->ram + (uint64_t)*pfn * PAGE + skip;
		uint32_t n = left < PAGE - skip ? left : PAGE - skip;

		if (last && (uint8_t *)last->iov_base + last->iov_len == at) {
			last->iov_len += n;
		} else {
			last = last ? last + 1 : iov;
			last->iov_base = at;
			last->iov_len = n;
		}
		left -= n;
		skip = 0;
	}
	piece->offset = offset(t) + t->moved;
	piece->niov = (unsigned)(last - iov) + 1;
}

static bool finish(struct transfer *t, int error)
{
	t->io->error = error;
	t->io->npast = error ? 0 : t->io->npages - pages(t->moved);
	return true;
}

/* A read met the end of the file. */
static bool finish_short(struct transfer *t)
{
	uint32_t odd = t->moved % PAGE;

	if (!t->file->trim)
		return finish(t, -EIO);	/* a swap area lost its end */
	if (odd)
		memset(t->ram + (uint64_t)t->io->pfn[t->moved / PAGE] * PAGE +
		       odd, 0, PAGE - odd);
	return finish(t, 0);
}

/* The same again, unless that went on for too long. */
static bool again(struct transfer *t, int error)
{
	return ++t->tries > TRIES_MAX ? finish(t, error) : false;
}

static bool got_size(struct transfer *t, uint64_t size)
{
	uint64_t start = offset(t);

	if (size < start + t->want)
		t->want = size > start ? (uint32_t)(size - start) : 0;
	if (t->want <= t->moved)
		return finish(t, 0);
	t->step = TRANSFER_MOVE;
	return false;
}

/* A write would have extended the file: how long is it now? */
static bool past_end(struct transfer *t)
{
	t->step = TRANSFER_SIZE;
	return again(t, -EFBIG);
}

/* EINVAL may be about the odd bytes at the end of a direct transfer. */
static bool refused(struct transfer *t)
{
	if (t->tail || t->file->tail_fd < 0 || !t->file->direct ||
	    !((t->moved | t->asked) % PAGE))
		return finish(t, -EINVAL);
	t->file->split = true;
	return again(t, -EINVAL);
}

static bool got_bytes(struct transfer *t, uint32_t n)
{
	assert(n <= t->asked);
	if (!n && t->io->op == STORE_READ)
		return finish_short(t);
	if (!n)
		return again(t, -EIO);
	t->moved += n;
	t->tries = 0;
	return t->moved == t->want ? finish(t, 0) : false;
}

bool transfer_result(struct transfer *t, int res, uint64_t size)
{
	/* ECANCELED: the thread that submitted has exited. */
	if (res == -EAGAIN || res == -EINTR || res == -ECANCELED)
		return again(t, res == -ECANCELED ? -EIO : res);
	if (t->step == TRANSFER_MOVE && res == -EINVAL)
		return refused(t);
	if (t->step == TRANSFER_MOVE && res == -EFBIG && t->file->guarded)
		return past_end(t);
	if (res < 0)
		return finish(t, res);
	switch (t->step) {
	case TRANSFER_SIZE:
		return got_size(t, size);
	case TRANSFER_MOVE:
		return got_bytes(t, (uint32_t)res);
	default:
		return finish(t, 0);
	}
}
