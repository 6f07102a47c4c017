/*
 * check.h - run cases on two engines and compare.
 */
#ifndef MMUCHECK_CHECK_H
#define MMUCHECK_CHECK_H

#include <stdint.h>
#include <stdio.h>

#include "mmucheck/case.h"
#include "mmucheck/departures.h"
#include "mmucheck/engine.h"

/*
 * @model: settles what a case may do, and is heard in every disagreement.
 * @judge: the one who is believed; may be @model. @subject: the one judged.
 */
struct check {
	struct mc_engine *model, *judge, *subject;
	FILE *out;			/* where disagreements go, or NULL */
	unsigned shown, show_most;
	const char *again;		/* the options that make cases so */
	uint64_t cases, accesses, disagreements;
	uint64_t outcome[MC_LOST + 1];	/* the judge's */
	uint64_t departures[DEPARTURES];
};

/* => whether they agree */
bool check_case(struct check *k, enum mc_mode mode, uint64_t seed,
		uint64_t index);

#endif
