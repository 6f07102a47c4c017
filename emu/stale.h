/*
 * stale.h - finds translations that are used although they ought to have been
 * shot down.
 *
 * Who writes page-table entries says so before each write of one that is
 * present, and says when all that he has to shoot down has been sent:
 *
 *	stale_change(s, cr3, va, "pmap_clear");	before the entry changes
 *	... change it, shootdown_add(), shootdown_send() ...
 *	stale_settle(s);			before the lock is dropped
 *
 * A CPU with a model (model.h) whose stale is set checks each hit against the
 * tables. They may disagree between the two calls, and while the CPU has not
 * drained its inbox; or if the entry gives less than the tables do. Else it
 * is reported: the invalidation was forgotten, or the entry was changed by
 * somebody who never said.
 *
 * Off, it costs nothing: CPUs without a model do not come here.
 *
 * Locks: one inside, a leaf. stale_settle() settles all changes said so far,
 * so those who change entries need a lock around the three steps, as the
 * pager's core lock is.
 */
#ifndef EMU_STALE_H
#define EMU_STALE_H

#include <stdbool.h>
#include <stdint.h>

#include "mmu.h"
#include "walk.h"

struct stale;

struct stale_report {
	unsigned cpu;
	uint64_t cr3, va;
	enum mmu_access access;
	uint64_t cached_pa;	/* where the TLB sends it */
	uint64_t new_pa;	/* where the tables do; ~0: nowhere */
	uint64_t old_entry;	/* of the table, when the TLB took it */
	uint64_t entry;		/* now: the leaf, or where the walk ends */
	uint32_t error;		/* if nowhere: as a fault would tell */
	const char *who;	/* changed it last; NULL: nobody said */
	uint64_t change;	/* ordinal of that change */
};

/* @report is called with no lock held. => NULL: no memory */
struct stale *stale_create(void (*report)(void *arg,
					  const struct stale_report *r),
			   void *arg);
void stale_destroy(struct stale *s);

/* @who: a string that stays. A large page's @va: any in it. */
void stale_change(struct stale *s, uint64_t cr3, uint64_t va, unsigned shift,
		  const char *who);
void stale_settle(struct stale *s);
uint64_t stale_reports(const struct stale *s);

/* One line for people. => length as snprintf() */
int stale_format(const struct stale_report *r, char *buf, unsigned size);

/*
 * By the CPU: a hit sends @ask to @pa, by table entry @entry; *@attention is
 * set while something is in its inbox.
 */
void stale_check(struct stale *s, unsigned cpu, const uint32_t *attention,
		 const struct walk *ask, uint64_t cr3, uint64_t pa,
		 uint64_t entry);

#endif
