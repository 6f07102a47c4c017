/*
 * policy_clock.c - the two-handed clock.
 *
 * Both hands go round the frames together, a fixed spread apart. The front
 * hand makes a page forget that it was used; the back hand takes it if it was
 * not used again by the time it comes by. So a page has the time the hands
 * need for the spread to prove itself, however many frames there are, and
 * what is looked at per page taken does not grow with memory. (Leffler,
 * McKusick, Karels, Quarterman: The Design and Implementation of the 4.3BSD
 * UNIX Operating System, 5.12.)
 *
 * Invariant: back = front - spread, modulo the number of frames.
 */
#include "pager/policy.h"

#include <stdlib.h>

struct clockhands {
	struct policy_env env;
	uint32_t front, back;
};

static void *clock_create(const struct policy_env *env)
{
	struct clockhands *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	c->env = *env;
	c->back = 0;
	c->front = env->spread % env->nframes;
	return c;
}

static void clock_destroy(void *policy)
{
	free(policy);
}

static uint32_t clock_turn(const struct clockhands *c, uint32_t hand)
{
	return hand + 1 == c->env.nframes ? 0 : hand + 1;
}

static unsigned clock_victims(void *policy, unsigned want, uint32_t budget,
			      uint32_t *victims, uint32_t *scanned)
{
	struct clockhands *c = policy;
	const struct policy_env *env = &c->env;
	unsigned n = 0;
	uint32_t i;

	/* Not more than one turn: no frame may be named twice. */
	if (budget > env->nframes)
		budget = env->nframes;
	for (i = 0; i < budget && n < want; i++) {
		if (env->pageable(env->ctx, c->front))
			env->forget(env->ctx, c->front);
		if (env->pageable(env->ctx, c->back) &&
		    !env->used(env->ctx, c->back))
			victims[n++] = c->back;
		c->front = clock_turn(c, c->front);
		c->back = clock_turn(c, c->back);
	}
	*scanned = i;
	return n;
}

const struct policy_ops policy_clock = {
	.name = "clock",
	.create = clock_create,
	.destroy = clock_destroy,
	.victims = clock_victims,
};
