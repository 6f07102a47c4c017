/*
 * tool_io.c - single system calls on a file, for the system tests: what each
 * returned, exactly.
 *
 *	tool_io [-d] [-a] [-c] [-s] [-t] COMMAND...
 *
 * -d: open with O_DIRECT, -a: O_APPEND, -c: O_CREAT, -s: O_DSYNC, -t: print
 * also how long it took, in us. The commands work on one descriptor, one
 * after another; each prints a line, the bytes or the name of the error:
 *
 *	open FILE		close		cached (no O_DIRECT any more)
 *	write OFFSET LENGTH BYTE	bytes of that value (decimal)
 *	dsync OFFSET LENGTH BYTE	the same with RWF_DSYNC
 *	fill OFFSET LENGTH	bytes that depend on where they are
 *	ring OFFSET LENGTH	the same, by io_uring
 *	read OFFSET LENGTH	prints also a checksum
 *	count OFFSET LENGTH BYTE	how many of these bytes are BYTE
 *	append LENGTH BYTE	write(2) at the file's position
 *	fsync  size  truncate LENGTH  punch OFFSET LENGTH  zero OFFSET LENGTH
 *	allocate OFFSET LENGTH  ahead OFFSET LENGTH	the second keeps the size
 *	from FILE		of which is copied; without, from the file itself
 *	copy FROM TO LENGTH	copy_file_range(2), once
 *	data OFFSET  hole OFFSET	lseek(2)
 *	nogrow			swap/nogrow.h
 *	map OFFSET LENGTH BYTE	store through a shared mapping and msync
 *	run COMMAND		by sh; it is one word
 *	exchange FILE OTHER	the names of two files
 *	attribute FILE LENGTH	user.test of it, so long
 */
#include "swap/nogrow.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static char *buffer;		/* page aligned, for O_DIRECT */
static int fd = -1, from_fd = -1, flags = O_RDWR;
static bool timed;

#define BUFFER (8u << 20)

static long number(char **words)
{
	return strtol(*words, NULL, 0);
}

static void say(const char *what, long result)
{
	if (result < 0)
		printf("%s %s", what, strerrorname_np(errno));
	else
		printf("%s %ld", what, result);
}

static void fill(long offset, long length)
{
	long i;

	for (i = 0; i < length; i++)
		buffer[i] = (offset + i) * 2654435761u >> 24;
}

static long checksum(long length)
{
	uint32_t sum = 2166136261u;
	long i;

	for (i = 0; i < length; i++)
		sum = (sum ^ (unsigned char)buffer[i]) * 16777619u;
	return sum;
}

static int do_open(char **words)
{
	fd = open(words[0], flags, 0644);
	say("open", fd < 0 ? -1 : 0);
	return 1;
}

static int do_close(char **words)
{
	(void)words;
	say("close", close(fd));
	return 0;
}

static int do_write(char **words)
{
	memset(buffer, number(words + 2), number(words + 1));
	say("write", pwrite(fd, buffer, number(words + 1), number(words)));
	return 3;
}

/* Take O_DIRECT back. */
static int do_cached(char **words)
{
	(void)words;
	say("cached", fcntl(fd, F_SETFL, 0));
	return 0;
}

static int do_dsync(char **words)
{
	struct iovec iov = { buffer, number(words + 1) };

	memset(buffer, number(words + 2), iov.iov_len);
	say("dsync", pwritev2(fd, &iov, 1, number(words), RWF_DSYNC));
	return 3;
}

static int do_fill(char **words)
{
	fill(number(words), number(words + 1));
	say("fill", pwrite(fd, buffer, number(words + 1), number(words)));
	return 2;
}

static int do_ring(char **words)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	int err = io_uring_queue_init(1, &ring, 0);

	fill(number(words), number(words + 1));
	if (!err) {
		io_uring_prep_write(io_uring_get_sqe(&ring), fd, buffer,
				    number(words + 1), number(words));
		err = io_uring_submit_and_wait(&ring, 1);
		if (err == 1 && !io_uring_peek_cqe(&ring, &cqe))
			err = cqe->res;
		io_uring_queue_exit(&ring);
	}
	errno = -err;
	say("ring", err < 0 ? -1 : err);
	return 2;
}

static int do_append(char **words)
{
	memset(buffer, number(words + 1), number(words));
	say("append", write(fd, buffer, number(words)));
	return 2;
}

static int do_read(char **words)
{
	long got = pread(fd, buffer, number(words + 1), number(words));

	say("read", got);
	if (got >= 0)
		printf(" %08lx", checksum(got));
	return 2;
}

static int do_count(char **words)
{
	long got = pread(fd, buffer, number(words + 1), number(words)), i, n;

	for (i = n = 0; i < got; i++)
		n += (unsigned char)buffer[i] == number(words + 2);
	say("count", got < 0 ? got : n);
	return 3;
}

static int do_fsync(char **words)
{
	(void)words;
	say("fsync", fsync(fd));
	return 0;
}

