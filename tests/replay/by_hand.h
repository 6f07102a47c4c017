/*
 * by_hand.h - records written by hand, and what a replay builds from them.
 * Included by the tests of replay/, one record and one state at a time.
 *
 * An operation is begun and ended at once, unless it says begin_ and end_.
 */
#ifndef TESTS_REPLAY_BY_HAND_H
#define TESTS_REPLAY_BY_HAND_H

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

static inline uint64_t put(struct record record, const void *data, size_t size)
{
	struct iovec piece = { (void *)data, size };

	return record_writer_append(&writer, &record, &piece, 1, NULL);
}

static inline uint64_t end(uint64_t op, uint64_t done, int err)
{
	return put((struct record){ .type = RECORD_END, .op = op,
				    .length = done, .arg = err }, "", 0);
}

static inline uint64_t end_late(uint64_t op, uint64_t done, int err)
{
	return put((struct record){ .type = RECORD_END, .flags = RECORD_LATE,
				    .op = op, .length = done, .arg = err },
		   "", 0);
}

static inline uint64_t begin_make(uint64_t id, uint64_t parent,
				  const char *name, mode_t mode, uint16_t flags)
{
	struct record_attr attr = { mode, 0, 0, 0 };
	uint8_t bytes[RECORD_ATTR + 64];

	record_put_attr(bytes, &attr);
	strcpy((char *)bytes + RECORD_ATTR, name);
	return put((struct record){ .type = RECORD_MAKE, .flags = flags,
				    .file = id, .parent = parent }, bytes,
		   RECORD_ATTR + strlen(name) + 1);
}

static inline uint64_t make(uint64_t id, uint64_t parent, const char *name,
			    mode_t mode)
{
	return end(begin_make(id, parent, name, mode, 0), 0, 0);
}

static inline void record_new(void)
{
	unlink(path);
	assert_int_equal(record_writer_open(&writer, path, true), 0);
	begin_make(1, 0, "", S_IFDIR | 0755, RECORD_BASE);
}

/* A file "f" of 4 sectors of 'o', id 2, there from the start. */
static inline void record_old(void)
{
	char old[2048];

	record_new();
	memset(old, 'o', sizeof(old));
	begin_make(2, 1, "f", S_IFREG | 0644, RECORD_BASE);
	put((struct record){ .type = RECORD_WRITE, .flags = RECORD_BASE,
			     .file = 2, .length = sizeof(old) }, old,
	    sizeof(old));
}

static inline uint64_t begin_write(uint64_t id, uint64_t offset,
				   size_t length, int byte, uint16_t flags)
{
	char bytes[8192];

	memset(bytes, byte, length);
	return put((struct record){ .type = RECORD_WRITE, .flags = flags,
				    .file = id, .offset = offset,
				    .length = length }, bytes, length);
}

static inline uint64_t write_bytes(uint64_t id, uint64_t offset,
				   size_t length, int byte)
{
	uint64_t op = begin_write(id, offset, length, byte, 0);

	end(op, length, 0);
	return op;
}

/* A change of the data or attributes of @id. */
static inline uint64_t begin_any(uint64_t id, struct record record)
{
	static const char zeros[8192];

	record.file = id;
	return put(record, zeros, record.type == RECORD_WRITE ?
		   record.length : RECORD_ATTR);
}

static inline uint64_t begin_fsync(uint64_t id)
{
	return put((struct record){ .type = RECORD_FSYNC, .file = id }, "", 0);
}

static inline uint64_t fsync_id(uint64_t id)
{
	return end(begin_fsync(id), 0, 0);
}

static inline uint64_t truncate_id(uint64_t id, uint64_t size)
{
	uint8_t attr[RECORD_ATTR] = { 0 };
	uint64_t op = put((struct record){ .type = RECORD_SETATTR, .file = id,
					   .arg = RECORD_SET_SIZE,
					   .length = size }, attr,
			  sizeof(attr));

	end(op, 0, 0);
	return op;
}

