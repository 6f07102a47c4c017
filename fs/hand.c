/*
 * hand.c - requests that another thread serves than the one that took them.
 *
 * A thread that has requests in flight in its ring, or keeps some back, is the
 * only one who can see to them. So it makes no call that may wait for ever
 * while it has: one for a file system that is not local (over the network, or
 * a daemon's) goes, in its slot, to a thread that has nothing in flight. Local
 * ones are as good as their disk, for which the reads in flight wait as well;
 * there the way through another thread would cost more than it saves.
 *
 * A slot on loan has the thread that serves it as its worker, and is the
 * property of its home all the time; when it is free it goes back there.
 * Half of a thread's first block may be on loan: then there are always some in
 * flight, or free, and what wakes the thread from its wait for one.
 *
 * A queue that nobody comes to, because all hang, makes loop_reinforce() add a
 * thread. Who is inside a call that may wait already (slow_depth) may hold
 * locks, and makes it himself.
 *
 * Lock: loop->hand_lock guards the queue, for some instructions.
 */
#include "fs/gate.h"
#include "fs/loop_int.h"
#include "fs/volume.h"

#define HAND_MOST	(LOOP_SLOTS / 2)

/* Is it for a file system that may hang? */
static bool hand_is_foreign(const struct fuse_in_header *header)
{
	const struct volume *volume = gate_volume();
	const struct inode *inode;

	/* Of no file in particular; not the first request of all. */
	if (!header->nodeid)
		return header->opcode == FUSE_BATCH_FORGET && !volume->local;
	inode = volume_inode(gate_volume(), header->nodeid);
	return !volume_is_local(volume, inode) || inode->crossed;
}

static bool hand_must(const struct worker *worker, const struct slot *slot)
{
	return worker->inflight != worker->sending && !worker->slow_depth &&
	       atomic_load(&worker->loop->nworkers) > 1 &&
	       atomic_load(&worker->lent) < HAND_MOST &&
	       hand_is_foreign(loop_message((struct slot *)slot));
}

bool hand_over(struct worker *worker, struct slot *slot)
{
	struct loop *loop = worker->loop;

	if (!hand_must(worker, slot))
		return false;
	atomic_fetch_add(&worker->lent, 1);
	slot->next = NULL;
	pthread_mutex_lock(&loop->hand_lock);
	*loop->handed_end = slot;
	loop->handed_end = &slot->next;
	atomic_fetch_add(&loop->nhanded, 1);
	pthread_mutex_unlock(&loop->hand_lock);
	lead_ring_one(loop);
	return true;
}

bool hand_waits(const struct loop *loop)
{
	return atomic_load(&loop->nhanded);
}

struct slot *hand_take(struct worker *worker)
{
	struct loop *loop = worker->loop;
	struct slot *slot;

	if (!hand_waits(loop))
		return NULL;
	pthread_mutex_lock(&loop->hand_lock);
	slot = loop->handed;
	if (slot) {
		loop->handed = slot->next;
		if (!loop->handed)
			loop->handed_end = &loop->handed;
		atomic_fetch_sub(&loop->nhanded, 1);
		atomic_fetch_add(&loop->begun, 1);
	}
	pthread_mutex_unlock(&loop->hand_lock);
	if (slot)
		slot->worker = worker;
	return slot;
}

void hand_back(struct slot *slot)
{
	struct worker *home = slot->home;
	struct slot *others = atomic_load(&home->returned);

	slot->worker = home;
	do
		slot->next = others;
	while (!atomic_compare_exchange_weak(&home->returned, &others, slot));
	atomic_fetch_sub(&home->lent, 1);
}

void hand_reclaim(struct worker *worker)
{
	struct slot *slot, *next;

	if (!atomic_load_explicit(&worker->returned, memory_order_relaxed))
		return;
	for (slot = atomic_exchange(&worker->returned, NULL); slot;
	     slot = next) {
		next = slot->next;
		slot->next = worker->free;
		worker->free = slot;
	}
}
