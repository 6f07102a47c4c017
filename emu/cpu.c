/*
 * cpu.c - the out-of-line half of a CPU: what happens when the hit path in
 * cpu.h gives up.
 *
 * An access that missed, is unaligned or crosses comes here as an address and
 * a length, is cut at the page boundary into one or two spans (cpu_span()),
 * each with a host address from the TLB or from a walk, and only then are
 * bytes moved. A fault leaves through cpu_fault(): CR2 and cpu->fault are
 * filled in, and the TLB forgets that page (SDM 3A 4.10.4.1).
 *
 * Invariants: the TLB holds only what a walk with the present registers said,
 * so each change of a register flushes; translations are made and used only
 * inside.
 *
 * Locks: none here. Walks run against concurrent changes of entries: a stale
 * translation entered by such a walk is caught by the shootdown that follows
 * the change, because this thread fills and drains its TLB in its own order.
 */
#include "cpu.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define CPU_ACCESS_MAX	64

/* One access, cut at page boundaries. The second part may be empty. */
struct span {
	uint8_t *host[2];
	unsigned len[2];
};

/* Only the owner writes, so no locked add; others may be reading. */
static void cpu_count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

void cpu_init(struct cpu *cpu, struct ram *ram, unsigned id)
{
	assert(id < CPU_MAX);
	memset(cpu, 0, sizeof(*cpu));
	tlb_init(&cpu->tlb);
	cpu->regs.user = true;
	cpu->ram = ram;
	cpu->id = id;
}

void cpu_flush(struct cpu *cpu)
{
	tlb_flush(&cpu->tlb);
	cpu_count(&cpu->stats.flushes);
}

void cpu_invlpg(struct cpu *cpu, uint64_t va)
{
	tlb_invalidate(&cpu->tlb, mmu_linear(&cpu->regs, va));
	cpu_count(&cpu->stats.invlpgs);
}

void cpu_set_paging(struct cpu *cpu, bool long_mode)
{
	struct mmu_regs *r = &cpu->regs;

	r->cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
	r->cr4 = long_mode ? X86_CR4_PAE : 0;
	r->efer = 0;
	if (long_mode)
		r->efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	cpu_flush(cpu);
}

/*
 * The flush comes first: whoever sees the new CR3 may pass us by with a
 * shootdown of the old space. The exchange is a full barrier before the next
 * walk: whoever saw the old CR3 and passed us by with one of the new space
 * has made its change visible to that walk. (See shootdown.c.)
 */
void cpu_set_cr3(struct cpu *cpu, uint64_t cr3)
{
	cpu_flush(cpu);
	__atomic_exchange_n(&cpu->regs.cr3, cr3, __ATOMIC_SEQ_CST);
}

static void cpu_fault(struct cpu *cpu)
{
	cpu_count(&cpu->stats.faults);
	cpu->cr2 = cpu->fault.addr;
	tlb_invalidate(&cpu->tlb, cpu->fault.addr);
}

static void *cpu_walk(struct cpu *cpu, uint64_t va, enum mmu_access access)
{
	struct mmu_result res;
	struct tlb_page page;
	uint8_t *host;

	cpu_count(&cpu->stats.walks);
	if (mmu_walk(cpu->ram, &cpu->regs, va, access, &res, &cpu->fault)) {
		cpu_fault(cpu);
		return NULL;
	}
	host = cpu->ram->base + res.pa;
	page.va = va & X86_PAGE_MASK;
	page.host = host - (va - page.va);
	page.store = res.writable && res.dirty;
	page.large = res.shift > X86_PAGE_SHIFT;
	tlb_fill(&cpu->tlb, access, &page);
	return host;
}

/* @va as mmu_linear() gives it. => host address, or NULL and a fault. */
static void *cpu_translate(struct cpu *cpu, uint64_t va,
			   enum mmu_access access)
{
	void *host = tlb_lookup(&cpu->tlb, va, access, 1);

	if (host)
		return host;
	cpu_count(&cpu->stats.misses);
	return cpu_walk(cpu, va, access);
}

/*
 * Two pages, of which a fault in the second must leave no A and no D in the
 * first, for nothing will be moved; and a fault in the first comes first. If
 * neither is in the TLB the first is only asked about, then walked last.
 */
