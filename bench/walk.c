/*
 * walk.c - what a miss costs, in every paging mode, and that no mode costs
 * the hit anything.
 *
 *	hit		random loads over 32 KiB, computed, over plain ones
 *	miss, cached	two pages that take one TLB slot from each other, so
 *			every load misses; their tables are in the first-level
 *			data cache, and the PDE cache knows them
 *	miss, from root	the same with pages so far apart that the PDE cache
 *			does not help either: every level is read
 *	64 MiB		random loads over 64 MiB, most of which miss; less
 *			what plain loads of the same words take
 *	64 MiB, marking	stores, every page's A and D clear at first, so each
 *			page's first miss sets both by an atomic operation
 *
 * Then QEMU's TCG beside the emulated CPU, in turn with it, on the very same
 * random addresses: a guest of our own with four-level paging (tcg_guest.S),
 * each loop less the same loop without the load. As it boots, QEMU's TLB has
 * a few hundred entries, so most of its accesses miss, too. It grows when it
 * is flushed and was full: after some writes of CR3 it holds all 64 MiB. Then
 * with CR3 written before each pass one access of eight misses, and without it
 * none. Ours has 2048 entries and no more, so that hits stay in the cache.
 *
 *	build/bench/walk [repetitions]
 */
#include "bench/lib/measure.h"
#include "bench/lib/tcg.h"
#include "emu/cpu.h"

#define DATA		(16ull << 20)	/* physical address of the data */
#define REGION		(64ull << 20)
#define TABLES		0x10000ull
#define FAR		0x80000000ull	/* linear address of conflicts */
#define NFAR		2
#define BATCH		64
#define STREAM		(1u << 17)
#define PASSES		4		/* tcg_guest.S makes as many */

#define NOINLINE	__attribute__((noinline, noclone))

static struct ram ram;
static struct cpu *cpu;
static enum mmu_mode mode;
static uint64_t next_table, root;
static uint32_t *offset;
static unsigned reps = 11;
static uint64_t sink;

/* ---- page tables ---- */

static uint64_t entry_get(uint64_t where)
{
	if (mode == MMU_32)
		return *(uint32_t *)(ram.base + where);
	return *(uint64_t *)(ram.base + where);
}

static void entry_put(uint64_t where, uint64_t v)
{
	if (mode == MMU_32)
		*(uint32_t *)(ram.base + where) = v;
	else
		*(uint64_t *)(ram.base + where) = v;
}

static unsigned levels(void)
{
	return mode == MMU_32 ? 2 : mode == MMU_PAE ? 3 : mode == MMU_64 ? 4 :
	       5;
}

/* => physical address of the leaf entry; tables are made on the way. */
static uint64_t leaf(uint64_t va)
{
	unsigned bits = mode == MMU_32 ? 10 : 9, level;
	uint64_t table = root, where, flags;

	for (level = levels(); ; level--) {
		where = (va >> (12 + bits * (level - 1))) & ((1u << bits) - 1);
		where = table + where * (mode == MMU_32 ? 4 : 8);
		if (level == 1)
			return where;
		flags = mode == MMU_PAE && level == 3 ? X86_PTE_P :
			X86_PTE_P | X86_PTE_W | X86_PTE_U;
		if (!entry_get(where)) {
			entry_put(where, next_table | flags);
			next_table += 4096;
			if (next_table > DATA)
				die("page tables run into the data", 0);
		}
		table = entry_get(where) & 0xffffffffff000ull;
	}
}

static void map(uint64_t va, uint64_t pa)
{
	entry_put(leaf(va), pa | 7);
}

/* Conflicting pages: the same TLB slot; @apart decides the PDE's too. */
static uint64_t far_page(unsigned i, bool apart)
{
	uint64_t step = 4096ull * TLB_ENTRIES;

	if (apart)	/* the same slot of the PDE cache */
		step = (mode == MMU_32 ? 4ull << 20 : 2ull << 20) *
		       PDE_ENTRIES;
	return FAR + i * (step + 64);
}

