/*
 * null_engine.h - a store engine that moves no bytes.
 *
 * Files have any size and any contents; an io is done at the next reap. What
 * is left is what the pager itself costs. For benches of faults that need no
 * store, and of everything that is counted and not timed.
 */
#ifndef BENCH_NULL_ENGINE_H
#define BENCH_NULL_ENGINE_H

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "pager/store.h"

struct null_engine {
	struct store_engine e;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct store_io *done;
	bool woken;
};

struct null_store {
	struct store s;
	struct null_engine *engine;
};

static void null_submit(struct store *s, struct store_io *io)
{
	struct null_engine *n = ((struct null_store *)s)->engine;

	pthread_mutex_lock(&n->lock);
	io->next = n->done;
	n->done = io;
	pthread_mutex_unlock(&n->lock);
}

static int null_size(struct store *s, uint64_t *bytes)
{
	(void)s;
	*bytes = 1ull << 40;
	return 0;
}

static void null_close(struct store *s)
{
	free(s);
}

static const struct store_ops null_ops = {
	.submit = null_submit, .size = null_size, .close = null_close,
};

static void null_kick(struct store_engine *e)
{
	(void)e;
}

static int null_reap(struct store_engine *e, int64_t timeout_ns)
{
	struct null_engine *n = (struct null_engine *)e;
	struct store_io *io, *next;
	int count = 0;

	pthread_mutex_lock(&n->lock);
	while (timeout_ns && !n->done && !n->woken)
		pthread_cond_wait(&n->cond, &n->lock);
	n->woken = false;
	io = n->done;
	n->done = NULL;
	pthread_mutex_unlock(&n->lock);
	for (; io; io = next, count++) {
		next = io->next;
		io->done(io);
	}
	return count;
}

static void null_wake(struct store_engine *e)
{
	struct null_engine *n = (struct null_engine *)e;

	pthread_mutex_lock(&n->lock);
	n->woken = true;
	pthread_cond_signal(&n->cond);
	pthread_mutex_unlock(&n->lock);
}

/* Every path is another file. */
static int null_open(struct store_engine *e, const char *path, bool writable,
		     struct store **store)
{
	static uint64_t ino;
	struct null_store *s = calloc(1, sizeof(*s));

	(void)path;
	if (!s)
		return -ENOMEM;
	s->s.ops = &null_ops;
	s->s.ino = ++ino;
	s->s.writable = writable;
	s->s.name = (char *)"null";
	s->engine = (struct null_engine *)e;
	*store = &s->s;
	return 0;
}

static inline int null_engine_create(struct store_engine **e)
{
	struct null_engine *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->cond, NULL);
	n->e = (struct store_engine){
		.kick = null_kick, .reap = null_reap, .wake = null_wake,
		.open = null_open,
	};
	*e = &n->e;
	return 0;
}

#endif
