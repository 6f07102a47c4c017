/*
 * runner_branch.c - the interpreter: a branch of a program as a thread of the
 * machine.
 *
 * Way of control: the scheduler calls branch_step(); that runs statements,
 * or pieces of one, until its budget is used or one has to wait, and says
 * which. A statement is: evaluate the arguments once (branch_arguments, then
 * op->begin), be in the right process, make the accesses between cpu_enter()
 * and cpu_leave() (op->access), then call what is to be called outside
 * (op->call). Blocks are frames on a small stack of the branch; branches that
 * run at once are children, each with a copy of that stack, and the parsed
 * program is shared by all.
 *
 * Invariants: a parent outlives its children (it ends when none is left), so
 * a child may always follow b->parent; cur is zero when a statement begins;
 * the first failure of a run is kept, and every other branch stops at its
 * next step.
 *
 * Locks: see runner_int.h.
 */
#include "runner_int.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/cpu.h"

#define STEP_ACCESSES	192	/* in one step, at most */
#define STEP_STATEMENTS	32

static const struct op ops[WL_OPS] = {
	[WL_PROC] = { .call = call_proc },
	[WL_FORK] = { .call = call_fork },
	[WL_EXIT] = { .call = call_exit, .flags = OP_OUTSIDE },
	[WL_MAP] = { .call = call_map },
	[WL_UNMAP] = { .call = call_unmap },
	[WL_PROTECT] = { .call = call_protect },
	[WL_ADVISE] = { .call = call_advise },
	[WL_MSYNC] = { .call = call_msync, .flags = OP_INSIDE },
	[WL_BRK] = { .call = call_brk },
	[WL_LOAD] = { NULL, load_access, load_done, OP_INSIDE },
	[WL_STORE] = { store_begin, store_access, NULL, OP_INSIDE },
	[WL_FETCH] = { NULL, fetch_access, NULL, OP_INSIDE },
	[WL_FILL] = { range_begin, fill_access, NULL, OP_INSIDE },
	[WL_COPY] = { copy_begin, copy_access, NULL, OP_INSIDE },
	[WL_TOUCH] = { touch_begin, touch_access, content_done, OP_INSIDE },
	[WL_EXPECT_VALUE] = { store_begin, load_access, value_done,
			      OP_INSIDE },
	[WL_EXPECT_FILL] = { range_begin, check_access, content_done,
			     OP_INSIDE },
	[WL_EXPECT_FAULT] = { NULL, fault_access, fault_done,
			      OP_INSIDE | OP_CATCH },
	[WL_EXPECT_ERROR] = { .call = call_expect_error },
	[WL_EXPECT_COUNT] = { .call = call_expect_count },
	[WL_EXPECT_DELTA] = { .call = call_expect_count },
	[WL_EXPECT_VAR] = { .call = call_expect_var },
	[WL_SET] = { .call = call_set },
	[WL_MARK] = { .call = call_mark },
	[WL_DO] = { .call = call_do },
	[WL_REPEAT] = { .call = call_repeat },
	[WL_TOGETHER] = { .call = call_together },
	[WL_SPAWN] = { .call = call_spawn },
	[WL_WAIT] = { .call = call_wait },
	[WL_SLEEP] = { .call = call_sleep },
	[WL_SYNC] = { .call = call_sync },
	[WL_EVICT] = { .call = call_evict },
	[WL_PAGETABLE] = { .call = call_pagetable },
	[WL_EXPLAIN] = { .call = call_explain },
	[WL_CHECK] = { .call = call_check },
	[WL_PRINT] = { .call = call_print },
	[WL_SEED] = { .call = call_seed },
};

/* ---- failing ---- */

