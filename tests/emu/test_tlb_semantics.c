/*
 * test_tlb_semantics.c - random sequences of edits, invalidations and accesses
 * against the oracle of tlb_oracle.h: in every mode, at full speed, with real
 * parts' caches, with room for everything and with room for next to nothing.
 */
#include "tests/emu/tlb_oracle.h"

/* Nearly none: everything is thrown out at once. */
static const struct model_preset tiny = {
	.name = "tiny",
	.l1d = { { { MODEL_4K, 2, 1 } } }, .l1i = { { { 7, 1, 1 } } },
	.l2d = { { { MODEL_4K | MODEL_2M, 2, 2 } } },
	.l2i = { { { MODEL_4K, 1, 1 } } },
	.psc = { 0, 0, 2, 1, 0, 1 },
};

static struct world world;

static void sequences(const struct model_preset *preset, unsigned levels,
		      unsigned count, unsigned length)
{
	uint64_t faults = 0, stale = 0, could = 0, hits = 0;
	unsigned i, j;

	for (i = 0; i < count; i++) {
		world_make(&world, preset, levels, i + 1);
		for (j = 0; j < length; j++)
			step(&world);
		faults += world.faults;
		stale += world.stale;
		could += world.may;
		hits += world.hits;
		world_free(&world);
	}
	print_message("%u-level %s: %llu faults, %llu stale uses, hit %llu of "
		      "%llu it might\n", levels,
		      preset ? preset->name : "full speed",
		      (unsigned long long)faults, (unsigned long long)stale,
		      (unsigned long long)hits, (unsigned long long)could);
	assert_true(faults && stale && hits);
	assert_true(hits <= could);
	if (preset == &vast)
		assert_true(hits * 100 >= could * 90);
}

static void test_vast(void **state)
{
	(void)state;
	sequences(&vast, 4, 60, 4000);
	sequences(&vast, 5, 20, 4000);
	sequences(&vast, 3, 20, 4000);
	sequences(&vast, 2, 20, 4000);
}

static void test_tiny(void **state)
{
	(void)state;
	sequences(&tiny, 4, 60, 4000);
	sequences(&tiny, 5, 20, 4000);
	sequences(&tiny, 3, 20, 4000);
	sequences(&tiny, 2, 20, 4000);
}

static void test_real_parts(void **state)
{
	const struct model_preset *p;

	(void)state;
	for (p = model_presets; p->name; p++)
		sequences(p, 4, 20, 4000);
}

static void test_full_speed(void **state)
{
	(void)state;
	sequences(NULL, 4, 60, 4000);
	sequences(NULL, 5, 20, 4000);
	sequences(NULL, 3, 20, 4000);
	sequences(NULL, 2, 20, 4000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vast),
		cmocka_unit_test(test_tiny),
		cmocka_unit_test(test_real_parts),
		cmocka_unit_test(test_full_speed),
	};

	return cmocka_run_group_tests_name("tlb_semantics", tests, NULL,
					   NULL);
}
