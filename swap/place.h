/*
 * place.h - where a serving thread runs: by its client, or out of its way.
 *
 * Two threads that hand one request to and fro, a client and a server, are
 * never busy at once. The scheduler does not know: it wakes the one that was
 * asleep on the CPU that is idle, and waking a halted CPU costs ten times what
 * a switch on the running one does. So, as long as requests stay single, the
 * client stays where it is and the server follows it.
 *
 * With many requests on the way both are busy, and two CPUs do more than one.
 * The scheduler does not always see that either: each wakes the other where it
 * runs itself, one CPU can just carry both, and so they work by turns on it.
 * Then the server keeps off its client's CPU.
 *
 * State is per thread; no locks. Best effort: where affinity may not be set,
 * nothing happens.
 */
#ifndef SWAP_PLACE_H
#define SWAP_PLACE_H

#include <sys/types.h>

/* The calling thread has had a single request in hand, and the other end runs
 * on @cpu. After some of these it is kept on @cpu. < 0: not known, or who
 * answers is not this thread but a device, and the CPU which that interrupts
 * is the better one; the scheduler finds it. */
void place_lone(int cpu);
/* It had several in hand; soon it is no longer kept on a CPU. If all that ask
 * run on @cpu, it is kept off that one (< 0: not known, or several). */
void place_crowd(int cpu);
/* Where the client's thread @tid runs, looked up now and then by another
 * thread. => -1: not known, not yet, or clients take turns. */
int place_client(pid_t tid);

#endif
