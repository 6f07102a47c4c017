/*
 * pageout.h - the daemon that keeps frames free, and laundering.
 *
 * It runs as a thread of the machine without a process, when free frames fall
 * to the low watermark, until the high one is reached. It allocates nothing:
 * descriptors and arrays are set aside at start, swap slots are there or the
 * page stays. Lock: the core lock, for all of these.
 */
#ifndef PAGER_PAGEOUT_H
#define PAGER_PAGEOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/core.h"
#include "pager/pmap.h"

struct object;

#define PAGEOUT_RETRY	100000000ull	/* ns after a failed write */

/* Makes the policy and the thread. => scheduler is there. 0, -ENOMEM. */
int pageout_init(struct vm *vm);
void pageout_destroy(struct vm *vm);
/* There may be something to do. */
void pageout_wake(struct vm *vm);
/* An I/O has ended: frames or descriptors may be free. */
void pageout_io_done(struct vm *vm, unsigned npages);
/* A write failed with @error: counted, told to every mapping, not retried at
 * once. @file NULL: swap, from @slot on. */
void pageout_write_error(struct vm *vm, struct object *file, uint32_t slot,
			 int error);
/* A write succeeded; @slot: of swap, else 0. */
void pageout_wrote(struct vm *vm, uint32_t slot, unsigned n);
/* The page @pfn, clean, not busy, goes; its frame is freed by @g. */
void pageout_steal(struct vm *vm, uint32_t pfn, struct gather *g);
/* A touch while @pfn was on its way out: it stays. */
void pageout_retake(struct vm *vm, uint32_t pfn);

#define WAIT_EVICT	(4ull << 40)
/* Free up to @n frames; WAIT_EVICT is woken when done, or with -ENOMEM when
 * that is impossible. */
void pageout_evict(struct vm *vm, uint64_t n);

/*
 * Write file page @pfn (dirty, not busy) and its dirty neighbours as one
 * cluster. => pages put under way; 0: no descriptor (wait for WAIT_WRITE_IO).
 */
unsigned launder_file(struct vm *vm, uint32_t pfn, bool reclaim);

#endif
