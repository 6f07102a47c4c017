/*
 * test_cow.c - fork: who sees what, and how long the chains get.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pager/core.h"
#include "pager/map.h"
#include "pager/object.h"
#include "pager/process.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)
#define N	12u

static struct testvm t;

static int make(void **state)
{
	struct testvm_opts o = { .frames = 64, .swap_slots = 1024 };

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, N * TV_PAGE);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	t.stuck = NULL;
	assert_int_equal(testvm_free(&t), 0);
	return 0;
}

static int fork_of(int pid)
{
	int child;

	while ((child = vm_fork(t.vm, pid, "c")) == -ENOMEM)
		vm_evict(t.vm, 8);
	assert_true(child > 0);
	return child;
}

static uint64_t at(unsigned page)
{
	return TV_BASE + page * TV_PAGE;
}

/* Objects behind the area at TV_BASE of @pid. */
static unsigned depth(int pid)
{
	struct proc *p = proc_get(t.vm, pid);
	struct area *a = map_find(&p->map, TV_BASE / TV_PAGE);
	unsigned n = 0;

	for (struct object *o = a->object; o; o = o->backing)
		n++;
	proc_put(t.vm, p);
	return n;
}

/* A page in each of the states it can be in when fork comes. */
static void test_states(void **state)
{
	int p, c;

	(void)state;
	p = vm_proc_create(t.vm, "p");
	testvm_map(&t, p, TV_BASE, N, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, p, at(0), 1, 1);
	c = fork_of(p);
	testvm_fill(&t, p, at(0), 1, 2);	/* copied before the next */
	assert_int_equal(vm_exit(t.vm, c), 0);
	testvm_fill(&t, p, at(1), 1, 3);	/* in swap */
	vm_evict(t.vm, 64);
	assert_true(testvm_stat(&t, "nr_swap_used") > 0);
	testvm_fill(&t, p, at(2), 1, 4);	/* in RAM, dirty */
	c = fork_of(p);				/* at(3): never touched */
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(testvm_byte(&t, c, at(0)), 2);
		assert_int_equal(testvm_byte(&t, c, at(1)), 3);
		assert_int_equal(testvm_byte(&t, c, at(2)), 4);
		assert_int_equal(testvm_byte(&t, c, at(3)), 0);
		for (unsigned i = 0; i < 4; i++)
			testvm_fill(&t, p, at(i), 1, (uint8_t)(0x10 + i));
		vm_evict(t.vm, 64);
	}
	for (unsigned i = 0; i < 4; i++)
		testvm_fill(&t, c, at(i), 1, (uint8_t)(0x20 + i));
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(testvm_byte(&t, p, at(i)), 0x10 + i);
		assert_int_equal(testvm_byte(&t, c, at(i)), 0x20 + i);
	}
	vm_check(t.vm);
}

/* A name is kept whole or not at all. */
static void test_names(void **state)
{
	const char *name = "abcdefghijklmnopqrstuvwxyz01234";
	const char *longer = "abcdefghijklmnopqrstuvwxyz012345";
	int p, c;

	(void)state;
	assert_int_equal(strlen(name), VM_NAME_MAX);
	assert_int_equal(vm_proc_create(t.vm, longer), -ENAMETOOLONG);
	p = vm_proc_create(t.vm, name);
	assert_int_equal(vm_proc_find(t.vm, name), p);
	assert_int_equal(vm_proc_find(t.vm, longer), -ESRCH);
	assert_int_equal(vm_fork(t.vm, p, longer), -ENAMETOOLONG);
	c = vm_fork(t.vm, p, NULL);
	assert_int_equal(vm_exit(t.vm, p), 0);
	assert_int_equal(vm_proc_find(t.vm, name), c);
	assert_int_equal(vm_exit(t.vm, c), 0);
}

static void test_shared_stays_shared(void **state)
{
	int p, c;

	(void)state;
	p = vm_proc_create(t.vm, "p");
	testvm_map(&t, p, at(0), 1, RW, VM_MAP_SHARED, NULL, 0);
	testvm_map(&t, p, at(1), 1, RW, VM_MAP_SHARED, "f", 0);
	testvm_map(&t, p, at(2), 1, RW, VM_MAP_PRIVATE, "f", 0);
	c = fork_of(p);
	for (unsigned i = 0; i < 2; i++) {
		testvm_fill(&t, c, at(i), 1, (uint8_t)(7 + i));
		vm_evict(t.vm, 64);
		assert_int_equal(testvm_byte(&t, p, at(i)), 7 + i);
	}
	/* Not copied yet, so it still shows the file. */
	assert_int_equal(testvm_byte(&t, p, at(2)), 8);
	testvm_fill(&t, p, at(2), 1, 9);
	assert_int_equal(testvm_byte(&t, c, at(2)), 8);
	assert_int_equal(testvm_byte(&t, c, at(1)), 8);
}

