/*
 * tool_cache.c - is what is read after an open what the file then was?
 *
 *	tool_cache race MOUNT SOURCE SECONDS SEED
 *	tool_cache together MOUNT SOURCE SECONDS SEED
 *	tool_cache each MOUNT SOURCE SECONDS SEED
 *	tool_cache names MOUNT SOURCE SECONDS SEED
 *	tool_cache mapped MOUNT SOURCE SECONDS SEED
 *	tool_cache asked MOUNT SOURCE SECONDS SEED
 *
 * SOURCE is served at MOUNT. A file of PAGES pages has in each the number of
 * its version. Whoever opens it through MOUNT after a version was complete
 * must find no older one.
 *
 *  race	one thread writes versions in SOURCE, others open and read
 *  together	the others open it at the same time, a while after each version
 *  each	changes of every kind, each followed by opens; the longer the
 *		mount's timeouts, the less the kernel finds out by itself
 *  names	the same with changes of names, on a mount without timeouts
 *  mapped	the versions are stored through a mapping of the file
 *  asked	after each version one who still has the file open asks for its
 *		flags, for which the kernel opens it once more by itself; a byte
 *		stored through a mapping then must not bring back the last one
 *
 * => 0, or 1 having said what was stale; the last line says how many opens
 * there were.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE	4096
#define PAGES	256
#define READERS	4

/* Longer ago than within which a change might go unseen. */
#define SETTLED_US	25000

static char served[512], below[512], linked[512], fresh[512];
static atomic_ulong complete, opens, stale;
static atomic_bool over;
static unsigned int seconds;
static pthread_barrier_t ready, done;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void pause_us(unsigned int us)
{
	struct timespec time = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&time, NULL);
}

