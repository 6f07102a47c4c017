/*
 * core.h - what the files of the pager share: the machine and its lock.
 *
 * Two kinds of lock, in this order:
 *
 *	map->lock	one per process: its areas. Held by a fault or call of
 *			that process; never by completions or pageout.
 *	vm->lock	the core lock: frames, objects, swap slots, reverse
 *			map, page-table entries, counters, waiters.
 *
 * The core lock can also be shared, which costs no line of memory that other
 * CPUs write: percpu_enter(). Who shares it may only add what no other CPU
 * can be looking at; quick.c says what that comes to. vm_lock() keeps all
 * others out, those who share it too.
 *
 * Below both stand the scheduler's lock and those of the emulated CPUs and
 * the store, which are leaves. No lock is held across I/O: a frame that is
 * being read or written is busy, and who needs it waits (wait.h) and looks
 * everything up again. The core lock is held for some hundred nanoseconds a
 * fault; a shootdown waits for other CPUs with it held, which is safe because
 * a CPU between cpu_enter() and cpu_leave() takes no lock.
 */
#ifndef PAGER_CORE_H
#define PAGER_CORE_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "emu/cpu.h"
#include "emu/ram.h"
#include "emu/stale.h"
#include "pager/stats.h"
#include "pager/store.h"
#include "pager/vm.h"

#define PAGE_SHIFT	RAM_FRAME_SHIFT
#define PAGE_SIZE	RAM_FRAME_SIZE
#define PFN_NONE	0u		/* frame 0 is never handed out */

struct frame;
struct object;
struct proc;
struct sched;
struct waiter;

/* Changes of page tables that are yet to be shot down: pmap.h */
struct gather {
	struct shootdown sd;
	uint32_t frames;		/* to be freed, linked by hash_next */
	bool pending;			/* sd is not empty */
};

/*
 * What a CPU has for itself. @inside is how it shares the core lock; the rest
 * is used by its own CPU while inside, and by who holds the core lock.
 */
#define PERCPU_FRAMES	32
struct percpu {
	atomic_bool inside;
	uint32_t nfree;
	uint32_t free[PERCPU_FRAMES];	/* frames: FREE, in no list */
	uint64_t stat[VM_NSTATS];	/* to be added to the machine's */
} __attribute__((aligned(64)));

#define WAIT_BUCKETS	1024
struct waitq {
	struct waiter *head, **tail;
};

/* Frames: frame.c */
struct frame_table {
	struct frame *f;		/* by frame number */
	uint32_t *bucket;		/* (object, page) -> frame */
	uint32_t mask;
	uint32_t n;			/* frames of RAM */
	uint32_t nfree, free;		/* free list, by obj_next and obj_prev */
	uint16_t *block;		/* free frames of each aligned block */
	unsigned block_shift;		/* a block is what a large page maps */
	uint32_t nblocks_free;		/* blocks all of whose frames are free */
	uint32_t block_hint;
	uint32_t wm_min, wm_new, wm_low, wm_high;
	uint32_t ntables, nbusy;
};

/* Swap slots: slotmap.c */
struct slot_table {
	struct slot *area[SWAP_AREAS_MAX];
	uint32_t nslots[SWAP_AREAS_MAX];
	uint32_t *bucket;		/* (object, page) -> slot */
	uint32_t mask;
};

/* Reverse map: rmap.c */
struct rmap_pool {
	struct rmap_node *node;
	uint32_t n, free;
};

/* Objects: object.c */
#define OBJECT_DEVS	8
struct object_dev {
	uint64_t dev;
	unsigned nfiles;		/* that go by it; 0: no device here */
};
struct object_table {
	struct object **o;		/* by id; 0 is none */
	uint32_t n, free_hint, live;
	struct object *files;		/* uthash, by (dev, ino) */
	struct object *dying;		/* files whose last mapping has gone */
	struct object_dev devs[OBJECT_DEVS];	/* if there are more: some */
	unsigned unnamed;		/* object_rename() failed */
};

/* I/O descriptors, all set aside at start: pageio.c */
struct pageio_pool {
	struct pageio *reads, *writes;		/* free ones */
	struct pageio *all_reads, *all_writes;
	unsigned nreads, nwrites;		/* of each in all */
	unsigned free_writes;
	unsigned inflight;
	unsigned writing;			/* pages in writes in flight */
	bool lost_said;				/* to cfg.lost */
};

