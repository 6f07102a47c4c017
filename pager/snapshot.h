/*
 * snapshot.h - copies of the machine's state as plain structs.
 *
 * For readers that must not hold the machine up: the live view, reports,
 * tests. Each call takes what locks it needs for as long as the copy takes,
 * waits for no I/O and no busy frame, and returns memory that the caller
 * free()s. => 0; -ENOMEM; -ESRCH: no such process; -ENOENT: no such swap area.
 */
#ifndef PAGER_SNAPSHOT_H
#define PAGER_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;

struct snap_proc {
	int pid, ppid;
	char name[32];
	unsigned nareas, nthreads, nwaiting;
	uint64_t size, rss;		/* bytes */
	uint64_t minflt, majflt, cow;
};
int snap_procs(struct vm *vm, struct snap_proc **procs, size_t *n);

struct snap_area {
	uint64_t start, end;
	unsigned prot;			/* VM_PROT_* */
	bool shared, grows_down;
	bool hugepage;			/* madvise(MADV_HUGEPAGE) */
	uint64_t offset;		/* bytes into the file */
	uint64_t dev, ino;		/* 0: anonymous */
	uint64_t resident;		/* pages in this page table */
	uint64_t large;			/* of these, in large pages */
	uint64_t slots;			/* in swap of all that it shows */
	char label[16];			/* "[heap]", "[stack]" or "" */
	char path[256];			/* "" when anonymous */
	uint32_t object;		/* the object on top, and how many */
	unsigned depth;			/* stand behind it */
};
int snap_areas(struct vm *vm, int pid, struct snap_area **areas, size_t *n);

/* Linux's /proc/PID/pagemap: entries for @n pages from page number @vpn on:
 * bit 63 present, 62 swapped, 61 file or shared, 55 soft-dirty (here: dirty);
 * bits 0-54 the frame, or for a swapped page 0-4 the area, 5-54 the slot. */
int snap_pagemap(struct vm *vm, int pid, uint64_t vpn, size_t n,
		 uint64_t *entries);
/* One past the highest page number a process can have. */
uint64_t snap_pagemap_limit(struct vm *vm);

/*
 * The page table of @pid as text, from its root down: each present entry that
 * maps something of @len bytes from @addr on, with its index, address, value
 * and bits; neighbours that say the same in one line. And one walk told aloud:
 * @access 0 load, 1 store, 2 fetch, at user privilege; which bit of which
 * entry decides, and what the pager has there.
 */
int snap_pagetable(struct vm *vm, int pid, uint64_t addr, uint64_t len,
		   char **text, size_t *n);
int snap_explain(struct vm *vm, int pid, uint64_t addr, int access,
		 char **text, size_t *n);

enum snap_frame_state {
	SNAP_FREE, SNAP_KERNEL, SNAP_TABLE, SNAP_ACTIVE, SNAP_BUSY_READ,
	SNAP_BUSY_WRITE,
};
struct snap_frame {
	uint32_t pfn;
	enum snap_frame_state state;
	bool dirty, referenced, anon;
	unsigned mappings, waiters;
	uint32_t object;		/* 0: none */
	uint64_t page;			/* page number in the object */
	int pid;			/* of one mapping; 0: none */
	uint64_t va;
	uint64_t busy_ns;		/* for how long it has been busy */
};
/* Every frame, in order. */
int snap_frames(struct vm *vm, struct snap_frame **frames, size_t *n);

struct snap_swap {
	char name[256];
	uint64_t nslots, nused, nbad;
	int priority;
};
int snap_swaps(struct vm *vm, struct snap_swap **swaps, size_t *n);

enum snap_slot_state { SNAP_SLOT_OWNED, SNAP_SLOT_CACHED, SNAP_SLOT_WRITING,
		       SNAP_SLOT_READING, SNAP_SLOT_BAD };
struct snap_slot {
	uint32_t index;			/* in its area */
	enum snap_slot_state state;	/* cached: a clean copy is in a frame */
	unsigned refs;
	uint32_t object;
	uint64_t page;
	int pid;			/* one process that can see it; 0: none */
	uint64_t va;			/* where */
};
/* Slots in use in swap area @area, in order. */
int snap_slots(struct vm *vm, unsigned area, struct snap_slot **slots,
	       size_t *n);

struct snap_object {
	uint32_t id;
	char kind;			/* 'f'ile, 'a'nonymous, 's'hadow */
	unsigned refs, nshadows;
	uint32_t backing;		/* id, 0: none */
	uint64_t pages, resident, slots;
	char path[256];
};
int snap_objects(struct vm *vm, struct snap_object **objects, size_t *n);

#endif
