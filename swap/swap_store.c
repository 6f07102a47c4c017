/*
 * swap_store.c - swap areas, joined into one store.
 *
 * struct areas decides which slot; the slot's upper bits name the area, whose
 * file aio then reads and writes: slot i of an area is page i of its file.
 * Page 0 is a header, by which a file of ours is known from one that only
 * happens to bear the name. It also has a number which no other machine's
 * area has: when the mount has gone with its daemon and is back, the area is
 * opened again by its name only if nobody else has used the file meanwhile.
 *
 * Of each slot the checksum of what was written last is kept, and what is read
 * is held against it: a store that lost or changed what it had acknowledged is
 * found out, and no process gets another's bytes, or its own from before.
 *
 * An area's file is locked (flock) while it is in use, so that two machines
 * cannot page to the same one.
 *
 * Invariant: file[a].fd >= 0 <=> areas.area[a].slots.
 */
#include "swap/swap_store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "swap/areas.h"
#include "swap/same.h"

#define PAGE		STORE_PAGE_SIZE
#define CHUNK		(1u << 20)	/* read at once */
#define PAGES_MAX	(1ull << SWAP_AREA_SHIFT)
#define MAGIC		"pagervm swap 1\n"

struct header {
	char magic[sizeof(MAGIC)];
	uint64_t npages;	/* with this one */
	uint64_t id[2];		/* random */
};

struct swap_file {
	struct aio_file aio;	/* first: found from it */
	char *path;
	struct header header;
	uint32_t *sum;		/* of each slot, as it was written last */
	bool created, grown;	/* by us, from old_size: see candidate */
	uint64_t old_size;
};

struct real_swap {
	struct areas areas;	/* first: found from its swap_store */
	struct aio *aio;
	struct swap_file file[SWAP_AREAS_MAX];
};

/* An area in the making. */
struct candidate {
	const char *path;
	int fd;
	bool direct;
	bool created;		/* by us: to be removed if it fails */
	bool grown;		/* by us: old_size to be restored */
	uint64_t old_size;
	struct header header;
};

static struct real_swap *real_of(struct swap_store *swap)
{
	return (struct real_swap *)areas_of(swap);
}

static void swap_submit(struct store *store, struct store_io *io)
{
	struct real_swap *swap = real_of((struct swap_store *)store);
	unsigned a = SWAP_SLOT_AREA((uint32_t)io->page);

	assert(io->page >> SWAP_AREA_SHIFT && a < SWAP_AREAS_MAX);
	assert(swap->file[a].aio.fd >= 0);
	aio_submit(swap->aio, &swap->file[a].aio, io);
}

/* With the slot's number, for a page may also come to lie in another's place. */
static uint32_t sum_of(uint64_t slot, const uint8_t *page)
{
	return (uint32_t)XXH3_64bits_withSeed(page, PAGE, slot);
}

/* As aio_file.moved. A slot has one transfer at a time, and the pager's lock
 * between them. */
static void swap_moved(struct aio_file *file, struct store_io *io,
		       const uint8_t *ram)
{
	uint32_t *at = ((struct swap_file *)file)->sum +
		(io->page - file->first_page), sum;

	for (unsigned i = 0; i < io->npages; i++) {
		sum = sum_of(io->page + i, ram + (uint64_t)io->pfn[i] * PAGE);
		if (io->op == STORE_WRITE)
			at[i] = sum;
		else if (at[i] != sum)
			io->error = -EBADMSG;
	}
}

static int swap_size(struct store *store, uint64_t *bytes)
{
	struct swap_store *swap = (struct swap_store *)store;

	*bytes = swap->ntotal(swap) * PAGE;
	return 0;
}

/* Let go of the file of area @a. */
static void drop_file(struct real_swap *swap, unsigned a)
{
	struct swap_file *file = &swap->file[a];

	if (file->aio.fd < 0)
		return;
	aio_file_remove(swap->aio, &file->aio);
	close(file->aio.fd);
	free(file->path);
	free(file->sum);
	*file = (struct swap_file) { .aio.fd = -1 };
}

static void swap_close(struct store *store)
{
	struct real_swap *swap = real_of((struct swap_store *)store);

	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		drop_file(swap, a);
	areas_free(&swap->areas);
	free(store->name);
	free(swap);
}

/* open(2), without O_DIRECT where the file system does not know it. */
static int open_direct(struct candidate *c, int flags)
{
	flags |= O_RDWR | O_CLOEXEC;
	c->fd = open(c->path, flags | O_DIRECT, 0600);
	c->direct = c->fd >= 0;
	/* O_DIRECT is refused when the file has been created already. */
	if (c->fd < 0 && errno == EINVAL)
		c->fd = open(c->path, flags & ~O_EXCL, 0600);
	return c->fd < 0 ? -errno : 0;
}

