/*
 * pagervm.c - main() of the machine: what is joined to what.
 *
 * The only file that sees all layers. It makes RAM, an engine over it, swap
 * areas and files through the mounted store, the machine on top, and a live
 * view beside it; runs the programs named on the command line; and takes all
 * of it down again, whatever happened, in the opposite order.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "emu/ram.h"
#include "emu/stale.h"
#include "mmucheck/mmucheck.h"
#include "pager/bar.h"
#include "pager/client.h"
#include "pager/deadline.h"
#include "pager/live.h"
#include "pager/lookout.h"
#include "pager/options.h"
#include "pager/preflight.h"
#include "pager/runner.h"
#include "pager/vm.h"
#include "pager/workload.h"
#include "swap/engine.h"
#include "swap/swap_store.h"

#define SWAP_MIN	(256ull << 20)	/* size of the default area */
#define RING_LOCKS_KIB	128u		/* of memory, and some less */
#define STALE_SHOWN	20		/* the others are counted */
#define TWICE_NS	1000000000	/* between two signals that are two */
#define LEAVE_MS	30000		/* for what is dirty, at a bad end */

/* Everything that is up, in the order in which it went up. */
struct machine {
	struct options opt;
	struct ram ram;
	struct store_engine *engine;
	struct swap_store *swap;
	struct stale *stale;		/* NULL: nobody checks the TLBs */
	struct vm *vm;
	struct lookout *lookout;
	struct runner_session *session;
	struct live live;		/* its view, unless --no-view */
	bool made_swap_dir;
	atomic_int_fast64_t ending;	/* since then, in ns; 0: not yet */
	bool held;			/* the programs have run: to be ended */
};

static struct machine *the_machine;	/* for the signal handler */
static atomic_bool interrupted;
static sem_t wake;			/* posted when it is */

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

/* ---- messages ---- */

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("pagervm: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return -1;
}

/* ---- going up ---- */

static int up_check_start(struct machine *m)
{
	char *why = preflight(&m->opt);
	int err = why ? fail("%s", why) : 0;

	free(why);
	return err;
}

static int up_ram(struct machine *m)
{
	int err = ram_create(&m->ram, m->opt.ram);

	if (err < 0)
		return fail("cannot make %llu bytes of RAM: %s",
			    (unsigned long long)m->opt.ram, strerror(-err));
	return 0;
}

static int up_engine(struct machine *m)
{
	struct aio_config aio = {
		.ram = m->ram.base, .ram_size = m->ram.size,
	};
	int err = engine_create(&aio, &m->engine);
	struct rlimit lock;

	if (err == -ENOSYS || err == -EPERM)
		return fail("io_uring cannot be used: %s; it needs Linux 5.15 "
			    "or later and kernel.io_uring_disabled=0",
			    strerror(-err));
	if (err == -ENOMEM && !getrlimit(RLIMIT_MEMLOCK, &lock) &&
	    lock.rlim_cur != RLIM_INFINITY)
		return fail("cannot set up I/O: %s; io_uring locks %u KiB, and "
			    "all programs of a user together may lock %llu "
			    "KiB: raise that with `ulimit -l'", strerror(-err),
			    RING_LOCKS_KIB,
			    (unsigned long long)(lock.rlim_cur >> 10));
	if (err < 0)
		return fail("cannot set up I/O: %s", strerror(-err));
	return 0;
}

/* A path as given, or below the store. */
static int store_path(const struct machine *m, const char *path, char *out)
{
	int n;

	if (*path == '/')
		n = snprintf(out, PATH_MAX, "%s", path);
	else
		n = snprintf(out, PATH_MAX, "%s/%s", m->opt.dir, path);
	return n < PATH_MAX ? 0 : fail("swap area %.64s...: %s", path,
				       strerror(ENAMETOOLONG));
}

static const char *swap_reason(int err, const struct swap_arg *s)
{
	switch (err) {
	case -ENOENT:
		return s->size ? "the directory is not there; make it first" :
		       "is not there; it is made if you say how large, with "
		       "--swap FILE,SIZE";
	case -ENOSPC:
		return "No space left on device, and all of it is allocated at "
		       "once; say how large, with --swap FILE,SIZE, or "
		       "--no-swap";
	case -EMEDIUMTYPE:
		return "holds something that is not a swap area; remove it or "
		       "name another file";
	case -EALREADY:
		return "is named twice: it is a swap area of this machine "
		       "already";
	case -EBUSY:
		return "is in use as a swap area by another machine; give "
		       "this one another with --swap FILE,SIZE, or --no-swap";
	case -ENODEV:
		return "not a regular file";
	case -EINVAL:
		return "a swap area needs at least two pages (8K)";
	case -EFBIG:
		return "a swap area can be at most 1T";
	default:
		return strerror(-err);
	}
}

