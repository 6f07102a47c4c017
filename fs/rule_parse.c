/*
 * rule_parse.c - from text to rules.
 *
 * A line is cut into words at blanks; the first names operations, the second
 * is the pattern, each further one is KEY or KEY=VALUE, in any order, and
 * exactly one of them is a fault. The table of keys says for each what it
 * takes; a parser of a value returns NULL, or what it had expected instead.
 * Then what does not go together is refused. Pure functions, no locks.
 */
#include "fs/op.h"
#include "fs/rule.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARSE_WORDS	24
#define PARSE_SECTORS	2048		/* of 512 bytes, in a request */
#define PARSE_CYCLE_MIN	1000000		/* ns */
#define PARSE_NS_MAX	(86400ull * 365 * 1000000000)

/* ---- values ---- */

/* "12", "64K": bytes. => false: it is not one, or does not end at @end. */
static bool parse_size(const char *text, const char *end, uint64_t *size)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *rest;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*size = strtoull(text, &rest, 10);
	if (errno)
		return false;
	if (rest < end && (unit = memchr(units, *rest, 4))) {
		unsigned int shift = 10 * (unit - units + 1);

		if (*size > (uint64_t)INT64_MAX >> shift)
			return false;
		*size <<= shift;
		rest++;
	}
	return rest == end && *size <= INT64_MAX;
}

/* As strtod(), but no hexadecimal. => NAN: it is none. */
static double parse_decimal(const char *text, char **rest)
{
	*rest = (char *)text;
	if (!isdigit((unsigned char)*text) ||
	    (*text == '0' && (text[1] | 0x20) == 'x'))
		return NAN;
	return strtod(text, rest);
}

/* "200us", "1.5ms", "3s", "70": nanoseconds; without a unit, us. */
static bool parse_time(const char *text, const char *end, uint64_t *ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {
		{ "", 1e3 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 },
		{ "ns", 1 },
	};
	char copy[RULE_TEXT], *rest;
	double value;
	size_t i;

	/* Or the first dot of "1..5ms" were taken for a decimal point. */
	*stpncpy(copy, text, end - text) = '\0';
	value = parse_decimal(copy, &rest);
	for (i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(rest, units[i].name))
			continue;
		if (!(value * units[i].ns <= PARSE_NS_MAX))
			return false;
		*ns = value * units[i].ns;
		return true;
	}
	return false;
}

static bool parse_number(const char *text, uint64_t least, uint64_t most,
			 uint64_t *number)
{
	char *rest;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*number = strtoull(text, &rest, 10);
	return !errno && !*rest && *number >= least && *number <= most;
}

/* Two of a kind joined by "..", or one. */
static bool parse_pair(const char *text, uint64_t *low, uint64_t *high,
		       bool (*parse)(const char *, const char *, uint64_t *))
{
	const char *dots = strstr(text, ".."), *end = text + strlen(text);

	if (!dots) {
		if (!parse(text, end, low))
			return false;
		*high = *low;
		return true;
	}
	return parse(text, dots, low) && parse(dots + 2, end, high) &&
	       *low <= *high;
}

static const char *parse_at(struct rule *rule, const char *value)
{
	const char *dots = strstr(value, "..");
	const char *end = value + strlen(value);

	rule->ranged = true;
	if (!dots || !parse_size(value, dots, &rule->at.first))
		goto refuse;
	if (!dots[2])
		return NULL;
	if (parse_size(dots + 2, end, &rule->at.end) &&
	    rule->at.first < rule->at.end)
		return NULL;
refuse:
	return "a range FROM..TO or FROM.. of bytes, as in at=64K..1M";
}

/* "1/3", "0.01", "5%". */
static bool parse_share(const char *value, double *share)
{
	double by = 1;
	char *rest;

	*share = parse_decimal(value, &rest);
	if (*rest == '/')
		by = parse_decimal(rest + 1, &rest);
	else if (*rest == '%')
		by = 100, rest++;
	*share /= by;
	return !*rest && *share >= 0 && *share <= 1;
}

static const char *parse_p(struct rule *rule, const char *value)
{
	return parse_share(value, &rule->probability) ? NULL :
		"a probability from 0 to 1, as in p=0.01, p=1/3 or p=5%";
}

static const char *parse_every(struct rule *rule, const char *value)
{
	return parse_number(value, 1, INT64_MAX, &rule->every) ? NULL :
		"a number, 1 or more, as in every=3";
}

