/*
 * test_map.c - mmap, munmap, mprotect, brk, exit: what they refuse, what they
 * leave, what they give back.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pager/snapshot.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct testvm t;
static int pid;

static int make(void **state)
{
	struct testvm_opts o = { .frames = 64, .swap_slots = 512 };

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, 8 * TV_PAGE);
	mem_file_create(t.mem, "ro", NULL, 8 * TV_PAGE);
	mem_file_readonly(t.mem, "ro", true);
	pid = vm_proc_create(t.vm, "p");
	return pid <= 0;
}

static int unmake(void **state)
{
	(void)state;
	assert_int_equal(testvm_free(&t), 0);
	return 0;
}

static int try_mmap(uint64_t addr, uint64_t len, unsigned prot, unsigned flags,
		    const char *path, uint64_t offset)
{
	struct vm_mmap m = { .addr = addr, .len = len, .prot = prot,
			     .flags = flags, .path = path, .offset = offset };
	uint64_t at = 0;

	return vm_mmap(t.vm, pid, &m, &at);
}

static void test_mmap_refuses(void **state)
{
	const unsigned p = VM_MAP_PRIVATE, s = VM_MAP_SHARED;
	const unsigned fixed = p | VM_MAP_FIXED;

	(void)state;
	assert_int_equal(try_mmap(0, 0, RW, p, NULL, 0), -EINVAL);
	assert_int_equal(try_mmap(0, 1, RW, 0, NULL, 0), -EINVAL);
	assert_int_equal(try_mmap(0, 1, RW, p | s, NULL, 0), -EINVAL);
	assert_int_equal(try_mmap(0, 1, 8, p, NULL, 0), -EINVAL);
	assert_int_equal(try_mmap(1, 1, RW, fixed, NULL, 0), -EINVAL);
	assert_int_equal(try_mmap(0, 1, RW, s, "f", 100), -EINVAL);
	assert_int_equal(try_mmap(0, 1, RW, s, "none", 0), -ENOENT);
	assert_int_equal(try_mmap(0, 1, RW, s, "ro", 0), -EACCES);
	assert_int_equal(try_mmap(0, 1, RW, p, "ro", 0), 0);
	assert_int_equal(try_mmap(0, 1ull << 63, RW, p, NULL, 0), -ENOMEM);
	assert_int_equal(try_mmap(0, UINT64_MAX, RW, p, NULL, 0), -ENOMEM);
	assert_int_equal(try_mmap(0, 1ull << 32, RW, p, NULL, 0), -ENOMEM);
	assert_int_equal(try_mmap(0, TV_PAGE, RW, fixed, NULL, 0), -ENOMEM);
	assert_int_equal(try_mmap(0xbffff000, 2 * TV_PAGE, RW, fixed, NULL, 0),
			 -ENOMEM);
	assert_int_equal(try_mmap(UINT64_MAX & ~0xfffull, 2 * TV_PAGE, RW,
				  fixed, NULL, 0), -ENOMEM);
	assert_true(try_mmap(0, TV_PAGE, RW, s, "f", INT64_MAX & ~0xfffll) < 0);
	assert_true(try_mmap(0, TV_PAGE, RW, s, "f",
			     UINT64_MAX & ~0xfffull) < 0);
	assert_true(try_mmap(0, UINT64_MAX, RW, s, "f", 0) < 0);
	pid = -3;
	assert_int_equal(try_mmap(0, TV_PAGE, RW, p, NULL, 0), -ESRCH);
	assert_int_equal(mem_file_nopen(t.mem, "f"), 0);
}

static void test_ranges_refused(void **state)
{
	static const struct {
		uint64_t addr, len;
	} bad[] = {
		{ TV_BASE + 1, TV_PAGE }, { TV_BASE + 1, 0 },
		{ TV_BASE, UINT64_MAX }, { TV_BASE, 1ull << 63 },
		{ UINT64_MAX & ~0xfffull, TV_PAGE },
		{ UINT64_MAX & ~0xfffull, 4 * TV_PAGE },
		{ 1ull << 63, TV_PAGE },
		{ 0xbffff000, 2 * TV_PAGE }, { 0, TV_PAGE },
	};

	(void)state;
	testvm_map(&t, pid, TV_BASE, 4, RW, VM_MAP_PRIVATE, NULL, 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int hole = bad[i].addr % TV_PAGE ? -EINVAL : -ENOMEM;

		assert_int_equal(vm_munmap(t.vm, pid, bad[i].addr, bad[i].len),
				 -EINVAL);
		assert_int_equal(vm_mprotect(t.vm, pid, bad[i].addr,
					     bad[i].len, RW), hole);
		assert_int_equal(vm_madvise(t.vm, pid, bad[i].addr, bad[i].len,
					    VM_MADV_HUGEPAGE), hole);
		if (bad[i].len)
			assert_int_equal(vm_msync(t.vm, pid, bad[i].addr,
						  bad[i].len, VM_MS_SYNC),
					 hole);
	}
	/* Nothing to unmap is an error, nothing to protect is not. */
	assert_int_equal(vm_munmap(t.vm, pid, TV_BASE, 0), -EINVAL);
	for (uint64_t at = 0; at <= TV_BASE; at += TV_BASE) {
		assert_int_equal(vm_mprotect(t.vm, pid, at, 0, RW), 0);
		assert_int_equal(vm_madvise(t.vm, pid, at, 0,
					    VM_MADV_HUGEPAGE), 0);
	}
	assert_int_equal(vm_mprotect(t.vm, 99, TV_BASE, 0, RW), -ESRCH);
	assert_int_equal(vm_msync(t.vm, pid, TV_BASE, TV_PAGE, 0), -EINVAL);
	assert_int_equal(vm_msync(t.vm, pid, TV_BASE, TV_PAGE, 3), -EINVAL);
	assert_int_equal(vm_mprotect(t.vm, pid, TV_BASE, TV_PAGE, 77),
			 -EINVAL);
	assert_int_equal(vm_mprotect(t.vm, pid, TV_BASE, 5 * TV_PAGE, RW),
			 -ENOMEM);
	assert_int_equal(vm_munmap(t.vm, 99, TV_BASE, TV_PAGE), -ESRCH);
	assert_int_equal(vm_exit(t.vm, 99), -ESRCH);
	assert_int_equal(vm_fork(t.vm, 99, "x"), -ESRCH);
}

