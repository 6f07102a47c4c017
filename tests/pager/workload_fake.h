/*
 * workload_fake.h - a machine small enough to trust: flat pages, one host
 * thread, faults and waits by the throw of a die.
 *
 * It gives test_workload.c the functions of vm.h and emu/cpu.h that the
 * runner calls, under other names (the macros at the end; the runner's
 * sources are included after them), and checks that the runner keeps to the
 * contract: accesses only between enter and leave, in the right process, not
 * too many without a poll or in one step; calls only outside; a switch takes
 * effect at the next step.
 *
 * Time is virtual and moves only when nobody can run.
 */
#ifndef TESTS_WORKLOAD_FAKE_H
#define TESTS_WORKLOAD_FAKE_H

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/cpu.h"
#include "pager/snapshot.h"
#include "pager/vm.h"
#include "pager/zipf.h"

#define FAKE_PROCS	8192
#define FAKE_PAGES	1024		/* of a process */
#define FAKE_HEAP	512		/* the first page above brk's start */
#define FAKE_BASE	0x10000000ull
#define FAKE_FILES	4
#define FAKE_FILE_PAGES	64

struct fake_frame {
	unsigned refs;
	uint8_t mem[4096];
};

struct fake_page {
	bool mapped, shared, past;	/* past: beyond the end of the file */
	unsigned prot;
	struct fake_frame *frame;
};

struct fake_proc {
	char name[64];
	uint64_t brk;
	struct fake_page page[FAKE_PAGES];
};

struct vm_thread {
	struct vm_thread *next;
	struct vm_thread_info info;
	struct vm *vm;
	int pid, result, signal;
	uint64_t first, last;		/* pages resident for it, if strict */
	bool dead, parked, woken, switched, bad;
	uint64_t until;			/* waits until then */
	uint64_t bad_addr;
	const char *why;
};

struct vm {
	struct fake_proc *proc[FAKE_PROCS];	/* by pid */
	int next_pid;
	struct vm_thread *threads;
	struct fake_frame *file[FAKE_FILES][FAKE_FILE_PAGES];
	struct vm_thread *now_running;
	struct cpu cpu;
	struct rng rng;
	unsigned fault_percent;		/* of accesses that must be repeated */
	bool strict;			/* see fake_resident() */
	uint64_t clock, pgfault, naccess, checks;
	unsigned step_accesses, unpolled, nthreads, max_threads;
	bool inside;
	bool no_evict;			/* it never comes back */
	bool no_procs;			/* frames, but no memory of the host */
};

static struct vm *fake;		/* there is one at a time */

static bool fake_dice(unsigned percent)
{
	return rng_below(&fake->rng, 100) < percent;
}

static void fake_outside(void)
{
	assert(!fake->inside);
}

/* ---- pages ---- */

static struct fake_frame *frame_new(void)
{
	struct fake_frame *f = calloc(1, sizeof(*f));

	f->refs = 1;
	return f;
}

static void frame_put(struct fake_frame *f)
{
	if (f && --f->refs == 0)
		free(f);
}

static struct fake_proc *fake_proc(int pid)
{
	return pid > 0 && pid < FAKE_PROCS ? fake->proc[pid] : NULL;
}

static struct fake_page *fake_page(struct fake_proc *p, uint64_t addr)
{
	uint64_t i = (addr - FAKE_BASE) / 4096;

	return p && addr >= FAKE_BASE && i < FAKE_PAGES ? &p->page[i] : NULL;
}

static void page_unmap(struct fake_page *pg)
{
	frame_put(pg->frame);
	memset(pg, 0, sizeof(*pg));
}

/* ---- the CPU ---- */

static int fake_bad(uint64_t va, int sig, const char *why)
{
	struct vm_thread *t = fake->now_running;

	t->signal = sig;
	t->bad = true;
	t->bad_addr = va;
	t->why = why;
	return -1;
}

