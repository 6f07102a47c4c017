/*
 * session.c - mount, serve, unmount.
 *
 * The main thread mounts, starts the serving threads and then only waits:
 * for a signal, or for the threads to say that the file system is unmounted.
 * After a signal it takes the mount out of the tree while the threads still
 * serve, lets them finish what has been asked, and ends.
 */
#include "fs/session.h"
#include "fs/afterlife.h"
#include "fs/control.h"
#include "fs/gate.h"
#include "fs/held.h"
#include "fs/loop.h"
#include "fs/memory.h"
#include "fs/mountpoint.h"
#include "fs/operations.h"
#include "fs/recorder.h"
#include "fs/report.h"
#include "fs/told.h"
#include "fs/watchdog.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * Asynchronous direct reads and writes the kernel sends us at once. Its own
 * default of 12 would be the queue depth which the disk sees. Who submits one
 * more sleeps in io_uring_enter() until another is answered: more than the
 * machine's engine has in flight (256), or a slow store stops emulated CPUs.
 */
#define SESSION_BACKGROUND	512
/*
 * The largest read, where SOURCE is in memory. It fits a pipe of 1 MiB
 * (fs/pipe.c), and two threads share what is larger.
 */
#define SESSION_PASSED		"max_read=524288"
#define SESSION_DRAIN_MS	5000
#define SESSION_CUT_MS		500

/* FUSE_DIRECT_IO_ALLOW_MMAP: Linux 6.6, newer than Debian 12's headers. */
#define SESSION_DIRECT_MINOR	39
#define SESSION_DIRECT_MMAP	(1u << (36 - 32))

static void session_init(void *userdata, struct fuse_conn_info *conn)
{
	struct volume *volume = userdata;

	volume->direct_mapped = conn->proto_minor >= SESSION_DIRECT_MINOR;
	conn->max_read = volume->max_read;	/* or libfuse ends the mount */
	if (conn->max_write > SLOT_PAYLOAD)	/* newer libfuse: as the kernel */
		conn->max_write = SLOT_PAYLOAD;
	conn->max_background = SESSION_BACKGROUND;
	conn->congestion_threshold = SESSION_BACKGROUND * 3 / 4;
	/* The second version is wanted instead: newer_init_flags(). */
	conn->want &= ~FUSE_CAP_HANDLE_KILLPRIV;
	/* Requests are read into slots and answered from them. */
	conn->want &= ~(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
			FUSE_CAP_SPLICE_MOVE);
	/* Only the kernel below knows what a default ACL does to a umask. */
	conn->want |= conn->capable & (FUSE_CAP_POSIX_ACL |
				       FUSE_CAP_DONT_MASK);
	/* A time that is another one is of a change the kernel knows of. */
	if (volume->options.cache == OPTIONS_CACHE_ALWAYS)
		conn->want &= ~FUSE_CAP_AUTO_INVAL_DATA;
	if (volume->options.writeback)
		conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
}

static void session_fill(struct fuse_lowlevel_ops *ops)
{
	*ops = (struct fuse_lowlevel_ops){ .init = session_init };
	meta_install(ops);
	name_install(ops);
	dir_install(ops);
	file_install(ops);
	range_install(ops);
	data_install(ops);
	ioctl_install(ops);
}

/* Ours first: what the user gave comes later and wins. */
static int session_add_options(struct volume *volume)
{
	struct options *options = &volume->options;
	char *list = NULL, *name = NULL, *arg = NULL;
	int err = -ENOMEM;

	if (asprintf(&name, "fsname=%s", options->source) < 0)
		return -ENOMEM;
	if (!fuse_opt_add_opt(&list, "default_permissions,subtype=pagerfs") &&
	    (!volume->in_memory || !fuse_opt_add_opt(&list, SESSION_PASSED)) &&
	    !fuse_opt_add_opt_escaped(&list, name) &&
	    asprintf(&arg, "-o%s", list) >= 0 &&
	    !fuse_opt_insert_arg(&options->rest, 1, arg))
		err = 0;
	free(arg);
	free(list);
	free(name);
	return err;
}

