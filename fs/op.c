/*
 * op.c - the table of operations, and where each keeps what it works on.
 */
#include "fs/op.h"

#include <fcntl.h>
#include <string.h>
#include <sys/types.h>

#define OP_STATX	52	/* FUSE_STATX, newer than Debian 12's headers */

enum op_class {
	OP_NONE,		/* not on files, or nothing to be answered */
	OP_IS_DATA,
	OP_IS_SYNC,
	OP_IS_META,
	OP_IS_QUIET,		/* counted, but no rule may act on it */
};

struct op {
	const char *name;
	enum op_class class;
	uint8_t fixed;		/* bytes before the first string */
	uint8_t strings;	/* how many follow */
	uint8_t names;		/* and how many of them name entries */
	bool open;		/* begins with a file handle */
};

#define SIZE(type) sizeof(struct fuse_##type)

static const struct op op_table[OP_MAX] = {
	[FUSE_LOOKUP] = { "lookup", OP_IS_META, 0, 1, 1, false },
	[FUSE_FORGET] = { "forget", OP_IS_QUIET, SIZE(forget_in), 0, 0, false },
	[FUSE_BATCH_FORGET] = { "forget", OP_IS_QUIET, SIZE(batch_forget_in),
		0, 0, false },
	[FUSE_GETATTR] = { "getattr", OP_IS_META, SIZE(getattr_in), 0, 0,
		false },
	[FUSE_SETATTR] = { "setattr", OP_IS_META, SIZE(setattr_in), 0, 0,
		false },
	[FUSE_READLINK] = { "readlink", OP_IS_META, 0, 0, 0, false },
	[FUSE_SYMLINK] = { "symlink", OP_IS_META, 0, 2, 1, false },
	[FUSE_MKNOD] = { "mknod", OP_IS_META, SIZE(mknod_in), 1, 1, false },
	[FUSE_MKDIR] = { "mkdir", OP_IS_META, SIZE(mkdir_in), 1, 1, false },
	[FUSE_UNLINK] = { "unlink", OP_IS_META, 0, 1, 1, false },
	[FUSE_RMDIR] = { "rmdir", OP_IS_META, 0, 1, 1, false },
	[FUSE_RENAME] = { "rename", OP_IS_META, SIZE(rename_in), 2, 2, false },
	[FUSE_RENAME2] = { "rename", OP_IS_META, SIZE(rename2_in), 2, 2, false },
	[FUSE_LINK] = { "link", OP_IS_META, SIZE(link_in), 1, 1, false },
	[FUSE_OPEN] = { "open", OP_IS_META, SIZE(open_in), 0, 0, false },
	[FUSE_READ] = { "read", OP_IS_DATA, SIZE(read_in), 0, 0, true },
	[FUSE_WRITE] = { "write", OP_IS_DATA, SIZE(write_in), 0, 0, true },
	[FUSE_STATFS] = { "statfs", OP_IS_META, 0, 0, 0, false },
	[FUSE_RELEASE] = { "release", OP_IS_QUIET, SIZE(release_in), 0, 0,
		true },
	[FUSE_FSYNC] = { "fsync", OP_IS_SYNC, SIZE(fsync_in), 0, 0, true },
	[FUSE_SETXATTR] = { "setxattr", OP_IS_META,
		FUSE_COMPAT_SETXATTR_IN_SIZE, 1, 0, false },
	[FUSE_GETXATTR] = { "getxattr", OP_IS_META, SIZE(getxattr_in), 1, 0,
		false },
	[FUSE_LISTXATTR] = { "listxattr", OP_IS_META, SIZE(getxattr_in), 0, 0,
		false },
	[FUSE_REMOVEXATTR] = { "removexattr", OP_IS_META, 0, 1, 0, false },
	[FUSE_FLUSH] = { "flush", OP_IS_SYNC, SIZE(flush_in), 0, 0, true },
	[FUSE_OPENDIR] = { "opendir", OP_IS_META, SIZE(open_in), 0, 0, false },
	[FUSE_READDIR] = { "readdir", OP_IS_META, SIZE(read_in), 0, 0, true },
	[FUSE_READDIRPLUS] = { "readdir", OP_IS_META, SIZE(read_in), 0, 0,
		true },
	[FUSE_RELEASEDIR] = { "releasedir", OP_IS_QUIET, SIZE(release_in), 0, 0,
		true },
	[FUSE_FSYNCDIR] = { "fsyncdir", OP_IS_SYNC, SIZE(fsync_in), 0, 0, true },
	[FUSE_GETLK] = { "getlk", OP_IS_META, SIZE(lk_in), 0, 0, true },
	[FUSE_SETLK] = { "setlk", OP_IS_META, SIZE(lk_in), 0, 0, true },
	[FUSE_SETLKW] = { "setlk", OP_IS_META, SIZE(lk_in), 0, 0, true },
	[FUSE_ACCESS] = { "access", OP_IS_META, SIZE(access_in), 0, 0,
		false },
	[FUSE_CREATE] = { "create", OP_IS_META, SIZE(create_in), 1, 1, false },
	[FUSE_IOCTL] = { "ioctl", OP_IS_META, SIZE(ioctl_in), 0, 0, true },
	[FUSE_FALLOCATE] = { "fallocate", OP_IS_META, SIZE(fallocate_in), 0, 0,
		true },
	[FUSE_LSEEK] = { "lseek", OP_IS_META, SIZE(lseek_in), 0, 0, true },
	[FUSE_COPY_FILE_RANGE] = { "copy", OP_IS_META,
		SIZE(copy_file_range_in), 0, 0, true },
	[FUSE_TMPFILE] = { "tmpfile", OP_IS_META, 0, 0, 0, false },
	[OP_STATX] = { "getattr", OP_IS_META, 0, 0, 0, false },
};

