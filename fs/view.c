/*
 * view.c - a live view's life: mounted, served, unmounted.
 *
 * A few threads take requests from /dev/fuse and answer at once what does not
 * wait (fs/view_fuse.c); what may wait goes to a pool. They poll the device
 * together with an event that means "stop", so that ending them needs neither
 * a signal nor a request from outside.
 *
 * The end must come however the world looks: readers with open files, a
 * request stuck in the machine because the store is gone, a mount somebody
 * has unmounted or moved already. So: threads first (nobody may write to the
 * device's descriptor number after it is closed and perhaps somebody else's),
 * then the pool with a time limit, then the device, then the mount, lazily.
 * /dev/null takes the device's place: the kernel sees the last user of the
 * connection go and fails everybody's requests, and what a stuck one will say
 * one day goes nowhere; its memory is left as it is.
 *
 * libfuse would unmount whatever is at the path by then, perhaps the view of
 * another machine that was started meanwhile; so it is not asked to. The
 * number by which we know ours is given anew once ours is gone. What has our
 * number and is served is ours if our connection lives; what has it and is
 * dead is ours, or nobody's.
 *
 * kill -9: the kernel ends the connection, readers get ENOTCONN, and a helper
 * process (fs/view_watch.c) takes the mount away.
 *
 * No locks; struct view does not change between start and stop.
 */
#include "fs/view.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fs/view_ctl.h"
#include "fs/view_fuse.h"
#include "fs/view_jobs.h"
#include "fs/view_mount.h"
#include "fs/view_watch.h"

#define NTHREADS 4
#define MAX_WAITING 64		/* accesses that wait, and as many commands */
#define STOP_THREAD_MS 5000	/* only for want of a CPU: they never wait for I/O */
#define STOP_JOBS_MS 1500	/* this is patience, not need */
#define STOP_LOOK_MS 100

#define MOUNT_OPTIONS "fsname=" VIEW_MOUNT_NAME ",subtype=" VIEW_MOUNT_NAME \
	",default_permissions"

struct view {
	struct view_server server;
	struct fuse_session *session;
	char path[PATH_MAX];
	long connection;		/* its number, to know it again */
	int stop_event;
	pthread_t threads[NTHREADS];
	unsigned nthreads;
	struct view_watch watch;
};

/* ---- what libfuse has to say ---- */

/* It prints to stderr; while mounting, the last line is our error message. */
static _Thread_local char *log_line;
static _Thread_local size_t log_size;

static void view_log(enum fuse_log_level level, const char *format,
		     va_list args)
{
	(void)level;
	if (!log_line) {
		vfprintf(stderr, format, args);
		return;
	}
	vsnprintf(log_line, log_size, format, args);
	log_line[strcspn(log_line, "\n")] = '\0';
}

/* ---- serving ---- */

static void *view_serve(void *arg)
{
	struct view *view = arg;
	struct fuse_buf buf = {.mem = NULL};
	struct pollfd fds[2] = {
		{.fd = fuse_session_fd(view->session), .events = POLLIN},
		{.fd = view->stop_event, .events = POLLIN},
	};
	int n;

	while (!fuse_session_exited(view->session)) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		n = fuse_session_receive_buf(view->session, &buf);
		if (n > 0)
			fuse_session_process_buf(view->session, &buf);
		else if (n != -EINTR && n != -EAGAIN)
			break;
	}
	free(buf.mem);
	return NULL;
}

static int view_threads_start(struct view *view)
{
	int fd = fuse_session_fd(view->session), err;

	/* Whom poll() wakes, another may have been quicker. */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	while (view->nthreads < NTHREADS) {
		err = view_thread_start(&view->threads[view->nthreads],
					view_serve, view);
		if (err)
			return view->nthreads ? 0 : err;
		view->nthreads++;
	}
	return 0;
}

/* => did all of them end? */
static bool view_threads_stop(struct view *view)
{
	uint64_t one = 1;
	bool ended = true;

	fuse_session_exit(view->session);
	if (write(view->stop_event, &one, sizeof(one)) != sizeof(one))
		ended = false;
	for (unsigned i = 0; i < view->nthreads; i++)
		ended &= view_thread_join(view->threads[i], STOP_THREAD_MS);
	view->nthreads = 0;
	return ended;
}

/* ---- mounting ---- */

static int session_mount(struct view *view)
{
	char *argv[] = {(char *)VIEW_MOUNT_NAME, (char *)"-o",
			(char *)MOUNT_OPTIONS, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);

	view->session = fuse_session_new(&args, &view_fuse_ops,
					 sizeof(view_fuse_ops), &view->server);
	fuse_opt_free_args(&args);
	if (!view->session)
		return -ENOMEM;
	if (!fuse_session_mount(view->session, view->path))
		return 0;
	fuse_session_destroy(view->session);
	view->session = NULL;
	return -ENODEV;
}

