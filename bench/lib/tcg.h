/*
 * tcg.h - QEMU's TCG beside us: bench/tcg_guest.S run by it, and asked.
 *
 *	if (tcg_start(&q, guest)) {
 *		ns = tcg_ask(&q, 'L') - tcg_ask(&q, 'N');
 *		tcg_end(&q);
 *	}
 *
 * The guest does a given number of accesses for each letter that it gets on
 * its serial port, and answers with the sum of what it loaded, which is
 * checked. What is counted is QEMU's processor time, so that others on this
 * machine matter less. While nobody asks it is stopped, and takes no time from
 * what is measured beside it; it dies with us.
 */
#ifndef BENCH_TCG_H
#define BENCH_TCG_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TCG_QEMU	"qemu-system-x86_64"
#define TCG_ACCESSES	(4 << 17)	/* for a letter: PASSES * STREAM */
#define TCG_LOADED	(TCG_ACCESSES * 0x0101010101010101ull)
#define TCG_PATIENCE_MS	60000		/* it boots, too */

struct tcg {
	pid_t pid;
	int to, from;
	clockid_t clock;
};

static void tcg_end(struct tcg *q)
{
	kill(q->pid, SIGKILL);
	waitpid(q->pid, NULL, 0);
	close(q->to);
	close(q->from);
}

static __attribute__((cold, noreturn)) void tcg_fail(struct tcg *q,
						     const char *what)
{
	tcg_end(q);
	fflush(stdout);
	fprintf(stderr, "bench: QEMU: %s\n", what);
	exit(1);
}

static __attribute__((noreturn)) void tcg_child(const char *guest, int in,
						int out)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(in, 0);
	dup2(out, 1);
	execlp(TCG_QEMU, TCG_QEMU, "-accel", "tcg", "-m", "128M", "-display",
	       "none", "-nodefaults", "-no-user-config", "-no-reboot",
	       "-monitor", "none", "-serial", "stdio", "-kernel", guest,
	       (char *)NULL);
	_exit(127);
}

/* => false: there is no QEMU here. */
static bool tcg_start(struct tcg *q, const char *guest)
{
	int to[2], from[2];

	if (system("command -v " TCG_QEMU " >/dev/null") != 0)
		return false;
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return false;
	q->pid = fork();
	if (q->pid == 0)
		tcg_child(guest, to[0], from[1]);
	close(to[0]);
	close(from[1]);
	q->to = to[1];
	q->from = from[0];
	if (q->pid < 0 || clock_getcpuclockid(q->pid, &q->clock))
		tcg_fail(q, "cannot start it");
	kill(q->pid, SIGSTOP);
	return true;
}

static uint64_t tcg_answer(struct tcg *q)
{
	struct pollfd p = { .fd = q->from, .events = POLLIN };
	unsigned got = 0;
	uint64_t sum = 0;
	uint8_t b;

	for (; got < 8; got++) {
		if (poll(&p, 1, TCG_PATIENCE_MS) != 1)
			tcg_fail(q, "the guest does not answer");
		if (read(q->from, &b, 1) != 1)
			tcg_fail(q, "it has ended");
		sum |= (uint64_t)b << (8 * got);
	}
	return sum;
}

static double tcg_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/* => ns of processor time for each access of the loop that @letter names:
 * tcg_guest.S */
static double tcg_ask(struct tcg *q, char letter)
{
	bool loads = letter == 'L' || letter == 'R' || letter == 'l';
	uint64_t sum;
	double t;

	kill(q->pid, SIGCONT);
	t = tcg_clock(q->clock);
	if (write(q->to, &letter, 1) != 1)
		tcg_fail(q, "it has ended");
	sum = tcg_answer(q);
	t = tcg_clock(q->clock) - t;
	kill(q->pid, SIGSTOP);
	if (loads && sum != TCG_LOADED)
		tcg_fail(q, "the guest did not load what is there");
	return t / TCG_ACCESSES;
}

#endif
