/*
 * vm.c - the machine as a whole: made, checked, taken down.
 */
#include "pager/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/caches.h"
#include "pager/check.h"
#include "pager/comeback.h"
#include "pager/core.h"
#include "pager/frame.h"
#include "pager/object.h"
#include "pager/pageio.h"
#include "pager/pageout.h"
#include "pager/percpu.h"
#include "pager/process.h"
#include "pager/rmap.h"
#include "pager/sched.h"
#include "pager/slotmap.h"
#include "pager/sync.h"
#include "pager/wait.h"

#define VM_RAM_MIN	16	/* frames: a page table or two, and pages */

static const char *vm_config_error(const struct vm_config *c)
{
	if (!c->ram)
		return "no RAM";
	if (!c->engine)
		return "no store engine";
	if (c->ncpus < 1 || c->ncpus >= CPU_MAX)
		return "the number of CPUs must be 1 to 63";
	if (c->ram->nframes < VM_RAM_MIN)
		return "RAM must be at least 64 KiB (16 frames)";
	if ((c->mode == VM_MODE_32 || c->mode == VM_MODE_PAE) && c->ram->size > 1ull << 32)
		return "32-bit page tables reach no more than 4 GiB of RAM";
	if (c->ram->size > 1ull << 44)
		return "RAM cannot be more than 16 TiB";
	if (c->cluster > STORE_MAX_PAGES)
		return "a cluster is at most 256 pages";
	if (c->wm_min > c->wm_low || c->wm_low > c->wm_high ||
	    c->wm_high >= c->ram->nframes)
		return "watermarks must be min <= low <= high < frames";
	return NULL;
}

static void vm_free(struct vm *vm)
{
	sched_destroy(vm);
	caches_destroy(vm);
	pageout_destroy(vm);
	pageio_destroy(vm);
	slotmap_destroy(vm);
	rmap_destroy(vm);
	frame_destroy(vm);
	percpu_destroy(vm);
	if (vm->objects.o)
		object_destroy(vm);
	free(vm->pmap_proc);
	pthread_mutex_destroy(&vm->lock);
	pthread_mutex_destroy(&vm->service_lock);
	free(vm);
}

/* In the order in which each needs the one before. */
static int vm_init(struct vm *vm)
{
	int (*init[])(struct vm *) = {
		percpu_init, frame_init, object_init, slotmap_init, pageio_init,
		sched_create, caches_create, pageout_init,
	};
	int err = 0;

	for (unsigned i = 0; i < sizeof(init) / sizeof(*init) && !err; i++)
		err = init[i](vm);
	return err;
}

