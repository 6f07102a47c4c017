/*
 * extent.h - the content of a file, as pieces of other files.
 *
 * An extent says: these bytes are those of the record (or, with @base, of the
 * file as it is in the --base directory) from @at. Extents do not overlap;
 * what no extent covers is zero.
 */
#ifndef REPLAY_EXTENT_H
#define REPLAY_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include <bsd/sys/tree.h>

struct extent {
	RB_ENTRY(extent) link;
	uint64_t offset, length;
	uint64_t at;
	bool base;
};

RB_HEAD(extents, extent);

/* [@offset, @offset + @length) is now what is found @at. */
void extents_put(struct extents *extents, uint64_t offset, uint64_t length,
		 uint64_t at, bool base);
/* It is zero now. @length may reach to the end of the world. */
void extents_cut(struct extents *extents, uint64_t offset, uint64_t length);
void extents_free(struct extents *extents);

struct extent *extents_first(struct extents *extents);
struct extent *extents_next(struct extent *extent);

#endif