static void machine_mode(enum mmu_mode m)
{
	uint64_t off;
	unsigned i;

	mode = m;
	memset(ram.base, 0, DATA);
	root = TABLES;
	next_table = TABLES + 4096;
	for (off = 0; off < REGION; off += 4096)
		map(off, DATA + off);
	for (i = 0; i < NFAR; i++) {
		map(far_page(i, false) & ~4095ull, DATA + i * 4096ull);
		map(far_page(i, true) & ~4095ull, DATA + i * 4096ull);
	}
	cpu_init(cpu, &ram, 0);
	cpu_set_mode(cpu, m);
	if (cpu_mov_cr3(cpu, root))
		die("CR3 refused", 0);
}

/* Clear A and D of all leaves, as pageout would. */
static void unmark(void)
{
	uint64_t off, where;

	for (off = 0; off < REGION; off += 4096) {
		where = leaf(off);
		entry_put(where, entry_get(where) &
			  ~(X86_PTE_A | X86_PTE_D));
	}
	cpu_flush(cpu);
}

/* ---- loops ---- */

#define STEP(x)	((x) * 6364136223846793005ull + 1442695040888963407ull)

static NOINLINE void plain_hits(unsigned passes)
{
	const uint8_t *base = ram.base + DATA;
	uint64_t sum = 0, x = 1;
	unsigned i, pass;

	for (pass = 0; pass < passes; pass++)
		for (i = 0; i < BATCH; i++) {
			x = STEP(x);
			sum += *(const uint64_t *)(base + (x >> 32 & 32760));
		}
	sink += sum;
}

static NOINLINE void emu_hits(unsigned passes)
{
	uint64_t sum = 0, x = 1, v;
	unsigned i, pass;

	for (pass = 0; pass < passes; pass++) {
		for (i = 0; i < BATCH; i++) {
			x = STEP(x);
			if (cpu_load64(cpu, x >> 32 & 32760, &v))
				die("fault", 0);
			sum += v;
		}
		cpu_poll(cpu);
	}
	sink += sum;
}

static NOINLINE void emu_far(unsigned passes, bool apart)
{
	uint64_t va[NFAR], v;
	unsigned i, pass;

	for (i = 0; i < NFAR; i++)
		va[i] = far_page(i, apart);
	for (pass = 0; pass < passes; pass++) {
		for (i = 0; i < NFAR; i++)
			if (cpu_load64(cpu, va[i], &v))
				die("fault", 0);
		cpu_poll(cpu);
	}
}

static NOINLINE void plain_stream(bool store)
{
	uint8_t *base = ram.base + DATA;
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < STREAM; i++)
		if (store)
			*(volatile uint64_t *)(base + offset[i]) = i;
		else
			sum += *(uint64_t *)(base + offset[i]);
	sink += sum;
}

static NOINLINE void emu_stream(bool store)
{
	uint64_t sum = 0, v = 0;
	unsigned i;

	for (i = 0; i < STREAM; i++) {
		if (store ? cpu_store64(cpu, offset[i], i) :
		    cpu_load64(cpu, offset[i], &v))
			die("fault", 0);
		sum += v;
		if (i % BATCH == 0)
			cpu_poll(cpu);
	}
	sink += sum;
}

/* ---- rows ---- */

static double hits_once(void)
{
	double t0, t1, t2;

	t0 = now_ns();
	plain_hits(20000);
	t1 = now_ns();
	emu_hits(20000);
	t2 = now_ns();
	return (t2 - t1) / (t1 - t0);
}

static double far_once(bool apart)
{
	double t = now_ns();

	emu_far(50000, apart);
	return (now_ns() - t) / (50000.0 * NFAR);
}

static double stream_once(bool store)
{
	double t0, t1, t2;

	if (store)
		unmark();
	t0 = now_ns();
	plain_stream(store);
	t1 = now_ns();
	emu_stream(store);
	t2 = now_ns();
	return ((t2 - t1) - (t1 - t0)) / STREAM;
}

static void row(const char *name, enum mmu_mode m)
{
	double hit[REPS_MAX], near[REPS_MAX], far[REPS_MAX];
	double load[REPS_MAX], store[REPS_MAX];
	unsigned i;

	machine_mode(m);
	cpu_enter(cpu);
	for (i = 0; i < reps; i++) {
		hit[i] = hits_once();
		near[i] = far_once(false);
		far[i] = far_once(true);
		load[i] = stream_once(false);
		store[i] = stream_once(true);
	}
	cpu_leave(cpu);
	printf("%-12s %6.2fx %9.1f %9.1f %9.1f %9.1f\n", name,
	       median(hit, reps), median(near, reps), median(far, reps),
	       median(load, reps), median(store, reps));
}

