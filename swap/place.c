/*
 * place.c - see place.h.
 *
 * A score says how lone the thread has been of late. It rises by one and falls
 * faster, so that a mixture counts as a crowd; below zero it says how crowded.
 * On the way from one to the other the thread is let go. So is a kept thread
 * every PLACE_RENEW rounds, for a moment: if its CPU has become a busy one,
 * the scheduler can find a better, and the next ones are counted from there.
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

#define PLACE_SURE	16	/* rounds before a thread is kept */
#define PLACE_MOST	64
#define PLACE_FALL	8
#define PLACE_RENEW	8192
#define PLACE_FIRST	4	/* rounds for the same client before a look */
#define PLACE_LOOK	128	/* and between two */

static __thread struct {
	int score;
	int kept;			/* CPU + 1: on it; negative: off it */
	unsigned rounds;
	bool known;
	cpu_set_t home;			/* where it may run when free */
	pid_t client;
	unsigned looked;
	int client_cpu;
} me;

static void place_free(void)
{
	if (me.kept)
		sched_setaffinity(0, sizeof(me.home), &me.home);
	me.kept = 0;
}

/* On @cpu, or on any but it. @cpu < 0: no longer. */
static void place_keep(int cpu, bool on)
{
	int kept = on ? cpu + 1 : -(cpu + 1);
	cpu_set_t set;

	if (cpu < 0 && (me.kept > 0) == on)
		place_free();
	if (cpu < 0 || cpu >= CPU_SETSIZE || kept == me.kept)
		return;
	if (!me.known)
		me.known = !sched_getaffinity(0, sizeof(me.home), &me.home);
	if (!me.known || !CPU_ISSET(cpu, &me.home))
		return;
	if (on) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
	} else {
		set = me.home;
		CPU_CLR(cpu, &set);
	}
	if (CPU_COUNT(&set) && !sched_setaffinity(0, sizeof(set), &set))
		me.kept = kept;
}

/* One more round, of the kind that @step's sign says. */
static void place_count(int step)
{
	int score = me.score + step;

	if (score > PLACE_MOST)
		score = PLACE_MOST;
	else if (score < -PLACE_MOST)
		score = -PLACE_MOST;
	if (++me.rounds % PLACE_RENEW == 0)
		score = 0;
	if (!score || score * me.kept < 0)
		place_free();
	me.score = score;
}

void place_lone(int cpu)
{
	place_count(1);
	if (me.score >= PLACE_SURE)
		place_keep(cpu, true);
}

void place_crowd(int cpu)
{
	place_count(-PLACE_FALL);
	if (me.score <= -PLACE_SURE)
		place_keep(cpu, false);
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

	if (abs(me.score) + 1 < PLACE_SURE || tid <= 0)
		return -1;		/* not worth a look yet */
	if (tid != me.client) {
		/* One of many, perhaps: then none is looked for. */
		me.client = tid;
		me.looked = 0;
		me.client_cpu = -1;
	}
	if (++me.looked % PLACE_LOOK == PLACE_FIRST)
		looker_ask(tid);
	found = atomic_load(&looker.found);
	if (found >> 32 == (uint64_t)tid)
		me.client_cpu = (int)(uint32_t)found - 1;
	return me.client_cpu;
}
