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
 *
 * Who may touch what: everything is the owner's, without a lock, but
 * regs.cr3, inside, attention, keeps and handled, which senders read or set as
 * atomics (the protocol: shootdown.c), and the inbox, which has a
 * spinlock: a leaf, held for a few instructions, so any lock may be held
 * when it is taken.
 */
#ifndef EMU_CPU_H
#define EMU_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "mmu.h"
#include "pde.h"
#include "ram.h"
#include "regs.h"
#include "tlb.h"

#define CPU_MAX			64	/* CPUs of one machine */
#define CPU_INBOX_MAX		64	/* more at once: the TLB is flushed */
#define CPU_LINE		64	/* keeps apart what others write */

/* What the TLB keeps over a change of CR3: cpu->keeps. */
#define CPU_KEEPS_GLOBAL	1u	/* global pages (CR4.PGE) */
#define CPU_KEEPS_SPACES	2u	/* those of other PCIDs (CR4.PCIDE) */
#define SHOOTDOWN_MAX		64

/*
 * Counted by the owner; others may read them with relaxed atomics. Hits are
 * not counted: that would cost as much as the hit.
 */
struct cpu_stats {
	uint64_t misses;	/* accesses that found a page not in the TLB */
	uint64_t walks;		/* of page tables, the checking ones too */
	uint64_t faults;
	uint64_t flushes;	/* INVPCID, and writes of control registers */
	uint64_t invlpgs;	/* single pages, by INVLPG or by shootdown */
	uint64_t shootdowns;	/* times the inbox was emptied */
};

/* What others want forgotten. Everything here is under lock. */
struct cpu_inbox {
	uint32_t lock;
	unsigned n;
	bool all;		/* forget everything */
	uint64_t posted;	/* shootdowns sent here since power on */
	uint64_t va[CPU_INBOX_MAX];
};

struct model;

struct cpu {
	struct tlb tlb;		/* empty as long as there is a model */
	struct pde_cache pde;	/* likewise */
	struct mmu_plan plan;	/* what regs mean: regs.c */
	struct mmu_regs regs;	/* cr3 is read by senders of shootdowns */
	struct model *model;	/* NULL: full speed */
	uint64_t cr2;
	struct page_fault fault;	/* of the last access that said -1 */
	struct ram *ram;
	unsigned id;
	struct cpu_stats stats;

	char pad0[CPU_LINE];
	uint32_t inside;	/* by the owner: between enter and leave */
	uint32_t attention;	/* by senders: the inbox is not empty */
	uint32_t keeps;		/* by the owner: CPU_KEEPS_* */
	uint64_t handled;	/* by the owner: posted, as drained */
	char pad1[CPU_LINE];
	struct cpu_inbox inbox;
	char pad2[CPU_LINE];
};

/*
 * Power on: user privilege, paging off, TLB empty, outside. May be done again
 * when nobody sends. => @ram outlives the CPU.
 */
void cpu_init(struct cpu *cpu, struct ram *ram, unsigned id);

/*
 * The out-of-line half of what is below, not for callers. Cold, so that the
 * compiler keeps the code that hits in one piece with no jump taken.
 */
#define CPU_COLD	__attribute__((noinline, cold))
#define CPU_MISS	__attribute__((noinline))	/* rare, not slow */

/* In two registers, so that a miss need not go through memory. */
struct cpu_value {
	uint64_t v;
	int64_t err;		/* 0 or -1 */
};

CPU_COLD void cpu_drain(struct cpu *cpu);
CPU_MISS void *cpu_ptr_miss(struct cpu *cpu, uint64_t va,
			    enum mmu_access access);
CPU_MISS struct cpu_value cpu_load_miss(struct cpu *cpu, uint64_t va,
					unsigned len);
CPU_MISS int cpu_store_miss(struct cpu *cpu, uint64_t va, unsigned len,
			    uint64_t v);

/*
 * The exchange is a full barrier: inside is seen set before attention is read
 * (Dekker with shootdown_send(): shootdown.c).
 */
static inline void cpu_enter(struct cpu *cpu)
{
	__atomic_exchange_n(&cpu->inside, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&cpu->attention, __ATOMIC_SEQ_CST))
		cpu_drain(cpu);
}

/* Release: who sees us outside sees every access we made. */
static inline void cpu_leave(struct cpu *cpu)
{
	__atomic_store_n(&cpu->inside, 0, __ATOMIC_RELEASE);
}

static inline void cpu_poll(struct cpu *cpu)
{
	if (__builtin_expect(__atomic_load_n(&cpu->attention,
					     __ATOMIC_RELAXED), 0))
		cpu_drain(cpu);
}

/*
 * Accesses. => inside. 0, or -1 with cpu->fault and CR2 filled in and not a
 * byte moved: both pages of an access that crosses are checked first. Make
 * the access again once the fault is settled.
 *
 * A naturally aligned one that hits the TLB is done in line and is atomic, as
 * on the real CPU.
 */