static int view_mount(struct view *view, char *why, size_t size)
{
	char line[200] = "";
	int err;

	fuse_set_log_func(view_log);
	log_line = line;
	log_size = sizeof(line);
	err = session_mount(view);
	log_line = NULL;
	if (err) {
		snprintf(why, size, "%s: cannot mount the live view: %s",
			 view->path, line[0] ? line : strerror(-err));
		return err;
	}
	view->connection = view_mount_find(view->path);
	view_watch_start(&view->watch, view->path);
	return 0;
}

/* Is there something by our number? */
static bool view_is_found(const struct view *view)
{
	return view->connection >= 0 &&
	       view_mount_find(view->path) == view->connection;
}

/* Does the kernel know our connection still? */
static bool view_is_connected(const struct view *view)
{
	struct pollfd fd = {.fd = fuse_session_fd(view->session)};

	return poll(&fd, 1, 0) == 0 || !(fd.revents & POLLERR);
}

bool view_is_mounted(const struct view *view)
{
	return view_is_connected(view) && view_is_found(view);
}

dev_t view_device(const struct view *view)
{
	return view->connection < 0 ? 0 : makedev(0, view->connection);
}

/* => the connection is closed, the mount detached. Whatever happened to it
 * meanwhile, another's is left alone. */
static void view_unmount(struct view *view)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup3(null, fuse_session_fd(view->session), O_CLOEXEC);
		close(null);
	}
	if (view_is_found(view) && view_mount_is_dead(view->path))
		view_mount_clear(view->path);
	view_watch_stop(&view->watch);
}

/* ---- start and stop ---- */

static struct view *view_alloc(struct vm *vm, const struct view_ops *ops)
{
	struct view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	view->server.src.vm = vm;
	view->server.src.ops = *ops;
	pthread_mutex_init(&view->server.lock, NULL);
	LIST_INIT(&view->server.files);
	view_calls_init(&view->server.calls);
	view->server.uid = geteuid();
	view->server.gid = getegid();
	view->server.accesses = view_jobs_create(MAX_WAITING);
	view->server.commands = view_jobs_create(MAX_WAITING);
	view->server.board = view_board_create();
	view->connection = -1;
	view->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return view;
}

/* => no thread is left. */
static void view_free(struct view *view)
{
	if (view->session) {
		view_unmount(view);
		fuse_session_destroy(view->session);
	}
	view_jobs_destroy(view->server.accesses, 0);
	view_jobs_destroy(view->server.commands, 0);
	view_fuse_close_all(&view->server);
	view_calls_destroy(&view->server.calls);
	pthread_mutex_destroy(&view->server.lock);
	view_board_destroy(view->server.board);
	if (view->stop_event >= 0)
		close(view->stop_event);
	free(view);
}

int view_start(struct vm *vm, const struct view_ops *ops,
	       const char *mountpoint, struct view **viewp, char *why,
	       size_t size)
{
	struct view *view = view_alloc(vm, ops);
	int err;

	snprintf(why, size, "%s: cannot start the live view: out of memory, "
		 "threads or files", mountpoint);
	if (!view)
		return -ENOMEM;
	err = view->server.accesses && view->server.commands &&
		view->server.board && view->stop_event >= 0 ? 0 : -ENOMEM;
	if (!err)
		err = view_mount_prepare(mountpoint, view->path, why, size);
	if (!err)
		err = view_mount(view, why, size);
	if (!err)
		err = view_threads_start(view);
	if (err) {
		view_free(view);
		return err;
	}
	*viewp = view;
	return 0;
}

/* => have all in the pool ended? Then it is no more. */
static bool view_pool_stop(struct view_jobs **jobs)
{
	if (!view_jobs_destroy(*jobs, STOP_LOOK_MS))
		return false;
	*jobs = NULL;
	return true;
}

/* Who waits for memory may begin to at any time: told again and again. */
static bool view_jobs_stop(struct view *view)
{
	const struct view_ops *ops = &view->server.src.ops;
	bool ended = false;

	for (int ms = 0; ms < STOP_JOBS_MS && !ended; ms += STOP_LOOK_MS) {
		if (ops->interrupt)
			ops->interrupt(ops->ctx);
		ended = view_pool_stop(&view->server.commands) &&
			view_pool_stop(&view->server.accesses);
	}
	return ended;
}

int view_stop(struct view *view)
{
	bool ended;

	if (!view)
		return 0;
	atomic_store(&view->server.src.closing, true);
	ended = view_threads_stop(view);
	view_calls_stop(&view->server.calls);
	if (!ended || !view_jobs_stop(view)) {
		view_unmount(view);
		return -EBUSY;
	}
	view_free(view);
	return 0;
}
