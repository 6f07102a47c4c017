/*
 * test_fault.c - one page fault at a time, and ten thousand.
 *
 * Faults that share a read, ends of files, files that shrink or go while they
 * are mapped, memory that is not enough.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "emu/cpu.h"
#include "pager/lookout.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)

static uint64_t reads(struct testvm *t)
{
	struct mem_stats st;

	mem_get_stats(t->mem, &st);
	return st.reads;
}

static void test_two_faults_one_read(void **state)
{
	struct testvm_opts o = { .swap_slots = 64 };
	struct testvm_access a[3];
	struct testvm t;
	int pid, child;

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", "hello", 5);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 1, RW, VM_MAP_SHARED, "f", 0);
	child = vm_fork(t.vm, pid, "c");
	for (unsigned i = 0; i < 3; i++) {
		memset(&a[i], 0, sizeof(a[i]));
		a[i].addr = TV_BASE;
		a[i].len = 5;
		testvm_begin(&t, &a[i], i < 2 ? pid : child);
	}
	vm_run(t.vm);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(a[i].done && a[i].sig == 0);
		assert_memory_equal(a[i].buf, "hello", 5);
	}
	assert_int_equal(reads(&t), 1);
	assert_int_equal(testvm_stat(&t, "pgmajfault"), 1);
	assert_true(testvm_stat(&t, "pgshare") >= 1);
	assert_int_equal(testvm_free(&t), 0);
}

/* The read is held: meanwhile. */
static void map_for_writing(struct testvm *t)
{
	mem_file_readonly(t->mem, "f", false);
	testvm_map(t, 1, TV_BASE + 8 * TV_PAGE, 4, RW, VM_MAP_SHARED, "f", 0);
	t->stuck = NULL;
	mem_hold(t->mem, STORE_READ, false);
	mem_release(t->mem, 1);
}

/* A file that could only be read is mapped for writing while a page of it is
 * being read: that read ends, and the stores get to the file. */
static void test_becomes_writable(void **state)
{
	struct testvm_opts o = { .swap_slots = 64 };
	struct testvm_access a = { .addr = TV_BASE, .len = 1 };
	static const uint8_t old[4 * TV_PAGE] = "old";
	struct testvm t;
	uint8_t b;
	int pid;

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", old, sizeof(old));
	mem_file_readonly(t.mem, "f", true);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 4, VM_PROT_READ, VM_MAP_SHARED, "f", 0);
	testvm_begin(&t, &a, pid);
	mem_hold(t.mem, STORE_READ, true);
	t.stuck = map_for_writing;
	vm_run(t.vm);
	assert_true(a.done);
	assert_int_equal(a.sig, 0);
	assert_int_equal(a.buf[0], 'o');
	testvm_fill(&t, pid, TV_BASE + 8 * TV_PAGE, 4, 0x66);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE), 0x66);
	assert_int_equal(vm_msync(t.vm, pid, TV_BASE + 8 * TV_PAGE,
				  4 * TV_PAGE, VM_MS_SYNC), 0);
	mem_file_peek(t.mem, "f", 3 * TV_PAGE, &b, 1);
	assert_int_equal(b, 0x66);
	assert_int_equal(testvm_free(&t), 0);
}

/* ---- ends of files ---- */

