/*
 * caches.c - see caches.h.
 */
#include "pager/caches.h"

#include <errno.h>
#include <string.h>

#include "emu/model.h"

/* For a detector without a part: it finds what is kept, so much is. */
#define CACHES_PART	"skylake"

int caches_create(struct vm *vm)
{
	const struct model_preset *part = vm->cfg.tlb;

	if (!part && !vm->cfg.stale)
		return 0;
	if (!part)
		part = model_preset(CACHES_PART);
	for (unsigned i = 0; i <= vm->ncpus; i++) {
		vm->model[i] = model_create(part, i);
		if (!vm->model[i])
			return -ENOMEM;
		vm->model[i]->stale = vm->cfg.stale;
		cpu_set_model(vm->cpu[i], vm->model[i]);
	}
	return 0;
}

void caches_destroy(struct vm *vm)
{
	for (unsigned i = 0; i <= vm->ncpus; i++)
		model_destroy(vm->model[i]);
}

/* Over all CPUs. Their counters are nothing but numbers. */
static void caches_total(const struct vm *vm, struct model_stats *total)
{
	uint64_t *sum = (uint64_t *)total;

	memset(total, 0, sizeof(*total));
	for (unsigned i = 0; i <= vm->ncpus; i++) {
		const uint64_t *n = (const uint64_t *)&vm->model[i]->stats;

		for (size_t k = 0; k < sizeof(*total) / sizeof(*n); k++)
			sum[k] += __atomic_load_n(&n[k], __ATOMIC_RELAXED);
	}
}

static uint64_t caches_upper(const struct model_stats *s)
{
	uint64_t n = 0;

	for (unsigned level = 0; level <= WALK_LEVELS; level++)
		n += s->psc_hits[level];
	return n;
}

uint64_t caches_stat(const struct vm *vm, enum vm_stat_id i)
{
	struct model_stats s;

	caches_total(vm, &s);
	switch (i) {
#define X(id, name, field)						\
	case VM_STAT_##id:						\
		return s.field;
	VM_STATS_TLB(X)
#undef X
	case VM_STAT_TLB_UPPER:
		return caches_upper(&s);
	case VM_STAT_TLB_CYCLES:
		return model_cycles(&s, &vm->model[0]->preset->cost);
	case VM_STAT_TLB_STALE:
		return vm->cfg.stale ? stale_reports(vm->cfg.stale) : 0;
	default:
		return 0;
	}
}
