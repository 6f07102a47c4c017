/*
 * kvm.c - one KVM virtual machine with one CPU: kvm.h.
 */
#include "mmucheck/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mmucheck/layout.h"

#define CPUID_MAX	256
#define XSAVE_PKRU	9		/* state component */
#define XSAVE_HEADER	512		/* begins with which are there */
#define SYNC		(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS)

/* Say why; => -errno as it was. */
static int fail(char *why, size_t size, const char *what)
{
	int err = errno ? errno : EIO;

	snprintf(why, size, "%s: %s", what, strerror(err));
	return -err;
}

/* ---- what there is ---- */

static struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid,
					   uint32_t function, uint32_t index)
{
	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function &&
		    cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	return NULL;
}

static void host_features(struct kvm_host *host)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(host->cpuid, 7, 0);

	if (e) {
		host->smep = e->ebx >> 7 & 1;
		host->smap = e->ebx >> 20 & 1;
		host->pku = e->ecx >> 3 & 1;
		host->la57 = e->ecx >> 16 & 1;
		host->pks = e->ecx >> 31 & 1;
	}
	/* Where PKRU is in XSAVE's area (SDM 1, 13.1 and 13.5.7). */
	e = cpuid_find(host->cpuid, 0xd, XSAVE_PKRU);
	host->pkru_offset = e ? e->ebx : 0;
	if (host->pkru_offset < XSAVE_HEADER ||
	    host->pkru_offset + 4 > sizeof(struct kvm_xsave))
		host->pku = false;
	e = cpuid_find(host->cpuid, 0x80000001, 0);
	host->page1g = e && (e->edx >> 26 & 1);
	e = cpuid_find(host->cpuid, 0x80000008, 0);
	host->maxphyaddr = e ? e->eax & 0xff : 36;
}

int kvm_host_open(struct kvm_host *host, char *why, size_t size)
{
	size_t len = sizeof(*host->cpuid) +
		     CPUID_MAX * sizeof(host->cpuid->entries[0]);

	memset(host, 0, sizeof(*host));
	host->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (host->fd < 0)
		return fail(why, size, "/dev/kvm");
	host->cpuid = calloc(1, len);
	if (!host->cpuid) {
		close(host->fd);
		return fail(why, size, "CPUID of KVM");
	}
	host->cpuid->nent = CPUID_MAX;
	if (ioctl(host->fd, KVM_GET_SUPPORTED_CPUID, host->cpuid) < 0 ||
	    (ioctl(host->fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & SYNC) !=
		    SYNC) {
		kvm_host_close(host);
		return fail(why, size, "this KVM is too old");
	}
	host_features(host);
	return 0;
}

void kvm_host_close(struct kvm_host *host)
{
	free(host->cpuid);
	close(host->fd);
}

/* ---- one machine ---- */

static int set_slot(struct kvm_vm *vm, unsigned window, bool there)
{
	struct kvm_userspace_memory_region r = {
		.slot = window,
		.guest_phys_addr = layout_window(window),
		.memory_size = there ? MC_WINDOW_SIZE : 0,
		.userspace_addr = (uintptr_t)vm->mem->base +
				  layout_window(window),
	};

	return ioctl(vm->vm, KVM_SET_USER_MEMORY_REGION, &r) < 0 ? -errno : 0;
}

/* Memory beyond what the guest's entries can name would not be accepted. */
static bool has_window(const struct kvm_vm *vm, unsigned window)
{
	return (layout_window(window) + MC_WINDOW_SIZE - 1) >>
	       vm->maxphyaddr == 0;
}

int kvm_vm_forget(struct kvm_vm *vm)
{
	int err = 0;

	for (unsigned w = 0; w < MC_WINDOWS && !err; w++) {
		if (!has_window(vm, w))
			continue;
		err = set_slot(vm, w, false);
		if (!err)
			err = set_slot(vm, w, true);
	}
	return err;
}

/*
 * The guest is told that it is an Intel part: on an AMD part, bit 8 of the
 * upper entries is reserved (APM 2 5.3), and the project models the SDM.
 */
static int set_cpuid(struct kvm_vm *vm, const struct kvm_host *host)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(host->cpuid, 0, 0);

	if (e) {
		e->ebx = 0x756e6547;	/* GenuineIntel */
		e->edx = 0x49656e69;
		e->ecx = 0x6c65746e;
	}
	e = cpuid_find(host->cpuid, 0x80000008, 0);
	if (e)
		e->eax = (e->eax & ~0xffu) | vm->maxphyaddr;
	return ioctl(vm->vcpu, KVM_SET_CPUID2, host->cpuid) < 0 ? -errno : 0;
}

