/*
 * runner_int.h - between the parts of the workload runner.
 *
 *	runner.c	sessions, runs, the host thread that waits
 *	runner_env.c	names and variables; expressions
 *	runner_branch.c	the interpreter: which statement is next; branches
 *	runner_mem.c	statements that access memory
 *	runner_calls.c	statements that call the machine, and the rest
 *
 * A branch is one thread of control of a program: a vm_thread, the statement
 * it is at, and a cursor inside that statement. Its step function runs a
 * bounded piece and returns. An access that faults leaves the cursor where it
 * is, so that calling again makes the same access again: nothing else of a
 * branch survives a wait.
 *
 * Locks: session->lock (names, variables, marks), run->lock (the tree of
 * branches, the result), session->print_lock. The first two are leaves but
 * for vm_thread_wake(), called under run->lock, so that the parent cannot end
 * between the count and the wake. None is held, nor taken, between
 * cpu_enter() and cpu_leave().
 */
#ifndef PAGER_RUNNER_INT_H
#define PAGER_RUNNER_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runner.h"
#include "vm.h"
#include "workload.h"
#include "zipf.h"

struct cpu;

#define NAME_BUF	64		/* a name with its $vars put in */

struct env {
	pthread_mutex_t lock;
	void *root;			/* tsearch(3) of struct env_entry */
};

struct mark {
	char *name;
	uint64_t value;
};

struct runner_session {
	struct vm *vm;
	struct runner_opts opts;
	struct env env;
	pthread_mutex_t print_lock;
	pthread_mutex_t mark_lock;
	struct mark *marks;
	unsigned nmarks;
	bool once;			/* for one run: goes with it */
	atomic_bool stop;
	atomic_uint_fast64_t nruns;	/* each draws its own seed */
	atomic_uint_fast64_t statements, total, accesses, planned;
};

static inline bool session_stopped(const struct runner_session *s)
{
	return atomic_load_explicit(&s->stop, memory_order_relaxed) ||
	       (s->opts.stop && atomic_load_explicit(s->opts.stop,
						     memory_order_relaxed));
}

/* One execution of one program. */
struct run {
	struct runner_session *session;
	const struct program *prog;
	int self;			/* the process called so here; 0: none */
	const atomic_bool *stop;	/* set: stop this one; or NULL */
	struct program *owned;		/* freed with the run, or NULL */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool done;			/* lock */
	bool abandoned;			/* lock: the machine's, until its end */
	atomic_bool failed;
	atomic_uint sleeping;		/* branches that wait for the clock */
	struct runner_result res;	/* lock; the first failure */
	FILE *out;			/* print_lock; NULL: session's print */
	char *output;			/* of out */
	size_t output_len;
};

/* What a statement remembers between two calls. Zero when it begins. */
struct cursor {
	bool begun;
	bool drawn;			/* touch: slot and store are chosen */
	bool store;
	bool bad;			/* content is not what was expected */
	unsigned phase;
	int pid;
	int sig;			/* the fault that was caught */
	const char *why;
	uint64_t fault_addr;
	uint64_t base, addr, len;	/* base: of the mapping named, or 0 */
	uint64_t src, value, count, stride;
	uint64_t pos;			/* how far it is */
	uint64_t slot, nslots;
	uint64_t wanted, found, where;	/* if bad */
	uint64_t deadline;
	struct rng rng;
	struct zipf zipf;
	unsigned nbuf;			/* copy: bytes loaded, not yet stored */
	uint8_t buf[64];
};

/* A block that is being run. */
struct frame {
	const struct wl_stmt *owner;
	uint64_t index, count;
	bool single;			/* one statement only: of `together` */
};

struct branch {
	struct run *run;
	struct branch *parent;
	unsigned *pending;		/* the parent's count this one is in */
	struct vm_thread *thread;
	const struct wl_stmt *stmt;	/* NULL: at the end */
	const struct wl_stmt *outer;	/* `expect error` around stmt */
	bool expected;			/* it failed as it should */
	bool faulted;			/* the last step ended in a fault */
	bool parked;			/* run->lock */
	bool asleep;			/* counted in run->sleeping */
	bool finished;
	unsigned together, background;	/* live children; run->lock */
	unsigned depth, floor;		/* frames, those of the parent */
	unsigned budget, unpolled;	/* accesses left in this step */
	uint64_t done;			/* accesses of this step */
	struct rng rng;
	struct cursor cur;
	struct frame frame[WL_NEST_MAX + 1];
};

enum op_result {
	OP_DONE,
	OP_MORE,			/* call again */
	OP_FAULT,			/* settle the fault, call again */
	OP_WAIT,			/* parked */
	OP_ENTER,			/* b->stmt was changed to a body */
	OP_FAIL,			/* branch_fail() was called */
};

#define OP_INSIDE	1u		/* the thread must be in the process */
#define OP_OUTSIDE	2u		/* ... must not */
#define OP_CATCH	4u		/* faults are what it waits for */

