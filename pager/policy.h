/*
 * policy.h - the calls by which the core knows a replacement policy.
 *
 * A policy says which frames to take next. It looks at frames only through
 * its environment, so the same source serves the live machine and a replayed
 * trace. All calls come with the core lock held.
 */
#ifndef PAGER_POLICY_H
#define PAGER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

struct policy_env {
	void *ctx;
	uint32_t nframes;
	uint32_t spread;		/* two-handed clock: between the hands */
	/* May it be taken at all (a page, not busy)? */
	bool (*pageable)(void *ctx, uint32_t pfn);
	/* Was it used since forget()? */
	bool (*used)(void *ctx, uint32_t pfn);
	void (*forget)(void *ctx, uint32_t pfn);
};

struct policy_ops {
	const char *name;
	/* => the policy's own data; NULL: no memory. */
	void *(*create)(const struct policy_env *env);
	void (*destroy)(void *policy);
	/*
	 * Up to @want frames to take, each once, into @victims; looks at no
	 * more than @budget frames. *scanned: at how many it looked. => how
	 * many.
	 */
	unsigned (*victims)(void *policy, unsigned want, uint32_t budget,
			    uint32_t *victims, uint32_t *scanned);
};

extern const struct policy_ops policy_clock;

#endif
