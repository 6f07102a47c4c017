/*
 * tlb.c - what an access through the TLB costs over a plain load.
 *
 * Both sides read the same words of the same memory in the same order: one by
 * a pointer, the other by cpu_load64() with a cpu_poll() every 64 accesses. A
 * repetition times one and then the other; the table shows medians of the
 * times, and of the ratios or differences taken repetition by repetition, so
 * that a machine that changes its speed in between does not matter.
 *
 * Where the addresses come from decides the ratio. "Computed" means one
 * multiply and add for each (a linear congruential generator): the few
 * instructions of a hit run in its shadow, as they would beside any program
 * that computes. "Listed" means read from an array made beforehand, and
 * nothing else in the loop: a race of five instructions against fourteen,
 * the worst that can be shown. The targets are for the former.
 *
 *	build/bench/tlb [repetitions]
 */
#include "bench/lib/measure.h"
#include "emu/cpu.h"

#include <pthread.h>

#define BASE		0ull		/* linear address of the data */
#define DATA		0x800000ull	/* physical address of it */
#define REGION		(64ull << 20)	/* bytes mapped */
#define BATCH		64		/* accesses between polls */
#define CONFLICTS	4		/* pages that share one TLB slot */

#define NOINLINE	__attribute__((noinline, noclone))

static struct ram ram;
static struct cpu *cpu[2];
static uint64_t span;		/* bytes read at random; a power of two */
static uint32_t *offsets;	/* multiples of BATCH of them */
static unsigned noffsets;
static unsigned reps = 11;
static uint64_t sink;		/* keeps the compiler honest */

struct sample {
	double plain[REPS_MAX], emu[REPS_MAX], what[REPS_MAX];
};

/* The machine: tables grow from frame 1, data begins at DATA. */

static uint64_t next_table = 2 * 4096;

static void map(uint64_t va, uint64_t pa)
{
	uint64_t table = 4096, *entry;
	int shift;

	for (shift = 39; ; shift -= 9) {
		entry = (uint64_t *)(ram.base + table) + ((va >> shift) & 511);
		if (shift == 12)
			break;
		if (!*entry) {
			*entry = next_table | 7;
			next_table += 4096;
		}
		table = *entry & X86_PTE64_ADDR;
	}
	*entry = pa | 7;
	if (next_table > DATA)
		die("page tables run into the data", 0);
}

static void machine_make(void)
{
	uint64_t off;
	unsigned i;

	if (ram_create(&ram, DATA + REGION))
		die("no memory", 0);
	for (off = 0; off < REGION; off += 4096)
		map(BASE + off, DATA + off);
	memset(ram.base + DATA, 1, REGION);
	for (i = 0; i < CONFLICTS; i++)
		map((1ull << 40) + i * 4096ull * TLB_ENTRIES,
		    DATA + i * 4096ull);
	for (i = 0; i < 2; i++) {
		cpu[i] = malloc(sizeof(*cpu[i]));
		if (!cpu[i])
			die("no memory", 0);
		cpu_init(cpu[i], &ram, i);
		cpu_set_paging(cpu[i], true);
		cpu_set_cr3(cpu[i], 4096);
	}
}

static void offsets_make(uint64_t bytes, unsigned n)
{
	unsigned i;

	span = bytes;
	free(offsets);
	offsets = malloc(n * sizeof(*offsets));
	if (!offsets)
		die("no memory", 0);
	noffsets = n;
	for (i = 0; i < n; i++)
		offsets[i] = random64() % bytes & ~7u;
}

/* One cycle through every line of @bytes, in random order. */
static void chain_make(uint64_t bytes)
{
	unsigned n = bytes / 64, i, j;
	uint32_t *order = malloc(n * sizeof(*order)), t;

	if (!order)
		die("no memory", 0);
	for (i = 0; i < n; i++)
		order[i] = i;
	for (i = n - 1; i > 0; i--) {
		j = random64() % (i + 1);
		t = order[i];
		order[i] = order[j];
		order[j] = t;
	}
	for (i = 0; i < n; i++)
		*(uint64_t *)(ram.base + DATA + order[i] * 64ull) =
			order[(i + 1) % n] * 64ull;
	free(order);
}