static const char *parse_after(struct rule *rule, const char *value)
{
	return parse_number(value, 1, INT64_MAX, &rule->after) ? NULL :
		"a number of requests to let pass, as in after=100";
}

static const char *parse_times(struct rule *rule, const char *value)
{
	return parse_number(value, 1, INT64_MAX, &rule->times) ? NULL :
		"how often at most, 1 or more, as in times=1";
}

static const char *parse_nth_one(struct rule *rule, const char *value)
{
	struct rule_range *range = &rule->nth[rule->nnth];
	const char *dots = strstr(value, "..");
	char first[RULE_TEXT];

	if (rule->nnth == RULE_NTH_MAX)
		return "at most 8 numbers or ranges";
	strcpy(first, value);
	if (dots)
		first[dots - value] = '\0';
	if (!parse_number(first, 1, INT64_MAX - 1, &range->first))
		goto refuse;
	range->end = range->first;
	if (dots && !parse_number(dots + 2, range->first, INT64_MAX - 1,
				  &range->end))
		goto refuse;
	range->end++;
	rule->nnth++;
	return NULL;
refuse:
	return "requests by number, as in nth=3+7+20..25";
}

static const char *parse_nth(struct rule *rule, const char *value)
{
	char copy[RULE_TEXT], *one, *rest = copy;
	const char *expected = NULL;

	strcpy(copy, value);
	while (!expected && (one = strsep(&rest, "+")))
		expected = parse_nth_one(rule, one);
	return expected;
}

static const char *parse_from(struct rule *rule, const char *value)
{
	return parse_time(value, value + strlen(value), &rule->from_ns) ?
		NULL : "a time since the rule was set, as in from=2s";
}

static const char *parse_to(struct rule *rule, const char *value)
{
	return parse_time(value, value + strlen(value), &rule->to_ns) ?
		NULL : "a time since the rule was set, as in to=10s";
}

static const char *parse_cycle(struct rule *rule, const char *value)
{
	const char *slash = strchr(value, '/');

	if (slash && parse_time(value, slash, &rule->on_ns) &&
	    parse_time(slash + 1, value + strlen(value), &rule->off_ns) &&
	    rule->on_ns >= PARSE_CYCLE_MIN && rule->off_ns >= PARSE_CYCLE_MIN)
		return NULL;
	return "two times, ON/OFF, 1ms or more, as in cycle=1s/10s";
}

static const char *parse_bursts(struct rule *rule, const char *value)
{
	rule->bursts = true;
	return parse_cycle(rule, value);
}

/* ---- faults ---- */

static const struct {
	const char *name;
	int err;
} parse_errnos[] = {
#define E(name) { #name, name }
	E(EPERM), E(ENOENT), E(EINTR), E(EIO), E(ENXIO), E(E2BIG), E(EBADF),
	E(EAGAIN), E(ENOMEM), E(EACCES), E(EFAULT), E(EBUSY), E(EEXIST),
	E(EXDEV), E(ENODEV), E(ENOTDIR), E(EISDIR), E(EINVAL), E(ENFILE),
	E(EMFILE), E(ENOTTY), E(ETXTBSY), E(EFBIG), E(ENOSPC), E(ESPIPE),
	E(EROFS), E(EMLINK), E(ERANGE), E(EDEADLK), E(ENAMETOOLONG),
	E(ENOLCK), E(ENOTEMPTY), E(ELOOP), E(ENODATA), E(ETIME),
	E(EPROTO), E(EBADMSG), E(EOVERFLOW), E(EILSEQ), E(EUSERS),
	E(EOPNOTSUPP), E(ENOBUFS), E(ENOTCONN), E(ESHUTDOWN), E(ETIMEDOUT),
	E(ECONNREFUSED), E(EHOSTDOWN), E(EALREADY), E(EINPROGRESS),
	E(ESTALE), E(EUCLEAN), E(EREMOTEIO), E(EDQUOT), E(ENOMEDIUM),
	E(EMEDIUMTYPE), E(ECANCELED), E(ENOKEY), E(EKEYEXPIRED),
#undef E
};

#define PARSE_ERRNOS (sizeof(parse_errnos) / sizeof(*parse_errnos))

static bool parse_errno(const char *value, int *err)
{
	uint64_t number;
	size_t i;

	for (i = 0; i < PARSE_ERRNOS; i++) {
		if (!strcmp(value, parse_errnos[i].name)) {
			*err = parse_errnos[i].err;
			return true;
		}
	}
	/* ENOSYS is not among them: it makes the kernel never ask again. */
	if (!parse_number(value, 1, 511, &number) || number == ENOSYS)
		return false;
	*err = number;
	return true;
}

