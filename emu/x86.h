/*
 * x86.h - names for the bits an x86 MMU looks at.
 *
 * Nothing here but constants, as they stand in the Intel SDM volume 3A
 * (chapter 2: control registers; chapter 4: paging; 4.7: the page-fault
 * error code).
 */
#ifndef EMU_X86_H
#define EMU_X86_H

#include <stdint.h>

#define X86_PAGE_SHIFT		12
#define X86_PAGE_SIZE		4096u
#define X86_PAGE_MASK		(~(uint64_t)(X86_PAGE_SIZE - 1))

/* Page-table entries, the same bits in the 4- and the 8-byte format. */
#define X86_PTE_P		(1ull << 0)	/* present */
#define X86_PTE_W		(1ull << 1)	/* writable */
#define X86_PTE_U		(1ull << 2)	/* user */
#define X86_PTE_PWT		(1ull << 3)
#define X86_PTE_PCD		(1ull << 4)
#define X86_PTE_A		(1ull << 5)	/* accessed */
#define X86_PTE_D		(1ull << 6)	/* dirty (leaf only) */
#define X86_PTE_PS		(1ull << 7)	/* large page (no 4K leaf) */
#define X86_PTE_G		(1ull << 8)	/* global */
#define X86_PTE_AVL		(7ull << 9)	/* left to software */
#define X86_PTE_NX		(1ull << 63)	/* no execute; 8-byte format */

#define X86_PTE32_ADDR		0xfffff000ull
#define X86_PTE64_ADDR		0x000ffffffffff000ull

/* Physical address bits of this CPU; above them, entries are reserved. */
#define X86_MAXPHYADDR		46

/* Control registers. */
#define X86_CR0_PE		(1ull << 0)
#define X86_CR0_WP		(1ull << 16)
#define X86_CR0_PG		(1ull << 31)
#define X86_CR4_PSE		(1ull << 4)
#define X86_CR4_PAE		(1ull << 5)
#define X86_CR4_PGE		(1ull << 7)
#define X86_EFER_LME		(1ull << 8)
#define X86_EFER_LMA		(1ull << 10)
#define X86_EFER_NXE		(1ull << 11)

/* Page-fault error code (SDM 3A 4.7). */
#define X86_PF_P		(1u << 0)	/* protection, not absence */
#define X86_PF_W		(1u << 1)	/* the access was a write */
#define X86_PF_U		(1u << 2)	/* at CPL 3 */
#define X86_PF_RSVD		(1u << 3)	/* a reserved bit was set */
#define X86_PF_I		(1u << 4)	/* instruction fetch */

#endif
