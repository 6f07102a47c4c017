/*
 * workload_lex.c - cut the workload language into words; read its numbers.
 *
 * Way of the data: text -> lexer_next() -> struct token, one at a time, each
 * pointing back into the text. Words end at blanks, at ; { } and at quotes;
 * # opens a comment where a word could begin. What a word means is the
 * parser's business (workload.c).
 *
 * Invariants: at <= end; a token lies in one line; the lexer never reads past
 * the end, whatever the bytes are, and always gets to TOKEN_EOF or TOKEN_BAD.
 * No locks. ctype.h is not used: its answers depend on the locale.
 */
#include "workload_lex.h"

#include <string.h>

#include "workload.h"

bool lex_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool lex_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool lex_is_alnum(char c)
{
	return lex_is_alpha(c) || lex_is_digit(c);
}

void lexer_init(struct lexer *lex, const char *text, size_t len)
{
	lex->at = lex->line_start = text;
	lex->end = text + len;
	lex->line = 1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Bytes from 0x80 up are let through: file names may be UTF-8. */
static bool is_control(char c)
{
	return ((unsigned char)c < ' ' && c != '\n' && !is_blank(c)) ||
	       c == 0x7f;
}

static bool ends_word(char c)
{
	return is_blank(c) || is_control(c) || (c && strchr("\n;{}\"", c));
}

static void skip_blanks(struct lexer *lex)
{
	while (lex->at < lex->end && is_blank(*lex->at))
		lex->at++;
	if (lex->at < lex->end && *lex->at == '#')
		while (lex->at < lex->end && *lex->at != '\n')
			lex->at++;
}

static void token_set(struct token *tok, enum token_kind kind, const char *s,
		      size_t len)
{
	tok->kind = kind;
	tok->s = s;
	tok->len = len;
	tok->end = s + len;
}

static void token_bad(struct token *tok, const char *s, const char *bad)
{
	token_set(tok, TOKEN_BAD, s, 0);
	tok->bad = bad;
}

static void lex_string(struct lexer *lex, struct token *tok)
{
	const char *s = lex->at + 1, *e = s;

	while (e < lex->end && *e != '"' && *e != '\n' && !is_control(*e))
		e++;
	if (e == lex->end || *e != '"') {
		token_bad(tok, lex->at,
			  "expected a closing '\"', found none in this line");
		return;
	}
	token_set(tok, TOKEN_STRING, s, (size_t)(e - s));
	tok->end = lex->at = e + 1;
}

static void lex_word(struct lexer *lex, struct token *tok)
{
	const char *s = lex->at;

	while (lex->at < lex->end && !ends_word(*lex->at))
		lex->at++;
	token_set(tok, TOKEN_WORD, s, (size_t)(lex->at - s));
}

static void lex_mark(struct lexer *lex, struct token *tok, enum token_kind kind)
{
	token_set(tok, kind, lex->at, 1);
	lex->at++;
	if (*tok->s == '\n') {
		lex->line++;
		lex->line_start = lex->at;
	}
}

void lexer_next(struct lexer *lex, struct token *tok)
{
	char c;

	skip_blanks(lex);
	tok->line = lex->line;
	tok->bad = NULL;
	if (lex->at - lex->line_start > WL_LINE_MAX) {
		token_bad(tok, lex->at,
			  "expected at most 4096 bytes in a line, found more");
		return;
	}
	if (lex->at == lex->end) {
		token_set(tok, TOKEN_EOF, lex->at, 0);
		return;
	}
	c = *lex->at;
	if (is_control(c))
		token_bad(tok, lex->at,
			  "expected text, found a control character");
	else if (c == '\n' || c == ';')
		lex_mark(lex, tok, TOKEN_END);
	else if (c == '{' || c == '}')
		lex_mark(lex, tok, c == '{' ? TOKEN_OPEN : TOKEN_CLOSE);
	else if (c == '"')
		lex_string(lex, tok);
	else
		lex_word(lex, tok);
}

static int digit_value(char c)
{
	if (lex_is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Digits of @base from @s on. => how many characters were taken. */
static size_t digits_parse(const char *s, size_t len, int base, uint64_t *v,
			   bool *big)
{
	size_t i;

	*v = 0;
	*big = false;
	for (i = 0; i < len && digit_value(s[i]) < base; i++)
		if (__builtin_mul_overflow(*v, (uint64_t)base, v) ||
		    __builtin_add_overflow(*v, (uint64_t)digit_value(s[i]), v))
			*big = true;
	return i;
}

struct suffix {
	const char *text;
	uint64_t factor;
};

static const struct suffix sizes[] = {
	{ "", 1 }, { "K", 1ull << 10 }, { "M", 1ull << 20 },
	{ "G", 1ull << 30 }, { "T", 1ull << 40 }, { NULL, 0 }
};

static const struct suffix times[] = {
	{ "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 },
	{ NULL, 0 }
};

static enum number_status scale(uint64_t *v, bool big, const char *s,
				size_t len, const struct suffix *suffix)
{
	for (; suffix->text; suffix++)
		if (strlen(suffix->text) == len &&
		    !memcmp(suffix->text, s, len))
			break;
	if (!suffix->text)
		return NUMBER_NONE;
	if (big || __builtin_mul_overflow(*v, suffix->factor, v))
		return NUMBER_TOO_BIG;
	return NUMBER_OK;
}

enum number_status number_parse(const char *s, size_t len, uint64_t *v)
{
	bool hex = len > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
	size_t skip = hex ? 2 : 0, n;
	bool big;

	n = digits_parse(s + skip, len - skip, hex ? 16 : 10, v, &big);
	if (!n)
		return NUMBER_NONE;
	return scale(v, big, s + skip + n, len - skip - n, sizes);
}

enum number_status number_parse_time(const char *s, size_t len, uint64_t *ns)
{
	bool big;
	size_t n = digits_parse(s, len, 10, ns, &big);

	if (!n)
		return NUMBER_NONE;
	return scale(ns, big, s + n, len - n, times);
}

enum number_status number_parse_real(const char *s, size_t len, double max,
				     double *v)
{
	double unit = 1;
	bool point = false;
	size_t i;

	*v = 0;
	if (!len || !lex_is_digit(s[0]) || !lex_is_digit(s[len - 1]))
		return NUMBER_NONE;
	for (i = 0; i < len; i++) {
		if (s[i] == '.' && !point)
			point = true;
		else if (!lex_is_digit(s[i]))
			return NUMBER_NONE;
		else if (point)
			*v += (s[i] - '0') * (unit /= 10);
		else
			*v = *v * 10 + (s[i] - '0');
	}
	return *v <= max ? NUMBER_OK : NUMBER_TOO_BIG;
}