#define CPU_ACCESSORS(bits)						\
static inline int cpu_load##bits(struct cpu *cpu, uint64_t va,		\
				 uint##bits##_t *v)			\
{									\
	const struct tlb_entry *e = tlb_entry(&cpu->tlb, va, MMU_READ);	\
	struct cpu_value got;						\
									\
	if (tlb_hit(e, va, sizeof(*v))) {				\
		*v = __atomic_load_n((uint##bits##_t *)tlb_host(e, va),	\
				     __ATOMIC_RELAXED);			\
		return 0;						\
	}								\
	got = cpu_load_miss(cpu, va, sizeof(*v));			\
	if (got.err)							\
		return -1;						\
	*v = got.v;							\
	return 0;							\
}									\
									\
static inline int cpu_store##bits(struct cpu *cpu, uint64_t va,	\
				  uint##bits##_t v)			\
{									\
	const struct tlb_entry *e = tlb_entry(&cpu->tlb, va, MMU_WRITE); \
									\
	if (tlb_hit(e, va, sizeof(v))) {				\
		__atomic_store_n((uint##bits##_t *)tlb_host(e, va), v,	\
				 __ATOMIC_RELAXED);			\
		return 0;						\
	}								\
	return cpu_store_miss(cpu, va, sizeof(v), v);			\
}

CPU_ACCESSORS(8)
CPU_ACCESSORS(16)
CPU_ACCESSORS(32)
CPU_ACCESSORS(64)

/* The same for 1 to 64 bytes, at any address. */
int cpu_load(struct cpu *cpu, uint64_t va, void *buf, unsigned len);
int cpu_store(struct cpu *cpu, uint64_t va, const void *buf, unsigned len);
int cpu_fetch(struct cpu *cpu, uint64_t va, void *buf, unsigned len);

/*
 * For a run of bytes inside one page: the host address of the first, good for
 * this kind of access until the next poll, leave or change of a control
 * register; NULL: a fault. MMU_WRITE sets D, as if something were stored.
 * => inside.
 */
static inline void *cpu_ptr(struct cpu *cpu, uint64_t va,
			    enum mmu_access access)
{
	void *p = tlb_lookup(&cpu->tlb, va, access, 1);

	return p ? p : cpu_ptr_miss(cpu, va, access);
}

/*
 * Model the translation caches of a real part, count exactly, and have no
 * other TLB; see model.h. The model is the caller's, and outlives its use;
 * NULL: back to full speed. => owner, inside or outside; starts empty.
 */
void cpu_set_model(struct cpu *cpu, struct model *model);

/*
 * One access as a judge sees it: everything an access of @len bytes (1 to 64)
 * does but moving them. @flags: MMU_IMPLICIT, MMU_STACK. => inside. Always
 * 0 <= out->kind <= MMU_SS; CR2 and cpu->fault as ever.
 */
void cpu_access(struct cpu *cpu, uint64_t va, unsigned len,
		enum mmu_access access, unsigned flags,
		struct mmu_outcome *out);

/*
 * Shootdown: collect what was changed in page tables, send it once.
 *
 *	struct shootdown sd = SHOOTDOWN_INIT;
 *	... change an entry ...; shootdown_add(&sd, cr3, va);
 *	shootdown_send(&sd, cpus, ncpus, true);
 *
 * Entries are to be changed by sequentially consistent atomic exchange. A
 * frame that was a page table must not be used for anything else before a
 * send with @wait has returned: a CPU may be walking it until then.
 *
 * When more than SHOOTDOWN_MAX pages are added, the pages become whole
 * address spaces; when there are more than SHOOTDOWN_MAX of those, it becomes
 * everything, on every CPU.
 */
struct shootdown {
	unsigned n;		/* 0: nothing collected */
	unsigned nwhole;	/* the first so many are whole spaces */
	bool everything;
	struct {
		uint64_t cr3, va;
	} e[SHOOTDOWN_MAX];
};

#define SHOOTDOWN_INIT	{ .n = 0 }

/* What SHOOTDOWN_INIT does, without clearing the array. */
static inline void shootdown_init(struct shootdown *sd)
{
	sd->n = 0;
	sd->nwhole = 0;
	sd->everything = false;
}

void shootdown_add(struct shootdown *sd, uint64_t cr3, uint64_t va);
/* a whole address space is gone or changed */
void shootdown_add_all(struct shootdown *sd, uint64_t cr3);
/*
 * Post to every CPU whose CR3 is concerned. @wait: return only when no CPU
 * can use a translation collected in @sd any more, and every access it made
 * through one is done and visible. => caller is outside; @ncpus <= CPU_MAX;
 * resets @sd. Any number of threads may send at once.
 */
void shootdown_send(struct shootdown *sd, struct cpu *const *cpus,
		    unsigned ncpus, bool wait);

#endif
