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
 *
 * Pinned memory saves the kernel from finding and holding each page again: of
 * 256 that lie anywhere, that takes longer than all else of a write. Several
 * pieces in one transfer it knows since Linux 6.15, within one registered
 * buffer (at most 1 GiB).
 */
#include "swap/ring.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#define RING_COOP	(IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG)

/* Younger than Debian 12's headers. */
#define RING_OP_READV_FIXED	60
#define RING_OP_WRITEV_FIXED	61

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

static bool ring_knows(struct ring *ring, int op)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
	bool knows = probe && io_uring_opcode_supported(probe, op);

	io_uring_free_probe(probe);
	return knows;
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
	ring->fixed_vectors = ring_knows(ring, RING_OP_READV_FIXED) &&
			      ring_knows(ring, RING_OP_WRITEV_FIXED);
	free(iov);
}

int ring_buffer(const struct ring *ring, const struct iovec *iov, unsigned n)
{
	uint64_t chunk = 0, start, last;

	if (!ring->fixed_ram || (n > 1 && !ring->fixed_vectors))
		return -1;
	for (unsigned i = 0; i < n; i++) {
		start = (uint64_t)((uint8_t *)iov[i].iov_base - ring->ram);
		last = start + iov[i].iov_len - 1;
		if (i == 0)
			chunk = start >> RING_CHUNK_SHIFT;
		if (start >> RING_CHUNK_SHIFT != chunk ||
		    last >> RING_CHUNK_SHIFT != chunk)
			return -1;
	}
	return (int)chunk;
}

void ring_prep_move(const struct ring *ring, struct io_uring_sqe *sqe,
		    bool read, int fd, const struct iovec *iov, unsigned n,
		    uint64_t offset)
{
	/* [read][several pieces][pinned] */
	static const uint8_t op[2][2][2] = {
		{ { IORING_OP_WRITE, IORING_OP_WRITE_FIXED },
		  { IORING_OP_WRITEV, RING_OP_WRITEV_FIXED } },
		{ { IORING_OP_READ, IORING_OP_READ_FIXED },
		  { IORING_OP_READV, RING_OP_READV_FIXED } },
	};
	int buffer = ring_buffer(ring, iov, n);
	bool several = n > 1;

	io_uring_prep_rw(op[read][several][buffer >= 0], sqe, fd,
			 several ? iov : iov->iov_base,
			 several ? n : (unsigned)iov->iov_len, offset);
	if (buffer >= 0)
		sqe->buf_index = (uint16_t)buffer;
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
