/*
 * held.c - held writes, by file: a table of files, a tree of extents in each.
 *
 * An extent is a piece of a write. Extents of a file never overlap: a later
 * write cuts what it covers out of the earlier ones, as it does in the cache
 * of a disk. What a reader sees is the real file with the extents laid over
 * it; its size is the real one or the end of the last extent, whichever is
 * larger.
 *
 * A file is in the table as long as it has extents; its own descriptor pins
 * it, so (dev, ino) cannot come to mean another. All that reads or changes it
 * is done under its lock, the I/O too, so that nobody can read the real file
 * before and lay the extents over it after they were written and are gone.
 *
 * Locks: held->lock, then held_lock, which guards the table, the references
 * and the sum, for a few dozen instructions, or the rules' lock. A file that
 * left the table while somebody waited for its lock is @dead.
 */
#include "fs/held.h"
#include "fs/file.h"
#include "fs/gate.h"
#include "fs/held_tree.h"
#include "fs/inject.h"
#include "fs/loop.h"
#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELD_CHAINS	1024

struct held {
	struct held *next;	/* in its chain */
	struct volume *volume;
	dev_t dev;
	ino_t ino;
	int fd;			/* buffered, read and write */
	unsigned int refs;	/* under held_lock; the table has one */
	bool dead;
	pthread_mutex_t lock;
	struct held_tree tree;
	_Atomic uint64_t end;	/* of the last extent */
	_Atomic uint64_t bytes;	/* of all */
};

static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static struct held *held_chains[HELD_CHAINS];
static uint64_t held_files, held_bytes, held_extents;
static uint64_t held_written, held_dropped;	/* bytes */

/* ---- the table ---- */

static struct held **held_chain(dev_t dev, ino_t ino)
{
	uint64_t h = (dev * 31 + ino) * 0x9e3779b97f4a7c15u;

	return &held_chains[h >> 32 & (HELD_CHAINS - 1)];
}

/* => With a reference, or NULL. */
static struct held *held_find(dev_t dev, ino_t ino)
{
	struct held *held;

	pthread_mutex_lock(&held_lock);
	held = *held_chain(dev, ino);
	while (held && (held->ino != ino || held->dev != dev))
		held = held->next;
	if (held)
		held->refs++;
	pthread_mutex_unlock(&held_lock);
	return held;
}

static void held_free(struct held *held)
{
	volume_close_fd(held->volume, held->fd);
	pthread_mutex_destroy(&held->lock);
	free(held);
}

static void held_put(struct held *held)
{
	unsigned int refs;

	pthread_mutex_lock(&held_lock);
	refs = --held->refs;
	pthread_mutex_unlock(&held_lock);
	if (!refs)
		held_free(held);
}

/* Its writes go through. Said once, or each of them would say it. */
static void held_cannot(const struct inode *inode, int err)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;

	if (!atomic_flag_test_and_set(&said))
		report("inode %lu: %s: writes to it are not held, and so with "
		       "each file that cannot be opened for reading and "
		       "writing", inode->ino, strerror(-err));
}

/* => A new one, in the table, with a reference for the caller, or NULL. */
static struct held *held_create(struct volume *volume, struct inode *inode)
{
	struct held *held = calloc(1, sizeof(*held)), *other, **chain;

	if (!held)
		return NULL;
	held->fd = volume_reopen(volume, inode, O_RDWR);
	if (held->fd < 0) {
		held_cannot(inode, held->fd);
		free(held);
		return NULL;
	}
	held->volume = volume;
	held->dev = inode->dev;
	held->ino = inode->ino;
	held->refs = 2;
	pthread_mutex_init(&held->lock, NULL);
	held_tree_init(&held->tree);
	pthread_mutex_lock(&held_lock);
	chain = held_chain(held->dev, held->ino);
	for (other = *chain; other; other = other->next) {
		if (other->ino != held->ino || other->dev != held->dev)
			continue;
		other->refs++;	/* another thread was quicker */
		pthread_mutex_unlock(&held_lock);
		held_free(held);
		return other;
	}
	held->next = *chain;
	*chain = held;
	if (!held_files++)
		gate_watch(GATE_HELD);
	pthread_mutex_unlock(&held_lock);
	return held;
}

/* The tree has changed from @bytes and @count: what is said about it does
 * too, and an empty file leaves the table. => held->lock is held. */
