/*
 * engine_emu.c - what is judged: the emulated CPU, through its own front door.
 *
 * The registers of the first access are put in place by hand; from then on
 * they change only by the instructions that change them (emu/regs.h), so that
 * whatever these forget to flush shows. Data moves as it does for any program,
 * through the TLB. Implicit accesses and those through SS have no such way
 * and are made by cpu_access(), which says where they went. Half of the cases
 * run at full speed, the others with the caches of the parts that the emulator
 * can model, and of two that never were, in turn.
 */
#include "mmucheck/engine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emu/cpu.h"
#include "emu/model.h"
#include "mmucheck/guest.h"
#include "mmucheck/layout.h"

#define MAX_MODELS	16

struct engine_emu {
	struct mc_engine e;
	struct ram ram;
	struct cpu *cpu;
	struct model *model[MAX_MODELS];
	unsigned nmodels;
};

/*
 * No parts, but what is seldom met with the accesses of one case on a part:
 * a first level that overflows all the time into a second one, where large
 * pages are in pieces; and walks from the middle of every kind, because
 * nothing else remembers anything.
 */
static const struct model_preset strained[] = {
	{
		.name = "overflowing", .unified = true,
		.l1d = { { { MODEL_4K, 1, 1 } } },
		.l1i = { { { MODEL_4K, 1, 1 } } },
		.l2d = { { { MODEL_4K, 4, 4 } } },
	},
	{ .name = "forgetful", .psc = { [2] = 2, [3] = 2, [4] = 2, [5] = 2 } },
	{ .name = NULL },
};

static const enum mc_outcome outcome_of[] = {
	[MMU_OK] = MC_OK, [MMU_PF] = MC_PF, [MMU_GP] = MC_GP,
	[MMU_SS] = MC_SS, [MMU_UD] = MC_LOST,
};

static const enum mmu_access kind_of[] = {
	[MC_READ] = MMU_READ, [MC_WRITE] = MMU_WRITE, [MC_FETCH] = MMU_FETCH,
};

/* ---- registers ---- */

/* As after a reset and whatever it takes from there; CR3 is still 0. */
static void start(struct cpu *cpu, const struct mc_regs *r)
{
	cpu_set_features(cpu, r->maxphyaddr,
			 (r->lacks & MC_NO_1G ? MMU_NO_1G : 0) |
			 (r->lacks & MC_NO_PSE36 ? MMU_NO_PSE36 : 0));
	memset(cpu->regs.pdpte, 0, sizeof(cpu->regs.pdpte));
	cpu->regs.cr0 = r->cr0;
	cpu->regs.cr3 = 0;
	cpu->regs.cr4 = r->cr4;
	cpu->regs.efer = r->efer;
	cpu->regs.pkru = r->pkru;
	cpu->regs.pkrs = r->pkrs;
	cpu->regs.compat = false;
	cpu_regs_written(cpu);
}

/* => an exception, where none is due: the judge knows nothing of one. */
static int set_regs(struct cpu *cpu, const struct mc_access *a)
{
	const struct mc_regs *r = &a->regs;
	int err = 0;

	if (cpu->regs.cr0 != r->cr0)
		err |= cpu_mov_cr0(cpu, r->cr0);
	if (cpu->regs.cr4 != r->cr4)
		err |= cpu_mov_cr4(cpu, r->cr4);
	if (cpu->regs.efer != r->efer)
		err |= cpu_wrmsr_efer(cpu, r->efer);
	if ((r->cr4 & MC_CR4_PKE) && cpu->regs.pkru != r->pkru)
		err |= cpu_wrpkru(cpu, r->pkru);
	if ((r->cr4 & MC_CR4_PKS) && cpu->regs.pkrs != r->pkrs)
		err |= cpu_wrmsr_pkrs(cpu, r->pkrs);
	cpu_set_cpl(cpu, a->cpl);
	cpu_set_ac(cpu, r->ac);
	return err;
}

/* ---- accesses ---- */

static void explain(const struct cpu *cpu, struct mc_result *res)
{
	res->outcome = outcome_of[cpu->fault.kind];
	res->error = res->outcome == MC_PF ? cpu->fault.error : 0;
	res->cr2 = res->outcome == MC_PF ? cpu->cr2 : 0;
}

/* A load and a store have sizes of their own, with a way of their own. */
static int load(struct cpu *cpu, const struct mc_access *a, uint64_t *v)
{
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	int err;

	switch (a->size) {
	case 1:
		err = cpu_load8(cpu, a->va, &v8);
		*v = err ? 0 : v8;
		return err;
	case 2:
		err = cpu_load16(cpu, a->va, &v16);
		*v = err ? 0 : v16;
		return err;
	case 4:
		err = cpu_load32(cpu, a->va, &v32);
		*v = err ? 0 : v32;
		return err;
	default:
		return cpu_load64(cpu, a->va, v);
	}
}

static int store(struct cpu *cpu, const struct mc_access *a)
{
	switch (a->size) {
	case 1:
		return cpu_store8(cpu, a->va, a->value);
	case 2:
		return cpu_store16(cpu, a->va, a->value);
	case 4:
		return cpu_store32(cpu, a->va, a->value);
	default:
		return cpu_store64(cpu, a->va, a->value);
	}
}

static int fetch(struct cpu *cpu, const struct mc_access *a, uint64_t *v)
{
	uint8_t code[MC_FETCH_LEN];

	if (cpu_fetch(cpu, a->va, code, sizeof(code)))
		return -1;
	*v = 0;
	memcpy(v, code + 1, 4);
	return 0;
}

