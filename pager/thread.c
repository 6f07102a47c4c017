/*
 * thread.c - a thread: what its step may ask for, and what came of it.
 *
 * A step says what it wants by vm_thread_*() and returns; the scheduler sees
 * to it, and before the next step thread_resume() finds out how it went.
 * Invariant: at most one of faulting and syncing. Locks: see thread.h.
 */
#include "pager/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "pager/process.h"

struct vm_thread *thread_new(struct vm *vm, const struct vm_thread_info *info)
{
	struct vm_thread *t = aligned_alloc(_Alignof(struct vm_thread),
					    sizeof(*t));

	if (!t)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->vm = vm;
	t->info = *info;
	return t;
}

void thread_leave(struct vm_thread *t)
{
	if (!t->p)
		return;
	atomic_fetch_sub(&t->p->nthreads, 1);
	proc_put(t->vm, t->p);
	t->p = NULL;
}

bool thread_resume(struct vm_thread *t)
{
	struct vm *vm = t->vm;
	int err;

	if (t->faulting) {
		t->faulting = false;
		atomic_fetch_sub(&t->p->nwaiting, 1);
		err = fault_result(t->p, &t->w);
		if (err < 0) {
			t->sig = SIGBUS;
			t->why = fault_why(err);
			vm_lock(vm);
			vm_count(vm, SIGBUS);
			vm_unlock(vm);
		}
	} else if (t->syncing) {
		if (sync_step(vm, &t->sync, &t->w) == SYNC_WAIT)
			return false;
		t->syncing = false;
		t->result = t->sync.result;
	}
	return true;
}

void thread_give_up(struct vm_thread *t)
{
	struct vm *vm = t->vm;

	if (t->faulting) {
		atomic_fetch_sub(&t->p->nwaiting, 1);
		vm_lock(vm);
		wait_cancel(vm, &t->w);
		vm_unlock(vm);
	} else if (t->syncing) {
		sync_drop(vm, &t->sync, &t->w);
	}
	t->faulting = t->syncing = false;
}

/* => false, for thread_fault() */
static bool thread_waits(struct vm_thread *t)
{
	t->sig = 0;
	t->faulting = true;
	atomic_fetch_add(&t->p->nwaiting, 1);
	return false;
}

bool thread_fault(struct vm_thread *t, struct percpu *pc,
		  const struct page_fault *pf)
{
	struct vm *vm = t->vm;

	t->fault_addr = pf->addr;
	if (!t->p) {
		t->sig = SIGSEGV;
		t->why = fault_why(-ESRCH);
		return true;
	}
	if (!fault_advances(&t->history, pf)) {
		t->why = fault_stuck(vm, &t->w);
		if (!t->why) {
			t->history.n = 0;
			return thread_waits(t);
		}
		t->sig = SIGBUS;
		return true;
	}
	switch (fault_resolve(vm, pc, t->p, pf, &t->w, &t->sig, &t->why)) {
	case FAULT_DONE:
		t->sig = 0;
		return true;
	case FAULT_SIGNAL:
		return true;
	case FAULT_WAIT:
	default:
		return thread_waits(t);
	}
}

/* ---- what a step may ask ---- */

void *vm_thread_arg(const struct vm_thread *t)
{
	return t->info.arg;
}

struct vm *vm_thread_vm(const struct vm_thread *t)
{
	return t->vm;
}

int vm_thread_pid(const struct vm_thread *t)
{
	return t->p ? t->p->pid : 0;
}

int vm_thread_switch(struct vm_thread *t, int pid)
{
	struct proc *p = NULL;

	if (pid == vm_thread_pid(t))
		return t->p && t->p->dead ? -ESRCH : 0;
	if (pid) {
		p = proc_get(t->vm, pid);
		if (!p)
			return -ESRCH;
		atomic_fetch_add(&p->nthreads, 1);
	}
	thread_leave(t);
	t->p = p;
	return 0;
}

int vm_thread_signal(struct vm_thread *t, uint64_t *addr, const char **why)
{
	int sig = t->sig;

	t->sig = 0;
	if (sig && addr)
		*addr = t->fault_addr;
	if (sig && why)
		*why = t->why;
	return sig;
}

void vm_thread_progress(struct vm_thread *t)
{
	t->history.n = 0;
}

void vm_thread_sleep(struct vm_thread *t, uint64_t ns)
{
	if (__builtin_add_overflow(vm_now_ns(t->vm), ns, &t->sleep_until))
		t->sleep_until = UINT64_MAX;
	if (t->sleep_until == 0)
		t->sleep_until = 1;
}

void vm_thread_park(struct vm_thread *t)
{
	t->sleep_until = 0;
}

int vm_thread_result(const struct vm_thread *t)
{
	return t->result;
}

int vm_thread_msync(struct vm_thread *t, uint64_t addr, uint64_t len,
		    unsigned flags)
{
	int err = t->p ? sync_init(&t->sync, t->p, addr, len, flags) : -ESRCH;

	t->syncing = err == 0;
	return err;
}

int vm_thread_sync(struct vm_thread *t)
{
	sync_init_all(&t->sync);
	t->syncing = true;
	return 0;
}

void vm_thread_memory(struct vm_thread *t)
{
	sync_init_memory(&t->sync);
	t->syncing = true;
}

int vm_thread_evict(struct vm_thread *t, uint64_t nframes)
{
	sync_init_evict(&t->sync, nframes);
	t->syncing = true;
	return 0;
}
