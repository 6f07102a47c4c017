/*
 * test_cpu.c - loads, stores and fetches of one CPU through its TLB.
 *
 * Each test gets a CPU inside, in four-level mode unless it says otherwise,
 * with pages A and B next to each other at VA, in frames that are not.
 */
#include "emu/cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "machine.h"

#define VA	0x400000ull
#define VB	(VA + 4096)
#define LEAF	(X86_PTE_A | X86_PTE_D)

struct fixture {
	struct machine m;
	struct cpu *cpu;
	uint32_t fa, fb;	/* frames of the pages */
	void *sa, *sb;		/* their entries */
};

static int make(void **state, bool wide)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->cpu = malloc(sizeof(*f->cpu));
	machine_init(&f->m, wide, 128);
	f->fb = machine_frame(&f->m);
	machine_frame(&f->m);
	f->fa = machine_frame(&f->m);
	machine_map(&f->m, VA, f->fa, OPEN);
	machine_map(&f->m, VB, f->fb, OPEN);
	f->sa = machine_slot(&f->m, VA, 0);
	f->sb = machine_slot(&f->m, VB, 0);
	cpu_init(f->cpu, &f->m.ram, 0);
	cpu_set_paging(f->cpu, wide);
	cpu_set_cr3(f->cpu, f->m.root);
	cpu_enter(f->cpu);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return make(state, true);
}

static int setup32(void **state)
{
	return make(state, false);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cpu_leave(f->cpu);
	ram_destroy(&f->m.ram);
	free(f->cpu);
	free(f);
	return 0;
}

static uint8_t *byte_of(struct fixture *f, uint64_t va)
{
	uint32_t pfn = va < VB ? f->fa : f->fb;

	return (uint8_t *)ram_frame(&f->m.ram, pfn) + (va & 0xfff);
}

static uint64_t marks(struct fixture *f, const void *slot)
{
	return machine_get(&f->m, slot) & LEAF;
}

static void pattern(struct fixture *f)
{
	unsigned i;

	for (i = 0; i < 8192; i++)
		*byte_of(f, VA + i) = i * 7 + i / 251;
}

static void expect_fault(struct fixture *f, uint64_t va, uint32_t error)
{
	assert_int_equal(f->cpu->fault.addr, va);
	assert_int_equal(f->cpu->cr2, va);
	assert_int_equal(f->cpu->fault.error, error);
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64, off;

	for (off = 0; off < 16; off++) {
		assert_int_equal(cpu_store64(f->cpu, VA + off,
					     0x1122334455667788), 0);
		assert_int_equal(cpu_load64(f->cpu, VA + off, &v64), 0);
		assert_int_equal(v64, 0x1122334455667788);
		assert_int_equal(cpu_store32(f->cpu, VA + off, 0xaabbccdd),
				 0);
		assert_int_equal(cpu_load32(f->cpu, VA + off, &v32), 0);
		assert_int_equal(v32, 0xaabbccdd);
		assert_int_equal(cpu_store16(f->cpu, VA + off, 0x1234), 0);
		assert_int_equal(cpu_load16(f->cpu, VA + off, &v16), 0);
		assert_int_equal(v16, 0x1234);
		assert_int_equal(cpu_store8(f->cpu, VA + off, 0x5a), 0);
		assert_int_equal(cpu_load8(f->cpu, VA + off, &v8), 0);
		assert_int_equal(v8, 0x5a);
		cpu_load64(f->cpu, VA + off, &v64);
		assert_int_equal(v64, 0x11223344aabb125a);
	}
}

/* Every length at every place around the boundary, against plain bytes. */
static void test_every_length(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[66], out[64];
	uint64_t va;
	unsigned len, i;

	pattern(f);
	for (len = 1; len <= 64; len++) {
		for (va = VB - 66; va < VB + 2; va++) {
			memset(buf, 0xee, sizeof(buf));
			cpu_flush(f->cpu);
			assert_int_equal(cpu_load(f->cpu, va, buf + 1, len),
					 0);
			for (i = 0; i < len; i++)
				assert_int_equal(buf[1 + i],
						 *byte_of(f, va + i));
			assert_int_equal(buf[0], 0xee);
			assert_int_equal(buf[1 + len], 0xee);
			assert_int_equal(cpu_fetch(f->cpu, va, buf, len), 0);
			for (i = 0; i < len; i++)
				out[i] = ~buf[i];
			assert_int_equal(cpu_store(f->cpu, va, out, len), 0);
			assert_int_equal(cpu_load(f->cpu, va, buf, len), 0);
			assert_memory_equal(buf, out, len);
		}
	}
}

