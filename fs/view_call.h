/*
 * view_call.h - a FUSE request whose answer may have to wait.
 *
 * Embedded first in what describes the request. view_call_start() hands it to
 * the pool; run() does the work and, before it replies, asks with
 * view_call_claim() whether the reply is still wanted. It frees the call.
 */
#ifndef FS_VIEW_CALL_H
#define FS_VIEW_CALL_H

#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "fs/view_jobs.h"

/* All that have begun and not ended. */
struct view_calls {
	pthread_mutex_t lock;		/* list */
	LIST_HEAD(, view_call) list;
};

struct view_call {
	struct view_job job;
	struct view_calls *all;
	LIST_ENTRY(view_call) link;	/* in it */
	fuse_req_t req;
	pthread_mutex_t lock;
	bool armed, interrupted, answered;
	atomic_bool gone;		/* the caller: nobody wants it done */
};

void view_calls_init(struct view_calls *calls);
/* Nobody waits for any of them any more. */
void view_calls_stop(struct view_calls *calls);
void view_calls_destroy(struct view_calls *calls);

/* @call->job.run is set. It may have run and freed @call on return. */
void view_call_start(struct view_call *call, fuse_req_t req,
		     struct view_calls *all, struct view_jobs *jobs);
/* => true: reply to call->req, once; false: its caller is gone, do not. */
bool view_call_claim(struct view_call *call);
/* Before freeing what it is embedded in. */
void view_call_end(struct view_call *call);

#endif
