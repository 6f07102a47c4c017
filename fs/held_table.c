/*
 * held_table.c - the files that have held writes.
 *
 * A file is in the table as long as it has extents; its own descriptor pins
 * it, so (dev, ino) cannot come to mean another. (Of an inode without one it
 * can, which is stale before the other file gets here.) A file that left the
 * table while somebody waited for its lock is @dead.
 *
 * Locks: held->lock, then held_lock, which guards the table, the references
 * and the sums, for a few dozen instructions, or the rules' lock.
 *
 * Who wants to know a file's size asks without held->lock, which may be held
 * for long: for the real size, and then for the end of what is held. What is
 * shown of a file therefore does not shrink while extents are written, which
 * only makes the real file what was shown; and that the file leaves the table
 * between the two is noticed by held_left_at. (Of others it must not be: who
 * asks a slow SOURCE while they come and go would ask for ever.)
 */
#include "fs/held_int.h"
#include "fs/gate.h"
#include "fs/loop.h"
#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELD_CHAINS	1024

static pthread_mutex_t held_lock = PTHREAD_MUTEX_INITIALIZER;
static struct held *held_chains[HELD_CHAINS];
/* Changed under held_lock: */
static _Atomic uint64_t held_files;
static _Atomic uint64_t held_left;	/* files that left the table, and of */
static _Atomic uint64_t held_left_at[HELD_CHAINS]; /* each chain the last one */
static struct held_sums held_all;
static uint64_t held_written, held_dropped;	/* bytes */
static _Atomic uint64_t held_moved;	/* under no lock */

static unsigned int held_hash(dev_t dev, ino_t ino)
{
	uint64_t h = (dev * 31 + ino) * 0x9e3779b97f4a7c15u;

	return h >> 32 & (HELD_CHAINS - 1);
}

static struct held **held_chain(dev_t dev, ino_t ino)
{
	return &held_chains[held_hash(dev, ino)];
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
	static uint64_t serial;

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
	/* Recursive: answers are given under it, and ask held_room(). */
	held->lock = (pthread_mutex_t)PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
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
	held->serial = ++serial;
	held->next = *chain;
	*chain = held;
	if (!held_files++)
		gate_watch(GATE_HELD);
	pthread_mutex_unlock(&held_lock);
	return held;
}

