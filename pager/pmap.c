/*
 * pmap.c - page tables in RAM, and the reverse map beside them.
 *
 * A fault enters a page; munmap, fork and pageout take entries or rights
 * away, from the side of the address (pmap_remove, pmap_protect) or from the
 * side of the frame (pmap_frame_*). Every write of an entry goes through
 * pte_write(), so that another engine can stand behind it.
 *
 * A table's frame counts its live entries (aux) and knows the entry above it
 * (rmap): a table that becomes empty goes at once. Invariants and locks:
 * pmap.h.
 */
#include "pager/pmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/frame.h"
#include "pager/object.h"
#include "pager/process.h"
#include "pager/rmap.h"

/* ---- entries ---- */

#define PTE_TABLE	(X86_PTE_P | X86_PTE_W | X86_PTE_U | X86_PTE_A)

static unsigned pmap_levels(const struct pmap *p)
{
	return p->long_mode ? 4 : 2;
}

static unsigned pmap_bits(const struct pmap *p)
{
	return p->long_mode ? 9 : 10;
}

uint64_t pmap_limit(bool long_mode)
{
	/* Half of 48 bits; of 32 bits, Linux's 3 GiB. */
	return long_mode ? 1ull << 35 : 0xc0000;
}

uint64_t pmap_cr3(const struct pmap *p)
{
	return (uint64_t)p->root << PAGE_SHIFT;
}

static uint32_t pte_pfn(uint64_t e)
{
	return (uint32_t)((e & X86_PTE64_ADDR) >> PAGE_SHIFT);
}

static uint64_t pte_read(const struct pmap *p, const void *e)
{
	if (p->long_mode)
		return __atomic_load_n((const uint64_t *)e, __ATOMIC_SEQ_CST);
	return __atomic_load_n((const uint32_t *)e, __ATOMIC_SEQ_CST);
}

/*
 * The one writer: entry = (entry & @keep) | @set, in one atomic step against
 * the CPUs that set A and D. => what was there.
 */
