/*
 * regs.c - control registers: what may be written to them, and what that
 * makes the CPU forget.
 *
 * A write is checked whole before anything changes (SDM 2A/2B, the #GP lists
 * of MOV to control registers, WRMSR; 3A 2.5, 4.1.1 to 4.1.4); then it takes
 * effect, PDPTEs are loaded if PAE says so (4.4.1), what has to be forgotten
 * is (4.10.4.1; more may be at any time), and the plan is made anew.
 *
 * CR3 is read by senders of shootdowns; the order of its write and the flush
 * matters: cpu_switch(). So does regs.cr4, as cpu->keeps.
 */
#include "regs.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "cpu.h"
#include "model.h"
#include "walk.h"

#define CR0_KNOWN	(X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | \
			 X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | \
			 X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
#define CR4_KNOWN	(X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD |	\
			 X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |	\
			 X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE |	\
			 X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |		\
			 X86_CR4_UMIP | X86_CR4_LA57 |			\
			 X86_CR4_FSGSBASE | X86_CR4_PCIDE |		\
			 X86_CR4_OSXSAVE | X86_CR4_SMEP | X86_CR4_SMAP | \
			 X86_CR4_PKE | X86_CR4_PKS)

/* Writes of these load the PDPTEs (SDM 3A 4.4.1). */
#define CR0_PDPTE	(X86_CR0_CD | X86_CR0_NW | X86_CR0_PG)
#define CR4_PDPTE	(X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)

#define PDPTE_RSVD	0x1e6ull	/* bits 2:1 and 8:5 */

static unsigned regs_maxphyaddr(const struct mmu_regs *r)
{
	return r->maxphyaddr ? r->maxphyaddr : X86_MAXPHYADDR;
}

/* Bits of physical addresses that this CPU does not have. */
static uint64_t regs_beyond(const struct mmu_regs *r)
{
	return ~0ull << regs_maxphyaddr(r);
}

/*
 * The registers mean something else now. If other accesses are allowed than
 * before, or addresses are cut otherwise, the front of the TLB, which knows
 * only yes and no, has to go; the modelled TLB keeps rights, and stays.
 */
static void cpu_replan(struct cpu *cpu)
{
	struct mmu_plan old = cpu->plan;

	mmu_plan(&cpu->plan, &cpu->regs);
	cpu->pde.shift = cpu->plan.mode == MMU_32 ? 22 : 21;
	if (memcmp(&old, &cpu->plan, sizeof(old))) {
		tlb_flush(&cpu->tlb);
		pde_flush(&cpu->pde);
	}
}

static void cpu_count_flush(struct cpu *cpu)
{
	__atomic_store_n(&cpu->stats.flushes, cpu->stats.flushes + 1,
			 __ATOMIC_RELAXED);
	tlb_flush(&cpu->tlb);
	pde_flush(&cpu->pde);
}

void cpu_flush(struct cpu *cpu)
{
	cpu_count_flush(cpu);
	if (cpu->model)
		model_flush_all(cpu->model);
}

/* What the TLB keeps over a change of CR3: shootdown.c wants to know. */
static void cpu_set_keeps(struct cpu *cpu)
{
	uint32_t keeps = 0;

	if (cpu->regs.cr4 & X86_CR4_PGE)
		keeps |= CPU_KEEPS_GLOBAL;
	if (cpu->regs.cr4 & X86_CR4_PCIDE)
		keeps |= CPU_KEEPS_SPACES;
	__atomic_exchange_n(&cpu->keeps, keeps, __ATOMIC_SEQ_CST);
}

/* => what the four entries at CR3 are, read each at once, or false: #GP. */
static bool cpu_read_pdptes(const struct cpu *cpu, uint64_t cr3,
			    uint64_t pdpte[4])
{
	uint64_t root = cr3 & X86_CR3_PAE_ROOT;
	uint64_t rsvd = PDPTE_RSVD | regs_beyond(&cpu->regs);
	unsigned i;

	for (i = 0; i < 4; i++) {
		pdpte[i] = 0;
		if (root < cpu->ram->size)
			pdpte[i] = __atomic_load_n((const uint64_t *)
					(cpu->ram->base + root) + i,
					__ATOMIC_SEQ_CST);
		if ((pdpte[i] & X86_PTE_P) && (pdpte[i] & rsvd))
			return false;
	}
	return true;
}

