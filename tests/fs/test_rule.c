/*
 * test_rule.c - the language of faults: what is read, what is refused and
 * how, and when a rule acts.
 */
#include "fs/op.h"
#include "fs/rule.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz_rules.c"

static char message[400];

static struct rule *parse(const char *text)
{
	return rules_parse(text, strlen(text), "file", message,
			   sizeof(message));
}

/* One good rule, in force at time 0. */
static struct rule *one(const char *text)
{
	struct rule *rule = parse(text);

	if (!rule)
		fail_msg("%s: %s", text, message);
	assert_string_equal(message, "");
	assert_null(rule->next);
	rule_start(rule, 1, 42, 0);
	return rule;
}

static void refused(const char *text, const char *said)
{
	struct rule *rule = parse(text);

	assert_null(rule);
	if (!strstr(message, said))
		fail_msg("'%s': wanted '%s', got '%s'", text, said, message);
}

static void test_fields(void **state)
{
	struct rule *rule;

	(void)state;
	rule = one("  read+write\tfiles/*  at=4K..1M p=1/4 every=3 after=10 "
		   "times=2 nth=3+7..9 from=1s to=2500ms error=ENOSPC # why");
	assert_int_equal(rule->ops, OP_DATA);
	assert_string_equal(rule->pattern, "files/*");
	assert_int_equal(rule->at.first, 4096);
	assert_int_equal(rule->at.end, 1 << 20);
	assert_true(rule->probability == 0.25);
	assert_int_equal(rule->every, 3);
	assert_int_equal(rule->after, 10);
	assert_int_equal(rule->times, 2);
	assert_int_equal(rule->nnth, 2);
	assert_int_equal(rule->nth[1].first, 7);
	assert_int_equal(rule->nth[1].end, 10);
	assert_int_equal(rule->from_ns, 1000000000);
	assert_int_equal(rule->to_ns, 2500000000);
	assert_true(rule->ranged);
	assert_int_equal(rule->fault, RULE_ERROR);
	assert_int_equal(rule->err, ENOSPC);
	assert_string_equal(rule->text, "read+write files/* at=4K..1M p=1/4 "
			    "every=3 after=10 times=2 nth=3+7..9 from=1s "
			    "to=2500ms error=ENOSPC");
	rules_free(rule);
}

static void test_nth(void **state)
{
	struct rule *rule;

	(void)state;
	rule = one("all * nth=100000000000..200000000000+"
		   "9223372036854775806 error=EIO");
	assert_int_equal(rule->nnth, 2);
	assert_int_equal(rule->nth[0].first, 100000000000);
	assert_int_equal(rule->nth[0].end, 200000000001);
	assert_int_equal(rule->nth[1].end, INT64_MAX);
	rules_free(rule);
}

static void test_faults(void **state)
{
	static const struct {
		const char *text;
		enum rule_fault fault;
		uint64_t low, high;
		int err;
	} cases[] = {
		{ "all * delay=200", RULE_DELAY, 200000, 200000, 0 },
		{ "all * delay=1ms..0.5s", RULE_DELAY, 1000000, 500000000, 0 },
		{ "all * delay=0..20us", RULE_DELAY, 0, 20000, 0 },
		{ "all * delay=1..5", RULE_DELAY, 1000, 5000, 0 },
		{ "all * tail=10us..1s", RULE_DELAY, 10000, 1000000000, 0 },
		{ "all * error=5", RULE_ERROR, 0, 0, 5 },
		{ "data * short", RULE_SHORT, 0, 0, 0 },
		{ "data * short=1000", RULE_SHORT, 1000, 0, 0 },
		{ "write * torn", RULE_TORN, UINT64_MAX, 0, EIO },
		{ "write * torn=0", RULE_TORN, 0, 0, EIO },
		{ "write * torn=3 then=ENOSPC", RULE_TORN, 3, 0, ENOSPC },
		{ "write * then=kill torn=3", RULE_TORN, 3, 0, 0 },
		{ "write+fsync * lost", RULE_LOST, 0, 0, 0 },
		{ "write * hold", RULE_HOLD, 0, 0, 0 },
		{ "write * reorder=16", RULE_HOLD, 0, 16, 0 },
		{ "data * flip", RULE_FLIP, 1, 0, 0 },
		{ "data * flip=7", RULE_FLIP, 7, 0, 0 },
		{ "write * quota=64M", RULE_QUOTA, 64 << 20, 0, ENOSPC },
		{ "all * freeze", RULE_FREEZE, 0, 0, 0 },
		{ "fsync * cut", RULE_CUT, 0, 0, 0 },
		{ "all * kill", RULE_KILL, 0, 0, 0 },
	};
	struct rule *rule;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		rule = one(cases[i].text);
		assert_int_equal(rule->fault, cases[i].fault);
		assert_int_equal(rule->low, cases[i].low);
		assert_int_equal(rule->high, cases[i].high);
		assert_int_equal(rule->err, cases[i].err);
		rules_free(rule);
	}
}

