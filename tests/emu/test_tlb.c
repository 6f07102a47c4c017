/*
 * test_tlb.c - the TLB by itself: planes, slots, forgetting.
 */
#include "emu/tlb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t host_page[4096] __attribute__((aligned(4096)));

static int setup(void **state)
{
	struct tlb *tlb = malloc(sizeof(*tlb));

	if (!tlb)
		return -1;
	tlb_init(tlb);
	*state = tlb;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void fill(struct tlb *tlb, uint64_t va, enum mmu_access access,
		 bool store, bool large)
{
	struct tlb_page page = {
		.va = va, .host = host_page, .store = store,
		.shift = large ? 21 : 12,
	};

	tlb_fill(tlb, access, &page);
}

static void *look(const struct tlb *tlb, uint64_t va, enum mmu_access access)
{
	return tlb_lookup(tlb, va, access, 1);
}

static void test_empty(void **state)
{
	static const uint64_t va[] = {
		0, 0xfff, 0x1000, 0xfffffffffffff000, 0xffffffffffffffff,
	};
	unsigned i, access;

	for (i = 0; i < sizeof(va) / sizeof(va[0]); i++)
		for (access = 0; access < TLB_PLANES; access++)
			assert_null(look(*state, va[i], access));
}

static void test_planes(void **state)
{
	struct tlb *tlb = *state;

	fill(tlb, 0x1000, MMU_READ, false, false);
	assert_ptr_equal(look(tlb, 0x1234, MMU_READ), host_page + 0x234);
	assert_null(look(tlb, 0x1234, MMU_WRITE));
	assert_null(look(tlb, 0x1234, MMU_FETCH));

	fill(tlb, 0x1000, MMU_WRITE, true, false);
	assert_ptr_equal(look(tlb, 0x1fff, MMU_WRITE), host_page + 0xfff);

	fill(tlb, 0x2000, MMU_FETCH, true, false);
	assert_null(look(tlb, 0x2000, MMU_READ));
	assert_null(look(tlb, 0x2000, MMU_WRITE));
	assert_non_null(look(tlb, 0x2000, MMU_FETCH));
}

/* A page at the very top, whose addend wraps around, and the page at 0. */
static void test_ends(void **state)
{
	struct tlb *tlb = *state;

	fill(tlb, 0xfffffffffffff000, MMU_READ, true, false);
	fill(tlb, 0, MMU_READ, true, false);
	assert_ptr_equal(look(tlb, 0xffffffffffffffff, MMU_READ),
			 host_page + 0xfff);
	assert_ptr_equal(look(tlb, 5, MMU_WRITE), host_page + 5);
}

static void test_alignment(void **state)
{
	struct tlb *tlb = *state;
	unsigned size, offset;

	fill(tlb, 0x5000, MMU_READ, false, false);
	for (size = 1; size <= 8; size *= 2)
		for (offset = 0; offset < 16; offset++)
			assert_int_equal(!!tlb_lookup(tlb, 0x5000 + offset,
						      MMU_READ, size),
					 offset % size == 0);
}

/* Two pages of one slot: the later is there, the earlier never answers. */
static void test_conflict(void **state)
{
	struct tlb *tlb = *state;
	uint64_t far = 0x1000 + (uint64_t)TLB_ENTRIES * 4096;

	fill(tlb, 0x1000, MMU_READ, true, false);
	fill(tlb, far, MMU_READ, false, false);
	assert_null(look(tlb, 0x1000, MMU_READ));
	assert_non_null(look(tlb, far, MMU_READ));
	assert_non_null(look(tlb, 0x1000, MMU_WRITE));
	assert_null(look(tlb, far, MMU_WRITE));
	tlb_invalidate(tlb, far);
	assert_non_null(look(tlb, 0x1000, MMU_WRITE));
}

static void test_invalidate(void **state)
{
	struct tlb *tlb = *state;

	fill(tlb, 0x1000, MMU_READ, true, false);
	fill(tlb, 0x1000, MMU_FETCH, true, false);
	fill(tlb, 0x2000, MMU_READ, true, false);
	tlb_invalidate(tlb, 0x1abc);
	assert_null(look(tlb, 0x1000, MMU_READ));
	assert_null(look(tlb, 0x1000, MMU_WRITE));
	assert_null(look(tlb, 0x1000, MMU_FETCH));
	assert_non_null(look(tlb, 0x2000, MMU_READ));
}

/* All pieces of the large page go, and nothing else. */
static void test_large(void **state)
{
	struct tlb *tlb = *state;

	fill(tlb, 0x200000, MMU_READ, true, true);
	fill(tlb, 0x201000, MMU_READ, true, true);
	fill(tlb, 0x3ff000, MMU_FETCH, true, true);
	fill(tlb, 0x400000, MMU_READ, true, true);
	fill(tlb, 0x1ff000, MMU_READ, true, false);
	tlb_invalidate(tlb, 0x3fe000);
	assert_null(look(tlb, 0x200000, MMU_READ));
	assert_null(look(tlb, 0x201000, MMU_READ));
	assert_null(look(tlb, 0x201000, MMU_WRITE));
	assert_null(look(tlb, 0x3ff000, MMU_FETCH));
	assert_non_null(look(tlb, 0x400000, MMU_READ));
	assert_non_null(look(tlb, 0x1ff000, MMU_READ));
}

/* A piece of a page of more than 2 MiB: everything goes. */
static void test_huge(void **state)
{
	struct tlb *tlb = *state;
	struct tlb_page page = {
		.va = 1ull << 30, .host = host_page, .shift = 30,
	};

	fill(tlb, 0x1000, MMU_READ, true, false);
	tlb_fill(tlb, MMU_READ, &page);
	tlb_invalidate(tlb, (1ull << 30) + 0x12345000);
	assert_null(look(tlb, 1ull << 30, MMU_READ));
	assert_false(tlb->huge);
}

static void test_flush(void **state)
{
	struct tlb *tlb = *state;
	uint64_t va;
	unsigned round, access;

	for (round = 0; round < 2; round++) {
		for (va = 0; va < TLB_ENTRIES * 4096ull; va += 4096) {
			fill(tlb, va, MMU_READ, true, false);
			fill(tlb, va, MMU_FETCH, true, false);
		}
		tlb_flush(tlb);
		for (va = 0; va < TLB_ENTRIES * 4096ull; va += 4096)
			for (access = 0; access < TLB_PLANES; access++)
				assert_null(look(tlb, va, access));
	}
}

#define FRESH(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_empty),
		FRESH(test_planes),
		FRESH(test_ends),
		FRESH(test_alignment),
		FRESH(test_conflict),
		FRESH(test_invalidate),
		FRESH(test_large),
		FRESH(test_huge),
		FRESH(test_flush),
	};

	return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
