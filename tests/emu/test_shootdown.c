/*
 * test_shootdown.c - who gets a shootdown, who waits for it, and that after
 * one nobody uses what was taken away.
 *
 * The stress at the end runs guests that load and store while pagers move
 * their pages from frame to frame. A frame left behind is poisoned with plain
 * stores as soon as the shootdown has returned: a guest that reads poison, a
 * frame whose poison is spoilt, a store that got lost, or (under the thread
 * sanitizer) an access not ordered before the poisoning, fails the test.
 */
#include "emu/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "machine.h"

#define VA	0x400000ull

static struct machine machine;
static struct cpu *cpus[CPU_MAX];
static uint64_t other_root;

static int setup(void **state)
{
	unsigned i;

	(void)state;
	machine_init(&machine, true, 512);
	other_root = (uint64_t)machine_frame(&machine) << 12;
	for (i = 0; i < CPU_MAX; i++) {
		cpus[i] = malloc(sizeof(*cpus[i]));
		cpu_init(cpus[i], &machine.ram, i);
		cpu_set_paging(cpus[i], true);
		cpu_set_cr3(cpus[i], machine.root);
	}
	return 0;
}

static int teardown(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < CPU_MAX; i++)
		free(cpus[i]);
	ram_destroy(&machine.ram);
	return 0;
}

/* Have @cpu remember the first @pages pages at VA. */
static void warm(struct cpu *cpu, unsigned pages)
{
	uint8_t v;

	cpu_enter(cpu);
	while (pages--) {
		machine_map(&machine, VA + pages * 4096, 100 + pages, OPEN);
		assert_int_equal(cpu_load8(cpu, VA + pages * 4096, &v), 0);
	}
	cpu_leave(cpu);
}

static unsigned remembered(struct cpu *cpu, unsigned pages)
{
	unsigned n = 0;

	while (pages--)
		n += tlb_lookup(&cpu->tlb, VA + pages * 4096, MMU_READ, 1) !=
			NULL;
	return n;
}

static void test_outside_takes_it_on_entering(void **state)
{
	struct shootdown sd = SHOOTDOWN_INIT;

	(void)state;
	warm(cpus[0], 3);
	shootdown_add(&sd, machine.root, VA + 4096 + 5);
	shootdown_send(&sd, cpus, 1, true);
	assert_int_equal(sd.n, 0);
	assert_int_equal(remembered(cpus[0], 3), 3);
	cpu_enter(cpus[0]);
	assert_int_equal(remembered(cpus[0], 3), 2);
	assert_null(tlb_lookup(&cpus[0]->tlb, VA + 4096, MMU_READ, 1));
	cpu_leave(cpus[0]);
	assert_int_equal(cpus[0]->inbox.posted, 1);
	assert_int_equal(cpus[0]->stats.shootdowns, 1);
}

static void test_poll_takes_it(void **state)
{
	struct shootdown sd;

	(void)state;
	warm(cpus[0], 1);
	cpu_enter(cpus[0]);
	shootdown_init(&sd);
	shootdown_add(&sd, machine.root, VA);
	shootdown_send(&sd, cpus, 1, false);
	assert_int_equal(remembered(cpus[0], 1), 1);
	cpu_poll(cpus[0]);
	assert_int_equal(remembered(cpus[0], 1), 0);
	cpu_leave(cpus[0]);
}

/* Only the low bits of CR3 may differ. */
static void test_only_those_concerned(void **state)
{
	struct shootdown sd = SHOOTDOWN_INIT;

	(void)state;
	cpu_set_cr3(cpus[1], other_root);
	cpu_set_cr3(cpus[2], machine.root | X86_PTE_PCD);
	shootdown_add(&sd, machine.root, VA);
	shootdown_send(&sd, cpus, 3, true);
	assert_int_equal(cpus[0]->inbox.posted, 1);
	assert_int_equal(cpus[1]->inbox.posted, 0);
	assert_int_equal(cpus[2]->inbox.posted, 1);
	shootdown_send(&sd, cpus, 3, true);
	assert_int_equal(cpus[0]->inbox.posted, 1);
}

static void test_whole_space(void **state)
{
	struct shootdown sd = SHOOTDOWN_INIT;

	(void)state;
	warm(cpus[0], 3);
	shootdown_add_all(&sd, machine.root);
	shootdown_add(&sd, machine.root, VA);
	shootdown_add(&sd, other_root, VA);
	assert_int_equal(sd.n, 2);
	shootdown_send(&sd, cpus, 1, true);
	cpu_enter(cpus[0]);
	assert_int_equal(remembered(cpus[0], 3), 0);
	cpu_leave(cpus[0]);
}

