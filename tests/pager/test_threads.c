/*
 * test_threads.c - several CPUs, hundreds of threads, one flat model each.
 *
 * Every thread owns certain bytes of every page: those at its number plus a
 * multiple of 256. Nobody else writes them, so it knows what they must be,
 * whatever goes on: other threads storing to the same pages, forks, eviction,
 * msync, mappings that come and go, and a host thread reaching in from
 * outside. A thread also forks its process, lives as the child for a while on
 * its own bytes, and comes back to find the parent's untouched.
 *
 * PAGER_SEED and PAGER_OPS (per thread) vary it; what happens depends on the
 * host's scheduling, so a seed does not repeat a failure.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "emu/cpu.h"
#include "pager/snapshot.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)
#define STRIDE	256u
#define PER	(TV_PAGE / STRIDE)	/* a thread's bytes in a page */
#define REGION	16u			/* pages of each kind */
#define SHARED	(2 * REGION)		/* file, then anonymous */
#define PAGES	(3 * REGION)		/* and private */
#define OWNMAP	64u			/* page where own mappings start */
#define HUGE_AT	1024u		/* or private in large pages, from here on, */
#define HUGE_STEP	128u		/* every so many */
#define NPROCS	4u
#define BURST	16u

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define OPS	1500u
#else
#define OPS	20000u
#endif

struct crowd {
	struct testvm t;
	unsigned nthreads;
	bool huge;
	int pid[NPROCS];
	atomic_uint alive, children;
	atomic_bool over;
	struct worker *w;
};

enum phase { LIVE, CHILD, MAPPED };

struct worker {
	struct crowd *c;
	unsigned id;
	int pid, child;
	uint64_t random;
	unsigned ops, phase_ops;
	enum phase phase;
	uint8_t shared[SHARED][PER];
	uint8_t own[REGION][PER];	/* private, in its process */
	uint8_t forked[REGION][PER];	/* private, in the child */
	uint8_t mapped;			/* first byte of its own mapping */
	/* The access in hand. */
	bool pending, write;
	unsigned page, k;
	uint8_t byte;
};

static uint64_t rnd(struct worker *w, uint64_t below)
{
	uint64_t z = (w->random += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return (z ^ z >> 31) % below;
}

static __attribute__((noreturn, format(printf, 2, 3))) void
bad(struct worker *w, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "\nthread %u, pid %d, phase %d, operation %u: ", w->id,
		w->phase == CHILD ? w->child : w->pid, w->phase, w->ops);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	abort();
}

static uint8_t *model(struct worker *w)
{
	if (w->phase == MAPPED)
		return &w->mapped;
	if (w->page < SHARED)
		return &w->shared[w->page][w->k];
	return w->phase == CHILD ? &w->forked[w->page - SHARED][w->k] :
				   &w->own[w->page - SHARED][w->k];
}

static uint64_t address(const struct worker *w)
{
	uint64_t page = w->page;

	if (w->phase == MAPPED)
		return TV_BASE + (OWNMAP + 2ull * w->id) * TV_PAGE + TV_PAGE;
	if (w->c->huge && page >= SHARED)
		page = HUGE_AT + (page - SHARED) * HUGE_STEP;
	return TV_BASE + page * TV_PAGE + w->k * STRIDE + w->id;
}

/* ---- one thread ---- */

/* => false: a fault. */
static bool access_one(struct worker *w, struct cpu *cpu)
{
	uint8_t b = 0;

	if (!w->pending) {
		w->page = (unsigned)rnd(w, PAGES);
		w->k = (unsigned)rnd(w, PER);
		w->write = rnd(w, 2);
		w->byte = (uint8_t)rnd(w, 256);
		w->pending = true;
	}
	if (w->write ? cpu_store8(cpu, address(w), w->byte) :
		       cpu_load8(cpu, address(w), &b))
		return false;
	w->pending = false;
	if (w->write)
		*model(w) = w->byte;
	else if (b != *model(w))
		bad(w, "page %u byte %u is %02x, not %02x", w->page,
		    w->k * STRIDE + w->id, b, *model(w));
	return true;
}

static void begin_child(struct worker *w, struct vm_thread *t)
{
	struct vm *vm = w->c->t.vm;
	int child;

	if (atomic_fetch_add(&w->c->children, 1) >= 6) {
		atomic_fetch_sub(&w->c->children, 1);
		return;
	}
	child = vm_fork(vm, w->pid, "child");
	if (child < 0) {
		if (child != -ENOMEM)
			bad(w, "fork: %d", child);
		atomic_fetch_sub(&w->c->children, 1);
		return;
	}
	memcpy(w->forked, w->own, sizeof(w->own));
	w->child = child;
	w->phase = CHILD;
	w->phase_ops = 100;
	if (vm_thread_switch(t, child) < 0)
		bad(w, "switch");
}

