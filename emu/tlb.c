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
#define TLB_LARGE	(1u << (TLB_LARGE_SHIFT - X86_PAGE_SHIFT))

_Static_assert(TLB_ENTRIES % TLB_LARGE == 0, "2 MiB do not wrap around");
_Static_assert(sizeof(struct tlb_entry) == 16, "an entry lies in one line");

void tlb_init(struct tlb *tlb)
{
	memset(tlb->e, 0xff, sizeof(tlb->e));	/* TLB_EMPTY */
	memset(tlb->used, 0, sizeof(tlb->used));
	tlb->large = 0;
	tlb->huge = false;
}

/* All pieces of the 2 MiB around @va: they are neighbours in each plane. */
static void tlb_invalidate_large(struct tlb *tlb, uint64_t va)
{
	unsigned plane, i, first;
	struct tlb_entry *e;

	va >>= TLB_LARGE_SHIFT;
	first = tlb_index(va << TLB_LARGE_SHIFT);
	for (plane = 0; plane < TLB_PLANES; plane++) {
		e = &tlb->e[plane][first];
		for (i = 0; i < TLB_LARGE; i++)
			if (e[i].tag != TLB_EMPTY &&
			    e[i].tag >> TLB_LARGE_SHIFT == va)
				e[i].tag = TLB_EMPTY;
	}
}

void tlb_invalidate(struct tlb *tlb, uint64_t va)
{
	unsigned plane;
	struct tlb_entry *e;

	/* INVLPG takes the whole large page (SDM 3A 4.10.4.1). */
	if (tlb->huge) {
		tlb_flush(tlb);
		return;
	}
	if (tlb->large & tlb_large_bit(va)) {
		tlb_invalidate_large(tlb, va);
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
	tlb->large = 0;
	tlb->huge = false;
}