static void held_account(struct held *held, uint64_t bytes, uint64_t count)
{
	struct held **link;

	held->end = held_tree_end(&held->tree);
	held->bytes = held->tree.bytes;
	pthread_mutex_lock(&held_lock);
	held_bytes += held->tree.bytes - bytes;
	held_extents += held->tree.count - count;
	if (!held->tree.count && !held->dead) {
		for (link = held_chain(held->dev, held->ino); *link != held;)
			link = &(*link)->next;
		*link = held->next;
		held->dead = true;
		held->refs--;	/* the caller has one */
		if (!--held_files)
			gate_rest(GATE_HELD);
	}
	pthread_mutex_unlock(&held_lock);
}

/*
 * The file of @inode, locked; @make it if there is none. => NULL: none, or
 * no memory or descriptor for one.
 */
static struct held *held_enter(struct volume *volume, struct inode *inode,
			       bool make)
{
	struct held *held;

	for (;;) {
		held = held_find(inode->dev, inode->ino);
		if (!held && make)
			held = held_create(volume, inode);
		if (!held)
			return NULL;
		pthread_mutex_lock(&held->lock);
		if (!held->dead)
			return held;
		pthread_mutex_unlock(&held->lock);
		held_put(held);
	}
}

static void held_leave(struct held *held)
{
	/* One that was made and then got nothing, too. */
	held_account(held, held->tree.bytes, held->tree.count);
	pthread_mutex_unlock(&held->lock);
	held_put(held);
}

/* ---- to and from the real file ---- */

static int held_pwrite(int fd, const char *data, size_t length,
		       uint64_t offset)
{
	ssize_t moved;

	for (; length; data += moved, length -= moved, offset += moved) {
		moved = pwrite(fd, data, length, offset);
		if (moved < 0 && errno == EINTR)
			moved = 0;
		if (moved < 0)
			return -errno;
	}
	return 0;
}

/* => Bytes, fewer only at the end of the file, or -errno. */
static ssize_t held_pread(int fd, char *data, size_t length, uint64_t offset)
{
	size_t done = 0;
	ssize_t moved = 1;

	while (moved && done < length) {
		moved = pread(fd, data + done, length - done, offset + done);
		if (moved < 0 && errno == EINTR)
			continue;
		if (moved < 0)
			return -errno;
		done += moved;
	}
	return done;
}

static void held_count(uint64_t *counter, uint64_t bytes)
{
	pthread_mutex_lock(&held_lock);
	*counter += bytes;
	pthread_mutex_unlock(&held_lock);
}

/* Write one extent and let go of it. => 0 or -errno. */
static int held_write_out(struct held *held, struct held_extent *extent)
{
	uint64_t bytes = held->tree.bytes, count = held->tree.count;
	int err = held_pwrite(held->fd, held_extent_data(extent),
			      extent->length, extent->offset);

	if (err)
		return err;
	held_count(&held_written, extent->length);
	held_tree_remove(&held->tree, extent);
	held_account(held, bytes, count);
	return 0;
}

/* => 0 or -errno, and what could not be written is still held. */
static int held_flush(struct held *held)
{
	struct held_extent *extent;
	int err = 0;

	while (!err && (extent = held_tree_first(&held->tree, 0)))
		err = held_write_out(held, extent);
	return err;
}

/* Forget what is held of [@from, @to): the real file has what counts.
 * => 0 or -ENOMEM, nothing done. */
static int held_drop(struct held *held, uint64_t from, uint64_t to)
{
	uint64_t bytes = held->tree.bytes, count = held->tree.count;
	int err = held_tree_cut(&held->tree, from, to);

	held_account(held, bytes, count);
	return err;
}

/* => -errno */
static int64_t held_size(struct held *held)
{
	struct stat st;

	if (fstat(held->fd, &st))
		return -errno;
	return held->end > (uint64_t)st.st_size ? (int64_t)held->end :
						  st.st_size;
}

/* ---- requests ---- */

static void held_reply(struct slot *slot, int err)
{
	gate_reply(slot, -err, NULL, 0);
}

static void held_lay_over(struct held *held, char *to, uint64_t offset,
			  size_t length)
{
	struct held_extent *extent = held_tree_first(&held->tree, offset);
	uint64_t from, end;

	for (; extent && extent->offset < offset + length;
	     extent = held_tree_next(&held->tree, extent)) {
		from = extent->offset > offset ? extent->offset : offset;
		end = extent->offset + extent->length;
		if (end > offset + length)
			end = offset + length;
		memcpy(to + (from - offset), held_extent_data(extent) +
		       (from - extent->offset), end - from);
	}
}

