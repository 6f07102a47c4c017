/*
 * areas.c - the slots of all swap areas.
 *
 * A slot number is (area + 1) << SWAP_AREA_SHIFT | index, so any call finds
 * its map with a shift. alloc takes the highest priority that has a free
 * slot; among equals the turn passes on with each alloc, so that a stream of
 * clusters is spread over all devices.
 *
 * Invariant: area[a].slots is NULL <=> a names no area. Numbers are reused.
 */
#include "swap/areas.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static bool known(const struct areas *areas, unsigned a)
{
	return a < SWAP_AREAS_MAX && areas->area[a].slots;
}

static struct area *area_of(struct swap_store *swap, uint32_t slot)
{
	unsigned a = SWAP_SLOT_AREA(slot);

	assert(slot >> SWAP_AREA_SHIFT);
	assert(areas_of(swap)->area[a].slots);
	return &areas_of(swap)->area[a];
}

/* The area for the next alloc, -1 if all that may be chosen are full. */
static int choose(const struct areas *areas, uint32_t except)
{
	int best = -1;

	for (unsigned i = 0; i < SWAP_AREAS_MAX; i++) {
		unsigned a = (areas->turn + i) % SWAP_AREAS_MAX;
		const struct area *area = &areas->area[a];

		if (!area->slots || area->drain || except >> a & 1 ||
		    !slots_nfree(area->slots))
			continue;
		if (best < 0 || area->priority > areas->area[best].priority)
			best = (int)a;
	}
	return best;
}

unsigned areas_alloc(struct swap_store *swap, unsigned want, uint32_t except,
		     uint32_t *slot)
{
	struct areas *areas = areas_of(swap);
	int a = choose(areas, except);
	uint32_t index;
	unsigned got;

	if (a < 0)
		return 0;
	areas->turn = ((unsigned)a + 1) % SWAP_AREAS_MAX;
	got = slots_alloc(areas->area[a].slots, want, &index);
	assert(got);
	*slot = SWAP_SLOT((unsigned)a, index);
	return got;
}

static void areas_ref(struct swap_store *swap, uint32_t slot)
{
	slots_ref(area_of(swap, slot)->slots, SWAP_SLOT_INDEX(slot));
}

void areas_unref(struct swap_store *swap, uint32_t slot)
{
	slots_unref(area_of(swap, slot)->slots, SWAP_SLOT_INDEX(slot));
}

unsigned areas_refs(struct swap_store *swap, uint32_t slot)
{
	return slots_refs(area_of(swap, slot)->slots, SWAP_SLOT_INDEX(slot));
}

static void areas_bad(struct swap_store *swap, uint32_t slot)
{
	slots_bad(area_of(swap, slot)->slots, SWAP_SLOT_INDEX(slot));
}

static bool areas_is_bad(struct swap_store *swap, uint32_t slot)
{
	return slots_is_bad(area_of(swap, slot)->slots, SWAP_SLOT_INDEX(slot));
}

static int areas_info(struct swap_store *swap, unsigned a,
		      struct swap_area_info *info)
{
	const struct area *area;

	if (!known(areas_of(swap), a))
		return -ENOENT;
	area = &areas_of(swap)->area[a];
	info->name = area->name;
	info->nslots = slots_ntotal(area->slots);
	info->nused = slots_nused(area->slots);
	info->nbad = slots_nbad(area->slots);
	info->priority = area->priority;
	return 0;
}

static uint64_t areas_nfree(struct swap_store *swap)
{
	const struct areas *areas = areas_of(swap);
	uint64_t n = 0;

	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		if (areas->area[a].slots && !areas->area[a].drain)
			n += slots_nfree(areas->area[a].slots);
	return n;
}

static uint64_t areas_ntotal(struct swap_store *swap)
{
	const struct areas *areas = areas_of(swap);
	uint64_t n = 0;

	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		if (areas->area[a].slots)
			n += slots_ntotal(areas->area[a].slots);
	return n;
}

void areas_init(struct areas *areas)
{
	memset(areas, 0, sizeof(*areas));
	areas->swap.alloc = areas_alloc;
	areas->swap.ref = areas_ref;
	areas->swap.unref = areas_unref;
	areas->swap.refs = areas_refs;
	areas->swap.bad = areas_bad;
	areas->swap.is_bad = areas_is_bad;
	areas->swap.info = areas_info;
	areas->swap.nfree = areas_nfree;
	areas->swap.ntotal = areas_ntotal;
}

void areas_free(struct areas *areas)
{
	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		slots_destroy(areas->area[a].slots);
	memset(areas->area, 0, sizeof(areas->area));
}

int areas_add(struct areas *areas, uint32_t end, const char *name,
	      int priority)
{
	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++) {
		struct area *area = &areas->area[a];
		int err;

		if (area->slots)
			continue;
		err = slots_create(1, end, &area->slots);
		if (err)
			return err;
		area->name = name;
		area->priority = priority;
		area->drain = false;
		return (int)a;
	}
	return -EMFILE;
}

int areas_remove(struct areas *areas, unsigned a)
{
	struct area *area;

	if (!known(areas, a))
		return -ENOENT;
	area = &areas->area[a];
	if (slots_nused(area->slots))
		return -EBUSY;
	slots_destroy(area->slots);
	memset(area, 0, sizeof(*area));
	return 0;
}

int areas_drain(struct areas *areas, unsigned a, bool drain)
{
	if (!known(areas, a))
		return -ENOENT;
	areas->area[a].drain = drain;
	return 0;
}

void areas_check(const struct areas *areas)
{
	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		if (areas->area[a].slots)
			slots_check(areas->area[a].slots);
}