static void test_lists(void **state)
{
	struct rule *list;

	(void)state;
	list = parse("# nothing\n\nread * error=EIO\n write a flip ; fsync b "
		     "lost;\r\n");
	assert_non_null(list);
	assert_int_equal(list->line, 3);
	assert_int_equal(list->next->line, 4);
	assert_int_equal(list->next->next->line, 4);
	assert_null(list->next->next->next);
	rules_free(list);
	list = parse("read * error=EIO # one; write * kill\n# write * kill; "
		     "write * kill\nread b freeze; read c freeze");
	assert_non_null(list);
	assert_string_equal(list->text, "read * error=EIO");
	assert_int_equal(list->next->line, 3);
	assert_string_equal(list->next->text, "read b freeze");
	assert_string_equal(list->next->next->text, "read c freeze");
	assert_null(list->next->next->next);
	rules_free(list);
	assert_null(parse("# only this\n"));
	assert_string_equal(message, "");
	assert_null(parse(""));
	assert_string_equal(message, "");
}

static void test_refused(void **state)
{
	(void)state;
	refused("read * error=EIO\nreed * error=EIO", "file:2: 'reed': exp");
	refused("read", "file:1: 'read': expected a pattern");
	refused("read error=EIO", "'error=EIO': expected a pattern");
	refused("read *", "'read *': expected a fault: error=");
	refused("read * p=2 error=EIO", "'p=2': expected a probability");
	refused("read * p=nan error=EIO", "'p=nan': expected a probability");
	refused("read * p=1/0 error=EIO", "'p=1/0': expected a probability");
	refused("read * error=ENOSYS", "expected an error by name");
	refused("read * error=38", "expected an error by name");
	refused("read * error=512", "expected an error by name");
	refused("read * error=-5", "expected an error by name");
	refused("read * error", "expected an error by name");
	refused("read * error=EIO freeze", "'freeze': expected one fault");
	refused("read * torn", "'torn': expected it only for write");
	refused("data * hold", "'hold': expected it only for write");
	refused("getattr * short", "expected it only for read and write");
	refused("read * every=0 error=EIO", "'every=0': expected a number");
	refused("read * every=3 every=4 error=EIO", "expected it once");
	refused("read * at=5 error=EIO", "'at=5': expected a range");
	refused("read * at=5..4 error=EIO", "'at=5..4': expected a range");
	refused("read * at=99999999999T.. error=EIO", "expected a range");
	refused("read * delay=5h", "'delay=5h': expected a time");
	refused("read * delay=9ms..1ms", "expected a time");
	refused("read * delay=1e300s", "expected a time");
	refused("read * delay=0x10us", "expected a time");
	refused("read * delay=1ms..0X10", "expected a time");
	refused("read * p=0x1p-3 error=EIO", "expected a probability");
	refused("read * p=1/0x4 error=EIO", "expected a probability");
	refused("read * tail=1s", "expected two times");
	refused("read * nth=0 error=EIO", "expected requests by number");
	refused("read * nth=1+2+3+4+5+6+7+8+9 freeze", "expected at most 8");
	refused("read * from=2s to=1s error=EIO", "expected a time after");
	refused("read * cycle=1s error=EIO", "expected two times");
	refused("read * cycle=1s/1s bursts=1s/1s freeze", "without cycle");
	refused("read * error=EIO then=EIO", "expected it with torn only");
	refused("write * torn=2049", "expected nothing, or how many");
	refused("write * hold=3", "'hold=3': expected no value");
	refused("read * nonsense error=EIO", "'nonsense': expected at=");
	refused("read+ * error=EIO", "'read+': expected operations");
	refused("release * error=EIO", "'release': expected operations");
	refused("forget * delay=1s", "'forget': expected operations");
}

