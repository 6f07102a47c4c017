/*
 * pageio.c - frames on their way to and from the store; see pageio.h.
 */
#include "pager/pageio.h"

#include <errno.h>
#include <stdlib.h>

#include "pager/cow.h"
#include "pager/frame.h"
#include "pager/object.h"
#include "pager/pageout.h"
#include "pager/pmap.h"
#include "pager/sched.h"
#include "pager/swapout.h"
#include "pager/wait.h"

#define PAGEIO_READS	1024
#define PAGEIO_WRITES	48

static void pageio_read_done(struct store_io *sio);
static void pageio_write_done(struct store_io *sio);
static void pageio_sync_done(struct store_io *sio);

int pageio_init(struct vm *vm)
{
	struct pageio_pool *p = &vm->io;

	p->all_reads = calloc(PAGEIO_READS, sizeof(*p->all_reads));
	p->all_writes = calloc(PAGEIO_WRITES, sizeof(*p->all_writes));
	if (!p->all_reads || !p->all_writes)
		return -ENOMEM;
	for (unsigned i = 0; i < PAGEIO_READS; i++) {
		struct pageio *io = &p->all_reads[i];

		io->pfn = &io->one;
		io->index = p->nreads++;
		io->vm = vm;
		pageio_put(vm, io);
	}
	for (unsigned i = 0; i < PAGEIO_WRITES; i++) {
		struct pageio *io = &p->all_writes[i];

		io->pfn = calloc(STORE_MAX_PAGES, sizeof(*io->pfn));
		if (!io->pfn)
			return -ENOMEM;
		io->index = PAGEIO_READS + p->nwrites++;
		io->vm = vm;
		io->write = true;
		pageio_put(vm, io);
	}
	return 0;
}

void pageio_destroy(struct vm *vm)
{
	for (unsigned i = 0; vm->io.all_writes && i < PAGEIO_WRITES; i++)
		free(vm->io.all_writes[i].pfn);
	free(vm->io.all_writes);
	free(vm->io.all_reads);
}

struct pageio *pageio_get_read(struct vm *vm)
{
	struct pageio *io = vm->io.reads;

	if (io)
		vm->io.reads = io->next;
	return io;
}

struct pageio *pageio_get_write(struct vm *vm)
{
	struct pageio *io = vm->io.writes;

	if (io) {
		vm->io.writes = io->next;
		vm->io.free_writes--;
	}
	return io;
}

void pageio_put(struct vm *vm, struct pageio *io)
{
	struct pageio **list = io->write ? &vm->io.writes : &vm->io.reads;

	io->object = NULL;
	io->next = *list;
	*list = io;
	if (io->write)
		vm->io.free_writes++;
	wait_wake(vm, io->write ? WAIT_WRITE_IO : WAIT_READ_IO, 0, 1);
}

void pageio_pass_on(struct vm *vm, struct waiter *w)
{
	if (!w->owes)
		return;
	w->owes = false;
	/* Which of the two it was does not matter: who is woken in vain waits
	 * again. */
	if (vm->io.reads)
		wait_wake(vm, WAIT_READ_IO, 0, 1);
	if (vm->io.writes)
		wait_wake(vm, WAIT_WRITE_IO, 0, 1);
}

/* Hand it to the store; from here it is not ours until done. */
static void pageio_submit(struct vm *vm, struct pageio *io, enum store_op op,
			  struct store *store, uint64_t page, unsigned n)
{
	io->io.store = store;
	io->io.op = op;
	io->io.page = page;
	io->io.npages = n;
	io->io.pfn = io->pfn;
	io->io.ctx = io;
	io->io.error = 0;
	io->io.npast = 0;
	io->io.done = op == STORE_READ	? pageio_read_done :
		      op == STORE_WRITE ? pageio_write_done :
					  pageio_sync_done;
	io->start_ns = vm_now_ns(vm);
	vm->io.inflight++;
	if (op == STORE_WRITE)
		vm->io.writing += n;
	sched_io_started(vm);
	store->ops->submit(store, &io->io);
}

