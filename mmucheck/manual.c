/*
 * manual.c - the second judge: what the manual says an access comes to.
 *
 * One access goes: canonical? (1: SDM vol. 1, 3.3.7.1) -> for each page it
 * touches, walk() reads the entries and judges presence and reserved bits
 * (4.2 to 4.5), permitted() judges rights (4.6), error_code() composes what
 * a fault says (4.7) -> commit() sets A and D (4.8) -> the data moves.
 *
 * Choices where the manual leaves one:
 *  - an access that faults sets no A and no D, at any level, on any page
 *    (4.8 lets a processor set A for an entry it has used);
 *  - of two pages, the lower address is judged first, and the data moves
 *    only when both are good;
 *  - CR2 is the first byte of the access that lies on the bad page.
 *
 * Not modelled: SGX, shadow stacks, HLAT, and guests of its own.
 */
#include "mmucheck/manual.h"

#include <string.h>

#include "mmucheck/layout.h"

/* Bits @hi to @lo, both included; none if @hi < @lo. */
static uint64_t bits(unsigned hi, unsigned lo)
{
	if (hi < lo)
		return 0;
	return (~0ull >> (63 - hi)) & (~0ull << lo);
}

/* ---- the formats ---- */

/* @page_shift: what an entry maps with PS = 1; 0: it never maps a page. */
struct level {
	const char *name;
	unsigned index_shift, index_bits, page_shift;
};

/* From level 1 upwards. Figures 4-2, 4-3; 4-5 to 4-7; 4-8 to 4-10. */
static const struct level levels_32[] = {
	{ "PTE", 12, 10, 12 },
	{ "PDE", 22, 10, 22 },
};

static const struct level levels_pae[] = {
	{ "PTE", 12, 9, 12 },
	{ "PDE", 21, 9, 21 },
	{ "PDPTE", 30, 2, 0 },
};

static const struct level levels_long[] = {
	{ "PTE", 12, 9, 12 },
	{ "PDE", 21, 9, 21 },
	{ "PDPTE", 30, 9, 30 },
	{ "PML4E", 39, 9, 0 },
	{ "PML5E", 48, 9, 0 },
};

static const struct {
	const struct level *level;
	unsigned n, entry_size, linear_bits;
} format[MC_MODES] = {
	[MC_32] = { levels_32, 2, 4, 32 },
	[MC_PAE] = { levels_pae, 3, 8, 32 },
	[MC_64] = { levels_long, 4, 8, 48 },
	[MC_LA57] = { levels_long, 5, 8, 57 },
};

const char *manual_level_name(enum mc_mode mode, unsigned level)
{
	return format[mode].level[level - 1].name;
}

unsigned manual_levels(enum mc_mode mode)
{
	return format[mode].n;
}

unsigned manual_index_shift(enum mc_mode mode, unsigned level)
{
	return format[mode].level[level - 1].index_shift;
}

unsigned manual_index_bits(enum mc_mode mode, unsigned level)
{
	return format[mode].level[level - 1].index_bits;
}

/* 4.1.1: the paging mode, with CR0.PG = 1. */
static enum mc_mode paging_mode(const struct mc_regs *r)
{
	if (!(r->cr4 & MC_CR4_PAE))
		return MC_32;
	if (!(r->efer & MC_EFER_LME))
		return MC_PAE;
	return r->cr4 & MC_CR4_LA57 ? MC_LA57 : MC_64;
}

static bool is_long(enum mc_mode mode)
{
	return mode == MC_64 || mode == MC_LA57;
}

/* 4.3: M, which with PSE-36 reaches 40 bits and no more. */
static unsigned pse36_bits(const struct mc_regs *r)
{
	if (r->lacks & MC_NO_PSE36)
		return 32;
	return r->maxphyaddr < 40 ? r->maxphyaddr : 40;
}

/* ---- reserved bits ---- */

/* 4.3, table 4-4; no other entry of this mode has any. */
static uint64_t reserved_32(const struct mc_regs *r, bool large)
{
	return large ? bits(21, pse36_bits(r) - 19) : 0;
}

/*
 * 4.4.2, tables 4-9 to 4-11; 4.5.4, tables 4-15 to 4-20. Bit 63 is reserved
 * where it is not XD.
 */
static uint64_t reserved_wide(enum mc_mode mode, const struct mc_regs *r,
			      unsigned level, bool large)
{
	uint64_t v = bits(mode == MC_PAE ? 62 : 51, r->maxphyaddr);

	if (!(r->efer & MC_EFER_NXE))
		v |= MC_XD;
	if (large && level == 2)
		v |= bits(20, 13);
	if (large && level == 3)
		v |= bits(29, 13);
	if (level >= 4 || (level == 3 && (r->lacks & MC_NO_1G)))
		v |= MC_PS;
	return v;
}