/* The loops. => accesses made. */

/* The upper half is the random one. */
#define STEP(x)	((x) * 6364136223846793005ull + 1442695040888963407ull)

static NOINLINE uint64_t plain_computed(unsigned passes)
{
	const uint8_t *base = ram.base + DATA;
	uint64_t sum = 0, x = 1, mask = span - 8;
	unsigned i, pass;

	for (pass = 0; pass < passes; pass++)
		for (i = 0; i < BATCH; i++) {
			x = STEP(x);
			sum += *(const uint64_t *)(base + (x >> 32 & mask));
		}
	__atomic_fetch_add(&sink, sum, __ATOMIC_RELAXED);
	return (uint64_t)passes * BATCH;
}

static NOINLINE uint64_t emu_computed(struct cpu *c, unsigned passes)
{
	uint64_t sum = 0, x = 1, mask = span - 8, v;
	unsigned i, pass;

	for (pass = 0; pass < passes; pass++) {
		for (i = 0; i < BATCH; i++) {
			x = STEP(x);
			if (cpu_load64(c, BASE + (x >> 32 & mask), &v))
				die("fault", 0);
			sum += v;
		}
		cpu_poll(c);
	}
	__atomic_fetch_add(&sink, sum, __ATOMIC_RELAXED);
	return (uint64_t)passes * BATCH;
}

static NOINLINE uint64_t plain_listed(unsigned passes)
{
	const uint8_t *base = ram.base + DATA;
	const uint32_t *at = offsets;
	unsigned n = noffsets;
	uint64_t sum = 0;
	unsigned i, j, pass;

	for (pass = 0; pass < passes; pass++)
		for (i = 0; i < n; i += BATCH)
			for (j = i; j < i + BATCH; j++)
				sum += *(const uint64_t *)(base + at[j]);
	__atomic_fetch_add(&sink, sum, __ATOMIC_RELAXED);
	return (uint64_t)passes * n;
}

static NOINLINE uint64_t emu_listed(struct cpu *c, unsigned passes)
{
	const uint32_t *at = offsets;
	unsigned n = noffsets;
	uint64_t sum = 0, v;
	unsigned i, j, pass;

	for (pass = 0; pass < passes; pass++)
		for (i = 0; i < n; i += BATCH) {
			for (j = i; j < i + BATCH; j++) {
				if (cpu_load64(c, BASE + at[j], &v))
					die("fault", 0);
				sum += v;
			}
			cpu_poll(c);
		}
	__atomic_fetch_add(&sink, sum, __ATOMIC_RELAXED);
	return (uint64_t)passes * n;
}

static NOINLINE int call_load64(struct cpu *c, uint64_t va, uint64_t *v)
{
	return cpu_load64(c, va, v);
}

static NOINLINE uint64_t emu_call(struct cpu *c, unsigned passes)
{
	const uint32_t *at = offsets;
	unsigned n = noffsets;
	uint64_t sum = 0, v;
	unsigned i, j, pass;

	for (pass = 0; pass < passes; pass++)
		for (i = 0; i < n; i += BATCH) {
			for (j = i; j < i + BATCH; j++) {
				if (call_load64(c, BASE + at[j], &v))
					die("fault", 0);
				sum += v;
			}
			cpu_poll(c);
		}
	__atomic_fetch_add(&sink, sum, __ATOMIC_RELAXED);
	return (uint64_t)passes * n;
}

static NOINLINE uint64_t plain_chain(unsigned passes)
{
	const uint8_t *base = ram.base + DATA;
	uint64_t off = 0;
	unsigned i, j;

	for (i = 0; i < passes; i++)
		for (j = 0; j < BATCH; j++)
			off = *(const uint64_t *)(base + off);
	__atomic_fetch_add(&sink, off, __ATOMIC_RELAXED);
	return (uint64_t)passes * BATCH;
}

