/*
 * fault.h - carrying out a verdict on a request and on its answer.
 */
#ifndef FS_FAULT_H
#define FS_FAULT_H

#include <stdbool.h>
#include <sys/uio.h>

struct slot;

/* Before it is served. => true: serve it; false: it is answered. */
bool fault_act(struct slot *slot);
/* On the way of its answer, which may be changed. */
void fault_answer(struct slot *slot, struct iovec *iov, int *count);
/* Make it an error, @err as in errno. */
void fault_fail(struct iovec *iov, int *count, int err);

#endif
