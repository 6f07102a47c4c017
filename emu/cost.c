/*
 * cost.c - from counters to cycles.
 *
 * A linear model: each event has a price, and the sum is what translation
 * cost beyond accesses that hit the first level. It leaves out that walks
 * overlap with other work and with one another, and prices all reads of
 * entries alike, wherever in the data caches they are. So it ranks: this
 * policy against that, with large pages or without; it does not predict.
 */
#include "model.h"

uint64_t model_cycles(const struct model_stats *s, const struct model_cost *c)
{
	return s->l2_hits * c->l2_hit + s->walks * c->walk +
	       s->entries * c->entry + s->marks * c->mark +
	       s->faults * c->fault + s->flushes * c->flush +
	       s->invlpgs * c->invlpg + s->shootdowns * c->shootdown;
}
