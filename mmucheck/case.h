/*
 * case.h - what is judged: one case, and what an engine says of it.
 *
 * A case is a set of page-table entries in otherwise empty tables, and a few
 * accesses, each with the registers it is made under. cases.c makes cases out
 * of a seed; each engine runs them on a memory of its own and answers with one
 * result per access; check.c compares the results and then the memories.
 *
 * Invariants: no access of a case edits a table (check.c sees to it), so all
 * that changes in tables during a case are accessed and dirty bits. All
 * addresses are physical but mc_access.va.
 */
#ifndef MMUCHECK_CASE_H
#define MMUCHECK_CASE_H

#include <stdbool.h>
#include <stdint.h>

/* The bits, written down once more: this folder must not borrow from emu/. */
#define MC_CR0_PE	(1ull << 0)
#define MC_CR0_ET	(1ull << 4)
#define MC_CR0_NE	(1ull << 5)
#define MC_CR0_WP	(1ull << 16)
#define MC_CR0_PG	(1ull << 31)
#define MC_CR4_PSE	(1ull << 4)
#define MC_CR4_PAE	(1ull << 5)
#define MC_CR4_PGE	(1ull << 7)
#define MC_CR4_LA57	(1ull << 12)
#define MC_CR4_PCIDE	(1ull << 17)
#define MC_CR4_SMEP	(1ull << 20)
#define MC_CR4_SMAP	(1ull << 21)
#define MC_CR4_PKE	(1ull << 22)
#define MC_CR4_PKS	(1ull << 24)
#define MC_EFER_LME	(1ull << 8)
#define MC_EFER_LMA	(1ull << 10)
#define MC_EFER_NXE	(1ull << 11)

#define MC_P		(1ull << 0)
#define MC_RW		(1ull << 1)
#define MC_US		(1ull << 2)
#define MC_A		(1ull << 5)
#define MC_D		(1ull << 6)
#define MC_PS		(1ull << 7)
#define MC_G		(1ull << 8)
#define MC_XD		(1ull << 63)

#define MC_PF_P		(1u << 0)
#define MC_PF_WR	(1u << 1)
#define MC_PF_US	(1u << 2)
#define MC_PF_RSVD	(1u << 3)
#define MC_PF_ID	(1u << 4)
#define MC_PF_PK	(1u << 5)

#define MC_NO_1G	1u		/* no pages of 1 GiB */
#define MC_NO_PSE36	2u

enum mc_mode { MC_32, MC_PAE, MC_64, MC_LA57, MC_MODES };

/* MC_LOADCR3: MOV to CR3 of regs.cr3; every case begins with one. */
enum mc_kind { MC_READ, MC_WRITE, MC_FETCH, MC_LOADCR3 };

/*
 * MC_BEYOND: a table or page lies beyond RAM, where no manual says anything.
 * MC_LOST: the engine got no answer (KVM: an exit nobody expects).
 */
enum mc_outcome { MC_OK, MC_PF, MC_GP, MC_SS, MC_BEYOND, MC_LOST };

struct mc_regs {
	uint64_t cr0, cr3, cr4, efer;
	uint32_t pkru, pkrs;
	bool ac;			/* EFLAGS.AC */
	unsigned maxphyaddr;		/* of CPUID */
	unsigned lacks;			/* MC_NO_*: of CPUID too */
};

struct mc_access {
	enum mc_kind kind;
	uint64_t va;
	unsigned size;			/* bytes */
	unsigned cpl;			/* 0 or 3 */
	bool implicit;			/* as of a descriptor: supervisor */
	bool stack;			/* through SS */
	uint64_t value;			/* to be written */
	struct mc_regs regs;
};

struct mc_entry {
	uint64_t pa, value;
	uint8_t size;			/* 4 or 8 bytes */
	uint8_t level;			/* 1: the last */
};

#define MC_ENTRIES	96
#define MC_ACCESSES	9		/* the load of CR3 and eight more */
#define MC_FRAMES	40

struct mc_case {
	enum mc_mode mode;
	uint64_t seed, index;
	unsigned arena;
	unsigned nentries, naccesses, ntables, npages;
	struct mc_entry entry[MC_ENTRIES];
	struct mc_access access[MC_ACCESSES];
	uint64_t table[MC_FRAMES];	/* frames that are tables */
	uint64_t page[MC_FRAMES];	/* frames that are mapped */
};

/*
 * @value: what was read; of a fetch, the four bytes after the opcode. @pa: of
 * the first byte, where the engine knows it, else 0. Both mean something only
 * with MC_OK.
 */
struct mc_result {
	enum mc_outcome outcome;
	uint32_t error;			/* MC_PF: MC_PF_* */
	uint64_t cr2;			/* MC_PF */
	uint64_t value;
	uint64_t pa;
	unsigned detail;		/* MC_LOST: what came instead */
};

/* The physical memory of one engine: sparse, all of it readable. */
struct mc_mem {
	uint8_t *base;
	uint64_t size;
};

#endif
