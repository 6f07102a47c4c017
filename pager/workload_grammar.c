/*
 * workload_grammar.c - the statements of the workload language.
 *
 * One table: a keyword, and the list of parse functions for what follows it,
 * in order. Each takes its words from the current token on and fills fields
 * of the statement. docs/workload.md is this table in prose: change both.
 *
 * Invariant: what passes here has the right shape; values that depend on the
 * run (variables, addresses, sizes) are checked by the runner. No locks.
 */
#include "workload_parse.h"

#include <signal.h>
#include <string.h>

#define ARGS_MAX	7
#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))

struct grammar {
	const char *keyword;
	enum wl_op op;
	int (*arg[ARGS_MAX])(struct parser *p, struct wl_stmt *s);
};

static const struct grammar *grammar_find(const struct parser *p,
					  const struct grammar *g, size_t n)
{
	for (; n; n--, g++)
		if (parser_is(p, g->keyword))
			return g;
	return NULL;
}

static int args_parse(struct parser *p, struct wl_stmt *s,
		      const struct grammar *g)
{
	unsigned i;

	s->op = g->op;
	parser_advance(p);
	for (i = 0; i < ARGS_MAX && g->arg[i]; i++)
		if (g->arg[i](p, s))
			return -1;
	return 0;
}

/* ---- words that name something ---- */

static const char *const reserved[] = {
	"fill", "fault", "error", "count", "delta"
};

static int arg_new_proc(struct parser *p, struct wl_stmt *s)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(reserved); i++)
		if (parser_is(p, reserved[i]))
			return parser_fail(p, "a process name that is no "
					   "word of `expect`");
	return parser_name(p, &s->name, "a name for the process");
}

static bool token_is_decimal(const struct token *tok)
{
	unsigned i;

	for (i = 0; i < tok->len; i++)
		if (!lex_is_digit(tok->s[i]))
			return false;
	return true;
}

/* A process is also known by its number: in decimal and without a unit, as the
 * runner reads it. */
static int arg_proc(struct parser *p, struct wl_stmt *s)
{
	uint64_t pid;

	if (p->tok.kind == TOKEN_WORD && lex_is_digit(p->tok.s[0])) {
		if (!token_is_decimal(&p->tok) ||
		    number_parse(p->tok.s, p->tok.len, &pid) || !pid ||
		    pid > INT32_MAX)
			return parser_fail(p, "a process number");
		s->proc = parser_strdup(p, p->tok.s, p->tok.len);
		parser_advance(p);
		return s->proc ? 0 : -1;
	}
	return parser_name(p, &s->proc, "a process");
}

static int arg_map_name(struct parser *p, struct wl_stmt *s)
{
	return parser_name(p, &s->name, "a name for the mapping");
}

static int arg_counter(struct parser *p, struct wl_stmt *s)
{
	return parser_name(p, &s->name, "a counter");
}

/* ---- places ---- */

static int arg_addr(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->addr, true,
			   "an address (NAME, NAME+OFFSET or a number)");
}

static int arg_src(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->src, true,
			   "a source address (NAME, NAME+OFFSET or a number)");
}

static int arg_len(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->len, false,
			   "a length (the name of a mapping alone is all of "
			   "it: write NAME+0 LENGTH for a part)");
}

/* NAME is the whole mapping; any other address needs a length. */
static int arg_range(struct parser *p, struct wl_stmt *s)
{
	if (parser_expr(p, &s->addr, true,
			"a range (NAME, or ADDRESS LENGTH)"))
		return -1;
	if (s->addr.n == 1 && s->addr.term->kind == WL_NAME) {
		s->whole = true;
		return 0;
	}
	return arg_len(p, s);
}

/* ---- values ---- */

static int arg_value(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->value, s->proc != NULL, "a value");
}

static int arg_count(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->count, false, "a count");
}

struct word_value {
	const char *word;
	int value;
};

static int word_find(struct parser *p, const struct word_value *w, size_t n,
		     int missing)
{
	for (; n; n--, w++)
		if (parser_accept(p, w->word))
			return w->value;
	return missing;
}

static const struct word_value widths[] = {
	{ "u8", 1 }, { "u16", 2 }, { "u32", 4 }, { "u64", 8 }
};