static void end_child(struct worker *w, struct vm_thread *t)
{
	if (vm_thread_switch(t, w->pid) < 0 ||
	    vm_exit(w->c->t.vm, w->child) < 0)
		bad(w, "end of child");
	atomic_fetch_sub(&w->c->children, 1);
	w->phase = LIVE;
}

static void begin_mapping(struct worker *w)
{
	struct vm_mmap m = {
		.addr = TV_BASE + (OWNMAP + 2ull * w->id) * TV_PAGE,
		.len = 2 * TV_PAGE, .prot = RW,
		.flags = VM_MAP_FIXED | VM_MAP_PRIVATE,
	};
	uint64_t at;

	if (vm_mmap(w->c->t.vm, w->pid, &m, &at))
		bad(w, "mmap");
	w->mapped = 0;
	w->phase = MAPPED;
	w->phase_ops = 20;
}

static void end_mapping(struct worker *w)
{
	if (vm_munmap(w->c->t.vm, w->pid,
		      TV_BASE + (OWNMAP + 2ull * w->id) * TV_PAGE,
		      2 * TV_PAGE))
		bad(w, "munmap");
	w->phase = LIVE;
}

/* Between accesses: perhaps another life begins or ends. */
static void change_phase(struct worker *w, struct vm_thread *t)
{
	if (w->phase != LIVE && w->phase_ops) {
		return;
	} else if (w->phase == CHILD) {
		end_child(w, t);
	} else if (w->phase == MAPPED) {
		end_mapping(w);
	} else if (rnd(w, 4) == 0) {
		begin_child(w, t);
	} else if (rnd(w, 4) == 0) {
		begin_mapping(w);
	}
}

static enum vm_step worker_step(struct vm_thread *t, struct cpu *cpu)
{
	struct worker *w = vm_thread_arg(t);
	const char *why = "";
	uint64_t addr = 0;
	int sig = vm_thread_signal(t, &addr, &why);
	unsigned n = 0, most;

	if (sig)
		bad(w, "signal %d at %llx: %s", sig, (unsigned long long)addr,
		    why);
	most = w->phase != LIVE && w->phase_ops < BURST ? w->phase_ops : BURST;
	cpu_enter(cpu);
	while (n < most && access_one(w, cpu))
		n++;
	cpu_leave(cpu);
	w->ops += n;
	if (w->phase != LIVE)
		w->phase_ops -= n;
	if (w->pending)
		return VM_STEP_FAULT;
	change_phase(w, t);
	if (w->ops < OPS || w->phase != LIVE)
		return VM_STEP_AGAIN;
	return VM_STEP_DONE;
}

static void worker_end(struct vm_thread *t, void *arg)
{
	struct worker *w = arg;

	(void)t;
	atomic_fetch_sub(&w->c->alive, 1);
}

/* ---- those who disturb ---- */

static enum vm_step disturb_step(struct vm_thread *t, struct cpu *cpu)
{
	struct worker *w = vm_thread_arg(t);

	(void)cpu;
	if (atomic_load(&w->c->over))
		return VM_STEP_DONE;
	switch (rnd(w, 4)) {
	case 0:
		vm_thread_evict(t, 1 + rnd(w, 64));
		break;
	case 1:
		vm_thread_sync(t);
		break;
	case 2:
		if (vm_thread_msync(t, TV_BASE + rnd(w, 8) * TV_PAGE,
				    TV_PAGE * (1 + rnd(w, 40)),
				    rnd(w, 2) ? VM_MS_SYNC : VM_MS_ASYNC))
			bad(w, "msync");
		break;
	default:
		vm_thread_sleep(t, 1000 * rnd(w, 2000));
	}
	return VM_STEP_WAIT;
}

/* A host thread with a number of its own reads and writes from outside. */
static void *outsider(void *arg)
{
	struct worker *w = arg;

	while (!atomic_load(&w->c->over)) {
		uint8_t b;

		w->page = (unsigned)rnd(w, PAGES);
		w->k = (unsigned)rnd(w, PER);
		b = (uint8_t)rnd(w, 256);
		if (rnd(w, 2)) {
			if (vm_poke(w->c->t.vm, w->pid, address(w), &b, 1,
				    NULL) != 1)
				bad(w, "poke");
			*model(w) = b;
		} else if (vm_peek(w->c->t.vm, w->pid, address(w), &b, 1,
				   NULL) != 1 || b != *model(w)) {
			bad(w, "peek page %u: %02x, not %02x", w->page, b,
			    *model(w));
		}
		w->ops++;
	}
	return NULL;
}

