/*
 * workload_parse.h - between the two halves of the parser: workload.c (the
 * memory of a program, tokens, expressions, blocks) and workload_grammar.c
 * (the statements).
 *
 * Every parse function takes what it needs from the current token on, leaves
 * the first token after it current, and returns 0, or -1 with the error
 * written: the first error is the only one.
 */
#ifndef PAGER_WORKLOAD_PARSE_H
#define PAGER_WORKLOAD_PARSE_H

#include "workload.h"
#include "workload_lex.h"

struct parser {
	struct lexer lex;
	struct token tok;		/* current */
	const char *last_end;		/* of the token before */
	struct program *prog;
	struct wl_error *err;
	const char *loop[WL_NEST_MAX];	/* variables of the open blocks */
	unsigned depth;			/* open blocks */
	int status;			/* -EINVAL, -ENOMEM */
};

/* Zeroed memory that lives as long as the program. => NULL: error written. */
void *parser_alloc(struct parser *p, size_t size);
char *parser_strdup(struct parser *p, const char *s, size_t len);

void parser_advance(struct parser *p);
/* "expected @what, found ..." => -1 */
int parser_fail(struct parser *p, const char *what);
bool parser_is(const struct parser *p, const char *word);
bool parser_accept(struct parser *p, const char *word);

/* A word: NAME, with $vars in it; or $VAR, whose name goes to *name. */
int parser_name(struct parser *p, const char **name, const char *what);
int parser_var(struct parser *p, const char **name);
/* One word. @names: mapping names are allowed in it. */
int parser_expr(struct parser *p, struct wl_expr *e, bool names,
		const char *what);
/* "{ statements }" into s->body; @var names the loop variable or is NULL. */
int parser_body(struct parser *p, struct wl_stmt *s);

/* workload_grammar.c: one statement, the keyword being current. */
int grammar_statement(struct parser *p, struct wl_stmt *s);

#endif
