/*
 * mem_internal.h - what the three files of mem_store share.
 *
 * mem_store.c is the engine, mem_file.c and mem_swap.c are its two kinds of
 * store. One lock, mem->lock, covers everything.
 */
#ifndef TESTS_LIB_MEM_INTERNAL_H
#define TESTS_LIB_MEM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "swap/areas.h"
#include "tests/lib/mem_store.h"

/* Bytes that pages move to and from. */
struct mem_disk {
	uint8_t *data;
	uint64_t size;
	uint64_t version;	/* of the size: truncation under an I/O */
	int broken;		/* 0, or every write fails with it */
};

struct mem_file {
	struct mem_file *next;
	char *name;
	struct mem_disk disk;
	uint64_t ino;
	unsigned nopen;
	bool readonly;
	bool replaced;		/* no more found by name */
};

struct mem_swap {
	struct areas areas;	/* first: found from its swap_store */
	struct swap_store real;	/* the calls that ours lock around */
	struct mem_store *mem;
	struct mem_disk disk[SWAP_AREAS_MAX];
	char name[SWAP_AREAS_MAX][16];
};

/* An I/O between submit and completion. */
struct mem_io {
	struct mem_io *next;	/* in mem->ios, oldest first */
	struct store_io *io;
	struct mem_disk *disk;
	uint64_t page;		/* of the disk */
	uint64_t version;	/* the disk's at submit */
	uint64_t seed;		/* of the moments of its pages */
	int64_t ready_ns;
	int error;
	bool held;
};

struct mem_store {
	struct store_engine engine;	/* first: found from it */
	struct mem_config config;
	pthread_mutex_t lock;
	int event;		/* eventfd: something changed */
	atomic_bool woken;
	atomic_bool waiting;
	uint64_t random;	/* state of the generator */
	struct mem_io *ios, **tail;
	uint8_t *busy;		/* per frame: in an I/O */
	struct mem_file *files;
	uint64_t next_ino;
	struct mem_swap *swap;
	bool hold_reads, hold_writes, hold_syncs;
	struct {
		bool on;
		int op, error;
		uint64_t skip, left;	/* left 0: no end */
		bool endless;
	} fail;
	struct mem_stats stats;
};

/* malloc() and friends that abort. @size 0 is good. */
void *mem_alloc(size_t size);
void *mem_resize(void *p, size_t size);

/* Put @io on its way: to or from page @page of @disk. Takes the lock. */
void mem_start(struct mem_store *mem, struct store_io *io,
	       struct mem_disk *disk, uint64_t page);

struct mem_swap *mem_swap_create(struct mem_store *mem);
void mem_swap_destroy(struct mem_swap *swap);
void mem_files_destroy(struct mem_store *mem);
int mem_file_open(struct store_engine *engine, const char *path,
		  bool writable, struct store **store);

#endif
