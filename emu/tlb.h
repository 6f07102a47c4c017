/*
 * tlb.h - one CPU's translation lookaside buffer.
 *
 * Direct-mapped by page number, in three planes: loads look in one, stores in
 * another, fetches in the third. An entry stands in a plane only if that kind
 * of access needs nothing more from the page table: it is permitted, and for
 * stores the leaf's D bit is set as well. So one compare answers at once
 * whether the page is there, the access allowed, D set and the address
 * aligned; a store to a page that was only read misses, and the walk sets D
 * (SDM 3A 4.8).
 *
 * In: tlb_fill() after a walk. Out: the host address of a page, as an addend
 * to the linear address. Gone by tlb_invalidate(), tlb_flush(), or when
 * another page takes the slot.
 *
 * Invariants: a tag is a linear page address, or TLB_EMPTY; an entry that is
 * not empty lies in a group whose bit in used[] is set; a piece of a larger
 * page has its bit in large set, or huge.
 *
 * Locks: none. Only the CPU's own host thread touches its TLB; others ask by
 * shootdown (cpu.h).
 */
#ifndef EMU_TLB_H
#define EMU_TLB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmu.h"
#include "x86.h"

#define TLB_BITS	11
#define TLB_ENTRIES	(1u << TLB_BITS)	/* in each plane */
#define TLB_PLANES	3			/* by enum mmu_access */
#define TLB_GROUPS	64			/* bits of used[] */
#define TLB_GROUP	(TLB_ENTRIES / TLB_GROUPS)
#define TLB_LARGE_SHIFT	21
#define TLB_EMPTY	(~0ull)			/* equals no masked address */

struct tlb_entry {
	uint64_t tag;		/* linear address of the page */
	uintptr_t addend;	/* host address = addend + linear address */
};

struct tlb {
	struct tlb_entry e[TLB_PLANES][TLB_ENTRIES];
	uint64_t used[TLB_PLANES];	/* groups that a flush must clear */
	/* Pieces of large pages: of 2 MiB, by address modulo 64; of more. */
	uint64_t large;
	bool huge;
};

/* What a walk found: the 4 KiB page at @va is at @host. */
struct tlb_page {
	uint64_t va;
	uint8_t *host;
	bool store;		/* stores need nothing more: W and D */
	uint8_t shift;		/* log2 of the page this is a piece of */
};

static inline unsigned tlb_index(uint64_t va)
{
	return (va >> X86_PAGE_SHIFT) & (TLB_ENTRIES - 1);
}

static inline uint64_t tlb_large_bit(uint64_t va)
{
	return 1ull << (va >> TLB_LARGE_SHIFT & 63);
}

/*
 * Does @e serve an access of @size bytes (a power of two) at @va? Not if the
 * page is not there for this kind of access, or @va is no multiple of @size.
 */
static inline bool tlb_hit(const struct tlb_entry *e, uint64_t va,
			   unsigned size)
{
	return __builtin_expect(
		e->tag == (va & (X86_PAGE_MASK | (size - 1))), 1);
}

static inline const struct tlb_entry *
tlb_entry(const struct tlb *tlb, uint64_t va, enum mmu_access access)
{
	return &tlb->e[access][tlb_index(va)];
}

/* => @e serves @va */
static inline void *tlb_host(const struct tlb_entry *e, uint64_t va)
{
	return (void *)(e->addend + va);
}

/* Host address of @va for @access, or NULL. */
static inline void *tlb_lookup(const struct tlb *tlb, uint64_t va,
			       enum mmu_access access, unsigned size)
{
	const struct tlb_entry *e = tlb_entry(tlb, va, access);

	return tlb_hit(e, va, size) ? tlb_host(e, va) : NULL;
}

static inline void tlb_enter(struct tlb *tlb, enum mmu_access plane,
			     const struct tlb_page *page)
{
	unsigned i = tlb_index(page->va);

	tlb->e[plane][i].tag = page->va;
	tlb->e[plane][i].addend = (uintptr_t)page->host - page->va;
	tlb->used[plane] |= 1ull << (i / TLB_GROUP);
}

/*
 * Remember @page after an @access: a load or a store for loads, and for
 * stores if it may; a fetch for fetches only.
 */
static inline void tlb_fill(struct tlb *tlb, enum mmu_access access,
			    const struct tlb_page *page)
{
	if (page->shift > TLB_LARGE_SHIFT)
		tlb->huge = true;
	else if (page->shift > X86_PAGE_SHIFT)
		tlb->large |= tlb_large_bit(page->va);
	if (access == MMU_FETCH) {
		tlb_enter(tlb, MMU_FETCH, page);
		return;
	}
	tlb_enter(tlb, MMU_READ, page);
	if (page->store)
		tlb_enter(tlb, MMU_WRITE, page);
}

void tlb_init(struct tlb *tlb);
/* Forget the page of @va, all of it if it is large. */
void tlb_invalidate(struct tlb *tlb, uint64_t va);
void tlb_flush(struct tlb *tlb);

#endif