static void test_store_touches_no_more(void **state)
{
	struct fixture *f = *state;
	uint8_t zero[64] = { 0 };
	unsigned len, i;

	for (len = 1; len <= 64; len++) {
		for (i = 0; i < 200; i++)
			*byte_of(f, VB - 100 + i) = 0xcc;
		assert_int_equal(cpu_store(f->cpu, VB - 30, zero, len), 0);
		for (i = 0; i < 200; i++)
			assert_int_equal(*byte_of(f, VB - 100 + i),
					 i >= 70 && i < 70 + len ? 0 : 0xcc);
	}
}

static void test_not_present(void **state)
{
	struct fixture *f = *state;
	uint64_t v = 77;
	uint8_t buf[8];

	assert_int_equal(cpu_load64(f->cpu, 0x700008, &v), -1);
	expect_fault(f, 0x700008, X86_PF_U);
	assert_int_equal(v, 77);
	assert_int_equal(cpu_store8(f->cpu, 0x700123, 1), -1);
	expect_fault(f, 0x700123, X86_PF_U | X86_PF_W);
	assert_int_equal(cpu_fetch(f->cpu, 0x700001, buf, 8), -1);
	expect_fault(f, 0x700001, X86_PF_U |
		     (f->m.wide ? X86_PF_I : 0));
	assert_int_equal(f->cpu->stats.faults, 3);
}

static void test_restart(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	machine_put(&f->m, f->sa, 0);
	assert_int_equal(cpu_store64(f->cpu, VA, 5), -1);
	machine_map(&f->m, VA, f->fa, OPEN);
	assert_int_equal(cpu_store64(f->cpu, VA, 5), 0);
	assert_int_equal(cpu_load64(f->cpu, VA, &v), 0);
	assert_int_equal(v, 5);
}

/* The second page faults: nothing moves, nothing is marked in the first. */
static void test_second_page_faults(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[64];
	unsigned warm;

	pattern(f);
	memset(buf, 0xee, sizeof(buf));
	machine_map(&f->m, VB, f->fb, X86_PTE_P | X86_PTE_U);
	for (warm = 0; warm < 2; warm++) {
		assert_int_equal(cpu_store(f->cpu, VB - 3, buf, 8), -1);
		expect_fault(f, VB, X86_PF_P | X86_PF_U | X86_PF_W);
		assert_int_equal(*byte_of(f, VB - 3),
				 (uint8_t)(4093 * 7 + 4093 / 251));
		assert_false(marks(f, f->sa) & X86_PTE_D);
		assert_int_equal(marks(f, f->sb), warm ? X86_PTE_A : 0);
		if (!warm)
			assert_int_equal(marks(f, f->sa), 0);
		cpu_load(f->cpu, VB - 3, buf, 8);
		memset(buf, 0xee, sizeof(buf));
	}
	machine_put(&f->m, f->sb, 0);
	cpu_invlpg(f->cpu, VB);
	assert_int_equal(cpu_load(f->cpu, VB - 3, buf, 8), -1);
	expect_fault(f, VB, X86_PF_U);
	assert_int_equal(buf[0], 0xee);
}

/* Both fault: the first is told. */
static void test_first_page_first(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[8] = { 0 };

	machine_put(&f->m, f->sb, 0);
	machine_map(&f->m, VA, f->fa, X86_PTE_P | X86_PTE_U);
	assert_int_equal(cpu_store(f->cpu, VB - 1, buf, 2), -1);
	expect_fault(f, VB - 1, X86_PF_P | X86_PF_U | X86_PF_W);
	assert_int_equal(marks(f, f->sa), 0);
	machine_map(&f->m, VB, f->fb, OPEN);
	assert_int_equal(cpu_store(f->cpu, VB - 1, buf, 2), -1);
	expect_fault(f, VB - 1, X86_PF_P | X86_PF_U | X86_PF_W);
	assert_int_equal(marks(f, f->sb), 0);
}