static void run_fail(struct branch *b, int err, const char *why)
{
	const struct wl_stmt *s = b->stmt;
	struct run *run = b->run;

	pthread_mutex_lock(&run->lock);
	if (!run->res.err) {
		run->res.err = err ? err : -EINVAL;
		run->res.line = s->line;
		snprintf(run->res.message, sizeof(run->res.message),
			 "%.64s:%u: `%.*s': %s", run->prog->name, s->line,
			 s->text_len < 100 ? (int)s->text_len : 100, s->text,
			 why);
		atomic_store(&run->failed, true);
	}
	pthread_mutex_unlock(&run->lock);
}

enum op_result branch_fail(struct branch *b, int err, const char *fmt, ...)
{
	char why[300];
	va_list args;

	if (b->outer && err == -b->outer->number) {
		b->expected = true;
		return OP_FAIL;
	}
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	run_fail(b, err, why);
	return OP_FAIL;
}

enum op_result branch_refused(struct branch *b, int err)
{
	const char *name = strerrorname_np(-err);

	if (b->outer)
		return branch_fail(b, err, "expected %s, found %s",
				   strerrorname_np(b->outer->number),
				   name ? name : "another error");
	return branch_fail(b, err, "%s (%s)", strerrordesc_np(-err) ?
			   strerrordesc_np(-err) : "unknown error",
			   name ? name : "?");
}

static enum op_result fail_signal(struct branch *b)
{
	struct cursor *c = &b->cur;

	return branch_fail(b, -EFAULT, "%s in process '%s' (%d) at 0x%llx: %s",
			   c->sig == SIGBUS ? "SIGBUS" : "SIGSEGV",
			   b->stmt->proc, c->pid,
			   (unsigned long long)c->fault_addr,
			   c->why ? c->why : "no reason given");
}

/* ---- one statement ---- */

static enum op_result stmt_begin(struct branch *b, const struct op *op)
{
	memset(&b->cur, 0, sizeof(b->cur));
	if (branch_arguments(b) != OP_DONE)
		return OP_FAIL;
	b->cur.begun = true;
	return op->begin ? op->begin(b) : OP_DONE;
}

/* Be in the process, or out of it. OP_MORE: return to the scheduler first. */
static enum op_result stmt_switch(struct branch *b, unsigned flags)
{
	int now = vm_thread_pid(b->thread), pid = now, err;

	if (flags & OP_INSIDE)
		pid = b->cur.pid;
	else if ((flags & OP_OUTSIDE) && now == b->cur.pid)
		pid = 0;
	if (pid == now)
		return OP_DONE;
	err = vm_thread_switch(b->thread, pid);
	return err ? branch_refused(b, err) : OP_MORE;
}

/* What became of the fault of the last step. */
static enum op_result stmt_signal(struct branch *b, const struct op *op)
{
	struct cursor *c = &b->cur;

	b->faulted = false;
	c->sig = vm_thread_signal(b->thread, &c->fault_addr, &c->why);
	if (!c->sig || (op->flags & OP_CATCH))
		return OP_DONE;
	return fail_signal(b);
}

static enum op_result stmt_access(struct branch *b, struct cpu *cpu,
				  const struct op *op)
{
	enum op_result r;

	if (b->faulted && stmt_signal(b, op) != OP_DONE)
		return OP_FAIL;
	if (b->cur.sig)
		return OP_DONE;
	assert(b->budget && !b->finished);
	cpu_enter(cpu);
	r = op->access(b, cpu);
	cpu_leave(cpu);
	b->unpolled = 0;
	b->faulted = r == OP_FAULT;
	return r;
}

static enum op_result stmt_run(struct branch *b, struct cpu *cpu)
{
	const struct op *op = &ops[b->stmt->op];
	enum op_result r = OP_DONE;

	assert(op->access || op->call);
	if (!b->cur.begun)
		r = stmt_begin(b, op);
	if (r == OP_DONE)
		r = stmt_switch(b, op->flags);
	if (r == OP_DONE && op->access)
		r = stmt_access(b, cpu, op);
	if (r == OP_DONE && op->call)
		r = op->call(b);
	return r;
}

/* ---- from statement to statement ---- */

