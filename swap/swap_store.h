/*
 * swap_store.h - swap areas, joined into one store.
 *
 * An area is a regular file: a header page, then slots of one page each,
 * numbered from 1. All its blocks are allocated when it is added, so that a
 * page-out never finds the disk full. What an area held is forgotten when it
 * is added: slots name nothing across runs. The io->page of a STORE_SYNC is any
 * slot of the area to be synced.
 *
 * Locks: none of its own. alloc, ref, unref, bad, add, remove, drain are
 * serialised by the caller; submit may come at the same time from any thread.
 */
#ifndef SWAP_SWAP_STORE_H
#define SWAP_SWAP_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/store.h"
#include "swap/aio.h"

/* A store without areas on @aio. Freed by store.ops->close(), which removes
 * all areas, used or not. => 0 and *swap, -ENOMEM. */
int swap_store_create(struct aio *aio, struct swap_store **swap);

/*
 * Add the file @path as an area. @bytes 0: it exists, its size is the area's.
 * @bytes > 0: it is made so large (rounded down to whole pages), created if
 * absent. Higher @priority is used first, equal ones in turn. May wait.
 * => the area's number (>= 0), or
 *    -errno from open(2), fallocate(2), pread(2), pwrite(2); a file this call
 *	made is removed again;
 *    -ENODEV: not a regular file; -EISDIR;
 *    -EMEDIUMTYPE: holds something that is not a swap area; left untouched;
 *    -EINVAL: less than two pages; -EFBIG: over 2^28 pages;
 *    -EALREADY: in use as an area of @swap; -EBUSY: of another;
 *    -EMFILE: SWAP_AREAS_MAX areas already; -ENOMEM.
 */
int swap_store_add(struct swap_store *swap, const char *path, uint64_t bytes,
		   int priority);

/* Who asked for the areas has come to nothing: files that add() made go, those
 * that it made longer are as long as they were. => nobody has used them; what
 * is left to do with @swap is to close it. */
void swap_store_undo(struct swap_store *swap);

/* Whether alloc leaves @area alone; its slots stay good. The first step of
 * taking it away. => 0; -ENOENT. */
int swap_store_drain(struct swap_store *swap, unsigned area, bool drain);

/* Take @area away and close its file, which stays. => nothing in flight on
 * it. => 0; -ENOENT; -EBUSY: slots in use. May wait. */
int swap_store_remove(struct swap_store *swap, unsigned area);

/* Assert that the slot maps are whole. Cost grows with the slots. */
void swap_store_check(struct swap_store *swap);

#endif
