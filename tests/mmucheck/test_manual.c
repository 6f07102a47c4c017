/*
 * The model of the manual, rule by rule, against tables written by hand: one
 * path of entries, a bit of it changed, registers, an access, and what the
 * Intel SDM (volume 3A, chapter 4) says of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "mmucheck/layout.h"
#include "mmucheck/manual.h"

#define OPEN	(MC_P | MC_RW | MC_US)
#define ARENA	MC_ARENA_SIZE
#define PAGE	(ARENA + 31 * 4096)
#define KEY(n)	((uint64_t)(n) << 59)
#define AD(n)	(1u << (2 * (n)))
#define WD(n)	(2u << (2 * (n)))

static struct mc_mem mem;

/* ---- one path ---- */

static uint64_t table_of(unsigned level)
{
	return ARENA + (16 + level) * 4096;
}

static unsigned size_of(enum mc_mode mode)
{
	return mode == MC_32 ? 4 : 8;
}

/* The entry of @level: all indices of the path are 1. */
static uint64_t slot_of(enum mc_mode mode, unsigned level)
{
	return table_of(level) + size_of(mode);
}

static uint64_t get(enum mc_mode mode, unsigned level)
{
	uint64_t v = 0;

	memcpy(&v, mem.base + slot_of(mode, level), size_of(mode));
	return v;
}

static void put(enum mc_mode mode, unsigned level, uint64_t v)
{
	memcpy(mem.base + slot_of(mode, level), &v, size_of(mode));
}

/* @leaf: the level that maps the page. => the linear address */
static uint64_t build(enum mc_mode mode, unsigned leaf)
{
	uint64_t va = 0, frame = PAGE, v;
	unsigned shift;

	for (unsigned l = 1; l <= 5; l++)
		memset(mem.base + table_of(l), 0, 4096);
	layout_fill(&mem, PAGE);
	for (unsigned l = manual_levels(mode); l >= leaf; l--) {
		shift = manual_index_shift(mode, l);
		va |= 1ull << shift;
		v = l == leaf ? frame >> shift << shift : table_of(l - 1);
		v |= mode == MC_PAE && l == 3 ? MC_P : OPEN;
		if (l == leaf && l > 1)
			v |= MC_PS;
		put(mode, l, v);
	}
	return va | (frame & ((1ull << manual_index_shift(mode, leaf)) - 1));
}

static struct mc_regs regs_of(enum mc_mode mode)
{
	struct mc_regs r = {
		.cr0 = MC_CR0_PE | MC_CR0_PG | MC_CR0_WP,
		.cr3 = table_of(manual_levels(mode)),
		.cr4 = mode == MC_32 ? MC_CR4_PSE : MC_CR4_PAE,
		.efer = MC_EFER_NXE, .maxphyaddr = 40,
	};

	if (mode >= MC_64)
		r.efer |= MC_EFER_LME | MC_EFER_LMA;
	if (mode == MC_LA57)
		r.cr4 |= MC_CR4_LA57;
	return r;
}

static struct mc_result make(const struct mc_access *a)
{
	struct manual m = { .mem = &mem };
	struct mc_access load = { .kind = MC_LOADCR3, .regs = a->regs };
	struct mc_result res;

	manual_access(&m, &load, &res);
	if (res.outcome == MC_OK && a->kind != MC_LOADCR3)
		manual_access(&m, a, &res);
	return res;
}

/* ---- rules ---- */

/* In the entry of @level of the path, @set and @clear; registers likewise. */
struct rule {
	const char *what;
	enum mc_mode mode;
	unsigned leaf, level;
	uint64_t set, clear;
	uint64_t no_cr0, cr4, no_cr4, no_efer;
	unsigned lacks;
	uint32_t pkru, pkrs;
	bool ac, implicit;
	enum mc_kind kind;
	unsigned cpl;
	int error;			/* -1: no fault */
};

#define FINE	(-1)
#define NP	0
#define P	1
#define W	2
#define U	4
#define R	8
#define I	16
#define K	32
#define USER	.cpl = 3
#define READ	.kind = MC_READ
#define WRITE	.kind = MC_WRITE
#define FETCH	.kind = MC_FETCH

