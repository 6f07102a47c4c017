/*
 * keep.h - may the kernel keep what it has cached of a file being opened?
 *
 * The kernel drops a file's pages each time it is opened unless the answer
 * says FOPEN_KEEP_CACHE. It is said only if nobody can have changed the file
 * since the pages were dropped last, whoever did it and how; when in doubt it
 * is not. The one change that goes unseen: a file in memory (tmpfs, ramfs)
 * that is mapped in SOURCE, stored to and unmapped between two opens. With -o
 * kernel_cache the user answers for what others change.
 */
#ifndef FS_KEEP_H
#define FS_KEEP_H

#include <stdbool.h>
#include <stdint.h>

struct file;
struct inode;
struct volume;

/* Of an inode: how the file was at an open which dropped its pages. */
struct keep {
	int64_t size, mtime, ctime;	/* nanoseconds */
	unsigned int disturbed;	/* gate_disturbed() */
	unsigned int round;	/* counts; 0: there was none */
	bool settled;		/* that open is over */
};

/*
 * @file of @inode was just opened for a client, through the page cache.
 * => The answer. If the kernel must drop its pages, @file->keep_round may be
 * set, for keep_settle() when that is done: as soon as the client does
 * anything else with the file.
 */
bool keep_open(struct volume *volume, struct inode *inode, struct file *file);
void keep_settle(struct inode *inode, unsigned int round);
/* A client who may write to @inode past the page cache comes, or goes. */
void keep_past_cache(struct inode *inode, bool comes);

#endif
