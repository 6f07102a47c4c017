/*
 * loop.c - the serving threads.
 *
 * One thread, the leader, takes requests from /dev/fuse for as long as it
 * keeps up; the others stand by. Two threads that share the requests would
 * wake each other's CPU for each one, which costs more than serving it.
 *
 * The leader's round: take what is there, submit what that brought to the
 * ring, reap what is complete, and only when there is nothing left wait, in
 * one io_uring_enter(2), for the ring and for /dev/fuse together. It never
 * sleeps in a read or write of data.
 *
 * Calls which have no good asynchronous form (names, attributes) are made on
 * the spot, bracketed by loop_slow_enter() and loop_slow_leave(). A stand-by
 * looks at the leader every LOOP_TICK_MS while such calls are made, and when
 * one sits in the same call for a whole tick takes the lead from it. The old
 * leader finishes what it has begun and stands by.
 *
 * Invariants: a slot is free, current, or in flight in its own thread. A
 * ring and its slots are touched by their thread only. @leader names one
 * thread; only a stand-by changes it, by compare-and-swap. No locks.
 */
#include "fs/loop.h"
#include "fs/caller.h"
#include "fs/gate.h"
#include "fs/memory.h"
#include "fs/report.h"
#include "swap/place.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOP_SLOTS	128	/* requests in flight per thread */
#define LOOP_BLOCKS	32	/* times that, when requests are kept back */
#define LOOP_BATCH	16	/* requests taken between two submissions */
#define LOOP_REAP	8	/* completions between two looks for requests */
#define LOOP_EXTRA	32	/* threads more when all are stuck */
#define LOOP_WHOLE	2	/* slots whose memory is there from the start */
#define LOOP_READY	(LOOP_PAGE + 16384) /* and so much of each other */
#define LOOP_TICK_MS	2
#define LOOP_JOIN_S	3	/* what hangs longer in SOURCE is left to it */
#define LOOP_PAGE	4096

/* What stands before the payload of a write. */
#define LOOP_HEADER (sizeof(struct fuse_in_header) + \
		     sizeof(struct fuse_write_in))
#define LOOP_SLOT_BYTES	(LOOP_PAGE + SLOT_PAYLOAD)

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
	struct slot *current;
	struct slot *answering;
	atomic_uint inflight;	/* loop_drain() looks on from outside */
	unsigned int unsubmitted;
	bool polling;		/* a poll of /dev/fuse is in the ring */
	bool crowded;		/* several completed at once */
	unsigned int burst;	/* requests that were there last time */
	pid_t client;		/* thread that made the last request */
	unsigned int singles;
	atomic_uint slow;	/* odd while in a call that may wait */
	unsigned int slow_depth;
	int err;
};

struct loop {
	struct fuse_session *se;
	int fd;			/* /dev/fuse, non-blocking */
	atomic_uint nworkers;	/* grows: loop_reinforce() */
	struct worker *workers;	/* with room for LOOP_EXTRA more */
	unsigned int room;	/* for so many */
	unsigned int stuck_sum;	/* loop_reinforce() */
	int wake_fd;		/* readable: look at @draining and @stopped */
	int ended_fd;
	sem_t ready;
	atomic_uint leader;
	atomic_uint bell;	/* a futex: stand-bys sleep on it */
	atomic_uint dozing;	/* stand-bys that sleep without a tick */
	atomic_bool draining;
	atomic_bool stopped;
};

static __thread struct worker *self;

/* ---- for handlers ---- */

struct slot *loop_claim(fuse_req_t req,
			void (*completed)(struct slot *slot, int result))
{
	struct slot *slot = self->current;

	assert(slot && !slot->claimed);
	slot->claimed = true;
	slot->req = req;
	slot->completed = completed;
	self->inflight++;
	return slot;
}

struct io_uring_sqe *loop_sqe(struct slot *slot)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&slot->worker->ring)))
		io_uring_submit(&slot->worker->ring);
	return sqe;
}

void loop_submit(struct slot *slot, struct io_uring_sqe *sqe)
{
	io_uring_sqe_set_data(sqe, slot);
	slot->worker->unsubmitted++;
}

