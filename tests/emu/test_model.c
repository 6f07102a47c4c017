/*
 * test_model.c - modelled TLBs: that what may be used is used, by the
 * counters; that sizes, ways and presets are what they say; the cost; and the
 * stale-TLB detector.
 */
#include "emu/cpu.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "emu/model.h"
#include "emu/stale.h"
#include "machine.h"

#define VA	0x400000ull
#define G	X86_PTE_G
#define ROUNDS	20000u		/* of changes beside a running CPU */

struct fixture {
	struct machine m;
	struct cpu *cpu;
	struct model *model;
	uint64_t other;		/* a second root */
	struct stale *stale;
	struct stale_report last;
};

static void use_preset(struct fixture *f, const struct model_preset *p)
{
	model_destroy(f->model);
	f->model = model_create(p, 0);
	cpu_set_model(f->cpu, f->model);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->cpu = malloc(sizeof(*f->cpu));
	machine_init(&f->m, true, 4096);
	f->other = (uint64_t)machine_frame(&f->m) << 12;
	cpu_init(f->cpu, &f->m.ram, 0);
	cpu_set_mode(f->cpu, MMU_64);
	cpu_enter(f->cpu);
	cpu_mov_cr3(f->cpu, f->m.root);
	use_preset(f, model_preset("skylake"));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	cpu_leave(f->cpu);
	model_destroy(f->model);
	stale_destroy(f->stale);
	ram_destroy(&f->m.ram);
	free(f->cpu);
	free(f);
	return 0;
}

static const struct model_stats *st(struct fixture *f)
{
	return &f->model->stats;
}

static uint64_t touch(struct fixture *f, uint64_t va)
{
	struct mmu_outcome out;

	cpu_access(f->cpu, va, 1, MMU_READ, 0, &out);
	assert_int_equal(out.kind, MMU_OK);
	return out.pa;
}

static bool walks(struct fixture *f, uint64_t va)
{
	uint64_t before = st(f)->walks;

	touch(f, va);
	return st(f)->walks != before;
}

static void cr4(struct fixture *f, uint64_t set, uint64_t clear)
{
	assert_int_equal(cpu_mov_cr4(f->cpu,
				     (f->cpu->regs.cr4 | set) & ~clear), 0);
}

static void map_in(struct fixture *f, uint64_t root, uint64_t va,
		   uint64_t pfn, uint64_t flags)
{
	machine_put(&f->m, machine_slot_in(&f->m, root, va, 0),
		    pfn << 12 | flags);
}

/* ---- what may be used is used ---- */

static void test_hits(void **state)
{
	struct fixture *f = *state;

	machine_map(&f->m, VA, 50, OPEN);
	machine_map(&f->m, VA + 4096, 51, OPEN);
	assert_true(walks(f, VA));
	assert_int_equal(st(f)->entries, 4);
	assert_int_equal(st(f)->marks, 4);
	assert_false(walks(f, VA + 8));
	assert_int_equal(st(f)->l1_hits, 1);
	/* The neighbour by the PDE cache: one entry. */
	assert_true(walks(f, VA + 4096));
	assert_int_equal(st(f)->psc_hits[2], 1);
	assert_int_equal(st(f)->entries, 5);
	/* INVLPG of one leaves the other. */
	cpu_invlpg(f->cpu, VA);
	assert_false(walks(f, VA + 4096));
	assert_true(walks(f, VA));
	assert_int_equal(st(f)->entries, 9);
	assert_int_equal(st(f)->accesses, 6 - 1);
	assert_int_equal(st(f)->misses, 3);
}

/* What an access of @len bytes that faults adds to the counters. */
static struct model_stats fault(struct fixture *f, uint64_t va, unsigned len)
{
	const struct model_stats was = *st(f);
	struct model_stats now;
	struct mmu_outcome out;

	cpu_access(f->cpu, va, len, MMU_READ, 0, &out);
	assert_int_not_equal(out.kind, MMU_OK);
	now = *st(f);
	assert_int_equal(now.faults, f->cpu->stats.faults);
	assert_int_equal(now.accesses, now.l1_hits + now.l2_hits +
			 now.rewalks + now.misses);
	now.faults -= was.faults;
	now.accesses -= was.accesses;
	now.walks -= was.walks;
	now.entries -= was.entries;
	return now;
}

