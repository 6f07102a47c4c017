/*
 * test_engine.c - the real engine on real files, on a memory and on a disk
 * file system: what aio, file_store and swap_store promise together. With an
 * argument, on that directory instead: for a mounted pagerfs.
 *
 * The kernel's part is not seen by TSan; what it checks is our side: requests
 * and queues under several threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "swap/engine.h"
#include "swap/file_store.h"
#include "swap/swap_store.h"

#define PAGE	STORE_PAGE_SIZE
#define FRAMES	1024u

struct world {
	const char *base;	/* where the directory is made */
	char dir[64];
	uint8_t *ram;
	struct store_engine *e;
};

static struct world w;

static unsigned spin_ns;

static int create_engine(unsigned depth, bool no_register)
{
	struct aio_config config = {
		.spin_ns = spin_ns,
		.ram = w.ram, .ram_size = FRAMES * PAGE, .depth = depth,
		.no_register = no_register,
	};

	return engine_create(&config, &w.e);
}

static int setup(const char *base)
{
	int err;

	snprintf(w.dir, sizeof(w.dir), "%s/test_engine.XXXXXX", base);
	if (!mkdtemp(w.dir))
		return -1;
	w.ram = mmap(NULL, FRAMES * PAGE, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	err = create_engine(0, false);
	if (err)
		w.e = NULL;
	if (err == -ENOSYS || err == -EPERM)
		print_message("SKIP: io_uring: %s\n", strerror(-err));
	else if (err)
		return -1;
	return 0;
}

static int setup_mem(void **state)
{
	(void)state;
	return setup("/dev/shm");
}

static int setup_disk(void **state)
{
	(void)state;
	return setup("/var/tmp");
}

static const char *given;

static int setup_given(void **state)
{
	(void)state;
	return setup(given);
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	if (w.e)
		engine_destroy(w.e);
	munmap(w.ram, FRAMES * PAGE);
	snprintf(command, sizeof(command), "rm -rf %s", w.dir);
	return system(command);
}

static void need_uring(void)
{
	if (!w.e)
		skip();
}

static const char *path_of(const char *name)
{
	static char path[4][96];
	static unsigned n;
	char *p = path[n++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", w.dir, name);
	return p;
}

/* A file of @size bytes; byte i is i / 4096 * 7 + i % 251. */
static uint8_t byte_of(uint64_t i)
{
	return (uint8_t)(i / PAGE * 7 + i % 251);
}

static void make_file(const char *name, uint64_t size)
{
	uint8_t *data = malloc(size + 1);
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	for (uint64_t i = 0; i < size; i++)
		data[i] = byte_of(i);
	assert_int_equal(write(fd, data, size), size);
	close(fd);
	free(data);
}

static uint64_t size_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(path_of(name), &st), 0);
	return (uint64_t)st.st_size;
}

static struct store *open_store(const char *name, bool writable)
{
	struct store *store;

	assert_int_equal(w.e->open(w.e, path_of(name), writable, &store), 0);
	return store;
}

static atomic_uint ndone;

static void done(struct store_io *io)
{
	(void)io;
	atomic_fetch_add(&ndone, 1);
}

static void fill(struct store_io *io, struct store *store, enum store_op op,
		 uint64_t page, unsigned n, const uint32_t *pfn)
{
	*io = (struct store_io) {
		.store = store, .op = op, .page = page, .npages = n,
		.pfn = pfn, .done = done, .error = 1, .npast = 12345,
	};
}

static void go(struct store_io *io)
{
	unsigned before = atomic_load(&ndone);

	io->store->ops->submit(io->store, io);
	while (atomic_load(&ndone) == before)
		w.e->reap(w.e, -1);
}

/* One I/O from start to end; its error. */
static int run(struct store *store, enum store_op op, uint64_t page,
	       unsigned n, const uint32_t *pfn, unsigned *npast)
{
	struct store_io io;

	fill(&io, store, op, page, n, pfn);
	go(&io);
	if (npast)
		*npast = io.npast;
	return io.error;
}

static void spread(uint32_t *pfn, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pfn[i] = (i * 37 + 11) % FRAMES;
}

static void check_frame(uint32_t pfn, uint64_t page, uint64_t size)
{
	for (unsigned i = 0; i < PAGE; i++) {
		uint64_t at = page * PAGE + i;
		uint8_t want = at < size ? byte_of(at) : 0;

		if (w.ram[pfn * PAGE + i] != want)
			fail_msg("page %lu byte %u", (unsigned long)page, i);
	}
}