static void test_long(void **state)
{
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	refused(text, "expected a line of text, at most 511");
	memset(text, ' ', 100);
	refused(text, "expected a line of text, at most 511");
	memcpy(text, "read * ", 7);
	memset(text + 7, 'p', 400);
	text[407] = '\0';
	refused(text, "expected at= p=");
}

static void test_range(void **state)
{
	struct rule *rule = one("data * at=4096..8192 error=EIO");

	(void)state;
	assert_false(rule_covers(rule, false, 0, 0));
	assert_false(rule_covers(rule, true, 0, 4096));
	assert_true(rule_covers(rule, true, 0, 4097));
	assert_true(rule_covers(rule, true, 8191, 1));
	assert_false(rule_covers(rule, true, 8192, 1));
	assert_true(rule_covers(rule, true, 4096, 0));
	assert_false(rule_covers(rule, true, 0, 0));
	assert_true(rule_covers(rule, true, 0, UINT64_MAX));
	rules_free(rule);
	rule = one("all * at=0.. error=EIO");
	assert_false(rule_covers(rule, false, 0, 0));
	assert_true(rule_covers(rule, true, 0, 1));
	rules_free(rule);
	rule = one("all * error=EIO");
	assert_true(rule_covers(rule, false, 0, 0));
	rules_free(rule);
}

static void named(const char *pattern, const char *path, bool wanted)
{
	char text[100];
	struct rule *rule;

	snprintf(text, sizeof(text), "all %s error=EIO", pattern);
	rule = one(text);
	if (rule_names(rule, path) != wanted)
		fail_msg("%s and %s", pattern, path);
	rules_free(rule);
}

static void test_names(void **state)
{
	(void)state;
	named("*", "", true);
	named("*", "a/b", true);
	named("data", "data", true);
	named("data", "files/data", true);
	named("data", "files/data2", false);
	named("*.db", "a/b/c.db", true);
	named("files/*", "files/a", true);
	named("files/*", "files/a/b", true);
	named("files/*", "more/files/a", false);
	named("/data", "data", true);
	named("/data", "files/data", false);
	named("[ab]?", "b7", true);
	named("swap/s", "swap/s", true);
}

/* Which of the first 63 requests a rule acts on, as bits. */
static uint64_t acts(const char *text)
{
	struct rule *rule = one(text);
	uint64_t bits = 0;
	int i;

	for (i = 1; i < 64; i++)
		if (rule_due(rule, 1))
			bits |= 1ull << i;
	assert_int_equal(rule->matched, 63);
	assert_int_equal(rule->fired, __builtin_popcountll(bits));
	rules_free(rule);
	return bits;
}

static void test_counts(void **state)
{
	(void)state;
	assert_int_equal(acts("all * error=EIO"), UINT64_MAX << 1);
	assert_int_equal(acts("all * every=21 error=EIO"),
			 1ull << 21 | 1ull << 42 | 1ull << 63);
	assert_int_equal(acts("all * after=60 error=EIO"), 7ull << 61);
	assert_int_equal(acts("all * after=2 every=30 error=EIO"),
			 1ull << 32 | 1ull << 62);
	assert_int_equal(acts("all * times=2 error=EIO"), 6);
	assert_int_equal(acts("all * every=5 times=1 error=EIO"), 1 << 5);
	assert_int_equal(acts("all * nth=1+4..5+9 error=EIO"), 0x232);
	assert_int_equal(acts("all * p=0 error=EIO"), 0);
	assert_int_equal(acts("all * p=1 error=EIO"), UINT64_MAX << 1);
}

static void test_chance(void **state)
{
	struct rule *rule = one("all * p=5% error=EIO");
	uint64_t first = acts("all * p=1/2 error=EIO");
	int i;

	(void)state;
	for (i = 0; i < 100000; i++)
		rule_due(rule, 1);
	assert_in_range(rule->fired, 4700, 5300);
	rules_free(rule);
	assert_int_equal(acts("all * p=1/2 error=EIO"), first);
	/* Another seed, and another number, choose otherwise. */
	rule = one("all * p=1/2 error=EIO");
	rule_start(rule, 1, 43, 0);
	for (i = 1; i < 64; i++)
		first ^= (uint64_t)rule_due(rule, 1) << i;
	assert_int_not_equal(first, 0);
	rules_free(rule);
}

