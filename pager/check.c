/*
 * check.c - the invariants that no single part can see.
 *
 * Each part's own check (frame_check() and so on) walks its structure; here
 * they are held against one another: every page-table entry against the area
 * and the chain of objects that it is a cache of, the reverse map against the
 * entries, references against who holds them, slots against the store's
 * counts. For vm_check(); slow. Lock: the core lock, without which no tree of
 * areas changes its shape.
 */
#include "pager/check.h"

#include <stdlib.h>

#include "pager/frame.h"
#include "pager/map.h"
#include "pager/object.h"
#include "pager/pmap.h"
#include "pager/process.h"
#include "pager/rmap.h"
#include "pager/slotmap.h"

/*
 * The entry @e of @p at @vpn maps @pfn: so must the area say, and the frontmost
 * object that has the page must have it there. Writable only if it is the
 * area's own.
 */
static void check_entry(const struct vm *vm, struct proc *p, uint64_t vpn,
			uint64_t e, uint32_t pfn)
{
	const struct frame *f = frame_at(vm, pfn);
	struct area *a = map_find(&p->map, vpn);
	const struct object *o;
	uint64_t page;

	assert(a && a->object && a->prot);
	o = a->object;
	page = a->page + (vpn - a->start);
	if (e & X86_PTE_W)
		assert(f->object == o->id && !a->needs_copy &&
		       (a->prot & VM_PROT_WRITE));
	while (f->object != o->id) {
		assert(!object_has(vm, o, page));
		assert(o->backing && page < o->npages);
		page += o->backing_page;
		o = o->backing;
	}
	assert(f->page == page);
}

/* => how many entries map @pfn. */
static uint64_t check_rmap(const struct vm *vm, uint32_t pfn)
{
	struct rmap_walk w;
	uint64_t place, n = 0, e;

	rmap_walk(frame_at(vm, pfn), &w);
	while (rmap_next(vm, &w, &place)) {
		struct proc *p = vm->pmap_proc[RMAP_ID(place)];

		assert(p && p->pmap.id == RMAP_ID(place));
		e = pmap_entry(vm, &p->pmap, RMAP_VPN(place));
		assert((e & X86_PTE64_ADDR) >> PAGE_SHIFT == pfn);
		check_entry(vm, p, RMAP_VPN(place), e, pfn);
		n++;
	}
	return n;
}

static void check_frames(const struct vm *vm)
{
	uint64_t mapped = 0, resident = 0, writing = 0, laundering = 0;

	for (uint32_t pfn = 1; pfn < vm->frames.n; pfn++) {
		const struct frame *f = frame_at(vm, pfn);

		if (f->state != FRAME_PAGE)
			continue;
		mapped += check_rmap(vm, pfn);
		writing += !!(f->flags & FRAME_WRITING);
		laundering += !!(f->flags & FRAME_RECLAIM);
		assert(!(f->flags & FRAME_RECLAIM) ||
		       (f->flags & FRAME_WRITING));
	}
	for (uint32_t id = 1; id < vm->npmaps; id++)
		if (vm->pmap_proc[id])
			resident += vm->pmap_proc[id]->pmap.resident;
	assert(mapped == resident);
	assert(writing == vm->io.writing);
	assert(laundering == vm->pageout.laundering);
}

/* Areas, of the living and of those that are just exiting. Calls under way
 * hold references too. */
static void check_references(const struct vm *vm)
{
	uint32_t *n = calloc(vm->objects.n, sizeof(*n));

	if (!n)
		return;
	for (uint32_t id = 1; id < vm->npmaps; id++) {
		struct proc *p = vm->pmap_proc[id];
		struct area *a;

		if (!p)
			continue;
		map_check(&p->map);
		RB_FOREACH(a, area_tree, &p->map.tree)
			if (a->object)
				n[a->object->id]++;
	}
	for (uint32_t id = 1; id < vm->objects.n; id++) {
		const struct object *o = vm->objects.o[id];

		assert(o || n[id] == 0);
		assert(!o || n[id] + o->nshadows <= o->refs);
		/* A collapse that is due has been made. */
		assert(!o || o->kind == OBJECT_FILE || o->refs > 1 ||
		       o->nshadows == 0 || o->nbusy > 0);
	}
	free(n);
}

/* With no I/O in flight, the owner's is a slot's only reference. */
static void check_slots(const struct vm *vm)
{
	struct swap_store *swap = vm->cfg.swap;
	struct swap_area_info info;

	for (unsigned a = 0; swap && a < SWAP_AREAS_MAX; a++) {
		uint32_t owned = 0;

		for (uint32_t i = 0; i < vm->slots.nslots[a]; i++) {
			uint32_t slot = SWAP_SLOT(a, i);

			if (slotmap_at(vm, slot)->object == 0)
				continue;
			owned++;
			assert(swap->refs(swap, slot) == 1 ||
			       vm->io.inflight);
		}
		if (vm->io.inflight == 0 && swap->info(swap, a, &info) == 0)
			assert(owned == info.nused);
	}
}

void check_machine(const struct vm *vm)
{
	check_frames(vm);
	check_references(vm);
	check_slots(vm);
}
