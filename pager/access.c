/*
 * access.c - a process's memory from outside: vm_peek() and vm_poke().
 *
 * A host thread that is no CPU borrows the service CPU, loads the process's
 * page table and makes the access like any other; a fault is settled and
 * waited for without the CPU. Lock: service_lock while on the CPU.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "pager/core.h"
#include "pager/fault.h"
#include "pager/pageio.h"
#include "pager/process.h"
#include "pager/sched.h"

/* Move up to the end of the page. => bytes; 0: *pf. Guest bytes may change
 * meanwhile, as on a real machine: copied one by one, atomically. */
static uint64_t access_page(struct cpu *cpu, uint64_t addr, uint8_t *buf,
			    uint64_t len, bool write)
{
	uint64_t n = PAGE_SIZE - addr % PAGE_SIZE;
	uint8_t *p = cpu_ptr(cpu, addr, write ? MMU_WRITE : MMU_READ);

	if (!p)
		return 0;
	if (n > len)
		n = len;
	for (uint64_t i = 0; i < n; i++) {
		if (write)
			__atomic_store_n(p + i, buf[i], __ATOMIC_RELAXED);
		else
			buf[i] = __atomic_load_n(p + i, __ATOMIC_RELAXED);
	}
	return n;
}

static uint64_t access_once(struct vm *vm, struct proc *p, uint64_t addr,
			    uint8_t *buf, uint64_t len, bool write,
			    struct page_fault *pf)
{
	struct cpu *cpu;
	uint64_t n;

	pthread_mutex_lock(&vm->service_lock);
	cpu = sched_service_cpu(vm, p);
	cpu_enter(cpu);
	n = access_page(cpu, addr, buf, len, write);
	*pf = cpu->fault;
	cpu_leave(cpu);
	pthread_mutex_unlock(&vm->service_lock);
	return n;
}

/* => 0: again; -EFAULT or -EIO, and *sig. */
static int access_settle(struct vm *vm, struct proc *p,
			 const struct page_fault *pf, struct host_waiter *h,
			 int *sig)
{
	const char *why;
	int err;

	switch (fault_resolve(vm, NULL, p, pf, &h->w, sig, &why)) {
	case FAULT_DONE:
		return 0;
	case FAULT_SIGNAL:
		return p->dead ? -ESRCH : -EFAULT;
	case FAULT_WAIT:
	default:
		err = host_wait(h);
		if (err != -EDEADLK)
			err = fault_result(p, &h->w);
		*sig = err < 0 ? SIGBUS : 0;
		return err == -ENXIO ? -EFAULT : err;
	}
}

/* It does not get on. => 0: again, a store takes writes again; or as above. */
static int access_stuck(struct vm *vm, struct host_waiter *h, int *sig)
{
	int err;

	h->w.result = 0;
	if (fault_stuck(vm, &h->w)) {
		*sig = SIGBUS;
		return -EIO;
	}
	err = host_wait(h);
	*sig = err < 0 ? SIGBUS : 0;
	return err;
}

/* Is there such an address? A 32-bit CPU would drop the upper half of it. */
static bool access_possible(const struct vm *vm, uint64_t addr)
{
	return addr >> PAGE_SHIFT < pmap_limit(vm->cfg.mode);
}

static int64_t access_range(struct vm *vm, int pid, uint64_t addr, void *buf,
			    uint64_t len, bool write, int *sig)
{
	struct proc *p = proc_get(vm, pid);
	struct fault_history history = { .n = 0 };
	struct host_waiter h;
	struct page_fault pf;
	uint64_t done = 0;
	int err = 0, s = 0;

	if (!p)
		return -ESRCH;
	host_waiter_init(&h, vm);
	while (done < len && err == 0) {
		uint64_t n;

		if (!access_possible(vm, addr + done)) {
			err = -EFAULT;
			s = SIGSEGV;
			break;
		}
		n = access_once(vm, p, addr + done, (uint8_t *)buf + done,
				len - done, write, &pf);
		done += n;
		if (n > 0)
			continue;
		if (fault_advances(&history, &pf)) {
			err = access_settle(vm, p, &pf, &h, &s);
		} else {
			history.n = 0;
			err = access_stuck(vm, &h, &s);
		}
	}
	if (sig)
		*sig = err ? s : 0;
	if (h.w.owes) {
		vm_lock(vm);
		pageio_pass_on(vm, &h.w);
		vm_unlock(vm);
	}
	proc_put(vm, p);
	return done || !err ? (int64_t)done : err;
}

int64_t vm_peek(struct vm *vm, int pid, uint64_t addr, void *buf, uint64_t len,
		int *sig)
{
	return access_range(vm, pid, addr, buf, len, false, sig);
}

int64_t vm_poke(struct vm *vm, int pid, uint64_t addr, const void *buf,
		uint64_t len, int *sig)
{
	return access_range(vm, pid, addr, (void *)buf, len, true, sig);
}
