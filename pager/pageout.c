/*
 * pageout.c - the pageout daemon.
 *
 *	pageout_step: enough free?  -> park
 *	  policy names victims -> out of every page table, one shootdown
 *	    clean         -> freed
 *	    dirty, file   -> launder_file(): one write with its neighbours
 *	    dirty, anon   -> swapout_write(): neighbouring slots, one write
 *	  completion (pageio.c) frees what nobody wanted meanwhile
 *
 * When a full scan finds nothing and no write is under way, memory is
 * exhausted: one waiter is told so, and can only give up. Not so while writes
 * fail: what has to be written is tried again every 100 ms, for ever, and who
 * waits for memory waits; people are told (cfg.waits). Invariant:
 * laundering counts the frames with FRAME_RECLAIM. Lock: the core lock.
 */
#include "pager/pageout.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pager/frame.h"
#include "pager/object.h"
#include "pager/pageio.h"
#include "pager/policy.h"
#include "pager/sched.h"
#include "pager/swapout.h"
#include "pager/wait.h"

#define PAGEOUT_BATCH	STORE_MAX_PAGES
#define PAGEOUT_SAY	1000000000ull	/* ns without one that succeeds */

/* ---- what the policy may know of frames ---- */

static bool env_pageable(void *ctx, uint32_t pfn)
{
	const struct frame *f = frame_at(ctx, pfn);

	return f->state == FRAME_PAGE && !(f->flags & (FRAME_BUSY | FRAME_FRESH));
}

/* So is a dirty page, to us, while no descriptor is free to write it. When all
 * shall go, it does not matter who used it. */
static bool env_used(void *ctx, uint32_t pfn)
{
	const struct vm *vm = ctx;

	return (!vm->pageout.everything && pmap_accessed(vm, pfn)) ||
	       (vm->io.free_writes == 0 && pmap_dirty(vm, pfn));
}

/* The accessed bit needs no shootdown to be right, but without one a hot page
 * would stay in a TLB and never set it again: post it, do not wait. When all
 * shall go, nobody will ask for it. */
static void env_forget(void *ctx, uint32_t pfn)
{
	struct vm *vm = ctx;

	if (!vm->pageout.everything)
		pmap_frame_accessed(vm, pfn, &vm->pageout.forget);
}

static enum vm_step pageout_step(struct vm_thread *t, struct cpu *cpu);

int pageout_init(struct vm *vm)
{
	struct policy_env env = {
		.ctx = vm,
		.nframes = vm->frames.n,
		.spread = vm->cfg.clock_spread,
		.pageable = env_pageable,
		.used = env_used,
		.forget = env_forget,
	};

	if (env.spread == 0)
		env.spread = vm->frames.n / 4;
	gather_init(&vm->pageout.forget);
	vm->policy = &policy_clock;
	vm->policy_data = vm->policy->create(&env);
	vm->pageout.victims =
		calloc(PAGEOUT_BATCH, sizeof(*vm->pageout.victims));
	if (!vm->policy_data || !vm->pageout.victims)
		return -ENOMEM;
	return sched_daemon(vm, pageout_step, &vm->pageout.thread);
}

void pageout_destroy(struct vm *vm)
{
	if (vm->policy_data)
		vm->policy->destroy(vm->policy_data);
	free(vm->pageout.victims);
}

void pageout_wake(struct vm *vm)
{
	struct pageout *p = &vm->pageout;

	if (!p->parked)
		return;
	p->parked = false;
	vm_thread_wake(p->thread);
}

/* What was not found while I/O was under way may be there now: a whole round
 * when it was the last one, else as far as its pages are worth. */
static void pageout_scan_again(struct vm *vm, unsigned npages)
{
	uint64_t worth = 64 + 4ull * npages;

	if (vm->io.inflight == 0 || vm->pageout.idle_scans < worth)
		vm->pageout.idle_scans = 0;
	else
		vm->pageout.idle_scans -= worth;
}

void pageout_io_done(struct vm *vm, unsigned npages)
{
	vm->pageout.hopeless = false;
	pageout_scan_again(vm, npages);
	if (vm->frames.nfree <= vm->frames.wm_low || vm->pageout.running ||
	    vm->pageout.evict_want || vm->pageout.down_ns || vm->objects.dying)
		pageout_wake(vm);
}