static bool regs_pae(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) &&
	       !(efer & X86_EFER_LMA);
}

/* LMA is LME and PG (SDM 3A 9.8.5). */
static uint64_t efer_with(uint64_t efer, uint64_t cr0)
{
	efer &= ~X86_EFER_LMA;
	if ((efer & X86_EFER_LME) && (cr0 & X86_CR0_PG))
		efer |= X86_EFER_LMA;
	return efer;
}

/* May PG be what it is in @new? SDM 3A 4.1.2, 2.5. */
static bool cr0_paging_ok(const struct mmu_regs *r, uint64_t new)
{
	if (new & X86_CR0_PG) {
		if (!(new & X86_CR0_PE))
			return false;
		return (r->cr0 & X86_CR0_PG) || !(r->efer & X86_EFER_LME) ||
		       (r->cr4 & X86_CR4_PAE);
	}
	/* Off: not with PCIDs, and from 32-bit code only. */
	return !(r->cr0 & X86_CR0_PG) ||
	       (!(r->cr4 & X86_CR4_PCIDE) && !mmu_wide(r));
}

int cpu_mov_cr0(struct cpu *cpu, uint64_t value)
{
	struct mmu_regs *r = &cpu->regs;
	uint64_t new, efer, pdpte[4], old = r->cr0;

	if (!mmu_wide(r))
		value = (uint32_t)value;
	if (value >> 32)
		return MMU_GP;
	new = (value & CR0_KNOWN) | X86_CR0_ET;
	if ((new & X86_CR0_NW) && !(new & X86_CR0_CD))
		return MMU_GP;
	if (!cr0_paging_ok(r, new))
		return MMU_GP;
	efer = efer_with(r->efer, new);
	if (regs_pae(new, r->cr4, efer) && ((new ^ old) & CR0_PDPTE)) {
		if (!cpu_read_pdptes(cpu, r->cr3, pdpte))
			return MMU_GP;
		memcpy(r->pdpte, pdpte, sizeof(pdpte));
	}
	r->cr0 = new;
	r->efer = efer;
	if ((new ^ old) & X86_CR0_PG)
		cpu_flush(cpu);
	cpu_replan(cpu);
	return 0;
}

/*
 * The flush comes first: whoever sees the new CR3 may pass us by with a
 * shootdown of the old space. The exchange is a full barrier before the next
 * walk: whoever saw the old CR3 and passed us by with one of the new space
 * has made its change visible to that walk, and to the loading of PDPTEs.
 * (See shootdown.c.)
 */
static int cpu_switch(struct cpu *cpu, uint64_t cr3, bool keep)
{
	struct mmu_regs *r = &cpu->regs;
	uint64_t pdpte[4], old = r->cr3;

	cpu_count_flush(cpu);
	__atomic_exchange_n(&r->cr3, cr3, __ATOMIC_SEQ_CST);
	if (regs_pae(r->cr0, r->cr4, r->efer)) {
		if (!cpu_read_pdptes(cpu, cr3, pdpte)) {
			__atomic_exchange_n(&r->cr3, old, __ATOMIC_SEQ_CST);
			return MMU_GP;
		}
		memcpy(r->pdpte, pdpte, sizeof(pdpte));
	}
	if (cpu->model && !keep)
		model_flush_pcid(cpu->model, mmu_pcid(r), false);
	mmu_plan_root(&cpu->plan, r);
	return 0;
}

/* SDM 3A 4.10.4.1, 2B MOV; reserved: table 4-12, 3A 2.5 */
int cpu_mov_cr3(struct cpu *cpu, uint64_t value)
{
	struct mmu_regs *r = &cpu->regs;
	bool keep = false;

	if (!mmu_wide(r))
		value = (uint32_t)value;
	if (r->cr4 & X86_CR4_PCIDE) {
		keep = value & X86_CR3_NOFLUSH;
		value &= ~X86_CR3_NOFLUSH;
	}
	if (value & regs_beyond(r))
		return MMU_GP;
	return cpu_switch(cpu, value, keep);
}

