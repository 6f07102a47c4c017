/*
 * aio.c - what the engine costs over a bare io_uring and a bare pwritev.
 *
 *	build/bench/aio [-r REPETITIONS] [-s SPIN_NS] [DIRECTORY...]
 *
 * Each line: the same I/O by the engine and by the least code that can do it,
 * in turn, the median of each and the median of the ratios (1.00: no cost).
 * The file is made in DIRECTORY (default /dev/shm and /var/tmp) and removed.
 * Reads: 4 KiB at random. Writes: 256 scattered frames as one 1 MiB write, to
 * a file (which asks for its size first) and to a swap area.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/lib/measure.h"
#include "swap/engine.h"
#include "swap/swap_store.h"

#define PAGE		STORE_PAGE_SIZE
#define FRAMES		16384u		/* 64 MiB of RAM */
#define FILE_PAGES	65536u		/* 256 MiB of file */
#define CLUSTER		256u
#define SLICE		0.05		/* seconds per measurement */

static uint8_t *ram;
static char path[256], swap_path[264];
static struct store_engine *engine;
static struct store *file;
static struct swap_store *swap;
static uint32_t swap_slot[4];
static struct io_uring bare;
static int bare_fd;
static uint32_t scattered[4][CLUSTER];
static unsigned spin_ns;

/* A loop that keeps @depth I/Os under way. */
struct load {
	unsigned depth;
	enum store_op op;
	bool to_swap;
};

struct slot {
	struct store_io io;
	uint32_t pfn;
	unsigned n;
};

static unsigned long finished;
static bool over;

static void prepare(struct slot *s, const struct load *load)
{
	struct store_io *io = &s->io;

	io->op = load->op;
	if (load->op == STORE_READ) {
		s->pfn = draw(FRAMES);
		io->store = file;
		io->pfn = &s->pfn;
		io->npages = 1;
		io->page = draw(FILE_PAGES);
		return;
	}
	io->pfn = scattered[s->n % 4];
	io->npages = CLUSTER;
	io->store = load->to_swap ? &swap->store : file;
	io->page = load->to_swap ? swap_slot[s->n % 4] :
		draw(FILE_PAGES / CLUSTER) * CLUSTER;
}

static void engine_done(struct store_io *io)
{
	struct slot *s = (struct slot *)io;

	if (io->error)
		die("engine", io->error);
	finished++;
	if (over)
		return;
	prepare(s, io->ctx);
	io->store->ops->submit(io->store, io);
}

/* I/Os per second by the engine. */
static double run_engine(const struct load *load)
{
	struct slot *slots = calloc(load->depth, sizeof(*slots));
	double start = now_s(), end;
	unsigned long n;

	finished = 0;
	over = false;
	for (unsigned i = 0; i < load->depth; i++) {
		slots[i].n = i;
		slots[i].io.done = engine_done;
		slots[i].io.ctx = (void *)load;
		prepare(&slots[i], load);
		slots[i].io.store->ops->submit(slots[i].io.store,
					       &slots[i].io);
	}
	do
		for (n = finished + 64; finished < n;)
			engine->reap(engine, -1);
	while (now_s() - start < SLICE);
	end = now_s();
	n = finished;
	over = true;
	while (finished < n + load->depth)
		engine->reap(engine, -1);
	free(slots);
	return (double)n / (end - start);
}

static void bare_submit(const struct load *load, struct slot *s,
			struct iovec *iov)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&bare);

	prepare(s, load);
	if (load->op == STORE_READ) {
		io_uring_prep_read(sqe, bare_fd, ram + (uint64_t)s->pfn * PAGE,
				   PAGE, s->io.page * PAGE);
	} else {
		for (unsigned i = 0; i < CLUSTER; i++) {
			iov[i].iov_base = ram + (uint64_t)s->io.pfn[i] * PAGE;
			iov[i].iov_len = PAGE;
		}
		io_uring_prep_writev(sqe, bare_fd, iov, CLUSTER,
				     s->io.page % FILE_PAGES * PAGE);
	}
	io_uring_sqe_set_data(sqe, s);
}

static unsigned bare_reap(const struct load *load, struct iovec *iovs,
			  bool again)
{
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	if (io_uring_submit_and_wait(&bare, 1) < 0)
		die("io_uring", -errno);
	io_uring_for_each_cqe(&bare, head, cqe) {
		struct slot *s = io_uring_cqe_get_data(cqe);

		if (cqe->res <= 0)
			die("bare", cqe->res);
		if (again)
			bare_submit(load, s, iovs + s->n * CLUSTER);
		n++;
	}
	io_uring_cq_advance(&bare, n);
	return n;
}

/* The same by liburing alone. */
static double run_bare(const struct load *load)
{
	struct slot *slots = calloc(load->depth, sizeof(*slots));
	struct iovec *iovs = calloc(load->depth * CLUSTER, sizeof(*iovs));
	double start = now_s(), end;
	unsigned long n = 0, stop;

	for (unsigned i = 0; i < load->depth; i++) {
		slots[i].n = i;
		bare_submit(load, &slots[i], iovs + i * CLUSTER);
	}
	do
		for (stop = n + 64; n < stop;)
			n += bare_reap(load, iovs, true);
	while (now_s() - start < SLICE);
	end = now_s();
	for (unsigned left = load->depth; left;)
		left -= bare_reap(load, iovs, false);
	free(iovs);
	free(slots);
	return (double)n / (end - start);
}

