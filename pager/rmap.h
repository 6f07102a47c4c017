/*
 * rmap.h - reverse map: from a frame to every page-table entry that maps it.
 *
 * A frame mapped once keeps the entry's place (page table id and virtual page
 * number) in frame->rmap itself. Mapped more often, frame->rmap heads a chain
 * of nodes from one growing array. Only pmap.c changes it, together with the
 * entry. Lock: the core lock.
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
#define RMAP_CHAIN	(1ull << 63)

struct rmap_node {
	uint64_t place;
	uint32_t next;
};

/* => 0; -ENOMEM, nothing changed. */
int rmap_add(struct vm *vm, struct frame *f, uint64_t place);
/* => @place was added. */
void rmap_remove(struct vm *vm, struct frame *f, uint64_t place);
unsigned rmap_count(const struct vm *vm, const struct frame *f);

/*
 * rmap_walk(f, &w); while (rmap_next(vm, &w, &place)) ... The place just
 * returned may be removed; ids start at 1, so no place is 0.
 */
struct rmap_walk {
	uint64_t single;
	uint32_t next;
};
void rmap_walk(const struct frame *f, struct rmap_walk *w);
bool rmap_next(const struct vm *vm, struct rmap_walk *w, uint64_t *place);
void rmap_destroy(struct vm *vm);

#endif
