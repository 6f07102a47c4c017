/*
 * format.c - records to bytes and back. No I/O, no state, no locks.
 *
 * Whatever the bytes say, record_get() reads only those it was given, and
 * what it calls good is within the format's bounds.
 */
#define XXH_INLINE_ALL
#include "record/format.h"

#include <endian.h>
#include <string.h>
#include <xxhash.h>

#define FILE_MAGIC	"PAGERREC"
#define MAGIC		0x43455250u	/* "PREC" */
#define FILE_SUM_AT	56
#define SUM_AT		72

static uint8_t *put32(uint8_t *to, uint32_t value)
{
	value = htole32(value);
	return (uint8_t *)memcpy(to, &value, 4) + 4;
}

static uint8_t *put64(uint8_t *to, uint64_t value)
{
	value = htole64(value);
	return (uint8_t *)memcpy(to, &value, 8) + 8;
}

static uint32_t get32(const uint8_t *from)
{
	uint32_t value;

	memcpy(&value, from, 4);
	return le32toh(value);
}

static uint64_t get64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, 8);
	return le64toh(value);
}

const char *record_fault_text(enum record_fault fault)
{
	static const char *const texts[] = {
		[RECORD_OK] = "is good",
		[RECORD_SHORT] = "ends in the middle",
		[RECORD_NO_MAGIC] = "does not begin as one does",
		[RECORD_NEWER] = "is of a newer version",
		[RECORD_BAD_SUM] = "does not have its checksum",
		[RECORD_BAD_SIZE] = "has an impossible size",
		[RECORD_GAP] = "does not follow the one before",
		[RECORD_MISSING] = "is missing, and all after it",
	};

	return texts[fault];
}

/* ---- the file's header ---- */

void record_put_file(uint8_t to[RECORD_FILE_HEAD],
		     const struct record_file *head)
{
	uint8_t *at = memcpy(to, FILE_MAGIC, 8);

	at = put32(at + 8, RECORD_VERSION);
	at = put32(at, RECORD_FILE_HEAD);
	at = put64(at, head->base);
	at = put64(at, head->began);
	at = put32(at, head->state);
	at = put32(at, head->err);
	at = put64(at, head->count);
	at = put64(at, 0);
	put64(at, XXH3_64bits(to, FILE_SUM_AT));
}

enum record_fault record_get_file(const uint8_t *from, size_t size,
				  struct record_file *head)
{
	if (size < 8 || memcmp(from, FILE_MAGIC, 8))
		return RECORD_NO_MAGIC;
	if (size < RECORD_FILE_HEAD)
		return RECORD_SHORT;
	if (get64(from + FILE_SUM_AT) != XXH3_64bits(from, FILE_SUM_AT))
		return RECORD_BAD_SUM;
	*head = (struct record_file){
		.version = get32(from + 8),
		.size = get32(from + 12),
		.base = get64(from + 16) & 1,
		.began = get64(from + 24),
		.state = get32(from + 32),
		.err = get32(from + 36),
		.count = get64(from + 40),
	};
	if (head->version != RECORD_VERSION)
		return RECORD_NEWER;
	if (head->size < RECORD_FILE_HEAD || head->size > RECORD_HEAD_MAX ||
	    head->state < RECORD_RUNNING || head->state > RECORD_STOPPED)
		return RECORD_BAD_SIZE;
	return RECORD_OK;
}

/* ---- records ---- */

uint64_t record_sum(const void *payload, size_t size)
{
	return XXH3_64bits(payload, size);
}

/*
 * The sum of a record: of its head, without the place where the sum is, and
 * seeded with the sum of the payload, which can so be had beforehand.
 */
static uint64_t record_head_sum(const uint8_t *head, size_t size, uint64_t sum)
{
	sum = XXH3_64bits_withSeed(head, SUM_AT, sum);
	return size > RECORD_HEAD ?
		XXH3_64bits_withSeed(head + RECORD_HEAD, size - RECORD_HEAD,
				     sum) : sum;
}

void record_put(uint8_t to[RECORD_HEAD], const struct record *record,
		uint64_t sum)
{
	uint8_t *at = put32(to, MAGIC);

	at = put32(at, record->type | (uint32_t)record->flags << 16);
	at = put32(at, RECORD_HEAD);
	at = put32(at, record->payload);
	at = put64(at, record->number);
	at = put64(at, record->time);
	at = put64(at, record->op);
	at = put64(at, record->file);
	at = put64(at, record->offset);
	at = put64(at, record->length);
	at = put64(at, record->arg);
	put64(at, record_head_sum(to, RECORD_HEAD, sum));
}

enum record_fault record_get(const uint8_t *from, size_t size,
			     struct record *record)
{
	if (size < 4)
		return RECORD_SHORT;
	if (get32(from) != MAGIC)
		return RECORD_NO_MAGIC;
	if (size < RECORD_HEAD)
		return RECORD_SHORT;
	*record = (struct record){
		.type = get32(from + 4),
		.flags = get32(from + 4) >> 16,
		.size = get32(from + 8),
		.payload = get32(from + 12),
		.number = get64(from + 16),
		.time = get64(from + 24),
		.op = get64(from + 32),
		.file = get64(from + 40),
		.offset = get64(from + 48),
		.length = get64(from + 56),
		.arg = get64(from + 64),
	};
	if (record->size < RECORD_HEAD || record->size > RECORD_HEAD_MAX ||
	    record->payload > RECORD_PAYLOAD_MAX)
		return RECORD_BAD_SIZE;
	return RECORD_OK;
}

enum record_fault record_check(const uint8_t *head,
			       const struct record *record,
			       const void *payload)
{
	uint64_t sum = record_sum(payload, record->payload);

	sum = record_head_sum(head, record->size, sum);
	if (get64(head + SUM_AT) != sum)
		return RECORD_BAD_SUM;
	if ((!record->type || record->type >= RECORD_TYPES) &&
	    !(record->flags & RECORD_OPTIONAL))
		return RECORD_NEWER;
	return RECORD_OK;
}

void record_put_attr(uint8_t to[RECORD_ATTR], const struct record_attr *attr)
{
	to = put32(to, attr->mode);
	to = put32(to, attr->uid);
	to = put32(to, attr->gid);
	to = put32(to, 0);
	put64(to, attr->rdev);
}

bool record_get_attr(const uint8_t *from, size_t size,
		     struct record_attr *attr)
{
	if (size < RECORD_ATTR)
		return false;
	*attr = (struct record_attr){
		.mode = get32(from),
		.uid = get32(from + 4),
		.gid = get32(from + 8),
		.rdev = get64(from + 16),
	};
	return true;
}

const char *record_type_name(unsigned int type)
{
	static const char *const names[RECORD_TYPES] = {
		[RECORD_MAKE] = "make",
		[RECORD_LINK] = "link",
		[RECORD_REMOVE] = "remove",
		[RECORD_RENAME] = "rename",
		[RECORD_SETATTR] = "setattr",
		[RECORD_WRITE] = "write",
		[RECORD_FALLOCATE] = "fallocate",
		[RECORD_FSYNC] = "fsync",
		[RECORD_READ] = "read",
		[RECORD_END] = "end",
		[RECORD_BASE_END] = "base-end",
		[RECORD_STRANGER] = "stranger",
	};

	return type < RECORD_TYPES && names[type] ? names[type] : "?";
}
