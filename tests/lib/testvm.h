/*
 * testvm.h - a small machine over mem_store, for the tests of the pager.
 *
 * With its CPUs not started, everything runs in the caller and is
 * deterministic. The engine stands between the pager and mem_store: when all
 * that is in flight is held and somebody waits for it, it calls stuck(), which
 * lets something go - so one thread can hold I/Os and choose their order.
 */
#ifndef TESTS_LIB_TESTVM_H
#define TESTS_LIB_TESTVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "emu/ram.h"
#include "emu/stale.h"
#include "pager/vm.h"
#include "tests/lib/mem_store.h"

#define TV_PAGE		4096u
#define TV_BASE		0x10000000ull	/* where tests map, FIXED */

struct testvm {
	struct store_engine engine;	/* first: found from it */
	struct ram ram;
	struct mem_store *mem;
	struct vm *vm;
	/* Called from inside a reap, no lock held. NULL: all is let go. */
	void (*stuck)(struct testvm *t);
	void *ctx;
	struct stale *stale;		/* NULL: nobody checks */
	struct stale_report last_stale;	/* the last it found */
	bool stale_expected;		/* else one is the end of the test */
};

struct testvm_opts {
	uint32_t frames;		/* of RAM; 0: 64 */
	enum vm_mode mode;		/* default 32 bits */
	uint32_t swap_slots;		/* 0: no swap */
	uint32_t more_swap;		/* slots of area 1; 0: none */
	int more_priority;		/* of that; area 0 has 0 */
	uint64_t seed;
	enum mem_order order;
	unsigned ncpus;			/* 0: 1 */
	unsigned cluster;
	bool calm, real_clock;
	bool evict_always;
	/* Every translation used is checked (emu/stale.h). PAGER_CHECK_TLB=1
	 * says so for all. */
	bool check_tlb;
};

void testvm_make(struct testvm *t, const struct testvm_opts *o);
/* All processes exit; asserts that nothing is left, in RAM or swap. => pages
 * lost. */
uint64_t testvm_free(struct testvm *t);
/* The same, but what is left is not looked at. */
uint64_t testvm_free_unchecked(struct testvm *t);
/* A counter by name, which there must be. */
uint64_t testvm_stat(struct testvm *t, const char *name);

/* mmap at exactly @addr; asserts. @path NULL: anonymous. */
void testvm_map(struct testvm *t, int pid, uint64_t addr, uint64_t npages,
		unsigned prot, unsigned flags, const char *path,
		uint64_t page);

/* One access of a CPU, up to 64 bytes, by a thread of its own. => 0 or the
 * signal. *at (may be NULL): where it faulted for good. */
int testvm_load(struct testvm *t, int pid, uint64_t addr, void *buf,
		unsigned len, uint64_t *at);
int testvm_store(struct testvm *t, int pid, uint64_t addr, const void *buf,
		 unsigned len, uint64_t *at);

/* The same begun only: it goes on when something drives the machine. */
struct testvm_access {
	struct testvm *t;
	uint64_t addr, fault;
	uint8_t buf[64];
	unsigned len;
	bool write, done;
	int sig;
	const char *why;
};
void testvm_begin(struct testvm *t, struct testvm_access *a, int pid);

/* Whole pages of one byte, and the first byte of a page; assert. */
void testvm_fill(struct testvm *t, int pid, uint64_t addr, unsigned npages,
		 uint8_t byte);
uint8_t testvm_byte(struct testvm *t, int pid, uint64_t addr);

#endif