static int open_area(struct candidate *c, bool create)
{
	struct stat st;
	int err = -EEXIST;

	/* Not open(2) itself: a FIFO would keep it waiting. */
	if (!stat(c->path, &st) && !S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENODEV;
	if (create)
		err = open_direct(c, O_CREAT | O_EXCL);
	c->created = !err;
	if (err == -EEXIST)
		err = open_direct(c, 0);
	if (err)
		return err;
	if (flock(c->fd, LOCK_EX | LOCK_NB)) {
		c->created = false;	/* it is whose lock it is */
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	}
	if (fstat(c->fd, &st))
		return -errno;
	c->old_size = (uint64_t)st.st_size;
	return S_ISREG(st.st_mode) ? 0 : -ENODEV;
}

/* Is the file that @c has open an area of @swap? */
static bool is_ours(const struct real_swap *swap, const struct candidate *c)
{
	struct stat st, area;

	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		if (swap->file[a].aio.fd >= 0 && !fstat(c->fd, &st) &&
		    !fstat(swap->file[a].aio.fd, &area) &&
		    st.st_dev == area.st_dev && st.st_ino == area.st_ino)
			return true;
	return false;
}

/* Read the first page. => 0 or -errno; what is not there is zero. */
static int read_header(int fd, uint8_t *page)
{
	ssize_t n;

	memset(page, 0, PAGE);
	do
		n = pread(fd, page, PAGE, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static bool is_zero(const uint8_t *buf, size_t len)
{
	return !len || (!buf[0] && !memcmp(buf, buf + 1, len - 1));
}

/* Whether there is nothing in the file; holes are not read. */
static int check_zero(const struct candidate *c, uint8_t *buf)
{
	uint64_t at = 0;
	off_t data;
	ssize_t n;

	while (at < c->old_size) {
		data = lseek(c->fd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		if (data > (off_t)at)
			at = (uint64_t)data / PAGE * PAGE;
		n = pread(c->fd, buf, CHUNK, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
		if (!is_zero(buf, (size_t)n))
			return -EMEDIUMTYPE;
		at += (uint64_t)n;
	}
	return 0;
}

/* Whether we may take the file: it is ours, or there is nothing in it. */
static int check_header(const struct candidate *c, uint8_t *buf)
{
	const struct header *header = (const void *)buf;
	int err = read_header(c->fd, buf);

	if (err || !memcmp(header->magic, MAGIC, sizeof(MAGIC)))
		return err;
	return check_zero(c, buf);
}

static int write_all(int fd, const uint8_t *buf, uint64_t len, uint64_t at)
{
	while (len) {
		ssize_t n = pwrite(fd, buf, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf += n;
		at += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/* Have blocks for all of the area now, not when memory is short. */
static int allocate(struct candidate *c, uint8_t *page)
{
	uint64_t size = c->header.npages * PAGE, at = c->old_size / PAGE * PAGE;
	int err = 0;

	c->grown = size > c->old_size;
	while (fallocate(c->fd, 0, 0, (off_t)size))
		if (errno != EINTR) {
			err = -errno;
			break;
		}
	if (err != -EOPNOTSUPP && err != -ENOSYS)
		return err;
	memset(page, 0, PAGE);
	for (err = 0; !err && at < size; at += PAGE)
		err = write_all(c->fd, page, PAGE, at);
	return err;
}

static int write_header(struct candidate *c, uint8_t *page)
{
	memcpy(c->header.magic, MAGIC, sizeof(MAGIC));
	if (getrandom(c->header.id, sizeof(c->header.id), 0) !=
	    sizeof(c->header.id))
		return -EIO;
	memset(page, 0, PAGE);
	memcpy(page, &c->header, sizeof(c->header));
	return write_all(c->fd, page, PAGE, 0);
}

/* Make the opened file an area of @bytes (0: of its size). */
static int format(struct candidate *c, uint64_t bytes)
{
	uint8_t *page;
	int err;

	c->header.npages = (bytes ? bytes : c->old_size) / PAGE;
	if (c->header.npages < 2)
		return -EINVAL;
	if (c->header.npages > PAGES_MAX)
		return -EFBIG;
	page = aligned_alloc(PAGE, CHUNK);
	if (!page)
		return -ENOMEM;
	err = check_header(c, page);
	if (!err)
		err = allocate(c, page);
	if (!err)
		err = write_header(c, page);
	free(page);
	return err;
}

/* Take back what was made of the file. */
static void restore(struct candidate *c)
{
	if (c->created)
		unlink(c->path);
	else if (c->grown && ftruncate(c->fd, (off_t)c->old_size))
		c->grown = false;	/* too long, but whole */
}

/* Leave no trace of an area that could not be added. */
static void abandon(struct candidate *c)
{
	if (c->fd < 0)
		return;
	restore(c);
	close(c->fd);
}

/* Enter the area that @c became. */
static int join(struct real_swap *swap, const struct candidate *c,
		int priority)
{
	struct swap_file file = {
		.aio = { .fd = c->fd, .tail_fd = -1, .direct = c->direct,
			 .moved = swap_moved },
		.path = strdup(c->path),
		.header = c->header,
		.sum = calloc(c->header.npages, sizeof(*file.sum)),
		.created = c->created, .grown = c->grown,
		.old_size = c->old_size,
	};
	int a = -ENOMEM;

	if (file.path && file.sum)
		a = areas_add(&swap->areas, (uint32_t)c->header.npages,
			      file.path, priority);
	if (a < 0) {
		free(file.path);
		free(file.sum);
		return a;
	}
	file.aio.first_page = SWAP_SLOT((unsigned)a, 0);
	swap->file[a] = file;
	aio_file_add(swap->aio, &swap->file[a].aio);
	return a;
}

int swap_store_add(struct swap_store *s, const char *path, uint64_t bytes,
		   int priority)
{
	struct candidate c = { .path = path, .fd = -1 };
	int ret = open_area(&c, bytes > 0);

	if (ret == -EBUSY && is_ours(real_of(s), &c))
		ret = -EALREADY;
	if (!ret)
		ret = format(&c, bytes);
	if (!ret)
		ret = join(real_of(s), &c, priority);
	if (ret < 0)
		abandon(&c);
	return ret;
}

void swap_store_undo(struct swap_store *s)
{
	struct real_swap *swap = real_of(s);

	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++) {
		const struct swap_file *file = &swap->file[a];
		struct candidate c = {
			.path = file->path, .fd = file->aio.fd,
			.created = file->created, .grown = file->grown,
			.old_size = file->old_size,
		};

		restore(&c);
	}
}

/* ---- when its device has gone ---- */

/* What @c has opened: is it @file still? Nobody else may have it, or have had
 * it. */
static int check_same(const struct swap_file *file, const struct candidate *c)
{
	uint8_t *page = aligned_alloc(PAGE, PAGE);
	int err = page ? read_header(c->fd, page) : -ENOMEM;

	if (!err && memcmp(page, &file->header, sizeof(file->header)))
		err = -ESTALE;
	free(page);
	return err;
}

/* => as store_ops.back() */
static int area_back(struct real_swap *swap, struct swap_file *file)
{
	struct candidate c = { .path = file->path, .fd = -1 };
	struct aio_file fresh = { .tail_fd = -1 };
	struct same same;
	int err = same_ask(file->aio.fd, &same);

	if (!store_is_gone(err))
		return err;
	err = open_area(&c, false);
	if (!err)
		err = check_same(file, &c);
	fresh.fd = c.fd;
	fresh.direct = c.direct;
	if (!err)
		err = aio_file_renew(swap->aio, &file->aio, &fresh);
	if (err && c.fd >= 0)
		close(c.fd);
	return err ? err : 1;
}

static int swap_back(struct store *store, uint64_t *dev)
{
	struct real_swap *swap = real_of((struct swap_store *)store);
	int err = 0, result = 0;

	*dev = 0;
	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++) {
		if (swap->file[a].aio.fd < 0)
			continue;
		err = area_back(swap, &swap->file[a]);
		if (err > 0 || !result)
			result = err;
	}
	return result;
}

static const struct store_ops swap_ops = {
	.submit = swap_submit,
	.back = swap_back,
	.size = swap_size,
	.close = swap_close,
};

int swap_store_create(struct aio *aio, struct swap_store **result)
{
	struct real_swap *swap = calloc(1, sizeof(*swap));
	struct store *store;

	if (!swap)
		return -ENOMEM;
	areas_init(&swap->areas);
	store = &swap->areas.swap.store;
	store->name = strdup("swap");
	if (!store->name) {
		free(swap);
		return -ENOMEM;
	}
	store->ops = &swap_ops;
	store->writable = true;
	swap->aio = aio;
	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		swap->file[a].aio.fd = -1;
	*result = &swap->areas.swap;
	return 0;
}

int swap_store_drain(struct swap_store *swap, unsigned area, bool drain)
{
	return areas_drain(areas_of(swap), area, drain);
}

int swap_store_remove(struct swap_store *swap, unsigned area)
{
	int err = areas_remove(areas_of(swap), area);

	if (!err)
		drop_file(real_of(swap), area);
	return err;
}

void swap_store_check(struct swap_store *swap)
{
	struct real_swap *real = real_of(swap);

	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		assert((real->file[a].aio.fd >= 0) ==
		       (real->areas.area[a].slots != NULL));
	areas_check(&real->areas);
}
