/*
 * machine.h - a small machine for the tests: RAM, and page tables built in it
 * by hand, entry by entry, by code that shares nothing with the walker.
 *
 * Frames are handed out from 1 upwards: tables by machine_slot(), pages by
 * machine_frame().
 */
#ifndef TESTS_EMU_MACHINE_H
#define TESTS_EMU_MACHINE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "emu/mmu.h"
#include "emu/ram.h"

#define OPEN	(X86_PTE_P | X86_PTE_W | X86_PTE_U)

struct machine {
	struct ram ram;
	bool wide;		/* four-level */
	uint32_t next;		/* frame to hand out */
	uint64_t root;
};

static inline uint32_t machine_frame(struct machine *m)
{
	assert(m->next < m->ram.nframes);
	return m->next++;
}

static inline void machine_init(struct machine *m, bool wide,
				uint32_t frames)
{
	int err = ram_create(&m->ram, (uint64_t)frames * RAM_FRAME_SIZE);

	assert(!err);
	(void)err;
	m->wide = wide;
	m->next = 1;
	m->root = (uint64_t)machine_frame(m) << 12;
}

static inline uint64_t machine_get(struct machine *m, const void *slot)
{
	if (m->wide)
		return __atomic_load_n((const uint64_t *)slot,
				       __ATOMIC_SEQ_CST);
	return __atomic_load_n((const uint32_t *)slot, __ATOMIC_SEQ_CST);
}

/* => the old entry */
static inline uint64_t machine_put(struct machine *m, void *slot,
				   uint64_t entry)
{
	if (m->wide)
		return __atomic_exchange_n((uint64_t *)slot, entry,
					   __ATOMIC_SEQ_CST);
	return __atomic_exchange_n((uint32_t *)slot, (uint32_t)entry,
				   __ATOMIC_SEQ_CST);
}

static inline int machine_levels(const struct machine *m)
{
	return m->wide ? 4 : 2;
}

/*
 * The entry for @va at @level, counted from the leaf, which is 0; tables
 * above it are made, open to everything.
 */
static inline void *machine_slot_in(struct machine *m, uint64_t root,
				    uint64_t va, int level)
{
	int bits = m->wide ? 9 : 10, at = machine_levels(m) - 1;
	uint64_t table = root, index;
	uint8_t *slot;

	for (;; at--) {
		index = (va >> (12 + at * bits)) & ((1u << bits) - 1);
		slot = m->ram.base + table + index * (m->wide ? 8 : 4);
		if (at == level)
			return slot;
		if (!machine_get(m, slot))
			machine_put(m, slot,
				    (uint64_t)machine_frame(m) << 12 | OPEN);
		table = machine_get(m, slot) & 0xffffffffff000ull;
	}
}

static inline void *machine_slot(struct machine *m, uint64_t va, int level)
{
	return machine_slot_in(m, m->root, va, level);
}

static inline void machine_map(struct machine *m, uint64_t va, uint64_t pfn,
			       uint64_t flags)
{
	machine_put(m, machine_slot(m, va, 0), pfn << 12 | flags);
}

static inline struct mmu_regs machine_regs(const struct machine *m)
{
	struct mmu_regs r = {
		.cr0 = X86_CR0_PE | X86_CR0_PG | X86_CR0_WP,
		.cr3 = m->root,
		.cpl = 3,
	};

	if (m->wide) {
		r.cr4 = X86_CR4_PAE;
		r.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_NXE;
	}
	return r;
}

#endif
