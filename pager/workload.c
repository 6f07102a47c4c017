/*
 * workload.c - the workload language: from text to a program.
 *
 * Way of the data: text -> workload_lex (tokens) -> grammar_statement() for
 * each line (workload_grammar.c) -> struct wl_stmt, linked into blocks, in
 * memory that belongs to the program. This file has the memory, the current
 * token, names and expressions, and blocks; recursion goes from a block to
 * its statements and is bounded by WL_NEST_MAX.
 *
 * Invariants: a program that was returned holds no pointer into the text it
 * was made from except its own copy; every statement has passed the grammar,
 * so that the runner checks values only, never shape; the first error wins.
 * No locks: one parser belongs to one caller, a finished program is
 * immutable.
 */
#include "workload.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workload_parse.h"

/* ---- memory ---- */

#define CHUNK_SIZE	16384

struct wl_chunk {
	struct wl_chunk *next;
	size_t used, size;
	_Alignas(16) unsigned char data[];
};

static struct wl_chunk *chunk_new(struct program *prog, size_t size)
{
	struct wl_chunk *c = calloc(1, sizeof(*c) + size);

	if (!c)
		return NULL;
	c->size = size;
	c->next = prog->chunks;
	prog->chunks = c;
	return c;
}

static void *program_alloc(struct program *prog, size_t size)
{
	struct wl_chunk *c = prog->chunks;
	void *mem;

	size = (size + 15) & ~(size_t)15;
	if (!c || c->size - c->used < size)
		c = chunk_new(prog, size > CHUNK_SIZE ? size : CHUNK_SIZE);
	if (!c)
		return NULL;
	assert(c->used + size <= c->size);
	mem = c->data + c->used;
	c->used += size;
	return mem;
}

void program_free(struct program *prog)
{
	struct wl_chunk *c, *next;

	if (!prog)
		return;
	for (c = prog->chunks; c; c = next) {
		next = c->next;
		free(c);
	}
	free(prog);
}

static char *program_strdup(struct program *prog, const char *s, size_t len)
{
	char *copy = program_alloc(prog, len + 1);

	if (copy)
		memcpy(copy, s, len);
	return copy;
}

/* ---- errors ---- */

/* What a token looks like in a message: short, printable. */
static void describe(const struct token *tok, char *buf, size_t size)
{
	size_t i, n = tok->len < 40 ? tok->len : 40;

	if (tok->kind == TOKEN_EOF) {
		snprintf(buf, size, "end of file");
		return;
	}
	if (tok->kind == TOKEN_END) {
		snprintf(buf, size, "end of line");
		return;
	}
	buf[0] = '\'';
	for (i = 0; i < n; i++)
		buf[i + 1] = (unsigned char)tok->s[i] < ' ' ? '?' : tok->s[i];
	snprintf(buf + i + 1, size - i - 1, "%s'", n < tok->len ? "..." : "");
}

static int fail_at(struct parser *p, const struct token *tok, const char *what)
{
	char found[64];

	if (p->status)
		return -1;
	p->status = -EINVAL;
	p->err->line = tok->line;
	describe(tok, found, sizeof(found));
	if (tok->bad)
		snprintf(p->err->message, sizeof(p->err->message),
			 "%.64s:%u: %s", p->prog->name, tok->line, tok->bad);
	else
		snprintf(p->err->message, sizeof(p->err->message),
			 "%.64s:%u: expected %s, found %s", p->prog->name,
			 tok->line, what, found);
	return -1;
}

int parser_fail(struct parser *p, const char *what)
{
	return fail_at(p, &p->tok, what);
}

static int fail_memory(struct parser *p)
{
	if (!p->status) {
		p->status = -ENOMEM;
		p->err->line = p->tok.line;
		snprintf(p->err->message, sizeof(p->err->message),
			 "%.64s:%u: out of memory", p->prog->name, p->tok.line);
	}
	return -1;
}

void *parser_alloc(struct parser *p, size_t size)
{
	void *mem = program_alloc(p->prog, size);

	if (!mem)
		fail_memory(p);
	return mem;
}

char *parser_strdup(struct parser *p, const char *s, size_t len)
{
	char *copy = program_strdup(p->prog, s, len);

	if (!copy)
		fail_memory(p);
	return copy;
}

/* ---- tokens ---- */

void parser_advance(struct parser *p)
{
	p->last_end = p->tok.end;
	lexer_next(&p->lex, &p->tok);
}

bool parser_is(const struct parser *p, const char *word)
{
	return p->tok.kind == TOKEN_WORD && strlen(word) == p->tok.len &&
	       !memcmp(p->tok.s, word, p->tok.len);
}

