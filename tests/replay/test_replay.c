/*
 * test_replay.c - what a crash may leave, promise by promise (replay/state.h),
 * on records written by hand; and at random against a second, simple model.
 * test_names.c has what concerns names.
 */
#include "tests/replay/by_hand.h"

/* ---- fsync ---- */

static void test_fsync(void **s)
{
	(void)s;
	record_old();
	write_bytes(2, 0, 512, 'a');
	fsync_id(2);
	write_bytes(2, 512, 512, 'b');
	look(false);
	build_synced();
	assert_string_equal(content("f"), "aaoooooo");
	build_ended();
	assert_string_equal(content("f"), "aabboooo");
	RANDOMS("f", "aaoooooo", "aabboooo");
	look_away();
}

/* An fsync covers what had ended when it began, and nothing that came later;
 * if it fails or does not end, nothing at all. */
static void test_fsync_covers(void **s)
{
	uint64_t flying, fsync;

	(void)s;
	record_old();
	flying = begin_write(2, 0, 512, 'a', 0);
	write_bytes(2, 512, 512, 'b');
	fsync = begin_fsync(2);
	write_bytes(2, 1024, 512, 'c');
	end(flying, 512, 0);
	end(fsync, 0, 0);
	look(false);
	build_synced();
	assert_string_equal(content("f"), "oobboooo");
	look_away();

	record_old();
	write_bytes(2, 0, 512, 'a');
	end(begin_fsync(2), 0, -EIO);
	write_bytes(2, 512, 512, 'b');
	begin_fsync(2);
	look(false);
	build_synced();
	assert_string_equal(content("f"), "oooooooo");
	look_away();
}

static void test_other_file(void **s)
{
	(void)s;
	record_old();
	begin_make(3, 1, "g", S_IFREG | 0644, RECORD_BASE);
	write_bytes(2, 0, 512, 'a');
	write_bytes(3, 0, 512, 'b');
	fsync_id(3);
	look(false);
	build_synced();
	assert_string_equal(content("f"), "oooooooo");
	assert_string_equal(content("g"), "bb");
	look_away();
}

/* What is left of a write on both sides of a later one. */
static void test_overlaid(void **s)
{
	char bytes[2048];
	int i;

	(void)s;
	record_old();
	for (i = 0; i < 2048; i++)
		bytes[i] = 'a' + i / 256;
	end(put((struct record){ .type = RECORD_WRITE, .file = 2,
				 .length = 2048 }, bytes, 2048), 2048, 0);
	fsync_id(2);
	write_bytes(2, 768, 512, 'X');
	fsync_id(2);
	look(false);
	build_synced();
	assert_string_equal(content("f"), "abcXXfgh");
	look_away();
}

/* ---- sectors ---- */

static void test_torn(void **s)
{
	uint64_t op;

	(void)s;
	record_old();
	op = write_bytes(2, 0, 1024, 'a');
	look(false);
	build_without_sector(op, 1);
	assert_string_equal(content("f"), "aaoooooo");
	build_without_sector(op, 0);
	assert_string_equal(content("f"), "ooaaoooo");
	RANDOMS("f", "oooooooo", "aaoooooo", "ooaaoooo", "aaaaoooo");
	look_away();
}

/* A part of a sector goes with the whole, and with what was in it before. */
static void test_part_of_sector(void **s)
{
	(void)s;
	record_old();
	write_bytes(2, 0, 256, 'a');
	write_bytes(2, 256, 512, 'b');
	look(false);
	RANDOMS("f", "oooooooo", "aooooooo", "aboooooo", "oobooooo",
		"aobooooo", "abbooooo");
	look_away();
}

/* The later of two writes to a sector never comes without being the last. */
static void test_overwritten(void **s)
{
	(void)s;
	record_old();
	write_bytes(2, 0, 512, 'a');
	write_bytes(2, 0, 512, 'b');
	look(false);
	RANDOMS("f", "oooooooo", "aaoooooo", "bboooooo");
	look_away();
	record_old();
	write_bytes(2, 0, 512, 'a');
	fsync_id(2);
	write_bytes(2, 0, 512, 'b');
	look(false);
	RANDOMS("f", "aaoooooo", "bboooooo");
	look_away();
}

/* ---- O_SYNC, failures, in flight ---- */

