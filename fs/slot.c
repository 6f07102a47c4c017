/*
 * slot.c - the room for a request: given to handlers, kept back, given back.
 *
 * A serving thread has one block of slots from its start, and more while
 * requests are kept back. A slot is free, current, in flight, or on loan to
 * another thread (hand.c); it and its ring are touched by its thread only.
 * Slots outlive their thread, because others may look at them (loop_visit()).
 * No locks.
 */
#include "fs/again.h"
#include "fs/loop_int.h"
#include "fs/memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define SLOT_WHOLE	2	/* slots whose memory is there from the start */
#define SLOT_READY	(LOOP_PAGE + 16384) /* and so much of each other */
#define SLOT_BYTES	(LOOP_PAGE + SLOT_PAYLOAD)
#define SLOT_SEND	16384	/* more is better copied while in cache */

/* ---- memory ---- */

int slot_grow(struct worker *worker)
{
	struct block *block = calloc(1, sizeof(*block));
	unsigned int i;

	if (!block)
		return -ENOMEM;
	block->memory = mmap(NULL, (size_t)LOOP_SLOTS * SLOT_BYTES,
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			     0);
	if (block->memory == MAP_FAILED) {
		free(block);
		return -ENOMEM;
	}
	for (i = LOOP_SLOTS; i-- > 0; ) {
		block->slots[i].worker = block->slots[i].home = worker;
		block->slots[i].page = block->memory +
			(size_t)i * SLOT_BYTES;
		/* The slots that are taken first have all, the others what
		 * small requests need. */
		memory_populate(block->slots[i].page,
				i < SLOT_WHOLE ? SLOT_BYTES : SLOT_READY);
		slot_give_back(&block->slots[i]);
	}
	block->next = worker->blocks;
	worker->blocks = block;
	worker->nblocks++;
	return 0;
}

void slot_free_all(struct worker *worker)
{
	struct block *block, *next;

	for (block = worker->blocks; block; block = next) {
		next = block->next;
		munmap(block->memory, (size_t)LOOP_SLOTS * SLOT_BYTES);
		free(block);
	}
}

/* A request that waits must not take the room of those that come. */
static bool slot_have_room(struct worker *worker)
{
	return worker->free || (worker->nblocks < LOOP_BLOCKS &&
				!slot_grow(worker));
}

void loop_visit(struct loop *loop,
		void (*visit)(struct slot *slot, void *arg), void *arg)
{
	struct block *block;
	unsigned int i, j;

	for (i = 0; i < loop->nworkers; i++)
		for (block = loop->workers[i].blocks; block;
		     block = block->next)
			for (j = 0; j < LOOP_SLOTS; j++)
				visit(&block->slots[j], arg);
}

/* ---- for handlers ---- */

struct slot *loop_claim(fuse_req_t req,
			void (*completed)(struct slot *slot, int result))
{
	struct slot *slot = loop_self->current;

	assert(slot && !slot->claimed);
	slot->claimed = true;
	slot->req = req;
	slot->completed = completed;
	loop_self->inflight++;
	return slot;
}

struct io_uring_sqe *loop_sqe(struct slot *slot)
{
	assert(!slot->worker->preparing);
	slot->worker->preparing = true;
	return worker_sqe(slot->worker);
}

void loop_submit(struct slot *slot, struct io_uring_sqe *sqe)
{
	slot->worker->preparing = false;
	io_uring_sqe_set_data(sqe, slot);
	slot->worker->unsubmitted++;
}

void slot_give_back(struct slot *slot)
{
	slot->claimed = false;
	request_set(slot->request.unique, 0);
	if (slot->worker != slot->home) {
		hand_back(slot);
		return;
	}
	slot->next = slot->worker->free;
	slot->worker->free = slot;
}

void loop_finish(struct slot *slot)
{
	assert(slot->claimed);
	if (slot->sending)
		return;			/* slot_sent() calls again */
	slot->worker->inflight--;
	if (slot == slot->worker->current)
		slot->claimed = false;	/* answered within its handler */
	else
		slot_give_back(slot);
}

/* Taken back, or unmounted, is as well. But the ring may fail by itself, if
 * memory is short, and then nobody has the answer. */
static void slot_sent(struct slot *slot, int result)
{
	if (result < 0 && result != -ENOENT && result != -ENODEV &&
	    writev(loop_device(slot), slot->answer, 2) < 0)
		slot->sending = false;	/* nobody waits for it */
	slot->sending = false;
	slot->worker->sending--;
	loop_finish(slot);
}

/* What libfuse has on its stack is put into the slot. */
static bool slot_keep_answer(struct slot *slot, const struct iovec *iov)
{
	const char *data = iov[1].iov_base;

	slot->header = *(const struct fuse_out_header *)iov[0].iov_base;
	slot->answer[0] = (struct iovec){ &slot->header, sizeof(slot->header) };
	slot->answer[1] = iov[1];
	if (data >= slot->page && data < slot->page + SLOT_BYTES)
		return iov[1].iov_len <= SLOT_SEND;
	if (iov[1].iov_len != sizeof(slot->written))
		return false;
	memcpy(&slot->written, data, sizeof(slot->written));
	slot->answer[1].iov_base = &slot->written;
	return true;
}

bool loop_send(struct slot *slot, const struct iovec *iov, int count)
{
	struct io_uring_sqe *sqe;

	if (!slot || slot != slot->worker->current || !slot->claimed ||
	    !slot->worker->batch || count != 2 ||
	    !slot_keep_answer(slot, iov))
		return false;
	sqe = loop_sqe(slot);
	io_uring_prep_writev(sqe, loop_device(slot), slot->answer, 2, 0);
	loop_submit(slot, sqe);
	slot->completed = slot_sent;
	slot->sending = true;
	slot->worker->sending++;
	return true;
}

void loop_end_with(struct slot *slot, int result,
		   void (*again)(struct slot *slot))
{
	if (result == -EINTR && slot->again++ < AGAIN_MOST) {
		again(slot);
		return;
	}
	fuse_reply_err(slot->req, result < 0 ? -result : 0);
	loop_finish(slot);
}

struct fuse_in_header *loop_message(struct slot *slot)
{
	return (void *)(slot->page + LOOP_PAGE - LOOP_HEADER);
}

struct slot *loop_answering(void)
{
	return loop_self ? loop_self->answering : NULL;
}

int loop_device(const struct slot *slot)
{
	return slot->worker->loop->fd;
}

enum loop_phase loop_phase(const struct slot *slot)
{
	const struct loop *loop = slot->worker->loop;

	if (atomic_load(&loop->stopped))
		return LOOP_STOPPED;
	return atomic_load(&loop->draining) ? LOOP_DRAINS : LOOP_SERVES;
}

const void *loop_request(void)
{
	return loop_message(loop_self->current) + 1;
}

const struct newer *loop_newer(void)
{
	return &loop_self->current->newer;
}

void *loop_scratch(size_t size)
{
	assert(size <= SLOT_PAYLOAD);
	return loop_self->current->payload;
}

bool loop_park(struct slot *slot, uint64_t ns,
	       void (*resume)(struct slot *slot, int result))
{
	struct io_uring_sqe *sqe;

	if (!slot->claimed) {
		if (!slot_have_room(slot->worker))
			return false;
		slot->claimed = true;
		slot->worker->inflight++;
	}
	slot->completed = resume;
	slot->pause.tv_sec = ns / 1000000000;
	slot->pause.tv_nsec = ns % 1000000000;
	sqe = loop_sqe(slot);
	io_uring_prep_timeout(sqe, &slot->pause, 0, 0);
	loop_submit(slot, sqe);
	return true;
}
