/*
 * fault.c - the fault handler.
 *
 * What can be the case, from the area inwards:
 *
 *	no area, or it forbids the access		-> SIGSEGV
 *	write, area needs_copy				-> shadow object made
 *	page found in a frame
 *	  being read					-> wait for the frame
 *	  in the area's own object
 *	    being written, and this is a write		-> wait for the frame
 *	    otherwise					-> enter it
 *	  in an object behind
 *	    read					-> enter it read-only
 *	    write					-> copy it to the front
 *	page found in a swap slot			-> read it, wait
 *	a file is at the end of the chain		-> read it, wait
 *	nothing anywhere				-> zero-filled
 *
 * Nothing is remembered over a wait: the access is made again and the fault,
 * if there still is one, looked at afresh. No frame or descriptor to be had
 * is a wait too. What needs nothing but a frame of the CPU's own is tried
 * first, by quick.c, with the same outcome. Locks: the map's, then the core
 * lock, both dropped before returning.
 */
#include "pager/fault.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "pager/cow.h"
#include "pager/frame.h"
#include "pager/map.h"
#include "pager/object.h"
#include "pager/pageio.h"
#include "pager/pageout.h"
#include "pager/pmap.h"
#include "pager/process.h"
#include "pager/quick.h"

struct fault {
	struct vm *vm;
	struct percpu *pc;	/* NULL: nothing is to be quick */
	struct proc *p;
	struct waiter *w;
	struct area *a;
	uint64_t vpn;
	bool write;
	bool small;		/* no large page: that has been tried */
	struct object *top;	/* the area's object */
	uint64_t top_page;
	struct object *o;	/* where the page was found, or the last */
	uint64_t page;
};

const char *fault_why(int result)
{
	switch (result) {
	case -EIO:
		return "the store could not read the page";
	case -ENXIO:
		return "past the end of the file";
	case -ENOMEM:
		return "out of memory: RAM is full of pages that cannot be "
		       "written out, and swap is full or missing";
	case -EDEADLK:
		return "RAM is too small: the pages that this one access needs "
		       "push each other out";
	case -ESRCH:
		return "the process has exited";
	case -EINTR:
		return "interrupted while it waited for memory";
	default:
		return "unknown";
	}
}

const char *fault_stuck(struct vm *vm, struct waiter *w)
{
	struct swap_store *swap = vm->cfg.swap;
	bool full, down;

	vm_lock(vm);
	full = !swap || swap->nfree(swap) == 0;
	down = vm->pageout.down_ns != 0;
	if (down) {
		wait_add(vm, w, WAIT_STORE);
		pageout_wake(vm);
	}
	vm_unlock(vm);
	return down ? NULL : fault_why(full ? -ENOMEM : -EDEADLK);
}

#define FAULT_TRIES	10000

bool fault_advances(struct fault_history *h, const struct page_fault *pf)
{
	uint64_t page = pf->addr >> PAGE_SHIFT;

	if (page != h->page[0] && page != h->page[1]) {
		h->page[1] = h->page[0];
		h->page[0] = page;
		h->n = 0;
	}
	return ++h->n < FAULT_TRIES;
}

/* Wait for @key; the caller returns this. */
static enum fault_result fault_wait(struct fault *f, uint64_t key)
{
	f->w->nunmaps = f->p->map.nunmaps;
	wait_add(f->vm, f->w, key);
	return FAULT_WAIT;
}

int fault_result(struct proc *p, const struct waiter *w)
{
	bool same;

	if (w->result != -EIO && w->result != -ENXIO)
		return w->result;
	pthread_mutex_lock(&p->map.lock);
	same = p->map.nunmaps == w->nunmaps;
	pthread_mutex_unlock(&p->map.lock);
	return same ? w->result : 0;
}

/* There is no frame: WAIT_ROOM, for a page that is new, or WAIT_MEMORY. */
static enum fault_result fault_no_frame(struct fault *f, uint64_t key)
{
	vm_count(f->vm, MEMWAIT);
	pageout_wake(f->vm);
	return fault_wait(f, key);
}

