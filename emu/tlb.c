/*
 * tlb.c - filling and emptying a TLB. The lookup is in tlb.h, and so are what
 * the planes mean and the invariants.
 *
 * CR3 changes often and a TLB is 32 KiB a plane, so a flush clears only the
 * groups of entries that were filled since the last one: a process that
 * touched little costs little.
 */
#include "tlb.h"

#include <string.h>

_Static_assert(TLB_ENTRIES % TLB_GROUPS == 0, "groups are whole");
_Static_assert(sizeof(struct tlb_entry) == 16, "an entry lies in one line");

void tlb_init(struct tlb *tlb)
{
	memset(tlb->e, 0xff, sizeof(tlb->e));	/* TLB_EMPTY */
	memset(tlb->used, 0, sizeof(tlb->used));
	tlb->large = false;
}

static void tlb_enter(struct tlb *tlb, enum mmu_access plane,
		      const struct tlb_page *page)
{
	unsigned i = tlb_index(page->va);

	tlb->e[plane][i].tag = page->va;
	tlb->e[plane][i].addend = (uintptr_t)page->host - page->va;
	tlb->used[plane] |= 1ull << (i / TLB_GROUP);
}

void tlb_fill(struct tlb *tlb, enum mmu_access access,
	      const struct tlb_page *page)
{
	tlb->large |= page->large;
	if (access == MMU_FETCH) {
		tlb_enter(tlb, MMU_FETCH, page);
		return;
	}
	tlb_enter(tlb, MMU_READ, page);
	if (page->store)
		tlb_enter(tlb, MMU_WRITE, page);
}

void tlb_invalidate(struct tlb *tlb, uint64_t va)
{
	unsigned plane;
	struct tlb_entry *e;

	/* INVLPG takes the whole large page (SDM 3A 4.10.4.1). */
	if (tlb->large) {
		tlb_flush(tlb);
		return;
	}
	for (plane = 0; plane < TLB_PLANES; plane++) {
		e = &tlb->e[plane][tlb_index(va)];
		if (e->tag == (va & X86_PAGE_MASK))
			e->tag = TLB_EMPTY;
	}
}

void tlb_flush(struct tlb *tlb)
{
	unsigned plane, group;
	uint64_t used;

	for (plane = 0; plane < TLB_PLANES; plane++) {
		for (used = tlb->used[plane]; used; used &= used - 1) {
			group = __builtin_ctzll(used);
			memset(&tlb->e[plane][group * TLB_GROUP], 0xff,
			       TLB_GROUP * sizeof(struct tlb_entry));
		}
		tlb->used[plane] = 0;
	}
	tlb->large = false;
}
