/*
 * names.c - which changes of names go with which.
 *
 * Both passes walk the list once and carry a set of what is touched: names
 * (directory and name), files, directories. Going back from a change that
 * must be there the set holds what it needs; going forward from one that is
 * not there, what is spoilt.
 */
#define XXH_INLINE_ALL
#include "replay/names.h"
#include "replay/set.h"

#include <xxhash.h>

enum names_kind {
	NAMES_ENTRY = 1,	/* a name in a directory */
	NAMES_MADE,		/* a file that was made */
	NAMES_IN,		/* any name in a directory */
	NAMES_MOVE,		/* a directory that is moved */
};

static uint64_t names_key(enum names_kind kind, uint64_t id, const char *name)
{
	uint64_t seed[2] = { kind, id };

	return XXH3_64bits_withSeed(name, strlen(name),
				    XXH3_64bits(seed, sizeof(seed)));
}

#define NAMES_KEYS	8

/* What @change changes. => The number of keys. */
static int names_makes(const struct change *change, uint64_t keys[NAMES_KEYS])
{
	struct naming names[2];
	int i, n = 0, count = change_names(change, names);

	for (i = 0; i < count; i++) {
		keys[n++] = names_key(NAMES_ENTRY, names[i].dir,
				      names[i].name);
		keys[n++] = names_key(NAMES_IN, names[i].dir, "");
	}
	if (change->type == RECORD_MAKE)
		keys[n++] = names_key(NAMES_MADE, change->id, "");
	if (change->moves_dir)
		keys[n++] = names_key(NAMES_MOVE, 0, "");
	return n;
}

/* What it builds upon. */
static int names_needs(const struct change *change, uint64_t keys[NAMES_KEYS])
{
	struct naming names[2];
	int i, n = 0, count = change_names(change, names);

	for (i = 0; i < count; i++) {
		keys[n++] = names_key(NAMES_ENTRY, names[i].dir,
				      names[i].name);
		keys[n++] = names_key(NAMES_MADE, names[i].dir, "");
	}
	if (change->object)
		keys[n++] = names_key(NAMES_MADE, change->object, "");
	/* If it is a directory that goes, it had to be empty. */
	if (change->victim)
		keys[n++] = names_key(NAMES_IN, change->victim, "");
	if (change->moves_dir)
		keys[n++] = names_key(NAMES_MOVE, 0, "");
	return n;
}

static bool names_meet(struct set_item *set, const uint64_t *keys, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (set_has(set, keys[i]))
			return true;
	return false;
}

static void names_add(struct set_item **set, const uint64_t *keys, int count)
{
	int i;

	for (i = 0; i < count; i++)
		set_add(set, keys[i]);
}

/* Does @fsync promise that @change is there? */
static bool names_covered(const struct change *change,
			  const struct change *fsync, bool strict)
{
	struct naming names[2];
	int i, count = change_names(change, names);

	if (change->end >= fsync->number)
		return false;
	for (i = 0; i < count; i++)
		if (names[i].dir == fsync->id)
			return true;
	return !strict && (change->object == fsync->id ||
			   change->victim == fsync->id);
}

bool names_any_covered(const struct changes *names, const struct change *fsync,
		       bool strict, uint64_t since)
{
	const struct change *change;

	TAILQ_FOREACH_REVERSE(change, names, changes, pending) {
		if (change->end < since)
			return false;
		if (!change->must && names_covered(change, fsync, strict))
			return true;
	}
	return false;
}

void names_sync(struct changes *names, const struct change *fsync,
		bool strict)
{
	struct set_item *needed = NULL;
	uint64_t keys[NAMES_KEYS];
	struct change *change;
	bool all = false;

	TAILQ_FOREACH_REVERSE(change, names, changes, pending) {
		if (names_covered(change, fsync, strict) || all ||
		    names_meet(needed, keys, names_makes(change, keys)))
			change->must = true;
		if (!change->must)
			continue;
		all = !strict;
		if (strict)
			names_add(&needed, keys, names_needs(change, keys));
	}
	set_free(&needed);
}

void names_legalise(struct changes *names, bool strict)
{
	struct set_item *spoilt = NULL;
	uint64_t keys[NAMES_KEYS];
	struct change *change;
	bool none = false;

	TAILQ_FOREACH(change, names, pending) {
		if (change->must)
			continue;
		if (none || names_meet(spoilt, keys,
				       names_needs(change, keys)))
			change->keep = false;
		if (change->keep)
			continue;
		none = !strict;
		if (strict)
			names_add(&spoilt, keys, names_makes(change, keys));
	}
	set_free(&spoilt);
}
