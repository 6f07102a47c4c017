/*
 * engine.h - the real store_engine: io_uring below, files and swap above.
 *
 * What a composition root calls. Order of life: engine_create(), files by
 * engine->open(), swap by engine_swap() and swap_store_add(); all stores are
 * closed before engine_destroy(). The pager sees only pager/store.h.
 */
#ifndef SWAP_ENGINE_H
#define SWAP_ENGINE_H

#include "pager/store.h"
#include "swap/aio.h"

/*
 * Make an engine over the RAM that @config describes.
 * => 0 and *engine; what aio_create() says.
 */
int engine_create(const struct aio_config *config,
		  struct store_engine **engine);

/* => all its stores are closed. */
void engine_destroy(struct store_engine *engine);

/* Files on the device @dev are not to be opened (ELOOP); 0: all may be. For
 * the one that this process itself serves: a file of it that is open when the
 * process is killed keeps it from ending, for ever. */
void engine_forbid(struct store_engine *engine, uint64_t dev);

/*
 * A swap store without areas (see swap/swap_store.h) on @engine. Freed by its
 * store.ops->close(). => 0 and *swap, -ENOMEM.
 */
int engine_swap(struct store_engine *engine, struct swap_store **swap);

void engine_stats(struct store_engine *engine, struct aio_stats *stats);

#endif