static bool held_read(struct held *held, struct slot *slot)
{
	const struct fuse_read_in *in = (void *)(loop_message(slot) + 1);
	uint64_t offset = in->offset, end = held->end;
	size_t size = in->size;
	char *to = (char *)(in + 1);
	ssize_t length;

	if (size > SLOT_PAYLOAD) {
		held_reply(slot, -EINVAL);
		return true;
	}
	length = held_pread(held->fd, to, size, offset);
	if (length < 0) {
		held_reply(slot, length);
		return true;
	}
	if (end > offset + size)
		end = offset + size;
	if (end > offset + length) {
		memset(to + length, 0, end - offset - length);
		length = end - offset;
	}
	held_lay_over(held, to, offset, length);
	gate_reply(slot, 0, to, length);
	return true;
}

/* Too many for a window: write some, any of them. */
static int held_spill(struct held *held, uint64_t window, uint64_t random)
{
	int err = 0;

	while (!err && window && held->tree.count > window)
		err = held_write_out(held,
				     held_tree_pick(&held->tree,
						    rule_next_random(&random)));
	return err;
}

static int held_keep(struct held *held, const char *data, size_t length,
		     uint64_t offset)
{
	const struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW },
	};
	uint64_t bytes = held->tree.bytes, count = held->tree.count;
	int err = held_tree_put(&held->tree, data, length, offset);

	held_account(held, bytes, count);
	if (!err)
		futimens(held->fd, times);
	return err;
}

/* => Bytes of all files, with @length more, are too many. */
static bool held_is_full(size_t length)
{
	bool full;

	pthread_mutex_lock(&held_lock);
	full = held_bytes + length > HELD_MAX;
	pthread_mutex_unlock(&held_lock);
	return full;
}

static int held_write_at(struct held *held, const char *data, size_t length,
			 uint64_t offset, bool hold)
{
	int err;

	if (hold && !held_is_full(length) &&
	    !held_keep(held, data, length, offset))
		return 0;
	err = held_pwrite(held->fd, data, length, offset);
	return err ? err : held_drop(held, offset, offset + length);
}

struct held_how {
	bool hold;
	uint64_t window, random;
};

static bool held_write(struct held *held, struct slot *slot,
		       const struct held_how *how)
{
	const struct fuse_write_in *in = (void *)(loop_message(slot) + 1);
	struct file *file = (struct file *)(uintptr_t)in->fh;
	struct fuse_write_out out = { .size = in->size };
	int64_t offset = in->offset;
	bool placed = false;
	int err;

	if (append_asked(file, in)) {
		offset = held_size(held);
		placed = offset >= 0 && append_takes_place(file, in, offset);
		if (placed)
			offset = in->offset;
	}
	if (in->write_flags & FUSE_WRITE_KILL_SUIDGID)
		file_kill_setid(held->fd, loop_message(slot)->gid);
	file->written = true;
	err = offset < 0 ? (int)offset :
		file->no_grow && offset + in->size > held_size(held) ?
		-EFBIG :
		held_write_at(held, (const char *)(in + 1), in->size, offset,
			      how->hold && !(file->flags & O_DSYNC));
	if (!err)
		err = held_spill(held, how->window, how->random);
	/* The rule may be gone, and then nobody else flushes it. */
	if (!err && how->hold && !inject_holds())
		err = held_flush(held);
	if (placed)
		append_done(file);
	if (err)
		held_reply(slot, err);
	else
		gate_reply(slot, 0, &out, sizeof(out));
	return true;
}

/* The real file gets @size first; then nothing is held behind it. */
static bool held_truncate(struct held *held, uint64_t size)
{
	if (!ftruncate(held->fd, size))
		held_drop(held, size, UINT64_MAX);
	return false;	/* the handler does it again, and all else of it */
}

static bool held_fallocate(struct held *held, struct slot *slot,
			   const struct op_target *target)
{
	const struct file *file = (struct file *)(uintptr_t)target->fh;
	uint64_t end = target->offset + target->length;
	int64_t size;
	int err;

	/* Its handler looks at the real size of what is not to grow. */
	if (target->mode & (FALLOC_FL_COLLAPSE_RANGE |
			    FALLOC_FL_INSERT_RANGE) ||
	    (file->no_grow && !(target->mode & FALLOC_FL_KEEP_SIZE))) {
		err = held_flush(held);
		if (err)
			held_reply(slot, err);
		return err;
	}
	if (!(target->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)))
		return false;
	/* The size must not go with the extents. */
	size = held_size(held);
	err = size < 0 ? (int)size : 0;
	if (!err && (uint64_t)size == held->end && ftruncate(held->fd, size))
		err = -errno;
	if (!err && fallocate(held->fd, target->mode, target->offset,
			      target->length))
		err = -errno;
	if (!err)
		err = held_drop(held, target->offset, end);
	held_reply(slot, err);
	return true;
}

