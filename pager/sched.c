/*
 * sched.c - see sched.h.
 *
 *	vm_thread_start -> READY -> (CPU) -> step
 *	   AGAIN: READY   FAULT: settled -> step, or PARKED on a frame
 *	   WAIT: PARKED   DONE: freed
 *
 * A wake-up may come before its thread has got as far as PARKED (the waiter
 * is queued under the core lock, the thread parks a little later): it leaves
 * a token, and the park becomes READY at once. Invariant: a thread is in the
 * run queue exactly while READY, in the timers exactly while timed.
 */
#include "pager/sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pager/pageio.h"
#include "pager/process.h"
#include "pager/thread.h"

RB_HEAD(timers, vm_thread);
LIST_HEAD(threads, vm_thread);

struct cpu_slot {
	struct vm *vm;
	struct cpu cpu;
	unsigned index;
	int loaded;			/* pid whose table CR3 names; 0: none */
	pthread_t host;
} __attribute__((aligned(64)));

struct sched {
	pthread_mutex_t lock;
	pthread_cond_t idle;		/* CPUs with nothing to do */
	pthread_cond_t host;		/* host_wait() */
	struct vm_thread *head, **tail;	/* run queue */
	unsigned nready, nsleepers;
	unsigned awake;			/* CPUs neither asleep nor in reap */
	bool reaping;			/* one CPU waits in the engine */
	bool called;			/* and was told to come out */
	bool running, stopping;
	struct timers timers;
	struct threads threads;		/* but the daemon, newest first */
	uint64_t seq, virtual_ns;
	atomic_uint inflight;
	struct cpu_slot *slot;		/* ncpus + 1 */
};

/* This host thread is inside engine->reap(): it will look at the run queue
 * when it comes out, no need to wake anybody. */
static __thread bool sched_reaping;

#define SCHED_WAKE_AT	4	/* ready threads that are worth a second CPU */