unsigned int op_of(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_RENAME:
		return FUSE_RENAME2;
	case FUSE_READDIR:
		return FUSE_READDIRPLUS;
	case FUSE_FORGET:
		return FUSE_BATCH_FORGET;
	case FUSE_SETLKW:
		return FUSE_SETLK;
	case OP_STATX:
		return FUSE_GETATTR;
	default:
		return opcode < OP_MAX ? opcode : OP_MAX;
	}
}

const char *op_name(unsigned int opcode)
{
	return opcode < OP_MAX ? op_table[opcode].name : NULL;
}

bool op_injectable(unsigned int opcode)
{
	return opcode < OP_MAX && op_table[opcode].name &&
	       op_table[opcode].class != OP_IS_QUIET;
}

static bool op_is_called(unsigned int opcode, const char *word, size_t length)
{
	const struct op *op = &op_table[opcode];
	static const char *const classes[] = {
		[OP_IS_DATA] = "data",
		[OP_IS_SYNC] = "sync",
		[OP_IS_META] = "meta",
	};
	const char *class;

	if (!op_injectable(opcode))
		return false;
	class = classes[op->class];
	if (length == strlen(op->name) && !memcmp(word, op->name, length))
		return true;
	if (length == strlen(class) && !memcmp(word, class, length))
		return true;
	return length == 3 && !memcmp(word, "all", 3);
}

static uint64_t op_set_one(const char *word, size_t length)
{
	uint64_t set = 0;
	unsigned int i;

	for (i = 0; i < OP_MAX; i++)
		if (op_is_called(i, word, length))
			set |= OP_BIT(op_of(i));
	return set;
}

uint64_t op_set(const char *word)
{
	uint64_t set = 0, one;
	size_t length;

	for (;; word += length + 1) {
		length = strcspn(word, "+");
		one = op_set_one(word, length);
		if (!one)
			return 0;
		set |= one;
		if (!word[length])
			return set;
	}
}

/* Offset and length where the operation has them. @body has its fixed size. */
static void op_parse_range(uint32_t opcode, const void *body,
			   struct op_target *target)
{
	const struct fuse_read_in *rw = body;	/* as fuse_write_in begins */
	const struct fuse_fallocate_in *fallocate = body;
	const struct fuse_copy_file_range_in *copy = body;
	const struct fuse_setattr_in *setattr = body;

	switch (opcode) {
	case FUSE_READ:
	case FUSE_WRITE:
		target->offset = rw->offset;
		target->length = rw->size;
		break;
	case FUSE_FALLOCATE:
		target->offset = fallocate->offset;
		target->length = fallocate->length;
		target->mode = fallocate->mode;
		break;
	case FUSE_COPY_FILE_RANGE:
		target->offset = copy->off_out;
		target->length = copy->len;
		target->other = copy->nodeid_out;
		target->other_fh = copy->fh_out;
		break;
	case FUSE_SETATTR:
		if (!(setattr->valid & FATTR_SIZE))
			return;
		target->offset = setattr->size;
		break;
	default:
		return;
	}
	target->ranged = true;
}