static void test_read(void **state)
{
	uint32_t pfn[256], line[256];
	struct store *store;

	(void)state;
	need_uring();
	make_file("f", 256 * PAGE);
	store = open_store("f", false);
	print_message("%s: O_DIRECT %s\n", w.dir,
		      file_store_is_direct(store) ? "yes" : "no");
	spread(pfn, 256);
	for (unsigned i = 0; i < 256; i++)
		line[i] = i + 3;
	assert_int_equal(run(store, STORE_READ, 0, 256, pfn, NULL), 0);
	for (unsigned i = 0; i < 256; i++)
		check_frame(pfn[i], i, 256 * PAGE);
	assert_int_equal(run(store, STORE_READ, 0, 256, line, NULL), 0);
	for (unsigned i = 0; i < 256; i++)
		check_frame(line[i], i, 256 * PAGE);
	assert_int_equal(run(store, STORE_READ, 77, 1, pfn, NULL), 0);
	check_frame(pfn[0], 77, 256 * PAGE);
	store->ops->close(store);
}

static void test_read_end(void **state)
{
	uint32_t pfn[4];
	struct store *store;
	unsigned npast;

	(void)state;
	need_uring();
	make_file("f", 2 * PAGE + 904);
	store = open_store("f", false);
	spread(pfn, 4);
	memset(w.ram, 0xee, FRAMES * PAGE);
	assert_int_equal(run(store, STORE_READ, 0, 4, pfn, &npast), 0);
	assert_int_equal(npast, 1);
	for (unsigned i = 0; i < 3; i++)
		check_frame(pfn[i], i, 2 * PAGE + 904);
	assert_int_equal(run(store, STORE_READ, 2, 1, pfn, &npast), 0);
	assert_int_equal(npast, 0);
	check_frame(pfn[0], 2, 2 * PAGE + 904);
	assert_int_equal(run(store, STORE_READ, 9, 4, pfn, &npast), 0);
	assert_int_equal(npast, 4);
	assert_int_equal(truncate(path_of("f"), PAGE), 0);
	assert_int_equal(run(store, STORE_READ, 0, 4, pfn, &npast), 0);
	assert_int_equal(npast, 3);
	assert_int_equal(truncate(path_of("f"), 0), 0);
	assert_int_equal(run(store, STORE_READ, 0, 4, pfn, &npast), 0);
	assert_int_equal(npast, 4);
	store->ops->close(store);
}

static void check_file(const char *name, const uint32_t *pfn, uint64_t size)
{
	uint8_t *back = malloc(size);
	int fd = open(path_of(name), O_RDONLY);

	assert_int_equal(size_of(name), size);
	assert_int_equal(read(fd, back, size), size);
	close(fd);
	for (uint64_t i = 0; i < size; i++)
		if (back[i] != w.ram[pfn[i / PAGE] * PAGE + i % PAGE])
			fail_msg("byte %lu", (unsigned long)i);
	free(back);
}

static void dirty(const uint32_t *pfn, unsigned n)
{
	for (unsigned i = 0; i < n * PAGE; i++)
		w.ram[pfn[i / PAGE] * PAGE + i % PAGE] = (uint8_t)rand();
}

static void test_write_end(void **state)
{
	static const uint64_t sizes[] = {
		4 * PAGE, 3 * PAGE, 2 * PAGE + 904, 2 * PAGE + 512,
		PAGE + 1, PAGE, 17, 1, 0,
	};
	uint32_t pfn[4];
	unsigned npast;

	(void)state;
	need_uring();
	spread(pfn, 4);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		unsigned have = (unsigned)((sizes[i] + PAGE - 1) / PAGE);
		struct store *store;

		make_file("f", sizes[i]);
		store = open_store("f", true);
		for (int twice = 0; twice < 2; twice++) {
			dirty(pfn, 4);
			assert_int_equal(run(store, STORE_WRITE, 0, 4, pfn,
					     &npast), 0);
			assert_int_equal(npast, 4 - have);
			check_file("f", pfn, sizes[i]);
		}
		assert_int_equal(run(store, STORE_WRITE, 5, 2, pfn, &npast),
				 0);
		assert_int_equal(npast, 2);
		assert_int_equal(size_of("f"), sizes[i]);
		assert_int_equal(run(store, STORE_SYNC, 0, 0, NULL, NULL), 0);
		store->ops->close(store);
	}
}

