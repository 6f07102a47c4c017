/*
 * append.h - where a write to a file that was opened with O_APPEND goes.
 */
#ifndef FS_APPEND_H
#define FS_APPEND_H

#include <stdbool.h>
#include <stdint.h>

struct file;
struct fuse_write_in;

/* Of one open file: the pieces of a write that are under way. */
struct append {
	unsigned int pieces;	/* that have come and are not answered */
	bool alone;		/* there was only one, and it is small */
	bool placed;		/* @shift is known */
	uint64_t first;		/* the smallest offset of them */
	uint64_t shift;		/* from a piece's offset to its place */
};

/* Does this write go to the end of @file, which the kernel may not know? */
bool append_asked(const struct file *file, const struct fuse_write_in *in);

/*
 * A write to @file has come. => true: it may be a piece of a larger one, and
 * append_leave() must follow before the client hears of it.
 */
bool append_arrive(struct file *file, const struct fuse_write_in *in);
/* @file may be NULL. */
void append_leave(struct file *file);

/*
 * The place of a write that append_asked(), in @file of @size; pieces that were
 * sent before it have come. *@at_end: it is the end, as it will be then.
 */
uint64_t append_place(struct file *file, const struct fuse_write_in *in,
		      uint64_t size, bool *at_end);

/* Where will it be? Nothing is settled by that. */
uint64_t append_foresee(const struct file *file,
			const struct fuse_write_in *in, uint64_t size);
/* The same for any write, having asked for the size, which may hang. */
uint64_t append_find(const struct fuse_write_in *in);

#endif
