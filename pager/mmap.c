/*
 * mmap.c - the calls that change a process's map: mmap, munmap, mprotect, brk.
 *
 * Each checks its arguments, takes the map lock, cuts areas at the ends of the
 * range, and changes what lies between. Files are opened before the lock is
 * taken. Pages come later, by faults.
 */
#include <errno.h>
#include <string.h>

#include "pager/comeback.h"
#include "pager/core.h"
#include "pager/map.h"
#include "pager/object.h"
#include "pager/process.h"
#include "pager/vm.h"

#define PAGES(bytes)	(((bytes) + PAGE_SIZE - 1) >> PAGE_SHIFT)

static int mmap_check(const struct vm_mmap *m)
{
	bool shared = m->flags & VM_MAP_SHARED;
	bool private = m->flags & VM_MAP_PRIVATE;

	if (m->len == 0 || shared == private || m->offset % PAGE_SIZE ||
	    ((m->flags & VM_MAP_FIXED) && m->addr % PAGE_SIZE) ||
	    (m->prot & ~(VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXEC)))
		return -EINVAL;
	if (m->len > UINT64_MAX - PAGE_SIZE)
		return -ENOMEM;
	if (m->path && (m->offset > INT64_MAX || m->len > INT64_MAX ||
			m->offset + m->len > 1ull << 62))
		return -EOVERFLOW;
	return 0;
}

/* Open the file and find or make its object, with a reference; what @a has to
 * know of it others may be changing, so it is asked under the lock. */
static int mmap_file(struct vm *vm, const struct vm_mmap *m, struct area *a)
{
	bool write = (m->flags & VM_MAP_SHARED) && (m->prot & VM_PROT_WRITE);
	struct store_engine *e = vm->cfg.engine;
	struct store *store, *spare;
	int err = e->open(e, m->path, true, &store);

	if (!write && (err == -EACCES || err == -EROFS || err == -ETXTBSY ||
		       err == -EPERM))
		err = e->open(e, m->path, false, &store);
	if (err < 0)
		return err;
	err = comeback_expect(vm, store->dev);
	if (err < 0) {
		store->ops->close(store);
		return err;
	}
	vm_lock(vm);
	a->object = object_file(vm, store, &spare);
	if (a->object) {
		a->wb_seen = a->object->wb_errors;
		if (a->shared && !a->object->store->writable)
			a->max_prot &= ~VM_PROT_WRITE;
	}
	vm_unlock(vm);
	if (!a->object)
		spare = store;
	if (spare)
		spare->ops->close(spare);
	return a->object ? 0 : -ENOMEM;
}

/* Fill in @a, all but where it stands. */
static int mmap_area(struct vm *vm, const struct vm_mmap *m, struct area *a)
{
	int err;

	memset(a, 0, sizeof(*a));
	a->prot = m->prot;
	a->max_prot = VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXEC;
	a->shared = m->flags & VM_MAP_SHARED;
	if (m->path) {
		err = mmap_file(vm, m, a);
		if (err < 0)
			return err;
		a->page = m->offset >> PAGE_SHIFT;
		a->needs_copy = !a->shared;
	} else if (a->shared) {
		vm_lock(vm);
		a->object = object_anon(vm, PAGES(m->len));
		vm_unlock(vm);
		if (!a->object)
			return -ENOMEM;
	}
	return 0;
}

static void mmap_unref(struct vm *vm, struct object *o)
{
	if (!o)
		return;
	vm_lock(vm);
	object_unpin(vm, o);
	vm_unlock(vm);
}

/*
 * What is large enough for a large page begins where one can, as Linux has it:
 * madvise(HUGEPAGE) then works without MAP_FIXED. => room, or 0
 */
