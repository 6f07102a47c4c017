/*
 * store_io.h - the other side of the I/O benches: the least code that can do
 * the same I/O, and fio.
 */
#ifndef BENCH_STORE_IO_H
#define BENCH_STORE_IO_H

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/lib/measure.h"

#define BARE_DEPTH_MAX	64
#define BARE_PAGE	4096u

/* A ring, a registered file, registered memory. */
struct bare {
	struct io_uring ring;
	uint8_t *mem;
	size_t size;
};

UNUSED static void bare_up(struct bare *b, const char *path, int flags,
			   size_t size)
{
	int fd = open(path, flags | O_DIRECT), err;
	struct iovec all;

	if (fd < 0)
		die(path, errno);
	if (posix_memalign((void **)&b->mem, BARE_PAGE, size))
		die("memory", ENOMEM);
	memset(b->mem, 1, size);
	b->size = size;
	all = (struct iovec){ b->mem, size };
	err = io_uring_queue_init(BARE_DEPTH_MAX, &b->ring, 0);
	if (!err)
		err = io_uring_register_files(&b->ring, &fd, 1);
	if (!err)
		err = io_uring_register_buffers(&b->ring, &all, 1);
	if (err)
		die("io_uring", err);
	close(fd);
}

UNUSED static void bare_down(struct bare *b)
{
	io_uring_queue_exit(&b->ring);
	free(b->mem);
}

/* Page @page of the file into the memory's page @slot. */
static void bare_read_one(struct bare *b, uint64_t page, unsigned slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

	io_uring_prep_read_fixed(sqe, 0, b->mem + slot * BARE_PAGE, BARE_PAGE,
				 page * BARE_PAGE, 0);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, slot);
}

/* => how many have completed, at least one; their slots. */
static unsigned bare_wait(struct bare *b, unsigned *slot)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	io_uring_submit_and_wait(&b->ring, 1);
	io_uring_for_each_cqe(&b->ring, head, cqe) {
		if (cqe->res < 0)
			die("bare I/O", cqe->res);
		slot[n++] = io_uring_cqe_get_data64(cqe);
	}
	io_uring_cq_advance(&b->ring, n);
	return n;
}

/* Read @n pages, @depth at once, each to another page of memory, as a pager
 * does. => seconds. */
UNUSED static double bare_read(struct bare *b, const uint32_t *page,
			       uint32_t n, unsigned depth)
{
	double begin = now_s();
	unsigned slot[2 * BARE_DEPTH_MAX], got, to = b->size / BARE_PAGE;
	uint32_t sent = 0, done = 0;

	for (; sent < depth && sent < n; sent++)
		bare_read_one(b, page[sent], sent % to);
	while (done < n) {
		got = bare_wait(b, slot);
		done += got;
		for (unsigned i = 0; i < got && sent < n; i++, sent++)
			bare_read_one(b, page[sent], sent % to);
	}
	return now_s() - begin;
}

static void bare_write_one(struct bare *b, struct iovec *iov, unsigned niov,
			   uint64_t offset, unsigned slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

	io_uring_prep_writev(sqe, 0, iov, niov, offset);
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data64(sqe, slot);
}

/*
 * Write @pages scattered pages of memory to the file's first so many pages,
 * @cluster in one writev, @depth at once. => seconds.
 */
UNUSED static double bare_writev(struct bare *b, uint32_t pages,
				 unsigned cluster, unsigned depth)
{
	struct iovec *iov = calloc(pages, sizeof(*iov));
	unsigned slot[2 * BARE_DEPTH_MAX], got, flight = 0;
	uint32_t frames = b->size / BARE_PAGE, sent = 0, done = 0;
	double begin;

	if (!iov)
		die("memory", ENOMEM);
	for (uint32_t i = 0; i < pages; i++)
		iov[i] = (struct iovec){ b->mem + (uint64_t)BARE_PAGE *
					 (i * 7919ull % frames), BARE_PAGE };
	begin = now_s();
	while (done < pages / cluster) {
		for (; flight < depth && sent < pages / cluster; flight++) {
			bare_write_one(b, iov + sent * cluster, cluster,
				       (uint64_t)sent * cluster * BARE_PAGE,
				       0);
			sent++;
		}
		got = bare_wait(b, slot);
		done += got;
		flight -= got;
	}
	free(iov);
	return now_s() - begin;
}

/* The same without a ring, one after the other. */
UNUSED static double bare_pwritev(struct bare *b, const char *path,
				  uint32_t pages, unsigned cluster)
{
	int fd = open(path, O_WRONLY | O_DIRECT);
	uint32_t frames = b->size / BARE_PAGE;
	struct iovec iov[1024];
	double begin = now_s();

	if (fd < 0)
		die(path, errno);
	for (uint32_t at = 0; at + cluster <= pages; at += cluster) {
		for (unsigned i = 0; i < cluster; i++)
			iov[i] = (struct iovec){ b->mem + (uint64_t)BARE_PAGE *
				((at + i) * 7919ull % frames), BARE_PAGE };
		if (pwritev(fd, iov, cluster, (off_t)at * BARE_PAGE) < 0)
			die(path, errno);
	}
	begin = now_s() - begin;
	close(fd);
	return begin;
}

/* => I/Os per second of fio, for a second. @rw: randread, write. */
UNUSED static double fio_run(const char *path, const char *rw, unsigned block,
			     uint64_t bytes, unsigned depth)
{
	char command[8192], line[4096], *at = line;
	unsigned field = strcmp(rw, "randread") ? 49 : 8;
	FILE *f;

	snprintf(command, sizeof(command),
		 "fio --minimal --name=bench --filename='%s' --rw=%s --bs=%u "
		 "--size=%llu --iodepth=%u --ioengine=io_uring --direct=1 "
		 "--time_based --runtime=1 --thread 2>/dev/null",
		 path, rw, block, (unsigned long long)bytes, depth);
	f = popen(command, "r");
	if (!f || !fgets(line, sizeof(line), f))
		die("fio does not run", 0);
	pclose(f);
	while (--field && at)
		at = strchr(at, ';') ? strchr(at, ';') + 1 : NULL;
	if (!at)
		die("fio says something else", 0);
	return atof(at);
}

/* @path with @bytes of something in it, all of it allocated. */
UNUSED static void file_make(const char *path, uint64_t bytes)
{
	static uint8_t chunk[1 << 20];
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		die(path, errno);
	memset(chunk, 0x5a, sizeof(chunk));
	for (uint64_t at = 0; at < bytes; at += sizeof(chunk))
		if (pwrite(fd, chunk, sizeof(chunk), at) != sizeof(chunk))
			die(path, errno);
	if (fsync(fd))
		die(path, errno);
	close(fd);
}

#endif
