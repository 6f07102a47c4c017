/*
 * test_fault_engine.c - the shim fails what it was told to, before and after
 * the device, on the in-memory engine.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/fault_engine.h"
#include "tests/lib/mem_store.h"

#define PAGE	STORE_PAGE_SIZE

static uint8_t ram[8 * PAGE];
static struct mem_store *mem;
static struct fault_engine *fault;
static struct store_engine *e;
static struct store *store;
static unsigned ndone;

static void done(struct store_io *io)
{
	(void)io;
	ndone++;
}

static int setup(void **state)
{
	struct mem_config config = {
		.ram = ram, .ram_size = sizeof(ram), .swap_slots = 10,
	};

	(void)state;
	mem = mem_create(&config);
	mem_file_create(mem, "f", NULL, 4 * PAGE);
	fault = fault_create(mem_engine(mem));
	e = fault_store_engine(fault);
	return e->open(e, "f", true, &store);
}

static int teardown(void **state)
{
	(void)state;
	store->ops->close(store);
	fault_destroy(fault);
	mem_destroy(mem);
	return 0;
}

static int run(struct store *on, enum store_op op, uint64_t page)
{
	static const uint32_t pfn[1] = { 2 };
	struct store_io io = {
		.store = on, .op = op, .page = page, .pfn = pfn,
		.npages = op != STORE_SYNC, .done = done,
	};

	ndone = 0;
	on->ops->submit(on, &io);
	assert_int_equal(ndone, 0);
	while (!ndone)
		e->reap(e, -1);
	assert_int_equal(ndone, 1);
	return io.error;
}

static void test_each(void **state)
{
	(void)state;
	for (int when = FAULT_BEFORE; when <= FAULT_AFTER; when++)
		for (unsigned nth = 1; nth <= 3; nth++) {
			fault_rule(fault, STORE_WRITE, nth, 1, EIO,
				   (enum fault_when)when);
			for (unsigned i = 1; i <= 4; i++) {
				assert_int_equal(run(store, STORE_READ, 0),
						 0);
				assert_int_equal(run(store, STORE_WRITE, 1),
						 i == nth ? -EIO : 0);
			}
			assert_int_equal(fault_count(fault, FAULT_ANY), 8);
			assert_int_equal(fault_count(fault, STORE_WRITE), 4);
			assert_int_equal(fault_failed(fault), 1);
		}
}

static void test_before_and_after(void **state)
{
	uint8_t back[PAGE];

	(void)state;
	fault_rule(fault, FAULT_ANY, 1, 0, ENOSPC, FAULT_BEFORE);
	memset(ram, 'a', sizeof(ram));
	assert_int_equal(run(store, STORE_WRITE, 3), -ENOSPC);
	mem_file_peek(mem, "f", 3 * PAGE, back, PAGE);
	assert_int_equal(back[0], 0);
	fault_rule(fault, FAULT_ANY, 1, 0, ENOSPC, FAULT_AFTER);
	assert_int_equal(run(store, STORE_WRITE, 3), -ENOSPC);
	mem_file_peek(mem, "f", 3 * PAGE, back, PAGE);
	assert_int_equal(back[0], 'a');
	assert_int_equal(run(store, STORE_SYNC, 0), -ENOSPC);
	fault_rule(fault, FAULT_ANY, 0, 0, 0, FAULT_BEFORE);
	assert_int_equal(run(store, STORE_SYNC, 0), 0);
}

static void test_swap(void **state)
{
	struct swap_store *swap = fault_swap(fault, mem_swap(mem));
	uint32_t slot;

	(void)state;
	assert_int_equal(swap->ntotal(swap), 10);
	assert_int_equal(swap->alloc(swap, 1, 0, &slot), 1);
	fault_rule(fault, STORE_READ, 1, 1, EIO, FAULT_BEFORE);
	assert_int_equal(run(&swap->store, STORE_WRITE, slot), 0);
	assert_int_equal(run(&swap->store, STORE_READ, slot), -EIO);
	assert_int_equal(run(&swap->store, STORE_READ, slot), 0);
	swap->unref(swap, slot);
	assert_int_equal(swap->nfree(swap), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_and_after, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_swap, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
