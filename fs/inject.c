/*
 * inject.c - the rules in force.
 *
 * A request goes through the rules in their order. Delays add up, bits to
 * flip too; the first rule that decides the outcome (an error, a torn write,
 * ...) ends it, and those behind it are not asked. Only what a quota says of
 * data is heard last, just before it is served. What they say is copied
 * into the request's verdict, so that rules may come and go meanwhile.
 *
 * What rules want to know of the files is asked for before they are gone
 * through, because SOURCE may hang.
 *
 * Lock: inject_lock guards the list and everything in the rules. Nothing is
 * waited for while it is held.
 */
#include "fs/inject.h"
#include "fs/gate.h"
#include "fs/held.h"
#include "fs/loop.h"
#include "fs/path.h"
#include "fs/quota.h"
#include "fs/report.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

static pthread_mutex_t inject_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule *inject_rules;
static unsigned int inject_last_id;
static uint64_t inject_last_serial;
static uint64_t inject_seeded;
static bool inject_cuts;	/* one of the rules cuts the power */
static bool inject_holding;	/* one of them may hold writes back */
static _Atomic uint64_t inject_naming;	/* OP_BIT()s of those with a pattern */
static atomic_bool inject_limits;	/* one of them is a quota */

/* ---- the set ---- */

/* => The lock is held. */
static void inject_seed_locked(uint64_t seed)
{
	/* 32 bits, to be copied by hand */
	if (!seed && getrandom(&seed, 4, 0) != 4)
		seed = gate_now() & UINT32_MAX;
	inject_seeded = seed ? seed : 1;
	if (!inject_rules)
		inject_last_id = 0;
}

void inject_seed(uint64_t seed)
{
	pthread_mutex_lock(&inject_lock);
	inject_seed_locked(seed);
	pthread_mutex_unlock(&inject_lock);
}

static bool inject_is_for_all(const struct rule *rule)
{
	return !strcmp(rule->pattern, "*");
}

/* => The lock is held. The list has changed. => Is anything held no more? */
static bool inject_changed(void)
{
	const struct rule *rule;
	uint64_t naming = 0;
	bool limits = false;

	inject_cuts = inject_holding = false;
	for (rule = inject_rules; rule; rule = rule->next) {
		inject_cuts |= rule->fault == RULE_CUT;
		inject_holding |= rule->fault == RULE_CUT ||
				  rule->fault == RULE_HOLD;
		limits |= rule->fault == RULE_QUOTA;
		if (!inject_is_for_all(rule))
			naming |= rule->fault == RULE_QUOTA ? UINT64_MAX :
							      rule->ops;
	}
	atomic_store(&inject_naming, naming);
	atomic_store(&inject_limits, limits);
	if (inject_rules)
		gate_watch(GATE_RULES);
	else
		gate_rest(GATE_RULES);
	return !inject_holding && gate_watches(GATE_HELD);
}

/* Each of @list that does @fault gets a bit that no such rule of @old has. */
static bool inject_mark(const struct rule *old, struct rule *list,
			enum rule_fault fault)
{
	uint64_t bits = 0;

	for (; old; old = old->next)
		bits |= old->fault == fault ? old->bit : 0;
	for (; list; list = list->next) {
		if (list->fault != fault)
			continue;
		if (!~bits)
			return false;
		list->bit = ~bits & -~bits;
		bits |= list->bit;
	}
	return true;
}

/* May @list come to those of @old? => The lock is held. */
static bool inject_admit(const struct rule *old, struct rule *list)
{
	const struct rule *rule;
	unsigned int count = 0;

	for (rule = old; rule; rule = rule->next)
		count++;
	for (rule = list; rule; rule = rule->next)
		count++;
	return count <= RULES_MAX && inject_mark(old, list, RULE_FREEZE) &&
	       inject_mark(old, list, RULE_QUOTA);
}

static void inject_start(struct rule *list)
{
	uint64_t now = gate_now();

	for (; list; list = list->next) {
		list->serial = ++inject_last_serial;
		rule_start(list, ++inject_last_id, inject_seeded, now);
	}
}

/* => The rules that @list takes the place of. The lock is held. */
static struct rule *inject_put(struct rule *list, bool add)
{
	struct rule *old = NULL, **end = &inject_rules;

	if (!add) {
		old = inject_rules;
		inject_rules = NULL;
		inject_last_id = 0;
	}
	if (!inject_seeded)
		inject_seed_locked(0);
	while (*end)
		end = &(*end)->next;
	*end = list;
	inject_start(list);
	return old;
}

