/*
 * view_text.c - a text that grows.
 *
 * The frames of a large machine are a million lines, so the numbers are put
 * in by hand: printf() costs several times the rest of the line. Capacity
 * doubles, so a text of n bytes is copied O(n) in all.
 *
 * Invariant: len <= cap. No locks: a text belongs to one thread.
 */
#include "fs/view_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 64	/* the longest number, with its padding */

void view_text_free(struct view_text *t)
{
	free(t->data);
	*t = (struct view_text){0};
}

bool view_text_reserve(struct view_text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : 1024;
	char *data;

	if (t->failed)
		return false;
	if (n <= t->cap - t->len)
		return true;
	while (cap - t->len < n)
		cap *= 2;
	data = realloc(t->data, cap);
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->cap = cap;
	return true;
}

void view_text_bytes(struct view_text *t, const char *bytes, size_t n)
{
	if (!n || !view_text_reserve(t, n))
		return;
	memcpy(t->data + t->len, bytes, n);
	t->len += n;
}

void view_text_str(struct view_text *t, const char *s)
{
	view_text_bytes(t, s, strlen(s));
}

void view_text_char(struct view_text *t, char c)
{
	view_text_bytes(t, &c, 1);
}

static void text_fill(struct view_text *t, char c, size_t n)
{
	if (!n || !view_text_reserve(t, n))
		return;
	memset(t->data + t->len, c, n);
	t->len += n;
}

void view_text_left(struct view_text *t, const char *s, unsigned width)
{
	size_t n = strlen(s);

	view_text_bytes(t, s, n);
	text_fill(t, ' ', n < width ? width - n : 0);
}

void view_text_right(struct view_text *t, const char *s, unsigned width)
{
	size_t n = strlen(s);

	text_fill(t, ' ', n < width ? width - n : 0);
	view_text_bytes(t, s, n);
}

static void text_number(struct view_text *t, uint64_t v, unsigned base,
			unsigned width, char pad)
{
	char digits[NUMBER_MAX];
	unsigned at = NUMBER_MAX;

	do {
		digits[--at] = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	while (at && NUMBER_MAX - at < width)
		digits[--at] = pad;
	view_text_bytes(t, digits + at, NUMBER_MAX - at);
}

void view_text_dec(struct view_text *t, uint64_t v, unsigned width)
{
	text_number(t, v, 10, width, ' ');
}

void view_text_hex(struct view_text *t, uint64_t v, unsigned width, char pad)
{
	text_number(t, v, 16, width, pad);
}

void view_text_path(struct view_text *t, const char *path,
		    const char *special)
{
	for (; *path; path++) {
		if (strchr(special, *path))
			view_text_printf(t, "\\%03o", (unsigned char)*path);
		else
			view_text_char(t, *path);
	}
}

void view_text_printf(struct view_text *t, const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(line))
		n = sizeof(line) - 1;
	view_text_bytes(t, line, n);
}