static int vm_open(struct kvm_vm *vm, const struct kvm_host *host, char *why,
		   size_t size)
{
	int len = ioctl(host->fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	do	/* any signal interrupts it */
		vm->vm = ioctl(host->fd, KVM_CREATE_VM, 0);
	while (vm->vm < 0 && errno == EINTR);
	if (vm->vm < 0)
		return fail(why, size, "KVM_CREATE_VM");
	vm->vcpu = ioctl(vm->vm, KVM_CREATE_VCPU, 0);
	if (vm->vcpu < 0)
		return fail(why, size, "KVM_CREATE_VCPU");
	vm->run_size = len;
	vm->run = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu,
		       0);
	if (vm->run == MAP_FAILED)
		return fail(why, size, "mapping kvm_run");
	for (unsigned w = 0; w < MC_WINDOWS; w++)
		if (has_window(vm, w) && set_slot(vm, w, true) < 0)
			return fail(why, size, "KVM_SET_USER_MEMORY_REGION");
	if (set_cpuid(vm, host) < 0)
		return fail(why, size, "KVM_SET_CPUID2");
	vm->run->kvm_valid_regs = SYNC;
	return 0;
}

int kvm_vm_create(struct kvm_vm *vm, const struct kvm_host *host,
		  const struct mc_mem *mem, unsigned maxphyaddr, char *why,
		  size_t size)
{
	int err;

	*vm = (struct kvm_vm){
		.vm = -1, .vcpu = -1, .run = MAP_FAILED, .mem = mem,
		.maxphyaddr = maxphyaddr,
	};
	err = vm_open(vm, host, why, size);
	if (err)
		kvm_vm_destroy(vm);
	return err;
}

void kvm_vm_destroy(struct kvm_vm *vm)
{
	if (vm->run != MAP_FAILED)
		munmap(vm->run, vm->run_size);
	if (vm->vcpu >= 0)
		close(vm->vcpu);
	if (vm->vm >= 0)
		close(vm->vm);
	vm->vm = vm->vcpu = -1;
	vm->run = MAP_FAILED;
}

int kvm_vm_set_pkru(struct kvm_vm *vm, const struct kvm_host *host,
		    uint32_t pkru)
{
	struct kvm_xsave x;
	uint8_t *area = (uint8_t *)&x;
	uint64_t there;

	if (!host->pku || pkru == vm->pkru)
		return 0;
	if (ioctl(vm->vcpu, KVM_GET_XSAVE, &x) < 0)
		return -errno;
	memcpy(&there, area + XSAVE_HEADER, sizeof(there));
	there |= 1ull << XSAVE_PKRU;
	memcpy(area + XSAVE_HEADER, &there, sizeof(there));
	memcpy(area + host->pkru_offset, &pkru, sizeof(pkru));
	if (ioctl(vm->vcpu, KVM_SET_XSAVE, &x) < 0)
		return -errno;
	vm->pkru = pkru;
	return 0;
}

int kvm_vm_run(struct kvm_vm *vm, unsigned ticks)
{
	while (ioctl(vm->vcpu, KVM_RUN, 0) < 0)
		if ((errno != EINTR && errno != EAGAIN) || ticks-- == 0)
			return -errno;
	return 0;
}
