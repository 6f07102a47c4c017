/*
 * inode.c - the inode table: a hash of (dev, ino), grown by doubling.
 *
 * Invariants: every inode in a chain has nlookup > 0 and an open O_PATH
 * descriptor; no two have the same (dev, ino). The count of lookups changes
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

	while (inode && (inode->ino != ino || inode->dev != dev))
		inode = inode->next;
	return inode;
}

static void inode_fill(struct inode *inode, int fd, const struct stat *st)
{
	*inode = (struct inode){
		.nlookup = 1,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.type = st->st_mode & S_IFMT,
		.fd = fd,
	};
}

int inode_table_create(struct inode_table *table, int root_fd)
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
	inode_insert(table, &table->root);
	table->count = 1;
	return 0;
}

void inode_table_destroy(struct inode_table *table)
{
	struct inode *inode, *next;
	size_t i;

	for (i = 0; i < table->nchains; i++) {
		for (inode = table->chains[i]; inode; inode = next) {
			next = inode->next;
			close(inode->fd);
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

/* => The table's lock is held. */
static struct inode *inode_find_locked(struct inode_table *table,
				       const struct stat *st)
{
	struct inode *inode = inode_seek(table, st->st_dev, st->st_ino);

	if (inode)
		inode->nlookup++;
	return inode;
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
	inode = inode_find_locked(table, st);
	pthread_mutex_unlock(&table->lock);
	return inode;
}

struct inode *inode_add(struct inode_table *table, int fd,
			const struct stat *st)
{
	struct inode *new = malloc(sizeof(*new)), *inode;

	if (!new)
		return NULL;
	inode_fill(new, fd, st);
	pthread_mutex_lock(&table->lock);
	inode = inode_find_locked(table, st);
	if (!inode) {
		if (table->count >= table->nchains)
			inode_grow(table);
		inode_insert(table, new);
		table->count++;
		inode = new;
	}
	pthread_mutex_unlock(&table->lock);
	if (inode != new) {
		close(fd);
		free(new);
	}
	return inode;
}

/* => The table's lock is held; @inode is in the table. */
static void inode_remove(struct inode_table *table, struct inode *inode)
{
	struct inode **link = inode_chain(table, inode->dev, inode->ino);

	while (*link != inode)
		link = &(*link)->next;
	*link = inode->next;
	table->count--;
}

void inode_forget(struct inode_table *table, struct inode *inode,
		  uint64_t nlookup)
{
	uint64_t left;

	if (inode == &table->root)
		return;
	pthread_mutex_lock(&table->lock);
	assert(nlookup <= inode->nlookup);
	left = inode->nlookup -= nlookup;
	if (!left)
		inode_remove(table, inode);
	pthread_mutex_unlock(&table->lock);
	if (left)
		return;
	close(inode->fd);
	free(inode);
}
