/*
 * fault_engine.h - a shim below the pager that fails the Nth I/O of any
 * engine, so that each failure can be tried on the real one too:
 *
 *	run once, n = fault_count(f, op);
 *	for each i in 1..n: fault_rule(f, op, i, 1, EIO, when); run again.
 *
 * Stores opened through it, and a swap store wrapped by fault_swap(), go
 * through the shim; the slots of that are counted by the wrapped one.
 *
 * Locks: its own; all calls from any thread, wake from a signal handler.
 */
#ifndef TESTS_LIB_FAULT_ENGINE_H
#define TESTS_LIB_FAULT_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/store.h"

#define FAULT_ANY	(-1)	/* whatever the op */

enum fault_when {
	FAULT_BEFORE,	/* the device never sees the I/O */
	FAULT_AFTER,	/* it is done, and then said to have failed */
};

struct fault_engine;

/* Around @inner, which stays the caller's. Aborts without memory. */
struct fault_engine *fault_create(struct store_engine *inner);
/* => nothing in flight, stores closed. Swap wrappers are freed too. */
void fault_destroy(struct fault_engine *fault);

struct store_engine *fault_store_engine(struct fault_engine *fault);

/* The same swap store, seen through the shim. At most one; closed by its
 * own close(), which closes @inner. */
struct swap_store *fault_swap(struct fault_engine *fault,
			      struct swap_store *inner);

/* Of the I/Os with @op submitted from now on, fail the @nth (1: the next) and
 * @count - 1 after it (0: all) with -@error. Replaces the last rule; @nth 0:
 * no failures. */
void fault_rule(struct fault_engine *fault, int op, uint64_t nth,
		uint64_t count, int error, enum fault_when when);

/* I/Os with @op submitted since the last fault_rule(), or the start. */
uint64_t fault_count(struct fault_engine *fault, int op);
/* I/Os made to fail since then. */
uint64_t fault_failed(struct fault_engine *fault);

#endif
