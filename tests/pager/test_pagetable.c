/*
 * test_pagetable.c - page tables as people see them: the tree of
 * snap_pagetable(), and the walk that snap_explain() tells aloud.
 *
 * In every paging mode. The tree is parsed and held against the tables page by
 * page. A walk is held against what is in RAM where it says, against the MMU,
 * and against itself: the bit that it says decided is turned round in the
 * table, and then it must not decide any more.
 */
#include <ctype.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pager/pmap.h"
#include "pager/process.h"
#include "pager/sched.h"
#include "pager/snapshot.h"
#include "tests/lib/testvm.h"

#define RW	(VM_PROT_READ | VM_PROT_WRITE)
#define PAGES	3072u			/* 12 MiB: large pages of each size */
#define AT	(TV_BASE + 5 * TV_PAGE + 0x123)
#define LARGE	16u			/* beside a mode */
#define LEVELS	5u

struct tables {
	struct testvm t;
	enum vm_mode mode;
	bool large;
	int pid;
	struct proc *p;			/* a reference */
	uint64_t random;
	uint64_t kept[LEVELS];		/* entries on the way to AT, by level */
};

static uint64_t rnd(struct tables *s, uint64_t below)
{
	s->random = s->random * 6364136223846793005ull + 1442695040888963407ull;
	return (s->random >> 33) % below;
}

static void tables_make(struct tables *s, void **state)
{
	uintptr_t what = (uintptr_t)*state;
	struct testvm_opts o = { .frames = 8192,
				 .mode = (enum vm_mode)(what & 15) };

	memset(s, 0, sizeof(*s));
	s->mode = o.mode;
	s->large = what & LARGE;
	s->random = what;
	testvm_make(&s->t, &o);
	s->pid = vm_proc_create(s->t.vm, "a");
	testvm_map(&s->t, s->pid, TV_BASE, PAGES, RW, VM_MAP_PRIVATE, NULL, 0);
	if (s->large)
		assert_int_equal(vm_madvise(s->t.vm, s->pid, TV_BASE,
					    PAGES * TV_PAGE, VM_MADV_HUGEPAGE),
				 0);
	s->p = proc_get(s->t.vm, s->pid);
}

static void tables_end(struct tables *s)
{
	proc_put(s->t.vm, s->p);
	assert_int_equal(testvm_free(&s->t), 0);
}

static const struct pmap_format *format_of(const struct tables *s)
{
	return s->p->pmap.fmt;
}

static unsigned bottom_level(const struct tables *s)
{
	return s->large ? 1 : 0;
}

/* Where the entry for @addr is, @level counted from the page table (0). */
static uint8_t *entry_at(struct tables *s, uint64_t addr, unsigned level)
{
	const struct pmap_format *f = format_of(s);
	uint64_t table = pmap_cr3(&s->p->pmap), e = 0;
	uint8_t *at = NULL;

	for (unsigned l = f->levels; l-- > level;) {
		at = s->t.ram.base + table +
		     ((addr / TV_PAGE) >> (f->bits * l) &
		      ((1u << f->bits) - 1)) * f->size;
		memcpy(&e, at, f->size);
		table = e & X86_PTE64_ADDR;
	}
	return at;
}

static uint64_t entry_get(struct tables *s, uint64_t addr, unsigned level)
{
	uint64_t e = 0;

	memcpy(&e, entry_at(s, addr, level), format_of(s)->size);
	return e;
}

static void entry_put(struct tables *s, uint64_t addr, unsigned level,
		      uint64_t e)
{
	memcpy(entry_at(s, addr, level), &e, format_of(s)->size);
}

/* The way to AT as it is; and back to that, from the top. */
static void way_keep(struct tables *s)
{
	for (unsigned l = bottom_level(s); l < format_of(s)->levels; l++)
		s->kept[l] = entry_get(s, AT, l);
}

static void way_restore(struct tables *s)
{
	for (unsigned l = format_of(s)->levels; l-- > bottom_level(s);)
		entry_put(s, AT, l, s->kept[l]);
}

/* ---- the tree ---- */

static unsigned level_of(const char *name)
{
	static const char *const names[] = { "PT", "PD", "PDPT", "PML4",
					     "PML5" };
	unsigned l = 0;

	while (l < LEVELS && strcmp(names[l], name))
		l++;
	assert_true(l < LEVELS);
	return l;
}

