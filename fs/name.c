/*
 * name.c - names: made, linked, renamed, removed.
 *
 * Each handler is one *at() call relative to the parent's O_PATH descriptor,
 * made in the caller's name where it creates something, and a lookup of the
 * result for the reply. Every name is checked to be one plain component
 * before it goes to the kernel. No locks: the file system below orders them.
 */
#include "fs/caller.h"
#include "fs/operations.h"
#include "fs/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Answer for a new @name: its entry, or what creating it said. */
static void name_reply_entry(fuse_req_t req, struct inode *parent,
			     const char *name, int err)
{
	struct volume *volume = volume_of(req);
	struct fuse_entry_param entry;

	if (!err)
		err = volume_lookup(volume, parent, name, &entry);
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

static void name_mknod(fuse_req_t req, fuse_ino_t ino, const char *name,
		       mode_t mode, dev_t rdev)
{
	struct inode *parent = volume_target(req, ino);
	struct caller caller;
	int err;

	if (name_refused(req, name))
		return;
	caller = caller_enter(req);
	err = mknodat(parent->fd, name, mode, rdev) ? -errno : 0;
	caller_leave(caller);
	name_reply_entry(req, parent, name, err);
}

static void name_mkdir(fuse_req_t req, fuse_ino_t ino, const char *name,
		       mode_t mode)
{
	struct inode *parent = volume_target(req, ino);
	struct caller caller;
	int err;

	if (name_refused(req, name))
		return;
	caller = caller_enter(req);
	err = mkdirat(parent->fd, name, mode) ? -errno : 0;
	caller_leave(caller);
	name_reply_entry(req, parent, name, err);
}

static void name_symlink(fuse_req_t req, const char *target, fuse_ino_t ino,
			 const char *name)
{
	struct inode *parent = volume_target(req, ino);
	struct caller caller;
	int err;

	if (name_refused(req, name))
		return;
	caller = caller_enter(req);
	err = symlinkat(target, parent->fd, name) ? -errno : 0;
	caller_leave(caller);
	name_reply_entry(req, parent, name, err);
}

static void name_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		      const char *newname)
{
	struct volume_path path = volume_path(volume_target(req, ino));
	struct inode *parent = volume_target(req, newparent);
	int err;

	if (name_refused(req, newname))
		return;
	err = linkat(AT_FDCWD, path.name, parent->fd, newname,
		     AT_SYMLINK_FOLLOW) ? -errno : 0;
	name_reply_entry(req, parent, newname, err);
}

static void name_remove(fuse_req_t req, fuse_ino_t parent, const char *name,
			int flags)
{
	if (name_refused(req, name))
		return;
	fuse_reply_err(req, unlinkat(volume_target(req, parent)->fd, name,
				     flags) ? errno : 0);
}

static void name_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	name_remove(req, parent, name, 0);
}

static void name_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	name_remove(req, parent, name, AT_REMOVEDIR);
}

static void name_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
			fuse_ino_t newparent, const char *newname,
			unsigned int flags)
{
	if (name_refused(req, name) || name_refused(req, newname))
		return;
	fuse_reply_err(req, renameat2(volume_target(req, parent)->fd, name,
				      volume_target(req, newparent)->fd,
				      newname, flags) ? errno : 0);
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
