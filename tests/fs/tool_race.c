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
 *
 * => 0; 1, having said what was wrong.
 */
#include <errno.h>
#include <fcntl.h>
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

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	if (!strcmp(argv[1], "interrupt"))
		return race_interrupt(argv[2], atol(argv[3]));
	fd = open(argv[2], O_WRONLY | O_APPEND);
	if (fd < 0) {
		perror(argv[2]);
		return 1;
	}
	return race_close(atol(argv[3]));
}
