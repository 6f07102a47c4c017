/*
 * fault_engine.c - fails the Nth I/O of any engine.
 *
 * An I/O goes down as a copy whose store is the real one and whose done is
 * ours; on the way up the result is put into the pager's, perhaps with
 * another error. One that is failed before the device waits in f->failed for
 * the next reap, since done may not be called from submit.
 *
 * Lock: f->lock, for the rule, the counts and the list; not held in calls of
 * the engine below or of done.
 */
#include "tests/lib/fault_engine.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct shim_store {
	struct store store;	/* first: found from it */
	struct fault_engine *fault;
	struct store *inner;
};

struct shim_swap {
	struct swap_store swap;	/* first: found from it */
	struct fault_engine *fault;
	struct swap_store *inner;
};

struct shim_io {
	struct store_io io;	/* first: the copy that goes down */
	struct store_io *orig;
	int error;		/* to be told instead */
};

struct fault_engine {
	struct store_engine engine;	/* first: found from it */
	struct store_engine *inner;
	pthread_mutex_t lock;
	struct store_io *failed, **tail;
	struct shim_swap *swap;
	int op, error;
	uint64_t first, last;	/* which are to fail, by number; 0: none */
	enum fault_when when;
	uint64_t matched;
	uint64_t seen[3];
	uint64_t nfailed;
};

static void *get(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		abort();
	return p;
}

static struct fault_engine *fault_of(struct store_engine *engine)
{
	return (struct fault_engine *)engine;
}

/* Count the I/O; the error it is to have, 0 for none. lock held. */
static int judge(struct fault_engine *f, enum store_op op)
{
	f->seen[op]++;
	if (f->op != FAULT_ANY && f->op != (int)op)
		return 0;
	f->matched++;
	if (f->matched < f->first || f->matched > f->last)
		return 0;
	f->nfailed++;
	return -f->error;
}

static void shim_done(struct store_io *io)
{
	struct shim_io *shim = (struct shim_io *)io;
	struct store_io *orig = shim->orig;

	orig->error = shim->error ? shim->error : io->error;
	orig->npast = orig->error ? 0 : io->npast;
	free(shim);
	orig->done(orig);
}

static void fail_now(struct fault_engine *f, struct store_io *io, int error)
{
	io->error = error;
	io->npast = 0;
	io->next = NULL;
	pthread_mutex_lock(&f->lock);
	*f->tail = io;
	f->tail = &io->next;
	pthread_mutex_unlock(&f->lock);
	f->inner->wake(f->inner);
}

static void pass(struct fault_engine *f, struct store *inner,
		 struct store_io *io)
{
	enum fault_when when;
	struct shim_io *shim;
	int error;

	pthread_mutex_lock(&f->lock);
	error = judge(f, io->op);
	when = f->when;
	pthread_mutex_unlock(&f->lock);
	if (error && when == FAULT_BEFORE) {
		fail_now(f, io, error);
		return;
	}
	shim = get(sizeof(*shim));
	shim->io = *io;
	shim->io.store = inner;
	shim->io.done = shim_done;
	shim->orig = io;
	shim->error = error;
	inner->ops->submit(inner, &shim->io);
}

static void shim_submit(struct store *store, struct store_io *io)
{
	struct shim_store *s = (struct shim_store *)store;

	pass(s->fault, s->inner, io);
}

static int shim_size(struct store *store, uint64_t *bytes)
{
	struct shim_store *s = (struct shim_store *)store;

	return s->inner->ops->size(s->inner, bytes);
}

static void shim_close(struct store *store)
{
	struct shim_store *s = (struct shim_store *)store;

	s->inner->ops->close(s->inner);
	free(store->name);
	free(s);
}

static const struct store_ops shim_ops = {
	.submit = shim_submit,
	.size = shim_size,
	.close = shim_close,
};

static int fault_open(struct store_engine *engine, const char *path,
		      bool writable, struct store **store)
{
	struct fault_engine *f = fault_of(engine);
	struct shim_store *s = get(sizeof(*s));
	int err = f->inner->open(f->inner, path, writable, &s->inner);

	if (err) {
		free(s);
		return err;
	}
	s->store = *s->inner;
	s->store.ops = &shim_ops;
	s->store.name = strdup(s->inner->name);
	s->fault = f;
	*store = &s->store;
	return 0;
}

/* done() for those that never went down. */
static int reap_failed(struct fault_engine *f)
{
	struct store_io *io, *next;
	int n = 0;

	pthread_mutex_lock(&f->lock);
	io = f->failed;
	f->failed = NULL;
	f->tail = &f->failed;
	pthread_mutex_unlock(&f->lock);
	for (; io; io = next, n++) {
		next = io->next;
		io->done(io);
	}
	return n;
}

static int fault_reap(struct store_engine *engine, int64_t timeout_ns)
{
	struct fault_engine *f = fault_of(engine);
	int n = reap_failed(f);

	/* A failure while we sleep below wakes us: look once more. */
	n += f->inner->reap(f->inner, n ? 0 : timeout_ns);
	return n ? n : reap_failed(f);
}

