/*
 * test_sync.c - msync and sync: what they cover, whom they tell of errors, and
 * threads that wait in them.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "emu/cpu.h"
#include "pager/process.h"
#include "pager/sync.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)
#define N	8u

static struct testvm t;
static int pid;

static int make(void **state)
{
	struct testvm_opts o = { .frames = 64, .swap_slots = 256 };

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, N * TV_PAGE);
	mem_file_create(t.mem, "g", NULL, N * TV_PAGE);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, N, RW, VM_MAP_SHARED, "f", 0);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	mem_fail_none(t.mem);
	assert_int_equal(testvm_free(&t), 0);
	return 0;
}

static uint8_t in_file(const char *name, unsigned page)
{
	uint8_t b;

	mem_file_peek(t.mem, name, page * TV_PAGE + 5, &b, 1);
	return b;
}

static int sync_pages(int who, unsigned page, unsigned n, unsigned flags)
{
	return vm_msync(t.vm, who, TV_BASE + page * TV_PAGE, n * TV_PAGE,
			flags);
}

/* Only the range, also with a hole; private memory is none of its business. */
static void test_range(void **state)
{
	(void)state;
	testvm_map(&t, pid, TV_BASE + (N + 1) * TV_PAGE, 2, RW, VM_MAP_SHARED,
		   "g", 2);
	testvm_map(&t, pid, TV_BASE + (N + 3) * TV_PAGE, 2, RW,
		   VM_MAP_PRIVATE, "g", 4);
	testvm_fill(&t, pid, TV_BASE, N, 1);
	testvm_fill(&t, pid, TV_BASE + (N + 1) * TV_PAGE, 4, 2);
	assert_int_equal(sync_pages(pid, 2, 2, VM_MS_SYNC), 0);
	assert_int_equal(in_file("f", 2), 1);
	assert_int_equal(in_file("f", 3), 1);
	assert_int_equal(sync_pages(pid, 6, 7, VM_MS_SYNC), -ENOMEM);
	assert_int_equal(in_file("f", 7), 1);
	assert_int_equal(in_file("g", 2), 2);
	assert_int_equal(in_file("g", 3), 2);
	assert_int_equal(in_file("g", 4), 0);
	assert_int_equal(sync_pages(pid, 0, 0, VM_MS_SYNC), 0);
	assert_int_equal(sync_pages(pid, 0, N, VM_MS_ASYNC), 0);
	vm_run(t.vm);
	assert_int_equal(in_file("f", 0), 1);
}

/* Once to each mapping, those made by fork and by a second mmap too, but not
 * to one made later. */
static void test_error_once(void **state)
{
	int child, late;

	(void)state;
	child = vm_fork(t.vm, pid, "c");
	testvm_map(&t, pid, TV_BASE + 16 * TV_PAGE, N, RW, VM_MAP_SHARED, "f",
		   0);
	testvm_fill(&t, pid, TV_BASE, 2, 1);
	mem_fail(t.mem, STORE_WRITE, 1, 1, ENOSPC);
	vm_evict(t.vm, 64);		/* fails behind everybody's back */
	vm_run(t.vm);
	assert_true(testvm_stat(&t, "pgwriteerr") > 0);
	late = vm_proc_create(t.vm, "l");
	testvm_map(&t, late, TV_BASE, N, RW, VM_MAP_SHARED, "f", 0);
	assert_int_equal(sync_pages(late, 0, N, VM_MS_SYNC), 0);
	for (int round = 0; round < 2; round++) {
		int want = round ? 0 : -ENOSPC;

		assert_int_equal(sync_pages(pid, 0, N, VM_MS_SYNC), want);
		assert_int_equal(sync_pages(child, 0, N, VM_MS_SYNC), want);
		assert_int_equal(sync_pages(pid, 16, N, VM_MS_SYNC), want);
		assert_int_equal(sync_pages(late, 0, N, VM_MS_SYNC), 0);
	}
	assert_int_equal(in_file("f", 1), 1);
}

/* A hole in the range does not take the place of an error, which would not be
 * said again. */
static void test_error_and_hole(void **state)
{
	const uint64_t g = TV_BASE + (N + 1) * TV_PAGE;

	(void)state;
	testvm_map(&t, pid, g, N, RW, VM_MAP_SHARED, "g", 0);
	for (int round = 0; round < 2; round++) {
		testvm_fill(&t, pid, TV_BASE, 1, 1);
		testvm_fill(&t, pid, g, 1, 1);
		mem_fail(t.mem, STORE_WRITE, 1, 1, EIO);
		assert_int_equal(sync_pages(pid, 0, 2 * N + 1, VM_MS_SYNC),
				 -EIO);
		assert_int_equal(sync_pages(pid, 0, 2 * N + 1, VM_MS_SYNC),
				 -ENOMEM);
	}
}

/* More clusters than can be under way: every other page of a file is dirty,
 * with @dense the others are in RAM too. @fail of the writes fail, from the
 * first on (0: all): all are tried, each once. */
