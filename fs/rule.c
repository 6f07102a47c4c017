/*
 * rule.c - whether a rule acts: range, pattern, time, count and chance.
 *
 * The order matters for what a user counts: a request is matched when
 * operation, pattern and range fit and the rule is switched on; of those
 * "after" lets the first pass, "every" takes each Nth of the rest, "nth"
 * picks by number, the chance decides, and "times" ends it.
 *
 * The caller holds the lock of the rules; nothing here waits.
 */
#include "fs/rule.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

#define RULE_BURSTS_MAX	100

uint64_t rule_next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* In [0, 1). */
static double rule_unit(struct rule *rule)
{
	return (rule_next_random(&rule->random) >> 11) * 0x1p-53;
}

uint64_t rule_random(struct rule *rule, uint64_t limit)
{
	return limit ? (unsigned __int128)rule_next_random(&rule->random) *
		limit >> 64 : 0;
}

void rule_start(struct rule *rule, unsigned int id, uint64_t seed,
		uint64_t now_ns)
{
	rule->id = id;
	rule->random = seed ^ id * 0xd1342543de82ef95u;
	rule->matched = rule->fired = rule->used = 0;
	rule->set_ns = now_ns;
	/* The first switch begins with the faulty time. */
	rule->switch_ns = now_ns + rule->from_ns;
	rule->on = false;
}

bool rule_covers(const struct rule *rule, bool ranged, uint64_t offset,
		 uint64_t length)
{
	if (!rule->ranged)
		return true;
	if (!ranged || offset >= rule->at.end)
		return false;
	return offset >= rule->at.first ||
	       (length && rule->at.first - offset < length);
}

bool rule_names(const struct rule *rule, const char *path)
{
	const char *pattern = rule->pattern, *last;

	if (!strcmp(pattern, "*"))
		return true;
	if (strchr(pattern, '/')) {
		pattern += *pattern == '/';
		return !fnmatch(pattern, path, 0);
	}
	last = strrchr(path, '/');
	return !fnmatch(pattern, last ? last + 1 : path, 0);
}

/* Exponential, as the times between independent events are. */
static uint64_t rule_burst_ns(struct rule *rule, uint64_t mean_ns)
{
	double ns = -log1p(-rule_unit(rule)) * mean_ns;

	return ns < 1 ? 1 : ns;
}

static bool rule_in_burst(struct rule *rule, uint64_t now_ns)
{
	uint64_t lag = RULE_BURSTS_MAX * (rule->on_ns + rule->off_ns);

	/* After a long time in which nobody asked, not all of it. */
	if (now_ns - rule->switch_ns > lag && now_ns > rule->switch_ns)
		rule->switch_ns = now_ns - lag;
	while (now_ns >= rule->switch_ns) {
		rule->on = !rule->on;
		rule->switch_ns += rule_burst_ns(rule, rule->on ?
						 rule->on_ns : rule->off_ns);
	}
	return rule->on;
}

bool rule_is_on(struct rule *rule, uint64_t now_ns)
{
	uint64_t age = now_ns - rule->set_ns;

	if (age < rule->from_ns || age >= rule->to_ns)
		return false;
	if (!rule->on_ns)
		return true;
	if (rule->bursts)
		return rule_in_burst(rule, now_ns);
	return (age - rule->from_ns) % (rule->on_ns + rule->off_ns) <
	       rule->on_ns;
}

static bool rule_is_nth(const struct rule *rule, uint64_t n)
{
	unsigned int i;

	for (i = 0; i < rule->nnth; i++)
		if (n >= rule->nth[i].first && n < rule->nth[i].end)
			return true;
	return !rule->nnth;
}

bool rule_due(struct rule *rule, uint64_t now_ns)
{
	uint64_t n;

	if (!rule_is_on(rule, now_ns))
		return false;
	n = ++rule->matched;
	if (n <= rule->after || !rule_is_nth(rule, n))
		return false;
	if (rule->every && (n - rule->after) % rule->every)
		return false;
	if (rule->times && rule->fired >= rule->times)
		return false;
	if (rule->probability < 1 && rule_unit(rule) >= rule->probability)
		return false;
	rule->fired++;
	return true;
}

/*
 * Of the long tail: bounded Pareto with exponent 1, so that a delay of ten
 * times the least is ten times as rare.
 */
static uint64_t rule_tail_ns(struct rule *rule)
{
	double low = rule->low, high = rule->high, u = rule_unit(rule);

	return low / (1 - u * (1 - low / high));
}

uint64_t rule_delay_ns(struct rule *rule)
{
	if (rule->shape == RULE_TAIL)
		return rule_tail_ns(rule);
	return rule->low + rule_random(rule, rule->high - rule->low + 1);
}
