/*
 * test_pageout.c - pages on their way out, stopped in the middle.
 *
 * Writes are held, so that what happens during one can be looked at at
 * leisure; then all I/Os of a small scenario are held and let go in every
 * order there is. And what a frame costs does not depend on how many there
 * are.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)

static uint64_t reads(struct testvm *t)
{
	struct mem_stats st;

	mem_get_stats(t->mem, &st);
	return st.reads;
}

/* ---- a thread that evicts or syncs, once ---- */

enum behind { EVICT, SYNC };

struct behind_one {
	enum behind what;
	bool begun, done;
	int result;
};

static enum vm_step behind_step(struct vm_thread *th, struct cpu *cpu)
{
	struct behind_one *b = vm_thread_arg(th);

	(void)cpu;
	if (b->begun) {
		b->result = vm_thread_result(th);
		b->done = true;
		return VM_STEP_DONE;
	}
	b->begun = true;
	if (b->what == EVICT)
		vm_thread_evict(th, 64);
	else
		vm_thread_msync(th, TV_BASE, 8 * TV_PAGE, VM_MS_SYNC);
	return VM_STEP_WAIT;
}

static void behind(struct testvm *t, int pid, struct behind_one *b,
		   enum behind what)
{
	struct vm_thread_info info = { .step = behind_step, .arg = b };

	memset(b, 0, sizeof(*b));
	b->what = what;
	assert_int_equal(vm_thread_start(t->vm, pid, &info), 0);
}

/* ---- during a write ---- */

struct during {
	int pid, stage;
	uint64_t addr;
	struct testvm_access load, store;
	uint64_t reads;
};

/* Everything in flight is held. */
static void during_stuck(struct testvm *t)
{
	struct during *d = t->ctx;

	switch (d->stage++) {
	case 0:
		/* Busy from submission on, and seen to be. */
		assert_int_equal(testvm_stat(t, "nr_writeback"), 1);
		vm_check(t->vm);
		d->load.addr = d->addr;
		d->load.len = 1;
		testvm_begin(t, &d->load, d->pid);
		break;
	case 1:
		/* A load takes the page back without waiting. */
		assert_true(d->load.done && d->load.sig == 0);
		assert_int_equal(d->load.buf[0], 0x31);
		assert_int_equal(testvm_stat(t, "pgbusywait"), 0);
		assert_int_equal(testvm_stat(t, "nr_writeback"), 1);
		vm_check(t->vm);
		d->store.addr = d->addr + 1;
		d->store.len = 1;
		d->store.write = true;
		d->store.buf[0] = 0x32;
		testvm_begin(t, &d->store, d->pid);
		break;
	case 2:
		/* A store waits. */
		assert_false(d->store.done);
		assert_int_equal(testvm_stat(t, "pgbusywait"), 1);
		vm_check(t->vm);
		/* fall through */
	default:
		mem_release(t->mem, 1);
	}
}

static void during_write(bool file, bool msync)
{
	struct testvm_opts o = { .swap_slots = 64, .seed = 5 };
	struct during d = { .addr = TV_BASE };
	struct behind_one b;
	struct testvm t;

	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, 8 * TV_PAGE);
	d.pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, d.pid, TV_BASE, 8, RW,
		   file ? VM_MAP_SHARED : VM_MAP_PRIVATE, file ? "f" : NULL,
		   0);
	testvm_fill(&t, d.pid, TV_BASE, 1, 0x31);
	t.ctx = &d;
	t.stuck = during_stuck;
	d.reads = reads(&t);
	mem_hold(t.mem, STORE_WRITE, true);
	behind(&t, d.pid, &b, msync ? SYNC : EVICT);
	vm_run(t.vm);
	mem_hold(t.mem, STORE_WRITE, false);
	assert_true(d.stage > 2 && d.store.done && b.done);
	assert_int_equal(b.result, 0);
	assert_int_equal(d.store.sig, 0);
	/* An eviction's write was for nothing: it was wanted. */
	if (!msync)
		assert_true(testvm_stat(&t, "pgretake") >= 1);
	assert_int_equal(testvm_byte(&t, d.pid, TV_BASE + 1), 0x32);
	assert_int_equal(testvm_byte(&t, d.pid, TV_BASE + 2), 0x31);
	vm_evict(t.vm, 64);
	assert_int_equal(testvm_byte(&t, d.pid, TV_BASE + 1), 0x32);
	assert_int_equal(testvm_byte(&t, d.pid, TV_BASE + 2), 0x31);
	assert_int_equal(testvm_free(&t), 0);
}

static void test_during_write(void **state)
{
	(void)state;
	during_write(false, false);
	during_write(true, false);
	during_write(true, true);
}

