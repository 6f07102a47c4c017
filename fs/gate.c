/*
 * gate.c - where requests come in and answers go out.
 *
 *	gate_arrive()	note it; a piece of an appending write waits until
 *			those before it are noted; the control directory's
 *			are taken out
 *	  gate_look()	only when there is a reason (gate_reasons): the power
 *			is off; a file must not be closed under a request
 *			that the watchdog ended; the rules are asked, and
 *			what they delay or freeze is parked
 *	  gate_act()	what the rules say instead; files with held writes
 *	gate_answer()	what the rules say about the answer; count it
 *
 * A parked request looks every GATE_TICK_NS whether it has been interrupted,
 * the rule has gone, or the daemon is about to end; then it goes on at once.
 *
 * No locks: a request is its serving thread's.
 */
#include "fs/gate.h"
#include "fs/append.h"
#include "fs/charge.h"
#include "fs/control.h"
#include "fs/fault.h"
#include "fs/held.h"
#include "fs/inject.h"
#include "fs/loop.h"
#include "fs/op.h"
#include "fs/recorder.h"
#include "fs/stats.h"
#include "fs/watchdog.h"

#include <errno.h>
#include <linux/xattr.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GATE_TICK_NS	10000000	/* how soon a thaw is noticed */
#define GATE_BUSY_NS	200000		/* and that a file is not in use */

static atomic_uint gate_reasons, gate_disturbances;
static struct volume *gate_served_volume;

void gate_watch(enum gate_reason reason)
{
	atomic_fetch_or(&gate_reasons, reason);
	atomic_fetch_add(&gate_disturbances, 1);
}

void gate_rest(enum gate_reason reason)
{
	atomic_fetch_and(&gate_reasons, ~reason);
}

bool gate_watches(enum gate_reason reason)
{
	return atomic_load_explicit(&gate_reasons, memory_order_relaxed) &
		reason;
}

/* The number first: a reason that comes and goes meanwhile changes it. */
unsigned int gate_disturbed(bool *quiet)
{
	unsigned int disturbances = atomic_load(&gate_disturbances);

	*quiet = !atomic_load(&gate_reasons);
	return disturbances;
}

void gate_open(struct volume *volume)
{
	gate_served_volume = volume;
}

struct volume *gate_volume(void)
{
	return gate_served_volume;
}

uint64_t gate_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* ---- answers ---- */

static uint64_t gate_bytes(const struct request *request,
			   const struct iovec *iov, int count)
{
	const struct fuse_write_out *written;

	if (count < 2)
		return 0;
	switch (request_get(request->opcode)) {
	case FUSE_READ:
		return iov[1].iov_len;
	case FUSE_WRITE:
	case FUSE_COPY_FILE_RANGE:
		written = iov[1].iov_base;
		return written->size;
	default:
		return 0;
	}
}

/* Quotas: what a request took and did not use, or gave back. */
static void gate_settle(struct slot *slot, const struct iovec *iov, int count)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	struct request *request = &slot->request;
	unsigned int opcode = op_of(request_get(request->opcode));
	struct op_target target;
	bool whole = !out->error;

	op_parse(loop_message(slot), slot->received, &target);
	if (opcode == FUSE_WRITE)
		whole = whole &&
			gate_bytes(request, iov, count) == target.length;
	loop_slow_enter();
	charge_end(gate_served_volume, &target, &request->verdict, whole);
	loop_slow_leave();
}

/*
 * Closing a file that is opened while there are rules is for them to see.
 * What the kernel is told of an open file ends the answer.
 */
static void gate_see_close(unsigned int opcode, const struct iovec *iov,
			   int count)
{
	struct fuse_open_out *out;

	if (opcode != FUSE_OPEN && opcode != FUSE_CREATE &&
	    opcode != FUSE_TMPFILE)
		return;
	if (count != 2 || iov[1].iov_len < sizeof(*out))
		return;
	out = iov[1].iov_base + iov[1].iov_len - sizeof(*out);
	out->open_flags &= ~FOPEN_NOFLUSH;
}

