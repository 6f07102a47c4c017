/*
 * launder.c - writing one dirty file page, and its neighbours with it.
 *
 * The pages on either side that are dirty too go out in the same write, as far
 * as the cluster: a file is cut into clusters at multiples of their size, so
 * that large dirty areas leave whole, and no leftovers stay between writes
 * that began anywhere. All of them lose W and D in every page table before the
 * write is submitted and the shootdown is over, so a store during the write
 * faults and finds the frame busy. Lock: the core lock.
 */
#include <string.h>

#include "pager/frame.h"
#include "pager/object.h"
#include "pager/pageio.h"
#include "pager/pageout.h"
#include "pager/pmap.h"

/* Frame of @page of @o if it wants writing and can be written now. */
static uint32_t launder_candidate(struct vm *vm, struct object *o,
				  uint64_t page)
{
	uint32_t pfn = frame_lookup(vm, o, page);

	if (pfn == PFN_NONE || (frame_at(vm, pfn)->flags & FRAME_BUSY) ||
	    !pmap_dirty(vm, pfn))
		return PFN_NONE;
	return pfn;
}

/* Which of the @max pages before (@step -1) or after @page go along: their
 * frames to pfn[@step] and on. => how many. */
static unsigned launder_extent(struct vm *vm, struct object *o, uint64_t page,
			       int step, unsigned max, uint32_t *pfn)
{
	unsigned n = 0;

	while (n < max && !(step < 0 && page == 0)) {
		page += step;
		pfn += step;
		*pfn = launder_candidate(vm, o, page);
		if (*pfn == PFN_NONE)
			break;
		n++;
	}
	return n;
}

/* Page @page of @o, in frame @pfn, and its neighbours: to cluster[]. => how
 * many, the first page in *first. */
static unsigned launder_cluster(struct vm *vm, struct object *o, uint64_t page,
				uint32_t pfn, uint32_t *cluster,
				uint64_t *first)
{
	unsigned at = page % vm->cfg.cluster, before, after;

	cluster[at] = pfn;
	before = launder_extent(vm, o, page, -1, at, cluster + at);
	after = launder_extent(vm, o, page, 1, vm->cfg.cluster - 1 - at,
			       cluster + at);
	*first = page - before;
	memmove(cluster, cluster + at - before,
		(before + 1 + after) * sizeof(*cluster));
	return before + 1 + after;
}

/* Nobody maps it: it goes when it is clean. */
static void launder_reclaim(struct vm *vm, struct frame *f)
{
	if (f->rmap || (f->flags & FRAME_RECLAIM))
		return;
	f->flags |= FRAME_RECLAIM;
	vm->pageout.laundering++;
}

unsigned launder_file(struct vm *vm, uint32_t pfn, bool reclaim)
{
	struct object *o = object_at(vm, frame_at(vm, pfn)->object);
	struct pageio *io = pageio_get_write(vm);
	struct gather g;
	uint64_t first;
	unsigned n;

	if (!io)
		return 0;
	n = launder_cluster(vm, o, frame_at(vm, pfn)->page, pfn, io->pfn,
			    &first);
	gather_init(&g);
	for (unsigned i = 0; i < n; i++) {
		if (reclaim && vm->pageout.everything)
			pmap_frame_remove(vm, io->pfn[i], &g);
		else
			pmap_frame_clean(vm, io->pfn[i], &g);
	}
	gather_flush(vm, &g);
	for (unsigned i = 0; reclaim && i < n; i++)
		launder_reclaim(vm, frame_at(vm, io->pfn[i]));
	pageio_write(vm, io, o, first, n);
	return n;
}
