/*
 * transfer.h - how one store_io becomes system calls, step by step.
 *
 * No I/O here: transfer_start(), then as long as it goes on, do what .step
 * says with the piece that transfer_piece() describes and give the result to
 * transfer_result(). So each rule about short transfers, ends of files and
 * alignment can be tested without a kernel.
 *
 * Locks: none; the caller serialises the calls on one transfer.
 */
#ifndef SWAP_TRANSFER_H
#define SWAP_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "pager/store.h"
#include "swap/aio.h"

enum transfer_step {
	TRANSFER_SIZE,		/* ask for the size of the file */
	TRANSFER_MOVE,		/* read or write a piece */
	TRANSFER_SYNC,		/* fsync */
};

struct transfer {
	struct store_io *io;
	struct aio_file *file;
	uint8_t *ram;		/* host address of frame 0 */
	enum transfer_step step;
	uint32_t want;		/* bytes to move */
	uint32_t moved;		/* of them, so far */
	uint32_t asked;		/* size of the piece under way */
	bool tail;		/* the piece goes by file->tail_fd */
	unsigned tries;		/* in a row without getting on */
};

/* The next bytes to move, described in the caller's iovecs. */
struct piece {
	uint64_t offset;	/* in the file */
	unsigned niov;
};

/* => io->done and the rest of the pager's part are set. */
void transfer_start(struct transfer *t, struct store_io *io,
		    struct aio_file *file, void *ram);

/* => t->step is TRANSFER_MOVE. @iov has room for STORE_MAX_PAGES. Frames that
 * adjoin share one. */
void transfer_piece(struct transfer *t, struct iovec *iov,
		    struct piece *piece);

/*
 * @res is what the call gave: bytes moved or -errno; @size: the file's, for
 * TRANSFER_SIZE. => true: the io is finished, its error and npast are set;
 * false: go on with t->step.
 */
bool transfer_result(struct transfer *t, int res, uint64_t size);

#endif
