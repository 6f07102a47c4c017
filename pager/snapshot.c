/*
 * snapshot.c - copies of the machine's state; see snapshot.h.
 *
 * Each call sizes its array without the lock, fills it under the lock, and
 * starts over if there was more than it had room for. Which process sees an
 * object's page is worked out first, process by process (snap_owners), and is
 * a hint: the process may have gone when the reader reads it.
 */
#include "pager/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/frame.h"
#include "pager/map.h"
#include "pager/object.h"
#include "pager/pageio.h"
#include "pager/pmap.h"
#include "pager/process.h"
#include "pager/rmap.h"
#include "pager/wait.h"

static void snap_copy(char *to, size_t size, const char *from)
{
	size_t n = strlen(from);

	if (n >= size)
		n = size - 1;
	memcpy(to, from, n);
	to[n] = 0;
}

/* ---- processes ---- */

/* References to all live processes. => how many; *procs to be free()d after
 * snap_put(). -ENOMEM. */
static int snap_get(struct vm *vm, struct proc ***procs, size_t *n)
{
	struct proc *p, *tmp;
	size_t i = 0;

	vm_lock(vm);
	*n = HASH_COUNT(vm->procs);
	*procs = malloc((*n + 1) * sizeof(**procs));
	if (*procs) {
		HASH_ITER(hh, vm->procs, p, tmp) {
			proc_hold(p);
			(*procs)[i++] = p;
		}
	}
	vm_unlock(vm);
	return *procs ? 0 : -ENOMEM;
}

static void snap_put(struct vm *vm, struct proc **procs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		proc_put(vm, procs[i]);
	free(procs);
}

static void snap_proc(struct vm *vm, struct proc *p, struct snap_proc *s)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_lock(&p->map.lock);
	vm_lock(vm);
	s->pid = p->pid;
	s->ppid = p->ppid;
	snap_copy(s->name, sizeof(s->name), p->name);
	s->nareas = p->map.nareas;
	s->nthreads = atomic_load(&p->nthreads);
	s->nwaiting = atomic_load(&p->nwaiting);
	s->size = p->map.npages << PAGE_SHIFT;
	s->rss = p->pmap.resident << PAGE_SHIFT;
	s->minflt = p->minflt;
	s->majflt = p->majflt;
	s->cow = p->cow;
	vm_unlock(vm);
	pthread_mutex_unlock(&p->map.lock);
}

