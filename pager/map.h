/*
 * map.h - the virtual memory map of one process: an ordered set of areas.
 *
 * Areas do not overlap and are kept in a red-black tree by start. Lock: the
 * map's own lock for the tree and every field; where an area's object is
 * changed or its reference count moved, the core lock too, so that either is
 * enough for looking at area->object.
 */
#ifndef PAGER_MAP_H
#define PAGER_MAP_H

#include <bsd/sys/tree.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pager/core.h"

struct area {
	RB_ENTRY(area) node;
	uint64_t start, end;		/* page numbers, end not included */
	unsigned prot;			/* VM_PROT_*, as asked for */
	unsigned max_prot;		/* what mprotect may give */
	bool shared;
	bool needs_copy;		/* writes go to a shadow, yet to be made */
	bool heap;
	bool huge;			/* large pages are welcome */
	struct object *object;		/* NULL: anonymous, never touched */
	struct area *show_next, **show_prev;	/* others that show it */
	uint64_t page;			/* page of the object at start */
	uint32_t wb_seen;		/* file: object->wb_errors reported */
};

RB_HEAD(area_tree, area);

/* What @a allows: on x86 a page that can be used at all can be read. */
static inline unsigned area_rights(const struct area *a)
{
	return a->prot ? a->prot | VM_PROT_READ : 0;
}

struct map {
	pthread_mutex_t lock;
	struct area_tree tree;
	unsigned nareas;
	uint64_t npages;		/* mapped */
	uint64_t floor, ceiling;	/* where areas may be, in pages */
	uint64_t next;			/* hint: search downwards from here */
	uint64_t nunmaps;		/* areas that have gone, ever */
	uint64_t brk_start, brk;	/* bytes */
};

void map_init(struct map *m, enum vm_mode mode);

/* The area that holds @vpn, or NULL. O(log n). */
struct area *map_find(struct map *m, uint64_t vpn);
/* The first area that ends after @vpn, or NULL. */
struct area *map_after(struct map *m, uint64_t vpn);
struct area *map_next(struct area *a);
/* @n free pages, at @hint if that is free, else searched from the top down,
 * beginning at a multiple of @align (a power of two). => the first page; 0: no
 * room. */
uint64_t map_gap(struct map *m, uint64_t hint, uint64_t n, uint64_t align);
/* Are @n pages from @vpn on inside what a process may map? */
bool map_valid(const struct map *m, uint64_t vpn, uint64_t n);

/* Put in a new area (copied from @a, its object reference taken over), joined
 * to the area before it where both are private anonymous memory of one kind and
 * @a is untouched. => core lock held; NULL: no memory. */
struct area *map_insert(struct vm *vm, struct map *m, const struct area *a);
/* Cut so that areas begin at @vpn and end at @end. => 0, -ENOMEM. */
int map_clip(struct vm *vm, struct map *m, uint64_t vpn, uint64_t end);
/* Take @a out and free it; its object reference is the caller's now. */
void map_erase(struct map *m, struct area *a);
/* @a, in a map, shows @o from now on; NULL: nothing. Moves no reference. =>
 * core lock held. */
void area_show(struct area *a, struct object *o);
/* Every page of the range is mapped. */
bool map_covers(struct map *m, uint64_t vpn, uint64_t end);
void map_check(struct map *m);

RB_PROTOTYPE(area_tree, area, node, area_compare)

#endif
