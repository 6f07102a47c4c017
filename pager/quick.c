/*
 * quick.c - faults that need nothing that others could be using.
 *
 * Zero-fill and copy on write in private memory, which is most faults of most
 * programs, take a free frame and put it where only this process sees it. So
 * they share the core lock (percpu_enter()), all CPUs at once, and none takes
 * a cache miss because of another. What they touch:
 *
 *	the area, and the page table		the map lock keeps others away
 *	the area's object, its list of pages	nobody else refers to it
 *	a frame and counters			the CPU's own
 *	the hash of all pages			only added to, in one step
 *	objects behind, frames in them		only read
 *
 * All who remove, change or rename anything hold the core lock, and so find
 * nobody here. Whatever does not fit is left as it was, to fault.c, which
 * would have come to the same result: its cases "copy it to the front" and
 * "zero-filled". Locks: the map's; the core lock, shared.
 */
#include "pager/quick.h"

#include <string.h>

#include "pager/frame.h"
#include "pager/map.h"
#include "pager/object.h"
#include "pager/pmap.h"
#include "pager/process.h"

/* May pages be put into the area's object as if it were our own? */
static bool quick_fits(const struct area *a)
{
	const struct object *o = a->object;

	return o && o->kind == OBJECT_ANON && o->refs == 1 && !a->shared &&
	       !a->needs_copy && !a->huge;
}

/*
 * What is to be in page @page of @o, which it does not have? => false: not for
 * us. *from: the frame to copy; PFN_NONE: zero.
 */
static bool quick_source(const struct vm *vm, const struct object *o,
			 uint64_t page, bool write, uint32_t *from)
{
	*from = PFN_NONE;
	if (object_has(vm, o, page))
		return false;
	while (o->backing && page < o->npages) {
		page += o->backing_page;
		o = o->backing;
		*from = frame_lookup(vm, o, page);
		if (*from != PFN_NONE)
			return write && !(frame_at(vm, *from)->flags &
					  (FRAME_READING | FRAME_FRESH));
		if (o->kind == OBJECT_FILE || slotmap_lookup(vm, o, page))
			return false;
	}
	return true;
}

/* => the frame, filled but nowhere yet; PFN_NONE: the CPU has none left. */
static uint32_t quick_page(struct vm *vm, struct percpu *pc, struct proc *p,
			   uint32_t from)
{
	uint32_t pfn = frame_take(vm, pc);

	if (pfn == PFN_NONE)
		return pfn;
	percpu_count(pc, FAULT);
	p->minflt++;
	if (from == PFN_NONE) {
		memset(ram_frame(&vm->ram, pfn), 0, PAGE_SIZE);
		percpu_count(pc, ZERO);
	} else {
		memcpy(ram_frame(&vm->ram, pfn), ram_frame(&vm->ram, from),
		       PAGE_SIZE);
		frame_at(vm, pfn)->flags |= FRAME_DIRTY;
		percpu_count(pc, COW);
		p->cow++;
	}
	return pfn;
}

bool quick_fault_locked(struct vm *vm, struct percpu *pc, struct proc *p,
			const struct area *a, uint64_t vpn, bool write)
{
	uint64_t page = a->page + (vpn - a->start);
	uint32_t from, pfn;
	void *entry;

	if (!quick_fits(a) || !quick_source(vm, a->object, page, write, &from))
		return false;
	entry = pmap_vacant(vm, &p->pmap, vpn);
	if (!entry)
		return false;
	pfn = quick_page(vm, pc, p, from);
	if (pfn == PFN_NONE)
		return false;
	pmap_fill(vm, &p->pmap, entry, vpn, pfn, a->prot, write);
	frame_enter(vm, pfn, a->object, page);
	return true;
}

bool quick_fault(struct vm *vm, struct percpu *pc, struct proc *p,
		 const struct area *a, uint64_t vpn, bool write)
{
	bool done;

	if (!percpu_enter(vm, pc))
		return false;
	done = quick_fault_locked(vm, pc, p, a, vpn, write);
	percpu_leave(pc);
	return done;
}
