/*
 * test_join.c - threads that are waited for, for so long, while somebody sets
 * the clock, or stops the process. Set it is by the function below, which all
 * that is linked here calls; and who is stopped finds much time gone between
 * two looks at the one that nobody sets.
 */
#include "fs/join.h"
#include "fs/view_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static atomic_long set_back;	/* seconds */
static atomic_bool stopped;	/* for an hour, after the next look */

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int err = syscall(SYS_clock_gettime, clock, now);

	if (clock == CLOCK_REALTIME)
		now->tv_sec -= set_back;
	if (clock == CLOCK_MONOTONIC && atomic_exchange(&stopped, false))
		now->tv_sec -= 3600;
	return err;
}

static void *sleep_ms(void *ms)
{
	usleep((uintptr_t)ms * 1000);
	return NULL;
}

static pthread_t begin(uintptr_t ms)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, sleep_ms, (void *)ms),
			 0);
	return thread;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void test_ends_in_time(void **state)
{
	pthread_t thread = begin(10000);
	double start = seconds();

	(void)state;
	assert_true(join_within(begin(100), 5000));
	assert_true(seconds() - start < 4);
	assert_false(join_within(thread, 50));
	assert_true(seconds() - start < 4);
	assert_false(join_within(thread, 0));
	pthread_detach(thread);
}

static void test_stopped(void **state)
{
	(void)state;
	stopped = true;
	assert_true(view_thread_join(begin(100), 5000));
}

static void test_clock_set(void **state)
{
	double start = seconds();

	(void)state;
	set_back = 3600;
	assert_true(view_thread_join(begin(100), 5000));
	set_back = -3600;
	assert_false(view_thread_join(begin(10000), 50));
	set_back = 0;
	assert_true(seconds() - start < 4);
}

static atomic_bool begun;

static void run(struct view_job *job, bool cancelled)
{
	(void)job;
	begun = !cancelled;
	usleep(300000);
}

/* A pool that has yet something to do, and time for it. */
static void test_pool(void **state)
{
	struct view_job job = { .run = run };
	struct view_jobs *jobs = view_jobs_create(1);

	(void)state;
	view_jobs_submit(jobs, &job);
	while (!begun)
		usleep(1000);
	set_back = 3600;
	stopped = true;
	assert_true(view_jobs_destroy(jobs, 5000));
	set_back = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_in_time),
		cmocka_unit_test(test_clock_set),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
