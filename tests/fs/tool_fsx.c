/*
 * tool_fsx.c - one file, every way to its bytes, against a flat array.
 *
 *	tool_fsx FILE SEED OPERATIONS
 *
 * Random operations go to FILE by read and write, O_DIRECT with and without
 * alignment, a shared and a private mapping and io_uring (several requests at
 * once), and by calls that change it as a whole; the same is done to an
 * array. Each way must show what the array has, whichever way it came there.
 * The last operations are printed when it does not. One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST	(1u << 20)	/* the file's greatest size */
#define CHUNK	(200u << 10)	/* the longest transfer */
#define BATCH	8		/* requests in the ring at a time */
#define HISTORY	16

static unsigned char model[MOST + CHUNK];
static unsigned int size;
static const char *name;
static int fd, direct_fd;
static struct io_uring ring;
static unsigned char *buffer;	/* aligned; BATCH chunks */
static char history[HISTORY][120];
static unsigned int step;

static void did(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
static void wrong(const char *what) __attribute__((noreturn));

static void did(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(history[step % HISTORY], sizeof(history[0]), format, args);
	va_end(args);
}

static void wrong(const char *what)
{
	unsigned int i;

	printf("operation %u: %s (errno: %s); the last ones:\n", step, what,
	       strerror(errno));
	for (i = step > HISTORY ? step - HISTORY + 1 : 1; i <= step; i++)
		printf("  %u %s\n", i, history[i % HISTORY]);
	exit(1);
}

static unsigned int below(unsigned int limit)
{
	return limit ? random() % limit : 0;
}

static void compare(const unsigned char *got, unsigned int offset,
		    unsigned int length)
{
	char text[80];
	unsigned int i;

	for (i = 0; i < length; i++) {
		if (got[i] != model[offset + i]) {
			snprintf(text, sizeof(text),
				 "byte %u is %02x and should be %02x",
				 offset + i, got[i], model[offset + i]);
			wrong(text);
		}
	}
}

static void grow_to(unsigned int end)
{
	if (end > size) {
		memset(model + size, 0, end - size);
		size = end;
	}
}

static void fill(unsigned char *to, unsigned int length)
{
	unsigned int i, value = random();

	for (i = 0; i < length; i++)
		to[i] = value + i * 13 + (i >> 8);
}

/* What a transfer covers: any bytes, or such as O_DIRECT can take. */
static void choose(unsigned int *offset, unsigned int *length, bool aligned,
		   unsigned int limit)
{
	*offset = below(limit);
	*length = 1 + below(below(4) ? 9000 : CHUNK);
	if (aligned) {
		*offset &= ~4095u;
		*length = (*length + 4095) & ~4095u;
	}
	if (*length > CHUNK)
		*length = CHUNK & ~4095u;
	if (*offset + *length > MOST)
		*length = MOST - *offset;
}

static void check_read(ssize_t got, unsigned int offset, unsigned int length,
		       const unsigned char *from)
{
	unsigned int want = offset >= size ? 0 :
		offset + length > size ? size - offset : length;

	if (got < 0)
		errno = got == -1 ? errno : -got;
	if (got != (ssize_t)want)
		wrong("a read of another length");
	compare(from, offset, want);
}

static void op_read(void)
{
	bool direct = below(2), aligned = direct && below(2);
	unsigned int offset, length;

	choose(&offset, &length, aligned, size + 5000 > MOST ? MOST :
	       size + 5000);
	did("%s read %u + %u", direct ? "direct" : "buffered", offset,
	    length);
	check_read(pread(direct ? direct_fd : fd, buffer, length, offset),
		   offset, length, buffer);
}

static void op_write(void)
{
	bool direct = below(2), aligned = direct && below(2);
	unsigned int offset, length;

	choose(&offset, &length, aligned, MOST);
	did("%s write %u + %u", direct ? "direct" : "buffered", offset,
	    length);
	fill(buffer, length);
	if (pwrite(direct ? direct_fd : fd, buffer, length, offset) !=
	    (ssize_t)length)
		wrong("a write of another length");
	grow_to(offset + length);
	memcpy(model + offset, buffer, length);
}

static void op_append(void)
{
	unsigned int length = 1 + below(3000);
	int log = open(name, O_WRONLY | O_APPEND);

	did("append %u + %u", size, length);
	if (size + length <= MOST) {
		fill(buffer, length);
		if (write(log, buffer, length) != (ssize_t)length)
			wrong("an append of another length");
		memcpy(model + size, buffer, length);
		size += length;
	}
	close(log);
}

static void op_map(void)
{
	bool shared = below(3), writes = below(2);
	unsigned int offset, length, from;
	unsigned char *at;

	if (!size)
		return;
	choose(&offset, &length, false, size);
	if (offset + length > size)
		length = size - offset;
	from = offset & ~4095u;
	did("%s mapping %u + %u, %s", shared ? "shared" : "private", offset,
	    length, writes ? "store" : "load");
	at = mmap(NULL, offset + length - from, PROT_READ |
		  (writes ? PROT_WRITE : 0), shared ? MAP_SHARED :
		  MAP_PRIVATE, fd, from);
	if (at == MAP_FAILED)
		wrong("no mapping");
	compare(at + offset - from, offset, length);
	if (writes) {
		fill(buffer, length);
		memcpy(at + offset - from, buffer, length);
		if (shared)
			memcpy(model + offset, buffer, length);
		if (shared && !below(3) && msync(at, length, MS_SYNC))
			wrong("msync");
	}
	munmap(at, offset + length - from);
}

struct request {
	unsigned int offset, length;
	bool write;
};

static void ring_queue(struct request *request, unsigned int i, int which)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	unsigned char *at = buffer + i * CHUNK;

	/* One eighth of the file for each, so that none meets another. */
	request->offset = i * (MOST / BATCH) + below(MOST / BATCH - 20000);
	request->length = 1 + below(20000);
	if (below(2)) {
		request->offset = (request->offset + 4095) & ~4095u;
		request->length = 4096 * (1 + below(3));
	}
	request->write = below(2);
	if (request->write) {
		fill(at, request->length);
		io_uring_prep_write(sqe, which, at, request->length,
				    request->offset);
	} else {
		io_uring_prep_read(sqe, which, at, request->length,
				   request->offset);
	}
	io_uring_sqe_set_data64(sqe, i);
}

