/*
 * test_huge.c - large pages: made, used, shared, split, taken away.
 *
 * An area that asks for them, in each paging mode, against a flat array: at
 * random stores, loads, forks, evictions, partial unmaps and protections. A
 * large page must serve as one, and come apart without a byte lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/testvm.h"

#define AREA_PAGES	3072u		/* 12 MiB: three of 4 MiB, six of 2 */
#define BASE		0x10000000ull
#define CHECK		16u		/* beside a mode: each translation */

struct huge {
	struct testvm t;
	uint64_t random;
	int pid[2];
	uint8_t *model[2];		/* AREA_PAGES pages each; NULL: no process */
	uint8_t gone[AREA_PAGES];	/* of process 0: unmapped */
};

static uint64_t rnd(struct huge *h, uint64_t below)
{
	h->random = h->random * 6364136223846793005ull + 1442695040888963407ull;
	return (h->random >> 33) % below;
}

static void huge_make(struct huge *h, enum vm_mode mode, bool check)
{
	struct testvm_opts o = { .frames = 8192, .mode = mode,
				 .swap_slots = 16384, .order = MEM_RANDOM,
				 .seed = 5, .check_tlb = check };

	memset(h, 0, sizeof(*h));
	testvm_make(&h->t, &o);
	h->random = 17;
	h->pid[0] = vm_proc_create(h->t.vm, "a");
	h->model[0] = calloc(AREA_PAGES, TV_PAGE);
	testvm_map(&h->t, h->pid[0], BASE, AREA_PAGES,
		   VM_PROT_READ | VM_PROT_WRITE, VM_MAP_PRIVATE, NULL, 0);
	assert_int_equal(vm_madvise(h->t.vm, h->pid[0], BASE,
				    AREA_PAGES * TV_PAGE, VM_MADV_HUGEPAGE), 0);
}

static void huge_end(struct huge *h)
{
	assert_int_equal(testvm_free(&h->t), 0);
	free(h->model[0]);
	free(h->model[1]);
}

static bool huge_reaches(struct huge *h, unsigned k, uint64_t off, unsigned len)
{
	return k == 1 || (!h->gone[off / TV_PAGE] &&
			  !h->gone[(off + len - 1) / TV_PAGE]);
}

static void op_access(struct huge *h, unsigned k, bool write)
{
	uint8_t buf[64];
	unsigned len = 1 + (unsigned)rnd(h, 64);
	uint64_t off = rnd(h, AREA_PAGES * TV_PAGE - len);
	int sig;

	for (unsigned i = 0; i < len; i++)
		buf[i] = (uint8_t)rnd(h, 256);
	sig = write ? testvm_store(&h->t, h->pid[k], BASE + off, buf, len, NULL) :
		      testvm_load(&h->t, h->pid[k], BASE + off, buf, len, NULL);
	if (!huge_reaches(h, k, off, len)) {
		assert_int_equal(sig, SIGSEGV);
		return;
	}
	assert_int_equal(sig, 0);
	if (write)
		memcpy(h->model[k] + off, buf, len);
	else
		assert_memory_equal(buf, h->model[k] + off, len);
}

/* A child that lives for a while. */
static void op_fork(struct huge *h)
{
	if (h->model[1]) {
		vm_exit(h->t.vm, h->pid[1]);
		free(h->model[1]);
		h->model[1] = NULL;
		return;
	}
	for (unsigned i = 0; i < AREA_PAGES; i++)
		if (h->gone[i])
			return;		/* it would have the holes, too */
	h->pid[1] = vm_fork(h->t.vm, h->pid[0], "b");
	assert_true(h->pid[1] > 0);
	h->model[1] = malloc(AREA_PAGES * TV_PAGE);
	memcpy(h->model[1], h->model[0], AREA_PAGES * TV_PAGE);
}

