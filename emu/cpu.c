/*
 * cpu.c - the out-of-line half of a CPU: what happens when the hit path in
 * cpu.h gives up.
 *
 * An access that missed, is unaligned or crosses comes here. Within one page
 * its host address is, by turns, in the TLB after all, one entry away from
 * what the PDE cache knows (miss.c), or at the end of a walk from the root.
 * One that crosses is cut at the page boundary into two spans (cpu_span()),
 * and only when both are known are bytes moved. A CPU with a model takes
 * every access to it instead, and its TLB stays empty. A fault leaves through
 * cpu_fault(): CR2 and cpu->fault are filled in, and the caches forget that
 * page (SDM 3A 4.10.4.1).
 *
 * Invariants: the TLB holds only what a walk with the present plan said;
 * translations are made and used only inside.
 *
 * Locks: none here. Walks run against concurrent changes of entries: a stale
 * translation entered by such a walk is caught by the shootdown that follows
 * the change, because this thread fills and drains its TLB in its own order.
 */
#include "cpu.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "miss.h"
#include "model.h"
#include "walk.h"

#define CPU_ACCESS_MAX	64

/* One access, cut at page boundaries. The second part may be empty. */
struct span {
	uint8_t *host[2];
	unsigned len[2];
};

/* Only the owner writes, so no locked add; others may be reading. */
static inline void cpu_count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

void cpu_init(struct cpu *cpu, struct ram *ram, unsigned id)
{
	assert(id < CPU_MAX);
	memset(cpu, 0, sizeof(*cpu));
	tlb_init(&cpu->tlb);
	pde_init(&cpu->pde);
	cpu->regs.cr0 = X86_CR0_ET;
	cpu->regs.cpl = 3;
	cpu->ram = ram;
	cpu->id = id;
	mmu_plan(&cpu->plan, &cpu->regs);
}

void cpu_set_model(struct cpu *cpu, struct model *model)
{
	cpu->model = model;
	if (model)
		model->attention = &cpu->attention;
	cpu_flush(cpu);
}

static CPU_COLD void cpu_fault(struct cpu *cpu)
{
	cpu_count(&cpu->stats.faults);
	if (cpu->fault.kind == MMU_PF)
		cpu->cr2 = cpu->fault.addr;
	tlb_invalidate(&cpu->tlb, cpu->fault.addr);
	pde_flush(&cpu->pde);
	if (cpu->model)
		model_fault(cpu->model, mmu_pcid(&cpu->regs), cpu->fault.addr);
}

static struct walk cpu_question(const struct cpu *cpu, uint64_t va,
				enum mmu_access access, unsigned flags)
{
	struct walk w;

	w.ram = cpu->ram;
	w.plan = &cpu->plan;
	w.va = va;
	w.access = access;
	w.flags = flags;
	w.ask = false;
	return w;
}

/* => NULL: a fault */
static CPU_MISS void *cpu_modelled(struct cpu *cpu, uint64_t va,
				   enum mmu_access access, unsigned flags)
{
	struct walk ask = cpu_question(cpu, va, access, flags);
	uint64_t pa, walks = cpu->model->stats.walks;
	int err;

	err = model_access(cpu->model, &ask, cpu->regs.cr3,
			   mmu_pcid(&cpu->regs), &pa, &cpu->fault);
	if (cpu->model->stats.walks != walks) {
		cpu_count(&cpu->stats.misses);
		cpu_count(&cpu->stats.walks);
	}
	if (!err)
		return cpu->ram->base + pa;
	cpu_fault(cpu);
	return NULL;
}

/* From the root. What an implicit access finds is not for others to use. */
static CPU_MISS void *cpu_walk(struct cpu *cpu, uint64_t va,
			       enum mmu_access access, unsigned flags)
{
	struct walk w = cpu_question(cpu, va, access, flags);
	struct mmu_result res;

	cpu_count(&cpu->stats.walks);
	if (walk_run(&w, NULL, &res, &cpu->fault)) {
		cpu_fault(cpu);
		return NULL;
	}
	if (!(flags & MMU_IMPLICIT)) {
		miss_fill(cpu, va, access, &res);
		miss_keep(cpu, &w, &res);
	}
	return cpu->ram->base + res.pa;
}

/* @va as mmu_linear() gives it. => host address, or NULL and a fault. */
static inline __attribute__((always_inline)) void *
cpu_translate(struct cpu *cpu, uint64_t va,
				  enum mmu_access access, unsigned flags)
{
	void *host;

	if (__builtin_expect(cpu->model != NULL, 0))
		return cpu_modelled(cpu, va, access, flags);
	if (__builtin_expect(!(flags & MMU_IMPLICIT), 1)) {
		host = tlb_lookup(&cpu->tlb, va, access, 1);
		if (host)
			return host;
		cpu_count(&cpu->stats.misses);
		host = miss_short(cpu, va, access);
		if (host)
			return host;
	}
	return cpu_walk(cpu, va, access, flags);
}

/* Would it fault? Then it has. Marks nothing. */
static bool cpu_refused(struct cpu *cpu, uint64_t va, enum mmu_access access,
			unsigned flags)
{
	struct walk w = cpu_question(cpu, va, access, flags);
	struct mmu_result res;

	w.ask = true;
	w.bottom = 0;
	cpu_count(&cpu->stats.walks);
	if (!walk_run(&w, NULL, &res, &cpu->fault))
		return false;
	if (cpu->model)
		model_refused(cpu->model, &w, mmu_pcid(&cpu->regs));
	cpu_fault(cpu);
	return true;
}

