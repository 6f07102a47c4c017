/*
 * test_place.c - where swap/place puts the thread that calls it.
 */
#include "swap/place.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define ROUNDS	200		/* more than it takes to be sure */

static cpu_set_t home;
static int first, second;	/* CPUs we may run on */

static cpu_set_t allowed(void)
{
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	return set;
}

static void assert_free(void)
{
	cpu_set_t set = allowed();

	assert_true(CPU_EQUAL(&set, &home));
}

static void assert_on(int cpu)
{
	cpu_set_t set = allowed();

	assert_int_equal(CPU_COUNT(&set), 1);
	assert_true(CPU_ISSET(cpu, &set));
}

static void assert_off(int cpu)
{
	cpu_set_t set = allowed();

	assert_int_equal(CPU_COUNT(&set), CPU_COUNT(&home) - 1);
	assert_false(CPU_ISSET(cpu, &set));
}

static void lone(int cpu, int rounds)
{
	while (rounds--)
		place_lone(cpu);
}

static void crowd(int cpu, int rounds)
{
	while (rounds--)
		place_crowd(cpu);
}

static int find_cpus(void **state)
{
	int cpu;

	(void)state;
	home = allowed();
	first = second = -1;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &home))
			continue;
		if (first < 0)
			first = cpu;
		else if (second < 0)
			second = cpu;
	}
	return 0;
}

/* Each test begins and ends with the thread free. */
static int let_go(void **state)
{
	(void)state;
	crowd(-1, ROUNDS);
	lone(-1, ROUNDS);
	crowd(-1, ROUNDS);
	return 0;
}

static void need_two(void)
{
	if (second >= 0)
		return;
	print_message("SKIPPED: one CPU only\n");
	skip();
}

static void test_one_request_is_nothing(void **state)
{
	(void)state;
	need_two();
	lone(first, 1);
	assert_free();
	crowd(first, 1);
	assert_free();
}

static void test_lone_goes_to_the_client(void **state)
{
	(void)state;
	need_two();
	lone(first, ROUNDS);
	assert_on(first);
	lone(second, 1);
	assert_on(second);
}

static void test_crowd_keeps_off_the_client(void **state)
{
	(void)state;
	need_two();
	crowd(first, ROUNDS);
	assert_off(first);
	crowd(second, 1);
	assert_off(second);
}

static void test_change_of_kind_lets_go(void **state)
{
	int i;

	(void)state;
	need_two();
	lone(first, ROUNDS);
	assert_on(first);
	for (i = 0; i < 8; i++)
		place_crowd(second);
	assert_free();
	crowd(second, ROUNDS);
	assert_off(second);
	lone(first, 64);
	assert_free();
}

/* A crowd has its quiet moments; they must not send the thread to and fro. */
static void test_mixture_is_a_crowd(void **state)
{
	int i;

	(void)state;
	need_two();
	crowd(first, ROUNDS);
	for (i = 0; i < ROUNDS; i++) {
		lone(first, 3);
		assert_off(first);
		crowd(first, 1);
		assert_off(first);
	}
}

static void test_unknown_client_lets_go(void **state)
{
	(void)state;
	need_two();
	lone(first, ROUNDS);
	lone(-1, 1);
	assert_free();
	crowd(first, ROUNDS);
	assert_off(first);
	lone(-1, 1);			/* says nothing of a crowd's client */
	assert_off(first);
	crowd(-1, 1);
	assert_free();
}

static void test_cpu_that_is_not_ours(void **state)
{
	(void)state;
	lone(CPU_SETSIZE, ROUNDS);
	assert_free();
	crowd(CPU_SETSIZE + 7, ROUNDS);
	assert_free();
}

static void *run_on_one(void *arg)
{
	cpu_set_t one, set;

	(void)arg;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	sched_setaffinity(0, sizeof(one), &one);
	crowd(first, ROUNDS);
	set = allowed();
	return CPU_EQUAL(&set, &one) ? (void *)1 : NULL;
}

/* Where there is one CPU to run on, there is nothing to keep off. */
static void test_only_one_cpu(void **state)
{
	pthread_t thread;
	void *same;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, run_on_one, NULL), 0);
	pthread_join(thread, &same);
	assert_non_null(same);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_one_request_is_nothing, let_go),
		cmocka_unit_test_teardown(test_lone_goes_to_the_client,
					  let_go),
		cmocka_unit_test_teardown(test_crowd_keeps_off_the_client,
					  let_go),
		cmocka_unit_test_teardown(test_change_of_kind_lets_go, let_go),
		cmocka_unit_test_teardown(test_mixture_is_a_crowd, let_go),
		cmocka_unit_test_teardown(test_unknown_client_lets_go, let_go),
		cmocka_unit_test_teardown(test_cpu_that_is_not_ours, let_go),
		cmocka_unit_test(test_only_one_cpu),
	};

	return cmocka_run_group_tests(tests, find_cpus, NULL);
}
