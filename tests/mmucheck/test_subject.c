/*
 * What is judged, the emulated CPU, comes with all the translation caches that
 * it is to be judged with, or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mmucheck/engine.h"
#include "tests/lib/nomem.h"

static void test_no_memory(void **state)
{
	struct mc_engine *e;
	unsigned failed, n = 0;
	char why[128];

	(void)state;
	do {
		nomem_nth(++n);
		e = engine_emu_open(why, sizeof(why));
		failed = nomem_off();
		assert_int_equal(!e, failed);
	} while (failed);
	assert_true(n > 10);
	e->close(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("subject", tests, NULL, NULL);
}
