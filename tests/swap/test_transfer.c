/*
 * test_transfer.c - short, refused and interrupted transfers, without a
 * kernel: a pretended file answers each piece as it is told to.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "swap/transfer.h"

#define PAGE	STORE_PAGE_SIZE
#define FRAMES	32u

/* A file as the kernel shows it. */
struct pretended {
	uint8_t data[16 * PAGE];
	uint64_t size;
	uint32_t at_most;	/* bytes per call; 0: no limit */
	bool picky;		/* O_DIRECT in whole pages only */
	uint64_t shrinks_to;	/* at the first refusal; 0: it does not */
	unsigned calls, tail_calls, refusals;
};

static struct pretended f;
static uint8_t ram[FRAMES * PAGE];
static struct aio_file file;
static struct store_io io;

static void no_done(struct store_io *unused)
{
	(void)unused;
}

static void prepare(enum store_op op, uint64_t page, unsigned n,
		    const uint32_t *pfn)
{
	io = (struct store_io) {
		.op = op, .page = page, .npages = n, .pfn = pfn,
		.done = no_done,
	};
}

static void reset(uint64_t size)
{
	memset(&f, 0, sizeof(f));
	for (unsigned i = 0; i < sizeof(f.data); i++)
		f.data[i] = (uint8_t)(1 + i % 253);
	memset(f.data + size, 0, sizeof(f.data) - size);
	f.size = size;
	memset(ram, 0xee, sizeof(ram));
	file = (struct aio_file) {
		.fd = 3, .tail_fd = 4, .slot = -1, .direct = true,
		.trim = true,
	};
}

/* Copy as readv(2), pwritev(2) would; bytes moved. */
static int copy(const struct iovec *iov, const struct piece *p)
{
	uint64_t at = p->offset, start = at;

	for (unsigned i = 0; i < p->niov; i++) {
		uint8_t *base = iov[i].iov_base;

		for (size_t k = 0; k < iov[i].iov_len; k++, at++) {
			if (f.at_most && at - start >= f.at_most)
				return (int)(at - start);
			if (io.op == STORE_READ && at >= f.size)
				return (int)(at - start);
			if (io.op == STORE_READ)
				base[k] = f.data[at];
			else
				f.data[at] = base[k];
		}
	}
	if (io.op == STORE_WRITE && at > f.size)
		f.size = at;
	return (int)(at - start);
}

static int answer(struct transfer *t)
{
	struct iovec iov[STORE_MAX_PAGES];
	struct piece p;
	uint64_t len = 0;

	if (t->step != TRANSFER_MOVE)
		return 0;
	transfer_piece(t, iov, &p);
	for (unsigned i = 0; i < p.niov; i++)
		len += iov[i].iov_len;
	assert_int_equal(len, t->asked);
	f.calls++;
	f.tail_calls += t->tail;
	if (io.op == STORE_READ && p.offset >= f.size)
		return 0;
	if (file.guarded && io.op == STORE_WRITE && p.offset + len > f.size) {
		f.refusals++;
		if (f.shrinks_to)
			f.size = f.shrinks_to;
		return -EFBIG;
	}
	if (f.picky && !t->tail && (len | p.offset) % PAGE)
		return -EINVAL;
	return copy(iov, &p);
}

/* => calls that moved bytes or tried to. */
static unsigned carry_out(void)
{
	struct transfer t;

	f.calls = f.tail_calls = 0;
	transfer_start(&t, &io, &file, ram);
	while (!transfer_result(&t, answer(&t), f.size))
		;
	return f.calls;
}

static void test_coalesce(void **state)
{
	static const uint32_t pfn[6] = { 4, 5, 6, 9, 11, 12 };
	struct iovec iov[STORE_MAX_PAGES];
	struct transfer t;
	struct piece p;

	(void)state;
	reset(16 * PAGE);
	file.first_page = 1000;
	prepare(STORE_READ, 1002, 6, pfn);
	transfer_start(&t, &io, &file, ram);
	transfer_piece(&t, iov, &p);
	assert_int_equal(p.offset, 2 * PAGE);
	assert_int_equal(p.niov, 3);
	assert_ptr_equal(iov[0].iov_base, ram + 4 * PAGE);
	assert_int_equal(iov[0].iov_len, 3 * PAGE);
	assert_int_equal(iov[1].iov_len, PAGE);
	assert_ptr_equal(iov[2].iov_base, ram + 11 * PAGE);
	/* 2.5 pages came: the rest starts in the middle of frame 6. */
	assert_false(transfer_result(&t, 10240, 0));
	transfer_piece(&t, iov, &p);
	assert_int_equal(p.offset, 2 * PAGE + 10240);
	assert_int_equal(p.niov, 3);
	assert_ptr_equal(iov[0].iov_base, ram + 6 * PAGE + 2048);
	assert_int_equal(iov[0].iov_len, 2048);
	assert_true(transfer_result(&t, 6 * PAGE - 10240, 0));
	assert_int_equal(io.error, 0);
}