/* A line that maps pages: tick them off in @seen, and hold each against the
 * tables. */
static void check_leaves(struct tables *s, const char *line, unsigned level,
			 unsigned n, uint64_t addr, uint64_t entry,
			 uint8_t *seen)
{
	unsigned pages = 1u << (format_of(s)->bits * level);
	const char *frames = strstr(line, "-> frame ");
	uint64_t pfn = strtoull(frames + 9, NULL, 10), e;

	assert_int_equal(!!strstr(line, "(large)"), level == 1);
	assert_int_equal(entry & X86_PTE64_ADDR, pfn * TV_PAGE);
	for (unsigned i = 0; i < n * pages; i++) {
		uint64_t vpn = addr / TV_PAGE + i;

		e = pmap_entry(s->t.vm, &s->p->pmap, vpn);
		assert_int_equal(e & X86_PTE64_ADDR, (pfn + i) * TV_PAGE);
		assert_int_equal(e & 0xf7f, (entry & 0xf7f));
		assert_false(seen[vpn - TV_BASE / TV_PAGE]++);
	}
}

/* => pages that the line maps */
static void check_line(struct tables *s, const char *line, uint8_t *seen)
{
	const struct pmap_format *f = format_of(s);
	unsigned first, last, level, indent = strspn(line, " ");
	uint64_t addr, entry, raw = 0;
	char name[8];
	int at = 0;

	assert_int_equal(sscanf(line, " %7[A-Z0-9][%u%n", name, &first, &at),
			 2);
	last = line[at] == '-' ? strtoul(line + at + 1, NULL, 10) : first;
	line = strchr(line, ']');
	assert_int_equal(sscanf(line, "] %" SCNx64 " = %" SCNx64, &addr,
				&entry), 2);
	level = level_of(name);
	assert_int_equal(indent, 2 * (f->levels - 1 - level));
	assert_int_equal(first, (addr / TV_PAGE) >> (f->bits * level) &
				((1u << f->bits) - 1));
	memcpy(&raw, entry_at(s, addr, level), f->size);
	assert_int_equal(entry, raw);
	assert_true(entry & X86_PTE_P);
	assert_int_equal(!!strstr(line, " NX"), entry >> 63);
	assert_int_equal(!!strchr(strchr(line, '='), 'W'),
			 !!(entry & X86_PTE_W));
	if (strstr(line, "-> table"))
		assert_int_equal(strtoull(strstr(line, "frame ") + 6, NULL, 10),
				 (entry & X86_PTE64_ADDR) / TV_PAGE);
	else
		check_leaves(s, line, level, last - first + 1, addr, entry,
			     seen);
}

static void check_tree(struct tables *s, uint64_t page, uint64_t n)
{
	uint64_t block = 1ull << format_of(s)->bits;
	char *text = NULL, *line, *save;
	uint8_t *seen = calloc(PAGES, 1);
	size_t len;

	assert_int_equal(snap_pagetable(s->t.vm, s->pid,
					TV_BASE + page * TV_PAGE, n * TV_PAGE,
					&text, &len), 0);
	assert_int_equal(strlen(text), len);
	line = strtok_r(text, "\n", &save);
	assert_int_equal(strtoull(line + 4, NULL, 16), pmap_cr3(&s->p->pmap));
	while ((line = strtok_r(NULL, "\n", &save)))
		check_line(s, line, seen);
	for (uint64_t i = 0; i < PAGES; i++) {
		bool mapped = pmap_entry(s->t.vm, &s->p->pmap,
					 TV_BASE / TV_PAGE + i);

		if (i >= page && i < page + n)
			assert_int_equal(seen[i], mapped);
		else if (i / block != page / block &&
			 i / block != (page + n - 1) / block)
			assert_int_equal(seen[i], 0);
	}
	free(seen);
	free(text);
}

static void test_tree(void **state)
{
	struct tables s;

	tables_make(&s, state);
	check_tree(&s, 0, PAGES);		/* nothing yet */
	for (unsigned round = 0; round < 20; round++) {
		uint64_t page = rnd(&s, PAGES - 8), n = 1 + rnd(&s, 8);

		testvm_fill(&s.t, s.pid, TV_BASE + page * TV_PAGE,
			    (unsigned)n, 1);
		page = rnd(&s, PAGES);
		check_tree(&s, page, 1 + rnd(&s, PAGES - page));
	}
	assert_int_equal(!!testvm_stat(&s.t, "thp_fault_alloc"), s.large);
	/* Some read-only, some gone: runs end where entries differ. */
	assert_int_equal(vm_mprotect(s.t.vm, s.pid, TV_BASE, 512 * TV_PAGE,
				     VM_PROT_READ), 0);
	assert_int_equal(vm_munmap(s.t.vm, s.pid, TV_BASE + 600 * TV_PAGE,
				   100 * TV_PAGE), 0);
	check_tree(&s, 0, PAGES);
	tables_end(&s);
}

