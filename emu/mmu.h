/*
 * mmu.h - walk the page tables in RAM, as the hardware would.
 *
 * In: a linear address, an access, the control registers. Out: a physical
 * address and what the TLB may remember of it, or an exception. The walk sets
 * accessed and dirty bits with atomic read-modify-write, because the pager
 * and other CPUs edit the same entries; every entry is read and written as
 * one atomic, and there is no lock.
 *
 * All formats of SDM 3A chapter 4: 32-bit two-level with 4 MiB pages and
 * PSE-36 (4.3), PAE (4.4), four-level and five-level (4.5). What the
 * registers mean for a walk is worked out once, when they change, into a
 * struct mmu_plan; walks only look into that.
 */
#ifndef EMU_MMU_H
#define EMU_MMU_H

#include <stdbool.h>
#include <stdint.h>

#include "x86.h"

struct ram;

enum mmu_access { MMU_READ, MMU_WRITE, MMU_FETCH };

/* What an access may be besides. */
#define MMU_IMPLICIT	1u	/* supervisor access whatever the CPL: GDT,
				   IDT, TSS ... (SDM 3A 4.6) */
#define MMU_STACK	2u	/* through SS: #SS where others have #GP */

/* How paging is done: CR0.PG, CR4.PAE, EFER.LMA, CR4.LA57 (SDM 3A 4.1.1). */
enum mmu_mode { MMU_OFF, MMU_32, MMU_PAE, MMU_64, MMU_57 };

/* What became of an access or an instruction. */
enum mmu_kind { MMU_OK, MMU_PF, MMU_GP, MMU_SS, MMU_UD };

/* The exception of an access that did not succeed. */
struct page_fault {
	uint64_t addr;		/* CR2; #GP and #SS: the address refused */
	uint32_t error;		/* X86_PF_*; #GP and #SS: 0 */
	uint32_t kind;		/* enum mmu_kind: MMU_PF, MMU_GP, MMU_SS */
};

/* The same for those who judge: one access and all that came of it. */
struct mmu_outcome {
	enum mmu_kind kind;
	uint32_t error;		/* MMU_PF: X86_PF_* */
	uint64_t pa;		/* MMU_OK: of the first byte */
	uint64_t cr2;		/* MMU_PF */
};

/* What a CPU may lack (CPUID); 0: it has everything. */
#define MMU_NO_PSE36	(1u << 0)
#define MMU_NO_NX	(1u << 1)
#define MMU_NO_1G	(1u << 2)	/* pages of 1 GiB */
#define MMU_NO_LA57	(1u << 3)
#define MMU_NO_PCID	(1u << 4)
#define MMU_NO_INVPCID	(1u << 5)
#define MMU_NO_SMEP	(1u << 6)
#define MMU_NO_SMAP	(1u << 7)
#define MMU_NO_PKU	(1u << 8)
#define MMU_NO_PKS	(1u << 9)

/* The registers a walk depends on. */
struct mmu_regs {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t pdpte[4];	/* PAE: loaded by MOV CR3, CR0, CR4 */
	uint32_t pkru, pkrs;
	uint8_t cpl;
	bool ac;		/* RFLAGS.AC */
	bool compat;		/* CS.L = 0: 32-bit code in long mode */
	uint8_t maxphyaddr;	/* 32 to 52; 0: X86_MAXPHYADDR */
	uint32_t lacks;		/* MMU_NO_* */
};

/*
 * What the registers mean. The sets of accesses, made of 1 << MMU_READ and so
 * on, are by [implicit][index of rights]; see mmu_rights().
 */
struct mmu_plan {
	enum mmu_mode mode;
	bool supervisor;	/* CPL < 3 */
	bool fetches;		/* error codes tell fetches apart */
	bool pk;		/* protection keys of some kind are on */
	bool narrow;		/* not 64-bit code: addresses have 32 bits */
	uint64_t root;		/* physical address of the top table */
	uint64_t rsvd;		/* reserved in every entry */
	uint64_t rsvd_4m;	/* in a PDE for 4 MiB; 32-bit mode */
	uint64_t nx;		/* X86_PTE_NX if it forbids fetches */
	uint64_t ps;		/* X86_PTE_PS where PDEs may map pages */
	uint64_t ps_1g;		/* the same for PDPTEs */
	uint64_t global;	/* X86_PTE_G if CR4.PGE */
	uint64_t pdpte[4];
	uint8_t allow[2][8];
	uint16_t pk_ad[2][2];	/* [implicit][user page]: keys without */
	uint16_t pk_wd[2][2];	/* any access, and without writes */
};

void mmu_plan(struct mmu_plan *plan, const struct mmu_regs *regs);
/* The same if nothing but CR3, and the PDPTEs, have changed. */
void mmu_plan_root(struct mmu_plan *plan, const struct mmu_regs *regs);

/* Rights over all levels: what the TLB remembers of a translation. */
#define MMU_RIGHT_W	1u	/* R/W set everywhere */
#define MMU_RIGHT_U	2u	/* U/S set everywhere */
#define MMU_RIGHT_NX	4u	/* XD set somewhere, and in force */

/* The set of accesses that @rights and protection key @key allow. */
unsigned mmu_allowed(const struct mmu_plan *plan, unsigned flags,
		     unsigned rights, unsigned key);

struct mmu_result {
	uint64_t pa;		/* physical address of the byte asked for */
	bool dirty;		/* the leaf's D bit is set */
	bool global;		/* the leaf's G bit is set, and CR4.PGE */
	uint8_t shift;		/* log2 of the page: 12, 21, 22, 30 */
	uint8_t rights;		/* MMU_RIGHT_* */
	uint8_t key;		/* protection key */
	uint8_t allowed;	/* set of accesses, 1 << MMU_READ ... */
};

/*
 * Translate @va for @access.
 * => 0 and *@res; or -1 and *@pf (also for entries that point past RAM: such
 *    an entry reads as absent). Sets A on every entry of a successful walk,
 *    D on the leaf of a successful write; a walk that faults sets neither.
 * => paging off: pa = va, and a fault past the end of RAM.
 * => outside 64-bit code only the low 32 bits of @va count, in CR2 too.
 */
int mmu_walk(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	     enum mmu_access access, struct mmu_result *res,
	     struct page_fault *pf);

/* The same question, setting no A and no D. => 0, or -1 and *@pf. */
int mmu_check(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	      enum mmu_access access, struct page_fault *pf);

/* Is this 64-bit code? Elsewhere linear addresses have 32 bits. */
static inline bool mmu_wide(const struct mmu_regs *regs)
{
	return (regs->efer & X86_EFER_LMA) && !regs->compat;
}

/* 0 without CR4.PCIDE (SDM 3A 4.10.1). */
static inline unsigned mmu_pcid(const struct mmu_regs *regs)
{
	return regs->cr4 & X86_CR4_PCIDE ? regs->cr3 & X86_CR3_PCID : 0;
}

/* The address as the MMU sees it. */
static inline uint64_t mmu_linear(const struct mmu_regs *regs, uint64_t va)
{
	return mmu_wide(regs) ? va : (uint32_t)va;
}

#endif
