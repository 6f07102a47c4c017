/*
 * test_stale.c - a shootdown that the pager forgets is found: vm_config.stale.
 *
 * In every paging mode a process uses a page, its entry is then changed by
 * pmap as the pager would, and the gather that holds the shootdown is thrown
 * away. The next use must be reported, with CPU, address, both entries and who
 * changed it; with the shootdown sent it must not. That nothing else is ever
 * reported is what the random tests are for: they run with a detector too.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "emu/model.h"
#include "pager/frame.h"
#include "pager/pmap.h"
#include "pager/process.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)
#define MB4	1024u			/* pages: a large one in every mode */
#define AT	(TV_BASE + 5 * TV_PAGE + 0x123)

struct stale_vm {
	struct testvm t;
	int pid;
	struct proc *p;			/* a reference */
};

static void stale_make(struct stale_vm *s, enum vm_mode mode, bool huge)
{
	struct testvm_opts o = { .frames = 4096, .mode = mode,
				 .check_tlb = true };

	testvm_make(&s->t, &o);
	s->pid = vm_proc_create(s->t.vm, "a");
	testvm_map(&s->t, s->pid, TV_BASE, MB4, RW, VM_MAP_PRIVATE, NULL, 0);
	if (huge)
		assert_int_equal(vm_madvise(s->t.vm, s->pid, TV_BASE,
					    MB4 * TV_PAGE, VM_MADV_HUGEPAGE),
				 0);
	s->p = proc_get(s->t.vm, s->pid);
	assert_non_null(s->p);
}

static void stale_end(struct stale_vm *s)
{
	proc_put(s->t.vm, s->p);
	assert_int_equal(testvm_free(&s->t), 0);
}

static void use(struct stale_vm *s, bool write)
{
	uint8_t b = 1;

	assert_int_equal(write ? testvm_store(&s->t, s->pid, AT, &b, 1, NULL) :
				 testvm_load(&s->t, s->pid, AT, &b, 1, NULL),
			 0);
}

static uint64_t entry(struct stale_vm *s)
{
	return pmap_entry(s->t.vm, &s->p->pmap, AT / TV_PAGE);
}

static uint64_t found(struct stale_vm *s)
{
	return testvm_stat(&s->t, "tlb_stale");
}

/* Take W and D from the page. @send: and tell the CPUs. */
static void clean(struct stale_vm *s, bool send)
{
	struct vm *vm = s->t.vm;
	struct gather g;

	gather_init(&g);
	vm_lock(vm);
	pmap_frame_clean(vm, (uint32_t)(entry(s) / TV_PAGE), &g);
	assert_true(g.pending);
	if (send)
		gather_flush(vm, &g);
	vm_unlock(vm);
}

/* The same without telling anybody anything. */
static void tamper(struct stale_vm *s)
{
	uint32_t pfn = (uint32_t)(pmap_cr3(&s->p->pmap) / TV_PAGE);
	const struct pmap_format *f = s->p->pmap.fmt;
	unsigned level = f->levels, i;
	uint8_t *at = NULL;
	uint64_t e = 0;

	while (level-- > 0) {
		i = (AT / TV_PAGE) >> (f->bits * level) & ((1u << f->bits) - 1);
		at = (uint8_t *)ram_frame(&s->t.ram, pfn) + i * f->size;
		memcpy(&e, at, f->size);
		pfn = (uint32_t)((e & X86_PTE64_ADDR) / TV_PAGE);
	}
	e &= ~(uint64_t)(X86_PTE_W | X86_PTE_D);
	memcpy(at, &e, f->size);
}

static enum vm_mode mode_of(void **state)
{
	return (enum vm_mode)(uintptr_t)*state;
}

static void test_sent(void **state)
{
	struct stale_vm s;

	stale_make(&s, mode_of(state), false);
	use(&s, true);
	clean(&s, true);
	use(&s, true);			/* faults, and gets W back */
	assert_true(entry(&s) & X86_PTE_D);
	assert_int_equal(found(&s), 0);
	stale_end(&s);
}

