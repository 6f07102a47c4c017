/*
 * test_quick.c - faults that share the core lock: which do, which must not,
 * and that who takes the lock is alone.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pager/core.h"
#include "pager/frame.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)

static struct testvm t;

static int make(void **state)
{
	struct testvm_opts o = { .frames = 1024, .swap_slots = 4096 };

	(void)state;
	testvm_make(&t, &o);
	mem_file_create(t.mem, "f", NULL, 64 * TV_PAGE);
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	assert_int_equal(testvm_free(&t), 0);
	return 0;
}

/* Faults that CPU 0 settled sharing the lock. */
static uint64_t quick(void)
{
	return t.vm->percpu[0].stat[VM_STAT_FAULT];
}

/* Stores the page's number into @n pages by CPU 0. => how many were quick. */
static uint64_t store(int pid, uint64_t addr, unsigned n)
{
	uint64_t before = quick();

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(testvm_store(&t, pid, addr + i * TV_PAGE, &i,
					      sizeof(i), NULL), 0);
	return quick() - before;
}

static void expect(int pid, uint64_t addr, unsigned n)
{
	uint8_t page[TV_PAGE], want[TV_PAGE];

	for (unsigned i = 0; i < n; i++) {
		memset(want, 0, sizeof(want));
		memcpy(want, &i, sizeof(i));
		assert_int_equal(vm_peek(t.vm, pid, addr + i * TV_PAGE, page,
					 TV_PAGE, NULL), TV_PAGE);
		assert_memory_equal(page, want, TV_PAGE);
	}
}

static void test_zero(void **state)
{
	int pid = vm_proc_create(t.vm, "p");
	uint64_t fault = testvm_stat(&t, "pgfault"), n;

	(void)state;
	/* Frames come with other bytes in them than zero. */
	memset(ram_frame(&t.ram, 600), 0xee, 400 * TV_PAGE);
	testvm_map(&t, pid, TV_BASE, 300, RW, VM_MAP_PRIVATE, NULL, 0);
	n = store(pid, TV_BASE, 300);
	assert_true(n > 250 && n < 300);
	assert_int_equal(testvm_stat(&t, "pgfault") - fault, 300);
	assert_int_equal(testvm_stat(&t, "pgzero"), 300);
	expect(pid, TV_BASE, 300);
	vm_check(t.vm);
}

static void test_copy(void **state)
{
	int pid = vm_proc_create(t.vm, "p"), child;
	uint64_t n;

	(void)state;
	testvm_map(&t, pid, TV_BASE, 100, RW, VM_MAP_PRIVATE, NULL, 0);
	store(pid, TV_BASE, 100);
	child = vm_fork(t.vm, pid, "c");
	/* The first makes the shadow object. */
	assert_int_equal(testvm_store(&t, child, TV_BASE, "\1", 1, NULL), 0);
	n = store(child, TV_BASE + TV_PAGE, 99);
	assert_true(n > 80);
	assert_int_equal(testvm_stat(&t, "pgcow"), 100);
	expect(pid, TV_BASE, 100);
	expect(child, TV_BASE + TV_PAGE, 99);
	vm_check(t.vm);
	vm_exit(t.vm, pid);
	expect(child, TV_BASE + TV_PAGE, 99);
}

/* A private copy of a file's page, in RAM already or yet to be read. */
static void test_private_file(void **state)
{
	int pid = vm_proc_create(t.vm, "p");
	uint8_t b;

	(void)state;
	testvm_map(&t, pid, TV_BASE, 64, RW, VM_MAP_SHARED, "f", 0);
	assert_int_equal(store(pid, TV_BASE, 32), 0);
	testvm_map(&t, pid, TV_BASE + 64 * TV_PAGE, 64, RW, VM_MAP_PRIVATE,
		   "f", 0);
	store(pid, TV_BASE + 64 * TV_PAGE, 64);
	expect(pid, TV_BASE + 64 * TV_PAGE, 64);
	assert_int_equal(vm_sync(t.vm), 0);
	mem_file_peek(t.mem, "f", 33 * TV_PAGE, &b, 1);
	assert_int_equal(b, 0);
	vm_check(t.vm);
}

