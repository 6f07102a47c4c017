/*
 * comeback.c - see comeback.h.
 *
 * Callers: the lookout, when a store says that its device is gone; mmap, for
 * a device it has not seen. Both at once do no harm: each renames what it was
 * told of, and a store that is opened again twice is what it was after once.
 * Nobody need be woken: writes that failed are tried again by the clock.
 *
 * Invariant: a device in objects.devs has no files that are mapped under
 * another number. So the list is emptied when stores come back: the number
 * which they had may be given to another mount.
 *
 * Lock: the core lock, not while a store is asked; its object is pinned then.
 */
#include "pager/comeback.h"

#include "pager/core.h"
#include "pager/object.h"

/* core lock held; let go while the file is asked. => it is back */
static bool comeback_file(struct vm *vm, struct object *o)
{
	struct store *store = o->store;
	uint64_t dev;
	int back;

	object_pin(vm, o);
	vm_unlock(vm);
	back = store->ops->back ? store->ops->back(store, &dev) :
				  -EOPNOTSUPP;
	vm_lock(vm);
	if (back >= 0)
		object_rename(vm, o, dev);
	object_unpin(vm, o);
	return back > 0;
}

/* => as store_ops.back() */
static int comeback_swap(struct vm *vm)
{
	struct store *swap = vm->cfg.swap ? &vm->cfg.swap->store : NULL;
	uint64_t dev;

	return swap && swap->ops->back ? swap->ops->back(swap, &dev) : 0;
}

bool comeback_look(struct vm *vm, bool files)
{
	int swap = comeback_swap(vm);
	bool back = swap > 0;
	struct object *o;
	uint32_t id = 1;

	if (!swap && !files)
		return false;
	vm_lock(vm);
	for (; (o = object_next_file(vm, &id)); id++)
		back |= comeback_file(vm, o);
	if (back)
		vm->objects.ndevs = 0;
	vm_unlock(vm);
	return back;
}

void comeback_expect(struct vm *vm, uint64_t dev)
{
	struct object_table *t = &vm->objects;
	bool known = false;

	vm_lock(vm);
	for (unsigned i = 0; i < t->ndevs; i++)
		known |= t->devs[i] == dev;
	vm_unlock(vm);
	if (known)
		return;
	comeback_look(vm, true);
	vm_lock(vm);
	if (t->ndevs < OBJECT_DEVS)
		t->devs[t->ndevs++] = dev;
	vm_unlock(vm);
}
