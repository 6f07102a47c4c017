/*
 * test_names.c - what a crash may leave of names, promise by promise
 * (replay/state.h), on records written by hand.
 */
#include "tests/replay/by_hand.h"

/* Replace a file in the usual way; with and without the fsync. */
static void replace(bool sync)
{
	record_old();
	make(3, 1, "tmp", S_IFREG | 0644);
	write_bytes(3, 0, 512, 'n');
	if (sync)
		fsync_id(3);
	rename_in(1, "tmp", 1, "f", 0);
}

static void test_rename(void **s)
{
	(void)s;
	replace(true);
	look(false);
	RANDOMS("f", "oooooooo", "nn");
	look_away();
	replace(false);
	look(false);
	RANDOMS("f", "oooooooo", "nn", "..", "");
	look_away();
	replace(true);
	look(true);
	RANDOMS("f", "oooooooo", "nn");
	look_away();
}

/* In order: the second name never without the first. Strict: any. */
static void test_names_order(void **s)
{
	unsigned int seen[2] = { 0, 0 };
	uint64_t seed;
	int strict;

	(void)s;
	for (strict = 0; strict < 2; strict++) {
		record_new();
		make(2, 1, "a", S_IFREG | 0644);
		make(3, 1, "b", S_IFREG | 0644);
		look(strict);
		for (seed = 1; seed < 200; seed++) {
			outcome_random(&outcome, seed);
			build();
			seen[strict] |= 1u << (there("a") + 2 * there("b"));
		}
		look_away();
	}
	assert_int_equal(seen[0], 1 << 0 | 1 << 1 | 1 << 3);
	assert_int_equal(seen[1], 15);
}

/* The fsync of a new file covers its name, but not if POSIX alone counts. */
static void test_names_fsync(void **s)
{
	uint64_t fsync;

	(void)s;
	record_new();
	make(2, 1, "a", S_IFREG | 0644);
	make(3, 1, "b", S_IFREG | 0644);
	make(4, 1, "c", S_IFREG | 0644);
	write_bytes(3, 0, 512, 'x');
	fsync_id(3);
	look(false);
	build_synced();
	assert_true(there("a"));
	assert_string_equal(content("b"), "xx");
	assert_false(there("c"));
	outcome_close(&outcome);
	state_close(&state);
	state_open(&state, &history, true);
	state_advance(&state, history.last);
	outcome_open(&outcome, &state);
	build_synced();
	assert_false(there("a") || there("b") || there("c"));
	look_away();

	/* Made while the fsync of the directory was under way: not covered. */
	record_new();
	fsync = begin_fsync(1);
	make(2, 1, "a", S_IFREG | 0644);
	end(fsync, 0, 0);
	look(true);
	build_synced();
	assert_false(there("a"));
	look_away();
}

/* What a write of O_SYNC is to a name: as the fsync of its file. */
static void test_sync_write(void **s)
{
	int strict;

	(void)s;
	for (strict = 0; strict < 2; strict++) {
		record_new();
		make(2, 1, "a", S_IFREG | 0644);
		end(begin_write(2, 0, 512, 's', RECORD_SYNC), 512, 0);
		make(3, 1, "b", S_IFREG | 0644);
		look(strict);
		build_synced();
		assert_string_equal(content("a"), strict ? "none" : "ss");
		assert_false(there("b"));
		look_away();
	}
}

/* Strict: the fsync of a directory covers its names and what they need. */
static void test_strict_fsync(void **s)
{
	(void)s;
	record_new();
	make(2, 1, "d", S_IFDIR | 0755);
	make(3, 1, "other", S_IFREG | 0644);
	make(4, 2, "a", S_IFREG | 0644);
	make(5, 2, "later", S_IFREG | 0644);
	rename_in(2, "a", 2, "b", 0);
	fsync_id(2);
	make(6, 2, "last", S_IFREG | 0644);
	look(true);
	build_synced();
	assert_true(there("d/b") && there("d/later"));
	assert_false(there("other") || there("d/a") || there("d/last"));
	look_away();
}

/* Strict: what needs another change never comes without it. */
static void test_strict_needs(void **s)
{
	uint64_t seed;

	(void)s;
	record_new();
	begin_make(9, 1, "old", S_IFDIR | 0755, RECORD_BASE);
	begin_make(8, 9, "in", S_IFREG | 0644, RECORD_BASE);
	make(2, 1, "a", S_IFREG | 0644);
	rename_in(1, "a", 1, "b", 0);
	make(3, 1, "d", S_IFDIR | 0755);
	make(4, 3, "x", S_IFREG | 0644);
	remove_name(9, "in", 0);
	remove_name(1, "old", 0x200);
	look(true);
	for (seed = 1; seed < 300; seed++) {
		outcome_random(&outcome, seed);
		build();
		assert_false(there("a") && there("b"));
		assert_true(there("old") || !there("old/in"));
		if (!there("d"))
			assert_false(there("d/x"));
	}
	/* A file cannot be left where its directory is gone. */
	outcome_all(&outcome);
	outcome_drop(outcome.changes[4]);
	build();
	assert_true(there("old/in"));
	look_away();
}

