/*
 * miss.h - the short way after a TLB miss, at full speed.
 *
 * When the PDE cache knows the page table, a miss costs one entry read; else
 * the entries above are read, and if they are plain the PDE cache knows it
 * now. This does all that a walk does for the last entry: reserved bits,
 * rights with those of the levels above, A and D by compare-and-exchange. It
 * decides nothing against an access: whatever is not plainly fine is left to
 * the walk of mmu.c, which also gives the fault.
 *
 * Inline, into the functions of cpu.c that misses come to.
 */
#ifndef EMU_MISS_H
#define EMU_MISS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "walk.h"

/* Enter the 4 KiB around @va, which is at @pa, where @allowed says. */
static inline void miss_enter(struct cpu *cpu, uint64_t va, uint64_t pa,
			      enum mmu_access access, unsigned allowed,
			      bool dirty, unsigned shift)
{
	struct tlb_page page = {
		.va = va & X86_PAGE_MASK,
		.host = cpu->ram->base + (pa & X86_PAGE_MASK),
		.store = dirty && (allowed >> MMU_WRITE & 1),
		.shift = shift,
	};

	tlb_fill(&cpu->tlb, access, &page);
}

static inline void miss_fill(struct cpu *cpu, uint64_t va,
			     enum mmu_access access,
			     const struct mmu_result *res)
{
	miss_enter(cpu, va, res->pa, access, res->allowed, res->dirty,
		   res->shift);
}

/* Set what of @bits is not set, if the entry still is @entry. */
static inline bool miss_mark(void *where, uint64_t entry, uint64_t bits,
			     bool wide)
{
	uint32_t entry32 = entry;

	if ((entry & bits) == bits)
		return true;
	if (wide)
		return __atomic_compare_exchange_n((uint64_t *)where, &entry,
				entry | bits, false, __ATOMIC_SEQ_CST,
				__ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint32_t *)where, &entry32,
			entry32 | (uint32_t)bits, false, __ATOMIC_SEQ_CST,
			__ATOMIC_SEQ_CST);
}

/* In a large page, all is known. => NULL: walk */
static inline void *miss_large(struct cpu *cpu, const struct pde_entry *c,
			       uint64_t va, enum mmu_access access)
{
	unsigned allowed = mmu_allowed(&cpu->plan, 0, c->rights, c->pk);
	uint64_t pa = c->table + (va & ((1ull << cpu->pde.shift) - 1));

	if (!(allowed >> access & 1) || pa >= cpu->ram->size)
		return NULL;
	if (access == MMU_WRITE && !c->dirty)
		return NULL;
	miss_enter(cpu, va, pa, access, allowed, c->dirty, cpu->pde.shift);
	return cpu->ram->base + pa;
}

/* @wide is a constant. => NULL: walk */
static inline __attribute__((always_inline)) void *
miss_table(struct cpu *cpu, const struct pde_entry *c, uint64_t va,
	   enum mmu_access access, bool wide)
{
	const struct mmu_plan *p = &cpu->plan;
	uint64_t entry, bits = X86_PTE_A, pa;
	unsigned rights, allowed;
	uint8_t *where = cpu->ram->base + c->table;

	where += va >> X86_PAGE_SHIFT << (wide ? 3 : 2) & (X86_PAGE_SIZE - 1);
	if (wide)
		entry = __atomic_load_n((uint64_t *)where, __ATOMIC_SEQ_CST);
	else
		entry = __atomic_load_n((uint32_t *)where, __ATOMIC_SEQ_CST);
	if ((entry & (X86_PTE_P | p->rsvd)) != X86_PTE_P)
		return NULL;
	rights = c->rights & ((entry >> 1 & 3) | MMU_RIGHT_NX);
	if (entry & p->nx)
		rights |= MMU_RIGHT_NX;
	allowed = p->allow[0][rights];
	if (__builtin_expect(p->pk, 0))
		allowed = mmu_allowed(p, 0, rights,
				      entry >> X86_PTE_PK_SHIFT & 15);
	pa = (entry & (wide ? X86_PTE64_ADDR : X86_PTE32_ADDR)) +
	     (va & (X86_PAGE_SIZE - 1));
	if (!(allowed >> access & 1) || pa >= cpu->ram->size)
		return NULL;
	if (access == MMU_WRITE)
		bits |= X86_PTE_D;
	if (!miss_mark(where, entry, bits, wide))
		return NULL;
	miss_enter(cpu, va, pa, access, allowed,
		   (entry | bits) & X86_PTE_D, X86_PAGE_SHIFT);
	return cpu->ram->base + pa;
}

