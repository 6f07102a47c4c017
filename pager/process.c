/*
 * process.c - processes: birth, fork, exit; see process.h.
 */
#include "pager/process.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pager/cow.h"
#include "pager/object.h"
#include "pager/sched.h"
#include "pager/wait.h"

struct proc *proc_get(struct vm *vm, int pid)
{
	struct proc *p;

	vm_lock(vm);
	HASH_FIND_INT(vm->procs, &pid, p);
	if (p)
		proc_hold(p);
	vm_unlock(vm);
	return p;
}

void proc_hold(struct proc *p)
{
	atomic_fetch_add(&p->refs, 1);
}

void proc_put(struct vm *vm, struct proc *p)
{
	if (atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	assert(p->dead && p->map.nareas == 0);
	vm_lock(vm);
	pmap_destroy(vm, &p->pmap);
	vm_unlock(vm);
	pthread_mutex_destroy(&p->map.lock);
	free(p);
}

/* => a new one with two references, the table's and the caller's, and its map
 * lock held: it can be found at once, but is nobody's yet. NULL and *err. */
static struct proc *proc_new(struct vm *vm, const char *name, int ppid,
			     int *err)
{
	size_t len = name ? strlen(name) : 0;
	struct proc *p;

	if (len > VM_NAME_MAX) {
		*err = -ENAMETOOLONG;
		return NULL;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		*err = -ENOMEM;
		return NULL;
	}
	memcpy(p->name, name ? name : "", len);
	p->ppid = ppid;
	map_init(&p->map, vm->cfg.mode);
	pthread_mutex_lock(&p->map.lock);
	vm_lock(vm);
	*err = vm->last_pid == INT32_MAX ? -EAGAIN :
					   pmap_create(vm, &p->pmap, p);
	if (*err == 0) {
		p->pid = vm->last_pid + 1;
		atomic_store(&p->refs, 2);
		HASH_ADD_INT(vm->procs, pid, p);
		if (hash_added(p)) {
			vm->last_pid = p->pid;
		} else {
			pmap_destroy(vm, &p->pmap);
			*err = -ENOMEM;
		}
	}
	vm_unlock(vm);
	if (*err == 0)
		return p;
	pthread_mutex_unlock(&p->map.lock);
	pthread_mutex_destroy(&p->map.lock);
	free(p);
	return NULL;
}

/* One area goes; its pages' frames by @g. => both locks held. */
static void proc_unmap_area(struct vm *vm, struct proc *p, struct area *a,
			    struct gather *g)
{
	struct object *o = a->object;
	uint64_t n = a->end - a->start;

	pmap_remove(vm, &p->pmap, a->start, n, g);
	if (o) {
		/* Before frames are dropped, no CPU may use them. */
		gather_flush(vm, g);
		area_show(a, NULL);
		cow_drop_unseen(vm, o, a->page, n, NULL, g);
		object_unref(vm, o, g);
	}
	map_erase(&p->map, a);
}

void proc_unmap(struct vm *vm, struct proc *p, uint64_t vpn, uint64_t end)
{
	struct gather g;
	struct area *a, *next;

	gather_init(&g);
	for (a = map_after(&p->map, vpn); a && a->start < end; a = next) {
		next = map_next(a);
		vm_lock(vm);
		proc_unmap_area(vm, p, a, &g);
		gather_flush(vm, &g);
		vm_unlock(vm);
	}
}

/* Who waits for memory, perhaps for long, may be a thread of what has ended. */
static void proc_wake(struct vm *vm)
{
	vm_lock(vm);
	wait_wake(vm, WAIT_MEMORY, 0, UINT_MAX);
	wait_wake(vm, WAIT_ROOM, 0, UINT_MAX);
	wait_wake(vm, WAIT_STORE, 0, UINT_MAX);
	vm_unlock(vm);
}

/* End it: unmap all, out of the table. Takes its locks. => -ESRCH: already. */
static int proc_exit(struct vm *vm, struct proc *p)
{
	bool was;

	pthread_mutex_lock(&p->map.lock);
	vm_lock(vm);
	was = p->dead;
	if (!was) {
		p->dead = true;
		HASH_DEL(vm->procs, p);
	}
	vm_unlock(vm);
	if (!was)
		proc_unmap(vm, p, 0, UINT64_MAX);
	pthread_mutex_unlock(&p->map.lock);
	if (was)
		return -ESRCH;
	proc_wake(vm);
	proc_put(vm, p);
	return 0;
}

int vm_proc_create(struct vm *vm, const char *name)
{
	int err, pid;
	struct proc *p = proc_new(vm, name, 0, &err);

	if (!p)
		return err;
	pid = p->pid;
	pthread_mutex_unlock(&p->map.lock);
	proc_put(vm, p);
	return pid;
}

int vm_fork(struct vm *vm, int pid, const char *name)
{
	struct proc *parent = proc_get(vm, pid), *child;
	int err;

	if (!parent)
		return -ESRCH;
	pthread_mutex_lock(&parent->map.lock);
	child = proc_new(vm, name ? name : parent->name, pid, &err);
	if (!child) {
		pthread_mutex_unlock(&parent->map.lock);
		proc_put(vm, parent);
		return err;
	}
	pid = child->pid;
	/* Who finds the child waits until it has all of its parent. */
	err = parent->dead ? -ESRCH : cow_fork(vm, &parent->map,
					       &parent->pmap, &child->map);
	child->map.brk_start = parent->map.brk_start;
	child->map.brk = parent->map.brk;
	child->map.next = parent->map.next;
	pthread_mutex_unlock(&child->map.lock);
	pthread_mutex_unlock(&parent->map.lock);
	if (err < 0)
		proc_exit(vm, child);
	proc_put(vm, child);
	proc_put(vm, parent);
	if (err == 0) {
		vm_lock(vm);
		vm_count(vm, FORK);
		vm_unlock(vm);
	}
	return err < 0 ? err : pid;
}

int vm_exit(struct vm *vm, int pid)
{
	struct proc *p = proc_get(vm, pid);
	int err;

	if (!p)
		return -ESRCH;
	err = proc_exit(vm, p);
	proc_put(vm, p);
	return err;
}

int vm_proc_find(struct vm *vm, const char *name)
{
	struct proc *p, *tmp;
	int pid = -ESRCH;

	vm_lock(vm);
	HASH_ITER(hh, vm->procs, p, tmp) {
		if (strcmp(p->name, name) == 0) {
			pid = p->pid;
			break;
		}
	}
	vm_unlock(vm);
	return pid;
}
