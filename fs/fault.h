/*
 * fault.h - carrying out a verdict on a request and on its answer.
 */
#ifndef FS_FAULT_H
#define FS_FAULT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct slot;

/* Before it is served. => true: serve it; false: it is answered. */
bool fault_act(struct slot *slot);
/* On the way of its answer, which may be changed. */
void fault_answer(struct slot *slot, struct iovec *iov, int *count);
/* The power goes: all that comes is answered with errors from here on, of held
 * writes each sector is written with probability @keep, by @random, and the
 * daemon ends, also when files hang that have some. */
void fault_cut(double keep, uint64_t random);
/* Make it an error, @err as in errno. */
void fault_fail(struct iovec *iov, int *count, int err);

#endif
