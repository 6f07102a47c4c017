/*
 * tlb_oracle.h - what may be cached, and what must not be used: a CPU, page
 * tables, and an oracle beside them.
 *
 * Page tables from a pool are edited at random, at every level, with and
 * without the invalidations they would need, in several PCIDs, while accesses
 * go on. An oracle written from SDM 3A 4.10 keeps the set of everything that
 * may be cached: each access adds what its walk could have cached, from the
 * root or from any paging-structure-cache entry there may be (4.10.2, 4.10.3);
 * each invalidation takes out what the manual says it does (4.10.4.1). An
 * access that reaches a page must be explained by the tables as they are or
 * by that set; one that faults, by the tables. The counters then show that a
 * CPU with caches large enough uses what it may.
 *
 * The oracle shares no code with the walker.
 */
#ifndef TESTS_EMU_TLB_ORACLE_H
#define TESTS_EMU_TLB_ORACLE_H

#include "emu/cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emu/model.h"

#define RAM_BYTES	(8u << 20)
#define POOL		4	/* tables a level */
#define PAGES		6	/* small pages */
#define VAS		16
#define PCIDS		3
#define SETS		4096	/* records the oracle has room for */
#define LEVELS		5

#define P		X86_PTE_P
#define W		X86_PTE_W
#define U		X86_PTE_U
#define A		X86_PTE_A
#define D		X86_PTE_D
#define PS		X86_PTE_PS
#define G		X86_PTE_G
#define NX		X86_PTE_NX
#define ADDR		X86_PTE64_ADDR

/* Something that may be cached. level 0: in the TLB; else a table's entry. */
struct record {
	unsigned level, shift, pcid;
	uint64_t page;		/* va >> shift */
	uint64_t to;		/* page, or next table */
	bool w, u, nx, dirty, global;
};

enum op { OP_ACCESS = 1, OP_INVLPG = 2, OP_PCID = 4, OP_CR3 = 8, OP_CR4 = 16 };

struct world {
	struct ram ram;
	struct cpu *cpu;
	struct model *model;	/* or NULL */
	unsigned levels;	/* 5, 4; 3: PAE; 2: 32-bit */
	uint64_t table[LEVELS + 1][POOL];	/* physical addresses */
	uint64_t va[VAS];
	struct record set[SETS];
	unsigned n;
	uint64_t x;		/* random */
	uint64_t may, hits;	/* accesses the set allowed, and that hit */
	uint64_t faults, stale;
	/* Around each operation of the CPU, and what is wrong is not the end
	 * of the test then, but found. NULL: nobody. */
	void (*begin)(struct world *t);
	void (*end)(struct world *t, enum op op, unsigned type);
	bool found;
};

static void op_begin(struct world *t)
{
	if (t->begin)
		t->begin(t);
}

/* @type: of INVPCID; what came of an access. */
static void op_end(struct world *t, enum op op, unsigned type)
{
	if (t->end)
		t->end(t, op, type);
}

static uint64_t rnd(struct world *t, uint64_t below)
{
	t->x ^= t->x << 13;
	t->x ^= t->x >> 7;
	t->x ^= t->x << 17;
	return (t->x * 0x2545f4914f6cdd1dull >> 20) % below;
}

static unsigned shift_of(const struct world *t, unsigned level)
{
	return 12 + (t->levels == 2 ? 10 : 9) * (level - 1);
}

static void *slot(struct world *t, uint64_t table, unsigned level,
		  uint64_t va)
{
	uint64_t i = va >> shift_of(t, level);

	if (t->levels == 2)
		return t->ram.base + table + (i & 1023) * 4;
	return t->ram.base + table + (i & 511) * 8;
}

static uint64_t entry_at(struct world *t, uint64_t table, unsigned level,
			 uint64_t va)
{
	void *s = slot(t, table, level, va);

	return t->levels == 2 ? *(uint32_t *)s : *(uint64_t *)s;
}

