/*
 * guest.c - what the KVM guest needs to live, in every mode: guest.h.
 *
 * Physical frames, and the same pages from the start of the reserved slot:
 *
 *	1  probes and exception handlers, for the supervisor
 *	2  the probes, for the user
 *	3  stack		4  IDT, long	5  IDT, legacy	6  GDT, TSSs
 *
 * All entries that map them have A and D set, so that nothing here changes
 * while the guest runs.
 */
#include "mmucheck/guest.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define FRAME(n)	((n) * 4096ull)

enum { F_CODE = 1, F_USER, F_STACK, F_IDT64, F_IDT32, F_GDT, F_LAST = F_GDT,
       F_PT32 = 16, F_PD_PAE, F_PT_PAE, F_PML4, F_PDPT, F_PD, F_PT,
       F_ROOT = 32, F_EVERYWHERE = F_ROOT + MC_MODES,
       F_EMPTY = F_EVERYWHERE + MC_MODES };

enum { SLOT_ABSENT = 1, SLOT_GLOBAL };	/* of the first root */

#define OFF_HANDLERS	0x800		/* in the page of code */
#define OFF_TSS64	0x800		/* in the page of the GDT */
#define OFF_TSS32	0xa00
#define PROBE_SIZE	16

#define TABLE		(MC_P | MC_RW | MC_US | MC_A)
#define SUPERVISOR	(MC_P | MC_RW | MC_A | MC_D)
#define USER		(MC_P | MC_US | MC_A | MC_D)

/*
 * The same bytes do in 32-bit and 64-bit code; only those with a REX prefix
 * (0x48) are of no use in the former. In the order probe_number() counts.
 */
enum { PROBE_LOAD = 0, PROBE_STORE = 8, PROBE_JUMP = 16, PROBE_DESC,
       PROBE_CR3, PROBES };

struct probe {
	uint8_t len, code[5];
};

static const struct probe probe[PROBES] = {
	/* mov (%rdi), %rax in four sizes; mov 0(%rbp), %rax */
	{ 2, { 0x8a, 0x07 } }, { 3, { 0x66, 0x8b, 0x07 } },
	{ 2, { 0x8b, 0x07 } }, { 3, { 0x48, 0x8b, 0x07 } },
	{ 3, { 0x8a, 0x45, 0 } }, { 4, { 0x66, 0x8b, 0x45, 0 } },
	{ 3, { 0x8b, 0x45, 0 } }, { 4, { 0x48, 0x8b, 0x45, 0 } },
	/* mov %rax, (%rdi) in four sizes; mov %rax, 0(%rbp) */
	{ 2, { 0x88, 0x07 } }, { 3, { 0x66, 0x89, 0x07 } },
	{ 2, { 0x89, 0x07 } }, { 3, { 0x48, 0x89, 0x07 } },
	{ 3, { 0x88, 0x45, 0 } }, { 4, { 0x66, 0x89, 0x45, 0 } },
	{ 3, { 0x89, 0x45, 0 } }, { 4, { 0x48, 0x89, 0x45, 0 } },
	/* jmp *%rdi; mov %eax, %fs; mov %rdi, %cr3 */
	{ 2, { 0xff, 0xe7 } }, { 2, { 0x8e, 0xe0 } },
	{ 3, { 0x0f, 0x22, 0xdf } },
};

static const uint64_t reserved_base[MC_MODES] = {
	[MC_32] = 0xffc00000, [MC_PAE] = 0xc0000000,
	[MC_64] = 0xffffff8000000000, [MC_LA57] = 0xffff000000000000,
};

static bool mode_long(enum mc_mode mode)
{
	return mode == MC_64 || mode == MC_LA57;
}

static uint64_t page_va(enum mc_mode mode, unsigned frame)
{
	return reserved_base[mode] + FRAME(frame);
}

static void put(const struct mc_mem *mem, uint64_t pa, uint64_t v,
		unsigned size)
{
	memcpy(mem->base + pa, &v, size);
}

/* ---- code ---- */

static void build_code(const struct mc_mem *mem, unsigned frame)
{
	uint8_t *page = mem->base + FRAME(frame), *p;

	memset(page, 0xf4, 4096);	/* hlt, where nothing should run */
	for (unsigned i = 0; i < PROBES; i++) {
		p = page + i * PROBE_SIZE;
		memcpy(p, probe[i].code, probe[i].len);
		p[probe[i].len] = 0xe7;
		p[probe[i].len + 1] = GUEST_PORT_DONE;
	}
	for (unsigned i = 0; i < 32; i++) {
		p = page + OFF_HANDLERS + i * PROBE_SIZE;
		p[0] = 0xe7;
		p[1] = GUEST_PORT_VECTOR + i;
	}
}

