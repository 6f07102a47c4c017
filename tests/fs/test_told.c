/*
 * test_told.c - which signal is the second one. They come from a child, at
 * times that the clock below makes up.
 */
#include "fs/told.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static long ahead_ms;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int err = syscall(SYS_clock_gettime, clock, now);

	now->tv_sec += ahead_ms / 1000;
	return err;
}

static void tell(void)
{
	pid_t child = fork();

	if (!child) {
		kill(getppid(), SIGTERM);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void test_twice(void **state)
{
	(void)state;
	assert_true(told_open() >= 0);
	told_wait(0);
	tell();
	told_wait(1);
	assert_false(told_again());
	/* As timeout(1) does it; and nobody looks for a while. */
	tell();
	ahead_ms += 4000;
	told_wait(1);
	assert_false(told_again());
	/* By the power cut. */
	kill(getpid(), SIGTERM);
	told_wait(1);
	assert_false(told_again());
	tell();
	told_wait(1);
	assert_true(told_again());
	told_wait(1);
	assert_true(told_again());
	told_close();
}

/* There is nothing to read any more: it waits all the same. */
static void test_wait(void **state)
{
	unsigned int sum = 0, i;

	(void)state;
	for (i = 0; i < 20; i++)
		sum += told_wait(1);
	assert_true(sum >= 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