static void loop_free(struct slot *slot)
{
	slot->claimed = false;
	request_set(slot->request.unique, 0);
	slot->next = slot->worker->free;
	slot->worker->free = slot;
}

void loop_finish(struct slot *slot)
{
	assert(slot->claimed);
	slot->worker->inflight--;
	if (slot == slot->worker->current)
		slot->claimed = false;	/* answered within its handler */
	else
		loop_free(slot);
}

struct fuse_in_header *loop_message(struct slot *slot)
{
	return (void *)(slot->page + LOOP_PAGE - LOOP_HEADER);
}

struct slot *loop_answering(void)
{
	return self ? self->answering : NULL;
}

int loop_device(const struct slot *slot)
{
	return slot->worker->loop->fd;
}

enum loop_phase loop_phase(const struct slot *slot)
{
	const struct loop *loop = slot->worker->loop;

	if (atomic_load(&loop->stopped))
		return LOOP_STOPPED;
	return atomic_load(&loop->draining) ? LOOP_DRAINS : LOOP_SERVES;
}

const void *loop_request(void)
{
	return loop_message(self->current) + 1;
}

const struct newer *loop_newer(void)
{
	return &self->current->newer;
}

void *loop_scratch(size_t size)
{
	assert(size <= SLOT_PAYLOAD);
	return self->current->payload;
}

/* ---- leader and stand-bys ---- */

static void loop_futex_wait(atomic_uint *word, unsigned int value,
			    const struct timespec *timeout)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

static void loop_ring_bell(struct loop *loop)
{
	atomic_fetch_add(&loop->bell, 1);
	syscall(SYS_futex, &loop->bell, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL,
		NULL, 0);
}

static void worker_submit(struct worker *worker)
{
	if (!worker->unsubmitted)
		return;
	worker->unsubmitted = 0;
	io_uring_submit(&worker->ring);
}

void loop_slow_enter(void)
{
	if (self->slow_depth++)
		return;
	/* What is prepared must not wait for the call to return. */
	worker_submit(self);
	atomic_fetch_add(&self->slow, 1);
	if (atomic_load(&self->loop->dozing))
		loop_ring_bell(self->loop);
}

void loop_slow_leave(void)
{
	if (--self->slow_depth)
		return;
	atomic_fetch_add(&self->slow, 1);
}

static bool worker_leads(struct worker *worker)
{
	return atomic_load_explicit(&worker->loop->leader,
				    memory_order_relaxed) == worker->rank;
}

static void worker_doze(struct loop *loop)
{
	unsigned int bell = atomic_load(&loop->bell);

	atomic_fetch_add(&loop->dozing, 1);
	if (!atomic_load(&loop->stopped))
		loop_futex_wait(&loop->bell, bell, NULL);
	atomic_fetch_sub(&loop->dozing, 1);
}

/*
 * Watch the leader: asleep for good while it makes no slow calls, by ticks
 * while it does, and in its place when it is stuck in one.
 */
static void worker_stand_by(struct worker *worker)
{
	const struct timespec tick = { 0, LOOP_TICK_MS * 1000000 };
	struct loop *loop = worker->loop;
	unsigned int leader = atomic_load(&loop->leader), before, after;

	before = atomic_load(&loop->workers[leader].slow);
	loop_futex_wait(&loop->bell, atomic_load(&loop->bell), &tick);
	after = atomic_load(&loop->workers[leader].slow);
	if (leader != atomic_load(&loop->leader))
		return;
	if (before != after)
		return;
	if (after & 1)
		atomic_compare_exchange_strong(&loop->leader, &leader,
					       worker->rank);
	else
		worker_doze(loop);
}

/* ---- taking requests ---- */

static void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopped, true);
	eventfd_write(loop->wake_fd, 1);
	eventfd_write(loop->ended_fd, 1);
	loop_ring_bell(loop);
}

/* Can serving this keep the thread from other requests? */
static bool request_may_wait(const struct fuse_in_header *header)
{
	switch (header->opcode) {
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_FSYNC:
	case FUSE_FALLOCATE:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return false;
	default:
		return true;
	}
}