/* The parent stays, children come and go; both write. */
static void test_child_exits(void **state)
{
	int p = vm_proc_create(t.vm, "p");

	(void)state;
	testvm_map(&t, p, TV_BASE, N, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, p, TV_BASE, N, 1);
	for (unsigned i = 0; i < 200; i++) {
		int c = fork_of(p);

		testvm_fill(&t, p, at(i % N), 1, (uint8_t)i);
		testvm_fill(&t, c, at((i + 1) % N), 1, 0xee);
		if (i % 7 == 0)
			vm_evict(t.vm, 30);
		assert_int_equal(vm_exit(t.vm, c), 0);
		vm_run(t.vm);
		assert_true(depth(p) <= 2);
		assert_int_equal(testvm_byte(&t, p, at(i % N)), (uint8_t)i);
	}
	assert_true(testvm_stat(&t, "nr_objects") <= 2);
	assert_true(testvm_stat(&t, "nr_swap_used") <= N);
	vm_check(t.vm);
}

/* Each generation forks the next and goes. */
static void test_parent_exits(void **state)
{
	int p = vm_proc_create(t.vm, "p");

	(void)state;
	testvm_map(&t, p, TV_BASE, N, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, p, TV_BASE, N, 0);
	for (unsigned i = 0; i < 200; i++) {
		int c = fork_of(p);

		testvm_fill(&t, c, at(i % N), 1, (uint8_t)i);
		if (i % 5 == 0)
			vm_evict(t.vm, 30);
		assert_int_equal(vm_exit(t.vm, p), 0);
		p = c;
		vm_run(t.vm);
		assert_true(depth(p) <= 2);
		assert_true(testvm_stat(&t, "nr_objects") <= 2);
		assert_true(testvm_stat(&t, "nr_swap_used") <= N);
	}
	for (unsigned i = 200 - N; i < 200; i++)
		assert_int_equal(testvm_byte(&t, p, at(i % N)), (uint8_t)i);
	vm_check(t.vm);
}

/* Six generations alive; those in the middle go. */
static void test_middle_exits(void **state)
{
	int g[6];

	(void)state;
	g[0] = vm_proc_create(t.vm, "0");
	testvm_map(&t, g[0], TV_BASE, N, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, g[0], TV_BASE, N, 0x50);
	for (unsigned i = 1; i < 6; i++) {
		g[i] = fork_of(g[i - 1]);
		testvm_fill(&t, g[i - 1], at(i), 1, (uint8_t)(0x60 + i));
		testvm_fill(&t, g[i], at(i), 1, (uint8_t)(0x70 + i));
	}
	for (unsigned i = 1; i < 6; i++)
		assert_true(depth(g[i]) <= 7);
	for (unsigned i = 1; i < 5; i++)
		assert_int_equal(vm_exit(t.vm, g[i]), 0);
	vm_run(t.vm);
	assert_true(depth(g[0]) <= 3 && depth(g[5]) <= 3);
	for (unsigned i = 1; i < 6; i++)
		assert_int_equal(testvm_byte(&t, g[5], at(i)), 0x70 + i);
	assert_int_equal(testvm_byte(&t, g[0], at(1)), 0x61);
	assert_int_equal(testvm_byte(&t, g[0], at(2)), 0x50);
	assert_int_equal(vm_exit(t.vm, g[0]), 0);
	assert_int_equal(depth(g[5]), 1);
	assert_int_equal(testvm_stat(&t, "nr_objects"), 1);
	vm_check(t.vm);
}

/* ---- a page is busy when the collapse is due ---- */

static int child_to_end;

static void end_child(struct testvm *tv)
{
	if (child_to_end) {
		assert_true(testvm_stat(tv, "nr_writeback") > 0);
		assert_int_equal(vm_exit(tv->vm, child_to_end), 0);
		child_to_end = 0;
		vm_check(tv->vm);
		/* It waits for the write. */
		assert_int_equal(testvm_stat(tv, "collapses"), 0);
	}
	mem_release(tv->mem, 1);
}

static void test_busy_when_due(void **state)
{
	int p = vm_proc_create(t.vm, "p");

	(void)state;
	testvm_map(&t, p, TV_BASE, N, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, p, TV_BASE, N, 1);
	child_to_end = fork_of(p);
	testvm_fill(&t, p, at(0), 1, 2);
	t.stuck = end_child;
	mem_hold(t.mem, STORE_WRITE, true);
	vm_evict(t.vm, 64);
	vm_run(t.vm);
	mem_hold(t.mem, STORE_WRITE, false);
	assert_int_equal(child_to_end, 0);
	assert_int_equal(testvm_stat(&t, "collapses"), 1);
	assert_int_equal(depth(p), 1);
	assert_int_equal(testvm_byte(&t, p, at(0)), 2);
	assert_int_equal(testvm_byte(&t, p, at(1)), 1);
	assert_true(testvm_stat(&t, "nr_swap_used") <= N);
}

