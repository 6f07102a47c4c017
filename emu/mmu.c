/*
 * mmu.c - the page-table walker.
 *
 * An address goes down the levels: at each one entry is read from RAM, atomic
 * and once, and judged as read (SDM 3A 4.3 to 4.6; page faults 4.7). What has
 * been read is kept in struct walk. Only when the whole walk succeeds are A
 * and D set (SDM 3A 4.8), by compare-and-exchange against what was read, from
 * the root to the leaf. If an entry has changed meanwhile, nothing is written
 * to it and the walk starts again; so the walker never brings back an entry
 * that the pager has taken away, and a D bit it set was on a leaf that was
 * mapped at that moment.
 *
 * Invariants: a walk that faults has set no bit by its own judgement; A on
 * upper levels may stay behind if the leaf was pulled away in between, which
 * the manual allows (accessed may be set for a walk that goes nowhere).
 *
 * Entries are read sequentially consistent (on x86 a plain load): the walk
 * after a write of CR3, and the reading of CR3 by who changes an entry, are
 * Dekker's pair; see shootdown.c. Locks: none.
 */
#include "mmu.h"

#include <stddef.h>

#include "ram.h"
#include "walk.h"

#define MMU_AGAIN	1	/* an entry changed under the walk */

/*
 * The functions below are inlined into one walker for each mode, with a
 * constant @mode, so that no format is decided on while walking.
 */
#define MMU_INLINE	static inline __attribute__((always_inline))

/* What the entries read so far come to. */
struct sum {
	uint64_t all;		/* AND of them: U, W, A */
	uint64_t any;		/* OR of them: NX */
	uint64_t leaf;		/* the last */
};

MMU_INLINE bool mode_long(enum mmu_mode mode)
{
	return mode >= MMU_64;
}

MMU_INLINE bool mode_wide(enum mmu_mode mode)
{
	return mode != MMU_32;
}

/* Levels whose entries are read; PAE's PDPTEs are in registers. */
MMU_INLINE unsigned mode_levels(enum mmu_mode mode)
{
	return mode == MMU_57 ? 5 : mode == MMU_64 ? 4 : 2;
}

static bool walk_user(const struct walk *w)
{
	return !w->plan->supervisor && !(w->flags & MMU_IMPLICIT);
}

/*
 * @why: X86_PF_P, with RSVD or PK, or 0 for absence. I is told only where
 * fetches can be told apart at all (SDM 3A 4.7).
 */
static __attribute__((noinline, cold)) int
walk_fault(const struct walk *w, uint32_t why, struct page_fault *pf)
{
	pf->kind = MMU_PF;
	pf->addr = w->va;
	pf->error = why;
	if (w->access == MMU_WRITE)
		pf->error |= X86_PF_W;
	if (walk_user(w))
		pf->error |= X86_PF_U;
	if (w->access == MMU_FETCH && w->plan->fetches)
		pf->error |= X86_PF_I;
	return -1;
}

__attribute__((cold)) int walk_refuse(uint64_t va, unsigned flags,
				      struct page_fault *pf)
{
	pf->kind = flags & MMU_STACK ? MMU_SS : MMU_GP;
	pf->addr = va;
	pf->error = 0;
	return -1;
}

MMU_INLINE uint64_t entry_load(const void *where, bool wide)
{
	if (wide)
		return __atomic_load_n((const uint64_t *)where,
				       __ATOMIC_SEQ_CST);
	return __atomic_load_n((const uint32_t *)where, __ATOMIC_SEQ_CST);
}

/* Add @bits to an entry, if it still is what was read. */
MMU_INLINE bool entry_mark(void *where, uint64_t old, uint64_t bits,
			   bool wide)
{
	uint32_t old32 = old;

	if ((old & bits) == bits)
		return true;
	if (wide)
		return __atomic_compare_exchange_n((uint64_t *)where, &old,
				old | bits, false, __ATOMIC_SEQ_CST,
				__ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint32_t *)where, &old32,
			old32 | (uint32_t)bits, false, __ATOMIC_SEQ_CST,
			__ATOMIC_SEQ_CST);
}

