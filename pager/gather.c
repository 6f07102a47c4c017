/*
 * gather.c - changes of page tables, shot down together: see pmap.h.
 */
#include "pager/frame.h"
#include "pager/pmap.h"

void gather_init(struct gather *g)
{
	shootdown_init(&g->sd);
	g->frames = PFN_NONE;
	g->pending = false;
}

void gather_frame(struct vm *vm, struct gather *g, uint32_t pfn)
{
	frame_at(vm, pfn)->hash_next = g->frames;
	g->frames = pfn;
}

void gather_page(struct gather *g, const struct pmap *p, uint64_t vpn)
{
	shootdown_add(&g->sd, pmap_cr3(p), vpn << PAGE_SHIFT);
	g->pending = true;
}

static void gather_send(struct vm *vm, struct gather *g, bool wait)
{
	if (!g->pending)
		return;
	vm_count(vm, SHOOTDOWN);
	shootdown_send(&g->sd, vm->cpu, vm->ncpus + 1, wait);
	g->pending = false;
}

void gather_flush(struct vm *vm, struct gather *g)
{
	uint32_t pfn, next;

	gather_send(vm, g, true);
	for (pfn = g->frames; pfn; pfn = next) {
		next = frame_at(vm, pfn)->hash_next;
		frame_free(vm, pfn);
	}
	g->frames = PFN_NONE;
}

void gather_hint(struct vm *vm, struct gather *g)
{
	assert(g->frames == PFN_NONE);
	gather_send(vm, g, false);
}
