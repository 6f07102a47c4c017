/*
 * view_call.c - a FUSE request whose answer may have to wait.
 *
 * A client that waits in read(2) or write(2) for us cannot be killed before
 * we reply: the kernel sends an interrupt and waits. Replying EINTR to every
 * interrupt would break scripts (a shell whose child exits gets one in the
 * middle of its echo), so the caller is looked at: one with SIGKILL pending
 * (which is how the kernel carries out any deadly signal) is let go, and the
 * work goes on without it, until it sees that it is wanted no more. Everyone
 * else waits for the real answer.
 *
 * When the view is taken down nobody waits for any of them: so all that are
 * under way stand in a list.
 *
 * Invariant: of the worker and the interrupt, the one that sets answered
 * replies; nobody touches req after that but him.
 *
 * Locks: libfuse's request lock -> call->lock -> libfuse's session lock. So
 * libfuse is called with call->lock held only in the interrupt, which has
 * the request's already. The list's lock is alone.
 */
#include "fs/view_call.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- all of them ---- */

void view_calls_init(struct view_calls *calls)
{
	pthread_mutex_init(&calls->lock, NULL);
	LIST_INIT(&calls->list);
}

void view_calls_stop(struct view_calls *calls)
{
	struct view_call *call;

	pthread_mutex_lock(&calls->lock);
	LIST_FOREACH(call, &calls->list, link)
		atomic_store(&call->gone, true);
	pthread_mutex_unlock(&calls->lock);
}

void view_calls_destroy(struct view_calls *calls)
{
	pthread_mutex_destroy(&calls->lock);
}

static void calls_add(struct view_calls *calls, struct view_call *call)
{
	call->all = calls;
	pthread_mutex_lock(&calls->lock);
	LIST_INSERT_HEAD(&calls->list, call, link);
	pthread_mutex_unlock(&calls->lock);
}

static void calls_remove(struct view_call *call)
{
	pthread_mutex_lock(&call->all->lock);
	LIST_REMOVE(call, link);
	pthread_mutex_unlock(&call->all->lock);
}

/* ---- one ---- */

/* Not in our pid name space: pid 0, unknown, as if it lived. */
static bool caller_dying(fuse_req_t req)
{
	char path[48], line[256];
	unsigned long long pending = 0;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status",
		 (int)fuse_req_ctx(req)->pid);
	status = fopen(path, "re");
	if (!status)
		return false;
	while (fgets(line, sizeof(line), status))
		if (!strncmp(line, "SigPnd:", 7))
			pending = strtoull(line + 7, NULL, 16);
	fclose(status);
	return pending >> (SIGKILL - 1) & 1;
}

/*
 * libfuse calls this with the request's lock held, which it still unlocks
 * afterwards. Called later, it has a count on the request that keeps it
 * alive over our reply; called from within the registration it has none, so
 * then the reply is left to view_call_start().
 */
static void call_interrupt(fuse_req_t req, void *data)
{
	struct view_call *call = data;

	pthread_mutex_lock(&call->lock);
	call->interrupted = true;
	if (call->armed && !call->answered && caller_dying(req)) {
		call->answered = true;
		atomic_store(&call->gone, true);
		fuse_reply_err(req, EINTR);
	}
	pthread_mutex_unlock(&call->lock);
}

void view_call_start(struct view_call *call, fuse_req_t req,
		     struct view_calls *all, struct view_jobs *jobs)
{
	bool dying;

	call->req = req;
	call->armed = call->interrupted = call->answered = false;
	atomic_init(&call->gone, false);
	pthread_mutex_init(&call->lock, NULL);
	calls_add(all, call);
	fuse_req_interrupt_func(req, call_interrupt, call);
	pthread_mutex_lock(&call->lock);
	call->armed = true;
	dying = !call->answered && call->interrupted && caller_dying(req);
	pthread_mutex_unlock(&call->lock);
	if (dying)
		call->job.run(&call->job, true);
	else
		view_jobs_submit(jobs, &call->job);
}

bool view_call_claim(struct view_call *call)
{
	bool mine;

	pthread_mutex_lock(&call->lock);
	mine = !call->answered;
	call->answered = true;
	pthread_mutex_unlock(&call->lock);
	/* Taking the callback back waits for one that is running. */
	if (mine)
		fuse_req_interrupt_func(call->req, NULL, NULL);
	return mine;
}

void view_call_end(struct view_call *call)
{
	calls_remove(call);
	/* The interrupt that answered may not have let go of it yet. */
	pthread_mutex_lock(&call->lock);
	pthread_mutex_unlock(&call->lock);
	pthread_mutex_destroy(&call->lock);
}
