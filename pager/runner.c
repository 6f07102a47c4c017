/*
 * runner.c - sessions and runs of the workload language: the host's side.
 *
 * Way of control: runner_session_run() starts the program's first branch as
 * a thread of the machine (runner_branch.c) and waits for its end, asleep if
 * the machine's CPUs have host threads, driving CPU 0 itself if not. The
 * first failure of any branch is the result.
 *
 * Invariants: a run lives until its first branch has ended, which is after
 * all others; a run that stands still is left to the machine, with whose
 * threads it goes. Locks: see runner_int.h.
 */
#include "runner.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "deadline.h"
#include "runner_int.h"

#define STILL_MAX	20		/* looks without progress */
#define STILL_NS	5000000		/* between two of them */
#define STOP_LOOK_MS	100

/* ---- sessions ---- */

int runner_session_create(struct vm *vm, const struct runner_opts *opts,
			  struct runner_session **session)
{
	struct runner_session *s = calloc(1, sizeof(*s));

	*session = s;
	if (!s)
		return -ENOMEM;
	s->vm = vm;
	if (opts)
		s->opts = *opts;
	env_init(&s->env);
	pthread_mutex_init(&s->print_lock, NULL);
	pthread_mutex_init(&s->mark_lock, NULL);
	return 0;
}

void runner_session_destroy(struct runner_session *s)
{
	unsigned i;

	if (!s)
		return;
	for (i = 0; i < s->nmarks; i++)
		free(s->marks[i].name);
	free(s->marks);
	env_destroy(&s->env);
	pthread_mutex_destroy(&s->print_lock);
	pthread_mutex_destroy(&s->mark_lock);
	free(s);
}

void runner_session_stop(struct runner_session *s)
{
	atomic_store(&s->stop, true);
}

void runner_session_progress(struct runner_session *s,
			     struct runner_progress *p)
{
	p->statements = atomic_load(&s->statements);
	p->statements_total = atomic_load(&s->total);
	p->accesses = atomic_load(&s->accesses);
	p->accesses_planned = atomic_load(&s->planned);
}

/* ---- runs ---- */

static struct run *run_new(struct runner_session *s, const struct program *prog)
{
	struct run *run = calloc(1, sizeof(*run));

	if (!run)
		return NULL;
	run->session = s;
	run->prog = prog;
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->ended, NULL);
	return run;
}

void run_free(struct run *run)
{
	struct runner_session *s = run->session;

	assert(!atomic_load(&run->sleeping));
	if (run->out)
		fclose(run->out);
	free(run->output);
	pthread_mutex_destroy(&run->lock);
	pthread_cond_destroy(&run->ended);
	program_free(run->owned);
	free(run);
	if (s->once)
		runner_session_destroy(s);
}

static bool run_done(struct run *run)
{
	bool done;

	pthread_mutex_lock(&run->lock);
	done = run->done;
	pthread_mutex_unlock(&run->lock);
	return done;
}

/* A signal handler can set a flag, but wake nobody: so it is looked at now and
 * then. Who waits for memory of a store that takes nothing, waits for ever. */
static void run_wait(struct run *run)
{
	struct runner_session *s = run->session;
	struct timespec until;

	pthread_mutex_lock(&run->lock);
	while (!run->done) {
		until = deadline_in(STOP_LOOK_MS);
		deadline_wait(&run->ended, &run->lock, &until);
		if (run->done || !session_stopped(s))
			continue;
		pthread_mutex_unlock(&run->lock);
		vm_interrupt(s->vm);
		pthread_mutex_lock(&run->lock);
	}
	pthread_mutex_unlock(&run->lock);
}

static uint64_t run_work(struct run *run)
{
	return atomic_load(&run->session->statements) +
	       atomic_load(&run->session->accesses);
}

