/*
 * each.h - run a check on every state that a crash could have left.
 */
#ifndef REPLAY_EACH_H
#define REPLAY_EACH_H

#include "replay/build.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct each {
	/* what is wanted */
	const char *command;	/* for sh -c, in the directory of the state */
	const char *how;	/* "pagerfs-replay build", as we were called, with
				   its options */
	const char *record;	/* path, for messages */
	bool strict, seen;
	uint64_t limit;		/* states at most */
	uint64_t points;	/* points at most, 0: all */
	uint64_t randoms;	/* random outcomes at each point */
	uint64_t show;		/* failures that are shown */
	struct build *build;

	/* what came of it */
	uint64_t states, failed, looked_at, of_points;
	uint64_t strangers;	/* operations that are in no state */
	uint64_t unmade;	/* device files in none, at most */
	uint64_t exhausted;	/* points where no random one was new any more */
	volatile sig_atomic_t interrupted;

	/* inside */
	struct history *history;
	struct state state;
	struct outcome outcome;
	struct set_item *done;	/* outcomes that were checked */
	uint64_t seen_sum;
	char work[4096];	/* a directory for "state", "seen", "out" */
};

/* => 0, whatever the checks say; -errno having said what went wrong. */
int each_run(struct each *each, struct history *history);

#endif
