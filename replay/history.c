/*
 * history.c - a whole record in memory.
 *
 * Each record goes through history_take(), which checks that it makes sense
 * and joins ends to beginnings. Names are checked to be plain components, so
 * that nothing that is built from a history can leave its directory, whoever
 * wrote the record. One thread, no locks.
 */
#include "replay/history.h"
#include "replay/need.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <uthash.h>

#define HISTORY_TICK	4096	/* records */
#define HISTORY_ERRNO	4095	/* the highest there can be */
#define HISTORY_MOST	INT64_MAX	/* bytes in a file */

/* => -EPROTO, having noted what does not make sense. */
__attribute__((format(printf, 2, 3)))
static int history_refuse(struct history *history, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(&history->nonsense, format, args) < 0)
		history->nonsense = NULL;
	va_end(args);
	need(history->nonsense);
	return -EPROTO;
}

static bool history_name_ok(const char *name)
{
	return *name && strlen(name) <= NAME_MAX && strcmp(name, ".") &&
	       strcmp(name, "..") && !strchr(name, '/');
}

/* Take a text from what is left of a payload. => NULL: there is none. */
static char *history_text(const uint8_t **from, size_t *left)
{
	const uint8_t *nul = *left ? memchr(*from, 0, *left) : NULL;
	char *text;

	if (!nul)
		return NULL;
	text = need(strdup((const char *)*from));
	*left -= nul + 1 - *from;
	*from = nul + 1;
	return text;
}

static int history_take_names(struct history *history, struct change *change,
			      const uint8_t *payload, size_t left)
{
	/* The root at the start, and files of O_TMPFILE. */
	bool nameless = change->type == RECORD_MAKE && !change->parent;

	if (change->type == RECORD_MAKE) {
		if (!record_get_attr(payload, left, &change->attr))
			return history_refuse(history, "has no attributes");
		payload += RECORD_ATTR;
		left -= RECORD_ATTR;
		change->end_attr = change->attr;
	}
	change->name = history_text(&payload, &left);
	change->other = history_text(&payload, &left);
	if (!change->name || (!nameless && !history_name_ok(change->name)))
		return history_refuse(history, "has no proper name");
	if (change->type == RECORD_RENAME &&
	    (!change->other || !history_name_ok(change->other)))
		return history_refuse(history, "has no proper new name");
	if (change->type == RECORD_MAKE && S_ISLNK(change->attr.mode) &&
	    (!change->other || !*change->other))
		return history_refuse(history, "has no target");
	return 0;
}

static int history_take_data(struct history *history, struct change *change,
			     const struct record *record,
			     const uint8_t *payload)
{
	if (change->offset > HISTORY_MOST || change->length > HISTORY_MOST)
		return history_refuse(history, "is beyond any file's end");
	if (change->type == RECORD_WRITE && record->payload != record->length)
		return history_refuse(history, "has %u bytes of %" PRIu64,
				      record->payload,
				      record->length);
	if (change->type == RECORD_SETATTR &&
	    !record_get_attr(payload, record->payload, &change->attr))
		return history_refuse(history, "has no attributes");
	return 0;
}

static struct change *history_new(const struct record *record)
{
	struct change *change = need_zeroed(1, sizeof(*change));

	change->type = record->type;
	change->flags = record->flags;
	change->number = record->number;
	change->time = record->time;
	change->id = record->file;
	change->offset = record->offset;
	change->length = record->length;
	change->arg = record->arg;
	change->at = record->at;
	return change;
}

static int history_begin(struct history *history, const struct record *record,
			 const uint8_t *payload)
{
	struct change *change = history_new(record);

	history->records[record->number] = change;
	return change_is_names(change) ?
		history_take_names(history, change, payload,
				   record->payload) :
		history_take_data(history, change, record, payload);
}

/* ---- files that were found before their making had ended ---- */

/* A stranger that was made by @make, after all. */
struct history_join {
	uint64_t stranger;
	const struct change *make;
	UT_hash_handle hh;
};

static void history_join(struct history *history, const struct change *make,
			 uint64_t stranger)
{
	struct history_join *join;

	HASH_FIND(hh, history->joins, &stranger, sizeof(stranger), join);
	if (join)
		return;
	join = need_zeroed(1, sizeof(*join));
	join->stranger = stranger;
	join->make = make;
	HASH_ADD(hh, history->joins, stranger, sizeof(stranger), join);
}

/* The file which @change, of @number, means by @id. */
static uint64_t history_id(const struct history *history, uint64_t number,
			   uint64_t id)
{
	struct history_join *join;

	HASH_FIND(hh, history->joins, &id, sizeof(id), join);
	return join && number > join->make->number ? join->make->id : id;
}

/*
 * What was done to a stranger since its making began was done to what was
 * made. Records of that stand also behind the end of the making: who wrote them
 * had asked for the id before it.
 */