static unsigned probe_number(const struct mc_access *a)
{
	unsigned log = a->size == 8 ? 3 : a->size == 4 ? 2 : a->size - 1;

	switch (a->kind) {
	case MC_FETCH:
		return PROBE_JUMP;
	case MC_LOADCR3:
		return PROBE_CR3;
	default:
		if (a->implicit)
			return PROBE_DESC;
		return (a->kind == MC_WRITE ? PROBE_STORE : PROBE_LOAD) +
		       4 * a->stack + log;
	}
}

uint64_t guest_probe(enum mc_mode mode, const struct mc_access *a)
{
	return page_va(mode, a->cpl == 3 ? F_USER : F_CODE) +
	       probe_number(a) * PROBE_SIZE;
}

/* ---- tables of the processor (SDM 3A chapters 3, 6 and 7) ---- */

static void build_idt64(const struct mc_mem *mem)
{
	uint64_t to;

	for (unsigned i = 0; i < 32; i++) {
		to = page_va(MC_64, F_CODE) + OFF_HANDLERS + i * PROBE_SIZE;
		put(mem, FRAME(F_IDT64) + i * 16,
		    (to & 0xffff) | GUEST_CODE64 << 16 | 0x8eull << 40 |
		    (to >> 16 & 0xffff) << 48, 8);
		put(mem, FRAME(F_IDT64) + i * 16 + 8, to >> 32, 8);
		/* the same for the addresses of five-level paging */
		to = page_va(MC_LA57, F_CODE) + OFF_HANDLERS + i * PROBE_SIZE;
		put(mem, FRAME(F_IDT64) + 2048 + i * 16,
		    (to & 0xffff) | GUEST_CODE64 << 16 | 0x8eull << 40 |
		    (to >> 16 & 0xffff) << 48, 8);
		put(mem, FRAME(F_IDT64) + 2048 + i * 16 + 8, to >> 32, 8);
	}
}

static void build_idt32(const struct mc_mem *mem)
{
	uint64_t to;

	for (unsigned m = MC_32; m <= MC_PAE; m++)
		for (unsigned i = 0; i < 32; i++) {
			to = page_va(m, F_CODE) + OFF_HANDLERS +
			     i * PROBE_SIZE;
			put(mem, FRAME(F_IDT32) + (m == MC_PAE) * 2048 + i * 8,
			    (to & 0xffff) | GUEST_CODE32 << 16 | 0x8eull << 40 |
			    (to >> 16 & 0xffff) << 48, 8);
		}
}

static void build_gdt(const struct mc_mem *mem)
{
	static const uint64_t gdt[] = {
		0,
		0x00af9b000000ffff,	/* 64-bit code */
		0x00cf9b000000ffff,	/* 32-bit code */
		0x00cf93000000ffff,	/* data */
		0x00affb000000ffff,	/* user: 64-bit code */
		0x00cffb000000ffff,	/* user: 32-bit code */
		0x00cff3000000ffff,	/* user: data */
	};

	memcpy(mem->base + FRAME(F_GDT), gdt, sizeof(gdt));
	put(mem, FRAME(F_GDT) + OFF_TSS64 + 4, guest_stack_top(MC_64), 8);
	put(mem, FRAME(F_GDT) + OFF_TSS64 + 0x100 + 4,
	    guest_stack_top(MC_LA57), 8);
	put(mem, FRAME(F_GDT) + OFF_TSS32 + 4, guest_stack_top(MC_32), 4);
	put(mem, FRAME(F_GDT) + OFF_TSS32 + 8, GUEST_DATA, 4);
	put(mem, FRAME(F_GDT) + OFF_TSS32 + 0x100 + 4,
	    guest_stack_top(MC_PAE), 4);
	put(mem, FRAME(F_GDT) + OFF_TSS32 + 0x100 + 8, GUEST_DATA, 4);
}

uint64_t guest_stack_top(enum mc_mode mode)
{
	return page_va(mode, F_STACK) + 4096;
}

uint64_t guest_stack_pa(void)
{
	return FRAME(F_STACK);
}

