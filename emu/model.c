/*
 * model.c - modelled translation caches; see model.h.
 *
 *	model_access()	first level, second level, else a walk from where the
 *			paging-structure caches say; what it found fills all
 *
 * A translation that is found but does not do (D clear for a write, rights
 * too few) is dropped and walked for again: so a fault always comes from the
 * tables as they are, never from a cache (the manual would let it; SDM 3A
 * 4.10.4.3), and a walk that faulted from the middle is done once more from
 * the root. A fault drops what there is for its address (4.10.4.1).
 *
 * Invariants: an entry was given by a walk that succeeded, since the last
 * invalidation that covers it; of one address and PCID an array holds one
 * entry. Locks: none, the CPU's own.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "ram.h"
#include "stale.h"

static const uint8_t model_shift[MODEL_SIZES] = { 12, 21, 30 };

/* Only the owner writes, so no locked add; others may be reading. */
static void model_count(uint64_t *counter, unsigned n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* ---- one TLB ---- */

static bool tlb_make(struct model_tlb *t, const struct model_geometry *g)
{
	const struct model_array *a;
	unsigned i;

	t->geometry = *g;
	for (i = 0; i < MODEL_ARRAYS; i++) {
		a = &g->array[i];
		t->array[i] = NULL;
		if (!a->sizes)
			continue;
		t->array[i] = calloc((size_t)a->sets * a->ways,
				     sizeof(struct model_entry));
		if (!t->array[i])
			return false;
	}
	return true;
}

static void tlb_free(struct model_tlb *t)
{
	unsigned i;

	for (i = 0; i < MODEL_ARRAYS; i++)
		free(t->array[i]);
}

/* The set where a piece of 2^@shift bytes at @va would be. */
static struct model_entry *tlb_set(struct model_tlb *t, unsigned i,
				   uint64_t va, unsigned shift)
{
	const struct model_array *a = &t->geometry.array[i];

	return t->array[i] + (va >> shift & (a->sets - 1)) * a->ways;
}

static struct model_entry *set_find(struct model_entry *set, unsigned ways,
				    uint64_t va, unsigned shift,
				    unsigned pcid)
{
	struct model_entry *e;

	for (e = set; e < set + ways; e++)
		if (e->used && e->shift == shift &&
		    !((e->va ^ va) >> shift) && (e->global || e->pcid == pcid))
			return e;
	return NULL;
}

static struct model_entry *tlb_find(struct model_tlb *t, uint64_t va,
				    unsigned pcid)
{
	struct model_entry *e;
	unsigned i, size, shift;

	for (i = 0; i < MODEL_ARRAYS; i++)
		for (size = 0; size < MODEL_SIZES; size++) {
			if (!(t->geometry.array[i].sizes >> size & 1))
				continue;
			shift = model_shift[size];
			e = set_find(tlb_set(t, i, va, shift),
				     t->geometry.array[i].ways, va, shift,
				     pcid);
			if (e)
				return e;
		}
	return NULL;
}

/* The array for pieces of @size, or for the largest smaller ones. */
static int tlb_array(const struct model_tlb *t, unsigned *size)
{
	int i, s;

	for (s = *size; s >= 0; s--)
		for (i = 0; i < MODEL_ARRAYS; i++)
			if (t->geometry.array[i].sizes >> s & 1) {
				*size = s;
				return i;
			}
	return -1;
}

/* @new is of the whole page; a piece of it around @va goes in. */
static void tlb_put(struct model_tlb *t, const struct model_entry *new,
		    uint64_t va)
{
	unsigned size = new->page >= 30 ? 2 : new->page >= 21;
	struct model_entry *set, *e, *way;
	int i = tlb_array(t, &size);
	uint64_t offset;

	if (i < 0)
		return;
	set = tlb_set(t, i, va, model_shift[size]);
	e = set_find(set, t->geometry.array[i].ways, va, model_shift[size],
		     new->pcid);
	if (!e)
		for (e = way = set; way < set + t->geometry.array[i].ways;
		     way++)
			if (way->used < e->used)
				e = way;
	*e = *new;
	e->shift = model_shift[size];
	e->va = va >> e->shift << e->shift;
	offset = e->va & ((1ull << new->page) - 1);
	e->pa = new->pa + offset;
}

/* ---- forgetting ---- */

struct who {
	bool all;		/* PCIDs */
	bool global;		/* global ones too */
	bool one;		/* address only */
	unsigned pcid;
	uint64_t va;
};

static bool who_has(const struct who *who, const struct model_entry *e)
{
	if (who->one && (e->va ^ who->va) >> e->page)
		return false;
	if (e->global)
		return who->global;
	return who->all || e->pcid == who->pcid;
}

static void tlb_drop(struct model_tlb *t, const struct who *who)
{
	const struct model_array *a;
	struct model_entry *e;
	unsigned i;

	for (i = 0; i < MODEL_ARRAYS; i++) {
		a = &t->geometry.array[i];
		if (!a->sizes)
			continue;
		for (e = t->array[i]; e < t->array[i] + a->sets * a->ways; e++)
			if (who_has(who, e))
				e->used = 0;
	}
}

static void model_drop(struct model *m, const struct who *who)
{
	tlb_drop(&m->l1d, who);
	tlb_drop(&m->l1i, who);
	tlb_drop(&m->l2d, who);
	tlb_drop(&m->l2i, who);
}

void model_flush_all(struct model *m)
{
	const struct who who = { .all = true, .global = true };

	model_count(&m->stats.flushes, 1);
	model_drop(m, &who);
	psc_flush(&m->psc);
}

void model_flush_nonglobal(struct model *m)
{
	const struct who who = { .all = true };

	model_count(&m->stats.flushes, 1);
	model_drop(m, &who);
	psc_flush(&m->psc);
}

void model_flush_pcid(struct model *m, unsigned pcid, bool global)
{
	const struct who who = { .pcid = pcid, .global = global };

	model_count(&m->stats.flushes, 1);
	model_drop(m, &who);
	psc_flush_pcid(&m->psc, pcid);
}

/* What a fault does, and INVLPG: see SDM 3A 4.10.4.1. */
static void model_forget(struct model *m, unsigned pcid, uint64_t va,
			 bool global)
{
	const struct who who = {
		.one = true, .va = va, .pcid = pcid, .global = global,
	};

	model_drop(m, &who);
	psc_flush_pcid(&m->psc, pcid);
}

void model_invlpg(struct model *m, unsigned pcid, uint64_t va, bool global)
{
	model_count(&m->stats.invlpgs, 1);
	model_forget(m, pcid, va, global);
}

void model_fault(struct model *m, unsigned pcid, uint64_t va)
{
	model_count(&m->stats.faults, 1);
	model_forget(m, pcid, va, true);
}

void model_shot(struct model *m)
{
	model_count(&m->stats.shootdowns, 1);
}

/* ---- an access ---- */

/* A large page may reach past RAM: there it does not. */
static bool entry_does(const struct model_entry *e, const struct walk *ask)
{
	unsigned set = mmu_allowed(ask->plan, ask->flags, e->rights, e->key);

	return (set >> ask->access & 1) &&
	       (ask->access != MMU_WRITE || e->dirty) &&
	       e->pa + (ask->va - e->va) < ask->ram->size;
}

static struct model_tlb *model_second(struct model *m, enum mmu_access access)
{
	return access == MMU_FETCH && !m->preset->unified ? &m->l2i : &m->l2d;
}

/* => an entry that does, or NULL. What came up from level two is in one. */
static struct model_entry *model_find(struct model *m, const struct walk *ask,
				      unsigned pcid)
{
	struct model_tlb *first = ask->access == MMU_FETCH ? &m->l1i : &m->l1d;
	struct model_entry *e = tlb_find(first, ask->va, pcid), whole;
	bool second = !e;

	if (second)
		e = tlb_find(model_second(m, ask->access), ask->va, pcid);
	model_count(&m->stats.misses, !e);
	if (!e)
		return NULL;
	if (!entry_does(e, ask)) {
		model_count(&m->stats.rewalks, 1);
		model_forget(m, pcid, ask->va, true);
		return NULL;
	}
	e->used = ++m->clock;
	model_count(second ? &m->stats.l2_hits : &m->stats.l1_hits, 1);
	if (second) {
		whole = *e;
		whole.pa -= e->va & ((1ull << e->page) - 1);
		tlb_put(first, &whole, ask->va);
	}
	return e;
}

/* Entries whose A, or D, the walk had to set. */
static unsigned walk_marks(const struct walk *w)
{
	unsigned n = 0, level;

	if (w->plan->mode == MMU_OFF)
		return 0;
	for (level = w->top; level >= w->bottom; level--)
		n += !(w->entry[level] & X86_PTE_A) ||
		     (level == w->bottom && w->access == MMU_WRITE &&
		      !(w->entry[level] & X86_PTE_D));
	return n;
}

static void model_fill(struct model *m, const struct walk *w,
		       const struct walk_start *start, unsigned pcid,
		       const struct mmu_result *res)
{
	const struct model_entry whole = {
		.pa = res->pa & ~((1ull << res->shift) - 1),
		.entry = w->entry[w->bottom], .used = ++m->clock,
		.pcid = pcid, .page = res->shift,
		.rights = res->rights, .key = res->key, .dirty = res->dirty,
		.global = res->global,
	};

	if (w->plan->mode == MMU_OFF)
		return;
	tlb_put(model_second(m, w->access), &whole, w->va);
	tlb_put(w->access == MMU_FETCH ? &m->l1i : &m->l1d, &whole, w->va);
	psc_fill(&m->psc, w, start, pcid);
}

/* @w has run, from the root or not, and ended wherever it did. */
static void model_walked(struct model *m, const struct walk *w)
{
	if (w->plan->mode == MMU_OFF)
		return;
	model_count(&m->stats.walks, 1);
	if (w->bottom)
		model_count(&m->stats.entries, w->top - w->bottom + 1);
}

static int model_run(struct model *m, struct walk *w,
		     const struct walk_start *start, struct mmu_result *res,
		     struct page_fault *pf)
{
	int err;

	w->bottom = 0;		/* nothing read yet */
	err = walk_run(w, start, res, pf);
	model_walked(m, w);
	return err;
}

/* => 0 and *@res, caches filled; or -1 and *@pf, from the tables as they are */
static int model_walk(struct model *m, struct walk *w, unsigned pcid,
		      struct mmu_result *res, struct page_fault *pf)
{
	struct walk_start from, *start = NULL;
	unsigned level;

	level = psc_lookup(&m->psc, w->plan->mode, w->va, pcid, &from);
	if (level) {
		model_count(&m->stats.psc_hits[level], 1);
		start = &from;
	}
	if (model_run(m, w, start, res, pf)) {
		if (!start)
			return -1;
		psc_flush_pcid(&m->psc, pcid);
		start = NULL;
		if (model_run(m, w, NULL, res, pf))
			return -1;
	}
	model_count(&m->stats.marks, walk_marks(w));
	model_fill(m, w, start, pcid, res);
	return 0;
}

int model_access(struct model *m, const struct walk *ask, uint64_t cr3,
		 unsigned pcid, uint64_t *pa, struct page_fault *pf)
{
	struct model_entry *e = NULL;
	struct mmu_result res;
	struct walk w = *ask;

	if (!walk_canonical(ask->plan, ask->va))
		return walk_refuse(ask->va, ask->flags, pf);
	w.entry[1] = 0;
	model_count(&m->stats.accesses, 1);
	if (ask->plan->mode != MMU_OFF)
		e = model_find(m, ask, pcid);
	if (e)
		*pa = e->pa + (ask->va - e->va);
	else if (model_walk(m, &w, pcid, &res, pf))
		return -1;
	else
		*pa = res.pa;
	if (m->stale)
		stale_check(m->stale, m->cpu, m->attention, ask, cr3, *pa,
			    e ? e->entry : w.entry[w.bottom]);
	return 0;
}

/* What there was for it, if anything, would not do. */
void model_refused(struct model *m, const struct walk *w, unsigned pcid)
{
	if (!walk_canonical(w->plan, w->va))
		return;
	model_count(&m->stats.accesses, 1);
	if (w->plan->mode != MMU_OFF)
		model_find(m, w, pcid);
	model_walked(m, w);
}

/* ---- life ---- */

struct model *model_create(const struct model_preset *preset, unsigned cpu)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->preset = preset;
	m->cpu = cpu;
	psc_init(&m->psc, preset->psc);
	if (tlb_make(&m->l1d, &preset->l1d) &&
	    tlb_make(&m->l1i, &preset->l1i) &&
	    tlb_make(&m->l2d, &preset->l2d) &&
	    tlb_make(&m->l2i, &preset->l2i))
		return m;
	model_destroy(m);
	return NULL;
}

void model_destroy(struct model *m)
{
	if (!m)
		return;
	tlb_free(&m->l1d);
	tlb_free(&m->l1i);
	tlb_free(&m->l2d);
	tlb_free(&m->l2i);
	free(m);
}