static const char *parse_error(struct rule *rule, const char *value)
{
	return parse_errno(value, &rule->err) ? NULL :
		"an error by name or number, as in error=EIO (not ENOSYS, "
		"after which the kernel never asks again)";
}

static const char *parse_delay(struct rule *rule, const char *value)
{
	return parse_pair(value, &rule->low, &rule->high, parse_time) ? NULL :
		"a time or LEAST..MOST, as in delay=200us or delay=1ms..5ms";
}

static const char *parse_tail(struct rule *rule, const char *value)
{
	rule->shape = RULE_TAIL;
	if (parse_pair(value, &rule->low, &rule->high, parse_time) &&
	    rule->low && rule->low < rule->high)
		return NULL;
	return "two times, LEAST..MOST, as in tail=200us..2s";
}

static const char *parse_short(struct rule *rule, const char *value)
{
	const char *end = value + strlen(value);

	rule->low = 0;
	if (!*value || (parse_size(value, end, &rule->low) && rule->low))
		return NULL;
	return "nothing, or bytes at most, 1 or more, as in short=1000";
}

static const char *parse_torn(struct rule *rule, const char *value)
{
	rule->low = UINT64_MAX;
	if (!*value || parse_number(value, 0, PARSE_SECTORS, &rule->low))
		return NULL;
	return "nothing, or how many sectors of 512 bytes arrive, as in "
		"torn=3";
}

static const char *parse_then(struct rule *rule, const char *value)
{
	rule->err = 0;
	if (!strcmp(value, "kill") || parse_errno(value, &rule->err))
		return NULL;
	return "an error or kill, as in then=EIO or then=kill";
}

static const char *parse_nothing(struct rule *rule, const char *value)
{
	(void)rule;
	return *value ? "no value" : NULL;
}

static const char *parse_reorder(struct rule *rule, const char *value)
{
	return parse_number(value, 1, 1000000, &rule->high) ? NULL :
		"how many writes are kept, 1 or more, as in reorder=16";
}

static const char *parse_flip(struct rule *rule, const char *value)
{
	rule->low = 1;
	if (!*value || parse_number(value, 1, 1000000, &rule->low))
		return NULL;
	return "nothing, or how many bits, 1 or more, as in flip=2";
}

static const char *parse_quota(struct rule *rule, const char *value)
{
	return parse_size(value, value + strlen(value), &rule->low) ? NULL :
		"bytes, as in quota=64M";
}

static const char *parse_cut(struct rule *rule, const char *value)
{
	rule->keep = 0;
	if (!*value || parse_share(value, &rule->keep))
		return NULL;
	return "nothing, or the chance of a sector to survive, as in cut=50%";
}

/* ---- keys ---- */

#define FOR_DATA	OP_DATA
#define FOR_WRITE	OP_BIT(FUSE_WRITE)
#define FOR_DONE	(FOR_WRITE | OP_BIT(FUSE_FSYNC) | \
			 OP_BIT(FUSE_FSYNCDIR) | OP_BIT(FUSE_FLUSH) | \
			 OP_BIT(FUSE_FALLOCATE))
#define FOR_GROWTH	(FOR_WRITE | OP_BIT(FUSE_FALLOCATE) | \
			 OP_BIT(FUSE_CREATE) | OP_BIT(FUSE_MKNOD) | \
			 OP_BIT(FUSE_MKDIR) | OP_BIT(FUSE_SYMLINK))
#define FOR_ALL		UINT64_MAX