static void scattered(uint64_t fail, bool dense)
{
	struct testvm_opts o = { .frames = 512, .cluster = 2 };
	struct mem_stats before, after;
	const unsigned n = 150;
	unsigned there = 0;

	testvm_free(&t);
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, 2 * n * TV_PAGE);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 2 * n, RW, VM_MAP_SHARED, "f", 0);
	for (unsigned i = 0; i < 2 * n; i++)
		if (i % 2 == 0)
			testvm_fill(&t, pid, TV_BASE + i * TV_PAGE, 1, 7);
		else if (dense)
			testvm_byte(&t, pid, TV_BASE + i * TV_PAGE);
	mem_fail(t.mem, STORE_WRITE, 1, fail, EIO);
	mem_get_stats(t.mem, &before);
	assert_int_equal(sync_pages(pid, 0, 2 * n, VM_MS_SYNC), -EIO);
	mem_get_stats(t.mem, &after);
	assert_int_equal(after.writes - before.writes, n);
	for (unsigned i = 0; i < n; i++)
		there += in_file("f", 2 * i) == 7;
	assert_int_equal(there, fail ? n - fail : 0);
	mem_fail_none(t.mem);
	assert_int_equal(sync_pages(pid, 0, 2 * n, VM_MS_SYNC), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(in_file("f", 2 * i), 7);
}

static void test_all_tried(void **state)
{
	(void)state;
	for (int dense = 0; dense < 2; dense++) {
		scattered(1, dense);
		scattered(60, dense);
		scattered(0, dense);
	}
}

/* ---- a thread that touches and is evicted, for ever and ever ---- */

struct loop {
	unsigned left;
	int sig;
	bool out;
	uint64_t at;
};

static enum vm_step loop_step(struct vm_thread *th, struct cpu *cpu)
{
	struct loop *l = vm_thread_arg(th);
	uint8_t b;
	int err;

	l->sig = vm_thread_signal(th, NULL, NULL);
	if (l->sig || l->left == 0)
		return VM_STEP_DONE;
	cpu_enter(cpu);
	err = cpu_load8(cpu, TV_BASE, &b);
	cpu_leave(cpu);
	if (err)
		return VM_STEP_FAULT;
	l->left--;
	vm_thread_evict(th, 64);
	return VM_STEP_WAIT;
}

static void test_touch_and_evict(void **state)
{
	struct loop l = { .left = 5000 };
	struct vm_thread_info info = { .step = loop_step, .arg = &l };

	(void)state;
	assert_int_equal(vm_thread_start(t.vm, pid, &info), 0);
	vm_run(t.vm);
	assert_int_equal(l.sig, 0);
	assert_int_equal(l.left, 0);
}

/* More frames than any machine has, asked for twice at once. */
static enum vm_step evict_step(struct vm_thread *th, struct cpu *cpu)
{
	struct loop *l = vm_thread_arg(th);

	(void)cpu;
	if (l->left-- == 0) {
		l->out = true;
		return VM_STEP_DONE;
	}
	vm_thread_evict(th, 1ull << 63);
	return VM_STEP_WAIT;
}

static void test_evict_all_twice(void **state)
{
	struct loop l[2] = { { .left = 1 }, { .left = 1 } };
	struct vm_thread_info info = { .step = evict_step };

	(void)state;
	testvm_fill(&t, pid, TV_BASE, N, 7);
	for (unsigned i = 0; i < 2; i++) {
		info.arg = &l[i];
		assert_int_equal(vm_thread_start(t.vm, pid, &info), 0);
	}
	vm_run(t.vm);
	assert_true(l[0].out && l[1].out);
	testvm_fill(&t, pid, TV_BASE, N, 8);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE), 8);
	assert_int_equal(vm_evict(t.vm, UINT64_MAX), N);
}

/* Longer than there is time left: until the end of it, not until now. */
static enum vm_step sleep_step(struct vm_thread *th, struct cpu *cpu)
{
	struct loop *l = vm_thread_arg(th);

	(void)cpu;
	if (l->left == 0)
		return VM_STEP_DONE;
	vm_thread_sleep(th, l->left-- == 2 ? 1000 : UINT64_MAX - 10);
	return VM_STEP_WAIT;
}

static void test_sleep_for_ever(void **state)
{
	struct loop l = { .left = 2 };
	struct vm_thread_info info = { .step = sleep_step, .arg = &l };

	(void)state;
	assert_int_equal(vm_thread_start(t.vm, pid, &info), 0);
	vm_run(t.vm);
	assert_true(vm_now_ns(t.vm) == UINT64_MAX);
}

/* A process that ends while a thread of it waits in msync. */
static enum vm_step msync_step(struct vm_thread *th, struct cpu *cpu)
{
	struct loop *l = vm_thread_arg(th);

	(void)cpu;
	if (l->out) {
		l->sig = vm_thread_result(th);
		return VM_STEP_DONE;
	}
	l->out = true;
	assert_int_equal(vm_thread_msync(th, l->at, N * TV_PAGE, VM_MS_SYNC),
			 0);
	return VM_STEP_WAIT;
}

static void exit_stuck(struct testvm *tv)
{
	vm_exit(tv->vm, pid);
	vm_check(tv->vm);
	mem_release(tv->mem, 1);
}

