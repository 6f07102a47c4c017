/*
 * test_rmap.c - the reverse map of one frame is a set of places, and stays
 * quick when they are many.
 */
#include "pager/rmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pager/frame.h"

#define NPLACES	512u
#define MANY	200000u

static struct vm *vm;
static struct frame f;

static int make(void **state)
{
	(void)state;
	vm = aligned_alloc(_Alignof(struct vm), sizeof(*vm));
	assert_non_null(vm);
	memset(vm, 0, sizeof(*vm));
	memset(&f, 0, sizeof(f));
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	assert_true(f.rmap == 0);
	rmap_destroy(vm);
	free(vm);
	return 0;
}

/* Page tables beside one another, and pages: as fork and mmap make them. */
static uint64_t place(unsigned i)
{
	return RMAP_PLACE(1 + i / 16, 0x10000 + i % 16);
}

static unsigned index_of(uint64_t at)
{
	return (RMAP_ID(at) - 1) * 16 + (unsigned)(RMAP_VPN(at) - 0x10000);
}

/* The frame has just those places of which has[] says so. */
static void look(const bool *has)
{
	bool seen[NPLACES] = { false };
	struct rmap_walk w;
	unsigned n = 0;
	uint64_t at;

	rmap_walk(&f, &w);
	while (rmap_next(vm, &w, &at)) {
		assert_in_range(index_of(at), 0, NPLACES - 1);
		assert_false(seen[index_of(at)]);
		seen[index_of(at)] = true;
		n++;
	}
	assert_memory_equal(seen, has, sizeof(seen));
	assert_int_equal(rmap_count(vm, &f), n);
	assert_int_equal(rmap_any(vm, &f) != 0, n != 0);
}

/* Few at first, then nearly all, then few again. */
static void test_set(void **state)
{
	bool has[NPLACES] = { false };
	unsigned i;

	(void)state;
	srand(7);
	for (unsigned round = 0; round < 20000; round++) {
		unsigned part = round < 2000 ? 2 : round < 12000 ? 9 : 1;

		i = (unsigned)rand() % NPLACES;
		if (has[i] == ((unsigned)rand() % 10 < part))
			continue;
		if (has[i])
			rmap_remove(vm, &f, place(i));
		else
			assert_int_equal(rmap_add(vm, &f, place(i)), 0);
		has[i] = !has[i];
		if (round % 50 == 0 || round < 200)
			look(has);
	}
	while (rmap_any(vm, &f)) {
		i = index_of(rmap_any(vm, &f));
		assert_true(has[i]);
		has[i] = false;
		rmap_remove(vm, &f, rmap_any(vm, &f));
	}
	look(has);
}

/* The process that came first goes first. What looks through all the others
 * for each takes minutes; this, a fraction of a second. */
static void test_oldest_first(void **state)
{
	(void)state;
	alarm(10);
	for (uint32_t id = 1; id <= MANY; id++)
		assert_int_equal(rmap_add(vm, &f, RMAP_PLACE(id, 0x10000)), 0);
	assert_int_equal(rmap_count(vm, &f), MANY);
	for (uint32_t id = 1; id <= MANY; id++)
		rmap_remove(vm, &f, RMAP_PLACE(id, 0x10000));
	alarm(0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
	const struct CMUnitTest tests[] = { T(test_set), T(test_oldest_first) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
