/*
 * tree.h - which name of which directory is which file. Ids and names only.
 */
#ifndef REPLAY_TREE_H
#define REPLAY_TREE_H

#include <stdint.h>
#include <uthash.h>

struct tree_name {
	char *name;
	uint64_t id;
	UT_hash_handle hh;
};

struct tree_dir {
	uint64_t id;
	struct tree_name *names;
	UT_hash_handle hh;
};

struct tree {
	struct tree_dir *dirs;
};

/* => The file that @name of directory @dir is, 0: there is no such name. */
uint64_t tree_get(const struct tree *tree, uint64_t dir, const char *name);
/* From now on it is @id; 0: no more. => What it was. */
uint64_t tree_set(struct tree *tree, uint64_t dir, const char *name,
		  uint64_t id);
/* The names of @dir, to be walked with HASH_ITER; NULL: none. */
struct tree_name *tree_names(const struct tree *tree, uint64_t dir);
void tree_free(struct tree *tree);

#endif