/* The size of reads that the kernel is told by option. => 0 or -1 */
static int session_find_max_read(struct volume *volume)
{
	static const struct fuse_opt max_read[] = {
		{ "max_read=%u", 0, 0 },
		FUSE_OPT_KEY("max_read=", FUSE_OPT_KEY_KEEP),
		FUSE_OPT_END
	};

	return fuse_opt_parse(&volume->options.rest, &volume->max_read,
			      max_read, NULL);
}

/*
 * What this libfuse cannot ask for yet. That files open for direct I/O may be
 * mapped all the same: see file_reply_open().
 */
static void session_patch_init(const struct volume *volume,
			       const struct iovec *reply)
{
	const struct fuse_init_in *offer = loop_request();
	struct fuse_init_out *init = reply->iov_base;

	if (reply->iov_len < sizeof(*init))
		return;
	init->flags |= newer_init_flags(offer->flags);
	if (volume->direct_mapped) {
		init->flags |= FUSE_INIT_EXT;
		init->flags2 |= SESSION_DIRECT_MMAP;
	}
}

/* All of libfuse's replies pass here; the first one answers FUSE_INIT. */
static ssize_t session_send(int fd, struct iovec *iov, int count,
			    void *userdata)
{
	struct volume *volume = userdata;

	if (!gate_answer(loop_answering(), iov, &count)) {
		errno = ENOENT;		/* as when it was interrupted */
		return -1;
	}
	if (!volume->greeted) {
		volume->greeted = true;
		if (count == 2)
			session_patch_init(volume, &iov[1]);
	}
	if (loop_send(loop_answering(), iov, count))
		return ((const struct fuse_out_header *)iov[0].iov_base)->len;
	return writev(fd, iov, count);
}

/* libfuse wants one, but our threads read the requests. */
static ssize_t session_receive(int fd, void *buf, size_t length,
			       void *userdata)
{
	(void)userdata;
	return read(fd, buf, length);
}

/* => With our handlers, and not mounted; NULL: libfuse said why. */
static struct fuse_session *session_new(struct volume *volume)
{
	struct fuse_lowlevel_ops ops;

	session_fill(&ops);
	if (recorder_runs())	/* the kernel copies, and we see the writes */
		ops.copy_file_range = NULL;
	if (volume->options.writeback)	/* it knows the data and the size */
		ops.lseek = NULL;
	if (session_add_options(volume)) {
		report("out of memory");
		return NULL;
	}
	if (session_find_max_read(volume))
		return NULL;
	return fuse_session_new(&volume->options.rest, &ops, sizeof(ops),
				volume);
}

static int session_connect(struct fuse_session *se, int fd)
{
	static const struct fuse_custom_io io = {
		.writev = session_send,
		.read = session_receive,
	};

	return fuse_session_custom_io(se, &io, fd);
}

struct fuse_session *session_on(struct volume *volume, int fd)
{
	struct fuse_session *se = session_new(volume);

	gate_open(volume);
	if (se && session_connect(se, fd)) {
		fuse_session_destroy(se);
		return NULL;
	}
	return se;
}

/* libfuse itself says what is wrong. */
static struct fuse_session *session_make_mount(struct volume *volume)
{
	struct fuse_session *se;

	report_mounting(volume->options.mountpoint);
	se = session_new(volume);
	volume->se = se;
	if (se && fuse_session_mount(se, volume->options.mountpoint)) {
		fuse_session_destroy(se);
		se = NULL;
	}
	report_mounting(NULL);
	return se;
}

static struct fuse_session *session_mount(struct volume *volume)
{
	struct fuse_session *se = session_make_mount(volume);
	dev_t dev;

	if (se && !mountpoint_device(volume->options.mountpoint, &dev))
		volume->own_dev = dev;
	if (se && session_connect(se, fuse_session_fd(se))) {
		fuse_session_unmount(se);
		fuse_session_destroy(se);
		return NULL;
	}
	return se;
}

/* => told_open() */
static int session_block_signals(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* who writes is told EFBIG */
	signal(SIGIO, SIG_IGN);		/* keep_writers() */
	return told_open();
}

