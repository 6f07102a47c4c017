/*
 * machine.h - a machine for a bench, and threads that touch its pages.
 *
 *	machine_up(&m, &config);
 *	pid = machine_proc(&m); at = machine_map(&m, pid, path, pages, write);
 *	seconds = crew_run(&m, member, n);	n threads, each its own pages
 *	machine_unmap(&m, pid, at, pages); machine_down(&m);
 *
 * The time of a crew is from the first step of any of its threads to the end
 * of the last, so that starting them and waiting for them is not in it.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <pthread.h>
#include <unistd.h>

#include "bench/lib/measure.h"
#include "bench/lib/null_engine.h"
#include "emu/cpu.h"
#include "emu/ram.h"
#include "pager/vm.h"
#include "swap/engine.h"
#include "swap/swap_store.h"

#define PAGE		4096ull
#define MIB		(1ull << 20)

struct machine_config {
	uint64_t ram;			/* bytes */
	unsigned cpus, cluster;
	const char *swap;		/* path of a swap area; NULL: none */
	uint64_t swap_size;
	bool null;			/* the engine that moves nothing */
	bool stopped;			/* no host threads: vm_run() */
};

struct machine {
	struct ram ram;
	struct store_engine *engine;
	struct swap_store *swap;
	struct vm *vm;
	bool null, stopped;
};

static void machine_engine(struct machine *m, const struct machine_config *c)
{
	struct aio_config aio = {
		.ram = m->ram.base, .ram_size = m->ram.size,
	};
	int err = c->null ? null_engine_create(&m->engine) :
			    engine_create(&aio, &m->engine);

	if (!err && c->swap)
		err = engine_swap(m->engine, &m->swap);
	if (err)
		die("engine", err);
	if (!c->swap)
		return;
	err = swap_store_add(m->swap, c->swap, c->swap_size, 0);
	if (err < 0)
		die(c->swap, err);
}

UNUSED static void machine_up(struct machine *m,
			      const struct machine_config *c)
{
	struct vm_config config = { .ncpus = c->cpus, .mode = VM_MODE_64,
				    .cluster = c->cluster };
	const char *why = "";
	int err;

	*m = (struct machine){ .null = c->null, .stopped = c->stopped };
	err = ram_create(&m->ram, c->ram);
	if (err)
		die("RAM", err);
	machine_engine(m, c);
	config.ram = &m->ram;
	config.engine = m->engine;
	config.swap = m->swap;
	if (vm_create(&m->vm, &config, &why) < 0)
		die(why, 0);
	err = c->stopped ? 0 : vm_start(m->vm);
	if (err)
		die("CPUs", err);
}

UNUSED static void machine_down(struct machine *m)
{
	vm_destroy(m->vm);
	if (m->swap)
		m->swap->store.ops->close(&m->swap->store);
	if (m->null)
		free(m->engine);
	else
		engine_destroy(m->engine);
	ram_destroy(&m->ram);
}

UNUSED static uint64_t machine_stat(struct machine *m, const char *name)
{
	uint64_t v = 0;

	if (!vm_stat_get(m->vm, name, &v))
		die(name, 0);
	return v;
}

UNUSED static int machine_proc(struct machine *m)
{
	int pid = vm_proc_create(m->vm, "bench");

	if (pid < 0)
		die("process", pid);
	return pid;
}

/* Map @pages of file @path shared, or of anonymous memory (NULL). */
UNUSED static uint64_t machine_map(struct machine *m, int pid,
				   const char *path, uint64_t pages, bool write)
{
	struct vm_mmap args = {
		.len = pages * PAGE, .path = path,
		.prot = VM_PROT_READ | (write ? VM_PROT_WRITE : 0),
		.flags = path ? VM_MAP_SHARED : VM_MAP_PRIVATE,
	};
	uint64_t at;
	int err = vm_mmap(m->vm, pid, &args, &at);

	if (err)
		die(path ? path : "mmap", err);
	return at;
}

/* Until all pages are gone: those of a file go a little later. */
UNUSED static void machine_unmap(struct machine *m, int pid, uint64_t at,
				 uint64_t pages)
{
	int err = vm_munmap(m->vm, pid, at, pages * PAGE);

	if (err)
		die("munmap", err);
	if (m->stopped)
		vm_run(m->vm);
	while (machine_stat(m, "nr_objects") > 0)
		usleep(200);
}

/* ---- threads ---- */

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t over;
	unsigned left;
	bool begun;
	double begin, end;
};

/* One thread: touches page[0..n) (NULL: in order) of the mapping at @at. */
struct member {
	int pid;
	uint64_t at;
	const uint32_t *page;
	uint32_t n, i;
	bool store;
	struct crew *crew;
} __attribute__((aligned(64)));		/* i: written by its CPU all the time */

static int crew_touch(struct member *w, struct cpu *cpu)
{
	uint64_t va = w->at + PAGE * (w->page ? w->page[w->i] : w->i), v;

	return w->store ? cpu_store64(cpu, va, va) : cpu_load64(cpu, va, &v);
}

static void crew_begin(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	if (!c->begun)
		c->begin = now_s();
	c->begun = true;
	pthread_mutex_unlock(&c->lock);
}

static enum vm_step crew_step(struct vm_thread *t, struct cpu *cpu)
{
	struct member *w = vm_thread_arg(t);
	uint64_t addr;
	const char *why;

	if (w->i == 0 && !w->crew->begun)
		crew_begin(w->crew);
	if (vm_thread_signal(t, &addr, &why))
		die(why, 0);
	cpu_enter(cpu);
	for (unsigned n = 0; w->i < w->n && n < 64; n++, w->i++) {
		if (crew_touch(w, cpu)) {
			cpu_leave(cpu);
			return VM_STEP_FAULT;
		}
	}
	cpu_leave(cpu);
	return w->i < w->n ? VM_STEP_AGAIN : VM_STEP_DONE;
}

static void crew_end(struct vm_thread *t, void *arg)
{
	struct crew *c = ((struct member *)arg)->crew;

	(void)t;
	pthread_mutex_lock(&c->lock);
	c->end = now_s();
	if (--c->left == 0)
		pthread_cond_signal(&c->over);
	pthread_mutex_unlock(&c->lock);
}

/* => seconds. */
UNUSED static double crew_run(struct machine *m, struct member *w, unsigned n)
{
	struct crew c = { .lock = PTHREAD_MUTEX_INITIALIZER,
			  .over = PTHREAD_COND_INITIALIZER, .left = n };

	for (unsigned i = 0; i < n; i++) {
		struct vm_thread_info info = { .step = crew_step,
					       .end = crew_end, .arg = &w[i] };
		int err;

		w[i].crew = &c;
		w[i].i = 0;
		err = vm_thread_start(m->vm, w[i].pid, &info);
		if (err)
			die("thread", err);
	}
	if (m->stopped)
		vm_run(m->vm);
	pthread_mutex_lock(&c.lock);
	while (c.left)
		pthread_cond_wait(&c.over, &c.lock);
	pthread_mutex_unlock(&c.lock);
	return c.end - c.begin;
}

/* One thread over @n pages. => seconds. */
UNUSED static double crew_one(struct machine *m, int pid, uint64_t at,
			      const uint32_t *page, uint32_t n, bool store)
{
	struct member w = { .pid = pid, .at = at, .page = page, .n = n,
			    .store = store };

	return crew_run(m, &w, 1);
}

#endif
