/*
 * show.c - cases and results in words: show.h.
 */
#include "mmucheck/show.h"

#include <inttypes.h>

#include "mmucheck/manual.h"


static const char *const mode_name[MC_MODES] = {
	[MC_32] = "32", [MC_PAE] = "pae", [MC_64] = "64", [MC_LA57] = "la57",
};

const char *show_mode(enum mc_mode mode)
{
	return mode_name[mode];
}

struct bit_name {
	uint64_t bit;
	const char *name;
};

static const struct bit_name entry_bits[] = {
	{ MC_P, "P" }, { MC_RW, "RW" }, { MC_US, "US" }, { MC_A, "A" },
	{ MC_D, "D" }, { MC_PS, "PS" }, { MC_G, "G" }, { MC_XD, "XD" },
	{ 0, NULL },
};

static const struct bit_name error_bits[] = {
	{ MC_PF_P, "P" }, { MC_PF_WR, "W/R" }, { MC_PF_US, "U/S" },
	{ MC_PF_RSVD, "RSVD" }, { MC_PF_ID, "I/D" }, { MC_PF_PK, "PK" },
	{ 0, NULL },
};

static const struct bit_name cr4_bits[] = {
	{ MC_CR4_PSE, "PSE" }, { MC_CR4_PGE, "PGE" }, { MC_CR4_SMEP, "SMEP" },
	{ MC_CR4_SMAP, "SMAP" }, { MC_CR4_PKE, "PKE" }, { MC_CR4_PKS, "PKS" },
	{ 0, NULL },
};

static void show_bits(FILE *f, const struct bit_name *b, uint64_t v)
{
	for (; b->name; b++)
		if (v & b->bit)
			fprintf(f, " %s", b->name);
}

void show_entry(FILE *f, enum mc_mode mode, const struct mc_entry *e,
		const char *name1, uint64_t value1, const char *name2,
		uint64_t value2)
{
	fprintf(f, "    %-5s at 0x%" PRIx64 " was 0x%" PRIx64 ": %s 0x%" PRIx64,
		manual_level_name(mode, e->level), e->pa, e->value,
		name1, value1);
	show_bits(f, entry_bits, value1);
	fprintf(f, "; %s 0x%" PRIx64, name2, value2);
	show_bits(f, entry_bits, value2);
	fputc('\n', f);
}

void show_case(FILE *f, const struct mc_case *c, unsigned naccesses)
{
	const struct mc_regs *r = &c->access[0].regs;

	fprintf(f, "disagreement: mode %s, seed %" PRIu64 ", case %" PRIu64
		", %u of %u accesses\n  CR3 0x%" PRIx64 ", MAXPHYADDR %u\n",
		mode_name[c->mode], c->seed, c->index, naccesses,
		c->naccesses, r->cr3, r->maxphyaddr);
	for (unsigned i = 0; i < c->nentries; i++) {
		fprintf(f, "    %-5s at 0x%" PRIx64 " = 0x%" PRIx64,
			manual_level_name(c->mode, c->entry[i].level),
			c->entry[i].pa, c->entry[i].value);
		show_bits(f, entry_bits, c->entry[i].value);
		fputc('\n', f);
	}
}

void show_access(FILE *f, unsigned number, const struct mc_access *a)
{
	static const char *const kind[] = {
		[MC_READ] = "read", [MC_WRITE] = "write", [MC_FETCH] = "fetch",
	};
	const struct mc_regs *r = &a->regs;

	if (a->kind == MC_LOADCR3)
		fprintf(f, "  access %u: MOV 0x%" PRIx64 " to CR3\n", number,
			r->cr3);
	else
		fprintf(f, "  access %u: CPL %u%s %s of %u bytes at 0x%" PRIx64
			"%s\n",
			number, a->cpl, a->implicit ? " implicit" : "",
			kind[a->kind], a->size, a->va,
			a->stack ? " through SS" : "");
	fprintf(f, "    with%s", r->cr0 & MC_CR0_WP ? " WP" : "");
	show_bits(f, cr4_bits, r->cr4);
	fprintf(f, "%s%s", r->efer & MC_EFER_NXE ? " NXE" : "",
		r->ac ? " AC" : "");
	if (r->cr4 & MC_CR4_PKE)
		fprintf(f, " PKRU 0x%x", r->pkru);
	if (r->cr4 & MC_CR4_PKS)
		fprintf(f, " PKRS 0x%x", r->pkrs);
	fputc('\n', f);
}

void show_result(FILE *f, const struct mc_access *a,
		 const struct mc_result *res)
{
	switch (res->outcome) {
	case MC_OK:
		fprintf(f, "ok");
		if (res->pa)
			fprintf(f, ", at physical 0x%" PRIx64, res->pa);
		if (a->kind == MC_READ || a->kind == MC_FETCH)
			fprintf(f, ", value 0x%" PRIx64, res->value);
		break;
	case MC_PF:
		fprintf(f, "#PF, CR2 0x%" PRIx64 ", error code 0x%x", res->cr2,
			res->error);
		show_bits(f, error_bits, res->error);
		break;
	case MC_LOST:
		fprintf(f, "no answer (0x%x)", res->detail);
		break;
	default:
		fprintf(f, "%s", res->outcome == MC_GP ? "#GP" :
				 res->outcome == MC_SS ? "#SS" : "beyond RAM");
	}
	fputc('\n', f);
}