/*
 * An explicit access may, and is remembered; an implicit one may not (SMAP has
 * no mercy on it), and is refused on the first page, whatever is on the second.
 */
static void test_implicit_first_page(void **state)
{
	struct fixture *f = *state;
	struct mmu_outcome out;
	uint64_t v, user;

	cpu_set_cpl(f->cpu, 0);
	cpu_set_ac(f->cpu, true);
	assert_int_equal(cpu_mov_cr4(f->cpu, f->cpu->regs.cr4 |
				     X86_CR4_SMAP), 0);
	for (user = 0; user <= X86_PTE_U; user += X86_PTE_U) {
		machine_map(&f->m, VB, f->fb, X86_PTE_P | X86_PTE_W | user);
		assert_int_equal(cpu_load64(f->cpu, VA, &v), 0);
		cpu_access(f->cpu, VB - 4, 8, MMU_READ, MMU_IMPLICIT, &out);
		assert_int_equal(out.kind, MMU_PF);
		expect_fault(f, VB - 4, X86_PF_P);
		assert_int_equal(marks(f, f->sb), 0);
	}
}

/* What protection keys forbid holds for what is in the TLB already. */
static void test_keys_at_once(void **state)
{
	const uint64_t key = 9, entry = key << X86_PTE_PK_SHIFT | X86_PTE_P;
	struct fixture *f = *state;
	uint64_t v;

	cpu_set_cpl(f->cpu, 0);
	assert_int_equal(cpu_mov_cr4(f->cpu, f->cpu->regs.cr4 | X86_CR4_PKE |
				     X86_CR4_PKS), 0);
	machine_map(&f->m, VA, f->fa, entry);
	machine_map(&f->m, VB, f->fb, entry | X86_PTE_U);
	assert_int_equal(cpu_load64(f->cpu, VA, &v), 0);
	assert_int_equal(cpu_wrmsr_pkrs(f->cpu, X86_PK_AD(key)), 0);
	assert_int_equal(cpu_load64(f->cpu, VA, &v), -1);
	expect_fault(f, VA, X86_PF_P | X86_PF_PK);
	assert_int_equal(cpu_load64(f->cpu, VB, &v), 0);
	assert_int_equal(cpu_wrpkru(f->cpu, X86_PK_AD(key)), 0);
	assert_int_equal(cpu_load64(f->cpu, VB, &v), -1);
	expect_fault(f, VB, X86_PF_P | X86_PF_PK);
}

static void test_marks(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(marks(f, f->sa), X86_PTE_A);
	cpu_store64(f->cpu, VA, v);
	assert_int_equal(marks(f, f->sa), LEAF);
	assert_int_equal(marks(f, f->sb), 0);
	cpu_store(f->cpu, VB - 1, &v, 2);
	assert_int_equal(marks(f, f->sb), LEAF);
}

/* D cleared and shot down: the next store sets it again, exactly once. */
static void test_dirty_again(void **state)
{
	struct fixture *f = *state;
	uint64_t v, walks;

	cpu_store64(f->cpu, VA, 1);
	machine_map(&f->m, VA, f->fa, OPEN | X86_PTE_A);
	cpu_store64(f->cpu, VA, 2);		/* the TLB still says dirty */
	assert_int_equal(marks(f, f->sa), X86_PTE_A);
	cpu_invlpg(f->cpu, VA);
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(marks(f, f->sa), X86_PTE_A);
	walks = f->cpu->stats.walks;
	cpu_store64(f->cpu, VA, 3);
	assert_int_equal(marks(f, f->sa), LEAF);
	cpu_store64(f->cpu, VA, 4);
	assert_int_equal(f->cpu->stats.walks, walks + 1);
}

