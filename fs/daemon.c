/*
 * daemon.c - fork, wait for the child's word, leave the terminal.
 *
 * The word goes through a pipe, whose end closes by itself when the child
 * dies, so the parent can never wait for a dead one. Main thread only.
 */
#include "fs/daemon.h"
#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int daemon_pipe = -1;

static void daemon_wait(int fd)
{
	char word;
	ssize_t length;

	do
		length = read(fd, &word, 1);
	while (length < 0 && errno == EINTR);
	_exit(length == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

pid_t daemon_fork(int ends[2])
{
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	return pid < 0 ? -errno : pid;
}

int daemon_start(void)
{
	int ends[2];
	pid_t pid = daemon_fork(ends);

	if (pid < 0) {
		report("cannot start: %s", strerror(-pid));
		return pid;
	}
	if (pid > 0) {
		close(ends[1]);
		daemon_wait(ends[0]);
	}
	close(ends[0]);
	daemon_pipe = ends[1];
	setsid();
	return 0;
}

void daemon_ready(void)
{
	int null = open("/dev/null", O_RDWR);

	report_to_syslog();
	if (chdir("/"))
		report("cannot leave the working directory");
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	if (write(daemon_pipe, "", 1) != 1)
		report("nobody waited for the mount");
	close(daemon_pipe);
}