#define COUNTED(d, naccesses, nwalks, nentries)				\
	do {								\
		struct model_stats d_ = d;				\
									\
		assert_int_equal(d_.faults, 1);				\
		assert_int_equal(d_.accesses, naccesses);		\
		assert_int_equal(d_.walks, nwalks);			\
		assert_int_equal(d_.entries, nentries);			\
	} while (0)

/* A walk has read what it has read, though it ends in a fault. */
static void test_faults_are_counted(void **state)
{
	const uint64_t end = VA + 4096, far = 1ull << 40, hole = 1ull << 47;
	struct fixture *f = *state;

	machine_map(&f->m, VA, 50, OPEN);
	COUNTED(fault(f, far, 1), 1, 1, 1);
	COUNTED(fault(f, end, 1), 1, 1, 4);
	/* From the PDE cache, and then again from the root. */
	touch(f, VA);
	COUNTED(fault(f, end, 1), 1, 2, 1 + 4);
	/* Two pages, and the first is refused; or the second. */
	COUNTED(fault(f, end + 4096 - 4, 8), 1, 1, 4);
	COUNTED(fault(f, end - 4, 8), 1, 1, 4);
	/* No pages. */
	COUNTED(fault(f, hole, 1), 0, 0, 0);
	COUNTED(fault(f, hole - 4, 8), 0, 0, 0);
	COUNTED(fault(f, hole + 4096 - 4, 8), 0, 0, 0);
}

/* Nothing is walked without paging. */
static void test_no_paging(void **state)
{
	struct fixture *f = *state;

	cpu_set_mode(f->cpu, MMU_OFF);
	assert_false(walks(f, 5 << 12));
	assert_int_equal(st(f)->accesses, 1);
	assert_int_equal(st(f)->entries, 0);
}

/* Rights are kept, not decisions: CPL, AC, WP, keys cost no walk. */
static void test_rights_are_kept(void **state)
{
	struct fixture *f = *state;
	struct mmu_outcome out;

	machine_map(&f->m, VA, 50, OPEN | (uint64_t)3 << X86_PTE_PK_SHIFT);
	cr4(f, X86_CR4_SMAP | X86_CR4_SMEP | X86_CR4_PKE, 0);
	touch(f, VA);
	cpu_set_cpl(f->cpu, 0);
	cpu_set_ac(f->cpu, true);
	cpu_mov_cr0(f->cpu, f->cpu->regs.cr0 & ~X86_CR0_WP);
	assert_false(walks(f, VA));
	cpu_set_ac(f->cpu, false);
	cpu_access(f->cpu, VA, 1, MMU_READ, 0, &out);
	assert_int_equal(out.kind, MMU_PF);
	cpu_set_cpl(f->cpu, 3);
	touch(f, VA);
	cpu_wrpkru(f->cpu, X86_PK_AD(3));
	cpu_access(f->cpu, VA, 1, MMU_READ, 0, &out);
	assert_int_equal(out.error, X86_PF_P | X86_PF_U | X86_PF_PK);
}

static void test_global(void **state)
{
	struct fixture *f = *state;

	machine_map(&f->m, VA, 50, OPEN | G);
	machine_map(&f->m, VA + 4096, 51, OPEN);
	map_in(f, f->other, VA, 52, OPEN);
	touch(f, VA);
	cpu_mov_cr3(f->cpu, f->m.root);
	assert_true(walks(f, VA));		/* G means nothing yet */
	cr4(f, X86_CR4_PGE, 0);
	touch(f, VA);
	touch(f, VA + 4096);
	cpu_mov_cr3(f->cpu, f->other);
	assert_int_equal(touch(f, VA), 50 << 12);
	cpu_mov_cr3(f->cpu, f->m.root);
	assert_false(walks(f, VA));
	assert_true(walks(f, VA + 4096));
	cpu_invlpg(f->cpu, VA);
	assert_true(walks(f, VA));
	cr4(f, 0, X86_CR4_PGE);
	assert_true(walks(f, VA));
}

