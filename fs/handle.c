/*
 * handle.c - file handles: see handle.h. No state, no locks.
 */
#include "fs/handle.h"
#include "fs/again.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

struct handle {
	int mount_id;
	struct file_handle kernel;	/* ends in its bytes */
};

struct handle *handle_at(int dir_fd, const char *name)
{
	union {
		struct file_handle kernel;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} buf;
	struct handle *handle;
	int mount_id;

	buf.kernel.handle_bytes = MAX_HANDLE_SZ;
	if (AGAIN(name_to_handle_at(dir_fd, name, &buf.kernel, &mount_id,
				    AT_EMPTY_PATH)))
		return NULL;
	handle = malloc(sizeof(*handle) + buf.kernel.handle_bytes);
	if (!handle)
		return NULL;
	handle->mount_id = mount_id;
	memcpy(&handle->kernel, &buf, sizeof(buf.kernel) +
	       buf.kernel.handle_bytes);
	return handle;
}

struct handle *handle_of(int fd)
{
	return handle_at(fd, "");
}

bool handle_equal(const struct handle *a, const struct handle *b)
{
	return a->kernel.handle_type == b->kernel.handle_type &&
	       a->kernel.handle_bytes == b->kernel.handle_bytes &&
	       !memcmp(a->kernel.f_handle, b->kernel.f_handle,
		       a->kernel.handle_bytes);
}

bool handle_same_mount(const struct handle *a, const struct handle *b)
{
	return a->mount_id == b->mount_id;
}

int handle_open(int mount_fd, const struct handle *handle, int flags)
{
	/* The kernel only reads it, whatever the prototype says. */
	int fd = AGAIN(open_by_handle_at(mount_fd,
					 (struct file_handle *)&handle->kernel,
					 flags | O_CLOEXEC));

	return fd < 0 ? -errno : fd;
}