int inject_set(const char *text, size_t length, const char *where, bool add,
	       char message[INJECT_MESSAGE])
{
	struct rule *list, *old;
	bool flush, full;

	list = rules_parse(text, length, where, message, INJECT_MESSAGE);
	if (message[0])
		return -EINVAL;
	pthread_mutex_lock(&inject_lock);
	full = !inject_admit(add ? inject_rules : NULL, list);
	if (full)
		old = list;
	else
		old = inject_put(list, add);
	flush = inject_changed();
	pthread_mutex_unlock(&inject_lock);
	rules_free(old);
	if (full) {
		snprintf(message, INJECT_MESSAGE, "%s: expected no more than "
			 "%u rules in force, and no more than 64 that freeze "
			 "and 64 quotas: take some away first (.pagerfs/ctl: "
			 "clear, remove N)",
			 where, RULES_MAX);
		return -EINVAL;
	}
	/* Without a rule that wants it nothing stays unwritten. */
	return flush ? held_flush_all() : 0;
}

/* Take the rules @id names (0: all) out of the list. => The lock is held. */
static struct rule *inject_take(unsigned int id)
{
	struct rule **link = &inject_rules, *taken;

	if (!id) {
		taken = inject_rules;
		inject_rules = NULL;
		inject_last_id = 0;
		return taken;
	}
	while (*link && (*link)->id != id)
		link = &(*link)->next;
	taken = *link;
	if (taken) {
		*link = taken->next;
		taken->next = NULL;
	}
	return taken;
}

int inject_remove(unsigned int id)
{
	struct rule *taken;
	bool flush;
	int err = 0;

	pthread_mutex_lock(&inject_lock);
	taken = inject_take(id);
	if (id && !taken)
		err = -ENOENT;
	flush = inject_changed();
	pthread_mutex_unlock(&inject_lock);
	rules_free(taken);
	return !err && flush ? held_flush_all() : err;
}

void inject_thaw(void)
{
	struct rule **link = &inject_rules, *rule;

	pthread_mutex_lock(&inject_lock);
	while ((rule = *link)) {
		if (rule->fault != RULE_FREEZE) {
			link = &rule->next;
			continue;
		}
		*link = rule->next;
		rule->next = NULL;
		rules_free(rule);
	}
	inject_changed();
	pthread_mutex_unlock(&inject_lock);
}

/* ---- a request ---- */

/* What SOURCE says of a request. A rule that came too late for what it wants
 * to be known has nothing to say of this one. */
struct inject_facts {
	bool named;		/* @one and @other are */
	char one[PATH_ROOM], other[PATH_ROOM];	/* what it is about: paths */
	enum quota_kind kind;
};

/* Find what the rules there are may want to know. May wait. */
static void inject_find(struct volume *volume, unsigned int opcode,
			fuse_ino_t ino, const struct op_target *target,
			struct inject_facts *facts)
{
	facts->named = atomic_load(&inject_naming) & OP_BIT(opcode);
	facts->kind = atomic_load(&inject_limits) ?
		quota_kind(opcode, target) : QUOTA_NONE;
	if (!facts->named)
		return;
	loop_slow_enter();
	path_of(volume, ino, target->name, facts->one);
	if (target->other)
		path_of(volume, target->other, target->other_name,
			facts->other);
	loop_slow_leave();
}

static bool inject_named(const struct rule *rule,
			 const struct op_target *target,
			 const struct inject_facts *facts)
{
	return inject_is_for_all(rule) ||
		(facts->named &&
		 (rule_names(rule, facts->one) ||
		  (target->other && rule_names(rule, facts->other))));
}

/* Bytes of the request that are left: fewer than there are. */
static void inject_short(struct rule *rule, uint64_t length,
			 struct verdict *verdict)
{
	if (length < 2 || (rule->low && rule->low >= length)) {
		verdict->fault = RULE_NONE;
		return;
	}
	verdict->amount = rule->low ? rule->low :
		1 + rule_random(rule, length - 1);
}

/* Sectors as the disk has them: the first one may be touched in part. */
static void inject_torn(struct rule *rule, const struct op_target *target,
			struct verdict *verdict)
{
	uint64_t before = target->offset % 512, length = target->length;
	uint64_t sectors = (before + length + 511) / 512;

	sectors = rule->low != UINT64_MAX ? rule->low :
		rule_random(rule, sectors);
	verdict->amount = sectors ? sectors * 512 - before : 0;
	if (verdict->amount > length)
		verdict->amount = length;
}

