/*
 * test_mmu.c - the walker against tables built by hand.
 *
 * The heart is test_every_*: every combination of P, W, U and NX at every
 * level, under every setting of the registers, for each access, compared bit
 * for bit (result, error code, CR2, A and D of each entry) with an oracle
 * that is written from the manual's words, level by level.
 */
#include "emu/mmu.h"

#include <pthread.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "machine.h"

#define VA	0x12345678ull	/* in both modes, no index is 0 */
#define PFN	40

/* One question and the tables it is asked of; level 0 is the leaf. */
struct question {
	struct machine *m;
	struct mmu_regs regs;
	enum mmu_access access;
	uint64_t entry[4];
	void *slot[4];
};

static const char *describe(const struct question *q)
{
	static char text[200];

	snprintf(text, sizeof(text),
		 "access %d user %d wp %d nxe %d: %llx %llx %llx %llx",
		 q->access, q->regs.cpl == 3, !!(q->regs.cr0 & X86_CR0_WP),
		 !!(q->regs.efer & X86_EFER_NXE),
		 (unsigned long long)q->entry[3],
		 (unsigned long long)q->entry[2],
		 (unsigned long long)q->entry[1],
		 (unsigned long long)q->entry[0]);
	return text;
}

static bool nx_on(const struct question *q)
{
	return q->m->wide && (q->regs.efer & X86_EFER_NXE);
}

/* The kind of access, as the error code tells it. */
static uint32_t oracle_kind(const struct question *q)
{
	uint32_t kind = q->regs.cpl == 3 ? X86_PF_U : 0;

	if (q->access == MMU_WRITE)
		kind |= X86_PF_W;
	if (q->access == MMU_FETCH && nx_on(q))
		kind |= X86_PF_I;
	return kind;
}

static bool oracle_permits(const struct question *q)
{
	bool user = true, write = true, run = true;
	int level;

	for (level = 0; level < machine_levels(q->m); level++) {
		user = user && (q->entry[level] & X86_PTE_U);
		write = write && (q->entry[level] & X86_PTE_W);
		run = run && !(q->entry[level] & X86_PTE_NX);
	}
	if (q->regs.cpl == 3 && !user)
		return false;
	if (q->access == MMU_WRITE && !write)
		return q->regs.cpl < 3 && !(q->regs.cr0 & X86_CR0_WP);
	return q->access != MMU_FETCH || run;
}

/* => -1: permitted; or the error code. */
static int oracle(const struct question *q)
{
	int level;

	for (level = machine_levels(q->m) - 1; level >= 0; level--) {
		if (!(q->entry[level] & X86_PTE_P))
			return oracle_kind(q);
		if ((q->entry[level] & X86_PTE_NX) && !nx_on(q))
			return oracle_kind(q) | X86_PF_P | X86_PF_RSVD;
	}
	return oracle_permits(q) ? -1 : (int)(oracle_kind(q) | X86_PF_P);
}

static void expect_marks(struct question *q, bool ok)
{
	uint64_t want;
	int level;

	for (level = 0; level < machine_levels(q->m); level++) {
		want = q->entry[level];
		if (ok)
			want |= X86_PTE_A;
		if (ok && !level && q->access == MMU_WRITE)
			want |= X86_PTE_D;
		if (machine_get(q->m, q->slot[level]) != want)
			fail_msg("level %d marked wrong: %s", level,
				 describe(q));
	}
}

static void ask(struct question *q)
{
	struct mmu_result res;
	struct page_fault pf = { 0 };
	int level, got, want = oracle(q);

	for (level = 0; level < machine_levels(q->m); level++)
		machine_put(q->m, q->slot[level], q->entry[level]);
	got = mmu_check(&q->m->ram, &q->regs, VA, q->access, &pf);
	if (got != (want < 0 ? 0 : -1) || (got && (int)pf.error != want))
		fail_msg("check: %d error %x: %s", got, pf.error,
			 describe(q));
	expect_marks(q, false);
	got = mmu_walk(&q->m->ram, &q->regs, VA, q->access, &res, &pf);
	if (got != (want < 0 ? 0 : -1))
		fail_msg("walk: %d: %s", got, describe(q));
	if (got && ((int)pf.error != want || pf.addr != VA))
		fail_msg("error %x, not %x: %s", pf.error, want,
			 describe(q));
	if (!got)
		assert_int_equal(res.pa, PFN << 12 | (VA & 0xfff));
	expect_marks(q, !got);
}

static void question_init(struct question *q, struct machine *m)
{
	int level;

	q->m = m;
	q->regs = machine_regs(m);
	machine_map(m, VA, PFN, OPEN);
	for (level = 0; level < machine_levels(m); level++) {
		q->slot[level] = machine_slot(m, VA, level);
		q->entry[level] = machine_get(m, q->slot[level]);
	}
}

