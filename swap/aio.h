/*
 * aio.h - one io_uring for all page I/O of a machine.
 *
 * A store turns a store_io into bytes of an aio_file and hands it over with
 * aio_submit(); aio moves the pages between frames and file, resumes short
 * transfers, finds the end of the file, and calls io->done() from aio_reap().
 * A request is described once, at creation, so that submitting allocates
 * nothing; what comes while all are busy waits in a queue through io->next.
 *
 * Locks: all calls may come from any thread. done() runs with none held.
 *
 * A thread that submitted should outlive its I/O: the kernel cancels the
 * requests of a thread that exits. They are then sent again by the thread
 * that reaps, so nothing is lost but time.
 */
#ifndef SWAP_AIO_H
#define SWAP_AIO_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/store.h"

struct aio;
struct aio_request;

struct aio_config {
	void *ram;		/* host address of frame 0 */
	uint64_t ram_size;	/* bytes, whole frames */
	unsigned depth;		/* requests in flight; 0: AIO_DEPTH */
	bool no_register;	/* leave RAM unpinned (tests, huge RAM) */
	unsigned spin_ns;	/* a reap watches for so long before it sleeps,
				   while a single I/O is under way; 0: never */
};

#define AIO_DEPTH	256	/* default of aio_config.depth */
#define AIO_FILES	256	/* registered files; more work, slower */

/*
 * A file pages move to and from. The store owns it and keeps it in place
 * until nothing is in flight. Page p of a store_io lies at byte
 * (p - first_page) * STORE_PAGE_SIZE.
 */
struct aio_file {
	int fd;			/* O_DIRECT if @direct */
	int tail_fd;		/* the same file, buffered; -1: none */
	int slot;		/* in the registered files; -1: none */
	bool direct;
	bool trim;		/* may change size: a write never goes past
				   its end, so ask for it before each one */
	bool guarded;		/* the file system sees to that (nogrow.h):
				   ask only when it has refused one */
	bool split;		/* refuses unaligned direct I/O (learned) */
	uint64_t first_page;
	/* The pages of @io, whose frames lie in @ram, were moved without an
	 * error, and done() is next: may set io->error. No lock held. NULL:
	 * there is no more to it. */
	void (*moved)(struct aio_file *file, struct store_io *io,
		      const uint8_t *ram);
};

struct aio_stats {
	uint64_t reads, writes, syncs;		/* store_ios completed */
	uint64_t pages_read, pages_written;
	uint64_t errors;			/* completed with an error */
	uint64_t resumed;			/* short, EAGAIN, EINTR */
	uint64_t sizes;				/* asked for writes */
	uint64_t enters;			/* system calls made */
	unsigned inflight, queued;		/* now */
	unsigned depth;
	bool fixed_ram, fixed_files;		/* registered with the ring */
};

/*
 * Make a ring with @config->depth requests and register RAM with it. RAM that
 * cannot be pinned is used unregistered (aio_stats.fixed_ram says so).
 * => 0 and *aio; -ENOSYS: no io_uring in this kernel, or older than 5.11;
 *    -EPERM: io_uring is switched off (kernel.io_uring_disabled, seccomp);
 *    -ENOMEM, -EMFILE; -EINVAL: RAM not whole frames.
 */
int aio_create(const struct aio_config *config, struct aio **aio);

/* => nothing in flight, no thread in a call. */
void aio_destroy(struct aio *aio);

/*
 * Make @file known to the ring: fills file->slot, -1 if the table is full
 * (the file then works by its fd, slower). fd, tail_fd and the flags are set
 * by the caller and stay the caller's to close after aio_file_remove().
 */
void aio_file_add(struct aio *aio, struct aio_file *file);
/*
 * The device of @file had gone and is back: @fresh has the same file's new
 * descriptors and what is known of them. They take the place of the old,
 * under the old numbers, for what is under way as well. Takes over
 * @fresh->fd and @fresh->tail_fd. => 0 or -errno: nothing has changed, @fresh
 * is still the caller's.
 */
int aio_file_renew(struct aio *aio, struct aio_file *file,
		   struct aio_file *fresh);
/* => nothing in flight on @file. */
void aio_file_remove(struct aio *aio, struct aio_file *file);

/* Queue @io on @file. Never fails, never waits; not sent before a kick. */
void aio_submit(struct aio *aio, struct aio_file *file, struct store_io *io);

/* As store_engine's: see pager/store.h. */
void aio_kick(struct aio *aio);
int aio_reap(struct aio *aio, int64_t timeout_ns);
void aio_wake(struct aio *aio);

void aio_get_stats(struct aio *aio, struct aio_stats *stats);

#endif
