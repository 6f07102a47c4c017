/*
 * test_ram.c - physical memory: sizes taken and refused, frames where they
 * should be, the descriptor showing the same bytes.
 */
#include "emu/ram.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_rounds_down(void **state)
{
	struct ram ram;

	(void)state;
	assert_int_equal(ram_create(&ram, 3 * 4096 + 4095), 0);
	assert_int_equal(ram.nframes, 3);
	assert_int_equal(ram.size, 3 * 4096);
	ram_destroy(&ram);
}

static void test_refuses(void **state)
{
	struct ram ram;
	int err;

	(void)state;
	assert_int_equal(ram_create(&ram, 0), -EINVAL);
	assert_int_equal(ram_create(&ram, 4095), -EINVAL);
	assert_int_equal(ram_create(&ram, 1ull << 44), -EINVAL);
	assert_int_equal(ram_create(&ram, UINT64_MAX), -EINVAL);

	/* The most that nframes can count: done or refused, not a crash. */
	err = ram_create(&ram, (1ull << 44) - 4096);
	if (err)
		assert_true(err == -ENOMEM || err == -EFBIG);
	else
		ram_destroy(&ram);
}

static void test_frames(void **state)
{
	struct ram ram;
	uint8_t byte;

	(void)state;
	assert_int_equal(ram_create(&ram, 8 * 4096), 0);
	assert_ptr_equal(ram_frame(&ram, 0), ram.base);
	assert_ptr_equal(ram_frame(&ram, 7), ram.base + 7 * 4096);
	assert_int_equal(*(uint8_t *)ram_frame(&ram, 7), 0);
	memset(ram_frame(&ram, 7), 0xa5, 4096);
	assert_int_equal(pread(ram.memfd, &byte, 1, 8 * 4096 - 1), 1);
	assert_int_equal(byte, 0xa5);
	assert_int_equal(pread(ram.memfd, &byte, 1, 7 * 4096 - 1), 1);
	assert_int_equal(byte, 0);
	ram_destroy(&ram);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rounds_down),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests_name("ram", tests, NULL, NULL);
}