static uint64_t mmap_gap(struct vm *vm, struct map *map,
			 const struct vm_mmap *m, uint64_t n)
{
	uint64_t hint = m->addr >> PAGE_SHIFT, large = frame_block_size(vm), at;

	if (!m->path && (m->flags & VM_MAP_PRIVATE) && n >= large) {
		at = map_gap(map, hint, n, large);
		if (at)
			return at;
	}
	return map_gap(map, hint, n, 1);
}

/* Choose the place; with VM_MAP_FIXED clear it. => map lock held. */
static int mmap_place(struct vm *vm, struct proc *p, const struct vm_mmap *m,
		      struct area *a)
{
	uint64_t n = PAGES(m->len), vpn = m->addr >> PAGE_SHIFT;
	int err;

	if (m->flags & VM_MAP_FIXED) {
		if (!map_valid(&p->map, vpn, n))
			return -ENOMEM;
		err = map_clip(vm, &p->map, vpn, vpn + n);
		if (err < 0)
			return err;
		proc_unmap(vm, p, vpn, vpn + n);
	} else {
		vpn = mmap_gap(vm, &p->map, m, n);
		if (!vpn)
			return -ENOMEM;
	}
	a->start = vpn;
	a->end = vpn + n;
	if (!m->path)
		a->page = vpn;
	return 0;
}

int vm_mmap(struct vm *vm, int pid, const struct vm_mmap *m, uint64_t *at)
{
	struct proc *p;
	struct area a;
	int err = mmap_check(m);

	if (err < 0)
		return err;
	p = proc_get(vm, pid);
	if (!p)
		return -ESRCH;
	err = mmap_area(vm, m, &a);
	if (err == 0) {
		pthread_mutex_lock(&p->map.lock);
		err = p->dead ? -ESRCH : mmap_place(vm, p, m, &a);
		if (err == 0) {
			vm_lock(vm);
			if (!map_insert(vm, &p->map, &a))
				err = -ENOMEM;
			vm_unlock(vm);
		}
		pthread_mutex_unlock(&p->map.lock);
		if (err < 0)
			mmap_unref(vm, a.object);
		else
			*at = a.start << PAGE_SHIFT;
	}
	proc_put(vm, p);
	return err;
}

/* Whole pages [start, end) of a process, inside what it may map. */
struct range {
	struct proc *p;
	uint64_t start, end;
};

/* => 0: with the map lock, until range_end(); or -errno: @outside, if there is
 * nothing in it, or anything that the process may not map */
static int range_begin(struct vm *vm, int pid, uint64_t addr, uint64_t len,
		       int outside, struct range *r)
{
	r->p = proc_get(vm, pid);
	if (!r->p)
		return -ESRCH;
	r->start = addr >> PAGE_SHIFT;
	if (addr % PAGE_SIZE || len > UINT64_MAX - PAGE_SIZE ||
	    !map_valid(&r->p->map, r->start, PAGES(len))) {
		proc_put(vm, r->p);
		return addr % PAGE_SIZE ? -EINVAL : outside;
	}
	r->end = r->start + PAGES(len);
	pthread_mutex_lock(&r->p->map.lock);
	return 0;
}

static void range_end(struct vm *vm, struct range *r)
{
	pthread_mutex_unlock(&r->p->map.lock);
	proc_put(vm, r->p);
}

int vm_munmap(struct vm *vm, int pid, uint64_t addr, uint64_t len)
{
	struct range r;
	int err = range_begin(vm, pid, addr, len, -EINVAL, &r);

	if (err < 0)
		return err;
	err = map_clip(vm, &r.p->map, r.start, r.end);
	if (err == 0)
		proc_unmap(vm, r.p, r.start, r.end);
	range_end(vm, &r);
	return err;
}

/* May every area of the range have @prot? */
static int mprotect_check(const struct range *r, unsigned prot)
{
	struct map *m = &r->p->map;
	struct area *a;

	if (!map_covers(m, r->start, r->end))
		return -ENOMEM;
	for (a = map_after(m, r->start); a && a->start < r->end;
	     a = map_next(a))
		if (prot & ~a->max_prot)
			return -EACCES;
	return 0;
}

