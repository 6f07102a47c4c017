/*
 * test_replay.c - what a crash may leave, promise by promise (replay/state.h),
 * on records written by hand; and at random against a second, simple model.
 *
 * In the scripts below an operation is begun and ended at once, unless it
 * says begin_ and end_.
 */
#include "record/writer.h"
#include "replay/build.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64];
static char path[80], dir[80];
static struct record_writer writer;
static struct history history;
static struct state state;
static struct outcome outcome;

/* ---- writing a record ---- */

static uint64_t put(struct record record, const void *data, size_t size)
{
	struct iovec piece = { (void *)data, size };

	return record_writer_append(&writer, &record, &piece, 1, NULL);
}

static uint64_t end(uint64_t op, uint64_t done, int err)
{
	return put((struct record){ .type = RECORD_END, .op = op,
				    .length = done, .arg = err }, "", 0);
}

static uint64_t end_late(uint64_t op, uint64_t done, int err)
{
	return put((struct record){ .type = RECORD_END, .flags = RECORD_LATE,
				    .op = op, .length = done, .arg = err },
		   "", 0);
}

static uint64_t begin_make(uint64_t id, uint64_t parent, const char *name,
			   mode_t mode, uint16_t flags)
{
	struct record_attr attr = { mode, 0, 0, 0 };
	uint8_t bytes[RECORD_ATTR + 64];

	record_put_attr(bytes, &attr);
	strcpy((char *)bytes + RECORD_ATTR, name);
	return put((struct record){ .type = RECORD_MAKE, .flags = flags,
				    .file = id, .parent = parent }, bytes,
		   RECORD_ATTR + strlen(name) + 1);
}

static uint64_t make(uint64_t id, uint64_t parent, const char *name,
		     mode_t mode)
{
	return end(begin_make(id, parent, name, mode, 0), 0, 0);
}

static void record_new(void)
{
	unlink(path);
	assert_int_equal(record_writer_open(&writer, path, true), 0);
	begin_make(1, 0, "", S_IFDIR | 0755, RECORD_BASE);
}

/* A file "f" of 4 sectors of 'o', id 2, there from the start. */
static void record_old(void)
{
	char old[2048];

	record_new();
	memset(old, 'o', sizeof(old));
	begin_make(2, 1, "f", S_IFREG | 0644, RECORD_BASE);
	put((struct record){ .type = RECORD_WRITE, .flags = RECORD_BASE,
			     .file = 2, .length = sizeof(old) }, old,
	    sizeof(old));
}

static uint64_t begin_write(uint64_t id, uint64_t offset, size_t length,
			    int byte, uint16_t flags)
{
	char bytes[8192];

	memset(bytes, byte, length);
	return put((struct record){ .type = RECORD_WRITE, .flags = flags,
				    .file = id, .offset = offset,
				    .length = length }, bytes, length);
}

static uint64_t write_bytes(uint64_t id, uint64_t offset, size_t length,
			    int byte)
{
	uint64_t op = begin_write(id, offset, length, byte, 0);

	end(op, length, 0);
	return op;
}

static uint64_t begin_fsync(uint64_t id)
{
	return put((struct record){ .type = RECORD_FSYNC, .file = id }, "", 0);
}

static uint64_t fsync_id(uint64_t id)
{
	return end(begin_fsync(id), 0, 0);
}

static uint64_t truncate_id(uint64_t id, uint64_t size)
{
	uint8_t attr[RECORD_ATTR] = { 0 };
	uint64_t op = put((struct record){ .type = RECORD_SETATTR, .file = id,
					   .arg = RECORD_SET_SIZE,
					   .length = size }, attr,
			  sizeof(attr));

	end(op, 0, 0);
	return op;
}

static uint64_t rename_in(uint64_t from_dir, const char *from, uint64_t to_dir,
			  const char *to, int flags)
{
	char names[64];
	size_t size = strlen(from) + 1;
	uint64_t op;

	strcpy(names, from);
	strcpy(names + size, to);
	op = put((struct record){ .type = RECORD_RENAME, .parent = from_dir,
				  .parent2 = to_dir, .arg = flags }, names,
		 size + strlen(to) + 1);
	end(op, 0, 0);
	return op;
}

static uint64_t remove_name(uint64_t parent, const char *name, int flags)
{
	uint64_t op = put((struct record){ .type = RECORD_REMOVE,
					   .parent = parent, .arg = flags },
			  name, strlen(name) + 1);

	end(op, 0, 0);
	return op;
}

/* ---- replaying it ---- */

/* Close the record and look at its end. */
static void look(bool strict)
{
	record_writer_close(&writer);
	assert_int_equal(history_load(&history, open(path, O_RDONLY), NULL),
			 0);
	assert_null(history.nonsense);
	state_open(&state, &history, strict);
	state_advance(&state, history.last);
	outcome_open(&outcome, &state);
}

static void look_away(void)
{
	outcome_close(&outcome);
	state_close(&state);
	history_free(&history);
	assert_int_equal(build_remove(dir), 0);
}

/* Build the outcome, legal now. */
static void build(void)
{
	struct build build = { .base = -1 };

	outcome_legalise(&outcome);
	assert_int_equal(build_remove(dir), 0);
	assert_int_equal(build_outcome(&build, &outcome, dir), 0);
}

/* Everything but what @list says. */
static void build_without(const char *list)
{
	char *wrong;

	outcome_all(&outcome);
	wrong = outcome_drop_list(&outcome, list);
	if (wrong)
		fail_msg("%s", wrong);
	build();
}