static void test_past_end(void **state)
{
	struct testvm_opts o = { .swap_slots = 64 };
	uint8_t page[TV_PAGE], data[TV_PAGE + 100];
	struct testvm_access a = { .addr = TV_BASE + 2 * TV_PAGE, .len = 1 };
	struct testvm t;
	int pid, sig;

	(void)state;
	memset(data, 0x11, sizeof(data));
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", data, sizeof(data));
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 4, RW, VM_MAP_SHARED, "f", 0);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + TV_PAGE, page, TV_PAGE,
				 NULL), TV_PAGE);
	assert_int_equal(page[99], 0x11);
	for (unsigned i = 100; i < TV_PAGE; i++)
		assert_int_equal(page[i], 0);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + 2 * TV_PAGE, page, 1,
				 &sig), -EFAULT);
	assert_int_equal(sig, SIGBUS);
	testvm_begin(&t, &a, pid);
	vm_run(t.vm);
	assert_int_equal(a.sig, SIGBUS);
	assert_string_equal(a.why, "past the end of the file");
	/* Stores past the end stay out of the file, and do not extend it. */
	testvm_fill(&t, pid, TV_BASE + TV_PAGE, 1, 0x22);
	assert_int_equal(vm_msync(t.vm, pid, TV_BASE, 4 * TV_PAGE, VM_MS_SYNC),
			 0);
	assert_int_equal(mem_file_size(t.mem, "f"), sizeof(data));
	vm_evict(t.vm, 64);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + TV_PAGE, page, TV_PAGE,
				 NULL), TV_PAGE);
	assert_int_equal(page[99], 0x22);
	assert_int_equal(page[100], 0);
	assert_int_equal(testvm_free(&t), 0);
}

/* Noticed, though no page of it is read or written. */
static void test_lookout(void **state)
{
	struct testvm_opts o = { .swap_slots = 64 };
	uint64_t far = TV_BASE + 8 * TV_PAGE;
	struct testvm t;
	uint8_t b = 0x55;
	int pid, sig;

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, 5 * TV_PAGE);
	for (int i = 0; i < 5; i++)
		mem_file_poke(t.mem, "f", i * TV_PAGE + 99, &b, 1);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 5, RW, VM_MAP_SHARED, "f", 0);
	testvm_map(&t, pid, far, 5, RW, VM_MAP_PRIVATE, "f", 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(testvm_byte(&t, pid, far + i * TV_PAGE + 99),
				 0x55);
	testvm_fill(&t, pid, TV_BASE + 2 * TV_PAGE, 1, 0x33);
	testvm_fill(&t, pid, far + 4 * TV_PAGE, 1, 0x44);
	lookout_look(t.vm);
	assert_int_equal(testvm_stat(&t, "pgtruncated"), 0);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 3 * TV_PAGE + 99),
			 0x55);
	mem_file_resize(t.mem, "f", TV_PAGE + 10);
	lookout_look(t.vm);
	assert_int_equal(testvm_stat(&t, "pgtruncated"), 2);
	for (int i = 3; i < 5; i++) {
		assert_int_equal(vm_peek(t.vm, pid, TV_BASE + i * TV_PAGE, &b,
					 1, &sig), -EFAULT);
		assert_int_equal(sig, SIGBUS);
	}
	assert_int_equal(vm_peek(t.vm, pid, far + 3 * TV_PAGE, &b, 1, &sig),
			 -EFAULT);
	/* What is dirty stays, and so does what is private; what the end cuts
	 * through has zeros behind it. */
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 2 * TV_PAGE), 0x33);
	assert_int_equal(testvm_byte(&t, pid, far + 4 * TV_PAGE), 0x44);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + TV_PAGE + 99), 0);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 99), 0x55);
	/* Longer, and shorter again, between two looks. */
	mem_file_resize(t.mem, "f", 5 * TV_PAGE);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 4 * TV_PAGE + 99), 0);
	mem_file_resize(t.mem, "f", TV_PAGE + 10);
	lookout_look(t.vm);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + 4 * TV_PAGE, &b, 1,
				 &sig), -EFAULT);
	/* The dirty one is written: it has no place. */
	assert_int_equal(vm_msync(t.vm, pid, TV_BASE, 5 * TV_PAGE, VM_MS_SYNC),
			 0);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + 2 * TV_PAGE, &b, 1,
				 &sig), -EFAULT);
	assert_int_equal(mem_file_size(t.mem, "f"), TV_PAGE + 10);
	assert_int_equal(testvm_free(&t), 0);
}