/* ---- the whole ---- */

static void make_procs(struct crowd *c)
{
	struct testvm *t = &c->t;

	mem_file_create(t->mem, "f", NULL, REGION * TV_PAGE);
	c->pid[0] = vm_proc_create(t->vm, "0");
	testvm_map(t, c->pid[0], TV_BASE, REGION, RW, VM_MAP_SHARED, "f", 0);
	testvm_map(t, c->pid[0], TV_BASE + REGION * TV_PAGE, REGION, RW,
		   VM_MAP_SHARED, NULL, 0);
	testvm_map(t, c->pid[0], TV_BASE + SHARED * TV_PAGE, REGION, RW,
		   VM_MAP_PRIVATE, NULL, 0);
	if (c->huge) {
		testvm_map(t, c->pid[0], TV_BASE + HUGE_AT * TV_PAGE,
			   REGION * HUGE_STEP, RW, VM_MAP_PRIVATE, NULL, 0);
		assert_int_equal(vm_madvise(t->vm, c->pid[0],
					    TV_BASE + HUGE_AT * TV_PAGE,
					    REGION * HUGE_STEP * TV_PAGE,
					    VM_MADV_HUGEPAGE), 0);
	}
	for (unsigned i = 1; i < NPROCS; i++) {
		c->pid[i] = vm_fork(t->vm, c->pid[0], "n");
		assert_true(c->pid[i] > 0);
	}
}

static void start(struct crowd *c, uint64_t seed)
{
	struct vm_thread_info info = { .step = worker_step,
				       .end = worker_end };

	c->w = calloc(c->nthreads + 3, sizeof(*c->w));
	atomic_store(&c->alive, c->nthreads);
	for (unsigned i = 0; i < c->nthreads + 3; i++) {
		struct worker *w = &c->w[i];

		w->c = c;
		w->id = i;
		w->pid = c->pid[i % NPROCS];
		w->random = seed * 1000 + i;
		info.arg = w;
		if (i == c->nthreads) {
			info.step = disturb_step;
			info.end = NULL;
		}
		/* The last is the outsider's. */
		if (i < c->nthreads + 2)
			assert_int_equal(vm_thread_start(c->t.vm, w->pid,
							 &info), 0);
	}
}

/* What the file must hold now. */
static void check_file(struct crowd *c)
{
	for (unsigned i = 0; i < c->nthreads + 3; i++) {
		struct worker *w = &c->w[i];
		uint8_t b;

		for (w->page = 0; w->page < REGION; w->page++) {
			for (w->k = 0; w->k < PER; w->k++) {
				mem_file_peek(c->t.mem, "f",
					      address(w) - TV_BASE, &b, 1);
				if (b != *model(w))
					bad(w, "file page %u", w->page);
			}
		}
	}
}

/* No frame has been busy for longer than the machine has been there, also
 * one whose I/O began while we looked. */
static void check_frames(struct crowd *c)
{
	struct snap_frame *frame;
	size_t n;

	assert_int_equal(snap_frames(c->t.vm, &frame, &n), 0);
	for (size_t i = 0; i < n; i++)
		assert_true(frame[i].busy_ns < 600000000000ull);
	free(frame);
}

static void run_crowd(const struct testvm_opts *o, unsigned nthreads,
		      bool huge)
{
	const char *env = getenv("PAGER_SEED");
	struct crowd *c = calloc(1, sizeof(*c));
	pthread_t host;

	c->nthreads = nthreads;
	c->huge = huge;
	testvm_make(&c->t, o);
	make_procs(c);
	start(c, env ? strtoull(env, NULL, 0) : 1);
	assert_int_equal(vm_start(c->t.vm), 0);
	pthread_create(&host, NULL, outsider, &c->w[nthreads + 2]);
	while (atomic_load(&c->alive)) {
		usleep(2000);
		vm_check(c->t.vm);
		for (unsigned i = 0; i < 8; i++)
			check_frames(c);
	}
	atomic_store(&c->over, true);
	pthread_join(host, NULL);
	vm_stop(c->t.vm);
	vm_run(c->t.vm);
	vm_check(c->t.vm);
	assert_int_equal(vm_msync(c->t.vm, c->pid[1], TV_BASE,
				  REGION * TV_PAGE, VM_MS_SYNC), 0);
	check_file(c);
	assert_true(!huge || (testvm_stat(&c->t, "thp_fault_alloc") > 0 &&
			      testvm_stat(&c->t, "thp_split_pmd") > 0));
	assert_int_equal(testvm_free(&c->t), 0);
	free(c->w);
	free(c);
}

