/*
 * control.h - the hidden directory .pagerfs at the root of the mount.
 *
 *	rules		what is injected, with counts; write to set
 *	ctl		commands; reads as what came of the last one
 *	stats		counters and latencies, for Prometheus
 *	inflight	every request in hand
 *	inodes		every inode the kernel knows
 *
 * It is found by its name only, and belongs to the user who mounted: nobody
 * else but root gets in, whatever the mount options say. What is read is a
 * snapshot made when the file was opened.
 *
 * Its requests never reach a handler: they are taken out at the gate and
 * answered here, without touching SOURCE, so they work also while everything
 * else is frozen. Inode numbers with the top bit set are the directory's.
 */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include "fs/op.h"
#include "fs/volume.h"

#define CONTROL_NAME	".pagerfs"

struct loop;
struct slot;

/* There is one from now on. Reports an entry of SOURCE that it hides. */
void control_open(struct volume *volume, struct loop *loop);
/* Is this name in @parent ours? Then it is not one of SOURCE's. */
bool control_hides(const struct volume *volume, const struct inode *parent,
		   const char *name);

/* Is it about the control directory? */
bool control_wants(const struct fuse_in_header *in,
		   const struct op_target *target);
/* Then answer it. */
void control_serve(struct slot *slot, const struct op_target *target);
/* Make the forgets of a batch which are ours harmless. */
void control_scrub(struct fuse_in_header *in);

#endif