/* An address beyond what the machine has is not one within it. */
static void test_peek_absurd(void **state)
{
	static const uint64_t far[] = {
		(1ull << 32) + TV_BASE, (1ull << 63) + TV_BASE,
		UINT64_MAX - 8, 0, 0xfffff000,
	};
	uint8_t b[64];
	int sig;

	(void)state;
	testvm_map(&t, pid, TV_BASE, 1, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, pid, TV_BASE, 1, 7);
	for (unsigned i = 0; i < sizeof(far) / sizeof(*far); i++) {
		assert_int_equal(vm_peek(t.vm, pid, far[i], b, 64, &sig),
				 -EFAULT);
		assert_int_equal(sig, SIGSEGV);
		assert_int_equal(vm_poke(t.vm, pid, far[i], b, 64, &sig),
				 -EFAULT);
	}
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + TV_PAGE - 10, b, 64,
				 &sig), 10);
	assert_int_equal(sig, SIGSEGV);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE, b, 0, &sig), 0);
	assert_int_equal(vm_peek(t.vm, 99, TV_BASE, b, 1, &sig), -ESRCH);
}

/* Out of the middle: swap slots come back at once, the rest stays. */
static void test_munmap_middle(void **state)
{
	(void)state;
	testvm_map(&t, pid, TV_BASE, 32, RW, VM_MAP_PRIVATE, NULL, 0);
	for (unsigned i = 0; i < 32; i++)
		testvm_fill(&t, pid, TV_BASE + i * TV_PAGE, 1, (uint8_t)i + 1);
	vm_evict(t.vm, 64);
	vm_run(t.vm);
	assert_int_equal(testvm_stat(&t, "nr_swap_used"), 32);
	assert_int_equal(vm_munmap(t.vm, pid, TV_BASE + 8 * TV_PAGE,
				   16 * TV_PAGE), 0);
	assert_int_equal(testvm_stat(&t, "nr_swap_used"), 16);
	vm_check(t.vm);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 7 * TV_PAGE), 8);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 24 * TV_PAGE), 25);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + 8 * TV_PAGE, &(char){ 0 },
				 1, NULL), -EFAULT);
}