static void test_short(void **state)
{
	static const uint32_t pfn[4] = { 7, 3, 4, 20 };
	static const uint32_t limits[] = { 1, 100, 512, 4096, 5000, 9000, 0 };

	(void)state;
	for (unsigned i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		reset(16 * PAGE);
		f.at_most = limits[i];
		prepare(STORE_READ, 1, 4, pfn);
		carry_out();
		assert_int_equal(io.error, 0);
		assert_int_equal(io.npast, 0);
		for (unsigned k = 0; k < 4; k++)
			assert_memory_equal(ram + pfn[k] * PAGE,
					    f.data + (1 + k) * PAGE, PAGE);
		memset(ram, 0x11, sizeof(ram));
		prepare(STORE_WRITE, 2, 4, pfn);
		carry_out();
		assert_int_equal(io.error, 0);
		assert_memory_equal(f.data + 2 * PAGE, ram, 4 * PAGE);
		assert_int_not_equal(f.data[2 * PAGE - 1], 0x11);
		assert_int_not_equal(f.data[6 * PAGE], 0x11);
	}
}

/* Every size of file against every place of four pages. */
static void test_ends(void **state)
{
	static const uint32_t pfn[4] = { 7, 3, 4, 20 };
	static const uint64_t sizes[] = {
		0, 1, 511, 4095, 4096, 4097, 9000, 16384, 16385, 20000,
	};

	(void)state;
	for (unsigned i = 0; i < 8 * sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t size = sizes[i / 8];
		unsigned have = (unsigned)((size + PAGE - 1) / PAGE);
		unsigned past = have > 5 ? 0 : have < 1 ? 4 : 5 - have;

		if (past > 4)
			past = 4;
		reset(size);
		f.picky = i & 1;
		f.at_most = i & 2 ? 700 : 0;
		file.guarded = i & 4;
		prepare(STORE_READ, 1, 4, pfn);
		carry_out();
		assert_int_equal(io.error, 0);
		assert_int_equal(io.npast, past);
		for (unsigned k = 0; k < 4 - past; k++)
			assert_memory_equal(ram + pfn[k] * PAGE,
					    f.data + (1 + k) * PAGE, PAGE);
		memset(ram, 0x22, sizeof(ram));
		prepare(STORE_WRITE, 1, 4, pfn);
		carry_out();
		assert_int_equal(io.error, 0);
		assert_int_equal(io.npast, past);
		assert_int_equal(f.size, size);
		assert_int_equal(f.refusals > 0, file.guarded && size < 20480);
		for (uint64_t at = PAGE; at < size && at < 5 * PAGE; at++)
			assert_int_equal(f.data[at], 0x22);
	}
}

/* A file system that refuses to extend it: nothing is asked before it does,
 * and what it says then may be old news. */