static void test_exit_in_msync(void **state)
{
	struct loop l = { .sig = 1, .at = TV_BASE };
	struct vm_thread_info info = { .step = msync_step, .arg = &l };

	(void)state;
	testvm_fill(&t, pid, TV_BASE, N, 9);
	t.stuck = exit_stuck;
	mem_hold(t.mem, MEM_OP_ANY, true);
	assert_int_equal(vm_thread_start(t.vm, pid, &info), 0);
	vm_run(t.vm);
	mem_hold(t.mem, MEM_OP_ANY, false);
	assert_true(l.sig <= 0);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(in_file("f", i), 9);
	assert_int_equal(mem_file_nopen(t.mem, "f"), 0);
}

/* All that can run does so; I/O that is held is not waited for. */
static void let_run(void)
{
	uint8_t b;

	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(testvm_load(&t, pid, TV_BASE + 15 * TV_PAGE,
					     &b, 1, NULL), 0);
}

/* A file becomes writable and is unmapped while an fsync by the store that
 * could only read is under way: neither store goes before its end. */
static void test_writable_in_fsync(void **state)
{
	const uint64_t ro = TV_BASE + 16 * TV_PAGE, rw = ro + 16 * TV_PAGE;
	struct loop l = { .sig = 1, .at = ro };
	struct vm_thread_info info = { .step = msync_step, .arg = &l };
	uint8_t b = 9;

	(void)state;
	testvm_map(&t, pid, TV_BASE + 15 * TV_PAGE, 1, RW, VM_MAP_PRIVATE,
		   NULL, 0);
	mem_file_readonly(t.mem, "g", true);
	testvm_map(&t, pid, ro, N, VM_PROT_READ, VM_MAP_SHARED, "g", 0);
	mem_hold(t.mem, STORE_SYNC, true);
	assert_int_equal(vm_thread_start(t.vm, pid, &info), 0);
	let_run();
	mem_file_readonly(t.mem, "g", false);
	testvm_map(&t, pid, rw, N, RW, VM_MAP_SHARED, "g", 0);
	assert_int_equal(testvm_store(&t, pid, rw + 5, &b, 1, NULL), 0);
	assert_int_equal(vm_munmap(t.vm, pid, ro, N * TV_PAGE), 0);
	assert_int_equal(vm_munmap(t.vm, pid, rw, N * TV_PAGE), 0);
	let_run();
	assert_true(l.out && l.sig == 1);
	assert_int_equal(mem_file_nopen(t.mem, "g"), 2);
	mem_hold(t.mem, STORE_SYNC, false);
	assert_int_equal(mem_release(t.mem, 2), 1);
	vm_run(t.vm);
	assert_int_equal(l.sig, 0);
	assert_int_equal(in_file("g", 0), 9);
	assert_int_equal(mem_file_nopen(t.mem, "g"), 0);
}

/* ---- a sync by itself, step by step ---- */

static void note_wake(struct waiter *w)
{
	(void)w;
}

/* The write that is under way is waited for, and not the next one of a page
 * which others store to and write again and again. @sparse: by the object's
 * list. */
static void hot_page(bool sparse)
{
	struct waiter w = { .wake = note_wake };
	struct sync s;

	testvm_map(&t, pid, TV_BASE + 15 * TV_PAGE, 1, RW, VM_MAP_PRIVATE,
		   NULL, 0);
	testvm_fill(&t, pid, TV_BASE, 1, 7);
	mem_hold(t.mem, STORE_WRITE, true);
	assert_int_equal(sync_init(&s, proc_get(t.vm, pid), TV_BASE,
				   (sparse ? N : 1) * TV_PAGE, VM_MS_SYNC), 0);
	proc_put(t.vm, s.p);
	assert_int_equal(sync_step(t.vm, &s, &w), SYNC_WAIT);
	assert_int_equal(s.stage, SYNC_DRAIN);
	let_run();
	assert_int_equal(mem_release(t.mem, 1), 1);
	testvm_fill(&t, pid, TV_BASE, 1, 8);
	assert_int_equal(sync_pages(pid, 0, N, VM_MS_ASYNC), 0);
	let_run();
	assert_non_null(mem_held(t.mem, 0));
	assert_int_equal(sync_step(t.vm, &s, &w), SYNC_WAIT);
	assert_int_equal(s.stage, SYNC_FSYNC);
	mem_hold(t.mem, STORE_WRITE, false);
	mem_release(t.mem, 1);
	vm_run(t.vm);
	assert_int_equal(sync_step(t.vm, &s, &w), SYNC_DONE);
	assert_int_equal(s.result, 0);
	assert_int_equal(in_file("f", 0), 8);
}

static void test_hot_page(void **state)
{
	(void)state;
	alarm(20);
	hot_page(false);
	hot_page(true);
	alarm(0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
	const struct CMUnitTest tests[] = {
		T(test_range), T(test_error_once), T(test_error_and_hole), T(test_all_tried),
		T(test_touch_and_evict), T(test_evict_all_twice),
		T(test_sleep_for_ever),
		T(test_exit_in_msync), T(test_writable_in_fsync),
		T(test_hot_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
