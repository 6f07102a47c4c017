/*
 * test_recorder.c - requests of the kernel's become records: each kind, cut
 * off at every length, and with its answer.
 */
#include "fs/file.h"
#include "fs/loop_int.h"
#include "fs/recorder.h"
#include "record/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/test_recorder.XXXXXX";
static char source[64], mountpoint[64], path[64];
static struct volume volume;
static const struct inode inode = { .fd = -1 };
static struct file file = {
	.fd = -1, .twin = -1, .inode = &inode, .volume = &volume,
};
static struct worker worker = { .slow_depth = 1 };	/* it may wait */
static uint64_t unique = 2, node = FUSE_ROOT_ID;

static struct record_reader reader;
static struct record record;
static const uint8_t *payload;

/* ---- a recorder over an empty directory ---- */

static int setup(void **state)
{
	(void)state;
	loop_self = &worker;
	if (!*source && !mkdtemp(top))
		return -1;
	snprintf(source, sizeof(source), "%s/src", top);
	snprintf(mountpoint, sizeof(mountpoint), "%s/mnt", top);
	snprintf(path, sizeof(path), "%s/rec", top);
	mkdir(source, 0755);
	mkdir(mountpoint, 0755);
	unlink(path);
	volume = (struct volume){
		.options = {
			.source = source, .mountpoint = mountpoint,
			.record = path, .record_base = 1,
		},
	};
	if (volume_open(&volume))
		return -1;
	file.fd = open(source, O_RDONLY);
	file.flags = O_RDWR;
	return recorder_open(&volume);
}

/* The record is closed and read from the start: the root, the base's end. */
static void look(void)
{
	recorder_close();
	assert_int_equal(record_reader_open(&reader, open(path, O_RDONLY)), 0);
	assert_int_equal(record_reader_next(&reader, &record, &payload), 1);
	assert_int_equal(record.type, RECORD_MAKE);
	assert_int_equal(record.file, RECORD_ROOT);
	assert_int_equal(record_reader_next(&reader, &record, &payload), 1);
	assert_int_equal(record.type, RECORD_BASE_END);
}

static void next(enum record_type type)
{
	assert_int_equal(record_reader_next(&reader, &record, &payload), 1);
	assert_int_equal(record.type, type);
}

static void look_away(void)
{
	assert_int_equal(record_reader_next(&reader, &record, &payload), 0);
	assert_int_equal(reader.fault, RECORD_OK);
	record_reader_close(&reader);
}

static int teardown(void **state)
{
	(void)state;
	close(file.fd);
	volume_close(&volume);
	rmdir(source);
	rmdir(mountpoint);
	unlink(path);
	return 0;
}

static int teardown_all(void **state)
{
	(void)state;
	return rmdir(top);
}

/* ---- requests and answers ---- */

/* Exactly @length bytes of a request, so that no more can be looked at. */
static void arrive_cut(uint32_t opcode, const void *fixed, size_t size,
		       const void *rest, size_t more, size_t length)
{
	size_t all = sizeof(struct fuse_in_header) + size + more;
	struct fuse_in_header *in = malloc(length < all ? length : all);
	char whole[256];

	assert_true(all <= sizeof(whole));
	memcpy(whole, &(struct fuse_in_header){
		.len = all, .opcode = opcode, .unique = unique,
		.nodeid = node, .uid = 11, .gid = 12 }, sizeof(*in));
	if (size)
		memcpy(whole + sizeof(*in), fixed, size);
	memcpy(whole + sizeof(*in) + size, rest, more);
	if (length > all)
		length = all;
	memcpy(in, whole, length);
	recorder_arrive(in, length);
	free(in);
}

static void answer_placed(int error, const void *data, size_t size,
			  size_t moved, int64_t place)
{
	struct fuse_out_header out = { .error = error, .unique = unique };
	struct iovec iov[2] = {
		{ &out, sizeof(out) }, { (void *)data, size },
	};

	recorder_answer(iov, size ? 2 : 1, moved, place, false);
	unique += 2;
}

static void answer_moved(int error, const void *data, size_t size,
			 size_t moved)
{
	answer_placed(error, data, size, moved, -1);
}

static void answer(int error, const void *data, size_t size)
{
	answer_moved(error, data, size, 0);
}

static void arrive(uint32_t opcode, const void *fixed, size_t size,
		   const void *rest, size_t more)
{
	arrive_cut(opcode, fixed, size, rest, more, SIZE_MAX);
}

/* What a file's making is answered with; the root stands for the new file. */
static void answer_entry(mode_t mode)
{
	struct fuse_entry_out entry = {
		.nodeid = FUSE_ROOT_ID,
		.attr = { .mode = mode, .uid = 5, .gid = 6 },
	};

	answer(0, &entry, sizeof(entry));
}