static int fake_check(uint64_t va, unsigned prot)
{
	struct fake_page *pg;

	pg = fake_page(fake_proc(fake->now_running->pid), va);
	if (!pg || !pg->mapped)
		return fake_bad(va, SIGSEGV, "nothing is mapped there");
	if ((pg->prot & prot) != prot)
		return fake_bad(va, SIGSEGV, "the protection forbids it");
	if (pg->past)
		return fake_bad(va, SIGBUS, "past the end of the file");
	return 0;
}

/* A memory so small that a fault evicts all but what the access asked for. */
static bool fake_resident(uint64_t va, unsigned len)
{
	struct vm_thread *t = fake->now_running;
	uint64_t first = va / 4096, last = (va + len - 1) / 4096;

	if (first >= t->first && last <= t->last)
		return true;
	t->first = first;
	t->last = last;
	return false;
}

static int fake_may(uint64_t va, unsigned len, unsigned prot)
{
	assert(fake->inside && !fake->now_running->switched);
	assert(fake->now_running->pid > 0);
	fake->unpolled++;
	fake->step_accesses++;
	fake->naccess++;
	assert(fake->unpolled <= 66 && fake->step_accesses <= 256);
	if (fake_dice(fake->fault_percent)) {
		fake->pgfault++;
		return -1;
	}
	if (fake->strict && !fake_resident(va, len)) {
		fake->pgfault++;
		return -1;
	}
	return fake_check(va, prot) || fake_check(va + len - 1, prot) ? -1 : 0;
}

static uint8_t *fake_byte(uint64_t va)
{
	struct fake_page *pg;

	pg = fake_page(fake_proc(fake->now_running->pid), va);
	return &pg->frame->mem[va % 4096];
}

static void fake_cpu_enter(struct cpu *cpu)
{
	assert(cpu == &fake->cpu && !fake->inside);
	fake->inside = true;
	fake->unpolled = 0;
}

static void fake_cpu_leave(struct cpu *cpu)
{
	assert(cpu == &fake->cpu && fake->inside);
	fake->inside = false;
}

static void fake_cpu_poll(struct cpu *cpu)
{
	assert(cpu == &fake->cpu && fake->inside);
	fake->unpolled = 0;
}

static int fake_cpu_load(struct cpu *cpu, uint64_t va, void *buf, unsigned len)
{
	unsigned i;

	(void)cpu;
	if (fake_may(va, len, VM_PROT_READ))
		return -1;
	for (i = 0; i < len; i++)
		((uint8_t *)buf)[i] = *fake_byte(va + i);
	return 0;
}

static int fake_cpu_store(struct cpu *cpu, uint64_t va, const void *buf,
			  unsigned len)
{
	unsigned i;

	(void)cpu;
	if (fake_may(va, len, VM_PROT_WRITE))
		return -1;
	for (i = 0; i < len; i++)
		*fake_byte(va + i) = ((const uint8_t *)buf)[i];
	return 0;
}

static int fake_cpu_fetch(struct cpu *cpu, uint64_t va, void *buf, unsigned len)
{
	(void)cpu;
	memset(buf, 0, len);
	return fake_may(va, len, VM_PROT_EXEC);
}

#define FAKE_ACCESSORS(bits)						\
static int fake_cpu_load##bits(struct cpu *cpu, uint64_t va,		\
			       uint##bits##_t *v)			\
{									\
	return fake_cpu_load(cpu, va, v, bits / 8);			\
}									\
									\
static int fake_cpu_store##bits(struct cpu *cpu, uint64_t va,		\
				uint##bits##_t v)			\
{									\
	return fake_cpu_store(cpu, va, &v, bits / 8);			\
}

FAKE_ACCESSORS(8)
FAKE_ACCESSORS(16)
FAKE_ACCESSORS(32)
FAKE_ACCESSORS(64)

static void *fake_cpu_ptr(struct cpu *cpu, uint64_t va, enum mmu_access access)
{
	(void)cpu;
	if (fake_may(va, 1, access == MMU_WRITE ? VM_PROT_WRITE :
						  VM_PROT_READ))
		return NULL;
	return fake_byte(va);
}

/* ---- processes ---- */