/* What the area allows here and now; never W while a copy is due. */
static unsigned fault_prot(const struct fault *f, bool own)
{
	unsigned prot = f->a->prot;

	if (!own || f->a->needs_copy)
		prot &= ~VM_PROT_WRITE;
	return prot;
}

/* Enter frame @pfn, which is @own: the area's object's page. */
static enum fault_result fault_enter(struct fault *f, uint32_t pfn, bool own)
{
	struct vm *vm = f->vm;
	struct frame *fr = frame_at(vm, pfn);
	unsigned prot = fault_prot(f, own);
	struct gather g;
	int err;

	if (fr->flags & FRAME_WRITING) {
		assert(!f->write || !own);
		prot &= ~VM_PROT_WRITE;
	}
	pageout_retake(vm, pfn);
	gather_init(&g);
	err = pmap_enter(vm, &f->p->pmap, f->vpn, pfn, prot, f->write && own,
			 &g);
	gather_flush(vm, &g);
	if (err < 0)
		return fault_no_frame(f, WAIT_MEMORY);
	fr->flags &= ~FRAME_FRESH;
	return FAULT_DONE;
}

/* A new frame, entered as the front object's page. => PFN_NONE: none. */
static uint32_t fault_new_page(struct fault *f)
{
	uint32_t pfn = f->pc ? frame_take(f->vm, f->pc) : PFN_NONE;

	if (pfn == PFN_NONE)
		pfn = frame_alloc(f->vm, FRAME_FOR_NEW);
	if (pfn != PFN_NONE)
		frame_enter(f->vm, pfn, f->top, f->top_page);
	return pfn;
}

static enum fault_result fault_search(struct fault *f);

/* ---- large pages ---- */

/*
 * May a large page be made around f->vpn? The area wants one and holds all of
 * it, writes go straight to its object, and nothing of it is there yet, here
 * or behind. *page: the object's page where it begins. Read faults get one
 * too: it is zero either way.
 */
static bool fault_huge_fits(struct fault *f, uint64_t *page)
{
	uint64_t n = frame_block_size(f->vm), vpn = f->vpn & ~(n - 1);
	const struct object *o = f->top;

	if (!f->a->huge || f->a->shared || f->a->needs_copy ||
	    vpn < f->a->start || vpn + n > f->a->end)
		return false;
	*page = f->a->page + (vpn - f->a->start);
	if (o->backing && *page < o->npages)
		return false;
	for (uint64_t i = 0; (o->nresident || o->nslots) && i < n; i++)
		if (object_has(f->vm, o, *page + i))
			return false;
	return true;
}

/* The frames from @pfn on become the object's pages from @page on, mapped. */
static bool fault_huge_enter(struct fault *f, uint32_t pfn, uint64_t page)
{
	uint64_t n = frame_block_size(f->vm), vpn = f->vpn & ~(n - 1);
	struct gather g;
	int err;

	for (uint64_t i = 0; i < n; i++)
		frame_enter(f->vm, pfn + i, f->top, page + i);
	gather_init(&g);
	err = pmap_enter_large(f->vm, &f->p->pmap, vpn, pfn,
			       fault_prot(f, true), f->write, &g);
	for (uint64_t i = 0; err && i < n; i++)
		object_drop_frame(f->vm, pfn + i, &g);
	gather_flush(f->vm, &g);
	return err == 0;
}

/*
 * Zero-fill by a large page, if it can be. Two megabytes are not zeroed under
 * the core lock: the frames are held meanwhile, the map lock keeps the area,
 * and whether it still fits is asked again.
 */
static bool fault_huge(struct fault *f)
{
	uint64_t n = frame_block_size(f->vm), page;
	uint32_t pfn;
	bool done;

	if (!fault_huge_fits(f, &page))
		return false;
	pfn = frame_alloc_block(f->vm);
	if (pfn == PFN_NONE) {
		vm_count(f->vm, HUGEFALLBACK);
		return false;
	}
	vm_unlock(f->vm);
	memset(ram_frame(&f->vm->ram, pfn), 0, n * PAGE_SIZE);
	vm_lock(f->vm);
	done = fault_huge_fits(f, &page);
	if (!done)
		for (uint64_t i = 0; i < n; i++)
			frame_free(f->vm, pfn + i);
	else
		done = fault_huge_enter(f, pfn, page);
	if (done) {
		vm_count(f->vm, HUGE);
		f->p->minflt++;
	} else {
		vm_count(f->vm, HUGEFALLBACK);
	}
	return done;
}

