/*
 * psc.h - modelled paging-structure caches (SDM 3A 4.10.3.1): for each level
 * above the page table a small cache, by address and PCID, of where the next
 * table is and what rights there are so far.
 *
 * A walk begins at the lowest level that hits. Fully associative, least
 * recently used. Invariants: filled only from walks that succeeded. No locks.
 */
#ifndef EMU_PSC_H
#define EMU_PSC_H

#include <stdbool.h>
#include <stdint.h>

#include "walk.h"

#define PSC_ENTRIES	64	/* at most, a level */

struct psc_entry {
	uint64_t key;		/* va >> what an entry spans */
	uint64_t table;
	uint64_t used;		/* 0: empty */
	uint16_t pcid;
	uint8_t rights;
};

struct psc {
	uint64_t clock;
	uint8_t n[WALK_LEVELS + 1];	/* entries in use, by level */
	struct psc_entry e[WALK_LEVELS + 1][PSC_ENTRIES];
};

void psc_init(struct psc *psc, const uint8_t n[WALK_LEVELS + 1]);
/* => the level whose entry was found, or 0; then *@start is untouched. */
unsigned psc_lookup(struct psc *psc, enum mmu_mode mode, uint64_t va,
		    unsigned pcid, struct walk_start *start);
/* Keep the upper levels of @w, which began at @start. */
void psc_fill(struct psc *psc, const struct walk *w,
	      const struct walk_start *start, unsigned pcid);
void psc_flush_pcid(struct psc *psc, unsigned pcid);
void psc_flush(struct psc *psc);

#endif