static int timer_compare(const struct vm_thread *a, const struct vm_thread *b)
{
	if (a->wake_at != b->wake_at)
		return a->wake_at < b->wake_at ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

RB_PROTOTYPE(timers, vm_thread, timer, timer_compare)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
RB_GENERATE(timers, vm_thread, timer, timer_compare)
#pragma GCC diagnostic pop

static void sched_lock(struct sched *s)
{
	pthread_mutex_lock(&s->lock);
}

static void sched_unlock(struct sched *s)
{
	pthread_mutex_unlock(&s->lock);
}

uint64_t vm_now_ns(struct vm *vm)
{
	struct timespec ts;

	if (vm->cfg.virtual_clock)
		return __atomic_load_n(&vm->sched->virtual_ns,
				       __ATOMIC_RELAXED);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

void sched_io_started(struct vm *vm)
{
	atomic_fetch_add(&vm->sched->inflight, 1);
}

void sched_io_ended(struct vm *vm)
{
	atomic_fetch_sub(&vm->sched->inflight, 1);
}

void sched_kick(struct vm *vm)
{
	if (atomic_load(&vm->sched->inflight) && vm->cfg.engine)
		vm->cfg.engine->kick(vm->cfg.engine);
}

/* ---- making threads ready ---- */

/* Somebody must run what is ready. => scheduler lock held. */
static void sched_alert(struct vm *vm)
{
	struct sched *s = vm->sched;

	if (!s->running || sched_reaping)
		return;
	if (s->awake == 0)
		vm->cfg.engine->wake(vm->cfg.engine);
	else if (s->nready >= SCHED_WAKE_AT && s->nsleepers > 0)
		pthread_cond_signal(&s->idle);
}

/* A thread has used up its time and others are ready: they are worth another
 * CPU, however few. => scheduler lock held. */
static void sched_share(struct vm *vm)
{
	struct sched *s = vm->sched;

	if (!s->running || !s->head)
		return;
	if (s->nsleepers > 0) {
		pthread_cond_signal(&s->idle);
	} else if (s->reaping && !s->called) {
		s->called = true;
		vm->cfg.engine->wake(vm->cfg.engine);
	}
}

static void sched_push(struct vm *vm, struct vm_thread *t)
{
	struct sched *s = vm->sched;

	if (t->timed) {
		RB_REMOVE(timers, &s->timers, t);
		t->timed = false;
	}
	t->state = THREAD_READY;
	t->next = NULL;
	*s->tail = t;
	s->tail = &t->next;
	s->nready++;
	sched_alert(vm);
}

static struct vm_thread *sched_pop(struct sched *s)
{
	struct vm_thread *t = s->head;

	if (!t)
		return NULL;
	s->head = t->next;
	if (!s->head)
		s->tail = &s->head;
	s->nready--;
	t->state = THREAD_RUNNING;
	return t;
}

void vm_thread_wake(struct vm_thread *t)
{
	struct sched *s = t->vm->sched;

	sched_lock(s);
	if (t->state == THREAD_PARKED && !t->on_waiter)
		sched_push(t->vm, t);
	else
		t->token = true;
	sched_unlock(s);
}

static void thread_woken(struct waiter *w)
{
	struct vm_thread *t = (struct vm_thread *)w;
	struct sched *s = t->vm->sched;

	sched_lock(s);
	if (t->state == THREAD_PARKED && t->on_waiter)
		sched_push(t->vm, t);
	else
		t->wtoken = true;
	sched_unlock(s);
}

/* The step is over and the thread waits: for its waiter to be woken, or for
 * vm_thread_wake() or a time. */
static void sched_park(struct vm *vm, struct vm_thread *t, bool on_waiter)
{
	struct sched *s = vm->sched;
	bool *token = on_waiter ? &t->wtoken : &t->token;

	sched_lock(s);
	t->on_waiter = on_waiter;
	if (*token) {
		*token = false;
		sched_push(vm, t);
	} else {
		t->state = THREAD_PARKED;
		if (t->sleep_until) {
			t->wake_at = t->sleep_until;
			t->seq = s->seq++;
			t->timed = true;
			RB_INSERT(timers, &s->timers, t);
			/* Who waits in the engine knew of later ones. */
			if (s->reaping && RB_MIN(timers, &s->timers) == t)
				vm->cfg.engine->wake(vm->cfg.engine);
		}
	}
	t->sleep_until = 0;
	sched_unlock(s);
}

/* Threads whose time has come. => scheduler lock held; the ns until the
 * next one, -1: none. */
static int64_t sched_timers(struct vm *vm)
{
	struct sched *s = vm->sched;
	struct vm_thread *t;
	uint64_t now;

	t = RB_MIN(timers, &s->timers);
	if (!t)
		return -1;
	now = vm_now_ns(vm);
	while (t && t->wake_at <= now) {
		sched_push(vm, t);
		t = RB_MIN(timers, &s->timers);
	}
	return t ? (int64_t)(t->wake_at - now) : -1;
}

/* ---- running threads ---- */

static void sched_end(struct vm *vm, struct vm_thread *t)
{
	struct sched *s = vm->sched;

	if (t->info.end)
		t->info.end(t, t->info.arg);
	thread_leave(t);
	sched_lock(s);
	LIST_REMOVE(t, all);
	pthread_cond_broadcast(&s->host);
	sched_unlock(s);
	free(t);
}

/* Pids are not used twice, so `loaded` cannot name another's dead table. No
 * process: frame 0, a table without entries. */
static void sched_load_proc(struct cpu_slot *c, const struct proc *p)
{
	int pid = p ? p->pid : 0;

	if (c->loaded == pid)
		return;
	cpu_set_cr3(&c->cpu, p ? pmap_cr3(&p->pmap) : 0);
	c->loaded = pid;
}

struct cpu *sched_service_cpu(struct vm *vm, const struct proc *p)
{
	struct cpu_slot *c = &vm->sched->slot[vm->ncpus];

	sched_load_proc(c, p);
	return &c->cpu;
}

static void sched_load(struct cpu_slot *c, struct vm_thread *t)
{
	sched_load_proc(c, t->p);
}

/* A step of @t. What it was woken for, and did without, others may have. */
static enum vm_step sched_step(struct cpu_slot *c, struct vm_thread *t)
{
	enum vm_step next = t->info.step(t, &c->cpu);

	if (t->w.owes && next != VM_STEP_FAULT) {
		vm_lock(c->vm);
		pageio_pass_on(c->vm, &t->w);
		vm_unlock(c->vm);
	}
	return next;
}

/* Let @t run for a while. => true: it would go on. */
static bool sched_run(struct cpu_slot *c, struct vm_thread *t)
{
	struct percpu *pc = &c->vm->percpu[c->index];
	struct vm *vm = c->vm;

	if (!thread_resume(t)) {
		sched_park(vm, t, true);
		return false;
	}
	/* The daemon lets others use what it freed before it looks again. */
	for (int budget = t == vm->pageout.thread ? 1 : 8; budget; budget--) {
		sched_load(c, t);
		switch (sched_step(c, t)) {
		case VM_STEP_AGAIN:
			t->history.n = 0;
			break;
		case VM_STEP_FAULT:
			if (!thread_fault(t, pc, &c->cpu.fault)) {
				sched_park(vm, t, true);
				return false;
			}
			break;
		case VM_STEP_WAIT:
			t->history.n = 0;
			if (t->syncing && thread_resume(t))
				break;
			sched_park(vm, t, t->syncing);
			return false;
		case VM_STEP_DONE:
			sched_end(vm, t);
			return false;
		}
	}
	return true;
}

/* @t has used up its time. Who calls goes on to sched_pop() without letting
 * the lock go: if no other is ready it has @t again, and two CPUs with a
 * thread each do not swap them. => scheduler lock held. */
static void sched_again(struct vm *vm, struct vm_thread *t)
{
	sched_share(vm);
	sched_push(vm, t);
}

/* Completions, without waiting. */
static void sched_poll(struct vm *vm)
{
	if (!atomic_load(&vm->sched->inflight))
		return;
	vm->cfg.engine->kick(vm->cfg.engine);
	sched_reaping = true;
	vm->cfg.engine->reap(vm->cfg.engine, 0);
	sched_reaping = false;
}

/* Wait in the engine: the caller is the last CPU awake. => scheduler lock
 * held, and again when it returns. */
static void sched_reap(struct vm *vm, int64_t timeout)
{
	struct sched *s = vm->sched;

	s->awake--;
	s->reaping = true;
	s->called = false;
	sched_unlock(s);
	sched_reaping = true;
	vm->cfg.engine->reap(vm->cfg.engine, timeout);
	sched_reaping = false;
	sched_lock(s);
	s->reaping = false;
	s->awake++;
	if (s->nready >= SCHED_WAKE_AT && s->nsleepers > 0)
		pthread_cond_signal(&s->idle);
}

/* Nothing runs and nothing is in flight: time may jump. => it did. */
static bool sched_jump(struct vm *vm)
{
	struct sched *s = vm->sched;
	struct vm_thread *t = RB_MIN(timers, &s->timers);

	if (!vm->cfg.virtual_clock || !t || atomic_load(&s->inflight))
		return false;
	if (t->wake_at > s->virtual_ns)
		__atomic_store_n(&s->virtual_ns, t->wake_at, __ATOMIC_RELAXED);
	return true;
}

/* The run queue is empty. => scheduler lock held throughout, but for waits. */
static void sched_idle(struct vm *vm)
{
	struct sched *s = vm->sched;
	int64_t timeout = sched_timers(vm);

	if (s->head || s->stopping)
		return;
	if (s->reaping) {
		/* It sleeps and does not see what we submitted. */
		sched_unlock(s);
		sched_kick(vm);
		sched_lock(s);
		if (s->head || s->stopping)
			return;
	}
	if (s->reaping || (s->awake > 1 && !atomic_load(&s->inflight))) {
		s->awake--;
		s->nsleepers++;
		pthread_cond_wait(&s->idle, &s->lock);
		s->nsleepers--;
		s->awake++;
		return;
	}
	if (!sched_jump(vm))
		sched_reap(vm, vm->cfg.virtual_clock ? -1 : timeout);
}

static void *sched_cpu(void *arg)
{
	struct cpu_slot *c = arg;
	struct vm *vm = c->vm;
	struct sched *s = vm->sched;
	unsigned n = 0;

	sched_lock(s);
	while (!s->stopping) {
		struct vm_thread *t = sched_pop(s);
		bool again, look;

		if (!t) {
			sched_idle(vm);
			continue;
		}
		sched_unlock(s);
		again = sched_run(c, t);
		sched_lock(s);
		/* With nothing to run, the way to sleep sees to all this. */
		look = (again || s->head) && ++n % 4 == 0;
		if (look) {
			sched_unlock(s);
			sched_poll(vm);
			sched_lock(s);
		}
		if (look && n % 16 == 0)
			sched_timers(vm);
		if (again)
			sched_again(vm, t);
	}
	s->awake--;
	sched_unlock(s);
	/* A poll of ours may have eaten the wake-up of one that waits. */
	vm->cfg.engine->wake(vm->cfg.engine);
	return NULL;
}

/* ---- driving CPU 0 from outside ---- */

/* One step of a machine whose CPUs are not running. => false: nothing can
 * run, nothing is in flight, no timer is set. */
static bool sched_drive(struct vm *vm)
{
	struct sched *s = vm->sched;
	struct vm_thread *t;
	int64_t timeout;

	sched_poll(vm);
	sched_lock(s);
	timeout = sched_timers(vm);
	t = sched_pop(s);
	if (!t && sched_jump(vm)) {
		sched_unlock(s);
		return true;
	}
	sched_unlock(s);
	if (t) {
		if (sched_run(&s->slot[0], t)) {
			sched_lock(s);
			sched_again(vm, t);
			sched_unlock(s);
		}
		return true;
	}
	if (!atomic_load(&s->inflight) && timeout < 0)
		return false;
	sched_reaping = true;
	vm->cfg.engine->reap(vm->cfg.engine, timeout);
	sched_reaping = false;
	return true;
}

void vm_run(struct vm *vm)
{
	assert(!vm->sched->running);
	while (sched_drive(vm))
		;
}

void sched_settle(struct vm *vm)
{
	assert(!vm->sched->running);
	while (vm->sched->head || atomic_load(&vm->sched->inflight))
		sched_drive(vm);
}

/* Nothing runs, waits or is due any more, but the daemon. */
static void sched_halt(struct vm *vm)
{
	struct sched *s = vm->sched;
	struct vm_thread *daemon = vm->pageout.thread, *t;
	bool ready = daemon->state == THREAD_READY;

	while (sched_pop(s))
		;
	LIST_FOREACH(t, &s->threads, all) {
		if (t->timed)
			RB_REMOVE(timers, &s->timers, t);
		t->timed = false;
		t->state = THREAD_RUNNING;	/* a wake-up is but noted */
	}
	if (ready)
		sched_push(vm, daemon);
}

void sched_end_threads(struct vm *vm)
{
	struct sched *s = vm->sched;
	struct vm_thread *t;

	assert(!s->running);
	while (atomic_load(&s->inflight))
		vm->cfg.engine->reap(vm->cfg.engine, -1);
	while ((t = LIST_FIRST(&s->threads))) {
		sched_lock(s);
		if (t->state != THREAD_RUNNING)
			sched_halt(vm);
		sched_unlock(s);
		thread_give_up(t);
		sched_end(vm, t);
	}
}

static void host_woken(struct waiter *w)
{
	struct host_waiter *h = (struct host_waiter *)w;
	struct sched *s = h->vm->sched;

	sched_lock(s);
	h->woken = true;
	pthread_cond_broadcast(&s->host);
	sched_unlock(s);
}

void host_waiter_init(struct host_waiter *h, struct vm *vm)
{
	memset(h, 0, sizeof(*h));
	h->vm = vm;
	h->w.wake = host_woken;
}

int host_wait(struct host_waiter *h)
{
	struct vm *vm = h->vm;
	struct sched *s = vm->sched;
	bool alive = true;

	sched_kick(vm);
	sched_lock(s);
	while (!h->woken && alive) {
		if (s->running) {
			pthread_cond_wait(&s->host, &s->lock);
			continue;
		}
		sched_unlock(s);
		alive = sched_drive(vm);
		sched_lock(s);
	}
	alive = h->woken;
	h->woken = false;
	sched_unlock(s);
	if (alive)
		return h->w.result;
	vm_lock(vm);
	wait_cancel(vm, &h->w);
	vm_unlock(vm);
	return -EDEADLK;
}

/* ---- starting and stopping ---- */

static const enum mmu_mode sched_mode[] = {
	[VM_MODE_32] = MMU_32,
	[VM_MODE_PAE] = MMU_PAE,
	[VM_MODE_64] = MMU_64,
	[VM_MODE_LA57] = MMU_57,
};

int sched_create(struct vm *vm)
{
	struct sched *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	vm->sched = s;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	pthread_cond_init(&s->host, NULL);
	s->tail = &s->head;
	RB_INIT(&s->timers);
	LIST_INIT(&s->threads);
	s->slot = aligned_alloc(64, (vm->ncpus + 1) * sizeof(*s->slot));
	if (!s->slot)
		return -ENOMEM;
	memset(s->slot, 0, (vm->ncpus + 1) * sizeof(*s->slot));
	for (unsigned i = 0; i <= vm->ncpus; i++) {
		struct cpu_slot *c = &s->slot[i];

		c->vm = vm;
		c->index = i;
		cpu_init(&c->cpu, &vm->ram, i);
		cpu_set_mode(&c->cpu, sched_mode[vm->cfg.mode]);
		vm->cpu[i] = &c->cpu;
	}
	return 0;
}

void sched_destroy(struct vm *vm)
{
	struct sched *s = vm->sched;

	if (!s)
		return;
	free(vm->pageout.thread);
	free(s->slot);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->idle);
	pthread_cond_destroy(&s->host);
	free(s);
	vm->sched = NULL;
}

int vm_start(struct vm *vm)
{
	struct sched *s = vm->sched;
	unsigned i;
	int err = 0;

	sched_lock(s);
	s->running = true;
	s->stopping = false;
	s->awake = vm->ncpus;
	sched_unlock(s);
	for (i = 0; i < vm->ncpus; i++) {
		err = pthread_create(&s->slot[i].host, NULL, sched_cpu,
				     &s->slot[i]);
		if (err)
			break;
	}
	if (!err)
		return 0;
	sched_lock(s);
	s->awake -= vm->ncpus - i;
	sched_unlock(s);
	vm->ncpus_started = i;
	vm_stop(vm);
	return -err;
}

void vm_stop(struct vm *vm)
{
	struct sched *s = vm->sched;
	unsigned n;

	sched_lock(s);
	if (!s->running) {
		sched_unlock(s);
		return;
	}
	s->stopping = true;
	n = vm->ncpus_started ? vm->ncpus_started : vm->ncpus;
	pthread_cond_broadcast(&s->idle);
	sched_unlock(s);
	vm->cfg.engine->wake(vm->cfg.engine);
	for (unsigned i = 0; i < n; i++)
		pthread_join(s->slot[i].host, NULL);
	sched_lock(s);
	s->running = false;
	pthread_cond_broadcast(&s->host);
	sched_unlock(s);
}

int sched_daemon(struct vm *vm, vm_step_fn step, struct vm_thread **t)
{
	struct vm_thread_info info = { .step = step };

	*t = thread_new(vm, &info);
	if (!*t)
		return -ENOMEM;
	(*t)->w.wake = thread_woken;
	sched_lock(vm->sched);
	sched_push(vm, *t);
	sched_unlock(vm->sched);
	return 0;
}

int vm_thread_start(struct vm *vm, int pid, const struct vm_thread_info *info)
{
	struct vm_thread *t = thread_new(vm, info);
	int err = t ? 0 : -ENOMEM;

	if (!err && pid)
		err = vm_thread_switch(t, pid);
	if (err) {
		free(t);
		return err;
	}
	t->w.wake = thread_woken;
	sched_lock(vm->sched);
	LIST_INSERT_HEAD(&vm->sched->threads, t, all);
	sched_push(vm, t);
	sched_unlock(vm->sched);
	return 0;
}
