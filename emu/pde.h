/*
 * pde.h - the paging-structure cache of a CPU that runs at full speed.
 *
 * One cache, of what a walk finds down to the page directory (SDM 3A
 * 4.10.3.1, the PDE cache): for 2 MiB (32-bit mode: 4 MiB) of addresses the
 * page table to look in, or the large page, with the rights over all levels
 * above. Direct-mapped. It never holds anything that another CR3 gave, nor
 * outlives an invalidation of any page: every flush is one new generation,
 * and keys of older ones no longer match.
 *
 * Invariants: A was set in every entry above, none was reserved, and the
 * table lies in RAM; an entry outlives an access only if that succeeded (a
 * fault flushes); the plan is the one it was filled under. Locks: none, the
 * CPU's own.
 */
#ifndef EMU_PDE_H
#define EMU_PDE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "mmu.h"

#define PDE_ENTRIES	256u
#define PDE_GENERATION	(1ull << 44)	/* above any va >> 21 */

struct pde_entry {
	uint64_t key;		/* va >> shift, and the generation */
	uint64_t table;		/* physical address: table or large page */
	uint8_t rights;		/* MMU_RIGHT_* so far */
	bool large;		/* a page: no table below */
	bool dirty;		/* of a large page: D is set */
	uint8_t pk;		/* of a large page: its key */
};

struct pde_cache {
	uint64_t generation;
	unsigned shift;
	struct pde_entry e[PDE_ENTRIES];
};

static inline struct pde_entry *pde_slot(struct pde_cache *c, uint64_t va)
{
	return &c->e[(va >> c->shift) % PDE_ENTRIES];
}

static inline uint64_t pde_key(const struct pde_cache *c, uint64_t va)
{
	return va >> c->shift | c->generation;
}

/* => NULL: not there */
static inline const struct pde_entry *pde_lookup(struct pde_cache *c,
						 uint64_t va)
{
	const struct pde_entry *e = pde_slot(c, va);

	return __builtin_expect(e->key == pde_key(c, va), 1) ? e : NULL;
}

/* Forget everything. The first generation is 1: empty entries match none. */
static inline void pde_flush(struct pde_cache *c)
{
	c->generation += PDE_GENERATION;
	if (__builtin_expect(!c->generation, 0)) {
		memset(c->e, 0, sizeof(c->e));
		c->generation = PDE_GENERATION;
	}
}

static inline void pde_init(struct pde_cache *c)
{
	memset(c, 0, sizeof(*c));
	c->generation = PDE_GENERATION;
	c->shift = 21;
}

#endif
