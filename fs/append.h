/*
 * append.h - where a write to a file that was opened with O_APPEND goes.
 */
#ifndef FS_APPEND_H
#define FS_APPEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file;
struct fuse_write_in;

/* Of one open file: the pieces of the write that is going on. */
struct append {
	unsigned int writing;	/* pieces with places, not done */
	uint64_t end;		/* of the last of them in the file */
	uint64_t gap, gap_end;	/* where pieces came before earlier ones */
	uint64_t missing;	/* bytes of the gap that have not come */
};

/* Does this write go to the end of @file, which the kernel may not know? */
bool append_asked(const struct file *file, const struct fuse_write_in *in);

/*
 * A piece of a direct write that append_asked(), of @length bytes, is for
 * @offset of @file, which has @size. => true: that is its place, and
 * append_done() must follow when it is written, before the client hears of
 * it; false: the end is, as it will be then.
 */
bool append_takes_place(struct file *file, const struct fuse_write_in *in,
			uint64_t size);
void append_done(struct file *file);

/* Would it? Nothing follows. */
bool append_has_place(struct file *file, const struct fuse_write_in *in,
		      uint64_t size);

#endif