void held_account(struct held *held)
{
	const struct held_sums now = {
		held->tree.count, held->tree.bytes, held->tree.memory,
	};
	uint64_t end = held_tree_end(&held->tree);
	struct held **link;

	if (end > held->shown_end)
		held->shown_end = end;
	if (held->tree.bytes > held->shown_bytes)
		held->shown_bytes = held->tree.bytes;
	pthread_mutex_lock(&held_lock);
	held_all.extents += now.extents - held->counted.extents;
	held_all.bytes += now.bytes - held->counted.bytes;
	held_all.memory += now.memory - held->counted.memory;
	held->counted = now;
	if (!held->tree.count && !held->dead) {
		/* Before anybody can miss it. */
		held_left_at[held_hash(held->dev, held->ino)] = ++held_left;
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

struct held *held_enter(struct volume *volume, struct inode *inode, bool make)
{
	struct held *held;

	for (;;) {
		held = held_find(inode->dev, inode->ino);
		/* Then that is another file, of the same number. */
		if (atomic_load(&inode->stale)) {
			if (held)
				held_put(held);
			return NULL;
		}
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

void held_leave(struct held *held)
{
	/* One that was made and then got nothing, too. */
	held_account(held);
	pthread_mutex_unlock(&held->lock);
	held_put(held);
}

int held_drop(struct held *held, uint64_t from, uint64_t to)
{
	int err = held_tree_cut(&held->tree, from, to);

	held_account(held);
	return err;
}

int64_t held_size(struct held *held)
{
	uint64_t end = held_tree_end(&held->tree);
	struct stat st;

	if (fstat(held->fd, &st))
		return -errno;
	return end > (uint64_t)st.st_size ? (int64_t)end : st.st_size;
}

bool held_is_full(size_t length)
{
	bool full;

	pthread_mutex_lock(&held_lock);
	full = held_all.memory + sizeof(struct held_extent) + length >
		HELD_MAX;
	pthread_mutex_unlock(&held_lock);
	return full;
}

void held_count(uint64_t written, uint64_t dropped)
{
	pthread_mutex_lock(&held_lock);
	held_written += written;
	held_dropped += dropped;
	pthread_mutex_unlock(&held_lock);
}

void held_move(size_t length)
{
	atomic_fetch_add(&held_moved, length);
}

void held_sum(uint64_t *moved, uint64_t *left)
{
	pthread_mutex_lock(&held_lock);
	*moved = held_moved + held_dropped;
	*left = held_all.bytes;
	pthread_mutex_unlock(&held_lock);
}

/* => With a reference. */
static struct held *held_next_any(struct held_walk *walk)
{
	struct held *held = NULL;

	pthread_mutex_lock(&held_lock);
	for (; walk->chain < HELD_CHAINS; walk->chain++) {
		held = held_chains[walk->chain];
		while (held && held->serial >= walk->before)
			held = held->next;
		if (held)
			break;
		walk->before = UINT64_MAX;
	}
	if (held) {
		walk->before = held->serial;
		held->refs++;
	}
	pthread_mutex_unlock(&held_lock);
	return held;
}

struct held *held_next(struct held_walk *walk)
{
	struct held *held;

	while ((held = held_next_any(walk))) {
		pthread_mutex_lock(&held->lock);
		if (!held->dead)
			return held;
		pthread_mutex_unlock(&held->lock);
		held_put(held);
	}
	return NULL;
}

/* ---- what others see ---- */

uint64_t held_moment(void)
{
	return held_left;
}

bool held_show(uint64_t moment, dev_t dev, ino_t ino, mode_t mode,
	       struct held_shown *shown)
{
	uint64_t size = 0, blocks = 0;
	struct held *held;

	if (!S_ISREG(mode))
		return true;
	held = held_files ? held_find(dev, ino) : NULL;
	if (held) {
		size = held->shown_end;
		blocks = (held->shown_bytes + 511) / 512;
		held_put(held);
	}
	if (held_left_at[held_hash(dev, ino)] > moment)
		return false;
	if (shown->size < size)
		shown->size = size;
	if (shown->blocks < blocks)
		shown->blocks = blocks;
	return true;
}

bool held_room(struct volume *volume, struct inode *inode, uint64_t from,
	       uint64_t to, uint64_t *first, uint64_t *end)
{
	struct held *held = held_files ? held_enter(volume, inode, false) :
					 NULL;
	struct held_extent *extent;

	if (!held)
		return false;
	extent = held_tree_first(&held->tree, from);
	if (extent && extent->offset < to) {
		*first = extent->offset;
		*end = extent->offset + extent->length;
	} else {
		extent = NULL;
	}
	held_leave(held);
	return extent;
}

/* The file has been truncated: the most there was does not count any more. */
void held_shorten(struct held *held, uint64_t size)
{
	if (held->shown_end > size)
		held->shown_end = size;
	if (held->shown_bytes > size)
		held->shown_bytes = size;
}

/* ---- forgotten ---- */

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

void held_forget(struct volume *volume, dev_t dev, ino_t ino)
{
	struct held *held = held_files ? held_find(dev, ino) : NULL;

	if (!held)
		return;
	loop_slow_enter();
	pthread_mutex_lock(&held->lock);
	if (held_is_gone(volume, held))
		held_drop(held, 0, UINT64_MAX);
	held_leave(held);
	loop_slow_leave();
}

/* ---- metrics ---- */

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
		       "Pieces of held writes.", held_all.extents);
	held_print_one(out, "pagerfs_held_bytes", "gauge",
		       "Bytes acknowledged and not written.", held_all.bytes);
	held_print_one(out, "pagerfs_held_memory_bytes", "gauge",
		       "Memory that these take.", held_all.memory);
	held_print_one(out, "pagerfs_held_written_bytes_total", "counter",
		       "Held bytes written after all.", held_written);
	held_print_one(out, "pagerfs_held_dropped_bytes_total", "counter",
		       "Held bytes that never were.", held_dropped);
	pthread_mutex_unlock(&held_lock);
}
