/*
 * quota.h - how much room a request takes or gives back.
 *
 * What a write or fallocate needs is the part of its range, in blocks of
 * QUOTA_BLOCK, for which the file has no room yet: writing over what is there
 * costs nothing. Truncating, punching and removing give back what the file
 * system below says that they freed.
 */
#ifndef FS_QUOTA_H
#define FS_QUOTA_H

#include "fs/op.h"
#include "fs/volume.h"

#define QUOTA_BLOCK	4096

/* Can @opcode take or free room? */
bool quota_watches(unsigned int opcode);
/* Bytes it needs; 1 for what makes a name: there must be some room left. */
uint64_t quota_need(struct volume *volume, unsigned int opcode,
		    fuse_ino_t ino, const struct op_target *target);
/* Bytes that the file which @opcode may shrink or remove has now. */
uint64_t quota_now(struct volume *volume, unsigned int opcode,
		   fuse_ino_t ino, const struct op_target *target);
/* It is done: bytes it freed of the @before there were. */
uint64_t quota_freed(struct volume *volume, unsigned int opcode,
		     fuse_ino_t ino, uint64_t before);

#endif