/* Sector @n of write @op is missing, and nothing else. */
static void build_without_sector(uint64_t op, unsigned n)
{
	char list[64];

	snprintf(list, sizeof(list), "%u:%u", (unsigned)op, n);
	build_without(list);
}

static void build_synced(void)
{
	outcome_synced(&outcome);
	build();
}

static bool there(const char *name)
{
	char file[128];
	struct stat st;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	return !lstat(file, &st);
}

/* What @name holds, one letter for 256 bytes ('.': zeros, '?': mixed). */
static const char *content(const char *name)
{
	static char letters[64];
	char file[128], bytes[256];
	ssize_t got, i;
	size_t n = 0;
	int fd;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	fd = open(file, O_RDONLY);
	if (fd < 0)
		return "none";
	while ((got = read(fd, bytes, sizeof(bytes))) > 0 && n < 60) {
		for (i = 1; i < got && bytes[i] == bytes[0]; i++)
			;
		letters[n++] = i < got ? '?' : bytes[0] ? bytes[0] : '.';
	}
	letters[n] = '\0';
	close(fd);
	return letters;
}

static bool can_be(const char *const *list, size_t count, const char *what)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (!strcmp(list[i], what))
			return true;
	return false;
}

/*
 * Many random outcomes: each is one of @list, and each of @list comes.
 */
static void randoms(const char *name, const char *const *list, size_t count)
{
	unsigned int seen = 0;
	uint64_t seed;
	size_t i;

	for (seed = 1; seed <= 400; seed++) {
		outcome_random(&outcome, seed);
		build();
		if (!can_be(list, count, content(name)))
			fail_msg("seed %u: %s cannot be %s", (unsigned)seed,
				 name, content(name));
		for (i = 0; i < count; i++)
			if (!strcmp(list[i], content(name)))
				seen |= 1u << i;
	}
	for (i = 0; i < count; i++)
		if (!(seen >> i & 1))
			fail_msg("%s never was %s", name, list[i]);
}

#define RANDOMS(name, ...) do { \
	static const char *const these[] = { __VA_ARGS__ }; \
	randoms(name, these, sizeof(these) / sizeof(*these)); \
} while (0)

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
	outcome_ended(&outcome);
	build();
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
	outcome_ended(&outcome);
	build();
	assert_string_equal(content("f"), "aaoooooo");
	look_away();
	record_old();
	end(begin_write(2, 0, 512, 'a', 0), 0, -EIO);
	look(false);
	outcome_ended(&outcome);
	build();
	assert_string_equal(content("f"), "oooooooo");
	RANDOMS("f", "oooooooo", "aaoooooo");
	look_away();
	/* Refused, and not tried. */
	record_old();
	end(begin_write(2, 0, 512, 'a', 0), 0, -EFBIG);
	look(false);
	RANDOMS("f", "oooooooo");
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
	outcome_ended(&outcome);
	build();
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
	outcome_ended(&outcome);
	build();
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
	outcome_ended(&outcome);
	build();
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	look_away();
}

/* ---- names ---- */

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

static void test_links(void **s)
{
	char a[128], b[128];
	struct stat sa, sb;
	uint64_t op;

	(void)s;
	record_old();
	op = put((struct record){ .type = RECORD_LINK, .file = 2,
				  .parent = 1 }, "g", 2);
	end(op, 0, 0);
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
	outcome_ended(&outcome);
	build();
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
	outcome_ended(&outcome);
	build();
	assert_string_equal(content("f"), "nn");
	RANDOMS("f", "oooooooo", "aaoooooo", "none", "", "..",
		"nn");
	look_away();
}

/* O_TMPFILE: there under the name that it is given, and not before. */
static void test_nameless(void **s)
{
	uint64_t op;

	(void)s;
	record_new();
	make(2, 0, "", S_IFREG | 0644);
	write_bytes(2, 0, 512, 'a');
	fsync_id(2);
	op = put((struct record){ .type = RECORD_LINK, .file = 2,
				  .parent = 1 }, "g", 2);
	end(op, 0, 0);
	look(false);
	RANDOMS("g", "none", "aa");
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
	truncate_id(2, 1ull << 63);
	nonsense("beyond any file's end");
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
	outcome_ended(&outcome);
	build();
	assert_string_equal(content("f"), "bboooooo");
	look_away();
}

/* A name that the record does not know is left out, and counted; and so is a
 * new name of a file of which it knows only what was written to it. */
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
	assert_int_equal(state.strangers, 2);
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

static int make_dir(void **s)
{
	(void)s;
	/* In memory if possible: thousands of small files are made. */
	strcpy(top, "/dev/shm/test_replay.XXXXXX");
	if (!mkdtemp(top)) {
		strcpy(top, "/tmp/test_replay.XXXXXX");
		if (!mkdtemp(top))
			return -1;
	}
	snprintf(path, sizeof(path), "%s/record", top);
	snprintf(dir, sizeof(dir), "%s/out", top);
	return 0;
}

static int remove_dir(void **s)
{
	(void)s;
	unlink(path);
	return rmdir(top);
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
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_datasync),
		cmocka_unit_test(test_rename),
		cmocka_unit_test(test_names_order),
		cmocka_unit_test(test_names_fsync),
		cmocka_unit_test(test_strict_fsync),
		cmocka_unit_test(test_strict_needs),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_whiteout),
		cmocka_unit_test(test_unlinked),
		cmocka_unit_test(test_nameless),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_far_away),
		cmocka_unit_test(test_stranger),
		cmocka_unit_test(test_simple_model),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
