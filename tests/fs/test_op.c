/*
 * test_op.c - operations by name, and requests taken apart: also those that
 * are cut short anywhere; and the buckets of latencies.
 */
#include "fs/op.h"
#include "fs/stats.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_sets(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(op_set("read"), OP_BIT(FUSE_READ));
	assert_int_equal(op_set("data"), OP_DATA);
	assert_int_equal(op_set("write+read"), OP_DATA);
	assert_int_equal(op_set("rename"), OP_BIT(FUSE_RENAME2));
	assert_int_equal(op_set("readdir"), OP_BIT(FUSE_READDIRPLUS));
	assert_int_equal(op_set("sync"), OP_BIT(FUSE_FSYNC) |
			 OP_BIT(FUSE_FSYNCDIR) | OP_BIT(FUSE_FLUSH));
	assert_int_equal(op_set("data+sync+meta"), op_set("all"));
	assert_int_equal(op_set(""), 0);
	assert_int_equal(op_set("rea"), 0);
	assert_int_equal(op_set("reads"), 0);
	assert_int_equal(op_set("read++write"), 0);
	assert_int_equal(op_set("release"), 0);
	assert_int_equal(op_set("forget"), 0);
	/* What is in "all" can be named, and nothing else. */
	for (i = 0; i < OP_MAX; i++)
		if (op_of(i) == i)
			assert_int_equal(op_injectable(i),
					 !!(op_set("all") & OP_BIT(i)));
	assert_null(op_name(OP_MAX));
	assert_int_equal(op_of(4096), OP_MAX);
}

union message {
	struct fuse_in_header in;
	char bytes[256];
};

static void *begin(union message *message, uint32_t opcode)
{
	memset(message, 0, sizeof(*message));
	message->in.opcode = opcode;
	message->in.nodeid = 7;
	return &message->in + 1;
}

static void test_ranges(void **state)
{
	struct op_target target;
	union message message;
	struct fuse_write_in *write = begin(&message, FUSE_WRITE);
	struct fuse_setattr_in *set;

	(void)state;
	*write = (struct fuse_write_in){ .fh = 9, .offset = 4096, .size = 3 };
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_true(target.ranged);
	assert_int_equal(target.fh, 9);
	assert_int_equal(target.offset, 4096);
	assert_int_equal(target.length, 3);
	assert_false(target.appends || target.cached);
	write->flags = O_APPEND;
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_true(target.appends && !target.cached);
	/* Pages of a mapping have their place. */
	write->write_flags = FUSE_WRITE_CACHE;
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_true(!target.appends && target.cached);
	set = begin(&message, FUSE_SETATTR);
	set->size = 77;
	set->valid = FATTR_MODE;
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_false(target.ranged);
	set->valid = FATTR_SIZE;
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_true(target.ranged);
	assert_int_equal(target.offset, 77);
}

static void test_handles(void **state)
{
	union message message;
	struct op_target target;
	struct fuse_setattr_in *set = begin(&message, FUSE_SETATTR);
	struct fuse_copy_file_range_in *copy;

	(void)state;
	set->fh = 9;
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_int_equal(target.fh, 0);	/* it does not say that there is one */
	set->valid = FATTR_FH;
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_int_equal(target.fh, 9);
	assert_int_equal(target.other_fh, 0);
	copy = begin(&message, FUSE_COPY_FILE_RANGE);
	copy->fh_in = 10;
	copy->fh_out = 11;
	copy->nodeid_out = 12;
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_int_equal(target.fh, 10);
	assert_int_equal(target.other_fh, 11);
	assert_int_equal(target.other, 12);
}

static void test_names(void **state)
{
	struct fuse_rename2_in *rename;
	struct op_target target;
	union message message;

	(void)state;
	rename = begin(&message, FUSE_RENAME2);
	rename->newdir = 8;
	rename->flags = 2;
	memcpy(rename + 1, "old\0new", 8);
	assert_true(op_parse(&message.in, sizeof(message), &target));
	assert_int_equal(target.other, 8);
	assert_int_equal(target.flags, 2);
	assert_string_equal(target.name, "old");
	assert_string_equal(target.other_name, "new");
	strcpy(begin(&message, FUSE_LOOKUP), "name");
	assert_true(op_parse(&message.in, sizeof(message.in) + 5, &target));
	assert_string_equal(target.name, "name");
	assert_false(op_parse(&message.in, sizeof(message.in) + 4, &target));
}

/* In memory of exactly its size, so that a sanitizer sees any step beyond. */
static void test_cut_short(void **state)
{
	struct op_target target;
	uint32_t opcode;
	size_t length;

	(void)state;
	for (opcode = 0; opcode < 100; opcode++) {
		for (length = 0; length < 200; length++) {
			char *bytes = malloc(length + !length);
			struct fuse_in_header in = { .opcode = opcode };

			memset(bytes, 'x', length);
			memcpy(bytes, &in, length < sizeof(in) ? length :
			       sizeof(in));
			op_parse((void *)bytes, length, &target);
			if (length < sizeof(in))
				assert_false(op_parse((void *)bytes, length,
						      &target));
			free(bytes);
		}
	}
}

static void test_buckets(void **state)
{
	(void)state;
	assert_int_equal(stats_bucket(0), 0);
	assert_int_equal(stats_bucket(1000), 0);
	assert_int_equal(stats_bucket(1001), 1);
	assert_int_equal(stats_bucket(2000), 1);
	assert_int_equal(stats_bucket(2001), 2);
	assert_int_equal(stats_bucket(4000), 2);
	assert_int_equal(stats_bucket(1024000), 10);
	assert_int_equal(stats_bucket(1024001), 11);
	assert_int_equal(stats_bucket(UINT64_MAX), STATS_BUCKETS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