static void test_pcid(void **state)
{
	struct fixture *f = *state;
	const uint64_t keep = X86_CR3_NOFLUSH;

	machine_map(&f->m, VA, 50, OPEN);
	map_in(f, f->other, VA, 51, OPEN);
	cr4(f, X86_CR4_PCIDE, 0);
	cpu_mov_cr3(f->cpu, f->m.root | 1);
	assert_int_equal(touch(f, VA), 50 << 12);
	cpu_mov_cr3(f->cpu, f->other | 2);
	assert_int_equal(touch(f, VA), 51 << 12);
	cpu_mov_cr3(f->cpu, f->m.root | 1 | keep);
	assert_false(walks(f, VA));
	cpu_mov_cr3(f->cpu, f->other | 2 | keep);
	assert_false(walks(f, VA));
	/* INVLPG is for the present PCID. */
	cpu_invlpg(f->cpu, VA);
	cpu_mov_cr3(f->cpu, f->m.root | 1 | keep);
	assert_false(walks(f, VA));
	/* Without bit 63 that PCID goes, and no other. */
	cpu_mov_cr3(f->cpu, f->other | 2 | keep);
	touch(f, VA);
	cpu_mov_cr3(f->cpu, f->m.root | 1);
	assert_true(walks(f, VA));
	cpu_mov_cr3(f->cpu, f->other | 2 | keep);
	assert_false(walks(f, VA));
}

static void test_invpcid(void **state)
{
	struct fixture *f = *state;
	unsigned type;

	machine_map(&f->m, VA, 50, OPEN);
	machine_map(&f->m, VA + 4096, 51, OPEN | G);
	machine_map(&f->m, VA + 8192, 52, OPEN);
	cr4(f, X86_CR4_PCIDE | X86_CR4_PGE, 0);
	cpu_mov_cr3(f->cpu, f->m.root | 1);
	for (type = 0; type < 4; type++) {
		touch(f, VA);
		touch(f, VA + 4096);
		touch(f, VA + 8192);
		cpu_invpcid(f->cpu, type, 2, VA);
		if (type < 2) {			/* another PCID's */
			assert_false(walks(f, VA));
			assert_false(walks(f, VA + 4096));
		}
		cpu_invpcid(f->cpu, type, 1, VA);
		assert_true(walks(f, VA));
		assert_int_equal(walks(f, VA + 4096), type == 2);
		assert_int_equal(walks(f, VA + 8192), type != 0);
	}
}

static void test_large_pages(void **state)
{
	struct fixture *f = *state;
	uint64_t big = 0x40000000, huge = 5ull << 30;

	*(uint64_t *)machine_slot(&f->m, big, 1) = OPEN | X86_PTE_PS;
	*(uint64_t *)machine_slot(&f->m, huge, 2) = OPEN | X86_PTE_PS;
	assert_true(walks(f, big));
	assert_false(walks(f, big + 0x1ff000));
	assert_true(walks(f, huge));
	assert_false(walks(f, huge + 0xfff000));
	cpu_invlpg(f->cpu, big + 0x5000);	/* whole, from any address */
	assert_true(walks(f, big + 0x1ff000));
	assert_false(walks(f, huge));
	cpu_invlpg(f->cpu, huge + 0x3fffffff);
	assert_true(walks(f, huge));
	/* Smashed where there is no room for the size, and whole again gone. */
	use_preset(f, model_preset("jaguar"));
	assert_true(walks(f, huge));
	assert_false(walks(f, huge + 0x1ff000));
	assert_true(walks(f, huge + 0x200000));
	cpu_invlpg(f->cpu, huge + 0x3fffffff);
	assert_true(walks(f, huge));
	assert_true(walks(f, huge + 0x200000));
}

/* ---- sizes ---- */

/* Sets and ways: a set's worth of pages stay, one more and none do. */
static void test_ways(void **state)
{
	static const struct model_preset four = {
		.name = "4x4", .l1d = { { { MODEL_4K, 4, 4 } } },
		.unified = true,
	};
	struct fixture *f = *state;
	unsigned i, round, n;

	use_preset(f, &four);
	for (i = 0; i < 5; i++)
		machine_map(&f->m, VA + i * 4 * 4096ull, 50 + i, OPEN);
	for (n = 4; n <= 5; n++)
		for (round = 0; round < 3; round++)
			for (i = 0; i < n; i++)
				assert_int_equal(walks(f, VA + i * 4 * 4096),
						 n == 4 ? round == 0 :
						 round > 0 || i == 4);
}

/* The first level overflows into the second, which refills it. */
static void test_second_level(void **state)
{
	struct fixture *f = *state;
	unsigned i;

	for (i = 0; i < 1024; i++)
		machine_map(&f->m, VA + i * 4096ull, 50 + i, OPEN);
	for (i = 0; i < 1024; i++)
		assert_true(walks(f, VA + i * 4096));
	for (i = 0; i < 1024; i++)
		assert_false(walks(f, VA + i * 4096));
	assert_int_equal(st(f)->l2_hits, 1024);
	assert_false(walks(f, VA + 1023 * 4096));
	assert_int_equal(st(f)->l1_hits, 1);
}

