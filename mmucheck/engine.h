/*
 * engine.h - what is asked of whoever judges or is judged.
 *
 * check.c puts a case into mem, calls run(), reads the results and then mem.
 * An engine that keeps copies of what it read there (a TLB, a shadow) must
 * forget them at the start of a run.
 */
#ifndef MMUCHECK_ENGINE_H
#define MMUCHECK_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "mmucheck/case.h"

/* What cases an engine can run; the generator makes no others. */
struct mc_caps {
	bool mode[MC_MODES];
	uint64_t cr4;			/* optional bits that may be set */
	unsigned nmaxphyaddr;
	unsigned maxphyaddr[8];
	unsigned lacks;			/* MC_NO_* of all cases */
	bool any_lacks;			/* ... or of each as it likes */
	bool fixed_nxe;			/* EFER.NXE stays as the case has it */
	bool plain_32;			/* 32-bit mode: 36 bits, no NXE */
	bool no_upper_g;		/* bit 8 is reserved from level 3 up */
	bool eager_a;			/* a walk sets A before it faults */
	bool taken[512];		/* top slots where CPL 3 may not be */
	bool implicit_any;		/* else: reads of a descriptor only */
	unsigned arenas;		/* taken in turn */
};

struct mc_engine {
	const char *name;
	struct mc_mem mem;
	struct mc_caps caps;
	void (*run)(struct mc_engine *e, const struct mc_case *c,
		    struct mc_result *res);
	void (*close)(struct mc_engine *e);
};

/*
 * => NULL, and one line in @why. EACCES and ENOENT of /dev/kvm come as
 * errno, so that a caller can tell "not here" from "broken".
 */
struct mc_engine *engine_model_open(char *why, size_t size);
struct mc_engine *engine_emu_open(char *why, size_t size);
struct mc_engine *engine_kvm_open(char *why, size_t size);

#endif
