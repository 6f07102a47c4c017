/*
 * tool_large.c - large reads of a file that is written, cut and grown
 * meanwhile, through the mount and below it.
 *
 *	tool_large FILE BELOW SECONDS [noisy]
 *
 * FILE is on the mount, BELOW the same file in SOURCE. Each 8 bytes say where
 * they are and which write brought them. Readers (O_DIRECT, any multiples
 * of 8 bytes, and processes that are killed while they read) may see
 *
 *  - at each place what was written there, by no older a write than the last
 *    that was complete when they began; zeros only where it was cut since;
 *  - an end where the file ends, unless it was cut or grew; never an error.
 *
 * "noisy": somebody makes reads slow or fail. Then errors are no news. => 0;
 * 1, having said what was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST	(4u << 20)	/* the file's size when it is whole */
#define BLOCK	65536u		/* what one write writes */
#define BLOCKS	(MOST / BLOCK)
#define READERS	2
#define LONGEST	(3u << 19)

static const char *name, *below;
static bool noisy;
static atomic_bool done, failed;
static atomic_uint cuts;	/* odd: the file is being cut */
static _Atomic uint64_t begun[BLOCKS], complete[BLOCKS];
static atomic_uint whole[BLOCKS]; /* @cuts + 1 when it was written last */
static atomic_ulong reads, quiet_reads;

/* What a reader knows of a block before it reads. */
struct known {
	uint64_t least;		/* the last complete write */
	bool solid;		/* and it has not been cut since */
};

static void wrong(const char *what, unsigned long a, unsigned long b)
{
	if (!atomic_exchange(&failed, true))
		printf("%s: %lu, %lu (errno: %s)\n", what, a, b,
		       strerror(errno));
	atomic_store(&done, true);
}

/* 24 bits say where, 40 by which write. */
static uint64_t word(uint64_t at, uint64_t write)
{
	return at / 8 | write << 24;
}

static int open_as(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

/* ---- who changes it ---- */

static bool write_block(int fd, uint64_t *buffer, unsigned int block)
{
	uint64_t number = atomic_fetch_add(&begun[block], 1) + 1;
	unsigned int before = atomic_load(&cuts);
	uint64_t from = (uint64_t)block * BLOCK;
	unsigned int i;

	for (i = 0; i < BLOCK / 8; i++)
		buffer[i] = word(from + i * 8, number);
	if (pwrite(fd, buffer, BLOCK, from) != BLOCK)
		return false;
	atomic_store(&complete[block], number);
	if (!(before & 1) && before == atomic_load(&cuts))
		atomic_store(&whole[block], before + 1);
	return true;
}

/* One for the even blocks, by the mount; one below, for the odd. */
static void *writer(void *arg)
{
	bool under = arg;
	int fd = open_as(under ? below : name,
			 O_WRONLY | (under ? 0 : O_DIRECT));
	uint64_t *buffer = aligned_alloc(4096, BLOCK);
	unsigned int seed = under;

	while (!atomic_load(&done)) {
		unsigned int block = (rand_r(&seed) % (BLOCKS / 2)) * 2 + under;

		if (!write_block(fd, buffer, block))
			wrong("write", block, 0);
		usleep(300);
	}
	free(buffer);
	close(fd);
	return NULL;
}

/* Cut, punched, or grown by nothing; then whole again. */
static void cut_once(int fd, unsigned int *seed)
{
	off_t to = rand_r(seed) % MOST & ~7;

	switch (rand_r(seed) % 3) {
	case 0:
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      to, BLOCK))
			wrong("punch", to, 0);
		break;
	case 1:
		if (ftruncate(fd, to))
			wrong("truncate", to, 0);
		if (fallocate(fd, 0, 0, MOST))
			wrong("fallocate", 0, 0);
		break;
	default:
		if (ftruncate(fd, to))
			wrong("truncate", to, 0);
	}
	usleep(rand_r(seed) % 400);
	/* A write beyond the end may have made it longer again. */
	if (ftruncate(fd, MOST))
		wrong("grow", 0, 0);
}

