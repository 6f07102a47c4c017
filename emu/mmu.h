/*
 * mmu.h - walk the page tables in RAM, as the hardware would.
 *
 * In: a linear address, an access, the control registers. Out: a physical
 * address and what the TLB may remember of it, or a page fault (CR2 and error
 * code). The walk sets accessed and dirty bits with atomic read-modify-write,
 * because the pager and other CPUs edit the same entries.
 */
#ifndef EMU_MMU_H
#define EMU_MMU_H

#include <stdbool.h>
#include <stdint.h>

#include "x86.h"

struct ram;

enum mmu_access { MMU_READ, MMU_WRITE, MMU_FETCH };

struct page_fault {
	uint64_t addr;		/* CR2 */
	uint32_t error;		/* X86_PF_* */
};

/* The registers a walk depends on. */
struct mmu_regs {
	uint64_t cr0, cr3, cr4, efer;
	bool user;		/* CPL 3 */
};

struct mmu_result {
	uint64_t pa;		/* physical address of the byte asked for */
	bool writable;		/* a write at this privilege is permitted */
	bool executable;
	bool dirty;		/* the leaf's D bit is set */
};

/*
 * Translate @va for @access.
 * => 0 and *@res; or -1 and *@pf (also for entries that point past RAM: such
 *    an entry reads as absent). Sets A on every entry of a successful walk,
 *    D on the leaf of a successful write; a walk that faults sets neither.
 * => paging off (CR0.PG = 0): pa = va.
 */
int mmu_walk(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	     enum mmu_access access, struct mmu_result *res,
	     struct page_fault *pf);

#endif