/* Taken back by a load alone: not freed, and not read again. */
static void retake_stuck(struct testvm *t)
{
	struct during *d = t->ctx;

	if (d->stage++ == 0) {
		d->load.addr = d->addr;
		d->load.len = 1;
		testvm_begin(t, &d->load, d->pid);
		return;
	}
	assert_true(d->load.done);
	mem_release(t->mem, 1);
}

static void test_retaken_stays(void **state)
{
	struct testvm_opts o = { .swap_slots = 64 };
	struct during d = { .addr = TV_BASE };
	struct testvm t;
	struct behind_one b;

	(void)state;
	testvm_make(&t, &o);
	d.pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, d.pid, TV_BASE, 1, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, d.pid, TV_BASE, 1, 0x31);
	t.ctx = &d;
	t.stuck = retake_stuck;
	mem_hold(t.mem, STORE_WRITE, true);
	/* One frame is asked for, so that it is not looked for again. */
	behind(&t, d.pid, &b, EVICT);
	while (!d.load.done)
		vm_evict(t.vm, 1);
	mem_hold(t.mem, STORE_WRITE, false);
	assert_true(testvm_stat(&t, "pgretake") >= 1);
	assert_int_equal(testvm_byte(&t, d.pid, TV_BASE + 9), 0x31);
	assert_int_equal(testvm_free(&t), 0);
}

/* ---- how much at once ---- */

struct much {
	uint64_t most;
};

static void much_stuck(struct testvm *t)
{
	struct much *m = t->ctx;
	uint64_t now = testvm_stat(t, "nr_writeback");

	if (now > m->most)
		m->most = now;
	vm_check(t->vm);
	mem_release(t->mem, 1);
}

/* Pages of a file that lie far apart in it take their neighbours along: no
 * more of them are taken than bring as many pages as are wanted. */
static void test_no_more_than_wanted(void **state)
{
	enum { PAGES = 1024, WANT = 64, CLUSTER = 8 };
	struct testvm_opts o = { .frames = 4096, .cluster = CLUSTER };
	struct much m = { .most = 0 };
	struct behind_one b;
	struct testvm t;
	int pid;

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, PAGES * TV_PAGE);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, PAGES, RW, VM_MAP_SHARED, "f", 0);
	for (unsigned i = 0; i < PAGES; i++)
		testvm_fill(&t, pid, TV_BASE + i * 37 % PAGES * TV_PAGE, 1,
			    (uint8_t)i);
	t.ctx = &m;
	t.stuck = much_stuck;
	mem_hold(t.mem, STORE_WRITE, true);
	behind(&t, pid, &b, EVICT);
	vm_run(t.vm);
	mem_hold(t.mem, STORE_WRITE, false);
	assert_true(b.done);
	assert_true(m.most >= WANT && m.most < WANT + CLUSTER);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(testvm_byte(&t, pid, TV_BASE +
					     i * 37 % PAGES * TV_PAGE),
				 (uint8_t)i);
	assert_int_equal(testvm_free(&t), 0);
}

/* ---- every order ---- */

#define DEPTH	24

struct orders {
	unsigned choice[DEPTH], of[DEPTH];
	unsigned n;
	uint64_t runs;
};

static void orders_stuck(struct testvm *t)
{
	struct orders *x = t->ctx;
	struct mem_stats st;
	unsigned pick = 0;

	vm_check(t->vm);
	mem_get_stats(t->mem, &st);
	if (x->n < DEPTH) {
		x->of[x->n] = st.held;
		pick = x->choice[x->n] < st.held ? x->choice[x->n] : 0;
		x->n++;
	}
	assert_true(mem_release_at(t->mem, pick));
}

/* The next leaf of the tree of choices. => false: that was the last. */
static bool orders_next(struct orders *x)
{
	while (x->n > 0) {
		unsigned i = x->n - 1;

		if (++x->choice[i] < x->of[i]) {
			memset(x->choice + i + 1, 0,
			       (DEPTH - i - 1) * sizeof(x->choice[0]));
			return true;
		}
		x->choice[i] = 0;
		x->n--;
	}
	return false;
}

