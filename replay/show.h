/*
 * show.h - a record for people: pagerfs-replay list, info.
 */
#ifndef REPLAY_SHOW_H
#define REPLAY_SHOW_H

#include "replay/state.h"

#include <stdio.h>

/* One line for each operation, in the order in which they began. */
void show_list(FILE *out, struct history *history);
/* What the record holds, and how it ends. */
void show_info(FILE *out, struct history *history);

/* "write files/data 0+4096", as @state saw it. */
void show_change(FILE *out, const struct state *state,
		 const struct change *change);

/* @text as one word for a shell. */
void show_word(FILE *out, const char *text);

/*
 * Why the record is not all that happened: a line for people, to be freed, or
 * NULL. @path names the record.
 */
char *show_fault(const struct history *history, const char *path);

#endif
