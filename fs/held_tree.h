/*
 * held_tree.h - pieces of writes of one file, by offset, none overlapping.
 *
 * What is put cuts whatever it covers out of what was there. No locks, no
 * I/O. Nothing changes when -ENOMEM is returned.
 */
#ifndef FS_HELD_TREE_H
#define FS_HELD_TREE_H

#include <bsd/sys/tree.h>
#include <stddef.h>
#include <stdint.h>

struct held_extent {
	RB_ENTRY(held_extent) link;
	uint64_t offset;
	size_t length;		/* > 0 */
	size_t skip;		/* of the data: what was cut off its front */
	size_t room;		/* of the data, skipped and cut off too */
	char data[];
};

RB_HEAD(held_root, held_extent);

struct held_tree {
	struct held_root root;
	uint64_t count, bytes;
	uint64_t memory;	/* that they take; data twice at most */
};

void held_tree_init(struct held_tree *tree);

static inline char *held_extent_data(struct held_extent *extent)
{
	return extent->data + extent->skip;
}

/* The first which ends behind @offset; the one that follows. NULL: none. */
struct held_extent *held_tree_first(struct held_tree *tree, uint64_t offset);
struct held_extent *held_tree_next(struct held_tree *tree,
				   struct held_extent *extent);
/* Any of them, by @random. => NULL: there is none. */
struct held_extent *held_tree_pick(struct held_tree *tree, uint64_t random);
/* Where the last ends; 0: there is none. */
uint64_t held_tree_end(struct held_tree *tree);

/* Put a copy of @length bytes at @offset. => 0 or -ENOMEM. */
int held_tree_put(struct held_tree *tree, const char *data, size_t length,
		  uint64_t offset);
/* Cut [@from, @to) out. => 0 or -ENOMEM. */
int held_tree_cut(struct held_tree *tree, uint64_t from, uint64_t to);
void held_tree_remove(struct held_tree *tree, struct held_extent *extent);

#endif
