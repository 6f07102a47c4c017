/*
 * worker.c - one serving thread: from /dev/fuse to the handlers and the ring.
 *
 * A round: take what is there, submit what that brought to the ring, reap
 * what is complete, and only when there is nothing left wait, in one
 * io_uring_enter(2), for the ring and for /dev/fuse together. It never sleeps
 * in a read or write of data. A thread that does not take requests finishes
 * what it has in flight and stands by (lead.c). No locks.
 */
#include "fs/caller.h"
#include "fs/gate.h"
#include "fs/loop_int.h"
#include "fs/memory.h"
#include "fs/pipe.h"
#include "fs/report.h"
#include "swap/place.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define WORKER_BATCH	16	/* requests taken between two submissions */
#define WORKER_REAP	8	/* completions between two looks for requests */
#define WORKER_LONG_NS	1000000	/* of serving: a wake-up is nothing beside it */

__thread struct worker *loop_self;

/* ---- taking requests ---- */

/* Can serving this keep the thread from other requests? (Forgetting a file
 * that has no name left frees its blocks.) */
static bool request_may_wait(const struct fuse_in_header *header)
{
	switch (header->opcode) {
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FSYNC:
	case FUSE_FALLOCATE:
	case FUSE_INTERRUPT:
		return false;
	default:
		return true;
	}
}

/* Pass it to libfuse, and by it to a handler. */
static void worker_call(struct worker *worker, struct slot *slot, bool slow)
{
	struct fuse_buf buf = { .mem = loop_message(slot) };
	struct fuse_in_header *header = buf.mem;

	if (slow)
		loop_slow_enter();
	buf.size = newer_translate(header, slot->received, &slot->newer);
	worker->current = slot;
	fuse_session_process_buf(worker->loop->se, &buf);
	volume_let_go();
	worker->current = NULL;
	if (slow)
		loop_slow_leave();
	gate_served(slot);
}

/* => Is the slot still ours? */
static bool worker_process(struct worker *worker, struct slot *slot)
{
	bool slow = request_may_wait(loop_message(slot));

	if (slow && hand_over(worker, slot))
		return false;
	worker_call(worker, slot, slow);
	return true;
}

/*
 * What has begun is finished, so an interrupt changes nothing there. One may
 * come before its request, which another thread has in hand: the kernel is
 * told to send it again, and does so unless the answer is out.
 */
static void worker_interrupt(struct worker *worker,
			     const struct fuse_in_header *header)
{
	const struct fuse_interrupt_in *in = (const void *)(header + 1);
	const struct fuse_out_header again = {
		.len = sizeof(again),
		.error = -EAGAIN,
		.unique = header->unique,
	};

	if (gate_interrupt(worker->loop, in->unique))
		return;
	sched_yield();
	if (write(worker->loop->fd, &again, sizeof(again)) < 0)
		return;		/* it is */
}

static void worker_dispatch(struct worker *worker, struct slot *slot,
			    size_t length)
{
	const struct fuse_in_header *header = loop_message(slot);
	bool ours = true;

	if (header->opcode == FUSE_INTERRUPT) {
		loop_noted();
		worker_interrupt(worker, header);
		slot_give_back(slot);
		return;
	}
	worker->client = header->pid;
	slot->received = length;
	slot->done = slot->again = 0;
	slot->place = -1;
	worker->answering = slot;
	if (gate_arrive(slot))
		ours = worker_process(worker, slot);
	volume_let_go();
	worker->answering = NULL;
	if (ours && !slot->claimed)
		slot_give_back(slot);
}

/* => Was there one of another thread's to serve? */
static bool worker_help(struct worker *worker)
{
	struct slot *slot = hand_take(worker);

	if (!slot)
		return false;
	worker->answering = slot;
	worker_call(worker, slot, true);
	worker->answering = NULL;
	if (!slot->claimed)
		slot_give_back(slot);
	return true;
}

void loop_serve(struct slot *slot)
{
	bool claimed = slot->claimed;

	assert(!loop_self->current);
	if (claimed) {
		slot->claimed = false;
		loop_self->inflight--;
	}
	if (worker_process(loop_self, slot) && claimed && !slot->claimed)
		slot_give_back(slot);
}

