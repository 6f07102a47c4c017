/*
 * set.h - a set of numbers.
 */
#ifndef REPLAY_SET_H
#define REPLAY_SET_H

#include "replay/need.h"

#include <stdbool.h>
#include <stdint.h>
#include <uthash.h>

struct set_item {
	uint64_t value;
	UT_hash_handle hh;
};

static inline bool set_has(struct set_item *set, uint64_t value)
{
	struct set_item *item;

	HASH_FIND(hh, set, &value, sizeof(value), item);
	return item;
}

/* => Was it new? */
static inline bool set_add(struct set_item **set, uint64_t value)
{
	struct set_item *item;

	if (set_has(*set, value))
		return false;
	item = need_zeroed(1, sizeof(*item));
	item->value = value;
	HASH_ADD(hh, *set, value, sizeof(item->value), item);
	return true;
}

static inline void set_free(struct set_item **set)
{
	struct set_item *item, *next;

	HASH_ITER(hh, *set, item, next) {
		HASH_DEL(*set, item);
		free(item);
	}
}

#endif
