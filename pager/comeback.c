/*
 * comeback.c - see comeback.h.
 *
 * Callers: the lookout, when a store says that its device is gone; mmap, for
 * a device it has not seen. Both at once do no harm: each renames what it was
 * told of, and a store that is opened again twice is what it was after once.
 * Nobody need be woken: writes that failed are tried again by the clock.
 *
 * Invariant: two objects are not one file. A device that no file goes by may be
 * one that is back under a new number, so its files are asked before another
 * of it is mapped.
 *
 * Lock: the core lock, not while a store is asked; its object is pinned then.
 */
#include "pager/comeback.h"

#include <errno.h>

#include "pager/core.h"
#include "pager/object.h"

/* Core lock held; let go while the file is asked. => as store_ops.back() */
static int comeback_file(struct vm *vm, struct object *o)
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
	return back;
}

/* => as store_ops.back() */
static int comeback_swap(struct vm *vm)
{
	struct store *swap = vm->cfg.swap ? &vm->cfg.swap->store : NULL;
	uint64_t dev;

	return swap && swap->ops->back ? swap->ops->back(swap, &dev) : 0;
}

/* Another answer may come when there are descriptors, or memory, again. */
static bool comeback_is_short(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

/* => 1: one is back; or the last that comeback_is_short(); or 0 */
static int comeback_files(struct vm *vm)
{
	struct object *o;
	uint32_t id = 1;
	int back, err = 0;
	bool any = false;

	vm_lock(vm);
	for (; (o = object_next_file(vm, &id)); id++) {
		back = comeback_file(vm, o);
		any |= back > 0;
		if (comeback_is_short(back))
			err = back;
	}
	vm_unlock(vm);
	return err ? err : any;
}

bool comeback_look(struct vm *vm, bool files)
{
	int swap = comeback_swap(vm);
	bool back = swap > 0;

	if (swap || files)
		back |= comeback_files(vm) > 0;
	return back;
}

int comeback_expect(struct vm *vm, uint64_t dev)
{
	bool known;
	int err;

	vm_lock(vm);
	known = object_dev_is_known(vm, dev);
	vm_unlock(vm);
	if (known)
		return 0;
	err = comeback_files(vm);
	return err < 0 ? err : 0;
}
