/*
 * rmap.c - the reverse map; see rmap.h.
 *
 * Invariant: a chain has at least two nodes when made and may shrink to one;
 * an empty one is 0 again. Node 0 is never used. Lock: the core lock.
 */
#include "pager/rmap.h"

#include <errno.h>
#include <stdlib.h>

#include "pager/frame.h"

static int rmap_grow(struct vm *vm)
{
	struct rmap_pool *p = &vm->rmap;
	uint32_t n = p->n ? p->n * 2 : 256;
	struct rmap_node *node = realloc(p->node, n * sizeof(*node));

	if (!node)
		return -ENOMEM;
	for (uint32_t i = n - 1; i >= (p->n ? p->n : 1); i--) {
		node[i].next = p->free;
		p->free = i;
	}
	p->node = node;
	p->n = n;
	return 0;
}

static uint32_t rmap_push(struct vm *vm, uint64_t place, uint32_t next)
{
	struct rmap_pool *p = &vm->rmap;
	uint32_t i = p->free;

	p->free = p->node[i].next;
	p->node[i].place = place;
	p->node[i].next = next;
	return i;
}

/* At least two nodes are free. */
static bool rmap_reserve(struct vm *vm)
{
	struct rmap_pool *p = &vm->rmap;

	return p->free && p->node[p->free].next;
}

int rmap_add(struct vm *vm, struct frame *f, uint64_t place)
{
	uint32_t head;

	if (f->rmap == 0) {
		f->rmap = place;
		return 0;
	}
	if (!rmap_reserve(vm) && rmap_grow(vm) < 0)
		return -ENOMEM;
	if (f->rmap & RMAP_CHAIN)
		head = (uint32_t)f->rmap;
	else
		head = rmap_push(vm, f->rmap, 0);
	f->rmap = RMAP_CHAIN | rmap_push(vm, place, head);
	return 0;
}

void rmap_remove(struct vm *vm, struct frame *f, uint64_t place)
{
	struct rmap_pool *p = &vm->rmap;
	uint32_t head, *at = &head, i;

	if (!(f->rmap & RMAP_CHAIN)) {
		assert(f->rmap == place);
		f->rmap = 0;
		return;
	}
	head = (uint32_t)f->rmap;
	while (p->node[*at].place != place) {
		at = &p->node[*at].next;
		assert(*at);
	}
	i = *at;
	*at = p->node[i].next;
	p->node[i].next = p->free;
	p->free = i;
	f->rmap = head ? RMAP_CHAIN | head : 0;
}

void rmap_walk(const struct frame *f, struct rmap_walk *w)
{
	w->single = f->rmap & RMAP_CHAIN ? 0 : f->rmap;
	w->next = f->rmap & RMAP_CHAIN ? (uint32_t)f->rmap : 0;
}

bool rmap_next(const struct vm *vm, struct rmap_walk *w, uint64_t *place)
{
	if (w->single) {
		*place = w->single;
		w->single = 0;
		return true;
	}
	if (!w->next)
		return false;
	*place = vm->rmap.node[w->next].place;
	w->next = vm->rmap.node[w->next].next;
	return true;
}

unsigned rmap_count(const struct vm *vm, const struct frame *f)
{
	struct rmap_walk w;
	uint64_t place;
	unsigned n = 0;

	rmap_walk(f, &w);
	while (rmap_next(vm, &w, &place))
		n++;
	return n;
}

void rmap_destroy(struct vm *vm)
{
	free(vm->rmap.node);
}
