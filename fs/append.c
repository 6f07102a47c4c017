/*
 * append.c - where a write to a file that was opened with O_APPEND goes.
 *
 * To the end, and where that is the kernel need not know: somebody may have
 * written or truncated in SOURCE. So the write is made with RWF_APPEND, and
 * its offset does not count.
 *
 * But a large direct write comes in pieces, all at once, and they may overtake
 * each other. Then the offsets count, though only against each other: the
 * first piece goes to the end, and the others lie behind it as they do in the
 * kernel's view. Which is the first follows from two things:
 *
 *  - What is under way for a file is of one write: the kernel holds the
 *    inode's lock from before it looks at the size until all pieces have been
 *    answered. (A piece that the watchdog answers is no longer under way.)
 *  - The kernel sends pieces in the order of their offsets. Each is noted when
 *    it comes (append_arrive()), and looks for its place only when those sent
 *    before it are noted, too (gate_arrive() waits for that).
 *
 * So whoever is first to look for a place while pieces are under way knows the
 * first one of all that are not in the file yet:
 *
 *	shift = size - first offset	place = offset + shift
 *
 * and that holds until none is under way. Then it is forgotten. What comes
 * after that, a further piece or another write, finds in the file all that was
 * before it, and goes to the end again.
 *
 * A place is fixed some time before the write, so only who writes such pieces
 * runs the risk that somebody appends in SOURCE in between. A small one which
 * is alone will stay so, and goes by RWF_APPEND.
 *
 * Callers: gate.c and watchdog.c for what comes and is answered, data.c and
 * held.c for each write, gate.c and recorder_parse.c to foresee it. A file that
 * is only opened for appending below has no places (fs/file.h).
 *
 * append_lock is held for a few loads and stores; nothing is asked under it.
 */
#include "fs/append.h"
#include "fs/file.h"
#include "fs/held.h"

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

/* What goes through the kernel's cache comes one after the other. */
static bool append_has_pieces(const struct file *file,
			      const struct fuse_write_in *in)
{
	return append_asked(file, in) && !file->append_only &&
	       (in->flags & O_DIRECT || file->uncached);
}

bool append_arrive(struct file *file, const struct fuse_write_in *in)
{
	struct append *append = &file->append;

	if (!append_has_pieces(file, in))
		return false;
	pthread_mutex_lock(&append_lock);
	if (!append->pieces)
		*append = (struct append){
			.alone = in->size < APPEND_LARGE, .first = in->offset,
		};
	else
		append->alone = false;
	if (in->offset < append->first)
		append->first = in->offset;
	append->pieces++;
	pthread_mutex_unlock(&append_lock);
	return true;
}

void append_leave(struct file *file)
{
	if (!file)
		return;
	pthread_mutex_lock(&append_lock);
	file->append.pieces--;
	pthread_mutex_unlock(&append_lock);
}

static uint64_t append_shift(const struct append *append, uint64_t size)
{
	return append->placed ? append->shift : size - append->first;
}

uint64_t append_place(struct file *file, const struct fuse_write_in *in,
		      uint64_t size, bool *at_end)
{
	struct append *append = &file->append;
	uint64_t place;

	*at_end = true;
	if (!append_has_pieces(file, in))
		return size;
	pthread_mutex_lock(&append_lock);
	append->shift = append_shift(append, size);
	append->placed = true;
	*at_end = append->alone;
	place = in->offset + append->shift;
	pthread_mutex_unlock(&append_lock);
	return place;
}

uint64_t append_foresee(const struct file *file,
			const struct fuse_write_in *in, uint64_t size)
{
	uint64_t place;

	if (!append_has_pieces(file, in))
		return size;
	pthread_mutex_lock(&append_lock);
	place = in->offset + append_shift(&file->append, size);
	pthread_mutex_unlock(&append_lock);
	return place;
}

uint64_t append_find(const struct fuse_write_in *in)
{
	struct file *file = (void *)(uintptr_t)in->fh;
	struct held_shown shown = { 0 };
	uint64_t moment;
	struct stat st;

	if (!append_asked(file, in))
		return in->offset;
	do {
		moment = held_moment();
		if (file_stat(file, file->fd, &st))
			return in->offset;
		shown.size = st.st_size;
	} while (!held_show(moment, file->inode->dev, file->inode->ino,
			    st.st_mode, &shown));
	return append_foresee(file, in, shown.size);
}