static void test_two_cpus(void **state)
{
	struct testvm_opts o = { .frames = 96, .swap_slots = 16384,
				 .order = MEM_RANDOM, .ncpus = 2,
				 .real_clock = true, .seed = 1 };

	(void)state;
	run_crowd(&o, 120, false);
}

static void test_four_cpus(void **state)
{
	struct testvm_opts o = { .frames = 160, .swap_slots = 16384,
				 .order = MEM_RANDOM, .ncpus = 4,
				 .mode = VM_MODE_64,
				 .real_clock = true, .seed = 2 };

	(void)state;
	run_crowd(&o, 240, false);
}

static void test_much_ram(void **state)
{
	struct testvm_opts o = { .frames = 4096, .swap_slots = 16384,
				 .order = MEM_FIFO, .ncpus = 3,
				 .real_clock = true, .seed = 3 };

	(void)state;
	run_crowd(&o, 240, false);
}

/* Large pages, made, split, copied and evicted by all. */
static void test_large_pages(void **state)
{
	struct testvm_opts o = { .frames = 12288, .swap_slots = 65536,
				 .order = MEM_RANDOM, .ncpus = 2,
				 .mode = VM_MODE_64, .real_clock = true,
				 .seed = 6 };

	(void)state;
	run_crowd(&o, 24, true);
}

/* Every translation that a CPU uses is checked: a shootdown that is late or
 * left out is the end of the test (testvm.c). */
static void test_checked(void **state)
{
	struct testvm_opts o = { .frames = 192, .swap_slots = 16384,
				 .order = MEM_RANDOM, .ncpus = 3,
				 .mode = (enum vm_mode)(uintptr_t)*state,
				 .check_tlb = true, .real_clock = true,
				 .seed = 4 };

	run_crowd(&o, 60, false);
}

/* ---- threads that are left when the machine goes ---- */

enum left_how { PARKED, ALONE, ASLEEP, FAULTING, SYNCING, EVICTING, READY,
		LATE, LEFT };

struct left {
	struct testvm t;
	struct left_thread {
		struct left *l;
		enum left_how how;
		struct vm_thread *thread;
	} thread[LEFT];
	enum left_how ended[LEFT];
	unsigned n;
};

static enum vm_step left_step(struct vm_thread *t, struct cpu *cpu)
{
	struct left_thread *lt = vm_thread_arg(t);
	uint64_t v;
	int err = 0;

	lt->thread = t;
	switch (lt->how) {
	case ASLEEP:
		vm_thread_sleep(t, 3600000000000ull);
		break;
	case FAULTING:
		cpu_enter(cpu);
		err = cpu_load64(cpu, TV_BASE + TV_PAGE, &v);
		cpu_leave(cpu);
		assert_int_not_equal(err, 0);
		return VM_STEP_FAULT;
	case SYNCING:
		err = vm_thread_msync(t, TV_BASE, TV_PAGE, VM_MS_SYNC);
		break;
	case EVICTING:
		err = vm_thread_evict(t, 1000);
		break;
	case READY:
	case LATE:
		fail_msg("thread %d was run", lt->how);
		break;
	default:
		vm_thread_park(t);
	}
	assert_int_equal(err, 0);
	return VM_STEP_WAIT;
}

static void left_end(struct vm_thread *t, void *arg);

static void left_start(struct left *l, enum left_how how, int pid)
{
	struct left_thread *lt = &l->thread[how];
	struct vm_thread_info info = { .step = left_step, .end = left_end,
				       .arg = lt };

	lt->l = l;
	lt->how = how;
	assert_int_equal(vm_thread_start(l->t.vm, pid, &info), 0);
}

/* Another may be woken, and even started. */
static void left_end(struct vm_thread *t, void *arg)
{
	struct left_thread *lt = arg;
	struct left *l = lt->l;

	assert_int_equal(!!vm_thread_pid(t), lt->how != ALONE);
	l->ended[l->n++] = lt->how;
	if (lt->how == EVICTING)
		vm_thread_wake(l->thread[PARKED].thread);
	if (lt->how == SYNCING)
		left_start(l, LATE, vm_thread_pid(t));
}

