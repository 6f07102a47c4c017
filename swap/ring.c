/*
 * ring.c - an io_uring that one thread may wait on while others submit.
 *
 * The submission array maps entry i to sqe i for good, so flushing is one
 * release store of the tail. Two threads may flush and enter at once: each
 * asks for what it saw, the kernel takes what is left, and the one that comes
 * late gets a short count and goes round again.
 *
 * Completions do not interrupt their submitter (COOP_TASKRUN, Linux 5.19): they
 * wait until it enters the kernel, or sleeps, and ring_pending() tells whoever
 * looks that there are some. So a thread that submits and then computes has to
 * look now and then, which CPUs do between steps. On a virtual machine the
 * interrupt costs more than the read it announces.
 */
#include "swap/ring.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#define RING_COOP	(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

bool ring_pending(const struct ring *ring)
{
	return IO_URING_READ_ONCE(*ring->uring.sq.kflags) & IORING_SQ_TASKRUN;
}

void ring_run_pending(struct ring *ring)
{
	io_uring_enter2(ring->uring.ring_fd, 0, 0, IORING_ENTER_GETEVENTS,
			NULL, _NSIG / 8);
}

static unsigned register_files(struct io_uring *uring, unsigned n)
{
	struct rlimit limit;
	unsigned i;
	int *fds;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < n)
		n = (unsigned)limit.rlim_cur;
	fds = malloc(n * sizeof(*fds));
	if (!fds)
		return 0;
	for (i = 0; i < n; i++)
		fds[i] = -1;
	if (io_uring_register_files(uring, fds, n) < 0)
		n = 0;
	free(fds);
	return n;
}

int ring_create(struct ring *ring, unsigned entries, unsigned nfiles)
{
	struct io_uring_params params = { .flags = RING_COOP };
	int err;

	*ring = (struct ring) { .nfiles = 0 };
	err = io_uring_queue_init_params(entries, &ring->uring, &params);
	if (err == -EINVAL) {
		params = (struct io_uring_params) { .flags = 0 };
		err = io_uring_queue_init_params(entries, &ring->uring,
						 &params);
	}
	if (err < 0)
		return err;
	if (!(params.features & IORING_FEAT_EXT_ARG)) {
		io_uring_queue_exit(&ring->uring);
		return -ENOSYS;
	}
	for (unsigned i = 0; i < params.sq_entries; i++)
		ring->uring.sq.array[i] = i;
	ring->nfiles = register_files(&ring->uring, nfiles);
	return 0;
}

void ring_destroy(struct ring *ring)
{
	io_uring_queue_exit(&ring->uring);
}

void ring_pin(struct ring *ring, void *ram, uint64_t size)
{
	const uint64_t chunk = 1ull << RING_CHUNK_SHIFT;
	unsigned n = (unsigned)((size + chunk - 1) / chunk);
	struct iovec *iov = calloc(n, sizeof(*iov));

	if (!iov)
		return;
	for (unsigned i = 0; i < n; i++) {
		iov[i].iov_base = (uint8_t *)ram + i * chunk;
		iov[i].iov_len = size < chunk ? size : chunk;
		size -= iov[i].iov_len;
	}
	ring->ram = ram;
	ring->fixed_ram = !io_uring_register_buffers(&ring->uring, iov, n);
	free(iov);
}

int ring_buffer(const struct ring *ring, const struct iovec *iov)
{
	uint64_t start = (uint64_t)((uint8_t *)iov->iov_base - ring->ram);
	uint64_t last = start + iov->iov_len - 1;

	if (!ring->fixed_ram ||
	    start >> RING_CHUNK_SHIFT != last >> RING_CHUNK_SHIFT)
		return -1;
	return (int)(start >> RING_CHUNK_SHIFT);
}

int ring_set_file(struct ring *ring, unsigned slot, int fd)
{
	int ret = io_uring_register_files_update(&ring->uring, slot, &fd, 1);

	return ret < 0 ? ret : 0;
}

unsigned ring_flush(struct ring *ring)
{
	struct io_uring_sq *sq = &ring->uring.sq;

	if (sq->sqe_head != sq->sqe_tail) {
		sq->sqe_head = sq->sqe_tail;
		io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	}
	return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

int ring_enter(struct ring *ring, unsigned submit, bool wait,
	       int64_t timeout_ns)
{
	struct __kernel_timespec ts;
	struct io_uring_getevents_arg arg = { .sigmask_sz = _NSIG / 8 };
	unsigned flags = wait ? IORING_ENTER_GETEVENTS : 0;

	if (!wait || timeout_ns < 0)
		return io_uring_enter2(ring->uring.ring_fd, submit, wait,
				       flags, NULL, _NSIG / 8);
	ts.tv_sec = timeout_ns / 1000000000;
	ts.tv_nsec = timeout_ns % 1000000000;
	arg.ts = (uint64_t)(uintptr_t)&ts;
	return io_uring_enter2(ring->uring.ring_fd, submit, wait,
			       flags | IORING_ENTER_EXT_ARG, (void *)&arg,
			       sizeof(arg));
}
