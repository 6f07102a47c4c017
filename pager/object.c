/*
 * object.c - objects: making, sharing, dropping their pages.
 *
 * Ids index a table, so that a frame names its object in four bytes. Shadow
 * chains are built and collapsed in cow.c; here they only lose references.
 * Invariant: a clean anonymous frame without a swap slot is all zero, for
 * only then may it be dropped. Lock: the core lock.
 */
#include "pager/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/cow.h"
#include "pager/pageout.h"

int object_init(struct vm *vm)
{
	vm->objects.n = 64;
	vm->objects.o = calloc(vm->objects.n, sizeof(*vm->objects.o));
	vm->objects.free_hint = 1;
	return vm->objects.o ? 0 : -ENOMEM;
}

void object_destroy(struct vm *vm)
{
	for (uint32_t id = 1; id < vm->objects.n; id++)
		assert(!vm->objects.o[id]);
	free(vm->objects.o);
}

/* A free id, doubling the table when there is none. => 0: no memory. */
static uint32_t object_new_id(struct vm *vm)
{
	struct object_table *t = &vm->objects;
	uint32_t n = t->n * 2;
	struct object **o;

	while (t->free_hint < t->n && t->o[t->free_hint])
		t->free_hint++;
	if (t->free_hint < t->n)
		return t->free_hint++;
	o = realloc(t->o, n * sizeof(*o));
	if (!o)
		return 0;
	memset(o + t->n, 0, (n - t->n) * sizeof(*o));
	t->o = o;
	t->free_hint = t->n;
	t->n = n;
	return t->free_hint++;
}

static struct object *object_new(struct vm *vm, enum object_kind kind)
{
	struct object *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->id = object_new_id(vm);
	if (!o->id) {
		free(o);
		return NULL;
	}
	o->kind = kind;
	o->refs = 1;
	vm->objects.o[o->id] = o;
	vm->objects.live++;
	return o;
}

static void object_delete(struct vm *vm, struct object *o)
{
	assert(o->pages == 0 && o->slots == 0 && o->nbusy == 0);
	assert(o->nresident == 0 && o->nslots == 0);
	vm->objects.o[o->id] = NULL;
	vm->objects.live--;
	if (o->id < vm->objects.free_hint)
		vm->objects.free_hint = o->id;
	free(o);
}

struct object *object_anon(struct vm *vm, uint64_t npages)
{
	struct object *o = object_new(vm, OBJECT_ANON);

	if (o) {
		o->npages = npages;
		o->one_mapping = true;
	}
	return o;
}

/* Out of the list of dying files. */
static void object_revive(struct vm *vm, struct object *o)
{
	struct object **at = &vm->objects.dying;

	while (*at != o)
		at = &(*at)->dying_next;
	*at = o->dying_next;
	o->dying = false;
}

/* Where files on device @dev are counted. => NULL: none is, and there is no
 * room to begin, or one need not @begin */
static struct object_dev *object_dev(struct vm *vm, uint64_t dev, bool begin)
{
	struct object_dev *room = NULL;

	for (int i = 0; i < OBJECT_DEVS; i++) {
		struct object_dev *d = &vm->objects.devs[i];

		if (d->nfiles && d->dev == dev)
			return d;
		if (!d->nfiles)
			room = d;
	}
	if (!begin || !room)
		return NULL;
	room->dev = dev;
	return room;
}

bool object_dev_is_known(struct vm *vm, uint64_t dev)
{
	return object_dev(vm, dev, false);
}

/* @o goes by its key from now on. => false: no memory */
static bool object_name(struct vm *vm, struct object *o)
{
	struct object_dev *d = object_dev(vm, o->key.dev, true);

	HASH_ADD(hh, vm->objects.files, key, sizeof(o->key), o);
	if (hash_added(o) && d)
		d->nfiles++;
	return hash_added(o);
}

struct object *object_file(struct vm *vm, struct store *store,
			   struct store **spare)
{
	struct object_key key = { store->dev, store->ino };
	struct object *o;

	*spare = NULL;
	HASH_FIND(hh, vm->objects.files, &key, sizeof(key), o);
	if (o) {
		if (o->dying)
			object_revive(vm, o);
		if (store->writable && !o->store->writable) {
			o->retired = o->store;
			o->store = store;
		} else {
			*spare = store;
		}
		o->refs++;
		return o;
	}
	/* It may be one that cannot be found. */
	o = vm->objects.unnamed ? NULL : object_new(vm, OBJECT_FILE);
	if (!o)
		return NULL;
	o->store = store;
	o->key = key;
	if (object_name(vm, o))
		return o;
	object_delete(vm, o);
	return NULL;
}

/* Nobody finds the file @o any more. */
static void object_unname(struct vm *vm, struct object *o)
{
	struct object_dev *d = object_dev(vm, o->key.dev, false);

	if (!hash_added(o)) {
		vm->objects.unnamed--;
		return;
	}
	HASH_DEL(vm->objects.files, o);
	if (d)
		d->nfiles--;
}

void object_rename(struct vm *vm, struct object *o, uint64_t dev)
{
	struct object_key key = { dev, o->key.ino };
	struct object *taken;

	HASH_FIND(hh, vm->objects.files, &key, sizeof(key), taken);
	if (taken)
		return;
	object_unname(vm, o);
	o->key = key;
	vm->objects.unnamed += !object_name(vm, o);
}

