/*
 * object.h - what an area shows: the pages of a file, or anonymous memory.
 *
 * An anonymous object may shadow another: a page it does not have itself is
 * the backing object's page at the same place (plus an offset). That is what
 * copy on write is made of: see cow.h. Pages are frames (found by
 * frame_lookup) and swap slots (slotmap_lookup); a FILE object's other pages
 * are in its store, an anonymous object's are zero.
 *
 * References: one for each area and each shadow. A FILE object whose last
 * reference goes is *dying*: its dirty pages are written (pageout_dying()),
 * and when no page is left it is closed. Mapped again before, it revives.
 * Lock: the core lock.
 */
#ifndef PAGER_OBJECT_H
#define PAGER_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/core.h"
#include "pager/hash.h"
#include "pager/pmap.h"

enum object_kind { OBJECT_FILE, OBJECT_ANON };

struct area;

struct object_key {
	uint64_t dev, ino;
};

struct object {
	uint32_t id;
	enum object_kind kind;
	unsigned refs;			/* areas, shadows, calls */
	uint32_t pages, nresident;	/* frames */
	uint32_t slots, nslots;		/* swap slots */
	uint32_t nbusy;			/* frames under I/O */
	struct area *areas;		/* that show it */

	/* OBJECT_ANON */
	struct object *backing;		/* what this one shadows, or NULL */
	uint64_t backing_page;		/* page 0 of this is that page of it */
	uint64_t npages;		/* pages of backing it can see */
	struct object *shadows;		/* that shadow this one */
	struct object *shadow_next, **shadow_prev;
	unsigned nshadows;
	bool one_mapping;		/* no page is seen by two areas */

	/* OBJECT_FILE */
	struct store *store;
	/* Read-only, until @store came; closed with it. What I/O was under way
	 * keeps the object until then: of a read the frame is here, an fsync
	 * has it pinned. It loses nothing: no page was dirty before. */
	struct store *retired;
	uint64_t top;			/* pages in RAM are below: lookout.c */
	struct object_key key;
	UT_hash_handle hh;		/* vm->objects.files */
	uint32_t wb_errors;		/* failed writes so far */
	int wb_error;			/* the last one's -errno */
	bool dying;
	struct object *dying_next;
	uint64_t retry_ns;		/* a write failed: not before */
};

int object_init(struct vm *vm);
void object_destroy(struct vm *vm);

static inline struct object *object_at(const struct vm *vm, uint32_t id)
{
	return id < vm->objects.n ? vm->objects.o[id] : NULL;
}

/* A new anonymous object with one reference. => NULL: no memory. */
struct object *object_anon(struct vm *vm, uint64_t npages);
/*
 * The object of the file behind @store, with one more reference: a new one
 * that owns @store, or the one there is; then *spare is a store to be closed
 * without the lock. => NULL: no memory.
 */
struct object *object_file(struct vm *vm, struct store *store,
			   struct store **spare);
/*
 * The device of the file @o, which is mapped, is called @dev now. Without
 * memory the file is not found any more, and no other can be mapped. If it is
 * mapped anew already, because it was not where it had been when its device
 * came back, it stays what it is: one file shown twice.
 */
void object_rename(struct vm *vm, struct object *o, uint64_t dev);
/* Is there a file that goes by @dev? While there is, no other device has that
 * number. false may be wrong, with many devices. */
bool object_dev_is_known(struct vm *vm, uint64_t dev);
void object_ref(struct object *o);
/* The same for a call in progress; a dying file revives. */
void object_pin(struct vm *vm, struct object *o);
/* The call is over: object_unref(), and what goes is freed at once. */
void object_unpin(struct vm *vm, struct object *o);
/* The first file from id *@id on, dying ones too; *id is its id then. Ids
 * begin at 1. => NULL: none */
struct object *object_next_file(const struct vm *vm, uint32_t *id);
/* Drop a reference. => what goes is not mapped any more. Frames to be freed
 * go by @g. */
void object_unref(struct vm *vm, struct object *o, struct gather *g);
/* Free frames and slots of @n pages from @page on. Busy ones are orphaned. */
void object_drop_range(struct vm *vm, struct object *o, uint64_t page,
		       uint64_t n, struct gather *g);
/* Free one page that is not busy, mapped or not. */
void object_drop_frame(struct vm *vm, uint32_t pfn, struct gather *g);
/* A dying file without pages: out of the tables. => its stores, to be closed
 * without the lock by object_close(). */
struct object_stores {
	struct store *store, *retired;	/* NULL: none */
};
struct object_stores object_bury(struct vm *vm, struct object *o);
void object_close(struct object_stores s);

static inline bool object_has(const struct vm *vm, const struct object *o,
			      uint64_t page);

#include "pager/frame.h"
#include "pager/slotmap.h"

/* The page itself, in RAM or swap, not one shining through from behind. */
static inline bool object_has(const struct vm *vm, const struct object *o,
			      uint64_t page)
{
	return frame_lookup(vm, o, page) || slotmap_lookup(vm, o, page);
}

void object_check(const struct vm *vm);

#endif