static void mprotect_areas(struct vm *vm, struct range *r, unsigned prot)
{
	struct proc *p = r->p;
	struct gather g;
	struct area *a;

	gather_init(&g);
	vm_lock(vm);
	for (a = map_after(&p->map, r->start); a && a->start < r->end;
	     a = map_next(a))
		a->prot = prot;
	/* Rights that were taken go now; rights given come by faults. */
	pmap_protect(vm, &p->pmap, r->start, r->end - r->start, prot, &g);
	gather_flush(vm, &g);
	vm_unlock(vm);
}

int vm_mprotect(struct vm *vm, int pid, uint64_t addr, uint64_t len,
		unsigned prot)
{
	struct range r;
	int err;

	if (prot & ~(VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXEC))
		return -EINVAL;
	err = range_begin(vm, pid, addr, len, len ? -ENOMEM : 0, &r);
	if (err < 0 || len == 0)
		return err;
	err = mprotect_check(&r, prot);
	if (err == 0)
		err = map_clip(vm, &r.p->map, r.start, r.end);
	if (err == 0)
		mprotect_areas(vm, &r, prot);
	range_end(vm, &r);
	return err;
}

int vm_madvise(struct vm *vm, int pid, uint64_t addr, uint64_t len,
	       int advice)
{
	struct range r;
	int err;

	if (advice != VM_MADV_HUGEPAGE && advice != VM_MADV_NOHUGEPAGE)
		return -EINVAL;
	err = range_begin(vm, pid, addr, len, len ? -ENOMEM : 0, &r);
	if (err < 0 || len == 0)
		return err;
	err = map_covers(&r.p->map, r.start, r.end) ?
		map_clip(vm, &r.p->map, r.start, r.end) : -ENOMEM;
	for (struct area *a = map_after(&r.p->map, r.start);
	     !err && a && a->start < r.end; a = map_next(a))
		a->huge = advice == VM_MADV_HUGEPAGE;
	range_end(vm, &r);
	return err;
}

/* The heap grows by pages [from, to). => map lock held. */
static int brk_grow(struct vm *vm, struct map *m, uint64_t from, uint64_t to)
{
	struct area a = {
		.start = from, .end = to, .page = from, .heap = true,
		.prot = VM_PROT_READ | VM_PROT_WRITE,
		.max_prot = VM_PROT_READ | VM_PROT_WRITE | VM_PROT_EXEC,
	};
	struct area *in = map_after(m, from);
	bool ok;

	if (!map_valid(m, from, to - from) || (in && in->start < to))
		return -ENOMEM;
	vm_lock(vm);
	ok = map_insert(vm, m, &a);
	vm_unlock(vm);
	return ok ? 0 : -ENOMEM;
}

static int brk_set(struct vm *vm, struct proc *p, uint64_t brk)
{
	struct map *m = &p->map;
	uint64_t from = PAGES(m->brk), to;
	int err = 0;

	if (p->dead)
		return -ESRCH;
	if (brk < m->brk_start || brk > m->ceiling << PAGE_SHIFT)
		return -ENOMEM;
	to = PAGES(brk);
	if (to > from)
		err = brk_grow(vm, m, from, to);
	else if (to < from)
		err = map_clip(vm, m, to, from);
	if (err == 0 && to < from)
		proc_unmap(vm, p, to, from);
	if (err == 0)
		m->brk = brk;
	return err;
}

int vm_brk(struct vm *vm, int pid, uint64_t brk, uint64_t *now)
{
	struct proc *p = proc_get(vm, pid);
	int err = 0;

	if (!p)
		return -ESRCH;
	pthread_mutex_lock(&p->map.lock);
	if (brk)
		err = brk_set(vm, p, brk);
	*now = p->map.brk;
	pthread_mutex_unlock(&p->map.lock);
	proc_put(vm, p);
	return err;
}
