/*
 * unnamed.h - room that quotas were charged for by files without a name: made
 * with O_TMPFILE, or written after they were removed.
 *
 * A file gives back all it has when its last name goes, whoever has it open.
 * What it takes then is kept here by file, and given back when that is freed,
 * when the kernel has forgotten the file, or else, if the file gets a name
 * again, with that. Any thread may call any of these.
 */
#ifndef FS_UNNAMED_H
#define FS_UNNAMED_H

#include "fs/verdict.h"
#include "fs/volume.h"

/* @inode has no name, and the quotas of @verdict were charged @bytes. */
void unnamed_charge(const struct inode *inode, const struct verdict *verdict,
		    uint64_t bytes);
/* @bytes of it were freed. */
void unnamed_free(const struct inode *inode, uint64_t bytes);
/* It has a name. */
void unnamed_link(const struct inode *inode);
/* It has been forgotten, and what was @inode, of this @generation, is freed. */
void unnamed_forget(const void *inode, uint32_t generation);

#endif
