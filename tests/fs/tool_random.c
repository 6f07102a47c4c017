/*
 * tool_random.c - random operations on a file against an array in memory.
 *
 *	tool_random FILE SEED OPERATIONS [REAL]
 *
 * Reads, writes, appends, truncations, holes, zeroed ranges, O_DIRECT, stores
 * through mappings, renames, closing and opening, in random order and of
 * random size. Each read and the file's size must be as in the array. After
 * each fsync REAL, the same file below the mount, must be the array, too.
 * Status 0; or 1, having said what differs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPACE	(256 * 1024)
#define PIECE	40000

static const char *path, *real;
static char model[SPACE], *buffer;
static long size, step;
static int fd, direct_fd, append_fd;

static __attribute__((noreturn, format(printf, 1, 2)))
void die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "step %ld: ", step);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, " (%s)\n", strerror(errno));
	exit(1);
}

static void open_all(void)
{
	fd = open(path, O_RDWR | O_CREAT, 0644);
	direct_fd = open(path, O_RDWR | O_DIRECT);
	append_fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0 || direct_fd < 0 || append_fd < 0)
		die("open");
}

static void close_all(void)
{
	if (close(fd) || close(direct_fd) || close(append_fd))
		die("close");
}

static int any_fd(void)
{
	return rand() % 3 ? fd : direct_fd;
}

static void compare(const char *what, long offset, long length, long got)
{
	long wanted = offset >= size ? 0 : size - offset, i;

	if (wanted > length)
		wanted = length;
	if (got != wanted)
		die("%s at %ld, %ld: %ld bytes instead of %ld", what, offset,
		    length, got, wanted);
	for (i = 0; i < got; i++)
		if (buffer[i] != model[offset + i])
			die("%s at %ld, %ld: byte %ld is %d instead of %d",
			    what, offset, length, i, buffer[i],
			    model[offset + i]);
}

/* What is behind the end of the array is zero, always. */
static void resize(long to)
{
	if (to < size)
		memset(model + to, 0, size - to);
	size = to;
}

static void fill(long length)
{
	long i;
	char byte = rand();

	for (i = 0; i < length; i++)
		buffer[i] = byte + i / 7;
}

static void do_read(long offset, long length)
{
	compare("read", offset, length,
		pread(any_fd(), buffer, length, offset));
}

static void do_write(long offset, long length)
{
	if (!length)
		return;
	fill(length);
	if (pwrite(any_fd(), buffer, length, offset) != length)
		die("write at %ld, %ld", offset, length);
	memcpy(model + offset, buffer, length);
	if (size < offset + length)
		size = offset + length;
}

static void do_append(long offset, long length)
{
	if (size + length > SPACE)
		return do_read(offset, length);
	fill(length);
	if (write(append_fd, buffer, length) != length)
		die("append of %ld", length);
	memcpy(model + size, buffer, length);
	size += length;
}

static void do_truncate(long offset)
{
	if (ftruncate(fd, offset))
		die("truncate to %ld", offset);
	resize(offset);
}

static void do_hole(long offset, long length)
{
	bool punch = rand() % 2;
	int mode = punch ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE :
		FALLOC_FL_ZERO_RANGE;

	if (!length)
		return;
	if (fallocate(fd, mode, offset, length)) {
		if (errno == EOPNOTSUPP)
			return;
		die("fallocate %d at %ld, %ld", mode, offset, length);
	}
	if (!punch && size < offset + length)
		size = offset + length;
	if (offset < size)
		memset(model + offset, 0, size - offset < length ?
		       size - offset : length);
}

static void do_map(long offset, long length)
{
	char *at;

	if (offset + length > size || !length)
		return;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		die("mmap");
	memcpy(buffer, at + offset, length);
	compare("mapping", offset, length, length);
	fill(length);
	memcpy(at + offset, buffer, length);
	memcpy(model + offset, buffer, length);
	if (munmap(at, size))
		die("munmap");
}

static void do_rename(void)
{
	char other[4096];

	snprintf(other, sizeof(other), "%s.other", path);
	if (rename(path, other) || rename(other, path))
		die("rename");
}

static void do_size(void)
{
	struct stat st;

	if (stat(path, &st) || st.st_size != size)
		die("size %ld instead of %ld", (long)st.st_size, size);
}

static void do_sync(void)
{
	int below;
	ssize_t got;

	if (fsync(fd))
		die("fsync");
	if (!real)
		return;
	below = open(real, O_RDONLY);
	got = pread(below, buffer, SPACE, 0);
	close(below);
	compare("real file", 0, SPACE, got);
}

static void one(void)
{
	long offset = rand() % SPACE, length = rand() % PIECE;

	if (rand() % 4 == 0)
		offset &= ~4095;
	if (rand() % 4 == 0)
		length &= ~4095;
	if (length > SPACE - offset)
		length = SPACE - offset;
	switch (rand() % 20) {
	case 0: return do_append(offset, length / 8);
	case 1: return do_truncate(rand() % 3 ? offset : size);
	case 2: return do_hole(offset, length);
	case 3: return do_map(offset % (size + 1), length);
	case 4: return do_rename();
	case 5: return rand() % 4 ? do_size() : do_sync();
	case 6: return rand() % 4 ? do_size() : (close_all(), open_all());
	case 7: case 8: case 9: case 10: case 11: case 12:
		return do_write(offset, length);
	default: return do_read(offset, length);
	}
}

int main(int argc, char **argv)
{
	long steps;

	if (argc < 4)
		return 2;
	path = argv[1];
	srand(atoi(argv[2]));
	steps = atol(argv[3]);
	real = argv[4];
	buffer = aligned_alloc(4096, SPACE);
	unlink(path);
	open_all();
	for (step = 0; step < steps; step++)
		one();
	do_sync();
	do_size();
	close_all();
	return 0;
}