static const struct key {
	const char *name;
	const char *(*parse)(struct rule *rule, const char *value);
	enum rule_fault fault;	/* RULE_NONE: it is no fault */
	uint64_t ops;		/* the fault is possible with these only */
	const char *possible;
} parse_keys[] = {
	{ "at", parse_at, RULE_NONE, FOR_ALL, NULL },
	{ "p", parse_p, RULE_NONE, FOR_ALL, NULL },
	{ "every", parse_every, RULE_NONE, FOR_ALL, NULL },
	{ "after", parse_after, RULE_NONE, FOR_ALL, NULL },
	{ "times", parse_times, RULE_NONE, FOR_ALL, NULL },
	{ "nth", parse_nth, RULE_NONE, FOR_ALL, NULL },
	{ "from", parse_from, RULE_NONE, FOR_ALL, NULL },
	{ "to", parse_to, RULE_NONE, FOR_ALL, NULL },
	{ "cycle", parse_cycle, RULE_NONE, FOR_ALL, NULL },
	{ "bursts", parse_bursts, RULE_NONE, FOR_ALL, NULL },
	{ "then", parse_then, RULE_NONE, FOR_ALL, NULL },
	{ "error", parse_error, RULE_ERROR, FOR_ALL, NULL },
	{ "delay", parse_delay, RULE_DELAY, FOR_ALL, NULL },
	{ "tail", parse_tail, RULE_DELAY, FOR_ALL, NULL },
	{ "short", parse_short, RULE_SHORT, FOR_DATA, "read and write" },
	{ "torn", parse_torn, RULE_TORN, FOR_WRITE, "write" },
	{ "lost", parse_nothing, RULE_LOST, FOR_DONE,
	  "write, fsync, fsyncdir, flush and fallocate" },
	{ "hold", parse_nothing, RULE_HOLD, FOR_WRITE, "write" },
	{ "reorder", parse_reorder, RULE_HOLD, FOR_WRITE, "write" },
	{ "flip", parse_flip, RULE_FLIP, FOR_DATA, "read and write" },
	{ "quota", parse_quota, RULE_QUOTA, FOR_GROWTH,
	  "write, fallocate, create, mknod, mkdir and symlink" },
	{ "freeze", parse_nothing, RULE_FREEZE, FOR_ALL, NULL },
	{ "cut", parse_cut, RULE_CUT, FOR_ALL, NULL },
	{ "kill", parse_nothing, RULE_KILL, FOR_ALL, NULL },
};

#define PARSE_KEYS (sizeof(parse_keys) / sizeof(*parse_keys))
#define PARSE_FAULTS "a fault: error= delay= tail= short torn lost hold " \
	"reorder= flip quota= freeze cut or kill"

/* What is being read, and where complaints go. */
struct parse {
	const char *where;
	unsigned int line;
	char *message;
	size_t size;
	uint64_t seen;		/* keys of this line */
};

static bool parse_refuse(struct parse *parse, const char *word,
			 const char *expected)
{
	snprintf(parse->message, parse->size, "%s:%u: '%.100s': expected %s",
		 parse->where, parse->line, word, expected);
	return false;
}

static const struct key *parse_find(const char *name)
{
	size_t i;

	for (i = 0; i < PARSE_KEYS; i++)
		if (!strcmp(parse_keys[i].name, name))
			return &parse_keys[i];
	return NULL;
}

static bool parse_fault(struct parse *parse, struct rule *rule,
			const char *word, const struct key *key)
{
	char expected[96];

	if (rule->fault != RULE_NONE)
		return parse_refuse(parse, word, "one fault in a rule");
	rule->fault = key->fault;
	if (!(rule->ops & ~key->ops))
		return true;
	snprintf(expected, sizeof(expected), "it only for %s", key->possible);
	return parse_refuse(parse, word, expected);
}

static bool parse_key(struct parse *parse, struct rule *rule,
		      const char *word)
{
	const char *value = strchr(word, '='), *expected;
	const struct key *key;
	char name[RULE_TEXT];

	strcpy(name, word);
	if (value)
		name[value - word] = '\0';
	key = parse_find(name);
	if (!key)
		return parse_refuse(parse, word, "at= p= every= after= times= "
				    "nth= from= to= cycle= bursts= or "
				    PARSE_FAULTS);
	if (parse->seen & 1ull << (key - parse_keys))
		return parse_refuse(parse, word, "it once");
	parse->seen |= 1ull << (key - parse_keys);
	if (key->fault != RULE_NONE && !parse_fault(parse, rule, word, key))
		return false;
	expected = key->parse(rule, value ? value + 1 : "");
	return expected ? parse_refuse(parse, word, expected) : true;
}

/* ---- lines ---- */

static bool parse_has(const struct parse *parse, const char *name)
{
	return parse->seen & 1ull << (parse_find(name) - parse_keys);
}

/* What does not go together. */
static bool parse_check(struct parse *parse, struct rule *rule)
{
	if (rule->fault == RULE_NONE)
		return parse_refuse(parse, rule->text, PARSE_FAULTS);
	if (parse_has(parse, "then") && rule->fault != RULE_TORN)
		return parse_refuse(parse, "then", "it with torn only");
	if (parse_has(parse, "cycle") && parse_has(parse, "bursts"))
		return parse_refuse(parse, "bursts", "it without cycle=");
	if (parse_has(parse, "to") && rule->to_ns <= rule->from_ns)
		return parse_refuse(parse, "to", "a time after from=");
	if (rule->fault == RULE_TORN && !parse_has(parse, "then"))
		rule->err = EIO;
	if (rule->fault == RULE_QUOTA)
		rule->err = ENOSPC;
	return true;
}

