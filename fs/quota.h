/*
 * quota.h - how much room a request takes or gives back.
 *
 * What a write or fallocate needs is the part of its range, in blocks of
 * QUOTA_BLOCK, for which the file has no room yet: writing over what is there
 * costs nothing. What a file has is counted in the same way, so that nobody
 * gets back more than he was charged for (the file system's own sum has its
 * metadata in it). Held writes (fs/held.h) have room as if they were written.
 * Nothing is kept here; no locks. SOURCE is asked, and may hang.
 */
#ifndef FS_QUOTA_H
#define FS_QUOTA_H

#include "fs/op.h"
#include "fs/volume.h"

#define QUOTA_BLOCK	4096

enum quota_kind {
	QUOTA_NONE,
	QUOTA_NAME,		/* makes a name: there must be some room left */
	QUOTA_TAKE,		/* brings data to a range of a file */
	QUOTA_FREE,		/* shortens, punches or removes a file */
	QUOTA_LINK,		/* gives one a name, which it may not have */
};

/* What @opcode may do. */
enum quota_kind quota_kind(unsigned int opcode,
			   const struct op_target *target);
/* Bytes that one of the kind QUOTA_TAKE needs. */
uint64_t quota_need(struct volume *volume, fuse_ino_t ino,
		    const struct op_target *target);
/* Bytes of room that a file has. */
uint64_t quota_room(struct volume *volume, fuse_ino_t ino);
/* The blocks that @target touches, as bytes. */
void quota_blocks(const struct op_target *target, uint64_t *from,
		  uint64_t *to);

#endif
