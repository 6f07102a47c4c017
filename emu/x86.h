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
#define X86_PTE_PAT		(1ull << 7)	/* in a 4K leaf */
#define X86_PTE_G		(1ull << 8)	/* global */
#define X86_PTE_AVL		(7ull << 9)	/* left to software */
#define X86_PTE_PAT_LARGE	(1ull << 12)	/* in a large leaf */
#define X86_PTE_NX		(1ull << 63)	/* no execute; 8-byte format */
#define X86_PTE_PK_SHIFT	59		/* protection key, 4 bits */

#define X86_PTE32_ADDR		0xfffff000ull
#define X86_PTE64_ADDR		0x000ffffffffff000ull

/* Physical address bits of a CPU that is not told otherwise. */
#define X86_MAXPHYADDR		46
#define X86_MAXPHYADDR_MAX	52

/* Control registers. */
#define X86_CR0_PE		(1ull << 0)
#define X86_CR0_MP		(1ull << 1)
#define X86_CR0_EM		(1ull << 2)
#define X86_CR0_TS		(1ull << 3)
#define X86_CR0_ET		(1ull << 4)
#define X86_CR0_NE		(1ull << 5)
#define X86_CR0_WP		(1ull << 16)
#define X86_CR0_AM		(1ull << 18)
#define X86_CR0_NW		(1ull << 29)
#define X86_CR0_CD		(1ull << 30)
#define X86_CR0_PG		(1ull << 31)

#define X86_CR3_PCID		0xfffull	/* with CR4.PCIDE */
#define X86_CR3_NOFLUSH		(1ull << 63)	/* in MOV CR3 only */
#define X86_CR3_PAE_ROOT	0xffffffe0ull

#define X86_CR4_VME		(1ull << 0)
#define X86_CR4_PVI		(1ull << 1)
#define X86_CR4_TSD		(1ull << 2)
#define X86_CR4_DE		(1ull << 3)
#define X86_CR4_PSE		(1ull << 4)
#define X86_CR4_PAE		(1ull << 5)
#define X86_CR4_MCE		(1ull << 6)
#define X86_CR4_PGE		(1ull << 7)
#define X86_CR4_PCE		(1ull << 8)
#define X86_CR4_OSFXSR		(1ull << 9)
#define X86_CR4_OSXMMEXCPT	(1ull << 10)
#define X86_CR4_UMIP		(1ull << 11)
#define X86_CR4_LA57		(1ull << 12)
#define X86_CR4_FSGSBASE	(1ull << 16)
#define X86_CR4_PCIDE		(1ull << 17)
#define X86_CR4_OSXSAVE		(1ull << 18)
#define X86_CR4_SMEP		(1ull << 20)
#define X86_CR4_SMAP		(1ull << 21)
#define X86_CR4_PKE		(1ull << 22)
#define X86_CR4_PKS		(1ull << 24)

#define X86_EFER_SCE		(1ull << 0)
#define X86_EFER_LME		(1ull << 8)
#define X86_EFER_LMA		(1ull << 10)
#define X86_EFER_NXE		(1ull << 11)

/* PKRU and IA32_PKRS: two bits a key (SDM 3A 4.6.2). */
#define X86_PK_AD(key)		(1u << (2 * (key)))	/* no access */
#define X86_PK_WD(key)		(2u << (2 * (key)))	/* no write */

/* Page-fault error code (SDM 3A 4.7). */
#define X86_PF_P		(1u << 0)	/* protection, not absence */
#define X86_PF_W		(1u << 1)	/* the access was a write */
#define X86_PF_U		(1u << 2)	/* a user-mode access */
#define X86_PF_RSVD		(1u << 3)	/* a reserved bit was set */
#define X86_PF_I		(1u << 4)	/* instruction fetch */
#define X86_PF_PK		(1u << 5)	/* protection keys forbid it */

#endif
