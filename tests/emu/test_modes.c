/*
 * test_modes.c - every rule of SDM 3A chapter 4 once, in every mode that has
 * it.
 *
 * A path is one address with an entry at each level. A question puts the
 * path into RAM, makes one access through a CPU at full speed and one with a
 * model, which must agree, and compares outcome, error code, CR2 and the A
 * and D bits of every entry with what the manual says for that case.
 */
#include "emu/cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emu/model.h"

#define RAM_BYTES	(6ull << 30)	/* sparse; over 4 GiB for PSE-36 */
#define FRAME		0x40ull		/* where the page is */
#define OPEN		(X86_PTE_P | X86_PTE_W | X86_PTE_U)
#define RSVD		(X86_PF_P | X86_PF_RSVD)
#define SHUT		(~0u)		/* expect: no fault */

struct path {
	enum mmu_mode mode;
	struct ram ram;
	struct cpu *cpu;
	struct model *model;
	uint64_t va;
	uint64_t e[6];		/* by level; put into RAM by each question */
	uint64_t got[6];	/* as they are afterwards */
	struct mmu_outcome out;
};

static unsigned levels(const struct path *p)
{
	return p->mode == MMU_57 ? 5 : p->mode == MMU_64 ? 4 : 2;
}

static unsigned shift_of(const struct path *p, unsigned level)
{
	return 12 + (level - 1) * (p->mode == MMU_32 ? 10 : 9);
}

static uint64_t table_of(unsigned level)
{
	return (0x10 + level) * 4096ull;
}

static void *slot(struct path *p, unsigned level)
{
	uint64_t i = p->va >> shift_of(p, level);

	if (p->mode == MMU_32)
		return p->ram.base + table_of(level) + (i & 1023) * 4;
	return p->ram.base + table_of(level) + (i & 511) * 8;
}

static void put(struct path *p)
{
	unsigned level;

	for (level = 1; level <= levels(p); level++) {
		if (p->mode == MMU_32)
			*(uint32_t *)slot(p, level) = p->e[level];
		else
			*(uint64_t *)slot(p, level) = p->e[level];
	}
}

static void get(struct path *p)
{
	unsigned level;

	for (level = 1; level <= levels(p); level++)
		p->got[level] = p->mode == MMU_32 ?
				*(uint32_t *)slot(p, level) :
				*(uint64_t *)slot(p, level);
}

static uint64_t root_of(struct path *p)
{
	uint64_t *pdpt = (uint64_t *)(p->ram.base + table_of(3));

	if (p->mode != MMU_PAE)
		return table_of(levels(p));
	pdpt[p->va >> 30 & 3] = table_of(2) | X86_PTE_P;
	return table_of(3);
}

static void path_make(struct path *p, enum mmu_mode mode)
{
	unsigned level;

	memset(p, 0, sizeof(*p));
	p->mode = mode;
	p->va = 0x47654123;
	if (mode == MMU_64)
		p->va |= 0x1234ull << 32;
	if (mode == MMU_57)
		p->va |= 0xff1234ull << 32;
	assert_int_equal(ram_create(&p->ram, RAM_BYTES), 0);
	for (level = 1; level <= levels(p); level++)
		p->e[level] = table_of(level - 1) | OPEN;
	p->e[1] = FRAME << 12 | OPEN;
	p->cpu = malloc(sizeof(*p->cpu));
	p->model = model_create(model_preset("skylake"), 0);
	assert_true(p->cpu && p->model);
	cpu_init(p->cpu, &p->ram, 0);
	cpu_set_mode(p->cpu, mode);
	cpu_enter(p->cpu);
	assert_int_equal(cpu_mov_cr3(p->cpu, root_of(p)), 0);
}

static void path_free(struct path *p)
{
	cpu_leave(p->cpu);
	model_destroy(p->model);
	free(p->cpu);
	ram_destroy(&p->ram);
}

/* Ask, at full speed and modelled. */
static void ask(struct path *p, enum mmu_access access, unsigned flags)
{
	struct mmu_outcome first;
	uint64_t marks[6];

	put(p);
	cpu_set_model(p->cpu, NULL);
	cpu_access(p->cpu, p->va, 1, access, flags, &first);
	get(p);
	memcpy(marks, p->got, sizeof(marks));
	put(p);
	cpu_set_model(p->cpu, p->model);
	cpu_access(p->cpu, p->va, 1, access, flags, &p->out);
	get(p);
	assert_memory_equal(&first, &p->out, sizeof(first));
	assert_memory_equal(marks, p->got, sizeof(marks));
}

