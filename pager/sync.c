/*
 * sync.c - see sync.h.
 */
#include "pager/sync.h"

#include <errno.h>

#include "pager/frame.h"
#include "pager/map.h"
#include "pager/object.h"
#include "pager/pageio.h"
#include "pager/pageout.h"
#include "pager/process.h"

int sync_init(struct sync *s, struct proc *p, uint64_t addr, uint64_t len,
	      unsigned flags)
{
	if (addr % PAGE_SIZE || (flags != VM_MS_ASYNC && flags != VM_MS_SYNC))
		return -EINVAL;
	if (addr + len < addr || addr + len > UINT64_MAX - PAGE_SIZE)
		return -ENOMEM;
	proc_hold(p);
	*s = (struct sync){
		.p = p, .flags = flags, .vpn = addr >> PAGE_SHIFT,
		.end = (addr + len + PAGE_SIZE - 1) >> PAGE_SHIFT,
	};
	return 0;
}

void sync_init_all(struct sync *s)
{
	*s = (struct sync){ .flags = VM_MS_SYNC, .next_object = 1 };
}

void sync_init_evict(struct sync *s, uint64_t nframes)
{
	*s = (struct sync){ .stage = SYNC_EVICT, .evict = nframes };
}

void sync_init_memory(struct sync *s)
{
	*s = (struct sync){ .stage = SYNC_MEMORY };
}

/* ---- what to work on next; core lock held ---- */

static void sync_take(struct vm *vm, struct sync *s, struct object *o,
		      uint64_t page, uint64_t last)
{
	object_pin(vm, o);
	s->o = o;
	s->page = page;
	s->cursor = page;
	s->seen = PFN_NONE;
	s->last = last;
	s->errors = o->wb_errors;
	s->stage = SYNC_WRITE;
}

/* The next file of the machine that has pages. => false: no more. */
static bool sync_find_object(struct vm *vm, struct sync *s)
{
	for (; s->next_object < vm->objects.n; s->next_object++) {
		struct object *o = object_at(vm, s->next_object);

		if (!o || o->kind != OBJECT_FILE)
			continue;
		s->next_object++;
		sync_take(vm, s, o, 0, UINT64_MAX);
		return true;
	}
	return false;
}

/* The next shared file area of the range. => false: no more. */
static bool sync_find_area(struct vm *vm, struct sync *s)
{
	while (s->vpn < s->end) {
		struct area *a = map_after(&s->p->map, s->vpn);
		uint64_t start, end;

		if (!a || a->start > s->vpn)
			s->hole = true;
		if (!a || a->start >= s->end)
			return false;
		start = a->start > s->vpn ? a->start : s->vpn;
		end = a->end < s->end ? a->end : s->end;
		s->vpn = end;
		if (!a->shared || !a->object || a->object->kind != OBJECT_FILE)
			continue;
		sync_take(vm, s, a->object, a->page + (start - a->start),
			  a->page + (end - a->start));
		return true;
	}
	return false;
}

/* ---- pages of the object in hand; core lock held ---- */

/* Whether there are fewer pages in RAM than in the range. */
static bool sync_by_list(const struct sync *s)
{
	return s->last - s->page > s->o->nresident;
}

static bool sync_in_range(const struct sync *s, const struct frame *f)
{
	return f->page >= s->page && f->page < s->last;
}

/*
 * Where to go on in the object's list. Pages only come in at its head, so what
 * stands behind a frame that still is in it has not been looked at; a frame
 * that went and came back stands at the head.
 */
static uint32_t sync_resume(const struct vm *vm, const struct sync *s)
{
	const struct frame *f = frame_at(vm, s->seen);

	if (s->seen && f->state == FRAME_PAGE && f->object == s->o->id)
		return f->obj_next;
	return s->o->pages;
}

/* The next frame of the range that @is what is looked for: in page order, or
 * by the object's list. */
static uint32_t sync_next(struct vm *vm, struct sync *s,
			  bool (*is)(struct vm *vm, const struct sync *s,
				     uint32_t pfn))
{
	uint32_t pfn;

	if (sync_by_list(s)) {
		pfn = sync_resume(vm, s);
		for (; pfn; pfn = frame_at(vm, pfn)->obj_next) {
			if (sync_in_range(s, frame_at(vm, pfn)) &&
			    is(vm, s, pfn))
				return pfn;
			s->seen = pfn;
		}
		return PFN_NONE;
	}
	for (; s->cursor < s->last; s->cursor++) {
		pfn = frame_lookup(vm, s->o, s->cursor);
		if (pfn && is(vm, s, pfn))
			return pfn;
	}
	return PFN_NONE;
}

/* A page that has failed since we began has been tried: it may come up again
 * while others wait for a descriptor, and would for ever. */
static bool sync_wants_write(struct vm *vm, const struct sync *s, uint32_t pfn)
{
	const struct frame *f = frame_at(vm, pfn);

	if ((f->flags & FRAME_BUSY) ||
	    ((f->flags & FRAME_FAILED) && (int32_t)(f->aux - s->errors) > 0))
		return false;
	return pmap_dirty(vm, pfn);
}

static bool sync_is_writing(struct vm *vm, const struct sync *s, uint32_t pfn)
{
	(void)s;
	return frame_at(vm, pfn)->flags & FRAME_WRITING;
}

/* ---- stages; core lock held; => true: go on, false: @w waits ---- */

/* Start every write, whatever becomes of the others: this may be the last
 * chance of them all. */
