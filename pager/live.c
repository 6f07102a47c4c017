/*
 * live.c - see live.h.
 *
 * The view calls from threads of its own; what it asks goes on to the machine
 * and to the session of the workload language. Lock: one, around which view
 * there is and where. It is held while one is stopped, which takes seconds at
 * most, and while the store makes a place for one, which takes as long as the
 * store likes; so the end of the machine waits for it with a deadline. No call
 * of the view takes it.
 */
#include "pager/live.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fs/join.h"
#include "fs/view.h"
#include "pager/runner.h"
#include "pager/vm.h"

#define FUSE_MAGIC	0x65735546
#define LOCK_MS		1500	/* patience of the end with the store */

__attribute__((format(printf, 2, 3)))
static int live_fail(char why[LIVE_WHY], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, LIVE_WHY, fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- its calls ---- */

static ssize_t live_peek(void *ctx, int pid, uint64_t addr, void *buf,
			 size_t len)
{
	struct live *l = ctx;

	return vm_peek(l->vm, pid, addr, buf, len, NULL);
}

static ssize_t live_poke(void *ctx, int pid, uint64_t addr, const void *buf,
			 size_t len)
{
	struct live *l = ctx;

	return vm_poke(l->vm, pid, addr, buf, len, NULL);
}

/* What it printed and what was wrong; if that is too much, all of the latter. */
static void live_answer(const struct runner_result *res, char *msg, size_t size)
{
	const char *output = res->output ? res->output : "", *cut = "";
	size_t n = strlen(output);
	size_t room = size - sizeof(res->message) - 16;

	if (n > room) {
		n = room;
		cut = " (cut)\n";
	}
	snprintf(msg, size, "%.*s%s%s", (int)n, output, cut, res->message);
}

static int live_command(void *ctx, int pid, const char *text, size_t len,
			const atomic_bool *gone, char *msg, size_t size)
{
	struct runner_exec as = { .name = "ctl", .self = pid, .stop = gone };
	struct live *l = ctx;
	struct runner_result res;
	int err = runner_session_exec(l->session, &as, text, len, &res);

	live_answer(&res, msg, size);
	free(res.output);
	return err;
}

/* Only at the end: else it is the view alone that is mounted anew. */
static void live_interrupt(void *ctx)
{
	struct live *l = ctx;

	if (atomic_load(&l->ending))
		vm_interrupt(l->vm);
}

static bool live_stat(void *ctx, unsigned index, const char **name,
		      uint64_t *value)
{
	struct live *l = ctx;

	return vm_stat(l->vm, index, name, value);
}

/* ---- where it is ---- */

/* A link BASE/vm/NAME of ours leads to a directory of an earlier machine, or
 * nowhere any more; what is no link, nor an empty directory, is the user's. */
static int live_unlink(struct live *l, char why[LIVE_WHY])
{
	struct stat st;

	if (lstat(l->link, &st) == 0 &&
	    (S_ISLNK(st.st_mode) ? unlink(l->link) : rmdir(l->link)) < 0)
		return live_fail(why, "%s: is in the way of the live view; "
				 "remove it or choose another name", l->link);
	return 0;
}

static int live_link_make(struct live *l, char why[LIVE_WHY])
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	ssize_t n = readlink(l->link, l->dir, sizeof(l->dir) - 1);

	l->dir[n > 0 ? n : 0] = 0;
	if (n > 0 && (access(l->dir, F_OK) == 0 || errno == ENOTCONN))
		return 0;
	if (live_unlink(l, why) < 0)
		return -1;
	snprintf(l->dir, sizeof(l->dir), "%s/pagervm-%s.XXXXXX",
		 base && *base ? base : "/tmp", l->name);
	if (!mkdtemp(l->dir))
		return live_fail(why, "%s: %s", l->dir, strerror(errno));
	l->made_dir = true;
	if (symlink(l->dir, l->link) < 0)
		return live_fail(why, "%s: %s", l->link, strerror(errno));
	return 0;
}

/* Is there a store where the view is to be? Else it would be in the bare mount
 * point, where the next store covers it. */
static bool live_has_store(const struct live *l)
{
	struct statfs fs;

	return l->plain || (statfs(l->base, &fs) == 0 &&
			    fs.f_type == FUSE_MAGIC);
}

/* In a store that others can write to, root is not to be led elsewhere: what is
 * mounted or made is ours. */
static int live_check_link(const char *path, char why[LIVE_WHY])
{
	struct stat st;

	if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode) ||
	    st.st_uid == geteuid())
		return 0;
	return live_fail(why, "%s: is a link that another user made; remove "
			 "it or choose another name", path);
}

