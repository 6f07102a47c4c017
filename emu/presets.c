/*
 * presets.c - the TLBs of a few real parts, and where the numbers are from.
 *
 * Sizes and ways are the makers'. What makers do not tell is assumed and said
 * to be: Intel publishes no sizes of paging-structure caches, and costs in
 * cycles depend on where in the data caches the tables are; the ones here are
 * round numbers for tables that are in the second-level cache (cost.c).
 */
#include "model.h"

#include <string.h>

#define ALL	(MODEL_4K | MODEL_2M | MODEL_1G)

const struct model_preset model_presets[] = {
	{
		.name = "p6",
		.what = "Intel Pentium II and III",
		.source = "CPUID leaf 2 descriptors 01h to 04h, SDM 2A; "
			  "paging-structure caches: none",
		.l1d = { { { MODEL_4K, 16, 4 }, { MODEL_2M, 2, 4 } } },
		.l1i = { { { MODEL_4K, 8, 4 }, { MODEL_2M, 1, 2 } } },
		.cost = { .walk = 5, .entry = 6, .mark = 20, .fault = 500,
			  .flush = 50, .invlpg = 100, .shootdown = 2000 },
	},
	{
		.name = "jaguar",
		.what = "AMD Family 16h",
		.source = "Software Optimization Guide for AMD Family 16h "
			  "Processors, 52128, 2.6; the page directory cache "
			  "of 16 is taken as the PDEs'",
		.l1d = { { { MODEL_4K, 1, 40 }, { MODEL_2M, 1, 8 } } },
		.l1i = { { { MODEL_4K, 1, 32 }, { MODEL_2M, 1, 8 } } },
		.l2d = { { { MODEL_4K, 128, 4 }, { MODEL_2M, 128, 2 } } },
		.l2i = { { { MODEL_4K, 128, 4 } } },
		.psc = { [2] = 16 },
		.cost = { .l2_hit = 8, .walk = 8, .entry = 14, .mark = 25,
			  .fault = 800, .flush = 100, .invlpg = 120,
			  .shootdown = 3000 },
	},
	{
		.name = "zen",
		.what = "AMD Family 17h",
		.source = "Software Optimization Guide for AMD Family 17h "
			  "Processors, 55723, 2.7; 1 GiB pages are smashed in "
			  "the second level; the page directory cache of 64 "
			  "is divided here as 32 PDPTEs and 32 PML4Es, and "
			  "PDEs, which share the second-level TLB, have 64",
		.l1d = { { { ALL, 1, 64 } } },
		.l1i = { { { ALL, 1, 64 } } },
		.l2d = { { { MODEL_4K | MODEL_2M, 128, 12 } } },
		.l2i = { { { MODEL_4K | MODEL_2M, 64, 8 } } },
		.psc = { [2] = 64, [3] = 32, [4] = 32 },
		.cost = { .l2_hit = 8, .walk = 10, .entry = 12, .mark = 20,
			  .fault = 1000, .flush = 150, .invlpg = 120,
			  .shootdown = 4000 },
	},
	{
		.name = "skylake",
		.what = "Intel Skylake client and server",
		.source = "Intel 64 and IA-32 Architectures Optimization "
			  "Reference Manual, 248966-045, table 2-15; "
			  "paging-structure caches assumed: 32 PDEs, 4 "
			  "PDPTEs, 4 PML4Es, 1 PML5E",
		.l1d = { { { MODEL_4K, 16, 4 }, { MODEL_2M, 8, 4 },
			   { MODEL_1G, 1, 4 } } },
		.l1i = { { { MODEL_4K, 16, 8 }, { MODEL_2M, 1, 8 } } },
		.l2d = { { { MODEL_4K | MODEL_2M, 128, 12 },
			   { MODEL_1G, 4, 4 } } },
		.unified = true,
		.psc = { [2] = 32, [3] = 4, [4] = 4, [5] = 1 },
		.cost = { .l2_hit = 7, .walk = 8, .entry = 12, .mark = 20,
			  .fault = 1000, .flush = 200, .invlpg = 150,
			  .shootdown = 4000 },
	},
	{ .name = NULL },
};

const struct model_preset *model_preset(const char *name)
{
	const struct model_preset *p;

	for (p = model_presets; p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}
