/*
 * cow.c - see cow.h for the idea.
 *
 * The page that a fault copies is copied in fault.c; here are the objects
 * around it.
 */
#include "pager/cow.h"

#include <errno.h>

#include "pager/frame.h"
#include "pager/map.h"
#include "pager/object.h"

static void cow_link_shadow(struct object *s, struct object *backing)
{
	s->backing = backing;
	s->shadow_next = backing->shadows;
	s->shadow_prev = &backing->shadows;
	if (backing->shadows)
		backing->shadows->shadow_prev = &s->shadow_next;
	backing->shadows = s;
	backing->nshadows++;
}

void cow_unlink_shadow(struct object *o)
{
	*o->shadow_prev = o->shadow_next;
	if (o->shadow_next)
		o->shadow_next->shadow_prev = o->shadow_prev;
	o->backing->nshadows--;
	o->backing = NULL;
}

int cow_prepare(struct vm *vm, struct area *a)
{
	struct object *o = a->object, *s;

	assert(a->needs_copy && !a->shared);
	if (o->kind == OBJECT_ANON && o->refs == 1) {
		/* The others have gone: it is this area's alone. */
		assert(o->nshadows == 0);
		a->needs_copy = false;
		return 0;
	}
	s = object_anon(vm, a->end - a->start);
	if (!s)
		return -ENOMEM;
	cow_link_shadow(s, o);
	s->backing_page = a->page;
	area_show(a, s);
	a->page = 0;
	a->needs_copy = false;
	vm_count(vm, SHADOW);
	return 0;
}

#define COW_VIEWERS	64

/* Who else shows a page of [page, page + n) of @o? => false: nobody. Their
 * pages [*from, *to). */
static bool cow_viewer(const struct object *o, uint64_t page, uint64_t n,
		       const struct object *except, uint64_t *from,
		       uint64_t *to)
{
	unsigned asked = 0;

	for (struct area *a = o->areas; a; a = a->show_next) {
		*from = a->page;
		*to = a->page + (a->end - a->start);
		if ((*from < page + n && *to > page) ||
		    ++asked == COW_VIEWERS)
			goto found;
	}
	for (struct object *s = o->shadows; s; s = s->shadow_next) {
		*from = s->backing_page;
		*to = s->backing_page + s->npages;
		if ((s != except && *from < page + n && *to > page) ||
		    ++asked == COW_VIEWERS)
			goto found;
	}
	return false;
found:
	if (asked == COW_VIEWERS) {
		*from = page;
		*to = page + n;
	}
	return true;
}

void cow_drop_unseen(struct vm *vm, struct object *o, uint64_t page,
		     uint64_t n, const struct object *except, struct gather *g)
{
	uint64_t from, to, end = page + n;
	struct object *below = o->backing;

	if (o->kind != OBJECT_ANON || n == 0)
		return;
	if (!o->one_mapping && cow_viewer(o, page, n, except, &from, &to)) {
		if (from > page)
			cow_drop_unseen(vm, o, page, from - page, except, g);
		if (to < end)
			cow_drop_unseen(vm, o, to, end - to, except, g);
		return;
	}
	object_drop_range(vm, o, page, n, g);
	if (!below || page >= o->npages)
		return;
	if (end > o->npages)
		end = o->npages;
	cow_drop_unseen(vm, below, page + o->backing_page, end - page, o, g);
	/* What went may have been all that was busy. */
	if (below->nbusy == 0)
		cow_settle(vm, below, g);
}

/* Page @page of @b as @s would number it. => false: @s does not see it. */
static bool cow_seen(const struct object *s, uint64_t page, uint64_t *as)
{
	*as = page - s->backing_page;
	return page >= s->backing_page && *as < s->npages;
}

/* One frame of @b, with its slot if it has one, goes to @s or nowhere. */
static void cow_move_frame(struct vm *vm, struct object *b, uint32_t pfn,
			   struct object *s, struct gather *g)
{
	uint64_t page = frame_at(vm, pfn)->page, as;
	uint32_t slot = slotmap_lookup(vm, b, page);

	if (cow_seen(s, page, &as) && !object_has(vm, s, as)) {
		frame_rename(vm, pfn, s, as);
		if (slot)
			slotmap_rename(vm, slot, s, as);
		return;
	}
	object_drop_frame(vm, pfn, g);
	if (slot)
		slotmap_drop(vm, slot);
}

static void cow_move_slot(struct vm *vm, uint32_t slot, struct object *s)
{
	uint64_t as;

	if (cow_seen(s, slotmap_at(vm, slot)->page, &as) &&
	    !object_has(vm, s, as))
		slotmap_rename(vm, slot, s, as);
	else
		slotmap_drop(vm, slot);
}

/*
 * @b's only reference is its shadow @s: move what @s sees of it, and let @s
 * shadow what @b did. A frame and its slot move together, first; then the
 * slots of pages that are not in RAM.
 */
static void cow_collapse(struct vm *vm, struct object *b, struct gather *g)
{
	struct object *s = b->shadows, *below = b->backing;

	assert(b->refs == 1 && b->nshadows == 1 && b->nbusy == 0);
	while (b->pages)
		cow_move_frame(vm, b, b->pages, s, g);
	while (b->slots)
		cow_move_slot(vm, b->slots, s);
	cow_unlink_shadow(s);
	if (below) {
		uint64_t seen = b->npages > s->backing_page ?
				b->npages - s->backing_page : 0;

		cow_unlink_shadow(b);
		cow_link_shadow(s, below);
		below->refs++;		/* b's own goes with b, below */
		b->backing = NULL;
		s->backing_page += b->backing_page;
		/* What b did not see of below, s must not. */
		if (s->npages > seen)
			s->npages = seen;
		object_unref(vm, below, g);
	}
	vm_count(vm, COLLAPSE);
	object_unref(vm, b, g);
}

void cow_settle(struct vm *vm, struct object *o, struct gather *g)
{
	if (o->kind != OBJECT_ANON || o->refs != 1)
		return;
	if (o->nshadows == 1 && o->nbusy == 0)
		cow_collapse(vm, o, g);
	else if (o->nshadows == 0)
		o->one_mapping = true;
}

/*
 * @a goes into @child as well. => core lock held. -ENOMEM: nothing is changed;
 * above all @a needs no copy, because its entries still have W.
 */
static int cow_fork_area(struct vm *vm, struct area *a, struct map *child)
{
	struct area copy = *a;

	if (a->object && !a->shared)
		copy.needs_copy = true;
	if (!map_insert(vm, child, &copy))
		return -ENOMEM;
	if (a->object) {
		object_ref(a->object);
		a->needs_copy = copy.needs_copy;
		a->object->one_mapping = false;
	}
	return 0;
}

int cow_fork(struct vm *vm, struct map *parent, struct pmap *pmap,
	     struct map *child)
{
	struct gather g;
	struct area *a;
	int err = 0;

	gather_init(&g);
	vm_lock(vm);
	RB_FOREACH(a, area_tree, &parent->tree) {
		err = cow_fork_area(vm, a, child);
		if (err < 0)
			break;
		/* The child's table fills by faults; the parent's loses W. */
		if (a->needs_copy)
			pmap_protect(vm, pmap, a->start, a->end - a->start,
				     area_rights(a) & ~VM_PROT_WRITE, &g);
	}
	gather_flush(vm, &g);
	vm_unlock(vm);
	return err;
}