static unsigned entries_of(const struct model_geometry *g, unsigned size)
{
	unsigned i, n = 0;

	for (i = 0; i < MODEL_ARRAYS; i++)
		if (g->array[i].sizes & size)
			n += g->array[i].sets * g->array[i].ways;
	return n;
}

static void test_presets(void **state)
{
	const struct model_preset *p;
	unsigned n = 0, i;

	(void)state;
	for (p = model_presets; p->name; p++, n++) {
		assert_true(p->what && p->source);
		assert_ptr_equal(model_preset(p->name), p);
		for (i = 0; i < MODEL_ARRAYS; i++)
			assert_false(p->l2d.array[i].sets &
				     (p->l2d.array[i].sets - 1));
	}
	assert_true(n >= 3);
	assert_null(model_preset("i860"));
	p = model_preset("skylake");
	assert_int_equal(entries_of(&p->l1d, MODEL_4K), 64);
	assert_int_equal(entries_of(&p->l1d, MODEL_2M), 32);
	assert_int_equal(entries_of(&p->l1i, MODEL_4K), 128);
	assert_int_equal(entries_of(&p->l2d, MODEL_4K), 1536);
	assert_int_equal(entries_of(&p->l2d, MODEL_1G), 16);
	p = model_preset("zen");
	assert_int_equal(entries_of(&p->l2d, MODEL_4K), 1536);
	assert_int_equal(entries_of(&p->l2i, MODEL_4K), 512);
	p = model_preset("p6");
	assert_int_equal(entries_of(&p->l1d, MODEL_4K), 64);
	assert_int_equal(entries_of(&p->l1d, MODEL_2M), 8);
	assert_int_equal(entries_of(&p->l1i, MODEL_4K), 32);
}

static void test_cost(void **state)
{
	const struct model_cost cost = {
		.l2_hit = 2, .walk = 3, .entry = 5, .mark = 7, .fault = 11,
		.flush = 13, .invlpg = 17, .shootdown = 19,
	};
	struct model_stats s = { .l1_hits = 1000 };

	(void)state;
	assert_int_equal(model_cycles(&s, &cost), 0);
	s.l2_hits = s.walks = s.entries = s.marks = s.faults = s.flushes =
		s.invlpgs = s.shootdowns = 1;
	assert_int_equal(model_cycles(&s, &cost), 77);
}

/* Back at full speed nothing of the model is left, and none comes to it. */
static void test_switch(void **state)
{
	struct fixture *f = *state;
	uint64_t v, n;

	machine_map(&f->m, VA, 50, OPEN);
	assert_int_equal(cpu_load64(f->cpu, VA, &v), 0);
	assert_int_equal(cpu_load64(f->cpu, VA, &v), 0);
	assert_int_equal(st(f)->accesses, 2);
	cpu_set_model(f->cpu, NULL);
	n = st(f)->accesses;
	cpu_load64(f->cpu, VA, &v);
	cpu_load64(f->cpu, VA, &v);
	assert_int_equal(st(f)->accesses, n);
	cpu_set_model(f->cpu, f->model);
	assert_true(walks(f, VA));
}

/* ---- shootdowns reach what is kept over CR3 ---- */

static void shoot(struct fixture *f, uint64_t cr3, uint64_t va)
{
	struct shootdown sd = SHOOTDOWN_INIT;

	shootdown_add(&sd, cr3, va);
	cpu_leave(f->cpu);
	shootdown_send(&sd, &f->cpu, 1, true);
	cpu_enter(f->cpu);
}

static void test_shot_elsewhere(void **state)
{
	struct fixture *f = *state;

	machine_map(&f->m, VA, 50, OPEN);
	map_in(f, f->other, VA, 51, OPEN | G);
	/* Nothing kept: the other space's is none of ours. */
	shoot(f, f->other, VA);
	assert_int_equal(st(f)->shootdowns, 0);
	cr4(f, X86_CR4_PGE, 0);
	cpu_mov_cr3(f->cpu, f->other);
	touch(f, VA);
	cpu_mov_cr3(f->cpu, f->m.root);
	shoot(f, f->other, VA);
	assert_int_equal(st(f)->shootdowns, 1);
	assert_int_equal(touch(f, VA), 50 << 12);
	cr4(f, X86_CR4_PCIDE, X86_CR4_PGE);
	cpu_mov_cr3(f->cpu, f->other | 1);
	touch(f, VA);
	cpu_mov_cr3(f->cpu, f->m.root | 2);
	map_in(f, f->other, VA, 52, OPEN);
	shoot(f, f->other, VA);
	cpu_mov_cr3(f->cpu, f->other | 1 | X86_CR3_NOFLUSH);
	assert_int_equal(touch(f, VA), 52 << 12);
}

