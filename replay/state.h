/*
 * state.h - what a crash at one point of a history could leave.
 *
 * A state is the files as they are at least (the floor: everything that an
 * fsync has made durable, and what was there at the start), and the changes
 * which may or may not have reached the disk: those pending, that have ended,
 * and those in flight, that have only begun.
 *
 * What a disk promises, and no more:
 *
 *  - an fsync that went well makes durable what had ended on its file before
 *    it began; a write of O_SYNC, itself;
 *  - a sector (512 bytes of a file) is written wholly or not at all, and
 *    shows a prefix of what was written to it;
 *  - sectors reach the disk in any order, and so do different files;
 *  - sizes and holes of one file change in order; a sector from behind a
 *    truncation cannot be there without the truncation;
 *  - names change in order, and the fsync of a file or of a directory covers
 *    all changes up to the last one of its names (as ext4, XFS and other file
 *    systems with a journal do). With @strict, POSIX alone: only the fsync of
 *    a directory covers names, those in it, and names change in any order in
 *    which they can.
 */
#ifndef REPLAY_STATE_H
#define REPLAY_STATE_H

#include "replay/extent.h"
#include "replay/history.h"
#include "replay/tree.h"

TAILQ_HEAD(changes, change);

struct file {
	uint64_t id;
	struct record_attr attr;	/* on the floor */
	uint64_t size;
	struct extents data;
	struct changes pending;	/* of its data and attributes, as they ended */
	uint64_t names_synced;	/* its last fsync: names before it are settled */
	char *target;		/* of a symbolic link */
	bool made;		/* in the record: else we know only parts of it */
	uint64_t dir;		/* its last name, for people */
	const char *name;
	char *base;		/* path in the --base directory; or NULL */
	char *built;		/* where it was put, while building; "": left out */
	UT_hash_handle hh;
};

struct state {
	struct history *history;
	bool strict;
	uint64_t at;		/* records up to this one have happened */
	uint64_t fsyncs;	/* that have ended well */
	uint64_t strangers;	/* operations on files that we do not know, that
				 * ended well and are left out */
	uint64_t overlaps;	/* changes of data that met another in flight, and
				 * which was first matters */
	struct file *files;	/* by id */
	struct tree floor;	/* names, durable for certain */
	struct tree seen;	/* names, as the clients saw them */
	struct changes names;	/* pending changes of names, as they ended */
	struct changes all;	/* all that is pending, as it ended */
	struct changes inflight; /* as it began */
	uint64_t sum;		/* of what is on the floor, for outcome_sum() */
};

void state_open(struct state *state, struct history *history, bool strict);
void state_close(struct state *state);

/* Go on to after record @number; never back. */
void state_advance(struct state *state, uint64_t number);

struct file *state_file(const struct state *state, uint64_t id);

/* A path of @id as the clients saw it, for people. @to holds @size bytes. */
const char *state_path(const struct state *state, uint64_t id, char *to,
		       size_t size);

/* How many bytes of a write are known to have been written. */
uint64_t change_sure(const struct change *change);

/* How many are there when all of it is: of one that came back short, those
 * which were acknowledged. */
uint64_t change_kept(const struct change *change);

/*
 * What a change adds to the sum of an outcome in which all of it is. It is
 * another one when it ends, if then something else is there.
 */
uint64_t change_sum(const struct change *change);

/* A RECORD_SETATTR, but for the size. */
void change_attr(const struct change *change, struct record_attr *attr);

/* Sizes and holes: what changes in order. Attributes alone do not count. */
static inline bool change_is_meta(const struct change *change)
{
	return change->type == RECORD_FALLOCATE ||
	       (change->type == RECORD_SETATTR &&
		change->arg & RECORD_SET_SIZE);
}

/*
 * The names which @change touches, and what they become (0: no more).
 * => Their number: 0, 1 or 2.
 */
struct naming {
	uint64_t dir;
	const char *name;
	uint64_t id;
};

int change_names(const struct change *change, struct naming names[2]);

#endif