static int fake_vm_proc_create(struct vm *vm, const char *name)
{
	struct fake_proc *p;

	fake_outside();
	if (vm->next_pid == FAKE_PROCS)
		return -EAGAIN;
	if (vm->no_procs)
		return -ENOMEM;
	p = calloc(1, sizeof(*p));
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->brk = FAKE_BASE + FAKE_HEAP * 4096;
	vm->proc[vm->next_pid] = p;
	return vm->next_pid++;
}

static void page_fork(struct fake_page *to, const struct fake_page *from)
{
	*to = *from;
	if (!from->frame)
		return;
	if (from->shared) {
		to->frame->refs++;
		return;
	}
	to->frame = frame_new();
	memcpy(to->frame->mem, from->frame->mem, 4096);
}

static int fake_vm_fork(struct vm *vm, int pid, const char *name)
{
	struct fake_proc *p = fake_proc(pid);
	int child, i;

	fake_outside();
	if (!p)
		return -ESRCH;
	child = fake_vm_proc_create(vm, name);
	if (child < 0)
		return child;
	for (i = 0; i < FAKE_PAGES; i++)
		page_fork(&vm->proc[child]->page[i], &p->page[i]);
	vm->proc[child]->brk = p->brk;
	return child;
}

static void proc_free(struct fake_proc *p)
{
	int i;

	for (i = 0; p && i < FAKE_PAGES; i++)
		page_unmap(&p->page[i]);
	free(p);
}

static int fake_vm_exit(struct vm *vm, int pid)
{
	struct fake_proc *p = fake_proc(pid);
	struct vm_thread *t;

	fake_outside();
	if (!p)
		return -ESRCH;
	proc_free(p);
	vm->proc[pid] = NULL;
	for (t = vm->threads; t; t = t->next)
		if (t->pid == pid) {
			assert(t != vm->now_running);
			t->dead = true;
		}
	return 0;
}

static int fake_vm_proc_find(struct vm *vm, const char *name)
{
	int pid;

	for (pid = 1; pid < vm->next_pid; pid++)
		if (vm->proc[pid] && !strcmp(vm->proc[pid]->name, name))
			return pid;
	return -ESRCH;
}

/* ---- mappings ---- */

/* The file "f0".."f3" at the end of the path; its first 8 pages are there. */
static struct fake_frame **fake_file(const char *path)
{
	size_t n = strlen(path);

	if (n < 2 || path[n - 2] != 'f' || path[n - 1] < '0' ||
	    path[n - 1] > '3')
		return NULL;
	return fake->file[path[n - 1] - '0'];
}

static uint64_t fake_room(struct fake_proc *p, uint64_t npages)
{
	uint64_t i, run = 0;

	for (i = 0; i < FAKE_HEAP; i++) {
		run = p->page[i].mapped ? 0 : run + 1;
		if (run == npages)
			return FAKE_BASE + (i + 1 - npages) * 4096;
	}
	return 0;
}

static struct fake_frame *fake_content(const struct vm_mmap *a, uint64_t i)
{
	struct fake_frame **file = a->path ? fake_file(a->path) : NULL, *f;

	i += a->offset / 4096;
	if (!file)
		return frame_new();
	if (i >= 8)
		return NULL;
	if (!file[i])
		file[i] = frame_new();
	if (a->flags & VM_MAP_SHARED) {
		file[i]->refs++;
		return file[i];
	}
	f = frame_new();
	memcpy(f->mem, file[i]->mem, 4096);
	return f;
}

static int fake_vm_mmap(struct vm *vm, int pid, const struct vm_mmap *a,
			uint64_t *at)
{
	struct fake_proc *p = fake_proc(pid);
	uint64_t n = (a->len + 4095) / 4096, i;
	struct fake_page *pg;

	(void)vm;
	fake_outside();
	if (!p)
		return -ESRCH;
	if (a->path && !fake_file(a->path))
		return -ENOENT;
	if (!n || a->offset % 4096 || a->addr % 4096)
		return -EINVAL;
	if (n > FAKE_PAGES)
		return -ENOMEM;
	*at = a->flags & VM_MAP_FIXED ? a->addr : fake_room(p, n);
	if (!fake_page(p, *at) || !fake_page(p, *at + (n - 1) * 4096))
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		pg = fake_page(p, *at + i * 4096);
		page_unmap(pg);
		pg->mapped = true;
		pg->shared = a->flags & VM_MAP_SHARED;
		pg->prot = a->prot;
		pg->frame = fake_content(a, i);
		pg->past = !pg->frame;
	}
	return 0;
}

