/*
 * daemon.h - leaving the terminal, with the parent waiting for good news.
 *
 * daemon_start() forks before anything is mounted; the parent waits and
 * takes its exit status from the child: 0 once daemon_ready() was called,
 * which must be when the mount is live, 1 when the child ended before. Until
 * then the child's error messages still reach the terminal.
 */
#ifndef FS_DAEMON_H
#define FS_DAEMON_H

#include <sys/types.h>

/*
 * fork() with a pipe, @ends, between the two; neither has closed an end.
 * => the child's pid, 0 in the child, or -errno.
 */
pid_t daemon_fork(int ends[2]);
/* Returns in the child only. => 0 or -errno. */
int daemon_start(void);
/* Tell the parent, and let go of the terminal. */
void daemon_ready(void);

#endif