static void op_parse_flags(uint32_t opcode, const void *body,
			   struct op_target *target)
{
	const struct fuse_read_in *read = body;
	const struct fuse_write_in *write = body;

	if (opcode == FUSE_READ) {
		target->cached = !(read->flags & O_DIRECT);
	} else if (opcode == FUSE_WRITE) {
		target->cached = write->write_flags & FUSE_WRITE_CACHE;
		target->appends = write->flags & O_APPEND && !target->cached;
	}
	if (opcode == FUSE_OPEN)
		target->flags = ((const struct fuse_open_in *)body)->flags;
	else if (opcode == FUSE_RENAME2)
		target->flags = ((const struct fuse_rename2_in *)body)->flags;
}

/* The open file it works on. @body has its fixed size. */
static void op_parse_handle(uint32_t opcode, const void *body,
			    struct op_target *target)
{
	const struct fuse_setattr_in *setattr = body;

	if (op_table[opcode].open)
		memcpy(&target->fh, body, sizeof(target->fh));
	else if (opcode == FUSE_SETATTR && setattr->valid & FATTR_FH)
		target->fh = setattr->fh;
}

static void op_parse_other(uint32_t opcode, const void *body,
			   struct op_target *target)
{
	/* All of them begin with it. */
	if (opcode == FUSE_RENAME || opcode == FUSE_RENAME2 ||
	    opcode == FUSE_LINK)
		target->other = ((const struct fuse_link_in *)body)->oldnodeid;
}

/* => The bytes that the strings take, or -1: one has no end. */
static ssize_t op_parse_strings(const struct op *op, const char *at,
				size_t length, struct op_target *target)
{
	const char *begin = at, *end;
	unsigned int i;

	for (i = 0; i < op->strings; i++) {
		end = memchr(at, '\0', length);
		if (!end)
			return -1;
		if (i < op->names)
			*(i ? &target->other_name : &target->name) = at;
		length -= end + 1 - at;
		at = end + 1;
	}
	return at - begin;
}

/*
 * Does the request hold the bytes that it brings, and may it ask for so many?
 * @body has its fixed size, @rest is what follows the strings.
 */
static bool op_fits(uint32_t opcode, const void *body, size_t rest)
{
	const struct fuse_read_in *rw = body;	/* as fuse_write_in begins */
	const struct fuse_setxattr_in *set = body;
	const struct fuse_getxattr_in *get = body;
	const struct fuse_batch_forget_in *forget = body;
	const struct fuse_ioctl_in *ioctl = body;

	switch (opcode) {
	case FUSE_WRITE:
		return rw->size <= rest;
	case FUSE_READ:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return rw->size <= OP_ANSWER_MAX;
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		return get->size <= OP_ANSWER_MAX;
	case FUSE_SETXATTR:
		return set->size <= rest;
	case FUSE_IOCTL:
		return ioctl->in_size <= rest &&
		       ioctl->out_size <= OP_ANSWER_MAX;
	case FUSE_BATCH_FORGET:
		return forget->count <= rest / SIZE(forget_one);
	default:
		return true;
	}
}

bool op_parse(const struct fuse_in_header *in, size_t length,
	      struct op_target *target)
{
	const char *body = (const char *)(in + 1);
	const struct op *op;
	ssize_t strings;

	*target = (struct op_target){ 0 };
	if (length < sizeof(*in))
		return false;
	length -= sizeof(*in);
	if (in->opcode >= OP_MAX || !op_table[in->opcode].name)
		return true;
	op = &op_table[in->opcode];
	if (length < op->fixed)
		return false;
	op_parse_handle(in->opcode, body, target);
	op_parse_range(in->opcode, body, target);
	op_parse_flags(in->opcode, body, target);
	op_parse_other(in->opcode, body, target);
	length -= op->fixed;
	strings = op_parse_strings(op, body + op->fixed, length, target);
	return strings >= 0 && op_fits(in->opcode, body, length - strings);
}
