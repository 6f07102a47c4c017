/*
 * view_jobs.h - a few threads for work that may wait, so that what need not
 * wait never stands behind it.
 */
#ifndef FS_VIEW_JOBS_H
#define FS_VIEW_JOBS_H

#include <pthread.h>
#include <stdbool.h>

struct view_jobs;

struct view_job {
	/* @cancelled: the pool is closing; clean up, do not wait. */
	void (*run)(struct view_job *job, bool cancelled);
	struct view_job *next;
};

/* A thread that leaves all signals to those who want them. => 0, -errno. */
int view_thread_start(pthread_t *thread, void *(*body)(void *), void *arg);
/* Join it, or after @ms milliseconds give it up. => has it ended? */
bool view_thread_join(pthread_t thread, unsigned ms);

/* => NULL: no memory. No thread before the first job. */
struct view_jobs *view_jobs_create(unsigned max_threads);
/* The job's run() is called once, in a thread of the pool, in order of
 * submission; when all are busy it waits for one. If no thread can be had at
 * all it is cancelled in the caller. */
void view_jobs_submit(struct view_jobs *jobs, struct view_job *job);
/*
 * Cancel what has not begun, and wait for the rest, @ms milliseconds at most.
 * => true: all is freed; false: some job is stuck, and nothing is; to be
 * called again, or never. @jobs NULL: nothing.
 */
bool view_jobs_destroy(struct view_jobs *jobs, unsigned ms);

#endif