/* It acts. => Is the outcome decided? */
static bool inject_act(struct rule *rule, const struct op_target *target,
		       struct verdict *verdict)
{
	switch (rule->fault) {
	case RULE_DELAY:
		if (!verdict->until_ns)
			verdict->until_ns = gate_now();
		verdict->until_ns += rule_delay_ns(rule);
		return false;
	case RULE_FREEZE:
		verdict->frozen_by |= rule->bit;
		return false;
	case RULE_FLIP:
		verdict->flips += rule->low;
		verdict->random = rule_next_random(&rule->random);
		return false;
	case RULE_HOLD:
		verdict->hold = true;
		verdict->window = rule->high;
		verdict->random = rule_next_random(&rule->random);
		return false;
	default:
		break;
	}
	verdict->fault = rule->fault;
	verdict->err = rule->err;
	verdict->keep = rule->keep;
	if (rule->fault == RULE_CUT)
		verdict->random = rule_next_random(&rule->random);
	else if (rule->fault == RULE_SHORT)
		inject_short(rule, target->length, verdict);
	else if (rule->fault == RULE_TORN)
		inject_torn(rule, target, verdict);
	return verdict->fault != RULE_NONE;
}

/* Does @rule let it pass, as far as it can be seen from the request? */
static bool inject_fits(struct rule *rule, unsigned int opcode,
			const struct op_target *target,
			const struct inject_facts *facts)
{
	if (!(rule->ops & OP_BIT(opcode)))
		return false;
	/* The kernel's cache cannot ask for the rest (fs/fault.c). */
	if (rule->fault == RULE_SHORT && target->cached)
		return false;
	if (!rule_covers(rule, target->ranged, target->offset,
			 target->length))
		return false;
	return inject_named(rule, target, facts);
}

/* Is the file that takes or gives back room @rule's? What a rename gives back
 * is the file that goes. */
static bool inject_counts(const struct rule *rule, unsigned int opcode,
			  const struct inject_facts *facts)
{
	/* A file without a name may be anybody's. */
	if (facts->kind == QUOTA_NONE || facts->kind == QUOTA_LINK)
		return facts->kind == QUOTA_LINK;
	/* It hears of what gives back, whatever operations it is for. */
	if (facts->kind != QUOTA_FREE && !(rule->ops & OP_BIT(opcode)))
		return false;
	return inject_is_for_all(rule) ||
	       (facts->named && rule_names(rule, opcode == FUSE_RENAME2 ?
					   facts->other : facts->one));
}

static bool inject_is_full(const struct rule *rule, uint64_t need)
{
	return need && (need > rule->low || rule->used > rule->low - need);
}

/*
 * What data needs is known when those that fill the same blocks are done, and
 * how much of it arrives: inject_charge(). A name is refused here when nothing
 * is left. => Is the outcome decided?
 */
static bool inject_quota(struct rule *rule, unsigned int opcode,
			 const struct inject_facts *facts,
			 struct verdict *verdict)
{
	if (!inject_counts(rule, opcode, facts) ||
	    (facts->kind != QUOTA_LINK && !rule_is_on(rule, gate_now())))
		return false;
	verdict->quotas |= rule->bit;
	if (facts->kind != QUOTA_NAME || verdict->fault != RULE_NONE)
		return false;
	rule->matched++;
	if (!inject_is_full(rule, 1))
		return false;
	rule->fired++;
	verdict->fault = RULE_ERROR;
	verdict->err = rule->err;
	return true;
}

/* => Is the outcome decided? */
static bool inject_ask(struct rule *rule, unsigned int opcode,
		       const struct op_target *target,
		       const struct inject_facts *facts,
		       struct verdict *verdict)
{
	if (rule->fault == RULE_QUOTA)
		return inject_quota(rule, opcode, facts, verdict);
	return verdict->fault == RULE_NONE &&
	       inject_fits(rule, opcode, target, facts) &&
	       rule_due(rule, gate_now()) && inject_act(rule, target, verdict);
}

/* Does some of it reach the file? Then it takes room, of which also quotas
 * hear that come after the rule which decided. */
static bool inject_arrives(const struct verdict *verdict)
{
	return verdict->fault == RULE_NONE || verdict->fault == RULE_SHORT ||
	       (verdict->fault == RULE_TORN && verdict->amount);
}

/*
 * A copy would go past those who hold or count writes. Refused in this way,
 * the kernel makes reads and writes of this one and asks again for the next.
 * => The lock is held.
 */
static void inject_split_copy(struct verdict *verdict)
{
	if (verdict->fault != RULE_NONE ||
	    !(inject_holding || atomic_load(&inject_limits)))
		return;
	verdict->fault = RULE_ERROR;
	verdict->err = EOPNOTSUPP;
}

