/*
 * test_failure.c - every I/O of a scenario fails in its turn.
 *
 * The scenario maps, touches, stores, forks, evicts, syncs. It runs once for
 * each I/O it makes, with that one failing, and each time: a read error hits
 * one access, and the same access made again succeeds; a write error is told
 * once to every mapping of the file, by msync; and all bytes are right, in
 * memory and in the end in the file. Then stores that fail for good.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "emu/cpu.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)
#define NFILE	8u
#define NANON	40u
#define ANON	(TV_BASE + 16 * TV_PAGE)

struct scene {
	struct testvm t;
	int a, b;			/* pids */
	uint8_t file[NFILE];		/* the byte each page is full of */
	uint8_t anon[2][NANON];
	unsigned refused;		/* accesses */
	unsigned told[2];		/* by msync, to each */
};

/* One access that may fail once. */
static void touch(struct scene *s, int pid, uint64_t addr, uint8_t *byte,
		  bool write)
{
	uint8_t page[TV_PAGE];
	int64_t did = 0;

	for (int try = 0; try < 2; try++) {
		int sig = 0;

		memset(page, *byte, sizeof(page));
		did = write ? vm_poke(s->t.vm, pid, addr, page, TV_PAGE, &sig) :
			      vm_peek(s->t.vm, pid, addr, page, TV_PAGE, &sig);
		if (did == TV_PAGE)
			break;
		assert_int_equal(sig, SIGBUS);
		assert_int_equal(did, -EIO);
		s->refused++;
		vm_check(s->t.vm);
	}
	assert_int_equal(did, TV_PAGE);
	for (unsigned i = 1; i < TV_PAGE; i++)
		assert_int_equal(page[i], page[0]);
	if (!write)
		assert_int_equal(page[0], *byte);
}

static void msync_file(struct scene *s, unsigned who)
{
	int err = vm_msync(s->t.vm, who ? s->b : s->a, TV_BASE,
			   NFILE * TV_PAGE, VM_MS_SYNC);

	if (err)
		s->told[who]++;
	vm_check(s->t.vm);
}

static void look(struct scene *s)
{
	for (unsigned i = 0; i < NFILE; i++) {
		touch(s, s->a, TV_BASE + i * TV_PAGE, &s->file[i], false);
		touch(s, s->b, TV_BASE + i * TV_PAGE, &s->file[i], false);
	}
	for (unsigned i = 0; i < NANON; i++) {
		touch(s, s->a, ANON + i * TV_PAGE, &s->anon[0][i], false);
		touch(s, s->b, ANON + i * TV_PAGE, &s->anon[1][i], false);
	}
}

static void store(struct scene *s, int pid, uint64_t addr, uint8_t *at,
		  uint8_t byte)
{
	*at = byte;
	touch(s, pid, addr, at, true);
}

static void scene_open(struct scene *s, uint32_t swap_slots)
{
	struct testvm_opts o = { .frames = 32, .swap_slots = swap_slots,
				 .seed = 3, .order = MEM_RANDOM };
	uint8_t data[NFILE * TV_PAGE];

	memset(s, 0, sizeof(*s));
	testvm_make(&s->t, &o);
	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = s->file[i / TV_PAGE] = (uint8_t)(1 + i / TV_PAGE);
	mem_file_create(s->t.mem, "f", data, sizeof(data));
	s->a = vm_proc_create(s->t.vm, "a");
	testvm_map(&s->t, s->a, TV_BASE, NFILE, RW, VM_MAP_SHARED, "f", 0);
	testvm_map(&s->t, s->a, ANON, NANON, RW, VM_MAP_PRIVATE, NULL, 0);
}

