/*
 * testvm.c - see testvm.h.
 */
#include "tests/lib/testvm.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/cpu.h"
#include "pager/process.h"
#include "pager/sched.h"

static struct testvm *testvm_of(struct store_engine *e)
{
	return (struct testvm *)e;
}

static void hook_kick(struct store_engine *e)
{
	struct store_engine *mem = mem_engine(testvm_of(e)->mem);

	mem->kick(mem);
}

static int hook_reap(struct store_engine *e, int64_t timeout_ns)
{
	struct testvm *t = testvm_of(e);
	struct store_engine *mem = mem_engine(t->mem);
	struct mem_stats st;

	mem_get_stats(t->mem, &st);
	if (timeout_ns != 0 && t->stuck && st.held &&
	    st.held == st.inflight) {
		t->stuck(t);
		return mem->reap(mem, 0);
	}
	return mem->reap(mem, timeout_ns);
}

static void hook_wake(struct store_engine *e)
{
	struct store_engine *mem = mem_engine(testvm_of(e)->mem);

	mem->wake(mem);
}

static int hook_open(struct store_engine *e, const char *path, bool writable,
		     struct store **store)
{
	struct store_engine *mem = mem_engine(testvm_of(e)->mem);

	return mem->open(mem, path, writable, store);
}

/* By any CPU, inside: an abort says where. */
static void testvm_stale(void *arg, const struct stale_report *r)
{
	struct testvm *t = arg;
	char text[400];

	t->last_stale = *r;
	if (t->stale_expected)
		return;
	stale_format(r, text, sizeof(text));
	fprintf(stderr, "%s\n", text);
	abort();
}

static bool testvm_checks(const struct testvm_opts *o)
{
	const char *env = getenv("PAGER_CHECK_TLB");

#ifdef CHECK_TLB	/* the debug build */
	return true;
#endif
	return o->check_tlb || (env && *env == '1');
}

void testvm_make(struct testvm *t, const struct testvm_opts *o)
{
	struct mem_config mc = {
		.seed = o->seed, .order = o->order,
		.swap_slots = o->swap_slots, .calm = o->calm,
	};
	struct vm_config vc = {
		.ram = &t->ram, .ncpus = o->ncpus ? o->ncpus : 1,
		.mode = o->mode, .virtual_clock = !o->real_clock,
		.cluster = o->cluster, .engine = &t->engine,
		.evict_always = o->evict_always,
	};
	const char *why = NULL;

	memset(t, 0, sizeof(*t));
	if (ram_create(&t->ram, (uint64_t)(o->frames ? o->frames : 64) *
		       TV_PAGE) < 0)
		abort();
	mc.ram = t->ram.base;
	mc.ram_size = t->ram.size;
	t->mem = mem_create(&mc);
	if (o->more_swap)
		mem_swap_add(t->mem, o->more_swap, o->more_priority);
	if (testvm_checks(o)) {
		t->stale = stale_create(testvm_stale, t);
		vc.stale = t->stale;
	}
	t->engine.kick = hook_kick;
	t->engine.reap = hook_reap;
	t->engine.wake = hook_wake;
	t->engine.open = hook_open;
	vc.swap = o->swap_slots ? mem_swap(t->mem) : NULL;
	if (vm_create(&t->vm, &vc, &why) < 0) {
		fprintf(stderr, "vm_create: %s\n", why);
		abort();
	}
}

uint64_t testvm_stat(struct testvm *t, const char *name)
{
	uint64_t value;

	if (!vm_stat_get(t->vm, name, &value))
		abort();
	return value;
}

uint64_t testvm_free_unchecked(struct testvm *t)
{
	uint64_t lost = vm_destroy(t->vm);

	stale_destroy(t->stale);
	mem_swap_check(t->mem);
	mem_destroy(t->mem);
	ram_destroy(&t->ram);
	return lost;
}