/* ---- the order of requests ---- */

/*
 * @taking is odd from before a request is taken until loop_noted(). Who took a
 * later one sees it: the kernel gave out both under one lock, one after the
 * other.
 */
static void worker_begin_taking(struct worker *worker)
{
	atomic_fetch_add(&worker->taking, 1);
}

static void worker_end_taking(struct worker *worker)
{
	if (atomic_load_explicit(&worker->taking, memory_order_relaxed) & 1)
		atomic_fetch_add(&worker->taking, 1);
}

void loop_noted(void)
{
	worker_end_taking(loop_self);
}

static void worker_await(struct worker *other)
{
	unsigned int taking = atomic_load(&other->taking);

	if (!(taking & 1))
		return;
	/* It copies a request, or was put aside. */
	loop_slow_enter();
	while (atomic_load(&other->taking) == taking)
		sched_yield();
	loop_slow_leave();
}

void loop_await_earlier(void)
{
	struct loop *loop = loop_self->loop;
	unsigned int i;

	/* Also one that loop_add() has not counted yet. */
	for (i = 0; i < loop->room; i++)
		worker_await(&loop->workers[i]);
}

/* => The request's length, 0 if there is none now, -errno. */
static ssize_t worker_receive(struct worker *worker, struct slot *slot)
{
	ssize_t length;

	slot->payload = slot->page + LOOP_PAGE;
	length = read(worker->loop->fd, slot->payload - LOOP_HEADER,
		      LOOP_HEADER + SLOT_PAYLOAD);
	if (length >= (ssize_t)sizeof(struct fuse_in_header))
		return length;
	if (length >= 0)
		return -EIO;
	/* ENOENT: the request was taken back while we read it. */
	return errno == EAGAIN || errno == EINTR || errno == ENOENT ?
		0 : -errno;
}

static bool worker_take_one(struct worker *worker)
{
	struct slot *slot = worker->free;
	ssize_t length;

	if (!slot)
		return false;
	worker_begin_taking(worker);
	length = worker_receive(worker, slot);
	if (length > 0) {
		worker->free = slot->next;
		atomic_fetch_add_explicit(&worker->taken, 1,
					  memory_order_relaxed);
		worker_dispatch(worker, slot, length);
		return true;
	}
	worker_end_taking(worker);
	if (length < 0) {
		/* Unmounted; the second, when that came while we read. */
		if (length != -ENODEV && length != -ECONNABORTED) {
			worker->err = length;
			report("/dev/fuse: %s: serving ends",
			       strerror(-length));
		}
		loop_stop(worker->loop);
	}
	return false;
}

/*
 * On one CPU with its client, a thread that answers is put aside for the
 * client at once, and finds the next request when it runs again: then many in
 * a row are no crowd. Each of them took an involuntary switch.
 */
static bool worker_alternates(struct worker *worker, unsigned int taken)
{
	struct rusage usage;
	long before = worker->switches;

	if (getrusage(RUSAGE_THREAD, &usage))
		return false;
	worker->switches = usage.ru_nivcsw;
	return usage.ru_nivcsw - before >= (long)taken - 1;
}

/* Where should we run, and how many of us, after a round like this? */
static void worker_place(struct worker *worker, unsigned int taken)
{
	unsigned int waiting = worker->inflight - worker->sending;
	bool alone = taken == 1;

	worker->batch = false;
	if (waiting == 1 && alone) {
		place_lone(-1);
		lead_lonely(worker->loop);
		return;
	}
	lead_busy(worker->loop);
	if (!waiting && (alone || worker_alternates(worker, taken))) {
		place_lone(place_client(worker->client));
		return;
	}
	worker->batch = !alone;
	place_crowd();
}

static int64_t worker_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/*
 * Take what is there. That nothing is left is learnt by one read too many;
 * while requests come one by one it is spared, because the poll that follows
 * finds out as well. Now and then look whether they still do. Who is not to
 * wait for more has to look: until its poll is out of the queue, wake-ups for
 * several requests may have gone to it.
 *
 * Requests that take long can keep a thread here for many milliseconds, and
 * one that was kept beside its client must not be kept beside another serving
 * thread for as long: it may leave at once.
 */