static void test_inbox_overflows(void **state)
{
	struct shootdown sd = SHOOTDOWN_INIT;
	unsigned i;

	(void)state;
	warm(cpus[0], 3);
	for (i = 0; i <= CPU_INBOX_MAX; i++) {
		shootdown_add(&sd, machine.root, VA + 4096);
		shootdown_send(&sd, cpus, 1, true);
	}
	cpu_enter(cpus[0]);
	assert_int_equal(remembered(cpus[0], 3), 0);
	cpu_leave(cpus[0]);
	assert_int_equal(cpus[0]->handled, CPU_INBOX_MAX + 1);
}

/* More pages than fit, of two spaces: both whole, a third left alone. */
static void test_collector_overflows(void **state)
{
	struct shootdown sd = SHOOTDOWN_INIT;
	unsigned i;

	(void)state;
	warm(cpus[0], 3);
	cpu_set_cr3(cpus[1], other_root);
	cpu_set_cr3(cpus[2], 0x77000);
	for (i = 0; i < 10 * SHOOTDOWN_MAX; i++)
		shootdown_add(&sd, i % 2 ? machine.root : other_root,
			      i * 4096ull);
	assert_int_equal(sd.n, 2);
	shootdown_add(&sd, 0x88000, VA);
	shootdown_add_all(&sd, 0x99000);
	assert_int_equal(sd.n, 4);
	assert_int_equal(sd.nwhole, 3);
	shootdown_send(&sd, cpus, 3, true);
	assert_true(cpus[0]->inbox.all && cpus[1]->inbox.all);
	assert_int_equal(cpus[2]->inbox.posted, 0);
}

/*
 * A CPU that sets PCIDE and changes CR3 between the sender's looks at the two.
 * Between them, because the first look at CR3 faults: its page is shut. If the
 * sender had by then read what the CPU keeps, it would see that nothing is
 * kept, and then another CR3, and pass by.
 */
static struct {
	uint8_t *page;			/* the one before cpu->inside */
	struct cpu *cpu;
	bool switched;
} shut;

static void on_shut(int sig)
{
	(void)sig;
	mprotect(shut.page, 4096, PROT_READ | PROT_WRITE);
	cpu_mov_cr4(shut.cpu, shut.cpu->regs.cr4 | X86_CR4_PCIDE);
	cpu_mov_cr3(shut.cpu, other_root | 1 | X86_CR3_NOFLUSH);
	shut.switched = true;
}

static void test_switch_under_the_sender(void **state)
{
	const size_t size = (sizeof(struct cpu) / 4096 + 2) * 4096;
	const size_t before = offsetof(struct cpu, inside) & ~63ull;
	struct sigaction sa = { .sa_handler = on_shut }, old;
	struct shootdown sd = SHOOTDOWN_INIT;
	uint8_t *at;

	(void)state;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(at != MAP_FAILED);
	shut.page = at + before / 4096 * 4096;
	shut.cpu = (struct cpu *)(shut.page + 4096 - before);
	assert_true(offsetof(struct cpu, regs.cr3) + 8 <= before);
	cpu_init(shut.cpu, &machine.ram, 0);
	cpu_set_paging(shut.cpu, true);
	cpu_set_cr3(shut.cpu, machine.root);
	shootdown_add(&sd, machine.root, VA);
	sigaction(SIGSEGV, &sa, &old);
	mprotect(shut.page, 4096, PROT_NONE);
	shootdown_send(&sd, &shut.cpu, 1, false);
	sigaction(SIGSEGV, &old, NULL);
	assert_true(shut.switched);
	assert_int_equal(shut.cpu->inbox.posted, 1);
	munmap(at, size);
}

static void test_everything(void **state)
{
	struct shootdown sd = SHOOTDOWN_INIT;
	uint64_t i;

	(void)state;
	cpu_set_cr3(cpus[1], other_root);
	for (i = 0; i < 3 * SHOOTDOWN_MAX; i++)
		if (i & 1)
			shootdown_add(&sd, (1000 + i) << 12, VA);
		else
			shootdown_add_all(&sd, (1000 + i) << 12);
	assert_true(sd.everything);
	shootdown_send(&sd, cpus, 2, true);
	assert_false(sd.everything);
	assert_true(cpus[0]->inbox.all && cpus[1]->inbox.all);
}

