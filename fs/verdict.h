/*
 * verdict.h - what the rules have decided about one request.
 *
 * Made by inject_judge() when the request arrives and carried out by
 * fs/fault.c: what comes before it is served, instead of that, and on the way
 * of its answer. It stands for itself: the rules may be gone by then.
 */
#ifndef FS_VERDICT_H
#define FS_VERDICT_H

#include "fs/rule.h"

struct verdict {
	enum rule_fault fault;	/* what decides the outcome */
	int err;		/* of error, torn, quota; torn: 0 is kill */
	uint64_t amount;	/* short, torn: bytes that are left */
	double keep;		/* cut */

	uint64_t until_ns;	/* kept back till then; 0: not */
	uint64_t frozen_by;	/* rules, by their freeze_bit, */
	uint64_t frozen_last;	/* of serials up to this; a bit has others */

	bool hold;
	uint64_t window;	/* hold: how many at most, 0: any number */

	uint64_t flips;
	uint64_t random;	/* for which bits */

	uint64_t quota;		/* serial of the rule that watches */
	uint64_t quota_taken;	/* bytes */
	uint64_t quota_before;	/* of the file, to see what it frees */
};

#endif
