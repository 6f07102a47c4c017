/*
 * test_refusals.c - writes of CR0, CR3, CR4 and EFER at random, refused or not
 * as the manual says (mmucheck/manual_regs.h), and with the same registers
 * afterwards.
 *
 * Walks through all paging modes by writes alone, in 64-bit code and other, on
 * CPUs that lack this or that. Every reason that the manual has must come up,
 * and every mode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emu/cpu.h"
#include "mmucheck/manual_regs.h"

#define WRITES	1000000u
#define LIFE	400u		/* writes of one CPU */
#define RAM	(1u << 20)
#define ROOTS	8

static struct ram ram;
static struct cpu *cpu;
static struct manual_cpu judge;
static uint64_t state_x = 88172645463325252ull;

static uint64_t rnd(uint64_t below)
{
	state_x ^= state_x << 13;
	state_x ^= state_x >> 7;
	state_x ^= state_x << 17;
	return (state_x * 0x2545f4914f6cdd1dull >> 20) % below;
}

/* Beyond RAM nothing answers: absent. */
static uint64_t read8(void *memory, uint64_t pa)
{
	const struct ram *r = memory;
	uint64_t v = 0;

	if (pa < r->size)
		memcpy(&v, r->base + pa, sizeof(v));
	return v;
}

/* Sets of four PDPTEs, some with a bit that is reserved. */
static void make_roots(void)
{
	for (unsigned root = 0; root < ROOTS; root++)
		for (unsigned i = 0; i < 4; i++) {
			uint64_t v = (5 + rnd(64)) << 12 | (rnd(4) ? 1 : 0);

			if (root > 4 && !rnd(3))
				v |= 1ull << rnd(64);
			memcpy(ram.base + root * 4096 + 8 * i, &v, 8);
		}
}

static void new_cpu(void)
{
	static const uint32_t lack[] = {
		MMU_NO_NX, MMU_NO_LA57, MMU_NO_PCID, MMU_NO_SMEP, MMU_NO_SMAP,
		MMU_NO_PKU, MMU_NO_PKS,
	};
	uint32_t lacks = 0;

	make_roots();
	memset(&judge, 0, sizeof(judge));
	judge.read = read8;
	judge.memory = &ram;
	judge.maxphyaddr = 36 + (unsigned)rnd(17);
	for (unsigned i = 0; i < 7; i++)
		if (!rnd(8)) {
			lacks |= lack[i];
			judge.lacks |= 1u << i;
		}
	cpu_init(cpu, &ram, 0);
	cpu_set_features(cpu, judge.maxphyaddr, lacks);
	judge.cr0 = cpu->regs.cr0;
	judge.code64 = true;
}

/* What is there, with a bit or two turned round; now and then anything. */
static uint64_t new_value(enum manual_register which)
{
	static const unsigned cr4_likely[] = { 4, 5, 7, 12, 17, 20, 21, 22 };
	uint64_t now = which == MANUAL_CR0 ? judge.cr0 :
		       which == MANUAL_CR3 ? judge.cr3 :
		       which == MANUAL_CR4 ? judge.cr4 : judge.efer;

	if (which == MANUAL_CR3)
		return rnd(ROOTS) << 12 | (rnd(3) ? 0 : rnd(32)) |
		       (rnd(8) ? 0 : 1ull << rnd(64));
	if (!rnd(20))
		return rnd(UINT64_MAX) << rnd(64);
	for (unsigned n = 1 + (unsigned)rnd(3); n > 0; n--) {
		if (which == MANUAL_CR0)
			now ^= 1ull << (rnd(3) ? rnd(2) * 31 : rnd(64));
		else if (which == MANUAL_CR4)
			now ^= 1ull << (rnd(4) ? cr4_likely[rnd(8)] : rnd(64));
		else
			now ^= 1ull << (rnd(4) ? 8 + rnd(4) : rnd(64));
	}
	return now;
}

static int emu_write(enum manual_register which, uint64_t value)
{
	switch (which) {
	case MANUAL_CR0:
		return cpu_mov_cr0(cpu, value);
	case MANUAL_CR3:
		return cpu_mov_cr3(cpu, value);
	case MANUAL_CR4:
		return cpu_mov_cr4(cpu, value);
	default:
		return cpu_wrmsr_efer(cpu, value);
	}
}

static void compare(enum manual_register which, uint64_t value, int got,
		    const char *why)
{
	static const char *const name[] = { "CR0", "CR3", "CR4", "EFER" };
	const struct mmu_regs *r = &cpu->regs;

	if (got == (why ? MMU_GP : MMU_OK) && r->cr0 == judge.cr0 &&
	    r->cr3 == judge.cr3 && r->cr4 == judge.cr4 &&
	    r->efer == judge.efer &&
	    !memcmp(r->pdpte, judge.pdpte, sizeof(judge.pdpte)))
		return;
	fail_msg("%s = %#llx: the CPU says %d, the manual %s; CR0 %#llx %#llx "
		 "CR3 %#llx %#llx CR4 %#llx %#llx EFER %#llx %#llx",
		 name[which], (unsigned long long)value, got, why ? why : "yes",
		 (unsigned long long)r->cr0, (unsigned long long)judge.cr0,
		 (unsigned long long)r->cr3, (unsigned long long)judge.cr3,
		 (unsigned long long)r->cr4, (unsigned long long)judge.cr4,
		 (unsigned long long)r->efer, (unsigned long long)judge.efer);
}

static void test_writes(void **state)
{
	unsigned long seen[32] = { 0 }, modes[MMU_57 + 1] = { 0 }, ok = 0;
	const char *const *reason, *why;
	unsigned n = manual_reasons(&reason), i, k;
	enum manual_register which;
	uint64_t value;

	(void)state;
	assert_true(n <= 32);
	for (i = 0; i < WRITES; i++) {
		if (i % LIFE == 0)
			new_cpu();
		if (!rnd(10)) {
			judge.code64 = !judge.code64;
			cpu_set_compat(cpu, !judge.code64);
		}
		if (!rnd(20))
			make_roots();	/* which writes load them shows */
		which = (enum manual_register)rnd(4);
		value = new_value(which);
		why = manual_write(&judge, which, value);
		compare(which, value, emu_write(which, value), why);
		for (k = 0; why && k < n; k++)
			seen[k] += !strcmp(why, reason[k]);
		ok += !why;
		modes[cpu->plan.mode]++;
	}
	for (k = 0; k < n; k++) {
		print_message("# %lu times: %s\n", seen[k], reason[k]);
		if (!seen[k])
			fail_msg("never came up: %s", reason[k]);
	}
	for (k = MMU_OFF; k <= MMU_57; k++)
		assert_true(modes[k] > 100);
	print_message("# %lu allowed\n", ok);
}

static int up(void **state)
{
	(void)state;
	cpu = malloc(sizeof(*cpu));
	return !cpu || ram_create(&ram, RAM);
}

static int down(void **state)
{
	(void)state;
	free(cpu);
	ram_destroy(&ram);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_writes),
	};

	return cmocka_run_group_tests(tests, up, down);
}
