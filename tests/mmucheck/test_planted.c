/*
 * The check is itself checked: an engine with one error planted in it, an
 * error that a walker may well have, must be found within a few thousand
 * cases. The engine is the model, and each error is made by changing what it
 * is asked, what it answers, or what it leaves in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mmucheck/check.h"
#include "mmucheck/manual.h"

#define CASES	4000		/* of each mode, at most */

struct planted {
	const char *what;
	void (*ask)(struct mc_access *a);
	void (*answer)(const struct mc_access *a, struct mc_result *res);
	/* @used: the entries of the first byte, @n of them; 0: it faulted */
	void (*leave)(const struct mc_mem *mem, const struct mc_access *a,
		      const uint64_t *used, unsigned n);
};

static struct mc_engine *model, *subject;
static const struct planted *planted;
static struct mc_access before;		/* the last that succeeded, or none */

/* ---- errors in what is looked at ---- */

static void no_wp(struct mc_access *a) { a->regs.cr0 &= ~MC_CR0_WP; }
static void all_wp(struct mc_access *a) { a->regs.cr0 |= MC_CR0_WP; }
static void no_smep(struct mc_access *a) { a->regs.cr4 &= ~MC_CR4_SMEP; }
static void no_smap(struct mc_access *a) { a->regs.cr4 &= ~MC_CR4_SMAP; }
static void no_ac(struct mc_access *a) { a->regs.ac = false; }
static void no_pke(struct mc_access *a) { a->regs.cr4 &= ~MC_CR4_PKE; }
static void no_pks(struct mc_access *a) { a->regs.cr4 &= ~MC_CR4_PKS; }
static void one_pk(struct mc_access *a) { a->regs.pkrs = a->regs.pkru; }
static void all_nxe(struct mc_access *a) { a->regs.efer |= MC_EFER_NXE; }
static void wide(struct mc_access *a) { a->regs.maxphyaddr++; }
static void narrow(struct mc_access *a) { a->regs.maxphyaddr--; }
static void all_1g(struct mc_access *a) { a->regs.lacks &= ~MC_NO_1G; }
static void no_pse36(struct mc_access *a) { a->regs.lacks |= MC_NO_PSE36; }
static void all_pse(struct mc_access *a) { a->regs.cr4 |= MC_CR4_PSE; }
static void explicit(struct mc_access *a) { a->implicit = false; }
static void no_stack(struct mc_access *a) { a->stack = false; }

static void read_first(struct mc_access *a)
{
	if (a->kind == MC_WRITE)
		a->regs.pkru &= 0x55555555;
}

static void one_page(struct mc_access *a)
{
	unsigned room = 4096 - (a->va & 4095);

	if (a->kind == MC_WRITE && a->size > room)
		a->size = room;
}

static void implicit_one_page(struct mc_access *a)
{
	unsigned room = 4096 - (a->va & 4095);

	if (a->implicit && a->size > room)
		a->size = room;
}

/* Do @a and the access before differ in nothing that a TLB would notice? */
static bool same_but_keys(const struct mc_access *a)
{
	return a->va == before.va && a->kind == before.kind &&
	       a->cpl == before.cpl && a->implicit == before.implicit &&
	       a->regs.ac == before.regs.ac && a->regs.cr0 == before.regs.cr0 &&
	       a->regs.cr4 == before.regs.cr4 &&
	       a->regs.efer == before.regs.efer;
}

static void kept_pkru(struct mc_access *a)
{
	if (same_but_keys(a) && a->regs.pkrs == before.regs.pkrs)
		a->regs.pkru = before.regs.pkru;
}

static void kept_pkrs(struct mc_access *a)
{
	if (same_but_keys(a) && a->regs.pkru == before.regs.pkru)
		a->regs.pkrs = before.regs.pkrs;
}

/* ---- errors in what is said ---- */

static void cr2_page(const struct mc_access *a, struct mc_result *res)
{
	(void)a;
	res->cr2 &= ~4095ull;
}

static void cr2_first(const struct mc_access *a, struct mc_result *res)
{
	if (res->outcome == MC_PF)
		res->cr2 = a->va;
}

static void id_always(const struct mc_access *a, struct mc_result *res)
{
	if (res->outcome == MC_PF && a->kind == MC_FETCH)
		res->error |= MC_PF_ID;
}