static uint64_t cr4_known(const struct mmu_regs *r)
{
	uint64_t known = CR4_KNOWN;

	known &= ~(r->lacks & MMU_NO_LA57 ? X86_CR4_LA57 : 0);
	known &= ~(r->lacks & MMU_NO_PCID ? X86_CR4_PCIDE : 0);
	known &= ~(r->lacks & MMU_NO_SMEP ? X86_CR4_SMEP : 0);
	known &= ~(r->lacks & MMU_NO_SMAP ? X86_CR4_SMAP : 0);
	known &= ~(r->lacks & MMU_NO_PKU ? X86_CR4_PKE : 0);
	known &= ~(r->lacks & MMU_NO_PKS ? X86_CR4_PKS : 0);
	return known;
}

/* SDM 3A 2.5, 4.1.2, 4.10.1; 2B MOV */
static bool cr4_ok(const struct mmu_regs *r, uint64_t new)
{
	uint64_t up = new & ~r->cr4, change = new ^ r->cr4;
	bool lma = r->efer & X86_EFER_LMA;

	if (new & ~cr4_known(r))
		return false;
	if (lma && (!(new & X86_CR4_PAE) || (change & X86_CR4_LA57)))
		return false;
	return !(up & X86_CR4_PCIDE) || (lma && !(r->cr3 & X86_CR3_PCID));
}

/* What the manual has flushed, and what makes old entries meaningless. */
static bool cr4_flushes(uint64_t old, uint64_t new)
{
	return ((old ^ new) & (X86_CR4_PGE | X86_CR4_PAE | X86_CR4_PSE |
			       X86_CR4_LA57)) ||
	       (old & ~new & X86_CR4_PCIDE) || (new & ~old & X86_CR4_SMEP);
}

int cpu_mov_cr4(struct cpu *cpu, uint64_t value)
{
	struct mmu_regs *r = &cpu->regs;
	uint64_t pdpte[4], old = r->cr4;

	if (!mmu_wide(r))
		value = (uint32_t)value;
	if (!cr4_ok(r, value))
		return MMU_GP;
	if (regs_pae(r->cr0, value, r->efer) && ((old ^ value) & CR4_PDPTE)) {
		if (!cpu_read_pdptes(cpu, r->cr3, pdpte))
			return MMU_GP;
		memcpy(r->pdpte, pdpte, sizeof(pdpte));
	}
	r->cr4 = value;
	cpu_set_keeps(cpu);
	if (cr4_flushes(old, value))
		cpu_flush(cpu);
	cpu_replan(cpu);
	return 0;
}

/* LMA is not for writing; LME not while paging (SDM 3A 4.1.2). */
int cpu_wrmsr_efer(struct cpu *cpu, uint64_t value)
{
	struct mmu_regs *r = &cpu->regs;
	uint64_t known = X86_EFER_SCE | X86_EFER_LME | X86_EFER_NXE |
			 X86_EFER_LMA, old = r->efer;

	if (r->lacks & MMU_NO_NX)
		known &= ~X86_EFER_NXE;
	if (value & ~known)
		return MMU_GP;
	if ((r->cr0 & X86_CR0_PG) && ((value ^ old) & X86_EFER_LME))
		return MMU_GP;
	r->efer = (value & ~X86_EFER_LMA) | (old & X86_EFER_LMA);
	if ((old ^ r->efer) & X86_EFER_NXE)
		cpu_flush(cpu);
	cpu_replan(cpu);
	return 0;
}

int cpu_wrpkru(struct cpu *cpu, uint32_t value)
{
	if (!(cpu->regs.cr4 & X86_CR4_PKE))
		return MMU_UD;
	cpu->regs.pkru = value;
	cpu_replan(cpu);
	return 0;
}

int cpu_wrmsr_pkrs(struct cpu *cpu, uint64_t value)
{
	if ((cpu->regs.lacks & MMU_NO_PKS) || value >> 32)
		return MMU_GP;
	cpu->regs.pkrs = value;
	cpu_replan(cpu);
	return 0;
}

void cpu_set_cpl(struct cpu *cpu, unsigned cpl)
{
	assert(cpl < 4);
	cpu->regs.cpl = cpl;
	cpu_replan(cpu);
}

void cpu_set_ac(struct cpu *cpu, bool ac)
{
	cpu->regs.ac = ac;
	cpu_replan(cpu);
}

void cpu_set_compat(struct cpu *cpu, bool compat)
{
	cpu->regs.compat = compat;
	cpu_replan(cpu);
}

