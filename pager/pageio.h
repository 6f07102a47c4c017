/*
 * pageio.h - I/O of frames: descriptors, submission, completion.
 *
 * The one place where a frame becomes busy and stops being busy. Descriptors
 * are set aside at start: small ones for page-in, large ones for clusters.
 * Completion decides what becomes of a frame:
 *
 *	read:	ok		READING -> clean page; waiters go on
 *		error, past EOF	READING -> freed; waiters get -EIO, -ENXIO
 *	write:	ok, RECLAIM, nobody wants it	WRITING -> freed
 *		ok		WRITING -> clean page
 *		error		WRITING -> dirty page again, counted
 *		past EOF	WRITING -> freed: the file has no such page now
 *	any:	ORPHAN		busy -> freed; no waiter is told of an error
 *
 * Lock: the core lock, except where noted; never held while the store works.
 */
#ifndef PAGER_PAGEIO_H
#define PAGER_PAGEIO_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/core.h"
#include "pager/store.h"

struct object;
struct waiter;

struct pageio {
	struct store_io io;
	struct vm *vm;
	struct pageio *next;		/* free list */
	struct object *object;		/* file behind the io; NULL: swap */
	uint64_t start_ns;
	uint32_t *pfn;			/* the frames */
	uint32_t one;			/* room for a single one */
	uint32_t index;			/* what frame->aux says */
	bool write;
};

int pageio_init(struct vm *vm);
void pageio_destroy(struct vm *vm);

/* A descriptor, or NULL: wait for WAIT_READ_IO, WAIT_WRITE_IO. */
struct pageio *pageio_get_read(struct vm *vm);
struct pageio *pageio_get_write(struct vm *vm);
/* Give one back unused. */
void pageio_put(struct vm *vm, struct pageio *io);
/*
 * A descriptor that comes free wakes one who waits for such a one. He may not
 * need it any more (another has read the page), or not get it: when he has
 * looked, he passes the wake-up on, if there still is one to be had.
 */
void pageio_pass_on(struct vm *vm, struct waiter *w);

/* Read page @page of @store (a swap slot: it gets a reference) into frame
 * @pfn, which is @o's page already. */
void pageio_read(struct vm *vm, struct pageio *io, struct object *o,
		 struct store *store, uint64_t page, uint32_t pfn);
/* Write @n frames io->pfn[] to @store from page or slot @page on. => clean in
 * every page table, shot down, not busy. Clears DIRTY. */
void pageio_write(struct vm *vm, struct pageio *io, struct object *file,
		  uint64_t page, unsigned n);
/* fsync of a file; waiters of WAIT_SYNC(io) get the result. */
#define WAIT_SYNC(io)	((3ull << 40) + (io)->index)
void pageio_sync(struct vm *vm, struct pageio *io, struct object *file);

/* Since when frame @pfn is busy. */
uint64_t pageio_since(const struct vm *vm, uint32_t pfn);

#endif
