/*
 * regs.h - the instructions that write control registers, and those that
 * invalidate.
 *
 * Each does what the processor does: refuses what the manual forbids, loads
 * the PDPTEs where PAE wants it, flushes what the manual says (SDM 3A
 * 4.10.4.1), and works out anew what the registers mean. They say nothing of
 * CPL: the caller acts as the kernel.
 *
 * => owner only, inside or outside; ends what cpu_ptr() gave. 0, or the
 *    exception (enum mmu_kind), and then nothing has changed.
 */
#ifndef EMU_REGS_H
#define EMU_REGS_H

#include <stdbool.h>
#include <stdint.h>

#include "mmu.h"

struct cpu;

int cpu_mov_cr0(struct cpu *cpu, uint64_t value);
/* With CR4.PCIDE, bit 63 of @value asks to flush nothing. */
int cpu_mov_cr3(struct cpu *cpu, uint64_t value);
int cpu_mov_cr4(struct cpu *cpu, uint64_t value);
int cpu_wrmsr_efer(struct cpu *cpu, uint64_t value);
int cpu_wrpkru(struct cpu *cpu, uint32_t value);	/* MMU_UD: no PKE */
int cpu_wrmsr_pkrs(struct cpu *cpu, uint64_t value);
void cpu_set_cpl(struct cpu *cpu, unsigned cpl);
void cpu_set_ac(struct cpu *cpu, bool ac);		/* STAC, CLAC, POPF */
void cpu_set_compat(struct cpu *cpu, bool compat);	/* CS.L = !compat */
/* What CPUID says; @maxphyaddr 0: X86_MAXPHYADDR. */
void cpu_set_features(struct cpu *cpu, unsigned maxphyaddr, uint32_t lacks);

/*
 * Straight into a paging mode, with CR3 = 0, WP, NX and PSE where there is
 * such a thing, and long mode's in 64-bit code; what a boot loader would have
 * done.
 */
void cpu_set_mode(struct cpu *cpu, enum mmu_mode mode);
/* The foundation's name for MMU_64 and MMU_32. */
void cpu_set_paging(struct cpu *cpu, bool long_mode);
/* MOV CR3 for those who know that it is a good one. */
int cpu_set_cr3(struct cpu *cpu, uint64_t cr3);

void cpu_invlpg(struct cpu *cpu, uint64_t va);
/* The same for a shootdown: not an address as this code can say it. */
void cpu_forget(struct cpu *cpu, uint64_t va);
/* @type, and the descriptor's two words; MMU_UD: not on this CPU. */
int cpu_invpcid(struct cpu *cpu, uint64_t type, uint64_t pcid, uint64_t va);
/* Forget everything, global pages and all PCIDs. */
void cpu_flush(struct cpu *cpu);

/* For tests that wrote cpu->regs by hand: takes it as it is, and flushes. */
void cpu_regs_written(struct cpu *cpu);

#endif