/* Set P, W, U and NX of all levels from the bits of @combo. */
static void question_flags(struct question *q, unsigned combo)
{
	unsigned per = q->m->wide ? 4 : 3;
	int level;

	for (level = 0; level < machine_levels(q->m); level++) {
		q->entry[level] &= ~(OPEN | X86_PTE_NX);
		q->entry[level] |= combo & OPEN;
		if (per == 4 && (combo & 8))
			q->entry[level] |= X86_PTE_NX;
		combo >>= per;
	}
}

static void ask_under_all_registers(struct question *q)
{
	unsigned setting;
	int access;

	for (setting = 0; setting < 8; setting++) {
		q->regs.cpl = setting & 1 ? 3 : 0;
		q->regs.cr0 &= ~X86_CR0_WP;
		q->regs.cr0 |= setting & 2 ? X86_CR0_WP : 0;
		q->regs.efer &= ~X86_EFER_NXE;
		q->regs.efer |= setting & 4 ? X86_EFER_NXE : 0;
		for (access = MMU_READ; access <= MMU_FETCH; access++) {
			q->access = access;
			ask(q);
		}
	}
}

static void every_combination(bool wide, unsigned combos)
{
	struct machine m;
	struct question q = { 0 };
	unsigned combo;

	machine_init(&m, wide, 64);
	question_init(&q, &m);
	for (combo = 0; combo < combos; combo++) {
		question_flags(&q, combo);
		ask_under_all_registers(&q);
	}
	ram_destroy(&m.ram);
}

static void test_every_combination_32(void **state)
{
	(void)state;
	every_combination(false, 1u << 6);
}

static void test_every_combination_64(void **state)
{
	(void)state;
	every_combination(true, 1u << 16);
}

/* A walk with one more bit set at one level. => error code, or -1 */
static int walk_with(struct question *q, int level, uint64_t bit)
{
	struct mmu_result res;
	struct page_fault pf;
	uint64_t entry = q->entry[level] | bit;
	int i;

	for (i = 0; i < machine_levels(q->m); i++)
		machine_put(q->m, q->slot[i], q->entry[i]);
	machine_put(q->m, q->slot[level], entry);
	if (mmu_walk(&q->m->ram, &q->regs, VA, MMU_READ, &res, &pf))
		return pf.error;
	return -1;
}

static void test_reserved_64(void **state)
{
	const int rsvd = X86_PF_P | X86_PF_RSVD | X86_PF_U;
	struct machine m;
	struct question q = { 0 };
	int level, bit;

	(void)state;
	machine_init(&m, true, 64);
	question_init(&q, &m);
	for (level = 0; level < 4; level++) {
		for (bit = X86_MAXPHYADDR; bit < 52; bit++)
			assert_int_equal(walk_with(&q, level, 1ull << bit),
					 rsvd);
		/* Ignored, or protection keys, which are off. */
		for (bit = 52; bit < 63; bit++)
			assert_int_equal(walk_with(&q, level, 1ull << bit),
					 -1);
		assert_int_equal(walk_with(&q, level, X86_PTE_NX), -1);
		for (bit = 8; bit < 12; bit++)
			assert_int_equal(walk_with(&q, level, 1ull << bit),
					 -1);
	}
	assert_int_equal(walk_with(&q, 3, X86_PTE_PS), rsvd);
	assert_int_equal(walk_with(&q, 0, X86_PTE_PS), -1);	/* PAT */
	q.regs.efer &= ~X86_EFER_NXE;
	for (level = 0; level < 4; level++)
		assert_int_equal(walk_with(&q, level, X86_PTE_NX), rsvd);
	ram_destroy(&m.ram);
}

/* Not present wins over reserved in one entry, and the upper level wins. */
static void test_reserved_order(void **state)
{
	struct machine m;
	struct question q = { 0 };

	(void)state;
	machine_init(&m, true, 64);
	question_init(&q, &m);
	q.entry[2] = 1ull << 50;
	assert_int_equal(walk_with(&q, 2, 0), X86_PF_U);
	q.entry[2] = 1ull << 50 | X86_PTE_P;	/* no U, no W either */
	assert_int_equal(walk_with(&q, 2, 0),
			 X86_PF_P | X86_PF_RSVD | X86_PF_U);
	q.entry[3] = 0;
	assert_int_equal(walk_with(&q, 2, 0), X86_PF_U);
	ram_destroy(&m.ram);
}

/* Without PSE nothing is reserved in 32-bit entries and PS means nothing. */
static void test_reserved_32(void **state)
{
	struct machine m;
	struct question q = { 0 };
	int level, bit;

	(void)state;
	machine_init(&m, false, 64);
	question_init(&q, &m);
	for (level = 0; level < 2; level++)
		for (bit = 3; bit < 12; bit++)
			assert_int_equal(walk_with(&q, level, 1ull << bit),
					 -1);
	ram_destroy(&m.ram);
}