static void move(uint8_t *ram, uint8_t *data, unsigned len, enum mc_kind kind)
{
	if (kind == MC_WRITE)
		memcpy(ram, data, len);
	else
		memcpy(data, ram, len);
}

/* Whose first byte is at @pa; where the second page is has to be asked. */
static void move_implicit(struct engine_emu *k, const struct mc_access *a,
			  struct mc_result *res)
{
	unsigned room = 4096 - (a->va & 4095);
	unsigned first = a->size < room ? a->size : room;
	struct mmu_outcome out = { 0 };
	uint64_t data = a->value;
	uint8_t *bytes = (uint8_t *)&data;

	if (a->kind == MC_READ)
		data = 0;
	if (first < a->size)
		cpu_access(k->cpu, a->va + first, a->size - first,
			   kind_of[a->kind], MMU_IMPLICIT, &out);
	move(k->ram.base + res->pa, bytes, first, a->kind);
	move(k->ram.base + out.pa, bytes + first, a->size - first, a->kind);
	res->value = a->kind == MC_READ ? data : 0;
}

static void judged(struct engine_emu *k, const struct mc_access *a,
		   struct mc_result *res)
{
	unsigned flags = (a->implicit ? MMU_IMPLICIT : 0) |
			 (a->stack ? MMU_STACK : 0);
	struct mmu_outcome out;

	cpu_access(k->cpu, a->va, a->size, kind_of[a->kind], flags, &out);
	res->outcome = outcome_of[out.kind];
	res->error = out.kind == MMU_PF ? out.error : 0;
	res->cr2 = out.kind == MMU_PF ? out.cr2 : 0;
	res->pa = out.kind == MMU_OK ? out.pa : 0;
	if (a->implicit && res->outcome == MC_OK)
		move_implicit(k, a, res);
}

static void run_access(struct engine_emu *k, const struct mc_access *a,
		       struct mc_result *res)
{
	int err;

	memset(res, 0, sizeof(*res));
	if (a->kind == MC_LOADCR3) {
		start(k->cpu, &a->regs);
		res->outcome = outcome_of[cpu_mov_cr3(k->cpu, a->regs.cr3)];
		return;
	}
	res->outcome = MC_LOST;
	if (set_regs(k->cpu, a))
		return;
	if (a->implicit || a->stack) {
		judged(k, a, res);
		if (a->implicit || res->outcome != MC_OK)
			return;
	}
	err = a->kind == MC_FETCH ? fetch(k->cpu, a, &res->value) :
	      a->kind == MC_WRITE ? store(k->cpu, a) :
				    load(k->cpu, a, &res->value);
	res->outcome = MC_OK;
	if (err)
		explain(k->cpu, res);
}

static void run(struct mc_engine *e, const struct mc_case *c,
		struct mc_result *res)
{
	struct engine_emu *k = (struct engine_emu *)e;
	unsigned which = c->index % (2 * k->nmodels);

	cpu_set_model(k->cpu, which < k->nmodels ? k->model[which] : NULL);
	cpu_enter(k->cpu);
	for (unsigned i = 0; i < c->naccesses; i++) {
		run_access(k, &c->access[i], &res[i]);
		if (i == 0 && res[i].outcome != MC_OK)
			break;
	}
	cpu_leave(k->cpu);
}

/* ---- up and down ---- */

static void engine_close(struct mc_engine *e)
{
	struct engine_emu *k = (struct engine_emu *)e;

	cpu_set_model(k->cpu, NULL);
	for (unsigned i = 0; i < k->nmodels; i++)
		model_destroy(k->model[i]);
	ram_destroy(&k->ram);
	free(k->cpu);
	free(k);
}

/* Of all of @p; => false: no memory */
static bool make_models(struct engine_emu *k, const struct model_preset *p)
{
	struct model *m;

	for (; p->name; p++) {
		m = model_create(p, 0);
		if (!m)
			return false;
		assert(k->nmodels < MAX_MODELS);
		k->model[k->nmodels++] = m;
	}
	return true;
}

static struct engine_emu *engine_make(char *why, size_t size)
{
	struct engine_emu *k = calloc(1, sizeof(*k));
	int err = k ? ram_create(&k->ram, MC_MEM_SIZE) : -ENOMEM;

	if (err < 0) {
		snprintf(why, size, "the RAM judged: %s", strerror(-err));
		free(k);
		return NULL;
	}
	k->cpu = aligned_alloc(64, (sizeof(*k->cpu) + 63) & ~63ul);
	if (!k->cpu) {
		snprintf(why, size, "out of memory");
		ram_destroy(&k->ram);
		free(k);
		return NULL;
	}
	cpu_init(k->cpu, &k->ram, 0);
	return k;
}

struct mc_engine *engine_emu_open(char *why, size_t size)
{
	struct engine_emu *k = engine_make(why, size);

	if (!k)
		return NULL;
	if (!make_models(k, model_presets) || !make_models(k, strained)) {
		snprintf(why, size, "out of memory");
		engine_close(&k->e);
		return NULL;
	}
	k->e.name = "emu";
	k->e.mem = (struct mc_mem){ k->ram.base, k->ram.size };
	k->e.run = run;
	k->e.close = engine_close;
	guest_build(&k->e.mem);
	return &k->e;
}