/* Whatever they wait for, they end, the newest first, and nothing is lost. */
static void test_left(void **state)
{
	static const enum left_how order[LEFT] = {
		READY, EVICTING, SYNCING, LATE, FAULTING, ASLEEP, ALONE,
		PARKED,
	};
	struct testvm_opts o = { .frames = 64, .swap_slots = 64 };
	struct left l = { .n = 0 };
	uint8_t b = 7;
	int pid;

	(void)state;
	alarm(30);
	testvm_make(&l.t, &o);
	mem_file_create(l.t.mem, "f", NULL, 4 * TV_PAGE);
	pid = vm_proc_create(l.t.vm, "p");
	testvm_map(&l.t, pid, TV_BASE, 4, RW, VM_MAP_SHARED, "f", 0);
	testvm_map(&l.t, pid, TV_BASE + 8 * TV_PAGE, 1, RW, VM_MAP_PRIVATE,
		   NULL, 0);
	testvm_fill(&l.t, pid, TV_BASE, 1, 7);
	testvm_fill(&l.t, pid, TV_BASE + 8 * TV_PAGE, 1, 8);
	mem_hold(l.t.mem, MEM_OP_ANY, true);
	for (enum left_how how = PARKED; how < READY; how++)
		left_start(&l, how, how == ALONE ? 0 : pid);
	/* Its turn comes when all of them have had theirs. */
	assert_int_equal(testvm_load(&l.t, pid, TV_BASE + 8 * TV_PAGE, &b, 1,
				     NULL), 0);
	assert_int_equal(b, 8);
	left_start(&l, READY, pid);
	mem_hold(l.t.mem, MEM_OP_ANY, false);
	assert_int_equal(mem_release(l.t.mem, 100), 2);
	assert_int_equal(vm_destroy(l.t.vm), 0);
	assert_int_equal(l.n, LEFT);
	assert_memory_equal(l.ended, order, sizeof(order));
	mem_file_peek(l.t.mem, "f", 0, &b, 1);
	assert_int_equal(b, 7);
	assert_int_equal(mem_file_nopen(l.t.mem, "f"), 0);
	stale_destroy(l.t.stale);
	mem_swap_check(l.t.mem);
	mem_destroy(l.t.mem);
	ram_destroy(&l.t.ram);
	alarm(0);
}

/* A file is mapped again and again while writes to it fail: for the thread
 * sanitizer. */
struct failing {
	struct testvm t;
	int pid;
	atomic_bool over;
};

static void *failing_msync(void *arg)
{
	struct failing *f = arg;
	uint8_t b = 1;

	for (unsigned i = 0; i < 300; i++) {
		if (vm_poke(f->t.vm, f->pid, TV_BASE, &b, 1, NULL) != 1)
			abort();
		vm_msync(f->t.vm, f->pid, TV_BASE, TV_PAGE, VM_MS_SYNC);
	}
	atomic_store(&f->over, true);
	return NULL;
}

static void test_mapped_while_it_fails(void **state)
{
	struct testvm_opts o = { .ncpus = 2, .real_clock = true };
	struct failing f = { .over = false };
	pthread_t host;
	int q;

	(void)state;
	alarm(60);
	testvm_make(&f.t, &o);
	mem_file_create(f.t.mem, "f", NULL, 4 * TV_PAGE);
	f.pid = vm_proc_create(f.t.vm, "p");
	q = vm_proc_create(f.t.vm, "q");
	testvm_map(&f.t, f.pid, TV_BASE, 4, RW, VM_MAP_SHARED, "f", 0);
	mem_fail(f.t.mem, STORE_WRITE, 1, 0, EIO);
	assert_int_equal(vm_start(f.t.vm), 0);
	pthread_create(&host, NULL, failing_msync, &f);
	while (!atomic_load(&f.over))
		testvm_map(&f.t, q, TV_BASE, 4, RW, VM_MAP_SHARED, "f", 0);
	pthread_join(host, NULL);
	mem_fail_none(f.t.mem);
	vm_msync(f.t.vm, f.pid, TV_BASE, TV_PAGE, VM_MS_SYNC);
	testvm_free(&f.t);
	alarm(0);
}

int main(void)
{
#define CHECKED(m) { "test_checked " #m, test_checked, NULL, NULL, \
		     (void *)(uintptr_t)(m) }
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_cpus),
		cmocka_unit_test(test_four_cpus),
		cmocka_unit_test(test_much_ram),
		cmocka_unit_test(test_large_pages),
		cmocka_unit_test(test_left),
		cmocka_unit_test(test_mapped_while_it_fails),
		CHECKED(VM_MODE_32), CHECKED(VM_MODE_PAE),
		CHECKED(VM_MODE_64), CHECKED(VM_MODE_LA57),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