void inject_judge(struct volume *volume, unsigned int opcode, fuse_ino_t ino,
		  const struct op_target *target, struct verdict *verdict)
{
	struct inject_facts facts;
	struct rule *rule;

	memset(verdict, 0, sizeof(*verdict));
	inject_find(volume, opcode, ino, target, &facts);
	pthread_mutex_lock(&inject_lock);
	verdict->last = inject_last_serial;
	verdict->hold = inject_cuts && opcode == FUSE_WRITE;
	for (rule = inject_rules; rule; rule = rule->next)
		if (inject_ask(rule, opcode, target, &facts, verdict) &&
		    !inject_arrives(verdict))
			break;
	if (!inject_arrives(verdict))
		verdict->quotas = 0;
	if (opcode == FUSE_COPY_FILE_RANGE)
		inject_split_copy(verdict);
	pthread_mutex_unlock(&inject_lock);
}

bool inject_frozen(const struct verdict *verdict)
{
	struct rule *rule;
	bool frozen = false;

	pthread_mutex_lock(&inject_lock);
	for (rule = inject_rules; rule && !frozen; rule = rule->next)
		if (rule->fault == RULE_FREEZE &&
		    rule->bit & verdict->frozen_by &&
		    rule->serial <= verdict->last)
			frozen = rule_is_on(rule, gate_now());
	pthread_mutex_unlock(&inject_lock);
	return frozen;
}

bool inject_holds(void)
{
	bool holds;

	pthread_mutex_lock(&inject_lock);
	holds = inject_holding;
	pthread_mutex_unlock(&inject_lock);
	return holds;
}

/* The first from @rule on that is one of @quotas, or NULL. */
static struct rule *inject_counting(struct rule *rule, uint64_t quotas,
				    uint64_t last)
{
	while (rule && (rule->fault != RULE_QUOTA || !(rule->bit & quotas) ||
			rule->serial > last))
		rule = rule->next;
	return rule;
}

static struct rule *inject_full(const struct verdict *verdict, uint64_t bytes)
{
	uint64_t quotas = verdict->quotas, last = verdict->last;
	struct rule *rule = inject_counting(inject_rules, quotas, last);

	while (rule && !inject_is_full(rule, bytes)) {
		rule->matched++;
		rule = inject_counting(rule->next, quotas, last);
	}
	return rule;
}

int inject_charge(const struct verdict *verdict, uint64_t bytes)
{
	uint64_t quotas = verdict->quotas, last = verdict->last;
	struct rule *rule;
	int err = 0;

	if (!bytes)
		return 0;
	pthread_mutex_lock(&inject_lock);
	rule = inject_full(verdict, bytes);
	if (rule) {
		rule->matched++;
		rule->fired++;
		err = -rule->err;
	} else {
		rule = inject_counting(inject_rules, quotas, last);
		for (; rule; rule = inject_counting(rule->next, quotas, last))
			rule->used += bytes;
	}
	pthread_mutex_unlock(&inject_lock);
	return err;
}

void inject_credit(uint64_t quotas, uint64_t last, uint64_t bytes)
{
	struct rule *rule;

	if (!bytes)
		return;
	pthread_mutex_lock(&inject_lock);
	rule = inject_counting(inject_rules, quotas, last);
	for (; rule; rule = inject_counting(rule->next, quotas, last))
		rule->used -= bytes < rule->used ? bytes : rule->used;
	pthread_mutex_unlock(&inject_lock);
}

/* ---- as text ---- */

void inject_print(FILE *out)
{
	const struct rule *rule;

	pthread_mutex_lock(&inject_lock);
	fprintf(out, "# seed %lu\n", inject_seeded);
	for (rule = inject_rules; rule; rule = rule->next) {
		fprintf(out, "%s\t# %u: matched %lu, acted %lu", rule->text,
			rule->id, rule->matched, rule->fired);
		if (rule->fault == RULE_QUOTA)
			fprintf(out, ", used %lu", rule->used);
		fputc('\n', out);
	}
	pthread_mutex_unlock(&inject_lock);
}

static void inject_print_count(FILE *out, const char *name, const char *help,
			       bool fired)
{
	const struct rule *rule;

	fprintf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
	for (rule = inject_rules; rule; rule = rule->next)
		fprintf(out, "%s{rule=\"%u\"} %lu\n", name, rule->id,
			fired ? rule->fired : rule->matched);
}

void inject_print_metrics(FILE *out)
{
	pthread_mutex_lock(&inject_lock);
	inject_print_count(out, "pagerfs_rule_matched_total",
			   "Requests a rule was about.", false);
	inject_print_count(out, "pagerfs_rule_acted_total",
			   "Requests a rule acted on.", true);
	pthread_mutex_unlock(&inject_lock);
}
