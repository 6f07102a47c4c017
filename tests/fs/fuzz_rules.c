/*
 * fuzz_rules.c - any bytes at all through the parser of rules.
 *
 *	make fuzz-rules
 *
 * test_rule.c includes this file and runs the same function over mutations
 * of good rules in every `make test`.
 */
#include <stdlib.h>
#include <string.h>

#include "fs/op.h"
#include "fs/rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_assert(int ok)
{
	if (!ok)
		abort();
}

/* What was read is what is said: the text of a rule reads as that rule. */
static void fuzz_again(const struct rule *rule)
{
	char message[300];
	struct rule *again;

	again = rules_parse(rule->text, strlen(rule->text), "again", message,
			    sizeof(message));
	fuzz_assert(again && !again->next);
	again->line = rule->line;
	fuzz_assert(!strcmp(again->text, rule->text));
	fuzz_assert(!strcmp(again->pattern, rule->pattern));
	fuzz_assert(again->ops == rule->ops && again->fault == rule->fault);
	fuzz_assert(again->low == rule->low && again->high == rule->high);
	fuzz_assert(again->probability == rule->probability);
	fuzz_assert(again->from_ns == rule->from_ns);
	rules_free(again);
}

/* It can be used, whatever it says. */
static void fuzz_use(struct rule *rule)
{
	uint64_t now = 0;
	int i;

	rule_start(rule, 1, 1, 0);
	for (i = 0; i < 8; i++, now = now * 1000 + 999) {
		rule_due(rule, now);
		rule_covers(rule, true, now, 4096);
	}
	rule_names(rule, "some/file");
	fuzz_assert(rule->fired <= rule->matched);
	if (rule->fault == RULE_DELAY) {
		now = rule_delay_ns(rule);
		/* a double has 53 bits */
		fuzz_assert(now >= rule->low - rule->low / 1000000 &&
			    now <= rule->high + rule->high / 1000000);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char message[300];
	struct rule *list, *rule;

	list = rules_parse((const char *)data, size, "fuzz", message,
			   sizeof(message));
	if (message[0]) {
		fuzz_assert(!list && !strncmp(message, "fuzz:", 5));
		fuzz_assert(strstr(message, "expected ") != NULL);
		return 0;
	}
	for (rule = list; rule; rule = rule->next) {
		fuzz_assert(rule->fault != RULE_NONE && rule->ops);
		fuzz_assert(rule->line > 0);
		fuzz_assert(rule->at.first < rule->at.end);
		fuzz_assert(rule->probability >= 0 && rule->probability <= 1);
		fuzz_again(rule);
		fuzz_use(rule);
	}
	rules_free(list);
	return 0;
}
