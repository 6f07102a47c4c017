/*
 * frame.c - the frame table.
 *
 * Frames come off the free list, get an identity in an object's list and the
 * hash, are busy during I/O, and go back. The hash and the object lists are
 * threaded through the frames themselves, so nothing here allocates after
 * start. Invariants and states: frame.h. Lock: the core lock.
 */
#include "pager/frame.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pager/object.h"
#include "pager/pageout.h"
#include "pager/percpu.h"
#include "pager/wait.h"

/* 16 neighbouring pages have their buckets in one cache line, each group in
 * another order, so that pages far apart at regular distances spread too. */
static uint32_t frame_hash(const struct vm *vm, uint32_t object, uint64_t page)
{
	uint64_t h = ((page >> 4) + ((uint64_t)object << 32)) *
		     0x9e3779b97f4a7c15ull;

	return ((h >> 32) ^ (page & 15)) & vm->frames.mask;
}

/*
 * Watermarks as given, or derived: low is where pageout starts, high where it
 * stops, min is what ordinary faults leave for page tables. The frames between
 * min and new are for reading only: when all else is full of pages that cannot
 * go, those that are out can still be looked at, one after the other.
 */
static void frame_watermarks(struct vm *vm)
{
	struct frame_table *t = &vm->frames;
	uint32_t min = t->n / 128, gap = t->n / 32;

	min = min < 2 ? 2 : min > 1024 ? 1024 : min;
	gap = gap < min ? min : gap > 1024 ? 1024 : gap;
	t->wm_min = vm->cfg.wm_min ? vm->cfg.wm_min : min;
	t->wm_new = t->wm_min + (t->n < 64 ? 2 : 4);
	t->wm_low = vm->cfg.wm_low ? vm->cfg.wm_low : t->wm_min * 2;
	if (t->wm_new > t->wm_low && vm->cfg.wm_low)
		t->wm_new = t->wm_low;
	else if (t->wm_new > t->wm_low)
		t->wm_low = t->wm_new;
	t->wm_high = vm->cfg.wm_high ? vm->cfg.wm_high : t->wm_low + gap;
}

/* ---- free frames ---- */

static void frame_push(struct frame_table *t, uint32_t pfn)
{
	struct frame *f = &t->f[pfn];
	uint16_t *block = &t->block[pfn >> t->block_shift];

	f->state = FRAME_FREE;
	f->obj_prev = PFN_NONE;
	f->obj_next = t->free;
	if (t->free)
		t->f[t->free].obj_prev = pfn;
	t->free = pfn;
	t->nfree++;
	t->nblocks_free += ++*block == 1u << t->block_shift;
}

/* Out of the free list; HELD, all else zero. */
static void frame_pull(struct frame_table *t, uint32_t pfn)
{
	struct frame *f = &t->f[pfn];
	uint16_t *block = &t->block[pfn >> t->block_shift];

	assert(f->state == FRAME_FREE);
	if (f->obj_prev)
		t->f[f->obj_prev].obj_next = f->obj_next;
	else
		t->free = f->obj_next;
	if (f->obj_next)
		t->f[f->obj_next].obj_prev = f->obj_prev;
	t->nfree--;
	t->nblocks_free -= (*block)-- == 1u << t->block_shift;
	memset(f, 0, sizeof(*f));
	f->state = FRAME_HELD;
}

/* How many frames a CPU may have to itself: with little RAM, fewer. */
static uint32_t frame_stock_max(const struct frame_table *t)
{
	return t->n / 32 < PERCPU_FRAMES ? t->n / 32 : PERCPU_FRAMES;
}

bool frame_stock_fill(struct vm *vm, struct percpu *pc)
{
	struct frame_table *t = &vm->frames;
	uint32_t max = frame_stock_max(t);

	if (t->nfree <= t->wm_high + max * vm->ncpus)
		return false;
	/* To be taken in the order of the list: neighbours follow each other
	 * there as often as not, and the host's caches like that. */
	for (uint32_t i = max; i > 0; i--) {
		pc->free[i - 1] = t->free;
		frame_pull(t, t->free);
		t->f[pc->free[i - 1]].state = FRAME_FREE;
	}
	pc->nfree = max;
	return max > 0;
}

void frame_unstock(struct vm *vm)
{
	for (unsigned i = 0; i < vm->ncpus; i++) {
		struct percpu *pc = &vm->percpu[i];

		while (pc->nfree > 0)
			frame_push(&vm->frames, pc->free[--pc->nfree]);
	}
}

uint32_t frame_nfree(const struct vm *vm)
{
	uint32_t n = vm->frames.nfree;

	for (unsigned i = 0; i < vm->ncpus; i++)
		n += vm->percpu[i].nfree;
	return n;
}