static void test_large_pages(void **state)
{
	struct machine m;
	struct mmu_regs regs;
	struct mmu_result res;
	struct page_fault pf;
	uint64_t *pde, *pdpte, va2 = 2ull << 21, va1 = 3ull << 30;

	(void)state;
	machine_init(&m, true, 1024);
	regs = machine_regs(&m);
	pde = machine_slot(&m, va2, 1);
	*pde = 1ull << 21 | OPEN | X86_PTE_PS;
	assert_int_equal(mmu_walk(&m.ram, &regs, va2 + 0x12345, MMU_WRITE,
				  &res, &pf), 0);
	assert_int_equal(res.pa, (1u << 21) + 0x12345);
	assert_int_equal(res.shift, 21);
	assert_int_equal(*pde, 1ull << 21 | OPEN | X86_PTE_PS | X86_PTE_A |
			 X86_PTE_D);
	*pde |= 1ull << 12;				/* PAT */
	assert_int_equal(mmu_walk(&m.ram, &regs, va2, MMU_READ, &res, &pf),
			 0);
	assert_int_equal(res.pa, 1u << 21);
	*pde |= 1ull << 20;
	assert_int_equal(mmu_walk(&m.ram, &regs, va2, MMU_READ, &res, &pf),
			 -1);
	assert_int_equal(pf.error, X86_PF_P | X86_PF_RSVD | X86_PF_U);

	pdpte = machine_slot(&m, va1, 2);
	*pdpte = OPEN | X86_PTE_PS;
	assert_int_equal(mmu_walk(&m.ram, &regs, va1 + 0x3ff123, MMU_READ,
				  &res, &pf), 0);
	assert_int_equal(res.pa, 0x3ff123);
	assert_int_equal(res.shift, 30);
	*pdpte |= 1ull << 29;
	assert_int_equal(mmu_walk(&m.ram, &regs, va1, MMU_READ, &res, &pf),
			 -1);
	assert_int_equal(pf.error, X86_PF_P | X86_PF_RSVD | X86_PF_U);
	ram_destroy(&m.ram);
}

/* Entries that point past RAM, at each level, and a CR3 that does. */
static void test_past_ram(void **state)
{
	struct machine m;
	struct question q = { 0 };
	int wide, level;

	(void)state;
	for (wide = 0; wide < 2; wide++) {
		machine_init(&m, wide, 64);
		question_init(&q, &m);
		for (level = 0; level < machine_levels(&m); level++)
			assert_int_equal(walk_with(&q, level, 0xf0000000),
					 X86_PF_U);
		q.regs.cr3 = 64 * 4096;
		assert_int_equal(walk_with(&q, 0, 0), X86_PF_U);
		ram_destroy(&m.ram);
	}
}

static void test_canonical(void **state)
{
	static const uint64_t bad[] = {
		0x0000800000000000, 0xffff7fffffffffff, 0x8000000012345678,
		0x0001000012345678, 0xfffe800000000000,
	};
	static const uint64_t good[] = {
		0x00007ffffffff123, 0xffff800000000123, 0xfffffffffffff123,
	};
	struct machine m;
	struct mmu_regs regs;
	struct mmu_result res;
	struct page_fault pf;
	unsigned i;

	(void)state;
	machine_init(&m, true, 64);
	regs = machine_regs(&m);
	machine_map(&m, VA, PFN, OPEN);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(mmu_walk(&m.ram, &regs, bad[i], MMU_WRITE,
					  &res, &pf), -1);
		assert_int_equal(pf.addr, bad[i]);
		assert_int_equal(pf.kind, MMU_GP);
		assert_int_equal(pf.error, 0);
	}
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		machine_map(&m, good[i], PFN, OPEN);
		assert_int_equal(mmu_walk(&m.ram, &regs, good[i], MMU_WRITE,
					  &res, &pf), 0);
		assert_int_equal(res.pa, PFN << 12 | 0x123);
	}
	ram_destroy(&m.ram);
}

/* 32-bit: the upper half of an address does not exist, in CR2 either. */
static void test_narrow(void **state)
{
	struct machine m;
	struct mmu_regs regs;
	struct mmu_result res;
	struct page_fault pf;

	(void)state;
	machine_init(&m, false, 64);
	regs = machine_regs(&m);
	machine_map(&m, VA, PFN, OPEN);
	assert_int_equal(mmu_walk(&m.ram, &regs, VA | 7ull << 32, MMU_READ,
				  &res, &pf), 0);
	assert_int_equal(mmu_walk(&m.ram, &regs, 5 | 7ull << 32, MMU_READ,
				  &res, &pf), -1);
	assert_int_equal(pf.addr, 5);
	ram_destroy(&m.ram);
}

