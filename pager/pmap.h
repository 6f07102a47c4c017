/*
 * pmap.h - the only writer of page-table entries.
 *
 * A pmap is one hardware page table in RAM, in true x86 format, with the
 * reverse map kept in step: an entry is present exactly while its place is in
 * its frame's rmap. It is a cache: everything it says can be worked out again
 * from areas and objects by a fault, so any entry may be removed at any time.
 *
 * Changes that take rights away are collected in a gather, which sends one
 * shootdown for all of them; until gather_flush() some CPU may still use what
 * was removed, so frames that are to be freed wait in it too. The dirty bit
 * is harvested when an entry loses it: it becomes FRAME_DIRTY. A CPU that
 * holds a dirty translation may go on storing until the shootdown; its D bit
 * was in the entry, so the frame counts as dirty already.
 *
 * Lock: the core lock, for everything here.
 */
#ifndef PAGER_PMAP_H
#define PAGER_PMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "pager/core.h"

/* What sets the paging modes apart, for who builds tables. */
struct pmap_format {
	unsigned levels, bits;		/* of tables; index bits of each */
	unsigned size;			/* of an entry, bytes */
	unsigned pinned;		/* tables below the root that stay: PAE's
					 * page directories, because the CPU
					 * loads the entries that point to them
					 * only at MOV CR3 (SDM 3A 4.4.1) */
	uint64_t limit;			/* user addresses end here, in pages */
};

struct pmap {
	uint32_t id;			/* 1..; names it in the reverse map */
	uint32_t root;			/* frame of the top-level table */
	const struct pmap_format *fmt;
	uint64_t resident;		/* pages that are mapped */
	uint64_t nlarge;		/* entries that map a large page */
};

void gather_init(struct gather *g);
/* @vpn lost its translation, or a right. */
void gather_page(struct gather *g, const struct pmap *p, uint64_t vpn);
/* HELD or TABLE frame @pfn is freed at the next flush. */
void gather_frame(struct vm *vm, struct gather *g, uint32_t pfn);
/* Send the shootdown, wait until no CPU uses what was removed, free. */
void gather_flush(struct vm *vm, struct gather *g);
/* Send it without waiting: only for changes that lost no rights. => no frame
 * is in it. */
void gather_hint(struct vm *vm, struct gather *g);

/* => 0; -ENOMEM: no frame for the top-level table; -EAGAIN: ids used up. */
int pmap_create(struct vm *vm, struct pmap *p, struct proc *proc);
/* How many frames must be free for that. */
uint32_t pmap_frames(const struct vm *vm);
/* => pmap_remove()d whole, and no CPU uses it. */
void pmap_destroy(struct vm *vm, struct pmap *p);
uint64_t pmap_cr3(const struct pmap *p);
/* One past the last user address, in pages. */
uint64_t pmap_limit(enum vm_mode mode);
/* A large page is 2^this pages: 2 MiB, or 4 MiB with two-level tables. */
unsigned pmap_large_shift(enum vm_mode mode);

/*
 * Map page @vpn to @pfn with @prot (VM_PROT_*). What was mapped there goes by
 * @g, which the caller flushes before the access is made again. @dirty: the
 * access is a write, set D at once. => 0; -ENOMEM: no frame for a table, or
 * no memory for the reverse map; nothing changed.
 */
int pmap_enter(struct vm *vm, struct pmap *p, uint64_t vpn, uint32_t pfn,
	       unsigned prot, bool dirty, struct gather *g);
/*
 * The same in two steps, for who only shares the core lock: the entry for
 * @vpn, if it is empty and its table is there (NULL otherwise), and mapping a
 * frame there that nobody else maps. => nobody else uses @p: the map lock.
 */
void *pmap_vacant(const struct vm *vm, const struct pmap *p, uint64_t vpn);
void pmap_fill(struct vm *vm, struct pmap *p, void *entry, uint64_t vpn,
	       uint32_t pfn, unsigned prot, bool dirty);
/*
 * The same for a large page: @vpn and @pfn are multiples of its size, none of
 * its frames is mapped anywhere. A table is put aside so that it can always be
 * split. => 0; -ENOMEM; -EEXIST: small pages are mapped here.
 */
int pmap_enter_large(struct vm *vm, struct pmap *p, uint64_t vpn, uint32_t pfn,
		     unsigned prot, bool dirty, struct gather *g);
/* Unmap @n pages from @vpn on. Cost: what is mapped, not the range. */
void pmap_remove(struct vm *vm, struct pmap *p, uint64_t vpn, uint64_t n,
		 struct gather *g);
/* Take the rights that are not in @prot from @n pages from @vpn on. */
void pmap_protect(struct vm *vm, struct pmap *p, uint64_t vpn, uint64_t n,
		  unsigned prot, struct gather *g);
/* How many of @n pages from @vpn on are mapped; *@nlarge: by large entries. */
uint64_t pmap_count(const struct vm *vm, const struct pmap *p, uint64_t vpn,
		    uint64_t n, uint64_t *nlarge);
/* => the entry as it stands; 0: none. */
uint64_t pmap_entry(const struct vm *vm, const struct pmap *p, uint64_t vpn);

/* The entries that map @n frames, FRAME_AHEAD at most, will be removed soon:
 * see frame_prefetch(). */
void pmap_frame_prefetch(const struct vm *vm, const uint32_t *pfn, unsigned n);
/* For every entry that maps @pfn: remove it; */
void pmap_frame_remove(struct vm *vm, uint32_t pfn, struct gather *g);
/* take W and D away, so that a store faults; */
void pmap_frame_clean(struct vm *vm, uint32_t pfn, struct gather *g);
/* clear A. => whether any was set. */
bool pmap_frame_accessed(struct vm *vm, uint32_t pfn, struct gather *g);
/* FRAME_DIRTY, or a D bit in some entry. */
bool pmap_dirty(const struct vm *vm, uint32_t pfn);
bool pmap_accessed(const struct vm *vm, uint32_t pfn);
/* Some entry allows stores, or some store is not harvested. */
bool pmap_writable(const struct vm *vm, uint32_t pfn);
bool frame_is_zero(const struct vm *vm, uint32_t pfn);

void pmap_check(const struct vm *vm, const struct pmap *p);

#endif
