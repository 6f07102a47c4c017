/*
 * test_slots.c - the slot map, by hand and against a plain array, and that a
 * million slots cost what a thousand do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "swap/bits.h"
#include "swap/slots.h"

static struct slots *make(uint32_t first, uint32_t end)
{
	struct slots *s;

	assert_int_equal(slots_create(first, end, &s), 0);
	slots_check(s);
	return s;
}

static void test_bits(void **state)
{
	struct bits b;

	(void)state;
	assert_int_equal(bits_init(&b, 300000), 0);
	assert_int_equal(bits_next(&b, 0), BITS_NONE);
	bits_set(&b, 299999, 1);
	bits_set(&b, 60, 200);
	assert_int_equal(bits_check(&b), 201);
	assert_int_equal(bits_next(&b, 0), 60);
	assert_int_equal(bits_next(&b, 100), 100);
	assert_int_equal(bits_next(&b, 260), 299999);
	assert_int_equal(bits_next(&b, 300000), BITS_NONE);
	assert_int_equal(bits_run(&b, 60, 1000), 200);
	assert_int_equal(bits_run(&b, 61, 64), 64);
	assert_int_equal(bits_run(&b, 299999, 64), 1);
	bits_clear(&b, 61, 198);
	assert_int_equal(bits_next(&b, 61), 259);
	assert_int_equal(bits_check(&b), 3);
	bits_free(&b);
}

static void test_neighbours(void **state)
{
	struct slots *s = make(1, 1001);
	uint32_t a, b;

	(void)state;
	assert_int_equal(slots_ntotal(s), 1000);
	assert_int_equal(slots_alloc(s, 16, &a), 16);
	assert_int_equal(slots_alloc(s, 16, &b), 16);
	assert_int_equal(a, 1);
	assert_int_equal(b, 17);
	assert_int_equal(slots_refs(s, a + 15), 1);
	assert_int_equal(slots_nused(s), 32);
	slots_check(s);
	slots_destroy(s);
}

static void test_refs(void **state)
{
	struct slots *s = make(1, 3);
	uint32_t a, b;

	(void)state;
	assert_int_equal(slots_alloc(s, 1, &a), 1);
	slots_ref(s, a);
	slots_unref(s, a);
	assert_int_equal(slots_refs(s, a), 1);
	assert_int_equal(slots_alloc(s, 2, &b), 1);
	assert_int_not_equal(a, b);
	assert_int_equal(slots_alloc(s, 1, &b), 0);
	slots_unref(s, a);
	assert_int_equal(slots_refs(s, a), 0);
	assert_int_equal(slots_alloc(s, 5, &b), 1);
	assert_int_equal(a, b);
	slots_check(s);
	slots_destroy(s);
}

static void test_bad(void **state)
{
	struct slots *s = make(1, 4);
	uint32_t a;

	(void)state;
	slots_bad(s, 2);
	slots_bad(s, 2);
	assert_int_equal(slots_nfree(s), 2);
	assert_int_equal(slots_alloc(s, 3, &a), 1);
	assert_int_equal(a, 1);
	slots_bad(s, 1);
	assert_int_equal(slots_refs(s, 1), 1);
	slots_check(s);
	slots_unref(s, 1);
	assert_true(slots_is_bad(s, 1));
	assert_int_equal(slots_nfree(s), 1);
	assert_int_equal(slots_nbad(s), 2);
	assert_int_equal(slots_nused(s), 0);
	assert_int_equal(slots_alloc(s, 3, &a), 1);
	assert_int_equal(a, 3);
	slots_check(s);
	slots_destroy(s);
}

/* Broken ground everywhere but in one cluster: a large alloc finds that. */
static void test_prefers_whole(void **state)
{
	struct slots *s = make(0, 8192);
	uint32_t a;

	(void)state;
	while (slots_nfree(s))
		slots_alloc(s, SLOTS_CLUSTER, &a);
	for (uint32_t i = 0; i < 8192; i++)
		if (i % 2 || i / SLOTS_CLUSTER == 20)
			slots_unref(s, i);
	slots_check(s);
	assert_int_equal(slots_alloc(s, 200, &a), 200);
	assert_int_equal(a, 20 * SLOTS_CLUSTER);
	assert_int_equal(slots_alloc(s, 200, &a), 56);	/* the rest */
	assert_int_equal(slots_alloc(s, 200, &a), 1);
	slots_check(s);
	slots_destroy(s);
}

static void random_step(struct slots *s, uint8_t *model, uint32_t n)
{
	uint32_t a, i = 1 + (uint32_t)rand() % (n - 1);
	unsigned got;

	switch (rand() % 4) {
	case 0:
		got = slots_alloc(s, 1 + (unsigned)rand() % SLOTS_CLUSTER, &a);
		for (unsigned k = 0; k < got; k++)
			assert_int_equal(model[a + k]++, 0);
		break;
	case 1:
		if (model[i] && model[i] < 200) {
			slots_ref(s, i);
			model[i]++;
		}
		break;
	default:
		for (unsigned k = 0; k < 200 && i < n; k++, i++) {
			if (!model[i])
				continue;
			slots_unref(s, i);
			model[i]--;
		}
	}
}

static void test_random(void **state)
{
	enum { N = 5000 };
	struct slots *s = make(1, N);
	uint8_t *model = calloc(N, 1);

	(void)state;
	srand(7);
	for (int step = 0; step < 20000; step++) {
		random_step(s, model, N);
		if (step % 500)
			continue;
		slots_check(s);
		for (uint32_t i = 1; i < N; i++)
			assert_int_equal(slots_refs(s, i), model[i]);
	}
	free(model);
	slots_destroy(s);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Seconds for a fixed number of alloc and unref on an almost full map. */
static double churn(uint32_t n)
{
	struct slots *s = make(0, n);
	uint32_t a, step = n / 16;
	double start;

	while (slots_nfree(s))
		slots_alloc(s, SLOTS_CLUSTER, &a);
	start = seconds();
	for (uint32_t i = 0; i < 400000; i++) {
		slots_unref(s, (uint32_t)((uint64_t)i * step % n));
		assert_int_equal(slots_alloc(s, 16, &a), 1);
	}
	start = seconds() - start;
	slots_destroy(s);
	return start;
}

static void test_cost(void **state)
{
	double small = 1e9, large = 1e9;

	(void)state;
	for (int i = 0; i < 5; i++) {
		double t = churn(1u << 10);

		small = t < small ? t : small;
		t = churn(1u << 20);
		large = t < large ? t : large;
	}
	print_message("1k slots %.0f ns, 1M slots %.0f ns per alloc+unref\n",
		      small / 4e5 * 1e9, large / 4e5 * 1e9);
	/* log64: two more levels, and misses of the cache. */
	assert_true(large < small * 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_refs),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_prefers_whole),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
