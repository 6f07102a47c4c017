/*
 * test_deadline.c - a wait in the host's threads ends when it is to, whatever
 * somebody sets the clock to. Set it is by the function below.
 */
#include "pager/deadline.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static long set_ahead;		/* seconds, and back once it has been asked */

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int err = syscall(SYS_clock_gettime, clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec += set_ahead;
	return err;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool late;

static void *wake_late(void *arg)
{
	(void)arg;
	sleep(2);
	pthread_mutex_lock(&lock);
	late = true;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void test_clock_set(void **state)
{
	static const long by[] = { 0, 3600, -3600 };
	struct timespec until, before, now;
	pthread_t thread;
	unsigned int i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, wake_late, NULL), 0);
	pthread_mutex_lock(&lock);
	for (i = 0; i < 3; i++) {
		set_ahead = by[i];
		clock_gettime(CLOCK_MONOTONIC, &before);
		until = deadline_in(50);
		while (!deadline_wait(&cond, &lock, &until) && !late)
			continue;
		clock_gettime(CLOCK_MONOTONIC, &now);
		assert_false(late);
		assert_true((now.tv_sec - before.tv_sec) * 1000 +
			    (now.tv_nsec - before.tv_nsec) / 1000000 >= 50);
	}
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
}

static void test_carries(void **state)
{
	struct timespec now, then;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2000; i += 37) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		then = deadline_in(i);
		assert_in_range(then.tv_nsec, 0, 999999999);
		assert_in_range((then.tv_sec - now.tv_sec) * 1000000000 +
				then.tv_nsec - now.tv_nsec, i * 1000000ll,
				i * 1000000ll + 1000000000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock_set),
		cmocka_unit_test(test_carries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