static void history_join_all(struct history *history)
{
	struct change *change;
	uint64_t i;

	for (i = 1; history->joins && i <= history->last; i++) {
		change = history->records[i];
		if (!change || change->number != i)
			continue;
		change->id = history_id(history, i, change->id);
		if (change_is_names(change))
			change->parent = history_id(history, i,
						    change->parent);
		if (change->type == RECORD_RENAME)
			change->parent2 = history_id(history, i,
						     change->parent2);
	}
}

static void history_free_joins(struct history *history)
{
	struct history_join *join, *next;

	HASH_ITER(hh, history->joins, join, next) {
		HASH_DEL(history->joins, join);
		free(join);
	}
}

/* ---- records ---- */

static int history_end(struct history *history, const struct record *record,
		       const uint8_t *payload)
{
	struct change *change = record->op < record->number ?
		history->records[record->op] : NULL;

	/* Of an operation which may be skipped. */
	if (!change && record->flags & RECORD_OPTIONAL)
		return 0;
	if (!change || change->number != record->op || change->end ||
	    change->flags & RECORD_BASE)
		return history_refuse(history,
				      "ends nothing that began (%" PRIu64 ")",
				      record->op);
	if (record->arg > 0 || record->arg < -HISTORY_ERRNO ||
	    (change->type == RECORD_WRITE &&
	     (record->length > change->length ||
	      (record->flags & RECORD_PLACED &&
	       record->offset > HISTORY_MOST))))
		return history_refuse(history, "is no possible end of %" PRIu64,
				      record->op);
	change->end = record->number;
	change->end_time = record->time;
	change->err = record->arg;
	change->late = record->flags & RECORD_LATE;
	change->done = record->length;
	if (change->type == RECORD_WRITE && record->flags & RECORD_PLACED)
		change->offset = record->offset;
	record_get_attr(payload, record->payload, &change->end_attr);
	if ((change->end_attr.mode ^ change->attr.mode) & S_IFMT)
		change->end_attr = change->attr;
	if (change->type == RECORD_FSYNC && change_promised(change))
		history->fsyncs++;
	if (change->type == RECORD_MAKE && !change->err && record->file)
		history_join(history, change, record->file);
	history->records[record->number] = change;
	return 0;
}

static int history_take(struct history *history, const struct record *record,
			const uint8_t *payload)
{
	if (record->type < RECORD_END)
		return history_begin(history, record, payload);
	if (record->type == RECORD_END)
		return history_end(history, record, payload);
	history->started |= record->type == RECORD_BASE_END;
	return 0;
}

static void history_grow(struct history *history, uint64_t number,
			 uint64_t *room)
{
	if (number < *room)
		return;
	*room = number + number / 2 + 1024;
	history->records = need(realloc(history->records,
					*room * sizeof(*history->records)));
}

/* The record at @number makes no sense: it never was. */
static void history_forget(struct history *history, uint64_t number)
{
	struct change *change = history->records[number];

	if (!change)
		return;
	if (change->number == number) {
		free(change->name);
		free(change->other);
		free(change);
	}
	history->records[number] = NULL;
}

static int history_read(struct history *history,
			void (*tick)(uint64_t done, uint64_t all))
{
	const uint8_t *payload;
	struct record record;
	uint64_t room = 0;
	int got, err = 0;

	while (!err && (got = record_reader_next(&history->reader, &record,
						 &payload)) > 0) {
		history_grow(history, record.number, &room);
		/* Numbers of records that are skipped stay empty. */
		while (history->last + 1 < record.number)
			history->records[++history->last] = NULL;
		history->records[record.number] = NULL;
		err = history_take(history, &record, payload);
		if (err)
			history_forget(history, record.number);
		else
			history->last = record.number;
		if (tick && !(record.number % HISTORY_TICK))
			tick(history->reader.at, history->reader.size);
	}
	return err == -EPROTO ? 0 : got < 0 ? got : 0;
}

int history_load(struct history *history, int fd,
		 void (*tick)(uint64_t done, uint64_t all))
{
	int err;

	*history = (struct history){ .last = 0 };
	err = record_reader_open(&history->reader, fd);
	if (err)
		return err;
	history->records = need_zeroed(1, sizeof(*history->records));
	err = history_read(history, tick);
	history_join_all(history);
	history_free_joins(history);
	return err;
}

void history_free(struct history *history)
{
	uint64_t i;

	/* An operation is freed at its end, or where it has none. */
	for (i = history->last; i > 0; i--)
		if (history->records[i] && history->records[i]->number == i)
			history_forget(history, i);
	free(history->records);
	free(history->nonsense);
	record_reader_close(&history->reader);
}

uint64_t history_fsync(const struct history *history, uint64_t nth)
{
	const struct change *change;
	uint64_t i;

	for (i = 1; i <= history->last; i++) {
		change = history->records[i];
		if (change && change->end == i &&
		    change->type == RECORD_FSYNC &&
		    change_promised(change) && !--nth)
			return i;
	}
	return 0;
}