/* What a load of a dirty page found serves stores as well. */
static void test_load_fills_for_stores(void **state)
{
	struct fixture *f = *state;
	uint64_t v, walks;

	machine_map(&f->m, VA, f->fa, OPEN | LEAF);
	cpu_load64(f->cpu, VA, &v);
	walks = f->cpu->stats.walks;
	assert_int_equal(cpu_store64(f->cpu, VA, 1), 0);
	assert_int_equal(f->cpu->stats.walks, walks);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	machine_map(&f->m, VA, f->fa, X86_PTE_P | X86_PTE_U | LEAF);
	assert_int_equal(cpu_load64(f->cpu, VA, &v), 0);
	assert_int_equal(cpu_store64(f->cpu, VA, 1), -1);
	expect_fault(f, VA, X86_PF_P | X86_PF_U | X86_PF_W);
	/* More permission needs no invalidation. */
	machine_map(&f->m, VA, f->fb, OPEN);
	assert_int_equal(cpu_store64(f->cpu, VA, 9), 0);
	assert_int_equal(cpu_load64(f->cpu, VA, &v), 0);
	assert_int_equal(v, 9);
	assert_int_equal(*byte_of(f, VB), 9);
}

/* A fault takes the page's stale translation with it (SDM 3A 4.10.4.1). */
static void test_fault_invalidates(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	machine_map(&f->m, VA, f->fa, X86_PTE_P | X86_PTE_U);
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(cpu_store64(f->cpu, VA, 1), -1);
	*byte_of(f, VB) = 0x42;
	machine_map(&f->m, VA, f->fb, X86_PTE_P | X86_PTE_U);
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(v, 0x42);
}

static void test_no_execute(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[4];

	machine_map(&f->m, VA, f->fa, OPEN | X86_PTE_NX);
	assert_int_equal(cpu_load(f->cpu, VA, buf, 4), 0);
	assert_int_equal(cpu_fetch(f->cpu, VA, buf, 4), -1);
	expect_fault(f, VA, X86_PF_P | X86_PF_U | X86_PF_I);
	assert_int_equal(cpu_fetch(f->cpu, VB - 2, buf, 4), -1);
	expect_fault(f, VB - 2, X86_PF_P | X86_PF_U | X86_PF_I);
}

static void test_stale_until_invlpg(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	*byte_of(f, VA) = 1;
	*byte_of(f, VB) = 2;
	cpu_load64(f->cpu, VA, &v);
	machine_map(&f->m, VA, f->fb, OPEN);
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(v, 1);
	cpu_invlpg(f->cpu, VA + 0x123);
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(v, 2);
	assert_int_equal(f->cpu->stats.invlpgs, 1);
}

static void test_cr3_flushes(void **state)
{
	struct fixture *f = *state;
	uint64_t v, root = (uint64_t)machine_frame(&f->m) << 12;

	machine_put(&f->m, machine_slot_in(&f->m, root, VA, 0),
		    (uint64_t)f->fb << 12 | OPEN);
	*byte_of(f, VA) = 1;
	*byte_of(f, VB) = 2;
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(v, 1);
	cpu_set_cr3(f->cpu, root);
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(v, 2);
	assert_int_equal(cpu_load64(f->cpu, VB, &v), -1);
	cpu_set_cr3(f->cpu, f->m.root);
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(v, 1);
}

static void test_large_invlpg(void **state)
{
	struct fixture *f = *state;
	uint64_t v, large = 0x40000000, *pde;

	pde = machine_slot(&f->m, large, 1);
	*pde = OPEN | X86_PTE_PS;
	*byte_of(f, VA) = 3;
	assert_int_equal(cpu_load64(f->cpu, large + f->fa * 4096ull, &v), 0);
	assert_int_equal(v, 3);
	*pde = 0;
	cpu_invlpg(f->cpu, large);
	assert_int_equal(cpu_load64(f->cpu, large + f->fa * 4096ull, &v),
			 -1);
}

static void test_ptr(void **state)
{
	struct fixture *f = *state;

	assert_ptr_equal(cpu_ptr(f->cpu, VA + 5, MMU_READ),
			 byte_of(f, VA + 5));
	assert_int_equal(marks(f, f->sa), X86_PTE_A);
	assert_ptr_equal(cpu_ptr(f->cpu, VA + 4095, MMU_WRITE),
			 byte_of(f, VA + 4095));
	assert_int_equal(marks(f, f->sa), LEAF);
	assert_null(cpu_ptr(f->cpu, 0x700000, MMU_WRITE));
	expect_fault(f, 0x700000, X86_PF_U | X86_PF_W);
}

