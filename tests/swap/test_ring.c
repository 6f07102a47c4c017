/*
 * test_ring.c - which transfers may use pinned memory, and what entry they
 * become: the ring's choice alone, without a kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "swap/ring.h"

#define CHUNK	(1ull << RING_CHUNK_SHIFT)
#define PAGE	4096u

/* Only a place to count from: nothing looks inside. */
static uint8_t *const ram = (uint8_t *)(1ull << 40);

static struct iovec piece(uint64_t at, size_t n)
{
	return (struct iovec){ ram + at, n };
}

static void test_buffer(void **state)
{
	struct ring ring = { .ram = ram, .fixed_ram = true,
			     .fixed_vectors = true };
	struct iovec iov[3] = { piece(2 * PAGE, PAGE), piece(0, PAGE),
				piece(CHUNK - PAGE, PAGE) };

	(void)state;
	assert_int_equal(ring_buffer(&ring, iov, 1), 0);
	assert_int_equal(ring_buffer(&ring, iov, 3), 0);
	/* One that is elsewhere, wherever in the list. */
	for (unsigned i = 0; i < 3; i++) {
		struct iovec was = iov[i];

		iov[i] = piece(CHUNK + 5 * PAGE, PAGE);
		assert_int_equal(ring_buffer(&ring, iov, 3), -1);
		iov[i] = was;
	}
	for (unsigned i = 0; i < 3; i++)
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + CHUNK;
	assert_int_equal(ring_buffer(&ring, iov, 3), 1);
	/* One that lies across the border. */
	iov[0] = piece(CHUNK - PAGE, 2 * PAGE);
	assert_int_equal(ring_buffer(&ring, iov, 1), -1);
}

static void test_buffer_unknown(void **state)
{
	struct ring ring = { .ram = ram, .fixed_ram = true };
	struct iovec iov[2] = { piece(0, PAGE), piece(2 * PAGE, PAGE) };

	(void)state;
	assert_int_equal(ring_buffer(&ring, iov, 1), 0);
	assert_int_equal(ring_buffer(&ring, iov, 2), -1);
	ring.fixed_ram = false;
	ring.fixed_vectors = true;
	assert_int_equal(ring_buffer(&ring, iov, 1), -1);
	assert_int_equal(ring_buffer(&ring, iov, 2), -1);
}

static struct io_uring_sqe prepared(const struct ring *ring, bool read,
				    const struct iovec *iov, unsigned n)
{
	struct io_uring_sqe sqe;

	memset(&sqe, 0xff, sizeof(sqe));
	ring_prep_move(ring, &sqe, read, 7, iov, n, 3 * PAGE);
	assert_int_equal(sqe.fd, 7);
	assert_int_equal(sqe.off, 3 * PAGE);
	assert_int_equal(sqe.flags, 0);
	if (n == 1) {
		assert_int_equal(sqe.addr, (uintptr_t)iov->iov_base);
		assert_int_equal(sqe.len, iov->iov_len);
	} else {
		assert_int_equal(sqe.addr, (uintptr_t)iov);
		assert_int_equal(sqe.len, n);
	}
	return sqe;
}

/* The numbers are the kernel's; its headers here may not know the last. */
static void test_prepare(void **state)
{
	struct ring ring = { .ram = ram, .fixed_ram = true,
			     .fixed_vectors = true };
	struct iovec iov[2] = { piece(CHUNK, PAGE), piece(CHUNK + PAGE, 512) };

	(void)state;
	assert_int_equal(prepared(&ring, true, iov, 1).opcode,
			 IORING_OP_READ_FIXED);
	assert_int_equal(prepared(&ring, false, iov, 1).opcode,
			 IORING_OP_WRITE_FIXED);
	assert_int_equal(prepared(&ring, true, iov, 2).opcode, 60);
	assert_int_equal(prepared(&ring, false, iov, 2).opcode, 61);
	assert_int_equal(prepared(&ring, false, iov, 2).buf_index, 1);
	ring.fixed_ram = false;
	assert_int_equal(prepared(&ring, true, iov, 1).opcode, IORING_OP_READ);
	assert_int_equal(prepared(&ring, false, iov, 1).opcode,
			 IORING_OP_WRITE);
	assert_int_equal(prepared(&ring, true, iov, 2).opcode,
			 IORING_OP_READV);
	assert_int_equal(prepared(&ring, false, iov, 2).opcode,
			 IORING_OP_WRITEV);
	assert_int_equal(prepared(&ring, false, iov, 2).buf_index, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_buffer_unknown),
		cmocka_unit_test(test_prepare),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
