/*
 * test_charge.c - which requests wait for a write on its way, so that each is
 * charged for its own.
 */
#include "fs/charge.h"
#include "fs/inject.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ONE	100
#define TWO	200

static struct op_target write_at(uint64_t offset, uint64_t length)
{
	return (struct op_target){
		.ranged = true, .offset = offset, .length = length,
	};
}

/* It took nothing, so nobody is asked about anything. */
static void leave(struct op_target *target, struct verdict *verdict)
{
	charge_end(NULL, target, verdict, true);
	assert_false(verdict->charge.begun);
}

/* A write to [5000, 6000) of file ONE is in hand. Does this one wait? */
static bool waits(unsigned int opcode, fuse_ino_t ino,
		  struct op_target *target, bool hasty)
{
	struct op_target first = write_at(5000, 1000);
	struct verdict verdict = { 0 }, other = { 0 };
	bool entered;

	assert_true(charge_enter(NULL, FUSE_WRITE, ONE, &first, &verdict,
				 false));
	assert_true(verdict.charge.begun);
	entered = charge_enter(NULL, opcode, ino, target, &other, hasty);
	assert_int_equal(other.charge.begun, entered);
	leave(&first, &verdict);
	if (entered)
		leave(target, &other);
	return !entered;
}

static void test_writes(void **state)
{
	struct op_target same = write_at(7000, 1), before = write_at(0, 4096);
	struct op_target behind = write_at(8192, 1), over = write_at(0, 9000);
	struct op_target append = write_at(9000, 1);

	(void)state;
	append.appends = true;	/* the kernel need not know where */
	assert_true(waits(FUSE_WRITE, ONE, &same, false));
	assert_true(waits(FUSE_WRITE, ONE, &over, false));
	assert_true(waits(FUSE_WRITE, ONE, &append, false));
	assert_true(waits(FUSE_FALLOCATE, ONE, &over, false));
	assert_false(waits(FUSE_WRITE, ONE, &before, false));
	assert_false(waits(FUSE_WRITE, ONE, &behind, false));
	assert_false(waits(FUSE_WRITE, TWO, &same, false));
	/* At the end there is no time for it. */
	assert_false(waits(FUSE_WRITE, ONE, &over, true));
}

static void test_others(void **state)
{
	struct op_target cut = write_at(1 << 20, 0), empty = { 0 };
	struct op_target punch = write_at(1 << 20, 4096);
	struct op_target name = { .other = ONE, .name = "name" };

	(void)state;
	punch.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	empty.flags = O_TRUNC;
	assert_true(waits(FUSE_SETATTR, ONE, &cut, false));
	assert_true(waits(FUSE_FALLOCATE, ONE, &punch, false));
	assert_true(waits(FUSE_OPEN, ONE, &empty, false));
	/* Whether it has a name decides who gives back what is written. */
	assert_true(waits(FUSE_LINK, TWO, &name, false));
}

/* Only a write whose turn it is knows whether it needs anything: not even an
 * open file is looked at before. */
static void test_used_up(void **state)
{
	static const char rule[] = "write * quota=4K";
	char message[INJECT_MESSAGE];
	struct op_target first = write_at(0, 512), second = write_at(512, 512);
	struct verdict verdict, other;

	(void)state;
	assert_int_equal(inject_set(rule, strlen(rule), "", false, message),
			 0);
	inject_judge(NULL, FUSE_WRITE, ONE, &first, &verdict);
	assert_int_equal(inject_charge(&verdict, 4096), 0);
	inject_judge(NULL, FUSE_WRITE, ONE, &second, &other);
	assert_int_equal(other.fault, RULE_NONE);
	assert_int_equal(inject_charge(&other, 0), 0);
	assert_int_equal(inject_charge(&other, 1), -ENOSPC);
	inject_remove(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
