/*
 * rmap.c - the reverse map; see rmap.h.
 *
 * The nodes of a frame are a digital search tree: at depth d, bit d of the
 * place's hash says to which side. A node may stand anywhere on its place's
 * way, so one that goes is replaced by any leaf below it, and nothing is ever
 * balanced. Different places have different hashes, so no way is longer than
 * 64 nodes, and hardly one longer than twice the logarithm of their number.
 *
 * Invariant: a tree has at least two nodes when made and may shrink to one; an
 * empty one is 0 again. Node 0 is never used. Lock: the core lock.
 */
#include "pager/rmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/frame.h"

static int rmap_grow(struct vm *vm)
{
	struct rmap_pool *p = &vm->rmap;
	uint32_t n = p->n ? p->n * 2 : 256;
	struct rmap_node *node = realloc(p->node, n * sizeof(*node));

	if (!node)
		return -ENOMEM;
	for (uint32_t i = n - 1; i >= (p->n ? p->n : 1); i--) {
		node[i].child[0] = p->free;
		p->free = i;
	}
	p->node = node;
	p->n = n;
	return 0;
}

/* At least two nodes are free. */
static bool rmap_reserve(struct vm *vm)
{
	struct rmap_pool *p = &vm->rmap;

	return p->free && p->node[p->free].child[0];
}

/* Which side to go: the bits from the highest on. One place, one hash. */
static uint64_t rmap_hash(uint64_t place)
{
	return (place ^ place >> 32) * 0x9e3779b97f4a7c15ull;
}

/* @place into the tree *@at. => a node is free */
static void rmap_insert(struct rmap_pool *p, uint32_t *at, uint64_t place)
{
	uint64_t way = rmap_hash(place);
	uint32_t i = p->free;

	p->free = p->node[i].child[0];
	p->node[i] = (struct rmap_node){ .place = place };
	for (; *at; way <<= 1)
		at = &p->node[*at].child[way >> 63];
	*at = i;
}

int rmap_add(struct vm *vm, struct frame *f, uint64_t place)
{
	uint32_t root = 0;

	if (f->rmap == 0) {
		f->rmap = place;
		return 0;
	}
	if (!rmap_reserve(vm) && rmap_grow(vm) < 0)
		return -ENOMEM;
	if (f->rmap & RMAP_TREE)
		root = (uint32_t)f->rmap;
	else
		rmap_insert(&vm->rmap, &root, f->rmap);
	rmap_insert(&vm->rmap, &root, place);
	f->rmap = RMAP_TREE | root;
	return 0;
}

/* Node *@at goes; a leaf from below it takes its place. */
static void rmap_delete(struct rmap_pool *p, uint32_t *at)
{
	uint32_t i = *at, *end = at, leaf;

	while (p->node[*end].child[0] || p->node[*end].child[1])
		end = &p->node[*end].child[!p->node[*end].child[0]];
	leaf = *end;
	*end = 0;
	if (leaf != i) {
		memcpy(p->node[leaf].child, p->node[i].child,
		       sizeof(p->node[i].child));
		*at = leaf;
	}
	p->node[i].child[0] = p->free;
	p->free = i;
}

void rmap_remove(struct vm *vm, struct frame *f, uint64_t place)
{
	struct rmap_pool *p = &vm->rmap;
	uint64_t way = rmap_hash(place);
	uint32_t root, *at = &root;

	if (!(f->rmap & RMAP_TREE)) {
		assert(f->rmap == place);
		f->rmap = 0;
		return;
	}
	root = (uint32_t)f->rmap;
	for (; p->node[*at].place != place; way <<= 1) {
		at = &p->node[*at].child[way >> 63];
		assert(*at);
	}
	rmap_delete(p, at);
	f->rmap = root ? RMAP_TREE | root : 0;
}

uint64_t rmap_any(const struct vm *vm, const struct frame *f)
{
	return f->rmap & RMAP_TREE ? vm->rmap.node[(uint32_t)f->rmap].place :
				     f->rmap;
}

void rmap_walk(const struct frame *f, struct rmap_walk *w)
{
	w->single = f->rmap & RMAP_TREE ? 0 : f->rmap;
	w->n = 0;
	if (f->rmap & RMAP_TREE)
		w->node[w->n++] = (uint32_t)f->rmap;
}

bool rmap_next(const struct vm *vm, struct rmap_walk *w, uint64_t *place)
{
	const struct rmap_node *node;

	if (w->single) {
		*place = w->single;
		w->single = 0;
		return true;
	}
	if (!w->n)
		return false;
	node = &vm->rmap.node[w->node[--w->n]];
	*place = node->place;
	for (unsigned side = 0; side < 2; side++)
		if (node->child[side])
			w->node[w->n++] = node->child[side];
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