bool gate_sees_data(const struct slot *slot)
{
	return slot->request.judged || recorder_runs() ||
	       atomic_load_explicit(&gate_reasons, memory_order_relaxed);
}

bool gate_answer(struct slot *slot, struct iovec *iov, int *count)
{
	const struct fuse_out_header *out = iov[0].iov_base;
	struct request *request;
	unsigned int opcode;
	uint64_t bytes;
	bool late;

	if (!slot)
		return true;
	request = &slot->request;
	if ((request_get(request->unique) & ~1ull) != out->unique ||
	    !out->unique)
		return true;
	opcode = op_of(request_get(request->opcode));
	if (opcode == FUSE_OPEN && gate_watches(GATE_HELD))
		held_answer(out->error);
	if (request->judged) {
		fault_answer(slot, iov, count);
		if (request->verdict.charge.begun)
			gate_settle(slot, iov, *count);
	}
	/* What it was to make durable may be gone by now. */
	if (opcode == FUSE_FSYNC && gate_watches(GATE_CUT) && !out->error)
		fault_fail(iov, count, EIO);
	/* Pages of a mapping keep what could not be written. */
	if (out->error && opcode == FUSE_WRITE)
		atomic_fetch_add(&gate_disturbances, 1);
	if (gate_watches(GATE_RULES))
		gate_see_close(opcode, iov, *count);
	bytes = gate_bytes(request, iov, *count);
	late = !watchdog_answer(request);
	if (!late)
		append_leave(request_get(request->appends));
	if (request->control)
		return !late;
	recorder_answer(iov, *count, slot->done, slot->place, late);
	if (late)
		return false;
	stats_count(opcode, gate_now() - request_get(request->begun_ns),
		    out->error, bytes);
	return true;
}

/* Forgetting has no answer. */
void gate_served(struct slot *slot)
{
	struct request *request = &slot->request;

	if (slot->claimed || !request_get(request->unique))
		return;
	if (!watchdog_answer(request) || request->control)
		return;
	stats_count(op_of(request_get(request->opcode)),
		    gate_now() - request_get(request->begun_ns), false, 0);
}

void gate_reply(struct slot *slot, int err, const void *data, size_t length)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + (err ? 0 : length),
		.error = -err,
		.unique = loop_message(slot)->unique,
	};
	struct iovec iov[2] = {
		{ &out, sizeof(out) }, { (void *)data, length },
	};
	int count = length && !err ? 2 : 1;

	if (gate_answer(slot, iov, &count) &&
	    writev(loop_device(slot), iov, count) < 0)
		err = errno;	/* taken back, or unmounted: as well */
	if (slot->claimed)
		loop_finish(slot);
}

/* ---- requests ---- */

/* => The file to which @in, which is whole and not for .pagerfs, appends, if
 * others have to know it. */
static struct file *gate_note_append(const struct fuse_in_header *in,
				     const struct op_target *target)
{
	struct file *file = (struct file *)(uintptr_t)target->fh;

	if (in->opcode != FUSE_WRITE ||
	    !append_arrive(file, (const struct fuse_write_in *)(in + 1)))
		return NULL;
	return file;
}

static void gate_begin(struct slot *slot, const struct fuse_in_header *in,
		       const struct op_target *target, struct file *appends)
{
	struct request *request = &slot->request;
	uint64_t now = gate_now();

	request->judged = request->control = false;
	request_set(request->appends, appends);
	request_set(request->nodeid, in->nodeid);
	request_set(request->other, target->other);
	request_set(request->fh, target->fh);
	request_set(request->other_fh, target->other_fh);
	request_set(request->offset, target->offset);
	request_set(request->length, target->length);
	request_set(request->opcode, in->opcode);
	request_set(request->pid, in->pid);
	request_set(request->interrupted, 0);
	request_set(request->begun_ns, now);
	request_set(request->served_ns, now);
	atomic_store_explicit(&request->unique, in->unique,
			      memory_order_release);
}