static bool sync_write(struct vm *vm, struct sync *s, struct waiter *w)
{
	uint32_t pfn;

	while ((pfn = sync_next(vm, s, sync_wants_write))) {
		if (!launder_file(vm, pfn, false)) {
			wait_add(vm, w, WAIT_WRITE_IO);
			return false;
		}
	}
	s->cursor = s->page;
	s->seen = PFN_NONE;
	s->stage = s->flags == VM_MS_ASYNC ? SYNC_REPORT : SYNC_DRAIN;
	return true;
}

static bool sync_drain(struct vm *vm, struct sync *s, struct waiter *w)
{
	uint32_t pfn = sync_next(vm, s, sync_is_writing);

	if (pfn) {
		/* This write is ours; one that follows it is not. */
		if (sync_by_list(s))
			s->seen = pfn;
		else
			s->cursor++;
		wait_add(vm, w, WAIT_FRAME(pfn));
		return false;
	}
	s->stage = SYNC_FSYNC;
	return true;
}

static bool sync_fsync(struct vm *vm, struct sync *s, struct waiter *w)
{
	struct pageio *io;

	if (s->fsyncing) {
		s->fsyncing = false;
		if (w->result < 0) {
			s->o->wb_errors++;
			s->o->wb_error = w->result;
		}
		s->stage = SYNC_REPORT;
		return true;
	}
	io = pageio_get_read(vm);
	if (!io) {
		wait_add(vm, w, WAIT_READ_IO);
		return false;
	}
	s->fsyncing = true;
	wait_add(vm, w, WAIT_SYNC(io));
	pageio_sync(vm, io, s->o);
	return false;
}

/* Has a write of this file failed that this mapping was not told of? */
static void sync_report(struct sync *s)
{
	uint64_t vpn = s->vpn - 1;
	struct area *a = s->p ? map_find(&s->p->map, vpn) : NULL;
	uint32_t seen = s->errors;

	if (a && a->object == s->o) {
		seen = a->wb_seen;
		a->wb_seen = s->o->wb_errors;
	}
	/* One since we began is ours, too, though somebody else was told. */
	if ((seen != s->o->wb_errors || s->errors != s->o->wb_errors) &&
	    s->result == 0)
		s->result = s->o->wb_error;
}

static bool sync_find(struct vm *vm, struct sync *s)
{
	return s->p ? sync_find_area(vm, s) : sync_find_object(vm, s);
}

static void sync_unpin(struct vm *vm, struct sync *s)
{
	object_unpin(vm, s->o);
	s->o = NULL;
	s->stage = SYNC_FIND;
}

static enum sync_result sync_evict(struct vm *vm, struct sync *s,
				   struct waiter *w)
{
	/* More than there are would add up to who knows what with others'. */
	uint64_t n = s->evict < vm->frames.n ? s->evict : vm->frames.n;

	if (n == 0)
		return SYNC_DONE;
	s->evict = 0;
	wait_add(vm, w, WAIT_EVICT);
	pageout_evict(vm, n);
	return SYNC_WAIT;
}

/* Any free frame will do for most; a page table may need several at once (PAE)
 * and those have to be asked for: the daemon is content with fewer. */
static enum sync_result sync_memory(struct vm *vm, struct sync *s,
				    struct waiter *w)
{
	const struct frame_table *t = &vm->frames;
	uint32_t want = pmap_frames(vm);

	if (s->waited && w->result == -ENOMEM && vm->pageout.down_ns) {
		wait_add(vm, w, WAIT_STORE);
		return SYNC_WAIT;
	}
	if (s->waited)
		s->result = w->result;
	if (t->nfree < want)
		frame_unstock(vm);
	if (s->result < 0 || (t->nfree > t->wm_min && t->nfree >= want))
		return SYNC_DONE;
	s->waited = true;
	if (t->nfree > t->wm_min) {
		wait_add(vm, w, WAIT_EVICT);
		pageout_evict(vm, want - t->nfree);
	} else {
		wait_add(vm, w, WAIT_MEMORY);
		pageout_wake(vm);
	}
	return SYNC_WAIT;
}

static enum sync_result sync_locked(struct vm *vm, struct sync *s,
				    struct waiter *w)
{
	bool on = true;

	while (on) {
		switch (s->stage) {
		case SYNC_FIND:
			if (sync_find(vm, s))
				break;
			if (s->hole && s->result == 0)
				s->result = -ENOMEM;
			return SYNC_DONE;
		case SYNC_WRITE:
			on = sync_write(vm, s, w);
			break;
		case SYNC_DRAIN:
			on = sync_drain(vm, s, w);
			break;
		case SYNC_FSYNC:
			on = sync_fsync(vm, s, w);
			break;
		case SYNC_REPORT:
			sync_report(s);
			sync_unpin(vm, s);
			break;
		case SYNC_EVICT:
			return sync_evict(vm, s, w);
		case SYNC_MEMORY:
			return sync_memory(vm, s, w);
		}
	}
	return SYNC_WAIT;
}

enum sync_result sync_step(struct vm *vm, struct sync *s, struct waiter *w)
{
	enum sync_result r;

	if (s->p)
		pthread_mutex_lock(&s->p->map.lock);
	vm_lock(vm);
	r = sync_locked(vm, s, w);
	pageio_pass_on(vm, w);
	vm_unlock(vm);
	if (s->p)
		pthread_mutex_unlock(&s->p->map.lock);
	if (r == SYNC_DONE && s->p) {
		proc_put(vm, s->p);
		s->p = NULL;
	}
	return r;
}

void sync_drop(struct vm *vm, struct sync *s, struct waiter *w)
{
	vm_lock(vm);
	wait_cancel(vm, w);
	pageio_pass_on(vm, w);
	if (s->o)
		sync_unpin(vm, s);
	vm_unlock(vm);
	if (s->p)
		proc_put(vm, s->p);
	s->p = NULL;
}
