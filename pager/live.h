/*
 * live.h - the live view of a machine: what it may ask of it, where it is
 * mounted, and that it is mounted anew when the store below it is.
 */
#ifndef PAGER_LIVE_H
#define PAGER_LIVE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct runner_session;
struct view;
struct vm;

#define LIVE_WHY	512	/* room for what is wrong, in a line */

/* Zeros, live_init(), and the first five: then live_up(). */
struct live {
	struct vm *vm;
	struct runner_session *session;
	const char *base;		/* the store: the view is at */
	const char *name;		/* BASE/vm/NAME */
	bool plain;			/* which need be no mount */
	pthread_mutex_t lock;
	bool up;			/* lock: there is to be one */
	struct view *view;		/* lock */
	bool stuck;			/* lock: an earlier one is in use */
	char said[LIVE_WHY];		/* lock: why there is none */
	atomic_bool ending;
	char dir[PATH_MAX];		/* where it is mounted */
	char link[PATH_MAX];		/* what leads there, or "" */
	bool made_dir;
};

void live_init(struct live *live);
/* => 0; -1 and @why. */
int live_up(struct live *live, char why[LIVE_WHY]);
/*
 * To be asked now and then, by any thread. If the view was up and went with the
 * mount that it was in, and a store is mounted there again: up again.
 * => 0; -1 and @why, once, and it is tried again each time.
 */
int live_again(struct live *live, char why[LIVE_WHY]);
/* The device that its files are on; 0: none. */
dev_t live_device(struct live *live);
/* => 0; -EBUSY: somebody will still use the machine after its end. Takes some
 * seconds at most. */
int live_down(struct live *live);
/* Take away what was made in the store for it. */
void live_clear(struct live *live);

#endif