/*
 * Two pages, of which a fault in the second must leave no A and no D in the
 * first, for nothing will be moved; and a fault in the first comes first. If
 * neither is in the TLB the first is only asked about, then walked last. An
 * address that is none is found out before either page is looked at.
 */
static int cpu_translate_two(struct cpu *cpu, uint64_t va, uint64_t next,
			     enum mmu_access access, unsigned flags,
			     struct span *span)
{
	if (!walk_canonical(&cpu->plan, next) &&
	    walk_canonical(&cpu->plan, va)) {
		walk_refuse(next, flags, &cpu->fault);
		cpu_fault(cpu);
		return -1;
	}
	/* The TLB answers for explicit accesses only. */
	if (((flags & MMU_IMPLICIT) ||
	     !tlb_lookup(&cpu->tlb, va, access, 1)) &&
	    cpu_refused(cpu, va, access, flags))
		return -1;
	span->host[1] = cpu_translate(cpu, next, access, flags);
	if (!span->host[1])
		return -1;
	span->host[0] = cpu_translate(cpu, va, access, flags);
	return span->host[0] ? 0 : -1;
}

static int cpu_span(struct cpu *cpu, uint64_t va, unsigned len,
		    enum mmu_access access, unsigned flags, struct span *span)
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
				flags, span);
	span->host[0] = cpu_translate(cpu, va, access, flags);
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

	if (cpu_span(cpu, va, len, access, 0, &span))
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

	if (cpu_span(cpu, va, len, MMU_WRITE, 0, &span))
		return -1;
	guest_move(span.host[0], buf, span.len[0]);
	if (span.len[1])
		guest_move(span.host[1], (const uint8_t *)buf + span.len[0],
			   span.len[1]);
	return 0;
}

/* One integer of 1, 2, 4 or 8 bytes, by one host access. */
static inline __attribute__((no_sanitize("thread"))) uint64_t
guest_get(const void *host, unsigned len)
{
	switch (len) {
	case 8:
		return ((const volatile struct piece64 *)host)->v;
	case 4:
		return ((const volatile struct piece32 *)host)->v;
	case 2:
		return ((const volatile struct piece16 *)host)->v;
	default:
		return *(const volatile uint8_t *)host;
	}
}

static inline __attribute__((no_sanitize("thread"))) void
guest_put(void *host, unsigned len, uint64_t v)
{
	switch (len) {
	case 8:
		((volatile struct piece64 *)host)->v = v;
		break;
	case 4:
		((volatile struct piece32 *)host)->v = v;
		break;
	case 2:
		((volatile struct piece16 *)host)->v = v;
		break;
	default:
		*(volatile uint8_t *)host = v;
	}
}

static inline uint64_t cpu_linear(const struct cpu *cpu, uint64_t va)
{
	return cpu->plan.narrow ? (uint32_t)va : va;
}

static inline bool cpu_crosses(uint64_t va, unsigned len)
{
	return (va & (X86_PAGE_SIZE - 1)) + len > X86_PAGE_SIZE;
}

static CPU_COLD struct cpu_value cpu_load_two(struct cpu *cpu, uint64_t va,
					      unsigned len)
{
	uint64_t v = 0;
	int err = cpu_load(cpu, va, &v, len);

	return (struct cpu_value){ .v = v, .err = err };
}

struct cpu_value cpu_load_miss(struct cpu *cpu, uint64_t va, unsigned len)
{
	void *host;

	assert(cpu->inside);
	if (__builtin_expect(cpu_crosses(va, len), 0))
		return cpu_load_two(cpu, va, len);
	host = cpu_translate(cpu, cpu_linear(cpu, va), MMU_READ, 0);
	if (__builtin_expect(!host, 0))
		return (struct cpu_value){ .err = -1 };
	return (struct cpu_value){ .v = guest_get(host, len) };
}

int cpu_store_miss(struct cpu *cpu, uint64_t va, unsigned len, uint64_t v)
{
	void *host;

	assert(cpu->inside);
	if (__builtin_expect(cpu_crosses(va, len), 0))
		return cpu_store(cpu, va, &v, len);
	host = cpu_translate(cpu, cpu_linear(cpu, va), MMU_WRITE, 0);
	if (!host)
		return -1;
	guest_put(host, len, v);
	return 0;
}

void *cpu_ptr_miss(struct cpu *cpu, uint64_t va, enum mmu_access access)
{
	assert(cpu->inside);
	return cpu_translate(cpu, mmu_linear(&cpu->regs, va), access, 0);
}

void cpu_access(struct cpu *cpu, uint64_t va, unsigned len,
		enum mmu_access access, unsigned flags,
		struct mmu_outcome *out)
{
	struct span span;

	memset(out, 0, sizeof(*out));
	if (!cpu_span(cpu, va, len, access, flags, &span)) {
		out->pa = span.host[0] - cpu->ram->base;
		return;
	}
	out->kind = cpu->fault.kind;
	out->error = cpu->fault.error;
	if (out->kind == MMU_PF)
		out->cr2 = cpu->fault.addr;
}