/* ---- QEMU ---- */

static NOINLINE void list_stream(void)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < STREAM; i++)
		sum += *(volatile uint32_t *)(offset + i);
	sink += sum;
}

/* The same that QEMU does: with the load, less without. @flush: with CR3
 * written before each pass. */
static double ours_once(bool flush)
{
	double t0, t1, t2;
	unsigned pass;

	t0 = tcg_clock(CLOCK_THREAD_CPUTIME_ID);
	for (pass = 0; pass < PASSES; pass++)
		list_stream();
	t1 = tcg_clock(CLOCK_THREAD_CPUTIME_ID);
	for (pass = 0; pass < PASSES; pass++) {
		if (flush)
			cpu_mov_cr3(cpu, root);
		emu_stream(false);
	}
	t2 = tcg_clock(CLOCK_THREAD_CPUTIME_ID);
	return ((t2 - t1) - (t1 - t0)) / (PASSES * STREAM);
}

/* @letter: what QEMU is asked for. */
static void tcg_row(struct tcg *q, char letter, bool judge, const char *name)
{
	double ours[REPS_MAX], theirs[REPS_MAX], ratio[REPS_MAX], r;
	unsigned i;

	for (i = 0; i < reps; i++) {
		theirs[i] = tcg_ask(q, letter) - tcg_ask(q, 'N');
		ours[i] = ours_once(letter == 'R');
		ratio[i] = ours[i] / theirs[i];
	}
	r = median(ratio, reps);
	printf("%-36s %9.1f %9.1f %8.2fx %8s\n", name, median(ours, reps),
	       median(theirs, reps), r,
	       !judge ? "" : r <= 1 ? "ok" : "MISSED");
}

static void beside_tcg(const char *self)
{
	const char *slash = strrchr(self, '/');
	char guest[4096];
	struct tcg q;
	unsigned i;

	snprintf(guest, sizeof(guest), "%.*s/tcg_guest",
		 slash ? (int)(slash - self) : 1, slash ? self : ".");
	if (!tcg_start(&q, guest)) {
		printf("\nSKIPPED: no " TCG_QEMU " here to stand beside it "
		       "(make deps-bench)\n");
		return;
	}
	machine_mode(MMU_64);
	cpu_enter(cpu);
	emu_stream(false);
	printf("\n%-36s %9s %9s %9s %8s\n", "64 MiB, four-level, load less "
	       "none", "ours ns", "QEMU ns", "ratio", "<= 1x");
	tcg_ask(&q, 'L');
	tcg_row(&q, 'L', true, "QEMU misses, as we do");
	for (i = 0; i < 16; i++)
		tcg_ask(&q, 'R');
	tcg_row(&q, 'R', false, "its TLB grown, CR3 written each pass");
	tcg_row(&q, 'L', false, "its TLB grown: it never misses");
	cpu_leave(cpu);
	tcg_end(&q);
}

int main(int argc, char **argv)
{
	unsigned i;

	if (argc > 1)
		reps = atoi(argv[1]);
	if (reps < 5 || reps > REPS_MAX)
		die("5 to 101 repetitions", 0);
	cpu = malloc(sizeof(*cpu));
	offset = malloc(STREAM * sizeof(*offset));
	if (!cpu || !offset || ram_create(&ram, DATA + REGION))
		die("no memory", 0);
	memset(ram.base + DATA, 1, REGION);
	for (i = 0; i < STREAM; i++)
		offset[i] = random64() % REGION & ~7u;
	printf("%-12s %7s %9s %9s %9s %9s\n", "paging", "hit", "miss ns",
	       "from root", "64 MiB", "marking");
	printf("%-12s %7s %9s %9s %9s %9s\n", "target", "1.1x", "15", "",
	       "", "");
	row("32-bit", MMU_32);
	row("PAE", MMU_PAE);
	row("four-level", MMU_64);
	row("five-level", MMU_57);
	fflush(stdout);
	beside_tcg(argv[0]);
	return 0;
}
