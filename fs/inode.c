/*
 * inode.c - the inode table: a hash of (dev, ino), grown by doubling.
 *
 * Invariants: every inode in a chain has nlookup > 0 and an open O_PATH
 * descriptor or a handle to open it by; no two have the same (dev, ino). A
 * descriptor once set stays until the inode goes, so it is read without the
 * lock by whoever has a lookup. The count of lookups changes
 * only under the table's lock, so that a lookup which finds an inode and a
 * forget which drops its last count cannot miss each other. One lock, held
 * for a few dozen instructions; descriptors are closed outside it.
 */
#include "fs/inode.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define INODE_CHAINS_FIRST	1024

static size_t inode_hash(dev_t dev, ino_t ino)
{
	uint64_t h = (uint64_t)ino * 0x9e3779b97f4a7c15u;

	h ^= (uint64_t)dev * 0xc2b2ae3d27d4eb4fu;
	return h ^ h >> 32;
}

static struct inode **inode_chain(struct inode_table *table, dev_t dev,
				  ino_t ino)
{
	return &table->chains[inode_hash(dev, ino) & (table->nchains - 1)];
}

static void inode_insert(struct inode_table *table, struct inode *inode)
{
	struct inode **chain = inode_chain(table, inode->dev, inode->ino);

	inode->next = *chain;
	*chain = inode;
}

static struct inode *inode_seek(struct inode_table *table, dev_t dev,
				ino_t ino)
{
	struct inode *inode = *inode_chain(table, dev, ino);

	while (inode && (inode->ino != ino || inode->dev != dev ||
			 inode->stale))
		inode = inode->next;
	return inode;
}

/*
 * The address of one that is gone may be the next one's. Together with this
 * number it is not: file handles of the mount are made of both.
 */
static uint32_t inode_generation(void)
{
	static atomic_uint last;
	uint32_t generation = atomic_fetch_add(&last, 1) + 1;

	return generation ? generation : 1;
}

static void inode_fill(struct inode *inode, int fd, const struct stat *st)
{
	*inode = (struct inode){
		.nlookup = 1,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.generation = inode_generation(),
		.type = st->st_mode & S_IFMT,
		.fd = fd,
	};
}

int inode_table_create(struct inode_table *table, int root_fd, size_t room)
{
	struct stat st;

	if (fstat(root_fd, &st))
		return -errno;
	table->nchains = INODE_CHAINS_FIRST;
	table->chains = calloc(table->nchains, sizeof(*table->chains));
	if (!table->chains)
		return -ENOMEM;
	pthread_mutex_init(&table->lock, NULL);
	inode_fill(&table->root, root_fd, &st);
	table->root.generation = 0;
	inode_insert(table, &table->root);
	table->count = 1;
	table->room = room;
	table->pinned = 1;
	table->unpinned = 0;
	return 0;
}

void inode_table_destroy(struct inode_table *table)
{
	struct inode *inode, *next;
	size_t i;

	for (i = 0; i < table->nchains; i++) {
		for (inode = table->chains[i]; inode; inode = next) {
			next = inode->next;
			if (inode->fd >= 0)
				close(inode->fd);
			free(inode->handle);
			if (inode != &table->root)
				free(inode);
		}
	}
	free(table->chains);
	pthread_mutex_destroy(&table->lock);
}

/*
 * Keep the chains short. Without memory they just get longer.
 * => The table's lock is held.
 */
static void inode_grow(struct inode_table *table)
{
	struct inode **old = table->chains, *inode, *next;
	size_t i, nold = table->nchains;
	struct inode **chains;

	chains = calloc(nold * 2, sizeof(*chains));
	if (!chains)
		return;
	table->chains = chains;
	table->nchains = nold * 2;
	for (i = 0; i < nold; i++) {
		for (inode = old[i]; inode; inode = next) {
			next = inode->next;
			inode_insert(table, inode);
		}
	}
	free(old);
}

bool inode_table_is_full(struct inode_table *table)
{
	return atomic_load(&table->pinned) >= table->room;
}

bool inode_table_wants_handles(struct inode_table *table)
{
	return atomic_load(&table->unpinned) || inode_table_is_full(table);
}

/* => The table's lock is held; @inode is in the table. */
static void inode_unhash(struct inode_table *table, struct inode *inode)
{
	struct inode **link = inode_chain(table, inode->dev, inode->ino);

	while (*link != inode)
		link = &(*link)->next;
	*link = inode->next;
}

/* Give @inode the descriptor. => The table's lock is held. */
static void inode_set_fd(struct inode_table *table, struct inode *inode,
			 int fd)
{
	inode->fd = fd;
	table->pinned++;
	table->unpinned--;
}

size_t inode_table_count(struct inode_table *table)
{
	size_t count;

	pthread_mutex_lock(&table->lock);
	count = table->count;
	pthread_mutex_unlock(&table->lock);
	return count;
}

struct inode *inode_find(struct inode_table *table, const struct stat *st)
{
	struct inode *inode;

	pthread_mutex_lock(&table->lock);
	inode = inode_seek(table, st->st_dev, st->st_ino);
	if (inode && inode->fd < 0)
		inode = NULL;
	if (inode)
		inode->nlookup++;
	pthread_mutex_unlock(&table->lock);
	return inode;
}

bool inode_is_known(struct inode_table *table, dev_t dev, ino_t ino)
{
	bool known;

	pthread_mutex_lock(&table->lock);
	known = inode_seek(table, dev, ino);
	pthread_mutex_unlock(&table->lock);
	return known;
}

static bool inode_is_by(const struct inode *inode, const struct handle *handle)
{
	return inode->fd >= 0 || handle_equal(inode->handle, handle);
}

