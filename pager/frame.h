/*
 * frame.h - the frame table: what every frame of RAM is used for.
 *
 * 40 bytes a frame, and 4 for its hash bucket. States and who changes them:
 *
 *	          frame_alloc            frame_enter
 *	FREE ----------------> HELD ----------------> PAGE (in an object)
 *	  ^  <----------------  |  <----------------
 *	  |     frame_free      |      frame_remove
 *	  |                     +--> TABLE (pmap: a page-table page)
 *
 * A PAGE has an identity (object, page number) under which frame_lookup()
 * finds it, and flags:
 *
 *	READING	the store is filling it; not mapped; nobody may look inside
 *	WRITING	the store is reading it; mapped read-only at most
 *	DIRTY	must be written before it may go (so must one with a dirty
 *		bit in a page-table entry: pmap_dirty() asks both)
 *	RECLAIM	free it when the write is done, unless somebody wants it
 *	ORPHAN	busy, but its object has gone: free it when the I/O is done
 *	FRESH	has been read, and who asked for it has not come by yet: not to
 *		be taken away, or two faults could chase each other for ever
 *	FAILED	of a file: its last write failed, as number aux of its errors
 *
 * Invariant: READING and WRITING exclude one another, and READING excludes
 * DIRTY. Lock: the core lock, for everything here; what may also be done by
 * who shares it says so.
 */
#ifndef PAGER_FRAME_H
#define PAGER_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/core.h"

#define FRAME_PAGE_BITS	52		/* page number in its object */

enum frame_state {
	FRAME_FREE, FRAME_RESERVED, FRAME_HELD, FRAME_TABLE, FRAME_PAGE,
};

#define FRAME_READING	1u
#define FRAME_WRITING	2u
#define FRAME_DIRTY	4u
#define FRAME_RECLAIM	8u
#define FRAME_ORPHAN	16u
#define FRAME_FRESH	32u
#define FRAME_FAILED	64u
#define FRAME_BUSY	(FRAME_READING | FRAME_WRITING)

struct frame {
	uint64_t page : FRAME_PAGE_BITS;
	uint64_t state : 4;
	uint64_t flags : 8;
	uint64_t rmap;			/* rmap.h; TABLE: parent entry's address */
	uint32_t object;		/* id; 0: none */
	uint32_t hash_next;		/* hash chain, gather list */
	uint32_t obj_next, obj_prev;	/* pages of the object; free list */
	uint32_t aux;			/* TABLE: live entries; busy: pageio;
					 * FAILED */
	uint32_t spare;			/* first of a large page: its table */
};

/* => 0, -ENOMEM. Frame 0 is reserved and stays zero: the empty page table. */
int frame_init(struct vm *vm);
void frame_destroy(struct vm *vm);

static inline struct frame *frame_at(const struct vm *vm, uint32_t pfn)
{
	assert(pfn < vm->frames.n);
	return &vm->frames.f[pfn];
}

enum frame_use {
	FRAME_FOR_NEW,			/* page without contents yet, or copy:
					 * leaves wm_new frames */
	FRAME_FOR_PAGE,			/* read: leaves wm_min */
	FRAME_FOR_TABLE,		/* leaves half of that */
};
/* How many frames it leaves free. */
uint32_t frame_leaves(const struct vm *vm, enum frame_use use);
/*
 * Take a free frame; HELD, its bytes are whatever they were. Wakes the
 * pageout daemon below wm_low. => its number; PFN_NONE: none to be had now.
 */
uint32_t frame_alloc(struct vm *vm, enum frame_use use);
/*
 * Take a whole aligned block of free frames, what a large page maps; all HELD.
 * Not when that would leave fewer than wm_low. => the first; PFN_NONE.
 */
uint32_t frame_alloc_block(struct vm *vm);
static inline uint32_t frame_block_size(const struct vm *vm)
{
	return 1u << vm->frames.block_shift;
}
/*
 * Each CPU may have a few free frames to itself, which it takes while it
 * shares the core lock. frame_stock() gives some to @pc if it has none and
 * there are plenty; frame_unstock() takes back all of all CPUs, and is called
 * when frames get scarce.
 */
bool frame_stock_fill(struct vm *vm, struct percpu *pc);
static inline bool frame_stock(struct vm *vm, struct percpu *pc)
{
	return pc->nfree == 0 && frame_stock_fill(vm, pc);
}
void frame_unstock(struct vm *vm);
/* One of them; HELD, its flags and reverse map zero. Lock: inside, by @pc, or
 * the core lock. => PFN_NONE: none left. */
static inline uint32_t frame_take(struct vm *vm, struct percpu *pc)
{
	uint32_t pfn = PFN_NONE;

	if (pc->nfree > 0) {
		pfn = pc->free[--pc->nfree];
		frame_at(vm, pfn)->state = FRAME_HELD;
	}
	return pfn;
}
/* All free frames, wherever they are. */
uint32_t frame_nfree(const struct vm *vm);

/* HELD or TABLE becomes FREE; a waiter for memory is woken. */
void frame_free(struct vm *vm, uint32_t pfn);

/* HELD becomes the page @page of @o. => @o has no such page in RAM. Lock:
 * shared will do, if no other CPU can reach @o. */
void frame_enter(struct vm *vm, uint32_t pfn, struct object *o, uint64_t page);
/* PAGE becomes HELD. => not mapped, not busy. */
void frame_remove(struct vm *vm, uint32_t pfn);
/*
 * The first FRAME_AHEAD of @n pages will be removed soon. What that touches
 * lies all over the table, and the caches are full of what is being written:
 * one after the other, the misses take longer than all else.
 */
#define FRAME_AHEAD	16
void frame_prefetch(const struct vm *vm, const uint32_t *pfn, unsigned n);
/* A busy page loses its identity: its object goes. */
void frame_orphan(struct vm *vm, uint32_t pfn);
/* PAGE goes from its object to @page of @to. => not busy. */
void frame_rename(struct vm *vm, uint32_t pfn, struct object *to,
		  uint64_t page);
/* => frame number, or PFN_NONE. Lock: shared will do. */
uint32_t frame_lookup(const struct vm *vm, const struct object *o,
		      uint64_t page);

/* Busy marks; @io is the descriptor's index. Ending wakes the waiters with
 * @result; => how many there were. */
void frame_busy(struct vm *vm, uint32_t pfn, unsigned how, uint32_t io);
unsigned frame_unbusy(struct vm *vm, uint32_t pfn, int result);

/* Assert every invariant of the table (walks it). */
void frame_check(const struct vm *vm);

#endif