static bool long_mode(const struct world *t)
{
	return t->levels > 3;
}

static unsigned pcid_now(const struct world *t)
{
	const struct mmu_regs *r = &t->cpu->regs;

	return r->cr4 & X86_CR4_PCIDE ? r->cr3 & 0xfff : 0;
}

/* ---- the oracle: the set ---- */

static void set_add(struct world *t, const struct record *r)
{
	unsigned i;

	for (i = 0; i < t->n; i++)
		if (!memcmp(&t->set[i], r, sizeof(*r)))
			return;
	assert_true(t->n < SETS);
	t->set[t->n++] = *r;
}

enum { ONE = 1, ALL_PCIDS = 2, GLOBAL_TOO = 4, WALK_KEY = 8 };

/* An invalidation. @how ONE: of @va only; WALK_KEY: upper levels likewise. */
static void set_drop(struct world *t, unsigned how, unsigned pcid,
		     uint64_t va)
{
	unsigned i, kept = 0;
	struct record *r;
	bool gone;

	for (i = 0; i < t->n; i++) {
		r = &t->set[i];
		gone = (how & ALL_PCIDS) || r->pcid == pcid;
		if (!r->level && r->global)
			gone = how & GLOBAL_TOO;
		if ((how & ONE) && (!r->level || (how & WALK_KEY)) &&
		    r->page != va >> r->shift)
			gone = false;
		if (!gone)
			t->set[kept++] = *r;
	}
	t->n = kept;
}

/* ---- the oracle: rights and walks ---- */

static bool may(const struct mmu_regs *r, enum mmu_access access, bool w,
		bool u, bool nx)
{
	bool user = r->cpl == 3;

	if (user && !u)
		return false;
	if (access == MMU_FETCH)
		return !nx && (user || !u || !(r->cr4 & X86_CR4_SMEP));
	if (!user && u && (r->cr4 & X86_CR4_SMAP) && !r->ac)
		return false;
	return access == MMU_READ || w ||
	       (!user && !(r->cr0 & X86_CR0_WP));
}

/* What a walk that begins at @from would come to, and leave cached. */
struct result {
	bool ok;
	uint64_t pa;
	uint32_t error;
	struct record leaf;
	struct record upper[LEVELS];
	unsigned nupper;
};

static void result_error(struct world *t, struct result *out, bool present,
			 enum mmu_access access)
{
	out->ok = false;
	out->error = present ? X86_PF_P : 0;
	if (access == MMU_WRITE)
		out->error |= X86_PF_W;
	if (access == MMU_FETCH && (t->levels > 2 ||
				    (t->cpu->regs.cr4 & X86_CR4_SMEP)))
		out->error |= X86_PF_I;
	if (t->cpu->regs.cpl == 3)
		out->error |= X86_PF_U;
}

static void oracle_walk(struct world *t, struct record at, uint64_t va,
			enum mmu_access access, struct result *out)
{
	const struct mmu_regs *r = &t->cpu->regs;
	uint64_t e;

	out->nupper = 0;
	for (;;) {
		--at.level;
		e = entry_at(t, at.to, at.level, va);
		if (!(e & P)) {
			result_error(t, out, false, access);
			return;
		}
		at.w &= !!(e & W);
		at.u &= !!(e & U);
		at.nx |= !!(e & NX);
		at.shift = shift_of(t, at.level);
		at.page = va >> at.shift;
		at.to = e & ADDR;
		if (at.level == 1 || (e & PS))
			break;
		out->upper[out->nupper++] = at;
	}
	at.level = 0;
	at.dirty = (e & D) || access == MMU_WRITE;
	at.global = (e & G) && (r->cr4 & X86_CR4_PGE);
	out->leaf = at;
	out->pa = at.to | (va & ((1ull << at.shift) - 1));
	if (may(r, access, at.w, at.u, at.nx))
		out->ok = true;
	else
		result_error(t, out, true, access);
}

