/*
 * pte.c - telling of changes of entries: see pte.h.
 */
#include "pager/pte.h"

/* Where in the address space @e is, the tables above it know. */
__attribute__((cold)) void pte_tell(const struct vm *vm, const struct pmap *p,
				    const void *e, const char *who)
{
	unsigned level = p->fmt->levels - 1, depth = 0, bits = p->fmt->bits;
	uint32_t table;
	uint64_t vpn = 0;

	for (;; depth++) {
		table = pte_table(vm, e);
		vpn += ((uintptr_t)e % PAGE_SIZE / p->fmt->size) <<
		       bits * depth;
		if (table == p->root)
			break;
		e = vm->ram.base + frame_at(vm, table)->rmap;
	}
	level -= depth;
	stale_change(vm->cfg.stale, pmap_cr3(p),
		     vpn << (bits * level) << PAGE_SHIFT,
		     PAGE_SHIFT + bits * level, who);
}
