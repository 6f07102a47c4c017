/*
 * lookout.c - see lookout.h.
 *
 * File pages come in by reads only, so object->top, which fault.c keeps above
 * every page that was read, tells without a walk when there is none past the
 * end. A look at a file that has not shrunk costs one question; one that has
 * no pages is only asked if it is the first of its device, to see whether that
 * is still there. Lock: the core lock, not held while a file is asked; it is
 * pinned then.
 */
#include "pager/lookout.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "pager/comeback.h"
#include "pager/deadline.h"
#include "pager/frame.h"
#include "pager/object.h"

struct lookout {
	struct vm *vm;
	void (*looked)(void *arg, bool back);
	void *arg;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop, ended;
};

/* ---- one file; core lock held ---- */

static bool lookout_is_clean(struct vm *vm, uint32_t pfn)
{
	return !(frame_at(vm, pfn)->flags & FRAME_BUSY) &&
	       !pmap_dirty(vm, pfn);
}

/* Clean pages from @page on lose their entries. A store may still have come
 * in before its entry went; then the page is not clean any more. */
static void lookout_unmap(struct vm *vm, struct object *o, uint64_t page)
{
	struct gather g;
	uint32_t pfn;

	gather_init(&g);
	for (pfn = o->pages; pfn; pfn = frame_at(vm, pfn)->obj_next)
		if (frame_at(vm, pfn)->page >= page &&
		    lookout_is_clean(vm, pfn))
			pmap_frame_remove(vm, pfn, &g);
	gather_flush(vm, &g);
}

/* @o has @bytes now. */
static void lookout_cut(struct vm *vm, struct object *o, uint64_t bytes)
{
	uint64_t cut = bytes / PAGE_SIZE, page;
	uint64_t end = cut + (bytes % PAGE_SIZE != 0);
	struct gather g;
	uint32_t pfn, next;

	if (o->top <= end)
		return;
	lookout_unmap(vm, o, cut);
	o->top = end;
	gather_init(&g);
	for (pfn = o->pages; pfn; pfn = next) {
		next = frame_at(vm, pfn)->obj_next;
		page = frame_at(vm, pfn)->page;
		if (page < cut)
			continue;
		if (!lookout_is_clean(vm, pfn)) {
			o->top = page >= o->top ? page + 1 : o->top;
			continue;
		}
		if (page >= end)
			vm_count(vm, TRUNCATED);
		object_drop_frame(vm, pfn, &g);
	}
	gather_flush(vm, &g);
}

/* Devices of which a file has been asked in this round; all that find room. */
struct lookout_devs {
	uint64_t dev[OBJECT_DEVS];
	unsigned n;
};

/* Is @o the first file of its device in this round? */
static bool lookout_is_first(struct lookout_devs *asked, const struct object *o)
{
	for (unsigned i = 0; i < asked->n; i++)
		if (asked->dev[i] == o->key.dev)
			return false;
	if (asked->n < OBJECT_DEVS)
		asked->dev[asked->n++] = o->key.dev;
	return true;
}

/* The next file to be asked from id *@id on: it has pages, which may be past
 * its end now, or is the first of its device. => NULL: none */
static struct object *lookout_next(struct vm *vm, uint32_t *id,
				   struct lookout_devs *asked)
{
	struct object *o;

	for (; (o = object_next_file(vm, id)); ++*id)
		if (lookout_is_first(asked, o) || o->nresident)
			return o;
	return NULL;
}

/* Have files become shorter? => false: the device of one is gone */
static bool lookout_sizes(struct vm *vm)
{
	struct lookout_devs asked = { .n = 0 };
	uint32_t id = 1;
	struct store *store;
	struct object *o;
	uint64_t bytes;
	bool there = true;
	int err;

	vm_lock(vm);
	for (; (o = lookout_next(vm, &id, &asked)); id++) {
		store = o->store;
		object_pin(vm, o);
		vm_unlock(vm);
		err = store->ops->size(store, &bytes);
		there &= !store_is_gone(err);
		vm_lock(vm);
		if (!err)
			lookout_cut(vm, o, bytes);
		object_unpin(vm, o);
	}
	vm_unlock(vm);
	return there;
}

bool lookout_look(struct vm *vm)
{
	return comeback_look(vm, !lookout_sizes(vm));
}

/* ---- the thread ---- */

static void *lookout_thread(void *arg)
{
	struct lookout *l = arg;
	struct timespec ts;

	pthread_mutex_lock(&l->lock);
	while (!l->stop) {
		ts = deadline_in(LOOKOUT_MS);
		deadline_wait(&l->wake, &l->lock, &ts);
		if (l->stop)
			break;
		pthread_mutex_unlock(&l->lock);
		l->looked(l->arg, lookout_look(l->vm));
		pthread_mutex_lock(&l->lock);
	}
	l->ended = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

struct lookout *lookout_start(struct vm *vm,
			      void (*looked)(void *arg, bool back), void *arg)
{
	struct lookout *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->vm = vm;
	l->looked = looked;
	l->arg = arg;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->wake, NULL);
	if (pthread_create(&l->thread, NULL, lookout_thread, l) == 0)
		return l;
	free(l);
	return NULL;
}

int lookout_stop(struct lookout *l)
{
	struct timespec until = deadline_in(LOOKOUT_STOP_MS);
	bool ended;

	if (!l)
		return 0;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->wake);
	while (!l->ended && deadline_wait(&l->wake, &l->lock, &until) == 0)
		;
	ended = l->ended;
	pthread_mutex_unlock(&l->lock);
	if (!ended) {
		pthread_detach(l->thread);
		return -EBUSY;
	}
	pthread_join(l->thread, NULL);
	free(l);
	return 0;
}
