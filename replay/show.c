/*
 * show.c - a record for people. Reads the history, changes nothing.
 */
#include "replay/show.h"
#include "replay/need.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <time.h>


/* ---- one change ---- */

static void show_name(FILE *out, const struct state *state, uint64_t dir,
		      const char *name)
{
	char path[4096];

	if (dir == RECORD_ROOT)
		fprintf(out, " %s", name);
	else
		fprintf(out, " %s/%s",
			state_path(state, dir, path, sizeof(path)), name);
}

static const char *show_verb(const struct change *change)
{
	if (change->type == RECORD_MAKE)
		return S_ISDIR(change->attr.mode) ? "mkdir" :
		       S_ISLNK(change->attr.mode) ? "symlink" :
		       S_ISREG(change->attr.mode) ? "create" : "mknod";
	if (change->type == RECORD_REMOVE)
		return change->arg & AT_REMOVEDIR ? "rmdir" : "unlink";
	if (change->type == RECORD_SETATTR)
		return change->arg & RECORD_SET_SIZE ? "truncate" : "setattr";
	if (change->type == RECORD_FALLOCATE)
		return change->arg & FALLOC_FL_PUNCH_HOLE ? "punch" :
		       change->arg & FALLOC_FL_ZERO_RANGE ? "zero" :
		       "fallocate";
	if (change->type == RECORD_FSYNC && change->flags & RECORD_DATASYNC)
		return "fdatasync";
	return record_type_name(change->type);
}

static void show_names(FILE *out, const struct state *state,
		       const struct change *change)
{
	char path[4096];

	if (change->type == RECORD_LINK)
		fprintf(out, " %s to", state_path(state, change->id, path,
						  sizeof(path)));
	show_name(out, state, change->parent, change->name);
	if (change->type == RECORD_RENAME) {
		fprintf(out, change->arg & RENAME_EXCHANGE ? " with" : " to");
		show_name(out, state, change->parent2, change->other);
	}
	if (change->type == RECORD_MAKE && change->other)
		fprintf(out, " to %s", change->other);
}

static void show_attr(FILE *out, const struct change *change)
{
	if (change->arg & RECORD_SET_SIZE)
		fprintf(out, " size %" PRIu64, change->length);
	if (change->arg & RECORD_SET_MODE)
		fprintf(out, " mode %o", change->attr.mode & 07777);
	if (change->arg & RECORD_SET_UID)
		fprintf(out, " uid %u", change->attr.uid);
	if (change->arg & RECORD_SET_GID)
		fprintf(out, " gid %u", change->attr.gid);
}

void show_change(FILE *out, const struct state *state,
		 const struct change *change)
{
	char path[4096];

	fprintf(out, "%s", show_verb(change));
	if (change_is_names(change)) {
		show_names(out, state, change);
		return;
	}
	fprintf(out, " %s", state_path(state, change->id, path,
				       sizeof(path)));
	if (change->type == RECORD_SETATTR)
		show_attr(out, change);
	else if (change->type != RECORD_FSYNC)
		fprintf(out, " %" PRIu64 "+%" PRIu64, change->offset,
			change->length);
	if (change->flags & RECORD_SYNC)
		fprintf(out, " sync");
}

/* ---- the list ---- */

static void show_end(FILE *out, const struct change *change)
{
	bool moves = change->type == RECORD_WRITE ||
		change->type == RECORD_READ;

	if (!change->end)
		fprintf(out, "   never ended");
	else if (change->err && change->done)
		fprintf(out, " = %s, after %" PRIu64 " bytes",
			strerror(-change->err), change->done);
	else if (change->err)
		fprintf(out, " = %s", strerror(-change->err));
	else if (moves && change->done != change->length)
		fprintf(out, " = %" PRIu64, change->done);
	if (change->late)
		fprintf(out, " (late: its client had been told ETIMEDOUT)");
}

static void show_line(FILE *out, const struct state *state,
		      const struct change *change)
{
	fprintf(out, "%8" PRIu64 " ", change->number);
	if (change->end)
		fprintf(out, "%8" PRIu64, change->end);
	else
		fprintf(out, "%8s", "-");
	fprintf(out, " %12.6f  ", change->time / 1e9);
	show_change(out, state, change);
	show_end(out, change);
	fputc('\n', out);
}

void show_list(FILE *out, struct history *history)
{
	const struct change *change;
	struct state state;
	uint64_t i;

	fprintf(out, "%8s %8s %12s  %s\n", "begins", "ends", "seconds",
		"operation");
	state_open(&state, history, false);
	for (i = 1; i <= history->last; i++) {
		change = history->records[i];
		/* Before it happens: a name is then still what it was. */
		if (change && change->number == i &&
		    !(change->flags & RECORD_BASE))
			show_line(out, &state, change);
		state_advance(&state, i);
	}
	state_close(&state);
}

