/*
 * test_append.c - where the pieces of a write of O_APPEND go, in every order
 * in which they may come and be done.
 */
#include "fs/file.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PIECE	(1u << 20)
#define MOST	4

static struct volume volume;
static struct file file;
static uint64_t size;		/* of the real file */

static int setup(void **state)
{
	(void)state;
	memset(&volume, 0, sizeof(volume));
	memset(&file, 0, sizeof(file));
	file.volume = &volume;
	return 0;
}

static struct fuse_write_in piece(uint64_t offset, uint32_t length)
{
	return (struct fuse_write_in){
		.offset = offset, .size = length, .flags = O_APPEND | O_DIRECT,
	};
}

static void written(uint64_t end)
{
	if (end > size)
		size = end;
}

/* ---- one write of several pieces ---- */

struct run {
	unsigned int count, started, done;	/* bit sets */
	uint64_t base;
	uint32_t last;			/* the last one's bytes */
};

static uint32_t run_length(const struct run *run, unsigned int i)
{
	return i + 1 < run->count ? PIECE : run->last;
}

static void run_all(struct run run);

/* Piece @i comes, as the next; and everything that may be after it. */
static void run_start(struct run run, unsigned int i)
{
	uint32_t length = run_length(&run, i);
	struct fuse_write_in in = piece(run.base + i * PIECE, length);
	struct append before = file.append;
	uint64_t had = size;
	bool foreseen = append_has_place(&file, &in, size);

	assert_int_equal(append_takes_place(&file, &in, size), foreseen);
	run.started |= 1u << i;
	if (!foreseen) {
		/* At the end, and at once: that must be its place. */
		assert_int_equal(size, in.offset);
		written(size + length);
		run.done |= 1u << i;
	}
	run_all(run);
	file.append = before;
	size = had;
}

static void run_done(struct run run, unsigned int i)
{
	struct append before = file.append;
	uint64_t had = size;

	written(run.base + i * PIECE + run_length(&run, i));
	append_done(&file);
	run.done |= 1u << i;
	run_all(run);
	file.append = before;
	size = had;
}

static void run_all(struct run run)
{
	unsigned int i, all = (1u << run.count) - 1;
	uint64_t end = run.base + (run.count - 1) * PIECE + run.last;

	for (i = 0; i < run.count; i++) {
		if (!(run.started & 1u << i))
			run_start(run, i);
		else if (!(run.done & 1u << i))
			run_done(run, i);
	}
	if (run.done != all)
		return;
	assert_int_equal(size, end);
	assert_int_equal(file.append.writing, 0);
	assert_int_equal(file.append.missing, 0);
}

static void test_orders(void **state)
{
	static const uint32_t last[] = { 1, 4096, PIECE };
	static const uint64_t base[] = { 0, 7, PIECE };
	struct run run = { .count = 1 };
	unsigned int i;

	(void)state;
	for (; run.count <= MOST; run.count++) {
		for (i = 0; i < 3; i++) {
			run.last = last[i];
			run.base = size = base[i];
			run_all(run);
		}
	}
}

/* ---- others append in SOURCE, and other writes than these ---- */

static void test_grown_below(void **state)
{
	struct fuse_write_in small = piece(100, 10), large = piece(100, PIECE);

	(void)state;
	assert_false(append_takes_place(&file, &small, 100));
	assert_false(append_takes_place(&file, &small, 200));
	assert_false(append_takes_place(&file, &large, 200));
	assert_true(append_takes_place(&file, &large, 100));
	append_done(&file);
}

/* A gap which nobody closed, because the kernel was wrong about the size, is
 * forgotten when the file has another one. */
static void test_forgotten(void **state)
{
	struct fuse_write_in far = piece(10 * PIECE, PIECE);
	struct fuse_write_in early = piece(2 * PIECE, PIECE);

	(void)state;
	assert_true(append_takes_place(&file, &far, PIECE));
	append_done(&file);
	assert_true(append_has_place(&file, &early, 11 * PIECE));
	assert_false(append_has_place(&file, &early, 12 * PIECE));
	assert_false(append_takes_place(&file, &early, 3 * PIECE));
}

static void test_not_ours(void **state)
{
	struct fuse_write_in in = piece(PIECE, PIECE);

	(void)state;
	assert_true(append_asked(&file, &in));
	in.write_flags = FUSE_WRITE_CACHE;
	assert_false(append_asked(&file, &in));
	in.write_flags = 0;
	in.flags = O_DIRECT;
	assert_false(append_asked(&file, &in));
	in.flags = O_APPEND;
	assert_true(append_asked(&file, &in));
	assert_false(append_takes_place(&file, &in, PIECE));
	in.flags |= O_DIRECT;
	volume.options.writeback = true;
	assert_false(append_asked(&file, &in));
	file.append_only = true;
	assert_true(append_asked(&file, &in));
	assert_false(append_takes_place(&file, &in, PIECE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_orders, setup),
		cmocka_unit_test_setup(test_grown_below, setup),
		cmocka_unit_test_setup(test_forgotten, setup),
		cmocka_unit_test_setup(test_not_ours, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
