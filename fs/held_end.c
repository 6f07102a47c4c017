/*
 * held_end.c - the last flush: what is held when the daemon ends.
 *
 * Any of the files may hang in SOURCE, or have its lock held by a serving
 * thread that does; the others are to be written all the same. So a crew of
 * threads walks over the files together: one, and one more each time that not
 * a byte has been written for a while. When none is for long, what hangs is
 * given up. How long is counted as it is waited: to be stopped is not to hang.
 *
 * No locks of its own: the walk's is the table's, and the rest is atomic.
 */
#include "fs/held_int.h"
#include "fs/report.h"
#include "fs/told.h"

/* ms without a byte: */
#define HELD_MORE_MS	100	/* one more thread, */
#define HELD_SAY_MS	3000	/* a line in the log, */
#define HELD_HANGS_MS	30000	/* and the end; */
#define HELD_AGAIN_MS	1000	/* when the daemon is told again to end, this */

/* Its threads may outlive who waits for them. */
struct held_crew {
	struct held_walk walk;
	void (*one)(struct held *held);
	atomic_uint members;
};

static void *held_crew_walk(void *arg)
{
	struct held_crew *crew = arg;
	struct held *held;

	while ((held = held_next(&crew->walk))) {
		crew->one(held);
		held_lose(held);
		held_leave(held);
	}
	atomic_fetch_sub(&crew->members, 1);
	return NULL;
}

/* => Was there one to begin? */
static bool held_crew_more(struct held_crew *crew)
{
	pthread_t thread;

	atomic_fetch_add(&crew->members, 1);
	if (pthread_create(&thread, NULL, held_crew_walk, crew)) {
		atomic_fetch_sub(&crew->members, 1);
		return false;
	}
	pthread_detach(thread);
	return true;
}

static void held_crew_begin(struct held_crew *crew,
			    void (*one)(struct held *held))
{
	crew->walk = HELD_WALK;
	crew->one = one;
	if (held_crew_more(crew))
		return;
	atomic_fetch_add(&crew->members, 1);
	held_crew_walk(crew);	/* rather wait than lose */
}

/* How long may it last that not a byte is written? */
static unsigned int held_crew_limit(void)
{
	return told_again() ? HELD_AGAIN_MS : HELD_HANGS_MS;
}

/* Wait for it. => Did all of them end? */
static bool held_crew_wait(struct held_crew *crew)
{
	uint64_t moved, before = 0, left;
	unsigned int still = 0, more = HELD_MORE_MS;
	bool said = false;

	while (atomic_load(&crew->members)) {
		held_sum(&moved, &left);
		if (moved != before)
			still = 0, more = HELD_MORE_MS;
		before = moved;
		if (still >= held_crew_limit())
			return false;
		if (still >= more) {
			held_crew_more(crew);
			more = still + HELD_MORE_MS;
		}
		if (still >= HELD_SAY_MS && !said) {
			report("held writes: %lu bytes wait for SOURCE, which "
			       "hangs; a second SIGTERM or SIGINT leaves "
			       "without them", left);
			said = true;
		}
		still += told_wait(1);
	}
	return true;
}

/* ---- the last flush ---- */

static atomic_bool held_ending;

bool held_ends(void)
{
	return atomic_load(&held_ending);
}

static void held_end_one(struct held *held)
{
	held_flush_told(held, "are lost");
}

bool held_end(void)
{
	static struct held_crew crew;
	uint64_t moved, left;

	atomic_store(&held_ending, true);
	held_sum(&moved, &left);
	if (!left)
		return true;
	held_crew_begin(&crew, held_end_one);
	if (held_crew_wait(&crew))
		return true;
	held_sum(&moved, &left);
	report("held writes: %lu bytes are lost in files that hang in SOURCE",
	       left);
	return false;
}