/* ---- one walk ---- */

static char *explain(struct tables *s, uint64_t addr, enum mmu_access access)
{
	char *text = NULL;
	size_t n;

	assert_int_equal(snap_explain(s->t.vm, s->pid, addr, access, &text,
				      &n), 0);
	assert_int_equal(strlen(text), n);
	return text;
}

/* @want is somewhere in what is said of the access. */
static void says(struct tables *s, uint64_t addr, enum mmu_access access,
		 const char *want)
{
	char *text = explain(s, addr, access);

	if (!strstr(text, want)) {
		fprintf(stderr, "wanted '%s' in:\n%s", want, text);
		fail();
	}
	free(text);
}

static const char *const bottom_name[] = { "PT", "PD" };

/* "decided by the PT entry, what", for the last level of the way. */
static void says_bottom(struct tables *s, enum mmu_access access,
			const char *what)
{
	char want[120];

	snprintf(want, sizeof(want), "; decided by the %s entry, %s",
		 bottom_name[bottom_level(s)], what);
	says(s, AT, access, want);
}

static void test_allowed(void **state)
{
	uint8_t b = 0xa5;
	struct tables s;
	uint64_t pa;
	char *text;

	tables_make(&s, state);
	assert_int_equal(testvm_store(&s.t, s.pid, AT, &b, 1, NULL), 0);
	for (unsigned access = MMU_READ; access <= MMU_WRITE; access++) {
		text = explain(&s, AT, access);
		assert_non_null(strstr(text, "allowed: physical address "));
		pa = strtoull(strstr(text, "address ") + 8, NULL, 16);
		assert_true(pa < s.t.ram.size);
		assert_int_equal(s.t.ram.base[pa], 0xa5);
		assert_null(strstr(text, "it sets"));
		assert_non_null(strstr(text, " rw-p; object "));
		free(text);
	}
	way_keep(&s);
	entry_put(&s, AT, bottom_level(&s), s.kept[bottom_level(&s)] &
		  ~(X86_PTE_D | X86_PTE_A));
	says(&s, AT, MMU_READ, s.large ? "; it sets A in the PD entry\n" :
					 "; it sets A in the PT entry\n");
	says(&s, AT, MMU_WRITE,
	     s.large ? "; it sets A and D in the PD entry\n" :
		       "; it sets A and D in the PT entry\n");
	/* Asked, not done. */
	assert_false(entry_get(&s, AT, bottom_level(&s)) & X86_PTE_A);
	way_restore(&s);
	tables_end(&s);
}

static void test_absent(void **state)
{
	struct tables s;
	uint8_t b = 1;

	tables_make(&s, state);
	says(&s, AT, MMU_WRITE, "error code 0x6 (P=0 absent, W=1 write, "
	     "U=1 user); decided by the ");
	says(&s, AT, MMU_READ, "P = 0: not present\npager: area ");
	says(&s, AT, MMU_READ, "never touched, zero");
	says(&s, TV_BASE - TV_PAGE, MMU_READ, "pager: no area here: SIGSEGV");
	assert_int_equal(testvm_store(&s.t, s.pid, AT, &b, 1, NULL), 0);
	way_keep(&s);
	for (unsigned l = bottom_level(&s); l < format_of(&s)->levels; l++) {
		static const char *const name[] = { "PT", "PD", "PDPT", "PML4",
						    "PML5" };
		char want[80];

		if (format_of(&s)->pinned && l == format_of(&s)->levels - 1)
			break;	/* a register: what is in RAM does not count */
		entry_put(&s, AT, l, s.kept[l] & ~X86_PTE_P);
		snprintf(want, sizeof(want), "; decided by the %s entry, P = 0",
			 name[l]);
		says(&s, AT, MMU_READ, want);
		entry_put(&s, AT, l, s.kept[l]);
	}
	tables_end(&s);
}

