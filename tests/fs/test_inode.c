/*
 * test_inode.c - the inode table: identity, exact counts, many threads.
 *
 * Inodes are made up: any (dev, ino) will do, with a copy of one descriptor
 * for each, so that a leaked or twice closed descriptor shows.
 */
#include "fs/inode.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS		4
#define ROUNDS		20000
#define SHARED		64	/* inodes over which the threads meet */

static unsigned int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static int some_descriptor(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static struct stat some_stat(dev_t dev, ino_t ino)
{
	return (struct stat){
		.st_dev = dev, .st_ino = ino, .st_mode = S_IFREG | 0644,
	};
}

static void make_table(struct inode_table *table)
{
	assert_int_equal(inode_table_create(table, some_descriptor(), 1000000), 0);
}

static void test_counts(void **state)
{
	struct stat st = some_stat(1, 2);
	struct inode_table table;
	struct inode *inode;

	(void)state;
	make_table(&table);
	assert_null(inode_find(&table, &st));
	inode = inode_add(&table, some_descriptor(), &st, NULL, false);
	assert_non_null(inode);
	assert_ptr_equal(inode_find(&table, &st), inode);
	assert_ptr_equal(inode_add(&table, some_descriptor(), &st, NULL,
				   false), inode);
	assert_int_equal(inode->nlookup, 3);
	inode_forget(&table, inode, 2);
	assert_ptr_equal(inode_find(&table, &st), inode);
	inode_forget(&table, inode, 2);
	assert_null(inode_find(&table, &st));
	assert_int_equal(table.count, 1);
	inode_table_destroy(&table);
}

static void test_identity(void **state)
{
	struct stat a = some_stat(1, 7), b = some_stat(2, 7);
	struct inode_table table;
	struct inode *first, *second;

	(void)state;
	make_table(&table);
	first = inode_add(&table, some_descriptor(), &a, NULL, false);
	second = inode_add(&table, some_descriptor(), &b, NULL, false);
	assert_ptr_not_equal(first, second);
	inode_forget(&table, first, 1);
	assert_ptr_equal(inode_find(&table, &b), second);
	inode_table_destroy(&table);
}

static void test_root_stays(void **state)
{
	struct inode_table table;

	(void)state;
	make_table(&table);
	inode_forget(&table, &table.root, 1000);
	assert_int_equal(table.count, 1);
	assert_true(fcntl(table.root.fd, F_GETFD) >= 0);
	inode_table_destroy(&table);
}

static void test_grows(void **state)
{
	unsigned int before = count_descriptors();
	struct inode_table table;
	struct inode *inodes[3000];
	struct stat st;
	ino_t i;

	(void)state;
	make_table(&table);
	for (i = 0; i < 3000; i++) {
		st = some_stat(9, i);
		inodes[i] = inode_add(&table, some_descriptor(), &st, NULL,
				      false);
	}
	assert_true(table.nchains >= 2048);
	for (i = 0; i < 3000; i++) {
		st = some_stat(9, i);
		assert_ptr_equal(inode_find(&table, &st), inodes[i]);
		inode_forget(&table, inodes[i], 2);
	}
	assert_int_equal(table.count, 1);
	inode_table_destroy(&table);
	assert_int_equal(count_descriptors(), before);
}

/* A real file @name with its descriptor, attributes and handle. */
static int real_file(const char *name, struct stat *st, struct handle **handle)
{
	int fd = open(name, O_RDONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
	fd = open(name, O_PATH);
	assert_int_equal(fstat(fd, st), 0);
	*handle = handle_of(fd);
	return fd;
}

static void test_room(void **state)
{
	char names[2][32] = { "/tmp/inode-XXXXXX", "/tmp/inode-XXXXXX" };
	unsigned int before = count_descriptors();
	struct handle *handles[3];
	struct inode *first, *second;
	struct inode_table table;
	struct stat st[3];
	int fd;

	(void)state;
	close(mkstemp(names[0]));
	close(mkstemp(names[1]));
	assert_int_equal(inode_table_create(&table, some_descriptor(), 2), 0);
	assert_false(inode_table_wants_handles(&table));
	fd = real_file(names[0], &st[0], &handles[0]);
	if (!handles[0])
		skip();
	first = inode_add(&table, fd, &st[0], handles[0], true);
	assert_true(first->fd >= 0);
	assert_true(inode_table_wants_handles(&table));

	/* No room: this one goes by its handle, or not at all. */
	fd = real_file(names[1], &st[1], &handles[1]);
	assert_null(inode_add(&table, fd, &st[1], handles[1], false));
	assert_int_equal(errno, ENFILE);
	second = inode_add(&table, fd, &st[1], handles[1], true);
	assert_int_equal(second->fd, -1);
	assert_null(inode_find(&table, &st[1]));
	assert_true(inode_is_unsure(&table, &st[1]));
	assert_false(inode_is_unsure(&table, &st[0]));
	assert_null(inode_find_by(&table, &st[1], handles[0]));
	assert_ptr_equal(inode_find_by(&table, &st[1], second->handle),
			 second);
	inode_forget(&table, second, 1);
	assert_int_equal(count_descriptors(), before + 2);

	/* By number alone it is not known again; by its handle it is. */
	fd = real_file(names[1], &st[1], &handles[2]);
	assert_null(inode_add(&table, fd, &st[1], NULL, false));
	assert_int_equal(errno, EAGAIN);
	assert_ptr_equal(inode_add(&table, fd, &st[1], handles[2], true),
			 second);
	assert_int_equal(second->nlookup, 2);

	/* Another file with its number is another inode. */
	fd = real_file(names[0], &st[2], &handles[2]);
	assert_ptr_not_equal(inode_add(&table, fd, &st[1], handles[2], true),
			     second);
	assert_true(second->stale);
	inode_forget(&table, second, 2);
	assert_int_equal(table.count, 3);
	inode_forget(&table, first, 1);
	assert_int_equal(table.pinned, 1);
	assert_int_equal(table.unpinned, 1);
	inode_table_destroy(&table);
	unlink(names[0]);
	unlink(names[1]);
	assert_int_equal(count_descriptors(), before);
}

static void test_reserve(void **state)
{
	struct stat a = some_stat(5, 1), b = some_stat(5, 2);
	struct inode_table table;
	struct inode *inode;
	int fd;

	(void)state;
	assert_int_equal(inode_table_create(&table, some_descriptor(), 2), 0);
	assert_true(inode_reserve(&table));
	assert_true(inode_table_is_full(&table));
	inode_unreserve(&table);
	assert_int_equal(table.pinned, 1);
	assert_true(inode_reserve(&table));
	inode = inode_add(&table, some_descriptor(), &a, NULL, false);
	assert_non_null(inode);
	inode_unreserve(&table);
	assert_int_equal(table.pinned, 2);
	assert_false(inode_reserve(&table));
	fd = some_descriptor();
	assert_null(inode_add(&table, fd, &b, NULL, false));
	assert_int_equal(errno, ENFILE);
	close(fd);
	inode_forget(&table, inode, 1);
	assert_int_equal(table.pinned, 1);
	inode_table_destroy(&table);
}

static void test_pin(void **state)
{
	char name[32] = "/tmp/inode-XXXXXX";
	struct handle *handle, *again;
	struct inode_table table;
	struct inode *inode;
	struct stat st;
	int fd;

	(void)state;
	close(mkstemp(name));
	assert_int_equal(inode_table_create(&table, some_descriptor(), 1), 0);
	fd = real_file(name, &st, &handle);
	if (!handle)
		skip();
	inode = inode_add(&table, fd, &st, handle, true);
	assert_int_equal(inode->fd, -1);
	fd = real_file(name, &st, &again);
	inode_pin(&table, fd, &st, again);
	free(again);
	assert_int_equal(inode->fd, fd);
	unlink(name);
	assert_int_equal(fstat(inode->fd, &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_ptr_equal(inode_find(&table, &st), inode);
	inode_forget(&table, inode, 2);
	inode_table_destroy(&table);
}

static void *meet(void *arg)
{
	struct inode_table *table = arg;
	unsigned int i, seed = (uintptr_t)&seed;
	struct inode *inode;
	struct stat st;

	for (i = 0; i < ROUNDS; i++) {
		st = some_stat(3, rand_r(&seed) % SHARED);
		inode = inode_find(table, &st);
		if (!inode)
			inode = inode_add(table, open("/", O_PATH), &st, NULL,
					  false);
		if (!inode || inode->ino != st.st_ino)
			return "another inode";
		inode_forget(table, inode, 1);
	}
	return NULL;
}

static void test_threads(void **state)
{
	unsigned int before = count_descriptors(), i;
	struct inode_table table;
	pthread_t threads[THREADS];
	void *wrong;

	(void)state;
	make_table(&table);
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, meet, &table);
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(table.count, 1);
	inode_table_destroy(&table);
	assert_int_equal(count_descriptors(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_root_stays),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