/*
 * Where the view is to be mounted: at BASE/vm/NAME. But into a FUSE mount of
 * an ordinary user the kernel lets nobody else, and fusermount3, which is
 * root's, could not mount there: then beside it, and a link leads there.
 */
static int live_place(struct live *l, char why[LIVE_WHY])
{
	struct statfs fs;

	snprintf(l->dir, sizeof(l->dir), "%s/vm", l->base);
	if (mkdir(l->dir, 0755) < 0 && errno != EEXIST)
		return live_fail(why, "%s: %s", l->dir, strerror(errno));
	if (live_check_link(l->dir, why) < 0)
		return -1;
	snprintf(l->dir, sizeof(l->dir), "%s/vm/%s", l->base, l->name);
	if (live_check_link(l->dir, why) < 0)
		return -1;
	if (geteuid() != 0 && statfs(l->base, &fs) == 0 &&
	    fs.f_type == FUSE_MAGIC) {
		memcpy(l->link, l->dir, sizeof(l->link));
		return live_link_make(l, why);
	}
	if (mkdir(l->dir, 0755) == 0)
		l->made_dir = true;
	else if (errno != EEXIST && errno != ENOTCONN)
		return live_fail(why, "%s: %s", l->dir, strerror(errno));
	return 0;
}

/* ---- up and down ---- */

void live_init(struct live *l)
{
	pthread_mutex_init(&l->lock, NULL);
}

/* lock held */
static int live_mount(struct live *l, char why[LIVE_WHY])
{
	struct view_ops ops = {
		.ctx = l,
		.peek = live_peek,
		.poke = live_poke,
		.command = live_command,
		.interrupt = live_interrupt,
		.stat = live_stat,
	};
	const char *what = "live view: ";
	size_t n = strlen(what);

	if (live_place(l, why) < 0)
		return -1;
	if (atomic_load(&l->ending))	/* and perhaps did not wait for this */
		return live_fail(why, "live view: the machine ends");
	memcpy(why, what, n);
	if (view_start(l->vm, &ops, l->dir, &l->view, why + n,
		       LIVE_WHY - n) < 0)
		return -1;
	l->made_dir = l->up = true;
	return 0;
}

int live_up(struct live *l, char why[LIVE_WHY])
{
	int err;

	pthread_mutex_lock(&l->lock);
	err = live_mount(l, why);
	pthread_mutex_unlock(&l->lock);
	return err;
}

/* Is there to be one, and could it be? lock held */
static bool live_is_missing(struct live *l)
{
	return l->up && !atomic_load(&l->ending) &&
	       !(l->view && view_is_mounted(l->view)) && live_has_store(l);
}

/* => as live_again(). lock held */
static int live_mount_again(struct live *l, char why[LIVE_WHY])
{
	bool news;

	l->stuck |= view_stop(l->view) == -EBUSY;
	l->view = NULL;
	if (live_mount(l, why) == 0) {
		l->said[0] = 0;
		return 0;
	}
	news = !atomic_load(&l->ending) && strcmp(l->said, why) != 0;
	memcpy(l->said, why, LIVE_WHY);
	return news ? -1 : 0;
}

int live_again(struct live *l, char why[LIVE_WHY])
{
	int err;

	pthread_mutex_lock(&l->lock);
	err = live_is_missing(l) ? live_mount_again(l, why) : 0;
	pthread_mutex_unlock(&l->lock);
	return err;
}

dev_t live_device(struct live *l)
{
	dev_t dev;

	pthread_mutex_lock(&l->lock);
	dev = l->view ? view_device(l->view) : 0;
	pthread_mutex_unlock(&l->lock);
	return dev;
}

/* For the end. => false: the store has who holds the lock */
static bool live_lock(struct live *l)
{
	unsigned ms = 0;

	while (pthread_mutex_trylock(&l->lock)) {
		if (ms >= LOCK_MS)
			return false;
		ms += join_tick();
	}
	return true;
}

int live_down(struct live *l)
{
	int err;

	atomic_store(&l->ending, true);
	if (!live_lock(l))
		return -EBUSY;
	err = view_stop(l->view);
	if (l->stuck)
		err = -EBUSY;
	pthread_mutex_unlock(&l->lock);
	return err;
}

void live_clear(struct live *l)
{
	if (!live_lock(l))
		return;
	/* Busy: another machine's by now, and so is the link. */
	if (l->made_dir && (rmdir(l->dir) == 0 || errno == ENOENT))
		unlink(l->link);
	pthread_mutex_unlock(&l->lock);
}