/* A and D of every entry: the leaf is at @leaf. */
static void expect_marks(struct path *p, enum mmu_access access,
			 unsigned leaf, bool ok)
{
	unsigned level;
	uint64_t want;

	for (level = 1; level <= levels(p); level++) {
		want = p->e[level];
		if (ok && level >= leaf)
			want |= X86_PTE_A;
		if (ok && level == leaf && access == MMU_WRITE)
			want |= X86_PTE_D;
		assert_int_equal(p->got[level], want);
	}
}

static void expect_page(struct path *p, enum mmu_access access,
			unsigned flags, unsigned leaf, uint64_t pa)
{
	ask(p, access, flags);
	if (p->out.kind != MMU_OK)
		fail_msg("mode %d: error %x", p->mode, p->out.error);
	assert_int_equal(p->out.pa, pa);
	expect_marks(p, access, leaf, true);
}

static void expect_ok(struct path *p, enum mmu_access access, unsigned flags)
{
	expect_page(p, access, flags, 1, FRAME << 12 | (p->va & 0xfff));
}

static void expect_pf(struct path *p, enum mmu_access access, unsigned flags,
		      uint32_t error)
{
	ask(p, access, flags);
	if (p->out.kind != MMU_PF || p->out.error != error)
		fail_msg("mode %d: kind %d error %x, not %x", p->mode,
			 p->out.kind, p->out.error, error);
	assert_int_equal(p->out.cr2, p->va);
	assert_int_equal(p->cpu->cr2, p->va);
	expect_marks(p, access, 1, false);
}

/* SHUT: it may; else the error code. */
static void expect(struct path *p, enum mmu_access access, unsigned flags,
		   uint32_t error)
{
	if (error == SHUT)
		expect_ok(p, access, flags);
	else
		expect_pf(p, access, flags, error);
}

static void cr0(struct path *p, uint64_t set, uint64_t clear)
{
	assert_int_equal(cpu_mov_cr0(p->cpu,
				     (p->cpu->regs.cr0 | set) & ~clear), 0);
}

static void cr4(struct path *p, uint64_t set, uint64_t clear)
{
	assert_int_equal(cpu_mov_cr4(p->cpu,
				     (p->cpu->regs.cr4 | set) & ~clear), 0);
}

static void nxe(struct path *p, bool on)
{
	uint64_t efer = p->cpu->regs.efer & ~X86_EFER_NXE;

	assert_int_equal(cpu_wrmsr_efer(p->cpu, efer |
					(on ? X86_EFER_NXE : 0)), 0);
}

/* Each test in each mode from @first on. */
static void in_modes(enum mmu_mode first, void (*test)(struct path *))
{
	struct path p;
	unsigned mode;

	for (mode = first; mode <= MMU_57; mode++) {
		path_make(&p, mode);
		test(&p);
		path_free(&p);
	}
}