void cpu_regs_written(struct cpu *cpu)
{
	cpu_set_keeps(cpu);
	cpu_flush(cpu);
	cpu_replan(cpu);
}

void cpu_set_features(struct cpu *cpu, unsigned maxphyaddr, uint32_t lacks)
{
	assert(!maxphyaddr || (maxphyaddr >= 32 &&
			       maxphyaddr <= X86_MAXPHYADDR_MAX));
	cpu->regs.maxphyaddr = maxphyaddr;
	cpu->regs.lacks = lacks;
	cpu_regs_written(cpu);
}

void cpu_set_mode(struct cpu *cpu, enum mmu_mode mode)
{
	struct mmu_regs *r = &cpu->regs;

	r->cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_WP;
	if (mode != MMU_OFF)
		r->cr0 |= X86_CR0_PG;
	r->cr4 = mode == MMU_32 ? X86_CR4_PSE : 0;
	r->efer = 0;
	if (mode >= MMU_PAE) {
		r->cr4 = X86_CR4_PAE;
		r->efer = r->lacks & MMU_NO_NX ? 0 : X86_EFER_NXE;
	}
	if (mode >= MMU_64)
		r->efer |= X86_EFER_LME | X86_EFER_LMA;
	if (mode == MMU_57)
		r->cr4 |= X86_CR4_LA57;
	r->compat = false;
	memset(r->pdpte, 0, sizeof(r->pdpte));
	__atomic_exchange_n(&r->cr3, 0, __ATOMIC_SEQ_CST);
	cpu_regs_written(cpu);
}

void cpu_set_paging(struct cpu *cpu, bool long_mode)
{
	cpu_set_mode(cpu, long_mode ? MMU_64 : MMU_32);
}

int cpu_set_cr3(struct cpu *cpu, uint64_t cr3)
{
	return cpu_mov_cr3(cpu, cr3);
}

/*
 * The page, in the present PCID and where it is global, and all of the
 * paging-structure caches for that PCID. The address is one of the space: in
 * long mode it has 64 bits, though 32-bit code should run here just now.
 */
void cpu_forget(struct cpu *cpu, uint64_t va)
{
	if (!(cpu->regs.efer & X86_EFER_LMA))
		va = (uint32_t)va;
	__atomic_store_n(&cpu->stats.invlpgs, cpu->stats.invlpgs + 1,
			 __ATOMIC_RELAXED);
	tlb_invalidate(&cpu->tlb, va);
	pde_flush(&cpu->pde);
	if (cpu->model)
		model_invlpg(cpu->model, mmu_pcid(&cpu->regs), va, true);
}

/* An address that is not canonical is none (SDM 2A INVLPG). */
void cpu_invlpg(struct cpu *cpu, uint64_t va)
{
	va = mmu_linear(&cpu->regs, va);
	if (walk_canonical(&cpu->plan, va))
		cpu_forget(cpu, va);
}

/* SDM 2A INVPCID */
static int invpcid_check(const struct cpu *cpu, uint64_t type, uint64_t pcid,
			 uint64_t va)
{
	const struct mmu_regs *r = &cpu->regs;

	if (r->lacks & MMU_NO_INVPCID)
		return MMU_UD;
	if (type > 3 || pcid >> 12)
		return MMU_GP;
	if (type < 2 && pcid && !(r->cr4 & X86_CR4_PCIDE))
		return MMU_GP;
	if (!type && mmu_wide(r) && !walk_canonical(&cpu->plan, va))
		return MMU_GP;
	return 0;
}

int cpu_invpcid(struct cpu *cpu, uint64_t type, uint64_t pcid, uint64_t va)
{
	int err = invpcid_check(cpu, type, pcid, va);

	if (err)
		return err;
	if (type == 2) {
		cpu_flush(cpu);
		return 0;
	}
	/* The front does not know PCIDs: it goes, whichever is meant. */
	cpu_count_flush(cpu);
	if (!cpu->model)
		return 0;
	if (type == 0)
		model_invlpg(cpu->model, pcid, mmu_linear(&cpu->regs, va),
			     false);
	else if (type == 1)
		model_flush_pcid(cpu->model, pcid, false);
	else
		model_flush_nonglobal(cpu->model);
	return 0;
}
