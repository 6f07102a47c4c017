/*
 * pageout.c - how fast scattered dirty frames leave, through a mounted store.
 *
 *	build/bench/pageout [-r REPETITIONS] MOUNT
 *
 * Every frame is dirtied first, in random order, so that neither the pages in
 * RAM nor the frames in the file are neighbours; only pageout is timed: from
 * vm_evict() to its end. Beside it: writev of as many scattered pages in
 * clusters of the same size by a bare ring with several depths and by
 * pwritev, fio at 1 MiB, and the same pager with clusters of one page. Every
 * block of the swap area has been written once before, as of the files: the
 * first write to one costs a disk's file system more than the others.
 */
#include "bench/lib/machine.h"
#include "bench/lib/store_io.h"

#define DIRTY		49152u		/* pages: 192 MiB */
#define DIRTY_SINGLE	8192u		/* with clusters of one page */
#define CLUSTER		256u

static unsigned reps = 5;
static char path[4096], swap_path[4200], bare_path[4200];
static uint32_t *order;

/* Dirty @n pages of @file (NULL: anonymous), then time their way out. => MiB
 * per second. */
static double pageout(struct machine *m, const char *file, uint32_t n)
{
	int pid = machine_proc(m);
	uint64_t at = machine_map(m, pid, file, DIRTY, true);
	uint64_t before = machine_stat(m, "pglaunder"), gone;
	double t;

	crew_one(m, pid, at, order, n, true);
	t = now_s();
	gone = vm_evict(m->vm, n);
	t = now_s() - t;
	if (gone < n * 9ull / 10 ||
	    machine_stat(m, "pglaunder") - before < n * 9ull / 10)
		die("pages stayed in RAM", 0);
	machine_unmap(m, pid, at, DIRTY);
	vm_exit(m->vm, pid);
	return gone * (double)PAGE / MIB / t;
}

struct results {
	struct series swap, file, single, writev[3], pwritev, fio;
};

static const unsigned depths[] = { 4, 16, 48 };

static void repetition(struct machine *m, struct machine *one,
		       struct bare *b, struct results *r)
{
	double mib = DIRTY * PAGE / MIB;

	series_add(&r->swap, pageout(m, NULL, DIRTY));
	for (unsigned d = 0; d < 3; d++)
		series_add(&r->writev[d], mib / bare_writev(b, DIRTY, CLUSTER,
							    depths[d]));
	series_add(&r->file, pageout(m, path, DIRTY));
	series_add(&r->pwritev, mib / bare_pwritev(b, bare_path, DIRTY,
						   CLUSTER));
	series_add(&r->fio, fio_run(bare_path, "write", MIB, DIRTY * PAGE,
				    16));
	series_add(&r->single, pageout(one, NULL, DIRTY_SINGLE));
}

/* The depth that is best here. */
static const struct series *best(const struct results *r, unsigned *depth)
{
	unsigned b = 0;

	for (unsigned d = 1; d < 3; d++)
		if (series_median(&r->writev[d]) > series_median(&r->writev[b]))
			b = d;
	*depth = depths[b];
	return &r->writev[b];
}

static void rows(const char *name, const struct series *ours,
		 const struct results *r)
{
	const struct target writev = { AT_LEAST, 0.95 };
	const struct target fio = { AT_LEAST, 0.85 }, ten = { AT_LEAST, 10 };
	unsigned depth;
	const struct series *b = best(r, &depth);
	char who[64];

	snprintf(who, sizeof(who), "bare writev, QD %u (its best)", depth);
	table_row(name, ours, who, b, writev);
	table_row(name, ours, "pwritev loop", &r->pwritev, writev);
	table_row(name, ours, "fio, 1 MiB, QD 16", &r->fio, fio);
	table_row(name, ours, "pager, clusters of one page", &r->single, ten);
}

static void all(void)
{
	struct machine_config c = { .ram = 256 * MIB, .cpus = 2,
				    .swap = swap_path, .swap_size = 512 * MIB };
	struct machine_config one = { .ram = 256 * MIB, .cpus = 2,
				      .cluster = 1, .swap = bare_path,
				      .swap_size = 256 * MIB };
	static struct results r;
	struct machine m, single;
	struct bare b;

	machine_up(&m, &c);
	snprintf(bare_path, sizeof(bare_path), "%s.swap1", path);
	machine_up(&single, &one);
	snprintf(bare_path, sizeof(bare_path), "%s.bare", path);
	file_make(bare_path, DIRTY * PAGE);
	bare_up(&b, bare_path, O_RDWR, DIRTY * PAGE);
	for (uint64_t at = 0; at < c.swap_size; at += DIRTY * PAGE)
		pageout(&m, NULL, DIRTY);
	for (unsigned i = 0; i < reps; i++)
		repetition(&m, &single, &b, &r);
	machine_down(&m);
	machine_down(&single);
	bare_down(&b);
	table_head("Pageout of scattered dirty frames", "pager", "MiB/s");
	rows("anonymous, to swap", &r.swap, &r);
	rows("shared file", &r.file, &r);
}

int main(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "r:")) != -1)
		reps = opt == 'r' ? (unsigned)atoi(optarg) : 0;
	if (reps < 1 || reps > REPS_MAX || optind >= argc)
		die("pageout [-r REPETITIONS] MOUNT", 0);
	snprintf(path, sizeof(path), "%s/pageout", argv[optind]);
	snprintf(swap_path, sizeof(swap_path), "%s.swap", path);
	file_make(path, DIRTY * PAGE);
	order = shuffled(DIRTY);
	all();
	return 0;
}