static enum fault_result fault_zero(struct fault *f)
{
	uint32_t pfn;

	if (f->a->huge && !f->small) {
		/* The lock was let go: look again, for a small page. */
		f->small = true;
		return fault_huge(f) ? FAULT_DONE : fault_search(f);
	}
	pfn = fault_new_page(f);
	if (pfn == PFN_NONE)
		return fault_no_frame(f, WAIT_ROOM);
	memset(ram_frame(&f->vm->ram, pfn), 0, PAGE_SIZE);
	vm_count(f->vm, ZERO);
	f->p->minflt++;
	return fault_enter(f, pfn, true);
}

/*
 * No frame for a copy: take @from itself, if the store has what it holds.
 * Otherwise, with a single frame to be had, the page would be read, pushed out
 * to make room for its copy, and read again, for ever. => it is the front
 * object's page now.
 */
static bool fault_take_over(struct fault *f, uint32_t from)
{
	struct vm *vm = f->vm;
	struct frame *fr = frame_at(vm, from);
	struct gather g;

	if ((fr->flags & FRAME_BUSY) || pmap_dirty(vm, from) ||
	    (f->o->kind == OBJECT_ANON && !slotmap_lookup(vm, f->o, f->page)))
		return false;
	gather_init(&g);
	pmap_frame_remove(vm, from, &g);
	gather_flush(vm, &g);
	/* A store may have come in before the entry went. */
	if (fr->flags & FRAME_DIRTY)
		return false;
	frame_remove(vm, from);
	frame_enter(vm, from, f->top, f->top_page);
	return true;
}

/* Copy frame @from, which stands behind, into the front object. */
static enum fault_result fault_copy(struct fault *f, uint32_t from)
{
	struct vm *vm = f->vm;
	uint32_t pfn = fault_new_page(f);

	if (pfn != PFN_NONE) {
		memcpy(ram_frame(&vm->ram, pfn), ram_frame(&vm->ram, from),
		       PAGE_SIZE);
		frame_at(vm, from)->flags &= ~FRAME_FRESH;
	} else {
		if (!fault_take_over(f, from))
			return fault_no_frame(f, WAIT_ROOM);
		pfn = from;
	}
	frame_at(vm, pfn)->flags |= FRAME_DIRTY;
	vm_count(vm, COW);
	f->p->cow++;
	f->p->minflt++;
	return fault_enter(f, pfn, true);
}

/* The page is in frame @pfn of f->o. */
static enum fault_result fault_found(struct fault *f, uint32_t pfn)
{
	struct vm *vm = f->vm;
	struct frame *fr = frame_at(vm, pfn);
	bool own = f->o == f->top;

	if ((fr->flags & FRAME_READING) ||
	    ((fr->flags & FRAME_WRITING) && f->write && own)) {
		vm_count(vm, BUSYWAIT);
		return fault_wait(f, WAIT_FRAME(pfn));
	}
	if (f->write && !own)
		return fault_copy(f, pfn);
	vm_count(vm, MINFAULT);
	if (fr->rmap && f->o->refs > 1)
		vm_count(vm, SHARE);
	f->p->minflt++;
	return fault_enter(f, pfn, own);
}

/* The page is in @store (file page or swap slot @at): start the read. */
static enum fault_result fault_read(struct fault *f, struct store *store,
				    uint64_t at)
{
	struct vm *vm = f->vm;
	struct pageio *io = pageio_get_read(vm);
	uint32_t pfn;

	if (!io)
		return fault_wait(f, WAIT_READ_IO);
	pfn = frame_alloc(vm, FRAME_FOR_PAGE);
	if (pfn == PFN_NONE) {
		pageio_put(vm, io);
		return fault_no_frame(f, WAIT_MEMORY);
	}
	frame_enter(vm, pfn, f->o, f->page);
	if (f->page >= f->o->top)
		f->o->top = f->page + 1;
	vm_count(vm, MAJFAULT);
	f->p->majflt++;
	pageio_read(vm, io, f->o, store, at, pfn);
	return fault_wait(f, WAIT_FRAME(pfn));
}

