/*
 * watchdog.c - a thread that looks at all requests some times in a timeout.
 *
 * Who answers is settled by one atomic operation on request->unique: the
 * watchdog makes it odd by compare-and-swap, the serving thread takes it out
 * by exchange. The exchange is made only when there is a watchdog.
 *
 * Lock: watchdog_lock guards how many are ended and not done, with the gate's
 * reason to look for them; and the thread's sleep.
 */
#include "fs/watchdog.h"
#include "fs/append.h"
#include "fs/gate.h"
#include "fs/loop.h"
#include "fs/op.h"
#include "fs/report.h"
#include "fs/stats.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define WATCHDOG_LOOKS	8	/* in a timeout */
#define WATCHDOG_RETRY_NS 20000000

static pthread_mutex_t watchdog_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t watchdog_wake;
static pthread_t watchdog_thread;
static bool watchdog_on, watchdog_ends;
static uint64_t watchdog_limit_ns;
static unsigned int watchdog_open;	/* ended, and not done */
static struct loop *watchdog_loop;

bool watchdog_answer(struct request *request)
{
	uint64_t unique;

	if (!watchdog_on) {
		request_set(request->unique, 0);
		return true;
	}
	unique = atomic_exchange(&request->unique, 0);
	if (!(unique & 1))
		return true;
	pthread_mutex_lock(&watchdog_lock);
	if (!--watchdog_open)
		gate_rest(GATE_ENDED);
	pthread_mutex_unlock(&watchdog_lock);
	return false;
}

/* ---- ending ---- */

static void watchdog_tell(struct slot *slot, uint64_t unique, uint64_t age)
{
	struct fuse_out_header out = {
		.len = sizeof(out),
		.error = -ETIMEDOUT,
		.unique = unique,
	};
	const struct request *request = &slot->request;

	if (write(loop_device(slot), &out, sizeof(out)) < 0)
		age = 0;	/* nobody waits any more: as well */
	stats_count_ended();
	if (age)
		report("%s at %lu, %lu bytes, of process %u hangs for %.1f s "
		       "in SOURCE: ended with ETIMEDOUT",
		       op_name(op_of(request_get(request->opcode))),
		       request_get(request->offset),
		       request_get(request->length),
		       request_get(request->pid), age / 1e9);
}

static void watchdog_look_at(struct slot *slot, void *arg)
{
	struct request *request = &slot->request;
	uint64_t unique = atomic_load(&request->unique);
	struct file *appends = request_get(request->appends);
	uint64_t since = request_get(request->served_ns);
	uint64_t now = *(const uint64_t *)arg;

	if (!unique || unique & 1 || !since || now < since ||
	    now - since < watchdog_limit_ns)
		return;
	/* Not INIT: after an error the kernel uses the mount for nothing. */
	if (!op_name(op_of(request_get(request->opcode))))
		return;
	/* Open before it is seen as ended: it may be done at once. */
	pthread_mutex_lock(&watchdog_lock);
	if (!watchdog_open++)
		gate_watch(GATE_ENDED);
	if (!atomic_compare_exchange_strong(&request->unique, &unique,
					    unique | 1)) {
		if (!--watchdog_open)
			gate_rest(GATE_ENDED);
		pthread_mutex_unlock(&watchdog_lock);
		return;
	}
	pthread_mutex_unlock(&watchdog_lock);
	append_leave(appends);
	watchdog_tell(slot, unique, now - since);
}

static void *watchdog_main(void *arg)
{
	uint64_t now, next;
	struct timespec until;

	(void)arg;
	pthread_mutex_lock(&watchdog_lock);
	while (!watchdog_ends) {
		next = gate_now() + watchdog_limit_ns / WATCHDOG_LOOKS;
		until.tv_sec = next / 1000000000;
		until.tv_nsec = next % 1000000000;
		pthread_cond_timedwait(&watchdog_wake, &watchdog_lock, &until);
		pthread_mutex_unlock(&watchdog_lock);
		now = gate_now();
		loop_visit(watchdog_loop, watchdog_look_at, &now);
		pthread_mutex_lock(&watchdog_lock);
	}
	pthread_mutex_unlock(&watchdog_lock);
	return NULL;
}

int watchdog_start(struct loop *loop, double seconds)
{
	pthread_condattr_t attr;
	int err;

	if (!seconds)
		return 0;
	watchdog_loop = loop;
	watchdog_limit_ns = seconds * 1e9;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&watchdog_wake, &attr);
	pthread_condattr_destroy(&attr);
	err = -pthread_create(&watchdog_thread, NULL, watchdog_main, NULL);
	if (err)
		report("watchdog: %s", strerror(-err));
	else
		watchdog_on = true;
	return err;
}

void watchdog_stop(void)
{
	if (!watchdog_on)
		return;
	pthread_mutex_lock(&watchdog_lock);
	watchdog_ends = true;
	pthread_cond_signal(&watchdog_wake);
	pthread_mutex_unlock(&watchdog_lock);
	pthread_join(watchdog_thread, NULL);
}

/* ---- what must wait for an ended one ---- */

struct watchdog_search {
	uint64_t fh, nodeid;
	bool found;
};

static void watchdog_compare(struct slot *slot, void *arg)
{
	const struct request *request = &slot->request;
	struct watchdog_search *search = arg;

	if (!(request_get(request->unique) & 1))
		return;
	if (search->fh && (request_get(request->fh) == search->fh ||
			   request_get(request->other_fh) == search->fh))
		search->found = true;
	if (search->nodeid && (request_get(request->nodeid) ==
			       search->nodeid ||
			       request_get(request->other) == search->nodeid))
		search->found = true;
}

static bool watchdog_works_on(uint64_t fh, uint64_t nodeid)
{
	struct watchdog_search search = { fh, nodeid, false };

	loop_visit(watchdog_loop, watchdog_compare, &search);
	return search.found;
}

static bool watchdog_works_on_any(const struct fuse_batch_forget_in *in)
{
	const struct fuse_forget_one *one = (const void *)(in + 1);
	uint32_t i;

	for (i = 0; i < in->count; i++)
		if (watchdog_works_on(0, one[i].nodeid))
			return true;
	return false;
}

static bool watchdog_must_wait(struct slot *slot)
{
	const struct fuse_in_header *in = loop_message(slot);
	const struct fuse_release_in *release = (const void *)(in + 1);

	switch (in->opcode) {
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		return watchdog_works_on(release->fh, 0);
	case FUSE_FORGET:
		return watchdog_works_on(0, in->nodeid);
	case FUSE_BATCH_FORGET:
		return watchdog_works_on_any((const void *)(in + 1));
	default:
		return false;
	}
}

static void watchdog_again(struct slot *slot, int result)
{
	(void)result;
	if (loop_phase(slot) == LOOP_STOPPED) {
		/* It may hang for ever, and nobody will ask again. */
		loop_finish(slot);
		return;
	}
	if (gate_watches(GATE_ENDED) && watchdog_must_wait(slot))
		loop_park(slot, WATCHDOG_RETRY_NS, watchdog_again);
	else
		loop_serve(slot);
}

bool watchdog_defers(struct slot *slot)
{
	uint32_t opcode;

	if (!watchdog_must_wait(slot))
		return false;
	/* It waits for us, and not for the file below. */
	request_set(slot->request.served_ns, 0);
	if (loop_park(slot, WATCHDOG_RETRY_NS, watchdog_again))
		return true;
	/* No room for it to wait: then what it lets go of stays for good. (Only
	 * forgetting has no answer.) */
	opcode = loop_message(slot)->opcode;
	if (opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR)
		gate_reply(slot, 0, NULL, 0);
	return true;
}