/* Stores, loads, a fork, an eviction and an msync, all at once. */
static void orders_play(struct orders *x, uint64_t seed)
{
	struct testvm_opts o = { .frames = 40, .swap_slots = 64,
				 .cluster = 1, .seed = seed };
	struct testvm_access s[3] = {
		{ .addr = TV_BASE, .len = 1, .write = true, .buf = { 1 } },
		{ .addr = TV_BASE + 9 * TV_PAGE, .len = 1, .write = true,
		  .buf = { 2 } },
		{ .addr = TV_BASE + 2 * TV_PAGE, .len = 1 },
	};
	struct behind_one evict, sync;
	struct testvm t;
	int p, c;
	uint8_t b;

	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, 8 * TV_PAGE);
	p = vm_proc_create(t.vm, "p");
	testvm_map(&t, p, TV_BASE, 8, RW, VM_MAP_SHARED, "f", 0);
	testvm_map(&t, p, TV_BASE + 9 * TV_PAGE, 2, RW, VM_MAP_PRIVATE, NULL,
		   0);
	testvm_fill(&t, p, TV_BASE, 1, 0x41);
	testvm_fill(&t, p, TV_BASE + 9 * TV_PAGE, 2, 0x42);
	c = vm_fork(t.vm, p, "c");
	t.ctx = x;
	t.stuck = orders_stuck;
	x->n = 0;
	mem_hold(t.mem, MEM_OP_ANY, true);
	behind(&t, p, &evict, EVICT);
	testvm_begin(&t, &s[0], p);
	testvm_begin(&t, &s[1], c);
	behind(&t, p, &sync, SYNC);
	testvm_begin(&t, &s[2], c);
	vm_run(t.vm);
	mem_hold(t.mem, MEM_OP_ANY, false);
	assert_true(evict.done && sync.done && sync.result == 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(s[i].done && s[i].sig == 0);
	assert_int_equal(testvm_byte(&t, p, TV_BASE + 9 * TV_PAGE), 0x42);
	assert_int_equal(testvm_byte(&t, c, TV_BASE + 9 * TV_PAGE), 2);
	assert_int_equal(testvm_byte(&t, c, TV_BASE + 10 * TV_PAGE), 0x42);
	assert_int_equal(testvm_byte(&t, c, TV_BASE), 1);
	assert_int_equal(testvm_byte(&t, c, TV_BASE + 1), 0x41);
	mem_file_peek(t.mem, "f", 1, &b, 1);
	assert_int_equal(b, 0x41);
	assert_int_equal(testvm_free(&t), 0);
}

static void test_every_order(void **state)
{
	struct orders x = { .n = 0 };

	(void)state;
	do {
		orders_play(&x, ++x.runs);
	} while (x.runs < 20000 && orders_next(&x));
	assert_true(x.runs > 10);
	print_message("%llu orders\n", (unsigned long long)x.runs);
}

/* ---- what a frame costs ---- */

/* Frames looked at for each frame taken, with @frames of RAM all in use. */
static double scans_per_frame(uint32_t frames)
{
	struct testvm_opts o = { .frames = frames, .swap_slots = 2 * frames,
				 .calm = true };
	uint64_t scan, steal, n = frames + frames / 2;
	struct testvm t;
	uint8_t b = 1;
	int pid;

	testvm_make(&t, &o);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, n, RW, VM_MAP_PRIVATE, NULL, 0);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(vm_poke(t.vm, pid, TV_BASE + i * TV_PAGE, &b,
					 1, NULL), 1);
	scan = testvm_stat(&t, "pgscan");
	steal = testvm_stat(&t, "pgsteal");
	assert_int_equal(testvm_free(&t), 0);
	assert_true(steal > frames / 4);
	return (double)scan / (double)steal;
}

static void test_scans_flat(void **state)
{
	double small, large;

	(void)state;
	small = scans_per_frame(1000);
	large = scans_per_frame(40000);
	print_message("%.2f frames looked at per frame taken of 1000, "
		      "%.2f of 40000\n", small, large);
	assert_true(large < small * 1.05 + 0.1);
}

/* ---- old failures ---- */

/* Writes failed, and all has been written since; every page is in use, so that
 * the first look finds none to take: what was is no reason to give up. */
static void test_old_failures(void **state)
{
	struct testvm_opts o = { .frames = 20000, .calm = true };
	const unsigned n = 19000;
	struct testvm t;
	uint8_t b;
	int pid;

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, n * (uint64_t)TV_PAGE);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, n, RW, VM_MAP_SHARED, "f", 0);
	testvm_fill(&t, pid, TV_BASE, 1, 1);
	mem_fail(t.mem, STORE_WRITE, 1, 5, EIO);
	for (unsigned i = 0; i < 5; i++)
		vm_msync(t.vm, pid, TV_BASE, TV_PAGE, VM_MS_SYNC);
	mem_fail_none(t.mem);
	assert_int_equal(vm_msync(t.vm, pid, TV_BASE, TV_PAGE, VM_MS_SYNC), 0);
	for (unsigned i = 0; i < n; i++)
		vm_peek(t.vm, pid, TV_BASE + i * (uint64_t)TV_PAGE, &b, 1,
			NULL);
	assert_int_equal(vm_evict(t.vm, 10), 10);
	assert_int_equal(testvm_free(&t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_during_write),
		cmocka_unit_test(test_retaken_stays),
		cmocka_unit_test(test_no_more_than_wanted),
		cmocka_unit_test(test_every_order),
		cmocka_unit_test(test_scans_flat),
		cmocka_unit_test(test_old_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
