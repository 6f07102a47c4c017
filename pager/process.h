/*
 * process.h - the process control block.
 *
 * A process is a map, a page table and a name. It is found by pid; who works
 * with it holds a reference, so that an exit in the meantime takes its memory
 * but not the structure: after that it is dead, and everything says -ESRCH.
 * Locks: the table of processes and `dead` are under the core lock (dead is
 * also read with the map lock, under which it is set).
 */
#ifndef PAGER_PROCESS_H
#define PAGER_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "pager/core.h"
#include "pager/hash.h"
#include "pager/map.h"
#include "pager/pmap.h"

struct proc {
	int pid, ppid;
	char name[VM_NAME_MAX + 1];
	atomic_uint refs;
	atomic_bool dead;
	struct map map;
	struct pmap pmap;
	uint64_t minflt, majflt, cow;	/* core lock */
	atomic_uint nthreads, nwaiting;	/* of these, parked on a fault */
	UT_hash_handle hh;		/* vm->procs, by pid */
};

/* A reference to the live process @pid, or NULL. Takes the core lock. */
struct proc *proc_get(struct vm *vm, int pid);
void proc_hold(struct proc *p);
void proc_put(struct vm *vm, struct proc *p);
/* Take down [@vpn, @end), which areas begin and end at. => map lock held. */
void proc_unmap(struct vm *vm, struct proc *p, uint64_t vpn, uint64_t end);

#endif