/* In a 4 KiB leaf bit 7 is PAT. */
MMU_INLINE bool entry_is_leaf(const struct mmu_plan *p, uint64_t entry,
			      unsigned level)
{
	if (level == 2)
		return entry & p->ps;
	return level == 1 || (level == 3 && (entry & p->ps_1g));
}

/* => the bits that a present @entry must not have, but has. */
MMU_INLINE uint64_t entry_reserved(const struct mmu_plan *p, uint64_t entry,
			       unsigned level, enum mmu_mode mode)
{
	uint64_t rsvd = p->rsvd;

	if (mode == MMU_32)
		return level == 2 && (entry & p->ps) ?
			       entry & p->rsvd_4m : 0;
	if (level > 1 && (entry & X86_PTE_PS)) {
		if (entry_is_leaf(p, entry, level))
			rsvd |= ((1ull << walk_shift(mode, level)) - 1) &
				~0x1fffull;
		else
			rsvd |= X86_PTE_PS;
	}
	return entry & rsvd;
}

MMU_INLINE uint64_t entry_table(uint64_t entry, enum mmu_mode mode)
{
	return entry & (mode_wide(mode) ? X86_PTE64_ADDR : X86_PTE32_ADDR);
}

/* The page of a leaf. PSE-36: bits 20:13 are the address's 39:32. */
MMU_INLINE uint64_t entry_page(uint64_t entry, unsigned level,
			       enum mmu_mode mode)
{
	uint64_t page = entry_table(entry, mode);

	if (level == 1)
		return page;
	page &= ~((1ull << walk_shift(mode, level)) - 1);
	if (mode == MMU_32)
		page |= (entry & 0x1fe000) << 19;
	return page;
}

/* Where in RAM the entry is; NULL: past it. */
MMU_INLINE void *entry_where(const struct walk *w, uint64_t table,
			     unsigned level, enum mmu_mode mode)
{
	uint64_t index = w->va >> walk_shift(mode, level);

	if (table >= w->ram->size)
		return NULL;
	if (mode_wide(mode))
		return w->ram->base + table + (index & 511) * 8;
	return w->ram->base + table + (index & 1023) * 4;
}

/*
 * From @start to the leaf. Unrolled, and in locals until the end: a walk is a
 * chain of loads, each waiting for the one before, and a detour of an entry
 * through memory would come on top at every level.
 * => 0, w->entry[] and *@sum filled in; or -1 and *@pf
 */
MMU_INLINE int walk_down(struct walk *w, enum mmu_mode mode,
			 struct walk_start start, struct sum *sum,
			 struct page_fault *pf)
{
	const struct mmu_plan *p = w->plan;
	uint64_t table = start.table, entry = 0;
	uint64_t any = start.rights & MMU_RIGHT_NX ? X86_PTE_NX : 0;
	uint64_t all = (uint64_t)start.rights << 1 | ~6ull;
	unsigned level;
	void *where;

	w->top = w->bottom = start.level;
#pragma GCC unroll 5
	for (level = mode_levels(mode); level > 0; level--) {
		if (level > start.level)
			continue;
		where = entry_where(w, table, level, mode);
		entry = where ? entry_load(where, mode_wide(mode)) : 0;
		w->entry[level] = entry;
		w->bottom = level;
		if (!(entry & X86_PTE_P))
			return walk_fault(w, 0, pf);
		if (entry_reserved(p, entry, level, mode))
			return walk_fault(w, X86_PF_P | X86_PF_RSVD, pf);
		w->where[level] = where;
		all &= entry;
		any |= entry;
		if (entry_is_leaf(p, entry, level))
			break;
		table = entry_table(entry, mode);
	}
	sum->all = all;
	sum->any = any;
	sum->leaf = entry;
	return 0;
}

