/*
 * mem_store.h - store.h in memory, for tests: deterministic, and nasty.
 *
 * An engine, named files and a swap store, no kernel involved. With one
 * thread a run depends on the seed and the calls alone. It does what the
 * contract allows and a real device seldom does:
 *
 * - a write takes its bytes at submit, at completion, or half a page at each
 *   (by the seed), so a store that is let in during the write tears the page;
 * - a frame being read holds MEM_SCRIBBLE until it is read;
 * - a failed read leaves scribble in the frames, a failed write leaves it in
 *   the store (but for the pages past the end of a file);
 * - completions come in order, or as the seed wills, or when released.
 *
 * Locks: all calls from any thread, wake also from a signal handler. Reap
 * with timeout < 0 waits for the release of what is held; the delay is real
 * time.
 */
#ifndef TESTS_LIB_MEM_STORE_H
#define TESTS_LIB_MEM_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pager/store.h"

#define MEM_SCRIBBLE	0xa5	/* every byte of a page in unknown state */
#define MEM_OP_ANY	(-1)	/* mem_fail: whatever the op */

enum mem_order {
	MEM_FIFO,	/* a reap completes all there is, in order */
	MEM_RANDOM,	/* some, in random order; reap(0) perhaps none */
};

struct mem_config {
	void *ram;		/* host address of frame 0 */
	uint64_t ram_size;	/* bytes, for the check of frame numbers */
	uint64_t seed;
	enum mem_order order;
	uint32_t swap_slots;	/* of area 0; 0: no swap area */
	uint64_t delay_ns;	/* each I/O takes at least so long */
	bool calm;		/* copy at completion, no scribble */
};

struct mem_stats {
	uint64_t reads, writes, syncs;		/* submitted */
	uint64_t pages_read, pages_written;
	uint64_t failed;			/* made to fail */
	uint64_t kicks, reaps;
	unsigned inflight;			/* now, with the held */
	unsigned held;
	unsigned max_inflight;
};

struct mem_store;

/* Abort when out of memory, like all here: it is for tests. */
struct mem_store *mem_create(const struct mem_config *config);
/* => nothing in flight, files closed. Frees the swap store too. */
void mem_destroy(struct mem_store *mem);

struct store_engine *mem_engine(struct mem_store *mem);
/* The swap store, its areas 0.. as mem_swap_add() made them. */
struct swap_store *mem_swap(struct mem_store *mem);
/* One more area of @nslots slots (numbered from 1). => its number. */
unsigned mem_swap_add(struct mem_store *mem, uint32_t nslots, int priority);
/* Assert the slot maps whole. */
void mem_swap_check(struct mem_store *mem);
/* Copy out what the page of @slot holds now. */
void mem_swap_peek(struct mem_store *mem, uint32_t slot, void *page);

/*
 * Make file @name, to be opened as engine->open(name), @size bytes: a copy of
 * @data, zeros if that is NULL. An existing file is replaced, but stays what
 * it was for those who have it open (as after rename(2)).
 * open gives -ENOENT for other names, -EACCES for writing to a read-only one.
 */
void mem_file_create(struct mem_store *mem, const char *name,
		     const void *data, uint64_t size);
void mem_file_readonly(struct mem_store *mem, const char *name, bool on);
/* Truncate or extend by zeros, also while open. */
void mem_file_resize(struct mem_store *mem, const char *name, uint64_t size);
uint64_t mem_file_size(struct mem_store *mem, const char *name);
/* Another program's read and write; within the size, asserted. */
void mem_file_peek(struct mem_store *mem, const char *name, uint64_t off,
		   void *buf, size_t len);
void mem_file_poke(struct mem_store *mem, const char *name, uint64_t off,
		   const void *buf, size_t len);
/* Stores open on it now. */
unsigned mem_file_nopen(struct mem_store *mem, const char *name);

/*
 * Failures. Of the I/Os with operation @op (enum store_op, or MEM_OP_ANY)
 * submitted from now on, let the @nth (1: the next) and @count - 1 more after
 * it (0: all after it) complete with -@error. One rule at a time; a new call
 * replaces it. mem_fail_none() takes it away.
 */
void mem_fail(struct mem_store *mem, int op, uint64_t nth, uint64_t count,
	      int error);
void mem_fail_none(struct mem_store *mem);
/* Every write to swap area @area fails with -@error (0: none does). */
void mem_fail_area(struct mem_store *mem, unsigned area, int error);

/*
 * Holding. While on, an I/O with operation @op (or MEM_OP_ANY) that is
 * submitted is held: no reap completes it. mem_release() lets the oldest @n
 * go (to be completed by the next reap), mem_release_random() one by the
 * seed; both => how many. Switching off releases nothing.
 */
void mem_hold(struct mem_store *mem, int op, bool on);
unsigned mem_release(struct mem_store *mem, unsigned n);
unsigned mem_release_random(struct mem_store *mem);
/* The @i-th oldest. => whether there was one. */
bool mem_release_at(struct mem_store *mem, unsigned i);
/* The @i-th oldest held I/O, NULL past the last. Its fields are the pager's
 * to read; it stays the store's. */
const struct store_io *mem_held(struct mem_store *mem, unsigned i);

void mem_set_delay(struct mem_store *mem, uint64_t delay_ns);
void mem_get_stats(struct mem_store *mem, struct mem_stats *stats);

#endif
