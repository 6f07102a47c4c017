/*
 * swapout.c - see swapout.h.
 *
 *	swapout_write: as long as there are frames and descriptors
 *	  slots of an area that does not rest -> one write of a cluster
 *	    failed -> swapout_failed(): the area rests; swapout_suspect()
 *	    done   -> swapout_wrote(): all is well; what it refused is bad
 *
 * Invariant: an area with failures gets one page at a time, so that a cluster
 * does not take good slots along. Lock: the core lock.
 */
#include "pager/swapout.h"

#include "pager/frame.h"
#include "pager/object.h"
#include "pager/pageio.h"
#include "pager/pageout.h"

static struct swapout_area *swapout_area(struct vm *vm, uint32_t slot)
{
	return &vm->swapout[SWAP_SLOT_AREA(slot)];
}

/* ---- what came of it ---- */

void swapout_failed(struct vm *vm, uint32_t slot, uint64_t retry_ns)
{
	struct swapout_area *a = swapout_area(vm, slot);

	a->failures++;
	a->retry_ns = retry_ns;
}

void swapout_suspect(struct vm *vm, uint32_t slot)
{
	struct swapout_area *a = swapout_area(vm, slot);

	for (unsigned i = 0; i < a->nsuspects && i < SWAPOUT_SUSPECTS; i++)
		if (a->suspect[i] == slot)
			return;
	if (a->nsuspects < SWAPOUT_SUSPECTS)
		a->suspect[a->nsuspects] = slot;
	if (a->nsuspects <= SWAPOUT_SUSPECTS)
		a->nsuspects++;		/* one too many: none is to blame */
}

/* The area takes writes: what it refused before is bad, unless it is in use. */
static void swapout_convict(struct vm *vm, struct swapout_area *a,
			    uint32_t slot, unsigned n)
{
	struct swap_store *swap = vm->cfg.swap;

	if (a->nsuspects <= SWAPOUT_SUSPECTS)
		for (unsigned i = 0; i < a->nsuspects; i++)
			if (a->suspect[i] - slot >= n &&
			    swap->refs(swap, a->suspect[i]) == 0)
				swap->bad(swap, a->suspect[i]);
	a->nsuspects = 0;
}

void swapout_wrote(struct vm *vm, uint32_t slot, unsigned n)
{
	struct swapout_area *a = swapout_area(vm, slot);

	a->failures = 0;
	a->retry_ns = 0;
	if (a->nsuspects)
		swapout_convict(vm, a, slot, n);
}

/* ---- slots ---- */

/* The areas that rest, one bit each. */
static uint32_t swapout_resting(const struct vm *vm, uint64_t now)
{
	uint32_t areas = 0;

	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		if (vm->swapout[a].retry_ns > now)
			areas |= 1u << a;
	return areas;
}

/* A page is about to try the area of @slot: when it has failed before, no
 * other does so until that is over, or for as long as it rests. => it was so. */
static bool swapout_probe(struct vm *vm, uint32_t slot, uint64_t now)
{
	struct swapout_area *a = swapout_area(vm, slot);

	if (a->failures)
		a->retry_ns = now + PAGEOUT_RETRY;
	return a->failures;
}

/* Up to @want neighbouring slots. => how many, the first in *slot. */
static unsigned swapout_alloc(struct vm *vm, unsigned want, uint32_t *slot)
{
	struct swap_store *swap = vm->cfg.swap;
	uint64_t now = vm_now_ns(vm);
	unsigned got;

	if (want > vm->cfg.cluster)
		want = vm->cfg.cluster;
	got = swap->alloc(swap, want, swapout_resting(vm, now), slot);
	if (got && swapout_probe(vm, *slot, now))
		while (got > 1)
			swap->unref(swap, *slot + --got);
	return got;
}

/* No free slot: a page that has one from before can use it again. => the slot,
 * or 0. */
static uint32_t swapout_again(struct vm *vm, uint32_t pfn)
{
	struct frame *f = frame_at(vm, pfn);
	uint32_t slot = slotmap_lookup(vm, object_at(vm, f->object), f->page);
	uint64_t now = vm_now_ns(vm);

	/* More than the owner's reference: an old write is in flight. */
	if (!slot || vm->cfg.swap->refs(vm->cfg.swap, slot) != 1 ||
	    swapout_area(vm, slot)->retry_ns > now)
		return 0;
	swapout_probe(vm, slot, now);
	return slot;
}

/* ---- writing ---- */

/* The next few of @n frames: what is found where their slots are looked for. */
static void swapout_ahead(const struct vm *vm, const uint32_t *pfn, unsigned n)
{
	const struct frame *f;

	for (int chain = 0; chain < 2; chain++)
		for (unsigned i = 0; i < n && i < FRAME_AHEAD; i++) {
			f = frame_at(vm, pfn[i]);
			slotmap_prefetch(vm, f->object, f->page, chain);
		}
}

/* The slot of page @page of @o, wherever it had one before, is @slot. */
static void swapout_set_slot(struct vm *vm, struct object *o, uint64_t page,
			     uint32_t slot)
{
	uint32_t old = slotmap_lookup(vm, o, page);

	if (old == slot)
		return;
	if (old)
		slotmap_drop(vm, old);
	slotmap_set(vm, o, page, slot);
}

/* Give @n frames pfn[] the slots from @slot on, and write them. */
static void swapout_cluster(struct vm *vm, struct pageio *io,
			    const uint32_t *pfn, uint32_t slot, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct frame *f = frame_at(vm, pfn[i]);
		struct object *o = object_at(vm, f->object);

		io->pfn[i] = pfn[i];
		if (i % FRAME_AHEAD == 0)
			swapout_ahead(vm, pfn + i, n - i);
		swapout_set_slot(vm, o, f->page, slot + i);
		f->flags |= FRAME_RECLAIM;
		vm->pageout.laundering++;
	}
	pageio_write(vm, io, NULL, slot, n);
}

unsigned swapout_write(struct vm *vm, const uint32_t *pfn, unsigned n)
{
	unsigned done = 0, i = 0;

	while (i < n && vm->cfg.swap) {
		struct pageio *io = pageio_get_write(vm);
		uint32_t slot;
		unsigned got;

		if (!io)
			break;
		got = swapout_alloc(vm, n - i, &slot);
		if (!got) {
			slot = swapout_again(vm, pfn[i]);
			got = slot != 0;
		}
		if (got)
			swapout_cluster(vm, io, pfn + i, slot, got);
		else
			pageio_put(vm, io);
		done += got;
		i += got ? got : 1;
	}
	return done;
}
