/*
 * lead.c - which serving threads take requests.
 *
 * There are as many seats as CPUs, up to LOOP_SEATS; who has one takes
 * requests, the others stand by. Those who wait for requests are woken one at
 * a time, in turn (EPOLLEXCLUSIVE). That is not only for the sake of two CPUs:
 * a client that asks for one thing after another meets a thread that was last
 * woken where it runs itself every other time, which saves an interrupt to the
 * other CPU and a halt (42 against 23 us for a read on a tmpfs). But while
 * single requests wait for a disk, one thread alone is better: the scheduler
 * moves client and server to the CPU that the disk interrupts (70 against
 * 85 us). So only the first seat is wanted then.
 *
 * Calls which have no good asynchronous form (names, attributes) are made on
 * the spot, bracketed by loop_slow_enter() and loop_slow_leave(). A stand-by
 * looks at the seats every LEAD_TICK_MS while such calls are made, and when
 * somebody sits in the same call for a whole tick takes the seat from him. He
 * finishes what he has begun and stands by.
 *
 * Nor does who has requests in flight make such a call for a file system that
 * may hang: he passes it to one who stands by (hand.c), and rings for him.
 *
 * Waiting with all slots in flight is such a call: nothing more can be taken.
 * When no stand-by is left, loop_reinforce() adds one.
 *
 * A thread that is stuck may have swallowed a wake-up, for a poll of its own
 * that was still in its ring; who takes its seat looks for requests at once.
 * It takes its poll out before the call, because each wake-up goes to who has
 * been in the queue for longest, and that would be the one who is stuck.
 * A thread without a seat takes its poll out before it stands by, and looks
 * once more.
 *
 * Invariants: each seat names one thread; only a stand-by changes it, by
 * compare-and-swap. No locks.
 */
#include "fs/loop_int.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LEAD_TICK_MS	2
#define LEAD_LONELY	32	/* requests in a row that had no other beside */

/* => Was that the whole time? */
static bool lead_futex_wait(atomic_uint *word, unsigned int value,
			    const struct timespec *timeout)
{
	return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout,
		       NULL, 0) && errno == ETIMEDOUT;
}

static void lead_ring(struct loop *loop, int most)
{
	atomic_fetch_add(&loop->bell, 1);
	syscall(SYS_futex, &loop->bell, FUTEX_WAKE_PRIVATE, most, NULL, NULL,
		0);
}

void lead_ring_bell(struct loop *loop)
{
	lead_ring(loop, INT32_MAX);
}

void lead_ring_one(struct loop *loop)
{
	lead_ring(loop, 1);
}

void loop_slow_enter(void)
{
	/* An entry that is not prepared yet would go with the others. */
	assert(!loop_self->preparing);
	if (loop_self->slow_depth++)
		return;
	/* What is prepared must not wait for the call to return. */
	worker_submit(loop_self);
	worker_leave_queue(loop_self);
	atomic_fetch_add(&loop_self->slow, 1);
	if (atomic_load(&loop_self->loop->dozing))
		lead_ring_bell(loop_self->loop);
}

void loop_slow_leave(void)
{
	if (loop_self->slow_depth == 1)
		worker_submit(loop_self);	/* may wait, too */
	if (--loop_self->slow_depth)
		return;
	atomic_fetch_add(&loop_self->slow, 1);
}

/* => @worker's seat, or -1 */
static int lead_seat(const struct worker *worker)
{
	const struct loop *loop = worker->loop;
	unsigned int i;

	for (i = 0; i < loop->nseats; i++)
		if (atomic_load_explicit(&loop->seats[i],
					 memory_order_relaxed) == worker->rank)
			return i;
	return -1;
}

bool lead_takes(const struct worker *worker)
{
	int seat = lead_seat(worker);

	return seat >= 0 && (unsigned int)seat <
		atomic_load(&worker->loop->wanted);
}

/* ---- how many ---- */

static unsigned int lead_inflight(const struct loop *loop)
{
	unsigned int i, holder, sum = 0;

	for (i = 0; i < loop->nseats; i++) {
		/* Said, because gcc makes an index a plain load. */
		holder = atomic_load(&loop->seats[i]);
		sum += loop->workers[holder].inflight;
	}
	return sum;
}

void lead_busy(struct loop *loop)
{
	if (atomic_load_explicit(&loop->lonely, memory_order_relaxed))
		atomic_store(&loop->lonely, 0);
	if (atomic_load_explicit(&loop->wanted, memory_order_relaxed) ==
	    loop->nseats)
		return;
	atomic_store(&loop->wanted, loop->nseats);
	lead_ring_bell(loop);
}

void lead_lonely(struct loop *loop)
{
	if (atomic_load_explicit(&loop->wanted, memory_order_relaxed) == 1)
		return;
	if (lead_inflight(loop) > 1)
		atomic_store(&loop->lonely, 0);
	else if (atomic_fetch_add(&loop->lonely, 1) > LEAD_LONELY)
		atomic_store(&loop->wanted, 1);
}

/* ---- standing by ---- */

/* Is one of those who have seats in a slow call? */
static bool lead_is_slow(const struct loop *loop)
{
	unsigned int i, holder;

	for (i = 0; i < loop->nseats; i++) {
		holder = atomic_load(&loop->seats[i]);
		if (atomic_load(&loop->workers[holder].slow) & 1)
			return true;
	}
	return false;
}

/* Who begins a slow call rings if he sees us doze; if not, we see him. */
static void lead_doze(struct worker *worker)
{
	struct loop *loop = worker->loop;
	unsigned int bell = atomic_load(&loop->bell);

	atomic_fetch_add(&loop->dozing, 1);
	if (!atomic_load(&loop->stopped) && !lead_takes(worker) &&
	    !hand_waits(loop) && !lead_is_slow(loop))
		lead_futex_wait(&loop->bell, bell, NULL);
	atomic_fetch_sub(&loop->dozing, 1);
}

/* Take seat @i from @holder, who is stuck. If we have one that is not wanted,
 * he gets it. */
static void lead_take_over(struct worker *worker, unsigned int i,
			   unsigned int holder)
{
	struct loop *loop = worker->loop;
	int ours = lead_seat(worker);

	if (!atomic_compare_exchange_strong(&loop->seats[i], &holder,
					    worker->rank))
		return;
	if (ours >= 0)
		atomic_store(&loop->seats[ours], holder);
	worker->called = true;
}

/*
 * Watch those who have seats: asleep for good while they make no slow calls,
 * by ticks while they do, and in the place of one who is stuck.
 */
void lead_stand_by(struct worker *worker)
{
	const struct timespec tick = { 0, LEAD_TICK_MS * 1000000 };
	struct loop *loop = worker->loop;
	unsigned int holder[LOOP_SEATS], before[LOOP_SEATS], after, i;
	unsigned int bell = atomic_load(&loop->bell);
	bool quiet = true;

	if (hand_waits(loop))
		return;
	for (i = 0; i < loop->nseats; i++) {
		holder[i] = atomic_load(&loop->seats[i]);
		before[i] = atomic_load(&loop->workers[holder[i]].slow);
	}
	if (!lead_futex_wait(&loop->bell, bell, &tick))
		return;
	for (i = 0; i < loop->nseats; i++) {
		after = atomic_load(&loop->workers[holder[i]].slow);
		if (after != before[i] ||
		    holder[i] != atomic_load(&loop->seats[i])) {
			quiet = false;
		} else if (after & 1) {
			lead_take_over(worker, i, holder[i]);
			return;
		}
	}
	if (quiet)
		lead_doze(worker);
}