static inline uint64_t begin_rename(uint64_t from_dir, const char *from,
				    uint64_t to_dir, const char *to,
				    int flags)
{
	char names[64];
	size_t size = strlen(from) + 1;

	strcpy(names, from);
	strcpy(names + size, to);
	return put((struct record){ .type = RECORD_RENAME, .parent = from_dir,
				    .parent2 = to_dir, .arg = flags }, names,
		   size + strlen(to) + 1);
}

static inline uint64_t rename_in(uint64_t from_dir, const char *from,
				 uint64_t to_dir, const char *to, int flags)
{
	uint64_t op = begin_rename(from_dir, from, to_dir, to, flags);

	end(op, 0, 0);
	return op;
}

static inline uint64_t begin_remove(uint64_t parent, const char *name,
				    int flags)
{
	return put((struct record){ .type = RECORD_REMOVE, .parent = parent,
				    .arg = flags }, name, strlen(name) + 1);
}

static inline uint64_t remove_name(uint64_t parent, const char *name,
				   int flags)
{
	uint64_t op = begin_remove(parent, name, flags);

	end(op, 0, 0);
	return op;
}

static inline uint64_t link_in(uint64_t id, uint64_t parent, const char *name)
{
	uint64_t op = put((struct record){ .type = RECORD_LINK, .file = id,
					   .parent = parent }, name,
			  strlen(name) + 1);

	end(op, 0, 0);
	return op;
}

/* A file of @id, 512 times @byte, there from the start. */
static inline void begin_file(uint64_t id, uint64_t parent, const char *name,
			      int byte)
{
	begin_make(id, parent, name, S_IFREG | 0644, RECORD_BASE);
	begin_write(id, 0, 512, byte, RECORD_BASE);
}

/* ---- replaying it ---- */

/* Close the record and look at its end. */
/* As things are after record @at; 0: after the last. */
static inline void look_at(bool strict, uint64_t at)
{
	record_writer_close(&writer);
	assert_int_equal(history_load(&history, open(path, O_RDONLY), NULL),
			 0);
	assert_null(history.nonsense);
	state_open(&state, &history, strict);
	state_advance(&state, at ? at : history.last);
	outcome_open(&outcome, &state);
}

static inline void look(bool strict)
{
	look_at(strict, 0);
}

static inline void look_away(void)
{
	outcome_close(&outcome);
	state_close(&state);
	history_free(&history);
	assert_int_equal(build_remove(dir), 0);
}

/* Build the outcome, legal now. */
static inline void build(void)
{
	struct build build = { .base = -1 };

	outcome_legalise(&outcome);
	assert_int_equal(build_remove(dir), 0);
	assert_int_equal(build_outcome(&build, &outcome, dir), 0);
}

/* Everything but what @list says. */
static inline void build_without(const char *list)
{
	char *wrong;

	outcome_all(&outcome);
	wrong = outcome_drop_list(&outcome, list);
	if (wrong)
		fail_msg("%s", wrong);
	build();
}

/* Sector @n of write @op is missing, and nothing else. */
static inline void build_without_sector(uint64_t op, unsigned n)
{
	char list[64];

	snprintf(list, sizeof(list), "%u:%u", (unsigned)op, n);
	build_without(list);
}

static inline void build_ended(void)
{
	outcome_ended(&outcome);
	build();
}

static inline void build_synced(void)
{
	outcome_synced(&outcome);
	build();
}

static inline bool there(const char *name)
{
	char file[128];
	struct stat st;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	return !lstat(file, &st);
}

/* What @name holds, one letter for 256 bytes ('.': zeros, '?': mixed). */
static inline const char *content(const char *name)
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

static inline bool can_be(const char *const *list, size_t count,
			  const char *what)
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
static inline void randoms(const char *name, const char *const *list,
			   size_t count)
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

/* ---- a directory for all of a program's tests ---- */

static inline int make_dir(void **s)
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

static inline int remove_dir(void **s)
{
	(void)s;
	unlink(path);
	return rmdir(top);
}

#endif