bool parser_accept(struct parser *p, const char *word)
{
	if (!parser_is(p, word))
		return false;
	parser_advance(p);
	return true;
}

/* ---- names ---- */

static bool is_var(const char *s, size_t len)
{
	size_t i;

	if (len < 2 || len > WL_NAME_MAX + 1 || s[0] != '$' ||
	    !lex_is_alpha(s[1]))
		return false;
	for (i = 2; i < len; i++)
		if (!lex_is_alnum(s[i]))
			return false;
	return true;
}

/* NAME = letter { letter | digit | '.' | '$' letter }. */
static bool is_name(const char *s, size_t len)
{
	size_t i;

	if (!len || len > WL_NAME_MAX || !lex_is_alpha(s[0]))
		return false;
	for (i = 1; i < len; i++) {
		if (s[i] == '$') {
			if (i + 1 == len || !lex_is_alpha(s[i + 1]))
				return false;
		} else if (!lex_is_alnum(s[i]) && s[i] != '.') {
			return false;
		}
	}
	return true;
}

int parser_name(struct parser *p, const char **name, const char *what)
{
	_Static_assert(WL_NAME_MAX == 31, "the text says so");

	if (p->tok.kind == TOKEN_WORD && p->tok.len > WL_NAME_MAX)
		return parser_fail(p, "a name of at most 31 characters");
	if (p->tok.kind != TOKEN_WORD || !is_name(p->tok.s, p->tok.len))
		return parser_fail(p, what);
	*name = parser_strdup(p, p->tok.s, p->tok.len);
	if (!*name)
		return -1;
	parser_advance(p);
	return 0;
}

int parser_var(struct parser *p, const char **name)
{
	if (p->tok.kind != TOKEN_WORD || !is_var(p->tok.s, p->tok.len))
		return parser_fail(p, "a variable ($NAME)");
	*name = parser_strdup(p, p->tok.s + 1, p->tok.len - 1);
	if (!*name)
		return -1;
	parser_advance(p);
	return 0;
}

/* ---- expressions ---- */

static bool is_operator(char c)
{
	return c == '+' || c == '-' || c == '*';
}

static int term_number(struct parser *p, struct wl_term *t, const char *s,
		       size_t len, const char *what)
{
	t->kind = WL_NUMBER;
	switch (number_parse(s, len, &t->number)) {
	case NUMBER_OK:
		return 0;
	case NUMBER_TOO_BIG:
		return parser_fail(p, "a number below 2^64");
	default:
		return parser_fail(p, what);
	}
}

static int term_parse(struct parser *p, struct wl_term *t, const char *s,
		      size_t len, bool names, const char *what)
{
	if (len && lex_is_digit(s[0]))
		return term_number(p, t, s, len, what);
	if (is_var(s, len)) {
		t->kind = WL_VAR;
		s++;
		len--;
	} else if (names && is_name(s, len)) {
		t->kind = WL_NAME;
	} else {
		return parser_fail(p, what);
	}
	t->name = parser_strdup(p, s, len);
	return t->name ? 0 : -1;
}

int parser_expr(struct parser *p, struct wl_expr *e, bool names,
		const char *what)
{
	struct wl_term terms[WL_TERM_MAX] = { 0 }, *copy;
	const char *s = p->tok.s, *end = s + p->tok.len, *from;
	unsigned n = 0;

	if (p->tok.kind != TOKEN_WORD)
		return parser_fail(p, what);
	for (;;) {
		if (n == WL_TERM_MAX)
			return parser_fail(p, "at most 16 terms");
		terms[n].op = n ? s[-1] : '+';
		for (from = s; s < end && !is_operator(*s); s++)
			;
		if (term_parse(p, &terms[n++], from, (size_t)(s - from), names,
			       what))
			return -1;
		if (s++ == end)
			break;
	}
	copy = parser_alloc(p, n * sizeof(*copy));
	if (!copy)
		return -1;
	memcpy(copy, terms, n * sizeof(*copy));
	*e = (struct wl_expr){ copy, n };
	parser_advance(p);
	return 0;
}

/* ---- blocks ---- */

static int stmt_parse(struct parser *p, struct wl_stmt **out)
{
	struct wl_stmt *s;

	if (p->prog->nstmts == WL_STMT_MAX)
		return parser_fail(p, "at most 1000000 statements");
	s = parser_alloc(p, sizeof(*s));
	if (!s)
		return -1;
	p->prog->nstmts++;
	s->line = p->tok.line;
	s->text = p->tok.s;
	if (grammar_statement(p, s))
		return -1;
	if (!s->text_len)
		s->text_len = (unsigned)(p->last_end - s->text);
	*out = s;
	return 0;
}