static void test_rights(void **state)
{
	struct tables s;
	unsigned low;
	uint8_t b = 1;

	tables_make(&s, state);
	assert_int_equal(testvm_store(&s.t, s.pid, AT, &b, 1, NULL), 0);
	low = bottom_level(&s);
	way_keep(&s);
	entry_put(&s, AT, low, s.kept[low] & ~X86_PTE_W);
	says_bottom(&s, MMU_WRITE, "W = 0: no writes");
	says(&s, AT, MMU_WRITE, "error code 0x7 ");
	says(&s, AT, MMU_READ, "allowed: ");
	entry_put(&s, AT, low, s.kept[low] & ~X86_PTE_U);
	says_bottom(&s, MMU_READ, "U = 0: not for user mode");
	says(&s, AT, MMU_READ, "error code 0x5 ");
	way_restore(&s);
	if (format_of(&s)->size == 4) {
		says(&s, AT, MMU_FETCH, "allowed: ");	/* no NX there */
		says(&s, AT, MMU_FETCH, " rw-p; object ");
	} else {
		says_bottom(&s, MMU_FETCH, "NX = 1: no fetches");
		says(&s, AT, MMU_FETCH, "error code 0x15 ");
		says(&s, AT, MMU_FETCH, " rw-p does not allow it: SIGSEGV; ");
	}
	/* Rights are judged at the end: what is absent below comes first. */
	if (!s.large) {
		entry_put(&s, AT, 1, s.kept[1] & ~X86_PTE_W);
		says(&s, AT, MMU_WRITE, "; decided by the PD entry, W = 0");
		entry_put(&s, AT, 0, 0);
		says(&s, AT, MMU_WRITE, "; decided by the PT entry, P = 0");
		says(&s, AT, MMU_WRITE, "error code 0x6 ");
	}
	way_restore(&s);
	/* To write is to read. */
	assert_int_equal(vm_mprotect(s.t.vm, s.pid, AT & ~4095ull, TV_PAGE,
				     VM_PROT_WRITE), 0);
	says(&s, AT, MMU_READ, " -w-p; object ");
	assert_int_equal(vm_mprotect(s.t.vm, s.pid, AT & ~4095ull, TV_PAGE,
				     0), 0);
	says(&s, AT, MMU_READ, " ---p does not allow it: SIGSEGV; ");
	tables_end(&s);
}

static void test_reserved(void **state)
{
	struct tables s;
	uint8_t b = 1;
	unsigned low;

	tables_make(&s, state);
	assert_int_equal(testvm_store(&s.t, s.pid, AT, &b, 1, NULL), 0);
	low = bottom_level(&s);
	way_keep(&s);
	if (format_of(&s)->size == 8) {
		entry_put(&s, AT, low, s.kept[low] | 5ull << 48);
		says_bottom(&s, MMU_READ, "reserved bit 48 50 set");
		says(&s, AT, MMU_READ, "error code 0xd (P=1 rights, W=0, "
		     "U=1 user, RSVD=1)");
	}
	if (s.large) {
		entry_put(&s, AT, 1, s.kept[1] | 1u << (s.mode == VM_MODE_32 ?
							21 : 13));
		says_bottom(&s, MMU_WRITE, s.mode == VM_MODE_32 ?
			    "reserved bit 21 set" : "reserved bit 13 set");
	}
	/* Past RAM nothing answers. */
	entry_put(&s, AT, low, s.kept[low] + s.t.ram.size);
	says(&s, AT, MMU_READ, "error code 0x4 ");
	says(&s, AT, MMU_READ, "; decided by RAM, which ends at 2000000");
	way_restore(&s);
	if (!s.large) {
		entry_put(&s, AT, 1, s.kept[1] + s.t.ram.size);
		says(&s, AT, MMU_READ, "PT   table would be at physical 2");
		says(&s, AT, MMU_READ, "; decided by RAM, which ends at ");
		way_restore(&s);
	}
	tables_end(&s);
}

static void test_addresses(void **state)
{
	struct tables s;

	tables_make(&s, state);
	switch (s.mode) {
	case VM_MODE_64:
		says(&s, 1ull << 47, MMU_READ, "#GP: not canonical, bits 63 to "
		     "47 are not all the same");
		says(&s, -1ull << 47, MMU_READ, "#PF: CR2 = ffff800000000000");
		break;
	case VM_MODE_LA57:
		says(&s, 1ull << 47, MMU_READ, "#PF: CR2 = 800000000000");
		says(&s, 1ull << 56, MMU_READ, "#GP: not canonical, bits 63 to "
		     "56 are not all the same");
		break;
	default:
		says(&s, (7ull << 32) + AT, MMU_READ,
		     "linear addresses have 32 bits here: 10005123");
	}
	tables_end(&s);
}