/* No write succeeds any more: since when, and what was tried last. */
static void pageout_down(struct vm *vm, const struct object *file,
			 uint32_t slot, int error)
{
	struct pageout *p = &vm->pageout;
	struct swap_area_info info = { .name = "swap" };
	uint64_t now = vm_now_ns(vm);

	/* What failed long ago and was not tried since says nothing of now. */
	if (!p->down_ns || now > p->down_last_ns + PAGEOUT_SAY)
		p->down_ns = now + 1;	/* not 0, whatever the clock */
	p->down_last_ns = now;
	p->down_error = error;
	if (!file)
		vm->cfg.swap->info(vm->cfg.swap, SWAP_SLOT_AREA(slot), &info);
	snprintf(p->down_name, sizeof(p->down_name), "%s",
		 file ? file->store->name : info.name);
}

/* A write succeeded, or there is none to make. */
static void pageout_up(struct vm *vm)
{
	vm->pageout.down_ns = 0;
	vm->pageout.down_said = false;
	wait_wake(vm, WAIT_STORE, 0, UINT_MAX);
}

void pageout_wrote(struct vm *vm, uint32_t slot, unsigned n)
{
	struct pageout *p = &vm->pageout;

	if (p->down_ns)
		pageout_up(vm);
	if (slot)
		swapout_wrote(vm, slot, n);
}

void pageout_write_error(struct vm *vm, struct object *file, uint32_t slot,
			 int error)
{
	vm->pageout.retry_ns = vm_now_ns(vm) + PAGEOUT_RETRY;
	vm->pageout.failures++;
	pageout_down(vm, file, slot, error);
	if (!file) {
		swapout_failed(vm, slot, vm->pageout.retry_ns);
		return;
	}
	file->wb_errors++;
	file->wb_error = error;
	file->retry_ns = vm->pageout.retry_ns;
}

void pageout_steal(struct vm *vm, uint32_t pfn, struct gather *g)
{
	struct pageout *p = &vm->pageout;

	object_drop_frame(vm, pfn, g);
	vm_count(vm, STEAL);
	p->failures = 0;
	if (p->evict_want > 0) {
		if (--p->evict_want == 0)
			wait_wake(vm, WAIT_EVICT, 0, -1u);
	}
}

void pageout_retake(struct vm *vm, uint32_t pfn)
{
	struct frame *f = frame_at(vm, pfn);

	if (!(f->flags & FRAME_RECLAIM))
		return;
	f->flags &= ~FRAME_RECLAIM;
	vm->pageout.laundering--;
	vm_count(vm, RETAKE);
}

void pageout_evict(struct vm *vm, uint64_t n)
{
	if (vm->pageout.evict_want == 0)
		vm->pageout.failures = 0;	/* those before are not its */
	vm->pageout.evict_want += n;
	vm->pageout.idle_scans = 0;
	vm->pageout.hopeless = false;
	pageout_wake(vm);
}

/* ---- one batch ---- */

/* The victims are out of every page table: free or launder each. Each page of
 * a file takes its neighbours along: when as many go as were named, that will
 * do, and the store can begin. => how many were freed or put under way. */
static unsigned pageout_sort(struct vm *vm, uint32_t *victim, unsigned n,
			     struct gather *g)
{
	unsigned done = 0, nanon = 0, nfile = 0;
	uint64_t now = vm_now_ns(vm);

	for (unsigned i = 0; i < n; i++) {
		struct frame *f = frame_at(vm, victim[i]);
		struct object *o = object_at(vm, f->object);

		if (f->flags & FRAME_BUSY) {
			continue;	/* went along with a neighbour */
		} else if (!(f->flags & FRAME_DIRTY)) {
			pageout_steal(vm, victim[i], g);
			vm->pageout.idle_scans = 0;
			done++;
		} else if (o->kind == OBJECT_FILE) {
			if (now >= o->retry_ns && nfile < n)
				nfile += launder_file(vm, victim[i], true);
		} else {
			victim[nanon++] = victim[i];
		}
	}
	return done + nfile + swapout_write(vm, victim, nanon);
}

/* How many frames to look at. With all descriptors in use only clean pages are
 * sought, and not far: each write that ends is a reason to look again. */
static uint32_t pageout_budget(const struct vm *vm, unsigned want)
{
	if (vm->io.free_writes == 0)
		return 1024;
	return want * 64 > 4096 ? want * 64 : 4096;
}

/* Take up to @want frames from their users. => as pageout_sort(). */
static unsigned pageout_batch(struct vm *vm, unsigned want)
{
	uint32_t *victim = vm->pageout.victims, scanned;
	uint32_t budget = pageout_budget(vm, want);
	struct gather g;
	unsigned n;

	n = vm->policy->victims(vm->policy_data, want, budget, victim,
				&scanned);
	gather_hint(vm, &vm->pageout.forget);
	vm_count_add(vm, SCAN, scanned);
	vm->pageout.idle_scans += scanned;
	gather_init(&g);
	for (unsigned i = 0; i < n; i++) {
		if (i % FRAME_AHEAD == 0)
			pmap_frame_prefetch(vm, victim + i, n - i);
		pmap_frame_remove(vm, victim[i], &g);
	}
	gather_flush(vm, &g);
	n = pageout_sort(vm, victim, n, &g);
	gather_flush(vm, &g);
	return n;
}

