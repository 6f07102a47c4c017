/*
 * fault.c - faults that need one read, through a mounted store.
 *
 *	build/bench/fault [-r REPETITIONS] [-n FAULTS] [-p] MOUNT [SOURCE]
 *
 * One thread on random pages of a file, each touched once, so that each fault
 * is one 4 KiB read: beside a bare io_uring with one read at a time, and
 * beside the kernel's own fault on a mapping of the same file. Then 16 and 64
 * threads at once beside fio and the bare ring. -p: short, for comparing
 * placements: one line for one thread and one for 64.
 */
#include <stdbool.h>
#include <sys/mman.h>

#include "bench/lib/machine.h"
#include "bench/lib/store_io.h"

#define FILE_PAGES	65536u		/* 256 MiB */
#define THREADS_MAX	64

static unsigned reps = 5;
static uint32_t faults = 4000;
static char path[4096], below[4096];	/* the file, mounted and in SOURCE */
static uint32_t *order;

/* @n random pages by @threads threads; nothing of the file is in RAM. =>
 * seconds. */
static double fault_emu(struct machine *m, uint32_t n, unsigned threads)
{
	int pid = machine_proc(m);
	uint64_t at = machine_map(m, pid, path, FILE_PAGES, false);
	struct member w[THREADS_MAX];
	uint32_t share = n / threads;
	double t;

	for (unsigned i = 0; i < threads; i++)
		w[i] = (struct member){ .pid = pid, .at = at, .n = share,
					.page = order + i * share };
	t = crew_run(m, w, threads);
	machine_unmap(m, pid, at, FILE_PAGES);
	vm_exit(m->vm, pid);
	return t;
}

/* What is in RAM stays there, pages go as others come. */
static double fault_emu_full(struct machine *m, int pid, uint64_t at,
			     uint32_t n)
{
	static uint32_t next;
	uint32_t *page = order + next % (FILE_PAGES - n);

	next += n;
	return crew_one(m, pid, at, page, n, false);
}