/* Look for the page, from the front of the chain backwards. */
static enum fault_result fault_search(struct fault *f)
{
	struct vm *vm = f->vm;
	uint32_t pfn, slot;

	f->o = f->top;
	f->page = f->top_page;
	for (;;) {
		pfn = frame_lookup(vm, f->o, f->page);
		if (pfn)
			return fault_found(f, pfn);
		slot = slotmap_lookup(vm, f->o, f->page);
		if (slot)
			return fault_read(f, &vm->cfg.swap->store, slot);
		if (f->o->kind == OBJECT_FILE)
			return fault_read(f, f->o->store, f->page);
		if (!f->o->backing || f->page >= f->o->npages)
			return fault_zero(f);
		f->page += f->o->backing_page;
		f->o = f->o->backing;
	}
}

/* Give the area an object to write to, or to have pages at all. */
static int fault_object(struct fault *f)
{
	struct area *a = f->a;

	if (!a->object) {
		area_show(a, object_anon(f->vm, a->end - a->start));
		if (!a->object)
			return -ENOMEM;
	} else if (f->write && a->needs_copy) {
		return cow_prepare(f->vm, a);
	}
	return 0;
}

static bool fault_permitted(const struct area *a, const struct page_fault *pf)
{
	if (pf->error & X86_PF_I)
		return a->prot & VM_PROT_EXEC;
	if (pf->error & X86_PF_W)
		return a->prot & VM_PROT_WRITE;
	return area_rights(a) & VM_PROT_READ;
}

/* => map lock held. */
static enum fault_result fault_locked(struct fault *f,
				      const struct page_fault *pf, int *sig,
				      const char **why)
{
	enum fault_result r;

	*sig = SIGSEGV;
	f->a = map_find(&f->p->map, f->vpn);
	if (!f->a) {
		*why = f->p->dead ? fault_why(-ESRCH) : "nothing is mapped here";
		return FAULT_SIGNAL;
	}
	if (!fault_permitted(f->a, pf)) {
		*why = "the mapping does not allow it";
		return FAULT_SIGNAL;
	}
	if (f->pc && quick_fault(f->vm, f->pc, f->p, f->a, f->vpn, f->write))
		return FAULT_DONE;
	vm_lock(f->vm);
	if (f->pc && frame_stock(f->vm, f->pc) &&
	    quick_fault_locked(f->vm, f->pc, f->p, f->a, f->vpn, f->write)) {
		vm_unlock(f->vm);
		return FAULT_DONE;
	}
	vm_count(f->vm, FAULT);
	if (f->vm->cfg.evict_always)
		pageout_evict(f->vm, 1);
	if (fault_object(f) < 0) {
		r = fault_no_frame(f, WAIT_MEMORY);
	} else {
		f->top = f->a->object;
		f->top_page = f->a->page + (f->vpn - f->a->start);
		r = fault_search(f);
	}
	pageio_pass_on(f->vm, f->w);
	vm_unlock(f->vm);
	return r;
}

enum fault_result fault_resolve(struct vm *vm, struct percpu *pc,
				struct proc *p, const struct page_fault *pf,
				struct waiter *w, int *sig, const char **why)
{
	struct fault f = {
		.vm = vm, .p = p, .w = w,
		.pc = vm->cfg.evict_always ? NULL : pc,
		.vpn = pf->addr >> PAGE_SHIFT,
		.write = pf->error & X86_PF_W,
	};
	enum fault_result r;

	w->result = 0;
	pthread_mutex_lock(&p->map.lock);
	r = fault_locked(&f, pf, sig, why);
	pthread_mutex_unlock(&p->map.lock);
	if (r == FAULT_SIGNAL || (r == FAULT_DONE && w->owes)) {
		vm_lock(vm);
		vm_count_add(vm, SEGV, r == FAULT_SIGNAL);
		pageio_pass_on(vm, w);
		vm_unlock(vm);
	}
	return r;
}
