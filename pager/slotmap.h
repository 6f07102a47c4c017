/*
 * slotmap.h - which page of which object a swap slot holds.
 *
 * The store hands out slots and counts references; here stands whose they
 * are. A slot with an owner is found under (object, page), like a frame, and
 * a page may have both: then the slot holds what the frame held when it was
 * last written (the swap cache). The owner's hold is one reference; an I/O in
 * flight is another, so that a slot given up during its write is not handed
 * out before the write is over. Lock: the core lock.
 */
#ifndef PAGER_SLOTMAP_H
#define PAGER_SLOTMAP_H

#include <stdint.h>

#include "pager/core.h"

struct slot {
	uint64_t page;
	uint32_t object;		/* 0: no owner */
	uint32_t hash_next;
	uint32_t obj_next, obj_prev;	/* slots of the object */
};

/* Sized by the swap areas there are now. => 0, -ENOMEM. */
int slotmap_init(struct vm *vm);
void slotmap_destroy(struct vm *vm);

/* => the slot of (@o, @page), or 0. */
uint32_t slotmap_lookup(const struct vm *vm, const struct object *o,
			uint64_t page);
/* It will be looked up soon: its bucket, and then the first of its @chain. */
void slotmap_prefetch(const struct vm *vm, uint32_t object, uint64_t page,
		      bool chain);
/* @slot, whose one reference is the caller's, becomes @o's. */
void slotmap_set(struct vm *vm, struct object *o, uint64_t page,
		 uint32_t slot);
/* The owner gives @slot up: its reference is dropped. */
void slotmap_drop(struct vm *vm, uint32_t slot);
/* The slot of (@o, @page), if any, is given up. */
void slotmap_drop_page(struct vm *vm, struct object *o, uint64_t page);
void slotmap_rename(struct vm *vm, uint32_t slot, struct object *to,
		    uint64_t page);
struct slot *slotmap_at(const struct vm *vm, uint32_t slot);
void slotmap_check(const struct vm *vm);

#endif
