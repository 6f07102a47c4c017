/*
 * test_newer.c - requests turned into what libfuse knows, whole and cut off.
 */
#include "fs/newer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct request {
	struct fuse_in_header header;
	char body[256];
};

static size_t make(struct request *request, uint32_t opcode, size_t body)
{
	size_t length = sizeof(request->header) + body;

	request->header = (struct fuse_in_header){
		.opcode = opcode, .len = length,
	};
	return length;
}

static void test_left_alone(void **state)
{
	struct request request, before;
	struct newer newer;
	size_t length;

	(void)state;
	memset(&request, 7, sizeof(request));
	length = make(&request, FUSE_WRITE, 100);
	before = request;
	assert_int_equal(newer_translate(&request.header, length, &newer),
			 length);
	assert_memory_equal(&request, &before, sizeof(request));
	assert_int_equal(newer.opcode, FUSE_WRITE);
}

static void test_tmpfile(void **state)
{
	struct request request;
	struct newer newer;
	size_t length = make(&request, FUSE_TMPFILE, 30);

	(void)state;
	assert_int_equal(newer_translate(&request.header, length, &newer),
			 length);
	assert_int_equal(request.header.opcode, FUSE_CREATE);
	assert_int_equal(newer.opcode, FUSE_TMPFILE);
}

static void test_statx(void **state)
{
	struct request request = { 0 };
	const uint32_t flags = 0x4000;
	struct newer newer;
	size_t length = make(&request, NEWER_STATX, 24);

	(void)state;
	memcpy(request.body + 16, &flags, sizeof(flags));
	newer_translate(&request.header, length, &newer);
	assert_int_equal(request.header.opcode, FUSE_GETATTR);
	assert_int_equal(newer.statx_flags, flags);

	/* Cut off before the flags: nothing is read past the end. */
	length = make(&request, NEWER_STATX, 16);
	newer_translate(&request.header, length, &newer);
	assert_int_equal(newer.statx_flags, 0);
}

static void test_setxattr(void **state)
{
	const struct fuse_setxattr_in in = {
		.size = 5, .flags = 1,
		.setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID,
	};
	struct request request = { 0 };
	struct newer newer;
	size_t length;

	(void)state;
	/* Only when the kernel has offered that form. */
	newer_init_flags(0);
	memcpy(request.body, &in, sizeof(in));
	memcpy(request.body + sizeof(in), "name\0value", 10);
	length = make(&request, FUSE_SETXATTR, sizeof(in) + 10);
	assert_int_equal(newer_translate(&request.header, length, &newer),
			 length);
	assert_int_equal(newer.setxattr_flags, 0);

	assert_true(newer_init_flags(~0u) & FUSE_SETXATTR_EXT);
	assert_int_equal(newer_translate(&request.header, length, &newer),
			 length - 8);
	assert_int_equal(request.header.len, length - 8);
	assert_int_equal(newer.setxattr_flags, FUSE_SETXATTR_ACL_KILL_SGID);
	assert_memory_equal(request.body, &in, 8);
	assert_memory_equal(request.body + 8, "name\0value", 10);

	/* Too short to have that form. */
	length = make(&request, FUSE_SETXATTR, 8);
	assert_int_equal(newer_translate(&request.header, length, &newer),
			 length);
}

static void test_reply(void **state)
{
	const struct statx stx = {
		.stx_mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID,
		.stx_ino = 77, .stx_mode = S_IFREG | 0640, .stx_size = 1ull << 40,
		.stx_btime = { .tv_sec = -5, .tv_nsec = 6 },
		.stx_rdev_major = 3,
	};
	struct newer_statx_out out;

	(void)state;
	newer_fill_statx(&out, &stx, 1.25);
	assert_int_equal(out.attr_valid, 1);
	assert_int_equal(out.attr_valid_nsec, 250000000);
	assert_int_equal(out.mask, STATX_BASIC_STATS | STATX_BTIME);
	assert_int_equal(out.ino, 77);
	assert_int_equal(out.size, 1ull << 40);
	assert_int_equal(out.btime.sec, -5);
	assert_int_equal(out.btime.nsec, 6);
	assert_int_equal(out.rdev_major, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_left_alone),
		cmocka_unit_test(test_tmpfile),
		cmocka_unit_test(test_statx),
		cmocka_unit_test(test_setxattr),
		cmocka_unit_test(test_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
