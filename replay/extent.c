/*
 * extent.c - the content of a file, as pieces of other files.
 *
 * A red-black tree by offset. Cutting trims or splits what it meets, so that
 * putting is cutting and inserting. One thread, no locks.
 */
#include "replay/extent.h"
#include "replay/need.h"

static int extent_compare(const struct extent *a, const struct extent *b)
{
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

RB_PROTOTYPE(extents, extent, link, extent_compare)
RB_GENERATE(extents, extent, link, extent_compare)

static void extent_insert(struct extents *extents, uint64_t offset,
			  uint64_t length, uint64_t at, bool base)
{
	struct extent *extent = need(malloc(sizeof(*extent)));

	extent->offset = offset;
	extent->length = length;
	extent->at = at;
	extent->base = base;
	RB_INSERT(extents, extents, extent);
}

/* The first extent that ends behind @offset. */
static struct extent *extent_seek(struct extents *extents, uint64_t offset)
{
	struct extent key = { .offset = offset }, *extent, *before;

	extent = RB_NFIND(extents, extents, &key);
	before = extent ? RB_PREV(extents, extents, extent) :
			  RB_MAX(extents, extents);
	if (before && before->offset + before->length > offset)
		return before;
	return extent;
}

void extents_cut(struct extents *extents, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length < offset ? UINT64_MAX : offset + length;
	struct extent *extent, *next, old;

	for (extent = extent_seek(extents, offset);
	     extent && extent->offset < end; extent = next) {
		next = RB_NEXT(extents, extents, extent);
		old = *extent;
		RB_REMOVE(extents, extents, extent);
		free(extent);
		if (old.offset < offset)
			extent_insert(extents, old.offset,
				      offset - old.offset, old.at, old.base);
		if (old.offset + old.length > end)
			extent_insert(extents, end,
				      old.offset + old.length - end,
				      old.at + (end - old.offset), old.base);
	}
}

void extents_put(struct extents *extents, uint64_t offset, uint64_t length,
		 uint64_t at, bool base)
{
	if (!length)
		return;
	extents_cut(extents, offset, length);
	extent_insert(extents, offset, length, at, base);
}

void extents_free(struct extents *extents)
{
	extents_cut(extents, 0, UINT64_MAX);
}

struct extent *extents_first(struct extents *extents)
{
	return RB_MIN(extents, extents);
}

struct extent *extents_next(struct extent *extent)
{
	return RB_NEXT(extents, NULL, extent);
}
