/*
 * view_text.h - a text that grows: what the formatters write into.
 *
 * Appending never fails in the middle: when memory runs out the text is
 * marked, later appends do nothing, and the reader of the file gets -ENOMEM.
 */
#ifndef FS_VIEW_TEXT_H
#define FS_VIEW_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view_text {
	char *data;
	size_t len, cap;
	bool failed;
};

/* Start from {0}. */
void view_text_free(struct view_text *t);
/* Room for @n more bytes, so that what is known to be long grows once. */
bool view_text_reserve(struct view_text *t, size_t n);

void view_text_bytes(struct view_text *t, const char *bytes, size_t n);
void view_text_str(struct view_text *t, const char *s);
void view_text_char(struct view_text *t, char c);
/* @s in a column: padded with spaces to @width; left or right. */
void view_text_left(struct view_text *t, const char *s, unsigned width);
void view_text_right(struct view_text *t, const char *s, unsigned width);
/* Decimal, right-aligned; hexadecimal, padded with @pad. */
void view_text_dec(struct view_text *t, uint64_t v, unsigned width);
void view_text_hex(struct view_text *t, uint64_t v, unsigned width, char pad);
/* A path with every byte of @special, and the backslash if it is among
 * them, as \ooo: how Linux keeps one line one record. */
void view_text_path(struct view_text *t, const char *path,
		    const char *special);
void view_text_printf(struct view_text *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