/* Hand it to libfuse, and by it to a handler. */
static void worker_process(struct worker *worker, struct slot *slot)
{
	struct fuse_buf buf = { .mem = loop_message(slot) };
	struct fuse_in_header *header = buf.mem;
	bool slow = request_may_wait(header);

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

static void worker_dispatch(struct worker *worker, struct slot *slot,
			    size_t length)
{
	const struct fuse_in_header *header = loop_message(slot);
	const struct fuse_interrupt_in *interrupt = (const void *)(header + 1);

	/* What has begun is finished, so an interrupt changes nothing there. */
	if (header->opcode == FUSE_INTERRUPT) {
		gate_interrupt(worker->loop, interrupt->unique);
		loop_free(slot);
		return;
	}
	worker->client = header->pid;
	slot->received = length;
	worker->answering = slot;
	if (gate_arrive(slot))
		worker_process(worker, slot);
	volume_let_go();
	worker->answering = NULL;
	if (!slot->claimed)
		loop_free(slot);
}

void loop_serve(struct slot *slot)
{
	assert(slot->claimed && !self->current);
	slot->claimed = false;
	self->inflight--;
	worker_process(self, slot);
	if (!slot->claimed)
		loop_free(slot);
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
	length = worker_receive(worker, slot);
	if (length > 0) {
		worker->free = slot->next;
		worker_dispatch(worker, slot, length);
		return true;
	}
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
 * Take what is there. That nothing is left is learnt by one read too many;
 * while requests come one by one it is spared, because the poll that follows
 * finds out as well. Now and then look whether they still do.
 */
static unsigned int worker_take(struct worker *worker)
{
	bool single = worker->burst <= 1 && worker->inflight <= 1 &&
		++worker->singles % LOOP_BATCH;
	unsigned int taken = 0, most = single ? 1 : LOOP_BATCH;

	while (taken < most && worker_leads(worker) &&
	       worker_take_one(worker))
		taken++;
	worker->burst = taken;
	if (taken == 1 && worker->inflight <= 1)
		place_lone(worker->inflight ? -1 : place_client(worker->client));
	else if (taken > 1 || worker->inflight > 1)
		place_crowd(place_client(worker->client));
	return taken;
}

/* ---- the ring ---- */

/* => Was it a request's? */
static bool worker_complete(struct worker *worker, struct io_uring_cqe *cqe)
{
	struct slot *slot = io_uring_cqe_get_data(cqe);
	int result = cqe->res;

	io_uring_cqe_seen(&worker->ring, cqe);
	if ((void *)slot == &worker->polling)
		worker->polling = false;
	if (!slot || (void *)slot == &worker->polling)
		return false;
	worker->answering = slot;
	slot->completed(slot, result);
	worker->answering = NULL;
	return true;
}

static unsigned int worker_reap(struct worker *worker)
{
	struct io_uring_cqe *cqe;
	unsigned int reaped = 0;

	while (reaped < LOOP_REAP && !io_uring_peek_cqe(&worker->ring, &cqe))
		reaped += worker_complete(worker, cqe);
	return reaped;
}

static void worker_poll(struct worker *worker, int fd, void *tag)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&worker->ring)))
		io_uring_submit(&worker->ring);
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	io_uring_sqe_set_data(sqe, tag);
}

/* Sleep until the ring or, for the leader, /dev/fuse has something. */
static void worker_wait(struct worker *worker, bool requests)
{
	if (requests && !worker->polling && worker->free) {
		worker_poll(worker, worker->loop->fd, &worker->polling);
		worker->polling = true;
	}
	worker->unsubmitted = 0;
	io_uring_submit_and_wait(&worker->ring, 1);
}

/*
 * One round. While the poll of /dev/fuse is pending there is nothing to
 * take; it completes in the ring like everything else. But a disk completes
 * many requests at once, and the clients that have their answers ask for more
 * while we answer the others: then look in between, so that the disk has work
 * again before the last answer is out.
 */
static void worker_lead(struct worker *worker)
{
	unsigned int taken = 0;

	if ((!worker->polling || worker->crowded) && worker->free)
		taken = worker_take(worker);
	if (atomic_load(&worker->loop->stopped))
		return;
	if (taken == LOOP_BATCH || worker->crowded) {
		worker->unsubmitted = 0;
		io_uring_submit_and_get_events(&worker->ring);
	} else {
		worker_wait(worker, true);
	}
	worker->crowded = worker_reap(worker) > 1;
}