/* Does this entry map a page, at @level? */
static bool maps_page(enum mc_mode mode, const struct mc_regs *r,
		      unsigned level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (format[mode].level[level - 1].page_shift == 0)
		return false;
	/* 4.3: without CR4.PSE, bit 7 of a PDE is ignored in this mode. */
	if (mode == MC_32 && !(r->cr4 & MC_CR4_PSE))
		return false;
	return entry & MC_PS;
}

static bool has_reserved(enum mc_mode mode, const struct mc_regs *r,
			 unsigned level, uint64_t entry)
{
	bool large = level > 1 && maps_page(mode, r, level, entry);
	uint64_t mask = mode == MC_32 ? reserved_32(r, large) :
					reserved_wide(mode, r, level, large);

	return entry & mask;
}

/* ---- addresses in entries ---- */

static uint64_t table_address(enum mc_mode mode, uint64_t entry)
{
	return entry & (mode == MC_32 ? bits(31, 12) : bits(51, 12));
}

static uint64_t page_address(enum mc_mode mode, const struct mc_regs *r,
			     unsigned shift, uint64_t entry, uint64_t va)
{
	uint64_t base;

	if (mode == MC_32 && shift == 22)	/* table 4-4 */
		base = (entry & bits(31, 22)) |
		       (entry & bits(pse36_bits(r) - 20, 13)) << 19;
	else
		base = entry & bits(mode == MC_32 ? 31 : 51, shift);
	return base | (va & bits(shift - 1, 0));
}

/* ---- memory ---- */

static uint64_t read_entry(const struct manual *m, uint64_t pa, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, m->mem->base + pa, size);
	return v;
}

static void set_bits(const struct manual *m, uint64_t pa, unsigned size,
		     uint64_t set)
{
	uint64_t v = read_entry(m, pa, size) | set;

	memcpy(m->mem->base + pa, &v, size);
}

/* ---- the walk ---- */

enum found { PAGE, ABSENT, RESERVED, BEYOND };

struct walk {
	enum found found;
	uint64_t used[MANUAL_LEVELS];	/* entries in memory, top first */
	unsigned nused, entry_size;
	uint64_t pa;			/* of the byte asked for */
	/* over all levels, 4.6: AND of R/W and of U/S, OR of XD */
	bool write, user, no_execute;
	unsigned key;			/* 4.6.2: bits 62:59 of the last */
};

static void add_rights(struct walk *w, enum mc_mode mode,
		       const struct mc_regs *r, uint64_t entry)
{
	w->write &= (entry & MC_RW) != 0;
	w->user &= (entry & MC_US) != 0;
	w->no_execute |= mode != MC_32 && (r->efer & MC_EFER_NXE) &&
			 (entry & MC_XD);
}

/* From the table at @table, which is of @level, downwards. */
static void walk_down(const struct manual *m, struct walk *w, enum mc_mode mode,
		      const struct mc_regs *r, uint64_t table, unsigned level,
		      uint64_t va)
{
	const struct level *l;
	uint64_t pa, entry;

	for (;; level--) {
		l = &format[mode].level[level - 1];
		pa = table + (va >> l->index_shift & bits(l->index_bits - 1, 0))
			     * w->entry_size;
		w->found = BEYOND;
		if (!layout_exists(pa))
			return;
		entry = read_entry(m, pa, w->entry_size);
		w->used[w->nused++] = pa;
		w->found = ABSENT;
		if (!(entry & MC_P))
			return;
		w->found = RESERVED;
		if (has_reserved(mode, r, level, entry))
			return;
		add_rights(w, mode, r, entry);
		if (maps_page(mode, r, level, entry))
			break;
		table = table_address(mode, entry);
	}
	w->key = is_long(mode) ? entry >> 59 & 15 : 0;
	w->pa = page_address(mode, r, l->page_shift, entry, va);
	w->found = layout_exists(w->pa) ? PAGE : BEYOND;
}

static void walk(const struct manual *m, struct walk *w, enum mc_mode mode,
		 const struct mc_regs *r, uint64_t va)
{
	uint64_t pdpte;

	memset(w, 0, sizeof(*w));
	w->write = w->user = true;
	w->entry_size = format[mode].entry_size;
	if (mode == MC_32) {
		walk_down(m, w, mode, r, r->cr3 & bits(31, 12), 2, va);
	} else if (mode == MC_PAE) {
		/* 4.4.2: from the register, which was judged when loaded. */
		pdpte = m->pdpte[va >> 30 & 3];
		w->found = ABSENT;
		if (pdpte & MC_P)
			walk_down(m, w, mode, r, pdpte & bits(51, 12), 2, va);
	} else {
		walk_down(m, w, mode, r, r->cr3 & bits(51, 12),
			  format[mode].n, va);
	}
}

