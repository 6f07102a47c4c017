/*
 * inode.h - the inodes which the kernel knows, by number and by identity.
 *
 * The kernel names an inode by the address of its struct inode. An inode is
 * known for as long as the kernel holds lookups on it, and a hard link found
 * under a second name is the same inode.
 *
 * An inode is pinned by an O_PATH descriptor: then (dev, ino) cannot come to
 * mean another file meanwhile. When there are as many descriptors as there
 * may be (@room), further inodes are kept by their file handle, and opened
 * for each use. The handle then tells whether a file with the same (dev, ino)
 * is still the same; one that is not is stale, and is not found any more: its
 * (dev, ino) means another file by then.
 *
 *  - Each reply that gives the kernel an entry adds one lookup:
 *    inode_find() for a pinned one, inode_find_by() for one with its handle,
 *    inode_add() for any.
 *  - inode_forget() takes lookups back; at zero the inode is gone.
 *  - The root is there from inode_table_create() on and is never forgotten.
 */
#ifndef FS_INODE_H
#define FS_INODE_H

#include "fs/handle.h"
#include "fs/keep.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct inode {
	struct inode *next;	/* in its hash chain; under the table's lock */
	uint64_t nlookup;	/* under the table's lock */
	dev_t dev;
	ino_t ino;
	uint32_t generation;	/* for none before at this address; 0: root */
	mode_t type;		/* the S_IFMT bits: they never change */
	atomic_bool stale;	/* not found; set under the table's lock */
	atomic_bool linked;	/* it had another number of names than one */
	atomic_bool crossed;	/* a name in it was of another file system */
	atomic_int fd;		/* O_PATH; -1: not pinned. Set once; only the
				 * name it was opened by may change */
	struct handle *handle;	/* without which @fd stays what it is */
	struct keep keep;	/* fs/keep.c */
	atomic_uint past_cache;	/* the same: who writes past it */
	atomic_uint may_store;	/* who can map it to write: range_lseek() */
};

struct inode_table {
	pthread_mutex_t lock;
	struct inode **chains;	/* a power of two of them */
	size_t nchains;
	size_t count;		/* inodes, the root too */
	size_t room;		/* descriptors they may have together */
	atomic_size_t pinned;	/* descriptors they have, or are to get */
	atomic_size_t unpinned;	/* inodes that have none */
	struct inode root;
};

/* Takes over @root_fd. => 0 or -errno; on error @root_fd is still open. */
int inode_table_create(struct inode_table *table, int root_fd, size_t room);
/* Forgets everything, whatever the kernel still holds. */
void inode_table_destroy(struct inode_table *table);

/* Inodes known now, the root too. */
size_t inode_table_count(struct inode_table *table);

/*
 * Must inode_add() be given handles? Without one it can neither do without a
 * descriptor nor recognize an inode that has none.
 */
bool inode_table_wants_handles(struct inode_table *table);
/* Are there as many descriptors as there may be? */
bool inode_table_is_full(struct inode_table *table);

/*
 * The file of @st with one lookup more, or NULL when there is no such inode
 * or it is not pinned; then inode_is_unsure() says that a handle would help.
 */
struct inode *inode_find(struct inode_table *table, const struct stat *st);
bool inode_is_unsure(struct inode_table *table, const struct stat *st);
/* The same for one which may not be pinned, if it has this @handle. */
struct inode *inode_find_by(struct inode_table *table, const struct stat *st,
			    const struct handle *handle);

/* Does the kernel know the file (@dev, @ino), which is not gone? */
bool inode_is_known(struct inode_table *table, dev_t dev, ino_t ino);

/*
 * As inode_find(), and when it is not known make it from @fd, an O_PATH
 * descriptor of it, and @handle, which may be NULL; @reopens: the handle can
 * stand for the descriptor, and @fd may be -1. => The inode, having taken over both (closed and
 * freed if they are not needed). NULL, both being left as they are: errno is
 * ENOMEM, ENFILE (no room, and no way round a descriptor), or EAGAIN: come
 * again with a handle.
 */
struct inode *inode_add(struct inode_table *table, int fd,
			const struct stat *st, struct handle *handle,
			bool reopens);

/*
 * A file is about to be made, and is not to be there if it cannot become
 * known: set a descriptor's room aside for the next inode that inode_add()
 * makes in this thread. => Is there any? What was not needed goes back by
 * inode_unreserve().
 */
bool inode_reserve(struct inode_table *table);
void inode_unreserve(struct inode_table *table);

/*
 * The file has lost its last name and can no longer be opened by handle: if
 * it is an inode that is not pinned, pin it, whether there is room or not.
 * => Having taken over @fd; not @handle.
 */
void inode_pin(struct inode_table *table, int fd, const struct stat *st,
	       const struct handle *handle);

/* The kernel gives back @nlookup lookups, of no more than there are. => Is
 * @inode gone? */
bool inode_forget(struct inode_table *table, struct inode *inode,
		  uint64_t nlookup);

#endif