int vm_create(struct vm **out, const struct vm_config *config, const char **why)
{
	pthread_mutexattr_t attr;
	struct vm *vm;
	int err;

	*why = vm_config_error(config);
	if (*why)
		return -EINVAL;
	vm = aligned_alloc(_Alignof(struct vm), sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	memset(vm, 0, sizeof(*vm));
	vm->cfg = *config;
	vm->ram = *config->ram;
	if (vm->cfg.cluster == 0)
		vm->cfg.cluster = STORE_MAX_PAGES;
	vm->ncpus = config->ncpus;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&vm->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	pthread_mutex_init(&vm->service_lock, NULL);
	wait_init(vm);
	err = vm_init(vm);
	if (err < 0) {
		*why = "not enough host memory for the frame table";
		vm_free(vm);
		return err;
	}
	*out = vm;
	return 0;
}

/* ---- taking down ---- */

/* A CPU that sets D tells nobody: they are counted when asked for. */
static uint64_t vm_dirty(const struct vm *vm)
{
	uint64_t n = 0;

	for (uint32_t pfn = 1; pfn < vm->frames.n; pfn++)
		n += frame_at(vm, pfn)->state == FRAME_PAGE &&
		     pmap_dirty(vm, pfn);
	return n;
}

/* Close a file nobody maps; what is dirty of it is lost. */
static void vm_abandon(struct vm *vm, struct object *o)
{
	struct object_stores stores;
	struct gather g;

	gather_init(&g);
	vm_lock(vm);
	object_drop_range(vm, o, 0, UINT64_MAX, &g);
	gather_flush(vm, &g);
	stores = object_bury(vm, o);
	vm_unlock(vm);
	object_close(stores);
}

/* Write what is dirty, twice if that fails. => how much still is */
static uint64_t vm_write_back(struct vm *vm)
{
	uint64_t n;

	if (vm_sync(vm) < 0)
		vm_sync(vm);
	sched_settle(vm);
	vm_lock(vm);
	n = vm_dirty(vm);
	vm_unlock(vm);
	return n;
}

uint64_t vm_end(struct vm *vm)
{
	struct proc *p, *tmp;

	vm_stop(vm);
	sched_end_threads(vm);
	HASH_ITER(hh, vm->procs, p, tmp)
		vm_exit(vm, p->pid);
	return vm_write_back(vm);
}

uint64_t vm_destroy(struct vm *vm)
{
	uint64_t lost = vm_end(vm);

	/* Its store may be back, and nobody has had the time to notice. */
	if (lost && comeback_look(vm, true))
		lost = vm_write_back(vm);
	while (vm->objects.dying)
		vm_abandon(vm, vm->objects.dying);
	vm_free(vm);
	return lost;
}

/* ---- the machine as a whole ---- */

/* Step @s in a host thread until it is done. */
static int vm_sync_host(struct vm *vm, struct sync *s)
{
	struct host_waiter h;

	host_waiter_init(&h, vm);
	while (sync_step(vm, s, &h.w) == SYNC_WAIT)
		if (host_wait(&h) == -EDEADLK) {
			sync_drop(vm, s, &h.w);
			return -EDEADLK;
		}
	return s->result;
}

int vm_sync(struct vm *vm)
{
	struct sync s;

	sync_init_all(&s);
	return vm_sync_host(vm, &s);
}

void vm_interrupt(struct vm *vm)
{
	vm_lock(vm);
	wait_wake(vm, WAIT_MEMORY, -EINTR, -1u);
	wait_wake(vm, WAIT_ROOM, -EINTR, -1u);
	wait_wake(vm, WAIT_STORE, -EINTR, -1u);
	vm_unlock(vm);
}

int vm_msync(struct vm *vm, int pid, uint64_t addr, uint64_t len,
	     unsigned flags)
{
	struct proc *p = proc_get(vm, pid);
	struct sync s;
	int err;

	if (!p)
		return -ESRCH;
	err = sync_init(&s, p, addr, len, flags);
	if (err == 0)
		err = vm_sync_host(vm, &s);
	proc_put(vm, p);
	return err;
}

uint64_t vm_evict(struct vm *vm, uint64_t nframes)
{
	struct sync s;
	uint64_t before, after;

	vm_stat_get(vm, "pgsteal", &before);
	sync_init_evict(&s, nframes);
	vm_sync_host(vm, &s);
	vm_stat_get(vm, "pgsteal", &after);
	return after - before;
}

void vm_check(struct vm *vm)
{
	struct proc *p, *tmp;

	vm_lock(vm);
	frame_check(vm);
	slotmap_check(vm);
	object_check(vm);
	HASH_ITER(hh, vm->procs, p, tmp)
		pmap_check(vm, &p->pmap);
	check_machine(vm);
	vm_unlock(vm);
}

/* ---- counters ---- */

static const char *const vm_stat_name[] = {
#define X(id, name, ...) [VM_STAT_##id] = name,
	VM_STATS(X)
	VM_STATS_TLB(X)
#undef X
	[VM_STAT_TLB_UPPER] = "tlb_psc_hits",
	[VM_STAT_TLB_CYCLES] = "tlb_cycles",
	[VM_STAT_TLB_STALE] = "tlb_stale",
};

static uint64_t vm_swap_used(const struct vm *vm)
{
	struct swap_store *s = vm->cfg.swap;
	struct swap_area_info info;
	uint64_t n = 0;

	for (unsigned a = 0; s && a < SWAP_AREAS_MAX; a++)
		if (s->info(s, a, &info) == 0)
			n += info.nused;
	return n;
}

static uint64_t vm_stat_value(const struct vm *vm, unsigned i)
{
	switch (i) {
	case VM_STAT_FREE:
		return frame_nfree(vm);
	case VM_STAT_DIRTY:
		return vm_dirty(vm);
	case VM_STAT_WRITEBACK:
		return vm->io.writing;
	case VM_STAT_READING:
		return vm->frames.nbusy - vm->io.writing;
	case VM_STAT_TABLES:
		return vm->frames.ntables;
	case VM_STAT_SWAPUSED:
		return vm_swap_used(vm);
	case VM_STAT_OBJECTS:
		return vm->objects.live;
	default:
		return i < VM_NSTATS ?
			       vm->stat[i] + percpu_stat(vm, i) :
			       caches_stat(vm, (enum vm_stat_id)i);
	}
}

bool vm_stat(struct vm *vm, unsigned index, const char **name, uint64_t *value)
{
	if (index >= (unsigned)(vm->model[0] ? VM_NSTATS_ALL : VM_NSTATS))
		return false;
	*name = vm_stat_name[index];
	vm_lock(vm);
	*value = vm_stat_value(vm, index);
	vm_unlock(vm);
	return true;
}

bool vm_stat_get(struct vm *vm, const char *name, uint64_t *value)
{
	const char *have;

	for (unsigned i = 0; i < VM_NSTATS_ALL; i++) {
		if (strcmp(vm_stat_name[i], name) == 0)
			return vm_stat(vm, i, &have, value);
	}
	return false;
}
