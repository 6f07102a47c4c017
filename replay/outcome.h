/*
 * outcome.h - one of the things that a crash could leave.
 *
 * An outcome is a choice, for each change that is pending or in flight,
 * whether it reached the disk; for a write, which of its sectors did, and
 * whether the file's size followed. The choice stands in the changes
 * themselves (@keep, @mask), so there is one outcome at a time:
 *
 *	outcome_open(&outcome, state);		all is kept
 *	outcome_drop(...) or outcome_random() or ...
 *	outcome_legalise(&outcome);		what state.h promises, holds
 *	build_outcome(...);
 *	outcome_close(&outcome);
 */
#ifndef REPLAY_OUTCOME_H
#define REPLAY_OUTCOME_H

#include "replay/state.h"

struct outcome {
	struct state *state;
	struct change **changes; /* what may or may not be there, in order */
	size_t count;
};

/* All of it is on the disk, also what was in flight. */
void outcome_open(struct outcome *outcome, struct state *state);
void outcome_close(struct outcome *outcome);

/* Back to how outcome_open() left it. */
void outcome_all(struct outcome *outcome);
/* All that had ended is there, and nothing that was in flight. */
void outcome_ended(struct outcome *outcome);
/* Only what is durable is there. */
void outcome_synced(struct outcome *outcome);
/* Anything that can be. The same @seed, the same outcome. */
void outcome_random(struct outcome *outcome, uint64_t seed);

/* @change is not there. */
void outcome_drop(struct change *change);
/* A write's sectors @first to @last, counted from 0, are not there. */
void outcome_drop_sectors(struct change *change, uint64_t first,
			  uint64_t last);

/*
 * Drop what @list says: "N" or "N-M" (changes by their numbers), "N:I-J"
 * (sectors of a write), "N:data" (all of them; the size follows), separated
 * by commas. => NULL, or what is wrong with the list, to be freed.
 */
char *outcome_drop_list(struct outcome *outcome, const char *list);
/* The list that makes this outcome of outcome_all(); to be freed. */
char *outcome_list(const struct outcome *outcome);

/*
 * Make it one that can be: what a kept change builds upon is kept, and what
 * builds upon a dropped one is dropped.
 */
void outcome_legalise(struct outcome *outcome);

/* Two outcomes of one history with the same sum are the same. */
uint64_t outcome_sum(const struct outcome *outcome);

/* Sectors that a write touches; a part of one counts. */
uint64_t change_sectors(const struct change *change);
bool change_has_sector(const struct change *change, uint64_t sector);
/* Bytes of a write, from its first, in which all that is there of it lies. */
uint64_t change_reach(const struct change *change);

#endif
