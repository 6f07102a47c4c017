/*
 * refmodel.c - see refmodel.h.
 */
#include "tests/lib/refmodel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *ref_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

struct ref_object *ref_object_new(bool file, unsigned npages, uint64_t size)
{
	struct ref_object *o =
		ref_alloc(sizeof(*o) + npages * sizeof(o->page[0]));

	o->file = file;
	o->refs = 1;
	o->npages = npages;
	o->size = size;
	for (uint64_t at = 0; at < size; at++)
		o->page[at / TV_PAGE].known[at % TV_PAGE] = 1;
	return o;
}

void ref_object_put(struct ref_object *o)
{
	if (--o->refs == 0)
		free(o);
}

void ref_resize(struct ref_object *o, uint64_t size)
{
	for (uint64_t at = size; at < o->size; at++)
		o->page[at / TV_PAGE].known[at % TV_PAGE] = 0;
	o->size = size;
}

void ref_unmap(struct ref_proc *p, unsigned i, unsigned n)
{
	for (; n > 0; i++, n--) {
		struct ref_page *pg = &p->page[i];

		if (pg->mapped && pg->o)
			ref_object_put(pg->o);
		free(pg->own);
		memset(pg, 0, sizeof(*pg));
	}
}

void ref_map(struct ref_proc *p, unsigned i, unsigned n, unsigned prot,
	     bool shared, struct ref_object *o, unsigned opage)
{
	ref_unmap(p, i, n);
	for (; n > 0; i++, n--) {
		struct ref_page *pg = &p->page[i];

		pg->mapped = true;
		pg->shared = shared;
		pg->prot = prot;
		pg->o = o;
		pg->opage = opage++;
		if (o)
			o->refs++;
	}
}

struct ref_proc *ref_fork(const struct ref_proc *p)
{
	struct ref_proc *c = ref_alloc(sizeof(*c));

	*c = *p;
	for (unsigned i = 0; i < REF_PAGES; i++) {
		struct ref_page *pg = &c->page[i];

		if (pg->mapped && pg->o)
			pg->o->refs++;
		if (pg->own) {
			pg->own = ref_alloc(sizeof(*pg->own));
			*pg->own = *p->page[i].own;
		}
	}
	return c;
}

void ref_exit(struct ref_proc *p)
{
	ref_unmap(p, 0, REF_PAGES);
	free(p);
}

static unsigned ref_heap_pages(const struct ref_proc *p, uint64_t brk)
{
	return (unsigned)((brk - p->heap + TV_PAGE - 1) / TV_PAGE);
}

void ref_brk(struct ref_proc *p, uint64_t brk)
{
	unsigned from = ref_heap_pages(p, p->brk), to = ref_heap_pages(p, brk);

	if (to > from)
		ref_map(p, REF_WINDOW + from, to - from,
			VM_PROT_READ | VM_PROT_WRITE, false, NULL, 0);
	else
		ref_unmap(p, REF_WINDOW + to, from - to);
	p->brk = brk;
}

uint64_t ref_addr(const struct ref_proc *p, unsigned i)
{
	return i < REF_WINDOW ? TV_BASE + (uint64_t)i * TV_PAGE :
			p->heap + (uint64_t)(i - REF_WINDOW) * TV_PAGE;
}

enum ref_access ref_access(const struct ref_proc *p, unsigned i, bool write)
{
	const struct ref_page *pg = &p->page[i];

	/* Any right is one to read. */
	if (!pg->mapped || !(write ? pg->prot & VM_PROT_WRITE : pg->prot))
		return REF_SEGV;
	if (pg->own || !pg->o || !pg->o->file)
		return REF_GOOD;
	return (uint64_t)pg->opage * TV_PAGE < pg->o->size ? REF_GOOD :
							     REF_PAST;
}

int ref_compare(const struct ref_proc *p, unsigned i, unsigned off,
		const uint8_t *b, unsigned n)
{
	const struct ref_page *pg = &p->page[i];
	const struct ref_bytes *r = pg->own;

	if (!r && pg->o)
		r = &pg->o->page[pg->opage];
	for (unsigned at = off; at < off + n; at++) {
		if (r ? r->known[at] && r->b[at] != b[at - off] : b[at - off])
			return (int)at;
	}
	return -1;
}

/* Give a private page its own bytes. */
static void ref_own(struct ref_page *pg)
{
	if (pg->own)
		return;
	pg->own = ref_alloc(sizeof(*pg->own));
	if (pg->o)
		*pg->own = pg->o->page[pg->opage];
	else
		memset(pg->own->known, 1, TV_PAGE);
}

void ref_store(struct ref_proc *p, unsigned i, unsigned off, const uint8_t *b,
	       unsigned n)
{
	struct ref_page *pg = &p->page[i];
	struct ref_bytes *r;

	assert(off + n <= TV_PAGE);
	if (!pg->shared)
		ref_own(pg);
	r = pg->shared ? &pg->o->page[pg->opage] : pg->own;
	memcpy(r->b + off, b, n);
	memset(r->known + off, 1, n);
	if (!pg->shared || !pg->o->file)
		return;
	for (unsigned at = off; at < off + n; at++)
		if ((uint64_t)pg->opage * TV_PAGE + at >= pg->o->size)
			r->known[at] = 0;
}

void ref_doubt(struct ref_proc *p, unsigned i)
{
	struct ref_page *pg = &p->page[i];

	if (pg->shared || pg->own || !pg->o)
		return;
	ref_own(pg);
	memset(pg->own->known, 0, TV_PAGE);
}
