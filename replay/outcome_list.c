/*
 * outcome_list.c - an outcome as a list of what is missing, and back.
 */
#include "replay/outcome.h"
#include "replay/need.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* ---- list to outcome ---- */

/* Take a number from *@at. => Is there one? */
static bool list_number(const char **at, uint64_t *number)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*number = strtoull(*at, &end, 10);
	*at = end;
	return !errno;
}

/* "A" or "A-B" */
static bool list_range(const char **at, uint64_t *first, uint64_t *last)
{
	if (!list_number(at, first))
		return false;
	*last = *first;
	if (**at != '-')
		return true;
	(*at)++;
	return list_number(at, last) && *last >= *first;
}

static char *list_complain(const char *format, uint64_t number)
{
	char *text;

	if (asprintf(&text, format, number) < 0)
		text = NULL;
	return need(text);
}

static struct change *list_find(struct outcome *outcome, uint64_t number)
{
	size_t i;

	for (i = 0; i < outcome->count; i++)
		if (outcome->changes[i]->number == number)
			return outcome->changes[i];
	return NULL;
}

/* What follows the colon behind @number. */
static char *list_sectors(struct outcome *outcome, uint64_t number,
			  const char **at)
{
	struct change *change = list_find(outcome, number);
	uint64_t first = 0, last = UINT64_MAX - 1;

	if (!change || change->type != RECORD_WRITE)
		return list_complain("%" PRIu64 " is no write that could be "
				     "missing here", number);
	if (!strncmp(*at, "data", 4))
		*at += 4;
	else if (!list_range(at, &first, &last))
		return list_complain("behind %" PRIu64 ": come sectors, as 0 "
				     "or 0-7, or 'data'", number);
	outcome_drop_sectors(change, first, last);
	return NULL;
}

static char *list_drop(struct outcome *outcome, uint64_t first, uint64_t last)
{
	size_t i, found = 0;

	for (i = 0; i < outcome->count; i++) {
		if (outcome->changes[i]->number < first ||
		    outcome->changes[i]->number > last)
			continue;
		outcome_drop(outcome->changes[i]);
		found++;
	}
	return found ? NULL :
		list_complain("%" PRIu64 " is no change that could be missing "
			      "here", first);
}

char *outcome_drop_list(struct outcome *outcome, const char *list)
{
	uint64_t first, last;
	char *wrong = NULL;

	do {
		if (!list_range(&list, &first, &last))
			return list_complain("a number of a change is missing",
					     0);
		if (*list == ':' && first == last) {
			list++;
			wrong = list_sectors(outcome, first, &list);
		} else {
			wrong = list_drop(outcome, first, last);
		}
	} while (!wrong && *list++ == ',');
	if (!wrong && list[-1])
		wrong = list_complain("a comma is missing behind %" PRIu64,
				      first);
	return wrong;
}

/* ---- outcome to list ---- */

static int list_compare(const void *a, const void *b)
{
	const struct change *const *x = a, *const *y = b;

	return (*x)->number < (*y)->number ? -1 :
	       (*x)->number > (*y)->number;
}

static bool list_is_dropped(const struct change *change)
{
	return !change->keep && !change->mask;
}

/* The sectors of one write that are missing. => The comma for what follows. */
static const char *list_put_mask(FILE *out, const char *comma,
				 const struct change *change)
{
	uint64_t i, first, count = change_sectors(change);

	for (i = 0; i < count; i++) {
		if (change_has_sector(change, i))
			continue;
		first = i;
		while (i + 1 < count && !change_has_sector(change, i + 1))
			i++;
		fprintf(out, "%s%" PRIu64 ":", comma, change->number);
		if (!first && i + 1 == count)
			fprintf(out, "data");
		else if (first == i)
			fprintf(out, "%" PRIu64, i);
		else
			fprintf(out, "%" PRIu64 "-%" PRIu64, first, i);
		comma = ",";
	}
	return comma;
}

static void list_put(FILE *out, struct change **changes, size_t count)
{
	const char *comma = "";
	size_t i, first;

	for (i = 0; i < count; i++) {
		if (changes[i]->mask)
			comma = list_put_mask(out, comma, changes[i]);
		if (!list_is_dropped(changes[i]))
			continue;
		first = i;
		while (i + 1 < count && list_is_dropped(changes[i + 1]))
			i++;
		fprintf(out, "%s%" PRIu64, comma, changes[first]->number);
		if (i > first)
			fprintf(out, "-%" PRIu64, changes[i]->number);
		comma = ",";
	}
}

char *outcome_list(const struct outcome *outcome)
{
	struct change **sorted;
	char *text = NULL;
	size_t size;
	FILE *out = need(open_memstream(&text, &size));

	sorted = need_zeroed(outcome->count, sizeof(*sorted));
	memcpy(sorted, outcome->changes, outcome->count * sizeof(*sorted));
	qsort(sorted, outcome->count, sizeof(*sorted), list_compare);
	list_put(out, sorted, outcome->count);
	fclose(out);
	free(sorted);
	return need(text);
}
