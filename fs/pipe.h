/*
 * pipe.h - the pipe of a serving thread: large answers without a copy here.
 *
 *	pipe_fill()	a header, and pages of a file, by reference
 *	pipe_send()	all of that to /dev/fuse, or
 *	pipe_take()	out of the pipe again
 *
 * Before pipe_fill() and after the other two the pipe is empty.
 */
#ifndef FS_PIPE_H
#define FS_PIPE_H

#include <stddef.h>
#include <sys/types.h>

/* => How many bytes a message to @device may have behind its header; 0: there
 * is no pipe, or @device takes messages by write(2) only. */
size_t pipe_room(int device);

/*
 * The header is taken by reference too: what it says when it is sent is what
 * counts. => How much of [@offset, @offset + @size) of @fd follows it, or
 * -errno; both leave the header in the pipe.
 */
ssize_t pipe_fill(const void *header, size_t header_size, int fd,
		  off_t offset, size_t size);

/* @size: all of it. => 0 or -errno; then pipe_take() has what is left. */
int pipe_send(int device, size_t size);

/* @size: room for all of it. => Bytes, 0: it was empty. */
size_t pipe_take(void *buf, size_t size);

/* The thread ends. */
void pipe_close(void);

#endif