static void op_unmap(struct huge *h)
{
	uint64_t page = rnd(h, AREA_PAGES), n = 1 + rnd(h, 5);

	if (page + n > AREA_PAGES)
		n = AREA_PAGES - page;
	assert_int_equal(vm_munmap(h->t.vm, h->pid[0], BASE + page * TV_PAGE,
				   n * TV_PAGE), 0);
	memset(h->gone + page, 1, n);
}

/* What was unmapped comes back, as zeros. */
static void op_remap(struct huge *h)
{
	for (unsigned i = 0; i < AREA_PAGES; i++) {
		if (!h->gone[i])
			continue;
		testvm_map(&h->t, h->pid[0], BASE + i * TV_PAGE, 1,
			   VM_PROT_READ | VM_PROT_WRITE, VM_MAP_PRIVATE, NULL,
			   0);
		memset(h->model[0] + i * TV_PAGE, 0, TV_PAGE);
		h->gone[i] = 0;
	}
}

static void op_protect(struct huge *h)
{
	uint64_t page = rnd(h, AREA_PAGES - 8), byte = page * TV_PAGE, at;
	uint8_t b = 1;

	for (uint64_t i = page; i < page + 8; i++)
		if (h->gone[i])
			return;
	vm_mprotect(h->t.vm, h->pid[0], BASE + byte, 8 * TV_PAGE, VM_PROT_READ);
	assert_int_equal(testvm_store(&h->t, h->pid[0], BASE + byte, &b, 1,
				      &at), SIGSEGV);
	assert_int_equal(testvm_load(&h->t, h->pid[0], BASE + byte, &b, 1,
				     NULL), 0);
	assert_int_equal(b, h->model[0][byte]);
	vm_mprotect(h->t.vm, h->pid[0], BASE + byte, 8 * TV_PAGE,
		    VM_PROT_READ | VM_PROT_WRITE);
}

static void huge_op(struct huge *h)
{
	uint64_t dice = rnd(h, 1000);

	if (dice < 2)
		op_fork(h);
	else if (dice < 4)
		op_unmap(h);
	else if (dice < 6)
		op_remap(h);
	else if (dice < 12)
		op_protect(h);
	else if (dice < 14)
		vm_evict(h->t.vm, rnd(h, 2000));
	else
		op_access(h, h->model[1] && dice % 2, dice % 3);
}

static void test_random(void **state)
{
	struct huge h;

	huge_make(&h, (enum vm_mode)((uintptr_t)*state & 15),
		  (uintptr_t)*state & CHECK);
	for (unsigned i = 0; i < 6000; i++) {
		huge_op(&h);
		if (i % 500 == 0)
			vm_check(h.t.vm);
	}
	assert_true(testvm_stat(&h.t, "thp_fault_alloc") >= 3);
	assert_true(testvm_stat(&h.t, "thp_split_pmd") >= 1);
	huge_end(&h);
}

/* One fault maps all of it, one entry holds it, one unmap takes it. */
static void test_whole(void **state)
{
	struct huge h;
	uint64_t n;

	(void)state;
	huge_make(&h, VM_MODE_64, false);
	testvm_fill(&h.t, h.pid[0], BASE, 512, 7);
	assert_int_equal(testvm_stat(&h.t, "thp_fault_alloc"), 1);
	assert_int_equal(testvm_stat(&h.t, "pgfault"), 1);
	assert_int_equal(testvm_stat(&h.t, "nr_page_table_pages"), 4);
	n = testvm_stat(&h.t, "nr_free_pages");
	assert_int_equal(vm_munmap(h.t.vm, h.pid[0], BASE, 512 * TV_PAGE), 0);
	assert_int_equal(testvm_stat(&h.t, "thp_split_pmd"), 0);
	/* The page, and all tables but the root: its directory is empty. */
	assert_int_equal(testvm_stat(&h.t, "nr_free_pages"), n + 512 + 3);
	huge_end(&h);
}

