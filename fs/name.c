/*
 * name.c - names: made, linked, renamed, removed.
 *
 * Each handler is one *at() call relative to the parent's O_PATH descriptor,
 * made in the caller's name where it creates something, and a lookup of the
 * result for the reply. Every name is checked to be one plain component
 * before it goes to the kernel. No locks: the file system below orders them.
 */
#include "fs/again.h"
#include "fs/caller.h"
#include "fs/operations.h"
#include "fs/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Answer for a new @name: its entry, or what creating it said. Ends what
 * name_make_in() began. */
static void name_reply_entry(fuse_req_t req, int parent, const char *name,
			     int err)
{
	struct volume *volume = volume_of(req);
	struct fuse_entry_param entry;

	if (!err)
		err = volume_lookup(volume, parent, name, &entry);
	volume_made(volume);
	if (err)
		fuse_reply_err(req, -err);
	else if (fuse_reply_entry(req, &entry))
		volume_unlookup(volume, &entry);
}

static bool name_refused(fuse_req_t req, const char *name)
{
	if (volume_name_ok(name))
		return false;
	fuse_reply_err(req, EINVAL);
	return true;
}

/* The directory in which @name is to be made. => As volume_use(). */
static int name_make_in(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	int parent, err;

	if (name_refused(req, name))
		return -1;
	parent = volume_use(req, ino);
	if (parent < 0)
		return -1;
	err = volume_make(volume_of(req), volume_target(req, ino), parent);
	if (!err)
		return parent;
	fuse_reply_err(req, -err);
	return -1;
}

static void name_mknod(fuse_req_t req, fuse_ino_t ino, const char *name,
		       mode_t mode, dev_t rdev)
{
	int parent = name_make_in(req, ino, name), err;
	struct caller caller;

	if (parent < 0)
		return;
	caller = caller_enter(req);
	err = AGAIN(mknodat(parent, name, mode, rdev)) ? -errno : 0;
	caller_leave(caller);
	name_reply_entry(req, parent, name, err);
}

static void name_mkdir(fuse_req_t req, fuse_ino_t ino, const char *name,
		       mode_t mode)
{
	int parent = name_make_in(req, ino, name), err;
	struct caller caller;

	if (parent < 0)
		return;
	caller = caller_enter(req);
	err = AGAIN(mkdirat(parent, name, mode)) ? -errno : 0;
	caller_leave(caller);
	name_reply_entry(req, parent, name, err);
}

static void name_symlink(fuse_req_t req, const char *target, fuse_ino_t ino,
			 const char *name)
{
	int parent = name_make_in(req, ino, name), err;
	struct caller caller;

	if (parent < 0)
		return;
	caller = caller_enter(req);
	err = AGAIN(symlinkat(target, parent, name)) ? -errno : 0;
	caller_leave(caller);
	name_reply_entry(req, parent, name, err);
}

static void name_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		      const char *newname)
{
	struct volume_path path;
	int fd, parent, err;

	if (name_refused(req, newname))
		return;
	fd = volume_use(req, ino);
	parent = fd < 0 ? -1 : volume_use(req, newparent);
	if (parent < 0)
		return;
	path = volume_path(fd);
	err = AGAIN(linkat(AT_FDCWD, path.name, parent, newname,
			   AT_SYMLINK_FOLLOW)) ? -errno : 0;
	name_reply_entry(req, parent, newname, err);
}

static void name_remove(fuse_req_t req, fuse_ino_t ino, const char *name,
			int flags)
{
	struct volume_leaving leaving;
	int parent, err;

	if (name_refused(req, name))
		return;
	parent = volume_use(req, ino);
	if (parent < 0)
		return;
	volume_leave(volume_of(req), parent, name, &leaving);
	err = AGAIN(unlinkat(parent, name, flags)) ? errno : 0;
	volume_left(volume_of(req), &leaving, !err);
	fuse_reply_err(req, err);
}

static void name_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	name_remove(req, parent, name, 0);
}

static void name_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	name_remove(req, parent, name, AT_REMOVEDIR);
}

static void name_rename(fuse_req_t req, fuse_ino_t ino, const char *name,
			fuse_ino_t newino, const char *newname,
			unsigned int flags)
{
	bool makes = flags & RENAME_WHITEOUT;	/* a file of the caller's */
	struct volume_leaving leaving;
	int parent, newparent, err;
	struct caller caller;

	if (name_refused(req, name) || name_refused(req, newname))
		return;
	parent = volume_use(req, ino);
	newparent = parent < 0 ? -1 : volume_use(req, newino);
	if (newparent < 0)
		return;
	volume_leave(volume_of(req), newparent, newname, &leaving);
	if (makes)
		caller = caller_enter(req);
	err = AGAIN(renameat2(parent, name, newparent, newname, flags)) ?
		errno : 0;
	if (makes)
		caller_leave(caller);
	/* What is exchanged only moves. */
	volume_left(volume_of(req), &leaving,
		    !err && !(flags & RENAME_EXCHANGE));
	fuse_reply_err(req, err);
}

void name_install(struct fuse_lowlevel_ops *ops)
{
	ops->mknod = name_mknod;
	ops->mkdir = name_mkdir;
	ops->symlink = name_symlink;
	ops->link = name_link;
	ops->unlink = name_unlink;
	ops->rmdir = name_rmdir;
	ops->rename = name_rename;
}
