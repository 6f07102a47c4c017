/*
 * mmu.h - walk the page tables in RAM, as the hardware would.
 *
 * In: a linear address, an access, the control registers. Out: a physical
 * address and what the TLB may remember of it, or a page fault (CR2 and error
 * code). The walk sets accessed and dirty bits with atomic read-modify-write,
 * because the pager and other CPUs edit the same entries; every entry is read
 * and written as one atomic, and there is no lock.
 *
 * Two formats (SDM 3A 4.3, 4.5): 32-bit two-level, where without CR4.PSE a
 * page is 4 KiB and no bit is reserved; and four-level, with large pages of
 * 2 MiB and 1 GiB.
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
	unsigned shift;		/* log2 of the page's size: 12, 21, 30 */
};

/*
 * Translate @va for @access.
 * => 0 and *@res; or -1 and *@pf (also for entries that point past RAM: such
 *    an entry reads as absent). Sets A on every entry of a successful walk,
 *    D on the leaf of a successful write; a walk that faults sets neither.
 * => paging off (CR0.PG = 0): pa = va, and a fault past the end of RAM.
 * => 32-bit paging: only the low 32 bits of @va count, in CR2 too.
 * => a non-canonical address (hardware: #GP, not yet) faults as if no page
 *    were present there, with the address itself in CR2.
 */
int mmu_walk(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	     enum mmu_access access, struct mmu_result *res,
	     struct page_fault *pf);

/* The same question, setting no A and no D. => 0, or -1 and *@pf. */
int mmu_check(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	      enum mmu_access access, struct page_fault *pf);

/* The address as the MMU sees it: 32-bit mode drops the upper half. */
static inline uint64_t mmu_linear(const struct mmu_regs *regs, uint64_t va)
{
	bool narrow = regs->cr0 & X86_CR0_PG && !(regs->efer & X86_EFER_LMA);

	return narrow ? (uint32_t)va : va;
}

#endif