struct op {
	/* Once, after the common arguments were evaluated. */
	enum op_result (*begin)(struct branch *b);
	/* Between cpu_enter() and cpu_leave(): accesses only. */
	enum op_result (*access)(struct branch *b, struct cpu *cpu);
	/* Outside, when access is done. */
	enum op_result (*call)(struct branch *b);
	unsigned flags;
};

/* ---- runner_env.c ---- */

void env_init(struct env *env);
void env_destroy(struct env *env);
/* => 0, -ENOMEM */
int env_set_var(struct env *env, const char *name, uint64_t v);
int env_set_proc(struct env *env, const char *name, int pid);
int env_set_map(struct env *env, int pid, const char *name, uint64_t addr,
		uint64_t len);
int env_fork(struct env *env, int parent, int child);
bool env_get_map(struct env *env, int pid, const char *name, uint64_t *addr,
		 uint64_t *len);
bool env_get_proc(struct env *env, const char *name, int *pid);
/* Forget the mappings, and the name if it is still that of @pid: what it is
 * made of may have changed since ($i). */
void env_exit(struct env *env, const char *name, int pid);

/* The common arguments of b->stmt into b->cur. => OP_DONE, OP_FAIL. */
enum op_result branch_arguments(struct branch *b);
enum op_result branch_eval(struct branch *b, const struct wl_expr *e,
			   uint64_t *v, uint64_t *base);
/* @name with its $vars replaced. */
enum op_result branch_name(struct branch *b, const char *name,
			   char out[NAME_BUF]);

/* ---- runner.c ---- */

void run_free(struct run *run);

/* ---- runner_branch.c ---- */

/* Start the program's own branch. => 0, -ENOMEM. */
int branch_start(struct run *run, const struct wl_stmt *first, uint64_t seed);
/* A child of @b that runs @first, @index in the block of @owner. */
enum op_result branch_spawn(struct branch *b, const struct wl_stmt *first,
			    bool single, uint64_t index, unsigned *pending);
/* Park until *pending is 0. */
enum op_result branch_await(struct branch *b, unsigned *pending);
/* For @ns; then the statement is called again. => OP_WAIT */
enum op_result branch_sleep(struct branch *b, uint64_t ns);
/* Begin the body of b->stmt, @count times. */
enum op_result branch_enter(struct branch *b, uint64_t count);

/* Always OP_FAIL. @err: -errno, or 0 for what no `expect error` can mean. */
enum op_result branch_fail(struct branch *b, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The machine said @err. */
enum op_result branch_refused(struct branch *b, int err);

/* ---- runner_mem.c ---- */

enum op_result load_access(struct branch *b, struct cpu *cpu);
enum op_result load_done(struct branch *b);
enum op_result store_begin(struct branch *b);
enum op_result store_access(struct branch *b, struct cpu *cpu);
enum op_result fetch_access(struct branch *b, struct cpu *cpu);
enum op_result range_begin(struct branch *b);
enum op_result fill_access(struct branch *b, struct cpu *cpu);
enum op_result check_access(struct branch *b, struct cpu *cpu);
enum op_result copy_begin(struct branch *b);
enum op_result copy_access(struct branch *b, struct cpu *cpu);
enum op_result touch_begin(struct branch *b);
enum op_result touch_access(struct branch *b, struct cpu *cpu);
enum op_result content_done(struct branch *b);
enum op_result fault_access(struct branch *b, struct cpu *cpu);
enum op_result fault_done(struct branch *b);
enum op_result value_done(struct branch *b);

/* ---- runner_calls.c ---- */

enum op_result call_proc(struct branch *b);
enum op_result call_fork(struct branch *b);
enum op_result call_exit(struct branch *b);
enum op_result call_map(struct branch *b);
enum op_result call_unmap(struct branch *b);
enum op_result call_protect(struct branch *b);
enum op_result call_advise(struct branch *b);
enum op_result call_pagetable(struct branch *b);
enum op_result call_explain(struct branch *b);
enum op_result call_msync(struct branch *b);
enum op_result call_brk(struct branch *b);
enum op_result call_sync(struct branch *b);
enum op_result call_evict(struct branch *b);
enum op_result call_check(struct branch *b);
enum op_result call_set(struct branch *b);
enum op_result call_mark(struct branch *b);
enum op_result call_print(struct branch *b);
enum op_result call_seed(struct branch *b);
enum op_result call_sleep(struct branch *b);
enum op_result call_expect_var(struct branch *b);
enum op_result call_expect_count(struct branch *b);
enum op_result call_expect_error(struct branch *b);
enum op_result call_do(struct branch *b);
enum op_result call_repeat(struct branch *b);
enum op_result call_together(struct branch *b);
enum op_result call_spawn(struct branch *b);
enum op_result call_wait(struct branch *b);

bool runner_compare(enum wl_cmp cmp, uint64_t a, uint64_t b);
const char *runner_compare_name(enum wl_cmp cmp);

#endif