static void forget(const char *name)
{
	int fd = open(name, O_RDONLY);

	if (fd < 0)
		return;
	fdatasync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

static double fault_host(uint32_t n)
{
	int fd = open(path, O_RDONLY);
	volatile uint8_t *at;
	double begin;

	if (fd < 0)
		die(path, errno);
	forget(path);
	if (*below)
		forget(below);
	at = mmap(NULL, FILE_PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		die("mmap", errno);
	madvise((void *)at, FILE_PAGES * PAGE, MADV_RANDOM);
	begin = now_s();
	for (uint32_t i = 0; i < n; i++)
		(void)at[order[i] * PAGE];
	begin = now_s() - begin;
	munmap((void *)at, FILE_PAGES * PAGE);
	close(fd);
	return begin;
}

static const struct target no_target = { TARGET_NONE, 0 };

static void one_at_a_time(struct bare *b, unsigned cpus)
{
	struct machine_config c = { .ram = 400 * MIB, .cpus = cpus };
	struct series emu = { .n = 0 }, bare = { .n = 0 }, host = { .n = 0 };
	struct machine m;
	char name[64];

	machine_up(&m, &c);
	fault_emu(&m, faults / 4, 1);
	for (unsigned i = 0; i < reps; i++) {
		series_add(&emu, fault_emu(&m, faults, 1) * 1e6 / faults);
		series_add(&bare, bare_read(b, order, faults, 1) * 1e6 /
			   faults);
		series_add(&host, fault_host(faults) * 1e6 / faults);
	}
	machine_down(&m);
	snprintf(name, sizeof(name), "one thread, --cpus %u", cpus);
	table_row(name, &emu, "bare io_uring, QD 1", &bare,
		  (struct target){ AT_MOST, 1.10 });
	table_row(name, &emu, "kernel's fault on a mapping", &host,
		  (struct target){ AT_MOST, 1.0 });
}

/* RAM is full: for each page that comes a clean one goes. */
static void one_with_pageout(struct bare *b)
{
	struct machine_config c = { .ram = 32 * MIB, .cpus = 2 };
	struct series emu = { .n = 0 }, bare = { .n = 0 };
	struct machine m;
	uint64_t at;
	int pid;

	machine_up(&m, &c);
	pid = machine_proc(&m);
	at = machine_map(&m, pid, path, FILE_PAGES, false);
	crew_one(&m, pid, at, order + FILE_PAGES - 12000, 12000, false);
	for (unsigned i = 0; i < reps; i++) {
		series_add(&emu, fault_emu_full(&m, pid, at, faults) * 1e6 /
			   faults);
		series_add(&bare, bare_read(b, order, faults, 1) * 1e6 /
			   faults);
	}
	machine_unmap(&m, pid, at, FILE_PAGES);
	machine_down(&m);
	table_row("one thread, RAM full of clean pages", &emu,
		  "bare io_uring, QD 1", &bare, no_target);
}

static void many_row(unsigned depth, unsigned cpus, const struct series *emu,
		     const struct series *fio, const struct series *bare)
{
	char name[64], who[64];

	snprintf(name, sizeof(name), "%u threads, --cpus %u", depth, cpus);
	snprintf(who, sizeof(who), "fio, QD %u", depth);
	table_row(name, emu, who, fio, (struct target){ AT_LEAST, 0.85 });
	snprintf(who, sizeof(who), "bare io_uring, QD %u", depth);
	table_row(name, emu, who, bare, no_target);
}

static void many_at_once(struct bare *b, unsigned depth)
{
	struct machine_config c = { .ram = 400 * MIB };
	struct series emu[2] = { { .n = 0 } }, bare = { .n = 0 };
	struct series fio = { .n = 0 };
	uint32_t n = faults * 8 / depth * depth;
	struct machine m[2];

	for (c.cpus = 1; c.cpus <= 2; c.cpus++) {
		machine_up(&m[c.cpus - 1], &c);
		fault_emu(&m[c.cpus - 1], n / 4, depth);
	}
	for (unsigned i = 0; i < reps; i++) {
		for (unsigned k = 0; k < 2; k++)
			series_add(&emu[k],
				   n / fault_emu(&m[k], n, depth) / 1e3);
		series_add(&bare, n / bare_read(b, order, n, depth) / 1e3);
		series_add(&fio, fio_run(path, "randread", PAGE,
					 FILE_PAGES * PAGE, depth) / 1e3);
	}
	for (unsigned k = 0; k < 2; k++) {
		machine_down(&m[k]);
		many_row(depth, k + 1, &emu[k], &fio, &bare);
	}
}

/* One line, for bench/run to put beside others: one at a time, the bare ring,
 * their ratio; 64 at once, the bare ring, their ratio. */
static void placement(void)
{
	struct machine_config c = { .ram = 400 * MIB, .cpus = 2 };
	struct series one = { .n = 0 }, bare_one = { .n = 0 };
	struct series many = { .n = 0 }, bare_many = { .n = 0 };
	uint32_t n = faults * 4 / 64 * 64;
	struct machine m;
	struct bare b;

	machine_up(&m, &c);
	bare_up(&b, path, O_RDONLY, 128 * MIB);
	fault_emu(&m, faults / 4, 1);
	for (unsigned i = 0; i < reps; i++) {
		series_add(&one, fault_emu(&m, faults, 1) * 1e6 / faults);
		series_add(&bare_one, bare_read(&b, order, faults, 1) * 1e6 /
			   faults);
		series_add(&many, n / fault_emu(&m, n, 64) / 1e3);
		series_add(&bare_many, n / bare_read(&b, order, n, 64) / 1e3);
	}
	bare_down(&b);
	machine_down(&m);
	printf("%.1f %.1f %.2f %.1f %.1f %.2f\n", series_median(&one),
	       series_median(&bare_one), series_ratio(&one, &bare_one),
	       series_median(&many), series_median(&bare_many),
	       series_ratio(&many, &bare_many));
}

static void all(void)
{
	struct bare b;

	bare_up(&b, path, O_RDONLY, 128 * MIB);
	table_head("Faults that read 4 KiB, one at a time", "pager", "µs");
	one_at_a_time(&b, 1);
	one_at_a_time(&b, 2);
	one_with_pageout(&b);
	table_head("Faults that read 4 KiB, many at once", "pager",
		   "thousand/s");
	many_at_once(&b, 16);
	many_at_once(&b, 64);
	bare_down(&b);
}

int main(int argc, char **argv)
{
	bool place = false;
	int opt;

	while ((opt = getopt(argc, argv, "r:n:p")) != -1) {
		if (opt == 'r')
			reps = (unsigned)atoi(optarg);
		else if (opt == 'n')
			faults = (uint32_t)atoi(optarg);
		else if (opt == 'p')
			place = true;
		else
			reps = 0;
	}
	if (reps < 1 || reps > REPS_MAX || faults < 64 || faults > 8000 ||
	    optind >= argc)
		die("fault [-r REPETITIONS] [-n FAULTS] [-p] MOUNT [SOURCE]",
		    0);
	snprintf(path, sizeof(path), "%s/fault", argv[optind]);
	if (optind + 1 < argc)
		snprintf(below, sizeof(below), "%s/fault", argv[optind + 1]);
	if (!place || access(path, R_OK))
		file_make(path, FILE_PAGES * PAGE);
	order = shuffled(FILE_PAGES);
	if (place)
		placement();
	else
		all();
	return 0;
}
