/*
 * cases.c - cases out of a seed.
 *
 * A case grows path by path: a linear address is chosen, often close to an
 * earlier one, and the entries it needs are made from the top table down,
 * where there are none yet. Frames come from the case's arena: new ones, or
 * ones that serve already, also tables that serve at another level. What an
 * entry says besides its address depends on the temper of the case: mostly
 * kind, so that walks get far; mixed; or wild. Then accesses are aimed at the
 * paths, across the ends of their pages, and beside them; many are the one
 * before again, with one thing changed. In a case of kin all paths go by one
 * entry of the top table, which forbids something.
 *
 * Made here are also accesses that no engine could answer (a page beyond RAM)
 * or that would undo the case (a write into its tables); check.c weeds them
 * out, because only a walk can tell.
 */
#include "mmucheck/cases.h"

#include <string.h>

#include "mmucheck/guest.h"
#include "mmucheck/layout.h"
#include "mmucheck/manual.h"

#define MAX_PATHS	8

/* What is wanted while a case is made. */
struct maker {
	struct mc_case *c;
	const struct mc_caps *caps;
	uint64_t random;
	struct mc_regs regs;
	unsigned temper;		/* 0: kind, 1: mixed, 2: wild */
	bool kin;			/* paths share the top, which forbids */
	uint64_t frame[MC_FRAMES];	/* not taken yet */
	unsigned nframes;
	uint64_t root;
	uint64_t path[MAX_PATHS];	/* linear addresses */
	unsigned shift[MAX_PATHS];	/* of the pages they end in */
	unsigned npaths;
	unsigned focus;			/* the path most accesses take */
};

/* ---- chance ---- */

