/*
 * engine.c - the real store_engine: an aio behind store.h's calls.
 *
 * Nothing is decided here; each call goes on to aio or a store.
 * Locks: aio's.
 */
#include "swap/engine.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "swap/file_store.h"
#include "swap/swap_store.h"

struct engine {
	struct store_engine engine;	/* first: found from it */
	struct aio *aio;
	atomic_uint_fast64_t forbidden;	/* device; 0: none */
};

static struct aio *aio_of(struct store_engine *engine)
{
	return ((struct engine *)engine)->aio;
}

static void engine_kick(struct store_engine *engine)
{
	aio_kick(aio_of(engine));
}

static int engine_reap(struct store_engine *engine, int64_t timeout_ns)
{
	return aio_reap(aio_of(engine), timeout_ns);
}

static void engine_wake(struct store_engine *engine)
{
	aio_wake(aio_of(engine));
}

static int engine_open(struct store_engine *engine, const char *path,
		       bool writable, struct store **store)
{
	struct engine *e = (struct engine *)engine;

	return file_store_open(e->aio, path, writable,
			       atomic_load(&e->forbidden), store);
}

void engine_forbid(struct store_engine *engine, uint64_t dev)
{
	atomic_store(&((struct engine *)engine)->forbidden, dev);
}

int engine_create(const struct aio_config *config,
		  struct store_engine **result)
{
	struct engine *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	err = aio_create(config, &e->aio);
	if (err) {
		free(e);
		return err;
	}
	e->engine.kick = engine_kick;
	e->engine.reap = engine_reap;
	e->engine.wake = engine_wake;
	e->engine.open = engine_open;
	*result = &e->engine;
	return 0;
}

void engine_destroy(struct store_engine *engine)
{
	aio_destroy(aio_of(engine));
	free(engine);
}

int engine_swap(struct store_engine *engine, struct swap_store **swap)
{
	return swap_store_create(aio_of(engine), swap);
}

void engine_stats(struct store_engine *engine, struct aio_stats *stats)
{
	aio_get_stats(aio_of(engine), stats);
}
