/*
 * nomem.c - see nomem.h.
 */
#include "tests/lib/nomem.h"

#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static __thread struct {
	uint64_t left;		/* until the one that fails; 0: none */
	uint64_t *seed;
	unsigned one_in;	/* 0: none */
	unsigned failed, spared;
} nomem;

void nomem_nth(uint64_t nth)
{
	nomem.left = nth;
	nomem.failed = 0;
}

void nomem_often(uint64_t *seed, unsigned one_in)
{
	nomem.seed = seed;
	nomem.one_in = one_in;
	nomem.failed = 0;
}

unsigned nomem_off(void)
{
	nomem.left = 0;
	nomem.one_in = 0;
	return nomem.failed;
}

void nomem_spare(bool on)
{
	nomem.spared += on ? 1 : -1;
}

static bool nomem_draw(void)
{
	uint64_t z = (*nomem.seed += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	return (z ^ z >> 31) % nomem.one_in == 0;
}

static bool nomem_fails(void)
{
	bool fails = false;

	if (nomem.spared)
		return false;
	if (nomem.left)
		fails = --nomem.left == 0;
	else if (nomem.one_in)
		fails = nomem_draw();
	nomem.failed += fails;
	return fails;
}

void *__wrap_malloc(size_t size)
{
	return nomem_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return nomem_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return nomem_fails() ? NULL : __real_realloc(p, size);
}