static void check_report(struct stale_vm *s, uint64_t was, const char *who)
{
	const struct stale_report *r = &s->t.last_stale;
	char text[400];

	assert_int_equal(r->cpu, 0);
	assert_int_equal(r->va, AT);
	assert_int_equal(r->cr3, pmap_cr3(&s->p->pmap));
	assert_int_equal(r->access, MMU_WRITE);
	assert_int_equal(r->cached_pa,
			 (was & X86_PTE64_ADDR) + AT % TV_PAGE);
	assert_true(r->old_entry & X86_PTE_W);
	assert_int_equal(r->old_entry & X86_PTE64_ADDR, was & X86_PTE64_ADDR);
	assert_int_equal(r->entry, entry(s));
	if (who)
		assert_string_equal(r->who, who);
	else
		assert_null(r->who);
	assert_true(stale_format(r, text, sizeof(text)) <
		    (int)sizeof(text));
	assert_non_null(strstr(text, who ? who : "did not say"));
}

/* A page that was stored to, and what is done to it will be found. => entry */
static uint64_t stale_stored(struct stale_vm *s, enum vm_mode mode, bool huge)
{
	stale_make(s, mode, huge);
	s->t.stale_expected = true;
	use(s, true);
	return entry(s);
}

static void test_forgotten(void **state)
{
	struct stale_vm s;
	uint64_t was = stale_stored(&s, mode_of(state), false);

	clean(&s, false);
	use(&s, false);			/* a load may go on */
	assert_int_equal(found(&s), 0);
	use(&s, true);			/* by the old translation */
	assert_int_equal(found(&s), 1);
	assert_false(entry(&s) & X86_PTE_D);
	check_report(&s, was, "pmap_clear");
	stale_end(&s);
}

static void test_unannounced(void **state)
{
	struct stale_vm s;
	uint64_t was = stale_stored(&s, mode_of(state), false);

	tamper(&s);
	use(&s, true);
	assert_int_equal(found(&s), 1);
	check_report(&s, was, NULL);
	stale_end(&s);
}

/*
 * The same page entered again without W, as for a read that comes when stores
 * may not: the store that follows must fault. @send: and tell the CPUs.
 */
static void enter_less(struct stale_vm *s, bool send)
{
	struct vm *vm = s->t.vm;
	struct gather g;

	gather_init(&g);
	vm_lock(vm);
	assert_int_equal(pmap_enter(vm, &s->p->pmap, AT / TV_PAGE,
				    (uint32_t)(entry(s) / TV_PAGE),
				    VM_PROT_READ, false, &g), 0);
	assert_false(entry(s) & X86_PTE_W);
	assert_true(entry(s) & X86_PTE_D);	/* that store is not lost */
	if (send)
		gather_flush(vm, &g);
	vm_unlock(vm);
}

static void test_entered_less(void **state)
{
	struct stale_vm s;
	uint64_t faults;

	stale_make(&s, mode_of(state), false);
	use(&s, true);
	faults = testvm_stat(&s.t, "pgfault");
	enter_less(&s, true);
	use(&s, false);
	assert_int_equal(testvm_stat(&s.t, "pgfault"), faults);
	use(&s, true);			/* faults, and gets W back */
	assert_int_equal(testvm_stat(&s.t, "pgfault"), faults + 1);
	assert_true(entry(&s) & X86_PTE_W);
	assert_int_equal(found(&s), 0);
	stale_end(&s);
}

static void test_entered_less_forgotten(void **state)
{
	struct stale_vm s;
	uint64_t was = stale_stored(&s, mode_of(state), false);

	enter_less(&s, false);
	use(&s, true);
	assert_int_equal(found(&s), 1);
	check_report(&s, was, "pmap_enter");
	stale_end(&s);
}

/* The large page's translation outlives the split and what came after. */
static void test_large(void **state)
{
	struct stale_vm s;
	uint64_t was = stale_stored(&s, mode_of(state), true);

	assert_int_equal(testvm_stat(&s.t, "thp_fault_alloc"), 1);
	clean(&s, false);
	assert_int_equal(testvm_stat(&s.t, "thp_split_pmd"), 1);
	use(&s, true);
	assert_int_equal(found(&s), 1);
	assert_true(s.t.last_stale.old_entry & X86_PTE_PS);
	assert_false(s.t.last_stale.entry & X86_PTE_PS);
	assert_int_equal(s.t.last_stale.cached_pa,
			 (was & X86_PTE64_ADDR) + AT % TV_PAGE);
	assert_string_equal(s.t.last_stale.who, "pmap_clear");
	stale_end(&s);
}