/* What was written is what is read, past both kinds of descriptor. */
static void test_write_read(void **state)
{
	uint32_t pfn[4], other[4] = { 500, 501, 502, 503 };
	struct store *store;

	(void)state;
	need_uring();
	make_file("f", 3 * PAGE + 100);
	store = open_store("f", true);
	spread(pfn, 4);
	for (int i = 0; i < 20; i++) {
		dirty(pfn, 4);
		assert_int_equal(run(store, STORE_WRITE, 0, 4, pfn, NULL), 0);
		assert_int_equal(run(store, STORE_READ, 0, 4, other, NULL), 0);
		for (unsigned k = 0; k < 3; k++)
			assert_memory_equal(w.ram + pfn[k] * PAGE,
					    w.ram + other[k] * PAGE, PAGE);
		assert_memory_equal(w.ram + pfn[3] * PAGE,
				    w.ram + other[3] * PAGE, 100);
	}
	store->ops->close(store);
}

/* The file is truncated with writes under way to what was behind. */
static void test_truncated_between(void **state)
{
	enum { N = 32 };
	struct store_io io[N];
	uint32_t pfn[N];
	struct store *store;

	(void)state;
	need_uring();
	make_file("f", N * PAGE);
	store = open_store("f", true);
	spread(pfn, N);
	dirty(pfn, N);
	atomic_store(&ndone, 0);
	for (unsigned i = 0; i < N; i++) {
		fill(&io[i], store, STORE_WRITE, i, 1, &pfn[i]);
		store->ops->submit(store, &io[i]);
	}
	assert_int_equal(truncate(path_of("f"), PAGE), 0);
	while (atomic_load(&ndone) < N)
		w.e->reap(w.e, -1);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(io[i].error, 0);
		assert_int_equal(io[i].npast, i > 0);
	}
	assert_int_equal(size_of("f"), PAGE);
	store->ops->close(store);
}

static void test_open_errors(void **state)
{
	struct store *store, *again;
	uint64_t size;

	(void)state;
	need_uring();
	assert_int_equal(w.e->open(w.e, path_of("none"), false, &store),
			 -ENOENT);
	assert_int_equal(w.e->open(w.e, w.dir, false, &store), -EISDIR);
	assert_int_equal(w.e->open(w.e, "/dev/null", false, &store), -ENODEV);
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	assert_int_equal(w.e->open(w.e, path_of("fifo"), false, &store),
			 -ENODEV);
	make_file("f", 100);
	store = open_store("f", true);
	again = open_store("f", false);
	assert_int_equal(store->ino, again->ino);
	assert_int_equal(store->dev, again->dev);
	assert_int_equal(store->ops->size(store, &size), 0);
	assert_int_equal(size, 100);
	assert_int_equal(truncate(path_of("f"), 5), 0);
	assert_int_equal(again->ops->size(again, &size), 0);
	assert_int_equal(size, 5);
	store->ops->close(store);
	again->ops->close(again);
}

/* An error of the kernel's own arrives: writing by a read-only descriptor. */
static void test_io_error(void **state)
{
	uint32_t pfn[1] = { 0 };
	struct aio_stats before, after;
	struct store *store;

	(void)state;
	need_uring();
	make_file("f", PAGE);
	store = open_store("f", false);
	engine_stats(w.e, &before);
	assert_int_equal(run(store, STORE_WRITE, 0, 1, pfn, NULL), -EBADF);
	engine_stats(w.e, &after);
	assert_int_equal(after.errors, before.errors + 1);
	assert_int_equal(after.inflight, 0);
	assert_int_equal(run(store, STORE_READ, 0, 1, pfn, NULL), 0);
	store->ops->close(store);
}

static void reopen(unsigned depth, bool no_register)
{
	engine_destroy(w.e);
	assert_int_equal(create_engine(depth, no_register), 0);
}

