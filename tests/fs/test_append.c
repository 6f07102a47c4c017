/*
 * test_append.c - where the pieces of a write of O_APPEND go, in every order
 * in which they may come and be done, whatever the kernel takes for the size
 * of the file.
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
static struct file file, other;
static uint64_t size;		/* of the real file */

static int setup(void **state)
{
	(void)state;
	memset(&volume, 0, sizeof(volume));
	memset(&file, 0, sizeof(file));
	file.volume = &volume;
	other = file;
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
	unsigned int count;
	unsigned int come, placed, done;	/* bit sets */
	unsigned int at_end;
	uint64_t kernel;		/* the size, as it has it */
	uint64_t before;		/* as it is */
	uint32_t last;			/* the last one's bytes */
};

static struct fuse_write_in run_piece(const struct run *run, unsigned int i)
{
	return piece(run->kernel + i * PIECE,
		     i + 1 < run->count ? PIECE : run->last);
}

static void run_come(struct run *run, unsigned int i)
{
	struct fuse_write_in in = run_piece(run, i);

	assert_true(append_arrive(&file, &in));
	run->come |= 1u << i;
}

static void run_place(struct run *run, unsigned int i)
{
	struct fuse_write_in in = run_piece(run, i);
	uint64_t place, foreseen = append_foresee(&file, &in, size);
	bool at_end;

	place = append_place(&file, &in, size, &at_end);
	assert_int_equal(foreseen, place);
	assert_int_equal(place, run->before + i * PIECE);
	run->placed |= 1u << i;
	run->at_end |= (unsigned int)at_end << i;
}

static void run_done(struct run *run, unsigned int i)
{
	struct fuse_write_in in = run_piece(run, i);

	/* The end, as it is now: that must be its place. */
	if (run->at_end & 1u << i)
		assert_int_equal(size, run->before + i * PIECE);
	written(run->before + i * PIECE + in.size);
	append_leave(&file);
	run->done |= 1u << i;
}

/* Everything that may be next, and all that may be after it. */
static void run_all(const struct run *run)
{
	unsigned int i, all = (1u << run->count) - 1;
	struct append append = file.append;
	uint64_t had = size;
	struct run next;

	for (i = 0; i < run->count; i++) {
		next = *run;
		if (!(run->come & 1u << i))
			run_come(&next, i);
		else if (run->done & 1u << i ||
			 (run->come & ((1u << i) - 1)) != (1u << i) - 1)
			continue;
		else if (!(run->placed & 1u << i))
			run_place(&next, i);
		else
			run_done(&next, i);
		run_all(&next);
		file.append = append;
		size = had;
	}
	if (run->done != all)
		return;
	assert_int_equal(size, run->before + (run->count - 1) * PIECE +
			 run->last);
	assert_int_equal(file.append.pieces, 0);
}

/* The kernel knows the size; somebody made it longer, or shorter. */
static void test_orders(void **state)
{
	static const int64_t changed[] = {
		0, 1, 4096, PIECE - 1, PIECE, PIECE + 4096, 3 * PIECE,
		-1, -4096, -(int64_t)PIECE, -2 * (int64_t)PIECE - 7,
	};
	static const uint32_t last[] = { 1, 4096, PIECE };
	struct run run = { .kernel = 2 * PIECE + 7 };
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(changed) / sizeof(*changed); i++) {
		run.before = size = run.kernel + changed[i];
		run.last = last[i % 3];
		for (run.count = 1; run.count < MOST; run.count++)
			run_all(&run);
	}
	for (run.before = size = PIECE; run.count <= MOST; run.count++)
		run_all(&run);
}

/* ---- one write after another ---- */

/* All of a write by @to, which is not cut up. => Is it sure of the end? */
static bool write_one(struct file *to, uint64_t offset, uint32_t length)
{
	struct fuse_write_in in = piece(offset, length);
	bool at_end;

	assert_true(append_arrive(to, &in));
	assert_int_equal(append_place(to, &in, size, &at_end), size);
	append_leave(to);
	size += length;
	return at_end;
}

