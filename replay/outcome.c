/*
 * outcome.c - one of the things that a crash could leave.
 *
 * What is in flight is put at the end of the lists of what is pending while
 * an outcome is open: it may have reached the disk, and if so after the
 * changes that had ended.
 *
 * Of a write that failed, or came back short, the part that was not
 * acknowledged is in no outcome but random ones.
 */
#define XXH_INLINE_ALL
#include "replay/outcome.h"
#include "replay/names.h"
#include "replay/need.h"
#include "replay/set.h"

#include <linux/falloc.h>
#include <xxhash.h>

/* ---- sectors ---- */

static uint64_t change_first_sector(const struct change *change)
{
	return change->offset / RECORD_SECTOR;
}

uint64_t change_sectors(const struct change *change)
{
	if (change->type != RECORD_WRITE || !change->length)
		return 0;
	return (change->offset + change->length - 1) / RECORD_SECTOR -
		change_first_sector(change) + 1;
}

/* Sectors of which the bytes are that are there when it is kept. */
static uint64_t change_kept_sectors(const struct change *change)
{
	uint64_t kept = change_kept(change);

	if (change->type != RECORD_WRITE || !kept)
		return 0;
	return (change->offset + kept - 1) / RECORD_SECTOR -
		change_first_sector(change) + 1;
}

bool change_has_sector(const struct change *change, uint64_t sector)
{
	return change->mask ? change->mask[sector / 8] >> sector % 8 & 1 :
			      change->keep &&
			      sector < change_kept_sectors(change);
}

uint64_t change_reach(const struct change *change)
{
	uint64_t i = change_kept_sectors(change);

	for (; change->mask && i < change_sectors(change); i++)
		if (change_has_sector(change, i))
			return change->length;
	return change_kept(change);
}

/* Give @change a mask that says what it says without. */
static void change_need_mask(struct change *change)
{
	size_t bytes = (change_sectors(change) + 7) / 8;
	uint64_t i, kept = change->keep ? change_kept_sectors(change) : 0;

	if (change->mask)
		return;
	change->mask = need_zeroed(bytes, 1);
	for (i = 0; i < kept; i++)
		change->mask[i / 8] |= 1u << i % 8;
}

static void change_set_sector(struct change *change, uint64_t sector,
			      bool keep)
{
	uint8_t bit = 1u << sector % 8;

	change_need_mask(change);
	if (keep)
		change->mask[sector / 8] |= bit;
	else
		change->mask[sector / 8] &= ~bit;
}

static void change_choose(struct change *change, bool keep)
{
	free(change->mask);
	change->mask = NULL;
	change->keep = keep;
}

/* ---- opening and closing ---- */

static struct changes *outcome_pending(struct state *state,
				       const struct change *change)
{
	return change_is_names(change) ? &state->names :
					 &change->file->pending;
}

static void outcome_count(struct outcome *outcome)
{
	struct state *state = outcome->state;
	struct change *change;
	size_t count = 0;

	TAILQ_FOREACH(change, &state->all, all)
		count++;
	TAILQ_FOREACH(change, &state->inflight, all)
		count++;
	outcome->changes = need_zeroed(count, sizeof(*outcome->changes));
	TAILQ_FOREACH(change, &state->all, all)
		outcome->changes[outcome->count++] = change;
	TAILQ_FOREACH(change, &state->inflight, all)
		outcome->changes[outcome->count++] = change;
}

void outcome_open(struct outcome *outcome, struct state *state)
{
	struct change *change;

	*outcome = (struct outcome){ .state = state };
	outcome_count(outcome);
	TAILQ_FOREACH(change, &state->inflight, all)
		TAILQ_INSERT_TAIL(outcome_pending(state, change), change,
				  pending);
	outcome_all(outcome);
}

void outcome_close(struct outcome *outcome)
{
	struct state *state = outcome->state;
	struct change *change;

	outcome_all(outcome);
	TAILQ_FOREACH(change, &state->inflight, all)
		TAILQ_REMOVE(outcome_pending(state, change), change, pending);
	free(outcome->changes);
}

/* ---- choices ---- */

/* An acknowledged part of a write can be there, and one that failed not. */
static bool change_failed(const struct change *change)
{
	return change->type == RECORD_WRITE && change->over &&
	       !change_sure(change);
}

void outcome_all(struct outcome *outcome)
{
	size_t i;

	for (i = 0; i < outcome->count; i++)
		change_choose(outcome->changes[i],
			      !change_failed(outcome->changes[i]));
}

void outcome_ended(struct outcome *outcome)
{
	size_t i;

	for (i = 0; i < outcome->count; i++)
		change_choose(outcome->changes[i],
			      outcome->changes[i]->over &&
			      !change_failed(outcome->changes[i]));
}

void outcome_synced(struct outcome *outcome)
{
	size_t i;

	for (i = 0; i < outcome->count; i++)
		change_choose(outcome->changes[i], outcome->changes[i]->must);
}

void outcome_drop(struct change *change)
{
	change_choose(change, change->must);
}

void outcome_drop_sectors(struct change *change, uint64_t first,
			  uint64_t last)
{
	if (change->must)
		return;
	for (; first <= last && first < change_sectors(change); first++)
		change_set_sector(change, first, false);
}

/* ---- at random ---- */

struct dice {
	uint64_t state;
};

