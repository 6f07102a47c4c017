/*
 * manual_regs.c - which writes of control registers the manual refuses: see
 * manual_regs.h.
 *
 * A write is made to a copy; each rule looks at the CPU before and after, and
 * the first that is broken refuses. Which is first does not matter: all of
 * them are #GP(0), and nothing is changed by a refused write.
 */
#include "mmucheck/manual_regs.h"

#include <string.h>

#define CR0_MP		(1ull << 1)
#define CR0_EM		(1ull << 2)
#define CR0_TS		(1ull << 3)
#define CR0_AM		(1ull << 18)
#define CR0_NW		(1ull << 29)
#define CR0_CD		(1ull << 30)
#define CR0_BITS	(MC_CR0_PE | CR0_MP | CR0_EM | CR0_TS | MC_CR0_NE | \
			 MC_CR0_WP | CR0_AM | CR0_NW | CR0_CD | MC_CR0_PG)

/* 3A 2.5: VME, PVI, TSD, DE, PSE, PAE, MCE, PGE, PCE, OSFXSR, OSXMMEXCPT, UMIP;
 * FSGSBASE; OSXSAVE. */
#define CR4_ALWAYS	(0xfffull | 1ull << 16 | 1ull << 18)

#define EFER_SCE	1ull

static uint64_t bits(unsigned hi, unsigned lo)
{
	return (~0ull >> (63 - hi)) & (~0ull << lo);
}

/* ---- what there is ---- */

static uint64_t cr4_bits(const struct manual_cpu *c)
{
	static const struct {
		unsigned lack;
		uint64_t bit;
	} optional[] = {
		{ MANUAL_NO_LA57, MC_CR4_LA57 },
		{ MANUAL_NO_PCID, MC_CR4_PCIDE },
		{ MANUAL_NO_SMEP, MC_CR4_SMEP },
		{ MANUAL_NO_SMAP, MC_CR4_SMAP },
		{ MANUAL_NO_PKU, MC_CR4_PKE },
		{ MANUAL_NO_PKS, MC_CR4_PKS },
	};
	uint64_t v = CR4_ALWAYS;

	for (unsigned i = 0; i < sizeof(optional) / sizeof(optional[0]); i++)
		if (!(c->lacks & optional[i].lack))
			v |= optional[i].bit;
	return v;
}

static bool long_active(const struct manual_cpu *c)
{
	return c->efer & MC_EFER_LMA;
}

static bool in_64_bit_code(const struct manual_cpu *c)
{
	return long_active(c) && c->code64;
}

/* 4.1.1 */
static bool uses_pae(const struct manual_cpu *c)
{
	return (c->cr0 & MC_CR0_PG) && (c->cr4 & MC_CR4_PAE) &&
	       !long_active(c);
}

/* ---- the rules ---- */

static bool changed(uint64_t was, uint64_t is, uint64_t bit)
{
	return (was ^ is) & bit;
}

static bool set(uint64_t was, uint64_t is, uint64_t bit)
{
	return ~was & is & bit;
}

/* @was is the CPU before; @is would be it after @value went where it should,
 * unmasked. */
struct write {
	const struct manual_cpu *was, *is;
	enum manual_register which;
	uint64_t value;
};

/* 2B MOV: CR0[63:32] */
static bool cr0_upper(const struct write *w)
{
	return w->which == MANUAL_CR0 && w->value >> 32;
}

/* 2B MOV: "invalid bit combinations" */
static bool pg_without_pe(const struct write *w)
{
	return w->which == MANUAL_CR0 && (w->value & MC_CR0_PG) &&
	       !(w->value & MC_CR0_PE);
}

static bool nw_without_cd(const struct write *w)
{
	return w->which == MANUAL_CR0 && (w->value & CR0_NW) &&
	       !(w->value & CR0_CD);
}

/* 4.1.2: IA-32e mode needs PAE */
static bool lme_without_pae(const struct write *w)
{
	return w->which == MANUAL_CR0 &&
	       set(w->was->cr0, w->value, MC_CR0_PG) &&
	       (w->was->efer & MC_EFER_LME) && !(w->was->cr4 & MC_CR4_PAE);
}

/* 2B MOV, 64-bit mode: "an attempt to clear CR0.PG" */
static bool pg_off_in_64_bit_code(const struct write *w)
{
	return w->which == MANUAL_CR0 &&
	       set(w->value, w->was->cr0, MC_CR0_PG) && in_64_bit_code(w->was);
}

/* 4.10.1: PG cannot be cleared while PCIDE is set */
static bool pg_off_with_pcids(const struct write *w)
{
	return w->which == MANUAL_CR0 &&
	       set(w->value, w->was->cr0, MC_CR0_PG) &&
	       (w->was->cr4 & MC_CR4_PCIDE);
}

/* 2B MOV: CR3[63:MAXPHYADDR]; with PCIDs bit 63 is no part of it (4.10.4.1) */
static bool cr3_upper(const struct write *w)
{
	uint64_t v = w->value;

	if (w->was->cr4 & MC_CR4_PCIDE)
		v &= ~(1ull << 63);
	return w->which == MANUAL_CR3 && (v & bits(63, w->was->maxphyaddr));
}

static bool cr4_reserved(const struct write *w)
{
	return w->which == MANUAL_CR4 && (w->value & ~cr4_bits(w->was));
}

/* 4.1.2 */
static bool pae_off_in_long(const struct write *w)
{
	return w->which == MANUAL_CR4 && long_active(w->was) &&
	       !(w->value & MC_CR4_PAE);
}