static unsigned int worker_take(struct worker *worker)
{
	bool single = worker->burst <= 1 && worker->inflight <= 1 &&
		++worker->singles % WORKER_BATCH && lead_takes(worker);
	unsigned int taken = 0, most = single ? 1 : WORKER_BATCH;
	int64_t begin = single ? 0 : worker_now();

	while (taken < most && worker_take_one(worker))
		if (++taken > 1 && worker_now() - begin > WORKER_LONG_NS)
			place_long();
	worker->called = taken == most;
	worker->burst = taken;
	if (taken)
		worker_place(worker, taken);
	return taken;
}

/* ---- the ring ---- */

struct io_uring_sqe *worker_sqe(struct worker *worker)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&worker->ring)))
		io_uring_submit(&worker->ring);
	return sqe;
}

/* The ring has failed, which no round more would mend. */
static void worker_fail(struct worker *worker, int err)
{
	if (!worker->err)
		report("io_uring: %s: serving ends", strerror(-err));
	worker->err = err;
	loop_stop(worker->loop);
}

/* Submit, and wait for as many completions as @most, 0 or 1. => false: it has
 * failed. */
static bool worker_enter(struct worker *worker, unsigned int most)
{
	int err;

	worker->unsubmitted = 0;
	err = most ? io_uring_submit_and_wait(&worker->ring, most) :
		     io_uring_submit_and_get_events(&worker->ring);
	if (err >= 0 || err == -EINTR || err == -EAGAIN || err == -EBUSY ||
	    err == -ETIME)
		return true;
	worker_fail(worker, err);
	return false;
}

void worker_submit(struct worker *worker)
{
	if (!worker->unsubmitted)
		return;
	worker->unsubmitted = 0;
	io_uring_submit(&worker->ring);
}

/* => Was it what a request waited for? */
static bool worker_complete(struct worker *worker, struct io_uring_cqe *cqe)
{
	struct slot *slot = io_uring_cqe_get_data(cqe);
	int result = cqe->res;
	bool waited;

	io_uring_cqe_seen(&worker->ring, cqe);
	if ((void *)slot == &worker->polling) {
		worker->polling = worker->cancelling = false;
		/* Even if it was cancelled: it may have been woken then. */
		worker->called = true;
		return false;
	}
	if (!slot)
		return false;
	waited = !slot->sending;
	worker->answering = slot;
	slot->completed(slot, result);
	volume_let_go();
	worker->answering = NULL;
	return waited;
}

static unsigned int worker_reap(struct worker *worker)
{
	struct io_uring_cqe *cqe;
	unsigned int reaped = 0;

	while (reaped < WORKER_REAP && !io_uring_peek_cqe(&worker->ring, &cqe))
		reaped += worker_complete(worker, cqe);
	return reaped;
}

static void worker_poll(struct worker *worker, int fd, uint32_t how, void *tag)
{
	struct io_uring_sqe *sqe = worker_sqe(worker);

	io_uring_prep_poll_add(sqe, fd, POLLIN | how);
	io_uring_sqe_set_data(sqe, tag);
}

/* A request would wake us, and somebody else is to have it. */
static void worker_unpoll(struct worker *worker)
{
	struct io_uring_sqe *sqe = worker_sqe(worker);

	io_uring_prep_cancel(sqe, &worker->polling, 0);
	io_uring_sqe_set_data(sqe, NULL);
	worker->cancelling = true;
}

/*
 * What wakes one who waits for requests is not to be spent on us while we
 * cannot look: it would be lost on the others. Cancelled is not yet out of the
 * queue; the kernel sees to that when we ask it for what has happened.
 */
void worker_leave_queue(struct worker *worker)
{
	if (!worker->polling)
		return;
	if (!worker->cancelling)
		worker_unpoll(worker);
	worker_enter(worker, 0);
}

/* All our slots are in flight: if that lasts, somebody else has to take. */
static void worker_wait_full(struct worker *worker)
{
	worker->unsubmitted = 0;	/* by the call that waits */
	loop_slow_enter();
	worker_enter(worker, 1);
	loop_slow_leave();
}