static int arg_width(struct parser *p, struct wl_stmt *s)
{
	s->width = (uint8_t)word_find(p, widths, ARRAY_LEN(widths), 8);
	return 0;
}

static const struct word_value compares[] = {
	{ "==", WL_EQ }, { "!=", WL_NE }, { "<", WL_LT }, { "<=", WL_LE },
	{ ">", WL_GT }, { ">=", WL_GE }
};

static int arg_compare(struct parser *p, struct wl_stmt *s)
{
	int cmp = word_find(p, compares, ARRAY_LEN(compares), -1);

	if (cmp < 0)
		return parser_fail(p, "== != < <= > or >=");
	s->cmp = (uint8_t)cmp;
	return 0;
}

static int arg_content(struct parser *p, struct wl_stmt *s)
{
	s->pattern = parser_accept(p, "pattern");
	return parser_expr(p, &s->value, false, s->pattern ? "a seed" :
			   "a byte or `pattern SEED`");
}

static bool is_loop_var(const struct parser *p, const char *name)
{
	unsigned i;

	for (i = 0; i < p->depth; i++)
		if (p->loop[i] && !strcmp(p->loop[i], name))
			return true;
	return false;
}

static int arg_set_var(struct parser *p, struct wl_stmt *s)
{
	const struct token tok = p->tok;

	if (parser_var(p, &s->var))
		return -1;
	if (!is_loop_var(p, s->var))
		return 0;
	p->tok = tok;
	return parser_fail(p, "a variable that no block around counts");
}

static int arg_into(struct parser *p, struct wl_stmt *s)
{
	return parser_accept(p, "->") ? arg_set_var(p, s) : 0;
}

/* set $x VALUE | set $x count COUNTER */
static int arg_set_value(struct parser *p, struct wl_stmt *s)
{
	if (parser_accept(p, "count"))
		return arg_counter(p, s);
	return parser_expr(p, &s->value, false, "a value or `count COUNTER`");
}

static int time_parse(struct parser *p, struct wl_stmt *s)
{
	if (p->tok.kind != TOKEN_WORD ||
	    number_parse_time(p->tok.s, p->tok.len, &s->ns))
		return parser_fail(p, "a time (10us, 10ms, 10s)");
	parser_advance(p);
	return 0;
}

static int arg_within(struct parser *p, struct wl_stmt *s)
{
	return parser_accept(p, "within") ? time_parse(p, s) : 0;
}

/* ---- options: any order, each at most once ---- */

struct option {
	const char *word;
	unsigned group;		/* a bit; one option of each */
	int (*parse)(struct parser *p, struct wl_stmt *s);
	bool keep;		/* parse() takes the word itself too */
};

static const struct option *option_find(const struct parser *p,
					const struct option *o, size_t n)
{
	for (; n; n--, o++)
		if (parser_is(p, o->word))
			return o;
	return NULL;
}

/* => the groups that were given, or -1. */
static int options_parse(struct parser *p, struct wl_stmt *s,
			 const struct option *table, size_t n,
			 const char *once)
{
	const struct option *o;
	unsigned seen = 0;

	while ((o = option_find(p, table, n))) {
		if (seen & o->group)
			return parser_fail(p, once);
		seen |= o->group;
		if (!o->keep)
			parser_advance(p);
		if (o->parse && o->parse(p, s))
			return -1;
	}
	return (int)seen;
}

/* ---- map, protect ---- */

static int arg_prot(struct parser *p, struct wl_stmt *s)
{
	static const struct word_value prots[] = {
		{ "none", 0 },
		{ "r", WL_PROT_READ },
		{ "rw", WL_PROT_READ | WL_PROT_WRITE },
		{ "rx", WL_PROT_READ | WL_PROT_EXEC },
		{ "rwx", WL_PROT_READ | WL_PROT_WRITE | WL_PROT_EXEC },
	};
	int prot = word_find(p, prots, ARRAY_LEN(prots), -1);

	if (prot < 0)
		return parser_fail(p, "a protection (none, r, rw, rx, rwx)");
	s->prot = (uint8_t)prot;
	return 0;
}

static int arg_advice(struct parser *p, struct wl_stmt *s)
{
	static const struct word_value advice[] = {
		{ "hugepage", WL_ADVISE_HUGE },
		{ "nohugepage", WL_ADVISE_NO_HUGE },
	};

	s->number = word_find(p, advice, ARRAY_LEN(advice), -1);
	if (s->number < 0)
		return parser_fail(p, "an advice (hugepage, nohugepage)");
	return 0;
}