/* Threads: guests run until told to stop; errors are counted, not thrown. */

#define GUESTS		3
#define PAGERS		2
#define PAGES		16	/* at VA, in both spaces */
#define FRAMES		40	/* from FIRST on */
#define FIRST		200
#define POISON		0xdeadbeefdeadbeefull
#define STRESS_MS	700

static bool stop;
static unsigned errors;

static void complain(void)
{
	__atomic_add_fetch(&errors, 1, __ATOMIC_RELAXED);
}

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}

static uint32_t next_random(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

/* What a fault handler would do: out, give way, in again. */
static void settle(struct cpu *cpu)
{
	cpu_leave(cpu);
	sched_yield();
	cpu_enter(cpu);
}

struct guest {
	struct cpu *cpu;
	uint64_t last[PAGES];	/* what it stored there last */
	uint64_t accesses;
};

/* Every store is found again by the load that follows, wherever it went. */
static void guest_step(struct guest *g, uint32_t r)
{
	unsigned page = r % PAGES;
	uint64_t va = VA + page * 4096ull + g->cpu->id * 8, v = 0;

	if (r & 0x10000) {
		while (cpu_store64(g->cpu, va, g->last[page] + 1))
			settle(g->cpu);
		g->last[page]++;
	}
	while (cpu_load64(g->cpu, va, &v))
		settle(g->cpu);
	if (v != g->last[page])
		complain();
	while (cpu_load64(g->cpu, va + 2048, &v))
		settle(g->cpu);
	if (v == POISON)
		complain();
	g->accesses += 3;
}

static void *guest_run(void *arg)
{
	struct guest *g = arg;
	uint32_t x = 77 + g->cpu->id, r;

	cpu_enter(g->cpu);
	while (!stopped()) {
		r = next_random(&x);
		guest_step(g, r);
		if (r % 16 == 1)
			cpu_poll(g->cpu);
		if (r % 256 == 2)
			settle(g->cpu);
		if (r % 512 == 3)
			cpu_set_cr3(g->cpu, r & 0x20000 ? machine.root :
				    other_root);
	}
	cpu_leave(g->cpu);
	return NULL;
}

/* Moves the pages whose number is its own modulo PAGERS. */
struct pager {
	unsigned id;
	uint32_t free[FRAMES];
	unsigned nfree;
	uint64_t moves;
};

static void poison_check(uint32_t pfn)
{
	const uint64_t *word = ram_frame(&machine.ram, pfn);
	unsigned i;

	for (i = 0; i < 512; i++)
		if (word[i] != POISON)
			complain();
}

static void poison_fill(uint32_t pfn)
{
	uint64_t *word = ram_frame(&machine.ram, pfn);
	unsigned i;

	for (i = 0; i < 512; i++)
		word[i] = POISON;
}

static uint64_t set_both(unsigned page, uint64_t entry)
{
	uint64_t va = VA + page * 4096ull, old;

	old = machine_put(&machine, machine_slot(&machine, va, 0), entry);
	return old | machine_put(&machine, machine_slot_in(&machine,
				 other_root, va, 0), entry);
}

/* A frame that was stored to since it was mapped has D in its entry. */
static void check_dirty(uint32_t pfn, uint64_t entry, const void *then)
{
	bool changed = memcmp(ram_frame(&machine.ram, pfn), then, 4096) != 0;

	if (changed && !(entry & X86_PTE_D))
		complain();
}

static void pager_move(struct pager *p, unsigned page, uint8_t *then,
		       uint32_t r)
{
	struct shootdown sd = SHOOTDOWN_INIT;
	uint32_t old, new = p->free[r % p->nfree];
	uint64_t entry = set_both(page, 0);

	old = (entry & X86_PTE64_ADDR) >> 12;
	if (r & 0x100)
		shootdown_add_all(&sd, machine.root);
	else
		shootdown_add(&sd, machine.root, VA + page * 4096ull);
	shootdown_add(&sd, other_root, VA + page * 4096ull);
	shootdown_send(&sd, cpus, GUESTS, true);

	check_dirty(old, entry, then);
	poison_check(new);
	memcpy(then, ram_frame(&machine.ram, old), 4096);
	memcpy(ram_frame(&machine.ram, new), then, 4096);
	poison_fill(old);
	p->free[r % p->nfree] = old;
	set_both(page, (uint64_t)new << 12 | OPEN);
	p->moves++;
}

static void *pager_run(void *arg)
{
	struct pager *p = arg;
	static const struct timespec nap = { .tv_nsec = 20000 };
	static uint8_t then[PAGES][4096];
	uint32_t x = 5 + p->id, r;
	unsigned page;

	while (!stopped()) {
		r = next_random(&x);
		page = r / 4096 % (PAGES / PAGERS) * PAGERS + p->id;
		pager_move(p, page, then[page], r);
		/* Let the guests get going, to be caught inside. */
		if (r % 4 == 0)
			nanosleep(&nap, NULL);
	}
	return NULL;
}

static void stress_prepare(struct guest *guests, struct pager *pagers)
{
	unsigned i;

	for (i = 0; i < PAGES; i++)
		set_both(i, (uint64_t)(FIRST + i) << 12 | OPEN);
	for (i = PAGES; i < FRAMES; i++) {
		struct pager *p = &pagers[i % PAGERS];

		poison_fill(FIRST + i);
		p->free[p->nfree++] = FIRST + i;
	}
	for (i = 0; i < PAGERS; i++)
		pagers[i].id = i;
	for (i = 0; i < GUESTS; i++)
		guests[i].cpu = cpus[i];
}

static void stop_after(unsigned ms, pthread_t *threads, unsigned n)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000l };

	nanosleep(&t, NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	while (n--)
		pthread_join(threads[n], NULL);
}