static void test_paging_off(void **state)
{
	struct machine m;
	struct mmu_regs regs = { .cpl = 3 };
	struct mmu_result res;
	struct page_fault pf;

	(void)state;
	machine_init(&m, false, 64);
	assert_int_equal(mmu_walk(&m.ram, &regs, 0x3ffff, MMU_WRITE, &res,
				  &pf), 0);
	assert_int_equal(res.pa, 0x3ffff);
	assert_int_equal(mmu_walk(&m.ram, &regs, 0x40000, MMU_READ, &res,
				  &pf), -1);
	assert_int_equal(pf.addr, 0x40000);
	ram_destroy(&m.ram);
}

static void test_result(void **state)
{
	struct machine m;
	struct mmu_regs regs;
	struct mmu_result res;
	struct page_fault pf;

	(void)state;
	machine_init(&m, true, 64);
	regs = machine_regs(&m);
	machine_map(&m, VA, PFN, OPEN | X86_PTE_NX);
	assert_int_equal(mmu_walk(&m.ram, &regs, VA, MMU_READ, &res, &pf),
			 0);
	assert_int_equal(res.rights, MMU_RIGHT_W | MMU_RIGHT_U | MMU_RIGHT_NX);
	assert_int_equal(res.allowed, 1 << MMU_READ | 1 << MMU_WRITE);
	assert_false(res.dirty);
	assert_int_equal(mmu_walk(&m.ram, &regs, VA, MMU_WRITE, &res, &pf),
			 0);
	assert_true(res.dirty);
	assert_int_equal(mmu_walk(&m.ram, &regs, VA, MMU_READ, &res, &pf),
			 0);
	assert_true(res.dirty);
	machine_map(&m, VA, PFN, X86_PTE_P | X86_PTE_U);
	assert_int_equal(mmu_walk(&m.ram, &regs, VA, MMU_READ, &res, &pf),
			 0);
	assert_int_equal(res.rights, MMU_RIGHT_U);
	assert_int_equal(res.allowed, 1 << MMU_READ | 1 << MMU_FETCH);
	assert_false(res.dirty);
	ram_destroy(&m.ram);
}

#define RACE_ROUNDS	200000

struct race {
	struct machine *m;
	void *slot;
	bool stop;
};

static void *race_walker(void *arg)
{
	struct race *r = arg;
	struct mmu_regs regs = machine_regs(r->m);
	struct mmu_result res;
	struct page_fault pf;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED))
		mmu_walk(&r->m->ram, &regs, VA, MMU_WRITE, &res, &pf);
	return NULL;
}

/*
 * The pager takes the entry away and puts another in while CPUs walk: what is
 * taken is what was put, with A and D or without; an absent entry stays as it
 * is, so nothing stale is ever written back.
 */
static void race(bool wide)
{
	struct machine m;
	struct race r = { .m = &m };
	pthread_t thread;
	uint64_t old, new;
	unsigned i, marked = 0;

	machine_init(&m, wide, 64);
	machine_map(&m, VA, PFN, OPEN);
	r.slot = machine_slot(&m, VA, 0);
	assert_int_equal(pthread_create(&thread, NULL, race_walker, &r), 0);
	/* On a busy machine the walker may not have run yet: give it time. */
	for (i = 0; i < RACE_ROUNDS || (!marked && i < 2 * RACE_ROUNDS); i++) {
		new = (uint64_t)(i % 32) << 12 | OPEN;
		assert_int_equal(machine_put(&m, r.slot, new) & X86_PTE_P,
				 i ? 0 : X86_PTE_P);
		if (i >= RACE_ROUNDS)
			usleep(10);
		old = machine_put(&m, r.slot, 0);
		marked += !!(old & X86_PTE_D);
		assert_int_equal(!!(old & X86_PTE_D), !!(old & X86_PTE_A));
		assert_int_equal(old & ~(X86_PTE_A | X86_PTE_D), new);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(machine_get(&m, r.slot), 0);
	assert_true(marked > 0);
	ram_destroy(&m.ram);
}

static void test_race(void **state)
{
	(void)state;
	race(false);
	race(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_combination_32),
		cmocka_unit_test(test_every_combination_64),
		cmocka_unit_test(test_reserved_64),
		cmocka_unit_test(test_reserved_order),
		cmocka_unit_test(test_reserved_32),
		cmocka_unit_test(test_large_pages),
		cmocka_unit_test(test_past_ram),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_paging_off),
		cmocka_unit_test(test_result),
		cmocka_unit_test(test_race),
	};

	return cmocka_run_group_tests_name("mmu", tests, NULL, NULL);
}