static void test_schedule(void **state)
{
	struct rule *rule = one("all * from=2s to=5s error=EIO");
	uint64_t s = 1000000000;

	(void)state;
	assert_false(rule_due(rule, 2 * s - 1));
	assert_true(rule_due(rule, 2 * s));
	assert_true(rule_due(rule, 5 * s - 1));
	assert_false(rule_due(rule, 5 * s));
	assert_int_equal(rule->matched, 2);
	rules_free(rule);
	rule = one("all * from=1s cycle=2s/3s error=EIO");
	assert_false(rule_is_on(rule, 0));
	assert_true(rule_is_on(rule, s));
	assert_true(rule_is_on(rule, 3 * s - 1));
	assert_false(rule_is_on(rule, 3 * s));
	assert_false(rule_is_on(rule, 6 * s - 1));
	assert_true(rule_is_on(rule, 6 * s));
	rules_free(rule);
}

/* The share of the time, and that it comes in pieces of about the length. */
static void test_bursts(void **state)
{
	struct rule *rule = one("all * bursts=10ms/30ms error=EIO");
	unsigned int on = 0, switches = 0;
	bool is, was = false;
	uint64_t ms;

	(void)state;
	for (ms = 0; ms < 100000; ms++) {
		is = rule_is_on(rule, ms * 1000000);
		on += is;
		switches += is != was;
		was = is;
	}
	assert_in_range(on, 22000, 28000);
	assert_in_range(switches, 4000, 5500);
	/* Nobody asked for a year: it does not take a year to answer. */
	rule_is_on(rule, 86400ull * 365 * 1000000000);
	rules_free(rule);
	/* The first one begins when the rule does. */
	rule = one("all * from=100s bursts=1ms/100s error=EIO");
	assert_false(rule_is_on(rule, 99 * 1000000000ull));
	assert_true(rule_is_on(rule, 100 * 1000000000ull));
	rules_free(rule);
}

static void test_delays(void **state)
{
	struct rule *rule = one("all * delay=1ms..3ms");
	uint64_t ns, sum = 0, above = 0, far = 0;
	int i;

	(void)state;
	for (i = 0; i < 10000; i++) {
		ns = rule_delay_ns(rule);
		assert_in_range(ns, 1000000, 3000000);
		sum += ns;
	}
	assert_in_range(sum / 10000, 1970000, 2030000);
	rules_free(rule);
	rule = one("all * tail=1ms..1s");
	for (i = 0; i < 100000; i++) {
		ns = rule_delay_ns(rule);
		assert_in_range(ns, 1000000, 1000000000);
		above += ns > 10000000;
		far += ns > 100000000;
	}
	/* (1/x - 1/1000) / (1 - 1/1000) of them exceed x ms */
	assert_in_range(above, 9500, 10300);
	assert_in_range(far, 780, 1020);
	rules_free(rule);
}

static const char fuzz_seed[] =
	"read+write files/* at=4K..1M p=1/4 every=3 after=10 error=ENOSPC\n"
	"write * torn=3 then=kill;data a?b[c] flip=7 nth=3+7..9+20\n"
	"all * tail=10us..1s bursts=2ms/30ms from=1s to=2500ms\n"
	"write * reorder=16 cycle=1s/10s p=5%;fsync * cut=50% times=1 # x\n"
	"write+create * quota=64M;meta * delay=1ms..0.5s;sync * freeze\n";

/* Mutations of good rules: a byte changed, a piece moved, cut, repeated. */
static void test_fuzz(void **state)
{
	char text[2 * sizeof(fuzz_seed)];
	size_t length, from, n;
	int i, j;

	(void)state;
	srand(11);
	for (i = 0; i < 20000; i++) {
		length = sizeof(fuzz_seed) - 1;
		memcpy(text, fuzz_seed, length);
		for (j = rand() % 4; j >= 0 && length; j--) {
			from = rand() % length;
			n = rand() % (length - from) % 20;
			if (rand() % 3 == 0)
				text[from] = rand();
			else if (rand() % 2)
				memmove(text + from, text + from / 2,
					n);
			else
				length = from;
			if (!length)
				break;
		}
		LLVMFuzzerTestOneInput((uint8_t *)text, length);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_nth),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_range),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_chance),
		cmocka_unit_test(test_schedule),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_delays),
		cmocka_unit_test(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
