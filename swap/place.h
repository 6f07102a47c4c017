/*
 * place.h - where a thread runs while requests come one at a time.
 *
 * Two threads that hand one request to and fro, a client and a server, are
 * never busy at once. The scheduler does not know: it wakes the one that was
 * asleep on the CPU that is idle, and waking a halted CPU costs ten times what
 * a switch on the running one does. So, as long as requests stay single, the
 * client stays where it is, if that helps, and the server follows it; with the
 * first crowd both are free again, for then two CPUs do more than one.
 *
 * State is per thread; no locks. Best effort: where affinity may not be set,
 * nothing happens.
 */
#ifndef SWAP_PLACE_H
#define SWAP_PLACE_H

#include <stdint.h>
#include <sys/types.h>

/* The calling thread has had a single request in hand, and the other end runs
 * on @cpu. After some of these it is kept on @cpu, as long as the other end
 * stays there. < 0: not known, or what it waits for is a device: the scheduler
 * finds the CPU which that interrupts. */
void place_lone(int cpu);
/* The same at the client's end: it waited @ns for its only request. It is kept
 * where it is if it gets its answers sooner there than where the scheduler
 * would have it. */
void place_stay(uint64_t ns);
/* It had several. Soon it may run anywhere it could before. */
void place_crowd(void);
/* They take long, beside which a wake-up is nothing: it may now. */
void place_long(void);
/* Where the client's thread @tid runs, looked up now and then by another
 * thread. => -1: not known, not yet, or clients take turns. */
int place_client(pid_t tid);

#endif