/* The usual directory is made when it is named. */
static int up_swap_dir(struct machine *m, const char *path)
{
	char dir[PATH_MAX];

	if (strncmp(path, "swap/", 5))
		return 0;
	if (store_path(m, "swap", dir) < 0)
		return -1;
	if (mkdir(dir, 0700) == 0)
		m->made_swap_dir = true;
	else if (errno != EEXIST)
		return fail("%s: %s", dir, strerror(errno));
	return 0;
}

static int up_swap_area(struct machine *m, const struct swap_arg *s)
{
	char path[PATH_MAX];
	int err;

	if (up_swap_dir(m, s->path) < 0 ||
	    store_path(m, s->path, path) < 0)
		return -1;
	/* The kernel lets go of a killed machine's files in its own time. */
	for (int i = 0; i < 10; i++) {
		err = swap_store_add(m->swap, path, s->size, s->priority);
		if (err != -EBUSY || interrupted)
			break;
		usleep(100000);
	}
	if (err < 0)
		return fail("swap area %s: %s", path, swap_reason(err, s));
	return 0;
}

static int up_swap(struct machine *m)
{
	struct swap_arg s = {
		.path = "swap/swap0",
		.size = m->opt.ram > SWAP_MIN / 2 ? 2 * m->opt.ram : SWAP_MIN,
	};

	if (m->opt.no_swap)
		return 0;
	if (engine_swap(m->engine, &m->swap) < 0)
		return fail("cannot set up swap: out of memory");
	if (m->opt.nswaps == 0)
		return up_swap_area(m, &s);
	for (unsigned i = 0; i < m->opt.nswaps; i++)
		if (up_swap_area(m, &m->opt.swap[i]) < 0)
			return -1;
	return 0;
}

/* There is to be no machine: so it leaves no swap area that it made. */
static void undo_swap(struct machine *m)
{
	char dir[PATH_MAX];

	if (m->swap)
		swap_store_undo(m->swap);
	if (m->made_swap_dir && store_path(m, "swap", dir) == 0)
		rmdir(dir);
}

/* By a CPU that has just used it; one line, whole, of which many may come. */
static void stale_found(void *arg, const struct stale_report *r)
{
	struct machine *m = arg;
	uint64_t n = stale_reports(m->stale);
	char text[512];

	if (n > STALE_SHOWN)
		return;
	stale_format(r, text, sizeof(text));
	fprintf(stderr, "pagervm: %s%s\n", text,
		n == STALE_SHOWN ? " (no more of these are shown)" : "");
}

static int up_check(struct machine *m)
{
	if (!m->opt.check_tlb)
		return 0;
	m->stale = stale_create(stale_found, m);
	return m->stale ? 0 : fail("cannot make the machine: out of memory");
}

/* By a CPU. */
static void up_waits(void *arg, const char *name, int error)
{
	(void)arg;
	fprintf(stderr, "pagervm: processes wait for memory: %s takes no "
		"writes (%s); %s and they go on, or end the machine with "
		"SIGINT or SIGTERM\n", name, strerror(error),
		store_is_gone(-error) ? "mount its store again" :
					"make it writable again");
}

static void up_lost(void *arg, const char *name)
{
	(void)arg;
	fprintf(stderr, "pagervm: %s: a page is not what was written there: "
		"the store has lost or changed it; who needs it gets SIGBUS "
		"(pswplost counts them)\n", name);
}

static void up_again(void *arg, bool back);

static int up_vm(struct machine *m)
{
	struct vm_config c = {
		.ram = &m->ram,
		.ncpus = m->opt.cpus,
		.mode = m->opt.mode,
		.clock_spread = m->opt.spread,
		.cluster = m->opt.cluster,
		.engine = m->engine,
		.swap = m->swap,
		.tlb = m->opt.tlb,
		.stale = m->stale,
		.waits = up_waits,
		.lost = up_lost,
	};
	struct runner_opts r = {
		.base = m->opt.dir, .seed = m->opt.seed, .stop = &interrupted,
	};
	const char *why = "out of memory";
	int err = vm_create(&m->vm, &c, &why);

	if (err < 0)
		return fail("cannot make the machine: %s", why);
	if (runner_session_create(m->vm, &r, &m->session) < 0)
		return fail("cannot make the machine: out of memory");
	err = vm_start(m->vm);
	if (err < 0)
		return fail("cannot start the CPUs: %s", strerror(-err));
	m->lookout = lookout_start(m->vm, up_again, m);
	if (!m->lookout)
		return fail("cannot start the lookout: no host thread");
	return 0;
}

