/*
 * nomem.h - allocations that fail, for the tests.
 *
 * Every test is linked with malloc(), calloc() and realloc() wrapped
 * (Makefile), so that those of the code under test can be made to fail; what
 * the libraries allocate for themselves, and mem_store, are spared. It is all
 * the calling thread's own: others' allocations do not fail.
 */
#ifndef TESTS_LIB_NOMEM_H
#define TESTS_LIB_NOMEM_H

#include <stdbool.h>
#include <stdint.h>

/* From now on, the @nth fails (1: the next), and no other. */
void nomem_nth(uint64_t nth);
/* From now on, about one of @one_in fails; *@seed goes on. */
void nomem_often(uint64_t *seed, unsigned one_in);
/* No more. => how many have failed. */
unsigned nomem_off(void);
/* Not here: calls nest. */
void nomem_spare(bool on);

#endif
