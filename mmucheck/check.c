/*
 * check.c - run cases on two engines and compare: check.h.
 *
 * The model goes first, access by access, and settles the case as it goes:
 * what lies beyond RAM is dropped, because there is nothing to agree about; a
 * write that would land anywhere but in a page of the case becomes a read; a
 * fetch or a descriptor that is not there becomes a read too. With KVM, a
 * case ends at an access that faults on the second of its pages, because KVM
 * has then done half of it (docs/mmu.md). From then on the case is the same
 * for all. The others run it whole, and results and
 * memories are compared: first every access, then, if those agree, every byte
 * of every table and page of the case.
 */
#include "mmucheck/check.h"

#include <string.h>

#include "mmucheck/cases.h"
#include "mmucheck/layout.h"
#include "mmucheck/manual.h"
#include "mmucheck/show.h"

/* ---- settling ---- */

static bool in_page(const struct mc_case *c, uint64_t pa)
{
	for (unsigned i = 0; i < c->npages; i++)
		if (c->page[i] == (pa & ~4095ull))
			return true;
	return false;
}

static bool holds(const struct mc_mem *mem, uint64_t pa, const void *what,
		  unsigned len)
{
	return memcmp(mem->base + pa, what, len) == 0;
}

/* Does the processor find at [@low, @high] an instruction that tells where? */
static bool executable(const struct mc_mem *mem, uint64_t low, uint64_t high)
{
	static const uint8_t out[] = { 0xe7, MC_PORT_FETCH };
	static const uint8_t mov = 0xb8;

	/* one instruction has five bytes, whichever page they are on */
	return holds(mem, low, &mov, 1) && holds(mem, high - 1, out, 2) &&
	       ((low & 4095) == MC_OFF_FETCH || (low & 4095) == MC_OFF_CROSS);
}

/* What lies on the first page, if the access goes beyond. */
static struct mc_access first_part(const struct mc_access *a)
{
	struct mc_access first = *a;
	unsigned room = 4096 - (a->va & 4095);

	if (first.size > room)
		first.size = room;
	return first;
}

/*
 * The access faults on its second page: may the part on the first be made, as
 * far as the case is concerned? KVM makes it.
 */
static bool begins_well(const struct manual *m, const struct mc_case *c,
			const struct mc_access *a)
{
	struct mc_access first = first_part(a);
	static const uint8_t mov = 0xb8;
	uint64_t low, high;

	if (first.size == a->size ||
	    manual_reaches(m, &first, &low, &high) != MC_OK)
		return true;
	if (a->kind == MC_WRITE)
		return in_page(c, low);
	return a->kind != MC_FETCH || holds(m->mem, low, &mov, 1);
}

static void make_read(struct mc_access *a)
{
	a->kind = MC_READ;
	a->implicit = false;
	a->size = 4;
	a->va &= ~3ull;
}

/* => false: nobody can make this access */
static bool settle(const struct manual *m, const struct mc_case *c,
		   struct mc_access *a)
{
	uint64_t low, high, desc;
	enum mc_outcome o = manual_reaches(m, a, &low, &high);

	if (o == MC_BEYOND)
		return false;
	if (o != MC_OK && begins_well(m, c, a))
		return true;
	if (a->kind == MC_WRITE) {
		if (o == MC_OK && in_page(c, low) && in_page(c, high))
			return true;
	} else if (a->kind == MC_FETCH) {
		if (o == MC_OK && executable(m->mem, low, high))
			return true;
	} else {
		desc = layout_descriptor(low >> 12);
		if (!a->implicit || a->size != 8 ||
		    (low & 4095) != MC_OFF_DESC ||
		    holds(m->mem, low, &desc, 8))
			return true;
	}
	make_read(a);
	return settle(m, c, a);
}

static bool is_kvm(const struct mc_engine *e)
{
	return strcmp(e->name, "kvm") == 0;
}

struct run {
	struct mc_case c;
	struct manual m;
	struct mc_result model[MC_ACCESSES], subject[MC_ACCESSES];
	struct mc_result other[MC_ACCESSES], *judge;
	/* entries read by walks that faulted */
	uint64_t walked[2 * MC_ACCESSES * MANUAL_LEVELS];
	unsigned nwalked;
};

/* A walk that faulted has read these; the lower page's are not among them. */
static void note_walk(struct run *r, const struct mc_access *a,
		      const struct mc_result *res)
{
	if (a->kind != MC_LOADCR3 && res->outcome == MC_PF)
		r->nwalked += manual_walked(&r->m, a, res->cr2,
					    r->walked + r->nwalked);
}

static bool was_walked(const struct run *r, uint64_t pa)
{
	for (unsigned i = 0; i < r->nwalked; i++)
		if (r->walked[i] == pa)
			return true;
	return false;
}

