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

/* fs/charge.c */
struct charge {
	struct charge *next;
	bool begun;		/* it is in the list; all below */
	bool fills;		/* it brings data ... */
	bool allocates;		/* ... or only room for it; else: */
	bool removes;		/* a name; a lookup of the file is ours */
	bool links;		/* gives it one; else it shortens or punches */
	bool unnamed;		/* its file has no name */
	uint64_t ino;		/* the file */
	uint64_t bytes;		/* it has, or it needs and was charged for */
	uint64_t from, to;	/* what it may fill: whole blocks */
	uint64_t offset;	/* where it begins */
};

struct verdict {
	enum rule_fault fault;	/* what decides the outcome */
	int err;		/* of error, torn, quota; torn: 0 is kill */
	uint64_t amount;	/* short, torn: bytes that are left */
	double keep;		/* cut */

	uint64_t until_ns;	/* kept back till then; 0: not */
	uint64_t frozen_by;	/* rules, by their bit */
	uint64_t quotas;	/* the same: those that count it */
	uint64_t last;		/* of serials up to this; a bit has others */

	bool hold;
	uint64_t window;	/* hold: how many at most, 0: any number */

	uint64_t flips;
	uint64_t random;	/* for which bits */

	struct charge charge;
};

#endif