/* ---- the summary ---- */

struct show_counts {
	uint64_t all[RECORD_TYPES], bytes[RECORD_TYPES];
	uint64_t base_files, base_bytes, failed, open;
};

static void show_count(struct show_counts *counts,
		       const struct change *change)
{
	if (change->flags & RECORD_BASE) {
		counts->base_files += change->type == RECORD_MAKE;
		if (change->type == RECORD_WRITE)
			counts->base_bytes += change->length;
		return;
	}
	counts->all[change->type]++;
	if (change->end)
		counts->bytes[change->type] += change->done;
	counts->failed += change->err != 0;
	counts->open += !change->end;
}

static void show_counts(FILE *out, const struct show_counts *counts)
{
	unsigned int type;

	for (type = 1; type < RECORD_END; type++) {
		if (!counts->all[type])
			continue;
		fprintf(out, "%-10s %" PRIu64, record_type_name(type),
			counts->all[type]);
		if (type == RECORD_WRITE || type == RECORD_READ)
			fprintf(out, ", %" PRIu64 " bytes",
				counts->bytes[type]);
		fputc('\n', out);
	}
	if (counts->failed)
		fprintf(out, "failed     %" PRIu64 "\n", counts->failed);
}

static void show_head(FILE *out, const struct history *history,
		      const struct show_counts *counts)
{
	time_t began = history->reader.head.began / 1000000000;
	char text[64];

	strftime(text, sizeof(text), "%F %T", localtime(&began));
	fprintf(out, "began      %s\n", text);
	fprintf(out, "records    1 to %" PRIu64 ", %" PRIu64 " bytes\n",
		history->last, history->reader.size);
	fprintf(out, "at start   %" PRIu64 " files and directories, %s",
		counts->base_files, history->reader.head.base ? "" :
		"their contents are not here: give --base\n");
	if (history->reader.head.base)
		fprintf(out, "%" PRIu64 " bytes\n", counts->base_bytes);
}

static void show_state(FILE *out, struct history *history, uint64_t open)
{
	struct state state;

	state_open(&state, history, false);
	state_advance(&state, history->last);
	fprintf(out, "fsyncs     %" PRIu64 " went well\n", state.fsyncs);
	if (open)
		fprintf(out, "in flight  %" PRIu64 " at the end\n", open);
	if (state.overlaps)
		fprintf(out,
			"overlaps   %" PRIu64 " changes of data met another in "
			"flight; taken in the order of their ends\n",
			state.overlaps);
	if (state.strangers)
		fprintf(out,
			"strangers  %" PRIu64
			" operations on files that came into SOURCE behind "
			"the mount, or on whiteouts; left out\n",
			state.strangers);
	state_close(&state);
}

/* What the header says of the end, which may not be here. */
static const char *show_last(const struct history *history)
{
	switch (history->reader.head.state) {
	case RECORD_RUNNING:
		return "none: pagerfs was killed, or still runs";
	case RECORD_STOPPED:
		return "before pagerfs did";
	default:
		return history->reader.fault || history->nonsense ?
		       "was in order, but is not here" : "in order";
	}
}

void show_info(FILE *out, struct history *history)
{
	struct show_counts counts = { .failed = 0 };
	uint64_t i;

	for (i = 1; i <= history->last; i++)
		if (history->records[i] && history->records[i]->number == i)
			show_count(&counts, history->records[i]);
	show_head(out, history, &counts);
	show_counts(out, &counts);
	show_state(out, history, counts.open);
	fprintf(out, "end        %s\n", show_last(history));
}

/* ---- for a shell ---- */

void show_word(FILE *out, const char *text)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_./+,:@%-";

	if (*text && !text[strspn(text, plain)]) {
		fputs(text, out);
		return;
	}
	fputc('\'', out);
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", out);
		else
			fputc(*text, out);
	fputc('\'', out);
}

/* ---- what is wrong with it ---- */

char *show_fault(const struct history *history, const char *path)
{
	const struct record_reader *reader = &history->reader;
	char *text = NULL;
	int size = 0;

	if (reader->fault)
		size = asprintf(&text, "%s: record %" PRIu64 " (at byte %"
				PRIu64 ") %s: going by those before it", path,
				history->last + 1, reader->at,
				record_fault_text(reader->fault));
	else if (history->nonsense)
		size = asprintf(&text, "%s: record %" PRIu64 " %s: going by "
				"those before it", path, history->last + 1,
				history->nonsense);
	else if (reader->head.state == RECORD_STOPPED)
		size = asprintf(&text, "%s: incomplete: recording stopped "
				"after record %" PRIu64 " (%s); what came "
				"later is not here", path, reader->head.count,
				strerror(reader->head.err));
	if (size < 0)
		text = need(NULL);
	return text;
}