static int option_shared(struct parser *p, struct wl_stmt *s)
{
	(void)p;
	s->shared = true;
	return 0;
}

static int option_at(struct parser *p, struct wl_stmt *s)
{
	return arg_addr(p, s);
}

static int option_offset(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->src, false, "an offset in the file");
}

static int option_size(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->len, false, "a size");
}

static int arg_map_options(struct parser *p, struct wl_stmt *s)
{
	static const struct option table[] = {
		{ "shared", 1, option_shared, false },
		{ "private", 1, NULL, false },
		{ "none", 2, arg_prot, true },
		{ "r", 2, arg_prot, true },
		{ "rw", 2, arg_prot, true },
		{ "rx", 2, arg_prot, true },
		{ "rwx", 2, arg_prot, true },
		{ "at", 4, option_at, false },
		{ "offset", 8, option_offset, false },
		{ "size", 16, option_size, false },
	};
	/* anonymous memory has no offset, and its size stands before */
	int seen = options_parse(p, s, table, s->path ? 10 : 8,
				 "each option once");

	if (seen < 0)
		return -1;
	if (s->path && !(seen & 1))
		return parser_fail(p, "`shared` or `private`");
	if (!(seen & 2))
		s->prot = WL_PROT_READ | WL_PROT_WRITE;
	return 0;
}

static int arg_source(struct parser *p, struct wl_stmt *s)
{
	if (parser_accept(p, "anon"))
		return option_size(p, s);
	if (!parser_accept(p, "file"))
		return parser_fail(p, "`anon SIZE` or `file PATH`");
	if ((p->tok.kind != TOKEN_WORD && p->tok.kind != TOKEN_STRING) ||
	    !p->tok.len)
		return parser_fail(p, "the path of a file");
	s->path = parser_strdup(p, p->tok.s, p->tok.len);
	if (!s->path)
		return -1;
	parser_advance(p);
	return 0;
}

static int arg_async(struct parser *p, struct wl_stmt *s)
{
	s->async = parser_accept(p, "async");
	return 0;
}

/* brk PROC ADDRESS | +N | -N: a sign in front means from where it is. */
static int arg_break(struct parser *p, struct wl_stmt *s)
{
	const char *what = "a new break (ADDRESS, +N or -N)";

	if (p->tok.kind == TOKEN_WORD && p->tok.len > 1 &&
	    (*p->tok.s == '+' || *p->tok.s == '-')) {
		s->sign = *p->tok.s++;
		p->tok.len--;
	}
	return parser_expr(p, &s->addr, !s->sign, what);
}

/* ---- touch ---- */

static int arg_access(struct parser *p, struct wl_stmt *s)
{
	uint64_t v;

	if (parser_accept(p, "read"))
		return 0;
	s->percent = 100;
	if (parser_accept(p, "write"))
		return 0;
	if (!parser_accept(p, "mix"))
		return parser_fail(p, "`read`, `write` or `mix N%`");
	if (p->tok.kind != TOKEN_WORD || p->tok.s[p->tok.len - 1] != '%' ||
	    number_parse(p->tok.s, p->tok.len - 1, &v) || v > 100)
		return parser_fail(p, "a percentage of writes (0% to 100%)");
	s->percent = (uint8_t)v;
	parser_advance(p);
	return 0;
}

static int option_random(struct parser *p, struct wl_stmt *s)
{
	(void)p;
	s->order = WL_RANDOM;
	return 0;
}

static int option_zipf(struct parser *p, struct wl_stmt *s)
{
	s->order = WL_ZIPF;
	if (p->tok.kind != TOKEN_WORD ||
	    number_parse_real(p->tok.s, p->tok.len, 16, &s->skew))
		return parser_fail(p, "a skew from 0 to 16 (like 0.99)");
	parser_advance(p);
	return 0;
}

static int option_stride(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->stride, false, "a stride");
}

static int option_seed(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->seed, false, "a seed");
}

static int option_pattern(struct parser *p, struct wl_stmt *s)
{
	return parser_expr(p, &s->value, false, "a seed");
}