static void expect_end(uint64_t op, int64_t arg, uint64_t length)
{
	next(RECORD_END);
	assert_int_equal(record.op, op);
	assert_int_equal(record.arg, arg);
	assert_int_equal(record.length, length);
}

static void test_write(void **state)
{
	struct fuse_write_in in = { .fh = (uintptr_t)&file, .offset = 77,
				    .size = 5 };
	struct fuse_write_out out = { .size = 3 };

	(void)state;
	arrive(FUSE_WRITE, &in, sizeof(in), "hello", 5);
	answer(0, &out, sizeof(out));
	/* By itself, through the cache, and past it. */
	in.flags = O_DSYNC;
	arrive(FUSE_WRITE, &in, sizeof(in), "hello", 5);
	file.uncached = true;
	arrive(FUSE_WRITE, &in, sizeof(in), "hello", 5);
	file.uncached = false;
	in.flags = 0;
	file.flags |= O_DSYNC;
	arrive(FUSE_WRITE, &in, sizeof(in), "again", 5);
	answer_moved(-EIO, NULL, 0, 2);
	look();
	next(RECORD_WRITE);
	assert_int_equal(record.offset, 77);
	assert_int_equal(record.length, 5);
	assert_int_equal(record.flags, 0);
	assert_memory_equal(payload, "hello", 5);
	expect_end(record.number, 0, 3);
	next(RECORD_WRITE);
	assert_int_equal(record.flags, 0);
	next(RECORD_WRITE);
	assert_int_equal(record.flags, RECORD_SYNC);
	next(RECORD_WRITE);
	assert_int_equal(record.flags, RECORD_SYNC);
	assert_memory_equal(payload, "again", 5);
	expect_end(record.number, -EIO, 2);
	look_away();
}

/* Appending goes to the file's end, wherever the kernel thinks it is; but
 * pages of a mapping have their place. */
static void test_append(void **state)
{
	struct fuse_write_in in = { .fh = (uintptr_t)&file, .offset = 77,
				    .size = 1, .flags = O_APPEND };
	struct fuse_write_out out = { .size = 1 };
	struct stat st;

	(void)state;
	fstat(file.fd, &st);
	arrive(FUSE_WRITE, &in, sizeof(in), "x", 1);
	/* And then that is somewhere else. */
	answer_placed(0, &out, sizeof(out), 1, 5);
	in.write_flags = FUSE_WRITE_CACHE;
	arrive(FUSE_WRITE, &in, sizeof(in), "y", 1);
	answer_placed(-EIO, NULL, 0, 0, 5);
	arrive(FUSE_WRITE, &in, sizeof(in), "y", 1);
	look();
	next(RECORD_WRITE);
	assert_int_equal(record.offset, st.st_size);
	expect_end(record.number, 0, 1);
	assert_int_equal(record.flags, RECORD_PLACED);
	assert_int_equal(record.offset, 5);
	next(RECORD_WRITE);
	expect_end(record.number, -EIO, 0);
	assert_int_equal(record.flags, 0);
	next(RECORD_WRITE);
	assert_int_equal(record.offset, 77);
	look_away();
}

/* The second piece of a write is where it will be behind the first, although
 * that is not there yet. */
static void test_append_pieces(void **state)
{
	struct fuse_write_in one = { .fh = (uintptr_t)&file, .offset = 77,
				     .size = 5,
				     .flags = O_APPEND | O_DIRECT };
	struct fuse_write_in two = one;
	struct stat st;

	(void)state;
	two.offset += 5;
	fstat(file.fd, &st);
	append_arrive(&file, &two);
	append_arrive(&file, &one);
	arrive(FUSE_WRITE, &two, sizeof(two), "there", 5);
	arrive(FUSE_WRITE, &one, sizeof(one), "hello", 5);
	append_leave(&file);
	append_leave(&file);
	look();
	next(RECORD_WRITE);
	assert_int_equal(record.offset, st.st_size + 5);
	next(RECORD_WRITE);
	assert_int_equal(record.offset, st.st_size);
	look_away();
}

