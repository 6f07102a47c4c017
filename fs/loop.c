/*
 * loop.c - the serving threads together: start, drain, end, one more.
 *
 * What one of them does is in worker.c, which of them takes requests in
 * lead.c, and the room for a request in slot.c. All functions here but
 * loop_stop() are the main thread's. No locks: the number
 * of threads only grows, and flags are set once.
 */
#include "fs/loop_int.h"
#include "fs/report.h"
#include "fs/told.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define LOOP_EXTRA	32	/* threads more when all are stuck */
#define LOOP_CALM_MS	500	/* between two looks whether they are, */
#define LOOP_HURRY_MS	20	/* and when they were at the last */
#define LOOP_RING_KIB	32	/* of locked memory, for a thread's ring */
#define LOOP_JOIN_MS	3000	/* what hangs longer in SOURCE is left to it, */
#define LOOP_AGAIN_MS	300	/* when the daemon is told again to end, this */

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopped, true);
	eventfd_write(loop->wake_fd, 1);
	eventfd_write(loop->ended_fd, 1);
	lead_ring_bell(loop);
}

static unsigned int loop_cpus(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus;
}

/* With stand-bys, for as many calls that wait at a time. */
static unsigned int loop_default_threads(void)
{
	unsigned int cpus = loop_cpus();

	return cpus < 4 ? 4 : cpus > 8 ? 8 : cpus;
}

/* Half of the threads, but no more than there are CPUs. */
static void loop_seat(struct loop *loop)
{
	unsigned int cpus = loop_cpus(), seats = (loop->nworkers + 1) / 2, i;

	if (seats > cpus)
		seats = cpus;
	if (seats > LOOP_SEATS)
		seats = LOOP_SEATS;
	loop->nseats = seats;
	atomic_init(&loop->wanted, seats);
	for (i = 0; i < seats; i++)
		loop->seats[i] = i;
}

struct loop *loop_create(struct fuse_session *se, unsigned int threads)
{
	struct loop *loop = calloc(1, sizeof(*loop));
	unsigned int i;

	if (!loop) {
		report("serving threads: %s", strerror(errno));
		return NULL;
	}
	loop->se = se;
	loop->fd = fuse_session_fd(se);
	loop->nworkers = threads ? threads : loop_default_threads();
	loop->room = loop->nworkers + LOOP_EXTRA;
	loop_seat(loop);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC);
	loop->ended_fd = eventfd(0, EFD_CLOEXEC);
	loop->workers = calloc(loop->room, sizeof(*loop->workers));
	if (!loop->workers || loop->wake_fd < 0 || loop->ended_fd < 0) {
		report("serving threads: %s", strerror(errno));
		loop_destroy(loop);
		return NULL;
	}
	sem_init(&loop->ready, 0, 0);
	pthread_mutex_init(&loop->hand_lock, NULL);
	loop->handed_end = &loop->handed;
	for (i = 0; i < loop->room; i++) {
		loop->workers[i].loop = loop;
		loop->workers[i].rank = i;
	}
	return loop;
}

/*
 * Linux counts the rings of users without CAP_IPC_LOCK as memory they lock.
 * (Not all kernels do, nor does a user namespace give the capability: so it is
 * said to whoever has a limit.) => Can it have been that?
 */
static bool loop_report_limit(const struct loop *loop)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) ||
	    limit.rlim_cur == RLIM_INFINITY)
		return false;
	report("serving threads: %s: the rings of io_uring are locked memory, "
	       "of which this user may have %llu KiB: allow %u (ulimit -l; "
	       "systemd: LimitMEMLOCK=), or have fewer threads (-o threads=1)",
	       strerror(ENOMEM), (unsigned long long)limit.rlim_cur >> 10,
	       loop->room * LOOP_RING_KIB);
	return true;
}

