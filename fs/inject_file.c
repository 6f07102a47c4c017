/*
 * inject_file.c - the rules the command line names: -o seed, rules, inject.
 */
#include "fs/inject.h"
#include "fs/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INJECT_FILE_MAX	(1u << 20)

/* => 0 or -errno; the caller frees @text. */
static int inject_read(const char *name, char **text, size_t *length)
{
	FILE *in = fopen(name, "re");
	int err = 0;

	*text = malloc(INJECT_FILE_MAX);
	if (!in || !*text) {
		err = errno ? -errno : -ENOMEM;
	} else {
		*length = fread(*text, 1, INJECT_FILE_MAX, in);
		if (ferror(in))
			err = -errno;
		else if (*length == INJECT_FILE_MAX)
			err = -EFBIG;
	}
	if (in)
		fclose(in);
	return err;
}

static int inject_add(const char *text, size_t length, const char *where)
{
	char message[INJECT_MESSAGE];
	int err = inject_set(text, length, where, true, message);

	if (err)
		report("%s", message);
	return err;
}

int inject_load(const struct options *options)
{
	size_t length = 0;
	char *text;
	int err = 0;

	inject_seed(options->seed);
	if (options->rules) {
		err = inject_read(options->rules, &text, &length);
		if (err)
			report("rules=%s: %s", options->rules, strerror(-err));
		else
			err = inject_add(text, length, options->rules);
		free(text);
	}
	if (!err && options->inject)
		err = inject_add(options->inject, strlen(options->inject),
				 "inject=");
	return err;
}
