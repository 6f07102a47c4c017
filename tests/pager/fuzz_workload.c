/*
 * fuzz_workload.c - any bytes at all through the parser of the workload
 * language.
 *
 *	clang -g -D_GNU_SOURCE -I. -fsanitize=fuzzer,address,undefined \
 *		tests/pager/fuzz_workload.c pager/workload*.c
 *	./a.out docs/examples
 *
 * test_workload.c includes this file and runs the same function over
 * mutations of the examples, for a second, in every `make test`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pager/workload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_assert(int ok)
{
	if (!ok)
		abort();
}

/* A block's statements are as many as it says, and in its text. */
static void fuzz_walk(const struct wl_stmt *s, unsigned depth)
{
	fuzz_assert(depth <= WL_NEST_MAX + 1);
	for (; s; s = s->next) {
		fuzz_assert(s->op < WL_OPS && s->line > 0);
		fuzz_assert(s->text_len > 0);
		fuzz_assert(s->text[s->text_len - 1] != '\n');
		fuzz_walk(s->body, depth + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program *prog;
	struct wl_error err;
	int r = program_parse("fuzz", (const char *)data, size, &prog, &err);

	if (r) {
		fuzz_assert(!prog && r == -EINVAL && err.line > 0);
		fuzz_assert(!strncmp(err.message, "fuzz:", 5));
		fuzz_assert(!strchr(err.message, '\n'));
		fuzz_assert(strstr(err.message, "expected ") != NULL);
		return 0;
	}
	fuzz_walk(prog->first, 0);
	program_free(prog);
	return 0;
}
