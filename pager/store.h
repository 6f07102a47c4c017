/*
 * store.h - what the pager asks of a backing store.
 *
 * Owned by its consumer. The pager knows files and swap only by this: it
 * fills a store_io, hands it over, and is called back. swap/ implements it
 * with io_uring; the tests implement it in memory, slow, and failing.
 *
 * Rules. submit never waits, never fails and allocates nothing: an error
 * comes back through done like any other completion. done is called from
 * engine->reap(), with no lock of the engine held, once per submit, never
 * from inside submit or kick. Until then the io and its frames belong to the
 * store. Reap calls of one engine may come from any thread; the engine
 * serialises them.
 */
#ifndef PAGER_STORE_H
#define PAGER_STORE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORE_MAX_PAGES		256	/* one io: 1 MiB, FUSE's largest write */
#define STORE_PAGE_SIZE		4096u

enum store_op {
	STORE_READ,		/* fill frames from the store */
	STORE_WRITE,		/* the store's pages become the frames' bytes */
	STORE_SYNC,		/* what was written is on stable storage */
};

struct store;

struct store_io {
	/* Filled in by the pager. */
	struct store *store;
	enum store_op op;
	uint64_t page;		/* first page: of the file, or swap slot */
	unsigned npages;	/* 1..STORE_MAX_PAGES; 0 for STORE_SYNC */
	const uint32_t *pfn;	/* npages frames, in order, need not adjoin */
	void (*done)(struct store_io *io);
	void *ctx;		/* the pager's own */

	/*
	 * Filled in by the store before done().
	 *
	 * error: 0, or -errno for the io as a whole (the state of the pages
	 * in the store is then unknown, for a read: of the frames). -EBADMSG,
	 * of swap alone: what was read is not what had been written.
	 * npast: of a file's read or write, how many of the last pages lie
	 * wholly past the end of the file as it is now. They were not moved;
	 * the others were (error is 0 then). A page that the end of the file
	 * cuts through is zero past it after a read, and a write never
	 * extends the file.
	 */
	int error;
	unsigned npast;

	/* The store's own, while it has the io. */
	struct store_io *next;
	void *priv;
};

struct store_ops {
	void (*submit)(struct store *store, struct store_io *io);
	/*
	 * Is the device still there? One that went, with all that was open on
	 * it (its daemon died), may have come back: then what this store is
	 * made of is opened anew, if it is the same as before. May wait.
	 * *dev: the device it is on now. => 0: it was there; 1: it is back;
	 * -errno: it is not there, or not the same (-ESTALE). NULL: it never
	 * goes.
	 */
	int (*back)(struct store *store, uint64_t *dev);
	/* Size in bytes now. May wait: only for calls that may (mmap).
	 * => 0 or -errno. Swap: its slots. */
	int (*size)(struct store *store, uint64_t *bytes);
	/* Nothing is in flight. Frees the store. May wait. */
	void (*close)(struct store *store);
};

struct store {
	const struct store_ops *ops;
	uint64_t dev, ino;	/* the same file opened twice has the same;
				   dev as it was then (back()) */
	bool writable;
	char *name;		/* for people; owned by the store */
};

/* Does @err, of an io or a call, say that the device is gone? What a FUSE
 * mount says when its daemon has died; it does not recover from that. */
static inline bool store_is_gone(int err)
{
	return err == -ENOTCONN || err == -ECONNABORTED;
}

/* What drives the I/O of all stores of a machine. */
struct store_engine {
	/* Hand what was submitted to the device. Does not wait. */
	void (*kick)(struct store_engine *e);
	/*
	 * Call done() for what has completed; returns how many. timeout_ns 0:
	 * do not wait; < 0: wait for at least one, or wake(); > 0: or for so
	 * long. Kicks first, in the same system call where it waits. One
	 * thread may wait at a time; another's reap with timeout 0 meanwhile
	 * is harmless and may return 0.
	 */
	int (*reap)(struct store_engine *e, int64_t timeout_ns);
	/* Make a reap that waits, or the next that would, return. Any
	 * thread, also a signal handler. */
	void (*wake)(struct store_engine *e);
	/* Open @path for mapping. writable: shared stores will come. => 0
	 * and *store; -errno from open(2); -ENODEV: not a regular file. */
	int (*open)(struct store_engine *e, const char *path, bool writable,
		    struct store **store);
};

/*
 * Swap: one store over all swap areas. A slot number names the area too; 0 is
 * never a slot. Slots are reference-counted; a slot is free when its count is
 * 0. Calls are serialised by the pager (its core lock is held): short, no I/O.
 */
#define SWAP_AREA_SHIFT		28
#define SWAP_AREAS_MAX		15
#define SWAP_SLOT(area, n)	((uint32_t)(((area) + 1) << SWAP_AREA_SHIFT) | (n))
#define SWAP_SLOT_AREA(slot)	(((slot) >> SWAP_AREA_SHIFT) - 1)
#define SWAP_SLOT_INDEX(slot)	((slot) & ((1u << SWAP_AREA_SHIFT) - 1))

struct swap_area_info {
	const char *name;	/* path of the area's file */
	uint32_t nslots, nused, nbad;
	int priority;		/* higher is used first */
};

struct swap_store {
	struct store store;	/* io->page is the slot; an io stays in one area */
	/* Up to @want neighbouring slots, each with one reference, not of
	 * the areas whose bits are set in @except.
	 * => how many (0: all others are full), the first in *slot. */
	unsigned (*alloc)(struct swap_store *s, unsigned want, uint32_t except,
			  uint32_t *slot);
	void (*ref)(struct swap_store *s, uint32_t slot);
	void (*unref)(struct swap_store *s, uint32_t slot);
	unsigned (*refs)(struct swap_store *s, uint32_t slot);
	/* Writing this slot failed: never hand it out again. Keeps refs. */
	void (*bad)(struct swap_store *s, uint32_t slot);
	bool (*is_bad)(struct swap_store *s, uint32_t slot);
	/* => 0; -ENOENT: no such area. */
	int (*info)(struct swap_store *s, unsigned area,
		    struct swap_area_info *info);
	uint64_t (*nfree)(struct swap_store *s);
	uint64_t (*ntotal)(struct swap_store *s);
};

#endif
