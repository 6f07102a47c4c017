/*
 * view_table.c - which names there are and how their contents are made.
 *
 * A new file of the view is a row here and a formatter. Rows refer to their
 * directory by row number; the two kinds of name that are not fixed, the
 * processes and the swap areas, are rows whose name is NULL.
 *
 * mem and ctl get a number of their own at every lookup, so that two who
 * open one do not share an inode: the kernel lets one writer at a time into
 * an inode, and a command that waits for I/O would hold up all others.
 *
 * Invariant: row 1 is the root. No locks; the snapshots take their own.
 */
#include "fs/view_table.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/view_format.h"
#include "pager/snapshot.h"

#define PAGE_BYTES 4096
#define USAGE_CHUNK 512			/* pages looked at in one go */
#define USAGE_PAGES_MAX (16u << 20)	/* 64 GiB */
#define ENTRY_DIRTY (1ull << 63 | 1ull << 55)

enum {
	ROW_NONE,
	ROW_ROOT,
	ROW_PROC,		/* PID/ */
	ROW_SWAP,		/* swap/ */
	ROW_AREA,		/* swap/N */
	ROW_FIXED,		/* from here on each has a fixed name */
};

/* ---- making contents ---- */

static int make_maps(const struct view_source *src,
		     const struct view_node *node, struct view_text *t)
{
	struct snap_area *areas;
	size_t n;
	int err = snap_areas(src->vm, node->pid, &areas, &n);

	if (err)
		return err;
	view_format_maps(t, areas, n);
	free(areas);
	return 0;
}

/* Like Linux, by looking through the page table; but not for ever: no more
 * than *@left pages, nor where there can be nothing. */
static int area_usage(const struct view_source *src, int pid,
		      const struct snap_area *a, uint64_t *left,
		      struct view_usage *usage)
{
	uint64_t entries[USAGE_CHUNK];
	uint64_t vpn = a->start / PAGE_BYTES, end = a->end / PAGE_BYTES, n;
	int err;

	*usage = (struct view_usage){0};
	if ((!a->resident && !a->slots) || end - vpn > *left)
		return 0;
	*left -= end - vpn;
	for (; vpn < end; vpn += n) {
		n = end - vpn < USAGE_CHUNK ? end - vpn : USAGE_CHUNK;
		err = atomic_load(&src->closing) ? -EINTR :
			snap_pagemap(src->vm, pid, vpn, n, entries);
		if (err)
			return err;
		for (uint64_t i = 0; i < n; i++) {
			usage->dirty += (entries[i] & ENTRY_DIRTY) ==
				ENTRY_DIRTY;
			usage->swapped += entries[i] >> 62 & 1;
		}
	}
	return 0;
}

static int make_smaps(const struct view_source *src,
		      const struct view_node *node, struct view_text *t)
{
	uint64_t left = USAGE_PAGES_MAX;
	struct view_usage usage;
	struct snap_area *areas;
	size_t n;
	int err = snap_areas(src->vm, node->pid, &areas, &n);

	if (err)
		return err;
	for (size_t i = 0; i < n && !err; i++) {
		err = area_usage(src, node->pid, &areas[i], &left, &usage);
		if (!err)
			view_format_smap(t, &areas[i], &usage);
	}
	free(areas);
	return err;
}

static int make_pagetable(const struct view_source *src,
			  const struct view_node *node, struct view_text *t)
{
	char *text = NULL;
	size_t n = 0;
	int err = snap_pagetable(src->vm, node->pid, 0, UINT64_MAX, &text, &n);

	if (!err)
		view_text_bytes(t, text, n);
	free(text);
	return err;
}

static int make_status(const struct view_source *src,
		       const struct view_node *node, struct view_text *t)
{
	struct snap_proc *procs;
	size_t n;
	int err = snap_procs(src->vm, &procs, &n);

	if (err)
		return err;
	err = -ESRCH;
	for (size_t i = 0; i < n && err; i++) {
		if (procs[i].pid != node->pid)
			continue;
		view_format_status(t, &procs[i]);
		err = 0;
	}
	free(procs);
	return err;
}

static int make_procs(const struct view_source *src,
		      const struct view_node *node, struct view_text *t)
{
	struct snap_proc *procs;
	size_t n;
	int err = snap_procs(src->vm, &procs, &n);

	(void)node;
	if (err)
		return err;
	view_format_procs(t, procs, n);
	free(procs);
	return 0;
}

static int make_frames(const struct view_source *src,
		       const struct view_node *node, struct view_text *t)
{
	struct snap_frame *frames;
	size_t n;
	int err = snap_frames(src->vm, &frames, &n);

	(void)node;
	if (err)
		return err;
	view_format_frames(t, frames, n);
	free(frames);
	return 0;
}

static int make_objects(const struct view_source *src,
			const struct view_node *node, struct view_text *t)
{
	struct snap_object *objects;
	size_t n;
	int err = snap_objects(src->vm, &objects, &n);

	(void)node;
	if (err)
		return err;
	view_format_objects(t, objects, n);
	free(objects);
	return 0;
}

