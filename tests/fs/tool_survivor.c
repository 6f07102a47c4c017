/*
 * tool_survivor.c - clients that remember what they were promised.
 *
 *	tool_survivor load DIRECTORY ACCOUNT
 *	tool_survivor check DIRECTORY ACCOUNT
 *
 * load: several threads write numbered blocks into files of DIRECTORY, each
 * in its own way, and after each fsync, fdatasync or msync that succeeded
 * put down in ACCOUNT (a file elsewhere) up to which number all is promised.
 * It ends when every thread has met an error, which is what happens when the
 * file system goes away, and prints the longest that any call took.
 *
 * check: what was promised is in the files. Exit status 0 if so.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLOCK	4096
#define BLOCKS	512		/* in a file; then from the start again */
#define DEPTH	8

enum { BUFFERED, DIRECT, MAPPED, RING, NAMES, WAYS };

struct promise {
	uint64_t number;	/* blocks 1 to this one are in the file */
};

static const char *directory;
static struct promise *promises;	/* ACCOUNT, mapped */
static __thread uint64_t longest, began;
static uint64_t longest_of[WAYS];
static __thread sigjmp_buf bus;

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ull + now.tv_nsec / 1000;
}

static void timed_start(void)
{
	began = now_us();
}

static long timed(long result)
{
	uint64_t took = now_us() - began;

	if (took > longest)
		longest = took;
	began = now_us();
	return result;
}

static void fill(uint64_t *block, int way, uint64_t number)
{
	unsigned int i;

	for (i = 0; i < BLOCK / 8; i++)
		block[i] = number << 16 ^ (uint64_t)way << 8 ^ i;
}

static off_t place(uint64_t number)
{
	return (number - 1) % BLOCKS * BLOCK;
}

static int open_file(int way, int flags)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/way%d", directory, way);
	return open(path, flags | O_CREAT | O_CLOEXEC, 0600);
}

static void run_written(int way)
{
	int fd = open_file(way, O_RDWR | (way == DIRECT ? O_DIRECT : 0));
	uint64_t *block = aligned_alloc(BLOCK, BLOCK), number;

	timed_start();
	for (number = promises[way].number + 1; ; number++) {
		fill(block, way, number);
		if (timed(pwrite(fd, block, BLOCK, place(number))) != BLOCK)
			break;
		if (number % 4 && way != DIRECT)
			continue;
		if (timed(way == DIRECT ? fdatasync(fd) : fsync(fd)))
			break;
		promises[way].number = number;
	}
	timed(close(fd));
	free(block);
}

static void on_bus(int number)
{
	(void)number;
	siglongjmp(bus, 1);
}

static void run_mapped(int way)
{
	int fd = open_file(way, O_RDWR);
	volatile uint64_t number = promises[way].number;
	char *map;

	if (fd < 0 || ftruncate(fd, BLOCKS * BLOCK))
		return;
	map = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED,
		   fd, 0);
	if (map == MAP_FAILED)
		return;
	timed_start();
	while (!sigsetjmp(bus, 1)) {
		number++;
		fill((uint64_t *)(map + place(number)), way, number);
		timed(0);
		if (timed(msync(map, BLOCKS * BLOCK, MS_SYNC)))
			break;
		promises[way].number = number;
	}
	timed(munmap(map, BLOCKS * BLOCK));
	timed(close(fd));
}

static bool ring_round(struct io_uring *ring, int fd, uint64_t *blocks,
		       uint64_t first)
{
	struct io_uring_cqe *cqe;
	bool ok = true;
	unsigned int i;

	for (i = 0; i < DEPTH; i++) {
		uint64_t *block = blocks + i * (BLOCK / 8);

		fill(block, RING, first + i);
		io_uring_prep_write(io_uring_get_sqe(ring), fd, block, BLOCK,
				    place(first + i));
	}
	io_uring_submit(ring);
	for (i = 0; i < DEPTH; i++) {
		if (io_uring_wait_cqe(ring, &cqe))
			return false;
		ok = ok && cqe->res == BLOCK;
		io_uring_cqe_seen(ring, cqe);
	}
	return ok;
}