static int up_view(struct machine *m)
{
	char why[LIVE_WHY];

	if (m->opt.no_view)
		return 0;
	m->live.vm = m->vm;
	m->live.session = m->session;
	m->live.base = m->opt.dir;
	m->live.name = m->opt.name;
	m->live.plain = m->opt.plain;
	if (live_up(&m->live, why) < 0)
		return fail("%s", why);
	engine_forbid(m->engine, live_device(&m->live));
	return 0;
}

/* By the lookout, all the time. The store of the view may be back with nothing
 * on it that the lookout could see. */
static void up_again(void *arg, bool back)
{
	struct machine *m = arg;
	char why[LIVE_WHY];

	if (back)
		fprintf(stderr, "pagervm: %s: the store is back\n",
			m->opt.dir);
	if (live_again(&m->live, why) < 0)
		fail("%s", why);
	engine_forbid(m->engine, live_device(&m->live));
}

/* What takes longest, the swap areas' disk space, comes late; and after each
 * step there is a look at whether it is still wanted. */
static int up(struct machine *m)
{
	static int (*const step[])(struct machine *) = {
		up_check_start, up_ram, up_engine, up_swap, up_check, up_vm,
		up_view,
	};
	size_t i, n = sizeof(step) / sizeof(*step);
	int err = 0;

	for (i = 0; i < n && !err && !interrupted; i++)
		err = step[i](m);
	if (err || i < n)
		undo_swap(m);
	return err || i < n ? -1 : 0;
}

/* ---- running ---- */

/* Who says it again while the machine is taken down is tired of waiting for a
 * store. But one end may come as two signals: to us, and to our group. */
static void on_signal(int sig)
{
	static const char text[] = "pagervm: told again to end: leaving "
		"without an orderly end; what was dirty may be lost\n";
	int64_t ending = atomic_load(&the_machine->ending);

	(void)sig;
	if (ending && now_ns() - ending > TWICE_NS) {
		if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
			_exit(1);
		_exit(1);
	}
	atomic_store(&interrupted, true);
	sem_post(&wake);
}

/* nohup(1) and a script's background have some of them ignored: so they stay. */
static void catch_signal(int sig)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;

	if (sigaction(sig, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaction(sig, &sa, NULL);
}

static void mask_signals(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(how, &set, NULL);
}

static void *listen_thread(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

/* Who asks a store that stands still cannot take a signal: so there is a
 * thread that asks none, and all others leave signals to it. The main thread
 * takes them while programs run, so that they break off its reading. */
static void catch_signals(struct machine *m)
{
	pthread_t thread;

	the_machine = m;
	sem_init(&wake, 0, 0);
	catch_signal(SIGINT);
	catch_signal(SIGTERM);
	catch_signal(SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (pthread_create(&thread, NULL, listen_thread, NULL) == 0)
		mask_signals(SIG_BLOCK);
}

/* The whole of @path ("-": standard input). => NULL, and errno. */
static char *read_file(const char *path, size_t *len)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "r") : stdin;
	size_t room = 0, n;
	char *text = NULL, *more;

	*len = 0;
	if (!f)
		return NULL;
	do {
		if (room - *len < 65536) {
			room = room ? room * 2 : 1 << 17;
			more = realloc(text, room);
			if (!more) {
				free(text);	/* a part will not do */
				text = NULL;
				break;
			}
			text = more;
		}
		n = fread(text + *len, 1, room - *len, f);
		*len += n;
	} while (n > 0 && *len <= WL_TEXT_MAX && !interrupted);
	if (ferror(f)) {
		free(text);
		text = NULL;
	}
	if (f != stdin)
		fclose(f);
	return text;
}

/* The program of the interpreter that failed must outlive the machine. */
static int run_file(struct machine *m, const char *path)
{
	const char *name = strcmp(path, "-") ? path : "standard input";
	struct runner_result res;
	struct program *prog;
	struct wl_error err;
	struct bar bar;
	size_t len;
	char *text = read_file(path, &len);

	if (!text)
		return interrupted ? -1 : fail("%s: %s", path, strerror(errno));
	if (program_parse(name, text, len, &prog, &err) < 0) {
		free(text);
		return fail("%s", err.message);
	}
	free(text);
	bar_start(&bar, m->session, name);
	runner_session_run(m->session, prog, &res);
	bar_stop(&bar);
	if (res.err != -EDEADLK)
		program_free(prog);
	if (res.err == -EINTR)
		return -1;
	return res.err ? fail("%s", res.message) : 0;
}

static int run_all(struct machine *m)
{
	int err = 0;

	if (m->opt.nfiles == 0 && !m->opt.hold)
		m->opt.file[m->opt.nfiles++] = "-";
	for (unsigned i = 0; i < m->opt.nfiles && !err && !interrupted; i++)
		err = run_file(m, m->opt.file[i]);
	fflush(stdout);
	m->held = m->opt.hold && !err && !interrupted;
	while (m->held && !interrupted)
		sem_wait(&wake);
	return err;
}

static void print_stats(struct machine *m)
{
	const char *name;
	uint64_t value;

	for (unsigned i = 0; vm_stat(m->vm, i, &name, &value); i++)
		printf("%s %llu\n", name, (unsigned long long)value);
}

/* What could not be printed: somebody may count on it. */
static int check_output(void)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return fail("standard output: %s", errno ? strerror(errno) :
		    "not all that was printed could be written");
}

