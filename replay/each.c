/*
 * each.c - run a check on every state that a crash could have left.
 *
 * The points of a history where a crash is worth a look are those just before
 * an operation ends, and the very end: between two ends the clients have been
 * told nothing new, and the last moment is the one with most in flight. At
 * each point the outcomes are tried that each_point() lists; one which was
 * tried before, at whatever point, is left out. (With @seen the check may
 * depend on the point, too.)
 *
 * Few changes (EACH_FEW) are tried in all combinations. Of more, the newest
 * EACH_WINDOW are left out one by one, kept one by one, and cut off behind
 * each; and there are the random ones, until EACH_REPEATS of them in a row
 * were tried before.
 */
#include "replay/each.h"
#include "replay/each_check.h"
#include "replay/need.h"
#include "replay/progress.h"
#include "replay/set.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define EACH_FEW	6
#define EACH_WINDOW	12
#define EACH_REPEATS	1000	/* old random ones in a row: all are old */

/* ---- one outcome ---- */

static bool each_over(const struct each *each)
{
	return each->interrupted || each->states >= each->limit;
}

static int each_build(struct each *each, const char *name)
{
	char dir[sizeof(each->work) + 16];
	int err;

	snprintf(dir, sizeof(dir), "%s/%s", each->work, name);
	err = build_remove(dir);
	if (!err)
		err = build_outcome(each->build, &each->outcome, dir);
	if (each->unmade < each->build->unmade)
		each->unmade = each->build->unmade;
	if (err)
		warnx("%s%s%s: %s", dir, *each->build->path ? "/" : "",
		      each->build->path, strerror(-err));
	return err;
}

/*
 * Check the outcome, if it is a new one. @how: the option that makes it;
 * NULL: a list of what is missing. => 0 or -errno.
 */
static int each_try(struct each *each, const char *how)
{
	char *list = how ? NULL : outcome_list(&each->outcome);
	int err = 0;

	outcome_legalise(&each->outcome);
	if (!each_over(each) &&
	    set_add(&each->done, outcome_sum(&each->outcome) +
		    each->seen_sum)) {
		err = each_build(each, "state");
		if (!err) {
			each->states++;
			err = each_check(each, how, list);
		}
	}
	free(list);
	return err;
}

static int each_random(struct each *each, uint64_t seed)
{
	char how[64];

	snprintf(how, sizeof(how), "--random %" PRIu64, seed);
	outcome_random(&each->outcome, seed);
	return each_try(each, how);
}

/* Of few changes there are few outcomes, however many are wanted. */
static int each_randoms(struct each *each)
{
	uint64_t i, states, repeats = 0;
	int err = 0;

	for (i = 1; !err && i <= each->randoms && !each_over(each); i++) {
		states = each->states;
		err = each_random(each, i);
		repeats = each->states == states ? repeats + 1 : 0;
		if (repeats == EACH_REPEATS) {
			each->exhausted += i < each->randoms;
			break;
		}
	}
	return err;
}

/* ---- the outcomes of one point ---- */

/* Changes which need not be there, in order. => Their number. */
static size_t each_free_changes(struct outcome *outcome,
				struct change ***changes)
{
	size_t i, count = 0;

	*changes = need_zeroed(outcome->count, sizeof(**changes));
	for (i = 0; i < outcome->count; i++)
		if (!outcome->changes[i]->must)
			(*changes)[count++] = outcome->changes[i];
	return count;
}

static int each_combinations(struct each *each, struct change **changes,
			     size_t count)
{
	unsigned int bits;
	size_t i;
	int err = 0;

	for (bits = 0; !err && bits < 1u << count; bits++) {
		outcome_all(&each->outcome);
		for (i = 0; i < count; i++)
			if (bits >> i & 1)
				outcome_drop(changes[i]);
		err = each_try(each, NULL);
	}
	return err;
}

/* Around the change @at: without it, with it alone, and up to it. */
static int each_around(struct each *each, struct change **changes,
		       size_t count, size_t at)
{
	size_t i;
	int err;

	outcome_all(&each->outcome);
	outcome_drop(changes[at]);
	err = each_try(each, NULL);
	if (err)
		return err;
	outcome_all(&each->outcome);
	for (i = 0; i < count; i++)
		if (i != at)
			outcome_drop(changes[i]);
	err = each_try(each, NULL);
	if (err)
		return err;
	outcome_all(&each->outcome);
	for (i = at + 1; i < count; i++)
		outcome_drop(changes[i]);
	return each_try(each, NULL);
}

/* A write of several sectors: half of it, the other half, its size alone. */
static int each_torn(struct each *each, struct change *change)
{
	uint64_t count = change_sectors(change), half = count / 2;
	uint64_t parts[3][2] = {
		{ half, count - 1 }, { 0, half ? half - 1 : 0 },
		{ 0, count - 1 },
	};
	int i, err = 0;

	for (i = count > 1 ? 0 : 2; count && !err && i < 3; i++) {
		outcome_all(&each->outcome);
		outcome_drop_sectors(change, parts[i][0], parts[i][1]);
		err = each_try(each, NULL);
	}
	return err;
}

