/*
 * pipe.c - a serving thread's pipe: pages of a file go to /dev/fuse by
 * reference, and are copied once, by who reads them.
 *
 * It is made when it is first wanted, and never waits: what does not fit or
 * is not there is an error. Where there can be none (no descriptors, or too
 * many pages of the user's in pipes), there is no room in it, and that stays
 * so. SPLICE_F_MOVE is not asked for: the pages are the file's and stay it.
 *
 * The thread's own; no locks.
 */
#include "fs/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIPE_PAGE	4096u
#define PIPE_WISH	(1u << 20)	/* who is no superuser may have so much */

static __thread struct {
	bool tried;
	int from, to;
	size_t room;
} self_pipe;

static void pipe_make(void)
{
	int fds[2], size;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return;
	self_pipe.from = fds[0];
	self_pipe.to = fds[1];
	fcntl(fds[0], F_SETPIPE_SZ, PIPE_WISH);
	size = fcntl(fds[0], F_GETPIPE_SZ);
	/* A page for the header, and data may begin and end within one. */
	if (size > 2 * (int)PIPE_PAGE)
		self_pipe.room = size - 2 * PIPE_PAGE;
	else
		pipe_close();
}

size_t pipe_room(int device)
{
	struct stat st;

	if (!self_pipe.tried) {
		self_pipe.tried = true;
		if (!fstat(device, &st) && S_ISCHR(st.st_mode))
			pipe_make();
	}
	return self_pipe.room;
}

ssize_t pipe_fill(const void *header, size_t header_size, int fd,
		  off_t offset, size_t size)
{
	struct iovec iov = { (void *)header, header_size };
	ssize_t moved = vmsplice(self_pipe.to, &iov, 1, SPLICE_F_NONBLOCK);

	if (moved == (ssize_t)header_size)
		moved = splice(fd, &offset, self_pipe.to, NULL, size,
			       SPLICE_F_NONBLOCK);
	else if (moved >= 0)
		return -EIO;
	return moved < 0 ? -errno : moved;
}

/*
 * What a client asks for after an answer comes after it, whichever thread has
 * it. The thread sanitizer knows that of write(2), and not of splice(2).
 */
static void pipe_order(int device)
{
#ifdef __SANITIZE_THREAD__
	if (write(device, "", 0) < 0)
		return;			/* as it should */
#else
	(void)device;
#endif
}

int pipe_send(int device, size_t size)
{
	ssize_t sent;

	pipe_order(device);
	sent = splice(self_pipe.from, NULL, device, NULL, size,
		      SPLICE_F_NONBLOCK);
	if (sent < 0)
		return -errno;
	return sent == (ssize_t)size ? 0 : -EIO;
}

size_t pipe_take(void *buf, size_t size)
{
	ssize_t taken = read(self_pipe.from, buf, size);

	return taken < 0 ? 0 : taken;
}

void pipe_close(void)
{
	if (self_pipe.to) {
		close(self_pipe.from);
		close(self_pipe.to);
	}
	self_pipe.from = self_pipe.to = 0;
	self_pipe.room = 0;
}
