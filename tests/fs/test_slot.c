/*
 * test_slot.c - answers that go out by the ring. Here /dev/fuse is a pipe, and
 * what the ring says of them is made up.
 */
#include "fs/loop_int.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop the_loop;
static struct worker worker = { .loop = &the_loop, .batch = true };
static int device;		/* its other end */

static int begin(void **state)
{
	int ends[2];

	(void)state;
	if (pipe2(ends, O_NONBLOCK) || slot_grow(&worker))
		return -1;
	device = ends[0];
	the_loop.fd = ends[1];
	loop_self = &worker;
	return io_uring_queue_init(8, &worker.ring, 0);
}

static int end(void **state)
{
	(void)state;
	io_uring_queue_exit(&worker.ring);
	slot_free_all(&worker);
	return 0;
}

/* => Bytes that came, when the ring has said @result of an answer to a write.
 * It is never handed to the kernel. */
static ssize_t sent(int result)
{
	struct fuse_write_out out = { .size = 4096 };
	struct fuse_out_header header = { .len = sizeof(header) + sizeof(out) };
	struct iovec iov[2] = {
		{ &header, sizeof(header) }, { &out, sizeof(out) },
	};
	struct slot *slot = worker.free;
	char data[256];

	worker.free = slot->next;
	worker.current = slot;
	loop_claim(NULL, NULL);
	assert_true(loop_send(slot, iov, 2));
	worker.current = NULL;
	slot->completed(slot, result);
	assert_int_equal(worker.inflight, 0);
	assert_int_equal(worker.sending, 0);
	assert_ptr_equal(worker.free, slot);
	return read(device, data, sizeof(data));
}

static void test_sent(void **state)
{
	const ssize_t whole = sizeof(struct fuse_out_header) +
			      sizeof(struct fuse_write_out);

	(void)state;
	assert_int_equal(sent(whole), -1);
	assert_int_equal(sent(-ENOENT), -1);	/* interrupted */
	assert_int_equal(sent(-ENODEV), -1);	/* unmounted */
	assert_int_equal(sent(-ENOMEM), whole);
	assert_int_equal(sent(-ECANCELED), whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sent, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
