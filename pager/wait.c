/*
 * wait.c - queues of waiters, hashed by what they wait for.
 *
 * Invariant: a waiter is in the bucket of its key exactly while its key is
 * not 0. Lock: the core lock.
 */
#include "pager/wait.h"

#include <limits.h>

#include "pager/core.h"

static struct waitq *wait_bucket(const struct vm *vm, uint64_t key)
{
	uint64_t h = key * 0x9e3779b97f4a7c15ull;

	return (struct waitq *)&vm->wait[h >> 54];
}

void wait_init(struct vm *vm)
{
	for (unsigned i = 0; i < WAIT_BUCKETS; i++) {
		vm->wait[i].head = NULL;
		vm->wait[i].tail = &vm->wait[i].head;
	}
}

void wait_add(struct vm *vm, struct waiter *w, uint64_t key)
{
	struct waitq *q = wait_bucket(vm, key);

	assert(w->key == 0 && key != 0);
	w->key = key;
	w->next = NULL;
	*q->tail = w;
	q->tail = &w->next;
}

/* Unlink *@at from @q. */
static struct waiter *wait_unlink(struct waitq *q, struct waiter **at)
{
	struct waiter *w = *at;

	*at = w->next;
	if (q->tail == &w->next)
		q->tail = at;
	w->key = 0;
	return w;
}

unsigned wait_wake(struct vm *vm, uint64_t key, int result, unsigned max)
{
	struct waitq *q = wait_bucket(vm, key);
	struct waiter **at = &q->head;
	unsigned n = 0;

	while (*at && n < max) {
		if ((*at)->key != key) {
			at = &(*at)->next;
			continue;
		}
		struct waiter *w = wait_unlink(q, at);

		w->result = result;
		w->owes = key == WAIT_READ_IO || key == WAIT_WRITE_IO;
		w->wake(w);
		n++;
	}
	return n;
}

void wait_cancel(struct vm *vm, struct waiter *w)
{
	struct waitq *q;

	if (w->key == 0)
		return;
	q = wait_bucket(vm, w->key);
	for (struct waiter **at = &q->head; *at; at = &(*at)->next) {
		if (*at == w) {
			wait_unlink(q, at);
			return;
		}
	}
	assert(!"a waiter with a key is in its bucket");
}

unsigned wait_count(const struct vm *vm, uint64_t key)
{
	unsigned n = 0;

	for (struct waiter *w = wait_bucket(vm, key)->head; w; w = w->next)
		n += w->key == key;
	return n;
}
