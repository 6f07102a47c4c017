/*
 * bar.h - a bar on the terminal, for programs that take over two seconds.
 */
#ifndef PAGER_BAR_H
#define PAGER_BAR_H

#include <pthread.h>
#include <stdbool.h>

struct runner_session;

struct bar {
	struct runner_session *session;
	const char *name;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool stop, on;
};

/* Of what @session runs now, called @name. Nothing where standard error is no
 * terminal. */
void bar_start(struct bar *b, struct runner_session *session,
	       const char *name);
void bar_stop(struct bar *b);

#endif
