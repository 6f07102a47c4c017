/*
 * test_held_tree.c - held writes against a flat array of bytes: whatever is
 * put, cut and taken out, the tree says the same, and no two extents overlap.
 */
#include "fs/held_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SPACE	400

static struct held_tree tree;
static short model[SPACE];	/* -1: not held */

static void compare(void)
{
	short seen[SPACE];
	struct held_extent *extent = held_tree_first(&tree, 0);
	uint64_t count = 0, bytes = 0, memory = 0, last = 0;
	size_t i;

	memset(seen, 0xff, sizeof(seen));
	for (; extent; extent = held_tree_next(&tree, extent)) {
		assert_true(extent->offset >= last);
		assert_true(extent->length > 0);
		last = extent->offset + extent->length;
		assert_true(last <= SPACE);
		for (i = 0; i < extent->length; i++)
			seen[extent->offset + i] =
				(unsigned char)held_extent_data(extent)[i];
		count++;
		bytes += extent->length;
		memory += sizeof(*extent) + extent->room;
		assert_true(extent->skip + extent->length <= extent->room);
		/* However large the write was of which it is left. */
		assert_true(extent->length >= extent->room / 2);
	}
	assert_memory_equal(seen, model, sizeof(model));
	assert_int_equal(count, tree.count);
	assert_int_equal(bytes, tree.bytes);
	assert_int_equal(memory, tree.memory);
	assert_int_equal(last, held_tree_end(&tree));
}

static void put(unsigned int from, unsigned int length, unsigned char byte)
{
	char data[SPACE];
	unsigned int i;

	memset(data, byte, length);
	assert_int_equal(held_tree_put(&tree, data, length, from), 0);
	for (i = 0; i < length; i++)
		model[from + i] = byte;
	compare();
}

static void cut(unsigned int from, uint64_t to)
{
	unsigned int i;

	assert_int_equal(held_tree_cut(&tree, from, to), 0);
	for (i = from; i < SPACE && i < to; i++)
		model[i] = -1;
	compare();
}

static int begin(void **state)
{
	(void)state;
	held_tree_init(&tree);
	memset(model, 0xff, sizeof(model));
	return 0;
}

static int end(void **state)
{
	(void)state;
	cut(0, UINT64_MAX);
	return 0;
}

static void test_cases(void **state)
{
	(void)state;
	put(10, 10, 1);
	put(20, 10, 2);		/* side by side */
	put(15, 10, 3);		/* over the border */
	put(17, 2, 4);		/* in the middle */
	put(0, 50, 5);		/* over all */
	assert_int_equal(tree.count, 1);
	cut(20, 30);		/* split */
	assert_int_equal(tree.count, 2);
	cut(0, 5);
	cut(45, 60);
	cut(12, 12);
	assert_null(held_tree_first(&tree, 45));
	assert_int_equal(held_tree_first(&tree, 20)->offset, 30);
	assert_int_equal(held_tree_first(&tree, 19)->offset, 5);
}

static void test_random(void **state)
{
	unsigned int from, length, i;

	(void)state;
	srand(7);
	for (i = 0; i < 50000; i++) {
		from = rand() % SPACE;
		length = rand() % (SPACE - from);
		if (length > 40 && rand() % 8)
			length %= 40;
		switch (rand() % 6) {
		case 0:
			cut(from, from + length);
			break;
		case 1:
			if (rand() % 8 == 0)
				cut(from, UINT64_MAX);
			break;
		default:
			put(from, length, rand());
		}
	}
}

static void test_pick(void **state)
{
	unsigned int seen[10] = { 0 }, i;

	(void)state;
	assert_null(held_tree_pick(&tree, 3));
	for (i = 0; i < 10; i++)
		put(i * 10, 5, i);
	for (i = 0; i < 1000; i++)
		seen[held_tree_pick(&tree, i * 7)->offset / 10]++;
	for (i = 0; i < 10; i++)
		assert_int_equal(seen[i], 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cases, begin, end),
		cmocka_unit_test_setup_teardown(test_random, begin, end),
		cmocka_unit_test_setup_teardown(test_pick, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
