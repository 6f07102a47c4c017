/*
 * refmodel.h - what memory must look like, kept the simplest way there is.
 *
 * For every process a flat array of pages, each with its own bytes or with a
 * view of a file's or shared object's; nothing is ever paged, shared or
 * copied late. Beside each byte stands whether it is known: what lies past
 * the end of a file that shrank and grew under a mapping is anybody's guess.
 *
 * Pages are named by an index: the window from TV_BASE on, then the heap.
 */
#ifndef TESTS_LIB_REFMODEL_H
#define TESTS_LIB_REFMODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/lib/testvm.h"

#define REF_WINDOW	48u	/* pages */
#define REF_HEAP	16u
#define REF_PAGES	(REF_WINDOW + REF_HEAP)
#define REF_FILES	3u
#define REF_FILE_PAGES	40u

struct ref_bytes {
	uint8_t b[TV_PAGE];
	uint8_t known[TV_PAGE];
};

struct ref_object {		/* a file, or shared anonymous memory */
	bool file;
	unsigned refs;		/* pages that show it; files: one more */
	uint64_t size;
	unsigned npages;
	struct ref_bytes page[];
};

struct ref_page {
	bool mapped, shared;
	unsigned prot;
	struct ref_object *o;	/* NULL: private anonymous */
	unsigned opage;
	struct ref_bytes *own;	/* private, written */
};

struct ref_proc {
	uint64_t heap, brk;
	struct ref_page page[REF_PAGES];
};

enum ref_access {
	REF_GOOD,
	REF_SEGV,
	REF_PAST,		/* past the end of a file: SIGBUS, unless the
				 * page was in memory already */
};

struct ref_object *ref_object_new(bool file, unsigned npages, uint64_t size);
void ref_object_put(struct ref_object *o);
/* Another program truncates or extends the file. */
void ref_resize(struct ref_object *o, uint64_t size);

void ref_map(struct ref_proc *p, unsigned i, unsigned n, unsigned prot,
	     bool shared, struct ref_object *o, unsigned opage);
void ref_unmap(struct ref_proc *p, unsigned i, unsigned n);
struct ref_proc *ref_fork(const struct ref_proc *p);
void ref_exit(struct ref_proc *p);
void ref_brk(struct ref_proc *p, uint64_t brk);

uint64_t ref_addr(const struct ref_proc *p, unsigned i);
enum ref_access ref_access(const struct ref_proc *p, unsigned i, bool write);
/* Bytes [off, off + n) of page @i: are those that are known @b? => the first
 * offset where not, or -1. */
int ref_compare(const struct ref_proc *p, unsigned i, unsigned off,
		const uint8_t *b, unsigned n);
void ref_store(struct ref_proc *p, unsigned i, unsigned off, const uint8_t *b,
	       unsigned n);
/* A store to page @i failed half way: it may have been copied, or not. */
void ref_doubt(struct ref_proc *p, unsigned i);

#endif
