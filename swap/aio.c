/*
 * aio.c - one io_uring for all page I/O of a machine.
 *
 *	aio_submit -> a free request? prepare its sqe : wait in the queue
 *	kick, reap -> io_uring_enter -> cqe -> transfer_result()
 *		not finished: the next sqe of the same request
 *		finished: the request takes the first io of the queue; the io
 *		goes on a list, and done() is called when all locks are free
 *
 * Locks. aio->reaper: who reads completions, held while sleeping for them.
 * aio->lock, inside it or alone: the submission queue, requests, waiting
 * ios, files, counters; never held over a system call that may sleep. It is
 * also what orders a submitter's stores before done() in another thread.
 *
 * Invariants. A request is free, or has one sqe or cqe under way. The queue is
 * empty unless no request is free. The ring has room for the sqes of all
 * requests twice over: completions can be seen before the kernel gives their
 * entries back, so each request may have a used and a new one.
 *
 * Spinning. A sleeper on an idle CPU takes some 25 us to wake up, on the way
 * there and back as long as the I/O itself. So a reap may watch the
 * completions for a while first; only when one I/O is under way, since with
 * more there is work enough to keep the CPUs from idling, and watching would
 * take one from it. Off unless asked for: it doubles the reads per second when
 * server and reaper run on two idle CPUs, and halves them when the scheduler
 * would have put both on one, which is the faster place.
 *
 * Yielding. With a crowd of I/Os under way the next completion is near, and to
 * wake a sleeper for each costs the one who completes more than the I/O's own
 * work. So the reaper first gives its CPU to whoever else wants it, again and
 * again for a moment, and looks in between; completions arrive on the way out
 * of that call.
 *
 * Waking: an eventfd that a read in the ring is waiting for. wake() writes to
 * it only if someone sleeps; else the flag is enough.
 */
#include "swap/aio.h"
#include "swap/place.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "swap/ring.h"
#include "swap/transfer.h"

#define AIO_CROWD	8	/* I/Os under way */
#define AIO_CROWD_NS	20000	/* about what a wake-up costs */

struct aio_request {
	struct transfer transfer;
	struct aio_request *next;	/* free */
	struct iovec *iov;	/* STORE_MAX_PAGES of them */
	struct statx statx;
};

struct aio {
	struct ring ring;
	uint8_t *ram;

	pthread_mutex_t reaper;
	pthread_mutex_t lock;
	struct aio_request *requests, *free;
	struct iovec *iovs;
	struct store_io *queue, **queue_tail;
	uint8_t *slot_used;	/* registered files */
	struct aio_stats stats;

	unsigned spin_ns;
	atomic_bool woken;
	atomic_bool sleeping;
	int event;
	uint64_t event_count;	/* what the read of it gives */
};

/* A list of finished ios, oldest first. */
struct finished {
	struct store_io *first, **tail;
	int n;
};

/* Let an event complete a read of ours. The NULL of its data tells it. */
static void arm_event(struct aio *aio)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&aio->ring.uring);

	assert(sqe);
	io_uring_prep_read(sqe, aio->event, &aio->event_count,
			   sizeof(aio->event_count), 0);
	io_uring_sqe_set_data(sqe, NULL);
}

/* Prepare the next system call of @r. lock held. */
static void send_next(struct aio *aio, struct aio_request *r)
{
	struct transfer *t = &r->transfer;
	struct aio_file *file = t->file;
	int fd = file->slot >= 0 ? file->slot : file->fd;
	struct io_uring_sqe *sqe;
	struct piece piece;

	sqe = io_uring_get_sqe(&aio->ring.uring);
	assert(sqe);
	switch (t->step) {
	case TRANSFER_SIZE:
		aio->stats.sizes++;
		io_uring_prep_statx(sqe, file->fd, "", AT_EMPTY_PATH |
				    AT_STATX_FORCE_SYNC, STATX_SIZE,
				    &r->statx);
		break;
	case TRANSFER_MOVE:
		transfer_piece(t, r->iov, &piece);
		ring_prep_move(&aio->ring, sqe, t->io->op == STORE_READ, fd,
			       r->iov, piece.niov, piece.offset);
		break;
	case TRANSFER_SYNC:
		io_uring_prep_fsync(sqe, fd, 0);
		break;
	}
	io_uring_sqe_set_data(sqe, r);
	if (t->step == TRANSFER_MOVE && t->tail)
		sqe->fd = file->tail_fd;
	else if (t->step != TRANSFER_SIZE && file->slot >= 0)
		sqe->flags |= IOSQE_FIXED_FILE;
}