/* Run the case on the model, and drop from it what cannot be made. */
static void settle_case(const struct check *k, struct run *r)
{
	bool kvm = is_kvm(k->judge) || is_kvm(k->subject);
	struct mc_case *c = &r->c;
	unsigned n = 0;

	memset(r->model, 0, sizeof(r->model));
	r->nwalked = 0;
	for (unsigned i = 0; i < c->naccesses; i++) {
		if (i > 0 && !settle(&r->m, c, &c->access[i]))
			continue;
		c->access[n] = c->access[i];
		manual_access(&r->m, &c->access[n], &r->model[n]);
		note_walk(r, &c->access[n], &r->model[n]);
		n++;
		if (r->model[0].outcome != MC_OK ||
		    (kvm && departure_crossed(&c->access[n - 1],
					      &r->model[n - 1])))
			break;
	}
	c->naccesses = r->model[0].outcome == MC_BEYOND ? 0 : n;
}

/* ---- comparing ---- */

static bool same_result(const struct mc_access *a, const struct mc_result *x,
			const struct mc_result *y)
{
	if (x->outcome != y->outcome || x->outcome == MC_LOST)
		return false;
	if (x->outcome == MC_PF)
		return x->error == y->error && x->cr2 == y->cr2;
	if (x->outcome != MC_OK || a->kind == MC_LOADCR3)
		return true;
	if (a->kind != MC_WRITE && x->value != y->value)
		return false;
	return !x->pa || !y->pa || x->pa == y->pa;
}

/* KVM's result of two, whichever of them it is; => NULL: neither */
static enum departure known(const struct check *k, const struct run *r,
			    unsigned i)
{
	const struct mc_access *a = &r->c.access[i];

	if (is_kvm(k->judge))
		return departure_of_result(&r->m, a, &r->judge[i],
					   &r->subject[i]);
	if (is_kvm(k->subject))
		return departure_of_result(&r->m, a, &r->subject[i],
					   &r->judge[i]);
	return DEPARTURE_NONE;
}

/* => the number of the access they disagree about; c.naccesses: none */
static unsigned compare_results(struct check *k, const struct run *r)
{
	enum departure d;
	unsigned i;

	for (i = 0; i < r->c.naccesses; i++) {
		k->outcome[r->judge[i].outcome]++;
		if (same_result(&r->c.access[i], &r->judge[i], &r->subject[i]))
			continue;
		d = known(k, r, i);
		if (d == DEPARTURE_NONE)
			break;
		k->departures[d]++;
	}
	return i;
}

static uint64_t entry_in(const struct mc_mem *mem, const struct mc_entry *e)
{
	uint64_t v = 0;

	memcpy(&v, mem->base + e->pa, e->size);
	return v;
}

/* KVM's memory of the two, and the other's; false: there is no KVM here */
static bool kvm_memory(const struct check *k, const struct mc_mem **kvm,
		       const struct mc_mem **other)
{
	*kvm = is_kvm(k->judge) ? &k->judge->mem : &k->subject->mem;
	*other = is_kvm(k->judge) ? &k->subject->mem : &k->judge->mem;
	return is_kvm(k->judge) || is_kvm(k->subject);
}

/* Which departure lets entry @e be @kvm in KVM's memory, @other elsewhere? */
static enum departure known_entry(const struct check *k, const struct run *r,
				  const struct mc_entry *e, uint64_t kvm,
				  uint64_t other)
{
	const struct mc_engine *engine = is_kvm(k->judge) ? k->judge :
							    k->subject;
	unsigned last = r->c.naccesses - 1;

	if (engine->caps.eager_a && kvm == (other | MC_A) &&
	    was_walked(r, e->pa))
		return DEPARTURE_FAULTING_A;
	return departure_of_entry(&r->m, &r->c.access[last], &r->judge[last],
				  e->pa, kvm, other);
}

/* What differs by a known departure is made the same. */
static void excuse_entries(struct check *k, const struct run *r)
{
	const struct mc_mem *kvm, *other;
	const struct mc_entry *e;
	enum departure d;

	if (!kvm_memory(k, &kvm, &other))
		return;
	for (unsigned i = 0; i < r->c.nentries; i++) {
		e = &r->c.entry[i];
		if (entry_in(kvm, e) == entry_in(other, e))
			continue;
		d = known_entry(k, r, e, entry_in(kvm, e),
				entry_in(other, e));
		if (d == DEPARTURE_NONE)
			continue;
		k->departures[d]++;
		memcpy(other->base + e->pa, kvm->base + e->pa, e->size);
	}
}

static void excuse_data(struct check *k, const struct run *r)
{
	const struct mc_access *a = &r->c.access[r->c.naccesses - 1];
	const struct mc_mem *kvm, *other;
	enum departure d;
	unsigned len;
	uint64_t pa;

	if (!kvm_memory(k, &kvm, &other))
		return;
	d = departure_of_data(&r->m, a, &r->judge[r->c.naccesses - 1], &pa,
			      &len);
	if (d == DEPARTURE_NONE || !in_page(&r->c, pa) ||
	    memcmp(kvm->base + pa, &a->value, len))
		return;
	k->departures[d] += memcmp(other->base + pa, &a->value, len) != 0;
	memcpy(other->base + pa, &a->value, len);
}

