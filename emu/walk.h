/*
 * walk.h - one walk of the page tables, for those who keep part of it: the
 * translation caches. Others call mmu_walk().
 *
 * A walk begins at the root, or lower down where a paging-structure cache
 * says (SDM 3A 4.10.3); what it read is there afterwards, to be cached.
 */
#ifndef EMU_WALK_H
#define EMU_WALK_H

#include "mmu.h"

#define WALK_LEVELS	5	/* at most */

/* What a paging-structure cache remembers of the levels above. */
struct walk_start {
	uint64_t table;		/* physical address of the table to look in */
	uint8_t level;		/* of its entries; 1 is the page table */
	uint8_t rights;		/* MMU_RIGHT_* over the levels above */
};

struct walk {
	const struct ram *ram;
	const struct mmu_plan *plan;
	uint64_t va;		/* as mmu_linear() gives it */
	enum mmu_access access;
	unsigned flags;		/* MMU_IMPLICIT, MMU_STACK */
	bool ask;		/* mark nothing */

	/* Written by the walk; entries by level, 1 being the page table. */
	unsigned top;		/* level it began at */
	unsigned bottom;	/* level of the leaf */
	uint8_t rights;		/* MMU_RIGHT_* over all of them */
	uint64_t entry[WALK_LEVELS + 1];
	void *where[WALK_LEVELS + 1];
};

/*
 * @start NULL: from the root.
 * => 0 and *@res, or -1 and *@pf. A fault of a walk that did not begin at the
 *    root may come from what was cached: begin again at the root.
 */
int walk_run(struct walk *w, const struct walk_start *start,
	     struct mmu_result *res, struct page_fault *pf);

/* Rights after the entries of @level and those above; for filling caches. */
uint8_t walk_rights(const struct walk *w, const struct walk_start *start,
		    unsigned level);

/* After a fault with RSVD: the reserved bits set in the last entry read. */
uint64_t walk_reserved(const struct walk *w);

/* log2 of what one entry at @level spans. */
static inline unsigned walk_shift(enum mmu_mode mode, unsigned level)
{
	return X86_PAGE_SHIFT + (level - 1) * (mode == MMU_32 ? 10 : 9);
}

/* Is @va one that can be had at all? SDM 3A 4.5.2, 1: 3.3.7.1. */
static inline bool walk_canonical(const struct mmu_plan *plan, uint64_t va)
{
	unsigned unused = plan->mode == MMU_57 ? 7 : 16;

	return plan->mode < MMU_64 ||
	       (uint64_t)((int64_t)(va << unused) >> unused) == va;
}

/* The #GP, or #SS, for an address that is not. => -1 */
int walk_refuse(uint64_t va, unsigned flags, struct page_fault *pf);

#endif