struct inode *inode_find_by(struct inode_table *table, const struct stat *st,
			    const struct handle *handle)
{
	struct inode *inode;

	pthread_mutex_lock(&table->lock);
	inode = inode_seek(table, st->st_dev, st->st_ino);
	if (inode && !inode_is_by(inode, handle))
		inode = NULL;
	if (inode)
		inode->nlookup++;
	pthread_mutex_unlock(&table->lock);
	return inode;
}

/*
 * The inode which the file with @handle is, with one lookup more. One of the
 * same number which it is not is put aside. => The table's lock is held.
 */
static struct inode *inode_recognize(struct inode_table *table,
				     const struct stat *st,
				     const struct handle *handle)
{
	struct inode *inode = inode_seek(table, st->st_dev, st->st_ino);

	if (inode && !inode_is_by(inode, handle)) {
		inode->stale = true;
		inode = NULL;
	}
	if (inode)
		inode->nlookup++;
	return inode;
}

/*
 * Is there one that only a handle can tell from another file? => The table's
 * lock is held.
 */
static bool inode_unsure(struct inode_table *table, const struct stat *st)
{
	struct inode *inode = inode_seek(table, st->st_dev, st->st_ino);

	return inode && inode->fd < 0;
}

bool inode_is_unsure(struct inode_table *table, const struct stat *st)
{
	bool unsure;

	if (!atomic_load(&table->unpinned))
		return false;
	pthread_mutex_lock(&table->lock);
	unsure = inode_unsure(table, st);
	pthread_mutex_unlock(&table->lock);
	return unsure;
}

/* By this thread: one descriptor's room, counted in @pinned. */
static __thread bool inode_reserved;

/* => The table's lock is held. */
static void inode_give_back(struct inode_table *table)
{
	if (inode_reserved)
		table->pinned--;
	inode_reserved = false;
}

bool inode_reserve(struct inode_table *table)
{
	assert(!inode_reserved);
	pthread_mutex_lock(&table->lock);
	inode_reserved = table->pinned < table->room;
	if (inode_reserved)
		table->pinned++;
	pthread_mutex_unlock(&table->lock);
	return inode_reserved;
}

void inode_unreserve(struct inode_table *table)
{
	if (!inode_reserved)
		return;
	pthread_mutex_lock(&table->lock);
	inode_give_back(table);
	pthread_mutex_unlock(&table->lock);
}

/*
 * Put @new in, with its descriptor while there is room for it, and else
 * without. => Without the descriptor *@fd is left to be closed.
 */
static struct inode *inode_enter(struct inode_table *table, struct inode *new,
				 int *fd)
{
	inode_give_back(table);
	if (*fd >= 0 && table->pinned < table->room) {
		table->pinned++;
		*fd = -1;
	} else if (new->handle) {
		table->unpinned++;
		new->fd = -1;
	} else {
		errno = ENFILE;
		return NULL;
	}
	if (table->count >= table->nchains)
		inode_grow(table);
	inode_insert(table, new);
	table->count++;
	return new;
}

/* => As inode_add(); the table's lock is held; *@fd: to be closed, or -1. */
static struct inode *inode_add_locked(struct inode_table *table,
				      struct inode *new, const struct stat *st,
				      const struct handle *handle, int *fd)
{
	struct inode *inode;

	if (!handle && inode_unsure(table, st)) {
		errno = EAGAIN;
		return NULL;
	}
	inode = inode_recognize(table, st, handle);
	if (!inode)
		return inode_enter(table, new, fd);
	if (inode->fd < 0 && *fd >= 0 && table->pinned < table->room) {
		inode_set_fd(table, inode, *fd);
		*fd = -1;
	}
	return inode;
}

struct inode *inode_add(struct inode_table *table, int fd,
			const struct stat *st, struct handle *handle,
			bool reopens)
{
	struct inode *new = malloc(sizeof(*new)), *inode;

	if (!new)
		return NULL;
	inode_fill(new, fd, st);
	new->handle = reopens ? handle : NULL;
	pthread_mutex_lock(&table->lock);
	inode = inode_add_locked(table, new, st, handle, &fd);
	pthread_mutex_unlock(&table->lock);
	if (inode != new)
		free(new);
	if (!inode)
		return NULL;
	if (fd >= 0)
		close(fd);
	if (inode->handle != handle)
		free(handle);
	return inode;
}

void inode_pin(struct inode_table *table, int fd, const struct stat *st,
	       const struct handle *handle)
{
	struct inode *inode;

	pthread_mutex_lock(&table->lock);
	inode = inode_seek(table, st->st_dev, st->st_ino);
	if (inode && inode->fd < 0 && handle_equal(inode->handle, handle)) {
		inode_set_fd(table, inode, fd);
		fd = -1;
	}
	pthread_mutex_unlock(&table->lock);
	if (fd >= 0)
		close(fd);
}

/* => The table's lock is held; @inode is known. */
static void inode_remove(struct inode_table *table, struct inode *inode)
{
	inode_unhash(table, inode);
	if (inode->fd >= 0)
		table->pinned--;
	else
		table->unpinned--;
	table->count--;
}

bool inode_forget(struct inode_table *table, struct inode *inode,
		  uint64_t nlookup)
{
	uint64_t left;

	if (inode == &table->root)
		return false;
	pthread_mutex_lock(&table->lock);
	assert(nlookup <= inode->nlookup);
	left = inode->nlookup -= nlookup;
	if (!left)
		inode_remove(table, inode);
	pthread_mutex_unlock(&table->lock);
	if (left)
		return false;
	if (inode->fd >= 0)
		close(inode->fd);
	free(inode->handle);
	free(inode);
	return true;
}
