/*
 * areas.h - the slots of all swap areas behind struct swap_store's calls.
 *
 * The half of a swap store that does no I/O: which area a page goes to, and
 * the counting. The store around it (swap_store.c, the tests' mem_store)
 * embeds struct areas, sets areas.swap.store and moves the bytes.
 *
 * Locks: none; the caller serialises (see pager/store.h).
 */
#ifndef SWAP_AREAS_H
#define SWAP_AREAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pager/store.h"
#include "swap/slots.h"

struct area {
	struct slots *slots;	/* NULL: no such area */
	const char *name;
	int priority;
	bool drain;		/* takes no new pages */
};

struct areas {
	struct swap_store swap;	/* all but .store is filled in here */
	struct area area[SWAP_AREAS_MAX];
	unsigned turn;		/* equal priorities: who is next */
};

void areas_init(struct areas *areas);

/* All slot maps are freed, whatever is in use. */
void areas_free(struct areas *areas);

/* Slots 1 .. @end - 1 under @name, which stays the caller's and in place.
 * => the area's number; -EMFILE: SWAP_AREAS_MAX already; -ENOMEM. */
int areas_add(struct areas *areas, uint32_t end, const char *name,
	      int priority);

/* => 0; -ENOENT; -EBUSY: slots in use. */
int areas_remove(struct areas *areas, unsigned area);

/* => 0; -ENOENT. */
int areas_drain(struct areas *areas, unsigned area, bool drain);

void areas_check(const struct areas *areas);

static inline struct areas *areas_of(struct swap_store *swap)
{
	return (struct areas *)((char *)swap - offsetof(struct areas, swap));
}

/* What the calls of areas.swap point to, for those that wrap them. */
unsigned areas_alloc(struct swap_store *swap, unsigned want, uint32_t except,
		     uint32_t *slot);
void areas_unref(struct swap_store *swap, uint32_t slot);
unsigned areas_refs(struct swap_store *swap, uint32_t slot);

#endif
