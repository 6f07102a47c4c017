/*
 * pmap.c - page tables in RAM, and the reverse map beside them.
 *
 * A fault enters a page; munmap, fork and pageout take entries or rights
 * away, from the side of the address (pmap_remove, pmap_protect) or from the
 * side of the frame (pmap_frame_*). Every write of an entry goes through
 * pte_write() (pte.h), so that another engine can stand behind it.
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
#include "pager/pte.h"
#include "pager/rmap.h"

#define PTE_TABLE	(X86_PTE_P | X86_PTE_W | X86_PTE_U | X86_PTE_A)

/* User space: half of 48 or 57 bits; of 32 bits, Linux's 3 GiB. */
static const struct pmap_format pmap_formats[] = {
	[VM_MODE_32] = { 2, 10, 4, 0, 0xc0000 },
	[VM_MODE_PAE] = { 3, 9, 8, 3, 0xc0000 },
	[VM_MODE_64] = { 4, 9, 8, 0, 1ull << 35 },
	[VM_MODE_LA57] = { 5, 9, 8, 0, 1ull << 44 },
};

uint64_t pmap_limit(enum vm_mode mode)
{
	return pmap_formats[mode].limit;
}

unsigned pmap_large_shift(enum vm_mode mode)
{
	return pmap_formats[mode].bits;
}

uint64_t pmap_cr3(const struct pmap *p)
{
	return (uint64_t)p->root << PAGE_SHIFT;
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

		pte_write(vm, p, above, 0, 0);
		vm->frames.ntables--;
		frame_at(vm, pfn)->state = FRAME_HELD;
		frame_at(vm, pfn)->rmap = 0;
		gather_frame(vm, g, pfn);
		pfn = pte_table(vm, above);
		frame_at(vm, pfn)->aux--;
	}
}

/* The same for tables just made on the way to @vpn, which get no entry after
 * all: a CPU may have gone into them meanwhile. */
static void table_unmake(struct vm *vm, struct pmap *p, uint32_t pfn,
			 uint64_t vpn, struct gather *g)
{
	if (pfn == p->root || frame_at(vm, pfn)->aux != 0)
		return;
	table_release(vm, p, pfn, g);
	gather_page(g, p, vpn);
}

static uint64_t pmap_large_size(const struct pmap *p)
{
	return 1ull << p->fmt->bits;
}

/*
 * The entry that maps @vpn: a leaf (present or not), or *large, that of the
 * large page around it. NULL when there is no table for it; then *span is how
 * many pages from @vpn on have none for the same reason.
 */
static void *pmap_find(const struct vm *vm, const struct pmap *p, uint64_t vpn,
		       bool *large, uint64_t *span)
{
	uint32_t pfn = p->root;

	*large = false;
	for (unsigned level = p->fmt->levels - 1; level > 0; level--) {
		void *e = pte_slot(vm, p, pfn, vpn, level);
		uint64_t v = pte_read(p, e);
		uint64_t size = 1ull << (p->fmt->bits * level);

		*span = size - (vpn & (size - 1));
		if (!(v & X86_PTE_P))
			return NULL;
		if (pte_is_large(v, level)) {
			*large = true;
			return e;
		}
		pfn = pte_pfn(v);
	}
	*span = 1;
	return pte_slot(vm, p, pfn, vpn, 0);
}

/*
 * The large page of @e becomes small ones, with the table that was put aside
 * for this when it was made. Each inherits the rights, and A and D, which a
 * CPU may be setting meanwhile. Translations do not change, so nothing is to
 * be shot down: INVLPG of any address in it drops a large one (SDM 3A
 * 4.10.4.1).
 */