static const struct rule rules[] = {
	/* 4.6.1, user-mode accesses */
	{ "user reads", MC_64, 1, USER, READ, .error = FINE },
	{ "user writes", MC_64, 1, USER, WRITE, .error = FINE },
	{ "user fetches", MC_64, 1, USER, FETCH, .error = FINE },
	{ "U/S of the PTE", MC_64, 1, 1, 0, MC_US, USER, READ, .error = P | U },
	{ "U/S of the PML4E", MC_64, 1, 4, 0, MC_US, USER, READ,
	  .error = P | U },
	{ "U/S of the PML5E", MC_LA57, 1, 5, 0, MC_US, USER, FETCH,
	  .error = P | U | I },
	{ "R/W of the PDE", MC_64, 1, 2, 0, MC_RW, USER, WRITE,
	  .error = P | W | U },
	{ "R/W and no WP", MC_64, 1, 2, 0, MC_RW, .no_cr0 = MC_CR0_WP, USER,
	  WRITE, .error = P | W | U },
	{ "XD of the PDPTE", MC_64, 1, 3, MC_XD, 0, USER, FETCH,
	  .error = P | U | I },
	{ "XD does not stop a read", MC_64, 1, 3, MC_XD, 0, USER, READ,
	  .error = FINE },
	{ "R/W, 32-bit PDE", MC_32, 1, 2, 0, MC_RW, USER, WRITE,
	  .error = P | W | U },
	{ "U/S, PAE PDE", MC_PAE, 1, 2, 0, MC_US, USER, READ, .error = P | U },
	/* 4.6.1, supervisor-mode accesses */
	{ "WP", MC_64, 1, 1, 0, MC_RW, WRITE, .error = P | W },
	{ "no WP", MC_64, 1, 1, 0, MC_RW, .no_cr0 = MC_CR0_WP, WRITE,
	  .error = FINE },
	{ "SMEP", MC_64, 1, .cr4 = MC_CR4_SMEP, FETCH, .error = P | I },
	{ "SMEP, a supervisor page", MC_64, 1, 4, 0, MC_US, .cr4 = MC_CR4_SMEP,
	  FETCH, .error = FINE },
	{ "SMEP does not stop a read", MC_64, 1, .cr4 = MC_CR4_SMEP, READ,
	  .error = FINE },
	{ "SMEP, 32-bit", MC_32, 1, .cr4 = MC_CR4_SMEP, FETCH,
	  .error = P | I },
	{ "XD for the supervisor", MC_PAE, 1, 1, MC_XD, 0, FETCH,
	  .error = P | I },
	{ "SMAP, read", MC_64, 1, .cr4 = MC_CR4_SMAP, READ, .error = P },
	{ "SMAP, write", MC_64, 1, .cr4 = MC_CR4_SMAP, WRITE, .error = P | W },
	{ "SMAP, no WP", MC_64, 1, .no_cr0 = MC_CR0_WP, .cr4 = MC_CR4_SMAP,
	  WRITE, .error = P | W },
	{ "SMAP and AC", MC_64, 1, .cr4 = MC_CR4_SMAP, .ac = true, READ,
	  .error = FINE },
	{ "SMAP, AC, implicit", MC_64, 1, .cr4 = MC_CR4_SMAP, .ac = true,
	  .implicit = true, READ, .error = P },
	{ "SMAP, AC, implicit at CPL 3", MC_64, 1, .cr4 = MC_CR4_SMAP,
	  .ac = true, .implicit = true, USER, READ, .error = P },
	{ "SMAP does not stop a fetch", MC_64, 1, .cr4 = MC_CR4_SMAP, FETCH,
	  .error = FINE },
	{ "SMAP, a supervisor page", MC_64, 1, 1, 0, MC_US,
	  .cr4 = MC_CR4_SMAP, READ, .error = FINE },
	{ "implicit at CPL 3 is supervisor", MC_64, 1, 1, 0, MC_US, USER,
	  .implicit = true, READ, .error = FINE },
	/* 4.6.2 */
	{ "PKRU AD", MC_64, 1, 1, KEY(5), 0, .cr4 = MC_CR4_PKE, .pkru = AD(5),
	  USER, READ, .error = P | U | K },
	{ "PKRU AD, supervisor", MC_64, 1, 1, KEY(5), 0, .cr4 = MC_CR4_PKE,
	  .pkru = AD(5), READ, .error = P | K },
	{ "PKRU AD of another key", MC_64, 1, 1, KEY(5), 0, .cr4 = MC_CR4_PKE,
	  .pkru = AD(4), USER, READ, .error = FINE },
	{ "PKRU without PKE", MC_64, 1, 1, KEY(5), 0, .pkru = AD(5), USER,
	  READ, .error = FINE },
	{ "PKRU does not stop a fetch", MC_64, 1, 1, KEY(5), 0,
	  .cr4 = MC_CR4_PKE, .pkru = AD(5), USER, FETCH, .error = FINE },
	{ "PKRU WD, read", MC_64, 1, 1, KEY(15), 0, .cr4 = MC_CR4_PKE,
	  .pkru = WD(15), USER, READ, .error = FINE },
	{ "PKRU WD, write", MC_64, 1, 1, KEY(15), 0, .cr4 = MC_CR4_PKE,
	  .pkru = WD(15), USER, WRITE, .error = P | W | U | K },
	{ "PKRU WD, no WP, user", MC_64, 1, 1, KEY(15), 0,
	  .no_cr0 = MC_CR0_WP, .cr4 = MC_CR4_PKE, .pkru = WD(15), USER, WRITE,
	  .error = P | W | U | K },
	{ "PKRU WD, no WP, supervisor", MC_64, 1, 1, KEY(15), 0,
	  .no_cr0 = MC_CR0_WP, .cr4 = MC_CR4_PKE, .pkru = WD(15), WRITE,
	  .error = FINE },
	{ "PKRU WD, WP, supervisor", MC_LA57, 1, 1, KEY(15), 0,
	  .cr4 = MC_CR4_PKE, .pkru = WD(15), WRITE, .error = P | W | K },
	{ "PKRU is for user pages", MC_64, 1, 1, KEY(5), MC_US,
	  .cr4 = MC_CR4_PKE, .pkru = AD(5), READ, .error = FINE },
	{ "PKRS AD", MC_64, 1, 1, KEY(5), MC_US, .cr4 = MC_CR4_PKS,
	  .pkrs = AD(5), READ, .error = P | K },
	{ "PKRS is for supervisor pages", MC_64, 1, 1, KEY(5), 0,
	  .cr4 = MC_CR4_PKS, .pkrs = AD(5), READ, .error = FINE },
	{ "PKRS WD, WP", MC_64, 1, 1, KEY(5), MC_US, .cr4 = MC_CR4_PKS,
	  .pkrs = WD(5), WRITE, .error = P | W | K },
	{ "PKRS WD, no WP", MC_64, 1, 1, KEY(5), MC_US,
	  .no_cr0 = MC_CR0_WP, .cr4 = MC_CR4_PKS, .pkrs = WD(5), WRITE,
	  .error = FINE },
	{ "PK beside another cause", MC_64, 1, 1, KEY(5), MC_US,
	  .cr4 = MC_CR4_PKS, .pkrs = AD(5), USER, READ, .error = P | U | K },
	{ "PKRS WD, no WP, CPL 3", MC_64, 1, 1, KEY(5), MC_US,
	  .no_cr0 = MC_CR0_WP, .cr4 = MC_CR4_PKS, .pkrs = WD(5), USER, WRITE,
	  .error = P | W | U },
	{ "the key of a large page", MC_64, 2, 2, KEY(9), 0,
	  .cr4 = MC_CR4_PKE, .pkru = AD(9), USER, READ, .error = P | U | K },
	{ "keys not in PAE", MC_PAE, 1, .cr4 = MC_CR4_PKE, .pkru = AD(0), USER,
	  READ, .error = FINE },
	/* 4.7 */
	{ "not present", MC_64, 1, 1, 0, MC_P, READ, .error = NP },
	{ "not present, write, user", MC_64, 1, 4, 0, MC_P, USER, WRITE,
	  .error = NP | W | U },
	{ "not present goes before U/S above", MC_64, 1, 2, 0, MC_P, USER,
	  READ, .error = NP | U },
	{ "what is not present has nothing reserved", MC_64, 1, 1, 1ull << 45,
	  MC_P, READ, .error = NP },
	{ "I/D without NXE and SMEP", MC_64, 1, 1, 0, MC_US,
	  .no_efer = MC_EFER_NXE, USER, FETCH, .error = P | U },
	{ "I/D by SMEP", MC_64, 1, 1, 0, MC_US, .cr4 = MC_CR4_SMEP,
	  .no_efer = MC_EFER_NXE, USER, FETCH, .error = P | U | I },
	{ "no I/D in 32-bit paging, NXE or not", MC_32, 1, 1, 0, MC_US, USER,
	  FETCH, .error = P | U },
	/* reserved bits: 4.3, 4.4.2, 4.5.4 */
	{ "MAXPHYADDR", MC_64, 1, 1, 1ull << 40, 0, READ, .error = P | R },
	{ "bit 51", MC_64, 1, 4, 1ull << 51, 0, READ, .error = P | R },
	{ "bit 52 is ignored", MC_64, 1, 1, 1ull << 52, 0, READ,
	  .error = FINE },
	{ "bit 52 in PAE", MC_PAE, 1, 1, 1ull << 52, 0, READ,
	  .error = P | R },
	{ "bit 62 in PAE", MC_PAE, 1, 2, 1ull << 62, 0, USER, WRITE,
	  .error = P | R | W | U },
	{ "bit 63 without NXE", MC_64, 1, 2, MC_XD, 0,
	  .no_efer = MC_EFER_NXE, READ, .error = P | R },
	{ "bit 63 without NXE, PAE", MC_PAE, 1, 1, MC_XD, 0,
	  .no_efer = MC_EFER_NXE, READ, .error = P | R },
	{ "PS of a PML4E", MC_64, 1, 4, MC_PS, 0, READ, .error = P | R },
	{ "PS of a PML5E", MC_LA57, 1, 5, MC_PS, 0, READ, .error = P | R },
	{ "PS of a PDPTE without 1 GiB pages", MC_64, 3, .lacks = MC_NO_1G,
	  READ, .error = P | R },
	{ "bit 13 of 1 GiB", MC_64, 3, 3, 1 << 13, 0, READ, .error = P | R },
	{ "bit 29 of 1 GiB", MC_64, 3, 3, 1 << 29, 0, READ, .error = P | R },
	{ "bit 12 of 1 GiB is PAT", MC_64, 3, 3, 1 << 12, 0, READ,
	  .error = FINE },
	{ "bit 20 of 2 MiB", MC_64, 2, 2, 1 << 20, 0, READ, .error = P | R },
	{ "bit 13 of 2 MiB, PAE", MC_PAE, 2, 2, 1 << 13, 0, READ,
	  .error = P | R },
	{ "bit 12 of 2 MiB is PAT", MC_PAE, 2, 2, 1 << 12, 0, READ,
	  .error = FINE },
	{ "G above the last level", MC_64, 1, 4, MC_G, 0, READ,
	  .error = FINE },
	{ "bit 21 of 4 MiB", MC_32, 2, 2, 1 << 21, 0, READ, .error = P | R },
	{ "bit 13 of 4 MiB without PSE-36", MC_32, 2, 2, 1 << 13, 0,
	  .lacks = MC_NO_PSE36, READ, .error = P | R },
	{ "nothing of 4 KiB is reserved, 32-bit", MC_32, 1, 1,
	  MC_PS | MC_G | 7 << 9, 0, READ, .error = FINE },
	{ "PS without PSE is ignored", MC_32, 1, 2, MC_PS, 0,
	  .no_cr4 = MC_CR4_PSE, READ, .error = FINE },
	{ "reserved goes before rights", MC_64, 1, 1, 1ull << 45, MC_US,
	  USER, READ, .error = P | R | U },
};

