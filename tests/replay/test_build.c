/*
 * test_build.c - the files that are built have the owners and modes that they
 * are to have, and the holes. On records written by hand.
 */
#include "tests/replay/by_hand.h"

static uint64_t set_attr(uint64_t id, unsigned int what, mode_t mode,
			 uid_t uid, gid_t gid)
{
	struct record_attr attr = { mode, uid, gid, 0 };
	uint8_t bytes[RECORD_ATTR];
	uint64_t op;

	record_put_attr(bytes, &attr);
	op = put((struct record){ .type = RECORD_SETATTR, .file = id,
				  .arg = what }, bytes, sizeof(bytes));
	end(op, 0, 0);
	return op;
}

/* What @name has in what was built; "" is the whole. */
static mode_t mode_of(const char *name)
{
	char file[128];
	struct stat st;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	assert_int_equal(lstat(file, &st), 0);
	return st.st_mode & 07777;
}

/* A new owner does not get a program that is to run as him; but who sets both
 * says what he wants. Files with and without an fsync. */
static void test_owner(void **s)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	int durable;

	(void)s;
	for (durable = 0; durable < 2; durable++) {
		record_new();
		begin_make(2, 1, "program", S_IFREG | 06755, RECORD_BASE);
		begin_make(3, 1, "locks", S_IFREG | 06745, RECORD_BASE);
		begin_make(4, 1, "both", S_IFREG | 06755, RECORD_BASE);
		begin_make(5, 1, "dir", S_IFDIR | 06755, RECORD_BASE);
		set_attr(2, RECORD_SET_UID, 0, uid, 0);
		set_attr(3, RECORD_SET_GID, 0, 0, gid);
		set_attr(4, RECORD_SET_UID | RECORD_SET_MODE, 04755, uid, 0);
		set_attr(5, RECORD_SET_UID | RECORD_SET_GID, 0, uid, gid);
		if (durable) {
			fsync_id(2);
			fsync_id(3);
			fsync_id(4);
			fsync_id(5);
		}
		look(false);
		build_ended();
		assert_int_equal(mode_of("program"), 0755);
		assert_int_equal(mode_of("locks"), 02745);
		assert_int_equal(mode_of("both"), 04755);
		assert_int_equal(mode_of("dir"), 06755);
		look_away();
	}
}

/* The owner comes before the mode: he would take set-id bits away. */
static void test_special(void **s)
{
	(void)s;
	record_new();
	begin_make(2, 1, "fifo", S_IFIFO | 06755, RECORD_BASE);
	look(false);
	build_ended();
	assert_int_equal(mode_of("fifo"), 06755);
	look_away();
}

/* Zeros, where no file system takes the length: but only where there is data,
 * and nothing is written out. */
static void test_zero(void **s)
{
	char file[128];
	struct stat st;
	uint64_t op;

	(void)s;
	record_old();
	truncate_id(2, 32u << 20);
	op = put((struct record){ .type = RECORD_FALLOCATE, .file = 2,
				  .offset = 512, .length = INT64_MAX,
				  .arg = FALLOC_FL_PUNCH_HOLE |
				  FALLOC_FL_KEEP_SIZE }, "", 0);
	end(op, 0, 0);
	look(false);
	build_ended();
	snprintf(file, sizeof(file), "%s/f", dir);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 32u << 20);
	assert_in_range(st.st_blocks, 0, 64);
	look_away();
}

static void test_root(void **s)
{
	(void)s;
	record_new();
	set_attr(1, RECORD_SET_MODE, 0500, 0, 0);
	look(false);
	build_synced();
	assert_int_equal(mode_of(""), 0755);
	build_ended();
	assert_int_equal(mode_of(""), 0500);
	look_away();
}

/* Names are made in and through directories that nobody may then enter. */
static void closed_dirs(void)
{
	record_new();
	begin_make(2, 1, "a", S_IFDIR, RECORD_BASE);
	begin_make(3, 2, "b", S_IFDIR | 0500, RECORD_BASE);
	begin_make(4, 3, "f", S_IFREG | 0644, RECORD_BASE);
	begin_make(5, 1, "c", S_IFDIR, RECORD_BASE);
	link_in(4, 5, "l");
	link_in(4, 1, "m");
	look(false);
	build_ended();
	assert_int_equal(mode_of("a"), 0);
	assert_int_equal(mode_of("c"), 0);
	assert_int_equal(mode_of("m"), 0644);
	look_away();
}

static void test_closed_dirs(void **s)
{
	bool root = !geteuid();

	(void)s;
	if (root && (chown(top, 65534, 65534) || seteuid(65534)))
		skip();
	closed_dirs();
	unlink(path);
	if (root)
		assert_int_equal(seteuid(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_special),
		cmocka_unit_test(test_zero),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_closed_dirs),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
