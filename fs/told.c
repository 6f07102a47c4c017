/*
 * told.c - signals, read by who waits.
 *
 * When a signal came is not known, but that it came after the look before the
 * one that finds it. So one that comes again is never taken for a second one
 * because nobody looked for a while. A power cut tells the daemon to end by a
 * signal of its own (fault.c): that is never the second one.
 *
 * No locks: the main thread's.
 */
#include "fs/told.h"
#include "fs/gate.h"
#include "fs/join.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define TOLD_TWICE_NS	1000000000	/* between two signals that are two */

static int told_fd = -1;
static uint64_t told_first, told_looked;	/* ns; 0: not yet */
static bool told_twice;

/* As nohup(1) leaves it? Blocked, it would come all the same. */
static bool told_ignores_hangup(void)
{
	struct sigaction action;

	return !sigaction(SIGHUP, NULL, &action) &&
	       action.sa_handler == SIG_IGN;
}

int told_open(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (!told_ignores_hangup())
		sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	told_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return told_fd;
}

void told_close(void)
{
	if (told_fd >= 0)
		close(told_fd);
	told_fd = -1;
}

static bool told_read(struct signalfd_siginfo *info)
{
	return told_fd >= 0 &&
	       read(told_fd, info, sizeof(*info)) == sizeof(*info);
}

static void told_look(void)
{
	struct signalfd_siginfo info;

	while (told_read(&info)) {
		if (!told_first)
			told_first = gate_now();
		else if (told_looked >= told_first + TOLD_TWICE_NS &&
			 info.ssi_pid != (uint32_t)getpid())
			told_twice = true;
	}
	told_looked = gate_now();
}

unsigned int told_wait(unsigned int ms)
{
	struct pollfd told = { .fd = told_fd, .events = POLLIN };
	struct timespec begin = join_now();

	poll(&told, 1, ms);
	told_look();
	return join_passed(&begin);
}

bool told_again(void)
{
	return told_twice;
}