static int option_verify(struct parser *p, struct wl_stmt *s)
{
	(void)p;
	s->verify = true;
	return 0;
}

static int arg_touch_options(struct parser *p, struct wl_stmt *s)
{
	static const struct option table[] = {
		{ "seq", 1, NULL, false },
		{ "random", 1, option_random, false },
		{ "zipf", 1, option_zipf, false },
		{ "count", 2, arg_count, false },
		{ "stride", 4, option_stride, false },
		{ "seed", 8, option_seed, false },
		{ "pattern", 16, option_pattern, false },
		{ "verify", 32, option_verify, false },
	};

	return options_parse(p, s, table, ARRAY_LEN(table),
			     "each option once") < 0 ? -1 : 0;
}

/* ---- print ---- */

static int item_parse(struct parser *p, struct wl_item *item)
{
	if (p->tok.kind == TOKEN_STRING) {
		item->text = parser_strdup(p, p->tok.s, p->tok.len);
		parser_advance(p);
		return item->text ? 0 : -1;
	}
	if (p->tok.kind == TOKEN_WORD && lex_is_alpha(*p->tok.s))
		return parser_name(p, &item->counter, "a counter");
	return parser_expr(p, &item->value, false,
			   "\"text\", a value or a counter");
}

static int arg_items(struct parser *p, struct wl_stmt *s)
{
	struct wl_item **tail = &s->items;

	do {
		*tail = parser_alloc(p, sizeof(**tail));
		if (!*tail || item_parse(p, *tail))
			return -1;
		tail = &(*tail)->next;
	} while (p->tok.kind == TOKEN_WORD || p->tok.kind == TOKEN_STRING ||
		 p->tok.kind == TOKEN_BAD);
	return 0;
}

/* ---- expect ---- */

static int arg_signal(struct parser *p, struct wl_stmt *s)
{
	static const struct word_value signals[] = {
		{ "SIGSEGV", SIGSEGV }, { "SIGBUS", SIGBUS }
	};

	s->number = word_find(p, signals, ARRAY_LEN(signals), 0);
	return s->number ? 0 : parser_fail(p, "SIGSEGV or SIGBUS");
}

static int arg_direction(struct parser *p, struct wl_stmt *s)
{
	static const struct word_value directions[] = {
		{ "load", WL_A_LOAD }, { "store", WL_A_STORE },
		{ "fetch", WL_A_FETCH }
	};
	int d = word_find(p, directions, ARRAY_LEN(directions), -1);

	if (d < 0)
		return parser_fail(p, "`load`, `store` or `fetch`");
	s->access = (uint8_t)d;
	s->width = 1;
	return 0;
}

static int arg_errno(struct parser *p, struct wl_stmt *s)
{
	int e;

	for (e = 1; e < 134; e++) {
		const char *name = strerrorname_np(e);

		if (name && parser_accept(p, name)) {
			s->number = e;
			return 0;
		}
	}
	return parser_fail(p, "the name of an error (like ENOMEM)");
}

static int arg_inner(struct parser *p, struct wl_stmt *s);

static const struct grammar expects[] = {
	{ "fill", WL_EXPECT_FILL, { arg_proc, arg_range, arg_content } },
	{ "fault", WL_EXPECT_FAULT,
	  { arg_signal, arg_direction, arg_proc, arg_addr } },
	{ "error", WL_EXPECT_ERROR, { arg_errno, arg_inner } },
	{ "count", WL_EXPECT_COUNT,
	  { arg_counter, arg_compare, arg_value, arg_within } },
	{ "delta", WL_EXPECT_DELTA,
	  { arg_counter, arg_compare, arg_value, arg_within } },
};

static int expect_var(struct parser *p, struct wl_stmt *s)
{
	s->op = WL_EXPECT_VAR;
	if (parser_expr(p, &s->src, false, "a value") || arg_compare(p, s))
		return -1;
	return arg_value(p, s);
}

static int arg_expect(struct parser *p, struct wl_stmt *s)
{
	const struct grammar *g = grammar_find(p, expects, ARRAY_LEN(expects));

	if (g)
		return args_parse(p, s, g);
	if (p->tok.kind == TOKEN_WORD && *p->tok.s == '$')
		return expect_var(p, s);
	if (p->tok.kind != TOKEN_WORD)
		return parser_fail(p, "a process, a $variable, `fill`, "
				   "`fault`, `error`, `count` or `delta`");
	s->op = WL_EXPECT_VALUE;
	if (arg_proc(p, s) || arg_addr(p, s) || arg_compare(p, s) ||
	    arg_value(p, s))
		return -1;
	return arg_width(p, s);
}

