/*
 * view.h - the live view: the state of a running machine as files.
 *
 * A file system of its own, served by host threads inside the machine's
 * process, in the manner of /proc. What the files are called and how they
 * are made is a table (fs/view_table.c); docs/live-view.md is for its users.
 *
 * How to use it:
 * - make the machine, fill in struct view_ops, view_start();
 * - never touch the mount from the process that serves it: on exit it would
 *   wait for itself;
 * - view_stop() before vm_destroy().
 */
#ifndef FS_VIEW_H
#define FS_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct vm;
struct view;

/*
 * What the view asks of the machine besides snapshots. The calls come from
 * several threads at once, each with @ctx first. @stat and
 * @interrupt must not wait. A NULL member: the files behind it are not there.
 */
struct view_ops {
	void *ctx;
	/* Memory of @pid, faulting pages in. => bytes moved before the first
	 * address that cannot be reached, or -EFAULT, -EIO, -ESRCH. */
	ssize_t (*peek)(void *ctx, int pid, uint64_t addr, void *buf,
			size_t len);
	ssize_t (*poke)(void *ctx, int pid, uint64_t addr, const void *buf,
			size_t len);
	/* Run @text: whole lines of the workload language, the last newline
	 * may be missing; not NUL-terminated. @pid: what `self` means, 0:
	 * nothing. @gone: set when nobody waits for it any more, or the view
	 * goes; the rest need not run. @msg: what there is to say,
	 * NUL-terminated; "" means "ok".
	 * => 0 or -errno. */
	int (*command)(void *ctx, int pid, const char *text, size_t len,
		       const atomic_bool *gone, char *msg, size_t size);
	/* Who waits inside @poke or @peek for memory gets it no more. */
	void (*interrupt)(void *ctx);
	/* Counter @index. => false past the last. */
	bool (*stat)(void *ctx, unsigned index, const char **name,
		     uint64_t *value);
};

/*
 * Mount the view of @vm at the directory @mountpoint, which must exist, and
 * serve it. A view left there by a machine that died is cleared away first.
 * @ops is copied. => 0; -EBUSY: a living machine's view is there; another
 * -errno; then @why, of @size bytes, says it in a line for the user.
 */
int view_start(struct vm *vm, const struct view_ops *ops,
	       const char *mountpoint, struct view **view, char *why,
	       size_t size);

/* Is it mounted still? It goes with the mount which it is in. Asks nobody. */
bool view_is_mounted(const struct view *view);

/* The device its files are on. This process must not keep one open: when it is
 * killed, closing it would wait for an answer of its own. */
dev_t view_device(const struct view *view);

/*
 * Unmount and end the threads, whoever still has files open: they get errors
 * from then on. Takes some seconds at most. => 0; -EBUSY: a request is still
 * inside the machine (waiting for a store that is gone): the view is
 * unmounted, but leave @vm and what @ops->ctx points at alone until the
 * process ends. @view NULL: nothing.
 */
int view_stop(struct view *view);

#endif
