/*
 * test_mem_store.c - the pager's tests lean on mem_store; this leans on it
 * first: order, holding, failures, torn copies, ends of files, swap, threads.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/mem_store.h"

#define PAGE	STORE_PAGE_SIZE
#define FRAMES	64u

static uint8_t *ram;

static int setup(void **state)
{
	(void)state;
	ram = calloc(FRAMES, PAGE);
	return !ram;
}

static int teardown(void **state)
{
	(void)state;
	free(ram);
	return 0;
}

static struct mem_store *make(enum mem_order order, uint64_t seed)
{
	struct mem_config config = {
		.ram = ram, .ram_size = FRAMES * PAGE, .seed = seed,
		.order = order, .swap_slots = 100,
	};

	return mem_create(&config);
}

static unsigned log_order[64], nlog;

static void done(struct store_io *io)
{
	log_order[nlog++] = (unsigned)(uintptr_t)io->ctx;
}

static void fill(struct store_io *io, struct store *store, enum store_op op,
		 uint64_t page, unsigned n, const uint32_t *pfn)
{
	*io = (struct store_io) {
		.store = store, .op = op, .page = page, .npages = n,
		.pfn = pfn, .done = done,
	};
}

static void go(struct mem_store *mem, struct store_io *io)
{
	nlog = 0;
	io->store->ops->submit(io->store, io);
	assert_int_equal(nlog, 0);
	while (!nlog)
		mem_engine(mem)->reap(mem_engine(mem), -1);
}

static struct store *open_file(struct mem_store *mem, const char *name)
{
	struct store *store;

	assert_int_equal(mem_engine(mem)->open(mem_engine(mem), name, true,
					       &store), 0);
	return store;
}

static void test_file_end(void **state)
{
	struct mem_store *mem = make(MEM_FIFO, 1);
	uint32_t pfn[3] = { 5, 2, 9 };
	struct store *store;
	struct store_io io;
	uint8_t data[5000], back[5000];

	(void)state;
	memset(data, 'x', sizeof(data));
	mem_file_create(mem, "f", data, sizeof(data));
	store = open_file(mem, "f");
	fill(&io, store, STORE_READ, 0, 3, pfn);
	go(mem, &io);
	assert_int_equal(io.error, 0);
	assert_int_equal(io.npast, 1);
	assert_memory_equal(ram + 5 * PAGE, data, PAGE);
	assert_memory_equal(ram + 2 * PAGE, data, 5000 - PAGE);
	for (unsigned i = 5000 - PAGE; i < PAGE; i++)
		assert_int_equal(ram[2 * PAGE + i], 0);
	memset(ram, 'y', FRAMES * PAGE);
	fill(&io, store, STORE_WRITE, 0, 3, pfn);
	go(mem, &io);
	assert_int_equal(io.npast, 1);
	assert_int_equal(mem_file_size(mem, "f"), 5000);
	mem_file_peek(mem, "f", 0, back, 5000);
	assert_memory_equal(back, ram, 4096);
	assert_int_equal(back[4999], 'y');
	store->ops->close(store);
	mem_destroy(mem);
}

/* Truncated and grown again while a write is held. */
static void test_resize_under_io(void **state)
{
	struct mem_store *mem = make(MEM_RANDOM, 3);
	uint32_t pfn[4] = { 1, 2, 3, 4 };
	struct store *store;
	struct store_io io;
	uint8_t back[PAGE];

	(void)state;
	mem_file_create(mem, "f", NULL, 4 * PAGE);
	store = open_file(mem, "f");
	memset(ram, 'z', FRAMES * PAGE);
	mem_hold(mem, STORE_WRITE, true);
	fill(&io, store, STORE_WRITE, 0, 4, pfn);
	nlog = 0;
	store->ops->submit(store, &io);
	assert_ptr_equal(mem_held(mem, 0), &io);
	assert_null(mem_held(mem, 1));
	assert_int_equal(mem_engine(mem)->reap(mem_engine(mem), 0), 0);
	mem_file_resize(mem, "f", 100);
	mem_file_resize(mem, "f", 2 * PAGE);
	assert_int_equal(mem_release(mem, 5), 1);
	assert_int_equal(mem_engine(mem)->reap(mem_engine(mem), -1), 1);
	assert_int_equal(io.npast, 2);
	mem_file_peek(mem, "f", PAGE, back, PAGE);
	assert_memory_equal(back, ram, PAGE);
	store->ops->close(store);
	mem_destroy(mem);
}

/* A store during a write shows on the disk as torn pages, for some seed. */
static void test_tears(void **state)
{
	uint32_t pfn[1] = { 7 };
	unsigned seen = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 40; seed++) {
		struct mem_store *mem = make(MEM_FIFO, seed);
		struct store *store;
		struct store_io io;
		uint8_t back[PAGE];

		mem_file_create(mem, "f", NULL, PAGE);
		store = open_file(mem, "f");
		fill(&io, store, STORE_WRITE, 0, 1, pfn);
		memset(ram + 7 * PAGE, 'a', PAGE);
		nlog = 0;
		store->ops->submit(store, &io);
		memset(ram + 7 * PAGE, 'b', PAGE);
		mem_engine(mem)->reap(mem_engine(mem), -1);
		mem_file_peek(mem, "f", 0, back, PAGE);
		seen |= 1u << ((back[0] == 'b') * 2 + (back[PAGE - 1] == 'b'));
		store->ops->close(store);
		mem_destroy(mem);
	}
	assert_int_equal(seen, 15);
}