static void parse_clear(struct rule *rule)
{
	rule->at = (struct rule_range){ 0, UINT64_MAX };
	rule->to_ns = UINT64_MAX;
	rule->probability = 1;
}

static bool parse_words(struct parse *parse, struct rule *rule, char **words,
			unsigned int nwords)
{
	unsigned int i;

	parse->seen = 0;
	parse_clear(rule);
	rule->ops = op_set(words[0]);
	if (!rule->ops)
		return parse_refuse(parse, words[0], "operations joined by +, "
				    "as in read+write, or data, sync, meta or "
				    "all");
	if (nwords < 2)
		return parse_refuse(parse, words[0], "a pattern of names after "
				    "it, * for all");
	if (strchr(words[1], '=') && parse_find(strndupa(words[1],
				strcspn(words[1], "="))))
		return parse_refuse(parse, words[1], "a pattern of names "
				    "before it, * for all");
	strcpy(rule->pattern, words[1]);
	for (i = 2; i < nwords; i++)
		if (!parse_key(parse, rule, words[i]))
			return false;
	return parse_check(parse, rule);
}

/* => The number of words, PARSE_WORDS: too many. Cuts @text. */
static unsigned int parse_split(char *text, char **words)
{
	unsigned int nwords = 0;
	char *word, *rest;

	for (word = strtok_r(text, " \t\r", &rest);
	     word && nwords < PARSE_WORDS;
	     word = strtok_r(NULL, " \t\r", &rest))
		words[nwords++] = word;
	return nwords;
}

static void parse_join(char *text, char **words, unsigned int nwords)
{
	char *to = text;
	unsigned int i;

	for (i = 0; i < nwords; i++)
		to += sprintf(to, "%s%s", i ? " " : "", words[i]);
}

/* One line, or part of one up to ";". => false: it is wrong. */
static bool parse_line(struct parse *parse, const char *text, size_t length,
		       struct rule **end)
{
	char copy[RULE_TEXT], *words[PARSE_WORDS];
	const char *comment = memchr(text, '#', length);
	unsigned int nwords;
	struct rule *rule;

	if (comment)
		length = comment - text;
	if (length >= sizeof(copy) || memchr(text, '\0', length))
		return parse_refuse(parse, "", "a line of text, at most 511 "
				    "characters");
	memcpy(copy, text, length);
	copy[length] = '\0';
	nwords = parse_split(copy, words);
	if (!nwords)
		return true;
	if (nwords == PARSE_WORDS)
		return parse_refuse(parse, words[0], "fewer words");
	rule = calloc(1, sizeof(*rule));
	if (!rule)
		return parse_refuse(parse, words[0], "memory");
	*end = rule;
	rule->line = parse->line;
	parse_join(rule->text, words, nwords);
	return parse_words(parse, rule, words, nwords);
}

/* Where the rule at @text ends: a comment goes on to the end of its line. */
static const char *parse_end(const char *text, const char *stop)
{
	bool comment = false;

	for (; text < stop && *text != '\n'; text++) {
		if (*text == ';' && !comment)
			break;
		comment |= *text == '#';
	}
	return text;
}

struct rule *rules_parse(const char *text, size_t length, const char *where,
			 char *message, size_t size)
{
	struct parse parse = {
		.where = where, .line = 1, .message = message, .size = size,
	};
	const char *stop = text + length, *end;
	struct rule *list = NULL, **next = &list;
	unsigned int count = 0;
	bool good = true;

	message[0] = '\0';
	for (; good && text < stop; text = end + 1) {
		end = parse_end(text, stop);
		good = parse_line(&parse, text, end - text, next);
		if (*next) {
			if (good && ++count > RULES_MAX)
				good = parse_refuse(&parse, (*next)->text,
						    "no more than 1024 rules");
			next = &(*next)->next;
		}
		if (end < stop && *end == '\n')
			parse.line++;
	}
	if (good)
		return list;
	rules_free(list);
	return NULL;
}

void rules_free(struct rule *list)
{
	struct rule *next;

	for (; list; list = next) {
		next = list->next;
		free(list);
	}
}