#define TEST(name, first)						\
	static void test_##name(void **state)				\
	{								\
		(void)state;						\
		in_modes(first, rule_##name);				\
	}

/* ---- presence, A and D (4.8) ---- */

static void rule_marks(struct path *p)
{
	unsigned level;

	for (level = 0; level <= levels(p); level++) {
		if (level)
			p->e[level] |= X86_PTE_A;
		expect_ok(p, MMU_READ, 0);
		expect_ok(p, MMU_WRITE, 0);
		expect_ok(p, MMU_FETCH, 0);
	}
}
TEST(marks, MMU_32)

static void rule_absent(struct path *p)
{
	uint32_t i = p->mode == MMU_32 ? 0 : X86_PF_I;
	unsigned level;

	for (level = 1; level <= levels(p); level++) {
		/* Every other bit may be set: none is looked at. */
		uint64_t keep = p->e[level];

		p->e[level] = ~1ull;
		if (p->mode == MMU_32)
			p->e[level] = (uint32_t)p->e[level];
		expect_pf(p, MMU_READ, 0, X86_PF_U);
		expect_pf(p, MMU_WRITE, 0, X86_PF_U | X86_PF_W);
		expect_pf(p, MMU_FETCH, 0, X86_PF_U | i);
		cpu_set_cpl(p->cpu, 0);
		expect_pf(p, MMU_WRITE, 0, X86_PF_W);
		cpu_set_cpl(p->cpu, 3);
		p->e[level] = keep;
	}
}
TEST(absent, MMU_32)

/* A write by an entry that was cached with D clear walks, and sets D. */
static void rule_dirty_later(struct path *p)
{
	struct mmu_outcome out;
	unsigned modelled;

	for (modelled = 0; modelled < 2; modelled++) {
		cpu_set_model(p->cpu, modelled ? p->model : NULL);
		put(p);
		cpu_access(p->cpu, p->va, 1, MMU_READ, 0, &out);
		cpu_access(p->cpu, p->va, 1, MMU_READ, 0, &out);
		get(p);
		assert_false(p->got[1] & X86_PTE_D);
		cpu_access(p->cpu, p->va, 1, MMU_WRITE, 0, &out);
		get(p);
		expect_marks(p, MMU_WRITE, 1, true);
	}
}
TEST(dirty_later, MMU_32)

/* ---- U/S, R/W, WP, CPL (4.6.1) ---- */

static void rule_user(struct path *p)
{
	uint32_t i = p->mode == MMU_32 ? 0 : X86_PF_I;
	unsigned level;

	for (level = 1; level <= levels(p); level++) {
		p->e[level] &= ~X86_PTE_U;
		cpu_set_cpl(p->cpu, 3);
		expect_pf(p, MMU_READ, 0, X86_PF_P | X86_PF_U);
		expect_pf(p, MMU_FETCH, 0, X86_PF_P | X86_PF_U | i);
		expect_ok(p, MMU_READ, MMU_IMPLICIT);
		cpu_set_cpl(p->cpu, 2);
		expect_ok(p, MMU_WRITE, 0);
		p->e[level] |= X86_PTE_U;
	}
}
TEST(user, MMU_32)

static void rule_write(struct path *p)
{
	const uint32_t bad = X86_PF_P | X86_PF_W;
	unsigned level;

	for (level = 1; level <= levels(p); level++) {
		p->e[level] &= ~X86_PTE_W;
		cr0(p, X86_CR0_WP, 0);
		cpu_set_cpl(p->cpu, 3);
		expect_ok(p, MMU_READ, 0);
		expect_pf(p, MMU_WRITE, 0, bad | X86_PF_U);
		expect_pf(p, MMU_WRITE, MMU_IMPLICIT, bad);
		cpu_set_cpl(p->cpu, 0);
		expect_pf(p, MMU_WRITE, 0, bad);
		cr0(p, 0, X86_CR0_WP);
		expect_ok(p, MMU_WRITE, 0);
		cpu_set_cpl(p->cpu, 3);
		expect_pf(p, MMU_WRITE, 0, bad | X86_PF_U);
		expect_ok(p, MMU_WRITE, MMU_IMPLICIT);
		p->e[level] |= X86_PTE_W;
	}
}
TEST(write, MMU_32)

static void rule_smep(struct path *p)
{
	unsigned level;

	cpu_set_cpl(p->cpu, 0);
	expect_ok(p, MMU_FETCH, 0);
	cr4(p, X86_CR4_SMEP, 0);
	expect_pf(p, MMU_FETCH, 0, X86_PF_P | X86_PF_I);
	expect_ok(p, MMU_READ, 0);
	cpu_set_cpl(p->cpu, 3);
	expect_ok(p, MMU_FETCH, 0);
	/* SMEP alone makes I told, in 32-bit mode too. */
	p->e[1] &= ~X86_PTE_P;
	expect_pf(p, MMU_FETCH, 0, X86_PF_U | X86_PF_I);
	p->e[1] |= X86_PTE_P;
	cpu_set_cpl(p->cpu, 0);
	for (level = 1; level <= levels(p); level++) {
		p->e[level] &= ~X86_PTE_U;
		expect_ok(p, MMU_FETCH, 0);
		p->e[level] |= X86_PTE_U;
	}
}
TEST(smep, MMU_32)

static void rule_smap(struct path *p)
{
	cr4(p, X86_CR4_SMAP, 0);
	cpu_set_cpl(p->cpu, 0);
	expect_pf(p, MMU_READ, 0, X86_PF_P);
	expect_pf(p, MMU_WRITE, 0, X86_PF_P | X86_PF_W);
	cr0(p, 0, X86_CR0_WP);
	expect_pf(p, MMU_WRITE, 0, X86_PF_P | X86_PF_W);
	cr0(p, X86_CR0_WP, 0);
	expect_ok(p, MMU_FETCH, 0);
	cpu_set_ac(p->cpu, true);
	expect_ok(p, MMU_WRITE, 0);
	expect_pf(p, MMU_READ, MMU_IMPLICIT, X86_PF_P);
	cpu_set_cpl(p->cpu, 3);
	expect_pf(p, MMU_READ, MMU_IMPLICIT, X86_PF_P);
	cpu_set_ac(p->cpu, false);
	expect_ok(p, MMU_WRITE, 0);
	cpu_set_cpl(p->cpu, 1);
	p->e[1] &= ~X86_PTE_U;
	expect_ok(p, MMU_WRITE, 0);
}
TEST(smap, MMU_32)

static void rule_nx(struct path *p)
{
	const uint32_t bad = X86_PF_P | X86_PF_U | X86_PF_I;
	unsigned level;

	for (level = 1; level <= levels(p); level++) {
		p->e[level] |= X86_PTE_NX;
		expect_ok(p, MMU_WRITE, 0);
		expect_pf(p, MMU_FETCH, 0, bad);
		cpu_set_cpl(p->cpu, 0);
		expect_pf(p, MMU_FETCH, 0, X86_PF_P | X86_PF_I);
		cpu_set_cpl(p->cpu, 3);
		nxe(p, false);
		expect_pf(p, MMU_READ, 0, RSVD | X86_PF_U);
		expect_pf(p, MMU_FETCH, 0, RSVD | X86_PF_U);
		nxe(p, true);
		p->e[level] &= ~X86_PTE_NX;
	}
}
TEST(nx, MMU_PAE)

/* ---- reserved bits ---- */

static void rule_maxphyaddr(struct path *p)
{
	static const uint8_t widths[] = { 36, 39, 46, 52 };
	unsigned level, bit, i, top = p->mode == MMU_PAE ? 62 : 51;

	for (i = 0; i < sizeof(widths); i++) {
		cpu_set_features(p->cpu, widths[i], 0);
		for (level = 1; level <= levels(p); level++) {
			for (bit = widths[i]; bit < 63; bit++) {
				p->e[level] ^= 1ull << bit;
				expect(p, MMU_READ, 0, bit > top ? SHUT :
				       RSVD | X86_PF_U);
				p->e[level] ^= 1ull << bit;
			}
		}
	}
}
TEST(maxphyaddr, MMU_PAE)

/* Reserved beats permission; absence of a lower level comes after. */
static void rule_order(struct path *p)
{
	p->e[2] |= 1ull << 51;
	p->e[2] &= ~(X86_PTE_U | X86_PTE_W);
	p->e[1] = 0;
	expect_pf(p, MMU_WRITE, 0, RSVD | X86_PF_U | X86_PF_W);
	p->e[2] &= ~X86_PTE_P;
	expect_pf(p, MMU_WRITE, 0, X86_PF_U | X86_PF_W);
}
TEST(order, MMU_PAE)

/* 32-bit: nothing is reserved in 4 KiB pages, whatever the bits. */
static void test_free_32(void **state)
{
	struct path p;
	unsigned level, bit;

	(void)state;
	path_make(&p, MMU_32);
	cr4(&p, 0, X86_CR4_PSE);
	for (level = 1; level <= 2; level++)
		for (bit = 3; bit < 12; bit++) {
			p.e[level] |= 1ull << bit;
			expect_ok(&p, MMU_READ, 0);
		}
	path_free(&p);
}

/* ---- large pages ---- */

static void rule_large(struct path *p)
{
	unsigned shift = shift_of(p, 2), bit;
	uint64_t base = 3ull << shift, off = p->va & ((1ull << shift) - 1);
	unsigned low = p->mode == MMU_32 ? 21 : 13;

	p->e[2] = base | OPEN | X86_PTE_PS;
	expect_page(p, MMU_READ, 0, 2, base + off);
	expect_page(p, MMU_WRITE, 0, 2, base + off);
	p->e[2] |= X86_PTE_PAT_LARGE | X86_PTE_G;
	expect_page(p, MMU_FETCH, 0, 2, base + off);
	for (bit = low; bit < shift; bit++) {
		p->e[2] ^= 1ull << bit;
		expect_pf(p, MMU_READ, 0, RSVD | X86_PF_U);
		p->e[2] ^= 1ull << bit;
	}
	p->e[2] &= ~X86_PTE_W;
	expect_pf(p, MMU_WRITE, 0, X86_PF_P | X86_PF_U | X86_PF_W);
}
TEST(large, MMU_32)

static void rule_1g(struct path *p)
{
	uint64_t off = p->va & 0x3fffffff;
	unsigned bit;

	p->e[3] = 1ull << 30 | OPEN | X86_PTE_PS;
	expect_page(p, MMU_WRITE, 0, 3, (1ull << 30) + off);
	for (bit = 13; bit < 30; bit++) {
		p->e[3] ^= 1ull << bit;
		expect_pf(p, MMU_READ, 0, RSVD | X86_PF_U);
		p->e[3] ^= 1ull << bit;
	}
	cpu_set_features(p->cpu, 0, MMU_NO_1G);
	expect_pf(p, MMU_READ, 0, RSVD | X86_PF_U);
	cpu_set_features(p->cpu, 0, 0);
	p->e[3] = table_of(2) | OPEN;
	for (bit = 4; bit <= levels(p); bit++) {
		p->e[bit] |= X86_PTE_PS;
		expect_pf(p, MMU_READ, 0, RSVD | X86_PF_U);
		p->e[bit] &= ~X86_PTE_PS;
	}
}
TEST(1g, MMU_64)

/* PS means nothing without CR4.PSE. */
static void test_no_pse(void **state)
{
	struct path p;

	(void)state;
	path_make(&p, MMU_32);
	p.e[2] |= X86_PTE_PS;
	cr4(&p, 0, X86_CR4_PSE);
	expect_ok(&p, MMU_WRITE, 0);
	path_free(&p);
}

static void test_pse36(void **state)
{
	struct path p;
	uint64_t off;
	unsigned bit;

	(void)state;
	path_make(&p, MMU_32);
	off = p.va & 0x3fffff;
	/* Bit 13 is address bit 32. */
	p.e[2] = 1ull << 13 | 5ull << 22 | OPEN | X86_PTE_PS;
	expect_page(&p, MMU_WRITE, 0, 2, (1ull << 32) + (5ull << 22) + off);
	cpu_set_features(p.cpu, 36, 0);
	expect_page(&p, MMU_READ, 0, 2, (1ull << 32) + (5ull << 22) + off);
	for (bit = 17; bit < 22; bit++) {
		p.e[2] ^= 1ull << bit;
		expect_pf(&p, MMU_READ, 0, RSVD | X86_PF_U);
		p.e[2] ^= 1ull << bit;
	}
	cpu_set_features(p.cpu, 36, MMU_NO_PSE36);
	expect_pf(&p, MMU_READ, 0, RSVD | X86_PF_U);
	p.e[2] ^= 1ull << 13;
	expect_page(&p, MMU_READ, 0, 2, (5ull << 22) + off);
	path_free(&p);
}

/* ---- addresses ---- */

static void refuse(struct path *p, uint64_t va, unsigned flags,
		   enum mmu_kind kind)
{
	p->va = va;
	p->cpu->cr2 = 77;
	cpu_access(p->cpu, va, 1, MMU_WRITE, flags, &p->out);
	assert_int_equal(p->out.kind, kind);
	assert_int_equal(p->out.error, 0);
	assert_int_equal(p->cpu->cr2, 77);
}

static void rule_canonical(struct path *p)
{
	unsigned top = p->mode == MMU_57 ? 56 : 47;

	refuse(p, 1ull << top, 0, MMU_GP);
	refuse(p, 1ull << top, MMU_STACK, MMU_SS);
	refuse(p, ~0ull << top ^ 1ull << 63, 0, MMU_GP);
	refuse(p, ~(1ull << top), 0, MMU_GP);
	p->va = ~0ull << top;
	expect_ok(p, MMU_READ, MMU_STACK);
	p->va = (1ull << top) - 1;
	expect_ok(p, MMU_READ, 0);
	p->cpu->cr2 = 0;
	cpu_access(p->cpu, p->va, 2, MMU_READ, 0, &p->out);
	assert_int_equal(p->out.kind, MMU_GP);
	/* 32-bit code in long mode has no such addresses. */
	p->va = 0x47654123;
	cpu_set_compat(p->cpu, true);
	put(p);
	cpu_access(p->cpu, p->va | 1ull << 60, 1, MMU_READ, 0, &p->out);
	assert_int_equal(p->out.kind, MMU_OK);
}
TEST(canonical, MMU_64)

/* Five levels: bits 56:48 index the top table. */
static void test_la57_index(void **state)
{
	struct path p;

	(void)state;
	path_make(&p, MMU_57);
	put(&p);
	p.va ^= 1ull << 50;
	cpu_access(p.cpu, p.va, 1, MMU_READ, 0, &p.out);
	assert_int_equal(p.out.kind, MMU_PF);
	assert_int_equal(p.out.error, X86_PF_U);
	path_free(&p);
}

/* ---- protection keys (4.6.2) ---- */

static void rule_pku(struct path *p)
{
	const uint32_t bad = X86_PF_P | X86_PF_PK;
	unsigned key;

	cr4(p, X86_CR4_PKE, 0);
	for (key = 0; key < 16; key++) {
		p->e[1] = FRAME << 12 | OPEN |
			  (uint64_t)key << X86_PTE_PK_SHIFT;
		cpu_wrpkru(p->cpu, ~(X86_PK_AD(key) | X86_PK_WD(key)));
		expect_ok(p, MMU_WRITE, 0);
		cpu_wrpkru(p->cpu, X86_PK_AD(key));
		expect_pf(p, MMU_READ, 0, bad | X86_PF_U);
		expect_pf(p, MMU_WRITE, 0, bad | X86_PF_U | X86_PF_W);
		expect_ok(p, MMU_FETCH, 0);
		expect_pf(p, MMU_READ, MMU_IMPLICIT, bad);
		cpu_wrpkru(p->cpu, X86_PK_WD(key));
		expect_ok(p, MMU_READ, 0);
		expect_pf(p, MMU_WRITE, 0, bad | X86_PF_U | X86_PF_W);
	}
	cpu_set_cpl(p->cpu, 0);
	expect_pf(p, MMU_WRITE, 0, bad | X86_PF_W);
	cr0(p, 0, X86_CR0_WP);
	expect_ok(p, MMU_WRITE, 0);
	cpu_set_cpl(p->cpu, 3);
	expect_pf(p, MMU_WRITE, 0, bad | X86_PF_U | X86_PF_W);
	/* PK is told with other reasons too; not for supervisor pages. */
	p->e[1] &= ~X86_PTE_W;
	expect_pf(p, MMU_WRITE, 0, bad | X86_PF_U | X86_PF_W);
	p->e[1] &= ~X86_PTE_U;
	expect_pf(p, MMU_WRITE, 0, X86_PF_P | X86_PF_U | X86_PF_W);
	cpu_set_cpl(p->cpu, 0);
	expect_ok(p, MMU_WRITE, 0);
	cr4(p, 0, X86_CR4_PKE);
	assert_int_equal(cpu_wrpkru(p->cpu, 0), MMU_UD);
}
TEST(pku, MMU_64)

static void rule_pks(struct path *p)
{
	const uint32_t bad = X86_PF_P | X86_PF_PK;
	const unsigned key = 9;

	cr4(p, X86_CR4_PKS, 0);
	cpu_set_cpl(p->cpu, 0);
	p->e[1] |= (uint64_t)key << X86_PTE_PK_SHIFT;
	cpu_wrmsr_pkrs(p->cpu, X86_PK_AD(key));
	expect_ok(p, MMU_WRITE, 0);		/* a user page */
	p->e[3] &= ~X86_PTE_U;
	expect_pf(p, MMU_READ, 0, bad);
	expect_ok(p, MMU_FETCH, 0);
	cpu_wrmsr_pkrs(p->cpu, X86_PK_WD(key));
	expect_ok(p, MMU_READ, 0);
	expect_pf(p, MMU_WRITE, 0, bad | X86_PF_W);
	expect_pf(p, MMU_WRITE, MMU_IMPLICIT, bad | X86_PF_W);
	cr0(p, 0, X86_CR0_WP);
	expect_ok(p, MMU_WRITE, 0);
}
TEST(pks, MMU_64)

/* ---- PAE's four registers (4.4.1) ---- */

static void test_pdptes(void **state)
{
	struct path p;
	uint64_t *pdpte;

	(void)state;
	path_make(&p, MMU_PAE);
	pdpte = (uint64_t *)(p.ram.base + table_of(3)) + (p.va >> 30);
	/* What is in memory does not matter until it is loaded. */
	*pdpte = 0;
	expect_ok(&p, MMU_READ, 0);
	assert_int_equal(*pdpte, 0);
	assert_int_equal(cpu_mov_cr3(p.cpu, table_of(3)), 0);
	expect_pf(&p, MMU_WRITE, 0, X86_PF_U | X86_PF_W);
	/* Loads by CR4 and CR0 as well; no rights and no A in it. */
	*pdpte = table_of(2) | X86_PTE_P;
	cr4(&p, X86_CR4_PGE, 0);
	expect_ok(&p, MMU_WRITE, 0);
	*pdpte = 0;
	cr0(&p, X86_CR0_CD, 0);
	expect_pf(&p, MMU_READ, 0, X86_PF_U);
	*pdpte = table_of(2) | X86_PTE_P;
	cr0(&p, 0, X86_CR0_CD);
	expect_ok(&p, MMU_WRITE, 0);
	cr0(&p, 0, X86_CR0_WP);			/* not by this one */
	assert_int_equal(*pdpte, table_of(2) | X86_PTE_P);
	path_free(&p);
}

static void test_pdpte_reserved(void **state)
{
	struct path p;
	uint64_t *pdpt;
	unsigned bit, i;

	(void)state;
	path_make(&p, MMU_PAE);
	pdpt = (uint64_t *)(p.ram.base + 0x30000);
	for (bit = 1; bit < 64; bit++) {
		bool rsvd = bit <= 2 || (bit >= 5 && bit <= 8) ||
			    bit >= X86_MAXPHYADDR;

		for (i = 0; i < 4; i++) {
			memset(pdpt, 0, 32);
			pdpt[i] = 1ull << bit | X86_PTE_P;
			assert_int_equal(cpu_mov_cr3(p.cpu, 0x30000),
					 rsvd ? MMU_GP : 0);
			if (rsvd)
				assert_int_not_equal(p.cpu->regs.cr3,
						     0x30000);
			pdpt[i] &= ~X86_PTE_P;
			assert_int_equal(cpu_mov_cr3(p.cpu, 0x30000), 0);
			assert_int_equal(cpu_mov_cr3(p.cpu, table_of(3)), 0);
		}
	}
	/* Refused, the old ones stay in force. */
	pdpt[0] = ~0ull;
	assert_int_equal(cpu_mov_cr3(p.cpu, 0x30000), MMU_GP);
	expect_ok(&p, MMU_WRITE, 0);
	/* 32-byte aligned, anywhere in a page. */
	pdpt[4 + (p.va >> 30)] = table_of(2) | X86_PTE_P;
	assert_int_equal(cpu_mov_cr3(p.cpu, 0x30020), 0);
	expect_ok(&p, MMU_WRITE, 0);
	path_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_dirty_later),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_smep),
		cmocka_unit_test(test_smap),
		cmocka_unit_test(test_nx),
		cmocka_unit_test(test_maxphyaddr),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_free_32),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_1g),
		cmocka_unit_test(test_no_pse),
		cmocka_unit_test(test_pse36),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_la57_index),
		cmocka_unit_test(test_pku),
		cmocka_unit_test(test_pks),
		cmocka_unit_test(test_pdptes),
		cmocka_unit_test(test_pdpte_reserved),
	};

	return cmocka_run_group_tests_name("modes", tests, NULL, NULL);
}