/* An access that runs over the last canonical page of the lower half. */
static void test_canonical_edge(void **state)
{
	struct fixture *f = *state;
	uint64_t edge = 1ull << 47, v;

	machine_map(&f->m, edge - 4096, f->fa, OPEN);
	assert_int_equal(cpu_load64(f->cpu, edge - 8, &v), 0);
	f->cpu->cr2 = 0x1234;
	assert_int_equal(cpu_load64(f->cpu, edge - 4, &v), -1);
	assert_int_equal(f->cpu->fault.kind, MMU_GP);
	assert_int_equal(f->cpu->fault.addr, edge);
	assert_int_equal(f->cpu->fault.error, 0);
	assert_int_equal(f->cpu->cr2, 0x1234);
	assert_int_equal(cpu_load64(f->cpu, ~0ull << 48 | 1ull << 46, &v),
			 -1);
}

/* 32-bit: addresses wrap at 4 GiB, and aliases share one translation. */
static void test_wrap_32(void **state)
{
	struct fixture *f = *state;
	uint32_t v;

	machine_map(&f->m, 0xfffff000, f->fa, OPEN);
	machine_map(&f->m, 0, f->fb, OPEN);
	assert_int_equal(cpu_store32(f->cpu, 0xfffffffe, 0x44332211), 0);
	assert_int_equal(*byte_of(f, VA + 4095), 0x22);
	assert_int_equal(*byte_of(f, VB), 0x33);
	assert_int_equal(cpu_load32(f->cpu, VA | 1ull << 40, &v), 0);
	machine_put(&f->m, f->sa, 0);
	cpu_invlpg(f->cpu, VA | 1ull << 50);
	assert_int_equal(cpu_load32(f->cpu, VA | 1ull << 40, &v), -1);
	expect_fault(f, VA, X86_PF_U);
}

static void test_power_on(void **state)
{
	struct fixture *f = *state;
	uint64_t v;

	cpu_leave(f->cpu);
	cpu_init(f->cpu, &f->m.ram, 3);
	assert_int_equal(f->cpu->id, 3);
	cpu_enter(f->cpu);
	assert_int_equal(cpu_store64(f->cpu, 0x7f000, 11), 0);
	assert_int_equal(cpu_load64(f->cpu, 0x7f000, &v), 0);
	assert_int_equal(v, 11);
	assert_int_equal(cpu_load64(f->cpu, 0x80000, &v), -1);
	expect_fault(f, 0x80000, X86_PF_U);
}

#define WIDE(f)		cmocka_unit_test_setup_teardown(f, setup, teardown)
#define NARROW(f)	cmocka_unit_test_setup_teardown(f, setup32, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WIDE(test_round_trip), NARROW(test_round_trip),
		WIDE(test_every_length), NARROW(test_every_length),
		WIDE(test_store_touches_no_more),
		WIDE(test_not_present), NARROW(test_not_present),
		WIDE(test_restart), NARROW(test_restart),
		WIDE(test_second_page_faults), NARROW(test_second_page_faults),
		WIDE(test_first_page_first), NARROW(test_first_page_first),
		WIDE(test_implicit_first_page),
		NARROW(test_implicit_first_page),
		WIDE(test_keys_at_once),
		WIDE(test_marks), NARROW(test_marks),
		WIDE(test_dirty_again), NARROW(test_dirty_again),
		WIDE(test_load_fills_for_stores),
		WIDE(test_read_only), NARROW(test_read_only),
		WIDE(test_fault_invalidates),
		WIDE(test_no_execute),
		WIDE(test_stale_until_invlpg), NARROW(test_stale_until_invlpg),
		WIDE(test_cr3_flushes), NARROW(test_cr3_flushes),
		WIDE(test_large_invlpg),
		WIDE(test_ptr), NARROW(test_ptr),
		WIDE(test_canonical_edge),
		NARROW(test_wrap_32),
		WIDE(test_power_on),
	};

	return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