static void test_rules(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];
		struct mc_access a = {
			.kind = r->kind, .cpl = r->cpl, .size = 1,
			.implicit = r->implicit, .regs = regs_of(r->mode),
		};
		struct mc_result res;

		a.va = build(r->mode, r->leaf);
		if (r->level)
			put(r->mode, r->level,
			    (get(r->mode, r->level) | r->set) & ~r->clear);
		a.regs.cr0 &= ~r->no_cr0;
		a.regs.cr4 = (a.regs.cr4 | r->cr4) & ~r->no_cr4;
		a.regs.efer &= ~r->no_efer;
		a.regs.lacks = r->lacks;
		a.regs.pkru = r->pkru;
		a.regs.pkrs = r->pkrs;
		a.regs.ac = r->ac;
		if (r->kind == MC_FETCH)
			a.size = MC_FETCH_LEN;
		res = make(&a);
		if (res.outcome != (r->error < 0 ? MC_OK : MC_PF) ||
		    (r->error >= 0 && ((int)res.error != r->error ||
				       res.cr2 != a.va)))
			fail_msg("%s: outcome %d, error code 0x%x, CR2 0x%llx",
				 r->what, res.outcome, res.error,
				 (unsigned long long)res.cr2);
	}
}

/* ---- 4.8 ---- */