/* PAE's PDPTEs are never edited; all of them are present. */
static struct record root(struct world *t, uint64_t va)
{
	struct record r;

	memset(&r, 0, sizeof(r));
	r.level = t->levels + 1;
	r.pcid = pcid_now(t);
	r.to = t->cpu->regs.cr3 & ADDR;
	if (t->levels == 3) {
		r.level = 3;
		r.to = entry_at(t, r.to, 3, va) & ADDR;
	}
	r.w = r.u = true;
	return r;
}

/* Is @r for @va in the present PCID? */
static bool applies(struct world *t, const struct record *r, uint64_t va)
{
	if (r->page != va >> r->shift)
		return false;
	return r->pcid == pcid_now(t) || (!r->level && r->global);
}

static bool serves(struct world *t, const struct record *r, uint64_t va,
		   enum mmu_access access)
{
	return !r->level && applies(t, r, va) &&
	       may(&t->cpu->regs, access, r->w, r->u, r->nx) &&
	       (access != MMU_WRITE || r->dirty);
}

/* All it may leave behind: the set after an access. */
static void learn(struct world *t, const struct result *res)
{
	unsigned i;

	if (!res->ok)
		return;
	for (i = 0; i < res->nupper; i++)
		set_add(t, &res->upper[i]);
	set_add(t, &res->leaf);
}

/* ---- one access, judged ---- */

static const char *describe(struct world *t, uint64_t va,
			    const struct mmu_outcome *out)
{
	static char text[160];

	snprintf(text, sizeof(text), "va %llx pcid %u: kind %d pa %llx error "
		 "%x", (unsigned long long)va, pcid_now(t), out->kind,
		 (unsigned long long)out->pa, out->error);
	return text;
}

static void bad(struct world *t, const char *what, uint64_t va,
		const struct mmu_outcome *out)
{
	if (!t->end)
		fail_msg("%s: %s", what, describe(t, va, out));
	t->found = true;
}

/* => some may-be-cached translation, or walk, that gives @pa */
static bool explained(struct world *t, uint64_t va, enum mmu_access access,
		      uint64_t pa)
{
	struct result res;
	unsigned i, n = t->n;
	bool found = false;

	for (i = 0; i < n; i++) {
		struct record r = t->set[i];

		if (serves(t, &r, va, access))
			found |= (r.to | (va & ((1ull << r.shift) - 1))) ==
				 pa;
		if (!r.level || !applies(t, &r, va))
			continue;
		oracle_walk(t, r, va, access, &res);
		found |= res.ok && res.pa == pa;
		learn(t, &res);
	}
	return found;
}

static bool cached(struct world *t, uint64_t va, enum mmu_access access)
{
	unsigned i;

	for (i = 0; i < t->n; i++)
		if (serves(t, &t->set[i], va, access))
			return true;
	return false;
}

static uint64_t walks(const struct world *t)
{
	return t->cpu->stats.walks;
}

static void step_access(struct world *t)
{
	uint64_t va = t->va[rnd(t, VAS)] + rnd(t, 512) * 8, before = walks(t);
	enum mmu_access access = rnd(t, 3);
	struct mmu_outcome out;
	struct result now;
	bool could = cached(t, va, access);

	oracle_walk(t, root(t, va), va, access, &now);
	op_begin(t);
	cpu_access(t->cpu, va, 8, access, 0, &out);
	op_end(t, OP_ACCESS, out.kind);
	if (out.kind != MMU_OK) {
		if (now.ok || out.kind != MMU_PF || out.cr2 != va ||
		    out.error != now.error)
			bad(t, "fault not in the tables", va, &out);
		set_drop(t, ONE, pcid_now(t), va);
		t->faults++;
		return;
	}
	t->may += could;
	t->hits += walks(t) == before;
	if (walks(t) == before && !could)
		bad(t, "hit what is not cached", va, &out);
	if (!now.ok || now.pa != out.pa) {
		t->stale++;
		if (!explained(t, va, access, out.pa))
			bad(t, "used what it must not", va, &out);
	} else if (walks(t) != before) {
		explained(t, va, access, out.pa);
	}
	if (walks(t) != before)
		learn(t, &now);
}