static void test_sync_write(void **s)
{
	(void)s;
	record_old();
	write_bytes(2, 0, 512, 'a');
	end(begin_write(2, 512, 512, 'b', RECORD_SYNC), 512, 0);
	begin_write(2, 1024, 512, 'c', RECORD_SYNC);
	look(false);
	build_synced();
	assert_string_equal(content("f"), "oobboooo");
	RANDOMS("f", "oobboooo", "aabboooo", "oobbccoo", "aabbccoo");
	look_away();
}

static void test_failed_write(void **s)
{
	(void)s;
	record_old();
	end(begin_write(2, 0, 1024, 'a', 0), 512, 0);
	look(false);
	build_ended();
	assert_string_equal(content("f"), "aaoooooo");
	look_away();
	record_old();
	end(begin_write(2, 0, 512, 'a', 0), 0, -EIO);
	look(false);
	build_ended();
	assert_string_equal(content("f"), "oooooooo");
	RANDOMS("f", "oooooooo", "aaoooooo");
	look_away();
	/* Refused, and not tried. */
	record_old();
	end(begin_write(2, 0, 512, 'a', 0), 0, -EFBIG);
	look(false);
	RANDOMS("f", "oooooooo");
	look_away();
	/* Refused behind what was possible, and that is there. */
	record_old();
	end(begin_write(2, 0, 1024, 'a', 0), 512, -EFBIG);
	look(false);
	build_ended();
	assert_string_equal(content("f"), "aaoooooo");
	look_away();
	/* A part of a sector, that failed: with what was in it before. */
	record_old();
	write_bytes(2, 0, 256, 'a');
	end(begin_write(2, 256, 256, 'b', 0), 0, -EIO);
	look(false);
	RANDOMS("f", "oooooooo", "aooooooo", "aboooooo");
	look_away();
	/* An fsync that went well has nothing to say about it. */
	record_old();
	end(begin_write(2, 0, 512, 'a', 0), 0, -EIO);
	fsync_id(2);
	look(false);
	RANDOMS("f", "oooooooo");
	look_away();
}

/* Of a write that came back short only what was acknowledged is there, what-
 * ever of that is missing; but at random the rest may be, too. */
static void test_short_write(void **s)
{
	char list[64];
	uint64_t op;

	(void)s;
	record_old();
	op = begin_write(2, 0, 2048, 'a', 0);
	end(op, 768, 0);
	look(false);
	build_without_sector(op, 0);
	assert_string_equal(content("f"), "ooaooooo");
	build_without_sector(op, 1);
	assert_string_equal(content("f"), "aaoooooo");
	RANDOMS("f", "oooooooo", "aaaooooo", "aaoooooo", "ooaooooo",
		"aaaaaaoo", "aaaaaaaa", "aaaaooaa", "ooooaaoo", "ooaaaaoo",
		"ooaaaaaa", "ooaaooaa", "ooooaaaa", "ooooooaa", "aaooaaoo",
		"aaooaaaa", "aaooooaa");
	look_away();

	/* Its size is that of what was acknowledged. */
	record_old();
	op = begin_write(2, 2048, 2048, 'a', 0);
	end(op, 768, 0);
	write_bytes(2, 2048 + 1024, 256, 'b');
	look(false);
	snprintf(list, sizeof(list), "%u:data,%u", (unsigned)op,
		 (unsigned)op + 2);
	build_without(list);
	assert_string_equal(content("f"), "oooooooo...");
	/* What comes behind it does not bring back what failed. */
	snprintf(list, sizeof(list), "%u", (unsigned)op);
	build_without(list);
	assert_string_equal(content("f"), "oooooooo....b");
	look_away();
}

static void test_in_flight(void **s)
{
	(void)s;
	record_old();
	begin_write(2, 0, 512, 'a', 0);
	look(false);
	build_ended();
	assert_string_equal(content("f"), "oooooooo");
	outcome_all(&outcome);
	build();
	assert_string_equal(content("f"), "aaoooooo");
	look_away();
}

/* Ended for its client, and not yet, then at last, in the files. */
static void test_late(void **s)
{
	uint64_t late, sync;

	(void)s;
	record_old();
	begin_write(2, 0, 512, 'a', 0);
	write_bytes(2, 0, 512, 'b');
	fsync_id(2);
	look(false);
	RANDOMS("f", "bboooooo", "aaoooooo");
	look_away();
	/* It is over, and what comes then comes after it. */
	record_old();
	late = begin_write(2, 0, 512, 'a', 0);
	end_late(late, 512, 0);
	write_bytes(2, 0, 512, 'b');
	fsync_id(2);
	look(false);
	RANDOMS("f", "bboooooo");
	look_away();
	/* No client was told that this is durable. */
	record_old();
	end_late(begin_write(2, 0, 512, 'a', RECORD_SYNC), 512, 0);
	sync = begin_fsync(2);
	end_late(sync, 0, 0);
	look(false);
	assert_int_equal(state.fsyncs, 0);
	RANDOMS("f", "oooooooo", "aaoooooo");
	look_away();
}