static void flood(unsigned depth)
{
	enum { N = 160 };
	struct store_io *io = calloc(N, sizeof(*io));
	uint32_t pfn[N];
	struct aio_stats stats;
	struct store *store;

	reopen(depth, false);
	store = open_store("f", true);
	atomic_store(&ndone, 0);
	for (unsigned i = 0; i < N; i++) {
		pfn[i] = i;
		fill(&io[i], store, STORE_READ, i, 1, &pfn[i]);
		store->ops->submit(store, &io[i]);
	}
	engine_stats(w.e, &stats);
	assert_int_equal(stats.inflight, depth);
	assert_int_equal(stats.queued, N - depth);
	assert_int_equal(atomic_load(&ndone), 0);
	while (atomic_load(&ndone) < N)
		assert_true(w.e->reap(w.e, -1) >= 0);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(io[i].error, 0);
		check_frame(i, i, N * PAGE);
	}
	store->ops->close(store);
	free(io);
}

static void test_overflow(void **state)
{
	(void)state;
	need_uring();
	make_file("f", 160 * PAGE);
	flood(16);
	flood(1);
	flood(3);
	reopen(0, false);
}

static void test_unregistered(void **state)
{
	uint32_t pfn[4];
	struct aio_stats stats;
	struct store *store;

	(void)state;
	need_uring();
	reopen(0, true);
	engine_stats(w.e, &stats);
	assert_false(stats.fixed_ram);
	make_file("f", 4 * PAGE);
	store = open_store("f", true);
	spread(pfn, 4);
	assert_int_equal(run(store, STORE_READ, 0, 4, pfn, NULL), 0);
	check_frame(pfn[2], 2, 4 * PAGE);
	assert_int_equal(run(store, STORE_WRITE, 0, 1, pfn, NULL), 0);
	store->ops->close(store);
	reopen(0, false);
	engine_stats(w.e, &stats);
	print_message("registered: ram %d, files %d\n", stats.fixed_ram,
		      stats.fixed_files);
}

/* More files than the table of registered ones holds. */
static void test_many_files(void **state)
{
	enum { N = AIO_FILES + 20 };
	struct rlimit limit;
	struct store *store[N];
	uint32_t pfn[1] = { 3 };

	(void)state;
	need_uring();
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < 2 * N + 50)
		skip();
	make_file("f", PAGE);
	for (unsigned i = 0; i < N; i++)
		store[i] = open_store("f", false);
	for (unsigned i = 0; i < N; i++) {
		memset(w.ram, 0, FRAMES * PAGE);
		assert_int_equal(run(store[i], STORE_READ, 0, 1, pfn, NULL),
				 0);
		check_frame(3, 0, PAGE);
	}
	for (unsigned i = 0; i < N; i++)
		store[i]->ops->close(store[i]);
	store[0] = open_store("f", false);
	assert_int_equal(run(store[0], STORE_READ, 0, 1, pfn, NULL), 0);
	store[0]->ops->close(store[0]);
}

