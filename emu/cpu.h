/*
 * cpu.h - one emulated CPU: registers, loads, stores and fetches, shootdown.
 *
 * A CPU belongs to the one host thread that runs it. That thread brackets its
 * accesses:
 *
 *	cpu_enter(cpu);			takes pending invalidations
 *	cpu_load64(cpu, va, &v) ...	no lock, no call when the TLB hits
 *	cpu_poll(cpu);			every 64 accesses or oftener
 *	cpu_leave(cpu);			before any lock, wait or system call
 *
 * Between enter and leave the CPU may hold translations in use; a shootdown
 * waits until it polls or leaves. Outside, invalidations just collect in its
 * inbox. Therefore a host thread must never block between the two, and
 * whoever sends a shootdown must itself be outside.
 */
#ifndef EMU_CPU_H
#define EMU_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "mmu.h"
#include "ram.h"
#include "tlb.h"

#define CPU_MAX			64	/* CPUs of one machine */
#define CPU_INBOX_MAX		64	/* more at once: the TLB is flushed */

/* struct cpu { ... struct page_fault fault; struct mmu_regs regs; ... }; */

/* Power on: paging off, TLB empty, outside. */
void cpu_init(struct cpu *cpu, struct ram *ram, unsigned id);

/* Control registers; each flushes the TLB. Owner only, inside or outside. */
void cpu_set_paging(struct cpu *cpu, bool pae_long_mode);
void cpu_set_cr3(struct cpu *cpu, uint64_t cr3);

void cpu_enter(struct cpu *cpu);
void cpu_leave(struct cpu *cpu);
static inline void cpu_poll(struct cpu *cpu);

/*
 * Accesses at user privilege. => inside. 0, or -1 with cpu->fault filled in
 * and not a byte moved: both pages of an access that crosses are checked
 * first. Make the access again once the fault is settled.
 */
static inline int cpu_load8(struct cpu *cpu, uint64_t va, uint8_t *v);
static inline int cpu_load16/32/64...
static inline int cpu_store8/16/32/64(struct cpu *cpu, uint64_t va, uintN_t v);
int cpu_load(struct cpu *cpu, uint64_t va, void *buf, unsigned len);  /* 1..64 */
int cpu_store(struct cpu *cpu, uint64_t va, const void *buf, unsigned len);
int cpu_fetch(struct cpu *cpu, uint64_t va, void *buf, unsigned len);

/* The same for a run of bytes inside one page, any length up to 4096: the
 * host address of the first, good until the next poll or leave; NULL: fault. */
void *cpu_ptr(struct cpu *cpu, uint64_t va, enum mmu_access access);

/* INVLPG and a full flush, on the owner's own TLB. */
void cpu_invlpg(struct cpu *cpu, uint64_t va);
void cpu_flush(struct cpu *cpu);

/*
 * Shootdown: collect what was changed in page tables, send it once.
 *
 *	struct shootdown sd = SHOOTDOWN_INIT;
 *	... change an entry ...; shootdown_add(&sd, cr3, va);
 *	shootdown_send(&sd, cpus, ncpus, true);
 */
struct shootdown {
	unsigned n;		/* over SHOOTDOWN_MAX: flush whole address spaces */
	struct { uint64_t cr3, va; } e[SHOOTDOWN_MAX];
};
void shootdown_add(struct shootdown *sd, uint64_t cr3, uint64_t va);
/* a whole address space is gone or changed */
void shootdown_add_all(struct shootdown *sd, uint64_t cr3);
/*
 * Post to every CPU whose CR3 is concerned. @wait: return only when no CPU
 * can use a translation collected in @sd any more, and every access it made
 * through one is done and visible. => caller is outside; resets @sd.
 */
void shootdown_send(struct shootdown *sd, struct cpu *const *cpus,
		    unsigned ncpus, bool wait);
#endif
