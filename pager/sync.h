/*
 * sync.h - msync, sync and evict, as things that can be waited for.
 *
 * A sync is a small machine that its owner steps: each step goes as far as it
 * can and says done, or leaves the owner's waiter in a queue. It holds no lock
 * between steps and remembers only where it is, so areas may come and go
 * meanwhile. For each file mapping in the range: start the write of every
 * dirty page, wait until none of those is under way, fsync, and look whether
 * any write of the file failed since this mapping was last told. The first
 * such error is the result: said once, it must not give way to that there is
 * a hole in the range too.
 */
#ifndef PAGER_SYNC_H
#define PAGER_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/core.h"
#include "pager/wait.h"

struct proc;
struct object;
struct pageio;

enum sync_stage { SYNC_FIND, SYNC_WRITE, SYNC_DRAIN, SYNC_FSYNC, SYNC_REPORT,
		  SYNC_EVICT, SYNC_MEMORY };
enum sync_result { SYNC_DONE, SYNC_WAIT };

struct sync {
	struct proc *p;			/* held; NULL: the whole machine */
	uint64_t vpn, end;		/* what is left of the range, in pages */
	uint32_t next_object;		/* whole machine: the next id */
	unsigned flags;
	enum sync_stage stage;
	struct object *o;		/* pinned while it is worked on */
	uint64_t page, last, cursor;	/* its pages [page, last) */
	uint32_t seen;			/* by list: up to this frame */
	uint32_t errors;		/* o->wb_errors at the start */
	uint64_t evict;
	bool fsyncing, waited;
	bool hole;			/* something of it is not mapped */
	int result;
};

/* => 0; -EINVAL: address or flags; -ENOMEM: beyond all that can be mapped.
 * Takes a reference to @p. */
int sync_init(struct sync *s, struct proc *p, uint64_t addr, uint64_t len,
	      unsigned flags);
void sync_init_all(struct sync *s);
void sync_init_evict(struct sync *s, uint64_t nframes);
/* Wait for as many free frames as a new page table needs. => result -ENOMEM:
 * they cannot be freed. */
void sync_init_memory(struct sync *s);
/* => SYNC_DONE: s->result, all given back; SYNC_WAIT: @w is queued; step
 * again when it was woken. No lock held. */
enum sync_result sync_step(struct vm *vm, struct sync *s, struct waiter *w);
/* Leave off where it waits, and give all back. => no I/O is under way. */
void sync_drop(struct vm *vm, struct sync *s, struct waiter *w);

#endif
