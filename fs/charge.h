/*
 * charge.h - what requests take from quotas and give back, while they are in
 * hand.
 *
 *	inject_judge()	which quotas count the request; is one used up?
 *	charge_begin()	just before it is served: measured, and charged
 *	charge_end()	on the way of its answer: what it did not use, or freed
 *
 * Not before, because what it was kept back for may change what it needs.
 */
#ifndef FS_CHARGE_H
#define FS_CHARGE_H

#include "fs/quota.h"
#include "fs/verdict.h"

/*
 * A request for @opcode on @ino and @target, whose verdict has quotas. => 0,
 * or -errno: it is not to be served.
 */
int charge_begin(struct volume *volume, unsigned int opcode, fuse_ino_t ino,
		 const struct op_target *target, struct verdict *verdict);
/* ... which was begun, is done; @whole: all of it, without an error. */
void charge_end(struct volume *volume, unsigned int opcode,
		const struct op_target *target, struct verdict *verdict,
		bool whole);

#endif