static int each_window(struct each *each, struct change **changes,
		       size_t count)
{
	size_t i = count > EACH_WINDOW ? count - EACH_WINDOW : 0;
	int err = 0;

	if (count <= EACH_FEW)
		err = each_combinations(each, changes, count);
	for (; !err && i < count; i++) {
		if (count > EACH_FEW)
			err = each_around(each, changes, count, i);
		if (!err)
			err = each_torn(each, changes[i]);
	}
	return err;
}

static int each_outcomes(struct each *each)
{
	struct change **changes;
	size_t count;
	int err;

	outcome_ended(&each->outcome);
	err = each_try(each, "--keep-all");
	outcome_synced(&each->outcome);
	if (!err)
		err = each_try(each, "--synced-only");
	outcome_all(&each->outcome);
	if (!err)
		err = each_try(each, "--keep-begun");
	count = each_free_changes(&each->outcome, &changes);
	if (!err)
		err = each_window(each, changes, count);
	free(changes);
	return err || !count ? err : each_randoms(each);
}

static int each_point(struct each *each, uint64_t at)
{
	int err = 0;

	state_advance(&each->state, at);
	each->looked_at++;
	outcome_open(&each->outcome, &each->state);
	if (each->seen) {
		outcome_ended(&each->outcome);
		outcome_legalise(&each->outcome);
		each->seen_sum = outcome_sum(&each->outcome) << 1;
		err = each_build(each, "seen");
	}
	if (!err)
		err = each_outcomes(each);
	outcome_close(&each->outcome);
	return err;
}

/* ---- all points ---- */

static bool each_is_point(const struct history *history, uint64_t number)
{
	const struct change *change = history->records[number];

	return change && change->end == number && change_counts(change);
}

/* Where the tree at the start is complete. */
static uint64_t each_first(const struct history *history)
{
	uint64_t i, first = 0;

	for (i = 1; i <= history->last; i++)
		if (history->records[i] &&
		    history->records[i]->flags & RECORD_BASE)
			first = i;
	return first;
}

/* Of @count moments, is the @nth, from 0, one of @wanted that lie evenly
 * among them? */
static bool each_spread(uint64_t nth, uint64_t count, uint64_t wanted)
{
	return wanted >= count ||
	       (nth + 1) * wanted / count != nth * wanted / count;
}

static int each_points(struct each *each)
{
	struct history *history = each->history;
	uint64_t i, nth = 0, ends = 0, wanted;
	int err = 0;

	for (i = 1; i <= history->last; i++)
		ends += each_is_point(history, i);
	each->of_points = ends + 1;	/* the end of the record */
	wanted = each->points ? each->points - 1 : ends;
	for (i = 1; !err && i <= history->last && !each_over(each); i++) {
		if (!each_is_point(history, i) ||
		    !each_spread(nth++, ends, wanted))
			continue;
		progress_tick(nth, each->of_points);
		err = each_point(each, i - 1);
	}
	if (!err && !each_over(each))
		err = each_point(each, history->last);
	return err;
}

/* Also where we have not come to. */
static void each_count_strangers(struct each *each)
{
	state_advance(&each->state, each->history->last);
	each->strangers = each->state.strangers;
}

static int each_clean(struct each *each)
{
	char out[sizeof(each->work) + 16];
	int err;

	snprintf(out, sizeof(out), "%s/out", each->work);
	unlink(out);
	err = build_remove(each->work);
	if (err)
		warnx("%s: %s", each->work, strerror(-err));
	return err;
}

/* The check runs elsewhere, and is given a path in it: so it is absolute. */
static int each_workplace(struct each *each)
{
	const char *tmp = getenv("TMPDIR");
	char *path;
	int err;

	if (!tmp || !*tmp)
		tmp = "/tmp";
	path = realpath(tmp, NULL);
	err = path ? 0 : -errno;
	snprintf(each->work, sizeof(each->work) - 16,
		 "%s/pagerfs-replay.XXXXXX", path ?: tmp);
	free(path);
	if (!err && !mkdtemp(each->work))
		err = -errno;
	if (err)
		warnx("%s: %s", each->work, strerror(-err));
	return err;
}

int each_run(struct each *each, struct history *history)
{
	int err = each_workplace(each);

	each->history = history;
	if (err)
		return err;
	state_open(&each->state, history, each->strict);
	state_advance(&each->state, each_first(history));
	if (each->build->base >= 0)
		err = build_take_base(each->build, &each->state);
	if (err)
		warnx("--base: %s: %s", each->build->path,
		      build_base_fault(err));
	progress_start("checking");
	if (!err)
		err = each_points(each);
	progress_clear();
	if (!err)
		each_count_strangers(each);
	state_close(&each->state);
	set_free(&each->done);
	return each_clean(each) ?: err;
}