static void test_accessed_dirty(void **state)
{
	static const struct {
		enum mc_mode mode;
		unsigned leaf;
	} way[] = {
		{ MC_32, 1 }, { MC_32, 2 }, { MC_PAE, 1 }, { MC_PAE, 2 },
		{ MC_64, 1 }, { MC_64, 2 }, { MC_64, 3 }, { MC_LA57, 1 },
		{ MC_LA57, 2 }, { MC_LA57, 3 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(way) / sizeof(way[0]); i++)
		for (unsigned kind = MC_READ; kind <= MC_FETCH; kind++) {
			enum mc_mode mode = way[i].mode;
			struct mc_access a = {
				.kind = kind, .size = kind == MC_FETCH ? 7 : 1,
				.regs = regs_of(mode),
			};
			unsigned top = manual_levels(mode), l;
			uint64_t before[6], want;

			a.va = build(mode, way[i].leaf);
			for (l = way[i].leaf; l <= top; l++)
				before[l] = get(mode, l);
			assert_int_equal(make(&a).outcome, MC_OK);
			for (l = way[i].leaf; l <= top; l++) {
				want = mode == MC_PAE && l == 3 ? 0 : MC_A;
				if (l == way[i].leaf && kind == MC_WRITE)
					want |= MC_D;
				assert_int_equal(get(mode, l),
						 before[l] | want);
			}
		}
}

static void test_fault_sets_nothing(void **state)
{
	struct mc_access a = {
		.kind = MC_WRITE, .size = 1, .regs = regs_of(MC_64),
	};
	uint64_t before;

	(void)state;
	a.va = build(MC_64, 1);
	put(MC_64, 1, get(MC_64, 1) & ~MC_RW);
	before = get(MC_64, 4);
	assert_int_equal(make(&a).outcome, MC_PF);
	assert_int_equal(get(MC_64, 4), before);
	assert_int_equal(get(MC_64, 1) & (MC_A | MC_D), 0);
}

/* ---- addresses ---- */

static void test_page_addresses(void **state)
{
	struct mc_access a = { .kind = MC_READ, .size = 8 };

	(void)state;
	for (unsigned leaf = 1; leaf <= 3; leaf++) {
		a.regs = regs_of(MC_LA57);
		a.va = build(MC_LA57, leaf) + 0x100;
		assert_int_equal(make(&a).pa, PAGE + 0x100);
	}
}

/* Table 4-4: bits 20:13 of a PDE are bits 39:32 of the address. */
static void test_pse36(void **state)
{
	struct mc_access a = { .kind = MC_READ, .size = 4 };
	uint64_t high = 1ull << 32;

	(void)state;
	a.regs = regs_of(MC_32);
	a.va = build(MC_32, 2);
	put(MC_32, 2, get(MC_32, 2) | 1 << 13);
	assert_int_equal(make(&a).pa, high + PAGE);
	/* M = MAXPHYADDR = 36: bits 21:17 are reserved */
	a.regs.maxphyaddr = 36;
	put(MC_32, 2, get(MC_32, 2) | 1 << 17);
	assert_int_equal(make(&a).error, MC_PF_P | MC_PF_RSVD);
	/* M is at most 40 */
	a.regs.maxphyaddr = 52;
	put(MC_32, 2, (get(MC_32, 2) & ~(1ull << 17)) | 1 << 21);
	assert_int_equal(make(&a).error, MC_PF_P | MC_PF_RSVD);
}

static void test_legacy_address_is_32_bits(void **state)
{
	struct mc_access a = { .kind = MC_READ, .size = 4 };

	(void)state;
	a.regs = regs_of(MC_PAE);
	a.va = build(MC_PAE, 1) | 7ull << 32;
	assert_int_equal(make(&a).outcome, MC_OK);
}

/* SDM volume 1, 3.3.7.1 */
static void test_canonical(void **state)
{
	struct mc_access a = { .kind = MC_READ, .size = 8 };

	(void)state;
	a.regs = regs_of(MC_64);
	build(MC_64, 1);
	a.va = 1ull << 47;
	assert_int_equal(make(&a).outcome, MC_GP);
	a.stack = true;
	assert_int_equal(make(&a).outcome, MC_SS);
	a.va = (1ull << 47) - 4;
	assert_int_equal(make(&a).outcome, MC_SS);
	a.va = -(1ull << 47);
	assert_int_equal(make(&a).outcome, MC_PF);
	a.regs = regs_of(MC_LA57);
	build(MC_LA57, 1);
	a.va = 1ull << 47;
	assert_int_equal(make(&a).outcome, MC_PF);
	a.va = 1ull << 56;
	assert_int_equal(make(&a).outcome, MC_SS);
}

/* The lower page first; CR2 is on the page that is bad; all or nothing. */
static void test_crossing(void **state)
{
	struct mc_access a = {
		.kind = MC_WRITE, .size = 8, .value = 0x1122334455667788,
	};
	uint64_t next = slot_of(MC_64, 1) + 8, v = (ARENA + 30 * 4096) | OPEN;
	uint64_t was, is;

	(void)state;
	a.regs = regs_of(MC_64);
	a.va = build(MC_64, 1) + 4092;
	memcpy(&was, mem.base + PAGE + 4088, 8);
	assert_int_equal(make(&a).cr2, a.va + 4);
	memcpy(&is, mem.base + PAGE + 4088, 8);
	assert_int_equal(is, was);
	assert_int_equal(get(MC_64, 1) & (MC_A | MC_D), 0);
	memcpy(mem.base + next, &v, 8);
	assert_int_equal(make(&a).outcome, MC_OK);
	assert_memory_equal(mem.base + PAGE + 4092, &a.value, 4);
	assert_memory_equal(mem.base + ARENA + 30 * 4096,
			    (uint8_t *)&a.value + 4, 4);
	memcpy(&v, mem.base + next, 8);
	assert_int_equal(v & (MC_A | MC_D), MC_A | MC_D);
}

/* ---- MOV to CR3 ---- */

static void test_load_cr3(void **state)
{
	static const uint64_t bad[] = {
		1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1ull << 40,
		1ull << 62, MC_XD,
	};
	struct mc_access a = { .kind = MC_LOADCR3 };
	uint64_t v;

	(void)state;
	/* 4.5.2 */
	a.regs = regs_of(MC_64);
	a.regs.cr3 |= 1ull << 40;
	assert_int_equal(make(&a).outcome, MC_GP);
	/* 4.4.1, table 4-8 */
	a.regs = regs_of(MC_PAE);
	build(MC_PAE, 1);
	v = get(MC_PAE, 3);
	assert_int_equal(make(&a).outcome, MC_OK);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(MC_PAE, 3, v | bad[i]);
		assert_int_equal(make(&a).outcome, MC_GP);
		put(MC_PAE, 3, (v | bad[i]) & ~MC_P);
		assert_int_equal(make(&a).outcome, MC_OK);
	}
}

/* 4.4.1: the registers count, not what has become of memory. */
static void test_pdpte_registers(void **state)
{
	struct manual m = { .mem = &mem };
	struct mc_access a = { .kind = MC_LOADCR3 };
	struct mc_result res;

	(void)state;
	a.regs = regs_of(MC_PAE);
	a.va = build(MC_PAE, 1);
	manual_access(&m, &a, &res);
	put(MC_PAE, 3, 0);
	a.kind = MC_READ;
	a.size = 1;
	manual_access(&m, &a, &res);
	assert_int_equal(res.outcome, MC_OK);
}

static int up(void **state)
{
	(void)state;
	return layout_mem_create(&mem);
}

static int down(void **state)
{
	(void)state;
	layout_mem_destroy(&mem);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_accessed_dirty),
		cmocka_unit_test(test_fault_sets_nothing),
		cmocka_unit_test(test_page_addresses),
		cmocka_unit_test(test_pse36),
		cmocka_unit_test(test_legacy_address_is_32_bits),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_crossing),
		cmocka_unit_test(test_load_cr3),
		cmocka_unit_test(test_pdpte_registers),
	};

	return cmocka_run_group_tests(tests, up, down);
}