/* lock held. => a request is free. */
static void start(struct aio *aio, struct aio_file *file, struct store_io *io)
{
	struct aio_request *r = aio->free;

	aio->free = r->next;
	aio->stats.inflight++;
	io->priv = file;
	transfer_start(&r->transfer, io, file, aio->ram);
	send_next(aio, r);
}

void aio_submit(struct aio *aio, struct aio_file *file, struct store_io *io)
{
	pthread_mutex_lock(&aio->lock);
	if (aio->free) {
		start(aio, file, io);
	} else {
		io->priv = file;
		io->next = NULL;
		*aio->queue_tail = io;
		aio->queue_tail = &io->next;
		aio->stats.queued++;
	}
	pthread_mutex_unlock(&aio->lock);
}

/* A request became free: whoever waits longest has it. lock held. */
static void start_queued(struct aio *aio)
{
	struct store_io *io = aio->queue;

	if (!io)
		return;
	aio->queue = io->next;
	if (!aio->queue)
		aio->queue_tail = &aio->queue;
	aio->stats.queued--;
	start(aio, io->priv, io);
}

static void count(struct aio_stats *stats, const struct store_io *io)
{
	unsigned moved = io->error ? 0 : io->npages - io->npast;

	stats->errors += io->error != 0;
	switch (io->op) {
	case STORE_READ:
		stats->reads++;
		stats->pages_read += moved;
		break;
	case STORE_WRITE:
		stats->writes++;
		stats->pages_written += moved;
		break;
	case STORE_SYNC:
		stats->syncs++;
		break;
	}
}

/* A call of @r came back with @res. lock held. */
static void handle(struct aio *aio, struct aio_request *r, int res,
		   struct finished *done)
{
	struct store_io *io = r->transfer.io;
	bool was_move = r->transfer.step == TRANSFER_MOVE;

	if (!transfer_result(&r->transfer, res, r->statx.stx_size)) {
		aio->stats.resumed += was_move || res < 0;
		send_next(aio, r);
		return;
	}
	count(&aio->stats, io);
	aio->stats.inflight--;
	r->next = aio->free;
	aio->free = r;
	io->next = NULL;
	*done->tail = io;
	done->tail = &io->next;
	done->n++;
	start_queued(aio);
}

/* Take what has completed. reaper held. */
static void drain(struct aio *aio, struct finished *done)
{
	struct io_uring *uring = &aio->ring.uring;
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	if (!io_uring_cq_ready(uring))
		return;
	pthread_mutex_lock(&aio->lock);
	io_uring_for_each_cqe(uring, head, cqe) {
		struct aio_request *r = io_uring_cqe_get_data(cqe);

		if (r)
			handle(aio, r, cqe->res, done);
		else
			arm_event(aio);
		n++;
	}
	pthread_mutex_unlock(&aio->lock);
	io_uring_cq_advance(uring, n);
}

static unsigned flush(struct aio *aio, bool wait)
{
	unsigned submit;

	pthread_mutex_lock(&aio->lock);
	submit = ring_flush(&aio->ring);
	aio->stats.enters += submit || wait;
	pthread_mutex_unlock(&aio->lock);
	return submit;
}

void aio_kick(struct aio *aio)
{
	unsigned submit;

	/* What the kernel does not take now, the next reap offers again. */
	while ((submit = flush(aio, false)))
		if (ring_enter(&aio->ring, submit, false, 0) <= 0)
			break;
}