static int cpu_translate_two(struct cpu *cpu, uint64_t va, uint64_t next,
			     enum mmu_access access, struct span *span)
{
	if (!tlb_lookup(&cpu->tlb, va, access, 1)) {
		cpu_count(&cpu->stats.walks);
		if (mmu_check(cpu->ram, &cpu->regs, va, access,
			      &cpu->fault)) {
			cpu_fault(cpu);
			return -1;
		}
	}
	span->host[1] = cpu_translate(cpu, next, access);
	if (!span->host[1])
		return -1;
	span->host[0] = cpu_translate(cpu, va, access);
	return span->host[0] ? 0 : -1;
}

static int cpu_span(struct cpu *cpu, uint64_t va, unsigned len,
		    enum mmu_access access, struct span *span)
{
	unsigned room = X86_PAGE_SIZE - (va & (X86_PAGE_SIZE - 1));

	assert(cpu->inside);
	assert(len >= 1 && len <= CPU_ACCESS_MAX);
	va = mmu_linear(&cpu->regs, va);
	span->len[0] = len < room ? len : room;
	span->len[1] = len - span->len[0];
	if (span->len[1])
		return cpu_translate_two(cpu, va,
				mmu_linear(&cpu->regs, va + room), access,
				span);
	span->host[0] = cpu_translate(cpu, va, access);
	return span->host[0] ? 0 : -1;
}

/*
 * Move bytes between guest and host, in the largest pieces, each a single
 * host access whatever its alignment, as the real CPU does. Hidden from the
 * thread sanitizer: what guest threads race for is the guest's business.
 */
#define PIECE(bits)							\
	struct piece##bits {						\
		uint##bits##_t v;					\
	} __attribute__((packed, may_alias))

PIECE(8);
PIECE(16);
PIECE(32);
PIECE(64);

#define MOVE(bits)							\
	while (len >= sizeof(struct piece##bits)) {			\
		((volatile struct piece##bits *)to)->v =		\
			((const volatile struct piece##bits *)from)->v;	\
		to += sizeof(struct piece##bits);			\
		from += sizeof(struct piece##bits);			\
		len -= sizeof(struct piece##bits);			\
	}

static __attribute__((noinline, no_sanitize("thread"))) void
guest_move(uint8_t *to, const uint8_t *from, unsigned len)
{
	MOVE(64)
	MOVE(32)
	MOVE(16)
	MOVE(8)
}

static int cpu_read(struct cpu *cpu, uint64_t va, void *buf, unsigned len,
		    enum mmu_access access)
{
	struct span span;

	if (cpu_span(cpu, va, len, access, &span))
		return -1;
	guest_move(buf, span.host[0], span.len[0]);
	if (span.len[1])
		guest_move((uint8_t *)buf + span.len[0], span.host[1],
			   span.len[1]);
	return 0;
}

int cpu_load(struct cpu *cpu, uint64_t va, void *buf, unsigned len)
{
	return cpu_read(cpu, va, buf, len, MMU_READ);
}

int cpu_fetch(struct cpu *cpu, uint64_t va, void *buf, unsigned len)
{
	return cpu_read(cpu, va, buf, len, MMU_FETCH);
}

int cpu_store(struct cpu *cpu, uint64_t va, const void *buf, unsigned len)
{
	struct span span;

	if (cpu_span(cpu, va, len, MMU_WRITE, &span))
		return -1;
	guest_move(span.host[0], buf, span.len[0]);
	if (span.len[1])
		guest_move(span.host[1], (const uint8_t *)buf + span.len[0],
			   span.len[1]);
	return 0;
}

int cpu_load_slow(struct cpu *cpu, uint64_t va, void *buf, unsigned len)
{
	return cpu_load(cpu, va, buf, len);
}

int cpu_store_slow(struct cpu *cpu, uint64_t va, const void *buf,
		   unsigned len)
{
	return cpu_store(cpu, va, buf, len);
}

void *cpu_ptr_slow(struct cpu *cpu, uint64_t va, enum mmu_access access)
{
	assert(cpu->inside);
	return cpu_translate(cpu, mmu_linear(&cpu->regs, va), access);
}
