/*
 * fault.c - carrying out a verdict.
 *
 * A short or torn transfer is a smaller request: the handler serves it as any
 * other, and of a torn one the answer becomes the error. Bits are flipped in
 * the data of a write before it is served, and in that of a read on the way
 * of its answer. What is lost is answered and never served.
 *
 * A short answer makes sense only to who can ask again. Pages of the kernel's
 * cache cannot: it takes a short read for the end of the file and a short
 * write of a page for a whole one. So "short" is not asked about the cache's
 * own requests (fs/inject.c), nor about reads of files not opened with
 * O_DIRECT.
 */
#include "fs/fault.h"
#include "fs/gate.h"
#include "fs/held.h"
#include "fs/loop.h"
#include "fs/op.h"
#include "fs/report.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A power cut that nobody can clean up after. */
static void fault_kill(void)
{
	kill(getpid(), SIGKILL);
	pause();
}

void fault_cut(double keep, uint64_t random)
{
	gate_watch(GATE_CUT);
	kill(getpid(), SIGTERM);
	loop_slow_enter();
	held_cut(keep, random);
	loop_slow_leave();
}

static void *fault_body(struct slot *slot)
{
	return loop_message(slot) + 1;
}

/* Make the transfer @size bytes. */
static void fault_shrink(struct slot *slot, uint32_t size)
{
	struct fuse_read_in *read = fault_body(slot);
	struct fuse_write_in *write = fault_body(slot);

	if (loop_message(slot)->opcode == FUSE_READ) {
		read->size = size;
	} else {
		slot->received -= write->size - size;
		write->size = size;
	}
	request_set(slot->request.length, size);
}

/*
 * Each bit once, all choices alike (Floyd): the next one of the first @last + 1
 * or, if that was taken before, the last of these, which cannot have been.
 * Without memory for @taken a bit may be chosen, and so put right, again.
 */
static void fault_flip(char *data, size_t length, struct verdict *verdict)
{
	uint64_t bits = length * 8, last, bit;
	char *taken = verdict->flips > 1 ? calloc(1, length) : NULL;

	last = verdict->flips < bits ? bits - verdict->flips : 0;
	for (; last < bits; last++) {
		bit = (unsigned __int128)rule_next_random(&verdict->random) *
			(last + 1) >> 64;
		if (taken && taken[bit / 8] & 1 << bit % 8)
			bit = last;
		if (taken)
			taken[bit / 8] |= 1 << bit % 8;
		data[bit / 8] ^= 1 << bit % 8;
	}
	verdict->flips = 0;
	free(taken);
}

static void fault_flip_write(struct slot *slot)
{
	const struct fuse_write_in *write = fault_body(slot);

	if (loop_message(slot)->opcode == FUSE_WRITE)
		fault_flip((char *)(write + 1), write->size,
			   &slot->request.verdict);
}

/* Acknowledge what is never done. */
static void fault_lose(struct slot *slot)
{
	const struct fuse_write_in *write = fault_body(slot);
	struct fuse_write_out out = { .size = write->size };

	if (loop_message(slot)->opcode == FUSE_WRITE)
		gate_reply(slot, 0, &out, sizeof(out));
	else
		gate_reply(slot, 0, NULL, 0);
}

/* => true: some of it arrives, the rest of the verdict is for the answer */
static bool fault_tear(struct slot *slot)
{
	struct verdict *verdict = &slot->request.verdict;

	if (verdict->amount) {
		fault_shrink(slot, verdict->amount);
		verdict->hold = false;	/* it is to reach the file */
		return true;
	}
	if (!verdict->err)
		fault_kill();
	gate_reply(slot, verdict->err, NULL, 0);
	return false;
}

bool fault_act(struct slot *slot)
{
	const struct verdict *verdict = &slot->request.verdict;

	if (verdict->flips)
		fault_flip_write(slot);
	switch (verdict->fault) {
	case RULE_ERROR:
		gate_reply(slot, verdict->err, NULL, 0);
		return false;
	case RULE_SHORT:
		fault_shrink(slot, verdict->amount);
		return true;
	case RULE_TORN:
		return fault_tear(slot);
	case RULE_LOST:
		fault_lose(slot);
		return false;
	case RULE_CUT:
		fault_cut(verdict->keep, verdict->random);
		gate_reply(slot, EIO, NULL, 0);
		return false;
	case RULE_KILL:
		fault_kill();
		return false;
	default:
		return true;
	}
}

void fault_fail(struct iovec *iov, int *count, int err)
{
	struct fuse_out_header *out = iov[0].iov_base;

	out->error = -err;
	out->len = sizeof(*out);
	iov[0].iov_len = sizeof(*out);
	*count = 1;
}

void fault_answer(struct slot *slot, struct iovec *iov, int *count)
{
	struct verdict *verdict = &slot->request.verdict;
	const struct fuse_out_header *out = iov[0].iov_base;

	/* What really went wrong is not covered up. */
	if (out->error)
		return;
	if (verdict->fault == RULE_TORN) {
		if (!verdict->err)
			fault_kill();
		fault_fail(iov, count, verdict->err);
	} else if (verdict->flips && *count == 2 &&
		   request_get(slot->request.opcode) == FUSE_READ) {
		fault_flip(iov[1].iov_base, iov[1].iov_len, verdict);
	}
}
