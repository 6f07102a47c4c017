/*
 * stale.c - the stale-TLB detector; see stale.h.
 *
 * What was changed last is kept in a hash of fixed size by space and address,
 * for pages of each size that there is; a newer change in the same place
 * takes it over. A change is open until stale_settle().
 *
 * Why nothing is reported wrongly: the change is noted before the tables
 * show it, and it is settled only after every CPU inside has drained its
 * inbox, or has attention up (shootdown_send()). A CPU that sees the changed
 * entry and finds no open note comes either after the settling, and then
 * attention was raised before, or nothing was sent. So attention is read
 * last. A note lost to a newer one in the same place leaves only the "who"
 * wanting, and what is open is also counted: with anything open, and the
 * note gone, nothing is reported.
 */
#include "stale.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define NOTES		65536u

struct note {
	uint64_t root, page;	/* page: va >> shift, with the shift on top */
	uint64_t change;	/* ordinal; 0: empty */
	const char *who;
};

struct stale {
	pthread_mutex_t lock;
	uint64_t changes, settled;	/* ordinals */
	uint64_t lost;			/* ordinal of the last taken over */
	uint64_t reports;
	void (*report)(void *arg, const struct stale_report *r);
	void *arg;
	struct note note[NOTES];
};

struct stale *stale_create(void (*report)(void *, const struct stale_report *),
			   void *arg)
{
	struct stale *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	pthread_mutex_init(&s->lock, NULL);
	s->report = report;
	s->arg = arg;
	return s;
}

void stale_destroy(struct stale *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static uint64_t note_page(uint64_t va, unsigned shift)
{
	return va >> shift | (uint64_t)shift << 58;
}

static struct note *note_slot(struct stale *s, uint64_t root, uint64_t page)
{
	uint64_t hash = (root ^ page * 0x9e3779b97f4a7c15ull) *
			0xbf58476d1ce4e5b9ull;

	return &s->note[(hash >> 40) % NOTES];
}

void stale_change(struct stale *s, uint64_t cr3, uint64_t va, unsigned shift,
		  const char *who)
{
	uint64_t root = cr3 & X86_PTE64_ADDR, page = note_page(va, shift);
	struct note *n = note_slot(s, root, page);

	pthread_mutex_lock(&s->lock);
	if (n->change && (n->root != root || n->page != page))
		s->lost = n->change;
	n->root = root;
	n->page = page;
	n->who = who;
	n->change = ++s->changes;
	pthread_mutex_unlock(&s->lock);
}

void stale_settle(struct stale *s)
{
	pthread_mutex_lock(&s->lock);
	s->settled = s->changes;
	pthread_mutex_unlock(&s->lock);
}

uint64_t stale_reports(const struct stale *s)
{
	return __atomic_load_n(&s->reports, __ATOMIC_RELAXED);
}

/* The last change that covers @va, of whatever size. => lock held */
static const struct note *note_find(struct stale *s, uint64_t root,
				    uint64_t va)
{
	static const uint8_t shifts[] = { 12, 21, 22, 30, 39, 48 };
	const struct note *n, *last = NULL;
	uint64_t page;
	unsigned i;

	for (i = 0; i < sizeof(shifts); i++) {
		page = note_page(va, shifts[i]);
		n = note_slot(s, root, page);
		if (n->change && n->root == root && n->page == page &&
		    (!last || n->change > last->change))
			last = n;
	}
	return last;
}

/* => false: it may still be so, for now. Fills in who. */
static bool stale_overdue(struct stale *s, struct stale_report *r)
{
	const struct note *n;
	bool overdue;

	pthread_mutex_lock(&s->lock);
	n = note_find(s, r->cr3 & X86_PTE64_ADDR, r->va);
	overdue = n ? n->change <= s->settled : s->lost <= s->settled;
	r->who = n ? n->who : NULL;
	r->change = n ? n->change : 0;
	pthread_mutex_unlock(&s->lock);
	return overdue;
}

/*
 * Walk, marking nothing. => true: the tables still give what the TLB used:
 * the place, the right, and for a write D as well.
 */
static bool stale_agrees(const struct walk *ask, uint64_t pa,
			 struct stale_report *r)
{
	struct mmu_result res;
	struct page_fault pf;
	struct walk w = *ask;

	w.ask = true;
	w.entry[0] = w.entry[1] = 0;
	w.bottom = 1;
	r->new_pa = ~0ull;
	r->error = 0;
	if (walk_run(&w, NULL, &res, &pf)) {
		r->error = pf.error;
		r->entry = w.entry[w.bottom];
		return false;
	}
	r->new_pa = res.pa;
	r->entry = w.entry[w.bottom];
	return res.pa == pa && (ask->access != MMU_WRITE || res.dirty);
}

void stale_check(struct stale *s, unsigned cpu, const uint32_t *attention,
		 const struct walk *ask, uint64_t cr3, uint64_t pa,
		 uint64_t entry)
{
	struct stale_report r = {
		.cpu = cpu, .cr3 = cr3, .va = ask->va, .access = ask->access,
		.cached_pa = pa, .old_entry = entry,
	};

	if (stale_agrees(ask, pa, &r) || !stale_overdue(s, &r))
		return;
	if (attention && __atomic_load_n(attention, __ATOMIC_SEQ_CST))
		return;
	__atomic_fetch_add(&s->reports, 1, __ATOMIC_RELAXED);
	s->report(s->arg, &r);
}

int stale_format(const struct stale_report *r, char *buf, unsigned size)
{
	static const char *const what[] = { "load", "store", "fetch" };
	char now[64];

	if (r->new_pa == ~0ull)
		snprintf(now, sizeof(now), "nowhere (error %#x)", r->error);
	else
		snprintf(now, sizeof(now), "%#llx",
			 (unsigned long long)r->new_pa);
	return snprintf(buf, size, "stale TLB: CPU %u, CR3 %#llx, %s at %#llx "
			"went to %#llx by entry %#llx; the tables say %s by "
			"entry %#llx; last changed by %s", r->cpu,
			(unsigned long long)r->cr3, what[r->access],
			(unsigned long long)r->va,
			(unsigned long long)r->cached_pa,
			(unsigned long long)r->old_entry, now,
			(unsigned long long)r->entry,
			r->who ? r->who : "somebody who did not say");
}