/* => false: a hole. */
static bool fake_range(int pid, uint64_t addr, uint64_t len)
{
	struct fake_page *pg;
	uint64_t va;

	for (va = addr & ~4095ull; va < addr + len; va += 4096) {
		pg = fake_page(fake_proc(pid), va);
		if (!pg || !pg->mapped)
			return false;
	}
	return true;
}

static int fake_vm_munmap(struct vm *vm, int pid, uint64_t addr, uint64_t len)
{
	struct fake_page *pg;
	uint64_t va;

	(void)vm;
	fake_outside();
	if (addr % 4096 || !len)
		return -EINVAL;
	for (va = addr; va < addr + len; va += 4096) {
		pg = fake_page(fake_proc(pid), va);
		if (pg)
			page_unmap(pg);
	}
	return 0;
}

static int fake_vm_mprotect(struct vm *vm, int pid, uint64_t addr,
			    uint64_t len, unsigned prot)
{
	uint64_t va;

	(void)vm;
	fake_outside();
	if (!fake_range(pid, addr, len))
		return -ENOMEM;
	for (va = addr; va < addr + len; va += 4096)
		fake_page(fake_proc(pid), va)->prot = prot;
	return 0;
}

static __attribute__((unused)) int
fake_snap_pagetable(struct vm *vm, int pid, uint64_t addr, uint64_t len,
		    char **text, size_t *n)
{
	(void)vm;
	fake_outside();
	if (!fake_range(pid, addr, len))
		return -ESRCH;
	*text = strdup("tables\n");
	*n = 7;
	return 0;
}

static __attribute__((unused)) int
fake_snap_explain(struct vm *vm, int pid, uint64_t addr, int access,
		  char **text, size_t *n)
{
	(void)access;
	return fake_snap_pagetable(vm, pid, addr, 1, text, n);
}

static __attribute__((unused)) int
fake_vm_madvise(struct vm *vm, int pid, uint64_t addr, uint64_t len, int advice)
{
	(void)vm;
	(void)advice;
	fake_outside();
	return fake_range(pid, addr, len) ? 0 : -ENOMEM;
}

static int fake_vm_brk(struct vm *vm, int pid, uint64_t brk, uint64_t *now)
{
	struct vm_mmap a = { .prot = VM_PROT_READ | VM_PROT_WRITE,
			     .flags = VM_MAP_PRIVATE | VM_MAP_FIXED };
	struct fake_proc *p = fake_proc(pid);
	uint64_t at, from, to = (brk + 4095) & ~4095ull;
	int err = 0;

	fake_outside();
	if (!p)
		return -ESRCH;
	from = (p->brk + 4095) & ~4095ull;
	if (brk && to > from) {
		a.addr = from;
		a.len = to - from;
		err = fake_vm_mmap(vm, pid, &a, &at);
	} else if (brk && to < from) {
		err = fake_vm_munmap(vm, pid, to, from - to);
	}
	if (!err && brk)
		p->brk = brk;
	*now = p->brk;
	return err;
}

/* ---- threads ---- */

static int fake_vm_thread_start(struct vm *vm, int pid,
				const struct vm_thread_info *info)
{
	struct vm_thread *t = calloc(1, sizeof(*t));

	fake_outside();
	t->info = *info;
	t->vm = vm;
	t->pid = pid;
	t->next = vm->threads;
	vm->threads = t;
	if (++vm->nthreads > vm->max_threads)
		vm->max_threads = vm->nthreads;
	return 0;
}

static void *fake_vm_thread_arg(const struct vm_thread *t)
{
	return t->info.arg;
}