/* What the heap gives up comes back as zeros, also after a fork. */
static void test_brk_zeros(void **state)
{
	uint64_t heap, now;
	int child;

	(void)state;
	assert_int_equal(vm_brk(t.vm, pid, 0, &heap), 0);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(vm_brk(t.vm, pid, heap + 8 * TV_PAGE, &now),
				 0);
		testvm_fill(&t, pid, heap, 8, 0x55);
		child = round ? vm_fork(t.vm, pid, "c") : 0;
		if (round == 0)
			vm_evict(t.vm, 64);
		assert_int_equal(vm_brk(t.vm, pid, heap + 3 * TV_PAGE - 9,
					&now), 0);
		assert_int_equal(vm_brk(t.vm, pid, heap + 8 * TV_PAGE, &now),
				 0);
		assert_int_equal(now, heap + 8 * TV_PAGE);
		assert_int_equal(testvm_byte(&t, pid, heap + 2 * TV_PAGE),
				 0x55);
		for (unsigned i = 3; i < 8; i++) {
			assert_int_equal(testvm_byte(&t, pid, heap +
						     i * TV_PAGE), 0);
			if (child)
				assert_int_equal(testvm_byte(&t, child, heap +
							i * TV_PAGE), 0x55);
		}
		vm_check(t.vm);
	}
	assert_int_equal(vm_brk(t.vm, pid, heap - 1, &now), -ENOMEM);
	assert_int_equal(vm_brk(t.vm, pid, UINT64_MAX, &now), -ENOMEM);
	assert_int_equal(vm_brk(t.vm, pid, heap, &now), 0);
	assert_int_equal(vm_peek(t.vm, pid, heap, &child, 1, NULL), -EFAULT);
}

static void test_mprotect(void **state)
{
	uint8_t b = 9;
	int sig;

	(void)state;
	testvm_map(&t, pid, TV_BASE, 4, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, pid, TV_BASE, 4, 1);
	assert_int_equal(vm_mprotect(t.vm, pid, TV_BASE + TV_PAGE, TV_PAGE,
				     VM_PROT_READ), 0);
	assert_int_equal(testvm_store(&t, pid, TV_BASE + TV_PAGE, &b, 1, NULL),
			 SIGSEGV);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + TV_PAGE), 1);
	assert_int_equal(vm_mprotect(t.vm, pid, TV_BASE + TV_PAGE, TV_PAGE, 0),
			 0);
	assert_int_equal(vm_peek(t.vm, pid, TV_BASE + TV_PAGE, &b, 1, &sig),
			 -EFAULT);
	assert_int_equal(sig, SIGSEGV);
	assert_int_equal(vm_mprotect(t.vm, pid, TV_BASE, 4 * TV_PAGE, RW), 0);
	assert_int_equal(testvm_store(&t, pid, TV_BASE + TV_PAGE, &b, 1, NULL),
			 0);
	/* A file that cannot be written cannot be made writable. */
	testvm_map(&t, pid, TV_BASE, 1, VM_PROT_READ, VM_MAP_SHARED, "ro", 0);
	assert_int_equal(vm_mprotect(t.vm, pid, TV_BASE, TV_PAGE, RW),
			 -EACCES);
}

