/*
 * view_watch.c - a helper process that outlives a killed machine.
 *
 * It reads from a pipe whose other end only we have. A line: all is well,
 * it goes. End of file: we were killed, and it detaches the view once the
 * kernel says that nobody serves it. Not before: by then a new machine may
 * have cleared the place and mounted its own.
 *
 * libfuse's auto_unmount does the same, but looks only once, and the pipe
 * may close before the connection does: one view in fifty was left behind.
 *
 * A shell, because a fork() without exec would keep the machine's memory and
 * files alive. A session of its own, so that Ctrl-C does not end it first; no
 * files of ours, so that nobody who reads our output waits for it.
 */
#include "fs/view_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char script[] =
	"cd /; read -r line && exit; i=0\n"
	"while [ $i -lt 50 ]; do\n"
	"	case $(LC_ALL=C stat -- \"$1\" 2>&1) in\n"
	"	*'not connected'*)\n"
	"		umount -l -- \"$1\" || fusermount3 -u -q -z -- \"$1\"\n"
	"		exit;;\n"
	"	esac\n"
	"	sleep 0.1; i=$((i + 1))\n"
	"done";

static int watch_spawn(pid_t *pid, int input, const char *path)
{
	const char *argv[] = {"sh", "-c", script, "pagervm-view", path, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, input, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, 1, 2);
	posix_spawn_file_actions_addclosefrom_np(&files, 3);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID |
				 POSIX_SPAWN_SETSIGMASK |
				 POSIX_SPAWN_SETSIGDEF);
	err = posix_spawn(pid, "/bin/sh", &files, &attr, (char **)argv,
			  environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -err;
}

int view_watch_start(struct view_watch *watch, const char *path)
{
	int ends[2], err;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	err = watch_spawn(&watch->pid, ends[0], path);
	close(ends[0]);
	if (err) {
		watch->pid = 0;
		close(ends[1]);
		return err;
	}
	watch->pipe = ends[1];
	return 0;
}

/* It may have been killed by somebody: then the pipe has no reader. */
static void watch_dismiss(int pipe)
{
	sigset_t broken, old;
	struct timespec now = {0};

	sigemptyset(&broken);
	sigaddset(&broken, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &broken, &old);
	if (write(pipe, "\n", 1) < 0 && errno == EPIPE)
		sigtimedwait(&broken, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void view_watch_stop(struct view_watch *watch)
{
	if (!watch->pid)
		return;
	watch_dismiss(watch->pipe);
	close(watch->pipe);
	while (waitpid(watch->pid, NULL, 0) < 0 && errno == EINTR)
		;
	watch->pid = 0;
}