static NOINLINE uint64_t emu_chain(struct cpu *c, unsigned passes)
{
	uint64_t off = 0;
	unsigned i, j;

	for (i = 0; i < passes; i++) {
		for (j = 0; j < BATCH; j++)
			if (cpu_load64(c, BASE + off, &off))
				die("fault", 0);
		cpu_poll(c);
	}
	__atomic_fetch_add(&sink, off, __ATOMIC_RELAXED);
	return (uint64_t)passes * BATCH;
}

/*
 * Every access misses: the pages take the slot from one another. Few of them,
 * for their entries share one set of the real cache as well.
 */
static NOINLINE uint64_t emu_conflict(struct cpu *c, unsigned passes)
{
	uint64_t v;
	unsigned i, pass;

	for (pass = 0; pass < passes; pass++) {
		for (i = 0; i < CONFLICTS; i++)
			if (cpu_load64(c, (1ull << 40) +
				       i * (4096ull * TLB_ENTRIES + 64), &v))
				die("fault", 0);
		cpu_poll(c);
	}
	return (uint64_t)passes * CONFLICTS;
}

/* Timing: ns for one access. */

static double time_plain(uint64_t (*loop)(unsigned), unsigned passes)
{
	double start = now_ns();
	uint64_t n = loop(passes);

	return (now_ns() - start) / n;
}

static double time_emu(uint64_t (*loop)(struct cpu *, unsigned),
		       unsigned passes)
{
	double start;
	uint64_t n;

	cpu_enter(cpu[0]);
	start = now_ns();
	n = loop(cpu[0], passes);
	start = now_ns() - start;
	cpu_leave(cpu[0]);
	return start / n;
}

enum measure { RATIO, DIFFERENCE };

static void print_row(const char *name, struct sample *s, enum measure how,
		      double target)
{
	double what = median(s->what, reps);

	printf("%-36s %8.2f %8.2f   %s%.2f%-3s  ", name,
	       median(s->plain, reps), median(s->emu, reps),
	       how == RATIO ? "" : "+", what, how == RATIO ? "x" : " ns");
	if (!target)
		printf("\n");
	else
		printf("%s%.1f%-3s %s\n", how == RATIO ? "" : "+", target,
		       how == RATIO ? "x" : " ns",
		       what <= target ? "ok" : "MISSED");
}

static void versus(const char *name, uint64_t (*plain)(unsigned),
		   uint64_t (*emu)(struct cpu *, unsigned), unsigned passes,
		   enum measure how, double target)
{
	struct sample s;
	unsigned i;

	time_plain(plain, passes);
	time_emu(emu, passes);
	for (i = 0; i < reps; i++) {
		s.plain[i] = time_plain(plain, passes);
		s.emu[i] = time_emu(emu, passes);
		s.what[i] = how == RATIO ? s.emu[i] / s.plain[i] :
			    s.emu[i] - s.plain[i];
	}
	print_row(name, &s, how, target);
}

/* Two CPUs at once. */

static pthread_barrier_t barrier;

static void *two_run(void *arg)
{
	struct cpu *c = arg;

	cpu_enter(c);
	emu_listed(c, 1);
	pthread_barrier_wait(&barrier);
	emu_listed(c, 4000);
	cpu_leave(c);
	return NULL;
}