/* Sleep until the ring or, for who takes them, requests have something. */
static void worker_wait(struct worker *worker)
{
	bool takes = lead_takes(worker);

	if (takes && !worker->free) {
		worker_wait_full(worker);
		return;
	}
	if (takes && !worker->polling) {
		worker_poll(worker, worker->loop->fd, EPOLLEXCLUSIVE,
			    &worker->polling);
		worker->polling = true;
	} else if (!takes && worker->polling && !worker->cancelling) {
		worker_unpoll(worker);
	}
	worker_enter(worker, 1);
}

/* Is there anything to wait for in the ring, other than the end? */
static bool worker_busy(const struct worker *worker)
{
	return lead_takes(worker) || worker->polling || worker->inflight;
}

/*
 * One round. While the poll of /dev/fuse is pending there is nothing to
 * take; it completes in the ring like everything else. But a disk completes
 * many requests at once, and the clients that have their answers ask for more
 * while we answer the others: then look in between, so that the disk has work
 * again before the last answer is out.
 */
static void worker_round(struct worker *worker)
{
	unsigned int taken = 0;

	hand_reclaim(worker);
	if ((!worker->polling || worker->crowded) && worker->free &&
	    (worker->called || lead_takes(worker)))
		taken = worker_take(worker);
	if (atomic_load(&worker->loop->stopped) || !worker_busy(worker))
		return;
	if (taken == WORKER_BATCH || worker->crowded ||
	    (worker->called && worker->free && !lead_takes(worker)))
		worker_enter(worker, 0);
	else
		worker_wait(worker);
	worker->crowded = worker_reap(worker) > 1;
}

/* ---- a thread's life ---- */

/*
 * What cannot be begun without waiting (an fsync, say) is handed to threads of
 * the ring's. There are four for each CPU if nobody says more, and when as
 * many hang in one file, those for all others wait behind them.
 */
static void worker_allow_waiting(struct worker *worker)
{
	/* The second is of other things than files, and stays as it is. */
	unsigned int most[2] = { LOOP_SLOTS * LOOP_BLOCKS, 0 };

	/* Not allowed: fewer may hang. */
	io_uring_register_iowq_max_workers(&worker->ring, most);
}

static int worker_open_ring(struct worker *worker)
{
	/* The newest kernels' way first; 5.15 knows none of these. */
	static const unsigned int ways[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_COOP_TASKRUN,
		0,
	};
	unsigned int i;
	int err = -EINVAL;

	for (i = 0; err == -EINVAL && i < 3; i++)
		err = io_uring_queue_init(LOOP_SLOTS * 2, &worker->ring,
					  ways[i]);
	if (!err)
		worker_allow_waiting(worker);
	return err;
}

static void worker_close(struct worker *worker)
{
	pipe_close();
	if (worker->ring.ring_fd > 0)
		io_uring_queue_exit(&worker->ring);
	/* loop_add() may try once more. */
	memset(&worker->ring, 0, sizeof(worker->ring));
}

/* Not for requests: they stay, and would wake us again and again. */
static void worker_finish(struct worker *worker)
{
	while (worker->inflight && worker_enter(worker, 1))
		worker_reap(worker);
}

static void worker_serve(struct worker *worker)
{
	struct loop *loop = worker->loop;

	worker_poll(worker, loop->wake_fd, 0, NULL);
	while (!atomic_load(&loop->stopped)) {
		if (!worker->inflight && worker_help(worker))
			continue;
		if (worker_busy(worker) || worker->called)
			worker_round(worker);
		else
			lead_stand_by(worker);
	}
	do
		worker_finish(worker);
	while (worker_help(worker));
}

void *worker_main(void *arg)
{
	struct worker *worker = arg;

	loop_self = worker;
	memory_prepare_thread();
	worker->err = caller_start() ?: worker_open_ring(worker);
	if (!worker->err)
		worker->err = slot_grow(worker);
	sem_post(&worker->loop->ready);
	if (!worker->err)
		worker_serve(worker);
	worker_close(worker);
	return NULL;
}