/* ---- dying files ---- */

/* Write or free the pages of a file nobody maps. => nothing is left. */
static bool pageout_dying_file(struct vm *vm, struct object *o, uint64_t now)
{
	bool retry = now >= o->retry_ns;
	struct gather g;
	uint32_t pfn, next;

	gather_init(&g);
	for (pfn = o->pages; pfn; pfn = next) {
		next = frame_at(vm, pfn)->obj_next;
		if (frame_at(vm, pfn)->flags & FRAME_BUSY)
			continue;
		if (!(frame_at(vm, pfn)->flags & FRAME_DIRTY))
			object_drop_frame(vm, pfn, &g);
		else if (!retry || !launder_file(vm, pfn, false))
			break;
	}
	gather_flush(vm, &g);
	return o->nresident == 0;
}

/* => stores to close without the lock, or none. */
static struct object_stores pageout_dying(struct vm *vm, uint64_t now)
{
	for (struct object *o = vm->objects.dying; o; o = o->dying_next)
		if (pageout_dying_file(vm, o, now))
			return object_bury(vm, o);
	return (struct object_stores){ NULL, NULL };
}

/* ---- the thread ---- */

/* Frames that soon are free, or clean and quickly taken. Who waits for memory
 * cannot wait for those that perhaps are wanted again. */
static uint64_t pageout_coming(const struct vm *vm)
{
	if (vm->frames.nfree <= vm->frames.wm_new)
		return vm->pageout.laundering;
	return vm->io.writing;
}

/* How many frames to take now. */
static unsigned pageout_want(struct vm *vm)
{
	struct frame_table *t = &vm->frames;
	struct pageout *p = &vm->pageout;
	uint64_t coming, want = 0;

	frame_unstock(vm);
	coming = pageout_coming(vm);
	p->everything = p->evict_want > 0 &&
			p->evict_want + t->nfree + t->ntables + 1 >= t->n;
	/* Once what is free or on its way is enough, not a page more until it
	 * is too little again: a trickle would make small clusters. */
	if (t->nfree + coming <= t->wm_low)
		p->running = true;
	if (t->nfree + coming >= t->wm_high)
		p->running = false;
	if (p->running)
		want = t->wm_high - t->nfree - coming;
	if (p->evict_want > coming && p->evict_want - coming > want)
		want = p->evict_want - coming;
	/* Who waits for the store is to be told when it is back. */
	if (p->down_ns && !want && wait_count(vm, WAIT_STORE))
		want = 1;
	return want > PAGEOUT_BATCH ? PAGEOUT_BATCH : want;
}

/* Pages that were read and never fetched (their thread has gone) are like
 * others from now on. => there were any. */
static bool pageout_stale(struct vm *vm)
{
	bool any = false;

	for (uint32_t pfn = 1; pfn < vm->frames.n; pfn++) {
		any |= !!(frame_at(vm, pfn)->flags & FRAME_FRESH);
		frame_at(vm, pfn)->flags &= ~FRAME_FRESH;
	}
	return any;
}

/* Tell one waiter that there is no memory: rather one with a new page. */
static void pageout_refuse(struct vm *vm)
{
	const struct frame_table *t = &vm->frames;
	unsigned n = 0;

	if (t->nfree <= t->wm_new)
		n = wait_wake(vm, WAIT_ROOM, -ENOMEM, 1);
	if (n == 0 && t->nfree <= t->wm_min)
		n = wait_wake(vm, WAIT_MEMORY, -ENOMEM, 1);
	vm_count_add(vm, OOM, n);
}

/* Nothing found in whole rounds, nothing under way. => nobody else waits. */
static bool pageout_exhausted(struct vm *vm)
{
	struct pageout *p = &vm->pageout;

	p->idle_scans = 0;
	p->failures = 0;
	if ((p->evict_want > 0 || vm->frames.nfree <= vm->frames.wm_new) &&
	    pageout_stale(vm))
		return false;
	p->hopeless = true;
	if (p->down_ns)
		pageout_up(vm);
	if (p->evict_want > 0) {
		p->evict_want = 0;
		wait_wake(vm, WAIT_EVICT, -ENOMEM, -1u);
	}
	pageout_refuse(vm);
	return wait_count(vm, WAIT_MEMORY) + wait_count(vm, WAIT_ROOM) == 0;
}

static bool pageout_is_exhausted(const struct vm *vm)
{
	const struct pageout *p = &vm->pageout;

	return p->idle_scans > 3ull * vm->frames.n && vm->io.inflight == 0 &&
	       vm_now_ns((struct vm *)vm) >= p->retry_ns;
}

