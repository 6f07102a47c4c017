/*
 * request.h - one request while it is in hand: who asks for what, since when.
 *
 * Written by the serving thread that has it, read by any thread that wants
 * to see what is under way (.pagerfs/inflight, the watchdog), so all of it is
 * atomic; a reader compares @unique before and after. Plain stores on x86.
 *
 * The kernel's numbers are even. The watchdog, when it answers a request in
 * place of the thread that has it, makes the number odd; from then on nobody
 * waits for the answer, but the work on the real file is still under way.
 */
#ifndef FS_REQUEST_H
#define FS_REQUEST_H

#include "fs/verdict.h"

#include <stdatomic.h>
#include <sys/types.h>

struct file;

struct request {
	_Atomic uint64_t unique;	/* 0: none; odd: ended */
	_Atomic uint64_t nodeid, other;
	_Atomic uint64_t fh, other_fh;
	_Atomic uint64_t offset, length;
	_Atomic uint64_t begun_ns;	/* when it came */
	_Atomic uint64_t served_ns;	/* since when it is being served; 0:
					 * a rule keeps it back, or it is for
					 * .pagerfs */
	_Atomic uint32_t opcode;
	_Atomic uint32_t pid;
	_Atomic uint64_t interrupted;	/* @unique of who was to stop waiting */
	struct file *_Atomic appends;	/* to this one: append_leave() */
	/* The serving thread's own: */
	bool control;		/* for .pagerfs: not counted */
	bool judged;		/* there is a verdict */
	struct verdict verdict;
};

#define request_set(field, value) \
	atomic_store_explicit(&(field), value, memory_order_relaxed)
#define request_get(field) \
	atomic_load_explicit(&(field), memory_order_relaxed)

#endif