static void test_others(void **state)
{
	struct fuse_read_in read = { .offset = 9, .size = 100 };
	struct fuse_fsync_in fsync = { .fsync_flags = 1 };
	struct fuse_fallocate_in fallocate = { .offset = 1, .length = 2,
					       .mode = 3 };
	struct fuse_setattr_in set = { .valid = FATTR_SIZE | FATTR_UID,
				       .size = 44, .uid = 55 };
	struct fuse_open_in open_in = { .flags = O_TRUNC | O_WRONLY };
	struct record_attr attr;

	(void)state;
	arrive(FUSE_READ, &read, sizeof(read), "", 0);
	answer(0, "seven b", 7);
	arrive(FUSE_FSYNC, &fsync, sizeof(fsync), "", 0);
	answer(0, NULL, 0);
	arrive(FUSE_FALLOCATE, &fallocate, sizeof(fallocate), "", 0);
	answer_moved(-ENOSPC, NULL, 0, 2);
	arrive(FUSE_SETATTR, &set, sizeof(set), "", 0);
	set.valid = FATTR_ATIME;
	arrive(FUSE_SETATTR, &set, sizeof(set), "", 0);
	arrive(FUSE_OPEN, &open_in, sizeof(open_in), "", 0);
	open_in.flags = O_WRONLY;
	arrive(FUSE_OPEN, &open_in, sizeof(open_in), "", 0);
	look();
	next(RECORD_READ);
	assert_int_equal(record.offset, 9);
	expect_end(record.number, 0, 7);
	next(RECORD_FSYNC);
	assert_int_equal(record.flags, RECORD_DATASYNC);
	expect_end(record.number, 0, 0);
	next(RECORD_FALLOCATE);
	assert_int_equal(record.arg, 3);
	expect_end(record.number, -ENOSPC, 0);
	next(RECORD_SETATTR);
	assert_int_equal(record.arg, RECORD_SET_SIZE | RECORD_SET_UID);
	assert_int_equal(record.length, 44);
	assert_true(record_get_attr(payload, record.payload, &attr));
	assert_int_equal(attr.uid, 55);
	next(RECORD_SETATTR);
	assert_int_equal(record.arg, RECORD_SET_SIZE);
	assert_int_equal(record.length, 0);
	look_away();
}

static void test_names(void **state)
{
	struct fuse_create_in create = { .mode = 0666, .umask = 027 };
	struct fuse_mkdir_in mkdir_in = { .mode = 0777, .umask = 022 };
	struct fuse_rename2_in rename = { .newdir = FUSE_ROOT_ID, .flags = 2 };
	struct record_attr attr;
	uint64_t made;

	(void)state;
	arrive(FUSE_CREATE, &create, sizeof(create), "a", 2);
	answer_entry(S_IFREG | 0600);
	arrive(FUSE_SYMLINK, NULL, 0, "l\0to", 5);
	answer(-EEXIST, NULL, 0);
	arrive(FUSE_TMPFILE, &create, sizeof(create), "", 1);
	answer_entry(S_IFREG | 0600);
	arrive(FUSE_RENAME2, &rename, sizeof(rename), "a\0b", 4);
	answer(0, NULL, 0);
	arrive(FUSE_RMDIR, NULL, 0, "d", 2);
	answer(-ENOENT, NULL, 0);
	arrive(FUSE_MKDIR, &mkdir_in, sizeof(mkdir_in), "d", 2);
	look();
	next(RECORD_MAKE);
	made = record.file;
	assert_true(made > RECORD_ROOT);
	assert_int_equal(record.parent, RECORD_ROOT);
	assert_true(record_get_attr(payload, record.payload, &attr));
	assert_int_equal(attr.mode, S_IFREG | 0640);
	assert_int_equal(attr.uid, 11);
	assert_string_equal((char *)payload + RECORD_ATTR, "a");
	expect_end(record.number, 0, 0);
	assert_true(record_get_attr(payload, record.payload, &attr));
	assert_int_equal(attr.mode, S_IFREG | 0600);
	assert_int_equal(attr.uid, 5);
	next(RECORD_MAKE);
	assert_memory_equal(payload + RECORD_ATTR, "l\0to", 5);
	assert_true(record.file > made);
	expect_end(record.number, -EEXIST, 0);
	next(RECORD_MAKE);
	assert_int_equal(record.parent, 0);
	assert_string_equal((char *)payload + RECORD_ATTR, "");
	expect_end(record.number, 0, 0);
	next(RECORD_RENAME);
	assert_int_equal(record.arg, 2);
	assert_memory_equal(payload, "a\0b", 4);
	expect_end(record.number, 0, 0);
	next(RECORD_REMOVE);
	assert_int_equal(record.arg, AT_REMOVEDIR);
	expect_end(record.number, -ENOENT, 0);
	next(RECORD_MAKE);
	assert_true(record_get_attr(payload, record.payload, &attr));
	assert_int_equal(attr.mode, S_IFDIR | 0755);
	look_away();
}

/* A file that a client found, and used, before it was told that it is made:
 * the end says that the two are one. */