static void scene_play(struct scene *s)
{
	for (unsigned i = 0; i < NFILE; i += 2)
		store(s, s->a, TV_BASE + i * TV_PAGE, &s->file[i],
		      (uint8_t)(0x40 + i));
	for (unsigned i = 0; i < NANON; i++)
		store(s, s->a, ANON + i * TV_PAGE, &s->anon[0][i],
		      (uint8_t)(0x80 + i));
	/* A table is not waited for. */
	while ((s->b = vm_fork(s->t.vm, s->a, "b")) == -ENOMEM)
		vm_run(s->t.vm);
	assert_true(s->b > 0);
	memcpy(s->anon[1], s->anon[0], NANON);
	for (unsigned i = 0; i < NANON; i += 3)
		store(s, s->b, ANON + i * TV_PAGE, &s->anon[1][i],
		      (uint8_t)(0xc0 + i));
	for (unsigned i = 1; i < NANON; i += 3)
		store(s, s->a, ANON + i * TV_PAGE, &s->anon[0][i],
		      (uint8_t)(0xc0 + i));
	vm_evict(s->t.vm, 32);
	vm_check(s->t.vm);
	look(s);
	for (unsigned i = 1; i < NFILE; i += 3)
		store(s, s->b, TV_BASE + i * TV_PAGE, &s->file[i],
		      (uint8_t)(0x60 + i));
	for (int round = 0; round < 2; round++) {
		msync_file(s, 0);
		msync_file(s, 1);
	}
	look(s);
}

/* Whatever failed, all is well in the end. */
static void scene_close(struct scene *s)
{
	uint8_t byte;

	vm_run(s->t.vm);
	look(s);
	assert_int_equal(vm_msync(s->t.vm, s->a, TV_BASE, NFILE * TV_PAGE,
				  VM_MS_SYNC), 0);
	assert_int_equal(vm_msync(s->t.vm, s->b, TV_BASE, NFILE * TV_PAGE,
				  VM_MS_SYNC), 0);
	for (unsigned i = 0; i < NFILE * TV_PAGE; i += 511) {
		mem_file_peek(s->t.mem, "f", i, &byte, 1);
		assert_int_equal(byte, s->file[i / TV_PAGE]);
	}
	assert_int_equal(testvm_free(&s->t), 0);
}

/* => false: there was no @nth I/O of this kind. */
static bool fail_nth(int op, uint64_t nth, int error)
{
	struct mem_stats st;
	struct scene s;
	uint64_t werr, rerr;

	scene_open(&s, 256);
	mem_fail(s.t.mem, op, nth, 1, error);
	scene_play(&s);
	vm_run(s.t.vm);
	mem_get_stats(s.t.mem, &st);
	mem_fail_none(s.t.mem);
	msync_file(&s, 0);
	msync_file(&s, 1);
	werr = testvm_stat(&s.t, "pgwriteerr");
	rerr = testvm_stat(&s.t, "pgreaderr");
	if (st.failed && op == STORE_READ) {
		assert_int_equal(rerr, 1);
		assert_int_equal(s.refused, 1);
	} else {
		assert_int_equal(rerr, 0);
		assert_int_equal(s.refused, 0);
	}
	if (st.failed && op == STORE_WRITE)
		assert_true(werr > 0);
	else
		assert_int_equal(werr, 0);
	/* Once to each, or it was not a write to the file. */
	assert_int_equal(s.told[0], s.told[1]);
	assert_true(s.told[0] <= (st.failed && op != STORE_READ));
	if (st.failed && op == STORE_SYNC)
		assert_int_equal(s.told[0], 1);
	scene_close(&s);
	return st.failed;
}

static void test_every(int op, int error)
{
	uint64_t nth = 1;

	while (fail_nth(op, nth, error))
		nth++;
	assert_true(nth > (op == STORE_SYNC ? 2 : 6));
}

static void test_every_read(void **state)
{
	(void)state;
	test_every(STORE_READ, EIO);
}

static void test_every_write(void **state)
{
	(void)state;
	test_every(STORE_WRITE, EIO);
	test_every(STORE_WRITE, ENOSPC);
	test_every(STORE_WRITE, ENOTCONN);
}

static void test_every_sync(void **state)
{
	(void)state;
	test_every(STORE_SYNC, EIO);
}

/* The store is away for a while and comes back: nothing is lost, and swap is
 * as large as before. */
