/*
 * held_tree.c - a red-black tree of extents by offset.
 *
 * Only cutting from the middle of an extent needs memory, for the part
 * behind; it is had before anything changes. What is left of an extent of
 * which more than half is gone moves into smaller memory, or many small pieces
 * of large writes would keep all of it; if there is none it stays.
 */
#include "fs/held_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int held_compare(const struct held_extent *a,
			const struct held_extent *b)
{
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

RB_PROTOTYPE(held_root, held_extent, link, held_compare)
RB_GENERATE(held_root, held_extent, link, held_compare)

void held_tree_init(struct held_tree *tree)
{
	RB_INIT(&tree->root);
	tree->count = tree->bytes = tree->memory = 0;
}

static uint64_t held_extent_end(const struct held_extent *extent)
{
	return extent->offset + extent->length;
}

struct held_extent *held_tree_first(struct held_tree *tree, uint64_t offset)
{
	struct held_extent *at = RB_ROOT(&tree->root), *found = NULL;

	while (at) {
		if (held_extent_end(at) > offset) {
			found = at;
			at = RB_LEFT(at, link);
		} else {
			at = RB_RIGHT(at, link);
		}
	}
	return found;
}

struct held_extent *held_tree_next(struct held_tree *tree,
				   struct held_extent *extent)
{
	(void)tree;
	return RB_NEXT(held_root, &tree->root, extent);
}

struct held_extent *held_tree_pick(struct held_tree *tree, uint64_t random)
{
	struct held_extent *extent = RB_MIN(held_root, &tree->root);
	uint64_t n;

	for (n = tree->count ? random % tree->count : 0; extent && n; n--)
		extent = RB_NEXT(held_root, &tree->root, extent);
	return extent;
}

uint64_t held_tree_end(struct held_tree *tree)
{
	struct held_extent *last = RB_MAX(held_root, &tree->root);

	return last ? held_extent_end(last) : 0;
}

static struct held_extent *held_extent_make(const char *data, size_t length,
					    uint64_t offset)
{
	struct held_extent *extent = malloc(sizeof(*extent) + length);

	if (!extent)
		return NULL;
	extent->offset = offset;
	extent->length = length;
	extent->skip = 0;
	extent->room = length;
	memcpy(extent->data, data, length);
	return extent;
}

static void held_tree_insert(struct held_tree *tree,
			     struct held_extent *extent)
{
	RB_INSERT(held_root, &tree->root, extent);
	tree->count++;
	tree->bytes += extent->length;
	tree->memory += sizeof(*extent) + extent->room;
}

void held_tree_remove(struct held_tree *tree, struct held_extent *extent)
{
	RB_REMOVE(held_root, &tree->root, extent);
	tree->count--;
	tree->bytes -= extent->length;
	tree->memory -= sizeof(*extent) + extent->room;
	free(extent);
}

/* Something was cut off it. It may move. */
static void held_tree_fit(struct held_tree *tree, struct held_extent *extent)
{
	struct held_extent *smaller;

	if (extent->length >= extent->room / 2)
		return;
	smaller = held_extent_make(held_extent_data(extent), extent->length,
				   extent->offset);
	if (!smaller)
		return;
	held_tree_remove(tree, extent);
	held_tree_insert(tree, smaller);
}

/* [@from, @to) lies within @extent, with some of it on both sides. */
static int held_tree_split(struct held_tree *tree, struct held_extent *extent,
			   uint64_t from, uint64_t to)
{
	struct held_extent *behind;

	behind = held_extent_make(held_extent_data(extent) +
				  (to - extent->offset),
				  held_extent_end(extent) - to, to);
	if (!behind)
		return -ENOMEM;
	tree->bytes -= held_extent_end(extent) - from;
	extent->length = from - extent->offset;
	held_tree_fit(tree, extent);
	held_tree_insert(tree, behind);
	return 0;
}

int held_tree_cut(struct held_tree *tree, uint64_t from, uint64_t to)
{
	struct held_extent *extent = held_tree_first(tree, from), *next;
	uint64_t end, cut;

	if (from >= to)
		return 0;
	if (extent && extent->offset < from && held_extent_end(extent) > to)
		return held_tree_split(tree, extent, from, to);
	for (; extent && extent->offset < to; extent = next) {
		next = held_tree_next(tree, extent);
		end = held_extent_end(extent);
		if (extent->offset >= from && end <= to) {
			held_tree_remove(tree, extent);
			continue;
		}
		cut = extent->offset < from ? end - from :
					      to - extent->offset;
		/* Its front goes: the order in the tree stays the same. */
		if (extent->offset >= from) {
			extent->skip += cut;
			extent->offset += cut;
		}
		extent->length -= cut;
		tree->bytes -= cut;
		held_tree_fit(tree, extent);
	}
	return 0;
}

int held_tree_put(struct held_tree *tree, const char *data, size_t length,
		  uint64_t offset)
{
	struct held_extent *extent;
	int err;

	if (!length)
		return 0;
	extent = held_extent_make(data, length, offset);
	if (!extent)
		return -ENOMEM;
	err = held_tree_cut(tree, offset, offset + length);
	if (err) {
		free(extent);
		return err;
	}
	held_tree_insert(tree, extent);
	return 0;
}