/* => Did a signal end the wait, rather than somebody's unmount? */
static bool session_wait(struct loop *loop, int signal_fd)
{
	struct pollfd fds[] = {
		{ .fd = loop_ended_fd(loop), .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
	};

	while (poll(fds, 2, loop_reinforce(loop)) <= 0)
		;
	told_wait(0);
	return !fds[0].revents;
}

/* Unmounted, or aborted. */
static bool session_is_gone(struct fuse_session *se)
{
	struct pollfd device = { .fd = fuse_session_fd(se) };

	return poll(&device, 1, 0) > 0 && device.revents & POLLERR;
}

/*
 * Take our mount out of the tree, and nobody else's: somebody may have done
 * it, and mounted another there. Numbers of devices are used again as soon as
 * they are free, so ours tells only while the connection lives; that is looked
 * at second. Once: afterwards what is there is not ours.
 */
static void session_detach(struct volume *volume)
{
	const char *at = volume->options.mountpoint;
	dev_t dev;
	int err = mountpoint_device(at, &dev);

	if (session_is_gone(volume->se))
		;	/* there is none */
	else if (err || !volume->own_dev)
		report("%s: cannot tell whether the mount there is ours: "
		       "unmount it with 'fusermount3 -u %s'", at, at);
	else if (dev == volume->own_dev)
		mountpoint_detach(at);
	afterlife_end();
}

static int session_run(struct volume *volume, struct loop *loop,
		       int signal_fd)
{
	bool asked = session_wait(loop, signal_fd);

	/* Also when serving has ended, and nobody unmounted. */
	session_detach(volume);
	if (asked) {
		if (gate_watches(GATE_CUT))
			held_cut_wait();
		/* After a power cut all that comes is told so at once. */
		loop_drain(loop, gate_watches(GATE_CUT) ? SESSION_CUT_MS :
			   SESSION_DRAIN_MS);
	}
	watchdog_stop();
	return loop_join(loop);
}

/* => false: some of it hangs, with threads of ours. */
static bool session_settle_held(void)
{
	return gate_watches(GATE_CUT) ? held_cut_wait() : held_end();
}

/*
 * A thread hangs in SOURCE. Nobody else shall: without /dev/fuse all clients
 * are told that the connection is gone, and the rest of us goes as soon as
 * SOURCE lets it.
 */
static __attribute__((noreturn)) void session_abandon(struct fuse_session *se)
{
	report("requests still hang in SOURCE; leaving without them");
	close(fuse_session_fd(se));
	_exit(EXIT_FAILURE);
}

/* What stands around the serving threads: rules, control, the watchdog. */
static int session_surround(struct volume *volume, struct loop *loop)
{
	gate_open(volume);
	if (!volume->options.nocontrol)
		control_open(volume, loop);
	return watchdog_start(loop, volume->options.timeout);
}

int session_serve(struct volume *volume, void (*ready)(void))
{
	int signal_fd = session_block_signals(), err = -ENOMEM;
	struct fuse_session *se;
	struct loop *loop;

	if (signal_fd < 0) {
		report("cannot start: signals: %s", strerror(errno));
		return -EIO;
	}
	memory_prepare();
	se = session_mount(volume);
	if (!se) {
		told_close();
		return -EIO;
	}
	umask(0);
	if (volume->options.auto_unmount &&
	    afterlife_start(volume->options.mountpoint, volume->own_dev))
		report_at(REPORT_WARNING, "no process for auto_unmount");
	loop = loop_create(se, volume->options.single ? 1 :
			   volume->options.threads);
	if (loop)
		err = session_surround(volume, loop);
	if (!err)
		err = loop_start(loop);
	if (err) {
		fuse_session_unmount(se);
		afterlife_end();
		watchdog_stop();
	} else {
		report_at(REPORT_INFO, "%s is served at %s",
			  volume->options.source, volume->options.mountpoint);
		ready();
		err = session_run(volume, loop, signal_fd);
	}
	if (!session_settle_held() || err == -ETIMEDOUT)
		session_abandon(se);
	if (loop)
		loop_destroy(loop);
	/* Unmounted by now; this closes /dev/fuse and nothing else. */
	fuse_session_destroy(se);
	told_close();
	report_at(REPORT_INFO, "%s is no longer served",
		  volume->options.source);
	return err;
}