/* => false: an entry is no more what it was. */
MMU_INLINE bool walk_mark(struct walk *w, const struct sum *sum, bool wide)
{
	bool store = w->access == MMU_WRITE;
	uint64_t bits = X86_PTE_A;
	unsigned level;

	if ((sum->all & X86_PTE_A) && (!store || (sum->leaf & X86_PTE_D)))
		return true;
	for (level = w->top; level > w->bottom; level--)
		if (!entry_mark(w->where[level], w->entry[level], bits, wide))
			return false;
	if (store)
		bits |= X86_PTE_D;
	return entry_mark(w->where[level], w->entry[level], bits, wide);
}

/* Which of P and PK a refusal has: PK wherever the key alone would do. */
static __attribute__((noinline, cold)) int
walk_denied(const struct walk *w, unsigned key, struct page_fault *pf)
{
	unsigned implicit = w->flags & MMU_IMPLICIT;
	unsigned user = !!(w->rights & MMU_RIGHT_U);
	unsigned bad = w->plan->pk_ad[implicit][user];

	if (w->access == MMU_WRITE)
		bad |= w->plan->pk_wd[implicit][user];
	if (w->plan->pk && w->access != MMU_FETCH && bad >> key & 1)
		return walk_fault(w, X86_PF_P | X86_PF_PK, pf);
	return walk_fault(w, X86_PF_P, pf);
}

/* => 0, -1, or MMU_AGAIN. */
MMU_INLINE int walk_once(struct walk *w, enum mmu_mode mode,
			 struct walk_start start, struct mmu_result *res,
			 struct page_fault *pf)
{
	unsigned shift, key = 0, allowed;
	struct sum sum = { 0 };
	uint64_t pa;

	if (walk_down(w, mode, start, &sum, pf))
		return -1;
	shift = walk_shift(mode, w->bottom);
	pa = entry_page(sum.leaf, w->bottom, mode) |
	     (w->va & ((1ull << shift) - 1));
	w->rights = sum.all >> 1 & (MMU_RIGHT_W | MMU_RIGHT_U);
	if (sum.any & w->plan->nx)
		w->rights |= MMU_RIGHT_NX;
	if (mode_long(mode))
		key = sum.leaf >> X86_PTE_PK_SHIFT & 15;
	allowed = mmu_allowed(w->plan, w->flags, w->rights, key);
	if (!(allowed >> w->access & 1))
		return walk_denied(w, key, pf);
	if (pa >= w->ram->size)
		return walk_fault(w, 0, pf);
	if (!w->ask && !walk_mark(w, &sum, mode_wide(mode)))
		return MMU_AGAIN;
	res->pa = pa;
	res->dirty = (sum.leaf & X86_PTE_D) ||
		     (w->access == MMU_WRITE && !w->ask);
	res->global = sum.leaf & w->plan->global;
	res->shift = shift;
	res->rights = w->rights;
	res->key = key;
	res->allowed = allowed;
	return 0;
}

static int walk32(struct walk *w, const struct walk_start *start,
		  struct mmu_result *res, struct page_fault *pf)
{
	struct walk_start root = { .table = w->plan->root, .level = 2,
				   .rights = MMU_RIGHT_W | MMU_RIGHT_U };

	return walk_once(w, MMU_32, start ? *start : root, res, pf);
}

/* PDPTEs have no rights and no A; their reserved bits were seen to when they
 * were loaded (SDM 3A 4.4.1). */
static int walk_pae(struct walk *w, const struct walk_start *start,
		    struct mmu_result *res, struct page_fault *pf)
{
	uint64_t pdpte = w->plan->pdpte[w->va >> 30 & 3];
	struct walk_start root = { .table = pdpte & X86_PTE64_ADDR, .level = 2,
				   .rights = MMU_RIGHT_W | MMU_RIGHT_U };