static void us_is_cpl(const struct mc_access *a, struct mc_result *res)
{
	if (res->outcome == MC_PF && a->cpl == 3)
		res->error |= MC_PF_US;
}

static void rsvd_absent(const struct mc_access *a, struct mc_result *res)
{
	(void)a;
	if (res->error & MC_PF_RSVD)
		res->error &= ~MC_PF_P;
}

/* Into the non-canonical hole: a #PF first, but not the one there would be. */
static void hole_rsvd(const struct mc_access *a, struct mc_result *res)
{
	unsigned top = a->regs.cr4 & MC_CR4_LA57 ? 56 : 47;
	uint64_t last = a->va + a->size - 1;

	if (a->va >> top || last >> top != 1 || a->kind == MC_FETCH)
		return;
	res->outcome = MC_PF;
	res->error = MC_PF_P | MC_PF_RSVD;
	res->cr2 = a->va;
}

static void no_pk(const struct mc_access *a, struct mc_result *res)
{
	(void)a;
	res->error &= ~MC_PF_PK;
}

/* ---- errors in what is left ---- */

static void change(const struct mc_mem *mem, const struct mc_access *a,
		   uint64_t pa, uint64_t set, uint64_t clear)
{
	unsigned size = a->regs.cr4 & MC_CR4_PAE ? 8 : 4;
	uint64_t v = 0;

	memcpy(&v, mem->base + pa, size);
	v = (v | set) & ~clear;
	memcpy(mem->base + pa, &v, size);
}

static void top_a(const struct mc_mem *mem, const struct mc_access *a,
		  const uint64_t *used, unsigned n)
{
	if (n > 1)
		change(mem, a, used[0], 0, MC_A);
}

static void leaf_a(const struct mc_mem *mem, const struct mc_access *a,
		   const uint64_t *used, unsigned n)
{
	if (n)
		change(mem, a, used[n - 1], 0, MC_A);
}

static void read_d(const struct mc_mem *mem, const struct mc_access *a,
		   const uint64_t *used, unsigned n)
{
	if (n && a->kind == MC_READ)
		change(mem, a, used[n - 1], MC_D, 0);
}

static void no_d(const struct mc_mem *mem, const struct mc_access *a,
		 const uint64_t *used, unsigned n)
{
	if (n && a->kind == MC_WRITE)
		change(mem, a, used[n - 1], 0, MC_D);
}

static void upper_d(const struct mc_mem *mem, const struct mc_access *a,
		    const uint64_t *used, unsigned n)
{
	if (n > 1 && a->kind == MC_WRITE)
		change(mem, a, used[n - 2], MC_D, 0);
}

static void neighbour(const struct mc_mem *mem, const struct mc_access *a,
		      const uint64_t *used, unsigned n)
{
	if (n)
		change(mem, a, used[n - 1] ^ 64, MC_A, 0);
}

static const struct planted errors[] = {
	{ "WP ignored", .ask = no_wp },
	{ "WP taken as set", .ask = all_wp },
	{ "SMEP ignored", .ask = no_smep },
	{ "SMAP ignored", .ask = no_smap },
	{ "AC ignored", .ask = no_ac },
	{ "PKE ignored", .ask = no_pke },
	{ "PKS ignored", .ask = no_pks },
	{ "PKRU for supervisor pages", .ask = one_pk },
	{ "PKRU's WD ignored", .ask = read_first },
	{ "NXE taken as set", .ask = all_nxe },
	{ "MAXPHYADDR one too many", .ask = wide },
	{ "MAXPHYADDR one too few", .ask = narrow },
	{ "1 GiB pages always", .ask = all_1g },
	{ "PSE-36 never", .ask = no_pse36 },
	{ "PSE always", .ask = all_pse },
	{ "implicit accesses explicit", .ask = explicit },
	{ "#GP for #SS", .ask = no_stack },
	{ "a write to one page of two", .ask = one_page },
	{ "implicitly one page of two", .ask = implicit_one_page },
	{ "PKRU as it was before", .ask = kept_pkru },
	{ "PKRS as it was before", .ask = kept_pkrs },
	{ "CR2 is the page", .answer = cr2_page },
	{ "CR2 is the access", .answer = cr2_first },
	{ "I/D for every fetch", .answer = id_always },
	{ "U/S is the CPL", .answer = us_is_cpl },
	{ "P clear with RSVD", .answer = rsvd_absent },
	{ "PK never", .answer = no_pk },
	{ "RSVD before the hole", .answer = hole_rsvd },
	{ "no A at the top", .leave = top_a },
	{ "no A in the leaf", .leave = leaf_a },
	{ "D for a read", .leave = read_d },
	{ "no D", .leave = no_d },
	{ "D above the leaf", .leave = upper_d },
	{ "A in a neighbour", .leave = neighbour },
};

