/*
 * model.h - the translation caches of a real part: a set-associative TLB of
 * two levels, and paging-structure caches, with counters that are exact.
 *
 * A CPU runs either at full speed, with the direct-mapped TLB of tlb.h and
 * the one cache of pde.h, or with a model: then every access comes here, is
 * looked up, walked, cached and counted as the part of that name would. A
 * model keeps what the manual lets it keep (SDM 3A 4.10.2, 4.10.3): entries
 * by PCID, global ones for all, rights rather than decisions, so that writes
 * of CPL, AC, WP and protection keys cost nothing. Every replacement is least
 * recently used.
 *
 * Counters times a cost each give cycles: cost.c says what that is worth.
 */
#ifndef EMU_MODEL_H
#define EMU_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "mmu.h"
#include "psc.h"
#include "walk.h"

struct stale;

/* Sizes of pages an array of entries can hold; 4 MiB goes as two of 2. */
#define MODEL_4K	1u
#define MODEL_2M	2u
#define MODEL_1G	4u
#define MODEL_SIZES	3
#define MODEL_ARRAYS	3

/* @sets must be a power of two; one set: fully associative. */
struct model_array {
	uint8_t sizes;		/* MODEL_*; 0: no such array */
	uint16_t sets, ways;
};

/* One TLB. A page too large for every array goes in by smaller pieces. */
struct model_geometry {
	struct model_array array[MODEL_ARRAYS];
};

/* Cycles each, beyond what the access costs when the first level hits. */
struct model_cost {
	unsigned l2_hit;
	unsigned walk;		/* to begin one */
	unsigned entry;		/* to read one entry of a table */
	unsigned mark;		/* to set A or D: a locked operation */
	unsigned fault;		/* to the handler and back */
	unsigned flush;		/* MOV CR3 and the like */
	unsigned invlpg;
	unsigned shootdown;	/* the interrupt, on the CPU that gets it */
};

struct model_preset {
	const char *name;
	const char *what;	/* the part */
	const char *source;	/* of the numbers */
	struct model_geometry l1d, l1i, l2d, l2i;
	bool unified;		/* l2d serves fetches too; l2i is none */
	uint8_t psc[WALK_LEVELS + 1];	/* entries by level: 2 is PDEs */
	struct model_cost cost;
};

/* All there are, the last with name NULL. */
extern const struct model_preset model_presets[];
const struct model_preset *model_preset(const char *name);

/*
 * By the owner; others may read with relaxed atomics. An access over two pages
 * that faults touches only the page where it does, and one to an address that
 * is none touches nothing: of that only the fault is counted.
 */
struct model_stats {
	uint64_t accesses;	/* pages touched, fetches and implicit too */
	uint64_t l1_hits, l2_hits;
	uint64_t misses;	/* in neither level */
	uint64_t rewalks;	/* found, but D clear or rights too few */
	uint64_t walks;		/* misses, rewalks, and faults' second look */
	uint64_t entries;	/* of page tables, read by walks */
	uint64_t psc_hits[WALK_LEVELS + 1];	/* by level cached */
	uint64_t marks;		/* entries whose A or D was set */
	uint64_t faults;
	uint64_t flushes;	/* of everything, or of a PCID */
	uint64_t invlpgs;	/* INVLPG, INVPCID of one address */
	uint64_t shootdowns;
};

/* What the counters come to under @cost. */
uint64_t model_cycles(const struct model_stats *stats,
		      const struct model_cost *cost);

struct model_entry {
	uint64_t va;		/* of the piece this entry is for */
	uint64_t pa;
	uint64_t entry;		/* of the table, as the walk read it */
	uint64_t used;		/* the clock when last used; 0: empty */
	uint16_t pcid;
	uint8_t shift;		/* log2 of the piece */
	uint8_t page;		/* log2 of the whole page */
	uint8_t rights, key;
	bool dirty, global;
};

struct model_tlb {
	struct model_geometry geometry;
	struct model_entry *array[MODEL_ARRAYS];
};

struct model {
	const struct model_preset *preset;
	struct model_tlb l1d, l1i, l2d, l2i;
	struct psc psc;
	uint64_t clock;
	struct model_stats stats;
	struct stale *stale;	/* NULL: nobody checks */
	unsigned cpu;		/* whose it is, for reports */
	const uint32_t *attention;	/* that CPU's; NULL: none */
};

/* => NULL: no memory. */
struct model *model_create(const struct model_preset *preset, unsigned cpu);
void model_destroy(struct model *model);

/*
 * Translate by the caches, or by a walk that fills them. @ask: ram, plan,
 * va, access and flags; @cr3 is for reports. => 0 and *@pa, or -1 and *@pf.
 */
int model_access(struct model *m, const struct walk *ask, uint64_t cr3,
		 unsigned pcid, uint64_t *pa, struct page_fault *pf);

/*
 * Forget: everything; what is not global; a PCID's; one address's, all of a
 * large page, in a PCID and, if @global, where it is global.
 */
void model_flush_all(struct model *m);
void model_flush_nonglobal(struct model *m);
void model_flush_pcid(struct model *m, unsigned pcid, bool global);
void model_invlpg(struct model *m, unsigned pcid, uint64_t va, bool global);
/* @w, which only asked, has refused an access: count it. */
void model_refused(struct model *m, const struct walk *w, unsigned pcid);
/* An access to @va has faulted, here or elsewhere. */
void model_fault(struct model *m, unsigned pcid, uint64_t va);
/* A shootdown came. */
void model_shot(struct model *m);

#endif
