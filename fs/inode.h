/*
 * inode.h - the inodes which the kernel knows, by number and by identity.
 *
 * The kernel names an inode by the address of its struct inode. An inode is
 * in the table for as long as the kernel holds lookups on it; its O_PATH
 * descriptor pins the file below, so (dev, ino) cannot come to mean another
 * file meanwhile, and a hard link found under a second name is the same
 * inode.
 *
 *  - Each reply that gives the kernel an entry adds one lookup:
 *    inode_find() for one already known, inode_add() for any.
 *  - inode_forget() takes lookups back; at zero the inode is gone.
 *  - The root is there from inode_table_create() on and is never forgotten.
 */
#ifndef FS_INODE_H
#define FS_INODE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct inode {
	struct inode *next;	/* in its hash chain; under the table's lock */
	uint64_t nlookup;	/* under the table's lock */
	dev_t dev;
	ino_t ino;
	mode_t type;		/* the S_IFMT bits: they never change */
	int fd;			/* O_PATH, open as long as the inode lives */
};

struct inode_table {
	pthread_mutex_t lock;
	struct inode **chains;	/* a power of two of them */
	size_t nchains;
	size_t count;		/* inodes, the root too */
	struct inode root;
};

/* Takes over @root_fd. => 0 or -errno; on error @root_fd is still open. */
int inode_table_create(struct inode_table *table, int root_fd);
/* Forgets everything, whatever the kernel still holds. */
void inode_table_destroy(struct inode_table *table);

/* Inodes known now, the root too. */
size_t inode_table_count(struct inode_table *table);

/* The file of @st with one lookup more, or NULL when it is not known yet. */
struct inode *inode_find(struct inode_table *table, const struct stat *st);

/*
 * As inode_find(), and when it is not known make it from @fd, an O_PATH
 * descriptor of it. => The inode, having taken over @fd (closed if it was
 * known after all); NULL: no memory, @fd is still open.
 */
struct inode *inode_add(struct inode_table *table, int fd,
			const struct stat *st);

/* The kernel gives back @nlookup lookups. => @nlookup <= inode->nlookup. */
void inode_forget(struct inode_table *table, struct inode *inode,
		  uint64_t nlookup);

#endif