/* => false: nothing moves any more, and no branch waits for the clock. */
static bool run_drive(struct run *run)
{
	const struct timespec pause = { 0, STILL_NS };
	uint64_t before;
	int still = 0;

	while (still < STILL_MAX) {
		before = run_work(run);
		vm_run(run->session->vm);
		if (run_done(run))
			return true;
		if (run_work(run) != before ||
		    atomic_load(&run->sleeping))
			still = 0;
		else
			still++;
		nanosleep(&pause, NULL);
	}
	return false;
}

static int result_set(struct runner_result *res, const struct program *prog,
		      int err, const char *what)
{
	res->err = err;
	snprintf(res->message, sizeof(res->message), "%.64s: %s", prog->name,
		 what);
	return err;
}

static int run_abandon(struct run *run, struct runner_result *res)
{
	result_set(res, run->prog, -EDEADLK,
		   "the machine stands still: every branch waits for another");
	pthread_mutex_lock(&run->lock);
	run->abandoned = true;
	pthread_mutex_unlock(&run->lock);
	return res->err;
}

/* What it printed becomes the caller's. */
static void run_output(struct run *run, struct runner_result *res)
{
	bool bad;

	if (!run->out)
		return;
	bad = ferror(run->out);
	bad |= fclose(run->out) != 0;
	run->out = NULL;
	if (bad && !res->err)
		result_set(res, run->prog, -ENOMEM,
			   "no memory for what it printed");
	if (run->output_len > 0) {
		res->output = run->output;
		run->output = NULL;
	}
}

static int run_finish(struct run *run, struct runner_result *res)
{
	if (!run->session->opts.drive)
		run_wait(run);
	else if (!run_drive(run))
		return run_abandon(run, res);
	/* whoever ended the run may still hold the lock */
	pthread_mutex_lock(&run->lock);
	*res = run->res;
	pthread_mutex_unlock(&run->lock);
	run_output(run, res);
	run_free(run);
	return res->err;
}

/* @owned: the run frees the program, also if it fails to start, and keeps what
 * it prints. */
static int session_run(struct runner_session *s, const struct program *prog,
		       struct program *owned, const struct runner_exec *as,
		       struct runner_result *res)
{
	uint64_t seed = rng_mix(s->opts.seed + atomic_fetch_add(&s->nruns, 1));
	struct run *run = run_new(s, prog);
	int err;

	memset(res, 0, sizeof(*res));
	if (!run) {
		program_free(owned);
		if (s->once)
			runner_session_destroy(s);
		return res->err = -ENOMEM;
	}
	run->owned = owned;
	run->self = as->self;
	run->stop = as->stop;
	if (owned)
		run->out = open_memstream(&run->output, &run->output_len);
	atomic_store(&s->total, prog->total_known ? prog->total : 0);
	atomic_store(&s->statements, 0);
	atomic_store(&s->accesses, 0);
	atomic_store(&s->planned, 0);
	err = owned && !run->out ? -ENOMEM :
				   branch_start(run, prog->first, seed);
	if (!err)
		return run_finish(run, res);
	result_set(res, prog, err, strerrordesc_np(-err));
	run_free(run);
	return err;
}

int runner_session_run(struct runner_session *s, const struct program *prog,
		       struct runner_result *res)
{
	static const struct runner_exec as = { NULL, 0, NULL };

	return session_run(s, prog, NULL, &as, res);
}

int runner_session_exec(struct runner_session *s, const struct runner_exec *as,
			const char *text, size_t len,
			struct runner_result *res)
{
	struct program *prog;
	struct wl_error err;

	if (!program_parse(as->name, text, len, &prog, &err))
		return session_run(s, prog, prog, as, res);
	memset(res, 0, sizeof(*res));
	res->err = -EINVAL;
	res->line = err.line;
	snprintf(res->message, sizeof(res->message), "%s", err.message);
	return res->err;
}

int runner_run(struct vm *vm, const struct program *prog,
	       const struct runner_opts *opts, struct runner_result *res)
{
	struct runner_session *s;
	int err = runner_session_create(vm, opts, &s);

	if (err) {
		memset(res, 0, sizeof(*res));
		return res->err = err;
	}
	s->once = true;
	return runner_session_run(s, prog, res);
}
