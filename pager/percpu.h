/*
 * percpu.h - what each CPU has for itself: its share of the core lock, a few
 * free frames (frame_stock()), counters. struct percpu and the lock are in
 * core.h.
 */
#ifndef PAGER_PERCPU_H
#define PAGER_PERCPU_H

#include "pager/core.h"

/* => 0, -ENOMEM. */
int percpu_init(struct vm *vm);
void percpu_destroy(struct vm *vm);

/* What the CPUs have counted of @id. => core lock held. */
uint64_t percpu_stat(const struct vm *vm, enum vm_stat_id id);

#endif
