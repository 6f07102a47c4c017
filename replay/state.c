/*
 * state.c - go through a history and keep apart what is durable, what is
 * pending, and what is in flight.
 *
 * A change begins: it is in flight. It ends: if it went well it is pending, on
 * its file or among the names, in the order of the ends. Which file a name is,
 * is therefore decided when the change ends; while it is in flight it counts
 * as the next to end after those that began before it. What will end with an
 * error does nothing, in flight neither.
 *
 * An fsync ends: of the changes which it covers those from the head of the
 * list, up to the first which it does not, are applied to the floor and
 * forgotten. Since lists are in the order of ends, and an fsync covers what had
 * ended when it began, that is all of them; only names in strict mode and
 * writes of O_SYNC can be durable behind something that is not, and are marked
 * @must.
 */
#include "replay/state.h"
#include "replay/names.h"
#include "replay/need.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#define STATE_DEEPEST	2048	/* directories in a path of 4096 bytes */
#define STATE_WHITEOUT	(1ull << 63)	/* files that a rename left behind */

/* ---- files ---- */

struct file *state_file(const struct state *state, uint64_t id)
{
	struct file *file;

	HASH_FIND(hh, state->files, &id, sizeof(id), file);
	return file;
}

/* The file of @id, made if there was none. */
static struct file *state_need_file(struct state *state, uint64_t id)
{
	struct file *file = state_file(state, id);

	if (file)
		return file;
	file = need_zeroed(1, sizeof(*file));
	file->id = id;
	file->attr.mode = S_IFREG | 0600;
	TAILQ_INIT(&file->pending);
	RB_INIT(&file->data);
	HASH_ADD(hh, state->files, id, sizeof(file->id), file);
	return file;
}

const char *state_path(const struct state *state, uint64_t id, char *to,
		       size_t size)
{
	const struct file *file = state_file(state, id);
	char above[4096];
	int depth = 0;

	if (id == RECORD_ROOT)
		return ".";
	if (!file || !file->name) {
		snprintf(to, size, "(file %" PRIu64 ")", id);
		return to;
	}
	snprintf(to, size, "%s", file->name);
	while (file->dir != RECORD_ROOT && depth++ < STATE_DEEPEST &&
	       (file = state_file(state, file->dir)) && file->name) {
		snprintf(above, sizeof(above), "%s/%s", file->name, to);
		snprintf(to, size, "%s", above);
	}
	return to;
}

/* ---- changes of data, on the floor ---- */

uint64_t change_sure(const struct change *change)
{
	return change->end ? change->done : change->length;
}

uint64_t change_kept(const struct change *change)
{
	return change->over ? change_sure(change) : change->length;
}