/* => ns from when all have begun to when all are done */
static double time_threads(unsigned n)
{
	pthread_t thread[2];
	double start;
	unsigned i;

	pthread_barrier_init(&barrier, NULL, n + 1);
	for (i = 0; i < n; i++)
		if (pthread_create(&thread[i], NULL, two_run, cpu[i]))
			die("no thread", 0);
	pthread_barrier_wait(&barrier);
	start = now_ns();
	for (i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	start = now_ns() - start;
	pthread_barrier_destroy(&barrier);
	return start;
}

static void two_cpus(void)
{
	double one, both, what[REPS_MAX];
	unsigned i;

	for (i = 0; i < reps; i++) {
		one = time_threads(1);
		both = time_threads(2);
		what[i] = 2 * one / both;
	}
	printf("%-36s %8s %8s   %.2fx     2.0x\n",
	       "two CPUs, throughput over one", "", "", median(what, reps));
}

/* Costs that have no plain side. */

static void print_cost(const char *name, double *ns)
{
	printf("%-36s %8s %8.2f\n", name, "", median(ns, reps));
}

static void walks(void)
{
	double near[REPS_MAX];
	unsigned i;

	for (i = 0; i < reps; i++)
		near[i] = time_emu(emu_conflict, 32000);
	print_cost("miss and walk, tables in cache", near);
	offsets_make(REGION, 1u << 16);
	versus("random over 64 MiB, mostly misses", plain_listed, emu_listed,
	       2, DIFFERENCE, 0);
}

/* A CR3 switch by itself, after @pages pages were used. */
static double time_switch(unsigned pages)
{
	double spent = 0, start;
	unsigned round, i;
	uint64_t v;

	cpu_enter(cpu[0]);
	for (round = 0; round < 1000; round++) {
		for (i = 0; i < pages; i++)
			if (cpu_load64(cpu[0], BASE + i * 4096ull, &v))
				die("fault", 0);
		start = now_ns();
		cpu_set_cr3(cpu[0], 4096);
		spent += now_ns() - start;
	}
	cpu_leave(cpu[0]);
	return spent / round;
}

static double time_enter(void)
{
	double start = now_ns();
	unsigned i;

	for (i = 0; i < 1000000; i++) {
		cpu_enter(cpu[0]);
		cpu_leave(cpu[0]);
	}
	return (now_ns() - start) / i;
}

/* One page, to two CPUs that are outside; one of them enters and drains. */
static double time_shootdown(void)
{
	struct shootdown sd = SHOOTDOWN_INIT;
	double start = now_ns();
	unsigned i;

	for (i = 0; i < 100000; i++) {
		shootdown_add(&sd, 4096, BASE);
		shootdown_send(&sd, cpu, 2, true);
		cpu_enter(cpu[0]);
		cpu_leave(cpu[0]);
	}
	return (now_ns() - start) / i;
}

static void costs(void)
{
	double few[REPS_MAX], many[REPS_MAX], enter[REPS_MAX];
	double shoot[REPS_MAX];
	unsigned i;

	for (i = 0; i < reps; i++) {
		few[i] = time_switch(8);
		many[i] = time_switch(1024);
		enter[i] = time_enter();
		shoot[i] = time_shootdown();
	}
	print_cost("CR3 switch after 8 pages (+clock)", few);
	print_cost("CR3 switch after 1024 pages", many);
	print_cost("enter and leave", enter);
	print_cost("shootdown to two CPUs, and drain", shoot);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		reps = atoi(argv[1]);
	if (reps < 5 || reps > REPS_MAX)
		die("5 to 101 repetitions", 0);
	machine_make();
	printf("%-36s %8s %8s   %-9s %s\n", "TLB hit", "plain ns", "emu ns",
	       "median", "target");
	offsets_make(32 << 10, 1u << 14);
	versus("random over 32 KiB, computed", plain_computed, emu_computed,
	       300000, RATIO, 1.1);
	versus("random over 32 KiB, listed", plain_listed, emu_listed, 1500,
	       RATIO, 0);
	versus("through a call, listed", plain_listed, emu_call, 1500,
	       DIFFERENCE, 2.5);
	two_cpus();
	offsets_make(4 << 20, 1u << 18);
	versus("random over 4 MiB, computed", plain_computed, emu_computed,
	       100000, RATIO, 1.6);
	versus("random over 4 MiB, listed", plain_listed, emu_listed, 30,
	       RATIO, 0);
	chain_make(32 << 10);
	versus("dependent chain over 32 KiB", plain_chain, emu_chain, 200000,
	       DIFFERENCE, 3.0);
	walks();
	costs();
	return 0;
}