int frame_init(struct vm *vm)
{
	struct frame_table *t = &vm->frames;
	uint32_t nbuckets = 1;

	t->n = vm->ram.nframes;
	t->block_shift = pmap_large_shift(vm->cfg.mode);
	while (nbuckets <= t->n / 2)
		nbuckets *= 2;
	t->mask = nbuckets - 1;
	t->f = calloc(t->n, sizeof(*t->f));
	t->bucket = calloc(nbuckets, sizeof(*t->bucket));
	t->block = calloc((t->n >> t->block_shift) + 1, sizeof(*t->block));
	if (!t->f || !t->bucket || !t->block) {
		frame_destroy(vm);
		return -ENOMEM;
	}
	t->f[0].state = FRAME_RESERVED;
	for (uint32_t pfn = t->n - 1; pfn > 0; pfn--)
		frame_push(t, pfn);
	frame_watermarks(vm);
	return 0;
}

void frame_destroy(struct vm *vm)
{
	free(vm->frames.f);
	free(vm->frames.bucket);
	free(vm->frames.block);
	vm->frames.f = NULL;
	vm->frames.bucket = NULL;
	vm->frames.block = NULL;
}

uint32_t frame_leaves(const struct vm *vm, enum frame_use use)
{
	const struct frame_table *t = &vm->frames;

	return use == FRAME_FOR_TABLE ? t->wm_min / 2 :
	       use == FRAME_FOR_PAGE  ? t->wm_min :
					t->wm_new;
}

uint32_t frame_alloc(struct vm *vm, enum frame_use use)
{
	struct frame_table *t = &vm->frames;
	uint32_t leave = frame_leaves(vm, use);
	uint32_t pfn;

	if (t->nfree <= t->wm_low)
		frame_unstock(vm);
	/* Where it has just found nothing, only real need is worth a look. */
	if (t->nfree <= t->wm_low &&
	    (!vm->pageout.hopeless || t->nfree <= leave))
		pageout_wake(vm);
	if (t->nfree <= leave)
		return PFN_NONE;
	pfn = t->free;
	frame_pull(t, pfn);
	return pfn;
}

uint32_t frame_alloc_block(struct vm *vm)
{
	struct frame_table *t = &vm->frames;
	uint32_t size = 1u << t->block_shift, n = t->n >> t->block_shift, b;

	if (t->nblocks_free == 0 || t->nfree < size + t->wm_low)
		return PFN_NONE;
	for (b = t->block_hint % n; t->block[b] != size; b = (b + 1) % n)
		;
	t->block_hint = b + 1;
	for (uint32_t i = 0; i < size; i++)
		frame_pull(t, (b << t->block_shift) + i);
	return b << t->block_shift;
}

void frame_free(struct vm *vm, uint32_t pfn)
{
	struct frame_table *t = &vm->frames;
	struct frame *f = frame_at(vm, pfn);

	assert(f->state == FRAME_HELD || f->state == FRAME_TABLE);
	assert(f->rmap == 0 || f->state == FRAME_TABLE);
	f->flags = 0;
	f->rmap = 0;
	frame_push(t, pfn);
	/* Somebody waited: the daemon sees to it that nobody is left behind. */
	if ((t->nfree > t->wm_min && wait_wake(vm, WAIT_MEMORY, 0, 1) > 0) ||
	    (t->nfree > t->wm_new && wait_wake(vm, WAIT_ROOM, 0, 1) > 0)) {
		vm->pageout.hopeless = false;
		pageout_wake(vm);
	}
}

/* Thread @pfn into the hash and @o's list. Others who share the core lock may
 * be doing so too in this bucket, or looking through it: it is whole when they
 * can see it. */
