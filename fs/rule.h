/*
 * rule.h - one rule of fault injection, and the language it is written in.
 *
 *	OPERATIONS PATTERN [at=FROM..TO] [when...] FAULT
 *
 * docs/inject.md describes it. rules_parse() reads a text of such lines into
 * a list, all or nothing; rule_due() decides whether a rule acts on a request
 * which its operations, pattern and range have let through.
 *
 * Each rule has a random generator of its own, seeded by the common seed and
 * the rule's number: what it decides depends only on the requests that reach
 * it, not on the other rules.
 */
#ifndef FS_RULE_H
#define FS_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RULE_TEXT	512	/* a line, with its end */
#define RULE_NTH_MAX	8
#define RULES_MAX	1024	/* in a text, and in force */

enum rule_fault {
	RULE_NONE,
	RULE_ERROR,
	RULE_DELAY,
	RULE_SHORT,
	RULE_TORN,
	RULE_LOST,
	RULE_HOLD,
	RULE_FLIP,
	RULE_QUOTA,
	RULE_FREEZE,
	RULE_CUT,
	RULE_KILL,
};

enum rule_shape {
	RULE_UNIFORM,
	RULE_TAIL,
};

struct rule_range {
	uint64_t first, end;	/* end is not in it */
};

struct rule {
	struct rule *next;
	unsigned int id;	/* 1.. in the order they were set */
	uint64_t serial;	/* never twice */
	unsigned int line;	/* of its text */
	char text[RULE_TEXT];	/* as it was written, without its comment */

	/* Which requests. */
	uint64_t ops;
	char pattern[RULE_TEXT];
	bool ranged;		/* @at was said */
	struct rule_range at;

	/* When. */
	double probability;
	uint64_t every, after, times;	/* 0: not said */
	struct rule_range nth[RULE_NTH_MAX];
	unsigned int nnth;
	uint64_t from_ns, to_ns;	/* since it was set */
	uint64_t on_ns, off_ns;		/* on and off in turn; 0: always on */
	bool bursts;			/* ... for random times */

	/* What. */
	enum rule_fault fault;
	int err;		/* error, torn, quota; 0: with torn, kill */
	uint64_t low, high;	/* delay ns; short bytes; torn sectors; bits;
				 * quota bytes; hold: how many are kept */
	enum rule_shape shape;
	double keep;		/* cut: chance of a sector to survive */

	/* What has become of it. */
	uint64_t matched, fired;
	uint64_t random;
	uint64_t set_ns;
	uint64_t switch_ns;	/* bursts: when the present state ends */
	bool on;
	uint64_t used;		/* quota: bytes taken */
	uint64_t bit;		/* freeze, quota: its own among those in force
				 * that do the same */
};

/*
 * Read @length bytes of @text, rules by line or set apart by ";". @where is
 * the file's name for messages.
 * => A list (NULL if there is no rule in it) and @message empty; or NULL and
 * in @message what is wrong: "WHERE:LINE: ...". The caller frees the list.
 */
struct rule *rules_parse(const char *text, size_t length, const char *where,
			 char *message, size_t size);
void rules_free(struct rule *list);

/* The rule is in force from @now on. */
void rule_start(struct rule *rule, unsigned int id, uint64_t seed,
		uint64_t now_ns);

/* Has it anything to do with these bytes? @ranged: the request has some. */
bool rule_covers(const struct rule *rule, bool ranged, uint64_t offset,
		 uint64_t length);
/* Does its pattern name @path, which is relative to the mount? */
bool rule_names(const struct rule *rule, const char *path);
/* Is it switched on at @now? */
bool rule_is_on(struct rule *rule, uint64_t now_ns);
/* A request has come that it is about: does it act? Counts both. */
bool rule_due(struct rule *rule, uint64_t now_ns);

/* From its generator: a number below @limit. */
uint64_t rule_random(struct rule *rule, uint64_t limit);
/* ... and how long this request has to wait. */
uint64_t rule_delay_ns(struct rule *rule);

/* splitmix64: the next of @state. */
uint64_t rule_next_random(uint64_t *state);

#endif
