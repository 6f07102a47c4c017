/*
 * gate.h - the one place where every request comes in and its answer goes
 * out.
 *
 *	/dev/fuse ─► gate_arrive() ─► libfuse ─► handler ─► session_send()
 *	    ─► gate_answer() ─► /dev/fuse
 *
 * Here requests are counted and timed, rules act on them, and those for the
 * control directory are taken out. What is not asked for costs a look at one
 * word. All functions but the last two run in the serving thread that has the
 * request.
 */
#ifndef FS_GATE_H
#define FS_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct loop;
struct slot;
struct volume;

/* Reasons to look closer at requests; gate_watch() sets, gate_rest() clears */
enum gate_reason {
	GATE_RULES = 1,		/* there are rules */
	GATE_HELD = 2,		/* writes are held back from the files */
	GATE_ENDED = 4,		/* the watchdog ended some that still run */
	GATE_CUT = 8,		/* the power is off */
};

void gate_watch(enum gate_reason reason);
void gate_rest(enum gate_reason reason);
bool gate_watches(enum gate_reason reason);

/*
 * What clients see and what is in the files may differ while there is any
 * reason, and where a write failed. => A number that changes when one of
 * these comes up; *@quiet: there is no reason now.
 */
unsigned int gate_disturbed(bool *quiet);

/* Serve @volume from now on. */
void gate_open(struct volume *volume);
struct volume *gate_volume(void);

/* @slot holds a request. => true: serve it now; false: it is answered, or
 * the slot is claimed and it will be. */
bool gate_arrive(struct slot *slot);
/* Its answer, which may be changed. => false: it is not to be sent. */
bool gate_answer(struct slot *slot, struct iovec *iov, int *count);
/* Will bytes read from a file be looked at there, or changed? If not, the
 * second of @iov needs only a length. */
bool gate_sees_data(const struct slot *slot);
/* It was served; if no answer came, then none is due. */
void gate_served(struct slot *slot);

/* Answer in place of a handler; what is claimed is finished. @err: errno. */
void gate_reply(struct slot *slot, int err, const void *data, size_t length);

/* A client gave up on request @unique of @loop: if it is kept back, it need
 * not be served any more. => false: there is none; who has read it may not have
 * come to gate_arrive() yet, or it has been answered. */
bool gate_interrupt(struct loop *loop, uint64_t unique);

/* CLOCK_MONOTONIC. */
uint64_t gate_now(void);

#endif