/* ---- what else happens ---- */

static void step_edit(struct world *t)
{
	unsigned level = 1 + rnd(t, t->levels == 3 ? 2 : t->levels);
	uint64_t va = t->va[rnd(t, VAS)], e = 0, old;
	uint64_t table = t->table[level][rnd(t, POOL)];

	if (rnd(t, 8))
		e |= P;
	e |= rnd(t, 4) ? W : 0;
	e |= rnd(t, 4) ? U : 0;
	e |= rnd(t, 6) || t->levels == 2 ? 0 : NX;
	e |= rnd(t, 2) ? A : 0;
	if (level == 1)
		e |= (16 + rnd(t, PAGES)) << 12 | (rnd(t, 4) ? 0 : G) |
		     (rnd(t, 3) ? 0 : D);
	else if (level == 2 && !rnd(t, 3))
		e |= rnd(t, 2) << 22 | PS | (rnd(t, 4) ? 0 : G);
	else if (level == 3 && !rnd(t, 6))
		e |= PS | (rnd(t, 4) ? 0 : G);
	else
		e |= t->table[level - 1][rnd(t, POOL)];
	old = entry_at(t, table, level, va);
	/* Bits only, now and then. */
	if (!rnd(t, 4))
		e = (old & (ADDR | PS | P)) | (e & ~(ADDR | PS));
	if (t->levels == 2)
		*(uint32_t *)slot(t, table, level, va) = e;
	else
		*(uint64_t *)slot(t, table, level, va) = e;
}

static void step_invlpg(struct world *t)
{
	uint64_t va = t->va[rnd(t, VAS)];

	op_begin(t);
	cpu_invlpg(t->cpu, va);
	op_end(t, OP_INVLPG, 0);
	set_drop(t, ONE | GLOBAL_TOO, pcid_now(t), va);
}

static void step_invpcid(struct world *t)
{
	unsigned type = rnd(t, 4), pcid = rnd(t, PCIDS);
	uint64_t va = t->va[rnd(t, VAS)];
	int want = type < 2 && pcid && !(t->cpu->regs.cr4 & X86_CR4_PCIDE) ?
		   MMU_GP : 0;

	op_begin(t);
	assert_int_equal(cpu_invpcid(t->cpu, type, pcid, va), want);
	if (want)
		return;
	op_end(t, OP_PCID, type);
	if (type == 0)
		set_drop(t, ONE | WALK_KEY, pcid, va);
	else if (type == 1)
		set_drop(t, 0, pcid, 0);
	else
		set_drop(t, ALL_PCIDS | (type == 2 ? GLOBAL_TOO : 0), 0, 0);
}

static void step_cr3(struct world *t)
{
	bool pcide = t->cpu->regs.cr4 & X86_CR4_PCIDE;
	uint64_t cr3 = t->table[t->levels][rnd(t, 2)], keep = 0;

	if (pcide) {
		cr3 |= rnd(t, PCIDS);
		keep = rnd(t, 2) ? X86_CR3_NOFLUSH : 0;
	}
	op_begin(t);
	assert_int_equal(cpu_mov_cr3(t->cpu, cr3 | keep), 0);
	op_end(t, OP_CR3, 0);
	if (!keep)
		set_drop(t, 0, pcid_now(t), 0);
}