static void test_truncated(void **state)
{
	struct testvm_opts o = { .swap_slots = 64 };
	struct testvm t;
	uint8_t b;
	int pid, sig;

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, 4 * TV_PAGE);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 4, RW, VM_MAP_SHARED, "f", 0);
	testvm_map(&t, pid, TV_BASE + 8 * TV_PAGE, 4, RW, VM_MAP_PRIVATE, "f",
		   0);
	testvm_fill(&t, pid, TV_BASE, 4, 0x33);
	testvm_fill(&t, pid, TV_BASE + 10 * TV_PAGE, 1, 0x44);
	mem_file_resize(t.mem, "f", TV_PAGE + 10);
	assert_int_equal(vm_msync(t.vm, pid, TV_BASE, 4 * TV_PAGE, VM_MS_SYNC),
			 0);
	assert_int_equal(mem_file_size(t.mem, "f"), TV_PAGE + 10);
	assert_int_equal(testvm_stat(&t, "pgtruncated"), 2);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + 3 * TV_PAGE, &b, 1,
				 &sig), -EFAULT);
	assert_int_equal(sig, SIGBUS);
	/* The others are there, and the private copy is nobody's business. */
	assert_int_equal(testvm_byte(&t, pid, TV_BASE), 0x33);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 10 * TV_PAGE), 0x44);
	mem_file_peek(t.mem, "f", TV_PAGE + 9, &b, 1);
	assert_int_equal(b, 0x33);
	/* Extended again: zeros. */
	mem_file_resize(t.mem, "f", 4 * TV_PAGE);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 3 * TV_PAGE), 0);
	/* Replaced under its name: the mapping is of the old one. */
	mem_file_create(t.mem, "f", NULL, 0);
	testvm_fill(&t, pid, TV_BASE, 1, 0x55);
	assert_int_equal(vm_sync(t.vm), 0);
	vm_evict(t.vm, 64);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE), 0x55);
	assert_int_equal(testvm_free(&t), 0);
}

/* ---- not enough memory ---- */

/* Full of pages that cannot go: who asks for more is told, nobody else. */
static void test_swap_full(void **state)
{
	struct testvm_opts o = { .frames = 48, .swap_slots = 20 };
	struct testvm_access a = { .len = 1, .write = true };
	unsigned n = 0;
	struct testvm t;
	int pid, other;

	(void)state;
	alarm(20);
	testvm_make(&t, &o);
	other = vm_proc_create(t.vm, "other");
	testvm_map(&t, other, TV_BASE, 4, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, other, TV_BASE, 4, 0x66);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 200, RW, VM_MAP_PRIVATE, NULL, 0);
	while (n < 200) {
		a.addr = TV_BASE + n * TV_PAGE;
		a.buf[0] = (uint8_t)(n + 1);
		testvm_begin(&t, &a, pid);
		vm_run(t.vm);
		assert_true(a.done);
		if (a.sig)
			break;
		n++;
	}
	assert_int_equal(a.sig, SIGBUS);
	assert_non_null(strstr(a.why, "out of memory"));
	assert_true(n >= 50 && n < 65);
	assert_true(testvm_stat(&t, "oom") > 0);
	vm_check(t.vm);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(testvm_byte(&t, pid, TV_BASE + i * TV_PAGE),
				 (uint8_t)(i + 1));
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(testvm_byte(&t, other, TV_BASE + i * TV_PAGE),
				 0x66);
	/* Room again: on it goes. */
	assert_int_equal(vm_munmap(t.vm, pid, TV_BASE, 30 * TV_PAGE), 0);
	testvm_fill(&t, pid, TV_BASE + 100 * TV_PAGE, 10, 1);
	assert_int_equal(testvm_free(&t), 0);
	alarm(0);
}