/* Mostly within one tick of the clock, sometimes longer than is waited for. */
static unsigned int some_us(unsigned int *state)
{
	static const unsigned int most[] = { 10, 500, 5000, 30000, 60000 };

	return rand_r(state) % most[rand_r(state) % 5];
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void fill(uint64_t *data, uint64_t version)
{
	size_t i;

	for (i = 0; i < PAGES * PAGE / sizeof(*data); i++)
		data[i] = version;
}

static void put(int fd, uint64_t version)
{
	static __thread uint64_t data[PAGES * PAGE / sizeof(uint64_t)];

	fill(data, version);
	must(pwrite(fd, data, sizeof(data), 0) == sizeof(data), "pwrite");
}

static void change(const char *path, uint64_t version, int flags)
{
	int fd = open(path, O_WRONLY | O_CREAT | flags, 0600);

	must(fd >= 0, path);
	put(fd, version);
	close(fd);
}

/* Open @path and compare; @exact: nothing newer either. */
static void look(const char *path, uint64_t least, bool exact, int flags)
{
	static __thread uint64_t data[PAGES * PAGE / sizeof(uint64_t)];
	int fd = open(path, flags);
	size_t i;

	must(fd >= 0, path);
	/* The last first: it would be dropped last, too. */
	must(pread(fd, data + (PAGES - 1) * PAGE / sizeof(*data), PAGE,
		   (PAGES - 1) * PAGE) == PAGE, "pread");
	must(pread(fd, data, (PAGES - 1) * PAGE, 0) == (PAGES - 1) * PAGE,
	     "pread");
	opens++;
	for (i = 0; i < PAGES * PAGE / sizeof(*data); i++) {
		if (data[i] == least || (!exact && data[i] > least))
			continue;
		if (!stale++)
			printf("word %zu: version %lu, not %lu\n", i, data[i],
			       least);
		break;
	}
	close(fd);
}

/* ---- race ---- */

static void *race_reader(void *arg)
{
	unsigned int state = (uintptr_t)arg;

	while (!over) {
		look(served, complete, false,
		     rand_r(&state) % 4 ? O_RDONLY : O_RDWR);
		if (!(rand_r(&state) % 4))
			pause_us(some_us(&state));
	}
	return NULL;
}

static void *together_reader(void *arg)
{
	(void)arg;
	for (;;) {
		pthread_barrier_wait(&ready);
		if (over)
			return NULL;
		look(served, complete, true, O_RDONLY);
		pthread_barrier_wait(&done);
	}
}

static void together(void)
{
	double end = now() + seconds;
	pthread_t readers[READERS];
	unsigned int i;

	pthread_barrier_init(&ready, NULL, READERS + 1);
	pthread_barrier_init(&done, NULL, READERS + 1);
	for (i = 0; i < READERS; i++)
		pthread_create(&readers[i], NULL, together_reader, NULL);
	while (now() < end) {
		change(below, complete + 1, 0);
		complete++;
		pause_us(SETTLED_US);
		pthread_barrier_wait(&ready);
		pthread_barrier_wait(&done);
	}
	over = true;
	pthread_barrier_wait(&ready);
	for (i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
}

static void race(unsigned int seed)
{
	double end = now() + seconds;
	pthread_t readers[READERS];
	uint64_t version = 1;
	unsigned int i;

	for (i = 0; i < READERS; i++)
		pthread_create(&readers[i], NULL, race_reader,
			       (void *)(uintptr_t)(seed + 1 + i));
	while (now() < end) {
		change(below, ++version, 0);
		complete = version;
		pause_us(some_us(&seed) * 2);
	}
	over = true;
	for (i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
}

/* ---- each ---- */

static void restore_times(const struct stat *st)
{
	const struct timespec times[] = { st->st_atim, st->st_mtim };

	must(!utimensat(AT_FDCWD, below, times, 0), "utimensat");
}

/* A shorter file between: its pages and its size are other ones. */
static void shrink_and_grow(uint64_t version)
{
	must(!truncate(below, 100), "truncate");
	must(!truncate(below, PAGES * PAGE), "truncate");
	change(below, version, 0);
}

static void replace(uint64_t version)
{
	change(fresh, version, O_TRUNC);
	must(!rename(fresh, below), below);
	unlink(linked);
	must(!link(below, linked), "link");
}

static void each_change(uint64_t version, unsigned int kind)
{
	struct stat st;

	must(!stat(below, &st), below);
	switch (kind) {
	case 0:
		change(below, version, 0);
		break;
	case 1:
		change(below, version, 0);
		restore_times(&st);
		break;
	case 2:
		change(linked, version, 0);
		break;
	case 3:
		shrink_and_grow(version);
		break;
	case 4:
		change(below, version, O_TRUNC);
		break;
	case 5:
		change(served, version, 0);
		break;
	case 6:
		change(served, version, O_TRUNC);
		break;
	default:
		replace(version);
		break;
	}
}

static void each(unsigned int state, unsigned int kinds)
{
	double end = now() + seconds;
	uint64_t version = 1;
	unsigned int times;

	while (now() < end) {
		for (times = rand_r(&state) % 4; times; times--) {
			pause_us(some_us(&state));
			look(served, version, true,
			     rand_r(&state) % 4 ? O_RDONLY : O_RDWR);
		}
		each_change(++version, rand_r(&state) % kinds);
	}
}

/* ---- mapped ---- */

static void mapped(unsigned int state)
{
	double end = now() + seconds;
	uint64_t version = 1, *data;
	int fd;

	while (now() < end) {
		fd = open(below, O_RDWR);
		must(fd >= 0, below);
		data = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd, 0);
		must(data != MAP_FAILED, "mmap");
		close(fd);
		look(served, version, true, O_RDONLY);
		fill(data, ++version);
		look(served, version, true, O_RDONLY);
		pause_us(30000 + some_us(&state));
		look(served, version, true, O_RDONLY);
		fill(data, ++version);
		look(served, version, true, O_RDONLY);
		munmap(data, PAGES * PAGE);
		pause_us(some_us(&state));
		look(served, version, true, O_RDONLY);
	}
}

/* ---- asked ---- */

/* Store the first byte of the file, with the value that it has in @version. */
static void store_byte(uint64_t version)
{
	int fd = open(served, O_RDWR);
	volatile uint8_t *data = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				      MAP_SHARED, fd, 0);

	must(data != MAP_FAILED, "mmap");
	*data = version;
	must(!msync((void *)data, PAGE, MS_SYNC), "msync");
	munmap((void *)data, PAGE);
	close(fd);
}

/* Who holds the file may not write to it, or no sample would be good. */
static void asked(void)
{
	double end = now() + seconds;
	int held = open(served, O_RDONLY), flags;

	must(held >= 0, served);
	while (now() < end) {
		look(served, complete, true, O_RDONLY);
		change(below, ++complete, 0);
		pause_us(SETTLED_US);
		/* No matter whether the file system below has any. */
		(void)ioctl(held, FS_IOC_GETFLAGS, &flags);
		if (complete % 2)
			look(served, complete, true, O_RDONLY);
		store_byte(complete);
		look(below, complete, true, O_RDONLY);
	}
	close(held);
}

int main(int argc, char **argv)
{
	unsigned int seed;

	if (argc != 6) {
		fprintf(stderr, "usage: tool_cache race|together|each|names|"
			"mapped|asked MOUNT SOURCE SECONDS SEED\n");
		return 2;
	}
	snprintf(served, sizeof(served), "%s/%s", argv[2], argv[1]);
	snprintf(below, sizeof(below), "%s/%s", argv[3], argv[1]);
	snprintf(linked, sizeof(linked), "%s/linked", argv[3]);
	snprintf(fresh, sizeof(fresh), "%s/fresh", argv[3]);
	seconds = atoi(argv[4]);
	seed = atoi(argv[5]);
	replace(complete = 1);
	if (!strcmp(argv[1], "race"))
		race(seed);
	else if (!strcmp(argv[1], "together"))
		together();
	else if (!strcmp(argv[1], "each"))
		each(seed, 7);
	else if (!strcmp(argv[1], "names"))
		each(seed, 8);
	else if (!strcmp(argv[1], "asked"))
		asked();
	else
		mapped(seed);
	printf("%lu opens, %lu stale\n", opens, stale);
	return stale || !opens;
}