uint64_t testvm_free(struct testvm *t)
{
	struct proc *p, *tmp;

	vm_stop(t->vm);
	HASH_ITER(hh, t->vm->procs, p, tmp)
		vm_exit(t->vm, p->pid);
	vm_run(t->vm);
	vm_check(t->vm);
	assert(testvm_stat(t, "nr_page_table_pages") == 0);
	assert(testvm_stat(t, "nr_objects") == 0);
	assert(testvm_stat(t, "nr_swap_used") == 0);
	assert(testvm_stat(t, "nr_free_pages") == t->ram.nframes - 1);
	return testvm_free_unchecked(t);
}

void testvm_map(struct testvm *t, int pid, uint64_t addr, uint64_t npages,
		unsigned prot, unsigned flags, const char *path, uint64_t page)
{
	struct vm_mmap m = {
		.addr = addr, .len = npages * TV_PAGE, .prot = prot,
		.flags = flags | VM_MAP_FIXED, .path = path,
		.offset = page * TV_PAGE,
	};
	uint64_t at = 0;

	if (vm_mmap(t->vm, pid, &m, &at) < 0 || at != addr)
		abort();
}

/* ---- accesses by a thread ---- */

static enum vm_step access_step(struct vm_thread *th, struct cpu *cpu)
{
	struct testvm_access *a = vm_thread_arg(th);
	int err;

	a->sig = vm_thread_signal(th, &a->fault, &a->why);
	if (a->sig)
		return VM_STEP_DONE;
	cpu_enter(cpu);
	err = a->write ? cpu_store(cpu, a->addr, a->buf, a->len) :
			 cpu_load(cpu, a->addr, a->buf, a->len);
	cpu_leave(cpu);
	return err ? VM_STEP_FAULT : VM_STEP_DONE;
}

static void access_end(struct vm_thread *th, void *arg)
{
	struct testvm_access *a = arg;

	(void)th;
	a->done = true;
}

void testvm_begin(struct testvm *t, struct testvm_access *a, int pid)
{
	struct vm_thread_info info = {
		.step = access_step, .arg = a, .end = access_end,
	};

	a->t = t;
	a->done = false;
	if (vm_thread_start(t->vm, pid, &info) < 0)
		abort();
}

struct access_wait {
	struct testvm_access a;		/* first: found from it */
	struct host_waiter h;
};

static void access_wake(struct vm_thread *th, void *arg)
{
	struct access_wait *w = arg;

	(void)th;
	w->h.w.wake(&w->h.w);
}

/* Drives the machine only until the access is done: I/O may be left. */
static int access_now(struct testvm *t, struct access_wait *w, int pid)
{
	struct vm_thread_info info = {
		.step = access_step, .arg = w, .end = access_wake,
	};

	host_waiter_init(&w->h, t->vm);
	if (vm_thread_start(t->vm, pid, &info) < 0)
		abort();
	if (host_wait(&w->h) < 0)
		abort();
	return w->a.sig;
}

int testvm_load(struct testvm *t, int pid, uint64_t addr, void *buf,
		unsigned len, uint64_t *at)
{
	struct access_wait w = { .a = { .addr = addr, .len = len } };
	int sig = access_now(t, &w, pid);

	if (!sig)
		memcpy(buf, w.a.buf, len);
	else if (at)
		*at = w.a.fault;
	return sig;
}

int testvm_store(struct testvm *t, int pid, uint64_t addr, const void *buf,
		 unsigned len, uint64_t *at)
{
	struct access_wait w = {
		.a = { .addr = addr, .len = len, .write = true },
	};
	int sig;

	memcpy(w.a.buf, buf, len);
	sig = access_now(t, &w, pid);
	if (sig && at)
		*at = w.a.fault;
	return sig;
}

void testvm_fill(struct testvm *t, int pid, uint64_t addr, unsigned npages,
		 uint8_t byte)
{
	uint8_t page[TV_PAGE];

	memset(page, byte, sizeof(page));
	for (unsigned i = 0; i < npages; i++)
		if (vm_poke(t->vm, pid, addr + (uint64_t)i * TV_PAGE, page,
			    TV_PAGE, NULL) != TV_PAGE)
			abort();
}

uint8_t testvm_byte(struct testvm *t, int pid, uint64_t addr)
{
	uint8_t b = 0;

	if (vm_peek(t->vm, pid, addr, &b, 1, NULL) != 1)
		abort();
	return b;
}
