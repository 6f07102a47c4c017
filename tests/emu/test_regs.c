/*
 * test_regs.c - writes of control registers: what the manual forbids is
 * refused and changes nothing; what it lets through is as written.
 */
#include "emu/cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emu/model.h"

#define PE	X86_CR0_PE
#define PG	X86_CR0_PG
#define PAE	X86_CR4_PAE
#define ROOT	0x3000ull

struct fixture {
	struct ram ram;
	struct cpu *cpu;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->cpu = malloc(sizeof(*f->cpu));
	if (ram_create(&f->ram, 1u << 20))
		return -1;
	cpu_init(f->cpu, &f->ram, 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	ram_destroy(&f->ram);
	free(f->cpu);
	free(f);
	return 0;
}

static uint64_t cr4_of(struct fixture *f)
{
	return f->cpu->regs.cr4;
}

/* Refused: not a register has changed, and the mode is the same. */
#define REFUSED(f, call)						\
	do {								\
		struct mmu_regs before_ = (f)->cpu->regs;		\
		struct mmu_plan plan_ = (f)->cpu->plan;			\
									\
		assert_int_equal(call, MMU_GP);				\
		assert_memory_equal(&before_, &(f)->cpu->regs,		\
				    sizeof(before_));			\
		assert_memory_equal(&plan_, &(f)->cpu->plan,		\
				    sizeof(plan_));			\
	} while (0)

#define TAKEN(call)	assert_int_equal(call, 0)

static void long_mode(struct fixture *f)
{
	cpu_set_mode(f->cpu, MMU_64);
	TAKEN(cpu_mov_cr3(f->cpu, ROOT));
}

static void test_cr0(void **state)
{
	struct fixture *f = *state;

	REFUSED(f, cpu_mov_cr0(f->cpu, PG));
	REFUSED(f, cpu_mov_cr0(f->cpu, PE | X86_CR0_NW));
	TAKEN(cpu_mov_cr0(f->cpu, PE | X86_CR0_NW | X86_CR0_CD));
	/* Reserved bits below 32 are ignored, ET is there. */
	TAKEN(cpu_mov_cr0(f->cpu, PE | 1 << 8 | 1 << 17));
	assert_int_equal(f->cpu->regs.cr0, PE | X86_CR0_ET);
	/* 32-bit code has no upper half. */
	TAKEN(cpu_mov_cr0(f->cpu, PE | 1ull << 40));
	long_mode(f);
	REFUSED(f, cpu_mov_cr0(f->cpu, f->cpu->regs.cr0 | 1ull << 40));
}

/* The boot loader's way into long mode and back, and the wrong ways. */
static void test_long_mode(void **state)
{
	struct fixture *f = *state;

	TAKEN(cpu_mov_cr0(f->cpu, PE));
	TAKEN(cpu_wrmsr_efer(f->cpu, X86_EFER_LME));
	REFUSED(f, cpu_mov_cr0(f->cpu, PE | PG));
	TAKEN(cpu_mov_cr4(f->cpu, PAE));
	TAKEN(cpu_mov_cr3(f->cpu, ROOT));
	cpu_set_compat(f->cpu, true);
	TAKEN(cpu_mov_cr0(f->cpu, PE | PG));
	assert_int_equal(f->cpu->regs.efer, X86_EFER_LME | X86_EFER_LMA);
	assert_int_equal(f->cpu->plan.mode, MMU_64);
	cpu_set_compat(f->cpu, false);
	REFUSED(f, cpu_mov_cr4(f->cpu, 0));
	REFUSED(f, cpu_mov_cr4(f->cpu, PAE | X86_CR4_LA57));
	REFUSED(f, cpu_wrmsr_efer(f->cpu, 0));
	REFUSED(f, cpu_mov_cr0(f->cpu, PE));	/* from 64-bit code */
	cpu_set_compat(f->cpu, true);
	TAKEN(cpu_mov_cr0(f->cpu, PE));
	assert_int_equal(f->cpu->regs.efer, X86_EFER_LME);
	assert_int_equal(f->cpu->plan.mode, MMU_OFF);
	TAKEN(cpu_mov_cr4(f->cpu, PAE | X86_CR4_LA57));
	TAKEN(cpu_mov_cr0(f->cpu, PE | PG));
	assert_int_equal(f->cpu->plan.mode, MMU_57);
	REFUSED(f, cpu_mov_cr4(f->cpu, PAE));
}

static void test_legacy_modes(void **state)
{
	struct fixture *f = *state;

	TAKEN(cpu_mov_cr0(f->cpu, PE | PG));
	assert_int_equal(f->cpu->plan.mode, MMU_32);
	REFUSED(f, cpu_wrmsr_efer(f->cpu, X86_EFER_LME));
	TAKEN(cpu_mov_cr4(f->cpu, PAE));
	assert_int_equal(f->cpu->plan.mode, MMU_PAE);
	TAKEN(cpu_mov_cr4(f->cpu, X86_CR4_PSE));
	assert_int_equal(f->cpu->plan.mode, MMU_32);
	/* LA57 is for long mode, but may be set before. */
	TAKEN(cpu_mov_cr4(f->cpu, X86_CR4_LA57));
	assert_int_equal(f->cpu->plan.mode, MMU_32);
}

static void test_efer(void **state)
{
	struct fixture *f = *state;
	unsigned bit;

	for (bit = 0; bit < 64; bit++) {
		if (bit == 0 || bit == 8 || bit == 10 || bit == 11)
			continue;
		REFUSED(f, cpu_wrmsr_efer(f->cpu, 1ull << bit));
	}
	TAKEN(cpu_wrmsr_efer(f->cpu, X86_EFER_LMA));	/* ignored */
	assert_int_equal(f->cpu->regs.efer, 0);
	cpu_set_features(f->cpu, 0, MMU_NO_NX);
	REFUSED(f, cpu_wrmsr_efer(f->cpu, X86_EFER_NXE));
}

static void test_cr3_reserved(void **state)
{
	struct fixture *f = *state;
	unsigned bit;

	long_mode(f);
	cpu_set_features(f->cpu, 40, 0);
	for (bit = 0; bit < 64; bit++) {
		if (bit < 40)
			TAKEN(cpu_mov_cr3(f->cpu, 1ull << bit));
		else
			REFUSED(f, cpu_mov_cr3(f->cpu, 1ull << bit));
	}
	/* In 32-bit code the upper half is not there. */
	cpu_set_compat(f->cpu, true);
	TAKEN(cpu_mov_cr3(f->cpu, 1ull << 63 | ROOT));
	assert_int_equal(f->cpu->regs.cr3, ROOT);
}

static void test_cr4_reserved(void **state)
{
	static const struct {
		uint32_t lacks;
		uint64_t bit;
	} f4[] = {
		{ MMU_NO_LA57, X86_CR4_LA57 }, { MMU_NO_PCID, X86_CR4_PCIDE },
		{ MMU_NO_SMEP, X86_CR4_SMEP }, { MMU_NO_SMAP, X86_CR4_SMAP },
		{ MMU_NO_PKU, X86_CR4_PKE }, { MMU_NO_PKS, X86_CR4_PKS },
	};
	struct fixture *f = *state;
	unsigned i;

	REFUSED(f, cpu_mov_cr4(f->cpu, 1ull << 15));
	REFUSED(f, cpu_mov_cr4(f->cpu, 1ull << 31));
	long_mode(f);
	REFUSED(f, cpu_mov_cr4(f->cpu, cr4_of(f) | 1ull << 32));
	for (i = 0; i < sizeof(f4) / sizeof(f4[0]); i++) {
		cpu_set_features(f->cpu, 0, f4[i].lacks);
		REFUSED(f, cpu_mov_cr4(f->cpu, cr4_of(f) | f4[i].bit));
	}
}

static void test_pcide(void **state)
{
	struct fixture *f = *state;

	/* Outside long mode it is refused, whatever the mode. */
	REFUSED(f, cpu_mov_cr4(f->cpu, X86_CR4_PCIDE));
	cpu_set_mode(f->cpu, MMU_PAE);
	REFUSED(f, cpu_mov_cr4(f->cpu, PAE | X86_CR4_PCIDE));
	long_mode(f);
	TAKEN(cpu_mov_cr3(f->cpu, ROOT | 0x18));
	REFUSED(f, cpu_mov_cr4(f->cpu, cr4_of(f) | X86_CR4_PCIDE));
	REFUSED(f, cpu_mov_cr3(f->cpu, ROOT | X86_CR3_NOFLUSH));
	TAKEN(cpu_mov_cr3(f->cpu, ROOT));
	TAKEN(cpu_mov_cr4(f->cpu, cr4_of(f) | X86_CR4_PCIDE));
	TAKEN(cpu_mov_cr3(f->cpu, ROOT | 0xfff | X86_CR3_NOFLUSH));
	assert_int_equal(f->cpu->regs.cr3, ROOT | 0xfff);
	assert_int_equal(mmu_pcid(&f->cpu->regs), 0xfff);
	/* Long mode cannot be left with it, even from 32-bit code. */
	cpu_set_compat(f->cpu, true);
	REFUSED(f, cpu_mov_cr0(f->cpu, PE));
	TAKEN(cpu_mov_cr4(f->cpu, cr4_of(f) & ~X86_CR4_PCIDE));
	TAKEN(cpu_mov_cr0(f->cpu, PE));
}

static void test_invpcid(void **state)
{
	struct fixture *f = *state;
	unsigned type;

	long_mode(f);
	for (type = 0; type < 4; type++) {
		TAKEN(cpu_invpcid(f->cpu, type, 0, 0x1000));
		REFUSED(f, cpu_invpcid(f->cpu, type, 1ull << 12, 0));
		REFUSED(f, cpu_invpcid(f->cpu, type, 1ull << 63, 0));
	}
	REFUSED(f, cpu_invpcid(f->cpu, 4, 0, 0));
	REFUSED(f, cpu_invpcid(f->cpu, 1ull << 32, 0, 0));
	/* Without PCIDE there is PCID 0 only, where it is looked at. */
	REFUSED(f, cpu_invpcid(f->cpu, 0, 5, 0));
	REFUSED(f, cpu_invpcid(f->cpu, 1, 5, 0));
	TAKEN(cpu_invpcid(f->cpu, 2, 5, 0));
	TAKEN(cpu_invpcid(f->cpu, 3, 5, 0));
	/* An address that is none, where it is looked at. */
	REFUSED(f, cpu_invpcid(f->cpu, 0, 0, 1ull << 47));
	TAKEN(cpu_invpcid(f->cpu, 1, 0, 1ull << 47));
	TAKEN(cpu_mov_cr4(f->cpu, cr4_of(f) | X86_CR4_PCIDE));
	TAKEN(cpu_invpcid(f->cpu, 0, 5, 0));
	cpu_set_features(f->cpu, 0, MMU_NO_INVPCID);
	assert_int_equal(cpu_invpcid(f->cpu, 2, 0, 0), MMU_UD);
}

static void test_keys(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	assert_int_equal(cpu_wrpkru(f->cpu, 1), MMU_UD);
	TAKEN(cpu_mov_cr4(f->cpu, cr4_of(f) | X86_CR4_PKE));
	TAKEN(cpu_wrpkru(f->cpu, ~0u));
	REFUSED(f, cpu_wrmsr_pkrs(f->cpu, 1ull << 32));
	TAKEN(cpu_wrmsr_pkrs(f->cpu, ~0u));
	cpu_set_features(f->cpu, 0, MMU_NO_PKS);
	REFUSED(f, cpu_wrmsr_pkrs(f->cpu, 0));
}

/* PDPTEs that may not be are refused wherever they would be loaded. */
static void test_pdptes(void **state)
{
	struct fixture *f = *state;
	uint64_t *pdpt = (uint64_t *)(f->ram.base + ROOT);

	cpu_set_mode(f->cpu, MMU_PAE);
	TAKEN(cpu_mov_cr3(f->cpu, ROOT));
	pdpt[2] = X86_PTE_P | X86_PTE_W;
	REFUSED(f, cpu_mov_cr0(f->cpu, f->cpu->regs.cr0 | X86_CR0_CD));
	REFUSED(f, cpu_mov_cr4(f->cpu, cr4_of(f) | X86_CR4_SMEP));
	REFUSED(f, cpu_mov_cr4(f->cpu, cr4_of(f) | X86_CR4_PSE));
	TAKEN(cpu_mov_cr4(f->cpu, cr4_of(f) | X86_CR4_SMAP));
	TAKEN(cpu_mov_cr0(f->cpu, f->cpu->regs.cr0 & ~X86_CR0_WP));
	TAKEN(cpu_mov_cr0(f->cpu, f->cpu->regs.cr0 & ~PG));
	REFUSED(f, cpu_mov_cr0(f->cpu, f->cpu->regs.cr0 | PG));
	/* A CR3 past RAM: nothing there is present. */
	TAKEN(cpu_mov_cr3(f->cpu, 0x80000000));
	TAKEN(cpu_mov_cr0(f->cpu, f->cpu->regs.cr0 | PG));
}

/* Whatever ran before, it is 64-bit code now. */
static void test_set_mode(void **state)
{
	struct fixture *f = *state;

	long_mode(f);
	cpu_set_compat(f->cpu, true);
	cpu_set_mode(f->cpu, MMU_32);
	cpu_set_mode(f->cpu, MMU_64);
	assert_true(mmu_wide(&f->cpu->regs));
	assert_false(f->cpu->plan.narrow);
}

#define FRESH(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_cr0),
		FRESH(test_long_mode),
		FRESH(test_legacy_modes),
		FRESH(test_efer),
		FRESH(test_cr3_reserved),
		FRESH(test_cr4_reserved),
		FRESH(test_pcide),
		FRESH(test_invpcid),
		FRESH(test_keys),
		FRESH(test_pdptes),
		FRESH(test_set_mode),
	};

	return cmocka_run_group_tests_name("regs", tests, NULL, NULL);
}