static void test_stress(void **state)
{
	struct guest guests[GUESTS] = { 0 };
	struct pager pagers[PAGERS] = { 0 };
	pthread_t threads[GUESTS + PAGERS];
	unsigned i, n = 0;

	(void)state;
	stop = false;
	errors = 0;
	stress_prepare(guests, pagers);
	for (i = 0; i < GUESTS; i++)
		pthread_create(&threads[n++], NULL, guest_run, &guests[i]);
	for (i = 0; i < PAGERS; i++)
		pthread_create(&threads[n++], NULL, pager_run, &pagers[i]);
	stop_after(STRESS_MS, threads, n);
	assert_int_equal(errors, 0);
	for (i = 0; i < PAGERS; i++)
		assert_true(pagers[i].moves > 10);
	for (i = 0; i < GUESTS; i++)
		assert_true(guests[i].accesses > 100);
	print_message("moves %llu + %llu, accesses %llu\n",
		      (unsigned long long)pagers[0].moves,
		      (unsigned long long)pagers[1].moves,
		      (unsigned long long)guests[0].accesses);
}

/* As many CPUs as there can be, on what processors there are. */
#define CROWD_SENDS	5

static void *crowd_run(void *arg)
{
	struct cpu *cpu = arg;
	uint64_t v;
	unsigned i;

	cpu_enter(cpu);
	while (!stopped()) {
		for (i = 0; i < 64; i++)
			if (cpu_load64(cpu, VA, &v))
				settle(cpu);
		cpu_poll(cpu);
	}
	cpu_leave(cpu);
	return NULL;
}

static void test_crowd(void **state)
{
	pthread_t threads[CPU_MAX];
	struct shootdown sd = SHOOTDOWN_INIT;
	uint64_t start;
	unsigned i;

	(void)state;
	stop = false;
	machine_map(&machine, VA, FIRST, OPEN);
	for (i = 0; i < CPU_MAX; i++)
		pthread_create(&threads[i], NULL, crowd_run, cpus[i]);
	start = now_ms();
	for (i = 0; i < CROWD_SENDS && now_ms() - start < 2000; i++) {
		machine_map(&machine, VA, FIRST + i % 2, OPEN);
		shootdown_add(&sd, machine.root, VA);
		shootdown_send(&sd, cpus, CPU_MAX, true);
	}
	print_message("%u sends to %u busy CPUs: %llu ms\n", i, CPU_MAX,
		      (unsigned long long)(now_ms() - start));
	stop_after(0, threads, CPU_MAX);
	assert_true(i > 0);
	for (i = 0; i < CPU_MAX; i++)
		assert_true(cpus[i]->inbox.posted > 0);
}

#define FRESH(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_outside_takes_it_on_entering),
		FRESH(test_poll_takes_it),
		FRESH(test_only_those_concerned),
		FRESH(test_whole_space),
		FRESH(test_inbox_overflows),
		FRESH(test_collector_overflows),
		FRESH(test_switch_under_the_sender),
		FRESH(test_everything),
		FRESH(test_stress),
		FRESH(test_crowd),
	};

	return cmocka_run_group_tests_name("shootdown", tests, NULL, NULL);
}