static void test_found_early(void **state)
{
	static const struct inode found = { .fd = -1, .dev = 1, .ino = 77 };
	struct fuse_create_in create = { .mode = 0640 };
	struct fuse_fsync_in fsync = { .fsync_flags = 0 };
	struct fuse_entry_out entry = {
		.nodeid = (uintptr_t)&found, .attr = { .mode = S_IFREG },
	};
	uint64_t made, early;

	(void)state;
	arrive(FUSE_CREATE, &create, sizeof(create), "a", 2);
	unique += 2;
	node = (uintptr_t)&found;
	arrive(FUSE_FSYNC, &fsync, sizeof(fsync), "", 0);
	unique -= 2;
	answer(0, &entry, sizeof(entry));
	unique += 2;
	arrive(FUSE_FSYNC, &fsync, sizeof(fsync), "", 0);
	node = FUSE_ROOT_ID;
	look();
	next(RECORD_MAKE);
	made = record.file;
	next(RECORD_STRANGER);
	early = record.file;
	assert_true(early > made);
	next(RECORD_FSYNC);
	assert_int_equal(record.file, early);
	next(RECORD_END);
	assert_int_equal(record.file, early);
	next(RECORD_FSYNC);
	assert_int_equal(record.file, made);
	look_away();
}

/* Work on @name by the kernel's node of it, and when the kernel has forgotten
 * that, on what has its number then. */
static void use_and_forget(const char *name, bool removed)
{
	struct fuse_fsync_in fsync = { .fsync_flags = 0 };
	struct fuse_entry_param entry;
	struct inode *known, same;
	int dir = volume.inodes.root.fd;

	close(openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(volume_lookup(&volume, dir, name, &entry), 0);
	known = (struct inode *)(uintptr_t)entry.ino;
	node = entry.ino;
	arrive(FUSE_FSYNC, &fsync, sizeof(fsync), "", 0);
	same = (struct inode){ .fd = -1, .dev = known->dev,
			       .ino = known->ino };
	if (removed)
		unlinkat(dir, name, 0);
	volume_forget(&volume, known, 1);
	node = (uintptr_t)&same;
	arrive(FUSE_FSYNC, &fsync, sizeof(fsync), "", 0);
	node = FUSE_ROOT_ID;
}

/* A file that is gone does not leave its id to the next of its number; one that
 * the kernel has only forgotten keeps it. */
static void test_number_again(void **state)
{
	uint64_t id;

	(void)state;
	use_and_forget("stays", false);
	use_and_forget("goes", true);
	unlinkat(volume.inodes.root.fd, "stays", 0);
	look();
	next(RECORD_STRANGER);
	id = record.file;
	next(RECORD_FSYNC);
	assert_int_equal(record.file, id);
	next(RECORD_FSYNC);
	assert_int_equal(record.file, id);
	next(RECORD_STRANGER);
	id = record.file;
	next(RECORD_FSYNC);
	next(RECORD_STRANGER);
	assert_true(record.file > id);
	next(RECORD_FSYNC);
	look_away();
}

/* Whatever is cut off or no request at all leaves no record, and nothing
 * behind its end is looked at (under the address sanitizer). */
static void test_cut_off(void **state)
{
	static const uint32_t opcodes[] = {
		FUSE_READ, FUSE_FSYNC, FUSE_FSYNCDIR, FUSE_FALLOCATE,
		FUSE_SETATTR, FUSE_OPEN, FUSE_CREATE, FUSE_MKNOD, FUSE_MKDIR,
		FUSE_SYMLINK, FUSE_LINK, FUSE_UNLINK, FUSE_RMDIR, FUSE_RENAME,
		FUSE_RENAME2, FUSE_WRITE, FUSE_FORGET, FUSE_LOOKUP, 0, 99,
		4096, 0xffffffff,
	};
	struct fuse_write_in write = { .fh = (uintptr_t)&file, .size = 100 };
	char full[100];
	size_t i, length, head = sizeof(struct fuse_in_header);

	(void)state;
	memset(full, 'n', sizeof(full));	/* no NUL anywhere */
	for (i = 0; i < sizeof(opcodes) / sizeof(*opcodes); i++)
		for (length = head; length < head + 4; length++)
			arrive_cut(opcodes[i], NULL, 0, full, 3, length);
	arrive(FUSE_UNLINK, NULL, 0, full, sizeof(full));
	arrive(FUSE_UNLINK, NULL, 0, "", 1);
	arrive(FUSE_RENAME, NULL, 0, "12345678one\0two", 15);
	for (length = head; length < head + sizeof(write) + 100; length++)
		arrive_cut(FUSE_WRITE, &write, sizeof(write), full, 100,
			   length);
	answer(0, NULL, 0);
	look();
	look_away();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_append, setup, teardown),
		cmocka_unit_test_setup_teardown(test_append_pieces, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_found_early, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_number_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, teardown_all);
}
