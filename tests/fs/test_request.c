/*
 * test_request.c - malformed requests: random ones, all of which must be
 * answered; and those that must be refused, with what they are refused for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "fuzz_request.c"

#define RANDOM_BYTES	400000

static bool able;

static int begin(void **state)
{
	(void)state;
	able = fuzz_start();
	return 0;
}

static int end(void **state)
{
	(void)state;
	return fuzz_end();
}

static void need_able(void)
{
	if (able)
		return;
	print_message("# SKIP: only root can make a socket this large\n");
	skip();
}

static void test_random(void **state)
{
	uint8_t *data = malloc(RANDOM_BYTES);
	size_t i, from;

	(void)state;
	need_able();
	srand(5);
	for (i = 0; i < RANDOM_BYTES; i++)
		data[i] = rand() >> 7;
	for (from = 0; from < RANDOM_BYTES; from += 4000)
		LLVMFuzzerTestOneInput(data + from, 4000);
	free(data);
	/* It was no use if nothing could be done by chance. */
	assert_true(fuzz_unique / 2 > 5000);
	assert_true(fuzz_good > 500);
	/* Every lookup was counted, and given back. */
	for (i = 0; i < 500 && inode_table_count(&fuzz_volume.inodes) > 1; i++)
		usleep(2000);
	assert_int_equal(inode_table_count(&fuzz_volume.inodes), 1);
}

/* => The error of a request of @length bytes behind its header. */
static int answer(size_t length)
{
	fuzz_ask(sizeof(fuzz_out.in) + length);
	return -fuzz_answer.out.error;
}

static void test_refused(void **state)
{
	struct fuse_setxattr_in *set;
	struct fuse_getxattr_in *get;
	struct fuse_write_in *write;
	char *body;

	(void)state;
	need_able();
	body = fuzz_begin(FUSE_LOOKUP, FUSE_ROOT_ID);
	memset(body, 'x', 100);
	assert_int_equal(answer(100), EINVAL);	/* a name without an end */
	assert_int_equal(answer(0), EINVAL);
	fuzz_begin(FUSE_RENAME2, FUSE_ROOT_ID);
	memcpy(body + 16, "one\0two", 7);
	assert_int_equal(answer(16 + 7), EINVAL);
	write = fuzz_begin(FUSE_WRITE, FUSE_ROOT_ID);
	memset(write, 0, sizeof(*write));
	write->size = 5000;
	assert_int_equal(answer(sizeof(*write) + 4999), EINVAL);
	set = fuzz_begin(FUSE_SETXATTR, FUSE_ROOT_ID);
	memcpy(body + 8, "user.a\0value", 12);
	set->size = 6;
	assert_int_equal(answer(8 + 12), EINVAL);
	get = fuzz_begin(FUSE_GETXATTR, FUSE_ROOT_ID);
	get->size = UINT32_MAX;
	assert_int_equal(answer(8 + 7), EINVAL);
	fuzz_begin(FUSE_READDIR, FUSE_ROOT_ID);
	memset(body, 0xff, 40);
	assert_int_equal(answer(40), EINVAL);
}

/* The kernel may be told not to check: then we do. */
static void test_others(void **state)
{
	struct fuse_entry_out *entry = (void *)(&fuzz_answer.out + 1);
	char *body = fuzz_begin(FUSE_LOOKUP, FUSE_ROOT_ID);
	uint64_t dir, rules;

	(void)state;
	need_able();
	strcpy(body, CONTROL_NAME);
	assert_int_equal(answer(strlen(body) + 1), 0);
	dir = entry->nodeid;
	assert_int_equal(entry->attr.mode, S_IFDIR | 0500);
	body = fuzz_begin(FUSE_LOOKUP, dir);
	strcpy(body, "rules");
	assert_int_equal(answer(strlen(body) + 1), 0);
	rules = entry->nodeid;
	assert_int_equal(entry->attr.mode, S_IFREG | 0600);
	memset(fuzz_begin(FUSE_OPEN, rules), 0, sizeof(struct fuse_open_in));
	fuzz_out.in.uid = 4321;
	assert_int_equal(answer(sizeof(struct fuse_open_in)), EACCES);
	memset(fuzz_begin(FUSE_OPENDIR, dir), 0, sizeof(struct fuse_open_in));
	fuzz_out.in.uid = 4321;
	assert_int_equal(answer(sizeof(struct fuse_open_in)), EACCES);
	memset(fuzz_begin(FUSE_OPENDIR, dir), 0, sizeof(struct fuse_open_in));
	assert_int_equal(answer(sizeof(struct fuse_open_in)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