/* A loop of pwritev(2), one at a time. */
static double run_pwritev(const struct load *load)
{
	struct slot s = { .n = 0 };
	struct iovec iov[CLUSTER];
	double start = now_s(), now;
	unsigned long n = 0;

	do {
		for (unsigned k = 0; k < 16; k++, n++) {
			prepare(&s, load);
			for (unsigned i = 0; i < CLUSTER; i++) {
				iov[i].iov_base = ram +
					(uint64_t)s.io.pfn[i] * PAGE;
				iov[i].iov_len = PAGE;
			}
			if (pwritev(bare_fd, iov, CLUSTER, (off_t)
				    (s.io.page % FILE_PAGES * PAGE)) < 0)
				die("pwritev", -errno);
		}
		now = now_s();
	} while (now - start < SLICE);
	return (double)n / (now - start);
}

static void line(const char *name, unsigned reps, const struct load *load,
		 double (*peer)(const struct load *), const char *peer_name)
{
	double ours[REPS_MAX], theirs[REPS_MAX], ratio[REPS_MAX];

	run_engine(load);
	peer(load);
	for (unsigned i = 0; i < reps; i++) {
		if (i % 2)
			theirs[i] = peer(load);
		ours[i] = run_engine(load);
		if (i % 2 == 0)
			theirs[i] = peer(load);
		ratio[i] = ours[i] / theirs[i];
	}
	printf("  %-28s %10.0f/s  %10.0f/s %-9s %5.2f\n", name,
	       median(ours, reps), median(theirs, reps), peer_name,
	       median(ratio, reps));
	fflush(stdout);
}

static void make_file(void)
{
	uint8_t *block = aligned_alloc(PAGE, 1 << 20);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		die(path, -errno);
	memset(block, 0x5a, 1 << 20);
	for (unsigned i = 0; i < FILE_PAGES / CLUSTER; i++)
		if (write(fd, block, 1 << 20) != 1 << 20)
			die(path, -errno);
	fsync(fd);
	close(fd);
	free(block);
	bare_fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (bare_fd < 0)
		die(path, -errno);
}

static void open_all(const char *dir)
{
	struct aio_config config = { .ram = ram, .ram_size = FRAMES * PAGE,
				     .spin_ns = spin_ns };
	int err;

	snprintf(path, sizeof(path), "%s/bench-aio.%d", dir, getpid());
	snprintf(swap_path, sizeof(swap_path), "%s.swap", path);
	make_file();
	err = engine_create(&config, &engine);
	if (err)
		die("io_uring", err);
	err = engine->open(engine, path, true, &file);
	if (!err)
		err = engine_swap(engine, &swap);
	if (!err)
		err = swap_store_add(swap, swap_path, 1025 * PAGE, 0);
	if (err < 0)
		die(dir, err);
	for (unsigned i = 0; i < 4; i++)
		swap->alloc(swap, CLUSTER, 0, &swap_slot[i]);
	err = io_uring_queue_init(128, &bare, 0);
	if (err)
		die("io_uring", err);
	/* All have it open: however we end, nothing is left behind. */
	unlink(path);
	unlink(swap_path);
}

static void close_all(void)
{
	io_uring_queue_exit(&bare);
	close(bare_fd);
	file->ops->close(file);
	swap->store.ops->close(&swap->store);
	engine_destroy(engine);
}

static void bench(const char *dir, unsigned reps)
{
	struct load read = { .op = STORE_READ };
	struct load write = { .op = STORE_WRITE };

	open_all(dir);
	printf("%s\n", dir);
	read.depth = 1;
	line("read 4 KiB, QD1", reps, &read, run_bare, "io_uring");
	read.depth = 16;
	line("read 4 KiB, QD16", reps, &read, run_bare, "io_uring");
	read.depth = 64;
	line("read 4 KiB, QD64", reps, &read, run_bare, "io_uring");
	write.depth = 1;
	line("write 1 MiB to file, QD1", reps, &write, run_pwritev, "pwritev");
	write.to_swap = true;
	line("write 1 MiB to swap, QD1", reps, &write, run_pwritev, "pwritev");
	write.depth = 4;
	line("write 1 MiB to swap, QD4", reps, &write, run_bare, "io_uring");
	write.to_swap = false;
	line("write 1 MiB to file, QD4", reps, &write, run_bare, "io_uring");
	close_all();
}

/* As the machine's: a memfd, mapped shared. */
static void make_ram(void)
{
	int fd = memfd_create("ram", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, FRAMES * PAGE))
		die("ram", -errno);
	ram = mmap(NULL, FRAMES * PAGE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, fd, 0);
	if (ram == MAP_FAILED)
		die("ram", -errno);
	close(fd);
}

static void scatter(void)
{
	for (unsigned k = 0; k < 4; k++)
		for (unsigned i = 0; i < CLUSTER; i++)
			scattered[k][i] = ((k * CLUSTER + i) * 7919u) % FRAMES;
}

int main(int argc, char **argv)
{
	unsigned reps = 25;
	int opt;

	while ((opt = getopt(argc, argv, "r:s:")) != -1) {
		if (opt == 'r')
			reps = (unsigned)atoi(optarg);
		else if (opt == 's')
			spin_ns = (unsigned)atoi(optarg);
		else
			reps = 0;
	}
	if (reps < 1 || reps > REPS_MAX) {
		fprintf(stderr, "usage: aio [-r REPETITIONS] [-s SPIN_NS] "
			"[DIRECTORY...]\n");
		return 2;
	}
	make_ram();
	scatter();
	printf("  %-28s %12s  %12s %-9s %5s\n", "", "engine", "bare", "",
	       "ratio");
	if (optind == argc) {
		bench("/dev/shm", reps);
		bench("/var/tmp", reps);
	}
	for (int i = optind; i < argc; i++)
		bench(argv[i], reps);
	return 0;
}
