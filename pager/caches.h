/*
 * caches.h - machines whose CPUs model the translation caches of a real part
 * (emu/model.h), and the detector of translations that outlive their shootdown
 * (emu/stale.h).
 *
 * With vm_config.tlb or .stale every CPU gets a model, and its counters are
 * among the machine's. The detector learns of each change of a present entry
 * from pmap's one writer, before it is made, and takes what was changed for
 * shot down when the core lock is given up: vm_unlock(). So the rule that
 * it enforces is: who gives up the core lock has sent all that he owes.
 *
 * Without both there are no models, and nothing of this costs anything.
 */
#ifndef PAGER_CACHES_H
#define PAGER_CACHES_H

#include <stdint.h>

#include "pager/core.h"

/* The CPUs are there. => 0, -ENOMEM (some may have been made) */
int caches_create(struct vm *vm);
/* The CPUs are gone, or never run again. */
void caches_destroy(struct vm *vm);
/* Counter @i of VM_STATS_TLB, over all CPUs. */
uint64_t caches_stat(const struct vm *vm, enum vm_stat_id i);

#endif