/* The same, sent: a split alone needs none, and INVLPG takes all of it. */
static void test_large_sent(void **state)
{
	struct stale_vm s;

	stale_make(&s, mode_of(state), true);
	use(&s, true);
	clean(&s, true);
	use(&s, true);
	assert_int_equal(testvm_stat(&s.t, "thp_split_pmd"), 1);
	assert_int_equal(found(&s), 0);
	stale_end(&s);
}

/* RAM runs out half way down to an entry: the tables made for it are given up
 * by a shootdown like any other, for they could be walked. */
static void out_of_tables(enum vm_mode mode, unsigned levels)
{
	const uint64_t far = levels == 5 ? 1ull << 38 : 1ull << 28;
	struct stale_vm s;
	struct vm *vm;
	uint32_t taken = PFN_NONE, pfn, page, before, sub;
	struct gather g;

	stale_make(&s, mode, false);
	use(&s, true);
	page = entry(&s) >> PAGE_SHIFT & 0xffffff;
	vm = s.t.vm;
	vm_lock(vm);
	for (unsigned left = 1; left < levels - 1; left++) {
		gather_init(&g);
		while (vm->frames.nfree > vm->frames.wm_min / 2 + left) {
			pfn = frame_alloc(vm, FRAME_FOR_TABLE);
			gather_frame(vm, &g, pfn);
		}
		taken = g.frames;
		before = vm->frames.ntables;
		gather_init(&g);
		assert_int_equal(pmap_enter(vm, &s.p->pmap, far, page, RW,
					    false, &g), -ENOMEM);
		assert_int_equal(vm->frames.ntables, before);
		for (sub = g.frames; sub; sub = frame_at(vm, sub)->hash_next)
			assert_true(g.pending);
		gather_flush(vm, &g);
		assert_int_equal(vm->frames.nfree,
				 vm->frames.wm_min / 2 + left);
		gather_init(&g);
		g.frames = taken;
		gather_flush(vm, &g);
	}
	vm_unlock(vm);
	use(&s, true);
	stale_end(&s);
}

static void test_out_of_tables(void **state)
{
	(void)state;
	out_of_tables(VM_MODE_64, 4);
	out_of_tables(VM_MODE_LA57, 5);
}

/* A modelled part's counters are the machine's; without one there are none. */
static void test_counters(void **state)
{
	struct testvm_opts o = { .frames = 64 };
	struct testvm plain;
	struct stale_vm s;
	uint64_t n;

	stale_make(&s, mode_of(state), false);
	use(&s, true);
	use(&s, true);
	assert_true(testvm_stat(&s.t, "tlb_accesses") >= 3);
	assert_true(testvm_stat(&s.t, "tlb_l1_hits") >= 1);
	assert_true(testvm_stat(&s.t, "tlb_misses") >= 1);
	assert_true(testvm_stat(&s.t, "tlb_faults") >= 1);
	assert_true(testvm_stat(&s.t, "tlb_walk_entries") >=
		    s.p->pmap.fmt->levels - s.p->pmap.fmt->pinned / 3);
	assert_true(testvm_stat(&s.t, "tlb_cycles") >=
		    model_preset("skylake")->cost.fault);
	stale_end(&s);
	testvm_make(&plain, &o);
	if (!plain.stale)		/* PAGER_CHECK_TLB */
		assert_false(vm_stat_get(plain.vm, "tlb_accesses", &n));
	testvm_free(&plain);
}

int main(void)
{
#define IN(f, m) { #f " " #m, f, NULL, NULL, (void *)(uintptr_t)(m) }
#define ALL(f) IN(f, VM_MODE_32), IN(f, VM_MODE_PAE), IN(f, VM_MODE_64), \
	       IN(f, VM_MODE_LA57)
	const struct CMUnitTest tests[] = {
		ALL(test_sent), ALL(test_forgotten), ALL(test_unannounced),
		ALL(test_entered_less), ALL(test_entered_less_forgotten),
		ALL(test_large), ALL(test_large_sent), ALL(test_counters),
		cmocka_unit_test(test_out_of_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
