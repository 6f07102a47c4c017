/*
 * ring.h - an io_uring that one thread may wait on while others submit.
 *
 * liburing's submit-and-wait keeps the submission queue to itself while it
 * sleeps. Here handing over and sleeping are apart: ring_flush() (under the
 * caller's submission lock) makes the prepared entries visible and counts
 * them, ring_enter() (under none) is the system call.
 *
 * Locks: io_uring_get_sqe() and ring_flush() under one lock of the caller's,
 * reading completions under another; ring_enter() any time.
 */
#ifndef SWAP_RING_H
#define SWAP_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#define RING_CHUNK_SHIFT	30	/* a registered buffer: at most 1 GiB */

struct ring {
	struct io_uring uring;
	uint8_t *ram;		/* what is registered */
	unsigned nfiles;	/* size of the table of registered files */
	bool fixed_ram;
	bool fixed_vectors;	/* several pieces of it in one transfer too */
};

/*
 * @entries: of the submission queue; completions have twice that. @nfiles: a
 * sparse table of so many registered files, fewer if the limit on open files
 * is lower, none if the kernel will not.
 * => 0; -ENOSYS, -EPERM, -ENOMEM, -EMFILE as aio_create().
 */
int ring_create(struct ring *ring, unsigned entries, unsigned nfiles);
void ring_destroy(struct ring *ring);

/* Pin @size bytes at @ram: ring->fixed_ram tells whether the kernel agreed,
 * ring->fixed_vectors whether iovecs are good for what is pinned. */
void ring_pin(struct ring *ring, void *ram, uint64_t size);

/* Which registered buffer holds all of the @n pieces; -1: none does. */
int ring_buffer(const struct ring *ring, const struct iovec *iov, unsigned n);

/* Fill @sqe: read or write @n pieces at @offset of @fd, from or to pinned
 * memory where they are in it. @iov stays until the entry is taken. */
void ring_prep_move(const struct ring *ring, struct io_uring_sqe *sqe,
		    bool read, int fd, const struct iovec *iov, unsigned n,
		    uint64_t offset);

/* Put @fd (-1: none) at @slot of the registered files. => 0, -errno. */
int ring_set_file(struct ring *ring, unsigned slot, int fd);

/* => how many entries the kernel has still to take. */
unsigned ring_flush(struct ring *ring);
/* Are there completions that a thread's entering the kernel would bring in? */
bool ring_pending(const struct ring *ring);
/* The calling thread's: bring them in. Does not wait. */
void ring_run_pending(struct ring *ring);

/*
 * Submit @submit entries and, if @wait, sleep until a completion is there or
 * @timeout_ns is over (< 0: never). => entries taken; -ETIME: time is over;
 * -EINTR: a signal; -EAGAIN, -EBUSY, -ENOMEM: the kernel is short, try later.
 */
int ring_enter(struct ring *ring, unsigned submit, bool wait,
	       int64_t timeout_ns);

#endif
