/*
 * minor.c - faults that need no store: zero-fill, copy on write, found; fork;
 * what a frame costs in the pager's own memory.
 *
 *	build/bench/minor [-r REPETITIONS]	rates, fork, memory
 *	build/bench/minor -k KIND -n CPUS	one of the rates alone
 *	build/bench/minor -c KIND -f FRAMES	one pass, for counting what it
 *		executes: KIND zero, cow, found, read; prints the faults
 *	build/bench/minor -s -f FRAMES		frames scanned per eviction
 *
 * Beside each rate stands the kernel's own: the same touches of anonymous
 * memory of this process, so that both pay for the same clearing and copying.
 */
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "bench/lib/machine.h"

#define RAM_BYTES	(768 * MIB)
#define PAGES		(1u << 16)	/* touched in a repetition */

static unsigned reps = 7;
static int only_kind = -1;	/* -k */
static unsigned only_cpus;	/* -n */

enum kind { ZERO, COW, FOUND, READ_NULL };
static const char *const kind_name[] = { "zero", "cow", "found", "read" };

/* ---- a process each, with pages to fault on ---- */

struct subject {
	int parent, pid;
	uint64_t at;
};

/* Bring the process to where the next touches are faults of @kind. */
static void subject_up(struct machine *m, struct subject *s, enum kind kind,
		       uint32_t pages)
{
	const char *path = kind == READ_NULL ? "null" : NULL;

	s->parent = s->pid = machine_proc(m);
	s->at = machine_map(m, s->pid, path, pages, !path);
	if (kind == ZERO || kind == READ_NULL)
		return;
	crew_one(m, s->pid, s->at, NULL, pages, true);
	s->pid = vm_fork(m->vm, s->parent, "child");
	if (s->pid < 0)
		die("fork", s->pid);
}

static void subject_down(struct machine *m, struct subject *s)
{
	if (s->pid != s->parent)
		vm_exit(m->vm, s->pid);
	vm_exit(m->vm, s->parent);
}

/* => faults per second and CPU, @n processes at once. */
static double rate_emu(struct machine *m, enum kind kind, unsigned n)
{
	struct subject s[2];
	struct member w[2];
	uint32_t pages = PAGES / n;
	double t;

	for (unsigned i = 0; i < n; i++) {
		subject_up(m, &s[i], kind, pages);
		w[i] = (struct member){ .pid = s[i].pid, .at = s[i].at,
					.n = pages, .store = kind != FOUND };
	}
	t = crew_run(m, w, n);
	for (unsigned i = 0; i < n; i++)
		subject_down(m, &s[i]);
	while (machine_stat(m, "nr_objects") > 0)
		usleep(200);
	return pages / t;
}

/* ---- the kernel's ---- */

static double host_touch(uint8_t *at, bool store)
{
	double begin = now_s();

	for (uint64_t i = 0; i < PAGES; i++) {
		if (store)
			((volatile uint8_t *)at)[i * PAGE] = 1;
		else
			(void)((volatile uint8_t *)at)[i * PAGE];
	}
	return PAGES / (now_s() - begin);
}

/* The touches are the child's; the rate comes back through a pipe. */
static double host_forked(uint8_t *at, bool store)
{
	double rate = 0;
	int fd[2];

	if (pipe(fd))
		die("pipe", errno);
	if (fork() == 0) {
		rate = host_touch(at, store);
		if (write(fd[1], &rate, sizeof(rate)) != sizeof(rate))
			_exit(1);
		_exit(0);
	}
	if (read(fd[0], &rate, sizeof(rate)) != sizeof(rate))
		die("child", 0);
	close(fd[0]);
	close(fd[1]);
	wait(NULL);
	return rate;
}

static double rate_host(enum kind kind)
{
	int flags = MAP_ANONYMOUS | (kind == FOUND ? MAP_SHARED : MAP_PRIVATE);
	uint8_t *at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags,
			   -1, 0);
	double rate;

	if (at == MAP_FAILED)
		die("mmap", errno);
	madvise(at, PAGES * PAGE, MADV_NOHUGEPAGE);
	if (kind == ZERO) {
		rate = host_touch(at, true);
	} else {
		host_touch(at, true);
		rate = host_forked(at, kind == COW);
	}
	munmap(at, PAGES * PAGE);
	return rate;
}

