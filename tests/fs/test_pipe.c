/*
 * test_pipe.c - a serving thread's pipe: what goes in comes out, and after
 * each message, however it ended, it is empty. A pipe is a thread's own, so
 * each test has a thread.
 */
#include "fs/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE	300000

static struct {
	uint32_t length;
	char rest[12];
} header __attribute__((aligned(4096)));

static char content[SIZE], got[SIZE + sizeof(header)];
static int file;

static int begin(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < SIZE; i++)
		content[i] = (char)(i ^ i >> 8);
	file = memfd_create("file", 0);
	return file < 0 || write(file, content, SIZE) != SIZE;
}

static void *in_thread(void *arg)
{
	void (*test)(void) = *(void (**)(void))arg;

	test();
	pipe_close();
	return NULL;
}

static void run(void (*test)(void))
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, in_thread, &test), 0);
	pthread_join(thread, NULL);
}

static bool empty(void)
{
	return pipe_take(got, sizeof(got)) == 0;
}

static int device(const char *name)
{
	int fd = open(name, O_RDWR);

	assert_true(fd >= 0);
	return fd;
}

static ssize_t fill(off_t offset, size_t size)
{
	header.length = 0;
	return pipe_fill(&header, sizeof(header), file, offset, size);
}

/* What is in it is the header as it is now, and these bytes. */
static void taken(off_t offset, size_t size)
{
	memset(got, 0, sizeof(got));
	assert_int_equal(pipe_take(got, sizeof(got)), sizeof(header) + size);
	assert_memory_equal(got, &header, sizeof(header));
	assert_memory_equal(got + sizeof(header), content + offset, size);
	assert_true(empty());
}

static void ways(void)
{
	int null = device("/dev/null");
	size_t room = pipe_room(null);

	assert_true(room >= 8192);
	assert_int_equal(pipe_room(null), room);
	room = room < 200000 ? room : 200000;
	/* All of it, wherever in a page it begins. */
	assert_int_equal(fill(4095, room), room);
	header.length = 12345;
	taken(4095, room);
	/* The end of the file, and behind it. */
	assert_int_equal(fill(SIZE - 5000, room), 5000);
	taken(SIZE - 5000, 5000);
	assert_int_equal(fill(SIZE, room), 0);
	taken(SIZE, 0);
	assert_int_equal(fill(0, room), room);
	assert_int_equal(pipe_send(null, sizeof(header) + room), 0);
	assert_true(empty());
	close(null);
}

/* /dev/fuse without a mount refuses it: it is all there yet. */
static void refused(void)
{
	int fuse = open("/dev/fuse", O_RDWR);

	if (fuse < 0 || !pipe_room(fuse))
		return;
	assert_int_equal(fill(1, 9000), 9000);
	assert_int_equal(pipe_send(fuse, sizeof(header) + 9000), -EPERM);
	taken(1, 9000);
	close(fuse);
}

static void bad_file(void)
{
	int null = device("/dev/null");
	ssize_t moved;

	assert_true(pipe_room(null) > 0);
	moved = pipe_fill(&header, sizeof(header), -1, 0, 5000);
	assert_int_equal(moved, -EBADF);
	taken(0, 0);
	close(null);
}

/* What takes messages by write(2) only, as the other end of a test. */
static void no_device(void)
{
	int ends[2], null = device("/dev/null");

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	assert_int_equal(pipe_room(ends[0]), 0);
	assert_int_equal(pipe_room(null), 0);
	close(ends[0]);
	close(ends[1]);
	close(null);
}

static void test_ways(void **state)
{
	(void)state;
	run(ways);
}

static void test_refused(void **state)
{
	(void)state;
	run(refused);
}

static void test_bad_file(void **state)
{
	(void)state;
	run(bad_file);
}

static void test_no_device(void **state)
{
	(void)state;
	run(no_device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad_file),
		cmocka_unit_test(test_no_device),
	};

	return cmocka_run_group_tests(tests, begin, NULL);
}