/* ---- blocks ---- */

/* [$var] { ... } */
static int arg_loop(struct parser *p, struct wl_stmt *s)
{
	if (p->tok.kind == TOKEN_WORD && parser_var(p, &s->var))
		return -1;
	return parser_body(p, s);
}

static int arg_spawn(struct parser *p, struct wl_stmt *s)
{
	if (p->tok.kind == TOKEN_OPEN)
		return parser_body(p, s);
	return arg_count(p, s) ? -1 : arg_loop(p, s);
}

/* ---- the table ---- */

static const struct grammar statements[] = {
	{ "proc", WL_PROC, { arg_new_proc } },
	{ "fork", WL_FORK, { arg_proc, arg_new_proc } },
	{ "exit", WL_EXIT, { arg_proc } },
	{ "map", WL_MAP,
	  { arg_proc, arg_map_name, arg_source, arg_map_options } },
	{ "unmap", WL_UNMAP, { arg_proc, arg_range } },
	{ "protect", WL_PROTECT, { arg_proc, arg_range, arg_prot } },
	{ "advise", WL_ADVISE, { arg_proc, arg_range, arg_advice } },
	{ "msync", WL_MSYNC, { arg_proc, arg_range, arg_async } },
	{ "brk", WL_BRK, { arg_proc, arg_break, arg_into } },
	{ "load", WL_LOAD, { arg_proc, arg_addr, arg_width, arg_into } },
	{ "store", WL_STORE, { arg_proc, arg_addr, arg_value, arg_width } },
	{ "fetch", WL_FETCH, { arg_proc, arg_addr } },
	{ "fill", WL_FILL, { arg_proc, arg_range, arg_content } },
	{ "copy", WL_COPY, { arg_proc, arg_addr, arg_src, arg_len } },
	{ "touch", WL_TOUCH,
	  { arg_proc, arg_range, arg_access, arg_touch_options } },
	{ "expect", WL_EXPECT_VALUE, { arg_expect } },
	{ "set", WL_SET, { arg_set_var, arg_set_value } },
	{ "mark", WL_MARK, { NULL } },
	{ "do", WL_DO, { parser_body } },
	{ "repeat", WL_REPEAT, { arg_count, arg_loop } },
	{ "together", WL_TOGETHER, { parser_body } },
	{ "spawn", WL_SPAWN, { arg_spawn } },
	{ "wait", WL_WAIT, { NULL } },
	{ "sleep", WL_SLEEP, { time_parse } },
	{ "sync", WL_SYNC, { NULL } },
	{ "evict", WL_EVICT, { arg_count } },
	{ "check", WL_CHECK, { NULL } },
	{ "print", WL_PRINT, { arg_items } },
	{ "pagetable", WL_PAGETABLE, { arg_proc, arg_range } },
	{ "explain", WL_EXPLAIN, { arg_direction, arg_proc, arg_addr } },
	{ "seed", WL_SEED, { arg_value } },
};

int grammar_statement(struct parser *p, struct wl_stmt *s)
{
	const struct grammar *g = grammar_find(p, statements,
					       ARRAY_LEN(statements));

	if (!g)
		return parser_fail(p, "a statement (proc, map, touch, "
				   "expect... see docs/workload.md)");
	return args_parse(p, s, g);
}

/* The statement of `expect error`: one that calls the machine. */
static int arg_inner(struct parser *p, struct wl_stmt *s)
{
	const struct grammar *g = grammar_find(p, statements,
					       ARRAY_LEN(statements));

	s->body = parser_alloc(p, sizeof(*s->body));
	if (!s->body)
		return -1;
	if (!g || (g->op > WL_TOUCH && g->op != WL_SYNC && g->op != WL_EVICT))
		return parser_fail(p, "a statement that can fail (fork, map, "
				   "msync...)");
	s->body->line = p->tok.line;
	s->body->text = p->tok.s;
	if (args_parse(p, s->body, g))
		return -1;
	s->body->text_len = (unsigned)(p->last_end - s->body->text);
	return 0;
}
