/*
 * slots.h - the slots of one swap area: which are free, how often the others
 * are referenced, which are bad.
 *
 * alloc hands out neighbours, from where the last alloc ended, and prefers
 * unbroken ground. Its cost does not grow with the number of slots: free ones
 * are found by a bitmap with summaries, 64 to one.
 *
 * Locks: none; the caller serialises.
 */
#ifndef SWAP_SLOTS_H
#define SWAP_SLOTS_H

#include <stdbool.h>
#include <stdint.h>

#define SLOTS_CLUSTER	256u	/* the most that one alloc gives */

struct slots;

/*
 * Slots @first .. @end - 1, all free. => @first < @end <= 2^28.
 * => 0 and *slots; -ENOMEM.
 */
int slots_create(uint32_t first, uint32_t end, struct slots **slots);
void slots_destroy(struct slots *slots);

/* Up to @want (1..SLOTS_CLUSTER) neighbours with one reference each.
 * => how many, 0 if none is free; the first in *first. */
unsigned slots_alloc(struct slots *slots, unsigned want, uint32_t *first);

/* => slot in use. At most UINT16_MAX references. */
void slots_ref(struct slots *slots, uint32_t slot);
/* => slot in use. Free at the last one, unless bad. */
void slots_unref(struct slots *slots, uint32_t slot);
unsigned slots_refs(const struct slots *slots, uint32_t slot);

/* Never hand out @slot again; its references stay. */
void slots_bad(struct slots *slots, uint32_t slot);
bool slots_is_bad(const struct slots *slots, uint32_t slot);

uint32_t slots_ntotal(const struct slots *slots);
uint32_t slots_nfree(const struct slots *slots);
/* Referenced, bad or not. */
uint32_t slots_nused(const struct slots *slots);
uint32_t slots_nbad(const struct slots *slots);

/* Assert all invariants. Cost grows with the slots. */
void slots_check(const struct slots *slots);

#endif
