/*
 * quick.h - faults that need nothing that others could be using.
 */
#ifndef PAGER_QUICK_H
#define PAGER_QUICK_H

#include <stdbool.h>
#include <stdint.h>

struct area;
struct percpu;
struct proc;
struct vm;

/*
 * Settle a fault at @vpn in area @a of @p, which allows the access, if it can
 * be done by sharing the core lock: see quick.c. => the map lock is held; @pc
 * is the caller's own, outside. => false: nothing has changed, do it properly.
 */
bool quick_fault(struct vm *vm, struct percpu *pc, struct proc *p,
		 const struct area *a, uint64_t vpn, bool write);
/* The same for who has the core lock, all of it. */
bool quick_fault_locked(struct vm *vm, struct percpu *pc, struct proc *p,
			const struct area *a, uint64_t vpn, bool write);

#endif

