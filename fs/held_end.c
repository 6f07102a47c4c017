/*
 * held_end.c - the last flush, of what is held when the daemon ends; and the
 * power cut.
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
#include "fs/join.h"
#include "fs/report.h"
#include "fs/rule.h"
#include "fs/told.h"

/* ms without a byte: */
#define HELD_MORE_MS	100	/* one more thread, */
#define HELD_SAY_MS	3000	/* a line in the log, */
#define HELD_HANGS_MS	30000	/* and the end; */
#define HELD_AGAIN_MS	1000	/* when the daemon is told again to end, this */
#define HELD_CUT_MS	3000	/* in a power cut: it loses some anyway */

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
static unsigned int held_crew_limit(bool cut)
{
	return cut ? HELD_CUT_MS : told_again() ? HELD_AGAIN_MS :
						  HELD_HANGS_MS;
}

/* Wait for it, if it is no @cut in the main thread. => Did all of them end? */
static bool held_crew_wait(struct held_crew *crew, bool cut)
{
	uint64_t moved, before = 0, left;
	unsigned int still = 0, more = HELD_MORE_MS;
	bool said = cut;

	while (atomic_load(&crew->members)) {
		held_sum(&moved, &left);
		if (moved != before)
			still = 0, more = HELD_MORE_MS;
		before = moved;
		if (still >= held_crew_limit(cut))
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
		still += cut ? join_tick() : told_wait(1);
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
	if (held_crew_wait(&crew, false))
		return true;
	held_sum(&moved, &left);
	report("held writes: %lu bytes are lost in files that hang in SOURCE",
	       left);
	return false;
}

/* ---- the power cut ---- */

static struct held_crew held_cutters;
static double held_cut_keep;
static uint64_t held_cut_random;
static _Atomic uint64_t held_cut_bytes, held_cut_kept;
static atomic_bool held_cut_done;

static bool held_survives(uint64_t *random)
{
	return (rule_next_random(random) >> 11) * 0x1p-53 < held_cut_keep;
}

/* Sectors as the disk has them: by their place in the file, and whole, also
 * where several extents meet in one. */
static void held_cut_sectors(struct held *held)
{
	struct held_extent *extent = held_tree_first(&held->tree, 0);
	uint64_t random = held_cut_random + held->serial;
	uint64_t at, end, next, sector = UINT64_MAX;
	bool survives = false;

	for (; extent; extent = held_tree_next(&held->tree, extent)) {
		end = extent->offset + extent->length;
		for (at = extent->offset; at < end; at = next) {
			next = (at | 511) + 1 < end ? (at | 511) + 1 : end;
			if (at / 512 != sector)
				survives = held_survives(&random);
			sector = at / 512;
			if (survives &&
			    !held_write_part(held, extent, at, next))
				held_cut_kept += next - at;
		}
	}
}

static void held_cut_one(struct held *held)
{
	struct held_attr attr;

	if (held_cut_keep) {
		held_note(held, &attr);
		held_cut_sectors(held);
		held_put_back(held, &attr);
	}
	held_cut_bytes += held->tree.bytes;
}

void held_cut(double keep, uint64_t random)
{
	static atomic_flag begun = ATOMIC_FLAG_INIT;
	uint64_t moved, left = 0;

	if (atomic_flag_test_and_set(&begun))
		return;
	held_cut_keep = keep;
	held_cut_random = random;
	held_crew_begin(&held_cutters, held_cut_one);
	if (!held_crew_wait(&held_cutters, true))
		held_sum(&moved, &left);
	report("power cut: of %lu bytes not synced, %lu reached the files",
	       held_cut_bytes + left, held_cut_kept);
	atomic_store(&held_cut_done, true);
}

bool held_cut_wait(void)
{
	while (!atomic_load(&held_cut_done) && !told_again())
		told_wait(1);
	return !atomic_load(&held_cutters.members);
}