/* The kernel is short of memory: a moment's peace, so as not to spin. */
static void breathe(int err)
{
	struct timespec ts = { .tv_nsec = 100000 };

	if (err != -EAGAIN && err != -EBUSY && err != -ENOMEM)
		abort();	/* the ring is broken: nothing can complete */
	nanosleep(&ts, NULL);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static unsigned inflight(struct aio *aio)
{
	unsigned n;

	pthread_mutex_lock(&aio->lock);
	n = aio->stats.inflight;
	pthread_mutex_unlock(&aio->lock);
	return n;
}

/* How long to watch before sleeping. *crowd: by yielding. */
static int64_t watch_ns(struct aio *aio, bool *crowd)
{
	unsigned n = inflight(aio);

	*crowd = n >= AIO_CROWD;
	return n == 1 ? aio->spin_ns : *crowd ? AIO_CROWD_NS : 0;
}

/* Submit and watch for a completion or wake() for @limit. reaper held.
 * => whether there is one. */
static bool watch(struct aio *aio, unsigned submit, int64_t limit, bool crowd)
{
	int64_t until = now_ns() + limit;

	if (ring_enter(&aio->ring, submit, false, 0) != (int)submit)
		return true;	/* go round again */
	do {
		if (io_uring_cq_ready(&aio->ring.uring) ||
		    atomic_load(&aio->woken))
			return true;
		if (crowd)
			sched_yield();
	} while (now_ns() < until);
	return false;
}

/* Submit, and sleep unless there is something to reap. reaper held.
 * => false: @timeout_ns is over. */
static bool submit_and_wait(struct aio *aio, int64_t timeout_ns)
{
	bool wait = !io_uring_cq_ready(&aio->ring.uring) &&
		!atomic_load(&aio->woken);
	unsigned submit = flush(aio, wait);
	int64_t limit;
	bool crowd;
	int ret;

	if (!submit && !wait)
		return true;
	limit = wait && submit ? watch_ns(aio, &crowd) : 0;
	if (timeout_ns > 0 && timeout_ns < limit)
		limit = timeout_ns;
	if (limit > 0) {
		if (watch(aio, submit, limit, crowd))
			return true;
		submit = 0;
	}
	ret = ring_enter(&aio->ring, submit, wait, timeout_ns);
	if (ret == -ETIME)
		return false;
	if (ret < 0 && ret != -EINTR)
		breathe(ret);
	return true;
}

/* reaper held. */
static void reap_waiting(struct aio *aio, int64_t timeout_ns,
			 struct finished *done)
{
	int64_t begin = now_ns(), deadline = begin + timeout_ns;
	unsigned waited_for = inflight(aio);

	atomic_store(&aio->sleeping, true);
	for (;;) {
		bool in_time = submit_and_wait(aio, timeout_ns);

		drain(aio, done);
		if (done->n || atomic_exchange(&aio->woken, false) || !in_time)
			break;
		if (timeout_ns < 0)
			continue;
		timeout_ns = deadline - now_ns();
		if (timeout_ns <= 0)
			break;
	}
	atomic_store(&aio->sleeping, false);
	if (waited_for > 1)
		place_crowd();
	else if (waited_for && done->n)
		place_stay(now_ns() - begin);
}

static int call_done(struct aio *aio, struct finished *done)
{
	struct store_io *io = done->first;

	while (io) {
		struct store_io *next = io->next;	/* done frees it */
		struct aio_file *file = io->priv;

		if (file->moved && !io->error && io->op != STORE_SYNC)
			file->moved(file, io, aio->ram);
		io->done(io);
		io = next;
	}
	return done->n;
}

int aio_reap(struct aio *aio, int64_t timeout_ns)
{
	struct finished done = { .tail = &done.first };

	if (timeout_ns) {
		pthread_mutex_lock(&aio->reaper);
		reap_waiting(aio, timeout_ns, &done);
	} else {
		aio_kick(aio);
		if (ring_pending(&aio->ring))
			ring_run_pending(&aio->ring);
		if (pthread_mutex_trylock(&aio->reaper))
			return 0;
		drain(aio, &done);
	}
	pthread_mutex_unlock(&aio->reaper);
	/* What was resumed or taken from the queue should not wait for us. */
	aio_kick(aio);
	return call_done(aio, &done);
}

void aio_wake(struct aio *aio)
{
	uint64_t one = 1;
	int saved = errno;

	atomic_store(&aio->woken, true);
	if (atomic_load(&aio->sleeping))
		while (write(aio->event, &one, sizeof(one)) < 0 &&
		       errno == EINTR)
			;
	errno = saved;
}

void aio_file_add(struct aio *aio, struct aio_file *file)
{
	unsigned slot;

	file->slot = -1;
	pthread_mutex_lock(&aio->lock);
	for (slot = 0; slot < aio->ring.nfiles; slot++)
		if (!aio->slot_used[slot])
			break;
	if (slot < aio->ring.nfiles &&
	    !ring_set_file(&aio->ring, slot, file->fd)) {
		aio->slot_used[slot] = 1;
		file->slot = (int)slot;
	}
	pthread_mutex_unlock(&aio->lock);
}

/* @fresh under the number of @old; what was there is of a dead mount, and
 * closing it asks nobody. */
static int take_over(int *old, int fresh)
{
	if (*old < 0) {
		*old = fresh;
		return 0;
	}
	if (dup3(fresh, *old, O_CLOEXEC) < 0)
		return -errno;
	close(fresh);
	return 0;
}

int aio_file_renew(struct aio *aio, struct aio_file *file,
		   struct aio_file *fresh)
{
	int err;

	pthread_mutex_lock(&aio->lock);
	err = take_over(&file->fd, fresh->fd);
	if (!err) {
		if (file->slot >= 0)
			err = ring_set_file(&aio->ring, (unsigned)file->slot,
					    file->fd);
		/* Without its slot it works by its number. No other file gets
		 * the slot: it may stand in what is about to be sent. */
		if (err)
			file->slot = -1;
		if (fresh->tail_fd >= 0 &&
		    take_over(&file->tail_fd, fresh->tail_fd))
			close(fresh->tail_fd);
		file->direct = fresh->direct;
		file->guarded = fresh->guarded;
		file->split = false;
		err = 0;
	}
	pthread_mutex_unlock(&aio->lock);
	return err;
}

void aio_file_remove(struct aio *aio, struct aio_file *file)
{
	if (file->slot < 0)
		return;
	pthread_mutex_lock(&aio->lock);
	ring_set_file(&aio->ring, (unsigned)file->slot, -1);
	aio->slot_used[file->slot] = 0;
	pthread_mutex_unlock(&aio->lock);
	file->slot = -1;
}

void aio_get_stats(struct aio *aio, struct aio_stats *stats)
{
	pthread_mutex_lock(&aio->lock);
	*stats = aio->stats;
	pthread_mutex_unlock(&aio->lock);
}

static int create_requests(struct aio *aio, unsigned depth)
{
	aio->requests = calloc(depth, sizeof(*aio->requests));
	aio->iovs = calloc((size_t)depth * STORE_MAX_PAGES,
			   sizeof(*aio->iovs));
	aio->slot_used = calloc(aio->ring.nfiles + 1, 1);
	if (!aio->requests || !aio->iovs || !aio->slot_used)
		return -ENOMEM;
	for (unsigned i = 0; i < depth; i++) {
		struct aio_request *r = &aio->requests[i];

		r->iov = aio->iovs + (size_t)i * STORE_MAX_PAGES;
		r->next = aio->free;
		aio->free = r;
	}
	return 0;
}

static void teardown(struct aio *aio)
{
	ring_destroy(&aio->ring);
	close(aio->event);
	free(aio->requests);
	free(aio->iovs);
	free(aio->slot_used);
}

static int setup(struct aio *aio, const struct aio_config *config)
{
	unsigned depth = config->depth ? config->depth : AIO_DEPTH;
	int err;

	aio->event = eventfd(0, EFD_CLOEXEC);
	if (aio->event < 0)
		return -errno;
	err = ring_create(&aio->ring, 2 * (depth + 1), AIO_FILES);
	if (err) {
		close(aio->event);
		return err;
	}
	err = create_requests(aio, depth);
	if (err) {
		teardown(aio);
		return err;
	}
	if (!config->no_register)
		ring_pin(&aio->ring, config->ram, config->ram_size);
	aio->stats.depth = depth;
	aio->stats.fixed_ram = aio->ring.fixed_ram;
	aio->stats.fixed_files = aio->ring.nfiles > 0;
	arm_event(aio);
	return 0;
}

int aio_create(const struct aio_config *config, struct aio **result)
{
	struct aio *aio;
	int err;

	if (!config->ram_size || config->ram_size % STORE_PAGE_SIZE)
		return -EINVAL;
	aio = calloc(1, sizeof(*aio));
	if (!aio)
		return -ENOMEM;
	aio->ram = config->ram;
	aio->spin_ns = config->spin_ns;
	aio->queue_tail = &aio->queue;
	err = setup(aio, config);
	if (err) {
		free(aio);
		return err;
	}
	pthread_mutex_init(&aio->reaper, NULL);
	pthread_mutex_init(&aio->lock, NULL);
	*result = aio;
	return 0;
}

void aio_destroy(struct aio *aio)
{
	assert(!aio->stats.inflight && !aio->queue);
	teardown(aio);
	pthread_mutex_destroy(&aio->reaper);
	pthread_mutex_destroy(&aio->lock);
	free(aio);
}