static void pmap_split(struct vm *vm, struct pmap *p, void *e)
{
	uint64_t v = pte_read(p, e), late, n = pmap_large_size(p);
	uint32_t base = pte_pfn(v), table = frame_at(vm, base)->spare;
	uint64_t flags = v & ~(X86_PTE64_ADDR | X86_PTE_PS);

	assert(table);
	frame_at(vm, base)->spare = 0;
	frame_at(vm, table)->rmap = (uint64_t)((uint8_t *)e - vm->ram.base);
	frame_at(vm, table)->aux = (uint32_t)n;
	for (uint64_t i = 0; i < n; i++)
		pte_write(vm, p, pte_slot(vm, p, table, i, 0), 0,
			  flags | (base + i) << PAGE_SHIFT);
	late = pte_write(vm, p, e, 0,
			 (uint64_t)table << PAGE_SHIFT | PTE_TABLE);
	late &= ~v & (X86_PTE_A | X86_PTE_D);
	for (uint64_t i = 0; late && i < n; i++)
		pte_write(vm, p, pte_slot(vm, p, table, i, 0), ~0ull, late);
	p->nlarge--;
	vm_count(vm, HUGESPLIT);
}

/* The small entry for @vpn, splitting a large page. */
static void *pmap_leaf(struct vm *vm, struct pmap *p, uint64_t vpn,
		       uint64_t *span)
{
	bool large;
	void *e = pmap_find(vm, p, vpn, &large, span);

	if (e && large) {
		pmap_split(vm, p, e);
		e = pmap_find(vm, p, vpn, &large, span);
	}
	return e;
}

/* The entry for @vpn at level @stop, making tables above it and splitting a
 * large page in the way. => NULL: no frame for a table. */