/* b->stmt is done: what is next. */
static void branch_advance(struct branch *b)
{
	const struct wl_stmt *s = b->outer ? b->outer : b->stmt;
	struct frame *f;

	assert(b->stmt && b->depth >= b->floor);
	b->outer = NULL;
	b->cur.begun = false;
	for (;;) {
		f = b->depth > b->floor ? &b->frame[b->depth - 1] : NULL;
		b->stmt = f && f->single ? NULL : s->next;
		if (b->stmt || !f)
			return;
		if (!f->single && ++f->index < f->count) {
			b->stmt = f->owner->body;
			return;
		}
		s = f->owner;
		b->depth--;
		if (b->parent && b->depth == b->floor)
			return;		/* the block was the branch */
	}
}

static void stmt_count(struct branch *b)
{
	atomic_fetch_add_explicit(&b->run->session->statements, 1,
				  memory_order_relaxed);
}

enum op_result branch_enter(struct branch *b, uint64_t count)
{
	if (!count || !b->stmt->body)
		return OP_DONE;
	/* the parser counts blocks, so there is room */
	assert(b->depth < WL_NEST_MAX);
	b->frame[b->depth++] = (struct frame){ b->stmt, 0, count, false };
	b->stmt = b->stmt->body;
	b->cur.begun = false;
	stmt_count(b);
	return OP_ENTER;
}

/* => the statement is over; false: it failed, and so did the run. */
static bool stmt_over(struct branch *b, enum op_result r)
{
	if (b->outer && r == OP_DONE)
		branch_fail(b, 0, "expected %s, but it succeeded",
			    strerrorname_np(b->outer->number));
	else if (r == OP_DONE || b->expected) {
		b->expected = false;
		stmt_count(b);
		branch_advance(b);
		return true;
	}
	return false;
}

static bool run_stopped(struct branch *b)
{
	struct run *run = b->run;

	if (atomic_load_explicit(&run->failed, memory_order_relaxed))
		return true;
	if (!session_stopped(run->session) &&
	    !(run->stop && atomic_load(run->stop)))
		return false;
	if (b->stmt)
		run_fail(b, -EINTR, "interrupted");
	return b->stmt;
}

/* The end: but first, no child may be left. */
static enum op_result branch_finish(struct branch *b)
{
	if (branch_await(b, &b->together) != OP_DONE ||
	    branch_await(b, &b->background) != OP_DONE)
		return OP_WAIT;
	b->finished = true;
	return OP_DONE;
}

static void step_count(struct branch *b)
{
	if (b->done) {
		vm_thread_progress(b->thread);
		atomic_fetch_add_explicit(&b->run->session->accesses, b->done,
					  memory_order_relaxed);
	}
	b->done = 0;
}

static enum vm_step step_result(enum op_result r)
{
	switch (r) {
	case OP_FAULT:
		return VM_STEP_FAULT;
	case OP_WAIT:
		return VM_STEP_WAIT;
	default:
		return VM_STEP_AGAIN;
	}
}

static enum vm_step branch_step(struct vm_thread *t, struct cpu *cpu)
{
	struct branch *b = vm_thread_arg(t);
	unsigned statements = STEP_STATEMENTS;
	enum op_result r = OP_MORE;

	b->thread = t;
	b->budget = STEP_ACCESSES;
	if (b->asleep)
		atomic_fetch_sub(&b->run->sleeping, 1);
	b->asleep = false;
	while (b->stmt && statements-- && b->budget) {
		if (run_stopped(b)) {
			b->stmt = NULL;
			break;
		}
		r = stmt_run(b, cpu);
		step_count(b);
		if ((r == OP_DONE || r == OP_FAIL) && !stmt_over(b, r))
			b->stmt = NULL;
		if (r == OP_MORE || r == OP_FAULT || r == OP_WAIT)
			return step_result(r);
	}
	if (b->stmt)
		return VM_STEP_AGAIN;
	r = branch_finish(b);
	return r == OP_DONE ? VM_STEP_DONE : VM_STEP_WAIT;
}