/* Descriptors run out between the two of a file: it is not opened by half. */
static void test_no_descriptor(void **state)
{
	struct rlimit old, few;
	struct store *store;
	int err;

	(void)state;
	need_uring();
	make_file("f", PAGE);
	store = open_store("f", true);
	few.rlim_cur = file_store_is_direct(store);
	store->ops->close(store);
	if (!few.rlim_cur)
		skip();
	getrlimit(RLIMIT_NOFILE, &old);
	few = old;
	few.rlim_cur = (rlim_t)dup(2) + 1;	/* the lowest that is free */
	close((int)few.rlim_cur - 1);
	setrlimit(RLIMIT_NOFILE, &few);
	err = w.e->open(w.e, path_of("f"), true, &store);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(err, -EMFILE);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static void on_alarm(int sig)
{
	(void)sig;
	w.e->wake(w.e);
}

static void *wake_later(void *arg)
{
	usleep(*(useconds_t *)arg);
	w.e->wake(w.e);
	return NULL;
}

static void try_wake(void)
{
	useconds_t delay = 30000;
	pthread_t thread;
	double start;

	/* Before: the next that would wait returns; only that one. */
	w.e->wake(w.e);
	assert_int_equal(w.e->reap(w.e, 0), 0);
	assert_int_equal(w.e->reap(w.e, -1), 0);
	start = seconds();
	assert_int_equal(w.e->reap(w.e, 20000000), 0);
	assert_true(seconds() - start > 0.015);
	/* From a thread, several times: the event is armed again. */
	for (int i = 0; i < 5; i++) {
		start = seconds();
		pthread_create(&thread, NULL, wake_later, &delay);
		assert_int_equal(w.e->reap(w.e, i % 2 ? -1 : 5000000000), 0);
		assert_true(seconds() - start < 2);
		pthread_join(thread, NULL);
	}
	/* From a signal handler, which interrupts the sleep as well. */
	signal(SIGALRM, on_alarm);
	ualarm(20000, 0);
	assert_int_equal(w.e->reap(w.e, -1), 0);
	signal(SIGALRM, SIG_DFL);
}

static void test_wake(void **state)
{
	(void)state;
	need_uring();
	try_wake();
}

/* A reap that watches before it sleeps does the same. */
static void test_spin(void **state)
{
	(void)state;
	need_uring();
	spin_ns = 100000;
	reopen(0, false);
	try_wake();
	test_read(state);
	test_write_end(state);
	spin_ns = 0;
	reopen(0, false);
}

/*
 * Threads that submit on their own frames, one that reaps, one that kicks and
 * reaps(0) and wakes. Each submitter exits with I/O under way, too.
 */
enum { THREADS = 4, ROUNDS = 300, BATCH = 8 };

struct job {
	struct store_io io;
	uint32_t pfn[4];
	atomic_bool done;
};

static atomic_bool stop;
static struct store *sink;	/* what they write to */

static void job_done(struct store_io *io)
{
	struct job *job = io->ctx;

	assert_int_equal(io->error, 0);
	atomic_store(&job->done, true);
}

static void submit_job(struct job *job, struct store *store, unsigned seed)
{
	unsigned r = seed * 2654435761u;
	unsigned n = r >> 8 & 1 ? 1 : 4;

	atomic_store(&job->done, false);
	if (r >> 9 & 1)
		fill(&job->io, store, STORE_READ, (r >> 10) % 60, n, job->pfn);
	else
		fill(&job->io, sink, STORE_WRITE, (r >> 10) % 60, n, job->pfn);
	job->io.done = job_done;
	job->io.ctx = job;
	job->io.store->ops->submit(job->io.store, &job->io);
}

static void *submitter(void *arg)
{
	struct store *store = arg;
	static atomic_uint ids;
	unsigned id = atomic_fetch_add(&ids, 1) % THREADS;
	struct job *jobs = calloc(BATCH, sizeof(*jobs));

	for (unsigned i = 0; i < BATCH; i++)
		for (unsigned k = 0; k < 4; k++)
			jobs[i].pfn[k] = id * 64 + i * 8 + k * 2;
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < BATCH; i++)
			submit_job(&jobs[i], store, round * 100 + id * 10 + i);
		w.e->kick(w.e);
		for (unsigned i = 0; i < BATCH; i++) {
			while (!atomic_load(&jobs[i].done))
				usleep(10);
			if (jobs[i].io.op == STORE_READ)
				check_frame(jobs[i].pfn[0], jobs[i].io.page,
					    64 * PAGE);
		}
	}
	for (unsigned i = 0; i < BATCH; i++)
		submit_job(&jobs[i], store, i);
	w.e->kick(w.e);
	return jobs;
}

static void *meddler(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		w.e->reap(w.e, 0);
		w.e->wake(w.e);
		w.e->kick(w.e);
		usleep(50);
	}
	return NULL;
}

static void *reaper(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		w.e->reap(w.e, -1);
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t sub[THREADS], reap, meddle;
	struct store *store;
	struct job *jobs[THREADS];
	struct aio_stats stats;

	(void)state;
	need_uring();
	reopen(16, false);
	make_file("f", 64 * PAGE);
	make_file("g", 62 * PAGE + 10);
	store = open_store("f", false);
	sink = open_store("g", true);
	atomic_store(&stop, false);
	pthread_create(&reap, NULL, reaper, NULL);
	pthread_create(&meddle, NULL, meddler, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&sub[i], NULL, submitter, store);
	for (int i = 0; i < THREADS; i++)
		pthread_join(sub[i], (void **)&jobs[i]);
	for (int i = 0; i < THREADS; i++)
		for (int k = 0; k < BATCH; k++)
			while (!atomic_load(&jobs[i][k].done))
				usleep(10);
	atomic_store(&stop, true);
	w.e->wake(w.e);
	pthread_join(reap, NULL);
	pthread_join(meddle, NULL);
	engine_stats(w.e, &stats);
	assert_int_equal(stats.reads + stats.writes,
			 THREADS * (ROUNDS + 1) * BATCH);
	assert_int_equal(size_of("g"), 62 * PAGE + 10);
	sink->ops->close(sink);
	for (int i = 0; i < THREADS; i++)
		free(jobs[i]);
	store->ops->close(store);
	reopen(0, false);
}

