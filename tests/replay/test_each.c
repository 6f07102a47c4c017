/*
 * test_each.c - pagerfs-replay each: it tries what there is to try. On records
 * written by hand; the check writes down what it sees and never fails.
 */
#include "tests/replay/by_hand.h"
#include "replay/each.h"

/* Run @command, which appends to $SEEN, on every state of the record, at
 * @points moments at most (0: all). => How many there were. */
static uint64_t each_at(uint64_t points, const char *command)
{
	struct build build = { .base = -1 };
	struct each each = {
		.command = command, .how = "", .record = path,
		.limit = 1000, .points = points, .build = &build,
	};

	record_writer_close(&writer);
	assert_int_equal(history_load(&history, open(path, O_RDONLY), NULL),
			 0);
	assert_null(history.nonsense);
	unlink(getenv("SEEN"));
	assert_int_equal(each_run(&each, &history), 0);
	assert_int_equal(each.failed, 0);
	history_free(&history);
	return each.looked_at;
}

static void each(const char *command)
{
	each_at(0, command);
}

/* Is @line one of what it wrote? */
static bool seen(const char *line)
{
	FILE *in = fopen(getenv("SEEN"), "re");
	char one[256];
	bool found = false;

	assert_non_null(in);
	while (!found && fgets(one, sizeof(one), in)) {
		one[strcspn(one, "\n")] = '\0';
		found = !strcmp(one, line);
	}
	fclose(in);
	return found;
}

/* Whole while it is in flight, and then what of it was acknowledged. */
static void test_short_write(void **s)
{
	(void)s;
	record_old();
	end(begin_write(2, 2048, 2048, 'a', 0), 512, 0);
	each("wc -c <f >>\"$SEEN\"");
	assert_true(seen("2048"));
	assert_true(seen("4096"));
	assert_true(seen("2560"));
}

/* As many moments as are wanted, if there are so many, and the end always. */
static void test_points(void **s)
{
	uint64_t points, i;

	(void)s;
	for (points = 0; points < 10; points++) {
		record_old();
		for (i = 0; i < 6; i++)
			write_bytes(2, 0, 1, 'a' + i);
		assert_int_equal(each_at(points, "head -c 1 f >>\"$SEEN\"; "
					 "echo >>\"$SEEN\""),
				 points && points < 7 ? points : 7);
		assert_true(seen("f"));
	}
}

/* What all of it comes to after record @at, as a sum. */
static uint64_t sum_at(uint64_t at)
{
	uint64_t sum;

	state_advance(&state, at);
	outcome_open(&outcome, &state);
	sum = outcome_sum(&outcome);
	outcome_close(&outcome);
	return sum;
}

/*
 * In flight the later beginning lies above, and then the later end: that is
 * another state. Writes that do not meet make none by ending.
 */
static void test_overtaken(void **s)
{
	uint64_t first, second, apart, begun, both, sum;

	(void)s;
	record_old();
	first = begin_write(2, 0, 1024, 'a', 0);
	second = begin_write(2, 512, 1024, 'b', 0);
	apart = begun = begin_write(2, 1536, 512, 'c', 0);
	apart = end(apart, 512, 0);
	second = end(second, 1024, 0);
	both = end(first, 1024, 0);
	record_writer_close(&writer);
	assert_int_equal(history_load(&history, open(path, O_RDONLY), NULL),
			 0);
	state_open(&state, &history, false);
	sum = sum_at(begun);
	assert_true(sum == sum_at(apart));
	assert_true(sum != sum_at(second));
	sum = sum_at(second);
	assert_true(sum == sum_at(both));
	state_close(&state);
	history_free(&history);
}

/* What a new file is made as, not what was asked for. */
static void test_make(void **s)
{
	struct record_attr attr = { S_IFREG | 0640, 0, 0, 0 };
	uint8_t bytes[RECORD_ATTR];
	uint64_t op;

	(void)s;
	record_new();
	record_put_attr(bytes, &attr);
	op = begin_make(2, 1, "f", S_IFREG | 0666, 0);
	put((struct record){ .type = RECORD_END, .op = op }, bytes,
	    sizeof(bytes));
	each("test ! -e f || stat -c %a f >>\"$SEEN\"");
	assert_true(seen("640"));
	assert_false(seen("666"));
}

/* What was refused has done nothing, also while it was in flight. */
static void test_refused(void **s)
{
	uint8_t attr[RECORD_ATTR] = { 0 };

	(void)s;
	record_old();
	begin_make(3, 1, "d", S_IFDIR | 0755, RECORD_BASE);
	begin_make(4, 3, "in", S_IFREG | 0644, RECORD_BASE);
	end(begin_remove(1, "d", 0x200), 0, -ENOTEMPTY);
	end(begin_make(5, 1, "f", S_IFIFO | 0644, 0), 0, -EEXIST);
	end(put((struct record){ .type = RECORD_SETATTR, .file = 2,
				 .arg = RECORD_SET_SIZE,
				 .length = INT64_MAX }, attr, sizeof(attr)),
	    0, -EFBIG);
	end(begin_write(2, INT64_MAX - 512, 512, 'a', 0), 0, -EFBIG);
	each("test -e d/in && test -f f && stat -c %s f >>\"$SEEN\"");
	assert_true(seen("2048"));
}

static int make_seen(void **s)
{
	char file[96];

	if (make_dir(s))
		return -1;
	snprintf(file, sizeof(file), "%s/seen", top);
	setenv("SEEN", file, 1);
	return setenv("TMPDIR", top, 1);
}

static int remove_seen(void **s)
{
	unlink(getenv("SEEN"));
	return remove_dir(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_write),
		cmocka_unit_test(test_points),
		cmocka_unit_test(test_overtaken),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, make_seen, remove_seen);
}
