/*
 * workload_lex.h - cut the workload language into words; read its numbers.
 *
 * Tokens point into the text, which must stay. No state but the struct, no
 * locks.
 */
#ifndef PAGER_WORKLOAD_LEX_H
#define PAGER_WORKLOAD_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum token_kind {
	TOKEN_WORD,
	TOKEN_STRING,		/* "...": s and len are what is between */
	TOKEN_OPEN,		/* { */
	TOKEN_CLOSE,		/* } */
	TOKEN_END,		/* newline or ; */
	TOKEN_EOF,
	TOKEN_BAD,		/* bad: what was expected, and what found */
};

struct token {
	enum token_kind kind;
	unsigned line;
	const char *s;
	size_t len;
	const char *end;	/* past the token, quotes included */
	const char *bad;
};

struct lexer {
	const char *at, *end;
	const char *line_start;
	unsigned line;
};

void lexer_init(struct lexer *lex, const char *text, size_t len);
/* The next token; TOKEN_EOF and TOKEN_BAD come again and again. */
void lexer_next(struct lexer *lex, struct token *tok);

enum number_status { NUMBER_OK, NUMBER_NONE, NUMBER_TOO_BIG };

/* 123, 0x7f, 64K, 16M, 2G, 1T; all of @s. */
enum number_status number_parse(const char *s, size_t len, uint64_t *v);
/* 250ns, 10us, 10ms, 2s; to nanoseconds. */
enum number_status number_parse_time(const char *s, size_t len, uint64_t *ns);
/* 0.99, 1, 1.25; at most @max. */
enum number_status number_parse_real(const char *s, size_t len, double max,
				     double *v);

/* Characters of $var, and of a name after its first. */
bool lex_is_alpha(char c);
bool lex_is_digit(char c);
bool lex_is_alnum(char c);

#endif