static int snap_proc_compare(const void *a, const void *b)
{
	const struct snap_proc *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

int snap_procs(struct vm *vm, struct snap_proc **out, size_t *n)
{
	struct proc **procs;
	int err = snap_get(vm, &procs, n);

	if (err < 0)
		return err;
	*out = malloc((*n + 1) * sizeof(**out));
	for (size_t i = 0; *out && i < *n; i++)
		snap_proc(vm, procs[i], &(*out)[i]);
	snap_put(vm, procs, *n);
	if (!*out)
		return -ENOMEM;
	qsort(*out, *n, sizeof(**out), snap_proc_compare);
	return 0;
}

/* ---- areas ---- */

static void snap_area(struct vm *vm, struct proc *p, struct area *a,
		      struct snap_area *s)
{
	struct object *o = a->object;

	memset(s, 0, sizeof(*s));
	s->start = a->start << PAGE_SHIFT;
	s->end = a->end << PAGE_SHIFT;
	s->prot = a->prot;
	s->shared = a->shared;
	s->hugepage = a->huge;
	s->resident = pmap_count(vm, &p->pmap, a->start, a->end - a->start,
				 &s->large);
	if (a->heap)
		snap_copy(s->label, sizeof(s->label), "[heap]");
	if (!o)
		return;
	s->object = o->id;
	uint64_t page = a->page;

	s->slots = o->nslots;
	for (; o->backing; o = o->backing) {
		page += o->backing_page;
		s->depth++;
		s->slots += o->backing->nslots;
	}
	if (o->kind == OBJECT_FILE) {
		s->offset = page << PAGE_SHIFT;
		s->dev = o->key.dev;
		s->ino = o->key.ino;
		snap_copy(s->path, sizeof(s->path), o->store->name);
	}
}

int snap_areas(struct vm *vm, int pid, struct snap_area **out, size_t *n)
{
	struct proc *p = proc_get(vm, pid);
	struct area *a;
	size_t i = 0;

	if (!p)
		return -ESRCH;
	pthread_mutex_lock(&p->map.lock);
	*n = p->map.nareas;
	*out = malloc((*n + 1) * sizeof(**out));
	vm_lock(vm);
	RB_FOREACH(a, area_tree, &p->map.tree)
		if (*out)
			snap_area(vm, p, a, &(*out)[i++]);
	vm_unlock(vm);
	pthread_mutex_unlock(&p->map.lock);
	proc_put(vm, p);
	return *out ? 0 : -ENOMEM;
}

/* ---- pagemap ---- */

#define PAGEMAP_PRESENT	(1ull << 63)
#define PAGEMAP_SWAP	(1ull << 62)
#define PAGEMAP_FILE	(1ull << 61)
#define PAGEMAP_DIRTY	(1ull << 55)

/* The swap slot that a touch of @vpn would read, or 0. */
static uint32_t snap_swapped(struct vm *vm, struct area *a, uint64_t vpn)
{
	struct object *o = a->object;
	uint64_t page = a->page + (vpn - a->start);

	while (o) {
		uint32_t slot = slotmap_lookup(vm, o, page);

		if (frame_lookup(vm, o, page))
			return 0;
		if (slot)
			return slot;
		if (page >= o->npages)
			return 0;
		page += o->backing_page;
		o = o->backing;
	}
	return 0;
}

static uint64_t snap_pagemap_entry(struct vm *vm, struct proc *p, uint64_t vpn)
{
	uint64_t e = pmap_entry(vm, &p->pmap, vpn), v;
	struct area *a = map_find(&p->map, vpn);
	uint32_t slot, pfn;

	if (!a)
		return 0;
	if (e) {
		pfn = (uint32_t)((e & X86_PTE64_ADDR) >> PAGE_SHIFT);
		v = PAGEMAP_PRESENT | pfn;
		if (a->shared || object_at(vm, frame_at(vm, pfn)->object)
					 ->kind == OBJECT_FILE)
			v |= PAGEMAP_FILE;
		return v | (pmap_dirty(vm, pfn) ? PAGEMAP_DIRTY : 0);
	}
	slot = snap_swapped(vm, a, vpn);
	if (!slot)
		return 0;
	return PAGEMAP_SWAP | SWAP_SLOT_AREA(slot) |
	       (uint64_t)SWAP_SLOT_INDEX(slot) << 5;
}

int snap_pagemap(struct vm *vm, int pid, uint64_t vpn, size_t n,
		 uint64_t *entries)
{
	struct proc *p = proc_get(vm, pid);

	if (!p)
		return -ESRCH;
	pthread_mutex_lock(&p->map.lock);
	vm_lock(vm);
	for (size_t i = 0; i < n; i++)
		entries[i] = snap_pagemap_entry(vm, p, vpn + i);
	vm_unlock(vm);
	pthread_mutex_unlock(&p->map.lock);
	proc_put(vm, p);
	return 0;
}

uint64_t snap_pagemap_limit(struct vm *vm)
{
	return pmap_limit(vm->cfg.mode);
}

/* ---- frames ---- */

static enum snap_frame_state snap_state(const struct frame *f)
{
	switch (f->state) {
	case FRAME_FREE:
		return SNAP_FREE;
	case FRAME_TABLE:
		return SNAP_TABLE;
	case FRAME_PAGE:
		return f->flags & FRAME_READING ? SNAP_BUSY_READ :
		       f->flags & FRAME_WRITING ? SNAP_BUSY_WRITE :
						  SNAP_ACTIVE;
	default:
		return SNAP_KERNEL;
	}
}

static void snap_frame(struct vm *vm, uint32_t pfn, uint64_t now,
		       struct snap_frame *s)
{
	const struct frame *f = frame_at(vm, pfn);
	struct rmap_walk w;
	uint64_t place;

	memset(s, 0, sizeof(*s));
	s->pfn = pfn;
	s->state = snap_state(f);
	if (f->state != FRAME_PAGE)
		return;
	s->dirty = pmap_dirty(vm, pfn);
	s->referenced = pmap_accessed(vm, pfn);
	s->mappings = rmap_count(vm, f);
	s->object = f->object;
	s->page = f->page;
	s->anon = f->object && object_at(vm, f->object)->kind == OBJECT_ANON;
	if (f->flags & FRAME_BUSY) {
		s->waiters = wait_count(vm, WAIT_FRAME(pfn));
		s->busy_ns = now - pageio_since(vm, pfn);
	}
	rmap_walk(f, &w);
	if (rmap_next(vm, &w, &place)) {
		s->pid = vm->pmap_proc[RMAP_ID(place)]->pid;
		s->va = RMAP_VPN(place) << PAGE_SHIFT;
	}
}

int snap_frames(struct vm *vm, struct snap_frame **out, size_t *n)
{
	uint64_t now;

	*n = vm->frames.n;
	*out = malloc(*n * sizeof(**out));
	if (!*out)
		return -ENOMEM;
	vm_lock(vm);
	now = vm_now_ns(vm);	/* later than any I/O that we see began */
	for (uint32_t pfn = 0; pfn < vm->frames.n; pfn++)
		snap_frame(vm, pfn, now, &(*out)[pfn]);
	vm_unlock(vm);
	return 0;
}

/* ---- who sees an object's pages ---- */

struct snap_owner {
	int pid;
	uint64_t vpn, page, n;	/* [page, page + n) is seen from vpn on */
};

struct snap_owners {
	struct snap_owner *o;	/* by object id */
	uint32_t n;
};

static void snap_owner_area(struct snap_owners *own, int pid, struct area *a)
{
	uint64_t page = a->page;

	for (struct object *o = a->object; o; o = o->backing) {
		struct snap_owner *s = &own->o[o->id];

		if (o->id >= own->n)
			return;
		if (!s->pid) {
			s->pid = pid;
			s->vpn = a->start;
			s->page = page;
			s->n = a->end - a->start;
		}
		page += o->backing_page;
	}
}

static int snap_owners(struct vm *vm, struct snap_owners *own)
{
	struct proc **procs;
	struct area *a;
	size_t n;
	int err = snap_get(vm, &procs, &n);

	if (err < 0)
		return err;
	vm_lock(vm);
	own->n = vm->objects.n;
	vm_unlock(vm);
	own->o = calloc(own->n, sizeof(*own->o));
	for (size_t i = 0; own->o && i < n; i++) {
		pthread_mutex_lock(&procs[i]->map.lock);
		vm_lock(vm);
		RB_FOREACH(a, area_tree, &procs[i]->map.tree)
			snap_owner_area(own, procs[i]->pid, a);
		vm_unlock(vm);
		pthread_mutex_unlock(&procs[i]->map.lock);
	}
	snap_put(vm, procs, n);
	return own->o ? 0 : -ENOMEM;
}

/* Who sees @page of object @id? => pid, and where; 0: nobody known. */
static int snap_owner(const struct snap_owners *own, uint32_t id,
		      uint64_t page, uint64_t *va)
{
	const struct snap_owner *s = &own->o[id];

	*va = 0;
	if (id >= own->n || !s->pid || page - s->page >= s->n)
		return 0;
	*va = (s->vpn + (page - s->page)) << PAGE_SHIFT;
	return s->pid;
}

/* ---- swap ---- */

int snap_swaps(struct vm *vm, struct snap_swap **out, size_t *n)
{
	struct swap_store *swap = vm->cfg.swap;
	struct swap_area_info info;

	*n = 0;
	*out = calloc(SWAP_AREAS_MAX, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	vm_lock(vm);
	for (unsigned a = 0; swap && a < SWAP_AREAS_MAX; a++) {
		struct snap_swap *s = &(*out)[*n];

		if (swap->info(swap, a, &info) < 0)
			continue;
		snap_copy(s->name, sizeof(s->name), info.name);
		s->nslots = info.nslots;
		s->nused = info.nused;
		s->nbad = info.nbad;
		s->priority = info.priority;
		(*n)++;
	}
	vm_unlock(vm);
	return 0;
}

static enum snap_slot_state snap_slot_state(struct vm *vm, uint32_t slot,
					    const struct slot *s)
{
	struct object *o = object_at(vm, s->object);
	uint32_t pfn;

	if (vm->cfg.swap->is_bad(vm->cfg.swap, slot))
		return SNAP_SLOT_BAD;
	pfn = o ? frame_lookup(vm, o, s->page) : PFN_NONE;
	if (!o)
		return SNAP_SLOT_WRITING;
	if (!pfn)
		return SNAP_SLOT_OWNED;
	if (frame_at(vm, pfn)->flags & FRAME_WRITING)
		return SNAP_SLOT_WRITING;
	if (frame_at(vm, pfn)->flags & FRAME_READING)
		return SNAP_SLOT_READING;
	return SNAP_SLOT_CACHED;
}

static void snap_slot(struct vm *vm, uint32_t slot, unsigned refs,
		      const struct snap_owners *own, struct snap_slot *out)
{
	const struct slot *s = slotmap_at(vm, slot);

	memset(out, 0, sizeof(*out));
	out->index = SWAP_SLOT_INDEX(slot);
	out->refs = refs;
	out->state = snap_slot_state(vm, slot, s);
	out->object = s->object;
	out->page = s->page;
	out->pid = s->object ? snap_owner(own, s->object, s->page, &out->va) : 0;
}

/* Fill @out, which has room for @max. => how many; core lock held. */
static size_t snap_slots_locked(struct vm *vm, unsigned area,
				const struct snap_owners *own, size_t max,
				struct snap_slot *out)
{
	struct swap_store *swap = vm->cfg.swap;
	size_t n = 0;

	for (uint32_t i = 1; i < vm->slots.nslots[area] && n < max; i++) {
		uint32_t slot = SWAP_SLOT(area, i);
		unsigned refs = swap->refs(swap, slot);

		if (refs == 0 && !swap->is_bad(swap, slot))
			continue;
		snap_slot(vm, slot, refs, own, &out[n++]);
	}
	return n;
}

int snap_slots(struct vm *vm, unsigned area, struct snap_slot **out, size_t *n)
{
	struct snap_owners own;
	int err;

	*n = 0;
	if (area >= SWAP_AREAS_MAX || !vm->slots.nslots[area])
		return -ENOENT;
	err = snap_owners(vm, &own);
	if (err < 0)
		return err;
	*out = malloc(vm->slots.nslots[area] * sizeof(**out));
	if (*out) {
		vm_lock(vm);
		*n = snap_slots_locked(vm, area, &own, vm->slots.nslots[area],
				       *out);
		vm_unlock(vm);
	}
	free(own.o);
	return *out ? 0 : -ENOMEM;
}

/* ---- objects ---- */

static void snap_object(const struct object *o, struct snap_object *s)
{
	memset(s, 0, sizeof(*s));
	s->id = o->id;
	s->kind = o->kind == OBJECT_FILE ? 'f' : o->backing ? 's' : 'a';
	s->refs = o->refs;
	s->nshadows = o->nshadows;
	s->backing = o->backing ? o->backing->id : 0;
	s->pages = o->npages;
	s->resident = o->nresident;
	s->slots = o->nslots;
	if (o->kind == OBJECT_FILE)
		snap_copy(s->path, sizeof(s->path), o->store->name);
}

int snap_objects(struct vm *vm, struct snap_object **out, size_t *n)
{
	*n = 0;
	vm_lock(vm);
	*out = malloc((vm->objects.live + 1) * sizeof(**out));
	for (uint32_t id = 1; *out && id < vm->objects.n; id++)
		if (vm->objects.o[id])
			snap_object(vm->objects.o[id], &(*out)[(*n)++]);
	vm_unlock(vm);
	return *out ? 0 : -ENOMEM;
}
