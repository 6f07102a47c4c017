/*
 * miss.c - filling the PDE cache; see miss.h and pde.h.
 */
#include "miss.h"

void miss_keep(struct cpu *cpu, const struct walk *w,
	       const struct mmu_result *res)
{
	struct pde_cache *cache = &cpu->pde;
	struct pde_entry *e = pde_slot(cache, w->va);
	uint64_t inside = w->va & ((1ull << cache->shift) - 1);

	if (cpu->plan.mode == MMU_OFF)
		return;
	e->key = pde_key(cache, w->va);
	e->large = w->bottom > 1;
	e->dirty = res->dirty;
	e->pk = res->key;
	if (e->large) {
		/* What of a larger page lies behind this entry. */
		e->table = res->pa - inside;
		e->rights = res->rights;
		return;
	}
	e->table = w->entry[2] & (cpu->plan.mode == MMU_32 ? X86_PTE32_ADDR :
				  X86_PTE64_ADDR);
	e->rights = walk_rights(w, NULL, 2);
}
