/*
 * map.c - areas of one address space; see map.h.
 *
 * Knows ranges and trees, nothing of page tables. Invariants: areas are not
 * empty, do not overlap, and lie between floor and ceiling. Lock: the map's.
 */
#include "pager/map.h"

#include <errno.h>
#include <stdlib.h>

#include "pager/object.h"

static int area_compare(const struct area *a, const struct area *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
RB_GENERATE(area_tree, area, node, area_compare)
#pragma GCC diagnostic pop

void map_init(struct map *m, enum vm_mode mode)
{
	pthread_mutex_init(&m->lock, NULL);
	RB_INIT(&m->tree);
	m->nareas = 0;
	m->npages = 0;
	m->floor = 16;			/* Linux's mmap_min_addr */
	m->ceiling = pmap_limit(mode) - 1;
	m->next = m->ceiling;
	m->brk_start = mode == VM_MODE_64 || mode == VM_MODE_LA57 ?
		0x555555800000ull : 0x09000000ull;
	m->brk = m->brk_start;
}

struct area *map_find(struct map *m, uint64_t vpn)
{
	struct area *a = map_after(m, vpn);

	return a && a->start <= vpn ? a : NULL;
}

struct area *map_after(struct map *m, uint64_t vpn)
{
	struct area *a = RB_ROOT(&m->tree), *best = NULL;

	while (a) {
		if (a->end > vpn) {
			best = a;
			a = RB_LEFT(a, node);
		} else {
			a = RB_RIGHT(a, node);
		}
	}
	return best;
}

struct area *map_next(struct area *a)
{
	return RB_NEXT(area_tree, NULL, a);
}

bool map_valid(const struct map *m, uint64_t vpn, uint64_t n)
{
	return n > 0 && vpn >= m->floor && vpn < m->ceiling &&
	       n <= m->ceiling - vpn;
}

static bool map_free_at(struct map *m, uint64_t vpn, uint64_t n)
{
	struct area *a;

	if (!map_valid(m, vpn, n))
		return false;
	a = map_after(m, vpn);
	return !a || a->start >= vpn + n;
}

/* The highest gap of @n pages that ends at or below @top and begins at a
 * multiple of @align, a power of two. */
static uint64_t map_gap_below(struct map *m, uint64_t top, uint64_t n,
			      uint64_t align)
{
	struct area *a = map_after(m, top - 1);

	if (a && a->start < top)
		top = a->start;
	a = a ? RB_PREV(area_tree, &m->tree, a) :
		RB_MAX(area_tree, &m->tree);
	for (; top >= m->floor + n; a = RB_PREV(area_tree, &m->tree, a)) {
		uint64_t at = (top - n) & ~(align - 1);

		if (at >= (a ? a->end : m->floor))
			return at;
		if (!a)
			break;
		top = a->start;
	}
	return 0;
}

uint64_t map_gap(struct map *m, uint64_t hint, uint64_t n, uint64_t align)
{
	uint64_t at;

	if (n == 0 || n >= m->ceiling)
		return 0;
	if (hint && map_free_at(m, hint, n))
		return hint;
	/* Downwards from the last one: no walk over what is already there. */
	at = map_gap_below(m, m->next, n, align);
	if (!at)
		at = map_gap_below(m, m->ceiling, n, align);
	if (at)
		m->next = at;
	return at;
}

/* Does a file shine through from behind? Then `maps` names it. */
static bool area_of_file(const struct object *o)
{
	while (o->backing)
		o = o->backing;
	return o->kind == OBJECT_FILE;
}

/*
 * @tmpl, untouched anonymous memory right behind @a, can be more of @a. Where
 * @a has an object already, its pages past @a's end must be @a's to give and
 * nothing may shine through them from behind.
 */
static bool area_joins(const struct area *a, const struct area *tmpl)
{
	const struct object *o;
	uint64_t page;

	if (!a || a->end != tmpl->start || tmpl->object || a->shared ||
	    tmpl->shared || a->prot != tmpl->prot || a->heap != tmpl->heap ||
	    a->huge != tmpl->huge)
		return false;
	o = a->object;
	if (!o)
		return true;
	page = a->page + (a->end - a->start);
	return o->kind == OBJECT_ANON && o->refs == 1 && !a->needs_copy &&
	       (!o->backing || page >= o->npages) &&
	       !area_of_file(o);
}

/* Forget what @a's object has where @a is about to grow by @n pages. */
static void area_clear_ahead(struct vm *vm, struct area *a, uint64_t n)
{
	struct gather g;

	if (!a->object)
		return;
	gather_init(&g);
	object_drop_range(vm, a->object, a->page + (a->end - a->start), n, &g);
	gather_flush(vm, &g);
}

void area_show(struct area *a, struct object *o)
{
	if (a->object) {
		*a->show_prev = a->show_next;
		if (a->show_next)
			a->show_next->show_prev = a->show_prev;
	}
	a->object = o;
	if (!o)
		return;
	a->show_next = o->areas;
	a->show_prev = &o->areas;
	if (o->areas)
		o->areas->show_prev = &a->show_next;
	o->areas = a;
}

struct area *map_insert(struct vm *vm, struct map *m, const struct area *tmpl)
{
	struct area *next = map_after(m, tmpl->end), *prev, *a;

	prev = next ? RB_PREV(area_tree, &m->tree, next) :
		RB_MAX(area_tree, &m->tree);
	assert(!prev || prev->end <= tmpl->start);
	if (area_joins(prev, tmpl)) {
		area_clear_ahead(vm, prev, tmpl->end - tmpl->start);
		m->npages += tmpl->end - tmpl->start;
		prev->end = tmpl->end;
		return prev;
	}
	a = malloc(sizeof(*a));
	if (!a)
		return NULL;
	*a = *tmpl;
	a->object = NULL;
	area_show(a, tmpl->object);
	m->npages += a->end - a->start;
	RB_INSERT(area_tree, &m->tree, a);
	m->nareas++;
	return a;
}

/* Cut the area in two at @vpn inside it. The object gets another reference.
 * => 0, -ENOMEM. Core lock held. */
static int map_split(struct map *m, struct area *a, uint64_t vpn)
{
	struct area *b = malloc(sizeof(*b));

	assert(a->start < vpn && vpn < a->end);
	if (!b)
		return -ENOMEM;
	*b = *a;
	b->start = vpn;
	b->page = a->page + (vpn - a->start);
	a->end = vpn;
	b->object = NULL;
	area_show(b, a->object);
	if (b->object)
		object_ref(b->object);
	RB_INSERT(area_tree, &m->tree, b);
	m->nareas++;
	return 0;
}

int map_clip(struct vm *vm, struct map *m, uint64_t vpn, uint64_t end)
{
	uint64_t cut[2] = { vpn, end };
	int err = 0;

	vm_lock(vm);
	for (int i = 0; i < 2 && !err; i++) {
		struct area *a = map_find(m, cut[i]);

		if (a && a->start < cut[i])
			err = map_split(m, a, cut[i]);
	}
	vm_unlock(vm);
	return err;
}

void map_erase(struct map *m, struct area *a)
{
	m->npages -= a->end - a->start;
	m->nareas--;
	m->nunmaps++;
	if (a->end > m->next)
		m->next = a->end < m->ceiling ? a->end : m->ceiling;
	RB_REMOVE(area_tree, &m->tree, a);
	free(a);
}

bool map_covers(struct map *m, uint64_t vpn, uint64_t end)
{
	struct area *a = map_find(m, vpn);

	while (a && a->start <= vpn && a->end < end) {
		vpn = a->end;
		a = map_next(a);
	}
	return a && a->start <= vpn;
}

void map_check(struct map *m)
{
	uint64_t last = m->floor, npages = 0;
	unsigned n = 0;
	struct area *a;

	RB_FOREACH(a, area_tree, &m->tree) {
		assert(a->start >= last && a->start < a->end);
		assert(!a->needs_copy || (a->object && !a->shared));
		last = a->end;
		npages += a->end - a->start;
		n++;
	}
	assert(last <= m->ceiling && n == m->nareas && npages == m->npages);
}