/* ---- branches ---- */

static void run_end(struct run *run)
{
	assert(!run->done);
	run->done = true;
	pthread_cond_broadcast(&run->ended);
}

/* => run->lock held */
static void parent_release(struct branch *b)
{
	struct branch *parent = b->parent;

	assert(*b->pending > 0 && !parent->finished);
	if (--*b->pending == 0 && parent->parked) {
		parent->parked = false;
		vm_thread_wake(parent->thread);
	}
}

static void branch_end(struct vm_thread *t, void *arg)
{
	struct branch *b = arg;
	struct run *run = b->run;
	bool abandoned;

	(void)t;
	assert(!b->finished || (!b->together && !b->background));
	if (b->asleep)
		atomic_fetch_sub(&run->sleeping, 1);
	if (!b->finished && b->stmt)
		run_fail(b, -ESRCH, "its process ended while it ran");
	pthread_mutex_lock(&run->lock);
	if (b->parent)
		parent_release(b);
	else
		run_end(run);
	abandoned = run->abandoned && !b->parent;
	/* a driver that sees run->done may free the run at once */
	pthread_mutex_unlock(&run->lock);
	if (abandoned)
		run_free(run);
	free(b);
}

static int thread_start(struct branch *b)
{
	struct vm_thread_info info = {
		.step = branch_step, .arg = b, .end = branch_end
	};

	return vm_thread_start(b->run->session->vm, 0, &info);
}

int branch_start(struct run *run, const struct wl_stmt *first, uint64_t seed)
{
	struct branch *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->run = run;
	b->stmt = first;
	b->rng.state = seed;
	err = thread_start(b);
	if (err)
		free(b);
	return err;
}

static struct branch *branch_child(struct branch *b,
				   const struct wl_stmt *first, bool single,
				   uint64_t index)
{
	struct branch *child = calloc(1, sizeof(*child));

	assert(b->depth < WL_NEST_MAX);
	if (!child)
		return NULL;
	child->run = b->run;
	child->parent = b;
	child->stmt = first;
	child->rng.state = rng_next(&b->rng);
	memcpy(child->frame, b->frame, b->depth * sizeof(b->frame[0]));
	child->floor = b->depth;
	child->depth = b->depth + 1;
	child->frame[b->depth] = (struct frame){ b->stmt, index, 0, single };
	return child;
}

enum op_result branch_spawn(struct branch *b, const struct wl_stmt *first,
			    bool single, uint64_t index, unsigned *pending)
{
	struct branch *child = branch_child(b, first, single, index);
	struct run *run = b->run;
	int err;

	if (!child)
		return branch_refused(b, -ENOMEM);
	child->pending = pending;
	pthread_mutex_lock(&run->lock);
	++*pending;
	pthread_mutex_unlock(&run->lock);
	err = thread_start(child);
	if (!err)
		return OP_DONE;
	pthread_mutex_lock(&run->lock);
	--*pending;
	pthread_mutex_unlock(&run->lock);
	free(child);
	return branch_refused(b, err);
}

enum op_result branch_await(struct branch *b, unsigned *pending)
{
	struct run *run = b->run;
	bool wait;

	pthread_mutex_lock(&run->lock);
	wait = *pending != 0;
	b->parked = wait;
	pthread_mutex_unlock(&run->lock);
	if (!wait)
		return OP_DONE;
	/* who only waits is in no process, so that a child may end it */
	if (vm_thread_pid(b->thread))
		vm_thread_switch(b->thread, 0);
	vm_thread_park(b->thread);
	return OP_WAIT;
}

enum op_result branch_sleep(struct branch *b, uint64_t ns)
{
	b->asleep = true;
	atomic_fetch_add(&b->run->sleeping, 1);
	vm_thread_sleep(b->thread, ns);
	return OP_WAIT;
}
