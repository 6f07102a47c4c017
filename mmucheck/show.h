/*
 * show.h - cases and results in words.
 */
#ifndef MMUCHECK_SHOW_H
#define MMUCHECK_SHOW_H

#include <stdio.h>

#include "mmucheck/case.h"

const char *show_mode(enum mc_mode mode);

/* Which case, and its entries as they were at first. */
void show_case(FILE *f, const struct mc_case *c, unsigned naccesses);
void show_access(FILE *f, unsigned number, const struct mc_access *a);
void show_result(FILE *f, const struct mc_access *a,
		 const struct mc_result *res);
/* An entry, and what it has become for two engines. */
void show_entry(FILE *f, enum mc_mode mode, const struct mc_entry *e,
		const char *name1, uint64_t value1, const char *name2,
		uint64_t value2);

#endif