/* ---- sizes and holes ---- */

/* A rewritten file: never its old bytes behind the truncation. */
static void test_truncate(void **s)
{
	(void)s;
	record_old();
	truncate_id(2, 0);
	write_bytes(2, 0, 512, 'a');
	look(false);
	RANDOMS("f", "oooooooo", "", "..", "aa");
	look_away();
}

static void test_append(void **s)
{
	(void)s;
	record_old();
	write_bytes(2, 2048, 512, 'a');
	write_bytes(2, 2560, 512, 'b');
	look(false);
	RANDOMS("f", "oooooooo", "ooooooooaa", "oooooooo..", "oooooooo..bb",
		"ooooooooaabb", "ooooooooaa..", "oooooooo....");
	look_away();
}

/* What the order of two that were in flight at once matters for is counted. */
static void test_overlaps(void **s)
{
	static const struct {
		struct record a, b;
		uint64_t count;
	} pairs[] = {
#define WRITE(at, n) { .type = RECORD_WRITE, .offset = at, .length = n }
#define SIZE(n) { .type = RECORD_SETATTR, .arg = RECORD_SET_SIZE, .length = n }
#define MODE { .type = RECORD_SETATTR, .arg = RECORD_SET_MODE }
#define ROOM(m, at, n) { .type = RECORD_FALLOCATE, .arg = m, .offset = at, \
			 .length = n }
#define PUNCH (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
		{ WRITE(0, 512), WRITE(511, 1), 1 },
		{ WRITE(0, 512), WRITE(512, 1), 0 },
		{ WRITE(0, 512), SIZE(0), 1 },
		{ SIZE(0), WRITE(0, 512), 1 },
		{ SIZE(512), WRITE(0, 512), 0 },
		{ SIZE(0), SIZE(0), 0 },
		{ SIZE(0), SIZE(1), 1 },
		{ SIZE(0), MODE, 0 },
		{ MODE, MODE, 1 },
		{ MODE, WRITE(0, 512), 0 },
		{ ROOM(0, 0, 4096), SIZE(0), 1 },
		{ ROOM(PUNCH, 0, 4096), SIZE(0), 0 },
		{ ROOM(0, 0, 4096), WRITE(0, 1), 0 },
		{ ROOM(PUNCH, 0, 4096), WRITE(4095, 1), 1 },
		{ WRITE(4096, 1), ROOM(PUNCH, 0, 4096), 0 },
		{ ROOM(PUNCH, 0, 4096), ROOM(0, 0, 4096), 0 },
	};
	uint64_t first, second;
	size_t i;

	(void)s;
	for (i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		record_old();
		first = begin_any(2, pairs[i].a);
		second = begin_any(2, pairs[i].b);
		end(first, 0, 0);
		end(second, 0, 0);
		end(begin_any(2, pairs[i].a), 0, 0);
		end(begin_any(2, pairs[i].b), 0, 0);
		look(false);
		assert_int_equal(state.overlaps, pairs[i].count);
		look_away();
	}
}

/* It went elsewhere than it was thought to when it began; in flight, too. */
static void test_placed(void **s)
{
	uint64_t op, i;
	struct record end_placed = {
		.type = RECORD_END, .flags = RECORD_PLACED, .length = 512,
		.offset = 512,
	};

	(void)s;
	for (i = 0; i < 2; i++) {
		record_old();
		op = begin_write(2, 2048, 512, 'a', 0);
		end_placed.op = op;
		put(end_placed, "", 0);
		look_at(false, op + i);
		outcome_all(&outcome);
		build();
		assert_string_equal(content("f"), "ooaaoooo");
		look_away();
	}
}

