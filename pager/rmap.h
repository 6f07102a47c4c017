/*
 * rmap.h - reverse map: from a frame to every page-table entry that maps it.
 *
 * A frame mapped once keeps the entry's place (page table id and virtual page
 * number) in frame->rmap itself. Mapped more often, frame->rmap is the root of
 * a tree of nodes from one growing array, 16 bytes each; what adding and
 * removing cost grows with the logarithm of their number. Only pmap.c changes
 * it, together with the entry. Lock: the core lock.
 */
#ifndef PAGER_RMAP_H
#define PAGER_RMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/core.h"

#define RMAP_VPN_BITS	44		/* five-level paging: 56 bits, halved */
#define RMAP_PLACE(id, vpn) \
	((uint64_t)(id) << RMAP_VPN_BITS | (uint64_t)(vpn))
#define RMAP_ID(place)	((uint32_t)((place) >> RMAP_VPN_BITS))
#define RMAP_VPN(place)	((place) & ((1ull << RMAP_VPN_BITS) - 1))
#define RMAP_TREE	(1ull << 63)

struct rmap_node {
	uint64_t place;
	uint32_t child[2];		/* 0: none */
};

/* => 0; -ENOMEM, nothing changed. */
int rmap_add(struct vm *vm, struct frame *f, uint64_t place);
/* => @place was added. */
void rmap_remove(struct vm *vm, struct frame *f, uint64_t place);
unsigned rmap_count(const struct vm *vm, const struct frame *f);

/* One of the places, 0: none is left. To remove them all; ids start at 1, so
 * no place is 0. */
uint64_t rmap_any(const struct vm *vm, const struct frame *f);

/* rmap_walk(f, &w); while (rmap_next(vm, &w, &place)) ... Nothing is added or
 * removed meanwhile. */
struct rmap_walk {
	uint64_t single;
	unsigned n;			/* still to be gone into: at most one */
	uint32_t node[65];		/* beside the way at each depth */
};
void rmap_walk(const struct frame *f, struct rmap_walk *w);
bool rmap_next(const struct vm *vm, struct rmap_walk *w, uint64_t *place);
void rmap_destroy(struct vm *vm);

#endif
