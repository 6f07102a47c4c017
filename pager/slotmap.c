/*
 * slotmap.c - owners of swap slots; see slotmap.h.
 *
 * One array per swap area, untouched until slots are used, and one hash over
 * all of them. Invariant: a slot with an owner has a reference in the store.
 * Lock: the core lock.
 */
#include "pager/slotmap.h"

#include <errno.h>
#include <stdlib.h>

#include "pager/object.h"

static uint32_t slot_hash(const struct vm *vm, uint32_t object, uint64_t page)
{
	uint64_t h = (page + ((uint64_t)object << 32)) * 0x9e3779b97f4a7c15ull;

	return (h >> 32) & vm->slots.mask;
}

int slotmap_init(struct vm *vm)
{
	struct slot_table *t = &vm->slots;
	struct swap_area_info info;
	uint64_t total = 0, nbuckets = 64;

	for (unsigned a = 0; vm->cfg.swap && a < SWAP_AREAS_MAX; a++) {
		if (vm->cfg.swap->info(vm->cfg.swap, a, &info) < 0)
			continue;
		t->nslots[a] = info.nslots + 1;
		t->area[a] = calloc(t->nslots[a], sizeof(struct slot));
		if (!t->area[a])
			return -ENOMEM;
		total += info.nslots;
	}
	while (nbuckets < total)
		nbuckets *= 2;
	t->mask = nbuckets - 1;
	t->bucket = calloc(nbuckets, sizeof(*t->bucket));
	return t->bucket ? 0 : -ENOMEM;
}

void slotmap_destroy(struct vm *vm)
{
	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		free(vm->slots.area[a]);
	free(vm->slots.bucket);
}

struct slot *slotmap_at(const struct vm *vm, uint32_t slot)
{
	uint32_t area = SWAP_SLOT_AREA(slot), i = SWAP_SLOT_INDEX(slot);

	assert(area < SWAP_AREAS_MAX && i < vm->slots.nslots[area]);
	return &vm->slots.area[area][i];
}

uint32_t slotmap_lookup(const struct vm *vm, const struct object *o,
			uint64_t page)
{
	uint32_t slot;

	if (o->nslots == 0)
		return 0;
	slot = vm->slots.bucket[slot_hash(vm, o->id, page)];
	while (slot) {
		const struct slot *s = slotmap_at(vm, slot);

		if (s->object == o->id && s->page == page)
			break;
		slot = s->hash_next;
	}
	return slot;
}

void slotmap_prefetch(const struct vm *vm, uint32_t object, uint64_t page,
		      bool chain)
{
	const uint32_t *b = &vm->slots.bucket[slot_hash(vm, object, page)];

	if (!chain)
		__builtin_prefetch(b, 1);
	else if (*b)
		__builtin_prefetch(slotmap_at(vm, *b));
}

void slotmap_set(struct vm *vm, struct object *o, uint64_t page, uint32_t slot)
{
	struct slot *s = slotmap_at(vm, slot);
	uint32_t *b = &vm->slots.bucket[slot_hash(vm, o->id, page)];

	assert(s->object == 0);
	s->object = o->id;
	s->page = page;
	s->hash_next = *b;
	*b = slot;
	s->obj_prev = 0;
	s->obj_next = o->slots;
	if (o->slots)
		slotmap_at(vm, o->slots)->obj_prev = slot;
	o->slots = slot;
	o->nslots++;
}

static void slot_unlink(struct vm *vm, uint32_t slot)
{
	struct slot *s = slotmap_at(vm, slot);
	struct object *o = object_at(vm, s->object);
	uint32_t *at = &vm->slots.bucket[slot_hash(vm, o->id, s->page)];

	while (*at != slot)
		at = &slotmap_at(vm, *at)->hash_next;
	*at = s->hash_next;
	if (s->obj_prev)
		slotmap_at(vm, s->obj_prev)->obj_next = s->obj_next;
	else
		o->slots = s->obj_next;
	if (s->obj_next)
		slotmap_at(vm, s->obj_next)->obj_prev = s->obj_prev;
	o->nslots--;
	s->object = 0;
}

void slotmap_drop(struct vm *vm, uint32_t slot)
{
	slot_unlink(vm, slot);
	vm->cfg.swap->unref(vm->cfg.swap, slot);
}

void slotmap_drop_page(struct vm *vm, struct object *o, uint64_t page)
{
	uint32_t slot = slotmap_lookup(vm, o, page);

	if (slot)
		slotmap_drop(vm, slot);
}

void slotmap_rename(struct vm *vm, uint32_t slot, struct object *to,
		    uint64_t page)
{
	slot_unlink(vm, slot);
	slotmap_set(vm, to, page, slot);
}

/* Every owned slot is found and referenced; the store counts no others than
 * these and those of I/O in flight. */
void slotmap_check(const struct vm *vm)
{
	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++) {
		for (uint32_t i = 0; i < vm->slots.nslots[a]; i++) {
			const struct slot *s = &vm->slots.area[a][i];
			uint32_t slot = SWAP_SLOT(a, i);
			const struct object *o;

			if (s->object == 0)
				continue;
			o = object_at(vm, s->object);
			assert(o && slotmap_lookup(vm, o, s->page) == slot);
			assert(vm->cfg.swap->refs(vm->cfg.swap, slot) >= 1);
		}
	}
}