static void test_holes(void **s)
{
	uint64_t op;

	(void)s;
	record_old();
	op = put((struct record){ .type = RECORD_FALLOCATE, .file = 2,
				  .offset = 512, .length = 512,
				  .arg = FALLOC_FL_PUNCH_HOLE |
				  FALLOC_FL_KEEP_SIZE }, "", 0);
	end(op, 0, 0);
	write_bytes(2, 512, 512, 'a');
	op = put((struct record){ .type = RECORD_FALLOCATE, .file = 2,
				  .offset = 2048, .length = 512 }, "", 0);
	end(op, 0, 0);
	look(false);
	build_ended();
	assert_string_equal(content("f"), "ooaaoooo..");
	RANDOMS("f", "oooooooo", "oo..oooo", "ooaaoooo", "oo..oooo..",
		"ooaaoooo..");
	look_away();
}

static void test_datasync(void **s)
{
	uint8_t attr[RECORD_ATTR] = { 0 };
	struct record_attr mode = { 0600, 0, 0, 0 };
	char file[128];
	struct stat st;
	uint64_t op;

	(void)s;
	record_old();
	record_put_attr(attr, &mode);
	op = put((struct record){ .type = RECORD_SETATTR, .file = 2,
				  .arg = RECORD_SET_MODE }, attr,
		 sizeof(attr));
	end(op, 0, 0);
	write_bytes(2, 2048, 512, 'a');
	end(put((struct record){ .type = RECORD_FSYNC, .file = 2,
				 .flags = RECORD_DATASYNC }, "", 0), 0, 0);
	look(false);
	build_synced();
	snprintf(file, sizeof(file), "%s/f", dir);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_string_equal(content("f"), "ooooooooaa");
	build_ended();
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	look_away();
}

/* ---- lists ---- */

static void test_list(void **s)
{
	uint64_t a, b, c;
	char list[64], *back, *wrong;

	(void)s;
	record_old();
	a = write_bytes(2, 0, 512, 'a');
	b = write_bytes(2, 512, 1536, 'b');
	c = write_bytes(2, 0, 2048, 'c');
	look(false);
	snprintf(list, sizeof(list), "%u,%u:0-1,%u:data", (unsigned)a,
		 (unsigned)b, (unsigned)c);
	build_without(list);
	back = outcome_list(&outcome);
	assert_string_equal(back, list);
	assert_string_equal(content("f"), "oooooobb");
	free(back);
	outcome_all(&outcome);
	back = outcome_list(&outcome);
	assert_string_equal(back, "");
	free(back);
	outcome_synced(&outcome);
	back = outcome_list(&outcome);
	snprintf(list, sizeof(list), "%u-%u", (unsigned)a, (unsigned)c);
	assert_string_equal(back, list);
	free(back);
	wrong = outcome_drop_list(&outcome, "1");
	assert_non_null(strstr(wrong, "1 is no change"));
	free(wrong);
	for (back = "x\0,\0" "5:\0" "5 6\0" "6-5\0"; *back;
	     back += strlen(back) + 1) {
		wrong = outcome_drop_list(&outcome, back);
		assert_non_null(wrong);
		free(wrong);
	}
	look_away();
}

/* ---- records that make no sense ---- */

static void nonsense(const char *why)
{
	record_writer_close(&writer);
	assert_int_equal(history_load(&history, open(path, O_RDONLY), NULL),
			 0);
	assert_non_null(history.nonsense);
	assert_non_null(strstr(history.nonsense, why));
	history_free(&history);
}

static void test_nonsense(void **s)
{
	static const char *const names[] = { "..", ".", "a/b", "", "/" };
	size_t i;

	(void)s;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		record_new();
		make(2, 1, names[i], S_IFREG | 0644);
		nonsense("no proper name");
		record_new();
		rename_in(1, "f", 1, names[i], 0);
		nonsense("no proper new name");
	}
	record_new();
	end(77, 0, 0);
	nonsense("ends nothing");
	record_new();
	end(end(begin_write(2, 0, 5, 'a', 0), 5, 0), 5, 0);
	nonsense("ends nothing");
	record_new();
	end(begin_write(2, 0, 5, 'a', 0), 6, 0);
	nonsense("no possible end");
	record_new();
	put((struct record){ .type = RECORD_END, .flags = RECORD_PLACED,
			     .op = begin_write(2, 0, 5, 'a', 0), .length = 5,
			     .offset = 1ull << 63 }, "", 0);
	nonsense("no possible end");
	record_new();
	truncate_id(2, 1ull << 63);
	nonsense("beyond any file's end");
}