static void test_store_comes_back(void **state)
{
	struct scene s;

	(void)state;
	for (uint64_t nth = 1; nth < 12; nth++) {
		struct swap_store *swap;
		struct swap_area_info info;

		scene_open(&s, 256);
		s.b = s.a;
		for (unsigned i = 0; i < 8; i++) {
			store(&s, s.a, ANON + i * TV_PAGE, &s.anon[0][i],
			      (uint8_t)(0x80 + i));
			store(&s, s.a, TV_BASE + i * TV_PAGE, &s.file[i],
			      (uint8_t)(0x20 + i));
		}
		mem_fail(s.t.mem, STORE_WRITE, nth, 0, ENOTCONN);
		vm_evict(s.t.vm, 32);
		vm_check(s.t.vm);
		msync_file(&s, 0);
		msync_file(&s, 0);
		vm_evict(s.t.vm, 32);
		memcpy(s.anon[1], s.anon[0], NANON);
		look(&s);
		mem_fail_none(s.t.mem);
		vm_evict(s.t.vm, 32);
		vm_run(s.t.vm);
		s.told[0] = 0;
		msync_file(&s, 0);
		assert_true(s.told[0] <= 1);
		swap = mem_swap(s.t.mem);
		assert_int_equal(swap->info(swap, 0, &info), 0);
		assert_int_equal(info.nbad, 0);
		scene_close(&s);
	}
}

/* @tries evictions while @count writes fail; then all is well. => bad slots */
static unsigned bad_slots(unsigned tries, uint64_t count)
{
	struct testvm_opts o = { .frames = 32, .swap_slots = 12, .cluster = 1,
				 .seed = 3 };
	struct swap_area_info info;
	struct swap_store *swap;
	struct testvm t;
	int pid;

	testvm_make(&t, &o);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 6, RW, VM_MAP_PRIVATE, NULL, 0);
	for (unsigned i = 0; i < 6; i++)
		testvm_fill(&t, pid, TV_BASE + i * TV_PAGE, 1, (uint8_t)i);
	mem_fail(t.mem, STORE_WRITE, 1, count, EIO);
	for (unsigned i = 0; i < tries; i++)
		vm_evict(t.vm, 32);
	vm_check(t.vm);
	mem_fail_none(t.mem);
	vm_evict(t.vm, 32);
	vm_run(t.vm);
	vm_check(t.vm);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(testvm_byte(&t, pid, TV_BASE + i * TV_PAGE),
				 i);
	swap = mem_swap(t.mem);
	assert_int_equal(swap->info(swap, 0, &info), 0);
	testvm_free(&t);
	return info.nbad;
}

/* A slot that fails among others that do not is bad. When all fail, none is:
 * swap is as large as before when the store is back. */
static void test_bad_slots(void **state)
{
	(void)state;
	assert_int_equal(bad_slots(1, 1), 1);
	assert_int_equal(bad_slots(20, 0), 0);
}

/* ---- two swap areas ---- */

static struct swap_area_info area_info(struct testvm *t, unsigned area)
{
	struct swap_store *swap = mem_swap(t->mem);
	struct swap_area_info info;

	assert_int_equal(swap->info(swap, area, &info), 0);
	return info;
}

/* Anonymous memory of three times RAM, all stored to, and still there. */
static void more_than_ram(struct testvm *t, int pid, uint8_t byte)
{
	for (unsigned i = 0; i < 96; i++)
		testvm_fill(t, pid, TV_BASE + i * TV_PAGE, 1,
			    (uint8_t)(byte + i));
	vm_check(t->vm);
	for (unsigned i = 0; i < 96; i++)
		assert_int_equal(testvm_byte(t, pid, TV_BASE + i * TV_PAGE),
				 (uint8_t)(byte + i));
}

/* One takes no writes, the other, of @priority to its 0, takes all: nobody
 * waits, the broken one is seldom tried and keeps its slots, and is used again
 * when it is whole. */
static void broken_area(int priority)
{
	struct testvm_opts o = { .frames = 32, .swap_slots = 256, .cluster = 1,
				 .more_swap = 256, .more_priority = priority };
	struct mem_stats st;
	struct testvm t;
	uint64_t began;
	int pid;

	testvm_make(&t, &o);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 96, RW, VM_MAP_PRIVATE, NULL, 0);
	mem_fail_area(t.mem, 0, EIO);
	began = vm_now_ns(t.vm);
	alarm(20);
	more_than_ram(&t, pid, 1);
	alarm(0);
	mem_get_stats(t.mem, &st);
	assert_true(st.failed > 0 || priority > 0);
	assert_true(st.failed < 60);
	assert_true(vm_now_ns(t.vm) - began < 1000000000);
	assert_int_equal(area_info(&t, 0).nused, 0);
	assert_int_equal(area_info(&t, 0).nbad, 0);
	mem_fail_area(t.mem, 0, 0);
	vm_evict(t.vm, 32);
	more_than_ram(&t, pid, 2);
	assert_true(area_info(&t, 0).nused > 0 || priority > 0);
	assert_int_equal(testvm_free(&t), 0);
}

