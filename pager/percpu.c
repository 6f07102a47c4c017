/*
 * percpu.c - what each CPU has for itself.
 *
 * The core lock, shared: a CPU says that it is inside and then looks whether
 * somebody has the lock; who takes the lock says so and then looks whether
 * somebody is inside. Both say and look in sequentially consistent order, so
 * one of them sees the other. Each writes only its own line; a CPU that keeps
 * sharing while nobody locks takes no cache miss.
 *
 * Locks: this is one. See core.h.
 */
#include "pager/percpu.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define PERCPU_SPINS	1000	/* before it gives its own CPU away */

/*
 * To take the lock as soon as it is not to be had would be contagious: whoever
 * has it makes the others take it too, and these him.
 */
bool percpu_enter_late(struct vm *vm, struct percpu *pc)
{
	for (unsigned n = 0; n < PERCPU_SPINS; n++) {
		atomic_store_explicit(&pc->inside, false,
				      memory_order_release);
		while (n < PERCPU_SPINS && atomic_load(&vm->locked)) {
			__builtin_ia32_pause();
			n++;
		}
		atomic_store(&pc->inside, true);
		if (!atomic_load(&vm->locked))
			return true;
	}
	atomic_store_explicit(&pc->inside, false, memory_order_release);
	return false;
}

int percpu_init(struct vm *vm)
{
	size_t size = vm->ncpus * sizeof(*vm->percpu);

	vm->percpu = aligned_alloc(_Alignof(struct percpu), size);
	if (!vm->percpu)
		return -ENOMEM;
	memset(vm->percpu, 0, size);
	return 0;
}

void percpu_destroy(struct vm *vm)
{
	free(vm->percpu);
}

void percpu_wait(const struct percpu *pc)
{
	for (unsigned n = 1; atomic_load(&pc->inside); n++)
		if (n % PERCPU_SPINS == 0)
			sched_yield();	/* it may want this CPU */
}

uint64_t percpu_stat(const struct vm *vm, enum vm_stat_id id)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < vm->ncpus; i++)
		n += vm->percpu[i].stat[id];
	return n;
}