/* Turn the bit round that @text says decided. => false: it was no bit. */
static bool undecide(struct tables *s, const char *text)
{
	const char *by = strstr(text, "decided by the "), *bits;
	uint64_t e;
	char name[8];
	unsigned l;

	if (!by)
		return false;
	assert_int_equal(sscanf(by, "decided by the %7s entry", name), 1);
	l = level_of(name);
	e = entry_get(s, AT, l);
	bits = strstr(by, "reserved bit ");
	if (bits)
		for (bits += 13; isdigit(*bits); bits = strchr(bits, ' ') + 1)
			e &= ~(1ull << strtoul(bits, NULL, 10));
	else if (strstr(by, "P = 0"))
		e |= X86_PTE_P;
	else if (strstr(by, "W = 0"))
		e |= X86_PTE_W;
	else if (strstr(by, "U = 0"))
		e |= X86_PTE_U;
	else if (strstr(by, "NX = 1"))
		e &= ~X86_PTE_NX;
	else
		fail_msg("decided by what? %s", by);
	assert_int_not_equal(e, entry_get(s, AT, l));
	entry_put(s, AT, l, e);
	return true;
}

/* Entries of the way with bits wrong. */
static void spoil(struct tables *s)
{
	unsigned l = bottom_level(s), top = format_of(s)->levels, how;

	if (format_of(s)->pinned)
		top--;
	for (; l < top; l++) {
		uint64_t e = s->kept[l];

		for (how = (unsigned)rnd(s, 64); how; how >>= 1) {
			static const uint64_t clear[] = {
				X86_PTE_P, X86_PTE_W, X86_PTE_U, 0, 0, 0, 0, 0,
			};

			e &= ~clear[rnd(s, 8)];
			if (format_of(s)->size == 8 && rnd(s, 8) == 0)
				e |= rnd(s, 2) ? X86_PTE_NX :
						 1ull << (46 + rnd(s, 6));
		}
		entry_put(s, AT, l, e);
	}
}

static void agrees(struct tables *s, enum mmu_access access, const char *text)
{
	const struct mmu_regs *regs =
		&sched_service_cpu(s->t.vm, s->p)->regs;
	struct page_fault pf;
	char want[40];

	if (mmu_check(&s->t.ram, regs, AT, access, &pf) == 0) {
		assert_non_null(strstr(text, "allowed: "));
		return;
	}
	snprintf(want, sizeof(want), "error code %#x (", pf.error);
	assert_non_null(strstr(text, want));
}

/* Bit after bit that decides is put right, until the access is allowed. */
static void test_decisive(void **state)
{
	unsigned turns = 0, n;
	struct tables s;
	uint8_t b = 1;
	char *text;

	tables_make(&s, state);
	assert_int_equal(testvm_store(&s.t, s.pid, AT, &b, 1, NULL), 0);
	way_keep(&s);
	for (unsigned round = 0; round < 500; round++) {
		enum mmu_access access = (enum mmu_access)rnd(&s, 3);

		spoil(&s);
		for (n = 0;; n++) {
			text = explain(&s, AT, access);
			agrees(&s, access, text);
			if (!undecide(&s, text))
				break;
			assert_true(n < 5 * LEVELS);
			free(text);
		}
		assert_non_null(strstr(text, "allowed: "));
		free(text);
		turns += n;
		way_restore(&s);
	}
	assert_true(turns > 500);
	tables_end(&s);
}

int main(void)
{
#define IN(f, m) { #f " " #m, f, NULL, NULL, (void *)(uintptr_t)(m) }
#define MODES(f, x) IN(f, VM_MODE_32 | x), IN(f, VM_MODE_PAE | x), \
		    IN(f, VM_MODE_64 | x), IN(f, VM_MODE_LA57 | x)
#define ALL(f) MODES(f, 0), MODES(f, LARGE)
	const struct CMUnitTest tests[] = {
		ALL(test_tree), ALL(test_allowed), ALL(test_absent),
		ALL(test_rights), ALL(test_reserved),
		MODES(test_addresses, 0), ALL(test_decisive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
