/*
 * cases.h - cases out of a seed.
 *
 * The same mode, capabilities, seed and index always make the same case, so
 * any case can be run again alone.
 */
#ifndef MMUCHECK_CASES_H
#define MMUCHECK_CASES_H

#include "mmucheck/case.h"
#include "mmucheck/engine.h"

void cases_make(struct mc_case *c, enum mc_mode mode,
		const struct mc_caps *caps, uint64_t seed, uint64_t index);

/* Write the case into @mem, where its frames were zero; and out of it. */
void cases_load(const struct mc_case *c, const struct mc_mem *mem);
void cases_unload(const struct mc_case *c, const struct mc_mem *mem);

#endif
