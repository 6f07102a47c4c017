/*
 * pte.h - one page-table entry: where it is, reading it, and the one writer.
 *
 * For pmap.c alone. Entries have 4 or 8 bytes, by the format of the page
 * table; here they are 8. The CPUs read them and set A and D at any time, so
 * all is done by single atomic accesses. Every write of an entry goes through
 * pte_write(): another engine can stand behind it, and the detector of stale
 * translations (caches.h) hears of it first. Lock: the core lock, or a share
 * of it where pmap.h says so.
 */
#ifndef PAGER_PTE_H
#define PAGER_PTE_H

#include "pager/frame.h"
#include "pager/pmap.h"

static inline uint32_t pte_pfn(uint64_t e)
{
	return (uint32_t)((e & X86_PTE64_ADDR) >> PAGE_SHIFT);
}

/* Is @v, read at @level, the entry of a large page? */
static inline bool pte_is_large(uint64_t v, unsigned level)
{
	return level == 1 && (v & X86_PTE_PS);
}

/* The frame of the table that @e is in. */
static inline uint32_t pte_table(const struct vm *vm, const void *e)
{
	return (uint32_t)(((const uint8_t *)e - vm->ram.base) >> PAGE_SHIFT);
}

/* The entry for @vpn in table @pfn of level @level (0: leaf). */
static inline void *pte_slot(const struct vm *vm, const struct pmap *p,
			     uint32_t pfn, uint64_t vpn, unsigned level)
{
	unsigned bits = p->fmt->bits;
	uint64_t i = (vpn >> (bits * level)) & ((1u << bits) - 1);

	return (uint8_t *)ram_frame(&vm->ram, pfn) + i * (p->fmt->size);
}

static inline uint64_t pte_read(const struct pmap *p, const void *e)
{
	if (p->fmt->size == 8)
		return __atomic_load_n((const uint64_t *)e, __ATOMIC_SEQ_CST);
	return __atomic_load_n((const uint32_t *)e, __ATOMIC_SEQ_CST);
}

/* @e, which is present and so may be cached, is about to change, by @who. =>
 * vm->cfg.stale */
void pte_tell(const struct vm *vm, const struct pmap *p, const void *e,
	      const char *who);

/*
 * The one writer: entry = (entry & @keep) | @set, in one atomic step against
 * the CPUs that set A and D. => what was there.
 */
#define pte_write(vm, p, e, keep, set) \
	pte_write_by(vm, p, e, keep, set, __func__)
static inline uint64_t pte_write_by(const struct vm *vm, const struct pmap *p,
				    void *e, uint64_t keep, uint64_t set,
				    const char *who)
{
	if (vm->cfg.stale && (pte_read(p, e) & X86_PTE_P))
		pte_tell(vm, p, e, who);
	if (p->fmt->size == 8) {
		uint64_t old = pte_read(p, e);

		while (!__atomic_compare_exchange_n(
			(uint64_t *)e, &old, (old & keep) | set, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
		return old;
	}
	uint32_t old = (uint32_t)pte_read(p, e);

	while (!__atomic_compare_exchange_n(
		(uint32_t *)e, &old, (uint32_t)((old & keep) | set), false,
		__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	return old;
}

#endif