static void rates_of(struct machine *m, enum kind kind, unsigned ncpus)
{
	static const char *const what[] = {
		"zero-fill", "copy on write", "found in RAM",
	};
	struct series emu = { .n = 0 }, host = { .n = 0 };
	char name[64];

	rate_emu(m, kind, ncpus);
	for (unsigned i = 0; i < reps; i++) {
		series_add(&emu, rate_emu(m, kind, ncpus) / 1e6);
		series_add(&host, rate_host(kind) / 1e6);
	}
	snprintf(name, sizeof(name), "%s, %u CPU%s", what[kind], ncpus,
		 ncpus > 1 ? "s" : "");
	printf("| %s | %.2f | %.2f |", name, series_median(&emu),
	       series_median(&host));
	table_target(series_median(&emu), kind == FOUND ?
		     (struct target){ TARGET_NONE, 0 } :
		     (struct target){ AT_LEAST, 1.0 });
}

static void rates(void)
{
	struct machine_config c = { .ram = RAM_BYTES, .cpus = 1, .null = true };
	struct machine m;

	printf("\nFaults without I/O, millions per second and CPU\n\n");
	printf("| fault | pager | kernel, 1 CPU | target | |\n");
	printf("|---|---:|---:|---:|---|\n");
	for (c.cpus = 1; c.cpus <= 2; c.cpus++) {
		if (only_cpus && c.cpus != only_cpus)
			continue;
		machine_up(&m, &c);
		memset(m.ram.base, 0, m.ram.size);
		for (int k = ZERO; k <= FOUND; k++)
			if (only_kind < 0 || k == only_kind)
				rates_of(&m, (enum kind)k, c.cpus);
		machine_down(&m);
	}
}

/* ---- fork ---- */

static double fork_once(struct machine *m, int parent)
{
	double begin = now_s(), t;
	int pid = vm_fork(m->vm, parent, "child");

	t = now_s() - begin;
	if (pid < 0)
		die("fork", pid);
	vm_exit(m->vm, pid);
	return t * 1e6;
}

/* Fork, store one page, let the parent exit, a thousand times. => objects. */
static uint64_t fork_line(struct machine *m, uint32_t pages)
{
	int pid = machine_proc(m), child;
	uint64_t at = machine_map(m, pid, NULL, pages, true), objects;

	crew_one(m, pid, at, NULL, pages, true);
	for (unsigned i = 0; i < 1000; i++) {
		child = vm_fork(m->vm, pid, "child");
		if (child < 0)
			die("fork", child);
		crew_one(m, child, at, NULL, 1, true);
		vm_exit(m->vm, pid);
		pid = child;
	}
	objects = machine_stat(m, "nr_objects");
	vm_exit(m->vm, pid);
	return objects;
}

static void forks(void)
{
	static const uint32_t sizes[] = { 64, 4096, 65536 };
	struct machine_config c = { .ram = RAM_BYTES, .cpus = 1, .null = true };
	struct machine m;

	machine_up(&m, &c);
	printf("\nFork\n\n| case | first, µs | again, µs |\n|---|---:|---:|\n");
	for (unsigned i = 0; i < 3; i++) {
		struct series first = { .n = 0 }, again = { .n = 0 };
		int pid = machine_proc(&m);
		uint64_t at = machine_map(&m, pid, NULL, sizes[i], true);

		for (unsigned r = 0; r < reps; r++) {
			crew_one(&m, pid, at, NULL, sizes[i], true);
			series_add(&first, fork_once(&m, pid));
			series_add(&again, fork_once(&m, pid));
		}
		printf("| %u resident pages | %.1f | %.1f |\n", sizes[i],
		       series_median(&first), series_median(&again));
		vm_exit(m.vm, pid);
	}
	printf("\nObjects after 1000 forks in a line, each child storing a "
	       "page before its parent exits: %llu\n",
	       (unsigned long long)fork_line(&m, 64));
	machine_down(&m);
}

/* ---- bookkeeping ---- */

static uint64_t rss_anon(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Anonymous: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib << 10;
}

