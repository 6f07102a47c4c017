/*
 * held_int.h - what the files of held writes share:
 *
 *	held		requests on a file that has some
 *	held_table	the files that have some
 *	held_flush	to the real files, or lost
 *	held_end	the same for the last time, whatever hangs, or in part
 *	held_tree	the pieces of one file
 */
#ifndef FS_HELD_INT_H
#define FS_HELD_INT_H

#include "fs/held.h"
#include "fs/held_tree.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

struct held_sums {
	uint64_t extents, bytes, memory;
};

struct held {
	struct held *next;	/* in its chain */
	uint64_t serial;	/* those behind it there have smaller ones */
	struct volume *volume;
	dev_t dev;
	ino_t ino;
	int fd;			/* buffered, read and write */
	unsigned int refs;	/* under held_lock; the table has one */
	bool dead;
	pthread_mutex_t lock;
	struct held_tree tree;
	struct held_sums counted;	/* its part; under held_lock */
	_Atomic uint64_t shown_end;	/* of the last extent, and its bytes: */
	_Atomic uint64_t shown_bytes;	/* the most since it is in the table */
};

/* ---- held_table ---- */

/*
 * The file of @inode, locked; @make it if there is none. => NULL: none, or
 * no memory or descriptor for one, or it is gone (stale).
 */
struct held *held_enter(struct volume *volume, struct inode *inode, bool make);
void held_leave(struct held *held);

/* A walk over the files that are there when it begins. */
struct held_walk {
	unsigned int chain;
	uint64_t before;	/* their serials */
};
#define HELD_WALK ((struct held_walk){ 0, UINT64_MAX })

/* The next one, as from held_enter(). => NULL: that was all. Several threads
 * may make one walk. */
struct held *held_next(struct held_walk *walk);

/* The tree has changed: what is said about it does too, and an empty file
 * leaves the table. => held->lock is held. */
void held_account(struct held *held);

/* Forget what is held of [@from, @to): the real file has what counts.
 * => 0 or -ENOMEM, nothing done. */
int held_drop(struct held *held, uint64_t from, uint64_t to);

/* The file is not longer than @size any more. */
void held_shorten(struct held *held, uint64_t size);

/* As its readers see it. => -errno */
int64_t held_size(struct held *held);

/* => The memory of all files, with a write of @length more, is too much. */
bool held_is_full(size_t length);

/* For the metrics. */
void held_count(uint64_t written, uint64_t dropped);
/* Some of what is held has been written. */
void held_move(size_t length);
/* What grows with each byte that is written or dropped; those still held. */
void held_sum(uint64_t *moved, uint64_t *left);

/* ---- held_flush ---- */

/* @flags: pwritev2(2)'s. => 0 or -errno */
int held_pwrite(int fd, const char *data, size_t length, uint64_t offset,
		int flags);
/* The same; *@done bytes were written. */
int held_pwrite_part(int fd, const char *data, size_t length, uint64_t offset,
		     int flags, size_t *done);

/* What writing changes of a file besides, and did when the client wrote: to be
 * put back. */
struct held_attr {
	bool known;
	struct stat st;
	char caps[64];		/* v3: 24 bytes */
	ssize_t ncaps;
};

void held_note(struct held *held, struct held_attr *attr);
void held_put_back(struct held *held, const struct held_attr *attr);

/* Write [@from, @to) of @extent, which stays held. => 0 or -errno */
int held_write_part(struct held *held, struct held_extent *extent,
		    uint64_t from, uint64_t to);

/* => 0 or -errno, and what could not be written, no more, is still held. */
int held_flush(struct held *held);
/* The same, having reported; @fate: of what is left. */
int held_flush_told(struct held *held, const char *fate);
/* What is left of it is lost; its file leaves the table. */
void held_lose(struct held *held);
/* Too many for a window: write some, any of them, until one fails. */
void held_spill(struct held *held, uint64_t window, uint64_t random);

/* ---- held_end ---- */

/* Has it begun? Then nobody else writes what comes now. */
bool held_ends(void);

#endif