/* ---- access rights ---- */

/* 4.6: explicit accesses at CPL 3 are user-mode, all others supervisor. */
static bool is_user_access(const struct mc_access *a)
{
	return a->cpl == 3 && !a->implicit;
}

/*
 * 4.6.2: do protection keys forbid the access? WD of PKRU forbids user-mode
 * writes, and supervisor-mode writes if CR0.WP = 1; WD of IA32_PKRS forbids
 * writes if CR0.WP = 1, by whomever.
 */
static bool key_forbids(const struct mc_access *a, const struct walk *w)
{
	const struct mc_regs *r = &a->regs;
	uint32_t rights = w->user ? r->pkru : r->pkrs;
	bool on = r->cr4 & (w->user ? MC_CR4_PKE : MC_CR4_PKS);
	bool ad = rights >> (2 * w->key) & 1;
	bool wd = rights >> (2 * w->key + 1) & 1;

	if (!is_long(paging_mode(r)) || !on || a->kind == MC_FETCH)
		return false;
	if (ad)
		return true;
	return wd && a->kind == MC_WRITE &&
	       ((w->user && is_user_access(a)) || (r->cr0 & MC_CR0_WP));
}

/* 4.6.1, the first list: supervisor-mode accesses. */
static bool supervisor_permitted(const struct mc_access *a,
				 const struct walk *w)
{
	const struct mc_regs *r = &a->regs;
	bool user_address = w->user;
	bool smap_forbids = (r->cr4 & MC_CR4_SMAP) && user_address &&
			    !(r->ac && !a->implicit);

	switch (a->kind) {
	case MC_READ:
		return !smap_forbids;
	case MC_WRITE:
		if (smap_forbids)
			return false;
		return w->write || !(r->cr0 & MC_CR0_WP);
	default:
		if (user_address && (r->cr4 & MC_CR4_SMEP))
			return false;
		return !w->no_execute;
	}
}

/* 4.6.1, the second list: user-mode accesses. */
static bool user_permitted(const struct mc_access *a, const struct walk *w)
{
	if (!w->user)
		return false;
	if (a->kind == MC_WRITE)
		return w->write;
	if (a->kind == MC_FETCH)
		return !w->no_execute;
	return true;
}

static bool permitted(const struct mc_access *a, const struct walk *w)
{
	if (key_forbids(a, w))
		return false;
	return is_user_access(a) ? user_permitted(a, w) :
				   supervisor_permitted(a, w);
}

/* 4.7 */
static uint32_t error_code(const struct mc_access *a, const struct walk *w)
{
	const struct mc_regs *r = &a->regs;
	bool nx = (r->cr4 & MC_CR4_PAE) && (r->efer & MC_EFER_NXE);
	uint32_t error = 0;

	if (w->found != ABSENT)
		error |= MC_PF_P;
	if (a->kind == MC_WRITE)
		error |= MC_PF_WR;
	if (is_user_access(a))
		error |= MC_PF_US;
	if (w->found == RESERVED)
		error |= MC_PF_RSVD;
	if (a->kind == MC_FETCH && (nx || (r->cr4 & MC_CR4_SMEP)))
		error |= MC_PF_ID;
	/* Whether or not anything else forbids the access too. */
	if (w->found == PAGE && key_forbids(a, w))
		error |= MC_PF_PK;
	return error;
}

/* ---- an access ---- */

/* 4.8: A of every entry used, D of the last if it is written through. */
static void commit(const struct manual *m, const struct mc_access *a,
		   const struct walk *w)
{
	for (unsigned i = 0; i < w->nused; i++)
		set_bits(m, w->used[i], w->entry_size, MC_A);
	if (a->kind == MC_WRITE)
		set_bits(m, w->used[w->nused - 1], w->entry_size, MC_D);
}

static bool canonical(enum mc_mode mode, uint64_t va)
{
	unsigned n = format[mode].linear_bits;
	uint64_t upper = va >> (n - 1);

	return !is_long(mode) || upper == 0 || upper == bits(64 - n, 0);
}