/* As a file system may that knows no holes: one, at the end. */
static bool held_lseek(struct held *held, struct slot *slot)
{
	const struct fuse_lseek_in *in = (void *)(loop_message(slot) + 1);
	struct fuse_lseek_out out;
	int64_t size = held_size(held);

	if (in->whence != SEEK_DATA && in->whence != SEEK_HOLE)
		return false;
	if (size < 0 || in->offset >= (uint64_t)size) {
		held_reply(slot, size < 0 ? (int)size : -ENXIO);
		return true;
	}
	out.offset = in->whence == SEEK_DATA ? in->offset : (uint64_t)size;
	gate_reply(slot, 0, &out, sizeof(out));
	return true;
}

static bool held_write_back(struct held *held, struct slot *slot)
{
	int err = held_flush(held);

	if (err)
		held_reply(slot, err);
	return err;
}

/* => true: answered. held->lock is held. */
static bool held_serve_one(struct held *held, struct slot *slot,
			   unsigned int opcode,
			   const struct op_target *target,
			   const struct held_how *how)
{
	const struct fuse_open_in *open = (void *)(loop_message(slot) + 1);

	switch (opcode) {
	case FUSE_READ:
		return held_read(held, slot);
	case FUSE_WRITE:
		return held_write(held, slot, how);
	case FUSE_FSYNC:
	case FUSE_COPY_FILE_RANGE:
		return held_write_back(held, slot);
	case FUSE_SETATTR:
		return target->ranged && held_truncate(held, target->offset);
	case FUSE_OPEN:
		return open->flags & O_TRUNC && held_truncate(held, 0);
	case FUSE_FALLOCATE:
		return held_fallocate(held, slot, target);
	case FUSE_LSEEK:
		return held_lseek(held, slot);
	default:
		return false;
	}
}

#define HELD_OPS (OP_DATA | OP_BIT(FUSE_FSYNC) | OP_BIT(FUSE_SETATTR) | \
		  OP_BIT(FUSE_OPEN) | OP_BIT(FUSE_FALLOCATE) | \
		  OP_BIT(FUSE_LSEEK) | OP_BIT(FUSE_COPY_FILE_RANGE))

static bool held_serve_file(struct slot *slot, unsigned int opcode,
			    fuse_ino_t ino, const struct op_target *target,
			    const struct held_how *how)
{
	struct volume *volume = gate_volume();
	bool answered = false;
	struct held *held;

	/* Its lock may be held by one who waits for SOURCE. */
	loop_slow_enter();
	held = held_enter(volume, volume_inode(volume, ino), how->hold);
	if (held) {
		answered = held_serve_one(held, slot, opcode, target, how);
		held_leave(held);
	}
	loop_slow_leave();
	return answered;
}

bool held_serve(struct slot *slot, unsigned int opcode,
		const struct op_target *target, bool hold, uint64_t window,
		uint64_t random)
{
	struct held_how how = { hold, window, random };
	fuse_ino_t ino = loop_message(slot)->nodeid;

	if (opcode >= OP_MAX || !(HELD_OPS & OP_BIT(opcode)))
		return false;
	if (held_serve_file(slot, opcode, ino, target, &how))
		return true;
	return opcode == FUSE_COPY_FILE_RANGE &&
	       held_serve_file(slot, opcode, target->other, target, &how);
}

uint64_t held_shown_size(dev_t dev, ino_t ino, mode_t mode, uint64_t size)
{
	struct held *held;

	if (!gate_watches(GATE_HELD) || !S_ISREG(mode))
		return size;
	held = held_find(dev, ino);
	if (!held)
		return size;
	if (held->end > size)
		size = held->end;
	held_put(held);
	return size;
}

uint64_t held_shown_blocks(dev_t dev, ino_t ino, mode_t mode, uint64_t blocks)
{
	struct held *held;
	uint64_t least;

	if (!gate_watches(GATE_HELD) || !S_ISREG(mode))
		return blocks;
	held = held_find(dev, ino);
	if (!held)
		return blocks;
	least = (held->bytes + 511) / 512;
	held_put(held);
	return blocks > least ? blocks : least;
}

/* ---- all files ---- */

/* One of the files, with a reference; each of them once with rising @chain,
 * for as long as those seen leave the table. */
static struct held *held_next(unsigned int *chain)
{
	struct held *held = NULL;