static void gate_resume(struct slot *slot, int result);

static void gate_park(struct slot *slot, uint64_t wait)
{
	request_set(slot->request.served_ns, 0);
	if (!loop_park(slot, wait, gate_resume))
		gate_reply(slot, ENOMEM, NULL, 0);
}

/* Where a write goes that appends: the kernel need not know. */
static void gate_place(struct slot *slot, struct op_target *target)
{
	if (!target->appends)
		return;
	loop_slow_enter();
	target->offset = append_find((const void *)(loop_message(slot) + 1));
	loop_slow_leave();
}

/* Quotas: => false: not now, it is parked. */
static bool gate_enter(struct slot *slot, const struct op_target *target)
{
	const struct fuse_in_header *in = loop_message(slot);
	bool entered;

	loop_slow_enter();
	entered = charge_enter(gate_served_volume, op_of(in->opcode),
			       in->nodeid, target, &slot->request.verdict,
			       loop_phase(slot) != LOOP_SERVES);
	loop_slow_leave();
	if (!entered)
		gate_park(slot, GATE_BUSY_NS);
	return entered;
}

/* ... and a torn or short write is by now as long as it will be. */
static bool gate_charge(struct slot *slot, const struct op_target *asked)
{
	struct op_target target = *asked;
	int err;

	target.length = request_get(slot->request.length);
	gate_place(slot, &target);
	loop_slow_enter();
	err = charge_begin(gate_served_volume, &target,
			   &slot->request.verdict);
	loop_slow_leave();
	if (err)
		gate_reply(slot, -err, NULL, 0);
	return !err;
}

/* The verdict's part before the handler. => false: that was all for now. */
static bool gate_obey(struct slot *slot, const struct op_target *target)
{
	bool counted = slot->request.verdict.quotas;

	if (counted && !gate_enter(slot, target))
		return false;
	return fault_act(slot) && (!counted || gate_charge(slot, target));
}

/* ... then the handler. */
static bool gate_act(struct slot *slot, const struct op_target *target)
{
	const struct verdict *verdict = &slot->request.verdict;
	bool hold;

	if (slot->request.judged && !gate_obey(slot, target))
		return false;
	hold = slot->request.judged && verdict->hold;
	if (!hold && !gate_watches(GATE_HELD))
		return true;
	return !held_serve(slot, op_of(loop_message(slot)->opcode), target,
			   hold, verdict->window, verdict->random);
}

/* How long is it to be kept back yet? 0: it may go on. */
static uint64_t gate_wait_ns(const struct verdict *verdict)
{
	uint64_t now = gate_now(), left = 0;

	if (verdict->until_ns > now)
		left = verdict->until_ns - now;
	else if (verdict->frozen_by && inject_frozen(verdict))
		left = GATE_TICK_NS;
	return left < GATE_TICK_NS ? left : GATE_TICK_NS;
}

static void gate_resume(struct slot *slot, int result)
{
	struct request *request = &slot->request;
	enum loop_phase phase = loop_phase(slot);
	struct op_target target;
	uint64_t wait;

	(void)result;
	if (phase == LOOP_STOPPED || gate_watches(GATE_CUT)) {
		gate_reply(slot, EIO, NULL, 0);
		return;
	}
	if (request_get(request->interrupted) ==
	    (request_get(request->unique) & ~1ull)) {
		gate_reply(slot, EINTR, NULL, 0);
		return;
	}
	wait = phase == LOOP_SERVES ? gate_wait_ns(&request->verdict) : 0;
	if (wait) {
		loop_park(slot, wait, gate_resume);
		return;
	}
	request_set(request->served_ns, gate_now());
	op_parse(loop_message(slot), slot->received, &target);
	if (gate_act(slot, &target))
		loop_serve(slot);
}

