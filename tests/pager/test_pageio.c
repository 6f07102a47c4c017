/*
 * test_pageio.c - more I/O than there are descriptors.
 *
 * All reads are held, one for each descriptor, and threads wait for one to
 * come free. Each that does must get to one who can use it, though nothing
 * else ends meanwhile that could wake him: a store may take its time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)
#define READS	1024u		/* in flight at once */
#define WRITES	48u
#define FRAMES	4096u
#define NFILE	2000u
#define OTHER	(TV_BASE + 4096 * TV_PAGE)	/* a file to be written */

struct scene {
	struct testvm t;
	int pid;
	unsigned stage;
	struct testvm_access reader[READS + 8];
	unsigned nreaders;
	bool asked;
	void (*then)(struct scene *s);	/* at each stage, all being stuck */
};

static uint64_t reads(struct scene *s)
{
	struct mem_stats st;

	mem_get_stats(s->t.mem, &st);
	return st.reads;
}

static void reader(struct scene *s, uint64_t page)
{
	struct testvm_access *a = &s->reader[s->nreaders++];

	a->addr = TV_BASE + page * TV_PAGE;
	a->len = 1;
	testvm_begin(&s->t, a, s->pid);
}

static void stuck(struct testvm *t)
{
	struct scene *s = t->ctx;

	s->then(s);
	s->stage++;
}

static void let_all_go(struct scene *s)
{
	mem_hold(s->t.mem, MEM_OP_ANY, false);
	mem_release(s->t.mem, UINT32_MAX);
}

static struct scene *make(void (*then)(struct scene *s))
{
	struct testvm_opts o = { .frames = FRAMES, .cluster = 1 };
	struct scene *s = calloc(1, sizeof(*s));

	testvm_make(&s->t, &o);
	s->t.ctx = s;
	s->then = then;
	mem_file_create(s->t.mem, "f", NULL, NFILE * TV_PAGE);
	mem_file_create(s->t.mem, "g", NULL, 2 * WRITES * TV_PAGE);
	s->pid = vm_proc_create(s->t.vm, "p");
	testvm_map(&s->t, s->pid, TV_BASE, NFILE, VM_PROT_READ, VM_MAP_SHARED,
		   "f", 0);
	testvm_map(&s->t, s->pid, OTHER, 2 * WRITES, RW, VM_MAP_SHARED, "g", 0);
	return s;
}

/* As many reads as there are descriptors, and all stuck. */
static void fill_up(struct scene *s)
{
	for (unsigned i = 0; i < READS; i++)
		reader(s, i);
}

static void play(struct scene *s)
{
	mem_hold(s->t.mem, STORE_READ, true);
	mem_hold(s->t.mem, STORE_WRITE, true);
	s->t.stuck = stuck;
	vm_run(s->t.vm);
	for (unsigned i = 0; i < s->nreaders; i++)
		assert_true(s->reader[i].done && s->reader[i].sig == 0);
	s->t.stuck = NULL;
	testvm_free(&s->t);
	free(s);
}

/* ---- who waits to write does not use up what a reader waits for ---- */

static enum vm_step sync_step(struct vm_thread *th, struct cpu *cpu)
{
	struct scene *s = vm_thread_arg(th);

	(void)cpu;
	if (s->asked) {
		assert_int_equal(vm_thread_result(th), 0);
		return VM_STEP_DONE;
	}
	s->asked = true;
	vm_thread_msync(th, OTHER, 2 * WRITES * TV_PAGE, VM_MS_SYNC);
	return VM_STEP_WAIT;
}

static void sync_and_read(struct scene *s)
{
	struct vm_thread_info info = { .step = sync_step, .arg = s };

	switch (s->stage) {
	case 0:
		assert_int_equal(reads(s), 2 * WRITES + READS);
		vm_thread_start(s->t.vm, s->pid, &info);
		break;
	case 1:
		reader(s, READS);
		break;
	case 2:
		/* It waits, behind the msync, which has all writes. */
		assert_int_equal(testvm_stat(&s->t, "nr_writeback"), WRITES);
		assert_int_equal(reads(s), 2 * WRITES + READS);
		assert_int_equal(mem_held(s->t.mem, 0)->op, STORE_READ);
		assert_int_equal(mem_release(s->t.mem, 1), 1);
		break;
	case 3:
		assert_int_equal(reads(s), 2 * WRITES + READS + 1);
		let_all_go(s);
		break;
	default:
		break;
	}
}

static void test_sync_takes_no_readers_turn(void **state)
{
	struct scene *s = make(sync_and_read);

	(void)state;
	testvm_fill(&s->t, s->pid, OTHER, 2 * WRITES, 7);
	fill_up(s);
	play(s);
}

/* ---- who does not need it any more passes it on ---- */

static void two_want_one(struct scene *s)
{
	switch (s->stage) {
	case 0:
		assert_int_equal(reads(s), READS);
		reader(s, READS);
		reader(s, READS);
		reader(s, READS + 1);
		break;
	case 1:
		assert_int_equal(reads(s), READS);
		assert_int_equal(mem_release(s->t.mem, 2), 2);
		break;
	case 2:
		/* One read for the two, and one for the third. */
		assert_int_equal(reads(s), READS + 2);
		let_all_go(s);
		break;
	default:
		break;
	}
}

static void test_passed_on(void **state)
{
	struct scene *s = make(two_want_one);

	(void)state;
	fill_up(s);
	play(s);
}

/* The same, where what it wanted has been unmapped. */
static void gone_meanwhile(struct scene *s)
{
	switch (s->stage) {
	case 0:
		reader(s, READS);
		reader(s, READS + 1);
		break;
	case 1:
		assert_int_equal(reads(s), READS);
		vm_munmap(s->t.vm, s->pid, TV_BASE + READS * TV_PAGE, TV_PAGE);
		mem_release(s->t.mem, 1);
		break;
	case 2:
		assert_int_equal(reads(s), READS + 1);
		assert_true(s->reader[READS].done && s->reader[READS].sig);
		s->reader[READS].sig = 0;
		let_all_go(s);
		break;
	default:
		break;
	}
}

static void test_passed_on_by_the_lost(void **state)
{
	struct scene *s = make(gone_meanwhile);

	(void)state;
	fill_up(s);
	play(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sync_takes_no_readers_turn),
		cmocka_unit_test(test_passed_on),
		cmocka_unit_test(test_passed_on_by_the_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
