/*
 * loop.h - the serving threads: from /dev/fuse to an answer.
 *
 * Each thread owns an io_uring and a fixed set of slots. A slot is the room
 * for one request: the request is read into it so that the payload of a
 * write lands page aligned, and the data of a read is put at the same place.
 * A handler runs with loop_current() set to the request's slot and either
 *
 *  - answers at once; the slot is free again when the handler returns; or
 *  - claims the slot (loop_claim()), starts an operation on the ring
 *    (loop_sqe(), loop_submit(), and nothing in between but preparing it: the
 *    entry could go with others as it is) and returns. The slot's @completed
 *    is called in the same thread when the operation is done; it starts the
 *    next one or answers and calls loop_finish().
 */
#ifndef FS_LOOP_H
#define FS_LOOP_H

#include "fs/request.h"
#include "fs/newer.h"

#include <fuse_lowlevel.h>
#include <liburing.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define SLOT_PAYLOAD	(1u << 20)

struct file;
struct worker;

struct slot {
	struct worker *_Atomic worker;	/* who serves it */
	struct worker *home;	/* whose it is */
	struct slot *next;	/* while it is free, or handed over */
	char *page;		/* the slot's memory */
	char *payload;		/* page aligned, SLOT_PAYLOAD bytes */
	fuse_req_t req;
	bool claimed;
	struct newer newer;	/* what libfuse is not told */
	void (*completed)(struct slot *slot, int result);
	size_t received;	/* bytes of the request */
	unsigned int again;	/* loop_end_with() */
	struct __kernel_timespec pause;	/* loop_park() */
	struct request request;

	/* A transfer of data (fs/data.c): how far it has come. The lengths
	 * also of a copy (fs/range.c); the descriptor of an fsync. */
	struct file *file;
	off_t offset;
	size_t length, done;
	int64_t place;		/* of a write: where its bytes are; -1: not known */
	int fd;
	int rw_flags;
	bool write;
	bool whole;		/* a part of it and an error is an error */

	/* Its answer, on the way out by the ring (loop_send()). */
	bool sending;
	struct fuse_out_header header;
	struct fuse_write_out written;
	struct iovec answer[2];
};

struct loop;

/* => The serving threads for @se, not yet running; NULL: it is reported. */
struct loop *loop_create(struct fuse_session *se, unsigned int threads);
/* Start them. => 0 or -errno after having reported what is wrong. */
int loop_start(struct loop *loop);
/* A descriptor that polls readable when the file system was unmounted. */
int loop_ended_fd(const struct loop *loop);
/* Serve what has been asked, for at most @limit_ms, and stop serving. */
void loop_drain(struct loop *loop, unsigned int limit_ms);
/* Wait for the threads, which have been told to stop; the first error of one,
 * or 0. -ETIMEDOUT: one hangs in a request, the loop must stay. */
int loop_join(struct loop *loop);
void loop_destroy(struct loop *loop);

/* For handlers, in a serving thread. */
struct slot *loop_claim(fuse_req_t req,
			void (*completed)(struct slot *slot, int result));
struct io_uring_sqe *loop_sqe(struct slot *slot);
void loop_submit(struct slot *slot, struct io_uring_sqe *sqe);
void loop_finish(struct slot *slot);

/*
 * Write the answer @iov to /dev/fuse together with those of the requests that
 * were taken with it, in one system call at the end of the round. Only for
 * the data of a slot or a struct fuse_write_out, and if nobody wants to know
 * whether it arrived; loop_finish() may be called at once all the same.
 * => false: not this one, or it came alone. The caller writes it.
 */
bool loop_send(struct slot *slot, const struct iovec *iov, int count);

/*
 * Keep the request in @slot back for @ns, then call @resume, which parks it
 * again, serves it or answers it and calls loop_finish(). Claims the slot if
 * it is not; the thread goes on with other requests. => false: no memory.
 */
bool loop_park(struct slot *slot, uint64_t ns,
	       void (*resume)(struct slot *slot, int result));
/* Hand a request to its handler: a parked one, after all, or one that has just
 * come, on the spot. */
void loop_serve(struct slot *slot);

/*
 * Threads take requests in the order in which they were made, but may overtake
 * each other with them. loop_noted(): what others have to know of the one in
 * hand is there for them to see. Then loop_await_earlier() waits until that is
 * so for all that were made before it.
 */
void loop_noted(void);
void loop_await_earlier(void);

/* An operation in the ring came to @result, which is all there is to answer;
 * or it is to be made @again (fs/again.h). */
void loop_end_with(struct slot *slot, int result,
		   void (*again)(struct slot *slot));

/* The request itself, from its header on; slot->received bytes. */
struct fuse_in_header *loop_message(struct slot *slot);
/* The slot whose request is being answered by this thread, or NULL. */
struct slot *loop_answering(void);
/* /dev/fuse. */
int loop_device(const struct slot *slot);

enum loop_phase {
	LOOP_SERVES,
	LOOP_DRAINS,		/* about to end: do not wait for anything */
	LOOP_STOPPED,		/* the mount is gone, nobody hears us */
};
enum loop_phase loop_phase(const struct slot *slot);

/*
 * For the main thread, again and again while they serve: if a request waits,
 * nobody has taken one since the last time, and somebody is stuck (in a call,
 * or because all his slots are in flight), start one more. What has come
 * stays. => ms until the next time.
 */
unsigned int loop_reinforce(struct loop *loop);

/* From any thread: see each slot there is, free or not. */
void loop_visit(struct loop *loop,
		void (*visit)(struct slot *slot, void *arg), void *arg);

/* What follows the header in the request, for what libfuse does not pass. */
const void *loop_request(void);

/* The request as the kernel made it, where libfuse sees another one. */
const struct newer *loop_newer(void);

/* Room for a reply, good until the handler returns. @size is bounded. */
void *loop_scratch(size_t size);

/* Around a call that may wait: another thread takes over if it does. What was
 * put into the ring between the two is submitted there. */
void loop_slow_enter(void);
void loop_slow_leave(void);

#endif