/* What is sent is an address of the space, whatever code it interrupts. */
static void test_shot_in_compat(void **state)
{
	const uint64_t high = VA | 0x7full << 40;
	struct fixture *f = *state;

	machine_map(&f->m, high, 50, OPEN);
	assert_int_equal(touch(f, high), 50 << 12);
	cpu_set_compat(f->cpu, true);
	machine_map(&f->m, high, 60, OPEN);
	shoot(f, f->m.root, high);
	cpu_set_compat(f->cpu, false);
	assert_int_equal(touch(f, high), 60 << 12);
	/* An instruction of 32-bit code has only 32 bits to say. */
	cpu_set_compat(f->cpu, true);
	cpu_invlpg(f->cpu, high);
	cpu_set_compat(f->cpu, false);
	assert_false(walks(f, high));
}

/* ---- the stale-TLB detector ---- */

static void on_report(void *arg, const struct stale_report *r)
{
	struct fixture *f = arg;

	f->last = *r;
}

static uint64_t reports(struct fixture *f)
{
	return stale_reports(f->stale);
}

static void watch(struct fixture *f)
{
	f->stale = stale_create(on_report, f);
	f->model->stale = f->stale;
	machine_map(&f->m, VA, 50, OPEN);
	touch(f, VA);
	assert_int_equal(reports(f), 0);
}

static void change(struct fixture *f, uint64_t entry, const char *who)
{
	stale_change(f->stale, f->m.root, VA, 12, who);
	machine_put(&f->m, machine_slot(&f->m, VA, 0), entry);
}

static void test_stale_forgotten(void **state)
{
	struct fixture *f = *state;
	char text[300];

	watch(f);
	change(f, 60 << 12 | OPEN, "test_change");
	assert_int_equal(touch(f, VA + 5), 50 << 12 | 5);
	assert_int_equal(reports(f), 0);	/* it may yet be sent */
	stale_settle(f->stale);
	touch(f, VA + 5);
	assert_int_equal(reports(f), 1);
	assert_int_equal(f->last.cpu, 0);
	assert_int_equal(f->last.va, VA + 5);
	assert_int_equal(f->last.cr3, f->m.root);
	assert_int_equal(f->last.cached_pa, 50 << 12 | 5);
	assert_int_equal(f->last.new_pa, 60 << 12 | 5);
	assert_int_equal(f->last.old_entry & ~(uint64_t)X86_PTE_A,
			 50 << 12 | OPEN);
	assert_int_equal(f->last.entry, 60 << 12 | OPEN);
	assert_string_equal(f->last.who, "test_change");
	stale_format(&f->last, text, sizeof(text));
	assert_non_null(strstr(text, "test_change"));
	assert_non_null(strstr(text, "0x32005"));
	assert_non_null(strstr(text, "0x3c005"));
	assert_non_null(strstr(text, "by entry 0x32"));
	assert_non_null(strstr(text, "by entry 0x3c"));
	/* Gone altogether. */
	change(f, 0, "test_unmap");
	stale_settle(f->stale);
	touch(f, VA);
	assert_int_equal(reports(f), 2);
	assert_int_equal(f->last.new_pa, ~0ull);
	assert_int_equal(f->last.error, X86_PF_U);
	assert_string_equal(f->last.who, "test_unmap");
}

static void test_stale_sent(void **state)
{
	struct fixture *f = *state;
	struct shootdown sd = SHOOTDOWN_INIT;

	watch(f);
	change(f, 60 << 12 | OPEN, "test");
	shootdown_add(&sd, f->m.root, VA);
	shootdown_send(&sd, &f->cpu, 1, false);
	stale_settle(f->stale);
	touch(f, VA);			/* inside, and has not polled */
	assert_int_equal(reports(f), 0);
	cpu_poll(f->cpu);
	assert_int_equal(touch(f, VA), 60 << 12);
	assert_int_equal(reports(f), 0);
}