/* Account for the end of one. => core lock held. */
static void pageio_finish(struct vm *vm, struct pageio *io)
{
	vm->io.inflight--;
	if (io->io.op == STORE_WRITE)
		vm->io.writing -= io->io.npages;
	sched_io_ended(vm);
	pageio_put(vm, io);
	pageout_io_done(vm, io->io.npages);
}

void pageio_read(struct vm *vm, struct pageio *io, struct object *o,
		 struct store *store, uint64_t page, uint32_t pfn)
{
	io->object = o->kind == OBJECT_FILE ? o : NULL;
	io->one = pfn;
	frame_busy(vm, pfn, FRAME_READING, io->index);
	if (!io->object) {
		vm->cfg.swap->ref(vm->cfg.swap, (uint32_t)page);
		vm_count(vm, PSWPIN);
	}
	vm_count_add(vm, PGPGIN, PAGE_SIZE / 1024);
	pageio_submit(vm, io, STORE_READ, store, page, 1);
}

void pageio_write(struct vm *vm, struct pageio *io, struct object *file,
		  uint64_t page, unsigned n)
{
	struct store *store = file ? file->store : &vm->cfg.swap->store;

	for (unsigned i = 0; i < n; i++) {
		struct frame *f = frame_at(vm, io->pfn[i]);

		assert(!pmap_writable(vm, io->pfn[i]));
		f->flags &= ~FRAME_DIRTY;
		frame_busy(vm, io->pfn[i], FRAME_WRITING, io->index);
		if (!file)
			vm->cfg.swap->ref(vm->cfg.swap, (uint32_t)page + i);
	}
	io->object = file;
	vm_count(vm, CLUSTERS);
	vm_count_add(vm, LAUNDER, n);
	vm_count_add(vm, PGPGOUT, n * (PAGE_SIZE / 1024));
	if (!file)
		vm_count_add(vm, PSWPOUT, n);
	pageio_submit(vm, io, STORE_WRITE, store, page, n);
}

void pageio_sync(struct vm *vm, struct pageio *io, struct object *file)
{
	io->object = file;
	pageio_submit(vm, io, STORE_SYNC, file->store, 0, 0);
}

/* A frame whose object went during the I/O. */
static void pageio_free_orphan(struct vm *vm, uint32_t pfn)
{
	frame_remove(vm, pfn);
	frame_free(vm, pfn);
}

/* @slot is not what was written there. Core lock held. => the name of its
 * area, if people are to be told; NULL: they have been */
static const char *pageio_lost(struct vm *vm, uint32_t slot)
{
	struct swap_area_info info;

	vm_count(vm, SWAPLOST);
	if (vm->io.lost_said || !vm->cfg.lost ||
	    vm->cfg.swap->info(vm->cfg.swap, SWAP_SLOT_AREA(slot), &info))
		return NULL;
	vm->io.lost_said = true;
	return info.name;
}

static void pageio_read_done(struct store_io *sio)
{
	struct pageio *io = sio->ctx;
	struct vm *vm = io->vm;
	uint32_t pfn = io->one, slot = (uint32_t)sio->page;
	int err = sio->error ? -EIO : sio->npast ? -ENXIO : 0;
	const char *lost = NULL;
	struct frame *f = frame_at(vm, pfn);
	struct object *o;
	struct gather g;

	gather_init(&g);
	vm_lock(vm);
	o = object_at(vm, f->object);
	/* Who waited for what has gone meanwhile looks at what is there. */
	frame_unbusy(vm, pfn, f->flags & FRAME_ORPHAN ? 0 : err);
	if (!io->object)
		vm->cfg.swap->unref(vm->cfg.swap, slot);
	if (sio->error)
		vm_count(vm, READERR);
	if (sio->error == -EBADMSG && !io->object)
		lost = pageio_lost(vm, slot);
	if (f->flags & FRAME_ORPHAN)
		pageio_free_orphan(vm, pfn);
	else if (err)
		object_drop_frame(vm, pfn, &g);
	else
		f->flags |= FRAME_FRESH;
	if (o && o->nbusy == 0)
		cow_settle(vm, o, &g);
	gather_flush(vm, &g);
	pageio_finish(vm, io);
	vm_unlock(vm);
	if (lost)
		vm->cfg.lost(vm->cfg.waits_ctx, lost);
}