static bool la57_in_long(const struct write *w)
{
	return w->which == MANUAL_CR4 && long_active(w->was) &&
	       changed(w->was->cr4, w->value, MC_CR4_LA57);
}

/* 4.10.1 */
static bool pcids_outside_long(const struct write *w)
{
	return w->which == MANUAL_CR4 && !long_active(w->was) &&
	       set(w->was->cr4, w->value, MC_CR4_PCIDE);
}

static bool pcids_with_cr3(const struct write *w)
{
	return w->which == MANUAL_CR4 &&
	       set(w->was->cr4, w->value, MC_CR4_PCIDE) &&
	       (w->was->cr3 & 0xfff);
}

static bool efer_reserved(const struct write *w)
{
	uint64_t known = EFER_SCE | MC_EFER_LME | MC_EFER_LMA;

	if (!(w->was->lacks & MANUAL_NO_NX))
		known |= MC_EFER_NXE;
	return w->which == MANUAL_EFER && (w->value & ~known);
}

/* 4.1.2 */
static bool lme_while_paging(const struct write *w)
{
	return w->which == MANUAL_EFER && (w->was->cr0 & MC_CR0_PG) &&
	       changed(w->was->efer, w->value, MC_EFER_LME);
}

/* 4.4.1: which writes load the PDPTEs */
static bool loads_pdptes(const struct write *w)
{
	if (!uses_pae(w->is))
		return false;
	switch (w->which) {
	case MANUAL_CR0:
		return changed(w->was->cr0, w->is->cr0,
			       CR0_CD | CR0_NW | MC_CR0_PG);
	case MANUAL_CR4:
		return changed(w->was->cr4, w->is->cr4, MC_CR4_PAE |
			       MC_CR4_PGE | MC_CR4_PSE | MC_CR4_SMEP);
	default:
		return w->which == MANUAL_CR3;
	}
}

/* 4.4.1, table 4-8: bits 2:1, 8:5 and 63:MAXPHYADDR */
static bool bad_pdpte(const struct write *w)
{
	uint64_t reserved = bits(2, 1) | bits(8, 5) |
			    bits(63, w->was->maxphyaddr), v;

	for (unsigned i = 0; loads_pdptes(w) && i < 4; i++) {
		v = w->is->read(w->is->memory,
				(w->is->cr3 & bits(31, 5)) + 8 * i);
		if ((v & MC_P) && (v & reserved))
			return true;
	}
	return false;
}

static const struct {
	const char *why;
	bool (*refuses)(const struct write *w);
} rules[] = {
	{ "CR0[63:32]", cr0_upper },
	{ "CR0: PG without PE", pg_without_pe },
	{ "CR0: NW without CD", nw_without_cd },
	{ "CR0: PG on, LME without PAE", lme_without_pae },
	{ "CR0: PG off in 64-bit code", pg_off_in_64_bit_code },
	{ "CR0: PG off with PCIDE", pg_off_with_pcids },
	{ "CR3[63:MAXPHYADDR]", cr3_upper },
	{ "CR4: reserved bits", cr4_reserved },
	{ "CR4: PAE off in IA-32e mode", pae_off_in_long },
	{ "CR4: LA57 changed in IA-32e mode", la57_in_long },
	{ "CR4: PCIDE on outside IA-32e mode", pcids_outside_long },
	{ "CR4: PCIDE on with CR3[11:0]", pcids_with_cr3 },
	{ "EFER: reserved bits", efer_reserved },
	{ "EFER: LME changed while paging", lme_while_paging },
	{ "PDPTE: reserved bits", bad_pdpte },
};

#define RULES	(sizeof(rules) / sizeof(rules[0]))

unsigned manual_reasons(const char *const **reason)
{
	static const char *why[RULES];

	for (unsigned i = 0; i < RULES; i++)
		why[i] = rules[i].why;
	*reason = why;
	return RULES;
}

/* ---- a write ---- */

/* 3A 2.2.1: LMA follows LME and PG; it is not for writing. */
static void follow_lma(struct manual_cpu *c)
{
	c->efer &= ~MC_EFER_LMA;
	if ((c->efer & MC_EFER_LME) && (c->cr0 & MC_CR0_PG))
		c->efer |= MC_EFER_LMA;
}

static void put(struct manual_cpu *c, enum manual_register which,
		uint64_t value)
{
	switch (which) {
	case MANUAL_CR0:
		/* 2.5: ET reads as 1, other bits as 0 */
		c->cr0 = (value & CR0_BITS) | MC_CR0_ET;
		break;
	case MANUAL_CR3:
		if (c->cr4 & MC_CR4_PCIDE)
			value &= ~(1ull << 63);
		c->cr3 = value;
		break;
	case MANUAL_CR4:
		c->cr4 = value;
		break;
	case MANUAL_EFER:
		c->efer = value;
	}
	follow_lma(c);
}

const char *manual_write(struct manual_cpu *c, enum manual_register which,
			 uint64_t value)
{
	struct manual_cpu is = *c;
	struct write w = { .was = c, .is = &is, .which = which };

	/* 2B MOV: outside 64-bit code the operand has 32 bits. */
	if (which != MANUAL_EFER && !in_64_bit_code(c))
		value = (uint32_t)value;
	w.value = value;
	put(&is, which, value);
	for (unsigned i = 0; i < RULES; i++)
		if (rules[i].refuses(&w))
			return rules[i].why;
	for (unsigned i = 0; loads_pdptes(&w) && i < 4; i++)
		is.pdpte[i] = c->read(c->memory,
				      (is.cr3 & bits(31, 5)) + 8 * i);
	*c = is;
	return NULL;
}