static int do_size(char **words)
{
	struct stat st;

	(void)words;
	say("size", fstat(fd, &st) ? -1 : st.st_size);
	return 0;
}

static int do_truncate(char **words)
{
	say("truncate", ftruncate(fd, number(words)));
	return 1;
}

static int do_punch(char **words)
{
	say("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       number(words), number(words + 1)));
	return 2;
}

static int do_zero(char **words)
{
	say("zero", fallocate(fd, FALLOC_FL_ZERO_RANGE, number(words),
			      number(words + 1)));
	return 2;
}

static int do_allocate(char **words)
{
	say("allocate", fallocate(fd, 0, number(words), number(words + 1)));
	return 2;
}

static int do_ahead(char **words)
{
	say("ahead", fallocate(fd, FALLOC_FL_KEEP_SIZE, number(words),
			       number(words + 1)));
	return 2;
}

static int do_from(char **words)
{
	from_fd = open(words[0], flags & O_DIRECT);
	say("from", from_fd < 0 ? -1 : 0);
	return 1;
}

static int do_copy(char **words)
{
	off_t from = number(words), to = number(words + 1);

	say("copy", copy_file_range(from_fd < 0 ? fd : from_fd, &from, fd,
				    &to, number(words + 2), 0));
	return 3;
}

static int do_nogrow(char **words)
{
	(void)words;
	say("nogrow", ioctl(fd, NOGROW) == NOGROW_YES ? 0 : -1);
	return 0;
}

static int do_data(char **words)
{
	say("data", lseek(fd, number(words), SEEK_DATA));
	return 1;
}

static int do_hole(char **words)
{
	say("hole", lseek(fd, number(words), SEEK_HOLE));
	return 1;
}

static int do_map(char **words)
{
	long offset = number(words), length = number(words + 1);
	char *at = mmap(NULL, offset + length, PROT_READ | PROT_WRITE,
			MAP_SHARED, fd, 0);
	int result = -1;

	if (at != MAP_FAILED) {
		memset(at + offset, number(words + 2), length);
		result = msync(at, offset + length, MS_SYNC);
		munmap(at, offset + length);
	}
	say("map", result);
	return 3;
}

static int do_run(char **words)
{
	say("run", system(words[0]));
	return 1;
}

static int do_exchange(char **words)
{
	say("exchange", renameat2(AT_FDCWD, words[0], AT_FDCWD, words[1],
				  RENAME_EXCHANGE));
	return 2;
}

static int do_attribute(char **words)
{
	memset(buffer, 'x', number(words + 1));
	say("attribute", setxattr(words[0], "user.test", buffer,
				  number(words + 1), 0));
	return 2;
}

static const struct {
	const char *name;
	int words;
	int (*run)(char **words);
} commands[] = {
	{ "open", 1, do_open }, { "close", 0, do_close },
	{ "cached", 0, do_cached },
	{ "write", 3, do_write }, { "dsync", 3, do_dsync },
	{ "fill", 2, do_fill }, { "ring", 2, do_ring },
	{ "read", 2, do_read }, { "count", 3, do_count },
	{ "append", 2, do_append }, { "fsync", 0, do_fsync },
	{ "size", 0, do_size }, { "truncate", 1, do_truncate },
	{ "punch", 2, do_punch }, { "zero", 2, do_zero },
	{ "data", 1, do_data }, { "hole", 1, do_hole },
	{ "map", 3, do_map }, { "nogrow", 0, do_nogrow },
	{ "allocate", 2, do_allocate }, { "ahead", 2, do_ahead },
	{ "from", 1, do_from }, { "copy", 3, do_copy },
	{ "run", 1, do_run }, { "exchange", 2, do_exchange },
	{ "attribute", 2, do_attribute },
};

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

/* => Words taken, or -1. */
static int run(char **words, int nwords)
{
	double start = now_us();
	size_t i;
	int taken;

	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(words[0], commands[i].name) ||
		    nwords <= commands[i].words)
			continue;
		taken = commands[i].run(words + 1) + 1;
		if (timed)
			printf(" %.0f", now_us() - start);
		putchar('\n');
		fflush(stdout);
		return taken;
	}
	fprintf(stderr, "tool_io: what is %s?\n", words[0]);
	return -1;
}

int main(int argc, char **argv)
{
	int i = 1, taken = 0;

	buffer = aligned_alloc(4096, BUFFER);
	if (!buffer)
		return 1;
	for (; i < argc && argv[i][0] == '-'; i++) {
		timed |= argv[i][1] == 't';
		flags |= argv[i][1] == 'd' ? O_DIRECT :
			argv[i][1] == 'a' ? O_APPEND :
			argv[i][1] == 'c' ? O_CREAT :
			argv[i][1] == 's' ? O_DSYNC : 0;
	}
	for (; i < argc; i += taken) {
		taken = run(argv + i, argc - i);
		if (taken < 0)
			return 2;
	}
	return 0;
}