/* => the first frame whose bytes differ; 0: none does */
static uint64_t compare_frames(const struct check *k, const uint64_t *frame,
			       unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (memcmp(k->judge->mem.base + frame[i],
			   k->subject->mem.base + frame[i], 4096))
			return frame[i];
	return 0;
}

static uint64_t compare_memory(struct check *k, const struct run *r)
{
	uint64_t bad;

	if (r->c.naccesses == 0)
		return 0;
	if (compare_frames(k, r->c.table, r->c.ntables))
		excuse_entries(k, r);
	if (compare_frames(k, r->c.page, r->c.npages))
		excuse_data(k, r);
	bad = compare_frames(k, r->c.table, r->c.ntables);
	return bad ? bad : compare_frames(k, r->c.page, r->c.npages);
}

/* ---- saying so ---- */

static void show_engine(const struct check *k, const struct mc_engine *e,
			const struct mc_access *a, const struct mc_result *res)
{
	fprintf(k->out, "  %-6s ", e->name);
	show_result(k->out, a, res);
}

static void show_memory(const struct check *k, const struct run *r,
			uint64_t frame)
{
	const struct mc_mem *mj = &k->judge->mem, *ms = &k->subject->mem;
	const struct mc_entry *e;
	uint64_t j, s;

	fprintf(k->out, "  frame 0x%llx differs afterwards\n",
		(unsigned long long)frame);
	for (unsigned i = 0; i < r->c.nentries; i++) {
		e = &r->c.entry[i];
		j = entry_in(mj, e);
		s = entry_in(ms, e);
		if (j != s)
			show_entry(k->out, r->c.mode, e, k->judge->name, j,
				   k->subject->name, s);
	}
	for (unsigned i = 0; i < 4096; i += 8)
		if (memcmp(mj->base + frame + i, ms->base + frame + i, 8))
			fprintf(k->out, "    at 0x%llx: %s %016llx, %s "
				"%016llx\n", (unsigned long long)frame + i,
				k->judge->name,
				*(unsigned long long *)(mj->base + frame + i),
				k->subject->name,
				*(unsigned long long *)(ms->base + frame + i));
}

static void show(struct check *k, const struct run *r, unsigned at,
		 uint64_t frame)
{
	if (!k->out || k->shown++ >= k->show_most)
		return;
	show_case(k->out, &r->c, at < r->c.naccesses ? at + 1 :
						       r->c.naccesses);
	for (unsigned i = 0; i < r->c.naccesses && i <= at; i++) {
		if (at < r->c.naccesses && i < at)
			continue;
		show_access(k->out, i, &r->c.access[i]);
		show_engine(k, k->judge, &r->c.access[i], &r->judge[i]);
		show_engine(k, k->subject, &r->c.access[i], &r->subject[i]);
		if (k->model != k->judge)
			show_engine(k, k->model, &r->c.access[i],
				    &r->model[i]);
	}
	if (frame)
		show_memory(k, r, frame);
	fprintf(k->out, "  again: pagervm mmu-check%s --mode %s --seed %llu "
		"--case %llu\n", k->again, show_mode(r->c.mode),
		(unsigned long long)r->c.seed, (unsigned long long)r->c.index);
}

/* ---- one case ---- */

static void run_engine(struct mc_engine *e, const struct mc_case *c,
		       struct mc_result *res)
{
	memset(res, 0, sizeof(*res) * MC_ACCESSES);
	cases_load(c, &e->mem);
	e->run(e, c, res);
}

static const struct mc_caps *caps_of(const struct check *k)
{
	return is_kvm(k->subject) ? &k->subject->caps : &k->judge->caps;
}

bool check_case(struct check *k, enum mc_mode mode, uint64_t seed,
		uint64_t index)
{
	struct run r;
	uint64_t frame = 0;
	unsigned at;

	cases_make(&r.c, mode, caps_of(k), seed, index);
	r.m = (struct manual){ .mem = &k->model->mem };
	cases_load(&r.c, &k->model->mem);
	settle_case(k, &r);
	run_engine(k->subject, &r.c, r.subject);
	r.judge = r.model;
	if (k->judge != k->model) {
		r.judge = r.other;
		run_engine(k->judge, &r.c, r.judge);
	}
	at = compare_results(k, &r);
	if (at == r.c.naccesses)
		frame = compare_memory(k, &r);
	k->cases++;
	k->accesses += r.c.naccesses;
	if (at < r.c.naccesses || frame) {
		k->disagreements++;
		show(k, &r, at, frame);
	}
	cases_unload(&r.c, &k->model->mem);
	cases_unload(&r.c, &k->subject->mem);
	if (k->judge != k->model)
		cases_unload(&r.c, &k->judge->mem);
	return at == r.c.naccesses && !frame;
}