/*
 * Down to the page directory, where every entry is plain: present, accessed,
 * no large page, nothing reserved. @levels and @wide are constants.
 * => the entry that now is in the PDE cache, or NULL: walk
 */
static inline __attribute__((always_inline)) const struct pde_entry *
miss_upper(struct cpu *cpu, uint64_t va, uint64_t table, unsigned levels,
	   bool wide)
{
	const uint64_t plain = X86_PTE_P | X86_PTE_A;
	const uint64_t mask = plain | X86_PTE_PS | cpu->plan.rsvd;
	uint64_t entry, all = ~0ull, any = 0;
	struct pde_entry *e = pde_slot(&cpu->pde, va);
	unsigned level;
	uint8_t *where;

#pragma GCC unroll 4
	for (level = levels; level > 1; level--) {
		if (table >= cpu->ram->size)
			return NULL;
		where = cpu->ram->base + table;
		if (wide)
			entry = __atomic_load_n((uint64_t *)where +
				(va >> (12 + 9 * (level - 1)) & 511),
				__ATOMIC_SEQ_CST);
		else
			entry = __atomic_load_n((uint32_t *)where +
				(va >> 22 & 1023), __ATOMIC_SEQ_CST);
		if ((entry & mask) != plain)
			return NULL;
		all &= entry;
		any |= entry;
		table = entry & (wide ? X86_PTE64_ADDR : X86_PTE32_ADDR);
	}
	if (table >= cpu->ram->size)
		return NULL;
	e->key = pde_key(&cpu->pde, va);
	e->table = table;
	e->rights = all >> 1 & (MMU_RIGHT_W | MMU_RIGHT_U);
	e->rights |= any & cpu->plan.nx ? MMU_RIGHT_NX : 0;
	e->large = false;
	return e;
}

static __attribute__((noinline)) const struct pde_entry *
miss_root(struct cpu *cpu, uint64_t va)
{
	const struct mmu_plan *p = &cpu->plan;

	if (!walk_canonical(p, va))
		return NULL;
	switch (p->mode) {
	case MMU_64:
		return miss_upper(cpu, va, p->root, 4, true);
	case MMU_57:
		return miss_upper(cpu, va, p->root, 5, true);
	case MMU_32:
		return miss_upper(cpu, va, p->root, 2, false);
	case MMU_PAE:
		if (!(p->pdpte[va >> 30 & 3] & X86_PTE_P))
			return NULL;
		return miss_upper(cpu, va, p->pdpte[va >> 30 & 3] &
				  X86_PTE64_ADDR, 2, true);
	default:
		return NULL;
	}
}

/* => host address, or NULL: walk from the root. */
static inline __attribute__((always_inline)) void *
miss_short(struct cpu *cpu, uint64_t va, enum mmu_access access)
{
	const struct pde_entry *c = pde_lookup(&cpu->pde, va);

	if (__builtin_expect(!c, 0)) {
		c = miss_root(cpu, va);
		if (!c)
			return NULL;
	}
	if (__builtin_expect(c->large, 0))
		return miss_large(cpu, c, va, access);
	__atomic_store_n(&cpu->stats.walks, cpu->stats.walks + 1,
			 __ATOMIC_RELAXED);
	if (cpu->plan.mode == MMU_32)
		return miss_table(cpu, c, va, access, false);
	return miss_table(cpu, c, va, access, true);
}

/* Keep what a walk from the root found, in the PDE cache. */
void miss_keep(struct cpu *cpu, const struct walk *w,
	       const struct mmu_result *res);

#endif