/* Not where nobody asked, not where it does not fit, not without a block. */
static void test_not(void **state)
{
	struct huge h;

	(void)state;
	huge_make(&h, VM_MODE_64, false);
	assert_int_equal(vm_madvise(h.t.vm, h.pid[0], BASE, TV_PAGE, 9), -EINVAL);
	assert_int_equal(vm_madvise(h.t.vm, h.pid[0], BASE,
				    (AREA_PAGES + 1) * TV_PAGE,
				    VM_MADV_HUGEPAGE), -ENOMEM);
	assert_int_equal(vm_madvise(h.t.vm, h.pid[0], BASE, 2 << 20,
				    VM_MADV_NOHUGEPAGE), 0);
	testvm_fill(&h.t, h.pid[0], BASE, 512, 1);
	assert_int_equal(testvm_stat(&h.t, "thp_fault_alloc"), 0);
	/* The first page of the second block is gone: it does not fit. */
	assert_int_equal(vm_munmap(h.t.vm, h.pid[0], BASE + (2 << 20),
				   TV_PAGE), 0);
	testvm_fill(&h.t, h.pid[0], BASE + (2 << 20) + TV_PAGE, 8, 1);
	assert_int_equal(testvm_stat(&h.t, "thp_fault_alloc"), 0);
	testvm_fill(&h.t, h.pid[0], BASE + (4 << 20), 1, 1);
	assert_int_equal(testvm_stat(&h.t, "thp_fault_alloc"), 1);
	huge_end(&h);
}

/* Placed by the machine, large memory begins where a large page can. */
static void test_placed(void **state)
{
	enum vm_mode mode = (enum vm_mode)(uintptr_t)*state;
	uint64_t large = mode == VM_MODE_32 ? 4 << 20 : 2 << 20, at[4];
	struct vm_mmap m = { .len = TV_PAGE, .prot = VM_PROT_READ |
			     VM_PROT_WRITE, .flags = VM_MAP_PRIVATE };
	struct huge h;

	huge_make(&h, mode, false);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(vm_mmap(h.t.vm, h.pid[0], &m, &at[i]), 0);
		m.len = i == 0 ? large + TV_PAGE : i == 1 ? 2 * large : TV_PAGE;
	}
	/* The small ones stand below the last, with no room lost. */
	assert_int_equal(at[1] % large, 0);
	assert_true(at[0] - at[1] < 2 * large + TV_PAGE);
	assert_int_equal(at[2], at[1] - 2 * large);
	assert_int_equal(at[3], at[2] - TV_PAGE);
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(vm_madvise(h.t.vm, h.pid[0], at[i], large,
					    VM_MADV_HUGEPAGE), 0);
		testvm_fill(&h.t, h.pid[0], at[i], 1, 1);
		assert_int_equal(testvm_stat(&h.t, "thp_fault_alloc"), i);
	}
	/* Shared memory has no large pages, and no such place. */
	m.flags = VM_MAP_SHARED;
	m.len = large;
	assert_int_equal(vm_mmap(h.t.vm, h.pid[0], &m, &at[0]), 0);
	assert_int_equal(at[0], at[3] - large);
	huge_end(&h);
}

int main(void)
{
#define PLACED(m) { "test_placed " #m, test_placed, NULL, NULL, \
		    (void *)(uintptr_t)(m) }
#define MODE(m) { "test_random " #m, test_random, NULL, NULL, \
		  (void *)(uintptr_t)(m) }
	const struct CMUnitTest tests[] = {
		MODE(VM_MODE_32), MODE(VM_MODE_PAE), MODE(VM_MODE_64),
		MODE(VM_MODE_LA57), MODE(VM_MODE_32 | CHECK),
		MODE(VM_MODE_PAE | CHECK), MODE(VM_MODE_64 | CHECK),
		MODE(VM_MODE_LA57 | CHECK), cmocka_unit_test(test_whole),
		PLACED(VM_MODE_32), PLACED(VM_MODE_PAE), PLACED(VM_MODE_64),
		PLACED(VM_MODE_LA57),
		cmocka_unit_test(test_not),
	};

	return cmocka_run_group_tests_name("huge", tests, NULL, NULL);
}
