/*
 * held_end.c - the last flush: what is held when the daemon ends.
 *
 * Any of the files may hang in SOURCE, or have its lock held by a serving
 * thread that does; the others are to be written all the same. So threads walk
 * over the files together: one, and one more each time that nothing has been
 * written for a while. When nothing is for long, what hangs is given up.
 *
 * No locks of its own: the walk's is the table's, and these are atomic.
 */
#include "fs/held_int.h"
#include "fs/join.h"
#include "fs/report.h"

#define HELD_MORE_MS	100	/* without a byte: one more thread, */
#define HELD_HANGS_MS	3000	/* and the end */

static struct held_walk held_end_walk = HELD_WALK;
static atomic_bool held_ending;
static atomic_uint held_enders;

bool held_ends(void)
{
	return atomic_load(&held_ending);
}

static void *held_end_some(void *arg)
{
	struct held *held;

	(void)arg;
	while ((held = held_next(&held_end_walk))) {
		held_flush_told(held, "are lost");
		held_lose(held);
		held_leave(held);
	}
	atomic_fetch_sub(&held_enders, 1);
	return NULL;
}

/* => Was there one to begin? */
static bool held_end_more(void)
{
	pthread_t thread;

	atomic_fetch_add(&held_enders, 1);
	if (pthread_create(&thread, NULL, held_end_some, NULL)) {
		atomic_fetch_sub(&held_enders, 1);
		return false;
	}
	pthread_detach(thread);
	return true;
}

/* => Did all of them end? */
static bool held_end_wait(void)
{
	const struct timespec tick = { 0, 1000000 };
	struct timespec more = join_deadline(HELD_MORE_MS);
	struct timespec hangs = join_deadline(HELD_HANGS_MS);
	uint64_t settled, before = 0, left;

	while (atomic_load(&held_enders)) {
		held_sum(&settled, &left);
		if (settled != before) {
			before = settled;
			more = join_deadline(HELD_MORE_MS);
			hangs = join_deadline(HELD_HANGS_MS);
		}
		if (join_is_past(&hangs)) {
			report("held writes: %lu bytes are lost in files that "
			       "hang in SOURCE", left);
			return false;
		}
		if (join_is_past(&more)) {
			held_end_more();
			more = join_deadline(HELD_MORE_MS);
		}
		nanosleep(&tick, NULL);
	}
	return true;
}

bool held_end(void)
{
	uint64_t settled, left;

	atomic_store(&held_ending, true);
	held_sum(&settled, &left);
	if (!left)
		return true;
	if (!held_end_more()) {
		atomic_fetch_add(&held_enders, 1);
		held_end_some(NULL);	/* rather wait than lose */
	}
	return held_end_wait();
}
