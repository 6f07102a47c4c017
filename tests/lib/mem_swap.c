/*
 * mem_swap.c - the swap store of the in-memory store.
 *
 * The slots are counted by the real swap/areas; the bytes are here. A slot
 * holds MEM_SCRIBBLE from when it is freed, so that a page whose slot went
 * too early comes back wrong, and an I/O on a slot without references is a
 * bug of the pager's and aborts. Lock: mem->lock, also around the slot maps.
 */
#include "tests/lib/mem_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mem_swap *swap_of(struct swap_store *swap)
{
	return (struct mem_swap *)areas_of(swap);
}

static unsigned swap_alloc(struct swap_store *swap, unsigned want,
			   uint32_t except, uint32_t *slot)
{
	struct mem_store *mem = swap_of(swap)->mem;
	unsigned got;

	pthread_mutex_lock(&mem->lock);
	got = areas_alloc(swap, want, except, slot);
	pthread_mutex_unlock(&mem->lock);
	return got;
}

static void swap_ref(struct swap_store *swap, uint32_t slot)
{
	struct mem_swap *s = swap_of(swap);

	pthread_mutex_lock(&s->mem->lock);
	s->real.ref(swap, slot);
	pthread_mutex_unlock(&s->mem->lock);
}

static void swap_bad(struct swap_store *swap, uint32_t slot)
{
	struct mem_swap *s = swap_of(swap);

	pthread_mutex_lock(&s->mem->lock);
	s->real.bad(swap, slot);
	pthread_mutex_unlock(&s->mem->lock);
}

static uint8_t *slot_data(struct mem_swap *swap, uint32_t slot)
{
	return swap->disk[SWAP_SLOT_AREA(slot)].data +
		(uint64_t)SWAP_SLOT_INDEX(slot) * STORE_PAGE_SIZE;
}

static void swap_unref(struct swap_store *swap, uint32_t slot)
{
	struct mem_store *mem = swap_of(swap)->mem;

	pthread_mutex_lock(&mem->lock);
	areas_unref(swap, slot);
	if (!mem->config.calm && !areas_refs(swap, slot))
		memset(slot_data(swap_of(swap), slot), MEM_SCRIBBLE,
		       STORE_PAGE_SIZE);
	pthread_mutex_unlock(&mem->lock);
}

static void swap_submit(struct store *store, struct store_io *io)
{
	struct swap_store *s = (struct swap_store *)store;
	struct mem_swap *swap = swap_of(s);
	uint32_t slot = (uint32_t)io->page;

	assert(io->store == store);
	if (io->op == STORE_SYNC) {
		mem_start(swap->mem, io, &swap->disk[0], 0);
		return;
	}
	pthread_mutex_lock(&swap->mem->lock);
	for (unsigned i = 0; i < io->npages; i++)
		assert(areas_refs(s, slot + i));
	pthread_mutex_unlock(&swap->mem->lock);
	mem_start(swap->mem, io, &swap->disk[SWAP_SLOT_AREA(slot)],
		  SWAP_SLOT_INDEX(slot));
}

static int swap_size(struct store *store, uint64_t *bytes)
{
	struct swap_store *s = (struct swap_store *)store;

	*bytes = s->ntotal(s) * STORE_PAGE_SIZE;
	return 0;
}

/* The test's mem_destroy() frees it. */
static void swap_close(struct store *store)
{
	(void)store;
}

static const struct store_ops swap_ops = {
	.submit = swap_submit,
	.size = swap_size,
	.close = swap_close,
};

struct mem_swap *mem_swap_create(struct mem_store *mem)
{
	struct mem_swap *swap = mem_alloc(sizeof(*swap));
	struct swap_store *s = &swap->areas.swap;

	areas_init(&swap->areas);
	swap->real = *s;
	swap->mem = mem;
	s->alloc = swap_alloc;
	s->ref = swap_ref;
	s->unref = swap_unref;
	s->bad = swap_bad;
	s->store.ops = &swap_ops;
	s->store.writable = true;
	s->store.name = strdup("swap");
	return swap;
}

void mem_swap_destroy(struct mem_swap *swap)
{
	for (unsigned a = 0; a < SWAP_AREAS_MAX; a++)
		free(swap->disk[a].data);
	areas_free(&swap->areas);
	free(swap->areas.swap.store.name);
	free(swap);
}

struct swap_store *mem_swap(struct mem_store *mem)
{
	return &mem->swap->areas.swap;
}

unsigned mem_swap_add(struct mem_store *mem, uint32_t nslots, int priority)
{
	struct mem_swap *swap = mem->swap;
	uint64_t size = (nslots + 1ull) * STORE_PAGE_SIZE;
	int a;

	pthread_mutex_lock(&mem->lock);
	a = areas_add(&swap->areas, nslots + 1, NULL, priority);
	assert(a >= 0);
	snprintf(swap->name[a], sizeof(swap->name[a]), "mem%d", a);
	swap->areas.area[a].name = swap->name[a];
	free(swap->disk[a].data);
	swap->disk[a].data = mem_alloc(size);
	swap->disk[a].size = size;
	memset(swap->disk[a].data, MEM_SCRIBBLE, size);
	pthread_mutex_unlock(&mem->lock);
	return (unsigned)a;
}

void mem_fail_area(struct mem_store *mem, unsigned area, int error)
{
	pthread_mutex_lock(&mem->lock);
	mem->swap->disk[area].broken = -error;
	pthread_mutex_unlock(&mem->lock);
}

void mem_swap_check(struct mem_store *mem)
{
	pthread_mutex_lock(&mem->lock);
	areas_check(&mem->swap->areas);
	pthread_mutex_unlock(&mem->lock);
}

void mem_swap_peek(struct mem_store *mem, uint32_t slot, void *page)
{
	pthread_mutex_lock(&mem->lock);
	memcpy(page, slot_data(mem->swap, slot), STORE_PAGE_SIZE);
	pthread_mutex_unlock(&mem->lock);
}