/* Strict: directories are moved in order, also by an exchange with a file. */
static void test_strict_exchange(void **s)
{
	uint64_t op;
	char list[32];

	(void)s;
	record_new();
	begin_make(2, 1, "d", S_IFDIR | 0755, RECORD_BASE);
	begin_make(3, 2, "q", S_IFDIR | 0755, RECORD_BASE);
	begin_make(4, 3, "a", S_IFDIR | 0755, RECORD_BASE);
	begin_make(5, 4, "f", S_IFREG | 0644, RECORD_BASE);
	begin_make(6, 2, "other", S_IFREG | 0644, RECORD_BASE);
	op = rename_in(3, "a", 1, "a", 0);
	rename_in(4, "f", 1, "d", RENAME_EXCHANGE);
	look(true);
	snprintf(list, sizeof(list), "%u", (unsigned)op);
	build_without(list);
	assert_true(there("d/other") && there("d/q/a/f"));
	build_ended();
	assert_true(there("a/f/other") && there("a/f/q") && !there("d/q"));
	look_away();
}

static void test_links(void **s)
{
	char a[128], b[128];
	struct stat sa, sb;

	(void)s;
	record_old();
	link_in(2, 1, "g");
	make(3, 1, "other", S_IFREG | 0600);
	rename_in(1, "other", 1, "f", RENAME_EXCHANGE);
	look(false);
	build();
	snprintf(a, sizeof(a), "%s/g", dir);
	snprintf(b, sizeof(b), "%s/other", dir);
	assert_int_equal(stat(a, &sa), 0);
	assert_int_equal(stat(b, &sb), 0);
	assert_int_equal(sa.st_ino, sb.st_ino);
	assert_int_equal(sa.st_nlink, 2);
	assert_string_equal(content("f"), "");
	look_away();
}

/* A rename that leaves a whiteout, the device 0:0, behind. */
static void test_whiteout(void **s)
{
	char file[128];
	struct stat st;

	(void)s;
	record_old();
	rename_in(1, "f", 1, "g", RENAME_WHITEOUT);
	look(false);
	build_ended();
	assert_string_equal(content("g"), "oooooooo");
	snprintf(file, sizeof(file), "%s/f", dir);
	assert_int_equal(lstat(file, &st), 0);
	assert_true(S_ISCHR(st.st_mode) && !st.st_rdev);
	build_synced();
	assert_string_equal(content("f"), "oooooooo");
	assert_false(there("g"));
	look_away();
}

/* Unlinked and still written to; and the id's name used again. */
static void test_unlinked(void **s)
{
	(void)s;
	record_old();
	remove_name(1, "f", 0);
	write_bytes(2, 0, 512, 'a');
	make(3, 1, "f", S_IFREG | 0644);
	write_bytes(3, 0, 512, 'n');
	look(false);
	build_ended();
	assert_string_equal(content("f"), "nn");
	RANDOMS("f", "oooooooo", "aaoooooo", "none", "", "..",
		"nn");
	look_away();
}

/* O_TMPFILE: there under the name that it is given, and not before. */
static void test_nameless(void **s)
{
	(void)s;
	record_new();
	make(2, 0, "", S_IFREG | 0644);
	write_bytes(2, 0, 512, 'a');
	fsync_id(2);
	link_in(2, 1, "g");
	look(false);
	RANDOMS("g", "none", "aa");
	look_away();
}

/*
 * Two of which the second began before the first was over, as when the
 * watchdog ended both: what they are about is decided by their ends.
 */
static void test_late_renames(void **s)
{
	uint64_t first, second;

	(void)s;
	record_new();
	begin_file(2, 1, "a", 'a');
	begin_file(3, 1, "x", 'x');
	begin_file(4, 1, "z", 'z');
	first = begin_rename(1, "a", 1, "x", 0);
	second = begin_rename(1, "x", 1, "z", 0);
	look(false);
	outcome_all(&outcome);
	build();
	assert_string_equal(content("z"), "aa");
	assert_false(there("a") || there("x"));
	look_away();

	record_new();
	begin_file(2, 1, "a", 'a');
	begin_file(3, 1, "x", 'x');
	begin_file(4, 1, "z", 'z');
	first = begin_rename(1, "a", 1, "x", 0);
	second = begin_rename(1, "x", 1, "z", 0);
	end_late(first, 0, 0);
	end_late(second, 0, 0);
	look(false);
	build_ended();
	assert_string_equal(content("z"), "aa");
	assert_false(there("a") || there("x"));
	look_away();

	/* The second was first after all; what flies yet comes after it. */
	record_new();
	begin_file(2, 1, "a", 'a');
	begin_file(3, 1, "x", 'x');
	first = begin_rename(1, "x", 1, "z", 0);
	second = begin_rename(1, "a", 1, "x", 0);
	end(second, 0, 0);
	look(false);
	outcome_all(&outcome);
	build();
	assert_string_equal(content("z"), "aa");
	look_away();
}