uint64_t guest_idt(enum mc_mode mode)
{
	return page_va(mode, mode_long(mode) ? F_IDT64 : F_IDT32) +
	       (mode == MC_LA57 || mode == MC_PAE) * 2048;
}

uint64_t guest_gdt(enum mc_mode mode)
{
	return page_va(mode, F_GDT);
}

uint64_t guest_tss(enum mc_mode mode)
{
	return page_va(mode, F_GDT) +
	       (mode_long(mode) ? OFF_TSS64 : OFF_TSS32) +
	       (mode == MC_LA57 || mode == MC_PAE) * 0x100;
}

/* ---- page tables ---- */

static void build_last(const struct mc_mem *mem, unsigned table, unsigned size)
{
	for (unsigned f = F_CODE; f <= F_LAST; f++)
		put(mem, FRAME(table) + f * size,
		    FRAME(f) | (f == F_USER ? USER : SUPERVISOR), size);
}

uint64_t guest_root_entry(enum mc_mode mode)
{
	switch (mode) {
	case MC_32:
		return FRAME(F_PT32) | TABLE;
	case MC_PAE:
		return FRAME(F_PD_PAE) | MC_P;
	case MC_64:
		return FRAME(F_PDPT) | TABLE;
	default:
		return FRAME(F_PML4) | TABLE;
	}
}

unsigned guest_root_slot(enum mc_mode mode)
{
	return mode == MC_32 ? 1023 : mode == MC_PAE ? 3 : 511;
}

uint64_t guest_first_root(enum mc_mode mode)
{
	return FRAME(F_ROOT + mode);
}

uint64_t guest_everywhere_root(enum mc_mode mode)
{
	return FRAME(F_EVERYWHERE + mode);
}

uint64_t guest_user_page(enum mc_mode mode, unsigned slot)
{
	unsigned shift = mode == MC_32 ? 22 : mode == MC_PAE ? 30 :
			 mode == MC_64 ? 39 : 48;
	uint64_t va = (uint64_t)slot << shift;

	if (mode_long(mode) && slot >= 256)
		va |= ~0ull << shift << 8;
	return va + FRAME(F_USER);
}

uint64_t guest_wide_page(unsigned bit)
{
	return page_va(MC_64, 64 + bit);
}

uint64_t guest_global_page(void)
{
	return guest_user_page(MC_64, SLOT_GLOBAL);
}

uint64_t guest_absent_page(void)
{
	return guest_user_page(MC_64, SLOT_ABSENT);
}

uint64_t guest_absent_entry(void)
{
	return guest_first_root(MC_64) + SLOT_ABSENT * 8;
}

static void build_questions(const struct mc_mem *mem)
{
	for (unsigned bit = 32; bit < 52; bit++)
		put(mem, FRAME(F_PT) + (64 + bit) * 8,
		    FRAME(F_USER) | SUPERVISOR | 1ull << bit, 8);
	put(mem, guest_absent_entry(), FRAME(F_EMPTY) | (TABLE & ~MC_A), 8);
	put(mem, guest_first_root(MC_64) + SLOT_GLOBAL * 8,
	    guest_root_entry(MC_64) | MC_G, 8);
}

static void build_tables(const struct mc_mem *mem)
{
	build_last(mem, F_PT32, 4);
	build_last(mem, F_PT_PAE, 8);
	build_last(mem, F_PT, 8);
	put(mem, FRAME(F_PD_PAE), FRAME(F_PT_PAE) | TABLE, 8);
	put(mem, FRAME(F_PML4), FRAME(F_PDPT) | TABLE, 8);
	put(mem, FRAME(F_PDPT), FRAME(F_PD) | TABLE, 8);
	put(mem, FRAME(F_PD), FRAME(F_PT) | TABLE, 8);
	for (unsigned m = 0; m < MC_MODES; m++)
		put(mem, guest_first_root(m) +
			 guest_root_slot(m) * (m == MC_32 ? 4 : 8),
		    guest_root_entry(m), m == MC_32 ? 4 : 8);
	for (unsigned m = MC_64; m < MC_MODES; m++)
		for (unsigned i = 0; i < 512; i++)
			put(mem, guest_everywhere_root(m) + i * 8,
			    guest_root_entry(m), 8);
}

void guest_build(const struct mc_mem *mem)
{
	build_code(mem, F_CODE);
	build_code(mem, F_USER);
	build_idt64(mem);
	build_idt32(mem);
	build_gdt(mem);
	build_tables(mem);
	build_questions(mem);
}
