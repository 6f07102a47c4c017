/*
 * psc.c - modelled paging-structure caches; see psc.h.
 */
#include "psc.h"

#include <string.h>

void psc_init(struct psc *psc, const uint8_t n[WALK_LEVELS + 1])
{
	unsigned level;

	memset(psc, 0, sizeof(*psc));
	for (level = 2; level <= WALK_LEVELS; level++)
		psc->n[level] = n[level] < PSC_ENTRIES ? n[level] :
				PSC_ENTRIES;
}

static struct psc_entry *psc_find(struct psc *psc, unsigned level,
				  uint64_t key, unsigned pcid)
{
	struct psc_entry *e = psc->e[level];
	unsigned i;

	for (i = 0; i < psc->n[level]; i++)
		if (e[i].used && e[i].key == key && e[i].pcid == pcid)
			return &e[i];
	return NULL;
}

unsigned psc_lookup(struct psc *psc, enum mmu_mode mode, uint64_t va,
		    unsigned pcid, struct walk_start *start)
{
	struct psc_entry *e;
	unsigned level;

	for (level = 2; level <= WALK_LEVELS; level++) {
		e = psc_find(psc, level, va >> walk_shift(mode, level), pcid);
		if (!e)
			continue;
		e->used = ++psc->clock;
		start->table = e->table;
		start->level = level - 1;
		start->rights = e->rights;
		return level;
	}
	return 0;
}

/* The entry of @key, or an empty one, or the least recently used. */
static struct psc_entry *psc_victim(struct psc *psc, unsigned level,
				    uint64_t key, unsigned pcid)
{
	struct psc_entry *e = psc_find(psc, level, key, pcid);
	unsigned i;

	if (e)
		return e;
	e = psc->e[level];
	for (i = 1; i < psc->n[level]; i++)
		if (psc->e[level][i].used < e->used)
			e = &psc->e[level][i];
	return e;
}

void psc_fill(struct psc *psc, const struct walk *w,
	      const struct walk_start *start, unsigned pcid)
{
	enum mmu_mode mode = w->plan->mode;
	uint64_t mask = mode == MMU_32 ? X86_PTE32_ADDR : X86_PTE64_ADDR;
	struct psc_entry *e;
	unsigned level;
	uint64_t key;

	for (level = w->top; level > w->bottom; level--) {
		if (!psc->n[level])
			continue;
		key = w->va >> walk_shift(mode, level);
		e = psc_victim(psc, level, key, pcid);
		e->key = key;
		e->table = w->entry[level] & mask;
		e->used = ++psc->clock;
		e->pcid = pcid;
		e->rights = walk_rights(w, start, level);
	}
}

void psc_flush_pcid(struct psc *psc, unsigned pcid)
{
	unsigned level, i;

	for (level = 2; level <= WALK_LEVELS; level++)
		for (i = 0; i < psc->n[level]; i++)
			if (psc->e[level][i].pcid == pcid)
				psc->e[level][i].used = 0;
}

void psc_flush(struct psc *psc)
{
	unsigned level, i;

	for (level = 2; level <= WALK_LEVELS; level++)
		for (i = 0; i < psc->n[level]; i++)
			psc->e[level][i].used = 0;
}
