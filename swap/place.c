/*
 * place.c - see place.h.
 *
 * A score says how lone the thread has been of late. It rises by one and falls
 * faster, so that a mixture counts as a crowd. Every PLACE_RENEW rounds a kept
 * thread is let go for a moment: if its CPU has become a busy one, the
 * scheduler can find a better, and the next ones are counted from there.
 *
 * A client that nothing holds where it is may leave when the thread comes: the
 * scheduler prefers an idle CPU to that of who wakes. Then following is in
 * vain; the thread is free again, and tries it twice as late the next time.
 *
 * A client does not know what it waits for. For memory behind a server it
 * should stay, so that the server can come (15 us against 50 on a virtual
 * machine). For a disk it should be on the CPU which that interrupts, or each
 * answer wakes a halted one (100 us against 66), and the scheduler leaves it
 * wherever it is. So it climbs: at times, and when answers come later than
 * they did, it tries another place, and stays if they come sooner there. Of the
 * rounds of a trial the last STAY_SAMPLES count, by their median; the others
 * are for the server to follow.
 *
 * Where a client runs is in /proc, which must not be read by who serves it:
 * the kernel makes the reader wait while the client is in execve(), and there
 * the client waits for us when it closes a file of ours. So a thread of its
 * own looks, and what it found is taken by the next request.
 */
#include "swap/place.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE_LONE	16	/* rounds before a thread is kept */
#define PLACE_MOST	64
#define PLACE_FALL	8
#define PLACE_RENEW	8192
#define PLACE_PATIENCE	65536
#define PLACE_FIRST	4	/* rounds for the same client before a look */
#define PLACE_LOOK	128	/* and between two */

#define STAY_SAMPLES	32
#define STAY_SOON	(2 * STAY_SAMPLES)
#define STAY_TRIAL	384
#define STAY_REST	2048	/* rounds between two trials, */
#define STAY_MOST	65536	/* and when none has helped for long */

static __thread struct {
	int score;
	int kept;			/* CPU + 1; 0: free */
	unsigned rounds;
	unsigned moved;			/* round of the last move */
	unsigned patience;		/* rounds before the next one */
	bool known;
	cpu_set_t home;			/* where it may run when free */
	pid_t client;
	unsigned looked;
	int client_cpu;
	unsigned stayed;		/* rounds of this trial, or since it */
	unsigned rest;			/* after so many comes the next */
	unsigned trials;
	bool trying;
	int left;			/* the CPU it left for this one, */
	bool left_free;
	uint64_t usual_ns;		/* and how long it waited there */
	uint64_t sample[STAY_SAMPLES];
} me;

static void place_keep(int cpu)
{
	cpu_set_t set;

	if (!me.known)
		me.known = !sched_getaffinity(0, sizeof(me.home), &me.home);
	if (!me.known || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &me.home))
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) == 0)
		me.kept = cpu + 1;
}

static void place_free(void)
{
	if (me.kept)
		sched_setaffinity(0, sizeof(me.home), &me.home);
	me.kept = 0;
}

/* Go to the client, on @cpu; or let it go, if it left when we came. */
static void place_follow(int cpu)
{
	unsigned stayed = me.rounds - me.moved;

	if (me.kept == cpu + 1) {
		if (stayed > PLACE_RENEW / 2)
			me.patience = 0;
	} else if (stayed >= me.patience) {
		me.moved = me.rounds;
		me.patience = me.patience ? me.patience * 2 : PLACE_LOOK;
		if (me.patience > PLACE_PATIENCE)
			me.patience = PLACE_PATIENCE;
		place_keep(cpu);
	} else {
		place_free();
	}
}

void place_lone(int cpu)
{
	if (me.score < PLACE_MOST)
		me.score++;
	if (++me.rounds % PLACE_RENEW == 0) {
		place_long();
	} else if (cpu < 0) {
		place_free();
	} else if (me.score >= PLACE_LONE) {
		place_follow(cpu);
	}
}

void place_crowd(void)
{
	me.score -= PLACE_FALL;
	if (me.score <= 0)
		place_long();
}

void place_long(void)
{
	me.score = 0;
	me.stayed = me.rest = 0;
	me.usual_ns = 0;
	me.trying = false;
	place_free();
}

static int stay_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t stay_median(void)
{
	qsort(me.sample, STAY_SAMPLES, sizeof(me.sample[0]), stay_compare);
	return me.sample[STAY_SAMPLES / 2];
}

/* The one after @cpu of those it may run on. */
static int stay_next(int cpu)
{
	int next = cpu;

	do {
		next = (next + 1) % CPU_SETSIZE;
	} while (next != cpu && me.known && !CPU_ISSET(next, &me.home));
	return next;
}