static struct swap_store *make_swap(void)
{
	struct swap_store *swap;

	assert_int_equal(engine_swap(w.e, &swap), 0);
	return swap;
}

static void test_swap(void **state)
{
	uint32_t pfn[16], other[16], slot, slot2;
	struct swap_area_info info;
	struct swap_store *swap;

	(void)state;
	need_uring();
	swap = make_swap();
	assert_int_equal(swap->alloc(swap, 1, 0, &slot), 0);
	assert_int_equal(swap_store_add(swap, path_of("s0"), 32 * PAGE, 5), 0);
	assert_int_equal(swap_store_add(swap, path_of("s1"), 33 * PAGE, 5), 1);
	assert_int_equal(swap_store_add(swap, path_of("s2"), 9 * PAGE, 9), 2);
	assert_int_equal(size_of("s1"), 33 * PAGE);
	assert_int_equal(swap->ntotal(swap), 31 + 32 + 8);
	assert_int_equal(swap->alloc(swap, 16, 0, &slot), 8);
	assert_int_equal(SWAP_SLOT_AREA(slot), 2);
	assert_int_equal(swap->alloc(swap, 16, 0, &slot), 16);
	assert_int_equal(swap->alloc(swap, 16, 0, &slot2), 16);
	assert_int_not_equal(SWAP_SLOT_AREA(slot), SWAP_SLOT_AREA(slot2));
	spread(pfn, 16);
	for (unsigned i = 0; i < 16; i++)
		other[i] = 600 + i;
	dirty(pfn, 16);
	assert_int_equal(run(&swap->store, STORE_WRITE, slot, 16, pfn, NULL),
			 0);
	assert_int_equal(run(&swap->store, STORE_READ, slot, 16, other, NULL),
			 0);
	for (unsigned i = 0; i < 16; i++)
		assert_memory_equal(w.ram + pfn[i] * PAGE,
				    w.ram + other[i] * PAGE, PAGE);
	assert_int_equal(swap->info(swap, 1, &info), 0);
	assert_int_equal(info.nslots, 32);
	assert_string_equal(info.name, path_of("s1"));
	assert_int_equal(swap->info(swap, 3, &info), -ENOENT);
	assert_int_equal(swap->info(swap, 1000, &info), -ENOENT);
	swap_store_check(swap);
	swap->store.ops->close(&swap->store);
}

static void test_swap_remove(void **state)
{
	struct swap_store *swap, *other;
	uint32_t slot, slot2;

	(void)state;
	need_uring();
	swap = make_swap();
	other = make_swap();
	assert_int_equal(swap_store_add(swap, path_of("r0"), 9 * PAGE, 0), 0);
	assert_int_equal(swap_store_add(swap, path_of("r1"), 9 * PAGE, -1), 1);
	assert_int_equal(swap->alloc(swap, 1, 0, &slot), 1);
	assert_int_equal(swap_store_remove(swap, 0), -EBUSY);
	assert_int_equal(swap_store_drain(swap, 0, true), 0);
	assert_int_equal(swap->nfree(swap), 8);
	assert_int_equal(swap->alloc(swap, 1, 0, &slot2), 1);
	assert_int_equal(SWAP_SLOT_AREA(slot2), 1);
	swap->unref(swap, slot);
	assert_int_equal(swap_store_remove(swap, 0), 0);
	assert_int_equal(swap_store_remove(swap, 0), -ENOENT);
	/* The file is still an area, and free to be added again. */
	assert_int_equal(swap_store_add(swap, path_of("r0"), 0, 3), 0);
	assert_int_equal(swap_store_add(swap, path_of("r0"), 0, 3), -EALREADY);
	assert_int_equal(swap_store_add(swap, path_of("r0"), 99 * PAGE, 3),
			 -EALREADY);
	assert_int_equal(swap_store_add(other, path_of("r0"), 99 * PAGE, 3),
			 -EBUSY);
	assert_int_equal(size_of("r0"), 9 * PAGE);
	other->store.ops->close(&other->store);
	swap_store_check(swap);
	swap->store.ops->close(&swap->store);
}

