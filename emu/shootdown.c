/*
 * shootdown.c - making other CPUs forget translations.
 *
 * A sender has changed page-table entries and collected them in a struct
 * shootdown. shootdown_send() puts the pages of each CPU's space into that
 * CPU's inbox, raises its attention and, if asked, waits until the CPU is
 * outside or has drained its inbox. The owner drains at cpu_enter() and
 * cpu_poll(): the pages go out of the TLB, then handled says how far it got.
 *
 * What makes it right are pairs of "I write mine, then read yours" (Dekker),
 * all sequentially consistent, so that at least one side sees the other:
 *
 *  1. attention and inside. The sender raises attention, then reads inside;
 *     the owner sets inside (cpu_enter()), then reads attention. If the
 *     sender reads "outside", the owner has yet to enter, and will see
 *     attention and drain before its first access: no need to wait. If the
 *     owner reads "no attention", the sender sees it inside and waits for
 *     its next poll.
 *
 *  2. the entry and CR3, arriving. The sender changes the entry, then reads
 *     CR3; the owner writes CR3 (cpu_set_cr3()), then its walks read the
 *     entry. If the sender sees another CR3 and passes by, every later walk
 *     sees the changed entry. If a walk saw the old entry, the sender sees
 *     the CR3 and posts.
 *
 *  3. CR3, leaving. The owner flushes, then writes CR3 (release), the sender
 *     reads it (acquire): if it sees another CR3 and passes by, the flush and
 *     every access through the old space are done and visible.
 *
 *  4. leaving. The owner stores inside = 0 with release after its accesses,
 *     and handled with release after its accesses and invalidations; the
 *     sender reads them with acquire. So when a wait ends, every store made
 *     through the old translation is in RAM, for the sender to see.
 *
 * A CPU that keeps translations over a change of CR3 (cpu->keeps) is always
 * concerned: with global pages, which may have come by any space, each page
 * goes; with PCIDs everything does, because by the time it drains it may run
 * another PCID than the one meant. keeps goes up before anything is kept, and
 * is read like CR3 in 2.
 *
 * attention is set and cleared under the inbox lock, together with what it
 * stands for, so it never lies. handled is inbox.posted as it was when the
 * inbox was emptied: it covers all posts up to then, of every sender.
 *
 * The sender's fence is an atomic read-modify-write, not a fence: the
 * thread sanitizer does not know fences. It is for entries changed with
 * less than a sequentially consistent exchange; on x86 it is a full barrier.
 *
 * A wait cannot deadlock: the owner never blocks inside, and a sender is
 * outside with its own CPU. Several may send at once: the inbox lock is a
 * leaf, held by nobody who waits.
 */
#include "cpu.h"

#include <assert.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#include "model.h"

#define WHOLE_SPACE	(~0ull)		/* as va: no page's address */
#define CR3_ROOT	X86_PTE64_ADDR	/* the rest of CR3 is flags */

#define WAIT_SPINS	200		/* a few microseconds */
#define WAIT_YIELDS	20
#define WAIT_NAP_NS	20000

/*
 * One step of waiting for another thread. It may have lost its processor
 * inside, to us even, so spinning soon gives way: to yielding, and when that
 * does not help (it queues behind others elsewhere), to sleeping.
 */
static void wait_step(unsigned *round)
{
	static const struct timespec nap = { .tv_nsec = WAIT_NAP_NS };

	++*round;
	if (*round < WAIT_SPINS)
		__builtin_ia32_pause();
	else if (*round < WAIT_SPINS + WAIT_YIELDS)
		sched_yield();
	else
		nanosleep(&nap, NULL);
}

static void inbox_lock(struct cpu_inbox *in)
{
	unsigned round = 0;

	while (__atomic_exchange_n(&in->lock, 1, __ATOMIC_ACQUIRE))
		wait_step(&round);
}

static void inbox_unlock(struct cpu_inbox *in)
{
	__atomic_store_n(&in->lock, 0, __ATOMIC_RELEASE);
}

static void inbox_put(struct cpu_inbox *in, uint64_t va)
{
	if (va == WHOLE_SPACE || in->n == CPU_INBOX_MAX)
		in->all = true;
	else
		in->va[in->n++] = va;
}

/* Take all that is posted, then act on it without the lock. Owner only. */
void cpu_drain(struct cpu *cpu)
{
	struct cpu_inbox *in = &cpu->inbox;
	uint64_t va[CPU_INBOX_MAX], posted;
	unsigned n;
	bool all;

	inbox_lock(in);
	__atomic_store_n(&cpu->attention, 0, __ATOMIC_RELAXED);
	posted = in->posted;
	all = in->all;
	n = in->n;
	memcpy(va, in->va, n * sizeof(va[0]));
	in->all = false;
	in->n = 0;
	inbox_unlock(in);

	if (all)
		cpu_flush(cpu);
	else
		while (n)
			cpu_forget(cpu, va[--n]);
	__atomic_store_n(&cpu->stats.shootdowns, cpu->stats.shootdowns + 1,
			 __ATOMIC_RELAXED);
	if (cpu->model)
		model_shot(cpu->model);
	__atomic_store_n(&cpu->handled, posted, __ATOMIC_RELEASE);
}