/* splitmix64 */
static uint64_t draw(struct maker *m)
{
	uint64_t z = m->random += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned below(struct maker *m, unsigned n)
{
	return (unsigned)((draw(m) >> 32) * n >> 32);
}

/* One time in @n. */
static bool once_in(struct maker *m, unsigned n)
{
	return below(m, n) == 0;
}

/* @kind, @mixed or @wild of 16 times, by the temper of the case. */
static bool chance(struct maker *m, unsigned kind, unsigned mixed,
		   unsigned wild)
{
	unsigned of16 = m->temper == 0 ? kind : m->temper == 1 ? mixed : wild;

	return below(m, 16) < of16;
}

/* @bit or 0 */
static uint64_t maybe(struct maker *m, uint64_t bit)
{
	return draw(m) & 1ull << 40 ? bit : 0;
}

/* ---- registers ---- */

static bool is_long(const struct maker *m)
{
	return m->c->mode == MC_64 || m->c->mode == MC_LA57;
}

static uint32_t key_rights(struct maker *m)
{
	uint64_t v = draw(m);

	return v >> 62 == 0 ? 0 : (uint32_t)v & (uint32_t)(v >> 30);
}

static uint64_t optional_cr4(const struct maker *m)
{
	uint64_t bits = m->caps->cr4 & ~MC_CR4_LA57;

	return is_long(m) ? bits : bits & (MC_CR4_SMEP | MC_CR4_SMAP);
}

/* What may change from one access to the next. */
static void vary_regs(struct maker *m, struct mc_regs *r)
{
	uint64_t optional = optional_cr4(m);

	r->cr0 = (r->cr0 & ~MC_CR0_WP) | maybe(m, MC_CR0_WP);
	r->cr4 = (r->cr4 & ~optional) | (draw(m) & optional);
	r->pkru = r->cr4 & MC_CR4_PKE ? key_rights(m) : 0;
	r->pkrs = r->cr4 & MC_CR4_PKS ? key_rights(m) : 0;
	if (!m->caps->fixed_nxe && once_in(m, 8))
		r->efer ^= MC_EFER_NXE;
}

static void make_regs(struct maker *m)
{
	struct mc_regs *r = &m->regs;
	enum mc_mode mode = m->c->mode;

	memset(r, 0, sizeof(*r));
	r->maxphyaddr = m->caps->maxphyaddr[below(m, m->caps->nmaxphyaddr)];
	r->lacks = m->caps->lacks;
	if (m->caps->any_lacks && once_in(m, 4))
		r->lacks = draw(m) & (MC_NO_1G | MC_NO_PSE36);
	r->cr0 = MC_CR0_PE | MC_CR0_PG | MC_CR0_ET | MC_CR0_NE;
	r->cr4 = maybe(m, MC_CR4_PGE);
	if (mode == MC_32)
		r->cr4 |= once_in(m, 4) ? 0 : MC_CR4_PSE;
	else
		r->cr4 |= MC_CR4_PAE | maybe(m, MC_CR4_PSE);
	if (mode == MC_LA57)
		r->cr4 |= MC_CR4_LA57;
	r->efer = once_in(m, 4) ? 0 : MC_EFER_NXE;
	if (is_long(m))
		r->efer |= MC_EFER_LME | MC_EFER_LMA;
	if (mode == MC_32 && m->caps->plain_32) {
		r->maxphyaddr = 36;
		r->efer = 0;
	}
	vary_regs(m, r);
}

/* ---- frames ---- */

/* A frame that an address of @bits bits can name; it is taken. */
static uint64_t new_frame(struct maker *m, unsigned bits)
{
	uint64_t f;
	unsigned i;

	do
		i = below(m, m->nframes);
	while (m->frame[i] >> bits);
	f = m->frame[i];
	m->frame[i] = m->frame[--m->nframes];
	return f;
}

/* Bits of the addresses in entries, of large pages and of all else. */
static unsigned address_bits(const struct maker *m, bool large)
{
	unsigned most = m->regs.maxphyaddr;

	if (m->c->mode != MC_32)
		return most;
	if (!large || m->regs.lacks & MC_NO_PSE36)
		return 32;
	return most < 40 ? most : 40;
}

static uint64_t new_table(struct maker *m, unsigned bits)
{
	uint64_t f = new_frame(m, bits);

	m->c->table[m->c->ntables++] = f;
	return f;
}

/*
 * The root serves at other levels too, but not in PAE mode: A bits that a
 * walk leaves in its PDPTEs would be reserved bits when they are loaded again.
 */
static uint64_t some_table(struct maker *m)
{
	unsigned first = m->c->mode == MC_PAE, n = m->c->ntables;
	uint64_t f;

	if (m->nframes > 6 && (n <= first || !once_in(m, 8)))
		return new_table(m, address_bits(m, false));
	f = m->c->table[n <= first ? 0 : first + below(m, n - first)];
	return f >> address_bits(m, false) ? m->root & ~4095ull : f;
}

static uint64_t some_page(struct maker *m, bool large)
{
	unsigned bits = address_bits(m, large);
	struct mc_case *c = m->c;
	uint64_t f = 0;

	if (c->npages && (once_in(m, 5) || m->nframes <= 6))
		f = c->page[below(m, c->npages)];
	else if (once_in(m, 20) && !m->caps->eager_a)
		f = c->table[below(m, c->ntables)];
	if (f && f >> bits == 0)
		return f;
	f = new_frame(m, bits);
	c->page[c->npages++] = f;
	return f;
}

/* ---- entries ---- */

static unsigned entry_size(const struct maker *m)
{
	return m->c->mode == MC_32 ? 4 : 8;
}

static struct mc_entry *find_entry(struct maker *m, uint64_t pa)
{
	for (unsigned i = 0; i < m->c->nentries; i++)
		if (m->c->entry[i].pa == pa)
			return &m->c->entry[i];
	return NULL;
}

static void add_entry(struct maker *m, uint64_t pa, uint64_t value,
		      unsigned level)
{
	if (m->c->nentries < MC_ENTRIES)
		m->c->entry[m->c->nentries++] = (struct mc_entry){
			.pa = pa, .value = value, .size = entry_size(m),
			.level = level,
		};
}

/* The bits that say nothing to the walk, but for D. */
static uint64_t idle_bits(struct maker *m)
{
	uint64_t v = draw(m) & (7ull << 9 | MC_A | MC_D);

	if (once_in(m, 4))
		v |= draw(m) & (MC_G | 3ull << 3);
	if (is_long(m))
		v |= draw(m) & 0x7ffull << 52;
	return v;
}

/* A bit that is reserved in some entry, or next to one. */
static uint64_t bad_bit(struct maker *m, unsigned level)
{
	unsigned most = m->regs.maxphyaddr;

	if (m->c->mode == MC_32)	/* only PDEs of 4 MiB have any */
		return once_in(m, 3) ? MC_PS : 1ull << (12 + below(m, 10));
	switch (below(m, 5)) {
	case 0:
		return MC_PS;
	case 1:
		return 1ull << (13 + below(m, level == 3 ? 17 : 9));
	case 2:
		return 1ull << (most < 52 ? most : 51);
	default:
		return 1ull << (most + below(m, 63 - most));
	}
}

static uint64_t rights(struct maker *m, unsigned level)
{
	uint64_t v = idle_bits(m);
	bool nx = m->regs.efer & MC_EFER_NXE;

	v |= chance(m, 16, 15, 14) ? MC_P : 0;
	v |= chance(m, 15, 12, 9) ? MC_RW : 0;
	v |= chance(m, 15, 12, 9) ? MC_US : 0;
	if (m->c->mode != MC_32 && chance(m, 1, nx ? 3 : 1, nx ? 6 : 1))
		v |= MC_XD;
	if (m->kin && level == manual_levels(m->c->mode))
		v &= maybe(m, 1) ? ~MC_RW : ~MC_US;
	if (chance(m, 0, 1, 2) || (m->temper == 0 && once_in(m, 40)))
		v ^= bad_bit(m, level);
	return v;
}

/* PAE: of a PDPTE nearly all is reserved (table 4-8). */
static uint64_t pdpte_rights(struct maker *m)
{
	uint64_t v = (draw(m) & (7ull << 9 | 3ull << 3)) | MC_P;

	if (chance(m, 0, 1, 2))
		v ^= MC_P;
	if (once_in(m, 24))
		v |= 1ull << (below(m, 2) ? below(m, 9) :
			      m->regs.maxphyaddr +
				      below(m, 64 - m->regs.maxphyaddr));
	return v;
}

static bool large_wanted(struct maker *m, unsigned level)
{
	if (level == 2)
		return (m->c->mode != MC_32 || m->regs.cr4 & MC_CR4_PSE) &&
		       once_in(m, 4);
	/* where there are none, PS is a reserved bit */
	return level == 3 && is_long(m) &&
	       once_in(m, m->regs.lacks & MC_NO_1G ? 20 : 5);
}

static unsigned page_shift(const struct maker *m, unsigned level)
{
	return manual_index_shift(m->c->mode, level);
}

/* @frame as the address of a page of @shift, in an entry. */
static uint64_t page_bits(const struct maker *m, uint64_t frame,
			  unsigned shift)
{
	uint64_t base = frame >> shift << shift;

	if (m->c->mode == MC_32 && shift == 22)
		base = (base & 0xffffffff) | (base >> 32) << 13;
	return base;
}

/*
 * Make the entry at @pa, of @level. A page's frame decides the low bits of
 * @va. => the table it names; 0: it names a page
 */
static uint64_t make_entry(struct maker *m, uint64_t pa, unsigned level,
			   uint64_t *va, unsigned *shift)
{
	bool large = large_wanted(m, level);
	uint64_t frame, v;

	if (level > 1 && !large) {
		frame = some_table(m);
		v = m->c->mode == MC_PAE && level == 3 ? pdpte_rights(m) :
							 rights(m, level);
		if (m->c->mode == MC_32 && !(m->regs.cr4 & MC_CR4_PSE))
			v |= maybe(m, MC_PS);	/* ignored */
		if (level >= 3 && m->caps->no_upper_g)
			v &= ~MC_G;
		add_entry(m, pa, v | frame, level);
		return frame;
	}
	*shift = page_shift(m, level);
	frame = some_page(m, large);
	*va = (*va >> *shift << *shift) | (frame & ((1ull << *shift) - 1));
	v = rights(m, level) | page_bits(m, frame, *shift);
	if (level == 1)
		v |= maybe(m, MC_PS);		/* here it is PAT */
	else
		v |= MC_PS | maybe(m, 1ull << 12);
	add_entry(m, pa, v, level);
	return 0;
}

/* ---- paths ---- */

static uint64_t sign_extend(const struct maker *m, uint64_t va)
{
	unsigned unused = m->c->mode == MC_64 ? 16 : 7;

	if (!is_long(m))
		return (uint32_t)va;
	return (uint64_t)((int64_t)(va << unused) >> unused);
}

static unsigned top_slot(const struct maker *m, uint64_t va)
{
	unsigned top = manual_levels(m->c->mode);

	return va >> manual_index_shift(m->c->mode, top) &
	       ((1u << manual_index_bits(m->c->mode, top)) - 1);
}

/* Not in the slot where the guest itself lives, nor running into it. */
static bool address_ok(const struct maker *m, uint64_t va)
{
	return top_slot(m, va) != guest_root_slot(m->c->mode) &&
	       top_slot(m, va + 64) != guest_root_slot(m->c->mode);
}

static uint64_t some_address(struct maker *m)
{
	enum mc_mode mode = m->c->mode;
	unsigned level = below(m, manual_levels(mode)) + 1;
	uint64_t va, keep;

	if (m->kin)
		level = manual_levels(mode);
	keep = ~0ull << manual_index_shift(mode, level);
	do {
		va = draw(m);
		if (m->npaths && (m->kin || !once_in(m, 4)))
			va = (m->path[below(m, m->npaths)] & keep) |
			     (va & ~keep);
		va = sign_extend(m, va);
	} while (!address_ok(m, va));
	return va & ~4095ull;
}

/* A wrong bit in an address, or the guest's own slot, leads out of the case. */
static bool is_table(const struct maker *m, uint64_t pa)
{
	for (unsigned i = 0; i < m->c->ntables; i++)
		if (m->c->table[i] == pa)
			return true;
	return false;
}

static void make_path(struct maker *m, uint64_t va)
{
	enum mc_mode mode = m->c->mode;
	uint64_t table = m->root, pa;
	struct mc_entry *e;
	unsigned shift = 12;

	for (unsigned level = manual_levels(mode); table && level; level--) {
		pa = table + (va >> manual_index_shift(mode, level) &
			      ((1u << manual_index_bits(mode, level)) - 1)) *
				     entry_size(m);
		e = find_entry(m, pa);
		if (!e) {
			table = make_entry(m, pa, level, &va, &shift);
			continue;
		}
		if (level == 1 || e->value & MC_PS || !(e->value & MC_P))
			break;
		table = e->value & 0x000ffffffffff000ull;
		if (!is_table(m, table))
			break;
	}
	if (m->npaths < MAX_PATHS) {
		m->shift[m->npaths] = shift;
		m->path[m->npaths++] = va;
	}
}

static void make_root(struct maker *m)
{
	enum mc_mode mode = m->c->mode;
	unsigned slot = guest_root_slot(mode);

	m->root = new_table(m, 32);
	if (mode == MC_PAE)
		m->root += 32 * below(m, 128);
	m->regs.cr3 = m->root | (draw(m) & 3ull << 3);
	if (is_long(m) && once_in(m, 64))
		m->regs.cr3 |= 1ull << (m->regs.maxphyaddr +
					below(m, 63 - m->regs.maxphyaddr));
	add_entry(m, m->root + slot * entry_size(m), guest_root_entry(mode),
		  manual_levels(mode));
}

static void make_paths(struct maker *m)
{
	unsigned n = 1 + below(m, 4);
	uint64_t va;

	for (unsigned i = 0; i < n; i++) {
		make_path(m, some_address(m));
		if (!once_in(m, 3))
			continue;
		/* the page after it, to be crossed into */
		va = m->path[m->npaths - 1];
		va = sign_extend(m, ((va >> m->shift[m->npaths - 1]) + 1)
					    << m->shift[m->npaths - 1]);
		if (address_ok(m, va))
			make_path(m, va);
	}
}

/* ---- accesses ---- */

/* On a large page there are more frames than the one it was made for. */
static uint64_t elsewhere(struct maker *m, uint64_t va, unsigned shift)
{
	uint64_t inside = (1ull << shift) - 1, frame;

	if (shift == 12 || once_in(m, 2))
		return va;
	frame = m->c->npages ? m->c->page[below(m, m->c->npages)] : m->root;
	return (va & ~inside) | (frame & inside & ~4095ull);
}

/*
 * An address on a path, or beside it, or not canonical. Half of them on one
 * path, so that what was cached for one access is there for the next.
 */
static uint64_t aim(struct maker *m)
{
	unsigned i = once_in(m, 2) ? m->focus : below(m, m->npaths);
	uint64_t va = elsewhere(m, m->path[i], m->shift[i]), edge;

	if (is_long(m) && once_in(m, 40))
		return va ^ 1ull << (46 + below(m, 18));
	if (is_long(m) && once_in(m, 60)) {
		edge = 1ull << (m->c->mode == MC_64 ? 47 : 56);
		return (once_in(m, 2) ? edge : -edge) - 4096;
	}
	if (once_in(m, 10))
		return sign_extend(m, va ^ 1ull << (12 + below(m, 45)));
	return va;
}

static unsigned data_offset(struct maker *m)
{
	switch (below(m, 4)) {
	case 0:
		return 4096 - 1 - below(m, 8);
	case 1:
		return below(m, 4088);
	default:
		return below(m, 511) * 8;
	}
}

/*
 * Nor are these judged here: alignment checks, which a host's CR0.AM may make
 * of EFLAGS.AC at CPL 3; and in what order the two halves of an instruction
 * that runs into the non-canonical hole are refused. An LDT whose base is not
 * canonical is nothing a real CPU can be brought to have. Nor what an engine
 * says that it cannot do.
 */
static void avoid(struct maker *m, struct mc_access *a)
{
	if (a->kind == MC_FETCH && is_long(m) &&
	    sign_extend(m, a->va + a->size) != a->va + a->size)
		a->va = (a->va & ~4095ull) + MC_OFF_FETCH;
	if (is_long(m) && m->caps->taken[top_slot(m, a->va)])
		a->cpl = 0;
	if (a->implicit && !m->caps->implicit_any)
		a->va = sign_extend(m, a->va);
	if (a->kind != MC_FETCH && !a->implicit && a->cpl == 3 &&
	    (a->va & (a->size - 1)))
		a->regs.ac = false;
}

static void make_data(struct maker *m, struct mc_access *a)
{
	a->kind = once_in(m, 2) ? MC_WRITE : MC_READ;
	a->size = 1u << below(m, is_long(m) ? 4 : 3);
	a->stack = once_in(m, 4);
	a->va += data_offset(m);
	a->value = draw(m);
}

/* One thing that the access or the registers say, and nothing else. */
static void vary_one(struct maker *m, struct mc_access *a)
{
	struct mc_regs *r = &a->regs;

	switch (below(m, 10)) {
	case 0:
		r->cr0 ^= MC_CR0_WP;
		break;
	case 1:
		/* SMEP is the lowest of them, PKS the highest */
		r->cr4 ^= optional_cr4(m) & MC_CR4_SMEP << below(m, 5);
		break;
	case 2:
		r->ac = !r->ac;
		break;
	case 3: case 4:
		a->cpl = 3 - a->cpl;
		break;
	case 5:
		r->pkru = key_rights(m);
		break;
	case 6: case 7:
		r->pkrs = key_rights(m);
		break;
	case 8:
		if (a->kind != MC_FETCH && (m->caps->implicit_any ||
					    !a->implicit))
			a->kind = a->kind == MC_READ ? MC_WRITE : MC_READ;
		break;
	default:
		if (a->kind != MC_FETCH && m->caps->implicit_any)
			a->implicit = !a->implicit;
		a->stack &= !a->implicit;
	}
	r->pkru &= r->cr4 & MC_CR4_PKE ? ~0u : 0;
	r->pkrs &= r->cr4 & MC_CR4_PKS ? ~0u : 0;
}

/*
 * Of a case of kin: few of these fault, so that the caches of upper levels,
 * which a fault empties, are filled by one path for the next.
 */
static void make_easy_access(struct maker *m, struct mc_access *a)
{
	memset(a, 0, sizeof(*a));
	a->va = aim(m);
	a->regs = m->regs;
	a->regs.ac = true;
	make_data(m, a);
	a->kind = MC_READ;
}

static void make_new_access(struct maker *m, struct mc_access *a)
{
	memset(a, 0, sizeof(*a));
	a->va = aim(m);
	a->cpl = once_in(m, 2) ? 3 : 0;
	a->regs = m->regs;
	if (once_in(m, 2))
		vary_regs(m, &a->regs);
	a->regs.ac = once_in(m, 2);
	if (m->c->naccesses > 1 && once_in(m, 3)) {
		/* nothing changed, so that caches may keep what they have */
		a->cpl = a[-1].cpl;
		a->regs = a[-1].regs;
	}
	switch (below(m, 8)) {
	case 0: case 1:
		a->kind = MC_FETCH;
		a->size = MC_FETCH_LEN;
		a->va += once_in(m, 4) ? MC_OFF_CROSS : MC_OFF_FETCH;
		break;
	case 2:
		a->implicit = true;
		if (m->caps->implicit_any && once_in(m, 2)) {
			make_data(m, a);
			a->stack = false;
			break;
		}
		a->kind = MC_READ;
		a->size = 8;
		a->va += MC_OFF_DESC;
		break;
	default:
		make_data(m, a);
		break;
	}
}

/*
 * A new one, or the one before again with one thing changed: what caches hold
 * from before is then used, unless it is known that it must not be.
 */
static void make_access(struct maker *m, struct mc_access *a)
{
	if (m->c->naccesses > 1 && once_in(m, 4)) {
		*a = a[-1];
		vary_one(m, a);
	} else if (m->kin && !once_in(m, 4)) {
		make_easy_access(m, a);
	} else {
		make_new_access(m, a);
	}
	avoid(m, a);
}

static void make_accesses(struct maker *m)
{
	struct mc_case *c = m->c;
	unsigned n = 3 + below(m, MC_ACCESSES - 2);

	m->focus = below(m, m->npaths);
	memset(&c->access[0], 0, sizeof(c->access[0]));
	c->access[0].kind = MC_LOADCR3;
	c->access[0].regs = m->regs;
	c->naccesses = 1;
	while (c->naccesses < n) {
		make_access(m, &c->access[c->naccesses]);
		if (address_ok(m, c->access[c->naccesses].va))
			c->naccesses++;
	}
}

void cases_make(struct mc_case *c, enum mc_mode mode,
		const struct mc_caps *caps, uint64_t seed, uint64_t index)
{
	struct maker m = { .c = c, .caps = caps };
	unsigned nlow;

	c->mode = mode;
	c->seed = seed;
	c->index = index;
	c->arena = 1 + index % caps->arenas;
	c->nentries = c->naccesses = c->ntables = c->npages = 0;
	m.random = seed;
	m.random = draw(&m) ^ index << 2 ^ mode;
	m.random = draw(&m);
	m.temper = below(&m, 3);
	m.kin = m.temper == 0 && once_in(&m, 2);
	make_regs(&m);
	m.nframes = layout_frames(c->arena, address_bits(&m, true), m.frame,
				  &nlow);
	make_root(&m);
	make_paths(&m);
	make_accesses(&m);
}

/* ---- in memory ---- */

void cases_load(const struct mc_case *c, const struct mc_mem *mem)
{
	for (unsigned i = 0; i < c->npages; i++)
		layout_fill(mem, c->page[i]);
	for (unsigned i = 0; i < c->nentries; i++)
		memcpy(mem->base + c->entry[i].pa, &c->entry[i].value,
		       c->entry[i].size);
}

void cases_unload(const struct mc_case *c, const struct mc_mem *mem)
{
	for (unsigned i = 0; i < c->npages; i++)
		memset(mem->base + c->page[i], 0, 4096);
	for (unsigned i = 0; i < c->ntables; i++)
		memset(mem->base + c->table[i], 0, 4096);
}
