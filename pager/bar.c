/*
 * bar.c - see bar.h.
 *
 * A thread of its own draws; bar->lock is for telling it to stop.
 */
#include "pager/bar.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pager/deadline.h"
#include "pager/runner.h"

static void bar_draw(const struct bar *b)
{
	struct runner_progress p;
	double part;
	int width = 30, full;

	runner_session_progress(b->session, &p);
	part = p.statements_total ?
		       (double)p.statements / p.statements_total : 0;
	if (part > 1)
		part = 1;
	full = (int)(part * width);
	fprintf(stderr, "\r%s [%.*s%*s] %3.0f%%  %llu accesses ", b->name, full,
		"##############################", width - full, "",
		part * 100, (unsigned long long)p.accesses);
}

static void *bar_thread(void *arg)
{
	struct bar *b = arg;
	struct timespec ts;
	bool drawn = false;

	pthread_mutex_lock(&b->lock);
	ts = deadline_in(2000);
	while (!b->stop) {
		if (deadline_wait(&b->cond, &b->lock, &ts) == 0)
			continue;
		bar_draw(b);
		drawn = true;
		ts = deadline_in(200);
	}
	pthread_mutex_unlock(&b->lock);
	if (drawn)
		fprintf(stderr, "\r%*s\r", 78, "");
	return NULL;
}

void bar_start(struct bar *b, struct runner_session *session,
	       const char *name)
{
	memset(b, 0, sizeof(*b));
	b->session = session;
	b->name = name;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->cond, NULL);
	b->on = isatty(STDERR_FILENO) &&
		pthread_create(&b->thread, NULL, bar_thread, b) == 0;
}

void bar_stop(struct bar *b)
{
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->lock);
	if (b->on)
		pthread_join(b->thread, NULL);
}