static void op_ring(void)
{
	int which = below(2) ? direct_fd : fd;
	struct request requests[BATCH];
	int results[BATCH];
	struct io_uring_cqe *cqe;
	unsigned int i;

	did("ring, %s", which == fd ? "buffered" : "direct");
	/* With the file as long as it gets, no read depends on a write. */
	if (ftruncate(fd, MOST))
		wrong("truncate");
	grow_to(MOST);
	for (i = 0; i < BATCH; i++)
		ring_queue(&requests[i], i, which);
	io_uring_submit_and_wait(&ring, BATCH);
	for (i = 0; i < BATCH; i++) {
		if (io_uring_wait_cqe(&ring, &cqe))
			wrong("no completion");
		results[io_uring_cqe_get_data64(cqe)] = cqe->res;
		io_uring_cqe_seen(&ring, cqe);
	}
	for (i = 0; i < BATCH; i++) {
		struct request *request = &requests[i];

		if (results[i] < 0)
			errno = -results[i];
		if (results[i] != (int)request->length)
			wrong("a ring transfer of another length");
		if (request->write)
			memcpy(model + request->offset, buffer + i * CHUNK,
			       request->length);
		else
			compare(buffer + i * CHUNK, request->offset,
				request->length);
	}
}

static void op_truncate(void)
{
	unsigned int to = below(MOST);

	did("truncate to %u", to);
	if (below(2) ? ftruncate(fd, to) : truncate(name, to))
		wrong("truncate");
	grow_to(to);
	size = to;
}

static void op_fallocate(void)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[below(5)];
	unsigned int offset, length, end;

	choose(&offset, &length, false, MOST);
	did("fallocate %x, %u + %u", mode, offset, length);
	if (fallocate(fd, mode, offset, length)) {
		if (errno == EOPNOTSUPP)
			return;
		wrong("fallocate");
	}
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		grow_to(offset + length);
	end = offset + length > size ? size : offset + length;
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) &&
	    offset < end)
		memset(model + offset, 0, end - offset);
}

static void op_copy(void)
{
	bool direct_in = below(2), direct_out = below(2);
	unsigned int from, length, to, moved = 0;
	off_t in, out;
	ssize_t got;

	choose(&from, &length, false, size);
	if (from + length > size)
		length = size - from;
	if (!length)
		return;		/* nothing: the file does not grow for it */
	to = below(MOST - length);
	if (to < from + length && from < to + length)
		return;		/* overlapping is an error */
	did("copy %u + %u to %u,%s%s", from, length, to,
	    direct_in ? " direct in" : "", direct_out ? " direct out" : "");
	in = from, out = to;
	for (; moved < length; moved += got) {
		got = copy_file_range(direct_in ? direct_fd : fd, &in,
				      direct_out ? direct_fd : fd, &out,
				      length - moved, 0);
		if (got <= 0)
			wrong("copy_file_range");
	}
	grow_to(to + length);
	memcpy(model + to, model + from, length);
}

static void open_all(void)
{
	fd = open(name, O_RDWR | O_CREAT, 0600);
	direct_fd = open(name, O_RDWR | O_DIRECT);
	if (fd < 0 || direct_fd < 0)
		wrong("open");
}

static void op_other(void)
{
	struct stat st;

	switch (below(4)) {
	case 0:
		did("reopen");
		close(fd);
		close(direct_fd);
		open_all();
		break;
	case 1:
		did("fsync");
		if (below(2) ? fsync(fd) : fdatasync(direct_fd))
			wrong("fsync");
		break;
	case 2:
		did("drop what is cached");
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		break;
	default:
		did("stat");
		if (fstat(fd, &st) || st.st_size != size)
			wrong("another size");
	}
}

static void whole(void)
{
	unsigned int offset;

	did("all of it");
	for (offset = 0; offset < size; offset += CHUNK)
		check_read(pread(fd, buffer, CHUNK, offset), offset, CHUNK,
			   buffer);
}

int main(int argc, char **argv)
{
	static void (*const ops[])(void) = {
		op_read, op_read, op_write, op_write, op_map, op_map, op_ring,
		op_append, op_truncate, op_fallocate, op_copy, op_other,
	};
	unsigned int count;

	if (argc != 4)
		return 2;
	name = argv[1];
	srandom(atoi(argv[2]));
	count = atoi(argv[3]);
	buffer = aligned_alloc(4096, BATCH * CHUNK);
	if (!buffer || io_uring_queue_init(BATCH * 2, &ring, 0))
		wrong("no memory or no ring");
	unlink(name);
	open_all();
	for (step = 1; step <= count; step++)
		ops[below(sizeof(ops) / sizeof(*ops))]();
	whole();
	printf("%u operations, seed %s: as the array has it\n", count,
	       argv[2]);
	return 0;
}
