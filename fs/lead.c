/*
 * lead.c - which serving thread takes requests.
 *
 * One thread, the leader, takes them for as long as it keeps up; the others
 * stand by. Two threads that share the requests would wake each other's CPU
 * for each one, which costs more than serving it.
 *
 * Calls which have no good asynchronous form (names, attributes) are made on
 * the spot, bracketed by loop_slow_enter() and loop_slow_leave(). A stand-by
 * looks at the leader every LEAD_TICK_MS while such calls are made, and when
 * one sits in the same call for a whole tick takes the lead from it. The old
 * leader finishes what it has begun and stands by.
 *
 * Invariant: @leader names one thread; only a stand-by changes it, by
 * compare-and-swap. No locks.
 */
#include "fs/loop_int.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LEAD_TICK_MS	2

static void lead_futex_wait(atomic_uint *word, unsigned int value,
			    const struct timespec *timeout)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

void lead_ring_bell(struct loop *loop)
{
	atomic_fetch_add(&loop->bell, 1);
	syscall(SYS_futex, &loop->bell, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL,
		NULL, 0);
}

void loop_slow_enter(void)
{
	if (loop_self->slow_depth++)
		return;
	/* What is prepared must not wait for the call to return. */
	worker_submit(loop_self);
	atomic_fetch_add(&loop_self->slow, 1);
	if (atomic_load(&loop_self->loop->dozing))
		lead_ring_bell(loop_self->loop);
}

void loop_slow_leave(void)
{
	if (--loop_self->slow_depth)
		return;
	atomic_fetch_add(&loop_self->slow, 1);
}

static void lead_doze(struct loop *loop)
{
	unsigned int bell = atomic_load(&loop->bell);

	atomic_fetch_add(&loop->dozing, 1);
	if (!atomic_load(&loop->stopped))
		lead_futex_wait(&loop->bell, bell, NULL);
	atomic_fetch_sub(&loop->dozing, 1);
}

/*
 * Watch the leader: asleep for good while it makes no slow calls, by ticks
 * while it does, and in its place when it is stuck in one.
 */
void lead_stand_by(struct worker *worker)
{
	const struct timespec tick = { 0, LEAD_TICK_MS * 1000000 };
	struct loop *loop = worker->loop;
	unsigned int leader = atomic_load(&loop->leader), before, after;

	before = atomic_load(&loop->workers[leader].slow);
	lead_futex_wait(&loop->bell, atomic_load(&loop->bell), &tick);
	after = atomic_load(&loop->workers[leader].slow);
	if (leader != atomic_load(&loop->leader))
		return;
	if (before != after)
		return;
	if (after & 1)
		atomic_compare_exchange_strong(&loop->leader, &leader,
					       worker->rank);
	else
		lead_doze(loop);
}
