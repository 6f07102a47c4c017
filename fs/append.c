/*
 * append.c - where a write to a file that was opened with O_APPEND goes.
 *
 * To the end, and where that is the kernel need not know: somebody may have
 * appended in SOURCE. So the write is made with RWF_APPEND, and its offset
 * does not count.
 *
 * But a large direct write comes in pieces, asynchronously, and they may
 * overtake each other: then the offsets tell their order. One write at a time
 * extends a file (the kernel holds the inode's lock until all its pieces are
 * answered), so:
 *
 *	piece is for		and goes
 *	behind the end		there: it has overtaken others, the gap
 *	the gap			there: it was overtaken
 *	the end, and is large,	there: others may overtake it
 *	 or there is a gap	there: it is not the only one
 *	the end, and is small	to the end
 *	before the end		to the end: the kernel's is old
 *
 * So only who writes pieces of a large write runs the risk that somebody
 * appends in SOURCE between our look at the end and the write.
 *
 * Callers: data.c and held.c for each write, recorder_parse.c to foresee it.
 * A file that is only opened for appending below has no places (fs/file.h).
 *
 * append_lock is held for a few loads and stores; nothing is asked under it.
 */
#include "fs/append.h"
#include "fs/file.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>

/* Bytes: pieces have 256 pages (FUSE_MAX_MAX_PAGES), and of each at least a
 * disk's sector if they were gathered from many places. */
#define APPEND_LARGE	(256u * 512)

static pthread_mutex_t append_lock = PTHREAD_MUTEX_INITIALIZER;

bool append_asked(const struct file *file, const struct fuse_write_in *in)
{
	/* Pages of a mapping have their place, whatever the open flags. */
	return in->flags & O_APPEND && !(in->write_flags & FUSE_WRITE_CACHE) &&
	       (!file->volume->options.writeback || file->append_only);
}

/* Is the write over whose pieces we know? */
static bool append_is_over(const struct append *append, uint64_t size)
{
	return !append->writing && (!append->missing || append->end != size);
}

static bool append_in_gap(const struct append *append, uint64_t offset)
{
	return append->missing && offset >= append->gap &&
	       offset < append->gap_end;
}

/* A piece that goes behind what has a place: it leaves a gap, or makes the
 * one there is larger. */
static void append_behind(struct append *append, uint64_t offset)
{
	if (!append->missing)
		append->gap = append->end;
	append->gap_end = offset;
	append->missing += offset - append->end;
}

static bool append_look(struct file *file, const struct fuse_write_in *in,
			uint64_t size, bool take)
{
	struct append append = file->append;
	bool place;

	if (append_is_over(&append, size))
		append = (struct append){ .end = size };
	if (append_in_gap(&append, in->offset)) {
		append.missing -= in->size < append.missing ? in->size :
							      append.missing;
		place = true;
	} else {
		place = in->offset > size ||
			(in->offset == size &&
			 (in->size >= APPEND_LARGE || append.missing));
		if (place && in->offset > append.end)
			append_behind(&append, in->offset);
	}
	if (!place || !take)
		return place;
	if (in->offset + in->size > append.end)
		append.end = in->offset + in->size;
	append.writing++;
	file->append = append;
	return true;
}

static bool append_locked(struct file *file, const struct fuse_write_in *in,
			  uint64_t size, bool take)
{
	bool place;

	if (!(in->flags & O_DIRECT) || file->append_only)
		return false;
	pthread_mutex_lock(&append_lock);
	place = append_look(file, in, size, take);
	pthread_mutex_unlock(&append_lock);
	return place;
}

bool append_takes_place(struct file *file, const struct fuse_write_in *in,
			uint64_t size)
{
	return append_locked(file, in, size, true);
}

bool append_has_place(struct file *file, const struct fuse_write_in *in,
		      uint64_t size)
{
	return append_locked(file, in, size, false);
}

void append_done(struct file *file)
{
	pthread_mutex_lock(&append_lock);
	file->append.writing--;
	pthread_mutex_unlock(&append_lock);
}