	pthread_mutex_lock(&held_lock);
	for (; *chain < HELD_CHAINS && !held; ++*chain)
		held = held_chains[*chain];
	if (held) {
		--*chain;
		held->refs++;
	}
	pthread_mutex_unlock(&held_lock);
	return held;
}

/* Take every file out, after @last has had a look at it, locked. */
static void held_empty(void (*last)(struct held *held, void *arg), void *arg)
{
	unsigned int chain = 0;
	struct held *held;

	while ((held = held_next(&chain))) {
		pthread_mutex_lock(&held->lock);
		last(held, arg);
		held_count(&held_dropped, held->tree.bytes);
		held_drop(held, 0, UINT64_MAX);
		held_leave(held);
	}
}

static void held_flush_last(struct held *held, void *arg)
{
	int err = held_flush(held);

	if (!err)
		return;
	*(int *)arg = err;
	report("held writes, inode %lu: %s: %lu bytes are lost", held->ino,
	       strerror(-err), held->tree.bytes);
}

int held_flush_all(void)
{
	int err = 0;

	held_empty(held_flush_last, &err);
	return err;
}

struct held_power {
	double keep;
	uint64_t random;
	uint64_t kept, bytes;
};

static bool held_survives(struct held_power *power)
{
	return (rule_next_random(&power->random) >> 11) * 0x1p-53 <
		power->keep;
}

/* Sectors as the disk has them: by their place in the file, and whole, also
 * where several extents meet in one. */
static void held_cut_last(struct held *held, void *arg)
{
	struct held_power *power = arg;
	struct held_extent *extent = held_tree_first(&held->tree, 0);
	uint64_t at, end, next, sector = UINT64_MAX;
	bool survives = false;

	power->bytes += held->tree.bytes;
	for (; extent; extent = held_tree_next(&held->tree, extent)) {
		end = extent->offset + extent->length;
		for (at = extent->offset; at < end; at = next) {
			next = (at | 511) + 1 < end ? (at | 511) + 1 : end;
			if (at / 512 != sector)
				survives = held_survives(power);
			sector = at / 512;
			if (!survives)
				continue;
			held_pwrite(held->fd, held_extent_data(extent) +
				    (at - extent->offset), next - at, at);
			power->kept += next - at;
		}
	}
}

void held_cut(double keep, uint64_t random)
{
	struct held_power power = { .keep = keep, .random = random };

	held_empty(held_cut_last, &power);
	report("power cut: of %lu bytes not synced, %lu reached the files",
	       power.bytes, power.kept);
}

/*
 * Has nobody a way to it any more? By the numbers that its inode has: those of
 * the file may have changed since (an overlay copies one of several links up).
 */
static bool held_is_gone(struct volume *volume, struct held *held)
{
	struct stat st;

	if (fstat(held->fd, &st) || st.st_nlink)
		return false;
	return !inode_is_known(&volume->inodes, held->dev, held->ino);
}

void held_forget(struct volume *volume)
{
	struct held *held, *next;
	unsigned int i;

	loop_slow_enter();
	for (i = 0; i < HELD_CHAINS; i++) {
		pthread_mutex_lock(&held_lock);
		held = held_chains[i];
		if (held)
			held->refs++;
		pthread_mutex_unlock(&held_lock);
		for (; held; held = next) {
			pthread_mutex_lock(&held->lock);
			if (!held->dead && held_is_gone(volume, held))
				held_drop(held, 0, UINT64_MAX);
			pthread_mutex_lock(&held_lock);
			next = held->dead ? NULL : held->next;
			if (next)
				next->refs++;
			pthread_mutex_unlock(&held_lock);
			held_leave(held);
		}
	}
	loop_slow_leave();
}

static void held_print_one(FILE *out, const char *name, const char *type,
			   const char *help, uint64_t value)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lu\n", name, help, name,
		type, name, value);
}

void held_print(FILE *out)
{
	pthread_mutex_lock(&held_lock);
	held_print_one(out, "pagerfs_held_files", "gauge",
		       "Files with held writes.", held_files);
	held_print_one(out, "pagerfs_held_extents", "gauge",
		       "Pieces of held writes.", held_extents);
	held_print_one(out, "pagerfs_held_bytes", "gauge",
		       "Bytes acknowledged and not written.", held_bytes);
	held_print_one(out, "pagerfs_held_written_bytes_total", "counter",
		       "Held bytes written after all.", held_written);
	held_print_one(out, "pagerfs_held_dropped_bytes_total", "counter",
		       "Held bytes that never were.", held_dropped);
	pthread_mutex_unlock(&held_lock);
}
