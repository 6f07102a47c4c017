/*
 * test_mmu_fuzz.c - the fuzz harness of the MMU over random programs from a
 * fixed seed, for about a second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "fuzz_mmu.c"

#define STEPS		600
#define PROGRAMS	3000
#define SECONDS		2.0

static uint64_t random64(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x * 0x2545f4914f6cdd1dull;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void test_random_programs(void **state)
{
	uint8_t program[STEPS * 6];
	uint64_t x = 88172645463325252ull;
	double end = now() + SECONDS;
	unsigned i, n;

	(void)state;
	for (n = 0; n < PROGRAMS && now() < end; n++) {
		for (i = 0; i < sizeof(program); i++)
			program[i] = random64(&x) >> 40;
		LLVMFuzzerTestOneInput(program, sizeof(program));
	}
	assert_true(n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_programs),
	};

	return cmocka_run_group_tests_name("mmu_fuzz", tests, NULL, NULL);
}