static uint64_t pte_write(const struct pmap *p, void *e, uint64_t keep,
			  uint64_t set)
{
	if (p->long_mode) {
		uint64_t old = pte_read(p, e);

		while (!__atomic_compare_exchange_n(
			(uint64_t *)e, &old, (old & keep) | set, false,
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
			;
		return old;
	}
	uint32_t old = (uint32_t)pte_read(p, e);

	while (!__atomic_compare_exchange_n(
		(uint32_t *)e, &old, (uint32_t)((old & keep) | set), false,
		__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	return old;
}

/* The entry for @vpn in table @pfn of level @level (0: leaf). */
static void *pte_slot(const struct vm *vm, const struct pmap *p, uint32_t pfn,
		      uint64_t vpn, unsigned level)
{
	unsigned bits = pmap_bits(p);
	uint64_t i = (vpn >> (bits * level)) & ((1u << bits) - 1);

	return (uint8_t *)ram_frame(&vm->ram, pfn) + i * (p->long_mode ? 8 : 4);
}

static uint32_t pte_table(const struct vm *vm, const void *e)
{
	return (uint32_t)(((const uint8_t *)e - vm->ram.base) >> PAGE_SHIFT);
}

/* ---- gather ---- */

void gather_init(struct gather *g)
{
	shootdown_init(&g->sd);
	g->frames = PFN_NONE;
	g->pending = false;
}

void gather_frame(struct vm *vm, struct gather *g, uint32_t pfn)
{
	frame_at(vm, pfn)->hash_next = g->frames;
	g->frames = pfn;
}

static void gather_page(struct gather *g, const struct pmap *p, uint64_t vpn)
{
	shootdown_add(&g->sd, pmap_cr3(p), vpn << PAGE_SHIFT);
	g->pending = true;
}

static void gather_send(struct vm *vm, struct gather *g, bool wait)
{
	if (!g->pending)
		return;
	vm_count(vm, SHOOTDOWN);
	shootdown_send(&g->sd, vm->cpu, vm->ncpus + 1, wait);
	g->pending = false;
}

void gather_flush(struct vm *vm, struct gather *g)
{
	uint32_t pfn, next;

	gather_send(vm, g, true);
	for (pfn = g->frames; pfn; pfn = next) {
		next = frame_at(vm, pfn)->hash_next;
		frame_free(vm, pfn);
	}
	g->frames = PFN_NONE;
}

void gather_hint(struct vm *vm, struct gather *g)
{
	assert(g->frames == PFN_NONE);
	gather_send(vm, g, false);
}

/* ---- tables ---- */

/* A new, zeroed table whose parent entry is @above (NULL: the root). */
static uint32_t table_new(struct vm *vm, const void *above)
{
	uint32_t pfn = frame_alloc(vm, FRAME_FOR_TABLE);

	if (pfn == PFN_NONE)
		return pfn;
	memset(ram_frame(&vm->ram, pfn), 0, PAGE_SIZE);
	frame_at(vm, pfn)->state = FRAME_TABLE;
	frame_at(vm, pfn)->rmap =
		above ? (uint64_t)((const uint8_t *)above - vm->ram.base) : 0;
	vm->frames.ntables++;
	return pfn;
}

/* Empty tables go, from @pfn upwards; the root stays. */
static void table_release(struct vm *vm, struct pmap *p, uint32_t pfn,
			  struct gather *g)
{
	while (pfn != p->root && frame_at(vm, pfn)->aux == 0) {
		void *above = vm->ram.base + frame_at(vm, pfn)->rmap;

		pte_write(p, above, 0, 0);
		vm->frames.ntables--;
		frame_at(vm, pfn)->state = FRAME_HELD;
		frame_at(vm, pfn)->rmap = 0;
		gather_frame(vm, g, pfn);
		pfn = pte_table(vm, above);
		frame_at(vm, pfn)->aux--;
	}
}

/*
 * The leaf entry for @vpn, or NULL when there is no table for it; then *span
 * is how many pages from @vpn on have none for the same reason.
 */
static void *pmap_leaf(const struct vm *vm, const struct pmap *p, uint64_t vpn,
		       uint64_t *span)
{
	uint32_t pfn = p->root;

	for (unsigned level = pmap_levels(p) - 1; level > 0; level--) {
		uint64_t e = pte_read(p, pte_slot(vm, p, pfn, vpn, level));
		uint64_t size = 1ull << (pmap_bits(p) * level);

		if (!(e & X86_PTE_P)) {
			*span = size - (vpn & (size - 1));
			return NULL;
		}
		pfn = pte_pfn(e);
	}
	return pte_slot(vm, p, pfn, vpn, 0);
}

/* The leaf entry for @vpn, making tables. => NULL: no frame for one. */
static void *pmap_leaf_make(struct vm *vm, struct pmap *p, uint64_t vpn,
			    struct gather *g)
{
	uint32_t pfn = p->root;

	for (unsigned level = pmap_levels(p) - 1; level > 0; level--) {
		void *e = pte_slot(vm, p, pfn, vpn, level);
		uint64_t v = pte_read(p, e);

		if (!(v & X86_PTE_P)) {
			uint32_t sub = table_new(vm, e);

			if (sub == PFN_NONE) {
				table_release(vm, p, pfn, g);
				return NULL;
			}
			v = (uint64_t)sub << PAGE_SHIFT | PTE_TABLE;
			pte_write(p, e, 0, v);
			frame_at(vm, pfn)->aux++;
		}
		pfn = pte_pfn(v);
	}
	return pte_slot(vm, p, pfn, vpn, 0);
}

/* ---- a page table as a whole ---- */

static int pmap_new_id(struct vm *vm, struct pmap *p, struct proc *proc)
{
	uint32_t id = vm->pmap_hint, n = vm->npmaps ? vm->npmaps * 2 : 64;
	struct proc **t;

	/* Below the hint all are taken. */
	while (id < vm->npmaps && (id == 0 || vm->pmap_proc[id]))
		id++;
	if (id >= vm->npmaps) {
		if (n > 1u << 22)
			return -EAGAIN;
		t = realloc(vm->pmap_proc, n * sizeof(*t));
		if (!t)
			return -ENOMEM;
		memset(t + vm->npmaps, 0, (n - vm->npmaps) * sizeof(*t));
		id = vm->npmaps ? vm->npmaps : 1;
		vm->pmap_proc = t;
		vm->npmaps = n;
	}
	vm->pmap_proc[id] = proc;
	vm->pmap_hint = id + 1;
	p->id = id;
	return 0;
}

int pmap_create(struct vm *vm, struct pmap *p, struct proc *proc)
{
	int err;

	p->long_mode = vm->cfg.mode == VM_MODE_64;
	p->resident = 0;
	p->root = table_new(vm, NULL);
	if (p->root == PFN_NONE)
		return -ENOMEM;
	err = pmap_new_id(vm, p, proc);
	if (err < 0) {
		vm->frames.ntables--;
		frame_free(vm, p->root);
	}
	return err;
}

void pmap_destroy(struct vm *vm, struct pmap *p)
{
	assert(p->resident == 0 && frame_at(vm, p->root)->aux == 0);
	vm->pmap_proc[p->id] = NULL;
	if (p->id < vm->pmap_hint)
		vm->pmap_hint = p->id;
	vm->frames.ntables--;
	frame_free(vm, p->root);
	p->root = PFN_NONE;
}

static uint64_t pmap_flags(const struct pmap *p, unsigned prot, bool dirty)
{
	uint64_t e = X86_PTE_P | X86_PTE_U | X86_PTE_A;

	if (prot & VM_PROT_WRITE)
		e |= X86_PTE_W | (dirty ? X86_PTE_D : 0);
	if (p->long_mode && !(prot & VM_PROT_EXEC))
		e |= X86_PTE_NX;
	return e;
}

/* The entry @e for @vpn, whose value was @old, has been taken away. */
static void pmap_removed(struct vm *vm, struct pmap *p, uint64_t vpn,
			 uint64_t old, struct gather *g)
{
	struct frame *f = frame_at(vm, pte_pfn(old));

	if (old & X86_PTE_D)
		f->flags |= FRAME_DIRTY;
	rmap_remove(vm, f, RMAP_PLACE(p->id, vpn));
	p->resident--;
	gather_page(g, p, vpn);
}

int pmap_enter(struct vm *vm, struct pmap *p, uint64_t vpn, uint32_t pfn,
	       unsigned prot, bool dirty, struct gather *g)
{
	uint64_t set = pmap_flags(p, prot, dirty), old;
	struct frame *f = frame_at(vm, pfn);
	void *e = pmap_leaf_make(vm, p, vpn, g);

	if (!e)
		return -ENOMEM;
	assert(f->state == FRAME_PAGE && !(f->flags & FRAME_READING));
	set |= (uint64_t)pfn << PAGE_SHIFT;
	old = pte_read(p, e);
	if ((old & X86_PTE_P) && pte_pfn(old) == pfn) {
		old = pte_write(p, e, X86_PTE_A | X86_PTE_D, set);
		if ((old & X86_PTE_W) && !(set & X86_PTE_W))
			gather_page(g, p, vpn);
		return 0;
	}
	if (rmap_add(vm, f, RMAP_PLACE(p->id, vpn)) < 0) {
		table_release(vm, p, pte_table(vm, e), g);
		return -ENOMEM;
	}
	old = pte_write(p, e, 0, set);
	p->resident++;
	if (old & X86_PTE_P)
		pmap_removed(vm, p, vpn, old, g);
	else
		frame_at(vm, pte_table(vm, e))->aux++;
	return 0;
}

/* Remove the present entry @e. */
static void pmap_remove_one(struct vm *vm, struct pmap *p, uint64_t vpn,
			    void *e, struct gather *g)
{
	uint32_t table = pte_table(vm, e);
	uint64_t old = pte_write(p, e, 0, 0);

	assert(old & X86_PTE_P);
	pmap_removed(vm, p, vpn, old, g);
	frame_at(vm, table)->aux--;
	table_release(vm, p, table, g);
}

void pmap_remove(struct vm *vm, struct pmap *p, uint64_t vpn, uint64_t n,
		 struct gather *g)
{
	uint64_t end = vpn + n, span;

	while (vpn < end && p->resident > 0) {
		void *e = pmap_leaf(vm, p, vpn, &span);

		if (!e) {
			vpn += span;
			continue;
		}
		if (pte_read(p, e) & X86_PTE_P)
			pmap_remove_one(vm, p, vpn, e, g);
		vpn++;
	}
}

/* Clear @bits of entry @e; harvest D when it is among them. */
static uint64_t pmap_clear(struct vm *vm, struct pmap *p, uint64_t vpn,
			   void *e, uint64_t bits, struct gather *g)
{
	uint64_t old = pte_write(p, e, ~bits, 0);

	if (old & bits & X86_PTE_D)
		frame_at(vm, pte_pfn(old))->flags |= FRAME_DIRTY;
	if (old & bits)
		gather_page(g, p, vpn);
	return old;
}

void pmap_protect(struct vm *vm, struct pmap *p, uint64_t vpn, uint64_t n,
		  unsigned prot, struct gather *g)
{
	uint64_t end = vpn + n, span;

	while (vpn < end && p->resident > 0) {
		void *e = pmap_leaf(vm, p, vpn, &span);
		uint64_t v;

		if (!e) {
			vpn += span;
			continue;
		}
		v = pte_read(p, e);
		if (!(v & X86_PTE_P))
			;
		else if (!(prot & VM_PROT_READ) ||
			 (p->long_mode && !(prot & VM_PROT_EXEC) &&
			  !(v & X86_PTE_NX)))
			/* x86 cannot say "absent reads": let it fault. */
			pmap_remove_one(vm, p, vpn, e, g);
		else if (!(prot & VM_PROT_WRITE))
			pmap_clear(vm, p, vpn, e, X86_PTE_W | X86_PTE_D, g);
		vpn++;
	}
}

uint64_t pmap_count(const struct vm *vm, const struct pmap *p, uint64_t vpn,
		    uint64_t n)
{
	uint64_t end = vpn + n, span, count = 0;

	while (vpn < end && count < p->resident) {
		void *e = pmap_leaf(vm, p, vpn, &span);

		if (e)
			count += pte_read(p, e) & X86_PTE_P;
		vpn += e ? 1 : span;
	}
	return count;
}

uint64_t pmap_entry(const struct vm *vm, const struct pmap *p, uint64_t vpn)
{
	uint64_t span;
	void *e = pmap_leaf(vm, p, vpn, &span);
	uint64_t v = e ? pte_read(p, e) : 0;

	return v & X86_PTE_P ? v : 0;
}

/* ---- from the side of the frame ---- */

/* The entry at @place, which the reverse map says is present. */
static void *pmap_place(const struct vm *vm, uint64_t place, struct pmap **p)
{
	uint64_t span;
	void *e;

	*p = &vm->pmap_proc[RMAP_ID(place)]->pmap;
	e = pmap_leaf(vm, *p, RMAP_VPN(place), &span);
	assert(e);
	return e;
}

void pmap_frame_remove(struct vm *vm, uint32_t pfn, struct gather *g)
{
	struct rmap_walk w;
	uint64_t place;
	struct pmap *p;

	rmap_walk(frame_at(vm, pfn), &w);
	while (rmap_next(vm, &w, &place)) {
		void *e = pmap_place(vm, place, &p);

		pmap_remove_one(vm, p, RMAP_VPN(place), e, g);
	}
}

void pmap_frame_clean(struct vm *vm, uint32_t pfn, struct gather *g)
{
	struct rmap_walk w;
	uint64_t place;
	struct pmap *p;

	rmap_walk(frame_at(vm, pfn), &w);
	while (rmap_next(vm, &w, &place)) {
		void *e = pmap_place(vm, place, &p);

		pmap_clear(vm, p, RMAP_VPN(place), e, X86_PTE_W | X86_PTE_D, g);
	}
}

bool pmap_frame_accessed(struct vm *vm, uint32_t pfn, struct gather *g)
{
	struct rmap_walk w;
	bool any = false;
	uint64_t place;
	struct pmap *p;

	rmap_walk(frame_at(vm, pfn), &w);
	while (rmap_next(vm, &w, &place)) {
		void *e = pmap_place(vm, place, &p);

		any |= !!(pmap_clear(vm, p, RMAP_VPN(place), e, X86_PTE_A, g) &
			  X86_PTE_A);
	}
	return any;
}

/* Whether any entry that maps @pfn has @bit. */
static bool pmap_frame_any(const struct vm *vm, uint32_t pfn, uint64_t bit)
{
	struct rmap_walk w;
	uint64_t place;
	struct pmap *p;

	rmap_walk(frame_at(vm, pfn), &w);
	while (rmap_next(vm, &w, &place)) {
		void *e = pmap_place(vm, place, &p);

		if (pte_read(p, e) & bit)
			return true;
	}
	return false;
}

bool pmap_dirty(const struct vm *vm, uint32_t pfn)
{
	return (frame_at(vm, pfn)->flags & FRAME_DIRTY) ||
	       pmap_frame_any(vm, pfn, X86_PTE_D);
}

bool pmap_accessed(const struct vm *vm, uint32_t pfn)
{
	return pmap_frame_any(vm, pfn, X86_PTE_A);
}

bool pmap_writable(const struct vm *vm, uint32_t pfn)
{
	return pmap_frame_any(vm, pfn, X86_PTE_W | X86_PTE_D);
}

/* Guests may be storing to it. */
__attribute__((no_sanitize("thread")))
bool frame_is_zero(const struct vm *vm, uint32_t pfn)
{
	const volatile uint64_t *b = ram_frame(&vm->ram, pfn);

	for (unsigned i = 0; i < PAGE_SIZE / sizeof(*b); i++)
		if (b[i])
			return false;
	return true;
}

/* ---- check ---- */

/* => live entries of table @pfn; counts leaves in *leaves. */
static unsigned pmap_check_table(const struct vm *vm, const struct pmap *p,
				 uint32_t pfn, unsigned level,
				 uint64_t *leaves)
{
	unsigned live = 0;

	assert(frame_at(vm, pfn)->state == FRAME_TABLE);
	for (uint64_t i = 0; i < 1u << pmap_bits(p); i++) {
		void *at = pte_slot(vm, p, pfn, i << (pmap_bits(p) * level),
				    level);
		uint64_t e = pte_read(p, at);

		if (!(e & X86_PTE_P))
			continue;
		live++;
		if (level > 0) {
			assert(vm->ram.base + frame_at(vm, pte_pfn(e))->rmap ==
			       (uint8_t *)at);
			assert(pmap_check_table(vm, p, pte_pfn(e), level - 1,
						leaves));
			continue;
		}
		(*leaves)++;
		assert(frame_at(vm, pte_pfn(e))->state == FRAME_PAGE);
		assert(frame_at(vm, pte_pfn(e))->rmap);
		/* A frame under writeback cannot be stored to. */
		assert(!(frame_at(vm, pte_pfn(e))->flags & FRAME_WRITING) ||
		       !(e & (X86_PTE_W | X86_PTE_D)));
	}
	assert(live == frame_at(vm, pfn)->aux);
	return live;
}

void pmap_check(const struct vm *vm, const struct pmap *p)
{
	uint64_t leaves = 0;

	pmap_check_table(vm, p, p->root, pmap_levels(p) - 1, &leaves);
	assert(leaves == p->resident);
}