static void test_stale_unannounced(void **state)
{
	struct fixture *f = *state;

	watch(f);
	machine_put(&f->m, machine_slot(&f->m, VA, 0), 60 << 12 | OPEN);
	touch(f, VA);
	assert_int_equal(reports(f), 1);
	assert_null(f->last.who);
}

/* More rights, or A taken away, need no shootdown; D taken away does. */
static void test_stale_kinds(void **state)
{
	struct fixture *f = *state;
	struct mmu_outcome out;

	watch(f);
	change(f, 50 << 12 | X86_PTE_P | X86_PTE_U | X86_PTE_A, "less W");
	stale_settle(f->stale);
	touch(f, VA);
	assert_int_equal(reports(f), 0);	/* loads may still */
	change(f, 50 << 12 | OPEN, "more, and less A");
	stale_settle(f->stale);
	touch(f, VA);
	assert_int_equal(reports(f), 0);
	cpu_access(f->cpu, VA, 1, MMU_WRITE, 0, &out);
	assert_int_equal(reports(f), 0);
	change(f, 50 << 12 | OPEN | X86_PTE_A, "less D");
	stale_settle(f->stale);
	cpu_access(f->cpu, VA, 1, MMU_WRITE, 0, &out);
	assert_int_equal(reports(f), 1);
	assert_string_equal(f->last.who, "less D");
}

/* A table taken away: the PDE cache is checked as well. */
static void test_stale_upper(void **state)
{
	struct fixture *f = *state;

	watch(f);
	machine_map(&f->m, VA + 4096, 51, OPEN);
	stale_change(f->stale, f->m.root, VA, 21, "test_table");
	machine_put(&f->m, machine_slot(&f->m, VA, 1), 0);
	stale_settle(f->stale);
	touch(f, VA + 4096);
	assert_int_equal(reports(f), 1);
	assert_string_equal(f->last.who, "test_table");
}

/*
 * A changer moves the page to and fro, with shootdowns, while a CPU uses it:
 * nothing is reported. Then it leaves one out, and that is.
 */
struct changer {
	struct fixture *f;
	bool forget, done;
};

static void *run_changer(void *arg)
{
	struct changer *c = arg;
	struct fixture *f = c->f;
	struct shootdown sd = SHOOTDOWN_INIT;
	unsigned i;

	for (i = 0; i < (c->forget ? ROUNDS / 20 : ROUNDS); i++) {
		change(f, (uint64_t)(50 + i % 7) << 12 | OPEN, "changer");
		shootdown_add(&sd, f->m.root, VA);
		if (!c->forget || i % 2)
			shootdown_send(&sd, &f->cpu, 1, i % 3);
		stale_settle(f->stale);
		if (c->forget)
			usleep(10);
	}
	__atomic_store_n(&c->done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void run_beside(struct fixture *f, bool forget)
{
	struct changer c = { .f = f, .forget = forget };
	pthread_t thread;
	unsigned n = 0;

	assert_int_equal(pthread_create(&thread, NULL, run_changer, &c), 0);
	while (!__atomic_load_n(&c.done, __ATOMIC_SEQ_CST)) {
		touch(f, VA);
		if (++n % 8 == 0) {
			cpu_poll(f->cpu);
			cpu_leave(f->cpu);
			cpu_enter(f->cpu);
		}
	}
	pthread_join(thread, NULL);
}

static void test_stale_beside(void **state)
{
	struct fixture *f = *state;

	watch(f);
	run_beside(f, false);
	assert_int_equal(reports(f), 0);
	run_beside(f, true);
	assert_true(reports(f) > 0);
	assert_string_equal(f->last.who, "changer");
}

#define FRESH(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(test_hits),
		FRESH(test_faults_are_counted),
		FRESH(test_no_paging),
		FRESH(test_rights_are_kept),
		FRESH(test_global),
		FRESH(test_pcid),
		FRESH(test_invpcid),
		FRESH(test_large_pages),
		FRESH(test_ways),
		FRESH(test_second_level),
		FRESH(test_presets),
		FRESH(test_cost),
		FRESH(test_switch),
		FRESH(test_shot_elsewhere),
		FRESH(test_shot_in_compat),
		FRESH(test_stale_forgotten),
		FRESH(test_stale_sent),
		FRESH(test_stale_unannounced),
		FRESH(test_stale_kinds),
		FRESH(test_stale_upper),
		FRESH(test_stale_beside),
	};

	return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
