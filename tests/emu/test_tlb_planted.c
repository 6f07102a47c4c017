/*
 * test_tlb_planted.c - the oracle of tlb_oracle.h is itself checked: an error
 * planted in a CPU must be found by it.
 */
#include "tests/emu/tlb_oracle.h"

/*
 * An error planted in a CPU that has room for everything: after an operation,
 * what @keeps names of the entries that were there before is there again, as
 * if it had been forgotten to forget it; @upper: so are the caches of upper
 * levels. Or after each access @spoil does something to all that is cached.
 */
struct planted {
	const char *what;
	unsigned ops;			/* enum op */
	int type;			/* of INVPCID, or of outcome; -1: all */
	bool (*keeps)(const struct model_entry *e);
	bool upper;
	void (*spoil)(struct model_entry *e);
};

#define CACHES_FIRST	64
#define CACHES_SECOND	256

struct caches {
	struct model_entry d[CACHES_FIRST], i[CACHES_FIRST];
	struct model_entry second[CACHES_SECOND];
	struct psc psc;
};

static const struct planted *planted;
static struct caches before;		/* the operation in hand */
static struct world world;

static void planted_begin(struct world *t)
{
	memcpy(before.d, t->model->l1d.array[0], sizeof(before.d));
	memcpy(before.i, t->model->l1i.array[0], sizeof(before.i));
	memcpy(before.second, t->model->l2d.array[0], sizeof(before.second));
	before.psc = t->model->psc;
}

static void bring_back(struct model_entry *now, const struct model_entry *was,
		       unsigned n, const struct planted *p)
{
	for (unsigned i = 0; i < n; i++) {
		if (p->keeps && was[i].used && !now[i].used &&
		    p->keeps(&was[i]))
			now[i] = was[i];
		if (p->spoil && now[i].used)
			p->spoil(&now[i]);
	}
}

static void planted_end(struct world *t, enum op op, unsigned type)
{
	const struct planted *p = planted;

	if (!(p->ops & op) || (p->type >= 0 && (int)type != p->type))
		return;
	bring_back(t->model->l1d.array[0], before.d, CACHES_FIRST, p);
	bring_back(t->model->l1i.array[0], before.i, CACHES_FIRST, p);
	bring_back(t->model->l2d.array[0], before.second, CACHES_SECOND, p);
	if (p->upper)
		t->model->psc = before.psc;
}

static bool keep_all(const struct model_entry *e) { return e->used; }
static bool keep_global(const struct model_entry *e) { return e->global; }
static bool keep_large(const struct model_entry *e) { return e->page > 12; }
static bool keep_small(const struct model_entry *e) { return e->page == 12; }
static bool keep_other(const struct model_entry *e) { return e->pcid; }

static void spoil_dirty(struct model_entry *e) { e->dirty = true; }
static void spoil_write(struct model_entry *e) { e->rights |= MMU_RIGHT_W; }
static void spoil_user(struct model_entry *e) { e->rights |= MMU_RIGHT_U; }
static void spoil_nx(struct model_entry *e) { e->rights &= ~MMU_RIGHT_NX; }
static void spoil_global(struct model_entry *e) { e->global = true; }
static void spoil_pcid(struct model_entry *e) { e->pcid &= 1; }

static const struct planted errors[] = {
	{ "INVLPG does nothing", OP_INVLPG, -1, keep_all, true, NULL },
	{ "INVLPG leaves global pages", OP_INVLPG, -1, keep_global, false,
	  NULL },
	{ "INVLPG leaves large pages", OP_INVLPG, -1, keep_large, false, NULL },
	{ "INVLPG leaves small pages", OP_INVLPG, -1, keep_small, false, NULL },
	{ "INVLPG leaves upper levels", OP_INVLPG, -1, NULL, true, NULL },
	{ "INVPCID of an address does nothing", OP_PCID, 0, keep_all, true,
	  NULL },
	{ "INVPCID of a PCID leaves pages", OP_PCID, 1, keep_all, false, NULL },
	{ "INVPCID of a PCID leaves upper levels", OP_PCID, 1, NULL, true,
	  NULL },
	{ "INVPCID of all leaves global pages", OP_PCID, 2, keep_global, false,
	  NULL },
	{ "INVPCID of all but global leaves other PCIDs", OP_PCID, 3,
	  keep_other, false, NULL },
	{ "INVPCID of all but global leaves upper levels", OP_PCID, 3, NULL,
	  true, NULL },
	{ "MOV CR3 leaves pages", OP_CR3, -1, keep_all, false, NULL },
	{ "MOV CR3 leaves upper levels", OP_CR3, -1, NULL, true, NULL },
	{ "MOV CR4 leaves global pages", OP_CR4, -1, keep_global, false,
	  NULL },
	{ "MOV CR4 leaves everything", OP_CR4, -1, keep_all, true, NULL },
	{ "a fault leaves its page", OP_ACCESS, MMU_PF, keep_all, false, NULL },
	{ "D taken as set", OP_ACCESS, -1, NULL, false, spoil_dirty },
	{ "W taken as set", OP_ACCESS, -1, NULL, false, spoil_write },
	{ "U taken as set", OP_ACCESS, -1, NULL, false, spoil_user },
	{ "NX taken as clear", OP_ACCESS, -1, NULL, false, spoil_nx },
	{ "every page global", OP_ACCESS, -1, NULL, false, spoil_global },
	{ "PCIDs cut short", OP_ACCESS, -1, NULL, false, spoil_pcid },
};

/* => the sequence in which it was found; 0: not */
static unsigned find_planted(const struct planted *p)
{
	unsigned i, j;
	bool found = false;

	planted = p;
	for (i = 0; i < 200 && !found; i++) {
		world_make(&world, &vast, 4, i + 1);
		world.begin = planted_begin;
		world.end = planted_end;
		for (j = 0; j < 4000 && !world.found; j++)
			step(&world);
		found = world.found;
		world_free(&world);
	}
	return found ? i : 0;
}

static void test_found(void **state)
{
	unsigned i, n;

	(void)state;
	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		n = find_planted(&errors[i]);
		print_message("# %s: %u\n", errors[i].what, n);
		if (!n)
			fail_msg("not found: %s", errors[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