/* A new file that was used, as a stranger, before its making had ended. */
static void test_found_early(void **s)
{
	uint64_t op, fsync;

	(void)s;
	record_new();
	op = begin_make(2, 1, "d", S_IFDIR | 0755, 0);
	put((struct record){ .type = RECORD_STRANGER, .file = 3 }, "", 0);
	make(4, 3, "in", S_IFREG | 0644);
	write_bytes(4, 0, 512, 'a');
	put((struct record){ .type = RECORD_END, .op = op, .file = 3 }, "", 0);
	op = begin_make(5, 1, "f", S_IFREG | 0644, 0);
	write_bytes(6, 0, 512, 'b');
	put((struct record){ .type = RECORD_END, .op = op, .file = 6 }, "", 0);
	write_bytes(5, 512, 512, 'c');
	/* Who asked for the id before that end, and wrote after it. */
	write_bytes(6, 1024, 512, 'd');
	make(7, 3, "late", S_IFREG | 0644);
	rename_in(3, "late", 3, "renamed", 0);
	fsync = begin_fsync(6);
	end(fsync, 0, 0);
	look(false);
	assert_int_equal(state_file(&state, 5)->size, 1536);
	build_ended();
	assert_string_equal(content("d/in"), "aa");
	assert_string_equal(content("f"), "bbccdd");
	assert_true(there("d/renamed"));
	assert_int_equal(state.strangers, 0);
	look_away();
}

/* What it is about came to be only while it was in flight, or went. */
static void test_late_known(void **s)
{
	uint64_t op;

	(void)s;
	record_old();
	op = begin_remove(1, "g", 0);
	make(3, 1, "g", S_IFREG | 0644);
	end_late(op, 0, 0);
	op = begin_rename(1, "f", 1, "h", 0);
	remove_name(1, "f", 0);
	end_late(op, 0, -ENOENT);
	begin_rename(1, "f", 1, "i", 0);
	look(false);
	assert_int_equal(state.strangers, 0);
	outcome_all(&outcome);
	build();
	assert_false(there("f") || there("g") || there("h") || there("i"));
	look_away();

	/* Names of one file when it began: then nothing would happen. */
	record_old();
	link_in(2, 1, "g");
	op = begin_rename(1, "f", 1, "g", 0);
	remove_name(1, "g", 0);
	end_late(op, 0, 0);
	look(false);
	build_ended();
	assert_string_equal(content("g"), "oooooooo");
	assert_false(there("f"));
	look_away();
}

/* A name that the record does not know is left out, and counted; and so is a
 * new name of a file of which it knows only what was written to it, and these
 * writes. */
static void test_stranger(void **s)
{
	(void)s;
	record_old();
	put((struct record){ .type = RECORD_STRANGER, .file = 3 }, "", 0);
	write_bytes(3, 0, 512, 'a');
	end(put((struct record){ .type = RECORD_LINK, .file = 3,
				 .parent = 1 }, "g", 2), 0, 0);
	rename_in(1, "g", 1, "h", 0);
	look(false);
	assert_int_equal(state.strangers, 3);
	build();
	assert_false(there("g") || there("h"));
	look_away();
	record_old();
	rename_in(1, "unknown", 1, "f", 0);
	look(false);
	assert_int_equal(state.strangers, 1);
	build();
	assert_string_equal(content("f"), "oooooooo");
	look_away();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rename),
		cmocka_unit_test(test_names_order),
		cmocka_unit_test(test_names_fsync),
		cmocka_unit_test(test_sync_write),
		cmocka_unit_test(test_strict_fsync),
		cmocka_unit_test(test_strict_needs),
		cmocka_unit_test(test_strict_exchange),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_whiteout),
		cmocka_unit_test(test_unlinked),
		cmocka_unit_test(test_nameless),
		cmocka_unit_test(test_late_renames),
		cmocka_unit_test(test_late_known),
		cmocka_unit_test(test_found_early),
		cmocka_unit_test(test_stranger),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