static uint64_t dice_throw(struct dice *dice)
{
	uint64_t x = dice->state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* True @percent times in a hundred. */
static bool dice_says(struct dice *dice, unsigned int percent)
{
	return dice_throw(dice) % 100 < percent;
}

static void random_write(struct change *change, struct dice *dice,
			 unsigned int percent)
{
	uint64_t i, count = change_sectors(change);

	change_choose(change, dice_says(dice, percent));
	if (dice_says(dice, 50) && !change_failed(change))
		return;
	for (i = 0; i < count; i++)
		change_set_sector(change, i, dice_says(dice, percent));
}

void outcome_random(struct outcome *outcome, uint64_t seed)
{
	struct dice dice = { .state = seed * 0x2545f4914f6cdd1du + 1 };
	static const unsigned int percents[] = { 10, 50, 90, 98 };
	unsigned int percent = percents[dice_throw(&dice) % 4];
	struct change *change;
	size_t i;

	for (i = 0; i < outcome->count; i++) {
		change = outcome->changes[i];
		if (change->must)
			change_choose(change, true);
		else if (change->type == RECORD_WRITE)
			random_write(change, &dice, percent);
		else	/* each that is missing takes those behind it along */
			change_choose(change, dice_says(&dice, 90));
	}
}

/* ---- what can be ---- */

/* The first byte that a dropped change of size or holes leaves in doubt. */
static uint64_t legal_border(const struct change *change)
{
	if (change->type == RECORD_SETATTR)
		return change->length;
	return change->arg & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) ?
		change->offset : UINT64_MAX;
}

/* Nothing of @change is behind @border. */
static void legal_cut_write(struct change *change, uint64_t border)
{
	uint64_t i, first = change_first_sector(change);

	if (change->must || border >= change->offset + change->length)
		return;
	for (i = 0; i < change_sectors(change); i++)
		if ((first + i + 1) * RECORD_SECTOR > border &&
		    change_has_sector(change, i))
			change_set_sector(change, i, false);
	change->keep = false;
}

/*
 * Sizes and holes of @file change in order; and what was written behind the
 * border of one that is not there, is not there either.
 */
static void legal_order(struct file *file)
{
	uint64_t border = UINT64_MAX, its;
	bool broken = false;
	struct change *change;

	TAILQ_FOREACH(change, &file->pending, pending) {
		if (change->type == RECORD_WRITE) {
			legal_cut_write(change, border);
			continue;
		}
		if (!change_is_meta(change))
			continue;
		change->keep = change->must || (change->keep && !broken);
		if (change->keep)
			continue;
		broken = true;
		its = legal_border(change);
		border = its < border ? its : border;
	}
}

/* Is the @i-th sector of @change written only in part by it? */
static bool legal_is_part(const struct change *change, uint64_t i)
{
	uint64_t from = (change_first_sector(change) + i) * RECORD_SECTOR;

	return change->offset > from ||
	       change->offset + change_reach(change) < from + RECORD_SECTOR;
}

static void legal_note_parts(const struct change *change,
			     struct set_item **parts)
{
	uint64_t first = change_first_sector(change);
	uint64_t last = (change->offset + change_reach(change) - 1) /
		RECORD_SECTOR - first;

	if (legal_is_part(change, 0) && change_has_sector(change, 0))
		set_add(parts, first);
	if (last && legal_is_part(change, last) &&
	    change_has_sector(change, last))
		set_add(parts, first + last);
}

static void legal_keep_parts(struct change *change, struct set_item *parts)
{
	uint64_t i, first = change_first_sector(change);

	for (i = 0; i < change_kept_sectors(change); i++)
		if (!change_has_sector(change, i) && set_has(parts, first + i))
			change_set_sector(change, i, true);
}

/*
 * A sector of which a part was written by a change that is there shows also
 * what was written to it before: it was in memory as a whole.
 */
static void legal_parts(struct file *file)
{
	struct set_item *parts = NULL;
	struct change *change;

	TAILQ_FOREACH_REVERSE(change, &file->pending, changes, pending) {
		if (!change_sectors(change) || !change_reach(change))
			continue;
		if (parts)
			legal_keep_parts(change, parts);
		legal_note_parts(change, &parts);
	}
	set_free(&parts);
}

void outcome_legalise(struct outcome *outcome)
{
	struct set_item *seen = NULL;
	struct change *change;
	size_t i;

	names_legalise(&outcome->state->names, outcome->state->strict);
	for (i = 0; i < outcome->count; i++) {
		change = outcome->changes[i];
		if (change_is_names(change) || !set_add(&seen, change->id))
			continue;
		legal_parts(change->file);
		legal_order(change->file);
	}
	set_free(&seen);
}

/* ---- to compare ---- */

static uint64_t change_outcome_sum(const struct change *change)
{
	uint64_t sectors = change_sectors(change), i, has = 0, as_kept = 0;
	uint64_t kept = change_kept_sectors(change);

	if (!change->mask)
		return change->keep ? change_sum(change) : 0;
	for (i = 0; i < sectors; i++) {
		has += change_has_sector(change, i);
		as_kept += change_has_sector(change, i) == (i < kept);
	}
	if (as_kept == sectors && change->keep)
		return change_sum(change);
	if (!has && !change->keep)
		return 0;
	return XXH3_64bits_withSeed(change->mask, (sectors + 7) / 8,
				    change_sum(change) + change->keep);
}

uint64_t outcome_sum(const struct outcome *outcome)
{
	uint64_t sum = outcome->state->sum;
	size_t i;

	for (i = 0; i < outcome->count; i++)
		sum += change_outcome_sum(outcome->changes[i]);
	return sum;
}