static void test_broken_area(void **state)
{
	(void)state;
	for (int priority = -1; priority <= 1; priority++)
		broken_area(priority);
}

/* ---- waiting for the store ---- */

#define DOWN_PAGES	64u

struct down {
	struct testvm t;
	int pid;
	unsigned page, stage;
	int sig;
};

/* Stores to page after page of a file. */
static enum vm_step down_store(struct vm_thread *th, struct cpu *cpu)
{
	struct down *d = vm_thread_arg(th);
	uint8_t byte = 5;
	int err;

	d->sig = vm_thread_signal(th, NULL, NULL);
	if (d->sig || d->page == DOWN_PAGES)
		return VM_STEP_DONE;
	cpu_enter(cpu);
	err = cpu_store(cpu, TV_BASE + d->page * TV_PAGE, &byte, 1);
	cpu_leave(cpu);
	if (err)
		return VM_STEP_FAULT;
	d->page++;
	return VM_STEP_AGAIN;
}

/* After ten seconds ends the process, later lets the store be written. */
static enum vm_step down_watch(struct vm_thread *th, struct cpu *cpu)
{
	struct down *d = vm_thread_arg(th);

	(void)cpu;
	switch (d->stage++) {
	case 0:
		break;
	case 1:
		assert_true(d->page > 0 && d->page < DOWN_PAGES);
		assert_int_equal(d->sig, 0);
		vm_check(d->t.vm);
		assert_int_equal(vm_exit(d->t.vm, d->pid), 0);
		break;
	default:
		assert_int_equal(d->sig, SIGSEGV);
		mem_fail_none(d->t.mem);
		return VM_STEP_DONE;
	}
	vm_thread_sleep(th, 10000000000ull);
	return VM_STEP_WAIT;
}

/* Nobody gets a signal because writes fail, however small RAM is; and a
 * process that ends does not wait for the store. */
static void down_and_exit(enum vm_mode mode, uint32_t frames)
{
	struct testvm_opts o = { .frames = frames, .mode = mode };
	struct vm_thread_info store = { .step = down_store };
	struct vm_thread_info watch = { .step = down_watch };
	struct down d = { .page = 0 };

	testvm_make(&d.t, &o);
	mem_file_create(d.t.mem, "f", NULL, DOWN_PAGES * TV_PAGE);
	d.pid = vm_proc_create(d.t.vm, "p");
	testvm_map(&d.t, d.pid, TV_BASE, DOWN_PAGES, RW, VM_MAP_SHARED, "f",
		   0);
	store.arg = watch.arg = &d;
	mem_fail(d.t.mem, STORE_WRITE, 1, 0, EIO);
	assert_int_equal(vm_thread_start(d.t.vm, 0, &watch), 0);
	assert_int_equal(vm_thread_start(d.t.vm, d.pid, &store), 0);
	alarm(20);
	vm_run(d.t.vm);
	alarm(0);
	assert_int_equal(d.stage, 3);
	assert_int_equal(testvm_free(&d.t), 0);
}

static void test_down_and_exit(void **state)
{
	(void)state;
	for (uint32_t frames = 16; frames <= 40; frames++)
		for (enum vm_mode mode = VM_MODE_32; mode <= VM_MODE_LA57;
		     mode++)
			down_and_exit(mode, frames);
}

/* A machine whose file can never be written again can still be taken down,
 * and says what it lost. */
static void test_lost(void **state)
{
	struct scene s;

	(void)state;
	scene_open(&s, 256);
	store(&s, s.a, TV_BASE, &s.file[0], 0x77);
	store(&s, s.a, TV_BASE + 3 * TV_PAGE, &s.file[3], 0x77);
	mem_fail(s.t.mem, STORE_WRITE, 1, 0, EIO);
	alarm(20);
	assert_int_equal(testvm_free_unchecked(&s.t), 2);
	alarm(0);
}

/* More clusters than can be under way, clean pages between them, and @fail
 * writes that fail (0: all). => pages that the machine says it lost. */