static int make_swaps(const struct view_source *src,
		      const struct view_node *node, struct view_text *t)
{
	struct snap_swap *swaps;
	size_t n;
	int err = snap_swaps(src->vm, &swaps, &n);

	(void)node;
	if (err)
		return err;
	view_format_swaps(t, swaps, n);
	free(swaps);
	return 0;
}

static int make_area(const struct view_source *src,
		     const struct view_node *node, struct view_text *t)
{
	struct snap_slot *slots;
	size_t n;
	int err = snap_slots(src->vm, node->arg, &slots, &n);

	if (err)
		return err;
	view_format_slots(t, slots, n);
	free(slots);
	return 0;
}

static int make_meminfo(const struct view_source *src,
			const struct view_node *node, struct view_text *t)
{
	struct snap_frame *frames;
	struct snap_swap *swaps;
	size_t nframes, nswaps;
	int err = snap_frames(src->vm, &frames, &nframes);

	(void)node;
	if (err)
		return err;
	err = snap_swaps(src->vm, &swaps, &nswaps);
	if (!err) {
		view_format_meminfo(t, frames, nframes, swaps, nswaps);
		free(swaps);
	}
	free(frames);
	return err;
}

static int make_vmstat(const struct view_source *src,
		       const struct view_node *node, struct view_text *t)
{
	const char *name;
	uint64_t value;

	(void)node;
	for (unsigned i = 0; src->ops.stat(src->ops.ctx, i, &name, &value);
	     i++)
		view_format_counter(t, name, value);
	return 0;
}

/* ---- the table ---- */

static const struct view_entry table[] = {
	[ROW_ROOT] = {"/", ROW_NONE, VIEW_DIR, 0755, NULL},
	[ROW_PROC] = {NULL, ROW_ROOT, VIEW_DIR, 0555, NULL},
	[ROW_SWAP] = {"swap", ROW_ROOT, VIEW_DIR, 0555, NULL},
	[ROW_AREA] = {NULL, ROW_SWAP, VIEW_TEXT, 0444, make_area},
	[ROW_FIXED] =
	{"ctl", ROW_ROOT, VIEW_CTL, 0600, NULL},
	{"frames", ROW_ROOT, VIEW_TEXT, 0444, make_frames},
	{"meminfo", ROW_ROOT, VIEW_TEXT, 0444, make_meminfo},
	{"objects", ROW_ROOT, VIEW_TEXT, 0444, make_objects},
	{"procs", ROW_ROOT, VIEW_TEXT, 0444, make_procs},
	{"swaps", ROW_ROOT, VIEW_TEXT, 0444, make_swaps},
	{"vmstat", ROW_ROOT, VIEW_TEXT, 0444, make_vmstat},
	{"ctl", ROW_PROC, VIEW_CTL, 0600, NULL},
	{"maps", ROW_PROC, VIEW_TEXT, 0444, make_maps},
	{"mem", ROW_PROC, VIEW_MEM, 0600, NULL},
	{"pagemap", ROW_PROC, VIEW_PAGEMAP, 0400, NULL},
	{"pagetable", ROW_PROC, VIEW_TEXT, 0444, make_pagetable},
	{"smaps", ROW_PROC, VIEW_TEXT, 0444, make_smaps},
	{"status", ROW_PROC, VIEW_TEXT, 0444, make_status},
};
#define TABLE_ROWS (sizeof(table) / sizeof(table[0]))

_Static_assert(TABLE_ROWS <= 256, "a row fits its bits of a node's number");

/* Rows that stand on a call the machine does not offer are left out. */
static bool row_offered(const struct view_source *src, unsigned row)
{
	switch (table[row].kind) {
	case VIEW_CTL:
		return src->ops.command;
	case VIEW_MEM:
		return src->ops.peek;
	default:
		return table[row].format != make_vmstat || src->ops.stat;
	}
}

/* ---- nodes ---- */

uint64_t view_node_id(const struct view_node *node)
{
	return (uint64_t)(uint32_t)node->pid << 32 |
		(node->arg & VIEW_ARG_MAX) << 8 | node->row;
}

const struct view_entry *view_node_entry(uint64_t id, struct view_node *node)
{
	node->row = id & 0xff;
	node->arg = id >> 8 & VIEW_ARG_MAX;
	node->pid = (int)(id >> 32);
	if (node->row == ROW_NONE || node->row >= TABLE_ROWS)
		return NULL;
	return &table[node->row];
}

/* Asking for one entry of its page table is the cheapest that says -ESRCH. */
static int check_proc(const struct view_source *src, int pid)
{
	uint64_t entry;

	return pid > 0 ? snap_pagemap(src->vm, pid, 0, 1, &entry) : -ESRCH;
}

static int check_area(const struct view_source *src, unsigned area)
{
	struct snap_swap *swaps;
	size_t n;
	int err = snap_swaps(src->vm, &swaps, &n);

	if (err)
		return err;
	free(swaps);
	return area < n ? 0 : -ENOENT;
}