/* The store takes nothing: who asked for frames is not kept, who needs one
 * waits for the store to come back. => how many frames to take now. */
static unsigned pageout_evict_fails(struct vm *vm)
{
	struct pageout *p = &vm->pageout;

	p->evict_want = 0;
	wait_wake(vm, WAIT_EVICT, -ENOMEM, -1u);
	return pageout_want(vm);
}

/* Until when to sleep; 0: until woken. */
static uint64_t pageout_nap(struct vm *vm, unsigned want, unsigned done,
			    uint64_t now)
{
	if (want && !done && vm->io.inflight == 0 &&
	    vm->pageout.retry_ns > now)
		return vm->pageout.retry_ns - now;
	for (struct object *o = vm->objects.dying; o; o = o->dying_next)
		if (o->retry_ns > now && o->nbusy == 0)
			return o->retry_ns - now;
	return 0;
}

/* Until a write is over, or may be tried again. @done: how many frames this
 * step took. */
static bool pageout_must_wait(struct vm *vm, unsigned done, uint64_t now)
{
	const struct pageout *p = &vm->pageout;

	if (vm->io.inflight && vm->io.free_writes == 0)
		return !done || vm->frames.nfree > vm->frames.wm_min;
	return !done && p->idle_scans > 2ull * vm->frames.n &&
	       (vm->io.inflight || p->retry_ns > now);
}

/* Nothing to do now: leave the CPU. => core lock held. */
static enum vm_step pageout_park(struct vm *vm, struct vm_thread *t,
				 unsigned want, unsigned done, uint64_t now)
{
	uint64_t nap = pageout_nap(vm, want, done, now);

	vm->pageout.parked = true;
	if (nap)
		vm_thread_sleep(t, nap);
	else
		vm_thread_park(t);
	return VM_STEP_WAIT;
}

/* A waiter that was woken may not have needed the frame after all: before the
 * daemon rests, everybody is woken who waits beside free memory. */
static void pageout_memory_waiters(struct vm *vm, bool rest)
{
	const struct frame_table *t = &vm->frames;

	if (t->nfree > t->wm_min)
		wait_wake(vm, WAIT_MEMORY, 0, rest ? UINT_MAX :
			  t->nfree - t->wm_min);
	if (t->nfree > t->wm_new)
		wait_wake(vm, WAIT_ROOM, 0, rest ? UINT_MAX :
			  t->nfree - t->wm_new);
}

/* Somebody waits because no write succeeds, for so long that people should
 * know. => now it is said. */
static bool pageout_says(struct vm *vm)
{
	struct pageout *p = &vm->pageout;
	uint64_t now = vm_now_ns(vm);

	if (!p->down_ns || p->down_said || !vm->cfg.waits ||
	    now < p->down_ns + PAGEOUT_SAY ||
	    now > p->down_last_ns + PAGEOUT_SAY ||
	    !(wait_count(vm, WAIT_MEMORY) + wait_count(vm, WAIT_ROOM) +
	      wait_count(vm, WAIT_STORE)))
		return false;
	p->down_said = true;
	return true;
}

static enum vm_step pageout_step(struct vm_thread *t, struct cpu *cpu)
{
	struct vm *vm = vm_thread_vm(t);
	struct pageout *p = &vm->pageout;
	enum vm_step next = VM_STEP_AGAIN;
	unsigned want, done = 0;
	struct object_stores close;
	uint64_t now;
	char name[sizeof(p->down_name)];
	int says = 0;

	(void)cpu;
	vm_lock(vm);
	p->parked = false;
	/* Looked at once: what is not due yet in one place must not be past in
	 * another, or nobody would wait for it. */
	now = vm_now_ns(vm);
	close = pageout_dying(vm, now);
	want = pageout_want(vm);
	if (want)
		done = pageout_batch(vm, want);
	if (want && !done && pageout_is_exhausted(vm) && pageout_exhausted(vm))
		want = 0;
	if (p->evict_want && !done && vm->io.inflight == 0 && p->failures > 3)
		want = pageout_evict_fails(vm);
	pageout_memory_waiters(vm, want == 0);
	if (!close.store && (!want || pageout_must_wait(vm, done, now)))
		next = pageout_park(vm, t, want, done, now);
	if (pageout_says(vm)) {
		memcpy(name, p->down_name, sizeof(name));
		says = -p->down_error;
	}
	vm_unlock(vm);
	if (says)
		vm->cfg.waits(vm->cfg.waits_ctx, name, says);
	if (done)
		sched_kick(vm);
	if (close.store)
		object_close(close);
	return next;
}
