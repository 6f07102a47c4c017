/*
 * op.h - what the kernel asks: the operations by name, and where a request
 * keeps what they work on.
 *
 * An operation is known by its opcode. Two opcodes for one thing (rename,
 * with and without flags; readdir, with and without attributes) count as
 * one: op_of() says which. A set of operations is a bit for each opcode.
 *
 * A request is read as it came from /dev/fuse, header first; nothing here
 * trusts its lengths or that its names end. Pure functions.
 */
#ifndef FS_OP_H
#define FS_OP_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OP_MAX		64	/* opcodes are below this */
#define OP_ANSWER_MAX	(1u << 20)	/* bytes a request may ask for */

#define OP_BIT(opcode)	(1ull << (opcode))
#define OP_DATA		(OP_BIT(FUSE_READ) | OP_BIT(FUSE_WRITE))

/* The opcode under which @opcode counts. OP_MAX: unknown. */
unsigned int op_of(uint32_t opcode);
/* "read", "write", ...; NULL: not an operation on files. */
const char *op_name(unsigned int opcode);
/* May a rule act on it? Not on what only tells us something. */
bool op_injectable(unsigned int opcode);
/*
 * The operations called @word: one name, "data", "sync", "meta" or "all", or
 * several of these joined by "+". => 0: at least one of them is none.
 */
uint64_t op_set(const char *word);

/* What a request works on; absent parts are 0 and NULL. */
struct op_target {
	bool ranged;		/* offset and length say something */
	uint64_t offset, length;
	bool cached;		/* of the kernel's cache: read, write */
	bool appends;		/* the offset is where the kernel sees the end */
	uint32_t mode;		/* of fallocate */
	uint32_t flags;		/* of open, rename */
	uint64_t fh;		/* of the open file or directory */
	uint64_t other;		/* a second inode: new parent, link, copy */
	uint64_t other_fh;	/* and it, open: copy */
	const char *name;	/* an entry of the inode... */
	const char *other_name;	/* ... and of the second */
};

/* => false: it is not as long as it claims to be, or asks for too much. */
bool op_parse(const struct fuse_in_header *in, size_t length,
	      struct op_target *target);

#endif
