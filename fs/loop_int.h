/*
 * loop_int.h - what the serving threads' own files share: loop.c (all of
 * them), worker.c (one), lead.c (which of them takes requests), hand.c (who
 * serves what another took), slot.c (the room for a request). Others include
 * loop.h.
 */
#ifndef FS_LOOP_INT_H
#define FS_LOOP_INT_H

#include "fs/loop.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define LOOP_SLOTS	128	/* in a block: requests in flight per thread */
#define LOOP_BLOCKS	32	/* of them, when some are kept back */
#define LOOP_SEATS	4	/* threads that take requests at a time, at most */
#define LOOP_PAGE	4096

/* What stands before the payload of a write. */
#define LOOP_HEADER (sizeof(struct fuse_in_header) + \
		     sizeof(struct fuse_write_in))

/* Slots come by the block; one never goes away while the thread lives. */
struct block {
	struct block *next;
	char *memory;
	struct slot slots[LOOP_SLOTS];
};

struct worker {
	struct loop *loop;
	unsigned int rank;
	pthread_t thread;
	struct io_uring ring;
	struct block *_Atomic blocks;
	unsigned int nblocks;
	struct slot *free;
	struct slot *_Atomic returned;	/* of those on loan: hand.c */
	atomic_uint lent;	/* slots on loan */
	struct slot *current;
	struct slot *answering;
	atomic_uint inflight;	/* loop_drain() looks on from outside */
	unsigned int sending;	/* of these, answers that loop_send() has */
	unsigned int unsubmitted;
	bool preparing;		/* between loop_sqe() and loop_submit() */
	bool polling;		/* a poll of /dev/fuse is in the ring */
	bool cancelling;	/* and is being taken out */
	bool called;		/* a wake-up was for us: look for requests */
	bool crowded;		/* several completed at once */
	unsigned int burst;	/* requests that were there last time */
	bool batch;		/* of several clients, or one that asks ahead */
	pid_t client;		/* thread that made the last request */
	unsigned int singles;
	long switches;		/* involuntary ones: worker_alternates() */
	atomic_uint taken;	/* requests */
	atomic_uint taking;	/* odd until it is known: loop_noted() */
	atomic_uint slow;	/* odd while in a call that may wait */
	unsigned int slow_depth;
	atomic_int err;
};

struct loop {
	struct fuse_session *se;
	int fd;			/* /dev/fuse, non-blocking */
	atomic_uint nworkers;	/* grows: loop_reinforce() */
	struct worker *workers;	/* with room for LOOP_EXTRA more */
	unsigned int room;	/* for so many */
	unsigned int taken;	/* by all of them; loop_reinforce() */
	unsigned int before;	/* the same: @begun, */
	bool waited;		/* and whether one was waiting */
	bool hurries;		/* they were stuck */
	int wake_fd;		/* readable: look at @draining and @stopped */
	int ended_fd;
	sem_t ready;
	unsigned int nseats;
	atomic_uint seats[LOOP_SEATS]; /* lead.c: ranks of who has them */
	atomic_uint wanted;	/* so many of them, the first ones */
	atomic_uint lonely;	/* requests without another, for the disk */
	atomic_uint bell;	/* a futex: stand-bys sleep on it */
	atomic_uint dozing;	/* stand-bys that sleep without a tick */
	pthread_mutex_t hand_lock;	/* hand.c */
	struct slot *handed, **handed_end;
	atomic_uint nhanded;	/* who are in that queue */
	atomic_uint begun;	/* and how many were */
	atomic_bool draining;
	atomic_bool stopped;
};

/* The serving thread that runs this. */
extern __thread struct worker *loop_self;

/* loop.c: no more requests are taken, and whoever waits shall look. */
void loop_stop(struct loop *loop);

/* worker.c: a serving thread's life; arg is its worker. */
void *worker_main(void *arg);
/* An empty entry of the ring; if it is full, what is in it goes first. */
struct io_uring_sqe *worker_sqe(struct worker *worker);
/* Hand what is prepared for the ring to the kernel. */
void worker_submit(struct worker *worker);
/* Wait for no request: others are woken for those that come. */
void worker_leave_queue(struct worker *worker);

/* lead.c: is @worker one of those who take requests? */
bool lead_takes(const struct worker *worker);
/* Watch them, for a while or for good; take the seat of one that is stuck. */
void lead_stand_by(struct worker *worker);
/* Wake all who stand by, or one of them. */
void lead_ring_bell(struct loop *loop);
void lead_ring_one(struct loop *loop);
/* A request for the disk is all that is in hand. */
void lead_lonely(struct loop *loop);
/* It is not: all seats are wanted. */
void lead_busy(struct loop *loop);

/* hand.c: the request in @slot, which @worker took, is for another thread, if
 * it is not to wait itself. => Is it? Then @slot is not ours any more. */
bool hand_over(struct worker *worker, struct slot *slot);
/* => Such a one, which @worker shall serve, or NULL. */
struct slot *hand_take(struct worker *worker);
/* Is there one? */
bool hand_waits(const struct loop *loop);
/* A slot on loan is free: to its home; and there among the others. */
void hand_back(struct slot *slot);
void hand_reclaim(struct worker *worker);

/* slot.c: LOOP_SLOTS more. => 0 or -ENOMEM. */
int slot_grow(struct worker *worker);
/* All of a worker's, when nobody looks at them any more. */
void slot_free_all(struct worker *worker);
/* Nobody has it: it is free for the next request. */
void slot_give_back(struct slot *slot);

#endif