/* The busy pages that it waits for are unmapped. */
static void cut_off(struct testvm *tv)
{
	if (child_to_end) {
		assert_int_equal(vm_exit(tv->vm, child_to_end), 0);
		assert_int_equal(testvm_stat(tv, "collapses"), 0);
		assert_int_equal(vm_munmap(tv->vm, child_to_end - 1, at(1),
					   (N - 1) * TV_PAGE), 0);
		assert_int_equal(testvm_stat(tv, "collapses"), 1);
		child_to_end = 0;
		vm_check(tv->vm);
	}
	mem_release(tv->mem, 1);
}

static void test_busy_cut_off(void **state)
{
	int p = vm_proc_create(t.vm, "p");

	(void)state;
	testvm_map(&t, p, TV_BASE, N, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, p, at(1), N - 1, 1);
	child_to_end = fork_of(p);
	testvm_fill(&t, p, at(0), 1, 2);
	t.stuck = cut_off;
	mem_hold(t.mem, STORE_WRITE, true);
	vm_evict(t.vm, 64);
	vm_run(t.vm);
	mem_hold(t.mem, STORE_WRITE, false);
	assert_int_equal(depth(p), 1);
	assert_int_equal(testvm_byte(&t, p, at(0)), 2);
	assert_true(testvm_stat(&t, "nr_swap_used") <= 1);
}

/* What neither parent nor child has mapped any more keeps no swap slot. */
static void test_slots_after_both_unmap(void **state)
{
	int p = vm_proc_create(t.vm, "p"), c;

	(void)state;
	testvm_map(&t, p, TV_BASE, N, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, p, TV_BASE, N, 1);
	c = fork_of(p);
	vm_evict(t.vm, 64);
	vm_run(t.vm);
	assert_int_equal(testvm_stat(&t, "nr_swap_used"), N);
	assert_int_equal(vm_munmap(t.vm, p, at(4), 4 * TV_PAGE), 0);
	assert_int_equal(testvm_stat(&t, "nr_swap_used"), N);
	assert_int_equal(testvm_byte(&t, c, at(5)), 1);
	assert_int_equal(vm_munmap(t.vm, c, at(4), 4 * TV_PAGE), 0);
	vm_evict(t.vm, 64);
	vm_run(t.vm);
	assert_int_equal(testvm_stat(&t, "nr_swap_used"), N - 4);
	assert_int_equal(testvm_byte(&t, c, at(3)), 1);
	assert_int_equal(testvm_byte(&t, p, at(8)), 1);
}

/* Somebody finds the child before it has what its parent has, and maps
 * something into it. */
static void *map_into_child(void *arg)
{
	int *pid = arg;

	while ((*pid = vm_proc_find(t.vm, "c")) < 0)
		usleep(100);
	testvm_map(&t, *pid, at(2), 4, RW, VM_MAP_PRIVATE, NULL, 0);
	return NULL;
}

static void *fork_parent(void *arg)
{
	fork_of(*(int *)arg);
	return NULL;
}

static void test_found_too_soon(void **state)
{
	int p = vm_proc_create(t.vm, "p"), c;
	struct proc *parent = proc_get(t.vm, p);
	pthread_t forks, maps;

	(void)state;
	testvm_map(&t, p, TV_BASE, N, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, p, TV_BASE, N, 1);
	pthread_mutex_lock(&parent->map.lock);
	assert_int_equal(pthread_create(&forks, NULL, fork_parent, &p), 0);
	assert_int_equal(pthread_create(&maps, NULL, map_into_child, &c), 0);
	usleep(50000);
	pthread_mutex_unlock(&parent->map.lock);
	assert_int_equal(pthread_join(forks, NULL), 0);
	assert_int_equal(pthread_join(maps, NULL), 0);
	proc_put(t.vm, parent);
	vm_check(t.vm);
	assert_int_equal(testvm_byte(&t, c, at(1)), 1);
	assert_int_equal(testvm_byte(&t, c, at(2)), 0);
	assert_int_equal(testvm_byte(&t, c, at(6)), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
	const struct CMUnitTest tests[] = {
		T(test_names),
		T(test_states), T(test_shared_stays_shared),
		T(test_child_exits), T(test_parent_exits),
		T(test_middle_exits), T(test_busy_when_due),
		T(test_busy_cut_off), T(test_slots_after_both_unmap),
		T(test_found_too_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