/* ---- the engine ---- */

static void run(struct mc_engine *e, const struct mc_case *c,
		struct mc_result *res)
{
	struct manual m = { .mem = &e->mem };
	uint64_t used[MANUAL_LEVELS];
	struct mc_access a;
	unsigned n;

	memset(&before, 0, sizeof(before));
	for (unsigned i = 0; i < c->naccesses; i++) {
		a = c->access[i];
		if (planted && planted->ask && a.kind != MC_LOADCR3)
			planted->ask(&a);
		manual_access(&m, &a, &res[i]);
		if (res[i].outcome == MC_OK)
			before = a;
		if (i == 0 && res[i].outcome != MC_OK)
			break;
		if (planted && planted->answer)
			planted->answer(&a, &res[i]);
		if (!planted || !planted->leave || a.kind == MC_LOADCR3)
			continue;
		n = res[i].outcome == MC_OK ? manual_entries(&m, &a, used) : 0;
		planted->leave(&e->mem, &a, used, n);
	}
}

/* As hardware may: A is set in what is read on the way to a fault. */
static void run_eager(struct mc_engine *e, const struct mc_case *c,
		      struct mc_result *res)
{
	struct manual m = { .mem = &e->mem };
	const struct mc_access *a;
	uint64_t used[MANUAL_LEVELS];
	unsigned n;

	for (unsigned i = 0; i < c->naccesses; i++) {
		a = &c->access[i];
		manual_access(&m, a, &res[i]);
		if (i == 0 && res[i].outcome != MC_OK)
			break;
		if (res[i].outcome != MC_PF)
			continue;
		n = manual_walked(&m, a, res[i].cr2, used);
		for (unsigned j = 0; j + 1 < n; j++)
			change(&e->mem, a, used[j], MC_A, 0);
	}
}

/* => the number of cases it took; 0: not found */
static uint64_t find(const struct planted *p)
{
	struct check k = { .model = model, .judge = model, .subject = subject };

	planted = p;
	for (uint64_t i = 0; i < CASES; i++)
		for (unsigned m = 0; m < MC_MODES; m++)
			if (!check_case(&k, m, 1, i))
				return k.cases;
	return 0;
}

static void test_found(void **state)
{
	uint64_t n;

	(void)state;
	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		n = find(&errors[i]);
		if (!n)
			fail_msg("not found: %s", errors[i].what);
		print_message("# %s, %s: found in case %llu\n", subject->name,
			      errors[i].what, (unsigned long long)n);
	}
}

/* No departure of KVM may hide any of them. */
static void test_found_in_kvm(void **state)
{
	subject->name = "kvm";
	test_found(state);
	subject->name = "planted";
}

/* What the manual allows hardware is excused where it is known, only there. */
static void test_eager(void **state)
{
	(void)state;
	subject->name = "kvm";
	subject->run = run_eager;
	assert_int_not_equal(find(NULL), 0);
	subject->caps.eager_a = true;
	assert_int_equal(find(NULL), 0);
	subject->caps.eager_a = false;
	subject->run = run;
	subject->name = "planted";
}

static void test_nothing_found(void **state)
{
	(void)state;
	assert_int_equal(find(NULL), 0);
}

static int up(void **state)
{
	char why[128];

	(void)state;
	model = engine_model_open(why, sizeof(why));
	subject = engine_model_open(why, sizeof(why));
	if (!model || !subject)
		return -1;
	subject->name = "planted";
	subject->run = run;
	return 0;
}

static int down(void **state)
{
	(void)state;
	subject->close(subject);
	model->close(model);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_found),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_found_in_kvm),
		cmocka_unit_test(test_eager),
	};

	return cmocka_run_group_tests(tests, up, down);
}
