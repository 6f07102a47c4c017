/*
 * history.h - a whole record in memory: operations, each with its end.
 *
 * Payloads of writes stay in the file; everything else is here. What does not
 * make sense (an end of nothing, a name with a slash) is where the history
 * ends, as if the file were torn there: nothing behind it is believed.
 */
#ifndef REPLAY_HISTORY_H
#define REPLAY_HISTORY_H

#include "record/reader.h"

#include <sys/queue.h>

struct file;
struct history_join;

/*
 * One operation. The first part is what the record says and does not change;
 * the second belongs to the state (state.h) and to the outcome that is being
 * looked at (outcome.h).
 */
struct change {
	uint16_t type, flags;
	uint64_t number, end;	/* records; @end 0: it never ended */
	uint64_t time, end_time;
	int64_t err;		/* 0 or -errno, how it ended */
	bool late;		/* and its client was told otherwise before */
	uint64_t done;		/* bytes */
	uint64_t id;		/* file */
	union { uint64_t offset, parent; };
	union { uint64_t length, parent2; };
	int64_t arg;
	uint64_t at;		/* payload, in the record file */
	struct record_attr attr, end_attr;
	char *name, *other;	/* names, in order; a link's target */

	struct file *file;	/* whose data changes; of a name, @object's */
	uint64_t object;	/* file whose name it is */
	uint64_t victim;	/* file that loses a name to it */
	uint64_t overtook;	/* sum of what it ended before, begun earlier */
	TAILQ_ENTRY(change) pending;
	TAILQ_ENTRY(change) all;
	bool moves_dir;		/* a rename of a directory */
	bool flies;		/* is among what is in flight */
	bool over;		/* has ended, as far as the state goes */
	bool must;		/* durable, though things before it are not */

	bool keep;		/* reached the disk; of a write, its size */
	uint8_t *mask;		/* a write's sectors that did; NULL: as @keep */
};

struct history {
	struct record_reader reader;
	struct change **records; /* by number, at both its numbers, or NULL */
	uint64_t last;		/* number of the last record */
	uint64_t fsyncs;	/* that ended well */
	bool started;		/* the tree at the start is all there */
	struct history_join *joins; /* by stranger; while it is read */
	char *nonsense;		/* what the record after @last says; or NULL */
};

/*
 * Read all of @fd, which it takes over. @tick, if not NULL, is called now and
 * then. => 0; -EINVAL: no record, history->reader.fault says why; -errno.
 * history_free() is due in every case.
 */
int history_load(struct history *history, int fd,
		 void (*tick)(uint64_t done, uint64_t all));
void history_free(struct history *history);

/* Does it change files (or is it an fsync)? Only reads do not. */
static inline bool change_counts(const struct change *change)
{
	return change->type != RECORD_READ;
}

static inline bool change_is_names(const struct change *change)
{
	return change->type <= RECORD_RENAME;
}

/* An fsync or a write of O_SYNC: was its client told that it is durable? */
static inline bool change_promised(const struct change *change)
{
	return !change->err && !change->late;
}

/* The record in which the @nth fsync that went well ended; 0: there is none */
uint64_t history_fsync(const struct history *history, uint64_t nth);

#endif
