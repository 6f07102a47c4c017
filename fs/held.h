/*
 * held.h - writes which were acknowledged and are not in the file yet.
 *
 * The volatile cache of a disk: what a rule says to hold is kept here by file
 * and offset, is seen by every read and in the file's size, and goes to the
 * real file with fsync, with a clean unmount, or when no rule wants it any
 * more. held_cut() is the power going off: it is gone, or part of it.
 *
 * A file with held writes is served here, one request at a time and without
 * the ring: slower, and right. Files without any are not touched. Names,
 * truncation and holes are not held, they are in the real file at once.
 */
#ifndef FS_HELD_H
#define FS_HELD_H

#include "fs/op.h"
#include "fs/volume.h"

#include <stdio.h>

struct slot;

/* Bytes of memory for all; beyond, writes go through. */
#define HELD_MAX	(256u << 20)

/*
 * A request on a file with held writes, or one that a rule says to hold
 * (@hold; @window: write some when there are more, picked by @random).
 * => true: it is answered. false: its handler goes on with it.
 */
bool held_serve(struct slot *slot, unsigned int opcode,
		const struct op_target *target, bool hold, uint64_t window,
		uint64_t random);

/* The answer to a request that held_serve() had its handler serve. */
void held_answer(bool failed);

/*
 * The size of a file and its blocks of 512 bytes, as its readers see them. (No
 * blocks at all would mean to tar(1) and others that there is no data in it.)
 * @shown comes with those of the real file, asked for after held_moment() had
 * said @moment; @dev and @ino are as an inode has them.
 * => false: meanwhile held writes of it have become real: do both again.
 */
struct held_shown {
	uint64_t size, blocks;
};

uint64_t held_moment(void);
bool held_show(uint64_t moment, dev_t dev, ino_t ino, mode_t mode,
	       struct held_shown *shown);

/*
 * Where of [@from, @to) bytes of @inode are held, the first of them. It may be
 * asked while a request on the file is answered. => false: there are none.
 */
bool held_room(struct volume *volume, struct inode *inode, uint64_t from,
	       uint64_t to, uint64_t *first, uint64_t *end);

/* The kernel has forgotten a file: if it has no name any more, it need not be
 * kept. */
void held_forget(struct volume *volume, dev_t dev, ino_t ino);

/* Write all. => 0, or -errno after having reported: what could not be written
 * is still held, and the fsync of its file says so, too. */
int held_flush_all(void);
/* Forget all. */
void held_drop_all(void);

/* The daemon ends. From the main thread: write all for the last time; what
 * cannot be is lost, which is reported. => false: so is what hangs, and threads
 * that try to write it. */
bool held_end(void);

/*
 * The power is off (GATE_CUT), and the daemon has been told to end: write each
 * sector with probability @keep, by @random, and drop all. The main thread
 * waits for that instead of held_end(). => false: threads hang.
 */
void held_cut(double keep, uint64_t random);
bool held_cut_wait(void);

/* Metrics. */
void held_print(FILE *out);

#endif