static void *pmap_make(struct vm *vm, struct pmap *p, uint64_t vpn,
		       unsigned stop, struct gather *g)
{
	uint32_t pfn = p->root;

	for (unsigned level = p->fmt->levels - 1; level > stop; level--) {
		void *e = pte_slot(vm, p, pfn, vpn, level);
		uint64_t v = pte_read(p, e);

		if (pte_is_large(v, level)) {
			pmap_split(vm, p, e);
			v = pte_read(p, e);
		} else if (!(v & X86_PTE_P)) {
			uint32_t sub = table_new(vm, e);

			if (sub == PFN_NONE) {
				table_unmake(vm, p, pfn, vpn, g);
				return NULL;
			}
			v = (uint64_t)sub << PAGE_SHIFT | PTE_TABLE;
			pte_write(vm, p, e, 0, v);
			frame_at(vm, pfn)->aux++;
		}
		pfn = pte_pfn(v);
	}
	return pte_slot(vm, p, pfn, vpn, stop);
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
		if (n > 1u << 18)	/* what the reverse map can name */
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

/* The root's entry for pinned table @i. */
static void *pmap_pinned(const struct vm *vm, const struct pmap *p, unsigned i)
{
	unsigned top = p->fmt->levels - 1;

	return pte_slot(vm, p, p->root, (uint64_t)i << (p->fmt->bits * top),
			top);
}

/* The tables that stay for the life of the page table: each counts one entry
 * that is not there, so that it is never empty. */
static int pmap_pin(struct vm *vm, struct pmap *p)
{
	for (unsigned i = 0; i < p->fmt->pinned; i++) {
		void *e = pmap_pinned(vm, p, i);
		uint32_t sub = table_new(vm, e);

		if (sub == PFN_NONE)
			return -ENOMEM;
		/* A PDPTE has no rights: those bits are reserved. */
		pte_write(vm, p, e, 0, (uint64_t)sub << PAGE_SHIFT | X86_PTE_P);
		frame_at(vm, sub)->aux = 1;
		frame_at(vm, p->root)->aux++;
	}
	return 0;
}

/* The root goes, and what is pinned below it. */
static void pmap_free_root(struct vm *vm, struct pmap *p)
{
	for (unsigned i = 0; i < p->fmt->pinned; i++) {
		uint64_t v = pte_read(p, pmap_pinned(vm, p, i));

		if (!(v & X86_PTE_P))
			continue;
		assert(frame_at(vm, pte_pfn(v))->aux == 1);
		vm->frames.ntables--;
		frame_free(vm, pte_pfn(v));
	}
	vm->frames.ntables--;
	frame_free(vm, p->root);
	p->root = PFN_NONE;
}

int pmap_create(struct vm *vm, struct pmap *p, struct proc *proc)
{
	int err;

	p->fmt = &pmap_formats[vm->cfg.mode];
	p->resident = p->nlarge = 0;
	p->root = table_new(vm, NULL);
	if (p->root == PFN_NONE)
		return -ENOMEM;
	err = pmap_pin(vm, p);
	if (err == 0)
		err = pmap_new_id(vm, p, proc);
	if (err < 0)
		pmap_free_root(vm, p);
	return err;
}

uint32_t pmap_frames(const struct vm *vm)
{
	return frame_leaves(vm, FRAME_FOR_TABLE) + 1 +
	       pmap_formats[vm->cfg.mode].pinned;
}

void pmap_destroy(struct vm *vm, struct pmap *p)
{
	assert(p->resident == 0);
	assert(frame_at(vm, p->root)->aux == p->fmt->pinned);
	vm->pmap_proc[p->id] = NULL;
	if (p->id < vm->pmap_hint)
		vm->pmap_hint = p->id;
	pmap_free_root(vm, p);
}

static uint64_t pmap_flags(const struct pmap *p, unsigned prot, bool dirty)
{
	uint64_t e = X86_PTE_P | X86_PTE_U | X86_PTE_A;

	if (prot & VM_PROT_WRITE)
		e |= X86_PTE_W | (dirty ? X86_PTE_D : 0);
	if (p->fmt->size == 8 && !(prot & VM_PROT_EXEC))
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

/* Another CPU was faster: a large page maps @pfn here with these rights. */
static bool pmap_large_serves(const struct vm *vm, const struct pmap *p,
			      uint64_t vpn, uint32_t pfn, uint64_t set)
{
	uint64_t span, v, rights = X86_PTE_W | X86_PTE_D;
	bool large;
	void *e;

	if (p->nlarge == 0)
		return false;
	e = pmap_find(vm, p, vpn, &large, &span);
	if (!e || !large)
		return false;
	v = pte_read(p, e);
	return pte_pfn(v) + (vpn & (pmap_large_size(p) - 1)) == pfn &&
	       !(set & ~v & rights) && !(v & ~set & X86_PTE_NX);
}

int pmap_enter_large(struct vm *vm, struct pmap *p, uint64_t vpn, uint32_t pfn,
		     unsigned prot, bool dirty, struct gather *g)
{
	uint64_t n = pmap_large_size(p);
	void *e = pmap_make(vm, p, vpn, 1, g);
	uint32_t table;

	assert(vpn % n == 0 && pfn % n == 0);
	if (!e)
		return -ENOMEM;
	/* A table that is here has live entries. */
	if (pte_read(p, e) & X86_PTE_P || frame_at(vm, pfn)->spare)
		return -EEXIST;
	table = table_new(vm, NULL);
	if (table == PFN_NONE) {
		table_unmake(vm, p, pte_table(vm, e), vpn, g);
		return -ENOMEM;
	}
	frame_at(vm, pfn)->spare = table;
	for (uint64_t i = 0; i < n; i++) {
		assert(frame_at(vm, pfn + i)->rmap == 0);
		rmap_add(vm, frame_at(vm, pfn + i),
			 RMAP_PLACE(p->id, vpn + i));
	}
	pte_write(vm, p, e, 0, pmap_flags(p, prot, dirty) | X86_PTE_PS |
		  (uint64_t)pfn << PAGE_SHIFT);
	frame_at(vm, pte_table(vm, e))->aux++;
	p->resident += n;
	p->nlarge++;
	return 0;
}

int pmap_enter(struct vm *vm, struct pmap *p, uint64_t vpn, uint32_t pfn,
	       unsigned prot, bool dirty, struct gather *g)
{
	uint64_t set = pmap_flags(p, prot, dirty), old;
	struct frame *f = frame_at(vm, pfn);
	void *e;

	if (pmap_large_serves(vm, p, vpn, pfn, set))
		return 0;
	e = pmap_make(vm, p, vpn, 0, g);
	if (!e)
		return -ENOMEM;
	assert(f->state == FRAME_PAGE && !(f->flags & FRAME_READING));
	set |= (uint64_t)pfn << PAGE_SHIFT;
	old = pte_read(p, e);
	if ((old & X86_PTE_P) && pte_pfn(old) == pfn) {
		old = pte_write(vm, p, e, X86_PTE_A | X86_PTE_D, set);
		if ((old & X86_PTE_W) && !(set & X86_PTE_W))
			gather_page(g, p, vpn);
		return 0;
	}
	if (rmap_add(vm, f, RMAP_PLACE(p->id, vpn)) < 0) {
		table_unmake(vm, p, pte_table(vm, e), vpn, g);
		return -ENOMEM;
	}
	old = pte_write(vm, p, e, 0, set);
	p->resident++;
	if (old & X86_PTE_P)
		pmap_removed(vm, p, vpn, old, g);
	else
		frame_at(vm, pte_table(vm, e))->aux++;
	return 0;
}

void *pmap_vacant(const struct vm *vm, const struct pmap *p, uint64_t vpn)
{
	uint64_t span;
	bool large;
	void *e = pmap_find(vm, p, vpn, &large, &span);

	return e && !large && !(pte_read(p, e) & X86_PTE_P) ? e : NULL;
}

void pmap_fill(struct vm *vm, struct pmap *p, void *e, uint64_t vpn,
	       uint32_t pfn, unsigned prot, bool dirty)
{
	assert(frame_at(vm, pfn)->rmap == 0);
	rmap_add(vm, frame_at(vm, pfn), RMAP_PLACE(p->id, vpn));
	pte_write(vm, p, e, 0, pmap_flags(p, prot, dirty) |
		  (uint64_t)pfn << PAGE_SHIFT);
	p->resident++;
	frame_at(vm, pte_table(vm, e))->aux++;
}

/* Remove the present entry @e. */
static void pmap_remove_one(struct vm *vm, struct pmap *p, uint64_t vpn,
			    void *e, struct gather *g)
{
	uint32_t table = pte_table(vm, e);
	uint64_t old = pte_write(vm, p, e, 0, 0);

	assert(old & X86_PTE_P);
	pmap_removed(vm, p, vpn, old, g);
	frame_at(vm, table)->aux--;
	table_release(vm, p, table, g);
}

/* Remove the large page of @e, whole. */
static void pmap_remove_large(struct vm *vm, struct pmap *p, uint64_t vpn,
			      void *e, struct gather *g)
{
	uint32_t table = pte_table(vm, e), spare;
	uint64_t old = pte_write(vm, p, e, 0, 0), n = pmap_large_size(p);

	p->nlarge--;
	spare = frame_at(vm, pte_pfn(old))->spare;
	frame_at(vm, pte_pfn(old))->spare = 0;
	for (uint64_t i = 0; i < n; i++)
		pmap_removed(vm, p, vpn + i, old + (i << PAGE_SHIFT), g);
	vm->frames.ntables--;
	frame_at(vm, spare)->state = FRAME_HELD;
	gather_frame(vm, g, spare);
	frame_at(vm, table)->aux--;
	table_release(vm, p, table, g);
}

/*
 * The next present entry in [*vpn, @end): *vpn is where; a large page only if
 * the range has all of it, it is split otherwise. => NULL: no more.
 */
static void *pmap_next(struct vm *vm, struct pmap *p, uint64_t *vpn,
		       uint64_t end, bool *large)
{
	uint64_t n = pmap_large_size(p), span;

	while (*vpn < end && p->resident > 0) {
		void *e = pmap_find(vm, p, *vpn, large, &span);

		if (e && *large && (*vpn % n || end - *vpn < n)) {
			pmap_split(vm, p, e);
			continue;
		}
		if (e && (pte_read(p, e) & X86_PTE_P))
			return e;
		*vpn += span;
	}
	return NULL;
}

void pmap_remove(struct vm *vm, struct pmap *p, uint64_t vpn, uint64_t n,
		 struct gather *g)
{
	uint64_t end = vpn + n;
	bool large;
	void *e;

	while ((e = pmap_next(vm, p, &vpn, end, &large))) {
		if (large)
			pmap_remove_large(vm, p, vpn, e, g);
		else
			pmap_remove_one(vm, p, vpn, e, g);
		vpn += large ? pmap_large_size(p) : 1;
	}
}

/* Clear @bits of entry @e, which maps @n pages; harvest D when it is among
 * them. */
static uint64_t pmap_clear(struct vm *vm, struct pmap *p, uint64_t vpn,
			   void *e, uint64_t n, uint64_t bits,
			   struct gather *g)
{
	uint64_t old = pte_write(vm, p, e, ~bits, 0);

	if (old & bits & X86_PTE_D)
		for (uint64_t i = 0; i < n; i++)
			frame_at(vm, pte_pfn(old) + i)->flags |= FRAME_DIRTY;
	if (old & bits)
		gather_page(g, p, vpn);
	return old;
}

void pmap_protect(struct vm *vm, struct pmap *p, uint64_t vpn, uint64_t n,
		  unsigned prot, struct gather *g)
{
	uint64_t end = vpn + n, size;
	bool large, gone;
	void *e;

	while ((e = pmap_next(vm, p, &vpn, end, &large))) {
		size = large ? pmap_large_size(p) : 1;
		/* Rights to execute are taken by taking the page: let it
		 * fault. */
		gone = !prot ||
		       (p->fmt->size == 8 && !(prot & VM_PROT_EXEC) &&
			!(pte_read(p, e) & X86_PTE_NX));
		if (gone && large)
			pmap_remove_large(vm, p, vpn, e, g);
		else if (gone)
			pmap_remove_one(vm, p, vpn, e, g);
		else if (!(prot & VM_PROT_WRITE))
			pmap_clear(vm, p, vpn, e, size, X86_PTE_W | X86_PTE_D,
				   g);
		vpn += size;
	}
}

uint64_t pmap_count(const struct vm *vm, const struct pmap *p, uint64_t vpn,
		    uint64_t n, uint64_t *nlarge)
{
	uint64_t end = vpn + n, span, count = 0;
	bool large;

	*nlarge = 0;
	while (vpn < end && count < p->resident) {
		void *e = pmap_find(vm, p, vpn, &large, &span);

		if (span > end - vpn)
			span = end - vpn;
		if (e && (pte_read(p, e) & X86_PTE_P)) {
			count += span;
			*nlarge += large ? span : 0;
		}
		vpn += span;
	}
	return count;
}

uint64_t pmap_entry(const struct vm *vm, const struct pmap *p, uint64_t vpn)
{
	uint64_t span, v;
	bool large;
	void *e = pmap_find(vm, p, vpn, &large, &span);

	v = e ? pte_read(p, e) : 0;
	if (large)
		v = (v & ~X86_PTE_PS) +
		    ((vpn & (pmap_large_size(p) - 1)) << PAGE_SHIFT);
	return v & X86_PTE_P ? v : 0;
}

/* ---- from the side of the frame ---- */

/* The entry at @place, which the reverse map says is present; @split: not
 * that of a large page. */
static void *pmap_place(struct vm *vm, uint64_t place, bool split,
			struct pmap **p)
{
	uint64_t span;
	bool large;
	void *e;

	*p = &vm->pmap_proc[RMAP_ID(place)]->pmap;
	if (split)
		e = pmap_leaf(vm, *p, RMAP_VPN(place), &span);
	else
		e = pmap_find(vm, *p, RMAP_VPN(place), &large, &span);
	assert(e);
	return e;
}

void pmap_frame_prefetch(const struct vm *vm, const uint32_t *pfn, unsigned n)
{
	struct rmap_walk w;
	uint64_t place, span;
	bool large;

	for (unsigned i = 0; i < n && i < FRAME_AHEAD; i++) {
		rmap_walk(frame_at(vm, pfn[i]), &w);
		if (rmap_next(vm, &w, &place))
			__builtin_prefetch(pmap_find(vm,
				&vm->pmap_proc[RMAP_ID(place)]->pmap,
				RMAP_VPN(place), &large, &span), 1);
	}
}

void pmap_frame_remove(struct vm *vm, uint32_t pfn, struct gather *g)
{
	uint64_t place;
	struct pmap *p;

	while ((place = rmap_any(vm, frame_at(vm, pfn)))) {
		void *e = pmap_place(vm, place, true, &p);

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
		void *e = pmap_place(vm, place, true, &p);

		pmap_clear(vm, p, RMAP_VPN(place), e, 1, X86_PTE_W | X86_PTE_D,
			   g);
	}
}

/* The accessed bit of a large page is that of all its frames. */
bool pmap_frame_accessed(struct vm *vm, uint32_t pfn, struct gather *g)
{
	struct rmap_walk w;
	bool any = false;
	uint64_t place;
	struct pmap *p;

	rmap_walk(frame_at(vm, pfn), &w);
	while (rmap_next(vm, &w, &place)) {
		void *e = pmap_place(vm, place, false, &p);

		any |= !!(pmap_clear(vm, p, RMAP_VPN(place), e, 1, X86_PTE_A,
				     g) & X86_PTE_A);
	}
	return any;
}

/* Whether any entry that maps @pfn has @bit. */
static bool pmap_frame_any(const struct vm *vm, uint32_t pfn, uint64_t bit)
{
	struct rmap_walk w;
	uint64_t place, span;
	bool large;

	rmap_walk(frame_at(vm, pfn), &w);
	while (rmap_next(vm, &w, &place)) {
		const struct pmap *p = &vm->pmap_proc[RMAP_ID(place)]->pmap;
		void *e = pmap_find(vm, p, RMAP_VPN(place), &large, &span);

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
				 uint64_t *leaves, uint64_t *nlarge)
{
	bool pinned = p->fmt->pinned && level == p->fmt->levels - 2;
	unsigned live = 0, live_below;

	assert(frame_at(vm, pfn)->state == FRAME_TABLE);
	for (uint64_t i = 0; i < 1u << p->fmt->bits; i++) {
		void *at = pte_slot(vm, p, pfn, i << (p->fmt->bits * level),
				    level);
		uint64_t e = pte_read(p, at);

		if (!(e & X86_PTE_P))
			continue;
		live++;
		if (pte_is_large(e, level)) {
			*leaves += pmap_large_size(p);
			(*nlarge)++;
			assert(frame_at(vm, pte_pfn(e))->spare);
			continue;
		}
		if (level > 0) {
			assert(vm->ram.base + frame_at(vm, pte_pfn(e))->rmap ==
			       (uint8_t *)at);
			live_below = pmap_check_table(vm, p, pte_pfn(e),
						      level - 1, leaves,
						      nlarge);
			assert(live_below || p->fmt->pinned);
			continue;
		}
		(*leaves)++;
		assert(frame_at(vm, pte_pfn(e))->state == FRAME_PAGE);
		assert(frame_at(vm, pte_pfn(e))->rmap);
		/* A frame under writeback cannot be stored to. */
		assert(!(frame_at(vm, pte_pfn(e))->flags & FRAME_WRITING) ||
		       !(e & (X86_PTE_W | X86_PTE_D)));
	}
	assert(live + pinned == frame_at(vm, pfn)->aux);
	return live;
}

void pmap_check(const struct vm *vm, const struct pmap *p)
{
	uint64_t leaves = 0, nlarge = 0;

	pmap_check_table(vm, p, p->root, p->fmt->levels - 1, &leaves, &nlarge);
	assert(leaves == p->resident && nlarge == p->nlarge);
}