/* ---- a thread's life ---- */

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
	return err;
}

/* LOOP_SLOTS more. => 0 or -ENOMEM. */
static int worker_grow(struct worker *worker)
{
	struct block *block = calloc(1, sizeof(*block));
	unsigned int i;

	if (!block)
		return -ENOMEM;
	block->memory = mmap(NULL, (size_t)LOOP_SLOTS * LOOP_SLOT_BYTES,
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			     0);
	if (block->memory == MAP_FAILED) {
		free(block);
		return -ENOMEM;
	}
	for (i = LOOP_SLOTS; i-- > 0; ) {
		block->slots[i].worker = worker;
		block->slots[i].page = block->memory +
			(size_t)i * LOOP_SLOT_BYTES;
		/* The slots that are taken first have all, the others what
		 * small requests need. */
		memory_populate(block->slots[i].page,
				i < LOOP_WHOLE ? LOOP_SLOT_BYTES : LOOP_READY);
		loop_free(&block->slots[i]);
	}
	block->next = worker->blocks;
	worker->blocks = block;
	worker->nblocks++;
	return 0;
}

/* The slots outlive the thread: others may be looking at them. */
static void worker_free(struct worker *worker)
{
	struct block *block, *next;

	for (block = worker->blocks; block; block = next) {
		next = block->next;
		munmap(block->memory, (size_t)LOOP_SLOTS * LOOP_SLOT_BYTES);
		free(block);
	}
}

static void worker_close(struct worker *worker)
{
	if (worker->ring.ring_fd > 0)
		io_uring_queue_exit(&worker->ring);
}

/* A request that waits must not take the room of those that come. */
static bool worker_has_room(struct worker *worker)
{
	return worker->free || (worker->nblocks < LOOP_BLOCKS &&
				!worker_grow(worker));
}

bool loop_park(struct slot *slot, uint64_t ns,
	       void (*resume)(struct slot *slot, int result))
{
	struct io_uring_sqe *sqe;

	if (!slot->claimed) {
		if (!worker_has_room(slot->worker))
			return false;
		slot->claimed = true;
		slot->worker->inflight++;
	}
	slot->completed = resume;
	slot->pause.tv_sec = ns / 1000000000;
	slot->pause.tv_nsec = ns % 1000000000;
	sqe = loop_sqe(slot);
	io_uring_prep_timeout(sqe, &slot->pause, 0, 0);
	loop_submit(slot, sqe);
	return true;
}

void loop_visit(struct loop *loop,
		void (*visit)(struct slot *slot, void *arg), void *arg)
{
	struct block *block;
	unsigned int i, j;

	for (i = 0; i < loop->nworkers; i++)
		for (block = loop->workers[i].blocks; block;
		     block = block->next)
			for (j = 0; j < LOOP_SLOTS; j++)
				visit(&block->slots[j], arg);
}

static void worker_serve(struct worker *worker)
{
	struct loop *loop = worker->loop;

	worker_poll(worker, loop->wake_fd, NULL);
	while (!atomic_load(&loop->stopped)) {
		if (worker_leads(worker)) {
			worker_lead(worker);
		} else if (worker->inflight) {
			worker_wait(worker, false);
			worker_reap(worker);
		} else {
			worker_stand_by(worker);
		}
	}
	while (worker->inflight) {
		worker_wait(worker, false);
		worker_reap(worker);
	}
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	self = worker;
	memory_prepare_thread();
	worker->err = caller_start() ?: worker_open_ring(worker);
	if (!worker->err)
		worker->err = worker_grow(worker);
	sem_post(&worker->loop->ready);
	if (!worker->err)
		worker_serve(worker);
	worker_close(worker);
	return NULL;
}

/* ---- all of them ---- */

static unsigned int loop_default_threads(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	/* Stand-bys, for as many calls that wait at a time. */
	return cpus < 4 ? 4 : cpus > 8 ? 8 : cpus;
}