/*
 * The write of one frame failed: it is dirty as before. A slot may be bad only
 * if it failed alone and the medium says so: a store that went away is to find
 * its swap area whole when it comes back.
 */
static void pageio_write_failed(struct vm *vm, struct pageio *io, unsigned i)
{
	uint32_t pfn = io->pfn[i], slot;
	struct frame *f = frame_at(vm, pfn);

	vm_count(vm, WRITEERR);
	f->flags = (f->flags | FRAME_DIRTY) & ~FRAME_RECLAIM;
	if (io->object) {
		f->flags |= FRAME_FAILED;
		f->aux = io->object->wb_errors;
		return;
	}
	slot = (uint32_t)io->io.page + i;
	if (io->io.npages == 1 && io->io.error == -EIO)
		swapout_suspect(vm, slot);
	if (slotmap_at(vm, slot)->object)
		slotmap_drop(vm, slot);
}

/* What becomes of frame @i after its write. */
static void pageio_wrote(struct vm *vm, struct pageio *io, unsigned i,
			 struct gather *g)
{
	uint32_t pfn = io->pfn[i];
	struct frame *f = frame_at(vm, pfn);
	unsigned nwaiters = frame_unbusy(vm, pfn, 0);

	if (f->flags & FRAME_RECLAIM)
		vm->pageout.laundering--;
	if (f->flags & FRAME_ORPHAN) {
		pageio_free_orphan(vm, pfn);
	} else if (io->io.error) {
		pageio_write_failed(vm, io, i);
	} else if (i >= io->io.npages - io->io.npast) {
		vm_count(vm, TRUNCATED);
		object_drop_frame(vm, pfn, g);
	} else if ((f->flags & FRAME_RECLAIM) && !f->rmap && !nwaiters &&
		   !(f->flags & FRAME_DIRTY)) {
		pageout_steal(vm, pfn, g);
	} else {
		f->flags &= ~FRAME_RECLAIM;
	}
}

static void pageio_write_done(struct store_io *sio)
{
	struct pageio *io = sio->ctx;
	struct vm *vm = io->vm;
	struct gather g;

	gather_init(&g);
	vm_lock(vm);
	if (sio->error)
		pageout_write_error(vm, io->object, (uint32_t)sio->page,
				    sio->error);
	else
		pageout_wrote(vm, io->object ? 0 : (uint32_t)sio->page,
			      sio->npages);
	for (unsigned i = 0; i < sio->npages; i++) {
		struct object *o;
		uint32_t id;

		if (i % FRAME_AHEAD == 0)
			frame_prefetch(vm, io->pfn + i, sio->npages - i);
		id = frame_at(vm, io->pfn[i])->object;
		pageio_wrote(vm, io, i, &g);
		if (!io->object)
			vm->cfg.swap->unref(vm->cfg.swap,
					    (uint32_t)sio->page + i);
		o = id ? object_at(vm, id) : NULL;
		if (o && o->nbusy == 0)
			cow_settle(vm, o, &g);
	}
	gather_flush(vm, &g);
	pageio_finish(vm, io);
	vm_unlock(vm);
}

static void pageio_sync_done(struct store_io *sio)
{
	struct pageio *io = sio->ctx;
	struct vm *vm = io->vm;

	vm_lock(vm);
	wait_wake(vm, WAIT_SYNC(io), sio->error, 1);
	pageio_finish(vm, io);
	vm_unlock(vm);
}

uint64_t pageio_since(const struct vm *vm, uint32_t pfn)
{
	uint32_t i = frame_at(vm, pfn)->aux;

	return i < PAGEIO_READS ? vm->io.all_reads[i].start_ns :
				  vm->io.all_writes[i - PAGEIO_READS].start_ns;
}