static int fake_vm_thread_pid(const struct vm_thread *t)
{
	return t->pid;
}

static int fake_vm_thread_switch(struct vm_thread *t, int pid)
{
	fake_outside();
	if (pid && !fake_proc(pid))
		return -ESRCH;
	t->pid = pid;
	t->switched = true;
	return 0;
}

static int fake_vm_thread_signal(struct vm_thread *t, uint64_t *addr,
				 const char **why)
{
	int sig = t->signal;

	*addr = t->bad_addr;
	*why = t->why;
	t->signal = 0;
	t->bad = false;
	return sig;
}

static void thread_wait(struct vm_thread *t, uint64_t ns)
{
	t->until = t->vm->clock + 1 + ns;
}

static void fake_vm_thread_sleep(struct vm_thread *t, uint64_t ns)
{
	fake_outside();
	thread_wait(t, ns);
}

static int fake_vm_thread_msync(struct vm_thread *t, uint64_t addr,
				uint64_t len, unsigned flags)
{
	fake_outside();
	assert(flags == VM_MS_SYNC || flags == VM_MS_ASYNC);
	t->result = fake_range(t->pid, addr, len) ? 0 : -ENOMEM;
	thread_wait(t, rng_below(&t->vm->rng, 10));
	return 0;
}

static int fake_vm_thread_sync(struct vm_thread *t)
{
	t->result = 0;
	thread_wait(t, 3);
	return 0;
}

static __attribute__((unused)) void
fake_vm_thread_memory(struct vm_thread *t)
{
	t->result = 0;
	thread_wait(t, 3);
}

static int fake_vm_thread_evict(struct vm_thread *t, uint64_t nframes)
{
	t->result = (int)nframes;
	thread_wait(t, 3);
	t->parked = t->vm->no_evict;
	return 0;
}

static void fake_vm_thread_park(struct vm_thread *t)
{
	fake_outside();
	if (!t->woken)
		t->parked = true;
	t->woken = false;
}

static void fake_vm_thread_wake(struct vm_thread *t)
{
	if (!t->parked)
		t->woken = true;
	t->parked = false;
}

static int fake_vm_thread_result(const struct vm_thread *t)
{
	return t->result;
}

/* ---- the machine ---- */

static void fake_vm_check(struct vm *vm)
{
	fake_outside();
	vm->checks++;
}

static uint64_t fake_vm_now_ns(struct vm *vm)
{
	return vm->clock;
}

static bool fake_vm_stat(struct vm *vm, unsigned index, const char **name,
			 uint64_t *value)
{
	fake_outside();
	*name = index ? "naccess" : "pgfault";
	*value = index ? vm->naccess : vm->pgfault;
	return index < 2;
}

static bool fake_vm_stat_get(struct vm *vm, const char *name, uint64_t *value)
{
	const char *n;
	unsigned i;

	if (!strcmp(name, "clock")) {
		*value = vm->clock;
		return true;
	}
	for (i = 0; fake_vm_stat(vm, i, &n, value); i++)
		if (!strcmp(n, name))
			return true;
	return false;
}

/* => true: the thread has ended. */
static bool thread_run(struct vm_thread *t)
{
	struct vm *vm = t->vm;
	enum vm_step r = VM_STEP_DONE;

	vm->now_running = t;
	vm->step_accesses = 0;
	t->switched = false;
	if (!t->dead)
		r = t->info.step(t, &vm->cpu);
	fake_outside();
	assert(r == VM_STEP_FAULT || !t->bad);
	vm->now_running = NULL;
	if (r == VM_STEP_FAULT && !t->bad)
		thread_wait(t, rng_below(&vm->rng, 5));
	return r == VM_STEP_DONE;
}

/* One round. => threads that were run. */
static unsigned fake_round(struct vm *vm)
{
	struct vm_thread **link = &vm->threads, *t;
	unsigned ran = 0;

	while ((t = *link)) {
		if (!t->dead && (t->parked || t->until > vm->clock ||
				 fake_dice(30))) {
			ran += !t->parked && t->until <= vm->clock;
			link = &t->next;
			continue;
		}
		ran++;
		if (!thread_run(t)) {
			link = &t->next;
			continue;
		}
		/* the list may have grown at its head */
		for (link = &vm->threads; *link != t; link = &(*link)->next)
			;
		*link = t->next;
		vm->nthreads--;
		t->info.end(t, t->info.arg);
		free(t);
	}
	return ran;
}

