/*
 * test_nomem.c - every allocation of a scenario fails in its turn.
 *
 * The scenario makes processes that fork, split and join areas, map files and
 * write what they share. It runs once for each allocation it makes, with that
 * one failing: the call says -ENOMEM, or an access takes longer; what it did
 * so far holds together (vm_check()); all that run on see their own bytes and
 * nobody else's; and made again it succeeds. And the other memory, the
 * machine's own, may be too small for one more page table.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/nomem.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)
#define NPAGES	6u		/* of each of NAREAS anonymous areas */
#define NAREAS	4u
#define NPROCS	3u
#define FILE_AT	(TV_BASE + 256 * TV_PAGE)
#define NFILE	4u

struct scene {
	struct testvm t;
	int pid[NPROCS];
	uint8_t byte[NPROCS][NAREAS * NPAGES];
	uint8_t next;
	uint64_t failed;
};

/* They do not touch: each is one area. */
static uint64_t addr_of(unsigned i)
{
	return TV_BASE + (i + i / NPAGES) * TV_PAGE;
}

/* What everybody sees is what he stored. The allocation that is to fail may
 * be one of ours: it is not looked for here. */
static void look(struct scene *s)
{
	for (unsigned k = 0; k < NPROCS; k++)
		for (unsigned i = 0; s->pid[k] && i < NAREAS * NPAGES; i++)
			assert_int_equal(testvm_byte(&s->t, s->pid[k],
						     addr_of(i)),
					 s->byte[k][i]);
}

/* @k stores into every @step-th page, from the @from-th on. */
static void store(struct scene *s, unsigned k, unsigned from, unsigned step)
{
	for (unsigned i = from; i < NAREAS * NPAGES; i += step) {
		s->byte[k][i] = ++s->next;
		testvm_fill(&s->t, s->pid[k], addr_of(i), 1, s->next);
	}
}

/* Make a call again that fails once; whatever it left is in order. */
#define CALL(s, call) __extension__ ({					\
	int64_t got_ = (call);						\
									\
	if (got_ == -ENOMEM) {						\
		(s)->failed++;						\
		vm_check((s)->t.vm);					\
		got_ = (call);						\
	}								\
	assert_true(got_ >= 0);						\
	got_; })

static void map(struct scene *s, unsigned k, uint64_t addr, unsigned n,
		unsigned flags, const char *path)
{
	struct vm_mmap m = {
		.addr = addr, .len = n * TV_PAGE, .prot = RW,
		.flags = flags | VM_MAP_FIXED, .path = path,
	};
	uint64_t at;

	CALL(s, vm_mmap(s->t.vm, s->pid[k], &m, &at));
}

/* When a fork fails, the parent goes on at once: with what is its alone, what
 * it shares with @k, and what the child that came to nothing had of it. */
static void fork_from(struct scene *s, unsigned parent, unsigned child)
{
	int pid = vm_fork(s->t.vm, s->pid[parent], "child");

	if (pid == -ENOMEM) {
		s->failed++;
		vm_check(s->t.vm);
		store(s, parent, 0, 2);
		vm_check(s->t.vm);
		look(s);
		pid = vm_fork(s->t.vm, s->pid[parent], "child");
	}
	assert_true(pid > 0);
	s->pid[child] = pid;
	memcpy(s->byte[child], s->byte[parent], sizeof(s->byte[child]));
}

static void scene_play(struct scene *s)
{
	uint64_t now;

	s->pid[0] = CALL(s, vm_proc_create(s->t.vm, "p"));
	for (unsigned i = 0; i < NAREAS; i++)
		map(s, 0, addr_of(i * NPAGES), NPAGES, VM_MAP_PRIVATE, NULL);
	map(s, 0, FILE_AT, NFILE, VM_MAP_SHARED, "f");
	map(s, 0, FILE_AT + 16 * TV_PAGE, NFILE, VM_MAP_PRIVATE, "f");
	map(s, 0, FILE_AT + 32 * TV_PAGE, NFILE, VM_MAP_SHARED, NULL);
	CALL(s, vm_brk(s->t.vm, s->pid[0], 0, &now));
	CALL(s, vm_brk(s->t.vm, s->pid[0], now + TV_PAGE, &now));
	store(s, 0, 0, 1);
	fork_from(s, 0, 1);
	store(s, 1, 0, 3);
	store(s, 0, 1, 3);
	/* The parent shares with the first when it forks the second. */
	fork_from(s, 0, 2);
	store(s, 0, 0, 4);
	look(s);
	/* Areas in three pieces, then whole forks of them. */
	CALL(s, vm_mprotect(s->t.vm, s->pid[0], addr_of(1), 2 * TV_PAGE,
			    VM_PROT_READ));
	CALL(s, vm_mprotect(s->t.vm, s->pid[0], addr_of(1), 2 * TV_PAGE, RW));
	CALL(s, vm_munmap(s->t.vm, s->pid[0], FILE_AT + TV_PAGE, TV_PAGE));
	vm_exit(s->t.vm, s->pid[2]);
	s->pid[2] = 0;
	fork_from(s, 0, 2);
	vm_evict(s->t.vm, 64);
	for (unsigned k = 0; k < NPROCS; k++)
		store(s, k, k, 2);
	testvm_fill(&s->t, s->pid[1], FILE_AT, NFILE, 1);
	testvm_fill(&s->t, s->pid[1], FILE_AT + 16 * TV_PAGE, NFILE, 2);
	testvm_fill(&s->t, s->pid[2], FILE_AT + 32 * TV_PAGE, NFILE, 3);
	CALL(s, vm_sync(s->t.vm));
}