/* => false: *@res says what came instead of @w. */
static bool translate(const struct manual *m, const struct mc_access *a,
		      enum mc_mode mode, uint64_t va, struct walk *w,
		      struct mc_result *res)
{
	walk(m, w, mode, &a->regs, va);
	if (w->found == BEYOND)
		res->outcome = MC_BEYOND;
	else if (w->found == PAGE && permitted(a, w))
		return true;
	else {
		res->outcome = MC_PF;
		res->error = error_code(a, w);
		res->cr2 = va;
	}
	return false;
}

static void move_data(const struct manual *m, const struct mc_access *a,
		      const struct walk *w, unsigned first,
		      struct mc_result *res)
{
	uint8_t *low = m->mem->base + w[0].pa;
	uint8_t *high = m->mem->base + w[1].pa, code[MC_FETCH_LEN];

	if (a->kind == MC_WRITE) {
		memcpy(low, &a->value, first);
		memcpy(high, (const uint8_t *)&a->value + first,
		       a->size - first);
	} else if (a->kind == MC_READ) {
		memcpy(&res->value, low, first);
		memcpy((uint8_t *)&res->value + first, high, a->size - first);
	} else {
		memcpy(code, low, first);
		memcpy(code + first, high, a->size - first);
		memcpy(&res->value, code + 1, 4);
	}
}

/* MOV to CR3: 4.5.2 (reserved bits); 4.4.1, table 4-8 (PDPTEs). */
static enum mc_outcome load_cr3(struct manual *m, const struct mc_regs *r)
{
	enum mc_mode mode = paging_mode(r);
	uint64_t from = r->cr3 & bits(31, 5), v[4];
	uint64_t reserved = bits(63, r->maxphyaddr) | bits(8, 5) | bits(2, 1);

	if (is_long(mode) && (r->cr3 & bits(63, r->maxphyaddr)))
		return MC_GP;
	if (mode != MC_PAE)
		return MC_OK;
	if (!layout_exists(from))
		return MC_BEYOND;
	for (unsigned i = 0; i < 4; i++) {
		v[i] = read_entry(m, from + 8 * i, 8);
		if ((v[i] & MC_P) && (v[i] & reserved))
			return MC_GP;
	}
	memcpy(m->pdpte, v, sizeof(v));
	return MC_OK;
}

/* Both pages; => the length of the part on the first, 0: *@res says why. */
static unsigned judge(const struct manual *m, const struct mc_access *a,
		      struct walk w[2], struct mc_result *res)
{
	enum mc_mode mode = paging_mode(&a->regs);
	uint64_t va = is_long(mode) ? a->va : (uint32_t)a->va;
	unsigned first = 4096 - (va & 4095);

	if (first > a->size)
		first = a->size;
	if (!canonical(mode, va) || !canonical(mode, va + a->size - 1)) {
		res->outcome = a->stack ? MC_SS : MC_GP;
		return 0;
	}
	if (!translate(m, a, mode, va, &w[0], res))
		return 0;
	w[1] = w[0];
	if (first < a->size && !translate(m, a, mode, va + first, &w[1], res))
		return 0;
	return first;
}

enum mc_outcome manual_reaches(const struct manual *m,
			      const struct mc_access *a, uint64_t *low,
			      uint64_t *high)
{
	struct mc_result res = { .outcome = MC_OK };
	struct walk w[2];
	unsigned first = judge(m, a, w, &res);

	if (first) {
		*low = w[0].pa;
		*high = first < a->size ? w[1].pa + a->size - first - 1 :
					  w[0].pa + a->size - 1;
	}
	return res.outcome;
}

unsigned manual_entries(const struct manual *m, const struct mc_access *a,
			uint64_t used[MANUAL_LEVELS])
{
	struct mc_result res;
	struct walk w;

	memset(&w, 0, sizeof(w));
	if (!translate(m, a, paging_mode(&a->regs), a->va, &w, &res))
		return 0;
	memcpy(used, w.used, sizeof(w.used));
	return w.nused;
}

unsigned manual_walked(const struct manual *m, const struct mc_access *a,
		       uint64_t va, uint64_t used[MANUAL_LEVELS])
{
	struct walk w;

	walk(m, &w, paging_mode(&a->regs), &a->regs, va);
	memcpy(used, w.used, sizeof(w.used));
	return w.nused;
}

void manual_access(struct manual *m, const struct mc_access *a,
		  struct mc_result *res)
{
	struct walk w[2];
	unsigned first;

	memset(res, 0, sizeof(*res));
	if (a->kind == MC_LOADCR3) {
		res->outcome = load_cr3(m, &a->regs);
		return;
	}
	first = judge(m, a, w, res);
	if (!first)
		return;
	commit(m, a, &w[0]);
	if (first < a->size)
		commit(m, a, &w[1]);
	res->pa = w[0].pa;
	move_data(m, a, w, first, res);
}