/* Nothing of one write is left for the next, by whomever. */
static void test_calls(void **state)
{
	uint64_t kernel = 100;

	(void)state;
	size = 100;
	assert_true(write_one(&file, kernel, 10));
	assert_false(write_one(&other, kernel += 10, PIECE));
	kernel += PIECE;
	size += 4096;			/* in SOURCE */
	assert_false(write_one(&file, kernel, PIECE));
	assert_true(write_one(&file, kernel += PIECE, 4096));
	assert_false(write_one(&other, kernel += 4096, PIECE));
	kernel = size;			/* somebody asked for it */
	assert_false(write_one(&other, kernel, PIECE));
	assert_false(write_one(&file, kernel += PIECE, PIECE));
	size = 0;			/* copytruncate */
	assert_true(write_one(&file, kernel += PIECE, 10));
	assert_false(write_one(&other, kernel += 10, PIECE));
	kernel = size = 4096;		/* by the kernel */
	assert_false(write_one(&other, kernel, PIECE));
	assert_true(write_one(&other, kernel += PIECE, 10));
}

/* What somebody appends in SOURCE is behind what has a place by then. */
static void test_grown_meanwhile(void **state)
{
	struct fuse_write_in one = piece(0, PIECE), two = piece(PIECE, 10);
	bool at_end;

	(void)state;
	append_arrive(&file, &one);
	assert_int_equal(append_place(&file, &one, 100, &at_end), 100);
	append_arrive(&file, &two);
	assert_int_equal(append_place(&file, &two, PIECE + 200, &at_end),
			 PIECE + 100);
	assert_false(at_end);
	append_leave(&file);
	append_leave(&file);
}

/* The first fails, before it had a place or after; the others keep theirs,
 * and the next write finds the file as it is. */
static void test_failed(void **state)
{
	struct fuse_write_in one = piece(0, PIECE), two = piece(PIECE, PIECE);
	bool at_end, asked;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		asked = i;
		append_arrive(&file, &one);
		append_arrive(&file, &two);
		if (asked)
			append_place(&file, &one, 4096, &at_end);
		append_leave(&file);
		assert_int_equal(append_place(&file, &two, 4096, &at_end),
				 4096 + PIECE);
		append_leave(&file);
		size = 0;		/* the kernel cuts it off again */
		write_one(&file, 0, PIECE);
	}
}

static void test_not_ours(void **state)
{
	struct fuse_write_in in = piece(PIECE, PIECE);
	bool at_end = false;

	(void)state;
	in.write_flags = FUSE_WRITE_CACHE;
	assert_false(append_asked(&file, &in));
	assert_false(append_arrive(&file, &in));
	in.write_flags = 0;
	in.flags = O_DIRECT;
	assert_false(append_asked(&file, &in));
	assert_false(append_arrive(&file, &in));
	/* By the page cache: one at a time. */
	in.flags = O_APPEND;
	assert_true(append_asked(&file, &in));
	assert_false(append_arrive(&file, &in));
	assert_int_equal(append_place(&file, &in, 5, &at_end), 5);
	assert_true(at_end);
	/* ... which the file may not have, whatever fcntl(2) says. */
	file.uncached = true;
	assert_true(append_arrive(&file, &in));
	append_leave(&file);
	append_leave(NULL);
}

static void test_options(void **state)
{
	struct fuse_write_in in = piece(PIECE, PIECE);
	bool at_end = false;

	(void)state;
	volume.options.writeback = true;
	assert_false(append_asked(&file, &in));
	assert_false(append_arrive(&file, &in));
	file.append_only = file.uncached = true;
	assert_true(append_asked(&file, &in));
	assert_false(append_arrive(&file, &in));
	assert_int_equal(append_place(&file, &in, 5, &at_end), 5);
	assert_true(at_end);
	assert_int_equal(append_foresee(&file, &in, 5), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_orders, setup),
		cmocka_unit_test_setup(test_calls, setup),
		cmocka_unit_test_setup(test_grown_meanwhile, setup),
		cmocka_unit_test_setup(test_failed, setup),
		cmocka_unit_test_setup(test_not_ours, setup),
		cmocka_unit_test_setup(test_options, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
