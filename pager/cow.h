/*
 * cow.h - copy on write: fork, shadow objects, collapse.
 *
 *	before fork		after fork		after the parent writes
 *
 *	parent -> O		parent -\		parent -> S -> O <- child
 *				         > O
 *				child --/		S has the written page
 *
 * Fork makes both areas point to one object and marks them needs_copy; the
 * first write through one puts a shadow object S before O for that area, and
 * the copy of the page goes into S. O is never written through an area again
 * until only one reference is left. Then, if that is an area, it writes O
 * directly; if it is a shadow, O's pages move into the shadow and O is gone
 * (collapse), so that chains are as long as there are living generations, not
 * forks.
 *
 * A collapse waits until O has no page under I/O: pages keep their identity
 * meanwhile. Each end of an I/O and each lost reference tries again
 * (cow_settle). Lock: the core lock; for areas, their map's too.
 */
#ifndef PAGER_COW_H
#define PAGER_COW_H

#include "pager/core.h"
#include "pager/pmap.h"

struct area;
struct map;

/*
 * Make @a, which needs a copy, ready for writes: its object is its own, or a
 * new shadow stands before it. => 0, -ENOMEM.
 */
int cow_prepare(struct vm *vm, struct area *a);
/* Object @o lost a reference or its last I/O: collapse what can be. May free
 * @o. */
void cow_settle(struct vm *vm, struct object *o, struct gather *g);
/*
 * An area, or the shadow @except, no longer shows pages [@page, @page + @n) of
 * @o: those that nobody else shows go, with their swap slots. (Not where more
 * show @o than are worth asking: then they go with the object.) => not mapped
 * by who gave them up.
 */
void cow_drop_unseen(struct vm *vm, struct object *o, uint64_t page,
		     uint64_t n, const struct object *except,
		     struct gather *g);
/* Take @o out of its backing object's list of shadows; keeps the reference. */
void cow_unlink_shadow(struct object *o);
/*
 * Give @child, which is empty, what @parent has. Takes the core lock. =>
 * both maps' locks held. 0; -ENOMEM: @child has a part, tear it down.
 */
int cow_fork(struct vm *vm, struct map *parent, struct pmap *pmap,
	     struct map *child);

#endif
