/*
 * runner.h - run programs of the workload language on a machine.
 *
 * A session is what a series of programs has in common: named processes,
 * their named mappings, $variables, marked counters. `pagervm run` uses one
 * session for one program; the ctl files keep one for many. A program runs as
 * threads of the machine, one for the program and one per concurrent branch;
 * the calls below wait in the host thread until all of them have ended.
 *
 * Several host threads may run programs in one session at once. Processes
 * belong to the machine and stay when the session goes.
 */
#ifndef PAGER_RUNNER_H
#define PAGER_RUNNER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;
struct program;
struct runner_session;

struct runner_opts {
	bool drive;		/* the CPUs are not started: run them here */
	const char *base;	/* of relative paths; NULL: as they are */
	uint64_t seed;
	const atomic_bool *stop;	/* NULL, or as runner_session_stop()
					   once it is true, by whoever sets it:
					   also a signal handler */
	/* One line of `print`, no newline; NULL: to standard output. Called
	 * by one thread at a time, must not run programs in this session. */
	void (*print)(void *arg, const char *line);
	void *arg;
};

struct runner_result {
	int err;		/* 0, or -errno */
	unsigned line;
	char message[512];	/* "FILE:LINE: `statement': why", or empty */
	char *output;		/* runner_session_exec(): what it printed,
				 * whole lines, to be free()d; NULL: nothing */
};

struct runner_progress {
	uint64_t statements;	/* done */
	uint64_t statements_total;	/* of a run; 0: not known beforehand */
	uint64_t accesses;	/* done */
	uint64_t accesses_planned;	/* by the statements begun so far */
};

/* @opts may be NULL; its strings must outlive the session. => 0, -ENOMEM. */
int runner_session_create(struct vm *vm, const struct runner_opts *opts,
			  struct runner_session **session);
/* => nothing runs in it. */
void runner_session_destroy(struct runner_session *s);

/*
 * Run a program to its end. => res->err: 0; -EPROTO: an expectation was not
 * met; -EFAULT: a fault nobody expected; -EINTR: runner_session_stop();
 * -EDEADLK: the machine stands still (its threads still know the program:
 * destroy the machine before the program and the session); else what the
 * failing call said.
 */
int runner_session_run(struct runner_session *s, const struct program *prog,
		       struct runner_result *res);
/* Parse and run @text as @as says. What it prints goes into res->output, not
 * to opts.print. */
struct runner_exec {
	const char *name;		/* stands in messages */
	int self;			/* whom it calls self; 0: nobody */
	const atomic_bool *stop;	/* set: as if it were interrupted; or
					 * NULL */
};
int runner_session_exec(struct runner_session *s, const struct runner_exec *as,
			const char *text, size_t len,
			struct runner_result *res);

/* From any thread, or a signal handler. What runs fails with -EINTR soon; the
 * session runs nothing more. */
void runner_session_stop(struct runner_session *s);
void runner_session_progress(struct runner_session *s,
			     struct runner_progress *p);

/* One program in a session of its own. */
int runner_run(struct vm *vm, const struct program *prog,
	       const struct runner_opts *opts, struct runner_result *res);

#endif
