/*
 * afterlife.c - auto_unmount: see afterlife.h.
 *
 * The child holds one end of a pipe, of which the daemon has the other; that
 * one closes when the daemon ends, however it ends. A byte before says that
 * there is nothing left to take away: by then the device number may be that of
 * the next mount. The child lets go of
 * everything else it inherited, /dev/fuse above all, whose last descriptor
 * keeps the connection alive.
 */
#include "fs/afterlife.h"
#include "fs/daemon.h"
#include "fs/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static int afterlife_pipe = -1;		/* the daemon's end */

static void afterlife_let_go(int fd)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	setsid();
	prctl(PR_SET_NAME, "pagerfs-unmount");
	if (chdir("/"))
		_exit(EXIT_FAILURE);
	dup2(fd, STDIN_FILENO);
	closefrom(STDIN_FILENO + 1);
	/* Helpers write to these. */
	open("/dev/null", O_RDWR);
	open("/dev/null", O_RDWR);
}

/* => Did it die before it could see to its mount? */
static bool afterlife_wait(void)
{
	char word;
	ssize_t length;

	do
		length = read(STDIN_FILENO, &word, 1);
	while (length < 0 && errno == EINTR);
	return !length;
}

int afterlife_start(const char *mountpoint, dev_t dev)
{
	int ends[2];
	pid_t pid = daemon_fork(ends);
	dev_t now;

	if (pid < 0)
		return pid;
	if (pid > 0) {
		close(ends[0]);
		afterlife_pipe = ends[1];
		return 0;
	}
	afterlife_let_go(ends[0]);
	if (afterlife_wait() && !mountpoint_device(mountpoint, &now) &&
	    now == dev)
		mountpoint_detach(mountpoint);
	_exit(EXIT_SUCCESS);
}

void afterlife_end(void)
{
	if (afterlife_pipe >= 0 && write(afterlife_pipe, "", 1) < 0)
		return;		/* it was killed */
}