static void scene_end(struct scene *s)
{
	uint8_t byte;

	look(s);
	vm_check(s->t.vm);
	for (unsigned i = 0; i < NFILE; i++) {
		mem_file_peek(s->t.mem, "f", i * TV_PAGE, &byte, 1);
		assert_int_equal(byte, 1);
		for (unsigned k = 0; k < NPROCS; k++)
			assert_int_equal(testvm_byte(&s->t, s->pid[k], FILE_AT +
					 (i + 32) * TV_PAGE), 3);
	}
	assert_int_equal(testvm_free(&s->t), 0);
	assert_int_equal(s->failed <= 1, true);
}

/* => false: there was no @nth allocation. */
static bool fail_nth(uint64_t nth, uint64_t *refused)
{
	struct testvm_opts o = { .frames = 64, .swap_slots = 256, .seed = nth,
				 .order = MEM_RANDOM };
	struct scene s;
	bool failed;

	memset(&s, 0, sizeof(s));
	testvm_make(&s.t, &o);
	mem_file_create(s.t.mem, "f", NULL, NFILE * TV_PAGE);
	nomem_nth(nth);
	scene_play(&s);
	failed = nomem_off();
	*refused += s.failed;
	scene_end(&s);
	return failed;
}

static void test_every(void **state)
{
	uint64_t nth = 1, refused = 0;

	(void)state;
	while (fail_nth(nth, &refused))
		nth++;
	print_message("%llu allocations, %llu refused calls\n",
		      (unsigned long long)nth - 1,
		      (unsigned long long)refused);
	assert_true(nth > 60 && refused > 30);
}

/* A machine is made whole or not at all. */
static void test_create(void **state)
{
	struct vm_config c = { .ncpus = 2, .mode = VM_MODE_64,
			       .virtual_clock = true };
	struct mem_config mc = { .swap_slots = 64 };
	struct mem_store *mem;
	struct ram ram;
	struct vm *vm;
	unsigned n = 0;
	int err;

	(void)state;
	assert_int_equal(ram_create(&ram, 64 * TV_PAGE), 0);
	mc.ram = ram.base;
	mc.ram_size = ram.size;
	mem = mem_create(&mc);
	c.ram = &ram;
	c.engine = mem_engine(mem);
	c.swap = mem_swap(mem);
	do {
		const char *why = NULL;

		nomem_nth(++n);
		err = vm_create(&vm, &c, &why);
		assert_int_equal(nomem_off(), err < 0);
		assert_true(err == 0 || (err == -ENOMEM && why));
	} while (err < 0);
	assert_true(n > 50);
	vm_destroy(vm);
	mem_destroy(mem);
	ram_destroy(&ram);
}

/* ---- no frames ---- */

struct memory {
	bool asked;
	int result;
};

static enum vm_step memory_step(struct vm_thread *th, struct cpu *cpu)
{
	struct memory *m = vm_thread_arg(th);

	(void)cpu;
	if (m->asked) {
		m->result = vm_thread_result(th);
		return VM_STEP_DONE;
	}
	m->asked = true;
	vm_thread_memory(th);
	return VM_STEP_WAIT;
}

/* As the workload language forks: when there is no frame for a table, wait
 * until there is, or until there never will be. => pid, -ENOMEM. */
static int fork_waiting(struct testvm *t, int pid)
{
	struct memory m;
	struct vm_thread_info info = { .step = memory_step, .arg = &m };

	for (unsigned try = 0; try < 8; try++) {
		int child = vm_fork(t->vm, pid, NULL);

		if (child != -ENOMEM)
			return child;
		memset(&m, 0, sizeof(m));
		assert_int_equal(vm_thread_start(t->vm, 0, &info), 0);
		vm_run(t->vm);
		assert_true(m.asked);
		if (m.result < 0)
			return m.result;
	}
	fail_msg("frames are promised, and the fork does not get them");
	return 0;
}

/* Fork until there is no room: what can go makes room. */
static void fork_all(enum vm_mode mode, uint32_t frames, uint32_t slots)
{
	struct testvm_opts o = { .frames = frames, .mode = mode,
				 .swap_slots = slots };
	unsigned each = mode == VM_MODE_PAE ? 4 : 1, n = 0;
	struct testvm t;
	int pid;

	testvm_make(&t, &o);
	pid = vm_proc_create(t.vm, "p");
	testvm_map(&t, pid, TV_BASE, 4, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, pid, TV_BASE, 4, 5);
	while (fork_waiting(&t, pid) > 0)
		n++;
	vm_check(t.vm);
	if (slots)	/* all but what is left for tables that fault handlers
			 * need, and the tables of the pages here */
		assert_true((n + 2) * each + 4 + 5 >= frames);
	testvm_free(&t);
}

static void test_frames(void **state)
{
	(void)state;
	for (uint32_t frames = 20; frames <= 64; frames++)
		for (enum vm_mode mode = VM_MODE_32; mode <= VM_MODE_LA57;
		     mode++) {
			fork_all(mode, frames, 64);
			fork_all(mode, frames, 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every),
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