void object_pin(struct vm *vm, struct object *o)
{
	if (o->dying)
		object_revive(vm, o);
	o->refs++;
}

void object_unpin(struct vm *vm, struct object *o)
{
	struct gather g;

	gather_init(&g);
	object_unref(vm, o, &g);
	gather_flush(vm, &g);
}

struct object *object_next_file(const struct vm *vm, uint32_t *id)
{
	struct object *o;

	for (; *id < vm->objects.n; ++*id) {
		o = object_at(vm, *id);
		if (o && o->kind == OBJECT_FILE)
			return o;
	}
	return NULL;
}

void object_ref(struct object *o)
{
	assert(o->refs > 0);
	o->refs++;
}

void object_drop_frame(struct vm *vm, uint32_t pfn, struct gather *g)
{
	pmap_frame_remove(vm, pfn, g);
	frame_remove(vm, pfn);
	gather_frame(vm, g, pfn);
}

/* One frame of an object that gives it up, busy or not. */
static void object_release_frame(struct vm *vm, uint32_t pfn, struct gather *g)
{
	if (!(frame_at(vm, pfn)->flags & FRAME_BUSY)) {
		object_drop_frame(vm, pfn, g);
		return;
	}
	/* A page under writeback may be mapped read-only meanwhile. */
	pmap_frame_remove(vm, pfn, g);
	frame_orphan(vm, pfn);
}

void object_drop_range(struct vm *vm, struct object *o, uint64_t page,
		       uint64_t n, struct gather *g)
{
	uint32_t pfn, slot;

	if (n > (uint64_t)o->nresident + o->nslots) {
		uint32_t next;

		for (pfn = o->pages; pfn; pfn = next) {
			next = frame_at(vm, pfn)->obj_next;
			if (frame_at(vm, pfn)->page - page < n)
				object_release_frame(vm, pfn, g);
		}
		for (slot = o->slots; slot; slot = next) {
			next = slotmap_at(vm, slot)->obj_next;
			if (slotmap_at(vm, slot)->page - page < n)
				slotmap_drop(vm, slot);
		}
		return;
	}
	for (uint64_t p = page; p < page + n; p++) {
		pfn = frame_lookup(vm, o, p);
		if (pfn)
			object_release_frame(vm, pfn, g);
		slotmap_drop_page(vm, o, p);
	}
}

/* The last reference to a file has gone: pageout_dying() sees to its pages. */
static void object_die(struct vm *vm, struct object *o)
{
	o->dying = true;
	o->retry_ns = 0;
	o->dying_next = vm->objects.dying;
	vm->objects.dying = o;
	pageout_wake(vm);
}

struct object_stores object_bury(struct vm *vm, struct object *o)
{
	struct object_stores stores = { o->store, o->retired };

	assert(o->dying && o->refs == 0 && o->nresident == 0);
	object_revive(vm, o);
	object_unname(vm, o);
	object_delete(vm, o);
	return stores;
}

void object_close(struct object_stores s)
{
	if (s.store)
		s.store->ops->close(s.store);
	if (s.retired)
		s.retired->ops->close(s.retired);
}

void object_unref(struct vm *vm, struct object *o, struct gather *g)
{
	while (o) {
		struct object *backing = o->backing;

		assert(o->refs > 0);
		if (--o->refs > 0) {
			cow_settle(vm, o, g);
			return;
		}
		if (o->kind == OBJECT_FILE) {
			object_die(vm, o);
			return;
		}
		object_drop_range(vm, o, 0, UINT64_MAX, g);
		if (backing) {
			cow_drop_unseen(vm, backing, o->backing_page,
					o->npages, o, g);
			cow_unlink_shadow(o);
		}
		object_delete(vm, o);
		o = backing;
	}
}

static void object_check_pages(const struct vm *vm, const struct object *o)
{
	uint32_t n = 0, nbusy = 0, nslots = 0;

	for (uint32_t pfn = o->pages; pfn; pfn = frame_at(vm, pfn)->obj_next) {
		const struct frame *f = frame_at(vm, pfn);

		assert(f->object == o->id && f->state == FRAME_PAGE);
		n++;
		nbusy += !!(f->flags & FRAME_BUSY);
		if (o->kind == OBJECT_ANON && !(f->flags & FRAME_BUSY) &&
		    !pmap_dirty(vm, pfn) && !slotmap_lookup(vm, o, f->page))
			/* Stored to meanwhile: its D came first. */
			assert(frame_is_zero(vm, pfn) || pmap_dirty(vm, pfn));
	}
	for (uint32_t s = o->slots; s; s = slotmap_at(vm, s)->obj_next)
		nslots += slotmap_at(vm, s)->object == o->id;
	assert(n == o->nresident && nbusy == o->nbusy && nslots == o->nslots);
}

void object_check(const struct vm *vm)
{
	uint32_t live = 0;

	for (uint32_t id = 1; id < vm->objects.n; id++) {
		const struct object *o = vm->objects.o[id], *s;
		unsigned nshadows = 0;

		if (!o)
			continue;
		live++;
		assert(o->refs > 0 || o->dying);
		assert(o->kind == OBJECT_ANON || o->nslots == 0);
		for (s = o->shadows; s; s = s->shadow_next) {
			assert(s->backing == o);
			nshadows++;
		}
		assert(nshadows == o->nshadows && nshadows <= o->refs);
		object_check_pages(vm, o);
	}
	assert(live == vm->objects.live);
}
