/*
 * tool_race.c - requests that meet in two serving threads, for the system
 * tests.
 *
 *	tool_race close FILE COUNT
 *		write a comment to the control file COUNT times, while another
 *		thread closes copies of its descriptor
 *	tool_race interrupt FILE COUNT
 *		FILE is kept back by a rule: read it COUNT times in each of
 *		THREADS processes, each time given up at some moment
 *	tool_race unlink FILE COUNT
 *		COUNT times: many direct writes to new blocks of FILE are under
 *		way together, and it is removed at some moment
 *
 * => 0; 1, having said what was wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS		4
#define MOST_US		400	/* until a read is given up */
#define PATIENCE	5	/* seconds; it must end long before */
#define WRITES		128	/* of a block each */
#define WRITES_APART	32768
#define WRITES_DEEP	48	/* under way together */
#define UNLINK_US	2000	/* until a file is removed, at most */

static int fd;
static atomic_bool done;

static void *close_copies(void *arg)
{
	(void)arg;
	while (!atomic_load(&done))
		close(dup(fd));
	return NULL;
}

static int race_close(long count)
{
	static const char comment[] = "# one\n# and another\n";
	pthread_t thread;
	int err = 0;

	if (pthread_create(&thread, NULL, close_copies, NULL))
		return 1;
	while (count-- && !err)
		if (write(fd, comment, sizeof(comment) - 1) < 0)
			err = errno;
	atomic_store(&done, true);
	pthread_join(thread, NULL);
	if (err)
		fprintf(stderr, "write: %s\n", strerror(err));
	return err != 0;
}

static void caught(int signal)
{
	(void)signal;
}

static void read_interrupted(const char *file, long count, atomic_long *left)
{
	const struct sigaction action = { .sa_handler = caught };
	struct itimerval once = { { 0, 0 }, { 0, 1 } };
	unsigned int seed = getpid();
	char byte;

	fd = open(file, O_RDONLY | O_DIRECT);
	if (fd < 0)
		_exit(2);
	sigaction(SIGALRM, &action, NULL);
	for (; count--; atomic_fetch_sub(left, 1)) {
		/* Should it come before the read does, it comes again. */
		once.it_interval.tv_usec = 50000;
		once.it_value.tv_usec = 1 + rand_r(&seed) % MOST_US;
		setitimer(ITIMER_REAL, &once, NULL);
		if (read(fd, &byte, 1) >= 0 || errno != EINTR)
			_exit(3);
	}
	_exit(0);
}

static int race_interrupt(const char *file, long count)
{
	atomic_long *left = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long before = 0, now, still = 0, running = THREADS;
	int status, bad = 0, i;

	if (left == MAP_FAILED)
		return 1;
	for (i = 0; i < THREADS; i++)
		left[i] = count;
	for (i = 0; i < THREADS; i++)
		if (!fork())
			read_interrupted(file, count, &left[i]);
	while (running && still < PATIENCE * 10) {
		while (running && waitpid(-1, &status, WNOHANG) > 0) {
			bad |= status;
			running--;
		}
		for (now = i = 0; i < THREADS; i++)
			now += left[i];
		still = now == before ? still + 1 : 0;
		before = now;
		usleep(100000);
	}
	if (bad)
		fprintf(stderr, "a read ended otherwise: %d\n", bad);
	if (running)
		fprintf(stderr, "%ld of %d hang in a read given up\n", running,
			THREADS);
	return bad || running;
}

static void *unlink_late(void *file)
{
	usleep(rand() % UNLINK_US);
	return unlink(file) ? file : NULL;
}

static void prepare_writes(struct io_uring *ring, void *block, int from, int to)
{
	for (; from < to; from++)
		io_uring_prep_write(io_uring_get_sqe(ring), fd, block, 4096,
				    (off_t)from * WRITES_APART);
}

/* => How many failed. */
static int write_apart(struct io_uring *ring, void *block)
{
	struct io_uring_cqe *cqe;
	int sent = 0, ended = 0, bad = 0, more;

	while (ended < WRITES) {
		more = ended + WRITES_DEEP < WRITES ? ended + WRITES_DEEP :
						     WRITES;
		prepare_writes(ring, block, sent, more);
		sent = more;
		io_uring_submit_and_wait(ring, 1);
		for (; !io_uring_peek_cqe(ring, &cqe); ended++) {
			bad += cqe->res != 4096;
			io_uring_cqe_seen(ring, cqe);
		}
	}
	return bad;
}

static int race_unlink(char *file, long count)
{
	void *block = aligned_alloc(4096, 4096), *left = NULL;
	struct io_uring ring;
	pthread_t thread;
	int bad = 0;

	if (!block || io_uring_queue_init(WRITES_DEEP, &ring, 0))
		return 1;
	memset(block, 1, 4096);
	while (count-- && !bad) {
		fd = open(file, O_CREAT | O_RDWR | O_DIRECT, 0644);
		if (fd < 0 || ftruncate(fd, WRITES * WRITES_APART) ||
		    pthread_create(&thread, NULL, unlink_late, file))
			return 1;
		bad = write_apart(&ring, block);
		pthread_join(thread, &left);
		bad += !!left;
		close(fd);
	}
	if (bad)
		fprintf(stderr, "%d failed\n", bad);
	io_uring_queue_exit(&ring);
	free(block);
	return bad != 0;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	if (!strcmp(argv[1], "interrupt"))
		return race_interrupt(argv[2], atol(argv[3]));
	if (!strcmp(argv[1], "unlink"))
		return race_unlink(argv[2], atol(argv[3]));
	fd = open(argv[2], O_WRONLY | O_APPEND);
	if (fd < 0) {
		perror(argv[2]);
		return 1;
	}
	return race_close(atol(argv[3]));
}