/*
 * The way to .pagerfs stays open: else nobody could take a rule back that
 * freezes everything. To let one who does not own the root through it, the
 * kernel asks also for its access list. @in is whole.
 */
static bool gate_is_way_in(const struct fuse_in_header *in)
{
	const struct fuse_getxattr_in *get = (const void *)(in + 1);

	if (in->nodeid != FUSE_ROOT_ID)
		return false;
	return op_of(in->opcode) == FUSE_GETATTR ||
	       (in->opcode == FUSE_GETXATTR &&
		!strcmp((const char *)(get + 1), XATTR_NAME_POSIX_ACL_ACCESS));
}

/* => true: go on with it now. */
static bool gate_judge(struct slot *slot, const struct op_target *asked)
{
	const struct fuse_in_header *in = loop_message(slot);
	struct request *request = &slot->request;
	unsigned int opcode = op_of(in->opcode);
	struct op_target target = *asked;
	uint64_t wait;

	if (!op_injectable(opcode) || gate_is_way_in(in))
		return true;
	gate_place(slot, &target);
	inject_judge(gate_served_volume, opcode, in->nodeid, &target,
		     &request->verdict);
	request->judged = true;
	wait = gate_wait_ns(&request->verdict);
	if (!wait || loop_phase(slot) != LOOP_SERVES)
		return true;
	gate_park(slot, wait);
	return false;
}

static bool gate_look(struct slot *slot, const struct op_target *target)
{
	const struct fuse_in_header *in = loop_message(slot);

	if (gate_watches(GATE_CUT) && op_injectable(op_of(in->opcode))) {
		gate_reply(slot, EIO, NULL, 0);
		return false;
	}
	if (gate_watches(GATE_ENDED) && watchdog_defers(slot))
		return false;
	if (gate_watches(GATE_RULES) && !gate_judge(slot, target))
		return false;
	return gate_act(slot, target);
}

bool gate_arrive(struct slot *slot)
{
	const struct fuse_in_header *in = loop_message(slot);
	struct op_target target;
	bool whole = op_parse(in, slot->received, &target);
	bool control = whole && control_wants(in, &target);
	struct file *appends = NULL;

	if (whole && !control)
		appends = gate_note_append(in, &target);
	gate_begin(slot, in, &target, appends);
	loop_noted();
	if (appends)
		loop_await_earlier();
	if (!whole) {
		gate_reply(slot, EINVAL, NULL, 0);
		return false;
	}
	if (in->opcode == FUSE_BATCH_FORGET)
		control_scrub(loop_message(slot));
	if (control) {
		slot->request.control = true;
		/* Not for the watchdog: its file is ours, and is closed when
		 * nobody works on it. */
		request_set(slot->request.served_ns, 0);
		control_serve(slot, &target);
		return false;
	}
	recorder_arrive(in, slot->received);
	if (atomic_load_explicit(&gate_reasons, memory_order_relaxed))
		return gate_look(slot, &target);
	return true;
}

/* ---- interrupts ---- */

struct gate_interruption {
	uint64_t unique;
	bool found;
};

static void gate_interrupt_one(struct slot *slot, void *arg)
{
	struct gate_interruption *interruption = arg;
	uint64_t unique = atomic_load_explicit(&slot->request.unique,
					       memory_order_acquire);

	if ((unique & ~1ull) != interruption->unique)
		return;
	/* By its name: the slot may have the next request by now. Only what is
	 * kept back looks at it, and that may outlast the rules. */
	request_set(slot->request.interrupted, interruption->unique);
	interruption->found = true;
}

bool gate_interrupt(struct loop *loop, uint64_t unique)
{
	struct gate_interruption interruption = { unique, false };

	loop_visit(loop, gate_interrupt_one, &interruption);
	return interruption.found;
}