/* The pageout daemon: pageout.c */
struct pageout {
	struct vm_thread *thread;
	bool parked, running, hopeless;
	bool everything;		/* vm_evict() wants all there is */
	uint64_t idle_scans;		/* frames looked at since one went */
	uint64_t laundering;		/* frames with FRAME_RECLAIM */
	uint64_t evict_want;		/* vm_evict() */
	unsigned failures;		/* writes, since a frame was freed,
					 * or was asked for by vm_evict() */
	uint64_t retry_ns;		/* failed writes: not before */
	uint64_t down_ns;		/* all writes fail since then; 0: no */
	uint64_t down_last_ns;		/* when the last failed, */
	int down_error;			/* its -errno, */
	char down_name[256];		/* and what could not be written */
	bool down_said;			/* to cfg.waits */
	uint32_t *victims;
	struct gather forget;		/* accessed bits cleared */
};

/* What writes to one swap area came to: swapout.c */
#define SWAPOUT_SUSPECTS	8
struct swapout_area {
	unsigned failures;		/* since a write to it succeeded */
	uint64_t retry_ns;		/* not before */
	uint32_t suspect[SWAPOUT_SUSPECTS];	/* slots: swapout_suspect() */
	unsigned nsuspects;
};

struct vm {
	struct vm_config cfg;
	struct ram ram;
	struct percpu *percpu;		/* of cpu[0] to cpu[ncpus - 1] */
	/* Others spin on these: no data beside them. */
	pthread_mutex_t lock __attribute__((aligned(64)));
	atomic_bool locked;		/* nobody may share it */
	struct frame_table frames __attribute__((aligned(64)));
	struct slot_table slots;
	struct rmap_pool rmap;
	struct object_table objects;
	struct pageio_pool io;
	struct pageout pageout;
	struct swapout_area swapout[SWAP_AREAS_MAX];
	const struct policy_ops *policy;
	void *policy_data;
	struct waitq wait[WAIT_BUCKETS];
	uint64_t stat[VM_NSTATS];

	struct proc *procs;		/* uthash, by pid */
	struct proc **pmap_proc;	/* by pmap id */
	uint32_t npmaps, pmap_hint;
	int last_pid;

	unsigned ncpus;			/* without the service CPU */
	unsigned ncpus_started;		/* 0: all of them */
	struct cpu *cpu[CPU_MAX];	/* cpu[ncpus] is the service CPU */
	struct model *model[CPU_MAX];	/* theirs, or NULL: caches.h */
	pthread_mutex_t service_lock;	/* who uses the service CPU */
	int service_pid;
	struct sched *sched;
};

/* Wait until the CPU of @pc is not inside. => vm->locked. */
void percpu_wait(const struct percpu *pc);

static inline void vm_lock(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	atomic_store(&vm->locked, true);
	for (unsigned i = 0; i < vm->ncpus; i++)
		if (atomic_load(&vm->percpu[i].inside))
			percpu_wait(&vm->percpu[i]);
}

/* => every shootdown that is owed has been sent: caches.h */
static inline void vm_unlock(struct vm *vm)
{
	if (vm->cfg.stale)
		stale_settle(vm->cfg.stale);
	atomic_store_explicit(&vm->locked, false, memory_order_release);
	pthread_mutex_unlock(&vm->lock);
}

/* percpu_enter() when somebody has the core lock: perhaps not for long. */
bool percpu_enter_late(struct vm *vm, struct percpu *pc);

/*
 * Share the core lock, for less than a microsecond: no system call, no other
 * lock inside. => false: somebody keeps it; take it yourself.
 */
static inline bool percpu_enter(struct vm *vm, struct percpu *pc)
{
	atomic_store(&pc->inside, true);
	return !atomic_load(&vm->locked) || percpu_enter_late(vm, pc);
}

static inline void percpu_leave(struct percpu *pc)
{
	atomic_store_explicit(&pc->inside, false, memory_order_release);
}

/* => core lock held. */
#define vm_count(vm, what)		((vm)->stat[VM_STAT_##what]++)
#define vm_count_add(vm, what, n)	((vm)->stat[VM_STAT_##what] += (n))
/* => inside, by @pc. */
#define percpu_count(pc, what)		((pc)->stat[VM_STAT_##what]++)

#endif