static int fail_open(struct parser *p, const struct wl_stmt *s)
{
	char what[64];

	snprintf(what, sizeof(what), "'}' that closes the block of line %u",
		 s->line);
	return parser_fail(p, what);
}

/* Statements up to the end of @s's block, or the file's (NULL), which is left
 * current. */
static int block_parse(struct parser *p, const struct wl_stmt *s,
		       struct wl_stmt **first, unsigned *count)
{
	enum token_kind close = s ? TOKEN_CLOSE : TOKEN_EOF;
	struct wl_stmt **tail = first;

	for (;;) {
		while (p->tok.kind == TOKEN_END)
			parser_advance(p);
		if (p->tok.kind == close)
			return 0;
		if (p->tok.kind == TOKEN_EOF)
			return fail_open(p, s);
		if (stmt_parse(p, tail))
			return -1;
		tail = &(*tail)->next;
		++*count;
		if (p->tok.kind != TOKEN_END && p->tok.kind != close &&
		    p->tok.kind != TOKEN_EOF)
			return parser_fail(p, "end of line");
	}
}

int parser_body(struct parser *p, struct wl_stmt *s)
{
	if (p->tok.kind != TOKEN_OPEN)
		return parser_fail(p, "'{'");
	if (p->depth == WL_NEST_MAX)
		return parser_fail(p, "at most 16 blocks inside each other");
	s->text_len = (unsigned)(p->last_end - s->text);
	p->loop[p->depth++] = s->var;
	parser_advance(p);
	if (block_parse(p, s, &s->body, &s->nbody))
		return -1;
	assert(p->depth && p->tok.kind == TOKEN_CLOSE);
	p->depth--;
	parser_advance(p);
	return 0;
}

/* ---- how much there is to do ---- */

static uint64_t add_sat(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static uint64_t mul_sat(uint64_t a, uint64_t b)
{
	uint64_t v;

	return __builtin_mul_overflow(a, b, &v) ? UINT64_MAX : v;
}

static uint64_t block_total(const struct wl_stmt *s, bool *known)
{
	const struct wl_term *t;
	uint64_t sum = 0, n;

	for (; s; s = s->next) {
		sum = add_sat(sum, 1);
		if (!s->body || s->op == WL_EXPECT_ERROR)
			continue;
		t = s->count.term;
		if (s->count.n > 1 || (s->count.n && t->kind != WL_NUMBER))
			*known = false;
		n = s->count.n ? t->number : 1;
		sum = add_sat(sum, mul_sat(n, block_total(s->body, known)));
	}
	return sum;
}

/* ---- the whole ---- */

/* For messages, of which the file is the better part of its path. */
static const char *program_name(const char *path)
{
	size_t n = strlen(path);

	return n > WL_PATH_SHOWN ? path + (n - WL_PATH_SHOWN) : path;
}

static struct program *program_new(const char *path)
{
	struct program *prog = calloc(1, sizeof(*prog));
	const char *name = program_name(path);

	if (!prog)
		return NULL;
	prog->name = program_strdup(prog, name, strlen(name));
	if (prog->name)
		return prog;
	program_free(prog);
	return NULL;
}

static int program_fill(struct parser *p, const char *text, size_t len)
{
	struct program *prog = p->prog;
	unsigned count = 0;
	char *copy = parser_strdup(p, text, len);

	if (!copy)
		return -1;
	lexer_init(&p->lex, copy, len);
	parser_advance(p);
	if (block_parse(p, NULL, &prog->first, &count))
		return -1;
	prog->total_known = true;
	prog->total = block_total(prog->first, &prog->total_known);
	return 0;
}

int program_parse(const char *name, const char *text, size_t len,
		  struct program **prog, struct wl_error *err)
{
	struct parser p = { .err = err, .prog = program_new(name) };

	*prog = NULL;
	memset(err, 0, sizeof(*err));
	p.tok.line = 1;
	if (!p.prog) {
		snprintf(err->message, sizeof(err->message),
			 "%.64s:1: out of memory", program_name(name));
		return -ENOMEM;
	}
	if (len > WL_TEXT_MAX) {
		p.tok.bad = "expected at most 64M of text, found more";
		parser_fail(&p, "");
	} else if (!program_fill(&p, text, len)) {
		*prog = p.prog;
		return 0;
	}
	program_free(p.prog);
	return p.status;
}
