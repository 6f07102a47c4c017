/*
 * view_jobs.c - a pool of threads with a queue before it.
 *
 * A thread is started when a job comes and none is idle, up to the limit;
 * threads stay until the pool is destroyed.
 *
 * Invariant: a job is in the queue or in one thread's hands, never both.
 * Lock: one, around the queue and the counts; held across no run().
 */
#include "fs/view_jobs.h"
#include "fs/join.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

struct view_jobs {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct view_job *head, **tail;
	unsigned nthreads, nidle, nqueued, max_threads;
	bool closing;
};

int view_thread_start(pthread_t *thread, void *(*body)(void *), void *arg)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(thread, NULL, body, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

bool view_thread_join(pthread_t thread, unsigned ms)
{
	if (join_within(thread, ms))
		return true;
	pthread_detach(thread);
	return false;
}

struct view_jobs *view_jobs_create(unsigned max_threads)
{
	struct view_jobs *jobs = calloc(1, sizeof(*jobs));

	if (!jobs)
		return NULL;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_cond_init(&jobs->work, NULL);
	jobs->tail = &jobs->head;
	jobs->max_threads = max_threads;
	return jobs;
}

/* => jobs->lock is held; something is queued. */
static struct view_job *queue_take(struct view_jobs *jobs)
{
	struct view_job *job = jobs->head;

	jobs->head = job->next;
	if (!jobs->head)
		jobs->tail = &jobs->head;
	jobs->nqueued--;
	return job;
}

static void *jobs_thread(void *arg)
{
	struct view_jobs *jobs = arg;
	struct view_job *job;

	pthread_mutex_lock(&jobs->lock);
	while (!jobs->closing) {
		if (!jobs->head) {
			jobs->nidle++;
			pthread_cond_wait(&jobs->work, &jobs->lock);
			jobs->nidle--;
			continue;
		}
		job = queue_take(jobs);
		pthread_mutex_unlock(&jobs->lock);
		job->run(job, false);
		pthread_mutex_lock(&jobs->lock);
	}
	jobs->nthreads--;
	pthread_mutex_unlock(&jobs->lock);
	return NULL;
}

/* => jobs->lock is held. Nobody joins: destroy waits for nthreads == 0. */
static void jobs_grow(struct view_jobs *jobs)
{
	pthread_t thread;

	if (jobs->nidle >= jobs->nqueued || jobs->nthreads == jobs->max_threads)
		return;
	if (view_thread_start(&thread, jobs_thread, jobs))
		return;
	pthread_detach(thread);
	jobs->nthreads++;
}

void view_jobs_submit(struct view_jobs *jobs, struct view_job *job)
{
	bool refused;

	job->next = NULL;
	pthread_mutex_lock(&jobs->lock);
	jobs->nqueued++;
	jobs_grow(jobs);
	refused = jobs->closing || !jobs->nthreads;
	if (refused) {
		jobs->nqueued--;
	} else {
		*jobs->tail = job;
		jobs->tail = &job->next;
		pthread_cond_signal(&jobs->work);
	}
	pthread_mutex_unlock(&jobs->lock);
	if (refused)
		job->run(job, true);
}

/* => jobs->lock is held, and let go around each. */
static void jobs_cancel(struct view_jobs *jobs)
{
	while (jobs->head) {
		struct view_job *job = queue_take(jobs);

		pthread_mutex_unlock(&jobs->lock);
		job->run(job, true);
		pthread_mutex_lock(&jobs->lock);
	}
}

bool view_jobs_destroy(struct view_jobs *jobs, unsigned ms)
{
	unsigned int waited = 0;
	bool left;

	if (!jobs)
		return true;
	pthread_mutex_lock(&jobs->lock);
	jobs->closing = true;
	jobs_cancel(jobs);
	pthread_cond_broadcast(&jobs->work);
	while (jobs->nthreads && waited < ms) {
		pthread_mutex_unlock(&jobs->lock);
		waited += join_tick();
		pthread_mutex_lock(&jobs->lock);
	}
	left = jobs->nthreads;
	pthread_mutex_unlock(&jobs->lock);
	if (left)
		return false;
	pthread_cond_destroy(&jobs->work);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
	return true;
}
