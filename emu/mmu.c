/*
 * mmu.c - the page-table walker.
 *
 * An address goes down the levels: at each one entry is read from RAM, atomic
 * and once, and judged as read (SDM 3A 4.3, 4.5 and 4.6; page faults 4.7).
 * What has been read is kept in struct walk. Only when the whole walk
 * succeeds are A and D set (SDM 3A 4.8), by compare-and-exchange against what
 * was read, from the root to the leaf. If an entry has changed meanwhile,
 * nothing is written to it and the walk starts again; so the walker never
 * brings back an entry that the pager has taken away, and a D bit it set
 * was on a leaf that was mapped at that moment.
 *
 * Invariants: a walk that faults has set no bit by its own judgement; A on
 * upper levels may stay behind if the leaf was pulled away in between, which
 * the manual allows (accessed may be set for a walk that goes nowhere).
 *
 * Entries are read sequentially consistent (on x86 a plain load): the walk
 * after a write of CR3, and the reading of CR3 by who changes an entry, are
 * Dekker's pair; see shootdown.c. Locks: none.
 */
#include "mmu.h"

#include <assert.h>
#include <stddef.h>

#include "ram.h"

#define MMU_LEVELS	4	/* at most */
#define MMU_AGAIN	1	/* an entry changed under the walk */

/* Bits that no present 8-byte entry may have, NX apart. */
#define MMU_RSVD64	(X86_PTE64_ADDR & ~((1ull << X86_MAXPHYADDR) - 1))

/*
 * The two formats. The functions below are inlined into walk32() and walk64()
 * with a constant @wide, so that none of it is decided while walking.
 */
#define MMU_INLINE	static inline __attribute__((always_inline))

struct walk {
	const struct ram *ram;
	const struct mmu_regs *regs;
	uint64_t va;
	enum mmu_access access;
	uint64_t all;		/* AND of the entries: U, W, A */
	uint64_t any;		/* OR of the entries: NX */
	uint64_t leaf;		/* the last entry */
	unsigned n;		/* entries read */
	unsigned shift;		/* of the leaf's page */
	uint64_t entry[MMU_LEVELS];	/* as read, from the root */
	void *where[MMU_LEVELS];
};

static bool walk_nx_on(const struct mmu_regs *regs)
{
	return (regs->cr4 & X86_CR4_PAE) && (regs->efer & X86_EFER_NXE);
}

/*
 * @why: X86_PF_P, X86_PF_RSVD, or 0 for absence. I is told only where fetches
 * can be told apart at all (SDM 3A 4.7).
 */
static __attribute__((noinline, cold)) int
walk_fault(const struct walk *w, uint32_t why, struct page_fault *pf)
{
	pf->addr = w->va;
	pf->error = why;
	if (w->access == MMU_WRITE)
		pf->error |= X86_PF_W;
	if (w->regs->user)
		pf->error |= X86_PF_U;
	if (w->access == MMU_FETCH && walk_nx_on(w->regs))
		pf->error |= X86_PF_I;
	return -1;
}

MMU_INLINE uint64_t entry_load(const void *where, bool wide)
{
	if (wide)
		return __atomic_load_n((const uint64_t *)where,
				       __ATOMIC_SEQ_CST);
	return __atomic_load_n((const uint32_t *)where, __ATOMIC_SEQ_CST);
}

/* Add @bits to an entry, if it still is what was read. */
MMU_INLINE bool entry_mark(void *where, uint64_t old, uint64_t bits,
			   bool wide)
{
	uint32_t old32 = old;

	if ((old & bits) == bits)
		return true;
	if (wide)
		return __atomic_compare_exchange_n((uint64_t *)where, &old,
				old | bits, false, __ATOMIC_SEQ_CST,
				__ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint32_t *)where, &old32,
			old32 | (uint32_t)bits, false, __ATOMIC_SEQ_CST,
			__ATOMIC_SEQ_CST);
}

/* What no present 8-byte entry may have, whatever its level. */
static inline uint64_t entry_reserved(const struct mmu_regs *regs)
{
	return walk_nx_on(regs) ? MMU_RSVD64 : MMU_RSVD64 | X86_PTE_NX;
}

/* The same, because of the level: where pages of 2^@shift bytes may be. */
MMU_INLINE uint64_t entry_reserved_at(uint64_t entry, unsigned shift)
{
	if (shift > 30)
		return X86_PTE_PS;
	if (shift > X86_PAGE_SHIFT && (entry & X86_PTE_PS))
		return ((1ull << shift) - 1) & ~0x1fffull;
	return 0;
}

/* In a 4 KiB leaf bit 7 is PAT; in 32-bit mode without PSE it is ignored. */
MMU_INLINE bool entry_is_leaf(uint64_t entry, unsigned shift, bool wide)
{
	return shift == X86_PAGE_SHIFT || (wide && (entry & X86_PTE_PS));
}

MMU_INLINE uint64_t entry_address(uint64_t entry, unsigned shift, bool wide)
{
	uint64_t mask = wide ? X86_PTE64_ADDR : X86_PTE32_ADDR;

	return entry & mask & ~((1ull << shift) - 1);
}

/* Where in RAM the entry is; NULL: past it. */
MMU_INLINE void *entry_where(const struct walk *w, uint64_t table,
			     unsigned shift, bool wide)
{
	uint64_t index = (w->va >> shift) & (wide ? 511 : 1023);

	if (table >= w->ram->size)
		return NULL;
	return w->ram->base + table + index * (wide ? 8 : 4);
}