static void loop_report_start(const struct loop *loop, int err)
{
	if (err == -ENOMEM && loop_report_limit(loop))
		return;
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
	loop_report_start(loop, err);
	loop->nworkers = started;
	loop_stop(loop);
	return loop_join(loop) == -ETIMEDOUT ? -ETIMEDOUT : err;
}

/* Does a request wait that nobody takes? */
static bool loop_is_asked(const struct loop *loop)
{
	struct pollfd requests = { .fd = loop->fd, .events = POLLIN };

	return poll(&requests, 1, 0) > 0;
}

static bool loop_is_stuck(const struct loop *loop)
{
	unsigned int i;

	for (i = 0; i < loop->nworkers; i++)
		if (atomic_load(&loop->workers[i].slow) & 1)
			return true;
	return false;
}

static unsigned int loop_taken(const struct loop *loop)
{
	unsigned int i, sum = 0;

	for (i = 0; i < loop->nworkers; i++)
		sum += atomic_load(&loop->workers[i].taken);
	return sum;
}

/* One that could not begin is not counted. => The caller waits for it. */
static void loop_add(struct loop *loop)
{
	struct worker *worker;

	if (loop->nworkers == loop->room || atomic_load(&loop->stopped))
		return;
	worker = &loop->workers[loop->nworkers];
	if (pthread_create(&worker->thread, NULL, worker_main, worker))
		return;
	atomic_store(&loop->nworkers, worker->rank + 1);
	while (sem_wait(&loop->ready))
		;
	if (!worker->err)
		return;
	atomic_store(&loop->nworkers, worker->rank);
	pthread_join(worker->thread, NULL);
}

/* Does one wait that was handed over, as at the last look, and none has been
 * begun since? */
static bool loop_is_behind(struct loop *loop)
{
	unsigned int begun = atomic_load(&loop->begun), before = loop->before;
	bool waited = loop->waited;

	loop->before = begun;
	loop->waited = hand_waits(loop);
	return waited && loop->waited && begun == before;
}

unsigned int loop_reinforce(struct loop *loop)
{
	unsigned int taken = loop_taken(loop), before = loop->taken;
	bool behind = loop_is_behind(loop);

	loop->taken = taken;
	if (behind || (taken == before && loop_is_asked(loop) &&
		       loop_is_stuck(loop))) {
		loop->hurries = true;
		loop_add(loop);
	} else if (!loop_is_asked(loop)) {
		loop->hurries = false;
	}
	return loop->hurries || loop->waited ? LOOP_HURRY_MS : LOOP_CALM_MS;
}

int loop_ended_fd(const struct loop *loop)
{
	return loop->ended_fd;
}

static bool loop_quiet(struct loop *loop)
{
	unsigned int i;

	if (loop_is_asked(loop) || hand_waits(loop))
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
	unsigned int waited, quiet = 0, look = 0;

	atomic_store(&loop->draining, true);
	for (waited = 0; waited < limit_ms && quiet < 2 && !told_again();
	     waited += told_wait(5)) {
		if (atomic_load(&loop->stopped))
			return;
		if (waited >= look)
			look = waited + loop_reinforce(loop);
		quiet = loop_quiet(loop) ? quiet + 1 : 0;
	}
	loop_stop(loop);
}

/* => Did @thread end before *@waited ms came to the limit? */
static bool loop_join_one(pthread_t thread, unsigned int *waited)
{
	while (pthread_tryjoin_np(thread, NULL)) {
		if (*waited >= (told_again() ? LOOP_AGAIN_MS : LOOP_JOIN_MS))
			return false;
		*waited += told_wait(1);
	}
	return true;
}

int loop_join(struct loop *loop)
{
	unsigned int i, waited = 0;
	int err = 0;

	for (i = 0; i < loop->nworkers; i++) {
		if (!loop_join_one(loop->workers[i].thread, &waited))
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
		slot_free_all(&loop->workers[i]);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->ended_fd >= 0)
		close(loop->ended_fd);
	free(loop->workers);
	free(loop);
}
