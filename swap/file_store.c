/*
 * file_store.c - a mapped file as a store.
 *
 * Opening and closing; the I/O itself is aio's, which does with a file marked
 * .trim what this store promises (see swap/transfer.c).
 *
 * Two descriptors: one past the page cache, and one through it for what
 * O_DIRECT refuses on some file systems, the odd bytes at the end.
 *
 * Locks: none; a store does not change between open and close.
 */
#include "swap/file_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "swap/nogrow.h"

struct file_store {
	struct store store;	/* first: found from it */
	struct aio *aio;
	struct aio_file file;
};

static struct file_store *file_of(const struct store *store)
{
	return (struct file_store *)store;
}

static void file_submit(struct store *store, struct store_io *io)
{
	struct file_store *fs = file_of(store);

	aio_submit(fs->aio, &fs->file, io);
}

static int file_size(struct store *store, uint64_t *bytes)
{
	struct statx st;

	if (statx(file_of(store)->file.fd, "",
		  AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &st))
		return -errno;
	*bytes = st.stx_size;
	return 0;
}

static void file_free(struct file_store *fs)
{
	if (fs->file.tail_fd >= 0)
		close(fs->file.tail_fd);
	if (fs->file.fd >= 0)
		close(fs->file.fd);
	free(fs->store.name);
	free(fs);
}

static void file_close(struct store *store)
{
	struct file_store *fs = file_of(store);

	aio_file_remove(fs->aio, &fs->file);
	file_free(fs);
}

static const struct store_ops file_ops = {
	.submit = file_submit,
	.size = file_size,
	.close = file_close,
};

static int check_type(const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return -EISDIR;
	return S_ISREG(st->st_mode) ? 0 : -ENODEV;
}

/* May writes by @file be sent as they are? By both descriptors, or not. */
static bool is_guarded(const struct aio_file *file)
{
	return ioctl(file->fd, NOGROW) == NOGROW_YES &&
	       (file->tail_fd < 0 ||
		ioctl(file->tail_fd, NOGROW) == NOGROW_YES);
}

/* The buffered descriptor, if the path still leads to the same file. */
static int open_tail(const char *path, int flags, const struct stat *same)
{
	int fd = open(path, flags);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) || st.st_dev != same->st_dev ||
			st.st_ino != same->st_ino)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int open_files(struct file_store *fs, const char *path, int flags)
{
	struct stat st;
	int err;

	/* Before open(2), which a FIFO would keep waiting. */
	if (stat(path, &st))
		return -errno;
	err = check_type(&st);
	if (err)
		return err;
	fs->file.fd = open(path, flags | O_DIRECT);
	fs->file.direct = fs->file.fd >= 0;
	if (fs->file.fd < 0 && errno == EINVAL)
		fs->file.fd = open(path, flags);
	if (fs->file.fd < 0 || fstat(fs->file.fd, &st))
		return -errno;
	if (fs->file.direct)
		fs->file.tail_fd = open_tail(path, flags, &st);
	fs->file.guarded = is_guarded(&fs->file);
	fs->store.dev = st.st_dev;
	fs->store.ino = st.st_ino;
	return check_type(&st);
}

int file_store_open(struct aio *aio, const char *path, bool writable,
		    struct store **store)
{
	struct file_store *fs = calloc(1, sizeof(*fs));
	int err = -ENOMEM;

	if (!fs)
		return err;
	fs->aio = aio;
	fs->file.fd = fs->file.tail_fd = fs->file.slot = -1;
	fs->file.trim = true;
	fs->store.ops = &file_ops;
	fs->store.writable = writable;
	fs->store.name = strdup(path);
	if (fs->store.name)
		err = open_files(fs, path, O_CLOEXEC |
				 (writable ? O_RDWR : O_RDONLY));
	if (err) {
		file_free(fs);
		return err;
	}
	aio_file_add(aio, &fs->file);
	*store = &fs->store;
	return 0;
}

bool file_store_is_direct(const struct store *store)
{
	return file_of(store)->file.direct;
}
