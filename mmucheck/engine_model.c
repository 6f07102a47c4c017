/*
 * engine_model.c - the model as an engine.
 */
#include "mmucheck/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmucheck/guest.h"
#include "mmucheck/layout.h"
#include "mmucheck/manual.h"

/* From the narrowest that PAE was ever sold with to the widest there is. */
static const unsigned widths[] = { 32, 36, 39, 40, 41, 46, 48, 52 };

static void run(struct mc_engine *e, const struct mc_case *c,
		struct mc_result *res)
{
	struct manual m = { .mem = &e->mem };

	for (unsigned i = 0; i < c->naccesses; i++) {
		manual_access(&m, &c->access[i], &res[i]);
		if (i == 0 && res[i].outcome != MC_OK)
			break;
	}
}

static void engine_close(struct mc_engine *e)
{
	layout_mem_destroy(&e->mem);
	free(e);
}

static void set_caps(struct mc_caps *caps)
{
	memset(caps, 0, sizeof(*caps));
	for (unsigned m = 0; m < MC_MODES; m++)
		caps->mode[m] = true;
	caps->cr4 = MC_CR4_SMEP | MC_CR4_SMAP | MC_CR4_PKE | MC_CR4_PKS;
	caps->nmaxphyaddr = sizeof(widths) / sizeof(widths[0]);
	memcpy(caps->maxphyaddr, widths, sizeof(widths));
	caps->implicit_any = true;
	caps->any_lacks = true;
	caps->arenas = 4;
}

struct mc_engine *engine_model_open(char *why, size_t size)
{
	struct mc_engine *e = calloc(1, sizeof(*e));

	if (!e || layout_mem_create(&e->mem) < 0) {
		snprintf(why, size, "no address space for the model's memory");
		free(e);
		return NULL;
	}
	guest_build(&e->mem);
	e->name = "model";
	e->run = run;
	e->close = engine_close;
	set_caps(&e->caps);
	return e;
}