	if (!start && !(pdpte & X86_PTE_P))
		return walk_fault(w, 0, pf);
	return walk_once(w, MMU_PAE, start ? *start : root, res, pf);
}

static int walk64(struct walk *w, const struct walk_start *start,
		  struct mmu_result *res, struct page_fault *pf)
{
	struct walk_start root = { .table = w->plan->root, .level = 4,
				   .rights = MMU_RIGHT_W | MMU_RIGHT_U };

	if (!walk_canonical(w->plan, w->va))
		return walk_refuse(w->va, w->flags, pf);
	return walk_once(w, MMU_64, start ? *start : root, res, pf);
}

static int walk57(struct walk *w, const struct walk_start *start,
		  struct mmu_result *res, struct page_fault *pf)
{
	struct walk_start root = { .table = w->plan->root, .level = 5,
				   .rights = MMU_RIGHT_W | MMU_RIGHT_U };

	if (!walk_canonical(w->plan, w->va))
		return walk_refuse(w->va, w->flags, pf);
	return walk_once(w, MMU_57, start ? *start : root, res, pf);
}

static int walk_off(struct walk *w, struct mmu_result *res,
		    struct page_fault *pf)
{
	if (w->va >= w->ram->size)
		return walk_fault(w, 0, pf);
	w->top = w->bottom = 1;
	w->rights = MMU_RIGHT_W | MMU_RIGHT_U;
	*res = (struct mmu_result){
		.pa = w->va, .dirty = true, .shift = X86_PAGE_SHIFT,
		.rights = w->rights, .allowed = 7,
	};
	return 0;
}

int walk_run(struct walk *w, const struct walk_start *start,
	     struct mmu_result *res, struct page_fault *pf)
{
	int ret;

	do {
		switch (w->plan->mode) {
		case MMU_32:
			ret = walk32(w, start, res, pf);
			break;
		case MMU_PAE:
			ret = walk_pae(w, start, res, pf);
			break;
		case MMU_64:
			ret = walk64(w, start, res, pf);
			break;
		case MMU_57:
			ret = walk57(w, start, res, pf);
			break;
		default:
			ret = walk_off(w, res, pf);
		}
	} while (ret == MMU_AGAIN);
	return ret;
}

uint64_t walk_reserved(const struct walk *w)
{
	return entry_reserved(w->plan, w->entry[w->bottom], w->bottom,
			      w->plan->mode);
}

uint8_t walk_rights(const struct walk *w, const struct walk_start *start,
		    unsigned level)
{
	uint8_t rights = start ? start->rights : MMU_RIGHT_W | MMU_RIGHT_U;
	unsigned i;

	for (i = w->top; i >= level; i--) {
		rights &= (w->entry[i] >> 1 & 3) | MMU_RIGHT_NX;
		if (w->entry[i] & w->plan->nx)
			rights |= MMU_RIGHT_NX;
	}
	return rights;
}

static int walk_regs(const struct ram *ram, const struct mmu_regs *regs,
		     uint64_t va, enum mmu_access access, bool ask,
		     struct mmu_result *res, struct page_fault *pf)
{
	struct mmu_plan plan;
	struct walk w = {
		.ram = ram, .plan = &plan, .va = mmu_linear(regs, va),
		.access = access, .ask = ask,
	};

	mmu_plan(&plan, regs);
	return walk_run(&w, NULL, res, pf);
}

int mmu_walk(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	     enum mmu_access access, struct mmu_result *res,
	     struct page_fault *pf)
{
	return walk_regs(ram, regs, va, access, false, res, pf);
}

int mmu_check(const struct ram *ram, const struct mmu_regs *regs, uint64_t va,
	      enum mmu_access access, struct page_fault *pf)
{
	struct mmu_result res;

	return walk_regs(ram, regs, va, access, true, &res, pf);
}