/* Pages so far apart that each needs tables of its own. */
static void test_tables_fill_ram(void **state)
{
	struct testvm_opts o = { .frames = 24, .swap_slots = 20,
				 .mode = VM_MODE_64 };
	struct testvm_access a = { .len = 1, .write = true };
	struct testvm t;
	int pid, refused = 0;

	(void)state;
	alarm(20);
	testvm_make(&t, &o);
	pid = vm_proc_create(t.vm, "p");
	for (uint64_t i = 0; i < 60; i++) {
		a.addr = TV_BASE + (i << 30);
		testvm_map(&t, pid, a.addr, 1, RW, VM_MAP_PRIVATE, NULL, 0);
		testvm_begin(&t, &a, pid);
		vm_run(t.vm);
		assert_true(a.done);
		refused += a.sig == SIGBUS;
		assert_true(a.sig == 0 || a.sig == SIGBUS);
		vm_check(t.vm);
	}
	assert_true(refused > 0);
	assert_int_equal(testvm_free(&t), 0);
	alarm(0);
}

/* ---- ten thousand ---- */

#define CROWD	10000u

struct crowd {
	atomic_uint left;
	struct {
		struct crowd *c;
		uint64_t addr;
		uint8_t want;
	} one[CROWD];
};

static enum vm_step crowd_step(struct vm_thread *t, struct cpu *cpu)
{
	__typeof__(((struct crowd *)0)->one[0]) *o = vm_thread_arg(t);
	uint8_t b = 0;
	int err;

	if (vm_thread_signal(t, NULL, NULL))
		abort();
	cpu_enter(cpu);
	err = cpu_load8(cpu, o->addr, &b);
	cpu_leave(cpu);
	if (err)
		return VM_STEP_FAULT;
	if (b != o->want)
		abort();
	return VM_STEP_DONE;
}

static void crowd_end(struct vm_thread *t, void *arg)
{
	__typeof__(((struct crowd *)0)->one[0]) *o = arg;

	(void)t;
	atomic_fetch_sub(&o->c->left, 1);
}

/* @same of them on one page, the others each on its own: all are served. */
static void crowd_run(uint32_t frames, unsigned same, bool start)
{
	struct testvm_opts o = { .frames = frames, .swap_slots = 64,
				 .ncpus = 2, .real_clock = true };
	struct vm_thread_info info = { .step = crowd_step, .end = crowd_end };
	struct crowd *c = calloc(1, sizeof(*c));
	uint8_t *data = calloc(CROWD, TV_PAGE);
	struct testvm t;
	int pid;

	testvm_make(&t, &o);
	for (unsigned i = 0; i < CROWD; i++)
		data[(size_t)i * TV_PAGE] = (uint8_t)i;
	mem_file_create(t.mem, "f", data, (uint64_t)CROWD * TV_PAGE);
	free(data);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, CROWD, VM_PROT_READ, VM_MAP_SHARED, "f",
		   0);
	atomic_store(&c->left, CROWD);
	for (unsigned i = 0; i < CROWD; i++) {
		/* The last ones: everything is busy when they come. */
		unsigned page = i < CROWD - same ? i : CROWD - 1;

		c->one[i].c = c;
		c->one[i].addr = TV_BASE + (uint64_t)page * TV_PAGE;
		c->one[i].want = (uint8_t)page;
		info.arg = &c->one[i];
		assert_int_equal(vm_thread_start(t.vm, pid, &info), 0);
	}
	if (start)
		assert_int_equal(vm_start(t.vm), 0);
	else
		vm_run(t.vm);
	for (int i = 0; i < 20000 && atomic_load(&c->left); i++)
		usleep(1000);
	assert_int_equal(atomic_load(&c->left), 0);
	vm_stop(t.vm);
	vm_check(t.vm);
	assert_int_equal(testvm_free(&t), 0);
	free(c);
}

static void test_ten_thousand(void **state)
{
	(void)state;
	for (int start = 0; start < 2; start++) {
		crowd_run(256, 0, start);
		crowd_run(256, CROWD - 500, start);
		crowd_run(16384, 0, start);
		crowd_run(16384, CROWD - 2000, start);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_faults_one_read),
		cmocka_unit_test(test_becomes_writable),
		cmocka_unit_test(test_past_end),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_lookout),
		cmocka_unit_test(test_swap_full),
		cmocka_unit_test(test_tables_fill_ram),
		cmocka_unit_test(test_ten_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