struct loop *loop_create(struct fuse_session *se, unsigned int threads)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	unsigned int i;

	if (!loop)
		return NULL;
	loop->se = se;
	loop->fd = fuse_session_fd(se);
	loop->nworkers = threads ? threads : loop_default_threads();
	loop->room = loop->nworkers + LOOP_EXTRA;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC);
	loop->ended_fd = eventfd(0, EFD_CLOEXEC);
	loop->workers = calloc(loop->room, sizeof(*loop->workers));
	if (!loop->workers || loop->wake_fd < 0 || loop->ended_fd < 0) {
		loop_destroy(loop);
		return NULL;
	}
	sem_init(&loop->ready, 0, 0);
	for (i = 0; i < loop->room; i++) {
		loop->workers[i].loop = loop;
		loop->workers[i].rank = i;
	}
	return loop;
}

static void loop_report_start(int err)
{
	if (err == -ENOSYS || err == -EPERM)
		report("io_uring: %s: the kernel has none or forbids it; see "
		       "/proc/sys/kernel/io_uring_disabled (0 allows it)",
		       strerror(-err));
	else
		report("serving threads: %s", strerror(-err));
}

int loop_start(struct loop *loop)
{
	unsigned int i, started = 0;
	int err = 0;

	fcntl(loop->fd, F_SETFL, O_RDWR | O_NONBLOCK);
	while (!err && started < loop->nworkers) {
		struct worker *worker = &loop->workers[started];

		err = -pthread_create(&worker->thread, NULL, worker_main,
				      worker);
		if (!err)
			started++;
	}
	for (i = 0; i < started; i++)
		while (sem_wait(&loop->ready))
			;
	for (i = 0; i < started && !err; i++)
		err = loop->workers[i].err;
	if (!err)
		return 0;
	loop_report_start(err);
	loop->nworkers = started;
	loop_stop(loop);
	loop_join(loop);
	return err;
}

void loop_reinforce(struct loop *loop)
{
	unsigned int n = loop->nworkers, sum = 0, i, slow;
	struct worker *worker = &loop->workers[n];

	for (i = 0; i < n; i++) {
		slow = atomic_load(&loop->workers[i].slow);
		sum += slow;
		if (!(slow & 1))
			break;
	}
	if (i < n || sum != loop->stuck_sum) {
		loop->stuck_sum = sum;
		return;
	}
	if (worker->rank >= loop->room || atomic_load(&loop->stopped) ||
	    pthread_create(&worker->thread, NULL, worker_main, worker))
		return;
	atomic_store(&loop->nworkers, n + 1);
}

int loop_ended_fd(const struct loop *loop)
{
	return loop->ended_fd;
}

static bool loop_quiet(struct loop *loop)
{
	struct pollfd requests = { .fd = loop->fd, .events = POLLIN };
	unsigned int i;

	if (poll(&requests, 1, 0) > 0)
		return false;
	for (i = 0; i < loop->nworkers; i++)
		if (loop->workers[i].inflight ||
		    atomic_load(&loop->workers[i].slow) & 1)
			return false;
	return true;
}

/*
 * Quiet twice in a row, some milliseconds apart, means that the clients have
 * nothing on the way; those who go on for ever are cut off at the limit.
 */
void loop_drain(struct loop *loop, unsigned int limit_ms)
{
	const struct timespec pause = { 0, 5000000 };
	unsigned int waited, quiet = 0;

	atomic_store(&loop->draining, true);
	for (waited = 0; waited < limit_ms && quiet < 2; waited += 5) {
		if (atomic_load(&loop->stopped))
			return;
		quiet = loop_quiet(loop) ? quiet + 1 : 0;
		nanosleep(&pause, NULL);
	}
	loop_stop(loop);
}

int loop_join(struct loop *loop)
{
	struct timespec until;
	unsigned int i;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LOOP_JOIN_S;
	for (i = 0; i < loop->nworkers; i++) {
		if (pthread_timedjoin_np(loop->workers[i].thread, NULL,
					 &until))
			return -ETIMEDOUT;
		if (!err)
			err = loop->workers[i].err;
	}
	return err;
}

void loop_destroy(struct loop *loop)
{
	unsigned int i;

	for (i = 0; loop->workers && i < loop->nworkers; i++)
		worker_free(&loop->workers[i]);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->ended_fd >= 0)
		close(loop->ended_fd);
	free(loop->workers);
	free(loop);
}