static uint64_t lost_of(unsigned ndirty, uint64_t fail)
{
	struct testvm_opts o = { .frames = 512 };
	struct testvm t;
	uint64_t lost;
	int pid;

	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, 2 * ndirty * TV_PAGE);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 2 * ndirty, RW, VM_MAP_SHARED, "f", 0);
	for (unsigned i = 0; i < 2 * ndirty; i++)
		assert_int_equal(testvm_byte(&t, pid, TV_BASE + i * TV_PAGE),
				 0);
	for (unsigned i = 0; i < ndirty; i++)
		testvm_fill(&t, pid, TV_BASE + 2 * i * TV_PAGE, 1, 7);
	mem_fail(t.mem, STORE_WRITE, 1, fail, EIO);
	alarm(20);
	lost = testvm_free_unchecked(&t);
	alarm(0);
	return lost;
}

/* Pages that were dirty, and of these what no write took though each was
 * tried. */
static void test_lost_count(void **state)
{
	(void)state;
	assert_int_equal(lost_of(150, 0), 150);
	assert_int_equal(lost_of(150, 1), 0);
	assert_int_equal(lost_of(150, 150), 0);
}

/* What is mapped at @addr goes while it is read, and then the read fails: who
 * waited for it finds what is there now. */
static void read_for_nobody(uint64_t addr)
{
	struct testvm_access a = { .addr = addr + 5, .len = 1, .buf = { 9 } };
	struct scene s;
	uint8_t b;

	scene_open(&s, 256);
	store(&s, s.a, ANON, &s.anon[0][0], 0x77);
	store(&s, s.a, ANON + TV_PAGE, &s.anon[0][1], 0x78);
	vm_evict(s.t.vm, 32);
	vm_run(s.t.vm);
	mem_hold(s.t.mem, STORE_READ, true);
	mem_fail(s.t.mem, STORE_READ, 1, 1, EIO);
	testvm_begin(&s.t, &a, s.a);
	/* Another access lets it get as far as it can. */
	assert_int_equal(testvm_load(&s.t, s.a, ANON + 20 * TV_PAGE, &b, 1,
				     NULL), 0);
	assert_non_null(mem_held(s.t.mem, 0));
	testvm_map(&s.t, s.a, addr, 2, RW, VM_MAP_PRIVATE, NULL, 0);
	mem_hold(s.t.mem, STORE_READ, false);
	mem_release(s.t.mem, 1);
	vm_run(s.t.vm);
	assert_true(a.done);
	assert_int_equal(testvm_stat(&s.t, "pgreaderr"), 1);
	assert_int_equal(a.sig, 0);
	assert_int_equal(a.buf[0], 0);
	assert_int_equal(testvm_free(&s.t), 0);
}

static void test_read_for_nobody(void **state)
{
	(void)state;
	read_for_nobody(ANON);
	read_for_nobody(TV_BASE);
}

/* An unmapped file whose write fails is written again later. */
static void test_dying_retried(void **state)
{
	struct scene s;
	uint8_t byte;

	(void)state;
	scene_open(&s, 256);
	store(&s, s.a, TV_BASE, &s.file[0], 0x77);
	store(&s, s.a, TV_BASE + 3 * TV_PAGE, &s.file[3], 0x78);
	mem_fail(s.t.mem, STORE_WRITE, 1, 3, EIO);
	assert_int_equal(vm_munmap(s.t.vm, s.a, TV_BASE, NFILE * TV_PAGE), 0);
	vm_run(s.t.vm);
	vm_check(s.t.vm);
	mem_file_peek(s.t.mem, "f", 17, &byte, 1);
	assert_int_equal(byte, 0x77);
	mem_file_peek(s.t.mem, "f", 3 * TV_PAGE + 17, &byte, 1);
	assert_int_equal(byte, 0x78);
	assert_int_equal(mem_file_nopen(s.t.mem, "f"), 0);
	assert_int_equal(testvm_free(&s.t), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_read),
		cmocka_unit_test(test_every_write),
		cmocka_unit_test(test_every_sync),
		cmocka_unit_test(test_store_comes_back),
		cmocka_unit_test(test_bad_slots),
		cmocka_unit_test(test_broken_area),
		cmocka_unit_test(test_down_and_exit),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_lost_count),
		cmocka_unit_test(test_read_for_nobody),
		cmocka_unit_test(test_dying_retried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