/* x86 has no right to write or to execute that is not one to read, too. */
static void test_rights_to_read(void **state)
{
	static const unsigned prot[] = { VM_PROT_WRITE, VM_PROT_EXEC };
	uint64_t at;
	uint8_t b;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		at = TV_BASE + 4 * i * TV_PAGE;
		testvm_map(&t, pid, at, 4, prot[i], VM_MAP_PRIVATE, NULL, 0);
		/* Never touched; there already; its rights changed. */
		assert_int_equal(testvm_load(&t, pid, at, &b, 1, NULL), 0);
		assert_int_equal(b, 0);
		assert_int_equal(testvm_load(&t, pid, at, &b, 1, NULL), 0);
		assert_int_equal(vm_mprotect(t.vm, pid, at, 2 * TV_PAGE, RW),
				 0);
		testvm_fill(&t, pid, at, 2, 7);
		assert_int_equal(vm_mprotect(t.vm, pid, at, 2 * TV_PAGE,
					     prot[i]), 0);
		assert_int_equal(testvm_byte(&t, pid, at), 7);
		assert_true(vm_evict(t.vm, 64) > 0);
		assert_int_equal(testvm_byte(&t, pid, at + TV_PAGE), 7);
		assert_int_equal(testvm_store(&t, pid, at, &b, 1, NULL),
				 prot[i] == VM_PROT_EXEC ? SIGSEGV : 0);
	}
	/* None is none, whatever is there. */
	assert_int_equal(vm_mprotect(t.vm, pid, TV_BASE, 8 * TV_PAGE, 0), 0);
	assert_int_equal(testvm_load(&t, pid, TV_BASE, &b, 1, NULL), SIGSEGV);
}

/* ---- a child is ended before its fork is over ---- */

static atomic_int forked;
static atomic_bool stop;

static void *ender(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		for (int i = 1; i < 4; i++)
			vm_exit(t.vm, atomic_load(&forked) + i);
	return NULL;
}

static void test_exit_in_fork(void **state)
{
	pthread_t host;

	(void)state;
	testvm_map(&t, pid, TV_BASE, 16, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, pid, TV_BASE, 16, 3);
	atomic_store(&forked, pid);
	atomic_store(&stop, false);
	pthread_create(&host, NULL, ender, NULL);
	for (int i = 0; i < 5000; i++) {
		int child = vm_fork(t.vm, pid, "c");

		if (child > 0) {
			atomic_store(&forked, child);
			vm_exit(t.vm, child);
		}
	}
	atomic_store(&stop, true);
	pthread_join(host, NULL);
}

static size_t count_areas(void)
{
	struct snap_area *areas;
	size_t n;

	assert_int_equal(snap_areas(t.vm, pid, &areas, &n), 0);
	free(areas);
	return n;
}

/* New anonymous memory becomes part of what stands before it, unless that
 * shows a file: then `maps` would name the file for all of it. */
static void test_joins(void **state)
{
	(void)state;
	testvm_map(&t, pid, TV_BASE, 4, RW, VM_MAP_PRIVATE, NULL, 0);
	testvm_fill(&t, pid, TV_BASE, 4, 1);
	testvm_map(&t, pid, TV_BASE + 4 * TV_PAGE, 4, RW, VM_MAP_PRIVATE,
		   NULL, 0);
	assert_int_equal(count_areas(), 1);
	testvm_map(&t, pid, TV_BASE + 16 * TV_PAGE, 8, RW, VM_MAP_PRIVATE,
		   "f", 0);
	testvm_fill(&t, pid, TV_BASE + 16 * TV_PAGE, 8, 2);
	testvm_map(&t, pid, TV_BASE + 24 * TV_PAGE, 4, RW, VM_MAP_PRIVATE,
		   NULL, 0);
	assert_int_equal(count_areas(), 3);
	assert_int_equal(testvm_byte(&t, pid, TV_BASE + 24 * TV_PAGE), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, make, unmake)
	const struct CMUnitTest tests[] = {
		T(test_mmap_refuses),
		T(test_joins), T(test_ranges_refused),
		T(test_peek_absurd), T(test_munmap_middle),
		T(test_brk_zeros), T(test_mprotect),
		T(test_rights_to_read), T(test_exit_in_fork),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