static void run_ring(int way)
{
	int fd = open_file(way, O_RDWR | O_DIRECT);
	uint64_t *blocks = aligned_alloc(BLOCK, DEPTH * BLOCK);
	uint64_t number = promises[way].number;
	struct io_uring ring;

	if (fd < 0 || io_uring_queue_init(DEPTH, &ring, 0))
		return;
	timed_start();
	while (timed(ring_round(&ring, fd, blocks, number + 1))) {
		number += DEPTH;
		if (timed(fdatasync(fd)))
			break;
		promises[way].number = number;
	}
	io_uring_queue_exit(&ring);
	timed(close(fd));
	free(blocks);
}

/* A file is made under one name, synced, and put in another's place. */
static void run_names(int way)
{
	uint64_t number = promises[way].number, block[BLOCK / 8];
	char fresh[4096], final[4096];
	int fd, dir = open(directory, O_RDONLY | O_DIRECTORY);

	snprintf(fresh, sizeof(fresh), "%s/fresh", directory);
	snprintf(final, sizeof(final), "%s/final", directory);
	timed_start();
	for (;;) {
		number++;
		fill(block, way, number);
		fd = timed(open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600));
		if (fd < 0 || timed(write(fd, block, BLOCK)) != BLOCK ||
		    timed(fsync(fd)))
			break;
		if (timed(close(fd)) || timed(rename(fresh, final)) ||
		    timed(fsync(dir)))
			break;
		promises[way].number = number;
	}
	timed(close(dir));
}

static void *run(void *arg)
{
	static void (*const ways[WAYS])(int) = {
		run_written, run_written, run_mapped, run_ring, run_names,
	};
	int way = (intptr_t)arg;

	ways[way](way);
	longest_of[way] = longest;
	return NULL;
}

static int load(void)
{
	pthread_t threads[WAYS];
	uint64_t most = 0;
	intptr_t i;

	signal(SIGBUS, on_bus);
	for (i = 0; i < WAYS; i++)
		pthread_create(&threads[i], NULL, run, (void *)i);
	for (i = 0; i < WAYS; i++) {
		pthread_join(threads[i], NULL);
		if (longest_of[i] > most)
			most = longest_of[i];
	}
	printf("%lu\n", most);
	return 0;
}

/* => Does @block hold a number that was written at @place from @least on? */
static bool holds(const uint64_t *block, int way, uint64_t least)
{
	uint64_t number = (block[0] ^ (uint64_t)way << 8) >> 16;
	unsigned int i;

	for (i = 0; i < BLOCK / 8; i++)
		if (block[i] != (number << 16 ^ (uint64_t)way << 8 ^ i))
			return false;
	return number >= least && (number - least) % BLOCKS == 0;
}

static int check_way(int way)
{
	uint64_t promised = promises[way].number, number, block[BLOCK / 8];
	uint64_t first = promised > BLOCKS ? promised - BLOCKS + 1 : 1;
	int fd = open_file(way, O_RDONLY), lost = 0;

	for (number = first; number <= promised; number++) {
		if (pread(fd, block, BLOCK, place(number)) == BLOCK &&
		    holds(block, way, number))
			continue;
		if (!lost++)
			printf("way %d: block %lu of %lu is lost\n", way,
			       number, promised);
	}
	close(fd);
	return lost;
}

static int check_names(void)
{
	uint64_t promised = promises[NAMES].number, block[BLOCK / 8];
	char path[4096];
	int fd;

	if (!promised)
		return 0;
	snprintf(path, sizeof(path), "%s/final", directory);
	fd = open(path, O_RDONLY);
	if (read(fd, block, BLOCK) != BLOCK ||
	    (block[0] ^ (uint64_t)NAMES << 8) >> 16 < promised) {
		printf("names: %lu is lost\n", promised);
		return 1;
	}
	close(fd);
	return 0;
}

static int check(void)
{
	int way, lost = check_names();

	for (way = 0; way < NAMES; way++)
		lost += check_way(way);
	if (!lost)
		printf("%lu %lu %lu %lu %lu promised, all there\n",
		       promises[0].number, promises[1].number,
		       promises[2].number, promises[3].number,
		       promises[4].number);
	return lost != 0;
}

int main(int argc, char **argv)
{
	int fd;

	if (argc < 4)
		return 2;
	directory = argv[2];
	fd = open(argv[3], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, WAYS * sizeof(*promises)))
		return 2;
	promises = mmap(NULL, WAYS * sizeof(*promises),
			PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (promises == MAP_FAILED)
		return 2;
	return strcmp(argv[1], "load") ? check() : load();
}