static uint64_t change_hash(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t change_sum(const struct change *change)
{
	uint64_t what = change->overtook;

	if (change_is_names(change))
		what += change_hash(change->object) ^ change->victim;
	else if (change->type == RECORD_WRITE)
		what += change_kept(change);
	return change_hash(change_hash(change->number) + what);
}

/* A change of the owner takes set-id bits away, as the kernel does it. */
static void change_owner(const struct change *change, struct record_attr *attr)
{
	if (change->arg & RECORD_SET_UID)
		attr->uid = change->attr.uid;
	if (change->arg & RECORD_SET_GID)
		attr->gid = change->attr.gid;
	if (!(change->arg & (RECORD_SET_UID | RECORD_SET_GID)) ||
	    S_ISDIR(attr->mode))
		return;
	attr->mode &= ~S_ISUID;
	if (attr->mode & S_IXGRP)
		attr->mode &= ~S_ISGID;
}

void change_attr(const struct change *change, struct record_attr *attr)
{
	change_owner(change, attr);
	if (change->arg & RECORD_SET_MODE)
		attr->mode = (attr->mode & S_IFMT) |
			(change->attr.mode & 07777);
}

static void floor_attr(struct file *file, const struct change *change)
{
	change_attr(change, &file->attr);
	if (!(change->arg & RECORD_SET_SIZE))
		return;
	extents_cut(&file->data, change->length, UINT64_MAX);
	file->size = change->length;
}

static void floor_fallocate(struct file *file, const struct change *change)
{
	uint64_t end = change->offset + change->length;

	if (change->arg & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		extents_cut(&file->data, change->offset, change->length);
	if (!(change->arg & FALLOC_FL_KEEP_SIZE) && file->size < end)
		file->size = end;
}

static void floor_write(struct file *file, const struct change *change)
{
	uint64_t length = change_kept(change);

	extents_put(&file->data, change->offset, length, change->at, false);
	if (length && file->size < change->offset + length)
		file->size = change->offset + length;
}

static void floor_apply(struct state *state, const struct change *change)
{
	struct file *file = change->file;

	if (change->type == RECORD_SETATTR)
		floor_attr(file, change);
	else if (change->type == RECORD_FALLOCATE)
		floor_fallocate(file, change);
	else if (change->type == RECORD_WRITE)
		floor_write(file, change);
	state->sum += change_sum(change);
}

/* ---- fsync ---- */

static void state_sync_data(struct state *state, struct file *file,
			    const struct change *fsync)
{
	struct change *change, *next;

	for (change = TAILQ_FIRST(&file->pending);
	     change && change->end < fsync->number; change = next) {
		next = TAILQ_NEXT(change, pending);
		if (fsync->flags & RECORD_DATASYNC &&
		    change->type == RECORD_SETATTR && !change_is_meta(change))
			continue;
		floor_apply(state, change);
		TAILQ_REMOVE(&file->pending, change, pending);
		TAILQ_REMOVE(&state->all, change, all);
	}
}

/* What stands at the head of the names and is durable goes to the floor. */
static void state_settle_names(struct state *state)
{
	struct change *change;
	struct naming names[2];
	int i, count;

	while ((change = TAILQ_FIRST(&state->names)) && change->must) {
		count = change_names(change, names);
		for (i = 0; i < count; i++)
			tree_set(&state->floor, names[i].dir, names[i].name,
				 names[i].id);
		state->sum += change_sum(change);
		TAILQ_REMOVE(&state->names, change, pending);
		TAILQ_REMOVE(&state->all, change, all);
	}
}

/* A log is synced again and again, and of all that is pending few names are of
 * its concern: what was before its last fsync is not looked at any more. */
static void state_sync_names(struct state *state, struct file *file,
			     const struct change *fsync)
{
	uint64_t since = file ? file->names_synced : 0;

	if (file && since < fsync->number)
		file->names_synced = fsync->number;
	if (!names_any_covered(&state->names, fsync, state->strict, since))
		return;
	names_sync(&state->names, fsync, state->strict);
	state_settle_names(state);
}

static void state_fsync(struct state *state, const struct change *fsync)
{
	struct file *file = state_file(state, fsync->id);

	state->fsyncs++;
	if (file)
		state_sync_data(state, file, fsync);
	state_sync_names(state, file, fsync);
}

/*
 * A write of O_SYNC is durable, and so are sizes and holes that came before
 * it on its file. Where nothing else is before it, it goes to the floor. To
 * names it is as the fsync of its file, without which nobody could find it.
 */
static void state_sync_write(struct state *state, struct change *write)
{
	struct changes *pending = &write->file->pending;
	struct change *change;

	write->must = true;
	TAILQ_FOREACH(change, pending, pending)
		if (change_is_meta(change))
			change->must = true;
	while ((change = TAILQ_FIRST(pending)) && change->must) {
		floor_apply(state, change);
		TAILQ_REMOVE(pending, change, pending);
		TAILQ_REMOVE(&state->all, change, all);
	}
	state_sync_names(state, write->file, write);
}

/* ---- beginnings ---- */

int change_names(const struct change *change, struct naming names[2])
{
	names[0] = (struct naming){ change->parent, change->name, 0 };
	names[1] = (struct naming){ change->parent2, change->other,
				    change->object };
	switch (change->type) {
	case RECORD_MAKE:
	case RECORD_LINK:
		names[0].id = change->id;
		return change->parent ? 1 : 0;
	case RECORD_REMOVE:
		return 1;
	case RECORD_RENAME:
		if (change->arg & RENAME_EXCHANGE)
			names[0].id = change->victim;
		else if (change->arg & RENAME_WHITEOUT)
			names[0].id = STATE_WHITEOUT | change->number;
		/* Two names of one file: nothing happens. */
		return change->object == change->victim ? 0 : 2;
	}
	return 0;
}

/* The file that @name of @dir is after what flies has ended, up to @until. */
static uint64_t state_look(const struct state *state, uint64_t dir,
			   const char *name, const struct change *until)
{
	uint64_t id = tree_get(&state->seen, dir, name);
	const struct change *change;
	struct naming names[2];
	int i, count;

	TAILQ_FOREACH(change, &state->inflight, all) {
		if (change == until)
			break;
		count = change_is_names(change) ?
			change_names(change, names) : 0;
		for (i = 0; i < count; i++)
			if (names[i].dir == dir && !strcmp(names[i].name, name))
				id = names[i].id;
	}
	return id;
}

static bool state_is_dir(const struct state *state, uint64_t id)
{
	const struct file *file = state_file(state, id);

	return file && S_ISDIR(file->attr.mode);
}

/*
 * Which files @change is about, after what flies up to @until.
 * => Do we know them?
 */
static bool state_resolve(struct state *state, struct change *change,
			  const struct change *until)
{
	change->object = change->id;
	change->victim = 0;
	if (change->type > RECORD_LINK)
		change->object = state_look(state, change->parent,
					    change->name, until);
	if (change->type == RECORD_REMOVE)
		change->victim = change->object;
	if (change->type == RECORD_RENAME) {
		change->victim = state_look(state, change->parent2,
					    change->other, until);
		change->moves_dir = state_is_dir(state, change->object) ||
			(change->arg & RENAME_EXCHANGE &&
			 state_is_dir(state, change->victim));
	}
	change->file = state_file(state, change->object);
	return change->file && change->file->made;
}

static void state_make(struct state *state, struct change *change)
{
	struct file *file = state_need_file(state, change->id);

	/* In flight already what it is to be, if that is known: a file's mode
	 * was never the one that was asked for. */
	file->attr = change->end_attr;
	file->made = true;
	file->target = S_ISLNK(change->attr.mode) ? change->other : NULL;
}

/* What a rename puts in its place, of which the record has no MAKE. */
static void state_make_whiteout(struct state *state,
				const struct change *change)
{
	struct file *file;

	if (change->type != RECORD_RENAME || !(change->arg & RENAME_WHITEOUT))
		return;
	file = state_need_file(state, STATE_WHITEOUT | change->number);
	file->attr = (struct record_attr){ .mode = S_IFCHR };
	file->made = true;
}

static void state_note_name(struct state *state, uint64_t id, uint64_t dir,
			    const char *name)
{
	struct file *file = id ? state_file(state, id) : NULL;

	if (!file)
		return;
	file->dir = dir;
	file->name = name;
}

/* As it was at the start: durable, and seen by all. */
static void state_base(struct state *state, struct change *change)
{
	change->file = state_need_file(state, change->id);
	if (!change_is_names(change)) {
		floor_apply(state, change);
		return;
	}
	if (change->type == RECORD_MAKE)
		state_make(state, change);
	if (change->type > RECORD_LINK || !*change->name)
		return;
	tree_set(&state->floor, change->parent, change->name, change->id);
	tree_set(&state->seen, change->parent, change->name, change->id);
	state_note_name(state, change->id, change->parent, change->name);
}

static bool change_overlaps(const struct change *a, const struct change *b)
{
	return b->type == RECORD_WRITE && a->id == b->id &&
	       a->offset < b->offset + b->length &&
	       b->offset < a->offset + a->length;
}

/* ... and a change of the size, or of attributes: */
static bool change_clashes_set(const struct change *set,
			       const struct change *other)
{
	uint64_t end = other->offset + other->length;

	if (other->type == RECORD_SETATTR)
		return set->arg & other->arg & RECORD_SET_SIZE ?
			set->length != other->length :
			set->arg & ~RECORD_SET_SIZE &&
			other->arg & ~RECORD_SET_SIZE;
	if (other->type == RECORD_FALLOCATE &&
	    other->arg & FALLOC_FL_KEEP_SIZE)
		return false;
	return set->arg & RECORD_SET_SIZE && end > set->length;
}

/* Of two changes of data: is a file another one when they come in the other
 * order? */
static bool change_clashes(const struct change *a, const struct change *b)
{
	if (a->id != b->id || change_is_names(b))
		return false;
	if (a->type == RECORD_SETATTR)
		return change_clashes_set(a, b);
	if (b->type == RECORD_SETATTR)
		return change_clashes_set(b, a);
	if (a->type == RECORD_FALLOCATE)
		return a->arg & (FALLOC_FL_PUNCH_HOLE |
				 FALLOC_FL_ZERO_RANGE) && change_overlaps(a, b);
	return b->type == RECORD_FALLOCATE ? change_clashes(b, a) :
					     change_overlaps(a, b);
}

static void state_count_overlap(struct state *state,
				const struct change *change)
{
	const struct change *other;

	TAILQ_FOREACH(other, &state->inflight, all) {
		if (change_clashes(change, other)) {
			state->overlaps++;
			return;
		}
	}
}

static bool state_begin_names(struct state *state, struct change *change)
{
	if (change->type == RECORD_MAKE)
		state_make(state, change);
	state_make_whiteout(state, change);
	return state_resolve(state, change, NULL);
}

/* It did nothing. A write that failed may all the same be there, in part; but
 * not one that was refused for where it would end. */
static bool change_refused(const struct change *change)
{
	return change->err && (change->type != RECORD_WRITE ||
			       (change->err == -EFBIG && !change->done));
}

static void state_begin(struct state *state, struct change *change)
{
	change->flies = change->over = change->must = false;
	change->overtook = 0;
	if (change->type == RECORD_FSYNC || !change_counts(change) ||
	    change_refused(change))
		return;
	if (change_is_names(change)) {
		/* What it is about may be known when it ends. */
		if (!state_begin_names(state, change))
			return;
	} else {
		change->file = state_need_file(state, change->id);
		state_count_overlap(state, change);
	}
	change->flies = true;
	TAILQ_INSERT_TAIL(&state->inflight, change, all);
}

/* ---- ends ---- */

static void state_end_names(struct state *state, struct change *change)
{
	struct naming names[2];
	int i, count;

	if (!state_resolve(state, change, TAILQ_FIRST(&state->inflight))) {
		state->strangers++;
		return;
	}
	count = change_names(change, names);
	for (i = 0; i < count; i++) {
		tree_set(&state->seen, names[i].dir, names[i].name,
			 names[i].id);
		state_note_name(state, names[i].id, names[i].dir,
				names[i].name);
	}
	TAILQ_INSERT_TAIL(&state->names, change, pending);
	TAILQ_INSERT_TAIL(&state->all, change, all);
}

/* Does it matter which of the two is the later one? */
static bool change_meets(const struct change *a, const struct change *b)
{
	if (change_is_names(a) || change_is_names(b))
		return change_is_names(a) && change_is_names(b);
	return a->id == b->id && (a->type != RECORD_WRITE ||
				  b->type != RECORD_WRITE ||
				  change_overlaps(a, b));
}

/* It is in flight no more, and goes before all that is yet. */
static void state_land(struct state *state, struct change *change)
{
	const struct change *other;

	for (other = TAILQ_FIRST(&state->inflight); other != change;
	     other = TAILQ_NEXT(other, all))
		if (change_meets(change, other))
			change->overtook += change_hash(other->number);
	TAILQ_REMOVE(&state->inflight, change, all);
	change->flies = false;
}

/* A change of names has ended: what is in flight yet comes after it. What is
 * then about no file can no longer end well. */
static void state_resolve_flying(struct state *state)
{
	struct change *change, *next;

	for (change = TAILQ_FIRST(&state->inflight); change; change = next) {
		next = TAILQ_NEXT(change, all);
		if (change_is_names(change) &&
		    !state_resolve(state, change, change))
			state_land(state, change);
	}
}

static void state_end(struct state *state, struct change *change)
{
	if (change->type == RECORD_FSYNC) {
		if (change_promised(change))
			state_fsync(state, change);
		return;
	}
	if (!change_counts(change) || change_refused(change))
		return;
	change->over = true;
	if (change->flies)
		state_land(state, change);
	if (change_is_names(change)) {
		state_end_names(state, change);
		state_resolve_flying(state);
		return;
	}
	if (!change->file->made)
		state->strangers++;
	TAILQ_INSERT_TAIL(&change->file->pending, change, pending);
	TAILQ_INSERT_TAIL(&state->all, change, all);
	if (change->flags & RECORD_SYNC && change_promised(change))
		state_sync_write(state, change);
}

/* ---- the whole ---- */

void state_open(struct state *state, struct history *history, bool strict)
{
	*state = (struct state){ .history = history, .strict = strict };
	TAILQ_INIT(&state->names);
	TAILQ_INIT(&state->all);
	TAILQ_INIT(&state->inflight);
	state_need_file(state, RECORD_ROOT)->attr.mode = S_IFDIR | 0755;
}

void state_close(struct state *state)
{
	struct file *file, *next;

	HASH_ITER(hh, state->files, file, next) {
		HASH_DEL(state->files, file);
		extents_free(&file->data);
		free(file->base);
		free(file->built);
		free(file);
	}
	tree_free(&state->floor);
	tree_free(&state->seen);
}

void state_advance(struct state *state, uint64_t number)
{
	struct change *change;

	while (state->at < number) {
		change = state->history->records[++state->at];
		if (!change)
			continue;
		if (change->end == state->at)
			state_end(state, change);
		else if (change->flags & RECORD_BASE)
			state_base(state, change);
		else
			state_begin(state, change);
	}
}