/* ---- going down ---- */

/* => what the machine found of itself: 0, or -1 and it has been said */
static int stale_verdict(struct machine *m)
{
	uint64_t n = m->stale ? stale_reports(m->stale) : 0;

	if (!n)
		return 0;
	return fail("--check-tlb: %llu uses of stale translations: the pager "
		    "is wrong, please report it", (unsigned long long)n);
}

static int down_lost(uint64_t lost)
{
	if (!lost)
		return 0;
	return fail("%llu dirty pages could not be written to their files and "
		    "are lost", (unsigned long long)lost);
}

/* The lookout has one of the files, and may come back: what can be written is,
 * and nothing is closed. */
static void down_without_lookout(struct machine *m)
{
	down_lost(vm_end(m->vm));
	fail("a mapped file does not say how long it is; leaving without an "
	     "orderly end");
	_exit(1);
}

static void *leave_thread(void *arg)
{
	struct machine *m = arg;

	return vm_sync(m->vm) == 0 || vm_sync(m->vm) == 0 ? m : NULL;
}

/*
 * A request of the view waits for a store and would use the machine after its
 * end: so it has none. But it still runs, and writes what is dirty. => never;
 * @status is the program's if nothing is lost
 */
__attribute__((noreturn)) static void leave(struct machine *m, int status)
{
	struct timespec until = deadline_in(LEAVE_MS);
	void *written = NULL;
	pthread_t thread;
	int err = pthread_create(&thread, NULL, leave_thread, m);

	if (!err)
		err = pthread_clockjoin_np(thread, &written, CLOCK_MONOTONIC,
					   &until);
	if (written) {
		fail("a request of the live view still waits for its store; "
		     "all that was dirty has been written");
		live_clear(&m->live);
		_exit(stale_verdict(m) < 0 ? 1 : status);
	}
	fail("the live view is held up by a store that does not answer; %s",
	     err ? "what was dirty may be lost" : "some of what was dirty "
	     "could not be written and is lost");
	_exit(1);
}

static int down(struct machine *m, int status)
{
	uint64_t lost = 0;
	int err;

	atomic_store(&m->ending, now_ns());
	/* What was written to ctl and is not done yet: ends by itself, soon. */
	if (m->session)
		runner_session_stop(m->session);
	if (live_down(&m->live) == -EBUSY)
		leave(m, status);
	live_clear(&m->live);
	if (lookout_stop(m->lookout) == -EBUSY)
		down_without_lookout(m);
	if (m->vm)
		lost = vm_destroy(m->vm);
	runner_session_destroy(m->session);
	if (m->swap)
		m->swap->store.ops->close(&m->swap->store);
	if (m->engine)
		engine_destroy(m->engine);
	if (m->ram.base)
		ram_destroy(&m->ram);
	err = stale_verdict(m);
	stale_destroy(m->stale);
	return lost ? down_lost(lost) : err;
}

/* Whom we were started by may have closed them; what we open must not become
 * our standard output. They stay as good as closed. */
static void std_files(void)
{
	int fd;

	do
		fd = open("/dev/null", O_PATH);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close(fd);
}

int main(int argc, char **argv)
{
	static struct machine m;
	int err;

	std_files();
	signal(SIGXFSZ, SIG_IGN);	/* who writes is told EFBIG */
	if (argc > 1 && strcmp(argv[1], "mmu-check") == 0)
		return mmucheck_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "explain") == 0)
		return client_explain(argc - 1, argv + 1);
	options_machine(argc, argv, &m.opt);
	live_init(&m.live);
	catch_signals(&m);
	err = up(&m);
	if (!err) {
		mask_signals(SIG_UNBLOCK);
		err = run_all(&m);
		mask_signals(SIG_BLOCK);
	}
	if (m.opt.stats && m.vm)
		print_stats(&m);
	if (check_output() < 0)
		err = -1;
	err = interrupted && !m.held ? 130 : err ? 1 : 0;
	return down(&m, err) < 0 ? 1 : err;
}
