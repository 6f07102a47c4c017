/*
 * plan.c - what the control registers mean for a walk.
 *
 * In: struct mmu_regs. Out: struct mmu_plan: the paging mode, which bits are
 * reserved, and for each combination of rights which accesses are allowed.
 * All that the manual hangs on CPL, AC, WP, SMEP, SMAP, NXE, PGE, PSE, PKRU
 * and PKRS is decided here, once for each change of a register; a walk, and
 * the TLB, only look it up. No state, no locks.
 */
#include "mmu.h"

#include <string.h>

#define SET(access)	(1u << (access))
#define DATA		(SET(MMU_READ) | SET(MMU_WRITE))

/* SDM 3A 4.1.1 */
static enum mmu_mode plan_mode(const struct mmu_regs *r)
{
	if (!(r->cr0 & X86_CR0_PG))
		return MMU_OFF;
	if (!(r->cr4 & X86_CR4_PAE))
		return MMU_32;
	if (!(r->efer & X86_EFER_LMA))
		return MMU_PAE;
	return r->cr4 & X86_CR4_LA57 ? MMU_57 : MMU_64;
}

/* Bits @from to @to, both included; none if they are the wrong way round. */
static uint64_t bits(unsigned from, unsigned to)
{
	return from > to ? 0 : (~0ull >> (63 - to)) & (~0ull << from);
}

/* SDM 3A 4.3 (tables 4-4 to 4-6), 4.4.2, 4.5.4 */
static void plan_reserved(struct mmu_plan *p, const struct mmu_regs *r)
{
	unsigned max = r->maxphyaddr ? r->maxphyaddr : X86_MAXPHYADDR;
	unsigned top = p->mode == MMU_PAE ? 62 : 51;

	if (p->mode == MMU_32) {
		/* PSE-36: address bits 39:32 stand in bits 20:13. */
		if (max > 40)
			max = 40;
		if (r->lacks & MMU_NO_PSE36)
			max = 32;
		p->rsvd_4m = bits(max - 19, 21);
		p->ps = r->cr4 & X86_CR4_PSE ? X86_PTE_PS : 0;
		return;
	}
	p->rsvd = bits(max, top);
	if (r->efer & X86_EFER_NXE)
		p->nx = X86_PTE_NX;
	else
		p->rsvd |= X86_PTE_NX;
	p->ps = X86_PTE_PS;
	p->ps_1g = r->lacks & MMU_NO_1G ? 0 : X86_PTE_PS;
}

void mmu_plan_root(struct mmu_plan *plan, const struct mmu_regs *regs)
{
	if (plan->mode == MMU_32)
		plan->root = regs->cr3 & X86_PTE32_ADDR;
	else
		plan->root = regs->cr3 & X86_PTE64_ADDR;
	memcpy(plan->pdpte, regs->pdpte, sizeof(plan->pdpte));
}

/* SDM 3A 4.6.1, without protection keys; @user: a user-mode access. */
static unsigned plan_allow(const struct mmu_regs *r, bool user, bool implicit,
			   unsigned rights)
{
	bool fetch = !(rights & MMU_RIGHT_NX);
	bool page = rights & MMU_RIGHT_U, data;
	unsigned set = 0;

	if (user) {
		data = page;
		fetch &= page;
	} else {
		data = !page || !(r->cr4 & X86_CR4_SMAP) ||
		       (r->ac && !implicit);
		fetch &= !page || !(r->cr4 & X86_CR4_SMEP);
	}
	if (data)
		set |= SET(MMU_READ);
	if (data && ((rights & MMU_RIGHT_W) ||
		     (!user && !(r->cr0 & X86_CR0_WP))))
		set |= SET(MMU_WRITE);
	if (fetch)
		set |= SET(MMU_FETCH);
	return set;
}

/* The keys whose bit is set in @reg, @first being key 0's. */
static uint16_t plan_keys(uint32_t reg, uint32_t first)
{
	uint16_t keys = 0;
	unsigned key;

	for (key = 0; key < 16; key++)
		if (reg & first << 2 * key)
			keys |= 1u << key;
	return keys;
}

/* SDM 3A 4.6.2: PKRU for user pages, PKRS for the others, long mode only. */
static void plan_pk(struct mmu_plan *p, const struct mmu_regs *r)
{
	bool wp = r->cr0 & X86_CR0_WP, user;
	unsigned implicit;

	if (p->mode < MMU_64 || !(r->cr4 & (X86_CR4_PKE | X86_CR4_PKS)))
		return;
	p->pk = true;
	for (implicit = 0; implicit < 2; implicit++) {
		user = !p->supervisor && !implicit;
		if (r->cr4 & X86_CR4_PKE) {
			p->pk_ad[implicit][1] = plan_keys(r->pkru, 1);
			if (wp || user)
				p->pk_wd[implicit][1] = plan_keys(r->pkru, 2);
		}
		if (r->cr4 & X86_CR4_PKS) {
			p->pk_ad[implicit][0] = plan_keys(r->pkrs, 1);
			if (wp)
				p->pk_wd[implicit][0] = plan_keys(r->pkrs, 2);
		}
	}
}

void mmu_plan(struct mmu_plan *plan, const struct mmu_regs *regs)
{
	unsigned rights;

	memset(plan, 0, sizeof(*plan));
	plan->mode = plan_mode(regs);
	plan->supervisor = regs->cpl < 3;
	/* SDM 3A 4.7, the I/D flag */
	plan->fetches = (regs->cr4 & X86_CR4_SMEP) ||
			((regs->cr4 & X86_CR4_PAE) &&
			 (regs->efer & X86_EFER_NXE));
	plan->global = regs->cr4 & X86_CR4_PGE ? X86_PTE_G : 0;
	plan->narrow = !mmu_wide(regs);
	mmu_plan_root(plan, regs);
	plan_reserved(plan, regs);
	for (rights = 0; rights < 8; rights++) {
		plan->allow[0][rights] =
			plan_allow(regs, !plan->supervisor, false, rights);
		plan->allow[1][rights] =
			plan_allow(regs, false, true, rights);
	}
	plan_pk(plan, regs);
}

unsigned mmu_allowed(const struct mmu_plan *plan, unsigned flags,
		     unsigned rights, unsigned key)
{
	unsigned implicit = flags & MMU_IMPLICIT;
	unsigned user = !!(rights & MMU_RIGHT_U);
	unsigned set = plan->allow[implicit][rights];

	if (plan->pk && plan->pk_ad[implicit][user] >> key & 1)
		set &= ~DATA;
	if (plan->pk && plan->pk_wd[implicit][user] >> key & 1)
		set &= ~SET(MMU_WRITE);
	return set;
}