static void step_cr4(struct world *t)
{
	static const uint64_t bits[] = {
		X86_CR4_PGE, X86_CR4_PCIDE, X86_CR4_SMEP, X86_CR4_SMAP,
	};
	uint64_t old = t->cpu->regs.cr4, new = old ^ bits[rnd(t, 4)];

	if ((new & ~old & X86_CR4_PCIDE) &&
	    (!long_mode(t) || (t->cpu->regs.cr3 & 0xfff))) {
		assert_int_equal(cpu_mov_cr4(t->cpu, new), MMU_GP);
		return;
	}
	op_begin(t);
	assert_int_equal(cpu_mov_cr4(t->cpu, new), 0);
	op_end(t, OP_CR4, 0);
	if (((new ^ old) & X86_CR4_PGE) || (old & ~new & X86_CR4_PCIDE))
		set_drop(t, ALL_PCIDS | GLOBAL_TOO, 0, 0);
	else if (new & ~old & X86_CR4_SMEP)
		set_drop(t, 0, pcid_now(t), 0);
}

static void step_mode(struct world *t)
{
	switch (rnd(t, 3)) {
	case 0:
		cpu_set_cpl(t->cpu, rnd(t, 2) * 3);
		break;
	case 1:
		cpu_set_ac(t->cpu, rnd(t, 2));
		break;
	default:
		cpu_mov_cr0(t->cpu, t->cpu->regs.cr0 ^ X86_CR0_WP);
	}
}

static void step(struct world *t)
{
	unsigned what = rnd(t, 100);

	if (t->n > SETS / 2) {
		cpu_flush(t->cpu);
		t->n = 0;
	}
	if (what < 70)
		step_access(t);
	else if (what < 85)
		step_edit(t);
	else if (what < 88)
		step_invlpg(t);
	else if (what < 91)
		step_invpcid(t);
	else if (what < 96)
		step_cr3(t);
	else if (what < 97)
		step_cr4(t);
	else
		step_mode(t);
}

/* ---- the machine ---- */

static void world_make(struct world *t, const struct model_preset *preset,
		       unsigned levels, uint64_t seed)
{
	static const enum mmu_mode modes[] = {
		[2] = MMU_32, [3] = MMU_PAE, [4] = MMU_64, [5] = MMU_57,
	};
	unsigned level, i;

	memset(t, 0, sizeof(*t));
	t->x = seed * 0x9e3779b97f4a7c15ull + 1;
	t->levels = levels;
	assert_int_equal(ram_create(&t->ram, RAM_BYTES), 0);
	for (level = 1; level <= levels; level++)
		for (i = 0; i < POOL; i++)
			t->table[level][i] = (32 + level * POOL + i) * 4096ull;
	for (i = 0; i < VAS; i++)
		t->va[i] = (uint64_t)(i & 1 ? 3 : 5) << 12 |
			   (uint64_t)(i >> 1 & 1) << shift_of(t, 2) |
			   (uint64_t)(i >> 2 & 1) << 30 |
			   (uint64_t)(i >> 3 & 1) << shift_of(t, levels);
	for (i = 0; levels == 3 && i < 8; i++)
		*(uint64_t *)slot(t, t->table[3][i & 1], 3,
				  (uint64_t)(i >> 1) << 30) =
			t->table[2][i % POOL] | P;
	t->cpu = malloc(sizeof(*t->cpu));
	cpu_init(t->cpu, &t->ram, 0);
	cpu_set_mode(t->cpu, modes[levels]);
	cpu_enter(t->cpu);
	cpu_mov_cr3(t->cpu, t->table[levels][0]);
	t->model = preset ? model_create(preset, 0) : NULL;
	cpu_set_model(t->cpu, t->model);
	for (i = 0; i < 2000; i++)
		step_edit(t);
}

static void world_free(struct world *t)
{
	cpu_leave(t->cpu);
	model_destroy(t->model);
	ram_destroy(&t->ram);
	free(t->cpu);
}

/* Room for everything: nothing is lost but what is invalidated. */
static const struct model_preset vast = {
	.name = "vast",
	.l1d = { { { 7, 1, 64 } } }, .l1i = { { { 7, 1, 64 } } },
	.l2d = { { { 7, 1, 256 } } }, .unified = true,
	.psc = { 0, 0, 64, 64, 64, 64 },
};

#endif
