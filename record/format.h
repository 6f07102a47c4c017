/*
 * format.h - the format of a record: what `pagerfs -o record=FILE` writes and
 * pagerfs-replay reads. docs/record.md has the picture.
 *
 * A record file is a header of its own and then records, one behind the
 * other, numbered from 1 without a gap. All numbers are little-endian. A
 * record is a head of RECORD_HEAD bytes or more (@size says how many: a later
 * version may add to it) and a payload. Its sum covers both.
 *
 * An operation is two records: its beginning, written before anything is
 * asked of the file below, and a RECORD_END which names the beginning, written
 * before the client is answered. So
 *
 *  - end of A before beginning of B: A was over when B began;
 *  - neither: they ran at the same time, in no order that is known.
 *
 * Files are named by ids that are never used twice. The tree at the start of
 * the recording comes first, in records with RECORD_BASE, which need no end.
 */
#ifndef RECORD_FORMAT_H
#define RECORD_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_VERSION		1
#define RECORD_FILE_HEAD	64	/* bytes before the first record */
#define RECORD_HEAD		80	/* bytes before a payload */
#define RECORD_HEAD_MAX		4096
#define RECORD_PAYLOAD_MAX	(2u << 20)
#define RECORD_SECTOR		512	/* what a disk writes wholly or not */
#define RECORD_ROOT		1	/* the id of SOURCE itself */

enum record_type {
	RECORD_MAKE = 1, /* @file, new, is name of @parent (0: nameless) */
	RECORD_LINK,	/* @file is also name of @parent */
	RECORD_REMOVE,	/* name of @parent is no more; @arg: AT_REMOVEDIR */
	RECORD_RENAME,	/* name of @parent to other of @parent2; @arg: flags */
	RECORD_SETATTR,	/* @arg: which (RECORD_SET_*), @length: the size */
	RECORD_WRITE,	/* @length bytes at @offset: the payload */
	RECORD_FALLOCATE, /* @length bytes at @offset; @arg: mode */
	RECORD_FSYNC,	/* of a file or directory */
	RECORD_READ,	/* @length bytes wanted from @offset */
	RECORD_END,	/* of @op: @arg: 0 or -errno, @length: bytes moved,
			 * also by a write that failed after them; @file: a
			 * stranger which is the file that was made, or 0;
			 * @offset: with RECORD_PLACED, where a write went */
	RECORD_BASE_END, /* the tree at the start is complete */
	RECORD_STRANGER, /* @file was not made through the mount */
	RECORD_TYPES,
};

enum record_flags {
	RECORD_BASE = 1,	/* as it was at the start; has no end */
	RECORD_SYNC = 2,	/* a write of O_SYNC: durable when it ends */
	RECORD_DATASYNC = 4,	/* an fsync that may leave attributes out */
	RECORD_LATE = 8,	/* an end: its client was told ETIMEDOUT before */
	RECORD_PLACED = 16,	/* an end of a write: @offset is its place, what
				 * the beginning has was a guess */
	RECORD_OPTIONAL = 0x8000, /* who does not know the type, or of an end
				   * the operation's, skips it */
};

/* What a RECORD_SETATTR sets. */
enum record_set {
	RECORD_SET_MODE = 1,
	RECORD_SET_UID = 2,
	RECORD_SET_GID = 4,
	RECORD_SET_SIZE = 8,
};

/* How a recording stands; in the file's header. */
enum record_state {
	RECORD_RUNNING = 1,	/* it goes on, or pagerfs was killed */
	RECORD_COMPLETE,	/* pagerfs ended in order */
	RECORD_STOPPED,		/* it could not go on: @err */
};

struct record_file {
	uint32_t version;
	uint32_t size;		/* of the header */
	bool base;		/* the tree at the start is in the record */
	uint64_t began;		/* ns since 1970 */
	enum record_state state;
	int err;		/* errno that stopped it */
	uint64_t count;		/* of records, when the state was set */
};

struct record_attr {
	uint32_t mode, uid, gid;
	uint64_t rdev;
};

struct record {
	uint16_t type, flags;
	uint32_t size;		/* of the head, in the file */
	uint32_t payload;	/* bytes behind it */
	uint64_t number;
	uint64_t time;		/* ns since the start */
	uint64_t op;		/* RECORD_END: number of the beginning */
	uint64_t file;
	union { uint64_t offset, parent; };
	union { uint64_t length, parent2; };
	int64_t arg;
	uint64_t at;		/* of the payload in the file; not stored */
};

/* The payload of RECORD_MAKE, RECORD_SETATTR and the end of a RECORD_MAKE
 * begins with attributes; then names, each with its NUL. */
#define RECORD_ATTR		24

enum record_fault {
	RECORD_OK,
	RECORD_SHORT,		/* @size bytes are not all of it */
	RECORD_NO_MAGIC,
	RECORD_NEWER,		/* of a version we cannot read */
	RECORD_BAD_SUM,
	RECORD_BAD_SIZE,	/* out of the format's bounds */
	RECORD_GAP,		/* not the number after the last one */
	RECORD_MISSING,		/* the header says there were more */
};

/* What is wrong, in words that follow "the record". */
const char *record_fault_text(enum record_fault fault);

void record_put_file(uint8_t to[RECORD_FILE_HEAD],
		     const struct record_file *head);
enum record_fault record_get_file(const uint8_t *from, size_t size,
				  struct record_file *head);

/* The sum of a payload, for record_put(). */
uint64_t record_sum(const void *payload, size_t size);

/*
 * The head for @record, whose payload has the sum @sum; @size is not looked
 * at, it is always RECORD_HEAD.
 */
void record_put(uint8_t to[RECORD_HEAD], const struct record *record,
		uint64_t sum);

/*
 * Take a head from @size bytes at @from; all but the sum is checked. On
 * RECORD_OK record->size + record->payload bytes belong to the record, and
 * record_check() says whether they are what was written.
 */
enum record_fault record_get(const uint8_t *from, size_t size,
			     struct record *record);
enum record_fault record_check(const uint8_t *head,
			       const struct record *record,
			       const void *payload);

void record_put_attr(uint8_t to[RECORD_ATTR], const struct record_attr *attr);
/* => Is there one? */
bool record_get_attr(const uint8_t *from, size_t size,
		     struct record_attr *attr);

/* "write", "rename", ...; "?" for a type we do not know. */
const char *record_type_name(unsigned int type);

/* Does the type, as a beginning, wait for a RECORD_END? */
static inline bool record_is_op(const struct record *record)
{
	return record->type && record->type < RECORD_END &&
	       !(record->flags & RECORD_BASE);
}

#endif
