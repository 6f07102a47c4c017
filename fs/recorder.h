/*
 * recorder.h - what is done to the files, written to a record as it is done.
 *
 * -o record=FILE. Every request that reads or changes data, sizes, owners or
 * names is a beginning in FILE before anybody acts on it (recorder_arrive()),
 * and an end before its answer leaves (recorder_answer()). What a client has
 * been told is therefore always in FILE already, and what is in FILE is what
 * clients asked and were told, whatever was made of it in between. Only what
 * the watchdog ended has its end when it is done, with what came of it: from
 * then on nothing more will happen to the files, and till then it may.
 * docs/record.md says what FILE looks like.
 *
 * Nothing need be kept in order here: the kernel never has two requests on
 * their way that change names in one directory, and of those that change one
 * file's size only an open with O_TRUNC meets others (and what the watchdog has
 * ended, or a mapping and direct writes, in the same bytes). Those which meet
 * have no order in the record. To make them wait here for each other would be
 * to wait for what is frozen or hangs; pagerfs-replay counts them instead.
 */
#ifndef FS_RECORDER_H
#define FS_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct fuse_in_header;
struct recorder;
struct volume;

extern struct recorder *recorder_running;	/* NULL: nothing is recorded */

static inline bool recorder_runs(void)
{
	return recorder_running;
}

/*
 * Begin to record what happens to @volume, if its options say so: make FILE
 * and put the tree as it is now into it. To be called before the mount is
 * there. => 0, or -errno after having reported what is wrong.
 */
int recorder_open(struct volume *volume);
/* Note the end. Serving must be over. */
void recorder_close(void);

void recorder_take_request(const struct fuse_in_header *in, size_t length);
void recorder_take_answer(const struct iovec *iov, int count, size_t moved,
			  int64_t place, bool late);

int recorder_hold_dead(int fd);
void recorder_forget(int held, bool gone, dev_t dev, ino_t ino);

/*
 * The kernel gives back an inode that is open as @fd, or -1: if that has no
 * name any more, keep its number from being used again until its id is
 * forgotten. => What recorder_let_go() is to be told; @gone: so is the inode,
 * of @dev and @ino.
 */
static inline int recorder_hold(int fd)
{
	return recorder_runs() && fd >= 0 ? recorder_hold_dead(fd) : -1;
}

static inline void recorder_let_go(int held, bool gone, dev_t dev, ino_t ino)
{
	if (held >= 0)
		recorder_forget(held, gone, dev, ino);
}

/* A request for a file of SOURCE, @length bytes with its header. */
static inline void recorder_arrive(const struct fuse_in_header *in,
				   size_t length)
{
	if (recorder_runs())
		recorder_take_request(in, length);
}

/* An answer, as it is about to be sent; or not, because it comes too @late.
 * Of a write that failed @moved bytes are in the file all the same. @place: in
 * the file, of what a write wrote; -1: not known, or it wrote nothing. */
static inline void recorder_answer(const struct iovec *iov, int count,
				   size_t moved, int64_t place, bool late)
{
	if (recorder_runs())
		recorder_take_answer(iov, count, moved, place, late);
}

#endif
