/*
 * kvm.h - one KVM virtual machine with one CPU, as engine_kvm.c needs it.
 *
 * Memory slots show the windows of layout.h. Registers go in and out through
 * the shared kvm_run page (KVM_CAP_SYNC_REGS), so that a probe is one ioctl.
 */
#ifndef MMUCHECK_KVM_H
#define MMUCHECK_KVM_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmucheck/case.h"

struct kvm_vm {
	int vm, vcpu;
	struct kvm_run *run;
	size_t run_size;
	const struct mc_mem *mem;
	unsigned maxphyaddr;
	uint32_t pkru;
};

/* What this KVM says it can do. */
struct kvm_host {
	int fd;
	struct kvm_cpuid2 *cpuid;
	unsigned maxphyaddr;
	bool page1g, la57, smep, smap, pku, pks;
	unsigned pkru_offset;	/* in XSAVE's area; if pku */
};

/* => 0, or -errno and one line in @why */
int kvm_host_open(struct kvm_host *host, char *why, size_t size);
void kvm_host_close(struct kvm_host *host);

/* A machine that tells its guest of @maxphyaddr address bits. => as above */
int kvm_vm_create(struct kvm_vm *vm, const struct kvm_host *host,
		  const struct mc_mem *mem, unsigned maxphyaddr, char *why,
		  size_t size);
void kvm_vm_destroy(struct kvm_vm *vm);

/* Make KVM forget what it has shadowed. => -errno */
int kvm_vm_forget(struct kvm_vm *vm);

/* The guest's PKRU, where KVM has one; nothing if it is that. => -errno */
int kvm_vm_set_pkru(struct kvm_vm *vm, const struct kvm_host *host,
		    uint32_t pkru);

/*
 * Run until the guest exits. => 0; -EINTR: it has not, for @ticks ticks of
 * the interval timer; -errno
 */
int kvm_vm_run(struct kvm_vm *vm, unsigned ticks);

#endif
