/*
 * tree.c - which name of which directory is which file.
 *
 * A hash of directories, each a hash of names. A directory is there while it
 * has names. One thread, no locks.
 */
#include "replay/tree.h"
#include "replay/need.h"

static struct tree_dir *tree_dir(const struct tree *tree, uint64_t id)
{
	struct tree_dir *dir;

	HASH_FIND(hh, tree->dirs, &id, sizeof(id), dir);
	return dir;
}

struct tree_name *tree_names(const struct tree *tree, uint64_t id)
{
	struct tree_dir *dir = tree_dir(tree, id);

	return dir ? dir->names : NULL;
}

uint64_t tree_get(const struct tree *tree, uint64_t id, const char *name)
{
	struct tree_dir *dir = tree_dir(tree, id);
	struct tree_name *found = NULL;

	if (dir)
		HASH_FIND_STR(dir->names, name, found);
	return found ? found->id : 0;
}

static void tree_add(struct tree *tree, struct tree_dir *dir, uint64_t id,
		     const char *name, uint64_t file)
{
	struct tree_name *new = need_zeroed(1, sizeof(*new));

	if (!dir) {
		dir = need_zeroed(1, sizeof(*dir));
		dir->id = id;
		HASH_ADD(hh, tree->dirs, id, sizeof(dir->id), dir);
	}
	new->name = need(strdup(name));
	new->id = file;
	HASH_ADD_KEYPTR(hh, dir->names, new->name, strlen(new->name), new);
}

static void tree_remove(struct tree *tree, struct tree_dir *dir,
			struct tree_name *name)
{
	HASH_DEL(dir->names, name);
	free(name->name);
	free(name);
	if (dir->names)
		return;
	HASH_DEL(tree->dirs, dir);
	free(dir);
}

uint64_t tree_set(struct tree *tree, uint64_t id, const char *name,
		  uint64_t file)
{
	struct tree_dir *dir = tree_dir(tree, id);
	struct tree_name *found = NULL;
	uint64_t old;

	if (dir)
		HASH_FIND_STR(dir->names, name, found);
	old = found ? found->id : 0;
	if (found && file)
		found->id = file;
	else if (found)
		tree_remove(tree, dir, found);
	else if (file)
		tree_add(tree, dir, id, name, file);
	return old;
}

void tree_free(struct tree *tree)
{
	struct tree_dir *dir, *next;
	struct tree_name *name, *next_name;

	HASH_ITER(hh, tree->dirs, dir, next) {
		HASH_DEL(tree->dirs, dir);
		HASH_ITER(hh, dir->names, name, next_name) {
			HASH_DEL(dir->names, name);
			free(name->name);
			free(name);
		}
		free(dir);
	}
}
