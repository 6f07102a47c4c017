/*
 * guest.h - what the KVM guest needs to live, in every mode.
 *
 * guest_build() writes it into the first 4 MiB of the memory. Every root table
 * of a case has it in its last slot (guest_root_entry()), so that, whatever
 * else the case's tables say, the probes, the exception handlers, the stack,
 * IDT, GDT and TSS are mapped there.
 */
#ifndef MMUCHECK_GUEST_H
#define MMUCHECK_GUEST_H

#include <stdint.h>

#include "mmucheck/case.h"

#define GUEST_PORT_DONE		0xe7	/* a probe has ended */
#define GUEST_PORT_VECTOR	0xc0	/* + the exception's number */

/* Selectors. */
#define GUEST_CODE64		0x08
#define GUEST_CODE32		0x10
#define GUEST_DATA		0x18
#define GUEST_USER64		0x23
#define GUEST_USER32		0x2b
#define GUEST_USER_DATA		0x33
#define GUEST_TSS		0x38
#define GUEST_LDT		0x48

void guest_build(const struct mc_mem *mem);

/* The entry of a root's last slot, and its number. */
uint64_t guest_root_entry(enum mc_mode mode);
unsigned guest_root_slot(enum mc_mode mode);

/* Linear addresses in @mode. */
uint64_t guest_stack_top(enum mc_mode mode);
uint64_t guest_idt(enum mc_mode mode);
uint64_t guest_gdt(enum mc_mode mode);
uint64_t guest_tss(enum mc_mode mode);

/*
 * The probe that makes @access: address in RDI or (through SS) RBP, data in
 * RAX; it ends with OUT to GUEST_PORT_DONE, a fetch with the stub it reaches.
 */
uint64_t guest_probe(enum mc_mode mode, const struct mc_access *a);

/* A root for @mode that maps nothing but this, to start from. */
uint64_t guest_first_root(enum mc_mode mode);

/*
 * A root that maps this in every slot, to find out where a guest may be; and
 * a page of the user's in its slot @slot. Long mode.
 */
uint64_t guest_everywhere_root(enum mc_mode mode);
uint64_t guest_user_page(enum mc_mode mode, unsigned slot);

/*
 * To find out how a KVM walks, in four-level mode and from guest_first_root():
 * a page whose PTE has address bit @bit set, one under a PML4E with bit 8 set,
 * and an address under a PML4E with A clear and nothing below; the last
 * one's physical address.
 */
uint64_t guest_wide_page(unsigned bit);
uint64_t guest_global_page(void);
uint64_t guest_absent_page(void);
uint64_t guest_absent_entry(void);

/* Physical address of the stack page, to read what a fault pushed. */
uint64_t guest_stack_pa(void);

#endif