/* What others can see is for the lock. */
static void test_not_alone(void **state)
{
	int pid = vm_proc_create(t.vm, "p"), child;

	(void)state;
	testvm_map(&t, pid, TV_BASE, 40, RW, VM_MAP_SHARED, NULL, 0);
	assert_int_equal(store(pid, TV_BASE, 40), 0);
	/* Two areas show one object. */
	testvm_map(&t, pid, TV_BASE + 64 * TV_PAGE, 40, RW, VM_MAP_PRIVATE,
		   NULL, 0);
	store(pid, TV_BASE + 64 * TV_PAGE, 1);
	assert_int_equal(vm_mprotect(t.vm, pid, TV_BASE + 84 * TV_PAGE,
				     20 * TV_PAGE, VM_PROT_READ), 0);
	assert_int_equal(store(pid, TV_BASE + 65 * TV_PAGE, 19), 0);
	/* A fork: the object is both's now. Loads find zeros, or the page. */
	child = vm_fork(t.vm, pid, "c");
	assert_int_equal(quick(), 0);
	assert_int_equal(testvm_byte(&t, child, TV_BASE + 64 * TV_PAGE), 0);
	assert_int_equal(testvm_byte(&t, child, TV_BASE + 70 * TV_PAGE), 5);
	assert_int_equal(testvm_byte(&t, child, TV_BASE + 90 * TV_PAGE), 0);
	assert_int_equal(quick(), 0);
	vm_check(t.vm);
}

static void test_in_swap(void **state)
{
	int pid = vm_proc_create(t.vm, "p");

	(void)state;
	testvm_map(&t, pid, TV_BASE, 100, RW, VM_MAP_PRIVATE, NULL, 0);
	store(pid, TV_BASE, 100);
	vm_evict(t.vm, 1024);
	assert_true(testvm_stat(&t, "nr_swap_used") > 90);
	assert_int_equal(store(pid, TV_BASE, 100), 0);
	expect(pid, TV_BASE, 100);
	vm_check(t.vm);
}

/* When frames get scarce, no CPU keeps any to itself. */
static void test_scarce(void **state)
{
	uint32_t low = t.vm->frames.wm_low;
	int pid = vm_proc_create(t.vm, "p");

	(void)state;
	testvm_map(&t, pid, TV_BASE, 2048, RW, VM_MAP_PRIVATE, NULL, 0);
	for (unsigned i = 0; i < 2048; i++) {
		store(pid, TV_BASE + i * TV_PAGE, 1);
		assert_int_equal(testvm_stat(&t, "nr_free_pages"),
				 t.vm->frames.nfree + t.vm->percpu[0].nfree);
		if (t.vm->frames.nfree <= low)
			assert_int_equal(t.vm->percpu[0].nfree, 0);
	}
	assert_true(testvm_stat(&t, "pswpout") > 900);
	vm_check(t.vm);
}

/* ---- the lock itself ---- */

#define SHARERS	3u
#define ROUNDS	20000u

static struct vm vm;
static struct percpu share[SHARERS];
static struct {
	uint64_t n, refused;
} __attribute__((aligned(64))) count[SHARERS];

static void *sharer(void *arg)
{
	unsigned i = (unsigned)(uintptr_t)arg;

	for (unsigned r = 0; r < ROUNDS; r++) {
		if (!percpu_enter(&vm, &share[i])) {
			count[i].refused++;
			vm_lock(&vm);
			count[i].n += 2;
			vm_unlock(&vm);
			continue;
		}
		count[i].n++;
		__asm__ volatile("" ::: "memory");
		count[i].n++;
		percpu_leave(&share[i]);
	}
	return NULL;
}

/* Who has the lock never sees a sharer in the middle. */
static void test_alone(void **state)
{
	pthread_t host[SHARERS];
	uint64_t n, odd = 0;

	(void)state;
	vm.ncpus = SHARERS;
	vm.percpu = share;
	pthread_mutex_init(&vm.lock, NULL);
	for (uintptr_t i = 0; i < SHARERS; i++)
		pthread_create(&host[i], NULL, sharer, (void *)i);
	do {
		n = 0;
		vm_lock(&vm);
		for (unsigned i = 0; i < SHARERS; i++) {
			odd += count[i].n % 2;
			n += count[i].n;
		}
		vm_unlock(&vm);
	} while (n < 2ull * SHARERS * ROUNDS);
	for (unsigned i = 0; i < SHARERS; i++)
		pthread_join(host[i], NULL);
	assert_int_equal(odd, 0);
	pthread_mutex_destroy(&vm.lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_zero, make, unmake),
		cmocka_unit_test_setup_teardown(test_copy, make, unmake),
		cmocka_unit_test_setup_teardown(test_private_file, make,
						unmake),
		cmocka_unit_test_setup_teardown(test_not_alone, make, unmake),
		cmocka_unit_test_setup_teardown(test_in_swap, make, unmake),
		cmocka_unit_test_setup_teardown(test_scarce, make, unmake),
		cmocka_unit_test(test_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