static void test_swap_undo(void **state)
{
	struct swap_store *swap;

	(void)state;
	need_uring();
	swap = make_swap();
	assert_int_equal(swap_store_add(swap, path_of("u0"), 9 * PAGE, 0), 0);
	swap->store.ops->close(&swap->store);
	swap = make_swap();
	assert_int_equal(swap_store_add(swap, path_of("u0"), 99 * PAGE, 0), 0);
	assert_int_equal(swap_store_add(swap, path_of("u1"), 9 * PAGE, 0), 1);
	swap_store_undo(swap);
	assert_int_equal(size_of("u0"), 9 * PAGE);
	assert_int_equal(access(path_of("u1"), F_OK), -1);
	swap->store.ops->close(&swap->store);
	swap = make_swap();
	assert_int_equal(swap_store_add(swap, path_of("u0"), 0, 0), 0);
	swap_store_undo(swap);
	assert_int_equal(size_of("u0"), 9 * PAGE);
	swap->store.ops->close(&swap->store);
}

/* A file of zeros, and a byte at its end; the first half is no hole. */
static void make_late(const char *name, off_t at)
{
	int fd = open(path_of(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
	static const char zeros[PAGE];

	assert_true(fd >= 0);
	for (off_t i = 0; i < at / 2; i += PAGE)
		assert_int_equal(pwrite(fd, zeros, PAGE, i), PAGE);
	assert_int_equal(pwrite(fd, "x", 1, at), 1);
	close(fd);
}

static void test_swap_errors(void **state)
{
	struct swap_store *swap;

	(void)state;
	need_uring();
	swap = make_swap();
	make_file("precious", 8 * PAGE);
	assert_int_equal(swap_store_add(swap, path_of("precious"), 0, 0),
			 -EMEDIUMTYPE);
	assert_int_equal(swap_store_add(swap, path_of("precious"), 99 * PAGE,
					0), -EMEDIUMTYPE);
	/* Nothing in the first page, and something far behind. */
	for (unsigned behind = 2; behind < 2000; behind += 1997) {
		make_late("late", behind * PAGE + 77);
		assert_int_equal(swap_store_add(swap, path_of("late"), 0, 0),
				 -EMEDIUMTYPE);
		assert_int_equal(size_of("late"), behind * PAGE + 78);
	}
	assert_int_equal(size_of("precious"), 8 * PAGE);
	assert_int_equal(swap_store_add(swap, path_of("none"), 0, 0), -ENOENT);
	assert_int_equal(swap_store_add(swap, path_of("small"), PAGE, 0),
			 -EINVAL);
	assert_int_equal(access(path_of("small"), F_OK), -1);
	assert_int_equal(swap_store_add(swap, path_of("big"), 1ull << 41, 0),
			 -EFBIG);
	assert_int_equal(access(path_of("big"), F_OK), -1);
	assert_int_equal(swap_store_add(swap, w.dir, 9 * PAGE, 0), -EISDIR);
	assert_int_equal(swap_store_add(swap, "/dev/null", 0, 0), -ENODEV);
	make_file("empty", 0);
	assert_int_equal(swap_store_add(swap, path_of("empty"), 0, 0),
			 -EINVAL);
	assert_int_equal(swap_store_add(swap, path_of("empty"), 9 * PAGE, 0),
			 0);
	swap_store_check(swap);
	swap->store.ops->close(&swap->store);
}

/* An area that is cut off under us fails its reads, rather than give zeros. */
static void test_swap_truncated(void **state)
{
	struct swap_store *swap;
	uint32_t slot, pfn[4];

	(void)state;
	need_uring();
	swap = make_swap();
	assert_int_equal(swap_store_add(swap, path_of("t"), 9 * PAGE, 0), 0);
	assert_int_equal(swap->alloc(swap, 4, 0, &slot), 4);
	spread(pfn, 4);
	assert_int_equal(run(&swap->store, STORE_WRITE, slot, 4, pfn, NULL),
			 0);
	assert_int_equal(truncate(path_of("t"), 3 * PAGE), 0);
	assert_int_equal(run(&swap->store, STORE_READ, slot, 4, pfn, NULL),
			 -EIO);
	swap->store.ops->close(&swap->store);
}

/* What another wrote where @slot of the area @name lies. */
static void scribble(const char *name, uint32_t slot, const void *page)
{
	int fd = open(path_of(name), O_WRONLY);

	assert_int_equal(pwrite(fd, page, PAGE, SWAP_SLOT_INDEX(slot) * PAGE),
			 PAGE);
	close(fd);
}

/* A page that is not what was written there last is an error: one with a bit
 * flipped, one of another slot, one of the same slot from before. */
static void test_swap_sum(void **state)
{
	uint32_t pfn[2] = { 3, 4 }, slot;
	uint8_t first[PAGE], bad[PAGE];
	struct swap_store *swap;
	struct store *s;

	(void)state;
	need_uring();
	swap = make_swap();
	s = &swap->store;
	assert_int_equal(swap_store_add(swap, path_of("sum"), 9 * PAGE, 0), 0);
	assert_int_equal(swap->alloc(swap, 2, 0, &slot), 2);
	dirty(pfn, 2);
	memcpy(first, w.ram + 3 * PAGE, PAGE);
	assert_int_equal(run(s, STORE_WRITE, slot, 2, pfn, NULL), 0);
	memcpy(bad, first, PAGE);
	bad[PAGE - 1] ^= 0x80;
	scribble("sum", slot, bad);
	assert_int_equal(run(s, STORE_READ, slot, 1, pfn, NULL), -EBADMSG);
	assert_int_equal(run(s, STORE_READ, slot, 2, pfn, NULL), -EBADMSG);
	assert_int_equal(run(s, STORE_READ, slot + 1, 1, pfn + 1, NULL), 0);
	scribble("sum", slot, first);
	scribble("sum", slot + 1, first);
	assert_int_equal(run(s, STORE_READ, slot, 1, pfn, NULL), 0);
	assert_memory_equal(w.ram + 3 * PAGE, first, PAGE);
	assert_int_equal(run(s, STORE_READ, slot + 1, 1, pfn, NULL), -EBADMSG);
	w.ram[3 * PAGE] ^= 1;
	assert_int_equal(run(s, STORE_WRITE, slot, 1, pfn, NULL), 0);
	assert_int_equal(run(s, STORE_READ, slot, 1, pfn, NULL), 0);
	scribble("sum", slot, first);
	assert_int_equal(run(s, STORE_READ, slot, 1, pfn, NULL), -EBADMSG);
	s->ops->close(s);
}

static void test_swap_full_disk(void **state)
{
	struct swap_store *swap;
	const char *dir = path_of("tiny");
	char path[128];

	(void)state;
	need_uring();
	assert_int_equal(mkdir(dir, 0700), 0);
	if (mount("tiny", dir, "tmpfs", 0, "size=64k")) {
		print_message("SKIP: mount: %s\n", strerror(errno));
		skip();
	}
	snprintf(path, sizeof(path), "%s/tiny/swap", w.dir);
	swap = make_swap();
	assert_int_equal(swap_store_add(swap, path, 1 << 20, 0), -ENOSPC);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(swap_store_add(swap, path, 32 << 10, 0), 0);
	assert_int_equal(swap_store_remove(swap, 0), 0);
	assert_int_equal(swap_store_add(swap, path, 1 << 20, 0), -ENOSPC);
	swap->store.ops->close(&swap->store);
	assert_int_equal(umount(path_of("tiny")), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_end),
		cmocka_unit_test(test_write_end),
		cmocka_unit_test(test_write_read),
		cmocka_unit_test(test_truncated_between),
		cmocka_unit_test(test_open_errors),
		cmocka_unit_test(test_io_error),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_unregistered),
		cmocka_unit_test(test_many_files),
		cmocka_unit_test(test_no_descriptor),
		cmocka_unit_test(test_wake),
		cmocka_unit_test(test_spin),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_swap),
		cmocka_unit_test(test_swap_remove),
		cmocka_unit_test(test_swap_undo),
		cmocka_unit_test(test_swap_errors),
		cmocka_unit_test(test_swap_truncated),
		cmocka_unit_test(test_swap_sum),
		cmocka_unit_test(test_swap_full_disk),
	};
	int failed;

	if (argc > 1) {
		given = argv[1];
		return cmocka_run_group_tests(tests, setup_given, teardown);
	}
	failed = cmocka_run_group_tests(tests, setup_mem, teardown);
	failed += cmocka_run_group_tests(tests, setup_disk, teardown);
	return failed;
}
