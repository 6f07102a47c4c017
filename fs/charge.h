/*
 * charge.h - what requests take from quotas and give back, while they are in
 * hand.
 *
 *	inject_judge()	which quotas count the request; is one used up?
 *	charge_enter()	before it is served: alone enough to be measured
 *	charge_begin()	just before it is served: measured, and charged
 *	charge_end()	on the way of its answer: what it did not use, or freed
 *
 * Not when it comes, because what it is kept back for may change what it needs.
 */
#ifndef FS_CHARGE_H
#define FS_CHARGE_H

#include "fs/quota.h"
#include "fs/verdict.h"

/*
 * A request for @opcode on @ino and @target, whose verdict has quotas.
 * => false: another is in the way; ask again soon. @hasty: there is no time
 * for that.
 */
bool charge_enter(struct volume *volume, unsigned int opcode, fuse_ino_t ino,
		  const struct op_target *target, struct verdict *verdict,
		  bool hasty);
/* The same request, now as long as it will be and where. => 0, or -errno: it
 * is not to be served. */
int charge_begin(struct volume *volume, const struct op_target *target,
		 struct verdict *verdict);
/* It has verdict->charge.begun and is done; @whole: all of it, without an
 * error. */
void charge_end(struct volume *volume, const struct op_target *target,
		struct verdict *verdict, bool whole);

#endif