static void stay_try(void)
{
	me.left = sched_getcpu();
	me.left_free = !me.kept;
	me.usual_ns = stay_median();
	me.trying = true;
	me.stayed = 0;
	if (me.trials++ % 2)
		place_keep(stay_next(me.left));
	else if (me.kept)
		place_free();
	else
		place_keep(me.left);
}

/* Where a free one was is where the scheduler would leave it. */
static void stay_back(void)
{
	place_keep(me.left);
	if (me.left_free)
		place_free();
}

static void stay_decide(void)
{
	uint64_t ns = stay_median();

	me.trying = false;
	me.stayed = 0;
	if (ns < me.usual_ns - me.usual_ns / 16) {
		me.usual_ns = ns;
		me.rest = STAY_REST;
		return;
	}
	stay_back();
	me.rest = me.rest < STAY_REST ? STAY_REST : me.rest * 4;
	if (me.rest > STAY_MOST)
		me.rest = STAY_MOST;
}

/* The server follows who is kept. One who was kept, and so was followed, sees
 * soon that another place is worse. */
static bool stay_tried(void)
{
	if (me.stayed == STAY_SOON)
		return !me.left_free &&
			stay_median() > me.usual_ns + me.usual_ns / 4;
	return me.stayed == STAY_TRIAL;
}

/* => it is time for a trial, or waits have become longer. */
static bool stay_tired(void)
{
	if (me.stayed % STAY_REST)
		return me.stayed == STAY_SAMPLES && !me.usual_ns;
	return me.stayed >= me.rest ||
		stay_median() > me.usual_ns + me.usual_ns / 4;
}

void place_stay(uint64_t ns)
{
	if (me.score < PLACE_MOST)
		me.score++;
	if (me.score < PLACE_LONE)
		return;
	me.sample[me.stayed % STAY_SAMPLES] = ns;
	me.stayed++;
	if (me.trying && stay_tried())
		stay_decide();
	else if (!me.trying && stay_tired())
		stay_try();
}

/* Field 39 of /proc/TID/stat; the second may hold anything, in brackets. */
static int place_parse(char *stat)
{
	char *p = strrchr(stat, ')');

	for (int field = 2; p && field < 39; field++) {
		p = strchr(p, ' ');
		if (p)
			p++;
	}
	return p ? atoi(p) : -1;
}

static int place_look(pid_t tid)
{
	char buf[1024];
	ssize_t n;
	int fd;

	snprintf(buf, sizeof(buf), "/proc/%d/stat", (int)tid);
	fd = open(buf, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	buf[n] = 0;
	return place_parse(buf);
}

static struct {
	pthread_once_t once;
	sem_t wake;
	atomic_int asked;		/* for the place of this thread */
	_Atomic uint64_t found;		/* TID << 32 | CPU + 1 */
} looker = { .once = PTHREAD_ONCE_INIT };

static void *looker_run(void *arg)
{
	sigset_t all;
	pid_t tid;

	(void)arg;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	/* Should it wait when all others are killed: not with /dev/fuse open,
	 * whose end is what frees the client. */
	if (close_range(0, ~0U, CLOSE_RANGE_UNSHARE) < 0)
		return NULL;
	for (;;) {
		while (sem_wait(&looker.wake) < 0)
			;
		tid = atomic_exchange(&looker.asked, 0);
		if (tid > 0)
			atomic_store(&looker.found, (uint64_t)tid << 32 |
				     (uint32_t)(place_look(tid) + 1));
	}
	return NULL;
}

static void looker_start(void)
{
	pthread_t thread;

	sem_init(&looker.wake, 0, 0);
	if (pthread_create(&thread, NULL, looker_run, NULL) == 0)
		pthread_detach(thread);
}

static void looker_ask(pid_t tid)
{
	pthread_once(&looker.once, looker_start);
	if (atomic_exchange(&looker.asked, tid) == 0)
		sem_post(&looker.wake);
}

int place_client(pid_t tid)
{
	uint64_t found;

	if (me.score + 1 < PLACE_LONE || tid <= 0)
		return -1;		/* not worth a look yet */
	if (tid != me.client) {
		/* One of many, perhaps: then none is looked for. */
		me.client = tid;
		me.looked = 0;
		me.client_cpu = -1;
		me.patience = 0;	/* this one may stay */
	}
	if (++me.looked % PLACE_LOOK == PLACE_FIRST)
		looker_ask(tid);
	found = atomic_load(&looker.found);
	if (found >> 32 == (uint64_t)tid)
		me.client_cpu = (int)(uint32_t)found - 1;
	return me.client_cpu;
}