static bool fake_advance(struct vm *vm)
{
	uint64_t next = UINT64_MAX;
	struct vm_thread *t;

	for (t = vm->threads; t; t = t->next)
		if (!t->parked && t->until > vm->clock && t->until < next)
			next = t->until;
	if (next == UINT64_MAX)
		return false;
	vm->clock = next;
	return true;
}

static void fake_vm_run(struct vm *vm)
{
	while (fake_round(vm) || fake_advance(vm))
		;
}

static struct vm *fake_create(uint64_t seed, unsigned fault_percent)
{
	fake = calloc(1, sizeof(*fake));
	fake->next_pid = 1;
	fake->rng.state = seed;
	fake->fault_percent = fault_percent;
	return fake;
}

static void fake_destroy(void)
{
	struct vm_thread *t;
	int i, j;

	assert(!fake->threads || fake->no_evict);
	/* As vm_destroy(): the newest first. */
	while ((t = fake->threads)) {
		fake->threads = t->next;
		t->info.end(t, t->info.arg);
		free(t);
	}
	for (i = 0; i < FAKE_PROCS; i++)
		proc_free(fake->proc[i]);
	for (i = 0; i < FAKE_FILES; i++)
		for (j = 0; j < FAKE_FILE_PAGES; j++)
			frame_put(fake->file[i][j]);
	free(fake);
}

#define cpu_enter fake_cpu_enter
#define cpu_leave fake_cpu_leave
#define cpu_poll fake_cpu_poll
#define cpu_load fake_cpu_load
#define cpu_store fake_cpu_store
#define cpu_fetch fake_cpu_fetch
#define cpu_load8 fake_cpu_load8
#define cpu_load16 fake_cpu_load16
#define cpu_load32 fake_cpu_load32
#define cpu_load64 fake_cpu_load64
#define cpu_store8 fake_cpu_store8
#define cpu_store16 fake_cpu_store16
#define cpu_store32 fake_cpu_store32
#define cpu_store64 fake_cpu_store64
#define cpu_ptr fake_cpu_ptr
#define vm_run fake_vm_run
#define vm_proc_create fake_vm_proc_create
#define vm_fork fake_vm_fork
#define vm_exit fake_vm_exit
#define vm_proc_find fake_vm_proc_find
/* with arguments, so that the struct of the same name stays */
#define vm_mmap(vm, pid, args, at) fake_vm_mmap(vm, pid, args, at)
#define vm_munmap fake_vm_munmap
#define vm_mprotect fake_vm_mprotect
#define vm_madvise fake_vm_madvise
#define snap_pagetable fake_snap_pagetable
#define snap_explain fake_snap_explain
#define vm_brk fake_vm_brk
#define vm_thread_start fake_vm_thread_start
#define vm_thread_arg fake_vm_thread_arg
#define vm_thread_pid fake_vm_thread_pid
#define vm_thread_switch fake_vm_thread_switch
#define vm_thread_signal fake_vm_thread_signal
#define vm_thread_sleep fake_vm_thread_sleep
#define vm_thread_msync fake_vm_thread_msync
#define vm_thread_sync fake_vm_thread_sync
#define vm_thread_evict fake_vm_thread_evict
#define vm_thread_progress(t) ((void)(t))
#define vm_interrupt(vm) ((void)(vm))
#define vm_thread_memory fake_vm_thread_memory
#define vm_thread_park fake_vm_thread_park
#define vm_thread_wake fake_vm_thread_wake
#define vm_thread_result fake_vm_thread_result
#define vm_check fake_vm_check
#define vm_now_ns fake_vm_now_ns
#define vm_stat fake_vm_stat
#define vm_stat_get fake_vm_stat_get

#endif