int view_node_check(const struct view_source *src,
		    const struct view_node *node)
{
	if (node->row == ROW_PROC || table[node->row].parent == ROW_PROC)
		return check_proc(src, node->pid);
	if (node->row == ROW_AREA)
		return check_area(src, node->arg);
	return 0;
}

/* A name that is a number as we print it: no sign, no leading zero. */
static bool name_number(const char *name, unsigned *number)
{
	unsigned long v;
	char *end;

	if (name[0] < '0' || name[0] > '9' || (name[0] == '0' && name[1]))
		return false;
	errno = 0;
	v = strtoul(name, &end, 10);
	if (errno || *end || v > INT_MAX)
		return false;
	*number = v;
	return true;
}

static int lookup_number(const struct view_source *src,
			 const struct view_node *dir, unsigned number,
			 struct view_node *node)
{
	*node = (struct view_node){0};
	if (dir->row == ROW_ROOT) {
		node->row = ROW_PROC;
		node->pid = number;
	} else if (dir->row == ROW_SWAP && number <= VIEW_ARG_MAX) {
		node->row = ROW_AREA;
		node->arg = number;
	} else {
		return -ENOENT;
	}
	return view_node_check(src, node);
}

static unsigned next_opening(void)
{
	static atomic_uint openings;

	return atomic_fetch_add(&openings, 1) & VIEW_ARG_MAX;
}

static int lookup_fixed(const struct view_source *src,
			const struct view_node *dir, const char *name,
			struct view_node *node)
{
	for (unsigned row = ROW_SWAP; row < TABLE_ROWS; row++) {
		const struct view_entry *e = &table[row];

		if (e->parent != dir->row || !e->name ||
		    strcmp(e->name, name) || !row_offered(src, row))
			continue;
		*node = (struct view_node){.row = row, .pid = dir->pid};
		if (e->kind == VIEW_MEM || e->kind == VIEW_CTL)
			node->arg = next_opening();
		return view_node_check(src, node);
	}
	return -ENOENT;
}

int view_node_lookup(const struct view_source *src,
		     const struct view_node *dir, const char *name,
		     struct view_node *node)
{
	unsigned number;
	int err;

	if (name_number(name, &number))
		err = lookup_number(src, dir, number, node);
	else
		err = lookup_fixed(src, dir, name, node);
	return err == -ESRCH ? -ENOENT : err;
}

/* ---- listing ---- */

static void list_add(struct view_name **at, const char *name,
		     struct view_node node)
{
	snprintf((*at)->name, sizeof((*at)->name), "%s", name);
	(*at)->node = node;
	(*at)++;
}

static void list_number(struct view_name **at, unsigned number,
			struct view_node node)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", number);
	list_add(at, name, node);
}

static void list_fixed(const struct view_source *src,
		       const struct view_node *dir, struct view_name **at)
{
	for (unsigned row = ROW_SWAP; row < TABLE_ROWS; row++)
		if (table[row].parent == dir->row && table[row].name &&
		    row_offered(src, row))
			list_add(at, table[row].name, (struct view_node){
					.row = row, .pid = dir->pid});
}

static int list_procs(const struct view_source *src,
		      const struct view_node *dir, struct view_name **names,
		      struct view_name **at)
{
	struct snap_proc *procs;
	size_t n;
	int err = snap_procs(src->vm, &procs, &n);

	if (err)
		return err;
	*at = *names = malloc((n + TABLE_ROWS) * sizeof(**names));
	if (*names) {
		list_fixed(src, dir, at);
		for (size_t i = 0; i < n; i++)
			list_number(at, procs[i].pid, (struct view_node){
				.row = ROW_PROC, .pid = procs[i].pid});
	}
	free(procs);
	return *names ? 0 : -ENOMEM;
}

static int list_areas(const struct view_source *src,
		      struct view_name **names, struct view_name **at)
{
	struct snap_swap *swaps;
	size_t n;
	int err = snap_swaps(src->vm, &swaps, &n);

	if (err)
		return err;
	free(swaps);
	*at = *names = malloc((n + 1) * sizeof(**names));
	if (!*names)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		list_number(at, i, (struct view_node){
			.row = ROW_AREA, .arg = i});
	return 0;
}

int view_node_list(const struct view_source *src, const struct view_node *dir,
		   struct view_name **names, size_t *n)
{
	struct view_name *at = NULL;
	int err = view_node_check(src, dir);

	if (err)
		return err;
	if (dir->row == ROW_ROOT) {
		err = list_procs(src, dir, names, &at);
	} else if (dir->row == ROW_SWAP) {
		err = list_areas(src, names, &at);
	} else {
		at = *names = malloc(TABLE_ROWS * sizeof(**names));
		if (!at)
			return -ENOMEM;
		list_fixed(src, dir, &at);
	}
	if (!err)
		*n = at - *names;
	return err;
}