/* An operation of a later version, which may be skipped, and its end. */
static void test_optional(void **s)
{
	uint64_t op;

	(void)s;
	record_old();
	op = put((struct record){ .type = 99, .flags = RECORD_OPTIONAL,
				  .file = 2 }, "?", 1);
	put((struct record){ .type = RECORD_END, .flags = RECORD_OPTIONAL,
			     .op = op }, "", 0);
	write_bytes(2, 0, 512, 'a');
	look(false);
	build_ended();
	assert_string_equal(content("f"), "aaoooooo");
	look_away();
}

/* What clients may ask for, refused by a file system or not, makes sense. */
static void test_far_away(void **s)
{
	uint8_t attr[RECORD_ATTR] = { 0 };

	(void)s;
	record_old();
	end(put((struct record){ .type = RECORD_SETATTR, .file = 2,
				 .arg = RECORD_SET_SIZE,
				 .length = INT64_MAX }, attr, sizeof(attr)),
	    0, -EFBIG);
	end(put((struct record){ .type = RECORD_READ, .file = 2,
				 .offset = INT64_MAX - 4095,
				 .length = 4096 }, "", 0), 0, 0);
	end(begin_write(2, INT64_MAX - 512, 512, 'a', 0), 0, -EFBIG);
	end(put((struct record){ .type = RECORD_FALLOCATE, .file = 2,
				 .offset = 1ull << 62,
				 .length = 1ull << 62 }, "", 0), 0, -EFBIG);
	write_bytes(2, 0, 512, 'b');
	look(false);
	build_ended();
	assert_string_equal(content("f"), "bboooooo");
	look_away();
}

/* ---- at random, against a simple model ---- */

#define SECTORS	8
#define ROUNDS	60
#define STEPS	60

/* For each sector: all that was ever written, and from where on it may be. */
struct simple {
	int values[SECTORS][STEPS + 1];
	int count[SECTORS], least[SECTORS];
};

static void simple_step(struct simple *simple, unsigned int *seed, int step)
{
	int first = rand_r(seed) % SECTORS, i;
	int count = 1 + rand_r(seed) % (SECTORS - first);

	if (rand_r(seed) % 6 == 0) {
		fsync_id(2);
		for (i = 0; i < SECTORS; i++)
			simple->least[i] = simple->count[i] - 1;
		return;
	}
	write_bytes(2, first * 512, count * 512, 'A' + step);
	for (i = first; i < first + count; i++)
		simple->values[i][simple->count[i]++] = 'A' + step;
}

static void simple_check(const struct simple *simple, unsigned int seed)
{
	const char *letters = content("f");
	int i, at;

	assert_int_equal(strlen(letters), SECTORS * 2);
	for (i = 0; i < SECTORS; i++) {
		assert_int_equal(letters[2 * i], letters[2 * i + 1]);
		for (at = simple->least[i]; at < simple->count[i]; at++)
			if (simple->values[i][at] == letters[2 * i])
				break;
		if (at == simple->count[i])
			fail_msg("seed %u: sector %d is %c", seed, i,
				 letters[2 * i]);
	}
}

static void test_simple_model(void **s)
{
	unsigned int seed, n, dice;
	struct simple simple;
	int i;

	(void)s;
	for (seed = 1; seed <= ROUNDS; seed++) {
		simple = (struct simple){ .count = { 0 } };
		dice = seed;
		record_new();
		begin_make(2, 1, "f", S_IFREG | 0644, RECORD_BASE);
		begin_write(2, 0, SECTORS * 512, '0', RECORD_BASE);
		for (i = 0; i < SECTORS; i++)
			simple.values[i][simple.count[i]++] = '0';
		for (i = 0; i < STEPS; i++)
			simple_step(&simple, &dice, i);
		look(seed & 1);
		build_synced();
		simple_check(&simple, seed);
		for (n = 1; n < 20; n++) {
			outcome_random(&outcome, n);
			build();
			simple_check(&simple, seed);
		}
		look_away();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fsync),
		cmocka_unit_test(test_fsync_covers),
		cmocka_unit_test(test_other_file),
		cmocka_unit_test(test_overlaid),
		cmocka_unit_test(test_torn),
		cmocka_unit_test(test_part_of_sector),
		cmocka_unit_test(test_overwritten),
		cmocka_unit_test(test_sync_write),
		cmocka_unit_test(test_failed_write),
		cmocka_unit_test(test_short_write),
		cmocka_unit_test(test_in_flight),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_truncate),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_placed),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_datasync),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_optional),
		cmocka_unit_test(test_far_away),
		cmocka_unit_test(test_simple_model),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