static void test_failures(void **state)
{
	struct mem_store *mem = make(MEM_FIFO, 1);
	uint32_t pfn[1] = { 3 };
	struct store *store;
	struct store_io io;
	uint8_t back[1];

	(void)state;
	mem_file_create(mem, "f", NULL, PAGE);
	store = open_file(mem, "f");
	mem_fail(mem, STORE_WRITE, 2, 1, EIO);
	for (int i = 1; i <= 3; i++) {
		fill(&io, store, STORE_READ, 0, 1, pfn);
		go(mem, &io);
		assert_int_equal(io.error, 0);
		fill(&io, store, STORE_WRITE, 0, 1, pfn);
		go(mem, &io);
		assert_int_equal(io.error, i == 2 ? -EIO : 0);
		mem_file_peek(mem, "f", 0, back, 1);
		assert_int_equal(back[0], i == 2 ? MEM_SCRIBBLE : 0);
		memset(ram, 0, FRAMES * PAGE);
		mem_file_poke(mem, "f", 0, ram, PAGE);
	}
	mem_fail(mem, MEM_OP_ANY, 1, 0, ENOSPC);
	for (int i = 0; i < 3; i++) {
		fill(&io, store, STORE_SYNC, 0, 0, NULL);
		go(mem, &io);
		assert_int_equal(io.error, -ENOSPC);
	}
	mem_fail_none(mem);
	fill(&io, store, STORE_SYNC, 0, 0, NULL);
	go(mem, &io);
	assert_int_equal(io.error, 0);
	store->ops->close(store);
	mem_destroy(mem);
}

static void run_order(enum mem_order order, uint64_t seed, unsigned out[16])
{
	struct mem_store *mem = make(order, seed);
	struct store_io io[16];
	uint32_t pfn[16];
	struct store *store;

	mem_file_create(mem, "f", NULL, 16 * PAGE);
	store = open_file(mem, "f");
	nlog = 0;
	for (unsigned i = 0; i < 16; i++) {
		pfn[i] = i;
		fill(&io[i], store, STORE_READ, i, 1, &pfn[i]);
		io[i].ctx = (void *)(uintptr_t)i;
		store->ops->submit(store, &io[i]);
	}
	while (nlog < 16)
		assert_true(mem_engine(mem)->reap(mem_engine(mem), -1) > 0);
	memcpy(out, log_order, 16 * sizeof(*out));
	store->ops->close(store);
	mem_destroy(mem);
}

static void test_order(void **state)
{
	unsigned a[16], b[16], c[16];

	(void)state;
	run_order(MEM_FIFO, 1, a);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(a[i], i);
	run_order(MEM_RANDOM, 1, a);
	run_order(MEM_RANDOM, 1, b);
	run_order(MEM_RANDOM, 2, c);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, c, sizeof(a));
}

static void test_swap(void **state)
{
	struct mem_store *mem = make(MEM_FIFO, 1);
	struct swap_store *swap = mem_swap(mem);
	uint32_t slot, pfn[2] = { 1, 8 };
	struct store_io io;
	uint8_t back[PAGE];

	(void)state;
	assert_int_equal(swap->ntotal(swap), 100);
	assert_int_equal(swap->alloc(swap, 2, 0, &slot), 2);
	memset(ram + PAGE, '1', PAGE);
	memset(ram + 8 * PAGE, '2', PAGE);
	fill(&io, &swap->store, STORE_WRITE, slot, 2, pfn);
	go(mem, &io);
	mem_swap_peek(mem, slot + 1, back);
	assert_int_equal(back[17], '2');
	memset(ram, 0, FRAMES * PAGE);
	fill(&io, &swap->store, STORE_READ, slot, 2, pfn);
	go(mem, &io);
	assert_int_equal(ram[PAGE], '1');
	assert_int_equal(ram[9 * PAGE - 1], '2');
	swap->ref(swap, slot);
	swap->unref(swap, slot);
	swap->unref(swap, slot);
	mem_swap_peek(mem, slot, back);
	assert_int_equal(back[0], MEM_SCRIBBLE);
	swap->bad(swap, slot + 1);
	swap->unref(swap, slot + 1);
	assert_int_equal(swap->nfree(swap), 99);
	mem_swap_check(mem);
	mem_destroy(mem);
}

struct sleeper {
	struct mem_store *mem;
	int n;
};

static void *sleep_in_reap(void *arg)
{
	struct sleeper *s = arg;

	s->n = mem_engine(s->mem)->reap(mem_engine(s->mem), -1);
	return NULL;
}

static void test_threads(void **state)
{
	struct sleeper s = { .mem = make(MEM_FIFO, 1) };
	struct store_engine *e = mem_engine(s.mem);
	uint32_t pfn[1] = { 3 };
	struct store *store;
	struct store_io io;
	pthread_t thread;

	(void)state;
	mem_file_create(s.mem, "f", NULL, PAGE);
	store = open_file(s.mem, "f");
	pthread_create(&thread, NULL, sleep_in_reap, &s);
	e->wake(e);
	pthread_join(thread, NULL);
	assert_int_equal(s.n, 0);
	mem_hold(s.mem, MEM_OP_ANY, true);
	nlog = 0;
	pthread_create(&thread, NULL, sleep_in_reap, &s);
	fill(&io, store, STORE_READ, 0, 1, pfn);
	store->ops->submit(store, &io);
	mem_release(s.mem, 1);
	pthread_join(thread, NULL);
	assert_int_equal(s.n, 1);
	assert_int_equal(e->reap(e, 1000000), 0);
	store->ops->close(store);
	mem_destroy(s.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_end),
		cmocka_unit_test(test_resize_under_io),
		cmocka_unit_test(test_tears),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_swap),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
