/*
 * manual.h - the second judge: what the manual says an access comes to.
 *
 * Slow and plain on purpose: tables and straight-line code after the Intel
 * SDM, volume 3A, chapter 4, with the section beside each rule; and, where
 * that leaves a choice, the choice is written down at the place. No TLB: each
 * access is translated afresh.
 *
 * It shares no code with emu/ and is never to be corrected by looking there.
 */
#ifndef MMUCHECK_MANUAL_H
#define MMUCHECK_MANUAL_H

#include "mmucheck/case.h"

#define MANUAL_LEVELS	5

struct manual {
	const struct mc_mem *mem;
	uint64_t pdpte[4];	/* PAE: the registers (4.4.1) */
};

/*
 * Make @access, of up to two pages: set A and D, move the data, say what came
 * of it.
 */
void manual_access(struct manual *m, const struct mc_access *access,
		  struct mc_result *res);

/*
 * Where @access would go, without making it. => outcome; MC_OK: *@low and
 * *@high are the physical addresses of its first and its last byte.
 */
enum mc_outcome manual_reaches(const struct manual *m,
			      const struct mc_access *access, uint64_t *low,
			      uint64_t *high);

/*
 * Physical addresses of the entries that translate the first byte of @access,
 * top first. => how many; 0: it has no translation, or no right to it
 */
unsigned manual_entries(const struct manual *m, const struct mc_access *access,
			uint64_t used[MANUAL_LEVELS]);

/* The entries that a walk for @va reads, however it ends. */
unsigned manual_walked(const struct manual *m, const struct mc_access *access,
		       uint64_t va, uint64_t used[MANUAL_LEVELS]);

/* The name of the entries of @level (1: the last) in @mode. */
const char *manual_level_name(enum mc_mode mode, unsigned level);

/* How many levels are walked in memory; PAE: with the PDPTEs. */
unsigned manual_levels(enum mc_mode mode);

/* Where the index of @level begins in a linear address; how wide it is. */
unsigned manual_index_shift(enum mc_mode mode, unsigned level);
unsigned manual_index_bits(enum mc_mode mode, unsigned level);

#endif
