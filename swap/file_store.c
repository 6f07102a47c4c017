/*
 * file_store.c - a mapped file as a store.
 *
 * Opening and closing; the I/O itself is aio's, which does with a file marked
 * .trim what this store promises (see swap/transfer.c).
 *
 * Two descriptors: one past the page cache, and one through it for what
 * O_DIRECT refuses on some file systems, the odd bytes at the end.
 *
 * A file whose mount went with its daemon is opened again by its name, when
 * somebody asks whether it is back.
 *
 * Locks: renew, while the file is asked whether it is back, so that two who ask
 * do not both open it. But for its descriptors, which are aio's to change, a
 * store stays as it is between open and close.
 */
#include "swap/file_store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "swap/nogrow.h"
#include "swap/same.h"

struct file_store {
	struct store store;	/* first: found from it */
	struct aio *aio;
	struct aio_file file;
	struct same same;	/* what tells it from others */
	pthread_mutex_t renew;
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

/* May writes by @file be sent as they are? By both descriptors, or not. */
static bool is_guarded(const struct aio_file *file)
{
	return ioctl(file->fd, NOGROW) == NOGROW_YES &&
	       (file->tail_fd < 0 ||
		ioctl(file->tail_fd, NOGROW) == NOGROW_YES);
}

static int open_flags(bool writable)
{
	return O_CLOEXEC | (writable ? O_RDWR : O_RDONLY);
}

/* The buffered descriptor. Without it the last page of a file could be read
 * and not written, or neither, for as long as it is mapped. */
static int open_tail(struct aio_file *file, const char *path, int flags,
		     const struct same *same)
{
	struct same tail;
	int err;

	file->tail_fd = open(path, flags);
	if (file->tail_fd < 0)
		return -errno;
	err = same_ask(file->tail_fd, &tail);
	if (!err && (tail.dev != same->dev || !same_is(same, &tail)))
		err = -ESTALE;	/* replaced, just now */
	return err;
}

/* Whatever comes of it, close_files() is the caller's. */
static int open_files(struct aio_file *file, struct same *same,
		      const char *path, bool writable)
{
	int flags = open_flags(writable), err;
	struct stat st;

	/* Before open(2), which a FIFO would keep waiting. */
	if (stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENODEV;
	file->fd = open(path, flags | O_DIRECT);
	file->direct = file->fd >= 0;
	if (file->fd < 0 && errno == EINVAL)
		file->fd = open(path, flags);
	if (file->fd < 0)
		return -errno;
	err = same_ask(file->fd, same);
	if (!err && file->direct)
		err = open_tail(file, path, flags, same);
	if (!err)
		file->guarded = is_guarded(file);
	return err;
}

static void close_files(struct aio_file *file)
{
	if (file->tail_fd >= 0)
		close(file->tail_fd);
	if (file->fd >= 0)
		close(file->fd);
}

/* => as store_ops.back(). renew held. */
static int file_reopen(struct file_store *fs, uint64_t *dev)
{
	struct aio_file fresh = { .fd = -1, .tail_fd = -1 };
	struct same same;
	int err = same_ask(fs->file.fd, &same);

	if (store_is_gone(err)) {
		err = open_files(&fresh, &same, fs->store.name,
				 fs->store.writable);
		if (!err && !same_is(&fs->same, &same))
			err = -ESTALE;
		if (!err)
			err = aio_file_renew(fs->aio, &fs->file, &fresh);
		if (err)
			close_files(&fresh);
		else
			err = 1;
	}
	*dev = err >= 0 ? same.dev : 0;
	return err;
}

static int file_back(struct store *store, uint64_t *dev)
{
	struct file_store *fs = file_of(store);
	int back;

	pthread_mutex_lock(&fs->renew);
	back = file_reopen(fs, dev);
	pthread_mutex_unlock(&fs->renew);
	return back;
}

static void file_free(struct file_store *fs)
{
	close_files(&fs->file);
	pthread_mutex_destroy(&fs->renew);
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
	.back = file_back,
	.size = file_size,
	.close = file_close,
};

/* Not one of @forbidden: that would be too late when it is open. */
static int check_device(const char *path, uint64_t forbidden)
{
	struct stat st;

	return forbidden && stat(path, &st) == 0 && st.st_dev == forbidden ?
	       -ELOOP : 0;
}

int file_store_open(struct aio *aio, const char *path, bool writable,
		    uint64_t forbidden, struct store **store)
{
	struct file_store *fs = calloc(1, sizeof(*fs));
	int err = -ENOMEM;

	if (!fs)
		return err;
	pthread_mutex_init(&fs->renew, NULL);
	fs->aio = aio;
	fs->file.fd = fs->file.tail_fd = fs->file.slot = -1;
	fs->file.trim = true;
	fs->store.ops = &file_ops;
	fs->store.writable = writable;
	fs->store.name = strdup(path);
	if (fs->store.name)
		err = check_device(path, forbidden);
	if (!err)
		err = open_files(&fs->file, &fs->same, path, writable);
	if (err) {
		file_free(fs);
		return err;
	}
	fs->store.dev = fs->same.dev;
	fs->store.ino = fs->same.ino;
	aio_file_add(aio, &fs->file);
	*store = &fs->store;
	return 0;
}

bool file_store_is_direct(const struct store *store)
{
	return file_of(store)->file.direct;
}