/* Memory of our own that @frames frames take, all of them pages. */
static uint64_t books_of(uint32_t frames)
{
	struct machine_config c = { .ram = frames * PAGE, .cpus = 1,
				    .null = true, .stopped = true };
	uint64_t grown = 0, before;
	struct machine m;
	int fd[2], pid;

	if (pipe(fd))
		die("pipe", errno);
	if (fork() == 0) {
		before = rss_anon();
		machine_up(&m, &c);
		pid = machine_proc(&m);
		frames -= frames / 400 + 4096;	/* tables, watermarks */
		crew_one(&m, pid, machine_map(&m, pid, NULL, frames, true),
			 NULL, frames, true);
		grown = rss_anon() - before;
		_exit(write(fd[1], &grown, sizeof(grown)) != sizeof(grown));
	}
	if (read(fd[0], &grown, sizeof(grown)) != sizeof(grown))
		die("child", 0);
	wait(NULL);
	return grown;
}

static void books(void)
{
	uint64_t few = books_of(100000), many = books_of(1000000);
	double each = (double)(many - few) / 900000;

	printf("\nBookkeeping: resident memory but RAM\n\n| case | bytes | | | "
	       "| target | |\n|---|---:|---|---|---|---:|---|\n");
	table_value("10^5 frames", few, (struct target){ TARGET_NONE, 0 });
	table_value("10^6 frames", many, (struct target){ TARGET_NONE, 0 });
	table_value("growth per frame", each, (struct target){ AT_MOST, 48 });
}

/* ---- passes to be counted ---- */

static void count_pass(enum kind kind, uint32_t frames)
{
	struct machine_config c = { .ram = frames * PAGE, .cpus = 1,
				    .null = true, .stopped = true };
	uint32_t pages = kind == COW ? frames * 2 / 5 : frames * 4 / 5;
	uint64_t before;
	struct subject s;
	struct machine m;

	machine_up(&m, &c);
	subject_up(&m, &s, kind, pages);
	before = machine_stat(&m, "pgfault");
	crew_one(&m, s.pid, s.at, NULL, pages, kind < FOUND);
	printf("%llu of %llu\n", (unsigned long long)
	       (machine_stat(&m, "pgfault") - before),
	       (unsigned long long)machine_stat(&m, "pgfault"));
	_exit(fflush(stdout));
}

/* Clean pages of a file twice as large as RAM. */
static void scan_pass(uint32_t frames)
{
	struct machine_config c = { .ram = frames * PAGE, .cpus = 1,
				    .null = true, .stopped = true };
	uint32_t *page = shuffled(frames * 3);
	uint64_t scan, steal, at;
	struct machine m;
	int pid;

	machine_up(&m, &c);
	pid = machine_proc(&m);
	at = machine_map(&m, pid, "null", frames * 3, false);
	crew_one(&m, pid, at, page, frames * 2, false);
	scan = machine_stat(&m, "pgscan");
	steal = machine_stat(&m, "pgsteal");
	crew_one(&m, pid, at, page + frames * 2, frames, false);
	printf("%.4f\n", (double)(machine_stat(&m, "pgscan") - scan) /
	       (double)(machine_stat(&m, "pgsteal") - steal));
	_exit(fflush(stdout));
}

int main(int argc, char **argv)
{
	uint32_t frames = 1000;
	bool scan = false;
	int opt, kind = -1;

	while ((opt = getopt(argc, argv, "r:c:k:n:f:s")) != -1) {
		if (opt == 'r')
			reps = (unsigned)atoi(optarg);
		else if (opt == 'n')
			only_cpus = (unsigned)atoi(optarg);
		else if (opt == 'f')
			frames = (uint32_t)strtoul(optarg, NULL, 0);
		else if (opt == 's')
			scan = true;
		for (int k = ZERO; strchr("ck", opt) && k <= READ_NULL; k++)
			if (strcmp(optarg, kind_name[k]) == 0)
				*(opt == 'c' ? &kind : &only_kind) = k;
	}
	if (reps < 1 || reps > REPS_MAX)
		die("1 to 101 repetitions", 0);
	if (kind >= 0)
		count_pass((enum kind)kind, frames);
	if (scan)
		scan_pass(frames);
	if (only_kind >= 0) {
		rates();
		return 0;
	}
	books();	/* first: freed memory of the others would hide some */
	rates();
	forks();
	return 0;
}