static void test_guarded(void **state)
{
	static const uint32_t pfn[4] = { 7, 3, 4, 20 };
	struct transfer t;

	(void)state;
	reset(5 * PAGE);
	file.guarded = true;
	prepare(STORE_WRITE, 1, 4, pfn);
	transfer_start(&t, &io, &file, ram);
	assert_int_equal(t.step, TRANSFER_MOVE);
	assert_int_equal(carry_out(), 1);
	/* It shrinks while a piece of the write is there already. */
	reset(5 * PAGE);
	file.guarded = true;
	f.at_most = 2 * PAGE;
	transfer_start(&t, &io, &file, ram);
	assert_false(transfer_result(&t, answer(&t), 0));
	f.size = 2 * PAGE;
	assert_false(transfer_result(&t, answer(&t), 0));
	assert_int_equal(t.step, TRANSFER_SIZE);
	assert_true(transfer_result(&t, 0, f.size));
	assert_int_equal(io.error, 0);
	assert_int_equal(io.npast, 2);
	/* And again between the answer and the next try. */
	reset(4 * PAGE);
	file.guarded = true;
	f.shrinks_to = 3 * PAGE;
	prepare(STORE_WRITE, 1, 4, pfn);
	transfer_start(&t, &io, &file, ram);
	assert_false(transfer_result(&t, answer(&t), 0));
	assert_false(transfer_result(&t, 0, 4 * PAGE));
	assert_false(transfer_result(&t, answer(&t), 0));
	assert_false(transfer_result(&t, 0, f.size));
	assert_true(transfer_result(&t, answer(&t), 0));
	assert_int_equal(io.npast, 2);
	assert_int_equal(f.size, 3 * PAGE);
	/* EFBIG from one that was not asked to is an error like any other. */
	reset(5 * PAGE);
	transfer_start(&t, &io, &file, ram);
	assert_false(transfer_result(&t, 0, 5 * PAGE));
	assert_true(transfer_result(&t, -EFBIG, 0));
	assert_int_equal(io.error, -EFBIG);
}

static void test_split(void **state)
{
	static const uint32_t pfn[2] = { 1, 2 };

	(void)state;
	reset(PAGE + 10);
	f.picky = true;
	prepare(STORE_WRITE, 0, 2, pfn);
	assert_int_equal(carry_out(), 3);	/* refused, whole, odd */
	assert_true(file.split);
	assert_int_equal(carry_out(), 2);	/* learned */
	assert_int_equal(f.tail_calls, 1);
	file.tail_fd = -1;
	file.split = false;
	carry_out();
	assert_int_equal(io.error, -EINVAL);
}

/* Give one step the result @res; whether that ended it. */
static bool feed(enum store_op op, bool trim, int res)
{
	static const uint32_t pfn[1] = { 1 };
	struct iovec iov[STORE_MAX_PAGES];
	struct transfer t;
	struct piece p;

	reset(PAGE);
	file.trim = trim;
	prepare(op, 0, op == STORE_SYNC ? 0 : 1, pfn);
	transfer_start(&t, &io, &file, ram);
	if (t.step == TRANSFER_MOVE)
		transfer_piece(&t, iov, &p);
	return transfer_result(&t, res, PAGE);
}

static void test_errors(void **state)
{
	(void)state;
	assert_false(feed(STORE_READ, true, -EAGAIN));
	assert_false(feed(STORE_WRITE, true, -EINTR));
	assert_false(feed(STORE_WRITE, false, -ECANCELED));
	assert_false(feed(STORE_SYNC, true, -EINTR));
	assert_true(feed(STORE_READ, true, -EIO));
	assert_int_equal(io.error, -EIO);
	assert_true(feed(STORE_WRITE, true, -ENOTCONN));	/* of statx */
	assert_int_equal(io.error, -ENOTCONN);
	assert_true(feed(STORE_WRITE, false, -ENOSPC));
	assert_int_equal(io.error, -ENOSPC);
	assert_true(feed(STORE_READ, true, -EINVAL));	/* it was aligned */
	assert_int_equal(io.error, -EINVAL);
	assert_true(feed(STORE_SYNC, true, -EDQUOT));
	assert_int_equal(io.error, -EDQUOT);
	assert_true(feed(STORE_SYNC, true, 0));
	assert_int_equal(io.error, 0);
	/* A swap area that ends early has lost pages. */
	assert_true(feed(STORE_READ, false, 0));
	assert_int_equal(io.error, -EIO);
	assert_true(feed(STORE_READ, true, 0));
	assert_int_equal(io.error, 0);
	assert_int_equal(io.npast, 1);
}

/* A device that never gets on is an error in the end, not a hang. */
static void test_stuck(void **state)
{
	static const int results[] = { -EAGAIN, -EINTR, 0 };
	static const uint32_t pfn[1] = { 1 };
	struct iovec iov[STORE_MAX_PAGES];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct transfer t;
		struct piece p;
		unsigned n = 0;

		reset(PAGE);
		file.trim = false;
		prepare(STORE_WRITE, 0, 1, pfn);
		transfer_start(&t, &io, &file, ram);
		do
			transfer_piece(&t, iov, &p);
		while (++n < 1000000 && !transfer_result(&t, results[i], 0));
		assert_true(n < 100000);
		assert_int_equal(io.error, results[i] ? results[i] : -EIO);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_coalesce),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_guarded),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