static void frame_link(struct vm *vm, uint32_t pfn, struct object *o,
		       uint64_t page)
{
	struct frame *f = frame_at(vm, pfn);
	uint32_t *b = &vm->frames.bucket[frame_hash(vm, o->id, page)];

	f->object = o->id;
	f->page = page;
	f->hash_next = __atomic_load_n(b, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(b, &f->hash_next, pfn, false,
					    __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
	f->obj_prev = 0;
	f->obj_next = o->pages;
	if (o->pages)
		frame_at(vm, o->pages)->obj_prev = pfn;
	o->pages = pfn;
	o->nresident++;
}

static void frame_unlink(struct vm *vm, uint32_t pfn)
{
	struct frame *f = frame_at(vm, pfn);
	struct object *o = object_at(vm, f->object);
	uint32_t *at = &vm->frames.bucket[frame_hash(vm, o->id, f->page)];

	while (*at != pfn)
		at = &frame_at(vm, *at)->hash_next;
	*at = f->hash_next;
	if (f->obj_prev)
		frame_at(vm, f->obj_prev)->obj_next = f->obj_next;
	else
		o->pages = f->obj_next;
	if (f->obj_next)
		frame_at(vm, f->obj_next)->obj_prev = f->obj_prev;
	o->nresident--;
	f->object = 0;
}

void frame_enter(struct vm *vm, uint32_t pfn, struct object *o, uint64_t page)
{
	assert(frame_at(vm, pfn)->state == FRAME_HELD);
	frame_at(vm, pfn)->state = FRAME_PAGE;
	frame_link(vm, pfn, o, page);
}

void frame_remove(struct vm *vm, uint32_t pfn)
{
	struct frame *f = frame_at(vm, pfn);

	assert(f->state == FRAME_PAGE && !(f->flags & FRAME_BUSY));
	assert(f->rmap == 0);
	if (!(f->flags & FRAME_ORPHAN))
		frame_unlink(vm, pfn);
	f->state = FRAME_HELD;
	f->flags = 0;
}

void frame_prefetch(const struct vm *vm, const uint32_t *pfn, unsigned n)
{
	if (n > FRAME_AHEAD)
		n = FRAME_AHEAD;
	for (unsigned i = 0; i < n; i++)
		__builtin_prefetch(frame_at(vm, pfn[i]), 1);
	for (unsigned i = 0; i < n; i++) {
		const struct frame *f = frame_at(vm, pfn[i]);

		__builtin_prefetch(frame_at(vm, f->obj_next), 1);
		__builtin_prefetch(frame_at(vm, f->obj_prev), 1);
		__builtin_prefetch(&vm->frames.bucket[frame_hash(vm, f->object,
								 f->page)]);
	}
}

void frame_orphan(struct vm *vm, uint32_t pfn)
{
	struct frame *f = frame_at(vm, pfn);

	assert(f->flags & FRAME_BUSY);
	object_at(vm, f->object)->nbusy--;
	frame_unlink(vm, pfn);
	f->flags = (f->flags | FRAME_ORPHAN) & ~FRAME_DIRTY;
}

void frame_rename(struct vm *vm, uint32_t pfn, struct object *to,
		  uint64_t page)
{
	assert(!(frame_at(vm, pfn)->flags & FRAME_BUSY));
	frame_unlink(vm, pfn);
	frame_link(vm, pfn, to, page);
}

uint32_t frame_lookup(const struct vm *vm, const struct object *o,
		      uint64_t page)
{
	uint32_t pfn;

	if (o->nresident == 0)
		return PFN_NONE;
	pfn = __atomic_load_n(&vm->frames.bucket[frame_hash(vm, o->id, page)],
			      __ATOMIC_ACQUIRE);
	while (pfn) {
		const struct frame *f = frame_at(vm, pfn);

		if (f->object == o->id && f->page == page)
			break;
		pfn = f->hash_next;
	}
	return pfn;
}

void frame_busy(struct vm *vm, uint32_t pfn, unsigned how, uint32_t io)
{
	struct frame *f = frame_at(vm, pfn);

	assert(f->state == FRAME_PAGE && !(f->flags & FRAME_BUSY));
	assert(how == FRAME_READING || how == FRAME_WRITING);
	f->flags = (f->flags & ~FRAME_FAILED) | how;
	f->aux = io;
	object_at(vm, f->object)->nbusy++;
	vm->frames.nbusy++;
}

unsigned frame_unbusy(struct vm *vm, uint32_t pfn, int result)
{
	struct frame *f = frame_at(vm, pfn);

	assert(f->flags & FRAME_BUSY);
	f->flags &= ~FRAME_BUSY;
	if (!(f->flags & FRAME_ORPHAN))
		object_at(vm, f->object)->nbusy--;
	vm->frames.nbusy--;
	return wait_wake(vm, WAIT_FRAME(pfn), result, UINT_MAX);
}

static void frame_check_one(const struct vm *vm, uint32_t pfn)
{
	const struct frame *f = frame_at(vm, pfn);
	bool r = f->flags & FRAME_READING, w = f->flags & FRAME_WRITING;

	assert(!(r && w));
	assert(!(r && (f->flags & FRAME_DIRTY)));
	assert(!((r || w) && f->state != FRAME_PAGE));
	assert(!(r && f->rmap));
	if (f->flags & FRAME_ORPHAN) {
		assert((r || w) && f->object == 0 && f->rmap == 0);
	} else if (f->state == FRAME_PAGE) {
		const struct object *o = object_at(vm, f->object);

		assert(o && frame_lookup(vm, o, f->page) == pfn);
	}
}

void frame_check(const struct vm *vm)
{
	const struct frame_table *t = &vm->frames;
	uint32_t nfree = 0, nbusy = 0, nwriting = 0, ntables = 0, walked = 0;

	for (uint32_t pfn = 0; pfn < t->n; pfn++) {
		frame_check_one(vm, pfn);
		nfree += t->f[pfn].state == FRAME_FREE;
		ntables += t->f[pfn].state == FRAME_TABLE;
		nbusy += !!(t->f[pfn].flags & FRAME_BUSY);
		nwriting += !!(t->f[pfn].flags & FRAME_WRITING);
	}
	for (uint32_t pfn = t->free; pfn; pfn = t->f[pfn].obj_next)
		walked++;
	assert(walked == t->nfree && nfree == frame_nfree(vm));
	assert(nbusy == t->nbusy && ntables == t->ntables);
	assert(nwriting == vm->io.writing);
}
