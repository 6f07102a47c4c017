/*
 * manual_regs.h - the second judge on control registers: which writes the
 * manual refuses, and what the others leave.
 *
 * From the Intel SDM: volume 2, the #GP lists of MOV to control registers and
 * WRMSR; volume 3A, 2.5 (the registers), 4.1.1 to 4.1.4 (paging), 4.4.1
 * (PDPTEs), 4.10.1 (PCIDs). It shares no code with emu/.
 *
 * The CPU has no segments: that CS.L must be clear and the TSS of 32 bits when
 * IA-32e mode is entered (3A 9.8.5) is not judged. It has no CET, VMX, SMX,
 * user interrupts, key locker, LASS, LAM or FRED: their bits are reserved.
 */
#ifndef MMUCHECK_MANUAL_REGS_H
#define MMUCHECK_MANUAL_REGS_H

#include <stdbool.h>
#include <stdint.h>

#include "mmucheck/case.h"

/* What CPUID says is not there. */
#define MANUAL_NO_NX	1u
#define MANUAL_NO_LA57	2u
#define MANUAL_NO_PCID	4u
#define MANUAL_NO_SMEP	8u
#define MANUAL_NO_SMAP	16u
#define MANUAL_NO_PKU	32u
#define MANUAL_NO_PKS	64u

struct manual_cpu {
	uint64_t cr0, cr3, cr4, efer, pdpte[4];
	bool code64;		/* CS.L, while IA-32e mode is on */
	unsigned maxphyaddr, lacks;
	/* Eight bytes of physical memory. */
	uint64_t (*read)(void *memory, uint64_t pa);
	void *memory;
};

enum manual_register { MANUAL_CR0, MANUAL_CR3, MANUAL_CR4, MANUAL_EFER };

/*
 * MOV of @value to the register, or WRMSR.
 * => NULL and the CPU as it is after; or why it is #GP, and nothing changed.
 */
const char *manual_write(struct manual_cpu *c, enum manual_register which,
			 uint64_t value);
/* Reasons that there are. */
unsigned manual_reasons(const char *const **reason);

#endif