static void *cutter(void *unused)
{
	int fds[] = { open_as(name, O_RDWR), open_as(below, O_RDWR) };
	unsigned int seed = 5, i;

	(void)unused;
	for (i = 0; !atomic_load(&done); i++) {
		atomic_fetch_add(&cuts, 1);
		cut_once(fds[i % 2], &seed);
		atomic_fetch_add(&cuts, 1);
		usleep(rand_r(&seed) % (i % 8 ? 4000 : 100000));
	}
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

/* ---- who reads it ---- */

static void check_word(uint64_t at, uint64_t seen, struct known known)
{
	uint64_t number = seen >> 24;

	if (!seen && known.solid)
		wrong("nothing where something was written", at, known.least);
	else if (!seen)
		return;
	else if ((seen & 0xffffff) != at / 8)
		wrong("bytes of another place", at, seen);
	else if (number > atomic_load(&begun[at / BLOCK]))
		wrong("bytes that nobody wrote", at, seen);
	else if (number < known.least)
		wrong("bytes of an older write", at, seen);
}

static void check_bytes(const char *buffer, uint64_t offset, size_t size,
			const struct known *known)
{
	uint64_t at = offset, seen;

	for (; at + 8 <= offset + size; at += 8) {
		memcpy(&seen, buffer + (at - offset), 8);
		check_word(at, seen, known[at / BLOCK]);
	}
}

static void read_once(int fd, char *buffer, unsigned int *seed)
{
	unsigned int before = atomic_load(&cuts), i;
	uint64_t offset = rand_r(seed) % (MOST + 20000) & ~7ull;
	size_t size = (rand_r(seed) % LONGEST & ~7u) + 8, there;
	struct known known[BLOCKS];
	bool quiet;
	ssize_t r;

	if (rand_r(seed) % 2) {
		offset &= ~4095ull;
		size = (size + 4095) & ~4095ull;
	}
	there = offset < MOST ? MOST - offset : 0;
	there = there < size ? there : size;
	for (i = 0; i < BLOCKS; i++) {
		known[i].least = atomic_load(&complete[i]);
		known[i].solid = atomic_load(&whole[i]) == before + 1;
	}
	r = pread(fd, buffer, size, offset);
	quiet = !(before & 1) && before == atomic_load(&cuts);
	if (r < 0 && !noisy)
		wrong("read", offset, size);
	else if (r > (ssize_t)size || (quiet && !noisy && (size_t)r != there))
		wrong("bytes read", r, there);
	for (i = 0; i < BLOCKS; i++)
		known[i].solid &= quiet;
	if (r > 0)
		check_bytes(buffer, offset, r, known);
	atomic_fetch_add(&reads, 1);
	if (r > 0 && quiet)
		atomic_fetch_add(&quiet_reads, 1);
}

static void *reader(void *arg)
{
	int fd = open_as(name, O_RDONLY | O_DIRECT);
	char *buffer = aligned_alloc(4096, LONGEST + 4096);
	unsigned int seed = (uintptr_t)arg;

	while (!atomic_load(&done))
		read_once(fd, buffer, &seed);
	free(buffer);
	close(fd);
	return NULL;
}

/* One after another is killed while it reads, as long as it takes. */
static void kill_readers(time_t until)
{
	unsigned int seed = 9;
	pid_t child;

	while ((time(NULL) < until || !quiet_reads) && !atomic_load(&done)) {
		child = fork();
		if (!child) {
			reader((void *)77ul);
			_exit(0);
		}
		usleep(rand_r(&seed) % 10000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	pthread_t threads[READERS + 3];
	uint64_t *buffer = aligned_alloc(4096, BLOCK);
	uintptr_t i;
	int fd;

	if (argc < 4)
		return 2;
	name = argv[1];
	below = argv[2];
	noisy = argc > 4;
	fd = open_as(below, O_RDWR | O_CREAT);
	for (i = 0; i < BLOCKS; i++)
		if (!write_block(fd, buffer, i))
			return 1;
	free(buffer);
	close(fd);
	for (i = 0; i < READERS; i++)
		pthread_create(&threads[i], NULL, reader, (void *)(i + 1));
	pthread_create(&threads[i++], NULL, writer, NULL);
	pthread_create(&threads[i++], NULL, writer, (void *)1);
	pthread_create(&threads[i++], NULL, cutter, NULL);
	kill_readers(time(NULL) + atoi(argv[3]));
	atomic_store(&done, true);
	while (i)
		pthread_join(threads[--i], NULL);
	printf("%lu reads, %lu of them of a file that was not cut\n", reads,
	       quiet_reads);
	return failed || !quiet_reads;
}
