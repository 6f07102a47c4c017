/*
 * view_table.h - the live view as a table: which names there are, where they
 * stand, and how what is behind each is made. Nothing of FUSE in here.
 *
 * A node is named by a 64-bit number that says what it is: the row of the
 * table, the process, the argument. Nobody has to remember a node that was
 * looked up, and forgetting one costs nothing.
 */
#ifndef FS_VIEW_TABLE_H
#define FS_VIEW_TABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/view.h"
#include "fs/view_text.h"

struct view_source {
	struct vm *vm;
	struct view_ops ops;
	atomic_bool closing;	/* what takes long need not go on */
};

struct view_node {
	unsigned row;		/* of the table; 0: no such node */
	unsigned arg;		/* swap area, or which opening of this file */
	int pid;		/* 0: the machine */
};
#define VIEW_ARG_MAX 0xffffffu

enum view_kind {
	VIEW_DIR,
	VIEW_TEXT,		/* a snapshot at open, formatted */
	VIEW_PAGEMAP,		/* random access, 8 bytes a page */
	VIEW_MEM,		/* random access, may wait for I/O */
	VIEW_CTL,		/* lines in, messages out, may wait */
};

struct view_entry {
	const char *name;
	unsigned parent;	/* row of the directory it stands in */
	enum view_kind kind;
	mode_t mode;
	int (*format)(const struct view_source *src,
		      const struct view_node *node, struct view_text *t);
};

/* The root of the view is 1, as FUSE wants it. */
uint64_t view_node_id(const struct view_node *node);
/* => the table's row for @id, with the node taken apart; NULL: nonsense. */
const struct view_entry *view_node_entry(uint64_t id, struct view_node *node);

/* => 0; -ESRCH: its process is gone; -ENOENT: its swap area is. */
int view_node_check(const struct view_source *src,
		    const struct view_node *node);
/* The node called @name in directory @dir. => 0, -ENOENT, -ENOMEM. */
int view_node_lookup(const struct view_source *src,
		     const struct view_node *dir, const char *name,
		     struct view_node *node);

struct view_name {
	char name[16];
	struct view_node node;
};
/* What stands in @dir, the caller free()s. => 0, -ENOMEM, -ESRCH. */
int view_node_list(const struct view_source *src, const struct view_node *dir,
		   struct view_name **names, size_t *n);

#endif
