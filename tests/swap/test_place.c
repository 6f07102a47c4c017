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
#define MANY	200000		/* and to forget what was */

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

static void lone(int cpu, int rounds)
{
	while (rounds--)
		place_lone(cpu);
}

static void crowd(int rounds)
{
	while (rounds--)
		place_crowd();
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

/*
 * Each test begins with the thread free, and with a client that has stayed
 * where it was for long.
 */
static int forget(void **state)
{
	(void)state;
	lone(first, MANY);
	crowd(ROUNDS);
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
	crowd(1);
	assert_free();
}

static void test_lone_goes_to_the_client(void **state)
{
	(void)state;
	need_two();
	lone(first, ROUNDS);
	assert_on(first);
	crowd(ROUNDS);
	lone(second, ROUNDS);
	assert_on(second);
}

static void test_crowd_lets_go(void **state)
{
	(void)state;
	need_two();
	lone(first, ROUNDS);
	assert_on(first);
	crowd(8);
	assert_free();
}

static void test_long_ones_let_go_at_once(void **state)
{
	(void)state;
	need_two();
	lone(first, MANY);
	assert_on(first);
	place_long();
	assert_free();
	lone(first, 8);
	assert_free();
}

static void test_mixture_is_a_crowd(void **state)
{
	int i;

	(void)state;
	need_two();
	for (i = 0; i < ROUNDS; i++) {
		lone(first, 3);
		assert_free();
		crowd(1);
	}
}

static void test_unknown_client_lets_go(void **state)
{
	(void)state;
	need_two();
	lone(first, ROUNDS);
	assert_on(first);
	lone(-1, 1);
	assert_free();
}

/* It leaves whenever we come: we follow ever more seldom. */
static void test_client_that_wanders_is_let_go(void **state)
{
	int i, here = first, rounds = 0, moves = 0;

	(void)state;
	need_two();
	lone(here, ROUNDS);
	for (i = 0; i < MANY; i++) {
		cpu_set_t set = allowed();

		if (CPU_COUNT(&set) == 1 && CPU_ISSET(here, &set)) {
			here = here == first ? second : first;
			moves++;
		} else if (CPU_COUNT(&set) > 1) {
			rounds++;
		}
		lone(here, 1);
	}
	assert_in_range(moves, 3, 40);
	assert_true(rounds > MANY * 9 / 10);
}

static void test_cpu_that_is_not_ours(void **state)
{
	(void)state;
	lone(CPU_SETSIZE, ROUNDS);
	assert_free();
}

static void *run_on_one(void *arg)
{
	cpu_set_t one, set;

	(void)arg;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	sched_setaffinity(0, sizeof(one), &one);
	lone(second, ROUNDS);
	set = allowed();
	return CPU_EQUAL(&set, &one) ? (void *)1 : NULL;
}

/* A thread that was given one CPU stays there, wherever its client is. */
static void test_only_one_cpu(void **state)
{
	pthread_t thread;
	void *same;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, run_on_one, NULL), 0);
	pthread_join(thread, &same);
	assert_non_null(same);
}

/* @waited says how long a wait is when it may run on @set. => the rounds of
 * MANY, by a client, in which it could run on @cpu alone; -1: on any. */
static int stay(uint64_t (*waited)(const cpu_set_t *set), int cpu)
{
	int i, there = 0;

	for (i = 0; i < MANY; i++) {
		cpu_set_t set = allowed();

		there += cpu < 0 ? CPU_EQUAL(&set, &home) :
			CPU_COUNT(&set) == 1 && CPU_ISSET(cpu, &set);
		place_stay(waited(&set));
	}
	return there;
}

/* The server comes to who stays. */
static uint64_t waited_memory(const cpu_set_t *set)
{
	return CPU_COUNT(set) == 1 ? 15000 : 50000;
}

/* The scheduler leaves it on the second; the disk interrupts the first. */
static uint64_t waited_disk(const cpu_set_t *set)
{
	return CPU_COUNT(set) == 1 && CPU_ISSET(first, set) ? 66000 : 100000;
}

static uint64_t waited_the_same(const cpu_set_t *set)
{
	(void)set;
	return 70000;
}

static void test_client_stays_for_the_server(void **state)
{
	(void)state;
	need_two();
	assert_in_range(stay(waited_memory, -1), 0, MANY / 10);
	place_long();
	assert_free();
}

static void test_client_goes_where_the_disk_interrupts(void **state)
{
	(void)state;
	need_two();
	assert_in_range(stay(waited_disk, first), MANY * 9 / 10, MANY);
}

static void test_client_is_free_if_nothing_helps(void **state)
{
	(void)state;
	need_two();
	assert_in_range(stay(waited_the_same, -1), MANY * 9 / 10, MANY);
}

#define TEST(t)	cmocka_unit_test_setup(t, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_request_is_nothing),
		TEST(test_lone_goes_to_the_client),
		TEST(test_crowd_lets_go),
		TEST(test_long_ones_let_go_at_once),
		TEST(test_mixture_is_a_crowd),
		TEST(test_unknown_client_lets_go),
		TEST(test_client_that_wanders_is_let_go),
		TEST(test_cpu_that_is_not_ours),
		TEST(test_only_one_cpu),
		TEST(test_client_stays_for_the_server),
		TEST(test_client_goes_where_the_disk_interrupts),
		TEST(test_client_is_free_if_nothing_helps),
	};

	return cmocka_run_group_tests(tests, find_cpus, NULL);
}