/*
 * From CR3 to the leaf. Unrolled, and in locals until the end: a walk is a
 * chain of loads, each waiting for the one before, and a detour of an entry
 * through memory would come on top at every level.
 * => 0 and w->entry[] filled in; or -1 and *@pf
 */
MMU_INLINE int walk_down(struct walk *w, bool wide, struct page_fault *pf)
{
	const unsigned levels = wide ? 4 : 2, bits = wide ? 9 : 10;
	const uint64_t rsvd = wide ? entry_reserved(w->regs) : 0;
	uint64_t table = entry_address(w->regs->cr3, X86_PAGE_SHIFT, wide);
	uint64_t entry = 0, all = ~0ull, any = 0;
	unsigned i, shift = X86_PAGE_SHIFT + bits * (levels - 1);
	void *where;

#pragma GCC unroll 4
	for (i = 0; i < levels; i++, shift -= bits) {
		where = entry_where(w, table, shift, wide);
		entry = where ? entry_load(where, wide) : 0;
		if (!(entry & X86_PTE_P))
			return walk_fault(w, 0, pf);
		if (wide && (entry & (rsvd | entry_reserved_at(entry, shift))))
			return walk_fault(w, X86_PF_P | X86_PF_RSVD, pf);
		w->entry[i] = entry;
		w->where[i] = where;
		all &= entry;
		any |= entry;
		if (entry_is_leaf(entry, shift, wide))
			break;
		table = entry_address(entry, X86_PAGE_SHIFT, wide);
	}
	w->n = i + 1;
	w->leaf = entry;
	w->all = all;
	w->any = any;
	w->shift = shift;
	return 0;
}

/* U/S and R/W count over all levels, and so does NX (SDM 3A 4.6.1). */
static inline bool walk_writable(const struct walk *w)
{
	if (w->all & X86_PTE_W)
		return true;
	return !w->regs->user && !(w->regs->cr0 & X86_CR0_WP);
}

static inline bool walk_permitted(const struct walk *w)
{
	if (w->regs->user && !(w->all & X86_PTE_U))
		return false;
	if (w->access == MMU_WRITE)
		return walk_writable(w);
	return w->access != MMU_FETCH || !(w->any & X86_PTE_NX);
}

/* => false: an entry is no more what it was. */
MMU_INLINE bool walk_mark(struct walk *w, bool wide)
{
	bool store = w->access == MMU_WRITE;
	uint64_t bits = X86_PTE_A;
	unsigned i;

	if ((w->all & X86_PTE_A) && (!store || (w->leaf & X86_PTE_D)))
		return true;
	for (i = 0; i < w->n - 1; i++)
		if (!entry_mark(w->where[i], w->entry[i], bits, wide))
			return false;
	if (store)
		bits |= X86_PTE_D;
	return entry_mark(w->where[i], w->entry[i], bits, wide);
}

/* @res NULL: only ask, mark nothing. => 0, -1, or MMU_AGAIN. */
MMU_INLINE int walk_once(struct walk *w, bool wide, struct mmu_result *res,
			 struct page_fault *pf)
{
	uint64_t offset, pa;

	if (walk_down(w, wide, pf))
		return -1;
	offset = w->va & ((1ull << w->shift) - 1);
	pa = entry_address(w->leaf, w->shift, wide) | offset;
	if (pa >= w->ram->size)
		return walk_fault(w, 0, pf);
	if (!walk_permitted(w))
		return walk_fault(w, X86_PF_P, pf);
	if (!res)
		return 0;
	if (!walk_mark(w, wide))
		return MMU_AGAIN;
	res->pa = pa;
	res->writable = walk_writable(w);
	res->executable = !(w->any & X86_PTE_NX);
	res->dirty = w->access == MMU_WRITE || (w->leaf & X86_PTE_D);
	res->shift = w->shift;
	return 0;
}

static int walk32(struct walk *w, struct mmu_result *res,
		  struct page_fault *pf)
{
	return walk_once(w, false, res, pf);
}

static int walk64(struct walk *w, struct mmu_result *res,
		  struct page_fault *pf)
{
	/* Bits 63 to 47 are all alike (SDM 3A 4.5.1). */
	if ((uint64_t)((int64_t)(w->va << 16) >> 16) != w->va)
		return walk_fault(w, 0, pf);
	return walk_once(w, true, res, pf);
}

static int walk_off(struct walk *w, struct mmu_result *res,
		    struct page_fault *pf)
{
	if (w->va >= w->ram->size)
		return walk_fault(w, 0, pf);
	if (res)
		*res = (struct mmu_result){
			.pa = w->va, .writable = true, .executable = true,
			.dirty = true, .shift = X86_PAGE_SHIFT,
		};
	return 0;
}

static int walk(const struct ram *ram, const struct mmu_regs *regs,
		uint64_t va, enum mmu_access access, struct mmu_result *res,
		struct page_fault *pf)
{
	struct walk w;
	int ret;

	w.ram = ram;
	w.regs = regs;
	w.va = mmu_linear(regs, va);
	w.access = access;
	do {
		if (!(regs->cr0 & X86_CR0_PG))
			ret = walk_off(&w, res, pf);
		else if (regs->efer & X86_EFER_LMA)
			ret = walk64(&w, res, pf);
		else
			ret = walk32(&w, res, pf);
	} while (ret == MMU_AGAIN);
	return ret;
}

int mmu_walk(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	     enum mmu_access access, struct mmu_result *res,
	     struct page_fault *pf)
{
	assert(res);
	return walk(ram, regs, va, access, res, pf);
}

int mmu_check(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	      enum mmu_access access, struct page_fault *pf)
{
	return walk(ram, regs, va, access, NULL, pf);
}
