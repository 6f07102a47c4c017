/*
 * fuzz_record.c - any bytes at all as a record: read, gone through, built.
 *
 *	make fuzz-record
 *
 * A record whose sums do not fit ends at once, so the sums are made to fit
 * first: the bytes are taken for records, and their sums are put right. What
 * is then built goes into a directory of its own, and must stay there.
 *
 * test_record.c includes this file and runs the same function over mutations
 * of a good record in every `make test`.
 */
#define XXH_INLINE_ALL
#include "replay/build.h"
#include "replay/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_assert(int ok)
{
	if (!ok)
		abort();
}

/* The sum of the record at @head, as format.c makes it. */
static uint64_t fuzz_sum(const uint8_t *head, const struct record *record)
{
	uint64_t sum = record_sum(head + record->size, record->payload);

	sum = XXH3_64bits_withSeed(head, 72, sum);
	if (record->size > RECORD_HEAD)
		sum = XXH3_64bits_withSeed(head + RECORD_HEAD,
					   record->size - RECORD_HEAD, sum);
	return sum;
}

/* Number the records and put their sums right, as far as there are any. */
static void fuzz_repair(uint8_t *data, size_t size)
{
	size_t at = RECORD_FILE_HEAD;
	struct record record;
	uint64_t number = 0, sum;

	if (size < at)
		return;
	sum = XXH3_64bits(data, 56);
	memcpy(data + 56, &sum, 8);
	while (!record_get(data + at, size - at, &record) &&
	       record.size + (size_t)record.payload <= size - at) {
		number++;
		memcpy(data + at + 16, &number, 8);
		sum = fuzz_sum(data + at, &record);
		memcpy(data + at + 72, &sum, 8);
		at += record.size + record.payload;
	}
}

/* A file of 2^60 bytes is legal, and no fun to build in a memory. */
static int fuzz_is_small(const struct history *history)
{
	const struct change *change;
	uint64_t i;

	for (i = 1; i <= history->last; i++) {
		change = history->records[i];
		if (change && !change_is_names(change) &&
		    (change->length > 1 << 24 || change->offset > 1 << 24))
			return 0;
	}
	return 1;
}

static char top_dir[64];

/* A fuzzer does not end by exit(): leave nothing behind at any time. */
static void fuzz_clean(void)
{
	if (*top_dir)
		rmdir(top_dir);
	*top_dir = '\0';
}

static void fuzz_build(struct state *state, int which)
{
	static char dir[96];
	struct build build = { .base = -1 };
	struct outcome outcome;
	uint64_t sum;

	if (!*top_dir) {
		strcpy(top_dir, "/dev/shm/fuzz-record.XXXXXX");
		fuzz_assert(mkdtemp(top_dir) != NULL);
		snprintf(dir, sizeof(dir), "%s/x", top_dir);
	}
	outcome_open(&outcome, state);
	if (which == 1)
		outcome_synced(&outcome);
	else if (which == 2)
		outcome_random(&outcome, state->at);
	outcome_legalise(&outcome);
	sum = outcome_sum(&outcome);
	outcome_legalise(&outcome);
	fuzz_assert(outcome_sum(&outcome) == sum);
	build_outcome(&build, &outcome, dir);
	outcome_close(&outcome);
	fuzz_assert(!build_remove(dir));
	/* Nothing came beside it. */
	fuzz_assert(!rmdir(top_dir) && !mkdir(top_dir, 0700));
}

static void fuzz_replay(struct history *history, int build)
{
	static char sink[1 << 16];
	FILE *out = fmemopen(sink, sizeof(sink), "w");
	struct state state;
	int strict, which;

	fuzz_assert(out != NULL);
	show_info(out, history);
	show_list(out, history);
	fclose(out);
	for (strict = 0; strict < 2; strict++) {
		state_open(&state, history, strict);
		state_advance(&state, history->last / 2);
		for (which = 0; build && which < 3; which++)
			fuzz_build(&state, which);
		state_advance(&state, history->last);
		for (which = 0; build && which < 3; which++)
			fuzz_build(&state, which);
		state_close(&state);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct history history;
	uint8_t *copy;
	int fd, err;

	fd = memfd_create("record", MFD_CLOEXEC);
	copy = malloc(size + 1);
	fuzz_assert(fd >= 0 && copy);
	memcpy(copy, data, size);
	fuzz_repair(copy, size);
	fuzz_assert(write(fd, copy, size) == (ssize_t)size);
	free(copy);
	err = history_load(&history, fd, NULL);
	if (!err)
		fuzz_replay(&history, fuzz_is_small(&history));
	history_free(&history);
	fuzz_clean();
	return 0;
}
