/*
 * slots.c - the slots of one swap area.
 *
 * alloc goes on from where it ended last, so that what is paged out together
 * lies together. If the ground there is broken it looks at a few more holes,
 * then for a wholly free cluster, and takes the longest of the holes only if
 * there is none: a bounded number of steps, whatever the size and the state.
 *
 * Invariants (slots_check): a slot is in @free <=> it has no reference and is
 * not bad; cluster_free[c] counts the members of @free in cluster c; c is in
 * @whole <=> all its SLOTS_CLUSTER slots are free; the counters count.
 */
#include "swap/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "swap/bits.h"

#define HOLES	4	/* holes looked at before a whole cluster is broken */

struct slots {
	uint32_t first, end;
	uint32_t next;		/* where the next alloc starts to look */
	uint32_t nfree, nused, nbad;
	struct bits free;
	struct bits whole;	/* clusters, by number */
	struct bits bad;
	uint16_t *refs;
	uint16_t *cluster_free;
};

static bool known(const struct slots *s, uint32_t slot)
{
	return slot >= s->first && slot < s->end;
}

/* Count @n slots from @slot as free (+1) or not (-1) in their clusters. */
static void count(struct slots *s, uint32_t slot, uint32_t n, int sign)
{
	while (n) {
		uint32_t c = slot / SLOTS_CLUSTER;
		uint32_t room = SLOTS_CLUSTER - slot % SLOTS_CLUSTER;
		uint32_t part = n < room ? n : room;

		if (s->cluster_free[c] == SLOTS_CLUSTER)
			bits_clear(&s->whole, c, 1);
		s->cluster_free[c] += (uint16_t)(sign * (int)part);
		if (s->cluster_free[c] == SLOTS_CLUSTER)
			bits_set(&s->whole, c, 1);
		slot += part;
		n -= part;
	}
}

static void give(struct slots *s, uint32_t slot, uint32_t n)
{
	bits_set(&s->free, slot, n);
	count(s, slot, n, 1);
	s->nfree += n;
}

static void take(struct slots *s, uint32_t slot, uint32_t n)
{
	bits_clear(&s->free, slot, n);
	count(s, slot, n, -1);
	s->nfree -= n;
}

int slots_create(uint32_t first, uint32_t end, struct slots **slots)
{
	uint32_t nclusters = (end + SLOTS_CLUSTER - 1) / SLOTS_CLUSTER;
	struct slots *s = calloc(1, sizeof(*s));

	assert(first < end && end <= 1u << 28);
	if (!s)
		return -ENOMEM;
	s->first = s->next = first;
	s->end = end;
	s->refs = calloc(end, sizeof(*s->refs));
	s->cluster_free = calloc(nclusters, sizeof(*s->cluster_free));
	if (!s->refs || !s->cluster_free || bits_init(&s->free, end) ||
	    bits_init(&s->whole, nclusters) || bits_init(&s->bad, end)) {
		slots_destroy(s);
		return -ENOMEM;
	}
	give(s, first, end - first);
	*slots = s;
	return 0;
}

void slots_destroy(struct slots *s)
{
	if (!s)
		return;
	bits_free(&s->free);
	bits_free(&s->whole);
	bits_free(&s->bad);
	free(s->refs);
	free(s->cluster_free);
	free(s);
}

/* The first free slot from @from on, going round. => one is free. */
static uint32_t next_free(const struct slots *s, uint32_t from)
{
	uint32_t slot = bits_next(&s->free, from);

	return slot != BITS_NONE ? slot : bits_next(&s->free, s->first);
}

/* The first slot of the next wholly free cluster; BITS_NONE. */
static uint32_t next_whole(const struct slots *s, uint32_t from)
{
	uint32_t c = bits_next(&s->whole, from / SLOTS_CLUSTER);

	if (c == BITS_NONE)
		c = bits_next(&s->whole, 0);
	return c == BITS_NONE ? c : c * SLOTS_CLUSTER;
}

/* Where to take up to @want slots, and how many. => one is free. */
static uint32_t find(const struct slots *s, uint32_t want, uint32_t *got)
{
	uint32_t from = s->next, best = BITS_NONE, whole;

	*got = 0;
	for (int i = 0; i < HOLES; i++) {
		uint32_t slot = next_free(s, from);
		uint32_t run = bits_run(&s->free, slot, want);

		if (run > *got) {
			*got = run;
			best = slot;
		}
		if (run == want)
			return slot;
		from = slot + run;
	}
	whole = next_whole(s, from);
	if (whole == BITS_NONE)
		return best;
	*got = want;
	return whole;
}

unsigned slots_alloc(struct slots *s, unsigned want, uint32_t *first)
{
	uint32_t slot, got;

	assert(want && want <= SLOTS_CLUSTER);
	if (!s->nfree)
		return 0;
	slot = find(s, want, &got);
	take(s, slot, got);
	for (uint32_t i = 0; i < got; i++) {
		assert(!s->refs[slot + i]);
		s->refs[slot + i] = 1;
	}
	s->nused += got;
	s->next = slot + got;
	*first = slot;
	return got;
}

void slots_ref(struct slots *s, uint32_t slot)
{
	assert(known(s, slot) && s->refs[slot] && s->refs[slot] < UINT16_MAX);
	s->refs[slot]++;
}

void slots_unref(struct slots *s, uint32_t slot)
{
	assert(known(s, slot) && s->refs[slot]);
	if (--s->refs[slot])
		return;
	s->nused--;
	if (!bits_test(&s->bad, slot))
		give(s, slot, 1);
}

unsigned slots_refs(const struct slots *s, uint32_t slot)
{
	assert(known(s, slot));
	return s->refs[slot];
}

void slots_bad(struct slots *s, uint32_t slot)
{
	assert(known(s, slot));
	if (bits_test(&s->bad, slot))
		return;
	bits_set(&s->bad, slot, 1);
	s->nbad++;
	if (!s->refs[slot])
		take(s, slot, 1);
}

bool slots_is_bad(const struct slots *s, uint32_t slot)
{
	assert(known(s, slot));
	return bits_test(&s->bad, slot);
}

uint32_t slots_ntotal(const struct slots *s)
{
	return s->end - s->first;
}

uint32_t slots_nfree(const struct slots *s)
{
	return s->nfree;
}

uint32_t slots_nused(const struct slots *s)
{
	return s->nused;
}

uint32_t slots_nbad(const struct slots *s)
{
	return s->nbad;
}

static void check_clusters(const struct slots *s)
{
	for (uint32_t c = 0; c < s->whole.n; c++) {
		uint32_t base = c * SLOTS_CLUSTER, n = 0;

		for (uint32_t i = base; i < base + SLOTS_CLUSTER; i++)
			n += i < s->end && bits_test(&s->free, i);
		assert(s->cluster_free[c] == n);
		assert(bits_test(&s->whole, c) == (n == SLOTS_CLUSTER));
	}
}

void slots_check(const struct slots *s)
{
	uint32_t used = 0;

	assert(bits_check(&s->free) == s->nfree);
	assert(bits_check(&s->bad) == s->nbad);
	bits_check(&s->whole);
	for (uint32_t i = 0; i < s->end; i++) {
		bool is_free = i >= s->first && !s->refs[i] &&
			!bits_test(&s->bad, i);

		assert(bits_test(&s->free, i) == is_free);
		used += s->refs[i] != 0;
	}
	assert(used == s->nused);
	check_clusters(s);
}