/* Is the space with root @cr3 among the whole ones collected? */
static bool shootdown_has_whole(const struct shootdown *sd, uint64_t cr3)
{
	unsigned i;

	for (i = 0; i < sd->nwhole; i++)
		if (sd->e[i].cr3 == cr3)
			return true;
	return false;
}

/* => there is room. Whole spaces come first. */
static void shootdown_put_whole(struct shootdown *sd, uint64_t cr3)
{
	unsigned i = sd->nwhole++;

	sd->e[sd->n++] = sd->e[i];
	sd->e[i].cr3 = cr3;
	sd->e[i].va = WHOLE_SPACE;
}

/* Full: of each space that has pages here, take the whole. */
static void shootdown_widen(struct shootdown *sd)
{
	unsigned i;

	for (i = sd->nwhole; i < sd->n; i++) {
		if (shootdown_has_whole(sd, sd->e[i].cr3))
			continue;
		sd->e[sd->nwhole].cr3 = sd->e[i].cr3;
		sd->e[sd->nwhole++].va = WHOLE_SPACE;
	}
	sd->n = sd->nwhole;
	sd->everything = sd->n == SHOOTDOWN_MAX;
}

void shootdown_add(struct shootdown *sd, uint64_t cr3, uint64_t va)
{
	cr3 &= CR3_ROOT;
	if (sd->n == SHOOTDOWN_MAX)
		shootdown_widen(sd);
	if (sd->everything || shootdown_has_whole(sd, cr3))
		return;
	sd->e[sd->n].cr3 = cr3;
	sd->e[sd->n++].va = va & X86_PAGE_MASK;
}

void shootdown_add_all(struct shootdown *sd, uint64_t cr3)
{
	cr3 &= CR3_ROOT;
	if (sd->n == SHOOTDOWN_MAX)
		shootdown_widen(sd);
	if (!sd->everything && !shootdown_has_whole(sd, cr3))
		shootdown_put_whole(sd, cr3);
}

/* Raise attention. => the inbox lock is held; the number to wait for. */
static uint64_t inbox_post(struct cpu *cpu)
{
	uint64_t posted = cpu->inbox.posted + 1;

	__atomic_store_n(&cpu->inbox.posted, posted, __ATOMIC_RELAXED);
	__atomic_exchange_n(&cpu->attention, 1, __ATOMIC_SEQ_CST);
	return posted;
}

/* => the number to wait for; 0: this CPU is not concerned. */
static uint64_t shootdown_post(const struct shootdown *sd, struct cpu *cpu)
{
	uint64_t cr3, posted;
	uint32_t keeps;
	unsigned i = 0;

	/* In this order: who sees CR3 after a switch that kept something has
	 * to see that it keeps, which was set before. */
	cr3 = __atomic_load_n(&cpu->regs.cr3, __ATOMIC_SEQ_CST) & CR3_ROOT;
	keeps = __atomic_load_n(&cpu->keeps, __ATOMIC_SEQ_CST);
	if (!sd->everything && !keeps) {
		while (i < sd->n && sd->e[i].cr3 != cr3)
			i++;
		if (i == sd->n)
			return 0;
	}
	inbox_lock(&cpu->inbox);
	cpu->inbox.all |= sd->everything || (keeps & CPU_KEEPS_SPACES);
	for (; i < sd->n; i++)
		if (keeps || sd->e[i].cr3 == cr3)
			inbox_put(&cpu->inbox, sd->e[i].va);
	posted = inbox_post(cpu);
	inbox_unlock(&cpu->inbox);
	return posted;
}

static void shootdown_wait(struct cpu *cpu, uint64_t posted)
{
	unsigned round = 0;

	while (__atomic_load_n(&cpu->inside, __ATOMIC_SEQ_CST) &&
	       __atomic_load_n(&cpu->handled, __ATOMIC_ACQUIRE) < posted)
		wait_step(&round);
}

void shootdown_send(struct shootdown *sd, struct cpu *const *cpus,
		    unsigned ncpus, bool wait)
{
	uint64_t posted[CPU_MAX];
	unsigned i;

	assert(ncpus <= CPU_MAX);
	if (!sd->n)
		return;
	/* The sender's full barrier; see above. */
	__atomic_fetch_add(&sd->n, 0, __ATOMIC_SEQ_CST);
	for (i = 0; i < ncpus; i++)
		posted[i] = shootdown_post(sd, cpus[i]);
	for (i = 0; wait && i < ncpus; i++)
		if (posted[i])
			shootdown_wait(cpus[i], posted[i]);
	shootdown_init(sd);
}