static void fault_kick(struct store_engine *engine)
{
	struct fault_engine *f = fault_of(engine);

	f->inner->kick(f->inner);
}

static void fault_wake(struct store_engine *engine)
{
	struct fault_engine *f = fault_of(engine);

	f->inner->wake(f->inner);
}

struct fault_engine *fault_create(struct store_engine *inner)
{
	struct fault_engine *f = get(sizeof(*f));

	f->engine.kick = fault_kick;
	f->engine.reap = fault_reap;
	f->engine.wake = fault_wake;
	f->engine.open = fault_open;
	f->inner = inner;
	f->tail = &f->failed;
	f->op = FAULT_ANY;
	pthread_mutex_init(&f->lock, NULL);
	return f;
}

void fault_destroy(struct fault_engine *f)
{
	pthread_mutex_destroy(&f->lock);
	free(f->swap);
	free(f);
}

struct store_engine *fault_store_engine(struct fault_engine *f)
{
	return &f->engine;
}

void fault_rule(struct fault_engine *f, int op, uint64_t nth, uint64_t count,
		int error, enum fault_when when)
{
	pthread_mutex_lock(&f->lock);
	f->op = op;
	f->error = error;
	f->when = when;
	f->first = nth;
	f->last = !nth ? 0 : count ? nth + count - 1 : UINT64_MAX;
	f->matched = f->nfailed = 0;
	memset(f->seen, 0, sizeof(f->seen));
	pthread_mutex_unlock(&f->lock);
}

uint64_t fault_count(struct fault_engine *f, int op)
{
	uint64_t n = 0;

	pthread_mutex_lock(&f->lock);
	for (int k = STORE_READ; k <= STORE_SYNC; k++)
		if (op == FAULT_ANY || op == k)
			n += f->seen[k];
	pthread_mutex_unlock(&f->lock);
	return n;
}

uint64_t fault_failed(struct fault_engine *f)
{
	uint64_t n;

	pthread_mutex_lock(&f->lock);
	n = f->nfailed;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* The swap store's calls, each to the one below. */

static struct shim_swap *swap_of(struct swap_store *swap)
{
	return (struct shim_swap *)swap;
}

static void swap_submit(struct store *store, struct store_io *io)
{
	struct shim_swap *s = swap_of((struct swap_store *)store);

	pass(s->fault, &s->inner->store, io);
}

static struct store *under(struct store *store)
{
	return &swap_of((struct swap_store *)store)->inner->store;
}

static int swap_size(struct store *store, uint64_t *bytes)
{
	struct store *inner = under(store);

	return inner->ops->size(inner, bytes);
}

static void swap_close(struct store *store)
{
	struct store *inner = under(store);

	inner->ops->close(inner);
}

static const struct store_ops swap_ops = {
	.submit = swap_submit,
	.size = swap_size,
	.close = swap_close,
};

static unsigned swap_alloc(struct swap_store *s, unsigned want,
			   uint32_t except, uint32_t *slot)
{
	struct swap_store *inner = swap_of(s)->inner;

	return inner->alloc(inner, want, except, slot);
}

static void swap_ref(struct swap_store *s, uint32_t slot)
{
	swap_of(s)->inner->ref(swap_of(s)->inner, slot);
}

static void swap_unref(struct swap_store *s, uint32_t slot)
{
	swap_of(s)->inner->unref(swap_of(s)->inner, slot);
}

static unsigned swap_refs(struct swap_store *s, uint32_t slot)
{
	return swap_of(s)->inner->refs(swap_of(s)->inner, slot);
}

static void swap_bad(struct swap_store *s, uint32_t slot)
{
	swap_of(s)->inner->bad(swap_of(s)->inner, slot);
}

static bool swap_is_bad(struct swap_store *s, uint32_t slot)
{
	return swap_of(s)->inner->is_bad(swap_of(s)->inner, slot);
}

static int swap_info(struct swap_store *s, unsigned area,
		     struct swap_area_info *info)
{
	return swap_of(s)->inner->info(swap_of(s)->inner, area, info);
}

static uint64_t swap_nfree(struct swap_store *s)
{
	return swap_of(s)->inner->nfree(swap_of(s)->inner);
}

static uint64_t swap_ntotal(struct swap_store *s)
{
	return swap_of(s)->inner->ntotal(swap_of(s)->inner);
}

struct swap_store *fault_swap(struct fault_engine *f, struct swap_store *inner)
{
	struct shim_swap *s = get(sizeof(*s));

	free(f->swap);
	f->swap = s;
	s->swap = (struct swap_store) {
		.store = inner->store,
		.alloc = swap_alloc, .ref = swap_ref, .unref = swap_unref,
		.refs = swap_refs, .bad = swap_bad, .is_bad = swap_is_bad,
		.info = swap_info, .nfree = swap_nfree,
		.ntotal = swap_ntotal,
	};
	s->swap.store.ops = &swap_ops;
	s->fault = f;
	s->inner = inner;
	return &s->swap;
}
